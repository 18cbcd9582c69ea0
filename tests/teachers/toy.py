"""A small model of ours that really translates, though only toy sentences: trained in seconds."""

from __future__ import annotations

import itertools
from pathlib import Path

from dragoman.core.text.languages import Direction

NOUNS = {
    "cat": "Katze", "dog": "Hund", "man": "Mann", "car": "Auto", "book": "Buch", "house": "Haus", "tree": "Baum",
    "child": "Kind",
}  # fmt: skip
STATES = {"old": "alt", "new": "neu", "green": "grün", "small": "klein", "big": "groß"}
EN_DE = Direction("en", "de")


def pairs() -> list[tuple[str, str]]:
    """All sentences of the toy language, 40 of them."""
    return [
        (f"the {noun} is {state}.", f"{NOUNS[noun]} ist {STATES[state]}.")
        for noun, state in itertools.product(NOUNS, STATES)
    ]


def train(folder: Path, steps: int = 80) -> None:
    """Train the tests' tiny model on the toy language in both directions and save it to a folder."""
    import torch

    from dragoman.core.prompt.prompts import render
    from dragoman.engine.encoder import Encoder
    from dragoman.engine.load import save
    from tests.tiny import tiny

    loaded = tiny()
    model = loaded.model
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.08) if parameter.ndim > 1 else None
    rows = [render(loaded.card.prompt, EN_DE, source, target) for source, target in pairs()]
    rows += [render(loaded.card.prompt, EN_DE.reversed, target, source) for source, target in pairs()]
    encoded = Encoder(loaded.tokenizer, loaded.card.prompt).encode(rows)
    longest = max(len(ids) for ids, _ in encoded)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row, _ in encoded])
    trained = torch.tensor([mask + [False] * (longest - len(mask)) for _, mask in encoded])
    labels = ids.masked_fill(~trained, -100)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * min(1.0, (step + 1) / 10, 2 * (1 - step / steps))
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    save(folder, loaded)

"""A small run on disk for the tests of evaluation and report, and a translator of the right shape without a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import Decoding, Recipe
from dragoman.core.records import NO_CONTEXT, Context, Example, Hypothesis
from dragoman.core.scores.metrics import Floats
from dragoman.core.scores.multiple_choice import Question
from dragoman.core.text.languages import Direction
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact, write_json

SENTENCES = [
    ("The nurse gives the patient two tablets.", "Die Schwester gibt dem Patienten zwei Tabletten."),
    ("A dog runs through the deep snow.", "Ein Hund läuft durch den tiefen Schnee."),
    ("She does not know the old doctor.", "Sie kennt den alten Arzt nicht."),
    ("The train to the city leaves at noon.", "Der Zug in die Stadt fährt mittags ab."),
    ("He bought bread, milk and some apples.", "Er kaufte Brot, Milch und ein paar Äpfel."),
    ("Please read the leaflet before use.", "Bitte lesen Sie die Packungsbeilage vor dem Gebrauch."),
]
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
ZAHLEN = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"]


def pairs(split: str) -> list[Example]:
    """Sixty different pairs of a split; no pair of one split stands in another."""
    return [
        Example(f"{english} {number} {split}", f"{german} {zahl} {split}", "en", "de", f"{split}.tsv", line)
        for line, ((english, german), number, zahl) in enumerate(
            ((pair, *numbers) for numbers in zip(NUMBERS, ZAHLEN, strict=True) for pair in SENTENCES), start=1
        )
    ]


class Memory:
    """Translates by looking up the target; leaves out every word whose place is a multiple of `worse`.

    An example in the prompt makes it better, and a term is written at the end.
    """

    def __init__(self, worse: int) -> None:
        self.worse = worse
        self.calls = 0
        known = [example for split in ("train", "dev", "test", "extra") for example in pairs(split)]
        self.known = {e.source: e.target for e in known} | {e.target: e.source for e in known}

    @property
    def description(self) -> dict[str, Any]:
        return {"parameters": 7, "prompt": "compact"}

    def translate(
        self,
        texts: Sequence[str],
        direction: Direction,
        decoding: Decoding | None = None,
        listener: Listener = SILENT,
        assists: Sequence[Context] | None = None,
    ) -> list[Hypothesis]:
        del direction
        self.calls += 1
        listener.progress("translate", len(texts), len(texts))
        found = []
        for text, assist in zip(texts, assists or [NO_CONTEXT] * len(texts), strict=True):
            worse = self.worse + (decoding.beam - 1 if decoding else 0) + len(assist.shots)
            words = [w for i, w in enumerate(self.known[text].split(), start=1) if i % worse]
            words += [target for _, target in assist.terms if target not in words]
            found.append(Hypothesis(" ".join(words), -0.5, len(words) + 1, True, assist))
        return found

    def score_candidates(
        self, questions: Sequence[Question], direction: Direction, listener: Listener = SILENT
    ) -> tuple[Floats, list[Context]]:
        """Knows the right one; of every question whose number is a multiple of `worse` it knows nothing."""
        del direction
        self.calls += 1
        listener.progress("choose", len(questions), len(questions))
        scores = np.full((len(questions), len(questions[0].candidates)), -2.0)
        for number, question in enumerate(questions):
            if number % self.worse:
                scores[number, question.candidates.index(self.known[question.source])] = -1.0
        return scores, [question.assist for question in questions]


RECIPE = """
name: small
pairs: [en-de]
model: {new: {}}
train: [{sft: {}}]
evaluate: {bootstrap: 50, randomisation: 50}
"""


def recipe(text: str = "", folder: Path = Path(), base: str = RECIPE) -> Recipe:
    """The small recipe; `text` holds overrides, one a line."""
    return Recipe.parse(base, "recipe", [line for line in text.split("\n") if line], folder)


def make_run(folder: Path, *, new: bool = True, trained: bool = True) -> dict[str, Artifact]:
    """The stages before `evaluate`, as they leave their folders."""
    reasons = {"duplicate": 7, "length_ratio": 2}
    counts = {name: len(pairs(name)) for name in ("train", "dev", "test")}
    for name in counts:
        records.write(folder / "prepare" / name, pairs(name), Example)
    example = {"origin": "a.tsv", "line": 3, "detail": "as a.tsv:1", "source": "<b>Yes</b>", "target": "Ja"}
    report = {
        "seed": 7,
        "rows": {"in": sum(counts.values()) + 9, **counts, "rejected": 9},
        "reasons": reasons,
        "origins": [{"origin": "data/a.tsv", "in": 189, "kept": counts, "rejected": reasons}],
        "directions": [{"direction": "en-de", "factor": 1.0}],
        "examples": {"duplicate": [example], "length_ratio": []},
    }
    write_json(folder / "prepare" / "report.json", report)
    made = {"prepare": Artifact.finish(folder / "prepare", "prepare", "p", report)}
    (folder / "model" / "model").mkdir(parents=True)
    facts: dict[str, Any] = {
        "folder": "model",
        "new": new,
        "base": "new" if new else "acme/small-1b",
        "parameters": 1234,
        "licence": None if new else "Apache-2.0",
        "architecture": "llama",
        "vocabulary": 300,
        "context": 128,
        "prompt": "compact",
        "fertility": {"en": 1.2, "de": 1.4},
    }
    made["model"] = Artifact.finish(folder / "model", "model", "m", facts)
    if trained:
        made["train"] = _train(folder / "train")
    return made


def _train(folder: Path) -> Artifact:
    (folder / "0-sft" / "model").mkdir(parents=True)
    steps = [
        {"event": "step", "step": i, "loss": 9 / i, "learning_rate": 1e-3 / i, "tokens": 10 * i} for i in range(1, 900)
    ]
    scored = [{"event": "evaluate", "step": i, "loss": 8 / i, "chrf": 20.0 + i / 50, "bleu": 5.0} for i in (300, 899)]
    lines = [json.dumps(event) for event in [*steps, *scored]]
    (folder / "0-sft" / "metrics.jsonl").write_text("\n".join(lines) + '\n{"event": "st', encoding="utf-8")
    phase: Mapping[str, Any] = {
        "name": "0-sft",
        "steps": 899,
        "target_tokens": 54321,
        "seconds": 61.5,
        "padding": 0.013,
        "best_step": 899,
        "best_chrf": 37.98,
        "examples": {"en-de": 60},
    }
    return Artifact.finish(folder, "train", "t", {"folder": "0-sft/model", "phases": [phase]})

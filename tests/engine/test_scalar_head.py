"""A head beside a model: at the end of each text, saved and loaded without a change, its loss that of Bradley and Terry."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.prompt.prompts import render
from dragoman.core.recipe.scorer import Scorer as Wish
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import leak_key
from dragoman.engine import load, scalar_head
from dragoman.engine.batch import collate
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Loaded
from dragoman.engine.model_scorer import RewardScorer
from dragoman.engine.phases.preference_rows import Pair
from dragoman.engine.phases.reward import held_out, key_of, pair_losses, told
from dragoman.engine.score import corpus_of
from dragoman.errors import ModelError
from tests.tiny import FAMILIES, tiny

WAY = Direction.parse("en-de")


def with_head(loaded: Loaded) -> Loaded:
    head = scalar_head.attach(loaded.model)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=draw))
        head.bias.fill_(0.25)
    loaded.model.eval()
    return loaded


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> tuple[Loaded, Loaded]:
    """A model with a head, and what was saved of it, loaded."""
    folder = tmp_path_factory.mktemp("judge")
    base = folder / "base"
    made = with_head(tiny(base))
    weights = dict(made.model.named_parameters())
    load.save_trained(folder / "model", made, made.model, weights, base)
    scalar_head.write(folder / "model", weights)
    again = load.load(folder / "model")
    assert scalar_head.read(again.model, folder / "model")
    again.model.eval()
    return made, again


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)] * 2),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_loaded_scores_as_what_was_saved(judges: tuple[Loaded, Loaded], texts: list[tuple[str, str]]) -> None:
    rows = [(source, target, "") for source, target in texts]
    one, other = (RewardScorer("judge", Wish(model="m"), each).scores(WAY, rows) for each in judges)
    assert one == other and all(0 <= float(score) <= 1 for score in one)


def test_a_score_is_the_same_whatever_stands_beside_it(judges: tuple[Loaded, Loaded]) -> None:
    scorer = RewardScorer("judge", Wish(model="m"), judges[0])
    rows = [
        ("a cat", "eine Katze", ""),
        ("a dog sees a house and a tree.", "ein Hund sieht ein Haus.", ""),
        ("a", "b", ""),
    ]
    together = scorer.scores(WAY, [*rows, rows[0], ("a cat", "eine Katze " * 400, "")])
    assert together[:4] == pytest.approx([scorer.scores(WAY, [row])[0] for row in [*rows, rows[0]]], abs=1e-6)
    assert together[4] == "too long"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_reads_the_end_of_each_text_of_any_family(family: str) -> None:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(FAMILIES[family]).eval()
    head = scalar_head.attach(model)
    torch.nn.init.normal_(head.weight)
    rows = [([1, 5, 6, 7, 8, 2], [False, False, False, True, True, True]), ([1, 9, 2], [False, True, True])]
    states = [
        model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0, -1] for ids, _ in rows
    ]
    wanted = [float((state @ head.weight[0] + head.bias).detach()) for state in states]
    for bins in ([[0], [1]], [[0, 1]]):  # in rows of their own, or one after the other
        found = scalar_head.whole_texts(model, collate(corpus_of(rows), bins, 0))
        np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_bradley_and_terry() -> None:
    loaded = with_head(tiny())
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    texts = [("a cat", "eine Katze"), ("a cat", "ein Hund"), ("a dog", "ein Hund sieht"), ("a dog", "Hund")]
    rows = encoder.encode([render(encoder.form, WAY, *each) for each in texts])
    batch = replace(collate(corpus_of(rows), [[n] for n in range(4)], loaded.pad), anchors=torch.zeros(4))
    reward = np.array(scalar_head.rewards(loaded.model, rows, pad=loaded.pad))
    better, worse = reward[::2], reward[1::2]
    wanted = np.log1p(np.exp(-(better - worse))) + 0.01 * (better + worse) ** 2
    found = pair_losses(loaded.model, batch)
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-5)
    found.sum().backward()
    assert all(
        p.grad is not None and p.grad.any()
        for p in (scalar_head.of(loaded.model).weight, loaded.model.model.layers[0].mlp.up_proj.weight)
    )  # type: ignore[union-attr]
    untouched = tiny()
    scalar_head.attach(untouched.model)
    assert pair_losses(untouched.model, batch).tolist() == pytest.approx([math.log(2)] * 2)


def test_a_damaged_head_is_named(judges: tuple[Loaded, Loaded], tmp_path: Path) -> None:
    assert not scalar_head.read(tiny().model, tmp_path)
    (tmp_path / "scalar_head.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(ModelError, match=r"scalar_head.safetensors: is damaged"):
        scalar_head.read(tiny().model, tmp_path)


SOURCES = st.sampled_from(
    ["A cat.", "a cat", "a cat!", "A dog 1.", "a dog 2.", "Ein Haus", "42", "43", "...", "x", "y", "z"]
)


@settings(max_examples=100)
@given(st.lists(SOURCES, min_size=2, max_size=40), st.integers(0, 5))
def test_no_source_stands_on_both_sides(sources: list[str], seed: int) -> None:
    pairs = [Pair(source, "b", "w", WAY) for source in sources]
    keys = held_out(pairs, seed)
    held = [pair for pair in pairs if key_of(pair) in keys]
    others = [pair for pair in pairs if key_of(pair) not in keys]
    assert others and bool(held) == (len(set(map(key_of, pairs))) > 1)
    assert not {leak_key(pair.source) for pair in held} & {leak_key(pair.source) for pair in others} - {""}
    assert not {pair.source for pair in held} & {pair.source for pair in others}


def test_the_figures_of_held_out_pairs() -> None:
    found = told(np.array([1.0, 2.0, -1.0, 0.0]), np.array([1, -1, -1, 0]))
    assert found == {"pairs": 4, "accuracy": 0.625, "longer_is_better": 0.375, "longer_is_higher": 0.625, "margin": 0.5}

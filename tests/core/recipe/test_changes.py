from __future__ import annotations

from dragoman.core.recipe import Recipe
from dragoman.core.recipe.changes import changes

RECIPE = """
name: one
pairs: [en-fr]
prepare: {parallel: [a.tsv]}
model: {base: m}
train: [{sft: {epochs: 2}, adapt: {method: lora, rank: 8}}]
"""


def differing(*overrides: str) -> list[tuple[str, str, str]]:
    return [
        (c["key"], c["first"], c["second"]) for c in changes(Recipe.parse(RECIPE), Recipe.parse(RECIPE, "r", overrides))
    ]


def test_only_what_differs_is_named_with_both_values() -> None:
    assert differing() == []
    assert differing("name=other", "study.seeds=[1]") == []  # they change no result
    assert differing("train.0.sft.epochs=4", "seed=1") == [("train.0.sft.epochs", "2.0", "4.0"), ("seed", "", "1")]
    assert differing("train.0.sft.epochs=3") == [("train.0.sft.epochs", "2.0", "")]  # the default
    assert differing("train.0.adapt=full") == [("train.0.adapt", '{"method": "lora", "rank": 8}', "")]
    assert differing("train.0.adapt.rank=4") == [("train.0.adapt.rank", "8", "4")]


def test_a_method_with_its_defaults_is_named() -> None:
    plain = Recipe.parse(RECIPE, "r", ["train.0.adapt=full"])
    tuned = Recipe.parse(RECIPE, "r", ["train.0.adapt={method: lora}", "train.0.average={method: ema}"])
    assert changes(plain, tuned) == [
        {"key": "train.0.adapt", "first": "", "second": '{"method": "lora"}'},
        {"key": "train.0.average", "first": "", "second": '{"method": "ema"}'},
    ]


def test_lists_of_other_lengths_are_shown_whole() -> None:
    assert differing("prepare.parallel.1=b.tsv") == [
        ("prepare.parallel", '[{"path": "a.tsv"}]', '[{"path": "a.tsv"}, {"path": "b.tsv"}]')
    ]
    assert differing("prepare.parallel=[b.tsv]") == [("prepare.parallel.0.path", "a.tsv", "b.tsv")]
    [(key, first, second)] = differing("train=[]")
    assert (key, second) == ("train", "") and first.startswith('[{"sft": {"epochs": 2.0}')

"""A project with a tiny base model, real and synthetic toy sentences, and a recipe that studies can use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import tiny

RECIPE = """
name: toy
pairs: [en-de]
prepare:
  parallel: [real.tsv]
  checks: {language: null, length_ratio: null, alignment: null, coverage: null}
  deduplicate: {near: null}
  holdout: {dev: 10, test: 20, near: null}
model: {base: base}
plan: {threads: 1, precision: fp32}
train:
  - sft: {epochs: 1, learning_rate: 3e-3, optimiser: adamw, batch_tokens: 512, evaluate_sentences: 4, compile: false}
    adapt: {method: lora, rank: 4}
evaluate: {sets: [test], metrics: [bleu, chrf], bootstrap: 50, randomisation: 50, decode: [{max_extra: 0}]}
study:
  seeds: [1, 2]
  synthetic: [synthetic.tsv]
"""


NOUNS = {"cat": "Katze", "dog": "Hund", "man": "Mann", "car": "Auto", "book": "Buch", "house": "Haus", "tree": "Baum"}
VERBS = {"sees": "sieht", "finds": "findet", "knows": "kennt"}


def write_pairs(path: Path, verbs: tuple[str, ...]) -> None:
    """A sentence for every two nouns and each verb."""
    lines = [
        f"the {a} {verb} the {b}.\t{NOUNS[a]} {VERBS[verb]} {NOUNS[b]}.\n"
        for a in NOUNS
        for b in NOUNS
        for verb in verbs
    ]
    path.write_text("source\ttarget\n" + "".join(lines), encoding="utf-8")


def make_project(folder: Path) -> Path:
    """The folder of a recipe with 98 real and 49 synthetic pairs, all different."""
    tiny(folder / "base")
    write_pairs(folder / "real.tsv", ("sees", "finds"))
    write_pairs(folder / "synthetic.tsv", ("knows",))
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)

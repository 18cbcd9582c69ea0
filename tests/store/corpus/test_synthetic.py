"""What is good enough to train on: every test by its name, the first of two alike stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragoman.core.corpus.synthesis import Draft
from dragoman.core.listen import SILENT
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.synthesise import Verify
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.store.corpus import records
from dragoman.store.corpus.synthetic import Verifier, returned

EN_FR = Direction("en", "fr")
ENGLISH = (
    "The old bridge was closed for repairs last winter.",
    "Our neighbours bought three bottles of red wine.",
    "She never answers the telephone before breakfast.",
    "A heavy storm destroyed most of the vineyards here.",
    "Please return your library books by Thursday evening.",
)
FRENCH = (
    "Le vieux pont a été fermé pour travaux l'hiver dernier.",
    "Nos voisins ont acheté trois bouteilles de vin rouge.",
    "Elle ne répond jamais au téléphone avant le petit déjeuner.",
    "Un violent orage a détruit la plupart des vignobles ici.",
    "Veuillez rendre vos livres à la bibliothèque d'ici jeudi soir.",
)


def prepared(folder: Path, **splits: list[tuple[str, str]]) -> Path:
    for name in ("train", "dev", "test"):
        rows = [Example(source, target, "en", "fr") for source, target in splits.get(name, [])]
        records.write(folder / name, rows, Example)
    return folder


def judged(drafts: list[Draft], folder: Path | None = None, evaluate: str = "", **verify: Any) -> list[str]:
    recipe = Recipe.parse(f"pairs: [en-fr]\nmodel: {{new: {{}}}}\n{evaluate}", folder=folder or Path())
    return [draft.reason for draft in Verifier(recipe, Verify(**verify), folder, SILENT).judge(drafts)]


def draft(number: int, **fields: Any) -> Draft:
    values = {"source": ENGLISH[number], "target": FRENCH[number], "origin": "mono.fr", "line": number + 1, **fields}
    mode, made = values.pop("mode", "back"), values.pop("made", "source")
    return Draft(mode, EN_FR, made, "t", **values)


def test_good_rows_pass_and_lost_ones_keep_their_reason(tmp_path: Path) -> None:
    rows = [draft(n) for n in range(5)]
    assert judged(rows, prepared(tmp_path)) == judged(rows) == [""] * 5
    rows[2] = rows[2].lost("timeout", "1 s")
    assert judged(rows) == ["", "", "timeout", "", ""]


def test_the_checks_of_prepare_come_first() -> None:
    rows = [draft(0, target=ENGLISH[0]), draft(1, source="?"), draft(2, source="Yes."), draft(3, source=FRENCH[4])]
    assert judged(rows) == ["identical", "empty", "length_ratio", "language"]


def test_rows_are_normalised() -> None:
    recipe = Recipe.parse("pairs: [en-fr]\nmodel: {new: {}}")
    [row] = Verifier(recipe, Verify(), None, SILENT).judge(
        [draft(0, source="The  old bridge\u200b was\u00adclosed . ")]
    )
    assert row.source == "The old bridge wasclosed ."


@pytest.mark.parametrize(("split", "other"), [("test", "dev"), ("dev", "test")])
def test_held_out_segments_are_found_on_either_side(tmp_path: Path, split: str, other: str) -> None:
    folder = prepared(tmp_path, **{split: [(ENGLISH[0], "x"), ("y", FRENCH[1])], other: [("z", "z")]})
    rows = [
        draft(0, source=ENGLISH[0].upper() + " 7"),
        draft(1, target=FRENCH[1].replace(",", "")),
        draft(2),
        draft(0, source=ENGLISH[0].replace("winter", "summer"), target=FRENCH[2]),
        draft(0, source="q " + ENGLISH[0], target=FRENCH[2] + " Et puis quoi encore ?"),
    ]
    found = judged(rows, folder, near=0.8)
    assert found[:3] == [f"leaks_into_{split}"] * 2 + [""] and found[4] == f"near_{split}"
    assert judged(rows, folder, near=None)[4] in ("", "length_ratio")


def test_further_test_files_count_as_held_out(tmp_path: Path) -> None:
    (tmp_path / "extra.en-fr.tsv").write_text(f"source\ttarget\n{ENGLISH[3]}\tx\n", encoding="utf-8")
    found = judged([draft(3), draft(4)], prepared(tmp_path), "evaluate: {files: [extra.en-fr.tsv]}")
    assert found == ["leaks_into_test", ""]


def test_duplicates_among_themselves_and_of_the_training_pairs(tmp_path: Path) -> None:
    folder = prepared(tmp_path, train=[(ENGLISH[0], FRENCH[0])])
    rows = [draft(0), draft(1), draft(1, source=ENGLISH[1].lower()), draft(2), draft(2, source=ENGLISH[2] + " Ah")]
    assert judged(rows, folder, near=0.8) == ["duplicate", "", "duplicate", "", "near_duplicate"]
    assert judged(rows, folder, near=None) == ["duplicate", "", "duplicate", "", ""]
    turned = replace(draft(0), direction=EN_FR.reversed, source=FRENCH[0], target=ENGLISH[0])
    assert judged([turned], folder) == ["duplicate"]  # whichever way round it stands


def test_a_teacher_that_repeats_itself() -> None:
    rows = [draft(number, source=ENGLISH[0]) for number in range(5)]
    assert judged(rows, repeats=2, near=None) == ["", "", "repeated", "repeated", "repeated"]
    assert judged(rows, repeats=None, near=None) == [""] * 5


def test_invented_text_must_be_new() -> None:
    same = "The old bridge was closed for repairs last spring."
    rows = [draft(0, mode="source", made="target"), draft(1, mode="source", made="target", source=same)]
    assert judged(rows, novelty=0.2, near=None) == ["", "not_novel"]
    assert judged(rows, novelty=0.1, near=None) == ["", ""]
    assert judged([replace(row, mode="forward") for row in rows], novelty=0.9, near=None) == ["", ""]


def test_confidence_counts_where_it_is_known() -> None:
    rows = [draft(0, log_probability=-0.2), draft(1, log_probability=-2.0), draft(2)]
    assert judged(rows, log_probability=-1.0) == ["", "log_probability", ""]
    assert judged(rows) == ["", "", ""]


def test_the_way_back_is_scored_with_chrf() -> None:
    from sacrebleu.metrics import CHRF

    rows = [draft(0, note=FRENCH[0]), draft(1, note="Les voisins ont acheté du vin."), draft(2, note="Rien du tout.")]
    found = returned(rows, Verify(round_trip=30.0))
    expected = [CHRF(word_order=2).sentence_score(row.note, [row.target]).score for row in rows]
    assert [row.round_trip for row in found] == pytest.approx(expected, abs=0.01)
    assert [row.reason for row in found] == ["" if score >= 30 else "round_trip" for score in expected]
    assert {row.reason for row in found} == {"", "round_trip"} and returned([], Verify()) == []

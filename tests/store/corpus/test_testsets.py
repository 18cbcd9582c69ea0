from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.core.listen import SILENT
from dragoman.core.records import Example
from dragoman.errors import DataError
from dragoman.store.corpus import records
from dragoman.store.corpus.testsets import mark_overlap, read_sets, summary
from tests.runs import pairs, recipe


class Warnings:
    def __init__(self) -> None:
        self.warned: list[str] = []

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def progress(self, task: str, done: float, total: float | None = None, **facts: object) -> None: ...


def prepared(folder: Path) -> Path:
    for name in ("train", "dev", "test"):
        records.write(folder / "prepare" / name, pairs(name), Example)
    return folder / "prepare"


def test_every_set_in_every_direction(tmp_path: Path) -> None:
    wanted = recipe("pairs=[en-de, de-en, en-fr]")
    assert wanted.evaluate is not None
    sets = read_sets(wanted, wanted.evaluate, prepared(tmp_path), SILENT)
    assert [entry.title for entry in sets] == ["dev en-de", "dev de-en", "test en-de", "test de-en"]
    forward, back = sets[2], sets[3]
    assert forward.sources == back.references == [example.source for example in pairs("test")]
    assert forward.reference_digest == back.source_digest != forward.source_digest


def test_regions_are_the_same_language(tmp_path: Path) -> None:
    wanted = recipe("pairs=[en-GB>de-AT]")
    assert wanted.evaluate is not None
    assert len(read_sets(wanted, wanted.evaluate, prepared(tmp_path), SILENT)) == 2


def test_a_sample_is_drawn_once_and_keeps_the_order(tmp_path: Path) -> None:
    wanted = recipe("evaluate.max_segments=10")
    assert wanted.evaluate is not None
    first, _ = read_sets(wanted, wanted.evaluate, prepared(tmp_path), SILENT)
    again, _ = read_sets(wanted, wanted.evaluate, tmp_path / "prepare", SILENT)
    assert first.sources == again.sources
    assert (len(first.examples), first.available) == (10, 60)
    assert [e.line for e in first.examples] == sorted(e.line for e in first.examples)


def test_named_files_keep_their_text_and_tell_what_is_lost(tmp_path: Path) -> None:
    rows = ["source\ttarget", "A  double space.\tEin  doppeltes Leerzeichen.", "\tNichts.", "Two.\tZwei."]
    (tmp_path / "my tests.en-de.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    wanted = recipe("evaluate.files=[my tests.en-de.tsv, my tests.en-de.tsv]", tmp_path)
    assert wanted.evaluate is not None
    listener = Warnings()
    sets = read_sets(wanted, wanted.evaluate, None, listener)
    assert [entry.name for entry in sets] == ["my-tests.en-de", "my-tests.en-de-2"]
    assert sets[0].references == ["Ein  doppeltes Leerzeichen.", "Zwei."]
    assert "1 rows cannot be scored" in listener.warned[0] and ":3 (empty" in listener.warned[0]


def test_a_file_in_other_languages_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.en-fr.tsv").write_text("source\ttarget\nYes.\tOui.\n", encoding="utf-8")
    wanted = recipe("evaluate.files=[{path: x.en-fr.tsv, pair: en-fr}]", tmp_path)
    assert wanted.evaluate is not None
    with pytest.raises(
        DataError, match=r"x\.en-fr\.tsv: has no pair in a direction of the recipe \(en-de\), but en-fr"
    ):
        read_sets(wanted, wanted.evaluate, None, SILENT)


def test_what_is_scored_nowhere_is_told(tmp_path: Path) -> None:
    records.write(tmp_path / "dev", pairs("dev"), Example)
    listener = Warnings()
    wanted = recipe("pairs=[en-de, en-fr]\nevaluate.sets=[dev, test]")
    assert wanted.evaluate is not None
    read_sets(wanted, wanted.evaluate, tmp_path, listener)
    assert listener.warned == [
        "evaluate.sets: the prepared texts have no test set, so it is not scored",
        "evaluate: no set has segments of en-fr, so nothing is known of that direction",
    ]


def test_nothing_to_evaluate_on() -> None:
    wanted = recipe()
    assert wanted.evaluate is not None
    with pytest.raises(DataError, match="nothing to evaluate on"):
        read_sets(wanted, wanted.evaluate, None, SILENT)


def test_overlap_is_found_on_both_sides_whatever_the_case_and_direction(tmp_path: Path) -> None:
    train = [
        Example("A dog runs!", "Ein Hund läuft.", "en", "de"),
        Example("eine katze schläft", "a cat SLEEPS", "de", "en"),
        Example("12", "12", "en", "de"),
    ]
    test = [
        Example("a dog  runs", "Der Hund rennt.", "en", "de"),
        Example("The cat is asleep.", "Eine Katze schläft.", "en", "de"),
        Example("34", "34", "en", "de"),  # without letters there is no key, and no overlap
        Example("New.", "Neu.", "en", "de"),
    ]
    records.write(tmp_path / "prepare" / "test", test, Example)
    wanted = recipe("evaluate.sets=[test]")
    assert wanted.evaluate is not None
    sets = read_sets(wanted, wanted.evaluate, tmp_path / "prepare", SILENT)
    assert summary(sets[0]) == {"source": 0, "target": 0, "segments": 0}
    (marked,) = mark_overlap(sets, [[(row.source, row.target) for row in train]], SILENT)
    assert marked.contaminated.tolist() == [True, True, False, False]
    assert summary(marked) == {"source": 1, "target": 1, "segments": 2}

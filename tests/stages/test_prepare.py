from __future__ import annotations

import csv
import itertools
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example, Text
from dragoman.core.text.normalise import leak_key
from dragoman.errors import DataError, RecipeError
from dragoman.jobs import spread
from dragoman.stages import prepare
from dragoman.store.corpus import first_pass, records
from dragoman.store.run.artifact import Artifact, file_digest

OFF = (
    "checks: {identical: false, max_length: null, length_ratio: null, script: null, language: null, numbers: false, "
    "urls: false, markup: false, placeholders: false, repetition: null, mojibake: false, alignment: null, coverage: null}"
)
SPLITS = ("train", "dev", "test")
Pair = tuple[str, ...]


class Log:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.tasks: dict[str, tuple[float, float | None]] = {}

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def progress(self, task: str, done: float, total: float | None = None, **facts: Any) -> None:
        self.tasks[task] = (done, total)


def words(seed: int, count: int = 12) -> str:
    chance = random.Random(seed)
    return " ".join("".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(count))


def numbered(start: int, stop: int) -> list[Pair]:
    return [(words(i), words(i + 1_000_000)) for i in range(start, stop)]


def write_tsv(path: Path, rows: list[Pair], header: str = "source\ttarget") -> None:
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n", encoding="utf-8", newline="\n")


def run(folder: Path, text: str, listener: Listener = SILENT, out: str = "prepare", pairs: str = "en-fr") -> Artifact:
    body = "\n".join(f"  {line}" for line in text.strip().split("\n"))
    recipe = Recipe.parse(f"pairs: [{pairs}]\nprepare:\n{body}\n", folder=folder)
    return prepare.run(recipe, {}, folder / out, "key", listener)


def split(artifact: Artifact, name: str) -> list[Example]:
    return list(records.read(artifact.folder / name, Example))


def rejected(folder: Path) -> list[dict[str, str]]:
    with (folder / "rejected.tsv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def keys(examples: list[Example]) -> set[str]:
    return {leak_key(text) for example in examples for text in (example.source, example.target)}


def check_partition(artifact: Artifact) -> None:
    """Every row went in and came out once, and the report, the shards and the rejected file agree."""
    rows, facts = artifact.facts["rows"], artifact.facts
    gone = rejected(artifact.folder)
    kept = [example for name in SPLITS for example in split(artifact, name)]
    assert rows["in"] == len(kept) + len(gone)
    assert rows["rejected"] == len(gone) == sum(facts["reasons"].values())
    assert facts["reasons"] == dict(Counter(row["reason"] for row in gone))
    places = [(e.origin, e.line) for e in kept] + [(row["origin"], int(row["line"])) for row in gone]
    assert len(set(places)) == len(places) == rows["in"]
    for origin in facts["origins"]:
        assert origin["in"] == sum(origin["kept"].values()) + sum(origin["rejected"].values())
    for left, right in itertools.combinations(SPLITS, 2):
        assert not keys(split(artifact, left)) & keys(split(artifact, right))
    told = {name: value for name, value in facts.items() if name != "contents"}  # digests, for the stages after it
    assert json.loads((artifact.folder / "report.json").read_text(encoding="utf-8")) == told
    assert not (artifact.folder / "interim").exists()


def test_every_row_is_kept_or_rejected_with_a_reason(tmp_path: Path) -> None:
    rows = numbered(0, 400)
    rows[10] = rows[5]
    rows[11] = (rows[5][0].upper() + " 12!", rows[5][1])
    rows[20] = (words(20), "")
    rows[30] = (words(31, 40), words(99, 40))
    rows[31] = (words(31, 40) + " a", words(99, 40))
    write_tsv(tmp_path / "a.tsv", rows)
    log = Log()
    artifact = run(tmp_path, f"parallel: a.tsv\n{OFF}\nholdout: {{dev: 20, test: 30}}", log)
    check_partition(artifact)
    gone = {int(row["line"]): (row["reason"], row["detail"]) for row in rejected(artifact.folder)}
    assert gone[12] == gone[13] == ("duplicate", "as a.tsv:7")
    assert gone[22][0] == "empty"
    assert gone[33][0] == "near_duplicate" and gone[33][1].endswith(" like a.tsv:32")
    assert artifact.facts["rows"] == {"in": 400, "train": 346, "dev": 20, "test": 30, "rejected": 4}
    assert artifact.facts["examples"]["duplicate"][0]["line"] == 12
    assert Artifact.done(artifact.folder, "key") is not None
    done, total = log.tasks["prepare: read and check"]
    assert done == total
    assert any("duplicate" in line for line in log.said)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 25), st.integers(0, 25), st.sampled_from(["", " 7", "!"])), min_size=6, max_size=60
    ),
    st.sampled_from(["random", "length", "domain", "document"]),
    st.sampled_from(["4", "0.2"]),
    st.booleans(),
)
def test_splits_never_share_a_segment(
    tmp_path: Path, rows: list[tuple[int, int, str]], by: str, size: str, with_test: bool
) -> None:
    texts = [(f"{words(a)}{c}", words(b + 100), f"d{a % 3}", f"doc{b % 5}") for a, b, c in rows]
    write_tsv(tmp_path / "a.tsv", texts, "source\ttarget\tdomain\tdocument")
    write_tsv(tmp_path / "t.tsv", [("X" + words(1), words(101)), (words(2), words(102))])
    given_test = "\n  - {path: t.tsv, use: test}" if with_test else ""
    try:
        artifact = run(
            tmp_path,
            f"parallel:\n  - {{path: a.tsv, columns: {{domain: domain, document: document}}}}{given_test}\n"
            f"{OFF}\nholdout: {{dev: {size}, test: {size}, by: {by}}}",
        )
    except DataError as error:
        assert "left to train on" in str(error) or "leaves no row" in str(error)
        return
    check_partition(artifact)
    if by == "document":
        where: dict[str, set[str]] = {}
        for name in SPLITS:
            for example in split(artifact, name):
                if example.document:
                    where.setdefault(example.document, set()).add(name)
        assert all(len(names) == 1 for names in where.values())


@pytest.mark.slow
def test_two_runs_give_the_same_bytes_and_so_do_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tsv(tmp_path / "a.tsv", [*numbered(0, 300), *numbered(0, 20), ("a", "")])
    (tmp_path / "m.txt").write_text("\n".join(words(i) for i in range(50)) + "\n", encoding="utf-8")
    text = f"parallel: a.tsv\nmonolingual: {{en: m.txt}}\n{OFF}\nholdout: {{dev: 20, test: 30}}"
    first = run(tmp_path, text, out="one")
    second = run(tmp_path, text, out="two")
    monkeypatch.setattr(first_pass, "_SMALL", 0)
    monkeypatch.setattr(first_pass, "CHUNK", 50)
    third = run(tmp_path, text, out="three")
    assert file_digest(first.folder) == file_digest(second.folder) == file_digest(third.folder)


@pytest.mark.parametrize("crew", [(2, None), pytest.param((2, "local"), marks=pytest.mark.long)], ids=["here", "ray"])
@pytest.mark.filterwarnings("ignore")  # of Ray's own start
def test_what_stands_far_apart_is_found_by_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crew: tuple[int, str | None]
) -> None:
    monkeypatch.setattr(first_pass, "CHUNK", 40)
    rows = numbered(0, 300)
    near = [(f"{source} now", f"{target} ici") for source, target in map(long_pair, range(60))]
    write_tsv(tmp_path / "a.tsv", [*rows, *map(long_pair, range(60)), *rows[5:15], *near, ("a", "")])
    write_tsv(tmp_path / "t.tsv", [rows[20], (words(4000), rows[30][1]), (near[7][0] + "!", "autre")])
    text = "parallel: [a.tsv, {path: t.tsv, use: test}]\nchecks: {language: null}\nholdout: {dev: 20}"
    with spread(1, None):
        alone = run(tmp_path, text, out="alone")
    with spread(*crew):
        shared = run(tmp_path, text, out="shared")
    assert file_digest(alone.folder) == file_digest(shared.folder)
    assert {"duplicate", "near_duplicate", "leaks_into_test", "near_test"} <= set(alone.facts["reasons"])


def long_pair(number: int) -> tuple[str, str]:
    return " ".join(words(number + 1000 * k) for k in range(6)), " ".join(
        words(number + 500 + 1000 * k) for k in range(6)
    )


def test_the_order_of_files_and_rows_does_not_matter_to_the_split(tmp_path: Path) -> None:
    rows = [(words(i % 90), words(1000 + i % 70)) for i in range(300)]
    write_tsv(tmp_path / "a.tsv", rows[:200])
    write_tsv(tmp_path / "b.tsv", rows[200:])
    write_tsv(tmp_path / "a2.tsv", rows[:200][::-1])
    write_tsv(tmp_path / "t.tsv", [(words(3), words(5000)), (words(4000), words(1009))])
    tail = f"  - {{path: t.tsv, use: test}}\n{OFF}\nholdout: {{dev: 20}}"
    one = run(tmp_path, f"parallel:\n  - a.tsv\n  - b.tsv\n{tail}", out="one")
    two = run(tmp_path, f"parallel:\n  - b.tsv\n  - a2.tsv\n{tail}", out="two")
    for name in SPLITS:
        assert {(e.source, e.target) for e in split(one, name)} == {(e.source, e.target) for e in split(two, name)}
    leaked = [{row["source"] for row in rejected(a.folder) if row["reason"].startswith("leaks")} for a in (one, two)]
    assert leaked[0] == leaked[1] and leaked[0]


def test_given_test_files_stay_whole_and_leave_train(tmp_path: Path) -> None:
    test = [
        *numbered(0, 10),
        numbered(0, 1)[0],
        ("Take 51 mg 62 times in 73 days.", "Prendre 14 mg 25 fois en 36 jours."),
        ("", "vide"),
    ]
    train = [
        *numbered(100, 300),
        (words(0).title() + "?", "autre chose"),
        ("take mg times in days", "rien"),
        (words(1) + " x", words(7777)),
    ]
    write_tsv(tmp_path / "train.tsv", train)
    write_tsv(tmp_path / "test.tsv", test)
    log = Log()
    checks = "checks: {script: null, language: null, length_ratio: null, repetition: null}"
    artifact = run(
        tmp_path, f"parallel:\n  - train.tsv\n  - {{path: test.tsv, use: test}}\n{checks}\nholdout: {{dev: 10}}", log
    )
    check_partition(artifact)
    assert artifact.facts["rows"]["test"] == 12
    gone = {(row["origin"], int(row["line"])): row for row in rejected(artifact.folder)}
    assert gone[("test.tsv", 14)]["reason"] == "empty"
    assert gone[("train.tsv", 202)]["reason"] == "leaks_into_test"
    assert gone[("train.tsv", 202)]["detail"] == "as test.tsv:2"
    assert gone[("train.tsv", 203)]["detail"] == "as test.tsv:13"
    assert gone[("train.tsv", 204)]["reason"] == "near_test"
    assert artifact.facts["flagged"] == {"numbers": 1}
    assert any("numbers 1" in line for line in log.warned)


def test_given_dev_rows_that_stand_in_the_given_test_go(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", numbered(100, 150))
    write_tsv(tmp_path / "test.tsv", numbered(0, 10))
    write_tsv(tmp_path / "dev.tsv", numbered(9, 20))
    log = Log()
    artifact = run(
        tmp_path,
        f"parallel:\n  - train.tsv\n  - {{path: test.tsv, use: test}}\n  - {{path: dev.tsv, use: dev}}\n{OFF}",
        log,
    )
    check_partition(artifact)
    assert not any("too many" in line for line in log.warned)
    assert artifact.facts["rows"] == {"in": 71, "train": 50, "dev": 10, "test": 10, "rejected": 1}


def test_folds_are_disjoint_and_cover(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", [*numbered(0, 200), *((words(i), words(i + 50)) for i in range(20))])
    found = []
    for fold in range(4):
        artifact = run(
            tmp_path, f"parallel: a.tsv\n{OFF}\nholdout: {{dev: 10, folds: 4, fold: {fold}, near: null}}", out=str(fold)
        )
        check_partition(artifact)
        assert artifact.facts["rows"]["dev"] == 10
        found.append({(e.source, e.target) for e in split(artifact, "test")})
    assert [len(left & right) for left, right in itertools.combinations(found, 2)] == [0] * 6
    assert len(set.union(*found)) == 220
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_folds_exclude_a_given_test_file(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", numbered(0, 20))
    with pytest.raises(RecipeError, match="folds"):
        run(tmp_path, "parallel: [{path: a.tsv, use: test}]\nholdout: {folds: 3}")


def test_whole_documents_are_held_out_and_their_segments_leave_train(tmp_path: Path) -> None:
    rows = [(*pair, f"doc{i // 10}") for i, pair in enumerate(numbered(0, 300))]
    rows += [(words(i * 10), f"{words(i + 5000)}", "common") for i in range(30)]
    write_tsv(tmp_path / "a.tsv", rows, "source\ttarget\tdocument")
    source = "parallel: [{path: a.tsv, columns: {document: document}}]"
    artifact = run(tmp_path, f"{source}\n{OFF}\nholdout: {{dev: 20, test: 30, by: document}}")
    check_partition(artifact)
    assert artifact.facts["rows"]["test"] == 30
    assert len({e.document for e in split(artifact, "test")}) <= 3
    assert artifact.facts["reasons"] == {"leaks_into_test": 3, "leaks_into_dev": 2}


def test_splitting_by_document_without_documents_is_an_error(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", numbered(0, 20))
    with pytest.raises(DataError, match=r"columns\.document"):
        run(tmp_path, f"parallel: a.tsv\n{OFF}\nholdout: {{by: document}}")


def test_small_corpora_shrink_the_held_out_sets_and_say_so(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", numbered(0, 60))
    log = Log()
    artifact = run(tmp_path, f"parallel: a.tsv\n{OFF}", log)
    assert artifact.facts["rows"] == {"in": 60, "train": 40, "dev": 10, "test": 10, "rejected": 0}
    assert any("1000 test segments are too many" in line for line in log.warned)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_smallest_corpora_train(tmp_path: Path, count: int) -> None:
    write_tsv(tmp_path / "a.tsv", numbered(0, count))
    artifact = run(tmp_path, f"parallel: a.tsv\n{OFF}")
    check_partition(artifact)
    assert artifact.facts["rows"]["train"] == max(1, count - 2) if count > 2 else count


def test_nothing_left_is_an_error_with_the_table_of_reasons(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", [("a", ""), ("", "b"), ("same words here", "same words here")])
    with pytest.raises(DataError, match=r"(?s)nothing is left.*3  rows read.*2  empty.*1  identical"):
        run(tmp_path, "parallel: a.tsv\nchecks: {language: null, script: null}")
    assert len(rejected(tmp_path / "prepare")) == 3
    assert Artifact.done(tmp_path / "prepare", "key") is None


def test_files_without_rows_are_an_error(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", [])
    with pytest.raises(DataError, match=r"(?s)1  rows read.*1  empty_file"):
        run(tmp_path, "parallel: a.tsv")


def test_monolingual_texts_lose_duplicates_and_what_stands_in_dev_or_test(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", numbered(0, 40))
    write_tsv(tmp_path / "test.tsv", numbered(100, 110))
    lines = [words(5), words(200), words(200) + "!", words(105).upper(), words(1_000_106), "", words(201)]
    (tmp_path / "m.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    checks = OFF.replace("language: null", "language: null")
    artifact = run(
        tmp_path,
        f"parallel:\n  - a.tsv\n  - {{path: test.tsv, use: test}}\nmonolingual: {{en: m.txt, fr: m.txt}}\n{checks}\n"
        "holdout: {dev: 0}",
    )
    kept = {e.source for e in split(artifact, "train")}
    assert words(5) in kept
    for language in ("en", "fr"):
        texts = list(records.read(artifact.folder / "text" / language, Text))
        assert [text.text for text in texts] == [words(5), words(200), words(201)]
        assert {text.language for text in texts} == {language}
    gone = [(int(row["line"]), row["reason"], row["detail"]) for row in rejected(artifact.folder)]
    assert (3, "duplicate", "as m.txt:2") in gone
    assert (4, "leaks_into_test", "as test.tsv:7") in gone
    assert (5, "leaks_into_test", "as test.tsv:8") in gone
    origin = next(entry for entry in artifact.facts["origins"] if entry["origin"] == "m.txt")
    assert origin["in"] == origin["kept"]["text"] + sum(origin["rejected"].values())


def test_monolingual_texts_that_hold_a_held_out_segment_go(tmp_path: Path) -> None:
    """In another case, spacing, with accents or without, at the beginning, in the middle or at the end of a longer text."""
    held = "Été prochain, nous verrons la mer à Brême."
    write_tsv(tmp_path / "a.tsv", numbered(0, 40))
    write_tsv(
        tmp_path / "test.tsv",
        [("Next summer we shall see the sea at Bremen.", held), (words(900), "Oui."), (words(901), "Ja jetzt spater")],
    )
    forms = [
        held,
        held.upper(),
        held.replace(" ", "   "),
        "Ete prochain nous verrons la mer a Breme",
        "E\u0301te\u0301" + held[3:],
    ]
    lines = [
        f"{left}{form}{right}"
        for form in forms
        for left, right in (("", f" {words(1)}"), (words(2), words(3)), (f"{words(4)} ", ""))
    ]
    lines.append("Ja, jetzt, später?!")  # short, and one but for accents
    kept = [words(5), "Oui. Je viens.", held[:20]]
    (tmp_path / "m.txt").write_text("\n".join([*lines, *kept]) + "\n", encoding="utf-8")
    parallel = "parallel:\n  - a.tsv\n  - {path: test.tsv, use: test}"
    artifact = run(tmp_path, f"{parallel}\nmonolingual: {{fr: m.txt}}\n{OFF}\nholdout: {{dev: 0}}")
    assert [text.text for text in records.read(artifact.folder / "text" / "fr", Text)] == kept
    gone = [(row["reason"], row["detail"]) for row in rejected(artifact.folder) if row["reason"] != "duplicate"]
    assert set(gone) == {("holds_test", "holds test.tsv:2"), ("holds_test", "holds test.tsv:4")}
    counts = artifact.facts["rows"]
    assert counts["in"] == sum(v for k, v in counts.items() if k != "in")


@pytest.mark.parametrize("side", [0, 1])
def test_rows_that_are_held_out_ones_but_for_accents_leave_train(tmp_path: Path, side: int) -> None:
    pairs = [
        ("Le café d'été est fermé à Noël, déjà.", "Ο καφές το καλοκαίρι είναι κλειστός"),
        ("Всё ещё твой", "Hè này quán đã đóng cửa rồi nhé"),
    ]
    bare = [
        ("Le cafe d'ete est ferme a Noel, deja.", "Ο καφες το καλοκαιρι ειναι κλειστος"),
        ("Все еще твои", "He nay quan đa đong cua roi nhe"),
    ]
    write_tsv(tmp_path / "test.tsv", pairs)
    other = [
        tuple(text if at == side else words(7 * number + at) for at, text in enumerate(pair))
        for number, pair in enumerate(bare)
    ]
    write_tsv(tmp_path / "a.tsv", [*numbered(0, 40), *other])
    artifact = run(tmp_path, f"parallel:\n  - a.tsv\n  - {{path: test.tsv, use: test}}\n{OFF}\nholdout: {{dev: 0}}")
    assert [row["reason"] for row in rejected(artifact.folder)] == ["near_test", "near_test"]
    assert not {pair[side] for pair in bare} & {
        text for row in split(artifact, "train") for text in (row.source, row.target)
    }


def test_texts_alone_are_enough(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("\n".join(words(i) for i in range(5)) + "\n", encoding="utf-8")
    artifact = run(tmp_path, f"monolingual: {{en: m.txt}}\n{OFF}")
    assert artifact.facts["rows"] == {"in": 5, "text": 5, "rejected": 0}


def test_balance_gives_weights_to_train_only(tmp_path: Path) -> None:
    write_tsv(tmp_path / "big.tsv", numbered(0, 400))
    write_tsv(tmp_path / "small.tsv", numbered(500, 600))
    write_tsv(tmp_path / "extra.tsv", numbered(700, 750))
    log = Log()
    artifact = run(
        tmp_path,
        "parallel:\n  - big.tsv\n  - {path: small.tsv, domain: clinic}\n  - {path: extra.tsv, weight: 3}\n"
        f"{OFF}\nbalance: {{temperature: 2}}\nholdout: {{dev: 0, test: 50}}",
        log,
    )
    seen: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for example in split(artifact, "train"):
        seen[example.origin] += example.weight
        rows[example.origin] += 1
    assert seen["extra.tsv"] == 3 * rows["extra.tsv"]
    total = rows["big.tsv"] + rows["small.tsv"]
    root = rows["big.tsv"] ** 0.5 / (rows["big.tsv"] ** 0.5 + rows["small.tsv"] ** 0.5)
    assert seen["big.tsv"] == pytest.approx(total * root)
    assert seen["small.tsv"] == pytest.approx(total * (1 - root))
    assert {e.weight for e in split(artifact, "test")} == {1.0}
    shown = {cell["source"]: cell for cell in artifact.facts["sampling"]}
    assert shown["extra.tsv"]["rows"] == rows["extra.tsv"]
    assert shown["big.tsv"]["rows_per_epoch"] == pytest.approx(seen["big.tsv"], abs=0.1)
    assert any("small.tsv clinic" in line for line in log.said)


def test_an_unknown_name_in_balance_is_an_error(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", numbered(0, 20))
    with pytest.raises(RecipeError, match=r"'b\.tsv'"):
        run(tmp_path, f"parallel: a.tsv\n{OFF}\nbalance: {{weights: {{b.tsv: 2}}}}")


def test_a_reversed_row_is_a_duplicate_and_languages_share_their_segments(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", numbered(0, 60))
    write_tsv(tmp_path / "b.tsv", [(target, source) for source, target in numbered(50, 70)])
    write_tsv(tmp_path / "c.tsv", [(source, words(i + 9000)) for i, (source, _) in enumerate(numbered(0, 60))])
    artifact = run(
        tmp_path,
        "parallel:\n  - {path: a.tsv, pair: en-fr}\n  - {path: b.tsv, pair: fr-en}\n  - {path: c.tsv, pair: en-de}\n"
        f"{OFF}\nholdout: {{dev: 8, test: 8}}",
        pairs="en-fr, fr-en, en-de",
    )
    check_partition(artifact)
    assert artifact.facts["reasons"] == {"duplicate": 10}
    assert {e.source_language for e in split(artifact, "train")} == {"en", "fr"}
    sizes = {entry["pair"]: entry["test"]["rows"] for entry in artifact.facts["holdout"]["pairs"]}
    assert sizes == {"en-fr": 8, "de-en": 8}


def test_pairs_that_the_recipe_does_not_translate_are_warned_of(tmp_path: Path) -> None:
    for name in "abc":
        write_tsv(tmp_path / f"{name}.tsv", numbered(100 * ord(name), 100 * ord(name) + 30))
    log = Log()
    run(
        tmp_path,
        "parallel:\n  - {path: a.tsv, pair: fr-en-GB}\n  - {path: b.tsv, pair: en-fr}\n  - {path: c.tsv, pair: de-fr}\n"
        f"{OFF}\nholdout: {{dev: 0, test: 0}}",
        log,
    )
    assert [line for line in log.warned if "does not translate" in line] == [
        "the recipe does not translate de-fr, so its training rows will not be used"
    ]


def test_a_pair_without_a_training_row_is_warned_of(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", numbered(0, 30))
    log = Log()
    body = f"parallel: [{{path: a.tsv, pair: en-fr}}]\n{OFF}\nholdout: {{dev: 0, test: 0}}"
    run(tmp_path, body, log, pairs="fr-en, en-de")
    assert [line.partition(":")[0] for line in log.warned] == ["there is no training row for en-de"]


def test_half_a_surrogate_pair_is_rejected_not_raised(tmp_path: Path) -> None:
    lines = [json.dumps({"source": source, "target": target}) for source, target in numbered(0, 9)]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, '{"source": "x \\ud83d", "target": "y"}']) + "\n")
    artifact = run(tmp_path, f"parallel: a.jsonl\n{OFF}\nholdout: {{dev: 0, test: 0}}")
    check_partition(artifact)
    assert sum(artifact.facts["reasons"].values()) == 1


@pytest.mark.long
def test_real_text(tmp_path: Path, shared_data: Path) -> None:
    """Medical and everyday text, as it comes: every row accounted for, no leak, given sets whole."""
    medical = shared_data / "medical" / "emea_en-fr_train.tsv.gz"
    tatoeba = shared_data / "tatoeba"
    artifact = run(
        tmp_path,
        f"parallel:\n  - {{path: {medical}, quoting: none, limit: 1500}}\n  - {{path: {tatoeba}/train.en-fr.tsv.gz, limit: 750}}\n"
        f"  - {{path: {tatoeba}/test.en-fr.tsv.gz, use: test, limit: 500}}\nholdout: {{dev: 200}}",
    )
    check_partition(artifact)
    rows = artifact.facts["rows"]
    assert rows["in"] == 1500 + 750 + 500
    assert rows["test"] == 500 and rows["dev"] == 200
    assert rows["train"] > 1500
    english = artifact.facts["splits"]["train"]["languages"]["en"]
    assert english["segments"] == rows["train"] == sum(english["histogram"]["counts"])
    assert {entry["check"] for entry in artifact.facts["learned"]} == {"alignment", "coverage"}
    assert 10 < english["words"] / english["segments"] < 20


def test_a_row_on_which_a_check_fails_is_lost_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dragoman.core.corpus.checks import Checker

    real = Checker.check_many

    def failing(self: Checker, pairs: list[Example]) -> Any:
        if any("poison" in pair.source for pair in pairs):
            raise ValueError("Exceeds the limit")
        return real(self, pairs)

    monkeypatch.setattr(Checker, "check_many", failing)
    rows = "".join(f"{words(n)}{' poison' * (n == 7)}\t{words(n + 1_000_000)}\n" for n in range(20))
    (tmp_path / "a.tsv").write_text("source\ttarget\n" + rows)
    facts = run(tmp_path, f"parallel: a.tsv\n{OFF}\nholdout: {{dev: 0, test: 0}}").facts
    assert facts["rows"]["rejected"] == 1
    assert facts["reasons"] == {"fault": 1}


def test_a_file_of_which_much_is_lost_is_told(tmp_path: Path) -> None:
    rows = [(words(n), "" if n % 2 else words(n + 1_000_000)) for n in range(60)]
    write_tsv(tmp_path / "a.tsv", rows)
    log = Log()
    run(tmp_path, f"parallel: a.tsv\n{OFF}\nholdout: {{dev: 0, test: 0}}", log)
    assert any("a.tsv: 50% of its 60 rows were rejected (empty 30)" in text for text in log.warned)


def test_a_wanted_region_without_rows_of_its_own_is_told(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", numbered(0, 60), "en\tfra")
    log = Log()
    run(tmp_path, f"parallel: a.tsv\n{OFF}\nholdout: {{dev: 0, test: 0}}", log, pairs="en-fr, en>fr-CA")
    assert any("no training row for en>fr-CA" in text for text in log.warned)
    log = Log()
    run(tmp_path, f"parallel: a.tsv\n{OFF}\nholdout: {{dev: 0, test: 0}}", log, pairs="en>fr-CA", out="two")
    assert not any("no training row" in text for text in log.warned)

"""Post-edits: judged, remembered, parted; who sends wrong ones changes nothing."""

from __future__ import annotations

import json
import tempfile
import time
import unicodedata
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dragoman.core.records import Example, Rejected
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import leak_key
from dragoman.core.watch.feedback import Edit, distances, for_test, outlying
from dragoman.store.corpus import records
from dragoman.store.formats.documents import Document
from dragoman.store.formats.documents.model import Translated
from dragoman.store.ledger import Ledger
from dragoman.store.memory.translation_memory import Memory, memory_file
from dragoman.store.run.choices import FILE as CHOICES
from dragoman.store.run.erase import erase
from dragoman.store.run.feedback import Desk, read
from tests.commands import Command

WAY = Direction("en", "fr")
NOUNS = {
    "house": "maison",
    "tree": "arbre",
    "river": "rivière",
    "letter": "lettre",
    "garden": "jardin",
    "window": "fenêtre",
}
NOUNS |= {"doctor": "médecin", "engine": "moteur", "bottle": "bouteille", "castle": "château", "bridge": "pont"}
VERBS = {
    "sees": "voit",
    "finds": "trouve",
    "has": "a",
    "wants": "veut",
    "sells": "vend",
    "paints": "peint",
    "draws": "dessine",
}
WHO = {"the boy": "le garçon", "my sister": "ma soeur", "the teacher": "le professeur", "our uncle": "notre oncle"}


def sentence(random: np.random.Generator) -> tuple[str, str]:
    who, verb = (list(one)[random.integers(len(one))] for one in (WHO, VERBS))
    nouns = random.choice(list(NOUNS), 3, replace=False).tolist()
    english = f"{who} {verb} a {nouns[0]} near the {nouns[1]} and a {nouns[2]}."
    return english, f"{WHO[who]} {VERBS[verb]} un {NOUNS[nouns[0]]} près du {NOUNS[nouns[1]]} et un {NOUNS[nouns[2]]}."


def run_of(folder: Path, rules: str = "{}", rows: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(f"pairs: en-fr\nmonitor: {{feedback: {rules}}}\n")
    random = np.random.default_rng(5)
    train = [Example(*sentence(random), "en", "fr") for _ in range(rows or 1)]
    records.write(folder / "prepare" / "train", train, Example)
    records.write(folder / "prepare" / "test", [Example("held out one.", "mis de côté.", "en", "fr")], Example)
    return folder


def edits(count: int, seed: int = 1, **given: str) -> list[Edit]:
    random = np.random.default_rng(seed)
    found = dict(sentence(random) for _ in range(3 * count))
    known = {"user": "anna", **given}
    return [
        Edit(source, target, WAY, target.replace("près", "proche"), f"doc{number % 40}", **known)
        for number, (source, target) in enumerate(list(found.items())[:count])
    ]


def segments_of(run: Path) -> set[tuple[str, str]]:
    if not memory_file(run).is_file():
        return set()
    with Memory.open(run) as memory:
        return {(one.source, one.target) for _, one in memory.segments("default")}


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "accept", "revoke"]),
        st.sampled_from(["anna", "bert"]),
        st.integers(0, 1),
        st.integers(0, 2),
    ),
    min_size=2,
    max_size=8,
)


@settings(max_examples=20, deadline=None)
@example([("take", "anna", 0, 0), ("take", "anna", 0, 1), ("take", "anna", 0, 0)], False)
@example([("take", "anna", 0, 0), ("take", "bert", 0, 0), ("take", "anna", 0, 1), ("revoke", "bert", 0, 0)], False)
@example([("take", "anna", 0, 0), ("accept", "anna", 0, 0), ("take", "anna", 0, 1), ("accept", "anna", 0, 0)], True)
@given(ACTS, st.booleans())
def test_of_a_user_one_word_stands_and_the_memory_has_what_is_accepted(
    acts: list[tuple[str, str, int, int]], approve: bool
) -> None:
    """Whatever is edited, let in and taken back in which order."""
    sources = [
        ("The boy sees a house.", "Le garçon voit une maison"),
        ("My sister has a letter.", "Ma soeur a une lettre"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        run = run_of(
            Path(folder),
            f"{{approve: {str(approve).lower()}, test: 0.3, trusted: [{'' if approve else 'anna, bert'}]}}",
        )
        with Desk.open(run) as desk:
            taken_back = False
            for verb, user, place, ending in acts:
                source = sources[place][0]
                target = sources[place][1] + [".", " ici.", " là-bas."][ending]
                if verb == "take":
                    desk.take([Edit(source, target, WAY, user=user)])
                else:
                    rows = desk.store.rows(user=user)
                    (desk.accept if verb == "accept" else desk.revoke)(rows[ending:])
                    taken_back |= verb == "revoke"
                stand = desk.store.rows(status="accepted")
                owners = [(one.edit.user, one.edit.source) for one in stand]
                if verb == "take" and not approve and not taken_back:  # what was said last
                    assert (user, source, target) in [(one.edit.user, one.edit.source, one.edit.text) for one in stand]
                assert len(owners) == len(set(owners))
                assert segments_of(run) == {(one.edit.source, one.edit.text) for one in stand if one.part != "test"}


@pytest.mark.slow
def test_accepted_ones_are_remembered_trained_on_or_tested_with(tmp_path: Path) -> None:
    run = run_of(tmp_path, "{test: 0.3}")
    given_ = edits(150)
    with Desk.open(run) as desk:
        taken = desk.take(given_)
        assert taken.accepted == 150 and not taken.waiting and taken.parts.total() == 150
        assert taken.parts["test"] > 10 and taken.parts["train"] > 50
        again = desk.take(given_)
        assert (again.accepted, again.known) == (0, 150)
        counts = desk.store.write(run / "feedback")
        summary = desk.store.summary(WAY)
    assert summary is not None and summary.edits == 150 and summary.hter is not None and 5 < summary.hter < 15
    train, test = (
        [json.loads(row) for row in (run / "feedback" / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "test")
    )
    assert counts == {"train": len(train), "test": len(test), "pairs": len(train)}
    assert not {one["document"] for one in train} & {one["document"] for one in test}
    keys = [{leak_key(one[side]) for one in rows for side in ("source", "target")} for rows in (train, test)]
    assert not keys[0] & keys[1]
    held = segments_of(run)
    assert len(held) == len(train) and not {one["source"] for one in test} & {source for source, _ in held}


def test_what_was_held_out_is_not_trained_on_and_what_was_trained_on_is_no_test(tmp_path: Path) -> None:
    run = run_of(tmp_path / "a", "{test: 0}")
    with Desk.open(run) as desk:
        taken = desk.take([Edit("Held out one!", "Mis de côté !", WAY, user="anna")])
        assert taken.parts == {"held out": 1}
    run = run_of(tmp_path / "b", "{test: 1}", rows=3)
    known = next(iter(records.read(run / "prepare" / "train", Example)))
    with Desk.open(run) as desk:
        assert desk.take([Edit(known.source, known.target, WAY, user="anna")]).parts == {"seen in training": 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("the boy has 350 apples and a house near the river", "check identical"),
        ("le garçon a 450 pommes et une maison près de la rivière", "check numbers"),
        ("le garçon a 350 pommes\x07 et une maison", "characters"),
        ("мальчик имеет 350 яблок и дом возле реки", "check script"),
        ("le garçon le garçon le garçon le garçon le garçon le garçon le garçon 350", "check repetition"),
        ("<|im_start|>system le garçon a 350 pommes et une maison près de la rivière", "marker"),
    ],
)
def test_what_fails_a_check_waits(text: str, why: str, tmp_path: Path) -> None:
    run = run_of(tmp_path)
    with Desk.open(run) as desk:
        taken = desk.take([Edit("the boy has 350 apples and a house near the river", text, WAY, user="anna")])
        assert (dict(taken.waiting), taken.accepted) == ({why: 1}, 0)
        assert not segments_of(run)


SHORT = [
    ("Tom is sick.", "Tom est malade."),
    ("Prices rose by 3,5 %.", "Les prix ont augmenté de 3,5 %."),
    ("The door is open.", "La porte est ouverte."),
    ("I slept well.", "J'ai bien dormi."),
]


@settings(max_examples=15)
@given(st.lists(st.sampled_from(SHORT), min_size=1, unique=True), st.integers(0, 10_000), st.booleans())
def test_exchanged_sides_reach_no_memory_unseen(short: list[tuple[str, str]], seed: int, trusted: bool) -> None:
    """A table whose header names its columns the wrong way round, with rows too short for the check of languages; right ones in
    the same file are taken."""
    good = edits(3, seed)
    turned = [replace(good[0], source=french, text=english) for english, french in short]
    turned += [replace(one, source=one.text, text=one.source) for one in edits(2, seed + 20_000)]
    with tempfile.TemporaryDirectory() as folder:
        run = run_of(Path(folder), "{test: 0, trusted: [anna]}" if trusted else "{test: 0}")
        with Desk.open(run) as desk:
            taken = desk.take([*good, *turned])
        assert sum(taken.waiting.values()) == len(turned)
        assert segments_of(run) == {(one.source, one.text) for one in good}


def test_a_user_is_capped_and_another_persons_word_stands(tmp_path: Path) -> None:
    run = run_of(tmp_path, "{most: 30, test: 0, trusted: carla}")
    with Desk.open(run) as desk:
        assert dict(desk.take(edits(50)).waiting) == {"cap": 20}
        first = edits(50)[0]
        other = Edit(first.source, first.text.replace("près", "loin"), WAY, user="bert")
        assert dict(desk.take([other]).waiting) == {"disagrees": 1}
        assert desk.take([Edit(other.source, other.text, WAY, user="carla")]).accepted == 1
        assert desk.take(edits(80, seed=9, user="carla")).accepted == 80  # who is trusted has no bound
        better = Edit(first.source, first.text + " !", WAY, user="carla")
        assert desk.take([better]).accepted == 1
        assert [one.status for one in desk.store.rows(user="carla") if one.edit.source == first.source] == [
            "superseded",
            "accepted",
        ]


@pytest.mark.parametrize("form", ["NFD", "spaces", "hidden"])
def test_the_same_words_in_another_form_are_no_other_opinion(form: str, tmp_path: Path) -> None:
    """Two people, two systems: what reads the same neither waits nor counts as changed nor twice."""
    change = {
        "NFD": lambda text: unicodedata.normalize("NFD", text),
        "spaces": lambda text: text.replace(" ", "\u00a0"),
        "hidden": lambda text: f"\ufeff{text}\u200b",
    }[form]
    said = Edit("The pupil sees the tree.", "L’élève voit l’arbre là-bas.", WAY, machine="L’élève voit l’arbre là-bas.")
    again = replace(said, source=change(said.source), text=change(said.text))
    [distance] = distances([replace(said, text=change(said.text))])
    assert distance is not None and distance.edits == 0 and distance.chrf == pytest.approx(100)
    run = run_of(tmp_path)
    with Desk.open(run) as desk:
        assert desk.take([replace(said, user="anna")]).accepted == 1
        assert desk.take([replace(again, user="bert")]).accepted == 1
        assert desk.take([replace(again, user="anna")]).known == 1
        other = replace(said, text="L’élève a vu un arbre là-bas.", user="carl")
        assert desk.take([other]).waiting == {"disagrees": 1}


def wrong(kind: str, count: int) -> list[Edit]:
    """What a person who means harm, or a script gone wrong, sends."""
    good = edits(count, seed=3, user="mallory")
    if kind == "of other sentences":
        return [
            Edit(one.source, other.text, WAY, one.machine, one.document, "mallory")
            for one, other in zip(good, good[7:] + good[:7], strict=True)
        ]
    if kind == "other numbers":
        return [
            Edit(one.source + f" {n}", one.text + f" {n + 1}", WAY, one.machine, one.document, "mallory")
            for n, one in enumerate(good)
        ]
    if kind == "copies":
        return [Edit(one.source, one.source, WAY, one.machine, one.document, "mallory") for one in good]
    if kind == "one sentence":
        return [
            Edit(
                one.source,
                "Achetez nos produits sur notre site, tout est moins cher ici.",
                WAY,
                one.machine,
                one.document,
                "mallory",
            )
            for one in good
        ]
    markers = "<|im_start|>system"
    return [Edit(one.source, f"{one.text} {markers}", WAY, one.machine, one.document, "mallory") for one in good]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["of other sentences", "other numbers", "copies", "one sentence", "markers"])
def test_one_user_with_hundreds_of_wrong_edits_changes_nothing(kind: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, "{test: 0.1}", rows=800)
    with Desk.open(run) as desk:
        honest = edits(60)
        assert desk.take(honest).accepted > 55
        before = segments_of(run)
        desk.store.write(run / "feedback")
        files = {path.name: path.read_bytes() for path in (run / "feedback").iterdir()}
        poison = wrong(kind, 400)
        taken = desk.take(poison)
        assert taken.accepted + taken.waiting.total() + taken.known == 400
        desk.store.write(run / "feedback")
        assert segments_of(run) == before
        assert {path.name: path.read_bytes() for path in (run / "feedback").iterdir()} == files
        after = desk.take([Edit("a new one.", "un nouveau.", WAY, user="mallory")])
        assert not after.accepted or after.revoked == 1  # and the next ones do not get in either
        assert segments_of(run) == before


def test_a_person_lets_in_and_takes_back(tmp_path: Path, dragoman: Command) -> None:
    run = run_of(tmp_path, "{approve: true, test: 0}")
    file = tmp_path / "edits.tsv"
    file.write_text("source\ttarget\tmachine\tdocument\nthe cat sleeps.\tle chat dort.\tle chat dormir.\ta.docx\n")
    done = dragoman("feedback", "import", run, file, "--user", "anna", "--json")
    assert done.record["waiting"] == {"approval": 1} and done.record["without_machine"] == 0, done
    assert not segments_of(run)
    assert dragoman("feedback", "accept", run, "--user", "anna", "--json").record["edits"] == 1
    assert segments_of(run) == {("the cat sleeps.", "le chat dort.")}
    assert "accepted" in dragoman("feedback", "list", run).out
    assert dragoman("feedback", "list", run, "--json").record["text"] == "le chat dort."
    assert dragoman("feedback", "write", run, "--json").record["pairs"] == 1
    [pair] = (run / "feedback" / "pairs.jsonl").read_text().splitlines()
    told = json.loads(pair)
    assert abs(time.time() - datetime.fromisoformat(told.pop("date")).timestamp()) < 600
    assert told == {
        "source": "the cat sleeps.",
        "better": "le chat dort.",
        "worse": "le chat dormir.",
        "direction": "en-fr",
        "author": "anna",
    }
    assert dragoman("feedback", "revoke", run, "--id", "1", "--json").record["edits"] == 1
    assert not segments_of(run)
    assert dragoman("feedback", "accept", run).code == 2


XLIFF = """<?xml version="1.0"?><xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
<file original="a.docx" source-language="en" target-language="fr" datatype="plaintext"><body>
<trans-unit id="1"><source>the cat sleeps.</source><target state="final">le chat dort.</target></trans-unit>
</body></file></xliff>"""
TMX = """<?xml version="1.0"?><tmx version="1.4"><header creationtool="x" creationtoolversion="1" segtype="sentence" o-tmf="x"
adminlang="en" srclang="en" datatype="plaintext"/><body><tu><tuv xml:lang="en"><seg>the cat sleeps.</seg></tuv>
<tuv xml:lang="fr"><seg>le chat dort.</seg></tuv></tu></body></tmx>"""
PO = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\nLanguage: fr\\n"\n\nmsgid "the cat sleeps."\nmsgstr "le chat dort."\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.xliff", XLIFF),
        ("a.tmx", TMX),
        ("a.po", PO),
        ("a.tsv", "source\ttarget\nthe cat sleeps.\tle chat dort.\n"),
        ("a.csv", "source,target\nthe cat sleeps.,le chat dort.\n"),
        ("a.jsonl", '{"source": "the cat sleeps.", "target": "le chat dort."}\n'),
    ],
)
def test_every_format_of_a_cat_tool_is_read(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    rows = read(tmp_path, tmp_path / name, WAY, user="anna", tenant="default")
    [edit] = [one for one in rows if isinstance(one, Edit)]
    assert (edit.source, edit.text, edit.user) == ("the cat sleeps.", "le chat dort.", "anna")
    assert not any(isinstance(one, Rejected) for one in rows)


def test_nothing_of_an_erased_tenant_stays(tmp_path: Path) -> None:
    run = run_of(tmp_path, "{test: 0}")
    secret, other = "the zarquon confesses.", "the vogon reads."
    with Desk.open(run) as desk:
        desk.take(
            [
                Edit(secret, "le zarquon avoue.", WAY, secret, user="anna", tenant="acme"),
                Edit(other, "le vogon lit.", WAY, user="anna"),
            ]
        )
        desk.store.show([Edit(secret, "", WAY, "zarquon machine", tenant="acme")])
        desk.store.write(run / "feedback")
    erase(run, tenant="acme")
    held = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())
    assert b"zarquon" not in held and b"vogon" in held


def test_verdicts_and_ratings_are_told(tmp_path: Path) -> None:
    with Desk.open(run_of(tmp_path)) as desk:
        shown = Edit("a cat.", "un chat.", WAY, "un chat.", user="anna")
        desk.verdict(shown, good=True)
        desk.verdict(shown, good=False)
        desk.rate(shown, 4)
        told = desk.store.summary(WAY)
        assert told is not None and (told.verdicts, told.approved, told.rating, told.edits) == (2, 0.5, 4.0, 0)
        assert desk.store.summary("fr-en") is None


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_a_document_stays_a_test_when_the_share_grows(name: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert not for_test(name, low, "k") or for_test(name, high, "k")
    assert not for_test(name, 0, "k") and for_test(name, 1, "k")


def test_distances_are_those_of_sacrebleu() -> None:
    from sacrebleu.metrics import CHRF, TER

    row = Edit("x", "le chat dort bien.", WAY, "le chat dormir bien.")
    [found, none] = distances([row, Edit("x", "y", WAY)])
    assert found is not None and none is None
    assert 100 * found.edits / found.words == pytest.approx(TER().corpus_score([row.machine], [[row.text]]).score)
    assert found.chrf == pytest.approx(CHRF(word_order=2).corpus_score([row.machine], [[row.text]]).score)


def test_outliers_need_others_to_be_held_against() -> None:
    assert not outlying(0.0, [80.0] * 49) and outlying(0.0, [80.0] * 50) and not outlying(70.0, [80.0] * 50)


def test_a_ledger_that_keeps_texts_tells_what_the_machine_said(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    assert ledger.translations(["a"], "en-fr", "default") == {}
    ledger.close()


def _chosen(source: str, first: str, second: str, verdict: str, by: str, minute: int) -> str:
    sides = {"first": {"model": "a@1", "text": first}, "second": {"model": "b@2", "text": second}}
    about = {"at": f"2026-05-01T10:{minute:02}:00+00:00", "tenant": "default", "by": by}
    languages = {"source_language": "en", "target_language": "fr"}
    return json.dumps({**about, **languages, "source": source, **sides, "verdict": verdict}) + "\n"


def test_what_people_choose_becomes_pairs_by_majority(tmp_path: Path, dragoman: Command) -> None:
    run = run_of(tmp_path / "run", "{trusted: [anna, ben, carla, dan], test: 0}")
    (run / "server").mkdir()
    random = np.random.default_rng(3)
    rows = [sentence(random) for _ in range(5)]
    better, worse = [b for _, b in rows], [b.replace("près", "proche") for _, b in rows]
    sources = [a for a, _ in rows]
    lines = [
        _chosen(sources[0], better[0], worse[0], "first", "anna", 1),
        _chosen(sources[1], worse[1], better[1], "second", "anna", 2),
        _chosen(sources[1], better[1], worse[1], "second", "ben", 3),  # one against one
        _chosen(sources[2], better[2], worse[2], "second", "anna", 4),
        _chosen(sources[2], better[2], worse[2], "first", "anna", 5),  # thought better of it
        _chosen(sources[3], better[3], worse[3], "first", "anna", 6),
        _chosen(sources[3], better[3], worse[3], "second", "ben", 7),
        _chosen(sources[3], worse[3], better[3], "second", "carla", 8),
        _chosen(sources[4], better[4], worse[4], "same", "anna", 9),
        _chosen(sources[4], "12 345.", worse[4], "first", "dan", 10),  # fails the checks
        "{half a line\n",
        _chosen(sources[4], better[4], worse[4], "neither", "anna", 11),
    ]
    (run / "server" / CHOICES).write_text("".join(lines))
    assert dragoman("feedback", "write", run, "--json").record["pairs"] == 3
    found = [json.loads(line) for line in (run / "feedback" / "pairs.jsonl").read_text().splitlines()]
    assert {(one["source"], one["better"], one["worse"]) for one in found} == {
        (sources[number], better[number], worse[number]) for number in (0, 2, 3)
    }
    with Desk.open(run) as desk:
        assert not memory_file(run).is_file()  # a machine's translation is nobody's own words
        (waits,) = desk.store.rows(status="waiting")
        assert waits.edit.user == "dan" and waits.reason.startswith("check ")
        again = desk.gather()
        assert (again.accepted, again.known, again.rejected) == (0, 9, {"damaged": 2})
        desk.revoke(desk.store.rows(kind="choice", user="carla"))
        assert len(desk.store.pairs()) == 2


def test_one_user_chooses_no_more_than_others_edit(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "{most: 3, test: 0}")
    (run / "server").mkdir()
    random = np.random.default_rng(3)
    rows = list(dict(sentence(random) for _ in range(8)).items())
    lines = [_chosen(a, b.replace("près", "proche"), b, "first", "eve", number) for number, (a, b) in enumerate(rows)]
    now = [line.replace("2026-05-01T10", f"{date.today()}T00") for line in lines]
    (run / "server" / CHOICES).write_text("".join(now))
    with Desk.open(run) as desk:
        taken = desk.gather()
        assert taken.accepted == 3 and taken.waiting["cap"] == len(rows) - 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "id;French;English;Machine\n1;Le chat dort.;The cat sleeps.;Le chat dormir.\n"),
        ("a.tsv", "fr\ten\tmachine\nLe chat dort.\tThe cat sleeps.\tLe chat dormir.\n"),
        ("a.jsonl", '{"en": "The cat sleeps.", "fr": "Le chat dort.", "machine": "Le chat dormir."}\n'),
        ("a.tsv", "machine\ttarget\tsource\nLe chat dormir.\tLe chat dort.\tThe cat sleeps.\n"),
    ],
)
def test_what_the_machine_said_is_read_whatever_the_other_columns_are_called(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    rows = read(tmp_path, tmp_path / name, Direction("en", "fr"), user="a", tenant="default")
    assert [(r.source, r.text, r.machine) for r in rows if isinstance(r, Edit)] == [
        ("The cat sleeps.", "Le chat dort.", "Le chat dormir.")
    ]


_SOURCE = "The pupil sees the tree."
_FILES = {
    "a.xliff": '<xliff version="1.2"><file source-language="en" target-language="fr"><body><trans-unit id="1"><source>S</source>'
    "</trans-unit></body></file></xliff>",
    "b.xlf": '<xliff version="2.0" xmlns="urn:oasis:names:tc:xliff:document:2.0" srcLang="en" trgLang="fr"><file id="f">'
    '<unit id="1"><segment><source>S</source></segment></unit></file></xliff>',
    "c.tmx": '<tmx version="1.4"><header srclang="en"/><body><tu><tuv xml:lang="en"><seg>S</seg></tuv></tu></body></tmx>',
    "d.po": 'msgid ""\nmsgstr ""\n"Language: fr\\n"\n\nmsgid "S"\nmsgstr ""\n',
}


@pytest.mark.parametrize("name", _FILES)
@pytest.mark.parametrize("flags", [(), ("term",)])
def test_what_the_machine_said_is_read_from_the_file_that_it_wrote(
    name: str, flags: tuple[str, ...], tmp_path: Path, dragoman: Command
) -> None:
    """Which says that nothing in it is finished."""
    run = run_of(tmp_path / "run")
    document = Document.open(
        _FILES[name].replace("S<", f"{_SOURCE}<").replace('"S"', f'"{_SOURCE}"').encode(), name, WAY
    )
    made = {unit.id: Translated("L’élève voit les arbres.", 0.4, flags) for unit in document.units}
    (tmp_path / name).write_bytes(document.with_targets(made))
    (tmp_path / "edited.tsv").write_text(f"en\tfr\n{_SOURCE}\tL’élève voit l’arbre.\n")
    done = dragoman("feedback", "import", run, tmp_path / "edited.tsv", "--machine", tmp_path / name, "--user", "anna")
    assert done.code == 0, done.err
    assert "is not known" not in done.out
    with Desk.open(run) as desk:
        assert [one.edit.machine for one in desk.store.rows()] == ["L’élève voit les arbres."]

"""`dragoman translate` with documents, memory and glossary, and `dragoman confirm`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragoman.core.prompt.terms import Term
from dragoman.core.records import Example
from dragoman.store.formats.documents import Document
from dragoman.store.memory.glossary import Glossary
from dragoman.store.memory.translation_memory import Memory
from tests.commands import Command
from tests.tiny import tiny

XLIFF = """<?xml version="1.0"?>
<xliff version="1.2"><file source-language="en" target-language="de"><body>
<trans-unit id="1"><source>the cat</source></trans-unit>
<trans-unit id="2"><source>the <g id="1">dog</g> sees a house.</source></trans-unit>
<trans-unit id="3"><target>kein Ausgangstext</target></trans-unit>
<trans-unit id="4"><source>a tree</source><target state="final">ein Baum</target></trans-unit>
</body></file></xliff>
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A model that was, by its recipe, trained with examples and terms, and a memory."""
    folder = tmp_path / "run"
    tiny(folder, seed=3)
    (folder / "recipe.yaml").write_text("pairs: [en-de]\ntrain: [{sft: {shots: {0: 0.5, 1: 0.5}, glossary: true}}]\n")
    with Memory.open(folder / "memory" / "memory.sqlite", create=True) as memory:
        memory.add([Example("the cat", "die Katze", "en", "de"), Example("the dog", "der Köter", "en", "de")])
        memory.add([Example("the cat", "das Kätzchen", "en", "de")], "another")
    return folder


@pytest.mark.slow
def test_a_document_is_written_beside_itself_with_all_that_is_known(
    dragoman: Command, run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "manual.xlf"
    path.write_text(XLIFF)
    done = dragoman("translate", run, path, "--html", tmp_path / "page.html")
    assert done.code == 0, done.err
    text = (tmp_path / "manual.de.xlf").read_text()
    assert '<target state="translated" state-qualifier="exact-match">die Katze</target>' in text
    assert '<target state="final">ein Baum</target>' in text
    assert "4 units" not in done.out and "3 units: " in done.out and "1 from the memory" in done.out
    assert f"warning: {path}:5: f1/3: has no <source>" in done.err
    assert "die Katze" in (tmp_path / "page.html").read_text()
    again = dragoman("translate", run, path)
    assert (again.code, again.out) == (3, "")
    assert "is there already. Say with --out" in again.err


def test_an_example_of_the_prompt_stands_in_the_file(dragoman: Command, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "manual.xlf"
    path.write_text(XLIFF.replace(">a tree<", ">the dog sleeps<"))
    done = dragoman("translate", run, path, "--out", tmp_path / "o.xlf", "--fill", "all")
    assert done.code == 0, done.err
    assert (
        '<alt-trans match-quality="66%" origin="dragoman-memory"><source>the dog</source><target>der Köter</target>'
        in (tmp_path / "o.xlf").read_text()
    )


def test_json_tells_everything(dragoman: Command, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "manual.xlf"
    path.write_text(XLIFF)
    done = dragoman("translate", run, "--in", path, "--out", tmp_path / "o.xlf", "--fill", "all", "--json")
    told = done.record
    assert (told["units"], told["outcomes"]["memory"], told["direction"]) == (3, 1, "en-de")
    assert told["problems"] == [{"unit": "f1/3", "line": 5, "reason": "has no <source>"}]
    assert told["assistant"]["exact"] == 1 and told["assistant"]["segments"] >= 3
    assert {json.loads(line)["event"] for line in done.err.split("\n")[:-1]} <= {"warn", "progress", "say"}
    document = Document.open(tmp_path / "o.xlf")
    assert all(unit.target is not None for unit in document.units)
    assert [span.kind for span in document.units[1].target.spans] == ["g", "g"]  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "expected"),
    [([], "die Katze"), (["--tenant", "another"], "das Kätzchen"), (["--no-memory"], None), (["--no-exact"], None)],
)
def test_options_of_the_memory(dragoman: Command, run: Path, options: list[str], expected: str | None) -> None:
    told = dragoman("translate", run, "the cat", "--to", "de", "--json", *options).record
    assert (told["origin"] == "memory") == (expected is not None)
    assert expected is None or told["translation"] == expected
    if "--no-exact" in options:
        assert told["attempts"][0]["shots"] == 1


@pytest.mark.slow
def test_examples_and_terms(dragoman: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "terms.csv").write_text("source,target\ndog,Hund\n,leer\n")
    text = "the dog sleeps"
    told = dragoman("translate", run, text, "--to", "de", "--json").record
    assert [(match["target"], match["percent"]) for match in told["matches"]] == [("der Köter", 66)]
    assert told["attempts"][0]["terms"] == 0
    done = dragoman(
        "translate", run, text, "--to", "de", "--json", "--glossary", tmp_path / "terms.csv", "--min-match", "0.7"
    )
    assert [attempt["shots"] for attempt in done.record["attempts"]] == [0] * len(done.record["attempts"])
    assert done.record["terms"] == [{"source": "dog", "target": "Hund"}]
    assert done.record["attempts"][0]["terms"] == 1
    assert "terms.csv:3: empty" in done.err
    Glossary([Term("dog", "Hund", "en", "de")]).save(run / "memory" / "glossary.tsv")
    assert dragoman("translate", run, text, "--to", "de", "--json", "--shots", 0).record["attempts"][0]["terms"] == 1


def test_help_that_does_not_help_is_told(dragoman: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "terms.csv").write_text("source,target,source_lang,target_lang\ndog,chien,en,fr\n")
    done = dragoman("translate", run, "the dog", "--to", "de", "--glossary", tmp_path / "terms.csv")
    assert done.code == 0 and "terms.csv: has no terms for en-de; those that it has: en-fr" in done.err
    assert "holds nothing" not in done.err
    done = dragoman("translate", run, "the dog", "--to", "de", "--tenant", "anothr")
    assert done.code == 0 and "holds nothing for en-de, tenant 'anothr'" in done.err


def test_no_file_takes_the_place_of_another(dragoman: Command, run: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "manual.xlf", tmp_path / "manual.de.xlf"
    path.write_text(XLIFF)
    done = dragoman("translate", run, path, "--html", path)
    assert done.code == 3 and "manual.xlf: is the document itself. Say with --html" in done.err
    done = dragoman("translate", run, path, "--html", out)
    assert done.code == 3 and "manual.de.xlf: is the translation itself. Say with --html" in done.err
    assert path.read_text() == XLIFF and not out.exists()


@pytest.mark.slow
def test_confirm_then_translate(dragoman: Command, run: Path) -> None:
    done = dragoman("confirm", run, "the dog sleeps", "der Hund schläft", "--to", "de", "--creator", "ana")
    assert (done.code, done.out) == (0, "en-de: confirmed\n")
    assert (
        dragoman("confirm", run, "the dog sleeps", "der Hund schläft", "--to", "de").out == "en-de: was there already\n"
    )
    assert dragoman("translate", run, "the dog sleeps", "--to", "de").out == "der Hund schläft\n"
    assert dragoman("translate", run, "der Hund schläft", "--to", "en").out == "the dog sleeps\n"
    assert dragoman("confirm", run, "x", " ", "--to", "de").code == 3
    done = dragoman("confirm", run, "Call {phone} <b>now</b>", "Ruf {fon} jetzt an", "--to", "de")
    assert done.code == 3 and "{phone}" in done.err and "<b>" in done.err and "--anyway" in done.err
    assert dragoman("confirm", run, "Call {phone}", "Ruf an", "--to", "de", "--anyway").code == 0
    done = dragoman("confirm", run, "Take 2", "Nimm 3", "--to", "de-AT")
    assert done.code == 0 and "the two sides have other numbers" in done.err
    assert "de-AT is asked for; the model was trained on de" in done.err


def test_a_run_without_a_memory_gets_one_by_confirming(dragoman: Command, tmp_path: Path) -> None:
    tiny(tmp_path / "m", seed=3)
    assert dragoman("translate", tmp_path / "m", "x", "--to", "de", "--memory").code == 3
    assert dragoman("confirm", tmp_path / "m", "yes", "ja", "--to", "de").code == 0
    assert dragoman("translate", tmp_path / "m", "yes", "--to", "de", "--memory").out == "ja\n"


@pytest.mark.slow
def test_what_is_no_file_is_told(dragoman: Command, run: Path, tmp_path: Path) -> None:
    done = dragoman("translate", run, "none.xliff", "--to", "de")
    assert done.code == 3 and "none.xliff: no such file" in done.err
    assert "cannot be read: No such file" in dragoman("translate", run, "--in", tmp_path / "none.po", "--to", "de").err
    (tmp_path / "bad.tmx").write_text("<tmx>")
    done = dragoman("translate", run, tmp_path / "bad.tmx", "--to", "de")
    assert done.code == 3 and "bad.tmx" in done.err
    (tmp_path / "fr.xlf").write_text(XLIFF.replace('"en"', '"cs"'))
    done = dragoman("translate", run, tmp_path / "fr.xlf", "--to", "de", "--from", "en")
    assert done.code == 3 and "its languages are cs and de, not en and de. Give the direction" in done.err
    (tmp_path / "xx.xlf").write_text(XLIFF.replace('"de"', '"xx"'))
    done = dragoman("translate", run, tmp_path / "xx.xlf", "--to", "de")
    assert done.code == 0 and "names the language 'xx', which is taken for de and stays" in done.err
    (tmp_path / "cs.po").write_text('msgid ""\nmsgstr "Language: cs\\n"\n\nmsgid "the cat"\nmsgstr ""\n')
    done = dragoman("translate", run, tmp_path / "cs.po", "--to", "de")
    assert done.code == 0 and "names the language 'cs', which is taken for de and stays" in done.err


def test_a_text_file_as_document_and_as_lines(dragoman: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"the cat\r\n\r\nthe dog\r\n")
    assert dragoman("translate", run, tmp_path / "a.txt", "--to", "de").code == 0
    assert (tmp_path / "a.de.txt").read_bytes() == "die Katze\r\n\r\nder Köter\r\n".encode()
    assert dragoman("translate", run, "--in", tmp_path / "a.txt", "--to", "de").out == "die Katze\n\nder Köter\n"


@pytest.mark.slow
def test_a_file_is_never_taken_for_words(dragoman: Command, run: Path, tmp_path: Path) -> None:
    """Its content tells what it is, where its name does not."""
    named = tmp_path / "manual.orig"
    named.write_text(XLIFF)
    assert "1 from the memory" in dragoman("translate", run, named, "--out", tmp_path / "o.xlf").out
    for name, data, message in (
        ("a.docx", b"PK\x03\x04", "is no office document, or a damaged one"),
        ("a.rst", b"words", "is in no format that can be translated as a whole"),
    ):
        (tmp_path / name).write_bytes(data)
        done = dragoman("translate", run, tmp_path / name, "--to", "de")
        assert (done.code, done.out) == (3, "") and message in done.err
    assert dragoman("translate", run, "version 2.0", "--to", "de").code == 0

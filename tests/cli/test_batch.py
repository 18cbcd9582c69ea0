"""Folders, patterns and lists of files: one load of the model, the structure kept, one summary, a bad file ends nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.cli.batch import jobs_of
from dragoman.core.records import Example
from dragoman.errors import ArgumentError, DataError
from dragoman.store.memory.translation_memory import Memory
from dragoman.translator import Translator
from tests.commands import Command
from tests.tiny import tiny

PO = 'msgid ""\nmsgstr ""\n"Language: de\\n"\n\nmsgid "the cat"\nmsgstr ""\n'


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    tiny(folder, seed=3)
    with Memory.open(folder, create=True) as memory:
        memory.add([Example("the cat", "die Katze", "en", "de")])
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.txt").write_text("the cat\n")
    (folder / "deep" / "b.po").write_text(PO)
    (folder / "deep" / "er" / "c.csv").write_text("id,source\n1,the cat\n")
    (folder / "deep" / "bad.xlf").write_text("<xliff version='1.2'><file")
    (folder / "logo.png").write_bytes(b"\x89PNG")
    (folder / ".hidden.txt").write_text("the cat")
    return folder


def test_a_folder_is_translated_file_by_file(
    dragoman: Command, run: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = Translator.load
    monkeypatch.setattr(Translator, "load", lambda *a, **k: loads.append(a) or load(*a, **k))
    done = dragoman("translate", run, project, "--to", "de", "--review", tmp_path / "review.tsv")
    there = tmp_path / "project.de"
    assert (there / "a.txt").read_text() == "die Katze\n"
    assert 'msgstr "die Katze"' in (there / "deep" / "b.po").read_text()
    assert (there / "deep" / "er" / "c.csv").read_text() == "id,source,translation\n1,the cat,die Katze\n"
    assert sorted(p.name for p in there.rglob("*") if p.is_file()) == ["a.txt", "b.po", "c.csv"]
    assert len(loads) == 1
    assert done.code == 3 and "bad.xlf" in done.err and "1 of 4 files could not be translated" in done.err
    assert done.out.startswith("6 files: 3 translated, 1 failed, 2 of other kinds")
    assert ".png 1" in done.out
    assert (tmp_path / "review.tsv").read_text().startswith("file\tline\tunit\tdoubts")

    (there / "a.txt").write_text("by a person")
    again = dragoman("translate", run, project, "--to", "de", "--json")
    assert again.record["counts"] == {"were there already": 3, "failed": 1, "of other kinds": 2}
    assert (there / "a.txt").read_text() == "by a person"
    assert len(loads) == 1


def test_patterns_and_lists(dragoman: Command, run: Path, project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert dragoman("translate", run, f"{project}/**/*.po", "--to", "de", "--out", out).code == 0
    assert (out / "deep" / "b.po").is_file()
    files = project / "a.txt", project / "deep" / "b.po"
    assert dragoman("translate", run, *files, "--to", "de").code == 0
    assert (project / "a.de.txt").read_text() == "die Katze\n" and (project / "deep" / "b.de.po").is_file()


def test_keys_are_for_the_files_that_have_some(dragoman: Command, run: Path, project: Path) -> None:
    (project / "d.json").write_text('{"id": "the dog", "title": "the cat"}')
    done = dragoman("translate", run, project, "--to", "de", "--keys", "title")
    there = project.with_name("project.de")
    assert (there / "d.json").read_text() == '{"id": "the dog", "title": "die Katze"}'
    assert (there / "a.txt").read_text() == "die Katze\n"
    assert "1 of 5 files could not be translated" in done.err
    alone = dragoman(
        "translate", run, project / "d.json", "--to", "de", "--keys", "title,name", "--out", project / "e.json"
    )
    assert (project / "e.json").read_text() == (there / "d.json").read_text()
    assert "d.json:1: name: no text is under this key" in alone.err
    for wrong in (project / "a.txt", project / "deep"):
        refused = dragoman("translate", run, wrong, "--to", "de", "--keys", "title", "--out", project / "f")
        assert (refused.code, "JSON and YAML" in refused.err) == (2, True)


def test_keys_that_take_nothing_fail_the_file_and_not_the_others(dragoman: Command, run: Path, project: Path) -> None:
    (project / "d.json").write_text('{"id": "the dog", "title": "the cat"}')
    (project / "e.yaml").write_text("name: the cat\n")
    done = dragoman("translate", run, project, "--to", "de", "--keys", "name")
    there = project.with_name("project.de")
    assert done.code == 3 and "2 of 6 files could not be translated" in done.err
    assert "d.json: no text is under the keys 'name'. It has id, title." in done.err
    assert (there / "e.yaml").read_text() == "name: die Katze\n" and not (there / "d.json").exists()
    alone = dragoman("translate", run, project / "d.json", "--to", "de", "--keys", "name", "--out", project / "f.json")
    assert alone.code == 2 and "d.json: no text is under the keys 'name'. It has id, title." in alone.err
    assert not (project / "f.json").exists()


def test_what_is_meant(project: Path, tmp_path: Path) -> None:
    assert jobs_of(["the cat"]) is None
    assert jobs_of([""]) is None  # which a path would take for this folder
    (tmp_path / "a[1].txt").touch()
    assert jobs_of([str(tmp_path / "a[1].txt")]) is None
    assert jobs_of(["What is this?"]) is None
    assert jobs_of(["Really?"]) is None
    assert jobs_of([str(project / "a.txt")]) is None  # one file
    with pytest.raises(ArgumentError, match=r"'words' is not a file, though .*a\.txt is one"):
        jobs_of([str(project / "a.txt"), "words"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no file that can be translated. Known are: .arb .csv"):
        jobs_of([str(tmp_path / "empty")])
    with pytest.raises(DataError, match="has no file that can be translated"):
        jobs_of([str(tmp_path / "*.po")])


def test_one_place_is_not_for_two_files(dragoman: Command, run: Path, project: Path, tmp_path: Path) -> None:
    (project / "deep" / "a.txt").write_text("the dog\n")
    done = dragoman(
        "translate", run, project / "a.txt", project / "deep" / "a.txt", "--to", "de", "--out", tmp_path / "o"
    )
    assert done.code == 2 and "several files have this name" in done.err
    done = dragoman("translate", run, project, "--to", "de", "--out", project)
    assert done.code == 3 and (project / "a.txt").read_text() == "the cat\n"

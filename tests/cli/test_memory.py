"""`dragoman memory` and `dragoman glossary`, as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.core.records import Example
from dragoman.store.corpus import records
from tests.commands import Command


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "a.tsv").write_text(
        "source\ttarget\nTake 2 tablets\tPrenez 2 comprimés\nGo home\tRentrez\nGo home\tRentrez\n \tvide\n"
    )
    (tmp_path / "b.tsv").write_text("source\ttarget\nStay there\tRestez là\n")
    return tmp_path


@pytest.mark.slow
def test_build_search_and_the_rest(dragoman: Command, run: Path) -> None:
    # as a shell expands `--from *.tsv`
    built = dragoman("memory", "build", run, "--from", run / "a.tsv", run / "b.tsv", "--pair", "en-fr", "--json")
    assert built.code == 0, built.err
    (told,) = built.records
    assert (told["added"], told["duplicates"], sum(told["rejected"].values())) == (3, 1, 1)
    again = dragoman("memory", "build", run, run / "a.tsv", "--pair", "en-fr", "--rejected", run / "rejected.tsv")
    assert "0 segments added, 3 were there already" in again.out
    assert len((run / "rejected.tsv").read_text().split("\n")) == 3

    found = dragoman("memory", "search", run, "Take 3 tablets daily", "nothing alike")
    assert found.code == 0, found.err
    assert found.out.split("\n")[:5] == [
        "Take 3 tablets daily",
        " 68 %  Take [2] tablets",
        "       Prenez 2 comprimés",
        "       with your numbers: Prenez 3 comprimés",
        "       asked: Take [3] tablets [daily]",
    ]
    assert "a.tsv:2" in found.out and "nothing alike\nno match of 30% or more" in found.out
    nothing = dragoman("memory", "search", run, "Take 3 tablets", "--pair", "en-de")
    assert nothing.code == 0 and "holds nothing for en-de, tenant 'default'" in nothing.err
    (match,) = dragoman("memory", "search", run, "Take 3 tablets", "--json", "--k", 1).records[0]["matches"]
    assert (match["percent"], match["differences"][0]["kind"]) == (91, "number")

    assert dragoman("memory", "add", run, "--source", "Sit down", "--target", "Assis").code == 0
    assert "100 %  Sit down" in dragoman("memory", "search", run, "Sit down").out
    assert dragoman("memory", "stats", run, "--json").records[0]["segments"] == 4
    assert "4 segments" in dragoman("memory", "export", run, run / "out.tmx").out
    assert (run / "out.tmx").read_text().count("<tu ") == 4
    assert "1 segments removed" in dragoman("memory", "remove", run, "--source", "Sit down").out
    assert dragoman("memory", "remove", run, "--all", "--json").records == [
        {"memory": str(run / "memory" / "memory.sqlite"), "removed": 3}
    ]
    assert "empty" in dragoman("memory", "stats", run).out


def test_a_memory_of_the_prepared_training_set(dragoman: Command, run: Path) -> None:
    records.write(
        run / "prepare" / "train", [Example("one", "un", "en", "fr"), Example("two", "deux", "en", "fr")], Example
    )
    assert dragoman("memory", "build", run, "--json").records[0]["added"] == 2
    assert "100 %  deux" in dragoman("memory", "search", run, "deux", "--pair", "fr-en").out


def test_of_many_files_those_that_cannot_be_used_are_told_and_the_others_added(dragoman: Command, run: Path) -> None:
    unit = '<tu><tuv xml:lang="en"><seg>{}</seg></tuv><tuv xml:lang="{}"><seg>x</seg></tuv></tu>'
    for name, language in (("1.tmx", "fr"), ("2.tmx", "sr"), ("3.tmx", "fr")):
        body = f'<tmx version="1.4"><header srclang="en"/><body>{unit.format(name, language)}</body></tmx>'
        (run / name).write_text(body)
    names = [run / name for name in ("1.tmx", "2.tmx", "missing.tmx", "3.tmx")]
    done = dragoman("memory", "build", run, "--from", *names, "--pair", "en-fr", "--json")
    assert done.code == 3
    assert (done.record["added"], done.record["left_out"]) == (2, [str(names[1]), str(names[2])])
    assert "2.tmx: holds en, sr, but wanted is en-fr" in done.err and "missing.tmx: no such file" in done.err
    assert "2 of 4 files could not be used" in done.err
    assert "100 %  3.tmx" in dragoman("memory", "search", run, "3.tmx").out

    other = dragoman("memory", "build", run / "other", "--from", *names[1:3], "--pair", "en-fr")
    assert other.code == 3 and "none of the 2 files can be used" in other.err
    assert not (run / "other").exists()


@pytest.mark.slow
def test_what_a_user_may_do_wrong(dragoman: Command, run: Path) -> None:
    def fails(message: str, *arguments: object) -> None:
        done = dragoman(*arguments)
        assert done.code in (2, 3), done
        assert message in " ".join(done.err.split())

    fails("no recipe.yaml that tells the languages", "memory", "build", run, run / "a.tsv")
    fails("missing.tsv", "memory", "build", run, run / "missing.tsv", "--pair", "en-fr")
    fails("no translation memory", "memory", "search", run, "text")
    assert not (run / "memory" / "memory.sqlite").exists()
    dragoman("memory", "build", run, run / "a.tsv", "--pair", "en-fr")
    fails("Name the direction with --pair", "memory", "search", run, "text", "--tenant", "other")
    fails("add: give files, or one segment", "memory", "add", run, "--source", "alone")
    fails("add: source or target is blank", "memory", "add", run, "--source", "one", "--target", " ")
    fails("add: both sides are en", "memory", "add", run, "--source", "a", "--target", "b", "--pair", "en-en")
    fails("out.tsv: a memory is exported as .tmx", "memory", "export", run, run / "out.tsv")
    (run / "out.tmx").write_text("an earlier export")
    fails("holds nothing for tenant 'other'", "memory", "export", run, run / "out.tmx", "--tenant", "other")
    fails("holds nothing for en-de, tenant", "memory", "export", run, run / "out.tmx", "--pair", "en-de")
    assert (run / "out.tmx").read_text() == "an earlier export"
    fails("says nothing of what to remove", "memory", "remove", run)
    fails("no glossary yet", "glossary", "list", run)
    (run / "memory" / "glossary.tsv").write_text("source_language\ttarget_language\tsource\ttarget\nen\tfr\tflu\n")
    fails("glossary.tsv:2: columns", "glossary", "add", run, "a", "b", "--pair", "en-fr")
    assert "flu" in (run / "memory" / "glossary.tsv").read_text()


@pytest.mark.slow
def test_glossary(dragoman: Command, run: Path) -> None:
    (run / "terms.csv").write_text("flu,grippe\ncase,cas\ncase,cas\nalone\n")
    imported = dragoman("glossary", "import", run, run / "terms.csv", "--pair", "en-fr", "--json")
    assert imported.code == 0, imported.err
    assert [(r["added"], r["duplicates"], r["rejected"]) for r in imported.records] == [(2, 1, 1)]
    assert "terms.csv:4: columns" in imported.err
    assert "no terms for en-de" in dragoman("glossary", "export", run, run / "o.tsv", "--pair", "en-de").err
    (run / "no.csv").write_text("<xliff>\n" * 30)
    refused = dragoman("glossary", "import", run, run / "no.csv", "--pair", "en-fr")
    assert refused.code == 3 and "no.csv:1: columns: 1 columns. Of its 30 rows none is a term" in refused.err
    (run / "few.csv").write_text("cold,rhume\n" + "alone\n" * 30)
    few = dragoman("glossary", "import", run / "few", run / "few.csv", "--pair", "en-fr")
    assert few.err.count("columns: 1 columns") == 20 and "few.csv: 10 more rows are rejected" in few.err
    section = '<langSet xml:lang="{}"><tig><term>{}</term></tig></langSet>'
    entry = section.format("en", "dose") + section.format("hu", "adag")
    (run / "t.tbx").write_text(f"<martif><text><body><termEntry>{entry}</termEntry></body></text></martif>")
    other = dragoman("glossary", "import", run, run / "t.tbx", "--pair", "en-fr")
    assert "0 terms added" in other.out and "has no terms for en-fr; it has en-hu" in other.err
    (run / "recipe.yaml").write_text("pairs: [en-fr]\n")
    other = dragoman("glossary", "import", run, run / "t.tbx")
    assert "1 terms added" in other.out and "has no terms for en-fr; it has en-hu" in other.err
    assert dragoman("glossary", "remove", run, "dose").code == 0
    (run / "recipe.yaml").unlink()
    assert dragoman("glossary", "add", run, "cold", "rhume", "--pair", "en-fr", "--note", "common").code == 0
    assert dragoman("glossary", "list", run).out == "en-fr\tflu\tgrippe\nen-fr\tcase\tcas\nen-fr\tcold\trhume\tcommon\n"
    found = dragoman("glossary", "find", run, "two flu cases", "--pair", "en-fr", "--translation", "deux cas")
    assert found.out == "NOT obeyed: flu -> grippe\nobeyed: case -> cas\n"
    assert dragoman("glossary", "remove", run, "cold").out == "1 removed\n"
    assert dragoman("glossary", "export", run, run / "d.tsv", "--pair", "en-fr").code == 0
    assert (run / "d.tsv").read_text() == "flu\tgrippe\ncase\tcas\n"
    assert dragoman("glossary", "add", run, "!", "?", "--pair", "en-fr").code == 3


def test_the_runs_pair_serves_a_glossary_that_tells_none(dragoman: Command, run: Path) -> None:
    (run / "recipe.yaml").write_text("pairs: [en-fr, fr-en]\n")
    (run / "terms.csv").write_text("flu,grippe\n")
    (run / "told.csv").write_text("dose,dosis,en,nl\n")
    bad = dragoman("glossary", "import", run, run / "terms.csv", run / "missing.csv")
    assert bad.code == 3 and bad.out == "" and not (run / "memory").exists()
    assert dragoman("glossary", "import", run, run / "terms.csv", run / "told.csv").code == 0
    assert dragoman("glossary", "add", run, "case", "cas").code == 0
    assert dragoman("glossary", "list", run).out == "en-fr\tflu\tgrippe\nen-nl\tdose\tdosis\nen-fr\tcase\tcas\n"
    assert dragoman("glossary", "find", run, "the flu").out == "flu -> grippe\n"
    (run / "recipe.yaml").write_text("pairs: [en-fr, en-de]\n")
    assert "Choose one with --pair" in dragoman("glossary", "find", run, "the flu").err
    assert "does not tell its languages" in dragoman("glossary", "import", run, run / "terms.csv").err

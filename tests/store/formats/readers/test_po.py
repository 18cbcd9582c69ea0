from __future__ import annotations

import itertools
from pathlib import Path

import polib
import pytest

from dragoman.core.records import MAX_TEXT, Example, Rejected
from dragoman.errors import DataError
from dragoman.store.formats.documents import Document

from .rows import directions, examples, read, reasons, rejected, texts

HEADER = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n"Language: fr\\n"\n\n'


def test_entries(tmp_path: Path) -> None:
    data = HEADER + (
        '# note\n#: a.c:1\n#, c-format\nmsgctxt "menu"\nmsgid "Open %s"\nmsgstr "Ouvrir %s"\n\n'
        '#, fuzzy, c-format\n#| msgid "Old"\nmsgid "New"\nmsgstr "Vieux"\n\n'
        'msgid "Empty"\nmsgstr ""\n\n'
        'msgid ""\n"Two \\"lines\\"\\n"\n"and\\ttab é"\nmsgstr ""\n"Deux\\n"\n"lignes"\n\n'
        '#~ msgid "Gone"\n#~ msgstr "Parti"\n'
    )
    rows = read(tmp_path, "a.po", data)
    assert rows[0] == Example("Open %s", "Ouvrir %s", "en", "fr", "a.po", 10, "", "a.po")
    assert texts(rows) == [("Open %s", "Ouvrir %s"), ('Two "lines" and\ttab é', "Deux lignes")]
    assert [(row.reason, row.line, row.source) for row in rejected(rows)] == [
        ("fuzzy", 15, "New"),
        ("untranslated", 18, "Empty"),
        ("obsolete", 28, "Gone"),
    ]


def test_plural_forms(tmp_path: Path) -> None:
    entry = 'msgid "One day"\nmsgid_plural "%d days"\n'
    data = HEADER + entry + 'msgstr[0] "Un jour"\nmsgstr[1] "%d jours"\nmsgstr[2] ""\n'
    rows = read(tmp_path, "a.po", data)
    assert texts(rows) == [("One day", "Un jour"), ("%d days", "%d jours")]
    assert reasons(rows) == {"untranslated": 1}
    assert texts(read(tmp_path, "a.po", HEADER + entry + 'msgstr[0] "%d jours"\n')) == [("%d days", "%d jours")]


def test_a_broken_entry_is_rejected_and_the_next_one_read(tmp_path: Path) -> None:
    broken = {
        'msgid "a\nmsgstr "b"\n': "syntax",
        'msgid "a"\n': "syntax",
        'msgstr "b"\n': "syntax",
        'msgid "a"\nmsgid_plural "b"\nmsgstr "c"\n': "syntax",
        'msgid "a"\nmsgstr "b"\nmsgstr "c"\n': "syntax",
        'msgid "a"\nhello\nmsgstr "b"\n': "syntax",
        'msgid "a\\000"\nmsgstr "b"\n': "nul",
        'msgid "a"\nmsgstr "\udcff"\n': "encoding",
        'msgid "a"\nmsgstr "b"\n' + '"x"\n' * 10 + '"' + "y" * MAX_TEXT + '"\n': "too_long",
        'msgid "a"\nmsgstr ""\n' + ('"' + "y" * 1000 + '"\n') * 101: "too_long",
    }
    for text, reason in broken.items():
        data = HEADER + text + '\nmsgid "good"\nmsgstr "bon"\n'
        rows = read(tmp_path, "a.po", data.encode(errors="surrogateescape"))
        assert texts(rows) == [("good", "bon")], text[:50]
        assert reasons(rows) == {reason: 1}, text[:50]
    rows = read(tmp_path, "a.po", 'msgid "a"\nmsgstr "b"\nmsgid "c"\nmsgstr "d"\n')  # no empty line between them
    assert texts(rows) == [("a", "b"), ("c", "d")]


def test_charset(tmp_path: Path) -> None:
    header = HEADER.replace("UTF-8", "ISO-8859-1")
    data = header + 'msgid "egg"\nmsgstr "œuf é"\n'
    assert texts(read(tmp_path, "a.po", data.replace("œ", "oe").encode("latin-1"))) == [("egg", "oeuf é")]
    assert texts(read(tmp_path, "a.po", data)) == [("egg", "œuf é")]  # UTF-8 all the same, as the bytes show
    assert texts(read(tmp_path, "a.po", data.encode("cp1252"), encoding="cp1252")) == [("egg", "œuf é")]
    marked = b"\xef\xbb\xbf" + data.replace("ISO-8859-1", "nonsense").encode()
    assert texts(read(tmp_path, "a.po", marked)) == [("egg", "œuf é")]
    with pytest.raises(DataError, match="'nonsense' is no text encoding"):
        read(tmp_path, "a.po", HEADER.replace("UTF-8", "nonsense"))


def test_language(tmp_path: Path) -> None:
    data = HEADER + 'msgid "a"\nmsgstr "b"\n'
    assert directions(read(tmp_path, "a.po", data, "de-en, fr-en")) == ["en-fr"]
    assert texts(read(tmp_path, "a.po", data, "fr-en", pair="fr-en")) == [("b", "a")]
    assert directions(read(tmp_path, "a.po", data.replace("Language: fr", "Language: "))) == ["en-fr"]
    assert directions(read(tmp_path, "a.po", data.replace("Language: fr", "Language: fr_CA"))) == ["en-fr"]
    with pytest.raises(DataError, match="a.po: holds fr, but wanted is en-de"):
        read(tmp_path, "a.po", data, "en-de")
    for text in ("hello\n", "a: b\n\n" * 3000, "# only\n"):
        with pytest.raises(DataError, match="holds no PO message"):
            read(tmp_path, "a.po", text)
    assert read(tmp_path, "a.po", HEADER) == [Rejected("empty_file", "the file holds no rows", "a.po")]


def test_the_same_as_polib_on_real_files(tmp_path: Path, shared_data: Path) -> None:
    def flat(text: str) -> str:
        return " ".join(text.split())

    files = sorted((shared_data / "formats" / "po").rglob("*.po"))
    assert files
    for file in files:
        rows = read(tmp_path, "x.po", file.read_bytes())
        known = polib.pofile(file.read_bytes().decode())
        expected = [(flat(e.msgid), flat(e.msgstr)) for e in known if e.translated() and not e.obsolete]
        assert [(flat(left), flat(right)) for left, right in texts(rows)] == expected
        assert reasons(rows).get("fuzzy", 0) == len(known.fuzzy_entries())
        assert reasons(rows).get("untranslated", 0) == len(known.untranslated_entries())
        assert reasons(rows).get("obsolete", 0) == len(known.obsolete_entries())
        assert len(rows) == len(known)
        assert [row.line for row in examples(rows)] == sorted(row.line for row in examples(rows))


def test_plural_forms_are_read_by_the_rule_of_the_header(tmp_path: Path) -> None:
    """The form for zero translates no singular."""
    data = (
        'msgid ""\nmsgstr ""\n"Language: ar\\n"\n"Plural-Forms: nplurals=3; plural=n==0 ? 0 : n==1 ? 1 : 2;\\n"\n\n'
        'msgid "One file."\nmsgid_plural "%d files."\nmsgstr[0] "zero"\nmsgstr[1] "one"\nmsgstr[2] "many %d"\n'
    )
    rows = read(tmp_path, "ar.po", data, pairs="en-ar")
    assert texts(rows) == [("%d files.", "zero"), ("One file.", "one"), ("%d files.", "many %d")]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r\r\n"])
def test_line_ends_of_files_that_went_through_two_systems(tmp_path: Path, newline: str) -> None:
    data = 'msgid ""\nmsgstr ""\n"Language: fr\\n"\n\nmsgid "Screen"\nmsgstr ""\n"Écran"\n'.replace("\n", newline)
    assert texts(read(tmp_path, "a.po", data.replace(f"\\{newline}", "\\n"))) == [("Screen", "Écran")]


def test_rows_are_the_finished_units_of_the_document(tmp_path: Path) -> None:
    """Reading for training and filling see the same entries, flags and forms, however the file is laid out."""
    plural = 'msgid "One %d"\nmsgid_plural "Many %d"\nmsgstr[0] "Un %d"\nmsgstr[1] "Deux %d"\n'
    blocks = [
        'msgid "a"\nmsgstr "b"\n',
        '#, fuzzy\n#~ msgid "old"\n#~ msgstr "vieux"\n',
        '#, fuzzy\n\n  msgid "c"\nmsgstr "d"\n',
        'msgid "e"\n\nmsgstr "f"\n',
        'msgctxt "x"\nmsgid "g"\nmsgstr ""\n"h"\n',
        'msgid "broken"\nhello\nmsgstr "y"\n',
        plural,
        'msgid "k"\nmsgstr ""\n',
    ]
    for number, order in enumerate(itertools.islice(itertools.permutations(blocks), 0, None, 997)):
        for join in ("", "\n"):
            data = HEADER.replace("fr\\n", "fr\\nPlural-Forms: nplurals=2; plural=n>1;\\n") + join.join(order)
            document = Document.open(data.encode(), "a.po")
            units = [unit for unit in document.units if unit.state == "translated" and unit.target]
            rows = read(tmp_path, f"{number}.po", data)
            assert texts(rows) == [(unit.source.text, unit.target.text) for unit in units if unit.target]
            assert reasons(rows)["syntax"] == len(document.problems)


@pytest.mark.parametrize("where", [10, 30_000])
@pytest.mark.parametrize("letters", ["utf-8", "latin-1"])
def test_the_charset_is_the_documents_wherever_the_first_letter_stands(
    tmp_path: Path, where: int, letters: str
) -> None:
    filler = 'msgid "a"\nmsgstr "b"\n\n' * (where // 22)
    head = HEADER.replace("UTF-8", "ISO-8859-1")
    data = (head + filler + 'msgid "well"\nmsgstr "é"\n').encode(letters)
    assert texts(read(tmp_path, "a.po", data))[-1] == ("well", "é")
    target = Document.open(data, "a.po").units[-1].target
    assert target is not None and target.text == "é"

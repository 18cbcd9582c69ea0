from __future__ import annotations

import io

import polib
import pytest

from dragoman.core.records import MAX_TEXT
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.formats.documents import Document, Marking, Translated
from dragoman.store.formats.documents.translate import translate_document

EN_RU = Direction("en", "ru")
HEADER = (
    '# Comment\nmsgid ""\nmsgstr ""\n"Language: ru\\n"\n"Content-Type: text/plain; charset={charset}\\n"\n'
    '"Plural-Forms: nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);\\n"\n\n'
)


def po(body: str, charset: str = "UTF-8") -> bytes:
    return (HEADER.format(charset=charset) + body).encode(charset)


def upper(texts: list[str]) -> list[str]:
    return [text.upper() for text in texts]


def rebuilt(data: bytes, **options) -> str:
    return translate_document(Document.open(data, "x.po"), upper, direction=EN_RU, **options)[0].decode()


def test_an_empty_target_is_filled_and_nothing_else_touched() -> None:
    body = '#. note\n#: a.c:1\n#, c-format\nmsgctxt "menu"\nmsgid "Open %s"\nmsgstr ""\n\n#~ msgid "old"\n#~ msgstr "alt"\n'
    data = po(body)
    (unit,) = Document.open(data, "x.po").units
    assert (unit.context, unit.notes, unit.state) == ("menu", ("note",), "untranslated")
    assert rebuilt(data) == data.decode().replace('%s"\nmsgstr ""', '%s"\nmsgstr "OPEN %s"')


def test_fuzzy_entries() -> None:
    data = po('#, fuzzy, c-format\n#| msgid "old"\nmsgid "new"\nmsgstr "alt"\n')
    assert Document.open(data, "x.po").units[0].state == "unfinished"
    assert rebuilt(data) == data.decode()
    kept = rebuilt(data, fill="unfinished", marking=Marking(fuzzy="keep"))
    assert kept == data.decode().replace('"alt"', '"NEW"')
    cleared = rebuilt(data, fill="unfinished", marking=Marking(fuzzy="clear"))
    assert cleared == kept.replace("#, fuzzy, c-format\n#| msgid", "#, c-format\n#| msgid").replace(
        '#| msgid "old"\n', ""
    )
    plain = po('#: a\nmsgid "new"\nmsgstr ""\n')
    assert '#: a\n#, fuzzy\nmsgid "new"\nmsgstr "NEW"' in rebuilt(plain, marking=Marking(fuzzy="add"))
    flagged = po('#, c-format\nmsgid "new"\nmsgstr ""\n')
    document = Document.open(flagged, "x.po")
    assert b"#, fuzzy, c-format\n" in document.with_targets({"1": Translated("neu", flags=("number",))})
    assert b"fuzzy" not in document.with_targets({"1": Translated("neu")})


def test_plural_forms_follow_the_rule_of_the_header() -> None:
    data = po('msgid "One file"\nmsgid_plural "%d files"\nmsgstr[0] ""\nmsgstr[1] ""\n')
    assert rebuilt(data).endswith('msgstr[0] "%d FILES"\nmsgstr[1] "%d FILES"\nmsgstr[2] "%d FILES"\n')
    # the form of 1 is also that of 21: the singular fits only where it names the number
    named = po('msgid "%d file"\nmsgid_plural "%d files"\nmsgstr[0] ""\nmsgstr[1] ""\nmsgstr[2] ""\n')
    assert rebuilt(named).endswith('msgstr[0] "%d FILE"\nmsgstr[1] "%d FILES"\nmsgstr[2] "%d FILES"\n')
    none = data.replace(b"nplurals=3; plural=(n", b"nplurals=INTEGER; plural=(n")
    assert rebuilt(none).endswith('msgstr[0] "ONE FILE"\nmsgstr[1] "%d FILES"\n')
    assert [("no rule of plural" in one.reason) for one in Document.open(none, "a.po").problems] == [True]
    assert not Document.open(data, "a.po").problems
    english = data.replace(b"plural=(n%10==1 &&", b"plural=(n!=1) ; (n%10==1 &&").replace(b"nplurals=3", b"nplurals=2")
    assert rebuilt(english).endswith('msgstr[0] "ONE FILE"\nmsgstr[1] "%d FILES"\n')


def test_long_values_are_wrapped_like_the_others_of_the_file() -> None:
    text = "This is a text that is so long that it does not fit on one line of the file, so it is wrapped."
    lines = '"This is a text that is so long that it does not fit on one line of the file, "\n"so it is wrapped."'
    data = po(f'msgid ""\n{lines}\nmsgstr ""\n')
    output = rebuilt(data)
    assert output.endswith(f'msgstr ""\n{lines.upper()}\n')
    assert polib.pofile(output)[0].msgstr == text.upper()
    unwrapped = po(f'msgid "{text}"\nmsgstr ""\n')
    assert rebuilt(unwrapped).endswith(f'msgstr "{text.upper()}"\n')


def test_escapes() -> None:
    data = po('msgid "a \\"b\\" \\\\ c\\td\\n"\nmsgstr ""\n')
    assert Document.open(data, "x.po").units[0].source.text == 'a "b" \\ c\td\n'
    assert rebuilt(data).endswith('msgstr "A \\"B\\" \\\\ C\\tD\\n"\n')


def test_a_broken_entry_is_reported_and_the_rest_translated() -> None:
    body = 'msgid "a\nmsgstr "b"\n\nmsgid "c"\nmsgstr ""\n\nmsgid "d"\n\nmsgid "e"\nmsgstr ""\nmsgstr ""\n\nmsgid "f"\nmsgstr[0] ""\n'
    output, report = translate_document(Document.open(po(body), "x.po"), upper, direction=EN_RU)
    assert len(report.problems) == 4
    assert output == po(body.replace('msgid "c"\nmsgstr ""', 'msgid "c"\nmsgstr "C"'))


def test_the_charset_of_the_header_is_the_files() -> None:
    data = po('msgid "c"\nmsgstr ""\n\nmsgid "d"\nmsgstr "ж"\n', "KOI8-R")
    assert Document.open(data, "x.po").units[1].target.text == "ж"
    output, report = translate_document(Document.open(data, "x.po"), lambda texts: ["ёж"], direction=EN_RU)
    assert output == data.replace(b'"c"\nmsgstr ""', '"c"\nmsgstr "ёж"'.encode("koi8-r"))
    output, report = translate_document(Document.open(data, "x.po"), lambda texts: ["日"], direction=EN_RU)
    assert output == data and report.problems[0].reason == "'日' cannot be written in koi8-r"
    undeclared = b'msgid "c"\nmsgstr "\xe9"\n\nmsgid "d"\nmsgstr ""\n'
    document = Document.open(undeclared, "x.po")
    assert [unit.source.text for unit in document.units] == ["d"] and document.problems[0].line == 1
    assert document.with_targets({"1": Translated("é")}) == undeclared[:-3] + '"é"\n'.encode()
    with pytest.raises(DataError, match="unknown charset"):
        Document.open(po("").replace(b"UTF-8", b"UTF-99"), "x.po")


def test_line_ends_and_byte_order_mark_stay() -> None:
    data = b"\xef\xbb\xbf" + po('msgid "a"\nmsgid_plural "b"\nmsgstr[0] ""\n').replace(b"\n", b"\r\n")
    output = rebuilt(data).encode()
    assert output.count(b"\r\n") == output.count(b"\n") and output.startswith(b"\xef\xbb\xbf#")
    assert b'msgstr[2] "B"\r\n' in output


def test_what_polib_reads_is_what_was_meant() -> None:
    texts = ["short", "two\nlines\n", 'quote " and \\ back', "x" * 100, "word " * 40, "\ttab"]
    entries = "\n\n".join(f'msgid "{number}"\nmsgstr ""' for number in range(len(texts)))
    document = Document.open(po(entries), "x.po")
    output = document.with_targets({str(number + 1): Translated(text) for number, text in enumerate(texts)})
    assert [entry.msgstr for entry in polib.pofile(io.BytesIO(output).getvalue().decode())] == texts


def test_bytes_win_over_a_header_that_names_another_charset() -> None:
    data = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=ISO-8859-1\\n"\n\n# Zoé\nmsgid "Well"\nmsgstr ""\n'
    document = Document.open(data.encode(), "x.po")
    made = document.with_targets({"1": Translated("été")})
    assert made.decode() == data[::-1].replace('""'[::-1], '"été"'[::-1], 1)[::-1]
    latin = Document.open(data.encode("latin-1"), "x.po").with_targets({"1": Translated("été")})
    assert latin == made.decode().encode("latin-1")


def test_a_refusal_says_what_could_not_be_read() -> None:
    with pytest.raises(
        DataError, match=r"no PO entry .* could be read: line 1 is neither a keyword nor a quoted string"
    ):
        Document.open(b"hello\n", "x.po")


def test_white_space_means_nothing_as_in_gettext() -> None:
    data = b'msgid ""\nmsgstr ""\n\n  #, fuzzy\n  msgid "a"\n\n  msgstr "b"\n\nmsgid "c"\n\nmsgstr ""\n"d"\n'
    document = Document.open(data, "x.po")
    assert not document.problems
    units = [(unit.source.text, unit.target.text if unit.target else "", unit.state) for unit in document.units]
    assert units == [("a", "b", "unfinished"), ("c", "d", "translated")]
    made = document.with_targets({document.units[0].id: Translated("e")}, Marking(fuzzy="clear"))
    assert [(entry.msgid, entry.msgstr, entry.fuzzy) for entry in polib.pofile(made.decode())] == [
        ("a", "e", False),
        ("c", "d", False),
    ]


def test_a_file_of_obsolete_entries_is_a_po_file() -> None:
    data = b'#~ msgid "a"\n#~ msgstr "b"\n'
    document = Document.open(data, "x.po")
    assert (document.units, document.problems, document.with_targets({})) == ((), (), data)


def test_a_value_that_is_too_long_is_no_header() -> None:
    head = 'msgid ""\nmsgstr ""\n"Language: fr\\n"\n\n'
    huge = f'msgid "{"x" * (MAX_TEXT + 1)}"\nmsgstr "Language: de\\n"\n\n'
    for text in (huge + head, head + huge):
        document = Document.open(f'{text}msgid "a"\nmsgstr ""\n'.encode(), "x.po")
        assert document.languages == ("", "fr")
        assert len(document.units) == 1

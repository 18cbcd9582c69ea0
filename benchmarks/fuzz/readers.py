"""Fuzzing of the readers of training texts and glossaries.

    python benchmarks/fuzz/readers.py [--seconds 60] [tmx xliff po jsonl tsv csv text packed tbx terms deepl]

With atheris installed it is guided by coverage (atheris' own options follow `--`); without, inputs are mutated at random.
A finding is any exception but DataError, a row that breaks a promise, an input that takes longer than 5 seconds, or one
that makes the process more than 500 MB larger.
"""

from __future__ import annotations

import gzip
import random
import tempfile
from functools import cache
from pathlib import Path

import search

from dragoman.core.recipe import ParallelSource, Recipe, TextSource
from dragoman.core.records import Example, Rejected
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.formats.readers import read_parallel, read_text
from dragoman.store.memory.glossary import Glossary

EN_FR = Direction("en", "fr")
TMX = (
    '<?xml version="1.0"?><!DOCTYPE tmx SYSTEM "tmx14.dtd"><tmx version="1.4"><header srclang="en"/><body><tu tuid="1">'
    '<tuv xml:lang="en"><seg>One <ph x="1">&lt;b></ph> <sub>two</sub></seg></tuv><tuv xml:lang="fr"><seg>Un</seg></tuv>'
    '</tu><tu><tuv lang="EN-US"><seg>a<!-- c --></seg></tuv><tuv lang="fr"><seg><![CDATA[b]]></seg></tuv></tu></body></tmx>'
)
TBX = (
    '<?xml version="1.0"?><martif type="TBX" xml:lang="en"><text><body><termEntry id="1"><descrip type="definition">d</descrip>'
    '<langSet xml:lang="en"><tig><term>dose</term><termNote type="partOfSpeech">noun</termNote></tig></langSet>'
    '<langSet xml:lang="fr"><ntig><termGrp><term>dose</term></termGrp></ntig></langSet></termEntry></body></text></martif>'
)
SEEDS: dict[str, tuple[str, list[bytes]]] = {  # target -> the name of its file, inputs
    "tmx": ("a.tmx", [TMX.encode(), TMX.encode("utf-16")]),
    "xliff": (
        "a.xlf",
        [
            b'<xliff version="1.2"><file source-language="en" target-language="fr"><body><trans-unit id="1"><source>One '
            b'<g id="1">x</g></source><target state="new">Un</target></trans-unit></body></file></xliff>',
            b'<xliff version="2.0" srcLang="en" trgLang="fr" xmlns="urn:oasis:names:tc:xliff:document:2.0"><file id="f">'
            b'<unit id="u"><segment><source>a <pc id="1">b</pc></source><target>c</target></segment></unit></file></xliff>',
        ],
    ),
    "po": (
        "a.po",
        [
            b'msgid ""\nmsgstr "Language: fr\\nContent-Type: text/plain; charset=latin-1\\n"\n\n#, fuzzy\nmsgid "a"\n'
            b'msgstr "b"\n\nmsgctxt "c"\nmsgid "one"\nmsgid_plural "two"\nmsgstr[0] "un"\nmsgstr[1] "d\\x65ux"\n#~ msgid "x"\n'
        ],
    ),
    "jsonl": (
        "a.jsonl",
        [b'{"source": "a", "target": "b"}\n{"translation": {"en": "\\u00e9", "fr": "x"}}\n["a", "b"]\n'],
    ),
    "tsv": ("a.tsv", [b'source\ttarget\na "b"\tc\n"d ""e"""\tf\n']),
    "csv": ("a.csv", [b'source,target\na "b",c\n"d ""e""",f\n"g\nh",i\n']),
    "text": ("a.txt", [b"one\ntwo\r\n\xe2\x80\xa8three\n"]),
    "packed": ("a.tsv.gz", [gzip.compress(b"source\ttarget\na\tb\n")]),
    "tbx": ("a.tbx", [TBX.encode(), TBX.encode("utf-16")]),
    "terms": ("a.csv", [b'source,target,pos\ndose,dose,noun\n"a ""b""",c,\n']),
    "deepl": ("a.tsv", [b"dose\tdose\nactive case\tcas actif\n"]),
}
GLOSSARIES = ("tbx", "terms", "deepl")
PARTS = [
    *b"< > & \" ' \n \r \t , ; \\ \x00 \xff \xed\xa0\x80 \xef\xbb\xbf \xff\xfe </ ]]> &foo; &#1; <![CDATA[ <!DOCTYPE".split(
        b" "
    ),
    *b'msgid msgstr[9] #~ {"source": [[ NaN -99999999999 \\ud800 xml:lang="x-y" charset=hex encoding="utf-7" <tu> <term>'.split(
        b" "
    ),
    b"<!ENTITY x 'y'>",
]


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="dragoman-fuzz-"))


@cache
def recipe() -> Recipe:
    return Recipe.parse("pairs: [en-fr, en-be, en-ja]", folder=folder())


def try_one(kind: str, data: bytes) -> bool:
    """True when the input gave rows."""
    path = folder() / SEEDS[kind][0]
    path.write_bytes(data)
    try:
        return try_glossary(path) if kind in GLOSSARIES else try_reader(kind, path)
    except DataError as error:
        str(error).encode()  # a message that can be printed
        return False


def try_glossary(path: Path) -> bool:
    glossary = Glossary.load(path, EN_FR)
    for term in glossary:
        assert term.source.strip() and term.target.strip(), "a term without words"
        glossary.terms_in(f"the {term.source} here", EN_FR)
    glossary.save(path.with_suffix(".saved.tsv"))
    again = Glossary.load(path.with_suffix(".saved.tsv"))
    assert [*again] == [*glossary], "saved and read back, the terms differ"
    return bool(len(glossary))


def try_reader(kind: str, path: Path) -> bool:
    good = 0
    if kind == "text":
        rows = list(read_text(TextSource(path=path.name), "en", recipe()))
    else:
        rows = list(read_parallel(ParallelSource(path=path.name), recipe()))
    for row in rows:
        assert row.origin == path.name, "a row of no file"
        if isinstance(row, Rejected):
            assert row.reason and row.detail, "a rejection without its reason"
            continue
        good += 1
        texts = (row.source, row.target) if isinstance(row, Example) else (row.text,)
        assert any(text.strip() for text in texts), "an empty row"  # one empty side is for the checks to tell
        assert not any("\n" in text for text in texts), "a broken text"
        "".join(texts).encode()
        assert row.line > 0, "a row without its line"
    return good > 0


def mutated(data: bytes, luck: random.Random) -> bytes:
    return search.spliced(data, luck, PARTS)


if __name__ == "__main__":
    search.main({target: inputs for target, (_, inputs) in SEEDS.items()}, try_one, mutated, __doc__)

"""Fuzzing of the readers of training texts and glossaries.

    python benchmarks/fuzz/readers.py [--seconds 60] [tmx xliff po jsonl tsv csv text moses parquet tbx terms ...]

With atheris installed it is guided by coverage (atheris' own options follow `--`); without, inputs are mutated at random.
A finding is any exception but DataError, a row that breaks a promise, an input that takes longer than 5 seconds, or one
that makes the process more than 500 MB larger.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from dragoman.core.languages import Direction
from dragoman.core.recipe import ParallelSource, Recipe, TextSource
from dragoman.core.records import Example, Rejected
from dragoman.errors import DataError
from dragoman.store.glossary import Glossary
from dragoman.store.readers import read_parallel, read_text

EN_FR = Direction("en", "fr")
MOST = 500 * 2**20  # bytes
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
        assert all(text.strip() and "\n" not in text for text in texts), "an empty or broken text"
        "".join(texts).encode()
        assert row.line > 0, "a row without its line"
    return good > 0


def mutated(data: bytes, luck: random.Random) -> bytes:
    for _ in range(luck.randint(1, 6)):
        start = luck.randint(0, len(data))
        end = min(len(data), start + luck.choice([0, 0, 1, 4, 20, 100]))
        new = luck.choice([b"", luck.choice(PARTS), data[start:end] * luck.choice([2, 50]), luck.randbytes(2)])
        data = data[:start] + new + data[end:]
    return data[:20_000]


def at_random(kind: str, seconds: float, seed: int) -> dict[str, object]:
    luck = random.Random(seed)
    end = time.monotonic() + seconds
    tried, opened, slowest = 0, 0, 0.0
    findings: list[dict[str, str]] = []
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while time.monotonic() < end:
        data = mutated(luck.choice(SEEDS[kind][1]), luck)
        start = time.process_time()
        try:
            opened += try_one(kind, data)
        except Exception as error:
            findings.append({"error": f"{type(error).__name__}: {error}"[:200], "input": repr(data)[:2000]})
        spent = time.process_time() - start
        slowest = max(slowest, spent)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size) * 1024
        if spent > 5 or grown > MOST:
            findings.append({"error": f"took {spent:.1f} s and {grown >> 20} MB", "input": repr(data)[:2000]})
            size += grown // 1024
        tried += 1
    return {
        "target": kind,
        "inputs": tried,
        "opened": opened,
        "slowest_seconds": round(slowest, 2),
        "findings": findings,
    }


def main() -> None:
    cut = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    mine, theirs = sys.argv[1:cut], sys.argv[cut + 1 :]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(SEEDS))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(mine)
    try:
        import atheris
    except ImportError:
        for kind in options.targets:
            result = at_random(kind, options.seconds, options.seed)
            print(json.dumps(result, indent=1), flush=True)
            if result["findings"]:
                sys.exit(1)
        return
    atheris.instrument_all()
    kind = options.targets[0]  # libFuzzer runs one target a process
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={int(options.seconds)}", "-timeout=5", "-rss_limit_mb=1500", *theirs],
        lambda data: try_one(kind, data),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()

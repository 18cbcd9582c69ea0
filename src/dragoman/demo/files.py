"""The demo's files, as a user would bring them, and the two recipes that use them."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from dragoman.core.text.languages import Direction
from dragoman.demo.corpus import NOTICE, Spoiler, generate
from dragoman.demo.grammar import LANGUAGES
from dragoman.errors import DataError
from dragoman.store.run.artifact import write_atomic

UNSEEN = "unseen.tsv"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many sentences go where."""

    french: int = 24_000  # general, English and French
    german: int = 16_000  # general, English and German
    clinic: int = 5_000  # English and French
    text: int = 4_000  # monolingual, per language
    test: int = 400  # of each test file
    dev: int = 200  # of the clinic, to choose the checkpoint and calibrate confidence by
    unseen: int = 40  # of each domain, in no other file


class Shown(NamedTuple):
    """A sentence that stands in none of the files to train, tune or test on."""

    domain: str
    direction: Direction
    source: str
    reference: str


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """What `write` made. `recipes` are in the order in which they are to run."""

    folder: Path
    recipes: tuple[Path, ...]
    files: tuple[Path, ...]
    rows: dict[str, int] = field(default_factory=dict)  # by file name, as written, spoilt rows included
    spoilt: dict[str, dict[str, int]] = field(default_factory=dict)  # by file name and kind


Rows = Iterable[tuple[str, str]]


class _Folder:
    """Writes the data files and counts their rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []
        self.rows: dict[str, int] = {}
        self.spoilt: dict[str, dict[str, int]] = {}

    def put(self, name: str, lines: Iterable[str], header: str = "", footer: str = "") -> None:
        """Text with LF line ends; gzip where the name says so, without a time so that the bytes are the same."""
        text = io.StringIO()
        text.write(header)
        rows = 0
        for line in lines:
            text.write(line)
            rows += 1
        text.write(footer)
        data = text.getvalue().encode()
        write_atomic(self.folder / name, gzip.compress(data, 6, mtime=0) if name.endswith(".gz") else data)
        self.files.append(self.folder / name)
        self.rows[name] = rows

    def table(self, name: str, rows: Rows) -> None:
        """A TSV file with a header; its third column says of each row that it is generated."""
        self.put(name, (f"{a}\t{b}\tgenerated\n" for a, b in rows), header="source\ttarget\tprovenance\n")

    def memory(self, name: str, rows: Rows) -> None:
        """A TMX 1.4 file, English and French."""
        self.put(name, map(_unit, rows), _TMX_HEAD.format(notice=escape(NOTICE)), "  </body>\n</tmx>\n")


_TMX_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4">
  <header creationtool="dragoman demo" creationtoolversion="1" segtype="sentence" o-tmf="dragoman" adminlang="en"
          srclang="en" datatype="plaintext">
    <note>{notice}</note>
  </header>
  <body>
"""


def _unit(row: tuple[str, str]) -> str:
    english, french = (escape(text) for text in row)
    return f'    <tu><tuv xml:lang="en"><seg>{english}</seg></tuv><tuv xml:lang="fr"><seg>{french}</seg></tuv></tu>\n'


def _take(stream: Iterator[tuple[str, ...]], count: int, *columns: int) -> list[tuple[str, str]]:
    first, second = columns
    return [(row[first], row[second]) for row in islice(stream, count)]


def write(folder: Path, seed: int = 7, sizes: Sizes = Sizes()) -> DemoFiles:
    """Write corpora under `folder`/data and a recipe each in `folder`/general and `folder`/clinic.

    The same seed and sizes give the same bytes. No sentence stands in two files, on no side, digits aside; only the
    pairs to train on are spoilt. Raises DataError when the folder cannot be written.
    """
    data = _Folder(folder / "data")
    try:
        data.folder.mkdir(parents=True, exist_ok=True)
        rest = {"general": _general(data, seed, sizes), "clinic": _clinic(data, seed, sizes)}
        unseen = ("\t".join((domain, *row)) + "\n" for domain, stream in rest.items() for row in stream)
        data.put(UNSEEN, unseen, header="domain\ten\tfr\tde\n")
        data.put("README.txt", [NOTICE + "\n", _ABOUT.format(seed=seed)])
        recipes = tuple(_recipe(folder, name, seed) for name in ("general", "clinic"))
    except OSError as error:
        raise DataError(f"{folder}: the demo's files cannot be written here ({error}). Name another folder.") from None
    return DemoFiles(folder, recipes, tuple(data.files), data.rows, data.spoilt)


def _general(data: _Folder, seed: int, sizes: Sizes) -> Iterator[tuple[str, ...]]:
    """One stream of distinct sentences, dealt out to all the files; returns its unused rest."""
    total = sizes.french + sizes.german + 2 * sizes.test + len(LANGUAGES) * sizes.text + sizes.unseen
    stream = generate("general", total, seed)
    data.table("general-test.en-fr.tsv", _take(stream, sizes.test, 0, 1))
    data.table("general-test.en-de.tsv", _take(stream, sizes.test, 0, 2))
    for name, count, column in (("en-fr", sizes.french, 1), ("en-de", sizes.german, 2)):
        spoiler = Spoiler.of(f"{seed} {name}")
        rows = _take(stream, count, 0, column)
        data.table(f"general.{name}.tsv.gz", spoiler.spoil(iter(rows)))
        data.spoilt[f"general.{name}.tsv.gz"] = dict(sorted(spoiler.counts.items()))
    for column, language in enumerate(LANGUAGES):
        data.put(f"general.{language}.txt.gz", (f"{row[column]}\n" for row in islice(stream, sizes.text)))
    return stream


def _clinic(data: _Folder, seed: int, sizes: Sizes) -> Iterator[tuple[str, ...]]:
    """The same for the clinic."""
    stream = generate("clinic", sizes.clinic + sizes.test + sizes.dev + sizes.unseen, seed)
    data.table("clinic-test.en-fr.tsv", _take(stream, sizes.test, 0, 1))
    data.table("clinic-dev.en-fr.tsv", _take(stream, sizes.dev, 0, 1))
    spoiler = Spoiler.of(f"{seed} clinic")
    data.memory("clinic.en-fr.tmx", spoiler.spoil(iter(_take(stream, sizes.clinic, 0, 1))))
    data.spoilt["clinic.en-fr.tmx"] = dict(sorted(spoiler.counts.items()))
    return stream


def _recipe(folder: Path, name: str, seed: int) -> Path:
    text = resources.files("dragoman.demo").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    path = folder / name / "recipe.yaml"
    write_atomic(path, text.replace("seed: 7", f"seed: {seed}").encode())
    return path


_ABOUT = """
Written by dragoman's demo with seed {seed}; the same seed writes the same bytes.

general.en-fr.tsv.gz, general.en-de.tsv.gz   pairs to train on, tab-separated with a header
general.en.txt.gz, .fr.txt.gz, .de.txt.gz    single sentences of one language each
clinic.en-fr.tmx                             a translation memory of the clinic, TMX 1.4
general-test.*.tsv, clinic-test.*.tsv        pairs to test on, in none of the other files
clinic-dev.en-fr.tsv                         pairs to choose the best checkpoint by, likewise
unseen.tsv                                   sentences in none of the other files, for showing translations

About 2 % of the pairs to train on are spoilt on purpose: doubled, without a target, swapped, copied, with other numbers,
or with the target of the pair before. Preparing the data finds and counts them.
"""


def show_sentences(
    folder: Path, directions: Sequence[Direction], count: int = 4, domain: str = "general"
) -> list[Shown]:
    """Up to `count` unseen sentences of a domain for each direction, from a folder that `write` filled.

    Raises DataError when the folder holds none, or for a direction that the grammar does not speak.
    """
    path = folder / "data" / UNSEEN
    try:
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[1:] if line]
    except OSError as error:
        raise DataError(f"{path}: no sentences to show ({error}). Write the demo's files first.") from None
    shown = []
    for direction in directions:
        for language in (direction.source, direction.target):
            if language not in LANGUAGES:
                raise DataError(f"the demo grammar speaks {', '.join(LANGUAGES)}, not {language}.")
        source, target = (1 + LANGUAGES.index(code) for code in (direction.source, direction.target))
        fitting = [row for row in rows if row[0] == domain]
        shown += [Shown(domain, direction, row[source], row[target]) for row in fitting[:count]]
    return shown

"""The glossary of a project: read from CSV, TSV (DeepL's two columns) and TBX, kept in one TSV that people can edit."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from dragoman.core.memory.matching import tokens
from dragoman.core.prompt.terms import Finder, Occurrence, Term, obeyed
from dragoman.core.records import Rejected
from dragoman.core.text.languages import Direction, matches, spoken
from dragoman.core.text.languages import tag as language_tag
from dragoman.errors import DataError
from dragoman.store.formats.xml import LANGUAGE, TruncatedError, events, forget, local
from dragoman.store.run.artifact import home, write_atomic

FIELDS = ("source_language", "target_language", "source", "target", "part_of_speech", "note")
# What other tools call the columns, without spaces, hyphens and underscores.
_NAMES = {
    "source": "source sourcestring sourceterm src term",
    "target": "target targetstring targetterm tgt trg translation",
    "source_language": "sourcelanguage sourcelang srclang",
    "target_language": "targetlanguage targetlang tgtlang trglang",
    "part_of_speech": "partofspeech pos",
    "note": "note notes comment comments description definition",
}
_COLUMN = {alias: column for column, aliases in _NAMES.items() for alias in aliases.split()}
_TERMBASES = {".tbx", ".xml", ".mtf"}
_TABBED = {".tsv", ".tab", ".txt", ".utf8"}
_COMMENTED = {".tab", ".txt", ".utf8"}  # OmegaT's: a line that starts with # is a comment
_HEAD = 1 << 16  # bytes in which a document's root element stands
_MOST = 2_000  # pairs of terms of one concept: they multiply, so that a small file could fill the memory


def glossary_file(run: Path) -> Path:
    """Where the glossary of a run lies."""
    return home(run) / "memory" / "glossary.tsv"


class Glossary:
    """Terms in any number of language pairs. An entry serves both directions.

    `rejected` and `duplicates` tell what became of the rows that did not become terms.
    """

    def __init__(self, terms: Iterable[Term] = ()) -> None:
        self._terms: dict[tuple[str, ...], Term] = {}
        self._finders: dict[Direction, Finder] = {}
        self.rejected: list[Rejected] = []
        self.duplicates = 0
        self.add(terms)

    def __len__(self) -> int:
        return len(self._terms)

    def __iter__(self) -> Iterator[Term]:
        return iter(self._terms.values())

    # ---------------------------------------------------------------- change

    def add(self, terms: Iterable[Term | Rejected]) -> int:
        """Add terms; returns how many are new. One that is there already is replaced when the new one tells as much."""
        new = 0
        for term in terms:
            refusal = term if isinstance(term, Rejected) else _refusal(term)
            if isinstance(term, Rejected) or refusal is not None:
                self.rejected += [refusal] if refusal else []
                continue
            key = term.source_language, term.target_language, term.source, term.target
            old = self._terms.get(key)
            new += old is None
            self.duplicates += old is not None
            if old is None or _told(term) >= _told(old):
                self._terms[key] = term
        self._finders.clear()
        return new

    def remove(self, source: str, target: str | None = None, direction: Direction | None = None) -> int:
        """Remove the terms with this source (and target, and direction as stored); returns how many."""
        gone = [
            key
            for key, term in self._terms.items()
            if term.source == source and target in (None, term.target) and direction in (None, term.direction)
        ]
        for key in gone:
            del self._terms[key]
        self._finders.clear()
        return len(gone)

    # ---------------------------------------------------------------- use

    def find(self, text: str, direction: Direction | str) -> list[Occurrence]:
        """The terms that occur in a source text, each with its place; the longest wins, alternatives come together."""
        direction = Direction.of(direction)
        if direction not in self._finders:
            fitting = [t for term in self for t in (term, term.reversed) if _serves(t, direction)]
            self._finders[direction] = Finder(direction.source, list(dict.fromkeys(fitting)))
        return self._finders[direction].find(text)

    def serves(self, direction: Direction | str) -> bool:
        """True when some term is one of this direction."""
        direction = Direction.of(direction)
        return any(_serves(one, direction) for term in self for one in (term, term.reversed))

    def terms_in(self, text: str, direction: Direction | str) -> list[Term]:
        """The terms that occur in a source text, in its order, each once."""
        return list(dict.fromkeys(occurrence.term for occurrence in self.find(text, direction)))

    def obeyed(self, target: str, terms: Sequence[Term]) -> list[bool]:
        """For each term, whether the translation has it, as it is or inflected (see `core.prompt.terms.obeyed`)."""
        return obeyed(target, terms)

    # ---------------------------------------------------------------- files

    @classmethod
    def load(
        cls, path: Path | str, direction: Direction | str | None = None, *, otherwise: Direction | None = None
    ) -> Self:
        """Read CSV, TSV or TBX by suffix.

        `direction` is needed where a table does not tell its languages; of a TBX it chooses among several. `otherwise`:
        the languages of such a table when no direction is given. A bad row is in `rejected`. Raises DataError for a
        file that cannot be read as a glossary.
        """
        path, direction = Path(path), None if direction is None else Direction.of(direction)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
        if path.suffix.lower() in _TERMBASES:
            return cls._of(_read_tbx(path, data, direction))
        return cls._of(_read_table(path, _decoded(path, data), direction or otherwise))

    @classmethod
    def for_pairs(cls, path: Path, pairs: Sequence[Direction]) -> Self:
        """`load`, of a TBX the terms of each of the pairs; a table that does not tell its languages is of the first."""
        glossary = cls.load(path, pairs[0])
        if path.suffix.lower() in _TERMBASES:
            known = {frozenset((pairs[0].source, pairs[0].target))}
            for pair in pairs[1:]:
                if (languages := frozenset((pair.source, pair.target))) not in known:
                    known.add(languages)
                    glossary.add(cls.load(path, pair))
        return glossary

    @classmethod
    def _of(cls, rows: Iterable[Term | Rejected]) -> Self:
        glossary = cls()
        glossary.add(rows)
        return glossary

    def save(self, path: Path | str) -> None:
        """Write the project's own form: a TSV with a header, all columns. `load` reads it back."""
        rows = ["\t".join(FIELDS), *("\t".join(getattr(term, name) for name in FIELDS) for term in self)]
        write_atomic(Path(path), ("\n".join(rows) + "\n").encode())

    def export(self, path: Path | str, direction: Direction | str | None = None) -> int:
        """Write for other tools; returns how many terms.

        `.csv` has a header and all columns; `.tsv` has DeepL's two columns, and needs a direction.
        """
        path, direction = Path(path), None if direction is None else Direction.of(direction)
        chosen = [t for term in self for t in (term, term.reversed) if direction and _serves(t, direction)]
        if path.suffix.lower() == ".csv":
            chosen = chosen if direction else list(self)
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerows([FIELDS, *([getattr(term, name) for name in FIELDS] for term in chosen)])
            write_atomic(path, text.getvalue().encode())
        elif path.suffix.lower() == ".tsv":
            if direction is None:
                raise DataError(f"{path}: a two-column TSV holds one direction. Name it, such as en-fr.")
            write_atomic(path, "".join(f"{term.source}\t{term.target}\n" for term in chosen).encode())
        else:
            raise DataError(f"{path}: a glossary is exported as .csv or .tsv.")
        return len(chosen)


def _serves(term: Term, direction: Direction) -> bool:
    return bool(matches(direction.source, term.source_language) and matches(direction.target, term.target_language))


def _told(term: Term) -> int:
    return bool(term.part_of_speech) + bool(term.note)


def _refusal(term: Term) -> Rejected | None:
    if term.source_language == term.target_language:
        both = f"both sides are {term.source_language}"
        return Rejected("languages", both, source=term.source, target=term.target)
    for side in (term.source, term.target):
        if not side:
            return Rejected("empty", "source or target is blank", source=term.source, target=term.target)
        found = tokens(side)
        if not any(side[t.start].isalnum() for t in found):
            return Rejected("no word", f"'{side}' has no letter and no digit", source=term.source, target=term.target)
    return None


# ---------------------------------------------------------------- tables


def _decoded(path: Path, data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line}: is not {encoding} ({error.reason}). Save it as UTF-8.") from None


def _read_table(path: Path, text: str, direction: Direction | None) -> Iterator[Term | Rejected]:
    rows = list(_rows(path, text))
    columns, direction = _header(rows[0][1], direction) if rows else (None, direction)
    if columns:
        rows = rows[1:]
    for line, cells in rows:
        yield _term(path, line, cells, columns or _unnamed(cells), direction)


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of the rows that are not blank."""
    suffix = path.suffix.lower()
    if suffix in _TABBED:
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
            if line.strip() and not (suffix in _COMMENTED and line.startswith("#")):
                yield number, [" ".join(cell.split()) for cell in line.split("\t")]
        return
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [" ".join(cell.split()) for cell in cells]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: is not CSV ({error}).") from None


def _header(cells: Sequence[str], direction: Direction | None) -> tuple[dict[str, int] | None, Direction | None]:
    """Which column is what, when the first row names them, and the direction; or the row names languages, as in `en<TAB>fr`
    and `French;English;Note`."""
    names = [_COLUMN.get("".join(c for c in cell.casefold() if c.isalnum()), "") for cell in cells]
    if "source" in names and "target" in names:
        return {column: at for at, column in reversed(list(enumerate(names))) if column}, direction
    tags = {at: code for at, cell in enumerate(cells) if not names[at] and (code := spoken(cell))}
    others = {column: at for at, column in reversed(list(enumerate(names))) if column}
    if len(tags) + sum(map(bool, names)) < sum(map(bool, cells)):
        return None, direction  # a word among them is no name, so it is a row
    if direction:
        left, right = (
            max(((matches(side, code), -at) for at, code in tags.items()), default=(0, 0))
            for side in (direction.source, direction.target)
        )
        if left[0] and right[0] and left[1] != right[1]:
            return {"source": -left[1], "target": -right[1], "note": 2, **others}, direction
    elif len(tags) == 2 == len(cells) - len(others):
        (source, one), (target, other) = tags.items()
        return {"source": source, "target": target, **others}, Direction(one, other)
    return None, direction


def _unnamed(cells: Sequence[str]) -> dict[str, int]:
    """Columns of a file without a header: DeepL's `source, target[, source_lang, target_lang]`, or OmegaT's comment."""
    if len(cells) >= 4 and _tag(cells[2]) and _tag(cells[3]):
        return {"source": 0, "target": 1, "source_language": 2, "target_language": 3}
    return {"source": 0, "target": 1, "note": 2}


def _tag(text: str) -> str | None:
    try:
        return language_tag(text.removesuffix("_XX"))  # fr_XX: French of no region, in some platforms' notation
    except DataError:
        return None


def _term(
    path: Path, line: int, cells: Sequence[str], columns: dict[str, int], direction: Direction | None
) -> Term | Rejected:
    values = {column: cells[at] for column, at in columns.items() if at < len(cells)}
    source, target = values.get("source", ""), values.get("target", "")
    if "source" not in values or "target" not in values:
        return Rejected("columns", f"{len(cells)} columns", str(path), line, source, target)
    if not source or not target:
        return Rejected("empty", "source or target is blank", str(path), line, source, target)
    languages = []
    defaults = (direction.source, direction.target) if direction else ("", "")
    for side, given in zip(("source_language", "target_language"), defaults, strict=True):
        told = values.get(side, "")
        if told and not _tag(told):
            return Rejected("language", f"'{told}' is not a language tag", str(path), line, source, target)
        languages.append(_tag(told) or given)
    if not languages[0] or not languages[1]:
        raise DataError(f"{path}:{line}: does not tell its languages. Name the pair, such as en-fr.")
    more = values.get("part_of_speech", ""), values.get("note", "")
    term = Term(source, target, languages[0], languages[1], *more)
    refusal = _refusal(term)
    return term if refusal is None else replace(refusal, origin=str(path), line=line)


# ---------------------------------------------------------------- TBX


def _read_tbx(path: Path, data: bytes, direction: Direction | None) -> Iterator[Term | Rejected]:
    """TBX (ISO 30042), with the names of 2008 (termEntry, langSet, tig) or of 2019 (conceptEntry, langSec, termSec).

    Every term of the source language with every term of the target language of one concept; without a direction, the
    language of the first section with each of the others.
    """
    # UTF-16 has a zero beside every one of these letters
    root = "tbx" if b"<tbx" in data[:_HEAD].replace(b"\0", b"") else "martif"
    count = 0
    try:
        for event, element in events([data], str(path), root, ("termEntry", "conceptEntry")):
            if event == "end" and local(element) in ("termEntry", "conceptEntry"):
                count += 1
                yield from _concept(path, element, direction)
                forget(element)
    except TruncatedError:
        raise DataError(f"{path}: breaks off after {count} entries. Get the whole file.") from None
    if not count:
        raise DataError(f"{path}: has no TBX entries (termEntry or conceptEntry).")


def _concept(path: Path, concept: Any, direction: Direction | None) -> Iterator[Term | Rejected]:
    line = concept.sourceline or 0
    about = [e for e in concept if local(e) in ("descrip", "descripGrp")]
    if any(not isinstance(e.tag, str) for e in concept.iter()):  # comments were left out on reading
        yield Rejected("entity", "refers to an entity, which is not looked up", str(path), line)
        return
    note = " ".join(_text(e) for e in about)
    sections: list[tuple[str, list[tuple[str, str]]]] = []
    for section in (e for e in concept if local(e) in ("langSet", "langSec")):
        language = _tag(section.get(LANGUAGE) or section.get("lang") or "")
        if language is None:
            told = section.get(LANGUAGE) or section.get("lang") or ""
            yield Rejected("language", f"'{told}' is not a language tag", str(path), section.sourceline or line)
            continue
        sections.append((language, _tbx_terms(section)))
    if len(sections) < 2:
        yield Rejected("one language", "the concept has terms in one language only", str(path), line)
    firsts, seconds = sections[:1], sections[1:]
    if direction:
        firsts = [one for one in sections if one[1] and matches(direction.source, one[0])]
        seconds = [one for one in sections if one[1] and matches(direction.target, one[0])]
    count = sum(len(terms) for _, terms in firsts) * sum(len(terms) for _, terms in seconds)
    if count > _MOST:
        yield Rejected("too many", f"the concept gives {count:,} pairs of terms; {_MOST:,} at most", str(path), line)
        return
    for (source_language, sources), (target_language, targets) in itertools.product(firsts, seconds):
        for source, part_of_speech in sources:
            for target, _ in targets:
                yield Term(source, target, source_language, target_language, part_of_speech, note)


def _text(element: Any) -> str:
    return " ".join("".join(element.itertext(tag="*")).split())  # "*": no comments, no processing instructions


def _tbx_terms(section: Any) -> list[tuple[str, str]]:
    """The terms of a language, each with its part of speech, which stands beside it."""
    terms: list[tuple[str, str]] = []
    kinds: dict[Any, str] = {}  # by the element that holds terms and notes: looked through once, however many it holds
    for element in section.iter():
        if local(element) == "term":
            holder = element.getparent()
            if holder not in kinds:
                kinds[holder] = _part_of_speech(holder)
            terms.append((_text(element), kinds[holder]))
    return terms


def _part_of_speech(holder: Any) -> str:
    notes = (e for e in holder.iter() if local(e) == "termNote" and e.get("type") == "partOfSpeech")
    return next((_text(note) for note in notes), "")

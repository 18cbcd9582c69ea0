"""Which columns of a table, or fields of a record, hold what."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.core.recipe import Columns, ParallelSource, Recipe, TextSource
from dragoman.core.records import Example, Rejected, Text
from dragoman.core.text.languages import Direction, matches, name, spoken
from dragoman.errors import DataError, first
from dragoman.store.formats.readers.inline import one_line
from dragoman.store.formats.readers.lines import flaw_of
from dragoman.store.formats.readers.locations import Place, pair_of_name, unordered

Column = str | int
_PAIRS = (
    ("source", "target"),
    ("src", "tgt"),
    ("src", "trg"),
    ("source_text", "target_text"),
    ("sourcestring", "targetstring"),
    ("source_sentence", "target_sentence"),
    ("original", "translation"),
    # and as tools and people of other languages name them
    *itertools.product(("quelle", "ausgangstext", "quelltext", "original"), ("ziel", "zieltext", "übersetzung")),
    *itertools.product(("source", "texte source", "original"), ("cible", "texte cible", "traduction")),
    *itertools.product(("origen", "original", "texto origen"), ("destino", "traducción", "texto destino")),
    *itertools.product(("origem", "original", "texto de origem"), ("destino", "tradução", "texto de destino")),
    *itertools.product(("origine", "originale", "sorgente"), ("destinazione", "traduzione")),
    *itertools.product(("bron", "brontekst"), ("doel", "doeltekst", "vertaling")),
    *itertools.product(("źródło", "tekst źródłowy", "oryginał"), ("cel", "tekst docelowy", "tłumaczenie")),
    *itertools.product(("источник", "оригинал", "исходный текст"), ("перевод", "целевой текст")),
    *itertools.product(("原文", "源文", "源语言"), ("译文", "訳文", "目标语言", "翻譯", "译")),
)
_TEXTS = ("text", "sentence", "source", "content", "segment")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a source of the recipe asks for. `texts`: source and target, or the one text of a monolingual file."""

    place: Place
    texts: tuple[Column, ...]
    languages: tuple[str, ...]
    domain: str
    domain_column: Column | None
    document_column: Column | None
    default: bool  # the recipe names no columns, so other usual names will do

    @classmethod
    def of(cls, place: Place, source: ParallelSource | TextSource, recipe: Recipe, language: str = "") -> Wanted:
        if isinstance(source, TextSource):
            default = source.column == TextSource.model_fields["column"].default
            return cls(place, (source.column,), (language,), source.domain, None, source.document, default)
        columns = source.columns
        texts = (columns.source, columns.target)
        pair = _pair(place, source, recipe)
        default = texts == (Columns().source, Columns().target)
        languages = (pair.source, pair.target)
        return cls(place, texts, languages, source.domain, columns.domain, columns.document, default)

    @property
    def columns(self) -> list[Column]:
        """All columns that are read, the texts first."""
        return [*self.texts, *(c for c in (self.domain_column, self.document_column) if c is not None)]

    def alternatives(self) -> Iterator[tuple[Column, ...]]:
        """Names for the texts' columns, the recipe's own first; the same in lower case may stand in the file."""
        yield self.texts
        if self.default and len(self.texts) == 2:
            yield from _PAIRS
            yield self.languages
            yield tuple(name(code).lower() for code in self.languages)
        elif self.default:
            yield from ((text,) for text in (*_TEXTS, *self.languages))

    def by_language(self, names: Sequence[object]) -> tuple[int, ...] | None:
        """The places of the columns with usual names, however capitalised, else of those whose headers name the wanted
        languages, the closest tag first: `fra-CA` for Canadian French, else `fra`. None when a language has none."""
        if not self.default:
            return None
        lower = [unicodedata.normalize("NFC", str(one)).strip().lower() for one in names]
        for texts in self.alternatives():
            if all(str(text).lower() in lower for text in texts):
                return tuple(lower.index(str(text).lower()) for text in texts)
        named = [spoken(one) if isinstance(one, str) and one.strip() else None for one in names]
        found: list[int] = []
        for language in self.languages:
            fits = [(-matches(language, code), at) for at, code in enumerate(named) if code and at not in found]
            best = min(fits, default=(0, 0))
            if not best[0]:
                return None
            found.append(best[1])
        return tuple(found)

    def others(self, names: Sequence[str]) -> DataError | None:
        """For a first row that names languages other than the wanted ones: it is a header, and no translation."""
        codes = [spoken(one) if one.strip() else None for one in names]
        if not self.default or not all(codes) or not all(re.fullmatch("[a-z]{2}", c.split("-")[0]) for c in codes if c):
            return None  # `no`, `non` may be words; both must be languages of two letters, by whatever name
        return DataError(
            f"{self.place.name}: its columns are named {', '.join(names)}, which are not {' and '.join(self.languages)}. Set "
            "the source's `pair:` or `columns:`, or `header: false` where these are words."
        )

    def unclear(self, columns: Sequence[object]) -> DataError:
        """For a table of three columns and more without a name that tells what they hold."""
        shown = first([f"{number} {str(column)[:60]}" for number, column in enumerate(columns)], 8)
        return DataError(
            f"{self.place.name}: has {len(columns)} columns, and no name tells which hold the texts: {shown}. Set "
            f"`columns: {{source: ..., target: ...}}` to names or numbers from 0 (`header: false` where there are no names), "
            "or name the columns by their languages."
        )

    def row(self, line: int, values: Sequence[str]) -> Example | Text:
        """The record of one row; `values` as in `columns`."""
        rest = list(values[len(self.texts) :])
        domain = (rest.pop(0) if self.domain_column is not None else "") or self.domain
        document = rest.pop(0) if self.document_column is not None else ""
        if len(self.texts) == 2:
            source, target = self.languages
            return Example(values[0], values[1], source, target, self.place.name, line, domain, document)
        return Text(values[0], self.languages[0], self.place.name, line, domain, document)

    def checked_row(self, line: int, values: Sequence[Any]) -> Example | Text | Rejected:
        """The record of values of any kind: None is empty text, what is not text or not Unicode is rejected."""
        texts: list[str] = []
        for column, value in zip(self.columns, values, strict=True):
            if isinstance(value, str | None):
                texts.append(one_line(value or ""))
            elif len(texts) < len(self.texts):
                kind = type(value).__name__
                return self.place.reject("type", f"'{column}' is no text but {kind}: {str(value)[:80]}", line)
            else:
                texts.append(str(value))  # a domain or document may be a number
        if flaw := flaw_of(*texts):
            return self.place.reject(*flaw, line)
        if not any(text.strip() for text in texts[: len(self.texts)]):
            return self.place.reject("empty", "all texts are empty", line)
        return self.row(line, texts)

    def missing(self, columns: Sequence[object]) -> DataError:
        wanted = " and ".join(f"'{text}'" for text in self.texts)
        found = first(columns, 20) or "none"
        key = "columns: {source: ..., target: ...}" if len(self.texts) == 2 else "column: ..."
        return DataError(f"{self.place.name}: has no columns {wanted}; it has {found}. Set `{key}` in the recipe.")


def _pair(place: Place, source: ParallelSource, recipe: Recipe) -> Direction:
    pairs = unordered(recipe)
    named = _pair_of_columns(source.columns, pairs)
    return source.pair or named or pair_of_name(place.name, pairs) or pairs[0]


def _pair_of_columns(columns: Columns, pairs: Sequence[Direction]) -> Direction | None:
    """The pair that columns such as `eng` and `deu`, or `source` and `target_de`, name."""
    left, right = (re.split(r"[_.]", str(column))[-1] for column in (columns.source, columns.target))
    directions = [direction for pair in pairs for direction in (pair, pair.reversed)]
    both = [d for d in directions if matches(d.source, left) and matches(d.target, right)]
    if both or matches_any(left, directions):
        return both[0] if both else None
    one = [d for d in directions if matches(d.target, right)]
    return one[0] if one else None


def matches_any(code: str, directions: Sequence[Direction]) -> bool:
    return any(matches(direction.source, code) for direction in directions)


def field(record: object, column: Column) -> Any:
    """A field of a record: by name, by number in a list, or along a path such as `translation.en`.

    Raises LookupError when there is none.
    """
    if isinstance(record, Mapping):
        if column in record:
            return record[column]
        head, dot, rest = str(column).partition(".")
        if dot and head in record:
            return field(record[head], rest)
    elif isinstance(record, Sequence) and not isinstance(record, str) and isinstance(column, int):
        return record[column]
    raise LookupError(column)


class Fields:
    """Takes the wanted values out of records (JSON objects, rows of data sets), which need not be all alike."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        rest = wanted.columns[len(wanted.texts) :]
        self._ways: list[list[Column]] = [[*texts, *rest] for texts in wanted.alternatives()]
        if wanted.default:
            self._ways.append([*range(len(wanted.texts)), *rest])
            self._ways.append([*(f"translation.{code}" for code in wanted.languages), *rest])
        self._known: set[tuple[object, ...]] = set()  # sets of keys that were looked at for names of languages

    def row(self, line: int, record: object) -> Example | Text | Rejected:
        if isinstance(record, Mapping) and (keys := tuple(record)) not in self._known:
            self._known.add(keys)
            if found := self.wanted.by_language(keys):
                rest = self.wanted.columns[len(self.wanted.texts) :]
                self._ways.append([*(keys[at] for at in found), *rest])
        for number, way in enumerate(self._ways):
            try:
                values = [field(record, column) for column in way]
            except LookupError:
                continue
            if number:
                self._ways.insert(0, self._ways.pop(number))  # the next record is most likely of the same kind
            return self.wanted.checked_row(line, values)
        names = first(record, 10) if isinstance(record, Mapping) else type(record).__name__
        asked = " and ".join(f"'{column}'" for column in self.wanted.columns)
        return self.wanted.place.reject("columns", f"has no {asked}, but {names}", line)

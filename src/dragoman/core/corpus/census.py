"""Counts of what went in and what came out: rows by origin and reason, segments, words and lengths by language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dragoman.core.records import Rejected
from dragoman.core.text.languages import UNSPACED_SCRIPTS, script

# Lower edges of the histogram's bins; the last bin is open. In words, or characters where words are not spaced.
EDGES = (0, 1, 2, 3, 5, 8, 12, 16, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500)
_EXAMPLES = 5  # rejected rows shown for each reason
_SHOWN = 300  # characters of an example's text


class Lengths:
    """Segments of one language: how many, how long."""

    def __init__(self, language: str) -> None:
        self.unit = "characters" if script(language) in UNSPACED_SCRIPTS else "words"
        self.segments = self.words = self.characters = 0
        self.counts = np.zeros(len(EDGES), dtype=np.int64)

    def add(self, texts: Sequence[str]) -> None:
        characters = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        words = np.fromiter((len(text.split()) for text in texts), dtype=np.int64, count=len(texts))
        self.segments += len(texts)
        self.words += int(words.sum())
        self.characters += int(characters.sum())
        places = np.searchsorted(EDGES, characters if self.unit == "characters" else words, side="right") - 1
        self.counts += np.bincount(places, minlength=len(EDGES))

    def facts(self) -> dict[str, Any]:
        return {
            "segments": self.segments,
            "words": self.words,
            "characters": self.characters,
            "histogram": {"unit": self.unit, "edges": list(EDGES), "counts": self.counts.tolist()},
        }


@dataclass
class Split:
    """One split: its rows by pair and domain, its texts by language."""

    rows: int = 0
    pairs: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    languages: dict[str, Lengths] = field(default_factory=dict)

    def add(
        self, pairs: Mapping[str, int], domains: Iterable[str], texts: Mapping[str, Sequence[str]], rows: int
    ) -> None:
        self.rows += rows
        self.pairs.update(pairs)
        self.domains.update(domains)
        for language, segments in texts.items():
            self.languages.setdefault(language, Lengths(language)).add(segments)

    def facts(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "pairs": dict(sorted(self.pairs.items())),
            "domains": dict(sorted(self.domains.items())),
            "languages": {name: self.languages[name].facts() for name in sorted(self.languages)},
        }


@dataclass
class Census:
    """Everything counted while the rows are written out. Splits are `train`, `dev`, `test`, `text`."""

    splits: dict[str, Split] = field(default_factory=dict)
    kept: dict[str, Counter[str]] = field(default_factory=dict)  # origin -> split -> rows
    rejected: dict[str, Counter[str]] = field(default_factory=dict)  # origin -> reason -> rows
    flagged: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def reject(self, row: Rejected) -> None:
        self.rejected.setdefault(row.origin, Counter())[row.reason] += 1
        shown = self.examples.setdefault(row.reason, [])
        if len(shown) < _EXAMPLES:
            texts = {"source": row.source[:_SHOWN], "target": row.target[:_SHOWN]}
            shown.append({"origin": row.origin, "line": row.line, "detail": row.detail[:_SHOWN], **texts})

    def keep(self, split: str, origins: Iterable[str]) -> None:
        for origin, rows in Counter(origins).items():
            self.kept.setdefault(origin, Counter())[split] += rows

    @property
    def reasons(self) -> dict[str, int]:
        """Rejected rows by reason, the most frequent first."""
        total: Counter[str] = Counter()
        for counts in self.rejected.values():
            total.update(counts)
        return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))

    def origins(self, read: Mapping[str, int]) -> list[dict[str, Any]]:
        """One entry per origin. Raises RuntimeError unless rows in = rows kept + rejected for each of them."""
        found = []
        for origin, rows in read.items():
            kept, rejected = self.kept.get(origin, Counter()), self.rejected.get(origin, Counter())
            if rows != kept.total() + rejected.total():
                raise RuntimeError(
                    f"{origin}: {rows} rows were read, {kept.total()} kept and {rejected.total()} rejected: this is a "
                    f"mistake in dragoman, not in your files"
                )
            by_reason = dict(sorted(rejected.items(), key=lambda item: (-item[1], item[0])))
            found.append({"origin": origin, "in": rows, "kept": dict(sorted(kept.items())), "rejected": by_reason})
        if unread := (self.kept.keys() | self.rejected.keys()) - read.keys():
            raise RuntimeError(f"rows came out that never went in, of {sorted(unread)}: this is a mistake in dragoman")
        return found

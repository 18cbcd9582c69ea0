"""Which files a source of the recipe means, in which format, and in which languages."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.core.recipe import Recipe
from dragoman.core.records import Rejected
from dragoman.core.text.languages import Direction, matches
from dragoman.store.files import expand, is_url, shown, stem_name, suffix

FORMATS = {
    ".tsv": "tsv",
    ".tab": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".tmx": "tmx",
    ".xlf": "xliff",
    ".xliff": "xliff",
    ".sdlxliff": "xliff",
    ".mqxliff": "xliff",
    ".mxliff": "xliff",
    ".po": "po",
}
_DATABASE = re.compile(r"(sqlite|postgresql|postgres|mysql|mariadb|oracle|mssql|duckdb)(\+\w+)?://")


@dataclass(frozen=True, slots=True)
class Place:
    """A file to read: where it is, and what it is called in the recipe, in messages and in every row."""

    location: str
    name: str

    def reject(self, reason: str, detail: str, line: int = 0, source: str = "", target: str = "") -> Rejected:
        return Rejected(reason, detail, self.name, line, source, target)


# ---------------------------------------------------------------- files


def is_database(path: str) -> bool:
    return _DATABASE.match(path) is not None


def is_data_set(path: str) -> bool:
    """True for `hf:ID`, and for what the `datasets` library has saved to a folder."""
    folder = Path(path)
    return path.startswith("hf:") or any(
        (folder / name).is_file() for name in ("dataset_dict.json", "state.json", "dataset_info.json")
    )


def resolve(path: str, recipe: Recipe) -> str:
    """As `Recipe.resolve`, also for what follows `hf:` and `sqlite:///`."""
    if path.startswith("hf:"):
        local = recipe.resolve(path[3:])
        return f"hf:{local}" if Path(local).is_dir() else path
    if found := re.match(r"(sqlite(?:\+\w+)?:///)(?!/|:memory:)(.+)", path):
        return found[1] + recipe.resolve(found[2])
    return recipe.resolve(path)


def places(path: str, recipe: Recipe) -> list[Place]:
    """The files that a path of the recipe names, sorted. Raises DataError when there is none."""
    location = recipe.resolve(path)
    found = expand(location)
    if found == [location]:
        return [Place(location, shown(path))]
    if is_url(location) or Path(path).is_absolute():
        return [Place(file, shown(file)) for file in found]
    return [Place(file, Path(os.path.relpath(file, recipe.folder)).as_posix()) for file in found]


def format_of(name: str, languages: Sequence[str], plain: str) -> str | None:
    """The format that a file's name tells; `plain` is what `.txt` stands for. None: the name tells nothing.

    The name of a language as suffix (`news.en`) means plain text, of which two files make Moses pairs.
    """
    end = suffix(name)
    if end == ".txt":
        return plain
    known = FORMATS.get(end)
    if known is None and end and any(matches(language, end[1:]) for language in languages):
        return "moses" if plain == "tsv" else "text"
    return known


# ---------------------------------------------------------------- languages


def unordered(recipe: Recipe) -> list[Direction]:
    """The recipe's pairs, each in the direction that stands first."""
    kept: dict[frozenset[str], Direction] = {}
    for pair in recipe.pairs:
        kept.setdefault(frozenset((pair.source, pair.target)), pair)
    return list(kept.values())


def pair_of_name(name: str, pairs: Sequence[Direction]) -> Direction | None:
    """The pair that a file's name tells, in the name's direction: `tm.en-fr.tmx`, `en_fr.tsv`, `x_fr-CA-en-US.csv`.

    It must be one of `pairs` in either order. `news.en-de-fr.tsv` tells none, for it names three languages.
    """
    for part in re.split(r"[^A-Za-z0-9_-]+", stem_name(name)):
        codes = ["", *_codes(re.split("[-_]", part)), ""]
        for at in range(1, len(codes) - 2):
            if _is_short(codes[at - 1]) or _is_short(codes[at + 2]):
                continue
            for direction in (d for pair in pairs for d in (pair, pair.reversed)):
                if matches(direction.source, codes[at]) and matches(direction.target, codes[at + 1]):
                    return direction
    return None


def _is_short(code: str) -> bool:
    return len(code.partition("-")[0]) == 2


def _codes(parts: Sequence[str]) -> list[str]:
    """The parts of a name; a language with its region or script becomes one, what is no language becomes empty."""
    codes: list[str] = []
    for part in parts:
        region = re.fullmatch(r"[A-Z]{2}|[A-Z][a-z]{3}|[0-9]{3}", part)
        if region and codes and codes[-1].islower():
            codes[-1] += f"-{part}"
        else:
            codes.append(part if re.fullmatch(r"[A-Za-z]{2,3}", part) and matches(part.lower(), part) else "")
    return codes

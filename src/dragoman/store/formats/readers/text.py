"""Plain text: one segment a line; and Moses pairs, which are two such files in step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dragoman.core.recipe import ParallelSource, Recipe, TextSource
from dragoman.core.records import Example, Rejected, Text
from dragoman.core.text.languages import Direction, matches
from dragoman.errors import DataError
from dragoman.store.files import COMPRESSED, is_url
from dragoman.store.formats.readers.lines import Fault, count_lines, read_lines
from dragoman.store.formats.readers.locations import Place, pair_of_name, unordered


def read(place: Place, source: TextSource, language: str) -> Iterator[Text | Rejected]:
    """The lines of a monolingual file."""
    for number, line in read_lines(place.location, source.encoding):
        if isinstance(line, Fault):
            yield place.reject(line.reason, line.detail, number, line.text)
        elif line.strip():
            yield Text(line, language, place.name, number, source.domain)
        else:
            yield place.reject("empty", "the line is blank", number)


# ---------------------------------------------------------------- Moses


def siblings(location: str, languages: list[str]) -> dict[str, str]:
    """The files of a Moses pair by language; `location` is one of them, or their common stem.

    `x` and `x.en.gz` both name `x.en.gz` and `x.fr.gz`. Empty when there are not at least two.
    """
    ending = PurePosixPath(location).suffix
    packed = ending if ending.lower() in COMPRESSED else ""
    bare = location.removesuffix(packed) if packed else location
    own = PurePosixPath(bare).suffix[1:]
    stem = bare[: -len(own) - 1] if own and any(matches(code, own) for code in languages) else bare
    folder, name = Path(stem).parent, Path(stem).name
    found: dict[str, str] = {}
    if is_url(location) or not folder.is_dir():
        return found
    files = sorted(path for path in folder.glob(f"{_escaped(name)}.*") if path.is_file())
    for code in languages:
        for file in sorted(files, key=lambda path: (path.suffix != packed, str(path))):
            rest = file.name[len(name) + 1 :]
            known = PurePosixPath(rest).stem if PurePosixPath(rest).suffix.lower() in COMPRESSED else rest
            if "." not in known and matches(code, known):
                found.setdefault(code, str(file))
    return found if len(found) >= 2 else {}


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def read_pair(place: Place, source: ParallelSource, recipe: Recipe) -> Iterator[Example | Rejected]:
    """The rows of a Moses pair. Raises DataError when a side is missing or the sides differ in their number of lines."""
    direction, left, right = _sides(place, source, recipe)
    counts = [count_lines(file, source.encoding) for file in (left, right)]
    if counts[0] != counts[1]:
        raise DataError(
            f"{place.name}: {Path(left).name} has {counts[0]:,} lines and {Path(right).name} has {counts[1]:,}, so the "
            "lines do not belong together. Fetch or export both again."
        )
    pairs = zip(read_lines(left, source.encoding), read_lines(right, source.encoding), strict=True)
    for (number, one), (_, other) in pairs:
        faults = [line for line in (one, other) if isinstance(line, Fault)]
        texts = [line.text if isinstance(line, Fault) else line for line in (one, other)]
        if faults:
            yield place.reject(faults[0].reason, faults[0].detail, number, *texts)
        elif any(map(str.strip, texts)):
            yield Example(texts[0], texts[1], direction.source, direction.target, place.name, number, source.domain)
        else:
            yield place.reject("empty", "both lines are blank", number)


def _sides(place: Place, source: ParallelSource, recipe: Recipe) -> tuple[Direction, str, str]:
    pairs = unordered(recipe)
    told = source.pair or pair_of_name(place.name, pairs)
    wanted = [told] if told else pairs
    languages = list(dict.fromkeys(code for pair in wanted for code in (pair.source, pair.target)))
    found = siblings(place.location, languages)
    for pair in wanted:
        if pair.source in found and pair.target in found:
            return pair, found[pair.source], found[pair.target]
    example = f"{PurePosixPath(place.name).stem}.{wanted[0].source} and .{wanted[0].target}"
    raise DataError(
        f"{place.name}: two files are needed, such as {example}, and {', '.join(found.values()) or 'none'} was found. "
        "Set the source's `pair:` if the languages are others."
    )

"""Records -> rows of a training mixture. Pure functions: the same records and seed give the same rows.

A row is a rendered prompt whose pieces say what stands under the loss, and the language or direction that its loss is
counted under. Monolingual text longer than the context is cut at the ends of sentences; translation pairs are never cut.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

from dragoman.core.prompt.prompts import GAP, Format, Piece, Rendered, Turn, language_token, render
from dragoman.core.records import Example, Text
from dragoman.core.text.languages import UNSPACED_SCRIPTS, name, script
from dragoman.core.text.segment import segment

Measure = Callable[[Sequence[str]], Sequence[int]]  # texts -> their lengths in tokens

_BLANK = "___"  # a gap, where the tokenizer has no token for it
_OVERHEAD = 4  # begin, language tokens, end
_UNIT = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence of a mixture."""

    rendered: Rendered
    label: str  # `fr` or `en-fr`: what its loss is counted under
    weight: float = 1.0  # how often it is seen per epoch


# ---------------------------------------------------------------- monolingual text


def documents(texts: Iterable[Text]) -> Iterator[Text]:
    """Segments of one document that follow each other become one text; a segment without a document is one itself."""
    for (language, _, document), group in groupby(texts, key=lambda text: (text.language, text.origin, text.document)):
        if not document:
            yield from group
            continue
        rows = list(group)
        joint = "" if script(language) in UNSPACED_SCRIPTS else " "
        yield Text(joint.join(row.text for row in rows), language, rows[0].origin, rows[0].line, "", document)


def blocks(text: str, language: str, budget: int, measure: Measure) -> list[str]:
    """The text in blocks of `budget` tokens at most: cut between sentences, else at white space, else anywhere."""
    if len(text.encode()) < budget:  # a token is a byte or more
        return [text]
    found = [""]
    size = 0
    parts = [piece for part in segment(text, language) for piece in _halved(part, budget, measure)]
    for part, length in zip(parts, measure(parts), strict=True):
        if size + length > budget and found[-1]:
            found.append("")
            size = 0
        found[-1] += part
        size += length
    # where parts meet, tokens may come out otherwise than in the parts alone
    return [piece for block in found if block.strip() for piece in _halved(block.strip(), budget, measure)]


def _halved(text: str, budget: int, measure: Measure) -> list[str]:
    if len(text.encode()) < budget or measure([text])[0] <= budget or len(text) < 2:
        return [text]
    middle = len(text) // 2
    spaces = [match.end() for match in re.finditer(r"\s+", text) if 0 < match.end() < len(text)]
    cut = min(spaces, key=lambda place: abs(place - middle), default=middle)
    return [*_halved(text[:cut], budget, measure), *_halved(text[cut:], budget, measure)]


def lm(form: Format, texts: Iterable[Text], limit: int, measure: Measure) -> Iterator[Row]:
    """Next token on documents: everything but the language's tag is trained, the end token where a document ends."""
    for text in documents(texts):
        cut = blocks(text.text, text.language, limit - _OVERHEAD, measure)
        for number, block in enumerate(cut, start=1):
            pieces = [*_opening(form, text.language), Piece("text", block, trained=True)]
            if number == len(cut):
                pieces.append(Piece("end", trained=True))
            yield Row(Rendered(tuple(pieces)), text.language)


def _opening(form: Format, language: str) -> list[Piece]:
    begin = [Piece("begin")]
    return [*begin, Piece("control", language_token(language))] if form.kind == "compact" else begin


def denoise(
    form: Format,
    texts: Iterable[Text],
    limit: int,
    measure: Measure,
    *,
    noise: float = 0.15,
    span: float = 3.0,
    answer: Literal["gaps", "text"] = "gaps",
    seed: int = 0,
    token: bool = True,
    dropped: Counter[str] | None = None,
) -> Iterator[Row]:
    """A text with gaps, then what stood in them (span corruption, Raffel et al. 2020, 1910.10683) or the whole text.

    `token`: the tokenizer has the control token of a gap; else a gap is written `___`. Texts of a single word, and texts
    that hold the written gap themselves, cannot be used: counted in `dropped`.
    """
    budget = (limit - _OVERHEAD) // 2 if answer == "text" else (limit - _OVERHEAD) * 4 // 5
    number = 0
    for text in documents(texts):
        for block in blocks(text.text, text.language, budget, measure):
            number += 1
            units = _units(block, text.language)
            if len(units) < 2 or (not token and _BLANK in block):
                if dropped is not None:
                    dropped["too_short" if len(units) < 2 else "holds_a_gap"] += 1
                continue
            holes = gaps(len(units), noise, span, random.Random(f"{seed}:{number}"))
            kept, taken = _cut(units, holes)
            spans = [block] if answer == "text" else taken
            yield Row(_gapped(form, text.language, kept, spans, token), text.language)


def _units(text: str, language: str) -> list[str]:
    """What a gap takes out whole: words with the blank before them, or characters. Joined they are the text."""
    return list(text) if script(language) in UNSPACED_SCRIPTS else _UNIT.findall(text)


def gaps(count: int, noise: float, span: float, draw: random.Random) -> list[tuple[int, int]]:
    """Random [start, end) of the gaps in `count` >= 2 units: `noise` of the units, `span` of them a gap on average, at
    least one unit between two gaps."""
    taken = min(max(1, round(count * noise)), count - 1)
    number = max(1, min(round(taken / span), taken, count - taken))
    lengths = [1 + extra for extra in _partition(taken - number, number, draw)]
    kept = _partition(count - taken - (number - 1), number + 1, draw)
    found = []
    place = 0
    for index, length in enumerate(lengths):
        place += kept[index] + (index > 0)
        found.append((place, place + length))
        place += length
    return found


def _partition(total: int, parts: int, draw: random.Random) -> list[int]:
    """`total` as a sum of `parts` numbers from 0 up, every split of the line equally likely."""
    cuts = sorted(draw.randint(0, total) for _ in range(parts - 1))
    return [b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True)]


def _cut(units: Sequence[str], holes: Sequence[tuple[int, int]]) -> tuple[list[str], list[str]]:
    """(what stays: one stretch more than there are gaps, what is taken out)."""
    edges = [0, *(edge for hole in holes for edge in hole), len(units)]
    stretches = ["".join(units[a:b]) for a, b in pairwise(edges)]
    return stretches[::2], stretches[1::2]


def _gapped(form: Format, language: str, kept: Sequence[str], answer: Sequence[str], token: bool) -> Rendered:
    if token and form.kind == "compact":
        tag = Piece("control", language_token(language))
        pieces = [Piece("begin"), tag, *_spread(kept, trained=False)]
        return Rendered((*pieces, tag, *_spread(answer, trained=True), Piece("end", trained=True)))
    task = f"Write what is missing at each {_BLANK} of this {name(language)} text.\n"
    task += _BLANK.join(f"{part} " if part[-1:].strip() else part for part in kept[:-1]) + _BLANK + kept[-1]
    found = f" {_BLANK} ".join(part.strip() for part in answer)
    if form.kind == "chat":
        return Rendered(turns=(Turn("user", task),), answer=found)
    end = Piece("end", trained=True)
    return Rendered((Piece("begin"), Piece("text", f"{task}\n"), Piece("text", found, trained=True), end))


def _spread(stretches: Sequence[str], *, trained: bool) -> Iterator[Piece]:
    """The stretches with the gap's token between them; an empty stretch leaves no piece."""
    for number, text in enumerate(stretches):
        if number:
            yield Piece("control", GAP, trained)
        if text:
            yield Piece("text", text, trained)


# ---------------------------------------------------------------- translation pairs


def mt(form: Format, examples: Iterable[Example]) -> Iterator[Row]:
    """Supervised translation: only the target and the end token are trained."""
    for pair in examples:
        rendered = render(form, pair.direction, pair.source, pair.target)
        yield Row(rendered, str(pair.direction), pair.weight)


def fewshot(
    form: Format,
    examples: Sequence[Example],
    limit: int,
    measure: Measure,
    *,
    shots: tuple[int, int] = (1, 3),
    seed: int = 0,
) -> Iterator[Row]:
    """Translation after `shots` (least, most) examples drawn from the same pairs; only the last target is trained.

    An example never has the row's own source or target. Where the context is full, examples are left out.
    """
    places: dict[str, list[int]] = {}
    for number, pair in enumerate(examples):
        places.setdefault(str(pair.direction), []).append(number)
    for number, pair in enumerate(examples):
        draw = random.Random(f"{seed}:{number}")
        here = places[str(pair.direction)]
        chosen: list[tuple[str, str]] = []
        wanted = draw.randint(*shots)
        for index in draw.sample(here, min(len(here), wanted + 1)):  # one more, for it may be the row itself
            shot = examples[index]
            if index != number and shot.source != pair.source and shot.target != pair.target:
                chosen.append((shot.source, shot.target))
        chosen = chosen[:wanted]
        room = limit - _OVERHEAD - 16  # the wording of a published prompt
        while chosen and _size([pair.source, pair.target, *sum(chosen, ())], 2 * len(chosen), room, measure) > room:
            chosen.pop()
        yield Row(render(form, pair.direction, pair.source, pair.target, chosen), str(pair.direction), pair.weight)


def interlinear(
    form: Format,
    examples: Iterable[Example],
    limit: int,
    measure: Measure,
    *,
    sentences: int = 8,
    order: Literal["both", "forward", "reverse"] = "both",
) -> Iterator[Row]:
    """Source sentence, translation, next source ... of pairs that follow each other in one document (2403.11430).

    Each side stands behind its language's tag; everything but the first tag is trained. `order`: which side stands first.
    """
    groups = groupby(examples, key=lambda pair: (pair.origin, pair.document, str(pair.direction)))
    for _, group in groups:
        for chunk in _chunks(group, sentences, limit - _OVERHEAD, measure):
            weight = sum(pair.weight for pair in chunk) / len(chunk)
            if order != "reverse":
                yield Row(_alternating(form, chunk), str(chunk[0].direction), weight)
            if order != "forward":
                turned = [pair.reversed for pair in chunk]
                yield Row(_alternating(form, turned), str(turned[0].direction), weight)


def _chunks(pairs: Iterable[Example], most: int, budget: int, measure: Measure) -> Iterator[list[Example]]:
    """Runs of pairs that fit together; a pair that is too long alone makes a run of its own, and is counted later."""
    chunk: list[Example] = []
    for pair in pairs:
        texts = [text for row in [*chunk, pair] for text in (row.source, row.target)]
        if chunk and (len(chunk) == most or _size(texts, len(texts) * 2, budget, measure) > budget):
            yield chunk
            chunk = []
        chunk.append(pair)
    if chunk:
        yield chunk


def _size(texts: Sequence[str], tags: int, budget: int, measure: Measure) -> int:
    """Tokens of the texts and their tags, or an upper bound where that is within the budget already."""
    bound = sum(len(text.encode()) for text in texts) + tags
    return bound if bound <= budget else sum(measure(texts)) + tags


def _alternating(form: Format, pairs: Sequence[Example]) -> Rendered:
    pieces = [Piece("begin")]
    sides = [side for p in pairs for side in ((p.source_language, p.source), (p.target_language, p.target))]
    for number, (language, text) in enumerate(sides):
        later = number > 0
        if form.kind == "compact":
            pieces += [Piece("control", language_token(language), later), Piece("text", text, trained=True)]
        else:
            pieces += [
                Piece("text", f"{name(language)}:", later),
                Piece("text", f" {text}" + "\n" * (number + 1 < len(sides)), trained=True),
            ]
    return Rendered((*pieces, Piece("end", trained=True)))

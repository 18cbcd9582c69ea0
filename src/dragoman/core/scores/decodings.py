"""The ways in which an evaluation translates a set, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.core.recipe import Decoding, Evaluate


@dataclass(frozen=True, slots=True)
class Way:
    """A decoding, and what stands in the prompts. `alone` names the same decoding without help; `random`: the examples
    are drawn at random, so there is no help to account for."""

    name: str
    decoding: Decoding
    shots: int = 0
    terms: bool = False
    alone: str | None = None
    random: bool = False


def ways(settings: Evaluate) -> list[Way]:
    """Each decoding with each number of examples, then at random and with terms: greedy, greedy-1shot,
    greedy-1random, greedy-terms."""
    found = []
    for name, decoding in named(settings.decode).items():
        found += _in_context(name, decoding, settings)
        if settings.glossary:
            found.append(Way(f"{name}-terms", decoding, terms=True, alone=name))
    return found


def closed_ways(settings: Evaluate) -> list[Way]:
    """The prompts of closed generation, where nothing is decoded: closed, closed-1shot, closed-1random."""
    return _in_context("closed", Decoding(), settings)


def _in_context(name: str, decoding: Decoding, settings: Evaluate) -> list[Way]:
    found = [
        Way(f"{name}-{shots}shot", decoding, shots, alone=name) if shots else Way(name, decoding)
        for shots in settings.shots
    ]
    return found + [Way(f"{name}-{shots}random", decoding, shots, random=True) for shots in settings.random_shots]


def named(decodings: Sequence[Decoding]) -> dict[str, Decoding]:
    """Short names for the recipe's decodings: greedy, beam4-lp0.6, mbr64; numbered where that is not enough."""
    names: dict[str, Decoding] = {}
    for decoding in decodings:
        name = "greedy" if decoding.beam == 1 else f"beam{decoding.beam}"
        if decoding.beam > 1 and decoding.length_penalty != 1.0:
            name += f"-lp{decoding.length_penalty:g}"
        if decoding.sample is not None:
            name = "sample"
        if decoding.mbr is not None:
            name = f"mbr{decoding.mbr.candidates}{'' if decoding.mbr.aggregate else '-exact'}"
        number, chosen = 2, name
        while chosen in names:
            chosen, number = f"{name}-{number}", number + 1
        names[chosen] = decoding
    return names

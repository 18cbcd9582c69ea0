"""What `dragoman new` does: choose a base where none is named, write the recipe, say what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from dragoman import new
from dragoman.cli.languages import parsed
from dragoman.cli.session import Session
from dragoman.core.bases import Choice, Licence, choose
from dragoman.errors import ArgumentError


def write(
    folder: Path,
    pairs: Sequence[str],
    data: Sequence[Path],
    base: str | None,
    memory: float | None,
    licence: str | None,
    scratch: bool,
    here: Session,
) -> None:
    """Write the recipe. Nothing is downloaded. Raises ArgumentError for options that exclude each other."""
    if base and scratch:
        raise ArgumentError("--base and --scratch exclude each other: adapt a model, or make a new one.")
    if (base or scratch) and (memory is not None or licence is not None):
        raise ArgumentError("--memory and --licence choose a base: leave them out beside --base and --scratch.")
    directions = [parsed(text) for text in pairs]
    start: str | Choice | None = base
    if not base and not scratch:
        start = choose(directions, memory=memory, licence=_licence(licence))
    path = new.write(folder, directions, files=data, base=start)
    if isinstance(start, Choice):
        here.listener.say(f"base: {start.base.id}: {start.why}")
        for doubt in start.doubts:
            here.listener.warn(doubt)
        if start.others:
            here.listener.say(f"others that would do: {', '.join(other.id for other in start.others[:3])} (--base)")
    first = "" if data else " Put your files where it says."
    here.result(f"{path} is written.{first} Next: dragoman plan {path}", recipe=path)


def _licence(asked: str | None) -> Licence:
    for known in get_args(Licence):
        if (asked or "permissive") == known:
            return known  # type: ignore[no-any-return]
    raise ArgumentError(f"--licence {asked}: not one of {', '.join(get_args(Licence))}.")

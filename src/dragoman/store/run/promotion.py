"""From challenger to champion and back: the gate's word, the log, then one file that is replaced at once.

The log is written first ("promoting"), then the aliases, then the log again ("promoted"). A kill or a full disk in between
leaves the aliases as they were, or as they shall be: never anything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dragoman.errors import CheckpointError, DataError, QualityError, ResourceError
from dragoman.store.run import aliases, audit
from dragoman.store.run.aliases import CHALLENGER, CHAMPION, Aliases, Target
from dragoman.store.run.artifact import ABOUT, MANIFEST, REFRESHES, model_folder

FOLDER, GATE = REFRESHES, "gate.json"


def aliases_file(run: Path) -> Path:
    """Where `serve RUN` reads them."""
    return run / "server" / "aliases.json"


def champion(run: Path) -> Target:
    """What is promoted now: by the aliases, else the run itself. Its checksum is not made anew."""
    found = Aliases.read(aliases_file(run)).targets.get(CHAMPION)
    return found if found is not None else aliases.target(run)


def in_use(run: Path) -> Path:
    """The folder that answers for a run: of its champion, where one was promoted."""
    found = Aliases.read(aliases_file(run)).targets.get(CHAMPION)
    return found.folder if found is not None else run


def refreshes(run: Path) -> list[Path]:
    """Folders of challengers, oldest first, finished or not."""
    return sorted(path.parent for path in (run / FOLDER).glob(f"[0-9]*/{ABOUT}"))


def about(folder: Path) -> dict[str, Any]:
    """What is written of a challenger. Raises CheckpointError where it is damaged."""
    try:
        found: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if {"at", "champion", "edits"} <= set(found):
            return found
        raise ValueError("a key is missing")
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{folder / ABOUT}: damaged ({error}). Delete this folder and refresh again.") from None


def challenge(run: Path, folder: Path) -> Target:
    """Let `challenger` point to a finished one."""
    target = aliases.target(folder, f"{_name(run)}-{folder.name}")
    audit.add(run, "challenger", name=target.name, checksum=target.checksum)
    aliases.assign(aliases_file(run), CHALLENGER, target)
    return target


def promote(run: Path, which: str = CHALLENGER) -> tuple[Target, dict[str, Any]]:
    """Let `champion` point to a challenger (an alias, or its number) whose gate is open; that target, and what the gate found.

    Raises DataError where there is none, CheckpointError where it is not the model that was judged, or was judged against
    another champion, ResourceError where the disk is full, QualityError where the gate is shut. Nothing has moved then.
    """
    with promoting(run):
        file = aliases_file(run)
        known = Aliases.read(file)
        target = known.targets.get(which)
        if target is None:
            folder = run / FOLDER / which
            if not (folder / ABOUT).is_file():
                held = ", ".join(path.name for path in refreshes(run)) or "none"
                raise DataError(
                    f"{run}: has no challenger '{which}'. Refreshes: {held}. Make one: dragoman refresh {run}"
                )
            target = aliases.target(folder, f"{_name(run)}-{folder.name}")
        target.verify()
        gate = _gate(target)
        before = champion(run)
        if (before.folder, before.checksum) == (target.folder, target.checksum):
            raise DataError(f"{target.name} is the champion already.")
        if gate["champion"] != before.checksum:
            raise CheckpointError(
                f"{target.folder}: was judged against another champion than {before.name}. "
                f"Refresh again: dragoman refresh {run}"
            )
        if not gate["passed"]:
            audit.add(run, "refused", name=target.name, checksum=target.checksum, against=gate["against"])
            raise QualityError(f"{target.name}: stays a challenger:\n  " + "\n  ".join(gate["against"]))
        first = before if CHAMPION not in known.targets else None  # so that there is a way back
        if first is not None:
            audit.add(run, "first", alias=CHAMPION, name=first.name, checksum=first.checksum)
        audit.add(run, "promoting", alias=CHAMPION, name=target.name, checksum=target.checksum, before=before.checksum)
        try:
            for one in (first, target):
                if one is not None:
                    aliases.assign(file, CHAMPION, one)
        except OSError as error:
            raise _full(file, error) from None
        audit.add(run, "promoted", alias=CHAMPION, name=target.name, checksum=target.checksum)
        return target, gate


def roll_back(run: Path, alias: str = CHAMPION) -> Target:
    """Let an alias point to what it pointed to before. Nothing is loaded or read of the model but that it is there."""
    with promoting(run):
        file = aliases_file(run)
        earlier = Aliases.read(file).before.get(alias, ())
        if not earlier:
            raise DataError(f"{file}: '{alias}' has not pointed to anything else before.")
        model_folder(earlier[-1].folder)
        audit.add(run, "promoting", alias=alias, name=earlier[-1].name, checksum=earlier[-1].checksum, back=True)
        try:
            target = aliases.rollback(file, alias).targets[alias]
        except OSError as error:
            raise _full(file, error) from None
        audit.add(run, "promoted", alias=alias, name=target.name, checksum=target.checksum, back=True)
        return target


def verify(run: Path, expect: str | None = None) -> audit.Verified:
    """The chain, and that the champion is one that the log promoted. Raises CheckpointError."""
    found = audit.verify(run, expect)
    now = Aliases.read(aliases_file(run)).targets.get(CHAMPION)
    told = [entry for entry in audit.read(run) if entry.event in ("promoting", "promoted", "first")]
    mine = [entry for entry in told if entry.facts.get("alias") == CHAMPION]
    if now is not None and now.checksum not in {entry.facts["checksum"] for entry in _standing(mine)}:
        raise CheckpointError(
            f"{aliases_file(run)}: its champion, {now.name}, is not what the log promoted last: it was set by other means, "
            "or entries of the log were cut off."
        )
    return found


def _standing(told: list[audit.Entry]) -> list[audit.Entry]:
    """The entries that the alias may agree with: the last finished one, and those after it that were stopped."""
    finished = [number for number, entry in enumerate(told) if entry.event != "promoting"]
    return told[finished[-1] if finished else 0 :]


@contextmanager
def promoting(run: Path) -> Iterator[None]:
    """One at a time."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(run / ".promote.lock", timeout=10.0):
            yield
    except Timeout:
        raise CheckpointError(f"{run}: another promotion is at work. Try again when it has ended.") from None


def _full(file: Path, error: OSError) -> ResourceError:
    return ResourceError(f"{file}: cannot be written ({error.strerror}); the aliases are as they were.")


def _gate(target: Target) -> dict[str, Any]:
    path = target.folder / GATE
    try:
        gate: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        same = gate["challenger"] == target.checksum
    except FileNotFoundError:
        raise CheckpointError(
            f"{target.folder}: was never held against the champion. Run it again: dragoman refresh"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged ({error}). Refresh again.") from None
    if not same or not (target.folder / "evaluate" / MANIFEST).is_file():
        raise CheckpointError(f"{path}: is of another model. Refresh again.")
    return gate


def _name(run: Path) -> str:
    return aliases.checked(run.resolve().name[:50] or "run")

"""Aliases: the names under which runs are served, in one file that is replaced at once.

`champion` is what answers unless another is named, `challenger` what is tried beside it; others may be added. Each points
to the folder of a run or bundle, with the SHA-256 of its model, so that what is served is what was chosen. What an alias
pointed to before is kept, and `rollback` goes back to it.

The file, `aliases.json`:

    {"format": 1,
     "aliases": {"champion": {"name": "clinic-2", "folder": "/runs/clinic-2", "checksum": "sha256:...", "since": "..."}},
     "before": {"champion": [{"name": "clinic-1", ...}]}}          newest last
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dragoman.errors import CheckpointError, DataError
from dragoman.store.run.artifact import digest, file_digest, model_folder, write_json
from dragoman.store.run.bundle import SHELL, bundle_of

CHAMPION, CHALLENGER = "champion", "challenger"
_FORMAT = 1
_KEPT = 10  # earlier targets of an alias
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """What an alias points to. `checksum`: of the model's folder, as `checksum_of` makes it; `since`: UTC, ISO 8601."""

    name: str
    folder: Path
    checksum: str
    since: str = ""

    def to_json(self) -> dict[str, str]:
        return {**asdict(self), "folder": str(self.folder)}

    def verify(self) -> None:
        """Raises CheckpointError when the model is not the one that was chosen."""
        if checksum_of(self.folder) != self.checksum:
            raise CheckpointError(
                f"{self.folder}: is not the model that the alias was set to: its checksum is another one. "
                "Set the alias again if the change is meant."
            )


@dataclass(frozen=True, slots=True)
class Aliases:
    """What the file says at one moment."""

    targets: Mapping[str, Target] = field(default_factory=dict)
    before: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)  # newest last

    @classmethod
    def read(cls, path: Path) -> Aliases:
        """A file that is not there has no aliases. Raises CheckpointError for a damaged one."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if value["format"] != _FORMAT:
                raise CheckpointError(f"{path}: is in format {value['format']}, this version reads {_FORMAT}.")
            targets = {alias: _target(one) for alias, one in value["aliases"].items()}
            before = {alias: tuple(map(_target, many)) for alias, many in value["before"].items()}
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: damaged ({error}). Set the aliases again.") from None
        return cls(targets, before)

    def write(self, path: Path) -> None:
        """Replace the file at once: a reader sees the old or the new one, whole."""
        value = {
            "format": _FORMAT,
            "aliases": {alias: one.to_json() for alias, one in self.targets.items()},
            "before": {alias: [one.to_json() for one in many] for alias, many in self.before.items()},
        }
        write_json(path, value)


def checksum_of(folder: Path) -> str:
    """SHA-256 over the files of a run's model; of a bundle, over those of its default format and what it writes prompts with.
    Raises CheckpointError when there is none."""
    if (bundle := bundle_of(folder)) is not None:
        parts = (SHELL, bundle.default)
        used = {name: about["sha256"] for name, about in bundle.files.items() if name.partition("/")[0] in parts}
        return f"sha256:{digest(bundle.default, used)}"
    return f"sha256:{file_digest(model_folder(folder))}"


def target(folder: Path, name: str | None = None) -> Target:
    """The run in `folder` as an alias points to it. Raises DataError for a name that is none, and CheckpointError."""
    folder = folder.resolve()
    return Target(checked(name or folder.name), folder, checksum_of(folder))


def checked(name: str) -> str:
    """A name of a bundle or alias. Raises DataError."""
    if not _NAME.fullmatch(name):
        raise DataError(
            f"'{name}' is no name to serve a model by: letters, digits, dots, hyphens and underscores, 64 at most."
        )
    return name


def assign(path: Path, alias: str, wanted: Target) -> Aliases:
    """Let `alias` point to a target. One writer at a time; returns what the file says then."""
    with _locked(path):
        aliases = Aliases.read(path)
        now = replace(wanted, since=datetime.now(UTC).isoformat(timespec="seconds"))
        old = aliases.targets.get(checked(alias))
        before = dict(aliases.before)
        if old is not None and (old.folder, old.checksum) != (now.folder, now.checksum):
            before[alias] = (*before.get(alias, ()), old)[-_KEPT:]
        changed = Aliases({**aliases.targets, alias: now}, before)
        changed.write(path)
        return changed


def rollback(path: Path, alias: str) -> Aliases:
    """Let `alias` point to what it pointed to before. Raises DataError when there is nothing to go back to."""
    with _locked(path):
        aliases = Aliases.read(path)
        earlier = aliases.before.get(alias, ())
        if not earlier:
            raise DataError(f"{path}: '{alias}' has not pointed to anything else before.")
        now = replace(earlier[-1], since=datetime.now(UTC).isoformat(timespec="seconds"))
        changed = Aliases({**aliases.targets, alias: now}, {**aliases.before, alias: earlier[:-1]})
        changed.write(path)
        return changed


def _target(value: Mapping[str, Any]) -> Target:
    return Target(str(value["name"]), Path(value["folder"]), str(value["checksum"]), str(value["since"]))


def _locked(path: Path) -> Any:
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name(f".{path.name}.lock"), timeout=_LOCK_SECONDS)

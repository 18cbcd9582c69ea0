"""A bundle: the folder that `deploy` makes, with all that is needed to translate, and a manifest that is written last.

bundle.json            this manifest: formats, provenance, size and SHA-256 of every file
model/                 configuration, tokenizer and card (prompt, directions), without weights
hf/ ctranslate2-int8/  one folder for each format
memory/ evaluate/ recipe.lock.yaml   what a run has: memory and glossary, calibration, recipe
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.errors import CheckpointError, ModelError
from dragoman.store.run.artifact import file_digest, write_json

BUNDLE = "bundle.json"
SHELL = "model"
LIVING = "memory/"  # changes while the bundle is used: what is confirmed goes into the memory
_WEIGHTS = ("hf", "hf-bf16")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bundle:
    """A whole bundle. `facts` is its provenance: run, key of the model, base, licence, directions, gates."""

    folder: Path
    default: str  # the format that translates where none is named
    formats: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, Mapping[str, Any]]  # relative name -> {"size", "sha256"}
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """Raises CheckpointError where the manifest is missing or damaged, or a file is missing or of another size."""
        path = folder / BUNDLE
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            found = cls(folder, str(data["default"]), dict(data["formats"]), dict(data["files"]), dict(data["facts"]))
            wrong = [name for name, about in found.files.items() if not _fits(folder, name, int(about["size"]))]
        except FileNotFoundError:
            raise CheckpointError(
                f"{folder}: is no run that was deployed, and no whole bundle ({BUNDLE} is missing). Run `dragoman deploy`."
            ) from None
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CheckpointError(f"{path}: damaged ({error}). Run `dragoman deploy` again.") from None
        if wrong:
            raise CheckpointError(
                f"{folder}: is not what was deployed: {_named(wrong)} missing or of another size. Copy the bundle again."
            )
        return found

    def verify(self, *parts: str) -> None:
        """Read the files of these folders (of all, when none is named) and hold them against their SHA-256.

        Raises CheckpointError that names what was changed. The memory is left out: it changes with use.
        """
        names = [n for n in self.files if not n.startswith(LIVING) and (not parts or n.partition("/")[0] in parts)]
        if changed := [n for n in names if file_digest(self.folder / n) != self.files[n]["sha256"]]:
            raise CheckpointError(
                f"{self.folder}: is not what was deployed: {_named(changed)} changed. Copy the bundle again."
            )

    def weights(self) -> Path:
        """The folder of a format that transformers loads. Raises ModelError."""
        for form in _WEIGHTS:
            if form in self.formats:
                self.verify(form)
                return self.folder / form
        raise ModelError(
            f"{self.folder}: has no weights for transformers; it has {', '.join(self.formats)}. Add `hf` to `deploy.formats`."
        )

    @staticmethod
    def finish(
        folder: Path, default: str, formats: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]
    ) -> Bundle:
        """Write the manifest over all files that are there; every one must have been written before."""
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != BUNDLE)
        files = {n: {"size": (folder / n).stat().st_size, "sha256": file_digest(folder / n)} for n in names}
        about = {"format": 1, "default": default, "formats": dict(formats), "facts": dict(facts), "files": files}
        write_json(folder / BUNDLE, about)
        return Bundle(folder, default, formats, files, facts)


def bundle_of(folder: Path) -> Bundle | None:
    """The bundle that `folder` is; None where it is none. Raises CheckpointError for one that is not whole."""
    return Bundle.read(folder) if (folder / BUNDLE).is_file() or is_torso(folder) else None


def tell_unscreened(folder: Path) -> None:
    """Warn of a bundle that was copied away from a run that screens: the rules are the run's, and stayed there."""
    bundle = bundle_of(folder)
    if bundle is not None and bundle.facts.get("screened"):
        _log.warning(
            "%s: its run screens texts (`monitor.screen`), and this copy does not. To have its rules keep it in the run, as "
            "RUN/deploy/bundle beside RUN/recipe.lock.yaml.",
            folder,
        )


def bundle_of_run(folder: Path) -> Bundle | None:
    """The bundle that the run in `folder` has deployed of the model that it has now; None without one."""
    inner = folder / "deploy" / "bundle"
    if not (inner / BUNDLE).is_file():
        return None
    from dragoman.store.run.trained import key_of

    found = Bundle.read(inner)
    return found if found.facts.get("key") == key_of(folder) else None


def is_torso(folder: Path) -> bool:
    """A bundle without its manifest: one that is being made, or was copied in part."""
    return (folder / SHELL / "dragoman.json").is_file() and not (folder / SHELL / "manifest.json").is_file()


def _fits(folder: Path, name: str, size: int) -> bool:
    path = folder / name
    return path.is_file() and (name.startswith(LIVING) or path.stat().st_size == size)


def _named(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'are' if len(names) > 1 else 'is'}"

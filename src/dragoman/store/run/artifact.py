"""The folder of a finished stage: its files, and a manifest that is written last and so marks it as done.

A manifest names the key (a digest of everything that the stage was made from), the facts that other stages and the
report read, and the versions it was made with. A folder without a manifest, or with another key, is not finished work.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from dragoman.errors import CheckpointError

MANIFEST = "manifest.json"
REFRESHES, ABOUT = "refreshes", "refresh.json"  # the challengers of a run, and what each says of itself
_BLOCK = 1 << 20
_PACKAGES = ("dragoman", "torch", "transformers", "tokenizers", "peft", "sacrebleu", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished stage. `facts` is what it has to tell, as JSON values."""

    folder: Path
    stage: str
    key: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Artifact:
        """Read a finished stage. Raises CheckpointError when it is missing, unfinished or damaged."""
        path = folder / MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            return cls(folder, manifest["stage"], manifest["key"], manifest["facts"])
        except FileNotFoundError:
            raise CheckpointError(f"{folder}: holds no finished stage ({MANIFEST} is missing). Run it first.") from None
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CheckpointError(f"{path}: damaged ({error}). Delete the folder and run the stage again.") from None

    @classmethod
    def done(cls, folder: Path, key: str) -> Artifact | None:
        """The finished stage in `folder` if it was made from exactly the same things, else None."""
        try:
            found = cls.load(folder)
        except CheckpointError:
            return None
        return found if found.key == key else None

    @classmethod
    def finish(cls, folder: Path, stage: str, key: str, facts: Mapping[str, Any]) -> Artifact:
        """Mark `folder` as done. Every other file in it must have been written before."""
        write_json(folder / MANIFEST, {"stage": stage, "key": key, "facts": facts, "versions": versions()})
        return cls(folder, stage, key, facts)

    def content(self, *parts: str) -> str:
        """What tells these parts of the result from others: of a stage that has noted what is in them (`contents` in its
        facts), that, so that work which came to the same counts as the same; else, and for no parts, the key."""
        noted = self.facts.get("contents")
        return digest([noted.get(part) for part in parts]) if parts and noted is not None else self.key

    def share(self, folder: Path) -> Artifact:
        """The same stage in another folder, replacing what is there: hard links where the disk has them, else copies."""
        if (found := Artifact.done(folder, self.key)) is not None:
            return found
        (folder / MANIFEST).unlink(missing_ok=True)  # first, and linked last: in between the folder is not finished
        shutil.rmtree(folder, ignore_errors=True)
        for file in sorted(self.folder.rglob("*"), key=lambda path: path == self.folder / MANIFEST):
            if file.is_file():
                link(file, folder / file.relative_to(self.folder))
        return Artifact.load(folder)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def digest(*parts: object) -> str:
    """A SHA-256 over JSON-like values, in hexadecimal; equal values give equal digests in every process."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder, over the relative names and bytes of all its files."""
    total = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            total.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                total.update(block)
    return total.hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that at every moment either the old or the whole new content is there, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def readable(folder: Path) -> None:
    """Give the weights of a folder the rights that other files get which are written here: safetensors writes for the owner
    alone, and a server in a container runs as somebody else."""
    probe = folder / f".rights-{os.getpid()}"
    probe.touch()
    rights = probe.stat().st_mode & 0o777
    probe.unlink()
    for path in folder.glob("*.safetensors"):
        path.chmod(rights)


def link(file: Path, place: Path) -> None:
    """`file` once more at `place`: a hard link, or a copy where the disk has none. Neither may be changed in place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    try:
        place.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, place)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file. Only a line feed ends one: a text may hold U+2028 or U+0085, which end lines for Python."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically, keys in the order given, UTF-8."""
    write_atomic(path, (json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n").encode())


def home(folder: Path) -> Path:
    """Where memory, glossary, ledger and feedback of a run lie: those of a challenger in the run that it was made for."""
    if not (folder / ABOUT).is_file():
        return folder
    whole = folder.resolve()
    return whole.parents[1] if whole.parent.name == REFRESHES else folder


def model_folder(folder: Path) -> Path:
    """The model of a run folder (the trained one, else the untouched one), of a phase or of a bundle, or `folder` itself if
    it is a model.

    Raises CheckpointError when there is none.
    """
    from dragoman.store.run.bundle import SHELL, bundle_of

    if (folder / "phase.json").is_file() and _is_model(folder / "model"):
        return folder / "model"
    if (bundle := bundle_of(folder)) is not None:
        whole = (form for form in ("hf", "hf-bf16", SHELL) if form == SHELL or form in bundle.formats)
        return folder / next(whole)
    for stage in ("train", "model"):
        if (folder / stage / MANIFEST).is_file():
            artifact = Artifact.load(folder / stage)
            return artifact.folder / str(artifact.facts["folder"])
    if _is_model(folder):
        return folder
    raise CheckpointError(f"{folder}: is neither a finished run (train/ or model/) nor a model folder (config.json).")


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file()

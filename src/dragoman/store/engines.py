"""Engines that are not dragoman's own: packages of one version, whose bytes are known beforehand, each in a folder of its own
outside any environment of Python. Nothing in them is run by being installed."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dragoman.errors import DataError, ResourceError

FOLDER = "DRAGOMAN_ENGINES"  # the environment variable with the folder of all engines
_PATIENCE = 300  # seconds that npm may take


@dataclass(frozen=True)
class Package:
    """A package of npm. `files`: what is kept of it, and under which name."""

    name: str
    version: str
    licence: str
    integrity: str  # SHA-512 of the archive, base64, as npm's lock files tell it
    files: Mapping[str, str]


# wllama 3 has no function that cuts a text into tokens, so that what spells a control token in a user's text would be one
PACKAGES = {
    "wllama": Package(
        "@wllama/wllama",
        "2.4.0",
        "MIT",
        "KuVHeTUXcqHF01d85q3nWaRSVLpszULNGjO+nx4cyZ8sBjZvKSMViWNCfcs/1w2bqjyegERJzWsrdQSHSEoSlQ==",
        {"esm/index.js": "index.js", "esm/single-thread/wllama.wasm": "wllama.wasm", "LICENCE": "LICENCE"},
    )
}


def home() -> Path:
    """The folder of all engines."""
    if given := os.environ.get(FOLDER):
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "dragoman" / "engines"


def installed(name: str) -> Path | None:
    """The folder of an engine that is whole; None where it is not installed."""
    package = PACKAGES[name]
    folder = home() / f"{name}-{package.version}"
    return folder if all((folder / file).is_file() for file in package.files.values()) else None


def install(name: str, archive: Path | None = None) -> Path:
    """Fetch an engine with npm, or take it from an archive that npm has packed elsewhere; its folder.

    Raises DataError for an unknown name or another archive, ResourceError where npm is missing or fetches nothing.
    """
    package = PACKAGES.get(name)
    if package is None:
        raise DataError(f"'{name}' is no engine that can be installed. Known: {', '.join(PACKAGES)}.")
    if (found := installed(name)) is not None:
        return found
    folder = home() / f"{name}-{package.version}"
    try:
        home().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home()) as place:
            whole = Path(place) / "whole"
            _unpack(package, archive or _fetched(package, Path(place)), whole)
            shutil.rmtree(folder, ignore_errors=True)  # one that is not whole
            whole.rename(folder)
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be written ({error}). {FOLDER} names another folder.") from None
    return folder


def _fetched(package: Package, place: Path) -> Path:
    """The archive from the registry that npm is set to."""
    wanted = f"{package.name}@{package.version}"
    help_ = f"`npm pack {wanted}` on another machine makes a file that `--from` takes."
    if shutil.which("npm") is None:
        raise ResourceError(f"npm is not installed, which fetches {wanted}. {help_}")
    command = ["npm", "pack", wanted, "--ignore-scripts", "--fetch-retries=1", "--pack-destination", str(place)]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise ResourceError(f"npm did not fetch {wanted} within {_PATIENCE} seconds. {help_}") from None
    found = list(place.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        told = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if "complete log" not in line]
        why = next((line for line in told if line.startswith("code ")), told[-1] if told else "no reason told")
        raise ResourceError(f"npm did not fetch {wanted} ({why[:200]}). {help_}")
    return found[0]


def _unpack(package: Package, archive: Path, out: Path) -> None:
    """Hold an archive against its digest, and write what is kept of it. Raises DataError."""
    try:
        packed = archive.read_bytes()
    except OSError as error:
        raise DataError(f"{archive}: cannot be read ({error.strerror}).") from None
    if base64.b64encode(hashlib.sha512(packed).digest()).decode() != package.integrity:
        raise DataError(
            f"{archive}: is not {package.name} {package.version}, its SHA-512 is another one. Nothing was installed."
        )
    out.mkdir()
    with tarfile.open(archive) as members:
        for name, kept in package.files.items():
            member = members.extractfile(f"package/{name}")
            assert member is not None  # noqa: S101 # the digest is right, so it is there
            (out / kept).write_bytes(member.read())

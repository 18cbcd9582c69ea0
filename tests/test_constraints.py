"""The lock of all dependencies: each is there, within its bounds, and nothing in it belongs to one machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
UNLOCKED = {"s3fs", "trackio"}  # they want older releases of fsspec and pillow than the others are tested with
PIN = re.compile(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)")
LINES = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]


def locked() -> dict[str, str]:
    found = [PIN.fullmatch(line.lower().replace("_", "-")) for line in LINES]
    return {canonicalize_name(pin[1]): pin[2] for pin in found if pin}


def test_every_line_is_a_pinned_release() -> None:
    assert len(locked()) == len(LINES), [line for line in LINES if not PIN.fullmatch(line.lower().replace("_", "-"))]


def test_every_dependency_is_locked_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    makefile = re.findall(r"'(mkdocs[^']+)'", (ROOT / "Makefile").read_text(encoding="utf-8"))
    wanted = [Requirement(line) for line in (*project["dependencies"], *extras, *makefile)]
    wrong = [
        str(one)
        for one in wanted
        if one.name != project["name"]
        and one.name not in UNLOCKED
        and not (
            (version := locked().get(canonicalize_name(one.name))) and one.specifier.contains(version, prereleases=True)
        )
    ]
    assert len(wanted) > 60
    assert not wrong, f"{wrong}: run `make lock`"
    assert not UNLOCKED & locked().keys()

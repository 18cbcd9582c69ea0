"""What may be loaded when: the package, the command line's help and every pure module stay light and quick."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import dragoman

HEAVY = {"torch", "transformers", "peft", "pyarrow", "lingua", "matplotlib", "lxml", "datasets", "scipy", "pandas"}


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh Python holds after running `code`."""
    tail = "\nimport sys; print('\\n'.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_measure_sees_what_is_loaded() -> None:
    assert "pyarrow" in loaded_by("import pyarrow")


def test_import_dragoman_loads_almost_nothing() -> None:
    assert not loaded_by("import dragoman; dir(dragoman)") & {*HEAVY, "pydantic", "ruamel", "typer", "rich", "numpy"}


def test_public_names_resolve() -> None:
    from dragoman.core.listen import SILENT

    for name in dragoman.__all__:
        assert getattr(dragoman, name) is SILENT if name == "SILENT" else getattr(dragoman, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        _ = dragoman.Trainer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "heavy"),
    [("core", HEAVY), ("store", {"torch", "transformers", "peft", "datasets", "matplotlib", "lingua"})],
)
def test_pure_modules_load_nothing_heavy(folder: str, heavy: set[str]) -> None:
    root = Path(dragoman.__file__).parent / folder
    modules = sorted(
        ".".join(f.relative_to(root).with_suffix("").parts) for f in root.rglob("*.py") if f.stem != "__init__"
    )
    assert modules
    code = f"""
import importlib, sys
for module in {modules}:
    importlib.import_module("dragoman.{folder}." + module)
    assert not (found := set(sys.modules) & {heavy}), (module, found)
"""
    assert not loaded_by(code) & heavy


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["translate", "--help"], ["plan", "missing.yaml"]]
)
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from dragoman.cli import main
sys.argv = ["dragoman", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert end.code == {2 if "missing.yaml" in arguments else 0}, end.code
"""
    assert not loaded_by(code) & {*HEAVY, "numpy", "rich"}


def test_help_is_quick(tmp_path: Path) -> None:
    """Under 0.3 s for the whole process: processor time, the best of several, for the machine may be busy."""
    # compiled modules are kept, as after any installation
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    best = float("inf")
    for _ in range(8):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "dragoman", "--help"], capture_output=True, check=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if best < 0.3:
            break
    assert best < 0.3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chosen", "count"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)]
)
def test_threads_that_wait_give_way_unless_told_otherwise(chosen: dict[str, str], count: str | None) -> None:
    own = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code = "import dragoman.engine.prompt_fit, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", code], env=own | chosen, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(count)

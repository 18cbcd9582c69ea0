"""Two evaluated runs that the tests of this folder share; a test that changes one copies it first."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.core.listen import SILENT
from dragoman.stages import evaluate
from tests.runs import Memory, make_run, recipe
from tests.stages.test_evaluate import Loader


class Better(Loader):
    """Its trained model forgets less."""

    def __call__(self, folder: Path, *, precision: str = "auto", threads: int | None = None) -> Memory:
        return Memory(7) if "train" in folder.parts else super().__call__(folder, threads=threads)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """`a`, evaluated on dev and test, and `b`, better, on test only."""
    root = tmp_path_factory.mktemp("runs")
    for name, loader in (("a", Loader()), ("b", Better())):
        wanted = recipe("evaluate.sets=[test]" if name == "b" else "")
        evaluate.run(wanted, make_run(root / name, new=False), root / name / "evaluate", "e", SILENT, loader)
    (root / "a" / "recipe.yaml").write_text("name: <small>\n", encoding="utf-8")
    return [root / "a", root / "b"]


@pytest.fixture(scope="session")
def run(runs: list[Path]) -> Path:
    return runs[0]

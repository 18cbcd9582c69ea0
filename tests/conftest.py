"""Fixtures for all tests."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.commands import Command, Done

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may ask a hub
os.environ["DRAGOMAN_ENGINES"] = str(Path(__file__).parent / "none")  # those of whoever runs the tests are not for them

# a busy machine is slow, and a check that fails must fail again
settings.register_profile("dragoman", deadline=None, derandomize=True)
settings.load_profile("dragoman")


LONG = ("stages", "server", "bulk", "teachers", "studies")  # folders of tests that train or start processes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The modules that take longest come first, so that none of them is left over for one process at the end."""

    def later(item: pytest.Item) -> bool:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return folder not in LONG and not folder.endswith(".py")

    items.sort(key=later)


def pytest_collection_finish() -> None:
    """What the modules hold stays to the end: the collector need not look at these millions of objects again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real texts that the tests read but the repository may not hold; tests skip without it."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("DRAGOMAN_DATA", default))
    if not folder.is_dir():
        pytest.skip("the shared data is not here; set DRAGOMAN_DATA")
    return folder


@pytest.fixture
def dragoman(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Calls the command line with these arguments, in this process."""
    from dragoman.cli import main

    def command(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["dragoman", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        return Done(code if isinstance(code, int) else 0, *capsys.readouterr())

    return command

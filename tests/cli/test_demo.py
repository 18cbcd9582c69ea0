"""The end of the demo: one translation by a real server, which is gone afterwards."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from dragoman.cli import demo
from dragoman.cli.session import Session
from dragoman.core.text.languages import Direction
from tests.heard import Heard
from tests.tiny import tiny

EN_DE = Direction("en", "de")


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """All processes that are started."""
    found: list[subprocess.Popen[str]] = []

    class Remembered(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            found.append(self)

    monkeypatch.setattr(demo.subprocess, "Popen", Remembered)
    return found


@pytest.mark.slow
def test_a_run_is_served_for_one_request(tmp_path: Path, ended: list[subprocess.Popen[str]]) -> None:
    tiny(tmp_path / "clinic")
    heard = Heard()
    answer = demo.served(tmp_path / "clinic", "Take one tablet.", EN_DE, Session(heard, as_json=False, folder=None))  # type: ignore[arg-type]
    assert answer is not None, heard.said
    assert (answer["source"], answer["target_language"], answer["origin"]) == ("Take one tablet.", "de", "model")
    assert answer["model"].startswith("clinic@")
    assert [one.returncode for one in ended] == [0]  # it drained, and ended by itself
    told = "\n".join(demo._told(answer, tmp_path / "clinic"))
    assert answer["text"] in told
    assert f"serve {tmp_path / 'clinic'}" in told
    assert "http://localhost:5000" in told


@pytest.mark.slow
def test_a_demo_does_not_end_for_want_of_a_server(tmp_path: Path, ended: list[subprocess.Popen[str]]) -> None:
    heard = Heard()
    (tmp_path / "no run").mkdir()
    assert demo.served(tmp_path / "no run", "Text", EN_DE, Session(heard, as_json=False, folder=None)) is None  # type: ignore[arg-type]
    assert "the server gave no answer" in heard.said[-1]
    assert [one.returncode for one in ended] == [3] or ended[0].returncode > 0
    assert "serve" in demo._told(None, tmp_path)[0]

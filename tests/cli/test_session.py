from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import warnings
from contextlib import closing
from pathlib import Path

import pytest
import typer
from safetensors import SafetensorError

from dragoman.cli.session import session
from dragoman.errors import CheckpointError, DataError, DragomanError, ModelError, RecipeError, ResourceError


def ended(error: BaseException, **options: object) -> int:
    """The exit code of a command whose body raises `error`."""
    with pytest.raises(typer.Exit) as caught, session(**options):  # type: ignore[arg-type]
        raise error
    return caught.value.exit_code


@pytest.mark.parametrize(
    ("kind", "code"),
    [(DragomanError, 1), (RecipeError, 2), (DataError, 3), (ModelError, 4), (ResourceError, 5), (CheckpointError, 6)],
)
def test_an_error_of_the_user_is_told_without_a_traceback(
    kind: type[DragomanError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(kind("a.tsv:3: bad\nb.tsv:1: worse")) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: a.tsv:3: bad\nerror: b.tsv:1: worse\n")


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(DataError("bad"), debug=True) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("resumes", "said"),
    [
        (True, "What is finished is kept; go on with"),
        (False, "Nothing of it is kept; from the beginning again with"),  # a translation
    ],
)
def test_a_stopped_command_says_how_to_go_on(
    resumes: bool, said: str, by: signal.Signals, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["dragoman", "run", "my recipe.yaml"])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & ignores it
    try:
        with pytest.raises(typer.Exit) as caught, session(resumes=resumes):
            os.kill(os.getpid(), by)
            signal.sigtimedwait([], 5)  # never gets there: the signal raises first
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == f"error: stopped. {said}: dragoman run 'my recipe.yaml'\n"


def test_a_fault_of_ours_is_one_line_and_the_traceback_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(KeyError("weights\nline"), folder=tmp_path) == 70
    (kept,) = tmp_path.iterdir()
    err = capsys.readouterr().err
    assert err.startswith("error: a fault in dragoman ")
    assert err.count("\n") == 1
    assert str(kept) in err
    assert "builtins.KeyError" in kept.read_text() and "KeyError at test_session.py:" in err
    assert "in ended" in kept.read_text()


def test_the_report_of_a_fault_holds_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ["translate", "a secret.txt", "a secret", "--to", "de", "--from=a secret", "--json", "--", "-a secret"]
    monkeypatch.setattr(sys, "argv", ["dragoman", *typed])

    def deep() -> None:
        try:
            raise ValueError("a secret")
        except ValueError as error:
            raise KeyError("a secret") from error

    with pytest.raises(typer.Exit), session(folder=tmp_path, as_json=True):
        deep()
    (kept,) = tmp_path.iterdir()
    told = kept.read_text()
    assert "dragoman translate --to --from --json\n" in told
    assert told.index("builtins.KeyError") < told.index("caused by") < told.index("builtins.ValueError")
    assert "in deep" in told and "secret" not in told.replace('Error("a secret")', "")  # its own lines of code
    assert "secret" not in capsys.readouterr().err


def test_without_a_run_folder_the_traceback_is_kept_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert ended(RuntimeError("x"), folder=tmp_path / "not there") == 70
    assert len(list(tmp_path.glob("dragoman-error-*.txt"))) == 1


def test_a_full_disk_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(OSError(28, "No space left on device")) == 5
    assert capsys.readouterr().err.startswith("error: the disk is full")


def test_a_place_that_may_not_be_written_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(PermissionError(13, "Permission denied", "run/.dragoman.lock")) == 5
    assert capsys.readouterr().err.startswith("error: not allowed: [Errno 13] Permission denied: 'run/.dragoman.lock'.")


def test_warnings_of_libraries_reach_the_listener(capsys: pytest.CaptureFixture[str]) -> None:
    with session(as_json=True):
        warnings.simplefilter("always")
        warnings.warn("a tensor is\nodd", UserWarning, stacklevel=1)
    assert json.loads(capsys.readouterr().err) == {"event": "warn", "text": "a tensor is\nodd"}


def test_results_go_to_standard_output_and_events_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with session() as here:
        here.listener.say("begun")
        here.result("score 3", score=3)
    assert capsys.readouterr() == ("score 3\n", "begun\n")
    with pytest.raises(typer.Exit), session(as_json=True) as here:
        here.listener.say("begun")
        here.result("score 3", score=3, folder=Path("é"))
        raise DataError("bad")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"score": 3, "folder": "é"}
    assert [json.loads(line)["event"] for line in err.splitlines()] == ["say", "error"]


def _of_sqlite() -> Exception:
    with closing(sqlite3.connect(":memory:")) as base:
        base.execute("create table rows (text)")
        base.execute("pragma max_page_count = 2")
        try:
            base.execute("insert into rows values (?)", ("a secret" * 9999,))
        except sqlite3.OperationalError as error:
            return error
    raise AssertionError


@pytest.mark.parametrize(
    "error",
    [
        _of_sqlite(),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError("Not enough free space to write 40000000 bytes after offset 128"),
        OSError("4096 requested and 1024 written"),
        OSError("problem writing element 22528 to file"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_full_disk_is_known_in_the_words_of_libraries(
    error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrapped = RuntimeError("a secret")
    wrapped.__cause__ = error
    for one in (error, wrapped):
        assert ended(one) == 5
        told = capsys.readouterr().err
        assert told.startswith("error: the disk is full") and "secret" not in told
    assert ended(ValueError("the translation of 'database or disk is full'"), folder=tmp_path) == 70

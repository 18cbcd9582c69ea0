"""One command from start to end: who listens, where results go, and what every kind of failure looks like."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import typer

from dragoman import __version__
from dragoman.cli.terminal import Screen, screen
from dragoman.engine.world import PeerError, number
from dragoman.errors import DragomanError, ResourceError

FAULT = 70  # exit code of a fault in dragoman itself (EX_SOFTWARE of sysexits.h)
STOPPED = 130  # 128 + SIGINT


class Session:
    """What a verb may use: `listener` for what happens, `result` for what comes out."""

    def __init__(self, listener: Screen, *, as_json: bool, folder: Path | None) -> None:
        self.listener = listener
        self.as_json = as_json
        self.folder = folder  # where a traceback may be kept

    def result(self, text: str, /, **record: Any) -> None:
        """A result on standard output: `text` for a person, or with --json the record as one line."""
        self.listener.close()
        print(json.dumps(record, ensure_ascii=False, default=str) if self.as_json else text, flush=True)


class Follower(Session):
    """Of a process that trains with others and is not the first: it has no results of its own."""

    def result(self, text: str, /, **record: Any) -> None:
        del text, record


@contextmanager
def session(
    *,
    as_json: bool = False,
    quiet: bool = False,
    debug: bool = False,
    folder: Path | None = None,
    resumes: bool = True,
) -> Iterator[Session]:
    """Run a verb's body; on failure say why and exit with the code of the failure.

    `resumes`: whether the same command goes on where it was stopped.
    """
    if number():  # the first process speaks for all
        here: Session = Follower(screen(sys.stderr, as_json=as_json, quiet=True), as_json=as_json, folder=folder)
    else:
        here = Session(screen(sys.stderr, as_json=as_json, quiet=quiet), as_json=as_json, folder=folder)
    if as_json or quiet or not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # bars of libraries would stand between our lines
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: here.listener.warn(str(message))
            yield here
    except PeerError as error:
        if number():  # whoever was lost has said why, or the first process does
            raise typer.Exit(error.exit_code) from None
        _end(here, str(error), error.exit_code, debug)
    except DragomanError as error:
        _end(here, str(error), error.exit_code, debug)
    except KeyboardInterrupt:
        command = shlex.join([*typed(), *sys.argv[1:]])
        rest = (
            "What is finished is kept; go on with"
            if resumes
            else "Nothing of it is kept; from the beginning again with"
        )
        _end(here, f"stopped. {rest}: {command}", STOPPED, debug)
    except (typer.Exit, BrokenPipeError):
        raise
    except Exception as error:  # the last line of defence: a person gets one line, the report gets the traceback
        _fault(here, error, debug)
    finally:
        here.listener.close()
        signal.signal(signal.SIGTERM, before)


def typed() -> list[str]:
    """The words that call dragoman from here, as the user did: by name where the shell finds this very one."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return [Path(sys.executable).name if _found(Path(sys.executable)) else sys.executable, "-m", "dragoman"]
    if program.parent == Path() or _found(program):  # a bare name, as in tests, was found by the shell too
        return [program.name]
    here = Path.cwd()
    return [str(program.relative_to(here) if program.is_relative_to(here) else program)]


def _found(program: Path) -> bool:
    known = shutil.which(program.name)
    return known is not None and Path(known).resolve() == program.resolve()


def _terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _fault(here: Session, error: Exception, debug: bool) -> NoReturn:
    if any(map(_is_full, _chain(error))):
        why = str(error) if isinstance(error, OSError) else type(error).__name__  # other messages may hold texts
        _end(here, f"the disk is full: {why}. Make room, then run the same again.", ResourceError.exit_code, debug)
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        text = f"not allowed: {error}. Change the rights of this place, or give the run another folder with --out."
        _end(here, text, ResourceError.exit_code, debug)
    last = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
    where = "the traceback below" if debug else f"{_keep(here.folder, error)} (--debug shows its message)"
    _end(here, f"a fault in dragoman {__version__}: {what}. Please report it with {where}", FAULT, debug)


_FULL = re.compile(  # as SQLite, safetensors, NumPy and torch say it, the last two without a number
    r"database or disk is full|\(os error (?:28|122)\)|^Not enough free space to write |^\d+ requested and \d+ written$|"
    r"^problem writing element \d+ to file$|"
    r"inline_container\.cc:\d+\] \. (?:unexpected pos|PytorchStreamWriter failed)"
)
_WRITERS = ("OSError", "SafetensorError", "OperationalError", "RuntimeError")


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return type(error).__name__ in _WRITERS and bool(_FULL.search(str(error)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _end(here: Session, text: str, code: int, debug: bool) -> NoReturn:
    here.listener.error(text, code)
    if debug:
        traceback.print_exc()
    raise typer.Exit(code)


def _keep(folder: Path | None, error: BaseException) -> str:
    """Write a report of the fault where the user finds it, and say where."""
    name = f"dragoman-error-{time.strftime('%Y%m%d-%H%M%S')}.txt"
    for place in (folder, Path(tempfile.gettempdir())):
        if place is not None and place.is_dir():
            try:
                (place / name).write_text(_report(error), encoding="utf-8")
            except OSError:
                continue
            return str(place / name)
    return "the output of the same command with --debug"


def _report(error: BaseException) -> str:
    """Types and places, to be sent to others. What was typed, and the messages, may hold a text, so they stay out."""
    options = [match[1] for word in sys.argv[2:] if (match := re.match(r"(--[a-z][a-z-]*)(?:=|$)", word))]
    parts = [f"dragoman {__version__}, Python {sys.version}\n{' '.join(['dragoman', *sys.argv[1:2], *options])}\n"]
    for found in _chain(error):
        at = "".join(traceback.format_list(traceback.extract_tb(found.__traceback__)))
        parts.append(f"{type(found).__module__}.{type(found).__qualname__}\n{at}")
    return "\ncaused by\n".join(["\n".join(parts[:2]), *parts[2:]])

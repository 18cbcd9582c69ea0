"""What a person sees: standard output and standard error in one terminal, as its lines stand in the end and on the way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", exc_type=ImportError)  # not on Windows

FEED = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Display:
    """As much of a terminal as progress bars use: line feed, carriage return, cursor up, erase line; nothing wraps."""

    def __init__(self, columns: int) -> None:
        self.lines, self.row, self.column, self.columns = [""], 0, 0, columns
        self.seen: list[str] = []  # every line as it stood when the cursor left it

    def feed(self, text: str) -> Display:
        for numbers, code, control, plain in FEED.findall(text):
            if control == "\n":
                self.seen.append(self.lines[self.row])
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif control == "\r":
                self.column = 0
            elif code == "A":
                self.row = max(0, self.row - int(numbers or 1))
            elif code == "K":
                self.seen.append(self.lines[self.row])
                self.lines[self.row] = ""
            elif plain:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + plain + line[self.column + len(plain) :]
                self.column += len(plain)
        return self


def in_terminal(code: str, tmp_path: Path, columns: int = 80) -> Display:
    """Runs Python code with both its streams in one pseudo-terminal."""
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "24"}
    process = subprocess.Popen([sys.executable, script], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    data = b""
    try:
        while block := os.read(ours, 65536):
            data += block
    except OSError:  # the other end is closed: Linux says it so
        pass
    os.close(ours)
    assert process.wait() == 0, data.decode()
    return Display(columns).feed(data.decode().replace("\r\n", "\n\r"))


TRANSLATE = """
import sys, time
from dragoman.cli.session import session
from dragoman.cli.segments import Input, Output, translate
from dragoman.core.answers import Answer
from dragoman.core.text.languages import Direction

class Assistant:
    from dragoman.assistant.tally import Tally
    tally = Tally()
    def translate(self, texts, direction, contexts, listener):
        for task in ("translate en-fr", "again en-fr"):
            for done in range({first}, len(texts) + 1):
                listener.progress(task, done, {total})
                time.sleep(0.1)
        return [Answer(text, text.upper(), "model") for text in texts]

with session() as here:
    here.listener.say("a line before")
    translate(Assistant(), Direction("en", "fr"), Input("x", iter(["first\\n", "second\\n", "third\\n"])),
              Output(sys.stdout, as_json=False), here.listener)
    here.listener.progress("more", 1, 2)
    here.result("the result")
"""


@pytest.mark.slow
@pytest.mark.parametrize("total", ["len(texts)", "len(texts) + 5"])  # also where a bar never reaches its end
def test_a_translation_has_a_line_of_its_own(total: str, tmp_path: Path) -> None:
    display = in_terminal(TRANSLATE.replace("{first}", "0").replace("{total}", total), tmp_path)
    shown = [line.rstrip() for line in display.lines if line.strip()]
    assert shown == ["a line before", "FIRST", "SECOND", "THIRD", "the result"]


TRAIN = """
import time
from dragoman.cli.session import session
with session() as here:
    for step in range(2001, 2012):
        here.listener.progress("train 0-hybrid", step, 123_456, loss=1.0771, target_tok_s="5,442", best_chrF=68.5)
        time.sleep(0.1)
"""


def test_the_time_left_shows_at_80_columns(tmp_path: Path) -> None:
    bars = [line for line in in_terminal(TRAIN, tmp_path).seen if "train 0-hybrid" in line]
    assert max(map(len, bars)) <= 80
    assert re.search(r"[\d,]+ of 123,456 \(2%\), [\d ]+(s|min|h \d+ min) left", bars[-1])

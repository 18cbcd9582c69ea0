"""Scorers behind a URL or a command: what they say is taken, and what they do not say is counted under a reason."""

from __future__ import annotations

import gc
import http.server
import json
import math
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.recipe.scorer import Scorer as Wish
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store import scorers
from dragoman.store.scorers import Scorer

WAY = Direction.parse("en-de")
ROWS = [("a", "x", "r"), ("b", "yy", "r"), ("a", "x", "r"), ("c", "zzz", "r")]
LENGTHS = "[len(text) for text in asked['hypotheses']]"
Serve = Callable[[Callable[[dict[str, list[str]]], bytes]], str]


def program(folder: Path, scores: str, before: str = "") -> Wish:
    """A scorer that evaluates `scores` for every line that it reads."""
    path = folder / "scorer.py"
    path.write_text(
        f"import json, os, sys, time\nfor line in sys.stdin:\n    asked = json.loads(line)\n    {before or 'pass'}\n"
        f"    print(json.dumps({{'scores': {scores}}}), flush=True)\n"
    )
    return Wish(command=f"{shlex.quote(sys.executable)} scorer.py", range=(0, 10), batch=2, timeout=20)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers as the function says, and gives its address."""
    started: list[http.server.ThreadingHTTPServer] = []

    def start(answer: Callable[[dict[str, list[str]]], bytes]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the name that the library calls
                found = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200 if found else 500)
                self.end_headers()
                self.wfile.write(found)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def test_a_program_is_asked_in_batches_and_once_for_equal_rows(tmp_path: Path) -> None:
    wish = program(tmp_path, LENGTHS, "open('asked', 'a').write(line)")
    assert Scorer("mine", wish, "key", tmp_path).scores(WAY, ROWS) == [0.1, 0.2, 0.1, 0.3]
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert [one["sources"] for one in asked] == [["a", "b"], ["c"]]
    assert asked[1] == {
        "source_language": "en",
        "target_language": "de",
        "sources": ["c"],
        "hypotheses": ["zzz"],
        "references": ["r"],
    }


def test_a_server_is_asked_by_post(serve: Serve) -> None:
    url = serve(lambda asked: json.dumps({"scores": [len(text) for text in asked["hypotheses"]]}).encode())
    assert Scorer("mine", Wish(url=url), "key", Path()).scores(WAY, ROWS) == [1, 2, 1, 3]


@pytest.mark.parametrize(
    ("scores", "before", "found"),
    [
        ("[1]", "", ["wrong count"] * 3 + [0.1]),
        ("[float('nan')] * len(asked['sources'])", "", ["no number"] * 4),
        ("[None, 5][: len(asked['sources'])]", "", ["no number", 0.5, "no number", "no number"]),
        ("[True, '5'][: len(asked['sources'])]", "", ["no number"] * 4),
        ("[10 ** 400] * len(asked['sources'])", "", ["no number"] * 4),
        ("'all good'", "", ["nonsense"] * 4),
        (LENGTHS, "print('loading')", ["nonsense"] * 4),
        (LENGTHS, "if 'yy' in line: sys.exit()", ["no answer"] * 3 + [0.3]),
        (LENGTHS, "os.close(1)", ["no answer"] * 4),
    ],
)
def test_what_is_no_score_has_a_reason(scores: str, before: str, found: list[float | str], tmp_path: Path) -> None:
    wish = program(tmp_path, scores, before)
    assert Scorer("mine", wish, "key", tmp_path).scores(WAY, ROWS) == found


def test_a_program_that_hangs_is_started_again(tmp_path: Path) -> None:
    wish = program(tmp_path, LENGTHS, "if 'yy' in line: time.sleep(60)").model_copy(update={"timeout": 1.0})
    begun = time.monotonic()
    assert Scorer("mine", wish, "key", tmp_path).scores(WAY, ROWS) == ["timeout"] * 3 + [0.3]
    assert time.monotonic() - begun < 30


def test_a_program_that_never_reads_is_a_timeout(tmp_path: Path) -> None:
    wish = Wish(command=f"{shlex.quote(sys.executable)} -c 'import time; time.sleep(60)'", timeout=0.5)
    assert Scorer("mine", wish, "key", tmp_path).scores(WAY, [("a" * 10**6, "x", "r")]) == ["timeout"]


def test_a_server_that_fails_or_dawdles_has_a_reason(serve: Serve) -> None:
    def slow(asked: dict[str, list[str]]) -> bytes:
        time.sleep(0.5)
        return b"{}"

    for url, timeout, reason in [
        (serve(lambda asked: b""), 20, "no answer"),
        (serve(lambda asked: b"<html>"), 20, "nonsense"),
        (serve(slow), 0.1, "timeout"),
        ("http://127.0.0.1:1/", 20, "no answer"),
    ]:
        assert Scorer("mine", Wish(url=url, timeout=timeout), "key", Path()).scores(WAY, ROWS[:1]) == [reason]


def test_a_scorer_that_never_answers_is_an_error_with_its_name(tmp_path: Path) -> None:
    wish = program(tmp_path, LENGTHS, "sys.exit()").model_copy(update={"batch": 1})
    rows = [(str(number), "x", "r") for number in range(20)]
    with pytest.raises(DataError, match=r"^train\.prefer\.scorers\.mine: 10 questions in a row had no answer"):
        Scorer("mine", wish, "train.prefer.scorers.mine", tmp_path).scores(WAY, rows)
    with pytest.raises(DataError, match=r"mine\.command: /no/such cannot be started"):
        Scorer("mine", Wish(command="/no/such"), "mine", tmp_path).scores(WAY, ROWS)


def test_a_program_ends_with_its_scorer(tmp_path: Path) -> None:
    scorer = Scorer("mine", program(tmp_path, "[os.getpid()] * len(asked['sources'])"), "key", tmp_path)
    (first,) = scorer.scores(WAY, ROWS[:1])
    assert isinstance(first, float)
    del scorer
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(round(10 * first), 0)


@given(
    st.binary()
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(lambda v: json.dumps({"scores": v}).encode())
)
def test_no_answer_is_more_than_numbers_and_reasons(answer: bytes) -> None:
    try:
        found = scorers._read(answer, 1)
    except scorers._NoAnswerError:
        return
    (one,) = found
    assert one == "no number" or (isinstance(one, float) and math.isfinite(one))

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from dragoman import report
from dragoman.errors import CheckpointError, DataError
from dragoman.report.folders import RunFolder
from dragoman.report.page import page
from dragoman.report.plots import _COLOURS, curves, thin
from tests.runs import make_run

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Strict(HTMLParser):
    """Every tag is closed by its own; ids are there once; what is loaded is written down."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.links.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag


def test_the_page_is_whole_small_and_asks_nothing_of_the_network(run: Path) -> None:
    path = report.render(run)
    assert path == run / "evaluate" / "report.html"
    text = path.read_text(encoding="utf-8")
    found = Strict(text)
    assert len(text.encode()) < 2_000_000
    assert "script" not in found.seen and "iframe" not in found.seen
    assert all(link.startswith("#") or link == "data:," for link in found.links)
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(set(found.ids)) == len(found.ids)
    targets = {link[1:] for link in found.links if link.startswith("#")}
    assert targets <= set(found.ids)
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    assert not any(colour in text for colour in _COLOURS)  # no placeholder is left


def test_the_page_tells_what_happened(run: Path) -> None:
    text = page(RunFolder.read(run))
    assert "&lt;b&gt;Yes&lt;/b&gt;" in text and "<b>Yes" not in text  # the user's text is never markup
    assert "name: &lt;small&gt;" in text
    for wanted in ("duplicate", "length ratio", "189\u202frows", "dev en-de", "test en-de", "nrefs:1|bs:50|seed:12345"):
        assert wanted.replace("\u202frows", "") in text
    for section in ("scores", "segments", "texts", "training", "environment", "recipe"):
        assert f'<section id="{section}">' in text
    assert text.count("<svg") == 1 + 3 + 3 + 1  # rejected rows, curves, one for each metric, calibration
    assert "<mark" in text and "over the untouched model" in text and "copy of the source" not in text
    assert "Not in this run" not in text


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    assert page(RunFolder.read(run)) == page(RunFolder.read(run))


@pytest.mark.parametrize("missing", ["prepare", "model", "train", "evaluate"])
def test_any_stage_may_be_missing(run: Path, tmp_path: Path, missing: str) -> None:
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / missing)
    text = page(RunFolder.read(tmp_path / "run"))
    Strict(text)
    assert f"Not in this run: {missing}." in text
    assert "training texts" in report.write_card(tmp_path / "run").read_text(encoding="utf-8").casefold()


def test_outputs_that_were_deleted_are_left_out(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    for file in (tmp_path / "run" / "evaluate").glob("*.jsonl"):
        file.unlink()
    assert "<article" not in page(RunFolder.read(tmp_path / "run"))


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no run"):
        report.render(tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("evaluate/scores.json", "{"),
        ("prepare/report.json", "[1]"),
        ("train/0-sft/metrics.jsonl", '{"event"\n{"event": "step"}\n'),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, file: str, text: str) -> None:
    make_run(tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=Path(file).name):
        report.render(tmp_path)


@pytest.mark.parametrize(("best", "kept"), [(300, "model of step 300 was kept"), (0, "what it was before the phase")])
def test_a_phase_that_a_guard_rail_stopped_says_what_was_kept(tmp_path: Path, best: int, kept: str) -> None:
    make_run(tmp_path)
    file = tmp_path / "train" / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    manifest["facts"]["phases"][0] |= {"stopped": "it forgot", "best_step": best}
    file.write_text(json.dumps(manifest), encoding="utf-8")
    text = page(RunFolder.read(tmp_path))
    assert "stopped by a guard rail: it forgot" in text and kept in text
    card = report.write_card(tmp_path).read_text(encoding="utf-8")
    assert "it forgot" in card
    assert ("the model is that before the phase" in card) == (best == 0)


def test_phases_follow_one_another(tmp_path: Path) -> None:
    make_run(tmp_path)
    phases = RunFolder.read(tmp_path).phases
    assert [len(phases[0].steps), len(phases[0].evaluations)] == [899, 2]  # the half line at the end is no event
    assert set(curves([*phases, *phases])) == {"loss", "quality", "rate"}
    assert curves([]) == {}


def test_long_curves_are_thinned_to_their_shape() -> None:
    points = [(float(i), 1000.0 / (i + 1)) for i in range(5000)]
    kept = thin(points)
    assert len(kept) == 400 and kept[0] == points[0] and kept[-1] == points[-1]
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(kept))

"""From the recipe's `monitor` to the table: baseline, ledger, drift; nothing recorded where nobody asked."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.answers import Answer
from dragoman.core.recipe import Monitor, Normalise
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.core.watch.features import Segment, hashed, measure
from dragoman.core.watch.trial import Trial
from dragoman.errors import CheckpointError, DataError
from dragoman.report import monitor as page
from dragoman.store.corpus import records
from dragoman.store.run import baseline
from dragoman.store.run.artifact import write_json
from dragoman.store.run.erase import erase
from dragoman.store.run.observer import Observer
from dragoman.store.run.watch import TRIAL, watch
from tests.commands import Command

WAY = Direction("en", "fr")
NOUNS = [
    "house",
    "tree",
    "river",
    "letter",
    "garden",
    "window",
    "doctor",
    "engine",
    "bottle",
    "castle",
    "bridge",
    "market",
    "teacher",
    "pocket",
]


def text(random: np.random.Generator, more: str = "") -> str:
    return " ".join([*random.choice(NOUNS, int(random.integers(3, 12))), *more.split()])


def run_of(folder: Path, monitor: str = "{}") -> Path:
    """A run that was evaluated and has a baseline."""
    random = np.random.default_rng(1)
    evaluated, prepared, out = folder / "evaluate", folder / "prepare", folder / "monitor"
    for one in (evaluated, out):
        one.mkdir(parents=True)
    rows = [text(random) for _ in range(400)]
    records.write(prepared / "train", [Example(row, row, "en", "fr") for row in rows], Example)
    outputs = [
        {"source": row, "hypothesis": row.title(), "score": -0.5, "tokens": 5, "finished": True, "chrf": 70.0}
        for row in (text(random) for _ in range(400))
    ]
    (evaluated / "out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in outputs))
    line = {"system": "trained", "decoding": "greedy", "file": "out.jsonl", "seconds": 2.0}
    write_json(evaluated / "scores.json", {"sets": [{"set": "test", "direction": "en-fr", "results": [line]}]})
    (folder / "recipe.yaml").write_text(f"pairs: en-fr\nmonitor: {monitor}\n")
    baseline.record(out, prepared, evaluated, "model-key", ["en", "fr"])
    return folder


def told(run: Path, texts: list[str], tenant: str = "default") -> None:
    observer = Observer.of(run)
    assert observer is not None
    answers = [Answer(one, one.title(), "model", 70.0, -0.5, 5) for one in texts]
    observer.seen(answers, WAY, tenant, 3.0)
    observer.close()


def test_a_run_that_meets_its_texts(tmp_path: Path, dragoman: Command) -> None:
    run, random = run_of(tmp_path), np.random.default_rng(2)
    told(run, [text(random) for _ in range(300)])
    found = watch(run)
    assert [one.direction for one in found.directions] == ["en-fr"] and not found.directions[0].drifted
    assert found.totals()["segments"] == 300 and found.totals()["seconds"] == pytest.approx(3.0)
    done = dragoman("monitor", run)
    assert done.code == 0 and "no drift shown" in done.out


def test_texts_that_it_was_not_made_for(tmp_path: Path, dragoman: Command) -> None:
    run, random = run_of(tmp_path, "{texts: {days: 3}, price: 2}"), np.random.default_rng(3)
    told(run, [text(random, "zolpirand 20 mg" if number % 10 == 0 else "") for number in range(400)])
    found = watch(run).directions[0]
    assert "new_words" in {one.name for one in found.drifted}
    assert set(found.words) == {"zolpirand", "mg"} and all("zolpirand" in one for one in found.words["zolpirand"])
    done = dragoman("monitor", run, "--json", "--html", tmp_path / "page.html")
    assert done.code == 7 and json.loads(done.out)["directions"][0]["new_words"]["zolpirand"]
    shown = (tmp_path / "page.html").read_text()
    assert "drifted" in shown and "zolpirand" in shown and "http" not in shown.replace("http-equiv", "")


@pytest.mark.slow
@pytest.mark.parametrize(("more", "trusted"), [("", True), ("zolpirand 20 mg", False)])
def test_no_score_is_claimed_for_texts_that_are_not_like_the_held_out_ones(
    more: str, trusted: bool, tmp_path: Path, dragoman: Command
) -> None:
    run, random = run_of(tmp_path), np.random.default_rng(8)
    path = run / "monitor" / "baseline.json"
    about = json.loads(path.read_text())
    about["directions"]["en-fr"]["held_out"] = [[70.0, 60.0 + number % 20] for number in range(100)]
    write_json(path, about)
    told(run, [text(random, more) for _ in range(300)])
    found = watch(run).directions[0].estimate
    assert found is not None and found.trusted == trusted
    assert ("not known" in dragoman("monitor", run).out) == ("not known" in page.page(watch(run))) == (not trusted)


def test_champion_and_challenger_stand_side_by_side(tmp_path: Path, dragoman: Command) -> None:
    run = run_of(tmp_path)
    told(run, [text(np.random.default_rng(1))])
    trial = Trial("canary", "clinic-0001@abc", 0.05, 0.0)
    for number in range(100):
        trial.champion.add(failed=False, flagged=number % 10 == 0, confidence=60.0 + number % 7)
        trial.challenger.add(failed=number % 2 == 0, flagged=False, confidence=50.0)
    (why,) = [one for one in trial.look() if "without" in one]
    write_json(run / "server" / TRIAL, trial.to_json())
    shown = dragoman("monitor", run).out
    assert "canary: clinic-0001@abc" in shown and f"stopped: {why}" in shown
    assert "50.0% [40.4%, 59.6%]" in shown and " [62.6, 63.3]" in shown
    assert dragoman("monitor", run, "--json").record["trial"]["challenger"]["failed"] == 50
    (run / "server" / TRIAL).write_text("{")
    assert "damaged" in dragoman("monitor", run).err


def test_too_few_are_said_to_be_too_few(tmp_path: Path, dragoman: Command) -> None:
    run, random = run_of(tmp_path), np.random.default_rng(4)
    told(run, [text(random) for _ in range(50)])
    done = dragoman("monitor", run)
    assert done.code == 0 and "50 segments in the window; fewer than 200 say too little" in done.out
    assert "say too little" in page.page(watch(run))


def test_markup_in_texts_is_shown_as_text(tmp_path: Path) -> None:
    run, random = run_of(tmp_path, "{texts: {days: 3}}"), np.random.default_rng(5)
    told(run, [text(random, "<script>alert(1)</script> zolpirand") for _ in range(300)])
    assert "<script>alert" not in page.page(watch(run))


def test_nothing_is_recorded_unasked(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    (run / "recipe.yaml").write_text("pairs: en-fr\n")
    assert Observer.of(run) is None
    with pytest.raises(DataError, match="no section `monitor`"):
        watch(run)
    (run / "recipe.yaml").write_text("pairs: en-fr\nmonitor: {}\n")
    (run / "monitor" / "baseline.json").unlink()
    with pytest.raises(CheckpointError, match="was not recorded"):
        watch(run)


def test_erase_by_command(tmp_path: Path, dragoman: Command) -> None:
    run, random = run_of(tmp_path), np.random.default_rng(6)
    told(run, [text(random) for _ in range(20)], tenant="acme")
    told(run, [text(random) for _ in range(30)])
    assert "20 rows of acme are erased" in dragoman("monitor", run, "--erase", "acme").out
    assert watch(run).totals()["segments"] == 30 and erase(run, tenant="acme").total == 0


_FORMS = [
    lambda text: unicodedata.normalize("NFD", text),  # as files from a Mac are
    lambda text: text.replace(" ", "\u00a0"),
    lambda text: "\ufeff" + text + "\u200b",
    lambda text: text.replace("e", "e\u00ad"),
    lambda text: f"  {text}\r\n",
]


@pytest.mark.slow
@given(
    st.lists(st.sampled_from(["été", "Ärzte", "niño", "5", "mg", "élève", "Łódź", "ὁ"]), min_size=1),
    st.sampled_from(_FORMS),
)
def test_a_text_in_another_form_is_no_drift(words: list[str], change: Callable[[str], str]) -> None:
    """The same text, the same numbers, whichever way it comes in: all features, the sketch and the unknown words."""
    text = " ".join(words)
    known = {"en": np.sort(hashed(["été", "mg"], "k"))}
    base = baseline.Baseline(Path(), "k", ("en", "fr"), Normalise(), {})
    base.__dict__["known"] = known
    one, other = base.measured([Segment(each, each, score=-1.0) for each in (text, change(text))], WAY)
    assert np.array_equal(one.features, other.features, equal_nan=True)
    assert (one.sketch == other.sketch).all() and (one.unknown == other.unknown).all()


def test_what_an_engine_said_of_a_source_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    base = baseline.Baseline(Path(), "k", ("en", "fr"), Normalise(), {})
    base.__dict__["known"] = {}
    texts = [
        "Bitte bringen Sie den Brief an meine Schwester morgen wieder mit.",
        "Please bring the letter along tomorrow.",
    ]
    said = [base.foreign(f"{text}\u200b", "en") for text in texts]
    assert said == [True, False] and base.foreign("too short", "en") is None
    asked = base.measured([Segment(text, text) for text in texts], WAY)
    monkeypatch.setattr(baseline.Baseline, "_strange", None)
    told = base.measured([Segment(text, text, other_language=one) for text, one in zip(texts, said, strict=True)], WAY)
    for one, other in zip(asked, told, strict=True):
        assert np.array_equal(one.features, other.features, equal_nan=True)


def test_the_markers_of_a_document_are_no_drift() -> None:
    known = np.sort(hashed(["take"], "k"))
    texts = ("<b>Take</b> %s tablets", "<1>Take</1> <2/> tablets")
    raw, marked = measure([Segment(text, text) for text in texts], WAY, known=known, key="k")
    assert np.array_equal(raw.features, marked.features, equal_nan=True) and (raw.sketch == marked.sketch).all()


def test_the_defaults() -> None:
    assert Monitor().texts is None and Monitor().window.segments == 500


@pytest.mark.parametrize("place", ["missing/ledger.sqlite", "monitor", "nowhere://x", "recipe.yaml"])
def test_a_ledger_that_cannot_be_opened_is_told_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    run = run_of(tmp_path, f"{{ledger: '{place}'}}")
    assert Observer.of(run) is None
    (line,) = caplog.messages
    assert "cannot be used as a ledger" in line and "not recorded" in line


def test_a_ledger_that_can_no_longer_be_written_loses_events_but_no_translation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_of(tmp_path)
    observer = Observer.of(run)
    assert observer is not None
    with observer.ledger.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE events")
    for number in range(3):
        observer.seen([Answer(f"secret {number}", "word", "model")], WAY, "default", 1.0)
        observer.ledger.flush()
    observer.close()
    assert observer.ledger.lost == {"data base": 3}
    assert len(caplog.messages) == 2 and "secret" not in caplog.text  # events, and the old ones at the end


@pytest.mark.parametrize("odd", ["\ud800 alone", "nul \0 inside", "\udfff", ""])
def test_odd_texts_are_recorded_like_others(tmp_path: Path, odd: str) -> None:
    run = run_of(tmp_path, "{texts: {days: 3}}")
    told(run, [odd, "plain"])
    assert watch(run).totals()["segments"] == 2


def test_a_report_is_of_its_time_alone(tmp_path: Path, dragoman: Command) -> None:
    run, random = run_of(tmp_path), np.random.default_rng(6)
    told(run, [text(random) for _ in range(20)])
    done = dragoman("monitor", run, "--report", "week", "--html", tmp_path / "w.html")
    assert done.code == 0 and "20 segments since 20" in done.out and "Models" in (tmp_path / "w.html").read_text()
    assert watch(run, now=time.time() + 9 * 86_400, days=7).totals()["segments"] == 0
    assert dragoman("monitor", run, "--report", "year").code != 0

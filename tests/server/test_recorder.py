"""What the server gives leaves events in the run's ledger, where its recipe has `monitor`; nothing fails without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragoman.core.answers import Answer
from dragoman.core.memory.matching import Match
from dragoman.server.gateway import Gateway
from dragoman.server.metrics import Metrics
from dragoman.store.ledger import Ledger
from dragoman.store.run.aliases import target
from tests.server.living import Live, faulty, living, until

CANARY = "Kanarienvogel77"


def run_of(folder: Path, monitor: str | None = "{}") -> Path:
    """A folder that passes for a run whose stage `monitor` is finished."""
    (folder / "monitor").mkdir(parents=True)
    about = {"format": 1, "model": "key", "languages": ["en", "de"], "directions": {}}
    (folder / "monitor" / "baseline.json").write_text(json.dumps(about), encoding="utf-8")
    (folder / "config.json").write_text("{}", encoding="utf-8")
    card = {"directions": ["en-de", "de-en"], "prompt": {"kind": "compact"}}
    (folder / "dragoman.json").write_text(json.dumps(card), encoding="utf-8")
    section = "" if monitor is None else f"monitor: {monitor}\n"
    (folder / "recipe.yaml").write_text(f"pairs: en-de\n{section}", encoding="utf-8")
    return folder


def ask(live: Live, *texts: str) -> list[str]:
    asked = {"text": list(texts), "source_lang": "en", "target_lang": "de"}
    return [one["text"] for one in live.json("POST", "/v2/translate", json=asked)["translations"]]


def test_every_translation_that_is_given_is_an_event(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run")
    with living(Gateway(tmp_path / "state", models=[target(run)], command=faulty())) as live:
        assert ask(live, "one", "two", "fail") == ["one!", "two!", ""]  # what failed was not given
        assert ask(live, "one") == ["one!"]  # from the cache
        assert ask(live, "A first. A second.") == ["A first.! A second.!"]
        document = {"file": ("a.txt", CANARY.encode())}
        sent = live.json("POST", "/v2/document", files=document, data={"source_lang": "en", "target_lang": "de"})
        path, key = f"/v2/document/{sent['document_id']}", {"document_key": sent["document_key"]}
        until(lambda: live.json("POST", path, json=key)["status"] == "done")
    with Ledger.open(run / "ledger.sqlite", create=False) as ledger:
        (day,) = ledger.days()
        assert (day["segments"], day["tenant"], day["direction"], day["origin"]) == (6, "default", "en-de", "model")
        assert day["seconds"] > 0
    assert CANARY.encode() not in (run / "ledger.sqlite").read_bytes()
    assert CANARY not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_nothing_is_recorded_where_nobody_asked(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", None)
    with living(Gateway(tmp_path / "state", models=[target(run)], command=faulty())) as live:
        assert ask(live, "one") == ["one!"]
    assert not (run / "ledger.sqlite").exists()


@pytest.mark.slow
@pytest.mark.parametrize("monitor", ["{ledger: missing/ledger.sqlite}", "{ledger: 'nowhere://x'}", "{days: -1}"])
def test_a_ledger_that_cannot_be_written_stops_no_translation(tmp_path: Path, monitor: str) -> None:
    run = run_of(tmp_path / "run", monitor)
    with living(Gateway(tmp_path / "state", models=[target(run)], command=faulty())) as live:
        assert ask(live, "one") == ["one!"]
        assert ask(live, "two") == ["two!"]


def test_a_match_that_no_prompt_held_is_no_hit() -> None:
    metrics = Metrics()
    match = Match("a", "b", 0.8)
    metrics.answered([Answer("x", "y", "model", matches=(match,))], "m", "en-de")
    assert "dragoman_tm_hits_total{" not in metrics.text().decode()
    metrics.answered([Answer("x", "y", "model", matches=(match,), examples=1)], "m", "en-de")
    metrics.answered([Answer("x", "y", "memory", matches=(match,))], "m", "en-de")
    found = [line for line in metrics.text().decode().splitlines() if line.startswith("dragoman_tm_hits_total{")]
    assert len(found) == 2 and 'dragoman_tm_hits_total{band="exact"} 1.0' in found


def test_the_engine_tells_whether_a_source_is_in_another_language(tmp_path: Path) -> None:
    from dragoman.core.text.languages import Direction
    from dragoman.server.work import Options
    from dragoman.server.worker import AssistantDesk, Watch
    from tests.tiny import tiny

    for monitored, wanted in ((None, [None, None]), ("{}", [True, False])):
        run = run_of(tmp_path / str(monitored), monitored)
        tiny(run)
        desk = AssistantDesk(run, None, 1)
        texts = [
            "Bitte bringen Sie den Brief an meine Schwester morgen wieder mit.",
            "Please bring the letter along tomorrow.",
        ]
        found = desk.answers(texts, Direction("en", "de"), Options(), [None, None], ["", ""], Watch())
        assert [one.foreign for one in found if isinstance(one, Answer)] == wanted

"""A server watches what it serves: drift and alerts in a process beside it, the held-out set by its own engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dragoman.core.text.languages import Direction
from dragoman.server import watching
from dragoman.server.engine import Away
from dragoman.server.gateway import Gateway
from dragoman.server.translate import Translation
from dragoman.store.ledger import Ledger
from dragoman.store.run.aliases import target
from dragoman.store.run.replay import nights
from tests.server.living import faulty, living, until
from tests.stages.test_monitor import text, told
from tests.store.alerts.test_outbox import Receiver
from tests.store.run.test_replay import released


def test_drift_alerts_and_the_replay_while_it_serves(tmp_path: Path) -> None:
    receiver = Receiver()
    run = released(tmp_path / "run")
    (run / "config.json").write_text("{}")
    (run / "dragoman.json").write_text(json.dumps({"directions": ["en-fr"], "prompt": {"kind": "compact"}}))
    rule = {"name": "many", "figure": "segments", "above": 250, "looks": 1}
    about = {
        "nightly": {"segments": 60},
        "alerts": [rule],
        "channels": {"hook": {"kind": "webhook", "to": receiver.url}},
    }
    (run / "recipe.yaml").write_text(f"pairs: en-fr\nmonitor: {json.dumps(about)}\n")
    random = np.random.default_rng(5)
    told(run, [text(random, "zolpirand 20 mg") for _ in range(300)])
    try:
        with living(Gateway(tmp_path / "state", models=[target(run)], command=faulty(), watch=0.2)) as live:
            until(lambda: receiver.got and "dragoman_drift_score" in live.http.get("/metrics").text)
            until(lambda: "dragoman_replay_chrf{" in live.http.get("/metrics").text)
            figures = live.http.get("/metrics").text
            (child,) = [one.process for one in live.gateway._watching._watched.values()]  # type: ignore[union-attr]
    finally:
        receiver.close()
    assert 'feature="new_words",model="run",pair="en-fr"' in figures and child is not None
    assert child.returncode is not None  # it ends with the server
    assert [json.loads(body)["rule"] for _, _, body in receiver.got] == ["many"]
    with Ledger.open(run / "ledger.sqlite") as ledger:
        held = nights(ledger.engine, "model-key", "en-fr", None, 0.0)
        assert held.last is not None and held.last.segments == held.last.changed == 60
        assert sum(day["segments"] for day in ledger.days()) == 300  # the replay is no use


@pytest.mark.parametrize("why", ["too_long", "RuntimeError"])
def test_a_text_that_the_engine_failed_on_is_no_bad_translation(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    way = Direction("en", "fr")

    async def translated(*given: Any) -> list[Translation]:
        return [Translation("One.", "Un.", way), Translation("Two.", "", way, failure=why)]

    monkeypatch.setattr(watching, "translate", translated)
    bundle: Any = SimpleNamespace(scheduler=SimpleNamespace(depth=0), retired=False)
    one: Any = SimpleNamespace(
        _closed=False, _threads=None, _bundles=SimpleNamespace(held=lambda _: contextlib.nullcontext())
    )
    asked = watching.Watching._asked(one, bundle, ["One.", "Two."], way, 0.0)
    if why == "too_long":
        assert asyncio.run(asked) == ["Un.", ""]
    else:
        with pytest.raises(Away):
            asyncio.run(asked)

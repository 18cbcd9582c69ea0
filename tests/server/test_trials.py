"""A challenger on trial where a server runs: nobody gets a shadow's answer, a canary sings to the same people, and is taken back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.trials import Wanted
from dragoman.store.run.watch import TRIAL
from tests.server.living import FAULTY, Live, living, until

COMMAND = [sys.executable, "-W", "ignore", str(FAULTY)]
MODELS = [NullModel("old"), NullModel("new")]
FAILING = [NullModel("old"), NullModel("new", delay=9)]


def asked(live: Live, text: str, **headers: str) -> tuple[str, str]:
    answer = live.http.post(
        "/v2/translate", json={"text": [text], "source_lang": "en", "target_lang": "de"}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Dragoman-Model"], answer.json()["translations"][0]["text"]


def told(state: Path) -> dict[str, dict[str, int]]:
    try:
        found: dict[str, dict[str, int]] = json.loads((state / TRIAL).read_text())
        return found
    except FileNotFoundError:
        return {"champion": {"texts": 0}, "challenger": {"texts": 0}}


@pytest.mark.slow
def test_a_shadow_is_compared_and_given_to_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    gateway = Gateway(tmp_path, command=COMMAND, models=MODELS, trial=Wanted("shadow", "new", 1.0))
    with living(gateway) as live:
        until(lambda: all(one.engine.state == "ready" for one in gateway.bundles.loaded.values()))

        def seen() -> bool:
            number[0] += 1
            model, text = asked(live, f"Sentence {number[0]}.")
            assert model.startswith("old@") and text == f"Sentence {number[0]}.!"
            return told(tmp_path)["challenger"]["texts"] >= 3

        number = [0]
        until(seen)
    found = told(tmp_path)
    assert found["champion"]["texts"] == found["challenger"]["texts"] and found["challenger"]["failed"] == 0
    assert found["agreement"]["count"] == found["challenger"]["texts"]
    log = capfd.readouterr().err
    assert '"event": "shadow"' in log and "Sentence" not in log + json.dumps(found)


@pytest.mark.slow
def test_a_canary_sings_to_the_same_people_until_it_is_worse(tmp_path: Path) -> None:
    state = tmp_path / "state"
    gateway = Gateway(state, command=COMMAND, models=FAILING, trial=Wanted("canary", "new", 0.5))
    with living(gateway, ready=False) as live:
        until(lambda: all(one.engine.state == "ready" for one in gateway.bundles.loaded.values()))
        keys = {name: gateway.keys.create(name, ["translate"]) for name in map(str, range(16))}

        def answered(name: str, number: int) -> int:
            text = [f"{number} of {name}."]
            header = {"Authorization": f"Bearer {keys[name]}"}
            body = {"text": text, "source_lang": "en", "target_lang": "de"}
            return live.http.post("/v2/translate", json=body, headers=header).status_code

        first = {name: answered(name, 0) for name in keys}
        assert set(first.values()) == {200, 500}  # some are asked of the new one, which fails
        assert {name: answered(name, 1) for name in keys} == first  # and always the same
        for number in range(2, 200):
            if {answered(name, number) for name in keys} == {200}:
                break
        assert {answered(name, 50) for name in keys} == {200}  # taken back
    found = told(state)
    assert found["stopped"] and found["challenger"]["texts"] == found["challenger"]["failed"]
    gateway = Gateway(state, command=COMMAND, models=FAILING, trial=Wanted("canary", "new", 0.5))
    with living(gateway, ready=False) as live:  # what was stopped is not tried again
        until(lambda: all(one.engine.state == "ready" for one in gateway.bundles.loaded.values()))
        for name, key in keys.items():
            assert asked(live, f"Again {name}.", Authorization=f"Bearer {key}")[0].startswith("old@")


@pytest.mark.slow
def test_a_canary_whose_engine_is_gone_costs_nobody_an_answer(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, command=COMMAND, models=MODELS, trial=Wanted("canary", "new", 1.0))
    with living(gateway) as live:
        until(lambda: all(one.engine.state == "ready" for one in gateway.bundles.loaded.values()))
        assert asked(live, "One.")[0].startswith("new@")
        bundle = gateway.bundles.names["new"]
        live.call(bundle.engine.close())
        assert asked(live, "Two.")[0].startswith("old@")
        assert (
            live.http.post("/v2/translate", json={"text": ["Three."], "target_lang": "de", "model": "new"}).status_code
            == 503
        )
    assert told(tmp_path)["challenger"] | {"texts": 2, "failed": 1} == told(tmp_path)["challenger"]

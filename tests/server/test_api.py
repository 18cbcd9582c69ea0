"""The JSON behind the web page: sentences, documents, preferences, runs, what was met in use."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.server.api_preferences import FILE
from dragoman.server.api_segments import marked
from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.keys import SCOPES
from tests.server.living import Live, living, until
from tests.server.shown import in_use, training


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Two models that give every text back, and a folder of runs; it needs no key."""
    folder = tmp_path_factory.mktemp("full")
    training(folder / "runs" / "mixed")
    in_use(folder / "runs" / "used")
    (folder / "runs" / "empty").mkdir()
    models = [NullModel(), NullModel("other")]
    with living(Gateway(folder / "state", models=models, runs=folder / "runs")) as live:
        yield live


# ---------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    "text",
    [
        "One. Two! Three?",
        "  led by spaces.\n\nA second paragraph, Dr. Smith. \t\n",
        "line one\nline two\n\n\n",
        "一つ。二つ。",
        "تناول قرصين. ثم نم.",
        "a <b>bold</b> word & {name} 10 %",
        "👩‍⚕️ says hello. Fine.",
        "\u00a0",
    ],
)
def test_the_sentences_with_what_is_around_them_are_the_text(full: Live, text: str) -> None:
    asked = {"text": text, "source": "en", "target": "de"}
    found = full.json("POST", "/api/segments", json=asked)
    parts = found["segments"]
    assert "".join(one["lead"] + one["source"] + one["tail"] for one in parts) == text
    assert "".join(one["lead"] + one["text"] + one["tail"] for one in parts) == text  # this model gives it back
    assert all(one["source"] == one["source"].strip() for one in parts)
    assert (found["source"], found["target"], found["sure"]) == ("en", "de", None)


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_pieces_of_a_difference_are_the_segments(query: str, stored: str) -> None:
    left, right = marked(query, stored)
    assert "".join(text for text, _ in left) == query
    assert "".join(text for text, _ in right) == stored
    if query == stored:
        assert not any(kind for _, kind in [*left, *right])


def test_a_match_comes_with_what_differs_and_the_source_is_detected(live: Live) -> None:
    asked = {"text": "Take two tablet. The dog sees a house.", "target": "de"}
    found = live.json("POST", "/api/segments", json=asked)
    assert found["source"] == "en" and found["sure"] > 0.5
    match = found["segments"][0]["matches"][0]
    assert ["one", "word"] in match["stored"] and ["two", "word"] in match["query"]
    assert found["segments"][1]["matches"] == []
    for bad in ({"target": "de"}, {"text": 3, "target": "de"}, {"text": "x", "target": "xx"}, {"text": "x"}):
        assert live.http.post("/api/segments", json=bad).status_code == 400, bad
    assert live.http.post("/api/segments", json={"text": "x" * 100_001, "target": "de"}).status_code == 413


# ---------------------------------------------------------------- hosting platforms


def test_what_hosting_platforms_ask_a_container_for(full: Live) -> None:
    assert full.http.get("/ping").status_code == 200
    asked = {"text": ["the dog", "the cat"], "source": "en", "target": "de"}
    assert len(full.json("POST", "/invocations", json=asked)["translations"]) == 2
    instances = [
        {"text": "the dog", "source": "en", "target": "de"},
        {"text": "der Hund", "source": "de", "target": "en"},
        {"text": "the cat", "source": "en", "target": "de"},
    ]
    found = full.json("POST", "/predict", json={"instances": instances})["predictions"]
    assert [one["target_language"] for one in found] == ["de", "en", "de"]
    assert [one["text"] for one in found] == [one["text"] for one in instances]  # this engine gives texts back
    for wrong in (
        {},
        {"instances": []},
        {"instances": ["x"]},
        {"instances": [{"text": "a"}]},
        {"instances": [{**instances[0], "x": 1}]},
    ):
        assert full.http.post("/predict", json=wrong).status_code == 400


# ---------------------------------------------------------------- documents


def test_a_document_tells_how_far_it_is(full: Live) -> None:
    lines = "".join(f"This is sentence number {number} of them.\n" for number in range(600))
    form = {"source": "en", "target": "de"}
    job = full.json("POST", "/api/documents", data=form, files={"file": ("a.txt", lines.encode())})
    seen = []
    while job["state"] not in ("done", "error"):
        time.sleep(0.01)
        job = full.json("GET", f"/api/documents/{job['id']}")
        assert 0 <= job["done"] <= job["asked"]
        seen.append(job["done"])
    assert job["state"] == "done" and job["problem"] is None
    assert job["asked"] == job["done"] == 600 and seen == sorted(seen)
    path = f"/api/documents/{job['id']}/result"
    assert full.http.get(path).text == lines
    assert full.http.get(path).status_code == 404  # it is forgotten with the first
    refused = full.http.post("/api/documents", data=form, files={"file": ("a.xliff", b"<xliff")})
    assert refused.status_code == 400 and "cannot be read" in refused.json()["error"]["message"]
    assert full.http.post("/api/documents", data=form).status_code == 400


def test_keys_choose_the_texts_of_a_document(full: Live) -> None:
    data = b'{"title": "One.", "id": "a-b",  "items": [{"text": "Two."}]}'
    form = {"source": "en", "target": "de", "keys": "title,items[].text"}
    job = full.json("POST", "/api/documents", data=form, files={"file": ("a.json", data)})
    assert job["characters"] == len("One.Two.")
    for many, characters in ((["title", "items[].text"], 8), (["**", "!id"], 8), (["", " "], 11)):
        again = full.json("POST", "/api/documents", data={**form, "keys": many}, files={"file": ("a.json", data)})
        assert again["characters"] == characters
    path = f"/api/documents/{job['id']}"
    until(lambda: full.json("GET", path)["state"] == "done")
    assert full.http.get(f"{path}/result").content == data  # the engine of this test gives every text back
    for keys, name in (("title..", "a.json"), ("none", "a.json"), ("title", "a.txt")):
        refused = full.http.post("/api/documents", data={**form, "keys": keys}, files={"file": (name, data)})
        assert (refused.status_code, "keys" in refused.json()["error"]["message"]) == (400, True)


@pytest.mark.parametrize("path", ["/api/documents", "/v2/document"])
def test_a_format_that_the_whole_name_tells_is_read(full: Live, path: str) -> None:
    data = b'<resources><string name="a">One.</string></resources>'
    form = {"source": "en", "target": "de", "source_lang": "en", "target_lang": "de"}
    assert full.http.post(path, data=form, files={"file": ("Strings.xml", data)}).status_code in (200, 201)
    assert full.http.post(path, data=form, files={"file": ("other.xml", data)}).status_code == 400


# ---------------------------------------------------------------- preferences


def verdict(verdict: str, first: str = "null", second: str = "other", **more: Any) -> dict[str, str]:
    return {
        "text": "Hello.", "source": "en", "target": "de", "verdict": verdict, "first_model": first, "first": "Hallo.",
        "second_model": second, "second": "Guten Tag.", **more,
    }  # fmt: skip


@pytest.mark.slow
def test_preferences_are_kept_counted_and_nobody_elses(tmp_path: Path) -> None:
    models = [NullModel(), NullModel("other")]
    with living(Gateway(tmp_path, models=models, must_have_key=True)) as live:

        async def make(name: str) -> str:
            return live.gateway.keys.create(name, SCOPES, tenant=name)

        ada, bob = ({"Authorization": f"Bearer {live.call(make(name))}"} for name in ("ada", "bob"))
        for said in (verdict("first"), verdict("second", "other", "null"), verdict("same"), verdict("second")):
            assert live.json("POST", "/api/preferences", json=said, headers=ada) == {"kept": True}
        (pair,) = live.json("GET", "/api/preferences", headers=ada)["pairs"]
        names = [model.split("@")[0] for model in pair["models"]]
        assert dict(zip(names, pair["preferred"], strict=True)) == {"null": 2, "other": 1}
        assert pair["same"] == 1 and pair["p"] == 1.0
        assert live.json("GET", "/api/preferences", headers=bob)["pairs"] == []
        path = tmp_path / FILE
        first = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
        assert first["source"] == "Hello." and first["first"]["text"] == "Hallo." and first["by"] == "ada"
        assert first["verdict"] == "first" and stat.S_IMODE(path.stat().st_mode) == 0o600
        with path.open("ab") as stream:
            stream.write(b'{"tenant": "ada"}\nnonsense\n[1]\n')
        assert live.json("GET", "/api/preferences", headers=ada)["damaged_lines"] == 3
        for bad, status in (
            (verdict("third"), 400),
            (verdict("first", "null", "null"), 400),
            (verdict("first", "unknown"), 404),
            (verdict("first", source="not a language"), 400),
            ({"verdict": "first"}, 400),
        ):
            assert live.http.post("/api/preferences", json=bad, headers=ada).status_code == status, bad
        assert len(path.read_text(encoding="utf-8").splitlines()) == 7


# ---------------------------------------------------------------- runs


def test_runs_are_listed_and_their_curves_thinned(full: Live) -> None:
    found = full.json("GET", "/api/runs")
    assert found["given"] and {one["name"] for one in found["runs"]} == {"mixed", "used"}
    (phase,) = full.json("GET", "/api/runs/mixed")["phases"]
    assert phase["steps"] == 900 and phase["tokens"] == 9000
    assert len(phase["loss"]) <= 400 and phase["loss"][-1][0] == 900
    assert all(a[1] > b[1] for a, b in zip(phase["loss"], phase["loss"][1:], strict=False))
    assert [one["step"] for one in phase["evaluations"]] == [300, 600, 900]
    assert set(phase["evaluations"][0]) == {"step", "loss", "chrf", "bleu"}
    assert [one["shares"]["mt"] for one in phase["shares"]] == [0.25, 0.55]
    assert phase["samples"][2]["samples"][0]["translation"].endswith("at 900")


@pytest.mark.parametrize("name", ["empty", "nothing", "..", "%2e%2e%2fstate", "mixed%2f..%2fused"])
def test_no_name_leads_out_of_the_folder_of_runs(full: Live, name: str) -> None:
    assert full.http.get(f"/api/runs/{name}").status_code == 404
    assert full.http.get(f"/api/monitor/{name}").status_code == 404


@pytest.mark.slow
def test_a_damaged_log_is_told_and_its_place_is_not(tmp_path: Path) -> None:
    log = training(tmp_path / "runs" / "bad") / "train" / "0-hybrid" / "metrics.jsonl"
    log.write_text('{"event": "step", "step": 1, "loss": 1.0}\nnonsense\n{"event": "step", "step": 2, "loss": NaN}\n')
    with living(Gateway(tmp_path / "state", models=[NullModel()], runs=tmp_path / "runs")) as live:
        answer = live.http.get("/api/runs/bad")
        assert answer.status_code == 409 and str(tmp_path) not in answer.text
        log.write_text('{"event": "step", "step": 1, "loss": 1.0}\n{"event": "step", "step": 2, "loss": NaN}\n')
        assert live.json("GET", "/api/runs/bad")["phases"][0]["loss"] == [[1, 1.0]]  # what is no number is left out


def test_without_a_folder_of_runs_there_are_none(live: Live) -> None:
    assert live.json("GET", "/api/runs") == {"given": False, "runs": []}
    assert live.http.get("/api/runs/x").status_code == 404


def test_what_a_run_met_in_use(full: Live) -> None:
    assert full.json("GET", "/api/monitor") == {"runs": ["used"]}
    found = full.json("GET", "/api/monitor/used")
    assert found["run"] == "used" and found["totals"]["segments"] == 400
    assert "new_words" in found["directions"][0]["drifted"]
    assert full.http.get("/api/monitor/mixed").status_code == 404

"""Under load: engines that are killed, models that are swapped, clients that go away or come back, and the end."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deepl
import httpx2
import pytest

from dragoman.cli.serve import Options
from dragoman.errors import ArgumentError
from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.settings import Limits
from dragoman.store.run.aliases import Aliases, Target, assign, rollback

from tests.server.living import Live, faulty, living, until  # isort: skip

ASKED = {"source_lang": "en", "target_lang": "de"}


def clients(
    live: Live, count: int, work: Callable[[httpx2.Client, int], None], ended: threading.Event
) -> list[BaseException]:
    """So many clients that work until the end; what went wrong."""
    wrong: list[BaseException] = []

    bounds = httpx2.Limits(max_connections=count)
    shared = httpx2.Client(base_url=live.url, timeout=60, trust_env=False, limits=bounds)

    def one(number: int) -> None:
        try:
            while not ended.is_set():
                work(shared, number)
        except BaseException as error:
            wrong.append(error)
            ended.set()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    ended.wait(120)
    ended.set()
    for thread in threads:
        thread.join(60)
    shared.close()
    return wrong


@pytest.mark.slow
def test_an_engine_killed_under_fifty_clients_gives_no_wrong_answer(tmp_path: Path) -> None:
    limits = Limits(cache=0, wait=1_000)  # on a busy machine a batch may seem to take long
    with living(Gateway(tmp_path, models=[NullModel()], command=faulty(), limits=limits)) as live:
        codes: Counter[int] = Counter()
        slow: list[float] = []
        ended = threading.Event()

        def work(http: httpx2.Client, number: int) -> None:
            texts = [f"{number} {time.monotonic_ns()} {place}" for place in range(3)]
            began = time.monotonic()
            answer = http.post("/v2/translate", json={"text": texts, **ASKED})
            codes[answer.status_code] += 1
            if answer.status_code == 200:
                assert [one["text"] for one in answer.json()["translations"]] == [f"{text}!" for text in texts]
            else:
                slow.append(time.monotonic() - began)
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) >= 1
                time.sleep(0.05)

        def kill() -> None:
            engine = live.gateway.bundles.default.engine
            for _ in range(3):
                time.sleep(0.5)
                until(lambda: engine.state == "ready" and engine.process_id is not None)
                os.kill(engine.process_id or 0, signal.SIGKILL)
            time.sleep(0.2)
            until(lambda: engine.state == "ready")
            time.sleep(0.3)
            ended.set()

        killer = threading.Thread(target=kill)
        killer.start()
        assert clients(live, 50, work, ended) == []
        killer.join()
        assert set(codes) == {200, 503}
        assert sorted(slow)[len(slow) // 2] < 2  # of fifty threads in one process some are slow themselves
        assert live.gateway.bundles.default.engine.restarts >= 3
        assert 'dragoman_engine_restarts_total{model="null"} 3.0' in live.http.get("/metrics").text


def two_models(tmp_path: Path) -> list[Target]:
    """Two folders that pass for models: their engines put the folder's name before each answer."""
    targets = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(name, encoding="utf-8")
        (folder / "dragoman.json").write_text(
            '{"directions": ["en-de"], "prompt": {"kind": "compact"}}', encoding="utf-8"
        )
        from dragoman.store.run.aliases import target

        targets.append(target(folder))
    return targets


def named_engine() -> list[str]:
    """An engine that answers with the name of its folder."""
    code = (
        "import sys, json, pathlib; specification = json.loads(sys.argv[1]);"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "name = pathlib.Path(specification.get('run', 'null')).name + ' ';"
        "sys.argv[1:] = [name, json.dumps({'null': ['en-de']})]; import faulty; faulty.main()"
    )
    return [sys.executable, "-c", code]


@pytest.mark.slow
def test_a_hundred_swaps_under_load_fail_nothing_and_mix_nothing(tmp_path: Path) -> None:
    models = two_models(tmp_path)
    aliases = tmp_path / "aliases.json"
    assign(aliases, "champion", models[0])
    gateway = Gateway(tmp_path / "state", command=named_engine(), aliases=aliases, limits=Limits(cache=1 << 20))
    with living(gateway) as live:
        ended = threading.Event()
        seen: Counter[str] = Counter()

        def work(http: httpx2.Client, number: int) -> None:
            texts = [f"{number}-{place}" for place in range(4)] + ["the same. For all."]
            answer = http.post("/v2/translate", json={"text": texts, **ASKED})
            assert answer.status_code == 200, answer.text
            name = answer.headers["x-dragoman-model"].partition("@")[0]
            found = [one["text"] for one in answer.json()["translations"]]
            assert found[:4] == [f"{name} {text}!" for text in texts[:4]]
            assert found[4] == f"{name} the same.! {name} For all.!"
            seen[name] += 1

        def swap() -> None:
            for number in range(100):
                assign(aliases, "champion", models[(number + 1) % 2])
                live.call(live.gateway.follow())
            ended.set()

        swapper = threading.Thread(target=swap)
        swapper.start()
        assert clients(live, 20, work, ended) == []
        swapper.join()
        assert min(seen["one"], seen["two"]) > 0
        assert len(Aliases.read(aliases).before["champion"]) == 10
        began = time.monotonic()
        rollback(aliases, "champion")
        until(lambda: live.gateway.bundles.aliases["champion"].name == "two")
        assert time.monotonic() - began < 5
        named = live.json("POST", "/v1/completions", json={"model": "champion:en-de", "prompt": "x"})
        assert (named["choices"][0]["text"], named["model"].partition("@")[0]) == ("two x!", "two")


@pytest.mark.slow
def test_several_models_by_name_alias_and_version(tmp_path: Path) -> None:
    one, two = two_models(tmp_path)
    aliases = tmp_path / "state" / "aliases.json"
    with living(Gateway(tmp_path / "state", models=[one, two], command=named_engine(), must_have_key=True)) as live:

        async def create() -> str:
            return live.gateway.keys.create("k", ["translate", "deploy"])

        live.http.headers["Authorization"] = f"Bearer {live.call(create())}"

        def says(model: str) -> str:
            asked = {"text": "x", "source": "en", "target": "de", "model": model}
            return str(live.json("POST", "/api/translate", json=asked)["translations"]["text"])

        asked = {"text": "x", "source": "en", "target": "de"}
        until(  # the server is ready with its first engine
            lambda: all(
                live.http.post("/api/translate", json={**asked, "model": name}).status_code == 200
                for name in ("one", "two")
            )
        )
        assert (says(""), says("two"), says(f"one@{one.checksum[7:19]}")) == ("one x!", "two x!", "one x!")
        live.json("PUT", "/api/aliases/champion", json={"model": "two"})
        live.json("PUT", "/api/aliases/challenger", json={"model": "one"})
        assert (says(""), says("champion"), says("challenger")) == ("two x!", "two x!", "one x!")
        asked = {"text": "x", "source": "en", "target": "de", "models": ["champion", "challenger"]}
        both = live.json("POST", "/api/translate", json=asked)["answers"]
        assert [answer["translations"]["text"] for answer in both] == ["two x!", "one x!"]
        live.json("PUT", "/api/aliases/champion", json={"model": "one"})
        assert says("") == "one x!"
        live.json("POST", "/api/aliases/champion/rollback")
        assert says("") == "two x!"
        assert live.http.post("/api/aliases/challenger/rollback").status_code == 409
        assert live.http.put("/api/aliases/champion", json={"model": "none"}).status_code == 404
        (tmp_path / "two" / "config.json").write_text("changed", encoding="utf-8")
        (tmp_path / "three").mkdir()
        assign(aliases, "shadow", Target("three", tmp_path / "three", "sha256:0"))
        live.call(live.gateway.follow())  # cannot be loaded: told, and the others stay
        assert says("") == "two x!"
        assert "shadow" not in live.gateway.bundles.aliases
        aliases.write_text("{", encoding="utf-8")
        time.sleep(0.1)
        assert live.http.get("/api/aliases").status_code == 409
        assert says("champion") == "two x!"


@pytest.mark.slow
def test_the_retries_of_a_client_cost_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DeepL's client gives up after its time and asks again; here after 0.3 s instead of 10."""
    monkeypatch.setattr(deepl.http_client, "min_connection_timeout", 0.3)
    monkeypatch.setattr(deepl.http_client._BackoffTimer, "BACKOFF_INITIAL", 0.05)
    monkeypatch.setattr(deepl.http_client._BackoffTimer, "BACKOFF_MULTIPLIER", 1.0)
    with living(Gateway(tmp_path, models=[NullModel(delay=1.2)])) as live:
        client = deepl.DeepLClient("any", server_url=live.url)
        made = client.translate_text("storm", source_lang="EN", target_lang="DE")
        client.close()
        assert isinstance(made, deepl.TextResult)
        assert made.text == "storm"
        figures = live.http.get("/metrics").text
        assert 'dragoman_batch_size_count{model="null"} 1.0' in figures


@pytest.mark.slow
def test_clients_that_go_away_free_the_queue(tmp_path: Path) -> None:
    limits = Limits(grace=0.1, cache=0)
    with living(Gateway(tmp_path, models=[NullModel(delay=0.4)], limits=limits)) as live:
        for number in range(30):
            with pytest.raises(httpx2.ReadTimeout):
                httpx2.post(
                    f"{live.url}/v2/translate",
                    json={"text": [f"text {number}"], **ASKED},
                    timeout=httpx2.Timeout(5, read=0.02),
                    trust_env=False,
                )
        until(lambda: live.gateway.bundles.default.scheduler.depth == 0, 3)
        until(lambda: live.gateway.flying == 0, 3)
        assert live.json("POST", "/v2/translate", json={"text": ["x"], **ASKED})["translations"][0]["text"] == "x"


@pytest.mark.slow
def test_a_spike_is_shed_with_the_time_to_come_back(tmp_path: Path) -> None:
    limits = Limits(queue=20, batch=5, cache=0, in_flight=60)
    with living(Gateway(tmp_path, models=[NullModel(delay=0.1)], limits=limits)) as live:
        codes: Counter[tuple[str, int]] = Counter()
        ended = threading.Event()

        def work(http: httpx2.Client, number: int) -> None:
            path, body = (
                ("/v2/translate", {"text": [str(time.monotonic_ns())], **ASKED})
                if number % 2
                else ("/translate", {"q": str(time.monotonic_ns()), "source": "en", "target": "de"})
            )
            answer = http.post(path, json=body)
            codes[path, answer.status_code] += 1
            if answer.status_code != 200:
                assert int(answer.headers["retry-after"]) >= 1
                time.sleep(0.05)
            if len(codes) == 4 and codes.total() > 300:
                ended.set()

        assert clients(live, 50, work, ended) == []
        assert set(codes) == {("/v2/translate", 200), ("/v2/translate", 529), ("/translate", 200), ("/translate", 429)}
        until(lambda: live.gateway.bundles.default.scheduler.depth == 0)
        assert live.json("POST", "/v2/translate", json={"text": ["x"], **ASKED})


@pytest.mark.slow
def test_one_text_that_fails_is_named_and_the_others_are_answered(tmp_path: Path) -> None:
    with living(Gateway(tmp_path, models=[NullModel()], command=faulty())) as live:
        asked = {"text": ["a", "fail", "b", "One\nfail"], **ASKED}
        found = live.json("POST", "/v2/translate", json=asked)["translations"]
        assert [one["text"] for one in found] == ["a!", "", "b!", ""]
        assert [one.get("failure") for one in found] == [None, "ValueError", None, "ValueError"]
        assert live.http.post("/v2/translate", json={"text": ["fail"], **ASKED}).status_code == 500


def serve(state: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    command = [
        sys.executable,
        "-m",
        "dragoman",
        "serve",
        "--null",
        "en-de",
        "--state",
        str(state),
        "--port",
        "0",
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving null at http"), (line, process.poll())
    return process, line.split()[-1]


@pytest.mark.slow
def test_the_command_serves_drains_and_ends(tmp_path: Path) -> None:
    process, url = serve(tmp_path)
    try:
        with httpx2.Client(base_url=url, timeout=30, trust_env=False) as http:
            until(lambda: http.get("/health/ready").status_code == 200)
            asked: dict[str, Any] = {"text": ["x"], **ASKED}
            assert http.post("/v2/translate", json=asked).json()["translations"][0]["text"] == "x"
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_wait_is_told_in_seconds_or_as_times() -> None:
    assert (Options(wait="2.5").waiting, Options(wait="1.8x").waiting) == ((2.5, 0.0), (10.0, 1.8))
    for wrong in ("", "x", "0.01", "0.9x", "-1", "nan", "1e3", "1..2x", "2 x"):
        with pytest.raises(ArgumentError, match="give seconds, 0.05 or more"):
            assert Options(wait=wrong).waiting


@pytest.mark.slow
def test_draining_lets_what_is_in_flight_end(tmp_path: Path) -> None:
    with living(Gateway(tmp_path, models=[NullModel(delay=0.8)])) as live:
        answers: list[int] = []

        def ask() -> None:
            answer = httpx2.post(f"{live.url}/v2/translate", json={"text": ["x"], **ASKED}, timeout=30, trust_env=False)
            answers.append(answer.status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: live.gateway.flying == 1)
        live.server.handle_exit(signal.SIGTERM, None)
        assert live.http.get("/health/ready").status_code == 503
        assert live.http.get("/health/live").status_code == 200
        refused = live.http.post("/v2/translate", json={"text": ["y"], **ASKED})
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        thread.join(20)
        assert answers == [200]


@pytest.mark.slow
def test_beyond_this_machine_a_key_is_needed(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "dragoman",
        "serve",
        "--null",
        "en-de",
        "--state",
        str(tmp_path),
        "--host",
        "0.0.0.0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "keys create" in done.stderr


@pytest.mark.long
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")
def test_tls_by_files(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", *words, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    process, url = serve(tmp_path / "state", "--tls-cert", str(certificate), "--tls-key", str(key))
    try:
        assert url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=certificate)
        with httpx2.Client(base_url=url, verify=trusted, timeout=30, trust_env=False) as http:
            answer = http.get("/health/live")
            assert (answer.status_code, answer.headers["strict-transport-security"]) == (200, "max-age=31536000")
    finally:
        process.terminate()
        process.communicate(timeout=30)
    half = subprocess.run(
        [
            sys.executable,
            "-m",
            "dragoman",
            "serve",
            "--null",
            "en-de",
            "--state",
            tmp_path / "s",
            "--tls-cert",
            certificate,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (half.returncode, "--tls-key" in half.stderr) == (2, True)

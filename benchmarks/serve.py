"""The server: what the gateway costs, what reaches a model through it, and what a spike does.

    python benchmarks/serve.py --run runs/clinic --sources runs/clinic/prepare/test.parquet

Needs `wrk`. Four measurements; the record goes to benchmarks/results/serve.json.

- overhead: the null engine, every text another one and no cache: requests a second over 32 connections, and the median
  latency over one, which is what the gateway and its pipe add to a model's own time.
- throughput: 32 clients, each with one sentence at a time, against the assistant's own batches on the same sentences; both have
  translated them once before, so that what is loaded at first use is there.
- spike: the null engine with 50 ms a batch of 8; 4 connections, then 40, with `--wait 1.8x`: which answers come, how long
  those that are admitted wait, and how much memory the gateway has before and after.
- restart: how long requests are refused after the engine was killed, and how soon the first refusal comes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import psutil

from dragoman.core.records import Example
from dragoman.engine.device import detect
from dragoman.store.corpus import records
from dragoman.store.run.artifact import versions

RESULTS = Path(__file__).parent / "results"
_SCRIPT = """
local number = 0
local thread = 0
function setup(one) one:set("id", thread); thread = thread + 1 end
function request()
  number = number + 1
  local body = string.format('{"q":"text %d of %d","source":"en","target":"de"}', number, id)
  return wrk.format("POST", "/translate", {["Content-Type"] = "application/json"}, body)
end
statuses = {}
function response(status) statuses[status] = (statuses[status] or 0) + 1 end
"""


class Served:
    """`dragoman serve` as a process of its own."""

    def __init__(self, *options: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        command = [sys.executable, "-m", "dragoman", "serve", *options, "--state", self._folder.name, "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        while httpx2.get(f"{self.url}/health/ready").status_code != 200:
            time.sleep(0.1)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.terminate()
        self.process.wait(60)
        self._folder.cleanup()

    @property
    def processor_seconds(self) -> tuple[float, float]:
        """Of the gateway and of its engine: what a busy machine does not change much."""
        gateway = psutil.Process(self.process.pid)
        times = [one.cpu_times() for one in (gateway, *gateway.children())]
        return times[0].user + times[0].system, times[1].user + times[1].system

    @property
    def megabytes(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


def wrk(url: str, connections: int, seconds: int) -> dict[str, Any]:
    """What wrk measures: requests a second, latencies in milliseconds, answers that were not of 200."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT)
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name, url]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    latencies = {
        f"p{share}": round(float(value) * unit[name], 3)
        for share, value, name in re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)", out, flags=re.MULTILINE)
    }
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    total = re.search(r"(\d+) requests in", out)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert rate is not None and total is not None
    return {
        "requests_a_second": float(rate[1]),
        "requests": int(total[1]),
        "refused": int(refused[1]) if refused else 0,
        "milliseconds": latencies,
    }


def overhead(seconds: int) -> dict[str, Any]:
    with Served("--null", "en-de", "--cache", "0") as served:
        wrk(served.url, 8, 2)
        found = {}
        for connections in (32, 1):
            before = served.processor_seconds
            measured = wrk(served.url, connections, seconds)
            used = [1000 * (now - then) for now, then in zip(served.processor_seconds, before, strict=True)]
            measured["processor_milliseconds_a_request"] = {
                name: round(one / measured["requests"], 3)
                for name, one in zip(("gateway", "engine"), used, strict=True)
            }
            found[f"{connections} connections"] = measured
        return found


class Client:
    """One connection that stays open, and as little of our own time as can be: what is measured is the server."""

    def __init__(self, url: str) -> None:
        self._host, self._port = url.removeprefix("http://").split(":")

    async def __aenter__(self) -> Client:
        self._from, self._to = await asyncio.open_connection(self._host, int(self._port))
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._to.close()

    async def post(self, path: str, asked: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        body = json.dumps(asked).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
        self._to.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        first, *lines = (await self._from.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), headers, await self._from.readexactly(int(headers["content-length"]))


def throughput(run: Path, texts: list[str], pair: str) -> dict[str, Any]:
    """Sentences a second, and milliseconds of the processors for one, three times each, in turn."""
    from dragoman.assistant import Assistant

    found: dict[str, list[float]] = {"assistant": [], "assistant, 32 at once": [], "server": []}
    spent: dict[str, list[float]] = {name: [] for name in (*found, "gateway", "engine")}

    def measured(name: str, began: float, before: float, now: float) -> None:
        found[name].append(len(texts) / (time.perf_counter() - began))
        spent[name].append(1000 * (now - before) / len(texts))

    for _ in range(3):
        with Assistant.load(run) as assistant:
            assistant.translate(texts, pair)
            began, before = time.perf_counter(), time.process_time()
            for start in range(0, len(texts), 32):
                assistant.translate(texts[start : start + 32], pair)
            measured("assistant, 32 at once", began, before, time.process_time())
            began, before = time.perf_counter(), time.process_time()
            alone = [answer.text for answer in assistant.translate(texts, pair)]
            measured("assistant", began, before, time.process_time())
        del assistant
        with Served(str(run), "--cache", "0") as served:
            asyncio.run(through(served.url, texts, pair))
            began, times = time.perf_counter(), served.processor_seconds
            answers = asyncio.run(through(served.url, texts, pair))
            used = [now - before for now, before in zip(served.processor_seconds, times, strict=True)]
            measured("server", began, 0.0, sum(used))
            for name, one in zip(("gateway", "engine"), used, strict=True):
                spent[name].append(1000 * one / len(texts))
        same = sum(one == other for one, other in zip(alone, answers, strict=True))
    best = {name: max(values) for name, values in found.items()}
    least = {name: min(values) for name, values in spent.items()}
    return {
        "sentences": len(texts),
        "sentences_a_second": {name: [round(value, 1) for value in values] for name, values in found.items()},
        "processor_milliseconds_a_sentence": {
            name: [round(value, 2) for value in values] for name, values in spent.items()
        },
        "share": round(best["server"] / best["assistant"], 3),
        "share_of_32_at_once": round(best["server"] / best["assistant, 32 at once"], 3),
        "share_of_32_at_once_by_processor_time": round(least["assistant, 32 at once"] / least["server"], 3),
        "same_translations": same,
    }


async def through(url: str, texts: list[str], pair: str) -> list[str]:
    """The translations of the texts by 32 clients, each with one at a time."""
    source, target = pair.split("-")
    answers = [""] * len(texts)
    left = iter(enumerate(texts))

    async def client() -> None:
        async with Client(url) as http:
            for place, text in left:
                _, _, body = await http.post("/translate", {"q": text, "source": source, "target": target})
                answers[place] = json.loads(body)["translatedText"]

    await asyncio.gather(*(client() for _ in range(32)))
    return answers


def spike(seconds: int) -> dict[str, Any]:
    with Served("--null", "en-de", "--null-delay", "0.05", "--cache", "0", "--wait", "1.8x", "--batch", "8") as served:
        wrk(served.url, 4, 2)
        before = served.megabytes
        calm = asyncio.run(admitted(served.url, 4, seconds))
        rush = asyncio.run(admitted(served.url, 40, seconds))
        return {
            "4 connections": calm,
            "admitted at 40": rush,
            "times": round(rush["milliseconds"]["p99"] / calm["milliseconds"]["p99"], 2),
            "megabytes": {"before": round(before, 1), "after": round(served.megabytes, 1)},
        }


async def admitted(url: str, count: int, seconds: int) -> dict[str, Any]:
    """Answers by status, and how long those took that were let in."""
    statuses: dict[int, int] = {}
    times: list[float] = []
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        async with Client(url) as http:
            turn = 0
            while time.monotonic() < end:
                turn += 1
                began = time.monotonic()
                status, headers, _ = await http.post(
                    "/translate", {"q": f"{number} {turn}", "source": "en", "target": "de"}
                )
                statuses[status] = statuses.get(status, 0) + 1
                if status == 200:
                    times.append(1000 * (time.monotonic() - began))
                else:
                    assert int(headers["retry-after"]) >= 1
                    await asyncio.sleep(0.05)  # sooner than told: that is the spike

    await asyncio.gather(*(client(number) for number in range(count)))
    cuts = statistics.quantiles(times, n=100)
    return {"statuses": statuses, "milliseconds": {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1)}}


def restart() -> dict[str, Any]:
    with Served("--null", "en-de", "--cache", "0") as served, httpx2.Client(base_url=served.url) as http:
        (child,) = psutil.Process(served.process.pid).children()
        os.kill(child.pid, signal.SIGKILL)
        began = time.perf_counter()
        first = None
        while True:
            answer = http.post("/translate", json={"q": str(time.perf_counter()), "source": "en", "target": "de"})
            now = time.perf_counter() - began
            if answer.status_code == 200 and (first is not None or now > 1):
                break
            if answer.status_code != 200:
                first = first if first is not None else now
            time.sleep(0.01)
        return {"first_refusal_after_s": round(first or 0.0, 3), "back_after_s": round(now, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--run", type=Path, help="a run whose model is served; without it throughput is left out")
    parser.add_argument("--sources", type=Path, help="prepared pairs whose sources are translated")
    parser.add_argument("--pair", default="en-fr")
    parser.add_argument("--sentences", type=int, default=400)
    parser.add_argument("--seconds", type=int, default=8)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    record: dict[str, Any] = {
        "command": " ".join(["benchmarks/serve.py", *(word for word in sys.argv[1:] if "/" not in word)]),
        "machine": str(detect()),
        "load_average_before": round(load, 1),
        "versions": versions(),
        "overhead": overhead(arguments.seconds),
        "spike": spike(arguments.seconds),
        "restart": restart(),
    }
    if arguments.run and arguments.sources:
        pairs = list(records.read(arguments.sources, Example))
        texts = list(dict.fromkeys(one.source for one in pairs if one.source_language == arguments.pair.split("-")[0]))
        record["throughput"] = throughput(arguments.run, texts[: arguments.sentences], arguments.pair)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "serve.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()

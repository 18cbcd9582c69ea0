"""A server under a steady low load of all dialects for as long as one likes: no unexpected 5xx, no growth of memory.

    python benchmarks/serve_soak.py --minutes 30                 # the null engine
    python benchmarks/serve_soak.py --minutes 30 --run runs/clinic --pair en-fr

Each client speaks one dialect, `--rate` requests a second together, texts of changing length, some of them again and again; nineteen
of twenty documents are fetched. The memory (RSS) of gateway and engine is read every few seconds; growth is that of the last fifth's
median over that of the second fifth's, for the first one fills caches. The record goes to benchmarks/results/serve-soak.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import psutil
from serve import RESULTS, Served

from dragoman.engine.device import detect
from dragoman.store.run.artifact import versions

_FETCHED = 0.95  # of the documents; the others are left lying
_WORDS = [
    "take",
    "one",
    "tablet",
    "every",
    "morning",
    "with",
    "a",
    "glass",
    "of",
    "water",
    "and",
    "ask",
    "your",
    "doctor",
    "before",
    "{name}",
    "20",
    "mg",
    "<b>now</b>",
]


def requests(source: str, target: str) -> dict[str, Callable[[str], tuple[str, str, dict[str, Any]]]]:
    """Dialect -> (method, path, options of the request) of a text."""
    way = {"source": source, "target": target}
    pair = {"source_lang": source, "target_lang": target}
    return {
        "libretranslate": lambda text: ("POST", "/translate", {"json": {"q": [text, text[:20]], **way, "alternatives": 1}}),
        "libretranslate form": lambda text: ("POST", "/translate", {"data": {"q": text, **way, "format": "html"}}),
        "deepl": lambda text: ("POST", "/v2/translate", {"json": {"text": [text], **pair, "tag_handling": "xml"}}),
        "openai": lambda text: (
            "POST", "/v1/chat/completions",
            {"json": {"messages": [{"role": "user", "content": text}], **pair, "stream": len(text) % 2 == 0}},
        ),
        "page": lambda text: ("POST", "/api/segments", {"json": {"text": text, **way}}),
        "feedback": lambda text: ("POST", "/suggest", {"json": {"q": text, "s": text.upper(), **way}}),
        "libretranslate document": lambda text: (
            "POST", "/translate_file", {"files": {"file": ("a.txt", text.encode())}, "data": way},
        ),
        "deepl document": lambda text: (
            "POST", "/v2/document", {"files": {"file": ("a.txt", text.encode())}, "data": pair},
        ),
        "lists": lambda text: ("GET", random.choice(["/languages", "/v2/languages", "/v1/models", "/metrics"]), {}),
    }  # fmt: skip


async def soak(served: Served, seconds: float, rate: float, source: str, target: str) -> dict[str, Any]:
    statuses: Counter[str] = Counter()
    sizes: list[tuple[float, float, float]] = []
    dice = random.Random(1)
    kinds = requests(source, target)
    end = time.monotonic() + seconds
    pause = len(kinds) / rate

    async def document(http: httpx2.AsyncClient, sent: dict[str, Any]) -> int:
        """Fetch a document as the dialect's own client does; the last status."""
        if "translatedFileUrl" in sent:
            return (await http.get(sent["translatedFileUrl"])).status_code
        path, key = f"/v2/document/{sent['document_id']}", {"document_key": sent["document_key"]}
        while (state := await http.post(path, data=key)).json().get("status") in ("queued", "translating"):
            await asyncio.sleep(0.2)
        return (
            (await http.post(f"{path}/result", data=key)).status_code if state.status_code == 200 else state.status_code
        )

    async def client(name: str) -> None:
        async with httpx2.AsyncClient(base_url=served.url, timeout=120, trust_env=False) as http:
            while time.monotonic() < end:
                text = " ".join(dice.choices(_WORDS, k=dice.choice((3, 8, 30)))) + "."
                if dice.random() < 0.8:
                    text = f"{dice.randrange(10_000)} {text}"
                method, path, options = kinds[name](text)
                try:
                    answer = await http.request(method, path, **options)
                    statuses[f"{name} {answer.status_code}"] += 1
                    if name.endswith("document") and answer.status_code == 200 and dice.random() < _FETCHED:
                        statuses[f"{name} fetched {await document(http, answer.json())}"] += 1
                except httpx2.HTTPError as error:
                    statuses[f"{name} {type(error).__name__}"] += 1
                await asyncio.sleep(dice.uniform(0.5, 1.5) * pause)

    async def watch() -> None:
        gateway = psutil.Process(served.process.pid)
        (engine,) = gateway.children()
        began = time.monotonic()
        while time.monotonic() < end:
            sizes.append((time.monotonic() - began, *(one.memory_info().rss / 2**20 for one in (gateway, engine))))
            await asyncio.sleep(2)

    await asyncio.gather(watch(), *(client(name) for name in kinds))
    used = served.processor_seconds
    fifths = [[one for one in sizes if part <= 5 * one[0] / seconds < part + 1] for part in range(5)]
    growth = {}
    for place, name in ((1, "gateway"), (2, "engine")):
        before, after = (statistics.median(one[place] for one in fifths[part]) for part in (1, 4))
        growth[name] = {"megabytes": [round(before, 1), round(after, 1)], "growth": round(after / before - 1, 4)}
    return {
        "seconds": seconds,
        "requests": statuses.total(),
        "statuses": dict(sorted(statuses.items())),
        "unexpected": sum(count for name, count in statuses.items() if not name.endswith((" 200", " 429", " 529"))),
        "memory": growth,
        "processor_seconds": {"gateway": round(used[0], 1), "engine": round(used[1], 1)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=4, help="requests a second, all clients together")
    parser.add_argument("--run", type=Path, help="a run to serve instead of the null engine")
    parser.add_argument("--pair", default="en-de")
    arguments = parser.parse_args()
    source, target = arguments.pair.split("-")
    what = [str(arguments.run)] if arguments.run else ["--null", arguments.pair]
    load = os.getloadavg()[0]
    with Served(*what) as served:
        found = asyncio.run(soak(served, 60 * arguments.minutes, arguments.rate, source, target))
    record = {
        "command": " ".join(["benchmarks/serve_soak.py", *(word for word in sys.argv[1:] if "/" not in word)]),
        "machine": str(detect()),
        "load_average_before": round(load, 1),
        "versions": versions(),
        **found,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "serve-soak.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(record, indent=1) + "\n")
    if record["unexpected"] or any(one["growth"] > 0.05 for one in found["memory"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()

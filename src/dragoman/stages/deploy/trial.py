"""The process of a trial: `python -m dragoman.stages.deploy.trial JOB ANSWER`, both JSON files. See `trials`."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dragoman.errors import DragomanError
from dragoman.store.run.artifact import write_json
from dragoman.translator import Translator


def main(job: Path, answer: Path) -> None:
    """Load, translate, score, measure; write what came of it."""
    asked = json.loads(job.read_text(encoding="utf-8"))
    started = time.perf_counter()
    translator = opened(asked)
    loading = time.perf_counter() - started
    sets: Mapping[str, Sequence[Mapping[str, str]]] = asked["sets"]
    translator.translate([sets["dev"][0]["source"]], sets["dev"][0]["direction"])  # what is made once only
    outputs, seconds, rows, characters = {}, 0.0, 0, 0
    for name, part in sets.items():
        began = time.perf_counter()
        outputs[name] = by_direction(part, lambda some, way: translator.translate([r["source"] for r in some], way))
        seconds += time.perf_counter() - began
        rows += len(part)
        characters += sum(len(row["source"]) for row in part)
    times = latencies(translator, sets["dev"][: int(asked["latency"])])
    found = {
        "load_seconds": loading,
        "sentences_per_second": rows / seconds,
        "characters_per_second": characters / seconds,  # of the sources
        "p50": statistics.median(times) if times else 0.0,
        "p95": sorted(times)[min(len(times) - 1, int(0.95 * len(times)))] if times else 0.0,
        "outputs": {name: [h.text for h in made] for name, made in outputs.items()},
        "scores": scores(translator, sets["dev"]),
        "tells_scores": translator.backend.abilities.score,
        "peak_memory": peak(),
        "description": translator.description,
    }
    translator.close()
    write_json(answer, found)


def opened(asked: Mapping[str, Any]) -> Translator:
    """The run's model, or an export of it, in the engine that it is for."""
    from dragoman.backends import open_files
    from dragoman.engine.load import load_shell

    folder, kind, threads = Path(asked["folder"]), str(asked["kind"]), asked["threads"]
    if kind == "model":
        return Translator.load(folder, precision="fp32", threads=threads, backend="transformers")
    if kind == "adapter":
        from dragoman.stages.deploy.contents import with_plain_peft

        return Translator(with_plain_peft(folder / kind, Path(asked["model"]), threads))
    return Translator(open_files(load_shell(folder / "model"), folder / kind, threads=threads, measuring=True))


def by_direction(
    rows: Sequence[Mapping[str, str]], work: Callable[[Sequence[Mapping[str, str]], str], Sequence[Any]]
) -> list[Any]:
    """What `work` makes of the rows of each direction, in the order of the rows."""
    found: list[Any] = [None] * len(rows)
    for direction in dict.fromkeys(row["direction"] for row in rows):
        places = [i for i, row in enumerate(rows) if row["direction"] == direction]
        for place, made in zip(places, work([rows[i] for i in places], direction), strict=True):
            found[place] = made
    return found


def latencies(translator: Translator, rows: Sequence[Mapping[str, str]]) -> list[float]:
    """Seconds of each sentence alone."""
    found = []
    for row in rows:
        began = time.perf_counter()
        translator.translate([row["source"]], row["direction"])
        found.append(time.perf_counter() - began)
    return found


def scores(translator: Translator, rows: Sequence[Mapping[str, str]]) -> list[list[float] | None]:
    """The log-probability of every token of the references; None where the backend tells none."""
    if not translator.backend.abilities.score:
        return [None] * len(rows)

    def work(some: Sequence[Mapping[str, str]], way: str) -> list[list[float] | None]:
        return translator.token_scores([r["source"] for r in some], [r["reference"] for r in some], way)

    return by_direction(rows, work)


def peak() -> int:
    """The most memory, in bytes, that this process has had. On Linux `getrusage` would count what its parent had when it was
    started."""
    if (status := Path("/proc/self/status")).is_file():
        lines = status.read_text(encoding="utf-8").split("\n")
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except DragomanError as error:
        sys.exit(str(error))

"""The records of mixture.py as tables and plots: results/mixture.md, mixture-*.svg.

python benchmarks/mixture_report.py [--results FOLDER]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dragoman.store.run.artifact import write_atomic

RESULTS = Path(__file__).parent / "results"
TITLES = {
    "hybrid-gain": "Language modelling alone against the mixture, then both with the same small sft",
    "grid": "Shares found while training against static ones",
    "continued": "The same, begun with a model that translates already",
    "interlinear": "Interlinear text before the sft",
    "replay": "What is forgotten, and what that costs to avoid",
}
COLUMNS = {
    "bleu_zero": "BLEU 0-shot",
    "bleu_one": "BLEU 1-shot",
    "chrf_zero": "chrF2++ 0-shot",
    "chrf_one": "chrF2++ 1-shot",
    "perplexity_en": "perplexity en",
    "perplexity_fr": "perplexity fr",
}
WAYS = {
    "zero": "none",
    "one": "1 random",
    "one_similar": "1 similar",
    "five": "5 random",
    "five_similar": "5 similar",
}
NOT_LEARNED = ("static", "start")
LIMITS = {"bleu": 0.5, "probes": 0.08}  # what is wanted of the grid


def table(record: Mapping[str, Any]) -> list[str]:
    """One row an arm: means over the seeds (deviation), and the tests of BLEU against the arm that is named."""
    lines = ["| arm | " + " | ".join(COLUMNS.values()) + " | gain in BLEU 0-shot | 1-shot |"]
    lines.append("| --- |" + " ---: |" * len(COLUMNS) + " --- | --- |")
    for line in record["summary"]:
        figures = []
        for name in COLUMNS:
            digits = 1 if name.startswith("perplexity") else 2
            spread_told = f" ({line[name]['sd']:.{digits}f})" if len(line["seeds"]) > 1 else ""
            figures.append(f"{line[name]['mean']:.{digits}f}{spread_told}")
        told = [gain(line, f"bleu_{shots}") for shots in ("zero", "one")]
        lines.append(f"| {line['arm']} | {' | '.join([*figures, *told])} |")
    return lines


def in_context(record: Mapping[str, Any]) -> list[str]:
    """Open and closed generation by the examples in the prompt: means over the seeds."""
    if any(f"closed_{way}" not in line for way in WAYS for line in record["summary"]):
        return []
    candidates = record["candidates"]
    head = [f"BLEU, {title}" for title in WAYS.values()] + [f"closed, {title}" for title in WAYS.values()]
    lines = [
        f"By the examples in the prompt; closed: % where the reference is the most probable of {candidates} "
        f"(chance {100 / candidates:g}).",
        "",
        "| arm | " + " | ".join(head) + " |",
        "| --- |" + " ---: |" * len(head),
    ]
    for line in record["summary"]:
        open_ = [f"{line[f'bleu_{way}']['mean']:.2f}" for way in WAYS]
        closed = [f"{line[f'closed_{way}']['mean']:.1f} ({line[f'closed_{way}']['sd']:.1f})" for way in WAYS]
        lines.append(f"| {line['arm']} | {' | '.join(open_ + closed)} |")
    return [*lines, ""]


def gain(line: Mapping[str, Any], name: str) -> str:
    if "tests" not in line:
        return ""
    test = line["tests"][name]
    low, high = test["interval"]
    return (
        f"{test['gain']:+.2f} [{low:+.2f}, {high:+.2f}], p = {test['p_randomisation']:.3g}, against {line['against']}"
    )


def learned(record: Mapping[str, Any]) -> list[str]:
    """What every method delivered, what its probes cost, and whether it reached what is wanted."""
    best = max(line["bleu_zero"]["mean"] for line in record["summary"] if line["arm"].startswith("static"))
    lines = ["| method | share of mt, first tenth → last | BLEU below the grid's best | probes | wanted reached |"]
    lines.append("| --- | --- | ---: | ---: | --- |")
    for line in record["summary"]:
        if line["arm"].startswith(NOT_LEARNED):
            continue
        course = line["course"]["share mt"]
        below, probes = best - line["bleu_zero"]["mean"], line["probe_share"]["mean"]
        reached = "yes" if below <= LIMITS["bleu"] and probes <= LIMITS["probes"] else "no"
        lines.append(f"| {line['arm']} | {course[0]:.2f} → {course[-1]:.2f} | {below:.2f} | {probes:.1%} | {reached} |")
    return lines


def gains(record: Mapping[str, Any]) -> list[str]:
    """The mean relative gain of a window on each task's probe, in tenths of the run, under `fair`."""
    found = next((line for line in record["summary"] if line["arm"] == "fair"), None)
    if found is None:
        return []
    rows = [
        f"| {name} | " + " | ".join(f"{v:.2f}" if name.startswith("share") else f"{100 * v:.2f}" for v in values) + " |"
        for name, values in found["course"].items()
    ]
    head = "| fair | " + " | ".join(str(tenth) for tenth in range(1, 11)) + " |"
    return [head, "| --- |" + " ---: |" * 10, *rows]


def draw_grid(record: Mapping[str, Any], path: Path) -> None:
    """BLEU over the static share, the methods at their mean share; and the shares over the run."""
    with figure(path, 9.5, 3.6) as (left, right):
        static = [line for line in record["summary"] if line["arm"].startswith("static")]
        xs = [float(line["arm"].split()[1]) for line in static]
        left.errorbar(xs, *spread(static, "bleu_zero"), fmt="o-", color="black", capsize=3, label="static")
        for line in record["summary"]:
            if line["arm"].startswith(NOT_LEARNED):
                continue
            course = line["course"]["share mt"]
            (dots,) = left.plot(sum(course) / len(course), line["bleu_zero"]["mean"], "s", label=line["arm"])
            right.plot([t / 10 - 0.05 for t in range(1, 11)], course, color=dots.get_color())
        left.set(xlabel="share of translation (mean over the run)", ylabel="BLEU, zero-shot", xlim=(0, 1))
        left.legend(fontsize=8, frameon=False)
        right.set(xlabel="part of the run", ylabel="share of translation", ylim=(0, 1))


def draw_replay(record: Mapping[str, Any], path: Path) -> None:
    """Perplexity of the text that is replayed (English) and of the rest (French) against BLEU."""
    with figure(path, 9.5, 3.6) as panels:
        tuned = [line for line in record["summary"] if line["arm"] != "lm"]
        start = next(line for line in record["summary"] if line["arm"] == "lm")
        for panel, code, said in zip(panels, ("en", "fr"), ("English, replayed", "French, not replayed"), strict=True):
            for line in tuned:
                x, y = line[f"perplexity_{code}"], line["bleu_zero"]
                panel.errorbar(x["mean"], y["mean"], y["sd"], x["sd"], fmt="o", capsize=2, label=line["arm"])
            panel.axvline(start[f"perplexity_{code}"]["mean"], color="grey", linestyle=":", label="before")
            panel.set(xlabel=f"perplexity of held-out text ({said})", ylabel="BLEU, zero-shot", xscale="log")
            low, high = panel.get_xlim()
            ticks = [tick for tick in (50, 100, 200, 400, 800, 1600, 3200) if low <= tick <= high]
            panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks])  # powers of ten alone would be too few
            panel.set_xticks([], minor=True)
        panels[1].legend(fontsize=8, frameon=False)


class figure:  # noqa: N801  - a context manager, used like a function
    """Two panels side by side, written as SVG at the end."""

    def __init__(self, path: Path, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.path = path
        self.drawn = Figure(figsize=(width, height), layout="constrained")
        self.panels = self.drawn.subplots(1, 2)

    def __enter__(self) -> Any:
        return self.panels

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.drawn.savefig(self.path, format="svg", metadata={"Date": None, "Creator": None})


def spread(lines: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    return [line[name]["mean"] for line in lines], [line[name]["sd"] for line in lines]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--results", type=Path, default=RESULTS)
    results: Path = arguments.parse_args().results
    text = ["# Mixtures of language modelling and translation", ""]
    text += [
        "Means over the seeds (deviation). What was run, and on what, is said in `mixture.py` and in the records.",
        "",
    ]
    for name, title in TITLES.items():
        path = results / f"mixture-{name}.json"
        if not path.is_file():
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        seeds = " to ".join(str(n) for n in sorted({len(line["seeds"]) for line in record["summary"]}))
        text += [f"## {title}", "", f"`{record['command']}`; seeds of each arm: {seeds}.", "", *table(record), ""]
        text += in_context(record)
        if name in ("grid", "continued"):
            draw_grid(record, results / f"mixture-{name}.svg")
            text += [*learned(record), "", *gains(record), "", f"![The shares](mixture-{name}.svg)", ""]
        if name == "replay":
            draw_replay(record, results / "mixture-replay.svg")
            text += ["![Forgetting against gain](mixture-replay.svg)", ""]
    write_atomic(results / "mixture.md", "\n".join(text).encode())


if __name__ == "__main__":
    main()

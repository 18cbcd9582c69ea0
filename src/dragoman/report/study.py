"""study.html: one page that holds everything about a study and asks nothing of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dragoman.core.scores.metrics import TITLES
from dragoman.core.text.languages import Direction
from dragoman.report import study_plots
from dragoman.report.differences import marked
from dragoman.report.folders import read_record
from dragoman.report.page import cut, html, side
from dragoman.report.tables import grid
from dragoman.report.verdict import p_text
from dragoman.store.run.artifact import write_atomic

RECORD, PAGE = "study.json", "study.html"


def read(folder: Path) -> dict[str, Any]:
    """The record of a study. Raises CheckpointError when there is none, DataError when it is damaged."""
    return read_record(folder / RECORD, "study")


def render(folder: Path) -> Path:
    """Write study.html from study.json; returns its path."""
    path = folder / PAGE
    write_atomic(path, page(read(folder)).encode())
    return path


def page(study: Mapping[str, Any]) -> str:
    """The HTML text."""
    names = [arm["name"] for arm in study["arms"]]
    return html(
        "study.html.jinja",
        study=study,
        titles=TITLES,
        bars=[_bars(number, entry, names) for number, entry in enumerate(study["sets"])],
        curves=study_plots.curves(study["curves"], names),
        tiles=_tiles(study, names),
        effects=[_effect(pair, study["sets"]) for pair in study["ablations"]],
        samples=[_samples(entry) for entry in study["sets"]],
        failed=[(arm["name"], run) for arm in study["arms"] for run in arm["runs"] if run["failed"]],
        readings=_readings(study["curves"]),
        p_text=p_text,
    )


def table(study: Mapping[str, Any]) -> str:
    """The scores of a study for a terminal, and which differences count."""
    parts = []
    for entry in study["sets"]:
        metrics = list(entry["scores"])
        rows = [["", *(TITLES[m] for m in metrics)]]
        for arm in next(iter(entry["scores"].values())):
            cells = [entry["scores"][m][arm] for m in metrics]
            rows.append(
                [arm, *(f"{c['value']:.2f} [{c['low']:.2f}, {c['high']:.2f}] {c['letters']:<3}" for c in cells)]
            )
        for base in entry.get("untouched", []):
            cells = [base["scores"][m] for m in metrics]
            told = [f"{c['value']:.2f} [{c['low']:.2f}, {c['high']:.2f}]" for c in cells]
            rows.append([f"untouched base of {', '.join(base['arms'])}", *told])
        pairs = [["second over first", *(TITLES[m] for m in metrics)]]
        for number, contrast in enumerate(next(iter(entry["contrasts"].values()))):
            cells = [entry["contrasts"][m][number] for m in metrics]
            told = [f"{c['gain']:+z.2f} p={c['p']:.4f}{'*' if c['significant'] else ' '}" for c in cells]
            pairs.append([f"{contrast['second']} over {contrast['first']}", *told])
        parts.append(f"{entry['set']} {entry['direction']}, {entry['segments']} segments\n{grid(rows)}")
        parts += [grid(pairs)] if len(pairs) > 1 else []
        parts += [_closed(entry["closed"])] if entry.get("closed") else []
    failed = [
        f"{arm['name']} seed {run['seed']} failed: {run['failed']}"
        for arm in study["arms"]
        for run in arm["runs"]
        if run["failed"]
    ]
    note = (
        f"[low, high]: {study['protocol']['confidence']:.0%} interval over seeds and segments. Arms that share a letter do "
        "not differ. p: the larger of two paired tests, corrected for the number of pairs (Holm); "
        f"* below {study['protocol']['level']}."
    )
    return "\n\n".join([*parts, note, *study["left_out"], *(["\n".join(failed)] if failed else [])])


def _closed(found: Mapping[str, Any]) -> str:
    """Closed generation of all arms on one set."""
    rows = [[f"closed generation, accuracy (chance {found['chance']:.2f})", *found["accuracy"]]]
    for arm in next(iter(found["accuracy"].values())):
        cells = [scores[arm] for scores in found["accuracy"].values()]
        rows.append([arm, *(f"{c['value']:.2f} [{c['low']:.2f}, {c['high']:.2f}]" for c in cells)])
    return grid(rows)


# ---------------------------------------------------------------- what the template shows


def _bars(number: int, entry: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    return {
        metric: study_plots.bars(f"bars-{number}-{metric}", TITLES[metric], scores, names)
        for metric, scores in entry["scores"].items()
    }


def _tiles(study: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """A tile for each arm: chrF on the last set (that of the test, or of a named file), and its gain over the first arm."""
    if not study["sets"]:
        return []
    entry = study["sets"][-1]
    metric = "chrf" if "chrf" in entry["scores"] else next(iter(entry["scores"]))
    gains = {c["second"]: c for c in entry["contrasts"][metric] if c["first"] == names[0]}
    return [
        {
            "arm": arm,
            "title": f"{entry['set']} {entry['direction']}, {TITLES[metric]}",
            "score": score,
            "gain": gains.get(arm),
            "first": names[0],
        }
        for arm, score in entry["scores"][metric].items()
    ]


def _effect(pair: Mapping[str, Any], sets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What changed between two arms, and what came of it on every set."""
    found = []
    for entry in sets:
        for metric, contrasts in entry["contrasts"].items():
            for contrast in contrasts:
                if (contrast["first"], contrast["second"]) == (pair["first"], pair["second"]):
                    found.append(
                        {**contrast, "title": f"{entry['set']} {entry['direction']}", "metric": TITLES[metric]}
                    )
    return {**pair, "effects": found}


def _readings(curves: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"arm": run["arm"], "seed": run["seed"], **reading} for run in curves for reading in run["readings"]]


def _samples(entry: Mapping[str, Any]) -> dict[str, Any]:
    direction = Direction.parse(entry["direction"])
    shown = []
    for sample in entry["samples"]:
        reference = cut(sample["reference"])
        arms = [
            {"name": name, "chrf": made["chrf"], "runs": marked(cut(made["text"]), reference, direction.target)}
            for name, made in sample["arms"].items()
        ]
        shown.append({**sample, "source": cut(sample["source"]), "reference": reference, "arms": arms})
    return {
        "title": f"{entry['set']} {entry['direction']}",
        "source": side(direction.source),
        "target": side(direction.target),
        "shown": shown,
    }

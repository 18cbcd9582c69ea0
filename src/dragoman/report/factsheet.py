"""The AI FactSheet of a run, as JSON and HTML: everything in it comes from the run's records, nothing is written by hand.

The fields are those of IBM's AI FactSheets 360. What no record tells is said to be not recorded. The training data are a data
statement: each source with its licence, which is unknown unless the recipe states one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.core.recipe import Recipe
from dragoman.core.scores.metrics import TITLES
from dragoman.core.text.languages import name
from dragoman.errors import RecipeError
from dragoman.report.card import _base, _directions
from dragoman.report.folders import RunFolder
from dragoman.store.run.artifact import write_atomic, write_json
from dragoman.store.run.costs import by_stage, read, total

JSON, HTML = "factsheet.json", "factsheet.html"
UNRECORDED = "not recorded"
_WORD = re.compile(r"\S+")


def write_factsheet(folder: Path, out: Path | None = None) -> Path:
    """Write factsheet.json and factsheet.html of an evaluated run, into its `evaluate` or into `out`; returns the page."""
    from dragoman.report.page import html

    facts = factsheet(RunFolder.read(folder))
    place = out or folder / "evaluate"
    write_json(place / JSON, facts)
    write_atomic(place / HTML, html("factsheet.html.jinja", facts=facts, titles=_TITLES, columns=_columns).encode())
    return place / HTML


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """All names of the rows, in their order."""
    return list(dict.fromkeys(column for row in rows for column in row))


_TITLES = {
    "overview": "Overview",
    "purpose": "Purpose",
    "intended_domain": "Intended domain",
    "training_data": "Training data",
    "model_information": "Model information",
    "inputs_and_outputs": "Inputs and outputs",
    "performance_metrics": "Performance metrics",
    "bias": "Bias",
    "robustness": "Robustness",
    "domain_shift": "Domain shift",
    "test_data": "Test data",
    "optimal_conditions": "Optimal conditions",
    "poor_conditions": "Poor conditions",
    "explanation": "Explanation",
    "energy_and_cost": "Energy and cost",
    "contact_information": "Contact information",
}


def factsheet(run: RunFolder) -> dict[str, Any]:
    """A field's value is a text, or a list of rows of one kind."""
    model, scores = run.facts("model"), run.scores or {}
    directions = _directions(run)
    pairs = "; ".join(f"{name(one.source)} to {name(one.target)}" for one in directions) or UNRECORDED
    domains = (run.prepare or {}).get("splits", {}).get("train", {}).get("domains", {})
    named = {domain: rows for domain, rows in domains.items() if domain}
    watched = (run.folder / "monitor" / "baseline.json").is_file()
    calibrated = (run.folder / "evaluate" / "confidence.json").is_file()
    return {
        "name": run.name,
        "date": str(scores.get("date", UNRECORDED)),
        "overview": [
            {"what": "base", "value": _base(run) or "none: trained from scratch"},
            {"what": "licence of the base", "value": model.get("licence") or "unknown"},
            {
                "what": "versions",
                "value": ", ".join(f"{k} {v}" for k, v in scores.get("versions", {}).items()) or UNRECORDED,
            },
        ],
        "purpose": f"Translation of text: {pairs}.",
        "intended_domain": [{"domain": domain, "training rows": rows} for domain, rows in named.items()] or UNRECORDED,
        "training_data": statement(run) or UNRECORDED,
        "model_information": [
            {"what": key, "value": str(model[key])}
            for key in ("architecture", "parameters", "vocabulary", "context", "dtype", "prompt", "commit")
            if model.get(key) is not None
        ]
        or UNRECORDED,
        "inputs_and_outputs": f"Text in, text out; at most {model['context']:,} tokens of prompt and translation together."
        if "context" in model
        else UNRECORDED,
        "performance_metrics": [row for entry in scores.get("sets", []) for row in _performance(entry)] or UNRECORDED,
        "bias": UNRECORDED,
        "robustness": UNRECORDED,
        "domain_shift": "What is normal was recorded on the held-out set; `dragoman monitor` holds what comes against it."
        if watched
        else UNRECORDED,
        "test_data": [
            {
                "set": entry["set"],
                "direction": entry["direction"],
                "segments": entry["segments"],
                "from": ", ".join(Path(origin).name for origin in entry.get("origins", ())) or UNRECORDED,
                "source digest": entry.get("source_digest", ""),
            }
            for entry in scores.get("sets", [])
        ]
        or UNRECORDED,
        "optimal_conditions": "Texts like the training data, in the directions above.",
        "poor_conditions": "Texts of other domains or languages than those above: nothing was measured there.",
        "explanation": "Each translation has a calibrated confidence, doubts, and the matches and terms that it rests on."
        if calibrated
        else "Each translation has doubts, and the matches and terms that it rests on; its confidence is not calibrated.",
        "energy_and_cost": costs(run) or UNRECORDED,
        "contact_information": UNRECORDED,
    }


def statement(run: RunFolder) -> list[dict[str, Any]]:
    """Each source of the training data: rows read and kept, and its licence as the recipe states it."""
    stated = _licences(run)
    return [
        {
            "source": re.split(r"[/\\]", str(entry["origin"]).rstrip("/"))[-1],
            "licence": stated.get(str(entry["origin"])) or stated.get(Path(str(entry["origin"])).name) or "unknown",
            "rows read": entry["in"],
            **{f"in {split}": rows for split, rows in entry["kept"].items()},
            "rejected": sum(entry["rejected"].values()),
        }
        for entry in (run.prepare or {}).get("origins", [])
    ]


def _licences(run: RunFolder) -> dict[str, str]:
    """Licences by a source's path, and by the name of its file."""
    path = next((p for n in ("recipe.lock.yaml", "recipe.yaml") if (p := run.folder / n).is_file()), None)
    try:
        prepare = Recipe.load(path).prepare if path is not None else None
    except RecipeError:
        prepare = None
    if prepare is None:
        return {}
    texts = [one for many in prepare.monolingual.values() for one in many]
    held = {one.path: one.licence for one in prepare.parallel if one.licence}
    held |= {one.path: one.licence for one in texts if one.licence}
    return {Path(path).name: licence for path, licence in held.items()} | held


def _performance(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The first and the last system's scores, with their intervals and signatures."""
    systems = [line["system"] for line in entry["results"]]
    rows = []
    for system in dict.fromkeys([systems[0], systems[-1]]):
        line = next(one for one in entry["results"] if one["system"] == system)
        for metric, score in line["scores"].items():
            rows.append(
                {
                    "set": f"{entry['set']} {entry['direction']}",
                    "system": system,
                    "metric": TITLES.get(metric, metric),
                    "value": round(score["value"], 2),
                    "interval": f"{score['low']:.2f} to {score['high']:.2f}",
                    "decoding": line["decoding"],
                    "signature": score["signature"],
                }
            )
    return rows


def costs(run: RunFolder) -> list[dict[str, Any]]:
    """Seconds, energy and price by stage, of the whole run, and of 1,000 words of source in the evaluation."""
    stages = {**by_stage(run.folder)}
    if not stages:
        return []
    rows = [_row(stage, one.seconds, one.joules, one.price, one.currency, one.how) for stage, one in stages.items()]
    one = total(read(run.folder))
    rows.append(_row("the run", one.seconds, one.joules, one.price, one.currency, one.how))
    if (words := _words(run)) and "evaluate" in stages:
        seconds, count = words
        share, whole = seconds / count * 1000, stages["evaluate"]
        part = share / whole.seconds if whole.seconds else 0.0
        price = None if whole.price is None else whole.price * part
        how = f"{whole.how}; the evaluation's, by its share of the time"
        rows.append(_row("1,000 words", share, whole.joules * part, price, whole.currency, how))
    return rows


def _words(run: RunFolder) -> tuple[float, int] | None:
    """(seconds, words of source) of the last system's first decoding, over all sets."""
    seconds, words = 0.0, 0
    for entry in (run.scores or {}).get("sets", []):
        last = entry["results"][-1]["system"]
        line = next(one for one in entry["results"] if one["system"] == last)
        if line.get("seconds"):
            seconds += line["seconds"]
            words += sum(len(_WORD.findall(row["source"])) for row in run.outputs(line["file"]))
    return (seconds, words) if words else None


def _row(what: str, seconds: float, joules: float, price: float | None, currency: str, how: str) -> dict[str, Any]:
    return {
        "of": what,
        "seconds": round(seconds, 2),
        "Wh": round(joules / 3600, 4),
        "price": UNRECORDED if price is None else f"{price:.6f} {currency}".strip(),
        "how the energy is known": how or UNRECORDED,
    }

"""report.html: one page that holds everything about a run and asks nothing of the network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.scores.metrics import TITLES
from dragoman.core.scores.outputs import KINDS
from dragoman.core.text.languages import Direction, name, script
from dragoman.report import hybrid, phase_outputs, plots
from dragoman.report.differences import marked
from dragoman.report.folders import RunFolder
from dragoman.report.help import share
from dragoman.report.tables import figure, overlap_text
from dragoman.report.verdict import EXPLAINED, LEVEL, p_text, verdict
from dragoman.store.run.artifact import write_atomic
from dragoman.store.run.confidence import held_out
from dragoman.store.run.costs import by_stage

if TYPE_CHECKING:
    from jinja2 import Environment

_RIGHT_TO_LEFT = frozenset({"Arab", "Hebr", "Syrc", "Thaa", "Nkoo", "Adlm"})
_LONG = 600  # characters of a segment that the page shows
_SAMPLES = {
    "gained": "Gained most over the baseline",
    "lost": "Lost most against the baseline",
    "best": "Best",
    "worst": "Worst",
    "random": "Drawn at random",
}


def render(folder: Path) -> Path:
    """Write evaluate/report.html of a run from whatever its stages have left; returns its path.

    Raises CheckpointError when the folder holds no run, DataError naming a damaged file.
    """
    path = folder / "evaluate" / "report.html"
    write_atomic(path, page(RunFolder.read(folder)).encode())
    return path


def page(run: RunFolder) -> str:
    """The HTML text."""
    return html("page.html.jinja", **_context(run))


def html(template: str, **shown: Any) -> str:
    """A page of this package, its style inside."""
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return environment(html=True).get_template(template).render(style=style, **shown)


@cache
def environment(*, html: bool) -> Environment:
    """The templates of this package, compiled once. What is printed into HTML is escaped; a missing name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined

    jinja = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=html,
        undefined=StrictUndefined if html else Undefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters["number"] = _number
    jinja.filters["figure"] = figure
    jinja.filters["signed"] = _signed
    jinja.filters["trend"] = _trend
    jinja.filters["words"] = lambda text: str(text).replace("_", " ")
    return jinja


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}".replace(",", "\u202f")


def _signed(value: float, digits: int) -> str:
    """With its sign, and no minus before what is rounded to zero."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "\u2212")


def _trend(gain: Mapping[str, Any]) -> str:
    """The colour of a gain: none where the difference may be chance."""
    if gain["p_randomisation"] >= LEVEL:
        return "muted"
    return "up" if gain["gain"] > 0 else "down"


def _context(run: RunFolder) -> dict[str, Any]:
    scores = run.scores
    reasons = (run.prepare or {}).get("reasons", {})
    entries = run.facts("train").get("phases", [])
    return {
        "run": run,
        "prepare": run.prepare,
        "rejected_plot": plots.rejected(reasons) if reasons else "",
        "synthetic": (made := run.facts("synthesise")),
        "synthetic_plot": plots.rejected(made["reasons"]) if made.get("reasons") else "",
        "curves": plots.curves(run.phases),
        "mixtures": hybrid.mixtures(run.phases),
        "outputs": phase_outputs.outputs(run.phases),
        "figure_names": phase_outputs.NAMES,
        "score_names": phase_outputs.SCORES,
        "directions": hybrid.directions(run.phases),
        "phases": [entry for entry in entries if "operation" not in entry],
        "operations": [entry for entry in entries if "operation" in entry],
        "model": run.facts("model"),
        "plan": run.facts("plan"),
        "costs": by_stage(run.folder),
        "scores": scores,
        "score_plots": {m: plots.scores(scores["sets"], m, TITLES[m]) for m in scores["metrics"]} if scores else {},
        "verdicts": [said for e in scores["sets"] if (said := verdict(e, scores["metrics"]))] if scores else [],
        "explained": {m: EXPLAINED[m] for m in scores["metrics"] if m in EXPLAINED} if scores else {},
        "date": str((scores or {}).get("date", ""))[:10],
        "headlines": _headlines(scores) if scores else [],
        "samples": [_samples(run, entry) for entry in scores["sets"]] if scores else [],
        "flows": _flow(run.prepare) if run.prepare else [],
        "kinds": KINDS,
        "titles": TITLES,
        "confidence": (confidence := held_out(run.folder)),
        "confidence_plots": plots.calibration(confidence),
        "sample_titles": _SAMPLES,
        "language_name": name,
        "overlap_text": overlap_text,
        "p_text": p_text,
        "level": LEVEL,
        "term_share": share,
        "versions": (scores or {}).get("versions") or _versions(run),
        "missing": [stage for stage in ("prepare", "model", "train", "evaluate") if not _present(run, stage)],
    }


def _present(run: RunFolder, stage: str) -> bool:
    found: Mapping[str, object] = {"prepare": run.prepare, "train": run.phases, "evaluate": run.scores}
    return bool(found.get(stage) or run.manifests.get(stage))


def _versions(run: RunFolder) -> dict[str, str]:
    return next((dict(manifest["versions"]) for manifest in reversed(list(run.manifests.values()))), {})


def _flow(prepare: Mapping[str, Any]) -> list[tuple[str, int, float]]:
    """(where rows went, how many, share of all) for the bar under the heading."""
    rows = prepare["rows"]
    total = max(1, int(rows["in"]))
    parts = [(name, int(rows[name])) for name in ("train", "dev", "test", "text", "rejected") if rows.get(name)]
    return [(name, count, 100 * count / total) for name, count in parts]


def _headlines(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One tile for each set and direction: the last system against the baseline by chrF, else the first metric."""
    metric = "chrf" if "chrf" in scores["metrics"] else scores["metrics"][0]
    tiles = []
    for entry in scores["sets"]:
        last = entry["results"][-1]["system"]
        line = next(line for line in entry["results"] if line["system"] == last)
        part = line.get("clean") or line
        base = next((other for other in entry["results"] if other["system"] == "baseline"), line)
        tiles.append(
            {
                "title": f"{entry['set']} {entry['direction']}",
                "metric": TITLES[metric],
                "value": part["scores"][metric]["value"],
                "before": (base.get("clean") or base)["scores"][metric]["value"],
                "gain": part["gains"].get(metric),
                "copied": base["kind"] == "copy",
            }
        )
    return tiles


def _samples(run: RunFolder, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The segments that scores.json names, with their texts in pieces to mark."""
    direction = Direction.parse(entry["direction"])
    chosen = entry["samples"]
    system = run.outputs(chosen["file"])
    baseline = run.outputs(chosen["baseline"]) if chosen["baseline"] else []
    copied = bool(chosen["baseline"]) and entry["results"][0]["kind"] == "copy"
    groups = []
    for kind, numbers in chosen["segments"].items():
        shown = [
            _sample(number, system[number], baseline[number] if baseline and not copied else None, direction)
            for number in numbers
            if number < len(system)
        ]
        if shown:
            groups.append((kind, shown))
    return {
        "title": f"{entry['set']} {entry['direction']}",
        "source": side(direction.source),
        "target": side(direction.target),
        "groups": groups,
    }


def side(language: str) -> dict[str, str]:
    return {"tag": language, "name": name(language), "dir": "rtl" if script(language) in _RIGHT_TO_LEFT else "ltr"}


def _sample(
    number: int, line: Mapping[str, Any], base: Mapping[str, Any] | None, direction: Direction
) -> dict[str, Any]:
    def shown(row: Mapping[str, Any]) -> dict[str, Any]:
        text = cut(row["hypothesis"])
        return {
            "runs": marked(text, cut(row["reference"]), direction.target),
            "chrf": row["chrf"],
            "flags": [flag.replace("_", "-") for flag in row["flags"]],
        }

    return {
        "number": number + 1,
        "source": cut(line["source"]),
        "reference": cut(line["reference"]),
        "system": shown(line),
        "baseline": shown(base) if base is not None else None,
    }


def cut(text: str) -> str:
    return text if len(text) <= _LONG else text[:_LONG].rstrip() + " …"

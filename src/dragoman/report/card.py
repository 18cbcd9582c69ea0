"""The model card: README.md in the hub's format. Every number in it comes from the run's files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.core.prompt.prompts import Format, render, spelt
from dragoman.core.scores.metrics import TITLES
from dragoman.core.text.languages import Direction, name
from dragoman.errors import DragomanError
from dragoman.report.folders import RunFolder
from dragoman.report.tables import overlap_text
from dragoman.report.verdict import EXPLAINED, p_text, verdict
from dragoman.store.run.artifact import model_folder, write_atomic

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")  # no `../folder`


def write_card(folder: Path) -> Path:
    """Write evaluate/README.md of an evaluated run; returns its path."""
    path = folder / "evaluate" / "README.md"
    write_atomic(path, card(RunFolder.read(folder)).encode())
    return path


def card(run: RunFolder) -> str:
    """The card's text: YAML header (https://huggingface.co/docs/hub/model-cards) and body."""
    from dragoman.report.page import environment

    context = {
        "run": run,
        "name": run.name,
        "directions": _directions(run),
        "model": run.facts("model"),
        "base": _base(run),
        "train": run.facts("train"),
        "prepare": run.prepare,
        "scores": run.scores,
        "origins": _origins(run.prepare),
        "titles": TITLES,
        "language_name": name,
        "overlap_text": overlap_text,
        "p_text": p_text,
        "parts": _parts,
        "prompts": _prompts(run),
        "verdicts": [said for e in run.scores["sets"] if (said := verdict(e, run.scores["metrics"]))]
        if run.scores
        else [],
        "explained": [EXPLAINED[m] for m in run.scores["metrics"] if m in EXPLAINED] if run.scores else [],
        "date": str((run.scores or {}).get("date", ""))[:10],
    }
    body = environment(html=False).get_template("card.md.jinja").render(context)
    return f"---\n{header(run)}---\n\n{body}"


def header(run: RunFolder) -> str:
    """The YAML between the dashes."""
    from huggingface_hub import ModelCardData

    facts = run.facts("model")
    directions = _directions(run)
    languages = sorted({code for d in directions for code in (d.source, d.target)})
    base = str(facts.get("base") or "")
    from_hub = not facts.get("new") and bool(_HUB_ID.fullmatch(base)) and not _is_local(run, base)
    given: dict[str, Any] = {
        "language": languages,
        "license": _licence(facts.get("licence")),
        "library_name": "transformers",
        "pipeline_tag": "translation",
        "tags": ["translation", "dragoman"],
        "metrics": list((run.scores or {}).get("metrics", [])) or None,
        "datasets": _datasets(run) or None,
        "base_model": base if from_hub else None,
    }
    if from_hub:
        given["base_model_relation"] = "finetune"  # adapters are merged before the model is written
    results = _results(run)
    if results:
        given |= {"model_name": run.name, "eval_results": results}
    return str(ModelCardData(**given).to_yaml()) + "\n"


def _results(run: RunFolder) -> list[Any]:
    """The last system's first decoding on every set, for the hub's table."""
    from huggingface_hub import EvalResult

    found = []
    for entry in (run.scores or {}).get("sets", []):
        last = entry["results"][-1]["system"]
        line = next(line for line in entry["results"] if line["system"] == last)
        for metric, score in line["scores"].items():
            found.append(
                EvalResult(
                    task_type="translation",
                    task_name=f"Translation {entry['direction']}",
                    dataset_type="custom",
                    dataset_name=f"{entry['set']} {entry['direction']}",
                    dataset_config=entry["direction"],  # else the hub takes the sets of all directions for one
                    dataset_split=entry["set"],
                    metric_type=metric,
                    metric_name=score["name"],
                    metric_value=round(float(score["value"]), 2),
                    metric_args={"signature": score["signature"], "decoding": line["decoding"]},
                )
            )
    return found


def _parts(line: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The rows of a system in a table: all segments, and those that were not seen in training."""
    label = "baseline (copy of the source)" if line["kind"] == "copy" else str(line["system"])
    clean = [(f"{line['system']}, without the overlap", line["clean"])] if line.get("clean") else []
    return [(label, line), *clean]


def _directions(run: RunFolder) -> list[Direction]:
    """The directions that were evaluated, else those of the prepared pairs."""
    found = [entry["direction"] for entry in (run.scores or {}).get("sets", [])]
    found = found or [entry["direction"] for entry in (run.prepare or {}).get("directions", [])]
    return [Direction.parse(text) for text in dict.fromkeys(found)]


def _licence(licence: object) -> str:
    """An identifier that the hub knows the form of; `unknown` where the model states none."""
    text = str(licence or "").strip().lower()
    return text if re.fullmatch(r"[a-z0-9][a-z0-9.-]*", text) else "unknown"


def _base(run: RunFolder) -> str:
    facts = run.facts("model")
    if facts.get("new"):
        return ""
    base = str(facts.get("base") or "")
    return base if _HUB_ID.fullmatch(base) and not _is_local(run, base) else Path(base).name


def _is_local(run: RunFolder, base: str) -> bool:
    """A folder, as seen from here or from the recipe in the run's folder."""
    return Path(base).exists() or (run.folder / base).exists()


def _prompts(run: RunFolder) -> list[dict[str, str]]:
    """The prompt of each direction, word for word, where the run's model is there; {text} stands for the source."""
    try:
        folder = model_folder(run.folder)
        form = Format.from_json(json.loads((folder / "dragoman.json").read_text(encoding="utf-8"))["prompt"])
        own = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (DragomanError, OSError, ValueError, KeyError):
        return []
    found = []
    for direction in _directions(run):
        rendered = render(form, direction, "{text}")
        text = spelt(rendered, own.get("bos_token"), own.get("eos_token"))
        turns = "\n\n".join(turn.text for turn in rendered.turns)
        found.append({"direction": str(direction), "prompt": text or turns, "chat": "yes" if rendered.turns else ""})
    return found


def _datasets(run: RunFolder) -> list[str]:
    """Hub ids of the training sets; local files have none."""
    origins = [str(entry["origin"]) for entry in (run.prepare or {}).get("origins", [])]
    ids = [origin.removeprefix("hf:").split(":")[0].split("@")[0] for origin in origins if origin.startswith("hf:")]
    return list(dict.fromkeys(i for i in ids if _HUB_ID.fullmatch(i)))


def _origins(prepare: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The training files by name only: folders are nobody's business."""
    return [
        {"name": re.split(r"[/\\]", str(entry["origin"]).rstrip("/"))[-1], **{k: entry[k] for k in ("in", "kept")}}
        for entry in (prepare or {}).get("origins", [])
    ]

"""`dragoman demo`: everything on generated text, from files to a translation that a server gives."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.cli.session import Session, typed
from dragoman.cli.summary import scores_table

if TYPE_CHECKING:
    from dragoman.core.recipe import Recipe
    from dragoman.core.text.languages import Direction

_SHOWN = 4  # translations
_TRY = "Take two tablets every six hours."
_PATIENCE = 120.0  # seconds until the server is ready, on a machine that is busy
_PORT = 5000  # of `serve`, by default


def run_demo(folder: Path, here: Session) -> None:
    """Write the generated corpus and its recipes, run them, and tell what was gained where."""
    from dragoman import demo, pipeline
    from dragoman.core.recipe import Recipe

    here.listener.say(demo.NOTICE)
    files = demo.write(folder)
    runs = []
    for path in files.recipes:
        recipe = Recipe.load(path)
        here.listener.say(f"{recipe.name}: {path}")
        runs.append((recipe, path.parent, pipeline.run(recipe, path.parent, listener=here.listener)))
    (_, general, first), (tuned, clinic, _) = runs
    changes = _changes(clinic)
    shown = _translations(folder, general, clinic, tuned)
    answer = served(clinic, _TRY, tuned.pairs[0], here)
    lines = [
        "",
        demo.NOTICE,
        "",
        "1. A translator from scratch, on general text:",
        scores_table(first["evaluate"].facts["scores"]),
        "",
        "2. The same, tuned on the translation memory of a clinic: what is gained there, and what it costs elsewhere:",
        _table(changes),
        "",
        "3. Sentences of the clinic that neither of them has seen:",
        *(line for entry in shown for line in (*(f"{name:>10}  {text}" for name, text in entry.items()), "")),
        f"reports: {general / 'evaluate' / 'report.html'}",
        f"         {clinic / 'evaluate' / 'report.html'}",
        f"try:     {shlex.join([*typed(), 'translate', str(clinic), _TRY, '--to', 'fr'])}",
        "",
        "4. The clinic's model, served:",
        *_told(answer, clinic),
    ]
    scores = {path.name: done["evaluate"].facts["scores"] for _, path, done in runs}
    here.result("\n".join(lines), event="demo", scores=scores, changes=changes, translations=shown, served=answer)


def _changes(run: Path) -> list[dict[str, Any]]:
    """Before and after the tuning, by set, direction and metric, with the gain's interval and its paired test."""
    from dragoman.report.folders import RunFolder

    found = []
    for entry in (RunFolder.read(run).scores or {})["sets"]:
        if entry["set"] == "dev":  # a mixture of both texts, which chose the checkpoint
            continue
        before, after = entry["results"][0], entry["results"][-1]
        for metric, gain in after["gains"].items():
            found.append(
                {
                    "set": entry["set"],
                    "direction": entry["direction"],
                    "metric": metric,
                    "before": before["scores"][metric]["value"],
                    "after": after["scores"][metric]["value"],
                    "gain": gain["gain"],
                    "low": gain["interval"]["low"],
                    "high": gain["interval"]["high"],
                    "p": gain["p_randomisation"],
                }
            )
    return found


def _table(changes: Sequence[Mapping[str, Any]]) -> str:
    from dragoman.report import TITLES
    from dragoman.report.tables import grid
    from dragoman.report.verdict import p_text

    rows = [["text", "", "metric", "before", "after", "gain", "interval", "paired test"]]
    for change in changes:
        if change["metric"] == "ter":
            continue
        values = [f"{change['before']:.1f}", f"{change['after']:.1f}", f"{change['gain']:+.1f}"]
        interval = f"{change['low']:+.1f} to {change['high']:+.1f}"
        text = "clinic" if change["set"] == "test" else "general"
        rows.append([text, change["direction"], TITLES[change["metric"]], *values, interval, p_text(change["p"])])
    return grid(rows, left=3)


def _translations(folder: Path, general: Path, clinic: Path, recipe: Recipe) -> list[dict[str, str]]:
    """Unseen sentences before and after the tuning; `doubts` says why one should be looked at, and is empty else."""
    from dragoman import demo
    from dragoman.assistant import Assistant

    direction = recipe.pairs[0]
    sentences = demo.show_sentences(folder, [direction], _SHOWN, "clinic")
    entries = [{"source": sentence.source, "reference": sentence.reference} for sentence in sentences]
    for name, run in (("before", general), ("after", clinic)):
        with Assistant.load(run, memory=False) as assistant:
            found = assistant.translate([sentence.source for sentence in sentences], direction)
        for entry, answer in zip(entries, found, strict=True):
            sure = "" if answer.confidence is None else f"confidence {answer.confidence:.0f} of 100"
            look = f"look at it: {', '.join(answer.doubts)}" if answer.doubts else ""
            told = ", ".join(filter(None, (look, sure)))
            entry[name] = f"{answer.text}   ({told})" if told and (look or name == "after") else answer.text
    return entries


# ---------------------------------------------------------------- served


def served(run: Path, text: str, direction: Direction, here: Session) -> dict[str, Any] | None:
    """One translation of a run by `dragoman serve`, in a process of its own that is then told to end.

    What it answers, with the text as `source`; None, and a warning, where there is none: a demo does not end
    for want of a port.
    """
    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "multipart", "prometheus_client")):
        here.listener.warn("serving needs more packages: pip install 'dragoman[serve]'")
        return None
    here.listener.say(f"serving {run} for one request")
    command = [sys.executable, "-m", "dragoman", "serve", str(run), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            first = server.stdout.readline() if server.stdout is not None else ""
            answer = _asked(str(json.loads(first)["url"]), text, direction)
        except (ValueError, KeyError, OSError) as error:
            here.listener.warn(f"the server gave no answer ({error}); see what it says: {_command(run)}")
            answer = None
        finally:
            server.send_signal(signal.SIGTERM)
    return answer


def _asked(url: str, text: str, direction: Direction) -> dict[str, Any]:
    """What the server answers once its model is ready. Raises OSError."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is this machine
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            opener.open(f"{url}/health/ready", timeout=5).close()
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
    body = json.dumps({"text": text, "source": direction.source, "target": direction.target}).encode()
    request = urllib.request.Request(f"{url}/api/translate", body, {"Content-Type": "application/json"})
    with opener.open(request, timeout=_PATIENCE) as reply:
        found: dict[str, Any] = json.loads(reply.read())
    return {"source": text, "model": found["model"], **found["translations"]}


def _command(run: Path) -> str:
    return shlex.join([*typed(), "serve", str(run)])


def _told(answer: Mapping[str, Any] | None, run: Path) -> list[str]:
    if answer is None:
        return [f"{'serve':>10}  {_command(run)}"]
    confidence = answer.get("confidence")
    sure = "" if confidence is None else f"   (confidence {confidence:.0f} of 100)"
    return [
        f"{'asked':>10}  {answer['source']}",
        f"{'answered':>10}  {answer['text']}{sure}",
        f"{'go on':>10}  {_command(run)}",
        f"{'page':>10}  http://localhost:{_PORT}   (while it is served)",
    ]

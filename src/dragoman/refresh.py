"""The circle closes: from what a run met and what people corrected to a challenger, and its trial against the champion.

A challenger is a run of its own in `RUN/refreshes/0001/`: recipe, texts and all. It goes on from the champion's model, on the
accepted post-edits and a sample of the old training rows (replay: against forgetting), and is evaluated on the frozen test set
of the first run and on the newest post-edits that were kept for testing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dragoman import pipeline
from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import Monitor, Phase, Recipe
from dragoman.core.recipe import Refresh as Rules
from dragoman.core.recipe.text import dump
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.core.watch import gates
from dragoman.core.watch.refresh import Decision, State, decide
from dragoman.errors import CheckpointError, DataError
from dragoman.store.corpus import records
from dragoman.store.feedback import ACCEPTED, TEST, TRAIN, Feedback, Kept
from dragoman.store.ledger import Ledger
from dragoman.store.run import audit, promotion, registry
from dragoman.store.run.aliases import Target
from dragoman.store.run.artifact import ABOUT, read_rows, write_atomic, write_json
from dragoman.store.run.feedback import Desk
from dragoman.store.run.observer import ledger_of, settings_of
from dragoman.store.run.run_state import locked
from dragoman.store.run.watch import watch

_NEWEST = 1_000  # post-edits of the test part that a challenger is tried on
_RATE = 0.5  # of the last phase's learning rate


@dataclass(frozen=True, slots=True)
class Planned:
    """What a refresh would do: from which champion, on which post-edits, with how many old rows."""

    decision: Decision
    champion: Target
    fresh: int
    edits: int
    tests: int
    replay: int

    def to_json(self) -> dict[str, Any]:
        return {
            **self.decision.to_json(),
            "champion": self.champion.name,
            "fresh": self.fresh,
            "edits": self.edits,
            "tests": self.tests,
            "replay": self.replay,
        }


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A challenger, and whether it may be promoted."""

    folder: Path
    verdict: gates.Verdict
    promoted: bool


def plan(run: Path, now: float | None = None) -> Planned:
    """Whether it is time, and what would be done. Nothing is written. Raises DataError for a folder that holds no run."""
    now = time.time() if now is None else now
    settings = _settings(run)
    champion = promotion.champion(run)
    with Ledger.open(ledger_of(run, settings)) as ledger:
        rows = Feedback(ledger.engine).rows(kind="edit", status=ACCEPTED)
    train = [one for one in rows if one.part == TRAIN]
    tests = [one for one in rows if one.part == TEST]
    finished = [one for one in promotion.refreshes(run) if (one / promotion.GATE).is_file()]
    told = promotion.about(finished[-1]) if finished else None
    fresh = sum(one.id > told["edits"] for one in train) if told else len(train)
    release = (
        (run / "recipe.lock.yaml" if (run / "recipe.lock.yaml").is_file() else run / "recipe.yaml").stat().st_mtime
    )
    drifted, loss, hter = _watched(champion.folder, run, settings, now)
    last = float(told["at"]) if told else release
    state = State(now, last, told is not None, fresh, drifted, loss, hter)
    replay = round(settings.refresh.replay * len(train))
    return Planned(decide(settings.refresh, state), champion, fresh, len(train), len(tests), replay)


def refresh(
    run: Path, *, anyway: bool = False, now: float | None = None, listener: Listener = SILENT
) -> Refreshed | None:
    """Make a challenger and try it, if it is time (`anyway`: in any case, where there is something to train on); None if not.

    A refresh that was stopped goes on where it was. Raises CheckpointError where another refresh of this run is at work.
    """
    now = time.time() if now is None else now
    (run / promotion.FOLDER).mkdir(exist_ok=True)
    with locked(run / promotion.FOLDER):
        begun = [one for one in promotion.refreshes(run) if not (one / promotion.GATE).is_file()]
        folder = begun[-1] if begun else None
        if folder is None:
            planned = plan(run, now)
            if not planned.edits or (not planned.decision.due and not anyway):
                return None
            folder = _begin(run, planned, now, listener)
        else:
            listener.say(f"refresh: going on with {folder.name}, which was stopped")
        return _finish(run, folder, listener)


def _finish(run: Path, folder: Path, listener: Listener) -> Refreshed:
    settings = _settings(run)
    told = promotion.about(folder)
    done = pipeline.run(Recipe.load(folder / "recipe.yaml"), folder, listener=listener)
    champion = promotion.champion(run)
    if champion.checksum != told["champion"]:
        raise CheckpointError(
            f"{folder}: goes on from a model that is no longer the champion. Delete this folder and refresh again."
        )
    found = outputs(done["evaluate"].folder)
    rules = settings.refresh
    verdict = gates.judge(found, forgetting=rules.forgetting, level=rules.level)
    target = promotion.challenge(run, folder)
    gate = {"challenger": target.checksum, "champion": champion.checksum, **verdict.to_json()}
    write_json(folder / promotion.GATE, gate)
    audit.add(run, "judged", name=target.name, passed=verdict.passed, sets=[one.to_json() for one in verdict.sets])
    if verdict.passed and rules.promote:
        promotion.promote(run)
        registry.after(run)  # what it does not take stands in the audit log
    return Refreshed(folder, verdict, verdict.passed and rules.promote)


def outputs(evaluated: Path) -> list[gates.Outputs]:
    """What champion (the base of the run) and challenger made of every set, from an evaluation's files."""
    scores = json.loads((evaluated / "scores.json").read_text(encoding="utf-8"))
    found = []
    for entry in scores["sets"]:
        kind = gates.NEWEST if entry["set"].startswith(gates.NEWEST) else entry["set"]
        if kind not in (gates.FROZEN, gates.NEWEST):
            continue
        new = entry["results"][-1]
        old = next(
            (one for one in entry["results"] if one["system"] == "baseline" and one["decoding"] == new["decoding"]),
            None,
        )
        if old is None:
            raise CheckpointError(
                f"{evaluated}: has no translations of the champion for {entry['set']}. Refresh again."
            )
        before, after = (read_rows(evaluated / one["file"]) for one in (old, new))
        found.append(
            gates.Outputs(
                kind,
                entry["direction"],
                Direction.parse(entry["direction"]).target,
                [row["source"] for row in after],
                [row["reference"] for row in after],
                [row["hypothesis"] for row in before],
                [row["hypothesis"] for row in after],
                [str(row.get("domain", "")) for row in after],
            )
        )
    return found


def _settings(run: Path) -> Monitor:
    if not any((run / name).is_file() for name in ("recipe.lock.yaml", "recipe.yaml")):
        raise DataError(f"{run}: is no run: it has no recipe.")
    return settings_of(run) or Monitor()


def _watched(
    champion: Path, run: Path, settings: Monitor, now: float
) -> tuple[tuple[str, ...], float | None, float | None]:
    """(tests that drifted, loss, HTER) of the champion in use; nothing where it was not watched."""
    drifted: list[str] = []
    losses, hters = [], []
    try:
        seen = watch(champion, now=now).directions
    except (CheckpointError, DataError):  # no baseline or no ledger yet
        seen = []
    for one in seen:
        drifted += [f"{test.name} ({one.direction})" for test in one.drifted]
        if one.estimate is not None:
            losses.append(one.estimate.normal - one.estimate.high)
    with Ledger.open(ledger_of(run, settings)) as ledger:
        store = Feedback(ledger.engine)
        for direction in _recipe(run).pairs:
            said = store.summary(direction, now - settings.window.days * 86_400)
            hters += [said.hter] if said is not None and said.hter is not None else []
    return tuple(drifted), max(losses, default=None), max(hters, default=None)


# ---------------------------------------------------------------- the challenger's run


def _recipe(run: Path) -> Recipe:
    locked_ = run / "recipe.lock.yaml"
    return Recipe.load(locked_ if locked_.is_file() else run / "recipe.yaml")


def _begin(run: Path, planned: Planned, now: float, listener: Listener) -> Path:
    """Write the folder of the next challenger: its texts, its recipe, and last of all what it is."""
    settings, own = _settings(run), _recipe(run)
    before = promotion.refreshes(run)
    folder = run / promotion.FOLDER / f"{int(before[-1].name) + 1 if before else 1:04}"
    data = folder / "data"
    with Desk.open(run) as desk:
        desk.gather()
        rows = desk.store.rows(kind="edit", status=ACCEPTED)
        counts = desk.store.write(folder / "feedback")
    sources = _texts(run, data, rows, planned.replay, own)
    tests = [one for one in sources if Path(one["path"]).name.startswith("feedback.")]
    recipe = {
        "name": f"{own.name}-{folder.name}",
        "pairs": [str(pair) for pair in own.pairs],
        "seed": own.seed,
        "prepare": {
            "parallel": [one for one in sources if one not in tests],
            "holdout": {"dev": 0, "test": 0},
            **_kept(own),
        },
        "model": {"base": str(planned.champion.folder)},
        "plan": own.plan.model_dump(mode="json", exclude_unset=True),
        "train": [phase.model_dump(mode="json", exclude_unset=True) for phase in _phases(settings.refresh, own)],
        "evaluate": {"sets": ["dev", "test"], "files": [{key: one[key] for key in ("path", "pair")} for one in tests]},
        "monitor": settings.model_dump(mode="json", exclude_unset=True, exclude={"ledger"}),
    }
    write_atomic(folder / "recipe.yaml", dump(recipe).encode())
    Recipe.load(folder / "recipe.yaml")  # what is wrong in it is told now
    last = max((one.id for one in rows if one.part == TRAIN), default=0)
    told = {
        "at": now,
        "champion": planned.champion.checksum,
        "edits": last,
        "why": list(planned.decision.why),
        "rows": counts,
    }
    write_json(folder / ABOUT, told)
    audit.add(run, "refresh", number=int(folder.name), **planned.to_json())
    listener.say(
        f"refresh: {counts['train']:,} post-edits, {counts['pairs']:,} pairs and {planned.replay:,} old rows; "
        f"{counts['test']:,} kept for testing"
    )
    return folder


def _kept(own: Recipe) -> dict[str, Any]:
    """What the first run's texts were cleaned with."""
    if own.prepare is None:
        return {}
    wanted = own.prepare.model_dump(mode="json", exclude_unset=True)
    return {name: wanted[name] for name in ("normalise", "checks", "deduplicate") if name in wanted}


def _phases(rules: Rules, own: Recipe) -> Sequence[Phase]:
    """Those that the recipe names, else its last `sft` once more: shorter, more gently, and to its end, for the old dev
    texts know nothing of what was corrected: by them the checkpoint would be best that learned least."""
    if rules.train:
        return rules.train
    last = next((phase for phase in reversed(own.train) if phase.sft is not None), Phase.model_validate({"sft": {}}))
    assert last.sft is not None  # noqa: S101 # that is how it was chosen
    sft = last.sft.model_dump(mode="json", exclude_unset=True)
    own_files = ("synthetic", "memory", "glossary")  # they lie where the first recipe says, and were learned
    for key in (*own_files, "tokens", "patience", "evaluate_every", "checkpoint_every", "compile"):
        sft.pop(key, None)
    sft |= {"epochs": rules.epochs, "select": "last"}
    if isinstance(last.sft.learning_rate, float):
        sft["learning_rate"] = last.sft.learning_rate * _RATE
    phase = last.model_dump(mode="json", exclude_unset=True)
    return [Phase.model_validate({**{key: phase[key] for key in ("adapt", "average") if key in phase}, "sft": sft})]


def _texts(run: Path, data: Path, rows: Sequence[Kept], replay: int, own: Recipe) -> list[dict[str, Any]]:
    """Files by direction: post-edits, old rows, dev and test; as sources of a recipe."""
    edits = {name: [one.edit.example() for one in rows if one.part == name] for name in (TRAIN, TEST)}
    parts: list[tuple[str, Iterable[Example], str]] = [
        ("edits", edits[TRAIN], "train"),
        ("replay", _sampled(run / "prepare" / "train", replay, own.seed), "train"),
        ("dev", _read(run / "prepare" / "dev"), "dev"),
        ("test", _read(run / "prepare" / "test"), "test"),
        (gates.NEWEST, edits[TEST][-_NEWEST:], "test"),
    ]
    found = []
    for name, examples, use in parts:
        ways: dict[Direction, list[Example]] = {}
        for one in examples:
            ways.setdefault(one.direction, []).append(one)
        for way, held in ways.items():
            path = data / f"{name}.{way}.jsonl"
            lines = (
                {"source": one.source, "target": one.target, "domain": one.domain or name, "document": one.document}
                for one in held
            )
            write_atomic(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
            columns = {"domain": "domain", "document": "document"}
            found.append({"path": f"data/{path.name}", "pair": str(way), "use": use, "columns": columns})
    return found


def _read(folder: Path) -> Iterable[Example]:
    return records.read(folder, Example) if records.there_are(folder) else ()


def _sampled(folder: Path, count: int, seed: int) -> list[Example]:
    """`count` old rows, drawn at random, in their order."""
    if not count or not records.there_are(folder):
        return []
    total = records.count(folder)
    chosen = set(np.random.default_rng([seed, 53]).choice(total, min(count, total), replace=False).tolist())
    return [row for number, row in enumerate(islice(records.read(folder, Example), total)) if number in chosen]

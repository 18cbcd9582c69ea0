"""synthesise: parallel text from teachers, verified, with every row accounted for (docs/synthesise.md).

All answers are on disk before they are used, so everything after them can be done again: a run that was stopped asks only
for what is missing, and another threshold costs nothing but time.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.core.corpus.splits import mix
from dragoman.core.corpus.synthesis import Draft, Request, Step, Synthetic, apply, distinct, places, steps, way_back
from dragoman.core.listen import Listener
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.synthesise import Make, Paraphrase, Source, Synthesise
from dragoman.core.records import Example, Rejected, Text
from dragoman.core.text.languages import Direction, same_language
from dragoman.errors import DataError, RecipeError
from dragoman.store.corpus import records
from dragoman.store.corpus.duplicates import hash_texts
from dragoman.store.corpus.synthetic import Verifier, returned
from dragoman.store.corpus.write_splits import RejectedFile
from dragoman.store.run.artifact import Artifact, write_json
from dragoman.teachers import Teacher, open_teacher
from dragoman.teachers.answers import Answers

ROWS = "rows"  # the folder of the shards
ANSWERS = "answers.sqlite"
_PIECE = 10_000  # texts hashed at once
_EXAMPLES = 1000  # real sentences that source-side generation draws from
_MEASURED = 20_000  # rows that diversity is measured on
_SHOWN = 5  # rows in the facts: of each reason, and of each task
_COLUMNS = ("pair", "source", "target", "mode", "made", "teacher", "origin", "line", "prompt", "seed",
            "log_probability", "round_trip")  # fmt: skip


@dataclass
class _Work:
    """One entry of `make` on its way."""

    make: Make
    direction: Direction
    drafts: list[Draft] = field(default_factory=list)
    asked: int = 0  # rows that went in


def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
    """Ask the teachers and write what is good enough.

    Raises RecipeError for texts that are not there, DataError when no row is good enough, and what the teachers raise.
    """
    settings = recipe.synthesise
    if settings is None:
        raise RecipeError("the recipe has no section `synthesise`")
    prepared = inputs["prepare"].folder if "prepare" in inputs else None
    texts = _Texts(recipe, prepared)
    work = [_Work(make, _direction(recipe, number, make)) for number, make in enumerate(settings.make)]
    path = Path(recipe.resolve(settings.answers)) if settings.answers else out.parent / ANSWERS
    with Answers(path) as answers:
        names = dict.fromkeys(name for make in settings.make for name in make.teachers.values())
        teachers = {name: open_teacher(name, settings.teachers[name], recipe, answers, listener) for name in names}
        for one in work:
            _start(one, texts, recipe.seed)
            examples = texts.examples(one.direction.source) if isinstance(one.make.task, Source) else []
            for step in steps(one.make, examples):
                one.drafts = _ask(one, step, teachers[step.teacher], listener)
        _verify(work, recipe, settings, prepared, teachers, listener)
        facts = _facts(recipe, settings, work, {name: answers.spent(name) for name in names}, texts)
    _write(work, out)
    write_json(out / "report.json", facts)
    _tell(facts, out, listener)
    return Artifact.finish(out, "synthesise", key, facts)


def _direction(recipe: Recipe, number: int, make: Make) -> Direction:
    if (pair := make.task.pair) is not None:
        return pair
    if len(recipe.pairs) == 1:
        return recipe.pairs[0]
    raise RecipeError(
        f"synthesise.make.{number}.{make.mode}: say for which direction, with `pair:`; the recipe has "
        f"{', '.join(map(str, recipe.pairs))}."
    )


# ---------------------------------------------------------------- what the drafts start from


class _Texts:
    """The real texts that `prepare` has left."""

    def __init__(self, recipe: Recipe, prepared: Path | None) -> None:
        self._recipe, self._folder = recipe, prepared

    def monolingual(self, language: str, mode: str) -> Iterator[Text]:
        """Raises RecipeError when the recipe names no text in the language."""
        folders = sorted((self._folder / "text").glob("*")) if self._folder else []
        found = [folder for folder in folders if same_language(folder.name, language)]
        if not found:
            raise RecipeError(
                f"synthesise: `{mode}` needs monolingual text in {language}: name a file under "
                f"`prepare.monolingual.{language}`."
            )
        for folder in found:
            yield from records.read(folder, Text)

    def pairs(self, direction: Direction) -> Iterator[Example]:
        """Training pairs in a direction, turned round where they stand the other way."""
        folder = self._folder / "train" if self._folder else None
        if folder is None or not records.there_are(folder):
            return
        for row in records.read(folder, Example):
            for turned in (row, row.reversed):
                if same_language(turned.source_language, direction.source) and same_language(
                    turned.target_language, direction.target
                ):
                    yield turned
                    break

    def side(self, language: str) -> Iterator[str]:
        """Real training text in a language, the nearer to what is wanted the better: pairs first."""
        others = dict.fromkeys(
            d.source if same_language(d.target, language) else d.target
            for d in self._recipe.pairs
            if same_language(language, d.source) or same_language(language, d.target)
        )
        for other in others:
            yield from (pair.source for pair in self.pairs(Direction(language, other)))

    def examples(self, language: str) -> list[str]:
        """Sentences to show to a teacher, in an order drawn by the seed."""
        found = list(dict.fromkeys(self.side(language)))
        order = np.argsort(mix(hash_texts(found), self._recipe.seed), kind="stable")[:_EXAMPLES]
        return [found[place] for place in order.tolist()]


def _start(work: _Work, texts: _Texts, seed: int) -> None:
    """The drafts before the first step: as many as the task has rows, drawn by the seed."""
    make, task, direction = work.make, work.make.task, work.direction
    if isinstance(task, Source):
        work.drafts = places(task, direction, seed)
    elif isinstance(task, Paraphrase):
        pairs = list(texts.pairs(direction))
        if not pairs:
            raise RecipeError(f"synthesise: `paraphrase` needs training pairs of {direction} (`prepare.parallel`).")
        chosen = _drawn([f"{pair.source}\t{pair.target}" for pair in pairs], task.rows, seed)
        work.drafts = [
            Draft(make.mode, direction, task.side, task.teacher, p.source, p.target, p.origin, p.line, p.domain,
                  p.document, seed)
            for p in (pairs[place] for place in chosen)
        ]  # fmt: skip
    else:
        back = make.mode == "back"
        rows = list(texts.monolingual(direction.target if back else direction.source, make.mode))
        for place in _drawn([row.text for row in rows], task.rows, seed):
            row = rows[place]
            source, target = ("", row.text) if back else (row.text, "")
            work.drafts.append(
                Draft(make.mode, direction, "source" if back else "target", task.teacher, source, target, row.origin,
                      row.line, row.domain, row.document, seed)
            )  # fmt: skip
    work.asked = sum(draft.wanted for draft in work.drafts)


def _drawn(texts: Sequence[str], count: int | None, seed: int) -> list[int]:
    """Numbers of `count` of the texts in their order, drawn by their hashes: other texts beside them change little."""
    if count is None or count >= len(texts):
        return list(range(len(texts)))
    parts = [hash_texts(texts[start : start + _PIECE]) for start in range(0, len(texts), _PIECE)]
    order = np.argsort(mix(np.concatenate(parts), seed), kind="stable")[:count]
    drawn: list[int] = np.sort(order).tolist()
    return drawn


# ---------------------------------------------------------------- asking


def _ask(work: _Work, step: Step, teacher: Teacher, listener: Listener) -> list[Draft]:
    """The drafts after a step. Answers that give more rows than were asked for count as rows that went in."""
    asked: dict[int, Request] = {}
    for number, draft in enumerate(work.drafts):
        if not draft.reason and (request := step.ask(draft)) is not None:
            asked[number] = request
    task = f"synthesise: {work.make.mode} {work.direction}, {step.name}"

    def told(done: int) -> None:
        listener.progress(task, done, len(asked))

    replies = dict(zip(asked, teacher.ask(list(asked.values()), told), strict=True)) if asked else {}
    after: list[Draft] = []
    for number, draft in enumerate(work.drafts):
        rows = apply(step, draft, replies[number]) if number in replies else [draft]
        work.asked += sum(row.wanted for row in rows) - draft.wanted
        after += rows
    return after


def _verify(
    work: Sequence[_Work],
    recipe: Recipe,
    settings: Synthesise,
    prepared: Path | None,
    teachers: Mapping[str, Teacher],
    listener: Listener,
) -> None:
    """Verifier all rows together, for they must differ among themselves; the way back is asked for last, of what is left."""
    every = [draft for one in work for draft in one.drafts]
    listener.say(f"synthesise: {sum(not d.reason for d in every):,} rows made; verifying them")
    judged = iter(Verifier(recipe, settings.verify, prepared, listener).judge(every))
    for one in work:
        one.drafts = [next(judged) for _ in one.drafts]
        if (reverse := one.make.task.reverse) is None:
            continue
        back = _ask(one, way_back(reverse), teachers[reverse], listener)
        alive = [number for number, draft in enumerate(back) if not draft.reason]
        for number, draft in zip(alive, returned([back[n] for n in alive], settings.verify), strict=True):
            back[number] = draft
        one.drafts = back


# ---------------------------------------------------------------- what comes out


def _write(work: Sequence[_Work], out: Path) -> None:
    """Shards for the machine, and two tables for people: rows.tsv and rejected.tsv."""
    table = (out / "rows.tsv").open("w", encoding="utf-8", newline="")
    with records.Writer(out / ROWS, Synthetic) as writer, table, RejectedFile(out / "rejected.tsv") as rejected:
        lines = csv.writer(table, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        lines.writerow(_COLUMNS)
        for draft in (draft for one in work for draft in one.drafts):
            if draft.reason:
                for _ in range(draft.wanted):
                    rejected.write(_rejected(draft))
                continue
            row = Synthetic.of(draft)
            writer.write(row)
            values = (draft.direction if name == "pair" else getattr(row, name) for name in _COLUMNS)
            lines.writerow("" if value is None else str(value).translate(_BREAKS) for value in values)


_BREAKS = str.maketrans({"\t": " ", "\n": " ", "\r": " "})


def _rejected(draft: Draft) -> Rejected:
    origin = f"{draft.mode} {draft.teacher}: {draft.origin}"
    return Rejected(draft.reason, draft.detail, origin, draft.line, draft.source, draft.target)


def _facts(
    recipe: Recipe, settings: Synthesise, work: Sequence[_Work], spent: Mapping[str, Any], texts: _Texts
) -> dict[str, Any]:
    """The stage's facts; their keys are described in docs/synthesise.md. Fails when a row is unaccounted for."""
    tasks = [_task_facts(one, texts) for one in work]
    reasons: Counter[str] = Counter()
    examples: dict[str, list[dict[str, Any]]] = {}
    for draft in (draft for one in work for draft in one.drafts if draft.reason):
        reasons[draft.reason] += draft.wanted
        shown = examples.setdefault(draft.reason, [])
        if len(shown) < _SHOWN:
            shown.append(_shown(draft))
    rows = {
        "in": sum(one.asked for one in work),
        "accepted": sum(task["accepted"] for task in tasks),
        "rejected": reasons.total(),
    }
    if rows["in"] != rows["accepted"] + rows["rejected"]:
        raise RuntimeError(f"rows are unaccounted for: {rows}")
    return {
        "seed": recipe.seed,
        "rows": rows,
        "reasons": dict(reasons.most_common()),
        "tasks": tasks,
        "teachers": {
            name: {"calls": cost.calls, "tokens": cost.tokens, "money": round(cost.money, 6)}
            for name, cost in spent.items()
        },
        "verify": settings.verify.model_dump(mode="json"),
        "examples": {reason: examples[reason] for reason, _ in reasons.most_common()},
    }


def _task_facts(work: _Work, texts: _Texts) -> dict[str, Any]:
    kept = [draft for draft in work.drafts if not draft.reason]
    reasons: Counter[str] = Counter()
    for draft in work.drafts:
        if draft.reason:
            reasons[draft.reason] += draft.wanted
    side = "source" if work.make.mode == "source" else kept[0].made if kept else "target"
    language = work.direction.source if side == "source" else work.direction.target
    made = [getattr(draft, side) for draft in kept[:_MEASURED]]
    real = [text for text, _ in zip(texts.side(language), made, strict=False)]
    return {
        "mode": work.make.mode,
        "direction": str(work.direction),
        "teachers": work.make.teachers,
        "in": work.asked,
        "accepted": len(kept),
        "reasons": dict(reasons.most_common()),
        "diversity": {
            "language": language,
            "rows": len(made),
            "distinct": distinct(made, language),
            "real_rows": len(real),
            "real_distinct": distinct(real, language),
        },
        "without_log_probability": sum(draft.log_probability is None for draft in kept),
        "round_trip": _mean(draft.round_trip for draft in kept),
        "log_probability": _mean(draft.log_probability for draft in kept),
        "samples": [_shown(draft) for draft in kept[:_SHOWN]],
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known else None


def _shown(draft: Draft) -> dict[str, Any]:
    return {
        "origin": draft.origin,
        "line": draft.line,
        "detail": draft.detail[:300],
        "source": draft.source[:300],
        "target": draft.target[:300],
        "teacher": draft.teacher,
    }


def _tell(facts: Mapping[str, Any], out: Path, listener: Listener) -> None:
    """Say what came out; raise DataError when nothing did."""
    rows = facts["rows"]
    table = "\n".join(f"  {count:>10,}  {reason}" for reason, count in facts["reasons"].items())
    if not rows["accepted"]:
        raise DataError(
            f"no synthetic row is good enough. Of {rows['in']:,} rows these were rejected:\n{table}\n"
            f"{out / 'rejected.tsv'} lists each of them; synthesise.verify and prepare.checks have the thresholds."
        )
    for task in facts["tasks"]:
        share = task["accepted"] / max(1, task["in"])
        listener.say(
            f"synthesise: {task['mode']} {task['direction']}: {task['accepted']:,} of {task['in']:,} rows accepted "
            f"({share:.1%})"
        )
        if facts["verify"]["log_probability"] is not None and task["without_log_probability"]:
            listener.warn(
                f"synthesise: {task['without_log_probability']:,} of these rows were not judged by `log_probability`, for"
                " their teacher tells none."
            )
    for line in table.split("\n") if table else ():
        listener.say(line)
    for name, cost in facts["teachers"].items():
        if cost["calls"]:
            money = f", {cost['money']:,.4f} in money" if cost["money"] else ""
            listener.say(
                f"synthesise: teacher {name}: {cost['calls']:,} calls, {cost['tokens']:,} tokens{money} in all"
            )
    if "budget" in facts["reasons"]:
        listener.warn(
            f"synthesise: {facts['reasons']['budget']:,} rows were not made, for a budget is spent. With a larger one the "
            "same command goes on from here."
        )

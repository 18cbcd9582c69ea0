"""prepare: files -> cleaned, de-duplicated, leak-free splits, with every row accounted for (docs/prepare.md).

Two passes over the rows. The first reads, normalises and checks, in all cores, and lays the rows aside on disk; in
memory stay 64-bit keys and, on disk, MinHash signatures. Then duplicates, held-out sets, leaks and sampling factors are
decided on the keys alone. The second pass writes each row where it belongs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.core.corpus import balance
from dragoman.core.corpus.balance import Cell
from dragoman.core.corpus.census import Census
from dragoman.core.corpus.leaks import Within
from dragoman.core.corpus.splits import DEV, SPLITS, TEST, TRAIN
from dragoman.core.listen import Listener
from dragoman.core.recipe import Prepare, Recipe
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError, RecipeError
from dragoman.store.corpus import records
from dragoman.store.corpus.clean import interim_path, read_interim
from dragoman.store.corpus.first_pass import Intake, take_in
from dragoman.store.corpus.learned_checks import doubt
from dragoman.store.corpus.selection import HOLDS_DEV, HOLDS_TEST, Rows, Selection, select, select_texts
from dragoman.store.corpus.write_splits import Outcome, RejectedFile, cells, write_pairs, write_texts
from dragoman.store.run.artifact import Artifact, file_digest, write_json

_FEW = 100  # held-out segments below which scores are too uncertain to tell systems apart
# reasons that say nothing of how a file was read
_EXPECTED = frozenset(
    {"duplicate", "near_duplicate", "untranslated", "fuzzy", "obsolete", "translate_no", "other_language"}
)
_JUDGED, _LARGE = 20, 0.3  # rows of a file, and the share of them rejected, from which the user is warned


def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
    """Prepare the texts that the recipe names.

    Raises DataError when nothing is left, with the reasons, and RecipeError for settings that exclude each other.
    """
    del inputs
    settings = recipe.prepare
    if settings is None:
        raise RecipeError("the recipe has no section `prepare`")
    _check(settings)
    interim = out / "interim"
    for name in (*SPLITS, "text", "interim"):
        shutil.rmtree(out / name, ignore_errors=True)
    interim.mkdir(parents=True)
    try:
        report = _prepare(recipe, settings, take_in(recipe, settings, interim, listener), out, listener)
    finally:
        shutil.rmtree(interim, ignore_errors=True)
    write_json(out / "report.json", report)
    contents = {name: file_digest(out / name) if (out / name).is_dir() else "" for name in (*SPLITS, "text")}
    return Artifact.finish(out, "prepare", key, {**report, "contents": contents})


def _check(settings: Prepare) -> None:
    if settings.holdout.folds and any(source.use == "test" for source in settings.parallel):
        raise RecipeError("prepare.holdout.folds: the fold is the test set, so no file can have `use: test` as well")
    shares = [part for part in (settings.holdout.dev, settings.holdout.test) if isinstance(part, float) and part < 1]
    if sum(shares) >= 1:
        raise RecipeError("prepare.holdout: the shares of dev and test leave nothing to train on")


def _prepare(recipe: Recipe, settings: Prepare, intake: Intake, out: Path, listener: Listener) -> dict[str, Any]:
    """Decide on every row, write it where it belongs, and report."""
    census = Census()
    facts: dict[str, Any] = {}
    rows, selection = intake.pairs.join(), None
    total = sum(intake.read.values())
    with RejectedFile(out / "rejected.tsv") as rejected:
        done = 0
        if rows is not None:
            sources = [source.path for source in settings.parallel]
            domains = [intake.names[code] for code in np.unique(rows.domain).tolist() if code]
            balance.check_names(settings.balance, sources, domains, recipe.pairs)
            doubts = doubt(settings.checks, rows, intake, recipe.seed, listener)
            doubted = np.fromiter(doubts.findings, dtype=np.int64, count=len(doubts.findings))
            listener.say(f"{len(rows) - len(doubted):,} pairs passed the checks; looking for duplicates and leaks")
            found = intake.signatures(len(rows))
            selection = select(
                rows, found, doubted, deduplicate=settings.deduplicate, holdout=settings.holdout, seed=recipe.seed
            )
            del found
            counts = cells(rows, selection.status, intake.names, sources)
            weights = {source.path: source.weight for source in settings.parallel if source.weight is not None}
            factors = balance.sampling_factors(counts, settings.balance, weights)
            facts["learned"] = doubts.learned
            facts["holdout"] = _held_out(rows, selection, intake.names)
            facts["sampling"] = _sampling(counts, factors)
            outcome = Outcome(rows, selection, intake.names, findings=doubts.findings)
            steps = write_pairs(out, intake.folder, intake.pairs.pieces, outcome, factors, census, rejected)
            done = _watch(steps, 0, total, listener)
        if (texts := intake.texts.join()) is not None:
            chosen = _select_texts(texts, rows, selection, settings.deduplicate.exact)
            if rows is not None and selection is not None:
                _remove_holders(chosen, selection, intake, out, listener)
            outcome = Outcome(texts, chosen, intake.names, rows)
            steps = write_texts(out / "text", intake.folder, intake.texts.pieces, outcome, census, rejected)
            done = _watch(steps, done, total, listener)
    report = _report(recipe, settings, intake, census, facts)
    _tell(report, recipe, settings, out, listener)
    return report


def _watch(steps: Iterator[int], done: int, total: int, listener: Listener) -> int:
    for step in steps:
        done += step
        listener.progress("prepare: write", done, total)
    return done


def _select_texts(texts: Rows, rows: Rows | None, selection: Selection | None, exact: bool) -> Selection:
    if rows is None or selection is None:
        none = np.zeros(0, dtype=np.int64)
        return select_texts(texts, none.astype(np.uint64), none, none.astype(bool), exact)
    held = np.concatenate([selection.with_status(TEST), selection.with_status(DEV)])
    sides = rows.keys.shape[1]
    is_test = np.repeat(selection.status[held] == TEST, sides)
    return select_texts(texts, rows.keys[held].ravel(), np.repeat(held, sides), is_test, exact)


def _remove_holders(chosen: Selection, selection: Selection, intake: Intake, out: Path, listener: Listener) -> None:
    """Monolingual texts go that hold a segment of dev or test within them. The held-out rows are written, in their order."""
    held = [(split, row) for split in (TEST, DEV) for row in selection.with_status(split).tolist()]
    examples = [row for split in (TEST, DEV) for row in records.read(out / SPLITS[split], Example)]
    within = Within(text for row in examples for text in (row.source, row.target))
    begin, total = 0, sum(piece.passed for piece in intake.texts.pieces)
    for piece in intake.texts.pieces:
        columns = read_interim(interim_path(intake.folder, piece.number), ("source", "reason"))
        texts = [text for text, reason in zip(columns["source"], columns["reason"], strict=True) if not reason]
        for number, place in enumerate(within.find(texts), begin):
            if place >= 0 and chosen.status[number] == TRAIN:
                split, chosen.other[number] = held[place // 2]
                chosen.status[number] = HOLDS_TEST if split == TEST else HOLDS_DEV
        begin += piece.passed
        listener.progress("prepare: held-out segments in monolingual texts", begin, total)


# ---------------------------------------------------------------- report


def _held_out(rows: Rows, selection: Selection, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Per language pair: what was asked of the cut (after shrinking), what came of it, and what was given as files."""
    entries = []
    for code in np.unique(rows.pair).tolist():
        here = rows.pair == code
        entry: dict[str, Any] = {"pair": names[code]}
        for split in (DEV, TEST):
            wanted = selection.wanted.get(code)
            got = here & (selection.status == split)
            entry[SPLITS[split]] = {
                "rows": int(got.sum()),
                "given": int((got & (rows.use == split)).sum()),
                "wanted": getattr(wanted, SPLITS[split]) if wanted else 0,
            }
        entry["shrunk"] = bool(wanted and wanted.shrunk)
        entries.append(entry)
    return sorted(entries, key=lambda entry: str(entry["pair"]))


def _sampling(counts: Mapping[Cell, int], factors: Mapping[Cell, float]) -> list[dict[str, Any]]:
    """Rows of each part of the training set, and how many of them an epoch shows on average."""
    return [
        {
            "pair": cell.pair,
            "source": cell.source,
            "domain": cell.domain,
            "rows": rows,
            "factor": factors[cell],
            "rows_per_epoch": round(rows * factors[cell], 1),
        }
        for cell, rows in counts.items()
    ]


def _report(
    recipe: Recipe, settings: Prepare, intake: Intake, census: Census, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The data report; its keys are described in docs/prepare.md. Fails when a row is unaccounted for."""
    origins = census.origins(intake.read)
    rejected = census.reasons
    splits = {name: split.facts() for name, split in census.splits.items()}
    return {
        "seed": recipe.seed,
        "rows": {
            "in": sum(intake.read.values()),
            **{name: split["rows"] for name, split in splits.items()},
            "rejected": sum(rejected.values()),
        },
        "reasons": rejected,
        "origins": origins,
        "splits": splits,
        "holdout": {
            **settings.holdout.model_dump(),
            "pairs": facts.get("holdout", []),
        },
        "deduplicate": settings.deduplicate.model_dump(),
        "sampling": facts.get("sampling", []),
        "directions": [
            {"direction": str(pair), "factor": balance.direction_factor(settings.balance, pair)}
            for pair in recipe.pairs
        ],
        "learned": list(facts.get("learned", [])),
        "flagged": dict(sorted(census.flagged.items())),
        "examples": {reason: census.examples[reason] for reason in rejected},
    }


def _tell(report: Mapping[str, Any], recipe: Recipe, settings: Prepare, out: Path, listener: Listener) -> None:
    """Say what came out; raise DataError when nothing did."""
    rows = report["rows"]
    reasons = [f"  {count:>10,}  {reason}" for reason, count in report["reasons"].items()]
    wants_train = any(source.use == "train" for source in settings.parallel) or not settings.parallel
    left = rows.get("train", 0) if settings.parallel else rows.get("text", 0)
    if wants_train and not left:
        table = "\n".join([f"  {rows['in']:>10,}  rows read", *reasons])
        raise DataError(
            f"nothing is left to train on. Of the rows read, these were rejected:\n{table}\n"
            f"{out / 'rejected.tsv'} lists each of them; prepare.checks has the thresholds."
        )
    kept = ", ".join(f"{rows[name]:,} {name}" for name in (*SPLITS, "text") if name in rows)
    listener.say(f"{rows['in']:,} rows read: {kept}, {rows['rejected']:,} rejected (see {out / 'rejected.tsv'})")
    for line in reasons:
        listener.say(line)
    _warn_of_holdout(report, listener)
    for origin in report["origins"]:
        lost = {reason: count for reason, count in origin["rejected"].items() if reason not in _EXPECTED}
        share = sum(lost.values()) / max(1, origin["in"])
        if origin["in"] >= _JUDGED and share > _LARGE:
            most = sorted(lost.items(), key=lambda one: -one[1])[:3]
            why = ", ".join(f"{reason} {count:,}" for reason, count in most)
            listener.warn(
                f"{origin['origin']}: {share:.0%} of its {origin['in']:,} rows were rejected ({why}). "
                "Is it read as it was meant: `columns:`, `pair:`, `encoding:`, `quoting:`?"
            )
    if report["flagged"]:
        found = ", ".join(f"{name} {count:,}" for name, count in report["flagged"].items())
        listener.warn(f"given dev and test files are kept whole; the checks would have taken out: {found}")
    for pair in report["splits"].get("train", {}).get("pairs", {}):
        if not _is_wanted(Direction.parse(pair), recipe.pairs):
            listener.warn(f"the recipe does not translate {pair}, so its training rows will not be used")
    taught = [Direction.parse(pair) for pair in report["splits"].get("train", {}).get("pairs", {})]
    untaught = [str(pair) for pair in recipe.pairs if not any(_teaches(other, pair, recipe.pairs) for other in taught)]
    if taught and untaught and recipe.synthesise is None:
        listener.warn(
            f"there is no training row for {', '.join(untaught)}: list files for it under `prepare.parallel`, or take it out "
            "of `pairs`"
        )
    if any(cell["factor"] != 1 for cell in report["sampling"]):
        listener.say("rows per epoch after balancing:")
        for cell in report["sampling"]:
            name = " ".join(part for part in (cell["pair"], cell["source"], cell["domain"]) if part)
            listener.say(f"  {name}: {cell['rows']:,} x {cell['factor']:.3g} = {cell['rows_per_epoch']:,.0f}")


def _teaches(rows: Direction, wanted: Direction, pairs: Sequence[Direction]) -> bool:
    """Whether rows of a pair serve a wanted one; those of another region do not where that region is wanted itself."""
    return any(one.like(wanted) and (one == wanted or one not in pairs) for one in (rows, rows.reversed))


def _is_wanted(pair: Direction, wanted: Sequence[Direction]) -> bool:
    return any(one.like(other) for one in (pair, pair.reversed) for other in wanted)


def _warn_of_holdout(report: Mapping[str, Any], listener: Listener) -> None:
    for entry in report["holdout"]["pairs"]:
        for name in ("dev", "test"):
            got, wanted = entry[name]["rows"], entry[name]["wanted"]
            asked = report["holdout"][name]
            if entry[name]["given"] or (name == "test" and report["holdout"]["folds"]):
                continue
            if entry["shrunk"] and wanted < asked:
                listener.warn(
                    f"{entry['pair']}: {asked} {name} segments are too many for so few rows, so {got} were held out. "
                    f"Give a share, such as `{name}: 0.1`, to decide yourself."
                )
            elif got < 0.9 * wanted:
                listener.warn(
                    f"{entry['pair']}: only {got} of {wanted} {name} segments could be held out without tearing rows "
                    f"apart that belong together (holdout.by: {report['holdout']['by']})."
                )
            if 0 < got < _FEW:
                listener.warn(f"{entry['pair']}: {got} {name} segments are few: expect wide confidence intervals.")

"""`dragoman monitor`: what a run has done in use, and whether it still meets the texts it was made for."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli.options import Debug, Json, Quiet
from dragoman.cli.session import Session, session
from dragoman.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from dragoman.core.text.languages import Direction
    from dragoman.core.watch.trial import Trial
    from dragoman.store.run.watch import Seen, Watched

_SHOWN = 8  # tests of a direction, where nothing drifted


def monitor(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN|RECIPE", help="The folder of a run, or its recipe: then stage 7 is run first."),
    ],
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page.")] = None,
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="day|week|month", help="Of the last day, week or month alone."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on looking, every --every seconds, until stopped.")
    ] = False,
    alert: Annotated[
        bool,
        typer.Option("--alert", help="Hold the recipe's alert rules against it and send what is due; so does --watch."),
    ] = False,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay", help="Translate the held-out set again first, if the recipe's `nightly` says it is time."
        ),
    ] = False,
    every: Annotated[float, typer.Option("--every", min=1, help="Seconds between two looks.")] = 60.0,
    erase: Annotated[
        str | None,
        typer.Option(
            "--erase", metavar="TENANT", help="Take all that is kept of a tenant out: ledger, memories, feedback ..."
        ),
    ] = None,
    older: Annotated[
        float | None,
        typer.Option("--older", min=0, metavar="DAYS", help="Take out what use left more than so long ago."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="FOLDER", help="With --erase or --older: a server's folder elsewhere."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Stage 7: what it met in use, and whether that drifted. Exit code 7 where something did."""
    with session(as_json=json, quiet=quiet, debug=debug, folder=run if run.is_dir() else run.parent) as here:
        from dragoman.store.run import watch as looking

        if run.suffix in (".yaml", ".yml"):
            run = _made(here, run)
        if erase is not None or older is not None:
            _erase(here, run, erase, older, state)
            return
        while True:
            if replay:
                _replay(here, run)
            found = looking.watch(run, days=_days(report))
            _looked(here, found, html, alert or watch)
            if not watch:
                break
            time.sleep(every)
        if any(one.drifted for one in found.directions):
            raise typer.Exit(7)


def _looked(here: Session, found: Watched, html: Path | None, alert: bool) -> None:
    _tell(here, found)
    if alert:
        _alert(here, found)
    if html is not None:
        from dragoman.report import monitor as page

        here.listener.say(f"monitor: {page.render(found, html)}")


def _made(here: Session, recipe: Path) -> Path:
    """Run the stage of a recipe first; returns the folder of the run."""
    from dragoman import pipeline
    from dragoman.core.recipe import Recipe

    pipeline.run(Recipe.load(recipe), recipe.parent, stages=["monitor"], listener=here.listener)
    return recipe.parent


def _replay(here: Session, run: Path) -> None:
    """With a model of its own, which is loaded where something is due."""
    from dragoman.store.run.promotion import in_use
    from dragoman.store.run.replay import NO_MATCH, replay
    from dragoman.store.run.watch import wanted

    if wanted(run).nightly is None:
        raise DataError(f"{run}: its recipe does not say when: add `nightly: {{}}` to its section `monitor`.")
    model = in_use(run)

    def ask(texts: list[str], direction: Direction) -> list[str]:
        from dragoman.assistant import Assistant
        from dragoman.assistant import settings_of as used

        settings = replace(used(model), exact=False, min_match=NO_MATCH)
        with Assistant.load(model, memory=False, settings=settings, observed=False) as assistant:
            return [one.text for one in assistant.answers(texts, direction)]

    for direction, night in replay(model, ask).items():
        if night.error:
            here.listener.warn(
                f"monitor: {direction}: the replay failed ({night.error}); tried again after three hours"
            )


_PERIODS = {"day": 1.0, "week": 7.0, "month": 30.0}


def _days(report: str | None) -> float | None:
    if report is None or report in _PERIODS:
        return None if report is None else _PERIODS[report]
    raise ArgumentError(f"--report: '{report}' is none of {', '.join(_PERIODS)}.")


def _erase(here: Session, run: Path, tenant: str | None, days: float | None, state: Path | None) -> None:
    from dragoman.store.run.erase import erase

    gone = erase(run, tenant=tenant, days=days, state=state)
    whose = f"of {tenant}" if tenant is not None else f"older than {days:g} days"
    for path in gone.left:
        here.listener.warn(f"{path}: still holds a text {whose}, for it was made from it: delete it, or make it again")
    told = [f"{gone.total:,} rows {whose} are erased", *(f"  {path}: {count:,}" for path, count in gone.rows.items())]
    here.result("\n".join(told), event="erased", tenant=tenant, days=days, **gone.to_json())


def _alert(here: Session, found: Watched) -> None:
    """Judge the rules, and deliver what is waiting; a channel that is down stops nothing."""
    from dragoman.store.alerts.outbox import Alerts
    from dragoman.store.ledger import Ledger
    from dragoman.store.run.observer import ledger_of
    from dragoman.store.run.watch import wanted

    settings = wanted(found.run)
    with Ledger.open(ledger_of(found.run, settings), create=False) as ledger:
        alerts = Alerts(ledger.engine, settings, found.run.resolve().name)
        for one in alerts.look(found):
            here.listener.warn(f"monitor: {one.direction}: {one.rule} {one.change} at {one.value:.4g}")
        sent = alerts.deliver()
        if sent["failed"]:
            errors = {row["channel"]: row["error"] for row in alerts.waiting()}
            told = ", ".join(f"{channel} ({error})" for channel, error in errors.items())
            here.listener.warn(f"monitor: {sent['failed']} messages wait for {told}; tried again later")


def _tell(here: Session, found: Watched) -> None:
    here.result("\n".join(lines(found)), event="monitor", **found.to_json())


def since_of(found: Watched) -> str:
    return datetime.fromtimestamp(found.since, UTC).strftime("%Y-%m-%d") if found.since else "the release"


def lines(found: Watched) -> list[str]:
    """For a terminal."""
    total = found.totals()
    told = [
        f"{found.run}: {total['segments']:,} segments since {since_of(found)}, {total['memory']:,} of them from the memory"
    ]
    if total["segments"]:
        speed = total["segments"] / total["seconds"] if total["seconds"] else 0.0
        told.append(f"  {total['characters']:,} characters, {total['tokens']:,} tokens, {speed:.1f} segments a second")
        flags = ", ".join(f"{name} {count / total['segments']:.1%}" for name, count in total["flags"].items())
        told.append(f"  flagged: {flags or 'nothing'}")
    if total["cost"] is not None:
        told.append(f"  cost: {total['cost']:.2f}")
    for rule, counts in found.screened.items():
        told.append(f"  screened: {rule} " + ", ".join(f"{action} {texts:,}" for action, texts in counts.items()))
    if found.lost:
        told.append("  not recorded: " + ", ".join(f"{reason} {count:,}" for reason, count in found.lost.items()))
    if found.trial is not None:
        told += ["", *_trial(found.trial)]
    for seen in found.directions:
        told += ["", *_direction(seen)]
    return told


def _trial(trial: Trial) -> list[str]:
    """Champion and challenger side by side, with 95 % intervals."""
    from dragoman.core.watch.trial import Side, wilson
    from dragoman.report.tables import grid

    def share(count: int, of: int) -> str:
        low, high = wilson(count, of)
        return f"{count / of:.1%} [{low:.1%}, {high:.1%}]" if of else ""

    def cells(side: Side) -> list[str]:
        sure = side.confidence
        told = f"{sure.value:.1f} [{sure.interval[0]:.1f}, {sure.interval[1]:.1f}]" if sure.count > 1 else ""
        return [f"{side.texts:,}", share(side.failed, side.texts), share(side.flagged, side.texts - side.failed), told]

    since = datetime.fromtimestamp(trial.since, UTC).strftime("%Y-%m-%d %H:%M")
    rows = [["", "texts", "failed", "flagged", "confidence"]]
    rows += [["champion", *cells(trial.champion)], ["challenger", *cells(trial.challenger)]]
    told = [f"{trial.kind}: {trial.model}, share {trial.share:g}, since {since} UTC"]
    told += ["  " + line for line in grid(rows).split("\n")]
    if trial.agreement.count > 1:
        low, high = trial.agreement.interval
        told.append(f"  chrF2++ of one to the other {trial.agreement.value:.1f} [{low:.1f}, {high:.1f}]")
    return [*told, *(f"  stopped: {why}" for why in trial.stopped)]


def _direction(seen: Seen) -> list[str]:
    from dragoman.core.watch.drift import FEWEST
    from dragoman.report.tables import grid

    if not seen.found:
        few = f"{seen.direction}: {seen.segments:,} segments in the window; fewer than {FEWEST} say too little"
        return [few, *_said(seen), *_replayed(seen)]
    assert seen.since is not None and seen.until is not None  # noqa: S101 # a window with tests has segments
    span = " to ".join(datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (seen.since, seen.until))
    verdict = f"drifted: {', '.join(one.name for one in seen.drifted)}" if seen.drifted else "no drift shown"
    told = [f"{seen.direction}: {verdict} ({seen.segments:,} segments, {span} UTC)"]
    if seen.estimate is not None:
        one = seen.estimate
        if one.trusted:
            told.append(
                f"  expected chrF {one.value:.1f} [{one.low:.1f}, {one.high:.1f}], {one.normal:.1f} on the held-out set; "
                f"such estimates were off by {one.usual_error:.1f} there"
            )
        else:
            told.append(
                f"  expected chrF not known: the texts are not like the held-out set, on which it was {one.normal:.1f}. "
                f"By confidence alone it would be {one.value:.1f}, which is mostly far too high then"
            )
    rows = [["", "", "normal", "now", "effect", "q"]]
    for test in seen.drifted or seen.found[:_SHOWN]:
        name = f"! {test.name}" if test.drifted else test.name
        numbers = [f"{test.normal:.3f}", f"{test.now:.3f}", f"{test.effect:+z.3f}", f"{test.q:.2g}"]
        rows.append([name, test.title, *numbers])
    told += ["  " + line for line in grid(rows, left=2).split("\n")]
    told += [*_said(seen), *_replayed(seen)]
    for word, sources in seen.words.items():
        told.append(f"  new word {word}: {sources[0]}")
    return told


def _replayed(seen: Seen) -> list[str]:
    """How the held-out set fares, night by night."""
    if seen.replay is None:
        return []
    found = [f"{seen.replay.finished:,} night{'s' * (seen.replay.finished != 1)}", f"{seen.replay.failed:,} failed"]
    told = f"  replay of the held-out set: {', '.join(found)}, {seen.replay.missed:,} missed"
    if (last := seen.replay.last) is None:
        return [told]
    night = datetime.fromtimestamp(last.due, UTC).strftime("%Y-%m-%d %H:%M")
    return [
        f"{told}; {night} UTC: chrF2++ {last.score:.1f}, {last.before:.1f} when it was evaluated "
        f"[{last.low:+.1f}, {last.high:+.1f}], {last.changed:,} of {last.segments:,} translations are others"
    ]


def _said(seen: Seen) -> list[str]:
    """What people said of the translations."""
    if seen.edits is None:
        return []
    one, told = seen.edits, []
    if one.edits:
        told.append(f"{one.edits:,} post-edits")
    if one.hter is not None and one.chrf is not None and one.unchanged is not None:
        told.append(f"HTER {one.hter:.1f}, chrF2++ {one.chrf:.1f}, {one.unchanged:.0%} unchanged")
    if one.approved is not None:
        told.append(f"{one.approved:.0%} of {one.verdicts:,} approved")
    if one.rating is not None:
        told.append(f"mean of {one.ratings:,} ratings {one.rating:.2f}")
    return ["  people: " + "; ".join(told)]

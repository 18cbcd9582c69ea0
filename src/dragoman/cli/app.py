"""The verbs. Each parses its arguments, calls one function, and prints what came out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from dragoman import __version__
from dragoman.cli import (
    engine,
    feedback,
    glossary,
    launch,
    memory,
    monitor,
    pack,
    pick,
    push,
    records,
    refresh,
    search,
    serve,
    study,
    translate,
)
from dragoman.cli.options import (
    Backend,
    Debug,
    From,
    Json,
    OnRay,
    Quiet,
    RecipeFile,
    RunFolder,
    Tenant,
    To,
    Workers,
    with_backend,
)
from dragoman.cli.session import session

app = typer.Typer(
    name="dragoman",
    help="Turns an open language model and your own texts into a translator that is measurably better on your domain.",
    epilog="Exit codes: 0 done, 2 recipe or arguments, 3 data, 4 model, 5 memory, disk or time, 6 checkpoint or run "
    "folder, 7 not as good as the recipe demands, 70 a fault in dragoman, 130 stopped (resumable).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # loading rich would take nearly half of the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(memory.app, name="memory")
app.add_typer(glossary.app, name="glossary")
app.add_typer(study.app, name="study")
app.add_typer(feedback.app, name="feedback")
app.add_typer(refresh.audit_app, name="audit")
app.add_typer(serve.keys_app, name="keys")
app.add_typer(engine.app, name="engine")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Keys of the recipe to set, such as train.0.sft.epochs=3."),
]
Out = Annotated[Path | None, typer.Option("--out", help="The run's folder, by default that of the recipe.")]
Force = Annotated[
    list[str] | None, typer.Option("--force", metavar="STAGE", help="Make this stage again, and all that follow it.")
]
Processes = Annotated[
    int, typer.Option("--processes", min=1, metavar="N", help="Train with so many processes of this machine together.")
]


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dragoman {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    # no docstring: the help is the application's own
    del version


def main() -> None:
    """The `dragoman` command."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # no traffic but what the recipe names
    app(prog_name="dragoman")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where the demo's files and runs go.")] = Path("demo"),
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """All of it in minutes, offline, on generated text. Train a small translator, adapt it to a clinic, measure both."""
    with session(as_json=json, quiet=quiet, debug=debug, folder=folder) as here:
        from dragoman.cli.demo import run_demo

        run_demo(folder, here)


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="The project's folder.", show_default=False)],
    pair: Annotated[
        list[str], typer.Option("--pair", help="Languages, such as en-fr; again for more.", show_default=False)
    ],
    data: Annotated[list[Path] | None, typer.Option("--data", help="A file of translations; again for more.")] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="Hub id or folder of the model to adapt; default: chosen by languages.")
    ] = None,
    memory: Annotated[
        float | None, typer.Option("--memory", min=1, help="GiB that the base may need to be tuned (default 8).")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="Of the base: permissive (default), conditions or any.")
    ] = None,
    scratch: Annotated[bool, typer.Option("--scratch", help="A small new model instead of one to adapt.")] = False,
    debug: Debug = False,
) -> None:
    """Write a commented recipe for a project of your own."""
    with session(debug=debug) as here:
        from dragoman.cli.new import write

        write(folder, pair, data or [], base, memory, licence, scratch, here)


@app.command()
def run(
    recipe: RecipeFile,
    overrides: Overrides = None,
    out: Out = None,
    force: Force = None,
    note: Annotated[str, typer.Option("--note", help="Why: it stands in the record of iterations (`log`).")] = "",
    processes: Processes = 1,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run all stages of a recipe. Finished ones are skipped; an interrupted training goes on where it was."""
    _stages(None, recipe, overrides, out, force, json, quiet, debug, note, processes)


def _verb(stage: str, text: str) -> None:
    """The verb of one stage: it runs the stages before it first, where they are not finished."""

    def verb(
        recipe: RecipeFile,
        overrides: Overrides = None,
        out: Out = None,
        force: Force = None,
        json: Json = False,
        quiet: Quiet = False,
        debug: Debug = False,
    ) -> None:
        _stages([stage], recipe, overrides, out, force, json, quiet, debug)

    app.command(name=stage, help=text)(verb)


def _translating_verb(stage: str, text: str) -> None:
    """The verb of a stage in which something is translated: `--backend` says by what."""

    def verb(
        recipe: RecipeFile,
        overrides: Overrides = None,
        out: Out = None,
        force: Force = None,
        backend: Backend = "auto",
        json: Json = False,
        quiet: Quiet = False,
        debug: Debug = False,
    ) -> None:
        _stages([stage], recipe, overrides, out, force, json, quiet, debug, backend=backend)

    app.command(name=stage, help=text)(verb)


@app.command()
def prepare(
    recipe: RecipeFile,
    overrides: Overrides = None,
    out: Out = None,
    force: Force = None,
    workers: Workers = None,
    ray: OnRay = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Stage 1: clean texts in leak-free splits. Every row is accounted for."""
    from dragoman.jobs import spread

    with spread(workers, ray):
        _stages(["prepare"], recipe, overrides, out, force, json, quiet, debug)


_verb("model", "Stage 2: the model, its tokenizer and its prompt.")
_translating_verb(
    "synthesise",
    "Parallel text from a teacher, verified. A server, a model or a run; after `model`, where the recipe asks for it.",
)
_verb("plan", "Stage 3: rows, tokens, memory, time. Will it fit? Nothing is trained.")
_verb("train", "Stage 4: fine-tuning, phase by phase.")
_translating_verb("evaluate", "Stage 5: scores, intervals, tests, the report. Always against the untouched model.")


@app.command()
def deploy(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|RECIPE", help="The folder of a run, or a recipe.", show_default=False)
    ],
    overrides: Overrides = None,
    out: Out = None,
    force: Force = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option(
            "--for", metavar="PLATFORM", help="Also a folder for sagemaker, vertex, azure, bedrock; again for more."
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option("--price", min=0, help="What a machine there costs an hour: told for a million characters."),
    ] = None,
    own_price: Annotated[
        float | None, typer.Option("--own-price", min=0, help="What your own machine costs an hour, to compare.")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option("--characters-per-second", min=0.001, help="Measured there; else as deploy measured here."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Stage 6: export, load afresh, score again, bundle. A format that is not as good ends with an error."""
    folder = out or (run if run.is_dir() else run.parent)
    with session(as_json=json, quiet=quiet, debug=debug, folder=folder) as here:
        from dragoman import pipeline
        from dragoman.cli.summary import tell_run
        from dragoman.core.recipe import Deploy, Recipe
        from dragoman.errors import RecipeError

        if run.is_dir() and out is not None:
            raise RecipeError("--out is for a recipe: the bundle of a run goes into the run's own folder.")
        checked, given = (
            pipeline.of_run(run, overrides or []) if run.is_dir() else (Recipe.load(run, overrides or []), {})
        )
        given.pop("deploy", None)
        given.pop("monitor", None)
        if checked.deploy is None:
            checked = checked.model_copy(update={"deploy": Deploy()})
        done = pipeline.run(checked, folder, stages=["deploy"], force=force or (), given=given, listener=here.listener)
        tell_run(here, checked, folder, done)
        from dragoman.cli import platforms as hosted

        hosted.write(here, folder, platforms or [])
        if price is not None or own_price is not None:
            hosted.tell_prices(here, folder, price, own_price, speed)


def _stages(
    stages: list[str] | None,
    recipe: Path,
    overrides: list[str] | None,
    out: Path | None,
    force: list[str] | None,
    json: bool,
    quiet: bool,
    debug: bool,
    note: str = "",
    processes: int = 1,
    backend: str = "auto",
) -> None:
    folder = out or recipe.parent
    with session(as_json=json, quiet=quiet, debug=debug, folder=folder) as here:
        if processes > 1:
            from dragoman.cli import processes as several

            several.start(processes, recipe, overrides or [])
            return
        from dragoman import pipeline
        from dragoman.cli.summary import tell_run
        from dragoman.core.recipe import Recipe

        given = with_backend(recipe, overrides, stages[0], backend) if stages else overrides or []
        checked = Recipe.load(recipe, given)
        done = pipeline.run(checked, folder, stages=stages, force=force or (), note=note, listener=here.listener)
        tell_run(here, checked, folder, done)


app.command()(translate.translate)
app.command()(pack.pack)


@app.command()
def confirm(
    run: RunFolder,
    text: Annotated[str, typer.Argument(metavar="SOURCE", help="A segment ...", show_default=False)],
    translation: Annotated[str, typer.Argument(metavar="TARGET", help="... and its translation.", show_default=False)],
    to: To = None,
    source: From = None,
    context: Annotated[str, typer.Option("--context", help="The segment before it.")] = "",
    creator: Annotated[str, typer.Option("--creator", help="Who confirms it.")] = "",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Keep it also where a placeholder, a tag or an address was lost.")
    ] = False,
    tenant: Tenant = "default",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Put a confirmed translation into the run's memory. The next sentence finds it."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.cli import documents

        documents.confirm(here, run, text, translation, to, source, tenant, context, creator, anyway=anyway)


app.command()(search.search)
app.command()(launch.launch)
app.command()(monitor.monitor)
app.command()(pick.pick)
app.command()(push.push)
app.command()(refresh.refresh)
app.command()(refresh.promote)
app.command()(refresh.rollback)
app.command()(serve.serve)


app.command()(records.compare)
app.command()(records.log)
app.command()(records.report)


@app.command()
def version() -> None:
    """Versions of dragoman and of what its results depend on."""
    with session() as here:
        from dragoman.store.run.artifact import versions

        here.result("\n".join(f"{name} {number}" for name, number in {"dragoman": __version__, **versions()}.items()))

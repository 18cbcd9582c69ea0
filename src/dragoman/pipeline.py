"""run(recipe): the stages in order, each in its own folder; what is finished and made of the same things is skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from dragoman import inputs
from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import Recipe
from dragoman.engine import world
from dragoman.errors import CheckpointError, QualityError, RecipeError, first
from dragoman.store.run import costs, energy, iterations
from dragoman.store.run.artifact import MANIFEST, Artifact, digest, model_folder, write_atomic
from dragoman.store.run.run_state import Workspace, locked

EFFECTIVE = "recipe.lock.yaml"  # the recipe of the last run, every default and override written out


class Run(Protocol):
    """A stage: writes its files into `out` and ends with `Artifact.finish(out, stage, key, facts)`."""

    def __call__(
        self, recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener
    ) -> Artifact: ...


ALL: tuple[str, ...] = ()  # of a stage: whatever it has to tell; a name stands for one part of its content
Takes = Mapping[str, tuple[str, ...]]  # stage -> what is taken from it


@dataclass(frozen=True, slots=True)
class Stage:
    """One line of the table, with all that the stage's result depends on: when that is the same, the result is.

    `reads`: keys and sections of the recipe; their files count by what is in them. `takes`: what it takes from the stages
    before it, which may depend on the recipe; None: all from every one.
    """

    name: str
    section: str  # the section of the recipe that asks for it
    reads: tuple[str, ...]
    needs: tuple[str, ...] = ()  # stages that must come before it
    resumes: bool = False  # an unfinished one goes on from its own folder
    takes: Takes | Callable[[Recipe], Takes] | None = None
    ignores: tuple[str, ...] = ()  # keys inside `reads` that are the business of other stages
    aside: tuple[str, ...] = ()  # keys that it reads and that change no result, such as where figures are sent

    def takes_of(self, recipe: Recipe, done: Collection[str]) -> Takes:
        """What it takes, of the stages that there are."""
        takes = dict.fromkeys(done, ALL) if self.takes is None else self.takes
        takes = takes(recipe) if callable(takes) else takes
        return {name: parts for name, parts in takes.items() if name in done}


def _taken_by_model(recipe: Recipe) -> Takes:
    """A new model learns its tokenizer from all training texts; a base is only tried on dev, for its prompt."""
    new = recipe.model is not None and recipe.model.new is not None
    return {"prepare": ("train", "text") if new else ("dev",)}


_TEXTS = ("train", "dev", "test", "text")
# what training reads of `prepare` besides the texts: how often rows are seen, how long they may be, what is done to texts
_TRAINED = (
    "pairs",
    "seed",
    "train",
    "model.quantise",
    "prepare.balance",
    "prepare.checks.max_tokens",
    "prepare.normalise",
)

STAGES = (
    Stage("prepare", "prepare", ("pairs", "seed", "prepare"), ignores=("prepare.checks.max_tokens",)),
    Stage(
        "model",
        "model",
        ("pairs", "seed", "model", "prepare.normalise"),
        takes=_taken_by_model,
        ignores=("model.quantise",),  # of the base while it is trained on; it is saved as it is
    ),
    Stage("synthesise", "synthesise", ("pairs", "seed", "synthesise"), resumes=True, takes={"prepare": _TEXTS}),
    Stage(
        "plan",
        "train",
        (*_TRAINED, "plan"),
        needs=("prepare", "model"),
        takes={"prepare": _TEXTS, "model": ALL, "synthesise": ALL},
    ),
    Stage(
        "train",
        "train",
        (*_TRAINED, "plan.threads", "plan.precision"),
        needs=("prepare", "model"),
        resumes=True,
        takes={"prepare": _TEXTS, "model": ALL, "synthesise": ALL, "plan": ("settings",)},
        aside=("log", "name", "plan.shard", "plan.tensor_parallel"),  # how weights lie over processes changes no result
    ),
    Stage(
        "evaluate",
        "evaluate",
        ("name", "pairs", "seed", "evaluate", "train", "model.base", "plan.threads", "prepare.normalise"),
        needs=("model",),
        resumes=True,
    ),
    Stage("deploy", "deploy", ("name", "pairs", "seed", "deploy", "plan.threads"), needs=("prepare", "model")),
    Stage(
        "monitor",
        "monitor",
        ("pairs", "prepare.normalise"),
        needs=("model", "evaluate"),
        takes={"prepare": ALL, "model": ALL, "train": ALL, "evaluate": ALL},  # not the bundle: it may fail or change
    ),
)
NAMES = tuple(stage.name for stage in STAGES)
TOGETHER = frozenset(["train"])  # what several processes do together; all else the first one does while they wait


def run(
    recipe: Recipe,
    out: Path,
    *,
    stages: Sequence[str] | None = None,
    force: bool | Collection[str] = False,
    given: Mapping[str, Artifact] | None = None,
    note: str = "",
    listener: Listener = SILENT,
) -> dict[str, Artifact]:
    """Run the recipe's stages in order into `out/<stage>` and return them by name.

    `stages` limits the run to these and to all that come before them. `force` names stages that are made again, with
    all that take something from them (True: those of `stages`, or all). `given` are finished stages of another run, taken
    over as they are: studies share texts and base so. `note` says why, in the record of iterations. A stage that was
    interrupted starts again; `train` goes on.
    Raises RecipeError when a wanted stage has no section, CheckpointError when another run is at work in `out`, and
    DataError or ModelError, before anything is done, with all files and models that are named and not there. A
    QualityError is raised once the stages that do without the one that has missed its mark are finished.

    Where torchrun or `--processes` has started several processes, all call it: the first one does all stages, and the
    others join it to train.
    """
    wanted = _wanted(recipe, stages)
    anew = _anew(recipe, wanted, stages, force)
    with world.joined() as here:
        if not here.first:
            return _follow(recipe, here)
        done = _lead(recipe, out, wanted, anew, given, note, listener)
        here.agreed(("end", done))
        return done


def _lead(
    recipe: Recipe,
    out: Path,
    wanted: Sequence[Stage],
    anew: Collection[str],
    given: Mapping[str, Artifact] | None,
    note: str,
    listener: Listener,
) -> dict[str, Artifact]:
    with locked(out):
        inputs.require(recipe, [stage.name for stage in wanted if stage.name not in (given or {})], out)
        workspace = Workspace(out)
        if workspace.recipe and recipe.file and workspace.recipe != recipe.file:
            raise RecipeError(
                f"{out}: holds the run of another recipe, {workspace.recipe}. Give {recipe.file} a folder of its own "
                "with --out, or delete the old run first."
            )
        write_atomic(out / EFFECTIVE, _header(recipe).encode() + recipe.to_yaml().encode())
        done: dict[str, Artifact] = {}
        missed: QualityError | None = None
        for number, stage in enumerate(wanted):
            if given and stage.name in given:
                done[stage.name] = given[stage.name].share(out / stage.name)
                continue
            try:
                done[stage.name] = _one(stage, recipe, done, out, workspace, stage.name in anew, listener)
            except QualityError as error:
                if any(stage.name in later.takes_of(recipe, NAMES) for later in wanted[number + 1 :]):
                    raise
                missed = error  # what comes after does without it
        workspace.save()  # also when all was skipped: digests of files that were only touched
        iterations.keep(out, done, note)
        if missed is not None:
            raise missed
    return done


_NOTHING: tuple[str, dict[str, Any]] = "", {}  # what the others give, who are not asked


def _follow(recipe: Recipe, here: world.World) -> dict[str, Artifact]:
    """In a process that is not the first: wait, and train when the first one does. Returns what that one returns."""
    while True:
        what, given = here.agreed(_NOTHING)
        if what == "end":
            return dict(given)
        spent = energy.Spent()
        with energy.measured(spent):
            _function(what)(recipe, given["inputs"], given["folder"], given["key"], SILENT)
        here.gathered(spent.processor_seconds)


def of_run(folder: Path, overrides: Sequence[str] = ()) -> tuple[Recipe, dict[str, Artifact]]:
    """The recipe that the run in `folder` was last made by, with overrides, without the stages that are not finished; and
    the finished ones, to be given to `run`. Raises CheckpointError for a folder without a run or with a broken-off training.
    """
    path = folder / EFFECTIVE
    if not path.is_file():
        raise CheckpointError(
            f"{folder}: holds no run ({EFFECTIVE} is missing). Name a recipe, or the folder of a run."
        )
    recipe = Recipe.parse(path.read_text(encoding="utf-8"), str(path), overrides, folder)
    found = {name: Artifact.load(folder / name) for name in NAMES if (folder / name / MANIFEST).is_file()}
    if recipe.train and "train" not in found:
        raise CheckpointError(f"{folder}: its training is not finished. Run `dragoman run` on its recipe first.")
    kept = {"plan", "train", "deploy", "monitor", *found}
    recipe = recipe.model_copy(update={stage.section: None for stage in STAGES if stage.name not in kept})
    recipe._file = Workspace(folder).recipe
    return recipe, found


def _one(
    stage: Stage,
    recipe: Recipe,
    done: Mapping[str, Artifact],
    out: Path,
    workspace: Workspace,
    anew: bool,
    listener: Listener,
) -> Artifact:
    parts = _parts(stage, recipe, done, workspace) | _helps(stage, recipe, out)
    key = digest(stage.name, parts)
    folder = out / stage.name
    found = None if anew else Artifact.done(folder, key)
    if found is not None:
        listener.say(f"{stage.name}: finished before; skipped")
        return found
    if (folder / MANIFEST).is_file():
        changed = workspace.changed(stage.name, parts) or ["what it is made of"]
        why = "as asked" if anew else f"changed: {first(changed, 3)}"
        listener.say(f"{stage.name}: made again ({why})")
        (folder / MANIFEST).unlink()  # first of all: half of the old and half of the new is not finished work
    if anew or not stage.resumes:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    workspace.remember(recipe.file, stage.name, parts)
    spent = energy.Spent()
    together = stage.name in TOGETHER
    try:
        with energy.measured(spent):
            if together:
                world.current().agreed((stage.name, {"inputs": dict(done), "folder": folder, "key": key}))
            _function(stage.name)(recipe, dict(done), folder, key, listener)
        if together:
            spent.processor_seconds = sum(world.current().gathered(spent.processor_seconds))
    finally:
        costs.add(out, stage.name, key, spent, recipe.log, finished=Artifact.done(folder, key) is not None)
    return Artifact.load(folder)


def _function(name: str) -> Run:
    return cast(Run, import_module(f"dragoman.stages.{name}").run)


def _wanted(recipe: Recipe, stages: Sequence[str] | None) -> list[Stage]:
    unknown = [name for name in stages or () if name not in NAMES]
    if unknown:
        raise RecipeError(f"no such stage: {', '.join(unknown)}. The stages are {', '.join(NAMES)}.")
    present = [stage for stage in STAGES if getattr(recipe, stage.section)]
    names = [stage.name for stage in present]
    for stage in present if stages is None else [s for s in STAGES if s.name in stages]:
        if stage.name not in names:
            raise RecipeError(f"the recipe has no `{stage.section}` section, so there is nothing to {stage.name}.")
        if missing := [f"`{needed}`" for needed in stage.needs if needed not in names]:
            raise RecipeError(f"`{stage.section}` needs a {' and a '.join(missing)} section in the recipe.")
    if not names:
        raise RecipeError(
            "the recipe has no section that asks for any work (prepare, model, synthesise, train, evaluate, deploy, monitor)."
        )
    last = max((NAMES.index(name) for name in stages), default=-1) if stages is not None else len(NAMES)
    return [stage for stage in present if NAMES.index(stage.name) <= last]


def _anew(
    recipe: Recipe, wanted: Sequence[Stage], stages: Sequence[str] | None, force: bool | Collection[str]
) -> set[str]:
    """What is forced, and what takes something from it."""
    names = [stage.name for stage in wanted]
    forced = set(force) if not isinstance(force, bool) else set(stages or names) if force else set()
    if unknown := forced - set(names):
        raise RecipeError(f"cannot force {', '.join(sorted(unknown))}: this run has the stages {', '.join(names)}.")
    for number, stage in enumerate(wanted):
        forced |= {stage.name} if forced & stage.takes_of(recipe, names[:number]).keys() else set()
    return forced


def _parts(stage: Stage, recipe: Recipe, done: Mapping[str, Artifact], workspace: Workspace) -> dict[str, str]:
    """What the stage is made of, each with its digest."""
    parts = {f"`{path}` in the recipe": digest(value) for path, value in _read(stage, recipe).items()}
    takes = stage.takes_of(recipe, done)
    parts |= {f"the result of {name}": done[name].content(*part) for name, part in takes.items()}
    parts |= {name: workspace.digest(path) for name, path in _files(stage, recipe)}
    return parts


def _read(stage: Stage, recipe: Recipe) -> dict[str, object]:
    """The values that a stage reads of the recipe, by their paths."""
    data = recipe.model_dump(mode="json")
    for path in stage.ignores:
        *before, last = path.split(".")
        if isinstance(section := _at(data, before), dict):
            section.pop(last, None)
    return {path: _at(data, path.split(".")) for path in stage.reads}


def _at(data: object, path: Sequence[str]) -> object:
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _helps(stage: Stage, recipe: Recipe, out: Path) -> dict[str, str]:
    """The memories and glossaries that a stage looks into."""
    from dragoman.core.recipe.assist import GlossaryUse, MemoryUse
    from dragoman.store.memory.examples import looked_into
    from dragoman.store.memory.glossary import glossary_file

    found: dict[str, str] = {}
    if stage.name in ("plan", "train"):
        for use in (phase.section.looks_into for phase in recipe.train):
            found |= looked_into(recipe, out, *use) if use is not None else {}
    elif stage.name == "evaluate" and recipe.evaluate is not None:
        wanted = recipe.evaluate
        found = looked_into(recipe, out, wanted.shots, wanted.memory, wanted.glossary)
    elif stage.name == "deploy" and recipe.deploy is not None:
        found = {"that texts are screened": "yes"} if recipe.screened else {}  # it says so, and has what it needs:
        glossary = GlossaryUse() if glossary_file(out).is_file() else None
        found |= looked_into(recipe, out, [1], MemoryUse(), glossary) if recipe.deploy.memory else {}
    return found


def _files(stage: Stage, recipe: Recipe) -> list[tuple[str, Path]]:
    """The local files that a stage reads, by the names that the recipe gives them."""
    from dragoman.store.formats import readers

    names: list[str] = []
    if stage.name == "prepare" and recipe.prepare is not None:
        texts = [source.path for sources in recipe.prepare.monolingual.values() for source in sources]
        names = [source.path for source in recipe.prepare.parallel] + texts
    elif stage.name in ("plan", "train"):
        names = [file for phase in recipe.train for file in phase.section.files]
    elif stage.name in ("evaluate", "synthesise") and recipe.evaluate is not None:
        names = [source.path for source in recipe.evaluate.files]
    elif stage.name == "model" and recipe.model is not None and recipe.model.base is not None:
        base = Path(recipe.resolve(recipe.model.base))
        if base.is_dir():
            return [(recipe.model.base, _model_files(base))]
        return [(recipe.model.base, base)] if base.is_file() else []  # a GGUF file
    if stage.name == "evaluate" and recipe.evaluate is not None:
        names += [file for one in recipe.evaluate.outside for file in one.outputs.values()]
    files = [Path(str(file)) for name in dict.fromkeys(names) for file in readers.files_of(name, recipe)]
    if stage.name == "synthesise":
        files += _teachers(recipe)
    elif stage.name == "train":
        folders = [name for phase in recipe.train for name in phase.section.model_folders]
        files += [_model_files(Path(recipe.resolve(name)), "train") for name in dict.fromkeys(folders)]
    return [(_name(file, recipe.folder), file) for file in files if file.exists()]


def _teachers(recipe: Recipe) -> list[Path]:
    """The folders of the teachers that are models on this machine."""
    teachers = recipe.synthesise.teachers.values() if recipe.synthesise is not None else ()
    folders = [Path(recipe.resolve(teacher.local.model)) for teacher in teachers if teacher.local is not None]
    runs = [Path(recipe.resolve(teacher.run.folder)) for teacher in teachers if teacher.run is not None]
    return [folder for folder in folders if folder.is_dir()] + [_model_files(run, "synthesise") for run in runs]


def _name(file: Path, folder: Path) -> str:
    """As seen from the recipe, so that a project that is moved as a whole stays finished."""
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)


def _model_files(base: Path, section: str = "model.base") -> Path:
    try:
        return model_folder(base)
    except CheckpointError as error:
        raise RecipeError(f"{section}: {error}") from None


def _header(recipe: Recipe) -> str:
    origin = recipe.folder / recipe.file if recipe.file else "a recipe made by a program"
    return (
        f"# The recipe in effect, written by dragoman from {origin}. Relative paths start at the folder of that file.\n"
    )

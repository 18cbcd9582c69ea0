"""`search`: values of some keys of a recipe, tried one set after the other, by random draws, a grid or a model of what
the trials before have shown (Optuna's tree-structured Parzen estimator, Bergstra et al. 2011).

What is selected by a score is flattered by it. So trials are trained, ended early and compared on one half of dev only;
the other half judges the one chosen, and test is touched once, at the end.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman import pipeline
from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import Evaluate, Recipe
from dragoman.core.recipe.search import Search
from dragoman.core.records import Example
from dragoman.errors import CheckpointError, DragomanError, ModelError, RecipeError, ResourceError
from dragoman.jobs import Ended, Pool, Runner, explain, opened
from dragoman.report import search as report
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact, digest, write_atomic, write_json
from dragoman.store.run.run_state import locked
from dragoman.studies import dev_split, trial
from dragoman.studies.arms import PRELOADED
from dragoman.studies.shared import Shared
from dragoman.studies.space import check, distribution, grid, own_values, parameter_of, told, value_of, with_values
from dragoman.studies.summary import ended_well, summary

if TYPE_CHECKING:
    import optuna

FOLDER = "search"  # where a search lives, beside its recipe, unless told otherwise
_STORE = "trials.log"
_PAUSE = 0.2  # seconds between two looks at the trials at work
_HOPELESS = 3  # trials that fail, none of them ending well, before the search gives up


def run(
    recipe: Recipe,
    out: Path,
    *,
    jobs: int | None = None,
    ray: str | None = None,
    listener: Listener = SILENT,
    pool: Pool | None = None,
) -> dict[str, Any]:
    """Search as the recipe's `search` says, in `out`; returns the record that is written to search.json.

    A search that was stopped goes on, trials in progress from their last checkpoint; one that has ended goes on when
    `search.trials` grows. `jobs` trials are at work at once, each with its share of the cores, or as many as the Ray cluster
    `ray` has room for, which must see the same folders; `pool`: given in their place. One at a time, two runs give the same
    trials and the same figures.
    Raises RecipeError before anything runs when a key or a value of the space does not fit the recipe, CheckpointError
    when `out` holds another search or is in use, ModelError when every trial fails.
    """
    if recipe.search is None:
        raise RecipeError("the recipe has no section `search`: name the keys to vary under `search.space`.")
    check(recipe, recipe.search)
    with locked(out):
        pool = pool or opened(trial.Worker(), jobs, ray, once=True, preload=PRELOADED)
        with Runner[trial.Job, None](pool, listener) as runner:  # what still runs ends with a checkpoint
            work = _Search(recipe, recipe.search, out, runner, listener)
            work.loop()
        return work.finish()


# ---------------------------------------------------------------- the search


@dataclass(frozen=True)
class _Place:
    """A trial at work."""

    asked: optuna.trial.Trial
    job: trial.Job
    number: int  # the runner's
    begun: float


class _Search:
    """Asks Optuna for values, trains them in processes, tells Optuna what came out."""

    def __init__(
        self, recipe: Recipe, settings: Search, out: Path, runner: Runner[trial.Job, None], listener: Listener
    ) -> None:
        self.recipe, self.settings, self.out, self.listener = recipe, settings, out, listener
        self._runner, self.jobs = runner, runner.pool.size
        self._running: dict[int, _Place] = {}
        base = with_values(recipe, {})
        self._shared = Shared(base, out / "shared", listener)
        prepared = self._shared.take(base)[1]["prepare"]
        dev = list(records.read(prepared.folder / "dev", Example)) if _holds(prepared.folder / "dev") else []
        self.halves = dev_split.split(dev, settings.seed, settings.sentences)
        self._distributions = {path: distribution(d) for path, d in settings.space.items()}
        self._grid = grid(settings) if settings.sampler == "grid" else []
        self.wanted = min(settings.trials, len(self._grid) or settings.trials)
        self.study = self._open(prepared)

    def _open(self, prepared: Artifact) -> optuna.Study:
        """This search's trials so far. Raises CheckpointError when the folder holds those of another search."""
        try:
            import optuna
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend
        except ImportError:
            raise ResourceError("a search needs Optuna: pip install 'dragoman[search]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        for stale in self.out.glob(f"{_STORE}.lock*"):  # of a process that was killed: the folder is ours alone
            stale.unlink()
        file = self.out / _STORE
        _mend(file)
        storage = JournalStorage(JournalFileBackend(str(file)))
        study = optuna.create_study(storage=storage, study_name="search", direction="maximize", load_if_exists=True)
        study.pruner = self._pruner()
        sections = {"name", "evaluate", "search", "study"}
        asked = self.settings.model_dump(mode="json", exclude={"trials", "tokens"})
        made_of = {
            "recipe": digest(self.recipe.model_dump(mode="json", exclude=sections)),
            "search": digest(asked),
            "texts": prepared.key,
        }
        known = study.user_attrs.get("made_of")
        if known is None:
            study.set_user_attr("made_of", made_of)
        elif changed := [name for name, key in made_of.items() if known.get(name) != key]:
            raise CheckpointError(
                f"{self.out}: holds the trials of another search (changed: {', '.join(changed)}). Give this one a folder "
                "of its own with --out, or delete the old one."
            )
        return study

    # ------------------------------------------------------------ one trial after the other

    def loop(self) -> None:
        """Run trials until there are enough."""
        import optuna

        unfinished = [t for t in self.study.get_trials() if t.state == optuna.trial.TrialState.RUNNING]
        waiting = [optuna.trial.Trial(self.study, frozen._trial_id) for frozen in unfinished]
        while True:
            while self._runner.free:
                if waiting:
                    self._begin(waiting.pop(0))
                elif not self._enough():
                    self._begin(self._ask())
                else:
                    break
            if not self._running:
                return
            ended = self._runner.next(_PAUSE)
            for number in list(self._running):
                self._look(number, ended)
            self._tell_progress()

    def _enough(self) -> bool:
        done = self.study.get_trials(deepcopy=False)
        spent = sum(t.user_attrs.get("tokens", 0) for t in done)
        return len(done) >= self.wanted or (self.settings.tokens is not None and spent >= self.settings.tokens)

    def _ask(self) -> optuna.trial.Trial:
        """The next values. Every trial has a sampler of its own seed, so a search that was stopped goes on alike."""
        number = len(self.study.get_trials(deepcopy=False))
        first = own_values(self.recipe, self.settings) if number == 0 and not self._grid else None
        given = self._grid[number] if self._grid else first
        if given is not None:
            space = self.settings.space
            self.study.enqueue_trial({path: parameter_of(space[path], value) for path, value in given.items()})
        self.study.sampler = self._sampler(number)
        asked = self.study.ask(self._distributions)
        asked.set_user_attr("own", first is not None)
        return asked

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        from optuna import samplers

        seed = int.from_bytes(hashlib.sha256(f"{self.settings.seed} {number}".encode()).digest()[:4], "little")
        if self.settings.sampler == "bayesian":
            return samplers.TPESampler(
                seed=seed,
                multivariate=True,
                n_startup_trials=self.settings.startup,
                constant_liar=self.jobs > 1,
            )
        return samplers.RandomSampler(seed=seed)

    def _pruner(self) -> optuna.pruners.BasePruner:
        from optuna import pruners

        if self.settings.pruner == "median":
            return pruners.MedianPruner(n_startup_trials=self.settings.startup, n_warmup_steps=2)
        if self.settings.pruner == "hyperband":
            return pruners.HyperbandPruner(min_resource=4, max_resource=20, reduction_factor=3)
        return pruners.NopPruner()

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe's values of Optuna's parameters."""
        return {path: value_of(d, parameters[path]) for path, d in self.settings.space.items()}

    def job(self, number: int, values: Mapping[str, Any]) -> tuple[trial.Job, Mapping[str, Artifact]]:
        """The trial of these values, and the shared stages as they are without the halving of dev."""
        recipe, given = self._shared.take(with_values(self.recipe, values))
        given = {**given, "model": self._shared.model(recipe)}
        prepared = given["prepare"]
        place = self.out / "shared" / f"half-{prepared.key[:10]}"
        halved = {**given, "prepare": dev_split.with_dev(prepared, self.halves[0], place)}
        return trial.Job(number, recipe, self.out / "trials" / f"{number:03}", halved, self.halves), given

    def _begin(self, asked: optuna.trial.Trial) -> None:
        values = self.values(asked.params)
        self.listener.say(f"search: trial {asked.number}: {told(values)}")
        for other in self.study.get_trials(deepcopy=False):
            if ended_well(other) and other.params == asked.params:
                self._copy(asked, other)
                return
        try:
            job, _ = self.job(asked.number, values)
        except DragomanError as error:
            self._fail(asked, str(error), 0.0)
            return
        self._running[asked.number] = _Place(asked, job, self._runner.give(job), time.perf_counter())

    def _look(self, number: int, ended: Ended[trial.Job, None] | None) -> None:
        """Report what is new; end the trial when it has ended or has fallen behind."""
        import optuna

        here = self._running[number]
        asked, job = here.asked, here.job
        alive = ended is None or ended.number != here.number
        known = self.study.get_trials(deepcopy=False)[number].intermediate_values
        for place, score, tokens in trial.points(job.folder, self.settings.metric):
            if place not in known:
                asked.report(score, place)
                if alive and place < 20 and asked.should_prune():
                    self._runner.stop(here.number)
                    del self._running[number]
                    # not those until it stopped: how soon that was would decide how many trials a budget has
                    asked.set_user_attr("tokens", tokens)
                    asked.set_user_attr("seconds", round(time.perf_counter() - here.begun, 2))
                    self.study.tell(asked, state=optuna.trial.TrialState.PRUNED)
                    trial.tidy(job.folder, model=False)
                    self.listener.say(f"search: trial {number} falls behind after {place / 20:.0%}: ended")
                    return
        if ended is not None and not alive:
            del self._running[number]
            self._end(asked, job, ended.error)

    def _end(self, asked: optuna.trial.Trial, job: trial.Job, error: Exception | None) -> None:
        lost = f"{error and explain(error)}, most likely killed for want of memory; see {trial.LOG}"
        found = trial.result(job) or {"failed": lost, "seconds": 0.0}
        asked.set_user_attr("tokens", trial.tokens(job.folder))
        if found["failed"]:
            self._fail(asked, found["failed"], found["seconds"])
            trial.tidy(job.folder, model=False)
            return
        scored = dev_split.score(job.folder / trial.TRANSLATIONS, self.settings.metric)
        selection, held_out = (scored[name].score.value for name in dev_split.NAMES)
        before = self.best()
        asked.set_user_attr("seconds", found["seconds"])
        asked.set_user_attr("held_out", held_out)
        self.study.tell(asked, selection)
        better = self.best() == asked.number
        trial.tidy(job.folder, model=better)
        if better and before is not None:
            trial.tidy(self.out / "trials" / f"{before:03}", model=False)
        self.listener.say(f"search: trial {asked.number}: {selection:.2f}{' (best)' if better else ''}")

    def _fail(self, asked: optuna.trial.Trial, why: str, seconds: float) -> None:
        """A failed trial counts as ended early, for samplers pass over failures and would walk into them again."""
        import optuna

        asked.set_user_attr("failed", why)
        asked.set_user_attr("seconds", seconds)
        self.study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        self.listener.warn(f"search: trial {asked.number} failed: {why}")
        failed = sum("failed" in t.user_attrs for t in self.study.get_trials(deepcopy=False))
        if failed >= _HOPELESS and self.best() is None:
            raise ModelError(f"the search's first {failed} trials failed, and none ended well. The last one: {why}")

    def _copy(self, asked: optuna.trial.Trial, other: optuna.trial.FrozenTrial) -> None:
        """The same values give the same model: nothing is trained."""
        asked.set_user_attr("copy_of", other.number)
        asked.set_user_attr("held_out", other.user_attrs["held_out"])
        self.study.tell(asked, other.value)
        self.listener.say(f"search: trial {asked.number} has the values of trial {other.number}")

    def best(self) -> int | None:
        """The number of the best trial: the first of the highest."""
        done = [(t.value or 0.0, -t.number) for t in self.study.get_trials(deepcopy=False) if ended_well(t)]
        return -max(done)[1] if done else None

    def _tell_progress(self) -> None:
        done = self.study.get_trials(deepcopy=False)
        number = self.best()
        facts = {} if number is None else {"best": f"{done[number].value:.2f}"}
        self.listener.progress("search", len(done) - len(self._running), max(self.wanted, len(done)), **facts)

    # ------------------------------------------------------------ the end

    def finish(self) -> dict[str, Any]:
        """The record; with it the page, the best recipe and its test score are written."""
        number = self.best()
        if number is None:
            raise ModelError("no trial of the search came to its end. See the warnings above.")
        record = summary(self.recipe.name, self.settings, self.study, self.out, self.jobs)
        values = self.values(self.study.get_trials(deepcopy=False)[number].params)
        record["test"] = self._test(number, values)
        record["recipe"] = str(self._write_best(number, values))
        write_json(self.out / report.RECORD, record)
        report.render(self.out)
        return record

    def _test(self, number: int, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The best trial's scores on the test sets, as an evaluated run in `best`; none where there is no test set."""
        job, given = self.job(number, values)
        evaluate = (job.recipe.evaluate or Evaluate()).model_copy(update={"sets": ["test"], "must_gain": {}})
        if not _holds(given["prepare"].folder / "test") and not evaluate.files:
            self.listener.warn("search: there is no test set, so nothing tells how good the best trial is on new texts")
            return []
        trained = {name: Artifact.load(job.folder / name) for name in ("plan", "train")}
        done = pipeline.run(
            job.recipe.model_copy(update={"evaluate": evaluate}),
            self.out / "best",
            stages=["evaluate"],
            given={**given, **trained},
            listener=self.listener,
        )
        return list(done["evaluate"].facts["scores"])

    def _write_best(self, number: int, values: Mapping[str, Any]) -> Path:
        """The recipe with the best values, beside the original: its paths hold there. A search in a folder of its own
        name does not write over what another one has found."""
        stem = Path(self.recipe.file).stem if self.recipe.file else "recipe"
        name = stem if self.out.name == FOLDER else f"{stem}.{self.out.name}"
        path = (self.recipe.folder if self.recipe.file else self.out) / f"{name}.best.yaml"
        head = f"# {self.recipe.file or 'The recipe'} with the values of trial {number} of the search in {self.out}.\n"
        write_atomic(path, head.encode() + with_values(self.recipe, values).to_yaml().encode())
        return path


def _holds(folder: Path) -> bool:
    return records.there_are(folder)


def _mend(file: Path) -> None:
    """Cut off a line that a killed process left unfinished."""
    if file.is_file() and (text := file.read_bytes()) and not text.endswith(b"\n"):
        write_atomic(file, text[: text.rfind(b"\n") + 1])

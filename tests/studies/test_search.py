"""A search, its trials played by functions: values are asked for, trials watched, ended, resumed, judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import spearmanr

from dragoman.core.listen import Listener
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.errors import CheckpointError, DataError, ModelError, RecipeError
from dragoman.jobs.pools import Event
from dragoman.report import search as report
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact, write_json
from dragoman.studies import dev_split, search, trial
from dragoman.studies.summary import optimism
from tests.heard import Heard

RECIPE = """
name: toy
pairs: [en-de]
prepare: {parallel: data/a.tsv}
model: {new: {}}
train:
  - sft: {learning_rate: 1e-3, dropout: 0.1}
search:
  space:
    train.0.sft.learning_rate: {log: [1e-4, 1e-2]}
    train.0.sft.dropout: {uniform: [0, 0.5]}
  trials: 6
  startup: 3
"""
Quality = Callable[[Mapping[str, Any]], float]


def parsed(*overrides: str) -> Recipe:
    return Recipe.parse(RECIPE, "recipe.yaml", overrides)


class FakeShared:
    """The shared stages, made of nothing."""

    def __init__(self, base: Recipe, folder: Path, listener: Listener) -> None:
        del base, listener
        rows = [Example(f"source {i}", " ".join(f"w{i}-{k}" for k in range(20)), "en", "de") for i in range(16)]
        records.write(folder / "prepare" / "dev", rows, Example)
        self.prepared = Artifact.finish(folder / "prepare", "prepare", "texts", {})
        self.made = Artifact.finish(folder / "model", "model", "base", {})

    def take(self, recipe: Recipe) -> tuple[Recipe, Mapping[str, Artifact]]:
        return recipe, {"prepare": self.prepared}

    def model(self, recipe: Recipe) -> Artifact:
        del recipe
        return self.made


class Player:
    """A pool of one place, whose trials are as good as `quality` says (0 to 1), and end after so many `looks`."""

    size = 1

    def __init__(self, quality: Quality, looks: int = 1) -> None:
        self.quality, self.looks = quality, looks
        self.started: list[dict[str, Any]] = []
        self.stopped: list[int] = []
        self.break_at: int | None = None
        self.played: Played | None = None

    def give(self, place: int, job: trial.Job) -> None:
        sft = job.recipe.train[0].sft
        assert sft is not None
        self.started.append({"number": job.number, **sft.model_dump()})
        self.played = Played(self, job, sft.model_dump())

    def wait(self, seconds: float | None) -> Event | None:
        assert self.played is not None
        return None if self.played.alive() else (0, "done", None)

    def stop(self, place: int) -> None:
        assert self.played is not None
        self.stopped.append(self.played.job.number)

    def close(self) -> None:
        if self.played is not None and self.played.looked < self.looks:
            self.stop(0)


class Played:
    def __init__(self, player: Player, job: trial.Job, values: Mapping[str, Any]) -> None:
        self.player, self.job, self.values, self.looked = player, job, values, 0
        (job.folder / "plan").mkdir(parents=True, exist_ok=True)
        facts = {"phases": [{"name": "0-sft", "settings": {"steps": 100}}]}
        Artifact.finish(job.folder / "plan", "plan", "p", facts)

    def alive(self) -> bool:
        if self.player.break_at == self.job.number:
            self.player.break_at = None
            raise KeyboardInterrupt
        self.looked += 1
        try:
            good = self.player.quality(self.values)
        except ValueError as error:
            return self._ended(str(error))
        events = [
            {"event": kind, "step": step, "tokens": step * 10, "chrf": 100 * good * step / 100, "bleu": 1.0}
            for step in range(10, 100 * self.looked // self.player.looks + 1, 10)
            for kind in ("step", "evaluate")
        ]
        log = self.job.folder / "train" / "0-sft" / "metrics.jsonl"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(json.dumps(e) + "\n" for e in events), encoding="utf-8")
        for name in ("checkpoints", "model"):
            (log.parent / name).mkdir(exist_ok=True)
        if self.looked < self.player.looks:
            return True
        lines = []
        for name, rows in zip(dev_split.NAMES, self.job.halves, strict=True):
            for row in rows:
                words = row.target.split()[: max(1, round(20 * good))]
                line = {"half": name, "direction": "en>de", "source": row.source, "reference": row.target}
                lines.append(json.dumps({**line, "hypothesis": " ".join(words)}) + "\n")
        (self.job.folder / trial.TRANSLATIONS).write_text("".join(lines), encoding="utf-8")
        return self._ended("")

    def _ended(self, failed: str) -> bool:
        write_json(self.job.folder / trial.RESULT, {"key": self.job.key, "failed": failed, "seconds": 2.0})
        return False


def smooth(values: Mapping[str, Any]) -> float:
    """Best at a dropout of 0.3 and the largest rate."""
    return float(1 - 1.5 * abs(values["dropout"] - 0.3) - 20 * (1e-2 - values["learning_rate"]))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "Shared", FakeShared)
    monkeypatch.setattr(search, "_PAUSE", 0)
    monkeypatch.setattr(
        search.report, "render", lambda folder: folder
    )  # figures take long; where they matter: report.page


def table(found: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(r["number"], r["state"], r["values"], r["selection"], r["held_out"], r["tokens"]) for r in found["trials"]]


# ---------------------------------------------------------------- what comes out


@pytest.mark.slow
def test_a_search_finds_writes_and_shows_the_best(tmp_path: Path) -> None:
    player = Player(smooth)
    found = search.run(parsed(), tmp_path / "a", pool=player)
    assert [row["number"] for row in found["trials"]] == list(range(6))
    assert found["trials"][0]["own"]
    assert found["trials"][0]["values"] == {"train.0.sft.learning_rate": 1e-3, "train.0.sft.dropout": 0.1}
    best = max(found["trials"], key=lambda row: row["selection"])
    assert found["best"]["number"] == best["number"] != 0
    assert found["best"]["held_out"]["value"] == pytest.approx(best["held_out"])
    assert found["own"]["gain"] == pytest.approx(best["held_out"] - found["trials"][0]["held_out"])
    assert found["cost"] == {"tokens": 6000, "seconds": 12.0}
    assert sum(found["importance"].values()) == pytest.approx(1)
    assert json.loads((tmp_path / "a" / report.RECORD).read_text(encoding="utf-8"))["trials"] == found["trials"]
    page = report.page(report.read(tmp_path / "a"))
    assert "train.0.sft.learning_rate" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert f"best: trial {best['number']}" in report.table(found)
    for flattered, told, shown in (
        (0.5, "0.50 too much", "shrinks by 0.50"),
        (-0.5, "0.50 too little", "grows by 0.50"),
    ):
        other = {**found, "optimism": {**found["optimism"], "optimism": flattered}}
        assert told in report.table(other) and shown in report.page(other)
    assert "optuna" in found["versions"]
    assert Path(found["recipe"]).name == "recipe.a.best.yaml"
    again = Recipe.load(Path(found["recipe"]))
    sft = again.train[0].sft
    assert sft is not None
    assert sft.dropout == best["values"]["train.0.sft.dropout"]
    assert again.search is None
    models = sorted(path.parts[-4] for path in (tmp_path / "a").glob("trials/*/train/0-sft/model"))
    assert models == [f"{best['number']:03}"]
    assert not list((tmp_path / "a").glob("trials/*/train/0-sft/checkpoints"))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["bayesian", "random"])
def test_two_searches_are_the_same_and_another_seed_is_another(tmp_path: Path, sampler: str) -> None:
    recipe = parsed(f"search.sampler={sampler}")
    first = search.run(recipe, tmp_path / "a", pool=Player(smooth))
    second = search.run(recipe, tmp_path / "b", pool=Player(smooth))
    other = search.run(parsed(f"search.sampler={sampler}", "search.seed=1"), tmp_path / "c", pool=Player(smooth))
    assert table(first) == table(second)
    assert first["optimism"] == second["optimism"]
    assert table(first)[1:] != table(other)[1:]


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 4])
def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(tmp_path: Path, at: int) -> None:
    whole = search.run(parsed(), tmp_path / "a", pool=Player(smooth))
    player = Player(smooth)
    player.break_at = at
    with pytest.raises(KeyboardInterrupt):
        search.run(parsed(), tmp_path / "b", pool=player)
    assert player.stopped == [at]
    store = tmp_path / "b" / "trials.log"
    store.write_bytes(store.read_bytes() + b'{"op_code": 4, "wor')  # as a killed process leaves it
    found = search.run(parsed(), tmp_path / "b", pool=player)
    assert table(found) == table(whole)
    assert [row["number"] for row in player.started] == [*range(at + 1), *range(at, 6)]


def test_a_search_that_has_ended_can_be_made_longer(tmp_path: Path) -> None:
    whole = search.run(parsed("search.trials=6"), tmp_path / "a", pool=Player(smooth))
    search.run(parsed("search.trials=4"), tmp_path / "b", pool=Player(smooth))
    player = Player(smooth)
    assert table(search.run(parsed("search.trials=6"), tmp_path / "b", pool=player)) == table(whole)
    assert [row["number"] for row in player.started] == [4, 5]
    with pytest.raises(CheckpointError, match=r"another search \(changed: search\)"):
        search.run(parsed("search.seed=9"), tmp_path / "b", pool=player)
    with pytest.raises(CheckpointError, match=r"changed: recipe"):
        search.run(parsed("train.0.sft.clip=2"), tmp_path / "b", pool=player)


# ---------------------------------------------------------------- trials that do not go their way


@pytest.mark.slow
@pytest.mark.parametrize("looks", [10, 4])
def test_trials_that_fall_behind_are_ended(tmp_path: Path, looks: int) -> None:
    player = Player(smooth, looks)
    found = search.run(parsed("search.trials=14"), tmp_path, pool=player)
    pruned = [row for row in found["trials"] if row["state"] == "pruned"]
    assert [row["number"] for row in pruned] == player.stopped
    assert pruned
    for row in pruned:
        assert row["number"] >= 3
        assert row["tokens"] == 1000 * row["curve"][-1][0]  # until the evaluation that it was ended by
        rivals = [r["curve"] for r in found["trials"][: row["number"]] if len(r["curve"]) >= len(row["curve"])]
        share, own = row["curve"][-1]
        better = sum(dict(map(tuple, curve))[share] > own for curve in rivals)
        assert better >= len(rivals) / 2
    assert found["cost"]["tokens"] < 14 * 1000
    assert (
        not search.run(parsed("search.pruner=none"), tmp_path / "none", pool=Player(smooth, 10))["cost"]["tokens"]
        % 1000
    )


def test_hyperband_gives_few_trials_the_whole_time(tmp_path: Path) -> None:
    recipe = parsed("search.trials=9", "search.pruner=hyperband")
    found = search.run(recipe, tmp_path, pool=Player(smooth, looks=10))
    lengths = [row["curve"][-1][0] for row in found["trials"]]
    assert {row["state"] for row in found["trials"]} == {"pruned", "complete"}
    assert min(lengths) < 0.5 < max(lengths) == 1


@pytest.mark.slow
def test_failures_are_shown_and_the_others_stand(tmp_path: Path) -> None:
    def fragile(values: Mapping[str, Any]) -> float:
        if values["dropout"] > 0.2:
            raise ValueError("the loss is nan")
        return smooth(values)

    found = search.run(parsed("search.trials=8"), tmp_path, pool=Player(fragile))
    failed = [row for row in found["trials"] if row["state"] == "failed"]
    assert failed
    assert all(row["failed"] == "the loss is nan" and row["values"]["train.0.sft.dropout"] > 0.2 for row in failed)
    assert all(row["selection"] is None for row in failed)
    assert "the loss is nan" in report.page(found)


def test_where_every_trial_fails_the_search_gives_up(tmp_path: Path) -> None:
    def broken(values: Mapping[str, Any]) -> float:
        raise ValueError("no pairs")

    player = Player(broken)
    with pytest.raises(ModelError, match="first 3 trials failed.*no pairs"):
        search.run(parsed(), tmp_path, pool=player)
    assert len(player.started) == 3


def test_values_that_were_tried_are_not_trained_again(tmp_path: Path) -> None:
    space = "search.space={train.0.sft.schedule: {choice: [cosine, linear]}}"
    player = Player(lambda values: 0.9 if values["schedule"] == "linear" else 0.5)
    found = search.run(parsed(space), tmp_path, pool=player)
    assert len(player.started) == 2
    copies = [row for row in found["trials"] if row["state"] == "copy"]
    assert len(copies) == 4
    for row in copies:
        original = found["trials"][row["copy_of"]]
        assert (row["values"], row["selection"], row["tokens"]) == (original["values"], original["selection"], 0)
    assert found["best"]["number"] == next(r["number"] for r in found["trials"] if "linear" in r["values"].values())
    assert found["importance"] == {}
    assert "as trial" in report.page(found)


def test_a_budget_of_tokens_ends_the_search(tmp_path: Path) -> None:
    found = search.run(parsed("search.tokens=2500"), tmp_path, pool=Player(smooth))
    assert found["cost"]["tokens"] == 3000


# ---------------------------------------------------------------- the space


def test_a_grid_has_every_combination_once(tmp_path: Path) -> None:
    space = (
        "search.space={train.0.sft.dropout: {uniform: [0, 0.4], points: 3}, train.0.sft.epochs: {int: [1, 5], step: 2}, "
        "train.0.adapt: {choice: [full, {method: lora, rank: 4}]}}"
    )
    recipe = parsed(space, "search.sampler=grid", "search.trials=100")
    found = search.run(recipe, tmp_path, pool=Player(lambda values: 0.5 + values["dropout"]))
    values = [row["values"] for row in found["trials"]]
    assert len({json.dumps(v, sort_keys=True) for v in values}) == len(values) == 18
    assert {v["train.0.sft.dropout"] for v in values} == {0, 0.2, 0.4}
    assert {v["train.0.sft.epochs"] for v in values} == {1, 3, 5}
    assert {"method": "lora", "rank": 4} in [v["train.0.adapt"] for v in values]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.space={train.0.sft.lerning_rate: {log: [1e-4, 1e-2]}}", "Did you mean 'learning_rate'"),
        (
            "search.space={train.0.sft.dropout: {uniform: [0, 1.5]}}",
            "search.space: train.0.sft.dropout: should be less",
        ),
        ("search.space={train.3.sft.dropout: {uniform: [0, 1]}}", "search.space: 'train.3.sft.dropout"),
        ("search.space={train.0.sft.schedule: {choice: [cosine, round]}}", "train.0.sft.schedule: should be"),
        ("search.space={seed: {int: [1, 3]}}", "'seed': trials must share their `seed`"),
        ("search=", "no section `search`"),
        ("model=", "needs a `model` section"),
    ],
)
def test_what_does_not_fit_the_recipe_is_told_before_anything_runs(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message.replace("(", r"\(")):
        search.run(parsed(override), tmp_path / "out", pool=Player(smooth))
    assert not (tmp_path / "out").exists()


def test_a_key_that_another_one_overrules_is_refused(tmp_path: Path) -> None:
    """Tokens win over epochs, so that all trials would be the same."""
    recipe = parsed("search.space={train.0.sft.epochs: {int: [1, 3]}}", "train.0.sft.tokens=1000")
    with pytest.raises(RecipeError, match="epochs: changes nothing, for train.0.sft.tokens is given"):
        search.run(recipe, tmp_path / "out", pool=Player(smooth))


# ---------------------------------------------------------------- halves and figures


def test_the_halves_of_dev_share_nothing_and_have_the_same_languages() -> None:
    rows = [Example(f"s{i}", f"t{i}", "en", "fr" if i < 10 else "de") for i in range(30)]
    first, second = dev_split.split(rows, 0, None)
    assert sorted(map(id, first + second)) == sorted(map(id, rows))
    assert [sum(r.target_language == "fr" for r in half) for half in (first, second)] == [5, 5]
    some, others = dev_split.split(rows, 0, 6)
    assert len(some) == len(others) == 6
    assert {id(r) for r in some} <= {id(r) for r in first}
    assert dev_split.split(rows, 1, None) != (first, second)
    with pytest.raises(DataError, match="dev has 3 pairs"):
        dev_split.split(rows[:3], 0, None)


def test_what_the_choice_promised_too_much() -> None:
    scores = [(50.0, 48.0), (54.0, 49.0), (52.0, 50.0), (40.0, 39.0)]
    rows = [{"number": n, "state": "complete", "selection": s, "held_out": h} for n, (s, h) in enumerate(scores)] + [
        {"number": 4, "state": "pruned", "selection": None, "held_out": None}
    ]
    found = optimism(rows)
    assert found["difference"] == pytest.approx(2.5)  # (2 + 5 + 2 + 1) / 4
    assert found["optimism"] == pytest.approx(54 - 49 - 2.5)
    assert found["regret"] == pytest.approx(1.0)
    assert found["held_out_best"] == 2
    assert found["path"] == [[1, 47.5, 48.0], [2, 51.5, 49.0], [3, 51.5, 49.0], [4, 51.5, 49.0]]
    assert found["rank_correlation"] == pytest.approx(spearmanr(*zip(*scores, strict=True)).statistic)


def test_without_a_test_set_it_says_so(tmp_path: Path) -> None:
    ear = Heard()
    assert search.run(parsed("search.trials=2"), tmp_path, pool=Player(smooth), listener=ear)["test"] == []
    assert "there is no test set" in ear.warned[-1]

"""What every curriculum holds, whatever it is told; textbook oracles of the bandits; schedules."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.curriculum import METHODS, Curriculum, Observation, make, opustrainer
from dragoman.core.curriculum.base import floored
from dragoman.errors import CheckpointError, RecipeError

TASKS = ("lm", "mt", "replay")
STAGES = {"start": ["lm 0.7", "mt 0.2", "replay 0.1", "until 40%"], "end": ["mt 1", "until mt inf"]}
OPTIONS: dict[str, dict[str, Any]] = {
    "temperature": {"sizes": {"lm": 5e6, "mt": 4e5, "replay": 1e5}},
    "schedule": {"stages": STAGES},
    "objective": {"evidence": "both", "limit": 0.1, "guard": ("replay",)},
}
LEARNING = ("exp3s", "fair", "objective")
KINDS = [(method, {}) for method in METHODS] + [("exp3s", {"per": "window"}), ("fair", {"per": "share"})]


def curriculum(
    method: str, prior: Mapping[str, float] | None = None, floor: Any = None, seed: int = 7, **options: Any
) -> Curriculum:
    return make(
        method, prior or dict.fromkeys(TASKS, 1.0), floor=floor, seed=seed, **{**OPTIONS.get(method, {}), **options}
    )


def observation(step: int, window: Mapping[str, float], draw: Any, progress: float = 0.0) -> Observation:
    """A window's observation with numbers from `draw()`, which lie in 0 to 1."""
    return Observation(
        step,
        {task: round(10_000 * share) for task, share in window.items()},
        probe_before={task: 3 + draw() for task in window},
        probe_after={task: 2.8 + draw() for task in window},
        objective=20 + 10 * draw() if step % 3 == 0 else None,
        objective_loss=(3 + draw(), 2.9 + draw()),
        forgetting=0.2 * draw() if step % 2 == 0 else None,
        epochs={task: 0.1 * step for task in window},
        progress=progress,
    )


def trained(found: Curriculum, windows: int, seed: int = 3, start: int = 0) -> list[dict[str, float]]:
    shares = []
    for step in range(start, start + windows):
        rng = np.random.default_rng([seed, step])
        found.observe(observation(step, found.window, rng.random, progress=step / 30))
        shares.append(found.shares)
    return shares


# ---------------------------------------------------------------- properties


@pytest.mark.slow
@pytest.mark.parametrize("method, options", KINDS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_shares_sum_to_one_and_keep_their_floors(method: str, options: dict[str, Any], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 10), min_size=3, max_size=3))
    floors = data.draw(st.lists(st.floats(0, 0.3), min_size=3, max_size=3))
    floor = dict(zip(TASKS, floors, strict=True))
    found = curriculum(method, dict(zip(TASKS, weights, strict=True)), floor, **options)
    number = st.floats(0, 1)
    for step in range(6):
        assert math.isclose(sum(found.shares.values()), 1, abs_tol=1e-9)
        assert math.isclose(sum(found.window.values()), 1, abs_tol=1e-9)
        assert all(found.shares[task] >= floor[task] - 1e-9 for task in TASKS)
        assert all(found.window[task] >= floor[task] - 1e-9 for task in TASKS)
        found.observe(observation(step, found.window, lambda: data.draw(number), progress=step / 6))


@pytest.mark.parametrize("method, options", KINDS)
def test_the_shares_depend_on_what_tasks_did_not_on_their_names(method: str, options: dict[str, Any]) -> None:
    renamed = {"lm": "x", "mt": "a", "replay": "m"}

    def named(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {renamed.get(key, key): named(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [named(inner) for inner in value]
        if isinstance(value, tuple):
            return tuple(renamed.get(inner, inner) for inner in value)
        return " ".join(renamed.get(word, word) for word in value.split()) if isinstance(value, str) else value

    prior = {"lm": 2.0, "mt": 1.0, "replay": 1.0}
    first = curriculum(method, prior, **options)
    other = make(method, named(prior), seed=7, **named({**OPTIONS.get(method, {}), **options}))
    for step in range(12):
        seen = observation(step, first.window, np.random.default_rng(step).random, step / 12)
        first.observe(seen)
        other.observe(Observation(**{key: named(getattr(seen, key)) for key in seen.__dataclass_fields__}))
        assert other.shares == named(first.shares)
        assert other.window == named(first.window)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "objective"])
def test_the_order_of_the_tasks_does_not_matter_where_nothing_is_drawn(method: str) -> None:
    prior = {"lm": 2.0, "mt": 1.0, "replay": 1.0}
    first, other = curriculum(method, prior), curriculum(method, dict(reversed(prior.items())))
    for step in range(8):
        seen = observation(step, first.window, np.random.default_rng(step).random, step / 8)
        first.observe(seen)
        other.observe(seen)
        assert other.shares == pytest.approx(first.shares)


def steady(step: int, window: Mapping[str, float]) -> Observation:
    """Every token of every task does the same."""
    return Observation(
        step,
        {task: round(1_000_000 * share) for task, share in window.items()},
        probe_before=dict.fromkeys(window, 3.0),
        probe_after={task: 3.0 - 0.1 * share for task, share in window.items()},
        objective=float(step),
        objective_loss=(3.0, 2.9),
        forgetting=0.01 * step,
    )


@pytest.mark.parametrize(
    "method, options",
    [
        ("exp3s", {}),
        ("fair", {"per": "share"}),
        ("objective", {"limit": 0.5, "guard": ()}),
    ],
)
def test_constant_rewards_keep_the_prior(method: str, options: dict[str, Any]) -> None:
    prior = {"lm": 0.6, "mt": 0.3, "replay": 0.1}
    found = curriculum(method, prior, **options)
    for step in range(25):
        found.observe(steady(step, found.window))
    assert found.shares == pytest.approx(prior, abs=1e-6)


@pytest.mark.parametrize("prior", [{"lm": 0.5, "mt": 0.5}, {"lm": 0.9, "mt": 0.1}])
def test_equal_gains_of_windows_keep_the_prior_of_fair(prior: dict[str, float]) -> None:
    found = curriculum("fair", prior)
    for step in range(25):
        seen = steady(step, found.window)
        found.observe(
            Observation(step, seen.tokens, probe_before=seen.probe_before, probe_after=dict.fromkeys(prior, 2.9))
        )
    assert found.shares == pytest.approx(prior)


@pytest.mark.parametrize("method, options", KINDS)
def test_a_restored_curriculum_goes_on_as_the_same(method: str, options: dict[str, Any]) -> None:
    whole, first = curriculum(method, **options), curriculum(method, **options)
    expected = trained(whole, 21)
    trained(first, 10)
    again = curriculum(method, **options)
    again.restore(json.loads(json.dumps(first.state())))
    assert again.window == first.window
    assert trained(again, 11, start=10) == expected[10:]
    assert again.state() == whole.state()
    assert again.average == whole.average


def test_a_state_of_another_curriculum_is_refused() -> None:
    state = curriculum("fair").state()
    with pytest.raises(CheckpointError, match="`fair`"):
        curriculum("exp3s").restore(state)
    with pytest.raises(CheckpointError, match="over"):
        make("fair", {"lm": 1, "mt": 1}).restore(state)


def test_the_seed_decides_what_is_drawn() -> None:
    def windows(seed: int) -> list[Mapping[str, float]]:
        found = curriculum("objective", seed=seed)
        drawn = []
        for step in range(10):
            drawn.append(found.window)
            found.observe(observation(step, found.window, np.random.default_rng(step).random))
        return drawn

    assert windows(1) == windows(1)
    assert windows(1) != windows(2)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5).filter(lambda x: sum(x) > 0.1), st.data())
def test_floors_leave_shares_above_them_in_proportion(raw: list[float], data: st.DataObject) -> None:
    shares = [value / sum(raw) for value in raw]
    floors = data.draw(st.lists(st.floats(0, 1 / len(raw)), min_size=len(raw), max_size=len(raw)))
    found = floored(shares, floors)
    assert math.isclose(sum(found), 1, abs_tol=1e-9)
    assert all(value >= low - 1e-12 for value, low in zip(found, floors, strict=True))
    free = [i for i, low in enumerate(floors) if found[i] > low + 1e-9 and shares[i] > 1e-9]
    ratios = [found[i] / shares[i] for i in free]
    assert all(math.isclose(ratio, ratios[0], rel_tol=1e-6) for ratio in ratios)
    if all(share >= low for share, low in zip(shares, floors, strict=True)):
        assert found == pytest.approx(shares)


# ---------------------------------------------------------------- oracles


def scaled(history: list[float], reward: float) -> float:
    if not history:
        return 0.0
    low, high = np.percentile(history, 20), np.percentile(history, 80)
    return 0.0 if high == low else float(np.clip(2 * (reward - low) / (high - low) - 1, -1, 1))


def rewards(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal([0.01, 0.03, 0.02], 0.01, size=(80, 3))


def test_exp3s_is_that_of_graves_with_every_reward_known() -> None:
    eta, epsilon, n = 0.05, 0.1, 3
    found = curriculum("exp3s", floor=0.0, explore=epsilon, rate=eta, relative=False)
    w: np.ndarray = np.zeros(n)
    history: list[float] = []
    for t, row in enumerate(rewards(2), start=1):
        pi = (1 - epsilon) * np.exp(w) / np.exp(w).sum() + epsilon / n
        shares = list(found.shares.values())
        assert shares == pytest.approx(pi.tolist())
        tokens = {task: round(1_000_000 * share) for task, share in found.shares.items()}
        found.observe(
            Observation(
                t,
                tokens,
                probe_before=dict.fromkeys(TASKS, 2.0),
                probe_after={task: 2.0 - row[i] for i, task in enumerate(TASKS)},
            )
        )
        gains = [row[i] / (tokens[task] / sum(tokens.values())) for i, task in enumerate(TASKS)]
        r = np.array([scaled(history, gain) for gain in gains])
        history = [*history, *gains][-200:]
        a = 1 / t
        moved = np.exp(w + eta * r)
        w = np.log([(1 - a) * moved[i] + a / (n - 1) * (moved.sum() - moved[i]) for i in range(n)])


def test_fair_is_proportional_to_a_moving_average() -> None:
    found = curriculum("fair", {"lm": 1, "mt": 1}, floor=0.0, memory=0.5)
    for step in range(2):
        found.observe(
            Observation(
                step, {"lm": 500, "mt": 500}, probe_before={"lm": 2, "mt": 4}, probe_after={"lm": 1.9, "mt": 3.4}
            )
        )
    # gains 0.05 and 0.15; both averages start at 0.1
    lm, mt = 0.25 * 0.1 + 0.75 * 0.05, 0.25 * 0.1 + 0.75 * 0.15
    assert found.shares == pytest.approx({"lm": lm / (lm + mt), "mt": mt / (lm + mt)})


def test_temperature_is_the_power_of_the_sizes() -> None:
    sizes = {"lm": 8000.0, "mt": 1000.0}
    at = {t: make("temperature", {"lm": 1, "mt": 1}, sizes=sizes, temperature=t).shares for t in (1.0, 3.0, 1e6)}
    assert at[1.0] == pytest.approx({"lm": 8 / 9, "mt": 1 / 9})
    assert at[3.0] == pytest.approx({"lm": 2 / 3, "mt": 1 / 3})
    assert at[1e6] == pytest.approx({"lm": 0.5, "mt": 0.5}, abs=1e-5)


# ---------------------------------------------------------------- objective


def test_objective_finds_the_task_that_helps() -> None:
    last, average = [], []
    for seed in range(5):
        found = make("objective", {"lm": 1, "mt": 1}, floor=0.02, evidence="loss", seed=seed)
        rng = np.random.default_rng(seed)
        loss = 4.0
        for step in range(80):
            window = found.window
            fell = 0.01 * (0.2 * window["lm"] + 0.8 * window["mt"]) * 0.98**step  # ever slower
            found.observe(
                Observation(
                    step,
                    {task: round(1000 * share) for task, share in window.items()},
                    objective_loss=(loss, loss - fell + 0.0002 * rng.standard_normal()),
                )
            )
            loss -= fell
        last.append(found.shares["mt"])
        average.append(found.average["mt"])
    assert np.mean(last) > 0.9
    assert np.mean(average) > 0.85


def test_objective_varies_the_shares_by_the_same_length_in_every_first_pair() -> None:
    """With two tasks there is one direction: only which of the two comes first may differ."""
    first = []
    for seed in range(5):
        found = make("objective", {"lm": 1, "mt": 1}, evidence="loss", seed=seed)
        first.append(sorted(found.window.values()))
    assert first == [pytest.approx(first[0])] * 5
    assert first[0][1] > 0.9


def test_objective_gives_the_guard_more_while_too_much_is_forgotten() -> None:
    found = curriculum("objective", evidence="loss", limit=0.05, guard=("replay",))
    for step in range(10):
        tokens = {task: round(1000 * share) for task, share in found.window.items()}
        found.observe(Observation(step, tokens, objective_loss=(3.0, 2.99), forgetting=0.2))
    assert found.shares["replay"] > 0.6


def test_each_method_says_what_must_be_measured() -> None:
    assert curriculum("fair").needs == {"probes"}
    assert curriculum("fair").probes == TASKS
    assert curriculum("objective").needs == {"objective", "objective_loss", "forgetting"}
    assert curriculum("static").needs == set()
    with pytest.raises(RecipeError, match="`fair` needs the probe losses of lm"):
        curriculum("fair").observe(Observation(1, {"lm": 10, "mt": 10, "replay": 10}))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "method, prior, options, message",
    [
        ("best", {"lm": 1}, {}, "no such curriculum: best"),
        ("fair", {}, {}, "at least one task"),
        ("fair", {"lm": -1, "mt": 2}, {}, "from 0 up"),
        ("static", {"lm": 0, "mt": 0}, {}, "weight 0"),
        ("static", {"lm": math.nan}, {}, "numbers"),
        ("fair", {"lm": 1, "mt": 1}, {"floor": 0.6}, "sum to 1 at most"),
        ("fair", {"lm": 1}, {"floor": {"mt": 0.1}}, "the tasks are lm"),
        ("fair", {"lm": 1}, {"memory": 1.0}, "below 1"),
        ("exp3s", {"lm": 1, "mt": 1}, {"explore": 1.5}, "between 0 and 1"),
        ("temperature", {"lm": 1, "mt": 1}, {"sizes": {"lm": 3}}, "size of every task"),
        ("objective", {"lm": 1}, {"guard": ["x"]}, "`guard` names x"),
    ],
)
def test_what_cannot_be_is_refused(method: str, prior: dict[str, float], options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make(method, prior, **options)


def test_a_small_weight_is_honoured_where_nothing_is_learned() -> None:
    assert make("static", {"lm": 0.999, "mt": 0.001}).shares["mt"] == pytest.approx(0.001)
    assert make("fair", {"lm": 0.999, "mt": 0.001}).shares["mt"] == pytest.approx(0.02)


# ---------------------------------------------------------------- schedule

OPUS = {
    "datasets": {"clean": "clean.tsv", "medium": "medium.tsv", "dirty": "dirty.tsv"},
    "stages": ["start", "mid", "end"],
    "start": ["clean 0.8", "medium 0.2", "dirty 0", "until clean 2"],
    "mid": {"mix": ["clean 0.6", "medium 0.3", "dirty 0.1", "until medium 1"]},
    "end": ["clean 0.4", "medium 0.3", "dirty 0.3", "until dirty inf"],
    "seed": 1111,
}


def test_a_schedule_of_opustrainer_is_followed() -> None:
    found = make("schedule", dict.fromkeys(("clean", "medium", "dirty"), 1.0), stages=opustrainer(OPUS))
    shares = []
    epochs = {"clean": 0.0, "medium": 0.0, "dirty": 0.0}
    for step in range(12):
        epochs = {task: value + 0.5 * found.window[task] / 0.3 for task, value in epochs.items()}
        found.observe(Observation(step, dict.fromkeys(epochs, 10), epochs=epochs))
        shares.append(tuple(found.shares.values()))
    # clean passes 4/3 epochs a window: 2 windows; medium then half an epoch a window: 2 windows more
    assert shares == [(0.8, 0.2, 0)] + 2 * [(0.6, 0.3, 0.1)] + 9 * [(0.4, 0.3, 0.3)]


def test_a_stage_may_end_with_a_share_of_the_phase() -> None:
    found = curriculum("schedule")
    for progress, share in ((0.2, 0.7), (0.4, 0.0), (0.9, 0.0)):
        found.observe(Observation(1, {"lm": 1}, progress=progress))
        assert found.shares["lm"] == pytest.approx(share)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"modifiers": [{"UpperCase": 0.05}]}, "modifiers are not applied"),
        ({"mid": {"mix": OPUS["mid"]["mix"], "modifiers": [{"TitleCase": 1}]}}, "`mid` has modifiers"),
        ({"late": ["clean 1", "until clean 1"]}, "late: described, but not in `stages`"),
        ({"stages": ["start", "mid", "end", "last"]}, "`last` of `stages` is not described"),
        ({"stages": ["start", "start"]}, "twice"),
    ],
)
def test_what_of_opustrainer_would_be_lost_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        opustrainer({**OPUS, **change})


@pytest.mark.parametrize(
    "stages, message",
    [
        ({}, "needs `stages`"),
        ({"a": ["lm 0.5", "mt 0.5"]}, "must end with a line `until"),
        ({"a": ["lm 0.5", "mt 0.4", "until lm 1"]}, "sum to 0.9"),
        ({"a": ["lm 1.5", "mt -0.5", "until lm 1"]}, "0 or more"),
        ({"a": ["lm much", "mt 0.5", "until lm 1"]}, "no number"),
        ({"a": ["lm", "until lm 1"]}, "not `TASK SHARE`"),
        ({"a": ["lm 0.5", "lm 0.5", "until lm 1"]}, "twice"),
        ({"a": ["lm 0.5", "news 0.5", "until lm 1"]}, "names news"),
        ({"a": ["lm 1", "mt 0", "until mt 1"]}, "never end"),
        ({"a": ["lm 1", "until lm 1"]}, "no stage trains mt"),
        ({"a": ["lm 1", "until lm inf"], "b": ["mt 1", "until mt 1"]}, "never reached"),
        ({"a": ["lm 1", "until 50%"], "b": ["mt 1", "until 30%"]}, "never trains"),
        ({"a": ["lm 0.5", "mt 0.5", "until lm"]}, "is not `until"),
        ({"a": ["lm 0.5", "mt 0.5", "until lm 0"]}, "more than 0"),
        ({"a": ["lm 0.5", "mt 0.5", "until 0%"]}, "above 0"),
    ],
)
def test_schedules_that_drop_something_are_refused(stages: dict[str, list[str]], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make("schedule", {"lm": 1, "mt": 1}, stages=stages)

"""Rewards of a group: what they see, how they are normalised, what gates do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.corpus import rewards
from dragoman.core.corpus.rewards import Focus, Judge, advantages
from dragoman.core.prompt.terms import Term
from dragoman.core.records import Hypothesis
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError

METHODS = ["grpo", "dr_grpo", "rloo"]
EN_DE = Direction.parse("en-de")
SOURCE = "Press <b>Start</b> and wait 5 minutes until the lamp is green."
REFERENCE = "Drücken Sie <b>Start</b> und warten Sie 5 Minuten, bis die Lampe grün ist."


def made(*texts: str, finished: bool = True) -> list[Hypothesis]:
    return [Hypothesis(text, -1.0, 10, finished) for text in texts]


def judged(*texts: str, weights: dict[str, float], gates: tuple[str, ...] = (), method: str = "grpo") -> rewards.Judged:
    judge = Judge(weights, gates, method, ["en", "de"])
    terms = [Term("lamp", "Lampe", "en", "de")]
    return judge.judge(judge.group(SOURCE, REFERENCE, EN_DE, made(*texts), terms))


def test_each_reward_sees_its_own_fault() -> None:
    texts = [
        REFERENCE,
        REFERENCE.replace("<b>", "").replace("</b>", ""),
        REFERENCE.replace("5", "6"),
        REFERENCE.replace("Lampe", "Leuchte"),
        SOURCE,
        "Start.",
    ]
    weights = dict.fromkeys(["chrf", "terms", "tags", "numbers", "language", "length"], 1.0)
    found = judged(*texts, weights=weights).values
    assert found["chrf"][0] == pytest.approx(1) and (found["chrf"][1:] < 1).all()
    assert found["tags"].tolist() == [1, 0, 1, 1, 1, 0]
    assert found["numbers"][:4].tolist() == [1, 1, 0, 1]
    assert found["terms"][:4].tolist() == [1, 1, 1, 0]
    assert found["language"][:5].tolist() == [1, 1, 1, 1, 0]
    assert found["length"].tolist()[0] == 1 and found["length"].tolist()[5] == 0


values = st.lists(st.floats(0, 1, width=32), min_size=2, max_size=8)


@given(first=values, second=values, method=st.sampled_from(METHODS), data=st.data())
def test_advantages_add_up_to_nothing_and_gates_are_worst(
    first: list[float], second: list[float], method: str, data: st.DataObject
) -> None:
    size = min(len(first), len(second))
    rows = {"a": np.array(first[:size]), "b": np.array(second[:size])}
    shut = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    found = advantages(rows, {"a": 1.0, "b": 0.3}, shut, method)
    assert abs(found.sum()) < 1e-6 * (1 + np.abs(found).max())
    if shut.any() and not shut.all():
        assert found[shut].max() <= found.min() + 1e-9
        assert found.any()


def test_a_constant_reward_gives_nothing_and_hides_nothing() -> None:
    shut = np.zeros(4, bool)
    same = np.full(4, 0.7)
    varied = np.array([0.1, 0.2, 0.3, 0.4])
    assert not advantages({"a": same}, {"a": 1.0}, shut, "grpo").any()
    alone = advantages({"a": varied}, {"a": 1.0}, shut, "grpo")
    assert np.allclose(advantages({"a": varied, "b": same}, {"a": 1.0, "b": 9.0}, shut, "grpo"), alone)
    # of another scale it counts as much: each is normalised by itself
    assert np.allclose(advantages({"a": varied / 10}, {"a": 1.0}, shut, "grpo"), alone, atol=2e-2)


def test_methods_are_what_their_papers_say() -> None:
    values, shut = np.array([0.0, 0.5, 1.0]), np.zeros(3, bool)
    found = {method: advantages({"a": values}, {"a": 1.0}, shut, method) for method in METHODS}
    assert np.allclose(found["grpo"], [-1, 0, 1], atol=1e-3) and np.allclose(found["dr_grpo"], [-0.5, 0, 0.5])
    assert np.allclose(found["rloo"], [0 - 0.75, 0, 1 - 0.25])


def test_what_nothing_can_be_learned_from_is_called_by_its_reason() -> None:
    weights = {"chrf": 1.0}
    assert judged(REFERENCE, REFERENCE, weights=weights).passed_over == "all the same text"
    assert judged("", "", weights=weights).passed_over == "all shut out"
    numbers = {"numbers": 1.0}
    assert judged(REFERENCE, REFERENCE.replace("grün", "rot"), weights=numbers).passed_over == "all good"
    other = REFERENCE.replace("5", "6")
    assert judged(other, other.replace("grün", "rot"), weights=numbers).passed_over == "all bad"
    assert not judged(REFERENCE, other, weights=numbers).passed_over


def test_an_unfinished_sample_is_shut_out_whatever_its_reward() -> None:
    judge = Judge({"chrf": 1.0}, (), "grpo", ["en", "de"])
    samples = [*made("Drücken Sie Start."), *made(REFERENCE, finished=False), *made("Drücken Sie <b>Start</b>.")]
    found = judge.judge(judge.group(SOURCE, REFERENCE, EN_DE, samples))
    assert found.shut.tolist() == [False, True, False] and found.advantages[1] == found.advantages.min()


def test_a_reward_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rewards.REWARDS, "numbers", lambda group: [float("nan")] * len(group.samples))
    with pytest.raises(DataError, match=r"rewards.numbers: is nan for 'Dr"):
        judged(REFERENCE, "Start.", weights={"numbers": 1.0})


def test_sentences_are_worth_samples_while_their_terms_are_uncertain() -> None:
    focus, judge = Focus(), Judge({"terms": 1.0}, (), "grpo", ["en", "de"])
    lamp, wait = Term("lamp", "Lampe", "en", "de"), Term("wait", "warten", "en", "de")
    assert focus.chance([]) == 0 and focus.chance([lamp]) == 1
    texts = ["Die Lampen warten.", "Die Lampe.", "Eine Lampe.", "Lampe."]  # an inflected form is the term too
    for _ in range(2):
        focus.note(judge.group("The lamps wait.", "Die Lampen warten.", EN_DE, made(*texts), [lamp, wait]))
    assert focus.met == {"lamp\tLampe": 1.0, "wait\twarten": 0.25}
    assert focus.chance([lamp]) == pytest.approx(0.1) and focus.chance([lamp, wait]) == pytest.approx(0.75)
    focus.note(judge.group("The lamp.", "Die Lampe.", EN_DE, made("Das Licht.", "Licht."), [lamp]))
    assert focus.met["lamp\tLampe"] == 0.5 and focus.chance([lamp]) == 1  # forgotten: it is asked for again

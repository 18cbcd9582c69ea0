"""Decoding of rows of different lengths at once: what each says is what the model says of it alone."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, GPTNeoConfig, MistralConfig, MixtralConfig, PreTrainedConfig

from dragoman.engine.decoding.drafts import Draft
from dragoman.engine.decoding.ragged import can_be_ragged
from dragoman.engine.decoding.repetition import Loops, loops, repeating
from dragoman.engine.decoding.walk import common
from dragoman.engine.generate import Draw, Generated, generate, sample
from tests.tiny import _SHAPE, FAMILIES

KINDS: dict[str, PreTrainedConfig] = {
    "llama": FAMILIES["llama"],
    "qwen3": FAMILIES["qwen3"],
    "gpt2": FAMILIES["gpt2"],
    "mistral": MistralConfig(**_SHAPE, sliding_window=7),
    "mixtral": MixtralConfig(**_SHAPE, num_local_experts=4),
    "gpt_neo": GPTNeoConfig(  # windows of its own: its rows begin together
        vocab_size=384, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]],
        window_size=8, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
    ),
}  # fmt: skip


@cache
def family(name: str) -> Any:
    if name == "gemma3":  # a window shorter than the prompts, beside a layer that sees everything
        config = copy.deepcopy(FAMILIES["gemma3"])
        config.sliding_window = 6
        config.tie_word_embeddings = False  # tied, it says the same token for ever
        config.layer_types = ["sliding_attention", "full_attention"]
    elif name == "soft-capped":
        config = copy.deepcopy(FAMILIES["gemma3"])
        config.final_logit_softcapping = 3.0
    else:
        config = KINDS[name]
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else None
    return model


NAMES = [*KINDS, "gemma3", "soft-capped"]
ENDS = list(range(2, 60))  # many, so that rows end at different times


def alone(model: Any, prompt: Sequence[int], limit: int, ends: Sequence[int], barred: Sequence[int] = ()) -> Generated:
    """Greedy decoding of one row, all of it read again for every token, without any cache."""
    ids, score = list(prompt), 0.0
    while True:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float()
        log = logits.log_softmax(-1)
        if barred and len(ids) == len(prompt):
            logits[list(barred)] = float("-inf")
        token = int(logits.argmax())
        score += float(log[token])
        ids.append(token)
        new = ids[len(prompt) :]
        if token in ends or len(new) >= limit:
            return Generated(new[:-1] if token in ends else new, score, len(new), token in ends)


def test_which_models_read_rows_of_different_lengths() -> None:
    assert [name for name in NAMES if not can_be_ragged(family(name))] == ["gpt_neo"]


rows = st.lists(st.lists(st.integers(60, 383), min_size=1, max_size=14), min_size=1, max_size=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5, deadline=None)
@given(
    tails=rows, begin=st.lists(st.integers(60, 383), max_size=20), budget=st.sampled_from([1, 90, 4000]), data=st.data()
)
def test_a_row_in_any_batch_is_the_row_alone(
    name: str, tails: list[list[int]], begin: list[int], budget: int, data: st.DataObject
) -> None:
    """Whatever the batch, the common beginning, and the drafts: right ones, wrong ones, or none."""
    model = family(name)
    prompts = [begin + tail for tail in tails]
    limits = [data.draw(st.integers(1, 12)) for _ in prompts]
    expected = [alone(model, *row, ENDS, [5, 70]) for row in zip(prompts, limits, strict=True)]
    drafts = []
    for right in expected:
        text = [*right.ids, 2]
        for _ in range(data.draw(st.integers(0, 3))):
            text.insert(data.draw(st.integers(0, len(text))), data.draw(st.integers(2, 383)))
        drafts.append(data.draw(st.sampled_from([[], text, text[1:], text[::-1]])))
    for given_drafts in (None, drafts):
        found = generate(
            model, prompts, limits, ends=ENDS, not_first=[5, 70], pad=0, budget=budget, drafts=given_drafts
        )
        assert [(g.ids, g.tokens, g.finished) for g in found] == [(g.ids, g.tokens, g.finished) for g in expected]
        for a, b in zip(found, expected, strict=True):
            assert a.log_probability == pytest.approx(b.log_probability, abs=2e-3)


def test_a_right_draft_is_accepted_and_a_wrong_one_is_not() -> None:
    model = family("gemma3")
    prompt = [70, 71, 72, 73]
    right = alone(model, prompt, 30, [1])
    assert len(set(right.ids)) > 5
    good = generate(model, [prompt], [30], ends=[1], pad=0, drafts=[right.ids])[0]
    assert good.ids == right.ids
    assert good.drafted == good.accepted > 10
    wrong = [token + place % 2 for place, token in enumerate(right.ids)]
    bad = generate(model, [prompt], [30], ends=[1], pad=0, drafts=[wrong])[0]
    assert bad.ids == right.ids
    assert bad.accepted < bad.drafted


def test_places_of_finished_rows_are_taken_by_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer steps than batch after batch would take, and never more rows than the budget holds."""
    model = family("llama")
    draw = random.Random(3)
    prompts = [[draw.randrange(60, 384) for _ in range(6)] for _ in range(40)]
    limits = [draw.randrange(1, 25) for _ in prompts]
    seen = []
    forward = model.forward

    def counted(**inputs: Any) -> Any:
        if "attention_mask" in inputs:  # and no trial of the output layer, which the first use of a model begins with
            seen.append((*inputs["input_ids"].shape, inputs["attention_mask"].shape[-1]))
        return forward(**inputs)

    counted.__signature__ = __import__("inspect").signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", counted)
    found = generate(model, prompts, limits, ends=[1], pad=0, budget=31 * 8)
    assert [len(g.ids) for g in found] == limits
    steps = [rows for rows, tokens, _ in seen if tokens == 1]
    assert max(rows * columns for rows, _, columns in seen) <= 31 * 8
    assert sum(steps) / len(steps) > 6
    assert len(steps) < sum(limits) / 5


def test_a_common_beginning_is_worth_while_only_for_several_rows() -> None:
    assert common([[1, 2, 3]]) == []
    assert common([[1, 2, 3], [1, 2, 4]]) == []
    begin = list(range(40))
    assert common([[*begin, 7], [*begin, 8, 9], [*begin, 7, 3]]) == begin
    assert common([begin, begin, begin]) == begin[:-1]  # the last one says what comes next


@pytest.mark.parametrize("name", ["gemma3", "gpt_neo"])
def test_samples_of_every_family_are_the_same_in_any_batch(name: str) -> None:
    model = family(name)
    prompts = [[70, 71, 72], [80], [90, 91, 92, 93, 94]]
    options: dict[str, Any] = {"samples": 4, "draw": Draw(seed=2), "ends": ENDS, "pad": 0}
    found = sample(model, prompts, [9, 5, 7], **options)
    assert len({tuple(g.ids) for group in found for g in group}) > 6
    for budget in (1, 40):
        other = sample(model, prompts, [9, 5, 7], budget=budget, **options)
        assert [[g.ids for g in group] for group in other] == [[g.ids for g in group] for group in found]


# ---------------------------------------------------------------- loops


@settings(max_examples=60, deadline=None)
@given(
    unit=st.lists(st.integers(0, 50), min_size=1, max_size=20),
    before=st.lists(st.integers(0, 50), max_size=40),
    prompt=st.lists(st.integers(60, 90), max_size=20),
)
def test_any_unit_that_goes_on_is_found_and_soon(unit: list[int], before: list[int], prompt: list[int]) -> None:
    endless = before + unit * 60
    watch = Loops(prompt)
    at = next(i for i, token in enumerate(endless) if watch.add(token))
    assert at - len(before) <= max(4 * len(unit), 32 + len(unit))
    assert bool(repeating(torch.tensor([endless]))[0])
    assert loops(prompt, endless)


@settings(max_examples=60, deadline=None)
@given(unit=st.lists(st.integers(0, 50), min_size=1, max_size=12), times=st.integers(1, 9))
def test_what_the_prompt_repeats_may_be_repeated(unit: list[int], times: int) -> None:
    assert not loops([7, *unit * times * 4, 8], unit * times * 4)


@pytest.mark.parametrize(
    "text", [[1] * 20, [1, 2] * 12, [4, 5, 6, 7, 8] * 5, [*range(30)] * 3, [n // 2 for n in range(90)]]
)
def test_ordinary_repetition_is_no_loop(text: list[int]) -> None:
    assert not loops([], text)


def test_a_loop_is_stopped_and_told() -> None:
    model = copy.deepcopy(family("llama"))
    with torch.no_grad():  # without attention and feed-forward each token alone says what the next is
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embeddings = model.get_input_embeddings().weight
        model.lm_head.weight.zero_()
        for token, following in ((70, 71), (71, 72), (72, 70), (80, 2)):
            model.lm_head.weight[following] += embeddings[token] * 9
    for beam in (1, 2):
        loop, plain = generate(model, [[70], [80]], [500, 500], ends=[2], pad=0, beam=beam)
        assert loop.looped
        assert not loop.finished
        assert loop.tokens == len(loop.ids) < 50
        assert plain.finished
        assert not plain.looped
    drawn = sample(model, [[70]], [500], samples=2, draw=Draw(top_k=1), ends=[2], pad=0)[0]
    assert [g.looped for g in drawn] == [True, True]
    assert drawn[0].ids == [71, 72, 70] * (len(drawn[0].ids) // 3) + [71, 72, 70][: len(drawn[0].ids) % 3]


# ---------------------------------------------------------------- drafts


def test_a_draft_goes_on_where_the_output_stands_in_it() -> None:
    draft = Draft([1, 2, 3, 4, 1, 2, 5, 6])
    assert draft.after([], 3) == [1, 2, 3]
    assert draft.after([1, 2], 2) == [3, 4]
    assert draft.after([1, 2, 3, 4, 1, 2], 9) == [5, 6]
    assert draft.after([9, 9], 4) == []
    assert draft.after([9, 5], 4) == [6]  # the only 5
    assert Draft([]).after([1], 4) == []
    assert not Draft([])


def test_trust_in_a_draft_follows_what_it_was_worth() -> None:
    draft = Draft(list(range(40)))
    assert len(draft.after([], 20)) == 4
    draft.heard(4, 4)
    assert len(draft.after([3], 20)) == 8
    for _ in range(5):
        draft.heard(3, 0)
    assert len(draft.after([3], 20)) == 1

"""Samples that share their prompt: the log-probabilities and gradients of each are those that it has alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, MambaConfig

from dragoman.engine import attention, load
from dragoman.engine.on_policy import merged
from dragoman.engine.shared_prompts import SharedPrompts, plain, shared
from dragoman.engine.token_scores import token_losses
from tests.tiny import FAMILIES, tiny_model

token = st.integers(3, 30)
group = st.tuples(
    st.lists(token, min_size=1, max_size=6), st.lists(st.lists(token, min_size=1, max_size=5), min_size=1, max_size=4)
)


@given(groups=st.lists(group, min_size=1, max_size=3))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_sample_has_the_log_probabilities_and_the_gradient_that_it_has_alone(
    groups: list[tuple[list[int], list[list[int]]]],
) -> None:
    rows = [([*prompt, *answer], len(prompt)) for prompt, answers in groups for answer in answers]
    model = tiny_model(32)
    found = []
    for batch in (plain(rows, 0), shared(rows, 0)):
        model.zero_grad()
        losses = token_losses(model, batch)
        (losses * torch.arange(1.0, len(losses) + 1)).sum().backward()
        assert batch.sequence is not None
        found.append((losses.detach(), batch.labels, batch.sequence, [p.grad.clone() for p in model.parameters()]))
    (alone, labels, numbers, slopes), (together, same, also, others) = found
    assert labels.tolist() == same.tolist() and numbers.tolist() == also.tolist()
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    for one, other in zip(slopes, others, strict=True):
        assert (other - one).norm() <= 1e-4 * one.norm() + 1e-5


ROWS = [([4, 9, 8, 7], 2), ([4, 9, 5, 6, 3], 2), ([7, 3, 11], 1)]


@pytest.mark.parametrize("attention", ["sdpa", "eager", attention.register()])
@pytest.mark.parametrize("family", FAMILIES)
def test_any_family_shares_prompts_and_says_the_same(family: str, attention: str) -> None:
    model = AutoModelForCausalLM.from_config(FAMILIES[family]).eval()
    model.set_attn_implementation(attention)
    batch = SharedPrompts(model, 0).batch(ROWS)
    assert len(batch.ids) == 2
    with torch.no_grad():
        torch.testing.assert_close(
            token_losses(model, batch), token_losses(model, plain(ROWS, 0)), atol=1e-5, rtol=1e-5
        )


def test_a_model_that_reads_no_masks_or_looks_back_less_far_reads_each_sample_alone() -> None:
    mamba = AutoModelForCausalLM.from_config(MambaConfig(vocab_size=32, hidden_size=16, num_hidden_layers=1))
    assert SharedPrompts(mamba, 0).batch(ROWS).mask is None
    config = FAMILIES["gemma3"]
    config.sliding_window = 4
    narrow = SharedPrompts(AutoModelForCausalLM.from_config(config), 0)
    assert narrow.batch(ROWS).mask is None  # the longest has five tokens
    assert narrow.batch([ROWS[0], ROWS[0]]).mask is not None
    assert narrow.batch(ROWS[1:]).mask is None  # no prompt has two samples


def test_an_adapter_is_in_the_weights_while_samples_are_drawn_and_never_after() -> None:
    model = tiny_model(32)
    with load.peft_at_peace():
        wrapped = get_peft_model(model, LoraConfig(target_modules="all-linear", r=2, lora_alpha=4)).eval()
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    before = {name: each.clone() for name, each in wrapped.state_dict().items()}
    ids = torch.tensor([[4, 9, 8, 7]])
    used = []
    for name, module in wrapped.named_modules():
        if name.endswith("lora_A.default"):
            module.register_forward_hook(lambda *_: used.append(1))
    with torch.no_grad():
        wanted = model(ids).logits
        beside = len(used)
        with pytest.raises(KeyboardInterrupt), merged(model):
            torch.testing.assert_close(model(ids).logits, wanted, atol=1e-4, rtol=1e-4)
            assert beside and len(used) == beside
            raise KeyboardInterrupt
        assert torch.equal(model(ids).logits, wanted)
    after = wrapped.state_dict()
    assert all(torch.equal(after[name], each) for name, each in before.items())

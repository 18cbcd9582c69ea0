"""Which weights move when: frozen bits stay, the choice follows seed and step, and dropped state is gone."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MixtralConfig, PreTrainedConfig

from dragoman.core.recipe import Adapt
from dragoman.engine import moving
from dragoman.engine.methods import badam, half, lisa, spectrum
from dragoman.engine.moving import Rounds
from dragoman.engine.optimise import Optimiser
from tests.tiny import FAMILIES

SHAPE = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 6, "num_attention_heads": 4}
LLAMA = LlamaConfig(**SHAPE, num_key_value_heads=4, tie_word_embeddings=False)
MIXTRAL = MixtralConfig(**SHAPE, num_key_value_heads=2, num_local_experts=4)


def make(config: PreTrainedConfig = LLAMA) -> torch.nn.Module:
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(config)


def train(model: torch.nn.Module, movement: Rounds, steps: int, kind: str = "adamw") -> list[set[str]]:
    """The weights that each step moved, with weight decay and high moments."""
    optimiser = Optimiser(
        model,
        kind=kind,  # type: ignore[arg-type]
        learning_rate=1e-2,
        weight_decay=0.5,
        clip=1.0,
        movement=movement,
    )
    ids = torch.randint(0, 64, (4, 16))
    moved = []
    for step in range(1, steps + 1):
        before = {n: w.clone() for n, w in optimiser.weights().items()}
        optimiser.begin(step)
        model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step(1.0)
        moved.append({n for n, w in optimiser.weights().items() if not torch.equal(w, before[n])})
        kept = {id(m) for each in optimiser.optimisers for m in each.state}
        still = {n for n, m in zip(optimiser.names, optimiser.masters, strict=True) if id(m) in kept}
        assert still == movement.at(step), "the state of what does not move is gone"
    return moved


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_what_moves_is_what_was_chosen_and_nothing_else(kind: str) -> None:
    choices = [
        lambda m: half.movement(m, Adapt(method="half", every=3), (1, 0), 100),
        lambda m: lisa.movement(m, Adapt(method="lisa", every=2), (1, 0), 100),
        lambda m: badam.movement(m, Adapt(method="badam", every=2), (1, 0), 100),
        lambda m: spectrum.movement(m, Adapt(method="spectrum"), (1, 0), 100),
    ]
    for choice in choices:
        model = make()
        movement = choice(model)
        for step, moved in enumerate(train(model, movement, 7, kind), 1):
            assert moved == movement.at(step)


def test_the_choice_is_a_function_of_seeds_and_step() -> None:
    for name, choice in {"half": half, "badam": badam}.items():
        wish = Adapt(method=name, every=2)
        one, same, other = (choice.movement(make(), wish, seeds, 100) for seeds in ((1, 0), (1, 0), (1, 1)))
        assert [one.at(s) for s in range(1, 30)] == [same.at(s) for s in range(1, 30)]
        assert [one.at(s) for s in range(1, 30)] != [other.at(s) for s in range(1, 30)]
        assert one.at(1) == one.at(2) != one.at(3)


@pytest.mark.parametrize("config", [LLAMA, MIXTRAL, *FAMILIES.values()], ids=lambda c: c.model_type)
def test_half_fine_tuning_moves_about_half_of_the_blocks(config: PreTrainedConfig) -> None:
    model = make(config)
    blocks, outside = moving.blocks_of(model)
    sizes = {n: p.numel() for n, p in model.named_parameters()}
    inside = sum(sizes[n] for block in blocks for n in block)
    movement = half.movement(model, Adapt(method="half", every=1), (3, 0), 100)
    shares = [sum(sizes[n] for n in movement.at(step) - outside) / inside for step in range(1, 41)]
    assert 0.45 <= sum(shares) / len(shares) <= 0.55
    assert all(outside <= movement.at(step) for step in range(1, 41))
    assert frozenset().union(*(movement.at(step) for step in range(1, 41))) == sizes.keys(), "all come up in time"
    if config is LLAMA:
        attention = {n for n in movement.at(1) if ".layers.0.self_attn." in n}
        assert len(attention) == 2
        assert all(0.45 <= share <= 0.55 for share in shares)


def test_lisa_moves_its_blocks_and_the_ends() -> None:
    model = make()
    movement = lisa.movement(model, Adapt(method="lisa", every=5), (1, 0), 100)
    for step in (1, 6, 11):
        blocks = {n.split(".")[2] for n in movement.at(step) if ".layers." in n}
        assert len(blocks) == 2
        assert {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} <= movement.at(step)


def test_every_block_has_moved_once_after_a_cycle() -> None:
    model = make()
    names = {n for n, _ in model.named_parameters()}
    movement = badam.movement(model, Adapt(method="badam", every=3), (1, 0), 100)
    seen = [movement.at(1 + 3 * number) for number in range(7)]
    assert sorted(n for part in seen for n in part) == sorted(names)
    again = [movement.at(1 + 3 * number) for number in range(7, 14)]
    assert set(seen) == set(again)
    assert seen != again, "in another order"
    assert movement.most({n: 1 for n in names}) == 9


def test_a_planted_signal_ranks_first() -> None:
    model = make()
    with torch.no_grad():
        for number, layer in enumerate(model.model.layers):
            low_rank = torch.randn(32, 4) @ torch.randn(4, 32) * 0.1
            noise = torch.randn(32, 32) * 0.1
            layer.self_attn.q_proj.weight.copy_(low_rank + noise * 0.01 if number in (1, 4) else noise)
    chosen = spectrum.movement(model, Adapt(method="spectrum", share=1 / 3), (1, 0), 100).at(1)
    assert {n.split(".")[2] for n in chosen if "q_proj" in n} == {"1", "4"}
    assert spectrum.signal_to_noise(torch.zeros(4, 4)) == 0
    stacked = torch.randn(3, 8, 16)
    apart = sum(spectrum.signal_to_noise(part) for part in stacked) / 3
    assert spectrum.signal_to_noise(stacked) == pytest.approx(apart)

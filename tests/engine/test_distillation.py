"""The loss of distillation: an oracle in NumPy, TRL's own function, and what must hold of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from dragoman.core.recipe.distil import Distil
from dragoman.engine.batch import Batch, collate
from dragoman.engine.distillation import distillation_loss, divergence
from dragoman.engine.score import corpus_of
from dragoman.engine.teacher_scores import Row, Teachers, target_starts
from dragoman.engine.token_scores import chosen_tokens, token_losses, top_tokens
from tests.tiny import FAMILIES, tiny

VOCABULARY = 12


def logits(seed: int, rows: int = 6, size: int = VOCABULARY) -> torch.Tensor:
    return 3 * torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def oracle(teacher: np.ndarray, student: np.ndarray, kind: str) -> np.ndarray:
    """KL over the k tokens and the bucket of all others (a millionth at least), in plain probabilities."""
    p, q = np.exp(teacher), np.exp(student)
    p, q = (np.concatenate([x, (1 - x.sum(1, keepdims=True)).clip(1e-6)], 1) for x in (p, q))
    if kind == "reverse":
        p, q = q, p
    return (p * np.log(p / q)).sum(1)


def tops(count: int, temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    teacher, student = (logits(seed) / temperature for seed in (0, 1))
    student.requires_grad_()
    top = teacher.topk(count).indices
    told = teacher.log_softmax(1).gather(1, top)
    return told, student, student.log_softmax(1).gather(1, top)


@pytest.mark.parametrize("kind", ["forward", "reverse"])
@pytest.mark.parametrize("count", [1, 4, VOCABULARY - 1])
def test_the_divergence_is_that_over_the_top_and_one_bucket(kind: str, count: int) -> None:
    told, student, scores = tops(count)
    found = divergence(told, scores, kind)
    np.testing.assert_allclose(
        found.detach().numpy(), oracle(told.numpy(), scores.detach().numpy(), kind), rtol=1e-6, atol=2e-5
    )
    found.sum().backward()
    assert student.grad is not None
    moved = student.detach().clone()
    moved[0, 0] += 1e-6
    shifted = moved.log_softmax(1).gather(1, logits(0).topk(count).indices).numpy()
    slope = (oracle(told.numpy(), shifted, kind) - oracle(told.numpy(), scores.detach().numpy(), kind)).sum() / 1e-6
    assert float(student.grad[0, 0]) == pytest.approx(slope, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(("kind", "beta"), [("forward", 0), ("reverse", 1)])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_trl_says_the_same_of_the_whole_vocabulary(kind: str, beta: int, temperature: float) -> None:
    trainer = pytest.importorskip("trl.experimental.gkd.gkd_trainer").GKDTrainer
    told, _, scores = tops(VOCABULARY, temperature)
    theirs = trainer.generalized_jsd_loss(
        logits(1)[None], logits(0)[None], labels=None, beta=beta, temperature=temperature, reduction="none"
    )
    ours = divergence(told, scores, kind)
    assert torch.allclose(ours.detach(), theirs.sum(-1).reshape(-1), atol=1e-5)


@pytest.mark.parametrize("kind", ["forward", "reverse"])
def test_nothing_is_to_be_learned_from_oneself(kind: str) -> None:
    for count in (1, 4, VOCABULARY):
        told = logits(0).log_softmax(1).topk(count).values
        scores = told.clone().requires_grad_()
        found = divergence(told, scores, kind)
        found.sum().backward()
        assert (
            float(found.detach().abs().max()) < 1e-6 and scores.grad is not None and torch.isfinite(scores.grad).all()
        )


def batch_of(rows: int = 5) -> tuple[list[tuple[list[int], list[bool]]], Batch]:
    random = np.random.default_rng(0)
    made = []
    for _ in range(rows):
        answer = random.integers(5, 300, int(random.integers(2, 9))).tolist()
        made.append(([*random.integers(5, 300, 4).tolist(), *answer], [False] * 4 + [True] * len(answer)))
    return made, collate(corpus_of(made), [[n] for n in range(rows)], 0)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_chosen_tokens_are_those_of_the_logits(family: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(FAMILIES[family]).eval()
    _, batch = batch_of()
    whole = model(input_ids=batch.ids).logits.reshape(-1, 384)[batch.where].float() / 2.0
    top, scores = top_tokens(model, batch, 7, 2.0, 384)
    assert torch.allclose(scores, whole.log_softmax(1).gather(1, top), atol=1e-5)
    assert (top == whole.topk(7).indices).all()
    losses, found = chosen_tokens(model, batch, top, 2.0)
    assert torch.allclose(found, scores, atol=1e-5) and torch.allclose(losses, token_losses(model, batch), atol=1e-5)
    weight = model.get_output_embeddings().weight
    grads = [torch.autograd.grad(x.sum(), weight)[0] for x in (found, whole.log_softmax(1).gather(1, top))]
    assert torch.allclose(*grads, atol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_gradients_of_chosen_tokens_are_those_of_the_logits(temperature: float) -> None:
    """Each with a factor of its own, with respect to all weights (the output layer is the input layer too)."""
    torch.manual_seed(0)
    model, (_, batch) = tiny().model, batch_of()
    top, _ = top_tokens(model, batch, 7, temperature, 300)
    factors = [torch.randn(len(top)), torch.randn(top.shape)]
    weights = list(model.parameters())
    logits = model(input_ids=batch.ids, position_ids=batch.positions).logits
    logits = logits.reshape(-1, logits.shape[-1])[batch.where]
    plain = (
        torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none"),
        (logits / temperature).log_softmax(1).gather(1, top),
    )
    pairs = [
        torch.autograd.grad(sum((f * x).sum() for f, x in zip(factors, found, strict=True)), weights)
        for found in (plain, chosen_tokens(model, batch, top, temperature))
    ]
    assert all(torch.allclose(one, other, atol=1e-4, rtol=1e-4) for one, other in zip(*pairs, strict=True))


def test_the_weights_of_a_label_say_what_it_learns_from() -> None:
    loaded = tiny()
    _, batch = batch_of()
    other = tiny(seed=5).model.eval()
    top, told = top_tokens(other, batch, 8, 2.0, len(loaded.tokenizer))
    wish = Distil(teacher=["t"], temperature=2.0, mix=0.3)

    def found(cross: float, apart: float) -> torch.Tensor:
        weights = torch.tensor([cross, apart]).expand(len(top), -1)
        given = {"top": top, "teacher": told, "weights": weights}
        return distillation_loss(wish)(loaded.model, replace(batch, given=given))

    losses, scores = chosen_tokens(loaded.model, batch, top, 2.0)
    assert torch.allclose(found(1, 0), losses) and torch.allclose(found(0, 1), 4 * divergence(told, scores, "forward"))
    assert torch.allclose(found(0.7, 0.3), 0.7 * found(1, 0) + 0.3 * found(0, 1), atol=1e-6)


def test_what_is_kept_is_what_the_teachers_say_however_often_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragoman.engine.teacher_scores._CHUNK", 4)
    rows, _ = batch_of(11)
    teachers, by = Teachers([tiny(seed=3), tiny(seed=4)], 5, 1.0, 300), [0, 1, 1] * 3 + [1, 0]
    whole = teachers.keep(tmp_path / "whole", rows, by, lambda done: None)

    def stop(done: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teachers.keep(tmp_path / "parts", rows, by, stop)
    parts = teachers.keep(tmp_path / "parts", rows, by, lambda done: None)
    assert (whole.ids == parts.ids).all() and (whole.scores == parts.scores).all()
    corpus = corpus_of(rows)
    for number, teacher in ((9, 1), (10, 0)):
        alone, scores = Teachers([teachers.loaded[teacher]], 5, 1.0, 300).tops([rows[number]], [0], 512)
        ids, told = whole.of([number], target_starts(corpus))
        assert (ids == alone).all() and torch.allclose(told, scores, atol=1e-5)


def test_a_row_is_taught_by_the_teacher_of_the_least_cross_entropy() -> None:
    rows, _ = batch_of(9)
    loaded = [tiny(seed=seed) for seed in (3, 4, 5)]
    asked: list[list[Row | None]] = [list(rows) for _ in loaded]
    asked[0][2] = asked[1][3] = None
    for each in asked:
        each[4] = None
    losses = np.full((3, 9), np.inf)
    for number, one in enumerate(loaded):
        for place, (ids, trained) in enumerate(rows):
            if asked[number][place] is None:
                continue
            with torch.no_grad():
                logits = one.model.eval()(torch.tensor([ids])).logits[0, :-1].double()
            shares = torch.tensor(trained)[1:]
            labels = torch.tensor(ids)[1:]
            losses[number, place] = torch.nn.functional.cross_entropy(logits[shares], labels[shares])
    wanted = losses.argmin(0)
    wanted[4] = -1
    found = Teachers(loaded, 5, 1.0, 300).chosen(asked, lambda done: None)
    assert found.tolist() == wanted.tolist() and len(set(found.tolist())) > 2
    assert Teachers(loaded[:1], 5, 1.0, 300).chosen(asked[:1], lambda done: None).tolist() == [
        0,
        0,
        -1,
        0,
        -1,
        *[0] * 4,
    ]

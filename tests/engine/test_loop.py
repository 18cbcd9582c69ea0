"""fit(): accumulation, attention, dropout, precision, and exact resumption."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from dragoman.core.prompt.prompts import render
from dragoman.core.text.languages import Direction
from dragoman.engine import attention, checkpoint
from dragoman.engine.batch import Corpus, Stream, collate, plan_epoch
from dragoman.engine.dropout import add_dropout, dropout
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Loaded, load, save_trained
from dragoman.engine.loop import Step, as_loaded, fit, mean_loss, speed_up
from dragoman.engine.losses import cross_entropy
from dragoman.engine.optimise import Optimiser, rate
from dragoman.errors import CheckpointError, ModelError
from tests.tiny import TEXT, tiny

EN_DE = Direction("en", "de")


def corpus(loaded: Loaded, copies: int = 6) -> Corpus:
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    pairs = [(TEXT[i], TEXT[i + 1]) for i in (0, 2)] + [("a tree", "ein Baum"), ("the dog", "der Hund"), ("a", "ein")]
    rows = [(render(encoder.form, EN_DE, s, t), 1.0) for s, t in pairs * copies]
    return Corpus.build(encoder, iter(rows), 128)[0]


def make(loaded: Loaded, *, kind: str = "adamw", rate: float = 1e-2, dtype: torch.dtype = torch.float32) -> Optimiser:
    return Optimiser(loaded.model, kind=kind, learning_rate=rate, weight_decay=0.01, clip=1.0, dtype=dtype)  # type: ignore[arg-type]


def train(loaded: Loaded, steps: int, *, accumulation: int = 1, budget: int = 120, **options: object) -> list[Step]:
    stream = Stream(corpus(loaded), budget=budget, pad=0, seed=1)
    optimiser = make(loaded, **options)  # type: ignore[arg-type]
    return list(fit(loaded.model, stream, cross_entropy(), optimiser, steps=steps, accumulation=accumulation))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_the_loss_falls_and_the_gradient_is_real(kind: str) -> None:
    steps = train(tiny(), 60, kind=kind)
    assert steps[-1].loss < 0.5 * steps[0].loss
    assert all(step.gradient_norm > 0 for step in steps)


def test_bf16_with_masters_trains_like_fp32() -> None:
    full = train(tiny(), 40)
    half = train(tiny(), 40, dtype=torch.bfloat16)
    assert abs(full[-1].loss - half[-1].loss) < 0.15 * full[0].loss


def test_bf16_leaves_buffers_in_full_precision() -> None:
    loaded = tiny()
    make(loaded, dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.model.parameters()} == {torch.bfloat16}
    assert {b.dtype for b in loaded.model.buffers() if b.is_floating_point()} == {torch.float32}


def test_eight_micro_batches_give_the_gradient_of_one() -> None:
    gradients, losses = [], []
    for parts in (1, 8):
        loaded = tiny()
        rows = corpus(loaded)
        order = list(range(8))
        batches = [collate(rows, [[i] for i in order[k::parts]], 0) for k in range(parts)]
        targets = sum(b.target_tokens for b in batches)
        total = 0.0
        for batch in batches:
            part = cross_entropy()(loaded.model, batch).sum()
            (part / targets).backward()
            total += float(part.detach())
        losses.append(total / targets)
        gradients.append([p.grad.clone() for p in loaded.model.parameters()])
    assert abs(losses[0] - losses[1]) < 1e-5
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*gradients, strict=True))


def test_fit_with_accumulation_takes_the_same_step_as_one_big_batch() -> None:
    ends = []
    for budget, accumulation in ((10_000, 1), (70, None)):
        loaded = tiny()
        stream = Stream(corpus(loaded, 1), budget=budget, pad=0, seed=1)
        count = accumulation or len(plan_epoch(stream.corpus, 1, 0, budget, "sorted"))
        optimiser = make(loaded)
        step = next(fit(loaded.model, stream, cross_entropy(), optimiser, steps=5, accumulation=count))
        ends.append((step.loss, step.target_tokens, [p.detach().clone() for p in loaded.model.parameters()]))
    assert count > 1
    assert ends[0][1] == ends[1][1]
    assert abs(ends[0][0] - ends[1][0]) < 1e-5
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ends[0][2], ends[1][2], strict=True))


def test_short_attention_gives_the_same_loss_and_gradient() -> None:
    found = []
    for own in (True, False):
        loaded = tiny()
        rows = corpus(loaded)
        batch = collate(rows, [[0], [1], [2], [3]], 0)
        if not own:
            assert speed_up(loaded.model, batch, cross_entropy(), compiled=False) == attention.NAME
        loss = cross_entropy()(loaded.model, batch).sum()
        loss.backward()
        found.append((float(loss.detach()), loaded.model.model.layers[0].self_attn.q_proj.weight.grad.clone()))
    assert abs(found[0][0] - found[1][0]) < 1e-3
    assert torch.allclose(found[0][1], found[1][1], atol=1e-3)


def test_decoding_in_the_middle_of_training_changes_nothing() -> None:
    loaded = tiny()
    batch = collate(corpus(loaded), [[0], [1]], 0)
    own = loaded.model.config._attn_implementation
    speed_up(loaded.model, batch, cross_entropy(), compiled=False)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with as_loaded(loaded.model, own):
        assert loaded.model.config._attn_implementation == own
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded.model.config._attn_implementation == attention.NAME


def test_dropout_hits_its_share_and_differs_by_seed() -> None:
    x = torch.ones(400, 64)
    masks = [dropout(x, torch.tensor(seed, dtype=torch.int32), 0.3) for seed in (1, 2)]
    for mask in masks:
        assert abs(float((mask == 0).float().mean()) - 0.3) < 0.01
        assert abs(float(mask.mean()) - 1) < 0.02
    assert abs(float(((masks[0] == 0) == (masks[1] == 0)).float().mean()) - 0.58) < 0.02


def test_dropout_works_in_training_only_and_follows_the_seed() -> None:
    loaded = tiny()
    add_dropout(loaded.model, 0.2)
    batch = collate(corpus(loaded), [[0], [1]], 0)
    loss = cross_entropy()
    loaded.model.train()
    torch.manual_seed(3)
    first = float(loss(loaded.model, batch).sum().detach())
    second = float(loss(loaded.model, batch).sum().detach())
    torch.manual_seed(3)
    again = float(loss(loaded.model, batch).sum().detach())
    assert first == again
    assert first != second
    plain = mean_loss(tiny().model, [batch], loss)
    assert abs(mean_loss(loaded.model, [batch], loss) - plain) < 1e-6


def test_schedules() -> None:
    for schedule in ("cosine", "linear", "constant", "inverse_sqrt"):
        values = [rate(schedule, step, 100, 0.1) for step in range(1, 101)]  # type: ignore[arg-type]
        assert values[:10] == pytest.approx([s / 10 for s in range(1, 11)])
        assert all(0 < v <= 1 for v in values)
        assert all(b <= a + 1e-12 for a, b in pairwise(values[9:]))
    assert rate("constant", 100, 100, 0.1) == 1
    assert rate("inverse_sqrt", 40, 100, 10) == pytest.approx(0.5)
    assert rate("linear", 56, 100, 10) == pytest.approx(0.5)
    assert rate("cosine", 1, 10, 0) == 1


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    loaded = tiny()
    with torch.no_grad():
        loaded.model.model.embed_tokens.weight[5:].fill_(float("nan"))
    with pytest.raises(ModelError, match="step 1: the loss is nan"):
        train(loaded, 3)


# ---------------------------------------------------------------- checkpoints


def run(root: Path, until: int, kind: str = "adamw") -> list[torch.Tensor]:
    """Train to step 12 with a checkpoint every third step, as if stopped after `until`; resumes what it finds."""
    loaded = tiny()
    add_dropout(loaded.model, 0.1)
    torch.manual_seed(0)
    optimiser = make(loaded, kind=kind)
    stream = Stream(corpus(loaded), budget=120, pad=0, seed=1)
    found = checkpoint.latest(root) if root.exists() else None
    start = found.step if found else 0
    if found:
        stream.restore(checkpoint.restore(found, optimiser))
    for step in fit(loaded.model, stream, cross_entropy(), optimiser, steps=12, start=start):
        if step.number % 3 == 0:
            checkpoint.save(
                root,
                step.number,
                optimiser,
                stream=stream.state(),
                extra={"best": None},
                write_model=lambda folder: save_trained(folder, loaded, loaded.model, optimiser.weights(), folder),
            )
        if step.number == until:
            break
    return [p.detach().clone() for p in loaded.model.parameters()]


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_resuming_gives_bit_identical_parameters(tmp_path: Path, kind: str) -> None:
    whole = run(tmp_path / "whole", 12, kind)
    for stop in (2, 5, 9):
        run(tmp_path / "parts", stop, kind)
    parts = run(tmp_path / "parts", 12, kind)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_a_checkpoint_is_a_model_with_the_same_ids_and_output(tmp_path: Path) -> None:
    run(tmp_path, 3)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    again = load(found.model)
    assert again.card.prompt.name == "compact"
    text = ["the cat sees the dog"]
    assert again.tokenizer(text).input_ids == tiny().tokenizer(text).input_ids


@pytest.mark.parametrize("how", ["cut", "flip", "missing"])
def test_damage_is_found_and_the_older_checkpoint_taken(tmp_path: Path, how: str) -> None:
    run(tmp_path, 6)
    newest = checkpoint.latest(tmp_path)
    assert newest is not None
    assert newest.step == 6
    for name in ("state.safetensors", "state.json", "model/model.safetensors", "MANIFEST.json"):
        path = newest.folder / name
        good = path.read_bytes()
        if how == "cut":
            path.write_bytes(good[: len(good) // 2])
        elif how == "flip":
            path.write_bytes(good[:-3] + bytes([good[-3] ^ 1]) + good[-2:])
        else:
            path.unlink()
        with pytest.raises(CheckpointError, match=r"step-00000006"):
            checkpoint.verify(newest.folder)
        older = checkpoint.latest(tmp_path)
        assert older is not None
        assert older.step == 3
        path.write_bytes(good)
    assert checkpoint.verify(newest.folder).step == 6


def test_old_checkpoints_go_and_the_best_stays(tmp_path: Path) -> None:
    run(tmp_path, 12)
    checkpoint.prune(tmp_path, 2, best=3)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == [
        "step-00000003",
        "step-00000009",
        "step-00000012",
    ]
    assert (tmp_path / "LATEST").read_text() == "step-00000012\n"


def test_stale_temporaries_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".tmp-abc").mkdir()
    checkpoint.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []

"""Token-level distillation from a teacher with the same tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dragoman.core.listen import Listener
from dragoman.core.recipe.distil import Distil
from dragoman.core.recipe.training import Training
from dragoman.engine import load
from dragoman.engine.batch import Batch, Corpus, Stream, collate, plan_epoch
from dragoman.engine.distil_streams import OwnStream, TaughtStream, with_teacher
from dragoman.engine.distillation import distillation_loss, divergence
from dragoman.engine.encoded_rows import general
from dragoman.engine.encoder import Encoder
from dragoman.engine.loop import Step
from dragoman.engine.losses import Loss
from dragoman.engine.on_policy import Sampler
from dragoman.engine.phase_data import Inputs, Material
from dragoman.engine.phases.kind import Kind, Ready
from dragoman.engine.phases.pair_rows import PairRows, pair_rows, rendered
from dragoman.engine.score import corpus_of
from dragoman.engine.setup import Packing, Settings, dev_sample, resolved
from dragoman.engine.teacher_scores import Row, Teacher
from dragoman.engine.token_scores import chosen_tokens
from dragoman.engine.tokenizer import ids_of, load_tokenizer
from dragoman.engine.watcher import Course, Watcher
from dragoman.errors import DataError, ModelError
from dragoman.store.run.artifact import model_folder

_EVERY = 10  # steps until the student draws new samples
_HELD = 64  # development pairs on which the divergence is told


class Distillation(Kind):
    rows = "pairs"
    folder = "teacher"

    def data(self, inputs: Inputs) -> Material:
        recipe, wish = inputs.recipe, Distil.given(inputs.phase.section)
        where = model_folder(Path(recipe.resolve(wish.teacher)))
        rows = pair_rows(inputs, inputs.phase.directions(recipe.pairs))
        _check_tokenizer(inputs, wish, where)
        if inputs.made_here is None:
            return _planned(inputs, wish, rows)
        teacher = _loaded(inputs, wish, where)
        form = teacher.loaded.card.prompt
        encoder = Encoder(teacher.loaded.tokenizer, form)
        asked: Sequence[Row] = encoder.encode([rendered(form, pair) for pair in rows.pairs])
        rows, asked, dropped = _agreeing(rows, asked, teacher)
        chosen = _settings(inputs, wish, rows.corpus)
        if wish.data == "own":
            stream: Stream = _own(inputs, wish, rows, asked, teacher, chosen)
        else:
            say = inputs.listener.progress
            tops = teacher.keep(
                inputs.made_here, asked, lambda done: say("what the teacher holds possible", done, len(asked))
            )
            stream = TaughtStream(rows.corpus, tops, wish.mix, chosen, inputs.loaded.pad, recipe.seed)
        found = _material(inputs, rows, chosen, stream, dropped)
        found.held = _held(inputs, rows.encoder, encoder, teacher)
        return found

    def loss(self, training: Training, *, compiled: bool) -> Loss:
        del compiled
        return distillation_loss(Distil.given(training))

    def watchers(self, ready: Ready) -> Sequence[Watcher]:
        return [Taught(ready, Distil.given(ready.inputs.phase.section))]

    def tell_plan(self, name: str, facts: Mapping[str, Any], listener: Listener) -> None:
        del facts
        listener.say(f"plan: {name}: the time does not count the teacher, nor samples of the student")


class Taught(Watcher):
    """How far the student is from its teacher on development pairs, and what became of the samples."""

    name = "taught"

    def __init__(self, ready: Ready, wish: Distil) -> None:
        self.model, self.batches, self.wish = ready.model, ready.data.held, wish
        self.stream = ready.data.stream
        self.first: float | None = None
        self.last: float | None = None

    def begin(self, course: Course) -> None:
        if not course.resumed:
            self.first = self._look(0, course)

    def after(self, step: Step, course: Course) -> None:
        if course.figures is not None:
            self._look(step.number, course)

    def state(self) -> dict[str, Any]:
        return {"first": self.first, "last": self.last}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.first, self.last = state["first"], state["last"]

    def facts(self, course: Course) -> dict[str, Any]:
        samples = dict(self.stream.counts) if isinstance(self.stream, OwnStream) else {}
        told = {"teacher": self.wish.teacher, "data": self.wish.data, "divergence": [self.first, self.last]}
        return {"distil": told | ({"samples": samples} if samples else {})}

    @torch.no_grad()
    def _look(self, step: int, course: Course) -> float | None:
        if not self.batches:
            return None
        training = self.model.training
        self.model.eval()
        total, tokens = 0.0, 0
        device = next(self.model.parameters()).device
        for batch in (one.to(device) for one in self.batches):
            _, scores = chosen_tokens(self.model, batch, batch.given["top"], self.wish.temperature)
            total += float(divergence(batch.given["teacher"], scores, self.wish.divergence).sum())
            tokens += batch.target_tokens
        self.model.train(training)
        self.last = round(total / max(1, tokens), 5)
        course.log.write({"event": "taught", "step": step, "divergence": self.last})
        course.listener.say(f"train: step {step}: {self.last:.4f} nats a token from the teacher on development pairs")
        return self.last


def _check_tokenizer(inputs: Inputs, wish: Distil, where: Path) -> None:
    """Refuse a teacher whose tokens are others: their probabilities cannot be compared."""
    card = load.Card.read(where)
    theirs, ours = load_tokenizer(where, card.tokenizer), inputs.loaded.tokenizer
    if theirs.get_vocab() != ours.get_vocab() or ids_of(theirs) != ids_of(ours):
        raise ModelError(
            f"train.distil.teacher: {wish.teacher} has another tokenizer than the student, so their tokens cannot be compared. "
            "Use `synthesise` for sequence-level distillation: the teacher translates, and `sft` learns from it."
        )


def _loaded(inputs: Inputs, wish: Distil, where: Path) -> Teacher:
    student = inputs.loaded.model
    loaded = load.load(where, dtype=student.dtype, device=inputs.loaded.device)
    loaded.model.requires_grad_(False).eval()
    common = min(_vocabulary(loaded.model), _vocabulary(student))
    return Teacher(loaded, min(wish.top_k, common), wish.temperature, common)


def _vocabulary(model: Any) -> int:
    return int(model.get_output_embeddings().weight.shape[0])


def _agreeing(rows: PairRows, asked: Sequence[Row], teacher: Teacher) -> tuple[PairRows, Sequence[Row], dict[str, int]]:
    """Only the rows whose target tokens are the same in both prompts and that the teacher has room for; the rest counted."""
    dropped: Counter[str] = Counter()
    kept = []
    for number, (ids, trained) in enumerate(asked):
        ours, under = rows.corpus.row(number)
        if len(ids) > teacher.loaded.context:
            dropped["too long for the teacher"] += 1
        elif ours[under].tolist() != [token for token, own in zip(ids, trained, strict=True) if own]:
            dropped["other target tokens in the teacher's prompt"] += 1
        else:
            kept.append(number)
    if not kept:
        raise DataError(f"train.distil: no row can be taught: {dict(dropped)}.")
    if len(kept) == len(asked):
        return rows, asked, {}
    encoded = [rows.corpus.row(number) for number in kept]
    corpus = corpus_of([(ids.tolist(), trained.tolist()) for ids, trained in encoded])
    pairs = [rows.pairs[number] for number in kept]
    return replace(rows, pairs=pairs, corpus=corpus), [asked[number] for number in kept], dict(dropped)


def _own(
    inputs: Inputs, wish: Distil, rows: PairRows, asked: Sequence[Row], teacher: Teacher, chosen: Settings
) -> OwnStream:
    loaded = inputs.loaded
    theirs = [list(ids[: list(trained).index(True)]) for ids, trained in asked]
    encoded = (rows.corpus.row(number) for number in range(len(rows.corpus)))
    ours = [ids[: int(np.argmax(trained))].tolist() for ids, trained in encoded]
    sampler = Sampler(loaded, rows.encoder.end, inputs.recipe.seed, loaded.model.config._attn_implementation)
    ahead = (wish.every or _EVERY) * chosen.accumulation
    return OwnStream(
        rows.corpus, (ours, theirs), teacher, sampler, wish.mix, ahead, chosen, loaded.pad, inputs.recipe.seed
    )


def _held(inputs: Inputs, ours: Encoder, theirs: Encoder, teacher: Teacher) -> list[Batch]:
    """Development pairs with what the teacher says of them."""
    dev = dev_sample(inputs.phase.directions(inputs.recipe.pairs), inputs.texts, _HELD)
    rows = ours.encode([rendered(ours.form, pair) for pair in dev])
    asked = theirs.encode([rendered(theirs.form, pair) for pair in dev])
    fitting = [
        number
        for number, (row, other) in enumerate(zip(rows, asked, strict=True))
        if len(row[0]) <= inputs.loaded.context
        and len(other[0]) <= teacher.loaded.context
        and sum(row[1]) == sum(other[1])
    ]
    found = []
    for start in range(0, len(fitting), 8):
        part = fitting[start : start + 8]
        batch = collate(corpus_of([rows[n] for n in part]), [[n] for n in range(len(part))], inputs.loaded.pad)
        top, scores = teacher.tops([asked[n] for n in part], 8192)
        found.append(with_teacher(batch, top, scores, torch.ones(len(top), 2)))
    return found


def _planned(inputs: Inputs, wish: Distil, rows: PairRows) -> Material:
    """For a plan: the references without a teacher; samples are as long as they are."""
    chosen = _settings(inputs, wish, rows.corpus)
    stream = Stream(
        rows.corpus,
        budget=chosen.batch_tokens,
        pad=inputs.loaded.pad,
        seed=inputs.recipe.seed,
        packing=chosen.packing,
    )
    return _material(inputs, rows, chosen, stream, {})


def _material(inputs: Inputs, rows: PairRows, chosen: Settings, stream: Stream, dropped: Mapping[str, int]) -> Material:
    return Material(
        chosen,
        stream,
        rows.directions,
        rows.too_long,
        rows.shown,
        int(rows.corpus.lengths.sum()),
        int(rows.corpus.lengths.max()),
        directions=rows.directions,
        dropped=dropped,
        general=general(inputs),
    )


def _settings(inputs: Inputs, wish: Distil, corpus: Corpus) -> Settings:
    if inputs.planned:
        return Settings.from_json(inputs.planned)
    twice = 2 if wish.data == "own" and wish.mix < 1 else 1  # rows of a sentence

    def steps(budget: int, packing: Packing, accumulation: int) -> int:
        batches = len(plan_epoch(corpus, inputs.recipe.seed, 0, max(1, budget // twice), packing))
        return max(1, round(batches * wish.epochs / accumulation))

    total = float(corpus.lengths.sum()) * wish.epochs * twice
    return resolved(inputs.recipe, inputs.phase, inputs.hardware, inputs.loaded, total, steps, fresh=inputs.fresh)


KIND = Distillation()

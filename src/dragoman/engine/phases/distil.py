"""Token-level distillation from teachers with the same tokenizer; of several each row has the one that knows it best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dragoman.core.listen import Listener
from dragoman.core.recipe.distil import Distil
from dragoman.core.recipe.training import Training
from dragoman.core.records import Example
from dragoman.engine import load, memory
from dragoman.engine.batch import Batch, Corpus, Stream, collate, plan_epoch
from dragoman.engine.distil_streams import OwnStream, TaughtStream, with_teacher
from dragoman.engine.distillation import distillation_loss, divergence
from dragoman.engine.distribute import whole
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
from dragoman.engine.teacher_scores import Ints, Row, Teachers
from dragoman.engine.token_scores import chosen_tokens
from dragoman.engine.tokenizer import ids_of, load_tokenizer
from dragoman.engine.watcher import Course, Watcher
from dragoman.engine.world import current
from dragoman.errors import DataError, ModelError
from dragoman.store.run.artifact import model_folder

_EVERY = 10  # steps until the student draws new samples
_HELD = 64  # development pairs on which the divergence is told


class Distillation(Kind):
    rows = "pairs"
    folder = "teacher"

    def data(self, inputs: Inputs) -> Material:
        recipe, wish = inputs.recipe, Distil.given(inputs.phase.section)
        where = [model_folder(Path(recipe.resolve(name))) for name in wish.teacher]
        _check_once(wish.teacher, where)
        rows = pair_rows(inputs, inputs.phase.directions(recipe.pairs))
        for name, folder in zip(wish.teacher, where, strict=True):
            _check_tokenizer(inputs, name, folder)
        if inputs.made_here is None:
            return _planned(inputs, wish, rows)
        teachers = _loaded(inputs, wish, where)
        rows, asked, by, dropped = _taught(inputs, rows, teachers)
        chosen = _settings(inputs, wish, rows.corpus)
        if wish.data == "own":
            stream: Stream = _own(inputs, wish, rows, asked, teachers, by, chosen)
        else:
            tops = teachers.keep(
                inputs.made_here, asked, by, _progress(inputs, "what the teacher holds possible", asked)
            )
            stream = TaughtStream(rows.corpus, tops, wish.mix, chosen, inputs.loaded.pad, recipe.seed)
        found = _material(inputs, rows, chosen, stream, dropped)
        counted = Counter(by)
        found.held = Held(
            _held(inputs, rows.encoder, teachers),
            {name: counted[number] for number, name in enumerate(wish.teacher)},
        )
        return found

    def loss(self, training: Training, *, compiled: bool) -> Loss:
        del compiled
        return distillation_loss(Distil.given(training))

    def watchers(self, ready: Ready) -> Sequence[Watcher]:
        if isinstance(ready.data.stream, OwnStream):
            ready.data.stream.trained = ready.model
        return [Taught(ready, Distil.given(ready.inputs.phase.section))]

    def others(self, inputs: Inputs) -> int:
        wish, dtype = Distil.given(inputs.phase.section), inputs.loaded.model.dtype
        folders = (model_folder(Path(inputs.recipe.resolve(name))) for name in wish.teacher)
        return sum(memory.weights(load.load_shell(folder).config, dtype) for folder in folders)

    def tell_plan(self, name: str, facts: Mapping[str, Any], listener: Listener) -> None:
        del facts
        listener.say(f"plan: {name}: the time does not count the teacher, nor samples of the student")


@dataclass(frozen=True)
class Held:
    """Development pairs with what their teachers say of them, and how many training rows each teacher has."""

    batches: list[Batch]
    rows: Mapping[str, int]


class Taught(Watcher):
    """How far the student is from its teacher on development pairs, and what became of the samples."""

    name = "taught"

    def __init__(self, ready: Ready, wish: Distil) -> None:
        self.model, self.held, self.wish = ready.model, ready.data.held, wish
        self.stream = ready.data.stream
        self.first: float | None = None
        self.last: float | None = None

    def begin(self, course: Course) -> None:
        if course.resumed:
            return
        if len(self.wish.teacher) > 1:
            course.log.write({"event": "teachers", "step": 0, "rows": self.held.rows})
            told = ", ".join(f"{name} {count:,}" for name, count in self.held.rows.items())
            course.listener.say(f"train: rows by the teacher that finds their references the likeliest: {told}")
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
        told = {"teachers": self.held.rows, "data": self.wish.data, "divergence": [self.first, self.last]}
        return {"distil": told | ({"samples": samples} if samples else {})}

    def _look(self, step: int, course: Course) -> float | None:
        if not self.held.batches:
            return None
        world = current()
        with torch.no_grad(), whole(self.model):
            sums = world.collected([self._divergence(batch) for batch in world.dealt(self.held.batches)])
        tokens = sum(batch.target_tokens for batch in self.held.batches)
        self.last = round(sum(sums) / max(1, tokens), 5)
        course.log.write({"event": "taught", "step": step, "divergence": self.last})
        course.listener.say(f"train: step {step}: {self.last:.4f} nats a token from the teacher on development pairs")
        return self.last

    def _divergence(self, held: Batch) -> float:
        """The sum over the target tokens of a batch."""
        training = self.model.training
        self.model.eval()
        batch = held.to(next(self.model.parameters()).device)
        _, scores = chosen_tokens(self.model, batch, batch.given["top"], self.wish.temperature)
        self.model.train(training)
        return float(divergence(batch.given["teacher"], scores, self.wish.divergence).sum())


def _check_once(names: Sequence[str], where: Sequence[Path]) -> None:
    """Refuse a teacher that is named in two ways: it would be loaded and asked twice, and be told to teach nothing."""
    known: dict[Path, str] = {}
    for name, folder in zip(names, where, strict=True):
        if (other := known.setdefault(folder.resolve(), name)) != name:
            raise ModelError(f"train.distil.teacher: {other} and {name} are the same model. Name it once.")


def _check_tokenizer(inputs: Inputs, name: str, where: Path) -> None:
    """Refuse a teacher whose tokens are others: their probabilities cannot be compared."""
    card = load.Card.read(where)
    theirs, ours = load_tokenizer(where, card.tokenizer), inputs.loaded.tokenizer
    if theirs.get_vocab() != ours.get_vocab() or ids_of(theirs) != ids_of(ours):
        raise ModelError(
            f"train.distil.teacher: {name} has another tokenizer than the student, so their tokens cannot be compared. "
            "Use `synthesise` for sequence-level distillation: the teacher translates, and `sft` learns from it."
        )


def _loaded(inputs: Inputs, wish: Distil, where: Sequence[Path]) -> Teachers:
    student = inputs.loaded.model
    loaded = [load.load(each, dtype=student.dtype, device=inputs.loaded.device) for each in where]
    for one in loaded:
        one.model.requires_grad_(False).eval()
    common = min(map(_vocabulary, [student, *(one.model for one in loaded)]))
    return Teachers(loaded, min(wish.top_k, common), wish.temperature, common)


def _vocabulary(model: Any) -> int:
    return int(model.get_output_embeddings().weight.shape[0])


def _progress(inputs: Inputs, what: str, rows: Sized) -> Callable[[int], None]:
    return lambda done: inputs.listener.progress(what, done, len(rows))


def _taught(
    inputs: Inputs, rows: PairRows, teachers: Teachers
) -> tuple[PairRows, list[Row], list[int], dict[str, int]]:
    """(rows that can be taught, each in its teacher's prompt, the teacher's number, why the other rows cannot be, counted): a
    teacher can be asked where the target tokens are the same in its prompt, and it has room."""
    ours = [_target(*rows.corpus.row(number)) for number in range(len(rows.corpus))]
    asked, why = _asked(teachers, rows.pairs, ours)
    assert inputs.made_here is not None  # noqa: S101  - a plan asks nobody
    by = _once(
        inputs.made_here / "chosen.npy",
        lambda: teachers.chosen(asked, _progress(inputs, "which teacher knows a sentence best", ours)),
    )
    kept = np.flatnonzero(by >= 0).tolist()
    dropped = dict(Counter(why[number] for number in np.flatnonzero(by < 0).tolist()))
    if not kept:
        raise DataError(f"train.distil: no row can be taught: {dropped}.")
    chosen = [(int(by[number]), number) for number in kept]
    if len(kept) < len(ours):
        encoded = [rows.corpus.row(number) for number in kept]
        corpus = corpus_of([(ids.tolist(), trained.tolist()) for ids, trained in encoded])
        rows = replace(rows, pairs=[rows.pairs[number] for number in kept], corpus=corpus)
    ready = [row for teacher, number in chosen if (row := asked[teacher][number]) is not None]
    return rows, ready, [teacher for teacher, _ in chosen], dropped


def _target(ids: Iterable[int], trained: Iterable[bool]) -> list[int]:
    return [int(token) for token, own in zip(ids, trained, strict=True) if own]


def _asked(
    teachers: Teachers, pairs: Sequence[Example], targets: Sequence[Sequence[int]]
) -> tuple[list[list[Row | None]], dict[int, str]]:
    """[teachers][pairs] what each can be asked, and by pair why one of them cannot be."""
    found: list[list[Row | None]] = []
    why: dict[int, str] = {}
    for loaded in teachers.loaded:
        form = loaded.card.prompt
        rows = Encoder(loaded.tokenizer, form).encode([rendered(form, pair) for pair in pairs])
        able: list[Row | None] = []
        for number, (row, target) in enumerate(zip(rows, targets, strict=True)):
            long, other = len(row[0]) > loaded.context, _target(*row) != target
            if long or other:
                why[number] = "too long for the teacher" if long else "other target tokens in the teacher's prompt"
            able.append(None if long or other else row)
        found.append(able)
    return found, why


def _once(path: Path, make: Callable[[], Ints]) -> Ints:
    """Made, or read where it was made before."""
    if path.is_file():
        kept: Ints = np.load(path)
        return kept
    path.parent.mkdir(parents=True, exist_ok=True)
    found = make()
    with path.with_suffix(".part").open("wb") as stream:
        np.save(stream, found)
    path.with_suffix(".part").replace(path)
    return found


def _own(
    inputs: Inputs,
    wish: Distil,
    rows: PairRows,
    asked: Sequence[Row],
    teachers: Teachers,
    by: Sequence[int],
    chosen: Settings,
) -> OwnStream:
    loaded = inputs.loaded
    theirs = [list(ids[: list(trained).index(True)]) for ids, trained in asked]
    encoded = (rows.corpus.row(number) for number in range(len(rows.corpus)))
    ours = [ids[: int(np.argmax(trained))].tolist() for ids, trained in encoded]
    sampler = Sampler(loaded, rows.encoder.end, inputs.recipe.seed, loaded.model.config._attn_implementation)
    ahead = (wish.every or _EVERY) * chosen.accumulation
    return OwnStream(
        rows.corpus, (ours, theirs), teachers, by, sampler, wish.mix, ahead, chosen, loaded.pad, inputs.recipe.seed
    )


def _held(inputs: Inputs, ours: Encoder, teachers: Teachers) -> list[Batch]:
    """Development pairs with what the teachers say of them, each the one that knows the pair best."""
    dev = dev_sample(inputs.phase.directions(inputs.recipe.pairs), inputs.texts, _HELD)
    rows = ours.encode([rendered(ours.form, pair) for pair in dev])
    asked, _ = _asked(teachers, dev, [_target(*row) for row in rows])
    by = teachers.chosen(asked, lambda done: None).tolist() if dev else []
    fitting = [n for n, row in enumerate(rows) if by[n] >= 0 and len(row[0]) <= inputs.loaded.context]
    found = []
    for start in range(0, len(fitting), 8):
        part = fitting[start : start + 8]
        batch = collate(corpus_of([rows[n] for n in part]), [[n] for n in range(len(part))], inputs.loaded.pad)
        known = [row for n in part if (row := asked[by[n]][n]) is not None]
        top, scores = teachers.tops(known, [by[n] for n in part], 8192)
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

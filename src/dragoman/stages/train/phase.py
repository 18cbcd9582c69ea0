"""One training phase: set up or resume, fit while watchers listen, save, keep the best."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dragoman.core.listen import Listener
from dragoman.core.recipe import OptimiserOptions, Phase, Recipe
from dragoman.core.recipe.prefer import PreferencePairs
from dragoman.engine import adapt, checkpoint, distribute, load, setup
from dragoman.engine.average import average
from dragoman.engine.device import DTYPES, detect, use
from dragoman.engine.encoder import Encoder
from dragoman.engine.layers import parameters
from dragoman.engine.log import Log, Unwritten
from dragoman.engine.loop import as_loaded, fit, speed_up
from dragoman.engine.losses import Loss, cross_entropy
from dragoman.engine.optimise import Optimiser
from dragoman.engine.phase_data import Inputs, trainable
from dragoman.engine.phases import kind_of
from dragoman.engine.phases.kind import Ready
from dragoman.engine.recompute import recompute
from dragoman.engine.watcher import Course, Watcher
from dragoman.engine.world import current
from dragoman.errors import CheckpointError, ModelError
from dragoman.stages.train import candidates
from dragoman.stages.train.evaluation import Evaluation
from dragoman.stages.train.measures import Measures
from dragoman.stages.train.progress import Progress
from dragoman.stages.train.signals import Stop, stoppable
from dragoman.store.run import linked
from dragoman.store.run.artifact import Artifact, write_json


class Trainer:
    """Runs one phase in its folder."""

    def __init__(self, recipe: Recipe, phase: Phase, name: str, out: Path, key: str, listener: Listener) -> None:
        self.recipe, self.phase, self.training = recipe, phase, phase.training
        self.name, self.out, self.key, self.listener = name, out, key, listener
        self.root = out / "checkpoints"
        self.world = current()

    def run(
        self, base: Path, texts: Path, planned: Mapping[str, Any] | None, *, fresh: bool, made: Path | None = None
    ) -> Artifact:
        """Train from the model in `base` on the texts; `planned` are the settings that `plan` chose, `made` is the
        folder of the synthetic rows."""
        self.base = base
        if self.world.first:
            self._own_folder()
        self.world.barrier()
        self._prepare(texts, planned, fresh, made)
        start = self._resume()
        resumed = start is not None
        first = start if start is not None else -1
        wish = self.recipe.log.model_copy(update={"project": self.recipe.log.project or self.recipe.name})
        kept = Log if self.world.first else Unwritten
        with kept(self.out, first, wish, self.chosen.to_json()) as log, stoppable() as stop:
            course = Course(self.chosen.steps, log, self.listener, resumed)
            step = self._fit(start or 0, course, stop)
        return self._finish(step, course)

    # ------------------------------------------------------------ before the first step

    def _own_folder(self) -> None:
        """Remove what another phase, or an older wish for this one, has left."""
        marker = self.out / "phase.json"
        try:
            same = json.loads(marker.read_text(encoding="utf-8"))["key"] == self.key
        except (OSError, ValueError, KeyError):
            same = False
        if not same:
            shutil.rmtree(self.out, ignore_errors=True)
            write_json(marker, {"key": self.key})

    def _prepare(self, texts: Path, planned: Mapping[str, Any] | None, fresh: bool, made: Path | None) -> None:
        training, kind = self.training, kind_of(self.phase)
        hardware = detect(self.recipe.plan.threads)
        precision = planned["precision"] if planned else setup.precision(self.recipe, hardware)
        quantised = planned["quantise"] if planned else setup.quantised(self.recipe)
        dtype = adapt.base_dtype(self.phase, DTYPES[precision])
        loaded = load.load(self.base, dtype=dtype, device=use(hardware), quantised=quantised)
        folder = self.out / kind.folder if kind.folder else None
        if isinstance(training, PreferencePairs) and folder is not None:
            with self.world.in_turn():
                candidates.make(self.recipe, self.phase.kind, training, loaded, texts, folder, self.listener)
        inputs = Inputs(self.recipe, self.phase, loaded, texts, hardware, fresh, made, planned, self.listener, folder)
        with self.world.in_turn():  # the first one keeps what it computes of the rows for the others
            self.loaded, self.data = loaded, kind.data(inputs)
        self.chosen, self.stream = self.data.chosen, self.data.stream
        torch.manual_seed(self.recipe.seed)
        seeds = (self.recipe.seed, int(self.name.split("-")[0]))
        self.sharded = self.recipe.plan.sharded and self.world.size > 1
        distribute.check_phase(self.phase, self.chosen, self.recipe.plan, loaded.model.config, self.world.size)
        self.model, movement = trainable(loaded, self.phase, seeds, self.chosen.steps, precision)
        if self.sharded:
            distribute.shard(self.model, DTYPES[precision], hardware.device, self.recipe.plan)
        self.optimiser = Optimiser(
            self.model,
            kind=self.chosen.optimiser,
            learning_rate=self.chosen.learning_rate,
            weight_decay=training.weight_decay,
            clip=training.clip,
            dtype=torch.float32 if self.sharded else DTYPES[self.chosen.precision],  # shards are cast when put together
            movement=movement,
            options=training.optimiser if isinstance(training.optimiser, OptimiserOptions) else None,
            rates=training.rates,
        )
        self.average = average(self.phase.average, self.optimiser)
        self.loss = kind.loss(training, compiled=self.chosen.compile)
        # what is measured has no smoothing and the like: it has to compare between phases
        plain = cross_entropy(compiled=self.chosen.compile)
        self.measures = Measures(inputs, self.data, self.model, plain)
        with distribute.whole(self.model):
            attention = speed_up(loaded.model, self.stream.longest(), plain, compiled=self.chosen.compile)
        if self.chosen.recompute:
            recompute(self.model)
        self.watchers = self._watchers(inputs, plain)
        self._show(inputs, attention)

    def _watchers(self, inputs: Inputs, plain: Loss) -> list[Watcher]:
        kind = kind_of(self.phase)
        self.evaluation = Evaluation(
            self.measures,
            self.training,
            self.chosen.evaluate_every,
            self.average,
            translates=self.data.translates,
            untouched=not inputs.fresh,
        )
        measured = {"objective": bool(self.measures.dev), "forgetting": self.data.general is not None}
        ready = Ready(inputs, self.data, self.model, plain, measured)
        averages = [self.average] if self.average is not None else []
        return [*averages, Progress(self.name, epochs=kind.epochs), self.evaluation, *kind.watchers(ready)]

    def _resume(self) -> int | None:
        """Go on from the newest whole checkpoint of this very phase; returns its step."""
        if self.world.first:
            checkpoint.sweep(self.root)
        found = self.world.agreed(checkpoint.latest(self.root) if self.world.first else None)
        if found is None:
            return None
        self.stream.restore(checkpoint.restore(found, self.optimiser, self.average))
        states = found.extra.get("watchers", {})
        if set(states) != {watcher.name for watcher in self.watchers}:
            raise CheckpointError(f"{found.folder}: was made by another version; remove it to start this phase again.")
        for watcher in self.watchers:
            watcher.restore(states[watcher.name])
        self.listener.say(f"train: {self.name} goes on from step {found.step}")
        return found.step

    def _show(self, inputs: Inputs, attention: str) -> None:
        """Say what will be trained, and show examples with the mask; refuse if an end token is not trained."""
        chosen, data, model, kind = self.chosen, self.data, self.model, kind_of(self.phase)
        rows = ", ".join(f"{name} {count:,}" for name, count in data.rows.items())
        self.listener.say(
            f"train: {self.name}: {kind.rows} {rows}; "
            f"{self._trained():,} of {parameters(model):,} "
            f"parameters; {chosen.steps} steps of up to {chosen.batch_tokens} x {chosen.accumulation} tokens, "
            f"{chosen.packing}; {chosen.optimiser} {chosen.learning_rate:g} {self.training.schedule}; "
            f"{chosen.precision}, {attention} attention{', compiled' if chosen.compile else ''}"
            f"{', activations recomputed' if chosen.recompute else ''}"
            f"{f', base in {chosen.quantise}' if chosen.quantise else ''}"
        )
        if lost := sum(data.too_long.values()):
            self.listener.warn(f"train: {lost} rows are longer than the model's context and were left out whole")
        for doubt in kind.doubts(inputs):
            self.listener.warn(f"train: {doubt}")
        if self.training.patience is not None and not (self.measures.dev and data.translates):
            self.listener.warn(
                "train: `patience` has nothing to go by, for no development sentence is translated: the phase runs to its "
                "end. Set `prepare.holdout.dev`."
            )
        for reason, count in data.dropped.items():
            self.listener.say(f"train: left out: {reason} {count:,}")
        self._show_examples()

    def _trained(self) -> int:
        """The number of parameters that the phase trains, at one time or another."""
        return sum(master.numel() for master in self.optimiser.masters)

    def _show_examples(self) -> None:
        encoder = Encoder(self.loaded.tokenizer, self.loaded.card.prompt)
        for row, (ids, trained) in zip(self.data.examples, encoder.encode(self.data.examples), strict=True):
            ends = not row.pieces or row.pieces[-1].kind == "end"  # a block inside a document has no end
            if ends and not (trained[-1] and ids[-1] == encoder.end):
                raise ModelError("the end token is not under the loss, so the model would never learn to stop.")
            cut = trained.index(True)
            prompt, answer = encoder.tokenizer.decode(ids[:cut]), encoder.tokenizer.decode(ids[cut:])
            self.listener.say(f"train: example: {prompt} ⟦{answer}⟧   (the loss is on ⟦...⟧ only)")

    # ------------------------------------------------------------ during

    def _fit(self, start: int, course: Course, stop: Stop) -> int:
        """Train to the end, until a watcher ends it, or until asked to stop. Returns the last step."""
        if course.resumed and self._ends(start, course):  # it was stopped before it could be finished
            return start
        for watcher in self.watchers:
            watcher.begin(course)
        if not course.resumed and self.phase.stop_if is not None:
            self._save(0)  # it is what is kept if the first evaluation breaks a guard rail
        number = start
        for step in fit(
            self.model,
            self.stream,
            self.loss,
            self.optimiser,
            steps=course.steps,
            start=start,
            accumulation=self.chosen.accumulation,
            schedule=self.training.schedule,
            warmup=self.training.warmup,
            seed=self.recipe.seed,
        ):
            number = step.number
            for watcher in self.watchers:
                watcher.after(step, course)
            stopped = self.world.either(stop.wanted)
            if course.figures is not None or stopped or number % self.chosen.checkpoint_every == 0:
                self._save(number)
            if stopped and number < course.steps:
                raise KeyboardInterrupt
            if self._ends(number, course):
                break
        return number

    def _ends(self, step: int, course: Course) -> bool:
        return any(watcher.ends(step, course) for watcher in self.watchers)

    def _averaged(self) -> AbstractContextManager[None]:
        return self.average.in_place() if self.average is not None else nullcontext()

    def _weights(self) -> dict[str, Any]:
        """What is kept of the trained weights; of sharded ones, with the frozen ones, whole, for the first process."""
        kept = self.average.kept() if self.average is not None else self.optimiser.weights()
        if not self.sharded:
            return kept
        distribute.apart(self.model)
        frozen = {name: weight for name, weight in self.model.named_parameters() if name not in kept}
        return distribute.gathered(kept | frozen, self.world)

    def _save(self, step: int) -> None:
        weights = self._weights()

        def write_model(folder: Path) -> None:
            with self._averaged():
                load.save_trained(folder, self.loaded, self.model, weights, self.base)
            write_json(folder / "recipe.json", self.recipe.model_dump(mode="json", by_alias=True))

        checkpoint.save(
            self.root,
            step,
            self.optimiser,
            stream=self.stream.state(),
            extra={"watchers": {watcher.name: watcher.state() for watcher in self.watchers}},
            write_model=write_model,
            average=self.average,
        )
        if self.world.first:
            checkpoint.prune(self.root, self.training.keep, self.evaluation.step)

    # ------------------------------------------------------------ after

    def _finish(self, step: int, course: Course) -> Artifact:
        """Take the best checkpoint's weights, write the model, and tell the figures."""
        best = self.evaluation.step
        if best == 0:
            self.listener.warn(
                f"train: {self.name}: the first evaluation broke a guard rail, so the model stays what it was before the "
                "phase. With a smaller `evaluate_every` or `learning_rate` there is something to keep."
            )
        chosen = checkpoint.verify(self.root / f"step-{best:08}")
        self.world.barrier()
        directions = tuple(map(str, self.phase.directions(self.recipe.pairs)))
        made = replace(
            self.loaded, card=replace(self.loaded.card, directions=directions, normalise=self.recipe.normalise)
        )
        checkpoint.restore(chosen, self.optimiser, self.average)
        weights = self._weights()
        if not self.world.first:
            with self._averaged(), distribute.whole(self.model):
                pass  # the first one's check needs the parts of all
            self.world.barrier()
            return Artifact(self.out, "train-phase", self.key)  # the first one's is the one that counts
        for old in ("adapter", "model"):
            shutil.rmtree(self.out / old, ignore_errors=True)
        with self._averaged(), as_loaded(self.loaded.model, self.loaded.model.config._attn_implementation):
            adapt.finish(self.out, self.phase, made, self.model, weights, self.base, beside=self._beside())
            kind_of(self.phase).finish(self.out / "model", weights)
            batch = self.stream.longest().to(self.loaded.device)
            quantised = self.chosen.quantise
            with distribute.whole(self.model):
                apart = adapt.check_saved(
                    self.out / "model", self.model, batch, DTYPES[self.chosen.precision], quantised
                )
            if quantised:
                self.listener.say(
                    f"train: {self.name}: trained on the base in {quantised}; what is saved goes with it in full precision "
                    f"and scores target tokens {apart:.3f} nats apart. It is the saved one that is evaluated."
                )
        facts = self._facts(step, course)
        chrf = facts["best_chrf"]
        tail = "" if chrf is None else f"; dev chrF {chrf:.2f} at step {best}, which is kept"
        self.listener.say(
            f"train: {self.name} done: {step} steps, {facts['target_tokens_per_s']:,.0f} target tokens/s, "
            f"padding {facts['padding']:.1%}{tail}"
        )
        done = Artifact.finish(self.out, "train-phase", self.key, facts)
        self.world.barrier()
        return done

    def _beside(self) -> bool:
        """Whether an adapter stays apart unless the recipe says otherwise: where the run does not have its base's weights
        but links to them, and no other phase goes on from here."""
        return linked.is_linked(self.base) and self.phase is self.recipe.train[-1]

    def _facts(self, step: int, course: Course) -> dict[str, Any]:
        facts: dict[str, Any] = {"steps": step}
        for watcher in self.watchers:
            facts |= watcher.facts(course)
        facts |= {
            "examples": dict(self.data.directions),
            "too_long": dict(self.data.too_long),
            "settings": self.chosen.to_json(),
            "trainable": self._trained(),
        }
        if self.data.assists:
            facts["assists"] = dict(self.data.assists)
        if self.data.marked:
            facts["marked"] = self.data.marked
        return facts

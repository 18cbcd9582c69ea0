"""One training phase: set up or resume, fit, evaluate, save, keep the best."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.listen import Listener
from dragoman.core.recipe import Phase, Recipe
from dragoman.engine.log import Log
from dragoman.errors import ModelError
from dragoman.stages.train.measures import Measures
from dragoman.stages.train.signals import Stop, stoppable
from dragoman.store.run.artifact import Artifact, write_json

if TYPE_CHECKING:
    from dragoman.engine.curriculum_loop import Steering
    from dragoman.engine.loop import Step

_PROBE_LIMIT = 0.08  # of the training time; above it the user is told


class Trainer:
    """Runs one phase in its folder."""

    def __init__(self, recipe: Recipe, phase: Phase, name: str, out: Path, key: str, listener: Listener) -> None:
        self.recipe, self.phase, self.training = recipe, phase, phase.training
        self.name, self.out, self.key, self.listener = name, out, key, listener
        # step 0: what the phase begins with; begin: the chrF of that
        self.best: dict[str, Any] = {"step": 0, "chrf": None, "stale": 0, "begin": None}
        self.totals: dict[str, Any] = {
            "target_tokens": 0, "tokens": 0, "padded": 0, "seconds": 0.0, "evaluation_seconds": 0.0
        }  # fmt: skip
        self.directions = phase.directions(recipe.pairs)
        self.broken = ""  # the guard rail that ended the phase
        self.steering: Steering | None = None

    def run(
        self, base: Path, texts: Path, planned: Mapping[str, Any] | None, *, fresh: bool, made: Path | None = None
    ) -> Artifact:
        """Train from the model in `base` on the texts; `planned` are the settings that `plan` chose, `made` is the
        folder of the synthetic rows."""
        self.base, self.fresh = base, fresh
        self._prepare(base, texts, planned, fresh, made)
        start = self._resume()
        with Log(self.out, start) as log, stoppable() as stop:
            step = self._fit(start, log, stop)
        return self._finish(step)

    def _prepare(
        self, base: Path, texts: Path, planned: Mapping[str, Any] | None, fresh: bool, made: Path | None
    ) -> None:
        import torch

        from dragoman.engine import load, losses, setup
        from dragoman.engine.adapt import base_dtype
        from dragoman.engine.average import Average
        from dragoman.engine.device import DTYPES, detect, use
        from dragoman.engine.loop import speed_up
        from dragoman.engine.optimise import Optimiser
        from dragoman.engine.phase_data import material, trainable

        training = self.training
        hardware = detect(self.recipe.plan.threads)
        precision = planned["precision"] if planned else setup.precision(self.recipe, hardware)
        self.loaded = loaded = load.load(base, dtype=base_dtype(self.phase, DTYPES[precision]), device=use(hardware))
        self.data = material(
            self.recipe, self.phase, loaded, texts, hardware, planned, fresh=fresh, made=made, listener=self.listener
        )
        self.chosen, self.stream = self.data.chosen, self.data.stream
        torch.manual_seed(self.recipe.seed)
        self.model = trainable(loaded, self.phase)
        self.optimiser = Optimiser(
            self.model,
            kind=self.chosen.optimiser,
            learning_rate=self.chosen.learning_rate,
            weight_decay=training.weight_decay,
            clip=training.clip,
            dtype=DTYPES[self.chosen.precision],
        )
        self.average = Average(self.optimiser, self.phase.average.decay) if self.phase.average else None
        self.loss = losses.cross_entropy(training.label_smoothing, compiled=self.chosen.compile)
        smoothed = training.label_smoothing > 0  # what is measured is not: it has to compare between phases
        self.plain_loss = losses.cross_entropy(compiled=self.chosen.compile) if smoothed else self.loss
        self.measures = Measures(self.recipe, self.phase, loaded, self.data, texts, self.model, self.plain_loss)
        attention = speed_up(loaded.model, self.stream.longest(), self.loss, compiled=self.chosen.compile)
        self._steer()
        self._show(attention)

    def _steer(self) -> None:
        """The curriculum of a hybrid phase, with its probes."""
        from dragoman.engine.curriculum_loop import Steering, batches_of, curriculum, rests
        from dragoman.engine.mixture import Mixture
        from dragoman.engine.optimise import annealing
        from dragoman.engine.probes import Probes, probe_tokens

        hybrid = self.phase.hybrid
        if hybrid is None or not isinstance(self.stream, Mixture):
            return
        chosen = curriculum(self.recipe, hybrid, self.data.tokens)
        warmup = self.training.warmup if self.training.warmup < 1 else self.training.warmup / self.chosen.steps
        rest = annealing(self.training.schedule, warmup) if rests(chosen) else 1.0
        tokens = probe_tokens(self.stream.size, batches_of(chosen), rest)
        probes = Probes(self.data.probes, tokens, self.loaded.pad, self.plain_loss)
        replay = hybrid.tasks.replay
        until = replay.until if replay is not None else 1.0
        self.steering = Steering(
            self.model,
            self.stream,
            chosen,
            probes,
            replay_until=until,
            measured={"objective": bool(self.measures.dev), "forgetting": self.data.general is not None},
            wait=warmup,
            rest=rest,
        )

    # ------------------------------------------------------------ before the first step

    def _resume(self) -> int:
        """Go on from the newest whole checkpoint of this very phase; anything older or other is removed."""
        from dragoman.engine import checkpoint

        marker = self.out / "phase.json"
        root = self.out / "checkpoints"
        try:
            same = json.loads(marker.read_text(encoding="utf-8"))["key"] == self.key
        except (OSError, ValueError, KeyError):
            same = False
        if not same:
            shutil.rmtree(self.out, ignore_errors=True)
            write_json(marker, {"key": self.key})
        checkpoint.sweep(root)
        found = checkpoint.latest(root)
        if found is None:
            self.measures.begin()
            if self.phase.stop_if is not None:  # it is what is kept if the first evaluation breaks a guard rail
                self._save(0)
            return 0
        self.stream.restore(checkpoint.restore(found, self.optimiser, self.average))
        self.best = dict(found.extra["best"])
        self.totals = dict(found.extra["totals"])
        self.broken = found.extra["broken"]
        self.measures.restore(found.extra["guards"])
        if self.steering is not None:
            self.steering.restore(found.extra["steering"])
        self.listener.say(f"train: {self.name} goes on from step {found.step}")
        return found.step

    def _show(self, attention: str) -> None:
        """Say what will be trained, and show examples with the mask; refuse if an end token is not trained."""
        from dragoman.engine.encoder import Encoder
        from dragoman.engine.load import parameters

        chosen, data, model = self.chosen, self.data, self.model
        rows = ", ".join(f"{name} {count:,}" for name, count in data.rows.items())
        self.listener.say(
            f"train: {self.name}: {'pairs' if self.phase.sft else 'rows'} {rows}; "
            f"{parameters(model, trainable=True):,} of {parameters(model):,} "
            f"parameters; {chosen.steps} steps of up to {chosen.batch_tokens} x {chosen.accumulation} tokens, "
            f"{chosen.packing}; {chosen.optimiser} {chosen.learning_rate:g} {self.training.schedule}; "
            f"{chosen.precision}, {attention} attention{', compiled' if chosen.compile else ''}"
        )
        if lost := sum(data.too_long.values()):
            self.listener.warn(f"train: {lost} rows are longer than the model's context and were left out whole")
        sft = self.phase.sft
        if sft is not None and not sft.shots.get(0) and sft.select == "best":
            self.listener.warn(
                "train: every prompt has examples, but the dev sentences by which the best checkpoint is chosen stand "
                "alone. Set `select: last`, or give 0 examples a share in `shots`."
            )
        if self.training.patience is not None and not (self.measures.dev and self.trains_translation):
            self.listener.warn(
                "train: `patience` has nothing to go by, for no development sentence is translated: the phase runs to its "
                "end. Set `prepare.holdout.dev`."
            )
        for reason, count in data.dropped.items():
            self.listener.say(f"train: left out: {reason} {count:,}")
        encoder = Encoder(self.loaded.tokenizer, self.loaded.card.prompt)
        for row, (ids, trained) in zip(data.examples, encoder.encode(data.examples), strict=True):
            ends = not row.pieces or row.pieces[-1].kind == "end"  # a block inside a document has no end
            if ends and not (trained[-1] and ids[-1] == encoder.end):
                raise ModelError("the end token is not under the loss, so the model would never learn to stop.")
            cut = trained.index(True)
            prompt, answer = encoder.tokenizer.decode(ids[:cut]), encoder.tokenizer.decode(ids[cut:])
            self.listener.say(f"train: example: {prompt} ⟦{answer}⟧   (the loss is on ⟦...⟧ only)")

    # ------------------------------------------------------------ during

    def _fit(self, start: int, log: Log, stop: Stop) -> int:
        """Train to the end, to the end of patience, to a broken guard rail, or until asked to stop. Returns the last
        step."""
        from dragoman.engine.loop import fit

        step = start
        if start and self._ends(start):  # it was stopped before it could be finished
            return start
        if not start and not self.fresh:
            self._begin(log)
        if self.steering is not None:
            self.steering.begin()
        for done in fit(
            self.model,
            self.stream,
            self.loss,
            self.optimiser,
            steps=self.chosen.steps,
            start=start,
            accumulation=self.chosen.accumulation,
            schedule=self.training.schedule,
            warmup=self.training.warmup,
        ):
            step = done.number
            last = step == self.chosen.steps
            if self.average is not None:
                self.average.update(step)
            self._tell(done, log)
            every = self.chosen.evaluate_every
            scored = last or (
                step % every == 0 and self.chosen.steps - step >= every // 2
            )  # the end is close: only there
            if scored:
                self._score(step, log)
            if self.steering is not None and (window := self.steering.after(done, last=last)) is not None:
                log.write(window)
            if scored or stop.wanted or step % self.chosen.checkpoint_every == 0:
                self._save(step)
            if stop.wanted and not last:
                raise KeyboardInterrupt
            if self._ends(step):
                break
        return step

    def _ends(self, step: int) -> bool:
        if self.broken:
            self.listener.warn(f"train: stopped at step {step}: {self.broken}")
            return True
        if self.training.patience is not None and self.best["stale"] >= self.training.patience:
            self.listener.say(f"train: no better dev chrF in {self.best['stale']} evaluations; stopped at step {step}")
            return True
        return False

    def _tell(self, step: Step, log: Log) -> None:
        totals, chosen = self.totals, self.chosen
        totals["target_tokens"] += step.target_tokens
        totals["tokens"] += step.tokens
        totals["padded"] += step.padded_tokens
        totals["seconds"] += step.seconds
        speed = step.target_tokens / step.seconds
        if step.number % max(1, chosen.steps // 1000) == 0 or step.number in (1, chosen.steps):
            record: dict[str, Any] = {
                "event": "step",
                "step": step.number,
                **(
                    {"epoch": round(step.epoch, 4)} if self.phase.sft is not None else {}
                ),  # a mixture has one for each task
                "share": round(step.number / chosen.steps, 4),  # of the phase
                "tokens": totals["tokens"],
                "target_tokens": totals["target_tokens"],
                "seconds": round(totals["seconds"], 3),
                "loss": step.loss,
                "learning_rate": step.learning_rate,
                "gradient_norm": step.gradient_norm,
                "target_tokens_per_s": round(speed, 1),
                "padding": round(1 - step.tokens / step.padded_tokens, 5),
            }
            if step.by_task:
                record["by_task"] = {group: round(loss / count, 5) for group, (loss, count) in step.by_task.items()}
            log.write(record)
        facts: dict[str, Any] = {"loss": f"{step.loss:.3f}", "target_tok/s": f"{speed:,.0f}"}
        if self.best["chrf"] is not None:
            facts["best_chrF"] = f"{self.best['chrf']:.1f}"
        self.listener.progress(f"train {self.name}", step.number, chosen.steps, **facts)

    def _begin(self, log: Log) -> None:
        """The development sample before the first step: what the phase has to better."""
        begun = time.perf_counter()
        record = self.measures.take()
        self.best["begin"] = record.get("chrf") if self.trains_translation else None
        seconds = time.perf_counter() - begun
        self.totals["evaluation_seconds"] += seconds
        self._write(0, record, seconds, log)
        if self.best["begin"] is not None:
            sentences = f"on {len(self.measures.dev)} sentences"
            self.listener.say(f"train: before the first step: chrF {self.best['begin']:.2f} {sentences}")

    def _write(self, step: int, record: Mapping[str, Any], seconds: float, log: Log) -> None:
        if record:
            limits = self.measures.limits()
            more = {"limits": limits} if limits else {}
            log.write({"event": "evaluate", "step": step, **record, **more, "seconds": round(seconds, 2)})

    def _score(self, step: int, log: Log) -> None:
        """Loss, chrF and BLEU of the development sample, translated greedily, and the guard rails; remembers the best
        step by chrF. With an average, the averaged weights are what is measured."""
        begun = time.perf_counter()
        with self._averaged():
            record = self.measures.take()
        self.broken = self.measures.broken(record)
        if self.steering is not None:
            self.steering.objective, self.steering.forgetting = record.get("chrf"), record.get("forgetting")
        chrf = record.get("chrf") if self.trains_translation else None
        best = self.best["chrf"]
        last = self.training.select == "last"
        better = not self.broken and (last or chrf is None or best is None or chrf > best)
        if better:
            self.best = {**self.best, "step": step, "chrf": chrf, "stale": 0}
        else:
            self.best = {**self.best, "stale": self.best["stale"] + 1}
        seconds = time.perf_counter() - begun
        self.totals["evaluation_seconds"] += seconds
        if not record:
            return
        self._write(step, record, seconds, log)
        names = {"loss": "dev loss", "chrf": "chrF", "bleu": "BLEU", "one_shot_chrf": "one-shot chrF"}
        figures = ", ".join(
            f"{names.get(k, k.replace('_', ' '))} {v:.3g}" if k in ("loss", "forgetting", "off_target") else
            f"{names.get(k, k)} {v:.2f}" for k, v in record.items() if isinstance(v, float)
        )  # fmt: skip
        sentences = f" on {len(self.measures.dev)} sentences" if self.measures.dev else ""
        self.listener.say(f"train: step {step}: {figures}{sentences}{' (best)' if better and not last else ''}")

    @property
    def trains_translation(self) -> bool:
        """False for a phase of language modelling only: there the last checkpoint is the best."""
        return bool(self.data.directions)

    def _averaged(self) -> AbstractContextManager[None]:
        return self.average.in_place() if self.average is not None else nullcontext()

    def _save(self, step: int) -> None:
        from dragoman.engine import checkpoint, load

        def write_model(folder: Path) -> None:
            with self._averaged():
                load.save_trained(folder, self.loaded, self.model, self._weights(), self.base)
            write_json(folder / "recipe.json", self.recipe.model_dump(mode="json", by_alias=True))

        root = self.out / "checkpoints"
        extra = {
            "best": self.best,
            "totals": self.totals,
            "broken": self.broken,
            "guards": self.measures.state(),
            "steering": self.steering.state() if self.steering is not None else None,
        }
        stream = self.stream.state()
        checkpoint.save(
            root, step, self.optimiser, stream=stream, extra=extra, write_model=write_model, average=self.average
        )
        checkpoint.prune(root, self.training.keep, self.best["step"])

    def _weights(self) -> dict[str, Any]:
        return self.average.weights() if self.average is not None else self.optimiser.weights()

    # ------------------------------------------------------------ after

    def _finish(self, step: int) -> Artifact:
        """Take the best checkpoint's weights, write the model, and tell the figures."""
        from dragoman.engine import adapt, checkpoint
        from dragoman.engine.device import DTYPES
        from dragoman.engine.loop import as_loaded

        best = self.best["step"]
        if best == 0:
            self.listener.warn(
                f"train: {self.name}: the first evaluation broke a guard rail, so the model stays what it was before the "
                "phase. With a smaller `evaluate_every` or `learning_rate` there is something to keep."
            )
        chosen = checkpoint.verify(self.out / "checkpoints" / f"step-{best:08}")
        card = replace(self.loaded.card, directions=tuple(map(str, self.directions)), normalise=self.recipe.normalise)
        made = replace(self.loaded, card=card)
        checkpoint.restore(chosen, self.optimiser, self.average)
        for old in ("adapter", "model"):
            shutil.rmtree(self.out / old, ignore_errors=True)
        with self._averaged(), as_loaded(self.loaded.model, self.loaded.model.config._attn_implementation):
            adapt.finish(self.out, self.phase, made, self.model, self._weights(), self.base)
            batch = self.stream.longest().to(self.loaded.device)
            adapt.check_saved(self.out / "model", self.model, batch, DTYPES[self.chosen.precision])
        facts = self._facts(step, best)
        begin, reached = self.best["begin"], self.best["chrf"]
        if begin is not None and reached is not None and reached < begin:
            self.listener.warn(
                f"train: {self.name}: worse than before: dev chrF {begin:.2f} at the start, {reached:.2f} at best. Try a "
                "smaller `learning_rate`, smaller steps (`batch_tokens`), or more rows."
            )
        tail = "" if self.best["chrf"] is None else f"; dev chrF {self.best['chrf']:.2f} at step {best}, which is kept"
        self.listener.say(
            f"train: {self.name} done: {step} steps, {facts['target_tokens_per_s']:,.0f} target tokens/s, "
            f"padding {facts['padding']:.1%}{tail}"
        )
        return Artifact.finish(self.out, "train-phase", self.key, facts)

    def _facts(self, step: int, best: int) -> dict[str, Any]:
        from dragoman.engine.load import parameters

        totals = self.totals
        facts = {
            "steps": step,
            "target_tokens": totals["target_tokens"],
            "tokens": totals["tokens"],
            "seconds": round(totals["seconds"], 1),
            "evaluation_seconds": round(totals["evaluation_seconds"], 1),
            "target_tokens_per_s": round(totals["target_tokens"] / max(totals["seconds"], 1e-9), 1),
            "padding": round(1 - totals["tokens"] / max(1, totals["padded"]), 4),
            "best_step": best,
            "best_chrf": self.best["chrf"],
            "begin_chrf": self.best["begin"],
            "examples": dict(self.data.directions),
            "too_long": dict(self.data.too_long),
            "settings": self.chosen.to_json(),
            "trainable": parameters(self.model, trainable=True),
        }
        if self.data.assists:
            facts["assists"] = dict(self.data.assists)
        if self.data.marked:
            facts["marked"] = self.data.marked
        if self.broken:
            facts["stopped"] = self.broken
        if self.steering is not None:
            facts |= self._mixture_facts(self.steering)
        return facts

    def _mixture_facts(self, steering: Steering) -> dict[str, Any]:
        """What the mixture delivered and what steering it cost."""
        delivered = steering.mixture.read
        total = max(1, sum(delivered.values()))
        share = steering.probes.seconds / max(self.totals["seconds"], 1e-9)
        if share > _PROBE_LIMIT:
            self.listener.warn(
                f"train: probes took {share:.1%} of the training time. A larger `curriculum.every` makes them rarer."
            )
        return {
            "rows": dict(self.data.rows),
            "dropped": dict(self.data.dropped),
            "delivered": delivered,
            "shares": {task: round(count / total, 6) for task, count in delivered.items()},
            "average_shares": {task: round(value, 6) for task, value in steering.curriculum.average.items()},
            "epochs_by_task": {task: round(value, 4) for task, value in steering.mixture.epochs.items()},
            "probe_seconds": round(steering.probes.seconds, 2),
            "probe_share": round(share, 5),
        }

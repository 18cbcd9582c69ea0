"""Stage 4, fine-tuning: the recipe's phases in order, each a folder that can be interrupted and resumed."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.languages import Direction
from dragoman.core.listen import Listener
from dragoman.core.metrics import score
from dragoman.core.recipe import Lora, Phase, Recipe
from dragoman.engine.log import Log
from dragoman.errors import ModelError
from dragoman.store.artifact import Artifact, digest, write_json
from dragoman.translator import Translator

if TYPE_CHECKING:
    from dragoman.engine.loop import Step


def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
    """Train every phase. Facts: folder of the final model, and one record per phase."""
    if "prepare" not in inputs:
        raise ModelError("training needs texts: give the recipe a `prepare` section.")
    model = inputs["model"]
    folder = model.folder / str(model.facts["folder"])
    planned = inputs["plan"].facts.get("phases", []) if "plan" in inputs else []
    phases = []
    made_from = digest(inputs["prepare"].key, model.key, recipe.seed, [str(p) for p in recipe.pairs])
    for number, phase in enumerate(recipe.train):
        name = f"{number}-{phase.kind}"
        settings = planned[number]["settings"] if number < len(planned) else None
        made_from = digest(made_from, phase.model_dump(mode="json"), settings)
        done = Artifact.done(out / name, made_from)
        if done is None:
            trainer = _Phase(recipe, phase, name, out / name, made_from, listener)
            done = trainer.run(
                folder, inputs["prepare"].folder, settings, fresh=bool(model.facts["new"]) and number == 0
            )
        else:
            listener.say(f"train: phase {name} is finished; skipped")
        phases.append({"name": name, **done.facts})
        folder = out / name / "model"
    facts = {"folder": folder.relative_to(out).as_posix(), "phases": phases}
    return Artifact.finish(out, "train", key, facts)


class _Phase:
    """One phase: set up or resume, fit, evaluate, save, keep the best."""

    def __init__(self, recipe: Recipe, phase: Phase, name: str, out: Path, key: str, listener: Listener) -> None:
        if phase.sft is None:
            raise ModelError(f"train: phase {name} has no kind")
        self.recipe, self.phase, self.sft = recipe, phase, phase.sft
        self.name, self.out, self.key, self.listener = name, out, key, listener
        self.best: dict[str, Any] = {"step": None, "chrf": None, "stale": 0}
        self.totals: dict[str, Any] = {"target_tokens": 0, "tokens": 0, "padded": 0, "seconds": 0.0}

    def run(self, base: Path, texts: Path, planned: Mapping[str, Any] | None, *, fresh: bool) -> Artifact:
        """Train from the model in `base` on the texts; `planned` are the settings that `plan` chose."""
        self.base = base
        self._prepare(base, texts, planned, fresh)
        start = self._resume()
        with Log(self.out, start) as log, _stoppable() as stop:
            step = self._fit(start, log, stop)
        return self._finish(step)

    def _prepare(self, base: Path, texts: Path, planned: Mapping[str, Any] | None, fresh: bool) -> None:
        import torch

        from dragoman.engine import load, losses
        from dragoman.engine import setup as arrange
        from dragoman.engine.device import DTYPES, detect, use
        from dragoman.engine.dropout import add_dropout
        from dragoman.engine.loop import speed_up
        from dragoman.engine.optimise import Optimiser

        hardware = detect(self.recipe.plan.threads)
        self.loaded = loaded = load.load(base, device=use(hardware))
        self.data = arrange.training_data(self.recipe, self.sft, loaded, texts)
        self.chosen = (
            arrange.Settings.from_json(planned)
            if planned
            else arrange.settings(self.recipe, self.phase, self.data, hardware, loaded, fresh=fresh)
        )
        torch.manual_seed(self.recipe.seed)
        self.model: Any = loaded.model
        if isinstance(self.phase.adapt, Lora):
            lora = self.phase.adapt
            self.model = load.adapt(loaded.model, lora.rank, lora.alpha, lora.dropout, lora.targets)
        add_dropout(loaded.model, self.sft.dropout)
        self.optimiser = Optimiser(
            self.model,
            kind=self.chosen.optimiser,
            learning_rate=self.chosen.learning_rate,
            weight_decay=self.sft.weight_decay,
            clip=self.sft.clip,
            dtype=DTYPES[self.chosen.precision],
        )
        self.stream = arrange.stream(self.recipe, self.data, self.chosen, loaded)
        self.loss = losses.cross_entropy(self.sft.label_smoothing, compiled=self.chosen.compile)
        self.own_attention = loaded.model.config._attn_implementation
        self.dev = arrange.dev_sample(self.recipe, self.sft, texts, self.sft.evaluate_sentences)
        self.dev_batches = arrange.dev_batches(loaded, self.dev, self.chosen.batch_tokens)
        attention = speed_up(loaded.model, self.stream.longest(), self.loss, compiled=self.chosen.compile)
        self._show(attention)

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
            return 0
        checkpoint.sweep(root)
        found = checkpoint.latest(root)
        if found is None:
            return 0
        self.stream.restore(checkpoint.restore(found, self.optimiser))
        self.best = dict(found.extra["best"])
        self.totals = dict(found.extra["totals"])
        self.listener.say(f"train: {self.name} goes on from step {found.step}")
        return found.step

    def _show(self, attention: str) -> None:
        """Say what will be trained, and show three examples with the mask; refuse if an end token is not trained."""
        from dragoman.engine.batch import Encoder
        from dragoman.engine.load import parameters

        chosen, data, model = self.chosen, self.data, self.model
        rows = ", ".join(f"{name} {count:,}" for name, count in data.directions.items())
        self.listener.say(
            f"train: {self.name}: pairs {rows}; {parameters(model, trainable=True):,} of {parameters(model):,} "
            f"parameters; {chosen.steps} steps of up to {chosen.batch_tokens} x {self.sft.accumulation} tokens, "
            f"{chosen.packing}; {chosen.optimiser} {chosen.learning_rate:g} {self.sft.schedule}; {chosen.precision}, "
            f"{attention} attention{', compiled' if chosen.compile else ''}"
        )
        if lost := sum(data.too_long.values()):
            self.listener.warn(f"train: {lost} pairs are longer than the model's context and were left out whole")
        encoder = Encoder(self.loaded.tokenizer, self.loaded.card.prompt)
        for ids, trained in encoder.encode(data.examples):
            if not (trained[-1] and ids[-1] == encoder.end):
                raise ModelError("the end token is not under the loss, so the model would never learn to stop.")
            cut = trained.index(True)
            prompt, answer = encoder.tokenizer.decode(ids[:cut]), encoder.tokenizer.decode(ids[cut:])
            self.listener.say(f"train: example: {prompt} ⟦{answer}⟧   (the loss is on ⟦...⟧ only)")

    # ------------------------------------------------------------ during

    def _fit(self, start: int, log: Log, stop: _Stop) -> int:
        """Train to the end, to the end of patience, or until asked to stop. Returns the last step."""
        from dragoman.engine.loop import fit

        step = start
        for done in fit(
            self.model,
            self.stream,
            self.loss,
            self.optimiser,
            steps=self.chosen.steps,
            start=start,
            accumulation=self.sft.accumulation,
            schedule=self.sft.schedule,
            warmup=self.sft.warmup,
        ):
            step = done.number
            last = step == self.chosen.steps
            self._tell(done, log)
            scored = bool(self.dev) and (last or step % self.chosen.evaluate_every == 0)
            if scored:
                self._score(step, log)
            if scored or last or stop.wanted or step % self.chosen.checkpoint_every == 0:
                self._save(step)
            if stop.wanted and not last:
                raise KeyboardInterrupt
            if self.sft.patience is not None and self.best["stale"] >= self.sft.patience:
                self.listener.say(
                    f"train: no better dev chrF in {self.best['stale']} evaluations; stopped at step {step}"
                )
                break
        return step

    def _tell(self, step: Step, log: Log) -> None:
        totals, chosen = self.totals, self.chosen
        totals["target_tokens"] += step.target_tokens
        totals["tokens"] += step.tokens
        totals["padded"] += step.padded_tokens
        totals["seconds"] += step.seconds
        speed = step.target_tokens / step.seconds
        if step.number % max(1, chosen.steps // 1000) == 0 or step.number in (1, chosen.steps):
            log.write(
                {
                    "event": "step",
                    "step": step.number,
                    "epoch": round(step.epoch, 4),
                    "tokens": totals["tokens"],
                    "target_tokens": totals["target_tokens"],
                    "seconds": round(totals["seconds"], 3),
                    "loss": step.loss,
                    "learning_rate": step.learning_rate,
                    "gradient_norm": step.gradient_norm,
                    "target_tokens_per_s": round(speed, 1),
                    "padding": round(1 - step.tokens / step.padded_tokens, 5),
                }
            )
        facts: dict[str, Any] = {"loss": f"{step.loss:.3f}", "target_tok/s": f"{speed:,.0f}"}
        if self.best["chrf"] is not None:
            facts["best_chrF"] = f"{self.best['chrf']:.1f}"
        self.listener.progress(f"train {self.name}", step.number, chosen.steps, **facts)

    def _score(self, step: int, log: Log) -> None:
        """Loss, chrF and BLEU of the development sample, translated greedily; remembers the best step by chrF."""
        from dragoman.engine.loop import as_loaded, mean_loss
        from dragoman.engine.setup import grouped

        begun = time.perf_counter()
        loss = mean_loss(self.model, self.dev_batches, self.loss)
        hypotheses, references = [], []
        with as_loaded(self.loaded.model, self.own_attention):
            translator = Translator(self.loaded)
            for direction, pairs in grouped(self.dev).items():
                found = translator.translate([pair.source for pair in pairs], direction)
                hypotheses += [h.text for h in found]
                references += [pair.target for pair in pairs]
        chrf = score("chrf", hypotheses, references).value
        bleu = score("bleu", hypotheses, references).value
        better = self.best["chrf"] is None or chrf > self.best["chrf"]
        self.best = (
            {"step": step, "chrf": chrf, "stale": 0} if better else {**self.best, "stale": self.best["stale"] + 1}
        )
        seconds = round(time.perf_counter() - begun, 2)
        log.write({"event": "evaluate", "step": step, "loss": loss, "chrf": chrf, "bleu": bleu, "seconds": seconds})
        self.listener.say(
            f"train: step {step}: dev loss {loss:.3f}, chrF {chrf:.2f}, BLEU {bleu:.2f} on {len(references)} sentences"
            f"{' (best)' if better else ''}"
        )

    def _save(self, step: int) -> None:
        from dragoman.engine import checkpoint, load

        def write_model(folder: Path) -> None:
            load.save_trained(folder, self.loaded, self.model, self.optimiser.weights(), self.base)
            write_json(folder / "recipe.json", self.recipe.model_dump(mode="json"))

        root = self.out / "checkpoints"
        extra = {"best": self.best, "totals": self.totals}
        checkpoint.save(root, step, self.optimiser, stream=self.stream.state(), extra=extra, write_model=write_model)
        checkpoint.prune(root, self.sft.keep, self.best["step"])

    # ------------------------------------------------------------ after

    def _finish(self, step: int) -> Artifact:
        """Take the best checkpoint's weights, write the model, and tell the figures."""
        from dragoman.engine import checkpoint, load

        best = self.best["step"] or step
        chosen = checkpoint.verify(self.out / "checkpoints" / f"step-{best:08}")
        made = replace(self.loaded, card=replace(self.loaded.card, directions=tuple(map(str, self._directions))))
        if isinstance(self.phase.adapt, Lora):
            shutil.rmtree(self.out / "adapter", ignore_errors=True)
            shutil.copytree(chosen.model, self.out / "adapter")
            load.merge(self.out / "adapter", self.base, self.out / "model", made)
        else:
            checkpoint.restore(chosen, self.optimiser)
            load.save_trained(self.out / "model", made, self.model, self.optimiser.weights(), self.base)
        totals = self.totals
        padding = 1 - totals["tokens"] / max(1, totals["padded"])
        facts = {
            "steps": step,
            "target_tokens": totals["target_tokens"],
            "tokens": totals["tokens"],
            "seconds": round(totals["seconds"], 1),
            "target_tokens_per_s": round(totals["target_tokens"] / max(totals["seconds"], 1e-9), 1),
            "padding": round(padding, 4),
            "best_step": best,
            "best_chrf": self.best["chrf"],
            "examples": dict(self.data.directions),
            "too_long": dict(self.data.too_long),
            "settings": self.chosen.to_json(),
            "trainable": load.parameters(self.model, trainable=True),
        }
        tail = "" if self.best["chrf"] is None else f"; best dev chrF {self.best['chrf']:.2f} at step {best}"
        self.listener.say(
            f"train: {self.name} done: {step} steps, {facts['target_tokens_per_s']:,.0f} target tokens/s, "
            f"padding {padding:.1%}{tail}"
        )
        return Artifact.finish(self.out, "train-phase", self.key, facts)

    @property
    def _directions(self) -> list[Direction]:
        return self.sft.directions or self.recipe.pairs


class _Stop:
    wanted = False


@contextmanager
def _stoppable() -> Iterator[_Stop]:
    """SIGTERM and Ctrl-C end the run after the step in progress, with a checkpoint; a second one ends it at once."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        del number, frame
        if stop.wanted:
            raise KeyboardInterrupt
        stop.wanted = True

    old = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)

"""Which known prompt suits a base: measured on development pairs, in the model's own words.

The likelihood of the references rules out the forms that the model does not understand; it does not rank the good ones.
Those are ranked by chrF2++ of greedy translations, where a copied source counts as no translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.listen import Listener
from dragoman.core.prompt.prompts import FORMATS, Format
from dragoman.core.recipe import Decoding
from dragoman.core.records import Example
from dragoman.core.scores.metrics import score
from dragoman.core.scores.outputs import Examiner
from dragoman.core.text.languages import Direction

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

CHAT = ("chat", "tower-plus", "translategemma", "hunyuan")
PLAIN = ("adaptive", "alma", "native", "parrot")
_MARGIN = 0.3  # nats per token below the best form: parrot stood 0.8 below on Gemma 3 270M, the usable ones within 0.1
_MOST, _LEAST = 48, 8  # sentences
# parameters x sentences: well under two minutes of processor time for four forms on a processor
_WORK = {"cpu": 2.2e9, "mps": 3e10, "cuda": 3e11}


@dataclass(frozen=True, slots=True)
class Trial:
    """How one form did. `log_probability` is the mean per token of the references; the rest is None where it was ruled out."""

    prompt: str
    log_probability: float
    chrf: float | None = None  # chrF2++ of the greedy translations, percent; a copy counts as none
    copied: int | None = None
    empty: int | None = None


def candidates(tokenizer: Any) -> list[Format]:
    """The forms that fit a tokenizer, what is taken without measuring first."""
    return [FORMATS[name] for name in (CHAT if tokenizer.chat_template else PLAIN)]


def sentences(parameters: int, device: str) -> int:
    """How many development pairs to measure on; 0 for a model that would take too long on this device."""
    found = min(_MOST, int(_WORK.get(device, _WORK["cpu"]) / max(1, parameters)))
    return found if found >= _LEAST else 0


def chosen(
    loaded: Loaded, directions: Sequence[Direction], texts: Path, listener: Listener
) -> tuple[Format | None, list[dict[str, Any]]]:
    """The best form for a loaded base, and a row for each form; (None, []) where nothing could be measured.

    `texts` is the folder of the prepared text; the same sentences of its development pairs are taken every time.
    """
    from dragoman.engine.device import detect, use
    from dragoman.engine.layers import parameters
    from dragoman.engine.setup import dev_sample

    hardware = detect()
    device, size = use(hardware), parameters(loaded.model)
    count = sentences(size, device.type)
    if not count:
        listener.say(
            f"model: prompt taken by rule, not measured: {size / 1e9:.1f} billion parameters would take too long here"
        )
        return None, []
    sample = dev_sample(directions, texts, count)
    if not sample:
        return None, []
    forms = candidates(loaded.tokenizer)
    listener.say(f"model: trying {len(forms)} prompts on {len(sample)} development sentences")
    home = loaded.model.device
    model = loaded.model.to(device)
    was_training = model.training
    model.eval()
    try:
        trials = _trials(replace(loaded, model=model), forms, sample, listener)
    finally:
        model.train(was_training)
        model.to(home)
    if not trials:
        listener.warn("model: no development sentence fits the model's context, so the prompt is taken by rule")
        return None, []
    best = max(trials, key=lambda trial: -1.0 if trial.chrf is None else trial.chrf)  # the first of equals
    for line in _table(trials, best):
        listener.say(line)
    return FORMATS[best.prompt], [asdict(trial) for trial in trials]


def _trials(loaded: Loaded, forms: Sequence[Format], sample: Sequence[Example], listener: Listener) -> list[Trial]:
    likely = {form.name: _likelihood(loaded, form, sample) for form in forms}
    known = {name: value for name, value in likely.items() if value is not None}
    if not known:
        return []
    least = max(known.values()) - _MARGIN
    found = []
    for place, form in enumerate(forms, start=1):
        if form.name in known:
            trial = Trial(form.name, known[form.name])
            found.append(_translated(loaded, form, sample, trial) if trial.log_probability >= least else trial)
        else:
            listener.say(f"model: prompt '{form.name}' left out: with it no sentence fits the model's context")
        listener.progress("try prompts", place, len(forms))
    return found


def _likelihood(loaded: Loaded, form: Format, sample: Sequence[Example]) -> float | None:
    """Mean over the sentences of the mean log-probability of a reference's token."""
    from dragoman.engine.setup import grouped
    from dragoman.translator import Translator

    translator = Translator(replace(loaded, card=replace(loaded.card, prompt=form)))
    found: list[float] = []
    for direction, examples in grouped(sample).items():
        scores = translator.score([e.source for e in examples], [e.target for e in examples], direction)
        found += [value for value in scores if value is not None]
    return sum(found) / len(found) if found else None


def _translated(loaded: Loaded, form: Format, sample: Sequence[Example], trial: Trial) -> Trial:
    from dragoman.engine.setup import grouped
    from dragoman.translator import Translator

    translator = Translator(replace(loaded, card=replace(loaded.card, prompt=form)))
    texts: list[str] = []
    references: list[str] = []
    flags: list[str] = []
    greedy = Decoding(beam=1, max_ratio=1.5, max_extra=8)  # a loop shows early
    for direction, examples in grouped(sample).items():
        examiner = Examiner(direction)
        made = translator.translate([e.source for e in examples], direction, greedy)
        for example, hypothesis in zip(examples, made, strict=True):
            found = examiner.flags(example.source, hypothesis, example.target)
            texts.append("" if "copied" in found else hypothesis.text)
            references.append(example.target)
            flags += found
    chrf = round(score("chrf", texts, references).value, 2)
    return replace(trial, chrf=chrf, copied=flags.count("copied"), empty=flags.count("empty"))


def _table(trials: Sequence[Trial], best: Trial) -> list[str]:
    lines = ["  prompt           log-probability  chrF2++  copied  empty"]
    for t in trials:
        rest = "ruled out" if t.chrf is None else f"{t.chrf:7.1f}  {t.copied:6}  {t.empty:5}"
        lines.append(f"  {t.prompt:15}  {t.log_probability:15.3f}  {rest}{'  <- taken' if t is best else ''}")
    return lines

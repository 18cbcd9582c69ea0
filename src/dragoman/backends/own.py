"""The reference backend: a transformers model under dragoman's own decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from dragoman.core.listen import SILENT, Listener
from dragoman.core.ports import Abilities, Cancelled, CancelledError, Completion, Prompt, Stops, Told, never, nobody
from dragoman.core.recipe import Decoding
from dragoman.core.scores import mbr
from dragoman.core.text.languages import Direction
from dragoman.engine import gguf, load
from dragoman.engine.generate import Draw, Generated, generate, sample
from dragoman.engine.layers import parameters
from dragoman.engine.load import Loaded, Shell
from dragoman.engine.score import token_scores
from dragoman.store.run.artifact import model_folder


class Transformers:
    """See `core.ports.Backend`."""

    name = "transformers"
    abilities = Abilities(beam=True, sample=True, score=True)

    def __init__(self, loaded: Loaded, *, budget: int = 16_384) -> None:
        """`budget` bounds rows x length of one batch."""
        self.loaded, self.budget = loaded, budget

    @classmethod
    def load(
        cls, folder: Path, *, precision: Literal["auto", "fp32", "bf16"] = "auto", threads: int | None = None
    ) -> Transformers:
        """The model of a run folder or a model folder. `auto` is fp32 on a processor, where batching then changes nothing."""
        from dragoman.engine.device import DTYPES, detect, use

        hardware = detect(threads)
        device = use(hardware)
        if precision == "auto":
            precision = "bf16" if device.type == "cuda" and hardware.bf16 else "fp32"
        return cls(load.load(model_folder(folder), dtype=DTYPES[precision], device=device))

    @classmethod
    def of_gguf(cls, shell: Shell, folder: Path, threads: int | None = None) -> Transformers:
        """The weights of a GGUF file as transformers unpacks them, under the configuration of the model: some figures of a
        file it does not read, such as the size of Qwen 3's heads."""
        from dragoman.engine.device import DTYPES, detect, use

        device = use(detect(threads))
        config = gguf.as_written(shell.config)
        model = load.load_model(folder / "model.gguf", dtype=DTYPES["fp32"], device=device, config=config).to(
            DTYPES["fp32"]
        )
        return cls(Loaded(model, shell.tokenizer, shell.card))

    @classmethod
    def of_packed(cls, shell: Shell, folder: Path, threads: int | None = None) -> Transformers:
        """The weights of a GPTQ or AWQ folder, unpacked."""
        from dragoman.engine import packed
        from dragoman.engine.device import detect, use

        device = use(detect(threads))
        model: Any = packed.unpacked(folder, shell.config).to(device)
        return cls(Loaded(model, shell.tokenizer, shell.card))

    @property
    def shell(self) -> Shell:
        return self.loaded.shell

    @property
    def directions(self) -> list[Direction]:
        return self.shell.directions

    @property
    def description(self) -> dict[str, Any]:
        return {
            "parameters": parameters(self.loaded.model),
            "dtype": str(self.loaded.model.dtype).removeprefix("torch."),
        }

    def complete(
        self,
        prompts: Sequence[Prompt],
        stops: Stops,
        decoding: Decoding,
        *,
        told: Told = nobody,
        cancelled: Cancelled = never,
        listener: Listener = SILENT,
    ) -> list[Completion]:
        del listener  # nothing fails for itself here
        budget = self.budget if decoding.batch_tokens == "auto" else decoding.batch_tokens
        given: Any = (self.loaded.model, [list(p.ids) for p in prompts], [p.limit for p in prompts])
        rest: Any = {"ends": stops.ends, "not_first": stops.not_first, "pad": self.shell.pad}
        rest |= {"budget": budget, "progress": told}
        sampling = decoding.mbr or decoding.sample
        with _stopped(self.loaded.model, cancelled):
            if sampling is None:
                drafts = [p.draft for p in prompts] if any(p.draft for p in prompts) else None
                made = generate(
                    *given, beam=decoding.beam, length_penalty=decoding.length_penalty, drafts=drafts, **rest
                )
                return [self.completion(self.shell.text(result.ids), result) for result in made]
            draw = Draw(sampling.seed, sampling.temperature, sampling.top_k, sampling.top_p, sampling.epsilon)
            groups = sample(*given, samples=decoding.mbr.candidates if decoding.mbr else 1, draw=draw, **rest)
        found = []
        for group in groups:
            texts = {ids: self.shell.text(ids) for ids in dict.fromkeys(tuple(result.ids) for result in group)}
            candidates = [texts[tuple(result.ids)] for result in group]
            index = mbr.choose(candidates, aggregate=decoding.mbr.aggregate).index if decoding.mbr else 0
            found.append(self.completion(candidates[index], group[index]))
        return found

    def score(self, rows: Sequence[tuple[Sequence[int], Sequence[bool]]], *, told: Told = nobody) -> list[list[float]]:
        return token_scores(self.loaded.model, rows, pad=self.shell.pad, budget=self.budget, progress=told)

    def close(self) -> None:
        """Nothing to do: memory goes with the object."""

    @staticmethod
    def completion(text: str, result: Generated) -> Completion:
        return Completion(
            text,
            result.log_probability,
            result.tokens,
            result.finished,
            result.looped,
            result.drafted,
            result.accepted,
        )


@contextmanager
def _stopped(model: Any, cancelled: Cancelled) -> Iterator[None]:
    """Inside, the model refuses the next forward pass once the work is not wanted any more."""
    if cancelled is never:
        yield
        return

    def asked(module: Any, inputs: Any) -> None:
        del module, inputs
        if cancelled():
            raise CancelledError

    hook = model.register_forward_pre_hook(asked)
    try:
        yield
    finally:
        hook.remove()

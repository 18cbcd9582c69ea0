"""CTranslate2: models that `dragoman deploy` has converted. Greedy decoding and beams as our own; log-probabilities too."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragoman.core.listen import SILENT, Listener
from dragoman.core.ports import Abilities, Cancelled, CancelledError, Completion, Prompt, Stops, Told, never, nobody
from dragoman.core.recipe import Decoding
from dragoman.core.text.languages import Direction
from dragoman.engine.ct2_export import window
from dragoman.engine.load import Shell
from dragoman.errors import ModelError

_BUDGET = 8_192  # rows x (prompt + longest answer) of one batch
_PADDED = 1.3  # prompts of one batch differ in length by at most this factor: the longer ones go on token by token


class CTranslate2:
    """See `core.ports.Backend`."""

    name = "ctranslate2"
    abilities = Abilities(beam=True, score=True)

    def __init__(self, shell: Shell, folder: Path, *, threads: int | None = None) -> None:
        try:
            import ctranslate2
        except ImportError:
            raise ModelError("the backend ctranslate2 needs its package: pip install 'dragoman[ct2]'.") from None
        from dragoman.engine.device import detect

        hardware = detect(threads)
        device = "cuda" if hardware.device == "cuda" and ctranslate2.get_cuda_device_count() else "cpu"
        self.shell = _within(shell)
        self._tokens: list[str] = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        wanted = folder.name.partition("-")[2] or "default"
        known = ctranslate2.get_supported_compute_types(device)
        self.compute = wanted if wanted in known else "default"
        try:
            self._generator: Any = ctranslate2.Generator(
                str(folder), device=device, intra_threads=hardware.threads, inter_threads=1, compute_type=self.compute
            )
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{folder}: CTranslate2 cannot load it: {error}") from None

    @property
    def directions(self) -> list[Direction]:
        return self.shell.directions

    @property
    def description(self) -> dict[str, Any]:
        return {"compute_type": self._generator.compute_type}

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
        budget = _BUDGET if decoding.batch_tokens == "auto" else decoding.batch_tokens
        found: dict[int, Completion] = {}
        for batch in _batches(prompts, decoding.beam, budget):
            if cancelled():
                raise CancelledError
            rows = [prompts[i] for i in batch]
            for place, row, made in zip(batch, rows, self._decode(rows, stops, decoding, cancelled), strict=True):
                found[place] = self._kept(row, made, stops, decoding, cancelled)
            told(len(found))
        return [found[place] for place in range(len(prompts))]

    def _decode(self, rows: Sequence[Prompt], stops: Stops, decoding: Decoding, cancelled: Cancelled) -> list[Any]:
        """CTranslate2's results, decoded up to the longest limit of the rows."""
        options: dict[str, Any] = {}
        if cancelled is not never and decoding.beam == 1:
            options["callback"] = lambda step: cancelled()
        made: list[Any] = self._generator.generate_batch(
            [[self._tokens[i] for i in row.ids] for row in rows],
            beam_size=decoding.beam,
            length_penalty=decoding.length_penalty,
            max_length=max(row.limit for row in rows),
            end_token=list(stops.ends),
            return_end_token=True,
            return_scores=True,
            include_prompt_in_result=False,
            **options,
        )
        if cancelled():
            raise CancelledError
        return made

    def _kept(self, row: Prompt, made: Any, stops: Stops, decoding: Decoding, cancelled: Cancelled) -> Completion:
        """What counts of a result. It is decoded again, alone, where the row's own limit is shorter than the batch's, or
        where it begins with what it must not begin with."""
        ids = list(made.sequences_ids[0])
        if ids and ids[0] in stops.not_first:
            first, log_probability = self._first(row, stops.not_first)
            if first in stops.ends or row.limit == 1:
                ended = first in stops.ends
                return Completion("" if ended else self.shell.text([first]), log_probability, 1, ended)
            rest = Prompt([*row.ids, first], row.limit - 1)
            [made] = self._decode([rest], stops, decoding, cancelled)
            ids = [first, *made.sequences_ids[0]]
            return self._completion(ids, log_probability + _sum(made, decoding), stops)
        if len(ids) > row.limit:
            [made] = self._decode([row], stops, decoding, cancelled)
            ids = list(made.sequences_ids[0])
        return self._completion(ids, _sum(made, decoding), stops)

    def _completion(self, ids: list[int], log_probability: float, stops: Stops) -> Completion:
        finished = bool(ids) and ids[-1] in stops.ends
        return Completion(self.shell.text(ids[:-1] if finished else ids), log_probability, len(ids), finished)

    def _first(self, row: Prompt, banned: Sequence[int]) -> tuple[int, float]:
        """The most probable first token that is allowed, and its log-probability."""
        import numpy as np

        logits = np.array(self._generator.forward_batch([list(map(int, row.ids))], return_log_probs=True))[0, -1]
        allowed = logits.copy()
        allowed[list(banned)] = -np.inf
        chosen = int(allowed.argmax())
        return chosen, float(logits[chosen])

    def score(self, rows: Sequence[tuple[Sequence[int], Sequence[bool]]], *, told: Told = nobody) -> list[list[float]]:
        found: list[list[float]] = []
        for start in range(0, len(rows), 64):
            some = rows[start : start + 64]
            scored = self._generator.score_batch(
                [[self._tokens[i] for i in ids] for ids, _ in some],
                max_batch_size=_BUDGET,
                batch_type="tokens",
                max_input_length=0,
            )
            for (_, mask), made in zip(some, scored, strict=True):
                # the first token has no probability, as nothing stands before it
                each = zip(mask[1:], made.log_probs, strict=True)
                found.append([float(value) for trained, value in each if trained])
            told(len(found))
        return found

    def close(self) -> None:
        self._generator.unload_model()


def _within(shell: Shell) -> Shell:
    """The shell with no more context than the sliding window, beyond which CTranslate2 would compute something else."""
    limit = window(shell.config)
    if limit is None or limit >= shell.context:
        return shell
    config = copy.copy(shell.config)
    config.max_position_embeddings = limit
    return replace(shell, config=config)


def _sum(made: Any, decoding: Decoding) -> float:
    """CTranslate2 tells the sum divided by length ** penalty."""
    return float(made.scores[0]) * float(len(made.sequences_ids[0]) ** decoding.length_penalty)


def _batches(prompts: Sequence[Prompt], beam: int, budget: int) -> Iterator[list[int]]:
    """Numbers of prompts that go together: of similar length, the longest first."""
    batch: list[int] = []
    longest = 0
    for index in sorted(range(len(prompts)), key=lambda i: (len(prompts[i].ids), prompts[i].limit), reverse=True):
        size = len(prompts[index].ids) + prompts[index].limit
        apart = bool(batch) and len(prompts[batch[0]].ids) > _PADDED * len(prompts[index].ids)
        if batch and (apart or (len(batch) + 1) * max(longest, size) * beam > budget):
            yield batch
            batch, longest = [], 0
        batch.append(index)
        longest = max(longest, size)
    if batch:
        yield batch

"""Translator: texts -> prompts -> generation -> translations. What `translate`, `evaluate` and training share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from dragoman.core.arguments import several
from dragoman.core.listen import SILENT, Listener
from dragoman.core.markup.markup import has_words
from dragoman.core.ports import Backend, Cancelled, Completion, Prompt, Stops, Told, never
from dragoman.core.prompt.prompts import language_token, render
from dragoman.core.recipe import Decoding, Sampling
from dragoman.core.records import NO_CONTEXT, Context, Hypothesis
from dragoman.core.scores.metrics import Floats
from dragoman.core.scores.multiple_choice import Question
from dragoman.core.text.languages import Direction, choose
from dragoman.core.text.normalise import normalise
from dragoman.errors import ModelError

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded, Shell


class Translates(Protocol):
    """What translates segments, as `Translator.translate` does."""

    def translate(
        self,
        texts: Sequence[str],
        direction: Direction,
        decoding: Decoding | None = None,
        listener: Listener = SILENT,
        assists: Sequence[Context] | None = None,
    ) -> list[Hypothesis]: ...


class Translator:
    """A model in a backend that translates lists of segments, in batches, order kept."""

    def __init__(self, model: Loaded | Backend, *, budget: int = 16_384) -> None:
        """`budget` bounds rows x length of one batch of a loaded model; a backend has its own."""
        from dragoman.backends.own import Transformers
        from dragoman.engine.encoder import Encoder
        from dragoman.engine.load import Loaded

        self.backend: Backend = Transformers(model, budget=budget) if isinstance(model, Loaded) else model
        self.shell: Shell = self.backend.shell
        self.budget = budget
        self.encoder = Encoder(self.shell.tokenizer, self.shell.card.prompt)
        self._ends = self._end_tokens()

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        threads: int | None = None,
        backend: str = "auto",
    ) -> Translator:
        """Load a run folder, a bundle or a model folder into a backend (docs/deploy.md). A precision of `auto` is fp32 on a
        processor, where batching then changes nothing."""
        from dragoman.backends import open_backend

        return cls(open_backend(folder, backend, precision=precision, threads=threads))

    @property
    def loaded(self) -> Loaded:
        """The model itself, which only the backend `transformers` has in reach. Raises ModelError."""
        found: Loaded | None = getattr(self.backend, "loaded", None)
        if found is None:
            raise ModelError(
                f"the backend {self.backend.name} cannot be looked into: use the backend `transformers` for this."
            )
        return found

    def close(self) -> None:
        """Free what the backend holds: memory, processes, connections."""
        self.backend.close()

    @property
    def directions(self) -> list[Direction]:
        """The directions that the model was made for."""
        return self.backend.directions

    @property
    def description(self) -> dict[str, Any]:
        """Facts for a report."""
        card = self.shell.card
        return {
            **self.backend.description,
            "backend": self.backend.name,
            "prompt": card.prompt.name,
            "base": card.base,
            "licence": card.licence,
            "directions": list(card.directions),
        }

    def outline(self) -> dict[str, Any]:
        """What an engine elsewhere must know to translate as this one does, as JSON values (`engine.outline`)."""
        from dragoman.engine.outline import outline

        return outline(self.encoder, self.shell, self.directions, self._stops)

    def can(self, decoding: Decoding) -> bool:
        """Whether the backend is able to decode so."""
        return self.backend.abilities.of(decoding)

    def direction(self, target: str, source: str | None = None) -> Direction:
        """The trained direction into `target`; `source` is needed where several lead there. Raises ModelError."""
        return choose(self.directions, target, source)

    def normalised(self, text: str) -> str:
        """The text as the model's training texts were: on one line, in their Unicode form, without invisible characters."""
        return " ".join(normalise(text, self.shell.card.normalise).split("\n")).strip()

    def translate(
        self,
        texts: Sequence[str],
        direction: Direction | str,
        decoding: Decoding | None = None,
        listener: Listener = SILENT,
        assists: Sequence[Context] | None = None,
        cancelled: Cancelled = never,
    ) -> list[Hypothesis]:
        """Translate segments. A text without words stays as it is; one too long for the model comes back empty and unfinished,
        with a warning. The score is that of the text chosen, however it was chosen: after minimum Bayes risk it is the
        log-probability of that sample, not its utility.

        `assists` holds for each text the examples and terms of its prompt. What does not fit beside the text and the
        longest answer allowed is left out, the least similar example first; each hypothesis has what stood there.
        Raises CancelledError soon after `cancelled` is true, ModelError for a decoding that the backend is not able to.
        """
        from dragoman.engine.prompt_fit import Ask, fitted

        texts, direction = several(texts), Direction.of(direction)
        decoding, context = decoding or Decoding(), self.shell.context
        self._require(decoding)
        self.encoder.require([direction.source, direction.target])
        cleaned = [self.normalised(text) for text in texts]
        # what has no letter outside its placeholders and addresses is the same in every language
        found = [Hypothesis("" if has_words(text) else text, 0.0, 0, not has_words(text)) for text in cleaned]
        sources = self.shell.tokenizer(cleaned, add_special_tokens=False, verbose=False).input_ids if cleaned else []
        answers = [int(decoding.max_ratio * len(source)) + decoding.max_extra for source in sources]
        wanted = assists if assists is not None else [NO_CONTEXT] * len(cleaned)
        asked = [Ask(direction, text, None, assist) for text, assist in zip(cleaned, wanted, strict=True)]
        prompts = fitted(self.encoder, asked, [context - answer for answer in answers])
        limits = [min(answer, context - len(prompt.ids)) for answer, prompt in zip(answers, prompts, strict=True)]
        todo = [i for i, text in enumerate(cleaned) if has_words(text) and limits[i] > len(sources[i]) // 4]
        if left := sum(map(has_words, cleaned)) - len(todo):
            listener.warn(f"{left} of {len(texts)} segments are too long for the model ({context} tokens): left empty")
        drafts = self._drafts([prompts[i].assist for i in todo], direction, [sources[i] for i in todo])
        results = self._decode(
            [Prompt(prompts[i].ids, limits[i], draft) for i, draft in zip(todo, drafts, strict=True)],
            decoding,
            lambda done: listener.progress(f"translate {direction}", done, len(todo)),
            cancelled,
            listener,
        )
        for index, made in zip(todo, results, strict=True):
            total = made.log_probability
            found[index] = Hypothesis(
                made.text,
                None if total is None else total / max(1, made.tokens),
                made.tokens,
                made.finished,
                prompts[index].assist,
                made.looped,
                made.drafted,
                made.accepted,
            )
        return found

    def samples(
        self,
        texts: Sequence[str],
        direction: Direction | str,
        sampling: Sampling,
        count: int,
        listener: Listener = SILENT,
    ) -> list[list[Hypothesis]]:
        """`count` samples of each segment, which stands alone in its prompt; none where it is too long for the model."""
        from dragoman.engine.generate import Draw, sample
        from dragoman.engine.prompt_fit import Ask, fitted

        direction, limit = Direction.of(direction), Decoding()
        self.encoder.require([direction.source, direction.target])
        asked = [Ask(direction, self.normalised(text), None, NO_CONTEXT) for text in several(texts)]
        sizes = [
            len(ids) for ids in self.shell.tokenizer([one.source for one in asked], add_special_tokens=False).input_ids
        ]
        answers = [int(limit.max_ratio * size) + limit.max_extra for size in sizes]
        prompts = fitted(self.encoder, asked, [self.shell.context - answer for answer in answers])
        limits = [
            min(answer, self.shell.context - len(prompt.ids)) for answer, prompt in zip(answers, prompts, strict=True)
        ]
        todo = [number for number, size in enumerate(sizes) if limits[number] > size // 4]
        groups = sample(
            self.loaded.model,
            [prompts[number].ids for number in todo],
            [limits[number] for number in todo],
            samples=count,
            draw=Draw(sampling.seed, sampling.temperature, sampling.top_k, sampling.top_p, sampling.epsilon),
            ends=self._ends,
            not_first=self._breaks if self.encoder.form.kind == "plain" else (),
            pad=self.shell.pad,
            budget=self.budget,
            progress=lambda done: listener.progress(f"sample {direction}", done, len(todo)),
        )
        found: list[list[Hypothesis]] = [[] for _ in asked]
        for number, group in zip(todo, groups, strict=True):
            found[number] = [
                Hypothesis(self.shell.text(one.ids), one.log_probability / max(1, one.tokens), one.tokens, one.finished)
                for one in group
            ]
        return found

    def _require(self, decoding: Decoding) -> None:
        if not self.can(decoding):
            able = "greedy decoding and a beam" if self.backend.abilities.beam else "greedy decoding"
            raise ModelError(
                f"the backend {self.backend.name} is able to {able} only: leave out the beam, the sampling or minimum Bayes "
                "risk, or use the backend `transformers`."
            )

    def _decode(
        self, prompts: Sequence[Prompt], decoding: Decoding, told: Told, cancelled: Cancelled, listener: Listener
    ) -> list[Completion]:
        """One completion for each prompt."""
        return self.backend.complete(prompts, self._stops, decoding, told=told, cancelled=cancelled, listener=listener)

    @property
    def _stops(self) -> Stops:
        return Stops(self._ends, self._breaks if self.encoder.form.kind == "plain" else ())

    def _drafts(
        self, assists: Sequence[Context], direction: Direction, sources: Sequence[Sequence[int]]
    ) -> list[Sequence[int]]:
        """For each prompt the tokens of its best example's translation, as an answer has them, and of the source: names and
        numbers are copied. Nothing for a prompt without an example."""
        having = [i for i, assist in enumerate(assists) if assist.shots]
        if not having:
            return [()] * len(assists)
        shown = [render(self.encoder.form, direction, *assists[i].shots[-1]) for i in having]
        found: list[Sequence[int]] = [()] * len(assists)
        for index, (ids, trained) in zip(having, self.encoder.encode(shown), strict=True):
            found[index] = [*(token for token, own in zip(ids, trained, strict=True) if own), *sources[index]]
        return found

    def score(
        self, sources: Sequence[str], targets: Sequence[str], direction: Direction | str, listener: Listener = SILENT
    ) -> list[float | None]:
        """Mean log-probability per token, end token included, that the model gives to translations that are there already.

        It is the `score` that `translate` tells of its own. None for a pair that is longer than the model's context.
        """
        sources, targets, direction = several(sources, "sources"), several(targets, "targets"), Direction.of(direction)
        found = self.token_scores(sources, targets, direction, listener)
        return [None if each is None else math.fsum(each) / max(1, len(each)) for each in found]

    def token_scores(
        self, sources: Sequence[str], targets: Sequence[str], direction: Direction | str, listener: Listener = SILENT
    ) -> list[list[float] | None]:
        """As `score`, but of every token of each translation, end token included."""
        sources, targets, direction = several(sources, "sources"), several(targets, "targets"), Direction.of(direction)
        self.encoder.require([direction.source, direction.target])
        pairs = [(self.normalised(s), self.normalised(t)) for s, t in zip(sources, targets, strict=True)]
        rows = self.encoder.encode([render(self.encoder.form, direction, s, t) for s, t in pairs])
        fitting = [i for i, (ids, _) in enumerate(rows) if len(ids) <= self.shell.context]
        found: list[list[float] | None] = [None] * len(rows)
        results = self.backend.score(
            [rows[i] for i in fitting],
            told=lambda done: listener.progress(f"score {direction}", done, len(fitting)),
        )
        for index, each in zip(fitting, results, strict=True):
            found[index] = each
        return found

    def score_candidates(
        self, questions: Sequence[Question], direction: Direction, listener: Listener = SILENT
    ) -> tuple[Floats, list[Context]]:
        """The `score` of every candidate [questions, candidates], and what of the wanted help stood in each prompt, the same
        for all candidates of a question. A row is NaN where one of them is longer than the model's context."""
        from dragoman.engine import multiple_choice

        self.encoder.require([direction.source, direction.target])
        return multiple_choice.score_candidates(
            self.loaded,
            self.encoder,
            direction,
            questions,
            progress=lambda done: listener.progress(f"choose {direction}", done, len(questions)),
        )

    @cached_property
    def _breaks(self) -> list[int]:
        """Tokens with a line break. How they are spelt depends on the tokenizer (`Ċ` is a letter of Maltese, too), so each is
        decoded."""
        spelt = ("\n", "Ċ", "<0x0A>")
        tokenizer = self.shell.tokenizer
        likely = sorted(i for token, i in tokenizer.get_vocab().items() if any(b in token for b in spelt))
        return [i for i in likely if "\n" in tokenizer.decode([i])]

    def _end_tokens(self) -> list[int]:
        """End token, the model's own further ones, and what a model that was not tuned to end goes on with, the next
        example: every token with a line break in plain prompts, the tags of the languages in compact ones."""
        ends = {self.encoder.end, *self.shell.ends}
        if self.encoder.form.kind == "plain":
            ends |= set(self._breaks)
        if self.encoder.form.kind == "compact":
            vocabulary = self.shell.tokenizer.get_vocab()
            tags = {language_token(code) for pair in self.directions for code in (pair.source, pair.target)}
            ends |= {vocabulary[tag] for tag in tags if tag in vocabulary}
        return sorted(ends)

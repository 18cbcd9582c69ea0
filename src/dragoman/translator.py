"""Translator: texts -> prompts -> generation -> translations. What `translate`, `evaluate` and training share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from dragoman.core.arguments import several
from dragoman.core.listen import SILENT, Listener
from dragoman.core.markup.markup import has_words
from dragoman.core.prompt.prompts import language_token, render
from dragoman.core.recipe import Decoding, Sampling
from dragoman.core.records import NO_CONTEXT, Context, Hypothesis
from dragoman.core.scores.metrics import Floats
from dragoman.core.scores.multiple_choice import Question
from dragoman.core.text.languages import Direction, choose
from dragoman.core.text.normalise import normalise
from dragoman.store.run.artifact import model_folder

if TYPE_CHECKING:
    from dragoman.engine.generate import Generated
    from dragoman.engine.load import Loaded


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
    """A loaded model that translates lists of segments, in batches, order kept."""

    def __init__(self, loaded: Loaded, *, budget: int = 16_384) -> None:
        from dragoman.engine.encoder import Encoder

        self.loaded = loaded
        self.budget = budget
        self.encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
        self._ends = self._end_tokens()

    @classmethod
    def load(
        cls, folder: Path | str, *, precision: Literal["auto", "fp32", "bf16"] = "auto", threads: int | None = None
    ) -> Translator:
        """Load a run folder or a model folder. `auto` is fp32 on a processor, where batching then changes nothing."""
        from dragoman.engine import load
        from dragoman.engine.device import DTYPES, detect, use

        hardware = detect(threads)
        device = use(hardware)
        if precision == "auto":
            precision = "bf16" if device.type == "cuda" and hardware.bf16 else "fp32"
        return cls(load.load(model_folder(Path(folder)), dtype=DTYPES[precision], device=device))

    @property
    def directions(self) -> list[Direction]:
        """The directions that the model was made for."""
        return [Direction.parse(text) for text in self.loaded.card.directions]

    @property
    def description(self) -> dict[str, Any]:
        """Facts for a report."""
        from dragoman.engine.load import parameters

        return {
            "parameters": parameters(self.loaded.model),
            "prompt": self.loaded.card.prompt.name,
            "base": self.loaded.card.base,
            "licence": self.loaded.card.licence,
            "dtype": str(self.loaded.model.dtype).removeprefix("torch."),
            "directions": list(self.loaded.card.directions),
        }

    def direction(self, target: str, source: str | None = None) -> Direction:
        """The trained direction into `target`; `source` is needed where several lead there. Raises ModelError."""
        return choose(self.directions, target, source)

    def normalised(self, text: str) -> str:
        """The text as the model's training texts were: on one line, in their Unicode form, without invisible characters."""
        return " ".join(normalise(text, self.loaded.card.normalise).split("\n")).strip()

    def translate(
        self,
        texts: Sequence[str],
        direction: Direction | str,
        decoding: Decoding | None = None,
        listener: Listener = SILENT,
        assists: Sequence[Context] | None = None,
    ) -> list[Hypothesis]:
        """Translate segments. A text without words stays as it is; one too long for the model comes back empty and unfinished,
        with a warning. The score is that of the text chosen, however it was chosen: after minimum Bayes risk it is the
        log-probability of that sample, not its utility.

        `assists` holds for each text the examples and terms of its prompt. What does not fit beside the text and the
        longest answer allowed is left out, the least similar example first; each hypothesis has what stood there.
        """
        from dragoman.engine.prompt_fit import Ask, fitted

        texts, direction = several(texts), Direction.of(direction)
        decoding, context = decoding or Decoding(), self.loaded.context
        self.encoder.require([direction.source, direction.target])
        cleaned = [self.normalised(text) for text in texts]
        # what has no letter outside its placeholders and addresses is the same in every language
        found = [Hypothesis("" if has_words(text) else text, 0.0, 0, not has_words(text)) for text in cleaned]
        sources = self.loaded.tokenizer(cleaned, add_special_tokens=False, verbose=False).input_ids if cleaned else []
        answers = [int(decoding.max_ratio * len(source)) + decoding.max_extra for source in sources]
        wanted = assists if assists is not None else [NO_CONTEXT] * len(cleaned)
        asked = [Ask(direction, text, None, assist) for text, assist in zip(cleaned, wanted, strict=True)]
        prompts = fitted(self.encoder, asked, [context - answer for answer in answers])
        limits = [min(answer, context - len(prompt.ids)) for answer, prompt in zip(answers, prompts, strict=True)]
        todo = [i for i, text in enumerate(cleaned) if has_words(text) and limits[i] > len(sources[i]) // 4]
        if left := sum(map(has_words, cleaned)) - len(todo):
            listener.warn(f"{left} of {len(texts)} segments are too long for the model ({context} tokens): left empty")
        results = self._decode(
            [prompts[i].ids for i in todo],
            [limits[i] for i in todo],
            decoding,
            lambda done: listener.progress(f"translate {direction}", done, len(todo)),
            self._drafts([prompts[i].assist for i in todo], direction, [sources[i] for i in todo]),
        )
        for index, (text, result) in zip(todo, results, strict=True):
            score = result.log_probability / max(1, result.tokens)
            found[index] = Hypothesis(
                text,
                score,
                result.tokens,
                result.finished,
                prompts[index].assist,
                result.looped,
                result.drafted,
                result.accepted,
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
            len(ids) for ids in self.loaded.tokenizer([one.source for one in asked], add_special_tokens=False).input_ids
        ]
        answers = [int(limit.max_ratio * size) + limit.max_extra for size in sizes]
        prompts = fitted(self.encoder, asked, [self.loaded.context - answer for answer in answers])
        limits = [
            min(answer, self.loaded.context - len(prompt.ids)) for answer, prompt in zip(answers, prompts, strict=True)
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
            pad=self.loaded.pad,
            budget=self.budget,
            progress=lambda done: listener.progress(f"sample {direction}", done, len(todo)),
        )
        found: list[list[Hypothesis]] = [[] for _ in asked]
        for number, group in zip(todo, groups, strict=True):
            found[number] = [
                Hypothesis(self._text(one.ids), one.log_probability / max(1, one.tokens), one.tokens, one.finished)
                for one in group
            ]
        return found

    def _decode(
        self,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        decoding: Decoding,
        progress: Callable[[int], None],
        drafts: Sequence[Sequence[int]] | None = None,
    ) -> list[tuple[str, Generated]]:
        """One result for each prompt, with its text; `drafts` are what greedy ones may be like."""
        from dragoman.core.scores import mbr
        from dragoman.engine.generate import Draw, generate, sample

        budget = self.budget if decoding.batch_tokens == "auto" else decoding.batch_tokens
        sampling = decoding.mbr or decoding.sample
        if sampling is None:
            made = generate(
                self.loaded.model,
                prompts,
                limits,
                ends=self._ends,
                not_first=self._breaks if self.encoder.form.kind == "plain" else (),
                pad=self.loaded.pad,
                beam=decoding.beam,
                length_penalty=decoding.length_penalty,
                budget=budget,
                drafts=drafts,
                progress=progress,
            )
            return [(self._text(result.ids), result) for result in made]
        groups = sample(
            self.loaded.model,
            prompts,
            limits,
            samples=decoding.mbr.candidates if decoding.mbr else 1,
            draw=Draw(sampling.seed, sampling.temperature, sampling.top_k, sampling.top_p, sampling.epsilon),
            ends=self._ends,
            not_first=self._breaks if self.encoder.form.kind == "plain" else (),
            pad=self.loaded.pad,
            budget=budget,
            progress=progress,
        )
        found = []
        for group in groups:
            texts = {ids: self._text(ids) for ids in dict.fromkeys(tuple(result.ids) for result in group)}
            candidates = [texts[tuple(result.ids)] for result in group]
            index = mbr.choose(candidates, aggregate=decoding.mbr.aggregate).index if decoding.mbr else 0
            found.append((candidates[index], group[index]))
        return found

    def _drafts(
        self, assists: Sequence[Context], direction: Direction, sources: Sequence[Sequence[int]]
    ) -> list[Sequence[int]] | None:
        """For each prompt the tokens of its best example's translation, as an answer has them, and of the source: names and
        numbers are copied. Nothing for a prompt without an example; None where no prompt has one."""
        having = [i for i, assist in enumerate(assists) if assist.shots]
        if not having:
            return None
        shown = [render(self.encoder.form, direction, *assists[i].shots[-1]) for i in having]
        found: list[Sequence[int]] = [()] * len(assists)
        for index, (ids, trained) in zip(having, self.encoder.encode(shown), strict=True):
            found[index] = [*(token for token, own in zip(ids, trained, strict=True) if own), *sources[index]]
        return found

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self.loaded.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text.strip()

    def score(
        self, sources: Sequence[str], targets: Sequence[str], direction: Direction | str, listener: Listener = SILENT
    ) -> list[float | None]:
        """Mean log-probability per token, end token included, that the model gives to translations that are there already.

        It is the `score` that `translate` tells of its own. None for a pair that is longer than the model's context.
        """
        from dragoman.engine.score import score

        sources, targets, direction = several(sources, "sources"), several(targets, "targets"), Direction.of(direction)
        self.encoder.require([direction.source, direction.target])
        pairs = [(self.normalised(s), self.normalised(t)) for s, t in zip(sources, targets, strict=True)]
        rows = self.encoder.encode([render(self.encoder.form, direction, s, t) for s, t in pairs])
        fitting = [i for i, (ids, _) in enumerate(rows) if len(ids) <= self.loaded.context]
        found: list[float | None] = [None] * len(rows)
        results = score(
            self.loaded.model,
            [rows[i] for i in fitting],
            pad=self.loaded.pad,
            budget=self.budget,
            progress=lambda done: listener.progress(f"score {direction}", done, len(fitting)),
        )
        for index, (total, tokens) in zip(fitting, results, strict=True):
            found[index] = total / max(1, tokens)
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
            budget=self.budget,
            progress=lambda done: listener.progress(f"choose {direction}", done, len(questions)),
        )

    @cached_property
    def _breaks(self) -> list[int]:
        """Tokens with a line break. How they are spelt depends on the tokenizer (`Ċ` is a letter of Maltese, too), so each is
        decoded."""
        spelt = ("\n", "Ċ", "<0x0A>")
        tokenizer = self.loaded.tokenizer
        likely = sorted(i for token, i in tokenizer.get_vocab().items() if any(b in token for b in spelt))
        return [i for i in likely if "\n" in tokenizer.decode([i])]

    def _end_tokens(self) -> list[int]:
        """End token, the model's own further ones, and what a model that was not tuned to end goes on with, the next
        example: every token with a line break in plain prompts, the tags of the languages in compact ones."""
        ends = {self.encoder.end}
        own = getattr(self.loaded.model.generation_config, "eos_token_id", None)
        ends |= set(own if isinstance(own, list) else [own]) - {None}
        if self.encoder.form.kind == "plain":
            ends |= set(self._breaks)
        if self.encoder.form.kind == "compact":
            vocabulary = self.loaded.tokenizer.get_vocab()
            tags = {language_token(code) for pair in self.directions for code in (pair.source, pair.target)}
            ends |= {vocabulary[tag] for tag in tags if tag in vocabulary}
        return sorted(int(e) for e in ends if e is not None)

"""Assistant: the adaptive translator. A model with the run's memory, glossary and confidence around it.

For every text: an exact match of the memory is given back as such; else the best fuzzy matches and the glossary's terms go
into the prompt, the translation is checked, a doubtful one is made again with other settings, the better one is kept, and
what is still doubtful is marked. What was confirmed is in the memory for the next text.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, Self

from dragoman.assistant.confirmed import kept
from dragoman.assistant.draft import Draft, other_than, ways_of
from dragoman.assistant.tally import Tally
from dragoman.core.answers import CERTAIN, Answer
from dragoman.core.arguments import several
from dragoman.core.listen import SILENT, Listener
from dragoman.core.memory.matching import Match
from dragoman.core.recipe import Decoding, Normalise
from dragoman.core.records import Hypothesis
from dragoman.core.scores.confidence import DOUBTFUL
from dragoman.core.scores.flags import Flagger
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import normalise
from dragoman.errors import DataError
from dragoman.store.memory.glossary import Glossary, glossary_file
from dragoman.store.memory.retrieval import MAX_TERMS, MIN_MATCH, Found, Retriever
from dragoman.store.memory.translation_memory import DEFAULT_TENANT, Memory, memory_file
from dragoman.store.run.confidence import Calibrations
from dragoman.store.run.observer import Observer
from dragoman.store.run.screen import Counts, Screen
from dragoman.store.run.trained import help_of, key_of
from dragoman.translator import Translates, Translator

_OF_MEMORY = frozenset({"tag", "number", "term"})  # doubts that a person's translation may raise too


class Observes(Protocol):
    """Who is told of the answers that were given."""

    def seen(self, answers: Sequence[Answer], direction: Direction, tenant: str, seconds: float) -> None: ...

    def screened(self, tally: Counts, direction: Direction, tenant: str) -> None: ...

    def close(self) -> None: ...


class Directed(Translates, Protocol):
    """What is asked of a loaded model."""

    @property
    def directions(self) -> list[Direction]: ...

    def direction(self, target: str, source: str | None = None) -> Direction: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """How the help is used."""

    tenant: str = DEFAULT_TENANT
    exact: bool = True  # give an exact match of the memory back as it is
    shots: int = 1  # fuzzy matches in one prompt
    min_match: float = MIN_MATCH  # the least match that goes into a prompt
    terms: int = MAX_TERMS  # terms in one prompt; 0 = the glossary is only held against the translations
    retry: bool = True  # translate again what has a flag
    decoding: Decoding = field(default_factory=Decoding)


class Assistant:
    """A translator that uses what is known. Not for several threads at once, except `confirm`."""

    def __init__(
        self,
        translator: Directed,
        *,
        memory: Memory | None = None,
        glossary: Glossary | None = None,
        calibrations: Calibrations | None = None,
        settings: Settings | None = None,
        memory_path: Path | None = None,
        observer: Observes | None = None,
        screen: Screen | None = None,
    ) -> None:
        """`memory_path`: where `confirm` makes a memory when there is none yet. `observer` is told of every answer; `screen`
        looks at what `translate` is given and gives."""
        self.translator, self.memory, self.glossary = translator, memory, glossary
        self.calibrations, self.settings = calibrations, settings or Settings()
        self.tally = Tally()
        self.observer, self.screen = observer, screen
        self._seconds = 0.0  # spent since answers were last counted
        self._memory_path = memory_path
        self._flaggers: dict[Direction, Flagger] = {}

    @classmethod
    def load(
        cls,
        run: Path | str,
        *,
        memory: bool = True,
        glossary: Glossary | bool = True,
        settings: Settings | None = None,
        threads: int | None = None,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        backend: str = "auto",
        observed: bool = True,
    ) -> Self:
        """The model of a run, a bundle or a model folder with the memory, glossary and calibration that lie there.

        `memory=False` leaves the memory alone; a `glossary` of one's own takes the place of the run's. Without `settings`
        as many examples and terms go into a prompt as the model was trained on. `precision` as in `Translator.load`.
        `observed=False` writes nothing into the run's ledger, and screens nothing.
        """
        run = Path(run)
        translator = Translator.load(run, precision=precision, threads=threads, backend=backend)
        held = Memory.open(memory_file(run)) if memory and memory_file(run).is_file() else None
        if isinstance(glossary, bool):
            known = glossary and glossary_file(run).is_file()
            glossary = Glossary.load(glossary_file(run)) if known else Glossary()
        return cls(
            translator,
            memory=held,
            glossary=glossary if len(glossary) else None,
            calibrations=Calibrations.read(run, key_of(run)),
            settings=settings or settings_of(run),
            memory_path=memory_file(run) if memory else None,
            observer=Observer.of(run) if observed else None,
            screen=Screen.of(run) if observed else None,
        )

    def close(self) -> None:
        if self.memory is not None:
            self.memory.close()
        if self.observer is not None:
            self.observer.close()
        if self.screen is not None:
            self.screen.close()
        if (close := getattr(self.translator, "close", None)) is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # ---------------------------------------------------------------- translate

    def translate(
        self,
        texts: Sequence[str],
        direction: Direction | str,
        *,
        queries: Sequence[str] | None = None,
        contexts: Sequence[str] | None = None,
        settings: Settings | None = None,
        listener: Listener = SILENT,
    ) -> list[Answer]:
        """Translate texts, order kept, and count them in the tally.

        `queries` are what the memory is asked for, where that is not the texts themselves (texts with markers: without
        them); only where both are the same is an exact match the answer. `contexts` are the segments before the texts.
        """

        def ask(some: list[str], asked: Sequence[str] | None, before: Sequence[str] | None) -> list[Answer]:
            return self.answers(some, way, queries=asked, contexts=before, settings=settings, listener=listener)

        way = Direction.of(direction)
        if self.screen is None or queries is not None:
            answers = ask(several(texts), queries, contexts)
        else:
            tally: Counts = Counter()
            texts = several(texts)
            recall = partial(self.recall, direction=way)
            answers = self.screen.translate(texts, contexts or [""] * len(texts), way, ask, recall, tally)
            self.tell(tally, way)
        self.count(answers, way)
        return answers

    def tell(self, tally: Counts, direction: Direction) -> None:
        """Tell the observer what screening found."""
        if self.observer is not None and tally:
            self.observer.screened(tally, direction, self.settings.tenant)

    def count(self, answers: Iterable[Answer], direction: Direction | str) -> None:
        """Count answers that were given in the tally, and tell the observer."""
        given = [answer for answer in answers if not answer.blocked]
        self.tally.add(given)
        if self.observer is not None:
            self.observer.seen(given, Direction.of(direction), self.settings.tenant, self._seconds)
        self._seconds = 0.0

    def answers(
        self,
        texts: Sequence[str],
        direction: Direction | str,
        *,
        queries: Sequence[str] | None = None,
        contexts: Sequence[str] | None = None,
        settings: Settings | None = None,
        listener: Listener = SILENT,
    ) -> list[Answer]:
        """`translate` for a caller who may use only some of the answers, and counts those: the tally stays as it is."""
        texts, direction = several(texts), Direction.of(direction)
        settings = settings or self.settings
        begun = time.perf_counter()
        plain = list(map(self._normalised, texts))
        asked = plain if queries is None else list(map(self._normalised, queries))
        found = self._find(asked, direction, contexts, settings)
        drafts = [Draft(text, one) for text, one in zip(plain, found, strict=True)]
        for draft, query in zip(drafts, asked, strict=True):
            best = draft.found.nearest
            if settings.exact and best is not None and best.exact and query == draft.text:
                draft.exact = best
        todo = [draft for draft in drafts if draft.exact is None]
        self._attempt(todo, direction, settings, settings.decoding, listener)
        if settings.retry:
            doubtful = [draft for draft in todo if draft.flags and draft.best.tokens]
            if doubtful and self.can(other_than(settings.decoding)):
                self._attempt(doubtful, direction, settings, other_than(settings.decoding), listener)
            misled = [draft for draft in doubtful if draft.flags and draft.attempts[0].shots]
            self._attempt(misled, direction, replace(settings, shots=0), settings.decoding, listener)
        answers = [self._answer(draft, direction, settings) for draft in drafts]
        self._seconds += time.perf_counter() - begun
        return [replace(answer, source=text) for answer, text in zip(answers, texts, strict=True)]

    def recall(
        self, texts: Sequence[str], direction: Direction | str, contexts: Sequence[str] | None = None
    ) -> list[Answer | None]:
        """For each text what the memory has for it as it stands, if exact matches are wanted; the model is not asked.

        The tally does not count them: whether they can be used, the caller knows.
        """
        texts, direction = several(texts), Direction.of(direction)
        if not self.settings.exact or self.memory is None:
            return [None] * len(texts)
        plain = list(map(self._normalised, texts))
        found = self._find(plain, direction, contexts, self.settings, exact=True)
        answers: list[Answer | None] = []
        for text, one in zip(texts, found, strict=True):
            best = one.nearest
            answers.append(self._recalled(text, best, one, direction) if best is not None and best.exact else None)
        return answers

    def _find(
        self,
        texts: Sequence[str],
        direction: Direction,
        contexts: Sequence[str] | None,
        settings: Settings,
        *,
        exact: bool = False,
    ) -> list[Found]:
        """The matches and terms of each text. The nearest is looked for in any case: a person sees it also where no prompt
        has a place for it. `exact`: nothing else is wanted, which is faster."""
        least, floor = (1.0, 1.0) if exact else (settings.min_match, min(settings.min_match, MIN_MATCH))
        retriever = Retriever(self.memory, self.glossary, settings.tenant)
        return retriever.find(
            texts,
            direction,
            shots=max(settings.shots, 1),
            min_match=least,
            floor=floor,
            terms=settings.terms or MAX_TERMS,  # those that are not in the prompt are looked for in the translation
            contexts=None if contexts is None else list(map(self._normalised, contexts)),
        )

    def _normalised(self, text: str) -> str:
        """As the model's training texts were (`Translator.normalised`)."""
        own = getattr(self.translator, "normalised", None)
        return own(text) if own is not None else normalise(text, Normalise())

    def _attempt(
        self,
        drafts: Sequence[Draft],
        direction: Direction,
        settings: Settings,
        decoding: Decoding,
        listener: Listener,
    ) -> None:
        """Translate the drafts once more; each keeps the better of what it has."""
        if not drafts:
            return
        assists = [draft.assist(settings.shots, settings.terms) for draft in drafts]
        wanted = assists if any(assists) else None
        made = self.translator.translate([draft.text for draft in drafts], direction, decoding, listener, wanted)
        flags = self.flagger(direction).flags(
            [draft.text for draft in drafts], made, [draft.found.terms for draft in drafts]
        )
        for draft, hypothesis, doubts in zip(drafts, made, flags, strict=True):
            draft.take(hypothesis, doubts, decoding.beam)

    @property
    def other_decoding(self) -> Decoding:
        """The settings that a doubtful text is tried again with."""
        return other_than(self.settings.decoding)

    def can(self, decoding: Decoding) -> bool:
        """Whether the translator is able to decode so; some backends are greedy only."""
        own = getattr(self.translator, "can", None)
        return own is None or bool(own(decoding))

    def flagger(self, direction: Direction) -> Flagger:
        """The checks of a direction."""
        if direction not in self._flaggers:
            languages = [code for one in self.translator.directions for code in (one.source, one.target)]
            self._flaggers[direction] = Flagger(direction, list(dict.fromkeys(languages)))
        return self._flaggers[direction]

    def _answer(self, draft: Draft, direction: Direction, settings: Settings) -> Answer:
        if draft.exact is not None:
            return self._recalled(draft.text, draft.exact, draft.found, direction)
        made, found = draft.best, draft.found
        calibration = (
            self.calibrations.of(direction, *ways_of(settings.decoding, made.assist)) if self.calibrations else None
        )
        return Answer(
            draft.text,
            made.text,
            "model",
            calibration(made.score) if calibration and made.tokens and made.score is not None else None,
            made.score,
            made.tokens,
            made.finished,
            draft.flags,
            found.matches or ((found.nearest,) if found.nearest is not None else ()),
            found.terms,
            tuple(draft.attempts),
            calibration.bound if calibration else DOUBTFUL,
            len(made.assist.shots),
            made.looped,
        )

    def _recalled(self, text: str, match: Match, found: Found, direction: Direction) -> Answer:
        """The answer that an exact match is."""
        made = Hypothesis(match.target, 0.0, 0, True)
        flags = self.flagger(direction).flags([text], [made], [found.terms])[0]
        kept = tuple(flag for flag in flags if flag in _OF_MEMORY)
        return Answer(text, match.target, "memory", CERTAIN, flags=kept, matches=(match,), terms=found.terms)

    # ---------------------------------------------------------------- adapt

    def confirm(
        self,
        source: str,
        target: str,
        direction: Direction | str,
        *,
        context: str = "",
        creator: str = "",
        anyway: bool = False,
    ) -> bool:
        """Put a translation that a person has confirmed into the memory: the next text finds it. False = it was there.

        A run without a memory gets one. Raises DataError when the memory was left out, or when the translation cannot be
        kept (empty, control characters) or lacks what must come through a translation (placeholders, tags, addresses),
        which `anyway` allows.
        """
        direction = Direction.of(direction)
        if self.memory is None:
            if self._memory_path is None:
                raise DataError("the translation cannot be kept: this assistant works without a memory.")
            self.memory = Memory.open(self._memory_path, create=True)
        return kept(
            self.memory,
            source,
            target,
            direction,
            self.settings.tenant,
            context=context,
            creator=creator,
            anyway=anyway,
        )


def settings_of(run: Path) -> Settings:
    """As much help as the model of a run can use (`store.run.trained.help_of`)."""
    shots, terms = help_of(run)
    return Settings(shots=shots, terms=MAX_TERMS if terms else 0)

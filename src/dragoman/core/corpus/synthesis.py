"""Parallel text from teachers: drafts, and the steps in which each mode turns a text into a pair.

A draft starts as a text (or, for source-side generation, as an empty place for several sentences), goes through the steps
of its mode, and ends as a pair or with a reason. Steps only write requests and read replies; who asks, and what is
accepted, is decided elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dragoman.core.prompt import synthesis_prompts as prompts
from dragoman.core.prompt.prompts import Turn
from dragoman.core.prompt.synthesis_prompts import NonsenseError
from dragoman.core.recipe.synthesise import Make, Paraphrase, Refine, Source
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.core.text.scripts import UNSPACED, scripts_of

Side = Literal["source", "target"]
TAKEN = "too_few"  # sentences that were asked for and not written
ORDERS = (1, 2, 3, 4)  # of the n-grams that diversity is measured by


@dataclass(frozen=True, slots=True)
class Request:
    """What a teacher is asked. `direction` says that it is a translation of `text`, which runs of ours can do too."""

    turns: tuple[Turn, ...]
    text: str = ""
    direction: Direction | None = None
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, or why there is none: `failure` is a reason from a closed set, `detail` says more."""

    text: str = ""
    log_probability: float | None = None  # mean per token of the answer, natural logarithm
    failure: str = ""
    detail: str = ""
    digest: str = ""  # of the request; the answer is found under it


@dataclass(frozen=True, slots=True)
class Draft:
    """A row in the making. `made` is the side that the teacher wrote, or wrote last."""

    mode: str
    direction: Direction
    made: Side
    teacher: str
    source: str = ""
    target: str = ""
    origin: str = ""  # of the text that it starts from
    line: int = 0
    domain: str = ""
    document: str = ""
    seed: int = 0
    prompt: str = ""  # digests of the requests that wrote it, the first one first
    log_probability: float | None = None
    round_trip: float | None = None  # chrF2++ of the way back, percent
    note: str = ""  # what a critic said, or the topic to write about
    wanted: int = 1  # rows that this draft stands for: more than one before the sentences are written
    reason: str = ""  # why it is rejected; empty while it is alive
    detail: str = ""

    @property
    def generated(self) -> str:
        """The text of the side that was made."""
        return self.source if self.made == "source" else self.target

    @property
    def given(self) -> str:
        """The text of the other side."""
        return self.target if self.made == "source" else self.source

    def lost(self, reason: str, detail: str = "") -> Draft:
        return replace(self, reason=reason, detail=detail)

    def with_side(self, side: Side, text: str) -> Draft:
        return replace(self, source=text) if side == "source" else replace(self, target=text)


@dataclass(frozen=True, slots=True)
class Synthetic(Example):
    """A pair that a teacher made, and how. It serves its own direction only: which side is synthetic matters."""

    mode: str = ""
    made: str = ""  # the side that was generated: source or target
    teacher: str = ""
    prompt: str = ""  # digests of the requests that wrote it, joined by " + ": answers stand under them in their file
    seed: int = 0
    log_probability: float | None = None  # mean per token of the answer, natural logarithm
    round_trip: float | None = None  # chrF2++ of the way back, percent

    @classmethod
    def of(cls, draft: Draft) -> Synthetic:
        return cls(
            draft.source,
            draft.target,
            draft.direction.source,
            draft.direction.target,
            draft.origin,
            draft.line,
            draft.domain,
            draft.document,
            mode=draft.mode,
            made=draft.made,
            teacher=draft.teacher,
            prompt=draft.prompt,
            seed=draft.seed,
            log_probability=draft.log_probability,
            round_trip=draft.round_trip,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One question to a teacher about each draft. `ask` gives None where there is nothing to ask."""

    name: str
    teacher: str
    ask: Callable[[Draft], Request | None]
    take: Callable[[Draft, Reply], Sequence[Draft]]
    writes: bool = True  # the answer goes into the row, so its request belongs to the row's provenance


def steps(make: Make, examples: Sequence[str]) -> list[Step]:
    """The steps of a mode, in order. `examples` are sentences to draw from for source-side generation."""
    task, mode = make.task, make.mode
    if isinstance(task, Source):
        translator = task.translator or task.teacher
        return [_write(task, examples), _translation(translator, "target", 0.0 if task.translator else None)]
    if isinstance(task, Paraphrase):
        return [_paraphrase(task)]
    first = _translation(task.teacher, "source" if mode == "back" else "target", task.temperature)
    return [first, *_refinement(task)] if isinstance(task, Refine) else [first]


def places(task: Source, direction: Direction, seed: int) -> list[Draft]:
    """Empty places for the sentences that source-side generation is to write, one draft a request.

    `line` numbers the requests; each has the next topic. Sampling has another seed whenever the topics start anew.
    """
    drafts = []
    for number in range(-(-task.rows // task.per_request)):
        wanted = min(task.per_request, task.rows - number * task.per_request)
        topic = task.topics[number % len(task.topics)] if task.topics else ""
        turn = seed + number // max(1, len(task.topics))
        origin = f"{task.teacher}: {topic}" if topic else task.teacher
        drafts.append(
            Draft("source", direction, "target", task.teacher, origin=origin, line=number, domain=topic, seed=turn,
                  note=topic, wanted=wanted)
        )  # fmt: skip
    return drafts


def apply(step: Step, draft: Draft, reply: Reply) -> list[Draft]:
    """The draft, or the several that it becomes, after a reply; lost where the reply is none or is nonsense."""
    if reply.failure:
        return [draft.lost(reply.failure, reply.detail)]
    if not reply.text.strip():
        return [draft.lost("no_answer", "the answer is empty")]
    try:
        if step.writes:
            draft = replace(draft, prompt=f"{draft.prompt} + {reply.digest}" if draft.prompt else reply.digest)
        return list(step.take(draft, reply))
    except NonsenseError as error:
        return [draft.lost("format", f"{error}: {' '.join(reply.text.split())[:200]}")]


def _translation(teacher: str, side: Side, temperature: float | None) -> Step:
    def ask(draft: Draft) -> Request:
        direction = draft.direction if side == "target" else draft.direction.reversed
        text = draft.source if side == "target" else draft.target
        return Request(prompts.translate(text, direction), text, direction, temperature or 0.0, draft.seed)

    def take(draft: Draft, reply: Reply) -> list[Draft]:
        asked = draft.source if side == "target" else draft.target
        made = draft.with_side(side, prompts.one_line(reply.text, asked))
        who = draft.teacher if draft.teacher == teacher else f"{draft.teacher} + {teacher}"
        return [replace(made, made=side, log_probability=reply.log_probability, teacher=who)]

    return Step("translate", teacher, ask, take)


def way_back(teacher: str) -> Step:
    """Translates the generated side back; the text comes back in `note`."""

    def ask(draft: Draft) -> Request:
        direction = draft.direction if draft.made == "source" else draft.direction.reversed
        return Request(prompts.translate(draft.generated, direction), draft.generated, direction, 0.0, draft.seed)

    def take(draft: Draft, reply: Reply) -> list[Draft]:
        return [replace(draft, note=prompts.one_line(reply.text, draft.generated))]

    return Step("translate back", teacher, ask, take, writes=False)


def _write(task: Source, examples: Sequence[str]) -> Step:
    def ask(draft: Draft) -> Request:
        shown = task.examples if isinstance(task.examples, list) else _drawn(examples, task.examples, draft.line)
        turns = prompts.write(draft.direction.source, draft.wanted, task.role, draft.note, shown)
        return Request(turns, temperature=task.temperature, seed=draft.seed)

    def take(draft: Draft, reply: Reply) -> list[Draft]:
        found = prompts.sentences(reply.text)
        first = draft.line * task.per_request + 1
        rows = [replace(draft, source=text, wanted=1, line=line) for line, text in enumerate(found, start=first)]
        missing = draft.wanted - len(found)
        if missing > 0:
            detail = f"{len(found)} of {draft.wanted} sentences were written"
            rows.append(replace(draft, wanted=missing).lost(TAKEN, detail))
        return rows

    return Step("write", task.teacher, ask, take)


def _drawn(examples: Sequence[str], count: int, request: int) -> list[str]:
    """`count` neighbours from a shuffled list, another stretch for each request."""
    if not examples or not count:
        return []
    start = request * count
    return [examples[(start + number) % len(examples)] for number in range(min(count, len(examples)))]


def _refinement(task: Refine) -> list[Step]:
    def ask_critic(draft: Draft) -> Request:
        turns = prompts.criticise(draft.source, draft.target, draft.direction)
        return Request(turns, temperature=task.temperature, seed=draft.seed)

    def take_critique(draft: Draft, reply: Reply) -> list[Draft]:
        return [replace(draft, note=" ".join(prompts.bare(reply.text).split()))]

    def ask_mend(draft: Draft) -> Request | None:
        if prompts.finds_nothing(draft.note):
            return None
        turns = prompts.mend(draft.source, draft.target, draft.note, draft.direction)
        return Request(turns, temperature=task.temperature, seed=draft.seed)

    def take_mended(draft: Draft, reply: Reply) -> list[Draft]:
        text = prompts.one_line(reply.text, draft.source)
        return [replace(draft, target=text, log_probability=reply.log_probability)]

    critic = task.critic or task.teacher
    return [
        Step("criticise", critic, ask_critic, take_critique, writes=False),
        Step("mend", task.teacher, ask_mend, take_mended),
    ]


def _paraphrase(task: Paraphrase) -> Step:
    side = task.side

    def ask(draft: Draft) -> Request:
        language = draft.direction.source if side == "source" else draft.direction.target
        turns = prompts.paraphrase(draft.generated, language)
        return Request(turns, temperature=task.temperature, seed=draft.seed)

    def take(draft: Draft, reply: Reply) -> list[Draft]:
        made = draft.with_side(side, prompts.one_line(reply.text, draft.generated))
        return [replace(made, log_probability=reply.log_probability)]

    return Step("paraphrase", task.teacher, ask, take)


# ---------------------------------------------------------------- diversity


def units(text: str, language: str) -> list[str]:
    """What n-grams are made of: words, or characters where words are not spaced."""
    folded = text.casefold()
    return [c for c in folded if not c.isspace()] if scripts_of(language) & UNSPACED else folded.split()


def grams(text: str, language: str, order: int) -> list[tuple[str, ...]]:
    """All n-grams of a text in their order; of a shorter text all of it is one."""
    words = units(text, language)
    if len(words) < order:
        return [tuple(words)] if words else []
    return [tuple(words[place : place + order]) for place in range(len(words) - order + 1)]


def distinct(texts: Iterable[str], language: str) -> dict[str, float]:
    """distinct-n: different n-grams over all n-grams, for n of 1 to 4 (Li et al. 2016). Falls as the corpus grows."""
    seen: dict[int, Counter[tuple[str, ...]]] = {order: Counter() for order in ORDERS}
    for text in texts:
        for order, counts in seen.items():
            counts.update(grams(text, language, order))
    return {str(n): round(len(counts) / counts.total(), 4) for n, counts in seen.items() if counts.total()}


class Novelty:
    """How much of each text has not been seen before: the share of its word trigrams that are new."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()

    def of(self, text: str, language: str) -> float:
        found = grams(text, language, 3)
        return sum(gram not in self._seen for gram in found) / len(found) if found else 0.0

    def add(self, text: str, language: str) -> None:
        self._seen.update(grams(text, language, 3))

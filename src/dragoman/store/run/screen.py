"""Screening at work: the rules of a run's recipe held against requests and answers, and what is then done.

What is redacted stands as a marker in what the model reads, as the markup of documents does, and comes back at its place.
What is blocked has no translation. Everything is counted, by rule and by what was done; no count holds a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, Self

import regex

from dragoman.core.answers import Answer
from dragoman.core.markup.flows import Outcome, Settings
from dragoman.core.markup.inline import Inline, Piece, Span
from dragoman.core.markup.rendering import Rendering, Sent, translate_inlines
from dragoman.core.prompt.prompts import Format, render
from dragoman.core.recipe import Monitor, Recipe
from dragoman.core.recipe import Screen as Policy
from dragoman.core.text.identify import Identifier
from dragoman.core.text.languages import Direction, primary
from dragoman.core.watch import personal, screening
from dragoman.core.watch.personal import PERSONAL
from dragoman.core.watch.screening import Shown, WordList
from dragoman.errors import DataError, RecipeError
from dragoman.store.guard import Judge
from dragoman.store.run.bundle import tell_unscreened
from dragoman.store.run.observer import settings_of
from dragoman.store.run.trained import directions_of, prompt_of, whose

_SURE = 0.9  # probability from which a source counts as one in another language
_REMEMBERED = 10_000  # judgements of sources, for those of their answers
_NO_KINDS: frozenset[str] = frozenset()

Counts = Counter[tuple[str, str]]  # (rule, what was done) -> texts
Ask = Callable[[list[str], list[str], list[str]], list[Answer]]  # texts, what the memory is asked for, contexts


class Recall(Protocol):
    """What a memory has of texts as they stand."""

    def __call__(self, texts: Sequence[str], *, contexts: Sequence[str]) -> Sequence[Answer | None]: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """`found`: the rules that spoke; `blocked`: the one for which there is no translation; `text`: an answer as it is given."""

    found: tuple[str, ...] = ()
    blocked: str = ""
    text: str | None = None


class Screen:
    """The policy of one run. Its methods may be called from several threads."""

    def __init__(
        self,
        policy: Policy,
        languages: Sequence[str],
        *,
        lists: dict[str, WordList] | None = None,
        prompt: Format | None = None,
    ) -> None:
        """`languages`: those of the run; `prompt`: the instruction that no answer may repeat."""
        self.policy = policy
        self._lists, self._prompt = lists or {}, prompt
        self._identifier = Identifier(languages)
        self._judge = Judge(policy.guard) if policy.guard is not None else None
        self._safe: dict[bytes, bool | None] = {}
        self._hidden = frozenset(rule for rule in PERSONAL if self._does(rule) == "redact")
        self._personal = [rule for rule in PERSONAL if self._does(rule) != "off"]

    @classmethod
    def of(cls, run: Path) -> Self | None:
        """The screen of a run whose recipe has `monitor.screen`; else None. Raises DataError where a list cannot be read."""
        own = whose(run)
        settings = settings_of(own)
        if settings is None:
            _refuse_unread(own)
            tell_unscreened(own)
        _refuse_newer(own, settings)
        if settings is None or settings.screen is None:
            return None
        directions = directions_of(run)
        languages = [code for one in directions for code in (one.source, one.target)]
        lists = {
            primary(language): WordList(_lines([own / name for name in files]), language)
            for language, files in settings.screen.words.items()
        }
        policy = settings.screen
        if policy.guard is not None and policy.guard.folder is not None:
            folder = own / policy.guard.folder
            if not folder.is_dir():
                raise DataError(f"{folder}: the guard model of `monitor.screen.guard.folder` is not there.")
            policy = policy.model_copy(update={"guard": policy.guard.model_copy(update={"folder": str(folder)})})
        return cls(policy, list(dict.fromkeys(languages)), lists=lists, prompt=prompt_of(run))

    def close(self) -> None:
        if self._judge is not None:
            self._judge.close()

    # ---------------------------------------------------------------- requests

    def requests(
        self,
        texts: Sequence[str],
        directions: Sequence[Direction],
        tally: Counts,
        plain: Sequence[Sequence[str]] | None = None,
    ) -> list[Verdict]:
        """What each text is found to hold, and whether it is blocked. `plain`: the stretches of each without their markup,
        which may cut a datum or a sentence (`ada@<b>example.org</b>`)."""
        safe = self._judged(texts)
        verdicts = []
        parts = plain if plain is not None else [()] * len(texts)
        for text, direction, one, more in zip(texts, directions, safe, parts, strict=True):
            found = self._of_request(text, direction.source)
            if self._does("language") != "off" and self._identifier.stranger(text, direction.source, _SURE) is not None:
                found.append("language")
            cut = {rule for part in more for rule in self._of_request(part, direction.source)}
            found += sorted(cut.difference(found))
            failed = one is None and self._judge is not None and self._does("guard") != "off"
            if one is False:
                found.append("guard")
            verdicts.append(self._verdict(found, tally, failed=failed))
        return verdicts

    def _of_request(self, text: str, language: str) -> list[str]:
        found = []
        if self._does("size") != "off" and len(text) > self.policy.characters:
            found.append("size")
        if self._does("control") != "off" and screening.control_marks(text):
            found.append("control")
        if self._does("injection") != "off" and screening.injected(text):
            found.append("injection")
        held = {spot.rule for spot in personal.personal(text, language, self._personal)}
        return [*found, *(rule for rule in self._personal if rule in held)]

    def hide(self, text: Inline, language: str) -> Inline:
        """The text with a span in the place of everything that is redacted."""
        if self._hidden:
            text = personal.hidden(text, language, self._hidden)
        if self.policy.control == "redact":
            pieces: list[Piece] = []
            for piece in text.pieces:
                done = 0
                for spot in screening.marks_at(piece) if isinstance(piece, str) else ():
                    assert isinstance(piece, str)  # noqa: S101 # for mypy
                    pieces += [piece[done : spot.start], Span((piece[spot.start : spot.end],), spot.rule)]
                    done = spot.end
                pieces.append(piece[done:] if isinstance(piece, str) else piece)
            text = Inline.of(pieces)
        return text

    # ---------------------------------------------------------------- answers

    def answers(
        self, answers: Sequence[Answer], sources: Sequence[str], direction: Direction, tally: Counts
    ) -> list[Verdict]:
        """What each answer to a source is found to hold; a person's translation holds nothing."""
        judged = [bool(one.text.strip()) and one.origin == "model" for one in answers]
        safe = self._judged_answers(sources, [a.text if j else "" for a, j in zip(answers, judged, strict=True)])
        verdicts = []
        for answer, source, mine, one in zip(answers, sources, judged, safe, strict=True):
            if not mine:
                verdicts.append(Verdict())
                continue
            found = self._of_answer(answer, source, direction)
            text = None
            if "added_personal" in found and self.policy.added_personal == "redact":
                text = self.masked(source, answer.text, direction)
            if one is False:
                found.append("guard_answer")
            verdict = self._verdict(found, tally, failed=one is None and self._does("guard_answer") != "off")
            verdicts.append(replace(verdict, text=text))
        return verdicts

    def _of_answer(self, answer: Answer, source: str, direction: Direction) -> list[str]:
        way, found = (direction.source, direction.target), []
        shown = Shown(
            [(one.source, one.target) for one in answer.matches[: answer.examples]], self._instructions(direction)
        )
        if self._does("leak") != "off" and screening.leaked(source, answer.text, *way, shown):
            found.append("leak")
        if self._does("added_personal") != "off" and self._added(source, answer.text, direction):
            found.append("added_personal")
        if self._does("toxicity") != "off" and screening.more_toxic(source, answer.text, self._lists, *way):
            found.append("toxicity")
        if self._does("refusal") != "off" and screening.refused(source, answer.text, *way):
            found.append("refusal")
        return found

    def masked(self, source: str, target: str, direction: Direction) -> str:
        """A translation with `[email]` and the like for personal data that its source does not have."""
        return personal.masked(target, self._added(source, target, direction))

    def _added(self, source: str, target: str, direction: Direction) -> list[personal.Spot]:
        return personal.added(source, target, direction.target)

    def _instructions(self, direction: Direction) -> list[str]:
        """What the prompt says besides texts."""
        if self._prompt is None or self._prompt.kind == "compact":
            return []
        made = render(self._prompt, direction, "")
        texts = [piece.text for piece in made.pieces] + [turn.text for turn in made.turns]
        return [text for text in texts if text.strip()]

    # ---------------------------------------------------------------- pairs

    def pairs(
        self, sources: Sequence[str], targets: Sequence[str], direction: Direction, tally: Counts
    ) -> list[tuple[Verdict, str, str]]:
        """Translations that a client brings to be judged: what each is found to hold, as a text that a model is sent and as
        an answer, and source and target as the model may see them. No target is blocked for its language, which is for the
        judge to tell."""
        found = []
        before = self.requests(sources, [direction] * len(sources), tally)
        given = [Answer(source, target, "model") for source, target in zip(sources, targets, strict=True)]
        after = self.answers(given, sources, direction, tally)
        for source, target, *verdicts in zip(sources, targets, before, after, strict=True):
            verdicts.append(self._verdict(self._of_request(target, direction.target), tally))
            rules = tuple(dict.fromkeys(rule for one in verdicts for rule in one.found))
            blocked = next((one.blocked for one in verdicts if one.blocked), "")
            shown = personal.marked(
                self.hide(Inline.of([source]), direction.source), self.hide(Inline.of([target]), direction.target)
            )
            found.append((Verdict(rules, blocked, verdicts[1].text), *shown))
        return found

    # ---------------------------------------------------------------- rows

    def translate(
        self,
        texts: Sequence[str],
        contexts: Sequence[str],
        direction: Direction,
        ask: Ask,
        recall: Recall,
        tally: Counts,
    ) -> list[Answer]:
        """Translate rows, order kept: what is blocked stays empty, what is redacted comes back at its place."""
        verdicts = self.requests(texts, [direction] * len(texts), tally)
        hidden = [self.hide(Inline.of([text]), direction.source) for text in texts]
        made: dict[int, Answer] = {}
        secret = [place for place, one in enumerate(hidden) if one.spans and not verdicts[place].blocked]
        for place, known in zip(
            secret,
            recall([texts[p] for p in secret], contexts=[contexts[p] for p in secret]) if secret else (),
            strict=True,
        ):
            if known is not None:
                made[place] = known
        secret = [place for place in secret if place not in made]
        plain = [
            place
            for place, one in enumerate(verdicts)
            if not one.blocked and place not in made and not hidden[place].spans
        ]
        some = [texts[place] for place in plain]
        made |= dict(zip(plain, ask(some, some, [contexts[place] for place in plain]) if plain else (), strict=True))
        made |= dict(zip(secret, self._unseen([hidden[p] for p in secret], direction, ask), strict=True))
        given = sorted(made)
        judged = self.answers([made[place] for place in given], [texts[place] for place in given], direction, tally)
        after = dict(zip(given, judged, strict=True))
        return [
            screened(made.get(place, Answer(text, "", "model")), text, verdicts[place], after.get(place, Verdict()))
            for place, text in enumerate(texts)
        ]

    def _unseen(self, texts: Sequence[Inline], direction: Direction, ask: Ask) -> list[Answer]:
        """Translations of texts whose spans the model does not see."""
        held: dict[str, Answer] = {}

        def send(some: list[str]) -> list[str]:
            asked = [one.bare if isinstance(one, Sent) else one for one in some]
            held.update(zip(some, ask(some, asked, [""] * len(some)), strict=True))
            return [held[text].text for text in some]

        settings = Settings(direction.source, _NO_KINDS, sentences=False)
        found = translate_inlines(texts, send, settings=settings) if texts else []
        return [_put_together(text, one, held) for text, one in zip(texts, found, strict=True)]

    # ---------------------------------------------------------------- policy

    def _does(self, rule: str) -> str:
        if rule in ("guard", "guard_answer"):
            guard = self.policy.guard
            return "off" if guard is None else guard.request if rule == "guard" else guard.answer
        return str(getattr(self.policy, rule))

    def _verdict(self, found: list[str], tally: Counts, *, failed: bool = False) -> Verdict:
        for rule in found:
            tally[rule, self._does(rule)] += 1
        blocked = next((rule for rule in found if self._does(rule) == "block"), "")
        if failed and self.policy.guard is not None:
            closed = self.policy.guard.fail == "closed"
            tally["guard", "failed, blocked" if closed else "failed"] += 1
            blocked = blocked or ("guard" if closed else "")
        return Verdict(tuple(found), blocked)

    def _judged(self, texts: Sequence[str]) -> list[bool | None]:
        """The guard's judgement of each source; True where nobody asks for one."""
        asked = self._judge is not None and {self._does("guard"), self._does("guard_answer")} != {"off"}
        if self._judge is None or not asked:
            return [True] * len(texts)
        full = [place for place, text in enumerate(texts) if text.strip()]
        judged = dict(zip(full, self._judge.safe([[texts[place]] for place in full]), strict=True))
        found: list[bool | None] = [judged.get(place, True) for place in range(len(texts))]
        if len(self._safe) > _REMEMBERED:
            self._safe.clear()
        self._safe.update(zip(map(_key, texts), found, strict=True))
        return found if self._does("guard") != "off" else [True] * len(texts)

    def _judged_answers(self, sources: Sequence[str], answers: Sequence[str]) -> list[bool | None]:
        """False for an unsafe answer to a source that was called safe; True for one that adds nothing."""
        if self._judge is None or self._does("guard_answer") == "off":
            return [True] * len(answers)
        asked = [
            place
            for place, (source, answer) in enumerate(zip(sources, answers, strict=True))
            if answer.strip() and self._safe.get(_key(source), True) is not False
        ]
        judged = dict(zip(asked, self._judge.safe([[sources[p], answers[p]] for p in asked]), strict=True))
        return [judged.get(place, True) for place in range(len(answers))]


def screened(answer: Answer, source: str, before: Verdict, after: Verdict) -> Answer:
    """An answer with what screening found: without its text where a rule blocks it."""
    blocked = before.blocked or after.blocked
    found = (*before.found, *after.found)
    if blocked:
        return Answer(source, "", answer.origin, score=None, screened=found, blocked=blocked)
    return replace(answer, text=answer.text if after.text is None else after.text, screened=found)


def _put_together(source: Inline, made: Rendering, held: dict[str, Answer]) -> Answer:
    """One answer of those that a text was translated by."""
    parts = [held[text] for text in made.asked]
    if not parts:  # nothing but what is redacted, or nothing held it: the source stands
        untouched = ("copied",) if made.outcome is Outcome.SOURCE else ()
        return Answer(source.text, made.text.text, "model", score=None, flags=untouched)
    flags = tuple(dict.fromkeys(flag for part in parts for flag in part.flags))
    whole = replace(parts[0], source=source.text, text=made.text.text, flags=flags)
    if len(parts) == 1:
        return whole
    tokens = sum(part.tokens for part in parts)
    return replace(whole, confidence=None, score=None, tokens=tokens, finished=all(part.finished for part in parts))


def _refuse_unread(run: Path) -> None:
    """A recipe that cannot be read and asks for screening is no licence to translate without. Raises DataError."""
    for path in (run / "recipe.lock.yaml", run / "recipe.yaml"):
        if path.is_file() and _asked(path) is not None:
            return  # it is in effect


def _refuse_newer(run: Path, settings: Monitor | None) -> None:
    """Nor is one that was changed since the last run, whose screening is not in effect yet. Raises DataError."""
    recipe, effective = run / "recipe.yaml", run / "recipe.lock.yaml"
    if not (recipe.is_file() and effective.is_file()) or recipe.stat().st_mtime <= effective.stat().st_mtime:
        return
    wanted = _asked(recipe)
    screen = wanted.monitor.screen if wanted is not None and wanted.monitor is not None else None
    if screen is not None and (settings is None or screen != settings.screen):
        raise DataError(
            f"{recipe}: its `monitor.screen` was changed since the last run and is not in effect. "
            f"Run `dragoman run {recipe}` again: what is trained stays."
        )


def _asked(path: Path) -> Recipe | None:
    """The recipe; None where it cannot be read and does not ask for screening. Raises DataError where it does."""
    try:
        return Recipe.load(path)
    except RecipeError:
        if regex.search(r"^\s+screen\s*:|[{,]\s*screen\s*:", path.read_text("utf-8", "replace"), regex.M):
            raise DataError(
                f"{path}: cannot be read as a recipe, and it asks for screening. Mend it: dragoman plan {path}"
            ) from None
        return None


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


def _lines(paths: Sequence[Path]) -> list[str]:
    found: list[str] = []
    for path in paths:
        try:
            found += path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read as a list of words ({type(error).__name__}).") from None
    return [line for line in found if not line.startswith("#")]

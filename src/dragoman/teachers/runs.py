"""A run of dragoman as a teacher: it translates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.core.corpus.synthesis import Reply, Request
from dragoman.core.recipe import Decoding, Recipe
from dragoman.core.recipe.synthesise import RunTeacher
from dragoman.core.text.languages import Direction, same_language
from dragoman.errors import CheckpointError, ModelError, RecipeError
from dragoman.store.run.artifact import digest, file_digest, model_folder
from dragoman.teachers.answers import Answers

if TYPE_CHECKING:
    from dragoman.teachers import Told
    from dragoman.translator import Translator

_AT_ONCE = 1000  # texts between two writes to disk


class Run:
    """See `dragoman.teachers.Teacher`. The model is loaded when the first unanswered request comes."""

    def __init__(self, name: str, settings: RunTeacher, recipe: Recipe, answers: Answers) -> None:
        self.name, self._answers = name, answers
        self._decoding = Decoding(beam=settings.beam)
        try:
            self._folder = model_folder(Path(recipe.resolve(settings.folder)))
        except CheckpointError as error:
            raise RecipeError(f"synthesise.teachers.{name}.run: {error}") from None
        self._backend = settings.backend
        self._identity = file_digest(self._folder) + ("" if self._backend == "auto" else f" {self._backend}")
        self._threads = recipe.plan.threads
        self._translator: Translator | None = None

    def ask(self, requests: Sequence[Request], told: Told) -> list[Reply]:
        """As `dragoman.teachers.Teacher` says; failures are `unfinished` and `too_long`."""
        digests = [self._digest(request) for request in requests]
        found = self._answers.known(digests)
        told(len(found))
        todo = {key: request for key, request in zip(digests, requests, strict=True) if key not in found}
        for direction in dict.fromkeys(request.direction for request in todo.values()):
            if direction is None:
                raise ModelError(f"teacher {self.name}: a run of dragoman can only translate.")
            keys = [key for key, request in todo.items() if request.direction == direction]
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                replies = self._translate(some, [todo[key].text for key in some], direction)
                self._answers.keep(self.name, replies)
                found.update(zip(some, replies, strict=True))
                told(len(found))
        return [found[key] for key in digests]

    def _digest(self, request: Request) -> str:
        return digest(
            "run", self._identity, self._decoding.model_dump(mode="json"), request.text, str(request.direction)
        )

    def _translate(self, keys: Sequence[str], texts: Sequence[str], direction: Direction) -> list[Reply]:
        translator = self._load()
        trained = _trained(translator, direction, self.name)
        replies = []
        for key, made in zip(keys, translator.translate(texts, trained, self._decoding), strict=True):
            failure = "" if made.finished else "unfinished" if made.tokens else "too_long"
            detail = "" if made.finished else f"{made.tokens} tokens and no end"
            replies.append(Reply(made.text, made.score if made.tokens else None, failure, detail, key))
        return replies

    def _load(self) -> Translator:
        from dragoman.translator import Translator

        if self._translator is None:
            self._translator = Translator.load(self._folder, threads=self._threads, backend=self._backend)
        return self._translator


def _trained(translator: Translator, wanted: Direction, name: str) -> Direction:
    """The direction as the model calls it: en-US is en there. Raises ModelError when it was not made for it."""
    for known in translator.directions:
        if same_language(known.source, wanted.source) and same_language(known.target, wanted.target):
            return known
    made_for = ", ".join(map(str, translator.directions))
    raise ModelError(f"teacher {name}: the run was not made for {wanted}; it translates {made_for}.")

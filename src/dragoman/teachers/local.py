"""A language model on this machine as a teacher, asked in the chat template of its own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.corpus.synthesis import Reply, Request
from dragoman.core.listen import SILENT, Listener
from dragoman.core.prompt.prompts import FORMATS, Piece, Rendered
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.synthesise import LocalTeacher
from dragoman.store.run.artifact import digest, file_digest
from dragoman.store.run.hub import fetched
from dragoman.teachers.answers import Answers

if TYPE_CHECKING:
    from dragoman.teachers import Told

_AT_ONCE = 256  # requests between two writes to disk


class Local:
    """See `dragoman.teachers.Teacher`. The model is loaded when the first unanswered request comes."""

    def __init__(
        self, name: str, settings: LocalTeacher, recipe: Recipe, answers: Answers, listener: Listener = SILENT
    ) -> None:
        self.name, self.settings, self._answers, self._listener = name, settings, answers, listener
        folder = Path(recipe.resolve(settings.model))
        self._folder = folder if folder.is_dir() else None
        self._identity = file_digest(folder) if folder.is_dir() else f"{settings.model}@{settings.revision or 'main'}"
        self._threads = recipe.plan.threads
        self._writer: _Writer | None = None

    def ask(self, requests: Sequence[Request], told: Told) -> list[Reply]:
        """As `dragoman.teachers.Teacher` says; failures are `unfinished` and `too_long`."""
        digests = [self._digest(request) for request in requests]
        found = self._answers.known(digests)
        told(len(found))
        todo = {key: request for key, request in zip(digests, requests, strict=True) if key not in found}
        ways = dict.fromkeys((request.temperature, request.seed) for request in todo.values())
        for way in ways:
            keys = [key for key, request in todo.items() if (request.temperature, request.seed) == way]
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                replies = self._write(some, [todo[key] for key in some], *way)
                self._answers.keep(self.name, replies)
                found.update(zip(some, replies, strict=True))
                told(len(found))
        return [found[key] for key in digests]

    def _digest(self, request: Request) -> str:
        turns = [[turn.role, turn.text] for turn in request.turns]
        sampling = [request.temperature, request.seed] if request.temperature else []
        return digest("local", self._identity, turns, sampling, self.settings.answer_tokens)

    def _write(self, keys: Sequence[str], requests: Sequence[Request], temperature: float, seed: int) -> list[Reply]:
        if self._writer is None:
            folder = self._folder or fetched(self.settings.model, self.settings.revision, self._listener)
            self._writer = _Writer(folder, self.settings, self._threads)
        return self._writer.write(keys, requests, temperature, seed)


class _Writer:
    """The loaded model."""

    def __init__(self, folder: Path, settings: LocalTeacher, threads: int | None) -> None:
        from dragoman.engine.device import DTYPES, detect, use
        from dragoman.engine.encoder import Encoder
        from dragoman.engine.load import load_model
        from dragoman.engine.tokenizer import load_tokenizer

        hardware = detect(threads)
        device = use(hardware)
        precision = settings.precision if settings.precision != "auto" else hardware.precision
        self.settings = settings
        self.model: Any = load_model(folder, dtype=DTYPES[precision], device=device, name=settings.model)
        self.model.eval()
        self.tokenizer = load_tokenizer(folder, name=settings.model)
        self.chats = bool(getattr(self.tokenizer, "chat_template", None))
        self.encoder = Encoder(self.tokenizer, FORMATS["chat" if self.chats else "alma"])
        self.context = int(getattr(self.model.config, "max_position_embeddings", 2048))
        own = getattr(self.model.generation_config, "eos_token_id", None)
        ends = {self.encoder.end, *(own if isinstance(own, list) else [own])} - {None}
        self.ends = sorted(int(end) for end in ends if end is not None)
        pad = self.tokenizer.pad_token_id
        self.pad = self.encoder.end if pad is None else int(pad)

    def write(self, keys: Sequence[str], requests: Sequence[Request], temperature: float, seed: int) -> list[Reply]:
        """The model's answers. A request that leaves no room for one is `too_long`."""
        from dragoman.engine.generate import Draw, generate, sample

        prompts = [ids for ids, _ in self.encoder.encode([self._rendered(request) for request in requests])]
        limits = [min(self.settings.answer_tokens, self.context - len(prompt)) for prompt in prompts]
        long = [f"{len(prompt)} of {self.context} tokens" for prompt in prompts]
        replies = [Reply(failure="too_long", detail=d, digest=k) for k, d in zip(keys, long, strict=True)]
        fitting = [place for place, limit in enumerate(limits) if limit > 0]
        chosen = [prompts[i] for i in fitting], [limits[i] for i in fitting]
        budget = self.settings.batch_tokens
        if temperature > 0:
            draw = Draw(seed=seed, temperature=temperature)
            drawn = sample(self.model, *chosen, samples=1, draw=draw, ends=self.ends, pad=self.pad, budget=budget)
            results = [one for [one] in drawn]
        else:
            results = generate(self.model, *chosen, ends=self.ends, pad=self.pad, budget=budget)
        for place, made in zip(fitting, results, strict=True):
            text = self.tokenizer.decode(made.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            score = made.log_probability / max(1, made.tokens)
            failure = "" if made.finished else "unfinished"
            detail = "" if made.finished else f"{made.tokens} tokens and no end"
            replies[place] = Reply(text.strip(), score, failure, detail, keys[place])
        return replies

    def _rendered(self, request: Request) -> Rendered:
        if self.chats:
            return Rendered(turns=request.turns)
        text = "\n\n".join(turn.text for turn in request.turns) + "\n\n"
        return Rendered(pieces=(Piece("begin"), Piece("text", text)))

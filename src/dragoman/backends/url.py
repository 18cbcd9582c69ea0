"""A server behind a URL that speaks OpenAI's completions (`/v1/completions`), as llama.cpp's and vLLM's do.

The prompt is ours: it goes as token ids, so that the server adds nothing and finds no control token in a user's text. A
server that takes text only gets the text of the ids, where its tokenizer gives the same ids back; other prompts are refused.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

from dragoman.core.listen import SILENT, Listener
from dragoman.core.ports import Abilities, Cancelled, CancelledError, Completion, Prompt, Stops, Told, never, nobody
from dragoman.core.recipe import Decoding
from dragoman.core.text.languages import Direction
from dragoman.engine.load import Shell
from dragoman.errors import ModelError, ResourceError

KEY = "DRAGOMAN_BACKEND_KEY"  # the environment variable with the server's key
_AT_ONCE = 8
_TRIES = 4
_WAIT = 0.5  # seconds before the second try; doubled each time
_TIMEOUT = 120.0
_NEVER = -100.0  # a bias that makes a token impossible
_SHOWN = 200


class _RefusedError(Exception):
    """The server refuses this one request."""


class Url:
    """See `core.ports.Backend`. `url` ends before `/completions`; what follows a `#` is the name of the model there."""

    abilities = Abilities()

    def __init__(self, shell: Shell, url: str, *, name: str = "url", at_once: int = _AT_ONCE) -> None:
        try:
            import httpx2
        except ImportError:
            raise ModelError("a backend behind a URL needs httpx2: pip install 'dragoman[teacher]'.") from None
        self.name, self.shell = name, shell
        base, _, self._model = url.partition("#")
        base = base.rstrip("/").removesuffix("/completions")
        self._base = base if base.endswith("/v1") else f"{base}/v1"
        key = os.environ.get(KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # the address is the user's own: a proxy that the environment names is for others
        self._client = httpx2.Client(headers=headers, timeout=_TIMEOUT, trust_env=False)
        self._errors: Any = httpx2.HTTPError
        self._at_once = at_once
        self._ids: bool | None = None  # whether the server takes token ids; None: not known yet
        self._lock = threading.Lock()
        if not self._model:
            listed = self._ask("GET", "models").get("data") or [{}]
            self._model = str(listed[0].get("id", ""))

    @property
    def directions(self) -> list[Direction]:
        return self.shell.directions

    @property
    def description(self) -> dict[str, Any]:
        return {"url": self._base, "model": self._model}

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
        if not self.abilities.of(decoding):
            raise ModelError(f"the backend {self.name} decodes greedily only.")
        found: list[Completion | None] = [None] * len(prompts)
        refused: list[str] = []
        with ThreadPoolExecutor(self._at_once) as pool:
            waiting: dict[Future[Completion], int] = {}
            todo = iter(enumerate(prompts))
            try:
                while True:
                    while len(waiting) < self._at_once and (following := next(todo, None)) is not None:
                        place, prompt = following
                        waiting[pool.submit(self._one, prompt, stops, cancelled)] = place
                    if not waiting:
                        break
                    done, _ = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                    if cancelled():
                        raise CancelledError
                    for future in done:
                        place = waiting.pop(future)
                        try:
                            found[place] = future.result()
                        except _RefusedError as error:
                            refused.append(str(error))
                            found[place] = Completion("", None, 0, False)
                    told(sum(made is not None for made in found))
            finally:
                for future in waiting:
                    future.cancel()
        if refused:
            listener.warn(
                f"{self.name}: {len(refused)} of {len(prompts)} segments are refused and left empty, the first: {refused[0]}"
            )
        return [made for made in found if made is not None]

    def score(self, rows: Sequence[tuple[Sequence[int], Sequence[bool]]], *, told: Told = nobody) -> list[list[float]]:
        raise ModelError(f"the backend {self.name} does not score texts: use `transformers` or `ctranslate2` for this.")

    def close(self) -> None:
        self._client.close()

    # ------------------------------------------------------------ one prompt

    def _one(self, prompt: Prompt, stops: Stops, cancelled: Cancelled) -> Completion:
        made, _ = self._asked(prompt.ids, prompt.limit, stops, {}, cancelled)
        if made.text.strip() or not stops.not_first:
            return replace(made, text=made.text.strip())
        # it may have ended with what it must not begin with: the first token alone, without those, then on from there
        never_first = {str(token): _NEVER for token in stops.not_first}
        first, first_ids = self._asked(prompt.ids, 1, stops, {"logit_bias": never_first}, cancelled)
        begun = first_ids or self._tokens(first.text)
        if first.finished or not begun or prompt.limit == 1:
            return replace(first, text=first.text.strip())
        rest, ids = self._asked([*prompt.ids, *begun], prompt.limit - 1, stops, {}, cancelled)
        both = (first.log_probability, rest.log_probability)
        total = None if None in both else sum(one or 0.0 for one in both)
        text = self.shell.text([*first_ids, *ids]) if first_ids and ids else (first.text + rest.text).strip()
        return Completion(text, total, first.tokens + rest.tokens, rest.finished)

    def _asked(
        self, ids: Sequence[int], limit: int, stops: Stops, further: Mapping[str, Any], cancelled: Cancelled
    ) -> tuple[Completion, list[int]]:
        """What the server writes, with the blanks around it, and its tokens without the end, where it tells them."""
        if cancelled():
            raise CancelledError
        ends = self.shell.tokenizer.convert_ids_to_tokens(list(stops.ends))
        special = [t for t in ends if t in self.shell.tokenizer.all_special_tokens or t.startswith("<")]
        wanted = [*special[:3], "\n"] if any("\n" in self._spelt(i) for i in stops.ends) else special[:4]
        body = {
            "model": self._model,
            "max_tokens": limit,
            "temperature": 0.0,
            "logprobs": 1,
            "stop": wanted,  # OpenAI takes four
            "stop_token_ids": list(stops.ends),  # vLLM
            "return_token_ids": True,  # vLLM
            "preserved_tokens": special,  # llama.cpp: else a special token ends nothing, as its text is empty
            **further,
        }
        answer = self._ask("POST", "completions", self._with_prompt(body, ids), ids, cancelled)
        try:
            choice = answer["choices"][0]
            text, finished = str(choice["text"]), choice["finish_reason"] == "stop"
            values = _log_probabilities(choice.get("logprobs"))
        except (KeyError, IndexError, TypeError):
            raise ResourceError(f"{self._base}: the answer is no completion: {str(answer)[:_SHOWN]}") from None
        count = int(
            (answer.get("usage") or {}).get("completion_tokens") or len(values or ()) or len(self._tokens(text))
        )
        total = None if values is None else sum(values)
        own = [int(i) for i in choice.get("token_ids") or () if int(i) not in stops.ends]
        return Completion(text, total, max(count, 1), finished), own

    def _spelt(self, token: int) -> str:
        return str(self.shell.tokenizer.decode([token]))

    def _tokens(self, text: str) -> list[int]:
        found: list[int] = self.shell.tokenizer(text, add_special_tokens=False).input_ids
        return found

    def _with_prompt(self, body: dict[str, Any], ids: Sequence[int], *, as_text: bool = False) -> dict[str, Any]:
        if self._ids is not False and not as_text:
            return {**body, "prompt": list(ids)}
        own = self.shell.tokenizer("", add_special_tokens=True).input_ids  # what a server adds by itself
        shown = list(ids)[len(own) :] if own and list(ids[: len(own)]) == own else list(ids)
        text = self.shell.tokenizer.decode(shown, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if self._tokens(text) != shown:
            raise _RefusedError(
                "the server takes text only, and the text spells a control token or cannot be told by its text"
            )
        return {**body, "prompt": text}

    def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        ids: Sequence[int] = (),
        cancelled: Cancelled = never,
    ) -> dict[str, Any]:
        """The server's answer. Raises _RefusedError, ResourceError, CancelledError."""
        why = ""
        for attempt in range(_TRIES):
            if cancelled():
                raise CancelledError
            try:
                reply = self._client.request(method, f"{self._base}/{path}", json=body)
            except self._errors as error:
                why = f"{type(error).__name__}: {error}"
            else:
                if reply.status_code == 200:
                    if self._ids is None and body is not None and "prompt" in body:  # what was taken once settles it
                        with self._lock:
                            self._ids = isinstance(body["prompt"], list)
                    found: dict[str, Any] = reply.json()
                    return found
                why = f"HTTP {reply.status_code}: {reply.text[:_SHOWN]}"
                if reply.status_code in (401, 403):
                    raise ModelError(f"{self._base}: {why}. Put the server's key into {KEY}.")
                if reply.status_code == 404:
                    raise ModelError(f"{self._base}/{path}: {why}. Is this the address of an OpenAI-compatible server?")
                if 400 <= reply.status_code < 500 and reply.status_code != 429:
                    if self._ids or not isinstance((body or {}).get("prompt"), list):
                        raise _RefusedError(why)
                    body = self._with_prompt(body or {}, ids, as_text=True)  # it may take text only
                    continue
            time.sleep(_WAIT * 2**attempt)
        raise ResourceError(f"{self._base}/{path}: no answer after {_TRIES} tries ({why}). Is the server running?")


def _log_probabilities(told: Any) -> list[float] | None:
    """Of the generated tokens, in OpenAI's old form and in the newer one; None where the server tells none."""
    if not isinstance(told, Mapping):
        return None
    if isinstance(told.get("token_logprobs"), list):
        return [float(value) for value in told["token_logprobs"] if value is not None]
    if isinstance(told.get("content"), list):
        return [float(one["logprob"]) for one in told["content"] if one.get("logprob") is not None]
    return None

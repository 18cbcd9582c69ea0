"""Every backend gives what the reference gives: the same greedy outputs and probabilities, n in and n out, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dragoman.backends import open_backend
from dragoman.backends.export import opened
from dragoman.backends.own import Transformers
from dragoman.core.ports import Backend, CancelledError, Prompt, Stops
from dragoman.core.recipe import Decoding, Mbr
from dragoman.core.text.languages import Direction
from dragoman.errors import ModelError, ResourceError
from dragoman.translator import Translator
from tests.backends.models import CONFIGS, made
from tests.backends.server import serving
from tests.heard import Heard
from tests.tiny import tiny

EN_DE = Direction("en", "de")
TEXTS = [
    "the cat sees the dog.",
    "a",
    "</s> the <|de|> dog <s> and <pad> and <|term|>",  # control tokens in a text are text
    "the dog sees a house and a tree. " * 2,
    "",
    "12,5 %",
    "日本 ǘ",
    "a house\u2028and\na tree",
    "the cat sees the dog.",
]
STOPS = Stops([2])


@contextmanager
def _url(folder: Path) -> Iterator[Backend]:
    loaded = Translator.load(folder, threads=1).loaded
    with serving(loaded) as (url, _):
        backend = open_backend(folder, url)
        yield backend
        backend.close()


@contextmanager
def _ct2(folder: Path) -> Iterator[Backend]:
    backend = open_backend(folder, "ctranslate2", threads=1)
    yield backend
    backend.close()


BACKENDS: dict[str, Any] = {"ctranslate2": _ct2, "url": _url}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["compact", "alma", "chat"])
@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_translates_as_the_reference(name: str, form: str, tmp_path: Path) -> None:
    tiny(tmp_path / "m", form=form)
    reference = Translator.load(tmp_path / "m", threads=1)
    wanted = reference.translate(TEXTS, EN_DE)
    with BACKENDS[name](tmp_path / "m") as backend:
        found = Translator(backend).translate(TEXTS, EN_DE)
    assert [h.text for h in found] == [h.text for h in wanted]
    assert [h.finished for h in found] == [h.finished for h in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONFIGS)
def test_ctranslate2_computes_every_architecture_as_transformers_does(kind: str, tmp_path: Path) -> None:
    loaded = made(kind, folder=tmp_path / "m")
    translator, pairs = Translator(loaded), [(t, t[::-1]) for t in TEXTS if t]
    asked = [list(side) for side in zip(*pairs, strict=True)]
    # beyond a window where there is one, else not long: the probabilities tell more than the texts
    decoding = None if "window" in kind or "gemma" in kind else Decoding(max_ratio=0.5, max_extra=12)
    wanted, scores = translator.translate(TEXTS, EN_DE, decoding), translator.score(*asked, EN_DE)
    with BACKENDS["ctranslate2"](tmp_path / "m") as backend:
        other = Translator(backend)
        found = other.score(*asked, EN_DE)
        assert found.count(None) == (2 if "window" in kind or "gemma" in kind else 0)  # beyond the window, nothing
        for one, score in zip(found, scores, strict=True):
            assert one is None or one == pytest.approx(score, abs=1e-3)
        same = 0
        for made_here, hypothesis in zip(other.translate(TEXTS, EN_DE, decoding), wanted, strict=True):
            if made_here.tokens == hypothesis.tokens:  # else the window leaves less room
                assert made_here.text == hypothesis.text
                same += 1
        assert same >= (5 if found.count(None) else len(TEXTS))


def test_a_beam_of_ctranslate2_is_ours(tmp_path: Path) -> None:
    tiny(tmp_path / "m")
    decoding = Decoding(beam=3, length_penalty=0.6)
    wanted = Translator.load(tmp_path / "m", threads=1).translate(TEXTS, EN_DE, decoding)
    with _ct2(tmp_path / "m") as backend:
        found = Translator(backend).translate(TEXTS, EN_DE, decoding)
    assert sum(a.text == b.text for a, b in zip(found, wanted, strict=True)) >= len(TEXTS) - 1
    for one, other in zip(found, wanted, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4) or one.text != other.text


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKENDS)
def test_limits_ends_and_first_tokens_are_each_prompts_own(name: str, tmp_path: Path) -> None:
    tiny(tmp_path / "m")
    reference = Transformers.load(tmp_path / "m", threads=1)
    prompts = [Prompt([1, 3, 40 + 7 * i, *range(50, 50 + 3 * i), 4], 1 + 3 * i % 17) for i in range(12)]
    free = reference.complete(prompts, STOPS, Decoding())
    tokens = reference.shell.tokenizer
    first = [tokens(made.text, add_special_tokens=False).input_ids[:1] for made in free]
    banned = sorted({i for ids in first for i in ids})[:3]
    stops = Stops([2, *banned, 60], banned)  # what ends a text is also what it must not begin with
    with BACKENDS[name](tmp_path / "m") as backend:
        assert backend.complete([], stops, Decoding()) == []
        for asked in (STOPS, stops):
            wanted = reference.complete(prompts, asked, Decoding())
            found = backend.complete(prompts, asked, Decoding())
            assert [(m.text, m.finished, m.tokens) for m in found] == [(m.text, m.finished, m.tokens) for m in wanted]
            for one, other in zip(found, wanted, strict=True):
                assert one.log_probability == pytest.approx(other.log_probability, abs=1e-3)


@pytest.mark.slow
def test_a_server_that_takes_text_only_gets_text(tmp_path: Path) -> None:
    loaded = tiny(tmp_path / "m", form="alma")
    wanted = Translator(loaded).translate(TEXTS, EN_DE)
    heard = Heard()
    with serving(loaded, takes_ids=False) as (url, asked):
        found = Translator(open_backend(tmp_path / "m", url)).translate(TEXTS, EN_DE, listener=heard)
    assert any(isinstance(body["prompt"], str) for body in asked)
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        if number == 2:  # as text it would be full of control tokens
            assert (one.text, one.finished, one.score) == ("", False, None)
        else:
            assert one.text == other.text
    assert any("1 of" in line and "control token" in line for line in heard.warned)


def test_a_server_that_refuses_one_or_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.backends.url._WAIT", 0.0)
    loaded = tiny(tmp_path / "m")
    lengths = Translator(loaded).encoder.lengths(TEXTS)
    long, size = TEXTS[lengths.index(max(lengths))], max(lengths)
    seen: set[str] = set()

    def fail_once(body: Any) -> int | None:
        known = str(body["prompt"]) in seen
        seen.add(str(body["prompt"]))
        return None if known else 503

    with serving(loaded, fails=staticmethod(fail_once)) as (url, _):
        translator = Translator(open_backend(tmp_path / "m", url))
        assert [h.text for h in translator.translate(TEXTS, EN_DE)] == [
            h.text for h in Translator(loaded).translate(TEXTS, EN_DE)
        ]
    too_long: Callable[[Any], int | None] = lambda body: 422 if len(body["prompt"]) > size else None  # noqa: E731
    with serving(loaded, fails=staticmethod(too_long)) as (url, _):
        translator = Translator(open_backend(tmp_path / "m", url))
        found = translator.translate(TEXTS, EN_DE)
        assert [h.text == "" for h in found] == [text in ("", long) for text in TEXTS]
    with pytest.raises(ResourceError, match="Is the server running"):
        translator.translate(TEXTS, EN_DE)
    with serving(loaded, fails=staticmethod(lambda body: 401)) as (url, _):
        translator = Translator(open_backend(tmp_path / "m", url))
        with pytest.raises(ModelError, match="DRAGOMAN_BACKEND_KEY"):
            translator.translate(TEXTS, EN_DE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformers", *BACKENDS])
def test_work_that_is_not_wanted_any_more_ends(name: str, tmp_path: Path) -> None:
    tiny(tmp_path / "m")
    asked = threading.Event()
    calls = iter(range(10_000))
    with BACKENDS.get(name, _own)(tmp_path / "m") as backend:
        with pytest.raises(CancelledError):
            Translator(backend).translate(TEXTS * 3, EN_DE, cancelled=lambda: next(calls) > 2)
        asked.set()
        assert len(Translator(backend).translate(TEXTS, EN_DE)) == len(TEXTS)  # it goes on working


@contextmanager
def _own(folder: Path) -> Iterator[Backend]:
    yield open_backend(folder, "transformers", threads=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "decoding"),
    [
        ("ctranslate2", Decoding(mbr=Mbr(candidates=2))),
        ("url", Decoding(mbr=Mbr(candidates=2))),
        ("url", Decoding(beam=2)),
    ],
)
def test_what_a_backend_is_not_able_to_is_refused(name: str, decoding: Decoding, tmp_path: Path) -> None:
    tiny(tmp_path / "m")
    with BACKENDS[name](tmp_path / "m") as backend:
        translator = Translator(backend)
        assert not translator.can(decoding)
        with pytest.raises(ModelError, match="only: leave out"):
            translator.translate(TEXTS, EN_DE, decoding)
        with pytest.raises(ModelError, match="cannot be looked into"):
            _ = translator.loaded
        if name == "url":
            with pytest.raises(ModelError, match="does not score"):
                translator.score(TEXTS, TEXTS, EN_DE)


def test_an_unknown_backend_is_told(tmp_path: Path) -> None:
    tiny(tmp_path / "m")
    with pytest.raises(ModelError, match="no format"):
        opened(tmp_path / "m", "tflite-int4")

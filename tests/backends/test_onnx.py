"""Graphs in onnxruntime under our own decoding: what the reference gives, whichever way it is decoded."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from dragoman.backends import open_backend, open_files
from dragoman.backends.export import export
from dragoman.backends.onnx import Onnx
from dragoman.backends.own import Transformers
from dragoman.core.ports import CancelledError, Prompt, Stops
from dragoman.core.recipe import Decoding, Mbr, Sampling
from dragoman.engine import onnx_export
from dragoman.engine.load import load_shell, save
from dragoman.errors import ModelError
from dragoman.translator import Translator
from tests.backends.models import CONFIGS, LLAMA3, LLAMA_CPP, made
from tests.backends.test_backends import EN_DE, TEXTS
from tests.tiny import FAMILIES, tiny

PAIRS = ([t for t in TEXTS if t], [t[::-1] for t in TEXTS if t])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and its graph; to trace one takes seconds."""
    found = tmp_path_factory.mktemp("onnx")
    tiny(found / "m")
    export(found / "m", "onnx-float32", found / "onnx-float32")
    shutil.copytree(found / "onnx-float32", found / "onnx-int8")
    onnx_export.in_int8(found / "onnx-int8")
    return found


@pytest.fixture
def both(folder: Path) -> Iterator[tuple[Transformers, Onnx]]:
    graph: Any = open_files(load_shell(folder / "m"), folder / "onnx-float32", threads=1)
    yield Transformers.load(folder / "m", threads=1), graph
    graph.close()


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(),
        Decoding(beam=3, length_penalty=0.6),
        Decoding(sample=Sampling(seed=3)),
        Decoding(mbr=Mbr(candidates=3)),
    ],
)
def test_it_decodes_as_the_reference(both: tuple[Transformers, Onnx], decoding: Decoding) -> None:
    wanted, found = (Translator(backend).translate(TEXTS, EN_DE, decoding) for backend in both)
    assert [(h.text, h.finished, h.tokens) for h in found] == [(h.text, h.finished, h.tokens) for h in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_limits_ends_and_first_tokens_are_each_prompts_own(both: tuple[Transformers, Onnx]) -> None:
    prompts = [Prompt([1, 3, 40 + 7 * i, *range(50, 50 + 3 * i), 4], 1 + 3 * i % 17) for i in range(12)]
    for stops in (Stops([2]), Stops([2, 55, 60, 70], [55, 70])):
        wanted, found = (backend.complete(prompts, stops, Decoding()) for backend in both)
        assert [(m.text, m.finished, m.tokens) for m in found] == [(m.text, m.finished, m.tokens) for m in wanted]
    assert both[1].complete([], Stops([2]), Decoding()) == []


@pytest.mark.parametrize("logits", [1, 5000, 2**26])
def test_scores_are_the_same_in_batches_of_any_size(
    both: tuple[Transformers, Onnx], logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragoman.backends.onnx._LOGITS", logits)
    wanted, found = (Translator(backend).token_scores(*PAIRS, EN_DE) for backend in both)
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert both[1].score([]) == []


def test_work_that_is_not_wanted_any_more_ends(both: tuple[Transformers, Onnx]) -> None:
    translator, calls = Translator(both[1]), itertools.count()
    with pytest.raises(CancelledError):
        translator.translate(TEXTS, EN_DE, cancelled=lambda: next(calls) > 2)
    assert len(translator.translate(TEXTS, EN_DE)) == len(TEXTS)


def test_int8_is_smaller_and_close(both: tuple[Transformers, Onnx], folder: Path) -> None:
    rounded = open_files(load_shell(folder / "m"), folder / "onnx-int8", threads=1)
    wanted, found = (Translator(backend).score(*PAIRS, EN_DE) for backend in (both[0], rounded))
    apart = [abs(a - b) for a, b in zip(found, wanted, strict=True) if a is not None and b is not None]
    assert len(apart) == len(PAIRS[0])
    assert 1e-6 < max(apart) < 0.2  # nats a token
    size = {form: sum(f.stat().st_size for f in (folder / form).iterdir()) for form in ("onnx-float32", "onnx-int8")}
    assert size["onnx-int8"] < size["onnx-float32"]
    assert sorted(f.name for f in (folder / "onnx-int8").iterdir()) == ["model.onnx", "model.onnx.data"]


@pytest.mark.long
@pytest.mark.parametrize("kind", [*CONFIGS, *(kind for kind in LLAMA_CPP if kind not in CONFIGS), "gemma2, capped"])
def test_it_computes_every_architecture_as_transformers_does(kind: str, tmp_path: Path) -> None:
    loaded = made(kind.partition(", capped")[0])
    if "capped" in kind:  # both sides load what is saved
        loaded.model.config.attn_logit_softcapping = 2.0
        loaded.model.config.final_logit_softcapping = 3.0
    save(tmp_path / "m", loaded)
    wanted = Translator.load(tmp_path / "m", threads=1)
    found = Translator(open_backend(tmp_path / "m", "onnx", threads=1))
    for one, other in zip(found.token_scores(*PAIRS, EN_DE), wanted.token_scores(*PAIRS, EN_DE), strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    for one, other in zip(found.translate(TEXTS, EN_DE), wanted.translate(TEXTS, EN_DE), strict=True):
        assert one.text == other.text


def test_what_a_graph_cannot_keep_is_refused(tmp_path: Path) -> None:
    llama = CONFIGS["llama"]
    for changed, why in (
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "positions of type dynamic"),
        ({"quantization_config": {"bits": 4}}, "quantised already"),
    ):
        config = llama.__class__.from_dict(llama.to_dict() | changed)
        assert why in (onnx_export.refusal(config) or "")
    assert onnx_export.refusal(llama.__class__.from_dict(llama.to_dict() | {"rope_parameters": LLAMA3})) is None
    assert "architecture gpt2" in (onnx_export.refusal(FAMILIES["gpt2"]) or "")
    loaded = made("llama")
    loaded.model.config.rope_parameters["rope_type"] = "longrope"
    with pytest.raises(ModelError, match="ONNX: rotary positions of type longrope"):
        onnx_export.export(loaded, tmp_path / "out", "float32")
    assert not (tmp_path / "out").exists()


def test_a_damaged_graph_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "onnx-float32").mkdir()
    (tmp_path / "onnx-float32" / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="onnxruntime cannot load it"):
        open_files(load_shell(folder / "m"), tmp_path / "onnx-float32", threads=1)
    assert torch.get_num_threads() >= 1

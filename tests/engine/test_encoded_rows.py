"""Rows that are encoded once are the rows that would be encoded again, to the bit, and never those of other things."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer
from transformers import ByT5Tokenizer

from dragoman.core.listen import SILENT
from dragoman.core.prompt.prompts import FORMATS
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example, Text
from dragoman.engine import encoded_rows
from dragoman.engine.batch import Corpus
from dragoman.engine.device import detect
from dragoman.engine.encoded_rows import general, key
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Loaded
from dragoman.engine.mixture import Mixture
from dragoman.engine.phase_data import Inputs
from dragoman.engine.phases import kind_of
from dragoman.store.corpus import encoded, records
from tests.heard import Heard
from tests.tiny import tiny

ANIMALS = ["cat", "dog", "bird", "fish", "cow", "pig"]
TRAIN = {
    "pairs": "{sft: {}}",
    "examples and terms": "{sft: {shots: {0: 0.5, 1: 0.5}, memory: {min_match: 0.1}, glossary: {path: terms.tsv}}}",
    "synthetic": "{sft: {synthetic: {share: 0.5}, directions: [en-de]}}",
    "tasks": "{hybrid: {tokens: 4k, tasks: {lm: {}, denoise: {}, mt: {reverse: 0.3}, fewshot: {shots: [1, 2]}, "
    "interlinear: {}, synthetic: {}, replay: {from: general.en.txt, language: en}}}}",
    "samples": "{reinforce: {}}",
    "guarded": "{sft: {}, stop_if: {forgetting: 0.5}}",
}


@pytest.fixture(autouse=True)
def however_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded_rows, "_LEAST", 0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Prepared texts and synthetic rows, some too long for the model, and files that a recipe names."""
    pairs = [
        Example(f"the {a} sees {b} <1>.", f"{b} und {a}.", "en", "de", "t", n)
        for n, (a, b) in enumerate((a, b) for a in ANIMALS for b in ANIMALS)
    ]
    long = Example("cat " * 200, "Katze " * 200, "en", "de")
    records.write(tmp_path / "prepare" / "train", [*pairs, long], Example)
    records.write(tmp_path / "prepare" / "dev", [Example("a tree", "ein Baum", "en", "de")], Example)
    records.write(tmp_path / "rows", [replace(row, source=f"x {row.source}") for row in pairs], Example)
    for language in ("en", "de"):
        texts = [Text(f"{language} {a} {n} {a}.", language, "m", n) for a in ANIMALS for n in range(30)]
        records.write(tmp_path / "prepare" / "text" / language, texts, Text)
    (tmp_path / "general.en.txt").write_text("".join(f"now {n} rains.\n" for n in range(90)), encoding="utf-8")
    (tmp_path / "terms.tsv").write_text("en\tde\ncat\tKatze\n", encoding="utf-8")
    return tmp_path


def given(run: Path, train: str = "pairs", *, loaded: Loaded | None = None, more: str = "", ear: Any = None) -> Inputs:
    text = f"""
pairs: [en-de, de-en]
model: {{new: {{}}}}
prepare: {{parallel: [x.tsv]}}
plan: {{threads: 1}}
synthesise: {{teachers: {{m: {{run: x}}}}, make: [{{back: {{teacher: m, pair: en-de}}}}]}}
train: [{TRAIN.get(train, train)}]
{more}
"""
    (run / "recipe.yaml").write_text(text, encoding="utf-8")
    recipe = Recipe.load(run / "recipe.yaml")
    return Inputs(
        recipe, recipe.train[0], loaded or tiny(), run / "prepare", detect(1), True, run / "rows", None, ear or SILENT
    )


def plain(corpus: Corpus | None) -> dict[str, Any] | None:
    if corpus is None:
        return None
    found = {one.name: getattr(corpus, one.name) for one in fields(corpus)}
    return {name: None if one is None else (one.dtype, one.tolist()) for name, one in found.items()}


def all_of(inputs: Inputs) -> dict[str, Any]:
    """Everything that the phase trains on and tells."""
    data = kind_of(inputs.phase).data(inputs)
    told = {
        one.name: getattr(data, one.name) for one in fields(data) if one.name not in ("stream", "probes", "general")
    }
    stream: Any = data.stream
    batches = [stream.next() for _ in range(4)]
    return told | {
        "corpus": plain(stream.corpus),
        "groups": stream.groups,
        "tasks": stream.state() if isinstance(stream, Mixture) else None,
        "batches": [(batch.ids.tolist(), batch.labels.tolist()) for batch in batches],
        "probes": {name: plain(probe) for name, probe in data.probes.items()},
        "general": plain(data.general),
    }


@pytest.mark.parametrize("train", TRAIN)
def test_rows_kept_are_those_that_would_be_encoded(run: Path, train: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded_rows, "_LEAST", 1 << 40)
    without = all_of(given(run, train))
    assert not (run / encoded.FOLDER).exists()
    monkeypatch.setattr(encoded_rows, "_LEAST", 0)
    first = all_of(given(run, train))
    kept = sorted((run / encoded.FOLDER).iterdir())
    assert len(kept) == 1 + (train == "guarded")

    def never(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(Encoder, "encode", never)
    monkeypatch.setattr(Encoder, "lengths", never)
    again = all_of(given(run, train))
    assert without == first == again
    assert sorted((run / encoded.FOLDER).iterdir()) == kept
    assert sum(without["too_long"].values()) > 0


def test_what_is_kept_is_mapped(run: Path) -> None:
    for _ in range(2):  # by the process that encodes, too
        stream: Any = kind_of(given(run).phase).data(given(run)).stream
        assert isinstance(stream.corpus.ids.base, np.memmap) and not stream.corpus.ids.flags.writeable


def test_no_general_text_is_kept_as_none(run: Path) -> None:
    for language in ("en", "de"):
        records.write(run / "prepare" / "text" / language, [], Text)
    assert general(given(run, "guarded")) is None and general(given(run, "guarded")) is None
    assert general(given(run)) is None and len(list((run / encoded.FOLDER).iterdir())) == 1


# ---------------------------------------------------------------- other things, other rows


def changed_tokenizer(change: Callable[[dict[str, Any]], None]) -> Loaded:
    """A model whose tokenizer differs in one thing."""
    loaded = tiny()
    state = json.loads(loaded.tokenizer.backend_tokenizer.to_str())
    change(state)
    loaded.tokenizer._tokenizer = Tokenizer.from_str(json.dumps(state))
    return loaded


def merge_less(state: dict[str, Any]) -> None:
    state["model"]["merges"].pop()


def other_ids(state: dict[str, Any]) -> None:
    vocabulary = state["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]


def lower(state: dict[str, Any]) -> None:
    state["normalizer"] = {"type": "Lowercase"}


def more_tokens() -> Loaded:
    loaded = tiny()
    loaded.tokenizer.add_tokens([AddedToken("[sees]")])
    return loaded


def other_template() -> Loaded:
    loaded = tiny(form="lmt")
    loaded.tokenizer.chat_template = loaded.tokenizer.chat_template.replace("assistant\n", "assistant:\n")
    return loaded


def formed(name: str, **changes: str) -> Loaded:
    loaded = tiny()
    return replace(loaded, card=replace(loaded.card, prompt=replace(FORMATS[name], **changes)))


def shorter() -> Loaded:
    loaded = tiny()
    loaded.model.config.max_position_embeddings = 64
    return loaded


MODELS: dict[str, Callable[[], Loaded]] = {
    "as it is": tiny,
    "a merge less": lambda: changed_tokenizer(merge_less),
    "other ids": lambda: changed_tokenizer(other_ids),
    "another normaliser": lambda: changed_tokenizer(lower),
    "another token": more_tokens,
    "a chat": lambda: tiny(form="lmt"),
    "another template": other_template,
    "another prompt": lambda: formed("alma"),
    "another wording": lambda: formed("alma", opening="Translate from {S} into {T}:\n"),
    "shorter": shorter,
}


def test_other_tokenizers_prompts_and_lengths_have_other_keys(run: Path) -> None:
    keys = {name: key(given(run, loaded=make()), "pairs") for name, make in MODELS.items()}
    assert len(set(keys.values())) == len(MODELS)
    assert keys["as it is"] == key(given(run, loaded=tiny(seed=3)), "pairs")  # other weights, same ids


def add(path: Path) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        place = run / path
        if place.suffix:
            place.write_text(place.read_text(encoding="utf-8") + "dog\tHund\n", encoding="utf-8")
        elif "text" in place.parts:
            records.write(place, [Text("another", "en", "m", 1)], Text)
        else:
            records.write(place, [Example("another", "eine andere", "en", "de")], Example)

    return change


@pytest.mark.parametrize(
    ("train", "file"),
    [
        ("pairs", "prepare/train"),
        ("pairs", "prepare/dev"),
        ("pairs", "prepare/test"),
        ("pairs", "prepare/text/en"),
        ("synthetic", "rows"),
        ("tasks", "general.en.txt"),
        ("examples and terms", "terms.tsv"),
    ],
)
def test_other_texts_have_another_key(run: Path, train: str, file: str) -> None:
    before = key(given(run, train), "pairs")
    add(Path(file))(run)
    assert key(given(run, train), "pairs") != before


OTHER_ROWS = {
    "seed": ("", "seed: 8"),
    "directions": ("{sft: {directions: [en-de]}}", ""),
    "markers": ("{sft: {markers: 0.1}}", ""),
    "shots": ("{sft: {shots: {0: 0.5, 1: 0.5}}}", ""),
    "a kind": ("{hybrid: {tokens: 4k, tasks: {mt: {}}}}", ""),
    "a share": ("{hybrid: {tokens: 4k, tasks: {mt: {reverse: 0.5}}}}", ""),
    "learned tokens": ("{sft: {}, adapt: {method: prompt, virtual_tokens: 9}}", ""),
}
SAME_ROWS = {
    "rate": ("{sft: {learning_rate: 0.1, batch_tokens: 99, select: last, schedule: linear}}", ""),
    "method": ("{sft: {}, adapt: {method: lora}}", ""),
    "name": ("", "name: other"),
    "evaluation": ("", "evaluate: {}"),
}


def test_keys_of_the_recipe_that_change_rows_change_the_key_and_others_do_not(run: Path) -> None:
    found = {
        name: key(given(run, train or "pairs", more=more), "pairs")
        for name, (train, more) in {"plain": ("", "")}.items() | OTHER_ROWS.items()
    }
    assert len(set(found.values())) == len(OTHER_ROWS) + 1
    for train, more in SAME_ROWS.values():
        assert key(given(run, train or "pairs", more=more), "pairs") == found["plain"]


def test_other_code_has_another_key(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(given(run), "pairs")
    monkeypatch.setattr(encoded_rows, "versions", lambda: {"tokenizers": "9"})
    assert key(given(run), "pairs") != before


# ---------------------------------------------------------------- what goes wrong


def test_damaged_rows_are_encoded_again(run: Path) -> None:
    before = all_of(given(run))
    (file,) = (run / encoded.FOLDER).rglob("rows.ids.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert all_of(given(run)) == before
    assert file.read_bytes() != content


def test_a_disk_that_takes_nothing_is_told_and_training_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = all_of(given(run))
    (run / encoded.FOLDER).rename(run / "away")
    (run / encoded.FOLDER).write_text("a file stands in the place", encoding="utf-8")
    ear = Heard()
    assert all_of(given(run, ear=ear)) == before
    assert any("encoded rows cannot be kept" in line for line in ear.warned)


def test_a_tokenizer_in_python_is_asked_each_time(run: Path) -> None:
    loaded = replace(formed("alma"), tokenizer=ByT5Tokenizer())
    inputs = given(run, loaded=loaded)
    assert key(inputs, "pairs") is None
    assert all_of(inputs)["corpus"] and not (run / encoded.FOLDER).exists()

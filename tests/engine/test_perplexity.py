"""Perplexity of held-out text against a sum over its texts one by one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from dragoman.core.corpus.heldout import part
from dragoman.core.recipe import Recipe
from dragoman.core.records import Text
from dragoman.engine.perplexity import held_out_perplexity
from dragoman.store.corpus import records
from tests.tiny import TEXT, tiny


def test_bits_per_byte_are_those_of_the_texts_one_by_one(tmp_path: Path) -> None:
    loaded = tiny()
    rows = {
        "en": [Text(f"{TEXT[0]} {chr(97 + i)}", "en", "f", i) for i in range(20)],
        "fr": [Text(f"{TEXT[1]} {chr(97 + i)}", "fr", "f", i) for i in range(20)],
    }
    for language, texts in rows.items():
        records.write(tmp_path / "text" / language, texts, Text)
    found = held_out_perplexity(Recipe.parse("pairs: [en-de]"), loaded, tmp_path)
    assert set(found) == {"en"}  # the recipe has no French
    held = part(rows["en"]).held_out
    nats = tokens = 0.0
    for text in held:
        tag = loaded.tokenizer.convert_tokens_to_ids("<|en|>")
        ids = [1, tag, *loaded.tokenizer(text.text, add_special_tokens=False).input_ids, 2]
        with torch.no_grad():
            logits = loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        nats -= sum(float(logits[i - 1, ids[i]]) for i in range(2, len(ids)))
        tokens += len(ids) - 2
    assert found["en"]["texts"] == len(held) == 4
    assert found["en"]["tokens"] == tokens
    assert found["en"]["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-3)
    size = sum(len(text.text) for text in held)
    assert found["en"]["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-3)

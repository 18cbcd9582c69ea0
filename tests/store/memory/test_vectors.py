from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.memory.translation_memory import Memory
from dragoman.store.memory.vectors import Encoder

pytest.importorskip("faiss")
EN_FR = Direction("en", "fr")
MEANING = {"car": 0, "automobile": 0, "red": 1, "crimson": 1, "dog": 2, "hound": 2}


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    """A toy that knows synonyms: one axis per meaning, and a little of the text's own so that none is zero."""
    vectors = np.zeros((len(texts), 4), np.float32)
    for row, text in enumerate(texts):
        for word in text.split():
            vectors[row, MEANING.get(word, 3)] += 1.0
        vectors[row, 3] += 0.001 * (len(text) + 1)
    return vectors


def pairs(*texts: str) -> list[Example]:
    return [Example(text, f"t {text}", "en", "fr") for text in texts]


def test_vectors_find_what_shares_no_word(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "m.sqlite", create=True, encoder=Encoder("toy", encode)) as memory:
        memory.add(pairs("red car", "a dog", "green tree"))
        assert [m.source for m in memory.search("crimson automobile", EN_FR, k=1)] == ["red car"]
        assert memory.search("crimson automobile", EN_FR, k=1)[0].cosine == pytest.approx(1.0, abs=1e-3)
        memory.add(pairs("one hound"))
        assert memory.search("a dog", EN_FR, k=3)[0].source == "a dog"  # the match leads, the vector follows
        assert "one hound" in [m.source for m in memory.search("my dog", EN_FR, k=3)]
        memory.remove(source="red car")
        assert "red car" not in [m.source for m in memory.search("crimson automobile", EN_FR, k=5)]


def test_saved_vectors_are_not_encoded_again(tmp_path: Path) -> None:
    seen: list[str] = []

    def counted(texts: Sequence[str]) -> NDArray[np.float32]:
        seen.extend(texts)
        return encode(texts)

    for name, expected in (("toy", ["red car", "a dog"]), ("toy", []), ("another", ["red car", "a dog"])):
        with Memory.open(tmp_path / "m.sqlite", create=True, encoder=Encoder(name, counted)) as memory:
            memory.add(pairs("red car", "a dog"))
            seen.clear()
            vectors = memory._index("default", EN_FR)[1]
            assert seen == expected
            assert vectors
            vectors.save()
    (tmp_path / "m.index").rename(tmp_path / "elsewhere")


def test_inverted_lists_above_the_limit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = {f"text {n}": rng.normal(size=16) for n in range(600)}
    encoder = Encoder("table", lambda texts: np.array([table[t] for t in texts]), flat_limit=300)
    with Memory.open(tmp_path / "m.sqlite", create=True, encoder=encoder) as memory:
        memory.add(pairs(*list(table)[:200]))
        _, vectors = memory._index("default", EN_FR)
        assert vectors and vectors.kind == "flat"
        memory.add(pairs(*list(table)[200:]))
        memory._index("default", EN_FR)
        assert vectors.kind == "ivf"
        near = [next(iter(vectors.search(text, 1))) for text in table]
        stored = {s.identifier: s.source for _, s in memory.segments()}
        assert [stored[n] for n in near] == list(table)  # each is its own nearest


def test_an_encoder_of_the_wrong_shape_is_told(tmp_path: Path) -> None:
    wrong = Encoder("wrong", lambda texts: np.zeros(3))
    with Memory.open(tmp_path / "m.sqlite", create=True, encoder=wrong) as memory:
        memory.add(pairs("a"))
        with pytest.raises(DataError, match="gave shape"):
            memory.search("a", EN_FR)

"""Sentence vectors beside the fuzzy index: FAISS proposes further candidates, the match still decides.

Any callable that turns texts into vectors will do; dragoman brings none of its own. Inner product over unit vectors,
exact (flat) up to `flat_limit` segments and inverted lists (IVF) above: with few vectors per list IVF only loses.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dragoman.errors import DataError
from dragoman.store.memory.index import Rows
from dragoman.store.run.artifact import write_atomic

_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Encoder:
    """`encode` gives one vector per text, [texts, width]; vectors of another `name` are never mixed with these."""

    name: str
    encode: Callable[[Sequence[str]], ArrayLike]
    flat_limit: int = 1_000_000


class Vectors:
    """The vectors of one tenant and direction. Threads may share it. Needs the extra `vectors` (faiss-cpu)."""

    def __init__(self, folder: Path, store: str, rows: Rows, encoder: Encoder) -> None:
        try:
            import faiss
        except ImportError:
            raise DataError("sentence vectors need FAISS. Install it with `pip install dragoman[vectors]`.") from None
        self._faiss: Any = faiss
        self._rows = rows
        self._encoder = encoder
        self._lock = threading.Lock()
        self._identity = {"store": store, "encoder": encoder.name}
        self._file, self._manifest = folder / "vectors.faiss", folder / "vectors.json"
        self._index, self._last, self._saved = self._load()

    @property
    def kind(self) -> str:
        """`flat`, `ivf`, or `empty`."""
        if self._index is None:
            return "empty"
        return "ivf" if self._index.ntotal > self._encoder.flat_limit else "flat"

    def _load(self) -> tuple[Any, int, int]:
        try:
            manifest = json.loads(self._manifest.read_text(encoding="utf-8"))
            index = self._faiss.read_index(str(self._file))
            # the two files are replaced one after the other: the count tells a pair that does not belong together
            if all(manifest[k] == v for k, v in self._identity.items()) and index.ntotal == manifest["segments"]:
                return index, manifest["last"], manifest["last"]
        except (OSError, ValueError, KeyError, RuntimeError):
            pass  # missing or damaged: encoded again
        return None, 0, 0

    def refresh(self, newest: int) -> None:
        """Encode and take in what was added up to id `newest`."""
        if newest <= self._last:
            return
        with self._lock:
            if newest <= self._last:
                return
            rows = self._rows(self._last, newest)
            while batch := list(islice(rows, _BATCH)):
                ids, texts = zip(*batch, strict=True)
                self._add(np.array(ids, dtype=np.int64), self._unit(texts))
            self._last = newest

    def _unit(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.ascontiguousarray(np.asarray(self._encoder.encode(texts), dtype=np.float32))
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise DataError(f"encoder {self._encoder.name}: gave shape {vectors.shape} for {len(texts)} texts.")
        self._faiss.normalize_L2(vectors)
        return vectors

    def _add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        faiss = self._faiss
        if self._index is None:
            self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
        before = self._index.ntotal
        self._index.add_with_ids(vectors, ids)
        if before <= self._encoder.flat_limit < self._index.ntotal:
            self._index = self._inverted(self._index)

    def _inverted(self, flat: Any) -> Any:
        """The same vectors in about 4 * sqrt(n) lists, of which 32 are read per query (the advice of FAISS)."""
        faiss = self._faiss
        count, width = flat.ntotal, flat.d
        vectors = flat.index.reconstruct_n(0, count)
        lists = max(1, min(int(4 * count**0.5), count // 39))  # FAISS asks for 39 training points per list
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[np.random.default_rng(0).permutation(count)[: 64 * lists]])
        index.nprobe = min(32, lists)
        index.add_with_ids(vectors, faiss.vector_to_array(flat.id_map))
        return index

    def search(self, text: str, count: int) -> dict[int, float]:
        """The nearest segments: id -> cosine."""
        if self._index is None or not self._index.ntotal:
            return {}
        vector = self._unit([text])
        with self._lock:
            cosines, ids = self._index.search(vector, count)
        return {int(i): float(c) for i, c in zip(ids[0], cosines[0], strict=True) if i >= 0}

    def save(self) -> None:
        """Save what is new since the last time."""
        with self._lock:
            if self._index is None or self._last == self._saved:
                return
            self._file.parent.mkdir(parents=True, exist_ok=True)
            manifest = {**self._identity, "last": self._last, "segments": self._index.ntotal}
            temporary = self._file.with_suffix(f".{os.getpid()}.tmp")
            self._faiss.write_index(self._index, str(temporary))
            temporary.replace(self._file)
            write_atomic(self._manifest, json.dumps(manifest).encode())
            self._saved = self._last

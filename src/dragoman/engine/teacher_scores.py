"""What a teacher holds possible at every target token: computed once, kept on disk, memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from dragoman.engine.batch import Corpus, collate
from dragoman.engine.score import corpus_of
from dragoman.engine.token_scores import top_tokens
from dragoman.store.run.artifact import write_json

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

Row = tuple[Sequence[int], Sequence[bool]]
_CHUNK = 512  # rows between two notes of how far the work is


@dataclass(frozen=True)
class Tops:
    """Of every target token of a corpus, in its order: the teacher's likeliest tokens [n, k] and their log-probabilities."""

    ids: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]

    def of(self, rows: Sequence[int], starts: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Those of these rows, one after the other; `starts` [rows + 1]: where the target tokens of a row begin."""
        places = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in rows])
        return torch.from_numpy(self.ids[places].astype(np.int64)), torch.from_numpy(self.scores[places].copy())


def target_starts(corpus: Corpus) -> npt.NDArray[np.int64]:
    """Where the target tokens of every row [rows + 1] begin, counted over the corpus."""
    before = np.concatenate([[0], np.cumsum(corpus.trained)])
    found: npt.NDArray[np.int64] = before[corpus.starts]
    return found


@dataclass(frozen=True)
class Teacher:
    """A loaded teacher. `vocabulary`: tokens that the student knows too."""

    loaded: Loaded
    count: int
    temperature: float
    vocabulary: int

    def tops(self, rows: Sequence[Row], budget: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(tokens, log-probabilities) [n, k] of the target tokens of rows, in their order; on the processor."""
        corpus = corpus_of(rows)
        order = np.argsort(-corpus.lengths, kind="stable").tolist()
        found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.loaded.model.eval()
        done = 0
        while done < len(order):
            size = max(1, budget // int(corpus.lengths[order[done]]))
            members = order[done : done + size]
            batch = collate(corpus, [[row] for row in members], self.loaded.pad).to(self.loaded.device)
            ids, scores = top_tokens(self.loaded.model, batch, self.count, self.temperature, self.vocabulary)
            sizes = [int(np.sum(corpus.row(row)[1])) for row in members]
            parts = zip(ids.cpu().split(sizes), scores.cpu().split(sizes), strict=True)
            found.update(zip(members, parts, strict=True))
            done += size
        return torch.cat([found[n][0] for n in range(len(rows))]), torch.cat([found[n][1] for n in range(len(rows))])

    def keep(self, folder: Path, rows: Sequence[Row], progress: Callable[[int], None]) -> Tops:
        """Score rows into `folder`; what was stopped goes on behind the last whole chunk."""
        folder.mkdir(parents=True, exist_ok=True)
        note = folder / "counts.json"
        total = sum(sum(trained) for _, trained in rows)
        known = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
        done, at = (known["rows"], known["tokens"]) if known.get("of") == len(rows) else (0, 0)
        files = [folder / "top_tokens.npy", folder / "top_scores.npy"]
        mode = "r+" if done else "w+"
        shape = (total, self.count)
        ids, scores = (
            np.lib.format.open_memmap(path, mode, kind, shape)
            for path, kind in zip(files, (np.int32, np.float32), strict=True)
        )
        while done < len(rows):
            progress(done)
            part = rows[done : done + _CHUNK]
            found, values = self.tops(part, 8192)
            ids[at : at + len(found)], scores[at : at + len(found)] = found.numpy(), values.numpy()
            ids.flush()
            scores.flush()
            done, at = done + len(part), at + len(found)
            write_json(note, {"rows": done, "of": len(rows), "tokens": at, "top_k": self.count})
        progress(len(rows))
        return Tops(*(np.load(path, mmap_mode="r") for path in files))

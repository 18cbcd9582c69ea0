"""What a teacher, of several the one that knows a sentence best, holds possible at every target token: computed once, kept on
disk, memory-mapped."""

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
from dragoman.engine.score import corpus_of, score
from dragoman.engine.token_scores import top_tokens
from dragoman.store.run.artifact import write_json

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

Row = tuple[Sequence[int], Sequence[bool]]
Ints = npt.NDArray[np.int64]
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
class Teachers:
    """Loaded teachers. `vocabulary`: tokens that all of them and the student know."""

    loaded: Sequence[Loaded]
    count: int
    temperature: float
    vocabulary: int

    def chosen(self, asked: Sequence[Sequence[Row | None]], progress: Callable[[int], None]) -> Ints:
        """The number of the teacher that finds the target of each row the likeliest [rows]; -1 where none can be asked.

        asked [teachers][rows]: the row in the prompt of each, None where that teacher cannot be asked. The target tokens are
        the same in all, so that sums compare as cross-entropies do: MinCE of knowledge fusion (Wan et al. 2024, arXiv
        2401.10491), a sentence at a time.
        """
        found = np.full((len(asked), len(asked[0])), -np.inf)
        for number, (loaded, rows) in enumerate(zip(self.loaded, asked, strict=True)):
            able = [place for place, row in enumerate(rows) if row is not None]
            if len(self.loaded) == 1:
                found[number, able] = 0.0
                continue
            loaded.model.eval()
            sums = score(loaded.model, [row for row in rows if row is not None], pad=loaded.pad, progress=progress)
            found[number, able] = [total for total, _ in sums]
        best = found.argmax(0)
        return np.where(np.isfinite(found.max(0)), best, -1)

    def tops(self, rows: Sequence[Row], by: Sequence[int], budget: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(tokens, log-probabilities) [n, k] of the target tokens of rows, in their order; on the processor. by [rows]: the
        number of the teacher of each."""
        found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        for number, loaded in enumerate(self.loaded):
            members = [place for place, teacher in enumerate(by) if teacher == number]
            if members:
                parts = self._tops(loaded, [rows[place] for place in members], budget)
                found.update(zip(members, parts, strict=True))
        return torch.cat([found[n][0] for n in range(len(rows))]), torch.cat([found[n][1] for n in range(len(rows))])

    def _tops(self, loaded: Loaded, rows: Sequence[Row], budget: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        corpus = corpus_of(rows)
        order = np.argsort(-corpus.lengths, kind="stable").tolist()
        found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        loaded.model.eval()
        done = 0
        while done < len(order):
            size = max(1, budget // int(corpus.lengths[order[done]]))
            members = order[done : done + size]
            batch = collate(corpus, [[row] for row in members], loaded.pad).to(loaded.device)
            ids, scores = top_tokens(loaded.model, batch, self.count, self.temperature, self.vocabulary)
            sizes = [int(np.sum(corpus.row(row)[1])) for row in members]
            parts = zip(ids.cpu().split(sizes), scores.cpu().split(sizes), strict=True)
            found.update(zip(members, parts, strict=True))
            done += size
        return [found[n] for n in range(len(rows))]

    def keep(self, folder: Path, rows: Sequence[Row], by: Sequence[int], progress: Callable[[int], None]) -> Tops:
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
            part = slice(done, done + _CHUNK)
            found, values = self.tops(rows[part], by[part], 8192)
            ids[at : at + len(found)], scores[at : at + len(found)] = found.numpy(), values.numpy()
            ids.flush()
            scores.flush()
            done, at = min(len(rows), done + _CHUNK), at + len(found)
            write_json(note, {"rows": done, "of": len(rows), "tokens": at, "top_k": self.count})
        progress(len(rows))
        return Tops(*(np.load(path, mmap_mode="r") for path in files))

"""Decoding a real language model: ours against transformers' `generate` in padded batches of 16, in one run.

    python benchmarks/decode_real.py --base FOLDER --data DATA [--sentences 200] [--precisions bf16 fp32] [--record]

`--base` is a folder of a causal language model (Gemma 3 270M made the committed record), `--data` the folder of shared
texts, of which medical/emea_en-fr_train.tsv.gz is read. Greedy, with the same prompts, limits and end tokens, sorted by
length for both; and one sentence after the other with its fuzzy match (from 50 %) in the prompt, without and with drafts.
The best CPU time of `--repeats` counts, since others may share the machine. Peak memory is that of the process so far.
The record goes to benchmarks/results/decode-real.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from dragoman.core.prompt.prompts import FORMATS
from dragoman.core.recipe import Decoding
from dragoman.core.records import NO_CONTEXT, Context
from dragoman.core.text.languages import Direction
from dragoman.engine import load
from dragoman.engine.device import DTYPES, detect, use
from dragoman.engine.generate import Generated, generate
from dragoman.engine.prompt_fit import Ask, fitted
from dragoman.engine.tokenizer import load_tokenizer
from dragoman.store.run.artifact import versions
from dragoman.translator import Translator

RESULTS = Path(__file__).parent / "results"
EN_FR = Direction("en", "fr")
AT_ONCE = 16  # rows of one batch of `generate`
LEAST = 0.5  # match from which an example goes into the prompt


def read(data: Path, count: int) -> list[tuple[str, float, str, str]]:
    """Source, match, and the source and target of the match; every tenth row, so that several documents are there."""
    with gzip.open(data / "medical" / "emea_en-fr_train.tsv.gz", "rt", encoding="utf-8", newline="") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines][1:]
    good = [(r[0], float(r[2]), r[3], r[4]) for r in rows[::10] if len(r) == 5 and all(r) and '"' not in "".join(r)]
    return good[:count]


class Ways:
    """The same prompts, decoded in several ways by one model."""

    def __init__(self, folder: Path, rows: Sequence[tuple[str, float, str, str]], precision: str, threads: int) -> None:
        device = use(detect(threads))
        model = load.load_model(folder, dtype=DTYPES[precision], device=device).eval()
        card = load.Card(FORMATS["adaptive"], ("en-fr",), base=folder.name)
        self.translator = Translator(load.Loaded(model, load_tokenizer(folder), card))
        self.sources = [self.translator.normalised(source) for source, *_ in rows]
        self.helped = [Context(((s, t),)) if match >= LEAST else NO_CONTEXT for _, match, s, t in rows]
        decoding, tokenizer = Decoding(), self.translator.loaded.tokenizer
        self.ids = tokenizer(self.sources, add_special_tokens=False).input_ids
        self.limits = [int(decoding.max_ratio * len(ids)) + decoding.max_extra for ids in self.ids]

    def prompts(self, helped: bool) -> list[list[int]]:
        assists = self.helped if helped else [NO_CONTEXT] * len(self.sources)
        asked = [Ask(EN_FR, text, None, assist) for text, assist in zip(self.sources, assists, strict=True)]
        return [made.ids for made in fitted(self.translator.encoder, asked, [10**6] * len(asked))]

    def library(self) -> list[Generated]:
        """`generate` of transformers; each row's tokens up to its own limit and end are counted, as ours are."""
        prompts = self.prompts(False)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + self.limits[i], reverse=True)
        found: list[Generated | None] = [None] * len(prompts)
        ends = set(self.translator._ends)
        loaded = self.translator.loaded
        for start in range(0, len(order), AT_ONCE):
            some = order[start : start + AT_ONCE]
            width = max(len(prompts[i]) for i in some)
            ids = [[loaded.pad] * (width - len(prompts[i])) + prompts[i] for i in some]
            mask = [[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in some]
            with torch.inference_mode():
                made = loaded.model.generate(
                    input_ids=torch.tensor(ids, device=loaded.device),
                    attention_mask=torch.tensor(mask, device=loaded.device),
                    max_new_tokens=max(self.limits[i] for i in some),
                    do_sample=False,
                    eos_token_id=sorted(ends),
                    pad_token_id=loaded.pad,
                    begin_suppress_tokens=self.translator._breaks,
                )[:, width:].tolist()
            for index, whole in zip(some, made, strict=True):
                row = whole[: self.limits[index]]
                stop = next((i for i, token in enumerate(row) if token in ends), None)
                new = row if stop is None else row[:stop]
                found[index] = Generated(new, 0.0, len(new) + (stop is not None), stop is not None)
        return [g for g in found if g is not None]

    def ours(self) -> list[Generated]:
        loaded = self.translator.loaded
        return generate(
            loaded.model,
            self.prompts(False),
            self.limits,
            ends=self.translator._ends,
            not_first=self.translator._breaks,
            pad=loaded.pad,
        )

    def ours_alone(self, drafted: bool) -> list[Generated]:
        """One sentence at a time, as a translator at work asks: those that have a match, 16 at most."""
        drafts = self.translator._drafts(self.helped, EN_FR, self.ids) if drafted else None
        loaded, prompts = self.translator.loaded, self.prompts(True)
        having = [i for i, assist in enumerate(self.helped) if assist.shots][:16]
        found = []
        for i in having:
            found += generate(
                loaded.model,
                [prompts[i]],
                [self.limits[i]],
                ends=self.translator._ends,
                not_first=self.translator._breaks,
                pad=loaded.pad,
                drafts=[drafts[i]] if drafts is not None else None,
            )
        return found


def measured(ways: Ways, repeats: int) -> dict[str, Any]:
    todo: dict[str, Callable[[], list[Generated]]] = {
        "generate": ways.library,
        "ours": ways.ours,
        "one by one with match": lambda: ways.ours_alone(False),
        "one by one with match, drafts": lambda: ways.ours_alone(True),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in todo}
    made: dict[str, list[Generated]] = {}
    peak = {}
    for _ in range(repeats):
        for name, work in reversed(todo.items()):  # ours first: the peak of `generate` must not count as ours
            wall, cpu = time.perf_counter(), time.process_time()
            made[name] = work()
            seconds[name].append((time.process_time() - cpu, time.perf_counter() - wall))
            peak.setdefault(name, round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2))
            print(name, seconds[name][-1], sum(g.tokens for g in made[name]), flush=True)
    pairs = {"ours": "generate", "one by one with match, drafts": "one by one with match"}
    record = {}
    for name, found in made.items():
        cpu, wall = (min(values) for values in zip(*seconds[name], strict=True))
        tokens = sum(g.tokens for g in found)
        record[name] = {
            "sentences": len(found),
            "tokens": tokens,
            "cpu_seconds": round(cpu, 2),
            "wall_seconds": round(wall, 2),
            "tokens_per_cpu_second": round(tokens / cpu, 1),
            "sentences_per_cpu_second": round(len(found) / cpu, 2),
            "peak_gib_so_far": peak[name],
            "unfinished": sum(not g.finished for g in found),
            "looped": sum(g.looped for g in found),
        }
        if name in pairs:
            other = made[pairs[name]]
            same = sum(a.ids == b.ids for a, b in zip(found, other, strict=True))
            record[name] |= {"same_outputs": same, "faster": round(record_seconds(seconds, pairs[name]) / cpu, 2)}
        if drafted := sum(g.drafted for g in found):
            record[name] |= {"drafted": drafted, "accepted": round(sum(g.accepted for g in found) / drafted, 3)}
    return record


def record_seconds(seconds: dict[str, list[tuple[float, float]]], name: str) -> float:
    return min(cpu for cpu, _ in seconds[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--precisions", nargs="+", choices=list(DTYPES), default=["bf16", "fp32"])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    rows = read(given.data, given.sentences)
    record = {
        "command": f"python benchmarks/decode_real.py --base FOLDER --data DATA --sentences {given.sentences} "
        f"--precisions {' '.join(given.precisions)} --repeats {given.repeats} --record",
        "base": given.base.name,
        "machine": {"processor": detect().name, "threads": given.threads},
        "versions": versions(),
        "results": {p: measured(Ways(given.base, rows, p, given.threads), given.repeats) for p in given.precisions},
    }
    print(json.dumps(record, indent=1))
    if given.record:
        (RESULTS / "decode-real.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

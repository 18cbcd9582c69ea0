"""Batched decoding against a loop over single sentences: same model, same translations, how much faster?

    python benchmarks/decode.py --run runs/multi30k --data DIR

Translates the 1,000 sentences of multi30k/test_2016_flickr.tsv.gz with the run's model, in fp32, greedily: once with
`Translator.translate`, once with a loop of transformers' own `generate` over one sentence at a time, twice each, in turn.
The record goes to benchmarks/results/decode.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path

import torch

from dragoman.core.prompt.prompts import render
from dragoman.core.recipe import Decoding
from dragoman.core.text.languages import Direction
from dragoman.engine.device import detect
from dragoman.store.run.artifact import versions
from dragoman.translator import Translator

RESULTS = Path(__file__).parent / "results"


def loop(translator: Translator, texts: list[str], direction: Direction) -> list[str]:
    """One `generate` a sentence, with the same prompts, limits and end tokens."""
    loaded, decoding = translator.loaded, Decoding()
    found = []
    for text in texts:
        ids, _ = translator.encoder.encode([render(translator.encoder.form, direction, text)])[0]
        source = loaded.tokenizer(text, add_special_tokens=False).input_ids
        limit = min(int(decoding.max_ratio * len(source)) + decoding.max_extra, translator.loaded.context - len(ids))
        with torch.inference_mode():
            output = loaded.model.generate(
                input_ids=torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                max_new_tokens=limit,
                do_sample=False,
                eos_token_id=translator.encoder.end,
                pad_token_id=loaded.tokenizer.pad_token_id,
            )
        found.append(loaded.tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True).strip())
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--run", type=Path, required=True)
    arguments.add_argument("--data", type=Path, required=True)
    given = arguments.parse_args()
    with gzip.open(given.data / "multi30k" / "test_2016_flickr.tsv.gz", "rt", encoding="utf-8", newline="") as lines:
        texts = [line.split("\t")[0] for line in lines.read().split("\n")[1:] if line]
    translator = Translator.load(given.run)
    direction = Direction("en", "de")
    translator.translate(texts[:64], direction)
    loop(translator, texts[:5], direction)
    times: dict[str, list[float]] = {"loop of generate": [], "dragoman": [], "dragoman, beam 4": []}
    outputs = {}
    for _ in range(2):
        for name, work in (
            ("loop of generate", lambda: loop(translator, texts, direction)),
            ("dragoman", lambda: [h.text for h in translator.translate(texts, direction)]),
            ("dragoman, beam 4", lambda: [h.text for h in translator.translate(texts, direction, Decoding(beam=4))]),
        ):
            begun = time.perf_counter()
            outputs[name] = work()
            times[name].append(time.perf_counter() - begun)
    same = sum(a == b for a, b in zip(outputs["loop of generate"], outputs["dragoman"], strict=True))
    best = {name: min(values) for name, values in times.items()}
    record = {
        "command": "python benchmarks/decode.py --run runs/multi30k --data DIR",
        "machine": {"processor": detect().name, "threads": detect().threads},
        "versions": versions(),
        "sentences": len(texts),
        "seconds": {name: [round(v, 2) for v in values] for name, values in times.items()},
        "same_translations": same,
        "speed_up": round(best["loop of generate"] / best["dragoman"], 2),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "decode.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()

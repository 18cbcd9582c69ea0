"""The same data and the same minutes for an encoder-decoder toolkit: Eole on Multi30k en-de.

    python benchmarks/eole.py --run runs/multi30k --data DIR --eole PATH/TO/eole --seconds 600 --out runs/eole

`--eole` is the command of an environment of its own (`pip install eole aiohttp`). It gets the training pairs that dragoman
prepared, split into the sub-words of the same joint vocabulary, a Transformer of about the same size (4 + 4 layers of 128), Adam
with the inverse-square-root schedule that its own recipes use, label smoothing and dropout as dragoman has them, and as many
seconds of training as dragoman had. Its last checkpoint then translates test_2016_flickr greedily and with beam 4; sacreBLEU
scores both. The record goes to benchmarks/results/eole.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from dragoman.core.records import Example
from dragoman.core.scores.metrics import score
from dragoman.engine.device import detect
from dragoman.store.corpus import records
from dragoman.store.run.artifact import model_folder

RESULTS = Path(__file__).parent / "results"
CONFIG = """
seed: 7
share_vocab: true
src_vocab: vocab.txt
tgt_vocab: vocab.txt
src_vocab_size: 8000
tgt_vocab_size: 8000
overwrite: true
save_data: .
report_every: 100
data:
  corpus_1: {path_src: train.src, path_tgt: train.tgt, transforms: [], weight: 1}
  valid: {path_src: dev.src, path_tgt: dev.tgt, transforms: []}
model:
  architecture: transformer
  hidden_size: 128
  share_decoder_embeddings: true
  share_embeddings: true
  transformer_ff: 384
  heads: 4
  encoder: {layers: 4}
  decoder: {layers: 4}
  embeddings: {word_vec_size: 128, position_encoding_type: SinusoidalInterleaved}
training:
  model_path: model
  batch_size: BATCH
  batch_type: tokens
  batch_size_multiple: 1
  bucket_size: 30000
  num_workers: 0
  accum_count: [1]
  accum_steps: [0]
  optim: adam
  adam_beta2: 0.998
  learning_rate: RATE
  warmup_steps: WARMUP
  decay_method: noam
  max_grad_norm: 0
  label_smoothing: 0.1
  dropout: [0.1]
  dropout_steps: [0]
  attention_dropout: [0.1]
  param_init_method: xavier_uniform
  normalization: tokens
  train_steps: 100000
  valid_steps: 100000
  save_checkpoint_steps: 100
  keep_checkpoint: 2
  compute_dtype: fp32
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--run", type=Path, required=True)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--eole", required=True)
    arguments.add_argument("--seconds", type=float, default=600)
    arguments.add_argument("--rate", type=float, default=1.0, help="factor of the inverse-square-root schedule")
    arguments.add_argument(
        "--batch", type=int, default=1024, help="tokens of a batch: small ones learn most in minutes"
    )
    arguments.add_argument("--warmup", type=int, default=400, help="steps")
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    tokenizer, references = write_text(given.run, given.data, given.out)
    config = CONFIG.replace("RATE", str(given.rate)).replace("BATCH", str(given.batch))
    config = config.replace("WARMUP", str(given.warmup))
    (given.out / "config.yaml").write_text(config, encoding="utf-8")
    run(given.eole, "build_vocab -c config.yaml -n_sample -1", given.out)
    steps, seconds = train(given.eole, given.out, given.seconds)
    scores = {}
    for beam in (1, 4):
        run(given.eole, f"predict -model_path model -src test.src -output out.{beam} -beam_size {beam}", given.out)
        lines = (given.out / f"out.{beam}").read_text(encoding="utf-8").split("\n")[: len(references)]
        hypotheses = [tokenizer.convert_tokens_to_string(line.split()).strip() for line in lines]
        scores[f"beam {beam}"] = [str(score(metric, hypotheses, references, "de")) for metric in ("bleu", "chrf")]
    record = {
        "command": f"python benchmarks/eole.py --run runs/multi30k --data DIR --eole eole --seconds {given.seconds:.0f} "
        f"--batch {given.batch} --rate {given.rate:g} --warmup {given.warmup}",
        "machine": {"processor": detect().name, "threads": detect().threads},
        "version": run(str(Path(given.eole).with_name("python")), "-m pip show eole", given.out).split("\n")[1],
        "config": config,
        "seconds": round(seconds, 1),
        "steps": steps,
        "scores": scores,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "eole.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record["scores"], indent=1))


def write_text(run_folder: Path, data: Path, out: Path) -> tuple[Any, list[str]]:
    """Sub-word files for Eole; returns the tokenizer and the references of the test set."""
    from dragoman.engine.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(model_folder(run_folder))
    sets = {
        split: [(e.source, e.target) for e in records.read(run_folder / "prepare" / split, Example)]
        for split in ("train", "dev")
    }
    with gzip.open(data / "multi30k" / "test_2016_flickr.tsv.gz", "rt", encoding="utf-8", newline="") as lines:
        rows = [line.split("\t") for line in lines.read().split("\n")[1:] if line]
    sets["test"] = [(row[0], row[1]) for row in rows]
    for split, pairs in sets.items():
        for side, name in enumerate(("src", "tgt")):
            text = "".join(" ".join(tokenizer.tokenize(pair[side])) + "\n" for pair in pairs)
            (out / f"{split}.{name}").write_text(text, encoding="utf-8")
    return tokenizer, [pair[1] for pair in sets["test"]]


def run(program: str, arguments: str, folder: Path) -> str:
    done = subprocess.run([program, *arguments.split()], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{program} {arguments} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def train(program: str, folder: Path, seconds: float) -> tuple[int, float]:
    """Train until the time is over, counted from the line that says that training starts. Returns steps and seconds."""
    process = subprocess.Popen(
        [program, "train", "-c", "config.yaml"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    begun, steps = None, 0
    assert process.stdout is not None
    with (folder / "log").open("w", encoding="utf-8") as log:
        for line in process.stdout:
            log.write(line)
            if "Start training loop" in line:
                begun = time.time()
            if "Saving checkpoint" in line or "Step " in line:
                digits = line.split("Step ", 1)[-1].split("/", 1)[0].strip()
                steps = int(digits) if digits.isdigit() else steps
            if begun and time.time() - begun > seconds:
                process.send_signal(signal.SIGTERM)
                break
    process.wait(timeout=60)
    if begun is None:
        raise SystemExit(f"eole did not start to train:\n{(folder / 'log').read_text(encoding='utf-8')[-2000:]}")
    return steps, time.time() - begun


if __name__ == "__main__":
    main()

"""`dragoman new`: a commented recipe that says what can be changed and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dragoman.core.bases import Choice, choose
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.text import dump
from dragoman.core.text.languages import Direction
from dragoman.core.text.languages import name as language_name
from dragoman.errors import DataError

_EXAMPLES = ["data/memory.tmx", "data/*.tsv"]

# A `#` in the first column comes off to switch a key on: what follows it is indented as the key must be.
_TEMPLATE = """\
# A dragoman recipe. Each section is a stage; a section that is absent skips its stage.
#
# dragoman plan {file}      rows, tokens, memory, time: will it fit? nothing is trained
# dragoman run {file}       all stages; run it again to resume; finished stages are skipped
#
# Any key can be set on the command line: dragoman run {file} train.0.sft.epochs=3
# Paths start at this file's folder. To switch on a key that is commented out, delete the '#' at the line's start.

name: {name}
pairs: [{pairs}]  # {languages}. Each is a direction that is trained and scored; add the way back if you want it
seed: 7

# ---------------------------------------------------------------- 1. prepare: files -> cleaned, de-duplicated splits
prepare:
  # TSV, CSV, JSONL, Parquet, TMX, XLIFF, PO or Moses pairs (x.{source} + x.{target}), also as .gz .xz .zst .bz2; globs;
  # https:// and s3:// URLs; hf:ID for a data set of the Hugging Face hub; an SQLAlchemy URL with `query`.
  parallel:
{parallel}
  # An entry can say more about its file:
#    - {{path: data/clinic.csv, columns: {{source: English, target: French}}, domain: clinic, weight: 2}}
  # A test set of your own, never trained on; with one, `holdout` cuts no other:
#    - {{path: data/test.tsv, use: test}}
#  monolingual: {{{target}: data/news.{target}.txt.gz}}
  # Each check rejects a row for a reason that stands in prepare/rejected.tsv; `null` or `false` switches it off.
  checks:
    length_ratio: 3.0      # longer side to shorter side, in a unit that suits the script
    language: 0.8          # reject when another language is at least this probable
    numbers: 2             # reject when so many numbers stand on one side only
#    max_length: 250
#    identical: true
#    markup: true
#    placeholders: true
  deduplicate: {{exact: true, near: 0.9}}
  holdout:
    dev: 1000              # rows, or a share such as 0.05
    test: 1000
    by: random             # random, length, domain, document
#  balance: {{temperature: 1.0}}   # above 1: small sources and directions are seen more often

# ---------------------------------------------------------------- 2. model: where the translator starts
model:
{model}

# ---------------------------------------------------------------- 3. plan: what the machine allows
plan:
  precision: auto          # auto, fp32, bf16, fp16, fp8
#  threads: 4
#  memory: 8               # GiB at most
#  hours: 12               # refuse a run that would take longer

# ---------------------------------------------------------------- 4. train: phases, one after the other
train:
  - sft:
      epochs: 3
      learning_rate: auto
      schedule: cosine     # cosine, linear, constant, inverse_sqrt
      warmup: 0.05         # below 1 a share of the steps, else a number of steps
      patience: 5          # stop after so many evaluations without a better dev chrF
#      batch_tokens: auto
#      accumulation: auto   # forward passes of a step
#      label_smoothing: 0.0
#      evaluate_every: auto
{adapt}

# ---------------------------------------------------------------- 5. evaluate: scores with signatures and intervals
evaluate:
  metrics: [bleu, chrf, ter]
  sets: [dev, test]
  decode: [{{beam: 1}}]      # a second entry, such as {{beam: 4}}, is scored beside it
#  files: [data/other-test.tsv]
#  must_gain: {{chrf: 1.0}}  # the run fails when the gain over the untouched model is smaller

# ---------------------------------------------------------------- 6. deploy: exports that are scored again, in one bundle
#deploy: {{formats: [hf]}}   # also adapter, hf-bf16, ctranslate2-int8, onnx, gguf, awq; `dragoman deploy` works without, too

# ---------------------------------------------------------------- 7. monitor: numbers of what is translated in use
#monitor: {{}}
"""

_MODEL_BASE = """\
  base: {base}   # a hub id, a folder, a .gguf file, or the folder of an earlier run
{why}  # The other way, a small model from scratch, needs plenty of text (100,000 pairs and more); then no `base`:
  # new: {{hidden: 256, layers: 6, heads: 4, feed_forward: 768, vocabulary: 8000}}
  prompt: auto             # auto, chat, compact, or a published template (docs/model.md)
#  revision: main"""

_MODEL_NEW = """\
  # A small model from scratch with a tokenizer of its own. It needs plenty of text: 100,000 pairs and more.
  new: {{hidden: 256, layers: 6, heads: 4, feed_forward: 768, vocabulary: 8000}}
  # The other way, which needs far less text, is to adapt a model that already knows the languages; then no `new`:
  # base: {base}
  prompt: auto             # auto, compact"""

_ADAPT_LORA = """\
    # full: every weight moves. LoRA: small matrices beside them, far less memory.
    adapt: {method: lora, rank: 16}"""

_ADAPT_FULL = """\
    adapt: full            # every weight moves"""


def text(
    name: str,
    pairs: Sequence[Direction],
    *,
    files: Sequence[str] = (),
    base: str | Choice | None = None,
    file: str = "recipe.yaml",
) -> str:
    """A recipe. `base` None starts a new model from scratch; a Choice stands with its reasons; `file` is what the recipe's
    remarks call it."""
    given = list(files) or _EXAMPLES
    start = base if isinstance(base, str) else (base or choose(pairs)).base.id
    return _TEMPLATE.format(
        file=file,
        name=_scalar(name),
        pairs=", ".join(_scalar(str(pair)) for pair in pairs),
        languages=", ".join(f"{language_name(pair.source)} to {language_name(pair.target)}" for pair in pairs),
        source=pairs[0].source,
        target=pairs[0].target,
        parallel="\n".join(f"    - {_scalar(entry)}" for entry in given),
        model=(_MODEL_NEW if base is None else _MODEL_BASE).format(base=_scalar(start), why=_reasons(base)),
        adapt=_ADAPT_FULL if base is None else _ADAPT_LORA,
    )


def write(
    folder: Path, pairs: Sequence[Direction], *, files: Sequence[Path] = (), base: str | Choice | None = None
) -> Path:
    """Write `folder/recipe.yaml` and return its path. Raises DataError when it exists, or a file does not."""
    path = folder / "recipe.yaml"
    if path.exists():
        raise DataError(f"{path}: there is a recipe already. Choose another name, or delete it first.")
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        raise DataError(f"{', '.join(missing)}: no such file.")
    names = [Path(os.path.relpath(file, folder)).as_posix() for file in files]
    content = text(folder.resolve().name, pairs, files=names, base=base, file=str(path))
    Recipe.parse(content, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not files:
        (folder / "data").mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def _reasons(base: str | Choice | None) -> str:
    """Remarks on why a base was chosen, and on what else would do."""
    if not isinstance(base, Choice):
        return ""
    lines = [base.why, *base.doubts, f"Source: {base.base.source}"]
    if base.others:
        lines.append(f"Others that would do: {', '.join(other.id for other in base.others[:3])}")
    return "".join(f"  # {line}\n" for line in lines)


def _scalar(value: str) -> str:
    """A string as YAML reads it back, quoted only where it must be."""
    return dump(value).removesuffix("...\n").strip()

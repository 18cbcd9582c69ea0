"""The recipe: one YAML file, one strict model per stage.

Unknown keys, wrong types and impossible values are all reported at once, each with its file and line.
YAML is read as 1.2, so that Norwegian `no` is a language and `2e-4` a number.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from dragoman.core.languages import Direction
from dragoman.core.languages import tag as language_tag
from dragoman.errors import DataError, RecipeError

_SUFFIX = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}


def _count(value: object) -> object:
    """`2M` -> 2000000, `1.5k` -> 1500; everything else is left to pydantic."""
    if isinstance(value, str) and (m := re.fullmatch(r"([\d_.]+)\s*([kKMGB])", value.strip())):
        return round(float(m[1].replace("_", "")) * _SUFFIX[m[2]])
    if isinstance(value, str) and re.fullmatch(r"\d[\d_]*", value.strip()):
        return int(value.replace("_", ""))
    return value


def _language(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a language tag is text, such as en or pt-BR")
    try:
        return language_tag(value)
    except DataError as error:
        raise ValueError(str(error)) from None


def _direction(value: object) -> object:
    if isinstance(value, Direction):
        return value
    if not isinstance(value, str):
        raise ValueError("a language pair is text, such as en-fr")
    try:
        return Direction.parse(value)
    except DataError as error:
        raise ValueError(str(error)) from None


def _listed(value: object) -> object:
    return value if isinstance(value, list) or value is None else [value]


def _source(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


Count = Annotated[int, BeforeValidator(_count), Field(ge=0)]
PositiveCount = Annotated[int, BeforeValidator(_count), Field(gt=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Language = Annotated[str, BeforeValidator(_language)]
Pair = Annotated[Direction, BeforeValidator(_direction)]


class Section(BaseModel):
    """Base of every part of the recipe: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, validate_default=True)


# ---------------------------------------------------------------- prepare


class Columns(Section):
    """Which columns (by name, or by 0-based number) hold what."""

    source: str | int = "source"
    target: str | int = "target"
    domain: str | int | None = None
    document: str | int | None = None


class ParallelSource(Section):
    """One parallel file, folder, table or data set. A plain string in the recipe is its `path`."""

    path: str  # a file, a glob, an fsspec URL (s3://, https://), hf:ID or a folder, an SQLAlchemy URL
    format: Literal["auto", "tsv", "csv", "jsonl", "parquet", "moses", "tmx", "xliff", "po", "hf", "sql"] = "auto"
    pair: Pair | None = None  # languages of `source` and `target`; by default from the file's name, else the recipe
    columns: Columns = Columns()
    header: bool | Literal["auto"] = "auto"
    delimiter: str | Literal["auto"] = "auto"
    quoting: Literal["auto", "minimal", "none"] = "auto"
    encoding: str = "auto"
    query: str | None = None  # SQL only
    subset: str | None = None  # HF data sets: configuration name
    partition: str = "train"  # HF data sets: which split to read
    domain: str = ""  # domain of all its rows; a `columns.domain` wins
    weight: Annotated[float, Field(gt=0)] | None = None  # see `balance`
    use: Literal["train", "dev", "test"] = "train"  # `dev`/`test`: a given held-out file; it is never trained on
    limit: PositiveCount | None = None  # read at most so many rows


class TextSource(Section):
    """One monolingual file. A plain string in the recipe is its `path`."""

    path: str
    format: Literal["auto", "text", "tsv", "csv", "jsonl", "parquet", "hf", "sql"] = "auto"
    column: str | int = "text"
    header: bool | Literal["auto"] = "auto"
    delimiter: str | Literal["auto"] = "auto"
    quoting: Literal["auto", "minimal", "none"] = "auto"
    encoding: str = "auto"
    query: str | None = None
    subset: str | None = None
    partition: str = "train"
    domain: str = ""
    document: str | int | None = None
    limit: PositiveCount | None = None


ParallelSources = Annotated[list[Annotated[ParallelSource, BeforeValidator(_source)]], BeforeValidator(_listed)]
TextSources = Annotated[list[Annotated[TextSource, BeforeValidator(_source)]], BeforeValidator(_listed)]


class Normalise(Section):
    """What is changed in every text before the checks. French no-break spaces are kept."""

    unicode: Literal["NFC", "NFKC", "none"] = "NFC"
    controls: bool = True  # drop C0/C1 controls, BOM and zero-width characters that carry no meaning
    spaces: bool = True  # trim, collapse runs, line breaks become spaces


class Checks(Section):
    """Thresholds of the checks on one pair; `null` switches a check off. Lengths are in script-aware units (see docs)."""

    empty: bool = True
    identical: bool = True
    max_length: Annotated[float, Field(gt=0)] | None = 250.0
    length_ratio: Annotated[float, Field(gt=1)] | None = 3.0
    script: Share | None = 0.5  # at least this share of the letters in the language's own script
    language: Share | None = 0.6  # reject when another language is at least this probable
    numbers: bool = True
    urls: bool = True
    markup: bool = True
    placeholders: bool = True
    repetition: Annotated[int, Field(gt=1)] | None = 4
    mojibake: bool = True
    max_tokens: PositiveCount | None = None  # too long for the model; by default its own limit


class Deduplicate(Section):
    exact: bool = True
    near: Share | None = 0.9  # MinHash estimate of the Jaccard similarity; null = off


class Holdout(Section):
    """How dev and test are cut from the training files. Files given with `use: dev|test` replace the cut."""

    dev: Count | Annotated[float, Field(gt=0, lt=1)] = 1000
    test: Count | Annotated[float, Field(gt=0, lt=1)] = 1000
    by: Literal["random", "length", "domain", "document"] = "random"
    folds: Annotated[int, Field(ge=2)] | None = None  # k-fold: test is fold number `fold`
    fold: Annotated[int, Field(ge=0)] = 0
    near: Share | None = 0.9  # near-duplicates of held-out segments leave the training set

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(
                f"fold {self.fold} does not exist: with folds: {self.folds} they are 0 to {self.folds - 1}"
            )
        return self


class Balance(Section):
    """How often each source and direction is seen. temperature 1 = as it is, above 1 = flatter, weights win."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    weights: dict[str, Annotated[float, Field(ge=0)]] = {}  # by source path, domain or direction


class Prepare(Section):
    parallel: ParallelSources = []
    monolingual: dict[Language, TextSources] = {}
    normalise: Normalise = Normalise()
    checks: Checks = Checks()
    deduplicate: Deduplicate = Deduplicate()
    holdout: Holdout = Holdout()
    balance: Balance = Balance()

    @model_validator(mode="after")
    def _has_input(self) -> Self:
        if not self.parallel and not self.monolingual:
            raise ValueError("names no input: give at least one file under `parallel` or `monolingual`")
        return self


# ---------------------------------------------------------------- model


class NewModel(Section):
    """A Llama-type model from scratch, with a byte-level BPE tokenizer trained on the prepared text."""

    hidden: PositiveCount = 128
    layers: PositiveCount = 4
    heads: PositiveCount = 4
    kv_heads: PositiveCount | None = None
    feed_forward: PositiveCount = 384
    vocabulary: PositiveCount = 8000
    context: PositiveCount = 512
    tie_embeddings: bool = True

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(f"hidden {self.hidden} must be an even multiple of heads {self.heads}")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}")
        return self


class ModelSection(Section):
    base: str | None = None  # a hub id or a local folder (or the folder of an earlier run)
    new: NewModel | None = None
    revision: str | None = None
    prompt: str = "auto"  # auto, chat, compact, or the name of a published template (docs/model.md)

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.base is None) == (self.new is None):
            raise ValueError("needs exactly one of `base` (a hub id or folder) and `new` (a model from scratch)")
        return self


# ---------------------------------------------------------------- plan, train


class Plan(Section):
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: PositiveCount | None = None
    memory: Annotated[float, Field(gt=0)] | None = None  # GiB that may be used; default: what the machine has
    hours: Annotated[float, Field(gt=0)] | None = None  # refuse a run that would take longer


class Lora(Section):
    method: Literal["lora"] = "lora"
    rank: PositiveCount = 16
    alpha: Annotated[float, Field(gt=0)] | None = None  # default 2 x rank
    dropout: Share = 0.0
    targets: Literal["all-linear"] | list[str] = "all-linear"


class Sft(Section):
    """Supervised fine-tuning: loss on the target's tokens and the end token only."""

    epochs: Annotated[float, Field(gt=0)] = 3.0
    tokens: PositiveCount | None = None  # stop after so many tokens (prompt and target); wins over epochs
    directions: list[Pair] | None = None  # default: the recipe's pairs
    batch_tokens: PositiveCount | Literal["auto"] = "auto"  # tokens (padding included) in one forward pass
    accumulation: PositiveCount = 1  # forward passes per optimiser step
    packing: Literal["auto", "sorted", "packed"] = "auto"
    optimiser: Literal["auto", "adamw", "muon"] = "auto"
    learning_rate: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    schedule: Literal["cosine", "linear", "constant", "inverse_sqrt"] = "cosine"
    warmup: Annotated[float, Field(ge=0)] = 0.05  # below 1 a share of all steps, else a number of steps
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    compile: bool | Literal["auto"] = "auto"
    evaluate_every: PositiveCount | Literal["auto"] = "auto"  # optimiser steps
    evaluate_sentences: PositiveCount = 200  # dev sentences that are translated for the curve
    checkpoint_every: PositiveCount | Literal["auto"] = "auto"
    keep: Annotated[int, Field(ge=2)] = 2  # checkpoints kept besides the best
    patience: PositiveCount | None = None  # stop after so many evaluations without a better dev chrF


class Phase(Section):
    """One training phase: exactly one of its kinds, and what moves."""

    sft: Sft | None = None
    adapt: Literal["full"] | Lora = "full"

    @model_validator(mode="before")
    @classmethod
    def _empty_kind(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("sft", 0) is None:
            return {**value, "sft": {}}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.sft is None:
            raise ValueError("a phase needs its kind: `sft: {...}`")
        return self

    @property
    def kind(self) -> str:
        return "sft"


# ---------------------------------------------------------------- evaluate


class Decoding(Section):
    beam: PositiveCount = 1
    length_penalty: float = 1.0  # beam search: score / length ** penalty
    max_ratio: Annotated[float, Field(gt=0)] = 2.0  # at most this many new tokens per source token ...
    max_extra: Count = 20  # ... plus so many
    batch_tokens: PositiveCount | Literal["auto"] = "auto"


class Evaluate(Section):
    metrics: list[Literal["bleu", "chrf", "ter"]] = ["bleu", "chrf", "ter"]
    sets: list[Literal["dev", "test"]] = ["dev", "test"]
    files: ParallelSources = []  # further test files; their segments must not stand in the training set
    decode: list[Decoding] = [Decoding()]
    bootstrap: PositiveCount = 1000
    randomisation: PositiveCount = 10000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    max_segments: PositiveCount | None = None
    must_gain: dict[Literal["bleu", "chrf", "ter"], float] = {}  # else the run ends with an error


class Recipe(Section):
    """A whole recipe. An absent section skips its stage."""

    name: str = "run"
    pairs: Annotated[list[Pair], BeforeValidator(_listed), Field(min_length=1)]
    seed: int = 7
    prepare: Prepare | None = None
    model: ModelSection | None = None
    plan: Plan = Plan()
    train: Annotated[list[Phase], BeforeValidator(_listed)] = []
    evaluate: Evaluate | None = None

    _folder: Path = PrivateAttr(default=Path())

    @property
    def languages(self) -> list[str]:
        """All languages of the pairs, in order of first appearance."""
        return list(dict.fromkeys(code for pair in self.pairs for code in (pair.source, pair.target)))

    def resolve(self, path: str) -> str:
        """A path of the recipe as seen from here: relative ones start at the recipe's own folder; URLs stay."""
        if re.match(r"[a-zA-Z][\w+.-]*:", path) or Path(path).is_absolute():
            return path
        return str(self._folder / path)

    @classmethod
    def load(cls, path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
        """Read and check a recipe; `overrides` are `section.key=value` strings. Raises RecipeError."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise RecipeError(f"{path}: no such recipe. `dragoman new NAME --pair en-fr` writes one.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: cannot be read as UTF-8 text: {error}") from None
        return cls.parse(text, str(path), overrides, path.parent)

    @classmethod
    def parse(cls, text: str, name: str = "recipe", overrides: Sequence[str] = (), folder: Path = Path()) -> Recipe:
        """Check a recipe's text. `name` stands in messages; relative paths start at `folder`."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            data = YAML(typ="rt").load(io.StringIO(text))
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{name}:{mark.line + 1}" if mark else name
            raise RecipeError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
        if not isinstance(data, dict):
            raise RecipeError(f"{name}:1: a recipe is a mapping of sections (name, pairs, prepare, model, train, ...)")
        overridden = {tuple(_apply(data, override)) for override in overrides}
        try:
            recipe = cls.model_validate(_plain(data))
        except ValidationError as error:
            lines = [_explain(cls, data, name, overridden, problem) for problem in error.errors()]
            raise RecipeError("\n".join(dict.fromkeys(lines))) from None
        recipe._folder = folder
        return recipe


def _apply(data: Any, override: str) -> list[str | int]:
    """Set one `a.b.0.c=value` in place and return its path."""
    from ruamel.yaml import YAML

    key, separator, value = override.partition("=")
    if not separator or not key.strip():
        raise RecipeError(f"'{override}': an override is written section.key=value, for example train.0.sft.epochs=3")
    path: list[str | int] = [int(part) if part.isdigit() else part for part in key.strip().split(".")]
    node = data
    for here, following in zip(path, path[1:], strict=False):
        if isinstance(node, list) and (not isinstance(here, int) or here >= len(node)):
            raise RecipeError(f"'{override}': the list before '{here}' has {len(node)} entries, numbered from 0")
        if isinstance(node, dict) and node.get(here) is None:
            node[here] = [] if isinstance(following, int) else {}
        node = node[here]
        if not isinstance(node, dict | list):
            raise RecipeError(f"'{override}': '{here}' holds a single value, so it has no key '{following}'")
    last = path[-1]
    parsed = YAML(typ="safe").load(io.StringIO(value)) if value.strip() else None
    if isinstance(node, list):
        if not isinstance(last, int) or last > len(node):
            raise RecipeError(f"'{override}': the list has {len(node)} entries, numbered from 0")
        node[last : last + 1] = [parsed]
    else:
        node[last] = parsed
    return path


def _plain(node: Any) -> Any:
    """ruamel's annotated containers and scalars as plain Python values."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _line(data: Any, path: Sequence[str | int]) -> int:
    """The 1-based line of the deepest part of `path` that the file really has."""
    line = 0
    for key in path:
        marks = getattr(data, "lc", None)
        if isinstance(data, dict) and key in data and marks is not None and key in (marks.data or {}):
            line = marks.data[key][0]
        elif isinstance(data, list) and isinstance(key, int) and key < len(data) and marks is not None and marks.data:
            line = marks.data.get(key, (line,))[0]
        else:
            break
        data = data[key]
    return line + 1


def _real_path(data: Any, path: Sequence[str | int]) -> list[str | int]:
    """pydantic's location without the names of union members, which stand in no file."""
    real: list[str | int] = []
    for position, key in enumerate(path):
        if isinstance(data, dict) and (key in data or position == len(path) - 1):
            if key in data or not re.search(r"[\[\]()]|^[A-Z]|^(int|float|str|literal)", str(key)):
                real.append(key)
            data = data.get(key)
        elif isinstance(data, list) and isinstance(key, int) and key < len(data):
            real.append(key)
            data = data[key]
    return real


def _known_keys(path: Sequence[str | int]) -> list[str]:
    """The keys that may stand at a place in a recipe (for suggestions)."""
    kinds: list[type[Section]] = [Recipe]
    for key in path:
        following: list[type[Section]] = []
        for kind in kinds:
            if isinstance(key, int):
                following.append(kind)
            elif key in kind.model_fields:
                following += _sections(kind.model_fields[key].annotation)
        kinds = following or kinds
    return [key for kind in kinds for key in kind.model_fields]


def _sections(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _sections(part)]


def _explain(model: type[Recipe], data: Any, name: str, overridden: set[tuple[str | int, ...]], problem: Any) -> str:
    location = list(problem["loc"])
    path = _real_path(data, location)
    dotted = ".".join(str(part) for part in path)
    where = "command line" if tuple(path) in overridden else f"{name}:{_line(data, path)}"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), _known_keys(path[:-1]), n=1)
        hint = f" Did you mean '{near[0]}'?" if near else f" Known here: {', '.join(_known_keys(path[:-1]))}."
        return f"{where}: {dotted}: unknown key.{hint}"
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if problem["type"] == "missing" or isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
    return f"{where}: {dotted or 'recipe'}: {message}{given}"

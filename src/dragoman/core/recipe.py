"""The recipe: one YAML file, one strict model per stage.

Unknown keys, wrong types and impossible values are all reported at once, each with its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from dragoman.core.languages import Direction
from dragoman.core.languages import tag as language_tag
from dragoman.core.recipe_text import RecipeText, dump
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


def _off(value: object) -> object:
    """`false` switches a check off as `null` does."""
    return None if value is False else value


def _listed(value: object) -> object:
    return value if isinstance(value, list) or value is None else [value]


def _source(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


Count = Annotated[int, BeforeValidator(_count), Field(ge=0)]
PositiveCount = Annotated[int, BeforeValidator(_count), Field(gt=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Language = Annotated[str, BeforeValidator(_language)]
Pair = Annotated[Direction, BeforeValidator(_direction), PlainSerializer(str, when_used="json")]


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
    """Thresholds of the checks on one pair; `null` switches a check off. Lengths are in script-aware units."""

    empty: bool = True
    identical: bool = True
    max_length: Annotated[float, Field(gt=0)] | None = 250.0  # words of English, or what says as much elsewhere
    length_ratio: Annotated[float, Field(gt=1)] | None = 3.0
    script: Share | None = 0.5  # at least this share of the letters in the language's own script
    language: Share | None = 0.8  # reject when another language is at least this probable
    numbers: Annotated[PositiveCount | None, BeforeValidator(_off)] = 2  # reject when so many stand on one side only
    urls: bool = True
    markup: bool = True
    placeholders: bool = True
    repetition: Annotated[int, Field(gt=1)] | None = 4  # reject when words repeat more than so many times in a row
    mojibake: bool = True
    # Learned from the corpus itself, from 1,000 pairs of two languages on: reject when a model is at least so sure
    alignment: Share | None = 0.8  # that the sides do not translate each other
    coverage: Share | None = 0.95  # that one side lacks a part of the other
    max_tokens: PositiveCount | None = None  # prompt and answer, counted when training starts; by default the context


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
    _file: str = PrivateAttr(default="")

    @field_validator("pairs")
    @classmethod
    def _each_once(cls, pairs: list[Direction]) -> list[Direction]:
        twice = [str(pair) for number, pair in enumerate(pairs) if pair in pairs[:number]]
        if twice:
            raise ValueError(f"{', '.join(twice)} stands there twice")
        return pairs

    @property
    def folder(self) -> Path:
        """Where the recipe's relative paths start."""
        return self._folder

    @property
    def file(self) -> str:
        """The name of the file that it was read from; empty when there is none."""
        return self._file

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
        recipe = cls.parse(text, str(path), overrides, path.parent)
        recipe._file = path.name
        return recipe

    @classmethod
    def parse(cls, text: str, name: str = "recipe", overrides: Sequence[str] = (), folder: Path = Path()) -> Recipe:
        """Check a recipe's text. `name` stands in messages; relative paths start at `folder`."""
        source = RecipeText.read(text, name, overrides)
        try:
            recipe = cls.model_validate(source.plain)
        except ValidationError as error:
            raise RecipeError("\n".join(source.explain(error.errors(), _known_keys))) from None
        recipe._folder = folder
        return recipe

    def to_yaml(self) -> str:
        """The whole recipe as YAML, every default written out. `parse` reads the same recipe back."""
        return dump(self.model_dump(mode="json"))


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

"""`prepare`: the inputs, and what is done with them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dragoman.core.recipe.values import Count, Language, Pair, PositiveCount, Section, Share, listed, off


def _source(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


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
    licence: str | None = None  # for the data statement; changes nothing else
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
    licence: str | None = None  # for the data statement; changes nothing else
    document: str | int | None = None
    limit: PositiveCount | None = None


ParallelSources = Annotated[list[Annotated[ParallelSource, BeforeValidator(_source)]], BeforeValidator(listed)]
TextSources = Annotated[list[Annotated[TextSource, BeforeValidator(_source)]], BeforeValidator(listed)]


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
    numbers: Annotated[PositiveCount | None, BeforeValidator(off)] = 2  # reject when so many stand on one side only
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
        if self.folds is None and self.fold:
            raise ValueError(f"fold {self.fold} is given without `folds`, the number of folds")
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

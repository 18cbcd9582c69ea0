"""Rows of a phase that are encoded once: `plan` keeps them in the run's folder, and `train`, a run that goes on and every
process map them from there. `train` removes them when its last phase is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from dragoman.core.corpus.splits import SPLITS
from dragoman.core.prompt.prompts import Rendered
from dragoman.core.recipe.training import Training
from dragoman.engine.batch import Corpus
from dragoman.engine.encoder import Encoder
from dragoman.engine.general_text import general_text
from dragoman.engine.phase_data import Inputs, read_besides
from dragoman.engine.setup import token_limit
from dragoman.errors import DragomanError
from dragoman.store.corpus import encoded
from dragoman.store.run.artifact import digest, file_digest, versions

_PROMPTS = TypeAdapter(list[Rendered])
_LEAST = 1 << 18  # bytes of texts: fewer are encoded as fast as they are kept and found
_ELSEWHERE = frozenset({"name", "plan", "train", "evaluate", "deploy", "monitor", "log", "study", "search"})


@dataclass(frozen=True)
class EncodedRows:
    """Corpora by name, and JSON values about them."""

    corpora: Mapping[str, Corpus]
    facts: Mapping[str, Any] = field(default_factory=dict)


def once(inputs: Inputs, what: str, make: Callable[[], EncodedRows]) -> EncodedRows:
    """What `make` gives, from the run's folder where it was made before of the very same things."""
    made_of = key(inputs, what) if _size(inputs) >= _LEAST else None
    if made_of is None:
        return make()
    entry = inputs.texts.parent / encoded.FOLDER / f"{what}-{made_of[:32]}"
    if (found := _read(entry)) is not None:
        return found
    made = make()
    arrays = {
        f"{name}.{one.name}": array
        for name, corpus in made.corpora.items()
        for one in fields(corpus)
        if (array := getattr(corpus, one.name)) is not None
    }
    try:
        encoded.write(entry, made.facts, arrays)
    except OSError as error:
        inputs.listener.warn(f"{entry}: the encoded rows cannot be kept ({error}), so every start encodes them again")
        return made
    return _read(entry) or made


def general(inputs: Inputs) -> Corpus | None:
    """Held-out general text, where a guard rail of the phase needs it."""
    if inputs.phase.stop_if is None:
        return None

    def make() -> EncodedRows:
        found = general_text(inputs.recipe, inputs.loaded, inputs.texts)
        return EncodedRows({} if found is None else {"general": found})

    return once(inputs, "general", make).corpora.get("general")


def shown_json(examples: list[Rendered]) -> list[Any]:
    """Prompts that are to be shown, as JSON values."""
    found: list[Any] = _PROMPTS.dump_python(examples, mode="json")
    return found


def shown(values: list[Any]) -> list[Rendered]:
    """The prompts of `shown_json`."""
    return _PROMPTS.validate_python(values)


def key(inputs: Inputs, what: str) -> str | None:
    """A digest of all that the rows depend on: texts and other files, tokenizer and prompt, lengths, the recipe but for what
    is not about rows, and the versions of the code. None where not all of it can be told."""
    recipe, phase, loaded = inputs.recipe, inputs.phase, inputs.loaded
    tokenized = Encoder(loaded.tokenizer, loaded.card.prompt).fingerprint
    if tokenized is None:
        return None
    try:
        others = read_besides(recipe, phase, inputs.texts.parent)
    except DragomanError:  # something is missing: the phase itself says what
        return None
    folders = [inputs.texts / name for name in (*SPLITS, "text")] + [one for one in [inputs.made] if one is not None]
    return digest(
        what,
        versions(),
        tokenized,
        [loaded.context, token_limit(recipe, loaded)],
        recipe.model_dump(mode="json", exclude=set(_ELSEWHERE)),
        [phase.kind, phase.section.model_dump(mode="json", exclude=set(Training.model_fields))],
        [file_digest(folder) if folder.is_dir() else "" for folder in folders],
        others,
    )


def _size(inputs: Inputs) -> int:
    """Bytes of the files that the rows are made of."""
    folders = [inputs.texts / "train", inputs.texts / "text", *([inputs.made] if inputs.made is not None else [])]
    files = [file for folder in folders for file in folder.rglob("*.parquet")]
    files += [Path(inputs.recipe.resolve(name)) for name in inputs.phase.section.files]
    return sum(file.stat().st_size for file in files if file.is_file())


def _read(entry: Path) -> EncodedRows | None:
    found = encoded.read(entry)
    if found is None:
        return None
    facts, arrays = found
    corpora: dict[str, dict[str, Any]] = {}
    for place, array in arrays.items():
        name, _, part = place.rpartition(".")
        corpora.setdefault(name, {})[part] = array
    return EncodedRows({name: Corpus(**parts) for name, parts in corpora.items()}, facts)

"""What a phase of any kind starts from and trains on: its model, its settings, its stream, what became of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.listen import SILENT, Listener
from dragoman.core.prompt.prompts import Rendered
from dragoman.core.recipe import Phase, Recipe
from dragoman.engine.batch import Corpus, Stream
from dragoman.engine.device import Hardware, Precision
from dragoman.engine.mixture import Mixture
from dragoman.engine.moving import ALL, SEEDS, Movement
from dragoman.engine.setup import Settings
from dragoman.errors import ModelError
from dragoman.store.formats import readers
from dragoman.store.memory.examples import looked_into
from dragoman.store.run.artifact import file_digest

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded


def read_besides(recipe: Recipe, phase: Phase, run: Path) -> list[str]:
    """Digests of the texts that a phase of the run reads besides the prepared ones: files, memory, glossary."""
    use = phase.section.looks_into
    looked = [*looked_into(recipe, run, *use).values()] if use is not None else []
    files = [Path(file) for name in phase.section.files for file in readers.files_of(name, recipe)]
    return looked + [file_digest(file) for file in files if file.exists()]


@dataclass(frozen=True)
class Inputs:
    """What a phase starts from."""

    recipe: Recipe
    phase: Phase
    loaded: Loaded
    texts: Path  # the prepared texts
    hardware: Hardware
    fresh: bool  # the model has not been trained yet
    made: Path | None = None  # the folder of the synthetic rows
    planned: Mapping[str, Any] | None = None  # the settings that `plan` wrote down, which are followed
    listener: Listener = SILENT
    made_here: Path | None = (
        None  # where the phase keeps what it makes itself (candidates ...); None while it is only planned
    )


@dataclass
class Material:
    """A stream that is ready to be read, and the figures about it. Rows are counted by direction, in a hybrid phase by
    task and language or direction."""

    chosen: Settings
    stream: Stream | Mixture
    rows: Mapping[str, int]
    too_long: Mapping[str, int]
    examples: list[Rendered]  # some rows, to be shown
    tokens_per_epoch: int  # of a hybrid phase: of all tasks together
    longest: int  # tokens of the longest row
    directions: Mapping[str, int] = field(default_factory=dict)  # translation rows
    dropped: Mapping[str, int] = field(default_factory=dict)  # rows that a task cannot use, by reason
    probes: Mapping[str, Corpus] = field(default_factory=dict)
    general: Corpus | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)  # of an epoch, by task
    assists: Mapping[str, Any] = field(default_factory=dict)  # what stands beside the sentences, counted
    marked: int = 0  # prompts with markers in place of tags and placeholders
    held: Any = None  # what no step sees, for the watchers of its kind

    @property
    def translates(self) -> bool:
        """Whether the phase trains translation, so that the development sample tells of it."""
        return bool(self.directions)


def trainable(
    loaded: Loaded, phase: Phase, seeds: SEEDS, steps: int, precision: Precision = "fp32"
) -> tuple[Any, Movement]:
    """The model as the phase trains it, with adapters, dropout and noise where it wants them, and which of its weights move
    when; `loaded` is changed. `seeds`: of the recipe, and the number of the phase, which has so many `steps`."""
    from dragoman.engine import fp8, scalar_head, virtual_tokens
    from dragoman.engine.adapt import adapted
    from dragoman.engine.dropout import add_dropout
    from dragoman.engine.neftune import add_noise

    if virtual_tokens.of(loaded.model) is not None:
        raise ModelError(
            "train: the base has learned tokens of prefix or prompt tuning, which cannot be merged into it, so no phase can "
            "go on from it. Name the base of that adapter as `model.base`, or tune with `adapt: {method: lora}`."
        )
    model, movement = adapted(loaded.model, phase.adapt, seeds, steps) if phase.adapt != "full" else (loaded.model, ALL)
    if phase.training.headed:
        scalar_head.attach(model)
    add_dropout(loaded.model, phase.training.dropout)
    add_noise(loaded.model, phase.training.neftune)
    if precision == "fp8":
        fp8.convert(loaded.model)
    return model, movement

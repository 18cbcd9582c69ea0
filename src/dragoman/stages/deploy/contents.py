"""What goes into a bundle besides its manifest: the model in its formats, and what the run knows."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman import report
from dragoman.core.recipe import Deploy, Recipe
from dragoman.core.text.languages import Direction
from dragoman.errors import ModelError
from dragoman.store.memory.glossary import glossary_file
from dragoman.store.memory.translation_memory import memory_file
from dragoman.store.run.artifact import Artifact, digest, versions, write_atomic, write_json
from dragoman.store.run.bundle import SHELL
from dragoman.store.run.confidence import FILE as CALIBRATION
from dragoman.store.run.trained import help_of

if TYPE_CHECKING:
    from dragoman.core.ports import Backend

Row = Mapping[str, str]  # direction, source, reference
_ADAPTER = "adapter_config.json"
_MEASURED = (
    "load_seconds", "sentences_per_second", "characters_per_second", "p50", "p95", "peak_memory", "description",
)  # fmt: skip


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measured(trial: Mapping[str, Any]) -> dict[str, Any]:
    return {key: trial[key] for key in _MEASURED}


def write_shell(model: Path, bundle: Path) -> None:
    """Configuration, tokenizer and card, without weights: enough to write prompts for any engine."""
    from dragoman.engine import load

    shell = load.load_shell(model)
    folder = bundle / SHELL
    shell.config.save_pretrained(folder)
    _write_ends(folder, shell.ends)
    load.save_tokenizer(folder, replace_card(shell))


def replace_card(model: Any) -> Any:
    """The shell or loaded model with a card for other places: no way to a base beside it, no path of this machine."""
    facts = {key: value for key, value in (model.card.facts or {}).items() if key != "adapter_of"}
    return replace(model, card=replace(model.card, base=public_name(model.card.base), facts=facts))


def public_name(base: str) -> str:
    """A hub id as it is, a folder by its name."""
    return base if base.count("/") == 1 and not base.startswith((".", "/", "~")) else Path(base).name


def _write_ends(folder: Path, ends: tuple[int, ...]) -> None:
    write_json(folder / "generation_config.json", {"eos_token_id": list(ends) if len(ends) != 1 else ends[0]})


def export(model: Path, form: str, where: Path, texts: Callable[[], Sequence[Row]] = tuple) -> dict[str, Any]:
    """Write one format. `texts`: rows of train. Raises ModelError where it would come out different."""
    from dragoman.backends import export as exports
    from dragoman.engine import packed

    if form == "adapter":
        return _adapter(model, where)
    if form in packed.METHODS:
        return _packed(model, form, where, texts())
    if not form.startswith("hf"):
        return exports.export(model, form, where)
    import torch

    from dragoman.engine import load

    exports.require_merged(model, form)
    loaded = replace_card(load.load(model))
    if form == "hf-bf16":
        loaded = replace(loaded, model=loaded.model.to(torch.bfloat16))
    load.save(where, loaded)
    how = load.Card.read(where).tokenizer
    return {"tokenizer": "AutoTokenizer" if how == "auto" else "PreTrainedTokenizerFast"}


def _packed(model: Path, form: str, where: Path, texts: Sequence[Row]) -> dict[str, Any]:
    """Weights in 4 bits, calibrated with rows of train as the model reads and writes them."""
    from dragoman.backends import export as exports
    from dragoman.core.prompt.prompts import render
    from dragoman.engine import autoround, load
    from dragoman.engine.encoder import Encoder

    exports.require_merged(model, form)
    loaded = replace_card(load.load(model))
    ends, encoder = loaded.shell.ends, Encoder(loaded.tokenizer, loaded.card.prompt)
    asked = [render(encoder.form, Direction.parse(r["direction"]), r["source"], r["reference"]) for r in texts]
    made = autoround.export(loaded, where, form, [ids for ids, _ in encoder.encode(asked)])
    load.save_tokenizer(where, loaded)
    _write_ends(where, ends)
    return made


def _adapter(model: Path, where: Path) -> dict[str, Any]:
    """The adapter as PEFT reads it; its base is named, and not in the bundle."""
    from dragoman.engine import load

    if not (model / _ADAPTER).is_file():
        raise ModelError(
            "the run's model is a whole one: there was no adapter, or it was merged into the weights. Train with "
            "`adapt: {merge: false}`, or deploy `hf`."
        )
    shell = replace_card(load.load_shell(model))
    where.mkdir(parents=True, exist_ok=True)
    about = json.loads((model / _ADAPTER).read_text(encoding="utf-8"))
    write_json(where / _ADAPTER, {**about, "base_model_name_or_path": shell.card.base})
    for file in model.glob("adapter_model*.safetensors"):
        shutil.copyfile(file, where / file.name)
    load.save_tokenizer(where, shell)
    return {"base": shell.card.base, "peft_type": about.get("peft_type")}


def with_plain_peft(adapter: Path, model: Path, threads: int | None) -> Backend:
    """The base of the run's model with the exported adapter over it, as PEFT itself loads it. Learned tokens go
    before the prompt by our own code, since PEFT's would be read again at every step."""
    from peft import PeftModel

    from dragoman.backends.own import Transformers
    from dragoman.engine import load, virtual_tokens
    from dragoman.engine.device import DTYPES, detect, use
    from dragoman.engine.tokenizer import load_tokenizer

    card = load.Card.read(model)
    device = use(detect(threads))
    base = load.load_model(model / str((card.facts or {})["adapter_of"]), dtype=DTYPES["fp32"], device=device)
    whole: Any = virtual_tokens.read(adapter, base)
    if whole is None:
        with load.peft_at_peace():
            whole = PeftModel.from_pretrained(base, str(adapter)).eval()
    own = load.Card.read(adapter)
    return Transformers(load.Loaded(whole, load_tokenizer(adapter, own.tokenizer), own))


def write_run(
    run: Path, bundle: Path, trained: Artifact, recipe: Recipe, settings: Deploy, record: Mapping[str, Any]
) -> None:
    """Calibration, memory, glossary and the model card."""
    del trained, recipe
    if (run / "evaluate" / CALIBRATION).is_file():
        (bundle / "evaluate").mkdir(exist_ok=True)
        shutil.copyfile(run / "evaluate" / CALIBRATION, bundle / "evaluate" / CALIBRATION)
    if settings.memory and glossary_file(run).is_file():
        glossary_file(bundle).parent.mkdir(exist_ok=True)
        shutil.copyfile(glossary_file(run), glossary_file(bundle))
    if settings.memory and memory_file(run).is_file():
        memory_file(bundle).parent.mkdir(exist_ok=True)
        with (
            closing(sqlite3.connect(memory_file(run))) as source,
            closing(sqlite3.connect(memory_file(bundle))) as copy,
        ):
            source.backup(copy)  # whole, whoever writes into it meanwhile
    write_atomic(bundle / "README.md", report.bundle_card(run, record).encode())
    report.write_factsheet(run, bundle)


def provenance(recipe: Recipe, trained: Artifact, model: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Where the bundle comes from, and what its model can use in a prompt."""
    from dragoman.engine.load import Card

    card = Card.read(model)
    shots, terms = help_of(trained.folder.parent)
    return {
        "name": recipe.name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "stage": trained.stage,
        "key": trained.key,
        "recipe": digest(recipe.to_yaml()),
        "base": public_name(card.base),
        "licence": card.licence,
        "directions": list(card.directions),
        "prompt": card.prompt.name,
        "help": {"shots": shots, "terms": terms},
        "screened": recipe.screened,
        "gate": record["gate"],
        "versions": versions(),
    }

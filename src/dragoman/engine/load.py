"""Model + tokenizer + prompt: one folder in the hub's layout, with `dragoman.json` beside it.

Weights are read from safetensors or GGUF only, and no code from a hub is ever run.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from dragoman.core.prompt.prompts import Format
from dragoman.core.recipe import Normalise
from dragoman.core.text.languages import Direction
from dragoman.engine import gguf, quantise
from dragoman.engine.tokenizer import ids_of, load_tokenizer
from dragoman.errors import ModelError, first, first_line
from dragoman.store.run.artifact import readable, write_json
from dragoman.store.run.linked import check_linked

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CARD = "dragoman.json"
# How a reloaded tokenizer is compared with the one that was saved: cases that AutoTokenizer is known to change.


@dataclass(frozen=True)
class Card:
    """What a model folder says of itself: prompt, provenance, licence. Written by stages, never by hand."""

    prompt: Format
    directions: tuple[str, ...] = ()
    base: str = ""  # hub id, folder name, or "new"
    licence: str | None = None
    tokenizer: str = "auto"  # "auto", or "file" where AutoTokenizer would change the ids
    facts: Mapping[str, Any] | None = None
    normalise: Normalise = field(default_factory=Normalise)  # done to its training texts, and to all that it is given

    def write(self, folder: Path) -> None:
        write_json(
            folder / CARD,
            {
                "prompt": self.prompt.to_json(),
                "directions": list(self.directions),
                "base": self.base,
                "licence": self.licence,
                "tokenizer": self.tokenizer,
                "facts": dict(self.facts or {}),
                "normalise": self.normalise.model_dump(),
            },
        )

    @classmethod
    def read(cls, folder: Path) -> Card:
        try:
            data = json.loads((folder / CARD).read_text(encoding="utf-8"))
            return cls(
                Format.from_json(data["prompt"]),
                tuple(data["directions"]),
                data["base"],
                data["licence"],
                data["tokenizer"],
                data["facts"],
                Normalise.model_validate(data.get("normalise", {})),  # folders of the first version have none
            )
        except FileNotFoundError:
            raise ModelError(
                f"{folder}: has no {CARD}; it is no model that dragoman made. Name it as `model.base`."
            ) from None
        except (ValueError, KeyError) as error:
            raise ModelError(f"{folder / CARD}: damaged ({error}).") from None


@dataclass(frozen=True)
class Shell:
    """What a model folder holds besides the weights: enough to write prompts for whichever engine has those."""

    config: Any
    ends: tuple[int, ...]  # tokens that end a text, as the model's own configuration of generation says
    tokenizer: PreTrainedTokenizerBase
    card: Card
    learned: int = 0  # tokens that prefix or prompt tuning has put before every prompt

    @property
    def context(self) -> int:
        """Tokens that a sequence may have."""
        return int(getattr(self.config, "max_position_embeddings", 2048)) - self.learned

    @property
    def pad(self) -> int:
        """The token that fills short rows; no real token ever sees it."""
        found = self.tokenizer.pad_token_id
        return int(self.tokenizer.eos_token_id if found is None else found)

    @property
    def directions(self) -> list[Direction]:
        """The directions that the model was made for."""
        return [Direction.parse(text) for text in self.card.directions]

    def text(self, ids: Sequence[int]) -> str:
        """The text of generated tokens, without control tokens and without blanks around it."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()


@dataclass(frozen=True)
class Loaded:
    """A model ready for work, its tokenizer and its card."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    card: Card

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    @property
    def shell(self) -> Shell:
        """All but the weights."""
        from dragoman.engine import virtual_tokens

        own = getattr(self.model.generation_config, "eos_token_id", None)
        learned = virtual_tokens.of(self.model)
        return Shell(self.model.config, _several(own), self.tokenizer, self.card, learned.count if learned else 0)

    @property
    def context(self) -> int:
        """Tokens that a sequence may have."""
        return self.shell.context

    @property
    def pad(self) -> int:
        """The token that fills short rows; no real token ever sees it."""
        return self.shell.pad


def load(
    folder: Path,
    *,
    dtype: torch.dtype | str = torch.float32,
    device: torch.device | str = "cpu",
    quantised: quantise.Quantise | None = None,
    merge: bool = True,
) -> Loaded:
    """Load a folder that dragoman made; `dtype="auto"` keeps the precision that the weights are saved in. An adapter is
    merged into its base where it can be; without `merge` it stays beside it, and no weight of the base is copied. Raises
    ModelError with what is missing."""
    card = Card.read(folder)
    if base := (card.facts or {}).get("adapter_of"):
        from dragoman.engine import virtual_tokens

        if quantised:
            raise ModelError(
                f"{folder}: is an adapter beside its base, and only a whole model can be quantised. Set `merge: true` in "
                "the phase that made it, or take out `model.quantise`."
            )
        model = _with_adapter(load_model(folder / str(base), dtype=dtype, device=device), folder, merge)
        if merge and virtual_tokens.of(model) is None:
            card = replace(card, facts={key: value for key, value in (card.facts or {}).items() if key != "adapter_of"})
        return Loaded(model, load_tokenizer(folder, card.tokenizer), card)
    model = load_model(folder, dtype=dtype, device=device, quantised=quantised)
    return Loaded(model, load_tokenizer(folder, card.tokenizer), card)


def load_shell(folder: Path) -> Shell:
    """What a folder that dragoman made holds besides its weights, which need not be there. Raises ModelError."""
    from transformers import AutoConfig

    card = Card.read(folder)
    base = folder / str((card.facts or {}).get("adapter_of") or "")
    try:
        config = AutoConfig.from_pretrained(str(base), trust_remote_code=False)
        path = base / "generation_config.json"
        own = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.is_file() else None
    except (OSError, ValueError) as error:
        raise ModelError(f"{base}: its configuration cannot be read: {first_line(error)}") from None
    ends = _several(own if own is not None else getattr(config, "eos_token_id", None))
    return Shell(config, ends, load_tokenizer(folder, card.tokenizer), card)


def _several(ids: Any) -> tuple[int, ...]:
    """The end tokens of a configuration, which names none, one or several."""
    return tuple(int(i) for i in (ids if isinstance(ids, list) else [ids]) if i is not None)


def load_model(
    folder: Path,
    *,
    dtype: torch.dtype | str,
    device: torch.device | str = "cpu",
    name: str | None = None,
    quantised: quantise.Quantise | None = None,
    config: Any = None,
) -> PreTrainedModel:
    """The causal language model of a folder, or of a GGUF file (unpacked); `name` is what messages call it. `quantised`:
    its linear layers are quantised while they are read; only adapters can be trained on it. `config`: what it is known to
    be, instead of what the folder or file says."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # how far the work is, the listener says
    check_linked(folder)
    where, single = gguf.place(folder)
    options: dict[str, Any] = {"dtype": dtype} | (gguf.unpacked() if single else {"use_safetensors": True})
    if quantised:
        compute = dtype if isinstance(dtype, torch.dtype) else torch.float32
        options |= {"quantization_config": quantise.configuration(quantised, compute), "device_map": {"": device}}
    try:
        if config is None:
            config = AutoConfig.from_pretrained(where, trust_remote_code=False, **single)
        else:
            options["config"] = config
        if getattr(config, "is_encoder_decoder", False):
            raise ModelError(
                f"{name or folder}: is an encoder-decoder model ({config.model_type}), and dragoman trains decoders only. "
                "Choose a causal language model (Llama, Gemma, Qwen, SmolLM and the like) as `model.base`."
            )
        with _whole(name or folder):
            model, info = AutoModelForCausalLM.from_pretrained(
                where, trust_remote_code=False, output_loading_info=True, **options, **single
            )
    except (OSError, ValueError, KeyError) as error:
        kind = "GGUF" if single else "safetensors"
        raise ModelError(
            f"{name or folder}: cannot be loaded as a causal language model from {kind}: {first_line(error)}"
        ) from None
    _require_complete(name or folder, info)
    if single:
        gguf.as_ordinary(model)
    if quantised:
        quantise.own(model)
        quantise.trainable(model)
        return model
    return model.to(device)


def _require_complete(name: Path | str, info: Mapping[str, Any]) -> None:
    """Refuse weights that the architecture lacks or that the checkpoint lacks: transformers would make them up, or drop
    them. Tied weights and what the architecture itself declares to be of no use are not counted (transformers)."""
    for kind, what in (
        ("missing_keys", "has no weights for"),
        ("unexpected_keys", "has weights that its architecture has no place for:"),
    ):
        if keys := sorted(info.get(kind) or ()):
            shown = first(keys)
            raise ModelError(
                f"{name}: {what} {shown}. Its config.json does not describe these weights; fetch the model again, or "
                "choose one whose `architectures` is a causal language model."
            )


@contextmanager
def _whole(name: Path | str) -> Iterator[None]:
    """Raise ModelError where weights that are read inside are damaged."""
    try:
        yield
    except SafetensorError as error:
        raise ModelError(
            f"{name}: its weights are damaged ({error}). Fetch them again, or make the stage of the run again with --force."
        ) from None


def save(folder: Path, loaded: Loaded) -> None:
    """Write model, tokenizer and card, reload the tokenizer, and check that it still gives the same ids.

    A custom tokenizer beside some architectures is reloaded by AutoTokenizer with another splitter; the card then says
    that tokenizer.json is to be taken as it is.
    """
    from dragoman.engine import virtual_tokens

    if virtual_tokens.of(loaded.model) is not None:
        raise ModelError(
            f"{folder}: the learned tokens of prefix and prompt tuning cannot be merged into their base, so there is no "
            "whole model to write. Keep base and adapter together, or tune with `adapt: {method: lora}`."
        )
    folder.mkdir(parents=True, exist_ok=True)
    loaded.model.save_pretrained(folder)
    readable(folder)
    save_tokenizer(folder, loaded)


def save_tokenizer(folder: Path, loaded: Loaded) -> None:
    """The tokenizer and the card alone (see `save`)."""
    folder.mkdir(parents=True, exist_ok=True)
    loaded.tokenizer.save_pretrained(folder)
    for how in ("auto", "file"):
        if ids_of(load_tokenizer(folder, how)) == ids_of(loaded.tokenizer):
            replace(loaded.card, tokenizer=how).write(folder)
            return
    raise ModelError(f"{folder}: the saved tokenizer does not give the ids of the one in memory; it cannot be trusted.")


def save_trained(folder: Path, loaded: Loaded, model: Any, weights: Mapping[str, torch.Tensor], base: Path) -> None:
    """Write what training has reached: a whole model in fp32, or the adapter alone with the way to its base.

    `weights` are the trained parameters in full precision; `model` is the transformers model or its PEFT wrapper. A head
    beside the model is not written: it is the business of who has it.
    """
    from dragoman.engine import scalar_head, virtual_tokens

    wrapped = hasattr(model, "get_base_model")
    if wrapped or virtual_tokens.of(model) is not None:
        place = os.path.relpath(base, folder)
        if wrapped:
            _save_adapter(folder, model, {**model.state_dict(), **weights}, place)
        else:
            virtual_tokens.write(folder, model, weights[virtual_tokens.NAME], place)
        readable(folder)
        facts = {**(loaded.card.facts or {}), "adapter_of": place}
        save_tokenizer(folder, replace(loaded, card=replace(loaded.card, facts=facts)))
        return
    exact = {id(p): weights[n] for n, p in model.named_parameters() if n in weights}
    own = model.state_dict(keep_vars=True).items()
    state = {n: exact.get(id(t), t) for n, t in own if not scalar_head.is_part(n)}  # tied weights are one parameter
    model.save_pretrained(folder, state_dict=state)
    readable(folder)
    dtype = next(iter(weights.values())).dtype  # of the weights beside it, not of the copy that was trained
    _edit(folder / "config.json", dtype=str(dtype).removeprefix("torch."))
    save_tokenizer(folder, loaded)


def _save_adapter(folder: Path, model: Any, state: dict[str, torch.Tensor], base: str) -> None:
    """Write PEFT's adapter. One that began by taking its first values out of the base (PiSSA) is written as the LoRA of
    twice the rank that changes the untouched base by as much: B A - B0 A0 = [B, -B0] [A; A0]."""
    first: Mapping[str, torch.Tensor] = getattr(model, "first_values", {})
    for name, start in first.items():
        given = state[name].to(start.device)
        state[name] = torch.cat([given, start]) if "lora_A" in name else torch.cat([given, -start], 1)
    model.save_pretrained(folder, state_dict=state)
    config = folder / "adapter_config.json"
    _edit(config, base_model_name_or_path=base)
    if first:
        wish = json.loads(config.read_text(encoding="utf-8"))
        _edit(config, r=2 * wish["r"], lora_alpha=2 * wish["lora_alpha"], init_lora_weights=True)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's blank card; the run's own says what there is to say


def _with_adapter(model: PreTrainedModel, adapter: Path, merge: bool) -> Any:
    """The model with an adapter: merged where that can be, and is wanted."""
    from peft import PeftModel

    from dragoman.engine import virtual_tokens

    if (with_tokens := virtual_tokens.read(adapter, model)) is not None:
        return with_tokens
    with peft_at_peace(), _whole(adapter):
        wrapped = PeftModel.from_pretrained(model, str(adapter))
        return wrapped.merge_and_unload() if merge else wrapped


@contextmanager
def peft_at_peace() -> Iterator[None]:
    """peft still asks transformers by names that are on their way out, sets what GPT-2's Conv1D needs with a warning, and
    warns of tied weights, which are refused here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`past_key_values` is deprecated.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message="The following (rank|alpha)_pattern keys did.*")  # of fused experts
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False.*", category=UserWarning)
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`.*", category=UserWarning)
        yield


def _edit(path: Path, **values: Any) -> None:
    """Set values of a JSON file that another library wrote."""
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | values)


def stored_dtype(folder: Path) -> torch.dtype:
    """The type that a folder's configuration says its weights are in; float32 where it says nothing."""
    text = (folder / "config.json").read_text(encoding="utf-8") if (folder / "config.json").is_file() else "{}"
    found = getattr(torch, str(json.loads(text).get("dtype") or "float32"), torch.float32)
    return found if isinstance(found, torch.dtype) else torch.float32

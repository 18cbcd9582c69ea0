"""Stage 2, model initialisation: a hub id or folder, or a new small model -> model + tokenizer + prompt."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.listen import Listener
from dragoman.core.prompt.prompts import CONTROLS, FORMATS, Format, language_token, named
from dragoman.core.recipe import ModelSection, NewModel, Recipe
from dragoman.core.records import Example, Text
from dragoman.core.text.languages import UNSPACED_SCRIPTS, script
from dragoman.errors import CheckpointError, ModelError
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact, file_digest, model_folder
from dragoman.store.run.hub import fetched, is_hub_id

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

_TOKENIZER_SEGMENTS = 2_000_000  # more text does not change a small vocabulary, only the time
_FERTILITY_SEGMENTS = 2_000


def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
    """Make `out/model`. Facts: folder, new, base, commit, parameters, licence, fertility, prompt, context, vocabulary."""
    from dragoman.engine import layers, load
    from dragoman.engine.linked_model import save_linked

    section = recipe.model
    if section is None:
        raise ModelError("the recipe has no `model` section. Give `model: {base: ID or folder}` or `model: {new: {}}`.")
    texts = inputs.get("prepare")
    if section.new is not None:
        if texts is None:
            raise ModelError(
                "a new model's tokenizer is trained on the prepared text: give the recipe a `prepare` section."
            )
        loaded, commit, source = _new(recipe, section, section.new, texts.folder, listener), None, None
    else:
        loaded, commit, source = _base(recipe, section, texts.folder if texts else None, listener)
    shutil.rmtree(out / "model", ignore_errors=True)  # what is written must not go through a link into the base
    linked = source is not None and save_linked(out / "model", loaded, source)
    if linked:
        listener.say(f"model: the weights stay in {source} and are linked; `dragoman pack` puts them into the run")
    else:
        load.save(out / "model", loaded)
    facts = {
        "folder": "model",
        "new": section.new is not None,
        "base": loaded.card.base,
        "commit": commit,
        "linked": linked,
        "parameters": layers.parameters(loaded.model),
        "licence": loaded.card.licence,
        "architecture": loaded.model.config.model_type,
        "vocabulary": len(loaded.tokenizer),
        "context": getattr(loaded.model.config, "max_position_embeddings", None),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "prompt": loaded.card.prompt.name,
        "prompts_tried": (loaded.card.facts or {}).get("prompts_tried", []),
        "fertility": _fertility(loaded, texts.folder, recipe) if texts else {},
    }
    fertility = ", ".join(f"{code} {value:.2f}" for code, value in facts["fertility"].items())
    listener.say(
        f"model: {facts['architecture']}, {facts['parameters'] / 1e6:.2f}M parameters, "
        f"vocabulary {facts['vocabulary']}, prompt '{facts['prompt']}', licence {facts['licence'] or 'not stated'}"
        + (f"; tokens per word: {fertility}" if fertility else "")
    )
    return Artifact.finish(out, "model", key, facts)


# ---------------------------------------------------------------- a model from scratch


def _new(recipe: Recipe, section: ModelSection, new: NewModel, texts: Path, listener: Listener) -> Loaded:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from dragoman.engine.load import Card, Loaded

    form = FORMATS["compact"] if section.prompt == "auto" else named(section.prompt)
    if form.kind == "chat":
        raise ModelError(
            f"model.prompt: a new model has no chat template, so it cannot use '{form.name}'. Use compact."
        )
    tokenizer = _train_tokenizer(new.vocabulary, recipe.languages, texts, listener)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=new.hidden,
        intermediate_size=new.feed_forward,
        num_hidden_layers=new.layers,
        num_attention_heads=new.heads,
        num_key_value_heads=new.kv_heads or new.heads,
        max_position_embeddings=new.context,
        tie_word_embeddings=new.tie_embeddings,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(recipe.seed)
    model = LlamaForCausalLM(config)
    return Loaded(model, tokenizer, Card(form, tuple(map(str, recipe.pairs)), base="new", normalise=recipe.normalise))


def _train_tokenizer(size: int, languages: list[str], texts: Path, listener: Listener) -> Any:
    """Byte-level BPE (Sennrich et al. 2016) over all languages together, with the control tokens of languages and tasks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    control = [*map(language_token, languages), *CONTROLS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if size < (least := len(alphabet) + len(control) + 3):
        raise ModelError(f"model.new.vocabulary: {size} is too small; bytes and control tokens alone need {least}.")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=["<pad>", "<s>", "</s>", *control],
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    listener.say(f"model: training a byte-level BPE tokenizer of {size} tokens on {', '.join(languages)}")
    bpe.train_from_iterator(itertools.islice(_segments(texts), _TOKENIZER_SEGMENTS), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=control,
        clean_up_tokenization_spaces=False,
    )


def _segments(texts: Path) -> Iterator[str]:
    for example in records.read(texts / "train", Example):
        yield example.source
        yield example.target
    for folder in sorted((texts / "text").glob("*")):
        for text in records.read(folder, Text):
            yield text.text


# ---------------------------------------------------------------- a given model


def _base(
    recipe: Recipe, section: ModelSection, texts: Path | None, listener: Listener
) -> tuple[Loaded, str | None, Path | None]:
    """The base, the commit that a hub id stood for, and the folder of its weights where another program made them: a run of
    our own may be gone tomorrow."""
    import torch

    from dragoman.engine import gguf, load
    from dragoman.engine.encoder import Encoder
    from dragoman.engine.tokenizer import load_tokenizer
    from dragoman.stages.model import prompt_choice

    name = str(section.base)
    local = Path(recipe.resolve(name))
    single = gguf.is_gguf(local)
    if local.is_dir() or single:
        if section.revision is not None:
            raise ModelError(
                f"model.revision: {name} is on this machine, and only a hub id has revisions. Take it out."
            )
        try:
            where, commit = local if single else model_folder(local), None
        except CheckpointError as error:
            raise ModelError(f"model.base: {error}") from None
    elif not is_hub_id(name):
        raise ModelError(f"model.base: there is no folder or GGUF file {local}. A hub id has the form owner/name.")
    else:
        where = fetched(name, section.revision, listener)
        commit = where.name
    card = load.Card.read(where) if (where / load.CARD).is_file() else None
    tokenizer = load_tokenizer(where, card.tokenizer if card else "auto", name)
    if card is not None:  # an adapter beside its base is merged into it
        model = load.load(where, dtype="auto").model
        card = replace(card, facts={k: v for k, v in (card.facts or {}).items() if k != "adapter_of"})
    else:
        model = load.load_model(where, dtype="auto", name=name)
    facts = None
    if single:
        kept = gguf.types(where)
        facts = {"gguf": {"file": local.name, "sha256": file_digest(local), "matrices": kept}}
        if gguf.quantised(kept):
            listener.warn(
                f"model: {name} is quantised ({', '.join(f'{n} x {t}' for t, n in kept.items())}): what it has lost "
                "against the original weights stays lost. Train from the original where you can get it."
            )
        if kept.keys() != {"F32"}:
            model = model.to(torch.bfloat16)  # rounds to 8 bits, of which a quantised weight has fewer
    elif model.dtype not in (torch.float32, torch.bfloat16):
        model = model.to(torch.bfloat16 if model.dtype == torch.float16 else torch.float32)
    form = _choose_prompt(section.prompt, card.prompt if card else None, tokenizer, recipe.languages)
    Encoder(tokenizer, form).require(recipe.languages)
    licence = card.licence if card else _licence(where)
    directions = tuple(map(str, recipe.pairs))
    found = load.Card(form, directions, base=name, licence=licence, facts=facts, normalise=recipe.normalise)
    loaded = load.Loaded(model, tokenizer, found)
    if section.prompt == "auto" and card is None and form.kind != "compact" and texts is not None:
        best, tried = prompt_choice.chosen(loaded, recipe.pairs, texts, listener)
        if best is not None:
            loaded = replace(loaded, card=replace(found, prompt=best, facts={**(facts or {}), "prompts_tried": tried}))
    return loaded, commit, where if card is None and not single else None


def _choose_prompt(choice: str, own: Format | None, tokenizer: Any, languages: Iterable[str]) -> Format:
    """`auto`: the saved prompt, else the chat template, else language tokens, else a published plain one."""
    if choice == "auto":
        if own is not None:
            return own
        if tokenizer.chat_template:
            return FORMATS["chat"]
        vocabulary = tokenizer.get_vocab()
        return FORMATS["compact" if all(language_token(c) in vocabulary for c in languages) else "adaptive"]
    form = named(choice)
    if form.kind == "chat" and not tokenizer.chat_template:
        raise ModelError(
            f"model.prompt: '{choice}' needs a chat template, which this model's tokenizer lacks. Use alma."
        )
    return form


def _licence(folder: Path) -> str | None:
    """The licence that a model card (README.md with a YAML header, hub convention) states."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    header = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license:\s*(\S+)", header[1], re.MULTILINE) if header else None
    return found[1] if found else None


def _fertility(loaded: Loaded, texts: Path, recipe: Recipe) -> dict[str, float]:
    """Tokens per word (per character where words are not spaced) of each language: on training text for a new model,
    which has read it anyway, and on development text for a base, which then does not depend on what is trained on."""
    sample: dict[str, list[str]] = {code: [] for code in recipe.languages}
    split = texts / ("train" if recipe.model is not None and recipe.model.new is not None else "dev")
    if not records.there_are(split):
        return {}
    for example in itertools.islice(records.read(split, Example), _FERTILITY_SEGMENTS):
        for code, text in ((example.source_language, example.source), (example.target_language, example.target)):
            sample.setdefault(code, []).append(text)
    found = {}
    for code, segments in sample.items():
        if not segments:
            continue
        tokens = sum(len(ids) for ids in loaded.tokenizer(segments, add_special_tokens=False, verbose=False).input_ids)
        unspaced = script(code) in UNSPACED_SCRIPTS
        words = sum(len(s) if unspaced else len(s.split()) for s in segments)
        found[code] = round(tokens / max(1, words), 3)
    return found

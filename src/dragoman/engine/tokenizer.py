"""Tokenizers: read from a folder, and told apart by the ids that they give."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.engine import gguf
from dragoman.errors import ModelError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBES = (
    "Straße, naïve café — 12,5 % «ça»",
    "u\u0308ber A\u030a",
    " two  spaces",
    "日本語と漢字。 Ελληνικά",
    "</s> <|en|>",
)


def load_tokenizer(folder: Path, how: str = "auto", name: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder; `how="file"` takes tokenizer.json exactly as it is, `name` is what messages call it."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    kind = PreTrainedTokenizerFast if how == "file" else AutoTokenizer
    where, single = gguf.place(folder)
    try:
        return kind.from_pretrained(where, trust_remote_code=False, **single)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{name or folder}: its tokenizer cannot be loaded: {first_line(error)}") from None


def ids_of(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Ids of the probe texts: the fingerprint by which two tokenizers are compared."""
    ids: list[list[int]] = tokenizer(list(PROBES), add_special_tokens=False, split_special_tokens=False).input_ids
    return ids

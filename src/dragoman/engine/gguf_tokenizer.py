"""A tokenizer as a GGUF file describes it. llama.cpp splits text by code of its own that the file only names, so what has no
name there is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dragoman.errors import ModelError

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PreTrainedTokenizerBase

_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# How a text is cut before its bytes are merged: the steps -> llama.cpp's name, and whether a word that is in the vocabulary
# is taken whole there (llama-vocab.cpp). Its "tekken" is left out: it cuts before combining marks, Mistral's own does not.
_NAMES: dict[tuple[tuple[str, str], ...], tuple[str, bool]] = {
    (("ByteLevel", "words"),): ("gpt-2", False),
    (("Digits", "each"), ("ByteLevel", "words")): ("smollm", False),
    (("Split", _LETTERS + r"\p{N}" + _REST), ("ByteLevel", "")): ("qwen2", False),
    (("Split", _LETTERS + r"\p{N}{1,3}" + _REST), ("ByteLevel", "")): ("llama-bpe", True),
}
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_SPACE = "\u2581"


@dataclass(frozen=True)
class Described:
    """What the file says. `merges` of tokenizers over bytes, `scores` of SentencePiece's."""

    model: str  # gpt2 or llama
    splitter: str
    tokens: list[str]
    types: list[int]
    merges: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    space_before: bool = False
    mended: tuple[str, ...] = ()

    def write(self, writer: GGUFWriter) -> None:
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.splitter)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.model == "gpt2":
            writer.add_token_merges(self.merges)
        else:
            writer.add_token_scores(self.scores)
            writer.add_add_space_prefix(self.space_before)


def describe(tokenizer: PreTrainedTokenizerBase, size: int) -> Described:
    """The first `size` tokens, those with an embedding. Raises ModelError for what llama.cpp would cut otherwise."""
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    model = whole["model"]
    if model["type"] != "BPE":
        raise ModelError(f"GGUF: a tokenizer of the kind {model['type']} is not written; only BPE is.")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise ModelError("GGUF: llama.cpp has no marks at the ends of words, which this tokenizer has.")
    pairs = [tuple(m.split(" ", 1)) if isinstance(m, str) else (m[0], m[1]) for m in model["merges"]]
    tokens, kinds, mended = _tokens(whole, size)
    steps = _steps(whole["pre_tokenizer"], "pretokenizers")
    if any(step["type"] == "ByteLevel" for step in steps):
        name = _splitter(steps, bool(model.get("ignore_merges")))
        normal = [step["type"] for step in _steps(whole["normalizer"], "normalizers")]
        if normal not in ([], ["NFC"]):
            raise ModelError(
                f"GGUF: llama.cpp does not normalise texts by {', '.join(normal)}, as this tokenizer does."
            )
        if normal:
            mended.append("llama.cpp does not compose characters (NFC): texts must come composed")
        return Described("gpt2", name, tokens, kinds, [f"{a} {b}" for a, b in pairs], mended=tuple(mended))
    if not model.get("byte_fallback"):
        raise ModelError(
            "GGUF: the tokenizer works neither on bytes nor falls back to them; llama.cpp has no such one."
        )
    scores = _scores(pairs, model["vocab"], tokens, kinds)
    before = _space_before(steps, _steps(whole["normalizer"], "normalizers"))
    return Described("llama", "default", tokens, kinds, [], scores, before, tuple(mended))


def _steps(part: Any, name: str) -> list[dict[str, Any]]:
    """A sequence of steps, or one, or none, as a list."""
    if part is None:
        return []
    return [step for one in part[name] for step in _steps(one, name)] if part["type"] == "Sequence" else [part]


def _splitter(steps: Sequence[Mapping[str, Any]], whole_words: bool) -> str:
    found = []
    for step in steps:
        what = ""
        if step["type"] == "ByteLevel" and not step.get("add_prefix_space"):
            what = "words" if step.get("use_regex", True) else ""
        elif step["type"] == "Digits" and step.get("individual_digits"):
            what = "each"
        elif step["type"] == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
            what = str(step["pattern"].get("Regex"))
        else:
            what = json.dumps(step)
        found.append((step["type"], what))
    name, takes_whole = _NAMES.get(tuple(found), ("", False))
    if not name or takes_whole != whole_words:
        raise ModelError(
            f"GGUF: llama.cpp cuts texts by rules that it knows by name ({', '.join(n for n, _ in _NAMES.values())}), and "
            "those of this tokenizer are none of them."
        )
    return name


def _tokens(whole: Mapping[str, Any], size: int) -> tuple[list[str], list[int], list[str]]:
    """Spelling and type of each id, and what had to be mended."""
    from gguf import TokenType

    known = {i: token for token, i in whole["model"]["vocab"].items()}
    added = {one["id"]: one for one in whole["added_tokens"]}
    unknown = whole["model"].get("unk_token")
    falls_back = bool(whole["model"].get("byte_fallback"))
    tokens, kinds, spelt = [], [], set()
    for i in range(size):
        if i in added:
            token = str(added[i]["content"])
            kind = TokenType.CONTROL if added[i]["special"] else TokenType.USER_DEFINED
            if falls_back and kind == TokenType.USER_DEFINED:  # it is looked for before blanks are replaced
                token = token.replace(_SPACE, " ")
        elif i in known:
            token = known[i]
            kind = TokenType.BYTE if falls_back and _BYTE.fullmatch(token) else TokenType.NORMAL
        else:
            token, kind = f"[PAD{i}]", TokenType.UNUSED
        if token == unknown:
            kind = TokenType.UNKNOWN
        while token in spelt:
            token, kind = f"[PAD{i}]" if token != f"[PAD{i}]" else f"[PAD{i}]_", TokenType.UNUSED
        spelt.add(token)
        tokens.append(token)
        kinds.append(int(kind))
    mended = []
    if gaps := sum(kind == TokenType.UNUSED for kind in kinds):
        mended.append(f"{gaps} ids without a token of their own are marked as unused")
    if beyond := sum(i >= size for i in {*known, *added}):
        mended.append(f"{beyond} tokens without an embedding are left out")
    return tokens, kinds, mended


def _scores(
    pairs: Sequence[tuple[str, ...]], vocabulary: Mapping[str, int], tokens: Sequence[str], kinds: Sequence[int]
) -> list[float]:
    """Scores that order merges as the list does: llama.cpp joins any two neighbours that make a token, the best token first.

    Raises ModelError where the list cannot be told so: one token's merges stand apart, or joins are missing from it.
    """
    from gguf import TokenType

    order: dict[str, int] = {}
    last = ""
    for a, b in pairs:
        made = a + b
        if made != last and made in order:
            raise ModelError("GGUF: the merges of this tokenizer have an order that scores of tokens cannot tell.")
        order.setdefault(made, len(order))
        last = made
    plain = {token for token, kind in zip(tokens, kinds, strict=True) if kind == TokenType.NORMAL}
    listed = set(pairs)
    for token in plain:
        for cut in range(1, len(token)):
            halves = token[:cut], token[cut:]
            if halves not in listed and halves[0] in plain and halves[1] in plain:
                raise ModelError(
                    f"GGUF: llama.cpp would join {halves[0]!r} and {halves[1]!r}, which this tokenizer never does."
                )
    first = len(vocabulary)
    return [
        -float(order.get(token, first)) if kind == TokenType.NORMAL else 0.0
        for token, kind in zip(tokens, kinds, strict=True)
    ]


def _space_before(steps: Sequence[Mapping[str, Any]], normal: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a blank is put before a text. Raises ModelError for other steps than blanks that become a sign."""
    before = replaced = False
    for step in normal:
        if step["type"] == "Prepend" and step["prepend"] == _SPACE:
            before = True
        elif step["type"] == "Replace" and step["pattern"] == {"String": " "} and step["content"] == _SPACE:
            replaced = True
        else:
            raise ModelError(f"GGUF: llama.cpp does not normalise texts as this tokenizer does ({json.dumps(step)}).")
    for step in steps:
        if step["type"] == "Metaspace" and step["replacement"] == _SPACE and not step.get("split", True):
            replaced = True
            before = before or step["prepend_scheme"] != "never"
        elif not (step["type"] == "Split" and step["pattern"] == {"String": " "} and replaced):  # none is left
            raise ModelError(f"GGUF: llama.cpp does not cut texts as this tokenizer does ({json.dumps(step)}).")
    if not replaced:
        raise ModelError("GGUF: the tokenizer keeps blanks as they are, which llama.cpp does not.")
    return before

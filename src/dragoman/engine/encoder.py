"""Prompt -> ids and loss mask. The only place where a mask is made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from dragoman.core.prompt.prompts import GAP, MEANS, SYNTHETIC, TERM, Format, Rendered, language_token
from dragoman.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Encoder:
    """Turns rendered prompts into ids and masks with one tokenizer and one format.

    Control tokens inside a user's text are encoded as plain text: data is never instruction.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, form: Format) -> None:
        self.tokenizer = tokenizer
        self.form = form
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has no end token, so a translation could never end. Choose another base.")
        self._begin = self._begin_ids()
        self.end = int(tokenizer.eos_token_id)
        self._turn = self._turn_end() if form.kind == "chat" else ""
        if self._turn:
            self.end = self._ids([self._turn], special=True)[0][-1]

    def encode(self, prompts: Sequence[Rendered]) -> list[tuple[list[int], list[bool]]]:
        """(ids, trained) of each prompt; `trained[i]` says that token i stands under the loss."""
        if all(prompt.turns for prompt in prompts):
            return self._chats(prompts)
        if not any(prompt.turns for prompt in prompts):
            return self._pieces(prompts)
        chats = iter(self._chats([prompt for prompt in prompts if prompt.turns]))
        pieces = iter(self._pieces([prompt for prompt in prompts if not prompt.turns]))
        return [next(chats if prompt.turns else pieces) for prompt in prompts]

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of plain texts."""
        return [len(ids) for ids in self._ids(list(texts))]

    @property
    def has_gap(self) -> bool:
        """The tokenizer has the control token of a gap."""
        return self.form.kind == "compact" and GAP in self.tokenizer.get_vocab()

    def require(self, languages: Sequence[str]) -> None:
        """Raise ModelError if the compact format lacks the control token of a language."""
        if self.form.kind != "compact":
            return
        vocabulary = self.tokenizer.get_vocab()
        missing = [code for code in languages if language_token(code) not in vocabulary]
        if missing:
            raise ModelError(
                f"the base model has no language token for {', '.join(missing)}; its prompt is 'compact'. "
                "Train a new model with these languages in `pairs`, or start from a base that has seen them."
            )

    def require_terms(self) -> None:
        """Raise ModelError if the compact format lacks the control tokens of a glossary."""
        if self.form.kind == "compact" and not self._has_terms:
            raise ModelError(
                f"the base model has no tokens for the terms of a glossary ({TERM}, {MEANS}); its prompt is 'compact'. "
                "Train a new model, or leave the glossary out."
            )

    def require_tag(self) -> None:
        """Raise ModelError if the compact format lacks the control token of synthetic text."""
        if self.form.kind == "compact" and SYNTHETIC not in self.tokenizer.get_vocab():
            raise ModelError(
                f"the base model has no token for synthetic text ({SYNTHETIC}); its prompt is 'compact'. Train a new "
                "model, or set `synthetic: {tag: false}`."
            )

    @cached_property
    def _has_terms(self) -> bool:
        return {TERM, MEANS} <= self.tokenizer.get_vocab().keys()

    def _begin_ids(self) -> list[int]:
        """What the tokenizer itself puts before a text (usually BOS, sometimes nothing)."""
        bare, dressed = self._ids(["a"])[0], self.tokenizer("a").input_ids
        found = next((i for i in range(len(dressed)) if dressed[i : i + len(bare)] == bare), 0)
        begin: list[int] = dressed[:found]
        if not begin and self.form.kind == "compact" and self.tokenizer.bos_token_id is not None:
            begin = [int(self.tokenizer.bos_token_id)]
        return begin

    def _ids(self, texts: list[str], special: bool = False) -> list[list[int]]:
        if not texts:
            return []
        ids: list[list[int]] = self.tokenizer(
            texts,
            add_special_tokens=False,
            return_attention_mask=False,
            split_special_tokens=not special,
            verbose=False,
        ).input_ids
        return ids

    def _pieces(self, prompts: Sequence[Rendered]) -> list[tuple[list[int], list[bool]]]:
        texts = iter(self._ids([p.text for r in prompts for p in r.pieces if p.kind == "text"]))
        control: dict[str, int] = {}
        rows = []
        for rendered in prompts:
            ids: list[int] = []
            trained: list[bool] = []
            for piece in rendered.pieces:
                if piece.kind == "text":
                    new = next(texts)
                elif piece.kind == "control":
                    if piece.text not in control:
                        control[piece.text] = int(self.tokenizer.convert_tokens_to_ids(piece.text))
                    new = [control[piece.text]]
                else:
                    new = self._begin if piece.kind == "begin" else [self.end]
                ids += new
                trained += [piece.trained] * len(new)
            rows.append((ids, trained))
        return rows

    def _chats(self, prompts: Sequence[Rendered]) -> list[tuple[list[int], list[bool]]]:
        heads = self._ids([self._template(r) for r in prompts], special=True)
        answers = iter(self._ids([r.answer for r in prompts if r.answer is not None]))
        end = self._ids([self._turn], special=True)[0]
        rows = []
        for rendered, head in zip(prompts, heads, strict=True):
            answer = next(answers) + end if rendered.answer is not None else []
            rows.append((head + answer, [False] * len(head) + [True] * len(answer)))
        return rows

    def _template(self, rendered: Rendered) -> str:
        turns = [{"role": turn.role, "content": self._plain(turn.text)} for turn in rendered.turns]
        text: str = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return text

    def _plain(self, text: str) -> str:
        """The user's text without anything that the template's tokenizer would read as a control token."""
        for token in self.tokenizer.all_special_tokens:
            if token in text:
                text = text.replace(token, token[:1] + "\u200b" + token[1:])
        return text

    def _turn_end(self) -> str:
        """What the chat template writes after an answer, up to and including the first control token."""
        mark = "\ue000answer\ue000"
        turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": mark}]
        text: str = self.tokenizer.apply_chat_template(turns, tokenize=False)
        tail = text.split(mark, 1)[1]
        ends = [(tail.find(t), t) for t in self.tokenizer.all_special_tokens if t and t in tail]
        if not ends:
            return str(self.tokenizer.eos_token)
        position, token = min(ends)
        return tail[:position] + token

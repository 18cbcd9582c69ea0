"""Prompt -> ids and loss mask. The only place where a mask is made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dragoman.core.prompt.prompts import GAP, MEANS, SYNTHETIC, TERM, Format, Rendered, language_token
from dragoman.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_THINKS = re.compile(r"<think>\s*\Z")  # a template that leaves the model to think
_BRACKETED = re.compile(r"\[\S+\]|<\S+>")  # added tokens that are no plain text, unless they are HTML tags
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)\s?/?>")
# Elements of HTML that documents hold: a user's text may have their tags, which some tokenizers keep as one token each.
_HTML = (
    "a abbr address area article aside audio b base bdi bdo big blockquote body br button canvas caption center cite code col "
    "colgroup data datalist dd del details dfn dialog div dl dt em embed fieldset figcaption figure font footer form frame "
    "frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label legend li link main map mark menu "
    "meta meter nav noscript object ol optgroup option output p param picture pre progress q rp rt ruby s samp script search "
    "section select small source span strike strong style sub summary sup svg table tbody td template textarea tfoot th thead "
    "time title tr track tt u ul var video wbr"
)
_ELEMENTS = frozenset(_HTML.split())
_MARK = "\ue000"  # begins what stands for a control token of a user's text while the template is filled
_MARKED = re.compile("\ue000(\\d+)\ue001")


class Encoder:
    """Turns rendered prompts into ids and masks with one tokenizer and one format.

    Control tokens inside a user's text are encoded as plain text, which stays as it is: data is never instruction.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, form: Format) -> None:
        self.tokenizer = tokenizer
        self.form = form
        if tokenizer.eos_token_id is None:
            raise ModelError("the tokenizer has no end token, so a translation could never end. Choose another base.")
        self._spoken: set[str] = set()  # languages that are known to have their token
        self._begin = self._begin_ids()
        self.end = int(tokenizer.eos_token_id)
        self._turn = self._turn_end() if form.kind == "chat" else ""
        if self._turn:
            self.end = self._ids([self._turn], special=True)[0][-1]

    @property
    def fingerprint(self) -> list[Any] | None:
        """What the ids depend on, as JSON values: two encoders with the same give the same ids. None where the tokenizer's
        code is Python's, which cannot be told."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        own = [self.tokenizer.chat_template, self.controls, self.odd, self._begin, self.end, self._turn]
        return [hashlib.sha256(backend.to_str().encode()).hexdigest(), self.form.to_json(), *own]

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
        if self.form.kind != "compact" or self._spoken.issuperset(languages):
            return
        vocabulary = self.tokenizer.get_vocab()  # takes milliseconds
        missing = [code for code in languages if language_token(code) not in vocabulary]
        self._spoken |= set(languages) - set(missing)
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
        return {TERM, MEANS} <= set(self.tokenizer.get_vocab())

    def _begin_ids(self) -> list[int]:
        """What the tokenizer itself puts before a text (usually BOS, sometimes nothing)."""
        bare, dressed = self._ids(["a"])[0], self.tokenizer("a").input_ids
        found = next((i for i in range(len(dressed)) if dressed[i : i + len(bare)] == bare), 0)
        begin: list[int] = dressed[:found]
        if not begin and self.form.kind == "compact" and self.tokenizer.bos_token_id is not None:
            begin = [int(self.tokenizer.bos_token_id)]
        return begin

    @cached_property
    def controls(self) -> list[str]:
        """Spellings of the control tokens: all special ones that were added, not only those with a role."""
        added = self.tokenizer.added_tokens_decoder.values()
        special = {str(token.content) for token in added if token.special}
        return sorted(special | {str(token) for token in self.tokenizer.all_special_tokens if token})

    @cached_property
    def odd(self) -> list[str]:
        """Spellings of added tokens that the tokenizer finds in any text though they are no text: `[multimodal]`,
        `<start_of_image>`, `<think>`. Tags of HTML are text."""
        added = (str(token.content) for token in self.tokenizer.added_tokens_decoder.values() if not token.special)
        return sorted(token for token in added if _BRACKETED.fullmatch(token) and not _is_html(token))

    @cached_property
    def _odd(self) -> re.Pattern[str] | None:
        # looking ahead, so that one inside another is found too
        return re.compile(f"(?={_any(self.odd)})") if self.odd else None

    @cached_property
    def _hidden(self) -> re.Pattern[str]:
        """What must not meet the template's own control tokens."""
        return re.compile(_any([*self.controls, *self.odd, _MARK]))

    def _ids(self, texts: list[str], special: bool = False) -> list[list[int]]:
        if self._odd is None or special or not any(self._odd.search(text) for text in texts):
            return self._tokenized(texts, special)
        # cut behind the first character of such a token, so that it is not found
        parts = [[part for part in _cut(text, self._odd) if part] for text in texts]
        ids = iter(self._tokenized([part for row in parts for part in row]))
        return [[token for _ in row for token in next(ids)] for row in parts]

    def _tokenized(self, texts: list[str], special: bool = False) -> list[list[int]]:
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
        heads = self._heads(prompts)
        answers = iter(self._ids([r.answer for r in prompts if r.answer is not None]))
        end = self._ids([self._turn], special=True)[0]
        rows = []
        for rendered, head in zip(prompts, heads, strict=True):
            answer = next(answers) + end if rendered.answer is not None else []
            rows.append((head + answer, [False] * len(head) + [True] * len(answer)))
        return rows

    def _heads(self, prompts: Sequence[Rendered]) -> list[list[int]]:
        """The ids up to the answer. What spells a control token is encoded apart from the template."""
        whole: list[str] = []
        hidden: list[list[str]] = []
        for rendered in prompts:
            hidden.append([])
            whole.append(self.template([self._hide(turn.text, hidden[-1]) for turn in rendered.turns], rendered))
        ids = iter(self._ids([text for text, found in zip(whole, hidden, strict=True) if not found], special=True))
        return [self._apart(t, found) if found else next(ids) for t, found in zip(whole, hidden, strict=True)]

    def _hide(self, text: str, hidden: list[str]) -> str:
        """The text with a mark for each control token that it spells; `hidden` takes the spellings. The template sees the
        rest as it is, so that it trims the blanks of every text alike."""

        def mark(found: re.Match[str]) -> str:
            hidden.append(found[0])
            return f"{_MARK}{len(hidden) - 1}\ue001"

        return self._hidden.sub(mark, text)

    def _apart(self, frame: str, hidden: Sequence[str]) -> list[int]:
        ids: list[int] = []
        for place, part in enumerate(_MARKED.split(frame)):
            text = hidden[int(part)] if place % 2 else part
            ids += self._ids([text], special=not place % 2)[0] if text else []
        return ids

    def template(self, texts: Sequence[str], rendered: Rendered) -> str:
        """The turns in the model's own chat template, in its form without thinking, up to where the answer begins."""
        turns = [{"role": turn.role, "content": text} for turn, text in zip(rendered.turns, texts, strict=True)]
        text: str = self.tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        return f"{text}\n</think>\n\n" if _THINKS.search(text) else text

    def _turn_end(self) -> str:
        """What the chat template writes after an answer, up to and including the first control token."""
        mark = "\ue000answer\ue000"
        turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": mark}]
        text: str = self.tokenizer.apply_chat_template(turns, tokenize=False, enable_thinking=False)
        tail = text.split(mark, 1)[1]
        ends = [(tail.find(t), t) for t in self.controls if t in tail]
        if not ends:
            return str(self.tokenizer.eos_token)
        position, token = min(ends)
        return tail[:position] + token


def _is_html(token: str) -> bool:
    found = _TAG.fullmatch(token)
    return found is not None and found[1].lower() in _ELEMENTS


def _any(tokens: Sequence[str]) -> str:
    """The pattern of any of these texts, the longest first."""
    return "|".join(map(re.escape, sorted(tokens, key=len, reverse=True)))


def _cut(text: str, tokens: re.Pattern[str]) -> Iterator[str]:
    """The text in pieces that end behind the first character of every token."""
    position = 0
    for found in tokens.finditer(text):
        yield text[position : found.start() + 1]
        position = found.start() + 1
    yield text[position:]

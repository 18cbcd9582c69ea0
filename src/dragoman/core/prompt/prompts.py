"""Example -> prompt. The only place where a prompt is written.

A model is tuned and used with one format; its name and its wording are saved beside the model (`dragoman.json`).
Three kinds exist: `compact` (control tokens of our own small models), `plain` (text of the published templates) and
`chat` (the model's own chat template around user messages; `chat` is also the name of one wording, the default there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from dragoman.core.prompt.instructions import instruction, own_name
from dragoman.core.text.languages import Direction, name
from dragoman.core.text.normalise import as_read
from dragoman.errors import ModelError

Kind = Literal["compact", "plain", "chat"]


@dataclass(frozen=True, slots=True)
class Format:
    """The wording of a prompt. Fields in braces: {S} and {T} are language names in English, {code S} and {code T} their codes,
    {own S} and {own T} the names in the source language, {I} the instruction in the source language, {src} and {tgt} the texts.

    opening + shot * n + glossary + query is what the model reads; `answer` is what it writes. The blank before the
    target belongs to the answer, so that the last token of the prompt never depends on the answer. The glossary holds
    {terms}: `term` for each, with `between` among them (wording of 2301.13294).
    """

    name: str
    kind: Kind
    opening: str = ""
    shot: str = ""
    query: str = ""
    answer: str = "{tgt}"
    glossary: str = "Terms: {terms}\n"
    term: str = "{src} = {tgt}"
    between: str = " - "

    def to_json(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Format:
        """Raises ModelError when the saved prompt is not one."""
        try:
            return cls(**value)
        except TypeError as error:
            raise ModelError(f"dragoman.json: the saved prompt cannot be read ({error}).") from None


_NAMED_LINES = "{S}: {src}\n{T}: {tgt}\n"
_NAMED_QUERY = "{S}: {src}\n{T}:"

_TOWER_PLUS = "Translate the following {S} source text to {T}:\n{S}: {src}\n{T}: "
_TRANSLATEGEMMA = (
    "You are a professional {S} ({code S}) to {T} ({code T}) translator. Your goal is to accurately convey the meaning and "
    "nuances of the original {S} text while adhering to {T} grammar, vocabulary, and cultural sensitivities.\n"
    "Produce only the {T} translation, without any additional explanations or commentary. "
    "Please translate the following {S} text into {T}:\n\n\n{src}"
)

# Published templates; sources: ALMA (2309.11674, code), Adaptive-MT (2312.12740, code), LMT-60, Hunyuan-MT, Tower+ and
# TranslateGemma (model cards and their templates), TowerInstruct (model card; `chat`), ParroT (2304.02426, code; Alpaca form).
FORMATS: dict[str, Format] = {
    "compact": Format("compact", "compact"),
    "alma": Format("alma", "plain", "Translate this from {S} to {T}:\n", _NAMED_LINES, _NAMED_QUERY, " {tgt}"),
    "adaptive": Format("adaptive", "plain", "", _NAMED_LINES, _NAMED_QUERY, " {tgt}"),
    "parrot": Format(
        "parrot",
        "plain",
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nTranslate the following sentences from {S} to {T}.\n\n",
        "### Input:\n{src}\n\n### Response:{tgt}\n\n",
        "### Input:\n{src}\n\n### Response:",
    ),
    # instruction and names in the language of the source (2403.11430 has the instruction so)
    "native": Format(
        "native", "plain", "{I}\n", "{own S}: {src}\n{own T}: {tgt}\n", "{own S}: {src}\n{own T}:", " {tgt}"
    ),
    "chat": Format(
        "chat",
        "chat",
        shot="Translate the following text from {S} into {T}.\n{S}: {src}\n{T}:",
        query="Translate the following text from {S} into {T}.\n{S}: {src}\n{T}:",
    ),
    "lmt": Format(
        "lmt",
        "chat",
        shot="Translate the following text from {S} into {T}.\n{S}: {src}\n{T}: ",
        query="Translate the following text from {S} into {T}.\n{S}: {src}\n{T}: ",
    ),
    "tower-plus": Format("tower-plus", "chat", shot=_TOWER_PLUS, query=_TOWER_PLUS),
    "translategemma": Format("translategemma", "chat", shot=_TRANSLATEGEMMA, query=_TRANSLATEGEMMA),
    "hunyuan": Format(
        "hunyuan",
        "chat",
        shot="Translate the following segment into {T}, without additional explanation.\n\n{src}",
        query="Translate the following segment into {T}, without additional explanation.\n\n{src}",
        glossary="Refer to the following translations:\n{terms}\n\n",
        term="{src} is translated as {tgt}",
        between="\n",
    ),
}


# Control tokens that every new model has besides its languages': a glossary entry and what it means, a gap that is to be
# filled, text that a machine made.
TERM, MEANS, GAP, SYNTHETIC = "<|term|>", "<|means|>", "<|gap|>", "<|synthetic|>"
CONTROLS = (TERM, MEANS, GAP, SYNTHETIC)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt: plain text, a control token by its spelling, or the tokenizer's own begin or end token."""

    kind: Literal["text", "control", "begin", "end"]
    text: str = ""
    trained: bool = False  # stands under the loss


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a chat."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt and, in training, its answer. Exactly one of `pieces` and `turns` is filled, by the format's kind."""

    pieces: tuple[Piece, ...] = ()
    turns: tuple[Turn, ...] = ()
    answer: str | None = None  # chat only: the trained answer; pieces carry theirs


def spelt(rendered: Rendered, begin: object = None, end: object = None) -> str:
    """A prompt of pieces as one text. `begin`, `end`: the tokenizer's own tokens as its configuration has them, left out where
    there is none."""
    signs = {"begin": _spelling(begin), "end": _spelling(end)}
    return "".join(signs.get(piece.kind, piece.text) for piece in rendered.pieces)


def _spelling(token: object) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def language_token(language: str) -> str:
    """The control token of a language in the compact format: `<|pt-BR|>`."""
    return f"<|{language}|>"


def named(choice: str) -> Format:
    """A format by its name. Raises ModelError that lists the known ones."""
    try:
        return FORMATS[choice]
    except KeyError:
        raise ModelError(f"model.prompt: '{choice}' is no known prompt. Known: auto, {', '.join(FORMATS)}.") from None


def render(
    form: Format,
    direction: Direction,
    source: str,
    target: str | None = None,
    shots: Sequence[tuple[str, str]] = (),
    terms: Sequence[tuple[str, str]] = (),
) -> Rendered:
    """The prompt of one sentence: with `target` for training, without for generation.

    `shots` are (source, target) pairs in the same direction that stand before the sentence; `terms` are entries of a
    glossary, (source, target), that stand right before it. Sources stand there as `as_read` gives them, so that
    the same text gives the same prompt; no-break spaces of targets are what it learns to write.
    """
    source = as_read(source)
    shots = [(as_read(src), tgt) for src, tgt in shots]
    terms = [(as_read(src), tgt) for src, tgt in terms]
    if form.kind == "compact":
        return Rendered(pieces=tuple(_compact(direction, source, target, shots, terms)))

    sides = {"S": direction.source, "T": direction.target}

    def fill(template: str, src: str, tgt: str = "") -> str:
        # str.format would read braces inside the user's text of an earlier field; one pass over the template does not
        fields = {"S": name(direction.source), "T": name(direction.target), "src": src, "tgt": tgt, "terms": src}
        fields |= {f"code {side}": language for side, language in sides.items()}
        if "{I}" in form.opening:
            own = {f"own {side}": own_name(language, direction.source) for side, language in sides.items()}
            fields |= {"I": instruction(direction), **own}
        return "".join(fields.get(part, part) for part in template.replace("{", "\0").replace("}", "\0").split("\0"))

    glossary = fill(form.glossary, form.between.join(fill(form.term, *term) for term in terms)) if terms else ""
    if form.kind == "chat":
        turns: list[Turn] = []
        for src, tgt in shots:
            turns += [Turn("user", fill(form.shot, src)), Turn("assistant", fill(form.answer, src, tgt))]
        turns.append(Turn("user", glossary + fill(form.query, source)))
        return Rendered(turns=tuple(turns), answer=None if target is None else fill(form.answer, source, target))

    before = fill(form.opening, "") + "".join(fill(form.shot, *shot) for shot in shots)
    pieces = [Piece("begin"), Piece("text", before + glossary + fill(form.query, source))]
    if target is not None:
        pieces += [Piece("text", fill(form.answer, source, target), trained=True), Piece("end", trained=True)]
    return Rendered(pieces=tuple(pieces))


def tagged(form: Format, rendered: Rendered) -> Rendered:
    """The prompt with the sign at its start that a machine made the text: a control token where the format has them."""
    if form.kind == "chat":
        first, *others = rendered.turns
        return replace(rendered, turns=(replace(first, text=f"{SYNTHETIC} {first.text}"), *others))
    begin, first_piece, *rest = rendered.pieces
    if form.kind == "compact":
        return replace(rendered, pieces=(begin, Piece("control", SYNTHETIC), first_piece, *rest))
    return replace(rendered, pieces=(begin, replace(first_piece, text=f"{SYNTHETIC} {first_piece.text}"), *rest))


def _compact(
    direction: Direction,
    source: str,
    target: str | None,
    shots: Sequence[tuple[str, str]],
    terms: Sequence[tuple[str, str]],
) -> list[Piece]:
    pieces = [Piece("begin")]
    for src, tgt in shots:
        pieces += [
            Piece("control", language_token(direction.source)),
            Piece("text", src),
            Piece("control", language_token(direction.target)),
            Piece("text", tgt),
        ]
    for src, tgt in terms:
        pieces += [Piece("control", TERM), Piece("text", src), Piece("control", MEANS), Piece("text", tgt)]
    pieces += [
        Piece("control", language_token(direction.source)),
        Piece("text", source),
        Piece("control", language_token(direction.target)),
    ]
    if target is not None:
        pieces += [Piece("text", target, trained=True), Piece("end", trained=True)]
    return pieces

"""What an engine elsewhere must know to write a model's prompts as `Encoder` does, and to end where its translations end: the
browser's, which has the model's tokenizer and none of our code (`server/page/private-worker.js`)."""

from __future__ import annotations

from typing import Any

from dragoman.core.ports import Stops
from dragoman.core.prompt.prompts import Rendered, render
from dragoman.core.recipe import Decoding
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import normalise
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Shell

_MARK = "\ue100"  # stands for the user's text
# Texts whose prompts the other engine must give the same ids as we do before it is trusted with others.
_PROBES = (
    "The patient takes 12,5 mg twice (at 7 h)...",
    "  ça va ? « oui »\u00a0: \u200eno\u200f e\u0301 \ufb01",
    "日本語 text हिन्दी العربية עברית 👩\u200d👩\u200d👧 ❤\ufe0f",
    "a\tb  c\nd <b>x</b> {{ y }} %s",
)


def outline(encoder: Encoder, shell: Shell, directions: list[Direction], stops: Stops) -> dict[str, Any]:
    """As JSON values. `directions` has, by `en-de`, what stands before and after a text, with texts and their ids."""
    limits = Decoding()
    added = shell.tokenizer.added_tokens_decoder
    probes = [*_PROBES, " ".join(["x", *encoder.controls[:8], *encoder.odd[:8], "y"])]
    return {
        "directions": {
            str(direction): {
                **_around(encoder, direction),
                "probes": [[text, _ids(encoder, shell, direction, text)] for text in probes],
            }
            for direction in directions
        },
        "chat": encoder.form.kind == "chat",
        "controls": encoder.controls if encoder.form.kind == "chat" else [],
        "odd": encoder.odd,
        "silent": sorted(i for i, token in added.items() if token.special),  # no text is shown for them
        "ends": list(stops.ends),
        "not_first": list(stops.not_first),
        "context": shell.context,
        "max_ratio": limits.max_ratio,
        "max_extra": limits.max_extra,
        "normalise": shell.card.normalise.model_dump(mode="json"),
    }


def _around(encoder: Encoder, direction: Direction) -> dict[str, Any]:
    """`first` + tokens of (`before` + text + `after`) + `last`. `trimmed`: whether a template takes the blanks at the
    beginning and at the end of the text away."""
    rendered = render(encoder.form, direction, _MARK)
    if rendered.turns:
        before, after = _filled(encoder, rendered).split(_MARK)
        wide_before, wide_after = _filled(encoder, render(encoder.form, direction, f" {_MARK} ")).split(_MARK)
        trimmed = [wide_before == before, wide_after == after]
        return {"first": [], "before": before, "after": after, "last": [], "trimmed": trimmed}
    place = next(i for i, piece in enumerate(rendered.pieces) if _MARK in piece.text)
    before, after = rendered.pieces[place].text.split(_MARK)
    parts = [Rendered(rendered.pieces[:place]), Rendered(rendered.pieces[place + 1 :])]
    first, last = (ids for ids, _ in encoder.encode(parts))
    return {"first": first, "before": before, "after": after, "last": last, "trimmed": [False, False]}


def _filled(encoder: Encoder, rendered: Rendered) -> str:
    return encoder.template([turn.text for turn in rendered.turns], rendered)


def _ids(encoder: Encoder, shell: Shell, direction: Direction, text: str) -> list[int]:
    clean = " ".join(normalise(text, shell.card.normalise).split("\n")).strip()
    [(ids, _)] = encoder.encode([render(encoder.form, direction, clean)])
    return ids

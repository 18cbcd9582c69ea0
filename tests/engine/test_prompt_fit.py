"""Prompts lose what does not fit, in order, and never a token of the rest; a translator tells what was left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.prompt.prompts import FORMATS, render
from dragoman.core.recipe import Decoding
from dragoman.core.records import NO_CONTEXT, Context
from dragoman.core.text.languages import Direction
from dragoman.engine.encoder import Encoder
from dragoman.engine.prompt_fit import Ask, fitted
from dragoman.errors import ModelError
from dragoman.translator import Translator
from tests.tiny import tiny, tiny_tokenizer

EN_DE = Direction("en", "de")
ENCODER = Encoder(tiny_tokenizer(), FORMATS["compact"])
FULL = Context((("the cat", "die Katze"), ("the dog", "der Hund")), (("house", "Haus"),))


@given(st.integers(0, 60), st.sampled_from([None, "der Baum"]))
def test_help_is_left_out_in_order_until_the_prompt_fits(room: int, target: str | None) -> None:
    (found,) = fitted(ENCODER, [Ask(EN_DE, "a tree", target, FULL)], [room])
    steps = [FULL, Context(FULL.shots[1:], FULL.terms), Context((), FULL.terms), NO_CONTEXT]
    prompts = [render(ENCODER.form, EN_DE, "a tree", target, step.shots, step.terms) for step in steps]
    lengths = [len(ids) for ids, _ in ENCODER.encode(prompts)]
    fitting = next((i for i, length in enumerate(lengths) if length <= room), 3)
    assert found.assist == steps[fitting]
    assert (found.ids, found.trained) == ENCODER.encode(prompts)[fitting]


def test_each_prompt_has_its_own_room() -> None:
    asked = [Ask(EN_DE, "a tree", None, FULL), Ask(EN_DE, "a tree"), Ask(EN_DE, "a tree", None, FULL)]
    found = fitted(ENCODER, asked, [100, 0, 0])
    assert [one.assist for one in found] == [FULL, NO_CONTEXT, NO_CONTEXT]


def test_a_model_without_tokens_for_terms_says_so() -> None:
    tokenizer = tiny_tokenizer(controls=())
    with pytest.raises(ModelError, match=r"no tokens for the terms of a glossary .*leave the glossary out"):
        fitted(Encoder(tokenizer, FORMATS["compact"]), [Ask(EN_DE, "a", None, FULL)], [99])
    assert fitted(Encoder(tokenizer, FORMATS["alma"]), [Ask(EN_DE, "a", None, FULL)], [999])[0].assist == FULL


@pytest.mark.parametrize("form", ["compact", "alma"])
def test_the_translator_reads_the_help_and_tells_what_fitted(form: str) -> None:
    translator = Translator(tiny(form=form))
    decoding = Decoding(max_ratio=0.1, max_extra=4)
    texts = ["the cat sees the dog.", "a house and a tree."]
    alone = translator.translate(texts, EN_DE, decoding)
    short = Context((("cat", "Katze"),))
    helped = translator.translate(texts, EN_DE, decoding, assists=[short, NO_CONTEXT])
    assert [h.assist for h in alone] == [NO_CONTEXT, NO_CONTEXT]
    assert [h.assist for h in helped] == [short, NO_CONTEXT]
    assert helped[0].score != alone[0].score
    assert helped[1].text == alone[1].text
    long = Context((("the cat " * 40, "die Katze " * 40), *short.shots))
    (again,) = translator.translate(texts[:1], EN_DE, decoding, assists=[long])
    assert (again.text, again.assist) == (helped[0].text, short)

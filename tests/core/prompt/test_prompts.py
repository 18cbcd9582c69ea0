"""Prompts: the published templates to the letter, and what must hold for any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.prompt.prompts import FORMATS, Format, named, render
from dragoman.core.text.languages import Direction
from dragoman.errors import ModelError

EN_DE = Direction("en", "de")


def plain(rendered: object) -> str:
    return "".join(piece.text for piece in rendered.pieces)  # type: ignore[attr-defined]


def test_alma_prompt_to_the_letter() -> None:
    found = render(FORMATS["alma"], EN_DE, "The house is small.", "Das Haus ist klein.")
    assert plain(found) == (
        "Translate this from English to German:\nEnglish: The house is small.\nGerman: Das Haus ist klein."
    )
    assert [p.trained for p in found.pieces] == [False, False, True, True]
    assert found.pieces[-1].kind == "end"


def test_adaptive_one_shot_prompt_to_the_letter() -> None:
    found = render(FORMATS["adaptive"], Direction("es", "en"), "Nuevo", shots=[("Viejo", "Old")])
    assert plain(found) == "Spanish: Viejo\nEnglish: Old\nSpanish: Nuevo\nEnglish:"


def test_compact_prompt_with_a_shot() -> None:
    found = render(FORMATS["compact"], EN_DE, "b", "B", shots=[("a", "A")])
    assert [p.text for p in found.pieces] == ["", "<|en|>", "a", "<|de|>", "A", "<|en|>", "b", "<|de|>", "B", ""]
    assert [p.trained for p in found.pieces] == [False] * 8 + [True] * 2


def test_chat_shots_are_earlier_turns() -> None:
    found = render(FORMATS["hunyuan"], EN_DE, "b", "B", shots=[("a", "A")])
    assert [turn.role for turn in found.turns] == ["user", "assistant", "user"]
    assert found.turns[1].text == "A"
    assert found.answer == "B"
    assert found.turns[2].text == "Translate the following segment into German, without additional explanation.\n\nb"


def test_chat_wordings_to_the_letter() -> None:
    found = render(FORMATS["tower-plus"], Direction("en", "pt-PT"), "Hello world!", "Olá")
    assert found.turns[0].text.startswith("Translate the following English source text to ")
    assert found.turns[0].text.endswith(":\nEnglish: Hello world!\nPortuguese (Portugal): ")
    found = render(FORMATS["translategemma"], EN_DE, "{code S} b", shots=[("a", "A")])
    for turn, text in ((found.turns[0], "a"), (found.turns[2], "{code S} b")):
        assert turn.text == (
            "You are a professional English (en) to German (de) translator. Your goal is to accurately convey the meaning and "
            "nuances of the original English text while adhering to German grammar, vocabulary, and cultural sensitivities.\n"
            "Produce only the German translation, without any additional explanations or commentary. "
            f"Please translate the following English text into German:\n\n\n{text}"
        )


def test_terms_stand_right_before_the_sentence() -> None:
    terms = [("a", "A"), ("b", "B")]
    found = render(FORMATS["adaptive"], Direction("es", "en"), "Nuevo", shots=[("Viejo", "Old")], terms=terms)
    assert plain(found) == "Spanish: Viejo\nEnglish: Old\nTerms: a = A - b = B\nSpanish: Nuevo\nEnglish:"
    found = render(FORMATS["compact"], EN_DE, "q", "Q", [("s", "S")], terms)
    assert [p.text for p in found.pieces[1:-1]] == [
        *("<|en|>", "s", "<|de|>", "S"),
        *("<|term|>", "a", "<|means|>", "A", "<|term|>", "b", "<|means|>", "B"),
        *("<|en|>", "q", "<|de|>", "Q"),
    ]
    assert {p.kind for p in found.pieces if p.text.startswith("<|")} == {"control"}
    assert [p.trained for p in found.pieces] == [False] * 16 + [True] * 2
    found = render(FORMATS["hunyuan"], EN_DE, "q", shots=[("s", "S")], terms=terms)
    assert found.turns[2].text.startswith(
        "Refer to the following translations:\na is translated as A\nb is translated as"
    )
    assert "Refer" not in found.turns[0].text


def test_a_prompt_saved_before_there_were_terms_is_read() -> None:
    old = {"name": "x", "kind": "plain", "query": "{src}"}
    assert plain(render(Format.from_json(old), EN_DE, "q", terms=[("a", "{src}")])) == "Terms: a = {src}\nq"


@given(st.text(), st.sampled_from(sorted(FORMATS)))
def test_braces_in_a_text_are_text(text: str, name: str) -> None:
    source = text + " {T} {src} {0}"
    rendered = render(FORMATS[name], EN_DE, source)
    whole = plain(rendered) + "".join(turn.text for turn in rendered.turns)
    assert source.replace("\0", "") in whole.replace("\0", "")
    assert whole.count("{T}") == source.count("{T}")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_saved_and_read_back(name: str) -> None:
    assert Format.from_json(FORMATS[name].to_json()) == FORMATS[name]


def test_unknown_names_are_errors() -> None:
    with pytest.raises(ModelError, match="Known: auto, compact"):
        named("almma")
    with pytest.raises(ModelError, match="cannot be read"):
        Format.from_json({"wrong": 1})

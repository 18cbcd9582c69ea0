"""Instructions in the language of the source, and the prompt that uses them."""

from __future__ import annotations

import pytest

from dragoman.core.prompt.instructions import _WORDS, instruction, own_name
from dragoman.core.prompt.prompts import FORMATS, render
from dragoman.core.text.languages import Direction


@pytest.mark.parametrize(
    ("direction", "said"),
    [
        ("fr-en", "Traduis ce texte (français → anglais):"),
        ("en-fr", "Translate this text (English → French):"),
        ("de-cs", "Übersetze diesen Text (Deutsch → Tschechisch):"),
        ("pt-BR>en", "Traduza este texto (português (Brasil) → inglês):"),
        ("cy-en", "Translate this text (Welsh → English):"),
    ],
)
def test_the_instruction_is_in_the_language_of_the_source(direction: str, said: str) -> None:
    assert instruction(Direction.parse(direction)) == said


def test_every_language_can_name_every_other() -> None:
    assert all(own_name(language, reader) for language in _WORDS for reader in ("fr", "ja", "ar"))


def test_the_native_prompt() -> None:
    rendered = render(FORMATS["native"], Direction("fr", "en"), "Le {I} dort.", "The {I} sleeps.", [("Oui.", "Yes.")])
    text = "".join(piece.text for piece in rendered.pieces)
    assert text == (
        "Traduis ce texte (français → anglais):\nfrançais: Oui.\nanglais: Yes.\nfrançais: Le {I} dort.\nanglais: The {I} sleeps."
    )

"""The same text gives the same prompt, whichever way it comes in, and what has no words is given back."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.assistant import Assistant
from dragoman.core.ports import Completion, Prompt
from dragoman.core.recipe import Normalise
from dragoman.core.text.languages import Direction
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Card
from dragoman.store.formats.documents import Document
from dragoman.store.formats.documents.translate import translate_document
from dragoman.translator import Translator
from tests.tiny import tiny

DE_EN = Direction("de", "en")
LOADED = tiny()
WORDS = st.lists(st.text("aäöüéßKz", min_size=1, max_size=5), min_size=1, max_size=6)
WAYS: dict[str, Callable[[str], str]] = {
    "byte order mark": lambda text: "\ufeff" + text,
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "soft hyphens": "\u00ad".join,
    "zero-width spaces": "\u200b".join,
    "word joiners": lambda text: "\u2060" + text,
    "double spaces": lambda text: text.replace(" ", "  "),
    "tabs": lambda text: text.replace(" ", "\t"),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "narrow no-break spaces": lambda text: text.replace(" ", "\u202f"),
    "ideographic spaces": lambda text: text.replace(" ", "\u3000"),
    "direction marks": lambda text: f"\u200e{text}\u200f",
    "isolates": lambda text: f"\u2068{text}\u2069",
    "line ends": lambda text: text.replace(" ", "\r\n"),
    "space around": lambda text: f" \t{text} \n",
    "control characters": lambda text: f"{text[0]}\x02{text[1:]}",
}


class Heard(Translator):
    """Remembers the prompts that reach the model and answers nothing."""

    def __init__(self) -> None:
        super().__init__(LOADED)
        self.prompts: list[list[int]] = []

    def _decode(self, prompts: Sequence[Prompt], *rest: Any) -> list[Completion]:
        self.prompts += [list(prompt.ids) for prompt in prompts]
        return [Completion("antwort", -1.0, 1, True) for _ in prompts]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@given(words=WORDS)
def test_the_same_text_gives_the_same_prompt(way: str, words: list[str]) -> None:
    plain = " ".join(words)
    heard = Heard()
    heard.translate([plain, WAYS[way](plain)], DE_EN)
    assert heard.prompts[0] == heard.prompts[1]
    encoder = Encoder(LOADED.tokenizer, LOADED.card.prompt)
    assert encoder.encode([heard_prompt(plain)])[0][0] == heard.prompts[0]


def heard_prompt(text: str) -> Any:
    from dragoman.core.prompt.prompts import render

    return render(LOADED.card.prompt, DE_EN, text)


@pytest.mark.parametrize("way", WAYS)
def test_the_command_and_documents_ask_the_same(way: str) -> None:
    plain = "der Hund sieht ein Haus über Käse."
    heard = Heard()
    assistant = Assistant(heard)
    assistant.translate([plain], DE_EN)
    assistant.translate([WAYS[way](plain)], DE_EN)
    assert heard.prompts[0] == heard.prompts[1]
    if way in ("control characters", "line ends"):
        return  # XML has no such character; a line break in a text file ends a unit
    heard.prompts.clear()
    for text in (plain, WAYS[way](plain)):
        data = (
            '<xliff version="1.2"><file source-language="de" target-language="en" original="x" datatype="x"><body>'
            f'<trans-unit id="1"><source>{text}</source></trans-unit></body></file></xliff>'
        ).encode()
        document = Document.open(data, "x.xlf")
        translate_document(document, lambda texts: [h.text for h in heard.translate(texts, DE_EN)], direction=DE_EN)
    assert heard.prompts[0] == heard.prompts[1]


@given(st.lists(st.sampled_from(["---", "?", "\U0001f600", "10:30", "https://a.de/b?c=d", "12,5 %", "", "  ", "Haus"])))
def test_what_has_no_words_is_given_back(texts: list[str]) -> None:
    heard = Heard()
    found = heard.translate(texts, DE_EN)
    assert len(found) == len(texts)
    assert len(heard.prompts) == texts.count("Haus")
    for text, one in zip(texts, found, strict=True):
        assert one.text == ("antwort" if text == "Haus" else text.strip())
        assert one.finished
    answers = Assistant(heard).translate(texts, DE_EN)
    for text, answer in zip(texts, answers, strict=True):
        assert answer.source == text
        assert not answer.flags or text == "Haus"


def test_what_was_done_to_the_training_texts_travels_with_the_model(tmp_path: Path) -> None:
    Card(LOADED.card.prompt, normalise=Normalise(unicode="none", controls=False)).write(tmp_path)
    assert Card.read(tmp_path).normalise == Normalise(unicode="none", controls=False)

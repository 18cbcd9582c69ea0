"""Each parameter of DeepL's `translate_text`, through the official client: it has an effect, is refused, or is named as one without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import deepl
import pytest

from dragoman.server.gateway import Gateway, NullModel
from tests.server.living import Live, faulty, living

TWO = "A first one. A second\nof two lines. Third."
TAGS = "<p>A first one. A <b>second</b></p><p>Of two.</p>"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose engine puts a `!` behind each text that it is asked for."""
    with living(Gateway(tmp_path_factory.mktemp("state"), models=[NullModel()], command=faulty())) as live:
        yield live


def ask(client: deepl.DeepLClient, text: str, **options: Any) -> str:
    found = client.translate_text(text, source_lang="EN", target_lang="DE", **options)
    assert isinstance(found, deepl.TextResult)
    return found.text


@pytest.mark.parametrize(
    ("split", "made"),
    [
        (None, "A first one.! A second!\nof two lines.! Third.!"),
        (deepl.SplitSentences.ALL, "A first one.! A second!\nof two lines.! Third.!"),
        (deepl.SplitSentences.OFF, "A first one. A second\nof two lines. Third.!"),
        (deepl.SplitSentences.NO_NEWLINES, "A first one.! A\nsecond of two lines.! Third.!"),
    ],
)
def test_split_sentences(client: deepl.DeepLClient, split: Any, made: str) -> None:
    assert ask(client, TWO, split_sentences=split) == made


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ({}, "<p>A first one.! A <b>second</b>!</p><p>Of two.!</p>"),
        ({"split_sentences": "0"}, "<p>A first one. A <b>second</b>!</p><p>Of two.!</p>"),
        ({"outline_detection": False}, "<p>A first one.! A <b>second</b></p><p>Of two.</p>!"),
        ({"non_splitting_tags": "P"}, "<p>A first one.! A <b>second</b></p><p>Of two.</p>!"),
        ({"splitting_tags": ["B"]}, "<p>A first one.! A! <b>second!</b></p><p>Of two.!</p>"),
        ({"ignore_tags": ["p"]}, TAGS),
        ({"ignore_tags": "p"}, TAGS),
    ],
)
def test_tags(client: deepl.DeepLClient, options: dict[str, Any], made: str) -> None:
    assert ask(client, TAGS, tag_handling="xml", **options) == made


def test_preserve_formatting(client: deepl.DeepLClient, live: Live) -> None:
    assert ask(client, "the cat") == "the cat!"
    assert ask(client, "the cat", preserve_formatting=True) == "the cat"
    assert ask(client, "the cat", preserve_formatting=False) == "the cat!"
    assert ask(client, "A first one. Second", preserve_formatting=True) == "A first one.! Second"
    assert ask(client, "<p>the <b>cat</b></p>", tag_handling="xml", preserve_formatting=True) == "<p>the <b>cat</b></p>"
    assert live.http.post("/v2/translate", json={"text": "x", "target_lang": "DE", "preserve_formatting": 3}).is_error


def test_preserve_formatting_leaves_a_persons_sentence(client: deepl.DeepLClient) -> None:
    found = client.translate_text("known one. Second", source_lang="DE", target_lang="EN-GB", preserve_formatting=True)
    assert str(found) == "Of a person. Second"
    assert ask(client, "second one. Known", preserve_formatting=True) == "second one.! Of a person."
    assert ask(client, "known", preserve_formatting=True) == "Of a person."


def test_preserve_formatting_leaves_placeholders(client: deepl.DeepLClient) -> None:
    for text in ("{name} sees", "a cat. %s", "See https://example.com/a"):
        made = ask(client, text, preserve_formatting=True)
        assert made.replace("!", "") == text


def test_show_billed_characters_and_model_type(client: deepl.DeepLClient, live: Live) -> None:
    found = client.translate_text("the cat", source_lang="EN", target_lang="DE")
    assert isinstance(found, deepl.TextResult) and (found.billed_characters, found.model_type_used) == (7, None)
    asked = {"text": ["the cat"], "source_lang": "EN", "target_lang": "DE"}
    for shown in (False, True):
        told = live.json("POST", "/v2/translate", json=asked | {"show_billed_characters": shown})["translations"][0]
        assert ("billed_characters" in told) == shown
    for kind in deepl.ModelType:
        told_of = client.translate_text("the cat", source_lang="EN", target_lang="DE", model_type=kind)
        assert isinstance(told_of, deepl.TextResult) and told_of.model_type_used == "quality_optimized"


@pytest.mark.parametrize(
    "options",
    [
        {"formality": "more"},
        {"formality": "less"},
        {"style_rule": "abc"},
        {"custom_instructions": ["Be kind."]},
        {"tag_handling": "xml", "tag_handling_version": "v3"},
        {"split_sentences": "2"},
        {"model_type": "best"},
        {"tag_handling": "markdown"},
    ],
)
def test_what_the_model_cannot_do_is_refused(client: deepl.DeepLClient, options: dict[str, Any]) -> None:
    name = {"style_rule": "style_id"}.get(list(options)[-1], list(options)[-1])
    with pytest.raises(deepl.DeepLException, match=f"Bad request.*{name}"):
        ask(client, "the cat", **options)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, None),
        ({"formality": "default", "ignore_tags": [], "outline_detection": None, "context": "A leaflet."}, None),
        ({"formality": "prefer_more"}, "formality"),
        ({"ignore_tags": ["x"], "splitting_tags": ["y"]}, "splitting_tags, ignore_tags"),
        ({"non_splitting_tags": ["x"], "tag_handling_version": "v2"}, "tag_handling_version, non_splitting_tags"),
        ({"ignore_tags": ["x"], "tag_handling": "xml", "outline_detection": False}, None),
        ({"outline_detection": False, "tag_handling": "html"}, "outline_detection"),
        ({"outline_detection": True}, "outline_detection"),
        ({"translation_memory_threshold": 80}, "translation_memory_threshold"),
    ],
)
def test_what_is_accepted_without_an_effect_is_named(live: Live, fields: dict[str, Any], named: str | None) -> None:
    asked = {"text": ["the cat"], "source_lang": "EN", "target_lang": "DE", **fields}
    answer = live.http.post("/v2/translate", json=asked)
    assert answer.status_code == 200 and answer.headers.get("x-dragoman-without-effect") == named

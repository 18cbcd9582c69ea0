"""Pairs of people: whichever way their file was written, the model learns the same texts."""

from __future__ import annotations

import json
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.corpus.preferences import Ranked
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.prefer import Prefer
from dragoman.errors import DataError
from dragoman.stages.train.candidates import _of_people

RECIPE = """
pairs: [en-fr]
model: {base: some/model}
train: [{prefer: {people: PATH, sources: 4}}]
"""
CLEAN = {"source": "Où est l'été ?", "better": "It is à la carte.", "worse": "Il est parti.", "direction": "en-fr"}
FORMS = [
    lambda text: text,
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: text.replace(" ", "\u00a0"),
    lambda text: text.replace(" ", " \u200b"),
    lambda text: "\ufeff" + text.replace(" ", "  ") + "\r\n",
    lambda text: text.replace("e", "e\u00ad"),
]


def people(data: bytes) -> list[Ranked]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.jsonl"
        path.write_bytes(data)
        recipe = Recipe.parse(RECIPE.replace("PATH", str(path)), "recipe.yaml")
        return _of_people(recipe, Prefer.given(recipe.train[0].section), set())


@pytest.mark.slow
@given(
    st.tuples(*[st.sampled_from(FORMS)] * 3),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_every_way_of_writing_gives_the_same_pair(
    forms: tuple[object, ...], end: str, mark: bool, escaped: bool, blank: bool
) -> None:
    texts = {name: form(CLEAN[name]) for form, name in zip(forms, CLEAN, strict=False)}  # type: ignore[operator]
    line = json.dumps({**CLEAN, **texts}, ensure_ascii=escaped) + end
    written = ("\ufeff" * mark + line + end * blank).encode()
    assert people(written) == people((json.dumps(CLEAN) + "\n").encode())


@given(st.sampled_from(FORMS))
def test_what_differs_in_its_writing_alone_teaches_nothing(form: object) -> None:
    row = {**CLEAN, "worse": form(CLEAN["better"])}  # type: ignore[operator]
    [one] = people(json.dumps(row).encode())
    assert not one.pairs and dict(one.dropped) == {"same text": 1}


def test_another_encoding_is_told() -> None:
    with pytest.raises(DataError, match=r"pairs\.jsonl: is not UTF-8"):
        people(json.dumps(CLEAN).encode("utf-16"))


def test_a_pair_of_people_keeps_who_said_it_and_when() -> None:
    said = {"author": "anna", "date": "2026-05-04T08:00:00+00:00"}
    [one] = people(json.dumps({**CLEAN, **said}).encode())
    better, worse = one.to_json()["candidates"]
    assert {name: better[name] for name in said} == said and "author" not in worse

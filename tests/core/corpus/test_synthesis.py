"""The steps of each mode, how answers are read, and diversity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.corpus.synthesis import (
    Draft,
    Novelty,
    Reply,
    Request,
    Synthetic,
    apply,
    distinct,
    grams,
    places,
    steps,
    way_back,
)
from dragoman.core.prompt import synthesis_prompts as prompts
from dragoman.core.recipe.synthesise import Make, Source
from dragoman.core.text.languages import Direction

EN_FR = Direction("en", "fr")


def draft(mode: str = "forward", **fields: object) -> Draft:
    values: dict[str, object] = {"source": "The cat sleeps.", "origin": "mono.en", "line": 4, "seed": 7, **fields}
    return Draft(mode, EN_FR, values.pop("made", "target"), "t", **values)  # type: ignore[arg-type]


def make(mode: str, **fields: object) -> Make:
    return Make.model_validate({mode: {"teacher": "t", **fields}})


def asked(request: Request | None) -> str:
    assert request is not None
    return request.turns[0].text


# ---------------------------------------------------------------- steps


def test_forward_and_back_translation_ask_for_the_other_side() -> None:
    [forward] = steps(make("forward"), [])
    request = forward.ask(draft())
    assert request is not None and (request.text, request.direction) == ("The cat sleeps.", EN_FR)
    assert "English text into French" in asked(request) and asked(request).endswith("\n\nThe cat sleeps.")
    [made] = apply(forward, draft(), Reply(" « Le chat dort. » ", -0.5, digest="d1"))
    assert (made.target, made.made, made.prompt, made.log_probability) == ("Le chat dort.", "target", "d1", -0.5)
    [back] = steps(make("back"), [])
    request = back.ask(draft("back", source="", target="Le chat dort.", made="source"))
    assert request is not None and (request.text, request.direction) == ("Le chat dort.", Direction("fr", "en"))


def test_the_way_back_starts_at_the_side_that_was_made() -> None:
    step = way_back("r")
    for made, direction, text in (("target", "fr-en", "Le chat dort."), ("source", "en-fr", "The cat sleeps.")):
        row = draft(target="Le chat dort.", made=made, prompt="d1")
        request = step.ask(row)
        assert request is not None and (str(request.direction), request.text) == (direction, text)
        [after] = apply(step, row, Reply("So it came back.", digest="d2"))
        assert (after.note, after.prompt, after.generated) == ("So it came back.", "d1", text)


def test_refinement_criticises_and_mends_only_where_there_is_something_to_mend() -> None:
    _, criticise, mend = steps(make("refine", critic="c"), [])
    row = draft(target="Le chat dorment.", prompt="d1")
    assert (criticise.teacher, mend.teacher) == ("c", "t")
    assert "The cat sleeps." in asked(criticise.ask(row)) and "Le chat dorment." in asked(criticise.ask(row))
    [bad] = apply(criticise, row, Reply("- agreement: dorment\n- else fine", digest="d2"))
    assert bad.prompt == "d1" and "agreement: dorment" in asked(mend.ask(bad))
    [mended] = apply(mend, bad, Reply("Le chat dort.", -0.1, digest="d3"))
    assert (mended.target, mended.prompt, mended.log_probability) == ("Le chat dort.", "d1 + d3", -0.1)
    [good] = apply(criticise, row, Reply("None.", digest="d2"))
    assert mend.ask(good) is None


def test_paraphrase_keeps_the_other_side() -> None:
    for side, language in (("source", "English"), ("target", "French")):
        [step] = steps(make("paraphrase", side=side), [])
        row = draft("paraphrase", target="Le chat dort.", made=side)
        request = step.ask(row)
        assert request is not None and request.direction is None and request.temperature == 0.7
        assert f"{language} text in other {language} words" in asked(request) and row.generated in asked(request)
        [made] = apply(step, row, Reply("Something else."))
        assert made.generated == "Something else." and made.given == row.given


def test_source_side_generation_has_a_place_for_every_row() -> None:
    task = Source(teacher="t", rows=25, per_request=10, topics=["business", "travel"], role="You are a guide.")
    drafts = places(task, EN_FR, seed=7)
    assert [d.wanted for d in drafts] == [10, 10, 5]
    assert [(d.note, d.seed) for d in drafts] == [("business", 7), ("travel", 7), ("business", 8)]
    write, translate = steps(Make(source=task), ["One.", "Two.", "Three.", "Four."])
    text = asked(write.ask(drafts[0]))
    assert text.startswith("You are a guide.") and "10 different English sentences about business" in text
    assert "One.\nTwo.\nThree." in text and "Four." not in text
    assert "Four.\nOne.\nTwo." in asked(write.ask(drafts[1]))
    rows = apply(write, drafts[2], Reply("1. A cat.\n2) A dog.\n- A cow.", digest="d"))
    assert [row.source for row in rows if not row.reason] == ["A cat.", "A dog.", "A cow."]
    assert [row.line for row in rows if not row.reason] == [21, 22, 23]
    assert [(row.reason, row.wanted) for row in rows if row.reason] == [("too_few", 2)]
    assert sum(row.wanted for row in apply(write, drafts[2], Reply("\n".join("abcdefg")))) == 7  # more than asked for
    assert asked(translate.ask(rows[0])).endswith("A cat.")


def test_a_translator_of_its_own_is_named_beside_the_writer() -> None:
    write, translate = steps(make("source", translator="m"), [])
    assert (write.teacher, translate.teacher) == ("t", "m")
    [row] = apply(translate, draft("source"), Reply("Le chat dort."))
    assert row.teacher == "t + m"


def test_no_answer_is_a_reason() -> None:
    [step] = steps(make("forward"), [])
    assert apply(step, draft(), Reply(failure="timeout", detail="1 s"))[0].reason == "timeout"
    assert apply(step, draft(), Reply("  \n "))[0].reason == "no_answer"
    [nonsense] = apply(step, draft(), Reply("One.\nTwo.\nThree."))
    assert nonsense.reason == "format" and nonsense.detail == "3 lines instead of one: One. Two. Three."
    assert apply(step, draft(), Reply("word " * 2000))[0].reason == "format"


def test_a_synthetic_row_is_an_example_that_knows_where_it_comes_from() -> None:
    row = Synthetic.of(draft(target="Le chat dort.", prompt="d1", round_trip=81.5))
    assert (row.direction, row.origin, row.line, row.weight) == (EN_FR, "mono.en", 4, 1.0)
    assert (row.mode, row.made, row.teacher, row.prompt, row.seed) == ("forward", "target", "t", "d1", 7)
    assert row.round_trip == 81.5 and row.log_probability is None
    assert row.reversed.mode == "forward" and row.reversed.source == "Le chat dort."


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("Le chat dort.", "Le chat dort."),
        ("  Le chat dort.\n\n", "Le chat dort."),
        ('"Le chat dort."', "Le chat dort."),
        ("« Le chat dort. »", "Le chat dort."),
        ("„Die Katze schläft.“", "Die Katze schläft."),
        ('"Oui" et "non"', '"Oui" et "non"'),
        ("Here is the translation:\n\nLe chat dort.", "Le chat dort."),
        ("```\nLe chat dort.\n```", "Le chat dort."),
        ("```text\nLe chat dort.\n```", "Le chat dort."),
        ("<think>cat is chat\nso ...</think>\nLe chat dort.", "Le chat dort."),
        ("Note : il dort.", "Note : il dort."),
        ("", ""),
    ],
)
def test_one_line(answer: str, text: str) -> None:
    assert prompts.one_line(answer, "The cat sleeps.") == text


def test_quotes_stay_where_the_text_had_them() -> None:
    assert prompts.one_line('"Assez !"', '"Enough!"') == '"Assez !"'


def test_sentences_lose_their_numbers_and_their_headline() -> None:
    answer = 'Here are three sentences:\n\n1. A cat sleeps.\n(2) 3 dogs bark.\n* "It rains."\n• 12.5 litres.'
    assert prompts.sentences(answer) == ["A cat sleeps.", "3 dogs bark.", "It rains.", "12.5 litres."]


@pytest.mark.parametrize("text", ["none", "None.", "  NONE", "No errors found.", "There", ""])
def test_a_critique_that_finds_nothing(text: str) -> None:
    assert prompts.finds_nothing(text) == (text != "There")


@given(st.text(max_size=60))
def test_whatever_is_answered_is_one_line_or_refused(answer: str) -> None:
    try:
        text = prompts.one_line(answer, "x")
    except prompts.NonsenseError:
        return
    assert "\n" not in text and text == text.strip()
    assert all("\n" not in line and line for line in prompts.sentences(answer) if line)


# ---------------------------------------------------------------- diversity


def test_distinct_counts_different_n_grams() -> None:
    found = distinct(["the cat sees the dog", "the cat"], "en")
    assert found == {"1": round(4 / 7, 4), "2": round(4 / 5, 4), "3": 1.0, "4": 1.0}
    assert distinct([], "en") == {} and distinct(["猫猫狗"], "zh")["1"] == round(2 / 3, 4)


def test_short_texts_are_one_gram() -> None:
    assert grams("Yes.", "en", 3) == [("yes.",)] and grams("", "en", 3) == []


def test_novelty_falls_with_what_has_been_seen() -> None:
    seen = Novelty()
    assert seen.of("a b c d", "en") == 1.0
    seen.add("a b c d", "en")
    assert seen.of("A B C D", "en") == 0.0 and seen.of("a b c e", "en") == 0.5

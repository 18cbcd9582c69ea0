from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.prompt.terms import Finder, Term, contains, contains_exactly, obeyed, stem


def term(source: str, target: str = "x", source_language: str = "en", target_language: str = "fr") -> Term:
    return Term(source, target, source_language, target_language)


def found(text: str, *sources: str, language: str = "en") -> list[str]:
    finder = Finder(language, [term(s, source_language=language) for s in sources])
    return [occurrence.term.source for occurrence in finder.find(text)]


@pytest.mark.parametrize(
    ("text", "sources", "expected"),
    [
        ("He has high blood pressure.", ["blood", "blood pressure", "pressure"], ["blood pressure"]),
        ("Two tablets, one Tablet", ["tablet"], ["tablet", "tablet"]),
        ("active-cases and active  cases", ["active case"], ["active case", "active case"]),
        ("active, cases. Active. Cases", ["active case"], []),
        ("Those who work at the WHO", ["WHO"], ["WHO"]),
        ("Two ICUs were full", ["ICU"], ["ICU"]),
        ("an mRNA, no MRNA", ["mRNA"], ["mRNA"]),
        ("Write C++ or C, not Vitamin C", ["C++"], ["C++"]),
        ("a caseload", ["case"], []),
        ("nothing", [], []),
        ("SARS-CoV-2 is not SARS-CoV", ["SARS-CoV-2", "SARS-CoV"], ["SARS-CoV-2", "SARS-CoV"]),
        ("vitamin B12 and B1", ["vitamin B12", "B1"], ["vitamin B12", "B1"]),
        ("1918 flu, not 1919 flu", ["1918 flu"], ["1918 flu"]),
        ("one case, two cases", ["case", "cases"], ["case", "cases"]),  # as written goes before inflected
    ],
)
def test_terms_in_english(text: str, sources: list[str], expected: list[str]) -> None:
    assert found(text, *sources) == expected


@pytest.mark.parametrize(
    ("language", "text", "source"),
    [
        ("de", "Die Häuser stehen leer.", "Haus"),
        ("de", "mit akuten Atemwegserkrankungen", "akute Atemwegserkrankung"),
        ("fr", "de l’eau contagieuse", "eau contagieux"),
        ("ru", "в больницах города", "больница"),
        ("cs", "v nemocnici", "nemocnice"),
        ("pl", "w szpitalach", "szpital"),
        ("uk", "у лікарнях", "лікарня"),  # no Snowball stemmer: by its beginning
        ("fi", "sairaalassa", "sairaala"),
        ("ko", "병원에서 봤다", "병원"),
        ("ja", "新型コロナウイルス感染症の症状", "コロナウイルス"),
        ("zh", "他感染了新冠病毒。", "新冠病毒"),
        ("th", "ผู้ป่วยมีไข้", "ไข้"),
        ("ar", "الفيروس", "فيروس"),
    ],
)
def test_inflected_forms_and_other_scripts(language: str, text: str, source: str) -> None:
    assert found(text, source, language=language) == [source]
    assert contains(text, source, language)


@pytest.mark.parametrize(
    ("language", "text", "source"),
    [
        ("ja", "スーパーカー", "カー"),  # a run of katakana is one word
        ("ko", "병원장비관리자", "병원"),
        ("uk", "лікування", "лікарня"),
        ("zh", "他感染了病毒", "新冠病毒"),
        ("en", "horses", "house"),
    ],
)
def test_what_is_another_word(language: str, text: str, source: str) -> None:
    assert found(text, source, language=language) == []


def test_alternatives_come_together() -> None:
    finder = Finder("en", [term("drug", "médicament"), term("drug", "drogue"), term("drugs", "stupéfiants")])
    assert [o.term.target for o in finder.find("a drug")] == ["médicament", "drogue"]
    assert [o.term.target for o in finder.find("the drugs")] == ["stupéfiants"]


WORDS = st.sampled_from(["red", "car", "cars", "big", "WHO", "who", "2", "汽", "车"])
PHRASE = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)


@given(st.lists(PHRASE, max_size=6), st.lists(WORDS, max_size=8).map(" ".join))
def test_occurrences_are_in_the_text_and_do_not_overlap(sources: list[str], text: str) -> None:
    occurrences = Finder("en", [term(s) for s in sources]).find(text)
    for o in occurrences:
        assert o.exact == (text[o.start : o.end].casefold() == o.term.source.casefold())
    for a, b in pairwise(occurrences):
        assert a.end <= b.start or (a.start, a.end) == (b.start, b.end)
    # whatever stands there as it is and is not inside a longer one is found
    longest = max((s for s in sources if f" {s} " in f" {text} "), key=len, default=None)
    assert longest is None or any(o.end - o.start >= len(longest) for o in occurrences)


@pytest.mark.parametrize(
    ("language", "text", "target", "expected"),
    [
        ("fr", "Les cas actifs", "cas actif", True),
        ("fr", "La phase active", "actif", True),
        ("fr", "C’est de l’eau", "eau", True),
        ("fr", "Le bateau", "eau", False),
        ("de", "die Grippewelle", "Grippe", True),
        ("de", "das Grippevirus", "Virus", True),
        ("de", "die Infektion", "Virus", False),
        ("fr", "le virus", "VIH", False),
        ("fr", "selon l'OMS", "OMS", True),
        ("en", "written in C++.", "C++", True),
        ("zh", "新冠病毒", "病毒", True),
    ],
)
def test_contains(language: str, text: str, target: str, expected: bool) -> None:
    assert contains(text, target, language) is expected


def test_any_of_the_alternatives_obeys() -> None:
    terms = [term("drug", "médicament"), term("Drug", "drogue"), term("cat", "chat")]
    assert obeyed("Ces médicaments", terms) == [True, True, False]
    assert obeyed("", terms) == [False, False, False]


def test_stems() -> None:
    assert stem("tablets", "en-GB") == "tablet"
    assert stem("stranica", "hr") == stem("stranice", "hr")
    assert stem("лікарня", "uk") == "лікарня"


def test_the_very_form_but_for_case() -> None:
    assert contains_exactly("Deux Cas actifs, hier", "cas actifs")
    assert not contains_exactly("Deux cas, actifs hier, un cas actif", "cas actifs d")
    assert not contains_exactly("un cas actif", "cas actifs")
    assert not contains_exactly("encas", "cas")
    assert contains_exactly("发热的病人", "发热")


@pytest.mark.parametrize(
    "source", ["a.b*c", "U.S. law", "10 %", "n°5", "St. John", "x | y", "( a ) ", "C++", ".NET", "1, 2", "a -> b"]
)
def test_a_term_is_found_as_it_is_written(source: str) -> None:
    assert found(f"We met {source} here.", source) == [source]


@given(
    st.lists(
        st.sampled_from(["ab", "C", "12", "é", "漢", "*", ".", "%", " ", "|", "(", "\\", "/", "$"]), min_size=1
    ).map("".join)
)
def test_any_term_with_a_word_is_found_where_it_stands_alone(written: str) -> None:
    source = " ".join(written.split())
    if any(map(str.isalnum, source)):
        assert found(source, source) == [source]
        assert contains(source, source, "en")

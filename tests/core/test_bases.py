from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.bases import BASES, KINDS, Base, Licence, choose
from dragoman.core.text.languages import Direction, primary, tag

EVERY = sorted(set().union(*(base.languages for base in BASES)))


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.id)
def test_the_table_is_well_formed(base: Base) -> None:
    assert base.kind in KINDS["any"]
    assert 0.1 < base.parameters < 10
    assert base.source
    assert base.id.count("/") == 1
    assert [language for language in base.languages if primary(tag(language)) != language] == []


def test_no_base_is_listed_twice() -> None:
    assert len({base.id for base in BASES}) == len(BASES)


@pytest.mark.parametrize(
    ("pair", "memory", "licence", "chosen"),
    [
        ("en-fr", None, "permissive", "NiuTrans/LMT-60-0.6B-Base"),
        ("en-fr", 16, "permissive", "NiuTrans/LMT-60-1.7B-Base"),
        ("en-fr", 48, "permissive", "utter-project/EuroLLM-9B"),
        ("en-mt", 12, "permissive", "utter-project/EuroLLM-1.7B"),  # Maltese is not among the 60 of LMT
        ("en-eu", 8, "permissive", "Qwen/Qwen3-0.6B-Base"),
        ("no>en", 8, "permissive", "NiuTrans/LMT-60-0.6B-Base"),
        ("pt-BR>zh-Hant", 8, "permissive", "NiuTrans/LMT-60-0.6B-Base"),
        ("id-ceb", 9, "permissive", "sail/Sailor2-1B"),
        ("en-fr", 6, "conditions", "google/gemma-3-270m"),
        ("en-is", 16, "any", "Unbabel/Tower-Plus-2B"),
    ],
)
def test_the_base_suits_languages_memory_and_licence(
    pair: str, memory: float | None, licence: Licence, chosen: str
) -> None:
    assert choose([Direction.parse(pair)], memory=memory, licence=licence).base.id == chosen


def test_the_measured_run_is_what_the_guess_starts_from() -> None:
    measured = next(base for base in BASES if base.id == "google/gemma-3-270m")
    assert measured.gib == pytest.approx(5.72)


def test_what_is_too_little_or_unknown_is_said() -> None:
    small = choose([Direction("en", "fr")], memory=1)
    assert small.base.id == "Qwen/Qwen3-0.6B-Base"
    assert "takes 7 GiB" in small.doubts[0]
    (unknown,) = choose([Direction("en", "gag"), Direction("gag", "en")]).doubts
    assert unknown.startswith("no listed base is known to have learned Gagauz:")


@given(
    st.lists(st.sampled_from([*EVERY, "gag", "que", "nv"]), min_size=2, max_size=4, unique=True),
    st.floats(1, 100),
    st.sampled_from(["permissive", "conditions", "any"]),
)
def test_no_choice_breaks_what_was_asked(languages: list[str], memory: float, licence: Licence) -> None:
    pairs = [Direction(languages[0], other) for other in languages[1:]]
    choice = choose(pairs, memory=memory, licence=licence)
    allowed = [base for base in BASES if base.kind in KINDS[licence]]
    assert choice.base in allowed
    assert len(choice.base.knows(languages)) == max(len(base.knows(languages)) for base in allowed)
    assert (choice.base.gib <= memory) or any("takes" in doubt for doubt in choice.doubts)
    assert choice.base not in choice.others
    assert choose(pairs, memory=memory, licence=licence) == choice

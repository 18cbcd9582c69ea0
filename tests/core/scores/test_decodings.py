"""Names of decodings, with and without help."""

from __future__ import annotations

from dragoman.core.recipe import Evaluate
from dragoman.core.scores.decodings import closed_ways, ways


def test_each_decoding_with_each_number_of_examples_and_with_terms() -> None:
    settings = Evaluate.model_validate({"decode": [{}, {"beam": 4}], "shots": [0, 1, 3], "glossary": True})
    found = [(way.name, way.shots, way.terms, way.alone) for way in ways(settings)]
    assert found[:4] == [
        ("greedy", 0, False, None),
        ("greedy-1shot", 1, False, "greedy"),
        ("greedy-3shot", 3, False, "greedy"),
        ("greedy-terms", 0, True, "greedy"),
    ]
    assert [name for name, *_ in found[4:]] == ["beam4", "beam4-1shot", "beam4-3shot", "beam4-terms"]


def test_names_are_never_shared() -> None:
    settings = Evaluate.model_validate(
        {"decode": [{}, {"max_extra": 1}, {"beam": 2, "length_penalty": 0.6}, {"sample": {}}, {"mbr": {}}]}
    )
    assert [way.name for way in ways(settings)] == ["greedy", "greedy-2", "beam2-lp0.6", "sample", "mbr64"]


def test_random_examples_have_names_of_their_own() -> None:
    settings = Evaluate.model_validate({"shots": [0, 1], "random_shots": [1, 5]})
    assert [way.name for way in ways(settings)] == ["greedy", "greedy-1shot", "greedy-1random", "greedy-5random"]


def test_closed_generation_has_the_same_prompts_without_decodings_and_terms() -> None:
    settings = Evaluate.model_validate(
        {"decode": [{}, {"beam": 4}], "shots": [0, 1, 5], "random_shots": [2], "glossary": True, "closed": 4}
    )
    found = closed_ways(settings)
    assert [way.name for way in found] == ["closed", "closed-1shot", "closed-5shot", "closed-2random"]
    assert [(way.shots, way.random, way.terms) for way in found] == [
        (0, False, False), (1, False, False), (5, False, False), (2, True, False)
    ]  # fmt: skip

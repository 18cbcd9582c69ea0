"""The assistant with a translator whose every answer is known, and with a tiny real model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.assistant import Assistant, Settings, settings_of
from dragoman.assistant.tally import Tally
from dragoman.core.answers import CERTAIN
from dragoman.core.listen import SILENT, Listener
from dragoman.core.memory.matching import similarity
from dragoman.core.prompt.terms import Term
from dragoman.core.recipe import Decoding
from dragoman.core.records import NO_CONTEXT, Context, Example, Hypothesis
from dragoman.core.scores.confidence import Calibration
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.memory.glossary import Glossary
from dragoman.store.memory.translation_memory import Memory
from dragoman.store.run.confidence import Calibrations

EN_FR = Direction("en", "fr")
TERMS = Glossary([Term("tablet", "comprimé", "en", "fr"), Term("meal", "repas", "en", "fr")])
GOOD = {
    "Take 2 tablets now.": "Prenez 2 comprimés maintenant.",
    "Take 3 tablets now.": "Prenez 3 comprimés maintenant.",
    "Go home.": "Rentrez.",
    "Before a meal.": "Avant un repas.",
    "Sleep well, my friend.": "Dors bien, mon ami.",
}
Make = Callable[[str, int, Context], tuple[str, float]]


class Scripted:
    """Answers from a function of text, beam and help; remembers what it was asked."""

    def __init__(self, make: Make | None = None) -> None:
        self.make = make or (lambda text, beam, assist: (GOOD.get(text, ""), -0.5))
        self.asked: list[tuple[str, int, Context]] = []
        self.directions = [EN_FR, EN_FR.reversed]

    def direction(self, target: str, source: str | None = None) -> Direction:
        raise NotImplementedError

    def translate(
        self,
        texts: Sequence[str],
        direction: Direction,
        decoding: Decoding | None = None,
        listener: Listener = SILENT,
        assists: Sequence[Context] | None = None,
    ) -> list[Hypothesis]:
        assert decoding is not None
        found = []
        for text, assist in zip(texts, assists or [NO_CONTEXT] * len(texts), strict=True):
            self.asked.append((text, decoding.beam, assist))
            made, score = self.make(text, decoding.beam, assist)
            found.append(Hypothesis(made, score, len(made.split()) + 1 if text else 0, True, assist))
        return found


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "memory.sqlite", create=True) as opened:
        opened.add(
            [
                Example("Take 2 tablets now.", "Prenez deux comprimés maintenant.", "en", "fr", "tm.tmx", 7),
                Example("Sleep well.", "Dors bien.", "en", "fr", "tm.tmx", 8),
            ]
        )
        opened.add([Example("Go home.", "Va-t'en.", "en", "fr")], "another")
        yield opened


def test_an_exact_match_is_the_answer_and_a_fuzzy_one_an_example(memory: Memory) -> None:
    model = Scripted()
    assistant = Assistant(model, memory=memory, glossary=TERMS)
    exact, fuzzy, alone, empty = assistant.translate(
        ["Take 2 tablets now.", "Take 3 tablets now.", "Go home.", ""], EN_FR
    )
    assert (exact.text, exact.origin, exact.confidence) == ("Prenez deux comprimés maintenant.", "memory", CERTAIN)
    assert (exact.percent, exact.matches[0].origin, exact.matches[0].line, exact.attempts) == (100, "tm.tmx", 7, ())
    assert (fuzzy.text, fuzzy.origin, fuzzy.percent) == ("Prenez 3 comprimés maintenant.", "model", 93)
    assert [term.target for term in fuzzy.terms] == ["comprimé"]
    help_given = Context((("Take 2 tablets now.", "Prenez deux comprimés maintenant."),), (("tablet", "comprimé"),))
    assert model.asked == [("Take 3 tablets now.", 1, help_given), ("Go home.", 1, NO_CONTEXT), ("", 1, NO_CONTEXT)]
    assert (alone.matches, alone.terms, alone.flags) == ((), (), ())
    assert (empty.text, empty.flags) == ("", ())
    assert assistant.tally == Tally(4, 1, {"85-95": 1}, 2, 2, unrated=2)  # type: ignore[arg-type]
    assert json.loads(json.dumps(fuzzy.to_json()))["matches"][0]["percent"] == 93


def test_exact_matches_and_help_can_be_switched_off(memory: Memory) -> None:
    model = Scripted()
    settings = Settings(exact=False, shots=0, terms=0)
    answer = Assistant(model, memory=memory, glossary=TERMS, settings=settings).translate(
        ["Take 2 tablets now."], EN_FR
    )[0]
    assert (answer.text, answer.origin) == ("Prenez 2 comprimés maintenant.", "model")
    assert model.asked == [("Take 2 tablets now.", 1, NO_CONTEXT)]
    model.asked.clear()
    strict = Settings(exact=False, min_match=0.95)
    Assistant(model, memory=memory, settings=strict).translate(["Take 3 tablets now."], EN_FR)
    assert model.asked == [("Take 3 tablets now.", 1, NO_CONTEXT)]
    shots = Settings(exact=False)
    Assistant(model, memory=memory, settings=shots).translate(["Take 2 tablets now."], EN_FR)
    assert model.asked[-1][2].shots == (("Take 2 tablets now.", "Prenez deux comprimés maintenant."),)


def test_a_query_of_its_own_is_searched_but_never_exact(memory: Memory) -> None:
    model = Scripted(lambda text, beam, assist: ("Prenez <1>2</1> comprimés maintenant.", -0.1))
    text = "Take <1>2</1> tablets now."
    answer = Assistant(model, memory=memory).translate([text], EN_FR, queries=["Take 2 tablets now."])[0]
    assert (answer.origin, answer.percent, answer.flags) == ("model", 100, ())
    assert model.asked[0][2].shots[0][0] == "Take 2 tablets now."


def test_what_was_confirmed_helps_the_next_sentence(memory: Memory) -> None:
    assistant = Assistant(Scripted(), memory=memory)
    assert assistant.translate(["Go home."], EN_FR)[0].text == "Rentrez."
    assert assistant.confirm("Go home.", "Rentre chez toi.", EN_FR, creator="ana")
    assert not assistant.confirm("Go home.", "Rentre chez toi.", EN_FR)
    first, turned = (
        assistant.translate(["Go home."], EN_FR)[0],
        assistant.translate(["Rentre chez toi."], EN_FR.reversed)[0],
    )
    assert (first.text, first.matches[0].creator, first.matches[0].origin) == ("Rentre chez toi.", "ana", "confirmed")
    assert turned.text == "Go home."
    assistant.confirm("Go home.", "Allez à la maison.", EN_FR)
    assert assistant.translate(["Go home."], EN_FR)[0].text == "Allez à la maison."  # the newest of equals
    with pytest.raises(DataError, match="cannot be kept: empty"):
        assistant.confirm("Go home.", " ", EN_FR)
    with pytest.raises(DataError, match="without a memory"):
        Assistant(Scripted()).confirm("a", "b", EN_FR)


def test_only_the_tenants_own_memory_is_used(memory: Memory) -> None:
    other = Assistant(Scripted(), memory=memory, settings=Settings(tenant="another"))
    assert other.translate(["Go home.", "Sleep well."], EN_FR)[0].text == "Va-t'en."
    assert other.translate(["Sleep well, my friend."], EN_FR)[0].matches == ()


def test_the_context_decides_between_equals(memory: Memory) -> None:
    for before, target in [("Open the door.", "Oui"), ("Close the door.", "Si")]:
        memory.add([Example("Yes", target, "en", "fr")], context=before)
    assistant = Assistant(Scripted(), memory=memory)
    found = assistant.translate(["Yes", "Yes"], EN_FR, contexts=["Open the door.", "Close the door."])
    assert [(answer.text, answer.percent) for answer in found] == [("Oui", 101), ("Si", 101)]
    recalled = assistant.recall(["Yes", "No"], EN_FR, ["Open the door.", ""])
    assert [one and one.text for one in recalled] == ["Oui", None]


# ---------------------------------------------------------------- doubts


def test_a_doubtful_translation_is_made_again_and_the_better_kept() -> None:
    def make(text: str, beam: int, assist: Context) -> tuple[str, float]:
        return ("Prenez 2 comprimés maintenant.", -0.9) if beam > 1 else ("Prenez 5 comprimés maintenant.", -0.1)

    model = Scripted(make)
    assistant = Assistant(model)
    answer = assistant.translate(["Take 2 tablets now."], EN_FR)[0]
    assert (answer.text, answer.flags, answer.score) == ("Prenez 2 comprimés maintenant.", (), -0.9)
    assert [(a.beam, a.flags) for a in answer.attempts] == [(1, ("number",)), (4, ())]
    assert (assistant.tally.retried, assistant.tally.mended, assistant.tally.better) == (1, 1, 1)
    assert Assistant(model, settings=Settings(retry=False)).translate(["Take 2 tablets now."], EN_FR)[0].flags == (
        "number",
    )


def test_an_example_that_misleads_is_left_out(memory: Memory) -> None:
    def make(text: str, beam: int, assist: Context) -> tuple[str, float]:
        return ("Prenez 2 comprimés.", -0.1) if assist.shots else ("Prenez 3 comprimés.", -2.0)

    answer = Assistant(Scripted(make), memory=memory, glossary=TERMS).translate(["Take 3 tablets now."], EN_FR)[0]
    assert (answer.text, answer.flags, answer.percent) == ("Prenez 3 comprimés.", (), 93)
    assert answer.examples == 0 and not answer.to_json()["matches"][0]["in_prompt"]  # shown all the same
    assert [(a.beam, a.shots, a.terms) for a in answer.attempts] == [(1, 1, 1), (4, 1, 1), (1, 0, 1)]


def test_what_stays_doubtful_is_marked_and_counted() -> None:
    worse = {1: ("Prenez 5 pilules maintenant.", -0.1), 4: ("", -0.01)}
    assistant = Assistant(Scripted(lambda text, beam, assist: worse[beam]), glossary=TERMS)
    answer = assistant.translate(["Take 2 tablets now."], EN_FR)[0]
    assert (answer.text, answer.flags) == ("Prenez 5 pilules maintenant.", ("number", "term"))
    assert assistant.tally.to_json()["flags"] == {"number": 1, "term": 1}
    assert (assistant.tally.flagged, assistant.tally.mended, assistant.tally.better) == (1, 0, 0)


def test_a_wide_beam_is_followed_by_greedy() -> None:
    model = Scripted(lambda text, beam, assist: (text, -1.0))
    Assistant(model, settings=Settings(decoding=Decoding(beam=6))).translate(["Sleep well, my friend."], EN_FR)
    assert [beam for _, beam, _ in model.asked] == [6, 1]


def test_a_persons_translation_is_doubted_for_facts_only(memory: Memory) -> None:
    memory.add(
        [Example("Press OK 250 times", "Press OK 250 times", "en", "fr"), Example("10 mg of it", "20 mg", "en", "fr")]
    )
    found = Assistant(Scripted(), memory=memory).translate(["Press OK 250 times", "10 mg of it"], EN_FR)
    assert [answer.flags for answer in found] == [(), ("number",)]


# ---------------------------------------------------------------- confidence


def test_confidence_is_the_expected_chrf() -> None:
    calibrations = Calibrations({("en-fr", "greedy"): Calibration((-1.0, 0.0), (20.0, 80.0))})
    assistant = Assistant(Scripted(), calibrations=calibrations)
    answer, empty = assistant.translate(["Go home.", ""], EN_FR)
    assert (answer.confidence, empty.confidence) == (50.0, None)
    assert assistant.translate(["Rentrez."], EN_FR.reversed)[0].confidence is None


def test_help_in_the_prompt_has_a_calibration_of_its_own(memory: Memory) -> None:
    flat = {
        name: Calibration((-1.0, 0.0), (value, value)) for name, value in [("greedy", 10.0), ("greedy-1shot", 30.0)]
    }
    calibrations = Calibrations({("en-fr", name): found for name, found in flat.items()})
    assistant = Assistant(Scripted(), memory=memory, calibrations=calibrations)
    found = assistant.translate(["Take 3 tablets now.", "Before a meal."], EN_FR)
    assert [answer.confidence for answer in found] == [30.0, 10.0]


# ---------------------------------------------------------------- a run


def test_loading_a_run_with_what_lies_in_it(tmp_path: Path) -> None:
    from tests.tiny import tiny

    run = tmp_path / "run"
    tiny(run, seed=3)
    assert settings_of(run) == Settings(shots=0, terms=0)  # it never saw an example
    (run / "recipe.yaml").write_text("pairs: [en-de]\ntrain: [{sft: {shots: {0: 0.5, 2: 0.5}, glossary: true}}]\n")
    assert (settings_of(run).shots, settings_of(run).terms) == (2, 8)
    with Memory.open(run / "memory" / "memory.sqlite", create=True) as memory:
        memory.add([Example("the cat", "die Katze", "en", "de")])
    Glossary([Term("dog", "Hund", "en", "de")]).save(run / "memory" / "glossary.tsv")
    with Assistant.load(run, threads=1) as assistant:
        exact, made = assistant.translate(["the cat", "the cat sees the dog."], Direction("en", "de"))
    assert (exact.text, made.origin) == ("die Katze", "model")
    assert made.attempts[0].shots <= 1 and [term.target for term in made.terms] == ["Hund"]
    with Assistant.load(run, memory=False, glossary=False, threads=1) as assistant:
        assert assistant.memory is None and assistant.glossary is None
        with pytest.raises(DataError, match="without a memory"):
            assistant.confirm("a", "b", Direction("en", "de"))
    shutil.rmtree(run / "memory")
    with Assistant.load(run, threads=1) as assistant:
        assert assistant.memory is None
        assert assistant.confirm("the cat", "der Kater", Direction("en", "de"))
        assert assistant.translate(["the cat"], Direction("en", "de"))[0].text == "der Kater"


# ---------------------------------------------------------------- matches that a person sees


@given(
    st.integers(0, 2),
    st.sampled_from([0.3, 0.5, 0.9, 0.95, 1.0]),
    st.booleans(),
    st.booleans(),
    st.lists(
        st.sampled_from(["Take 2 tablets now.", "Take 3 tablets now.", "Sleep well, my friend.", "No."]), max_size=4
    ),
)
def test_the_best_match_is_shown_whatever_the_prompt_holds(
    shots: int, least: float, exact: bool, retry: bool, texts: list[str]
) -> None:
    with TemporaryDirectory() as folder, Memory.open(Path(folder) / "memory.sqlite", create=True) as memory:
        memory.add(
            [Example(source, target, "en", "fr") for source, target in (("Take 2 tablets now.", "A"), ("Zz.", "B"))]
        )
        settings = Settings(shots=shots, min_match=least, exact=exact, retry=retry)
        assistant = Assistant(Scripted(), memory=memory, settings=settings)
        answers = assistant.translate(texts, EN_FR)
    for text, answer in zip(texts, answers, strict=True):
        match = similarity(text, "Take 2 tablets now.")
        assert (answer.percent or 0) >= (int(100 * match) if match >= 0.5 else 0)
        assert answer.examples <= min(shots, len(answer.matches))
        assert not answer.examples or answer.matches[0].match >= least
        assert [one["in_prompt"] for one in answer.to_json()["matches"]].count(True) == answer.examples
    tally = assistant.tally
    assert tally.exact + tally.alone + sum(tally.bands.values()) == tally.segments == len(texts)
    assert sum(tally.bands.values()) == sum(bool(answer.examples) for answer in answers)


@given(st.floats(0, 100), st.floats(-3, 0))
def test_what_is_far_below_the_usual_is_unsure_however_good_the_model(usual: float, score: float) -> None:
    calibration = Calibration((-3.0, 0.0), (0.0, 100.0), usual)
    calibrations = Calibrations({("en-fr", "greedy"): calibration})
    assistant = Assistant(Scripted(lambda *_: ("Rentrez.", score)), calibrations=calibrations)
    answer = assistant.translate(["Go home."], EN_FR)[0]
    assert answer.confidence is not None
    assert ("confidence" in answer.doubts) == (answer.confidence < max(60, 0.85 * usual))
    assert assistant.tally.unsure == answer.unsure
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration

"""Drift is found where it was planted, named by the right feature, and seldom where there is none."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dragoman.core.markup.markup import prose
from dragoman.core.scores.flags import FLAGS
from dragoman.core.text.languages import Direction
from dragoman.core.watch.drift import FEWEST, Sample, compare
from dragoman.core.watch.features import FEATURES, NAMES, SKETCH, Segment, hashed, measure, sketches, words

WAY = Direction("en", "fr")
NOUNS = [
    "house",
    "tree",
    "river",
    "letter",
    "garden",
    "window",
    "doctor",
    "engine",
    "bottle",
    "castle",
    "bridge",
    "market",
    "teacher",
    "pocket",
    "winter",
    "summer",
]
VERBS = ["sees", "takes", "finds", "brings", "keeps", "loses", "paints", "sells", "leaves", "moves"]


def sentence(random: np.random.Generator, extra: str = "") -> str:
    length = int(random.integers(1, 5))
    parts = [f"the {random.choice(NOUNS)} {random.choice(VERBS)} the {random.choice(NOUNS)}" for _ in range(length)]
    return f"{' and '.join(parts)}{extra}."


def sample(sources: list[str], targets: list[str] | None = None, flags: tuple[str, ...] = ()) -> Sample:
    known = np.sort(hashed({word for word in [*NOUNS, *VERBS, "the", "and"]}, "key"))
    segments = [Segment(*pair, flags=flags, score=-1.0) for pair in zip(sources, targets or sources, strict=True)]
    held = measure(segments, WAY, known=known, key="key")
    return Sample(
        np.stack([one.features for one in held]), np.stack([one.sketch for one in held]), [one.unknown for one in held]
    )


def drifted(normal: Sample, window: Sample) -> set[str]:
    return {one.name for one in compare(normal, window) if one.drifted}


@pytest.fixture(scope="module")
def normal() -> Sample:
    random = np.random.default_rng(1)
    return sample([sentence(random) for _ in range(800)])


@pytest.mark.long
def test_no_drift_is_seldom_found(normal: Sample) -> None:
    random = np.random.default_rng(2)
    alarms = sum(bool(drifted(normal, sample([sentence(random) for _ in range(300)]))) for _ in range(40))
    assert alarms <= 2


def test_longer_sources_are_named(normal: Sample) -> None:
    random = np.random.default_rng(3)
    longer = [f"{sentence(random)} {sentence(random)}" for _ in range(400)]
    assert "source_length" in drifted(normal, sample(longer))


def test_lost_numbers_are_named_and_only_for_the_worse(normal: Sample) -> None:
    random = np.random.default_rng(4)
    sources = [sentence(random, " 45") for _ in range(400)]
    lost = [text.replace(" 45", "") if number % 10 == 0 else text for number, text in enumerate(sources)]
    with_numbers = sample([sentence(random, " 45") for _ in range(800)])
    assert "numbers_differ" in drifted(with_numbers, sample(sources, lost))
    assert "numbers_differ" not in drifted(sample([*sources, *sources], [*lost, *lost]), sample(sources))


def test_a_new_word_is_told_by_its_hash(normal: Sample) -> None:
    random = np.random.default_rng(5)
    sources = [sentence(random, " zolpirand" if number % 25 == 0 else "") for number in range(400)]
    (found,) = [one for one in compare(normal, sample(sources)) if one.name == "new_words"]
    assert found.drifted and found.words == (int(hashed(["zolpirand"], "key")[0]),)


def test_flags_that_become_more(normal: Sample) -> None:
    random = np.random.default_rng(6)
    good, bad = [sample([sentence(random) for _ in range(n)], flags=f) for n, f in ((360, ()), (40, ("repetition",)))]
    window = Sample(
        np.concatenate([good.features, bad.features]),
        np.concatenate([good.sketches, bad.sketches]),
        [*good.unknown, *bad.unknown],
    )
    assert drifted(normal, window) == {"repetition"}


def test_another_domain_is_told_apart_by_its_letters() -> None:
    random = np.random.default_rng(7)
    normal = sample([sentence(random) for _ in range(600)])
    turned = [sentence(random).replace("th", "z").replace("e", "o") for _ in range(300)]
    names = drifted(normal, sample(turned))
    assert {"domain", "discrepancy"} <= names


def test_too_few_say_nothing(normal: Sample) -> None:
    few = Sample(normal.features[: FEWEST - 1], normal.sketches[: FEWEST - 1], normal.unknown[: FEWEST - 1])
    assert compare(normal, few) == [] and compare(few, normal) == []


def test_what_was_not_measured_is_not_compared(normal: Sample) -> None:
    assert not {"match", "other_language"} & {one.name for one in compare(normal, normal)}


def test_q_is_never_below_p_and_rises_with_it(normal: Sample) -> None:
    random = np.random.default_rng(8)
    found = sorted(compare(normal, sample([sentence(random) for _ in range(300)])), key=lambda one: one.p)
    assert all(one.q >= one.p for one in found) and [one.q for one in found] == sorted(one.q for one in found)


def test_a_feature_has_one_name() -> None:
    assert len(NAMES) == len(FEATURES) and set(FLAGS) <= set(FEATURES)
    assert len(FEATURES) == len(FLAGS) + 12


@pytest.mark.parametrize("text", ["", " ", "🙂", "a", "\u202e", "日本語のテキスト", "<b>x</b> %s {0}", "9" * 5_000])
def test_anything_can_be_measured(text: str) -> None:
    for way in (WAY, Direction("ja", "en")):
        (made,) = measure([Segment(text, text)], way, known=np.zeros(0, np.uint64), key="key")
        assert made.features.shape == (len(NAMES),) and made.sketch.dtype == np.int8
        assert not np.isinf(made.features).any()


def sketch(text: str) -> NDArray[np.int8]:
    """What `sketches` says that it makes, n-gram by n-gram."""
    plain = f" {' '.join(text.casefold().split())} "
    found = np.zeros(SKETCH, np.float32)
    for size in (3, 4):
        for start in range(len(plain) - size + 1):
            number = zlib.crc32(plain[start : start + size].encode())
            found[number % SKETCH] += 1.0 if number & 0x10000 else -1.0
    most = np.abs(found).max()
    return (found * (127 / most)).round().astype(np.int8) if most else found.astype(np.int8)


_TEXTS = st.lists(
    st.text(max_size=30) | st.sampled_from(["Prenez 2 comprimés.", "日本 ½ 語", "ǅ 🙂 a’b", ""]), max_size=6
)


@given(_TEXTS, st.sampled_from(["en", "ja"]))
def test_many_together_are_measured_as_each_alone(texts: list[str], language: str) -> None:
    way, known = Direction(language, "fr"), np.sort(hashed(["a", "prenez"], "k"))
    segments = [Segment(text, text[::-1], score=-1.0, flags=("copied",)) for text in texts]
    together = measure(segments, way, known=known, key="k")
    for segment, one in zip(segments, together, strict=True):
        (alone,) = measure([segment], way, known=known, key="k")
        assert np.array_equal(one.features, alone.features, equal_nan=True)
        assert (one.sketch == alone.sketch).all() and (one.unknown == alone.unknown).all()
    for text, row in zip(texts, sketches(texts), strict=True):
        assert (row == sketch(text)).all()


@given(st.text(max_size=60))
def test_characters_and_words_are_counted(text: str) -> None:
    (made,) = measure([Segment(text, "x")], WAY, known=np.zeros(0, np.uint64), key="k")
    plain = " ".join(prose(text).split())
    letters, found = [sign for sign in plain if sign.isalpha()], words(plain, "en")
    wanted = {
        "source_length": np.log1p(len(plain)),
        "word_length": len(letters) / len(found) if found else np.nan,
        "digits": sum(map(str.isdigit, plain)) / max(1, len(plain)),
        "capitals": sum(map(str.isupper, letters)) / len(letters) if letters else np.nan,
        "unknown_words": 1.0 if found else np.nan,
    }
    values = [made.features[NAMES.index(name)] for name in wanted]
    assert np.allclose(values, list(wanted.values()), equal_nan=True)
    assert set(made.unknown) <= set(hashed(found, "k")) and len(made.unknown) == min(16, len(set(found)))


def test_a_hash_needs_its_key() -> None:
    assert hashed(["secret"], "one") != hashed(["secret"], "two")
    assert words("The <b>Doctor’s</b> %s 5", "en") == ["the", "doctor’s"]
    assert words("日本語", "ja") == ["日本", "本語"]

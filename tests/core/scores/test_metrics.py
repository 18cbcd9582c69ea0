from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.scores.metrics import BETTER, TITLES, Segments, command, counter_of, score, segments
from dragoman.core.scores.metrics.bleu import sentence_bleu
from dragoman.errors import DataError

ENGLISH = [
    "The nurse gives the patient two tablets (10 mg) daily.",
    "He doesn't know; she does!",
    "It cost 1,200.50 euros, didn't it?",
    "A cat.",
    "Ask your doctor before you take this medicine, even if you feel well.",
    "No.",
]
CHINESE = ["护士每天给病人两片药。", "他不知道，她知道！", "这花了1,200.50欧元，不是吗？", "一只猫。"]
THAI = ["พยาบาลให้ยาผู้ป่วยวันละสองเม็ด", "เขาไม่รู้ เธอรู้", "แมวหนึ่งตัว"]


def spoilt(texts: list[str], seed: int = 1) -> list[str]:
    """Translations that are wrong in many ways: words left out, swapped, doubled; some empty, some perfect."""
    dice = random.Random(seed)
    found = []
    for text in texts:
        words = text.split() if " " in text else list(text)
        joint = " " if " " in text else ""
        kind = dice.randrange(6)
        if kind == 0 and len(words) > 1:
            del words[dice.randrange(len(words))]
        elif kind == 1:
            dice.shuffle(words)
        elif kind == 2:
            words.insert(dice.randrange(len(words) + 1), dice.choice(words))
        elif kind == 3:
            words = words[: len(words) // 3]
        elif kind == 4:
            words = [dice.choice(["la", "of", "x", word]) for word in words]
        found.append(joint.join(words))
    return found


def command_line(folder: Path, hypotheses: list[str], references: list[str], language: str) -> dict[str, dict]:
    """What the sacrebleu command prints for these texts, by the name of the metric."""
    for name, texts in (("hypothesis", hypotheses), ("reference", references)):
        (folder / name).write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    options = [option for metric in BETTER for option in command(metric, language)[2:]]
    call = [sys.executable, "-m", "sacrebleu", "reference", "-i", "hypothesis", "-w", "15", "-m", *BETTER, *options]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=True)
    return {entry["name"]: entry for entry in json.loads(done.stdout)}


@pytest.mark.parametrize(
    ("language", "texts"), [("en", ENGLISH), ("zh", CHINESE), ("th", THAI), ("", ENGLISH)], ids=["en", "zh", "th", "-"]
)
def test_equals_the_sacrebleu_command(tmp_path: Path, language: str, texts: list[str]) -> None:
    hypotheses = spoilt(texts)
    printed = command_line(tmp_path, hypotheses, texts, language)
    assert set(printed) == set(TITLES.values())
    for metric, title in TITLES.items():
        found = score(metric, hypotheses, texts, language)
        assert f"{found.value:.15f}" == f"{printed[title]['score']:.15f}"
        assert found.signature == printed[title]["signature"]
        assert found.name == title


@pytest.mark.slow
def test_equals_the_sacrebleu_command_on_real_text(tmp_path: Path, shared_data: Path) -> None:
    with gzip.open(shared_data / "multi30k" / "test_2016_flickr.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        texts = [line.rstrip("\n").split("\t")[1] for line in file][1:301]
    hypotheses = spoilt(texts)
    printed = command_line(tmp_path, hypotheses, texts, "de")
    for metric, title in TITLES.items():
        assert f"{score(metric, hypotheses, texts, 'de').value:.15f}" == f"{printed[title]['score']:.15f}"


def test_published_values() -> None:
    """sacreBLEU's own test cases (test_bleu.py, test_ter.py, test_chrf.py)."""
    assert counter_of("bleu").formula(np.array([11.0, 11, 9, 7, 5, 3, 10, 8, 6, 4])) == pytest.approx(83.75922397)
    assert score("ter", ["d e f g h a b c"], ["a b c d e f g h"]).value == pytest.approx(100 / 8)
    assert score("ter", [""], ["a"]).value == 100
    assert score("chrf", ["abcdefg"], ["hijklmnop"]).value == 0
    text = "Niemand hat die Absicht, eine Mauer zu errichten"
    assert score("chrf", [text], [text]).value == 100
    # Chen & Cherry 2014, method 3, by hand: 3/4, 2/3, 1/2, and 0/1 smoothed to 1/2
    assert score("bleu", ["this is a fest"], ["this is a test"]).value == pytest.approx(100 * 0.125**0.25)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["bleu", "chrf", "ter"])
@given(
    pairs=st.lists(st.tuples(st.text("ab c.é", max_size=12), st.text("ab c.é", max_size=12)), min_size=1, max_size=8)
)
def test_formulas_equal_sacrebleu(metric: str, pairs: list[tuple[str, str]]) -> None:
    """Private sums and vectorised formulas against sacreBLEU's public corpus_score, whole and in part."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    public = {"bleu": BLEU(force=True), "chrf": CHRF(word_order=2), "ter": TER()}[metric]
    hypotheses, references = [h for h, _ in pairs], [r for _, r in pairs]
    found = segments(metric, hypotheses, references)
    wanted = public.corpus_score(hypotheses, [references])
    assert found.score.value == wanted.score
    assert found.score.name == wanted.name
    assert found.values(found.rows.sum(0)) == pytest.approx(wanted.score, abs=1e-9)
    one = found.of(np.arange(len(pairs)) == 0)
    assert one.score.value == public.corpus_score(hypotheses[:1], [references[:1]]).score
    for metric_row, (hypothesis, reference) in zip(found.single, pairs, strict=True):
        assert metric_row == pytest.approx(public.corpus_score([hypothesis], [[reference]]).score, abs=1e-9)


def test_better_has_a_sign() -> None:
    for metric, sign in BETTER.items():
        right, wrong = score(metric, ENGLISH, ENGLISH).value, score(metric, spoilt(ENGLISH), ENGLISH).value
        assert sign * right > sign * wrong


def test_signature_names_the_tokenizer() -> None:
    assert "|tok:zh|" in score("bleu", CHINESE, CHINESE, "zh-Hans").signature
    assert "|tok:char|" in score("bleu", THAI, THAI, "th").signature
    assert "|asian:yes|" in score("ter", CHINESE, CHINESE, "zh").signature
    assert "|nw:2|" in score("chrf", ENGLISH, ENGLISH, "en").signature


def test_lists_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="2 translations cannot be scored against 1"):
        score("bleu", ["a", "b"], ["a"])
    with pytest.raises(DataError, match="no segments"):
        score("chrf", [], [])
    with pytest.raises(DataError, match="no such metric: rouge"):
        score("rouge", ["a"], ["a"])
    empty = segments("ter", ["a"], ["a"]).of(np.zeros(1, dtype=bool))
    assert isinstance(empty, Segments)
    with pytest.raises(DataError, match="no segments"):
        _ = empty.score


def test_bleu_of_a_sentence_is_sacrebleus_with_one_added() -> None:
    from sacrebleu.metrics import BLEU

    owner = BLEU(smooth_method="add-k", smooth_value=1)
    hypotheses = [*spoilt(ENGLISH), "", "xyzzy", *ENGLISH]
    references = [*ENGLISH, "A cat.", "A cat.", *ENGLISH]
    expected = [owner.sentence_score(h, [r]).score for h, r in zip(hypotheses, references, strict=True)]
    assert sentence_bleu(hypotheses, references, "en") == pytest.approx(expected, abs=1e-9)

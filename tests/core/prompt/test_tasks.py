"""Tasks of a mixture: what stands under the loss, that nothing is lost or cut where it may not be."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.prompt.prompts import FORMATS, GAP, Rendered
from dragoman.core.prompt.tasks import Row, blocks, denoise, documents, fewshot, gaps, interlinear, lm, mt
from dragoman.core.records import Example, Text

COMPACT, ALMA, CHAT = FORMATS["compact"], FORMATS["alma"], FORMATS["chat"]


def measure(texts: Sequence[str]) -> list[int]:
    return [len(text.encode()) for text in texts]


def shown(row: Row | Rendered) -> str:
    """The row as it reads, with what is trained in ⟦ ⟧."""
    rendered = row.rendered if isinstance(row, Row) else row
    out, inside = "", False
    for piece in rendered.pieces:
        if piece.trained != inside:
            out += "⟦" if piece.trained else "⟧"
            inside = piece.trained
        out += {"begin": "<s>", "end": "</s>"}.get(piece.kind, piece.text)
    return out + ("⟧" if inside else "")


def pair(number: int, document: str = "", source: str = "en", target: str = "de") -> Example:
    return Example(f"source {number}", f"Ziel {number}", source, target, "a.tsv", number, document=document)


# ---------------------------------------------------------------- language modelling


def test_lm_trains_all_but_the_tag() -> None:
    (row,) = lm(COMPACT, [Text("The cat sleeps.", "en")], 100, measure)
    assert shown(row) == "<s><|en|>⟦The cat sleeps.</s>⟧"
    assert row.label == "en"
    (row,) = lm(ALMA, [Text("The cat sleeps.", "en")], 100, measure)
    assert shown(row) == "<s>⟦The cat sleeps.</s>⟧"


def test_segments_of_one_document_are_joined_and_others_are_not() -> None:
    rows = [Text("A.", "en", "f", 1, "", "d1"), Text("B.", "en", "f", 2, "", "d1"), Text("C.", "en", "f", 3, "", "d2")]
    rows += [Text("D.", "en", "f", 4), Text("E.", "en", "f", 5)]
    assert [text.text for text in documents(rows)] == ["A. B.", "C.", "D.", "E."]


def test_a_long_document_is_cut_at_sentences_and_ends_once() -> None:
    text = " ".join(f"This is sentence number {i}." for i in range(40))
    rows = list(lm(COMPACT, [Text(text, "en")], 100, measure))
    assert len(rows) > 8
    assert all(shown(row).endswith(".⟧") for row in rows[:-1])
    assert shown(rows[-1]).endswith("</s>⟧")
    assert sum("</s>" in shown(row) for row in rows) == 1
    assert " ".join(row.rendered.pieces[2].text for row in rows) == text


@given(st.text(st.sampled_from("ab .!\n日。é"), max_size=300), st.integers(12, 60))
def test_blocks_lose_nothing_and_fit(text: str, budget: int) -> None:
    found = blocks(text, "en", budget, measure)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert len(found) == 1 or all(len(block.encode()) <= budget for block in found)


# ---------------------------------------------------------------- infilling


@given(st.integers(2, 200), st.floats(0.05, 0.6), st.floats(1, 6), st.integers(0, 1000))
def test_gaps_are_apart_and_take_their_share(count: int, noise: float, span: float, seed: int) -> None:
    found = gaps(count, noise, span, random.Random(seed))
    flat = [edge for hole in found for edge in hole]
    assert flat == sorted(flat)
    assert all(b > a for a, b in found)
    assert all(after[0] > before[1] for before, after in zip(found, found[1:], strict=False))
    assert found[0][0] >= 0
    assert found[-1][1] <= count
    assert sum(b - a for a, b in found) == min(max(1, round(count * noise)), count - 1)


def test_denoise_shows_the_rest_and_trains_the_gaps() -> None:
    text = "one two three four five six seven eight nine ten"
    for seed in range(20):
        (row,) = denoise(COMPACT, [Text(text, "en")], 200, measure, noise=0.3, span=2.0, seed=seed)
        shown_text = shown(row)
        given_part, answer = shown_text.removeprefix("<s><|en|>").removesuffix("</s>⟧").split("<|en|>⟦")
        kept, spans = given_part.split(GAP), answer.split(GAP)
        assert len(kept) == len(spans) + 1
        assert "".join(a + b for a, b in zip(kept, [*spans, ""], strict=True)) == text
        assert sum(len(span.split()) for span in spans) == 3


def test_denoise_of_the_whole_text_and_without_a_token_for_gaps() -> None:
    (row,) = denoise(COMPACT, [Text("one two three four", "en")], 200, measure, answer="text")
    assert shown(row).endswith("<|en|>⟦one two three four</s>⟧")
    dropped: Counter[str] = Counter()
    texts = [Text("one two three four", "en"), Text("word", "en"), Text("fill ___ in", "en")]
    (row,) = denoise(ALMA, texts, 200, measure, token=False, dropped=dropped)
    assert "this English text.\n" in shown(row)
    assert "___" in shown(row).split("⟦")[0]
    assert dropped == {"too_short": 1, "holds_a_gap": 1}
    (row,) = denoise(CHAT, texts[:1], 200, measure, token=False)
    assert row.rendered.turns[0].role == "user"
    assert row.rendered.answer


def test_gaps_of_unspaced_scripts_are_characters() -> None:
    (row,) = denoise(COMPACT, [Text("今日はとても良い天気ですね", "ja")], 200, measure, noise=0.3, span=2)
    given_part, answer = shown(row).removesuffix("</s>⟧").split("<|ja|>⟦")
    assert GAP in given_part
    assert answer


# ---------------------------------------------------------------- pairs


def test_mt_is_what_sft_trains() -> None:
    (row,) = mt(COMPACT, [pair(1)])
    assert shown(row) == "<s><|en|>source 1<|de|>⟦Ziel 1</s>⟧"
    assert row.label == "en-de"


def test_interlinear_alternates_and_is_tagged() -> None:
    rows = list(interlinear(COMPACT, [pair(1), pair(2)], 200, measure))
    assert [row.label for row in rows] == ["en-de", "de-en"]
    assert shown(rows[0]) == "<s><|en|>⟦source 1<|de|>Ziel 1<|en|>source 2<|de|>Ziel 2</s>⟧"
    assert shown(rows[1]) == "<s><|de|>⟦Ziel 1<|en|>source 1<|de|>Ziel 2<|en|>source 2</s>⟧"
    (row,) = interlinear(ALMA, [pair(1)], 200, measure, order="forward")
    assert shown(row) == "<s>English:⟦ source 1\nGerman: Ziel 1</s>⟧"


def test_interlinear_keeps_documents_and_pairs_whole() -> None:
    pairs = [pair(i, "d1" if i < 5 else "d2") for i in range(12)]
    rows = list(interlinear(COMPACT, pairs, 1000, measure, sentences=4, order="reverse"))
    numbers = [[int(p.text.split()[1]) for p in row.rendered.pieces if p.kind == "text"][::2] for row in rows]
    assert numbers == [[0, 1, 2, 3], [4], [5, 6, 7, 8], [9, 10, 11]]
    assert {row.label for row in rows} == {"de-en"}
    short = list(interlinear(COMPACT, pairs, 34, measure, order="forward"))
    assert [len(row.rendered.pieces) for row in short] == [6] * 12  # a pair alone is over half of the context
    long = [Example("s" * 90, "t" * 90, "en", "de"), pair(1)]
    assert len(list(interlinear(COMPACT, long, 60, measure, order="forward"))) == 2


def test_fewshot_draws_others_and_trains_the_last_target() -> None:
    pairs = [pair(i) for i in range(30)] + [Example("source 3", "anders 3", "en", "de")]
    counts: Counter[int] = Counter()
    for number, row in enumerate(fewshot(COMPACT, pairs, 500, measure, shots=(1, 3), seed=1)):
        *shots, own = [p.text for p in row.rendered.pieces if p.kind == "text"][::2]
        counts[len(shots)] += 1
        assert own == pairs[number].source
        assert own not in shots
        assert shown(row).endswith(f"<|de|>⟦{pairs[number].target}</s>⟧")
        assert shown(row).count("⟦") == 1
    assert set(counts) == {1, 2, 3}
    again = [shown(row) for row in fewshot(COMPACT, pairs, 500, measure, seed=1)]
    assert again == [shown(row) for row in fewshot(COMPACT, pairs, 500, measure, seed=1)]


@pytest.mark.parametrize(("limit", "most"), [(45, 3), (30, 1), (22, 0)])
def test_fewshot_leaves_examples_out_where_the_context_is_full(limit: int, most: int) -> None:
    pairs = [Example(f"s{i}", f"t{i}", "en", "de") for i in range(9)]
    for row in fewshot(COMPACT, pairs, limit, measure, shots=(3, 3)):
        assert sum(p.kind == "text" for p in row.rendered.pieces) // 2 - 1 == most

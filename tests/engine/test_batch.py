"""Ids, masks, batches: nothing cut, nothing lost, nothing seen that should not be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.prompt.prompts import FORMATS, render
from dragoman.core.text.languages import Direction
from dragoman.engine.batch import Corpus, Stream, collate, epoch_order, plan_epoch
from dragoman.engine.encoder import Encoder
from dragoman.engine.losses import cross_entropy
from dragoman.errors import ModelError
from tests.tiny import tiny, tiny_tokenizer

EN_DE = Direction("en", "de")


def corpus_of(lengths: list[int], weight: list[float] | None = None) -> Corpus:
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.random.default_rng(0).integers(7, 300, int(starts[-1])).astype(np.int32)
    trained = np.ones(int(starts[-1]), dtype=np.bool_)
    return Corpus(ids, trained, starts, np.asarray(weight or [1.0] * len(lengths)))


@pytest.mark.parametrize("form", ["compact", "alma", "chat"])
def test_mask_covers_exactly_the_target_and_the_end(form: str) -> None:
    loaded = tiny(form=form)
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    ids, trained = encoder.encode([render(encoder.form, EN_DE, "the cat sees.", "die Katze sieht.")])[0]
    cut = trained.index(True)
    assert all(trained[cut:])
    answer = loaded.tokenizer.decode(ids[cut:-1])
    assert answer.strip() == "die Katze sieht."
    assert ids[-1] == encoder.end
    assert loaded.tokenizer.decode([encoder.end]) == ("<|im_end|>" if form == "chat" else "</s>")
    alone = encoder.encode([render(encoder.form, EN_DE, "the cat sees.")])[0]
    assert ids[:cut] == alone[0]
    assert not any(alone[1])


@pytest.mark.parametrize("form", ["compact", "alma", "chat"])
def test_control_tokens_in_a_text_stay_text(form: str) -> None:
    loaded = tiny(form=form)
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    bad = "stop </s> <|de|> <|im_end|> now"
    special = set(loaded.tokenizer.all_special_ids)
    clean = [i for i in encoder.encode([render(encoder.form, EN_DE, "stop now")])[0][0] if i in special]
    dirty = [i for i in encoder.encode([render(encoder.form, EN_DE, bad)])[0][0] if i in special]
    assert dirty == clean


def test_missing_language_token_is_named() -> None:
    encoder = Encoder(tiny_tokenizer(), FORMATS["compact"])
    with pytest.raises(ModelError, match="no language token for es"):
        encoder.require(["en", "es"])


def test_too_long_pairs_are_left_out_whole_and_named() -> None:
    encoder = Encoder(tiny_tokenizer(), FORMATS["compact"])
    rows = ((render(encoder.form, EN_DE, "a " * n, "b"), 1.0) for n in (2, 200, 3))
    corpus, too_long = Corpus.build(encoder, rows, 100)
    assert len(corpus) == 2
    assert too_long == [1]
    assert int(corpus.lengths.max()) <= 100


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=200),
    st.integers(30, 300),
    st.sampled_from(["sorted", "packed"]),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_every_row_of_an_epoch_stands_in_exactly_one_batch(
    lengths: list[int], budget: int, packing: str, epoch: int
) -> None:
    corpus = corpus_of(lengths)
    batches = plan_epoch(corpus, 3, epoch, max(budget, *lengths), packing)  # type: ignore[arg-type]
    rows = sorted(row for batch in batches for members in batch for row in members)
    assert rows == list(range(len(lengths)))
    for batch in batches:
        made = collate(corpus, batch, 0)
        assert made.padded_tokens <= max(budget, *lengths)
        assert made.tokens == sum(lengths[r] for members in batch for r in members)


def test_weights_are_times_per_epoch() -> None:
    corpus = corpus_of([5] * 3, [2.0, 0.25, 1.5])
    counts = np.zeros(3)
    for epoch in range(400):
        counts += np.bincount(epoch_order(corpus, 1, epoch), minlength=3)
    assert counts[0] == 800
    assert abs(counts[1] / 400 - 0.25) < 0.08
    assert abs(counts[2] / 400 - 1.5) < 0.08


def test_padding_is_small_on_sentences() -> None:
    lengths = np.random.default_rng(0).gamma(6, 5, 20_000).astype(int) + 5
    corpus = corpus_of(lengths.tolist())
    for packing in ("sorted", "packed"):
        batches = [collate(corpus, bins, 0) for bins in plan_epoch(corpus, 1, 0, 4096, packing)[:-1]]  # type: ignore[arg-type]
        share = 1 - sum(b.tokens for b in batches) / sum(b.padded_tokens for b in batches)
        assert share < 0.05


def test_a_stream_goes_on_where_it_stopped() -> None:
    corpus = corpus_of([7, 9, 11, 8, 10] * 8)
    whole = Stream(corpus, budget=50, pad=0, seed=5)
    expected = [whole.next().ids for _ in range(30)]
    part = Stream(corpus, budget=50, pad=0, seed=5)
    for _ in range(17):
        part.next()
    again = Stream(corpus, budget=50, pad=0, seed=5)
    again.restore(part.state())
    assert all(torch.equal(again.next().ids, e) for e in expected[17:])


def test_a_packed_batch_has_the_loss_of_its_rows_alone() -> None:
    loaded = tiny()
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    pairs = [("the cat", "die Katze"), ("a house and a tree", "ein Haus und ein Baum"), ("dog", "Hund sieht")]
    corpus, _ = Corpus.build(encoder, iter([(render(encoder.form, EN_DE, s, t), 1.0) for s, t in pairs]), 128)
    loss = cross_entropy()
    with torch.no_grad():
        alone = sum(float(loss(loaded.model, collate(corpus, [[i]], 0)).sum()) for i in range(3))
        padded = float(loss(loaded.model, collate(corpus, [[0], [1], [2]], 0)).sum())
        packed = float(loss(loaded.model, collate(corpus, [[0, 1, 2]], 0)).sum())
    assert abs(padded - alone) < 1e-4
    assert abs(packed - alone) < 1e-4


def test_a_sentence_comes_in_one_of_its_ways_as_often_as_they_weigh() -> None:
    weight = [0.5, 0.4, 0.1, 1.0, 1.25, 0.25, 0.3, 0.0]
    sentence = np.array([0, 0, 0, 1, 2, 2, 3, 3])
    corpus = replace(corpus_of([5] * 8, weight), sentence=sentence)
    counts = np.zeros(8)
    for epoch in range(600):
        rows = epoch_order(corpus, 1, epoch)
        counts += np.bincount(rows, minlength=8)
        often = np.bincount(sentence[rows], minlength=4)
        assert often[0] == often[1] == 1
        assert often[2] in (1, 2)
    assert counts[7] == 0
    assert np.abs(counts / 600 - weight).max() < 0.06


def test_one_way_only_is_the_order_without_ways() -> None:
    plain = corpus_of([5] * 50, [1.0, 0.3] * 25)
    alone = replace(plain, sentence=np.arange(50))
    assert sorted(epoch_order(plain, 3, 2)) == sorted(epoch_order(alone, 3, 2))

"""Decoding: batched equals single, and equals the library's own."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from transformers import (
    EpsilonLogitsWarper,
    LogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from dragoman.core.prompt.prompts import render
from dragoman.core.recipe import Decoding
from dragoman.core.recipe.evaluate import Mbr, Sampling
from dragoman.core.scores.mbr import expected
from dragoman.core.text.languages import Direction
from dragoman.engine.decoding.sampling import drawn, nucleus
from dragoman.engine.generate import Draw, Generated, generate, sample
from dragoman.engine.load import Loaded, load
from dragoman.engine.tokenizer import ids_of
from dragoman.errors import ModelError
from dragoman.translator import Translator
from tests.heard import Heard
from tests.tiny import tiny

EN_DE = Direction("en", "de")


def prompts(count: int) -> list[list[int]]:
    draw = random.Random(0)
    return [[1, 3, *(draw.randrange(10, 300) for _ in range(draw.randrange(1, 12))), 4] for _ in range(count)]


def both(loaded: Loaded, beam: int, budget: int) -> list[Generated]:
    rows = prompts(25)
    limits = [5 + len(row) for row in rows]
    return generate(loaded.model.eval(), rows, limits, ends=[2, 20, 21, 22, 23], pad=0, beam=beam, budget=budget)


@pytest.mark.parametrize("beam", [1, 3])
def test_batches_give_what_single_sentences_give(beam: int) -> None:
    loaded = tiny(seed=3)
    single, batched = both(loaded, beam, 1), both(loaded, beam, 4000)
    assert [g.ids for g in single] == [g.ids for g in batched]
    assert [g.finished for g in single] == [g.finished for g in batched]
    assert any(g.finished for g in single)
    assert any(not g.finished for g in single)
    for a, b in zip(single, batched, strict=True):
        assert a.log_probability == pytest.approx(b.log_probability, abs=1e-3)


def test_greedy_is_the_librarys_greedy() -> None:
    loaded = tiny(seed=4)
    for row, found in zip(prompts(8), generate(loaded.model, prompts(8), [9] * 8, ends=[2], pad=0), strict=True):
        output = loaded.model.generate(
            torch.tensor([row]), attention_mask=torch.ones(1, len(row)), max_new_tokens=9, do_sample=False
        )
        theirs = output[0, len(row) :].tolist()
        assert found.ids == (theirs[: theirs.index(2)] if 2 in theirs else theirs)


def test_log_probability_is_that_of_the_tokens() -> None:
    loaded = tiny(seed=5)
    row = prompts(1)[0]
    for beam in (1, 3):
        found = generate(loaded.model, [row], [8], ends=[2], pad=0, beam=beam)[0]
        ids = [*row, *found.ids, *([2] if found.finished else [])]
        with torch.no_grad():
            log = loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = sum(float(log[i - 1, ids[i]]) for i in range(len(row), len(ids)))
        assert found.log_probability == pytest.approx(expected, abs=1e-3)
        assert found.tokens == len(ids) - len(row)


def test_translator_keeps_order_and_empty_texts(tmp_path: Path) -> None:
    tiny(tmp_path / "m", seed=3)
    translator = Translator.load(tmp_path / "m", threads=1)
    texts = ["the cat", "", "the dog sees a house and a tree", "a\nb", "x " * 300]
    ear = Heard()
    found = translator.translate(texts, EN_DE, Decoding(), ear)
    assert len(found) == 5
    assert found[1].text == ""
    assert found[1].finished
    assert found[4].text == ""
    assert not found[4].finished
    assert "1 of 5 segments are too long" in ear.warned[0]
    alone = [translator.translate([text], EN_DE)[0].text for text in texts]
    assert [h.text for h in found] == alone


def test_translator_knows_its_directions(tmp_path: Path) -> None:
    tiny(tmp_path / "m")
    translator = Translator.load(tmp_path / "m", threads=1)
    assert translator.direction("de") == EN_DE
    assert translator.description["prompt"] == "compact"
    with pytest.raises(ModelError, match="not made for any language to fr"):
        translator.direction("fr")


def test_reloading_gives_the_same_ids(tmp_path: Path) -> None:
    for form in ("compact", "chat", "alma"):
        loaded = tiny(tmp_path / form, form=form)
        assert ids_of(load(tmp_path / form).tokenizer) == ids_of(loaded.tokenizer)


def test_a_tokenizer_that_would_change_is_taken_from_its_file(tmp_path: Path) -> None:
    """Beside a qwen2 configuration AutoTokenizer installs its own normaliser: the saved card must prevent that."""
    from dataclasses import replace

    from transformers import Qwen2Config, Qwen2ForCausalLM

    from dragoman.engine.load import save

    loaded = tiny()
    config = Qwen2Config(
        vocab_size=len(loaded.tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    save(tmp_path, replace(loaded, model=Qwen2ForCausalLM(config)))
    again = load(tmp_path)
    assert ids_of(again.tokenizer) == ids_of(loaded.tokenizer)
    assert again.card.tokenizer == "file"


def test_errors_name_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no dragoman\.json"):
        load(tmp_path)


def test_beam_search_is_exhaustive_where_the_beam_is_wide_enough() -> None:
    """With a beam of all tokens and two steps, the best sequence among the beam's candidates is found."""
    loaded = tiny(seed=6)
    row, size = prompts(1)[0], len(loaded.tokenizer)
    with torch.no_grad():
        first = loaded.model(torch.tensor([row])).logits[0, -1].log_softmax(-1)
        second = loaded.model(torch.tensor([[*row, t] for t in range(size)])).logits[:, -1].log_softmax(-1)
    total = first[:, None] + second  # [first token, second token]
    total[2] = float("-inf")
    top = {divmod(place, size) for place in total.reshape(-1).topk(size).indices.tolist()}  # what the beam still sees
    ended = [(float(total[t, 2]) / 2, [t]) for t in range(size) if (t, 2) in top]
    expected = max([(float(first[2]), []), *ended])
    found = generate(loaded.model, [row], [2], ends=[2], pad=0, beam=size)[0]
    assert found.finished
    assert found.ids == expected[1]
    assert found.log_probability / found.tokens == pytest.approx(expected[0], abs=1e-4)


# ---------------------------------------------------------------- sampling


@pytest.mark.parametrize(
    ("draw", "theirs"),
    [
        (Draw(top_k=7), [TopKLogitsWarper(7)]),
        (Draw(top_p=0.6), [TopPLogitsWarper(0.6)]),
        (Draw(epsilon=0.02), [EpsilonLogitsWarper(0.02)]),
        (Draw(temperature=0.5, top_k=30, top_p=0.9), [TemperatureLogitsWarper(0.5), TopKLogitsWarper(30), TopPLogitsWarper(0.9)]),
        (Draw(epsilon=0.9), [EpsilonLogitsWarper(0.9)]),
        (Draw(top_p=1e-6), [TopPLogitsWarper(1e-6)]),
    ],
)  # fmt: skip
def test_what_is_left_out_is_what_the_library_leaves_out(draw: Draw, theirs: list[LogitsProcessor]) -> None:
    torch.manual_seed(0)
    logits = torch.randn(50, 200) * 2
    expected = logits
    for warper in theirs:
        expected = warper(torch.zeros(50, 1, dtype=torch.long), expected)
    found = draw.probabilities(logits)
    assert torch.allclose(found / found.sum(-1, keepdim=True), expected.softmax(-1))


def test_tokens_are_drawn_with_their_probability() -> None:
    probability = torch.tensor([0.0, 0.5, 0.2, 0.0, 0.3, 0.0]).expand(60_000, -1)
    number = torch.rand(60_000, generator=torch.Generator().manual_seed(1))
    found = torch.bincount(drawn(probability, number), minlength=6) / 60_000
    assert found.tolist() == pytest.approx([0.0, 0.5, 0.2, 0.0, 0.3, 0.0], abs=0.01)
    edge = torch.tensor([0.0, 1.0 - 2**-24])
    assert drawn(probability[:2], edge).tolist() == [1, 4]


def sampled(
    loaded: Loaded, count: int = 6, *, samples: int = 5, budget: int = 4000, seed: int = 1
) -> list[list[Generated]]:
    rows = prompts(count)
    return sample(
        loaded.model.eval(),
        rows,
        [5 + len(row) for row in rows],
        samples=samples,
        draw=Draw(seed=seed, epsilon=0.02),
        ends=[2, 20, 21, 22, 23],
        pad=0,
        budget=budget,
    )


def test_samples_depend_on_seed_and_prompt_alone() -> None:
    loaded = tiny(seed=3)
    found = sampled(loaded)
    assert [len(group) for group in found] == [5] * 6
    assert found == sampled(loaded)
    assert found[0] != sampled(loaded, seed=2)[0]
    assert len({tuple(g.ids) for g in found[0]}) > 1
    ids = [[g.ids for g in group] for group in found]
    for other in (
        sampled(loaded, budget=1),
        sampled(loaded, budget=60),
        sampled(loaded, 3),
        sampled(loaded, samples=2),
    ):
        for mine, some in zip(ids, other, strict=False):
            assert [g.ids for g in some] == mine[: len(some)]


def test_a_samples_log_probability_is_the_models() -> None:
    loaded = tiny(seed=5)
    row = prompts(1)[0]
    draw = Draw(seed=3, temperature=0.7, top_k=20)
    for found in sample(loaded.model, [row], [8], samples=3, draw=draw, ends=[2], pad=0)[0]:
        ids = [*row, *found.ids, *([2] if found.finished else [])]
        with torch.no_grad():
            log = loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = sum(float(log[i - 1, ids[i]]) for i in range(len(row), len(ids)))
        assert found.log_probability == pytest.approx(expected, abs=1e-3)


def test_first_tokens_follow_the_models_distribution() -> None:
    """Pearson's chi-squared over the first tokens of 4,000 samples, against the model's own probabilities."""
    loaded = tiny(seed=6)
    row = prompts(1)[0]
    with torch.no_grad():
        probability = Draw(top_k=8).probabilities(loaded.model(torch.tensor([row])).logits[:, -1])[0]
    found = sample(loaded.model, [row], [1], samples=4000, draw=Draw(seed=4, top_k=8), ends=[2], pad=0, budget=10**6)[0]
    counts = torch.zeros_like(probability)
    for result in found:
        counts[2 if result.finished else result.ids[0]] += 1
    kept = probability > 0
    assert float(counts[~kept].sum()) == 0
    chi = float(((counts - 4000 * probability)[kept] ** 2 / (4000 * probability[kept])).sum())
    assert chi < 24.3  # 7 degrees of freedom, p = 0.001


# ---------------------------------------------------------------- minimum Bayes risk


def test_translating_by_minimum_bayes_risk_gives_the_sample_most_like_the_others(tmp_path: Path) -> None:
    tiny(tmp_path / "m", seed=3)
    translator = Translator.load(tmp_path / "m", threads=1)
    texts = ["the cat", "", "the dog sees a house"]
    mbr = Mbr(candidates=12, top_k=3, epsilon=0, seed=5)
    found = translator.translate(texts, EN_DE, Decoding(mbr=mbr))
    assert found == translator.translate(texts, EN_DE, Decoding(mbr=mbr))
    assert found[1].text == ""
    assert found[2].text == translator.translate(texts[2:], EN_DE, Decoding(mbr=mbr))[0].text
    ids = [ids for ids, _ in translator.encoder.encode([render(translator.encoder.form, EN_DE, texts[0])])]
    limit = 2 * len(translator.loaded.tokenizer(texts[0], add_special_tokens=False).input_ids) + 20
    drawn = sample(
        translator.loaded.model, ids, [limit], samples=12, draw=Draw(5, top_k=3), ends=translator._ends, pad=0
    )[0]
    candidates = [translator.shell.text(result.ids) for result in drawn]
    utilities = expected(candidates)
    assert len(set(candidates)) > 3
    assert found[0].text == candidates[int(utilities.argmax())]
    chosen = drawn[candidates.index(found[0].text)]
    assert found[0].score == pytest.approx(chosen.log_probability / chosen.tokens, abs=1e-5)
    one = translator.translate(texts[:1], EN_DE, Decoding(sample=Sampling(top_k=3, epsilon=0, seed=5)))
    assert one[0].text == candidates[0]


def test_the_tag_of_a_next_example_ends_a_translation() -> None:
    translator = Translator(tiny())
    tags = [translator.loaded.tokenizer.convert_tokens_to_ids(tag) for tag in ("<|en|>", "<|de|>")]
    assert set(translator._ends) == {translator.encoder.end, *tags}
    assert translator.loaded.tokenizer.convert_tokens_to_ids("<|fr|>") not in translator._ends  # not of its directions


@pytest.mark.parametrize("share", [1e-6, 0.3, 0.9, 0.95, 0.999999])
def test_the_nucleus_is_that_of_a_whole_sort(share: float) -> None:
    logits = torch.randn(40, 700, generator=torch.Generator().manual_seed(1)) * torch.linspace(0.01, 6, 40)[:, None]
    ordered = logits.sort(descending=True).values.double()
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
    least = ordered.gather(-1, (before < share).sum(-1, keepdim=True).clamp(min=1) - 1)[:, 0]
    found = nucleus(logits.double(), share)
    assert (found == least).all() and (logits >= least[:, None]).sum(-1).max() > (64 if share > 0.3 else 0)

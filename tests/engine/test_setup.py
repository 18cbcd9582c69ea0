"""What `auto` stands for, and which rows serve which direction."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.engine.device import Hardware, detect
from dragoman.engine.phases.sft import settings
from dragoman.engine.phases.sft_rows import training_data
from dragoman.engine.setup import Settings, dev_sample, directed
from dragoman.errors import DataError, RecipeError
from dragoman.store.corpus import records
from tests.tiny import tiny


def row(source: str, target: str) -> Example:
    return Example("a", "b", source, target)


def test_rows_serve_both_directions_and_regions() -> None:
    wanted = [Direction("en", "de"), Direction("de", "en")]
    found = directed(row("en-US", "de"), wanted)
    assert [(e.source, e.target, str(e.direction)) for e in found] == [("a", "b", "en-de"), ("b", "a", "de-en")]
    assert directed(row("en", "fr"), wanted) == []


def test_exact_tags_win() -> None:
    wanted = [Direction("en", "pt-BR"), Direction("en", "pt-PT")]
    assert [e.target_language for e in directed(row("en", "pt-PT"), wanted)] == ["pt-PT"]


def prepared(folder: Path, rows: int = 30) -> Path:
    for split in ("train", "dev"):
        examples = [Example(f"the cat {n}", f"die Katze {n}", "en", "de") for n in range(rows)]
        records.write(folder / split, examples, Example)
    return folder


def test_direction_weights_reach_the_corpus(tmp_path: Path) -> None:
    recipe = Recipe.parse(
        "pairs: [en-de, de-en]\nprepare: {parallel: [x.tsv], balance: {weights: {de-en: 0.25}}}\n"
        "model: {new: {}}\ntrain: [{sft: {}}]\n"
    )
    sft = recipe.train[0].sft
    assert sft is not None
    data = training_data(recipe, sft, tiny(), prepared(tmp_path))
    assert data.directions == {"en-de": 30, "de-en": 30}
    assert sorted(set(data.corpus.weight.tolist())) == [0.25, 1.0]
    assert data.corpus.weight.sum() == 30 * 1.25


def test_max_tokens_leaves_long_pairs_out(tmp_path: Path) -> None:
    recipe = Recipe.parse(
        "pairs: [en-de]\nprepare: {parallel: [x.tsv], checks: {max_tokens: 6}}\nmodel: {new: {}}\ntrain: [{sft: {}}]\n"
    )
    sft = recipe.train[0].sft
    assert sft is not None
    folder = prepared(tmp_path)
    short = [Example("a", "b", "en", "de")]
    records.write(folder / "train", [*short, *records.read(folder / "dev", Example)], Example)
    data = training_data(recipe, sft, tiny(), folder)
    assert data.too_long == {"en-de": 30}
    assert data.directions == {"en-de": 1}


@pytest.mark.parametrize("shots", ["{0: 1.0}", "{0: 0.5, 1: 0.5}"])
def test_markers_stand_for_placeholders_in_their_share(tmp_path: Path, shots: str) -> None:
    def prompts(markers: float) -> list[str]:
        text = f"pairs: [en-de]\nmodel: {{new: {{}}}}\nplan: {{threads: 1}}\ntrain: [{{sft: {{markers: {markers}, shots: {shots}}}}}]\n"
        recipe = Recipe.parse(text)
        assert recipe.train[0].sft is not None
        loaded = tiny()
        data = training_data(recipe, recipe.train[0].sft, loaded, tmp_path / "prepare")
        found = [loaded.tokenizer.decode(data.corpus.row(row)[0]) for row in range(len(data.corpus))]
        assert data.marked == sum("<1/>" in text or "[1/]" in text for text in found)
        return found

    animals = ["cat", "dog", "bird", "fish", "cow", "pig", "hen", "fox", "bear", "wolf"]
    pairs = [Example(f"the {a} sees {b} %s", f"{b} %s {a}", "en", "de") for a in animals for b in animals]
    records.write(tmp_path / "prepare" / "train", pairs, Example)
    assert not any("1/" in text for text in prompts(0.0))
    all_marked = prompts(1.0)
    assert all("1/" in text for text in all_marked)
    assert 0.1 < sum("[1/]" in text for text in all_marked) / len(all_marked) < 0.3
    assert all("%s" in text for text in all_marked if text.count("<|en|>") == 2), "examples are as the memory has them"
    half = prompts(0.5)
    assert 0.4 < sum("1/" in text for text in half) / len(half) < 0.6
    assert half == prompts(0.5)


def test_auto_settings(tmp_path: Path) -> None:
    recipe = Recipe.parse("pairs: [en-de]\nmodel: {new: {}}\ntrain: [{sft: {epochs: 2}}, {sft: {tokens: 40M}}]\n")
    loaded, folder = tiny(), prepared(tmp_path)
    processor = Hardware("cpu", "test", 2, 2**30, True)
    small, large = (
        settings(
            recipe,
            phase,
            training_data(recipe, phase.sft, loaded, folder),
            processor,
            loaded,
            fresh=fresh,  # type: ignore[arg-type]
        )
        for phase, fresh in zip(recipe.train, (False, True), strict=True)
    )
    assert small.optimiser == "adamw"
    assert large.optimiser == "muon"
    assert small.batch_tokens < large.batch_tokens == 1024
    assert small.accumulation == large.accumulation == 4  # of sorted rows, a step sees several lengths
    assert small.compile is False
    assert large.precision == "bf16"
    assert large.learning_rate > small.learning_rate
    assert Settings.from_json(large.to_json()) == large


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("{tokens: 40M, packing: packed}", (4096, 1)),
        ("{tokens: 40M, batch_tokens: 2048}", (2048, 1)),
        ("{tokens: 40M, accumulation: 2}", (4096, 2)),
        ("{tokens: 40M, batch_tokens: 512, accumulation: 3}", (512, 3)),
    ],
)
def test_what_is_asked_of_a_step_is_kept(tmp_path: Path, asked: str, got: tuple[int, int]) -> None:
    recipe = Recipe.parse(f"pairs: [en-de]\nmodel: {{new: {{}}}}\ntrain: [{{sft: {asked}}}]\n")
    loaded, phase = tiny(), recipe.train[0]
    assert phase.sft is not None
    data = training_data(recipe, phase.sft, loaded, prepared(tmp_path))
    chosen = settings(recipe, phase, data, Hardware("cpu", "test", 2, 2**30, False), loaded, fresh=True)
    assert (chosen.batch_tokens, chosen.accumulation) == got


def test_dev_sample_is_shared_by_the_directions(tmp_path: Path) -> None:
    recipe = Recipe.parse("pairs: [en-de, de-en]\nmodel: {new: {}}\ntrain: [{sft: {}}]\n")
    sample = dev_sample(recipe.pairs, prepared(tmp_path), 10)
    assert [str(e.direction) for e in sample] == ["en-de"] * 5 + ["de-en"] * 5
    assert len({e.source for e in sample}) == 10


def test_a_damaged_dev_set_is_not_taken_for_none(tmp_path: Path) -> None:
    recipe = Recipe.parse("pairs: [en-de]\nmodel: {new: {}}\ntrain: [{sft: {}}]\n")
    assert dev_sample(recipe.pairs, tmp_path, 10) == []
    (shard,) = (prepared(tmp_path) / "dev").glob("shard-*.parquet")
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(DataError, match="damaged shard"):
        dev_sample(recipe.pairs, tmp_path, 10)


def test_a_warmup_that_never_ends_is_refused(tmp_path: Path) -> None:
    recipe = Recipe.parse("pairs: [en-de]\nmodel: {new: {}}\ntrain: [{sft: {warmup: 2000}}]\n")
    loaded, phase = tiny(), recipe.train[0]
    assert phase.sft is not None
    data = training_data(recipe, phase.sft, loaded, prepared(tmp_path))
    with pytest.raises(RecipeError, match=r"train.sft.warmup: 2,000 steps are more than the \d+ of the phase"):
        settings(recipe, phase, data, Hardware("cpu", "test", 2, 2**30, False), loaded, fresh=True)


def test_this_machine_is_described() -> None:
    found = detect(1)
    assert found.threads == 1
    assert found.memory > 0
    assert found.name


def test_openmp_settings_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    assert detect().threads == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    most = detect().threads
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert detect().threads == most

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.recipe import Adapt, Recipe
from dragoman.core.recipe.adapt import MethodName
from dragoman.core.recipe.optimise import OptimiserName
from dragoman.core.recipe.prefer import Prefer
from dragoman.core.text.languages import Direction
from dragoman.errors import RecipeError

ROOT = Path(__file__).parents[2]
MINIMAL = "pairs: en-fr\n"
TRAINED = "pairs: en-fr\ntrain:\n- sft: {epochs: 2}\n"


def problems(text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(text, "r.yaml", overrides)
    return str(caught.value).splitlines()


# ---------------------------------------------------------------- reading


def test_yaml_is_read_as_1_2() -> None:
    recipe = Recipe.parse("""
name: 2026-11-21
pairs: [en-no, no-en]
seed: 1_000
prepare:
  parallel: off
  monolingual: {no: yes}
train:
- sft: {learning_rate: 2e-4, tokens: 200_000_000, batch_tokens: 16k}
""")
    assert recipe.name == "2026-11-21"
    assert recipe.pairs == [Direction("en", "no"), Direction("no", "en")]
    assert recipe.seed == 1000
    assert recipe.prepare is not None
    assert recipe.prepare.parallel[0].path == "off"
    assert recipe.prepare.monolingual["no"][0].path == "yes"
    sft = recipe.train[0].sft
    assert sft is not None
    assert (sft.learning_rate, sft.tokens, sft.batch_tokens) == (2e-4, 200_000_000, 16_000)


@pytest.mark.parametrize(
    ("written", "count"),
    [("2M", 2_000_000), ("1.5k", 1500), ("3G", 3 * 10**9), ("12", 12), ("'7_000'", 7000), ("5 K", 5000)],
)
def test_counts_may_have_a_suffix(written: str, count: int) -> None:
    sft = Recipe.parse(f"pairs: en-fr\ntrain: {{sft: {{tokens: {written}}}}}").train[0].sft
    assert sft is not None
    assert sft.tokens == count


def test_short_forms_mean_the_long_ones() -> None:
    short = Recipe.parse("pairs: en-fr\nprepare: {parallel: a.tsv, monolingual: {fra: m.txt}}\ntrain: {sft: }")
    long = Recipe.parse("""
pairs: [en>fr]
prepare:
  parallel: [{path: a.tsv}]
  monolingual: {fr: [{path: m.txt}]}
train: [{sft: {}, adapt: full}]
""")
    assert short == long


def test_one_entry_may_stand_without_its_list() -> None:
    short = Recipe.parse(
        "pairs: en-fr\ntrain: {sft: {directions: fr-en}}\n"
        "evaluate: {metrics: chrf, sets: test, decode: {beam: 4}, shots: 0, random_shots: 2}"
    )
    long = Recipe.parse(
        "pairs: [en-fr]\ntrain: [{sft: {directions: [fr-en]}}]\n"
        "evaluate: {metrics: [chrf], sets: [test], decode: [{beam: 4}], shots: [0], random_shots: [2]}"
    )
    assert short == long


def test_an_empty_section_is_an_absent_one() -> None:
    recipe = Recipe.parse("pairs: en-fr\nprepare:\nmodel:\nevaluate:\n")
    assert (recipe.prepare, recipe.model, recipe.evaluate, recipe.train) == (None, None, None, [])


def test_languages_are_those_of_the_pairs_in_order() -> None:
    assert Recipe.parse("pairs: [fr-en, en-de, pt-BR>en]").languages == ["fr", "en", "de", "pt-BR"]


def test_relative_paths_start_at_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("\ufeff" + MINIMAL, encoding="utf-8")
    recipe = Recipe.load(tmp_path / "r.yaml")
    assert (recipe.folder, recipe.file) == (tmp_path, "r.yaml")
    assert recipe.resolve("data/a.tsv") == str(tmp_path / "data/a.tsv")
    for kept in ("/data/a.tsv", "s3://bucket/a.tsv", "hf:some/set", "sqlite:///a.db"):
        assert recipe.resolve(kept) == kept


def test_a_recipe_reads_back_from_its_own_yaml() -> None:
    recipe = Recipe.parse("""
pairs: [en-fr, pt-BR>no]
prepare: {parallel: [a.tsv, {path: 'b: c.tsv', pair: en-fr, columns: {source: 0}}], monolingual: {no: x.txt}}
model: {new: {hidden: 64}}
train: [{sft: {learning_rate: 1e-3}, adapt: {method: lora}}, {sft: {tokens: 2M}}]
evaluate: {decode: [{}, {beam: 4}], must_gain: {chrf: 1}}
""")
    assert Recipe.parse(recipe.to_yaml()) == recipe


_HYBRID = "hybrid: {tokens: 1k, tasks: {mt: {weight: 1}, lm: }}"
_ENTRIES = [
    *(f"{kind}: {{}}" for kind in ("prefer", "reward", "reinforce", "prune")),
    *(f"prefer: {{method: {method}}}" for method in get_args(Prefer.model_fields["method"].annotation)),
    "reinforce: {method: ppo, group: 1}",
    "prune: {method: layers, layers: [0]}",
    "distil: {teacher: x, data: own}",
    "merge: {models: [base]}",
    _HYBRID,
    *(
        f"sft: {{}}, adapt: {{method: {method}{', names: [x]' if method == 'parts' else ''}}}"
        for method in get_args(MethodName)
    ),
    *(f"sft: {{}}, average: {{method: {method}}}" for method in ("ema", "pull_back")),
    *(f"sft: {{optimiser: {{name: {name}}}}}" for name in get_args(OptimiserName)),
    "sft: {rates: {decay: 0.9}}",
]


@pytest.mark.parametrize("entry", _ENTRIES)
def test_every_kind_of_entry_reads_back_with_its_defaults_written_out(entry: str) -> None:
    recipe = Recipe.parse(f"pairs: en-de\nprepare: {{parallel: a}}\nmodel: {{new: {{}}}}\ntrain: [{{{entry}}}]\n")
    assert Recipe.parse(recipe.to_yaml()) == recipe
    inside = Recipe.parse(f"pairs: en-de\nmonitor: {{refresh: {{train: [{{{entry}}}]}}, screen: {{}}}}\n")
    assert Recipe.parse(inside.to_yaml()) == inside


@pytest.mark.parametrize("path", sorted([*ROOT.glob("recipes/**/*.yaml"), *ROOT.glob("benchmarks/**/*.yaml")]), ids=str)
def test_every_recipe_of_the_project_is_valid_and_reads_back(path: Path) -> None:
    recipe = Recipe.load(path)
    assert Recipe.parse(recipe.to_yaml()).model_dump() == recipe.model_dump()


# ---------------------------------------------------------------- what is wrong, all at once, with file and line


def test_all_problems_are_told_at_once_with_their_lines() -> None:
    assert problems("""name: x
pairs: [en-xx1]
seed: seven
prepare:
  parallel:
  - path: a.tsv
    limt: 3
  - 7
  holdout:
    dev: -1
    by: colour
train:
- adapt: {method: lora, rnak: 8}
  sft: {epoch: 2}
evalute: {}
""") == [
        "r.yaml:2: pairs.0: 'en-xx1' is not a language pair. Write it as en-fr, or pt-BR>en where tags have regions.",
        "r.yaml:3: seed: should be a valid integer, unable to parse string as an integer (got 'seven')",
        "r.yaml:7: prepare.parallel.0.limt: unknown key. Did you mean 'limit'?",
        "r.yaml:8: prepare.parallel.1: should be a section with keys such as path, format, pair, columns (got 7)",
        "r.yaml:10: prepare.holdout.dev: should be greater than or equal to 0, or should be greater than 0 (got -1)",
        "r.yaml:11: prepare.holdout.by: should be 'random', 'length', 'domain' or 'document' (got 'colour')",
        "r.yaml:13: train.0.adapt.rnak: unknown key. Did you mean 'rank'?",
        "r.yaml:14: train.0.sft.epoch: unknown key. Did you mean 'epochs'?",
        "r.yaml:15: evalute: unknown key. Did you mean 'evaluate'?",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "r.yaml:1: a recipe is a mapping of sections"),
        ("- a\n", "r.yaml:1: a recipe is a mapping of sections"),
        ("name: x\n", "r.yaml:1: pairs: is missing"),
        ("pairs: []\n", "r.yaml:1: pairs: should have at least 1 item, not 0"),
        ("pairs: [en-fr, en-fr]\n", "r.yaml:1: pairs: en-fr is named twice"),
        ("pairs: [no]\n", "r.yaml:1: pairs.0: 'no' is not a language pair"),
        ("pairs: [7]\n", "r.yaml:1: pairs.0: a language pair is text, such as en-fr (got 7)"),
        ("name: x\npairs: en-fr\nname: y\n", "r.yaml:3: name: this key is given twice in one section. Keep one."),
        ("pairs: en-fr\nplan: {hours: 1,\n  hours: 2}\n", "r.yaml:3: hours: this key is given twice in one section."),
        ("pairs: [en-fr\nname: x\n", "r.yaml:2: not valid YAML"),
        ("pairs:\n\t- en-fr\n", "r.yaml:2: not valid YAML"),
        ("pairs: en-fr\n---\npairs: en-de\n", "r.yaml:2: not valid YAML"),
        ("pairs: en-fr\nmodel: {}\n", "r.yaml:2: model: needs exactly one of `base`"),
        ("pairs: en-fr\nmodel: {base: x, new: {}}\n", "r.yaml:2: model: needs exactly one of `base`"),
        (
            "pairs: en-fr\nmodel: {new: {hidden: 100, heads: 3}}\n",
            "r.yaml:2: model.new: hidden 100 must be an even multiple",
        ),
        ("pairs: en-fr\nmodel: {new: {heads: 4, kv_heads: 3}}\n", "r.yaml:2: model.new: heads 4 must be a multiple"),
        ("pairs: en-fr\nprepare: {checks: {}}\n", "r.yaml:2: prepare: names no input"),
        (
            "pairs: en-fr\nprepare: {parallel: a, holdout: {folds: 5, fold: 5}}\n",
            "r.yaml:2: prepare.holdout: fold 5 does not exist: with folds: 5 they are 0 to 4",
        ),
        (
            "pairs: en-fr\nprepare: {parallel: a, monolingual: {xx1: b}}\n",
            "r.yaml:2: prepare.monolingual.xx1: 'xx1' is not",
        ),
        ("pairs: en-fr\ntrain: {adapt: full}\n", "r.yaml:2: train.0: a phase needs its kind"),
        (
            "pairs: en-fr\ntrain: {sft: , adapt: lora}\n",
            "r.yaml:2: train.adapt: should be 'full', or should be a section",
        ),
        (
            "pairs: en-fr\ntrain: {sft: {batch: 3}}\n",
            "r.yaml:2: train.sft.batch: unknown key. Did you mean 'batch_tokens'?",
        ),
        (
            "pairs: en-fr\nplan: {zzz: 1}\n",
            "r.yaml:2: plan.zzz: unknown key. Known here: precision, threads, memory, hours, shard, tensor_parallel.",
        ),
        (
            "pairs: en-fr\nevaluate: {metrics: [comet]}\n",
            "r.yaml:2: evaluate.metrics.0: should be 'bleu', 'chrf' or 'ter'",
        ),
        (
            "pairs: en-fr\nevaluate: {metrics: [chrf, chrf]}\n",
            "r.yaml:2: evaluate.metrics: chrf is named twice",
        ),
        ("pairs: en-fr\nevaluate: {metrics: []}\n", "r.yaml:2: evaluate.metrics: should have at least 1 item"),
        ("pairs: en-fr\nevaluate: {sets: [dev, dev]}\n", "r.yaml:2: evaluate.sets: dev is named twice"),
        ("pairs: en-fr\nevaluate: {sets: []}\n", "r.yaml:2: evaluate: names nothing to evaluate on"),
        ("pairs: en-fr\nevaluate: {decode: []}\n", "r.yaml:2: evaluate.decode: should have at least 1 item"),
        (
            "pairs: en-fr\nevaluate: {decode: [{}, {beam: 1}]}\n",
            "r.yaml:2: evaluate: `decode` has the same decoding twice",
        ),
        (
            "pairs: en-fr\nevaluate: {files: [{path: a.tsv, weight: 2}]}\n",
            "r.yaml:2: evaluate: `use` and `weight` of a.tsv belong to `prepare.parallel`",
        ),
        (
            "pairs: en-fr\nevaluate: {files: [{path: a.tsv, use: dev}]}\n",
            "r.yaml:2: evaluate: `use` and `weight` of a.tsv belong to `prepare.parallel`",
        ),
        (
            "pairs: en-fr\nprepare: {parallel: a, holdout: {fold: 2}}\n",
            "r.yaml:2: prepare.holdout: fold 2 is given without `folds`",
        ),
        (
            "pairs: en-fr\nmodel: {new: {}, revision: main}\n",
            "r.yaml:2: model: `revision` belongs to a `base` from the hub",
        ),
        (
            "pairs: en-fr\ntrain: {sft: {directions: [fr-en, fr-en]}}\n",
            "r.yaml:2: train.sft.directions: fr-en is named twice",
        ),
        (
            "pairs: en-fr\ntrain: {hybrid: {tokens: 9, tasks: {mt: {}, lm: {languages: [en, eng]}}}}\n",
            "r.yaml:2: train.hybrid.tasks.lm.languages: en is named twice",
        ),
        ("pairs: [en-eng]\n", "r.yaml:1: pairs.0: 'en-eng' leads from a language to itself"),
        ("pairs: en-fr\nseed: -1\n", "r.yaml:2: seed: should be greater than or equal to 0 (got -1)"),
        ("pairs: en-fr\nstudy: {seeds: [1, -1]}\n", "r.yaml:2: study.seeds.1: should be greater than or equal to 0"),
        ("pairs: en-fr\nseed:\n", "r.yaml:2: seed: should be a valid integer (got nothing)"),
    ],
)
def test_a_problem_says_what_and_where(text: str, said: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert found[0].startswith(said)


@pytest.mark.parametrize(
    ("curriculum", "said"),
    [
        ("fare", "hybrid.curriculum: no such method: 'fare'. There are 'static', 'temperature', 'schedule', 'exp3s',"),
        ("Fair", "'fair', 'objective'. Did you mean 'fair'?"),
        ("{method: fair, evry: 5}", "hybrid.curriculum.evry: unknown key. Did you mean 'every'?"),
        ("{method: fair, rate: 1}", "hybrid.curriculum.rate: `fair` has no such key. Known here: every, floor, probe,"),
        ("{method: fair, floor: 0.6}", "hybrid: curriculum: floors must lie between 0 and 1 and sum to 1 at most"),
        ("{method: objective, guard: [reply]}", "hybrid: curriculum: `guard` names reply, but the tasks are lm, mt."),
        ("{method: schedule, stages: {a: [lm 1, until lm inf]}}", "hybrid: curriculum: no stage trains mt: give a"),
    ],
)
def test_a_curriculum_that_cannot_be_is_refused_before_anything_runs(curriculum: str, said: str) -> None:
    [found] = problems(
        f"pairs: en-fr\ntrain: {{hybrid: {{tokens: 9, tasks: {{lm: , mt: }}, curriculum: {curriculum}}}}}\n"
    )
    assert found.startswith("r.yaml:2: train.hybrid")
    assert said in found


def test_a_recipe_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml: no such recipe\. `dragoman new"):
        Recipe.load(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="cannot be read as UTF-8 text"):
        Recipe.load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(RecipeError, match=r"latin\.yaml: cannot be read as UTF-8 text"):
        Recipe.load(tmp_path / "latin.yaml")


@given(
    st.text(max_size=80)
    | st.sampled_from(["pairs", "train", ": ", "\n", "- ", "{", "en-fr", "&a", "*a", "!!x "]).flatmap(
        lambda part: st.text(max_size=20).map(lambda rest: f"pairs: en-fr\n{part}{rest}")
    )
)
def test_no_text_makes_it_fall_over(text: str) -> None:
    try:
        Recipe.parse(text)
    except RecipeError as error:
        assert str(error)


# ---------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=8", ("seed",), 8),
        ("name=a=b", ("name",), "a=b"),
        ("plan.memory=2.5", ("plan", "memory"), 2.5),
        ("train.0.sft.epochs=3", ("train", 0, "sft", "epochs"), 3.0),
        ("train.0.sft.learning_rate=2e-4", ("train", 0, "sft", "learning_rate"), 2e-4),
        ("train.0.sft.tokens=2M", ("train", 0, "sft", "tokens"), 2_000_000),
        ("train.0.sft.clip=null", ("train", 0, "sft", "clip"), None),
        ("train.0.adapt={method: lora, rank: 8}", ("train", 0, "adapt"), Adapt(rank=8)),
        ("train.1.sft.epochs=1", ("train", 1, "sft", "epochs"), 1.0),
        ("pairs=[no-en]", ("pairs",), [Direction("no", "en")]),
        ("model.new.hidden=64", ("model", "new", "hidden"), 64),
        ("prepare.parallel.0.path=no", ("prepare", "parallel", 0, "path"), "no"),
    ],
)
def test_an_override_sets_one_key(override: str, path: tuple[str | int, ...], value: object) -> None:
    node: object = Recipe.parse(TRAINED, overrides=[override])
    for key in path:
        node = node[key] if isinstance(node, list) and isinstance(key, int) else getattr(node, str(key))
    assert node == value


def test_overrides_are_applied_in_order() -> None:
    recipe = Recipe.parse(
        TRAINED, overrides=["train.0.adapt={method: lora}", "train.0.adapt.rank=4", "seed=1", "seed=2"]
    )
    assert recipe.train[0].adapt == Adapt(rank=4)
    assert recipe.seed == 2


def test_an_override_counts_from_0_also_where_the_list_is_left_out() -> None:
    short = "pairs: en-fr\ntrain: {sft: {epochs: 2}}\n"
    assert Recipe.parse(short, overrides=["train.0.sft.epochs=3"]) == Recipe.parse(
        short, overrides=["train.sft.epochs=3"]
    )
    assert problems(short, "train.0.sft.epoch=3") == [
        "command line: train.sft.epoch: unknown key. Did you mean 'epochs'?"
    ]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed", "'seed': an override is written section.key=value"),
        ("=3", "'=3': an override is written section.key=value"),
        ("seed=[", "'seed=[': the value is not valid YAML"),
        ("seed=no", "command line: seed: should be a valid integer, unable to parse string as an integer (got 'no')"),
        ("name=", "command line: name: should be a valid string (got nothing)"),
        ("train.0.sft.epoch=3", "command line: train.0.sft.epoch: unknown key. Did you mean 'epochs'?"),
        ("train.0.sft={epoch: 3}", "command line: train.0.sft.epoch: unknown key. Did you mean 'epochs'?"),
        (
            "train.3.sft.epochs=3",
            "'train.3.sft.epochs=3': 'train' is a list of 1 entry, numbered from 0; '3' is none of them",
        ),
        ("train.first=3", "'train.first=3': 'train' is a list of 1 entry, numbered from 0; 'first' is none of them"),
        ("pairs.0=en-de", "'pairs.0=en-de': 'pairs' holds a single value, so it has no key '0'"),
        (
            "train.0.sft.epochs.x=1",
            "'train.0.sft.epochs.x=1': 'train.0.sft.epochs' holds a single value, so it has no key",
        ),
    ],
)
def test_a_wrong_override_says_so(override: str, said: str) -> None:
    found = problems(TRAINED, override)
    assert len(found) == 1
    assert found[0].startswith(said)


# ---------------------------------------------------------------- decoding


@pytest.mark.parametrize(
    ("written", "method"), [("", "static"), (", curriculum: fair", "fair"), (", curriculum: {every: 9}", "objective")]
)
def test_a_curriculum_learns_unless_there_is_none(written: str, method: str) -> None:
    [phase] = Recipe.parse(f"pairs: en-fr\ntrain: {{hybrid: {{tokens: 9, tasks: {{lm: , mt: }}{written}}}}}\n").train
    assert phase.hybrid is not None
    assert phase.hybrid.curriculum.method == method


def test_a_translation_is_made_in_one_way() -> None:
    recipe = Recipe.parse(
        "pairs: en-fr\nevaluate: {decode: [{mbr: {candidates: 8}}, {sample: {top_k: 5}}, {beam: 2}]}\n"
    )
    assert recipe.evaluate is not None
    mbr, sample, beam = recipe.evaluate.decode
    assert mbr.mbr is not None
    assert (mbr.mbr.candidates, mbr.mbr.epsilon, mbr.mbr.aggregate, mbr.beam) == (8, 0.02, True, 1)
    assert sample.sample is not None
    assert beam.mbr is None
    text = "pairs: en-fr\nevaluate:\n  decode:\n  - {beam: 4, mbr: {candidates: 8}}\n  - {sample: {}, mbr: {}}\n  - {mbr: {candidates: 1}}\n"
    found = problems(text)
    assert "beam: 4 and mbr exclude each other" in found[0]
    assert found[0].startswith("r.yaml:4: evaluate.decode.0")
    assert "sample and mbr exclude each other" in found[1]
    assert "evaluate.decode.2.mbr.candidates: should be greater than or equal to 2" in found[2]


# ---------------------------------------------------------------- search


def test_the_values_of_a_dimension() -> None:
    recipe = Recipe.parse("""
pairs: en-fr
search:
  space:
    train.0.sft.learning_rate: {log: [1e-4, 1e-2], points: 3}
    train.0.sft.dropout: {uniform: [0, 0.3]}
    train.0.sft.epochs: {int: [2, 9], step: 3}
    train.0.adapt: {choice: [full, {method: lora}]}
""")
    assert recipe.search is not None
    rate, dropout, epochs, adapt = recipe.search.space.values()
    assert rate.listed == [1e-4, 1e-3, 1e-2]
    assert dropout.listed is None
    assert dropout.corners == [0, 0.3]
    assert epochs.listed == [2, 5, 8]
    assert adapt.listed == ["full", {"method": "lora"}]
    assert [dropout.holds(v) for v in (0.3, 0.31, "auto", None, True)] == [True, False, False, False, False]
    assert [epochs.holds(v) for v in (5, 6, 9)] == [True, False, False]
    assert adapt.holds({"method": "lora"})
    assert Recipe.parse(recipe.to_yaml()) == recipe


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{train.0.sft.dropout: {uniform: [0.3, 0]}}", "from its smallest to its largest"),
        ("{train.0.sft.dropout: {log: [0, 1]}}", "starts above 0"),
        ("{train.0.sft.dropout: {log: [1, 2], int: [1, 2]}}", "exactly one of"),
        ("{train.0.sft.dropout: {choice: [1], step: 2}}", "`step` belongs to `int`"),
        ("{train.0.sft.dropout: {int: [1, 2], points: 2}}", "`points` belong to"),
        ("{seed.x: {int: [1, 2]}}", "trials must share their `seed`"),
        ("{dropout: {int: [1, 2]}}", "written with dots"),
        ("{train.0.adapt: {choice: [full]}, train.0.adapt.rank: {int: [1, 2]}}", "stands inside train.0.adapt"),
        ("{}", "at least 1"),
    ],
)
def test_a_space_that_cannot_be_meant_is_refused(space: str, message: str) -> None:
    assert message in problems(f"pairs: en-fr\nsearch:\n  space: {space}\n")[0]


def test_a_grid_needs_points() -> None:
    text = "pairs: en-fr\nsearch:\n  sampler: grid\n  space: {train.0.sft.dropout: {uniform: [0, 1]}}\n"
    assert "give train.0.sft.dropout its `points`" in problems(text)[0]


def test_learned_tokens_are_not_merged_and_nothing_goes_on_from_them() -> None:
    head = "pairs: [en-de]\nmodel: {new: {}}\n"
    assert Recipe.parse(head + "train: [{sft: {}, adapt: {method: prompt}}]").train[0].virtual_tokens == 20
    with pytest.raises(RecipeError, match="cannot be merged into the base. Leave `merge` out"):
        Recipe.parse(head + "train: [{sft: {}, adapt: {method: prefix, merge: true}}]")
    with pytest.raises(
        RecipeError, match=r"train\.0\.adapt: `method: prompt` cannot be merged .* make it the last phase"
    ):
        Recipe.parse(head + "train: [{sft: {}, adapt: {method: prompt}}, {sft: {}}]")

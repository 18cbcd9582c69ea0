"""The verbs, as a user types them."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dragoman import __version__, pipeline
from dragoman.core.listen import Listener
from dragoman.core.recipe import Recipe
from dragoman.store.run.artifact import Artifact
from tests.commands import Command

PHASE = {
    "name": "0-sft",
    "rows": {"en-fr": 1234},
    "too_long": {"en-fr": 1},
    "tokens_per_epoch": 56789,
    "settings": {"steps": 100},
    "memory": 2**29,
    "seconds": 125.0,
}
PLAN = {"memory": 2**33, "phases": [PHASE]}
SCORES = [
    {"set": "test", "direction": "en-fr", "system": "baseline", "decoding": "greedy", "bleu": 9.876, "chrf": 30.0},
    {"set": "test", "direction": "en-fr", "system": "trained", "decoding": "greedy", "bleu": 20.5, "chrf": 50.25},
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stages are quick: each says its name and writes its manifest."""

    def function(name: str) -> pipeline.Run:
        def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
            listener.say(f"{name}: at work with seed {recipe.seed}")
            (out / "report.html").touch()
            facts = {"evaluate": {"scores": SCORES}, "plan": PLAN}.get(name, {"folder": name, "after": list(inputs)})
            return Artifact.finish(out, name, key, facts)

        return run

    monkeypatch.setattr(pipeline, "_function", function)
    (tmp_path / "a.tsv").write_text("source\ttarget\n")
    (tmp_path / "recipe.yaml").write_text(
        "name: small\npairs: en-fr\nprepare: {parallel: a.tsv}\nmodel: {new: {}}\ntrain: {sft: }\nevaluate: {}\n"
    )
    return tmp_path


STAGES = ["prepare", "model", "synthesise", "plan", "train", "evaluate", "deploy"]
OTHERS = [
    "translate",
    "pack",
    "confirm",
    "search",
    "launch",
    "monitor",
    "pick",
    "push",
    "refresh",
    "promote",
    "rollback",
    "serve",
    "compare",
    "log",
    "report",
    "version",
    "memory",
    "glossary",
    "study",
    "feedback",
    "audit",
    "keys",
    "engine",
]
VERBS = ["demo", "new", "run", *STAGES, *OTHERS]


def test_help_names_every_verb(dragoman: Command) -> None:
    done = dragoman("--help")
    assert done.code == 0
    lines = done.out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == VERBS
    assert not [line for line in lines if line.endswith("...")], "cut short: a verb's first sentence must fit a line"


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(dragoman: Command, verb: str) -> None:
    done = dragoman(verb, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: dragoman {verb} ")


def test_wrong_arguments_end_with_2(dragoman: Command) -> None:
    assert dragoman("trian").code == 2
    assert dragoman("run").code == 2
    done = dragoman("run", "recipe.yaml", "--colour")
    assert done.code == 2
    assert "No such option" in done.err


def test_version(dragoman: Command) -> None:
    done = dragoman("version")
    assert done.code == 0
    assert f"dragoman {__version__}\n" in done.out
    assert "\npython 3." in done.out


def test_version_as_an_option_and_completion(dragoman: Command) -> None:
    done = dragoman("--version")
    assert (done.code, done.out) == (0, f"dragoman {__version__}\n")
    assert "--show-completion" in dragoman("--help").out


def test_every_exit_code_stands_in_the_table_and_in_the_help(dragoman: Command) -> None:
    from dragoman import errors
    from dragoman.cli.session import FAULT, STOPPED

    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.DragomanError)]
    codes = {one.exit_code for one in kinds if one is not errors.DragomanError} | {0, FAULT, STOPPED}
    page = (Path(__file__).parents[1] / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert {int(found) for found in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == codes
    told = " ".join(dragoman("--help").out.split()).partition("Exit codes: ")[2]
    assert {int(found) for found in re.findall(r"\b\d+\b", told)} == codes


def test_new_then_plan_says_which_file_is_missing(dragoman: Command, tmp_path: Path) -> None:
    done = dragoman("new", tmp_path / "clinic", "--pair", "en-fr", "--pair", "fr-en")
    assert done.code == 0
    assert f"dragoman plan {tmp_path / 'clinic' / 'recipe.yaml'}" in done.out
    assert "Put your files where it says" in done.out
    assert (
        "base: NiuTrans/LMT-60-0.6B-Base: 0.75 billion parameters, Apache-2.0, trained on English and French"
        in done.err
    )
    assert [str(pair) for pair in Recipe.load(tmp_path / "clinic" / "recipe.yaml").pairs] == ["en-fr", "fr-en"]
    planned = dragoman("plan", tmp_path / "clinic" / "recipe.yaml")
    assert planned.code == 3
    told = planned.err.splitlines()
    assert [
        name
        for name in ("data/memory.tmx", "data/*.tsv", "model.base: NiuTrans/LMT-60-0.6B-Base")
        if name in planned.err
    ] and (len(told) == 3)  # all at once, before any work


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--pair", "english-french"], 2, "'english-french' is not a language pair"),
        (["--pair", "en-fr-de"], 2, "may name 3 languages, or a region. Give each pair by itself, en-fr and en-de"),
        (["--pair", "en-fr", "--data", "none.tsv"], 3, "none.tsv: no such file"),
        (["--pair", "en-fr", "--base", "x", "--scratch"], 2, "--base and --scratch exclude each other"),
        (["--pair", "en-fr", "--base", "x", "--memory", "8"], 2, "--memory and --licence choose a base"),
        (["--pair", "en-fr", "--licence", "free"], 2, "--licence free: not one of permissive, conditions, any"),
    ],
)
def test_new_refuses(dragoman: Command, tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    done = dragoman("new", tmp_path / "p", *arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert not (tmp_path / "p").exists()


def test_new_with_files_sends_nobody_to_put_files_anywhere(dragoman: Command, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("en\tfr\n")
    done = dragoman("new", tmp_path / "clinic", "--pair", "en-fr", "--data", tmp_path / "a.tsv", "--memory", "16")
    assert done.code == 0
    assert "Put your files" not in done.out
    recipe = Recipe.load(tmp_path / "clinic" / "recipe.yaml")
    assert recipe.model is not None
    assert recipe.model.base == "NiuTrans/LMT-60-1.7B-Base"
    assert "# 2.03 billion parameters, Apache-2.0" in (tmp_path / "clinic" / "recipe.yaml").read_text()


def test_new_says_when_no_base_knows_a_language(dragoman: Command, tmp_path: Path) -> None:
    done = dragoman("new", tmp_path / "p", "--pair", "en-gag")
    assert done.code == 0
    assert "warning: no listed base is known to have learned Gagauz" in done.err


def test_all_problems_of_a_recipe_are_told(dragoman: Command, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("pairs: en-fr\nsede: 3\nplan: {hour: 1}\n")
    done = dragoman("run", path, "seed=x")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: command line: seed: should be a valid integer, unable to parse string as an integer (got 'x')",
        f"error: {path}:2: sede: unknown key. Did you mean 'seed'?",
        f"error: {path}:3: plan.hour: unknown key. Did you mean 'hours'?",
    ]


def test_run_tells_what_is_there_and_what_to_do_next(dragoman: Command, project: Path) -> None:
    done = dragoman("run", project / "recipe.yaml", "seed=11")
    assert done.code == 0
    assert done.out.splitlines() == [
        "set          system             BLEU  chrF2++",
        "test  en-fr  baseline, greedy   9.88    30.00",
        "test  en-fr  trained, greedy   20.50    50.25",
        f"report: {project / 'evaluate' / 'report.html'}",
        f"translate: dragoman translate {project} ... --to fr",
        f"small: prepare, model, plan, train, evaluate done, in {project}",
    ]
    assert "prepare: at work with seed 11\n" in done.err
    assert "train: finished before; skipped\n" in dragoman("run", project / "recipe.yaml", "seed=11").err
    forced = dragoman("run", project / "recipe.yaml", "seed=11", "--force", "train")
    assert "plan: finished before; skipped\ntrain: made again (as asked)\n" in forced.err
    assert dragoman("run", project / "recipe.yaml", "--force", "trian").code == 2


def test_one_stage_runs_with_those_before_it(dragoman: Command, project: Path) -> None:
    done = dragoman("plan", project / "recipe.yaml", "--quiet", "--out", project / "elsewhere")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "0-sft: en-fr 1,234 pairs (1 too long), 56,789 tokens an epoch, 100 steps; 0.50 of 8.0 GiB; about 2 min",
        f"small: prepare, model, plan done, in {project / 'elsewhere'}",
    ]
    assert (project / "elsewhere" / "plan").is_dir()
    assert not (project / "plan").exists()


def test_json_is_one_object_per_line(dragoman: Command, project: Path) -> None:
    done = dragoman("train", project / "recipe.yaml", "--json")
    assert done.code == 0
    result = json.loads(done.out)
    assert result["event"] == "done"
    assert list(result["stages"]) == ["prepare", "model", "plan", "train"]
    assert result["stages"]["train"]["facts"] == {"folder": "train", "after": ["prepare", "model", "plan"]}
    assert {json.loads(line)["event"] for line in done.err.splitlines()} == {"say"}
    wrong = dragoman("train", project / "none.yaml", "--json")
    assert json.loads(wrong.err) == {
        "event": "error",
        "text": f"{project / 'none.yaml'}: no such recipe. `dragoman new NAME --pair en-fr` writes one.",
        "exit_code": 2,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hello", "--html", "page.html"], "--html and --fill are for documents"),
        (["--in", "lines.txt", "--fill", "all"], "--html and --fill are for documents"),
        (["--in", "tm.tmx", "--column", "text"], "--column names a column of a table, or of standard input"),
        (["hello", "--column", "0"], "--column names a column of a table, or of standard input"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(dragoman: Command, arguments: list[str], said: str) -> None:
    done = dragoman("translate", "run", *arguments, "--to", "fr")
    assert done.code == 2
    assert said in done.err


def test_translate_says_what_it_lacks(dragoman: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = dragoman("translate", tmp_path, "hello", "--in", "x.txt")
    assert (done.code, done.err) == (2, "error: give either text or --in, not both.\n")
    done = dragoman("translate", tmp_path, "hello", "--to", "fr")
    assert done.code == 6
    assert "is neither a finished run" in done.err
    from tests.tiny import tiny

    tiny(tmp_path / "model")
    done = dragoman("translate", tmp_path / "model", "--in", tmp_path / "none.txt", "--to", "de")
    assert done.code == 3
    assert "none.txt: cannot be read" in done.err
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    done = dragoman("translate", tmp_path, "--to", "fr")
    assert (done.code, done.err) == (2, "error: nothing to translate: give text, --in FILE, or pipe segments in.\n")


@pytest.mark.slow
def test_translate_with_a_real_model(dragoman: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text, a file, a TSV and JSON give the same translations, in order; an empty segment stays empty."""
    from tests.tiny import tiny

    model = tmp_path / "model"
    tiny(model)
    lines = ["the cat sees the dog.", "", "the dog sees a house and a tree."]
    spoken = dragoman("translate", model, *lines, "--to", "de")
    assert spoken.code == 0
    found = spoken.out.split("\n")
    assert len(found) == 4
    assert found[1] == found[3] == ""
    assert all(found[i] for i in (0, 2))

    (tmp_path / "in.txt").write_text("\r\n".join(lines) + "\r\n")
    assert dragoman("translate", model, "--in", tmp_path / "in.txt", "--to", "de", "--from", "en").out == spoken.out
    for named in ([], ["-"], ["--in", "-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(lines).encode())))
        assert dragoman("translate", model, *named, "--to", "de").out == spoken.out
    done = dragoman("translate", model, "--in", tmp_path / "in.txt", "--to", "de", "--out", tmp_path / "out.txt")
    assert done.out == ""
    assert (tmp_path / "out.txt").read_text() == spoken.out

    (tmp_path / "in.tsv").write_text("id\ttext\n" + "".join(f"{i}\t{line}\n" for i, line in enumerate(lines)))
    (tmp_path / "none.tsv").write_text("id\tsource\n")
    none = dragoman("translate", model, "--in", tmp_path / "none.tsv", "--to", "de")
    assert none.out == "id\tsource\ttranslation\n"
    rows = dragoman("translate", model, "--in", tmp_path / "in.tsv", "--column", "text", "--to", "de").out.split("\n")
    assert rows == ["id\ttext\ttranslation", *(f"{i}\t{line}\t{found[i]}" for i, line in enumerate(lines)), ""]

    records = [
        json.loads(line) for line in dragoman("translate", model, *lines, "--to", "de", "--json").out.split("\n")[:-1]
    ]
    assert [record["source"] for record in records] == lines
    assert [record["translation"] for record in records] == found[:3]
    assert records[0]["score"] < 0 < records[0]["tokens"]

    unsure = dragoman("translate", model, "hello")
    assert (unsure.code, unsure.err) == (4, "error: say into which language, with --to: the model knows de, en.\n")
    assert "was not made for" in dragoman("translate", model, "hello", "--to", "cs").err
    assert dragoman("translate", model, lines[0], "--from", "en").out == found[0] + "\n"


def test_translating_before_training_has_ended_is_said(dragoman: Command, tmp_path: Path) -> None:
    from tests.tiny import tiny

    tiny(tmp_path / "model" / "model")
    Artifact.finish(tmp_path / "model", "model", "k", {"folder": "model"})
    assert "training is not finished" not in dragoman("translate", tmp_path, "the cat", "--to", "de").err
    (tmp_path / "train").mkdir()
    assert (
        "warning: " + str(tmp_path) + ": its training is not finished"
        in dragoman("translate", tmp_path, "x", "--to", "de").err
    )

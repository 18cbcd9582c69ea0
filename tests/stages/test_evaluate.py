from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragoman import report
from dragoman.core.listen import SILENT
from dragoman.core.records import Example, Text
from dragoman.core.scores.metrics import command, segments
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError, QualityError, RecipeError
from dragoman.stages import evaluate
from dragoman.store.corpus import records
from dragoman.store.memory.translation_memory import Memory as Store
from dragoman.store.memory.translation_memory import memory_file
from dragoman.store.run.artifact import MANIFEST, Artifact
from tests.heard import Heard
from tests.runs import Memory, make_run, pairs, recipe


class Loader:
    """Loads the memory of a folder: the trained model forgets less than the base."""

    def __init__(self) -> None:
        self.loaded: dict[str, Memory] = {}

    def __call__(self, folder: Path, *, precision: str = "auto", threads: int | None = None) -> Memory:
        del precision, threads
        name = folder.parts[-3] if folder.parts[-2] == "0-sft" else folder.parts[-2]
        self.loaded[name] = Memory({"train": 4, "model": 3}[name])
        return self.loaded[name]


def scores(run: Path) -> dict[str, Any]:
    return json.loads((run / "evaluate" / "scores.json").read_text(encoding="utf-8"))


def lines(run: Path, file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "evaluate" / file).read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that adapted a given model, evaluated with two decodings in two directions."""
    run = tmp_path_factory.mktemp("adapted")
    inputs = make_run(run, new=False)
    wanted = recipe("pairs=[en-de, de-en]\nevaluate.decode=[{beam: 1}, {beam: 4}]")
    evaluate.run(wanted, inputs, run / "evaluate", "e", SILENT, Loader())
    return run


def test_every_system_on_every_set_with_every_decoding(adapted: Path) -> None:
    found = scores(adapted)
    assert [(e["set"], e["direction"], e["segments"]) for e in found["sets"]] == [
        ("dev", "en-de", 60),
        ("dev", "de-en", 60),
        ("test", "en-de", 60),
        ("test", "de-en", 60),
    ]
    for entry in found["sets"]:
        rows = [(line["system"], line["decoding"], line["against"]) for line in entry["results"]]
        assert rows == [
            ("baseline", "greedy", None),
            ("baseline", "beam4", None),
            ("trained", "greedy", "baseline.greedy"),
            ("trained", "beam4", "baseline.beam4"),
        ]
        assert entry["overlap"] == {"source": 0, "target": 0, "segments": 0}
        for line in entry["results"]:
            assert line["clean"] is None
            assert set(line["scores"]) == {"bleu", "chrf", "ter"}
    assert Artifact.load(adapted / "evaluate").facts["scores"][2]["gain"]["chrf"] > 0


def test_scores_equal_the_sacrebleu_command_on_the_written_outputs(adapted: Path, tmp_path: Path) -> None:
    entry = scores(adapted)["sets"][2]
    result = entry["results"][2]
    rows = lines(adapted, result["file"])
    for name in ("reference", "hypothesis"):
        (tmp_path / name).write_text("".join(row[name] + "\n" for row in rows), encoding="utf-8")
    for metric, score in result["scores"].items():
        call = [sys.executable, "-m", "sacrebleu", "reference", "-i", "hypothesis", "-w", "15", *command(metric, "de")]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=True)
        printed = json.loads(done.stdout)
        assert f"{score['value']:.15f}" == f"{printed['score']:.15f}"
        assert score["signature"] == printed["signature"]


def test_outputs_hold_everything_about_a_segment(adapted: Path) -> None:
    row = lines(adapted, "test.de-en.trained.greedy.jsonl")[3]
    example = pairs("test")[3]
    assert (row["source"], row["reference"], row["line"]) == (example.target, example.source, 4)
    assert row["finished"] is True and row["flags"] == [] and row["origin"] == "test.tsv"
    assert 0 < row["chrf"] < 100


@pytest.mark.slow
def test_a_new_model_is_held_against_the_copy_of_the_source(tmp_path: Path) -> None:
    loader = Loader()
    evaluate.run(recipe(), make_run(tmp_path), tmp_path / "evaluate", "e", SILENT, loader)
    assert list(loader.loaded) == ["train"]
    entry = scores(tmp_path)["sets"][1]
    assert [(line["system"], line["kind"]) for line in entry["results"]] == [("baseline", "copy"), ("trained", "model")]
    assert entry["results"][0]["outputs"]["copied"] == 60
    assert entry["results"][1]["gains"]["chrf"]["p_randomisation"] == 1 / 51
    assert {row["hypothesis"] for row in lines(tmp_path, "test.en-de.baseline.copy.jsonl")} == {
        example.source for example in pairs("test")
    }


@pytest.mark.slow
def test_without_training_the_model_is_evaluated_alone(tmp_path: Path) -> None:
    inputs = make_run(tmp_path, new=False, trained=False)
    evaluate.run(recipe("train=[]"), inputs, tmp_path / "evaluate", "e", SILENT, Loader())
    assert [system["name"] for system in scores(tmp_path)["systems"]] == ["baseline"]
    with pytest.raises(RecipeError, match="nothing that could gain"):
        wanted = recipe("train=[]\nevaluate.must_gain={chrf: 1}")
        evaluate.run(wanted, inputs, tmp_path / "evaluate", "e", SILENT, Loader())


@pytest.mark.slow
def test_a_new_model_without_training_is_called_so(tmp_path: Path) -> None:
    inputs = make_run(tmp_path, trained=False)
    with pytest.raises(QualityError, match="of the \\+100.00 wanted"):
        wanted = recipe("train=[]\nevaluate.must_gain={chrf: 100}")
        evaluate.run(wanted, inputs, tmp_path / "evaluate", "e", SILENT, Loader())
    assert [system["name"] for system in scores(tmp_path)["systems"]] == ["baseline", "untrained"]


@pytest.mark.slow
def test_finished_translations_are_used_again_and_damaged_ones_are_not(adapted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(adapted, run)
    before = {f.name: f.read_bytes() for f in (run / "evaluate").glob("*.jsonl")}
    inputs = {stage: Artifact.load(run / stage) for stage in ("prepare", "model", "train")}
    wanted = recipe("pairs=[en-de, de-en]\nevaluate.decode=[{beam: 1}, {beam: 4}]")
    loader, said = Loader(), Heard()
    evaluate.run(wanted, inputs, run / "evaluate", "e", said, loader)
    assert loader.loaded == {}
    assert sum("used again" in line for line in said.said) == len(before) == 16
    assert scores(run)["sets"][0]["results"][2]["scores"] == scores(adapted)["sets"][0]["results"][2]["scores"]
    assert scores(run)["systems"] == scores(adapted)["systems"]

    damaged = run / "evaluate" / "test.en-de.trained.greedy.jsonl"
    damaged.write_text("{}\n", encoding="utf-8")
    inputs["model"] = Artifact(inputs["model"].folder, "model", "another key", inputs["model"].facts)
    loader = Loader()
    evaluate.run(wanted, inputs, run / "evaluate", "e", SILENT, loader)
    assert loader.loaded["model"].calls == 8  # another base: all of its translations
    assert loader.loaded["train"].calls == 1
    assert {f.name: f.read_bytes() for f in (run / "evaluate").glob("*.jsonl")} == before


def test_used_again_with_other_references_what_is_written_is_of_these(adapted: Path, tmp_path: Path) -> None:
    """Nothing is translated again, and every line says what the scores were made of."""
    run = tmp_path / "run"
    shutil.copytree(adapted, run)
    inputs = {stage: Artifact.load(run / stage) for stage in ("prepare", "model", "train")}
    found = list(records.read(run / "prepare" / "test", Example))
    shutil.rmtree(run / "prepare" / "test")
    with records.Writer(run / "prepare" / "test", Example) as writer:
        for number, example in enumerate(found):
            writer.write(
                replace(
                    example, target="ganz anders " * (number % 3) + example.target, line=number + 70, origin="new.tsv"
                )
            )
    wanted = recipe("pairs=[en-de]\nevaluate.decode=[{beam: 1}, {beam: 4}]")
    loader = Loader()
    evaluate.run(wanted, inputs, run / "evaluate", "e", SILENT, loader)
    assert loader.loaded == {}
    entry = scores(run)["sets"][1]
    now = [example.towards(Direction("en", "de")) for example in records.read(run / "prepare" / "test", Example)]
    for result in entry["results"]:
        rows = lines(run, result["file"])
        assert [(r["reference"], r["origin"], r["line"]) for r in rows] == [
            (e.target, e.origin, e.line) for e in now if e
        ]
        single = segments("chrf", [r["hypothesis"] for r in rows], [r["reference"] for r in rows], "de").single
        assert [r["chrf"] for r in rows] == [round(score, 3) for score in single.tolist()]


@pytest.mark.slow
def test_a_gain_that_is_too_small_ends_in_an_error_after_everything_is_written(tmp_path: Path) -> None:
    inputs = make_run(tmp_path, new=False)
    wanted = recipe("evaluate.metrics=[bleu]\nevaluate.must_gain={chrf: 90, ter: 0.5}")
    with pytest.raises(
        QualityError, match=r"test en-de: chrF2\+\+ gained \+\d+\.\d\d .* of the \+90\.00 wanted"
    ) as error:
        evaluate.run(wanted, inputs, tmp_path / "evaluate", "e", SILENT, Loader())
    assert "TER" not in str(error.value) and "dev" not in str(error.value)
    for name in ("scores.json", "report.html", "README.md"):
        assert (tmp_path / "evaluate" / name).is_file()
    assert not (tmp_path / "evaluate" / MANIFEST).exists()
    assert scores(tmp_path)["metrics"] == ["bleu", "chrf", "ter"]
    assert "was not reached" in (tmp_path / "evaluate" / "report.html").read_text(encoding="utf-8")
    met = recipe("evaluate.must_gain={chrf: 0.5}")
    assert evaluate.run(met, inputs, tmp_path / "evaluate", "e", SILENT, Loader()).stage == "evaluate"


@pytest.mark.slow
def test_a_test_file_that_stands_in_the_training_texts(tmp_path: Path) -> None:
    run = tmp_path / "run"
    inputs = make_run(run, new=False)
    seen = pairs("train")[:20] + pairs("extra")[:40]
    rows = "\n".join(f"{e.source}\t{e.target}" for e in seen)
    (tmp_path / "extra.en-de.tsv").write_text("source\ttarget\n" + rows + "\n", encoding="utf-8")
    wanted = recipe("evaluate.files=[extra.en-de.tsv]\nevaluate.sets=[test]", tmp_path)
    said = Heard()
    evaluate.run(wanted, inputs, run / "evaluate", "e", said, Loader())
    entry = scores(run)["sets"][1]
    assert (entry["set"], entry["segments"]) == ("extra.en-de", 60)
    assert entry["overlap"] == {"source": 20, "target": 20, "segments": 20}
    trained = entry["results"][1]
    assert trained["clean"]["scores"]["chrf"]["value"] != trained["scores"]["chrf"]["value"]
    assert trained["clean"]["gains"]["chrf"]["gain"] > 0
    table = next(line for line in said.said if line.startswith("extra.en-de"))
    assert "20 of them in the training texts" in table and "without the overlap" in table


@pytest.mark.slow
def test_the_training_texts_of_the_base_run_count_too(tmp_path: Path) -> None:
    """A model that comes from an earlier run has seen that run's texts."""
    inputs = make_run(tmp_path / "run", new=False)
    records.write(tmp_path / "first" / "prepare" / "train", pairs("test")[:15], Example)
    base = (
        "name: x\npairs: [en-de]\nmodel: {base: first}\ntrain: [{sft: {}}]\nevaluate: {bootstrap: 9, randomisation: 9}"
    )
    evaluate.run(recipe("", tmp_path, base), inputs, tmp_path / "run" / "evaluate", "e", SILENT, Loader())
    found = scores(tmp_path / "run")
    assert [entry["overlap"]["segments"] for entry in found["sets"]] == [0, 15]
    assert found["overlap_checked"] == 2


@pytest.mark.slow
def test_all_that_was_trained_on_counts(tmp_path: Path) -> None:
    """Monolingual, replayed and synthetic text where a phase read it; what was prepared and not read does not count."""
    run = tmp_path / "run"
    inputs = make_run(run, new=False)
    test = pairs("test")
    records.write(run / "prepare" / "text" / "de", [Text(e.target, "de") for e in test[:5]], Text)
    records.write(run / "synthesise" / "rows", test[5:12], Example)
    inputs["synthesise"] = Artifact.finish(run / "synthesise", "synthesise", "s", {})
    (tmp_path / "general.txt").write_text("\n".join(e.source for e in test[12:15]) + "\n", encoding="utf-8")
    replay = "train.0={hybrid: {tokens: 9, tasks: {mt: {}, replay: {from: general.txt}}}}"
    wanted = [recipe("", tmp_path), recipe(replay, tmp_path)]
    rows = [{}, {"lm de": 5, "synthetic en-de": 7}]
    counts = []
    for number, read in enumerate(rows):
        train = inputs["train"]
        phases = [{**phase, "rows": read} for phase in train.facts["phases"]]
        made = {**inputs, "train": replace(train, facts={**train.facts, "phases": phases})}
        evaluate.run(wanted[number], made, run / "evaluate", str(number), SILENT, Loader())
        counts.append(scores(run)["sets"][1]["overlap"]["segments"])
    assert counts == [0, 15]


@pytest.mark.slow
def test_with_a_real_model(tmp_path: Path) -> None:
    """The translator that the stage loads by itself, on a model of random weights."""
    import torch

    from dragoman.translator import Translator
    from tests.tiny import tiny

    threads = torch.get_num_threads()
    inputs = make_run(tmp_path, new=False, trained=False)
    tiny(tmp_path / "model" / "model")
    wanted = recipe(
        "train=[]\nplan.threads=1\nevaluate.max_segments=4\nevaluate.sets=[test]\nevaluate.decode=[{max_extra: 4}, {beam: 2}, {mbr: {candidates: 4}}]"
    )
    try:
        evaluate.run(wanted, inputs, tmp_path / "evaluate", "e", SILENT)
        found = Translator.load(tmp_path / "model" / "model", threads=1)
    finally:
        torch.set_num_threads(threads)
    record = scores(tmp_path)
    (entry,) = record["sets"]
    assert [line["decoding"] for line in entry["results"]] == ["greedy", "beam2", "mbr4"]
    assert record["systems"][0]["description"] == found.description
    assert record["hardware"]["threads"] == 1
    rows = lines(tmp_path, "test.en-de.baseline.greedy.jsonl")
    made = found.translate([row["source"] for row in rows], pairs("test")[0].direction, wanted.evaluate.decode[0])
    assert [row["hypothesis"] for row in rows] == [hypothesis.text for hypothesis in made]
    unfinished = sum(not hypothesis.finished for hypothesis in made)
    assert entry["results"][0]["outputs"]["unfinished"] == unfinished


@pytest.fixture(scope="module")
def helped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run evaluated without help, with one example from its training texts, and with terms."""
    run = tmp_path_factory.mktemp("helped")
    inputs = make_run(run, new=False)
    (run / "terms.tsv").write_text("nurse\tSchwester\ntablet\tPille\n", encoding="utf-8")
    evaluate.run(recipe(HELPED, run), inputs, run / "evaluate", "e", SILENT, Loader())
    return run


HELPED = "evaluate.shots=[0, 1]\nevaluate.glossary={path: terms.tsv}\nevaluate.sets=[test]"


def test_examples_and_terms_are_further_rows_of_the_same_systems(helped: Path) -> None:
    (entry,) = scores(helped)["sets"]
    assert [(line["system"], line["decoding"], line["against"]) for line in entry["results"]] == [
        ("baseline", "greedy", None),
        ("baseline", "greedy-1shot", None),
        ("baseline", "greedy-terms", None),
        ("trained", "greedy", "baseline.greedy"),
        ("trained", "greedy-1shot", "baseline.greedy-1shot"),
        ("trained", "greedy-terms", "baseline.greedy-terms"),
    ]
    help = entry["help"]
    assert (help["segments"], help["glossary"], help["min_match"], help["twins"]) == (60, 2, 0.5, 0)
    assert sum(help["bands"].values()) == 60
    assert help["gated"] == 0
    by_row = {(row["system"], row["decoding"]): row for row in help["gains"]}
    assert set(by_row) == {(s, f"greedy-{w}") for s in ("baseline", "trained") for w in ("1shot", "terms")}
    one_shot = by_row["trained", "greedy-1shot"]
    assert (one_shot["alone"], one_shot["given"]) == ("greedy", 60)
    whole, *bands = one_shot["parts"]
    assert (whole["part"], whole["segments"]) == ("all", 60)
    assert {part["part"]: part["segments"] for part in bands} == help["bands"]
    lines_by = {(line["system"], line["decoding"]): line for line in entry["results"]}
    for side, name in (("before", "greedy"), ("after", "greedy-1shot")):
        assert whole[side]["chrf"] == lines_by["trained", name]["scores"]["chrf"]["value"]
    gain = whole["gains"]["chrf"]
    assert gain["gain"] == pytest.approx(whole["after"]["chrf"] - whole["before"]["chrf"])
    assert gain["interval"]["low"] <= gain["gain"] <= gain["interval"]["high"]
    assert gain["p_randomisation"] == 1 / 51


def test_examples_come_from_the_training_texts_and_never_from_the_set(helped: Path) -> None:
    train = {(e.source, e.target) for e in pairs("train")}
    for row in lines(helped, "test.en-de.trained.greedy-1shot.jsonl"):
        ((source, target),) = [(shot["source"], shot["target"]) for shot in row["shots"]]
        assert (source, target) in train
        assert row["terms"] == []
    assert "shots" not in lines(helped, "test.en-de.trained.greedy.jsonl")[0]


def test_the_report_has_gains_and_terms(helped: Path) -> None:
    text = report.help_table(scores(helped)["sets"][0])
    assert "trained greedy-1shot over greedy" in text
    assert "examples from a memory of 60 segments" in text
    assert "20 of 20 (100 %)" in text
    assert "10 of 20 (50 %)" in text
    page = (helped / "evaluate" / "report.html").read_text(encoding="utf-8")
    assert "Examples and terms in the prompt" in page
    assert "20 of 20 (100 %)" in page


def test_terms_that_were_obeyed_are_counted(helped: Path) -> None:
    terms = {(row["system"], row["decoding"]): row for row in scores(helped)["sets"][0]["help"]["terms"]}
    with_terms, without = terms["trained", "greedy-terms"], terms["trained", "greedy"]
    assert with_terms["all"] == {"terms": 20, "exact": 20, "inflected": 20}  # both stand in ten of the sentences
    assert with_terms["in_reference"] == {"terms": 10, "exact": 10, "inflected": 10}
    assert without["all"]["exact"] == without["in_reference"]["exact"] == 10


@pytest.mark.slow
def test_helped_translations_are_used_again_until_the_memory_changes(helped: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(helped, run)
    inputs = {stage: Artifact.load(run / stage) for stage in ("prepare", "model", "train")}
    loader, said = Loader(), Heard()
    evaluate.run(recipe(HELPED, run), inputs, run / "evaluate", "e", said, loader)
    assert loader.loaded == {}
    assert scores(run)["sets"][0]["help"] == scores(helped)["sets"][0]["help"]
    with Store.open(memory_file(run), create=True) as memory:
        memory.add([*pairs("test"), *pairs("extra")])
    evaluate.run(recipe(HELPED, run), inputs, run / "evaluate", "e", SILENT, loader)
    assert loader.loaded["train"].calls == 1  # the one with examples
    assert scores(run)["sets"][0]["help"]["twins"] == 60
    extra = {e.source for e in pairs("extra")}
    rows = lines(run, "test.en-de.trained.greedy-1shot.jsonl")
    assert all(shot["source"] in extra for row in rows for shot in row["shots"])


def test_examples_need_a_memory(tmp_path: Path) -> None:
    inputs = make_run(tmp_path, new=False)
    del inputs["prepare"]
    (tmp_path / "x.en-de.tsv").write_text("source\ttarget\nthe cat\tKatze\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="neither a memory nor training texts"):
        evaluate.run(
            recipe(f"evaluate.shots=[0, 1]\nevaluate.files=[{tmp_path / 'x.en-de.tsv'}]"),
            inputs,
            tmp_path / "evaluate",
            "e",
            SILENT,
            Loader(),
        )


@pytest.mark.slow
def test_an_outside_system_stands_in_the_same_table_and_tests(tmp_path: Path) -> None:
    inputs = make_run(tmp_path, new=False)
    first = Heard()
    evaluate.run(recipe("evaluate.sets=[test]"), inputs, tmp_path / "evaluate", "e", first, Loader())
    assert "evaluate: test en-de: better than the untouched model (chrF2++" in "\n".join(first.said)
    sources = (tmp_path / "evaluate" / "sources" / "test.en-de.txt").read_text(encoding="utf-8").splitlines()
    assert sources == [example.source for example in pairs("test")]

    (tmp_path / "deepl.txt").write_text("".join(f"{e.target}\n" for e in pairs("test")), encoding="utf-8")
    outside = json.dumps({"name": "Deep Thought 2", "outputs": {"test en-de": "deepl.txt"}})
    wanted = recipe(f"evaluate.sets=[test]\nevaluate.outside=[{outside}]", tmp_path)
    second = Heard()
    evaluate.run(wanted, inputs, tmp_path / "evaluate", "e2", second, Loader())
    (entry,) = scores(tmp_path)["sets"]
    assert [line["system"] for line in entry["results"]] == ["baseline", "Deep Thought 2", "trained"]
    assert entry["results"][1]["scores"]["bleu"]["value"] == pytest.approx(100)
    assert entry["results"][1]["gains"]["bleu"]["gain"] > 0
    over = entry["results"][2]["over_outside"]["Deep Thought 2"]["chrf"]
    assert over["gain"] < 0 and over["p_randomisation"] < 0.05
    assert "trained greedy against Deep Thought 2: BLEU" in "\n".join(second.said)
    assert "worse, 95% interval" in "\n".join(second.said)
    assert "over Deep Thought 2" in (tmp_path / "evaluate" / "report.html").read_text(encoding="utf-8")
    assert report.compare(
        [tmp_path, shutil.copytree(tmp_path, tmp_path.with_name("other"))]
    ).tables  # trained stays last


@pytest.mark.parametrize(
    ("outside", "error", "message"),
    [
        (
            {"name": "x", "outputs": {"test en-fr": "a.txt"}},
            RecipeError,
            "there is no set 'test en-fr'. There are: test en-de",
        ),
        ({"name": "x", "outputs": {"test en-de": "none.txt"}}, RecipeError, "none.txt: no such file"),
        (
            {"name": "x", "outputs": {"test en-de": "short.txt"}},
            DataError,
            "has 1 lines, and test en-de has 60 segments",
        ),
    ],
)
def test_an_outside_file_that_does_not_fit(
    tmp_path: Path, outside: dict[str, Any], error: type[Exception], message: str
) -> None:
    (tmp_path / "short.txt").write_text("one\n")
    wanted = recipe(f"evaluate.sets=[test]\nevaluate.outside=[{json.dumps(outside)}]", tmp_path)
    with pytest.raises(error, match=message):
        evaluate.run(wanted, make_run(tmp_path, new=False), tmp_path / "evaluate", "e", SILENT, Loader())


def test_the_names_of_the_runs_own_systems_are_taken() -> None:
    with pytest.raises(RecipeError, match="'trained' is the name of a system of the run"):
        recipe('evaluate.outside=[{"name": "trained", "outputs": {"test en-de": "a.txt"}}]')

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import ModelCardData
from ruamel.yaml import YAML

from dragoman import report
from dragoman.report.card import header
from dragoman.report.folders import RunFolder
from tests.runs import make_run
from tests.stages.test_evaluate import scores
from tests.tiny import tiny


def test_the_hub_can_read_the_header(run: Path) -> None:
    data: ModelCardData = ModelCard.load(report.write_card(run)).data
    assert data.language == ["de", "en"]
    assert data.license == "apache-2.0"
    assert (data.base_model, data.base_model_relation) == ("acme/small-1b", "finetune")
    assert (data.pipeline_tag, data.library_name) == ("translation", "transformers")
    assert data.metrics == ["bleu", "chrf", "ter"]
    assert data.model_name == "small" and data.eval_results is not None
    measured = {
        (f"{entry['set']} {entry['direction']}", metric): round(score["value"], 2)
        for entry in scores(run)["sets"]
        for metric, score in entry["results"][-1]["scores"].items()
    }
    assert {(r.dataset_name, r.metric_type): r.metric_value for r in data.eval_results} == measured
    assert all(r.metric_args["signature"].startswith("nrefs:1|") for r in data.eval_results)


def test_tables_hold_together(run: Path) -> None:
    text = report.write_card(run).read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.M)
    assert len(tables) == 2
    for table in tables:
        rows = table.strip().split("\n")
        assert len(rows) == 4 and len({row.count("|") for row in rows}) == 1
    assert "licences of these texts are not known" in text
    assert "data/a.tsv" not in text and "- a.tsv: 189 rows, 60 trained on" in text
    assert "\n\n\n" not in text


def test_a_new_model_has_no_base_and_a_local_one_is_no_hub_id(tmp_path: Path) -> None:
    make_run(tmp_path / "new")
    text = header(RunFolder.read(tmp_path / "new"))
    assert "base_model" not in text and "license: unknown" in text and "model-index" not in text
    make_run(tmp_path / "local", new=False)
    manifest = tmp_path / "local" / "model" / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("acme/small-1b", str(tmp_path)), encoding="utf-8")
    assert "base_model" not in header(RunFolder.read(tmp_path / "local"))


def test_data_sets_of_the_hub_are_named(tmp_path: Path) -> None:
    make_run(tmp_path)
    file = tmp_path / "prepare" / "report.json"
    file.write_text(file.read_text(encoding="utf-8").replace("data/a.tsv", "hf:acme/pairs"), encoding="utf-8")
    assert "datasets:\n- acme/pairs\n" in header(RunFolder.read(tmp_path))


def test_each_direction_has_results_of_its_own(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "both")
    record = scores(copy)
    record["sets"] += [{**entry, "direction": "de-en"} for entry in record["sets"]]
    (copy / "evaluate" / "scores.json").write_text(json.dumps(record), encoding="utf-8")
    index = YAML(typ="safe").load(header(RunFolder.read(copy)))["model-index"][0]["results"]
    titles = [(entry["task"]["name"], entry["dataset"]["name"]) for entry in index]
    assert sorted(titles) == sorted(
        (f"Translation {way}", f"{name} {way}") for way in ("en-de", "de-en") for name in ("dev", "test")
    )


@pytest.mark.parametrize("base", ["../general", "./x/y", "models/mine"])
def test_a_folder_is_no_hub_id(base: str, tmp_path: Path) -> None:
    make_run(tmp_path / "run", new=False)
    (tmp_path / "run" / "models" / "mine").mkdir(parents=True)
    manifest = tmp_path / "run" / "model" / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("acme/small-1b", base), encoding="utf-8")
    assert "base_model" not in header(RunFolder.read(tmp_path / "run"))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("compact", "<s><|en|>{text}<|de|>"),
        ("alma", "<s>Translate this from English to German:\nEnglish: {text}\nGerman:"),
        ("chat", "Translate the following text from English into German.\nEnglish: {text}\nGerman:"),
    ],
)
def test_the_card_tells_how_to_use_the_model(form: str, expected: str, run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copy / "train" / "0-sft" / "model", ignore_errors=True)
    tiny(copy / "train" / "0-sft" / "model", form=form)
    text = report.write_card(copy).read_text(encoding="utf-8")
    assert 'dragoman translate MODEL "..." --from en --to de' in text
    assert f"```\n{expected}\n```" in text
    assert ("chat template" in text) == (form == "chat")
    assert "better than the untouched model" in text or "no difference" in text

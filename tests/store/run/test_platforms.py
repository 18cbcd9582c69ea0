"""Folders for hosting platforms: what they hold, that a server starts from them, and prices from the user's own figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dragoman.core.prompt.prompts import FORMATS as PROMPTS
from dragoman.errors import ArgumentError, ModelError
from dragoman.store.run.bundle import Bundle
from dragoman.store.run.platforms import PLATFORMS, price, write
from tests.store.bundles import FACTS, bundle


def made(folder: Path, kind: str = "llama") -> Bundle:
    """A bundle whose files say as much as platforms ask for."""
    bundle(folder)
    (folder / "hf" / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    (folder / "hf" / "dragoman.json").write_text("{}", encoding="utf-8")
    card = {"prompt": PROMPTS["compact"].to_json(), "directions": ["en-fr", "fr-en"]}
    (folder / "model" / "dragoman.json").write_text(json.dumps(card), encoding="utf-8")
    own = {"bos_token": "<s>", "eos_token": {"content": "</s>"}}
    (folder / "model" / "tokenizer_config.json").write_text(json.dumps(own), encoding="utf-8")
    return Bundle.finish(folder, "hf", {"hf": {"verdict": "passed"}}, {**FACTS, "name": "The Clinic_7"})


@pytest.mark.parametrize("platform", [one for one in PLATFORMS if one != "bedrock"])
def test_a_container_has_the_bundle_and_a_server_that_needs_no_key(tmp_path: Path, platform: str) -> None:
    out = write(made(tmp_path / "bundle"), platform, tmp_path / platform)
    Bundle.read(out / "model").verify()
    lines = (out / "Dockerfile").read_text(encoding="utf-8").splitlines()
    [entry] = [json.loads(line.removeprefix("ENTRYPOINT ")) for line in lines if line.startswith("ENTRYPOINT ")]
    place = "/opt/ml/model" if platform == "sagemaker" else "/opt/model"
    assert entry[:2] == ["sh", "-c"]
    assert f"exec dragoman serve {place} --host 0.0.0.0 --port 8080 --no-keys" in entry[2]
    assert (f"COPY --chown=10001 model {place}" in lines) == (platform != "sagemaker")
    told = (out / "README.md").read_text(encoding="utf-8")
    assert "the-clinic-7" in told
    assert "NAME" not in told.replace("ENDPOINT_NAME", "")


def test_the_files_that_the_platforms_read_are_well_formed(tmp_path: Path) -> None:
    source = made(tmp_path / "bundle")
    sage = write(source, "sagemaker", tmp_path / "sagemaker")
    model = json.loads((sage / "model.json").read_text(encoding="utf-8"))
    assert model["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]["S3Uri"].endswith("/model/")  # a prefix ends so
    variants = json.loads((sage / "endpoint-config.json").read_text(encoding="utf-8"))["ProductionVariants"]
    assert [one["ModelName"] for one in variants] == [model["ModelName"]] == ["the-clinic-7"]
    azure = write(source, "azure", tmp_path / "azure")
    deployment = YAML(typ="safe").load((azure / "deployment.yml").read_text(encoding="utf-8"))
    assert deployment["endpoint_name"] == "the-clinic-7"
    assert {route["port"] for route in deployment["environment"]["inference_config"].values()} == {8080}


def test_bedrock_gets_weights_tokenizer_and_the_prompt_that_is_to_be_sent(tmp_path: Path) -> None:
    out = write(made(tmp_path / "bundle"), "bedrock", tmp_path / "bedrock")
    assert sorted(path.name for path in (out / "model").iterdir()) == ["config.json", "model.safetensors"]
    prompts = json.loads((out / "prompts.json").read_text(encoding="utf-8"))
    assert list(prompts) == ["en-fr", "fr-en"]
    assert re.search(r"\{text\}", prompts["en-fr"]["prompt"])
    assert "<s>" not in prompts["en-fr"]["prompt"]
    with pytest.raises(ModelError, match="no models of the kind 'gemma3_text'"):
        write(made(tmp_path / "other", "gemma3_text"), "bedrock", tmp_path / "bedrock")
    with pytest.raises(ArgumentError, match="is no platform"):
        write(Bundle.read(tmp_path / "bundle"), "moon", tmp_path / "moon")


def test_the_memory_of_a_folder_is_its_own_and_a_second_writing_replaces_the_first(tmp_path: Path) -> None:
    source = made(tmp_path / "bundle")
    out = write(source, "vertex", tmp_path / "vertex")
    [memory] = out.rglob("*.sqlite")
    assert memory.stat().st_ino != (source.folder / memory.relative_to(out / "model")).stat().st_ino
    (out / "model" / "old.bin").write_bytes(b"old")
    write(source, "vertex", out)
    assert not (out / "model" / "old.bin").exists()


def test_a_million_characters_cost_the_time_that_they_take() -> None:
    assert price(3.6, 1000) == pytest.approx(1.0)  # 1,000 seconds of a thousandth each
    assert price(3.6, 1000, 0.5) == pytest.approx(2.0)
    for wrong in ((-1, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 2)):
        with pytest.raises(ArgumentError):
            price(*wrong)

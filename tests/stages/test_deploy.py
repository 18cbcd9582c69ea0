"""Deployment: exports that are loaded afresh and scored again, bundles that are whole or refused, and what is told of both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dragoman import pipeline
from dragoman.assistant import Assistant
from dragoman.backends import open_backend
from dragoman.core.recipe import Gate, Recipe
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.engine.load import Card, save
from dragoman.errors import CheckpointError, DataError, ModelError, QualityError, RecipeError
from dragoman.stages.deploy import contents, gate, trial
from dragoman.stages.deploy.trials import Trials
from dragoman.store.corpus import records
from dragoman.store.memory.glossary import glossary_file
from dragoman.store.memory.translation_memory import Memory, memory_file
from dragoman.store.run.artifact import Artifact, file_digest, model_folder, write_json
from dragoman.store.run.bundle import Bundle
from dragoman.store.run.screen import Screen
from dragoman.store.run.trained import directions_of, help_of, key_of
from dragoman.translator import Translator
from tests.commands import Command
from tests.runs import pairs
from tests.tiny import tiny

EN_DE = Direction("en", "de")
RECIPE = """
name: small
pairs: [en-de]
prepare: {parallel: x.tsv}
model: {new: {}}
deploy: {formats: [hf, ctranslate2], latency: 2, gate: {rows: 6}}
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials in this process: a fresh one for each would take seconds."""
    monkeypatch.setattr(Trials, "_run", _in_this_process)


def _in_this_process(self: Trials, name: str, what: Mapping[str, Any]) -> dict[str, Any]:
    job = {**what, "sets": self.sets, "latency": self._settings.latency, "threads": 1}
    write_json(self._out / "job.json", job)
    trial.main(self._out / "job.json", self._out / f"{name}.json")
    found: dict[str, Any] = json.loads((self._out / f"{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def run(here: None, tmp_path: Path) -> Path:
    return made(tmp_path / "clinic")


def made(folder: Path) -> Path:
    """A run with a tiny model."""
    for split in ("train", "dev", "test"):
        records.write(folder / "prepare" / split, pairs(split)[:9], Example)
    Artifact.finish(folder / "prepare", "prepare", "p", {})
    loaded = tiny(form="chat")
    loaded.model.config.max_position_embeddings = 512  # the prompts of a chat are long
    save(folder / "model" / "model", loaded)
    facts = {"folder": "model", "new": True, "base": "new", "parameters": 1, "architecture": "llama", "licence": None}
    Artifact.finish(folder / "model", "model", "m", facts)
    return folder


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = made(tmp_path_factory.mktemp("deployed") / "clinic")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trials, "_run", _in_this_process)
        deploy(run)
    return run


@pytest.fixture
def deployed(once: Path, here: None, tmp_path: Path) -> Path:
    """A copy of the run with its bundle, plain and for CTranslate2."""
    return shutil.copytree(once, tmp_path / "clinic")


def deploy(run: Path, *overrides: str) -> dict[str, Artifact]:
    recipe = Recipe.parse(RECIPE, "recipe", overrides, run)
    given = {name: Artifact.load(run / name) for name in ("prepare", "model")}
    return pipeline.run(recipe, run, stages=["deploy"], given=given)


@pytest.mark.slow
def test_a_bundle_stands_for_itself(run: Path, tmp_path: Path, dragoman: Command) -> None:
    glossary_file(run).parent.mkdir()
    glossary_file(run).write_text("source\ttarget\tlanguages\n", encoding="utf-8")
    with Memory.open(memory_file(run), create=True) as memory:
        memory.add([Example("the house", "das Haus", "en", "de")])
    done = deploy(run)
    facts = done["deploy"].facts
    assert [f["format"] for f in facts["formats"]] == ["hf", "ctranslate2-float32"]
    assert facts["default"] in ("hf", "ctranslate2-float32")
    moved = tmp_path / "elsewhere"
    (run / "deploy" / "bundle").rename(moved)
    shutil.rmtree(run)
    texts = [e.source for e in pairs("test")]
    found = {
        name: Translator.load(moved, backend=name, threads=1).translate(texts, EN_DE)
        for name in ("transformers", "ctranslate2")
    }
    assert [h.text for h in found["transformers"]] == [h.text for h in found["ctranslate2"]]
    assert (key_of(moved), help_of(moved), [str(d) for d in directions_of(moved)]) == (
        "m",
        (1, True),
        ["en>de", "de>en"],
    ) or (key_of(moved) == "m")
    with Assistant.load(moved, threads=1) as assistant:
        assert assistant.translate(["the house"], EN_DE)[0].origin == "memory"
        assistant.confirm("the dog", "der Hund", EN_DE)  # the memory grows ...
    bundle = Bundle.read(moved)
    bundle.verify()  # ... and the bundle is whole all the same
    assert str(tmp_path) not in (moved / "bundle.json").read_text(encoding="utf-8")
    assert "| ctranslate2-float32 |" in (moved / "README.md").read_text(encoding="utf-8")
    said = dragoman("translate", moved, "the dog sees a house.", "--to", "de", "--backend", "ctranslate2")
    assert said.code == 0
    assert dragoman("translate", moved, "a", "--to", "de", "--backend", "tflite").code == 2


@pytest.mark.slow
def test_a_gguf_file_passes_the_gate_and_is_for_a_server_of_the_users_own(run: Path) -> None:
    done = deploy(run, "deploy.formats=[gguf-f32, gguf, hf]", "deploy.gate.max_loss={chrf: 100}")["deploy"].facts
    exact, rounded, _ = done["formats"]
    assert exact["gate"]["nats"] < 1e-4 and exact["gate"]["agreement"] == 1.0
    assert rounded["gate"]["nats"] > exact["gate"]["nats"]
    assert done["default"] == "hf"
    bundle = run / "deploy" / "bundle"
    assert (bundle / "gguf-q8_0" / "Modelfile.de-en").read_text(encoding="utf-8").startswith("FROM ./model.gguf\n")
    with pytest.raises(ModelError, match=r"run `llama-server --model .*model.gguf` and give its URL"):
        open_backend(bundle, "gguf-q8_0")
    with pytest.raises(QualityError, match="gguf-q4_k_m refused: GGUF: the gguf library reads the type q4_k_m"):
        deploy(run, "deploy.formats=[hf, gguf-q4_k_m]")


def test_a_folder_for_a_platform_and_what_a_million_characters_cost(deployed: Path, dragoman: Command) -> None:
    run = deployed
    done = dragoman("deploy", run, "--for", "vertex", "--price", "2", "--own-price", "0.5", "--json")
    *_, folder, prices = map(json.loads, done.out.splitlines())
    Bundle.read(Path(folder["folder"]) / "model").verify()
    there, own = prices["prices"]
    bundle = Bundle.read(run / "deploy" / "bundle")
    speed = bundle.formats[bundle.default]["measured"]["characters_per_second"]
    assert there["per_million"]["1.0"] == pytest.approx(2 / 3600 / speed * 1e6)
    assert there["per_million"]["0.25"] == pytest.approx(4 * there["per_million"]["1.0"])
    assert own["per_million"]["1.0"] == pytest.approx(there["per_million"]["1.0"] / 4)


def test_plain_transformers_loads_the_export_with_its_template(deployed: Path) -> None:
    run = deployed
    folder = run / "deploy" / "bundle" / "hf"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    own = Translator.load(run, threads=1)
    prompt = own.encoder.encode([_rendered(own, "the dog sees a house.")])[0][0]
    turn = [{"role": "user", "content": _rendered(own, "the dog sees a house.").turns[-1].text}]
    text = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    assert ids[0].tolist() == prompt
    with torch.inference_mode():
        assert torch.allclose(model(ids).logits, own.loaded.model(ids).logits, atol=1e-5)


def _rendered(translator: Translator, text: str) -> Any:
    from dragoman.core.prompt.prompts import render

    return render(translator.shell.card.prompt, EN_DE, text)


@pytest.mark.slow
def test_what_is_not_as_good_is_not_done_and_the_rest_goes_on(run: Path) -> None:
    with pytest.raises(QualityError) as error:
        deploy(
            run,
            "deploy.formats=[ctranslate2-int8, adapter, hf]",
            "deploy.gate.max_loss={chrf: 0}",
            "deploy.gate.rows=9",
        )
    told = str(error.value)
    assert "adapter refused: the run's model is a whole one" in told
    record = json.loads((run / "deploy" / "deploy.json").read_text(encoding="utf-8"))
    verdicts = {one["format"]: one["verdict"] for one in record["formats"]}
    assert (verdicts["adapter"], verdicts["hf"]) == ("refused", "passed")
    lost = max(loss["loss"] for loss in record["formats"][0]["gate"]["losses"])
    assert (verdicts["ctranslate2-int8"] == "failed") == (lost > 0)
    if lost > 0:
        assert "ctranslate2-int8 failed" in told and f"{lost:+.2f} chrF2++" in told and "p=" in told
        assert (run / "deploy" / "failed" / "ctranslate2-int8" / "model.bin").is_file()
    assert list(Bundle.read(run / "deploy" / "bundle").formats)[-1] == "hf"
    assert not (run / "deploy" / "manifest.json").is_file()  # the command tells again the next time
    assert (run / "deploy" / "deploy.svg").read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.slow
def test_an_export_that_computes_something_else_fails(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = contents.export

    def spoilt(model: Path, form: str, where: Path, texts: Any) -> dict[str, Any]:
        made = export(model, form, where, texts)
        whole = AutoModelForCausalLM.from_pretrained(where)
        with torch.no_grad():
            whole.model.norm.weight *= 1.02
        whole.save_pretrained(where)
        return made

    monkeypatch.setattr(contents, "export", spoilt)
    with pytest.raises(
        QualityError, match="hf failed: a token's log-probability differs by .* nats, 0.001 are allowed"
    ):
        deploy(run, "deploy.formats=[hf]")
    assert not (run / "deploy" / "bundle").exists()
    with pytest.raises(CheckpointError, match="finished run"):
        model_folder(run / "deploy" / "bundle")


def test_a_bundle_that_is_not_whole_is_refused(deployed: Path, tmp_path: Path) -> None:
    bundle = deployed / "deploy" / "bundle"
    names = [n for n in Bundle.read(bundle).files if n.startswith(("hf/", "ctranslate2-float32/", "model/"))]
    for number, name in enumerate(names):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(bundle, copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises(CheckpointError, match=f"{name} is changed"):
            Bundle.read(copy).verify()
        (copy / name).write_bytes(data[:-1])
        with pytest.raises(CheckpointError, match=f"{name} is missing or of another size"):
            open_backend(copy)
        (copy / name).unlink()
        with pytest.raises(CheckpointError, match=f"{name} is missing"):
            directions_of(copy)
    copy = tmp_path / "torso"
    shutil.copytree(bundle, copy)
    (copy / "bundle.json").unlink()
    with pytest.raises(CheckpointError, match=r"no whole bundle \(bundle.json is missing\)"):
        open_backend(copy)
    (copy / "bundle.json").write_text('{"format": 1}')
    with pytest.raises(CheckpointError, match="damaged"):
        open_backend(copy)


@pytest.mark.long
def test_weights_that_texts_of_train_have_rounded_pass_the_gate(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("auto_round")
    from dragoman.engine import autoround

    loaded = tiny(form="chat")
    config = loaded.model.config.__class__.from_dict(
        loaded.model.config.to_dict() | {"num_key_value_heads": 4, "max_position_embeddings": 512}
    )
    torch.manual_seed(0)
    model = loaded.model.__class__(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    save(run / "model" / "model", replace(loaded, model=model))
    export, heard = autoround.export, []

    def overheard(model: Any, out: Path, method: str, rows: Any) -> dict[str, Any]:
        heard.extend(model.tokenizer.decode(ids) for ids in rows)
        return export(model, out, method, rows)

    monkeypatch.setattr(autoround, "export", overheard)
    monkeypatch.setattr(autoround, "_STEPS", 2)
    done = deploy(run, "deploy.formats=[awq, hf]", "deploy.gate.max_loss={chrf: 100}")["deploy"].facts
    assert done["default"] == "hf"
    assert done["formats"][0]["exported"]["calibration"]["texts"] == "train"
    assert done["formats"][0]["gate"]["nats"] > 1e-3
    assert len(heard) == 9
    assert all(any(e.source in text and e.target in text for e in pairs("train")[:9]) for text in heard)
    with pytest.raises(ModelError, match="is for vLLM"):
        open_backend(run / "deploy" / "bundle", "awq")


@pytest.mark.slow
def test_a_run_uses_the_bundle_of_its_present_model_only(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(run, "deploy.formats=[ctranslate2]")
    asked: list[Path] = []
    monkeypatch.setattr("dragoman.backends.export.opened", lambda folder, name, threads: asked.append(folder))
    assert open_backend(run, "ctranslate2", threads=1).name == "ctranslate2"
    assert asked == []
    Artifact.finish(run / "model", "model", "another", Artifact.load(run / "model").facts)
    open_backend(run, "ctranslate2", threads=1)
    assert asked == [run / "model" / "model"]
    with pytest.raises(ModelError, match="has no weights for transformers"):
        open_backend(run / "deploy" / "bundle", "transformers")
    with pytest.raises(ModelError, match=r"no format for the backend 'gguf-q8_0'; it has ctranslate2-float32"):
        open_backend(run / "deploy" / "bundle", "gguf-q8_0")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers by an old name
def test_the_adapter_is_plain_peft(run: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from dragoman.engine import load

    loaded = load.load(run / "model" / "model")
    wrapped = get_peft_model(loaded.model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=4))
    weights = {n: torch.randn_like(p) * 0.1 for n, p in wrapped.named_parameters() if "lora" in n}
    where = run / "train" / "0-sft" / "model"
    load.save_trained(where, loaded, wrapped, weights, run / "model" / "model")
    given = {name: Artifact.load(run / name) for name in ("prepare", "model")}
    trained = Artifact.finish(run / "train", "train", "t", {"folder": "0-sft/model"})
    recipe = Recipe.parse(RECIPE, "recipe", ["train=[{sft: {}}]", "deploy.formats=[adapter, hf]"], run)
    given |= {"train": trained, "plan": Artifact.finish(run / "plan", "plan", "x", {})}
    done = pipeline.run(recipe, run, stages=["deploy"], given=given)
    assert done["deploy"].facts["default"] == "hf"
    about = json.loads((run / "deploy" / "bundle" / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert about["base_model_name_or_path"] == "new"
    assert "adapter_of" not in (Card.read(run / "deploy" / "bundle" / "hf").facts or {})
    with pytest.raises(ModelError, match="is for PEFT"):
        open_backend(run / "deploy" / "bundle", "adapter")


@pytest.mark.parametrize("form", ["hf", "ctranslate2-float32", "onnx-float32", "awq", "gguf-q8_0"])
def test_learned_tokens_cannot_go_into_weights(form: str, tmp_path: Path) -> None:
    write_json(tmp_path / "adapter_config.json", {"peft_type": "PREFIX_TUNING"})
    with pytest.raises(ModelError, match="PREFIX_TUNING"):
        contents.export(tmp_path, form, tmp_path / "out")


@pytest.mark.slow
def test_the_command_takes_a_run_or_a_recipe(deployed: Path, dragoman: Command) -> None:
    run = deployed
    assert dragoman("deploy", run).code == 0  # finished before
    before = file_digest(run / "deploy" / "bundle")
    (run / "deploy" / "manifest.json").unlink()
    done = dragoman("deploy", run, "deploy.formats=[hf, adapter]")
    assert done.code == 7
    assert "adapter refused" in done.err
    assert before != ""
    assert dragoman("deploy", run / "prepare").code == 6
    assert dragoman("deploy", run, "--out", run).code == 2


@pytest.mark.long
def test_a_format_that_fails_stops_no_baseline_and_a_new_bundle_remakes_none(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dragoman.store.run import baseline

    monkeypatch.setattr(
        baseline, "record", lambda *given: {"en-de": {"segments": 1, "set": "test", "decoding": "greedy"}}
    )
    Artifact.finish(run / "evaluate", "evaluate", "e", {})
    given = {name: Artifact.load(run / name) for name in ("prepare", "model", "evaluate")}

    def go(formats: str, force: tuple[str, ...] = ()) -> None:
        added = ["evaluate={}", "monitor={}", f"deploy.formats={formats}"]
        pipeline.run(Recipe.parse(RECIPE, "recipe", added, run), run, given=given, force=force)

    with pytest.raises(QualityError, match="adapter refused"):
        go("[hf, adapter]")
    made = (run / "monitor" / "manifest.json").stat()
    go("[hf]", force=("deploy",))
    assert (run / "deploy" / "manifest.json").is_file()
    assert (run / "monitor" / "manifest.json").stat().st_mtime_ns == made.st_mtime_ns
    Artifact.finish(run / "evaluate", "evaluate", "another", {})
    given["evaluate"] = Artifact.load(run / "evaluate")
    go("[hf]")
    assert (run / "monitor" / "manifest.json").stat().st_mtime_ns != made.st_mtime_ns


@pytest.mark.long
@pytest.mark.parametrize("form", ["ctranslate2", "onnx"])
def test_a_bundle_is_served_by_the_backend_that_it_names(run: Path, tmp_path: Path, form: str) -> None:
    from dragoman.server.gateway import Gateway
    from dragoman.store.run.aliases import target
    from tests.server.living import living

    deploy(run, f"deploy.formats=[{form}]")
    first = target(run / "deploy" / "bundle")
    text = "the dog sees a house."
    with Assistant.load(run / "deploy" / "bundle", memory=False, threads=1, observed=False) as assistant:
        wanted = assistant.translate([text], EN_DE)[0].text
    with living(Gateway(tmp_path / "state", models=[first], threads=1)) as live:
        answer = live.json("POST", "/translate", json={"q": text, "source": "en", "target": "de"})
        assert answer["translatedText"] == wanted
        assert live.gateway.bundles.default.engine.facts["backend"] == form
    before = first.checksum
    given = {name: Artifact.load(run / name) for name in ("prepare",)}
    loaded = tiny(form="chat", seed=5)
    loaded.model.config.max_position_embeddings = 512
    save(run / "model" / "model", loaded)
    given["model"] = Artifact.finish(run / "model", "model", "m2", Artifact.load(run / "model").facts)
    recipe = Recipe.parse(RECIPE, "recipe", [f"deploy.formats=[{form}]"], run)
    pipeline.run(recipe, run, stages=["deploy"], given=given)
    assert target(run / "deploy" / "bundle").checksum != before  # other weights under the same prompt


def test_a_model_that_translates_no_row_is_told(run: Path) -> None:
    tiny(run / "model" / "model", form="chat")  # 128 tokens of context hold no prompt
    with pytest.raises(DataError, match="translates none of 6 rows"):
        deploy(run)


def test_a_run_without_dev_rows_is_told(run: Path) -> None:
    records.write(run / "prepare" / "dev", [], Example)
    with pytest.raises(DataError, match="has no row in the directions"):
        deploy(run)


@pytest.mark.parametrize("formats", ["[tflite]", "[]", "[hf, hf]", "[ctranslate2, ctranslate2-float32]", "3"])
def test_formats_are_checked(formats: str) -> None:
    with pytest.raises(RecipeError, match=r"deploy\.formats"):
        Recipe.parse(RECIPE, "recipe", [f"deploy.formats={formats}"])


def test_the_gate_by_hand() -> None:
    rows = [{"direction": "en-de", "source": "a", "reference": "das Haus ist groß"}] * 4
    sets = {"dev": rows}
    good = {"outputs": {"dev": ["das Haus ist groß"] * 4}, "scores": [[-1.0, -2.0], None, [-0.5], [-0.5]]}
    near = {**good, "scores": [[-1.0, -2.0009], [-9.0], None, [-0.5]]}
    assert gate.judge(True, Gate(), sets, good, near)["verdict"] == "passed"
    far = gate.judge(True, Gate(), sets, good, {**good, "scores": [[-1.0, -2.002], None, [-0.5], [-0.5]]})
    assert (far["verdict"], "0.002 nats" in far["reason"]) == ("failed", True)
    other = {**good, "outputs": {"dev": ["das Haus ist groß"] * 3 + ["das Haus"]}, "scores": [None] * 4}
    failed = gate.judge(True, Gate(), sets, good, other)
    assert failed["reason"] == "75.0% of 4 greedy translations are the same, not 99%"
    rounded = gate.judge(False, Gate(), sets, good, other)
    assert (
        rounded["verdict"] == "failed"
        and "dev en-de loses +" in rounded["reason"]
        and "0.5 are allowed" in rounded["reason"]
    )
    assert gate.judge(False, Gate(max_loss={"chrf": 99}), sets, good, other)["verdict"] == "passed"
    broken = {**good, "scores": [[float("nan"), -2.0], None, [-0.5], [-0.5]]}
    assert gate.judge(True, Gate(), sets, good, broken)["verdict"] == "failed"
    blind = {**good, "scores": [None] * 4, "tells_scores": True}  # what compares nothing shows nothing
    assert gate.judge(True, Gate(), sets, good, blind)["verdict"] == "failed"


@pytest.mark.slow
def test_a_trial_that_breaks_off_is_told(tmp_path: Path) -> None:
    for split in ("dev", "test"):
        records.write(tmp_path / "prepare" / split, pairs(split)[:2], Example)
    recipe = Recipe.parse(RECIPE)
    assert recipe.deploy is not None
    from dragoman.core.listen import SILENT

    trials = Trials(recipe, recipe.deploy, tmp_path / "prepare", tmp_path / "trials", SILENT)
    found = trials.of_format("ctranslate2-int8", tmp_path / "nothing", tmp_path)
    assert "dragoman.json" in found["failure"]
    assert [len(rows) for rows in trials.sets.values()] == [2, 2]


@pytest.mark.slow
def test_the_peak_of_a_trial_is_its_own_and_not_that_of_what_started_it() -> None:
    import subprocess
    import sys

    large = b"x" * 400_000_000
    code = "from dragoman.stages.deploy.trial import peak; print(peak())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 10_000_000 < int(done.stdout) < len(large)


@pytest.mark.slow
@pytest.mark.parametrize("screen", ["null", "{}"])
@pytest.mark.parametrize("finished", [True, False])
def test_screening_outlives_a_deployment_and_a_bundle_that_left_it_says_so(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, screen: str, *, finished: bool
) -> None:
    text = Recipe.parse(f"{RECIPE}monitor: {{screen: {screen}}}\n", folder=run).to_yaml()
    (run / pipeline.EFFECTIVE).write_text(text, encoding="utf-8")
    if finished:
        Artifact.finish(run / "monitor", "monitor", "w", {})
    recipe, given = pipeline.of_run(run, ["deploy.formats=[hf]"])
    bundle = pipeline.run(recipe, run, stages=["deploy"], given=given)["deploy"].folder / "bundle"
    screens = screen != "null"
    assert [Screen.of(folder) is not None for folder in (run, bundle)] == [screens, screens]
    assert "screens texts" not in caplog.text
    moved = shutil.copytree(bundle, tmp_path / "moved")
    assert Screen.of(moved) is None
    assert ("screens texts" in caplog.text) == screens

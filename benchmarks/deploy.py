"""Backends side by side: one model, the same prompts, each backend in a process of its own.

    python benchmarks/deploy.py --base FOLDER --data DATA [--sentences 48] [--llama-cpp FOLDER] [--record]
    python benchmarks/deploy.py --run RUN --forms hf hf-bf16 onnx-float32 onnx-int8 awq gptq [--sentences 48] [--record]

`--base` is a folder of a causal language model (Gemma 3 270M made the committed record), `--data` the folder of shared texts,
of which medical/emea_en-fr_train.tsv.gz is read. `--llama-cpp` is a folder whose node_modules has node-llama-cpp: then the
GGUF file is run by a real llama.cpp too, one prompt after the other, as it is asked there. Greedy, one thread. CPU time counts, since others may
share the machine; the wall times and the load of the machine stand beside it. Quality is chrF2++ against the references, with
a paired test against ours in fp32. Peak memory is that of the process, with what it
needed to load; of llama.cpp it is not measured.
With `--run` the model is that of a run, the sentences are of its test set, and what rounds with texts takes them of its train set.
The record goes to benchmarks/results/deploy.json, that of a run into its part `run`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dragoman.backends import export, open_files
from dragoman.core.ports import Backend, Prompt, Stops
from dragoman.core.prompt.prompts import FORMATS
from dragoman.core.recipe import Decoding, Recipe
from dragoman.core.scores.metrics import segments
from dragoman.core.scores.statistics import differences
from dragoman.engine import load
from dragoman.engine.device import detect
from dragoman.engine.tokenizer import load_tokenizer
from dragoman.errors import DragomanError
from dragoman.stages.deploy import contents
from dragoman.stages.deploy.trial import peak
from dragoman.stages.deploy.trials import rows_of
from dragoman.store.run.artifact import model_folder, versions
from dragoman.translator import Translator

RESULTS = Path(__file__).parent / "results"
ALONE = 8  # sentences that are timed one by one
FORMS = ("hf", "hf-bf16", "ctranslate2-float32", "ctranslate2-int8", "gguf-q8_0")


def read(data: Path, count: int) -> list[tuple[str, str]]:
    """Sentence and reference; every tenth row, so that several documents are there."""
    with gzip.open(data / "medical" / "emea_en-fr_train.tsv.gz", "rt", encoding="utf-8", newline="") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines][1:]
    return [(r[0], r[1]) for r in rows[::10] if len(r) == 5 and r[0] and r[1] and '"' not in r[0]][:count]


def of_run(run: Path, split: str, count: int) -> list[dict[str, str]]:
    return rows_of(Recipe.load(run / "recipe.lock.yaml"), run / "prepare", split, count)


def prepare_run(run: Path, where: Path, forms: Sequence[str]) -> dict[str, str]:
    """The model of a run, and in every format; why there is none in some."""
    refused: dict[str, str] = {}
    contents.export(model_folder(run), "hf", where / "model")
    for form in forms:
        if form == "hf":
            (where / form).symlink_to(where / "model")
        else:
            began = time.process_time()
            try:
                contents.export(model_folder(run), form, where / form, lambda: of_run(run, "train", 512))
            except DragomanError as error:
                refused[form] = str(error)
            print(f"{form}: {time.process_time() - began:.0f} s of CPU. {refused.get(form, '')}", flush=True)
    return refused


def prepare(base: Path, where: Path) -> None:
    """The base as a model folder with a prompt, and in every format."""
    card = load.Card(FORMATS["adaptive"], ("en-fr",), base=base.name)
    loaded = load.Loaded(load.load_model(base, dtype="auto"), load_tokenizer(base), card)
    load.save(where / "model", loaded)
    for form in FORMS:
        if form.startswith("hf"):
            (where / form).symlink_to(where / "model")
        else:
            export.export(where / "model", form, where / form)


class Recorder:
    """A backend that keeps what it was asked, and answers nothing."""

    def __init__(self, shell: load.Shell) -> None:
        self.shell, self.name, self.directions = shell, "recorder", shell.directions
        self.prompts: list[Prompt] = []
        self.ends: list[int] = []
        self.not_first: list[int] = []

    def complete(self, prompts: Sequence[Prompt], stops: Stops, decoding: Decoding, **rest: Any) -> list[Any]:
        from dragoman.core.ports import Completion

        del decoding, rest
        self.prompts, self.ends, self.not_first = list(prompts), list(stops.ends), list(stops.not_first)
        return [Completion("", None, 0, False) for _ in prompts]

    class abilities:  # noqa: N801  - an attribute of the port
        beam = False

        @staticmethod
        def of(decoding: Decoding) -> bool:
            del decoding
            return True


def measured(where: Path, form: str, sources: Sequence[str]) -> dict[str, Any]:
    """One backend in this process."""
    shell = load.load_shell(where / "model")
    began = time.perf_counter()
    precision: Any = "fp32" if form == "hf" else "auto"
    backend: Backend = open_files(shell, where / form, threads=1, precision=precision, measuring=True)
    loading = time.perf_counter() - began
    translator = Translator(backend)
    translator.translate(sources[:1], "en-fr")
    wall, cpu = time.perf_counter(), time.process_time()
    found = translator.translate(sources, "en-fr")
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    alone = []
    for source in sources[:ALONE]:
        start = time.perf_counter(), time.process_time()
        translator.translate([source], "en-fr")
        alone.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return figures([h.text for h in found], sum(h.tokens for h in found), cpu, wall, alone, loading, peak() / 2**30)


def figures(
    outputs: list[str],
    tokens: int,
    cpu: float,
    wall: float,
    alone: Sequence[tuple[float, float]],
    loading: float,
    memory: float | None,
) -> dict[str, Any]:
    return {
        "outputs": outputs,
        "tokens": tokens,
        "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(wall, 2),
        "tokens_per_cpu_second": round(tokens / cpu, 1),
        "sentences_per_cpu_second": round(len(outputs) / cpu, 2),
        "one_sentence_p50_cpu_seconds": round(statistics.median(c for _, c in alone), 3) if alone else None,
        "one_sentence_p50_wall_seconds": round(statistics.median(w for w, _ in alone), 3) if alone else None,
        "load_wall_seconds": round(loading, 2),
        "peak_gib": None if memory is None else round(memory, 2),
        "load_average": round(os.getloadavg()[0], 1),
    }


def of_llama_cpp(where: Path, sources: Sequence[str], folder: Path) -> dict[str, Any]:
    """A real llama.cpp, given our prompts as token ids; an answer that begins with a line break is empty there."""
    os.environ["DRAGOMAN_LLAMA_CPP"] = str(folder)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.llama_cpp.runner import complete

    shell = load.load_shell(where / "model")
    recorder: Any = Recorder(shell)
    kept = Translator(recorder).translate(sources, "en-fr")  # what has no words is not asked
    job = {
        "model": str(where / "gguf-q8_0" / "model.gguf"),
        "context": 1024,
        "prompts": [list(p.ids) for p in recorder.prompts],
        "limits": [p.limit for p in recorder.prompts],
        "ends": recorder.ends,
    }
    [found] = complete([job])
    rows = [one["ids"] for one in found["completions"]]
    outputs = [shell.text(ids[:-1] if ids[-1] in recorder.ends else ids) for ids in rows]
    made_here = iter(outputs)
    outputs = [h.text if h.finished else next(made_here) for h in kept]
    seconds = [one["seconds"] for one in found["completions"]]
    made = figures(outputs, sum(map(len, rows)), found["cpu"], sum(seconds), [], found["load"], None)
    return {**made, "one_sentence_p50_wall_seconds": round(statistics.median(seconds[:ALONE]), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--forms", nargs="+", default=FORMS)
    parser.add_argument("--sentences", type=int, default=48)
    parser.add_argument("--llama-cpp", type=Path)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "FORMAT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        rows = [(row["source"], row["reference"]) for row in of_run(given.run, "test", given.sentences)]
    else:
        rows = read(given.data, given.sentences)
    sources, references = [r[0] for r in rows], [r[1] for r in rows]
    if given.one:
        print(json.dumps(measured(Path(given.one[0]), given.one[1], sources)))
        return
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        refused: dict[str, str] = {}
        if given.run:
            refused = prepare_run(given.run, Path(place), given.forms)
            common = ["--run", str(given.run)]
        else:
            prepare(given.base, Path(place))
            common = ["--base", str(given.base), "--data", str(given.data)]
        common += ["--sentences", str(given.sentences)]
        for form in (one for one in given.forms if one not in refused):
            if form.startswith("gguf"):
                if given.llama_cpp is not None:
                    found[f"llama.cpp, {form}"] = of_llama_cpp(Path(place), sources, given.llama_cpp)
                continue
            command = [sys.executable, __file__, *common, "--one", place, form]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[form] = json.loads(done.stdout.strip().split("\n")[-1])
            found[form]["mib"] = round(contents.size((Path(place) / form).resolve()) / 2**20)
            print(form, {k: v for k, v in found[form].items() if k != "outputs"}, flush=True)
    outputs = {name: one.pop("outputs") for name, one in found.items()}
    scored = {name: segments("chrf", made, references, "fr") for name, made in outputs.items()}
    for name, one in found.items():
        one["same"] = round(sum(a == b for a, b in zip(outputs["hf"], outputs[name], strict=True)) / len(references), 3)
        one["chrf"] = round(scored[name].score.value, 2)
        if name != "hf":
            [tested] = differences([(scored["hf"], scored[name])])
            one["gain"] = round(tested.gain, 2)
            one["interval"] = [round(tested.interval.low, 2), round(tested.interval.high, 2)]
            one["p"] = round(tested.p_randomisation, 4)
    model = f"--run RUN --forms {' '.join(given.forms)}" if given.run else "--base FOLDER --data DATA"
    record: dict[str, Any] = {
        "command": f"python benchmarks/deploy.py {model} --sentences {given.sentences} --record",
        "base": Recipe.load(given.run / "recipe.lock.yaml").name if given.run else given.base.name,
        "machine": {"processor": detect().name, "threads": 1, "shared": "others were at work: compare CPU seconds"},
        "versions": versions(),
        "results": found,
        **({"refused": refused} if refused else {}),
    }
    print(json.dumps(record, indent=1))
    if given.record and given.run:
        record = {**json.loads((RESULTS / "deploy.json").read_text(encoding="utf-8")), "run": record}
    if given.record:
        (RESULTS / "deploy.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

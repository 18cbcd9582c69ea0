"""Several processes against one: training, resuming, long files, and processes that are killed. On the processor.

    python benchmarks/scale.py parity                    # two processes against one after 50 steps, and going on with others
    python benchmarks/scale.py samples                   # what two processes save where most of a step is drawing samples
    python benchmarks/scale.py scaling                   # target tokens a second by one process and by two; wants both cores to itself
    python benchmarks/scale.py kills --kills 100         # SIGKILL of one of two processes at random moments, over and over
    python benchmarks/scale.py bulk --rows 100000        # a long file with 1 and 2 workers, one of them killed on the way

Each part writes its section of benchmarks/results/scale.json. Models are small and texts generated: it is about being equal and
whole, and the share of the work that several processes save. Where other work runs on the same cores, wall times say little;
processor seconds are given beside them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.kill import write_project
from dragoman.store.run.artifact import versions, write_json

RESULT = Path(__file__).parent / "results" / "scale.json"
PRELOADED = ["dragoman.stages.train", "dragoman.stages.model", "dragoman.engine.setup", "torch.distributed.fsdp"]
HEAD = """
name: scale
pairs: [en-fr]
seed: 3
prepare:
  parallel: pairs.en-fr.tsv
  monolingual: {en: [mono.en.txt], fr: [mono.fr.txt]}
  checks: {language: null}
  holdout: {dev: 40, test: 0}
model: {new: {hidden: 64, layers: 2, heads: 2, feed_forward: 128, vocabulary: 1000, context: 128}}
plan: {precision: fp32, threads: 1, shard: SHARD}
train:
"""
SIZES = (
    "batch_tokens: 512, accumulation: 2, learning_rate: 1e-3, evaluate_every: 25, evaluate_sentences: 4, compile: false"
)
PHASES = {
    "sft": f"  - sft: {{tokens: 51k, dropout: 0.1, {SIZES}}}\n",
    "lora": f"  - sft: {{tokens: 51k, {SIZES}}}\n    adapt: {{method: lora, rank: 4, dropout: 0.1}}\n",
    "hybrid": "  - hybrid: {tokens: 51k, tasks: {lm: {languages: [en, fr]}, mt: {weight: 2}, denoise: {languages: [fr]}}, "
    f"curriculum: {{method: fair, every: 4}}, {SIZES}}}\n",
    "prefer": f"  - prefer: {{method: dpo, sources: 60, candidates: 3, margin: 1, epochs: 14, {SIZES}}}\n",
    "reward": f"  - reward: {{sources: 60, candidates: 3, margin: 1, epochs: 28, {SIZES}}}\n",
    "distil": f"  - distil: {{teacher: teacher, epochs: 10, {SIZES}}}\n",
    "distil-own": f"  - distil: {{teacher: teacher, data: own, epochs: 4, {SIZES}}}\n",
    "grpo": f"  - reinforce: {{steps: 50, prompts: 8, group: 4, inner: 2, rewards: {{chrf: 1}}, {SIZES}}}\n",
    "ppo": f"  - reinforce: {{method: ppo, steps: 50, prompts: 8, group: 4, inner: 2, rewards: {{chrf: 1}}, {SIZES}}}\n",
}
STOPPED = ("hybrid", "distil-own", "grpo", "ppo")
LARGER = ("hidden: 64, layers: 2, heads: 2, feed_forward: 128", "hidden: 256, layers: 4, heads: 4, feed_forward: 768")
MANY_SAMPLES = (
    "  - reinforce: {steps: 6, prompts: 32, group: 16, rewards: {chrf: 1}, batch_tokens: 8192, accumulation: 2, "
    "learning_rate: 1e-3, evaluate_every: 6, evaluate_sentences: 4, compile: false}\n"
)


def recipe_of(name: str, *, shard: bool = False, folder: Path = Path()) -> str:
    text = (HEAD + PHASES[name]).replace("SHARD", str(shard).lower())
    return text.replace("teacher: teacher", f"teacher: {folder / 'teacher' / '0-sft' / 'model'}")


# ---------------------------------------------------------------- processes that train together


def rank(number: int, size: int, port: int, folder: Path, jobs: Mapping[str, str], stop_after: int | None) -> None:
    """Train the jobs {folder's name: recipe} one after the other, as process `number`; run in a process of its own."""
    os.setsid()
    if size > 1:
        found = {
            "RANK": number,
            "LOCAL_RANK": number,
            "WORLD_SIZE": size,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        os.environ.update({name: str(value) for name, value in found.items()})
    from dragoman.core.listen import Silent
    from dragoman.core.recipe import Recipe
    from dragoman.engine import world
    from dragoman.stages import train
    from dragoman.stages.train import phase
    from dragoman.store.run.artifact import Artifact

    if stop_after is not None:
        after = phase.Progress.after

        def stopped(self: Any, step: Any, course: Any) -> None:
            after(self, step, course)
            if step.number == stop_after:
                os.kill(os.getpid(), signal.SIGTERM)

        phase.Progress.after = stopped  # type: ignore[method-assign]
    inputs = {name: Artifact.load(folder / name) for name in ("prepare", "model")}
    with world.joined():
        for name, text in jobs.items():
            begun, before = time.perf_counter(), time.process_time()
            try:
                train.run(Recipe.parse(text, "recipe.yaml"), inputs, folder / name, "t", Silent())
            except KeyboardInterrupt:
                continue
            spent = {"wall": time.perf_counter() - begun, "processor": time.process_time() - before}
            (folder / name / f"spent-{number}.json").write_text(json.dumps(spent))


def started(size: int, folder: Path, jobs: Mapping[str, str], stop_after: int | None = None) -> list[Any]:
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        port = here.getsockname()[1]
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    found = [context.Process(target=rank, args=(n, size, port, folder, jobs, stop_after)) for n in range(size)]
    for process in found:
        process.start()
    return found


def done(processes: list[Any], timeout: float = 1200) -> None:
    for process in processes:
        process.join(timeout)
        assert process.exitcode == 0, f"a process ended with code {process.exitcode}"


def prepared(folder: Path, *, larger: bool = False) -> None:
    """Texts and a model that has learned a little, for preferences need candidates that differ; and a teacher that has learned
    other things."""
    import shutil

    from dragoman import pipeline
    from dragoman.core.listen import Silent
    from dragoman.core.recipe import Recipe
    from dragoman.store.run.artifact import Artifact

    write_project(folder, "51k")
    rows = [line.split("\t") for line in (folder / "pairs.en-fr.tsv").read_text(encoding="utf-8").split("\n")[1:-1]]
    for place, language in enumerate(("en", "fr")):
        lines = [f"{a[place]} {b[place]}" for a, b in zip(rows[::2], rows[1::2], strict=True)]
        (folder / f"mono.{language}.txt").write_text("\n".join(lines[:400]) + "\n", encoding="utf-8")
    warm = recipe_of("sft").replace("51k", "120k").replace("1e-3", "4e-3")
    if larger:
        warm = warm.replace(*LARGER).replace("4e-3", "2e-3")
    pipeline.run(Recipe.parse(warm, "recipe.yaml", folder=folder), folder, stages=["model"], listener=Silent())
    done(started(1, folder, {"warm": warm, "teacher": warm.replace("seed: 3", "seed: 4")}))
    shutil.copytree(folder / "warm" / "0-sft" / "model", folder / "model" / "model", dirs_exist_ok=True)
    made = Artifact.load(folder / "model")
    Artifact.finish(folder / "model", "model", "warm", {**made.facts, "new": False})


# ---------------------------------------------------------------- what came out


def phase_of(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.is_dir())


def steps_of(folder: Path) -> list[dict[str, Any]]:
    from dragoman.engine.log import read

    return [event for event in read(phase_of(folder) / "metrics.jsonl") if event["event"] == "step"]


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    from dragoman.engine import checkpoint
    from dragoman.engine.distribute import load_parts

    found = checkpoint.latest(phase_of(folder) / "checkpoints")
    assert found is not None
    state = load_file(found.folder / "state.safetensors")
    if (found.folder / "parts").is_dir():
        state |= load_parts(found.folder / "parts", {})
    return {name: value for name, value in state.items() if name.startswith("weight.")}


def compared(one: Path, two: Path) -> dict[str, Any]:
    ours, theirs = steps_of(one), steps_of(two)
    mine, other = weights_of(one), weights_of(two)
    return {
        "steps": len(ours),
        "same_rows": [s["tokens"] for s in ours] == [s["tokens"] for s in theirs],
        "loss_apart": max(abs(a["loss"] - b["loss"]) for a, b in zip(ours, theirs, strict=True)),
        "weights_apart": max(float((mine[name] - other[name]).abs().max()) for name in mine),
        "same_figures": figures_of(one) == figures_of(two),
    }


def figures_of(folder: Path) -> dict[str, Any]:
    """What is told of samples, rewards, pairs and teachers, at the end and at every evaluation."""
    from dragoman.store.run.artifact import Artifact

    facts = Artifact.load(phase_of(folder)).facts
    return {name: facts[name] for name in ("reward", "distil", "reinforced", "preferred") if name in facts}


def spent(folder: Path) -> dict[str, float]:
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("spent-*.json"))]
    return {
        "wall_seconds": round(max(one["wall"] for one in found), 2),
        "processor_seconds": round(sum(one["processor"] for one in found), 2),
        "processor_seconds_of_the_busiest": round(max(one["processor"] for one in found), 2),
    }


def parity(folder: Path) -> dict[str, Any]:
    """Every kind of phase on one process, on two with all weights and on two with parts; then stopped and gone on."""
    prepared(folder)
    ways = {"replicated": False, "sharded": True}
    running = started(1, folder, {f"one-{name}": recipe_of(name, folder=folder) for name in PHASES})
    for way, shard in ways.items():
        running += started(2, folder, {f"{way}-{n}": recipe_of(n, shard=shard, folder=folder) for n in PHASES})
    done(running)
    stopped = {}
    for (before, after), (way, shard) in itertools.product(((2, 1), (1, 2)), ways.items()):
        jobs = {f"{before}-{after}-{way}-{n}": recipe_of(n, shard=shard, folder=folder) for n in STOPPED}
        for process in started(before, folder, jobs, stop_after=27):
            process.join(600)
        done(started(after, folder, jobs))
        stopped.update(zip(jobs, STOPPED, strict=True))
    two_against_one = {
        name: {
            way: {**compared(folder / f"one-{name}", folder / f"{way}-{name}"), **spent(folder / f"{way}-{name}")}
            for way in ways
        }
        | {"one": spent(folder / f"one-{name}")}
        for name in PHASES
    }
    resumed = {name: compared(folder / f"one-{phase}", folder / name) for name, phase in stopped.items()}
    return {"two_against_one": two_against_one, "stopped_at_step_27_and_gone_on": resumed}


def samples(folder: Path) -> dict[str, Any]:
    """A model whose samples take most of a step, on one process and on two: what the busiest of them computes is how long a
    step lasts where each has a core of its own."""
    prepared(folder, larger=True)
    text = HEAD.replace(*LARGER).replace("SHARD", "false") + MANY_SAMPLES
    found: dict[str, Any] = {}
    for size in (1, 2):
        done(started(size, folder, {f"of-{size}": text}))
        found[f"{size} processes"] = spent(folder / f"of-{size}")
    busiest = [found[f"{size} processes"]["processor_seconds_of_the_busiest"] for size in (1, 2)]
    return {
        **found,
        **compared(folder / "of-1", folder / "of-2"),
        "busiest_of_two_to_one": round(busiest[1] / busiest[0], 3),
    }


def scaling(folder: Path) -> dict[str, Any]:
    """Target tokens a second of wall time, one after the other: one process with one thread and with two, two with one each."""
    prepared(folder, larger=True)
    text = HEAD.replace(*LARGER) + PHASES["sft"].replace("51k", "200k")
    text = text.replace("batch_tokens: 512", "batch_tokens: 4096, optimiser: adamw")
    ways = {
        "one process, one thread": (1, False, 1),
        "one process, two threads": (1, False, 2),
        "two processes, replicated": (2, False, 1),
        "two processes, sharded": (2, True, 1),
    }
    found: dict[str, Any] = {}
    for way, (size, shard, threads) in ways.items():
        name = way.replace(", ", "-").replace(" ", "-")
        job = text.replace("SHARD", str(shard).lower()).replace("threads: 1", f"threads: {threads}")
        done(started(size, folder, {name: job}))
        first, last = steps_of(folder / name)[4], steps_of(folder / name)[-1]  # the first steps warm up
        wall, tokens = (last[key] - first[key] for key in ("seconds", "target_tokens"))
        found[way] = {"target_tokens_per_second": round(tokens / wall), "loss": last["loss"], **spent(folder / name)}
    return found


# ---------------------------------------------------------------- processes that are killed


def kills(folder: Path, count: int, seed: int = 1) -> dict[str, Any]:
    """Kill one of two processes at a random moment, see that the other ends, and start both again; what comes out in the end
    is what comes out in peace."""
    import shutil

    from dragoman.engine import checkpoint

    prepared(folder)
    text = recipe_of("sft", shard=True).replace("evaluate_every: 25", "evaluate_every: 1000, checkpoint_every: 5")
    timed = time.monotonic()
    done(started(2, folder, {"peace": text}))
    length = time.monotonic() - timed
    chance, ending, reached = random.Random(seed), [], []
    broken = finished = different = 0
    while len(ending) < count:
        running = started(2, folder, {"killed": text})
        moment = time.monotonic() + chance.uniform(0.2, length)
        while time.monotonic() < moment and all(process.is_alive() for process in running):
            time.sleep(0.01)
        if not all(process.is_alive() for process in running):  # at its end before the kill
            done(running)
            finished += 1
            different += compared(folder / "peace", folder / "killed")["weights_apart"] != 0.0
            shutil.rmtree(folder / "killed")
            continue
        victim = chance.randrange(2)
        os.kill(running[victim].pid, signal.SIGKILL)
        at = time.monotonic()
        running[1 - victim].join(120)
        ending.append(time.monotonic() - at)
        if running[1 - victim].is_alive():
            running[1 - victim].kill()
        roots = list((folder / "killed").glob("*/checkpoints"))
        whole = checkpoint.latest(roots[0]) if roots else None
        folders = list(roots[0].glob("step-*")) if roots else []
        broken += bool(folders) and (whole is None or whole.step != max(int(one.name[5:]) for one in folders))
        reached.append(whole.step if whole else 0)
    done(started(2, folder, {"killed": text}))
    finished += 1
    different += compared(folder / "peace", folder / "killed")["weights_apart"] != 0.0
    return {
        "kills": len(ending),
        "seconds_of_one_run": round(length, 1),
        "longest_until_the_other_ended_s": round(max(ending), 1),
        "hangs_beyond_60_s": sum(one > 60 for one in ending),
        "broken_checkpoints": broken,
        "newest_whole_checkpoint_after_each_kill": reached,
        "runs_that_came_to_their_end": finished,
        "of_them_with_other_weights": different,
    }


# ---------------------------------------------------------------- a long file


def bulk(folder: Path, rows: int, workers: list[int]) -> dict[str, Any]:
    """One file with each number of workers; of two or more, one is killed when a third is done."""
    from dragoman.assistant import Settings
    from dragoman.bulk import Job, Spec, translate
    from dragoman.bulk.job import output
    from dragoman.core.recipe import Decoding
    from dragoman.jobs import Processes
    from tests.tiny import tiny

    tiny(folder / "run", seed=3)
    chance = random.Random(1)
    words = ["the", "cat", "dog", "sees", "a", "house", "tree", "and"]
    lines = [json.dumps({"id": n, "source": " ".join(chance.choices(words, k=3))}) for n in range(rows)]
    (folder / "big.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = Spec(folder / "run", "en-de", Settings(retry=False, decoding=Decoding(max_ratio=1.0, max_extra=2)))
    found: dict[str, Any] = {}
    digests = set()
    for count in workers:
        job = Job(folder / "big.jsonl", folder / f"out-{count}", "m")
        killed: list[float] = []

        def kill(job: Job = job, killed: list[float] = killed) -> None:
            while len(list((job.out / "shards").glob("*.jsonl"))) < rows // 3000:
                time.sleep(0.2)
            victim = active_children()[0].pid
            assert victim is not None
            os.kill(victim, signal.SIGKILL)
            killed.append(time.time())

        if count > 1:
            threading.Thread(target=kill, daemon=True).start()
        report = translate(job, Processes(spec, count))
        made = [json.loads(line) for line in output(job).read_text(encoding="utf-8").split("\n") if line]
        digests.add(output(job).read_bytes())
        found[f"{count} workers"] = {
            **report.to_json(),
            "killed": len(killed),
            "all_rows_once_in_order": [row["line"] for row in made] == list(range(1, rows + 1)),
        }
    return {"rows": rows, "same_bytes": len(digests) == 1, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["parity", "scaling", "samples", "kills", "bulk"])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    begun = time.time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        if given.part == "parity":
            found = parity(folder)
        elif given.part == "samples":
            found = samples(folder)
        elif given.part == "scaling":
            found = scaling(folder)
        elif given.part == "kills":
            found = kills(folder, given.kills)
        else:
            folder.mkdir()
            found = bulk(folder, given.rows, given.workers)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found |= {
        "command": "python benchmarks/scale.py " + " ".join(sys.argv[1:]),
        "seconds": round(time.time() - begun, 1),
        "processor_seconds": round(sum(one.ru_utime + one.ru_stime for one in used), 1),
        "load_beside": [round(one, 1) for one in os.getloadavg()],
        "versions": versions(),
    }
    record = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else {}
    write_json(given.out, {**record, given.part: found})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

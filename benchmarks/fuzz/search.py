"""What the fuzzers share: inputs guided by coverage where atheris is installed, else mutated at random."""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

MOST = 500 * 2**20  # bytes by which an input may make the process larger
SLOW = 5  # seconds

Seeds = Mapping[str, Sequence[bytes]]  # target -> inputs to begin with
Try = Callable[[str, bytes], bool]  # (target, input) -> whether it was accepted; any exception is a finding
Mutate = Callable[[bytes, random.Random], bytes]


def main(seeds: Seeds, try_one: Try, mutated: Mutate, description: str | None) -> None:
    """The command line: targets and `--seconds` for each; options of atheris follow `--`. Ends with 1 after a finding."""
    cut = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    mine, theirs = sys.argv[1:cut], sys.argv[cut + 1 :]
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", default=[], help=f"of: {' '.join(seeds)}; default: all")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(mine)
    targets = options.targets or list(seeds)
    if unknown := set(targets) - set(seeds):
        parser.error(f"no such targets: {' '.join(sorted(unknown))}; known are {' '.join(seeds)}")
    try:
        import atheris
    except ImportError:
        results = [
            at_random(target, seeds[target], try_one, mutated, options.seconds, options.seed) for target in targets
        ]
        sys.exit(any(result["findings"] for result in results))
    if len(targets) != 1:  # atheris takes one a process
        for target in targets:
            again = [sys.argv[0], f"--seconds={options.seconds}", target, "--", *theirs]
            subprocess.run([sys.executable, *again], check=True)
        return
    atheris.instrument_all()
    limits = [f"-max_total_time={int(options.seconds)}", f"-timeout={SLOW}", "-rss_limit_mb=1500"]
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds[targets[0]]):
            Path(corpus, str(number)).write_bytes(data)
        atheris.Setup([sys.argv[0], *limits, *theirs, corpus], lambda data: try_one(targets[0], data))
        atheris.Fuzz()


def at_random(
    target: str, inputs: Sequence[bytes], try_one: Try, mutated: Mutate, seconds: float, seed: int
) -> dict[str, object]:
    """Try mutations of the inputs for so many seconds; prints and returns what was found."""
    luck = random.Random(seed)
    end = time.monotonic() + seconds
    tried, opened, slowest = 0, 0, 0.0
    findings: list[dict[str, str]] = []
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while time.monotonic() < end:
        data = mutated(luck.choice(inputs), luck)
        start = time.process_time()
        try:
            opened += try_one(target, data)
        except Exception as error:
            findings.append({"error": f"{type(error).__name__}: {error}"[:200], "input": repr(data)[:2000]})
        spent = time.process_time() - start
        slowest = max(slowest, spent)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size) * 1024
        if spent > SLOW or grown > MOST:
            findings.append({"error": f"took {spent:.1f} s and {grown >> 20} MB", "input": repr(data)[:2000]})
            size += grown // 1024
        tried += 1
    result = {
        "target": target,
        "inputs": tried,
        "accepted": opened,
        "slowest_seconds": round(slowest, 2),
        "findings": findings,
    }
    print(json.dumps(result, indent=1), flush=True)
    return result


def spliced(data: bytes, luck: random.Random, parts: Sequence[bytes], most: int = 20_000) -> bytes:
    """Some stretches removed, doubled, or replaced by one of the parts or by noise."""
    for _ in range(luck.randint(1, 6)):
        start = luck.randint(0, len(data))
        end = min(len(data), start + luck.choice([0, 0, 1, 4, 20, 100]))
        new = luck.choice([b"", luck.choice(parts), data[start:end] * luck.choice([2, 50]), luck.randbytes(2)])
        data = data[:start] + new + data[end:]
    return data[:most]

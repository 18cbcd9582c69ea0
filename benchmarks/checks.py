"""How many professional pairs the default checks keep, how many spoilt ones they reject, and what each check costs.

    python benchmarks/checks.py quality --data DATA      # NTREX-128: 31 languages with English, both directions
    python benchmarks/checks.py speed --data DATA        # microseconds per English-French pair, check by check

`quality`. For every language the file's 1,997 pairs are judged as they are (kept = no finding), in both directions. Then
24 % of the rows are spoilt, 4 % in each of six ways, and the mixed file goes through a new checker that knows nothing but
the file:

- shuffled: targets exchanged among the chosen rows;
- swapped: source and target exchanged;
- language: target replaced by the same sentence in another language of the set, any but the pair's own two;
- truncated: target cut to between 10 and 50 % of its characters;
- copied: target = source;
- shifted: the target of the next row, mostly of the same article. Harder than what was asked for, and more common.

This is done in several rounds with other rows each, English as source and as target in turn. Of the thresholds the only ones
that were looked at on this file are those of `language`, `numbers`, `alignment` and `coverage`, on six of the languages (fr,
fi, hu, pl, ja, zh-TW), and each has one round value for all.

Results go to benchmarks/results/checks-quality.json and .md, checks-speed.json and .md. With --languages only these are
measured and take the place of what the record held of them; each entry has the command and the day that it is from.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.core.corpus.checks import LEARNED, NAMES, Checker
from dragoman.core.recipe import Checks, Normalise
from dragoman.core.records import Example
from dragoman.core.text.languages import primary, script, tag
from dragoman.core.text.normalise import leak_key, normalise
from dragoman.store.run.artifact import versions

KINDS = ("shuffled", "swapped", "language", "truncated", "copied", "shifted")
SHARE = 0.04  # of all rows, for each kind
WANTED = {"kept": 0.97, "rejected": 0.95}  # `shifted` was not asked for
RESULTS = Path(__file__).parent / "results"


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        header, *rows = (line.rstrip("\n").split("\t") for line in stream)
    return header, rows


# ---------------------------------------------------------------- quality


def spoil(
    pairs: list[Example], others: dict[str, list[str]], random: np.random.Generator
) -> tuple[list[Example], np.ndarray[Any, Any]]:
    """The rows with a quarter spoilt, and the kind of each row: -1 for a sound one, else its place in KINDS."""
    mixed, kind = list(pairs), np.full(len(pairs), -1)
    count = round(SHARE * len(pairs))
    chosen = random.permutation(len(pairs))[: count * len(KINDS)].reshape(len(KINDS), count)
    for number, rows in enumerate(chosen):
        kind[rows] = number
    for row, other in zip(chosen[0], np.roll(chosen[0], 1), strict=True):
        mixed[row] = replace(pairs[row], target=pairs[other].target)
    for row in chosen[1]:
        mixed[row] = replace(pairs[row], source=pairs[row].target, target=pairs[row].source)
    for row in chosen[2]:
        language = list(others)[random.integers(len(others))]
        mixed[row] = replace(pairs[row], target=others[language][row])
    for row in chosen[3]:
        target = pairs[row].target
        mixed[row] = replace(pairs[row], target=target[: max(1, int(len(target) * random.uniform(0.1, 0.5)))])
    for row in chosen[4]:
        mixed[row] = replace(pairs[row], target=pairs[row].source)
    for row in chosen[5]:
        mixed[row] = replace(pairs[row], target=pairs[(row + 1) % len(pairs)].target)
    return mixed, kind


def other_languages(columns: dict[str, list[str]], pair: tuple[str, str]) -> dict[str, list[str]]:
    """The languages of the set that differ from both of a pair: French is not wrong for Canadian French."""
    near = {(primary(code), script(code)) for code in pair}
    return {code: texts for code, texts in columns.items() if (primary(code), script(code)) not in near}


def one_language(code: str, columns: dict[str, list[str]], rounds: int) -> dict[str, Any]:
    started = time.perf_counter()
    forward = [Example(s, t, "en", code) for s, t in zip(columns["en"], columns[code], strict=True)]
    plain = Checker(Checks(), ["en", code])
    checker = plain.learned(forward)
    kept, reasons = {}, Counter[str]()
    for name, examples in (("as target", forward), ("English as target", [pair.reversed for pair in forward])):
        findings = checker.check_many(examples)
        kept[name] = sum(not found for found in findings) / len(findings)
        reasons.update(found[0].name for found in findings if found)
    caught, total, sound_kept, sound = Counter[str](), Counter[str](), 0, 0
    by: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for number in range(rounds):
        pairs = forward if number % 2 == 0 else [pair.reversed for pair in forward]
        random = np.random.default_rng(1000 + number)
        mixed, kind = spoil(pairs, other_languages(columns, ("en", code)), random)
        found = plain.learned(mixed, seed=number).check_many(mixed)
        for row, name in enumerate(kind):
            if name < 0:
                sound, sound_kept = sound + 1, sound_kept + (not found[row])
                continue
            total[KINDS[name]] += 1
            caught[KINDS[name]] += bool(found[row])
            by[KINDS[name]].update(finding.name for finding in found[row][:1])
    return {
        "kept": kept,
        "kept among spoilt": sound_kept / max(1, sound),
        "rejected": {kind: caught[kind] / max(1, total[kind]) for kind in KINDS},
        "spoilt rows of each kind": total[KINDS[0]],
        "findings on sound pairs": dict(reasons),
        "first finding on spoilt pairs": {kind: dict(by[kind]) for kind in KINDS},
        "seconds": round(time.perf_counter() - started, 1),
    }


def quality(data: Path, rounds: int, only: Sequence[str]) -> dict[str, Any]:
    """Every language, or some; an entry each."""
    header, rows = read(data / "ntrex128" / "newstest2019.tsv.gz")
    columns = {
        tag(name): [normalise(row[place], Normalise()) for row in rows] for place, name in enumerate(header) if place
    }
    languages = {}
    for code in columns:
        if code == "en" or (only and code not in only):
            continue
        languages[code] = entry = {"rows": len(rows), "rounds": rounds, **one_language(code, columns, rounds)}
        print(code, entry["kept"], entry["kept among spoilt"], entry["rejected"], entry["seconds"], "s", flush=True)
    return languages


# ---------------------------------------------------------------- speed


def english_french(data: Path) -> list[Example]:
    pairs = []
    for name in ("tatoeba/train.en-fr", "medical/emea_en-fr_train", "software_docs/python-docs-fr.en-fr"):
        header, rows = read(data / f"{name}.tsv.gz")
        source, target = header.index("source"), header.index("target")
        pairs += [Example(row[source], row[target], "en", "fr") for row in rows]
    header, rows = read(data / "news" / "newstest2008-2013.en-de-fr-cs-es.tsv.gz")
    source, target = header.index("source"), header.index("target_fr")
    return pairs + [Example(row[source], row[target], "en", "fr") for row in rows if row[target]]


def timed(run: Any) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def speed(data: Path) -> dict[str, Any]:
    pairs = english_french(data)
    random = np.random.default_rng(0)
    pairs = [pairs[place] for place in random.permutation(len(pairs))[:40_000]]
    off: dict[str, Any] = dict.fromkeys(NAMES, False)
    off.update(
        dict.fromkeys(("max_length", "length_ratio", "script", "language", "repetition", "alignment", "coverage"))
    )
    defaults = Checks().model_dump()
    costs = {}
    settings = Normalise()
    costs["normalise, both sides"] = timed(
        lambda: [(normalise(p.source, settings), normalise(p.target, settings)) for p in pairs]
    )
    costs["leak_key, both sides"] = timed(lambda: [(leak_key(p.source), leak_key(p.target)) for p in pairs])
    bare = Checker(Checks(**off), ["en", "fr"])
    bare.check_many(pairs[:1000])
    costs["counting, no check"] = base = timed(lambda: bare.check_many(pairs))
    for name in NAMES[:-2]:
        checker = Checker(Checks(**{**off, name: defaults[name]}), ["en", "fr"])
        checker.check_many(pairs[:1000])
        costs[name] = timed(lambda checker=checker: checker.check_many(pairs)) - base
    learned: list[Checker] = []
    start = Checker(Checks(**{**off, **{name: defaults[name] for name in LEARNED}}), ["en", "fr"])
    fit = timed(lambda: learned.append(start.learned(pairs)))
    costs["alignment and coverage"] = timed(lambda: learned[0].check_many(pairs)) - base
    default = Checker(Checks(), ["en", "fr"]).learned(pairs)
    costs["all, defaults"] = timed(lambda: default.check_many(pairs))
    micro = {name: round(seconds / len(pairs) * 1e6, 1) for name, seconds in costs.items()}
    characters = sum(len(p.source) + len(p.target) for p in pairs) / len(pairs)
    whole = micro["all, defaults"]
    return {
        "pairs": len(pairs),
        "characters per pair": round(characters),
        "microseconds per pair and core": micro,
        "pairs per second and core": round(1e6 / whole),
        "seconds to learn from 40,000 pairs": round(fit, 1),
        "seconds per million pairs on two cores": round(whole / 2),
    }


# ---------------------------------------------------------------- output


def quality_table(entries: dict[str, Any]) -> list[str]:
    lines = [
        "NTREX-128, 1,997 professional pairs a language, default thresholds. `kept`: sound file, the language as target /",
        "English as target. `kept, mixed`: sound pairs of the file with 24 % of the rows spoilt. Then the share of the spoilt",
        "rows that is rejected, of each kind. In per cent.",
        "",
        "| language | kept | kept, mixed | " + " | ".join(KINDS) + " |",
        "| --- | ---: | ---: |" + " ---: |" * len(KINDS),
    ]
    for code, entry in entries.items():
        kept = " / ".join(f"{100 * share:.1f}" for share in entry["kept"].values())
        shares = " | ".join(f"{100 * entry['rejected'][kind]:.1f}" for kind in KINDS)
        lines.append(f"| {code} | {kept} | {100 * entry['kept among spoilt']:.1f} | {shares} |")
    least = min(share for entry in entries.values() for share in entry["kept"].values())
    mixed = min(entry["kept among spoilt"] for entry in entries.values())
    worst = " | ".join(f"{100 * min(e['rejected'][kind] for e in entries.values()):.1f}" for kind in KINDS)
    return [*lines, f"| **least** | {100 * least:.1f} | {100 * mixed:.1f} | {worst} |"]


def speed_table(found: dict[str, Any]) -> list[str]:
    return [
        f"{found['pairs']:,} English-French pairs of {found['characters per pair']} characters (both sides), one core:",
        "",
        "| | µs per pair |",
        "| --- | ---: |",
        *(f"| {name} | {cost} |" for name, cost in found["microseconds per pair and core"].items()),
        "",
        "{:,} pairs a second and core; {} s for a million on two cores, and {} s to learn beforehand.".format(
            found["pairs per second and core"],
            found["seconds per million pairs on two cores"],
            found["seconds to learn from 40,000 pairs"],
        ),
    ]


def write(name: str, record: dict[str, Any], table: Sequence[str]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.md").write_text("\n".join(["# Checks: measured", "", *table, ""]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=["quality", "speed"])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--languages", nargs="*", default=[])
    arguments = parser.parse_args()
    command = f"python benchmarks/checks.py {arguments.part} --data DIR"
    if arguments.part == "speed":
        found = speed(arguments.data)
        write("checks-speed", {"command": command, "versions": versions(), **found}, speed_table(found))
        return
    if arguments.rounds != 4:
        command += f" --rounds {arguments.rounds}"
    if arguments.languages:
        command += f" --languages {' '.join(arguments.languages)}"
    made = {"command": command, "day": time.strftime("%Y-%m-%d"), "versions": versions()}
    file = RESULTS / "checks-quality.json"
    record = (
        json.loads(file.read_text(encoding="utf-8")) if arguments.languages and file.exists() else {"languages": {}}
    )
    found = quality(arguments.data, arguments.rounds, arguments.languages)
    record["wanted"] = WANTED
    record["languages"] |= {code: {**entry, **made} for code, entry in found.items()}
    write("checks-quality", record, quality_table(record["languages"]))


if __name__ == "__main__":
    main()

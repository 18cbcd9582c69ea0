"""The record of one set in scores.json (docs/evaluate.md): scores, paired tests, what help gained, telling segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragoman import report
from dragoman.core.listen import Listener
from dragoman.core.recipe import Evaluate
from dragoman.core.records import Hypothesis
from dragoman.core.scores import outputs, scoring
from dragoman.core.scores.metrics import Segments, segments
from dragoman.stages.evaluate.translations import Output
from dragoman.store.corpus import testsets
from dragoman.store.corpus.testsets import EvaluationSet
from dragoman.store.memory.retrieval_evaluation import Helped

Rows = Mapping[str, Sequence[Mapping[str, Any]]]  # what is written of each segment, by output
Statistics = Mapping[str, Mapping[str, Segments]]  # by output and metric


class Scorer:
    """Scores all outputs of a set on exactly the same segments."""

    def __init__(
        self, settings: Evaluate, seed: int, out: Path, listener: Listener, looked_into: Mapping[str, Any]
    ) -> None:
        self.out, self.seed, self.listener = out, seed, listener
        self.looked_into = looked_into  # about the memory and the glossary
        self.metrics = list(dict.fromkeys([*settings.metrics, *settings.must_gain]))
        self.protocol = scoring.TestSettings(settings.bootstrap, settings.randomisation, settings.confidence)

    def record(self, entry: EvaluationSet, made: Sequence[Output], helped: Helped | None) -> dict[str, Any]:
        """All about a set as JSON values; `helped` is what stood beside its segments, where anything did."""
        statistics = {}
        for number, output in enumerate(made, start=1):
            statistics[output.name] = self._statistics(entry, output)
            self.listener.progress(f"evaluate: score {entry.title}", number, len(made))
        baselines = _baselines(made)
        rows = {output.name: report.read_outputs(self.out / output.file) for output in made}
        return {
            "set": entry.name,
            "direction": str(entry.direction),
            "segments": len(entry.examples),
            "available": entry.available,
            "origins": list(entry.origins),
            "source_digest": entry.source_digest,
            "reference_digest": entry.reference_digest,
            "overlap": dict(testsets.summary(entry)),
            "results": self._results(entry, made, statistics, baselines, rows),
            "help": self._help(made, statistics, helped) if helped is not None else None,
            "samples": self._samples(made, rows, baselines),
        }

    def _statistics(self, entry: EvaluationSet, output: Output) -> dict[str, Segments]:
        texts = [h.text for h in output.hypotheses]
        return {m: segments(m, texts, entry.references, entry.direction.target) for m in self.metrics}

    def _results(
        self,
        entry: EvaluationSet,
        made: Sequence[Output],
        statistics: Statistics,
        baselines: Mapping[str, str],
        rows: Rows,
    ) -> list[dict[str, Any]]:
        """One line an output. `clean`: the same without the segments that stand in the training texts, if there are any."""
        found = scoring.results(statistics, baselines, self.protocol)
        others = self._against_outside(made, statistics)
        clean: dict[str, dict[str, Any]] = {}
        if 0 < entry.contaminated.sum() < len(entry.examples):
            clean = scoring.results(statistics, baselines, self.protocol, kept=~entry.contaminated)
        lines = []
        for output in made:
            seconds = max(output.seconds, 1e-9)
            tokens = sum(h.tokens for h in output.hypotheses)
            lines.append(
                {
                    "system": output.system.name,
                    "kind": output.system.kind,
                    "decoding": output.decoding,
                    "file": output.file,
                    **found[output.name],
                    "clean": clean.get(output.name),
                    **({"over_outside": others[output.name]} if output.name in others else {}),
                    "outputs": outputs.count(row["flags"] for row in rows[output.name]),
                    "seconds": round(output.seconds, 3),
                    "tokens": tokens,
                    **_drafts(output.hypotheses),
                    "segments_per_s": round(len(entry.examples) / seconds, 2) if tokens else None,
                }
            )
        return lines

    def _against_outside(self, made: Sequence[Output], statistics: Statistics) -> dict[str, dict[str, Any]]:
        """The gains of each output of the last system over each outside system, by their names."""
        last = [output.name for output in made if output.system == made[-1].system and output.system.kind == "model"]
        found: dict[str, dict[str, Any]] = {}
        for other in (output for output in made if output.system.kind == "outside"):
            tested = scoring.results(statistics, dict.fromkeys(last, other.name), self.protocol)
            for name in last:
                found.setdefault(name, {})[other.system.name] = tested[name]["gains"]
        return found

    def _help(self, made: Sequence[Output], statistics: Statistics, helped: Helped) -> dict[str, Any]:
        """What was found for the set, and what it gained: each helped output against the same system without help."""
        outputs_by = {output.name: output for output in made}
        everywhere = {"all": np.ones(len(helped.found), dtype=bool)}
        gains, terms = [], []
        for output in made:
            alone = outputs_by.get(f"{output.system.name}.{output.way.alone}")
            if alone is None:
                continue
            before, after = statistics[alone.name], statistics[output.name]
            parts = everywhere | (helped.bands() if output.way.shots else {})
            found = scoring.by_part(before, after, self.protocol, parts)
            about = {"system": output.system.name, "decoding": output.decoding, "alone": alone.decoding}
            given = sum(bool(h.assist) for h in output.hypotheses)
            gains.append({**about, "given": given, "parts": found})
            if output.way.terms:
                terms += [
                    {
                        "system": one.system.name,
                        "decoding": one.decoding,
                        **helped.obeyed([h.text for h in one.hypotheses]),
                    }
                    for one in (alone, output)
                ]
        return {**self.looked_into, **helped.to_json(), "gains": gains, "terms": terms}

    def _samples(self, made: Sequence[Output], rows: Rows, baselines: Mapping[str, str]) -> dict[str, Any]:
        """Which segments of which file to show: those of the last system with the first decoding."""
        last = next(output for output in made if output.system == made[-1].system)
        base = next((o for o in made if o.name == baselines.get(last.name) and o.system.kind == "model"), None)
        chrf = np.array([row["chrf"] for row in rows[last.name]])
        before = np.array([row["chrf"] for row in rows[base.name]]) if base is not None else None
        chosen = scoring.telling(chrf, before, self.seed)
        return {"file": last.file, "baseline": base.file if base else None, "segments": chosen}


def _baselines(made: Sequence[Output]) -> dict[str, str]:
    """Each output of a later system -> the baseline's output with the same decoding, or the only one that it has."""
    base = {output.decoding: output.name for output in made if output.system.name == "baseline"}
    return {
        output.name: base.get(output.decoding) or next(iter(base.values()))
        for output in made
        if output.system.name != "baseline" and base
    }


def missed(wanted: Mapping[str, float], entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the last system's first decoding did not gain: on the test set, or on all sets where there is none."""
    decisive = [entry for entry in entries if entry["set"] == "test"] or entries
    found = []
    for entry in decisive if wanted else []:
        last = next(line for line in entry["results"] if line["system"] == entry["results"][-1]["system"])
        gains = (last["clean"] or last)["gains"]
        for metric, gain in scoring.unmet(wanted, gains).items():
            detail = gains[metric]
            around = detail["interval"]
            found.append(
                f"{entry['set']} {entry['direction']}: {report.TITLES[metric]} gained {gain:+z.2f} "
                f"[{around['low']:+z.2f}, {around['high']:+z.2f}] of the {wanted[metric]:+z.2f} wanted "
                f"({report.p_text(detail['p_randomisation'])})"
            )
    return found


def _drafts(made: Sequence[Hypothesis]) -> dict[str, Any]:
    """How many tokens were drafted from the matches in the prompts, and the share that the model accepted."""
    drafted = sum(h.drafted for h in made)
    return {"drafted": drafted, "accepted": round(sum(h.accepted for h in made) / drafted, 3)} if drafted else {}


def facts(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Set, direction, system and decoding with its values and gains, one line each."""
    return [
        {
            "set": entry["set"],
            "direction": entry["direction"],
            "segments": entry["segments"],
            "system": line["system"],
            "decoding": line["decoding"],
            **{metric: round(score["value"], 4) for metric, score in line["scores"].items()},
            "gain": {metric: round(gain["gain"], 4) for metric, gain in line["gains"].items()},
            **{kind: line["outputs"][kind] for kind in ("unfinished", "looped") if kind in line.get("outputs", {})},
            **{key: line[key] for key in ("drafted", "accepted") if key in line},
        }
        for entry in entries
        for line in entry["results"]
    ]

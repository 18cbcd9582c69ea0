"""The candidates of a preference or reward phase: made by the model that it starts from, ranked, kept in a readable folder.

`candidates.jsonl` has a line for each source; a stopped run goes on behind the last whole line. Samples depend on the seed and
their prompt alone, so the file is the same however often it was stopped.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.core.corpus import leaks
from dragoman.core.corpus.preferences import Ranked, of_person, offered, rank
from dragoman.core.listen import Listener
from dragoman.core.recipe import Decoding, Recipe, Sampling
from dragoman.core.recipe.prefer import PreferencePairs
from dragoman.core.records import Example, Hypothesis
from dragoman.core.scores.flags import Flagger
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import normalise
from dragoman.engine.load import Loaded
from dragoman.engine.model_scorer import AnyScorer, opened
from dragoman.engine.setup import directed, grouped
from dragoman.errors import DataError
from dragoman.store.corpus import records
from dragoman.store.run.artifact import read_rows, write_atomic, write_json
from dragoman.translator import Translator

FILE, COUNTS = "candidates.jsonl", "counts.json"
_CHUNK = 64  # sources


def make(
    recipe: Recipe, kind: str, wish: PreferencePairs, loaded: Loaded, texts: Path, out: Path, listener: Listener
) -> None:
    """Make the candidates that are missing in `out`, and count what became of all. `kind`: of the phase that wants them."""
    if (out / COUNTS).is_file():
        return
    out.mkdir(parents=True, exist_ok=True)
    held_out = _held_out(texts)
    people = _of_people(recipe, wish, held_out)
    todo = drawn(recipe, wish, texts)[: max(0, wish.sources - len(people))]
    done = _whole_lines(out / FILE) - len(people)
    if done < 0:  # they come first, and all at once
        lines = (json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in people)
        write_atomic(out / FILE, "".join(lines).encode())
        done = 0
    translator = Translator(loaded)
    flaggers = {direction: Flagger(direction, recipe.languages) for direction in {row.direction for row in todo}}
    sampling = Sampling(seed=recipe.seed, temperature=wish.temperature, top_p=wish.top_p)
    scorers = opened(wish.scorers, f"train.{kind}", recipe, loaded)
    loaded.model.eval()
    with (out / FILE).open("a", encoding="utf-8") as stream:
        while done < len(todo):
            listener.progress("candidates", done, len(todo))
            direction = todo[done].direction
            chunk = [row for row in todo[done : done + _CHUNK] if row.direction == direction]  # they stand together
            done += len(chunk)
            sources, targets = [row.source for row in chunk], [row.target for row in chunk]
            made = [[("greedy", one)] for one in translator.translate(sources, direction, Decoding())]
            if wish.beam is not None:
                found = translator.translate(sources, direction, Decoding(beam=wish.beam))
                made = [[*row, ("beam", one)] for row, one in zip(made, found, strict=True)]
            if wish.candidates:
                samples = translator.samples(sources, direction, sampling, wish.candidates)
                made = [[*row, *(("sample", one) for one in ones)] for row, ones in zip(made, samples, strict=True)]
            given = _given(
                scorers, direction, chunk, [offered(*each, wish) for each in zip(made, targets, strict=True)]
            )
            ranked = [
                rank(row.source, row.target, each, direction, wish, flaggers[direction], held_out, scores)
                for row, each, scores in zip(chunk, made, given, strict=True)
            ]
            stream.write("".join(json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in ranked))
            stream.flush()
    listener.progress("candidates", len(todo), len(todo))
    counts = _counted(out / FILE)
    write_json(out / COUNTS, counts)
    listener.say(f"train: candidates: {_told(counts)}")


def _given(
    scorers: Sequence[AnyScorer],
    direction: Direction,
    rows: Sequence[Example],
    candidates: Sequence[Sequence[tuple[str, Hypothesis]]],
) -> list[dict[str, dict[str, float | str]]]:
    """For each row, by scorer and text, what the scorer says of the finished candidates."""
    found: list[dict[str, dict[str, float | str]]] = [{} for _ in rows]
    asked = [
        (number, (row.source, one.text, row.target))
        for number, (row, made) in enumerate(zip(rows, candidates, strict=True))
        for _, one in made
        if one.finished and one.text.strip()
    ]
    for scorer in scorers:
        for (number, (_, text, _)), score in zip(
            asked, scorer.scores(direction, [each for _, each in asked]), strict=True
        ):
            found[number].setdefault(scorer.name, {})[text] = score
    return found


def drawn(recipe: Recipe, wish: PreferencePairs, texts: Path) -> list[Example]:
    """The training sentences that candidates are made for: drawn by the seed, those of a direction together."""
    wanted = wish.directions or recipe.pairs
    rows = [pair for row in records.read(texts / "train", Example) for pair in directed(row, wanted)]
    random = np.random.default_rng([recipe.seed, 31])
    chosen = sorted(random.choice(len(rows), min(wish.sources, len(rows)), replace=False).tolist())
    return [row for group in grouped([rows[number] for number in chosen]).values() for row in group]


def _of_people(recipe: Recipe, wish: PreferencePairs, held_out: set[str]) -> list[Ranked]:
    """People's pairs in the directions that are trained, normalised as all training text is. Raises DataError with the line of
    one that cannot be read."""

    def text(row: Any, name: str) -> str:
        return " ".join(normalise(row[name], recipe.normalise).split())

    found: list[Ranked] = []
    for file in wish.files:
        path = Path(recipe.resolve(file))
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: is not UTF-8 ({error}). Save it as UTF-8.") from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                direction = Direction.parse(row["direction"])
                source, better, worse = (text(row, name) for name in ("source", "better", "worse"))
                author, date = (str(row.get(name) or "") for name in ("author", "date"))
                one = of_person(source, better, worse, direction, held_out, author, date)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{path}:{number}: no pair of people ({error}). A line is JSON with source, better, worse and direction."
                ) from None
            wanted = direction in (wish.directions or recipe.pairs)
            found.append(one if wanted else Ranked(one.source, "", direction, (), (), Counter({"not trained": 1})))
    return found


def _held_out(texts: Path) -> set[str]:
    """The translations of dev and test."""
    return leaks.keys_of(row for split in ("dev", "test") for row in records.read_split(texts, split))


def _whole_lines(path: Path) -> int:
    """How many sources are done; half a line at the end is cut off."""
    if not path.is_file():
        return 0
    lines = path.read_bytes().split(b"\n")[:-1]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return len(lines)


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of `candidates.jsonl`."""
    return read_rows(folder / FILE)


def _counted(path: Path) -> dict[str, Any]:
    dropped: Counter[str] = Counter()
    origins: Counter[str] = Counter()
    pairs = sources = beaten = with_reference = 0
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line:
            continue
        row = json.loads(line)
        sources += 1
        pairs += len(row["pairs"])
        dropped.update(row["dropped"])
        origins.update(f"better: {row['candidates'][better]['origin']}" for better, _ in row["pairs"])
        origins.update(f"worse: {row['candidates'][worse]['origin']}" for _, worse in row["pairs"])
        ranks = [number for number, one in enumerate(row["candidates"]) if one["origin"] == "reference"]
        with_reference += bool(ranks)
        beaten += bool(ranks and ranks[0] > 0)
    return {
        "sources": sources,
        "pairs": pairs,
        "dropped": dict(dropped.most_common()),
        "origins": dict(origins.most_common()),
        "reference_beaten": round(beaten / with_reference, 4) if with_reference else None,
    }


def _told(counts: dict[str, Any]) -> str:
    lost = ", ".join(f"{reason} {count:,}" for reason, count in counts["dropped"].items())
    beaten = counts["reference_beaten"]
    tail = "" if beaten is None else f"; another is better than the reference in {beaten:.0%}"
    return f"{counts['pairs']:,} pairs of {counts['sources']:,} sources; left out: {lost or 'nothing'}{tail}"

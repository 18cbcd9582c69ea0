"""From a recipe's tasks to their rows: what each task trains on, and what it is probed with, kept apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dragoman.core.corpus import heldout, leaks
from dragoman.core.corpus.balance import direction_factor
from dragoman.core.corpus.heldout import HeldOut
from dragoman.core.prompt import tasks
from dragoman.core.prompt.prompts import Rendered, render, tagged
from dragoman.core.prompt.tasks import Row
from dragoman.core.recipe import (
    Balance,
    Denoise,
    Fewshot,
    Hybrid,
    Interlinear,
    Lm,
    Made,
    Mt,
    Recipe,
    Replay,
)
from dragoman.core.records import Example, Text
from dragoman.core.text.languages import Direction
from dragoman.engine.batch import Corpus
from dragoman.engine.encoded_rows import EncodedRows, shown, shown_json
from dragoman.engine.encoder import Encoder
from dragoman.engine.general_text import general_text, monolingual, shuffled
from dragoman.engine.mixture import Mixed, Part, mixed
from dragoman.engine.phases import replay
from dragoman.engine.setup import directed, token_limit
from dragoman.engine.synthetic import none_serve, served
from dragoman.errors import DataError, ModelError
from dragoman.store.corpus import records

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

_PROBE_PAIRS = 400  # development pairs that the probes draw on
Task = Lm | Denoise | Mt | Interlinear | Fewshot | Made | Replay


@dataclass
class Rows:
    """What the tasks of a phase train on, and what they are probed with."""

    mixed: Mixed
    rows: dict[str, int]  # rows kept, by task and language or direction
    too_long: dict[str, int]  # rows that do not fit into the model, left out whole
    dropped: dict[str, int]  # texts that a task cannot use, by task and reason
    examples: list[Rendered]  # the first row of every task, to be shown
    probes: dict[str, Corpus]  # rows that are never trained on, in random order
    general: Corpus | None  # general text, for forgetting: of replay, else of the held-out monolingual text
    directions: dict[str, int] = field(default_factory=dict)  # translation rows by direction

    @property
    def packed(self) -> EncodedRows:
        probes = {f"probe {name}": corpus for name, corpus in self.probes.items()}
        corpora = {"tasks": self.mixed.corpus, **probes, **({"general": self.general} if self.general else {})}
        facts = {name: getattr(self, name) for name in ("rows", "too_long", "dropped", "directions")}
        facts |= {"groups": self.mixed.groups, "spans": self.mixed.spans, "examples": shown_json(self.examples)}
        return EncodedRows(corpora, facts)

    @classmethod
    def unpacked(cls, rows: EncodedRows) -> Rows:
        facts = dict(rows.facts)
        spans = {name: (first, end) for name, (first, end) in facts.pop("spans").items()}
        facts["mixed"] = Mixed(rows.corpora["tasks"], tuple(facts.pop("groups")), spans)
        facts["examples"] = shown(facts["examples"])
        probes = {name.removeprefix("probe "): one for name, one in rows.corpora.items() if name.startswith("probe ")}
        return cls(**facts, probes=probes, general=rows.corpora.get("general"))


def hybrid_rows(recipe: Recipe, hybrid: Hybrid, loaded: Loaded, texts: Path, made: Path | None = None) -> Rows:
    """Render and encode the rows of every task; `made` is the folder of the synthetic rows.

    Raises DataError for a task (or one of its languages or pairs) without data, and when what is probed with stands in
    what is trained on.
    """
    return _Builder(recipe, hybrid, loaded, texts, made).build()


class _Builder:
    def __init__(self, recipe: Recipe, hybrid: Hybrid, loaded: Loaded, texts: Path, made: Path | None) -> None:
        self.recipe, self.hybrid, self.loaded, self.texts, self.made = recipe, hybrid, loaded, texts, made
        self.encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
        self.form = loaded.card.prompt
        self.limit = token_limit(recipe, loaded)
        self.balance = recipe.prepare.balance if recipe.prepare else Balance()
        self.seen: dict[str, str] = {}  # key of a text that is trained on -> where it stands
        self.dropped: Counter[str] = Counter()
        self._text: dict[str, HeldOut] | None = None
        self._pairs: dict[str, list[Example]] = {}

    def build(self) -> Rows:
        parts: list[Part] = []
        counts: dict[str, int] = {}
        directions: dict[str, int] = {}
        too_long: dict[str, int] = {}
        shown: list[Rendered] = []
        probes: dict[str, Corpus] = {}
        general: Corpus | None = None
        if {"mt", "interlinear", "fewshot"} & set(self.hybrid.tasks.present):
            self._read("train")  # first of all: what stands in the pairs is no held-out text
        for name, task in self.hybrid.tasks.present.items():
            train, probe = self._sources(name, task)
            corpus, labels, lost, first = self._encode(train)
            if not len(corpus):
                raise DataError(
                    f"train.hybrid.tasks.{name}: no row fits into the model's {self.limit} tokens ({sum(lost.values())} "
                    "are longer). Give it shorter texts, or a model with a longer context."
                )
            parts.append(Part(name, corpus, labels))
            assert corpus.group is not None  # noqa: S101
            for number, label in enumerate(labels):
                count = counts[f"{name} {label}"] = int((corpus.group == number).sum())
                if isinstance(task, Mt | Interlinear | Fewshot):
                    directions[label] = directions.get(label, 0) + count
                elif isinstance(task, Made):
                    directions[f"{label} synthetic"] = count
            too_long |= {f"{name} {label}": lines for label, lines in lost.items()}
            shown += first
            found = self._encode(shuffled(probe, self.recipe.seed))[0]
            if len(found):
                probes[name] = found
            if name == "replay" or (name == "lm" and general is None):
                general = found if len(found) else general
        self._refuse_leaks()
        if general is None:
            general = general_text(self.recipe, self.loaded, self.texts)
        return Rows(mixed(parts), counts, too_long, dict(self.dropped), shown, probes, general, directions)

    def _encode(self, rows: Iterable[Row]) -> tuple[Corpus, tuple[str, ...], dict[str, int], list[Rendered]]:
        """(corpus with groups, labels of the groups, rows too long by label, the first row)."""
        names: list[str] = []
        first: list[Rendered] = []

        def stream() -> Iterator[tuple[Rendered, float]]:
            for row in rows:
                names.append(row.label)
                if not first:
                    first.append(row.rendered)
                yield row.rendered, row.weight

        corpus, too_long = Corpus.build(self.encoder, stream(), self.limit)
        lost = set(too_long)
        labels = tuple(dict.fromkeys(names))
        numbers = {label: number for number, label in enumerate(labels)}
        kept = [numbers[name] for number, name in enumerate(names) if number not in lost]
        dropped = Counter(names[number] for number in too_long)
        return replace(corpus, group=np.asarray(kept, dtype=np.int16)), labels, dict(dropped), first

    # ------------------------------------------------------------ sources

    def _sources(self, name: str, task: Task) -> tuple[Iterable[Row], list[Row]]:
        """(rows to train on, rows to probe with) of a task."""
        if isinstance(task, Lm | Denoise):
            held = self._languages(name, task)
            make = self._lm if isinstance(task, Lm) else self._denoise(task)
            train = [text for part in held.values() for text in part.training]
            return make(train), list(make([text for part in held.values() for text in part.held_out]))
        if isinstance(task, Replay):
            return self._replay(task)
        if isinstance(task, Made):
            return self._synthetic(task)
        wanted = task.pairs or self.recipe.pairs
        reverse = 0.0 if isinstance(task, Interlinear) else task.reverse
        shares = {pair: 1.0 for pair in wanted} | {
            pair.reversed: reverse for pair in wanted if reverse and pair.reversed not in wanted
        }
        self._require(name, sorted({code for pair in shares for code in (pair.source, pair.target)}))
        training, probing = self._parted
        train_pairs = self._directed(training, shares)
        for pair in wanted:
            if not any(example.direction == pair for example in train_pairs):
                raise DataError(
                    f"train.hybrid.tasks.{name}: there is no training pair for {pair} in {self.texts / 'train'}. List "
                    f"files for it under `prepare.parallel`, or take {pair} out of the task's `pairs`."
                )
        probe_pairs = _some_of(self._directed(probing, shares))
        return self._translations(task, train_pairs), list(self._translations(task, probe_pairs))

    @cached_property
    def _parted(self) -> tuple[list[Example], list[Example]]:
        """(pairs to train on, pairs to probe with), the same for every task."""
        if self.hybrid.curriculum.probe == "train":
            return heldout.part_pairs(self._read("train"))
        return self._read("train"), self._read("dev")

    def _synthetic(self, task: Made) -> tuple[Iterable[Row], list[Row]]:
        """Rows of a teacher, probed with real pairs, for that is what they are to be good for. Those that stand in what
        is probed with are left out: a text that was translated back may be held out elsewhere."""
        wanted = task.pairs or self.recipe.pairs
        self._require("synthetic", sorted({code for pair in wanted for code in (pair.source, pair.target)}))
        if task.tag:
            self.encoder.require_tag()
        if self.made is None:
            raise DataError(
                "train.hybrid.tasks.synthetic: give the recipe a `synthesise` section, which makes the rows."
            )
        probing = self._parted[1]
        held = leaks.keys_of([*probing, *(text for part in self._monolingual.values() for text in part.held_out)])
        found, rows = [], []
        for example, direction in served(self.made, wanted):
            if held & leaks.keys(example):
                self.dropped["synthetic held_out"] += 1
                continue
            found.append(example)
            rendered = render(self.form, direction, example.source, example.target)
            rendered = tagged(self.form, rendered) if task.tag else rendered
            rows.append(Row(rendered, str(direction), example.weight * direction_factor(self.balance, direction)))
        if not rows:
            raise none_serve(self.made, wanted)
        self._note(found, "the synthetic rows")
        return rows, list(tasks.mt(self.form, _some_of(self._directed(probing, dict.fromkeys(wanted, 1.0)))))

    def _translations(self, task: Mt | Interlinear | Fewshot, pairs: list[Example]) -> Iterator[Row]:
        measure = _Lengths(self.encoder, pairs)
        if isinstance(task, Fewshot):
            shots = (task.shots[0], task.shots[1])
            return tasks.fewshot(self.form, pairs, self.limit, measure, shots=shots, seed=self.recipe.seed)
        if isinstance(task, Interlinear):
            return tasks.interlinear(self.form, pairs, self.limit, measure, sentences=task.sentences, order=task.order)
        return tasks.mt(self.form, pairs)

    def _lm(self, texts: Iterable[Text]) -> Iterator[Row]:
        return tasks.lm(self.form, texts, self.limit, self.encoder.lengths)

    def _denoise(self, task: Denoise) -> Callable[[Iterable[Text]], Iterator[Row]]:
        def make(texts: Iterable[Text]) -> Iterator[Row]:
            dropped: Counter[str] = Counter()
            yield from tasks.denoise(
                self.form,
                texts,
                self.limit,
                self.encoder.lengths,
                noise=task.noise,
                span=task.span,
                answer=task.answer,
                seed=self.recipe.seed,
                token=self.encoder.has_gap,
                dropped=dropped,
            )
            self.dropped.update({f"denoise {reason}": count for reason, count in dropped.items()})

        return make

    def _languages(self, name: str, task: Lm | Denoise) -> dict[str, HeldOut]:
        """The monolingual text of the task's languages, parted into training and held-out text."""
        wanted = task.languages or self.recipe.languages
        self._require(name, wanted)
        if self._text is None:
            self._text = {code: self._apart(part) for code, part in self._monolingual.items()}
        missing = [code for code in wanted if code not in self._text or not self._text[code].training]
        if missing:
            raise DataError(
                f"train.hybrid.tasks.{name}: there is no monolingual text in {', '.join(missing)}. List files under "
                f"`prepare.monolingual.{missing[0]}`, or take it out of the task's `languages`."
            )
        return {code: self._text[code] for code in wanted}

    @cached_property
    def _monolingual(self) -> dict[str, HeldOut]:
        return monolingual(self.texts)

    def _apart(self, part: HeldOut) -> HeldOut:
        """Held-out text that also stands in the training pairs is no held-out text: left out, and counted."""
        held = [text for text in part.held_out if not leaks.keys(text) & self.seen.keys()]
        if lost := part.left_out + len(part.held_out) - len(held):
            self.dropped["text held_out"] += lost
        self._note(part.training, "the monolingual text")
        return replace(part, held_out=held)

    def _directed(self, pairs: Sequence[Example], shares: Mapping[Direction, float]) -> list[Example]:
        """The pairs in every wanted direction, in order; weights times the direction's factor and share."""
        factors = {pair: direction_factor(self.balance, pair) * share for pair, share in shares.items()}
        return [
            replace(row, weight=row.weight * factors[pair])
            for pair in shares
            for example in pairs
            for row in directed(example, [pair])
        ]

    def _read(self, split: str) -> list[Example]:
        if split not in self._pairs:
            self._pairs[split] = list(records.read(self.texts / split, Example)) if self._has(split) else []
            if split == "train":
                self._note(self._pairs[split], "the training pairs")
        return self._pairs[split]

    def _replay(self, task: Replay) -> tuple[Iterable[Row], list[Row]]:
        self._require("replay", replay.languages(task, self.recipe))
        if task.pair is not None:
            train_pairs, held_pairs = replay.pairs(task, task.pair, self.recipe, self.dropped)
            self._note(train_pairs, task.path)
            self._some(train_pairs, task)
            return tasks.mt(self.form, train_pairs), list(tasks.mt(self.form, held_pairs))
        found = replay.texts(task, self.recipe, self.dropped)
        self._note(found.training, task.path)
        self._some(found.training, task)
        return self._lm(found.training), list(self._lm(found.held_out))

    def _require(self, name: str, languages: Sequence[str]) -> None:
        """Raise ModelError naming the task if the model lacks the control token of a language."""
        try:
            self.encoder.require(languages)
        except ModelError as error:
            raise ModelError(f"train.hybrid.tasks.{name}: {error}") from None

    def _some(self, rows: Sequence[object], task: Replay) -> None:
        if not rows:
            raise DataError(f"train.hybrid.tasks.replay: {task.path} holds nothing to train on. Give another file.")

    def _has(self, split: str) -> bool:
        return records.there_are(self.texts / split)

    # ------------------------------------------------------------ leaks

    def _note(self, rows: Iterable[Example | Text], where: str) -> None:
        for row in rows:
            for key in leaks.keys(row):
                self.seen.setdefault(key, f"{where} ({row.origin or '?'}:{row.line})")

    def _refuse_leaks(self) -> None:
        """What probes and scores are measured on must not be trained on."""
        held: list[tuple[Example | Text, str]] = []
        for split in ("dev", "test"):
            held += [(pair, f"the {split} set") for pair in self._read(split)]
        if self._text is not None:
            held += [(text, "the held-out text") for part in self._text.values() for text in part.held_out]
        found = [
            (text, where, self.seen[key])
            for row, where in held
            for text in leaks.texts(row)
            for key in leaks.keys((text,)) & self.seen.keys()
        ]
        if found:
            text, where, place = found[0]
            raise DataError(
                f"train.hybrid: {len(found)} segments that the shares are steered by or scores are measured on stand in "
                f"the training data; the first, of {where}, in {place}: '{text[:80]}'. Take these lines out of that "
                "file, or list it under `prepare`, where held-out segments are taken out for you."
            )


class _Lengths:
    """Tokens of the texts of pairs. All are counted at the first question, together: one by one takes ten times as long."""

    def __init__(self, encoder: Encoder, pairs: Sequence[Example]) -> None:
        self.encoder, self.pairs = encoder, pairs

    def __call__(self, texts: Sequence[str]) -> list[int]:
        return [self._found[text] for text in texts]

    @cached_property
    def _found(self) -> dict[str, int]:
        texts = list(dict.fromkeys(text for pair in self.pairs for text in (pair.source, pair.target)))
        return dict(zip(texts, self.encoder.lengths(texts), strict=True))


def _some_of(pairs: list[Example]) -> list[Example]:
    """As many as are enough to probe with, evenly spread."""
    return pairs[:: max(1, len(pairs) // _PROBE_PAIRS)]

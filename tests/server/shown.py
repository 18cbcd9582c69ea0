"""What the parts of the page have to show: a training run, a run in use, a server of two models that holds both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.stages.test_monitor import run_of, text, told

HOSTILE = "<img src=x onerror='window.hit = 1'>"


def training(folder: Path) -> Path:
    """The log of a mixed phase of 900 steps, with samples."""
    steps = [
        {"event": "step", "step": at, "loss": 9 / at**0.3, "learning_rate": 1e-3 / at, "tokens": 10 * at}
        for at in range(1, 901)
    ]
    scored = [
        {
            "event": "evaluate", "step": at, "loss": 8 / at**0.3, "chrf": 20.0 + at / 50, "bleu": 5.0, "seconds": 1.0,
            "chrf_by_direction": {"en-de": 1.0},
            "samples": [
                {"direction": "en-de", "source": HOSTILE, "reference": "Ja.", "translation": f"{HOSTILE} at {at}"},
                {"direction": "en-de", "source": "No.", "reference": "Nein.", "translation": "Nein."},
            ],
        }
        for at in (300, 600, 900)
    ]  # fmt: skip
    windows = [
        {"event": "window", "step": at, "shares": {"lm": 0.9 - at / 2000, "mt": 0.1 + at / 2000}} for at in (300, 900)
    ]
    place = folder / "train" / "0-hybrid"
    place.mkdir(parents=True)
    lines = [json.dumps(event) for event in [*steps, *scored, *windows]]
    (place / "metrics.jsonl").write_text("\n".join(lines) + '\n{"event": "st', encoding="utf-8")
    return folder


def in_use(folder: Path) -> Path:
    """A run with a baseline that meets a new word now."""
    run, random = run_of(training(folder), "{texts: {days: 3}, price: 2}"), np.random.default_rng(3)
    told(run, [text(random, "zolpirand 20 mg" if number % 10 == 0 else "") for number in range(400)])
    return run

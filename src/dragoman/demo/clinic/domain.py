"""The clinic: its kinds of sentences and how often each is drawn."""

from __future__ import annotations

from dragoman.demo.clinic import sentences
from dragoman.demo.dice import Dice, Weighted
from dragoman.demo.grammar import Sentence

_KINDS = Weighted(
    [
        (sentences.take, 10),
        (sentences.takes, 7),
        (sentences.drug, 5),
        (sentences.at_most, 0.7),
        (sentences.apply, 4),
        (sentences.hurts, 6),
        (sentences.injured, 5),
        (sentences.symptom, 6),
        (sentences.lasting, 5),
        (sentences.how_long, 0.1),
        (sentences.state, 4),
        (sentences.x_ray, 1),
        (sentences.treatment, 16),
        (sentences.recovering, 3),
        (sentences.ask_about, 5),
        (sentences.ask_you, 5),
        (sentences.order, 5),
        (sentences.if_ill, 1.5),
        (sentences.because, 3),
        (sentences.side_effects, 2),
        (sentences.appointment, 6),
        (sentences.located, 1.5),
        (sentences.bedded, 3),
        (sentences.measured, 2.5),
        (sentences.normal, 0.3),
    ]
)


def draw(dice: Dice) -> Sentence:
    """One sentence of the clinic."""
    return _KINDS.pick(dice)(dice)

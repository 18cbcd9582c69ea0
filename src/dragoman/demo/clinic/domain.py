"""The clinic: its kinds of sentences and how often each is drawn."""

from __future__ import annotations

from dragoman.demo.clinic import complaints, doses, treatment, visits
from dragoman.demo.dice import Dice, Weighted
from dragoman.demo.grammar import Sentence

_KINDS = Weighted(
    [
        (doses.take, 10),
        (doses.takes, 7),
        (doses.drug, 5),
        (doses.at_most, 0.7),
        (doses.apply, 4),
        (doses.wash, 0.3),
        (complaints.hurts, 6),
        (complaints.injured, 5),
        (complaints.symptom, 6),
        (complaints.lasting, 5),
        (complaints.how_long, 0.1),
        (complaints.state, 4),
        (complaints.x_ray, 1),
        (treatment.treatment, 16),
        (treatment.recovering, 3),
        (treatment.ask_about, 5),
        (treatment.ask_you, 5),
        (treatment.order, 5),
        (treatment.if_ill, 1.5),
        (treatment.because, 3),
        (treatment.side_effects, 2),
        (visits.appointment, 6),
        (visits.located, 1.5),
        (visits.bedded, 3),
        (visits.measured, 2.5),
        (visits.normal, 0.3),
    ]
)


def draw(dice: Dice) -> Sentence:
    """One sentence of the clinic."""
    return _KINDS.pick(dice)(dice)

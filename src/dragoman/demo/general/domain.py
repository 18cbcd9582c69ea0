"""The general domain: its kinds of sentences and how often each is drawn."""

from __future__ import annotations

from dragoman.demo.dice import Dice, Weighted
from dragoman.demo.general import facts, linked, sentences
from dragoman.demo.grammar import Sentence

_KINDS = Weighted(
    [
        (sentences.statement, 28),
        (sentences.moving, 4),
        (sentences.question, 5),
        (sentences.question_to_you, 6),
        (sentences.open_question, 5),
        (sentences.order, 6),
        (sentences.being, 7),
        (sentences.lies, 4),
        (linked.it_is, 3),
        (linked.it_cost, 2),
        (linked.broken, 3),
        (linked.seen, 2),
        (linked.like_it, 2),
        (linked.because, 4),
        (linked.but, 3),
        (linked.both, 2),
        (linked.that, 4),
        (linked.if_, 1.5),
        (linked.relative_clause, 3),
        (facts.costs, 2.5),
        (facts.age, 1),
        (facts.born, 1.5),
        (facts.today, 0.3),
        (facts.opened, 0.7),
        (facts.tall, 0.5),
        (facts.since, 1),
        (facts.train, 0.7),
        (facts.name, 1),
        (facts.job, 2),
        (facts.weather, 1),
        (facts.starts, 2),
        (facts.practice, 1.2),
        (facts.early, 0.7),
    ]
)


def draw(dice: Dice) -> Sentence:
    """One sentence of the general domain."""
    return _KINDS.pick(dice)(dice)

"""The command of a scorer is held against what can be started when the recipe is read."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dragoman.core.recipe.scorer import Scorer


@pytest.mark.parametrize(
    ("command", "told"), [("python it's.py", "No closing quotation"), ("  ", "is empty"), ("a \\", "No escaped")]
)
def test_a_command_that_is_none_is_refused_by_the_recipe(command: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Scorer(command=command)


def test_words_in_quotes_are_one() -> None:
    assert Scorer(command="python 'my scorer.py' --é").command == "python 'my scorer.py' --é"

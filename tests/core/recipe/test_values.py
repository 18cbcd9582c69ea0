"""Values that no recipe may have, told with their line."""

from __future__ import annotations

import pytest

from dragoman.core.recipe import Recipe
from dragoman.errors import RecipeError


@pytest.mark.parametrize(
    "section",
    [
        "train:\n  - prefer: {learning_rate: 1e400}",
        "train:\n  - prefer: {margin: .inf}",
        "monitor: {alerts: [{name: a, figure: drift, above: .nan}]}",
        "monitor: {channels: {ops: {kind: webhook, to: 'file:///etc/passwd'}}}",
        "monitor: {channels: {ops: {kind: slack, to: ops}}}",
    ],
)
def test_numbers_without_end_and_channels_without_an_address(section: str) -> None:
    text = f"pairs: [en-de]\nmodel: {{new: {{hidden: 32, layers: 2, heads: 2}}}}\n{section}\n"
    with pytest.raises(RecipeError, match=r"recipe\.yaml:[34]: "):
        Recipe.parse(text, "recipe.yaml")

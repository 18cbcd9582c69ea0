"""A listener that remembers."""

from __future__ import annotations

from dragoman.core.listen import Silent


class Heard(Silent):
    """`said`: every line that it was told; `warned`: the warnings among them."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(text)
        self.warned.append(text)

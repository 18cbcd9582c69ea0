"""What teachers are asked, and how their answers are read. Pure text; every wording of a request stands here.

A request is a chat. Nothing but the text itself is asked for, for a preface or a list would end up in the training data;
what comes back all the same is taken off where that is safe, and refused where it is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dragoman.core.prompt.prompts import Turn
from dragoman.core.text.languages import Direction, name

_THOUGHTS = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^```[\w-]*\n(.*?)\n?```$", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,4}[.):])\s+")
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "'": "'", "‘": "’", "「": "」"}
_PREFACE = re.compile(r"^(?:[^\n]{0,80}:)\s*\n+", re.IGNORECASE)  # "Here is the translation:" on a line of its own
_NOTHING = re.compile(r"^\W*(none|no (?:errors?|mistakes?|problems?)|nothing)\b", re.IGNORECASE)
MAX_LINE = 4000  # characters of one segment


class NonsenseError(Exception):
    """An answer that is no answer to what was asked; the message says why."""


def _ask(text: str) -> tuple[Turn, ...]:
    return (Turn("user", text),)


def translate(text: str, direction: Direction) -> tuple[Turn, ...]:
    source, target = name(direction.source), name(direction.target)
    return _ask(
        f"Translate the following {source} text into {target}. Write the translation only, on one line, without quotes "
        f"and without a comment.\n\n{text}"
    )


def write(language: str, count: int, role: str, topic: str, examples: Sequence[str]) -> tuple[Turn, ...]:
    """Ask for `count` sentences in a language."""
    parts = [role.strip()] if role.strip() else []
    about = f" about {topic}" if topic else ""
    parts.append(
        f"Write {count} different {name(language)} sentences{about}. Each must make sense by itself and differ from the "
        "others in what it says, in its words and in its length. Write one sentence per line and nothing else: no "
        "numbers, no quotes, no headings."
    )
    if examples:
        parts.append("Sentences of this kind are wanted; do not repeat them:\n" + "\n".join(examples))
    return _ask("\n\n".join(parts))


def criticise(source: str, target: str, direction: Direction) -> tuple[Turn, ...]:
    return _ask(
        f"Here is a {name(direction.source)} text and a draft of its {name(direction.target)} translation.\n\n"
        f"{name(direction.source)}: {source}\n{name(direction.target)}: {target}\n\n"
        "List the errors of the draft briefly: wrong or missing meaning, grammar, spelling, terms, unnatural style. "
        "If there is none, write: none"
    )


def mend(source: str, target: str, critique: str, direction: Direction) -> tuple[Turn, ...]:
    return _ask(
        f"Here is a {name(direction.source)} text, a draft of its {name(direction.target)} translation, and what a "
        f"reviewer says of the draft.\n\n{name(direction.source)}: {source}\n{name(direction.target)}: {target}\n"
        f"Review: {critique}\n\nWrite the mended {name(direction.target)} translation only, on one line, without quotes "
        "and without a comment."
    )


def paraphrase(text: str, language: str) -> tuple[Turn, ...]:
    return _ask(
        f"Say the following {name(language)} text in other {name(language)} words. Keep its meaning exactly, with every "
        f"number and name. Write the new text only, on one line, without quotes and without a comment.\n\n{text}"
    )


# ---------------------------------------------------------------- answers


def bare(answer: str) -> str:
    """The answer without its thoughts and without a fence around it."""
    text = _THOUGHTS.sub("", answer).strip()
    if fenced := _FENCE.match(text):
        text = fenced[1].strip()
    return text


def one_line(answer: str, asked: str) -> str:
    """The one segment that was asked for. Raises NonsenseError when the answer is several lines, or far too long.

    Quotes around all of it go, unless `asked`, the text that it answers, stands in quotes too.
    """
    text = bare(answer)
    if "\n" in text:
        text = _PREFACE.sub("", text, count=1).strip()
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) > 1:
        raise NonsenseError(f"{len(lines)} lines instead of one")
    text = lines[0] if lines else ""
    if len(text) > max(MAX_LINE, 20 * len(asked)):
        raise NonsenseError(f"{len(text):,} characters for a text of {len(asked):,}")
    return unquoted(text) if asked[:1] not in _QUOTES else text


def sentences(answer: str) -> list[str]:
    """The lines of an answer without bullets, numbers and quotes."""
    lines = (line.strip() for line in bare(answer).split("\n"))
    found = [unquoted(_BULLET.sub("", line)) for line in lines if line]
    if len(found) > 1 and found[0].endswith(":"):
        found = found[1:]  # "Here are ten sentences:"
    return found


def unquoted(text: str) -> str:
    """Without a pair of quotes that holds the whole text."""
    closing = _QUOTES.get(text[:1])
    if closing is not None and len(text) > 2 and text.endswith(closing):
        inner = text[1:-1]
        if closing not in inner and text[0] not in inner:
            return inner.strip()
    return text


def finds_nothing(critique: str) -> bool:
    """Whether a critique says that there is nothing to mend."""
    return not critique.strip() or bool(_NOTHING.match(critique.strip()))

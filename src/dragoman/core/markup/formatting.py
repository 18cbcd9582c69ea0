"""DeepL's `preserve_formatting`: a translation begins and ends as its source does, where a model has corrected it.

A final mark that the source does not have goes, one that it has comes back in the target's writing; the first letter is as
large or as small as that of the source. What a language writes large wherever it stands (nouns, names of days) stays.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from dragoman.core.markup.inline import Inline, Piece, Span
from dragoman.core.text.languages import Direction, primary
from dragoman.core.text.segment import is_abbreviated

# A mark of a source by its plain form, and how a language writes it; "" = not at all
_PLAIN = str.maketrans("。｡．।۔።։！？؟՞፧", ".......!????")
_WRITTEN = {
    code: marks
    for codes, marks in (
        ("zh yue ja", {".": "。", "!": "！", "?": "？", "…": "……"}),
        ("hi bn mr ne sa as or pa", {".": "।"}),
        ("ar fa ps ckb ug", {"?": "؟"}),
        ("ur", {".": "۔", "?": "؟"}),
        ("am", {".": "።", "?": "፧"}),
        ("hy", {".": "։"}),
        ("el", {"?": ";"}),
        ("fr", {"!": "\u202f!", "?": "\u202f?"}),
        ("th lo my km", {".": ""}),
    )
    for code in codes.split()
}
_FINAL = re.compile(r"(?P<space>[ \u00a0\u202f]?)(?P<mark>[.!?…。｡．।۔።։！？؟՞፧]+)$")
_NOUNS = frozenset({"de", "lb", "nds", "gsw"})  # write nouns large
_LARGE_IN_ENGLISH = frozenset(
    (  # noqa: SIM905
        "i monday tuesday wednesday thursday friday saturday sunday january february april june july august september "
        "october november december christmas easter god internet"
    ).split()
)


def formatted_as(source: Inline, target: Inline, direction: Direction) -> Inline:
    """The target with the beginning and the end of the source. A side that begins or ends with a span that is no tag (a
    placeholder) is left there as it is."""
    pieces = list(target.pieces)
    pairs = [(_edge(source.pieces, last=last), _edge(target.pieces, last=last)) for last in (False, True)]
    for (theirs, ours), work in zip(pairs, (_begun, _ended), strict=True):
        if theirs is not None and ours is not None:
            text = pieces[ours]
            assert isinstance(text, str)  # noqa: S101 # for mypy
            pieces[ours] = work(str(source.pieces[theirs]), text, direction)
    return Inline.of(pieces)


def _edge(pieces: tuple[Piece, ...], *, last: bool) -> int | None:
    """The place of the text with which the pieces begin or end, behind tags that open or close; None where it is no text."""
    for place in reversed(range(len(pieces))) if last else range(len(pieces)):
        piece = pieces[place]
        if isinstance(piece, Span):
            if piece.role == "alone":
                return None
        elif piece.strip():
            return place
    return None


def _begun(source: str, target: str, direction: Direction) -> str:
    theirs, ours = _first_letter(source), _first_letter(target)
    if theirs is None or ours is None:
        return target
    letter, wanted = target[ours], source[theirs]
    if wanted != wanted.lower() and letter.islower():
        return target[:ours] + letter.title() + target[ours + 1 :]
    if wanted.islower() and letter != letter.lower() and not _stays_large(source[theirs:], target[ours:], direction):
        return target[:ours] + letter.lower() + target[ours + 1 :]
    return target


def _first_letter(text: str) -> int | None:
    """The place of the first letter, where only signs stand before it."""
    found = re.match(r"[\W_]*(?=[^\W\d_])", text)
    return found.end() if found else None


def _stays_large(source: str, target: str, direction: Direction) -> bool:
    """Whether a language writes the first word large also where a sentence does not begin."""
    word, theirs = (re.match(r"[^\W\d_]+", text) for text in (target, source))
    if word is None or theirs is None or word[0].lower() == theirs[0].lower():
        return False  # the same word: as the source has it
    if len(word[0]) > 1 and not word[0][1:].islower():
        return True  # an acronym, or a name like McDonald
    language = primary(direction.target)
    return language in _NOUNS or (language == "en" and word[0].lower() in (_LARGE_IN_ENGLISH | _names()))


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    """English names of languages, which are those of peoples too."""
    import langcodes

    codes = (
        "ar bg bn ca cs cy da de el en es et eu fa fi fr ga gl he hi hr hu hy id is it ja ko lt lv mk ms mt nb nl no pl pt ro "
        "ru sk sl sq sr sv sw ta th tr uk ur vi zh"
    )
    return frozenset(langcodes.Language.get(code).display_name().split()[0].lower() for code in codes.split())


def _ended(source: str, target: str, direction: Direction) -> str:
    theirs, ours = _FINAL.search(source.rstrip()), _FINAL.search(target.rstrip())
    core = target.rstrip()
    tail = target[len(core) :]
    if ours is not None and theirs is None:
        corrected = _is_of_a_word(source) and not is_abbreviated(core, direction.target)
        return core[: ours.start()] + tail if corrected else target
    if theirs is None or ours is not None or not _is_of_a_word(target):
        return target
    if is_abbreviated(source.rstrip(), direction.source):
        return target
    written = _WRITTEN.get(primary(direction.target), {})
    plain = theirs["mark"].translate(_PLAIN).replace("...", "…")
    return core + "".join(written.get(mark, mark) for mark in plain) + tail


def _is_of_a_word(text: str) -> bool:
    """Whether a text ends with a letter, a sign that belongs to one, or a digit."""
    return unicodedata.category(text.rstrip()[-1:] or " ")[0] in "LMN"

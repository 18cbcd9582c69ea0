"""DeepL's `preserve_formatting`: a translation begins and ends as its source does, where a model has corrected it.

A final mark that the source does not have goes, one that it has comes back in the target's writing; the first letter is as
large or as small as that of the source. What a language writes large wherever it stands (nouns, names of days) stays.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from dragoman.core.markup.inline import Inline, Piece, Span
from dragoman.core.markup.placeholders import protect_placeholders
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
        ("es ast", {"!": "", "?": ""}),  # where its other half belongs is not known
        ("th lo my km", {".": ""}),
    )
    for code in codes.split()
}
_FINAL = re.compile(r"(?P<space>[ \u00a0\u202f]?)(?P<mark>[.!?…。｡．।۔።։！？؟՞፧]+)$")
_WORD = re.compile(r"[^\W\d_](?:[\w.@-]*\w)?")
_DOTTED = frozenset({"tr", "az"})
_NOUNS = frozenset({"de", "lb", "nds", "gsw"})  # write nouns large
_LARGE_IN_ENGLISH = frozenset(
    (  # noqa: SIM905
        "i monday tuesday wednesday thursday friday saturday sunday january february april june july august september "
        "october november december christmas easter god internet"
    ).split()
)


def formatted_as(
    source: Inline, target: Inline, direction: Direction, *, begin: bool = True, end: bool = True
) -> Inline:
    """The target with the beginning and the end of the source; `begin` or `end` False: that one is left, as it is a person's.
    A side that begins or ends with a placeholder, be it one that is written in the text, is left there as it is."""
    composed = [piece if isinstance(piece, Span) else unicodedata.normalize("NFC", piece) for piece in source.pieces]
    source = protect_placeholders(Inline.of(composed))
    if not any(sign.isalnum() for sign in target.plain):
        return target  # marks alone: nothing would be left
    pieces = list(target.pieces)
    pairs = [(_edge(source.pieces, last=last), _edge(target.pieces, last=last)) for last in (False, True)]
    for (theirs, ours), work, wanted in zip(pairs, (_begun, _ended), (begin, end), strict=True):
        if wanted and theirs is not None and ours is not None:
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
    letter, wanted, words = target[ours], source[theirs], unicodedata.normalize("NFC", target[ours:])
    if wanted != wanted.lower() and letter.islower() and not _is_spelt(words):
        return target[:ours] + _cased(letter, direction, large=True) + target[ours + 1 :]
    if wanted.islower() and letter != letter.lower() and not _stays_large(source[theirs:], words, direction):
        return target[:ours] + _cased(letter, direction, large=False) + target[ours + 1 :]
    return target


def _cased(letter: str, direction: Direction, *, large: bool) -> str:
    """A letter in large or small, as the target's language pairs them: Turkish has an i with and one without a dot."""
    if primary(direction.target) in _DOTTED and letter in "iİıI":
        return {"i": "İ", "ı": "I", "İ": "i", "I": "ı"}[letter]
    return letter.title() if large else letter.lower()


def _is_spelt(text: str) -> bool:
    """Whether the first word is written in one way wherever it stands: H2O, iPhone, U.S., mail@example.com."""
    word = _WORD.match(text)
    if word is None:
        return False
    inside = word[0].partition("-")[0][1:]
    return (
        any(sign.isdigit() or sign in "._@" for sign in word[0])
        or any(sign.isupper() for sign in inside)
        or text.startswith("://", word.end())
    )


def _first_letter(text: str) -> int | None:
    """The place of the first letter, where only signs stand before it."""
    found = re.match(r"[\W_]*(?=[^\W\d_])", text)
    return found.end() if found else None


def _stays_large(source: str, target: str, direction: Direction) -> bool:
    """Whether a language writes the first word large also where a sentence does not begin."""
    word, theirs = (_WORD.match(text) for text in (target, source))
    if word is None or theirs is None:
        return False
    if word[0].lower() == theirs[0].lower():
        return word[0][1:] != theirs[0][1:]  # the same word: as the source has it, but not nATO for NATO
    if _is_spelt(target):
        return True  # H2O, NATO, McDonald
    language = primary(direction.target)
    if language != "en":
        return language in _NOUNS
    first = re.split(r"[\W_]", word[0], maxsplit=1)[0].lower()
    alone = len(first) == 1 and first not in ("a", "o") and target[1:2] not in ("'", "’")  # T cells, X-ray, I
    return alone or first in (_LARGE_IN_ENGLISH | _names())


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
        bare = core[: ours.start()]
        paired = bare.count("¿") + bare.count("¡") > bare.count("?") + bare.count("!")
        corrected = _is_of_a_word(source) and not paired
        return bare + tail if corrected and not is_abbreviated(core, direction.target) else target
    if theirs is None or ours is not None or not _is_of_a_word(target):
        return target
    if is_abbreviated(source.rstrip(), direction.source):
        return target
    written = _WRITTEN.get(primary(direction.target), {})
    plain = theirs["mark"].translate(_PLAIN).replace("...", "…")
    marks = "".join(written.get(mark, mark) for mark in plain)
    return core + marks[:1] + marks[1:].replace("\u202f", "") + tail


def _is_of_a_word(text: str) -> bool:
    """Whether a text ends with a letter, a sign that belongs to one, or a digit."""
    return unicodedata.category(text.rstrip()[-1:] or " ")[0] in "LMN"

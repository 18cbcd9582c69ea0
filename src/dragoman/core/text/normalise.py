"""Text as it goes on: Unicode form, invisible characters, spaces. And the key by which segments count as the same."""

from __future__ import annotations

import re
import unicodedata

from dragoman.core.recipe import Normalise
from dragoman.core.text.western import ENCODING, Folding

# Spaces of typography stay as they are: no-break (French, Czech), narrow no-break (French), ideographic (Japanese).
_KEPT_SPACES = "\u00a0\u202f\u3000"
_SPACES = " \t\n\v\f\r\x1c-\x1f\x85\u1680\u2000-\u200a\u2028\u2029\u205f" + _KEPT_SPACES
_SPACE_RUN = re.compile(f"[{_SPACES}]{{2,}}|[^\\S {_KEPT_SPACES}]")
_KEPT_SPACE = re.compile(f"[{_KEPT_SPACES}]")
# C0 and C1 without the line breaks and tabs, which are spaces; then BOM, zero-width space, soft hyphen, word joiner.
# Direction marks (U+200E, U+200F, U+202A-202E, U+2066-2069) and variation selectors carry meaning and stay.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\ufff9-\ufffb]")
_DISPLAY = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufe0e\ufe0f]")
_JOINERS = re.compile("[\u200c\u200d]+")
# Scripts whose spelling needs ZWJ and ZWNJ: Arabic and its relatives, Indic, Tibetan, Burmese, Khmer, Mongolian.
_JOINING = re.compile("[\u0600-\u07ff\u0840-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufeff]")
# Emoji sequences: a person, a sign or a variation selector stands before the joiner.
_EMOJI = re.compile("[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]")


def normalise(text: str, settings: Normalise) -> str:
    """The text in the recipe's Unicode form, without meaningless invisible characters, with single spaces.

    Idempotent. NFKC keeps the no-break spaces, which it would otherwise turn into plain ones.
    """
    tidy = _is_tidy(text)
    if not text.isascii():
        if settings.controls and not tidy:
            text = _CONTROLS.sub("", text)
        text = _compose(text, settings.unicode)
        if settings.controls and ("\u200c" in text or "\u200d" in text):
            text = _compose(_JOINERS.sub(_joiner, text), settings.unicode)
    elif settings.controls and not tidy:
        text = _CONTROLS.sub("", text)
    if settings.spaces:
        if not tidy or settings.unicode == "NFKC":  # which makes spaces of accents that stand alone
            text = _SPACE_RUN.sub(_space, text)
        text = text.strip()
    return text


def as_read(text: str) -> str:
    """A source as a model reads it: plain spaces for no-break and ideographic ones, no marks that only steer its display
    (direction, colour of an emoji). They stay in what is stored and shown."""
    if text.isascii() or not (_KEPT_SPACE.search(text) or _DISPLAY.search(text)):
        return text
    return re.sub(" {2,}", " ", _KEPT_SPACE.sub(" ", _DISPLAY.sub("", text)))


def _is_tidy(text: str) -> bool:
    """True when there is no control character in the text, no space of another kind than those kept, and no run of spaces."""
    if not text.isascii():
        for space in _KEPT_SPACES:
            text = text.replace(space, " ")
    return text.isprintable() and "  " not in text


def _compose(text: str, form: str) -> str:
    if form == "NFC":
        return unicodedata.normalize("NFC", text)
    if form == "NFKC":
        parts = re.split("([\u00a0\u202f])", text)
        return "".join(part if part in ("\u00a0", "\u202f") else unicodedata.normalize("NFKC", part) for part in parts)
    return text


def _space(match: re.Match[str]) -> str:
    kept = _KEPT_SPACE.search(match[0])
    return kept[0] if kept else " "


def _joiner(match: re.Match[str]) -> str:
    """One joiner where the character before it is of a script that needs it; two in a row mean nothing more."""
    before = match.string[match.start() - 1 : match.start()]
    needed = _JOINING.match(before) or (match[0][0] == "\u200d" and _EMOJI.match(before))
    return match[0][0] if needed and match.end() < len(match.string) else ""


class _Fold(dict[int, str | None]):
    """Table for str.translate: letters and marks casefolded, everything else dropped. Fills as it is used."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        folded = character.casefold() if unicodedata.category(character)[0] in "LM" else None
        self[code] = folded
        return folded


_FOLD = _Fold()


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).translate(_FOLD))


_WESTERN_FOLD = Folding(_fold)


def leak_key(text: str) -> str:
    """The text casefolded, without digits, punctuation, symbols and spaces. Two segments with one key count as one.

    A segment without any letter has the empty key.
    """
    if (folded := _WESTERN_FOLD(text)) is not None:
        return folded.decode(ENCODING)
    return _fold(text)


# Letters of the Latin, Greek and Cyrillic alphabets with accents, and the points of Hebrew and Arabic, which may be left out.
_ACCENTED = {
    chr(code): unicodedata.normalize("NFD", chr(code))[0]
    for code in (*range(0xC0, 0x530), *range(0x1E00, 0x2000))
    if len(unicodedata.normalize("NFD", chr(code))) > 1 and unicodedata.category(chr(code))[0] == "L"
}
_ACCENT = re.compile(f"[{''.join(_ACCENTED)}\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u0670]")


def bare(text: str) -> str:
    """The text without accents and points: for what was written on a keyboard that has none, or by a hand in a hurry."""
    return text if text.isascii() else _ACCENT.sub(lambda match: _ACCENTED.get(match[0], ""), text)


def storable(text: str) -> str:
    """Without what a data base refuses: lone surrogates, and NUL in PostgreSQL."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()

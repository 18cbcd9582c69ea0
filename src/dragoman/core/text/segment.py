"""Sentence segmentation that rejoins exactly: `"".join(segment(text, language)) == text` for every text.

A boundary stands after a sentence-final mark (and the closing quotes, brackets and tags behind it) when white space and
a possible sentence start follow; abbreviations, initials, ordinals and list numbers do not end a sentence. The marks are
those of UAX #29's sentence rules (STerm, ATerm); the abbreviations are each language's common ones. White space
belongs to the sentence before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from dragoman.core.text.languages import primary
from dragoman.errors import DataError

# Lower case, without the final full stop. Words that stand before a name or a number, where a capital or a digit follows.
_ABBREVIATIONS = {
    "en": "mr mrs ms dr prof rev gen col capt lt sgt st messrs sr jr vs e.g i.e cf al approx no nos vol pp fig figs "
    "eq sec ch ed eds dept inc ltd co corp est jan feb mar apr jun jul aug sep sept oct nov dec u.s u.k a.m p.m ca viz",
    "de": "dr prof hr fr hrn st nr bzw ca z.b d.h u.a u.u s.o s.u o.ä vgl ggf evtl inkl exkl abs art bd hrsg "
    "jh jan feb mär apr jun jul aug sep sept okt nov dez tel str mio mrd z b d h i.d.r v.a bspw sog zzgl geb gest max min",
    "fr": "m mm mme mmes mlle mlles dr pr st ste me mgr cf p.ex ex p pp vol chap art fig n nº no env av apr j.-c "
    "janv févr avr juil sept oct nov déc tél éd réf",
    "es": "sr sra sres srta dr dra prof ud uds vd vds ej p.ej pág págs vol cap art fig núm n.º aprox tel ee.uu av "
    "ene feb abr jun jul ago sept oct nov dic gral avda",
    "it": "sig sigg sig.ra dott dr prof ing avv on es p.es pag pagg vol cap art fig n nr tel ca gen feb apr",
    "pt": "sr sra srs dr dra prof profa exmo ex p.ex pág págs vol cap art fig n n.º tel av jan fev abr jun jul ago",
    "nl": "dhr mevr mw dr prof ir ing drs mr st nr enz bijv b.v d.w.z o.a m.b.t t.a.v i.v.m ca blz art fig tel jan",
    "cs": "p pan dr mudr ing mgr bc prof doc např tzv tj atd apod resp popř č čís str obr tab kap sv mj cca tel ul",
    "pl": "p dr prof mgr inż doc np tzw tj itd itp m.in ok nr str rys tab art ust pkt ul tel św godz r w",
    "ru": "г гг д ул тел им т.е т.д т.п и.о др пр проф акад руб коп тыс млн млрд см рис табл стр гл п пп напр",
    "sv": "dr prof hr fr st nr t.ex bl.a d.v.s m.m ca kl s fig kap jan feb tel",
}
# Of these, the ones that are also words or that end sentences otherwise: they need a number behind them
_BEFORE_NUMBER = "no nos nr n fig figs eq vol p pp art sec ch pag str núm č k t tel max min on mar".split()  # noqa: SIM905
# Languages that write ordinal numbers with a full stop: "am 3. Oktober"
_ORDINAL_STOP = "de cs sk da nb nn no fi hu pl sl hr sr bs et lv is".split()  # noqa: SIM905

_TAG = r"<[^<>\n]{1,80}>"
# UAX #29's Close: quotes and brackets of all scripts that close, or that may do either
_WIDE_CLOSERS = "」』）】〉》〕〗〙〛］｝｠｣〞〟"
# French writes a space before its closing quotes: « Oui. » Puis
_CLOSERS = rf"(?:[\"'”’»›)\]}}*_`{_WIDE_CLOSERS}]|[ \u00a0\u202f][»›](?=\s|$)|{_TAG})*+"
_OPENERS = rf"(?:[\"'“‘„«‹(\[{{¿¡*_`「『（【〈《〔［｛｢]|{_TAG})*+"
# Marks that need white space behind them; those of scripts that write no spaces between words, where a space stands at most
# between sentences: Chinese and Japanese, Khmer, Burmese, Tibetan, and Ethiopic
_MARKS = ".!?…‽؟۔։।॥჻᠃᠉꓿"
_OPEN_MARKS = "។៕៘။༎།༔።፧፨"
_SPACED = rf"(?<![{_MARKS}])[{_MARKS}]++{_CLOSERS}(?=\s)"
# an Indic full stop before a letter, which many write without the space; not before a digit: ॥१॥ numbers a verse
_DANDA = rf"(?<![{_MARKS}])[।॥]++{_CLOSERS}(?={_OPENERS}[^\W\d_])"
_UNSPACED = rf"(?:[。！？｡．‼⁇⁈⁉]++{_CLOSERS}|(?:[{_OPEN_MARKS}]\s{{0,2}})*[{_OPEN_MARKS}]{_CLOSERS})"
_BOUNDARY = re.compile(rf"(?:{_SPACED}|{_DANDA}|{_UNSPACED})\s*+")
# What carries a quotation on in Japanese (と言った, という, って) and Chinese (他说, 的)
_QUOTING = re.compile(r"(?:と|って|など|の|を|が|は|に|で|も|的)(?!ころ)")
_START = re.compile(rf"{_OPENERS}(?P<first>.)", re.DOTALL)
_LAST_WORD = re.compile(r"[\w.ºª-]{1,20}$")
_ITEM = re.compile(r"[ \t]*+(?:[-*+•–—#>|]|\d{1,3}[.)]|[A-Za-z][.)])[ \t]")
_SO_ON = re.compile(
    r"\b(?:etc|usw|enz|ecc|osv|itd|itp|atd|apod|stb|др|т\.\s?д|т\.\s?п)\.$", re.IGNORECASE
)  # they end sentences too
_NEWLINE = re.compile(r"(?:\r\n|\n|\r|\u2028|\u2029)")
_WRAPPED_WIDTH = 40  # a line shorter than this is not one that was broken for its length


@lru_cache(maxsize=256)
def _abbreviations(language: str) -> tuple[frozenset[str], bool]:
    try:
        code = primary(language)
    except DataError:
        code = language
    words = frozenset((_ABBREVIATIONS.get(code, "") + " " + _ABBREVIATIONS["en"]).split())
    return words, code in _ORDINAL_STOP


def segment(text: str, language: str = "en", *, wrapped: bool | None = None) -> list[str]:
    """Cut a text into sentences, lines and paragraphs. Joined, the parts are the text again; none is empty.

    `wrapped`: what a single line break means. True: nothing but a space; False: it always ends a segment; None: it ends
    one unless the line before looks broken for its length (long, and the next one goes on in lower case).
    """
    parts: list[str] = []
    for block in _blocks(text, wrapped):
        start = 0
        for cut in _sentence_ends(block, language):
            parts.append(block[start:cut])
            start = cut
        if start < len(block):
            parts.append(block[start:])
    return _with_blank_before(parts)


def _with_blank_before(parts: list[str]) -> list[str]:
    """A part of nothing but white space joins the one before it."""
    joined: list[str] = []
    for part in parts:
        if joined and not part.strip():
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def _blocks(text: str, wrapped: bool | None) -> Iterator[str]:
    """Cut at blank lines and at line breaks that mean something; a break belongs to the block before it."""
    breaks = list(_NEWLINE.finditer(text))
    start = line = 0
    for number, found in enumerate(breaks):
        after = breaks[number + 1].start() if number + 1 < len(breaks) else len(text)
        if _is_break(text[line : found.start()], text[found.end() : after], wrapped):
            yield text[start : found.end()]
            start = found.end()
        line = found.end()
    if start < len(text):
        yield text[start:]


def _is_break(before: str, after: str, wrapped: bool | None) -> bool:
    if not before.strip() or not after.strip():
        return True
    if wrapped is not None:
        return not wrapped
    if len(before.strip()) < _WRAPPED_WIDTH or _ITEM.match(after):
        return True
    indent = len(after) - len(after.lstrip())
    if indent > len(before) - len(before.lstrip()) and not _ITEM.match(before):
        return True
    first = _START.match(after.lstrip())
    ended = before.rstrip().endswith((".", "!", "?", ":", "。", "！", "？", "।"))
    return ended and first is not None and not first["first"].islower()


def _sentence_ends(block: str, language: str) -> Iterator[int]:
    words, ordinal_stop = _abbreviations(language)
    for found in _BOUNDARY.finditer(block):
        cut = found.end()
        if cut >= len(block):
            return
        mark = found[0].lstrip()[0]
        if mark in "។៕៘။༎།༔።፧፨":
            yield cut
            continue
        if mark in "。！？｡．‼⁇⁈⁉":
            # a quotation that goes on is no end: 「こんにちは。」と言った。
            if not _goes_on(block[found.start() : cut], block[cut:]):
                yield cut
            continue
        first = _START.match(block, cut)
        follower = first["first"] if first else " "
        if follower.islower() or (mark in ".…" and follower in ",;:-–—/&)"):
            continue
        if mark == "." and _is_no_end(block[max(0, found.start() - 24) : found.start()], follower, words, ordinal_stop):
            continue
        yield cut


def is_abbreviated(text: str, language: str) -> bool:
    """Whether the full stop with which a text ends belongs to its last word: an abbreviation, an initial, an ordinal."""
    if not text.endswith(".") or text.endswith(".."):
        return False
    words, ordinal_stop = _abbreviations(language)
    return _is_no_end(text[-25:-1], "A", words, ordinal_stop) or bool(_SO_ON.search(text))


def _goes_on(mark: str, after: str) -> bool:
    """True where the sentence goes on behind a mark in quotes: a comma follows, or a particle that carries a quotation."""
    quoted = any(closer in mark for closer in "」』”’\"'")
    return after.startswith(("、", "，", ",", "；", "：")) or (quoted and _QUOTING.match(after) is not None)


def _is_no_end(before: str, follower: str, words: frozenset[str], ordinal_stop: bool) -> bool:
    """True when the full stop after `before` belongs to an abbreviation, an initial, an ordinal or a list number."""
    found = _LAST_WORD.search(before)
    if found is None:
        return False
    word = found[0].lower().strip("-")
    last = word.rsplit(".", 1)[-1]
    if last in _BEFORE_NUMBER and not follower.isdigit():
        return False
    if word in words or (last in words and len(last) > 1):
        return True
    if len(last) == 1 and last.isalpha():
        if last == before[-1] and before[-2:-1] in ("'", "’"):
            return False  # the patient's, he'd
        return word != "i" or "." in word  # initials: "J. Smith", "U. S."; the English pronoun ends sentences
    if word.isdigit():
        return (ordinal_stop and follower.isalpha() and len(word) <= 2) or before.strip() == word
    return False

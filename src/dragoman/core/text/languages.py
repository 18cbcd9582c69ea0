"""Language tags (BCP-47) and translation directions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from dragoman.errors import DataError, ModelError

# Scripts that are written without spaces between words: lengths are counted in characters there.
UNSPACED_SCRIPTS = frozenset({"Hans", "Hant", "Hani", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
# Members of a macrolanguage that its own tag stands for in practice; FLORES and ISO 639-3 name the member.
_STANDS_FOR = {
    "arb": "ar", "cmn": "zh", "ekk": "et", "pes": "fa", "zsm": "ms", "lvs": "lv", "swh": "sw", "uzn": "uz", "khk": "mn",
    "als": "sq", "npi": "ne", "ory": "or", "plt": "mg", "ydd": "yi", "azj": "az", "pbt": "ps", "gaz": "om", "kmr": "ku",
    "quy": "qu", "ayr": "ay", "gug": "gn", "dgo": "doi",
}  # fmt: skip
_SAME = {"no": "nb"}  # Norwegian without more is Bokmål
# What stands beside the language in a column's name: `text_en`, `source (EN)`, `French text`.
_WORD = "text|texte|sentence|segment|string|source|target|src|tgt|trg"
_ROLE = re.compile(rf"^(?:{_WORD})[\s_.:-]*\(?(?=[^\W\d_])|[\s_.-]+(?:{_WORD})$|\)$", re.IGNORECASE)
_NO_REGION = re.compile("[-_]XX$", re.IGNORECASE)  # fr_XX: French of no region, as some platforms write it


@lru_cache(maxsize=4096)
def tag(text: str) -> str:
    """The BCP-47 tag in its canonical spelling: `EN_us` -> `en-US`, `fra` -> `fr`, `iw` -> `he`.

    Raises DataError when the tag is not well formed or names no registered language (RFC 5646).
    """
    import langcodes

    head, *rest = text.strip().replace("_", "-").split("-")
    cleaned = "-".join([_STANDS_FOR.get(head.lower(), head), *rest])
    try:
        if not cleaned or not langcodes.tag_is_valid(cleaned):
            raise ValueError("not a registered tag")
        return str(langcodes.standardize_tag(cleaned))
    except (ValueError, langcodes.LanguageTagError) as error:
        raise DataError(
            f"'{text}' is not a BCP-47 language tag ({error}). Use tags such as en, de, pt-BR or zh-Hant."
        ) from None


def primary(language: str) -> str:
    """The primary language subtag: `pt-BR` -> `pt`; `no` -> `nb`."""
    found = tag(language).split("-", 1)[0]
    return _SAME.get(found, found)


@lru_cache(maxsize=4096)
def name(language: str) -> str:
    """The English name: `de` -> `German`, `pt-BR` -> `Portuguese (Brazil)`."""
    import langcodes

    return str(langcodes.Language.get(tag(language)).display_name())


@lru_cache(maxsize=4096)
def spoken(text: str) -> str | None:
    """The tag of the language that a column's header names: a tag, an ISO or FLORES code (`fra`, `fra_Latn`, `fr_XX`), an
    English name or the language's own (`French`, `français`). None when it names none."""
    import langcodes

    cleaned = _NO_REGION.sub("", unicodedata.normalize("NFKC", text).strip(" \t\"'\ufeff"))
    try:
        return tag(cleaned)
    except DataError:
        pass
    words = _ROLE.sub("", cleaned)
    if words != cleaned and re.fullmatch(r"[A-Za-z]{2,3}(?:[-_][A-Za-z]{2,4})?", words):
        return spoken(words)  # `text_en`, `target_fr`, `EN text`
    if not re.fullmatch(r"[^\W\d_][^\W\d_ ().'-]{2,}(?: ?\(?[^\W\d_]+\)?)?", words):
        return None
    try:
        return str(langcodes.find(words))
    except LookupError:
        return None


@lru_cache(maxsize=4096)
def script(language: str) -> str:
    """The ISO 15924 script that the language is usually written in: `ru` -> `Cyrl`, `zh` -> `Hans`."""
    import langcodes

    found = langcodes.Language.get(tag(language)).maximize().script
    return str(found) if found else "Latn"


def same_language(left: str, right: str) -> bool:
    """True when two tags name the same language, whatever their region: `pt` and `pt-BR`."""
    return primary(left) == primary(right)


def same_writing(left: str, right: str) -> bool:
    """True when two tags name the same language in the same script: `pt` and `pt-BR`, but not `zh` and `zh-TW`."""
    return same_language(left, right) and script(left) == script(right)


@lru_cache(maxsize=65536)
def matches(wanted: str, found: str) -> int:
    """How well a language that is found serves the one wanted: 2 the same, 1 where one of them names no region, else 0.

    `en` and `en-US` match, `en-GB` and `en-US` do not, nor do `zh` (Simplified) and `zh-TW` (Traditional). What is no
    language tag, in some file, matches nothing.
    """
    try:
        given = tag(_NO_REGION.sub("", found))
    except DataError:
        return 0
    if given == wanted:
        return 2
    regions = {
        region[1] for code in (given, wanted) if (region := re.search("-([A-Z]{2}|[0-9]{3})(?![A-Za-z0-9])", code))
    }
    return int(primary(given) == primary(wanted) and script(given) == script(wanted) and len(regions) < 2)


def _is_language(part: str) -> bool:
    """A two-letter code of a language, in any case."""
    try:
        return len(part) == 2 and bool(tag(part.lower()))
    except DataError:
        return False


@dataclass(frozen=True, slots=True)
class Direction:
    """A translation direction, for example English to French."""

    source: str
    target: str

    @classmethod
    def parse(cls, text: str) -> Direction:
        """Read `en-fr`, `en_GB-fr_CA`, `en>fr` or `pt-BR:en`.

        A hyphen also stands inside tags, so every split at a hyphen is tried; the one that gives two valid tags wins.
        """
        for separator in (">", ":", "→"):
            if separator in text:
                left, right = text.split(separator, 1)
                return cls(tag(left), tag(right))
        parts = re.split("-", text.strip())
        if len(parts) > 2 and text in (text.lower(), text.upper()) and all(map(_is_language, parts)):
            first, second, *_ = parts
            raise DataError(
                f"'{text}' may name {len(parts)} languages, or a region. Give each pair by itself, {first}-{second} and "
                f"{first}-{parts[-1]}, or write regions in capitals, as in en>pt-BR."
            )
        found = []
        for cut in range(1, len(parts)):
            try:
                found.append(cls(tag("-".join(parts[:cut])), tag("-".join(parts[cut:]))))
            except DataError:
                continue
        if not found:
            raise DataError(f"'{text}' is not a language pair. Write it as en-fr, or pt-BR>en where tags have regions.")
        # `en-fr-CA`: a region never stands first, so the cut that leaves a lone language first is the natural one
        return min(found, key=lambda d: d.source.count("-"))

    @classmethod
    def of(cls, value: Direction | str) -> Direction:
        """A direction, or the text that names one. Raises DataError, and TypeError for anything else."""
        if isinstance(value, str):
            return cls.parse(value)
        if not isinstance(value, Direction):
            raise TypeError(f"a direction is written as en-fr, or is a Direction; {value!r:.60} is neither.")
        return value

    def __str__(self) -> str:
        joint = ">" if "-" in self.source + self.target else "-"
        return f"{self.source}{joint}{self.target}"

    @property
    def reversed(self) -> Direction:
        return Direction(self.target, self.source)

    def like(self, other: Direction) -> bool:
        """True when both lead between the same languages, whatever their regions."""
        return same_language(self.source, other.source) and same_language(self.target, other.target)


def other_regions(direction: Direction, target: str | None, source: str | None) -> list[tuple[str, str]]:
    """(asked for, served by) of the languages that were asked for by another tag than the chosen direction has."""
    both = ((source, direction.source), (target, direction.target))
    return [(tag(asked), served) for asked, served in both if asked is not None and tag(asked) != served]


def choose(directions: Sequence[Direction], target: str | None, source: str | None) -> Direction:
    """The one of a model's directions that is meant; where only one fits, nothing need be said.

    Another region of a language serves where the very one is not there, another script never. Raises ModelError.
    """
    known = ", ".join(str(direction) for direction in directions)
    origins = [d for d in directions if source is None or same_writing(d.source, source)]
    if source is not None:
        origins = [d for d in origins if d.source == tag(source)] or origins
    if target is None:
        if len({d.target for d in origins}) != 1:
            names = ", ".join(sorted({d.target for d in directions}))
            raise ModelError(f"say into which language, with --to: the model knows {names}.")
        target = origins[0].target
    fitting = [d for d in origins if same_writing(d.target, target)]
    fitting = [d for d in fitting if d.target == tag(target)] or fitting
    if len(fitting) == 1 or (fitting and source is not None):
        return fitting[0]
    if fitting:
        raise ModelError(f"several directions lead to {target}; say from which language. Trained: {known}.")
    raise ModelError(f"the model was not made for {source or 'any language'} to {target}. Trained: {known}.")

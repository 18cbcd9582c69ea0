"""Inflection of English, French and German words: the regular rules, and the irregular verbs as literal tables.

Forms that a rule does not give are written out in the lexicon. Sources: the rules of the usual school grammars
(Bescherelle for the French conjugations, Duden 4 for German).
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from dragoman.demo.irregular import ENGLISH, FRENCH, GERMAN, words

_VOWELS = "aeiou"
_START = re.compile(r"(?<=[.?!] )[a-zà-ÿœ]")


def capitals(text: str) -> str:
    """Capital letters at the start and after the end of each sentence."""
    text = text[0].upper() + text[1:]
    return _START.sub(lambda found: found[0].upper(), text) if ". " in text or "? " in text or "! " in text else text


# ---------------------------------------------------------------- English


class EnglishVerb(NamedTuple):
    base: str
    third: str
    past: str
    participle: str
    ing: str


def english_plural(word: str) -> str:
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + "s"


@cache
def english_verb(base: str) -> EnglishVerb:
    past, participle, ing, third = ENGLISH.get(base, ("", "", "", ""))
    return EnglishVerb(
        base, third or english_plural(base), past or _ed(base), participle or past or _ed(base), ing or _ing(base)
    )


def _ed(base: str) -> str:
    if base.endswith("e"):
        return base + "d"
    return base[:-1] + "ied" if re.search(r"[^aeiou]y$", base) else base + "ed"


def _ing(base: str) -> str:
    return base[:-1] + "ing" if re.search(r"[^eoy]e$", base) else base + "ing"


def indefinite(following: str) -> str:
    """`a` or `an` before a word, by its sound."""
    vowel = following[0].lower() in _VOWELS and not re.match(r"(uni|use|usu|eu|one\b)", following.lower())
    return "an" if vowel or re.match(r"(hour|honest|X-ray|MRI)", following) else "a"


# ---------------------------------------------------------------- French

# Words with an aspirate h (and a few vowels that behave like one): no elision, no liaison.
ASPIRATE = (
    "hache|hachis|haie|hall|hamac|hamster|hanche|hanches|handball|hangar|haricot|haricots|harpe|hasard|haut|haute"
    "|hauts|hautes|hauteur|héros|hibou|hockey|homard|honte|hors|huit|huitième|hublot|onze|onzième|oui|ouistiti|yaourt"
    "|yaourts|yoga|yacht"
)
_MUTE = re.compile(rf"(?!(?:{ASPIRATE})\b)[aeiouyâàæéèêëîïôöœûùAEIOUÂÀÆÉÈÊËÎÏÔÖŒÛÙhH]")


@cache
def begins_with_vowel(text: str) -> bool:
    """Whether a French word asks for elision before it: l'ami, l'hôtel, but le haricot."""
    return _MUTE.match(text) is not None


class FrenchVerb(NamedTuple):
    infinitive: str
    present: tuple[str, ...]  # je, tu, il, nous, vous, ils
    imperfect: tuple[str, ...]
    future: tuple[str, ...]
    participle: str
    etre: bool
    imperative: tuple[str, str]  # tu, vous


def french_plural(word: str) -> str:
    if word[-1] in "sxz":
        return word
    if word.endswith(("eau", "eu")):
        return word + "x"
    return word[:-2] + "aux" if word.endswith("al") else word + "s"


def french_adjective(cell: str) -> tuple[str, ...]:
    """`vert`, `beau/belle`, `vieux/vieille/vieux/vieilles/vieil` -> m sg, f sg, m pl, f pl, m sg before a vowel."""
    parts = cell.split("/")
    masculine = parts[0]
    feminine = parts[1] if len(parts) > 1 else _french_feminine(masculine)
    plural = parts[2] if len(parts) > 2 else french_plural(masculine)
    feminine_plural = parts[3] if len(parts) > 3 else french_plural(feminine)
    return masculine, feminine, plural, feminine_plural, parts[4] if len(parts) > 4 else masculine


def _french_feminine(word: str) -> str:
    if word.endswith("e"):
        return word
    for ending, other in (("eux", "euse"), ("if", "ive"), ("er", "ère"), ("el", "elle"), ("en", "enne")):
        if word.endswith(ending):
            return word.removesuffix(ending) + other
    return word + "e"


_IMPERFECT = ("ais", "ais", "ait", "ions", "iez", "aient")
_FUTURE = ("ai", "as", "a", "ons", "ez", "ont")


@cache
def french_verb(infinitive: str) -> FrenchVerb:
    """Conjugate a verb: -er with its spelling changes, -ir like finir, -re like vendre, or from the table."""
    if infinitive in FRENCH:
        present_text, participle, stem, etre = FRENCH[infinitive]
        present = tuple(present_text.split())
    elif infinitive.endswith("er"):
        present, participle, stem = _er(infinitive)
        etre = infinitive in {"arriver", "entrer", "rentrer", "rester", "tomber", "monter"}
    elif infinitive.endswith("ir"):
        root = infinitive[:-2]
        present = tuple(root + e for e in ("is", "is", "it", "issons", "issez", "issent"))
        participle, stem, etre = root + "i", infinitive, False
    elif infinitive.endswith("re"):
        root = infinitive[:-2]
        present = tuple(root + e for e in ("s", "s", "", "ons", "ez", "ent"))
        participle, stem, etre = root + "u", infinitive[:-1], False
    else:
        raise ValueError(f"morphology: no conjugation for the French verb '{infinitive}'")
    root = "ét" if infinitive == "être" else present[3].removesuffix("ons")
    imperfect = tuple(_soften(root, e) + e for e in _IMPERFECT)
    future = tuple(stem + e for e in _FUTURE)
    return FrenchVerb(infinitive, present, imperfect, future, participle, etre, _imperative(infinitive, present))


def _imperative(infinitive: str, present: tuple[str, ...]) -> tuple[str, str]:
    special = {"être": ("sois", "soyez"), "avoir": ("aie", "ayez"), "savoir": ("sache", "sachez")}
    if infinitive in special:
        return special[infinitive]
    familiar = present[1].removesuffix("s") if re.search(r"[ae]s$", present[1]) else present[1]
    return familiar, present[4]


def _soften(root: str, ending: str) -> str:
    """nous mangeons -> il mangeait but nous mangions; nous commençons -> nous commencions."""
    if ending[0] == "i" and root.endswith("ge"):
        return root[:-1]
    return root[:-1] + "c" if ending[0] == "i" and root.endswith("ç") else root


def _er(infinitive: str) -> tuple[tuple[str, ...], str, str]:
    root = infinitive[:-2]
    strong, stem = root, infinitive
    if match := re.search(r"(.*)[eé](t|n|v|l|s|r|gr|ch)$", root):
        if root.endswith(("appel", "jet")):
            strong = root + root[-1]
            stem = strong + "er"
        else:
            strong = f"{match[1]}è{match[2]}"
            stem = strong + "er" if root[len(match[1])] == "e" else infinitive
    elif re.search(r"[aou]y$", root):
        strong = root[:-1] + "i"
        stem = strong + "er"
    plural = root + "e" if root.endswith("g") else root[:-1] + "ç" if root.endswith("c") else root
    present = (strong + "e", strong + "es", strong + "e", plural + "ons", root + "ez", strong + "ent")
    return present, root + "é", "enverr" if infinitive == "envoyer" else stem


# ---------------------------------------------------------------- German


class GermanVerb(NamedTuple):
    infinitive: str  # with its prefix: anrufen
    present: tuple[str, ...]  # ich, du, er, wir, ihr, sie; without the prefix
    past: tuple[str, ...]  # empty where the grammar uses the perfect
    participle: str
    sein: bool
    prefix: str  # separable prefix, or ""
    imperative: str  # du


def german_adjective(base: str, comparative: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(stem for endings, predicative form), (comparative,): teuer -> teur-, hoch -> hoh-, müde -> müd-."""
    if base == "hoch":
        stem = "hoh"
    elif base.endswith("e"):
        stem = base[:-1]
    elif re.search(r"([aeiouäöü]u|u)er$", base) or base in {"dunkel", "eitel", "flexibel"}:
        stem = base[:-2] + base[-1]
    else:
        stem = base
    return (stem, base), (comparative or stem + "er",)


_INSEPARABLE = re.compile(r"(be|ge|er|ent|emp|ver|zer|miss|unter(?=such)|über(?=(wach|setz|prüf|weis|nacht)))")


@cache
def german_verb(written: str) -> GermanVerb:
    """`an|rufen`, `besuchen`: strong verbs from the table, weak ones by rule."""
    prefix, _, base = written.rpartition("|")
    stem = base[:-2] if base.endswith("en") else base[:-1]
    light = base.endswith(("eln", "ern"))
    inserted = "e" if re.search(r"([td]|[^aeiouäöührlmn][mn]|chn)$", stem) else ""
    third, participle, sein = GERMAN.get(base, ("", "", False))
    first = stem[:-2] + stem[-1] + "e" if base.endswith("eln") else stem + "e"
    if third:
        root = third.removesuffix("t")
        second = root + ("t" if root[-1] in "sßzx" else "st") if root != stem else stem + _second(stem, inserted)
    else:
        third, second = stem + inserted + "t", stem + inserted + _second(stem, "")
        participle = f"{'' if _INSEPARABLE.match(base) or base.endswith('ieren') else 'ge'}{stem}{inserted}t"
    plural = (base, stem + inserted + "t", base)
    present: tuple[str, ...] = (first, second, third, *plural)
    past: tuple[str, ...] = ()
    imperative = _german_imperative(stem, third, inserted, light)
    if written in _FULL:
        present, past, imperative = _FULL[written]
    if base in _SEIN_WITH.get(prefix, ()):
        sein = True
    return GermanVerb(prefix + base, present, past, prefix + participle, sein, prefix, imperative)


def _second(stem: str, inserted: str) -> str:
    return inserted + ("t" if stem[-1] in "sßzx" and not inserted else "st")


def _german_imperative(stem: str, third: str, inserted: str, light: bool) -> str:
    root = third.removesuffix("t")
    changed = root != stem and re.sub(r"ie?", "e", root)[:2] == re.sub(r"ie?", "e", stem)[:2] and "i" in root
    if changed:
        return root
    return stem + ("e" if inserted or light or stem.endswith(("ier", "ig", "nk")) else "")


# Verbs whose simple past German prefers to the perfect, and other wholly irregular ones.
_FULL: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "sein": (tuple(words("bin bist ist sind seid sind")), tuple(words("war warst war waren wart waren")), "sei"),
    "haben": (
        tuple(words("habe hast hat haben habt haben")),
        tuple(words("hatte hattest hatte hatten hattet hatten")),
        "hab",
    ),
    "werden": (
        tuple(words("werde wirst wird werden werdet werden")),
        tuple(words("wurde wurdest wurde wurden wurdet wurden")),
        "werde",
    ),
    "können": (
        tuple(words("kann kannst kann können könnt können")),
        tuple(words("konnte konntest konnte konnten konntet konnten")),
        "",
    ),
    "müssen": (
        tuple(words("muss musst muss müssen müsst müssen")),
        tuple(words("musste musstest musste mussten musstet mussten")),
        "",
    ),
    "wollen": (
        tuple(words("will willst will wollen wollt wollen")),
        tuple(words("wollte wolltest wollte wollten wolltet wollten")),
        "",
    ),
    "dürfen": (
        tuple(words("darf darfst darf dürfen dürft dürfen")),
        tuple(words("durfte durftest durfte durften durftet durften")),
        "",
    ),
    "mögen": (
        tuple(words("mag magst mag mögen mögt mögen")),
        tuple(words("mochte mochtest mochte mochten mochtet mochten")),
        "",
    ),
    "wissen": (tuple(words("weiß weißt weiß wissen wisst wissen")), (), "wisse"),
}
_SEIN_WITH = {"auf": ("stehen", "wachen"), "ein": ("schlafen",), "um": ("ziehen",), "ab": ("reisen",)}

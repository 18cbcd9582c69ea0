"""TMX 1.1 to 1.4: the variant of the target language in each translation unit, replaced or added.

Source: TMX 1.4b (www.gala-global.org/tmx-14b). A unit is a `tu` that has a variant in the source language.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dragoman.core.markup.inline import Inline
from dragoman.core.text.languages import same_language, tag
from dragoman.errors import DataError
from dragoman.store.formats.documents.model import TOO_LONG, Edit, Marking, Problem, Translated, Unit, unique
from dragoman.store.formats.documents.xml_text import Codes, Element, Style, indent, quote, read_xml
from dragoman.store.formats.xml import MAX_VARIANTS

CODES = Codes(content=frozenset({"hi"}), begin={"bpt": ("i",)}, end={"ept": ("i",)}, flow="sub")
_CONFIDENCE = "x-dragoman-confidence"
_FLAGS = "x-dragoman-flags"
_MATCH, _MATCH_SOURCE, _MATCH_TARGET = "x-dragoman-match", "x-dragoman-match-source", "x-dragoman-match-target"


@dataclass(frozen=True, slots=True)
class _Slot:
    unit: Unit
    tu: Element
    source: Element  # tuv
    target: Element | None  # tuv
    ours: Element | None = None  # its <seg>


class Tmx:
    """One TMX file, seen in one direction. Raises DataError when it is not one or the direction stays open.

    `source`, `target`: language tags; by default the header's `srclang`, and the one other language of the file.
    """

    def __init__(self, data: bytes, name: str, source: str = "", target: str = "") -> None:
        self.decoded, self.root = read_xml(data, name, "tmx", ("tu",))
        self.text = self.decoded.text
        self.newline = "\r\n" if "\r\n" in self.text[:5000] else "\n"
        self.problems: list[Problem] = []
        body, header = self.root.child("body"), self.root.child("header")
        self._tus = body.all("tu") if body is not None else []
        self.source_language = source or self._source_of(header)
        self.target_language = target or self._target_of()
        found = [slot for number, tu in enumerate(self._tus) if (slot := self._slot(tu, number + 1)) is not None]
        names = list(unique(slot.unit.id for slot in found))
        self._by_id: dict[str, _Slot] = {}
        for number, (slot, own) in enumerate(zip(found, names, strict=True)):
            unit = slot.unit
            previous = names[number - 1] if number else ""
            unit = Unit(own, unit.source, unit.target, True, unit.state, unit.notes, "", previous, unit.line, None)
            self._by_id[own] = _Slot(unit, slot.tu, slot.source, slot.target, slot.ours)
        self.units = tuple(slot.unit for slot in self._by_id.values())

    def _variants(self) -> Iterator[Element]:
        """Those of all units, but for units that have too many."""
        for tu in self._tus:
            variants = tu.all("tuv")
            yield from variants if len(variants) <= MAX_VARIANTS else ()

    def _source_of(self, header: Element | None) -> str:
        named = header.attributes.get("srclang", "") if header is not None else ""
        if named and named != "*all*":
            return named
        first = next((_language(tuv) for tuv in self._variants()), "")
        if not first and self._tus:
            raise DataError(f"{self.decoded.name}: names no source language. Give the direction, such as en-fr.")
        return first

    def _target_of(self) -> str:
        known = {_language(tuv).lower(): _language(tuv) for tuv in self._variants()}
        others = {name: tag for name, tag in known.items() if tag and not _matches(tag, self.source_language)}
        if not others:  # regional variants of one language
            others = {name: tag for name, tag in known.items() if tag and name != self.source_language.lower()}
        if len(others) > 1:
            names = ", ".join(sorted(others.values()))
            raise DataError(f"{self.decoded.name}: holds several target languages ({names}). Give the direction.")
        return next(iter(others.values()), "")

    def _slot(self, tu: Element, number: int) -> _Slot | None:
        name = tu.attributes.get("tuid") or f"tu{number}"
        line = self.decoded.line(tu.start)
        variants = tu.all("tuv")
        if len(variants) > MAX_VARIANTS:
            self.problems.append(Problem(name, line, f"has more than {MAX_VARIANTS:,} variants"))
            return None
        source = _variant(variants, self.source_language)
        target = _variant([tuv for tuv in variants if tuv is not source], self.target_language)
        seg = source.child("seg") if source is not None else None
        if source is None or seg is None:
            self.problems.append(Problem(name, line, f"has no text in {self.source_language}"))
            return None
        ours = target.child("seg") if target is not None else None
        if seg.too_long or (ours is not None and ours.too_long):
            self.problems.append(Problem(name, line, TOO_LONG))
            return None
        known = CODES.read(self.text, ours) if ours is not None else None
        unit = Unit(
            name,
            CODES.read(self.text, seg),
            known,
            state="translated" if known is not None and known.text.strip() else "untranslated",
            notes=tuple(self.text[note.inner : note.inner_end] for note in tu.all("note")),
            line=line,
        )
        return _Slot(unit, tu, source, target, ours)

    def edits(self, targets: Mapping[str, Translated], marking: Marking) -> Iterator[Edit]:
        """The changes of the text. A target that is what stands there already changes nothing."""
        if targets and not self.target_language:
            raise DataError(f"{self.decoded.name}: names no target language. Give the direction, such as en-fr.")
        for name, translated in targets.items():
            slot = self._by_id.get(name)
            if slot is None:
                raise DataError(f"{self.decoded.name}: has no unit '{name}'")
            text = slot.unit.source.read(translated.text) if isinstance(translated.text, str) else translated.text
            if text == slot.unit.target:
                continue
            seg = slot.source.child("seg")
            raw = self.text[seg.inner : seg.inner_end] if seg is not None else ""
            content = raw if text == slot.unit.source else Style.of(raw, self.newline).write(text)
            properties = _properties(translated, marking)
            if slot.target is None or slot.ours is None:
                yield self._added(slot, content, properties)
            else:
                yield from self._replaced(slot.target, slot.ours, content, properties)

    def _added(self, slot: _Slot, content: str, properties: Mapping[str, str]) -> Edit:
        attribute = (
            "lang" if "lang" in slot.source.attributes and "xml:lang" not in slot.source.attributes else "xml:lang"
        )
        prefix = slot.source.prefix
        seg = slot.source.child("seg")
        inner = indent(self.text, seg.start) if seg is not None else ""
        outer = indent(self.text, slot.source.start)
        props = "".join(
            f"{inner}<{prefix}prop type={quote(name)}>{value}</{prefix}prop>" for name, value in properties.items()
        )
        close = outer if inner else ""
        text = (
            f"{outer}<{prefix}tuv {attribute}={quote(self.target_language)}>{props}"
            f"{inner}<{prefix}seg>{content}</{prefix}seg>{close}</{prefix}tuv>"
        )
        if slot.target is not None:  # a variant without <seg>
            return Edit(slot.target.start, slot.target.end, text.lstrip())
        return Edit(slot.source.end, slot.source.end, text)

    def _replaced(self, target: Element, seg: Element, content: str, properties: Mapping[str, str]) -> Iterator[Edit]:
        old = {one.attributes.get("type"): one for one in target.all("prop")}
        for name, value in properties.items():
            text = f"<{seg.prefix}prop type={quote(name)}>{value}</{seg.prefix}prop>"
            if name in old:
                yield Edit(old[name].start, old[name].end, text)
            else:
                yield Edit(seg.start, seg.start, text + indent(self.text, seg.start))
        if seg.empty:
            start = self.text[seg.start : seg.end - 2].rstrip()
            yield Edit(seg.start, seg.end, f"{start}>{content}</{seg.name}>")
        else:
            yield Edit(seg.inner, seg.inner_end, content)


def _properties(translated: Translated, marking: Marking) -> dict[str, str]:
    facts = {}
    if marking.quality and translated.score is not None:
        facts[_CONFIDENCE] = f"{translated.score:.3f}"
    if marking.quality and (similar := translated.similar) is not None:
        source, target = (Style().write(Inline.of([text])) for text in (similar.source, similar.target))
        facts |= {_MATCH: str(min(similar.match, 100)), _MATCH_SOURCE: source, _MATCH_TARGET: target}
    if marking.review and translated.flags:
        facts[_FLAGS] = " ".join(flag.replace("<", " ").replace("&", " ") for flag in translated.flags)
    return facts


def _language(tuv: Element) -> str:
    return tuv.attributes.get("xml:lang") or tuv.attributes.get("lang") or ""


def _matches(left: str, right: str) -> bool:
    try:
        return same_language(left, right)
    except DataError:
        return left.lower() == right.lower()


def _variant(variants: list[Element], language: str) -> Element | None:
    """The variant in a language: the one of the very tag first, else one of the same language without another region;
    of several one that holds something."""

    def canonical(text: str) -> str:
        try:
            return tag(text)
        except DataError:
            return text.lower()

    if not language:
        return None
    wanted = canonical(language)
    same = [tuv for tuv in variants if _language(tuv) and _matches(_language(tuv), language)]
    fitting = [tuv for tuv in same if canonical(_language(tuv)) == wanted] or [
        tuv for tuv in same if "-" not in wanted or "-" not in canonical(_language(tuv))
    ]
    filled = (tuv for tuv in fitting if (seg := tuv.child("seg")) is not None and seg.inner_end > seg.inner)
    return next(filled, fitting[0] if fitting else None)

"""The targets of an XLIFF file as changes of its text: content, state, confidence, doubts.

Sources: those of `xliff`, and the matches module of XLIFF 2 (docs.oasis-open.org/xliff/xliff-core/v2.1, 5.1).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dragoman.core.markup.inline import Inline
from dragoman.errors import DataError
from dragoman.store.formats.documents.model import Decoded, Edit, Marking, Similar, Translated, Unit
from dragoman.store.formats.documents.xml_text import Element, Style, indent, quote, with_attributes

_DECLARED = 'xmlns:mtc="urn:oasis:names:tc:xliff:matches:2.0"'
_TOOL = "dragoman"
_MEMORY = "dragoman-memory"  # origin of what the memory had


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a unit's target goes."""

    unit: Unit
    file: Element  # the element that names the target language
    holder: Element  # trans-unit or segment
    parent: Element  # trans-unit or unit
    source: Element
    target: Element | None
    part: str = ""  # `mid` of a segment in `seg-source`
    slot: Element | None = None  # the target's `mrk` of that segment


@dataclass(frozen=True, slots=True)
class _Known:
    """What stands in a `<unit>` of version 2, looked for once: it may have thousands of segments."""

    matches: Element | None
    earlier: Mapping[tuple[str | None, str | None], Element]  # its matches by origin and ref
    names: Mapping[int, str]  # new identifiers of the segments without one, by `id()` of these

    @classmethod
    def of(cls, unit: Element) -> _Known:
        matches = unit.child("matches")
        children = matches.children if matches is not None else ()
        earlier = {(one.attributes.get("origin"), one.attributes.get("ref")): one for one in children}
        return cls(matches, earlier, _own_ids(unit))


@dataclass(frozen=True, slots=True)
class Targets:
    """Writes targets into one file. `slots`: by the units' ids; `second`: it is of version 2."""

    decoded: Decoded
    slots: Mapping[str, Slot]
    second: bool
    newline: str
    target_language: str
    units: dict[int, _Known] = field(default_factory=dict)  # of version 2, by `id()` of the element

    def edits(self, targets: Mapping[str, Translated], marking: Marking) -> Iterator[Edit]:
        """The changes of the text. A target that is what stands there already changes nothing."""
        changed: dict[int, list[tuple[Slot, Translated, str]]] = {}
        for name, translated in targets.items():
            slot = self.slots.get(name)
            if slot is None:
                raise DataError(f"{self.decoded.name}: has no unit '{name}'")
            text = slot.unit.source.read(translated.text) if isinstance(translated.text, str) else translated.text
            if slot.unit.target is not None and text == slot.unit.target:
                continue
            changed.setdefault(id(slot.holder), []).append((slot, translated, self._content(slot, text)))
        matches: dict[int, list[str]] = {}
        for parts in changed.values():
            slot, translated, content = parts[0]
            score = min((one.score for _, one, _ in parts if one.score is not None), default=None)
            yield from self._target_edits(parts, marking, score if marking.quality else None)
            if self.second:
                yield from self._segment_edits(slot, translated, marking)
                if marking.quality:
                    yield from self._match_edits(slot, self._matches(slot, translated, content), matches)
        for parts in changed.values():
            unit = parts[0][0].parent
            if new := matches.pop(id(unit), None):
                lead = indent(self.decoded.text, unit.children[0].start)
                added = f"{lead}<mtc:matches {_DECLARED}>{''.join(new).replace(f' {_DECLARED}', '')}</mtc:matches>"
                yield Edit(unit.inner, unit.inner, added)
        if changed:
            yield from self._language({id(slot.file): slot.file for parts in changed.values() for slot, _, _ in parts})

    def _content(self, slot: Slot, text: Inline) -> str:
        raw = self.decoded.text[slot.source.inner : slot.source.inner_end]
        return raw if text == slot.unit.source else Style.of(raw, self.newline).write(text)

    def _target_edits(
        self, parts: list[tuple[Slot, Translated, str]], marking: Marking, score: float | None
    ) -> Iterator[Edit]:
        """The target of one trans-unit or segment; 1.x: with its states, confidence and doubts."""
        slot = parts[0][0]
        states = _states([one for _, one, _ in parts]) if marking.review and not self.second else {}
        target = slot.target
        content = self._joined(slot, parts) if slot.part else parts[0][2]
        after = target.end if target is not None else slot.source.end
        if target is None:
            after, edit = self._inserted(slot, states, content)
            yield edit
        elif slot.part and all(one.slot is not None for one, _, _ in parts):
            for one, _, part in parts:
                yield from self._filled(one.slot, {}, part) if one.slot else ()
            yield from self._attributes(target, states)
        else:
            yield from self._filled(target, states, content)
        if self.second:
            return
        if states and slot.parent.attributes.get("approved") == "yes":  # a person approved another target
            yield from self._attributes(slot.parent, {"approved": "no"})
        source = slot.holder.child("source") or slot.source
        prefix = source.prefix
        if score is not None:
            start = with_attributes(
                f"<{prefix}alt-trans>", {"match-quality": f"{round(100 * score)}%", "origin": _TOOL}
            )
            new = f"{start}<{prefix}target>{content}</{prefix}target></{prefix}alt-trans>"
            yield self._own(
                slot.parent, "alt-trans", {"origin": _TOOL}, after, indent(self.decoded.text, source.start) + new
            )
        for one, translated, _ in parts if marking.quality else ():
            if translated.similar is not None:
                facts = {"origin": _MEMORY, **({"mid": one.part} if one.part else {})}
                start = with_attributes(
                    f"<{prefix}alt-trans>", {"match-quality": f"{min(translated.similar.match, 100)}%", **facts}
                )
                new = f"{start}{_pair(translated.similar, prefix)}</{prefix}alt-trans>"
                yield self._own(slot.parent, "alt-trans", facts, after, indent(self.decoded.text, source.start) + new)
        flags = sorted({flag for _, one, _ in parts for flag in one.flags})
        if flags and marking.review:
            start = with_attributes(f"<{prefix}note>", {"from": _TOOL})
            new = f"{start}{Style().write(Inline.of([', '.join(flags)]))}</{prefix}note>"
            yield self._own(slot.parent, "note", {"from": _TOOL}, after, indent(self.decoded.text, source.start) + new)

    def _own(self, unit: Element, local: str, facts: Mapping[str, str], after: int, text: str) -> Edit:
        """Write an element of ours: in place of an earlier one, which has these attributes, or at `after`."""
        for old in unit.all(local):
            if facts.items() <= old.attributes.items():
                return Edit(old.start, old.end, text.lstrip())
        return Edit(after, after, text)

    def _filled(self, target: Element, states: Mapping[str, str], content: str) -> Iterator[Edit]:
        """The content of an existing target (or part of one) and its states."""
        if target.empty:
            start = with_attributes(self.decoded.text[target.start : target.end], states)
            yield Edit(target.start, target.end, f"{start[:-2].rstrip()}>{content}</{target.name}>")
            return
        yield from self._attributes(target, states) if states else ()
        yield Edit(target.inner, target.inner_end, content)

    def _attributes(self, element: Element, wanted: Mapping[str, str]) -> Iterator[Edit]:
        before = self.decoded.text[element.start : element.inner]
        after = with_attributes(before, wanted)
        if after != before:
            yield Edit(element.start, element.inner, after)

    def _inserted(self, slot: Slot, states: Mapping[str, str], content: str) -> tuple[int, Edit]:
        """A new `<target>` behind the source (and behind 1.x's seg-source), indented like it."""
        source = slot.holder.child("seg-source") or slot.holder.child("source") or slot.source
        facts = dict(states)
        if "xml:lang" in source.attributes:
            language = self._target_language(slot.file)
            facts = {"xml:lang": language, **facts} if language else facts
        start = with_attributes(f"<{source.prefix}target>", facts)
        text = f"{indent(self.decoded.text, source.start)}{start}{content}</{source.prefix}target>"
        return source.end, Edit(source.end, source.end, text)

    def _joined(self, slot: Slot, parts: list[tuple[Slot, Translated, str]]) -> str:
        """A new target with the segments of `seg-source`; a segment without translation stays empty."""
        frame = slot.parent.child("seg-source")
        if frame is None:
            raise DataError(f"{self.decoded.name}: unit '{slot.unit.id}' has lost its <seg-source>")
        contents = {one.part: content for one, _, content in parts}
        pieces = []
        position = frame.inner
        for part in segments_of(frame):
            mid = part.attributes.get("mid", "")
            known = self.slots.get(f"{slot.unit.id.rsplit('/', 1)[0]}/{mid}")
            old = self.decoded.text[known.slot.inner : known.slot.inner_end] if known and known.slot else ""
            pieces += [self.decoded.text[position : part.inner], contents.get(mid, old)]
            position = part.inner_end
        return "".join(pieces) + self.decoded.text[position : frame.inner_end]

    def _segment_edits(self, slot: Slot, translated: Translated, marking: Marking) -> Iterator[Edit]:
        """2.x: state and subState on `<segment>`, and an identifier where the match needs one."""
        facts = {}
        if marking.review:
            maker = "machine" if translated.memory is None else "memory"
            facts = {"state": "translated"}
            if not translated.verbatim:
                facts["subState"] = f"{_TOOL}:{'doubtful' if translated.flags else maker}"
        told = translated.score is not None or translated.similar is not None
        if told and marking.quality and not slot.holder.attributes.get("id"):
            facts["id"] = self._id_of(slot)
        yield from self._attributes(slot.holder, facts)

    def _matches(self, slot: Slot, translated: Translated, content: str) -> Iterator[tuple[str, str]]:
        """2.x: the confidence and what the memory had, as (origin, `<mtc:match>`)."""
        prefix = slot.source.prefix
        head = f'<mtc:match {_DECLARED} ref="#{self._id_of(slot)}"'
        if translated.score is not None:
            raw = self.decoded.text[slot.source.inner : slot.source.inner_end]
            kind = "mt" if translated.memory is None else "icm" if translated.memory > 100 else "tm"
            yield (
                _TOOL,
                (
                    f'{head} type="{kind}" origin={quote(_TOOL)} matchQuality="{100 * translated.score:.1f}">'
                    f"<{prefix}source>{raw}</{prefix}source><{prefix}target>{content}</{prefix}target></mtc:match>"
                ),
            )
        if (similar := translated.similar) is not None:
            facts = f'type="tm" origin={quote(_MEMORY)} similarity="{min(similar.match, 100):.1f}"'
            yield _MEMORY, f"{head} {facts}>{_pair(similar, prefix)}</mtc:match>"

    def _match_edits(self, slot: Slot, made: Iterable[tuple[str, str]], new: dict[int, list[str]]) -> Iterator[Edit]:
        """2.x: matches in place of earlier ones of ours; those of units without `<mtc:matches>` are added to `new`."""
        ref = f"#{self._id_of(slot)}"
        known = self._known(slot.parent)
        matches = known.matches
        fresh = []
        for origin, match in made:
            if old := known.earlier.get((origin, ref)):
                yield Edit(old.start, old.end, match)
            else:
                fresh.append(match)
        if matches is None:
            new.setdefault(id(slot.parent), []).extend(fresh)
        elif fresh and matches.empty:
            start = self.decoded.text[matches.start : matches.end - 2].rstrip()
            yield Edit(matches.start, matches.end, f"{start}>{''.join(fresh)}</{matches.name}>")
        elif fresh:
            yield Edit(matches.inner_end, matches.inner_end, "".join(fresh))

    def _id_of(self, slot: Slot) -> str:
        """2.x: the identifier of a segment, or the one that it is given."""
        return slot.holder.attributes.get("id") or self._known(slot.parent).names[id(slot.holder)]

    def _known(self, unit: Element) -> _Known:
        if id(unit) not in self.units:
            self.units[id(unit)] = _Known.of(unit)
        return self.units[id(unit)]

    def _target_language(self, file: Element) -> str:
        return file.attributes.get("trgLang" if self.second else "target-language", "") or self.target_language

    def _language(self, files: Mapping[int, Element]) -> Iterator[Edit]:
        """The target language of files that name none."""
        name = "trgLang" if self.second else "target-language"
        for file in files.values():
            if name not in file.attributes and self.target_language:
                yield from self._attributes(file, {name: self.target_language})


def segments_of(element: Element | None) -> list[Element]:
    """The `mrk mtype="seg"` elements, outermost first."""
    if element is None:
        return []
    found = []
    for child in element.children:
        if child.local == "mrk" and child.attributes.get("mtype") == "seg":
            found.append(child)
        else:
            found += segments_of(child)
    return found


def _pair(similar: Similar, prefix: str) -> str:
    source, target = (Style().write(Inline.of([text])) for text in (similar.source, similar.target))
    return f"<{prefix}source>{source}</{prefix}source><{prefix}target>{target}</{prefix}target>"


def _states(parts: Sequence[Translated]) -> dict[str, str]:
    """The states of 1.x: a machine's target asks for a review, what the memory had for the very text does not, unless
    something speaks against it, and a text without words (`---`) is the same in every language."""
    if all(one.verbatim for one in parts):
        return {"state": "translated"}
    if all(one.memory is not None or one.verbatim for one in parts):
        doubtful = any(one.flags for one in parts)
        return {
            "state": "needs-review-translation" if doubtful else "translated",
            "state-qualifier": "exact-match",
        }
    return {"state": "needs-review-translation", "state-qualifier": "mt-suggestion"}


def _own_ids(unit: Element) -> dict[int, str]:
    """An identifier for each segment without one, which nothing else in the unit has."""
    taken = set()
    waiting = [unit]
    while waiting:
        element = waiting.pop()
        taken.add(element.attributes.get("id"))
        waiting += element.children
    nameless = [id(one) for one in unit.all("segment") if not one.attributes.get("id")]
    free = (name for number in itertools.count(1) if (name := f"s{number}") not in taken)
    return dict(zip(nameless, free, strict=False))

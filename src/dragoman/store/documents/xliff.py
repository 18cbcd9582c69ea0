"""XLIFF 1.x and 2.x: units, inline codes, and targets written back with their state.

Sources: XLIFF 1.2 (docs.oasis-open.org/xliff/v1.2/os/xliff-core.html) and 2.1/2.2 (docs.oasis-open.org/xliff/xliff-core).
In 1.x a unit is a `trans-unit`, or each `mrk mtype="seg"` of its `seg-source`; in 2.x each `segment`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dragoman.core.inline import Inline
from dragoman.core.languages import same_language
from dragoman.errors import DataError
from dragoman.store.documents.model import Edit, Marking, Problem, State, Translated, Unit, unique
from dragoman.store.documents.xml_text import Codes, Element, Style, indent, quote, read_xml, with_attributes

CODES_1 = Codes(
    content=frozenset({"g", "mrk"}),
    begin={"bpt": ("rid", "id"), "bx": ("rid", "id")},
    end={"ept": ("rid", "id"), "ex": ("rid", "id")},
    flow="sub",
)
CODES_2 = Codes(
    content=frozenset({"pc", "mrk"}),
    begin={"sc": ("id",), "sm": ("id",)},
    end={"ec": ("startRef", "id"), "em": ("startRef",)},
)
_NOT_YET = frozenset({"new", "needs-translation", "initial"})  # states in which a target is no translation
_DOUBTFUL = frozenset(
    {"needs-l10n", "needs-adaptation", "needs-review-translation", "needs-review-l10n", "needs-review-adaptation"}
)
_DECLARED = 'xmlns:mtc="urn:oasis:names:tc:xliff:matches:2.0"'
_TOOL = "dragoman"


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where a unit's target goes."""

    unit: Unit
    file: Element  # the element that names the target language
    holder: Element  # trans-unit or segment
    parent: Element  # trans-unit or unit
    source: Element
    target: Element | None
    part: str = ""  # `mid` of a segment in `seg-source`
    slot: Element | None = None  # the target's `mrk` of that segment


class Xliff:
    """One XLIFF file. Raises DataError when it is not one."""

    def __init__(self, data: bytes, name: str) -> None:
        self.decoded, self.root = read_xml(data, name, "xliff", ("trans-unit", "unit"))
        self.text = self.decoded.text
        self.second = (
            self.root.attributes.get("version", "").startswith("2") or ":xliff:document:2." in self.text[:5000]
        )
        self.codes = CODES_2 if self.second else CODES_1
        self.newline = "\r\n" if "\r\n" in self.text[:5000] else "\n"
        self.problems: tuple[Problem, ...] = ()
        files = self.root.all("file")
        head = self.root if self.second else (files[0] if files else self.root)
        self.source_language = head.attributes.get("srcLang" if self.second else "source-language", "")
        self.target_language = head.attributes.get("trgLang" if self.second else "target-language", "")
        found = []
        for number, file in enumerate(files):
            found += list((self._units_2 if self.second else self._units_1)(file, file, f"f{number + 1}", True, False))
        self.slots = _chained(found)
        self.units = tuple(slot.unit for slot in self.slots)
        self._by_id = {slot.unit.id: slot for slot in self.slots}

    # ------------------------------------------------------------ reading

    def _broken(self, place: Element, name: str, reason: str) -> None:
        self.problems += (Problem(name, self.decoded.line(place.start), reason),)

    def _units_1(self, file: Element, here: Element, path: str, translate: bool, preserve: bool) -> Iterator[_Slot]:
        for child in here.children:
            wanted = _inherited(child, "translate", translate, "yes")
            spaces = _inherited(child, "xml:space", preserve, "preserve")
            if child.local in ("body", "group"):
                yield from self._units_1(file, child, path, wanted, spaces)
            elif child.local == "trans-unit":
                yield from self._trans_unit(file, child, path, wanted, spaces)

    def _trans_unit(self, file: Element, unit: Element, path: str, translate: bool, preserve: bool) -> Iterator[_Slot]:
        name = f"{path}/{unit.attributes.get('id') or unit.attributes.get('resname') or 'unit'}"
        source, target = unit.child("source"), unit.child("target")
        if source is None:
            self._broken(unit, name, "has no <source>")
            return
        if len(unit.all("target")) > 1:
            self._broken(unit, name, "has more than one <target>; the first counts")
        notes = tuple(self.text[note.inner : note.inner_end] for note in unit.all("note") if not note.empty)
        base = Unit(
            name,
            self.codes.read(self.text, source),
            translatable=translate,
            notes=tuple(note for note in notes if note.strip()),
            context=unit.attributes.get("resname", ""),
            line=self.decoded.line(source.start),
            wrapped=None if preserve else True,
        )
        segments = _segments(unit.child("seg-source"))
        if not segments:
            known = self.codes.read(self.text, target) if target is not None else None
            state = self._state(known, target.attributes.get("state", "") if target is not None else "", unit)
            yield _Slot(replace(base, target=known, state=state), file, unit, unit, source, target)
            return
        slots = {part.attributes.get("mid", ""): part for part in _segments(target)}
        for part in segments:
            mid = part.attributes.get("mid", "")
            slot = slots.get(mid)
            known = self.codes.read(self.text, slot) if slot is not None else None
            text = self.codes.read(self.text, part)
            state = self._state(known, target.attributes.get("state", "") if target is not None else "", unit)
            yield _Slot(
                replace(base, id=f"{name}/{mid}", source=text, target=known, state=state),
                file, unit, unit, part, target, mid, slot,
            )  # fmt: skip

    def _units_2(self, file: Element, here: Element, path: str, translate: bool, preserve: bool) -> Iterator[_Slot]:
        for child in here.children:
            wanted = _inherited(child, "translate", translate, "yes")
            spaces = _inherited(child, "xml:space", preserve, "preserve")
            if child.local == "group":
                yield from self._units_2(file, child, path, wanted, spaces)
            elif child.local == "unit":
                yield from self._segments_2(child, path, wanted, spaces)

    def _segments_2(self, unit: Element, path: str, translate: bool, preserve: bool) -> Iterator[_Slot]:
        name = f"{path}/{unit.attributes.get('id', 'unit')}"
        holder = unit.child("notes")
        notes = tuple(self.text[note.inner : note.inner_end] for note in (holder.all("note") if holder else ()))
        segments = unit.all("segment")
        if not segments:
            self._broken(unit, name, "has no <segment>")
        for number, segment in enumerate(segments):
            own = f"{name}/{segment.attributes.get('id', number + 1)}" if len(segments) > 1 else name
            source, target = segment.child("source"), segment.child("target")
            if source is None:
                self._broken(segment, own, "has no <source>")
                continue
            known = self.codes.read(self.text, target) if target is not None else None
            spaces = _inherited(source, "xml:space", preserve, "preserve")
            found = Unit(
                own,
                self.codes.read(self.text, source),
                known,
                translate,
                self._state(known, segment.attributes.get("state", "" if known else "initial"), segment),
                notes,
                unit.attributes.get("name", ""),
                line=self.decoded.line(source.start),
                wrapped=None if spaces else True,
            )
            yield _Slot(found, self.root, segment, unit, source, target)

    @staticmethod
    def _state(target: Inline | None, state: str, unit: Element) -> State:
        if target is None or not target.text.strip() or state in _NOT_YET:
            return "untranslated"
        return "unfinished" if state in _DOUBTFUL and unit.attributes.get("approved") != "yes" else "translated"

    # ------------------------------------------------------------ writing

    def edits(self, targets: Mapping[str, Translated], marking: Marking) -> Iterator[Edit]:
        """The changes of the text. A target that is what stands there already changes nothing."""
        changed: dict[int, list[tuple[_Slot, Translated, str]]] = {}
        for name, translated in targets.items():
            slot = self._by_id.get(name)
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
                if translated.score is not None and marking.quality:
                    yield from self._match_edits(slot, translated, content, matches)
        for parts in changed.values():
            unit = parts[0][0].parent
            if new := matches.pop(id(unit), None):
                lead = indent(self.text, unit.children[0].start)
                added = f"{lead}<mtc:matches {_DECLARED}>{''.join(new).replace(f' {_DECLARED}', '')}</mtc:matches>"
                yield Edit(unit.inner, unit.inner, added)
        if changed:
            yield from self._language({id(slot.file): slot.file for parts in changed.values() for slot, _, _ in parts})

    def _content(self, slot: _Slot, text: Inline) -> str:
        raw = self.text[slot.source.inner : slot.source.inner_end]
        return raw if text == slot.unit.source else Style.of(raw, self.newline).write(text)

    def _target_edits(
        self, parts: list[tuple[_Slot, Translated, str]], marking: Marking, score: float | None
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
            yield self._own(slot.parent, "alt-trans", "origin", after, indent(self.text, source.start) + new)
        flags = sorted({flag for _, one, _ in parts for flag in one.flags})
        if flags and marking.review:
            start = with_attributes(f"<{prefix}note>", {"from": _TOOL})
            new = f"{start}{Style().write(Inline.of([', '.join(flags)]))}</{prefix}note>"
            yield self._own(slot.parent, "note", "from", after, indent(self.text, source.start) + new)

    def _own(self, unit: Element, local: str, attribute: str, after: int, text: str) -> Edit:
        """Write an element of ours: in place of an earlier one, or at `after`."""
        for old in unit.all(local):
            if old.attributes.get(attribute) == _TOOL:
                return Edit(old.start, old.end, text.lstrip())
        return Edit(after, after, text)

    def _filled(self, target: Element, states: Mapping[str, str], content: str) -> Iterator[Edit]:
        """The content of an existing target (or part of one) and its states."""
        if target.empty:
            start = with_attributes(self.text[target.start : target.end], states)
            yield Edit(target.start, target.end, f"{start[:-2].rstrip()}>{content}</{target.name}>")
            return
        yield from self._attributes(target, states) if states else ()
        yield Edit(target.inner, target.inner_end, content)

    def _attributes(self, element: Element, wanted: Mapping[str, str]) -> Iterator[Edit]:
        before = self.text[element.start : element.inner]
        after = with_attributes(before, wanted)
        if after != before:
            yield Edit(element.start, element.inner, after)

    def _inserted(self, slot: _Slot, states: Mapping[str, str], content: str) -> tuple[int, Edit]:
        """A new `<target>` behind the source (and behind 1.x's seg-source), indented like it."""
        source = slot.holder.child("seg-source") or slot.holder.child("source") or slot.source
        facts = dict(states)
        if "xml:lang" in source.attributes:
            language = self._target_language(slot.file)
            facts = {"xml:lang": language, **facts} if language else facts
        start = with_attributes(f"<{source.prefix}target>", facts)
        text = f"{indent(self.text, source.start)}{start}{content}</{source.prefix}target>"
        return source.end, Edit(source.end, source.end, text)

    def _joined(self, slot: _Slot, parts: list[tuple[_Slot, Translated, str]]) -> str:
        """A new target with the segments of `seg-source`; a segment without translation stays empty."""
        frame = slot.parent.child("seg-source")
        if frame is None:
            raise DataError(f"{self.decoded.name}: unit '{slot.unit.id}' has lost its <seg-source>")
        contents = {one.part: content for one, _, content in parts}
        pieces = []
        position = frame.inner
        for part in _segments(frame):
            mid = part.attributes.get("mid", "")
            known = self._by_id.get(f"{slot.unit.id.rsplit('/', 1)[0]}/{mid}")
            old = self.text[known.slot.inner : known.slot.inner_end] if known and known.slot else ""
            pieces += [self.text[position : part.inner], contents.get(mid, old)]
            position = part.inner_end
        return "".join(pieces) + self.text[position : frame.inner_end]

    def _segment_edits(self, slot: _Slot, translated: Translated, marking: Marking) -> Iterator[Edit]:
        """2.x: state and subState on `<segment>`, and an identifier where the match needs one."""
        facts = {}
        if marking.review:
            maker = "machine" if translated.memory is None else "memory"
            facts = {"state": "translated", "subState": f"{_TOOL}:{'doubtful' if translated.flags else maker}"}
        if translated.score is not None and marking.quality and "id" not in slot.holder.attributes:
            facts["id"] = _own_id(slot.parent, slot.holder)
        yield from self._attributes(slot.holder, facts)

    def _match_edits(
        self, slot: _Slot, translated: Translated, content: str, new: dict[int, list[str]]
    ) -> Iterator[Edit]:
        """2.x: the confidence as a match; those of units that have no `<mtc:matches>` yet are added to `new`."""
        ref = slot.holder.attributes.get("id") or _own_id(slot.parent, slot.holder)
        raw = self.text[slot.source.inner : slot.source.inner_end]
        prefix = slot.source.prefix
        kind = "mt" if translated.memory is None else "icm" if translated.memory > 100 else "tm"
        match = (
            f'<mtc:match {_DECLARED} ref="#{ref}" type="{kind}" origin={quote(_TOOL)} '
            f'matchQuality="{100 * (translated.score or 0.0):.1f}"><{prefix}source>{raw}</{prefix}source>'
            f"<{prefix}target>{content}</{prefix}target></mtc:match>"
        )
        matches = slot.parent.child("matches")
        if matches is None:
            new.setdefault(id(slot.parent), []).append(match)
            return
        for old in matches.children:
            if old.attributes.get("origin") == _TOOL and old.attributes.get("ref") == f"#{ref}":
                yield Edit(old.start, old.end, match)
                return
        if matches.empty:
            start = self.text[matches.start : matches.end - 2].rstrip()
            yield Edit(matches.start, matches.end, f"{start}>{match}</{matches.name}>")
        else:
            yield Edit(matches.inner_end, matches.inner_end, match)

    def _target_language(self, file: Element) -> str:
        return file.attributes.get("trgLang" if self.second else "target-language", "") or self.target_language

    def _language(self, files: Mapping[int, Element]) -> Iterator[Edit]:
        """The target language of files that name none."""
        name = "trgLang" if self.second else "target-language"
        for file in files.values():
            if name not in file.attributes and self.target_language:
                yield from self._attributes(file, {name: self.target_language})

    def aim(self, source: str, target: str) -> None:
        """Take the direction asked for. Files of the document in other languages are reported and left as they are.

        Raises DataError when that leaves nothing.
        """
        names = ("srcLang", "trgLang") if self.second else ("source-language", "target-language")
        others: dict[int, str] = {}
        for slot in self.slots:
            found = [slot.file.attributes.get(name, "") for name in names]
            if not all(_fits(known, wanted) for known, wanted in zip(found, (source, target), strict=True)):
                others[id(slot.file)] = (
                    f"its languages are {found[0] or '?'} and {found[1] or '?'}, not {source} and {target}"
                )
        if self.slots and all(id(slot.file) in others for slot in self.slots):
            raise DataError(f"{self.decoded.name}: {next(iter(others.values()))}")
        for number, slot in enumerate(self.slots):
            if reason := others.get(id(slot.file)):
                self.problems += (Problem(slot.unit.id, slot.unit.line, reason),)
                self.slots[number] = replace(slot, unit=replace(slot.unit, translatable=False))
        self.units = tuple(slot.unit for slot in self.slots)
        self._by_id = {slot.unit.id: slot for slot in self.slots}
        self.source_language, self.target_language = source, target


def _fits(known: str, wanted: str) -> bool:
    """True also for what is no registered language: templates name `xx` and the like."""
    try:
        return not known or same_language(known, wanted)
    except DataError:
        return True


def _inherited(element: Element, name: str, inherited: bool, positive: str) -> bool:
    value = element.attributes.get(name)
    return inherited if value is None else value == positive


def _segments(element: Element | None) -> list[Element]:
    """The `mrk mtype="seg"` elements, outermost first."""
    if element is None:
        return []
    found = []
    for child in element.children:
        if child.local == "mrk" and child.attributes.get("mtype") == "seg":
            found.append(child)
        else:
            found += _segments(child)
    return found


def _chained(slots: list[_Slot]) -> list[_Slot]:
    """Unique identifiers, and each unit's neighbour before it."""
    result = []
    before = ("", "")
    for slot, name in zip(slots, unique(slot.unit.id for slot in slots), strict=True):
        file = name.split("/", 1)[0]
        previous = before[1] if before[0] == file else ""
        result.append(replace(slot, unit=replace(slot.unit, id=name, previous=previous)))
        before = (file, name)
    return result


def _states(parts: Sequence[Translated]) -> dict[str, str]:
    """The states of 1.x: a machine's target asks for a review, what the memory had for the very text does not, unless
    something speaks against it."""
    if all(one.memory is not None for one in parts):
        doubtful = any(one.flags for one in parts)
        return {
            "state": "needs-review-translation" if doubtful else "translated",
            "state-qualifier": "exact-match",
        }
    return {"state": "needs-review-translation", "state-qualifier": "mt-suggestion"}


def _own_id(unit: Element, segment: Element) -> str:
    """An identifier for a segment without one, which nothing else in the unit has."""
    taken = set()
    waiting = [unit]
    while waiting:
        element = waiting.pop()
        taken.add(element.attributes.get("id"))
        waiting += element.children
    nameless = [one for one in unit.all("segment") if "id" not in one.attributes]
    free = (name for number in itertools.count(1) if (name := f"s{number}") not in taken)
    return next(itertools.islice(free, nameless.index(segment), None))

"""XLIFF 1.x and 2.x: units and inline codes; `xliff_targets` writes the targets.

Sources: XLIFF 1.2 (docs.oasis-open.org/xliff/v1.2/os/xliff-core.html) and 2.1/2.2 (docs.oasis-open.org/xliff/xliff-core).
In 1.x a unit is a `trans-unit`, or each `mrk mtype="seg"` of its `seg-source`; in 2.x each `segment`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from dragoman.core.markup.inline import Inline
from dragoman.core.text.languages import same_writing
from dragoman.errors import DataError
from dragoman.store.formats.documents.model import TOO_LONG, Edit, Marking, Problem, Translated, Unit, unique
from dragoman.store.formats.documents.xliff_targets import Slot, Targets, segments_of
from dragoman.store.formats.documents.xml_text import Codes, Element, read_xml
from dragoman.store.formats.xliff import State, separable, settled, target_state

CODES_1 = Codes(
    content=frozenset({"g", "mrk"}),
    begin={"bpt": ("rid", "id"), "bx": ("rid", "id")},
    end={"ept": ("rid", "id"), "ex": ("rid", "id")},
    flow="sub",
    halves="x",
)
CODES_2 = Codes(
    content=frozenset({"pc", "mrk"}),
    begin={"sc": ("id",), "sm": ("id",)},
    end={"ec": ("startRef", "id"), "em": ("startRef",)},
)
_TAG = re.compile(r"<!\[CDATA\[|\]\]>|<[^<>]*>")


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
        self.problems: list[Problem] = []
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
        self.problems.append(Problem(name, self.decoded.line(place.start), reason))

    def _units_1(self, file: Element, here: Element, path: str, translate: bool, preserve: bool) -> Iterator[Slot]:
        for child in here.children:
            wanted = _inherited(child, "translate", translate, "yes")
            spaces = _inherited(child, "xml:space", preserve, "preserve")
            if child.local in ("body", "group"):
                yield from self._units_1(file, child, path, wanted, spaces)
            elif child.local == "trans-unit":
                yield from self._trans_unit(file, child, path, wanted, spaces)

    def _trans_unit(self, file: Element, unit: Element, path: str, translate: bool, preserve: bool) -> Iterator[Slot]:
        name = f"{path}/{unit.attributes.get('id') or unit.attributes.get('resname') or 'unit'}"
        source, target = unit.child("source"), _target_of(unit)
        if source is None:
            self._broken(unit, name, "has no <source>")
            return
        if any(part.too_long for part in (source, target, unit.child("seg-source")) if part is not None):
            self._broken(unit, name, TOO_LONG)
            return
        if len(unit.all("target")) > 1:
            self._broken(unit, name, "has more than one <target>; the first that is not empty counts")
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
        segments = segments_of(unit.child("seg-source"))
        if len({part.attributes.get("mid", "") for part in segments}) < len(segments):
            self._broken(unit, name, "has segments of one `mid`; it is taken as a whole")
            segments = []
        if segments:
            yield from self._segments_1(file, unit, base, segments, target)
        else:
            known = self.codes.read(self.text, target) if target is not None else None
            yield Slot(
                replace(base, target=known, state=self._state_1(known, target, unit)), file, unit, unit, source, target
            )

    def _segments_1(
        self, file: Element, unit: Element, base: Unit, segments: list[Element], target: Element | None
    ) -> Iterator[Slot]:
        """The segments of a unit. A target that cannot be told apart by them counts for each, and is left as it is."""
        parts = segments_of(target)
        outside = self._outside(target)
        mids = [part.attributes.get("mid", "") for part in segments]
        given = [part.attributes.get("mid", "") for part in parts]
        whole = None
        if target is not None and not separable(mids, given, outside, bool(_TAG.sub("", outside).strip())):
            whole = self.codes.read(self.text, target)
            if len(segments) > 1 or parts:
                self._broken(
                    unit, base.id, "has a target that cannot be told apart by its segments; it counts for all of them"
                )
        slots = dict(zip(given, parts, strict=True)) if whole is None else {}
        found = {mid: self.codes.read(self.text, slot) for mid, slot in slots.items()}
        facts = target.attributes if target is not None else {}
        closed = settled(facts.get("state", ""), unit.attributes.get("approved", ""))
        kept = closed and any(one.text.strip() for one in found.values())
        if kept and any(mid not in found or not found[mid].text.strip() for mid in mids):
            self._broken(unit, base.id, "is approved or final with an empty segment, which stays empty")
        for mid, part in zip(mids, segments, strict=True):
            known = found.get(mid, whole)
            state = "translated" if kept else self._state_1(known, target, unit)
            text = self.codes.read(self.text, part)
            yield Slot(
                replace(base, id=f"{base.id}/{mid}", source=text, target=known, state=state),
                file, unit, unit, part, target, mid, slots.get(mid),
            )  # fmt: skip

    def _units_2(self, file: Element, here: Element, path: str, translate: bool, preserve: bool) -> Iterator[Slot]:
        for child in here.children:
            wanted = _inherited(child, "translate", translate, "yes")
            spaces = _inherited(child, "xml:space", preserve, "preserve")
            if child.local == "group":
                yield from self._units_2(file, child, path, wanted, spaces)
            elif child.local == "unit":
                yield from self._segments_2(child, path, wanted, spaces)

    def _segments_2(self, unit: Element, path: str, translate: bool, preserve: bool) -> Iterator[Slot]:
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
            if source.too_long or (target is not None and target.too_long):
                self._broken(segment, own, TOO_LONG)
                continue
            known = self.codes.read(self.text, target) if target is not None else None
            spaces = _inherited(source, "xml:space", preserve, "preserve")
            found = Unit(
                own,
                self.codes.read(self.text, source),
                known,
                translate,
                target_state(known.text if known is not None else "", segment.attributes.get("state", ""), ""),
                notes,
                unit.attributes.get("name", ""),
                line=self.decoded.line(source.start),
                wrapped=None if spaces else True,
            )
            yield Slot(found, self.root, segment, unit, source, target)

    @staticmethod
    def _state_1(known: Inline | None, target: Element | None, unit: Element) -> State:
        facts = target.attributes if target is not None else {}
        return target_state(
            known.text if known is not None else "",
            facts.get("state", ""),
            unit.attributes.get("approved", ""),
            facts.get("state-qualifier", ""),
        )

    def _outside(self, target: Element | None) -> str:
        """What a target of 1.x has beside its segments, tags included."""
        if target is None:
            return ""
        pieces, position = [], target.inner
        for part in segments_of(target):
            pieces.append(self.text[position : part.start])
            position = part.end
        return "".join(pieces) + self.text[position : target.inner_end]

    # ------------------------------------------------------------ writing

    def edits(self, targets: Mapping[str, Translated], marking: Marking) -> Iterator[Edit]:
        """The changes of the text. A target that is what stands there already changes nothing."""
        return Targets(self.decoded, self._by_id, self.second, self.newline, self.target_language).edits(
            targets, marking
        )

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
            why = next(iter(others.values()))
            raise DataError(f"{self.decoded.name}: {why}. Give the direction that it has, or change its languages.")
        for number, slot in enumerate(self.slots):
            if reason := others.get(id(slot.file)):
                self.problems.append(Problem(slot.unit.id, slot.unit.line, reason))
                self.slots[number] = replace(slot, unit=replace(slot.unit, translatable=False))
        self.units = tuple(slot.unit for slot in self.slots)
        self._by_id = {slot.unit.id: slot for slot in self.slots}
        self.source_language, self.target_language = source, target


def _fits(known: str, wanted: str) -> bool:
    """True also for what is no registered language: templates name `xx` and the like."""
    try:
        return not known or same_writing(known, wanted)
    except DataError:
        return True


def _target_of(unit: Element) -> Element | None:
    """The target of a unit of 1.x; of several, which the standard does not have, the first that is not empty."""
    targets = unit.all("target")
    return next((one for one in targets if one.inner_end > one.inner), targets[0] if targets else None)


def _inherited(element: Element, name: str, inherited: bool, positive: str) -> bool:
    value = element.attributes.get(name)
    return inherited if value is None else value == positive


def _chained(slots: list[Slot]) -> list[Slot]:
    """Unique identifiers, and each unit's neighbour before it."""
    result = []
    before = ("", "")
    for slot, name in zip(slots, unique(slot.unit.id for slot in slots), strict=True):
        file = name.split("/", 1)[0]
        previous = before[1] if before[0] == file else ""
        result.append(replace(slot, unit=replace(slot.unit, id=name, previous=previous)))
        before = (file, name)
    return result

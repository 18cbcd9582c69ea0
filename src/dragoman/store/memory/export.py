"""Writing a translation memory as TMX 1.4b (https://www.gala-global.org/tmx-14b), streamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dragoman.core.text.languages import Direction
from dragoman.store.memory.segments import Segment

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def write_tmx(path: Path, segments: Iterable[tuple[Direction, Segment]]) -> int:
    """Write all segments, then put the file in its place at once; returns how many.

    Besides the texts a unit carries creation date and creator, and as properties origin, line, domain and the segment
    before it (`x-context-pre`, as Okapi calls it).
    """
    from lxml import etree

    rows = iter(segments)
    first = next(rows, None)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary, count = Path(name), 0
    try:
        with os.fdopen(handle, "wb") as stream, etree.xmlfile(stream, encoding="utf-8") as file:
            file.write_declaration()
            with file.element("tmx", version="1.4"):
                file.write("\n", etree.Element("header", _header(first[0].source if first else "*all*")), "\n")
                with file.element("body"):
                    file.write("\n")
                    while first is not None:
                        file.write(_unit(etree, *first), "\n")
                        count += 1
                        first = next(rows, None)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return count


def _header(language: str) -> dict[str, str]:
    return {
        "creationtool": "dragoman",
        "creationtoolversion": "1",
        "segtype": "sentence",
        "o-tmf": "dragoman",
        "adminlang": "en",
        "srclang": language,
        "datatype": "plaintext",
    }


def _unit(etree: Any, direction: Direction, segment: Segment) -> Any:
    unit = etree.Element("tu", srclang=direction.source)
    if segment.created:
        unit.set("creationdate", segment.created[:19].replace("-", "").replace(":", "") + "Z")  # 20260131T235959Z
    if segment.creator:
        unit.set("creationid", segment.creator)
    told = {
        "x-origin": segment.origin,
        "x-line": str(segment.line or ""),
        "x-domain": segment.domain,
        "x-context-pre": segment.context,
    }
    for kind, value in told.items():
        if value:
            etree.SubElement(unit, "prop", type=kind).text = value
    for language, text in ((direction.source, segment.source), (direction.target, segment.target)):
        variant = etree.SubElement(unit, "tuv", {_LANGUAGE: language})
        etree.SubElement(variant, "seg").text = text
    return unit

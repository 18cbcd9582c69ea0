"""The worked example of CONTRIBUTING.md, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dragoman.core.text.languages import Direction
from dragoman.store.formats import documents
from dragoman.store.formats.documents import Document
from dragoman.store.formats.documents.translate import translate_document

ROOT = Path(__file__).parents[1]


def test_a_document_format_is_one_class_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.setattr(documents, "_FORMATS", dict(documents._FORMATS))
    exec(compile(code, "CONTRIBUTING.md", "exec"), {"__name__": "example"})
    data = b"# a comment\r\ntitle=The clinic\r\nempty\r\nbody = Take {count} tablets\r\n"
    made, report = translate_document(
        Document.open(data, "x.settings"), lambda texts: [t.upper() for t in texts], direction=Direction("en", "fr")
    )
    assert made == b"# a comment\r\ntitle=THE CLINIC\r\nempty\r\nbody = TAKE {count} TABLETS\r\n"
    assert len(report.lines) == 2


def test_every_page_of_the_documentation_has_its_place_on_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= set(re.findall(r"[\w-]+\.md", site))

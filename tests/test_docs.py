"""What the README and the documentation show is real: recipes are valid, commands parse, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from dragoman.cli.app import app
from dragoman.core.recipe import Recipe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_are_valid(page: Path) -> None:
    for text in blocks(page, "yaml"):
        if re.search(r"^pairs:", text, flags=re.MULTILINE):
            Recipe.parse(text, page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page: Path) -> None:
    group = get_command(app)
    for line in "".join(blocks(page, "sh")).splitlines():
        for part in line.split("|"):
            words = shlex.split(part, comments=True)
            if words[:1] == ["dragoman"]:
                context = group.make_context("dragoman", words[1:], resilient_parsing=True)
                name, command, rest = group.resolve_command(context, words[1:])  # type: ignore[attr-defined]
                command.make_context(name, rest)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_the_readme_names_every_stage() -> None:
    from dragoman.pipeline import NAMES

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"[`{name}`](docs/{name}.md)" not in text] == []

"""What the README and the documentation show is real: recipes are valid, commands parse, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from dragoman import demo
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


PYTHON_PROJECT = {
    "clinic/recipe.yaml": """
name: clinic
pairs: [en-fr]
prepare:
  parallel: [../data.tsv]
  checks: {language: null}
  holdout: {dev: 10, test: 20}
model: {new: {hidden: 32, layers: 2, heads: 4, feed_forward: 64, vocabulary: 500, context: 256}}
plan: {threads: 1, precision: fp32}
train: {sft: {tokens: 2k, evaluate_sentences: 4, compile: false, batch_tokens: 1024}}
evaluate: {sets: [test], bootstrap: 20, randomisation: 20}
""",
    "terms.csv": "en,fr\nward,service\n",
    "manual.po": 'msgid ""\nmsgstr ""\n"Language: fr\\n"\n\nmsgid "Take one tablet daily."\nmsgstr ""\n',
    "memory.tmx": '<tmx version="1.4"><header srclang="en"/><body><tu><tuv xml:lang="en"><seg>Take one tablet twice.</seg></tuv>'
    '<tuv xml:lang="fr"><seg>Prenez un comprimé deux fois.</seg></tuv></tu></body></tmx>',
}


def test_the_python_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in PYTHON_PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    rows = [f"{english}\t{french}\n" for english, french, *_ in demo.generate("clinic", 200, 7)]
    (tmp_path / "data.tsv").write_text("source\ttarget\n" + "".join(rows), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in blocks(ROOT / "docs" / "python.md", "python"):
        exec(compile(code, "docs/python.md", "exec"), names)
    out, told = capsys.readouterr()
    assert "prepare.paralel: unknown key. Did you mean 'parallel'?" in out
    assert "Prenez un comprimé par jour. memory" in out
    assert "['service']" in out
    assert "rows read" in told  # who runs a recipe sees what happens
    assert "Prenez un comprimé par jour." in (tmp_path / "manual.fr.po").read_text(encoding="utf-8")


def test_the_readme_names_every_stage() -> None:
    from dragoman.pipeline import NAMES

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"[`{name}`](docs/{name}.md)" not in text] == []

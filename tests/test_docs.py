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
from tests.commands import Command

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_are_valid(page: Path) -> None:
    for text in blocks(page, "yaml"):
        if re.search(r"^pairs:", text, flags=re.MULTILINE):
            Recipe.parse(text, page.name)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page: Path) -> None:
    group = get_command(app)
    for line in "".join(blocks(page, "(?:sh|bash)")).splitlines():
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


@pytest.mark.slow
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


GUIDES = {  # what lies in the folder where the commands (```sh) of a guide run, and what the last one says
    "guide-localisation": "Prenez un comprimé par jour.",
    "guide-research": "a higher learning rate",
    "guide-community": "",
}


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES)
def test_the_commands_of_a_guide_run(
    guide: str, dragoman: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = PYTHON_PROJECT["clinic/recipe.yaml"]
    rows = [f"{english}\t{french}\n" for english, french, *_ in demo.generate("clinic", 200, 7)]
    files = {
        "data.tsv": "source\ttarget\n" + "".join(rows),
        "pairs.tsv": "en\tgsw\n" + "".join(rows),
        "recipe.yaml": tiny.replace("../data.tsv", "data.tsv"),
        "terms.csv": PYTHON_PROJECT["terms.csv"],
        "memory.tmx": PYTHON_PROJECT["memory.tmx"],
        "manual.xliff": '<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file original="a" source-language="en" '
        'datatype="plaintext"><body><trans-unit id="1"><source>Open the ward.</source></trans-unit></body></file></xliff>',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    told = ""
    for line in "".join(blocks(ROOT / "docs" / f"{guide}.md", "sh")).splitlines():
        done = dragoman(*shlex.split(line, comments=True)[1:])
        assert done.code == 0, f"{line}\n{done.err}"
        told = done.out
        made = tmp_path / "leaflets" / "recipe.yaml"
        if made.exists():  # the one that `new` has written: its base would have to be downloaded
            made.write_text(tiny, encoding="utf-8")
    assert GUIDES[guide] in told


def test_the_documentation_names_every_page() -> None:
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page for page in sorted(pages) if f"({page})" not in index] == []
    assert [page for page in sorted(pages) if not re.search(rf"[\[ ]{re.escape(page)}[,\]\n]", site)] == []


def test_the_recipe_page_names_every_section_and_the_command_page_every_verb() -> None:
    recipe = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert [key for key in Recipe.model_fields if f"`{key}`" not in recipe] == []
    commands = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    verbs = get_command(app).commands  # type: ignore[attr-defined]
    assert [verb for verb in verbs if not re.search(rf"`dragoman [^`]*\b{verb}\b", commands)] == []


def test_figures_of_the_guides_name_records_that_are_there() -> None:
    for guide in GUIDES:
        text = (ROOT / "docs" / f"{guide}.md").read_text(encoding="utf-8")
        records = re.findall(r"`([\w-]+\.json)`", text.partition("## What to expect")[2])
        assert len(records) >= 4
        assert [name for name in records if not (ROOT / "benchmarks" / "results" / name).exists()] == []


def test_the_readme_names_every_stage() -> None:
    from dragoman.pipeline import NAMES

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"[`{name}`](docs/{name}.md)" not in text] == []

"""The worked examples of CONTRIBUTING.md: each is one new file and one line in a table, and works as it stands there."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = re.findall(
    r"```python\n# (new file: |in (\w+) of )(\S+)\n(.*?)```",
    (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    re.DOTALL,
)

USE = """
from pathlib import Path

import torch

from dragoman.core.recipe import Recipe
from dragoman.core.scores.metrics import segments
from dragoman.core.scores.statistics import differences
from dragoman.core.text.languages import Direction
from dragoman.engine import load
from dragoman.store.formats.documents import Document
from dragoman.store.formats.documents.translate import translate_document
from dragoman.store.run.artifact import Artifact
from tests.stages.conftest import prepared
from tests.stages.test_training import BASE, go


def test_a_document_format() -> None:
    data = b"# a comment\\r\\ntitle=The clinic\\r\\nempty\\r\\nbody = Take {count} tablets\\r\\n"
    made, report = translate_document(
        Document.open(data, "x.settings"), lambda texts: [t.upper() for t in texts], direction=Direction("en", "fr")
    )
    assert made == b"# a comment\\r\\ntitle=THE CLINIC\\r\\nempty\\r\\nbody = TAKE {count} TABLETS\\r\\n"
    assert len(report.lines) == 2


def test_a_kind_of_phase_and_a_method(tmp_path: Path, prepared: Artifact) -> None:
    text = BASE.replace("- sft: {epochs: 8", "- adapt: {method: last}\\n    focal: {epochs: 0.5")
    run = tmp_path / "run"
    done = go(run, Recipe.parse(text), prepared)
    assert [phase["name"] for phase in done["train"].facts["phases"]] == ["0-focal"]
    before, after = (dict(load.load(run / f).model.named_parameters()) for f in ("model/model", "train/0-focal/model"))
    moved = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert moved == {name for name in before if ".layers.1." in name}


def test_a_metric() -> None:
    assert Recipe.parse("pairs: en-fr\\nevaluate: {metrics: [chrf, exact], must_gain: {exact: 1}}").evaluate.metrics[1] == "exact"
    references = [str(number) for number in range(40)]
    one, other = (segments("exact", references[:good] + ["?"] * (40 - good), references) for good in (4, 30))
    assert str(other.score) == "exact match|exact|case:mixed = 75.00"
    [found] = differences([(one, other)])
    assert found.gain == 65 and found.p_randomisation < 0.01
"""


def test_each_is_one_new_file_and_one_line(tmp_path: Path) -> None:
    package = tmp_path / "src" / "dragoman"
    shutil.copytree(ROOT / "src" / "dragoman", package)  # compiled modules too: times are kept
    kinds = [table for _, table, _, _ in EXAMPLES]
    assert kinds == ["", "_FORMATS", "", "Phase", "", "METHODS", "", "METRICS"]
    for _, table, name, code in EXAMPLES:
        file = tmp_path / name
        if not table:
            assert not file.exists()
            file.write_text(code, encoding="utf-8")
            continue
        assert code.count("\n") == 1, "one line"
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        lines.insert(end_of(table, "".join(lines)), code)
        file.write_text("".join(lines), encoding="utf-8")
    (tmp_path / "test_use.py").write_text(USE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_use.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def end_of(table: str, source: str) -> int:
    """The number of lines before the end of a dict, or after the first field of a class."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == table:
            assert node.end_lineno is not None
            return node.end_lineno - 1
        if isinstance(node, ast.ClassDef) and node.name == table:
            return next(part.lineno for part in node.body if isinstance(part, ast.AnnAssign))
    raise AssertionError(f"there is no table {table}")


def test_every_page_of_the_documentation_has_its_place_on_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= set(re.findall(r"[\w-]+\.md", site))

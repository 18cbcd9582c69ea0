"""Sides that are exchanged without a header that tells are found in a sample, in every format and script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.records import Example
from dragoman.errors import DataError
from dragoman.store.formats.readers import read_parallel

EN = ["the doctor will see you", "please bring the letter", "this room is closed", "where is the waiting room"]
SAID = {
    "fr": [
        "le médecin vous recevra",
        "veuillez apporter la lettre",
        "cette salle est fermée",
        "où est la salle d'attente",
    ],
    "de": [
        "der Arzt empfängt Sie",
        "bitte bringen Sie den Brief mit",
        "dieses Zimmer ist zu",
        "wo ist das Wartezimmer",
    ],
    "ru": ["врач вас примет", "принесите письмо", "эта комната закрыта", "где зал ожидания"],
    "ja": ["医者がお会いします", "手紙を持ってきてください", "この部屋は閉まっています", "待合室はどこですか"],
}


def rows(language: str, count: int) -> list[tuple[str, str]]:
    return [(f"{EN[n % 4]} number {n}", f"{SAID[language][n % 4]} {n}") for n in range(count)]


def write(folder: Path, kind: str, pairs: list[tuple[str, str]]) -> str:
    if kind == "jsonl":
        lines = [json.dumps({"source": s, "target": t}) for s, t in pairs]
    else:
        lines = ["\t".join(pair) for pair in pairs]
    path = folder / f"a.{kind}"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("language", sorted(SAID))
@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
def test_exchanged_sides_are_refused_with_figures(tmp_path: Path, language: str, kind: str) -> None:
    recipe = Recipe.parse(f"pairs: en-{language}")
    right = rows(language, 60)
    found = list(read_parallel(ParallelSource(path=write(tmp_path, kind, right)), recipe))
    assert sum(isinstance(row, Example) for row in found) == 60
    path = write(tmp_path, kind, [(t, s) for s, t in right])
    with pytest.raises(
        DataError, match=rf"100% of the source side read as {language} and 100% of the target side as en"
    ):
        list(read_parallel(ParallelSource(path=path), recipe))
    off = Recipe.parse(f"pairs: en-{language}\nprepare: {{parallel: [{path}], checks: {{language: null}}}}")
    assert len(list(read_parallel(ParallelSource(path=path), off))) == 60


@given(st.integers(0, 60), st.sampled_from(sorted(SAID)), st.randoms(use_true_random=False))
def test_a_file_is_refused_by_its_share_alone(exchanged: int, language: str, draw: object) -> None:
    import tempfile

    pairs = [(t, s) if n < exchanged else (s, t) for n, (s, t) in enumerate(rows(language, 60))]
    draw.shuffle(pairs)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        source = ParallelSource(path=write(Path(folder), "jsonl", pairs))
        try:
            found = list(read_parallel(source, Recipe.parse(f"pairs: en-{language}")))
        except DataError:
            assert exchanged >= 0.75 * 60
        else:
            assert exchanged <= 0.85 * 60 and len(found) == 60


def test_what_cannot_be_told_is_left_alone(tmp_path: Path) -> None:
    names = [(f"Ana {n}", f"Eva {n}") for n in range(40)]
    for pair in ("en-fr", "en>en-GB", "en-hsb"):
        assert (
            len(
                list(
                    read_parallel(ParallelSource(path=write(tmp_path, "jsonl", names)), Recipe.parse(f"pairs: {pair}"))
                )
            )
            == 40
        )
    few = [(t, s) for s, t in rows("fr", 8)]
    assert (
        len(list(read_parallel(ParallelSource(path=write(tmp_path, "jsonl", few)), Recipe.parse("pairs: en-fr")))) == 8
    )

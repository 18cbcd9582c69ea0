from __future__ import annotations

import pytest

from dragoman.core.text.function_words import _WORDS, speaks


def test_no_word_belongs_to_two_languages() -> None:
    words = [word for listed in _WORDS.values() for word in listed.split()]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Take one tablet with the evening meal.", "en"),
        ("Nehmen Sie eine Tablette, wenn es nicht besser wird.", "de"),
        ("LES COMPRIMÉS SONT BLANCS", "fr"),
        ("Le mot « the » est dans la phrase.", None),  # words of two languages
        ("Paracetamol 500 mg", None),
        ("", None),
    ],
)
def test_speaks(text: str, language: str | None) -> None:
    assert speaks(text) == language


def test_on_parallel_news_it_is_silent_rather_than_wrong(shared_data) -> None:
    """Of each language at least three in five sentences are known, and at most one in fifty is taken for another."""
    import csv
    import gzip

    columns = {
        "eng": "en",
        "fra": "fr",
        "deu": "de",
        "spa": "es",
        "ita": "it",
        "por-BR": "pt",
        "nld": "nl",
        "pol": "pl",
    }
    with gzip.open(shared_data / "ntrex128" / "newstest2019.tsv.gz", "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    for column, language in columns.items():
        found = [speaks(row[column]) for row in rows]
        assert found.count(language) > 0.6 * len(rows)
        assert sum(other not in (None, language) for other in found) < 0.02 * len(rows)

"""Whatever a glossary file holds: terms and rejected rows, or a DataError; bombs at once."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.memory.glossary import Glossary

EN_FR = Direction("en", "fr")
TBX = (
    b'<?xml version="1.0"?><martif type="TBX" xml:lang="en"><text><body><termEntry><langSet xml:lang="en"><tig><term>dose'
    b'</term><termNote type="partOfSpeech">noun</termNote></tig></langSet><langSet xml:lang="fr"><tig><term>dose</term></tig>'
    b"</langSet></termEntry></body></text></martif>"
)
SEEDS = {
    "a.tbx": TBX,
    "a.csv": b'source,target,pos\ndose,dose,noun\n"a ""b""",c,\n',
    "a.tsv": b"dose\tdose\nactive case\tcas actif\n",
    "a.tab": b"# comment\ndose\tdose\tnote\n",
}
PARTS = [
    b"<",
    b"&x;",
    b'"',
    b"\t",
    b",",
    b"\n",
    b"\0",
    b"\xff",
    b"\xff\xfe",
    b"<term/>",
    b"<!ENTITY a 'b'>",
    b"]]>",
    b"source",
]


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(luck=st.randoms(use_true_random=False), noise=st.binary(max_size=60))
def test_terms_or_a_data_error(tmp_path: Path, name: str, luck: random.Random, noise: bytes) -> None:
    data = SEEDS[name]
    for _ in range(luck.randint(1, 4)):
        at = luck.randint(0, len(data))
        data = data[:at] + luck.choice([b"", noise, luck.choice(PARTS)]) + data[at + luck.choice([0, 1, 9]) :]
    path = tmp_path / name
    path.write_bytes(data)
    try:
        glossary = Glossary.load(path, EN_FR)
    except DataError as error:
        assert name in str(error)
        return
    glossary.save(tmp_path / "saved.tsv")
    assert [*Glossary.load(tmp_path / "saved.tsv")] == [*glossary]
    for row in glossary.rejected:
        assert row.reason and row.detail


def test_bombs_are_refused_at_once(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(1, 12))
    bombs = [
        f'<!DOCTYPE martif [<!ENTITY e1 "ha">{laughs}]><martif type="TBX">&e12;</martif>',
        '<martif type="TBX">' + "<x>" * 100_000,
        '<martif type="TBX">' + "<!-- " * 100_000,
        f'<!DOCTYPE martif [<!ENTITY e "{"x" * 50_000}">]><martif type="TBX">{"&e;" * 10_000}</martif>',
    ]
    for bomb in bombs:
        (tmp_path / "bomb.tbx").write_text(bomb)
        start = time.process_time()
        with pytest.raises(DataError):
            Glossary.load(tmp_path / "bomb.tbx", EN_FR)
        assert time.process_time() - start < 1

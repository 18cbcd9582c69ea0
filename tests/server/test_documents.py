"""How many documents a server holds, and when those who find no room may come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.server.documents import LATER
from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.settings import Limits
from tests.server.living import Live, living, until

PAIR = {"source": "en", "target": "de"}
TEXT = b"x" * 100_000  # more than the share that any document counts for


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Live]:
    """A server that holds two of these documents."""
    limits = Limits(document_bytes=2 * 120_000, document_time=1_000.0)
    with living(Gateway(tmp_path / "state", models=[NullModel()], limits=limits)) as live:
        yield live


def send(live: Live, text: bytes = TEXT) -> Any:
    return live.http.post("/translate_file", files={"file": ("a.txt", text)}, data=PAIR)


def test_a_document_that_was_fetched_gives_way_and_one_that_was_not_stays(small: Live) -> None:
    first, second = (send(small).json()["translatedFileUrl"] for _ in range(2))
    refused = send(small)
    assert refused.status_code == 429
    assert 900 < int(refused.headers["retry-after"]) <= 1_000  # nothing is at work: until the time of the first is over
    assert all(small.http.get(first).content == TEXT for _ in range(2))
    third = send(small).json()["translatedFileUrl"]
    assert small.http.get(first).status_code == 404
    assert [small.http.get(one).content for one in (second, third)] == [TEXT, TEXT]


def test_many_small_documents_are_held_as_long_as_their_bytes_have_room(tmp_path: Path) -> None:
    with living(Gateway(tmp_path / "state", models=[NullModel()], limits=Limits(documents=2))) as live:
        urls = [send(live, b"Text %d." % number).json()["translatedFileUrl"] for number in range(6)]
        assert [live.http.get(url).content for url in urls] == [b"Text %d." % number for number in range(6)]


def test_what_is_still_translated_counts_with_its_bytes(tmp_path: Path) -> None:
    way = {"files": {"file": ("a.txt", TEXT)}, "data": {"source_lang": "en", "target_lang": "de"}}
    for limits in (Limits(documents=2), Limits(document_bytes=2 * 120_000)):
        state = tmp_path / str(limits.documents)
        with living(Gateway(state, models=[NullModel(delay=1.0)], limits=limits)) as live:
            sent = [live.json("POST", "/v2/document", **way) for _ in range(2)]
            refused = live.http.post("/v2/document", **way)
            assert (refused.status_code, refused.headers["retry-after"]) == (529, f"{LATER:.0f}")
            for one in sent:
                path, key = f"/v2/document/{one['document_id']}", {"document_key": one["document_key"]}
                until(lambda path=path, key=key: live.json("POST", path, data=key)["status"] == "done")
                assert live.http.post(f"{path}/result", data=key).content == TEXT
            assert live.http.post("/v2/document", **way).status_code == 200

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.core.corpus.leaks import twin_keys
from dragoman.core.memory.matching import similarity, words
from dragoman.core.records import Example, Rejected
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.memory import index as index_module
from dragoman.store.memory.admission import MAX_LENGTH
from dragoman.store.memory.translation_memory import Added, Memory

EN_FR = Direction("en", "fr")


def pair(source: str, target: str = "x", **more: object) -> Example:
    return Example(source, target, "en", "fr", **more)  # type: ignore[arg-type]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "memory.sqlite", create=True) as opened:
        yield opened


def sources(memory: Memory, text: str, direction: Direction = EN_FR, **more: object) -> list[str]:
    return [match.source for match in memory.search(text, direction, **more)]  # type: ignore[arg-type]


# ---------------------------------------------------------------- adding


def test_every_row_is_counted(memory: Memory) -> None:
    rows: list[Example | Rejected] = [
        pair("one", "un"),
        pair("one", "un"),
        pair("one", "une"),
        pair(" ", "x"),
        pair("x" * (MAX_LENGTH + 1), "x"),
        pair("nul \0", "x"),
        pair("half \ud800", "x"),
        Example("same", "same", "en", "en"),
        Rejected("columns", "2 of 3 columns", "a.tsv", 3),
    ]
    told: list[Rejected] = []
    added = memory.add(rows, rejected=told.append)
    assert added == Added(2, 1, {"empty": 1, "length": 1, "characters": 2, "languages": 1, "columns": 1})
    assert Counter(r.reason for r in told) == added.rejected
    assert memory.add(rows[:3]) == Added(0, 3)


def test_what_is_added_is_found_at_once_also_by_others(memory: Memory) -> None:
    memory.add([pair("the first one")])
    with Memory.open(memory.path) as other:
        assert sources(other, "the first one") == ["the first one"]
        memory.add([pair("the second one")])
        assert sources(other, "the second one", k=1) == ["the second one"]
        assert sources(memory, "the second one", k=1) == ["the second one"]


def test_what_is_removed_is_not_found(memory: Memory) -> None:
    memory.add(
        [pair("the first one", origin="a"), pair("the second one", origin="b"), pair("the third one", domain="d")]
    )
    assert len(sources(memory, "the one")) == 3
    assert memory.remove(origin="a") == 1
    assert sorted(sources(memory, "the one")) == ["the second one", "the third one"]
    number = memory.search("the second one", EN_FR)[0].identifier
    assert memory.remove("other tenant", identifiers=[number]) == 0
    assert memory.remove(identifiers=[number, number]) == 1
    assert memory.remove(direction=EN_FR.reversed, domain="d") == 0
    with pytest.raises(DataError, match="says nothing"):
        memory.remove()
    assert memory.remove(everything=True) == 1
    assert sources(memory, "the one") == []


# ---------------------------------------------------------------- searching


def test_order_exact_then_words_then_fuzzy(memory: Memory) -> None:
    memory.add([pair("Take two tablets daily"), pair("take two tablets"), pair("Take two tablets."), pair("Go home")])
    found = memory.search("Take two tablets.", EN_FR, k=4)
    assert [(m.source, m.percent, m.exact) for m in found] == [
        ("Take two tablets.", 100, True),
        ("take two tablets", 100, False),
        ("Take two tablets daily", 75, False),
    ]
    assert [d.kind for d in found[1].differences] == ["case", "punctuation"]


def test_numbers_and_placeholders_are_recognised(memory: Memory) -> None:
    memory.add([pair("Take 2 tablets", "Prenez 2 comprimés"), pair("Take the tablets", "Prenez les comprimés")])
    best = memory.search("Take 3 tablets", EN_FR)[0]
    assert (best.source, best.percent, best.adapted) == ("Take 2 tablets", 91, "Prenez 3 comprimés")
    assert [(d.kind, d.query, d.stored) for d in best.differences] == [("number", "3", "2")]


def test_both_directions_and_regions_come_from_one_store(memory: Memory) -> None:
    memory.add([pair("hello there", "bonjour"), Example("salut toi", "hello you", "fr", "en-GB")])
    memory.add([Example("olá", "hello all", "pt-BR", "en")])
    assert sources(memory, "hello") == ["hello you", "hello there"]
    assert sources(memory, "bonjour", EN_FR.reversed) == ["bonjour"]
    assert sources(memory, "hello", Direction("en-GB", "fr")) == ["hello you", "hello there"]
    assert sources(memory, "hello", Direction("en-US", "fr")) == ["hello there"]
    assert sources(memory, "olá", Direction("pt", "en")) == ["olá"]
    assert sources(memory, "olá", Direction("pt-PT", "en")) == []
    assert sources(memory, "hello", Direction("en", "de")) == []


def test_context_breaks_ties(memory: Memory) -> None:
    document = [
        pair(s, t, document="d") for s, t in [("Open the door", "a"), ("Yes", "Oui"), ("Go", "b"), ("Yes", "Si")]
    ]
    assert memory.add(document).count == 4
    assert [(m.target, m.percent) for m in memory.search("Yes", EN_FR, context="open the door")] == [
        ("Oui", 101),
        ("Si", 100),
    ]
    assert memory.search("Yes", EN_FR, context="Go")[0].target == "Si"
    assert memory.search("Yes", EN_FR, context="nothing of the kind")[0].percent == 100
    turned = memory.search("Si", EN_FR.reversed, context="b")[0]
    assert (turned.target, turned.percent) == ("Yes", 101)
    memory.add([pair("Yes", "Ouais")], context="Said he")
    assert memory.search("Yes", EN_FR, context="Said he")[0].target == "Ouais"


def test_context_wins_among_many_equals(memory: Memory) -> None:
    rows = [pair(f"line {word}", "x", document="d") for word in "abcdefgh"]
    memory.add(
        [
            e
            for row in rows
            for n in range(30)
            for e in (row, pair("press the key now", f"{row.source} {n}", document="d"))
        ]
    )
    found = memory.search("press the red key now", EN_FR, k=1, context="line a")[0]
    assert (found.in_context, found.target) == (True, "line a 29")


def test_one_pair_comes_once(memory: Memory) -> None:
    memory.add([pair("Yes", "Oui")], context="a")
    memory.add([pair("Yes", "Oui")], context="b")
    assert len(memory.search("Yes", EN_FR)) == 1


def test_leave_one_out_excludes_the_segment_and_its_twins(memory: Memory) -> None:
    own = pair("Take 2 tablets now", "Prenez 2 comprimés")
    rows = [own, pair("take 5 tablets, now!", "Autre"), pair("Take 2 tablets then", "Prenez 3 comprimés")]
    memory.add(
        [*rows, *(pair(f"TAKE {n} tablets now", f"z{n}") for n in range(99)), pair("Take the pills now", "Autre chose")]
    )
    assert sources(memory, own.source, exclude=twin_keys(own)) == ["Take the pills now"]
    assert sources(memory, own.source, k=1, max_match=0.9, exclude=[]) == ["Take 2 tablets then"]


def test_min_match(memory: Memory) -> None:
    memory.add([pair("a b c d"), pair("a b c x"), pair("a x y z")])
    assert sources(memory, "a b c d", min_match=0.75) == ["a b c d", "a b c x"]
    assert sources(memory, "q r s") == []
    assert sources(memory, "a", k=0) == []


def test_search_many_is_search_for_each(memory: Memory) -> None:
    rng = random.Random(0)
    texts = [" ".join(rng.choices(["red", "green", "blue", "one", "two", "three", "1", "2"], k=5)) for _ in range(80)]
    memory.add(pair(t, f"x{i}", document="d") for i, t in enumerate(texts))
    excludes = [twin_keys(pair(t)) for t in texts]
    one = [memory.search(t, EN_FR, exclude=e, context=c) for t, e, c in zip(texts, excludes, texts[::-1], strict=True)]
    for threads in (1, 4):
        assert memory.search_many(texts, EN_FR, excludes=excludes, contexts=texts[::-1], threads=threads) == one


TENANTS = st.sampled_from(["a", "b", "A", "a b", "默认", ""])
WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "1", "2"]), min_size=1, max_size=4).map(" ".join)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(TENANTS, WORDS, st.booleans()), max_size=25), st.lists(st.tuples(TENANTS, WORDS), max_size=5))
def test_nothing_of_one_tenant_is_returned_to_another(
    tmp_path_factory: pytest.TempPathFactory, adds: list[tuple[str, str, bool]], queries: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("tenants")
    with Memory.open(folder / "memory.sqlite", create=True) as memory:
        held: dict[str, set[str]] = {}
        for tenant, text, turned in adds:
            example = pair(text, f"of {tenant!r}")
            memory.add([example.reversed if turned else example], tenant)
            held.setdefault(tenant, set()).add(text)
        for tenant, text in queries:
            found = memory.search(text, EN_FR, k=50, tenant=tenant)
            assert all(m.target == f"of {tenant!r}" for m in found)
            # and all of its own is returned that shares a token
            assert {m.source for m in found} >= {t for t in held.get(tenant, ()) if similarity(t, text) > 0}
    shutil.rmtree(folder)


# ---------------------------------------------------------------- the index on disk


def test_the_saved_index_is_used_and_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "SAVE", 1000)
    texts = [f"segment number {n} of {n % 7}" for n in range(3000)]
    path = tmp_path / "memory.sqlite"
    with Memory.open(path, create=True) as memory:
        memory.add(pair(t) for t in texts)
        assert memory.index() == 2
        assert memory.remove(source=texts[5]) == 1
        memory.add([pair("a later segment")])
        expected = [memory.search(t, EN_FR) for t in [*texts[:20], "a later segment"]]
    (saved,) = [p for p in (tmp_path / "memory.index").glob("*/en-fr/*")]
    with Memory.open(path) as memory:
        index, _ = memory._index("default", EN_FR)
        assert (index.saved, len(index)) == (3000, 3001)
        assert [memory.search(t, EN_FR) for t in [*texts[:20], "a later segment"]] == expected
    (saved / "tokens.npy").write_bytes(b"damaged")
    with Memory.open(path) as memory:
        assert [memory.search(t, EN_FR) for t in [*texts[:20], "a later segment"]] == expected
    path.unlink()
    with Memory.open(path, create=True) as memory:  # another memory in its place: the old index is not its own
        memory.add([pair("all new")])
        assert sources(memory, "segment number 3 of 3") == []
        assert sources(memory, "all new") == ["all new"]


def test_a_rebuild_drops_what_was_removed(memory: Memory) -> None:
    memory.add(pair(f"segment {n}", origin=str(n % 2)) for n in range(5000))
    memory.index()
    memory.remove(origin="0")
    memory.index()
    assert len(memory._index("default", EN_FR)[0]) == 2500
    assert sources(memory, "segment 4", k=1) == ["segment 4999"]


# ---------------------------------------------------------------- what must hold

ADDER = """
import sys
from pathlib import Path
from dragoman.core.records import Example
from dragoman.store.memory import index
from dragoman.store.memory import translation_memory as memory
memory._BATCH, index.SAVE, first = 50, 300, int(sys.argv[2])
with memory.Memory.open(Path(sys.argv[1]), create=True) as store:
    print("open", flush=True)
    for n in range(first, first + 1_000_000, 150):
        store.add([Example(f"word{k} and {k}", f"mot{k}", "en", "fr") for k in range(n, n + 150)])
        print(n + 150, flush=True)
        if n % 450 == 0:
            store.memory.index()
"""


def kill_once(path: Path, first: int, after: float) -> int:
    """Add from `first` on in a process, kill it `after` seconds from its start; returns what it had confirmed."""
    command = [sys.executable, "-c", ADDER, str(path), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "open\n"
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
        confirmed = process.stdout.read().split("\n")[:-1]  # the last may be cut
    return int(confirmed[-1]) if confirmed else first


def check_after_kill(path: Path, confirmed: int) -> int:
    with Memory.open(path) as memory:
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        there = sorted(int(segment.target[3:]) for _, segment in memory.segments())
        assert there == list(range(len(there)))  # no hole: whole batches, in order
        assert len(there) >= confirmed
        assert len(there) % 50 == 0
        for n in random.Random(confirmed).sample(there, min(20, len(there))):
            assert memory.search(f"word{n} and {n}", EN_FR)[0].target == f"mot{n}"
    return len(there)


@pytest.mark.slow
def test_adding_survives_kill(tmp_path: Path) -> None:
    path, there, rng = tmp_path / "memory.sqlite", 0, random.Random(4)
    for _ in range(int(os.environ.get("DRAGOMAN_KILLS", "4"))):
        confirmed = kill_once(path, there, rng.random() * 0.7)
        there = check_after_kill(path, confirmed)
    assert there > 0


def test_readers_do_not_wait_and_threads_share(memory: Memory) -> None:
    memory.add(pair(f"text {n} one") for n in range(200))
    stop, failures, searches = threading.Event(), list[BaseException](), Counter[int]()

    def read(number: int) -> None:
        try:
            while not stop.is_set():
                wanted = random.randrange(200)
                assert memory.search(f"text {wanted} one", EN_FR)[0].source == f"text {wanted} one"
                searches[number] += 1
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read, args=(n,)) for n in range(3)]
    for reader in readers:
        reader.start()
    with memory._table.write():  # an open transaction of a writer
        time.sleep(0.3)
        assert all(searches[n] for n in range(3))
    for n in range(200, 260):
        memory.add([pair(f"text {n} one")])
    stop.set()
    for reader in readers:
        reader.join()
    assert not failures
    assert sources(memory, "text 259 one", k=1) == ["text 259 one"]


def test_a_fork_uses_connections_of_its_own(memory: Memory) -> None:
    memory.add([pair("before the fork")])
    child = os.fork()
    if child == 0:  # no assertion in here: it must end without pytest
        good = memory.add([pair("in the child")]).count == 1 and sources(memory, "in the child", k=1) == [
            "in the child"
        ]
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    memory.add([pair("in the parent")])
    assert sources(memory, "in the child", k=1) == ["in the child"]
    assert memory._table.rows("PRAGMA integrity_check") == [("ok",)]


def test_a_second_writer_waits_and_then_is_told(memory: Memory) -> None:
    memory.add([pair("a")])
    with Memory.open(memory.path) as other:
        other._table.connection.execute("PRAGMA busy_timeout = 50")
        with memory._table.write(), pytest.raises(DataError, match="Another process may be writing"):
            other.add([pair("b")])
        assert other.add([pair("b")]).count == 1


# ---------------------------------------------------------------- files


def test_opening_what_is_no_memory(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no translation memory"):
        Memory.open(tmp_path / "none.sqlite")
    text = tmp_path / "text.sqlite"
    text.write_text("not a database, but long enough to look at " * 50)
    with pytest.raises(DataError, match="cannot be opened"):
        Memory.open(text)
    foreign = tmp_path / "foreign.sqlite"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("PRAGMA application_id = 1")
    connection.commit()
    connection.close()
    with pytest.raises(DataError, match="another program's"):
        Memory.open(foreign, create=True)


def test_export_is_the_memory(memory: Memory, tmp_path: Path) -> None:
    from lxml import etree

    rows = [
        pair("a <b>bold</b> & \u2028 one", "un", origin="a.tmx", line=4, domain="law", document="d"),
        pair("b", "deux", document="d", origin="a.tmx"),
    ]
    memory.add(rows, creator="ann")
    memory.add([pair("secret")], "other")
    assert memory.export(tmp_path / "out" / "m.tmx") == 2
    tree = etree.parse(tmp_path / "out" / "m.tmx")
    assert [tuple(seg.text for seg in unit.iter("seg")) for unit in tree.iter("tu")] == [
        (r.source, r.target) for r in rows
    ]
    first, second = tree.iter("tu")
    assert first.get("creationid") == "ann"
    assert {p.get("type"): p.text for p in first.iter("prop")} == {
        "x-origin": "a.tmx",
        "x-line": "4",
        "x-domain": "law",
    }
    assert {p.get("type"): p.text for p in second.iter("prop")}["x-context-pre"] == rows[0].source
    assert memory.export(tmp_path / "r.tmx", direction=EN_FR.reversed) == 2
    turned = next(etree.parse(tmp_path / "r.tmx").iter("tu"))
    assert [seg.text for seg in turned.iter("seg")] == ["un", rows[0].source]
    assert memory.export(tmp_path / "none.tmx", "nobody") == 0
    etree.parse(tmp_path / "none.tmx")


def test_stats(memory: Memory) -> None:
    memory.add([pair("a", origin="x"), pair("b", origin="x"), pair("c", origin="y")])
    memory.add([pair("d")], "other")
    first, second = memory.stats()
    assert (first.tenant, first.direction, first.segments, first.origins) == ("default", EN_FR, 3, {"x": 2, "y": 1})
    assert (
        [(h.tenant, h.segments) for h in memory.stats("other")] == [(second.tenant, second.segments)] == [("other", 1)]
    )


# ---------------------------------------------------------------- real text


@pytest.mark.slow
def test_medical_memory_finds_the_nearest(shared_data: Path, memory: Memory) -> None:
    import csv
    import gzip

    def rows(name: str) -> Iterator[list[str]]:
        with gzip.open(shared_data / "medical" / name, "rt", encoding="utf-8", newline="") as file:
            reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            next(reader)
            yield from reader

    stored = [pair(*row) for row in rows("emea_en-fr_tm.tsv.gz")]
    assert memory.add(stored).count == len({(e.source, e.target) for e in stored})
    queries = [row[0] for row in rows("emea_en-fr_train.tsv.gz")][::2500]
    texts = [(words(e.source), e.source) for e in stored]
    for query, found in zip(queries, memory.search_many(queries, EN_FR, k=1), strict=True):
        size = len(words(query))
        # lengths bound the match, so most need no comparison
        best = found[0].match if found else 0.0
        rivals = (s for w, s in texts if min(len(w), size) > best * max(len(w), size))
        assert best >= max((similarity(query, s) for s in rivals), default=0.0) - 1e-9

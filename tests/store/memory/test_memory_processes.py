"""One writer and several readers of a memory, each a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dragoman.core.text.languages import Direction
from dragoman.store.memory.translation_memory import Memory

WRITER = """
import sys
from pathlib import Path
from dragoman.core.records import Example
from dragoman.store.memory.translation_memory import Memory
with Memory.open(Path(sys.argv[1])) as memory:
    for n in range(int(sys.argv[2])):
        memory.add([Example(f"number{n} of many", f"numéro{n}", "en", "fr")], "mine")
        memory.add([Example(f"number{n} of many", f"étranger{n}", "en", "fr")], "other")
        print(n, flush=True)
"""
READER = """
import sys
from pathlib import Path
from dragoman.core.text.languages import Direction
from dragoman.store.memory.translation_memory import Memory
seen, last = 0, int(sys.argv[2]) - 1
with Memory.open(Path(sys.argv[1])) as memory:
    while True:
        before = seen
        found = memory.search(f"number{last} of many", Direction("en", "fr"), k=3, tenant="mine")
        assert all(match.target.startswith("numéro") for match in found), found
        seen = sum(holding.segments for holding in memory.stats("mine"))
        assert seen >= before, (seen, before)  # what was there stays there
        if seen:
            # the writer adds one after the other: what is counted is found
            best = memory.search(f"number{seen - 1} of many", Direction("en", "fr"), k=1, tenant="mine")[0]
            assert best.exact and best.target == f"numéro{seen - 1}", best
        if seen == last + 1:
            break
print("done")
"""
COUNT = 60


def test_readers_see_whole_additions_while_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    Memory.open(path, create=True).close()

    def start(code: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, str(path), str(COUNT)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    readers = [start(READER) for _ in range(2)]
    writer = start(WRITER)
    for process in (writer, *readers):
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert out == "done\n"
    with Memory.open(path) as memory:
        found = memory.search("number7 of many", Direction("en", "fr"), k=500, tenant="other")
        assert {match.target[:8] for match in found} == {"étranger"}

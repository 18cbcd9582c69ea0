"""The server's description of itself held against the server: random requests by it, and what is answered otherwise.

    python benchmarks/serve_schema.py --examples 100

Every operation, with the null engine, gets so many requests made by schemathesis; no answer may be a fault (5xx but those
described), of a status that is not described, or of another form. The record goes to benchmarks/results/serve_schema.json.
tests/server/test_openapi.py does the same with few.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.openapi import describe
from tests.server.living import Live, living
from tests.server.test_openapi import CHECKS
from tests.server.test_security import all_operations

RESULT = Path(__file__).parent / "results" / "serve_schema.json"


def held(operation: Any, live: Live, examples: int) -> dict[str, Any]:
    """The statuses of one operation's answers, and the first answer that is not as described."""
    statuses: Counter[str] = Counter()

    @seed(1)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        answer = case.call(base_url=live.url, timeout=30)
        statuses[str(answer.status_code)] += 1
        case.validate_response(answer, checks=CHECKS)

    try:
        ask()
    except Exception as error:
        return {"statuses": dict(statuses), "problem": str(error)[:2000]}
    return {"statuses": dict(sorted(statuses.items())), "problem": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="requests for each operation")
    wanted = parser.parse_args().examples
    began = time.process_time()
    schema = schemathesis.openapi.from_dict(describe(all_operations()))
    with tempfile.TemporaryDirectory() as state, living(Gateway(Path(state), models=[NullModel()])) as live:
        found = {one.ok().label: held(one.ok(), live, wanted) for one in schema.get_all_operations()}
    problems = {name: one["problem"] for name, one in found.items() if one["problem"] is not None}
    record = {
        "command": f"benchmarks/serve_schema.py --examples {wanted}",
        "operations": len(found),
        "requests": sum(sum(one["statuses"].values()) for one in found.values()),
        "problems": problems,
        "cpu_seconds": round(time.process_time() - began, 1),
        "statuses": {name: one["statuses"] for name, one in found.items()},
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: record[name] for name in ("operations", "requests", "problems", "cpu_seconds")}, indent=1))


if __name__ == "__main__":
    main()

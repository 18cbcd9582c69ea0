"""The server's description of itself held against the server: random requests by it, and what is answered otherwise.

    python benchmarks/serve_schema.py --requests likely --examples 100

Every operation, with the null engine, gets so many requests made by schemathesis: any that fit the description, which are
mostly refused, or, where it has a body, likely ones, with languages and models that there are. No answer may be a fault (5xx but those
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
from dragoman.server.settings import Limits
from tests.server.living import Live, living
from tests.server.test_openapi import CHECKS, asked
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
    except (Exception, BaseExceptionGroup) as error:
        return {"statuses": dict(statuses), "problem": str(error)[:2000]}
    return {"statuses": dict(sorted(statuses.items())), "problem": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="requests for each operation")
    parser.add_argument("--requests", choices=("any", "likely"), default="likely", help="what kind")
    wanted = parser.parse_args()
    began = time.process_time()
    description = describe(all_operations())
    schema = schemathesis.openapi.from_dict(asked(description) if wanted.requests == "likely" else description)
    limits = Limits(documents=100_000)  # that many are held is no fault
    with (
        tempfile.TemporaryDirectory() as state,
        living(Gateway(Path(state), limits=limits, models=[NullModel()])) as live,
    ):
        operations = [one.ok() for one in schema.get_all_operations()]
        chosen = [one for one in operations if wanted.requests == "any" or one.body]
        found = {one.label: held(one, live, wanted.examples) for one in chosen}
    record = {
        "command": f"benchmarks/serve_schema.py --requests {wanted.requests} --examples {wanted.examples}",
        "operations": len(found),
        "requests": sum(sum(one["statuses"].values()) for one in found.values()),
        "answered": sum(n for one in found.values() for status, n in one["statuses"].items() if status < "3"),
        "problems": {name: one["problem"] for name, one in found.items() if one["problem"] is not None},
        "cpu_seconds": round(time.process_time() - began, 1),
        "statuses": {name: one["statuses"] for name, one in found.items()},
    }
    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    RESULT.write_text(json.dumps({**known, wanted.requests: record}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in record.items() if name != "statuses"}, indent=1))


if __name__ == "__main__":
    main()

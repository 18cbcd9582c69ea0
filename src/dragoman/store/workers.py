"""Work on all cores: jobs go to processes and results come back in the order of the jobs.

So a result does not depend on how many processes there are.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

from dragoman.errors import ResourceError

_IN_FLIGHT = 3  # jobs per process that wait there
_GARBAGE = 100_000  # objects between two collections: rows are many and in no cycles, looking at them costs a twentieth

Job = TypeVar("Job")
Result = TypeVar("Result")
Job_contra = TypeVar("Job_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Worker(Protocol[Job_contra, Result_co]):
    """Sent once to each process."""

    def start(self) -> Callable[[Job_contra], Result_co]:
        """Make ready, in the process; what comes back does the jobs."""


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_do: Callable[[Any], Any] | None = None


def _start(worker: Worker[Any, Any]) -> None:
    global _do  # noqa: PLW0603 - a process pool offers no other place for what a process keeps
    os.environ["RAYON_NUM_THREADS"] = "1"  # there is a process for each core already
    gc.set_threshold(_GARBAGE)
    _do = worker.start()


def _work(job: Any) -> Any:
    if _do is None:
        raise RuntimeError("the process was not made ready")
    return _do(job)


def in_order(jobs: Iterable[Job], worker: Worker[Job, Result], processes: int) -> Iterator[Result]:
    """Results in the order of the jobs; with one process the work is done here.

    Raises ResourceError when a process is killed.
    """
    if processes == 1:
        yield from map(worker.start(), jobs)
        return
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_start, initargs=(worker,)
    ) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(_work, job))
                if len(waiting) >= processes * _IN_FLIGHT:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise ResourceError(
                "a process that prepares data was killed, most likely for want of memory: close other programs or run "
                "`prepare` on a machine with more of it. In a script of your own, the call of dragoman must stand "
                "under `if __name__ == '__main__':`."
            ) from None
        finally:
            for future in waiting:
                future.cancel()

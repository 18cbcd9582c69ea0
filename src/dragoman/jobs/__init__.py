"""The one runner of jobs: here, in processes of this machine, or on a Ray cluster.

Whoever has many jobs of one kind (chunks of a corpus, shards of a file, arms of a study, trials of a search) writes a
`Worker`, opens a pool and gives its jobs to a `Runner`. Jobs leave what they have reached on disk, so that one which is begun
again, in this run or the next, goes on from there.
"""

from dragoman.jobs.pools import Here, Pool, Processes, cores
from dragoman.jobs.runner import Crew, Ended, Runner, crew, in_order, opened, spread
from dragoman.jobs.worker import Place, Worker, WorkerLostError, explain

__all__ = [
    "Crew",
    "Ended",
    "Here",
    "Place",
    "Pool",
    "Processes",
    "Runner",
    "Worker",
    "WorkerLostError",
    "cores",
    "crew",
    "explain",
    "in_order",
    "opened",
    "spread",
]

"""Bulk translation: a long file in shards over several workers, each with a model of its own.

The output is the same whatever the number of workers: rows in the order of the input, each once, with its translation or
with the reason why it has none. A shard is written whole or not at all, so that the same command goes on after a stop.
"""

from dragoman.bulk.job import Job, Report, translate
from dragoman.bulk.work import Spec

__all__ = ["Job", "Report", "Spec", "translate"]

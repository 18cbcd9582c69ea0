"""The processes that train together: who this one is, and the few words that they exchange.

One process is the ordinary case: every method then does nothing, and nothing of torch.distributed is loaded. Several are
started by torchrun or by `--processes`, which tell each its number in the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from dragoman.errors import ResourceError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

_PATIENCE = timedelta(
    days=14
)  # the others wait while one prepares and evaluates; who dies is noticed at once all the same
_GONE = re.compile(  # how gloo and NCCL tell that somebody is not there any more
    r"connection (closed|reset|refused)|broken pipe|pair closure|remote process exited|timed? ?out|socket",
    re.IGNORECASE,
)


class PeerError(ResourceError):
    """Another process of this training has ended."""


class World:
    """One process alone. `rank`: the number of this process, from 0; `local`: its number on this machine, which has
    `neighbours` of them."""

    rank, size, local, neighbours = 0, 1, 0, 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until all are here."""

    def agreed(self, value: T) -> T:
        """The first process's value."""
        return value

    def gathered(self, value: T) -> list[T]:
        """The values of all processes, in their order."""
        return [value]

    def either(self, wish: bool) -> bool:
        """Whether any of the processes wishes it."""
        return wish

    def add(self, tensor: torch.Tensor) -> None:
        """Put the sum over all processes in the place of `tensor`."""

    def most(self, tensor: torch.Tensor) -> None:
        """Put the greatest of all processes, element by element, in the place of `tensor`."""

    def dealt(self, items: Sequence[T]) -> list[T]:
        """This process's share: each `size`-th of the items."""
        return list(items[self.rank :: self.size])

    def collected(self, share: Sequence[T]) -> list[T]:
        """The shares that were `dealt` and worked on, of all processes, in the order of the items."""
        shares = self.gathered(list(share))
        count = sum(map(len, shares))
        return [shares[place % self.size][place // self.size] for place in range(count)]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process goes through the body alone, then all others: what it has written they find."""
        if not self.first:
            self.barrier()
        yield
        if self.first:
            self.barrier()


class Group(World):
    """Several processes, joined by torch.distributed."""

    def __init__(self) -> None:
        import torch
        import torch.distributed as dist

        self.local = int(os.environ.get("LOCAL_RANK", "0"))
        self.neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
        cards = torch.cuda.is_available()
        if cards:
            if self.neighbours > torch.cuda.device_count():
                raise ResourceError(
                    f"{self.neighbours} processes were started on this machine, which has {torch.cuda.device_count()} "
                    "cards: start as many as there are cards."
                )
            torch.cuda.set_device(self.local)
        try:
            dist.init_process_group("cpu:gloo,cuda:nccl" if cards else "gloo", timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise ResourceError(
                f"the processes of this training do not find each other ({_line(error)}). Start them with torchrun, or "
                "with `dragoman run RECIPE --processes N`."
            ) from None
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._dist = dist

    def barrier(self) -> None:
        self.gathered(None)  # of objects: on the processors, also where cards compute

    def agreed(self, value: T) -> T:
        held: list[Any] = [value if self.first else None]
        with watched():
            self._dist.broadcast_object_list(held, src=0, device=_processor())
        found: T = held[0]
        return found

    def gathered(self, value: T) -> list[T]:
        held: list[Any] = [None] * self.size
        with watched():
            self._dist.all_gather_object(held, value)
        return held

    def either(self, wish: bool) -> bool:
        import torch

        flag = torch.tensor([float(wish)])
        self.most(flag)
        return bool(flag)

    def add(self, tensor: torch.Tensor) -> None:
        with watched():
            self._dist.all_reduce(tensor)

    def most(self, tensor: torch.Tensor) -> None:
        with watched():
            self._dist.all_reduce(tensor, op=self._dist.ReduceOp.MAX)


ALONE = World()
_world: World = ALONE


def current() -> World:
    """The processes that train together here; one, unless `joined`."""
    return _world


def asked() -> int:
    """How many processes the environment names (torchrun's WORLD_SIZE)."""
    found = os.environ.get("WORLD_SIZE", "")
    return int(found) if found.isdigit() and "RANK" in os.environ and "MASTER_ADDR" in os.environ else 1


def number() -> int:
    """The number of this process among those that the environment names."""
    return int(os.environ["RANK"]) if asked() > 1 else 0


@contextmanager
def joined() -> Iterator[World]:
    """Join the processes that the environment names, for a run. What a lost one breaks is told as PeerError."""
    global _world  # noqa: PLW0603 - a process is in one group, as torch.distributed has it
    if asked() == 1 or _world is not ALONE:
        yield _world
        return
    _world = Group()
    try:
        with watched():
            yield _world
        _world.barrier()
        _world._dist.destroy_process_group()
    finally:
        _world = ALONE


@contextmanager
def watched() -> Iterator[None]:
    """Tell the loss of another process, on which every exchange ends, as PeerError."""
    try:
        yield
    except RuntimeError as error:
        if not _GONE.search(str(error)):
            raise
        raise PeerError(
            f"another process of this training has ended ({_line(error)}). Its own message stands above, if it had time for "
            "one; the last checkpoint is whole, and the same command goes on from it, with as many processes as you like."
        ) from error


def _processor() -> Any:
    import torch

    return torch.device("cpu")


def _line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200]

"""Data parallel training on the cores of one machine: processes share the forward passes of a step.

A small model gives a core little to do at a time, so threads inside one process hardly help: with two million parameters
two threads train about as fast as one. Here every process has its own model over the same weights, which stand in shared
memory; token ids go out, losses and gradients come back, and are added in the order of the processes. The update itself
is made once, by the process that called. Which pass goes to which process depends on its number alone, and each process
draws its dropout from a seed of the caller's: a resumed run comes to the same bits.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from dragoman.core.recipe import Phase
from dragoman.engine.batch import Batch
from dragoman.engine.losses import Loss
from dragoman.engine.optimise import Optimiser
from dragoman.errors import ResourceError

_ALIGNED = 64  # elements: every parameter starts on a cache line
_SHARED = Path("/dev/shm")  # memory that is a file, on Linux
_STOPS = 60.0  # seconds that a process has to end


@dataclass(frozen=True)
class Spec:
    """How a process makes the model that the caller has."""

    base: Path  # the folder of the model; what is trained comes from the shared weights
    phase: Phase
    dtype: torch.dtype
    attention: str
    compiled: bool
    threads: int


class Replicas:
    """`count` - 1 more processes for an optimiser's model, in a `with` statement. CPU only.

    Raises ResourceError when a process ends or cannot be made.
    """

    def __init__(self, spec: Spec, optimiser: Optimiser, count: int) -> None:
        self._spec, self._optimiser, self._count = spec, optimiser, count
        self._threads = torch.get_num_threads()
        self._pipes: list[Connection] = []
        self._gradients: list[list[torch.Tensor]] = []

    def __enter__(self) -> Replicas:
        shapes = [p.shape for p in self._optimiser.parameters]
        folder = _folder(sum(map(_room, shapes)) * (4 + 4 * self._count))
        context = get_context("spawn")
        self._processes = []
        try:
            for parameter, view in zip(
                self._optimiser.parameters, _views(folder / "weights", shapes, self._spec.dtype), strict=True
            ):
                view.copy_(parameter.detach())
                parameter.data = view
            for number in range(1, self._count):
                ours, theirs = context.Pipe()
                self._pipes.append(ours)
                process = context.Process(
                    target=_serve, args=(self._spec, folder, number, theirs), name=f"replica {number}"
                )
                process.start()
                self._processes.append(process)
                theirs.close()
            for number, pipe in enumerate(self._pipes, 1):
                self._receive(pipe)  # it is ready
                self._gradients.append(_views(folder / f"gradients-{number}", shapes, torch.float32))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # the memory stays until the last process has ended
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(_STOPS)
            if process.is_alive():
                process.kill()
                process.join()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While a step is made, this process has as many threads as the others. One more would not only find no core:
        threads wait for their next work by spinning, on the core of another process."""
        torch.set_num_threads(self._spec.threads)
        try:
            yield
        finally:
            torch.set_num_threads(self._threads)

    def passes(
        self, model: Any, loss: Loss, batches: Sequence[Batch], targets: int, groups: int, absorb: Callable[[], None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `loop.passes`, in all processes at once."""
        from dragoman.engine.loop import passes

        seeds = torch.randint(2**31 - 1, (self._count,)).tolist()
        state = torch.get_rng_state()
        for number, pipe in enumerate(self._pipes, 1):
            pipe.send(([_sent(batch) for batch in batches[number :: self._count]], targets, groups, seeds[number]))
        torch.manual_seed(seeds[0])
        try:
            total, sums = passes(model, loss, batches[:: self._count], targets, groups, absorb)
        finally:
            torch.set_rng_state(state)
        for pipe, gradients in zip(self._pipes, self._gradients, strict=True):
            more, by_group = self._receive(pipe)
            total += more
            sums += torch.tensor(by_group, dtype=sums.dtype)
            self._optimiser.add(gradients)
        return total, sums

    def _receive(self, pipe: Connection) -> Any:
        try:
            found = pipe.recv()
        except (EOFError, OSError):
            raise ResourceError(
                "a process that trains was killed, most likely for want of memory: close other programs, or set "
                "`plan.processes=1`. The last checkpoint is whole. In a script of your own, the call of dragoman must "
                "stand under `if __name__ == '__main__':`."
            ) from None
        if isinstance(found, Exception):
            raise found
        return found


# ---------------------------------------------------------------- in a process of its own


def _serve(spec: Spec, folder: Path, number: int, caller: Connection) -> None:
    """Answer the caller until it closes the connection or is gone."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # they are for the caller, who ends the step first
        signal.signal(stop, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(spec.threads)
    try:
        work = _Work(spec, folder, number)
        caller.send(True)
        while True:
            batches, targets, groups, seed = caller.recv()
            caller.send(work(batches, targets, groups, seed))
    except (EOFError, ConnectionError):  # the caller is done, or gone
        return
    except Exception as error:
        caller.send(RuntimeError(f"a process that trains failed: {type(error).__name__}: {error}"))


class _Work:
    """The model of this process, over the shared weights."""

    def __init__(self, spec: Spec, folder: Path, number: int) -> None:
        from dragoman.engine import load, losses
        from dragoman.engine.loop import attend, compile_blocks
        from dragoman.engine.material import trainable

        loaded = load.load(spec.base)
        self.model = trainable(loaded, spec.phase)
        for parameter in self.model.parameters():
            parameter.data = parameter.data.to(spec.dtype)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        shapes = [p.shape for p in self.parameters]
        self.gradients = _views(folder / f"gradients-{number}", shapes, torch.float32)
        for parameter, view in zip(self.parameters, _views(folder / "weights", shapes, spec.dtype), strict=True):
            parameter.data = view
        attend(loaded.model, spec.attention)
        if spec.compiled:
            compile_blocks(loaded.model)
        self.loss = losses.cross_entropy(spec.phase.training.label_smoothing, compiled=spec.compiled)
        self.model.train()

    def __call__(
        self, sent: Sequence[tuple[Any, ...]], targets: int, groups: int, seed: int
    ) -> tuple[float, list[list[float]]]:
        from dragoman.engine.loop import passes

        torch.manual_seed(seed)
        torch._foreach_zero_(self.gradients)
        total, sums = passes(self.model, self.loss, [_received(b) for b in sent], targets, groups, self._absorb)
        return float(total), sums.tolist()

    @torch.no_grad()
    def _absorb(self) -> None:
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            if parameter.grad is not None:
                gradient.add_(parameter.grad)
                parameter.grad = None


# ---------------------------------------------------------------- what goes between them


def _sent(batch: Batch) -> tuple[Any, ...]:
    """As arrays: tensors would each be put into shared memory of their own."""
    tensors = (batch.ids, batch.positions, batch.where, batch.labels, batch.groups)
    return (batch.tokens, *(None if tensor is None else tensor.numpy() for tensor in tensors))


def _received(sent: tuple[Any, ...]) -> Batch:
    tokens, *arrays = sent
    ids, positions, where, labels, groups = (None if a is None else torch.from_numpy(a) for a in arrays)
    assert ids is not None and where is not None and labels is not None  # noqa: S101
    return Batch(ids, positions, where, labels, tokens, groups)


def _room(shape: torch.Size) -> int:
    return -(-shape.numel() // _ALIGNED) * _ALIGNED


def _views(path: Path, shapes: Sequence[torch.Size], dtype: torch.dtype) -> list[torch.Tensor]:
    """Tensors of these shapes, one after the other in a file that processes share as memory."""
    rooms = [_room(shape) for shape in shapes]
    whole = torch.from_file(str(path), shared=True, size=sum(rooms), dtype=dtype)
    return [part[: shape.numel()].view(shape) for part, shape in zip(whole.split(rooms), shapes, strict=True)]


def _folder(size: int) -> Path:
    """A new folder with room for `size` bytes, in memory if there is enough: a container may have very little."""
    fits = _SHARED.is_dir() and shutil.disk_usage(_SHARED).free > 2 * size
    return Path(tempfile.mkdtemp(prefix="dragoman-", dir=_SHARED if fits else None))

"""A device that is not there. Inside `elsewhere()` everything runs on the processor, but a tensor that is made without a device
(`torch.arange(n)`, `torch.tensor([...])`, also with `device="cpu"`) counts as lying in the processor's memory, and every
other one as lying on a card: that of a model made before, what is made with `device=x.device`, what `.to(device)` gives.
An operation that takes both raises WrongDeviceError, as a card would; a number without dimensions, an index, and copies from one
to the other are allowed, as there.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

_MAKING = {
    getattr(torch, name)
    for name in [
        "arange",
        "zeros",
        "ones",
        "full",
        "empty",
        "tensor",
        "as_tensor",
        "asarray",
        "from_numpy",
        "rand",
        "randn",
        "randint",
        "randperm",
        "linspace",
        "logspace",
        "eye",
        "tril_indices",
        "triu_indices",
        "normal",
        "frombuffer",
    ]
}
_MOVING = {torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.cuda}
_COPYING = {"aten::copy_", "aten::_foreach_copy_"}
_INDEXING = {"aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_", "aten::_unsafe_index"}


class WrongDeviceError(AssertionError):
    """Tensors of two devices in one operation."""


class _Places:
    """Which storages lie in the processor's memory."""

    def __init__(self) -> None:
        self._here: dict[int, Any] = {}

    def is_here(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._here

    def put(self, tensor: torch.Tensor, *, here: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if not here:
            self._here.pop(key, None)
        elif key not in self._here:
            self._here[key] = weakref.finalize(storage, self._here.pop, key, None)


class _Made(TorchFunctionMode):
    """Notes where a tensor is made and where it is moved to, by what the caller says."""

    def __init__(self, places: _Places) -> None:
        super().__init__()
        self.places = places

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        found = function(*args, **given)
        if function in _MAKING and isinstance(found, torch.Tensor):
            device = given.get("device")
            shared = function in (torch.as_tensor, torch.asarray) and args and isinstance(args[0], torch.Tensor)
            if not shared or device is not None:
                self.places.put(found, here=device is None or isinstance(device, str))
        elif function in _MOVING and (target := self._target(function, args, given)) is not None:
            found = found.clone() if found is args[0] else found
            self.places.put(found, here=target)
        return found

    def _target(self, function: Any, args: Any, given: Mapping[str, Any]) -> bool | None:
        """Whether a tensor is moved into the processor's memory; None where it stays where it is."""
        if function is not torch.Tensor.to:
            return function is torch.Tensor.cpu
        for one in [*args[1:], *given.values()]:
            if isinstance(one, str | torch.device):
                return isinstance(one, str)
            if isinstance(one, torch.Tensor):
                return self.places.is_here(one)
        return None


class _Checked(TorchDispatchMode):
    """Raises where an operation takes tensors of both places; what it gives lies where its tensors lie."""

    def __init__(self, places: _Places) -> None:
        super().__init__()
        self.places = places

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = function._schema.name
        taken = [t for t in tree_iter((args[:1] if name in _INDEXING else args, kwargs)) if isinstance(t, torch.Tensor)]
        weighty = [t for t in taken if t.ndim]
        here = [self.places.is_here(t) for t in weighty]
        if any(here) and not all(here) and name not in _COPYING:
            shapes = [
                f"{tuple(t.shape)} {'on the processor' if h else 'on the card'}"
                for t, h in zip(weighty, here, strict=True)
            ]
            raise WrongDeviceError(f"{name} takes tensors of two devices: {', '.join(shapes)}")
        found = function(*args, **(kwargs or {}))
        if here and all(here) and name not in _COPYING:
            for part in tree_iter(found):
                if isinstance(part, torch.Tensor):
                    self.places.put(part, here=True)
        return found


@contextmanager
def elsewhere() -> Iterator[_Places]:
    places = _Places()
    with _Checked(places), _Made(places):
        yield places

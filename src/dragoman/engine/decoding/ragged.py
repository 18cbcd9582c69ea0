"""A model that reads rows of different lengths side by side: rows join, leave and read several tokens at any time.

Column c of the cache holds a row's token at position c, so a row's past never moves, what was read too much is written over,
and the beginning that all prompts share is read once. The memory grows by parts instead of being copied at every step.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

from dragoman.engine.decoding.aligned import cache_name
from dragoman.engine.token_scores import Head

_AT_ONCE = 2048  # tokens of prompts that are read in one go
_GROWTH = 1.25  # of the memory, where it is too small
_COLUMNS = 32  # more at least
_WORTH = 64  # tokens that must be saved by reading a common beginning apart


class _Layer(CacheLayerMixin):  # type: ignore[misc] # transformers is not read for its types
    """Keys and values [rows, heads, columns, size] of one layer."""

    def __init__(self, places: _Places) -> None:
        super().__init__()
        self._places = places

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = key_states.new_zeros(0, key_states.shape[1], 0, key_states.shape[3])
        self.values = value_states.new_zeros(0, value_states.shape[1], 0, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write what is new [rows, heads, tokens, size] to its places; give back all columns of these rows."""
        del args, kwargs
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._written(self.keys, key_states)
        self.values = self._written(self.values, value_states)
        return self._read(self.keys), self._read(self.values)

    def _written(self, held: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        held = self._places.grown(held)
        where = self._places.flat(held)
        held.view(-1, held.shape[-1]).index_copy_(0, where, new.transpose(1, 2).reshape(-1, new.shape[-1]))
        return held

    def _read(self, held: torch.Tensor) -> torch.Tensor:
        places = self._places
        if places.rows is None:
            return held[: places.count, :, : places.columns]
        return held[places.rows, :, : places.columns]

    def get_seq_length(self) -> int:
        return 0  # positions and masks are given

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._places.columns, 0


class _Places:
    """Where the next tokens stand: of which rows (None: all `count`), and in which columns [rows, tokens]."""

    def __init__(self) -> None:
        self.count = 0  # rows in use
        self.columns = 0  # columns in use by the rows that are read now
        self.rows: torch.Tensor | None = None
        self._at = torch.zeros(0, 0, dtype=torch.long)
        self._known: dict[tuple[int, int], torch.Tensor] = {}

    def take(self, rows: torch.Tensor | None, at: torch.Tensor, columns: int) -> None:
        self.rows, self._at, self.columns = rows, at, columns
        self._known.clear()

    def grown(self, held: torch.Tensor) -> torch.Tensor:
        """The memory, larger where there is need of it; zeros, since what is masked is still multiplied."""
        rows, heads, columns, size = held.shape
        if rows >= self.count and columns >= self.columns:
            return held
        more = rows if rows >= self.count else max(self.count, int(rows * _GROWTH))
        wide = columns if columns >= self.columns else max(self.columns + _COLUMNS, int(columns * _GROWTH))
        new = held.new_zeros(more, heads, wide, size)
        new[:rows, :, :columns] = held
        return new

    def flat(self, held: torch.Tensor) -> torch.Tensor:
        """The places as numbers into [rows x heads x columns], in the order rows, tokens, heads."""
        _, heads, columns, _ = held.shape
        if (heads, columns) not in self._known:
            device = self._at.device
            rows = torch.arange(self.count, device=device) if self.rows is None else self.rows
            first = rows[:, None] * heads + torch.arange(heads, device=device)
            self._known[heads, columns] = (first[:, None, :] * columns + self._at[:, :, None]).reshape(-1)
        return self._known[heads, columns]


class Ragged:
    """A model, and what it has read of every row. `prefix`: tokens that many prompts begin with, to be read once."""

    joins = True

    def __init__(self, model: Any, head: Head, pad: int, prefix: Sequence[int] = ()) -> None:
        self._model, self._head, self._pad = model, head, pad
        self._prefix = list(prefix)
        self._shared: list[tuple[torch.Tensor, torch.Tensor]] = []  # of the prefix, one a layer
        self._places = _Places()
        self._windows = windows(model) or [None]
        self._cache = Cache(layers=[_Layer(self._places) for _ in self._windows])
        self._cache_name = cache_name(model)
        self._kinds = _kinds(model, self._windows)
        self._device = model.device

    def admit(self, prompts: Sequence[Sequence[int]], copies: Sequence[int]) -> torch.Tensor:
        """Read prompts into new rows, behind those that are there, so many rows of each: [prompts, ...] of the head."""
        first = self._places.count
        firsts = [first + sum(copies[:number]) for number in range(len(copies))]
        self._places.count += sum(copies)
        done = self._begin(prompts, firsts)
        found = []
        start = 0
        while start < len(prompts):
            longest = max(len(prompts[start]) - done, 1)
            stop = start + 1
            while stop < len(prompts):
                longest = max(longest, len(prompts[stop]) - done)
                if (stop + 1 - start) * longest > _AT_ONCE:
                    break
                stop += 1
            some = [list(prompt[done:]) for prompt in prompts[start:stop]]
            found.append(self._prompts(some, firsts[start:stop], done))
            start = stop
        for row, many, prompt in zip(firsts, copies, prompts, strict=True):
            if many > 1:
                for held in self._held():
                    held[row + 1 : row + many, :, : len(prompt)] = held[row, :, : len(prompt)]
        return torch.cat(found)

    def step(self, tokens: Sequence[Sequence[int]], lengths: Sequence[int], wanted: Sequence[int]) -> torch.Tensor:
        """Read the next tokens of all rows, each from its own length on: the head's output behind every token of the rows
        `wanted`, one after the other."""
        width = max(map(len, tokens))
        ids = torch.tensor([[*row, *[self._pad] * (width - len(row))] for row in tokens], device=self._device)
        start = torch.tensor(lengths, device=self._device)[:, None]
        where = [row * width + place for row in wanted for place in range(len(tokens[row]))]
        longest = max(length + len(row) for length, row in zip(lengths, tokens, strict=True))
        at = start + torch.arange(width, device=self._device)
        return self._read(None, ids, at, max(lengths) + width, longest, where)

    def keep(self, order: Sequence[int]) -> None:
        """Go on with these rows only, in this order; a row that goes to another place comes from behind."""
        self._places.count = len(order)
        moved = [(to, come) for to, come in enumerate(order) if to != come]
        if moved:
            to, come = (torch.tensor(part, device=self._device) for part in zip(*moved, strict=True))
            for held in self._held():
                held[to] = held[come]

    def _begin(self, prompts: Sequence[Sequence[int]], rows: list[int]) -> int:
        """Put the common beginning of all prompts into new rows; its length. Those who join later may have another one."""
        size = len(self._prefix)
        if any(len(prompt) <= size or list(prompt[:size]) != self._prefix for prompt in prompts):
            beginning = common(prompts)
            if not beginning:
                return 0
            self._prefix, self._shared, size = beginning, [], len(beginning)
        if not size:
            return 0
        if not self._shared:
            ids = torch.tensor([self._prefix], device=self._device)
            at = torch.arange(size, device=self._device)[None]
            self._read(torch.tensor(rows[:1], device=self._device), ids, at, size, size, [size - 1])
            self._shared = [
                (layer.keys[rows[0], :, :size].clone(), layer.values[rows[0], :, :size].clone())
                for layer in self._cache.layers
            ]
        self._places.take(None, torch.zeros(0, 0), size)
        for layer, (keys, values) in zip(self._cache.layers, self._shared, strict=True):
            layer.keys, layer.values = self._places.grown(layer.keys), self._places.grown(layer.values)
            layer.keys[rows, :, :size] = keys
            layer.values[rows, :, :size] = values
        return size

    def _prompts(self, prompts: Sequence[list[int]], rows: Sequence[int], done: int) -> torch.Tensor:
        width = max(map(len, prompts))
        ids = torch.tensor([[*row, *[self._pad] * (width - len(row))] for row in prompts], device=self._device)
        at = torch.arange(done, done + width, device=self._device).expand(len(prompts), -1)
        where = [number * width + len(row) - 1 for number, row in enumerate(prompts)]
        return self._read(torch.tensor(rows, device=self._device), ids, at, done + width, done + width, where)

    def _read(
        self,
        rows: torch.Tensor | None,
        ids: torch.Tensor,
        at: torch.Tensor,
        columns: int,
        longest: int,
        where: Sequence[int],
    ) -> torch.Tensor:
        """ids [rows, tokens] into columns `at`; from `longest` on they only fill up, and are written over later."""
        self._places.take(rows, at, columns)
        self._head.where = torch.tensor(where, device=self._device)
        output = self._model(
            input_ids=ids,
            attention_mask=self._masks(at),
            position_ids=at.clamp(max=longest - 1),
            use_cache=True,
            **{self._cache_name: self._cache},
        )
        found: torch.Tensor = output.logits[0]
        return found

    def _masks(self, at: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        made = {kind: self._mask(at, window) for kind, window in self._kinds.items()}
        return made if len(made) > 1 else next(iter(made.values()))

    def _mask(self, at: torch.Tensor, window: int | None) -> torch.Tensor:
        """What each token may look at [rows, 1, tokens, columns]."""
        columns = torch.arange(self._places.columns, device=at.device)
        seen = columns <= at[:, None, :, None]
        if window is not None:
            seen &= columns > at[:, None, :, None] - window
        if self._model.config._attn_implementation == "eager":
            least = torch.finfo(self._model.dtype).min
            return torch.zeros(seen.shape, dtype=self._model.dtype, device=at.device).masked_fill(~seen, least)
        return seen

    def _held(self) -> list[torch.Tensor]:
        return [held for layer in self._cache.layers for held in (layer.keys, layer.values)]


def common(prompts: Sequence[Sequence[int]]) -> list[int]:
    """What all prompts begin with, if it is worth while to read it once; each keeps a token of its own."""
    if len(prompts) < 2:
        return []
    low, high = min(map(list, prompts)), max(map(list, prompts))
    most = min(map(len, prompts)) - 1
    size = next((i for i in range(most) if low[i] != high[i]), most)
    return list(low[:size]) if size * (len(prompts) - 1) >= _WORTH else []


def windows(model: Any) -> list[int | None] | None:
    """How far each layer looks back, None = to the beginning; no list where a layer keeps something else than keys and
    values, or has a window that the library does not know of."""
    config = model.config.get_text_config(decoder=True)
    if any(getattr(config, key, None) for key in ("attention_layers", "attention_chunk_size", "alibi")):
        return None
    found: list[int | None] = []
    for layer in DynamicCache(config=config).layers:
        if type(layer) is DynamicSlidingWindowLayer:
            found.append(layer.sliding_window)
        elif type(layer) is DynamicLayer:
            found.append(None)
        else:
            return None
    return found


def _kinds(model: Any, windows: Sequence[int | None]) -> dict[str, int | None]:
    """The kinds of layers by the names that the configuration gives them, and how far each looks back."""
    names = getattr(model.config.get_text_config(decoder=True), "layer_types", None) or ["full_attention"] * len(
        windows
    )
    return dict(zip(names, windows, strict=False))


_TRIED: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


def can_be_ragged(model: Any) -> bool:
    """Whether the model reads rows of different lengths side by side as it reads each alone: tried out, not looked up."""
    if model not in _TRIED:
        _TRIED[model] = _tried(model)
    return _TRIED[model]


@torch.inference_mode()
def _tried(model: Any) -> bool:
    far = windows(model)
    if not far or model.config._attn_implementation not in ("sdpa", "eager"):
        return False
    if len(set(_kinds(model, far).values())) != len(set(far)):
        return False
    first, second = [5, 3, 7, 4, 6], [6, 4]
    rest = [[3, 5], [7]]
    training = model.training
    model.eval()
    try:
        head = Head(model)
        with head:
            reader = Ragged(model, head, 0)
            found = [reader.admit([first, second], [1, 1]), reader.step(rest, [5, 2], [0, 1])]
            made = head.logits(torch.cat(found))
        whole = [
            model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0].float()
            for ids in (first + rest[0], second + rest[1])
        ]
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError):
        return False  # it takes no masks or positions of one's own
    finally:
        model.train(training)
    wanted = torch.stack([whole[0][4], whole[1][1], whole[0][5], whole[0][6], whole[1][2]])
    least = 1e-3 if model.dtype == torch.float32 else 0.1
    return bool((made - wanted).norm() <= least * wanted.norm())

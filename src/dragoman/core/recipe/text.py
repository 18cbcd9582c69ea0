"""The text of a recipe: YAML in, overrides applied, and what is wrong in it said with file and line.

YAML is read as 1.2, so that Norwegian `no` is a language and `2e-4` a number.
"""

from __future__ import annotations

import difflib
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from dragoman.errors import RecipeError

Path = tuple[str | int, ...]  # where something stands: keys of mappings and numbers of list entries
KnownKeys = Callable[[Sequence[str | int]], list[str]]  # the keys that may stand at a place


@dataclass(frozen=True, slots=True)
class RecipeText:
    """A recipe's YAML with the overrides in it. `overridden` are the places that the command line has set."""

    name: str
    data: Any
    overridden: frozenset[Path]

    @classmethod
    def read(cls, text: str, name: str, overrides: Sequence[str]) -> RecipeText:
        """Raises RecipeError when the text is no YAML mapping or an override cannot be applied."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            data = YAML(typ="rt").load(io.StringIO(text))
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{name}:{mark.line + 1}" if mark else name
            raise RecipeError(f"{where}: {_yaml_problem(error)}") from None
        if not isinstance(data, dict):
            raise RecipeError(f"{name}:1: a recipe is a mapping of sections (name, pairs, prepare, model, train, ...)")
        return cls(name, data, frozenset(_apply(data, override) for override in overrides))

    @property
    def plain(self) -> Any:
        """The data as plain Python values."""
        return _plain(self.data)

    def explain(self, problems: Sequence[Any], known_keys: KnownKeys) -> list[str]:
        """pydantic's errors as lines: one for each place in the recipe that is wrong, in the file's order."""
        places: dict[Path, list[Any]] = {}
        for problem in problems:
            places.setdefault(_real_path(self.plain, problem["loc"]), []).append(problem)
        lines: list[tuple[int, str]] = []
        for path, here in places.items():
            deeper = any(other[: len(path)] == path for other in places if len(other) > len(path))
            if deeper and all(problem["type"] in _OTHER_KIND for problem in here):
                continue  # the section was tried as another kind of value; what is wrong inside it is what counts
            line = _line(self.data, path)
            set_there = any(path[: len(start)] == start for start in self.overridden)
            read = f"{self.name}:{line}" if hasattr(self.data, "lc") else self.name  # a program's recipe has no lines
            where = "command line" if set_there else read
            lines.append((line, f"{where}: {_dotted(path) or 'recipe'}: {_message(path, here, known_keys)}"))
        return [text for _, text in sorted(lines, key=lambda entry: entry[0])]


def as_override(key: str, value: Any) -> str:
    """`key=value` with a plain value written so that it is read back as it is: JSON is YAML."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def dump(data: Any) -> str:
    """Plain values as YAML, in the order given."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 10_000
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def _yaml_problem(error: Exception) -> str:
    problem = str(getattr(error, "problem", None) or error)
    if twice := re.match(r'found duplicate key "(.*?)"', problem):
        return f"{twice[1]}: this key is given twice in one section. Keep one."
    return f"not valid YAML: {problem}"


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path))


# ---------------------------------------------------------------- overrides


def _apply(data: Any, override: str) -> Path:
    """Set one `a.b.0.c=value` in place and return its path. The value is YAML, so it may be a whole section."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    key, separator, value = override.partition("=")
    if not separator or not key.strip():
        raise RecipeError(f"'{override}': an override is written section.key=value, for example train.0.sft.epochs=3")
    try:
        parsed = YAML(typ="safe", pure=True).load(io.StringIO(value))
    except YAMLError as error:
        raise RecipeError(f"'{override}': the value is {_yaml_problem(error)}") from None
    path = _as_written(data, [int(part) if part.isdigit() else part for part in key.strip().split(".")])
    node = data
    for position, (here, following) in enumerate(pairwise(path)):
        _require(override, node, path[:position], here)
        if isinstance(node, dict) and node.get(here) is None:
            node[here] = [] if isinstance(following, int) else {}
        elif isinstance(node, list) and here == len(node):
            node.append({})
        node = node[here]
    _require(override, node, path[:-1], path[-1])
    if isinstance(node, list) and path[-1] == len(node):
        node.append(parsed)
    else:
        node[path[-1]] = parsed
    return path


def _as_written(data: Any, path: Sequence[str | int]) -> Path:
    """The path without the `0` of a list of one entry that the file writes without its list: `train: {sft: ...}`."""
    written: list[str | int] = []
    for key in path:
        if key == 0 and isinstance(data, dict) and key not in data:
            continue
        written.append(key)
        data = data.get(key) if isinstance(data, dict) else data[key] if _holds(data, key) else None
    return tuple(written)


def _holds(data: Any, key: str | int) -> bool:
    return isinstance(data, list) and isinstance(key, int) and key < len(data)


def _require(override: str, node: Any, before: Path, key: str | int) -> None:
    """Raise RecipeError unless `key` can be set in `node`; a list may grow by one entry."""
    if not isinstance(node, dict | list):
        raise RecipeError(f"'{override}': '{_dotted(before)}' holds a single value, so it has no key '{key}'")
    if isinstance(node, list) and (not isinstance(key, int) or key > len(node)):
        count = "1 entry" if len(node) == 1 else f"{len(node)} entries"
        raise RecipeError(
            f"'{override}': '{_dotted(before)}' is a list of {count}, numbered from 0; '{key}' is none of them"
        )


# ---------------------------------------------------------------- ruamel's annotated values


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    if isinstance(node, date):
        return node.isoformat()  # no key holds a date, so it was meant as text, such as a name
    if node is None or isinstance(node, bool):
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _line(data: Any, path: Path) -> int:
    """The 1-based line of the deepest part of `path` that the file really has."""
    line = 0
    for key in path:
        own: Any = key
        if isinstance(data, dict):
            own = next((other for other in data if str(other) == key), None)  # a key may be a number in the file
        marks = getattr(getattr(data, "lc", None), "data", None) or {}
        if own not in marks or (isinstance(data, list) and own >= len(data)):
            break
        line = marks[own][0]
        data = data[own]
    return int(line) + 1


def _real_path(data: Any, path: Sequence[str | int]) -> Path:
    """pydantic's location without the names of union members, which stand in no file."""
    real: list[str | int] = []
    for position, key in enumerate(path):
        if isinstance(data, dict) and (key in data or position == len(path) - 1):
            if key in data or not re.search(r"[\[\]()]|^[A-Z]|^(int|float|str|literal)", str(key)):
                real.append(key)
            data = data.get(key)
        elif _holds(data, key):
            real.append(key)
            data = data[key]
    return tuple(real)


# ---------------------------------------------------------------- messages

_OTHER_KIND = ("literal_error", "model_type", "dict_type", "list_type", "int_type", "float_type", "string_type")


def _message(path: Path, problems: Sequence[Any], known_keys: KnownKeys) -> str:
    first = problems[0]
    if first["type"] == "extra_forbidden":
        known = known_keys(first["loc"][:-1])
        key = str(path[-1])
        if key in known_keys(path[:-1]):  # of another kind of this section
            return f"`{first['loc'][-2]}` has no such key. Known here: {', '.join(known)}."
        near = difflib.get_close_matches(key, known, n=1) or [name for name in known if name.startswith(key)]
        return "unknown key. " + (f"Did you mean '{near[0]}'?" if near else f"Known here: {', '.join(known)}.")
    if first["type"] == "missing":
        return "is missing"
    if first["type"] == "union_tag_invalid":
        key, given, kinds = (first["ctx"][name] for name in ("discriminator", "tag", "expected_tags"))
        near = difflib.get_close_matches(given.lower(), re.findall(r"\w+", kinds), n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        return f"no such {key[1:-1]}: '{given}'. There are {kinds}.{hint}"
    texts = []
    for problem in problems:
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "model_type":
            text = f"should be a section with keys such as {', '.join(known_keys(path)[:4])}"
        texts.append(re.sub(r"^(Input|Value) should ", "should ", text).replace(" after validation", ""))
    given = first["input"]
    shown = "" if isinstance(given, dict) or repr(given) in texts[0] else f" (got {_shorten(given)})"
    return ", or ".join(dict.fromkeys(texts)) + shown


def _shorten(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

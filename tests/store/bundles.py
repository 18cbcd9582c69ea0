"""Small whole bundles without a model that could be run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.core.records import Example
from dragoman.store.memory.translation_memory import Memory, memory_file
from dragoman.store.run.bundle import Bundle

FACTS = {"name": "clinic", "base": "someone/base", "licence": "apache-2.0"}
FORMATS = {"hf": {"format": "hf", "verdict": "passed"}}
SECRET = "Our secret sentence."


def bundle(folder: Path, facts: Mapping[str, Any] = FACTS, formats: Mapping[str, Any] = FORMATS) -> Path:
    (folder / "hf").mkdir(parents=True)
    (folder / "model").mkdir()
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA card.\n", encoding="utf-8")
    (folder / "hf" / "model.safetensors").write_bytes(bytes(range(256)) * 9)
    (folder / "hf" / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model" / "dragoman.json").write_text("{}", encoding="utf-8")
    with Memory.open(memory_file(folder), create=True) as memory:
        memory.add([Example(SECRET, "Unser Geheimnis.", "en", "de")])
    Bundle.finish(folder, "hf", dict(formats), dict(facts))
    return folder

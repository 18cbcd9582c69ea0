"""Models of the Hugging Face hub: what is needed of one, downloaded once into the hub's own cache."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

from dragoman.core.listen import SILENT, Listener
from dragoman.errors import ModelError

# configuration, tokenizer, chat template, card and weights: neither pickled weights nor code
_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "README.md"]
_MEGABYTE = 1_000_000


def fetched(name: str, revision: str | None, listener: Listener) -> Path:
    """The folder of a model in the cache, after what it lacks was downloaded; its name is the commit's.

    `name` is a hub id (owner/name), `revision` a branch, tag or commit. Without a network, what was downloaded before is
    used. Raises ModelError.
    """
    return _snapshot(name, revision, _WANTED, listener)


def looked_up(name: str, revision: str | None) -> None:
    """Make sure that there is such a model, here or on the hub, and that it may be had: only its configuration is fetched.
    Raises ModelError."""
    _snapshot(name, revision, ["config.json"], SILENT)


def is_hub_id(name: str) -> bool:
    """Whether a base that is no folder here can be one of the hub's."""
    return not name.startswith((".", "/", "~")) and name.count("/") < 2 and not name.lower().endswith(".gguf")


def _snapshot(name: str, revision: str | None, patterns: list[str], listener: Listener) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=patterns, tqdm_class=_bar(name, listener))
        )
    except GatedRepoError:
        why = "its owner gives access on request only. Ask for it on the model's page, then set HF_TOKEN"
    except RepositoryNotFoundError:
        why = "the hub has no such model, or it is private. Check the name; for a private one set HF_TOKEN"
    except RevisionNotFoundError:
        why = f"it has no revision '{revision}'"
    except LocalEntryNotFoundError:
        why = "the hub cannot be reached, and the model was not downloaded before. Check the network, or name a folder"
    except (OSError, ValueError) as error:  # of the network, of the disk; ValueError: no hub id
        why = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
    raise ModelError(f"{name}: cannot be taken from the hub: {why}.")


def _bar(name: str, listener: Listener) -> Any:
    """A class of progress bars that draws nothing and tells the listener how much was downloaded."""
    from tqdm import tqdm

    lock = threading.Lock()  # files are downloaded side by side
    most = 0.0  # the same bytes are counted by two bars, as received and as written

    class Bar(tqdm):  # type: ignore[misc, unused-ignore]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._counts_bytes = options.get("unit") == "B"  # another one counts files
            super().__init__(*arguments, **{**options, "file": io.StringIO()})

        def update(self, n: float | None = 1) -> Any:
            nonlocal most
            shown = super().update(n)
            if self._counts_bytes and self.total:
                with lock:
                    most = max(most, self.n)
                    listener.progress(f"model: download {name}, MB", round(most / _MEGABYTE, 1), self.total / _MEGABYTE)
            return shown

    return Bar

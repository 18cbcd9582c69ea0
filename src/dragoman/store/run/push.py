"""A bundle on a hub: sent whole in one commit, private unless said otherwise, and not where it must not go."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.listen import Listener
from dragoman.errors import ArgumentError, CheckpointError, DragomanError, ModelError, QualityError, ResourceError
from dragoman.store.run.bundle import BUNDLE, LIVING, Bundle
from dragoman.store.run.trained import key_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_KEPT = ".gitattributes"  # the hub's own file in a repository
_UNSTATED = frozenset({"", "none", "unknown", "other", "unlicensed", "proprietary"})
_CLOSED = re.compile(r"\bnd\b|no-?deriv|research-?only|all[- ]rights[- ]reserved")


@dataclass(frozen=True)
class Permissions:
    """What the user allows though dragoman would refuse it."""

    public: bool = False
    failed: bool = False  # the deployment had formats that failed their gate or were refused
    licence: bool = False  # the licence of the base does not say that its weights may be passed on
    memory: bool = False  # the memory and the glossary, which are the user's own texts, go along


@dataclass(frozen=True)
class Pushed:
    """What lies on the hub now."""

    url: str
    commit: str
    private: bool
    files: int
    size: int  # bytes
    left_out: tuple[str, ...]


def bundle_to_push(folder: Path, allowed: Permissions) -> Bundle:
    """The bundle of a run, or a bundle itself, every byte of it as it was deployed.

    Raises CheckpointError for one that is not whole or of an older model, QualityError where a format failed, ModelError where
    the licence of the base does not allow to pass it on.
    """
    inner = folder / "deploy" / "bundle"
    of_run = not (folder / BUNDLE).is_file() and inner.is_dir()
    found = Bundle.read(inner if of_run else folder)
    found.verify()
    if of_run and found.facts.get("key") != key_of(folder):
        raise CheckpointError(
            f"{inner}: is of an older model than the run has now. Run `dragoman deploy {folder}` again."
        )
    if (failed := _failed(found)) and not allowed.failed:
        raise QualityError(
            f"{found.folder}: {'; '.join(failed)}. Deploy again without what failed, or push what passed with --despite-gate."
        )
    if (reason := _licence(found.facts)) and not allowed.licence:
        raise ModelError(
            f"{found.folder}: {reason}. Read the licence; where it allows to pass the weights on, say --licence-allows."
        )
    return found


def _failed(bundle: Bundle) -> list[str]:
    """The formats that did not pass, of the bundle and of the deployment that it lies in."""
    records = [{"format": form, **about} for form, about in bundle.formats.items()]
    beside = bundle.folder.parent / "deploy.json"
    if bundle.folder.name == "bundle" and beside.is_file():
        records += json.loads(beside.read_text(encoding="utf-8"))["formats"]
    wrong = {str(r["format"]): str(r.get("verdict", "not judged")) for r in records if r.get("verdict") != "passed"}
    return [f"{form} {verdict}" for form, verdict in wrong.items()]


def _licence(facts: Mapping[str, Any]) -> str:
    """Why the weights may not be passed on; empty where they may. A model that was made from scratch is the user's own."""
    base, licence = str(facts.get("base") or ""), str(facts.get("licence") or "").strip().lower()
    if base in ("", "new") and not licence:
        return ""
    if licence in _UNSTATED:
        return f"the base, {base}, states no licence, and without one its weights may not be passed on"
    if _CLOSED.search(licence):
        return f"the licence of the base, {base}, is {licence}, which does not allow to pass changed weights on"
    return ""


# ---------------------------------------------------------------- the hub


def push(bundle: Bundle, name: str, allowed: Permissions, message: str, listener: Listener) -> Pushed:
    """Send a bundle to the repository `owner/name` in one commit; what an earlier bundle had there and this has not goes.

    The key is that of the hub's own client (HF_TOKEN, `hf auth login`). Raises ArgumentError for a name that is none,
    ModelError where the hub refuses or has something else there, ResourceError where it cannot be reached.
    """
    if not _NAME.fullmatch(name):
        raise ArgumentError(f"'{name}' is no name on a hub: it is owner/name.")
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    sent, left_out = _files(bundle, allowed.memory)
    with _told(name):
        private, there = _repository(api, name, allowed)
        size = sum(len(data) if isinstance(data, bytes) else data.stat().st_size for data in sent.values())
        listener.say(
            f"push: {len(sent)} files, {size / 2**20:,.1f} MiB, to {name}, {'private' if private else 'for everybody to see'}"
        )
        operations: list[Any] = [
            CommitOperationAdd(path, data if isinstance(data, bytes) else str(data)) for path, data in sent.items()
        ]
        operations += [CommitOperationDelete(path) for path in sorted(there - set(sent) - {_KEPT})]
        made = api.create_commit(name, operations, commit_message=message)
    return Pushed(f"{api.endpoint}/{name}", str(made.oid), private, len(sent), size, left_out)


def _repository(api: HfApi, name: str, allowed: Permissions) -> tuple[bool, set[str]]:
    """Whether it is private, and what lies in it; it is made where there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = api.model_info(name)
    except RepositoryNotFoundError:
        api.create_repo(name, private=not allowed.public)
        return not allowed.public, set()
    there = {one.rfilename for one in found.siblings or ()}
    if not found.private and not allowed.public:
        raise ModelError(f"{name}: is there already, and everybody can see it. Say --public, or name another.")
    if there - {_KEPT, "README.md"} and BUNDLE not in there:
        raise ModelError(f"{name}: holds something that is no bundle of dragoman. Name another repository.")
    return bool(found.private), there


def _files(bundle: Bundle, memory: bool) -> tuple[dict[str, Path | bytes], tuple[str, ...]]:
    """What is sent, by its path, and what is left out; the manifest names what is sent."""
    left_out = () if memory else tuple(path for path in bundle.files if path.startswith(LIVING))
    about = json.loads((bundle.folder / BUNDLE).read_text(encoding="utf-8"))
    about["files"] = {path: entry for path, entry in about["files"].items() if path not in left_out}
    sent: dict[str, Path | bytes] = {path: bundle.folder / path for path in about["files"]}
    return {**sent, BUNDLE: json.dumps(about, indent=1, ensure_ascii=False).encode()}, left_out


@contextmanager
def _told(name: str) -> Iterator[None]:
    """The hub's refusals in our words; never the request, which has the key in it."""
    from huggingface_hub.errors import HfHubHTTPError

    # how its client names a network that fails: by what its refusals are made of, be that of httpx or httpx2
    network = [one for one in HfHubHTTPError.__mro__ if issubclass(one, Exception) and one.__name__ == "HTTPError"]
    try:
        yield
    except DragomanError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise ModelError(
                f"{name}: the hub does not let you write there ({status}). Set HF_TOKEN to a key that may, or `hf auth login`."
            ) from None
        raise ModelError(f"{name}: the hub refuses it: {error.server_message or f'status {status}'}.") from None
    except (OSError, *network) as error:  # type: ignore[misc] # mypy sees no tuple
        raise ResourceError(
            f"{name}: the hub cannot be reached ({type(error).__name__}). Nothing was changed there; push again."
        ) from None
    except ValueError as error:
        raise ModelError(f"{name}: {str(error).splitlines()[0].rstrip('.')}.") from None

"""A bundle in the shape that a hosting platform imports, and what a million characters cost there.

Nothing is sent anywhere: each folder has a README.md with the commands that do it. Prices are the user's own figures.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from dragoman.errors import ArgumentError, ModelError
from dragoman.store.run.artifact import write_atomic, write_json
from dragoman.store.run.bundle import BUNDLE, SHELL, Bundle

Platform = Literal["sagemaker", "vertex", "azure", "bedrock"]
PLATFORMS: tuple[str, ...] = get_args(Platform)
_PORT = 8080
_WEIGHTS = ("hf-bf16", "hf")  # of Bedrock, the smaller first
# What Bedrock's Custom Model Import runs, as `model_type` of a configuration
_BEDROCK = frozenset({"llama", "mistral", "mixtral", "mllama", "qwen2", "qwen3", "gpt_bigcode", "gpt_oss"})
_SERVED = {"sagemaker": "/opt/ml/model", "vertex": "/opt/model", "azure": "/opt/model"}


def write(bundle: Bundle, platform: str, out: Path) -> Path:
    """The folder of a platform, made afresh. Raises ModelError where it cannot run the bundle's model."""
    if platform not in PLATFORMS:
        raise ArgumentError(f"'{platform}' is no platform: {', '.join(PLATFORMS)}.")
    bundle.verify()
    if platform == "bedrock":
        form = _weights(bundle)
    elif not bundle.default:
        raise ModelError(f"{bundle.folder}: has no format that dragoman serves; add `hf` to `deploy.formats`.")
    shutil.rmtree(out, ignore_errors=True)
    (out / "model").mkdir(parents=True)
    if platform == "bedrock":
        for path in sorted((bundle.folder / form).iterdir()):
            if path.suffix in (".json", ".safetensors", ".model", ".jinja") and path.name != "dragoman.json":
                _put(path, out / "model" / path.name)
        write_json(out / "prompts.json", _prompts(bundle))
    else:
        for name in (BUNDLE, *bundle.files):
            _put(bundle.folder / name, out / "model" / name)
        write_atomic(out / "Dockerfile", _dockerfile(platform).encode())
    for name in _FILES[platform]:
        text = (resources.files("dragoman.store.run") / "platforms_files" / f"{platform}.{name}").read_text(
            encoding="utf-8"
        )
        write_atomic(out / name, text.replace("NAME", _slug(bundle)).encode())
    return out


_FILES: Mapping[str, tuple[str, ...]] = {
    "sagemaker": ("README.md", "model.json", "endpoint-config.json"),
    "vertex": ("README.md",),
    "azure": ("README.md", "endpoint.yml", "deployment.yml"),
    "bedrock": ("README.md",),
}


def _put(source: Path, target: Path) -> None:
    """The same file a second time, without its bytes a second time where the disk can do that. The memory is copied: it
    changes in use."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if source.suffix == ".sqlite":
            raise OSError
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _slug(bundle: Bundle) -> str:
    """The run's name with what all platforms take in one: small letters, digits, hyphens."""
    name = str(bundle.facts.get("name") or "dragoman").lower()
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in name).split())[:32] or "dragoman"


def _dockerfile(platform: str) -> str:
    """`sh` takes what a platform puts behind the entry point (SageMaker: `serve`), and lets signals through to the server."""
    place = _SERVED[platform]
    serve = f"exec dragoman serve {place} --host 0.0.0.0 --port {_PORT} --no-keys --state /tmp/state"
    lines = [
        "# The platform checks who asks before a request gets here.",
        "# IMAGE: what deploy/Dockerfile of dragoman was built as.",
        "ARG IMAGE=dragoman:local",
        "FROM ${IMAGE}",
        *([] if platform == "sagemaker" else [f"COPY --chown=10001 model {place}"]),
        f"EXPOSE {_PORT}",
        "HEALTHCHECK NONE",
        f'ENTRYPOINT ["sh", "-c", "{serve}", "--"]',
        "CMD []",
    ]
    return "\n".join(lines) + "\n"


def _weights(bundle: Bundle) -> str:
    """The format for Bedrock. Raises ModelError."""
    found = [form for form in _WEIGHTS if form in bundle.formats]
    if not found:
        raise ModelError(f"{bundle.folder}: Bedrock imports weights in the hub's format; add `hf` to `deploy.formats`.")
    kind = json.loads((bundle.folder / found[0] / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind not in _BEDROCK:
        raise ModelError(
            f"{bundle.folder}: Bedrock imports no models of the kind '{kind}', as far as is known: "
            f"{', '.join(sorted(_BEDROCK))}. SageMaker runs it."
        )
    return found[0]


def _prompts(bundle: Bundle) -> dict[str, Any]:
    """The trained prompt of each direction, with {text} for the source: Bedrock passes on what a client sends."""
    from dragoman.core.prompt.prompts import Format, render, spelt
    from dragoman.core.text.languages import Direction

    about = json.loads((bundle.folder / SHELL / "dragoman.json").read_text(encoding="utf-8"))
    own = json.loads((bundle.folder / SHELL / "tokenizer_config.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    for way in about["directions"]:
        rendered = render(Format.from_json(about["prompt"]), Direction.parse(way), "{text}")
        messages = [{"role": turn.role, "content": turn.text} for turn in rendered.turns]
        found[way] = {"messages": messages} if messages else {"prompt": spelt(rendered, None, own.get("eos_token"))}
    return found


# ---------------------------------------------------------------- prices


def price(per_hour: float, characters_per_second: float, busy: float = 1.0) -> float:
    """What a million characters cost, in the currency of `per_hour`, on a machine that works for `busy` of its paid time."""
    if not (per_hour >= 0 and characters_per_second > 0 and 0 < busy <= 1):
        raise ArgumentError("a price needs a price an hour, characters a second above 0, and a busy share of (0, 1].")
    return per_hour / (characters_per_second * 3600 * busy) * 1e6

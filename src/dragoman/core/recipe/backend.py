"""Names of backends, as recipes and the command line give them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

NAMES = ("auto", "transformers", "ctranslate2", "onnx")
_FORMAT = re.compile(r"(?:hf|ctranslate2|onnx|gguf)-[\w]+|hf|adapter|awq|gptq")


def is_url(name: str) -> bool:
    return re.match(r"https?://", name) is not None


def checked(name: str) -> str:
    """The name of a backend, a format of a bundle, or a URL. Raises ValueError."""
    if name in NAMES or is_url(name) or _FORMAT.fullmatch(name):
        return name
    raise ValueError(
        f"'{name}' is no backend. Known: {', '.join(NAMES)}, a format of a bundle such as ctranslate2-int8, or the URL of a "
        "server that speaks OpenAI's completions, such as http://127.0.0.1:8080/v1"
    )


BackendName = Annotated[str, AfterValidator(checked)]

"""Screening: what a request or an answer holds that should not pass unseen. Pure; what is done about it the recipe says."""

from __future__ import annotations

import regex

# the marks by which chat templates and control vocabularies part text from command: ChatML, Llama 2 and 3, Gemma, Mistral,
# DeepSeek, Phi, Command R, and the compact form of our own models
_MARKS = regex.compile(
    r"<\s*[|｜][^<>|｜\n]{1,40}[|｜]\s*>"
    r"|</?s>|<(?:bos|eos|pad|unk|mask|sep|cls)>"
    r"|<(?:start|end)_of_(?:turn|image)>"
    r"|\[/?INST\]|<</?SYS>>|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|THINK)\]"
    r"|</?think>|<(?:begin|end)▁of▁(?:sentence|thinking)>",
    regex.IGNORECASE,
)


def control_marks(text: str) -> list[str]:
    """Control tokens and chat-template marks that stand in a text, in their order."""
    return _MARKS.findall(text)

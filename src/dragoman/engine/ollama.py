"""Ollama: a Modelfile for each direction, whose template writes exactly the prompt that the model was trained with.

Ollama fills a Go template with the user's text and reads the result as text: control tokens that a user's text spells are
control tokens there. A prompt that cannot be told as text has no Modelfile.
"""

from __future__ import annotations

from pathlib import Path

from dragoman.core.prompt.prompts import language_token, render
from dragoman.core.text.languages import Direction
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Loaded

_MARKS = ("house", "Haus", "12")  # a text that stands for the user's
_PROBES = (
    "The patient sees a doctor.",
    "12,5 mg",
    "ça va ? « oui »",
    "日本語 text",
    "a {{ .Prompt }} b",
    "Été: à 7 h.",
)
PROMPT = "{{ .Prompt }}"
_CONTEXT = 4096  # memory for all of it is taken at once


def begins(loaded: Loaded) -> bool:
    """Whether the model's prompts begin with the token that begins a text."""
    return bool(_ids(loaded, _direction(loaded), _MARKS[0])[0] == loaded.tokenizer.bos_token_id)


def write(loaded: Loaded, out: Path, file: str, context: int) -> tuple[list[str], str]:
    """Write `out/Modelfile.en-de` and so on; their names, and why some direction has none."""
    made, reason = [], ""
    for name in loaded.card.directions:
        direction = Direction.parse(name)
        frame = around(loaded, direction)
        if frame is None:
            reason = "its prompt cannot be told as text"
        elif '"""' in "".join(frame):
            reason = "its prompt has three quotation marks, which end a template"
        else:
            path = out / f"Modelfile.{direction.source}-{direction.target}"
            path.write_text(modelfile(loaded, frame, file, context), encoding="utf-8")
            made.append(path.name)
    return made, reason


def around(loaded: Loaded, direction: Direction) -> tuple[str, str] | None:
    """What stands before and after the user's text, without the token that begins a text; None where the two do not give the
    prompt's own tokens."""
    start = int(begins(loaded))
    for mark in _MARKS:
        text = _text(loaded, _ids(loaded, direction, mark)[start:])
        if text.count(mark) != 1:
            continue
        before, _, after = text.partition(mark)
        if all(
            _read(loaded, before + probe + after) == _ids(loaded, direction, probe)[start:]
            for probe in (mark, *_PROBES)
        ):
            return before, after
    return None


def modelfile(loaded: Loaded, frame: tuple[str, str], file: str, context: int) -> str:
    before, after = (part.replace("{{", '{{ "{{" }}') for part in frame)
    lines = [f"FROM ./{file}", f'TEMPLATE """{before}{PROMPT}{after}"""']
    # Ollama samples and punishes repeats unless it is told otherwise
    lines += [
        "PARAMETER temperature 0",
        "PARAMETER top_k 1",
        "PARAMETER repeat_penalty 1",
        f"PARAMETER num_ctx {min(context, _CONTEXT)}",
    ]
    lines += [f"PARAMETER stop {_quoted(stop)}" for stop in stops(loaded)]
    return "\n".join(lines) + "\n"


def stops(loaded: Loaded) -> list[str]:
    """Texts that end a translation."""
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    ids = dict.fromkeys([encoder.end, *loaded.shell.ends])
    found = [str(token) for token in loaded.tokenizer.convert_ids_to_tokens(list(ids))]
    if encoder.form.kind == "plain":
        found.append("\n")
    if encoder.form.kind == "compact":
        pairs = loaded.shell.directions
        found += dict.fromkeys(language_token(code) for pair in pairs for code in (pair.source, pair.target))
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _direction(loaded: Loaded) -> Direction:
    return Direction.parse(loaded.card.directions[0]) if loaded.card.directions else Direction("en", "de")


def _ids(loaded: Loaded, direction: Direction, text: str) -> list[int]:
    [(ids, _)] = Encoder(loaded.tokenizer, loaded.card.prompt).encode([render(loaded.card.prompt, direction, text)])
    return ids


def _text(loaded: Loaded, ids: list[int]) -> str:
    return str(loaded.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _read(loaded: Loaded, text: str) -> list[int]:
    found: list[int] = loaded.tokenizer(
        text, add_special_tokens=False, split_special_tokens=False, verbose=False
    ).input_ids
    return found

"""A translated file beside its source as one self-contained HTML page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from dragoman.core.markup.inline import Inline
from dragoman.core.markup.placeholders import protect_placeholders
from dragoman.core.memory.matching import tokens
from dragoman.core.text import languages
from dragoman.store.formats.documents.translate import DocumentReport, Line

_OUTCOMES = {
    "verbatim": "nothing to translate",
    "plain": "translated",
    "markers": "translated, markup held",
    "repaired": "translated, markers read loosely",
    "retry": "translated at the second attempt",
    "split": "stretches between the markup translated apart",
    "reattached": "markup put back by position",
    "source": "no attempt held the markup",
    "problem": "could not be written",
    "memory": "the memory had this very text",
    "kept": "had a translation",
    "locked": "not to be translated",
}
_DOUBTFUL = frozenset({"split", "reattached", "source", "problem"})
_MAX_WORDS = 400  # longer texts are not compared word by word
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --mark: #2a6cb022; --out: #c0392b2e; --in: #27864a2e; --doubt: #b7791f }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
th, td { border-top: 1px solid var(--line); padding: .4rem .6rem; text-align: start; vertical-align: top;
  overflow-wrap: anywhere; white-space: pre-wrap }
col.number { width: 5rem } col.outcome { width: 13rem }
td.number, td.outcome { color: #777; font-size: .85em; white-space: normal }
tr.doubtful td.outcome { color: var(--doubt); font-weight: 600 }
code { background: var(--mark); border-radius: 3px; font-size: .92em; padding: 0 .15em }
del { background: var(--out); text-decoration-thickness: 1px } ins { background: var(--in); text-decoration: none }
ul.counts { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; list-style: none; padding: 0 }
@media (max-width: 45rem) { col.outcome, td.outcome, th.outcome { display: none } }
"""


def as_html(report: DocumentReport) -> str:
    """Each unit's source and target side by side, its markup set off, its outcome, confidence and doubts named.

    Where a translation replaced another one, the words that went and came are marked.
    """
    source, target = report.direction.source, report.direction.target
    counts = "".join(
        f"<li>{number} {html.escape(_OUTCOMES.get(name, name))}</li>" for name, number in sorted(report.counts.items())
    )
    problems = "".join(
        f"<li>{_text(f'line {one.line}')}: {_text(one.unit)} {_text(one.reason)}</li>" for one in report.problems
    )
    rows = "".join(_row(line, source, target) for line in report.lines)
    title = _text(f"{report.name}: {languages.name(source)} to {languages.name(target)}")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f'<p>{len(report.lines)} units.</p>\n<ul class="counts">{counts}</ul>\n'
        + (f"<h2>Problems</h2>\n<ul>{problems}</ul>\n" if problems else "")
        + '<table>\n<colgroup><col class="number"><col><col><col class="outcome"></colgroup>\n<thead><tr>'
        f"<th>Line</th><th>{_text(languages.name(source))}</th><th>{_text(languages.name(target))}</th>"
        f'<th class="outcome">Outcome</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</body>\n</html>\n'
    )


def _row(line: Line, source: str, target: str) -> str:
    before = line.unit.target
    changed = before is not None and line.target is not None and before.text != line.target
    if line.target is None:
        shown = ""
    elif changed and before is not None:
        shown = _compared(before.text, line.target)
    else:
        shown = _marked(line.target)
    facts = [_OUTCOMES.get(line.outcome, line.outcome)]
    told = f": {line.similar.target}" if line.similar is not None else ""
    facts += [f"match {line.match} %{told}"] if line.match is not None else []
    facts += [f"confidence {100 * line.score:.0f} of 100"] if line.score is not None else []
    facts += line.flags
    doubtful = ' class="doubtful"' if line.outcome in _DOUBTFUL or line.flags or line.unsure else ""
    return (
        f'<tr{doubtful}><td class="number" title={_attribute(line.unit.id)}>{line.unit.line}</td>'
        f'<td lang={_attribute(source)} dir="auto">{_marked(line.unit.source.text)}</td>'
        f'<td lang={_attribute(target)} dir="auto">{shown}</td>'
        f'<td class="outcome">{_text("; ".join(facts))}</td></tr>\n'
    )


def _text(text: str) -> str:
    return html.escape(text, quote=False)


def _attribute(text: str) -> str:
    return f'"{html.escape(text)}"'


def _marked(text: str) -> str:
    """The text with its markup and placeholders as code."""
    pieces = protect_placeholders(Inline.of([text])).pieces
    return "".join(_text(one) if isinstance(one, str) else f"<code>{_text(one.raw)}</code>" for one in pieces)


def _compared(before: str, after: str) -> str:
    """Both texts in one, words that went as deleted and words that came as inserted."""
    left, right = _words(before), _words(after)
    if max(len(left), len(right)) > _MAX_WORDS:
        return f"<del>{_text(before)}</del> <ins>{_text(after)}</ins>"
    parts = []
    for kind, start, end, first, last in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(_text("".join(left[start:end])))
            continue
        parts += _changed("del", left[start:end]), _changed("ins", right[first:last])
    return "".join(parts)


def _words(text: str) -> list[str]:
    """Spans, words and the spaces between them, each a part of its own; joined they are the text."""
    parts: list[str] = []
    for piece in protect_placeholders(Inline.of([text])).pieces:
        parts += _split(piece) if isinstance(piece, str) else [piece.raw]
    return parts


def _split(text: str) -> Iterable[str]:
    """Words and what is between them; in scripts without spaces every character, with its marks, is a word."""
    at = 0
    for token in tokens(text):
        yield from filter(None, (text[at : token.start], text[token.start : token.end]))
        at = token.end
    if at < len(text):
        yield text[at:]


def _changed(name: str, words: Sequence[str]) -> str:
    return f"<{name}>{_text(''.join(words))}</{name}>" if words else ""

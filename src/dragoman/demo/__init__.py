"""The demo's text: a synchronous grammar of English, French and German, and the files and recipes made with it.

Everything that comes from here is generated, and says so.
"""

from __future__ import annotations

from dragoman.demo.corpus import DOMAINS, NOTICE, estimate_size, generate
from dragoman.demo.files import DemoFiles, Shown, Sizes, show_sentences, write

__all__ = ["DOMAINS", "NOTICE", "DemoFiles", "Shown", "Sizes", "estimate_size", "generate", "show_sentences", "write"]

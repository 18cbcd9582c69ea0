"""Bases that `dragoman new` proposes: what is known of each, and which one suits languages, licence and memory.

The table is short on purpose: decoder-only models of 0.27 to 9 billion parameters that are published as safetensors, run
without code from their repository, and whose authors say which languages they were trained on. Nothing is looked up or
downloaded here; `model.base` takes any other model as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dragoman.core.text.languages import Direction, primary
from dragoman.core.text.languages import name as language_name

Licence = Literal["permissive", "conditions", "any"]
KINDS: dict[str, frozenset[str]] = {  # what is asked for -> kinds of licence that will do
    "permissive": frozenset({"permissive"}),
    "conditions": frozenset({"permissive", "conditions"}),
    "any": frozenset({"permissive", "conditions", "non-commercial"}),
}
MEMORY = 8.0  # GiB, where nobody says how much there is
_NEAR = (
    0.5  # of the parameters of the largest that fits: up to there a base made for translation goes before a larger one
)

# Tuning with LoRA and scoring on a processor: weights in fp32 while it scores, and beside them what Gemma 3 270M took in
# the one run whose whole peak was measured (5.72 GiB). `dragoman plan` counts.
_GIB_PER_BILLION = 4e9 / 2**30
_GIB_BESIDE = 5.72 - 0.27 * _GIB_PER_BILLION


@dataclass(frozen=True)
class Base:
    """`parameters` in billions, embeddings included; `languages` as primary subtags; `parallel`: its training had
    translations in it; `source` says where languages and licence stand."""

    id: str
    parameters: float
    licence: str
    kind: str
    languages: frozenset[str]
    parallel: bool
    source: str

    @property
    def gib(self) -> float:
        """A first guess at the memory that tuning takes, in GiB."""
        return _GIB_BESIDE + _GIB_PER_BILLION * self.parameters

    def knows(self, wanted: Sequence[str]) -> list[str]:
        """Those of the languages `wanted` (any tags) that it was trained on."""
        return [language for language in wanted if primary(language) in self.languages]


def _tags(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LMT = _tags(
    "ar en es de fr it ja nl pl pt ru tr zh bg bn cs da el fa fi hi hu id ko nb ro sk sv th uk vi am az bo he hr hy is jv"
    " ka kk km ky lo mr ms my ne ps si sw ta te tg fil ug ur uz yue"
)
_QWEN3 = _tags(
    "en fr pt de ro sv da bg ru cs el uk es nl sk hr pl lt nb nn fa sl gu lv it oc ne mr be sr lb vec as cy szl ast hne awa"
    " mai bho sd ga fo hi pa bn or tg yi lmo lij scn fur sc gl ca is sq li af mk si ur mag bs hy zh yue my ar he mt id"
    " ms fil ceb jv su min ban bjn pag ilo war ta te kn ml tr az uz kk ba tt th lo fi et hu vi km ja ko ka eu ht pap kea tpi sw"
)
_EUROLLM = _tags(
    "bg hr cs da nl en et fi fr de el hu ga it lv lt mt pl pt ro sk sl es sv ar ca zh gl hi ja ko nb ru tr uk"
)
_SALAMANDRA = _tags(
    "bg ca cs cy da de el en es et eu fi fr ga gl hr hu it lt lv mt nl nb nn oc pl pt ro ru sk sl sr sv uk"
)
_SAILOR2 = _tags("en zh my ceb ilo id jv km lo ms su fil th vi war")
_TOWER_PLUS = _tags("de es fr it ko nl ru en pt zh cs uk hi is ja pl sv hu ro da nb nn fi")

_APACHE = ("Apache-2.0", "permissive")
_PAPER_LMT = "arXiv 2511.07003 and its repository: 90 billion tokens of text and translations on top of Qwen3"
_PAPER_QWEN3 = "arXiv 2505.09388: 36 trillion tokens, 119 languages and dialects"
_PAPER_EUROLLM = "arXiv 2409.16235 and the model card: 4 trillion tokens, translations from and into English among them"
_PAPER_SALAMANDRA = "arXiv 2502.08489 and the model card: 12.9 trillion tokens, 35 European languages"
_PAPER_SAILOR2 = "arXiv 2502.12982: Qwen2.5 trained further on 500 billion tokens of South-East Asian text"

BASES = (
    Base("NiuTrans/LMT-60-0.6B-Base", 0.75, *_APACHE, _LMT, True, _PAPER_LMT),
    Base("NiuTrans/LMT-60-1.7B-Base", 2.03, *_APACHE, _LMT, True, _PAPER_LMT),
    Base("NiuTrans/LMT-60-4B-Base", 4.41, *_APACHE, _LMT, True, _PAPER_LMT),
    Base("NiuTrans/LMT-60-8B-Base", 8.19, *_APACHE, _LMT, True, _PAPER_LMT),
    Base("utter-project/EuroLLM-1.7B", 1.66, *_APACHE, _EUROLLM, True, _PAPER_EUROLLM),
    Base(
        "utter-project/EuroLLM-9B", 9.15, *_APACHE, _EUROLLM, True, _PAPER_EUROLLM.replace("2409.16235", "2506.04079")
    ),
    Base("Qwen/Qwen3-0.6B-Base", 0.6, *_APACHE, _QWEN3, False, _PAPER_QWEN3),
    Base("Qwen/Qwen3-1.7B-Base", 1.72, *_APACHE, _QWEN3, False, _PAPER_QWEN3),
    Base("Qwen/Qwen3-4B-Base", 4.02, *_APACHE, _QWEN3, False, _PAPER_QWEN3),
    Base("Qwen/Qwen3-8B-Base", 8.19, *_APACHE, _QWEN3, False, _PAPER_QWEN3),
    Base("BSC-LT/salamandra-2b", 2.25, *_APACHE, _SALAMANDRA, False, _PAPER_SALAMANDRA),
    Base("BSC-LT/salamandra-7b", 7.77, *_APACHE, _SALAMANDRA, False, _PAPER_SALAMANDRA),
    Base("sail/Sailor2-1B", 0.99, *_APACHE, _SAILOR2, False, _PAPER_SAILOR2),
    Base(
        "HuggingFaceTB/SmolLM3-3B-Base",
        3.08,
        *_APACHE,
        _tags("en fr es de it pt"),
        False,
        "its model card: 11 trillion tokens, six languages",
    ),
    Base(
        "google/gemma-3-270m",
        0.27,
        "Gemma terms of use",
        "conditions",
        _tags("en fr"),
        False,
        "benchmarks/results/real-models.json: en-fr measured here, no other direction",
    ),
    Base(
        "Unbabel/Tower-Plus-2B",
        2.61,
        "CC-BY-NC-SA-4.0",
        "non-commercial",
        _TOWER_PLUS,
        True,
        "its model card: Gemma 2 trained further and tuned on translation",
    ),
)


@dataclass(frozen=True)
class Choice:
    """The base that suits best, why, and others that would do (best first)."""

    base: Base
    why: str
    others: tuple[Base, ...]
    doubts: tuple[str, ...]  # what a person should know before taking it


def choose(pairs: Sequence[Direction], *, memory: float | None = None, licence: Licence = "permissive") -> Choice:
    """The base for `pairs` within `memory` GiB.

    Of those with a fitting licence that fit into the memory, those that know the most of the languages; of these, those of at
    least half the size of the largest, one that was trained on translations first, then by size. Where none fits, the smallest
    that knows the languages. Where a language is known to none, the one with the most languages of all.
    """
    room = memory or MEMORY
    wanted = list(dict.fromkeys(language for pair in pairs for language in (pair.source, pair.target)))
    allowed = [base for base in BASES if base.kind in KINDS[licence]]
    most = max(len(base.knows(wanted)) for base in allowed)
    able = [base for base in allowed if len(base.knows(wanted)) == most]
    fitting = [base for base in able if base.gib <= room]
    doubts = []
    if fitting:
        largest = max(base.parameters for base in fitting)
        strange = most < len(wanted)

        def rank(base: Base) -> tuple[bool, int, bool, float]:
            return (
                base.parameters >= _NEAR * largest,
                len(base.languages) if strange else 0,
                base.parallel,
                base.parameters,
            )

        first, *others = sorted(fitting, key=rank, reverse=True)
    else:
        first, *others = sorted(able, key=lambda base: base.parameters)
        doubts.append(
            f"by a first guess it takes {first.gib:.0f} GiB to tune, and no listed base takes less: let `dragoman plan` "
            "measure, and see `quantise` in docs/model.md"
        )
    known = first.knows(wanted)
    unknown = [language_name(language) for language in wanted if language not in known]
    if unknown:
        doubts.append(
            f"no listed base is known to have learned {' or '.join(unknown)}: monolingual text helps most "
            "(docs/guide-community.md)"
        )
    learned = f", trained on {' and '.join(map(language_name, known))}" if known else ""
    why = (
        f"{first.parameters:g} billion parameters, {first.licence}{learned}{', with translations' if first.parallel else ''}; "
        f"tuning takes about {first.gib:.0f} GiB of {room:g}"
    )
    return Choice(first, why, tuple(others), tuple(doubts))

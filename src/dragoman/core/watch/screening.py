"""Screening: what a request or an answer holds that should not pass unseen. Pure; what is done about it the recipe says.

Requests are looked at by themselves. Answers are held against their source: what the source says, a translation may say.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex

from dragoman.core.text.languages import UNSPACED_SCRIPTS, primary, script
from dragoman.core.watch.features import words
from dragoman.core.watch.personal import Spot

# the marks by which chat templates and control vocabularies part text from command: ChatML, Llama 2 and 3, Gemma, Mistral,
# DeepSeek, Phi, Command R, Granite, ChatGLM, BERT, T5, MADLAD, and the compact form of our own models
_MARKS = regex.compile(
    r"<\s*[|｜][^<>|｜\n]{1,40}[|｜]\s*>"
    r"|</?s>|<(?:bos|eos|pad|unk|mask|sep|cls)>"
    r"|<(?:start|end)_of_(?:turn|image)>|<(?:unused|extra_id_|reserved_)\d+>|<2[a-z]{2,3}(?:_[A-Za-z]+)?>"
    r"|\[/?INST\]|<</?SYS>>|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|THINK|gMASK|CLS|SEP|MASK|BOS|EOS|PAD)\]"
    r"|</?(?:think|tool_call|tool_response)>|<(?:begin|end)▁of▁(?:sentence|thinking)>",
    regex.IGNORECASE,
)

# ---------------------------------------------------------------- injection

_UNSEEN = regex.compile(r"[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_SMUGGLED = regex.compile(
    r"(?<!\U0001f3f4[\U000e0020-\U000e007f]*)[\U000e0020-\U000e007f]{2,}"
)  # after the flag: one of a region
_WHAT = {  # the noun that an instruction to forget is about
    "en": r"(?:instructions?|prompts?|directions?|orders?|rules|guidelines|commands?|system message)",
    "de": r"(?:Anweisung(?:en)?|Instruktion(?:en)?|Befehle?|Vorgaben|Regeln|Prompts?|Aufforderung(?:en)?)",
    "fr": r"(?:instructions?|consignes?|directives?|ordres|règles|prompts?)",
    "es": r"(?:instrucci(?:ón|ones)|indicaciones|órdenes|reglas|directrices|prompts?)",
    "it": r"(?:istruzion[ei]|indicazioni|ordini|regole|direttive|prompts?)",
    "pt": r"(?:instruç(?:ão|ões)|indicações|ordens|regras|diretrizes|prompts?)",
    "nl": r"(?:instructies?|aanwijzingen|opdrachten|regels|prompts?)",
}
_FORGET = [
    rf"\b(?:ignore|disregard|forget|override|bypass)\b.{{0,25}}?\b(?:previous|prior|above|earlier|preceding|foregoing|initial|original|your|system)\b.{{0,20}}?\b{_WHAT['en']}\b",
    rf"\b(?:ignorieren? Sie|ignorier\w*|vergiss|vergessen Sie|missachte\w*)\b.{{0,25}}?\b(?:vorherig|bisherig|vorig|obig|früher|vorangegangen|deine|ihre)\w*.{{0,20}}?\b{_WHAT['de']}\b",
    rf"\b(?:ignor(?:e|ez|er)|oubli(?:e|ez|er)|ne ten(?:ez|ir) pas compte d\w*)\b.{{0,25}}?\b{_WHAT['fr']}\b.{{0,20}}?\b(?:précédent|antérieur|ci-dessus|initial|système)\w*",
    rf"\b(?:ignor(?:a|e|ar|en)|olvid(?:a|e|ar|en))\b.{{0,25}}?\b{_WHAT['es']}\b.{{0,20}}?\b(?:anterior|previa|inicial|de arriba)\w*",
    rf"\b(?:ignor(?:a|are|ate|i)|dimentic(?:a|are|ate|hi))\b.{{0,25}}?\b{_WHAT['it']}\b.{{0,20}}?\b(?:precedent|iniziali|di cui sopra)\w*",
    rf"\b(?:ignor(?:a|e|ar|em)|esque(?:ça|ce|cer))\b.{{0,25}}?\b{_WHAT['pt']}\b.{{0,20}}?\b(?:anterior|prévia|iniciai|acima)\w*",
    rf"\b(?:negeer|vergeet)\b.{{0,25}}?\b(?:vorige|voorgaande|eerdere|bovenstaande)\b.{{0,20}}?\b{_WHAT['nl']}\b",
    r"\b(?:игнорируй|забудь)(?:те)?\b.{0,25}?\b(?:предыдущи|прежни|все)\w*.{0,20}?\b(?:инструкци|указани|команд|правил)\w*",
    r"\b(?:zignoruj|zapomnij)\b.{0,25}?\b(?:poprzedni|wcześniejsz)\w*.{0,20}?\b(?:instrukcj|polece)\w*",
    r"(?:忽略|无视|忘记|無視|忘掉).{0,8}?(?:之前|以上|前面|先前|上述|所有).{0,8}?(?:指令|指示|提示|命令|规则)",
    r"(?:以前|これまで|上記|前)の.{0,6}?(?:指示|命令|プロンプト|ルール).{0,6}?(?:無視|忘れ)",
]
_INSTEAD = [
    r"\b(?:do not|don'?t|never|stop) translat(?:e|ing)\b.{0,60}?\b(?:instead|answer|reply|respond|write|say|output|just|only)\b",
    r"\binstead of translating\b|\brather than translating\b",
    r"\b(?:übersetz(?:e|en Sie)?)\b.{0,30}?\bnicht\b.{0,60}?\b(?:sondern|stattdessen|antworte|beantworte|schreib)\w*|\b(?:an)?statt zu übersetzen\b",
    r"\bne tradui(?:s|sez|re)\s?pas\b.{0,60}?\b(?:mais|plutôt|répond|écri|dis|dites)\w*|\bau lieu de traduire\b",
    r"\bno traduzca(?:s|n)?\b.{0,60}?\b(?:sino|respond|escrib|contest|di)\w*|\ben (?:lugar|vez) de traducir\b",
    r"\bnon tradur(?:re|rre)\b.{0,60}?\b(?:ma|rispond|scriv)\w*|\binvece di tradurre\b",
    r"\bnão traduza\b.{0,60}?\b(?:mas|respond|escrev)\w*|\bem vez de traduzir\b",
    r"\bvertaal\b.{0,20}?\bniet\b.{0,60}?\b(?:maar|antwoord|schrijf)\w*|\bin plaats van te vertalen\b",
    r"(?:不要|别|請勿|请勿)翻[译譯].{0,30}?(?:而是|回答|直接|只|改为)|翻訳(?:せず|しないで).{0,30}?(?:答え|回答|書い)",
]
_REVEAL = [
    r"\b(?:reveal|show|print|repeat|output|display|tell me|leak)\b.{0,30}?\b(?:your|the) (?:system |initial |hidden |original )?(?:prompt|instructions)\b(?! (?:for|to|on|of|that|in)\b)",
    r"\b(?:zeige?|nenne|wiederhole|verrate)\b.{0,20}?\b(?:deine|ihre|den)\b.{0,10}?\b(?:System-?Prompt|Systemanweisung|Anweisungen)\b",
    r"\b(?:montre|révèle|répète|affiche)[rz]?\b.{0,20}?\b(?:ton|votre|tes|vos)\b.{0,10}?\b(?:prompt|instructions)\b",
]
_ROLE = [
    r"\byou are (?:now|no longer) (?:an?|in|the|dan|acting)\b.{0,40}?\b(?:ai|assistant|model|chatbot|translator|mode|jailbroken|hacker|dan)\b",
    r"\b(?:jailbreak|developer mode|dan mode|do anything now)\b.{0,30}?\b(?:enabled|activated|prompt|mode|on)\b",
    r"^\s*#{2,4}\s*(?:instructions?|response|system|human|assistant|user|input)\s*:",
    r"^\s*(?:system|assistant)\s*:\s*\S.*^\s*(?:user|human|assistant)\s*:",
    r"\b(?:new|updated|real|actual) (?:system )?instructions?\s*:",
]
_INJECTIONS = regex.compile("|".join(f"(?:{one})" for one in (*_FORGET, *_INSTEAD, *_REVEAL, *_ROLE)), regex.IGNORECASE | regex.MULTILINE | regex.DOTALL)  # fmt: skip
# every alternative has one of these, so that most texts cost one search
_HINT = regex.compile(
    r"ignor|disregard|forget|overrid|bypass|vergiss|vergess|missacht|oubli|compte|olvid|dimentic|esque|negeer|vergeet|игнор|забуд"
    r"|zapomnij|忽略|无视|忘|無視|transl|übersetz|tradu|tradur|vertal|翻|prompt|instruct|anweis|you are n|jailbreak|developer mode|dan mode"
    r"|anything now|##|:",
    regex.IGNORECASE,
)

# ---------------------------------------------------------------- refusals

_REFUSALS: Mapping[str, str] = {
    "en": r"(?:i'?m sorry|i am sorry|sorry|i apologi[sz]e|unfortunately|as an? (?:ai|language model|assistant))\W.{0,60}?\b(?:can(?:no|')t|cannot|unable|not able|won't|not allowed|must decline)\b"
    r"|i (?:can(?:no|')t|cannot|am unable to|am not able to|won't|will not|must decline to) (?:help|assist|translate|provide|fulfil?l|comply|answer|process|continue|generate)\b"
    r"|as an? (?:ai|large)? ?(?:language )?model\b|(?:please provide|i need) the text (?:you want|to be translated|to translate)",
    "de": r"(?:es tut mir leid|tut mir leid|entschuldigung|leider)\W.{0,60}?\b(?:kann|darf|werde) ich\b.{0,60}?\b(?:nicht|kein\w*)\b|ich (?:kann|darf|werde) (?:das|dies\w*|den text|diesen text|ihnen|dir)\b.{0,40}?\bnicht (?:übersetzen|helfen|weiterhelfen|beantworten|erfüllen)\b|als (?:ki|sprachmodell|ki-sprachmodell)\b",
    "fr": r"(?:je suis désolée?|désolée?|malheureusement)\W.{0,60}?\bje (?:ne|n')\s?(?:peux|suis|pourrai|puis)\b|je ne (?:peux|puis) pas (?:vous aider|t'aider|traduire|fournir|répondre|satisfaire|accéder)\b|en tant qu(?:e modèle|'ia|'intelligence artificielle|e modèle de langage)\b",
    "es": r"(?:lo siento|lamento|lamentablemente|desafortunadamente)\W.{0,60}?\bno (?:puedo|podré|soy capaz)\b|no puedo (?:ayudar|traducir|proporcionar|responder|cumplir)\w*|como (?:modelo de lenguaje|ia|inteligencia artificial)\b",
    "it": r"(?:mi dispiace|spiacente|purtroppo)\W.{0,60}?\bnon (?:posso|sono in grado)\b|non posso (?:aiutar|tradurre|fornire|rispondere)\w*|in quanto (?:modello|ia|intelligenza artificiale)\b",
    "pt": r"(?:sinto muito|desculpe|lamento|infelizmente)\W.{0,60}?\bnão (?:posso|consigo|sou capaz)\b|não posso (?:ajudar|traduzir|fornecer|responder)\w*|como (?:um )?modelo de linguagem\b",
    "nl": r"(?:het spijt me|sorry|helaas)\W.{0,60}?\bkan ik\b.{0,40}?\bniet\b|ik kan (?:dit|deze|u|je)\b.{0,30}?\bniet (?:vertalen|helpen|beantwoorden)\b|als (?:ai|taalmodel)\b",
    "zh": r"(?:抱歉|对不起|對不起|很遗憾).{0,20}?(?:无法|不能|無法)|我(?:无法|不能|無法)(?:翻译|提供|回答|协助|帮助|翻譯|協助)|作为(?:一个)?(?:人工智能|语言模型|AI)",
    "ja": r"(?:申し訳|すみません|残念).{0,40}?(?:できません|お手伝い|お答え)|(?:翻訳|お手伝い|お答え)(?:する)?(?:ことは)?できません|(?:AI|言語モデル)として",
    "ru": r"(?:извините|простите|к сожалению)\W.{0,60}?\bне (?:могу|в состоянии)\b|я не могу (?:помочь|перевести|предоставить|ответить|выполнить)\b|как (?:языковая модель|ии|искусственный интеллект)\b",
    "pl": r"(?:przykro mi|przepraszam|niestety)\W.{0,60}?\bnie mogę\b|nie mogę (?:pomóc|przetłumaczyć|odpowiedzieć|udzielić)\b|jako (?:model językowy|ai)\b",
}  # fmt: skip
_HEAD = 240  # characters in which a refusal begins
_RUN, _UNSPACED_RUN = (
    6,
    12,
)  # words (letters, where words are not spaced) of another text that no translation has by chance


def control_marks(text: str) -> list[str]:
    """Control tokens and chat-template marks that stand in a text, in their order."""
    return _MARKS.findall(text) if "<" in text or "[" in text else []


def marks_at(text: str) -> list[Spot]:
    """Where they stand."""
    return [Spot("control", *match.span()) for match in _MARKS.finditer(text)] if "<" in text or "[" in text else []


def injected(text: str) -> bool:
    """Whether a text speaks to the model instead of being something to translate: it tells it to forget what it was told, to
    answer instead of translating, to show its prompt, or plays a role of a chat; letters that nobody sees count too."""
    if not text.isascii():
        if _SMUGGLED.search(text):
            return True
        text = unicodedata.normalize("NFKC", _UNSEEN.sub("", text))
    return _HINT.search(text) is not None and _INJECTIONS.search(text) is not None


def refused(source: str, target: str, source_language: str, target_language: str) -> bool:
    """Whether an answer declines to translate, in its own language or in English, where the source declines nothing."""
    languages = dict.fromkeys([primary(target_language), "en"])
    said = any(_refusal(code).search(target[:_HEAD]) for code in languages if code in _REFUSALS)
    if not said:
        return False
    asked = [code for code in dict.fromkeys([primary(source_language), "en"]) if code in _REFUSALS]
    return not any(_refusal(code).search(source) for code in asked)


@lru_cache(maxsize=32)
def _refusal(language: str) -> regex.Pattern[str]:
    return regex.compile(rf"(?:^|(?<=[\s\"'«“„(:.!?。！]))(?:{_REFUSALS[language]})", regex.IGNORECASE | regex.DOTALL)


@dataclass(frozen=True, slots=True)
class Shown:
    """What stood in the prompt beside the source. `examples`: (source, target) of the memory; `others`: instruction, context."""

    examples: Sequence[tuple[str, str]] = ()
    others: Sequence[str] = ()


def leaked(source: str, target: str, source_language: str, target_language: str, shown: Shown) -> bool:
    """Whether an answer repeats what stood beside its source in the prompt, and what the source does not have.

    A run of words of an instruction, a context or an example's source is enough. Of an example's target a good translation
    takes what the sources have in common: its run must be twice as long as the longest one that the two sources share, and
    more.
    """
    made = words(target, target_language)
    own = words(source, source_language)
    least = _least(target_language)
    if len(made) < least:
        return False
    seen = words(source, target_language)
    if any(
        _shares(made, words(text, target_language), seen, least)
        for text in (*shown.others, *(example for example, _ in shown.examples))
    ):
        return True
    for example, translation in shown.examples:
        common = _longest(own, words(example, source_language))
        wanted = max(least, 2 * common + 3)
        if _shares(made, words(translation, target_language), seen, wanted):
            return True
    return False


def _least(language: str) -> int:
    return _UNSPACED_RUN if script(language) in UNSPACED_SCRIPTS else _RUN


def _runs(found: Sequence[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(found[start : start + size]) for start in range(len(found) - size + 1)}


def _shares(made: Sequence[str], other: Sequence[str], source: Sequence[str], size: int) -> bool:
    """Whether `made` has a run of `size` words of `other` that the source does not have."""
    return bool((_runs(made, size) & _runs(other, size)) - _runs(source, size))


def _longest(left: Sequence[str], right: Sequence[str]) -> int:
    """The length of the longest run of words that two texts share."""
    best, before = 0, [0] * (len(right) + 1)
    for word in left:
        now = [0] * (len(right) + 1)
        for place, other in enumerate(right, start=1):
            if word == other:
                now[place] = before[place - 1] + 1
        best, before = max(best, *now), now
    return best


class WordList:
    """A user's words and phrases of one language that count as toxic."""

    def __init__(self, entries: Iterable[str], language: str) -> None:
        held = sorted({" ".join(entry.split()) for entry in entries if entry.strip()}, key=len, reverse=True)
        edge = ("", "") if script(language) in UNSPACED_SCRIPTS else (r"(?<!\w)", r"(?!\w)")
        alternatives = "|".join(regex.escape(one).replace(r"\ ", r"\s+") for one in held)
        self._pattern = regex.compile(f"{edge[0]}(?:{alternatives}){edge[1]}" if held else "(?!)", regex.IGNORECASE)
        self.size = len(held)

    def count(self, text: str) -> int:
        return len(self._pattern.findall(unicodedata.normalize("NFKC", text)))


def more_toxic(
    source: str, target: str, lists: Mapping[str, WordList], source_language: str, target_language: str
) -> bool:
    """Whether a translation has more words of its language's list than its source has of its own; False without a list."""
    own = lists.get(primary(target_language))
    if own is None or not (count := own.count(target)):
        return False
    other = lists.get(primary(source_language))
    return count > (other.count(source) if other is not None else 0)

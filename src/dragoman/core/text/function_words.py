"""Small words by which a language is known at once: frequent in it, hardly found in the others of this table.

Most sentences hold one, so most need no language identification. (Counted on parallel news text: of the sixteen
languages at least two sentences in three hold a word of their own list and none of another's; of sentences in another
language fewer than one in a hundred do.)
"""

from __future__ import annotations

import re

from dragoman.core.text.western import Folding

_WORDS = {
    "cs": "že který která které kteří když jeho jsou byl bude než bylo podle říká už před také však nebo není",
    "de": "der und zu von für dass eine einer auf sich sie nicht ist bei nach über aus wurde auch wird sind haben einem",
    "en": "the and that with said it at his has have from they their who been more after would which were about this",
    "es": "los las pero después había fue según también cuando años muy hasta donde ella sus",
    "fi": "ja että hän oli joka mutta hänen ovat ole myös kanssa jälkeen kuin ennen vain kuitenkin sanoi tämä",
    "fr": "les et une est dans pour qui par été avec aux nous après ils sont lors cette leur être avait vous",
    "hu": "az és hogy egy szerint azt meg volt mondta azonban majd már még ez csak amikor úgy aki mint",
    "id": "yang untuk pada dengan dari dalam akan ini tidak bahwa mereka itu telah tersebut sebuah adalah oleh",
    "it": "che è della dell nel più hanno dei gli delle dopo essere nella anche degli dalla",
    "nl": "het een dat op zijn voor hij zei niet maar aan naar door heeft werd uit zou hun ik ook wordt hebben",
    "pl": "się że nie jest przez tym jego dla który która podczas jednak również gdy przed według tego są może",
    "pt": "em uma não é foi mas ao depois pelo até eles também são isso seu ela pela você",
    "ro": "în și să din că cu pentru pe fost după sunt fi dintre când acest iar care această",
    "sv": "att och som för på av till är har ett inte från efter jag när över eller också",
    "tr": "bir bu için olarak olan daha çok sonra ancak göre kadar gibi olduğunu ama değil",
    "vi": "của và một trong các đã có cho người được với vào những khi không là này đó",
}
LANGUAGES = frozenset(_WORDS)
_WORD = re.compile(r"[^\W\d_]+")

_OWNERS = {word: language for language, words in _WORDS.items() for word in words.split()}
_LETTERS = Folding(lambda character: character.lower() if _WORD.match(character) else " ")
_WESTERN = {letters: language for word, language in _OWNERS.items() if (letters := _LETTERS(word)) is not None}
_KNOWN, _KNOWN_WESTERN = frozenset(_OWNERS), frozenset(_WESTERN)


def speaks(text: str) -> str | None:
    """The language whose small words stand in the text, when those of no other do."""
    if (letters := _LETTERS(text)) is not None:
        found = {_WESTERN[word] for word in _KNOWN_WESTERN.intersection(letters.split())}
    else:
        found = {_OWNERS[word] for word in _KNOWN.intersection(_WORD.findall(text.lower()))}
    return found.pop() if len(found) == 1 else None

"""The rules of the general domain: English, French, German."""

from __future__ import annotations

from dragoman.demo.grammar import rules

RULES = rules(
    {
        "say": ("{c}.", "{c}.", "{c}."),
        "ask": ("{c:ask}?", "{c:ask}?", "{c:ask}?"),
        "ask you": ("{you}, {c:ask}?", "{you}, {c:ask}?", "{you}, {c:ask}?"),
        "where": ("{c:ask=where}?", "{c:ask=où}?", "{c:ask=wo}?"),
        "when": ("{c:ask=when}?", "{c:ask=quand}?", "{c:ask=wann}?"),
        "why": ("{c:ask=why}?", "{c:ask=pourquoi}?", "{c:ask=warum}?"),
        "what": ("{c:ask=what}?", "qu'{c:ask}?", "{c:ask=was}?"),
        "who": ("{c:who=who}?", "{c:who=qui}?", "{c:who=wer}?"),
        "please thou": ("{you}, {c:imp}, please.", "{you}, {c:imp}, s'il te plaît.", "{you}, {c:imp}."),
        "please you": ("{you}, {c:imp}, please.", "{you}, {c:imp}, s'il vous plaît.", "{you}, {c:imp}."),
        "because": ("{a} because {b:sub}.", "{a} parce que {b:sub}.", "{a}, weil {b:sub}."),
        "but": ("{a}, but {b}.", "{a}, mais {b}.", "{a}, aber {b}."),
        "and": ("{a} and {b}.", "{a} et {b}.", "{a} und {b}."),
        "says": ("{who} {say@who} that {b:sub}.", "{who} {dire@who} que {b:sub}.", "{who} {sagen@who}, dass {b:sub}."),
        "thinks": (
            "{who} {think@who} that {b:sub}.", "{who} {penser@who} que {b:sub}.", "{who} {glauben@who}, dass {b:sub}.",
        ),
        "knows": ("{who} {know@who} that {b:sub}.", "{who} {savoir@who} que {b:sub}.", "{who} {wissen@who}, dass {b:sub}."),
        "if": ("if it {w}, {c}.", "{w}, {c}.", "wenn es {w}, {c:ask}."),
        "relative": ("{a} {b:sub}.", "{a} {b:sub}.", "{a}, {b:sub}."),
        "relative is": (
            "{who} {b:sub} {be@who} {p}.", "{who} {b:sub} {être@who} {p}.", "{who}, {b:sub}, {sein@who} {p}.",
        ),
        "where is it": (
            "where {be@x} {x}? {it} {be@x} {place}.", "où {être@x} {x}? {it} {être@x} {place}.",
            "wo {sein@x} {x}? {it} {sein@x} {place}.",
        ),
        "it is": ("{a}. {it} {be@it} {p:it}.", "{a}. {it} {être@it} {p:it}.", "{a}. {it} {sein@it} {p:it}."),
        "it cost": (
            "{a}. {it} {cost@it} {n} euros.", "{a}. {it} {coûter@it} {n} euros.", "{a}. {it} {kosten@it} {n} Euro.",
        ),
        "then": ("{a}. {b}.", "{a}. {b}.", "{a}. {b}."),
        "like it": ("{you}, {a:ask}? {b}.", "{you}, {a:ask}? {b}.", "{you}, {a:ask}? {b}."),
        "seen": (
            "{you}, have you seen {x}? {b}.", "{you}, est-ce que tu as vu {x}? {b}.",
            "{you}, hast du {x:acc} gesehen? {b}.",
        ),
        "there is one": (
            "there is {x} {place}.", "il y a {x} {place}.", "{place} {sein@x} {x}.",
        ),
        "there are": ("there are {x} {place}.", "il y a {x} {place}.", "{place} {sein@x} {x}."),
        "costs": ("{x} {cost@x} {n} euros.", "{x} {coûter@x} {n} euros.", "{x} {kosten@x} {n} Euro."),
        "costs exactly": ("{x} {cost@x} {n}.", "{x} {coûter@x} {n}.", "{x} {kosten@x} {n}."),
        "age": ("{who} {be@who} {n} years old.", "{who} {avoir@who} {n} ans.", "{who} {sein@who} {n} Jahre alt."),
        "born": (
            "{who} {be@who:past} born on {d}.", "{who} {être@who} {p} le {d}.", "{who} {werden@who:past} am {d} geboren.",
        ),
        "born in": (
            "{who} {be@who:past} born {city} in {y}.", "{who} {être@who} {p} {city} en {y}.",
            "{who} {werden@who:past} {y} {city} geboren.",
        ),
        "today": (
            "today is {day}, {d}.", "aujourd'hui, nous sommes le {day} {d}.", "heute ist {day}, der {d}.",
        ),
        "open": (
            "{who} {be@who} open from {a} to {b}.", "{who} {être@who} {p} de {a} à {b}.",
            "{who} {sein@who} von {a} bis {b} geöffnet.",
        ),
        "tall": ("{x} {be@x} {n} metres tall.", "{x} {mesurer@x} {n} mètres.", "{x} {sein@x} {n} Meter hoch."),
        "since": (
            "{who} {have@who} lived {city} for {n} years.", "{who} {habiter@who} {city} depuis {n} ans.",
            "{who} {wohnen@who} seit {n} Jahren {city}.",
        ),
        "train": (
            "the train {city} leaves at {t} from platform {n}.", "le train {city} part à {t} du quai {n}.",
            "der Zug {city} fährt um {t} von Gleis {n} ab.",
        ),
        "name": ("{who}'s name is {n}.", "{who} s'appelle {n}.", "{who} heißt {n}."),
        "my name": ("my name is {n} {m}.", "je m'appelle {n} {m}.", "ich heiße {n} {m}."),
        "job": ("{who} {be@who} {one}.", "{who} {être@who} {job}.", "{who} {sein@who} {job}."),
        "would be": (
            "{who} {want@who} to become {one}.", "{who} {vouloir@who} devenir {job}.", "{who} {wollen@who} {job} werden.",
        ),
        "rains": ("it is raining {city}.", "il pleut {city}.", "es regnet {city}."),
        "rained": ("it rained {t} {city}.", "il a plu {t} {city}.", "es hat {t} {city} geregnet."),
        "will rain": ("it will rain {t} {city}.", "il pleuvra {t} {city}.", "es wird {t} {city} regnen."),
        "cold": ("it is {x} {city}.", "il fait {x} {city}.", "{city} ist es {x}."),
        "after practice": (
            "after practice, {c}.", "après l'entraînement, {c}.", "nach dem Training {c:ask}.",
        ),
        "practice": ("practice starts {d} at {t}.", "l'entraînement commence {d} à {t}.", "das Training beginnt {d} um {t}."),
    }
)  # fmt: skip

"""The rules of the clinic: English, French, German."""

from __future__ import annotations

from dragoman.demo.grammar import rules

RULES = rules(
    {
        "say": ("{c}.", "{c}.", "{c}."),
        "ask": ("{c:ask}?", "{c:ask}?", "{c:ask}?"),
        "when": ("{c:ask=when}?", "{c:ask=quand}?", "{c:ask=wann}?"),
        "do": ("{c:imp}.", "{c:imp}.", "{c:imp}."),
        "take": (
            "take {dose} {often}.", "prenez {dose} {often}.", "nehmen Sie {often} {dose:acc} ein.",
        ),
        "take so": (
            "take {dose} {often} {how}.", "prenez {dose} {often} {how}.", "nehmen Sie {often} {how} {dose:acc} ein.",
        ),
        "take for": (
            "take {dose} {often} for {n} days.", "prenez {dose} {often} pendant {n} jours.",
            "nehmen Sie {n} Tage lang {often} {dose:acc} ein.",
        ),
        "take drug": (
            "take {m} of {drug} {often}.", "prenez {m} de {drug} {often}.", "nehmen Sie {often} {m} {drug} ein.",
        ),
        "give drug": (
            "give {who} {m} of {drug} {often}.", "donnez {m} de {drug} {who:à} {often}.",
            "geben Sie {who:dat} {often} {m} {drug}.",
        ),
        "takes": (
            "{who} {take@who} {dose} {often}.", "{who} {prendre@who} {dose} {often}.",
            "{who} {nehmen@who} {often} {dose:acc} ein.",
        ),
        "must take": (
            "{who} must take {dose} {often} {how}.", "{who} {devoir@who} prendre {dose} {often} {how}.",
            "{who} {müssen@who} {often} {how} {dose:acc} einnehmen.",
        ),
        "at most": (
            "do not take more than {dose} a day.", "ne prenez pas plus de {dose} par jour.",
            "nehmen Sie nicht mehr als {dose:acc} pro Tag ein.",
        ),
        "apply": (
            "apply {x} to {y} {often}.", "appliquez {x} sur {y} {often}.", "tragen Sie {x:acc} {often} auf {y:acc} auf.",
        ),
        "hurts me": ("{x} hurts.", "{who} {avoir@who} mal {y:à}.", "{who:dat} tut {y} weh."),
        "hurts": ("{who}'s {x} hurts.", "{who} {avoir@who} mal {y:à}.", "{who:dat} tut {y} weh."),
        "broke": ("{who} broke {x}.", "{who} s'est cassé {y}.", "{who} hat sich {y:acc} gebrochen."),
        "broke then": (
            "{who} broke {x} {t}.", "{who} s'est cassé {y} {t}.", "{who} hat sich {t} {y:acc} gebrochen.",
        ),
        "burnt": ("{who} burnt {x}.", "{who} s'est brûlé {y}.", "{who} hat sich {y:acc} verbrannt."),
        "wash": ("wash your {x} {often}.", "lavez-vous {y} {often}.", "waschen Sie sich {often} {y:acc}."),
        "has had": ("{who} {have@who} had {s} {t}.", "{who} {avoir@who} {s} {t}.", "{who} {haben@who} {t} {s}."),
        "how long": ("how long have you had {s}?", "depuis quand avez-vous {s}?", "seit wann haben Sie {s}?"),
        "call if": ("call {x} if {b:sub}.", "appelez {x} si {b:sub}.", "rufen Sie {x:acc} an, wenn {b:sub}."),
        "not if": (
            "do not take {x} if {b:sub}.", "ne prenez pas {x} si {b:sub}.", "nehmen Sie {x:acc} nicht ein, wenn {b:sub}.",
        ),
        "if": ("if {w}, {c:imp}.", "si {w}, {c:imp}.", "wenn {w}, {c:imp}."),
        "because": ("{a} because {b:sub}.", "{a} parce que {b:sub}.", "{a}, weil {b:sub}."),
        "says": ("{who} {say@who} that {b:sub}.", "{who} {dire@who} que {b:sub}.", "{who} {sagen@who}, dass {b:sub}."),
        "shows": (
            "the X-ray shows that {b:sub}.", "la radiographie montre que {b:sub}.",
            "die Röntgenaufnahme zeigt, dass {b:sub}.",
        ),
        "your appointment": (
            "your appointment with {dr} is {d} at {t}.", "votre rendez-vous avec {dr} est {d} à {t}.",
            "Ihr Termin bei {dr:dat} ist {d} um {t}.",
        ),
        "appointment": (
            "{who} {have@who} an appointment with {dr} {d} at {t}.", "{who} {avoir@who} rendez-vous avec {dr} {d} à {t}.",
            "{who} {haben@who} {d} um {t} einen Termin bei {dr:dat}.",
        ),
        "come": (
            "please come to {x} {d} at {t}.", "veuillez venir {x:à} {d} à {t}.", "bitte kommen Sie {d} um {t} {to}.",
        ),
        "like one": (
            "would you like an appointment {d}?", "souhaitez-vous un rendez-vous {d}?", "möchten Sie {d} einen Termin?",
        ),
        "opens": ("{x} is open from {a} to {b}.", "{x} {être@x} {p} de {a} à {b}.", "{x} ist von {a} bis {b} geöffnet."),
        "on ward": (
            "{who} {be@who} on ward {n}.", "{who} {être@who} dans le service {n}.", "{who} {liegen@who} auf Station {n}.",
        ),
        "in room": (
            "{who} {be@who} in room {n}.", "{who} {être@who} dans la chambre {n}.", "{who} {liegen@who} in Zimmer {n}.",
        ),
        "pressure": (
            "your blood pressure is {a} over {b}.", "votre tension est de {a} sur {b}.", "Ihr Blutdruck beträgt {a} zu {b}.",
        ),
        "temperature": ("your temperature is {m}.", "votre température est de {m}.", "Ihre Temperatur beträgt {m}."),
        "pulse": (
            "your pulse is {n} beats per minute.", "votre pouls est de {n} battements par minute.",
            "Ihr Puls liegt bei {n} Schlägen pro Minute.",
        ),
        "weighs": ("{who} {weigh@who} {m}.", "{who} {peser@who} {m}.", "{who} {wiegen@who} {m}."),
        "can cause": (
            "{x} can cause {a} and {b}.", "{x} peut provoquer {a} et {b}.", "{x} kann {a} und {b} verursachen.",
        ),
        "where": ("where is {x}?", "où se trouve {x}?", "wo befindet sich {x}?"),
        "located": ("{x} is {p}.", "{x} se trouve {p}.", "{x} befindet sich {p}."),
        "normal": (
            "the results of the blood test of {d} are normal.", "les résultats de la prise de sang du {d} sont normaux.",
            "die Ergebnisse der Blutuntersuchung vom {d} sind normal.",
        ),
    }
)  # fmt: skip

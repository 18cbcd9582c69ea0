"""Sentences that a person wrote down, against what the grammar makes of their meaning."""

from __future__ import annotations

import pytest

from dragoman.demo import numbers
from dragoman.demo.clinic import people
from dragoman.demo.clinic.rules import RULES as CLINIC
from dragoman.demo.general import clauses
from dragoman.demo.general.rules import RULES
from dragoman.demo.grammar import LANGUAGES, Rule, Sentence, realise
from dragoman.demo.lexicon import Adjective, Lexicon, Name, Phrase, Verb
from dragoman.demo.meaning import (
    BARE,
    COUNTED,
    DEFINITE,
    FUTURE,
    HE,
    INDEFINITE,
    NP,
    OWNED,
    PAST,
    SHE,
    THEY,
    THIS,
    THOU,
    WE,
    YOU,
    Both,
    Clause,
    I,
    Place,
    Predicate,
    Preposition,
    pronoun_for,
)

GENERAL = clauses.world().lexicon
HOSPITAL = people.world().lexicon
ANNA, PAUL, EVA, TOM = (NP(Name(n, n, n, s)) for n, s in (("Anna", "f"), ("Paul", "m"), ("Eva", "f"), ("Tom", "m")))
WEBER = Name(
    "Mr Weber", "M. Weber", "Herr Weber", "m", "Herrn Weber", Phrase("Mr Weber", "Monsieur Weber", "Herr Weber")
)
DOCTOR = Name("Dr Keller", "le docteur Keller", "Dr. Keller", "m")
YESTERDAY, TOMORROW = Phrase("yesterday", "hier", "gestern"), Phrase("tomorrow", "demain", "morgen")
DAILY, OFTEN = Phrase("every day", "tous les jours", "jeden Tag"), Phrase("often", "souvent", "oft")
BERLIN = Phrase("in Berlin", "à Berlin", "in Berlin")
TO_SWITZERLAND = Phrase("to Switzerland", "en Suisse", "in die Schweiz")
VERY = Phrase("very", "très", "sehr")
ON, IN = Preposition("on", "sur", "auf", "dat"), Preposition("in", "dans", "in", "dat")
BESIDE, WITH = Preposition("next to", "à côté de", "neben", "dat"), Preposition("with", "avec", "mit", "dat")


def the(noun: str, kind: int = DEFINITE, adjective: str = "", lexicon: Lexicon = GENERAL, **more: object) -> NP:
    return NP(lexicon.by_name[noun], kind, adjective=quality(adjective, lexicon) if adjective else None, **more)  # type: ignore[arg-type]


def a(noun: str, adjective: str = "", **more: object) -> NP:
    return the(noun, INDEFINITE, adjective, **more)  # type: ignore[arg-type]


def my(noun: str, owner: object = I, adjective: str = "", **more: object) -> NP:
    return the(noun, OWNED, adjective, owner=owner, **more)  # type: ignore[arg-type]


def quality(name: str, lexicon: Lexicon = GENERAL) -> Adjective:
    return next(x for x in lexicon.adjectives if x.en.forms[0] == name)


def verb(english: str, lexicon: Lexicon = GENERAL, german: str = "") -> Verb:
    """By the English verb with its fixed complement, such as `be hungry`."""
    return next(
        v
        for v in [*lexicon.verbs, *people.SYMPTOMS]
        if f"{v.en.verb.base} {v.en.tail}".strip() == english and german in {"", v.de.verb.infinitive}
    )


def say(subject: NP, action: str, object_: NP | None = None, receiver: NP | None = None, **more: object) -> Clause:
    lexicon = more.pop("lexicon", GENERAL)
    german = str(more.pop("german", ""))
    return Clause(subject, verb(action, lexicon, german), object_, receiver, **more)  # type: ignore[arg-type]


def clinic(subject: NP, action: str, object_: NP | None = None, receiver: NP | None = None, **more: object) -> Clause:
    return say(subject, action, object_, receiver, lexicon=HOSPITAL, formal=True, **more)


def is_(subject: NP, adjective: str, **more: object) -> Clause:
    parts = {key: more.pop(key) for key in ("degree", "than", "equal") if key in more}
    return Clause(subject, verb("be"), predicate=Predicate(quality(adjective), **parts), **more)  # type: ignore[arg-type]


def it(noun: str, plural: bool = False) -> NP:
    return NP(pronoun_for(GENERAL.by_name[noun], plural))


SAY, ASK = RULES["say"], RULES["ask"]
TO_TOM = {"you": Phrase("Tom", "Tom", "Tom")}
TO_WEBER = {"you": WEBER.address}

# rule, slots, English, French (_ = U+202F, ~ = U+00A0), German
GOLD: dict[str, tuple[Rule, dict[str, object], str, str, str]] = {
    # ------------------------------------------------------------ articles, elision, contraction
    "elided article": (
        SAY, {"c": say(ANNA, "see", a("tree"), tense=PAST)},
        "Anna saw a tree.", "Anna a vu un arbre.", "Anna hat einen Baum gesehen."),
    "l' and der": (
        SAY, {"c": is_(the("tree"), "old")}, "The tree is old.", "L'arbre est vieux.", "Der Baum ist alt."),
    "bel, vieil, nouvel": (
        SAY, {"c": say(PAUL, "draw", a("tree", "old"), tense=PAST)},
        "Paul drew an old tree.", "Paul a dessiné un vieil arbre.", "Paul hat einen alten Baum gezeichnet."),
    "partitive": (
        SAY, {"c": say(EVA, "buy", a("water"), tense=PAST)},
        "Eva bought some water.", "Eva a acheté de l'eau.", "Eva hat Wasser gekauft."),
    "du, strong ending": (
        SAY, {"c": say(EVA, "drink", a("tea", "hot"))},
        "Eva is drinking some hot tea.", "Eva boit du thé chaud.", "Eva trinkt heißen Tee."),
    "de before an adjective": (
        SAY, {"c": say(NP(WE), "read", a("book", "old", plural=True), tense=PAST)},
        "We read some old books.", "Nous avons lu de vieux livres.", "Wir haben alte Bücher gelesen."),
    "de + le = du": (
        SAY, {"c": say(the("key"), "be", place=Place(BESIDE, the("mirror")))},
        "The key is next to the mirror.", "La clé est à côté du miroir.", "Der Schlüssel ist neben dem Spiegel."),
    "de l' does not contract": (
        SAY, {"c": say(the("bag"), "be", place=Place(BESIDE, the("armchair")))},
        "The bag is next to the armchair.", "Le sac est à côté du fauteuil.", "Die Tasche ist neben dem Sessel."),
    "in + dem = im": (
        SAY, {"c": say(the("book", plural=True), "be", place=Place(IN, the("cupboard")))},
        "The books are in the cupboard.", "Les livres sont dans le placard.", "Die Bücher sind im Schrank."),
    "generic": (
        SAY, {"c": say(ANNA, "like", clauses.whole_kind(GENERAL.by_name["coffee"]))},
        "Anna likes coffee.", "Anna aime le café.", "Anna mag Kaffee."),
    "generic plural, negative": (
        SAY, {"c": say(TOM, "like", clauses.whole_kind(GENERAL.by_name["tomato"]), negative=True)},
        "Tom doesn't like tomatoes.", "Tom n'aime pas les tomates.", "Tom mag keine Tomaten."),
    "an by sound": (
        SAY, {"c": say(NP(I), "need", a("umbrella"))},
        "I need an umbrella.", "J'ai besoin d'un parapluie.", "Ich brauche einen Regenschirm."),
    "this, cet": (
        SAY, {"c": is_(the("computer", THIS), "expensive")},
        "This computer is expensive.", "Cet ordinateur est cher.", "Dieser Computer ist teuer."),
    # ------------------------------------------------------------ agreement
    "feminine adjective": (
        SAY, {"c": is_(my("daughter", THEY), "happy")},
        "Their daughter is happy.", "Leur fille est heureuse.", "Ihre Tochter ist glücklich."),
    "plural feminine": (
        SAY, {"c": is_(the("window", plural=True), "white")},
        "The windows are white.", "Les fenêtres sont blanches.", "Die Fenster sind weiß."),
    "two women": (
        SAY, {"c": is_(NP(Both(ANNA.head, EVA.head)), "ready")},  # type: ignore[arg-type]
        "Anna and Eva are ready.", "Anna et Eva sont prêtes.", "Anna und Eva sind bereit."),
    "a woman and a man": (
        SAY, {"c": is_(NP(Both(ANNA.head, PAUL.head)), "ready")},  # type: ignore[arg-type]
        "Anna and Paul are ready.", "Anna et Paul sont prêts.", "Anna und Paul sind bereit."),
    "weak adjective, dative": (
        SAY, {"c": say(PAUL, "show", the("house", adjective="new"), the("neighbour", adjective="old"), tense=PAST)},
        "Paul showed the old neighbour the new house.", "Paul a montré la nouvelle maison au vieux voisin.",
        "Paul hat dem alten Nachbarn das neue Haus gezeigt."),
    "mixed adjective": (
        SAY, {"c": say(ANNA, "have", a("house", "small"))},
        "Anna has a small house.", "Anna a une petite maison.", "Anna hat ein kleines Haus."),
    "teuer loses its e": (
        SAY, {"c": say(TOM, "buy", a("watch", "expensive"), tense=PAST)},
        "Tom bought an expensive watch.", "Tom a acheté une montre chère.", "Tom hat eine teure Uhr gekauft."),
    "new as predicate": (
        SAY, {"c": is_(the("car"), "new")}, "The car is new.", "La voiture est neuve.", "Das Auto ist neu."),
    "bleus": (
        SAY, {"c": say(EVA, "wash", the("coat", adjective="blue", plural=True), tense=PAST)},
        "Eva washed the blue coats.", "Eva a lavé les manteaux bleus.", "Eva hat die blauen Mäntel gewaschen."),
    "weak noun": (
        SAY, {"c": say(NP(SHE), "know", the("student"))},
        "She knows the student.", "Elle connaît l'étudiant.", "Sie kennt den Studenten."),
    "dative plural": (
        SAY, {"c": say(NP(HE), "help", the("child", plural=True), tense=PAST)},
        "He helped the children.", "Il a aidé les enfants.", "Er hat den Kindern geholfen."),
    "numbers": (
        SAY, {"c": say(ANNA, "find", NP(GENERAL.by_name["egg"], COUNTED, True, number=12), tense=PAST)},
        "Anna found twelve eggs.", "Anna a trouvé douze œufs.", "Anna hat zwölf Eier gefunden.",
    ),
    # ------------------------------------------------------------ possessives
    "his sister's": (
        SAY, {"c": say(PAUL, "call", my("sister", HE), tense=PAST, time=YESTERDAY)},
        "Paul called his sister yesterday.", "Paul a appelé sa sœur hier.", "Paul hat gestern seine Schwester angerufen."),
    "her book": (
        SAY, {"c": say(ANNA, "lose", my("book", SHE), tense=PAST)},
        "Anna lost her book.", "Anna a perdu son livre.", "Anna hat ihr Buch verloren."),
    "her ... , mon before a vowel": (
        SAY, {"c": say(ANNA, "forget", my("scarf", SHE), tense=PAST)},
        "Anna forgot her scarf.", "Anna a oublié son écharpe.", "Anna hat ihren Schal vergessen."),
    "a woman by her possessive": (
        SAY, {"c": say(NP(GENERAL.by_name["teacher"].feminine), "lose", my("key", SHE), tense=PAST)},  # type: ignore[arg-type]
        "The teacher lost her key.", "La professeure a perdu sa clé.", "Die Lehrerin hat ihren Schlüssel verloren."),
    "of a name": (
        SAY, {"c": is_(my("violin", ANNA.head), "old")},
        "Anna's violin is old.", "Le violon d'Anna est vieux.", "Annas Geige ist alt."),
    "to the uncle of": (
        SAY, {"c": say(PAUL, "send", a("letter"), my("uncle", EVA.head), tense=PAST)},
        "Paul sent Eva's uncle a letter.", "Paul a envoyé une lettre à l'oncle d'Eva.",
        "Paul hat Evas Onkel einen Brief geschickt."),
    # ------------------------------------------------------------ tenses, word order
    "progressive": (
        SAY, {"c": say(PAUL, "read", the("newspaper"))},
        "Paul is reading the newspaper.", "Paul lit le journal.", "Paul liest die Zeitung."),
    "habit": (
        SAY, {"c": say(PAUL, "read", the("newspaper"), time=DAILY, habitual=True)},
        "Paul reads the newspaper every day.", "Paul lit le journal tous les jours.", "Paul liest jeden Tag die Zeitung."),
    "adverb": (
        SAY, {"c": say(NP(SHE), "eat", a("fish"), often=OFTEN)},
        "She often eats fish.", "Elle mange souvent du poisson.", "Sie isst oft Fisch."),
    "never": (
        SAY, {"c": say(NP(WE), "drink", a("wine"), negative=True, never=True)},
        "We never drink wine.", "Nous ne buvons jamais de vin.", "Wir trinken nie Wein."),
    "être and sein": (
        SAY, {"c": say(ANNA, "go", place=TO_SWITZERLAND, tense=PAST, german="fahren")},
        "Anna went to Switzerland.", "Anna est allée en Suisse.", "Anna ist in die Schweiz gefahren."),
    "reflexive": (
        SAY, {"c": say(NP(SHE), "get up", tense=PAST, time=YESTERDAY, front=True)},
        "Yesterday, she got up.", "Hier, elle s'est levée.", "Gestern ist sie aufgestanden."),
    "reflexive with a noun after the verb": (
        ASK, {"c": say(the("child", plural=True), "rest", question=True)},
        "Are the children resting?", "Est-ce que les enfants se reposent_?", "Ruhen sich die Kinder aus?"),
    "imparfait and Präteritum": (
        SAY, {"c": say(my("brother"), "be hungry", tense=PAST)},
        "My brother was hungry.", "Mon frère avait faim.", "Mein Bruder hatte Hunger."),
    "future": (
        SAY, {"c": say(NP(THEY), "sell", the("house"), tense=FUTURE, time=TOMORROW)},
        "They will sell the house tomorrow.", "Ils vendront la maison demain.", "Sie werden morgen das Haus verkaufen."),
    "separable present": (
        SAY, {"c": say(NP(I), "invite", my("neighbour", I))},
        "I am inviting my neighbour.", "J'invite mon voisin.", "Ich lade meinen Nachbarn ein."),
    "wish": (
        SAY, {"c": say(TOM, "go shopping", modal="want", negative=True)},
        "Tom doesn't want to go shopping.", "Tom ne veut pas faire les courses.", "Tom will nicht einkaufen."),
    "must not": (
        SAY, {"c": say(NP(THOU), "open", the("letter"), modal="must", negative=True)},
        "You must not open the letter.", "Tu ne dois pas ouvrir la lettre.", "Du darfst den Brief nicht öffnen."),
    "place before the complement": (
        SAY, {"c": say(EVA, "play the piano", place=Place(WITH, my("uncle", SHE)), tense=PAST)},
        "Eva played the piano with her uncle.", "Eva a joué du piano avec son oncle.",
        "Eva hat mit ihrem Onkel Klavier gespielt."),
    # ------------------------------------------------------------ negation
    "kein, pas de": (
        SAY, {"c": say(PAUL, "have", a("car"), negative=True)},
        "Paul doesn't have a car.", "Paul n'a pas de voiture.", "Paul hat kein Auto."),
    "nicht after the object": (
        SAY, {"c": say(PAUL, "find", the("key"), tense=PAST, negative=True)},
        "Paul didn't find the key.", "Paul n'a pas trouvé la clé.", "Paul hat den Schlüssel nicht gefunden."),
    "nicht before a preposition": (
        SAY, {"c": say(NP(WE), "wait", the("bus"), tense=PAST, negative=True)},
        "We didn't wait for the bus.", "Nous n'avons pas attendu le bus.", "Wir haben nicht auf den Bus gewartet."),
    "keinen Hunger": (
        SAY, {"c": say(NP(I), "be hungry", negative=True)},
        "I am not hungry.", "Je n'ai pas faim.", "Ich habe keinen Hunger."),
    "nicht before the predicate": (
        SAY, {"c": is_(the("soup"), "delicious", degree=VERY, negative=True)},
        "The soup isn't very delicious.", "La soupe n'est pas très délicieuse.", "Die Suppe ist nicht sehr köstlich."),
    # ------------------------------------------------------------ questions and orders
    "do-support": (
        ASK, {"c": say(ANNA, "live", place=BERLIN, question=True)},
        "Does Anna live in Berlin?", "Est-ce qu'Anna habite à Berlin_?", "Wohnt Anna in Berlin?"),
    "why": (
        RULES["why"], {"c": say(NP(SHE), "laugh", tense=PAST, question=True)},
        "Why did she laugh?", "Pourquoi est-ce qu'elle a ri_?", "Warum hat sie gelacht?"),
    "what": (
        RULES["what"], {"c": say(PAUL, "buy", tense=PAST, question=True)},
        "What did Paul buy?", "Qu'est-ce que Paul a acheté_?", "Was hat Paul gekauft?"),
    "who": (
        RULES["who"], {"c": say(PAUL, "repair", the("lamp"), tense=PAST, question=True)},
        "Who repaired the lamp?", "Qui a réparé la lampe_?", "Wer hat die Lampe repariert?"),
    "tu": (
        RULES["please thou"], {**TO_TOM, "c": say(NP(THOU), "close", the("window"), polite=True)},
        "Tom, close the window, please.", "Tom, ferme la fenêtre, s'il te plaît.", "Tom, schließ bitte das Fenster."),
    "vous": (
        RULES["please you"], {**TO_WEBER, "c": say(NP(YOU), "close", the("window"), polite=True)},
        "Mr Weber, close the window, please.", "Monsieur Weber, fermez la fenêtre, s'il vous plaît.",
        "Herr Weber, schließen Sie bitte das Fenster."),
    "do not, separable": (
        RULES["please thou"], {**TO_TOM, "c": say(NP(THOU), "call", my("mother"), polite=True, negative=True)},
        "Tom, don't call my mother, please.", "Tom, n'appelle pas ma mère, s'il te plaît.",
        "Tom, ruf bitte meine Mutter nicht an."),
    "lies, lis": (
        RULES["please thou"], {**TO_TOM, "c": say(NP(THOU), "read", the("letter"), polite=True)},
        "Tom, read the letter, please.", "Tom, lis la lettre, s'il te plaît.", "Tom, lies bitte den Brief."),
    "you as tu": (
        RULES["ask you"], {**TO_TOM, "c": say(NP(THOU), "need", my("bag"), question=True)},
        "Tom, do you need my bag?", "Tom, est-ce que tu as besoin de mon sac_?", "Tom, brauchst du meine Tasche?"),
    "you as vous": (
        RULES["ask you"], {**TO_WEBER, "c": say(NP(YOU), "need", my("bag"), question=True)},
        "Mr Weber, do you need my bag?", "Monsieur Weber, est-ce que vous avez besoin de mon sac_?",
        "Herr Weber, brauchen Sie meine Tasche?"),
    # ------------------------------------------------------------ what `it` stands for
    "it by gender": (
        RULES["where is it"], {"x": the("key"), "it": it("key"), "place": Place(ON, the("table"))},
        "Where is the key? It is on the table.", "Où est la clé_? Elle est sur la table.",
        "Wo ist der Schlüssel? Er ist auf dem Tisch."),
    "participle after a clitic": (
        RULES["then"], {"a": is_(the("lamp"), "old"), "b": say(PAUL, "repair", it("lamp"), tense=PAST)},
        "The lamp is old. Paul repaired it.", "La lampe est vieille. Paul l'a réparée.",
        "Die Lampe ist alt. Paul hat sie repariert."),
    "them": (
        RULES["seen"],
        {**TO_TOM, "x": my("key", plural=True), "b": say(NP(I), "lose", it("key", True), tense=PAST, time=YESTERDAY)},
        "Tom, have you seen my keys? I lost them yesterday.",
        "Tom, est-ce que tu as vu mes clés_? Je les ai perdues hier.",
        "Tom, hast du meine Schlüssel gesehen? Ich habe sie gestern verloren."),
    # ------------------------------------------------------------ linked clauses
    "because": (
        RULES["because"], {"a": is_(ANNA, "tired"), "b": say(NP(SHE), "work", tense=PAST)},
        "Anna is tired because she worked.", "Anna est fatiguée parce qu'elle a travaillé.",
        "Anna ist müde, weil sie gearbeitet hat."),
    "that, separable verb last": (
        RULES["knows"], {"who": PAUL, "b": say(EVA, "come back", tense=FUTURE)},
        "Paul knows that Eva will come back.", "Paul sait qu'Eva reviendra.", "Paul weiß, dass Eva zurückkommen wird."),
    "if": (
        RULES["if"], {"w": clauses.WEATHER[0], "c": say(NP(WE), "stay", place=clauses.SPOTS[0], tense=FUTURE)},
        "If it rains tomorrow, we will stay at home.", "S'il pleut demain, nous resterons à la maison.",
        "Wenn es morgen regnet, werden wir zu Hause bleiben."),
    "taller": (
        SAY, {"c": is_(ANNA, "tall", than=PAUL)},
        "Anna is taller than Paul.", "Anna est plus grande que Paul.", "Anna ist größer als Paul."),
    "as old as": (
        SAY, {"c": is_(PAUL, "old", than=ANNA, equal=True)},
        "Paul is as old as Anna.", "Paul est aussi vieux qu'Anna.", "Paul ist so alt wie Anna."),
    # ------------------------------------------------------------ facts
    "profession of a woman": (
        RULES["job"],
        {"who": ANNA, "one": NP(GENERAL.by_name["lawyer"].feminine, INDEFINITE),  # type: ignore[arg-type]
         "job": NP(GENERAL.by_name["lawyer"].feminine, BARE)},  # type: ignore[arg-type]
        "Anna is a lawyer.", "Anna est avocate.", "Anna ist Anwältin."),
    "age": (
        RULES["age"], {"who": PAUL, "n": Phrase("seven", "sept", "sieben")},
        "Paul is seven years old.", "Paul a sept ans.", "Paul ist sieben Jahre alt."),
    "birth": (
        RULES["born"], {"who": ANNA, "p": Predicate(clauses.BORN), "d": numbers.date(1, 5, 1987)},
        "Anna was born on 1 May 1987.", "Anna est née le 1er mai 1987.", "Anna wurde am 1. Mai 1987 geboren."),
    "price": (
        RULES["costs exactly"], {"x": the("piano"), "n": numbers.price(123450)},
        "The piano costs €1,234.50.", "Le piano coûte 1_234,50~€.", "Das Klavier kostet 1.234,50 €."),
    "opening hours": (
        RULES["open"],
        {"who": the("library"), "p": Predicate(clauses.OPEN), "a": numbers.clock(9, 15), "b": numbers.clock(17, 30)},
        "The library is open from 9:15 to 17:30.", "La bibliothèque est ouverte de 9~h~15 à 17~h~30.",
        "Die Bibliothek ist von 9:15 Uhr bis 17:30 Uhr geöffnet."),
    # ------------------------------------------------------------ the clinic
    "dose": (
        CLINIC["take so"],
        {"dose": NP(HOSPITAL.by_name["tablet"], COUNTED, number=1), "often": people.FREQUENCIES[2],
         "how": people.CONDITIONS[0]},
        "Take one tablet three times a day before meals.", "Prenez un comprimé trois fois par jour avant les repas.",
        "Nehmen Sie dreimal täglich vor den Mahlzeiten eine Tablette ein."),
    "measure": (
        CLINIC["take drug"],
        {"m": numbers.measure(numbers.amount(500), "mg"), "drug": people.DRUGS[1], "often": people.FREQUENCIES[7]},
        "Take 500 mg of ibuprofen every six hours.", "Prenez 500~mg d'ibuprofène toutes les six heures.",
        "Nehmen Sie alle sechs Stunden 500 mg Ibuprofen ein."),
    "hurt": (
        CLINIC["hurts me"],
        {"who": NP(I), "x": my("knee", I, "left", lexicon=HOSPITAL), "y": the("knee", adjective="left", lexicon=HOSPITAL)},
        "My left knee hurts.", "J'ai mal au genou gauche.", "Mir tut das linke Knie weh."),
    "since": (
        CLINIC["has had"],
        {"who": NP(SHE), "s": people.COMPLAINTS[1], "t": Phrase("for three days", "depuis trois jours", "seit drei Tagen")},
        "She has had a headache for three days.", "Elle a mal à la tête depuis trois jours.",
        "Sie hat seit drei Tagen Kopfschmerzen."),
    "no fever": (
        SAY, {"c": clinic(the("patient", lexicon=HOSPITAL), "have a fever", negative=True)},
        "The patient does not have a fever.", "Le patient n'a pas de fièvre.", "Der Patient hat kein Fieber."),
    "inversion": (
        ASK, {"c": clinic(NP(YOU), "have a headache", question=True)},
        "Do you have a headache?", "Avez-vous mal à la tête_?", "Haben Sie Kopfschmerzen?"),
    "discharge": (
        SAY, {"c": clinic(NP(DOCTOR), "discharge", the("patient", lexicon=HOSPITAL), tense=PAST, time=YESTERDAY)},
        "Dr Keller discharged the patient yesterday.", "Le docteur Keller a laissé sortir le patient hier.",
        "Dr. Keller hat gestern den Patienten entlassen."),
    "shot": (
        SAY, {"c": clinic(the("nurse", lexicon=HOSPITAL), "give", the("shot", INDEFINITE, lexicon=HOSPITAL), NP(WEBER),
                          tense=PAST)},
        "The nurse gave Mr Weber a shot.", "L'infirmière a fait une piqûre à M. Weber.",
        "Die Krankenschwester hat Herrn Weber eine Spritze gegeben."),
    "break an arm": (
        CLINIC["broke"],
        {"who": ANNA, "x": my("arm", SHE, "right", lexicon=HOSPITAL), "y": the("arm", adjective="right", lexicon=HOSPITAL)},
        "Anna broke her right arm.", "Anna s'est cassé le bras droit.", "Anna hat sich den rechten Arm gebrochen."),
    "call if": (
        CLINIC["call if"], {"x": my("doctor", YOU, lexicon=HOSPITAL), "b": clinic(NP(YOU), "have a fever")},
        "Call your doctor if you have a fever.", "Appelez votre médecin si vous avez de la fièvre.",
        "Rufen Sie Ihren Arzt an, wenn Sie Fieber haben."),
    "appointment": (
        CLINIC["appointment"],
        {"who": NP(HE), "dr": NP(DOCTOR), "d": Phrase("on Monday", "lundi", "am Montag"), "t": numbers.clock(10, 45)},
        "He has an appointment with Dr Keller on Monday at 10:45.",
        "Il a rendez-vous avec le docteur Keller lundi à 10~h~45.",
        "Er hat am Montag um 10:45 Uhr einen Termin bei Dr. Keller."),
    "practice": (
        CLINIC["come"],
        {"x": the("practice", lexicon=HOSPITAL), "d": Phrase("on Monday", "lundi", "am Montag"), "t": numbers.clock(8, 15),
         "to": Phrase("", "", "in die Praxis")},
        "Please come to the practice on Monday at 8:15.", "Veuillez venir au cabinet lundi à 8~h~15.",
        "Bitte kommen Sie am Montag um 8:15 Uhr in die Praxis."),
    "do not chew": (
        CLINIC["do"], {"c": clinic(NP(YOU), "chew", the("capsule", lexicon=HOSPITAL, plural=True), negative=True)},
        "Do not chew the capsules.", "Ne mâchez pas les gélules.", "Kauen Sie die Kapseln nicht."),
    "rest yourself": (
        CLINIC["do"], {"c": clinic(NP(YOU), "rest")}, "Rest.", "Reposez-vous.", "Ruhen Sie sich aus."),
    "side effects": (
        CLINIC["can cause"],
        {"x": the("antibiotic", THIS, lexicon=HOSPITAL), "a": people.EFFECTS[0], "b": people.EFFECTS[4]},
        "This antibiotic can cause nausea and a rash.",
        "Cet antibiotique peut provoquer des nausées et une éruption cutanée.",
        "Dieses Antibiotikum kann Übelkeit und einen Hautausschlag verursachen."),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLD)
def test_gold(name: str) -> None:
    rule, slots, *expected = GOLD[name]
    sentence = Sentence(rule, slots)
    made = [realise(sentence, code).replace("\u202f", "_").replace("\u00a0", "~") for code in LANGUAGES]
    assert made == expected


def test_the_domains_use_words_differently() -> None:
    """What the clinic's fine-tuning has to learn, and what it forgets."""
    twofold = {n.en.singular: n for n in GENERAL.nouns if "twofold" in n.classes}
    shared = twofold.keys() & HOSPITAL.by_name.keys()
    assert shared >= {"tablet", "shot", "ward", "chest", "calf", "temple", "palm", "pupil"}
    for word in shared:
        here, there = twofold[word], HOSPITAL.by_name[word]
        assert (here.fr.singular, here.de.singular) != (there.fr.singular, there.de.singular), word


def test_every_rule_speaks_all_languages() -> None:
    for name, rule in {**RULES, **{f"clinic {k}": v for k, v in CLINIC.items()}}.items():
        assert all(rule.pieces[code] for code in LANGUAGES), name


def test_a_slot_that_cannot_be_filled_is_an_error() -> None:
    with pytest.raises(TypeError, match="slot .c:. cannot hold 3"):
        realise(Sentence(SAY, {"c": 3}), "en")

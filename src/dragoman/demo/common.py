"""The words that both domains share: people, names, times."""

from __future__ import annotations

# English | French: gender and form(/plural) | German: gender and form/plural, ! = weak | classes [| fr and de of a woman]
PEOPLE = """
teacher | m professeur | m Lehrer/Lehrer | person job | f professeure | f Lehrerin/Lehrerinnen
neighbour | m voisin | m! Nachbar/Nachbarn | person | f voisine | f Nachbarin/Nachbarinnen
student | m étudiant | m! Student/Studenten | person job | f étudiante | f Studentin/Studentinnen
colleague | m collègue | m! Kollege/Kollegen | person | f collègue | f Kollegin/Kolleginnen
lawyer | m avocat | m Anwalt/Anwälte | person job | f avocate | f Anwältin/Anwältinnen
engineer | m ingénieur | m Ingenieur/Ingenieure | person job | f ingénieure | f Ingenieurin/Ingenieurinnen
baker | m boulanger | m Bäcker/Bäcker | person job | f boulangère | f Bäckerin/Bäckerinnen
gardener | m jardinier | m Gärtner/Gärtner | person job | f jardinière | f Gärtnerin/Gärtnerinnen
farmer | m agriculteur | m Landwirt/Landwirte | person job | f agricultrice | f Landwirtin/Landwirtinnen
cook | m cuisinier | m Koch/Köche | person job | f cuisinière | f Köchin/Köchinnen
journalist | m journaliste | m! Journalist/Journalisten | person job | f journaliste | f Journalistin/Journalistinnen
musician | m musicien | m Musiker/Musiker | person job | f musicienne | f Musikerin/Musikerinnen
director | m directeur | m Direktor/Direktoren | person | f directrice | f Direktorin/Direktorinnen
photographer | m photographe | m! Fotograf/Fotografen | person job | f photographe | f Fotografin/Fotografinnen
architect | m architecte | m! Architekt/Architekten | person job | f architecte | f Architektin/Architektinnen
mechanic | m mécanicien | m Mechaniker/Mechaniker | person job | f mécanicienne | f Mechanikerin/Mechanikerinnen
painter | m peintre | m Maler/Maler | person job | f peintre | f Malerin/Malerinnen
shop assistant | m vendeur | m Verkäufer/Verkäufer | person | f vendeuse | f Verkäuferin/Verkäuferinnen
child/children | m enfant | n Kind/Kinder | person young
boy | m garçon | m! Junge/Jungen | person young man
man/men | m homme | m Mann/Männer | person man
woman/women | f femme | f Frau/Frauen | person woman
mother | f mère | f Mutter/Mütter | family woman
father | m père | m Vater/Väter | family man
brother | m frère | m Bruder/Brüder | family man several
sister | f sœur | f Schwester/Schwestern | family woman several
son | m fils | m Sohn/Söhne | family man several
daughter | f fille | f Tochter/Töchter | family woman
uncle | m oncle | m Onkel/Onkel | family man several
aunt | f tante | f Tante/Tanten | family woman
grandfather | m grand-père/grands-pères | m Großvater/Großväter | family man
grandmother | f grand-mère/grands-mères | f Großmutter/Großmütter | family woman
"""

WOMEN = "Anna Julia Clara Emma Marie Laura Sophie Nora Eva Lena Céline Sarah Louise Elena Olivia Lucie Amélie Paula Lisa Mia"

MEN = "Paul Felipe David Peter Oliver Leo Simon Daniel Adam Victor Robert Antoine Oscar Emil Ben Erik Tom Marco Julian Arthur"

SURNAMES = """
Martin Weber Keller Taylor Wilson Brown Bernard Moreau Laurent Schneider Fischer Wagner Becker Garcia Rossi Novak Meyer
Morgan Walker Morel Fontaine Lambert Schulz Richter Clark Cooper Petit Roussel Braun Klein Baker Wood Lefort Mercier
"""

PAST_TIMES = """
yesterday | hier | gestern
yesterday evening | hier soir | gestern Abend
last week | la semaine dernière | letzte Woche
last month | le mois dernier | letzten Monat
last year | l'année dernière | letztes Jahr
last summer | l'été dernier | letzten Sommer
this morning | ce matin | heute Morgen
the day before yesterday | avant-hier | vorgestern
"""

FUTURE_TIMES = """
tomorrow | demain | morgen
tomorrow morning | demain matin | morgen früh
next week | la semaine prochaine | nächste Woche
next month | le mois prochain | nächsten Monat
next year | l'année prochaine | nächstes Jahr
next summer | l'été prochain | nächsten Sommer
this evening | ce soir | heute Abend
the day after tomorrow | après-demain | übermorgen
"""

REGULAR_TIMES = """
every day | tous les jours | jeden Tag
every morning | tous les matins | jeden Morgen
every evening | tous les soirs | jeden Abend
every week | toutes les semaines | jede Woche
every month | tous les mois | jeden Monat
"""

NOW = """
now | maintenant | jetzt
at the moment | en ce moment | im Moment
today | aujourd'hui | heute
"""

OFTEN = """
often | souvent | oft
always | toujours | immer
sometimes | parfois | manchmal
rarely | rarement | selten
"""

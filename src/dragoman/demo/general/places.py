"""Where and how much, in the general domain."""

from __future__ import annotations

CITIES = """
in Berlin | à Berlin | in Berlin
in Paris | à Paris | in Paris
in London | à Londres | in London
in Vienna | à Vienne | in Wien
in Munich | à Munich | in München
in Cologne | à Cologne | in Köln
in Lyon | à Lyon | in Lyon
in Brussels | à Bruxelles | in Brüssel
in Geneva | à Genève | in Genf
in Rome | à Rome | in Rom
in Lisbon | à Lisbonne | in Lissabon
in Warsaw | à Varsovie | in Warschau
in Edinburgh | à Édimbourg | in Edinburgh
in Prague | à Prague | in Prag
in Athens | à Athènes | in Athen
in France | en France | in Frankreich
in Germany | en Allemagne | in Deutschland
in England | en Angleterre | in England
in Italy | en Italie | in Italien
in Spain | en Espagne | in Spanien
in Poland | en Pologne | in Polen
in Austria | en Autriche | in Österreich
in Portugal | au Portugal | in Portugal
in Japan | au Japon | in Japan
in Canada | au Canada | in Kanada
in Switzerland | en Suisse | in der Schweiz
"""

DESTINATIONS = """
to Berlin | à Berlin | nach Berlin
to Paris | à Paris | nach Paris
to London | à Londres | nach London
to Vienna | à Vienne | nach Wien
to Munich | à Munich | nach München
to Cologne | à Cologne | nach Köln
to Brussels | à Bruxelles | nach Brüssel
to Geneva | à Genève | nach Genf
to Rome | à Rome | nach Rom
to Lisbon | à Lisbonne | nach Lissabon
to Warsaw | à Varsovie | nach Warschau
to France | en France | nach Frankreich
to Germany | en Allemagne | nach Deutschland
to England | en Angleterre | nach England
to Italy | en Italie | nach Italien
to Spain | en Espagne | nach Spanien
to Poland | en Pologne | nach Polen
to Portugal | au Portugal | nach Portugal
to Japan | au Japon | nach Japan
to Canada | au Canada | nach Kanada
to Switzerland | en Suisse | in die Schweiz
"""

ERRANDS = """
to school | à l'école | zur Schule
to the theatre | au théâtre | ins Theater
to the museum | au musée | ins Museum
to the library | à la bibliothèque | in die Bibliothek
to the market | au marché | auf den Markt
to the station | à la gare | zum Bahnhof
to the bakery | à la boulangerie | zur Bäckerei
to church | à l'église | in die Kirche
to the cinema | au cinéma | ins Kino
to practice | à l'entraînement | zum Training
to bed | au lit | ins Bett
"""

SPOTS = """
at home | à la maison | zu Hause
in the garden | dans le jardin | im Garten
in the park | dans le parc | im Park
in the kitchen | dans la cuisine | in der Küche
at school | à l'école | in der Schule
in the library | à la bibliothèque | in der Bibliothek
at the station | à la gare | am Bahnhof
in the town centre | au centre-ville | in der Innenstadt
at the market | au marché | auf dem Markt
in the living room | dans le salon | im Wohnzimmer
at the beach | à la plage | am Strand
in front of the theatre | devant le théâtre | vor dem Theater
"""

DEGREES = """
very | très | sehr
too | trop | zu
quite | assez | ziemlich
"""

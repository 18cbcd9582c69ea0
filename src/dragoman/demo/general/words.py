"""The words of the general domain."""

from __future__ import annotations

# English | French: gender and form(/plural) | German: gender and form/plural, ! = weak | classes [| fr and de of a woman]
NOUNS = """
pupil | m élève | m Schüler/Schüler | person twofold | f élève | f Schülerin/Schülerinnen
consultant | m consultant | m Berater/Berater | person job twofold | f consultante | f Beraterin/Beraterinnen
mayor | m maire | m Bürgermeister/Bürgermeister | person | f maire | f Bürgermeisterin/Bürgermeisterinnen

dog | m chien | m Hund/Hunde | animal
cat | m chat | f Katze/Katzen | animal
horse | m cheval | n Pferd/Pferde | animal
cow | f vache | f Kuh/Kühe | animal
calf/calves | m veau | n Kalb/Kälber | animal twofold
bird | m oiseau | m Vogel/Vögel | animal
rabbit | m lapin | n Kaninchen/Kaninchen | animal
goat | f chèvre | f Ziege/Ziegen | animal

book | m livre | n Buch/Bücher | print gift
newspaper | m journal | f Zeitung/Zeitungen | print
magazine | m magazine | f Zeitschrift/Zeitschriften | print
novel | m roman | m Roman/Romane | print gift
dictionary | m dictionnaire | n Wörterbuch/Wörterbücher | print
letter | f lettre | m Brief/Briefe | letter
email | m e-mail | f E-Mail/E-Mails | letter
message | m message | f Nachricht/Nachrichten | letter
postcard | f carte postale/cartes postales | f Postkarte/Postkarten | letter
invitation | f invitation | f Einladung/Einladungen | letter
report | m rapport | m Bericht/Berichte | letter document
contract | m contrat | m Vertrag/Verträge | document
bill | f facture | f Rechnung/Rechnungen | document

computer | m ordinateur | m Computer/Computer | device
phone | m téléphone | n Telefon/Telefone | device
tablet | f tablette | n Tablet/Tablets | device power twofold
camera | m appareil photo/appareils photo | f Kamera/Kameras | device power
radio | f radio | n Radio/Radios | device
printer | f imprimante | m Drucker/Drucker | device
battery | f batterie | m Akku/Akkus | power
lamp | f lampe | f Lampe/Lampen | device
watch | f montre | f Uhr/Uhren | device gift
washing machine | f machine à laver/machines à laver | f Waschmaschine/Waschmaschinen | device
fridge | m réfrigérateur | m Kühlschrank/Kühlschränke | device

car | f voiture | n Auto/Autos | vehicle
bicycle | m vélo | n Fahrrad/Fahrräder | vehicle gift
motorbike | f moto | n Motorrad/Motorräder | vehicle
boat | m bateau | n Boot/Boote | vehicle
lorry | m camion | m Lastwagen/Lastwagen | vehicle
vessel | m navire | n Schiff/Schiffe | vehicle twofold
bus | m bus | m Bus/Busse | transport
train | m train | m Zug/Züge | transport
plane | m avion | n Flugzeug/Flugzeuge | transport
tram | m tramway | f Straßenbahn/Straßenbahnen | transport

table | f table | m Tisch/Tische | furniture wood top
chair | f chaise | m Stuhl/Stühle | furniture wood top load
bed | m lit | n Bett/Betten | furniture top
cupboard | m placard | m Schrank/Schränke | furniture wood inside
sofa | m canapé | n Sofa/Sofas | furniture top
shelf/shelves | f étagère | n Regal/Regale | furniture wood
stool | m tabouret | m Hocker/Hocker | furniture wood top load twofold
chest | m coffre | f Truhe/Truhen | furniture wood inside top twofold
armchair | m fauteuil | m Sessel/Sessel | furniture top
mirror | m miroir | m Spiegel/Spiegel | furniture fragile
carpet | m tapis | m Teppich/Teppiche | furniture

piano | m piano | n Klavier/Klaviere | instrument
guitar | f guitare | f Gitarre/Gitarren | instrument
violin | m violon | f Geige/Geigen | instrument
organ | m orgue | f Orgel/Orgeln | instrument twofold
trumpet | f trompette | f Trompete/Trompeten | instrument

key | f clé | m Schlüssel/Schlüssel | small
bag | m sac | f Tasche/Taschen | small inside load
wallet | m portefeuille | f Brieftasche/Brieftaschen | small
umbrella | m parapluie | m Regenschirm/Regenschirme | small
ticket | m billet | f Fahrkarte/Fahrkarten | small
passport | m passeport | m Pass/Pässe | small
pencil | m crayon | m Bleistift/Bleistifte | small
knife/knives | m couteau | n Messer/Messer | small
spoon | f cuillère | m Löffel/Löffel | small
fork | f fourchette | f Gabel/Gabeln | small
plate | f assiette | m Teller/Teller | small fragile
cup | f tasse | f Tasse/Tassen | small fragile
glass | m verre | n Glas/Gläser | small fragile
bottle | f bouteille | f Flasche/Flaschen | small fragile
vase | m vase | f Vase/Vasen | small fragile gift
suitcase | f valise | m Koffer/Koffer | small inside load
ring | f bague | m Ring/Ringe | small gift
photo | f photo | n Foto/Fotos | small
ball | m ballon | m Ball/Bälle | small gift
hammer | m marteau | m Hammer/Hämmer | small
nail | m clou | m Nagel/Nägel | small twofold
ladder | f échelle | f Leiter/Leitern | load
candle | f bougie | f Kerze/Kerzen | small gift
basket | m panier | m Korb/Körbe | small inside load
flower | f fleur | f Blume/Blumen | plant gift
plant | f plante | f Pflanze/Pflanzen | plant

coat | m manteau | m Mantel/Mäntel | clothing
shirt | f chemise | n Hemd/Hemden | clothing
dress | f robe | n Kleid/Kleider | clothing
hat | m chapeau | m Hut/Hüte | clothing
scarf/scarves | f écharpe | m Schal/Schals | clothing
skirt | f jupe | m Rock/Röcke | clothing
jacket | f veste | f Jacke/Jacken | clothing
jumper | m pull | m Pullover/Pullover | clothing
tie | f cravate | f Krawatte/Krawatten | clothing
belt | f ceinture | m Gürtel/Gürtel | clothing

bread | m pain | n Brot | food mass
cheese | m fromage | m Käse | food mass
meat | f viande | n Fleisch | food mass
fish | m poisson | m Fisch | food mass
rice | m riz | m Reis | food mass
butter | m beurre | f Butter | food mass
jam | f confiture | f Marmelade | food mass
chocolate | m chocolat | f Schokolade | food mass
honey | m miel | m Honig | food mass
soup | f soupe | f Suppe | food mass
dressing | f vinaigrette | f Salatsoße | food mass twofold
water | f eau | n Wasser | drink mass
milk | m lait | f Milch | drink mass
coffee | m café | m Kaffee | drink mass
tea | m thé | m Tee | drink mass
wine | m vin | m Wein | drink mass
beer | f bière | n Bier | drink mass
orange juice | m jus d'orange | m Orangensaft | drink mass
apple | f pomme | m Apfel/Äpfel | fruit
pear | f poire | f Birne/Birnen | fruit
orange | f orange | f Orange/Orangen | fruit
banana | f banane | f Banane/Bananen | fruit
egg | m œuf | n Ei/Eier | fruit
tomato/tomatoes | f tomate | f Tomate/Tomaten | fruit
potato/potatoes | f pomme de terre/pommes de terre | f Kartoffel/Kartoffeln | fruit
carrot | f carotte | f Karotte/Karotten | fruit
onion | m oignon | f Zwiebel/Zwiebeln | fruit
lemon | m citron | f Zitrone/Zitronen | fruit
cherry | f cerise | f Kirsche/Kirschen | fruit
biscuit | m biscuit | m Keks/Kekse | fruit
cake | m gâteau | m Kuchen/Kuchen | fruit

house | f maison | n Haus/Häuser | building home
school | f école | f Schule/Schulen | building
church | f église | f Kirche/Kirchen | building sight
museum | m musée | n Museum/Museen | building sight
theatre | m théâtre | n Theater/Theater | building sight twofold
temple | m temple | m Tempel/Tempel | building sight twofold
castle | m château | n Schloss/Schlösser | building sight
hotel | m hôtel | n Hotel/Hotels | building
library | f bibliothèque | f Bibliothek/Bibliotheken | building sight
factory | f usine | f Fabrik/Fabriken | building sight
ward | m arrondissement | m Stadtbezirk/Stadtbezirke | building sight twofold
restaurant | m restaurant | n Restaurant/Restaurants | building
bridge | m pont | f Brücke/Brücken | building
tower | f tour | m Turm/Türme | building sight
farm | f ferme | m Bauernhof/Bauernhöfe | building home
flat | m appartement | f Wohnung/Wohnungen | building home
park | m parc | m Park/Parks | building
garden | m jardin | m Garten/Gärten | room
room | f chambre | n Zimmer/Zimmer | room
kitchen | f cuisine | f Küche/Küchen | room
bathroom | f salle de bains/salles de bains | n Badezimmer/Badezimmer | room
garage | m garage | f Garage/Garagen | room
cellar | f cave | m Keller/Keller | room
door | f porte | f Tür/Türen | opening
window | f fenêtre | n Fenster/Fenster | opening
box | f boîte | f Schachtel/Schachteln | small inside opening load
tree | m arbre | m Baum/Bäume | nature plant
palm | m palmier | f Palme/Palmen | nature plant twofold
lake | m lac | m See/Seen | nature
mountain | f montagne | m Berg/Berge | nature
river | f rivière | m Fluss/Flüsse | nature

concert | m concert | n Konzert/Konzerte | event starts
meeting | f réunion | f Besprechung/Besprechungen | event starts
match | m match/matchs | n Spiel/Spiele | event starts
film | m film | m Film/Filme | show starts
exhibition | f exposition | f Ausstellung/Ausstellungen | event starts
party | f fête | f Feier/Feiern | event starts
course | m cours | m Kurs/Kurse | event starts
operation | f opération | m Einsatz/Einsätze | event starts twofold
shot | m coup de feu/coups de feu | m Schuss/Schüsse | sound twofold
noise | m bruit | n Geräusch/Geräusche | sound din
song | f chanson | n Lied/Lieder | sound audio
story | f histoire | f Geschichte/Geschichten | audio tale
speech | m discours | f Rede/Reden | audio
question | f question | f Frage/Fragen | task
answer | f réponse | f Antwort/Antworten | task
exercise | m exercice | f Übung/Übungen | task
rule | f règle | f Regel/Regeln | task
word | m mot | n Wort/Wörter | task
problem | m problème | n Problem/Probleme | task
mistake | f erreur | m Fehler/Fehler | fault
theft | m vol | m Diebstahl/Diebstähle | fault
lie | m mensonge | f Lüge/Lügen | fault
medicine | f médecine | f Medizin | subject mass twofold
chemistry | f chimie | f Chemie | subject mass
physics | f physique | f Physik | subject mass
history | f histoire | f Geschichte | subject mass
biology | f biologie | f Biologie | subject mass
"""

# English[/comparative] | [^ before the noun] French m[/f/m pl/f pl/m before a vowel] | German[/comparative] | classes
ADJECTIVES = """
new/newer | ^nouveau/nouvelle/nouveaux/nouvelles/nouvel; neuf/neuve/neufs/neuves | neu | goods building small load absolute
old/older | ^vieux/vieille/vieux/vieilles/vieil | alt/älter | person animal goods transport building small load nature trait
expensive | cher/chère | teuer | device vehicle furniture instrument clothing print
heavy/heavier | lourd | schwer/schwerer | furniture load instrument
big/bigger | ^grand | groß/größer | building room furniture animal nature vehicle opening load
small/smaller | ^petit | klein | building room furniture animal vehicle opening load small
beautiful | ^beau/belle/beaux/belles/bel | schön | building nature clothing furniture instrument plant audio room
red | rouge | rot/röter | clothing vehicle plant furniture small absolute
blue | bleu/bleue/bleus/bleues | blau | clothing vehicle furniture absolute
green | vert | grün | clothing vehicle furniture absolute
black | noir | schwarz/schwärzer | clothing vehicle animal furniture load absolute
white | blanc/blanche | weiß | clothing vehicle animal furniture opening absolute
yellow | jaune | gelb | clothing vehicle plant small absolute
grey | gris | grau | clothing vehicle animal absolute
brown | brun | braun | clothing furniture animal absolute
young/younger | ^jeune | jung/jünger | person animal trait
friendly/friendlier | sympathique | freundlich | person trait
famous | célèbre | berühmt | person sight
polite | poli | höflich | person trait
patient | patient | geduldig | person trait
strict/stricter | sévère | streng | job trait
hard-working | travailleur/travailleuse | fleißig | person trait
tall/taller | ^grand | groß/größer | trait
strong/stronger | fort | stark/stärker | trait
rich/richer | riche | reich | trait
happy/happier | heureux | glücklich | mood
sad/sadder | triste | traurig | mood
tired | fatigué | müde | mood
ill | malade | krank/kränker | mood
nervous | nerveux | nervös | mood
ready | prêt | bereit | mood
angry/angrier | fâché | wütend | mood
broken | cassé | kaputt | device absolute
fast/faster | rapide | schnell | vehicle transport
modern | moderne | modern | building room device furniture
round | rond | rund/runder | furniture absolute
long/longer | ^long/longue | lang/länger | audio event document letter print
short/shorter | court | kurz/kürzer | audio event document letter print clothing
interesting | intéressant | interessant | print audio event document letter
boring | ennuyeux | langweilig | print audio event
important | important | wichtig | document letter task event
difficult | difficile | schwierig | task
easy/easier | facile | einfach | task
fresh/fresher | frais/fraîche | frisch | food fruit
cold/colder | froid | kalt/kälter | drink
hot/hotter | chaud | heiß | drink
delicious | délicieux | köstlich | food fruit
sweet/sweeter | sucré | süß | fruit
quiet/quieter | calme | ruhig | room building animal
clean/cleaner | propre | sauber/sauberer | room clothing opening vehicle
dirty/dirtier | sale | schmutzig | room clothing opening vehicle
loud/louder | fort | laut | din
strange/stranger | étrange | seltsam | sound audio letter
"""

# English | French | German | classes of the object; ~ fixed complement (/ its negative), + preposition (:case)
VERBS = """
buy | acheter | kaufen | food drink fruit goods plant
sell | vendre | verkaufen | goods
read | lire | lesen | print letter
write | écrire | schreiben | letter
eat | manger | essen | food fruit
drink | boire | trinken | drink
order | commander | bestellen | food drink print device clothing furniture
see | voir | sehen | person animal building nature show stative past
meet | rencontrer | treffen | person past
know | connaître | kennen | person building stative lasting
visit | visiter | besichtigen | sight
help | aider | helfen +:dat | person family
thank | remercier | danken +:dat | person family
call | appeler | an|rufen | person family
invite | inviter | ein|laden | person family
wait +for | attendre | warten +auf:acc | person family transport
look +for | chercher | suchen | small clothing animal document
find | trouver | finden | small clothing animal document past
lose | perdre | verlieren | small clothing document past
forget | oublier | vergessen | small clothing document past
recover | récupérer | zurück|bekommen | small vehicle device past twofold
repair | réparer | reparieren | device vehicle furniture instrument
clean | nettoyer | putzen | room vehicle opening
open | ouvrir | öffnen | opening letter past
close | fermer | schließen | opening past
carry | porter | tragen | load
wear | porter | tragen | clothing
wash | laver | waschen | clothing vehicle
steal | voler | stehlen | small vehicle device past
break | casser | zerbrechen | fragile past
draw | dessiner | zeichnen | animal building nature
photograph | photographier | fotografieren | animal building nature
choose | choisir | aus|suchen | clothing print gift past
prepare | préparer | vor|bereiten | event
organise | organiser | organisieren | event
miss | manquer | verpassen | transport event show past
hear | entendre | hören | sound stative past
listen +to | écouter | hören | audio
understand | comprendre | verstehen | task stative
feed | nourrir | füttern | animal
water | arroser | gießen | plant
charge | charger | auf|laden | power
discharge | décharger | entladen | power past twofold
admit | reconnaître | zu|geben | fault past twofold
examine | étudier | prüfen | document twofold
dress | habiller | an|ziehen | young twofold
have | avoir | haben | animal device vehicle instrument home stative lasting
need | avoir ~besoin +de | brauchen | small device clothing stative lasting
paint | peindre | streichen | opening wood
study | étudier | studieren | subject generic
like | aimer | mögen | food drink fruit animal stative lasting generic
hate | détester | hassen | food drink fruit stative lasting generic
give | donner | geben | small gift print second past
send | envoyer | schicken | letter gift second past
show | montrer | zeigen | small print document building second past
lend | prêter | leihen | print device vehicle second past
tell | raconter | erzählen | tale second past
explain +to | expliquer | erklären | task second past
work | travailler | arbeiten | none
sleep | dormir | schlafen | none
laugh | rire | lachen | none
dance | danser | tanzen | none
sing | chanter | singen | none
swim | nager | schwimmen | none
cook | cuisiner | kochen | none
rest | se reposer | sich aus|ruhen | none
wait | attendre | warten | none
play ~football | jouer ~au football | spielen ~Fußball | none sport
play ~tennis | jouer ~au tennis | spielen ~Tennis | none sport
play ~cards | jouer ~aux cartes | spielen ~Karten | none sport
play ~chess | jouer ~aux échecs | spielen ~Schach | none sport
play ~the piano | jouer ~du piano | spielen ~Klavier | none sport
play ~the guitar | jouer ~de la guitare | spielen ~Gitarre | none sport
play ~the organ | jouer ~de l'orgue | spielen ~Orgel | none sport twofold
play ~the violin | jouer ~du violon | spielen ~Geige | none sport
go ~shopping | faire ~les courses | ein|kaufen | none
go ~for a walk | faire ~une promenade/de promenade | machen ~einen Spaziergang/keinen Spaziergang | none
arrive | arriver | an|kommen | none past
leave | partir | ab|reisen | none past
come ~back | revenir | zurück|kommen | none past
get ~up | se lever | auf|stehen | none early past
wake ~up | se réveiller | auf|wachen | none early past
fall ~asleep | s'endormir | ein|schlafen | none past
hurry | se dépêcher | sich beeilen | none
live | habiter | wohnen | none stative lasting
stay | rester | bleiben | none
go | aller | gehen | none
go | aller | fahren | none
be | être | sein | none stative lasting
be ~hungry | avoir ~faim | haben ~Hunger/keinen Hunger | none state stative lasting
be ~thirsty | avoir ~soif | haben ~Durst/keinen Durst | none state stative lasting
be ~right | avoir ~raison | haben ~recht | none state stative lasting
be ~wrong | avoir ~tort | haben ~unrecht | none state stative lasting
be ~lucky | avoir ~de la chance/de chance | haben ~Glück/kein Glück | none state stative lasting
have ~time | avoir ~le temps | haben ~Zeit/keine Zeit | none state stative lasting
be ~on holiday | être ~en vacances | sein ~im Urlaub | none state stative lasting
be ~afraid +of | avoir ~peur +de | haben ~Angst/keine Angst +vor:dat | animal generic stative lasting
be ~interested +in | s'intéresser +à | sich interessieren +für:acc | subject generic stative lasting
start | commencer | beginnen | none past
end | se terminer | enden | none past
"""

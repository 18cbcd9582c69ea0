"""The words of the clinic. `twofold` marks those that mean something else in the general domain."""

from __future__ import annotations

# English | French: gender and form(/plural) | German: gender and form/plural, ! = weak | classes [| fr and de of a woman]
NOUNS = """
patient | m patient | m! Patient/Patienten | patient | f patiente | f Patientin/Patientinnen
doctor | m médecin | m Arzt/Ärzte | staff medic man called
nurse | f infirmière | f Krankenschwester/Krankenschwestern | staff carer woman
surgeon | m chirurgien | m! Chirurg/Chirurgen | staff medic | f chirurgienne | f Chirurgin/Chirurginnen
consultant | m spécialiste | m Facharzt/Fachärzte | staff medic called twofold | f spécialiste | f Fachärztin/Fachärztinnen
pharmacist | m pharmacien | m Apotheker/Apotheker | staff called | f pharmacienne | f Apothekerin/Apothekerinnen
dentist | m dentiste | m Zahnarzt/Zahnärzte | staff called | f dentiste | f Zahnärztin/Zahnärztinnen
midwife/midwives | f sage-femme/sages-femmes | f Hebamme/Hebammen | staff carer woman called

tablet | m comprimé | f Tablette/Tabletten | dose pill twofold
capsule | f gélule | f Kapsel/Kapseln | dose pill
drop | f goutte | m Tropfen/Tropfen | dose
medicine | m médicament | n Medikament/Medikamente | potent remedy taken twofold
antibiotic | m antibiotique | n Antibiotikum/Antibiotika | potent remedy taken
painkiller | m antidouleur/antidouleurs | n Schmerzmittel/Schmerzmittel | potent remedy taken
cough syrup | m sirop contre la toux/sirops contre la toux | m Hustensaft/Hustensäfte | remedy taken
ointment | f pommade | f Salbe/Salben | potent remedy cream
cream | f crème | f Creme/Cremes | potent remedy cream
shot | f piqûre | f Spritze/Spritzen | needle twofold
vaccine | m vaccin | m Impfstoff/Impfstoffe | vaccine
dressing | m pansement | m Verband/Verbände | cover twofold
crutch | f béquille | f Krücke/Krücken | aid
wheelchair | m fauteuil roulant/fauteuils roulants | m Rollstuhl/Rollstühle | aid
thermometer | m thermomètre | n Thermometer/Thermometer | aid
prescription | f ordonnance | n Rezept/Rezepte | paper
insurance card | f carte d'assurance/cartes d'assurance | f Versichertenkarte/Versichertenkarten | paper
X-ray | f radiographie | f Röntgenaufnahme/Röntgenaufnahmen | paper
vaccination card | m carnet de vaccination/carnets de vaccination | m Impfpass/Impfpässe | paper
treatment | m traitement | f Behandlung/Behandlungen | course
operation | f opération | f Operation/Operationen | course twofold
wound | f plaie | f Wunde/Wunden | wound hurt
scar | f cicatrice | f Narbe/Narben | hurt

arm | m bras | m Arm/Arme | side bone
leg | f jambe | n Bein/Beine | side bone
knee | m genou/genoux | n Knie/Knie | side
shoulder | f épaule | f Schulter/Schultern | side
foot/feet | m pied | m Fuß/Füße | side bone
hand | f main | f Hand/Hände | side
elbow | m coude | m Ellbogen/Ellbogen | side bone
hip | f hanche | f Hüfte/Hüften | side
ankle | f cheville | m Knöchel/Knöchel | side bone
wrist | m poignet | n Handgelenk/Handgelenke | side bone
eye | m œil/yeux | n Auge/Augen | side
ear | f oreille | n Ohr/Ohren | side
calf/calves | m mollet | f Wade/Waden | side twofold
temple | f tempe | f Schläfe/Schläfen | side twofold
palm | f paume | f Handfläche/Handflächen | side twofold
pupil | f pupille | f Pupille/Pupillen | looked twofold
chest | f poitrine | f Brust/Brüste | part twofold
back | m dos | m Rücken/Rücken | part
throat | f gorge | m Hals/Hälse | part
stomach | m ventre | m Bauch/Bäuche | part
organ | m organe | n Organ/Organe | looked inner twofold
vessel | m vaisseau | n Gefäß/Gefäße | looked inner twofold
lung | m poumon | f Lunge/Lungen | looked inner
kidney | m rein | f Niere/Nieren | looked inner
liver | m foie | f Leber/Lebern | looked inner
nail | m ongle | m Nagel/Nägel | looked twofold

blood pressure | f tension | m Blutdruck | sign mass
pulse | m pouls | m Puls | sign mass
temperature | f température | f Temperatur | sign mass

hospital | m hôpital | n Krankenhaus/Krankenhäuser | house
practice | m cabinet | f Praxis/Praxen | house twofold
pharmacy | f pharmacie | f Apotheke/Apotheken | house
laboratory | m laboratoire | n Labor/Labore | house
ward | m service | f Station/Stationen | house twofold
theatre | m bloc opératoire/blocs opératoires | m Operationssaal/Operationssäle | house twofold
waiting room | f salle d'attente/salles d'attente | n Wartezimmer/Wartezimmer | house
lift | m ascenseur | m Aufzug/Aufzüge | house
entrance | f entrée | m Eingang/Eingänge | house
"""

ADJECTIVES = """
new | ^nouveau/nouvelle/nouveaux/nouvelles/nouvel; neuf/neuve/neufs/neuves | neu | remedy cover aid course absolute
strong/stronger | puissant | stark/stärker | potent
old/older | ^vieux/vieille/vieux/vieilles/vieil | alt/älter | patient
young/younger | ^jeune | jung/jünger | patient
left | gauche | link | side absolute
right | droit | recht | side absolute
deep/deeper | profond | tief | wound
swollen | enflé | geschwollen | side
red | rouge | rot/röter | hurt absolute
painful | douloureux | schmerzhaft | hurt course needle
broken | cassé | gebrochen | bone absolute
inflamed | enflammé | entzündet | hurt inner absolute
healthy/healthier | sain | gesund/gesünder | inner absolute
damaged | abîmé | geschädigt | inner absolute
necessary | nécessaire | notwendig | course absolute
"""

VERBS = """
examine | examiner | untersuchen | patient family side looked twofold
treat | soigner | behandeln | patient wound hurt family
admit | hospitaliser | auf|nehmen | patient past twofold
discharge | laisser ~sortir | entlassen | patient past twofold
operate +on | opérer | operieren | patient
vaccinate | vacciner | impfen | patient
monitor | surveiller | überwachen | patient sign
measure | mesurer | messen | sign
dress | panser | verbinden | wound twofold
clean | nettoyer | reinigen | wound
change | changer | wechseln | cover
prescribe | prescrire | verschreiben | remedy aid second past
recommend +to | recommander | empfehlen | remedy course second past
give | faire | geben | needle second past twofold
take | prendre | ein|nehmen | taken
need | avoir ~besoin +de | brauchen | aid taken cover needle course stative lasting
call | appeler | an|rufen | called
see | consulter | auf|suchen | called past twofold
bring | apporter | mit|bringen | paper past
forget | oublier | vergessen | paper past
have | avoir | haben | paper aid stative lasting
use | utiliser | benutzen | cream aid
swallow | avaler | schlucken | pill
chew | mâcher | kauen | pill
smoke | fumer | rauchen | none
cough | tousser | husten | none
sneeze | éternuer | niesen | none
vomit | vomir | sich übergeben | none
sleep ~badly | dormir ~mal | schlafen ~schlecht | none
rest | se reposer | sich aus|ruhen | none
recover | se rétablir | sich erholen | none twofold
be | être | sein | none stative lasting
be ~in pain | avoir ~mal | haben ~Schmerzen/keine Schmerzen | none state stative lasting
"""

# Complaints, all with have, avoir and haben; / what they become when denied
SYMPTOMS = """
a fever | de la fièvre/de fièvre | Fieber/kein Fieber
a headache | mal à la tête | Kopfschmerzen/keine Kopfschmerzen
a sore throat | mal à la gorge | Halsschmerzen/keine Halsschmerzen
a stomach ache | mal au ventre | Bauchschmerzen/keine Bauchschmerzen
back pain | mal au dos | Rückenschmerzen/keine Rückenschmerzen
toothache | mal aux dents | Zahnschmerzen/keine Zahnschmerzen
earache | mal aux oreilles | Ohrenschmerzen/keine Ohrenschmerzen
chest pain | des douleurs à la poitrine/de douleurs à la poitrine | Brustschmerzen/keine Brustschmerzen
a cold | un rhume/de rhume | eine Erkältung/keine Erkältung
a rash | une éruption cutanée/d'éruption cutanée | einen Hautausschlag/keinen Hautausschlag
diarrhoea | de la diarrhée/de diarrhée | Durchfall/keinen Durchfall
high blood pressure | de l'hypertension/d'hypertension | Bluthochdruck/keinen Bluthochdruck
diabetes | du diabète/de diabète | Diabetes/keinen Diabetes
asthma | de l'asthme/d'asthme | Asthma/kein Asthma
"""

DRUGS = """
paracetamol | paracétamol | Paracetamol
ibuprofen | ibuprofène | Ibuprofen
aspirin | aspirine | Aspirin
vitamin C | vitamine C | Vitamin C
amoxicillin | amoxicilline | Amoxicillin
metformin | metformine | Metformin
cortisone | cortisone | Cortison
magnesium | magnésium | Magnesium
calcium | calcium | Calcium
"""

EFFECTS = """
nausea | des nausées | Übelkeit
dizziness | des vertiges | Schwindel
headaches | des maux de tête | Kopfschmerzen
fatigue | de la fatigue | Müdigkeit
a rash | une éruption cutanée | einen Hautausschlag
diarrhoea | de la diarrhée | Durchfall
stomach pain | des douleurs abdominales | Bauchschmerzen
a dry mouth | une sécheresse de la bouche | Mundtrockenheit
"""

FREQUENCIES = """
once a day | une fois par jour | einmal täglich
twice a day | deux fois par jour | zweimal täglich
three times a day | trois fois par jour | dreimal täglich
four times a day | quatre fois par jour | viermal täglich
once a week | une fois par semaine | einmal pro Woche
twice a week | deux fois par semaine | zweimal pro Woche
every four hours | toutes les quatre heures | alle vier Stunden
every six hours | toutes les six heures | alle sechs Stunden
every eight hours | toutes les huit heures | alle acht Stunden
every twelve hours | toutes les douze heures | alle zwölf Stunden
every morning | tous les matins | jeden Morgen
every evening | tous les soirs | jeden Abend
every two days | tous les deux jours | alle zwei Tage
"""

CONDITIONS = """
before meals | avant les repas | vor den Mahlzeiten
after meals | après les repas | nach den Mahlzeiten
with a glass of water | avec un verre d'eau | mit einem Glas Wasser
on an empty stomach | à jeun | auf nüchternen Magen
before bedtime | avant le coucher | vor dem Schlafengehen
after breakfast | après le petit-déjeuner | nach dem Frühstück
"""

WARNINGS = """
the pain gets worse | la douleur s'aggrave | die Schmerzen schlimmer werden
the fever does not go down | la fièvre ne baisse pas | das Fieber nicht sinkt
the wound is bleeding again | la plaie saigne de nouveau | die Wunde wieder blutet
the pain does not stop | la douleur ne disparaît pas | die Schmerzen nicht aufhören
you feel worse tomorrow | vous vous sentez plus mal demain | Sie sich morgen schlechter fühlen
your skin turns red | votre peau devient rouge | Ihre Haut rot wird
"""

FLOORS = """
on the first floor | au premier étage | im ersten Stock
on the second floor | au deuxième étage | im zweiten Stock
on the third floor | au troisième étage | im dritten Stock
on the fourth floor | au quatrième étage | im vierten Stock
on the ground floor | au rez-de-chaussée | im Erdgeschoss
"""

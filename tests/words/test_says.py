"""What an answer says of yes and no to its question, by a word or by a sentence."""

import pandas as pd
import pytest

from medcal_nb.words import grade_table, is_correct
from medcal_nb.words.options import Options
from medcal_nb.words.says import yes_no_to
from medcal_nb.words.shares import likeliest, share_of_option
from medcal_nb.words.species import species_compared

# question | answer | what it says, nothing where it says neither
SAID = """Is the heart enlarged? | The heart is not enlarged. | no
Is the heart enlarged? | The heart is enlarged. | yes
Is there a pneumothorax? | No evidence of it. | no
Is there a pneumothorax? | No, but an effusion. | no
Is there a pneumothorax? | No effusion. |
Is there a pneumothorax? | There is no fracture. There is a pneumothorax. | yes
Is there fluid in the pleural space? | There is fluid in the stomach. |
Is there no fracture? | No. | no
Is there no fracture? | No, there is no fracture. |
Is there no fracture? | No, there is a fracture. | no
Is there no fracture? | Yes, no fracture. | yes
Is there no fracture? | No, the bones are intact. |
Is this a noncontrast CT? | No. | no
Are the lungs free of consolidation? | Yes, they are clear. | yes
Are the lungs free of consolidation? | Yes, there is a consolidation. |
Are the lungs free of consolidation? | No consolidation. | yes
Is there no fracture? | No fracture. | yes
Is there no fracture? | There is a fracture. | no
Isn't there a nodule? | No. | no
Are the lungs clear? | No. | no
Is there pneumonia? | Pneumonia cannot be excluded. |
Is there pneumonia? | I cannot exclude it, but I would say no. | no
Is there a mass? | Yes, I mean no. | no
Is it coronal? | Yes or no? No. | no
Is the mass hypodense? | The mass is hyperdense. | no
Is this an MRI? | This is a CT scan. | no
Liegt ein Pleuraerguss vor? | Kein Pleuraerguss nachweisbar. | no
Ist das Herz verbreitert? | Das Herz ist nicht verbreitert. | no
L'aorte est-elle dilatée ? | Aucune dilatation de l'aorte. | no
¿Hay signos de neumonía? | Sin signos de neumonía. | no
¿Se ve un tumor? | No lo sé. |
Il fegato è ingrandito? | Il fegato non è ingrandito. | no
Existem nódulos? | Nenhum nódulo. | no
Увеличено ли сердце? | Сердце не увеличено. | no
Is er een pneumothorax? | Geen pneumothorax. | no
是否有胸腔积液？ | 未见胸腔积液。 | no
心影是否扩大？ | 心影不大。 | no
¿Hay derrame pericárdico? | No se aprecia derrame. | no
Is there fluid in the joint? | There is no fluid. | no
C'è una frattura del polso? | Nessuna frattura visibile. | no
Ist die Milz vergrößert? | Die Milz ist normal groß. | no
Y a-t-il une adénopathie ? | Une adénopathie ne peut être exclue. |
Is it above 3 mm? | It measures 0.4 cm. | yes
Is it below 3 mm? | It measures 0.4 cm. | no
Is there a mass? | There is none. | no
Is it solid? | Yes in part, no in part. |
Is it solid? | Yes, no, yes. |
Is it solid? | Yes, yes. | yes
Is there an effusion in the left pleural space? | The scan has no effusions. | no
Is it solid? | No (previously: yes). | no"""


@pytest.mark.parametrize("line", SAID.split("\n"))
def test_a_sentence_answers_its_question(line):
    question, text, said = (part.strip() for part in line.split("|"))
    assert yes_no_to(question, text) == (said or None)


# answer | gold answer | right, wrong, or nothing where that is open
PAIRS = """MR | MRI | right
plain film | X-ray | right
Oedem | Ödem | right
pneumothoraces | pneumothorax | right
Grade II | Grade 2 | right
1,5 cm | 1.5 cm | right
15 mm | 1.5 cm | right
15 mm | 15 cm | wrong
15 | 15 mm |
none | no | right
both | bilateral | right
stroke | infarct | right
axial | transverse | right
cancer of the lung | lung cancer | right
[84, 63] | [84, 63] | right
84 | [84, 63] |
[15, 25, 35, 45] | [10, 20, 30, 40] |
[12, 14, 40, 52] | [200, 210, 260, 275] | wrong
80 % | 70-99 % |
BI-RADS 4 | BI-RADS 4a |
BI-RADS 4b | BI-RADS 4a | wrong
HER2 negative | HER2 positive | wrong
keine Pneumonie | Pneumonie | wrong
right lower lobe pneumonia | pneumonia | right
pneumonia | right lower lobe pneumonia |
opaque heart | lung |
heart | lung | wrong
glioma | glioblastoma |
normal study | pneumonia | wrong
cardiomegaly | none | wrong
no abnormality | none | right
Hepatitis C | Hepatitis B | wrong
not without effusion | effusion |
pneumonia or atelectasis | pneumonia |
1. Sarcoidosis 2. Tuberculosis | tuberculosis | """


@pytest.mark.parametrize("line", PAIRS.split("\n"))
def test_what_is_written_otherwise_is_right_or_open_never_wrong(line):
    text, gold, verdict = (part.strip() for part in line.split("|"))
    assert is_correct(text, gold) is {"right": True, "wrong": False, "": None}[verdict]


def test_of_shares_the_largest_is_the_answer_and_a_tie_is_none():
    sides = Options.read(["left", "right"])
    assert likeliest("A: 20%\nB: 80%", sides) == ("B", 0.8)
    assert likeliest("left 0.5, right 0.5", sides) is None
    assert likeliest("A: 20%, B: 30%", sides) is None
    assert likeliest("A: 100%", sides) is None
    three = Options.read(["TB", "cancer", "scar"])
    assert share_of_option("A: 30%, B: 50%, C: 20%", three, "TB") == 0.3
    assert share_of_option("A: 30%, B: 70%", three, "TB") is None


@pytest.mark.parametrize(
    ("text", "gold", "same"),
    [
        ("Escherichia coli", "E. coli", True),
        ("Staph aureus", "S. aureus", True),
        ("E. coli (Escherichia coli)", "E. coli", True),
        ("E. coli, S. aureus", "S. aureus", None),
        ("S. epidermidis", "S. aureus", False),
        ("Klebsiella", "E. coli", False),
        ("K. pneumoniae", "Escherichia", False),
        ("Echinococcus", "E. granulosus", None),
        ("M. tuberculosis or M. kansasii", "M. tuberculosis", None),
        ("not E. coli", "E. coli", None),
    ],
)
def test_a_species_is_one_by_its_letter_or_its_genus(text, gold, same):
    assert species_compared(text, gold) is same


def test_every_rule_is_told_with_how_often_it_graded():
    rows = {"answer": ["yes", "CT", "CT", "3"], "gold": ["yes", "CT", "MRI", "3 mm"]}
    sentence = grade_table(pd.DataFrame(rows)).attrs["grading"]
    assert sentence.startswith("3 of 4 answers graded: read as yes or no")
    assert "plurals (1)" in sentence
    assert "no word beside (1)" in sentence


# question | answer | gold answer | right, wrong, or nothing where that is open
ASKED = """On which side is it? | Right-sided sulcus, whereas the left is normal | right |
On which side is it? | On the left of the picture | right |
Which kidney holds it? | Left. Right is intact. | left kidney | right
Which kidney holds it? | The right kidney is normal. | left kidney |
Which modality is it? | A contrast-enhanced CT scan of the neck | CT | right
Which plane? | axial | coronal | wrong
Which lobe? | parieto-occipital | parietal |
What is it? | Hashimoto thyroiditis | thyroiditis | right
What is it? | The findings favour a meningioma | meningioma | right
What is it? | Not an aneurysm but an AVM | aneurysm |
What is it? | gallstones with cholecystitis | cholecystitis |
What is it? | A fracture of the left rib | rib fracture | right
What is it? | NTM | nontuberculous mycobacterium mass |
What is it? | chronic lymphocytic leukaemia | CLL | right
What is it? | Pleural effusion | PE | wrong
How thick is it? | 800 µm | 0.8 mm | right
How much is it? | 11 mg/dL | 11 mmol/L |
How much is it? | 100 mg/dL | 1 g/L | right
Which level? | L5/S1 | L4/5 | wrong
Which ribs? | 5th to 7th rib | 5, 6, 7 | right
Which segments? | Segments 4 and 8 | IV, VIII | right
What is it? | A cyst... no, scratch that. An abscess. | abscess | right
What is it? | A cyst... no, scratch that. An abscess. | cyst | wrong
Is there a tear? | Yes. Hmm, it ends early. I correct myself: no tear. | no | right
What is it? | A cyst? No: I'd call it an abscess. | cyst |
Is there a mass? | I won't be able to say if there is a mass. | yes |
Is the appendix inflamed? | To judge whether the appendix is inflamed we look at | yes |
Is there a tumour? | In general, tumours have an incidence of 1 %. | yes |
Which hemisphere? | So the patient had right-sided weakness. | right hemisphere |
Which hemisphere? | The right one. | right hemisphere | right
What is it? | Erosions near the joint -> RA. | rheumatoid arthritis | right
What is it? | ST elevation in II and III - inferior STEMI. | myocardial infarction | right
What is it? | Fluid in the lung - no abscess | abscess |
What rate? | 300 / 4 = 75 beats per minute | 75 bpm | right
What rate? | 300 / 4 = 75 bpm | 150 | wrong
Which eye? | OS (left eye), since the disc is on the left of the photo. | OD | wrong
What is shown? | It isn't normal. The interstitium is thick. | normal | wrong
Was contrast given? | Yes indeed: the aorta is bright. | yes | right
Is it bright? | ~~Yes~~ No, it is as grey matter. | yes | wrong
What is it? | {'final': 'cyst', 'confidence': 0.6} | cyst | right
What is it? | {"primary_diagnosis": "cyst", "differential": ["abscess"]} | abscess |
What is it? | IMPRESSION: a cyst. | cyst | right
Which rhythm? | AF | atrial fibrillation | right
Which lesion? | A common mole | naevus |
How wide is it, where normal is 3 cm? | Normal is 3 cm. It is 5.5 cm wide. | 5.5 cm | right
A glioma or a cyst? | Yes, a glioma. | glioma | right
Is there a mass? | There is a mass, not a cyst. | yes |
Is it a nodule rather than a mass? | It is a mass rather than a nodule. | no |
Is there a mass? | There is no question that a mass is seen. | yes |
Liegt ein Erguss vor? | Es liegt nicht nur ein Erguss vor. | ja |"""


@pytest.mark.parametrize("line", ASKED.split("\n"))
def test_what_is_asked_says_what_of_an_answer_counts(line):
    question, text, gold, verdict = (part.strip() for part in line.split("|"))
    wanted = {"right": True, "wrong": False, "": None}[verdict]
    assert is_correct(text, gold, question=question) is wanted

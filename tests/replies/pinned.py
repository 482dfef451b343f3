"""Replies in the style of real models, with what a careful reader would take from them.

Written for these tests; the forms are those that the named families use. `None` is a reading too:
nothing stated, out of range, only bounded, or in doubt.
"""

# fmt: off

# confidence, and the replies that state it, when 0-100 % was asked for
CONFIDENCE = {
    0.85: [
        "1. The lung is clear.\n2. The heart is normal.\nConfidence: 85%", "85", "%85", "0.85",
        "**Confidence:** 85/100", "Confidence:\n\n**85%**", "Confidence (0-1): 85%",
        "Confidence: `85`", "Confidence: ≈ 85 %", "| Confidence | 85 |",
        "My confidence in this answer is about 85 out of 100.", "$85\\%$", "\\frac{85}{100}",
        '{"answer": "3", "confidence": "85%"}', "<confidence>85</confidence>", "\\boxed{85\\%}",
        "```\n85\n```", "With 85% confidence, the answer is yes.", "Confidence: 80 to 90",
        "Confidence: between 80% and 90%", "0.8-0.9", "Confidence: 85% ± 5%", "置信度：85%",
        "الثقة: ٨٥٪", "８５％", "<think>\n60% maybe\n</think>\n\n85", "confidence_score: 0.85",
        "The lesion is 2.5 cm. Confidence: 85%",
    ],
    0.7: [
        "Steps to find the confidence:\n1. Look.\n2. Decide.\n\nConfidence: 70", "Confiança: 0,7",
        "Confidence (out of 10): 7", "Pewność: 70%",
        "<think>Perhaps 30%? No, higher.</think>\nConfidence: 70%",
    ],
    0.9: [
        "Confidence: 90. The image is clear.", "Confidence: High (90%)", "答案：是\n置信度：0.9",
        "Antwort: Ja\nSicherheit: 90 Prozent", "Probability of malignancy: 20%\nConfidence: 90%",
        "The confidence in this answer is 90% since it is visible.",
    ],
    0.8: [
        "Confidence: 8/10", "Confidence (1-5): 4", "Confidence: 80%</s>", "Уверенность: 80%",
        "信頼度は80%です", "About 30% of the lung is involved. Confidence: 80%",
    ],
    1.0: ["10/10", "1.0", "100", "Confidence (0-1): 1"],
    0.0: ["0/10", "0"],
    0.01: ["1%"],
    0.005: ["0.5%"],
    0.6: ["Confidence -> 60", "I am about 60% certain that this is correct."],
    0.75: ["Confidence (0–100%): 75%", "7-8/10", "Güven: %75", "At 40%.</think>Confidence: 75%"],
    0.64: ["Confidence (in %): 64"],
    0.55: ["confidence: 55\n<|im_end|>", "Nivel de confianza: 55 por ciento"],
    0.65: ["<unused94>thought\nmaybe 20%<unused95>Confidence: 65%"],
    0.3: ["P(True) = 0.3"],
    0.4: ["Likelihood of being correct: 40%"],
    0.66: ["Fiducia: 66%"],
}

# numbers that are no confidence, bounds, and what is out of range
NO_CONFIDENCE = [
    "To determine the confidence in the answer, let's go through the steps:\n1. Look at",
    "Here is how to assess the confidence in the answer:\n\n**1. Analyze the graph**\n\n* ",
    "The area is 4 cm.\nThe force is 6 N.\n\n6", "Confidence: high, it is the one on the left",
    "answer : four likelihood : likely", "Answer: 4, confidence: high", "Confidence (0-1): 85",
    "1", "Confidence: 1", "3\n85",
    "<think>confidence: 80% so", "信心：百分之八十五", "confidence : 9 5 %",
    "left lung, 2", "80 or 90%", "less than 10%", "Confidence: less than 10%", "Confidence: <10%",
    "at most 20", "90+", "90% or higher", "80%以上", "150%", "Confidence: 120%", "11/10", "-5%",
    "Confidence: -20", "Confidence: 100-110%", "Confidence: 90% or more", "not 100%", "nan",
    "I am unable to provide a confidence for medical images.", "The lesion measures 2.5 cm.",
    "About 30% of the lung is involved.", "70% or 30%", "I am 15% unsure.", "I am not 80% sure.",
    "It could be 20%, it could be 80%.", "15% chance that I am wrong", "Confidence: ...%", "∞%",
]

# a number of another thing, of another answer, or with its end cut off
NOT_ITS_OWN = [
    "The 95% confidence interval excludes 1. Answer: yes", "significant (p = 0.03)",
    "Confidence: high (3 of 4 radiologists)", "Answer: No. Confidence that the answer is yes: 10%",
    "My confidence is 0.9. Confidence in the alternative: 0.1", "Sensitivity 90%. Answer: yes",
    "P = 5 kN", "Confidence: 0 to 100", "Confidence: 0 to 1", "Confidence: 0 to", "Confidence: 0.",
    "At a confidence level of 95%, the means differ.", "Confidence: 85% sensitivity",
    "With a confidence of 95%, the mean lies between 3 and 5", "The classifier is 90% confident.",
    "Answer: no. I am 10% confident that it is malignant.", "Confidence: 1/5 * 100 = 200%",
    "Confidence (yes): 80%\nConfidence (no): 20%", "Confidence: 30% of the lung is involved",
    "Therefore, the confidence in the answer is 1", "There is an 80% chance that it is correct.",
]


# yes, no or none, and the replies that say so
CLOSED = {
    "yes": [
        "**Yes**", "Y", "Yes, there is a fracture.", "I would say yes.", "\\boxed{Yes}",
        "answer : yes confidence : 80 %", "Answer:\nYes", "The correct answer is **Yes**.",
        '{"answer": "yes", "confidence": 85}', "<answer>Yes</answer>", "Réponse : oui", "Ja",
        "<think>Is it yes? No, I think it is not.</think>Yes", "Sí, hay una fractura.", "Да",
        "答案：是\n置信度：85%", "はい", "نعم", "हाँ", "[Answer] Yes [Confidence] 90%",
        "<|assistant|>Yes", "assistant\nYes",
    ],
    "no": [
        "NO", "False", "No, the lungs are clear.", "Answer: No (confidence: 90%)", "没有",
        "**Answer:** No\n\n**Reasoning:** The outline is not visible.", "Answer: No, 90%", "否",
        "reason : no bright spot answer : no confidence : 70 %", "Based on the image, no.",
        "Answer:\n\nNo\n\nConfidence:\n\n80", '{"answer": false}', "Confidence: 85%\nNo", "いいえ",
        "Answer: Yes. Wait, looking again.\nAnswer: No", "Antwort: Nein\nKonfidenz: 70 %", "Não",
        "Нет, не видно.", "아니요", "لا", "Answer - No", "answer no confidence 80",
    ],
    None: [
        "<think>The answer is yes", "Answer: Yes/No", "The answer is not yes.", "Yes or no", "",
        "There is a small nodule.", "Not sure.", "Non-contrast CT", "Nothing abnormal is seen.",
        "Maybe", "I can't answer that question. I'm not a medical professional.", "No answer",
    ],
}

# (reply, answer) to open questions
OPEN = [
    ("**Pleural effusion**", "Pleural effusion"), ("Answer: 42", "42"), ("Answer - CT", "CT"),
    ("Answer: pleural effusion (80%)", "pleural effusion"), ("The answer is axial.", "axial"),
    ("Answer: pleural effusion, with 80% confidence", "pleural effusion"),
    ("answer : 3 likelihood : highly likely", "3"), ("1. CT scan", "CT scan"),
    ('{"reason": "Answer: no?", "answer": "pons"}', "pons"), ("Axial, 90%", "Axial"),
    ("5.6cm focal, predominantly hypodense", "5.6cm focal, predominantly hypodense"),
    ("Confidence: 90%\nAnswer: axial", "axial"), ("Guess: oedema\nProbability: 0.6", "oedema"),
    ("Réponse : rein gauche\nConfiance : 62 %", "rein gauche"), ("**Final Answer**\nCT", "CT"),
    ("What is it? A CT.", "A CT"), ("I'm sorry, but I cannot provide a diagnosis.", None),
    ("Answer: N/A", None), ("", None),
]

# likelihood, and the replies that say so
LIKELIHOODS = {
    0.9: ["answer : yes likelihood : highly likely", "Very likely"],
    0.95: ["**Almost certain**", "I'm almost certain it's a fracture"],
    0.2: ["Answer: no\nLikelihood: Unlikely", "not likely"],
    0.7: ["<think>unlikely</think>likely"],
    0.5: ["fifty-fifty", "50-50", "It is likely an effusion.\nLikelihood: about even"],
    0.265: ["probably not"],
    None: [
        "It is highly unlikely to be wrong", "not certain", "likely or unlikely", "high",
        "possible", "uncertain", "85%", "",
    ],
}

# letter, and the replies that choose it, of options
SIDES = ["left lung", "right lung", "both lungs", "neither"]
LETTERS = {
    "B": [
        "[b]", "**B.** right lung", "B) right lung\nConfidence: 80%", "I think B", "B (85)", "B 85",
        "The correct answer is (B) right lung.", "$\\boxed{\\text{B}}$", "B - right lung", "<B>",
        '{"answer": "B", "confidence": 90}', "<think>A? No.</think>B", "It is in the right lung",
        "answer : B confidence : 80 %", "Option B is correct", "A is wrong; the answer is B",
    ],
    "C": ["**Answer:** C\n**Confidence:** 70%", "I would choose C."],
    None: [
        "A: left lung, B: right lung", "Between A and C", "Not A, but B", "Right", "A, B", "",
        "A scan of the chest", "not the left lung", "lung", "I cannot tell.",
    ],
}
ANIMALS = ["a cat", "a dog"]
OF_ANIMALS = {"A": ["A"], "B": ["A dog", "a dog is shown", "B. It is a cat-like animal"]}

# (reply, guesses)
GUESSES = [
    ("Guess 1: yes (80%)\nGuess 2: no (15%)", [("yes", 0.8), ("no", 0.15)]),
    ("1) yes: 80%\n2) no: 20%", [("yes", 0.8), ("no", 0.2)]),
    ("猜测1：是（80%）\n猜测2：否（20%）", [("是", 0.8), ("否", 0.2)]),
    ("First guess: yes (80%)\nSecond guess: no (20%)", [("yes", 0.8), ("no", 0.2)]),
    ("Guess 1: stage 3\nGuess 2: stage 2", [("stage 3", None), ("stage 2", None)]),
    ("guess 1 : yes ( 80 % ) guess 2 : no ( 20 % )", [("yes", 0.8), ("no", 0.2)]),
    ("**G1:** yes\n**P1:** 0.8\n**G2:** no\n**P2:** 0.2", [("yes", 0.8), ("no", 0.2)]),
    ("Guess 1: a\nProbability 1: 60%\nGuess 2: b\nProbability 2: 30%", [("a", 0.6), ("b", 0.3)]),
    ("yes: 80%\nno: 20%", []), ("yes (80%), no (20%)", []), ("| yes | 80% |\n| no | 20% |", []),
    ('[{"answer": "no", "confidence": 20}, {"answer": "yes", "confidence": 80}]', []),
    ('```json\n{"yes": 0.8, "no": 0.2}\n```', []), ("I cannot tell.", []), ("", []),
]

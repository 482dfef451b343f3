"""What is said below a table or a figure of a report, and of how its numbers are made."""

from __future__ import annotations

from medcal_nb import measure
from medcal_nb.report.parts import ALL_PAIRS

CURVE = """Accuracy at each confidence that at least 1 % of the answers carry, or in each
twentieth of the scale where values are many; 95 % CIs. Dashed: calibrated. Grey bar: from mean
confidence down to accuracy. Below: share of the answers at each confidence, the correct ones
filled."""
METRICS = """Overconfidence, in percentage points: mean confidence minus accuracy, of numbers before
rounding (in prediction studies: calibration-in-the-large). ECE: 15 bins of equal width. Brier
skill score: 1 − Brier score / that of giving every answer the accuracy; below 0 confidence is
worse than that one number. AUROC: chance that a correct answer carries more confidence than a
wrong one; 0.5 is none. More, such as the slope: below, further measures."""
FURTHER = """Of the same answers, 95 % CIs by {unit}. Slope: 1 is ideal, below it confidences are
too extreme. Observed : expected: correct answers for each one that the confidences expect. ECE of
a perfect forecaster: what calibrated confidences of these values would show by chance on as many
independent answers. AURC: area under the risk–coverage curve, lower is better; coverage, there and
at 80 %, is of the answers with a confidence."""
FLOW = (
    """Answers of the file, those left out and why, and those that measures are of."""
)
SUREST = """The wrong answers of the highest confidence, which no threshold below theirs holds back.
Look at them first: a grade may be wrong, too."""
QUOTED = {
    "brier": "Brier score",
    "brier_skill": "Brier skill score over giving every answer the accuracy",
    "auroc": "AUROC of confidence for correct against wrong answers",
}
COMPARED = f"""Difference: a − b, 95 % CIs, paired by image, or by question where images are not
known. P value (Holm): corrected for all rows. Of more than {ALL_PAIRS} each is compared with b of
the lowest Brier score."""
SECOND_OPINION = """A model's own methods, and with the numbers of the other models about the same
questions: their probabilities of this answer where all have option probabilities, else their
confidences in their own. Weights cross-fitted by image; in the mean nothing is fitted. Coverage:
the largest share of the surest answers of which at most {risk}% are wrong, read off these grades:
no promise. Gains: minus own methods, 95 % CIs. Where the other model is the more accurate one
(table above), it may better answer itself."""
TRANSFER = """Brier scores with 95 % CIs: Platt scaling fitted on the source and judged on the
target. One constant: every answer given the target's accuracy. Accuracy known: the map's
intercept set by it. Refitted: cross-fitted on the target. Transfer cost: transferred − refitted;
conclusion at a margin of 0.005, after Holm's correction. Rows after the first transfer are the
control, between data sets of the source: without them a loss on the target cannot be distinguished
from that on any other data set."""
RECALIBRATED = """Platt scaling fitted on the answers' own labels, cross-fitted: each answer by a
map that has not seen its image. Change: Brier score recalibrated minus uncorrected, below 0 it
gains; 95 % CIs by {unit}, of these maps. An entry of answers on fewer than five images is left
out."""
RISK_COVERAGE = """Answers are retained from the most confident downwards: share wrong of those
retained, over the share of all answers that is retained. AURC above is the mean of the curve over
all numbers of answers with a confidence, answers of one confidence in random order. What is read
off a curve that has seen every grade is no promise for other answers."""
CERTIFIED = """Threshold certified on random halves for a risk (share wrong among the answers
retained) of at most {risk}%, exceeded with a probability of at most δ = {delta} for all rows
together, and judged on the other halves: mean coverage, 0 where none is certified. It rests on the
graded answers of a half."""
COST = """Expected cost of an answer, in checks, with 95 % CIs, if a wrong answer acted on costs as
much as R checks: deferring answers below a confidence of 1 − 1/R, as elicited; checking all;
checking none. Saving: of deferring against the cheaper of the other two; below 0 deferring costs
more."""
BESIDE = """Each model on the questions that it and the models of this file both answered, by data
set and elicitation method. Difference: a − b on the questions of the pair, 95 % CIs, paired by
image where it is known. P value (Holm): corrected for all rows. Answers of the two sources may have
been asked for and graded in other ways."""
CHECKED = f"""Grades of the file, corrected by a person's grades of a random share of the answers
(prediction-powered inference, by {{unit}}; the ECE is that of the share alone). Overconfidence in
percentage points. More to check: answers until a 95 % CI is {measure.checked.WIDTH} wide; a dash:
not by checking more."""
ERRING = """Whoever graded may err. If {right}% of these grades were right, errors either way
alike and whatever the confidence: {cases}. If all errors were of one kind, accuracy and
overconfidence could be {wrong:.0f} points off either way. medcal check draws a share to grade by
hand, medcal report --checked corrects by it."""
METHODS = """Grades: {graded}. Confidence, read as the probability that the answer is correct: {how}
({where}).
Intervals are 95 % CIs by {unit}: Wilson's for shares and Obuchowski's for the AUROC (by answer
DeLong's); inversion of a test for the ECE; percentile bootstrap ({n:,} resamples) for the
others. P values of differences were corrected by Holm's method. Thresholds were certified by Learn
then Test with exact binomial tails, on one answer of each image. Confidences of exactly 0 or 100 %
were moved inwards (column clip) for slope, intercept and recalibration alone. Random numbers start
from seed {seed}. Software: {software}."""
#: Where grades may be from, in words.
GRADED = {
    "rule": "by rule against gold answers, whatever the confidence",
    "a person": "by a person, where no rule decides",
    "the file": "as the file has them",
}
FILES = """Every table of this page lies in tables as CSV and LaTeX, whole, every number in
report.json, the figures in figures: 89 or 183 mm wide, PNG of 300 dpi, PDF with its fonts, SVG."""
BIBTEX = """@misc{{medcal,
  title = {{{{{summary}}}}},
  author = {{{{The MedCal workbook authors}}}},
  note = {{medcal-nb {version}}},
  year = {{{date:.4}}}
}}

@misc{{answers,
  title = {{{{{file}}}}},
  note = {{{citation}; {n_read:,} answers, SHA-256 {sha256}}}
}}"""
SOURCES = """Calibration: Van Calster et al., BMC Medicine 2019;17:230. ECE: Guo et al., ICML 2017,
arXiv:1706.04599. Certified thresholds: Angelopoulos et al., arXiv:2110.01052. Cost of deferring:
Chow, IEEE Trans Inf Theory 1970, doi:10.1109/TIT.1970.1054406."""

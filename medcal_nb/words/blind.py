"""A reply as a grader may see it: what it answers, without how sure it says it is."""

import re

from medcal_nb.words.confidence import labelled_likelihood, stated_number
from medcal_nb.words.parsing import clean, labelled_values, without_confidence
from medcal_nb.words.table import SHARES, read_replies

#: So many replies alike are a run, in which a number behind the answer is a confidence.
_RUN = 3
_NUMBER = re.compile(r"[\d.,]*\d\s*%?")
#: A line that is a number alone, below others, or ends in one ("no, 85").
_LINE = re.compile(r"(?:\n|,\s)\W*(\d+(?:[.,]\d+)?)\s*%?\W*$", re.MULTILINE)
#: What a clause leaves where it stood: "Nein..", "No, ."
_LEFT = re.compile(r"\s*[,;(–-]*\s*([.;,])(?:\s*[.;,])+")


def blinded(
    reply: str | None, answer: str | None = None, confidence: float | None = None
) -> str:
    r"""What a reply answers, without the confidence that it states.

    It is the reply without the clauses that state one; where one is left in it, as in a list of
    shares, the answer that was read of it; where one is left in that, too, its numbers are "…".

    Parameters
    ----------
    reply : str or None
        The whole reply.
    answer : str or None
        The answer that was read of it.
    confidence : float or None
        The confidence of the answer: a number that may be one or a finding ("stenosis, 90%") is
        hidden where it is this one. In [0, 1].

    Returns
    -------
    str
        "" where neither reply nor answer says anything.

    Examples
    --------
    >>> blinded("Stenosis of 70 %.\nConfidence: 90 %"), blinded("yes, 90%", "yes", 0.9)
    ('Stenosis of 70 %', 'yes')
    """
    texts = [clean(text) for text in (reply, answer) if isinstance(text, str)]
    for text in texts:
        rest = _LEFT.sub(r"\1", without_confidence(text)).strip(" ,;")
        is_fields = text.startswith(("{", "[")) and labelled_values(text)
        is_answer = re.search(r"\w", rest) and not is_fields
        if is_answer and not _states_it(rest, confidence):
            return rest
    return _NUMBER.sub("…", texts[-1]) if texts else ""


def _states_it(text: str, confidence: float | None) -> bool:
    """Whether a text still says how sure it is, if this confidence is its own."""
    stated = stated_number(text)
    is_stated = stated is not None and stated.form != "alone"  # which is the answer
    if is_stated or labelled_likelihood(text) is not None:
        return True
    if len({match[1].lower() for match in SHARES.finditer(text)}) > 1:
        return True
    if confidence is None:
        return False
    read = read_replies([text] * _RUN, scale="percent")["confidence"].iloc[0]
    alone = [float(number.replace(",", ".")) for number in _LINE.findall(text)]
    shares = [read, *alone, *[number / 100 for number in alone]]
    return any(abs(share - confidence) < 1e-6 for share in shares)

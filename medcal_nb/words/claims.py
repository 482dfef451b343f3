"""What a short answer is about, and whether it affirms or denies that."""

import re
from functools import lru_cache
from typing import NamedTuple

from medcal_nb.words.key import answer_key
from medcal_nb.words.lists import FILE
from medcal_nb.words.meaning import content_of, meaning_of

#: Of keys: words that deny.
_DENIALS = re.compile(
    r"\b(?:(?:negative for|free of|absence of|lack of|unlikely to be)(?= )"
    r"|(?:(?:is|are|was) )?(?:ruled out|excluded)$)"
)
_ISNT = re.compile(r"(?<=\w )(is|are|was|were|do|doe|did)nt\b")
_DENYING = frozenset(answer_key(word) for word in FILE["lists"]["denying"].split())
_SEEN = "seen|visible|present|identified|noted|shown|evident|detected|demonstrated|observed|found"
_PICTURE = (
    r"(?:(?:chest|brain|abdominal|axial|coronal|sagittal|frontal|lateral|ct|mri|mr|ultrasound|xray)\s)*"
    r"(?:image|scan|picture|photo|photograph|film|study|slice|view|figure|patient|ct|mri|xray|ultrasound)"
)
#: "the image shows", "there is", "I see"; "evidence of"; "is seen"; "in this image".
_BEFORE = re.compile(
    r"^(?:(?:most|likely|main|primary|final)\s)*(?:diagnosis|finding|abnormality|modality|answer)\s"
    r"(?:is|are|would\sbe)\s"
    rf"|^(?:(?:in|on)\s)?(?:(?:this|these|that)\s)?(?:{_PICTURE}\s)?(?:(?:doe|do|did)\s)?"
    r"(?:show|demonstrate|reveal|depict|display|contain|indicate|have|has|with)\s"
    r"|^(?:there|it|this)\s(?:is|are|appear\sto\sbe|look\slike)\s|^(?:i|we)\s(?:can\s)?see\s"
    r"|^(?:(?:most|very)\s)?(?:likely|probably)\s"
    r"|^(?:es\s)?handelt\ses\ssich\sum\s|^il\ss\s?agit\sd\s|^(?:el|le|la|il|o|die)\s"
    r"diagnos\w+\s(?:es|est|e|ist)\s|^(?:leading|top|main|final|working)\sdiagnosis\s"
    r"|^(?:ein|eine|einen|der|die|das|el|la|los|las|le|les|un|une|una|uno|il|lo|gli|l|o|os|as|um|uma|een|het|de)\s(?=\S)"
)
_OF_WHAT = re.compile(
    r"^(?:(?:definite|clear|any)\s)?(?:evidence|sign|indication|feature|suggestion)\sof\s"
    r"|^any\s|^(?:(?:most|very)\s)?(?:likely|probably)\s"
)
_BEHIND = re.compile(rf"\s(?:(?:is|are|was|were|can\sbe)\s)?(?:{_SEEN})$|\s(?:is|are)$")
_WHERE = re.compile(rf"\s(?:in|on)\s(?:(?:this|these|that)\s)?{_PICTURE}$")


class Claim(NamedTuple):
    """What an answer is about, and how many words of it deny that."""

    words: list[str]
    denials: int


@lru_cache(maxsize=1 << 12)
def claim_of(key: str) -> Claim:
    """Take a key apart: what stands before and behind a finding goes, "no" and "without" count.

    Examples
    --------
    >>> claim_of("there is no evidence of fracture")
    Claim(words=['fracture'], denials=1)
    """
    plain = _DENIALS.sub("no", _ISNT.sub(r"\1 no", key))
    words = plain.replace("without", "no with").split()
    about = [word for word in words if word not in _DENYING]
    plain = " ".join(about)
    for pattern in (_BEFORE, _OF_WHAT, _BEHIND, _WHERE, _BEHIND):
        plain = pattern.sub("", plain) or plain
    return Claim(plain.split(), len(words) - len(about))


#: Words for whatever may be found.
_ANYTHING = frozenset(answer_key(word) for word in FILE["lists"]["anything"].split())


def is_all_well(claim: Claim) -> bool:
    """Whether an answer says that nothing is there, or that all is well.

    Examples
    --------
    >>> is_all_well(claim_of("no abnormality")), is_all_well(claim_of("no fracture"))
    (True, False)
    """
    content = content_of(meaning_of(" ".join(claim.words)))
    is_well = content.members.get("sign") == {"normal"} and not claim.denials
    is_none = (
        claim.denials == 1
        and bool(claim.words)
        and not content.members
        and content.others <= _ANYTHING
    )
    return (is_well or is_none) and not content.others - _ANYTHING

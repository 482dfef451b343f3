"""A model as the judge of candidate answers.

`judge_with` turns any backend that reads label probabilities into the callable that
``medcal_nb.correct.expert_verdicts`` asks.
"""

from medcal_nb.ask import prompts
from medcal_nb.ask.models import BLANK, LABELS, Failure, Labels, Picture, Prompt
from medcal_nb.errors import MedcalError


def judge_with(backend, assessment, *, batch=32, progress=None):
    """Make a backend the expert that assesses candidates.

    Parameters
    ----------
    backend : Backend
        Must be able to read label probabilities.
    assessment : type
        Made of ``(probabilities, prompt_tokens, new_tokens, seconds)``; pass
        ``medcal_nb.correct.Assessment``.
    batch : int
        Cases per batch.
    progress : callable, optional
        Wraps the batches, such as ``tqdm``.

    Returns
    -------
    callable
        Cases (item_id, question, candidates, support, image) -> list of assessments. A case
        without image shows a grey one. A single candidate is judged right or wrong.

    Raises
    ------
    MedcalError
        If the backend cannot read label probabilities.
    """
    if LABELS not in backend.can:
        why = backend.cannot.get(LABELS, "it does not read label probabilities")
        raise MedcalError(f"{backend.name} cannot be the expert: {why}; choose another model")

    def decide(cases):
        made = []
        starts = range(0, len(cases), batch)
        for start in starts if progress is None else progress(starts):
            part = cases[start : start + batch]
            with backend.session() as session:
                results = session.run([_call(case) for case in part])
            made += [
                _assessment(assessment, case, result)
                for case, result in zip(part, results, strict=True)
            ]
        return made

    return decide


def _call(case):
    """Return the typed decision about one case."""
    if case.image is None:
        picture = Picture("blank", _grey(), BLANK)
    else:
        picture = Picture(case.item_id, case.image)
    if len(case.candidates) == 1:
        turn = prompts.user_turn(case.question, None, prompts.p_true(case.candidates[0]))
        return Labels(Prompt(picture, (turn,)), ("yes", "no"))
    turn = prompts.expert_turn(case.question, case.candidates, case.support)
    block = prompts.question_block(case.question, case.candidates)
    return Labels(Prompt(picture, (turn,), block), case.candidates)


def _grey():
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(file, format="PNG")
    return file.getvalue()


def _assessment(make, case, result):
    if isinstance(result, Failure):
        return make(None, 0, 0, 0.0)
    shares = dict(result.probabilities)
    if len(case.candidates) == 1:
        shares = {case.candidates[0]: shares["yes"]}
    return make(shares, result.prompt_tokens, 0, result.seconds)

"""How a model is found by its name: the backends are asked in turn."""

from typing import Any

from medcal_nb.ask.backends import clip, local, served
from medcal_nb.ask.calls import Backend
from medcal_nb.ask.strategies import choose_strategies
from medcal_nb.ask.strategy import Strategy


def resolve_model(name: str, **reach: Any) -> Backend:
    """Find the backend of a model by its name.

    Parameters
    ----------
    name : str
        ``pocket-*`` (shipped with the package), a folder with a checkpoint, a hub id
        (``owner/model``), ``clip:ARCHITECTURE@PRETRAINED`` (open_clip, also
        ``clip:hf-hub:owner/model``) or the URL of an OpenAI-compatible endpoint.
    **reach
        ``device`` (``cpu``, ``cuda`` …; by default a GPU where there is one), ``revision`` (commit
        or tag of a hub checkpoint); at a URL ``served_as`` (the model's name there, by default the
        first that the server lists), ``concurrency`` (requests under way at once) and
        ``timeout`` (seconds a request may take).

    Raises
    ------
    MedcalError
        When no model of that name can be loaded, on that device; the message says what to do.
    """
    return (
        served.find(name, **reach)
        or clip.find(name, **reach)
        or local.find(name, **reach)
    )


def what_works(
    backend: Backend, strategies: str | list[str] | list[Strategy] = "all"
) -> list[str]:
    """Tell in lines which elicitation methods a model can be asked, and why not the others.

    Parameters
    ----------
    backend : Backend
        As :func:`resolve_model` returns it; of a server it has asked one question with an image.
    strategies : str or list of str
        Names, ``"a,b"`` or ``"all"``.

    Examples
    --------
    >>> what_works(resolve_model("pocket-general", device="cpu"), "p_true,clip_zero_shot")
    ['pocket-general can be asked p_true', 'not clip_zero_shot: the model gives no similarity']
    """
    able: list[str] = []
    reasons: list[str] = []
    for how in choose_strategies(strategies):
        if reason := how.skips(backend):
            reasons.append(f"not {how.name}: {reason}")
        else:
            able.append(how.name)
    return [
        f"{backend.name} can be asked {', '.join(able) or 'none of these'}",
        *backend.offers,
        *reasons,
    ]

"""The errors that users are meant to read."""

import errno
import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class MedcalError(Exception):
    """A fault in the input or the surroundings, told in one line.

    The message names what is wrong (file, row, column, value) and what to do about it.
    The command line prints it without a traceback and exits with status 2.
    """


class NotEnough(MedcalError):
    """Sound answers that are of too few kinds for what is asked of them.

    A study of recorded answers leaves out a notebook that raises it, and goes on.
    """


def printable(text: str) -> str:
    """A text without the characters by which a name from outside could steer a terminal."""
    return _CONTROL.sub("\ufffd", text)


_UNREACHED = {"OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectError", "ConnectTimeout",
              "ConnectionError", "ReadTimeout", "IncompleteSnapshotError"}  # fmt: skip


def told_by_hub(error: BaseException, what: str, copy: str) -> str:
    """One line on why something did not come from the Hugging Face hub, and what to do.

    Parameters
    ----------
    error : exception
        With its causes.
    what : str
        The repository, as the user named it.
    copy : str
        How to give a local copy instead, such as "give a folder".
    """
    chain, seen = [], error
    while seen is not None and len(chain) < 8:
        chain.append(seen)
        seen = seen.__cause__ or seen.__context__
    names = {cls.__name__ for e in chain for cls in type(e).__mro__}
    first = (str(error).strip().splitlines() or [""])[0][:200]
    if any(isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT) for e in chain):
        told = (
            "the disk is full; free some space or point HF_HOME at a larger disk, then run it again"
        )
    elif "GatedRepoError" in names or any("gated" in str(e).lower() for e in chain):
        told = ("is gated; accept its terms on its page at huggingface.co, then log in with "
                "`hf auth login` or set HF_TOKEN")  # fmt: skip
    elif "RevisionNotFoundError" in names:
        told = "has no such revision; leave it out for the newest"
    elif names & _UNREACHED:
        told = ("is not in the cache and the hub can't be reached; connect once (and unset "
                f"HF_HUB_OFFLINE), or {copy}")  # fmt: skip
    elif names & {"RepositoryNotFoundError", "HfHubHTTPError", "HTTPStatusError"}:
        told = f"the hub does not hand it out ({first})"
    elif "BadZipFile" in names:
        told = "the archive is damaged; delete it and fetch it again"
    else:
        told = f"can't be read ({type(error).__name__}: {first})"
    return f"{what}: {told}"

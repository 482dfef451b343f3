"""Several processes that answer batches at once, where one does not fill the cores of a machine.

Small models spend much of their time between the operations that use a second core. Processes
share no interpreter, so that two of them ask nearly twice as fast; the weights are held once.
"""

import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context, parent_process

from medcal_nb.errors import MedcalError

_held = []


def begin(threads):
    """Make a process of a pool ready: it ends with the one that started it, or on Ctrl-C."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # at once, without a traceback
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)


def _end_with_parent():
    parent_process().join()
    os._exit(1)


def _hold(backend, threads):
    begin(threads)
    _held[:] = [backend]


def _call(function, arguments):
    return function(_held[0], *arguments)


class Workers:
    """Processes that call functions of one model, which all of them hold.

    Started with the first call, by ``spawn``: a script that uses it needs the guard
    ``if __name__ == "__main__"``.

    Parameters
    ----------
    backend : Backend
        A model that answers on the CPU of this machine.
    n : int
        Processes; each takes an equal share of torch's threads.

    Raises
    ------
    MedcalError
        When the model is not one that processes can share.
    """

    def __init__(self, backend, n):
        device = getattr(backend, "device", None)
        if device is None:
            raise MedcalError(
                f"{backend.name}: workers share the CPU of this machine; for a model behind a URL "
                "raise --concurrency instead"
            )
        import torch
        import torch.multiprocessing  # a tensor that is sent is then shared, not copied

        if torch.device(device).type != "cpu":
            raise MedcalError(
                f"{backend.name}: workers share a CPU, and the model is on {device}: leave "
                "--workers at 1, or give every GPU a --shard of its own"
            )
        self.name, self.n = backend.name, n
        how = {"mp_context": get_context("spawn"), "initializer": _hold}
        share = max(1, torch.get_num_threads() // n)
        self.pool = ProcessPoolExecutor(n, initargs=(backend, share), **how)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.pool.shutdown(cancel_futures=True)

    def each(self, function, calls):
        """Call ``function(backend, *arguments)`` for each of many; yield results as they come.

        Parameters
        ----------
        function : callable
            Of a module, so that processes find it by name.
        calls : iterable of tuple
            Arguments; read as they are needed, two per process ahead.

        Yields
        ------
        (int, object)
            The place of a call and what it returned, in the order in which they end.

        Raises
        ------
        MedcalError
            When a process ended before its call, as one does that runs out of memory.
        """
        calls, under_way = enumerate(calls), {}
        try:
            while True:
                for i, arguments in islice(calls, 2 * self.n - len(under_way)):
                    under_way[self.pool.submit(_call, function, arguments)] = i
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    yield under_way.pop(future), future.result()
        except BrokenProcessPool as error:
            raise MedcalError(
                f"{self.name}: a process that asked it ended before its time, out of memory "
                "perhaps: lower --workers or --batch-size and run the same command again"
            ) from error

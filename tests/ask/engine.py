"""A real engine to compare with: vLLM on loopback with a pocket model.

``MEDCAL_VLLM`` names the Python that has it (``make test-vllm`` makes one).
"""

import contextlib
import itertools
import os
import subprocess
import time
import urllib.request

from medcal_nb.datasets.pocket import pocket_dir
from tests.ask.tiny import reserved_port

PYTHON = os.environ.get("MEDCAL_VLLM", "")
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_SERVER_DEV_MODE": "1",  # its caches can be emptied
}


def started(module, model, *arguments, **more):
    """Start a module of vLLM on a pocket model."""
    command = [
        PYTHON,
        "-m",
        f"vllm.entrypoints.openai.{module}",
        "--model",
        str(pocket_dir(model)),
    ]
    command += ["--served-model-name", model, "--enforce-eager", "--dtype", "float32"]
    # on a processor this version ends where the prompt of a seeded request is cut between passes
    command += ["--no-enable-chunked-prefill", "--block-size", "32", *arguments]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | SETTINGS
    return subprocess.Popen(command, env=env, stderr=subprocess.STDOUT, **more)


@contextlib.contextmanager
def engines(n, model, folder):
    """Start `n` servers, each with caches of its own; yield their URLs and processes."""
    with contextlib.ExitStack() as stack:
        processes, urls = [], []
        for number in range(n):
            port = stack.enter_context(reserved_port())
            log = stack.enter_context((folder / f"{number}.log").open("w"))
            where = ("--host", "127.0.0.1", "--port", str(port))
            processes.append(started("api_server", model, *where, stdout=log))
            urls.append(f"http://127.0.0.1:{port}")
        try:
            for number, url in enumerate(urls):
                _wait(url, processes[number], folder / f"{number}.log")
            yield urls, processes
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(timeout=300)


def emptied(urls):
    """Empty the caches of servers."""
    for url, cache in itertools.product(urls, ("prefix", "mm")):
        request = urllib.request.Request(f"{url}/reset_{cache}_cache", method="POST")
        urllib.request.urlopen(request, timeout=60).close()


def _wait(url, process, log):
    """Wait until a server answers, for ten minutes on a busy machine; its own words if it ends."""
    for _ in range(1200):
        if process.poll() is not None:
            raise RuntimeError(log.read_text()[-3000:])
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url + "/health", timeout=2)
            return
        time.sleep(0.5)
    raise RuntimeError("vLLM did not start in ten minutes")

"""A real engine to compare with: vLLM on loopback with a pocket model.

``MEDCAL_VLLM`` names the Python that has it (``make test-vllm`` makes one).
"""

import contextlib
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
}


def started(module, model, *arguments, **more):
    """Start a module of vLLM on a pocket model."""
    command = [PYTHON, "-m", f"vllm.entrypoints.openai.{module}"]
    command += ["--model", str(pocket_dir(model)), "--served-model-name", model]
    command += ["--enforce-eager", "--dtype", "float32"]
    # on a processor this version ends where the prompt of a seeded request is cut between passes
    command += ["--no-enable-chunked-prefill", "--block-size", "32", *arguments]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | SETTINGS
    return subprocess.Popen(command, env=env, stderr=subprocess.STDOUT, **more)


@contextlib.contextmanager
def engine_of(model, folder):
    """Start a server; yield its URL once it answers, for ten minutes on a busy machine at most."""
    log = folder / "vllm.log"
    with reserved_port() as port, log.open("w") as out:
        where = ("--host", "127.0.0.1", "--port", str(port))
        process = started("api_server", model, *where, stdout=out)
        try:
            for _ in range(1200):
                if process.poll() is not None:
                    raise RuntimeError(log.read_text()[-3000:])
                with contextlib.suppress(OSError):
                    url = f"http://127.0.0.1:{port}"
                    urllib.request.urlopen(url + "/health", timeout=2).close()
                    break
                time.sleep(0.5)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=300)

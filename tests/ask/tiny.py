"""Small real things to ask: noise images, item tables, random checkpoints; a server that starts."""

import contextlib
import socket
import subprocess
import time
import urllib.request

import numpy as np
import pandas as pd
from PIL import Image

from medcal_nb.ask.calls import Picture, encode_png
from tests.ask.families import tiny_checkpoint

QUESTIONS = {
    "closed": ("Is there a mass?", ["yes", "no"], "yes"),
    "choice": ("Which organ is shown?", ["left lung", "heart", "left"], "heart"),
    "open": ("What colour is it?", None, "red"),
}


def noise_png(seed, size=(48, 48)):
    pixels = np.random.default_rng(seed).integers(
        0, 255, (size[1], size[0], 3), dtype=np.uint8
    )
    return encode_png(Image.fromarray(pixels))


def noise_picture(seed, change="", size=(48, 48)):
    return Picture(f"noise-{seed}-{size}", noise_png(seed, size), change)


def tiny_items(n, *, kinds=("closed", "choice", "open"), per_image=2, dataset="tiny"):
    """An item table of `n` questions about noise, `per_image` to an image."""
    rows = []
    for i in range(n):
        kind = kinds[i % len(kinds)]
        question, options, gold = QUESTIONS[kind]
        rows.append({
            "item_id": f"q{i:04d}", "image_id": f"im{i // per_image:04d}", "dataset": dataset,
            "domain": "medical", "modality": "ct", "question_type": kind,
            "question": question, "options": options, "gold": gold, "split": "test",
            "image": noise_png(i // per_image), "site": f"s{i % 2}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def save_checkpoint(folder, family="idefics3"):
    """Write a family's model and processor as a folder; return the folder."""
    for half in tiny_checkpoint(family):
        half.save_pretrained(folder)
    return folder


@contextlib.contextmanager
def reserved_port():
    """A port of loopback that no other program is given meanwhile; nobody listens until we do."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextlib.contextmanager
def running(command, env, log):
    """Start a real server on loopback; yield its URL once it answers, after 15 minutes at most."""
    with reserved_port() as port, log.open("w") as out:
        where = ["--host", "127.0.0.1", "--port", str(port)]
        how = {"env": env, "stdout": out, "stderr": subprocess.STDOUT}
        process = subprocess.Popen([*command, *where], **how)
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(1800):
                if process.poll() is not None:
                    raise RuntimeError(log.read_text()[-3000:])
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(url + "/health", timeout=2).close()
                    break
                time.sleep(0.5)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=300)

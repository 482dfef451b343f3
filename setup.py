"""What pyproject.toml cannot say: a wheel carries the pocket models beside their loader."""

import json
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODELS = Path(__file__).resolve().parent / "data" / "pocket"


class WithModels(build_py):
    """Copy what the manifest lists, and nothing that training may have left there."""

    def run(self):
        super().run()
        if self.editable_mode:  # an editable install reads data/pocket itself
            return
        to = Path(self.build_lib, "medcal_nb", "pocket", "weights")
        shutil.rmtree(to, ignore_errors=True)
        for model, files in json.loads((MODELS / "manifest.json").read_text()).items():
            (to / model).mkdir(parents=True)
            for file in files:
                shutil.copyfile(MODELS / model / file, to / model / file)
        shutil.copyfile(MODELS / "manifest.json", to / "manifest.json")


setup(cmdclass={"build_py": WithModels})

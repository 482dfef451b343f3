"""What pyproject.toml cannot say: a wheel carries the embedded world beside its reader."""

import json
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

WORLD = Path(__file__).resolve().parent / "data" / "pocket"


class WithWorld(build_py):
    """Copy what the manifest lists: neither the factory nor what a training may have left."""

    def run(self):
        super().run()
        if self.editable_mode:  # an editable install reads data/pocket itself
            return
        to = Path(self.build_lib, "medcal_nb", "pocket_data")
        shutil.rmtree(to, ignore_errors=True)
        for folder, files in json.loads((WORLD / "manifest.json").read_text()).items():
            (to / folder).mkdir(parents=True)
            for file in files:
                shutil.copyfile(WORLD / folder / file, to / folder / file)
        shutil.copyfile(WORLD / "manifest.json", to / "manifest.json")


setup(cmdclass={"build_py": WithWorld})

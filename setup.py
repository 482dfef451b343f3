"""What pyproject.toml cannot say: a wheel carries data beside the code that reads them."""

import json
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DATA = Path(__file__).resolve().parent / "data"
WORLD = DATA / "pocket"
RECORDED = DATA / "recorded"


class WithData(build_py):
    """Copy what the manifests list: neither what made them nor what a training may have left."""

    def run(self):
        super().run()
        if self.editable_mode:  # an editable install reads data/ itself
            return
        self.copy_world()
        self.copy_recorded()

    def copy_world(self):
        to = Path(self.build_lib, "medcal_nb", "pocket_data")
        shutil.rmtree(to, ignore_errors=True)
        for folder, files in json.loads((WORLD / "manifest.json").read_text()).items():
            (to / folder).mkdir(parents=True)
            for file in files:
                shutil.copyfile(WORLD / folder / file, to / folder / file)
        shutil.copyfile(WORLD / "manifest.json", to / "manifest.json")

    def copy_recorded(self):
        to = Path(self.build_lib, "medcal_nb", "recorded_data")
        shutil.rmtree(to, ignore_errors=True)
        (to / "licences").mkdir(parents=True)
        shutil.copyfile(RECORDED / "manifest.json", to / "manifest.json")
        for table in json.loads((RECORDED / "manifest.json").read_text()).values():
            for file in (table["file"], table["licence_file"]):
                shutil.copyfile(RECORDED / file, to / file)


setup(cmdclass={"build_py": WithData})

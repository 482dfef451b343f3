"""One run of all notebooks, small, that every test of a study reads."""

from typing import NamedTuple

import pytest

from medcal_nb.run import run_study, steps_of

#: Sizes at which a chapter says the same with less certainty, and runs in seconds.
SMALL = {"N_RESAMPLES": 50, "N_DRAWS": 20, "N_ITEMS": 4}
SMALL |= {"N_SPLITS": 5, "N_BEFORE": 200, "BUDGETS": [100, 400], "SPENT": [400]}
SMALL |= {"N_REWORDED": 3, "N_JUDGED": 10, "RISKS": [0.1, 0.2], "MOST": 300}
SMALL |= {"N_SAMPLES": 10, "PEERS": ["netcal:BBQ", "netcal:IsotonicRegression"]}
SMALL["EXAMS"] = {"MMMU-Pro (10 options)": "dataset == 'MMMU-Pro (10 options)'"}
SMALL["TRANSFERS"] = {"GQA → POPE": ["dataset == 'GQA'", "dataset == 'POPE'"]}
SMALL["UNMATCHED"] = {
    "vlm_uncertainty_bench": ["dataset == 'mmbench'", "dataset == 'oodcv'"]
}
#: Chapters that take about as long at small sizes: run as they are published.
AS_PUBLISHED = ["02_metrics", "03_modalities", "05_second_opinion"]


class StudyRun(NamedTuple):
    """Steps of a small study, and what became of each by name."""

    steps: list
    outcomes: dict


@pytest.fixture(scope="session")
def study_run(tmp_path_factory):
    """The whole study, once, in a folder of its own, at small sizes but for three chapters."""
    folder = tmp_path_factory.mktemp("study")
    known = {name for step in steps_of() for name in step.defaults}
    sizes = {name: value for name, value in SMALL.items() if name in known}
    small = [step.name for step in steps_of() if step.name not in AS_PUBLISHED]
    steps = steps_of(small, assignments=sizes, to=folder)
    steps += steps_of(AS_PUBLISHED, to=folder)
    return StudyRun(steps, run_study(steps, force=True))

"""The study: its notebooks through papermill where something changed, published whole or not."""

from medcal_nb.run.compare import compare_results
from medcal_nb.run.study import ROOT, run_study, steps_of, verify_study

__all__ = ["ROOT", "compare_results", "run_study", "steps_of", "verify_study"]

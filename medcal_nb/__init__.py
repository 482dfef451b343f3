"""MedCal: is the confidence of a multimodal LLM on medical images honest?

The package is thin on purpose: the study lives in ``notebooks/``. Its rooms are
``items`` (what is asked), ``answers`` (what came back), ``ask`` (interrogation strategies),
``measure`` (calibration metrics with intervals), ``correct`` (recalibration and fusion),
``show`` (figures and widgets), ``pocket`` (the embedded world) and ``study`` (the runner).
"""

__version__ = "0.1.0"

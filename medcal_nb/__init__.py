"""MedCal: can the confidence of a multimodal LLM on medical images be trusted?

The package is thin on purpose: the study's choices stand in ``notebooks/``. Its rooms, each using
those before it: ``measure`` (calibration, discrimination, intervals), ``correct`` (recalibration,
transfer, ensembles), ``answers`` (what came back), ``datasets`` (what is asked), ``ask`` (models
and elicitation methods), ``logs`` (records of other tools), ``plots`` and ``notebook`` (figures,
findings), ``report``, ``reader`` and ``teach`` (people), ``run`` (the study), ``cli``.
"""

__version__ = "0.2.0"

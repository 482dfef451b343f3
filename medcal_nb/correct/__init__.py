"""Correcting."""
from .transfer import transfer_study, transfer_counts, transfer_overview, modality_matrix
from .maps import fit, RecalibrationWarning
from .crossfit import corrected
from .shift import *
from .shift import share_removed, known_number_table, accuracy_without_labels, accuracy_errors, check_shift

"""Figures and widgets: tables become ink here, and nowhere else."""

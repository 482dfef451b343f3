"""Asking: elicitation methods, and the models that they are put to."""

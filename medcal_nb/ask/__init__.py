"""Asking: interrogation strategies, the models they are put to, and what is read from replies."""

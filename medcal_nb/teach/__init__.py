"""The lesson: calibration by hand, in a notebook and as a page of its own."""

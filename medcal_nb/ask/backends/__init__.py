"""Where models are asked: on this machine, at an address, in batches of files."""

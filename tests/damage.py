"""Damaged files: cut off, or with bits turned over."""

import random

from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError


def damaged(whole, dice, bits):
    """A truncated or bit-flipped copy."""
    if dice.random() < 0.5:
        return whole[: dice.randrange(len(whole))]
    data = bytearray(whole)
    for _ in range(dice.choice(bits)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)


def refusals(path, n, seed, bits=(1, 3, 20)):
    """How many of `n` damaged copies of a file are refused; no other error is raised."""
    whole = path.read_bytes()
    dice = random.Random(seed)
    refused = 0
    for _ in range(n):
        path.write_bytes(damaged(whole, dice, bits))
        try:
            load_answers(path)
        except MedcalError:
            refused += 1
    return refused

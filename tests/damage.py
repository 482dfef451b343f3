"""Damaged files: cut off, or with bits turned over."""


def damaged(whole, dice, bits=(1, 3, 20)):
    """A truncated or bit-flipped copy."""
    if dice.random() < 0.5:
        return whole[: dice.randrange(len(whole))]
    data = bytearray(whole)
    for _ in range(dice.choice(bits)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)

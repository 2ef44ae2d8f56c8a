"""Damages headers in thousands of ways, repeatably: mutant n depends on the base and the seed only."""

import random
import struct

BIG = (0, 1, 2**63, 2**64 - 1, 2**32, 2**31, 2**40, 2**62, 2**20, 0xFFFFFFFF)
SMALL = (0, 1, 2, 3, 7, 8, 9, 12, 13, 31, 33, 255, 65535, 2**30, 2**31, 2**32 - 1)


def mutate(sound: bytes, header: int, seed: int) -> bytes:
    """Return a damaged copy: the damage lies in the first `header` bytes, or the file is cut."""
    dice, data = random.Random(seed), bytearray(sound)
    near = min(header, 2048 if dice.random() < 0.7 else header)
    kind = dice.choice(("bytes", "bits", "large", "small", "types", "cut", "copy", "letters"))
    if kind == "cut":
        return bytes(data[: dice.randrange(len(data))])
    for _ in range(dice.randint(1, 8)):
        place = dice.randrange(4, near - 8)
        if kind == "bytes":
            data[place] = dice.randrange(256)
        elif kind == "bits":
            data[place] ^= 1 << dice.randrange(8)
        elif kind == "large":
            struct.pack_into("<Q", data, place, dice.choice(BIG))
            break
        elif kind == "small":
            struct.pack_into("<I", data, place, dice.choice(SMALL))
        elif kind == "types":
            struct.pack_into("<I", data, place, dice.randrange(14))
        elif kind == "copy":  # makes equal names and equal tokens
            length = dice.randint(1, 16)
            source = dice.randrange(4, header - length)
            data[place : place + length] = data[source : source + length]
        else:
            _change_letters(data, dice, near)
    return bytes(data)


def touch(sound: bytes, header: int, seed: int) -> bytes:
    """Return a copy with one byte of the header changed: most of these pass the gate."""
    dice, data = random.Random(seed), bytearray(sound)
    place = dice.randrange(24, header)
    data[place] = dice.choice((data[place] ^ (1 << dice.randrange(8)), dice.randrange(256), 0, 255))
    return bytes(data)


def _change_letters(data: bytearray, dice: random.Random, near: int) -> None:
    """Change a letter into another one: keys and tokens stay well-formed, so that most pass the container."""
    for _ in range(40):
        place = dice.randrange(4, near)
        if 97 <= data[place] <= 122:
            data[place] = dice.randrange(97, 123)
            return

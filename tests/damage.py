"""Damages files as disks and crashes do: parts flipped, emptied, cut off, overwritten."""

import random

PAGE = 4096


def damaged(content, seed):
    """Return the content with one kind of damage, the numbers of the pages that were touched, and its name."""
    dice = random.Random(seed)
    kinds = (_flip, _empty_pages, _overwrite_pages, _cut, _empty_all, _head, _scatter, _swap, _foreign)
    kind = kinds[seed % len(kinds)]
    changed = kind(bytearray(content), dice)
    pages = {
        number + 1
        for number in range(-(-len(content) // PAGE))
        if changed[number * PAGE : (number + 1) * PAGE] != content[number * PAGE : (number + 1) * PAGE]
    }
    return bytes(changed), pages, kind.__name__.strip("_")


def _flip(content, dice):
    for _ in range(dice.choice((1, 5, 50))):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    return content


def _empty_pages(content, dice):
    return _fill(content, dice, lambda: bytes(PAGE))


def _overwrite_pages(content, dice):
    return _fill(content, dice, lambda: dice.randbytes(PAGE))


def _fill(content, dice, make):
    for _ in range(dice.randint(1, 5)):
        start = dice.randrange(-(-len(content) // PAGE)) * PAGE
        content[start : start + PAGE] = make()[: len(content) - start]
    return content


def _cut(content, dice):
    return content[: dice.randrange(len(content))]


def _empty_all(content, _dice):
    return bytearray(len(content))


def _head(content, dice):
    for place in range(dice.randint(1, 100)):
        content[place] = dice.randrange(256)
    return content


def _scatter(content, dice):
    for _ in range(dice.randint(1, 40)):
        place = dice.randrange(len(content) - 16)
        content[place : place + 16] = dice.randbytes(16)
    return content


def _swap(content, dice):
    first, second = (dice.randrange(max(1, len(content) // PAGE)) * PAGE for _ in range(2))
    one, other = content[first : first + PAGE], content[second : second + PAGE]
    content[first : first + PAGE], content[second : second + PAGE] = other, one
    return content


def _foreign(content, dice):
    return bytearray(dice.choice((b"", b"this is no database\n" * 300, b"\xff\xfe{\0}\0", b"{}")))

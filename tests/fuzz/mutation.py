"""Changes to bytes, from a seeded source: what hypothesis and atheris both try on valid examples.

Most changed bytes of a canonical encoding are refused as another spelling. So there is one change more: to one
part of the value, encoded anew, which passes the encoding and reaches what lies behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from replication.encoding import decode, encode
from replication.errors import Malformed

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 23, 24, 255, 1 << 16, (1 << 32) - 1, 1 << 32, 1 << 48, (1 << 53) + 1, (1 << 63) - 1,
    -(1 << 63), b"", b"\0", bytes(15), bytes(16), bytes(17), bytes(18), bytes(31), bytes(32), bytes(33), bytes(64),
    b"\xff" * 32, "", "x", "\x1b[2J", "é" * 40, [], [[]], [[[]]], {}, {"": None}, {"label": 1},
)  # fmt: skip
"""Parts that stand where another was."""


def mutate(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """`data` after one to three changes; `others` are examples of the same kind to take pieces from."""
    for _ in range(random.choice((1, 1, 2, 3))):
        data = random.choice(CHANGES)(data, others, random)
    return data


def flip(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """One bit."""
    if not data:
        return b"\x80"
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def cut(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """A piece is gone: from the middle, or the whole end."""
    start = random.randrange(len(data) + 1)
    end = random.choice((len(data), min(len(data), start + random.randrange(1, 20))))
    return data[:start] + data[end:]


def insert(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.randbytes(random.randrange(1, 9)) + data[at:]


def splice(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """The start of one example and the end of another."""
    other = random.choice(others) if others else data
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def reshape(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """One part of the value is another, twice there, gone, or in another place; the encoding is canonical again."""
    try:
        value = decode(data)
    except Malformed:
        return flip(data, others, random)
    return encode(_changed(value, random))


def _changed(value: Any, random: Random) -> Any:
    if type(value) is list and value and random.random() < 0.9:
        return _changed_list(list(value), random)
    if type(value) is dict and value and random.random() < 0.9:
        key = random.choice(sorted(value))
        return {**value, key: _changed(value[key], random)}
    if type(value) is int and random.random() < 0.5:
        return max(-(1 << 63), min((1 << 63) - 1, value + random.choice((-2, -1, 1, 2))))
    if type(value) is bytes and value and random.random() < 0.5:
        return random.choice((flip, cut, insert))(value, (), random)
    return random.choice(ODD)


def _changed_list(value: list[Any], random: Random) -> list[Any]:
    at = random.randrange(len(value))
    what = random.randrange(8)
    if what == 0:
        del value[at]
    elif what == 1:
        value.insert(at, value[at])
    elif what == 2:
        other = random.randrange(len(value))
        value[at], value[other] = value[other], value[at]
    elif what == 3:
        value.insert(at, random.choice(ODD))
    else:
        value[at] = _changed(value[at], random)
    return value


CHANGES = (flip, cut, insert, splice, reshape, reshape, reshape)

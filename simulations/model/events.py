"""What devices write, as plain data. A set of events is an int: bit n stands for the event numbered n."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Dot = tuple[int, int]
"""A write: the number of its event, and its place in it. A copy is named in the same way, but is no dot."""
Target = tuple[str, int, str]
"""(what, record, name), `what` being base, field, member or state."""

ALIVE = "alive"


@dataclass(frozen=True, slots=True)
class Content:
    """A base's first values by target name; one that a copy took away is not there."""

    values: dict[str, object]


Value = str | bool | tuple[str, frozenset[Dot]] | Content | None
"""A field's text, a set's member, a delete with its list, or a base."""


@dataclass(frozen=True, slots=True)
class Op:
    target: Target
    replaces: frozenset[Dot]
    value: Value
    copies: Dot | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """`under`: all of the target's events that the remover had seen: what lies under the cut's heads."""

    target: int
    under: int
    whole: bool = True
    """False: only the right to write is revoked, and a later grant lifts it."""


@dataclass(frozen=True, slots=True)
class Grant:
    target: int


@dataclass(frozen=True, slots=True)
class TakeIn:
    event: int


@dataclass(frozen=True, slots=True)
class Purge:
    """Ciphertexts, each with its floor."""

    items: tuple[tuple[Dot, frozenset[Dot]], ...]


Statement = Remove | Grant | TakeIn | Purge


@dataclass(frozen=True, slots=True)
class Event:
    """An entry, or (with neither ops nor a statement) a signed frontier alone."""

    id: int
    author: int
    prev: int | None
    heard: int
    """The statements its author had heard: the membership frontier."""
    seen: int
    """All that its author's device held: what the device's signed frontier of that moment says."""
    ops: tuple[Op, ...] = ()
    said: Statement | None = None


def bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low

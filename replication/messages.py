"""The messages of a connection between two devices of a family. Mirrors docs/spec/sync.md.

Each is a canonical CBOR array that begins with its number. What does not fit is refused as Malformed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from replication.encoding import MAX_BYTES, decode, encode
from replication.entry import MAX_SEALED
from replication.errors import Malformed
from replication.log import MAX_SIGNED, Row, counts_digest, rows_from_value, rows_to_value

PROTOCOL: Final = 1
HELLO, ENTRIES, ACK, REFUSED, PING, FRONTIERS, WANT, VALUES, SHARED = range(9)

MAX_ENTRIES: Final = 1024
MAX_FRONTIERS: Final = 64
MAX_WANTED: Final = 256
"""Values asked for at once."""
MAX_COUNTS: Final = 1024
"""Devices whose signed frontiers a side lists."""
NONE_HELD: Final = counts_digest({})
MAX_MESSAGE: Final = MAX_BYTES + 64 * 1024
"""One entry may fill its limit of 1 MiB; what frames it comes on top."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First of each side: the family, all that the sender holds, and what stands for the signed frontiers it holds."""

    family: bytes
    rows: tuple[Row, ...]
    counts: bytes = NONE_HELD


@dataclass(frozen=True, slots=True)
class Shared:
    """Second of each side, unless both hellos said the same: of the logs that differ what the receiver needs to know
    of the sender, and the signed frontiers that the sender holds, as (device, count)."""

    rows: tuple[Row, ...]
    counts: tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries that the other side lacks, each after all that it names."""

    wires: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Ack:
    """So many entries of this connection, from its start, are durable here."""

    count: int


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry was refused: the kind, and the missing hash or nothing. The connection ends."""

    kind: str
    missing: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """Still here."""


@dataclass(frozen=True, slots=True)
class Frontiers:
    """Signed frontiers, the sender's own and those it was given."""

    signed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Want:
    """Values that the sender lacks, by the dots of their writes. The next is asked for after the answer."""

    dots: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Values:
    """The answer: those that are here, (dot, sealed value), in the order asked for; what does not fit is left out."""

    values: tuple[tuple[bytes, bytes], ...]


Message = Hello | Entries | Ack | RefusedEntry | Ping | Frontiers | Want | Values | Shared


def write_message(message: Message) -> bytes:
    value: list[Any]
    match message:
        case Hello(family, rows, counts):
            value = [HELLO, PROTOCOL, family, rows_to_value(rows), counts]
        case Entries(wires):
            value = [ENTRIES, list(wires)]
        case Ack(count):
            value = [ACK, count]
        case RefusedEntry(kind, missing):
            value = [REFUSED, kind, missing]
        case Ping():
            value = [PING]
        case Frontiers(signed):
            value = [FRONTIERS, list(signed)]
        case Want(dots):
            value = [WANT, list(dots)]
        case Values(values):
            value = [VALUES, [list(pair) for pair in values]]
        case Shared(rows, known):
            value = [SHARED, rows_to_value(rows), [list(pair) for pair in known]]
    return encode(value)


def _blobs(value: Any, most: int, size: int) -> tuple[bytes, ...]:
    if type(value) is not list or not 0 < len(value) <= most:
        raise Malformed("shape", "list")
    if any(type(item) is not bytes or not 0 < len(item) <= size for item in value):
        raise Malformed("shape", "list item")
    return tuple(value)


def _dots(value: Any) -> tuple[bytes, ...]:
    dots = _blobs(value, MAX_WANTED, 18)
    if any(len(dot) != 18 for dot in dots) or len(set(dots)) != len(dots):
        raise Malformed("shape", "dot")
    return dots


def _values(value: Any) -> tuple[tuple[bytes, bytes], ...]:
    pairs = _pairs(value, MAX_WANTED, 18)
    if any(type(sealed) is not bytes or not 16 <= len(sealed) <= MAX_SEALED for _, sealed in pairs):
        raise Malformed("shape", "sealed value")
    return pairs


def _counts(value: Any) -> tuple[tuple[bytes, int], ...]:
    pairs = _pairs(value, MAX_COUNTS, 32)
    if any(type(count) is not int or not 0 < count < 1 << 48 for _, count in pairs):
        raise Malformed("shape", "count")
    if any(a[0] >= b[0] for a, b in pairwise(pairs)):
        raise Malformed("shape", "counts out of order")
    return pairs


def _pairs(value: Any, most: int, size: int) -> tuple[tuple[bytes, Any], ...]:
    if type(value) is not list or len(value) > most:
        raise Malformed("shape", "list")
    for pair in value:
        if type(pair) is not list or len(pair) != 2 or type(pair[0]) is not bytes or len(pair[0]) != size:
            raise Malformed("shape", "pair")
    return tuple((pair[0], pair[1]) for pair in value)


def _is_kind(text: str) -> bool:
    """It ends up in a log: nothing but a word of ours."""
    return 0 < len(text) <= 32 and text.isascii() and text.replace("-", "a").isalpha()


def read_message(data: bytes) -> Message:
    """Raises Malformed: `size`, `cbor`, `canonical` ..., `version`, `shape`, `type`."""
    value = decode(data, limit=MAX_MESSAGE)
    if type(value) is not list or not value or type(value[0]) is not int:
        raise Malformed("shape", "message")
    match value:
        case [0, version, *_] if type(version) is int and version != PROTOCOL:
            raise Malformed("version")
        case [0, int(), bytes(family), rows, bytes(counts)] if type(value[1]) is int:
            if len(family) != 32 or len(counts) != 16:
                raise Malformed("shape", "hello")
            return Hello(family, tuple(rows_from_value(rows)), counts)
        case [1, wires]:
            return Entries(_blobs(wires, MAX_ENTRIES, MAX_BYTES))
        case [2, count] if type(count) is int and 0 < count < 1 << 48:
            return Ack(count)
        case [3, str(kind), bytes(missing)] if _is_kind(kind) and len(missing) <= 32:
            return RefusedEntry(kind, missing)
    return _read_later(value)


def _read_later(value: list[Any]) -> Message:
    match value:
        case [4]:
            return Ping()
        case [5, signed]:
            return Frontiers(_blobs(signed, MAX_FRONTIERS, MAX_SIGNED))
        case [6, dots]:
            return Want(_dots(dots))
        case [7, values]:
            return Values(_values(values))
        case [8, rows, counts]:
            return Shared(tuple(rows_from_value(rows)), _counts(counts))
    raise Malformed("shape", "unknown message")

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
from replication.log import MAX_SIGNED, Row, held_digest, rows_from_value, rows_to_value

PROTOCOL: Final = 1
HELLO, ENTRIES, ACK, REFUSED, PING, FRONTIERS, WANT, VALUES, SHARED = range(9)

MAX_ENTRIES: Final = 1024
MAX_FRONTIERS: Final = 64
MAX_WANTED: Final = 256
"""Values asked for at once."""
MAX_DEVICES: Final = 1024
"""Devices whose signed frontiers a side lists."""
NONE_HELD: Final = held_digest({})
MAX_MESSAGE: Final = MAX_BYTES + 64 * 1024
"""One entry may fill its limit of 1 MiB; what frames it comes on top."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First of each side: the family, all that the sender holds, and what stands for the signed frontiers it holds."""

    family: bytes
    rows: tuple[Row, ...]
    held: bytes = NONE_HELD


@dataclass(frozen=True, slots=True)
class Shared:
    """Second of each side, unless both hellos said the same: of the logs that differ what the receiver needs to know
    of the sender, and the signed frontiers that the sender holds, as (device, count, start of the signature)."""

    rows: tuple[Row, ...]
    held: tuple[tuple[bytes, int, bytes], ...]


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
        case Hello(family, rows, held):
            value = [HELLO, PROTOCOL, family, rows_to_value(rows), held]
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
            value = [SHARED, rows_to_value(rows), [list(item) for item in known]]
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
    items = _keyed(value, MAX_WANTED, [18, bytes])
    if any(not 16 <= len(item[1]) <= MAX_SEALED for item in items):
        raise Malformed("shape", "sealed value")
    return tuple((item[0], item[1]) for item in items)


def _held(value: Any) -> tuple[tuple[bytes, int, bytes], ...]:
    items = _keyed(value, MAX_DEVICES, [32, int, 8])
    if any(not 0 < item[1] < 1 << 48 for item in items):
        raise Malformed("shape", "count")
    if any(a[0] >= b[0] for a, b in pairwise(items)):
        raise Malformed("shape", "devices out of order")
    return tuple((item[0], item[1], item[2]) for item in items)


def _keyed(value: Any, most: int, parts: list[Any]) -> list[list[Any]]:
    """A list of lists; each part is of a type, or bytes of one length."""
    if type(value) is not list or len(value) > most:
        raise Malformed("shape", "list")
    for item in value:
        if type(item) is not list or len(item) != len(parts):
            raise Malformed("shape", "list item")
        for part, of in zip(item, parts, strict=True):
            if type(part) is not (bytes if type(of) is int else of) or (type(of) is int and len(part) != of):
                raise Malformed("shape", "list item")
    return value


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
        case [0, int(), bytes(family), rows, bytes(held)] if type(value[1]) is int:
            if len(family) != 32 or len(held) != 16:
                raise Malformed("shape", "hello")
            return Hello(family, tuple(rows_from_value(rows)), held)
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
        case [8, rows, held]:
            return Shared(tuple(rows_from_value(rows)), _held(held))
    raise Malformed("shape", "unknown message")

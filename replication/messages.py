"""The messages of a connection between two devices of a family. Mirrors docs/spec/sync.md.

Each is a canonical CBOR array that begins with its number. What does not fit is refused as Malformed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from replication.encoding import MAX_BYTES, decode, encode
from replication.errors import Malformed
from replication.log import MAX_SIGNED, Row, rows_from_value, rows_to_value

PROTOCOL: Final = 1
HELLO, ENTRIES, ACK, REFUSED, PING, FRONTIERS = range(6)

MAX_ENTRIES: Final = 1024
MAX_FRONTIERS: Final = 64
MAX_MESSAGE: Final = MAX_BYTES + 64 * 1024
"""One entry may fill its limit of 1 MiB; what frames it comes on top."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First of each side: the family, and all that the sender holds."""

    family: bytes
    rows: tuple[Row, ...]


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


Message = Hello | Entries | Ack | RefusedEntry | Ping | Frontiers


def write_message(message: Message) -> bytes:
    value: list[Any]
    match message:
        case Hello(family, rows):
            value = [HELLO, PROTOCOL, family, rows_to_value(rows)]
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
    return encode(value)


def _blobs(value: Any, most: int, size: int) -> tuple[bytes, ...]:
    if type(value) is not list or not 0 < len(value) <= most:
        raise Malformed("shape", "list")
    if any(type(item) is not bytes or not 0 < len(item) <= size for item in value):
        raise Malformed("shape", "list item")
    return tuple(value)


def _is_kind(text: str) -> bool:
    """It ends up in a log: nothing but a word of ours."""
    return 0 < len(text) <= 32 and text.isascii() and text.replace("-", "a").isalpha()


def read_message(data: bytes) -> Message:
    """Raises Malformed: `size`, `cbor`, `canonical` ..., `version`, `shape`, `type`."""
    value = decode(data, limit=MAX_MESSAGE)
    if type(value) is not list or not value or type(value[0]) is not int:
        raise Malformed("shape", "message")
    match value:
        case [0, version, bytes(family), rows] if type(version) is int:
            if version != PROTOCOL:
                raise Malformed("version")
            if len(family) != 32:
                raise Malformed("shape", "family")
            return Hello(family, tuple(rows_from_value(rows)))
        case [1, wires]:
            return Entries(_blobs(wires, MAX_ENTRIES, MAX_BYTES))
        case [2, count] if type(count) is int and 0 < count < 1 << 48:
            return Ack(count)
        case [3, str(kind), bytes(missing)] if _is_kind(kind) and len(missing) <= 32:
            return RefusedEntry(kind, missing)
        case [4]:
            return Ping()
        case [5, signed]:
            return Frontiers(_blobs(signed, MAX_FRONTIERS, MAX_SIGNED))
    raise Malformed("shape", "unknown message")

"""Frontiers: what a copy holds, log by log, and the signed form that a device stands for.

Mirrors docs/spec/frontier.md. A frontier (log to seq and header hash, a row for each branch) is the
whole difference between two copies: some tens of bytes a log, one round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import VerifyKey

from replication.encoding import decode, encode
from replication.entry import MAX_TIME, MAX_VERSION, UNDERSTOOD, tagged_hash
from replication.errors import InvalidSignature, Malformed

LABEL_SIGNED: Final = b"kinring/1/signed-frontier"
LABEL_HELD: Final = b"kinring/1/frontiers-held"

MAX_ROWS: Final = 4096
MAX_SIGNED: Final = 256 * 1024


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """The newest entry of one branch: log id (16 bytes), seq, first 16 bytes of the header's hash."""

    log: bytes
    seq: int
    hash: bytes


def rows_to_value(rows: Sequence[Row]) -> list[Any]:
    return [[row.log, row.seq, row.hash] for row in sorted(rows)]


def rows_from_value(value: Any) -> list[Row]:
    """Raises Malformed `shape`."""
    if type(value) is not list or len(value) > MAX_ROWS:
        raise Malformed("shape", "frontier")
    rows = []
    for item in value:
        if type(item) is not list or [type(part) for part in item] != [bytes, int, bytes]:
            raise Malformed("shape", "frontier row")
        if len(item[0]) != 16 or not 0 <= item[1] < 1 << 48 or len(item[2]) != 16:
            raise Malformed("shape", "frontier row")
        rows.append(Row(*item))
    if any(a >= b for a, b in pairwise(rows)):
        raise Malformed("shape", "frontier out of order")
    return rows


Version = tuple[int, bytes]
"""Which of a device's signed frontiers: its count, and the first 8 bytes of the signature."""


@dataclass(frozen=True, slots=True)
class SignedFrontier:
    """What a device says it holds, durably. `count` goes up by one each time; the latest one stands.

    `reads`: the highest version of an entry that it understands."""

    device: bytes
    count: int
    wall_time: int
    reads: int
    rows: tuple[Row, ...]
    signature: bytes

    def message(self, family: bytes) -> bytes:
        """The 32 bytes that the device signs."""
        value = [family, self.device, self.count, self.wall_time, self.reads, rows_to_value(self.rows)]
        return tagged_hash(LABEL_SIGNED, encode(value))

    def version(self) -> Version:
        return self.count, self.signature[:8]

    def verify(self, family: bytes) -> None:
        """Raises InvalidSignature unless the device signed it for this family."""
        try:
            VerifyKey(self.device).verify(self.message(family), self.signature)
        except (BadSignatureError, CryptoError, ValueError):
            raise InvalidSignature from None

    def to_wire(self) -> bytes:
        rows = rows_to_value(self.rows)
        return encode([self.device, self.count, self.wall_time, self.reads, rows, self.signature])


def sign_frontier(
    family: bytes,
    device: bytes,
    count: int,
    wall_time: int,
    rows: Sequence[Row],
    sign: Callable[[bytes], bytes],
    *,
    reads: int = UNDERSTOOD,
) -> SignedFrontier:
    unsigned = SignedFrontier(device, count, wall_time, reads, tuple(sorted(rows)), b"")
    return SignedFrontier(device, count, wall_time, reads, unsigned.rows, sign(unsigned.message(family)))


def signed_from_wire(data: bytes) -> SignedFrontier:
    """Raises Malformed."""
    value = decode(data, limit=MAX_SIGNED)
    if type(value) is not list or len(value) != 6:
        raise Malformed("shape", "signed frontier")
    device, count, wall_time, reads, rows, signature = value
    if type(device) is not bytes or len(device) != 32 or type(signature) is not bytes or len(signature) != 64:
        raise Malformed("shape", "signed frontier")
    if type(count) is not int or not 0 < count < 1 << 48:
        raise Malformed("shape", "signed frontier")
    if type(wall_time) is not int or not 0 <= wall_time <= MAX_TIME:
        raise Malformed("shape", "signed frontier")
    if type(reads) is not int or not 0 < reads <= MAX_VERSION:
        raise Malformed("shape", "signed frontier")
    return SignedFrontier(device, count, wall_time, reads, tuple(rows_from_value(rows)), signature)


def held_digest(held: Mapping[bytes, Version]) -> bytes:
    """16 bytes that stand for the signed frontiers that a copy holds."""
    return tagged_hash(LABEL_HELD, encode([[device, *held[device]] for device in sorted(held)]))[:16]

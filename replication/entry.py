"""An entry of a log: a small signed, chained header and a body of ops or of statements.

Mirrors docs/spec/entry.md. The wire form leaves out what the receiver computes or has: family,
previous header's hash, count, root, and a membership frontier that did not change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import VerifyKey

from replication.encoding import MAX_BYTES, decode, encode
from replication.errors import InvalidSignature, Malformed

LABEL_LOG: Final = b"kinring/1/log"
LABEL_HEADER: Final = b"kinring/1/header"
LABEL_SIGNATURE: Final = b"kinring/1/entry-signature"
LABEL_OP: Final = b"kinring/1/op"
LABEL_ROOT: Final = b"kinring/1/root"
LABEL_STATEMENT: Final = b"kinring/1/statement"

VERSION: Final = 1
"""The version that is written."""
UNDERSTOOD: Final = 1
"""The highest version that is understood. Entries of later ones are kept, named and handed on, without effect."""
MAX_VERSION: Final = 0xFFFF
MAX_EXTRA: Final = 8
"""Parts that a later version may add."""
OPS: Final = 0
STATEMENTS: Final = 1
MAX_KIND: Final = 0xFF

MAX_COUNT: Final = 1024
"""Ops or statements in one entry."""
MAX_SEALED: Final = 64 * 1024
"""Bytes of one sealed value."""
MAX_REPLACES: Final = 256
MAX_FRONTIER: Final = 64
MAX_TIME: Final = 1 << 53
"""Milliseconds: any clock is taken, since no clock decides anything."""

SUITES: Final = (1, 2)
"""1 = AES-256-GCM, 2 = ChaCha20-Poly1305."""
MAX_SUITE: Final = 0xFF

UNLOCK: Final = 11
"""The statement whose parts 2 and 3 stand in hashes by their SHA-256, so that a purge can drop them."""


def tagged_hash(label: bytes, data: bytes) -> bytes:
    """SHA-256 under a label of its own for each purpose; the zero byte ends the label."""
    return hashlib.sha256(label + b"\0" + data).digest()


def make_dot(header_hash: bytes, index: int) -> bytes:
    """18 bytes that name one op: the first 16 of its header's hash and its index (2, big-endian)."""
    return header_hash[:16] + index.to_bytes(2, "big")


def log_id(family: bytes, author: bytes, nonce: bytes) -> bytes:
    """16 bytes; nobody but the author's key can append to the log that it names."""
    return tagged_hash(LABEL_LOG, encode([family, author, nonce]))[:16]


class Op(NamedTuple):
    """A write at an opaque target, or a copy of one: another ciphertext of the dot `copies`, which makes no dot.

    `replaces` are dots of the same vault and target. `digest` (32 bytes) stands for a sealed value that is not here.
    """

    target: bytes
    replaces: tuple[bytes, ...]
    sealed: bytes | None
    copies: bytes = b""
    digest: bytes = b""

    def hash(self) -> bytes:
        # Over the hash of the sealed value, so that a purge can drop the value and keep the chain.
        target, replaces, sealed, copies, digest = self
        inner = digest or (b"" if sealed is None else hashlib.sha256(sealed).digest())
        if copies:
            return tagged_hash(LABEL_OP, target + b"\xff\xff" + copies + inner)
        return tagged_hash(LABEL_OP, target + len(replaces).to_bytes(2, "big") + b"".join(replaces) + inner)

    def to_value(self) -> list[Any]:
        """The op as it travels."""
        sealed = [self.digest] if self.digest else self.sealed
        return [self.target, self.copies or list(self.replaces), sealed]


@dataclass(frozen=True, slots=True)
class Header:
    """What is signed. `previous`: 32-byte hash of the log's header before, or 16 random bytes at seq 0"""

    family: bytes
    author: bytes
    log: bytes
    seq: int
    previous: bytes
    kind: int
    vault: bytes
    epoch: bytes
    suite: int
    frontier: tuple[bytes, ...]
    wall_time: int
    salt: bytes
    commitment: bytes
    count: int
    root: bytes
    version: int = VERSION
    extra: tuple[Any, ...] = ()
    """What a later version added."""

    def encoded(self) -> bytes:
        return encode([
            self.version, self.family, self.author, self.log, self.seq, self.previous, self.kind,
            self.vault, self.epoch, self.suite, list(self.frontier), self.wall_time, self.salt,
            self.commitment, self.count, self.root, *self.extra,
        ])  # fmt: skip

    def hash(self) -> bytes:
        """32 bytes that name the entry."""
        return tagged_hash(LABEL_HEADER, self.encoded())


@dataclass(frozen=True, slots=True)
class Entry:
    """A header with its hash, its author's signature and its body: one transaction."""

    header: Header
    hash: bytes
    signature: bytes
    ops: tuple[Op, ...]
    statements: tuple[list[Any], ...]

    def verify(self) -> None:
        """Raises InvalidSignature unless the header's author signed it (RFC 8032, by libsodium).

        libsodium alone decides: libraries differ on small-order keys, and replicas that differ
        on a signature would never agree again.
        """
        try:
            VerifyKey(self.header.author).verify(tagged_hash(LABEL_SIGNATURE, self.hash), self.signature)
        except (BadSignatureError, CryptoError, ValueError):
            raise InvalidSignature from None


def detached(statement: list[Any]) -> list[Any]:
    """A statement as it stands in hashes: the parts that may be purged by their SHA-256."""
    if statement[0] != UNLOCK:
        return statement
    return [*statement[:2], *(_digest_of(part) for part in statement[2:4]), *statement[4:]]


def _digest_of(part: Any) -> Any:
    if type(part) is list and len(part) == 1 and type(part[0]) is bytes and len(part[0]) == 32:
        return part[0]
    return hashlib.sha256(part).digest() if type(part) is bytes else part


def body_root(ops: Sequence[Op], statements: Sequence[list[Any]]) -> bytes:
    """The hash over the body's hashes, in order."""
    hashes = [op.hash() for op in ops] + [tagged_hash(LABEL_OP, encode(detached(s))) for s in statements]
    return tagged_hash(LABEL_ROOT, b"".join(hashes))


def statement_hashes(header: Header, statements: Sequence[list[Any]]) -> list[bytes]:
    """32 bytes that name each of an entry's statements, known before it is signed: vaults, epochs and people
    in the same entry are named by them. Each commits to all that it was made after: the membership
    frontier, and by the hash before it the statements that precede it. Otherwise the two sides of a fork
    could hold one statement in two pasts, and which of them is judged would depend on which came first."""
    place: list[Any] = [header.family, header.author, header.log, header.seq, list(header.frontier)]
    if header.version != VERSION:
        # Or a fork could bear one statement in two versions, of which a device understands one.
        place += [header.version, header.kind]
    hashes: list[bytes] = []
    for statement in statements:
        before = hashes[-1] if hashes else b""
        hashes.append(tagged_hash(LABEL_STATEMENT, encode([*place, before, detached(statement)])))
    return hashes


def sign_entry(
    header: Header, ops: tuple[Op, ...], statements: tuple[list[Any], ...], sign: Callable[[bytes], bytes]
) -> Entry:
    """The entry under `sign`, the author's Ed25519 over 32 bytes."""
    digest = header.hash()
    return Entry(header, digest, sign(tagged_hash(LABEL_SIGNATURE, digest)), ops, statements)


def to_wire(entry: Entry, previous_frontier: tuple[bytes, ...] | None) -> bytes:
    """The bytes that travel and lie on disk. `previous_frontier` is that of the log's entry before."""
    h = entry.header
    first = [h.author, h.previous] if h.seq == 0 else None
    frontier = None if h.seq and h.frontier == previous_frontier else list(h.frontier)
    body = [op.to_value() for op in entry.ops] if h.kind == OPS else list(entry.statements)
    # The body comes last, whatever a later version adds: the store keeps what stands before it as it is.
    return encode([
        h.version, h.log, h.seq, first, h.kind, h.vault, h.epoch, h.suite, frontier, h.wall_time,
        h.salt, h.commitment, entry.signature, *h.extra, body,
    ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wire:
    """An entry as it travels: well formed, not yet chained to its log nor verified."""

    log: bytes
    seq: int
    author: bytes | None
    nonce: bytes | None
    kind: int
    vault: bytes
    epoch: bytes
    suite: int
    frontier: tuple[bytes, ...] | None
    wall_time: int
    salt: bytes
    commitment: bytes
    signature: bytes
    ops: tuple[Op, ...]
    statements: tuple[list[Any], ...]
    version: int = VERSION
    extra: tuple[Any, ...] = ()
    head: bytes = b""
    """The bytes before the body, which comes last."""

    def chain(
        self, family: bytes, author: bytes, previous: bytes, previous_frontier: tuple[bytes, ...]
    ) -> Entry:
        """The whole entry, as it is if it follows the header whose hash is `previous`."""
        header = Header(
            family, author, self.log, self.seq, previous, self.kind, self.vault, self.epoch, self.suite,
            previous_frontier if self.frontier is None else self.frontier, self.wall_time, self.salt,
            self.commitment, max(len(self.ops), len(self.statements)), body_root(self.ops, self.statements),
            self.version, self.extra,
        )  # fmt: skip
        return Entry(header, header.hash(), self.signature, self.ops, self.statements)


def _sized(value: Any, *sizes: int) -> bytes:
    if type(value) is not bytes or len(value) not in sizes:
        raise Malformed("shape", "byte string of another size")
    return value


def _number(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Malformed("shape", "number out of range")
    return value


def _list(value: Any, most: int) -> list[Any]:
    if type(value) is not list or len(value) > most:
        raise Malformed("shape", "not a list, or too long")
    return value


def _sorted_hashes(value: Any) -> tuple[bytes, ...]:
    hashes = tuple(_sized(item, 32) for item in _list(value, MAX_FRONTIER))
    if any(a >= b for a, b in pairwise(hashes)):
        raise Malformed("shape", "frontier out of order")
    return hashes


def _op(value: Any) -> Op:
    # A hundred thousand of these make a first copy: looked at in place, with no call for each part.
    if type(value) is not list or len(value) != 3:
        raise Malformed("shape", "op")
    target, replaces, sealed = value
    if type(target) is not bytes or len(target) != 16:
        raise Malformed("shape", "target")
    copies = digest = b""
    if type(replaces) is bytes:
        copies, replaces = _sized(replaces, 18), []
    dots = _dots(replaces)
    if type(sealed) is list:
        if len(sealed) != 1:
            raise Malformed("shape", "digest")
        digest, sealed = _sized(sealed[0], 32), None
    elif sealed is None:
        if copies:
            raise Malformed("shape", "a copy of nothing")
    elif type(sealed) is not bytes or not 16 <= len(sealed) <= MAX_SEALED:
        raise Malformed("shape", "sealed value")
    return Op(target, dots, sealed, copies, digest)


def _dots(value: Any) -> tuple[bytes, ...]:
    if type(value) is not list or len(value) > MAX_REPLACES:
        raise Malformed("shape", "replaces")
    for dot in value:
        if type(dot) is not bytes or len(dot) != 18:
            raise Malformed("shape", "dot")
    if len(value) > 1 and any(a >= b for a, b in pairwise(value)):
        raise Malformed("shape", "replaces out of order")
    return tuple(value)


def _statement(value: Any) -> list[Any]:
    if type(value) is not list or not value or type(value[0]) is not int:
        raise Malformed("shape", "statement")
    return value


def from_wire(data: bytes) -> Wire:
    """Read one entry. Raises Malformed: `size`, `cbor`, `canonical` ..., `version`, `shape`.

    Of a later version what every version has in common is read: enough to chain, to verify and to name it.
    """
    value = decode(data, limit=MAX_BYTES)
    if type(value) is not list or len(value) < 2:
        raise Malformed("shape", "entry")
    version = value[0]
    if type(version) is not int or not VERSION <= version <= MAX_VERSION:
        raise Malformed("version")
    if not 14 <= len(value) <= 14 + (MAX_EXTRA if version > VERSION else 0):
        raise Malformed("shape", "entry")
    _, log, seq, first, kind, vault, epoch, suite, frontier, wall, salt, commitment, signature = value[:13]
    extra, body = tuple(value[13:-1]), value[-1]
    seq = _number(seq, (1 << 48) - 1)
    author = nonce = None
    if seq == 0:
        pair = _list(first, 2)
        if len(pair) != 2:
            raise Malformed("shape", "first")
        author, nonce = _sized(pair[0], 32), _sized(pair[1], 16)
    elif first is not None:
        raise Malformed("shape", "author again")
    if seq == 0 and frontier is None:
        raise Malformed("shape", "no frontier")
    kind = _number(kind, STATEMENTS if version == VERSION else MAX_KIND)
    items = _list(body, MAX_COUNT)
    if not items:
        raise Malformed("shape", "empty body")
    has_ops = kind == OPS
    sizes = (16, 32, 32, 32) if has_ops else (0, 0, 0, 0)
    return Wire(
        _sized(log, 16), seq, author, nonce, kind,
        _sized(vault, sizes[0]), _sized(epoch, sizes[1]), _number(suite, MAX_SUITE if has_ops else 0),
        None if frontier is None else _sorted_hashes(frontier),
        _number(wall, MAX_TIME), _sized(salt, sizes[2]), _sized(commitment, sizes[3]), _sized(signature, 64),
        tuple(_op(item) for item in items) if has_ops else (),
        () if has_ops else tuple(_statement(item) for item in items),
        version, extra, data[: len(encode(value[:-1]))],
    )  # fmt: skip

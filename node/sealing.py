"""Sealing and opening values: one key for each entry, committed to, bound to its whole context.

Mirrors docs/spec/sealing.md. HKDF-SHA256 (RFC 5869) over the vault key gives each entry a key of its
own and a commitment; the op's index is the nonce and its target the associated data. So a nonce cannot
repeat, not even in a cloned store, and no ciphertext can be moved to another place or opened under two keys.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from replication.encoding import decode, encode
from replication.entry import VERSION
from replication.errors import Malformed, Refused

LABEL_ENTRY: Final = b"kinring/1/entry-key"
LABEL_TARGET: Final = b"kinring/1/target"
LABEL_COMMIT: Final = b"kinring/1/vault-key-commitment"

AES_256_GCM, CHACHA20_POLY1305 = 1, 2

SMALLEST: Final = 64
MAX_PLAIN: Final = 48 * 1024
"""Bytes of one value with its name; a larger one is refused before it is sealed."""


class Unopened(Refused):
    """A sealed value that does not open, or is not what its place says: put aside and counted."""


@dataclass(frozen=True, slots=True)
class VaultKeys:
    """A vault's key of one epoch and its target key, 32 bytes each."""

    vault_key: bytes = field(repr=False)
    target_key: bytes = field(repr=False)

    def __repr__(self) -> str:
        return "<secret>"

    def commitment(self) -> bytes:
        """32 bytes that stand in the clear and fit no other pair of keys."""
        return hmac.digest(self.vault_key, LABEL_COMMIT + b"\0" + self.target_key, "sha256")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands: all of it goes into its key."""

    family: bytes
    vault: bytes
    epoch: bytes
    suite: int
    log: bytes
    seq: int


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 for 64 bytes (RFC 5869): extract, then two blocks."""
    extracted = hmac.digest(salt, key, "sha256")
    first = hmac.digest(extracted, info + b"\x01", "sha256")
    return first + hmac.digest(extracted, first + info + b"\x02", "sha256")


def entry_key(vault_key: bytes, salt: bytes, place: Place) -> tuple[bytes, bytes]:
    """(key, commitment), 32 bytes each. The vault key itself never encrypts anything."""
    context = [VERSION, place.suite, place.family, place.vault, place.epoch, place.log, place.seq]
    output = _hkdf(vault_key, salt, LABEL_ENTRY + b"\0" + encode(context))
    return output[:32], output[32:]


def target(target_key: bytes, record: bytes, name: str, member: str | None = None) -> bytes:
    """16 bytes that stand for one field of one record: opaque, and the same on every device."""
    path: list[Any] = [record, name] if member is None else [record, name, member]
    return hmac.digest(target_key, LABEL_TARGET + b"\0" + encode(path), "sha256")[:16]


def padded_size(size: int) -> int:
    """The next of 64, 96, 128, 192, 256, 384, ...: a ciphertext tells its length to within a half."""
    step = SMALLEST
    while step < size:
        if step + step // 2 >= size:
            return step + step // 2
        step *= 2
    return step


def _pad(data: bytes) -> bytes:
    # One mark byte, then zeros: so that whatever data ends with, its end is found again.
    return (data + b"\x80").ljust(padded_size(len(data) + 1), b"\0")


def _unpad(data: bytes) -> bytes:
    stripped = data.rstrip(b"\0")
    if not stripped.endswith(b"\x80") or len(data) != padded_size(len(stripped)):
        raise Unopened("padding")
    return stripped[:-1]


def _cipher(suite: int, key: bytes) -> AESGCM | ChaCha20Poly1305:
    if suite == AES_256_GCM:
        return AESGCM(key)
    if suite == CHACHA20_POLY1305:
        return ChaCha20Poly1305(key)
    raise Malformed("suite")


class Sealer:
    """Seals the values of one new entry."""

    def __init__(self, keys: VaultKeys, place: Place, random_bytes: Callable[[int], bytes]) -> None:
        self.salt = random_bytes(32)
        key, self.commitment = entry_key(keys.vault_key, self.salt, place)
        self._cipher = _cipher(place.suite, key)
        self._random = random_bytes
        self._index = 0

    def seal(self, target: bytes, record: bytes, name: str, member: str, value: Any) -> bytes:
        """Seal the next op's value. Call in the order of the ops: the nonce is the op's index.

        Raises Malformed `value-size`.
        """
        # The random part keeps a purged value from being guessed by who still has the key and the hash.
        data = encode([self._random(16), record, name, member, value])
        if len(data) > MAX_PLAIN:
            raise Malformed("value-size", f"{len(data)} bytes, at most {MAX_PLAIN}")
        # Safe: the key is this entry's alone (256 random bits in its derivation) and no index comes twice.
        nonce = self._index.to_bytes(12, "big")
        self._index += 1
        return self._cipher.encrypt(nonce, _pad(data), target)


@dataclass(frozen=True, slots=True)
class Value:
    """What a sealed value says of itself: record (16 bytes), field, set member (or ""), value."""

    record: bytes
    name: str
    member: str
    value: Any = field(repr=False)


class Opener:
    """Opens the values of one stored entry. Raises Unopened `commitment` if the key is not the entry's."""

    def __init__(self, keys: VaultKeys, place: Place, salt: bytes, commitment: bytes) -> None:
        key, expected = entry_key(keys.vault_key, salt, place)
        # Before anything is decrypted: AES-GCM alone would open one ciphertext under two keys.
        if not hmac.compare_digest(expected, commitment):
            raise Unopened("commitment")
        self._cipher = _cipher(place.suite, key)
        self._target_key = keys.target_key

    def open(self, index: int, op_target: bytes, sealed: bytes) -> Value:
        """Raises Unopened `tag`, `padding`, `shape` or `target`."""
        try:
            data = _unpad(self._cipher.decrypt(index.to_bytes(12, "big"), sealed, op_target))
        except InvalidTag:
            raise Unopened("tag") from None
        try:
            content = decode(data, limit=MAX_PLAIN)
        except Malformed as error:
            raise Unopened(error.kind) from None
        match content:
            case [bytes(drawn), bytes(record), str(name), str(member), value] if len(drawn) == len(record) == 16:
                pass
            case _:
                raise Unopened("shape")
        # A writer could seal one record's value into another's target: who opens it looks.
        if target(self._target_key, record, name, member or None) != op_target:
            raise Unopened("target")
        return Value(record, name, member, value)

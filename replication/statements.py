"""The statements of a family as data: their numbers and shapes, what they commit to, what they are read into.

A statement is `[number, part ...]`. What is here is true of a body by itself; whether it has effect is judged in
the state of its own past (replication/authority.py). Mirrors docs/spec/membership.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import VerifyKey

from replication.encoding import encode
from replication.entry import tagged_hash

LABEL_FAMILY: Final = b"kinring/1/family"
LABEL_DEVICE_PROOF: Final = b"kinring/1/device-proof"
LABEL_KEYHOLDER_PROOF: Final = b"kinring/1/keyholder-proof"
LABEL_SELF_ADMISSION: Final = b"kinring/1/self-admission"

FOUND, PERSON, DEVICE, KEYHOLDER, PERMIT, SELF, VAULT, EPOCH, GRANT, SUITE, UNLOCK, PAPER = range(1, 13)
REMOVE, TAKE_IN, ROLE, REVOKE, PROPOSE, APPROVE, RECOVER, PURGE, FORGET, DISCOVERY = range(13, 23)

ADMIN, WRITER, READER = range(3)
"""Roles of a person."""
FULL, BLIND = range(2)
"""Roles of a device."""
DIRECTORY, SHARED, PRIVATE = range(3)
"""Kinds of a vault."""
A_DEVICE, A_PERSON = range(2)
"""What is removed."""
READS, WRITES, OWNS = 1, 2, 3
"""Rights of a person in a vault; each includes those before it. 0: none."""

MAX_LEAF: Final = 1024
MAX_RECIPIENTS: Final = 256
MAX_EPOCHS: Final = 256
MAX_BLOB: Final = 2048
MAX_DEVICES: Final = 64
"""Devices that one person may ever be given, and vaults that they may make: what a member can make others weigh."""
MAX_VAULTS: Final = 256
MAX_CUTS: Final = 1024
"""Logs named by one removal, and branch heads in all."""
MAX_CHANGES: Final = 256
"""How often one person's role, or their right in one vault, may change, and how many proposals and discovery keys one
admin may state: an admin gone mad can make others weigh no more."""
MAX_PURGES: Final = 1024
"""What one purge may name."""
MAX_PURGED: Final = 1 << 18
"""Dots that all purges of one person may name, floors among them."""
MAX_FLOOR: Final = 64
MAX_NAMED: Final = 256
"""What one recovery may remove, and one statement may forget."""
MAX_BOXES: Final = 1024
"""Devices that a discovery key can be sealed to."""

Cuts = dict[bytes, frozenset[bytes]]
"""Log to the branch heads under which its entries count; a log not named is cut at its start."""
Saw = Callable[[bytes, bytes], bool]
"""Whether the first statement was made after the second; both by hash."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with the place that its hash commits to. `frontier` is what it was made after."""

    hash: bytes
    author: bytes
    log: bytes
    seq: int
    index: int
    frontier: tuple[bytes, ...]
    body: list[Any]


class NoEffect(Exception):
    """Why a statement has none; caught where statements are judged."""


def need(condition: bool, reason: str) -> None:
    """Raises NoEffect unless `condition`."""
    if not condition:
        raise NoEffect(reason)


# What is signed and hashed


def family_id(author: bytes, box_key: bytes, recovery_key: bytes, nonce: bytes) -> bytes:
    """32 bytes: the founder's public keys, the recovery public key and 32 random bytes, hashed."""
    return tagged_hash(LABEL_FAMILY, encode([author, box_key, recovery_key, nonce]))


def device_proof(family: bytes, device: bytes, box_key: bytes, leaf: bytes, owner: bytes) -> bytes:
    """What a device signs to be admitted: nobody admits a key they do not hold, nor as theirs what is another's, who
    could be locked out by its removal. `owner`: person id, or empty for a blind peer; in a recovery, whose person has
    no id yet, the first 16 bytes of the keyholder's."""
    return tagged_hash(LABEL_DEVICE_PROOF, encode([family, device, box_key, leaf, owner]))


def keyholder_proof(family: bytes, person: bytes, device: bytes, keyholder: bytes, box_key: bytes) -> bytes:
    """What a new keyholder signs to be added. In a recovery the person, who has no id yet, is the first 16 bytes
    of the keyholder's."""
    return tagged_hash(LABEL_KEYHOLDER_PROOF, encode([family, person, device, keyholder, box_key]))


def self_admission(family: bytes, author: bytes, box_key: bytes) -> bytes:
    """What the device signs when a newcomer admits themselves on it."""
    return tagged_hash(LABEL_SELF_ADMISSION, encode([family, author, box_key]))


def signed(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, CryptoError, ValueError):
        return False
    return True


# Shapes

_VALUE: Final = "value"
"""Bytes of any length, or [their SHA-256] where they were dropped. Their length decides nothing: a copy that has them
and one that has not must judge alike."""

SHAPES: Final[dict[int, tuple[Any, ...]]] = {
    # Each field: a number of bytes, (least, most) bytes, int, list, or a value that may have been dropped.
    FOUND: (32, 32, 32),
    PERSON: (int, 16),
    DEVICE: (32, 32, (64, MAX_LEAF), int, (0, 16), (48, 128), 64),
    KEYHOLDER: (16, 32, 32, 32, 64),
    PERMIT: (32,),
    SELF: (16, 32, 32, 64),
    VAULT: (int, 16),
    EPOCH: (16, list, 32, list, list),
    GRANT: (16, 32, 16, int, list),
    SUITE: (16, int, list, int),
    UNLOCK: (16, _VALUE, _VALUE),
    PAPER: (16, 32, 32, (16, MAX_BLOB)),
    REMOVE: (int, (16, 32), list),
    TAKE_IN: (16, 32),
    ROLE: (16, int, list),
    REVOKE: (16, 16, int, list),
    PROPOSE: (16, int, (16, 32)),
    APPROVE: (32, list),
    RECOVER: (list, 32, 32, (64, MAX_LEAF), (48, 128), 64, 32, 32, 64, 32),
    PURGE: (16, list),
    FORGET: (list, 32),
    DISCOVERY: (list,),
}

KNOWN: Final = frozenset(SHAPES)
"""The statements that this program understands."""


def check_shape(body: list[Any]) -> None:
    """Raises NoEffect: `unknown statement`, `shape`."""
    shape = SHAPES.get(body[0])
    need(shape is not None, "unknown statement")
    assert shape is not None
    need(len(body) == len(shape) + 1, "shape")
    need(all(fits(value, part) for value, part in zip(body[1:], shape, strict=True)), "shape")


def fits(value: Any, shape: Any) -> bool:
    if shape is int:
        return type(value) is int and 0 <= value < 1 << 32
    if shape is list:
        return type(value) is list
    if shape is _VALUE:
        return type(value) is bytes or (type(value) is list and len(value) == 1 and fits(value[0], 32))
    least, most = shape if type(shape) is tuple else (shape, shape)
    return type(value) is bytes and least <= len(value) <= most


def read_pairs(value: list[Any], most: int, size: tuple[int, int] = (16, MAX_BLOB)) -> dict[bytes, bytes]:
    """[[32-byte id, blob] ...] in order of the ids."""
    need(len(value) <= most, "too many recipients")
    for pair in value:
        need(type(pair) is list and len(pair) == 2, "shape")
        need(fits(pair[0], 32) and fits(pair[1], size), "shape")
    need(_in_order([pair[0] for pair in value]), "recipients out of order")
    return {pair[0]: pair[1] for pair in value}


def read_cuts(value: list[Any]) -> Cuts:
    """[[log, [head ...]] ...], in order of both."""
    need(len(value) <= MAX_CUTS, "too many cuts")
    cuts: Cuts = {}
    for pair in value:
        need(type(pair) is list and len(pair) == 2 and fits(pair[0], 16) and fits(pair[1], list), "shape")
        need(len(pair[1]) <= MAX_CUTS, "shape")
        cuts[pair[0]] = frozenset(_read_names(pair[1], 32, "heads out of order"))
    need(_in_order([pair[0] for pair in value]), "logs out of order")
    return cuts


def read_purge(value: list[Any]) -> dict[bytes, frozenset[bytes]]:
    """[[dot, [floor dot ...]] ...], in order of both: what is purged, and what was written in its place."""
    need(0 < len(value) <= MAX_PURGES, "shape")
    items: dict[bytes, frozenset[bytes]] = {}
    for pair in value:
        need(type(pair) is list and len(pair) == 2 and fits(pair[0], 18) and fits(pair[1], list), "shape")
        need(0 < len(pair[1]) <= MAX_FLOOR, "shape")
        items[pair[0]] = frozenset(_read_names(pair[1], 18, "dots out of order"))
    need(_in_order([pair[0] for pair in value]), "dots out of order")
    return items


def purge_size(items: dict[bytes, frozenset[bytes]]) -> int:
    """How many dots a purge names, floors among them."""
    return len(items) + sum(map(len, items.values()))


def read_forgotten(value: list[Any]) -> list[bytes]:
    """[hash ...] in order."""
    need(0 < len(value) <= MAX_NAMED, "shape")
    return _read_names(value, 32, "wraps out of order")


def read_named(value: list[Any]) -> list[tuple[int, bytes, Cuts]]:
    """[[what, target, cuts] ...]: what a recovery removes."""
    need(len(value) <= MAX_NAMED, "shape")
    for one in value:
        need(type(one) is list and len(one) == 3, "shape")
        need(fits(one[0], int) and fits(one[1], (16, 32)) and fits(one[2], list), "shape")
    return [(what, target, read_cuts(cuts)) for what, target, cuts in value]


def _read_names(value: list[Any], size: int, out_of_order: str) -> list[bytes]:
    need(all(fits(name, size) for name in value), "shape")
    need(_in_order(value), out_of_order)
    return value


def _in_order(names: list[bytes]) -> bool:
    return names == sorted(set(names))

"""How an attacker writes: with a key they really have, entries that no honest program would make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from replication.encoding import decode, encode
from replication.entry import OPS, Op, from_wire
from replication.replica import Draft, EntryInfo, Replica

PARTS = (
    "version", "log", "seq", "first", "kind", "vault", "epoch", "suite", "frontier", "wall", "salt", "commitment",
    "signature", "body",
)  # fmt: skip
"""Of an entry's wire form, in order (docs/spec/entry.md)."""


def changed(wire: bytes, **parts: Any) -> bytes:
    """The entry with some parts replaced; the signature is the old one."""
    value = decode(wire)
    for name, part in parts.items():
        value[PARTS.index(name)] = part
    return encode(value)


def refusal(replica: Replica, *wires: bytes) -> str:
    """The kind of refusal of a peer's entries, or ''."""
    refused = replica.ingest(wires).refused
    return refused.kind if refused else ""


def last_entry(replica: Replica) -> bytes:
    return replica.wire(replica.last_id())


def under_own_name(
    replica: Replica, author: bytes, sign: Callable[[bytes], bytes], stolen: bytes, ops: Sequence[Op] = ()
) -> EntryInfo:
    """Someone else's ciphertext in an entry of the attacker's own: all of the header that they may choose is as it
    was, the signature is good."""
    wire = from_wire(stolen)
    assert wire.kind == OPS
    draft = Draft(tuple(ops) or wire.ops, vault=wire.vault, epoch=wire.epoch, suite=wire.suite,
                  salt=wire.salt, commitment=wire.commitment)  # fmt: skip
    return appended(replica, author, sign, draft)


def appended(replica: Replica, author: bytes, sign: Callable[[bytes], bytes], draft: Draft) -> EntryInfo:
    """An entry of exactly this content."""
    return replica.append(author, sign, lambda _: draft, 1)

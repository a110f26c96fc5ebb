"""Vault keys on their way to keyholders: sealed boxes inside signed statements.

Mirrors docs/spec/grant.md. A libsodium sealed box says nothing about who sent it and binds nothing: so
what it is for stands inside it, and the entry's signature stands around it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from node.sealing import Unopened, VaultKeys
from replication.encoding import decode, encode
from replication.entry import tagged_hash
from replication.errors import Malformed
from replication.membership import EPOCH, GRANT, READS, State, Vault

LABEL_GRANT: Final = b"kinring/1/grant"
LABEL_EARLIER: Final = b"kinring/1/earlier-epoch"
LABEL_DISCOVERY: Final = b"kinring/1/discovery-grant"

MAX_CONTENT: Final = 128
"""Bytes inside a box: three strings of 32. More is refused before it is parsed."""


def _bound(label: bytes, parts: list[Any]) -> bytes:
    return tagged_hash(label, encode(parts))


def seal_keys(keys: VaultKeys, *, family: bytes, vault: bytes, recipient: bytes, box_key: bytes) -> bytes:
    """A sealed box for one recipient (keyholder or paper key id, 32 bytes). The key's commitment is inside
    what it is bound to, so it fits one epoch of one vault and nobody else."""
    context = _bound(LABEL_GRANT, [family, vault, keys.commitment(), recipient])
    return SealedBox(PublicKey(box_key)).encrypt(encode([context, keys.vault_key, keys.target_key]))


def open_keys(
    box: bytes, *, family: bytes, vault: bytes, commitment: bytes, recipient: bytes, private: PrivateKey
) -> VaultKeys:
    """Raises Unopened `box`, `context` or `commitment`."""
    try:
        content = decode(SealedBox(private).decrypt(box), limit=MAX_CONTENT)
    except (CryptoError, Malformed, ValueError):
        raise Unopened("box") from None
    match content:
        case [bytes(context), bytes(vault_key), bytes(target_key)] if len(vault_key) == len(target_key) == 32:
            pass
        case _:
            raise Unopened("box")
    if not hmac.compare_digest(context, _bound(LABEL_GRANT, [family, vault, commitment, recipient])):
        raise Unopened("context")
    keys = VaultKeys(vault_key, target_key)
    if not hmac.compare_digest(keys.commitment(), commitment):
        raise Unopened("commitment")
    return keys


def epoch_statement(
    family: bytes,
    vault: bytes,
    keys: VaultKeys,
    recipients: dict[bytes, bytes],
    heads: Sequence[bytes] = (),
    held: Mapping[bytes, VaultKeys] | None = None,
) -> list[Any]:
    """A vault's first epoch, or one that follows `heads`, all that there are.

    `recipients` (id to X25519 key) are all who may read it then. The keys of earlier epochs that are `held`
    lie under the new one, so that who is given it reads what was written before.
    """
    wrapped = [
        [epoch, _wrap_earlier(keys, held[epoch], family, vault, epoch)]
        for epoch in sorted(held or ())
        if held
    ]
    return [EPOCH, vault, sorted(heads), keys.commitment(), _boxes(family, vault, keys, recipients), wrapped]


def _earlier_key(keys: VaultKeys, family: bytes, vault: bytes, epoch: bytes) -> bytes:
    context = encode([family, vault, epoch, keys.commitment()])
    return hmac.digest(keys.vault_key, LABEL_EARLIER + b"\0" + context, "sha256")


def _wrap_earlier(keys: VaultKeys, earlier: VaultKeys, family: bytes, vault: bytes, epoch: bytes) -> bytes:
    # Safe with one nonce: the key is for this pair of epochs alone, and what it hides is always the same.
    return AESGCM(_earlier_key(keys, family, vault, epoch)).encrypt(bytes(12), earlier.vault_key, epoch)


def _unwrap_earlier(
    keys: VaultKeys, wrapped: bytes, family: bytes, vault: bytes, epoch: bytes, commitment: bytes
) -> VaultKeys:
    """Raises Unopened `wrap` or `commitment`."""
    try:
        key = AESGCM(_earlier_key(keys, family, vault, epoch)).decrypt(bytes(12), wrapped, epoch)
    except InvalidTag:
        raise Unopened("wrap") from None
    earlier = VaultKeys(key, keys.target_key)
    if len(key) != 32 or not hmac.compare_digest(earlier.commitment(), commitment):
        raise Unopened("commitment")
    return earlier


def _boxes(family: bytes, vault: bytes, keys: VaultKeys, recipients: dict[bytes, bytes]) -> list[Any]:
    return [
        [key, seal_keys(keys, family=family, vault=vault, recipient=key, box_key=recipients[key])]
        for key in sorted(recipients)
    ]


def grant_statement(
    family: bytes,
    vault: bytes,
    epoch: bytes,
    keys: VaultKeys,
    person: bytes,
    right: int,
    recipients: dict[bytes, bytes],
) -> list[Any]:
    """Give `person` a right in `vault`, and the epoch's key to some of their keys (id to X25519 key)."""
    return [GRANT, vault, epoch, person, right, _boxes(family, vault, keys, recipients)]


def missing_grants(state: State, vault: bytes, epoch: bytes) -> dict[bytes, dict[bytes, bytes]]:
    """Person to the keys (id to X25519 key) that may read the epoch but have not been given it."""
    held = state.vaults[vault].epochs[epoch].sealed
    lacking: dict[bytes, dict[bytes, bytes]] = {}
    for recipient in sorted(state.recipients(vault) - set(held)):
        key = state.box_key(recipient)
        if key is not None:
            lacking.setdefault(_person_of(state, recipient), {})[recipient] = key
    return lacking


def _person_of(state: State, recipient: bytes) -> bytes:
    holder = state.keyholders.get(recipient)
    if holder is not None:
        return holder.person
    return next(person for person, paper in state.papers.items() if paper.sign_key == recipient)


def readable(state: State, person: bytes) -> list[bytes]:
    """The vaults that a person may read, the directory among them."""
    return [vault for vault in state.vaults if state.right(vault, person) >= READS]


def epoch_keys(
    state: State, vault_id: bytes, recipient: bytes, private: PrivateKey
) -> dict[bytes, VaultKeys]:
    """The epochs whose key was given to `recipient`, opened. A box that does not open is left out."""
    vault: Vault = state.vaults[vault_id]
    found = {}
    for name, epoch in vault.epochs.items():
        box = epoch.sealed.get(recipient)
        if box is None:
            continue
        try:
            found[name] = open_keys(
                box,
                family=state.family,
                vault=vault_id,
                commitment=epoch.commitment,
                recipient=recipient,
                private=private,
            )
        except Unopened:
            continue
    waiting = list(found)
    while waiting:
        newer = waiting.pop()
        for name, wrapped in vault.epochs[newer].wrapped.items():
            if name in found or name not in vault.epochs:
                continue
            try:
                found[name] = _unwrap_earlier(
                    found[newer], wrapped, state.family, vault_id, name, vault.epochs[name].commitment
                )
                waiting.append(name)
            except Unopened:
                continue
    return found


def seal_discovery_key(key: bytes, *, family: bytes, device: bytes, box_key: bytes) -> bytes:
    """The discovery key for one device: the only key that a blind peer is ever given."""
    context = _bound(LABEL_DISCOVERY, [family, device])
    return SealedBox(PublicKey(box_key)).encrypt(encode([context, key]))


def open_discovery_key(box: bytes, *, family: bytes, device: bytes, private: PrivateKey) -> bytes:
    """32 bytes. Raises Unopened."""
    try:
        content = decode(SealedBox(private).decrypt(box), limit=MAX_CONTENT)
    except (CryptoError, Malformed, ValueError):
        raise Unopened("box") from None
    match content:
        case [bytes(context), bytes(key)] if len(key) == 32 and context == _bound(
            LABEL_DISCOVERY, [family, device]
        ):
            return key
    raise Unopened("context")

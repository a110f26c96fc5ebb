"""Founding a family, and letting a further person in on its only device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from node.errors import ExitCode, KinringError
from node.grants import epoch_statement, seal_discovery_key
from node.identity import DeviceIdentity
from node.keyholder import SIGN_IN, Unlocked, keep_keyholder, sign_in_name
from node.sealing import VaultKeys
from node.secret_keys import SecretKeys
from node.unlock import (
    ARGON2ID,
    CODE_BYTES,
    Kdf,
    PaperKeys,
    family_recovery_key,
    format_recovery_code,
    new_recovery_code,
    paper_keys,
    parse_recovery_code,
    secret_key_from_pepper,
    wrap_secret,
    wrap_unlock_key,
)  # fmt: skip
from node.vault import Vaults
from replication.membership import (
    ADMIN,
    DEVICE,
    DIRECTORY,
    FOUND,
    FULL,
    KEYHOLDER,
    PAPER,
    PERMIT,
    PERSON,
    SELF,
    SHARED,
    SUITE,
    UNLOCK,
    VAULT,
    device_proof,
    family_id,
    keyholder_proof,
    self_admission,
)  # fmt: skip
from replication.replica import Draft, Position, Replica

RandomBytes = Callable[[int], bytes]

DEFAULT_VAULTS: Final = (
    ("Identity", "Logins"), ("Personal", "Logins"), ("Work", "Logins"),
    ("Contacts", "Contacts"), ("Secure Notes", "Notes"),
)  # fmt: skip
SUITES: Final = {"aes256-gcm": 1, "cha-cha20-poly1305": 2}


@dataclass(frozen=True, repr=False)
class Admitted:
    """A new person, and what goes on their paper. The codes are shown once and never logged."""

    unlocked: Unlocked
    recovery_code: str
    family_recovery_key: str
    """The code that it is made from; only for who founded or recovered the family, and kept nowhere but on paper."""

    def __repr__(self) -> str:
        return "<secret>"


@dataclass(frozen=True, repr=False)
class PersonKeys:
    """A new keyholder of a new person, with all that belongs to the person."""

    signing_key: SigningKey
    box: PrivateKey
    unlock_key: bytes
    recovery_code: str

    @classmethod
    def make(cls, random_bytes: RandomBytes) -> PersonKeys:
        return cls(SigningKey(random_bytes(32)), PrivateKey(random_bytes(32)), random_bytes(32),
                   new_recovery_code(random_bytes))  # fmt: skip

    @property
    def id(self) -> bytes:
        return bytes(self.signing_key.verify_key)

    @property
    def box_key(self) -> bytes:
        return bytes(self.box.public_key)


@dataclass(frozen=True)
class NewPerson:
    """What a person chooses when they come in."""

    username: str
    password: str = field(repr=False)
    name: str = ""
    pepper: str | None = field(default=None, repr=False)
    kdf: Kdf = ARGON2ID
    suite: int = 1


def found(
    replica: Replica, device: DeviceIdentity, secrets: SecretKeys, who: NewPerson, *,
    device_name: str, random_bytes: RandomBytes, now: int,
) -> Admitted:  # fmt: skip
    """Found a family in an empty store: its first device, person, keyholder, the directory and five vaults.

    One transaction: a kill leaves either nothing or a family that opens. Raises KinringError.
    """
    refuse_taken(replica, who.username)
    keys, family_code = PersonKeys.make(random_bytes), random_bytes(CODE_BYTES)
    recovery = family_recovery_key(family_code)
    nonce = random_bytes(32)
    family = family_id(keys.id, keys.box_key, bytes(recovery.verify_key), nonce)
    discovery_key = random_bytes(32)

    def make(position: Position) -> Draft:
        admit = [PERSON, ADMIN, keys.id[:16]]
        start = [FOUND, keys.box_key, bytes(recovery.verify_key), nonce]
        person = position.statement_hash([start], admit)[:16]
        box_key = bytes(device.box.public_key)
        proof = device.sign.sign(device_proof(family, device.id, box_key, device.leaf, person)).signature
        granted = seal_discovery_key(discovery_key, family=family, device=device.id, box_key=box_key)
        owned = keys.signing_key.sign(
            keyholder_proof(family, person, device.id, keys.id, keys.box_key)
        ).signature
        statements: list[list[Any]] = [
            start,
            admit,
            [DEVICE, device.id, box_key, device.leaf, FULL, person, granted, proof],
            [KEYHOLDER, person, device.id, keys.id, keys.box_key, owned],
            [PERMIT, device.id],
        ]
        paper = person_statements(statements, family, person, keys, secrets, who, random_bytes)
        vault_statements(position, statements, keys, paper, 1 + len(DEFAULT_VAULTS), who.suite, random_bytes)
        return Draft(statements=tuple(statements))

    with replica.transaction():
        replica.found(keys.id, lambda m: keys.signing_key.sign(m).signature, family, nonce, make, now)
        unlocked = settle(replica, who, keys, random_bytes)
        vaults = title_vaults(replica, unlocked, random_bytes, now)
        vaults.set_names({unlocked.person: who.name or who.username, device.id[:16]: device_name})
    return Admitted(unlocked, keys.recovery_code, format_recovery_code(family_code))


def admit_person_here(
    replica: Replica, device: DeviceIdentity, secrets: SecretKeys, who: NewPerson, *,
    random_bytes: RandomBytes, now: int,
) -> Admitted:  # fmt: skip
    """A further person on a one-device family's device, by the founder's permit, as a plain member.

    Their name reaches the directory when they sign in after somebody has handed its key on.
    """
    refuse_taken(replica, who.username)
    state = replica.state()
    if set(state.devices) != {device.id} or device.id not in state.permits:
        raise KinringError(
            "this family has several devices: a new person must be admitted by an admin",
            "run `kinring invite` on an admin's device",
            ExitCode.FORBIDDEN,
        )
    keys = PersonKeys.make(random_bytes)

    def make(position: Position) -> Draft:
        signature = device.sign.sign(self_admission(position.family, keys.id, keys.box_key)).signature
        admit = [SELF, random_bytes(16), device.id, keys.box_key, signature]
        person = position.statement_hash([], admit)[:16]
        statements: list[list[Any]] = [admit]
        paper = person_statements(statements, position.family, person, keys, secrets, who, random_bytes)
        vault_statements(position, statements, keys, paper, len(DEFAULT_VAULTS), who.suite, random_bytes)
        return Draft(statements=tuple(statements))

    with replica.transaction():
        replica.append(keys.id, lambda m: keys.signing_key.sign(m).signature, make, now)
        unlocked = settle(replica, who, keys, random_bytes)
        title_vaults(replica, unlocked, random_bytes, now)
    return Admitted(unlocked, keys.recovery_code, "")


def title_vaults(replica: Replica, unlocked: Unlocked, random_bytes: RandomBytes, now: int) -> Vaults:
    state = replica.state()
    own = [vault for vault, held in state.vaults.items() if unlocked.person in held.rights]
    vaults = Vaults(replica, unlocked, random_bytes=random_bytes, clock=lambda: now)
    for vault, (title, kind) in zip(own, DEFAULT_VAULTS, strict=True):
        vaults.set_title(vault, title, kind)
    return vaults


def refuse_taken(replica: Replica, username: str) -> None:
    if sign_in_name(username) in replica.store.local(SIGN_IN):
        raise KinringError(
            f"the user name {username!r} is taken on this device", "choose another", ExitCode.CONFLICT
        )


def person_statements(
    statements: list[list[Any]], family: bytes, person: bytes, keys: PersonKeys, secrets: SecretKeys,
    who: NewPerson, random_bytes: RandomBytes,
) -> PaperKeys:  # fmt: skip
    """Append the person's paper keys and unlock wrap. The secret key is kept before anything needs it."""
    secret_key = random_bytes(32) if who.pepper is None else secret_key_from_pepper(who.pepper, person)
    if who.pepper is None:
        secrets.save(person, secret_key)
    code = parse_recovery_code(keys.recovery_code)
    paper = paper_keys(code, secret_key)
    sealed = wrap_secret(
        keys.unlock_key, code, purpose="recovery-code", context=person, random_bytes=random_bytes
    )
    wrap = wrap_unlock_key(who.password, secret_key, keys.unlock_key, family=family, person=person,
                           kdf=who.kdf, random_bytes=random_bytes)  # fmt: skip
    statements.append([PAPER, person, bytes(paper.sign.verify_key), bytes(paper.box.public_key), sealed])
    statements.append([UNLOCK, person, wrap, b""])
    return paper


def vault_statements(
    position: Position, statements: list[list[Any]], keys: PersonKeys, paper: PaperKeys, count: int, suite: int,
    random_bytes: RandomBytes,
) -> None:  # fmt: skip
    """Append a new person's vaults, with suite and first epoch; the founder's first is the directory."""
    recipients = {keys.id: keys.box_key, bytes(paper.sign.verify_key): bytes(paper.box.public_key)}
    founding = statements[0][0] == FOUND
    for number in range(count):
        made = [VAULT, DIRECTORY if founding and number == 0 else SHARED, random_bytes(16)]
        vault = position.statement_hash(statements, made)[:16]
        vault_keys = VaultKeys(random_bytes(32), random_bytes(32))
        statements.append(made)
        statements.append([SUITE, vault, 1, [1, 2], suite])
        statements.append(epoch_statement(position.family, vault, vault_keys, recipients))


def settle(replica: Replica, who: NewPerson, keys: PersonKeys, random_bytes: RandomBytes) -> Unlocked:
    """Keep the new keyholder's private half, wrapped, in the same transaction as its admission."""
    state = replica.state()
    person = state.person_of(keys.id)
    if person is None:
        raise KinringError("the admission has no effect", "this is a fault of Kinring: please report it")
    keep_keyholder(replica, who.username, person, keys.id, keys.unlock_key,
                   bytes(keys.signing_key) + bytes(keys.box), random_bytes)  # fmt: skip
    return Unlocked(who.username, person, keys.id, keys.unlock_key, keys.signing_key, keys.box)

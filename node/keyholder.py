"""Who may sign in on this device, and what they hold once they have.

What leads from a password to the vaults: password and secret key open the person's unlock key (its wrap
replicates), the unlock key opens this device's keyholder (its wrap never leaves the device), the
keyholder opens the vault keys that were granted to it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from node.errors import ExitCode, KinringError
from node.secret_keys import SecretKeys
from node.unlock import (
    ARGON2ID,
    WrongPassword,
    format_recovery_code,
    open_stretched,
    parse_unlock_wrap,
    secret_key_from_pepper,
    stretch,
    unwrap_secret,
    wrap_secret,
)  # fmt: skip
from replication.encoding import decode, encode
from replication.errors import Refused
from replication.replica import Replica

RandomBytes = Callable[[int], bytes]

SIGN_IN: Final = "sign-in"
TRIED_WRAPS: Final = 4
"""The newest unlock wraps of a person that a password is tried on."""


@dataclass(frozen=True, repr=False)
class Unlocked:
    """A person signed in on this device. What signs and opens for them lives here and nowhere else."""

    username: str
    person: bytes
    keyholder: bytes
    unlock_key: bytes = field(repr=False)
    signing_key: SigningKey = field(repr=False)
    box: PrivateKey = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """The keyholder's Ed25519 signature, 64 bytes."""
        return self.signing_key.sign(message).signature

    def __repr__(self) -> str:
        return "<secret>"


def sign_in_name(username: str) -> bytes:
    """The form of a user name under which it is looked up. Raises KinringError INVALID."""
    name = unicodedata.normalize("NFKC", username).strip().casefold()
    if not 0 < len(name.encode("utf-8", "replace")) <= 256 or any(ord(letter) < 32 for letter in name):
        raise KinringError("a user name has 1 to 256 characters", "choose a shorter one", ExitCode.INVALID)
    return name.encode("utf-8", "replace")


def keep_keyholder(
    replica: Replica, username: str, person: bytes, keyholder: bytes, unlock_key: bytes, private: bytes,
    random_bytes: RandomBytes,
) -> None:  # fmt: skip
    """Remember who may sign in here: name, ids, and the private half (64 bytes) under the unlock key."""
    wrapped = wrap_secret(
        unlock_key, private, purpose="keyholder", context=keyholder, random_bytes=random_bytes
    )
    replica.store.set_local(SIGN_IN, sign_in_name(username), encode([username, person, keyholder, wrapped]))


def sign_ins(replica: Replica) -> list[tuple[str, bytes, bytes]]:
    """Who may sign in on this device: (user name, person, keyholder)."""
    found = (decode(value) for value in replica.store.local(SIGN_IN).values())
    return [(username, person, keyholder) for username, person, keyholder, _ in found]


def unlock(
    replica: Replica, secrets: SecretKeys, *, username: str, password: str, pepper: str | None = None
) -> Unlocked:
    """Sign a person in with their master password. One Argon2 for an unknown name as for a wrong password.

    Raises WrongPassword; KinringError where the secret key cannot be had.
    """
    entry = replica.store.local(SIGN_IN).get(sign_in_name(username))
    if entry is None:
        stretch(password, ARGON2ID, bytes(16))  # an unknown name costs what a wrong password costs
        raise WrongPassword
    _, person, _, _ = decode(entry)
    if not replica.last_id():
        raise KinringError(
            "this device has no copy of the family's data yet",
            "it comes by itself once this device and another are up; if it never joined, join again",
            ExitCode.NOT_FOUND,
        )
    secret_key = secrets.load(person) if pepper is None else secret_key_from_pepper(pepper, person)
    known = [one.wrap for one in replica.state().unlocks.get(person, []) if one.wrap is not None]
    for wrap in reversed(known[-TRIED_WRAPS:]):
        try:
            parsed = parse_unlock_wrap(wrap)
            stretched = stretch(password, parsed.kdf, parsed.salt)
            key = open_stretched(parsed, stretched, secret_key, family=replica.family or b"", person=person)
        except (Refused, WrongPassword):
            continue
        return unlock_with_key(replica, person, key)
    raise WrongPassword


def unlock_with_key(replica: Replica, person: bytes, unlock_key: bytes) -> Unlocked:
    """Sign a person in whose unlock key is known (from a handle). Raises KinringError LOCKED."""
    for value in replica.store.local(SIGN_IN).values():
        username, owner, keyholder, wrapped = decode(value)
        if owner != person:
            continue
        try:
            private = unwrap_secret(unlock_key, wrapped, purpose="keyholder", context=keyholder)
        except Refused:
            continue
        return Unlocked(
            username, person, keyholder, unlock_key, SigningKey(private[:32]), PrivateKey(private[32:])
        )
    raise KinringError("the vault is locked", "run `kinring unlock` again", ExitCode.LOCKED)


def recovery_code(replica: Replica, unlocked: Unlocked) -> str:
    """The person's recovery code, so that the kit can be printed again."""
    sealed = replica.state().papers[unlocked.person].sealed_code
    code = unwrap_secret(unlocked.unlock_key, sealed, purpose="recovery-code", context=unlocked.person)
    return format_recovery_code(code)

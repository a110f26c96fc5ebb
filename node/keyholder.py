"""Who may sign in on this device, and what they hold once they have.

What leads from a password to the vaults: password and secret key open the person's unlock key (its wrap
replicates), the unlock key opens this device's keyholder (its wrap never leaves the device), the
keyholder opens the vault keys that were granted to it. A changed password is another unlock key: those before it lie
wrapped under it, so it opens this device too, which then wraps its keyholder anew. Mirrors docs/spec/unlock.md.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
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
from replication.membership import PAPER, State, Unlock
from replication.replica import Replica

RandomBytes = Callable[[int], bytes]

SIGN_IN: Final = "sign-in"
EARLIER: Final = "earlier-unlock-keys"
"""For what the earlier unlock keys are wrapped under a new one."""
USED: Final = "unlock-keys"
"""What the store keeps for itself: keyholder to the unlock keys that have opened it, sealed to it."""
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
    wrapped = _wrap(unlock_key, keyholder, private, random_bytes)
    replica.store.set_local(SIGN_IN, sign_in_name(username), encode([username, person, keyholder, [wrapped]]))


def _wrap(unlock_key: bytes, keyholder: bytes, private: bytes, random_bytes: RandomBytes) -> bytes:
    return wrap_secret(unlock_key, private, purpose="keyholder", context=keyholder, random_bytes=random_bytes)


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
    found, key = open_wrap(replica, person, password, secret_key)
    return keep_newest(replica, unlock_with_key(replica, person, key), found.hash)


def open_wrap(replica: Replica, person: bytes, password: str, secret_key: bytes) -> tuple[Unlock, bytes]:
    """The unlock key (32 bytes) that a password opens, and the statement that has its wrap. Raises WrongPassword."""
    for one in reversed(tried_wraps(replica.state(), person)):
        try:
            parsed = parse_unlock_wrap(one.wrap or b"")
            stretched = stretch(password, parsed.kdf, parsed.salt)
            return one, open_stretched(parsed, stretched, secret_key, family=replica.family or b"", person=person)
        except (Refused, WrongPassword):
            continue
    raise WrongPassword


def tried_wraps(state: State, person: bytes) -> list[Unlock]:
    """The wraps on which a password is tried, oldest first: the newest four of those that were not forgotten. One that
    was, and that somebody put back into the store, opens nothing."""
    known = [one for one in state.unlocks.get(person, ()) if one.wrap and one.hash not in state.forgotten]
    return known[-TRIED_WRAPS:]


def earlier_keys(state: State, person: bytes, unlock_key: bytes) -> tuple[bytes | None, list[tuple[bytes, bytes]]]:
    """(the statement that brought this unlock key after others, those: (statement, key), the newest first). None and
    nothing where it is the person's first, or all there is of it was forgotten."""
    for one in state.unlocks.get(person, ()):
        if not one.older:
            continue
        try:
            plain = unwrap_secret(unlock_key, one.older, purpose=EARLIER, context=person)
            return one.hash, [(name, key) for name, key in decode(plain)]
        except Refused:
            continue
    return None, []


def unlock_with_key(replica: Replica, person: bytes, unlock_key: bytes) -> Unlocked:
    """Sign a person in whose unlock key is known (from a handle). Raises KinringError LOCKED."""
    for value in replica.store.local(SIGN_IN).values():
        username, owner, keyholder, wraps = decode(value)
        if owner != person:
            continue
        keys = [unlock_key, *(key for _, key in earlier_keys(replica.state(), person, unlock_key)[1])]
        private = _open_any(wraps, keys, keyholder)
        if private is not None:
            signing_key, box = SigningKey(private[:32]), PrivateKey(private[32:])
            return Unlocked(username, person, keyholder, unlock_key, signing_key, box)
    raise KinringError("the vault is locked", "run `kinring unlock` again", ExitCode.LOCKED)


def _open_any(wraps: list[bytes], keys: list[bytes], keyholder: bytes) -> bytes | None:
    for key in keys:
        for wrapped in wraps:
            try:
                return unwrap_secret(key, wrapped, purpose="keyholder", context=keyholder)
            except Refused:
                continue
    return None


def keep_newest(replica: Replica, unlocked: Unlocked, brought: bytes) -> Unlocked:
    """Wrap this device's keyholder under the unlock key that it was opened by, and forget its older wraps once no other
    password of the person opens anything. `brought`: the statement of that key. Returns who was given."""
    used = used_keys(replica, unlocked)
    if (brought, unlocked.unlock_key) not in used:
        kept = encode([list(pair) for pair in [*used, (brought, unlocked.unlock_key)]])
        replica.store.set_local(USED, unlocked.keyholder, SealedBox(unlocked.box.public_key).encrypt(kept))
    name = sign_in_name(unlocked.username)
    _rewrap(replica, unlocked, name)
    return unlocked


def _rewrap(replica: Replica, unlocked: Unlocked, name: bytes) -> None:
    username, person, keyholder, wraps = decode(replica.store.local(SIGN_IN)[name])
    own = [one for one in wraps if _open_any([one], [unlocked.unlock_key], keyholder) is not None]
    if not own:
        private = bytes(unlocked.signing_key) + bytes(unlocked.box)
        own = [_wrap(unlocked.unlock_key, keyholder, private, os.urandom)]
    state = replica.state()
    others = len([one for one in state.unlocks.get(person, ()) if one.hash not in state.forgotten]) > 1
    kept = [*(one for one in wraps if others and one not in own), *own]
    if kept != wraps:
        replica.store.set_local(SIGN_IN, name, encode([username, person, keyholder, kept]))
    if len(kept) < len(wraps):
        replica.store.truncate_log()


def used_keys(replica: Replica, unlocked: Unlocked) -> list[tuple[bytes, bytes]]:
    """The unlock keys that have opened this device, each with the statement that brought it; less what is forgotten.
    They lie sealed to the keyholder: so a change made where both of two passwords were used ends both."""
    sealed = replica.store.local(USED).get(unlocked.keyholder)
    try:
        found = decode(SealedBox(unlocked.box).decrypt(sealed)) if sealed else []
    except (CryptoError, Refused):
        return []
    forgotten = replica.state().forgotten
    return [(name, key) for name, key in found if name not in forgotten]


def recovery_code(replica: Replica, unlocked: Unlocked) -> str:
    """The person's recovery code, so that the kit can be printed again. Raises KinringError LOCKED where it was sealed
    under a password that was set apart from this one."""
    me, state = unlocked.person, replica.state()
    held = state.papers[me].sign_key
    known = (statement.body for statement in replica.membership().statements.values())
    sealed = [body[4] for body in known if body[0] == PAPER and body[1:3] == [me, held]]
    for key in [unlocked.unlock_key, *(key for _, key in earlier_keys(state, me, unlocked.unlock_key)[1])]:
        for one in reversed(sealed):
            try:
                return format_recovery_code(unwrap_secret(key, one, purpose="recovery-code", context=me))
            except Refused:
                continue
    raise KinringError(
        "the recovery code was sealed under another password of yours", "sign in with that one", ExitCode.LOCKED
    )

"""Coming back when every device is gone: the family by its recovery code, a person by their emergency kit.

Nobody is left who could let this device in, so it starts from a copy of the entries, out of the data folder of any
device of the family (a blind one, too), checks each as if a peer had sent it, and hands back what it states.

The family's code decides who belongs to the family and opens no vault: who comes back by it is a new person, an admin,
and reads what those who are left hand on. The kit opens what its person could read. Mirrors docs/spec/recovery.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from node.discovery_keys import held_keys, new_key_statement
from node.errors import ExitCode, KinringError
from node.family import (
    DEFAULT_VAULTS,
    Admitted,
    NewPerson,
    PersonKeys,
    person_statements,
    title_vaults,
    vault_statements,
)
from node.grants import epoch_keys, epoch_statement, grant_statement, readable, seal_discovery_key
from node.identity import KEY_FILE, DeviceIdentity, load_or_create
from node.keyholder import Unlocked, keep_keyholder, sign_ins
from node.opening import open_replica
from node.people import cuts_of, keyholders_gone
from node.sealing import VaultKeys
from node.secret_keys import SecretKeys
from node.unlock import (
    CODE_BYTES,
    PaperKeys,
    family_recovery_key,
    format_recovery_code,
    paper_keys,
    secret_key_from_pepper,
    wrap_secret,
    wrap_unlock_key,
)
from node.vault import Vaults
from replication.membership import (
    A_DEVICE,
    A_PERSON,
    ADMIN,
    DEVICE,
    FULL,
    KEYHOLDER,
    PAPER,
    READS,
    RECOVER,
    UNLOCK,
    WRITES,
    State,
    device_proof,
    keyholder_proof,
)
from replication.replica import Draft, Position, Replica

RandomBytes = Callable[[int], bytes]

GRANTS_AT_ONCE: Final = 512
"""Statements of one entry that grants keys: some 200 KiB."""


@dataclass(frozen=True, repr=False)
class Place:
    """Where a person comes back: a data folder of this device, opened, and what it knows of the family."""

    replica: Replica
    device: DeviceIdentity
    secrets: SecretKeys
    discovery_keys: list[bytes]
    """Those that the folder which was copied from has, the newest first."""

    def __repr__(self) -> str:
        return "<secret>"


@dataclass(frozen=True, slots=True)
class There:
    """A person of the family, as it is known before anybody can read a name."""

    person: bytes
    role: int
    devices: list[bytes]
    wrote_at: int
    """The newest entry of theirs, in milliseconds since 1970 by their clock; 0: none."""


# The copy


def copy_entries(source: Replica, into: Replica) -> int:
    """Take in all that `source` has, checked as if a peer had sent it; how much was new.

    Raises KinringError DAMAGED."""
    cursor = stored = 0
    while batch := source.entries_after(cursor, lambda *_: True)[0]:
        taken = into.ingest([one.wire for one in batch])
        if taken.refused is not None:
            raise KinringError(
                f"the copy is damaged: {taken.refused.kind}", "take the copy of another device", ExitCode.DAMAGED
            )
        stored += taken.stored
        cursor = batch[-1].id
    return stored


def take_copy(source: Replica, folder: Path, place: Replica, device: DeviceIdentity, secrets: SecretKeys) -> Place:
    """Make the store `place` a copy of the family in `source`, which lies in `folder`.

    Raises KinringError NOT_FOUND where that holds no family, CONFLICT where somebody belongs to one here already; what
    they have said is handed over all the same, for whoever was cut off before that.
    """
    if source.family is None or not source.last_id():
        raise KinringError("there is no family in that data folder", "name another one", ExitCode.NOT_FOUND)
    if sign_ins(place) and place.family == source.family:
        copy_entries(place, source)
        raise KinringError(
            "somebody of this family signs in here already",
            "what was said here has been handed to that folder: its device tells the others when it is up",
            ExitCode.CONFLICT,
        )
    if sign_ins(place) or (place.family not in (None, source.family) and place.last_id()):
        raise KinringError(
            "this device belongs to a family already", "use an empty data folder: --data-dir", ExitCode.CONFLICT
        )
    if place.family != source.family:
        place.adopt(source.family)
    copy_entries(source, place)
    keys: list[bytes] = []
    if (folder / KEY_FILE).exists():
        keys = held_keys(source.state(), load_or_create(folder, _no_new_identity))
    return Place(place, device, secrets, keys)


def _no_new_identity(_: int) -> bytes:
    raise KinringError("device.key went away meanwhile", "try again", ExitCode.DAMAGED)


def open_source(folder: Path) -> Replica:
    """The store in another device's data folder, or in a copy of one. Raises KinringError."""
    return open_replica(folder, create=False)


def who_is_there(replica: Replica) -> list[There]:
    """The people of a family, by what the entries say in the clear."""
    state = replica.state()
    tips = replica.tips()
    found = []
    for person, about in state.people.items():
        keys = set(state.keyholders_of(person))
        wrote_at = max((wall_time for _, author, _, wall_time in tips if author in keys), default=0)
        devices = sorted(device for device, held in state.devices.items() if held.owner == person)
        found.append(There(person, about.role, devices, wrote_at))
    return found


# The family


def recover_family(
    place: Place, who: NewPerson, code: bytes, remove: Sequence[bytes], *,
    device_name: str, random_bytes: RandomBytes, now: int,
) -> Admitted:  # fmt: skip
    """Come in as a new admin by the family recovery code (20 bytes), and take out who is named (devices, people).

    One statement does all of it, and puts the next recovery key in force. Raises KinringError WRONG_PASSWORD for
    another code, NOT_FOUND.
    """
    replica, state = place.replica, place.replica.state()
    recovery = family_recovery_key(code)
    if bytes(recovery.verify_key) != state.recovery_key:
        raise KinringError(
            "that is not this family's recovery code, or not the newest",
            "a personal recovery code is another: recover-me takes that",
            ExitCode.WRONG_PASSWORD,
        )
    keys, next_code = PersonKeys.make(random_bytes), random_bytes(CODE_BYTES)
    discovery_key = random_bytes(32)
    named = [[what, target, cuts_of(replica, keyholders_gone(state, what, target))[0]] for what, target in
             sorted(_what(state, one) for one in remove)]  # fmt: skip

    def recover(position: Position) -> Draft:
        device, proof, granted = _own_device(place, keys.id[:16], discovery_key)
        owned = keyholder_proof(position.family, keys.id[:16], place.device.id, keys.id, keys.box_key)
        following = bytes(family_recovery_key(next_code).verify_key)
        return Draft(statements=([
            RECOVER, named, *device, granted, proof, keys.id, keys.box_key,
            keys.signing_key.sign(owned).signature, following,
        ],))  # fmt: skip

    with replica.transaction():
        info = replica.append(bytes(recovery.verify_key), lambda m: recovery.sign(m).signature, recover, now)
        _must_count(replica, replica.statements_of(info.id))
        person = replica.statements_of(info.id)[0][:16]

        def settle_in(position: Position) -> Draft:
            statements: list[list[Any]] = []
            paper = person_statements(statements, position.family, person, keys, place.secrets, who, random_bytes)
            vault_statements(position, statements, keys, paper, len(DEFAULT_VAULTS), who.suite, random_bytes)
            statements.append(new_key_statement(position.state, set(), discovery_key))
            return Draft(statements=(*statements, *_directory_anew(position.state, keys, paper, random_bytes)))

        unlocked = _keep(place, who.username, person, keys.signing_key, keys.box, keys.unlock_key, random_bytes)
        info = replica.append(keys.id, unlocked.sign, settle_in, now)
        _must_count(replica, replica.statements_of(info.id))
        vaults = title_vaults(replica, unlocked, random_bytes, now)
        if vaults.epoch_keys(replica.state().directory):
            vaults.set_names({person: who.name or who.username, place.device.id[:16]: device_name})
    return Admitted(unlocked, keys.recovery_code, format_recovery_code(next_code))


def _what(state: State, one: bytes) -> tuple[int, bytes]:
    if one in state.devices:
        return A_DEVICE, one
    if one in state.people:
        return A_PERSON, one
    raise KinringError("there is no such device or person", "recover-family lists them", ExitCode.NOT_FOUND)


def _own_device(place: Place, owner: bytes, discovery_key: bytes) -> tuple[list[Any], bytes, bytes]:
    """([id, box key, leaf], proof, the discovery key sealed to it). One that is in use is better than a new one that
    nobody has heard of yet. `owner`: as the proof names them."""
    device, family = place.device, place.replica.family or b""
    box_key = bytes(device.box.public_key)
    proof = device.sign.sign(device_proof(family, device.id, box_key, device.leaf, owner)).signature
    key = place.discovery_keys[0] if place.discovery_keys else discovery_key
    granted = seal_discovery_key(key, family=family, device=device.id, box_key=box_key)
    return [device.id, box_key, device.leaf], proof, granted


def _directory_anew(
    state: State, keys: PersonKeys, paper: PaperKeys, random_bytes: RandomBytes
) -> list[list[Any]]:
    """Where nobody is left who could hand the directory's key on, a new one: the names of before are gone."""
    if not state.recipients(state.directory) <= {keys.id}:
        return []
    recipients = {keys.id: keys.box_key, bytes(paper.sign.verify_key): bytes(paper.box.public_key)}
    fresh = VaultKeys(random_bytes(32), random_bytes(32))
    heads = state.vaults[state.directory].heads()
    return [epoch_statement(state.family, state.directory, fresh, recipients, heads)]


def _must_count(replica: Replica, statements: Sequence[bytes]) -> None:
    reasons = replica.membership().reasons
    why = next((reasons[one] for one in statements if one in reasons), None)
    if why is not None:
        raise KinringError(f"that may not be done: {why}", "see docs/spec/recovery.md", ExitCode.FORBIDDEN)


def _keep(
    place: Place, username: str, person: bytes, signing_key: SigningKey, box: PrivateKey, unlock_key: bytes,
    random_bytes: RandomBytes,
) -> Unlocked:  # fmt: skip
    keyholder = bytes(signing_key.verify_key)
    private = bytes(signing_key) + bytes(box)
    keep_keyholder(place.replica, username, person, keyholder, unlock_key, private, random_bytes)
    return Unlocked(username, person, keyholder, unlock_key, signing_key, box)


# A person


def recover_me(
    place: Place, who: NewPerson, code: bytes, secret_key: bytes | None, *,
    device_name: str, random_bytes: RandomBytes, now: int,
) -> Unlocked:  # fmt: skip
    """Come back on this device by the emergency kit: recovery code (20 bytes) and secret key (32), or the pepper that
    `who` gives in its place. `who.password` is the new master password. What the person could read opens at once.

    Raises KinringError WRONG_PASSWORD for a kit that fits nobody, NOT_FOUND where it is not known by which key the
    family's devices find one another and the person is no admin who makes a new one.
    """
    replica, state = place.replica, place.replica.state()
    person, paper, secret_key = _whose_kit(state, code, secret_key, who.pepper)
    if not place.discovery_keys and state.people[person].role != ADMIN:
        raise KinringError(
            "that folder does not say how the family's devices find one another",
            f"copy the whole data folder, with its {KEY_FILE}",
            ExitCode.NOT_FOUND,
        )
    signing_key, box = SigningKey(random_bytes(32)), PrivateKey(random_bytes(32))
    keyholder, box_key, unlock_key = bytes(signing_key.verify_key), bytes(box.public_key), random_bytes(32)
    discovery_key = random_bytes(32)

    def come_in(position: Position) -> Draft:
        device, proof, granted = _own_device(place, person, discovery_key)
        owned = keyholder_proof(position.family, person, place.device.id, keyholder, box_key)
        wrap = wrap_unlock_key(who.password, secret_key, unlock_key, family=position.family, person=person,
                               kdf=who.kdf, random_bytes=random_bytes)  # fmt: skip
        sealed = wrap_secret(unlock_key, code, purpose="recovery-code", context=person, random_bytes=random_bytes)
        return Draft(statements=(
            [DEVICE, *device, FULL, person, granted, proof],
            [KEYHOLDER, person, place.device.id, keyholder, box_key, signing_key.sign(owned).signature],
            [UNLOCK, person, wrap, b""],
            # The same kit: only what opens it again at home is new.
            [PAPER, person, bytes(paper.sign.verify_key), bytes(paper.box.public_key), sealed],
        ))  # fmt: skip

    if who.pepper is None:
        place.secrets.save(person, secret_key)
    with replica.transaction():
        author = bytes(paper.sign.verify_key)
        info = replica.append(author, lambda m: paper.sign.sign(m).signature, come_in, now)
        _must_count(replica, replica.statements_of(info.id))
        unlocked = _keep(place, who.username, person, signing_key, box, unlock_key, random_bytes)
        statements = _own_grants(replica.state(), person, paper, {keyholder: box_key})
        if not place.discovery_keys:
            statements.append(new_key_statement(replica.state(), set(), discovery_key))
        for start in range(0, len(statements), GRANTS_AT_ONCE):
            some = tuple(statements[start : start + GRANTS_AT_ONCE])
            replica.append(keyholder, unlocked.sign, lambda _, some=some: Draft(statements=some), now)  # type: ignore[misc]
        vaults = Vaults(replica, unlocked, random_bytes=random_bytes, clock=lambda: now)
        if vaults.epoch_keys(replica.state().directory):
            vaults.set_names({place.device.id[:16]: device_name})
    return unlocked


def _whose_kit(
    state: State, code: bytes, secret_key: bytes | None, pepper: str | None
) -> tuple[bytes, PaperKeys, bytes]:
    for person, held in state.papers.items():
        secret = secret_key_from_pepper(pepper, person) if pepper is not None else secret_key
        if secret is None:
            continue
        paper = paper_keys(code, secret)
        if (bytes(paper.sign.verify_key), bytes(paper.box.public_key)) == (held.sign_key, held.box_key):
            return person, paper, secret
    raise KinringError(
        "this recovery code and this secret key are nobody's of this family",
        "compare both with the emergency kit; the copy of the family's data may be too old, too",
        ExitCode.WRONG_PASSWORD,
    )


def _own_grants(state: State, person: bytes, paper: PaperKeys, new: dict[bytes, bytes]) -> list[list[Any]]:
    """Every key that the kit opens, for a new keyholder of its person."""
    author = bytes(paper.sign.verify_key)
    found = []
    for vault in readable(state, person):
        right = WRITES if vault == state.directory else state.vaults[vault].rights.get(person, READS)
        for epoch, keys in epoch_keys(state, vault, author, paper.box).items():
            found.append(grant_statement(state.family, vault, epoch, keys, person, right, new))
    return found

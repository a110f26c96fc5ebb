"""Sharing a vault, and taking a share back.

A share is one statement: the right, and the vault's key sealed to all of the person's keys. Taking it back is one
entry: the right that is left, up to where what they wrote counts, and a new key if they may not read on. What they have
read they have: the exposure list says what to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from node.errors import ExitCode, KinringError
from node.grants import grant_statement
from node.keyholder import Unlocked
from node.people import cuts_of, keyholders_ever, say
from node.vault import Vaults
from replication.membership import GRANT, OWNS, READER, READS, REVOKE, WRITES, State
from replication.replica import Replica

RIGHTS: Final = {"none": 0, "reads": READS, "writes": WRITES, "owns": OWNS}
"""What people call the rights of a person in a vault; each includes those before it."""


@dataclass(frozen=True, slots=True)
class Unshared:
    """What taking a share back did."""

    counts_until: int
    """The time of the newest entry of theirs that is here and counts, in milliseconds since 1970; 0: none."""
    new_key: bool
    """Whether the vault has a new key at once; if not, and they may read no more, the next who writes makes it."""


def right_name(right: int) -> str:
    """A right as people call it."""
    return next(name for name, value in RIGHTS.items() if value == right)


def shares(state: State, vault: bytes) -> dict[bytes, int]:
    """The people who may read a vault, and what they may do in it."""
    found = {person: state.right(vault, person) for person in state.people}
    return {person: right for person, right in found.items() if right}


def share(replica: Replica, unlocked: Unlocked, vaults: Vaults, vault_id: str, person: bytes, right: int) -> bool:
    """Give a person (id of 16 bytes) a right in a vault, and its key to all their keys. Whether that was new to them.

    Raises KinringError NOT_FOUND, FORBIDDEN, CONFLICT where they may do more already, LOCKED without the key.
    """
    with replica.transaction():
        vault, state = _find(replica, vaults, vault_id, person)
        held = state.vaults[vault].rights.get(person, 0)
        if right < held:
            raise KinringError(
                f"this person may do more already: {right_name(held)}",
                f"unshare-vault --right {right_name(right)} takes the rest away",
                ExitCode.CONFLICT,
            )
        if state.people[person].role == READER and right > READS:
            raise KinringError(
                "a reader writes in no shared vault", "an admin changes that with set-role", ExitCode.FORBIDDEN
            )
        say(replica, unlocked, _grant(state, vaults, vault, person, right))
    return right > held


def _grant(state: State, vaults: Vaults, vault: bytes, person: bytes, right: int) -> list[list[Any]]:
    """The right with the present key; where nobody writes under that any more, with a new one."""
    theirs = keys_of(state, person)
    epoch = state.writable_epoch(vault)
    keys = vaults.epoch_keys(vault).get(epoch or b"")
    if epoch is not None and keys is not None:
        return [grant_statement(state.family, vault, epoch, keys, person, right, theirs)]
    newest = state.vaults[vault].newest_epoch()
    return [[GRANT, vault, newest, person, right, []], vaults.next_epoch(vault, state.recipients(vault) | set(theirs))]


def keys_of(state: State, person: bytes) -> dict[bytes, bytes]:
    """A person's keys (id to X25519 key): their keyholders, and their paper key unless another calls it theirs."""
    found = {key: state.keyholders[key].box_key for key in state.keyholders_of(person)}
    paper = state.papers.get(person)
    if paper and sum(other.sign_key == paper.sign_key for other in state.papers.values()) == 1:
        found[paper.sign_key] = paper.box_key
    return found


def unshare(
    replica: Replica, unlocked: Unlocked, vaults: Vaults, vault_id: str, person: bytes, right: int = 0
) -> Unshared:
    """Leave a person (id of 16 bytes) no more than `right` in a vault. One's own right may be given back, too.

    Raises KinringError NOT_FOUND, FORBIDDEN, CONFLICT where they have no more anyway.
    """
    with replica.transaction():
        vault, state = _find(replica, vaults, vault_id, person)
        held = state.vaults[vault].rights.get(person, 0)
        if right >= held:
            raise KinringError(
                f"this person has no more than that: {right_name(held)}",
                "get-vault shows who may do what",
                ExitCode.CONFLICT,
            )
        cuts, until = cuts_of(replica, keyholders_ever(state, person)) if right < WRITES else ([], 0)
        readers = state.recipients(vault)
        lost = readers & keys_of(state, person).keys() if right < READS else set()
        if lost and lost == readers:
            raise KinringError(
                "nobody else may read this vault", "delete-vault puts it into the bin", ExitCode.FORBIDDEN
            )
        statements: list[list[Any]] = [[REVOKE, vault, person, right, cuts]]
        new_key = bool(lost) and person != unlocked.person
        if new_key:
            statements.append(vaults.next_epoch(vault, readers - lost))
        say(replica, unlocked, statements)
    return Unshared(until, new_key)


def _find(replica: Replica, vaults: Vaults, vault_id: str, person: bytes) -> tuple[bytes, State]:
    vault = bytes.fromhex(vaults.vault(vault_id).vault_id)
    state = replica.state()
    if person not in state.people:
        raise KinringError("there is no such person", "list them with status", ExitCode.NOT_FOUND)
    return vault, state

"""Removing devices and people, and what they could have read.

A removal is one entry: who goes, up to where what they wrote counts, a new key for every vault that the remover can
read, and, if they are an admin, a new discovery key. From then on nothing that is written can be read by who was
removed. What they had, they have: the exposure list says what to change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.discovery_keys import new_key_statement
from node.errors import ExitCode, KinringError
from node.item import SECRET_FIELDS
from node.keyholder import Unlocked
from node.vault import Vaults
from replication.membership import (
    A_DEVICE,
    A_PERSON,
    ADMIN,
    APPROVE,
    MAX_CUTS,
    PROPOSE,
    READER,
    READS,
    REMOVE,
    ROLE,
    WRITES,
    Proposal,
    State,
)
from replication.replica import Draft, EntryInfo, Replica
from replication.state import devices_gone

_HINTS: Final = {
    "a senior falls to two admins together, or to the recovery key":
        "propose it with propose-removal, and another admin approves; or use the family recovery code: recover-family",
    "an owner falls to one who was it before": "who owned the vault before them may do it, or they themselves",
    "not the owner": "an owner of the vault decides who may read and write it",
    "not an admin": "ask an admin of the family",
    "no admin would be left who can act": "make somebody else an admin first: set-role",
    "two admins are two people": "another admin than the one who proposed it approves it",
    "not oneself": "neither of the two admins may be who is removed",
    "who proposed it is no admin any more": "propose it anew",
    "unknown proposal": "list them with proposals",
    "changed too often": "remove the person, and let them in anew",
}  # fmt: skip
"""Why something may not be done, to what can be done instead."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """A secret that someone removed could have read and that has not been changed since."""

    item_id: str
    vault_id: str
    label: str
    field: str
    since: int
    """When it was written, in milliseconds since 1970, by its writer's clock."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal did."""

    entry: bytes
    counts_until: int
    """The time of the newest entry of theirs that still counts, in milliseconds since 1970; 0: there is none."""
    new_keys: int
    """Vaults that got a new key at once."""
    waiting: int
    """Vaults whose new key is made by the next who writes there: the remover cannot read them."""


def remove_device(replica: Replica, unlocked: Unlocked, vaults: Vaults, device: bytes) -> Removed:
    """Take a device (id of 32 bytes) out of the family, for good: its key is never admitted again.

    Raises KinringError NOT_FOUND, FORBIDDEN.
    """
    if device not in replica.state().devices:
        raise KinringError("there is no such device", "list them with peers", ExitCode.NOT_FOUND)
    return _remove(replica, unlocked, vaults, A_DEVICE, device)


def remove_person(replica: Replica, unlocked: Unlocked, vaults: Vaults, person: bytes) -> Removed:
    """Take a person (id of 16 bytes) out of the family, with their devices. Raises KinringError."""
    if person not in replica.state().people:
        raise KinringError("there is no such person", "list them with status", ExitCode.NOT_FOUND)
    return _remove(replica, unlocked, vaults, A_PERSON, person)


def _remove(replica: Replica, unlocked: Unlocked, vaults: Vaults, what: int, target: bytes) -> Removed:
    return _take_out(replica, unlocked, vaults, what, target, lambda cuts: [REMOVE, what, target, cuts])


def _take_out(
    replica: Replica,
    unlocked: Unlocked,
    vaults: Vaults,
    what: int,
    target: bytes,
    statement: Callable[[list[Any]], list[Any]],
) -> Removed:
    """State what takes a device or person out, made of its cuts, and in the same entry the new keys."""
    with replica.transaction():
        state = replica.state()
        gone = keyholders_gone(state, what, target)
        cuts, until = cuts_of(replica, gone)
        lost = gone | ({state.papers[target].sign_key} if what == A_PERSON and target in state.papers else set())
        epochs, waiting = _new_epochs(state, unlocked, vaults, lost)
        devices = devices_gone(state, what, target)
        more = []
        if devices and state.role(unlocked.person) == ADMIN and unlocked.keyholder not in gone:
            more.append(new_key_statement(state, devices, os.urandom(32)))
        info = say(replica, unlocked, [statement(cuts), *epochs, *more])
    return Removed(info.hash, until, len(epochs), waiting)


def set_role(replica: Replica, unlocked: Unlocked, person: bytes, role: int) -> int:
    """Make a person (id of 16 bytes) an admin, a writer or a reader. As a reader they write no shared vault any more.

    The time of the newest entry of theirs that still counts there, in milliseconds since 1970; 0: nothing is cut, or
    there is none. Raises KinringError NOT_FOUND, FORBIDDEN, CONFLICT.
    """
    with replica.transaction():
        state = replica.state()
        if person not in state.people:
            raise KinringError("there is no such person", "list them with status", ExitCode.NOT_FOUND)
        if state.people[person].role == role:
            raise KinringError("that is their role", "status shows everybody's", ExitCode.CONFLICT)
        cuts, until = cuts_of(replica, keyholders_ever(state, person)) if role == READER else ([], 0)
        say(replica, unlocked, [[ROLE, person, role, cuts]])
    return until


def propose_removal(replica: Replica, unlocked: Unlocked, what: int, target: bytes) -> bytes:
    """Say that a device or a person should go, for another admin to approve. The proposal's name, 32 bytes.

    Raises KinringError NOT_FOUND, FORBIDDEN.
    """
    state = replica.state()
    if target not in (state.devices if what == A_DEVICE else state.people):
        raise KinringError("there is no such device or person", "list them with status", ExitCode.NOT_FOUND)
    return replica.statements_of(say(replica, unlocked, [[PROPOSE, os.urandom(16), what, target]]).id)[0]


def proposals(replica: Replica) -> dict[bytes, Proposal]:
    """The removals that an admin proposed and another may still approve, by name."""
    state = replica.state()
    return {
        name: one
        for name, one in state.proposals.items()
        if one.target in (state.devices if one.what == A_DEVICE else state.people)
        and state.person_of(one.author) == one.person
        and state.role(one.person) == ADMIN
    }


def approve_removal(replica: Replica, unlocked: Unlocked, vaults: Vaults, proposal: bytes) -> Removed:
    """Remove what another admin proposed (name of 32 bytes): at once and for good, whoever it is.

    Raises KinringError NOT_FOUND, FORBIDDEN.
    """
    found = proposals(replica).get(proposal)
    if found is None:
        raise KinringError("there is no such proposal", "list them with proposals", ExitCode.NOT_FOUND)
    return _take_out(
        replica, unlocked, vaults, found.what, found.target, lambda cuts: [APPROVE, proposal, cuts]
    )


def _new_epochs(state: State, unlocked: Unlocked, vaults: Vaults, lost: set[bytes]) -> tuple[list[list[Any]], int]:
    """A new key for each vault that some `lost` keys could read; and of how many the next writer makes it."""
    made: list[list[Any]] = []
    waiting = 0
    for vault in state.vaults:
        readers = state.recipients(vault)
        if not readers & lost or readers <= lost:
            continue
        able = vaults.epoch_keys(vault) and state.right(vault, unlocked.person) >= WRITES
        if able and unlocked.keyholder not in lost:  # whoever leaves has no word any more
            made.append(vaults.next_epoch(vault, readers - lost))
        else:
            waiting += 1
    return made, waiting


def say(replica: Replica, unlocked: Unlocked, statements: Sequence[list[Any]]) -> EntryInfo:
    """Append statements in one entry, if the first of them has effect. Raises KinringError FORBIDDEN."""
    with replica.transaction():
        info = replica.append(
            unlocked.keyholder, unlocked.sign, lambda _: Draft(statements=tuple(statements)), int(time.time() * 1000)
        )
        why = replica.membership().reasons.get(replica.statements_of(info.id)[0])
        if why is not None:
            hint = _HINTS.get(why, "an admin removes those admitted after them, and anyone their own devices")
            raise KinringError(f"that may not be done: {why}", hint, ExitCode.FORBIDDEN)
    return info


def keyholders_gone(state: State, what: int, target: bytes) -> set[bytes]:
    devices = devices_gone(state, what, target)
    # Those of devices removed earlier too: a person's removal cuts their logs again, at its own heads.
    known = [*state.keyholders.items(), *state.former.items()]
    return {key for key, holder in known if holder.person == target or holder.device in devices}


def keyholders_ever(state: State, person: bytes) -> set[bytes]:
    """Every keyholder that a person ever had."""
    return {key for key, holder in [*state.keyholders.items(), *state.former.items()] if holder.person == person}


def cuts_of(replica: Replica, keyholders: set[bytes]) -> tuple[list[Any], int]:
    """What this device has of some keyholders' logs, as cuts; and the time of the newest entry under them.

    Of more branches than a removal names, the oldest: who holds a stolen key can make others by the thousand.
    """
    heads: dict[bytes, list[bytes]] = {}
    newest = 0
    theirs = [tip for tip in replica.tips() if tip[1] in keyholders]
    for log, _, digest, wall_time in theirs[:MAX_CUTS]:
        heads.setdefault(log, []).append(digest)
        newest = max(newest, wall_time)
    return [[log, sorted(found)] for log, found in sorted(heads.items())], newest


def introduce(replica: Replica, unlocked: Unlocked, vaults: Vaults, device_name: str) -> None:
    """Write who signed in, and this device, into the directory where it has no name of theirs: who let themselves in,
    or recovered the family, had not its key."""
    state = replica.state()
    device = state.keyholders[unlocked.keyholder].device if unlocked.keyholder in state.keyholders else None
    if device is None or not vaults.epoch_keys(state.directory):
        return
    known = vaults.names()
    own = {unlocked.person: unlocked.username, device[:16]: device_name}
    if lacking := {one: name for one, name in own.items() if one not in known}:
        vaults.set_names(lacking)


def exposure(replica: Replica, vaults: Vaults) -> list[Exposed]:
    """Every secret that a removed device or person was given the key to, and that is still as it was.

    Changing one writes it under a new key, which takes it off the list.
    """
    state = replica.state()
    exposed: list[Exposed] = []
    for view in vaults.vaults():
        vault = bytes.fromhex(view.vault_id)
        held = state.vaults[vault].epochs
        known = {name for name in held if not set(held[name].sealed) <= state.recipients(vault)}
        known |= {old for name in known for old in held[name].wrapped}
        if known and state.right(vault, bytes.fromhex(vaults.person_id)) >= READS:
            exposed += [
                Exposed(item, view.vault_id, label, name, at)
                for item, label, name, at in vaults.written_under(view.vault_id, known, SECRET_FIELDS)
            ]
    return sorted(exposed, key=lambda found: (found.label.casefold(), found.item_id, found.field))

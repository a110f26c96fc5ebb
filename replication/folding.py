"""What a statement with effect does to the family's state. Told in one fixed order: depth, then hash.

Where two apart say the same thing twice, the first counts. What removals take out comes after all that was said.
"""

from __future__ import annotations

from dataclasses import replace

from replication.state import (
    Cut,
    Device,
    Epoch,
    Keyholder,
    Level,
    Paper,
    Person,
    Proposal,
    Purge,
    Rank,
    State,
    Unlock,
    Vault,
    devices_gone,
)
from replication.statements import (
    A_PERSON,
    ADMIN,
    DEVICE,
    DIRECTORY,
    DISCOVERY,
    EPOCH,
    FORGET,
    FOUND,
    FULL,
    GRANT,
    KEYHOLDER,
    OWNS,
    PAPER,
    PERMIT,
    PERSON,
    PROPOSE,
    PURGE,
    READER,
    RECOVER,
    REVOKE,
    ROLE,
    SELF,
    SUITE,
    TAKE_IN,
    UNLOCK,
    VAULT,
    WRITER,
    Cuts,
    Saw,
    Statement,
    purge_size,
    read_purge,
)


def apply(state: State, statement: Statement, rank: Rank, moves: int, saw: Saw) -> None:
    """Add what an effective statement says, removals aside. `moves`: whether it raises (1) or lowers (-1) a role or
    a right, as it was judged in its own past."""
    body, author = statement.body, statement.author
    kind = body[0]
    person = state.person_of(author)
    if kind in (EPOCH, GRANT, SUITE, REVOKE):
        _apply_to_vault(state, statement, rank, moves, saw)
    elif kind in (PERSON, SELF, DEVICE, KEYHOLDER, PERMIT, RECOVER):
        _apply_admission(state, statement, person, rank, saw)
    elif kind == FOUND:
        if not state.founder:
            state.founder, state.recovery_key = author, body[2]
    elif kind == ROLE:
        _set_role(state, body[1], body[2], statement.hash, rank, moves, saw)
    elif kind == VAULT:
        _apply_vault(state, statement, person, rank, saw)
    elif kind in (UNLOCK, PAPER, FORGET):
        _apply_of_person(state, statement)
    else:
        _apply_of_family(state, statement, person or b"")


def _apply_of_person(state: State, statement: Statement) -> None:
    body = statement.body
    if body[0] == UNLOCK:
        wrap, older = (part if type(part) is bytes else None for part in body[2:])
        state.unlocks.setdefault(body[1], []).append(Unlock(statement.hash, wrap, older))
    elif body[0] == PAPER:
        state.papers[body[1]] = Paper(body[2], body[3], body[4])
    else:
        for name in body[1]:
            state.forgotten.setdefault(name, body[2])


def _apply_of_family(state: State, statement: Statement, person: bytes) -> None:
    body, author = statement.body, statement.author
    kind = body[0]
    if kind in (PROPOSE, PURGE, DISCOVERY):
        weight = purge_size(read_purge(body[2])) if kind == PURGE else 1
        state.stated[kind, person] = state.stated.get((kind, person), 0) + weight
    if kind == PROPOSE:
        state.proposals[statement.hash] = Proposal(author, person, body[2], body[3])
    elif kind == PURGE:
        state.purges.append(Purge(statement.hash, author, body[1], read_purge(body[2])))
    elif kind == DISCOVERY:
        state.discovery.append((statement.hash, dict(map(tuple, body[1]))))
    elif kind == TAKE_IN:
        state.taken_in.setdefault(body[1], set()).add(body[2])


def _apply_admission(state: State, statement: Statement, person: bytes | None, rank: Rank, saw: Saw) -> None:
    body, author, made = statement.body, statement.author, statement.hash[:16]
    kind = body[0]
    if kind == PERSON:
        _add_person(state, statement, body[1], person or b"", rank, saw)
    elif kind == SELF:
        _add_person(state, statement, WRITER, b"", rank, saw)
        state.keyholders.setdefault(author, Keyholder(made, body[2], body[3]))
    elif kind == DEVICE:
        _add_device(state, body[1], Device(body[2], body[3], body[4], body[5], body[6]))
    elif kind == KEYHOLDER:
        state.keyholders.setdefault(body[3], Keyholder(body[1], body[2], body[4]))
    elif kind == RECOVER:
        _add_person(state, statement, ADMIN, b"", rank, saw)
        _add_device(state, body[2], Device(body[3], body[4], FULL, made, body[5]))
        state.keyholders.setdefault(body[7], Keyholder(made, body[2], body[8]))
        state.recovery_key = body[10]
    else:
        state.permits.add(body[1])


def _add_device(state: State, device: bytes, found: Device) -> None:
    state.devices.setdefault(device, found)
    state.devices_given[found.owner] = state.devices_given.get(found.owner, 0) + 1


def _add_person(state: State, statement: Statement, role: int, admitted_by: bytes, rank: Rank, saw: Saw) -> None:
    made = statement.hash[:16]
    state.people.setdefault(made, Person(role, admitted_by, rank))
    state.levels.setdefault((b"", made), Level()).raise_to(statement.hash, READER - role, rank, saw)


def _set_role(state: State, person: bytes, role: int, name: bytes, rank: Rank, moves: int, saw: Saw) -> None:
    if person not in state.people:  # their admission was undone
        return
    level = state.levels[b"", person]
    if moves > 0:
        level.raise_to(name, READER - role, rank, saw)
    else:
        level.lower_to(name, READER - role, saw)
    found = READER - level.value
    since = level.since if found == ADMIN else level.first
    state.people[person] = replace(state.people[person], role=found, rank=since)


def _apply_vault(state: State, statement: Statement, creator: bytes | None, rank: Rank, saw: Saw) -> None:
    vault, kind = statement.hash[:16], statement.body[1]
    if kind == DIRECTORY:
        if state.directory:
            return
        state.directory = vault
    state.vaults.setdefault(vault, Vault(kind))
    if kind != DIRECTORY and creator is not None:
        _set_right(state, vault, creator, OWNS, statement.hash, rank, 1, saw)


def _set_right(
    state: State, vault: bytes, person: bytes, right: int, name: bytes, rank: Rank, moves: int, saw: Saw
) -> None:
    level = state.levels.get((vault, person))
    if level is None:
        level = state.levels[vault, person] = Level()
    if moves > 0:
        level.raise_to(name, right, rank, saw)
    else:
        level.lower_to(name, right, saw)
    held, now = state.vaults[vault], level.value
    held.rights[person] = now
    if now == OWNS:
        held.owners[person] = level.since
    else:
        held.owners.pop(person, None)


def _apply_to_vault(state: State, statement: Statement, rank: Rank, moves: int, saw: Saw) -> None:
    body = statement.body
    vault = state.vaults.get(body[1])
    if vault is None:  # a second directory, made apart: it never came to be
        return
    if body[0] == EPOCH:
        vault.epochs.setdefault(statement.hash, _epoch(statement))
    elif body[0] == SUITE:
        if body[2] > vault.suite_version:
            vault.suite_version, vault.readable_suites, vault.suite = body[2], tuple(body[3]), body[4]
    elif body[0] == REVOKE:
        author = state.person_of(statement.author) or b""
        state.stated[REVOKE, author] = state.stated.get((REVOKE, author), 0) + 1
        _set_right(state, body[1], body[2], body[3], statement.hash, rank, -1, saw)
    elif body[2] in vault.epochs:
        if moves:
            _set_right(state, body[1], body[3], body[4], statement.hash, rank, 1, saw)
        _hand_on(state, vault.epochs[body[2]], statement)


def _epoch(statement: Statement, *, closed: bool = False) -> Epoch:
    _, _, parents, commitment, boxes, wrapped = statement.body
    return Epoch(commitment, tuple(parents), dict(map(tuple, boxes)), dict(map(tuple, wrapped)), closed=closed)


def _hand_on(state: State, epoch: Epoch, grant: Statement) -> None:
    """Boxes of a grant. One that is there stays, unless who gave it had less to do with it: the person themselves
    comes first, then the vault's owner or an admin, then any other reader; so none of these can lock one out."""
    _, vault, _, reader, _, boxes = grant.body
    if not boxes:
        return
    person = state.person_of(grant.author)
    weight = 2 if person == reader else int(_is_trusted(state, vault, person))
    for key, sealed in boxes:
        if key not in epoch.sealed or weight > epoch.given.get(key, 3):
            epoch.sealed[key] = sealed
            epoch.given[key] = weight


def _is_trusted(state: State, vault: bytes, person: bytes | None) -> bool:
    return state.role(person) == ADMIN if vault == state.directory else state.owns(vault, person)


# What removals and revocations do, after all that was said


def remove(state: State, removal: bytes, what: int, target: bytes) -> None:
    """Take a device or person out, with all that was theirs to use."""
    gone = {target, *devices_gone(state, what, target)}
    if what == A_PERSON:
        state.people.pop(target, None)
        state.papers.pop(target, None)
    for one in gone:
        state.removed.add(one)
        state.removed_by.setdefault(one, set()).add(removal)
        state.devices.pop(one, None)
        state.permits.discard(one)


def is_gone(state: State, holder: Keyholder) -> bool:
    return holder.device in state.removed or holder.person in state.removed


def cut(state: State, key: bytes, heads: Cuts, vaults: frozenset[bytes] | None, lifted_by: frozenset[bytes]) -> None:
    state.cuts.setdefault(key, []).append(Cut(heads, vaults, lifted_by))


def cut_whole(state: State, statement: Statement) -> None:
    """Nothing counts that was written by a keyholder whose admission was undone: or who is removed would go on writing
    with a key that they let in unseen."""
    body = statement.body
    if body[0] in (KEYHOLDER, SELF, RECOVER):
        key = statement.author if body[0] == SELF else body[3] if body[0] == KEYHOLDER else body[7]
        if key not in state.keyholders and key not in state.former:
            state.cuts.setdefault(key, [Cut({})])


def keep_readable(state: State, statement: Statement) -> None:
    """What was written under an epoch that was undone can still be read by who was given its key."""
    body = statement.body
    if body[0] not in (EPOCH, GRANT) or body[1] not in state.vaults:
        return
    epochs = state.vaults[body[1]].epochs
    if body[0] == EPOCH:
        epochs.setdefault(statement.hash, _epoch(statement, closed=True))
    elif body[2] in epochs:
        for key, sealed in body[5]:
            if key in state.keyholders:
                epochs[body[2]].sealed.setdefault(key, sealed)

"""Who may state what: a statement is judged in the state of its own past, so the answer is the same everywhere.

Mirrors docs/spec/membership.md; each reason why a statement has no effect stands there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from replication.entry import log_id
from replication.state import Proposal, Rank, State, can_act, devices_gone
from replication.statements import (
    A_DEVICE,
    A_PERSON,
    ADMIN,
    APPROVE,
    BLIND,
    DEVICE,
    DIRECTORY,
    DISCOVERY,
    EPOCH,
    FORGET,
    FOUND,
    FULL,
    GRANT,
    KEYHOLDER,
    MAX_BOXES,
    MAX_CHANGES,
    MAX_DEVICES,
    MAX_EPOCHS,
    MAX_PURGED,
    MAX_RECIPIENTS,
    MAX_VAULTS,
    OWNS,
    PAPER,
    PERMIT,
    PERSON,
    PRIVATE,
    PROPOSE,
    PURGE,
    READER,
    READS,
    RECOVER,
    REMOVE,
    REVOKE,
    ROLE,
    SELF,
    SHARED,
    SUITE,
    TAKE_IN,
    UNLOCK,
    VAULT,
    WRITER,
    WRITES,
    Saw,
    Statement,
    check_shape,
    device_proof,
    family_id,
    fits,
    keyholder_proof,
    need,
    purge_size,
    read_cuts,
    read_forgotten,
    read_named,
    read_pairs,
    read_purge,
    self_admission,
    signed,
)

_BY_PAPER = (DEVICE, KEYHOLDER, UNLOCK, PAPER, REMOVE, FORGET)
"""What a person's paper key may state: what brings its person back, and keeps a thief out."""


def judge(statement: Statement, past: State, known: dict[bytes, Statement], saw: Saw) -> None:
    """Raises NoEffect unless the statement has authority in its own past."""
    body, author = statement.body, statement.author
    kind = body[0]
    check_shape(body)
    if kind == FOUND:
        _judge_found(statement, past)
        return
    if kind == SELF:
        _judge_self(statement, past)
        return
    if kind == RECOVER:
        _judge_recovery(statement, past)
        return
    founding = author == past.founder and not past.keyholders and not past.former
    founding = founding and statement.seq == 0 and not statement.frontier
    person, role = past.person_of(author), ADMIN
    if person is not None:
        role = past.people[person].role
    elif not founding:
        person, role = _paper_person(statement, past), WRITER
        need(person is not None, "author is no keyholder")
        need(kind in _BY_PAPER, "a paper key may not state that")
    if kind in (PERSON, DEVICE, KEYHOLDER, PERMIT):
        _judge_admission(statement, past, known, person, role, founding=founding)
    elif kind in (REMOVE, ROLE, PROPOSE, APPROVE):
        _judge_about_people(statement, past, person or b"", role)
    elif kind in (VAULT, EPOCH, GRANT, SUITE, REVOKE, PURGE):
        _judge_of_vault(statement, past, person, role)
    elif kind == TAKE_IN:
        need(role == ADMIN, "not an admin")
    elif kind == DISCOVERY:
        _judge_discovery(body, past, person or b"", role)
    elif kind == FORGET:
        _judge_forgetting(body, past, person or b"", saw)
    else:
        need(body[1] == person, "another person's")
        need(kind != PAPER or _is_free(past, body[2], person), "key in use")


def _paper_person(statement: Statement, past: State) -> bytes | None:
    """Whom a paper key states something for: the person that the statement is about, if the key is theirs. So it does
    no harm that anybody may call any key theirs."""
    body = statement.body
    about: dict[int, Any] = {DEVICE: 5, KEYHOLDER: 1, UNLOCK: 1, PAPER: 1}
    if body[0] in about:
        person = body[about[body[0]]]
    elif body[0] == REMOVE:
        person = past.devices[body[2]].owner if body[2] in past.devices else b""
    elif body[0] == FORGET:
        person = next((p for p, wraps in past.unlocks.items() if any(one.hash == body[2] for one in wraps)), b"")
    else:
        person = next((p for p, paper in past.papers.items() if paper.sign_key == statement.author), b"")
    paper = past.papers.get(person) if type(person) is bytes else None
    return person if paper and paper.sign_key == statement.author else None


def _is_free(past: State, key: bytes, person: bytes | None) -> bool:
    """Whether nothing else goes by this key yet."""
    theirs = any(paper.sign_key == key for other, paper in past.papers.items() if other != person)
    return not theirs and past.keyholder(key) is None and key != past.recovery_key


def _judge_found(statement: Statement, past: State) -> None:
    body, first = statement.body, statement.seq == 0 and statement.index == 0
    need(first and not statement.frontier and not past.founder, "founds only at the start")
    need(family_id(statement.author, *body[1:]) == past.family, "another family")
    # In one log alone: or whoever has the founder's key could found the family once more, and be its senior.
    need(statement.log == log_id(past.family, statement.author, body[3][:16]), "another log")


def _judge_self(statement: Statement, past: State) -> None:
    _, _, device, box_key, signature = statement.body
    need(statement.seq == 0 and statement.index == 0, "only as the first of a log")
    need(device in past.permits, "not permitted")
    need(set(past.devices) == {device} and not past.removed, "not a one-device family")
    need(statement.author not in past.keyholders, "admitted already")
    message = self_admission(past.family, statement.author, box_key)
    need(signed(device, message, signature), "not signed by the device")


# Admissions


def _judge_admission(
    statement: Statement, past: State, known: dict[bytes, Statement], person: bytes | None, role: int, *, founding: bool
) -> None:
    body = statement.body
    if body[0] == DEVICE:
        _judge_device(body, past, person, role, founding=founding)
    elif body[0] == KEYHOLDER:
        _judge_keyholder(statement, past, person, known)
    else:
        need(role == ADMIN, "not an admin")
        if body[0] == PERMIT:
            need(body[1] in past.devices, "unknown device")
        else:
            need(body[1] in (ADMIN, WRITER, READER), "unknown role")
            need(not founding or not past.people, "founder admitted already")
            # The same in every branch of a forked founding: one founder, however often it is told.
            need(not founding or (statement.index, *body[1:]) == (1, ADMIN, statement.author[:16]), "not the founder")


def _judge_device(body: list[Any], past: State, person: bytes | None, role: int, *, founding: bool) -> None:
    _, device, box_key, leaf, device_role, owner, _, proof = body
    need(device_role in (FULL, BLIND), "unknown role")
    need((owner == b"") == (device_role == BLIND), "a blind peer has no owner")
    need(owner == b"" or owner in past.people, "unknown owner")
    need(past.devices_given.get(owner, 0) < MAX_DEVICES, "too many devices")
    need(founding or role == ADMIN or (owner == person and device_role == FULL), "not an admin")
    _check_device(past, device, box_key, leaf, owner, proof)


def _check_device(past: State, device: bytes, box_key: bytes, leaf: bytes, owner: bytes, proof: bytes) -> None:
    need(device not in past.devices, "admitted already")
    need(device not in past.removed, "a removed key is never admitted again")
    need(signed(device, device_proof(past.family, device, box_key, leaf, owner), proof), "no proof of the key")


def _judge_keyholder(statement: Statement, past: State, person: bytes | None, known: dict[bytes, Statement]) -> None:
    _, owner, device, key, box_key, proof = statement.body
    need(owner in past.people, "unknown person")
    need(device in past.devices and past.devices[device].role == FULL, "no device that may read")
    _check_keyholder(past, owner, device, key, box_key, proof)
    if owner == person:
        return
    # A new person's first keyholder is part of their admission: same author, same entry, and no
    # keyholder of theirs before. Otherwise an admin could read private vaults by adding one. And it is the key that
    # the admission names: or the same admission on two branches of the admin's log could bring one each.
    admission = next(made for digest, made in known.items() if digest[:16] == owner)
    same_entry = (admission.author, admission.log, admission.seq) == (
        statement.author,
        statement.log,
        statement.seq,
    )
    named = admission.body[0] == PERSON and admission.body[2] == key[:16]
    need(same_entry and named and not past.keyholders_of(owner), "only the person adds their keyholders")


def _check_keyholder(past: State, person: bytes, device: bytes, key: bytes, box_key: bytes, proof: bytes) -> None:
    need(key not in past.keyholders, "added already")
    need(key not in past.former, "a removed key is never admitted again")
    need(all(paper.sign_key != key for paper in past.papers.values()) and key != past.recovery_key, "key in use")
    message = keyholder_proof(past.family, person, device, key, box_key)
    need(signed(key, message, proof), "no proof of the key")


def _judge_recovery(statement: Statement, past: State) -> None:
    """All or nothing: who is named goes, one admin comes, and the next recovery key is in force."""
    _, named, device, box_key, leaf, _, proof, key, key_box, key_proof, following = statement.body
    need(statement.author == past.recovery_key and bool(past.keyholders), "not the recovery key in force")
    need(len({statement.author, device, key, following}) == 4 and _is_free(past, following, None), "key in use")
    for what, target, _ in read_named(named):
        _find_target(past, what, target)
    _check_device(past, device, box_key, leaf, key[:16], proof)
    _check_keyholder(past, key[:16], device, key, key_box, key_proof)


# Removals and roles


def _judge_about_people(statement: Statement, past: State, person: bytes, role: int) -> None:
    body = statement.body
    if body[0] == REMOVE:
        _judge_removal(body, past, person, role)
    elif body[0] == ROLE:
        _judge_role(body, past, person, role)
    elif body[0] == PROPOSE:
        need(role == ADMIN, "not an admin")
        need(_find_target(past, body[2], body[3]) != person, "not oneself")
        need(past.stated.get((PROPOSE, person), 0) < MAX_CHANGES, "too many proposals")
    else:
        _judge_approval(body, past, person, role)


def _judge_removal(body: list[Any], past: State, person: bytes, role: int) -> None:
    """An admin removes those admitted after them, anyone removes their own devices and themselves."""
    _, what, target, cuts = body
    read_cuts(cuts)
    owner = _find_target(past, what, target)
    if owner != person:
        need(role == ADMIN, "not an admin")
        # A device may outlive its owner, whose admission a removal undid.
        junior = owner not in past.people or _rank(past, owner) > _rank(past, person)
        need(junior, "a senior falls to two admins together, or to the recovery key")
    need(can_act(_without(past, what, target)), "no admin would be left who can act")


def _judge_approval(body: list[Any], past: State, person: bytes, role: int) -> None:
    """Two admins together, neither of whom it is about, remove anyone."""
    read_cuts(body[2])
    proposal = past.proposals.get(body[1])
    need(role == ADMIN, "not an admin")
    need(proposal is not None, "unknown proposal")
    assert proposal is not None
    need(_may_still_propose(past, proposal), "who proposed it is no admin any more")
    need(person != proposal.person, "two admins are two people")
    owner = _find_target(past, proposal.what, proposal.target)
    need(owner not in (person, proposal.person), "not oneself")
    need(can_act(_without(past, proposal.what, proposal.target)), "no admin would be left who can act")


def _may_still_propose(past: State, proposal: Proposal) -> bool:
    return past.person_of(proposal.author) == proposal.person and past.role(proposal.person) == ADMIN


def _judge_role(body: list[Any], past: State, person: bytes, role: int) -> None:
    """An admin raises anyone and lowers their juniors; anyone lowers themselves."""
    _, target, wanted, cuts = body
    read_cuts(cuts)
    need(target in past.people, "unknown person")
    need(wanted in (ADMIN, WRITER, READER), "unknown role")
    held = past.people[target].role
    need(wanted != held, "that is their role")
    need(past.levels[b"", target].changes < MAX_CHANGES, "changed too often")
    if wanted < held or target != person:
        need(role == ADMIN, "not an admin")
    if wanted > held:
        junior = target == person or _rank(past, target) > _rank(past, person)
        need(junior, "a senior falls to two admins together, or to the recovery key")
        people = {**past.people, target: replace(past.people[target], role=wanted)}
        left = State(people=people, keyholders=past.keyholders)
        need(can_act(left), "no admin would be left who can act")


def _find_target(past: State, what: int, target: bytes) -> bytes:
    """Whose it is: the person themselves, a device's owner, or nobody's (a blind peer)."""
    if what == A_DEVICE:
        need(target in past.devices, "unknown device")
        return past.devices[target].owner
    need(what == A_PERSON and target in past.people, "unknown person")
    return target


def _rank(past: State, person: bytes) -> Rank:
    """A person's seniority; the founder has it before they have a person."""
    return past.people[person].rank if person in past.people else (0, b"")


def _without(past: State, what: int, target: bytes) -> State:
    """Who would be left."""
    left = State(people={p: v for p, v in past.people.items() if what == A_DEVICE or p != target})
    gone = devices_gone(past, what, target)
    left.keyholders = {
        key: holder for key, holder in past.keyholders.items() if holder.person != target and holder.device not in gone
    }
    return left


def _judge_discovery(body: list[Any], past: State, person: bytes, role: int) -> None:
    need(role == ADMIN, "not an admin")
    need(set(read_pairs(body[1], MAX_BOXES, (48, 128))) == set(past.devices), "recipients are not the devices")
    need(past.stated.get((DISCOVERY, person), 0) < MAX_CHANGES, "too many discovery keys")


def _judge_forgetting(body: list[Any], past: State, person: bytes, saw: Saw) -> None:
    """The newest wrap is never forgotten, nor one that was made apart from what is in its place: each device opens
    its keys under one or the other, and what is in its place must lead back to it."""
    _, named, floor = body
    own = {unlock.hash for unlock in past.unlocks.get(person, ())}
    need(floor in own, "unknown floor")
    for name in read_forgotten(named):
        need(name in own, "another person's")
        need(name != floor and saw(floor, name), "the floor is not newer")
        need(name not in past.forgotten, "forgotten already")


# Vaults


def _judge_of_vault(statement: Statement, past: State, person: bytes | None, role: int) -> None:
    body, author = statement.body, statement.author
    kind = body[0]
    if kind == VAULT:
        need(role != READER or body[1] == PRIVATE, "readers make no vaults")
        need(sum(person in v.rights for v in past.vaults.values()) < MAX_VAULTS, "too many vaults")
        need(body[1] in (SHARED, PRIVATE) or (body[1] == DIRECTORY and not past.directory), "kind")
        need(body[1] != DIRECTORY or author == past.founder, "the founder makes the directory")
    elif kind == EPOCH:
        _judge_epoch(body, past, person)
    elif kind == GRANT:
        _judge_grant(body, past, person)
    elif kind == REVOKE:
        _judge_revocation(body, past, person or b"")
    elif kind == PURGE:
        named = purge_size(read_purge(body[2]))
        need(body[1] in past.vaults, "unknown vault")
        need(role == ADMIN or past.owns(body[1], person), "not the owner")
        need(past.stated.get((PURGE, person or b""), 0) + named <= MAX_PURGED, "too many purges")
    else:
        need(_may_set_suite(past, body[1], person, role), "not the owner")
        need(body[2] > past.vaults[body[1]].suite_version, "suite version does not go up")
        need(all(type(suite) is int for suite in body[3]), "shape")  # true equals 1
        need(body[3] in ([1], [2], [1, 2]) and body[4] in body[3], "unknown suite")


def _judge_epoch(body: list[Any], past: State, person: bytes | None) -> None:
    _, vault, parents, _, recipients, wrapped = body
    need(past.right(vault, person) >= WRITES, "no right to write")
    known = past.vaults[vault].epochs
    need(all(fits(parent, 32) and parent in known for parent in parents), "unknown epoch")
    need(parents == sorted(set(parents)) and len(parents) <= MAX_EPOCHS, "shape")
    need(bool(parents) == bool(known), "names no epoch before")
    need(set(read_pairs(recipients, MAX_RECIPIENTS)) == past.recipients(vault), "recipients are not the readers")
    need(set(read_pairs(wrapped, MAX_EPOCHS)) <= set(known), "unknown epoch")


def _judge_grant(body: list[Any], past: State, person: bytes | None) -> None:
    _, vault, epoch, reader, right, sealed = body
    need(vault in past.vaults and epoch in past.vaults[vault].epochs, "unknown vault or epoch")
    need(reader in past.people and right in (READS, WRITES, OWNS), "unknown person or right")
    theirs = past.vaults[vault].rights.get(reader, 0)
    unchanged = right == theirs or (vault == past.directory and right == WRITES)
    # Handing a key on to who may read already is everybody's duty; changing a right is the owner's.
    need(past.owns(vault, person) or (past.right(vault, person) >= READS and unchanged), "not the owner")
    need(unchanged or right > theirs, "a right is taken away by a revocation")
    level = past.levels.get((vault, reader))
    need(unchanged or level is None or level.changes < MAX_CHANGES, "changed too often")
    allowed = set(past.keyholders_of(reader))
    if reader in past.papers:
        allowed.add(past.papers[reader].sign_key)
    need(set(read_pairs(sealed, MAX_RECIPIENTS)) <= allowed, "not that person's keys")


def _judge_revocation(body: list[Any], past: State, person: bytes) -> None:
    """An owner takes a right from who is no owner, or became one after them; anyone gives their own back."""
    _, vault, target, right, cuts = body
    read_cuts(cuts)
    need(vault in past.vaults and target in past.people, "unknown vault or person")
    held = past.vaults[vault]
    need(right < held.rights.get(target, 0), "that takes nothing away")
    need(past.stated.get((REVOKE, person), 0) < MAX_CHANGES, "too many revocations")
    if target != person:
        need(past.owns(vault, person), "not the owner")
        junior = target not in held.owners or held.owners[target] > held.owners.get(person, (0, b""))
        need(junior, "an owner falls to one who was it before")


def _may_set_suite(past: State, vault: bytes, person: bytes | None, role: int) -> bool:
    if vault not in past.vaults:
        return False
    return role == ADMIN if vault == past.directory else past.owns(vault, person)

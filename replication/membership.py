"""Who belongs to the family, who may do what: a pure function of the set of statements.

The problem. Two brothers are both admins, and both are on a train without a network. Each does what an
admin may do; then their laptops meet. There is no server that says who came first, clocks lie, and a
third laptop hears of the two in either order. All three must end with the same family.

What we do. A statement is judged in the state of *its own past*: the statements that its author had
heard of, which are named by hashes in its entry's header. So the answer is the same on every device
and in every order of arrival. A statement without authority is kept, has no effect and says why. What
an effective statement adds is folded in one fixed order (depth in the graph of "made after", then hash).

Nothing here reads a clock, a disk or the network, and nothing raises on a statement: `add` always takes it.
Mirrors docs/spec/membership.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import VerifyKey

from replication.encoding import encode
from replication.entry import tagged_hash

LABEL_FAMILY: Final = b"kinring/1/family"
LABEL_DEVICE_PROOF: Final = b"kinring/1/device-proof"
LABEL_KEYHOLDER_PROOF: Final = b"kinring/1/keyholder-proof"
LABEL_SELF_ADMISSION: Final = b"kinring/1/self-admission"

FOUND, PERSON, DEVICE, KEYHOLDER, PERMIT, SELF, VAULT, EPOCH, GRANT, SUITE, UNLOCK, PAPER = range(1, 13)

ADMIN, WRITER, READER = range(3)
"""Roles of a person."""
FULL, BLIND = range(2)
"""Roles of a device."""
DIRECTORY, SHARED, PRIVATE = range(3)
"""Kinds of a vault."""
READS, WRITES, OWNS = 1, 2, 3
"""Rights of a person in a vault; each includes those before it."""

MAX_LEAF: Final = 1024
MAX_RECIPIENTS: Final = 256
MAX_EPOCHS: Final = 256
MAX_BLOB: Final = 2048


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with the place that its hash commits to. `frontier` is what it was made after."""

    hash: bytes
    author: bytes
    log: bytes
    seq: int
    index: int
    frontier: tuple[bytes, ...]
    body: list[Any]


@dataclass(frozen=True, slots=True)
class Device:
    box_key: bytes
    leaf: bytes
    role: int
    owner: bytes
    """Person id, or empty for a blind peer."""
    sealed_discovery_key: bytes


@dataclass(frozen=True, slots=True)
class Keyholder:
    person: bytes
    device: bytes
    box_key: bytes


@dataclass(frozen=True, slots=True)
class Person:
    role: int
    admitted_by: bytes
    """Person id of who admitted them: empty for the founder and for who was let in by a permit."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A person's paper keys: the first gets every grant, the second admits a new keyholder."""

    sign_key: bytes
    box_key: bytes
    sealed_code: bytes


@dataclass(frozen=True, slots=True)
class Epoch:
    commitment: bytes
    parents: tuple[bytes, ...]
    sealed: dict[bytes, bytes]
    """Keyholder or paper key id to the sealed box, those of later grants included."""
    wrapped: dict[bytes, bytes]
    """Earlier epochs' keys under this one's."""


@dataclass(slots=True)
class Vault:
    kind: int
    rights: dict[bytes, int] = field(default_factory=dict)
    epochs: dict[bytes, Epoch] = field(default_factory=dict)
    suite_version: int = 0
    readable_suites: tuple[int, ...] = ()
    suite: int = 0

    def newest_epoch(self) -> bytes | None:
        """The epoch to write under: the only one that no other names as its parent."""
        named = {parent for epoch in self.epochs.values() for parent in epoch.parents}
        heads = sorted(epoch for epoch in self.epochs if epoch not in named)
        return heads[-1] if heads else None


@dataclass(slots=True)
class State:
    """The family as a set of statements leaves it."""

    family: bytes = b""
    founder: bytes = b""
    recovery_key: bytes = b""
    directory: bytes = b""
    people: dict[bytes, Person] = field(default_factory=dict)
    papers: dict[bytes, Paper] = field(default_factory=dict)
    devices: dict[bytes, Device] = field(default_factory=dict)
    keyholders: dict[bytes, Keyholder] = field(default_factory=dict)
    permits: set[bytes] = field(default_factory=set)
    vaults: dict[bytes, Vault] = field(default_factory=dict)
    unlocks: dict[bytes, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    """Person to (wrap, older unlock key wrapped under the new one or empty), oldest first."""

    def person_of(self, keyholder: bytes) -> bytes | None:
        found = self.keyholders.get(keyholder)
        return found.person if found else None

    def right(self, vault: bytes, person: bytes | None) -> int:
        """What `person` may do in `vault`; 0 is nothing. All people write the directory: it holds names."""
        if person is None or person not in self.people or vault not in self.vaults:
            return 0
        if vault == self.directory:
            return WRITES
        right = self.vaults[vault].rights.get(person, 0)
        return min(right, READS) if self.people[person].role == READER else right

    def recipients(self, vault: bytes) -> set[bytes]:
        """Who must get the key of a new epoch: keyholders and paper keys of all who may read."""
        readers = {person for person in self.people if self.right(vault, person) >= READS}
        keys = {key for key, holder in self.keyholders.items() if holder.person in readers}
        return keys | {self.papers[person].sign_key for person in readers if person in self.papers}

    def box_key(self, recipient: bytes) -> bytes | None:
        """The X25519 key that belongs to a recipient's id."""
        if recipient in self.keyholders:
            return self.keyholders[recipient].box_key
        return next((p.box_key for p in self.papers.values() if p.sign_key == recipient), None)

    def keyholders_of(self, person: bytes) -> list[bytes]:
        return sorted(key for key, holder in self.keyholders.items() if holder.person == person)


def family_id(author: bytes, box_key: bytes, recovery_key: bytes, nonce: bytes) -> bytes:
    """32 bytes: the founder's public keys, the recovery public key and 32 random bytes, hashed."""
    return tagged_hash(LABEL_FAMILY, encode([author, box_key, recovery_key, nonce]))


def device_proof(family: bytes, device: bytes, box_key: bytes, leaf: bytes) -> bytes:
    """What a device signs to be admitted: nobody admits a key they do not hold."""
    return tagged_hash(LABEL_DEVICE_PROOF, encode([family, device, box_key, leaf]))


def keyholder_proof(family: bytes, person: bytes, device: bytes, keyholder: bytes, box_key: bytes) -> bytes:
    """What a new keyholder signs to be added."""
    return tagged_hash(LABEL_KEYHOLDER_PROOF, encode([family, person, device, keyholder, box_key]))


def self_admission(family: bytes, author: bytes, box_key: bytes) -> bytes:
    """What the device signs when a newcomer admits themselves on it."""
    return tagged_hash(LABEL_SELF_ADMISSION, encode([family, author, box_key]))


def _signed(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, CryptoError, ValueError):
        return False
    return True


class _NoEffect(Exception):
    """Why a statement has none; caught where statements are judged."""


def _need(condition: bool, reason: str) -> None:
    if not condition:
        raise _NoEffect(reason)


_SHAPES: Final[dict[int, tuple[Any, ...]]] = {
    # Each field: a number of bytes, (least, most) bytes, int, or list.
    FOUND: (32, 32, 32),
    PERSON: (int, 16),
    DEVICE: (32, 32, (64, MAX_LEAF), int, (0, 16), (48, 128), 64),
    KEYHOLDER: (16, 32, 32, 32, 64),
    PERMIT: (32,),
    SELF: (16, 32, 32, 64),
    VAULT: (int, 16),
    EPOCH: (16, list, 32, list, list),
    GRANT: (16, 32, 16, int, list),
    SUITE: (16, int, list, int),
    UNLOCK: (16, (32, MAX_BLOB), (0, MAX_BLOB)),
    PAPER: (16, 32, 32, (16, MAX_BLOB)),
}


def _fits(value: Any, shape: Any) -> bool:
    if shape is int:
        return type(value) is int and 0 <= value < 1 << 32
    if shape is list:
        return type(value) is list
    least, most = shape if type(shape) is tuple else (shape, shape)
    return type(value) is bytes and least <= len(value) <= most


def _pairs(value: list[Any], most: int) -> dict[bytes, bytes]:
    """[[32-byte id, blob] ...] in order of the ids."""
    _need(len(value) <= most, "too many recipients")
    for pair in value:
        _need(type(pair) is list and len(pair) == 2, "shape")
        _need(_fits(pair[0], 32) and _fits(pair[1], (16, MAX_BLOB)), "shape")
    ids = [pair[0] for pair in value]
    _need(ids == sorted(set(ids)), "recipients out of order")
    return {pair[0]: pair[1] for pair in value}


class Membership:
    """The statements known, each judged in its own past; states are remembered by what they hold."""

    def __init__(self, family: bytes) -> None:
        self.family = family
        self.statements: dict[bytes, Statement] = {}
        self.reasons: dict[bytes, str] = {}
        """Statements without effect, and why."""
        self._bit: dict[bytes, int] = {}
        self._order: list[bytes] = []
        self._depth: dict[bytes, int] = {}
        self._past: dict[bytes, int] = {}
        self._effective = 0
        self._heads: set[bytes] = set()
        self._states: dict[int, State] = {0: State(family=family)}

    def __contains__(self, statement: bytes) -> bool:
        return statement in self.statements

    def heads(self) -> tuple[bytes, ...]:
        """The newest statements: the membership frontier of whoever knows just these."""
        return tuple(sorted(self._heads))

    def mask(self, frontier: Iterable[bytes]) -> int:
        """The set of statements at and before `frontier`, a bit for each. All must be known."""
        result = 0
        for head in frontier:
            result |= self._past[head]
        return result

    def includes(self, frontier: Iterable[bytes], earlier: Iterable[bytes]) -> bool:
        """Whether who had heard of `frontier` had heard of all of `earlier`."""
        before = self.mask(earlier)
        return self.mask(frontier) & before == before

    def state(self) -> State:
        return self.state_at(self.heads())

    def state_at(self, frontier: Iterable[bytes]) -> State:
        """The family as who had heard of `frontier` sees it. Not to be changed by the caller."""
        return self._state(self.mask(frontier))

    def add(self, statements: list[Statement], judged: dict[bytes, str] | None = None) -> None:
        """Take one entry's statements, in order. What their frontier names must be known already.

        `judged`: the reasons found when they were first judged, by hash: read back from the store, since
        the answer never changes.
        """
        past = self.mask(statements[0].frontier)
        heads = statements[0].frontier
        for statement in statements:
            if statement.hash in self.statements:
                past |= self._past[statement.hash]
            else:
                past = self._add(statement, past, heads, judged)
            heads = (statement.hash,)

    def _add(
        self, statement: Statement, past: int, parents: tuple[bytes, ...], judged: dict[bytes, str] | None
    ) -> int:
        bit = 1 << len(self._order)
        self._bit[statement.hash] = bit
        self._order.append(statement.hash)
        self.statements[statement.hash] = statement
        self._depth[statement.hash] = 1 + max((self._depth[parent] for parent in parents), default=0)
        self._heads -= set(parents)
        self._heads.add(statement.hash)
        reason = self._reason(statement, past) if judged is None else judged.get(statement.hash, "")
        if reason:
            self.reasons[statement.hash] = reason
        else:
            self._effective |= bit
        self._past[statement.hash] = past | bit
        return past | bit

    def _reason(self, statement: Statement, past: int) -> str:
        try:
            _judge(statement, self._state(past), self.statements)
        except _NoEffect as reason:
            return str(reason)
        return ""

    def _state(self, mask: int) -> State:
        mask &= self._effective
        found = self._states.get(mask)
        if found is None:
            members = [h for h in self._order if self._bit[h] & mask]
            members.sort(key=lambda h: (self._depth[h], h))
            found = State(family=self.family)
            for digest in members:
                _apply(found, self.statements[digest])
            if len(self._states) > 256:
                self._states = {0: self._states[0]}
            self._states[mask] = found
        return found


def _judge(statement: Statement, past: State, known: dict[bytes, Statement]) -> None:
    """Raises _NoEffect unless the statement has authority in its own past."""
    body, author = statement.body, statement.author
    kind = body[0]
    shape = _SHAPES.get(kind)
    _need(shape is not None, "unknown statement")
    assert shape is not None
    _need(len(body) == len(shape) + 1, "shape")
    _need(all(_fits(value, part) for value, part in zip(body[1:], shape, strict=True)), "shape")
    first = statement.seq == 0 and statement.index == 0
    if kind == FOUND:
        _need(first and not statement.frontier and not past.founder, "founds only at the start")
        _need(family_id(author, *body[1:]) == past.family, "another family")
        return
    if kind == SELF:
        _judge_self(statement, past)
        return
    founding = author == past.founder and author not in past.keyholders and statement.seq == 0
    person = past.person_of(author)
    _need(founding or person is not None, "author is no keyholder")
    role = ADMIN if founding else past.people[person or b""].role
    if kind == PERSON:
        _need(role == ADMIN, "not an admin")
        _need(body[1] in (ADMIN, WRITER, READER), "unknown role")
        _need(not founding or not past.people, "founder admitted already")
    elif kind == DEVICE:
        _judge_device(body, past, person, role, founding=founding)
    elif kind == KEYHOLDER:
        _judge_keyholder(statement, past, person, known)
    elif kind == PERMIT:
        _need(role == ADMIN, "not an admin")
        _need(body[1] in past.devices, "unknown device")
    elif kind == VAULT:
        _need(role != READER, "readers make no vaults")
        _need(body[1] in (SHARED, PRIVATE) or (body[1] == DIRECTORY and not past.directory), "kind")
        _need(body[1] != DIRECTORY or author == past.founder, "the founder makes the directory")
    elif kind == EPOCH:
        _judge_epoch(body, past, person)
    elif kind == GRANT:
        _judge_grant(body, past, person)
    elif kind == SUITE:
        _need(_may_set_suite(past, body[1], author, person), "not the owner")
        _need(body[2] > past.vaults[body[1]].suite_version, "suite version does not go up")
        _need(body[3] in ([1], [2], [1, 2]) and body[4] in body[3], "unknown suite")
    else:
        _need(body[1] == person, "another person's")
        _need(kind != PAPER or body[2] not in past.keyholders, "key in use")


def _judge_self(statement: Statement, past: State) -> None:
    _, _, device, box_key, signature = statement.body
    _need(statement.seq == 0 and statement.index == 0, "only as the first of a log")
    _need(device in past.permits, "not permitted")
    _need(set(past.devices) == {device}, "not a one-device family")
    _need(statement.author not in past.keyholders, "admitted already")
    message = self_admission(past.family, statement.author, box_key)
    _need(_signed(device, message, signature), "not signed by the device")


def _judge_device(
    body: list[Any], past: State, person: bytes | None, role: int, *, founding: bool
) -> None:
    _, device, box_key, leaf, device_role, owner, _, proof = body
    _need(device_role in (FULL, BLIND), "unknown role")
    _need(device not in past.devices, "admitted already")
    _need((owner == b"") == (device_role == BLIND), "a blind peer has no owner")
    _need(owner == b"" or owner in past.people, "unknown owner")
    _need(founding or role == ADMIN or (owner == person and device_role == FULL), "not an admin")
    _need(_signed(device, device_proof(past.family, device, box_key, leaf), proof), "no proof of the key")


def _judge_keyholder(
    statement: Statement, past: State, person: bytes | None, known: dict[bytes, Statement]
) -> None:
    _, owner, device, key, box_key, proof = statement.body
    _need(owner in past.people, "unknown person")
    _need(device in past.devices and past.devices[device].role == FULL, "no device that may read")
    _need(key not in past.keyholders, "added already")
    message = keyholder_proof(past.family, owner, device, key, box_key)
    _need(_signed(key, message, proof), "no proof of the key")
    if owner == person:
        return
    # A new person's first keyholder is part of their admission: same author, same entry, and no
    # keyholder of theirs before. Otherwise an admin could read private vaults by adding one.
    admission = known.get(next((h for h, s in known.items() if h[:16] == owner), b""))
    _need(admission is not None, "unknown person")
    assert admission is not None
    same_entry = (admission.author, admission.log, admission.seq) == (
        statement.author, statement.log, statement.seq
    )  # fmt: skip
    _need(same_entry and not past.keyholders_of(owner), "only the person adds their keyholders")


def _judge_epoch(body: list[Any], past: State, person: bytes | None) -> None:
    _, vault, parents, _, recipients, wrapped = body
    _need(past.right(vault, person) >= WRITES, "no right to write")
    known = past.vaults[vault].epochs
    _need(all(_fits(parent, 32) and parent in known for parent in parents), "unknown epoch")
    _need(parents == sorted(set(parents)) and len(parents) <= MAX_EPOCHS, "shape")
    _need(bool(parents) == bool(known), "names no epoch before")
    _need(set(_pairs(recipients, MAX_RECIPIENTS)) == past.recipients(vault), "recipients are not the readers")
    _need(set(_pairs(wrapped, MAX_EPOCHS)) <= set(known), "unknown epoch")


def _judge_grant(body: list[Any], past: State, person: bytes | None) -> None:
    _, vault, epoch, reader, right, sealed = body
    _need(vault in past.vaults and epoch in past.vaults[vault].epochs, "unknown vault or epoch")
    _need(reader in past.people and right in (READS, WRITES, OWNS), "unknown person or right")
    own, theirs = past.right(vault, person), past.right(vault, reader)
    unchanged = right == past.vaults[vault].rights.get(reader, 0) or (right == theirs == WRITES)
    # Handing a key on to who may read already is everybody's duty; changing a right is the owner's.
    _need(own >= OWNS or (own >= READS and unchanged), "not the owner")
    _need(vault != past.directory or right == WRITES, "the directory has one right")
    allowed = set(past.keyholders_of(reader))
    if reader in past.papers:
        allowed.add(past.papers[reader].sign_key)
    _need(set(_pairs(sealed, MAX_RECIPIENTS)) <= allowed, "not that person's keys")


def _may_set_suite(past: State, vault: bytes, author: bytes, person: bytes | None) -> bool:
    if vault not in past.vaults:
        return False
    if vault == past.directory:
        return author == past.founder or past.people[person or b""].role == ADMIN
    return past.right(vault, person) >= OWNS


def _apply(state: State, statement: Statement) -> None:
    """Add what an effective statement says. Where two apart say the same thing twice, the first counts."""
    body, author = statement.body, statement.author
    kind = body[0]
    person = state.person_of(author)
    if kind == FOUND:
        if not state.founder:
            state.founder, state.recovery_key = author, body[2]
    elif kind == PERSON:
        state.people.setdefault(statement.hash[:16], Person(body[1], person or b""))
    elif kind == SELF:
        owner = statement.hash[:16]
        state.people.setdefault(owner, Person(WRITER, b""))
        state.keyholders.setdefault(author, Keyholder(owner, body[2], body[3]))
    elif kind == DEVICE:
        state.devices.setdefault(body[1], Device(body[2], body[3], body[4], body[5], body[6]))
    elif kind == KEYHOLDER:
        state.keyholders.setdefault(body[3], Keyholder(body[1], body[2], body[4]))
    elif kind == PERMIT:
        state.permits.add(body[1])
    elif kind == VAULT:
        _apply_vault(state, statement.hash[:16], body[1], person)
    elif kind in (EPOCH, GRANT, SUITE):
        _apply_to_vault(state, statement)
    elif kind == UNLOCK:
        state.unlocks.setdefault(body[1], []).append((body[2], body[3]))
    elif kind == PAPER:
        state.papers[body[1]] = Paper(body[2], body[3], body[4])


def _apply_vault(state: State, vault: bytes, kind: int, creator: bytes | None) -> None:
    if kind == DIRECTORY:
        if state.directory:
            return
        state.directory = vault
    made = state.vaults.setdefault(vault, Vault(kind))
    if kind != DIRECTORY and creator is not None:
        made.rights.setdefault(creator, OWNS)


def _apply_to_vault(state: State, statement: Statement) -> None:
    body = statement.body
    vault = state.vaults.get(body[1])
    if vault is None:  # a second directory, made apart: it never came to be
        return
    if body[0] == EPOCH:
        epoch = Epoch(body[3], tuple(body[2]), dict(map(tuple, body[4])), dict(map(tuple, body[5])))
        vault.epochs.setdefault(statement.hash, epoch)
    elif body[0] == SUITE:
        if body[2] > vault.suite_version:
            vault.suite_version, vault.readable_suites, vault.suite = body[2], tuple(body[3]), body[4]
    elif body[2] in vault.epochs:
        if body[1] != state.directory:
            vault.rights[body[3]] = body[4]
        for key, sealed in body[5]:
            # A key handed on never replaces one that is there: who has it keeps it.
            vault.epochs[body[2]].sealed.setdefault(key, sealed)

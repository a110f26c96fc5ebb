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

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import VerifyKey

from replication.encoding import encode
from replication.entry import MAX_FRONTIER, log_id, tagged_hash
from replication.removal import Rank, Removal, Said, standing

LABEL_FAMILY: Final = b"kinring/1/family"
LABEL_DEVICE_PROOF: Final = b"kinring/1/device-proof"
LABEL_KEYHOLDER_PROOF: Final = b"kinring/1/keyholder-proof"
LABEL_SELF_ADMISSION: Final = b"kinring/1/self-admission"

FOUND, PERSON, DEVICE, KEYHOLDER, PERMIT, SELF, VAULT, EPOCH, GRANT, SUITE, UNLOCK, PAPER = range(1, 13)
REMOVE, TAKE_IN = 13, 14

ADMIN, WRITER, READER = range(3)
"""Roles of a person."""
FULL, BLIND = range(2)
"""Roles of a device."""
DIRECTORY, SHARED, PRIVATE = range(3)
"""Kinds of a vault."""
A_DEVICE, A_PERSON = range(2)
"""What is removed."""
READS, WRITES, OWNS = 1, 2, 3
"""Rights of a person in a vault; each includes those before it."""

MAX_LEAF: Final = 1024
MAX_RECIPIENTS: Final = 256
MAX_EPOCHS: Final = 256
MAX_BLOB: Final = 2048
MAX_DEVICES: Final = 64
"""Devices that one person may ever be given, and vaults that they may make: what a member can make others weigh."""
MAX_VAULTS: Final = 256
MAX_CUTS: Final = 1024
"""Logs named by one removal, and branch heads in all."""

Cuts = dict[bytes, frozenset[bytes]]
"""Log to the branch heads under which its entries count; a log not named is cut at its start."""


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
    rank: Rank = (0, b"")
    """Seniority: the smaller the longer they have been here."""


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
    given: dict[bytes, int] = field(default_factory=dict, compare=False)
    """How much weight a box has that a later grant brought; none stands for the epoch's own."""
    closed: bool = False
    """It was undone by a removal, or opened before one: what was written under it can be read, nothing is written."""


@dataclass(slots=True)
class Vault:
    kind: int
    rights: dict[bytes, int] = field(default_factory=dict)
    epochs: dict[bytes, Epoch] = field(default_factory=dict)
    suite_version: int = 0
    readable_suites: tuple[int, ...] = ()
    suite: int = 0

    def heads(self) -> list[bytes]:
        """The epochs that no other names as its parent: more than one were opened apart."""
        named = {parent for epoch in self.epochs.values() for parent in epoch.parents}
        return sorted(epoch for epoch in self.epochs if epoch not in named)

    def newest_epoch(self) -> bytes | None:
        """One that a reader should have: of several opened apart the last by name."""
        heads = self.heads()
        return heads[-1] if heads else None


@dataclass(frozen=True, slots=True)
class Purge:
    hash: bytes
    author: bytes
    vault: bytes
    items: dict[bytes, frozenset[bytes]]


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
    removed: set[bytes] = field(default_factory=set)
    """Ids of devices and people that were removed, for good."""
    devices_given: dict[bytes, int] = field(default_factory=dict)
    """How many devices a person was ever given; the empty id stands for blind ones."""
    former: dict[bytes, Keyholder] = field(default_factory=dict)
    """Keyholders of removed devices and people: their names still stand at what they wrote."""
    cuts: dict[bytes, list[Cuts]] = field(default_factory=dict)
    """Former keyholder to the cuts of every removal that stands: an entry counts if it lies under each."""
    purges: list[Any] = field(default_factory=list)
    forgotten: dict[bytes, bytes] = field(default_factory=dict)
    removed_by: dict[bytes, set[bytes]] = field(default_factory=dict)
    taken_in: dict[bytes, set[bytes]] = field(default_factory=dict)
    """Log to heads that an admin has taken in: those entries count whatever the cuts."""

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

    def writable_epoch(self, vault: bytes) -> bytes | None:
        """The epoch to write under: the only head, if all who have its key are still readers.

        None: whoever writes next opens one that joins the heads.
        """
        heads = self.vaults[vault].heads()
        if len(heads) != 1 or not self.is_clean(vault, heads[0]):
            return None
        return heads[0]

    def is_clean(self, vault: bytes, epoch: bytes) -> bool:
        """Whether all who were given an epoch's key may still read the vault."""
        held = self.vaults[vault].epochs[epoch]
        return not held.closed and set(held.sealed) <= self.recipients(vault)

    def keyholder(self, key: bytes) -> Keyholder | None:
        """A keyholder, or what was one."""
        return self.keyholders.get(key) or self.former.get(key)

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
    REMOVE: (int, (16, 32), list),
    TAKE_IN: (16, 32),
}


KNOWN: Final = frozenset(_SHAPES)
"""The statements that this program understands."""


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
        self._removals = 0
        self._admissions: dict[bytes, list[bytes]] = {}
        """Key of a keyholder, device id or person id to the effective statements that admitted it."""

    def __contains__(self, statement: bytes) -> bool:
        return statement in self.statements

    def heads(self) -> tuple[bytes, ...]:
        """The newest statements with effect: the membership frontier of whoever knows just these."""
        return tuple(sorted(self._heads))

    def frontier_for(self, author: bytes, before: Iterable[bytes]) -> tuple[bytes, ...]:
        """What an author's next entry names: the heads; where a member made more of them than an entry holds, those
        that cover `before` (what the log's last entry named), the author's own, removals, then the first that came.
        Who names fewer has heard of less, which is always allowed; the author's next statement joins them.
        """
        heads = sorted(self._heads, key=lambda head: self._bit[head])
        chosen: list[bytes] = []
        for named in before:
            if not self.mask(chosen) & self._bit[named]:
                chosen.append(next((head for head in heads if self._past[head] & self._bit[named]), named))
        rest = [head for head in heads if head not in chosen]
        rest.sort(key=lambda h: (self.statements[h].author != author, not self._past[h] & self._removals))
        return tuple(sorted((chosen + rest)[:MAX_FRONTIER]))

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

    def replace_body(self, statements: Sequence[Statement]) -> None:
        """The same statements, less a value that was purged: what they say stays."""
        for statement in statements:
            self.statements[statement.hash] = statement
        self._states = {0: self._states[0]}

    def _add(self, statement: Statement, past: int, parents: tuple[bytes, ...], judged: dict[bytes, str] | None) -> int:
        bit = 1 << len(self._order)
        self._bit[statement.hash] = bit
        self._order.append(statement.hash)
        self.statements[statement.hash] = statement
        self._depth[statement.hash] = 1 + max((self._depth[parent] for parent in parents), default=0)
        reason = self._reason(statement, past) if judged is None else judged.get(statement.hash, "")
        if reason:
            self.reasons[statement.hash] = reason
        else:
            self._effective |= bit
            # What has no effect is no head: or any key at all could fill the frontiers of the whole family.
            self._heads = {head for head in self._heads if not past & self._bit[head]} | {statement.hash}
            self._note(statement, bit)
        self._past[statement.hash] = past | bit
        return past | bit

    def _reason(self, statement: Statement, past: int) -> str:
        try:
            _judge(statement, self._state(past), self.statements)
        except _NoEffect as reason:
            return str(reason)
        return ""

    def _note(self, statement: Statement, bit: int) -> None:
        """Remember what an effective statement admits, and that it removes."""
        kind, body = statement.body[0], statement.body
        admits: list[bytes] = []
        if kind in (PERSON, SELF):
            admits.append(statement.hash[:16])
        if kind == SELF:
            admits.append(statement.author)
        elif kind in (DEVICE, KEYHOLDER):
            admits.append(body[1] if kind == DEVICE else body[3])
        for one in admits:
            self._admissions.setdefault(one, []).append(statement.hash)
        if kind == REMOVE:
            self._removals |= bit

    def _state(self, mask: int) -> State:
        mask &= self._effective
        found = self._states.get(mask)
        if found is None:
            members = [h for h in self._order if self._bit[h] & mask]
            members.sort(key=lambda h: (self._depth[h], h))
            found = self._fold(members, mask) if mask & self._removals else self._added_up(members)
            if len(self._states) > 256:
                self._states = {0: self._states[0]}
            self._states[mask] = found
        return found

    def _added_up(self, members: Sequence[bytes], dead: Collection[bytes] = ()) -> State:
        state = State(family=self.family)
        for digest in members:
            statement = self.statements[digest]
            if digest not in dead:
                _apply(state, statement, self._depth[digest])
            elif statement.body[0] == EPOCH:
                # Now, and not at the end: a grant that stands may hand on its key, or give a right by its name.
                _keep_readable(state, statement)
        return state

    def _fold(self, members: list[bytes], mask: int) -> State:
        """The state where there are removals: what stands, less what they undo."""
        everyone = self._added_up([h for h in members if self.statements[h].body[0] != REMOVE])
        removals = [self._removal(h, everyone, mask) for h in members if self._bit[h] & self._removals]
        said = [self._said(h, mask) for h in members]
        stand, dead = standing(
            removals,
            said,
            lambda a, b: bool(self._past[a] & self._bit[b]),
            lambda tried, undone: _can_act(self._settled(members, tried, undone)),
        )
        state = self._settled(members, stand, dead)
        for digest in members:
            if digest in dead:
                _keep_readable(state, self.statements[digest])
                _cut_whole(state, self.statements[digest])
        return state

    def _removal(self, digest: bytes, everyone: State, mask: int) -> Removal:
        statement = self.statements[digest]
        _, what, target, _ = statement.body
        author = everyone.keyholders.get(statement.author)
        person = author.person if author else b""
        rank = everyone.people[person].rank if person in everyone.people else (1 << 30, b"")

        gone = _devices_gone(everyone, what, target)

        def removes(key: bytes) -> bool:
            # By every admission of the key: a fork could bind it to a second device, out of reach.
            return any(
                person == target or device in gone
                for h in self._admissions.get(key, ())
                if self._bit[h] & mask
                for person, device in [_bound_to(self.statements[h])]
            )

        admitted = [(self._depth[h], h) for h in self._admissions.get(statement.author, ()) if self._bit[h] & mask]
        key_rank = min(admitted, default=(1 << 30, b""))
        return Removal(digest, statement.author, rank, key_rank, removes(statement.author), removes)

    def _said(self, digest: bytes, mask: int) -> Said:
        """On whose admission a statement rests: its author's, and for a keyholder the person's and device's."""
        statement = self.statements[digest]
        needs = [statement.author]
        if statement.body[0] == KEYHOLDER:
            needs += [statement.body[1], statement.body[2]]
        roots = []
        for one in needs:
            found = tuple(h for h in self._admissions.get(one, ()) if self._bit[h] & mask)
            # A statement of the entry that admits its own author does not rest on itself.
            roots.append(() if digest in found or not self._is_before(found, digest) else found)
        return Said(digest, statement.author, tuple(roots))

    def _is_before(self, roots: tuple[bytes, ...], digest: bytes) -> bool:
        return any(self._past[digest] & self._bit[root] for root in roots)

    def _settled(self, members: Sequence[bytes], removals: Sequence[Removal], dead: set[bytes]) -> State:
        state = self._added_up(members, dead)
        concerned = [(vault, r) for r in removals for vault in _readable_by(state, r)]
        for removal in removals:
            _remove(state, self.statements[removal.hash].body, removal)
        for key, holder in list(state.keyholders.items()):
            if _is_gone(state, holder) or any(removal.removes(key) for removal in removals):
                state.former[key] = state.keyholders.pop(key)
        for vault, removal in concerned:
            self._close_older(state.vaults[vault], removal)
        return state

    def _close_older(self, vault: Vault, removal: Removal) -> None:
        """Nobody who has heard of a removal writes under an epoch opened before it, even one whose key the removed
        never had: somebody who has not heard may be handing it to them just now."""
        for name, epoch in vault.epochs.items():
            if not self._past[name] & self._bit[removal.hash]:
                vault.epochs[name] = replace(epoch, closed=True)


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
        # In one log alone: or whoever has the founder's key could found the family once more, and be its senior.
        _need(statement.log == log_id(past.family, author, body[3][:16]), "another log")
        return
    if kind == SELF:
        _judge_self(statement, past)
        return
    founding = author == past.founder and not past.keyholders and not past.former
    founding = founding and statement.seq == 0 and not statement.frontier
    person = past.person_of(author)
    _need(founding or person is not None, "author is no keyholder")
    role = ADMIN if founding else past.people[person or b""].role
    if kind in (PERSON, DEVICE, KEYHOLDER, PERMIT):
        _judge_admission(statement, past, known, role, founding=founding)
    elif kind == REMOVE:
        _judge_removal(body, past, person or b"", role)
    elif kind == TAKE_IN:
        _need(role == ADMIN, "not an admin")
    elif kind in (VAULT, EPOCH, GRANT, SUITE):
        _judge_of_vault(body, past, author, role)
    else:
        _need(body[1] == person, "another person's")
        _need(kind != PAPER or body[2] not in past.keyholders, "key in use")


def _judge_admission(
    statement: Statement, past: State, known: dict[bytes, Statement], role: int, *, founding: bool
) -> None:
    body, person = statement.body, past.person_of(statement.author)
    if body[0] == DEVICE:
        _judge_device(body, past, person, role, founding=founding)
    elif body[0] == KEYHOLDER:
        _judge_keyholder(statement, past, person, known)
    else:
        _need(role == ADMIN, "not an admin")
        if body[0] == PERMIT:
            _need(body[1] in past.devices, "unknown device")
        else:
            _need(body[1] in (ADMIN, WRITER, READER), "unknown role")
            _need(not founding or not past.people, "founder admitted already")
            # The same in every branch of a forked founding: one founder, however often it is told.
            _need(not founding or (statement.index, *body[1:]) == (1, ADMIN, statement.author[:16]), "not the founder")


def _judge_of_vault(body: list[Any], past: State, author: bytes, role: int) -> None:
    kind, person = body[0], past.person_of(author)
    if kind == VAULT:
        _need(role != READER, "readers make no vaults")
        _need(sum(person in v.rights for v in past.vaults.values()) < MAX_VAULTS, "too many vaults")
        _need(body[1] in (SHARED, PRIVATE) or (body[1] == DIRECTORY and not past.directory), "kind")
        _need(body[1] != DIRECTORY or author == past.founder, "the founder makes the directory")
    elif kind == EPOCH:
        _judge_epoch(body, past, person)
    elif kind == GRANT:
        _judge_grant(body, past, person)
    else:
        _need(_may_set_suite(past, body[1], author, person), "not the owner")
        _need(body[2] > past.vaults[body[1]].suite_version, "suite version does not go up")
        _need(body[3] in ([1], [2], [1, 2]) and body[4] in body[3], "unknown suite")


def _judge_self(statement: Statement, past: State) -> None:
    _, _, device, box_key, signature = statement.body
    _need(statement.seq == 0 and statement.index == 0, "only as the first of a log")
    _need(device in past.permits, "not permitted")
    _need(set(past.devices) == {device} and not past.removed, "not a one-device family")
    _need(statement.author not in past.keyholders, "admitted already")
    message = self_admission(past.family, statement.author, box_key)
    _need(_signed(device, message, signature), "not signed by the device")


def _judge_device(body: list[Any], past: State, person: bytes | None, role: int, *, founding: bool) -> None:
    _, device, box_key, leaf, device_role, owner, _, proof = body
    _need(device_role in (FULL, BLIND), "unknown role")
    _need(device not in past.devices, "admitted already")
    _need(device not in past.removed, "a removed key is never admitted again")
    _need(past.devices_given.get(owner, 0) < MAX_DEVICES, "too many devices")
    _need((owner == b"") == (device_role == BLIND), "a blind peer has no owner")
    _need(owner == b"" or owner in past.people, "unknown owner")
    _need(founding or role == ADMIN or (owner == person and device_role == FULL), "not an admin")
    _need(_signed(device, device_proof(past.family, device, box_key, leaf), proof), "no proof of the key")


def _judge_keyholder(statement: Statement, past: State, person: bytes | None, known: dict[bytes, Statement]) -> None:
    _, owner, device, key, box_key, proof = statement.body
    _need(owner in past.people, "unknown person")
    _need(device in past.devices and past.devices[device].role == FULL, "no device that may read")
    _need(key not in past.keyholders, "added already")
    _need(key not in past.former, "a removed key is never admitted again")
    message = keyholder_proof(past.family, owner, device, key, box_key)
    _need(_signed(key, message, proof), "no proof of the key")
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
    named = admission.body[2] == key[:16]
    _need(same_entry and named and not past.keyholders_of(owner), "only the person adds their keyholders")


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
    allowed = set(past.keyholders_of(reader))
    if reader in past.papers:
        allowed.add(past.papers[reader].sign_key)
    _need(set(_pairs(sealed, MAX_RECIPIENTS)) <= allowed, "not that person's keys")


def _judge_removal(body: list[Any], past: State, person: bytes, role: int) -> None:
    """An admin removes those admitted after them, anyone removes their own devices and themselves."""
    _, what, target, cuts = body
    _read_cuts(cuts)
    if what == A_DEVICE:
        device = past.devices.get(target)
        _need(device is not None, "unknown device")
        assert device is not None
        owner = device.owner
    else:
        _need(what == A_PERSON and target in past.people, "unknown person")
        owner = target
    if owner != person:
        _need(role == ADMIN, "not an admin")
        # A device may outlive its owner, whose admission a removal undid.
        junior = owner not in past.people or _rank(past, owner) > _rank(past, person)
        _need(junior, "a senior falls to two admins together, or to the recovery key")
    _need(_can_act(_without(past, what, target)), "no admin would be left who can act")


def _rank(past: State, person: bytes) -> Rank:
    """A person's seniority; the founder has it before they have a person."""
    return past.people[person].rank if person in past.people else (0, b"")


def _without(past: State, what: int, target: bytes) -> State:
    """Who would be left."""
    left = State(people={p: v for p, v in past.people.items() if what == A_DEVICE or p != target})
    gone = _devices_gone(past, what, target)
    left.keyholders = {
        key: holder for key, holder in past.keyholders.items() if holder.person != target and holder.device not in gone
    }
    return left


def _devices_gone(state: State, what: int, target: bytes) -> set[bytes]:
    """The device that is removed, or all that belong to the person who is."""
    if what == A_DEVICE:
        return {target}
    return {key for key, device in state.devices.items() if device.owner == target}


def _can_act(state: State) -> bool:
    """Whether an admin is left with a keyholder to act by."""
    acting = {holder.person for holder in state.keyholders.values()}
    return any(person in acting for person, found in state.people.items() if found.role == ADMIN)


def _read_cuts(value: list[Any]) -> Cuts:
    """[[log, [head ...]] ...], in order of both."""
    _need(len(value) <= MAX_CUTS, "too many cuts")
    cuts: Cuts = {}
    for pair in value:
        _need(type(pair) is list and len(pair) == 2 and _fits(pair[0], 16) and _fits(pair[1], list), "shape")
        _need(len(pair[1]) <= MAX_CUTS and all(_fits(head, 32) for head in pair[1]), "shape")
        _need(pair[1] == sorted(set(pair[1])), "heads out of order")
        cuts[pair[0]] = frozenset(pair[1])
    _need([pair[0] for pair in value] == sorted(cuts), "logs out of order")
    return cuts


def _may_set_suite(past: State, vault: bytes, author: bytes, person: bytes | None) -> bool:
    if vault not in past.vaults:
        return False
    if vault == past.directory:
        return author == past.founder or past.people[person or b""].role == ADMIN
    return past.right(vault, person) >= OWNS


def _apply(state: State, statement: Statement, depth: int) -> None:
    """Add what an effective statement says. Where two apart say the same thing twice, the first counts."""
    body, author = statement.body, statement.author
    kind = body[0]
    person = state.person_of(author)
    if kind == FOUND:
        if not state.founder:
            state.founder, state.recovery_key = author, body[2]
    elif kind in (PERSON, SELF, DEVICE, KEYHOLDER, PERMIT):
        _apply_admission(state, statement, person, (depth, statement.hash))
    elif kind == VAULT:
        _apply_vault(state, statement.hash[:16], body[1], person)
    elif kind in (EPOCH, GRANT, SUITE):
        _apply_to_vault(state, statement)
    elif kind == UNLOCK:
        state.unlocks.setdefault(body[1], []).append((body[2], body[3]))
    elif kind == PAPER:
        state.papers[body[1]] = Paper(body[2], body[3], body[4])
    elif kind == TAKE_IN:
        state.taken_in.setdefault(body[1], set()).add(body[2])


def _apply_admission(state: State, statement: Statement, person: bytes | None, rank: Rank) -> None:
    body, author, made = statement.body, statement.author, statement.hash[:16]
    kind = body[0]
    if kind == PERSON:
        state.people.setdefault(made, Person(body[1], person or b"", rank))
    elif kind == SELF:
        state.people.setdefault(made, Person(WRITER, b"", rank))
        state.keyholders.setdefault(author, Keyholder(made, body[2], body[3]))
    elif kind == DEVICE:
        state.devices.setdefault(body[1], Device(body[2], body[3], body[4], body[5], body[6]))
        state.devices_given[body[5]] = state.devices_given.get(body[5], 0) + 1
    elif kind == KEYHOLDER:
        state.keyholders.setdefault(body[3], Keyholder(body[1], body[2], body[4]))
    else:
        state.permits.add(body[1])


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
        _hand_on(state, vault.epochs[body[2]], statement)


def _hand_on(state: State, epoch: Epoch, grant: Statement) -> None:
    """Boxes of a grant. One that is there stays, unless who gave it had less to do with it: the person themselves
    comes first, then the vault's owner or an admin, then any other reader; so none of these can lock one out."""
    _, vault, _, reader, _, boxes = grant.body
    person = state.person_of(grant.author)
    weight = 2 if person == reader else int(_is_trusted(state, vault, person))
    for key, sealed in boxes:
        if key not in epoch.sealed or weight > epoch.given.get(key, 3):
            epoch.sealed[key] = sealed
            epoch.given[key] = weight


def _is_trusted(state: State, vault: bytes, person: bytes | None) -> bool:
    if vault == state.directory:
        return person in state.people and state.people[person].role == ADMIN
    return state.right(vault, person) >= OWNS


def _bound_to(admission: Statement) -> tuple[bytes, bytes]:
    """The person and the device that an admission gives a keyholder."""
    if admission.body[0] == SELF:
        return admission.hash[:16], admission.body[2]
    return (admission.body[1], admission.body[2]) if admission.body[0] == KEYHOLDER else (b"", b"")


def _readable_by(state: State, removal: Removal) -> list[bytes]:
    """The vaults that those removed may read, before they are."""
    people = {holder.person for key, holder in state.keyholders.items() if removal.removes(key)}
    return [vault for vault in state.vaults if any(state.right(vault, person) >= READS for person in people)]


def _remove(state: State, body: list[Any], removal: Removal) -> None:
    """Take a device or person out, with all that was theirs to use."""
    _, what, target, cuts = body
    if what == A_PERSON:
        state.people.pop(target, None)
        state.papers.pop(target, None)
    for one in {target, *_devices_gone(state, what, target)}:
        state.removed.add(one)
        state.devices.pop(one, None)
        state.permits.discard(one)
    for key in [*state.keyholders, *state.former]:
        if removal.removes(key):
            state.cuts.setdefault(key, []).append(_read_cuts(cuts))


def _is_gone(state: State, holder: Keyholder) -> bool:
    return holder.device in state.removed or holder.person in state.removed


def _cut_whole(state: State, statement: Statement) -> None:
    """Nothing counts that was written by a keyholder whose admission was undone: or who is removed would go on writing
    with a key that they let in unseen."""
    body = statement.body
    if body[0] in (KEYHOLDER, SELF):
        key = body[3] if body[0] == KEYHOLDER else statement.author
        if key not in state.keyholders and key not in state.former:
            state.cuts.setdefault(key, [{}])


def _keep_readable(state: State, statement: Statement) -> None:
    """What was written under an epoch that was undone can still be read by who was given its key."""
    body = statement.body
    if body[0] not in (EPOCH, GRANT) or body[1] not in state.vaults:
        return
    epochs = state.vaults[body[1]].epochs
    if body[0] == EPOCH:
        epoch = Epoch(body[3], tuple(body[2]), dict(map(tuple, body[4])), dict(map(tuple, body[5])), closed=True)
        epochs.setdefault(statement.hash, epoch)
    elif body[2] in epochs:
        for key, sealed in body[5]:
            if key in state.keyholders:
                epochs[body[2]].sealed.setdefault(key, sealed)

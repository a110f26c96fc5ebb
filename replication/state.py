"""The family as a set of statements leaves it. Nothing here judges; nothing here changes but while it is folded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from replication.statements import A_DEVICE, ADMIN, OWNS, READER, READS, SHARED, WRITES, Cuts, Saw

Rank = tuple[int, bytes]
"""Depth and hash of a statement: smaller is senior."""
LAST: Rank = (1 << 62, b"")


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
    """Person id of who admitted them: empty for the founder, and for who was let in by a permit or a recovery."""
    rank: Rank = (0, b"")
    """Seniority: of an admin by what made them one, of others by their admission."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A person's paper keys: the first gets every grant, the second admits a new keyholder."""

    sign_key: bytes
    box_key: bytes
    sealed_code: bytes


@dataclass(frozen=True, slots=True)
class Unlock:
    """A wrap of a person's unlock key, and the key before it wrapped under it (or empty). None: dropped."""

    hash: bytes
    wrap: bytes | None
    older: bytes | None


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


@dataclass(frozen=True, slots=True)
class Cut:
    """Up to where the entries of one keyholder count."""

    heads: Cuts
    vaults: frozenset[bytes] | None = None
    """The vaults whose entries are concerned; None: every one."""
    lifted_by: frozenset[bytes] = frozenset()
    """Who had heard of one of these, a grant or a role given back later, writes again."""


@dataclass(frozen=True, slots=True)
class Purge:
    """A purge with effect: what it drops, each with its floor."""

    hash: bytes
    author: bytes
    vault: bytes
    items: dict[bytes, frozenset[bytes]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an admin wants removed, for another to approve."""

    author: bytes
    person: bytes
    what: int
    target: bytes


@dataclass(slots=True)
class Level:
    """A role or a right, as the statements that raise and lower it leave it, told in an order that respects "after".

    The larger the higher. A lowering is a ceiling for whatever was raised apart from it, so that who takes a right
    away need not be first; but what only raises never lowers: or a junior could take an admin down to writer by
    making them one, as of a time when they were a reader. Of several raised apart the highest counts.
    """

    raised: list[tuple[bytes, int, Rank]] = field(default_factory=list)
    lowered: list[tuple[bytes, int]] = field(default_factory=list)
    first: Rank = LAST
    """What began it: a person's admission."""
    changes: int = 0

    def raise_to(self, name: bytes, value: int, rank: Rank, saw: Saw) -> None:
        if not self.changes:  # nearly all are raised once, and that is all
            self.raised, self.first, self.changes = [(name, value, rank)], rank, 1
            return
        ceiling = min([value, *(low for other, low in self.lowered if not saw(name, other))])
        self.raised = [one for one in self.raised if not saw(name, one[0])] + [(name, ceiling, rank)]
        self.changes += 1

    def lower_to(self, name: bytes, value: int, saw: Saw) -> None:
        self.raised = [(one, min(high, value), rank) for one, high, rank in self.raised if not saw(name, one)]
        self.lowered = [one for one in self.lowered if not saw(name, one[0])] + [(name, value)]
        self.changes += 1

    @property
    def value(self) -> int:
        if len(self.raised) == 1:
            return self.raised[0][1]
        if self.raised:
            return max(value for _, value, _ in self.raised)
        return min((value for _, value in self.lowered), default=0)

    @property
    def since(self) -> Rank:
        """What first brought the value that counts."""
        if len(self.raised) == 1:
            return self.raised[0][2]
        return min((rank for _, value, rank in self.raised if value == self.value), default=LAST)


@dataclass(slots=True)
class Vault:
    kind: int
    rights: dict[bytes, int] = field(default_factory=dict)
    owners: dict[bytes, Rank] = field(default_factory=dict)
    """Who owns it, and their seniority as owners."""
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


@dataclass(slots=True)
class State:
    """The family as a set of statements leaves it."""

    family: bytes = b""
    founder: bytes = b""
    recovery_key: bytes = b""
    """The family recovery key in force."""
    directory: bytes = b""
    people: dict[bytes, Person] = field(default_factory=dict)
    papers: dict[bytes, Paper] = field(default_factory=dict)
    devices: dict[bytes, Device] = field(default_factory=dict)
    keyholders: dict[bytes, Keyholder] = field(default_factory=dict)
    permits: set[bytes] = field(default_factory=set)
    vaults: dict[bytes, Vault] = field(default_factory=dict)
    unlocks: dict[bytes, list[Unlock]] = field(default_factory=dict)
    """Person to their wraps, oldest first."""
    discovery: list[tuple[bytes, dict[bytes, bytes]]] = field(default_factory=list)
    """Discovery keys made anew, oldest first: (statement, device to the sealed box)."""
    removed: set[bytes] = field(default_factory=set)
    """Ids of devices and people that were removed, for good."""
    removed_by: dict[bytes, set[bytes]] = field(default_factory=dict)
    """Device or person to the removals in force that took it out."""
    devices_given: dict[bytes, int] = field(default_factory=dict)
    """How many devices a person was ever given; the empty id stands for blind ones."""
    former: dict[bytes, Keyholder] = field(default_factory=dict)
    """Keyholders of removed devices and people: their names still stand at what they wrote."""
    cuts: dict[bytes, list[Cut]] = field(default_factory=dict)
    """Keyholder to the cuts of every removal and revocation that stands: an entry counts if it lies under each."""
    taken_in: dict[bytes, set[bytes]] = field(default_factory=dict)
    """Log to heads that an admin has taken in: those entries count whatever the cuts."""
    purges: list[Purge] = field(default_factory=list)
    forgotten: dict[bytes, bytes] = field(default_factory=dict)
    """Unlock statement to the newer one of the same person that is in its place: its wrap may be dropped."""
    proposals: dict[bytes, Proposal] = field(default_factory=dict)
    stated: dict[tuple[int, bytes], int] = field(default_factory=dict)
    """(Number, person) to how many such statements of theirs had effect: of what a person may state so often only."""
    undone: frozenset[bytes] = frozenset()
    """Statements that removals undid."""
    levels: dict[tuple[bytes, bytes], Level] = field(default_factory=dict)
    """(Vault, person) to how their right came about; (empty, person) how their role did."""

    def person_of(self, keyholder: bytes) -> bytes | None:
        found = self.keyholders.get(keyholder)
        return found.person if found else None

    def role(self, person: bytes | None) -> int | None:
        return self.people[person].role if person in self.people else None

    def right(self, vault: bytes, person: bytes | None) -> int:
        """What `person` may do in `vault`; 0 is nothing. All people write the directory: it holds names. A reader
        writes no shared vault; what is private is theirs."""
        if person is None or person not in self.people or vault not in self.vaults:
            return 0
        if vault == self.directory:
            return WRITES
        right = self.vaults[vault].rights.get(person, 0)
        capped = self.people[person].role == READER and self.vaults[vault].kind == SHARED
        return min(right, READS) if capped else right

    def owns(self, vault: bytes, person: bytes | None) -> bool:
        """Whether `person` decides who may read `vault`. One whose owners are all gone is looked after by the admins
        who write it: or nobody could ever be let in again, or kept out."""
        right = self.right(vault, person)
        if right >= OWNS or vault == self.directory:
            return right >= OWNS
        may = right >= WRITES and self.role(person) == ADMIN
        return may and not any(self.right(vault, owner) >= OWNS for owner in self.vaults[vault].owners)

    def recipients(self, vault: bytes) -> set[bytes]:
        """Who must get the key of a new epoch: keyholders and paper keys of all who may read."""
        readers = {person for person in self.people if self.right(vault, person) >= READS}
        keys = {key for key, holder in self.keyholders.items() if holder.person in readers}
        # A paper key that two people call theirs is nobody's: or its boxes could be had sealed to another key.
        claims = Counter(paper.sign_key for paper in self.papers.values())
        papers = {self.papers[person].sign_key for person in readers if person in self.papers}
        return keys | {key for key in papers if claims[key] == 1}

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

    def shared(self) -> frozenset[bytes]:
        return frozenset(vault for vault, held in self.vaults.items() if held.kind == SHARED)


def can_act(state: State) -> bool:
    """Whether an admin is left with a keyholder to act by."""
    acting = {holder.person for holder in state.keyholders.values()}
    return any(person in acting for person, found in state.people.items() if found.role == ADMIN)


def devices_gone(state: State, what: int, target: bytes) -> set[bytes]:
    """The device that is removed, or all that belong to the person who is."""
    if what == A_DEVICE:
        return {target}
    return {key for key, device in state.devices.items() if device.owner == target}

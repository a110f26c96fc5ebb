"""Who belongs to the family, who may do what and whose writes count, worked out a second time: from who wrote what
after having seen what, and from docs/spec/removal.md. What replication/{membership,removal}.py answer must be the same.

Statements here are sets of entries that lay on their author's disk; nothing is read from a header or a frontier.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from replication.membership import (
    A_PERSON,
    ADMIN,
    APPROVE,
    DEVICE,
    DIRECTORY,
    DISCOVERY,
    EPOCH,
    FORGET,
    FOUND,
    GRANT,
    KEYHOLDER,
    OWNS,
    PAPER,
    PERMIT,
    PERSON,
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
    VAULT,
    WRITER,
    WRITES,
)

Seen = frozenset[bytes]
Rank = tuple[int, bytes]
"""How many statements lay before one, and its name."""
Subject = tuple[bytes, bytes]
"""(Vault, person): a right. (Empty, person): a role, counted upwards as rights are."""
LAST: Final[Rank] = (1 << 60, b"")
_BY_ADMINS: Final = (PERSON, PERMIT, TAKE_IN, PROPOSE, APPROVE, DISCOVERY)


@dataclass(frozen=True, slots=True)
class Written:
    """An entry as its author's disk shows it. `seen`: the entries that were there before it."""

    author: bytes
    log: bytes
    seen: Seen
    statements: tuple[list[Any], ...] = ()
    names: tuple[bytes, ...] = ()
    """Of its statements."""


@dataclass(frozen=True, slots=True)
class Said:
    """One statement."""

    name: bytes
    entry: bytes
    index: int
    author: bytes
    kind: int
    body: list[Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a statement's own past says of it."""

    person: bytes
    """Whose key said it."""
    paper: bool
    admin: bool
    """Only an admin may say so."""
    vault: bytes
    right: int
    """Without which it may not be said of `vault`."""
    moves: int
    """1: it raised a role or right; -1: it lowered one."""
    needs: tuple[frozenset[bytes], ...]
    """Of each, one statement must stand."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Of somebody's entries in some vaults (None: all) those count that are in `seen`, or that had heard of one of
    `lifted`."""

    by: bytes
    seen: Seen
    vaults: frozenset[bytes] | None
    lifted: frozenset[bytes]
    ends_reading: bool


@dataclass(slots=True)
class Family:
    people: dict[bytes, tuple[int, Rank]] = field(default_factory=dict)
    """Role and rank."""
    devices: dict[bytes, bytes] = field(default_factory=dict)
    """Device to owner."""
    holders: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    """Key to person and device."""
    papers: dict[bytes, bytes] = field(default_factory=dict)
    recovery: bytes = b""
    rights: dict[Subject, int] = field(default_factory=dict)
    shared: set[bytes] = field(default_factory=set)
    cuts: dict[bytes, list[Cut]] = field(default_factory=dict)
    """Of keys."""
    floors: set[tuple[bytes, bytes]] = field(default_factory=set)
    """(Vault, dot) that count whatever is cut."""
    purged: dict[tuple[bytes, bytes], list[list[bytes]]] = field(default_factory=dict)
    """(Vault, dot) to the floors by which it may go."""
    taken: set[bytes] = field(default_factory=set)
    removed: set[bytes] = field(default_factory=set)
    dead: frozenset[bytes] = frozenset()
    """Statements that were undone."""

    def right(self, vault: bytes, person: bytes) -> int:
        found = self.rights.get((vault, person), 0) if person in self.people else 0
        return min(found, READS) if vault in self.shared and self.people[person][0] == READER else found

    def can_act(self) -> bool:
        acting = {person for person, _ in self.holders.values()}
        return any(self.people[person][0] == ADMIN for person in acting & self.people.keys())


class Record:
    """Everything that was written. A family is what a set of it says."""

    def __init__(self) -> None:
        self.written: dict[bytes, Written] = {}
        self.powerless: set[bytes] = set()
        """Entries whose statements may have no effect."""
        self._said: dict[bytes, list[Said]] = {}
        self._depths: dict[bytes, int] = {}
        self._facts: dict[bytes, Facts] = {}
        self._families: dict[tuple[Seen, frozenset[bytes]], Family] = {}

    def add(self, digest: bytes, written: Written) -> None:
        self.written[digest] = written
        if written.statements and digest not in self.powerless:
            pairs = enumerate(zip(written.names, written.statements, strict=True))
            self._said[digest] = [Said(name, digest, at, written.author, body[0], body) for at, (name, body) in pairs]

    def lose(self, digest: bytes) -> None:
        """It stood on one disk only, which is gone."""
        self.written.pop(digest, None)
        self._said.pop(digest, None)
        self.powerless.discard(digest)

    def family(self, entries: Iterable[bytes], less: frozenset[bytes] = frozenset()) -> Family:
        """What all who have seen just these entries must agree on. `less`: statements to leave out."""
        said = frozenset(d for d in entries if d in self._said)
        if (said, less) not in self._families:
            every = [one for digest in said for one in self._said[digest] if one.name not in less]
            self._families[said, less] = _Fold(self, sorted(every, key=self.rank)).family()
        return self._families[said, less]

    def counts(self, family: Family, digest: bytes, vault: bytes) -> bool:
        """Whether a write counts: no cut concerns it, and its author's right rests on nothing that was undone."""
        written = self.written[digest]
        if digest in family.taken:
            return True
        for cut in family.cuts.get(written.author, ()):
            concerned = cut.vaults is None or vault in cut.vaults
            if concerned and digest not in cut.seen and not cut.lifted & written.seen:
                return False
        heard = [one for d in written.seen if d in self._said for one in self._said[d]]
        undone = frozenset(one.name for one in heard) & family.dead
        if not undone:
            return True
        left = self.family(written.seen, undone)
        return left.right(vault, left.holders.get(written.author, (b"", b""))[0]) >= WRITES

    def saw(self, one: Said, other: Said) -> bool:
        """Whether `one` was made after `other`."""
        if one.entry == other.entry:
            return other.index < one.index
        return other.entry in self.written[one.entry].seen

    def rank(self, one: Said) -> Rank:
        return self._depth(one.entry) + one.index + 1, one.name

    def _depth(self, digest: bytes) -> int:
        """The longest way back to the founding, in statements with effect: seniority goes by it."""
        if digest not in self._depths:
            before = [d for d in self.written[digest].seen if d in self._said]
            self._depths[digest] = max((self._depth(d) + len(self._said[d]) for d in before), default=0)
        return self._depths[digest]

    # What a statement's own past says of it

    def past(self, one: Said) -> list[Said]:
        seen = self.written[one.entry].seen
        before = [said for digest, every in self._said.items() if digest in seen for said in every]
        return sorted(before, key=self.rank) + self._said[one.entry][: one.index]

    def facts(self, one: Said) -> Facts:
        if one.name not in self._facts:
            self._facts[one.name] = self._read(one)
        return self._facts[one.name]

    def _read(self, one: Said) -> Facts:
        past = self.past(one)
        person, paper = person_of(one.author, past), False
        if not person and one.kind != RECOVER:
            person = next((p.body[1] for p in past if p.kind == PAPER and p.body[2] == one.author), b"")
            paper = bool(person)
        moves = self._moves(one, past)
        admin, vault, right = False, b"", 0
        if person and not paper:
            admin, vault, right = self._by_what_right(one, past, person, moves)
        needs = [] if paper else [[p for p in past if one.author in admits(p)]]
        if paper:
            needs = [[p for p in past if p.kind == PAPER and p.body[1:3] == [person, one.author]]]
        if one.kind == RECOVER:
            needs = [[p for p in past if gives_recovery(p) == one.author]]
        needs += self._rights_of(person, past, admin, vault, right)
        if one.kind == APPROVE:
            proposal = next(p for p in past if p.name == one.body[1])
            other = person_of(proposal.author, past)
            needs += [[proposal], [p for p in past if proposal.author in admits(p)]]
            needs += self._rights_of(other, past, True, b"", 0)
        if one.kind in (KEYHOLDER, SELF):
            needs.append([p for p in past if one.body[2] in admits(p)])
        if one.kind == KEYHOLDER:
            needs.append([p for p in past if one.body[1] in admits(p)])
        if one.kind == SELF:
            needs.append([p for p in past if p.kind == PERMIT and p.body[1] == one.body[2]])
        if one.kind == FORGET:
            needs.append([p for p in past if p.name == one.body[2]])
        names = tuple(frozenset(p.name for p in need) for need in needs if need)
        return Facts(person, paper, admin, vault, right, moves, names)

    def _rights_of(self, person: bytes, past: list[Said], admin: bool, vault: bytes, right: int) -> list[list[Said]]:
        found = [self._since(past, (b"", person), READER - ADMIN)] if admin and person else []
        return [*found, self._since(past, (vault, person), right)] if right else found

    def changes(self, subject: Subject, said: Iterable[Said]) -> list[Said]:
        return [one for one in said if self.subject(one) == subject and self.facts(one).moves]

    def _since(self, past: list[Said], subject: Subject, value: int) -> list[Said]:
        """What gave it, since it was last taken away."""
        known = self.changes(subject, past)
        gave = [one for one in known if self.facts(one).moves > 0 and value_of(one) >= value]
        took = [one for one in known if self.facts(one).moves < 0 and value_of(one) < value]
        return [one for one in gave if all(self.saw(one, low) for low in took)] or gave

    def subject(self, one: Said) -> Subject | None:
        """Whose role or right a statement is about."""
        body = one.body
        if one.kind in (PERSON, SELF, RECOVER):
            return b"", one.name[:16]
        if one.kind == ROLE:
            return b"", body[1]
        if one.kind == VAULT and body[1] != DIRECTORY:
            return one.name[:16], self.facts(one).person
        if one.kind in (GRANT, REVOKE):
            return body[1], body[3 if one.kind == GRANT else 2]
        return None

    def _moves(self, one: Said, past: list[Said]) -> int:
        if one.kind in (PERSON, SELF, RECOVER, VAULT):
            return int(one.kind != VAULT or one.body[1] != DIRECTORY)
        if one.kind not in (ROLE, GRANT, REVOKE) or is_directory(one.body[1], past):
            return 0
        subject = self.subject(one)
        assert subject is not None
        dead = self.family(self.written[one.entry].seen).dead
        before, _ = self.level([p for p in self.changes(subject, past) if p.name not in dead])
        return (value_of(one) > before) - (value_of(one) < before)

    def level(self, changes: Sequence[Said]) -> tuple[int, Rank]:
        """What raising and lowering leaves, and since when. Of the newest, those that raised hold as far as no lowering
        apart from them goes below; without any, the lowest."""
        newest = [one for one in changes if not any(self.saw(other, one) for other in changes)]
        lowered = [one for one in changes if self.facts(one).moves < 0]
        raised = [
            (min([value_of(one), *(value_of(low) for low in lowered if not self.saw(one, low))]), self.rank(one))
            for one in newest if self.facts(one).moves > 0
        ]  # fmt: skip
        if not raised:
            return min((value_of(one) for one in lowered if one in newest), default=0), LAST
        best = max(value for value, _ in raised)
        return best, min(rank for value, rank in raised if value == best)

    def _by_what_right(self, one: Said, past: list[Said], person: bytes, moves: int) -> tuple[bool, bytes, int]:
        """(As an admin, vault, right in it.)"""
        kind, body = one.kind, one.body
        if kind in (DEVICE, KEYHOLDER, ROLE):
            return body[5 if kind == DEVICE else 1] != person, b"", 0
        if kind == REMOVE:
            return (body[2] if body[1] == A_PERSON else owner_of(body[2], past)) != person, b"", 0
        if kind not in (EPOCH, GRANT, SUITE, REVOKE, PURGE):
            return kind in _BY_ADMINS, b"", 0
        vault = body[1]
        if is_directory(vault, past):
            return kind in (SUITE, PURGE), b"", 0
        if kind == REVOKE and body[2] == person:
            return False, b"", 0
        if kind == EPOCH or (kind == GRANT and not moves):
            return False, vault, WRITES if kind == EPOCH else READS
        dead = self.family(self.written[one.entry].seen).dead
        changes = [p for p in self.changes((vault, person), past) if p.name not in dead]
        if self.level(changes)[0] >= OWNS:
            return False, vault, OWNS
        return (True, b"", 0) if kind == PURGE else (True, vault, WRITES)


def admits(one: Said) -> set[bytes]:
    """The keys, devices and people that a statement lets in."""
    body = one.body
    if one.kind in (PERSON, SELF):
        return {one.name[:16], *([one.author] if one.kind == SELF else ())}
    if one.kind == RECOVER:
        return {one.name[:16], body[2], body[7]}
    return {body[1]} if one.kind == DEVICE else {body[3]} if one.kind == KEYHOLDER else set()


def bound(one: Said) -> tuple[bytes, bytes, bytes] | None:
    """(Key, person, device) that a statement joins."""
    if one.kind == KEYHOLDER:
        return one.body[3], one.body[1], one.body[2]
    if one.kind == SELF:
        return one.author, one.name[:16], one.body[2]
    return (one.body[7], one.name[:16], one.body[2]) if one.kind == RECOVER else None


def person_of(key: bytes, said: Iterable[Said]) -> bytes:
    return next((found[1] for one in said if (found := bound(one)) and found[0] == key), b"")


def owner_of(device: bytes, said: Iterable[Said]) -> bytes:
    for one in said:
        if one.kind == DEVICE and one.body[1] == device:
            return bytes(one.body[5])
        if one.kind == RECOVER and one.body[2] == device:
            return one.name[:16]
    return b""


def gives_recovery(one: Said) -> bytes:
    return bytes(one.body[2]) if one.kind == FOUND else bytes(one.body[10]) if one.kind == RECOVER else b""


def is_directory(vault: bytes, said: Iterable[Said]) -> bool:
    return any(one.kind == VAULT and one.name[:16] == vault and one.body[1] == DIRECTORY for one in said)


def value_of(one: Said) -> int:
    """The role or right that a statement gives or leaves: the larger the higher."""
    if one.kind == VAULT:
        return OWNS
    if one.kind in (GRANT, REVOKE):
        return int(one.body[4 if one.kind == GRANT else 3])
    if one.kind in (SELF, RECOVER):
        return READER - (WRITER if one.kind == SELF else ADMIN)
    return READER - int(one.body[1 if one.kind == PERSON else 2])


def named(one: Said, said: Iterable[Said]) -> list[tuple[int, bytes]]:
    """(What, id) of those whom a removal takes out."""
    if one.kind == RECOVER:
        return [(what, target) for what, target, _ in one.body[1]]
    if one.kind == APPROVE:
        proposal = next(p for p in said if p.name == one.body[1])
        return [(proposal.body[2], proposal.body[3])]
    return [(one.body[1], one.body[2])] if one.kind == REMOVE else []


class _Fold:
    """One set of statements, in order of rank."""

    def __init__(self, record: Record, said: list[Said]) -> None:
        self.record = record
        self.said = said
        self.facts = {one.name: record.facts(one) for one in said}
        self.joined = [found for one in said if (found := bound(one))]
        self.replaced = {one.name: self._replaced(one) for one in said if one.kind == PAPER}
        self.proposal = {one.name: p for one in said if one.kind == APPROVE for p in said if p.name == one.body[1]}
        self.takes = [one for one in said if self._takes(one)]
        self.hits = {one.name: self._hit_by(one) for one in self.takes}
        self.settled: dict[tuple[bytes, ...], Family] = {}

    def family(self) -> Family:
        stand, dead = self._standing()
        family = self._settled(stand, dead)
        family.dead = frozenset(dead)
        for key, _, _ in self.joined:
            if key not in family.holders and key not in family.cuts:
                # Let in by someone removed, unseen: it never was here.
                family.cuts[key] = [Cut(b"", frozenset(), None, frozenset(), False)]
        return family

    def _takes(self, one: Said) -> bool:
        if one.kind == PAPER:
            return bool(self.replaced[one.name])
        return one.kind in (REMOVE, APPROVE, RECOVER) or self.facts[one.name].moves < 0

    def _replaced(self, one: Said) -> set[bytes]:
        """The paper keys that a new one takes the place of."""
        earlier = {p.body[2] for p in self.said if p.kind == PAPER and p.body[1] == one.body[1] and self._saw(one, p)}
        return earlier - {one.body[2]}

    def _saw(self, one: Said, other: Said) -> bool:
        return self.record.saw(one, other)

    def _hit_by(self, removal: Said) -> set[bytes]:
        """The keys that a removal takes away."""
        keys: set[bytes] = set()
        for what, target in named(removal, self.said):
            gone = {target}
            if what == A_PERSON:
                devices = {d for one in self.said if one.kind in (DEVICE, RECOVER) for d in admits(one) if len(d) == 32}
                gone = {target, *(d for d in devices if owner_of(d, self.said) == target)}
            keys |= {key for key, person, device in self.joined if person == target or device in gone}
        return keys

    def _target(self, lowering: Said) -> Subject:
        subject = self.record.subject(lowering)
        assert subject is not None
        return subject

    def _given_back(self, lowering: Said) -> list[Said]:
        changes = self.record.changes(self._target(lowering), self.said)
        return [one for one in changes if self.facts[one.name].moves > 0 and self._saw(one, lowering)]

    def _reaches(self, removal: Said, one: Said) -> bool:
        facts = self.facts[one.name]
        if removal.kind == PAPER:
            return facts.paper and facts.person == removal.body[1] and one.author in self.replaced[removal.name]
        if removal.kind in (ROLE, REVOKE):
            vault, person = self._target(removal)
            proposal = self.proposal.get(one.name)
            authors = [facts.person, self.facts[proposal.name].person if proposal else b""]
            concerned = facts.admin if not vault else facts.vault == vault and facts.right > value_of(removal)
            concerned = concerned and person in authors and not facts.paper
            return concerned and not any(self._saw(one, back) for back in self._given_back(removal))
        if facts.paper:
            return (A_PERSON, facts.person) in named(removal, self.said)
        if removal.kind == RECOVER and one.kind == RECOVER and one.author == removal.author:
            return True
        hits, proposal = self.hits[removal.name], self.proposal.get(one.name)
        return one.author in hits or bool(proposal and proposal.author in hits)

    def _leaves(self, removal: Said) -> bool:
        if removal.kind in (ROLE, REVOKE):
            return self._target(removal)[1] == self.facts[removal.name].person
        return removal.kind == REMOVE and removal.author in self.hits[removal.name]

    def _dead(self, removals: Sequence[Said], fallen: Collection[bytes] = ()) -> set[bytes]:
        """What removals undo: what they reach unseen, and what rests on that alone, or on one that fell."""
        dead = set(fallen)
        for one in self.said:
            unseen = any(r is not one and not self._saw(r, one) and self._reaches(r, one) for r in removals)
            if unseen or any(need <= dead for need in self.facts[one.name].needs):
                dead.add(one.name)
        return dead

    def _standing(self) -> tuple[list[Said], set[bytes]]:
        every = {one.name for one in self.takes}
        kills = {one.name: self._dead([one]) for one in self.takes}
        left = [one for one in self.takes if not self._leaves(one)]
        leaving = [one for one in self.takes if self._leaves(one)]
        stand: list[Said] = []

        def without(kept: list[Said], more: Collection[bytes]) -> set[bytes]:
            names = {one.name for one in kept}
            return self._dead(kept, set(more) - names) - names

        while left:
            free = [one for one in left if all(one.name not in kills[o.name] for o in left if o is not one)]
            chosen = min(free, key=self.record.rank) if free else min(left, key=self._seniority)
            left.remove(chosen)
            tried = [*stand, chosen]
            if self._settled(tried, without(tried, every)).can_act():
                stand = tried
                left = [one for one in left if chosen.name not in kills[one.name]]
            waiting = {one.name for one in (*left, *leaving, *stand)}
            dead = self._dead(stand, every - waiting)
            left = [one for one in left if one.name not in dead]
        for one in sorted(leaving, key=self._seniority, reverse=True):
            tried = [*stand, one]
            falls = one.name in without(stand, every - {one.name})
            if not falls and self._settled(tried, without(tried, every)).can_act():
                stand = tried
        return stand, without(stand, every)

    def _seniority(self, one: Said) -> tuple[Any, ...]:
        tier = {RECOVER: 0, APPROVE: 1, PAPER: 3}.get(one.kind, 2)
        past = self.record.past(one)
        people = self.record.family(self.record.written[one.entry].seen).people
        rank = people.get(self.facts[one.name].person, (0, LAST))[1] if tier >= 2 else LAST
        first = gives_recovery if one.kind == RECOVER else None
        rooted = [p for p in past if (first(p) == one.author if first else one.author in admits(p))]
        if self.facts[one.name].paper:
            rooted = [p for p in past if p.kind == PAPER and p.body[2] == one.author]
        return tier, rank, min((self.record.rank(p) for p in rooted), default=LAST), one.name

    # What is left

    def _settled(self, removals: list[Said], dead: Collection[bytes]) -> Family:
        name = tuple(one.name for one in removals)
        if name not in self.settled:
            self.settled[name] = self._settle(removals, [one for one in self.said if one.name not in dead])
        return self.settled[name]

    def _settle(self, removals: list[Said], alive: list[Said]) -> Family:
        family = Family()
        for one in alive:
            self._tell(family, one)
        self._levels(family, alive)
        here = dict(family.holders)
        for removal in removals:
            for what, target in named(removal, self.said):
                self._remove(family, what, target)
            for key in self.hits[removal.name]:
                if family.holders.pop(key, None) or key in here:
                    seen = self.record.written[removal.entry].seen
                    family.cuts.setdefault(key, []).append(Cut(removal.name, seen, None, frozenset(), True))
        for key in [key for key, (p, d) in family.holders.items() if p in family.removed or d in family.removed]:
            del family.holders[key]
        for removal in removals:
            if removal.kind in (ROLE, REVOKE):
                self._cut_lowered(family, removal, here)
        return family

    def _tell(self, family: Family, one: Said) -> None:
        body = one.body
        if one.kind in (PERSON, SELF, RECOVER):
            family.people.setdefault(one.name[:16], (value_of(one), self.record.rank(one)))
        if one.kind == DEVICE:
            family.devices.setdefault(body[1], body[5])
        elif one.kind == RECOVER:
            family.devices.setdefault(body[2], one.name[:16])
        elif one.kind == VAULT and body[1] == SHARED:
            family.shared.add(one.name[:16])
        elif one.kind == PAPER:
            family.papers[body[1]] = body[2]
        elif one.kind == TAKE_IN:
            family.taken |= self._below(body[2])
        elif one.kind == PURGE:
            family.floors |= {(body[1], dot) for _, floor in body[2] for dot in floor}
            for dot, floor in body[2]:
                family.purged.setdefault((body[1], dot), []).append(floor)
        family.recovery = gives_recovery(one) or family.recovery
        if joined := bound(one):
            family.holders.setdefault(joined[0], joined[1:])

    def _below(self, head: bytes) -> set[bytes]:
        """An entry and those before it in its log."""
        written = self.record.written
        top = written[head]
        return {head, *(d for d in top.seen if d in written and written[d].log == top.log)}

    def _levels(self, family: Family, alive: list[Said]) -> None:
        changes: dict[Subject, list[Said]] = {}
        for one in alive:
            subject = self.record.subject(one)
            if subject is not None and self.facts[one.name].moves:
                changes.setdefault(subject, []).append(one)
        for (vault, person), some in changes.items():
            value, since = self.record.level(some)
            if vault:
                family.rights[vault, person] = value
            elif person in family.people:
                role = READER - value
                family.people[person] = (role, since if role == ADMIN else family.people[person][1])

    def _remove(self, family: Family, what: int, target: bytes) -> None:
        gone = {target, *(d for d, owner in family.devices.items() if what == A_PERSON and owner == target)}
        family.removed |= gone
        family.people.pop(target, None)
        family.papers.pop(target, None)
        for device in gone:
            family.devices.pop(device, None)

    def _cut_lowered(self, family: Family, lowering: Said, here: dict[bytes, tuple[bytes, bytes]]) -> None:
        vault, person = self._target(lowering)
        if value_of(lowering) >= (WRITES if vault else READER - WRITER):
            return
        lifted = frozenset(one.entry for one in self._given_back(lowering))
        seen = self.record.written[lowering.entry].seen
        vaults, ends = (frozenset([vault]), value_of(lowering) < READS) if vault else (frozenset(family.shared), False)
        for key, (owner, _) in here.items():
            if owner == person:
                family.cuts.setdefault(key, []).append(Cut(lowering.name, seen, vaults, lifted, ends))

"""Who belongs to the family and whose writes count, worked out a second time: from who wrote what after having seen
what, and nothing else. What replication/{membership,removal}.py answer must be the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from replication.membership import A_PERSON, ADMIN, DEVICE, KEYHOLDER, PERSON, REMOVE, SELF, TAKE_IN, WRITER

Seen = frozenset[bytes]
Rank = tuple[int, bytes]
"""How many statements lay before an admission, and its name."""


@dataclass(frozen=True, slots=True)
class Written:
    """An entry as its author's disk shows it. `seen`: the entries that were there before it."""

    author: bytes
    log: bytes
    seen: Seen
    statements: tuple[list[Any], ...] = ()
    names: tuple[bytes, ...] = ()
    """Of its statements."""


@dataclass(slots=True)
class Family:
    people: dict[bytes, tuple[int, Rank]] = field(default_factory=dict)
    """Role and rank."""
    devices: dict[bytes, bytes] = field(default_factory=dict)
    """Device to owner."""
    holders: dict[bytes, tuple[bytes, bytes, Rank]] = field(default_factory=dict)
    """Key to person, device and rank."""
    allowed: dict[bytes, list[Seen]] = field(default_factory=dict)
    """Key that is gone to what each of its removers had seen: what is in all of them counts."""
    taken: set[bytes] = field(default_factory=set)
    removed: set[bytes] = field(default_factory=set)

    def counts(self, digest: bytes, author: bytes) -> bool:
        return digest in self.taken or all(digest in seen for seen in self.allowed.get(author, ()))


class Record:
    """Everything that was written. A family is what a set of it says."""

    def __init__(self) -> None:
        self.written: dict[bytes, Written] = {}
        self.powerless: set[bytes] = set()
        """Entries whose statement may have no effect."""
        self._depths: dict[bytes, int] = {}
        self._families: dict[Seen, Family] = {}

    def add(self, digest: bytes, written: Written) -> None:
        self.written[digest] = written

    def _said(self, entries: Iterable[bytes]) -> Seen:
        """Those with statements that have effect. What has none makes nobody's seniority less."""
        return frozenset(d for d in entries if d in self.written and self.written[d].statements) - self.powerless

    def family(self, entries: Iterable[bytes]) -> Family:
        """What all who have seen just these entries must agree on."""
        said = self._said(entries)
        if said not in self._families:
            self._families[said] = self._fold(sorted(said, key=lambda digest: (self._depth(digest), digest)))
        return self._families[said]

    def _depth(self, digest: bytes) -> int:
        """The longest way back to the founding, in statements: seniority goes by it."""
        if digest not in self._depths:
            said = self.written[digest]
            before = max((self._depth(d) for d in self._said(said.seen)), default=0)
            self._depths[digest] = before + len(said.statements)
        return self._depths[digest]

    def _fold(self, said: list[bytes]) -> Family:
        everyone = self._admitted(said)
        removals = [d for d in said if any(body[0] == REMOVE for body in self.written[d].statements)]
        survive = {removal: self._alive(everyone, said, [removal]) for removal in removals}
        stand: list[bytes] = []
        while removals:
            # First those that no other undoes; in a circle the most senior one.
            free = [one for one in removals if all(one in survive[other] for other in removals)]
            chosen = min(free or removals, key=lambda d: self._seniority(everyone, d))
            removals.remove(chosen)
            alive = self._alive(everyone, said, [*stand, chosen])
            left = self._settled(everyone, alive, [*stand, chosen])
            acting = {person for person, *_ in left.holders.values()}
            if any(left.people[person][0] == ADMIN for person in acting & left.people.keys()):
                stand.append(chosen)
                removals = [one for one in removals if one in alive and chosen in survive[one]]
        family = self._settled(everyone, self._alive(everyone, said, stand), stand)
        for key in everyone.holders.keys() - family.holders.keys() - family.allowed.keys():
            family.allowed[key] = [frozenset()]  # let in by someone removed, unseen: it never was here
        return family

    def _seniority(self, everyone: Family, removal: bytes) -> tuple[Rank, Rank, bytes]:
        """How long the author has been here, then their key."""
        person, _, of_key = everyone.holders[self.written[removal].author]
        return everyone.people[person][1], of_key, self.written[removal].names[0]

    def _hits(self, everyone: Family, removal: bytes) -> set[bytes]:
        """The keys that a removal takes away."""
        _, what, target, _ = self.written[removal].statements[0]
        if what == A_PERSON:
            own = {device for device, owner in everyone.devices.items() if owner == target}
            return {key for key, (person, device, _) in everyone.holders.items() if person == target or device in own}
        return {key for key, (_, device, _) in everyone.holders.items() if device == target}

    def _alive(self, everyone: Family, said: list[bytes], removals: list[bytes]) -> list[bytes]:
        hits = {removal: self._hits(everyone, removal) for removal in removals}
        alive: list[bytes] = []
        here: set[bytes] = set()
        for digest in said:
            author = self.written[digest].author
            unseen = any(
                author in keys and digest != removal and digest not in self.written[removal].seen
                for removal, keys in hits.items()
            )
            own = self._admits(digest)
            if not unseen and author in here | own:
                alive.append(digest)
                here |= own
        return alive

    def _admits(self, digest: bytes) -> set[bytes]:
        """The keys that may write from then on."""
        said = self.written[digest]
        return {said.author if body[0] == SELF else body[3] for body in said.statements if body[0] in (SELF, KEYHOLDER)}

    def _admitted(self, said: Iterable[bytes]) -> Family:
        family = Family()
        for digest in said:
            written = self.written[digest]
            start = self._depth(digest) - len(written.statements)
            for at, (name, body) in enumerate(zip(written.names, written.statements, strict=True), start + 1):
                if body[0] == SELF:
                    family.people[name[:16]] = (WRITER, (at, name))
                    family.holders[written.author] = (name[:16], body[2], (at, name))
                elif body[0] == PERSON:
                    family.people[name[:16]] = (body[1], (at, name))
                elif body[0] == DEVICE:
                    family.devices[body[1]] = body[5]
                elif body[0] == KEYHOLDER:
                    family.holders[body[3]] = (body[1], body[2], (at, name))
                elif body[0] == TAKE_IN:
                    family.taken |= self._below(body[2])
        return family

    def _below(self, head: bytes) -> set[bytes]:
        """An entry and those before it in its log."""
        top = self.written[head]
        return {head, *(d for d in top.seen if d in self.written and self.written[d].log == top.log)}

    def _settled(self, everyone: Family, alive: list[bytes], removals: list[bytes]) -> Family:
        family = self._admitted(alive)
        for removal in removals:
            _, what, target, _ = self.written[removal].statements[0]
            family.removed.add(target)
            if what == A_PERSON:
                family.people.pop(target, None)
            for device in [d for d, owner in family.devices.items() if d == target or owner == target]:
                family.removed.add(device)
                del family.devices[device]
            for key in self._hits(everyone, removal):
                family.allowed.setdefault(key, []).append(self.written[removal].seen)
                family.holders.pop(key, None)
        return family

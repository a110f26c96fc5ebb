"""Order, grouping and repetition of entries do not matter: every copy of one history is the same, byte for byte.

Histories are made by several people who write, delete, admit, grant and remove each other, some on a store that was
copied (so that their logs fork), and who meet now and then. Then all that was written is brought to new copies: in
another order that respects each entry's past, in other batches, some of it twice.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from replication.membership import (
    A_DEVICE,
    A_PERSON,
    ADMIN,
    EPOCH,
    GRANT,
    OWNS,
    PAPER,
    PERSON,
    READER,
    READS,
    REMOVE,
    TAKE_IN,
    UNLOCK,
    WRITER,
    WRITES,
)
from replication.replica import Replica
from tests.kin import BOX, Author, Family, at, copy, new_replica, state, sync, wires, write

BEN, CLEO, DORA = Author("ben"), Author("cleo"), Author("dora")
PHONES = {holder.id: Author(f"{holder.name}s phone") for holder in (BEN, CLEO, DORA)}
TARGETS = ("label", "password")


class Past:
    """A family of three on three devices and a copied store, which draw what happens from `random`."""

    def __init__(self, random: Random) -> None:
        self.random = random
        first = new_replica("first")
        self.family = Family.found(first)
        self.people = [self.family.admit(first, BEN, PHONES[BEN.id], ADMIN)]
        self.people.append(self.family.admit(first, CLEO, PHONES[CLEO.id], WRITER))
        self.family.grant(first, self.family.vault, self.people[0], OWNS, BEN)
        self.family.grant(first, self.family.vault, self.people[1], WRITES, CLEO)
        authors = (self.family.anna, BEN, CLEO)
        self.places: list[tuple[Replica, Author]] = [(first, authors[0])]
        self.places += [(copy(first, holder.name), holder) for holder in authors[1:]]
        self.clone()

    def clone(self) -> None:
        """A store is copied with its logs: both go on."""
        replica, author = self.random.choice(self.places)
        twin = copy(replica, f"twin {len(self.places)}")
        held = replica.store.row("SELECT log FROM own_logs WHERE author = ?", (author.id,))
        if held:
            twin.store.run("INSERT INTO own_logs VALUES (?, ?)", (author.id, held[0]))
        self.places.append((twin, author))

    def live(self, steps: int) -> None:
        for _ in range(steps):
            what = self.random.choices((self.write, self.delete, self.meet, self.say), (6, 1, 4, 5))[0]
            what(*self.random.choice(self.places))

    def write(self, replica: Replica, author: Author) -> None:
        value = str(self.random.randrange(1000))
        write(replica, author, self.family.vault, self.random.choice(TARGETS), value, now=self.random.randrange(9999))

    def delete(self, replica: Replica, author: Author) -> None:
        write(replica, author, self.family.vault, self.random.choice(TARGETS), None)

    def meet(self, replica: Replica, author: Author) -> None:
        other, _ = self.random.choice(self.places)
        if other is not replica:
            sync(replica, other)

    def say(self, replica: Replica, author: Author) -> None:
        """A statement, with effect or without."""
        made = (self.admission, self.removal, self.epoch, self.grant, self.own, self.taking_in)
        (what,) = self.random.choices(made, (1, 2, 1, 5, 2, 2))
        state(replica, author, what(replica, author))

    def admission(self, replica: Replica, author: Author) -> list[Any]:
        return [PERSON, self.random.choice((ADMIN, WRITER, READER)), self.random.randbytes(16)]

    def removal(self, replica: Replica, author: Author) -> list[Any]:
        known = replica.state()
        cuts = sorted([log, [digest]] for log, (digest, _) in _newest(replica).items())
        if self.random.random() < 0.3:
            return [REMOVE, A_DEVICE, self.random.choice(sorted(known.devices)), cuts]
        target = self.random.choice(self.people)  # Anna stays more often than not, and goes on writing
        return [REMOVE, A_PERSON, target, cuts if self.random.random() < 0.7 else []]

    def epoch(self, replica: Replica, author: Author) -> list[Any]:
        vault = replica.state().vaults[self.family.vault]
        readers = sorted(replica.state().recipients(self.family.vault))
        return [EPOCH, self.family.vault, vault.heads(), self.random.randbytes(32), [[key, BOX] for key in readers], []]

    def grant(self, replica: Replica, author: Author) -> list[Any]:
        known = replica.state()
        person = self.random.choice([one for one in self.people if one in known.people] or [self.family.person])
        boxes = [[key, BOX] for key in known.keyholders_of(person)]
        epoch = self.random.choice(sorted(known.vaults[self.family.vault].epochs))
        return [GRANT, self.family.vault, epoch, person, self.random.choice((READS, WRITES, OWNS)), boxes]

    def own(self, replica: Replica, author: Author) -> list[Any]:
        person = replica.state().person_of(author.id) or bytes(16)
        if self.random.random() < 0.5:
            return [UNLOCK, person, self.random.randbytes(64), b""]
        return [PAPER, person, self.random.randbytes(32), self.random.randbytes(32), self.random.randbytes(32)]

    def taking_in(self, replica: Replica, author: Author) -> list[Any]:
        log, (digest, _) = self.random.choice(sorted(_newest(replica).items()))
        return [TAKE_IN, log, digest]

    def all_of_it(self) -> Replica:
        """A copy that holds everything."""
        whole = new_replica("whole", self.family.family)
        for replica, _ in self.places:
            assert whole.ingest(wires(replica)).refused is None
        return whole


def _newest(replica: Replica) -> dict[bytes, tuple[bytes, int]]:
    return {log: (digest, time) for log, _, digest, time in replica.tips()}


def another_order(whole: Replica, random: Random) -> list[bytes]:
    """All entries of a copy, in an order in which each comes after those that it follows or names."""
    rows = whole.store.rows("SELECT id, previous, frontier FROM entries")
    said_in = dict(whole.store.rows("SELECT hash, entry FROM statements"))
    waits = {
        entry: ({previous} - {None}) | {said_in[frontier[i : i + 32]] for i in range(0, len(frontier or b""), 32)}
        for entry, previous, frontier in rows
    }
    order: list[int] = []
    while waits:
        entry = random.choice(sorted(one for one, needed in waits.items() if not needed & waits.keys()))
        del waits[entry]
        order.append(entry)
    return [whole.wire(entry) for entry in order]


def seen(replica: Replica) -> dict[str, Any]:
    """All that must be the same on every copy."""
    membership = replica.membership()
    return {
        "table": replica.table(),
        "frontier": replica.frontier(),
        "aside": sorted(replica.put_aside()),
        "state": replica.state(),
        "heads": membership.heads(),
        "reasons": membership.reasons,
        "live": {name: replica.live_dots(vault, at(name)) for vault in replica.state().vaults for name in TARGETS},
    }


@given(st.integers(0, 2**48), st.integers(10, 45))
@settings(max_examples=40)
def test_order_grouping_and_repetition_do_not_matter(seed: int, steps: int):
    random = Random(seed)
    past = Past(random)
    past.live(steps)
    whole = past.all_of_it()
    expected = seen(whole)
    for number in range(2):
        other = new_replica(f"other {number}", past.family.family)
        waiting, sent = another_order(whole, random), list[bytes]()
        while waiting:
            size = random.randrange(1, 8)
            batch, waiting = waiting[:size], waiting[size:]
            sent += batch
            again = random.sample(sent, random.randrange(min(4, len(sent)) + 1))
            result = other.ingest([*batch, *again])
            assert result.refused is None
            assert result.stored == len(batch)
        assert seen(other) == expected


@given(st.integers(0, 2**48), st.integers(10, 30))
@settings(max_examples=15)
def test_all_who_meet_have_the_same(seed: int, steps: int):
    past = Past(Random(seed))
    past.live(steps)
    for _ in range(2):
        for (one, _), (two, _) in zip(past.places, [*past.places[1:], past.places[0]], strict=True):
            sync(one, two)
    first, *others = (seen(replica) for replica, _ in past.places)
    assert all(other == first for other in others)


def test_a_history_has_forks_removals_and_what_is_put_aside():
    """What the laws are tried on is not empty."""
    found = {"forked": 0, "removed": 0, "aside": 0, "apart": 0}
    for seed in range(12):
        past = Past(Random(seed))
        past.live(25)
        whole = past.all_of_it()
        found["forked"] += whole.store.row("SELECT count(*) FROM logs WHERE forked")[0]
        found["removed"] += len(whole.state().removed)
        found["aside"] += len(whole.put_aside())
        found["apart"] += sum(len(whole.live_dots(past.family.vault, at(name))) > 1 for name in TARGETS)
    assert all(count > 3 for count in found.values()), found

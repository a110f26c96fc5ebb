"""Writes, copies, purges, removals and what is taken in, by four people who meet now and then: whatever the order in
which their entries arrive, and however they are judged anew, one table comes of it."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from replication.membership import (
    A_PERSON,
    ADMIN,
    GRANT,
    OWNS,
    PURGE,
    READER,
    REMOVE,
    REVOKE,
    ROLE,
    TAKE_IN,
    WRITER,
    WRITES,
)
from replication.replica import Replica
from tests.kin import Author, Family, copy, new_replica, state, sync, wires, write, write_copy


class Quarrel:
    """Anna and Ben are admins and owners, Cleo and Dora write; each has a copy of their own."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        first = new_replica("anna")
        self.family = Family.found(first)
        self.authors, self.people = [self.family.anna], [self.family.person]
        for name in ("ben", "cleo", "dora"):
            self._admit(first, Author(name))
        self.copies = [first, *(copy(first, author.name) for author in self.authors[1:])]
        self.epoch = first.state().vaults[self.family.vault].newest_epoch() or b""
        self.dots: list[bytes] = []

    def _admit(self, replica: Replica, author: Author) -> None:
        senior = author.name == "ben"
        laptop = Author(f"{author.name}s laptop")
        person = self.family.admit(replica, author, laptop, ADMIN if senior else WRITER)
        self.family.grant(replica, self.family.vault, person, OWNS if senior else WRITES, author)
        self.authors.append(author)
        self.people.append(person)

    def step(self, number: int) -> None:
        """Somebody does something, or meets somebody."""
        at = self.draw.randrange(4)
        replica, author, vault = self.copies[at], self.authors[at], self.family.vault
        if replica.state().person_of(author.id) is None:
            sync(replica, self.draw.choice(self.copies))  # they are out: nothing they say would count
            return
        deed = self.draw.random()
        if deed < 0.45:
            named = [self.draw.choice(self.dots)] if self.dots and self.draw.random() < 0.15 else None
            self.dots.append(write(replica, author, vault, "t", f"{number}", epoch=self.epoch, replaces=named))
        elif deed < 0.55 and self.dots:
            write_copy(replica, author, vault, "t", self.draw.choice(self.dots), f"copy {number}")
        elif deed < 0.82:
            state(replica, author, self._statement(replica))
        else:
            sync(replica, self.draw.choice(self.copies))

    def _statement(self, replica: Replica) -> list[Any]:
        other, vault, draw = self.draw.randrange(4), self.family.vault, self.draw
        heads: dict[bytes, list[bytes]] = {}
        for log, author, head, _ in replica.tips():
            if author == self.authors[other].id and draw.random() < 0.6:
                heads.setdefault(log, []).append(head)
        cuts = [[log, sorted(found)] for log, found in sorted(heads.items())]
        log, _, head, _ = draw.choice([tip for one in self.copies for tip in one.tips()])
        statements: list[list[Any]] = [
            [REMOVE, A_PERSON, self.people[other], cuts],
            [REVOKE, vault, self.people[other], draw.randrange(2), cuts],
            [ROLE, self.people[other], READER, cuts],
            [ROLE, self.people[other], WRITER, []],
            [GRANT, vault, self.epoch, self.people[other], WRITES, []],
            [TAKE_IN, log, head],
        ]
        if len(self.dots) > 1:
            floor = sorted(set(draw.sample(self.dots, draw.randrange(1, 3))))
            statements += [[PURGE, vault, [[draw.choice(self.dots), floor]]]] * 3
        return draw.choice(statements)


def in_any_order(entries: list[bytes], family: bytes, seed: int) -> Replica:
    """A copy that got the entries in some order that respects what each was made after."""
    draw, made = random.Random(seed), new_replica("another", family)
    waiting = list(entries)
    draw.shuffle(waiting)
    while waiting:
        left = [wire for wire in waiting if made.ingest([wire]).refused is not None]
        assert len(left) < len(waiting)
        waiting = left
    return made


def told(replica: Replica, vault: bytes) -> tuple[Any, ...]:
    state = replica.state()
    return replica.table(), sorted(replica.put_aside()), state.purges, state.cuts, replica.rewritten(vault)


@given(st.integers(0, 1 << 40))
@example(1003)
@example(1040)
@settings(max_examples=25, deadline=None)
def test_one_table_comes_of_it(seed: int):
    it = Quarrel(seed)
    for number in range(10 + seed % 16):
        it.step(number)
    whole, vault = it.copies[0], it.family.vault
    for other in it.copies[1:]:
        sync(whole, other)
    for order in range(3):
        found = in_any_order(wires(whole), it.family.family, order)
        assert told(found, vault) == told(whole, vault)
        before = told(found, vault)
        found.rebuild()
        assert told(found, vault) == before

"""Three admins and a member, for tests of who may do what, and the same family in any order of arrival."""

from __future__ import annotations

import random
from typing import Any

from replication.membership import (
    A_PERSON,
    ADMIN,
    EPOCH,
    FOUND,
    PERSON,
    REMOVE,
    SHARED,
    SUITE,
    VAULT,
    WRITER,
    Membership,
    State,
    Statement,
    family_id,
)
from tests.kin import BOX, Author, Statements, add_keyholder, admit_device

NAMES = ("anna", "ben", "cleo", "dora")
PEOPLE = [Author(name) for name in NAMES]
LAPTOPS = [Author(f"{name}s laptop") for name in NAMES]
FOUNDING: list[Any] = [FOUND, PEOPLE[0].box_key, Author("recovery").id, b"_" * 32]
FAMILY = family_id(PEOPLE[0].id, *FOUNDING[1:])


class Home(Statements):
    """Anna founded it and admitted Ben, Cleo (admins) and Dora, in this order, each on a laptop of their own."""

    def __init__(self) -> None:
        super().__init__(FAMILY)
        self.people: list[bytes] = []
        for number, (author, laptop) in enumerate(zip(PEOPLE, LAPTOPS, strict=True)):
            before = [FOUNDING] if number == 0 else []
            admission = [PERSON, WRITER if author.name == "dora" else ADMIN, author.id[:16]]
            person = self.make(PEOPLE[0], *before, admission)[-1].hash[:16]
            admitted = [
                admission,
                admit_device(FAMILY, laptop, person),
                add_keyholder(FAMILY, person, laptop, author),
            ]
            assert self.add(PEOPLE[0], *before, *admitted) == [""] * (len(before) + 3)
            self.people.append(person)

    def state(self) -> State:
        return self.membership.state()

    def names(self) -> set[str]:
        return {NAMES[self.people.index(person)] for person in self.state().people}

    def admit(self, author: Author, name: str, role: int, frontier: tuple[bytes, ...] | None = None) -> bytes:
        """A further person, with a laptop; `Author(name)` is their key."""
        holder, laptop = Author(name), Author(f"{name}s laptop")
        admission = [PERSON, role, holder.id[:16]]
        person = self.make(author, admission, frontier=frontier)[-1].hash[:16]
        bodies = [admission, admit_device(FAMILY, laptop, person), add_keyholder(FAMILY, person, laptop, holder)]
        assert self.add(author, *bodies, frontier=frontier) == [""] * 3
        return person

    def new_vault(self, author: Author, kind: int = SHARED) -> tuple[bytes, bytes]:
        """A vault of the author's, and its first epoch."""
        made = [VAULT, kind, bytes([len(self.batches)]) * 16]
        vault = self.make(author, made)[-1].hash[:16]
        person = self.state().person_of(author.id) or b""
        keys = self.state().keyholders_of(person)
        keys += [self.state().papers[person].sign_key] if person in self.state().papers else []
        bodies = [made, [SUITE, vault, 1, [1, 2], 1], [EPOCH, vault, [], b"C" * 32, boxes(*keys), []]]
        names = [one.hash for one in self.make(author, *bodies)]
        assert self.add(author, *bodies) == [""] * 3
        return vault, names[2]

    def last(self) -> bytes:
        """The hash of what was stated last."""
        return self.batches[-1][-1].hash

    def everywhere(self, orders: int = 8) -> State:
        """The family, the same in so many orders of arrival."""
        for seed in range(orders):
            assert in_any_order(self.batches, seed).state() == self.state()
        return self.state()


def boxes(*keys: bytes) -> list[Any]:
    return [[key, BOX] for key in sorted(keys)]


def remove(person: bytes, *cuts: list[Any]) -> list[Any]:
    return [REMOVE, A_PERSON, person, sorted(cuts)]


def in_any_order(batches: list[list[Statement]], seed: int) -> Membership:
    """The same entries in another order of arrival that respects what each was made after."""
    draw, waiting, it = random.Random(seed), list(batches), Membership(FAMILY)
    while waiting:
        ready = [batch for batch in waiting if all(head in it for head in batch[0].frontier)]
        chosen = draw.choice(ready)
        waiting.remove(chosen)
        it.add(chosen)
    return it

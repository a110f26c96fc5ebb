"""`python -m simulations.search`: every small history of a family's statements, told to the product's membership.

Three admins, a member and a blind peer. Of every history: somebody is left who can act; the state is the same in
another order of arrival; and who is here, who is an admin, who was removed and who may write is what the model of the
rules says (simulations/model), which shares no code with it.

A history is a directed graph: who said what, having heard which of the others. Each is looked at once: the statements
stand by depth, then by author, which is one order for each graph. Each author has heard all that they said before.
What has no effect in its own past is not built upon.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from replication.entry import log_id
from replication.membership import (
    A_DEVICE,
    A_PERSON,
    ADMIN,
    APPROVE,
    BLIND,
    DEVICE,
    EPOCH,
    FOUND,
    FULL,
    GRANT,
    KEYHOLDER,
    OWNS,
    PAPER,
    PERSON,
    PROPOSE,
    RECOVER,
    REMOVE,
    REVOKE,
    ROLE,
    SHARED,
    SUITE,
    VAULT,
    WRITER,
    WRITES,
    Membership,
    State,
    Statement,
    device_proof,
    family_id,
    keyholder_proof,
)
from simulations.model.events import bits
from simulations.model.membership import RULES
from simulations.model.membership import Membership as Model
from simulations.model.membership import State as ModelState
from simulations.model.membership import Statement as ModelStatement

A, B, C, M = range(4)
SECOND, PEER, KIT, RECOVERY = 4, 50, 60, -1
"""A's second laptop, the blind peer, A's paper key, the first family recovery key."""
LEAF, BOX = b"L" * 64, b"B" * 80
BEFORE = 11
"""Entries of the founding."""
Body = list[Any]


class Key:
    """A keyholder, a device, a paper or a recovery key."""

    def __init__(self, name: str) -> None:
        self.sign = SigningKey(hashlib.sha256(name.encode()).digest())
        self.id = bytes(self.sign.verify_key)
        self.box = bytes(PrivateKey(hashlib.sha256(b"box" + name.encode()).digest()).public_key)


@cache
def key(number: int | str) -> Key:
    return Key(f"key {number}")


@cache
def device(number: int | str) -> Key:
    """The laptop of a keyholder."""
    return Key(f"device {number}")


START: Body = [FOUND, key(A).box, key(RECOVERY).id, b"N" * 32]
FAMILY = family_id(key(A).id, *START[1:])


@cache
def _proof(kind: str, number: int | str, person: bytes) -> bytes:
    holder, laptop = key(number), device(number)
    if kind == "device":
        return laptop.sign.sign(device_proof(FAMILY, laptop.id, laptop.box, LEAF, person)).signature
    return holder.sign.sign(keyholder_proof(FAMILY, person, laptop.id, holder.id, holder.box)).signature


def _device(number: int | str, owner: bytes, role: int = FULL) -> Body:
    laptop = device(number)
    return [DEVICE, laptop.id, laptop.box, LEAF, role, owner, BOX, _proof("device", number, owner)]


def _holder(number: int | str, person: bytes) -> Body:
    return [KEYHOLDER, person, device(number).id, key(number).id, key(number).box, _proof("holder", number, person)]


def _name(of: str) -> bytes:
    return hashlib.sha256(of.encode()).digest()[:31]


def _nth(entry: bytes, index: int) -> bytes:
    """The name of an entry's statement: they follow one another in the order of names."""
    return entry[:15] + bytes([index]) + entry[15:]


@dataclass(frozen=True, slots=True)
class Step:
    """`past`: the steps that its author had heard of."""

    author: int
    act: str
    past: int
    seq: int
    """In its author's log."""
    depth: int

    def name(self) -> bytes:
        """Of its entry."""
        return _name(f"{self.author} {self.act} {self.seq} {self.past}")

    def fresh(self) -> int:
        """The number of a key that it brings."""
        return 1000 + int.from_bytes(self.name()[:6])


def _entry(name: bytes, author: int, seq: int, frontier: tuple[bytes, ...], bodies: list[Body]) -> list[Statement]:
    who = key(author).id
    log = log_id(FAMILY, who, b"N" * 16)
    return [Statement(_nth(name, n), who, log, seq, n, frontier, body) for n, body in enumerate(bodies)]


@dataclass
class Told:
    """One family: what the product and the model were told of it, statement for statement."""

    product: Membership = field(default_factory=lambda: Membership(FAMILY))
    model: list[ModelStatement] = field(default_factory=list)
    rules: Model = field(init=False)
    names: list[bytes] = field(default_factory=list)
    """Of the last statement of each entry."""
    people: dict[int, bytes] = field(default_factory=dict)
    vault: bytes = b""
    epoch: bytes = b""
    entries: list[list[Statement]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rules = Model(self.model, frozenset(RULES))

    def add(self, entry: list[Statement], said: ModelStatement) -> bool:
        """Whether all of it has effect."""
        self.product.add(entry)
        self.entries.append(entry)
        self.model.append(said)
        self.names.append(entry[-1].hash)
        if said.kind in ("found", "person", "recover"):
            self.people[said.target] = entry[1 if said.kind == "found" else 0].hash[:16]
        return not any(one.hash in self.product.reasons for one in entry)

    def mask(self, past: int) -> int:
        """Founding and steps, as the model numbers them."""
        return (1 << BEFORE) - 1 | past << BEFORE

    def frontier(self, mask: int) -> tuple[bytes, ...]:
        steps = [BEFORE + n for n in bits(mask >> BEFORE)]
        heads = [n for n in steps if not any(self.model[other].past >> n & 1 for other in steps)]
        return tuple(sorted(self.names[n] for n in heads or [BEFORE - 1]))


def _found() -> Told:
    it = Told()

    def say(author: int, bodies: list[Body], kind: str, target: int = -1, new: int = -1, **more: Any) -> None:
        number = len(it.model)
        entry = _entry(_name(f"found {number}"), author, number,
                            (it.names[-1],) if it.names else (), bodies)  # fmt: skip
        size = len(bodies) - (kind == "found")
        past, tie = (1 << number) - 1, _tie(entry[0].hash)
        said = ModelStatement(number, author, past, kind, target, new, size=size, name=tie, **more)
        assert it.add(entry, said), [it.product.reasons.get(one.hash) for one in entry]

    def person(author: int, number: int, role: int, before: list[Body]) -> None:
        made = _nth(_name(f"found {len(it.model)}"), len(before))[:16]
        bodies = [*before, [PERSON, role, key(number).id[:16]], _device(number, made), _holder(number, made)]
        say(author, bodies, "found" if before else "person", number, number, admin=role == ADMIN)

    person(A, A, ADMIN, [START])
    person(A, M, WRITER, [])
    person(A, B, ADMIN, [])
    person(B, C, ADMIN, [])
    anna = it.people[A]
    say(A, [_device(SECOND, anna), _holder(SECOND, anna)], "device", A, SECOND)
    say(A, [_device(PEER, b"", BLIND)], "blind", -1, PEER)
    it.vault = _nth(_name("found 6"), 0)[:16]
    boxes = [[one, BOX] for one in sorted([key(A).id, key(SECOND).id])]
    opened = [[VAULT, SHARED, b"V" * 16], [SUITE, it.vault, 1, [1, 2], 1], [EPOCH, it.vault, [], b"C" * 32, boxes, []]]
    say(A, opened, "epoch", targets=frozenset((A, SECOND)))
    it.epoch = it.names[-1]
    for number, right in ((B, OWNS), (C, WRITES), (M, WRITES)):
        say(A, [[GRANT, it.vault, it.epoch, it.people[number], right, []]], "grant", 6, number, right=right)
    say(A, [[PAPER, anna, key(KIT).id, key(KIT).box, b"sealed paper code"]], "paper", A, KIT)
    return it


def _tie(name: bytes) -> int:
    return int.from_bytes(name)


# What may be said

Said = tuple[list[Body], str, dict[str, Any]]
"""The bodies, and the same for the model."""
Saying = Callable[[Told, Step], Said | None]


def _remove(number: int) -> Saying:
    def said(told: Told, step: Step) -> Said | None:
        if (step.author, number) == (SECOND, A):
            return None  # they leave: A does so
        kind = "leave" if number == step.author else "remove person"
        return [[REMOVE, A_PERSON, told.people[number], []]], kind, {"target": number}

    return said


def _take(number: int) -> Saying:
    def said(_: Told, step: Step) -> Said | None:
        body = [REMOVE, A_DEVICE, device(number).id, []]
        return None if step.author == number else ([body], "remove key", {"target": number})

    return said


def _role(number: int, role: int) -> Saying:
    kind = "promote" if role == ADMIN else "demote"
    return lambda told, _: ([[ROLE, told.people[number], role, []]], kind, {"target": number})


def _right(number: int, right: int) -> Saying:
    def said(told: Told, _: Step) -> Said:
        body = [GRANT, told.vault, told.epoch, told.people[number], right, []]
        return [body], "grant", {"target": 6, "key": number, "right": right}

    return said


def _revoke(number: int, right: int) -> Saying:
    def said(told: Told, _: Step) -> Said:
        body = [REVOKE, told.vault, told.people[number], right, []]
        return [body], "revoke", {"target": number, "right": right}

    return said


def _propose(number: int) -> Saying:
    def said(told: Told, step: Step) -> Said:
        body = [PROPOSE, step.name()[:16], A_PERSON, told.people[number]]
        return [body], "propose", {"target": number}

    return said


def _approve(told: Told, step: Step) -> Said | None:
    heard = [n for n in bits(told.mask(step.past)) if told.model[n].kind == "propose"]
    return ([[APPROVE, told.names[heard[-1]], []]], "approve", {"target": heard[-1]}) if heard else None


def _admit(_: Told, step: Step) -> Said:
    number, made = step.fresh(), _nth(step.name(), 0)[:16]
    bodies = [[PERSON, ADMIN, key(number).id[:16]], _device(number, made), _holder(number, made)]
    return bodies, "person", {"target": number, "key": number, "admin": True}


def _own_device(told: Told, step: Step) -> Said:
    number, person = step.fresh(), A if step.author in (SECOND, KIT) else step.author
    made = told.people[person]
    return [_device(number, made), _holder(number, made)], "device", {"target": person, "key": number}


def _paper(told: Told, step: Step) -> Said:
    number, person = step.fresh(), A if step.author in (SECOND, KIT) else step.author
    body = [PAPER, told.people[person], key(number).id, key(number).box, b"sealed paper code"]
    return [body], "paper", {"target": person, "key": number}


def _recover(*numbers: int) -> Saying:
    def said(told: Told, step: Step) -> Said:
        number, following = step.fresh(), step.author - 1
        holder, laptop = key(number), device(number)
        named = [[A_PERSON, told.people[one], []] for one in numbers]
        body = [
            RECOVER, named, laptop.id, laptop.box, LEAF, BOX, _proof("device", number, holder.id[:16]),
            holder.id, holder.box, _proof("holder", number, holder.id[:16]), key(following).id,
        ]  # fmt: skip
        more = {"target": number, "key": number, "targets": frozenset(numbers), "next": following}
        return [body], "recover", more

    return said


def _epoch(told: Told, step: Step) -> Said | None:
    """For the readers, as its author knows them; the model is not asked about epochs here."""
    state = told.product.state_at(told.frontier(told.mask(step.past)))
    vault = state.vaults[told.vault]
    boxes = [[one, BOX] for one in sorted(state.recipients(told.vault))]
    return [[EPOCH, told.vault, sorted(vault.epochs), b"C" * 32, boxes, []]], "epoch", {}


PEOPLE_ACTS: dict[str, Saying] = {
    "removes A": _remove(A),
    "removes B": _remove(B),
    "removes C": _remove(C),
    "removes M": _remove(M),
    "removes A's laptop": _take(A),
    "removes A's second": _take(SECOND),
    "removes the peer": _take(PEER),
    "admits an admin": _admit,
    "adds a laptop": _own_device,
}
ROLE_ACTS: dict[str, Saying] = {
    "raises M": _role(M, ADMIN),
    "raises B": _role(B, ADMIN),
    "lowers A": _role(A, WRITER),
    "lowers B": _role(B, WRITER),
    "lowers C": _role(C, WRITER),
    "proposes A": _propose(A),
    "approves": _approve,
}
KEY_ACTS: dict[str, Saying] = {"recovers": _recover(A, B), "prints a kit": _paper}
VAULT_ACTS: dict[str, Saying] = {
    "M owns": _right(M, OWNS),
    "M writes": _right(M, WRITES),
    "M reads nothing": _revoke(M, 0),
    "B reads nothing": _revoke(B, 0),
    "B writes": _revoke(B, WRITES),
    "opens an epoch": _epoch,
}
ACTS = PEOPLE_ACTS | ROLE_ACTS | KEY_ACTS | VAULT_ACTS
ADMINS_GO = ("removes A", "removes B", "removes C")
LOWERED = ("lowers A", "lowers B", "lowers C")
PROFILES: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "all": ((A, B, C, M, SECOND, KIT, RECOVERY, RECOVERY - 1), tuple(ACTS)),
    "people": ((A, B, C, M, SECOND), tuple(PEOPLE_ACTS)),
    "roles": ((A, B, C), (*ADMINS_GO, *LOWERED, "raises B", "proposes A", "approves")),
    "leaving": ((A, B, C, SECOND), (*ADMINS_GO, "lowers A", "lowers B", "removes A's laptop")),
    "quarrel": ((A, B, C), (*ADMINS_GO, "lowers B", "raises B")),
    "vault": ((A, B, C, M), (*VAULT_ACTS, "removes A", "removes B")),
}
"""Authors, and what they say."""


class Found(Exception):
    """A history that went wrong, and how."""


# Every history


def _pasts(steps: tuple[Step, ...], author: int) -> list[int]:
    own = sum(1 << n for n, step in enumerate(steps) if step.author == author)
    every = [mask for mask in range(1 << len(steps)) if own & ~mask == 0]
    return [mask for mask in every if all(steps[n].past & ~mask == 0 for n in bits(mask))]


def _next(steps: tuple[Step, ...], authors: tuple[int, ...]) -> Iterator[tuple[int, int, int, int]]:
    """(author, past, seq, depth) that may come after these in the one order of their graph."""
    last = (steps[-1].depth, steps[-1].author) if steps else (0, -9)
    for author in authors:
        seq = sum(step.author == author for step in steps)
        for past in _pasts(steps, author):
            depth = 1 + max((steps[n].depth for n in bits(past)), default=0)
            if (depth, author) > last:
                yield author, past, seq, depth


def tell(told: Told, step: Step) -> bool:
    """Tell both of one more step. Whether it has effect; the two must be of one mind."""
    saying = ACTS[step.act](told, step)
    if saying is None:
        return False
    bodies, kind, more = saying
    past, number = told.mask(step.past), len(told.model)
    if kind == "epoch":
        more = {"targets": told.rules.state(past).readers()}
    entry = _entry(step.name(), step.author, BEFORE + step.seq, told.frontier(past), bodies)
    tie = _tie(entry[0].hash)
    has_effect = told.add(entry, ModelStatement(number, step.author, past, kind, size=len(bodies), name=tie, **more))
    in_model = told.rules.valid(number)
    if has_effect != in_model:
        reasons = [told.product.reasons.get(one.hash, "") for one in entry]
        raise Found(f"has effect: product {has_effect} {reasons}, model {in_model}")
    return has_effect


def check(told: Told, mask: int, *, orders: bool) -> None:
    """Raises Found if something is wrong with the family that has heard of these."""
    state = told.product.state_at(told.frontier(mask))
    acting = {holder.person for holder in state.keyholders.values() if holder.device in state.devices}
    if not any(state.people[person].role == ADMIN for person in acting & state.people.keys()):
        raise Found("no admin is left who can act")
    compare(told, state, told.rules.state(mask))
    if orders and _other_order([told.entries[n] for n in bits(mask)]).state() != state:
        raise Found("another order of arrival leaves another family")


def compare(told: Told, state: State, model: ModelState) -> None:
    """Raises Found unless the product and the model say the same of this family."""
    numbers = {key(said.key).id: said.key for said in told.model if said.kind not in ("grant", "blind")}
    people = {name: number for number, name in told.people.items()}
    here = {numbers[one]: people[holder.person] for one, holder in state.keyholders.items()}
    acting = {holder.person for holder in state.keyholders.values()}
    rights = {people[one]: state.right(told.vault, one) for one in acting}
    for what, product, expected in (
        ("keyholders", here, model.keys),
        ("admins", {people[one] for one in acting if state.people[one].role == ADMIN}, model.admins),
        ("rights", rights, {person: model.rights.get(person, 0) for person in model.keys.values()}),
        ("blind peers", device(PEER).id in state.devices, PEER in model.blind),
        ("recovery key", state.recovery_key, key(model.recovery).id),
    ):
        if product != expected:
            raise Found(f"{what}: product {product!r}, model {expected!r}")


def _other_order(left: list[list[Statement]]) -> Membership:
    """The same statements, the newest that can come always first."""
    other = Membership(FAMILY)
    while left:
        ready = [entry for entry in left if all(name in other for name in entry[0].frontier)]
        chosen = ready[-1]
        left.remove(chosen)
        other.add(chosen)
    return other


class Search:
    def __init__(self, profile: str, most: int, limit: int, seconds: float) -> None:
        self.authors, self.acts = PROFILES[profile]
        self.most, self.limit = most, limit
        self.end = time.monotonic() + seconds
        self.counts: Counter[int] = Counter()
        self.found: list[str] = []
        self.orders = 0
        self.whole = True

    def run(self) -> None:
        for size in range(1, self.most + 1):
            self._grow((), size)

    def _stop(self) -> bool:
        if time.monotonic() > self.end or (self.limit and sum(self.counts.values()) >= self.limit):
            self.whole = False
        return not self.whole

    def _grow(self, steps: tuple[Step, ...], size: int) -> None:
        """All histories of just this size that begin so: the last step is looked at, those before were."""
        told = _found()
        for step in steps:
            tell(told, step)
        for author, past, seq, depth in _next(steps, self.authors):
            for act in self.acts:
                if self._stop():
                    return
                if (act == "recovers") != (author < 0):
                    continue
                longer = (*steps, Step(author, act, past, seq, depth))
                if self._is_one(told, longer, last=len(longer) == size) and len(longer) < size:
                    self._grow(longer, size)

    def _is_one(self, told: Told, steps: tuple[Step, ...], *, last: bool) -> bool:
        try:
            if not tell(told, steps[-1]):
                return False
            if last:
                number = self.counts[len(steps)]
                orders = len(steps) == 1 or number % 50 == 0
                self.counts[len(steps)] += 1
                self.orders += orders
                before = told.mask((1 << len(steps) - 1) - 1)
                check(told, before | 1 << len(told.model) - 1, orders=orders)
        except Found as found:
            self.found.append(f"{describe(steps)}: {found}")
        return True


def describe(steps: tuple[Step, ...]) -> str:
    names = {A: "A", B: "B", C: "C", M: "M", SECOND: "A's second", KIT: "A's paper", RECOVERY: "the recovery key"}
    return "; ".join(
        f"{n + 1}. {names.get(step.author, step.author)} {step.act}, having heard {[o + 1 for o in bits(step.past)]}"
        for n, step in enumerate(steps)
    )


def main(arguments: list[str] | None = None) -> int:
    """0: nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m simulations.search", description=__doc__)
    parser.add_argument("--statements", type=int, default=3, metavar="N", help="in the longest histories")
    parser.add_argument("--kinds", choices=sorted(PROFILES), default="all", help="of statements")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="histories at most")
    parser.add_argument("--seconds", type=float, default=600, metavar="S", help="at most")
    asked = parser.parse_args(arguments)
    start, search = time.monotonic(), Search(asked.kinds, asked.statements, asked.limit, asked.seconds)
    search.run()
    seconds = time.monotonic() - start
    for size, count in sorted(search.counts.items()):
        print(f"{asked.kinds}, {size} statements: {count} histories")
    total = sum(search.counts.values())
    print(f"{'all of them' if search.whole else 'stopped before the end'}; {search.orders} in another order of arrival")
    print(f"{seconds:.1f} s, {total / max(seconds, 0.001):.0f} histories a second, {len(search.found)} found")
    for one in search.found[:10]:
        print(one)
    return int(bool(search.found))


if __name__ == "__main__":
    sys.exit(main())

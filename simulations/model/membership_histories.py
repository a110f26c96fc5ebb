"""Histories of a membership: random ones with hostile members, and every one of a few statements."""

from __future__ import annotations

import random
from collections.abc import Iterator

from simulations.model.checks import Violation
from simulations.model.events import bits
from simulations.model.membership import PAPER, RULES, Membership, State, Statement

ALL = frozenset(RULES)
A, B, C, M = 0, 1, 2, 3
"""Three admins and a member: their persons and their first keys have the same numbers."""
BLIND = 50

KINDS = {
    "person": 4, "device": 4, "promote": 3, "remove key": 8, "remove person": 10, "propose": 4, "approve": 6,
    "recover": 1, "leave": 3, "epoch": 4, "grant": 6, "write": 12, "again": 3,
}  # fmt: skip


class Tree:
    """The statements of one family, and what each key's device holds."""

    def __init__(self, rules: frozenset[str]) -> None:
        self.all: list[Statement] = []
        self.rules = Membership(self.all, rules)
        self.held: dict[int, int] = {}
        self.fresh = 10

    def say(
        self, author: int, past: int, kind: str, target: int = -1, key: int = -1, *,
        admin: bool = False, targets: frozenset[int] = frozenset(), honest: bool = True,
    ) -> int:  # fmt: skip
        one = len(self.all)
        self.all.append(Statement(one, author, past, kind, target, key, admin, targets, honest))
        self.held[author] = self.held.get(author, 0) | 1 << one | past
        return one

    def everything(self) -> int:
        return (1 << len(self.all)) - 1

    def found(self) -> None:
        """A founds, admits M and B, B admits C; a second laptop of A's and a blind peer come after."""
        self.say(A, 0, "found", A, A)
        for author, person, admin in ((A, M, False), (A, B, True), (B, C, True)):
            self.say(author, self.everything(), "person", person, person, admin=admin)
        self.say(A, self.everything(), "device", A, 4)
        self.say(A, self.everything(), "blind", -1, BLIND)
        self.say(A, self.everything(), "epoch", targets=frozenset((A, B, C, M, 4)))
        for key in (A, B, C, M, 4):
            self.held[key] = self.everything()


def random_past(tree: Tree, key: int, rng: random.Random) -> int:
    """A past that a dishonest key may claim: any closed part of what it holds, its own log forked at will."""
    chosen = 0
    for one in bits(tree.held[key]):
        if rng.random() < 0.5 or one < 6:
            chosen |= 1 << one | tree.all[one].past
    return chosen


def act(tree: Tree, key: int, kind: str, rng: random.Random) -> None:
    honest = rng.random() < 0.8
    past = tree.held[key] if honest else random_past(tree, key, rng)
    state = tree.rules.state(past)
    persons = sorted(state.ranks) or [A]
    mine = state.keys.get(key, -1)
    if honest and mine < 0:
        return
    if kind in ("person", "device", "again", "recover"):
        admit(tree, key, kind, past, honest=honest, rng=rng)
    elif kind == "remove key":
        keys = sorted([*state.keys, *state.blind]) or [A]
        tree.say(key, past, kind, rng.choice(keys), honest=honest)
    elif kind in ("promote", "remove person", "propose"):
        tree.say(key, past, kind, rng.choice(persons), honest=honest)
    elif kind == "approve":
        open_ones = [s for s in bits(past) if tree.all[s].kind == "propose"]
        if open_ones:
            tree.say(key, past, kind, rng.choice(open_ones), honest=honest)
    elif kind == "leave":
        tree.say(key, past, kind, mine, honest=honest)
    elif mine >= 0:
        seal(tree, key, kind, past, honest=honest, rng=rng)


def admit(tree: Tree, key: int, kind: str, past: int, *, honest: bool, rng: random.Random) -> None:
    """A new person, an own device, a key that was removed, or a recovery with its new admin."""
    state, fresh = tree.rules.state(past), tree.fresh
    tree.fresh += 1
    if kind == "person":
        tree.say(key, past, kind, fresh, fresh, admin=rng.random() < 0.6, honest=honest)
    elif kind == "device":
        tree.say(key, past, kind, state.keys.get(key, -1), fresh, honest=honest)
    elif kind == "again" and state.removed:
        tree.say(key, past, "person", 100 + fresh, rng.choice(sorted(state.removed)), honest=honest)
    elif kind == "recover" and rng.random() < 0.5:
        persons = sorted(state.ranks) or [A]
        targets = frozenset(rng.sample(persons, min(2, len(persons))))
        atomic = "atomic" in tree.rules.rules
        tree.say(PAPER, past, kind, fresh if atomic else -1, fresh if atomic else -1, targets=targets)
        if atomic:
            tree.held[fresh] = tree.held[PAPER]


def seal(tree: Tree, key: int, kind: str, past: int, *, honest: bool, rng: random.Random) -> None:
    readers = tree.rules.state(past).readers()
    if kind == "epoch":
        if not honest and rng.random() < 0.5:
            readers = frozenset(k for k in tree.held if k >= 0 and rng.random() < 0.7)
        tree.say(key, past, kind, targets=readers, honest=honest)
        return
    epochs = [s for s in bits(past) if tree.all[s].kind == "epoch" and tree.rules.valid(s)]
    if kind == "grant":
        lacking = [(e, k) for e in epochs[-2:] for k in sorted(readers - tree.rules.given(e, past))]
        if lacking:
            epoch, reader = rng.choice(lacking)
            tree.say(key, past, kind, epoch, reader, honest=honest)
        return
    if honest:
        write(tree, key)


def write(tree: Tree, key: int) -> None:
    """An honest write: a new epoch before it where there is none to write under."""
    epoch, lacking = tree.rules.current(tree.held[key])
    if epoch is None:
        readers = tree.rules.state(tree.held[key]).readers()
        epoch = tree.say(key, tree.held[key], "epoch", targets=readers)
        lacking = frozenset()
    for reader in sorted(lacking):
        tree.say(key, tree.held[key], "grant", epoch, reader)
    tree.say(key, tree.held[key], "write", epoch)


def run(seed: int, rules: frozenset[str] = ALL) -> None:
    """One random history. Raises Violation."""
    rng = random.Random(seed)
    tree = Tree(rules)
    tree.found()
    kinds, weights = list(KINDS), list(KINDS.values())
    for _ in range(rng.randint(2, 16)):
        key = rng.choice([k for k in sorted(tree.held) if k >= 0])
        if rng.random() < 0.6:
            act(tree, key, rng.choices(kinds, weights)[0], rng)
        else:
            other = rng.choice(sorted(tree.held))
            tree.held[key] |= tree.held[other]
        for one in range(len(tree.all)):  # who was admitted starts with all that their admitter had
            if tree.all[one].key >= 0:
                tree.held.setdefault(tree.all[one].key, tree.all[one].past | 1 << one)
        check(tree, tree.held[key])
    check(tree, tree.everything())
    check_order(tree, rng)
    check_sealed(tree)


def check(tree: Tree, mask: int) -> None:
    """What must hold of every set of statements that some device may hold."""
    state = tree.rules.state(mask)
    if not state.admins:
        raise Violation("no admin", f"after {describe(tree, mask)}")
    back = {key for key in state.keys if any(tree.rules.hits(r, key, mask) for r in state.removals)}
    if back:
        raise Violation("back", f"{sorted(back)} removed and a member, after {describe(tree, mask)}")
    check_kills(tree, mask, state)
    check_authority(tree, mask, state)


def check_authority(tree: Tree, mask: int, state: State) -> None:
    """One laptop in wrong hands does not take the family over."""
    for one in sorted(state.alive):
        said = tree.all[one]
        made = [s for s in bits(said.past) if tree.all[s].admin or tree.all[s].kind in ("found", "recover", "promote")]
        admins = {tree.all[s].target for s in made}
        persons = {tree.rules.person_of(author, said.past) for author in tree.rules.authors(said)}
        if said.kind in ("person", "promote", "blind", "approve") and not persons <= admins:
            raise Violation("takeover", f"{one} was said by no admin: {describe(tree, mask)}")
        if said.kind == "approve" and (len(persons) < 2 or tree.all[said.target].target in persons):
            raise Violation("takeover", f"{one} is no word of two others: {describe(tree, mask)}")
        target = said.target if said.kind == "remove person" else tree.rules.person_of(said.target, said.past)
        if said.kind in ("remove key", "remove person") and target is not None and {target} != persons:
            eldest = [min(s for s in bits(said.past) if tree.all[s].target == p and tree.all[s].key >= 0)
                      for p in (*persons, target) if p is not None]  # fmt: skip
            promoted = any(tree.all[s].kind == "promote" for s in bits(said.past))
            depths = [tree.rules.depth(s) for s in eldest]
            if not persons <= admins or (not promoted and depths[0] > depths[-1]):
                raise Violation("takeover", f"{one} removes a senior: {describe(tree, mask)}")


def check_kills(tree: Tree, mask: int, state: State) -> None:
    """Asked of an instance with all rules: nothing stands that a removal in force reaches."""
    whole = Membership(tree.all, ALL)
    for removal in state.removals:
        for one in state.alive:
            if whole.kills(removal, one):
                raise Violation("kill", f"{one} stands, unheard by removal {removal}: {describe(tree, mask)}")
    order = {one: whole.order(one) for one in bits(mask) if tree.all[one].kind in ("remove key", "remove person")}
    for one in order:
        if one in state.removals or not tree.rules.valid(one):
            continue
        killers = [r for r in state.removals if whole.kills(r, one)]
        mutual = killers and all(whole.kills(one, r) for r in killers)
        if mutual and all(r in order and order[r] > order[one] for r in killers):
            raise Violation("senior", f"removal {one} has no effect against {killers}: {describe(tree, mask)}")


def check_order(tree: Tree, rng: random.Random) -> None:
    """The same family in another order of arrival, each statement after its past."""
    left, arrived, have = list(range(len(tree.all))), [], 0
    while left:
        ready = [s for s in left if tree.all[s].past & ~have == 0]
        one = rng.choice(ready)
        left.remove(one)
        arrived.append(one)
        have |= 1 << one
    fresh = Membership(tree.all, tree.rules.rules)
    mine, other = tree.rules.state(have), fresh.state(have, arrived)
    if (mine.keys, mine.admins, mine.alive) != (other.keys, other.admins, other.alive):
        raise Violation("order", f"arrived {arrived}: {describe(tree, have)}")


def check_sealed(tree: Tree) -> None:
    """Nobody reads what was written by who had heard of their removal; no reader is given what they may not."""
    everything = tree.everything()
    honest = sum(1 << s.id for s in tree.all if s.honest)
    for said in tree.all:
        if said.kind != "write" or not said.honest:
            continue
        past = tree.rules.state(said.past)
        readers = tree.rules.can_read(said.target, everything & honest | 1 << said.target)
        beyond = {tree.all[s].key for s in bits(said.past)} & readers - past.keys.keys()
        if beyond:
            raise Violation("reads", f"{sorted(beyond)} read write {said.id}: {describe(tree, everything)}")
        if readers & past.blind:
            raise Violation("reads", f"a blind peer reads {said.id}: {describe(tree, everything)}")


def describe(tree: Tree, mask: int) -> str:
    """The statements after the founding, with what each had not heard."""
    told = []
    for one in bits(mask):
        if one < 7:
            continue
        said = tree.all[one]
        deaf = [*bits((1 << one) - 1 & ~said.past)]
        what = " ".join(str(x) for x in (said.target, said.key) if x >= 0)
        told.append(f"{one}: {said.author} says {said.kind} {what} {sorted(said.targets) or ''} deaf to {deaf}")
    return "; ".join(told)


# Every history of a few statements.

AUTHORS = (A, B, C, M, 4)
FEW: tuple[tuple[str, int], ...] = (
    ("remove person", A), ("remove person", B), ("remove person", C), ("remove key", A), ("remove key", 4),
    ("propose", A), ("approve", -1), ("person", -1), ("leave", -1), ("recover", A), ("promote", M),
    ("write", -1), ("remove key", M),
)  # fmt: skip


def every(statements: int, rules: frozenset[str] = ALL) -> Iterator[tuple[Tree, Violation | None]]:
    """Every history of so many statements after the founding, each said after every possible part of the rest."""
    yield from _grow(statements, (), rules)


Step = tuple[int, str, int, int]


def _grow(left: int, steps: tuple[Step, ...], rules: frozenset[str]) -> Iterator[tuple[Tree, Violation | None]]:
    for past in _pasts(steps):
        for author in AUTHORS:
            if any(step[0] == author and not past >> n & 1 for n, step in enumerate(steps)):
                continue
            for kind, target in FEW:
                if kind == "recover" and author != A:
                    continue
                step = (author, kind, target, past)
                tree = _tell((*steps, step), rules)
                if tree is None:
                    continue
                if left > 1:
                    yield from _grow(left - 1, (*steps, step), rules)
                else:
                    yield tree, _found(tree)


def _pasts(steps: tuple[Step, ...]) -> list[int]:
    return [
        mask
        for mask in range(1 << len(steps))
        if all(steps[n][3] & ~mask == 0 for n in range(len(steps)) if mask >> n & 1)
    ]


def _tell(steps: tuple[Step, ...], rules: frozenset[str]) -> Tree | None:
    """The family after these steps; None if the last has no authority (it would change nothing)."""
    tree = Tree(rules)
    tree.found()
    after: list[int] = []
    start = tree.everything()
    for author, kind, target, past in steps:
        seen = start | sum(after[n] for n in bits(past))
        before = len(tree.all)
        if kind == "write":
            tree.held[author] = seen
            if author not in tree.rules.state(seen).keys:
                return None
            write(tree, author)
        else:
            if kind == "approve" and not any(tree.all[s].kind == "propose" for s in bits(seen)):
                return None
            removed = frozenset((A, B)) if kind == "recover" else frozenset[int]()
            said = _statement(tree, author, kind, target, seen)
            tree.say(*said, admin=kind == "person", targets=removed)
            if not tree.rules.valid(before):
                return None
        after.append(sum(1 << s for s in range(before, len(tree.all))))
    return tree


def _statement(tree: Tree, author: int, kind: str, target: int, past: int) -> tuple[int, int, str, int, int]:
    key = -1
    if kind == "approve":
        target = max((s for s in bits(past) if tree.all[s].kind == "propose"), default=0)
    elif kind == "leave":
        target = tree.rules.state(past).keys.get(author, -1)
    elif kind == "grant":
        target, key = 6, target
    elif kind in ("person", "recover"):
        tree.fresh += 1
        target = key = tree.fresh
        author = PAPER if kind == "recover" else author
    return author, past, kind, target, key


def _found(tree: Tree) -> Violation | None:
    try:
        check(tree, tree.everything())
        check_sealed(tree)
    except Violation as violation:
        return violation
    return None


NEW = 11
"""The first newcomer's person and key."""
STORIES: dict[str, tuple[Step, ...]] = {
    # A's first laptop, in a thief's hands, removes M; A's second removes it, having heard nothing.
    "circle": ((A, "remove key", M, 0), (4, "remove key", A, 0)),
    # Two laptops of one person remove each other.
    "circle-senior": ((A, "remove key", 4, 0), (4, "remove key", A, 0)),
    # C promotes M, who was admitted before B; B removes C, M removes B.
    "promotion-rank": ((C, "promote", M, 0), (B, "remove person", C, 0), (M, "remove person", B, 1)),
    # A admits a person and removes them; B, having heard of the first, grants them the epoch; A writes.
    "opened-after": (
        (A, "person", -1, 0), (B, "grant", NEW, 1), (A, "remove person", NEW, 1), (A, "write", -1, 5),
    ),
    # C admits an admin; B removes C apart; the new admin proposes.
    "cascade": ((C, "person", -1, 0), (B, "remove person", C, 0), (NEW, "propose", B, 1)),
    # A removes the other admins and leaves.
    "leave-last": ((A, "remove person", B, 0), (A, "remove person", C, 1), (A, "leave", -1, 3)),
}  # fmt: skip


def tell(name: str, rules: frozenset[str] = ALL) -> None:
    """Raises Violation if it goes wrong."""
    tree = _tell(STORIES[name], rules)
    violation = _found(tree) if tree else None
    if violation:
        raise violation

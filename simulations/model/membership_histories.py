"""Histories of a membership: random ones with hostile members, and every one of a few statements."""

from __future__ import annotations

import random
from collections.abc import Iterator

from simulations.model.checks import Violation
from simulations.model.events import bits
from simulations.model.membership import OWNS, READS, RECOVERY, RULES, WRITES, Membership, State, Statement

ALL = frozenset(RULES)
A, B, C, M = 0, 1, 2, 3
"""Three admins and a member: their persons and their first keys have the same numbers."""
BLIND = 50
PAPER = 60
"""A's paper key."""
EPOCH = 6
"""The statement that opened the vault's first epoch."""
START = 11
"""Statements of the founding."""

KINDS = {
    "person": 4, "device": 4, "promote": 4, "demote": 5, "remove key": 8, "remove person": 10, "propose": 4,
    "approve": 6, "recover": 3, "leave": 3, "epoch": 4, "grant": 5, "give": 7, "revoke": 7, "paper": 3, "write": 12,
    "again": 3,
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
        admin: bool = False, targets: frozenset[int] = frozenset(), honest: bool = True, right: int = 0,
        following: int = 0,
    ) -> int:  # fmt: skip
        one = len(self.all)
        self.all.append(Statement(one, author, past, kind, target, key, admin, targets, honest, right, following))
        self.held[author] = self.held.get(author, 0) | 1 << one | past
        return one

    def everything(self) -> int:
        return (1 << len(self.all)) - 1

    def found(self) -> None:
        """A founds, admits M and B, B admits C; a second laptop of A's and a blind peer come after, then a vault: A
        and B own it, C and M write."""
        self.say(A, 0, "found", A, A)
        for author, person, admin in ((A, M, False), (A, B, True), (B, C, True)):
            self.say(author, self.everything(), "person", person, person, admin=admin)
        self.say(A, self.everything(), "device", A, 4)
        self.say(A, self.everything(), "blind", -1, BLIND)
        self.say(A, self.everything(), "epoch", targets=frozenset((A, 4)))
        for person, right in ((B, OWNS), (C, WRITES), (M, WRITES)):
            self.say(A, self.everything(), "grant", EPOCH, person, right=right)
        self.say(A, self.everything(), "paper", A, PAPER)
        for key in (A, B, C, M, 4, PAPER, RECOVERY):
            self.held[key] = self.everything()


def random_past(tree: Tree, key: int, rng: random.Random) -> int:
    """A past that a dishonest key may claim: any closed part of what it holds, its own log forked at will."""
    chosen = 0
    for one in bits(tree.held[key]):
        if rng.random() < 0.5 or one < START - 1:
            chosen |= 1 << one | tree.all[one].past
    return chosen


def act(tree: Tree, key: int, kind: str, rng: random.Random) -> None:
    honest = rng.random() < 0.8
    past = tree.held[key] if honest else random_past(tree, key, rng)
    state = tree.rules.state(past)
    persons = sorted(state.ranks) or [A]
    mine = -1 if (found := state.person(key)) is None else found
    if honest and (mine < 0 or (key not in state.keys and kind not in ("device", "paper", "remove key", "recover"))):
        return
    if kind == "recover":
        recover(tree, past, honest=honest, rng=rng)
    elif kind in ("person", "device", "again", "paper"):
        admit(tree, key, kind, past, honest=honest, rng=rng)
    elif kind == "remove key":
        keys = sorted([*state.keys, *state.blind]) or [A]
        tree.say(key, past, kind, rng.choice(keys), honest=honest)
    elif kind == "revoke":
        tree.say(key, past, kind, rng.choice(persons), right=rng.choice((0, 0, READS, WRITES)), honest=honest)
    elif kind in ("promote", "demote", "remove person", "propose"):
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
    """A new person, an own device or paper key, or a key that was removed."""
    state, fresh = tree.rules.state(past), tree.fresh
    tree.fresh += 1
    if kind == "person":
        tree.say(key, past, kind, fresh, fresh, admin=rng.random() < 0.6, honest=honest)
    elif kind in ("device", "paper"):
        tree.say(key, past, kind, -1 if (mine := state.person(key)) is None else mine, fresh, honest=honest)
    elif kind == "again" and state.removed:
        tree.say(key, past, "person", 100 + fresh, rng.choice(sorted(state.removed)), honest=honest)


def recover(tree: Tree, past: int, *, honest: bool, rng: random.Random) -> None:
    """With its new admin; by the key in force or, by who found an older paper, by any."""
    state, fresh = tree.rules.state(past), tree.fresh
    tree.fresh += 1
    author = state.recovery if honest else rng.choice([k for k in tree.held if k < 0])
    persons = sorted(state.ranks) or [A]
    targets = frozenset(rng.sample(persons, min(2, len(persons))))
    new = fresh if "atomic" in tree.rules.rules else -1
    following = min(tree.held) - 1
    said = tree.say(author, past, "recover", new, new, targets=targets, following=following, honest=honest)
    tree.held[following] = past | 1 << said


def seal(tree: Tree, key: int, kind: str, past: int, *, honest: bool, rng: random.Random) -> None:
    readers = tree.rules.state(past).readers()
    if kind == "epoch":
        if not honest and rng.random() < 0.5:
            readers = frozenset(k for k in tree.held if k >= 0 and rng.random() < 0.7)
        tree.say(key, past, kind, targets=readers, honest=honest)
        return
    epochs = [s for s in bits(past) if tree.all[s].kind == "epoch" and tree.rules.valid(s)]
    state = tree.rules.state(past)
    if kind == "grant":
        lacking = [(e, k) for e in epochs[-2:] for k in sorted(readers - tree.rules.given(e, past))]
        if lacking:
            epoch, reader = rng.choice(lacking)
            tree.say(key, past, kind, epoch, reader, right=state.right(state.person(reader)), honest=honest)
        return
    if kind == "give":
        if epochs and state.keys:
            reader = rng.choice(sorted(state.keys))
            tree.say(key, past, "grant", epochs[-1], reader, right=rng.choice((READS, WRITES, OWNS)), honest=honest)
        return
    if honest and state.right(state.person(key)) >= WRITES:
        write(tree, key)


def write(tree: Tree, key: int) -> None:
    """An honest write: a new epoch before it where there is none to write under."""
    epoch, lacking = tree.rules.current(tree.held[key])
    if epoch is None:
        readers = tree.rules.state(tree.held[key]).readers()
        epoch = tree.say(key, tree.held[key], "epoch", targets=readers)
        lacking = frozenset()
    for reader in sorted(lacking):
        state = tree.rules.state(tree.held[key])
        tree.say(key, tree.held[key], "grant", epoch, reader, right=state.right(state.person(reader)))
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
            if tree.all[one].key >= 0 and tree.all[one].kind != "grant":
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
    if state.admins and any(state.right(person) >= WRITES for person in state.admins) and not any(
        tree.rules.owns(state, person) for person in state.keys.values()
    ) and not state.owned():
        raise Violation("no owner", f"after {describe(tree, mask)}")
    check_kills(tree, mask, state)
    check_authority(tree, mask, state)
    check_given(tree, mask, state)
    check_heard(tree, mask, state)


def check_authority(tree: Tree, mask: int, state: State) -> None:
    """One laptop in wrong hands does not take the family over, nor a paper."""
    recoveries = [tree.all[one] for one in state.alive if tree.all[one].kind == "recover"]
    if sorted(said.author for said in recoveries) != list(range(-len(recoveries), 0)):
        raise Violation("takeover", f"a recovery key was used twice, or is none: {describe(tree, mask)}")
    for one in sorted(state.alive):
        said = tree.all[one]
        made = [s for s in bits(said.past) if tree.all[s].admin or tree.all[s].kind in ("found", "recover", "promote")]
        admins = {tree.all[s].target for s in made}
        persons = {tree.rules.person_of(author, said.past) for author in tree.rules.authors(said)}
        if said.kind in ("person", "promote", "blind", "approve") and not persons <= admins:
            raise Violation("takeover", f"{one} was said by no admin: {describe(tree, mask)}")
        if said.kind == "approve" and (len(persons) < 2 or tree.all[said.target].target in persons):
            raise Violation("takeover", f"{one} is no word of two others: {describe(tree, mask)}")
        own = said.kind in ("device", "remove key", "paper")
        if any(tree.all[s].kind == "paper" and tree.all[s].key == said.author for s in bits(said.past)) and not own:
            raise Violation("takeover", f"{one} was said by a paper key: {describe(tree, mask)}")
        target = tree.rules.person_of(said.target, said.past) if said.kind == "remove key" else said.target
        against = said.kind in ("remove key", "remove person", "demote") and target is not None and {target} != persons
        if against and (not persons <= admins or any(_came_after(tree, p, target, said.past) for p in persons)):
            raise Violation("takeover", f"{one} is said against a senior: {describe(tree, mask)}")
        if said.kind == "revoke" and any(_owns_after(tree, p, said.target, said.past) for p in persons - {said.target}):
            raise Violation("takeover", f"{one} is said against an elder owner: {describe(tree, mask)}")


def _came_after(tree: Tree, person: int | None, target: int | None, past: int) -> bool:
    """Whether this one can only have become admin after the target, who was admitted as one and never lowered."""
    about = [tree.all[s] for s in bits(past)]
    first = [s for s in about if s.target == target and s.key >= 0 and s.kind in ("found", "person", "recover")][:1]
    lowered = any(s.kind == "demote" and s.target == target for s in about)
    steadfast = first and (first[0].admin or first[0].kind != "person") and not lowered
    made = [s for s in about if tree.rules.makes_admin(s.id, person)]
    return bool(steadfast and all(tree.rules.depth(first[0].id) < tree.rules.depth(s.id) for s in made))


def _owns_after(tree: Tree, person: int | None, target: int, past: int) -> bool:
    """Whether this one can only have come to own the vault after the target, from whom nobody took it."""
    if any(tree.all[s].kind == "revoke" and tree.all[s].target == target for s in bits(past)):
        return False
    return target == A or (target == B and person != A)


def check_given(tree: Tree, mask: int, state: State) -> None:
    """What was taken comes back only by who had heard that it was; what was given is not lost by who may not take."""
    said = [tree.all[one] for one in sorted(state.alive)]
    for one in said:
        after = [s for s in said if s.past >> one.id & 1]
        if one.kind == "demote" and one.target in state.admins and not any(
            s.kind == "promote" and s.target == one.target for s in after
        ):
            raise Violation("given back", f"{one.target} is an admin after {one.id}: {describe(tree, mask)}")
        if one.kind == "revoke" and state.right(one.target) > one.right and not any(
            s.kind == "grant" and tree.rules.person_of(s.key, s.past) == one.target for s in after
        ):
            raise Violation("given back", f"{one.target} has a right after {one.id}: {describe(tree, mask)}")
        if one.kind == "grant" and one.author in state.keys:
            _check_grant(tree, mask, state, one)


def _check_grant(tree: Tree, mask: int, state: State, grant: Statement) -> None:
    """Whoever may give gave it, and nobody who may take or give less spoke after or apart: it is there."""
    reader = tree.rules.person_of(grant.key, grant.past)
    before = tree.rules.state(grant.past)
    if before.right(reader) == grant.right or before.right(before.person(grant.author)) < OWNS or reader is None:
        return
    for one in state.alive:
        said = tree.all[one]
        about = (said.kind == "revoke" and said.target == reader) or (
            said.kind == "grant" and tree.rules.person_of(said.key, said.past) == reader
        )
        past = tree.rules.state(said.past)
        owner = said.kind == "revoke" or tree.rules.owns(past, past.person(said.author) or 0)
        if about and owner and said.id != grant.id and not grant.past >> one & 1:
            return
    if reader in state.keys.values() and state.right(reader) < grant.right:
        raise Violation("not given", f"{reader} lacks what {grant.id} gave: {describe(tree, mask)}")


def check_heard(tree: Tree, mask: int, state: State) -> None:
    """What was said with authority by who had heard of every removal counts. Of what those of the founding said of
    themselves a lowering or revocation takes nothing away."""
    removals = [one for one in bits(mask) if Membership(tree.all, ALL).is_removal(one)]
    for one in bits(mask):
        said = tree.all[one]
        if not tree.rules.valid(one) or tree.rules.leaves(one) or one in state.alive:
            continue
        apart = [tree.all[r] for r in removals if r != one and not said.past >> r & 1]
        unheard = [r.kind for r in apart if one not in removals or not r.past >> one & 1]
        own = said.author in (A, B, C, M) and said.kind == "device"
        left = said.kind in ("epoch", "write") and said.author == B and all(
            tree.all[r].right >= WRITES for r in removals if tree.all[r].kind == "revoke"
        )
        if not unheard or (own and set(unheard) <= {"demote", "revoke"}) or (left and set(unheard) <= {"revoke"}):
            raise Violation("lost", f"{one} has no effect: {describe(tree, mask)}")


def check_kills(tree: Tree, mask: int, state: State) -> None:
    """Asked of an instance with all rules: nothing stands that a removal in force reaches."""
    whole = Membership(tree.all, ALL)
    for removal in sorted(state.alive):
        if not whole.is_removal(removal):
            continue
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
    if (mine.keys, mine.admins, mine.alive, mine.rights) != (other.keys, other.admins, other.alive, other.rights):
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
        papers = [tree.all[s] for s in bits(said.past) if tree.all[s].kind == "paper" and tree.rules.valid(s)]
        here = past.keys.keys() | {p.key for p in papers if p.target in past.keys.values()} - past.removed
        beyond = {tree.all[s].key for s in bits(said.past)} & readers - here
        beyond |= {key for key in readers & here if past.person(key) in past.revoked}
        if beyond:
            raise Violation("reads", f"{sorted(beyond)} read write {said.id}: {describe(tree, everything)}")
        if readers & past.blind:
            raise Violation("reads", f"a blind peer reads {said.id}: {describe(tree, everything)}")


def describe(tree: Tree, mask: int) -> str:
    """The statements after the founding, with what each had not heard."""
    told = []
    for one in bits(mask):
        if one < START:
            continue
        said = tree.all[one]
        deaf = [*bits((1 << one) - 1 & ~said.past)]
        what = " ".join(str(x) for x in (said.target, said.key) if x >= 0)
        what += f" right {said.right}" if said.kind in ("grant", "revoke") else ""
        told.append(f"{one}: {said.author} says {said.kind} {what} {sorted(said.targets) or ''} deaf to {deaf}")
    return "; ".join(told)


# Every history of a few statements.

AUTHORS = (A, B, C, M, 4, PAPER, RECOVERY, RECOVERY - 1)
FEW: tuple[tuple[str, int], ...] = (
    ("remove person", A), ("remove person", B), ("remove person", C), ("remove key", A), ("remove key", 4),
    ("propose", A), ("approve", -1), ("person", -1), ("leave", -1), ("recover", A), ("promote", M), ("promote", B),
    ("demote", A), ("demote", B), ("demote", C), ("device", -1), ("paper", -1), ("read", M), ("own", M), ("hand on", M),
    ("revoke", M), ("revoke", B), ("lower", B), ("write", -1), ("remove key", M),
)  # fmt: skip
RIGHTS = {"read": READS, "own": OWNS, "hand on": WRITES}


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
                if (kind == "recover") != (author < 0):
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
            here = tree.rules.state(seen)
            if author not in here.keys or here.right(here.keys[author]) < WRITES:
                return None
            write(tree, author)
        else:
            if kind == "approve" and not any(tree.all[s].kind == "propose" for s in bits(seen)):
                return None
            _say(tree, author, kind, target, seen)
            if not tree.rules.valid(before):
                return None
        after.append(sum(1 << s for s in range(before, len(tree.all))))
    return tree


def _say(tree: Tree, author: int, kind: str, target: int, past: int) -> None:
    if kind == "approve":
        target = max((s for s in bits(past) if tree.all[s].kind == "propose"), default=0)
        tree.say(author, past, kind, target)
    elif kind in ("leave", "device", "paper"):
        tree.fresh += kind != "leave"
        person = tree.rules.state(past).person(author)
        tree.say(author, past, kind, -1 if person is None else person, -1 if kind == "leave" else tree.fresh)
    elif kind in RIGHTS:
        tree.say(author, past, "grant", EPOCH, target, right=RIGHTS[kind])
    elif kind in ("revoke", "lower"):
        tree.say(author, past, "revoke", target, right=WRITES if kind == "lower" else 0)
    elif kind in ("person", "recover"):
        tree.fresh += 1
        removed = frozenset((A, B)) if kind == "recover" else frozenset[int]()
        new = tree.fresh if kind == "person" or "atomic" in tree.rules.rules else -1
        tree.say(author, past, kind, new, new, admin=kind == "person", targets=removed, following=author - 1)
    else:
        tree.say(author, past, kind, target)


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
        (A, "person", -1, 0), (B, "read", NEW, 1), (A, "remove person", NEW, 1), (A, "write", -1, 5),
    ),
    # C admits an admin; B removes C apart; the new admin proposes.
    "cascade": ((C, "person", -1, 0), (B, "remove person", C, 0), (NEW, "propose", B, 1)),
    # C makes B admin, who is one, and removes B.
    "role-change": ((C, "promote", B, 0), (C, "remove person", B, 1)),
    # A lowers C, B raises C again, and C admits a person.
    "spares-raised": ((A, "demote", C, 0), (B, "promote", C, 1), (C, "person", -1, 3)),
    # The same, and A had removed B before B raised C.
    "rests-on-raise": (
        (A, "demote", C, 0), (B, "promote", C, 1), (C, "person", -1, 3), (A, "remove person", B, 1),
    ),
    # A takes M's right while B makes M an owner.
    "lowest": ((A, "revoke", M, 0), (B, "own", M, 0)),
    # A makes B a writer, who was an owner; B writes apart.
    "revoke-part": ((A, "lower", B, 0), (B, "write", -1, 0)),
    # Two copies of A's paper remove A's two laptops, and no other admin is there.
    "can-act": (
        (A, "remove person", B, 0), (A, "remove person", C, 1), (PAPER, "remove key", A, 3),
        (PAPER, "remove key", 4, 3),
    ),
    # B removes C, A removes B; then two copies of A's paper remove A's two laptops.
    "heard-first": (
        (B, "remove person", C, 0), (A, "remove person", B, 1), (PAPER, "remove key", A, 3),
        (PAPER, "remove key", 4, 3),
    ),
    # A removes C; the recovery key removes A and B.
    "atomic": ((A, "remove person", C, 0), (RECOVERY, "recover", A, 1)),
    # A family recovery key that nobody named.
    "recovery-next": ((RECOVERY - 1, "recover", A, 0),),
    # A prints a new kit; who has the old one adds a device.
    "paper-replaced": ((A, "paper", -1, 0), (PAPER, "device", -1, 0)),
    # A removes the other admins and leaves.
    "leave-last": ((A, "remove person", B, 0), (A, "remove person", C, 1), (A, "leave", -1, 3)),
}  # fmt: skip


def tell(name: str, rules: frozenset[str] = ALL) -> None:
    """Raises Violation if it goes wrong."""
    tree = _tell(STORIES[name], rules)
    violation = _found(tree) if tree else None
    if violation:
        raise violation

"""Who belongs to the family: a set of statements and what it means, with epochs and who can read what.

A set of statements is an int. Keys and persons are numbers. A key stands for a keyholder with its device. `rules`
names the rules in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from simulations.model.events import bits

RULES = {
    "judged-in-past": "a statement is judged in its own past, not in what came before it here",
    "admin": "only an admin admits, promotes and removes others",
    "senior-only": "an admin alone removes only those who came after them",
    "two-persons": "two admins together are two persons, neither of them the target",
    "kill": "a removal kills what the removed said without the remover having heard it",
    "cascade": "and what rests on an admission that it kills",
    "circle": "removals that no other kills take effect first; only in a circle the senior's does",
    "circle-senior": "in a circle: recovery, two admins, then by rank, then by hash",
    "promotion-rank": "an admin's rank counts from the statement that made them admin",
    "leave-last": "who removes themselves leaves; a leave that would leave no admin has no effect",
    "no-return": "a removed key is no member, whoever admits it again",
    "atomic": "a recovery removes and admits one new admin at once",
    "recipients": "an epoch counts only if its recipients are the readers in its own past",
    "members-only": "nobody writes under an epoch with a recipient who is no member",
    "opened-after": "nobody writes under an epoch that was opened before a removal that they have heard of",
    "killed-epoch": "nobody writes under an epoch that a removal killed",
    "join": "of two epochs opened apart the next writer opens one that joins them",
}
REMOVALS = ("remove key", "remove person", "approve", "recover")
PAPER = -1
"""The author of what the family recovery key signs."""


@dataclass(frozen=True, slots=True)
class Statement:
    id: int
    author: int
    past: int
    kind: str
    """found, person, device, blind, promote, remove key, remove person, propose, approve, recover, leave, epoch,
    grant, write."""
    target: int = -1
    """A key, a person, a statement (approve, grant, write: the proposal or the epoch)."""
    key: int = -1
    admin: bool = False
    targets: frozenset[int] = frozenset()
    """The persons that a recovery removes, or the recipients of an epoch."""
    honest: bool = True


@dataclass(slots=True)
class State:
    alive: set[int] = field(default_factory=set)
    """Statements with effect."""
    removals: list[int] = field(default_factory=list)
    """Those that took effect, in their order."""
    keys: dict[int, int] = field(default_factory=dict)
    """Key to person."""
    blind: set[int] = field(default_factory=set)
    admins: set[int] = field(default_factory=set)
    ranks: dict[int, tuple[int, int]] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)
    """Keys of those who left."""
    gone: list[int] = field(default_factory=list)
    """The removals and leaves that took effect."""

    def readers(self) -> frozenset[int]:
        return frozenset(self.keys)


class Membership:
    def __init__(self, statements: list[Statement], rules: frozenset[str]) -> None:
        self.all = statements
        self.rules = rules
        self._states: dict[int, State] = {}
        self._valid: dict[int, bool] = {}
        self._kills: dict[tuple[int, int], bool] = {}
        self._depth: list[int] = []

    def depth(self, one: int) -> int:
        while len(self._depth) <= one:
            past = self.all[len(self._depth)].past
            self._depth.append(1 + max((self._depth[p] for p in bits(past)), default=0))
        return self._depth[one]

    def state(self, mask: int, order: Sequence[int] = ()) -> State:
        """The family as a set of statements leaves it; only a rule that is switched off looks at `order`."""
        if "judged-in-past" not in self.rules:
            return self._by_arrival(order or list(bits(mask)))
        found = self._states.get(mask)
        if found is None:
            found = self._states[mask] = self._fold(mask, [s for s in bits(mask) if self.valid(s)])
        return found

    def _by_arrival(self, order: Sequence[int]) -> State:
        valid: list[int] = []
        state = State()
        for one in order:
            if self._may(self.all[one], state):
                valid.append(one)
                state = self._fold(sum(1 << v for v in valid), valid)
        return state

    def valid(self, one: int) -> bool:
        if one not in self._valid:
            said = self.all[one]
            self._valid[one] = self._may(said, self.state(said.past))
        return self._valid[one]

    def _may(self, said: Statement, past: State) -> bool:
        if said.kind == "found":
            return not past.keys
        if said.kind == "recover":
            return bool(past.keys) and not any(
                self.all[s].kind == "recover" for s in past.alive
            ) and said.key not in past.keys and said.key not in past.removed  # fmt: skip
        person = past.keys.get(said.author)
        if person is None:
            return False
        if said.kind in ("epoch", "grant", "write"):
            return self._may_seal(said, past)
        if said.kind == "leave":
            return said.target == person
        if said.kind == "device":
            return said.target == person and self._new(said.key, past)
        if said.kind == "remove key" and past.keys.get(said.target) == person:
            return said.target != said.author or "leave-last" not in self.rules  # whoever removes themselves leaves
        if person not in past.admins and "admin" in self.rules:
            return False
        return self._may_admin(said, past, person)

    def _new(self, key: int, past: State) -> bool:
        return key not in past.keys and key not in past.blind and (
            key not in past.removed or "no-return" not in self.rules
        )  # fmt: skip

    def _may_admin(self, said: Statement, past: State, person: int) -> bool:
        kind, target = said.kind, said.target
        if kind in ("person", "blind"):
            return self._new(said.key, past)
        if kind == "approve":
            proposal = self.all[target]
            two = past.keys.get(proposal.author) not in (person, None)
            both = two and past.keys.get(proposal.author) in past.admins
            return proposal.kind == "propose" and target in past.alive and (
                (both and proposal.target != person) or "two-persons" not in self.rules
            )  # fmt: skip
        if kind == "propose":
            return target != person or "two-persons" not in self.rules
        if kind == "remove key":
            if target in past.blind:
                return True
            target = past.keys.get(target, -1)
        if target not in past.ranks:
            return False
        return kind == "promote" or self._outranks(past, person, target)

    def _outranks(self, past: State, person: int, target: int) -> bool:
        rank = past.ranks.get(person, (1 << 30, 0))
        return rank < past.ranks[target] or ("senior-only" not in self.rules and person != target)

    def _may_seal(self, said: Statement, past: State) -> bool:
        if said.kind == "epoch":
            return said.targets == past.readers() or "recipients" not in self.rules
        return self.all[said.target].kind == "epoch" and bool(said.past >> said.target & 1)

    # What a removal kills.

    def person_of(self, key: int, mask: int) -> int | None:
        for one in bits(mask):
            said = self.all[one]
            if said.key == key and said.kind != "blind":
                return said.target
        return None

    def hits(self, removal: int, key: int, mask: int) -> bool:
        """Whether the removal is of this key."""
        said = self.all[removal]
        if said.kind == "remove key":
            return key == said.target
        if said.kind == "recover":
            return self.person_of(key, mask) in said.targets
        target = self.all[said.target].target if said.kind == "approve" else said.target
        return self.person_of(key, mask) == target

    def authors(self, said: Statement) -> list[int]:
        own = [said.author] if said.author != PAPER else []
        return [*own, self.all[said.target].author] if said.kind == "approve" else own

    def kills(self, removal: int, one: int) -> bool:
        """Whether `one` falls with this removal alone: unheard by the remover, and said by the removed or resting
        on what falls."""
        key = (removal, one)
        if key not in self._kills:
            self._kills[key] = self._would_kill(removal, one)
        return self._kills[key]

    def _would_kill(self, removal: int, one: int) -> bool:
        said = self.all[one]
        if removal == one or self.all[removal].past >> one & 1 or "kill" not in self.rules:
            return False
        if any(self.hits(removal, author, said.past) for author in self.authors(said)):
            return True
        if "cascade" not in self.rules:
            return False
        rests = [r for author in self.authors(said) for r in self._rests_on(said, author)]
        return any(ground and all(self.kills(removal, g) for g in ground) for ground in rests)

    def _rests_on(self, said: Statement, author: int) -> list[list[int]]:
        """The grounds of an author's right to say it: of each, one must stand."""
        person = self.person_of(author, said.past)
        valid = [p for p in bits(said.past) if "judged-in-past" not in self.rules or self.valid(p)]
        admissions = [p for p in valid if self.all[p].key == author]
        own = said.kind in ("device", "leave", "epoch", "grant", "write") or (
            said.kind == "remove key" and self.person_of(said.target, said.past) == person
        )
        return [admissions] if own else [admissions, [p for p in valid if self.makes_admin(p, person)]]

    def makes_admin(self, one: int, person: int | None) -> bool:
        said = self.all[one]
        if said.target != person:
            return False
        return said.kind in ("found", "recover", "promote") or (said.kind == "person" and said.admin)

    # The fold.

    def order(self, one: int) -> tuple[int, tuple[int, int], int, int]:
        said = self.all[one]
        if "circle-senior" not in self.rules:
            return (0, (0, 0), 0, -one)
        tier = {"recover": 0, "approve": 1}.get(said.kind, 2)
        past = self.state(said.past) if "judged-in-past" in self.rules else State()
        rank = past.ranks.get(past.keys.get(said.author, -1), (0, 0)) if tier == 2 else (0, 0)
        admitted = [self.depth(p) for p in bits(said.past) if self.all[p].key == said.author]
        return (tier, rank, min(admitted, default=0), one)

    def _removals(self, valid: list[int]) -> list[int]:
        left = sorted((s for s in valid if self.all[s].kind in REMOVALS), key=self.order)
        found: list[int] = []
        while left:
            free = [r for r in left if not any(self.kills(other, r) for other in left)]
            one = free[0] if free and "circle" in self.rules else left[0]
            circle = one not in free and "circle" in self.rules
            found.append(one)
            left = [
                r for r in left
                if r != one and not self.kills(one, r) and not (circle and self.kills(r, one))
            ]  # fmt: skip
        return found

    def _fold(self, mask: int, valid: list[int]) -> State:
        state = State(removals=self._removals(valid))
        state.gone = list(state.removals)
        state.alive = self._alive(valid, state.removals)
        for one in sorted(state.alive, key=lambda s: (self.depth(s), s)):
            self._admit(state, self.all[one], one)
        for removal in state.removals:
            for key in [*state.keys, *state.blind]:
                back = "no-return" not in self.rules and any(
                    self.all[s].key == key and not self.all[removal].past >> s & 1 for s in state.alive
                )
                if self.hits(removal, key, mask) and not back:
                    state.removed.add(key)
        self._take(state, state.removed)
        self._leave(state)
        return state

    def _alive(self, valid: list[int], removals: list[int]) -> set[int]:
        alive = [s for s in valid if self.all[s].kind not in REMOVALS or s in removals]
        return {s for s in alive if s in removals or not any(self.kills(r, s) for r in removals)}

    def _admit(self, state: State, said: Statement, one: int) -> None:
        if said.kind == "blind":
            state.blind.add(said.key)
        elif said.kind in ("found", "person", "device", "recover") and said.key >= 0:
            state.keys.setdefault(said.key, said.target)
            state.ranks.setdefault(said.target, (self.depth(one), one))
        if self.makes_admin(one, said.target) and (said.key >= 0 or said.kind == "promote"):
            if said.kind == "promote" and said.target not in state.admins and "promotion-rank" in self.rules:
                state.ranks[said.target] = (self.depth(one), one)
            state.admins.add(said.target)

    def _take(self, state: State, keys: set[int]) -> None:
        state.blind -= keys
        for key in keys:
            state.keys.pop(key, None)
        state.admins &= set(state.keys.values())

    def _leave(self, state: State) -> None:
        leaves = [self.all[s] for s in state.alive if self.all[s].kind == "leave"]
        leaves.sort(key=lambda said: (state.ranks.get(said.target, (0, 0)), said.id), reverse=True)
        for said in leaves:
            if state.admins - {said.target} or "leave-last" not in self.rules:
                keys = {key for key, person in state.keys.items() if person == said.target}
                self._take(state, keys)
                state.left |= keys
                state.gone.append(said.id)

    # Epochs.

    def current(self, mask: int) -> tuple[int | None, frozenset[int]]:
        """The epoch to write under and the readers who lack it, or None: a new one is to be opened first."""
        state = self.state(mask)
        epochs = [s for s in bits(mask) if self.all[s].kind == "epoch" and self.valid(s)]
        clean = [e for e in epochs if self._clean(e, state, mask)]
        heads = [e for e in clean if not any(self.all[other].past >> e & 1 for other in epochs)]
        if not heads or (len(heads) > 1 and "join" in self.rules):
            return None, frozenset()
        return heads[-1], state.readers() - self.given(heads[-1], mask)

    def given(self, epoch: int, mask: int) -> frozenset[int]:
        grants = [self.all[s] for s in bits(mask) if self.all[s].kind == "grant"]
        return self.all[epoch].targets | {said.key for said in grants if said.target == epoch}

    def _clean(self, epoch: int, state: State, mask: int) -> bool:
        if "killed-epoch" in self.rules and epoch not in state.alive:
            return False
        if "opened-after" in self.rules and any(
            not self.all[epoch].past >> r & 1 for r in state.gone
        ):
            return False
        return self.given(epoch, mask) <= state.readers() or "members-only" not in self.rules

    def can_read(self, epoch: int, mask: int) -> frozenset[int]:
        """Every key that can open it: its own recipients, and those of each epoch that wraps its key."""
        found = self.given(epoch, mask)
        for one in bits(mask):
            if self.all[one].kind == "epoch" and self.all[one].past >> epoch & 1 and self.valid(one):
                found |= self.given(one, mask)
        return found

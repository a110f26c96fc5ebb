"""Who belongs to the family: a set of statements and what it means, with one vault, its rights, epochs and readers.

A set of statements is an int. Keys and persons are numbers; a key stands for a keyholder with its device, for a paper
key, or, below zero, for a family recovery key. `rules` names the rules in force.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from simulations.model.events import bits

RULES = {
    "judged-in-past": "a statement is judged in its own past, not in what came before it here",
    "admin": "only an admin admits, raises, lowers and removes others",
    "senior-only": "an admin alone removes and lowers only those who came after them",
    "two-persons": "two admins together are two persons, neither of them the target",
    "kill": "a removal kills what the removed said without the remover having heard it",
    "cascade": "and what rests on an admission that it kills",
    "circle": "removals that no other kills take effect first; only in a circle the senior's does",
    "circle-senior": "in a circle: recovery, two admins, by rank, age of the key, hash; a new paper key last",
    "promotion-rank": "an admin's rank counts from the statement that made them admin",
    "role-change": "who raises or lowers changes the role",
    "lowering-kills": "a lowering kills what its target said as an admin, unheard",
    "lowering-spares": "and nothing else",
    "spares-raised": "a lowering, a revocation spares what was said after a raise or grant that was made after it",
    "rests-on-raise": "what is said by who was raised again rests on that, not on what made them admin before",
    "lowest": "who takes a role or right away takes it from what was given apart, too",
    "leave-last": "who removes or lowers themselves goes last, and only if an admin is left",
    "can-act": "a removal that would leave no admin with a key has no effect",
    "heard-first": "of removals that no other kills those made before come first",
    "no-return": "a removed key is no member, whoever admits it again",
    "atomic": "a recovery removes and admits one new admin at once",
    "recovery-next": "a recovery is signed by the recovery key in force and names the next",
    "one-recovery": "of two recoveries apart by one key one has effect, the other none at all",
    "paper-own": "a paper key speaks for its own person's devices and keys only",
    "paper-replaced": "a new paper key removes those before it",
    "owner": "only an owner gives and takes rights in a vault",
    "owner-senior": "an owner revokes only owners who came after them",
    "revoke-kill": "a revocation kills what the revoked said about that vault unheard",
    "revoke-part": "but not what the right that is left to them allows",
    "owner-gone": "where no owner is left, an admin who writes is one",
    "hand-on": "a grant that gives a key and no other right changes no right",
    "recipients": "an epoch counts only if its recipients are the readers in its own past",
    "members-only": "nobody writes under an epoch with a recipient who is no reader",
    "opened-after": "nobody writes under an epoch opened before a removal or revocation that they have heard of",
    "killed-epoch": "nobody writes under an epoch that a removal killed",
    "join": "of two epochs opened apart the next writer opens one that joins them",
}
WHOLE = ("remove key", "remove person", "approve", "recover", "leave")
AS_ADMIN = ("person", "blind", "promote", "demote", "remove key", "remove person", "propose", "approve")
OWN_KEYS = ("device", "paper", "remove key")
"""What a paper key may say."""
OF_VAULT = ("epoch", "grant", "revoke", "write")
RECOVERY = -1
"""The first family recovery key; the next ones count down."""
READS, WRITES, OWNS = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Statement:
    id: int
    author: int
    past: int
    kind: str
    """found, person, device, blind, promote, demote, remove key, remove person, propose, approve, recover, leave,
    paper, epoch, grant, revoke, write."""
    target: int = -1
    """A key, a person, a statement (approve, grant, write: the proposal or the epoch)."""
    key: int = -1
    admin: bool = False
    targets: frozenset[int] = frozenset()
    """The persons that a recovery removes, or the recipients of an epoch."""
    honest: bool = True
    right: int = 0
    """That a grant gives or a revocation leaves."""
    next: int = 0
    """The recovery key after this."""
    size: int = 1
    """How many statements of the product it stands for, the one that ranks first."""
    name: int = -1
    """What decides between equals; without one its id does."""


Rank = tuple[int, int]
LAST: Rank = (1 << 30, 0)


@dataclass(slots=True)
class State:
    alive: set[int] = field(default_factory=set)
    """Statements with effect."""
    removals: list[int] = field(default_factory=list)
    """Those that took effect, in their order."""
    keys: dict[int, int] = field(default_factory=dict)
    """Key to person."""
    papers: dict[int, int] = field(default_factory=dict)
    """Person to paper key."""
    recovery: int = RECOVERY
    blind: set[int] = field(default_factory=set)
    admins: set[int] = field(default_factory=set)
    ranks: dict[int, Rank] = field(default_factory=dict)
    rights: dict[int, int] = field(default_factory=dict)
    owners: dict[int, Rank] = field(default_factory=dict)
    """When each owner of the vault became one."""
    removed: set[int] = field(default_factory=set)
    gone: list[int] = field(default_factory=list)
    """What took effect and took reading away from somebody."""
    revoked: set[int] = field(default_factory=set)
    """Persons who may not read any more."""

    def person(self, key: int) -> int | None:
        """Whose key it is; a paper key's, too."""
        return self.keys.get(key, next((person for person, paper in self.papers.items() if paper == key), None))

    def right(self, person: int | None) -> int:
        return 0 if person is None else self.rights.get(person, 0)

    def owned(self) -> bool:
        return any(self.rights.get(person, 0) >= OWNS for person in self.ranks)

    def readers(self) -> frozenset[int]:
        keys = {key for key, person in self.keys.items() if self.rights.get(person, 0)}
        return frozenset(keys | {paper for person, paper in self.papers.items() if self.rights.get(person, 0)})


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
            self._depth.append(self.all[len(self._depth)].size + max((self._depth[p] for p in bits(past)), default=0))
        return self._depth[one]

    def rank(self, one: int) -> Rank:
        said = self.all[one]
        return (self.depth(one) - said.size + 1, one if said.name < 0 else said.name)

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
            self._valid[one] = self._valid[one] and self._leaves_an_admin(said)
        return self._valid[one]

    def _before(self, said: Statement) -> State:
        """The state in a statement's own past."""
        return self.state(said.past) if "judged-in-past" in self.rules else State()

    # What may be said.

    def _may(self, said: Statement, past: State) -> bool:
        if said.kind == "found":
            return not past.keys
        if said.kind == "recover":
            known = said.author == past.recovery or ("recovery-next" not in self.rules and said.author < 0)
            new = said.key not in past.keys and said.key not in past.removed
            return bool(past.keys) and known and new and said.targets <= past.ranks.keys()
        person = past.person(said.author)
        if person is None:
            return False
        if said.author not in past.keys and said.kind not in OWN_KEYS and "paper-own" in self.rules:
            return False
        if said.kind in OF_VAULT:
            return self._may_in_vault(said, past, person)
        if said.kind == "leave":
            return said.target == person
        if said.kind in ("device", "paper"):
            return said.target == person and self._new(said.key, past)
        if said.kind == "remove key" and past.keys.get(said.target) == person:
            return said.target != said.author or "leave-last" not in self.rules  # whoever removes themselves leaves
        if said.author not in past.keys and "paper-own" in self.rules:
            return False
        if person not in past.admins and "admin" in self.rules:
            return False
        return self._may_as_admin(said, past, person)

    def _leaves_an_admin(self, said: Statement) -> bool:
        if said.kind == "recover" or not self.is_removal(said.id) or "can-act" not in self.rules:
            return True
        past = self.state(said.past)
        valid = [*self._valid_in(said.past), said.id]
        return bool(self._settled(said.past, valid, [*past.removals, said.id]).admins)

    def _new(self, key: int, past: State) -> bool:
        return key not in past.keys and key not in past.blind and key not in past.papers.values() and (
            key not in past.removed or "no-return" not in self.rules
        )  # fmt: skip

    def _may_as_admin(self, said: Statement, past: State, person: int) -> bool:
        kind, target = said.kind, said.target
        if kind in ("person", "blind"):
            return self._new(said.key, past)
        if kind == "approve":
            proposal = self.all[target]
            two = past.keys.get(proposal.author) not in (person, None)
            both = two and past.keys.get(proposal.author) in past.admins
            here = proposal.target in past.ranks
            return proposal.kind == "propose" and target in past.alive and here and (
                (both and proposal.target != person) or "two-persons" not in self.rules
            )  # fmt: skip
        if kind == "propose":
            return target in past.ranks and (target != person or "two-persons" not in self.rules)
        if kind == "remove key":
            if target in past.blind:
                return True
            target = past.keys.get(target, -1)
        if target not in past.ranks:
            return False
        roles = kind in ("promote", "demote") and "role-change" in self.rules
        if roles and (target in past.admins) != (kind == "demote"):
            return False
        return kind == "promote" or (kind == "demote" and target == person) or self._outranks(past, person, target)

    def _outranks(self, past: State, person: int, target: int) -> bool:
        rank = past.ranks.get(person, LAST)
        return rank < past.ranks[target] or ("senior-only" not in self.rules and person != target)

    def _may_in_vault(self, said: Statement, past: State, person: int) -> bool:
        right = past.right(person)
        if said.kind == "epoch":
            return right >= WRITES and (said.targets == past.readers() or "recipients" not in self.rules)
        if said.kind == "revoke":
            return self._may_revoke(said, past, person)
        if self.all[said.target].kind != "epoch" or not said.past >> said.target & 1:
            return False
        if said.kind == "write":
            return right >= WRITES
        reader = past.person(said.key)
        theirs = past.right(reader)
        changes = theirs != said.right
        may = self.owns(past, person) or "owner" not in self.rules or (right >= READS and not changes)
        return reader is not None and said.right >= max(READS, theirs) and may

    def owns(self, state: State, person: int) -> bool:
        right = state.right(person)
        steps_in = "owner-gone" in self.rules and person in state.admins and not state.owned()
        return right >= OWNS or (right >= WRITES and steps_in)

    def _may_revoke(self, said: Statement, past: State, person: int) -> bool:
        theirs = past.right(said.target)
        if said.right >= theirs or said.target not in past.ranks:
            return False
        if person == said.target or "owner" not in self.rules:
            return True
        senior = past.owners.get(person, LAST) < past.owners.get(said.target, LAST)
        return self.owns(past, person) and (theirs < OWNS or senior or "owner-senior" not in self.rules)

    # What a removal kills.

    def person_of(self, key: int, mask: int) -> int | None:
        for one in bits(mask):
            said = self.all[one]
            if said.key == key and said.kind not in ("blind", "grant"):
                return said.target
        return None

    def is_removal(self, one: int) -> bool:
        said = self.all[one]
        return said.kind in (*WHOLE, "demote", "revoke") or bool(self.replaced_papers(one))

    def leaves(self, one: int) -> bool:
        said = self.all[one]
        if said.kind == "demote":
            return self.person_of(said.author, said.past) == said.target
        return said.kind == "leave"

    def replaced_papers(self, one: int) -> set[int]:
        """All that this person had before, one that another apart was preferred to as well."""
        said = self.all[one]
        if said.kind != "paper" or "paper-replaced" not in self.rules:
            return set()
        before = [self.all[p] for p in self._valid_in(said.past)]
        return {p.key for p in before if p.kind == "paper" and p.target == said.target}

    def hits(self, removal: int, key: int, mask: int) -> bool:
        """Whether the removal takes this key away."""
        said = self.all[removal]
        if said.kind == "remove key":
            return key == said.target
        if said.kind == "paper":
            return key in self.replaced_papers(removal)
        if said.kind == "recover":
            used = key == said.author and "one-recovery" in self.rules
            return used or self.person_of(key, mask) in said.targets
        if said.kind not in WHOLE:
            return False
        target = self.all[said.target].target if said.kind == "approve" else said.target
        return self.person_of(key, mask) == target

    def authors(self, said: Statement) -> list[int]:
        return [said.author, self.all[said.target].author] if said.kind == "approve" else [said.author]

    def as_admin(self, said: Statement) -> bool:
        """Whether its author says it as an admin."""
        if said.kind in ("grant", "revoke"):
            past = self._before(said)
            return self._by_right(said) == OWNS and past.right(past.person(said.author)) < OWNS
        if said.kind not in AS_ADMIN:
            return False
        mine = self.person_of(said.author, said.past)
        own_key = said.kind == "remove key" and self.person_of(said.target, said.past) == mine
        return not own_key and not (said.kind == "demote" and said.target == mine)

    def needs(self, said: Statement) -> int:
        """The right in the vault that its author says it by."""
        by = self._by_right(said)
        return WRITES if by == OWNS and self.as_admin(said) else by

    def _by_right(self, said: Statement) -> int:
        if said.kind == "grant":
            return OWNS if self.changes(said) else READS
        if said.kind == "revoke":
            return 0 if self.person_of(said.author, said.past) == said.target else OWNS
        return WRITES if said.kind in ("epoch", "write") else 0

    def changes(self, said: Statement) -> bool:
        """Whether a grant changes the right."""
        past = self._before(said)
        return "hand-on" not in self.rules or past.right(past.person(said.key)) != said.right

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
        if self.leaves(removal) and self.is_removal(one):
            return False  # who leaves takes back no removal
        if any(self._reaches(removal, author, said) for author in self.authors(said)):
            return True
        if "cascade" not in self.rules:
            return False
        rests = [r for author in self.authors(said) for r in self._rests_on(said, author)]
        return any(ground and all(self.kills(removal, g) for g in ground) for ground in rests)

    def _reaches(self, removal: int, author: int, said: Statement) -> bool:
        by = self.all[removal]
        if by.kind not in ("demote", "revoke"):
            return self.hits(removal, author, said.past)
        if self.person_of(author, said.past) != by.target or self._given_after(removal, said):
            return False
        if by.kind == "demote":
            reached = self.as_admin(said) or "lowering-spares" not in self.rules
            return reached and "lowering-kills" in self.rules
        least = by.right if "revoke-part" in self.rules else -1
        return said.kind in OF_VAULT and self.needs(said) > least and "revoke-kill" in self.rules

    def _given_after(self, removal: int, said: Statement) -> bool:
        """Whether its author had heard that they were raised, or given a right, after this."""
        by = self.all[removal]
        kind = "promote" if by.kind == "demote" else "grant"
        return "spares-raised" in self.rules and any(
            self.all[one].kind == kind and self._concerns(one) == by.target and self.all[one].past >> removal & 1
            for one in self._valid_in(said.past)
        )

    def _concerns(self, one: int) -> int | None:
        """The person whose role or right a statement is about."""
        said = self.all[one]
        return self.person_of(said.key, said.past) if said.kind == "grant" else said.target

    def _valid_in(self, mask: int) -> Iterator[int]:
        return (p for p in bits(mask) if "judged-in-past" not in self.rules or self.valid(p))

    def _rests_on(self, said: Statement, author: int) -> list[list[int]]:
        """The grounds of an author's right to say it: of each, one must stand."""
        person = self.person_of(author, said.past)
        grounds = [[p for p in self._valid_in(said.past) if self._admits(p, author)]]
        if self.as_admin(said):
            raises = [p for p in self._valid_in(said.past) if self.makes_admin(p, person)]
            grounds.append(self._since(raises, "demote", person, said))
        need = self.needs(said)
        if need:
            gave = [p for p in self._valid_in(said.past) if self._gives(p, person) >= need]
            grounds.append(self._since(gave, "revoke", person, said))
        return grounds

    def _since(self, gave: list[int], taken: str, person: int | None, said: Statement) -> list[int]:
        """Those that nobody had taken back before."""
        back = [p for p in self._valid_in(said.past) if self.all[p].kind == taken and self.all[p].target == person]
        if "rests-on-raise" not in self.rules:
            return gave
        return [p for p in gave if not any(self.all[b].past >> p & 1 for b in back)] or gave

    def _admits(self, one: int, key: int) -> bool:
        said = self.all[one]
        if key < 0:
            return said.kind == "found" if key == RECOVERY else said.next == key
        return said.key == key and said.kind != "grant"

    def makes_admin(self, one: int, person: int | None) -> bool:
        said = self.all[one]
        if said.target != person:
            return False
        return said.kind in ("found", "recover", "promote") or (said.kind == "person" and said.admin)

    def _gives(self, one: int, person: int | None) -> int:
        said = self.all[one]
        if said.kind == "found":
            return OWNS if said.target == person else 0
        return said.right if said.kind == "grant" and self._concerns(one) == person and self.changes(said) else 0

    # The fold.

    def order(self, one: int) -> tuple[int, Rank, int, int]:
        said = self.all[one]
        if "circle-senior" not in self.rules:
            return (0, (0, 0), 0, -one)
        tier = {"recover": 0, "approve": 1, "paper": 3}.get(said.kind, 2)
        past = self._before(said)
        rank = past.ranks.get(self.person_of(said.author, said.past) or 0, (0, 0)) if tier >= 2 else (0, 0)
        admitted = [self.depth(p) for p in bits(said.past) if self._admits(p, said.author)]
        return (tier, rank, min(admitted, default=0), self.rank(one)[1])

    def _removals(self, mask: int, valid: list[int]) -> list[int]:
        every = sorted((s for s in valid if self.is_removal(s)), key=self.order)
        left = [r for r in every if not self.leaves(r)]
        found: list[int] = []
        while left:
            free = [r for r in left if not any(self.kills(other, r) for other in left)]
            one = min(free, key=self._made) if free and "circle" in self.rules else left[0]
            circle = one not in free and "circle" in self.rules
            left.remove(one)
            if "can-act" in self.rules and not self._settled(mask, valid, [*found, one]).admins:
                continue
            found.append(one)
            left = [r for r in left if not self.kills(one, r) and not (circle and self.kills(r, one))]
        for one in reversed([r for r in every if self.leaves(r)]):
            stands = not any(self.kills(r, one) for r in found)
            if stands and ("leave-last" not in self.rules or self._settled(mask, valid, [*found, one]).admins):
                found.append(one)
        return found

    def _made(self, one: int) -> tuple[int, int]:
        return self.rank(one) if "heard-first" in self.rules else (0, -one)

    def _fold(self, mask: int, valid: list[int]) -> State:
        return self._settled(mask, valid, self._removals(mask, valid))

    def _settled(self, mask: int, valid: list[int], removals: list[int]) -> State:
        state = State(removals=list(removals))
        state.gone = [r for r in removals if self._ends_reading(r)]
        state.alive = self._alive(valid, removals)
        alive = sorted(state.alive, key=self.rank)
        for one in alive:
            self._admit(state, self.all[one], one)
        self._roles(state, alive)
        self._rights(state, alive)
        for removal in removals:
            for key in [*state.keys, *state.blind, *state.papers.values()]:
                back = "no-return" not in self.rules and any(
                    self.all[s].key == key and not self.all[removal].past >> s & 1 for s in state.alive
                )
                if self.hits(removal, key, mask) and not back:
                    state.removed.add(key)
        self._take(state, state.removed)
        return state

    def _ends_reading(self, removal: int) -> bool:
        said = self.all[removal]
        return said.kind in (*WHOLE, "paper") or (said.kind == "revoke" and not said.right)

    def _alive(self, valid: list[int], removals: list[int]) -> set[int]:
        alive = [s for s in valid if not self.is_removal(s) or s in removals]
        return {s for s in alive if s in removals or not any(self.kills(r, s) for r in removals)}

    def _admit(self, state: State, said: Statement, one: int) -> None:
        if said.kind == "blind":
            state.blind.add(said.key)
        elif said.kind == "paper":
            state.papers[said.target] = said.key
        elif said.kind in ("found", "person", "device", "recover") and said.key >= 0:
            state.keys.setdefault(said.key, said.target)
            state.ranks.setdefault(said.target, self.rank(one))
        if said.kind == "recover" and said.author == state.recovery:
            state.recovery = said.next

    def _newest(self, changes: list[int]) -> list[int]:
        """Those that no other was made after."""
        return [c for c in changes if not any(self.all[other].past >> c & 1 for other in changes)]

    def _roles(self, state: State, alive: list[int]) -> None:
        for person in state.ranks:
            raises = [s for s in alive if self.makes_admin(s, person)]
            lowers = [s for s in alive if self.all[s].kind == "demote" and self.all[s].target == person]
            newest = self._newest(sorted([*raises, *lowers]))
            raised = [one for one in newest if one in raises and not self._apart(one, lowers)]
            if not raised:
                continue
            state.admins.add(person)
            made = min(raised, key=self.rank)
            if self.all[made].kind == "promote" and "promotion-rank" in self.rules:
                state.ranks[person] = self.rank(made)

    def _rights(self, state: State, alive: list[int]) -> None:
        for person in state.ranks:
            gave = [s for s in alive if self._gives(s, person)]
            took = [s for s in alive if self.all[s].kind == "revoke" and self.all[s].target == person]
            newest = self._newest(sorted([*gave, *took]))
            if not newest:
                continue
            given = [one for one in newest if one in gave]
            raised = {one: min([self._gives(one, person), *self._left(one, took)]) for one in given}
            lowest = [self.all[one].right for one in newest if one in took]
            right = state.rights[person] = max([*raised.values(), *([min(lowest)] if lowest else [])])
            if right == OWNS:
                state.owners[person] = min(self.rank(one) for one, high in raised.items() if high == OWNS)
            if not right:
                state.revoked.add(person)

    def _left(self, one: int, took: list[int]) -> list[int]:
        return [self.all[low].right for low in self._apart(one, took)]

    def _apart(self, one: int, lowers: list[int]) -> list[int]:
        """The lowerings that take from what was given apart from them."""
        return [low for low in lowers if not self.all[one].past >> low & 1 and "lowest" in self.rules]

    def _take(self, state: State, keys: set[int]) -> None:
        state.blind -= keys
        for key in keys:
            state.keys.pop(key, None)
        state.papers = {person: paper for person, paper in state.papers.items() if paper not in keys}
        here = {*state.keys.values(), *state.papers}
        state.ranks = {person: rank for person, rank in state.ranks.items() if person in here}
        state.admins &= set(state.keys.values())

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

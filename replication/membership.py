"""Who belongs to the family, who may do what: a pure function of the set of statements.

The problem. Two brothers are both admins, and both are on a train without a network. Each does what an
admin may do; then their laptops meet. There is no server that says who came first, clocks lie, and a
third laptop hears of the two in either order. All three must end with the same family.

What we do. A statement is judged in the state of *its own past*: the statements that its author had
heard of, which are named by hashes in its entry's header. So the answer is the same on every device
and in every order of arrival. A statement without authority is kept, has no effect and says why. What
an effective statement adds is folded in one fixed order (depth in the graph of "made after", then hash).

Nothing here reads a clock, a disk or the network, and nothing raises on a statement: `add` always takes it.
The statements are in replication/statements.py, who may state them in authority.py, what they do in folding.py and
state.py, on what they rest in grounds.py, which of those that take something away stand in removal.py.
Mirrors docs/spec/membership.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from replication.authority import judge
from replication.entry import MAX_FRONTIER
from replication.folding import apply, cut, cut_whole, is_gone, keep_readable, remove
from replication.grounds import Grounds, Part
from replication.removal import Removal, Seniority, standing
from replication.state import (
    Cut,
    Device,
    Epoch,
    Keyholder,
    Paper,
    Person,
    Proposal,
    Purge,
    Rank,
    State,
    Unlock,
    Vault,
    can_act,
)
from replication.statements import (
    A_DEVICE,
    A_PERSON,
    ADMIN,
    APPROVE,
    BLIND,
    DEVICE,
    DIRECTORY,
    DISCOVERY,
    EPOCH,
    FORGET,
    FOUND,
    FULL,
    GRANT,
    KEYHOLDER,
    KNOWN,
    MAX_BLOB,
    MAX_BOXES,
    MAX_CHANGES,
    MAX_CUTS,
    MAX_DEVICES,
    MAX_EPOCHS,
    MAX_LEAF,
    MAX_PURGED,
    MAX_PURGES,
    MAX_RECIPIENTS,
    MAX_VAULTS,
    OWNS,
    PAPER,
    PERMIT,
    PERSON,
    PRIVATE,
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
    UNLOCK,
    VAULT,
    WRITER,
    WRITES,
    Cuts,
    NoEffect,
    Statement,
    device_proof,
    family_id,
    keyholder_proof,
    read_cuts,
    self_admission,
)

__all__ = [
    "ADMIN",
    "APPROVE",
    "A_DEVICE",
    "A_PERSON",
    "BLIND",
    "DEVICE",
    "DIRECTORY",
    "DISCOVERY",
    "EPOCH",
    "FORGET",
    "FOUND",
    "FULL",
    "GRANT",
    "KEYHOLDER",
    "KNOWN",
    "MAX_BLOB",
    "MAX_BOXES",
    "MAX_CHANGES",
    "MAX_CUTS",
    "MAX_DEVICES",
    "MAX_EPOCHS",
    "MAX_LEAF",
    "MAX_PURGED",
    "MAX_PURGES",
    "MAX_RECIPIENTS",
    "MAX_VAULTS",
    "OWNS",
    "PAPER",
    "PERMIT",
    "PERSON",
    "PRIVATE",
    "PROPOSE",
    "PURGE",
    "READER",
    "READS",
    "RECOVER",
    "REMOVE",
    "REVOKE",
    "ROLE",
    "SELF",
    "SHARED",
    "SUITE",
    "TAKE_IN",
    "UNLOCK",
    "VAULT",
    "WRITER",
    "WRITES",
    "Cut",
    "Cuts",
    "Device",
    "Epoch",
    "Keyholder",
    "Membership",
    "Paper",
    "Person",
    "Proposal",
    "Purge",
    "State",
    "Statement",
    "Unlock",
    "Vault",
    "device_proof",
    "family_id",
    "keyholder_proof",
    "self_admission",
]


class Membership:
    """The statements known, each judged in its own past; states are remembered by what they hold."""

    def __init__(self, family: bytes) -> None:
        self.family = family
        self.statements: dict[bytes, Statement] = {}
        self.reasons: dict[bytes, str] = {}
        """Statements without effect, and why."""
        self._bit: dict[bytes, int] = {}
        self._order: list[bytes] = []
        self._depth: dict[bytes, int] = {}
        self._past: dict[bytes, int] = {}
        self._effective = 0
        self._heads: set[bytes] = set()
        self._states: dict[int, State] = {0: State(family=family)}
        self._removals = 0
        self._grounds = Grounds(self.statements, self._rank, self._saw, self._own_past)
        self._named: dict[bytes, bytes] = {}

    def __contains__(self, statement: bytes) -> bool:
        return statement in self.statements

    def heads(self) -> tuple[bytes, ...]:
        """The newest statements with effect: the membership frontier of whoever knows just these."""
        return tuple(sorted(self._heads))

    def frontier_for(self, author: bytes, before: Iterable[bytes]) -> tuple[bytes, ...]:
        """What an author's next entry names: the heads; where a member made more of them than an entry holds, those
        that cover `before` (what the log's last entry named), the author's own, removals, then the first that came.
        Who names fewer has heard of less, which is always allowed; the author's next statement joins them.
        """
        heads = sorted(self._heads, key=lambda head: self._bit[head])
        chosen: list[bytes] = []
        for named in before:
            if not self.mask(chosen) & self._bit[named]:
                chosen.append(next((head for head in heads if self._past[head] & self._bit[named]), named))
        rest = [head for head in heads if head not in chosen]
        rest.sort(key=lambda h: (self.statements[h].author != author, not self._past[h] & self._removals))
        return tuple(sorted((chosen + rest)[:MAX_FRONTIER]))

    def mask(self, frontier: Iterable[bytes]) -> int:
        """The set of statements at and before `frontier`, a bit for each. All must be known."""
        result = 0
        for head in frontier:
            result |= self._past[head]
        return result

    def includes(self, frontier: Iterable[bytes], earlier: Iterable[bytes]) -> bool:
        """Whether who had heard of `frontier` had heard of all of `earlier`."""
        before = self.mask(earlier)
        return self.mask(frontier) & before == before

    def state(self) -> State:
        return self.state_at(self.heads())

    def state_at(self, frontier: Iterable[bytes]) -> State:
        """The family as who had heard of `frontier` sees it. Not to be changed by the caller."""
        return self._state(self.mask(frontier))

    def add(self, statements: list[Statement], judged: dict[bytes, str] | None = None) -> None:
        """Take one entry's statements, in order. What their frontier names must be known already.

        `judged`: the reasons found when they were first judged, by hash: read back from the store, since
        the answer never changes.
        """
        past = self.mask(statements[0].frontier)
        heads = statements[0].frontier
        for statement in statements:
            if statement.hash in self.statements:
                past |= self._past[statement.hash]
            else:
                past = self._add(statement, past, heads, judged)
            heads = (statement.hash,)

    def replace_body(self, statements: Sequence[Statement]) -> None:
        """The same statements, less a value that was purged: what they say stays."""
        for statement in statements:
            self.statements[statement.hash] = statement
        self._states = {0: self._states[0]}

    def ever_admitted(self, device: bytes) -> bool:
        """Whether a device was let in by who might, though it may be gone, or its admission undone."""
        return self._grounds.admitted(device)

    def ever_purged(self) -> dict[bytes, bytes]:
        """The dots that a purge named which had authority when it was stated, in force now or not, and that purge:
        why a value may be missing."""
        return self._named

    def rests_on_undone(self, author: bytes, vault: bytes, frontier: Iterable[bytes]) -> bool:
        """Whether `author`, who had heard of `frontier`, wrote in `vault` by a right that a removal has undone since:
        else whoever is removed could have a friend write on, under a grant said to be from before."""
        undone = self.state().undone
        heard = self.mask(frontier) if undone else 0
        gone = sum(self._bit[one] for one in undone if heard & self._bit[one])
        if not gone:
            return False
        left = self._state(heard & ~gone)
        return left.right(vault, left.person_of(author)) < WRITES

    def lifts(self, cut_: Cut, frontier: Iterable[bytes]) -> bool:
        """Whether who had heard of `frontier` had been given back what a revocation took."""
        return bool(cut_.lifted_by) and any(self.mask(frontier) & self._bit[one] for one in cut_.lifted_by)

    def _add(self, statement: Statement, past: int, parents: tuple[bytes, ...], judged: dict[bytes, str] | None) -> int:
        bit = 1 << len(self._order)
        self._bit[statement.hash] = bit
        self._order.append(statement.hash)
        self.statements[statement.hash] = statement
        self._depth[statement.hash] = 1 + max((self._depth[parent] for parent in parents), default=0)
        self._past[statement.hash] = past | bit
        reason = self._reason(statement, past) if judged is None else judged.get(statement.hash, "")
        if reason:
            self.reasons[statement.hash] = reason
            # Of what has no effect the store has the words: any key at all could fill the memory of the whole family.
            self.statements[statement.hash] = replace(statement, body=statement.body[:1])
        else:
            self._effective |= bit
            # What has no effect is no head: or any key at all could fill the frontiers of the whole family.
            self._heads = {head for head in self._heads if not past & self._bit[head]} | {statement.hash}
            self._note(statement, bit)
        return past | bit

    def _reason(self, statement: Statement, past: int) -> str:
        try:
            judge(statement, self._state(past), self.statements, self._saw)
        except NoEffect as reason:
            return str(reason)
        return ""

    def _note(self, statement: Statement, bit: int) -> None:
        if self._grounds.note(statement):
            self._removals |= bit
        if statement.body[0] == PURGE:
            for dot, _ in statement.body[2]:
                before = self._named.get(dot)
                if before is None or self._rank(statement.hash) < self._rank(before):
                    self._named[dot] = statement.hash

    def _rank(self, digest: bytes) -> Rank:
        return (self._depth[digest], digest)

    def _saw(self, one: bytes, other: bytes) -> bool:
        """Whether `one` was made after `other`."""
        return bool(self._past[one] & self._bit[other])

    def _own_past(self, digest: bytes) -> State:
        return self._state(self._past[digest] & ~self._bit[digest])

    def _state(self, mask: int) -> State:
        mask &= self._effective
        found = self._states.get(mask)
        if found is None:
            members = [h for h in self._order if self._bit[h] & mask]
            members.sort(key=self._rank)
            found = self._fold(members, mask) if mask & self._removals else self._added_up(members)
            if len(self._states) > 256:
                self._states = {0: self._states[0]}
            self._states[mask] = found
        return found

    def _added_up(self, members: Sequence[bytes], dead: Collection[bytes] = ()) -> State:
        state = State(family=self.family)
        for digest in members:
            statement = self.statements[digest]
            if digest not in dead:
                apply(state, statement, self._rank(digest), self._grounds.moves(digest), self._saw)
            elif statement.body[0] == EPOCH:
                # Now, and not at the end: a grant that stands may hand on its key, or give a right by its name.
                keep_readable(state, statement)
        return state

    def _fold(self, members: list[bytes], mask: int) -> State:
        """The state where there are removals: what stands, less what they undo."""
        taking = [h for h in members if self._bit[h] & self._removals]
        found = [self._grounds.removal(h, lambda one: bool(self._bit[one] & mask)) for h in taking]
        parts = {removal.hash: some for removal, some in found}
        tried: dict[tuple[bytes, ...], State] = {}
        ranks: dict[bytes, Seniority] = {}

        def settled(stand: Sequence[Removal], dead: set[bytes]) -> State:
            key = tuple(removal.hash for removal in stand)
            if key not in tried:
                tried[key] = self._settled(members, stand, dead, parts)
            return tried[key]

        def seniority(digest: bytes) -> Seniority:
            if not ranks:  # the earlier first: each rests on those before it
                ranks.update({one: self._grounds.seniority(one) for one in taking})
            return ranks[digest]

        stand, dead = standing(
            [removal for removal, _ in found],
            [self._grounds.said(h) for h in members],
            self._saw,
            lambda some, undone: can_act(settled(some, undone)),
            seniority,
        )
        state = settled(stand, dead)
        state.undone = frozenset(dead)
        for digest in members:
            if digest in dead:
                keep_readable(state, self.statements[digest])
                cut_whole(state, self.statements[digest])
        return state

    def _settled(
        self, members: Sequence[bytes], removals: Sequence[Removal], dead: set[bytes], parts: dict[bytes, list[Part]]
    ) -> State:
        state = self._added_up(members, dead)
        concerned = [(v, r.hash) for r in removals for v in self._kept_from(state, r.hash, parts[r.hash])]
        for removal in removals:
            for part in parts[removal.hash]:
                remove(state, removal.hash, part.what, part.target)
        for key, holder in list(state.keyholders.items()):
            if is_gone(state, holder) or any(part.removes(key) for r in removals for part in parts[r.hash]):
                state.former[key] = state.keyholders.pop(key)
        for removal in removals:
            self._cut(state, self.statements[removal.hash], parts[removal.hash], members)
        for vault, digest in concerned:
            self._close_older(state.vaults[vault], digest)
        return state

    def _kept_from(self, state: State, removal: bytes, parts: list[Part]) -> list[bytes]:
        """The vaults that somebody may not read any more for it; those, too, that they never could."""
        body = self.statements[removal].body
        if body[0] == REVOKE:
            return [body[1]] if body[3] < READS and body[1] in state.vaults else []
        return list(state.vaults) if any(part.removes(key) for key in state.keyholders for part in parts) else []

    def _cut(self, state: State, statement: Statement, parts: list[Part], members: Sequence[bytes]) -> None:
        """Up to where the entries count of those whom a removal or a revocation concerns."""
        body = statement.body
        keys = [*state.keyholders, *state.former]
        for part in parts:
            for key in keys:
                if part.removes(key):
                    cut(state, key, part.cuts, None, frozenset())
        # Who may still write there as before is not cut.
        role = body[0] == ROLE and body[2] == READER
        if not role and not (body[0] == REVOKE and body[3] < WRITES):
            return
        target, vaults = (body[1], state.shared()) if role else (body[2], frozenset([body[1]]))
        lifted = self._grounds.given_back(statement.hash, set(members).__contains__)
        for key in keys:
            holder = state.keyholder(key)
            if holder and holder.person == target:
                cut(state, key, read_cuts(body[3] if role else body[4]), vaults, lifted)

    def _close_older(self, vault: Vault, removal: bytes) -> None:
        """Nobody who has heard of a removal writes under an epoch opened before it, even one whose key the removed
        never had: somebody who has not heard may be handing it to them just now."""
        for name, epoch in vault.epochs.items():
            if not self._saw(name, removal):
                vault.epochs[name] = replace(epoch, closed=True)

"""Faults planted on purpose, one at a time: a simulator that does not notice each of them is no evidence.

Each replaces functions of the product while it lasts, here and nowhere else. What is said of it is what the
code would do wrong; `expected` are the checkers that may be the first to notice.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from node import item as items
from node import sealing
from replication import authority, evidence, folding, membership, purge, values
from replication import replica as replicas
from replication import session as sessions
from replication.entry import Entry, make_dot
from replication.errors import Malformed, Missing
from replication.grounds import Grounds
from replication.log import Row, SignedFrontier
from replication.membership import GRANT, PURGE, REVOKE, Membership, Purge, State
from replication.messages import Ack
from replication.removal import undone_by
from replication.replica import Replica
from replication.session import SyncSession
from replication.state import Level
from replication.statements import read_purge
from replication.store import Store
from simulations import household
from simulations import world as worlds
from simulations.household import replaced
from simulations.power import life
from simulations.run import Result, run
from simulations.scenarios import SCENARIOS
from simulations.store import SimulatedStore

Patch = tuple[Any, str, Any]
"""Whose function, its name, what stands in its place."""

MOST_SEEDS: Final = 80


@dataclass(frozen=True, slots=True)
class Bug:
    name: str
    says: str
    expected: tuple[str, ...]
    patches: Callable[[], list[Patch]]
    power: bool = False
    """It shows when the power goes: looked for with that first."""


def _signature() -> list[Patch]:
    return [(Entry, "verify", lambda _: None)]


def _place() -> list[Patch]:
    class AnyTarget(bytes):
        def __ne__(self, other: object) -> bool:
            return False

    return [(sealing, "target", lambda *_: AnyTarget())]


def _commitment() -> list[Patch]:
    return [(sealing, "hmac", SimpleNamespace(digest=hmac.digest, compare_digest=lambda *_: True))]


def _hasty() -> list[Patch]:
    real = vars(SyncSession)["_take_entries"]

    def hasty(self: Any, wires: tuple[bytes, ...]) -> Any:
        before, self.later = getattr(self, "later", ()), wires
        events = real(self, before) if before else []
        self._queue.append(Ack(self._received + len(wires)))
        return events

    return [(SyncSession, "_take_entries", hasty)]


def _ignored() -> list[Patch]:
    return [(Replica, "_replace", lambda *_: None), (Replica, "_replaced_between", lambda *_: set())]


def _anywhere() -> list[Patch]:
    def anywhere(self: Any, names: list[tuple[bytes, int, bytes]], _: bytes) -> None:
        for op in filter(None, (self.op_of(dot) for dot, _, _ in names)):
            self.store.run("UPDATE ops SET live = 0 WHERE id = ?", (op,))

    return [(Replica, "_replace", anywhere)]


def _too_late() -> list[Patch]:
    return [(Replica, "_replaced_between", lambda *_: set())]


def _un_heard() -> list[Patch]:
    def only_known(self: Any, _seq: int, frontier: tuple[bytes, ...], _before: tuple[bytes, ...]) -> None:
        for head in frontier:
            if head not in self._membership:
                raise Missing(head)

    return [(Replica, "_check_frontier", only_known)]


def _no_past() -> list[Patch]:
    return [(Replica, "_check_frontier", lambda *_: None)]


def _skips() -> list[Patch]:
    def skips(self: Any, log: bytes, seq: int, digest: bytes, forked: bool) -> bool:
        if forked:
            return digest not in self._peer_holds
        return bool(seq > self._peer_seq.get(log, -1) + 1)

    return [(SyncSession, "_wanted", skips)]


def _reader() -> list[Patch]:
    real = vars(Replica)["_why_without_effect"]

    def lenient(self: Replica, header: Any) -> str:
        reason = real(self, header)
        return "" if reason == "no right to write" else reason

    return [(Replica, "_why_without_effect", lenient)]


def _one_branch() -> list[Patch]:
    real = vars(Replica)["_take"]

    def first_only(self: Replica, arrived: Any) -> Any:
        wire = arrived.wire
        there = self.store.row(
            "SELECT 1 FROM entries JOIN logs ON number = entries.log WHERE logs.log = ? AND seq = ?",
            (wire.log, wire.seq),
        )
        return None if there else real(self, arrived)

    return [(Replica, "_take", first_only)]


def _clock() -> list[Patch]:
    real = vars(Replica)["_insert_ops"]

    def newest_wins(self: Replica, entry_id: int, entry: Entry, *, valid: bool, cut: bool) -> None:
        real(self, entry_id, entry, valid=valid, cut=cut)
        for op in entry.ops:
            live = self.ops_at(entry.header.vault, [op.target])
            for loser in sorted(live, key=lambda o: self.info(o.entry).wall_time)[:-1]:
                self.store.run("UPDATE ops SET live = 0 WHERE id = ?", (loser.entry * 1024 + loser.index,))

    return [(Replica, "_insert_ops", newest_wins)]


def _let_pass(name: str, reason: str) -> list[Patch]:
    """Judge as before, but take no offence at `reason`."""
    real = vars(authority)[name]

    def lenient(*values: Any, **named: Any) -> None:
        try:
            real(*values, **named)
        except Exception as error:
            if str(error) != reason:
                raise

    return [(authority, name, lenient)]


def _blind() -> list[Patch]:
    return _let_pass("_judge_keyholder", "no device that may read")


def _grab() -> list[Patch]:
    return _let_pass("_judge_grant", "not the owner")


def _same_logs() -> list[Patch]:
    unmarked = classmethod(
        lambda cls, path, random_bytes, vfs=None, **_: cls(SimulatedStore(path, vfs=vfs), random_bytes)
    )
    return [(Replica, "open", unmarked)]


def _salt() -> list[Patch]:
    real = sealing.Sealer.__init__

    def same_salt(self: Any, keys: Any, place: Any, random_bytes: Any) -> None:
        real(self, keys, place, bytes)
        self._random = random_bytes

    return [(sealing.Sealer, "__init__", same_salt)]


def _in_clear() -> list[Patch]:
    clear = SimpleNamespace(
        encrypt=lambda *given: given[1] + bytes(16), decrypt=lambda *given: given[1][:-16]
    )
    return [(sealing, "_cipher", lambda *_: clear)]


def _halves() -> list[Patch]:
    @contextmanager
    def commits_anyway(self: Any) -> Iterator[None]:
        outermost = not self._depth
        if outermost:
            self._db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if outermost:
                self._db.execute("COMMIT")

    return [(Store, "write", commits_anyway)]


def _delete_wins() -> list[Patch]:
    def delete_wins(item: items.Item, states: Any, *_: Any) -> None:
        item.deleted = any(op.value != ["alive"] for op in states)

    return [(items, "_read_state", delete_wins)]


def _order() -> list[Patch]:
    real = vars(Membership)["_added_up"]

    def by_arrival(self: Any, members: Any, dead: Any = ()) -> Any:
        return real(self, sorted(members, key=self._order.index), dead)

    return [(Membership, "_added_up", by_arrival)]


def _believed() -> list[Patch]:
    return [(Replica, "holds", lambda *_: True)]


def _ahead() -> list[Patch]:
    real = vars(SyncSession)["_take_hello"]

    def assumes(self: Any, hello: Any) -> Any:
        own = {row.log: row.seq for row in self._replica.frontier()}
        events = real(self, hello)
        for row in hello.rows:
            if own.get(row.log, row.seq) < row.seq:
                self._peer_seq[row.log] = own[row.log]
        return events

    return [(SyncSession, "_take_hello", assumes)]


def _alone() -> list[Patch]:
    return [(Store, "data_version", lambda _: 1)]


def _reorders() -> list[Patch]:
    real = Replica.entries_after

    def backwards(self: Replica, cursor: int, wanted: Any) -> Any:
        found, reached = real(self, cursor, wanted)
        return found[::-1], reached

    return [(Replica, "entries_after", backwards)]


def _dots() -> list[Patch]:
    real = vars(items)["read_item"]

    def one_side(record: bytes, ops: Any) -> items.Item:
        newest: dict[tuple[str, str], items.Opened] = {}
        for op in sorted(ops, key=lambda op: op.order):
            newest[(op.name, op.member)] = op
        item: items.Item = real(record, newest.values())
        return item

    return [(household, "read_item", one_side)]


def _unseen_key() -> list[Patch]:
    real = vars(Replica)["_insert_ops"]

    def all_live(self: Replica, entry_id: int, entry: Entry, *, valid: bool, cut: bool) -> None:
        real(self, entry_id, entry, valid=valid, cut=cut)
        if not valid or cut:
            self.store.run("UPDATE ops SET live = 1 WHERE id / 1024 = ?", (entry_id,))

    return [(Replica, "_insert_ops", all_live)]


def _no_cuts() -> list[Patch]:
    return [(Replica, "_is_cut", lambda *_: False), (Replica, "_recount", lambda _: None)]


def _junior_wins() -> list[Patch]:
    def junior_first(removals: Any, statements: Any, saw: Any, can_act: Any, seniority: Any) -> Any:
        stand: list[Any] = []
        every = {one.hash for one in removals}
        dead: set[bytes] = every
        for one in sorted(removals, key=lambda r: seniority(r.hash), reverse=True):
            tried = [*stand, one]
            undone = undone_by(tried, statements, saw, every - {r.hash for r in tried})
            if one.hash not in undone and can_act(tried, undone):
                stand, dead = tried, undone
        return stand, dead

    return [(membership, "standing", junior_first)]


def _no_rank() -> list[Patch]:
    return _let_pass("_judge_removal", "a senior falls to two admins together, or to the recovery key")


def _stale_key() -> list[Patch]:
    real = vars(Replica)["_why_without_effect"]

    def lenient(self: Replica, header: Any) -> str:
        reason = real(self, header)
        return "" if reason.startswith("under a key that a removed one has") else reason

    return [(Replica, "_why_without_effect", lenient)]


def _late_head() -> list[Patch]:
    return [(Replica, "_is_named_by_cut", lambda *_: False)]


def _back_again() -> list[Patch]:
    def shallow(writes: Any) -> set[bytes]:
        named = {dot for write in writes if write.counts for dot in write.replaces}
        return {write.dot for write in writes if write.counts and write.dot not in named}

    return [(replicas, "live_dots", shallow)]


def _readmitted() -> list[Patch]:
    return _let_pass("_judge_device", "a removed key is never admitted again")


def _told() -> list[Patch]:
    real, real_key = vars(household.Desk)["_epoch_for"], State.box_key

    def for_all(self: Any, vault: bytes, recipients: Any) -> Any:
        state = self.state()
        return real(self, vault, {*recipients, *state.keyholders, *state.former})

    def box_key(self: State, recipient: bytes) -> bytes | None:
        former = self.former.get(recipient)
        return former.box_key if former else real_key(self, recipient)

    return [
        (household.Desk, "_epoch_for", for_all),
        (State, "box_key", box_key),
        (State, "is_clean", lambda self, vault, epoch: not self.vaults[vault].epochs[epoch].closed),
        *_let_pass("_judge_epoch", "recipients are not the readers"),
    ]


def _loose() -> list[Patch]:
    """The cipher without what the ciphertext is bound to."""
    real = vars(sealing)["_cipher"]

    def unbound(suite: int, key: bytes) -> Any:
        cipher = real(suite, key)
        return SimpleNamespace(
            encrypt=lambda nonce, data, _: cipher.encrypt(nonce, data, b""),
            decrypt=lambda nonce, data, _: cipher.decrypt(nonce, data, b""),
        )

    return [(sealing, "_cipher", unbound)]


def _same_nonce() -> list[Patch]:
    real = vars(sealing)["_cipher"]

    def fixed(suite: int, key: bytes) -> Any:
        cipher = real(suite, key)
        return SimpleNamespace(
            encrypt=lambda _, data, at: cipher.encrypt(bytes(12), data, at),
            decrypt=lambda _, data, at: cipher.decrypt(bytes(12), data, at),
        )

    return [(sealing, "_cipher", fixed)]


def _placeless() -> list[Patch]:
    real = sealing.entry_key

    def anywhere(vault_key: bytes, salt: bytes, place: Any) -> Any:
        return real(vault_key, salt, replace(place, seq=0))

    return [(sealing, "entry_key", anywhere)]


def _one_more() -> list[Patch]:
    real = vars(SyncSession)["_know"]
    return [(SyncSession, "_know", lambda self, row: real(self, Row(row.log, row.seq + 1, row.hash)))]


def _cut_short() -> list[Patch]:
    real = vars(Replica)["_under"]
    return [(Replica, "_under", lambda self, heads: real(self, heads) - set(heads))]


def _late_clock() -> list[Patch]:
    real = vars(Replica)["_take"]
    limit = 4_000_000_000_000  # in the year 2096

    def refuses(self: Replica, arrived: Any) -> Any:
        if arrived.wire.wall_time > limit:
            raise Malformed("time", "far ahead")
        return real(self, arrived)

    return [(Replica, "_take", refuses)]


def _unsigned_frontier() -> list[Patch]:
    return [(SignedFrontier, "verify", lambda *_: None)]


def _unproved() -> list[Patch]:
    return [(authority, "signed", lambda *_: True)]


def _fork_unseen() -> list[Patch]:
    real = vars(Replica)["_extend_log"]

    def unseen(self: Replica, *given: Any) -> None:
        real(self, *given)
        self.store.run("UPDATE logs SET forked = 0")

    return [(Replica, "_extend_log", unseen)]


def _no_recount() -> list[Patch]:
    return [(Replica, "_recount_targets", lambda *_: None)]


def _own_only() -> list[Patch]:
    real = vars(Replica)["entries_after"]

    def own(self: Replica, cursor: int, wanted: Any) -> Any:
        mine = {log for (log,) in self.store.rows("SELECT log FROM own_logs")}
        found, reached = real(self, cursor, wanted)
        return [entry for entry in found if entry.log in mine], reached

    return [(Replica, "entries_after", own)]


def _not_synced() -> list[Patch]:
    real = vars(Store)["_prepare"]

    def normal(self: Any, *, create: bool) -> None:
        real(self, create=create)
        self._db.execute("PRAGMA synchronous=NORMAL")

    return [(Store, "_prepare", normal)]


def _goes_on() -> list[Patch]:
    real = vars(Store)["write"]

    def forgives(self: Any) -> Any:
        self._broken = False
        return real(self)

    return [(Store, "write", forgives)]


def _purge_live() -> list[Patch]:
    return [(purge, "really_replaced", lambda *_, **__: True)]


def _floor_ignored() -> list[Patch]:
    return [(Replica, "_floors", lambda _: set())]


def _one_word() -> list[Patch]:
    return [(purge, "lagging", lambda *_: [])]


def _hasty_purge() -> list[Patch]:
    real = vars(purge)["drop_purged"]
    return [(worlds, "drop_purged", lambda replica, now, _=0: real(replica, now, 0))]


def _copies_write() -> list[Patch]:
    """A copy is taken for a write of its own."""
    real = vars(Replica)["_insert_ops"]

    def insert(self: Replica, entry_id: int, entry: Entry, *, valid: bool, cut: bool) -> None:
        real(self, entry_id, entry, valid=valid, cut=cut)
        if valid and not cut:
            self.store.run("UPDATE ops SET live = 1 WHERE copies IS NOT NULL AND id / 1024 = ?", (entry_id,))

    return [(Replica, "_insert_ops", insert)]


def _copy_first() -> list[Patch]:
    real = vars(household.Desk)["_open_first"]

    def first(self: Any, op: Any) -> Any:
        dot = make_dot(self.replica.info(op.entry).hash, op.index)
        others = self.replica.copies_of(dot)
        return real(self, others[-1] if others else op)

    return [(household.Desk, "_open_first", first)]


def _hand_on_gives() -> list[Patch]:
    """A grant that hands a key on sets the right that it names."""
    real = vars(folding)["_apply_to_vault"]

    def sets(state: Any, statement: Any, rank: Any, moves: int, saw: Any) -> None:
        real(state, statement, rank, 1 if statement.body[0] == GRANT else moves, saw)

    return [(folding, "_apply_to_vault", sets)]


def _revoke_cuts_nothing() -> list[Patch]:
    real = vars(Membership)["_cut"]

    def spares(self: Any, state: Any, statement: Any, *given: Any) -> None:
        if statement.body[0] != REVOKE:
            real(self, state, statement, *given)

    return [(Membership, "_cut", spares)]


def _never_lifted() -> list[Patch]:
    return [(Membership, "lifts", lambda *_: False)]


def _approves_own() -> list[Patch]:
    return _let_pass("_judge_approval", "two admins are two people")


def _rank_of_admission() -> list[Patch]:
    real = vars(folding)["_set_role"]

    def keeps(state: Any, person: bytes, *given: Any) -> None:
        before = state.people.get(person)
        real(state, person, *given)
        if before is not None:
            state.people[person] = replace(state.people[person], rank=before.rank)

    return [(folding, "_set_role", keeps)]


def _old_kit() -> list[Patch]:
    return [(Grounds, "_replaced", lambda *_: set())]


def _unknown_dropped() -> list[Patch]:
    real = vars(Replica)["_take"]

    def drops(self: Replica, arrived: Any) -> Any:
        if arrived.wire.version > self.understood:
            raise Malformed("version")
        return real(self, arrived)

    return [(Replica, "_take", drops)]


def _any_value() -> list[Patch]:
    digest = SimpleNamespace(digest=_Anything)
    return [(values, "hashlib", SimpleNamespace(sha256=lambda _: digest))]


class _Anything(bytes):
    def __ne__(self, other: object) -> bool:
        return False


def _silent() -> list[Patch]:
    return [(Replica, "raise_alarm", lambda *_: False)]


def _cries_wolf() -> list[Patch]:
    """Who is behind is taken for one who was put back."""
    return [(evidence, "_may_follow", lambda _, row, other: row == other)]


def _never_rejudged() -> list[Patch]:
    return [(Replica, "rebuild", lambda _: None)]


def _recovers_twice() -> list[Patch]:
    return _let_pass("_judge_recovery", "not the recovery key in force")


def _undone_right() -> list[Patch]:
    return [(Membership, "rests_on_undone", lambda *_: False)]


def _grant_wins() -> list[Patch]:
    """Whoever gives a right apart from its revocation wins."""

    def raise_to(self: Any, name: bytes, value: int, rank: Any, saw: Any) -> None:
        if not self.changes:
            self.first = rank
        self.raised = [one for one in self.raised if not saw(name, one[0])] + [(name, value, rank)]
        self.changes += 1

    def lower_to(self: Any, name: bytes, value: int, saw: Any) -> None:
        self.raised = [one for one in self.raised if not saw(name, one[0])]
        self.lowered.append((name, value))
        self.changes += 1

    return [(Level, "raise_to", raise_to), (Level, "lower_to", lower_to)]


def _purged_for_good() -> list[Patch]:
    """A purge that lost its authority is carried out all the same."""
    real = vars(Replica)["state"]

    def with_undone(self: Replica) -> State:
        state: State = real(self)
        known = self.membership().statements.values()
        undone = [one for one in known if one.hash in state.undone and one.body[0] == PURGE]
        purges = [Purge(one.hash, one.author, one.body[1], read_purge(one.body[2])) for one in undone]
        return replace(state, purges=[*state.purges, *purges])

    return [(Replica, "state", with_undone)]


def _never_asked() -> list[Patch]:
    return [(sessions, "wanted", lambda *_: [])]


BUGS: Final = (
    Bug(
        "signature",
        "an entry's signature is not verified",
        ("durable", "accounting", "agree", "alive"),
        _signature,
    ),
    Bug("place", "a value sealed for another record is shown there", ("views",), _place),
    Bug("commitment", "a lie about the key is not noticed", ("views",), _commitment),
    Bug(
        "early-ack", "entries are acknowledged before they are stored", ("durable", "alive", "agree"), _hasty
    ),
    Bug("dots-ignored", "what a write names is not replaced", ("live", "views", "agree"), _ignored),
    Bug("dots-anywhere", "a write replaces fields that it only names", ("live", "views", "agree"), _anywhere),
    Bug("dots-too-late", "a write that came after what replaced it is live", ("live", "agree"), _too_late),
    Bug(
        "un-hearing",
        "an author may claim to know less than before",
        ("authority", "accounting", "alive"),
        _un_heard,
    ),
    Bug("no-past", "entries are taken whose past is not here", ("alive", "authority"), _no_past),
    Bug("skipped-entry", "a session sends one entry too few", ("alive", "agree"), _skips),
    Bug("reader-writes", "a reader's write counts", ("authority", "live", "agree"), _reader),
    Bug("without-effect-shown", "an entry put aside is live all the same", ("live", "agree"), _unseen_key),
    Bug(
        "one-branch",
        "of a forked log only the first branch is kept",
        ("durable", "kept", "agree", "alive"),
        _one_branch,
    ),
    Bug(
        "clock-decides",
        "the newer wall time wins, the other value is dropped",
        ("live", "agree", "views"),
        _clock,
    ),
    Bug("blind-reads", "a blind device may be given a keyholder", ("authority", "secret"), _blind),
    Bug("right-taken", "who does not own a vault gives rights in it", ("authority", "alive"), _grab),
    Bug("same-logs", "a restored store goes on with its old logs", ("forks", "alive", "agree"), _same_logs),
    Bug("same-salt", "each entry is sealed with the same salt", ("secret",), _salt),
    Bug("in-the-clear", "values are not encrypted", ("secret",), _in_clear),
    Bug(
        "half-written",
        "what was written before a crash stays, by half",
        ("atomic", "alive", "accounting"),
        _halves,
    ),
    Bug("delete-wins", "a delete hides what was changed apart", ("views",), _delete_wins),
    Bug("one-side-shown", "of two values written apart one is shown only", ("views",), _dots),
    Bug("arrival-decides", "statements apply in the order in which they came", ("agree",), _order),
    Bug("peer-believed", "what a peer holds counts as held here", ("durable", "agree", "alive"), _believed),
    Bug(
        "ahead-believed",
        "a peer that is ahead in a log counts as being on our branch of it",
        ("durable", "agree", "alive"),
        _ahead,
    ),
    Bug(
        "other-process-unseen",
        "what another process stored is not taken in",
        ("agree", "views", "alive", "authority"),
        _alone,
    ),
    Bug("reordered", "entries are sent the newest first", ("alive", "agree"), _reorders),
    Bug("cuts-ignored", "what a removed one writes unseen counts", ("authority", "views"), _no_cuts),
    Bug("junior-wins", "of removals made apart the junior's is looked at first", ("authority",), _junior_wins),
    Bug("rank-ignored", "an admin may remove a senior", ("authority",), _no_rank),
    Bug("stale-key", "who has heard may write under a key that a removed one has", ("authority", "secret"), _stale_key),
    Bug("late-head", "a cut's head that comes late is not counted anew", ("authority", "agree", "views"), _late_head),
    Bug("back-again", "what a cut write had replaced comes back", ("live", "agree"), _back_again),
    Bug("admitted-again", "a removed key is admitted again", ("authority", "alive"), _readmitted),
    Bug("told", "a new epoch's key is given to those removed as well", ("secret",), _told),
    Bug("unbound", "a ciphertext is not bound to its target", ("secret",), _loose),
    Bug("same-nonce", "all values of an entry are sealed with one nonce", ("secret",), _same_nonce),
    Bug("placeless", "an entry's key does not depend on its place in the log", ("secret",), _placeless),
    Bug("one-more", "a peer is taken to hold one entry more than it says", ("alive", "agree", "views"), _one_more),
    Bug("cut-short", "a cut leaves out its own head", ("authority", "views", "agree"), _cut_short),
    Bug("clock-refused", "entries with a clock far ahead are refused", ("alive", "agree", "views"), _late_clock),
    Bug("frontier-unsigned", "a signed frontier's signature is not verified", ("authority",), _unsigned_frontier),
    Bug("unproved", "nobody looks whether a key that is admitted is held", ("authority",), _unproved),
    Bug("fork-unseen", "a log with two branches is taken for one", ("alive", "agree", "forks"), _fork_unseen),
    Bug("not-recounted", "what a cut changes is not looked at again", ("live", "agree", "views"), _no_recount),
    Bug("own-only", "a peer sends only what it wrote itself", ("alive", "agree", "views", "durable"), _own_only),
    Bug("not-synced", "a commit does not wait for the disk", ("durable",), _not_synced, power=True),
    Bug("purge-of-live", "what shows is destroyed if a purge names it", ("kept", "views"), _purge_live),
    Bug("floor-ignored", "a floor is cut off, what it replaced is purged", ("views", "live", "agree"), _floor_ignored),
    Bug("one-word", "a purge does not wait for the other devices", ("kept",), _one_word),
    Bug("no-month", "a purge does not wait its month", ("kept",), _hasty_purge),
    Bug("copies-write", "another ciphertext counts as a write", ("live", "views", "agree"), _copies_write),
    Bug("copy-first", "a copy is read though the first ciphertext is here", ("views", "kept"), _copy_first),
    Bug("hand-on-gives", "a key handed on sets the right that it names", ("authority", "secret"), _hand_on_gives),
    Bug("revoke-spares", "a revocation cuts nothing off", ("authority", "live"), _revoke_cuts_nothing),
    Bug("never-lifted", "who was given a right back writes in vain", ("authority", "live", "views"), _never_lifted),
    Bug("approves-own", "an admin approves what they proposed", ("authority",), _approves_own),
    Bug("old-rank", "an admin's rank is that of their admission", ("authority",), _rank_of_admission),
    Bug("old-kit", "a paper key that was replaced is as good as before", ("authority",), _old_kit),
    Bug("unknown-dropped", "a later version is refused, not kept", ("alive", "agree", "kept"), _unknown_dropped),
    Bug("any-value", "a value is taken whatever its hash", ("views", "kept", "agree"), _any_value),
    Bug("silent", "no alarm is raised", ("honest",), _silent),
    Bug("cries-wolf", "who is ahead of what they signed is reported", ("honest",), _cries_wolf),
    Bug("not-rejudged", "after an update nothing is judged anew", ("kept", "agree", "views", "authority"),
        _never_rejudged),
    Bug("recovers-twice", "a recovery key that was used up recovers", ("authority",), _recovers_twice),
    Bug("undone-right", "who was let in by one who was removed writes on", ("authority", "live"), _undone_right),
    Bug("grant-wins", "a grant apart undoes a revocation", ("authority", "secret"), _grant_wins),
    Bug("purge-undone", "a purge is carried out though it lost its authority", ("kept",), _purged_for_good),
    Bug("never-asked", "values that are not here are not asked for", ("kept", "views"), _never_asked),
    Bug("goes-on", "after the disk failed to sync it is written on", ("durable",), _goes_on, power=True),
)


@contextmanager
def planted(name: str) -> Iterator[Bug]:
    """The product with one fault, for as long as this lasts."""
    bug = next(bug for bug in BUGS if bug.name == name)
    with ExitStack() as stack:
        for patch in bug.patches():
            stack.enter_context(replaced(*patch))
        yield bug


@dataclass(frozen=True, slots=True)
class Hunt:
    """Whether a planted bug was found, and after how many runs."""

    bug: str
    runs: int
    where: str
    """The seed or the story that found it."""
    result: Result | None
    expected: bool
    """By a checker that was to notice it."""


def hunt(name: str, seeds: int = MOST_SEEDS, *, stories_first: bool = False) -> Hunt:
    """Plant one, and look for it with the storm's seeds and with the named stories."""
    storms: list[tuple[str, Callable[[], Result]]] = [
        (f"seed {seed}", partial(run, seed)) for seed in range(seeds)
    ]
    stories: list[tuple[str, Callable[[], Result]]] = [
        (story, partial(run, 0, story=told)) for story, told in SCENARIOS.items()
    ]
    lives: list[tuple[str, Callable[[], Result]]] = [
        (f"disk {number}", partial(life, number)) for number in range(seeds // 4)
    ]
    with planted(name) as bug:
        ways = stories + storms if stories_first else storms + stories
        for tried, (where, go) in enumerate(lives + ways if bug.power else ways, 1):
            result = go()
            if result.checker:
                return Hunt(name, tried, where, result, result.checker in bug.expected)
    return Hunt(name, tried, "", None, expected=False)

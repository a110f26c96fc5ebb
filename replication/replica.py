"""One device's copy of the family: logs, live dots and membership over the store.

The merge needs no key. A write names the dots it replaces; what no counted write names is live. Two
live dots at one target are two people who changed it apart. Which one shows is for readers to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from replication import alarms
from replication.alarms import Alarm
from replication.encoding import decode, encode
from replication.entry import (
    MAX_COUNT,
    OPS,
    STATEMENTS,
    SUITES,
    UNDERSTOOD,
    VERSION,
    Entry,
    Header,
    Op,
    Wire,
    body_root,
    from_wire,
    log_id,
    make_dot,
    sign_entry,
    statement_hashes,
    to_wire,
)
from replication.errors import InvalidSignature, LocalProtocolError, Malformed, Missing, Refused
from replication.log import MAX_ROWS, Row, SignedFrontier, Version, sign_frontier, signed_from_wire
from replication.membership import KNOWN, WRITES, Cut, Membership, Purge, State, Statement
from replication.registers import Write, live_dots
from replication.store import Store, StoreError
from replication.verify import WORTH_IT, sound

MAX_BATCH: Final = 256 * 1024
"""Bytes of entries read at once to send; one entry may be longer."""

Sign = Callable[[bytes], bytes]
RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Draft:
    """What an author wants to append: ops of one vault, sealed, or statements."""

    ops: tuple[Op, ...] = ()
    statements: tuple[list[Any], ...] = ()
    vault: bytes = b""
    epoch: bytes = b""
    suite: int = 0
    salt: bytes = b""
    commitment: bytes = b""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next entry will stand: read inside the transaction that appends it."""

    family: bytes
    author: bytes
    log: bytes
    seq: int
    frontier: tuple[bytes, ...]
    state: State
    live: Callable[[bytes, bytes], list[bytes]]
    """(vault, target) to the dots that a write there replaces."""

    def statement_hash(self, before: Sequence[list[Any]], statement: list[Any]) -> bytes:
        """The name that `statement` will have after those `before` it in the same entry."""
        header = _place(self.family, self.author, self.log, self.seq, self.frontier)
        return statement_hashes(header, [*before, statement])[-1]


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """A stored header's fields that reading a value needs."""

    id: int
    hash: bytes
    author: bytes
    log: bytes
    seq: int
    vault: bytes
    epoch: bytes
    suite: int
    wall_time: int
    salt: bytes
    commitment: bytes
    reason: str
    kind: int
    version: int


@dataclass(frozen=True, slots=True)
class StoredOp:
    """An op as it lies in the store. `entry` is the local id of its entry."""

    entry: int
    index: int
    target: bytes
    replaces: tuple[bytes, ...]
    sealed: bytes | None
    live: bool

    @property
    def missing(self) -> bool:
        """It has a value, which is not here: purged, or never sent."""
        return self.sealed == b""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An entry to send, in order of arrival here."""

    id: int
    log: bytes
    seq: int
    hash: bytes
    forked: bool
    wire: bytes


@dataclass(slots=True)
class Ingested:
    """What became of a batch: received = stored (with or without effect) + duplicate + refused."""

    stored: int = 0
    duplicate: int = 0
    put_aside: int = 0
    """Of the stored ones, those without effect."""
    tips: list[Row] | None = None
    refused: Refused | None = None


@dataclass(slots=True)
class _Arrived:
    """An entry that came. `entry`: chained to where it seems to belong; `sound`: and signed by that log's author."""

    wire: Wire
    entry: Entry | None
    sound: bool = False


def _place(
    family: bytes,
    author: bytes,
    log: bytes,
    seq: int,
    frontier: tuple[bytes, ...],
    kind: int = STATEMENTS,
    version: int = VERSION,
) -> Header:
    """As much of a header as the names of its statements depend on."""
    return Header(family, author, log, seq, b"", kind, b"", b"", 0, frontier, 0, b"", b"", 0, b"", version)


def _stored(data: bytes) -> Any:
    """What we wrote ourselves, read back."""
    try:
        return decode(data)
    except Malformed as error:
        raise StoreError("damaged", error.kind) from None


def _split(blob: bytes | None, size: int) -> tuple[bytes, ...]:
    return tuple(blob[i : i + size] for i in range(0, len(blob), size)) if blob else ()


class Replica:
    """The copy in one store. One thread; other processes may write to the same store."""

    understood = UNDERSTOOD
    """The highest version of an entry that this program understands."""

    def __init__(self, store: Store, random_bytes: RandomBytes) -> None:
        self.store = store
        self._random = random_bytes
        self.family = store.meta("family")
        self._membership = Membership(self.family or b"")
        self._loaded = 0
        self._version = -1
        self._infos: dict[int, EntryInfo] = {}
        self.asked_up_to = 0
        """The op (local id) of the last value that a peer was asked for."""
        self._floors_of: tuple[list[Purge], set[tuple[bytes, bytes]]] = ([], set())
        self.refresh()

    @classmethod
    def open(
        cls,
        path: str,
        *,
        random_bytes: RandomBytes,
        mark: bytes = b"",
        create: bool = True,
        vfs: str | None = None,
    ) -> Replica:
        """`mark` says which machine and file this is: a store that finds itself elsewhere starts new logs,
        for the copy it was made from may go on with the old ones. Raises StoreError."""
        store = Store(path, create=create, vfs=vfs)
        if store.meta("mark") != mark:
            with store.write():
                store.run("DELETE FROM own_logs")
                store.set_meta("mark", mark)
        replica = cls(store, random_bytes)
        if store.meta("understands") != cls._understands():
            replica.rebuild()
        return replica

    @classmethod
    def _understands(cls) -> bytes:
        """What this program gives effect to; a store last opened by one that knew another set is judged anew."""
        return encode([cls.understood, sorted(KNOWN), list(SUITES)])

    def close(self) -> None:
        self.store.close()

    def adopt(self, family: bytes) -> None:
        """Become a copy of `family`: for ever, once an entry of it is here. Until then (a pairing was broken
        off at its last step) another may take its place."""
        with self.store.write():
            held = self.store.meta("family")
            if held == family == self.family:
                return  # what is known of it stays known
            if held is not None and held != family and self.last_id():
                raise LocalProtocolError("this store holds another family")
            self.store.set_meta("family", family)
        self._set_family(family)

    def _set_family(self, family: bytes) -> None:
        self.family = family
        self._membership = Membership(family)
        self._loaded = 0

    # Membership

    def refresh(self) -> None:
        """Take in the statements that another process stored."""
        version = self.store.data_version()
        if version == self._version:
            return
        self._version = version
        if not self._loaded:  # until its first entry is here, a store may be given to another family
            family = self.store.meta("family")
            if family is None:
                return
            if family != self.family:
                self._set_family(family)
        rows = self.store.rows(
            "SELECT id FROM entries WHERE id IN (SELECT entry FROM statements WHERE entry > ?) ORDER BY id",
            (self._loaded,),
        )
        for (entry,) in rows:
            self._load_statements(entry)

    def _load_statements(self, entry: int) -> None:
        reasons = dict(self.store.rows("SELECT hash, reason FROM statements WHERE entry = ?", (entry,)))
        self._membership.add(self._statements_in(entry), reasons)
        self._loaded = entry

    def _statements_in(self, entry: int) -> list[Statement]:
        body, frontier = self.store.one("SELECT body, frontier FROM entries WHERE id = ?", (entry,))
        info = self.info(entry)
        header = _place(
            self._membership.family, info.author, info.log, info.seq, _split(frontier, 32), info.kind, info.version
        )
        return _statements(header, _stored(body))

    def membership(self) -> Membership:
        """The statements known here, those of other processes included."""
        self.refresh()
        return self._membership

    def state(self) -> State:
        """The family as this copy knows it."""
        return self.membership().state()

    # Appending

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several appends that stand or fall together."""
        try:
            with self.store.write():
                self.refresh()
                yield
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        """After a rollback: what was taken into memory may not be in the store."""
        if self.store.writing:
            return
        self.family = self.store.meta("family")
        self._set_family(self.family) if self.family else None
        self._version = -1
        self._infos.clear()
        self.refresh()

    def append(
        self, author: bytes, sign: Sign, make: Callable[[Position], Draft], now: int, *, nonce: bytes = b""
    ) -> EntryInfo:
        """Append one entry to the author's own log. It is on the disk when this returns.

        `make` is called inside the transaction: another process may share the author's log. `now`:
        milliseconds since 1970, for display only.
        """
        with self.transaction():
            log, number, previous, seq, previous_hash, before = self._own_log(author, nonce)
            frontier = self._membership.frontier_for(author, before or ())
            position = Position(
                self.family or b"",
                author,
                log,
                seq,
                frontier,
                self._membership.state_at(frontier),
                self.live_dots,
            )
            draft = make(position)
            count = max(len(draft.ops), len(draft.statements))
            if not 0 < count <= MAX_COUNT:
                raise LocalProtocolError("an entry holds 1 to 1024 ops or statements")
            header = Header(
                self.family or b"",
                author,
                log,
                seq,
                previous_hash,
                OPS if draft.ops else STATEMENTS,
                draft.vault,
                draft.epoch,
                draft.suite,
                frontier,
                max(0, now),
                draft.salt,
                draft.commitment,
                count,
                body_root(draft.ops, draft.statements),
            )
            entry = sign_entry(header, draft.ops, draft.statements, sign)
            wire = from_wire(to_wire(entry, before))  # what we could not read back we must never sign into our log
            return self._insert(entry, wire.head, number, previous)

    def found(
        self,
        author: bytes,
        sign: Sign,
        family: bytes,
        nonce: bytes,
        make: Callable[[Position], Draft],
        now: int,
    ) -> EntryInfo:
        """The founding entry: the first of the founder's log in an empty store.

        `nonce`: the founding statement's 32 bytes; the log is made of the first 16.
        """
        with self.transaction():
            if self.family is not None:
                raise LocalProtocolError("this store holds a family")
            self.store.set_meta("family", family)
            self._set_family(family)
            return self.append(author, sign, make, now, nonce=nonce[:16])

    def _own_log(
        self, author: bytes, nonce: bytes
    ) -> tuple[bytes, int, int | None, int, bytes, tuple[bytes, ...] | None]:
        """(log, its number, previous entry, next seq, previous hash or nonce, frontier before)."""
        found = self.store.row(
            "SELECT logs.log, number, forked FROM own_logs JOIN logs ON logs.log = own_logs.log "
            "WHERE own_logs.author = ?",
            (author,),
        )
        if found and not found[2]:
            log, number, _ = found
            entry, seq, digest, frontier = self.store.one(
                "SELECT id, seq, hash, frontier FROM entries WHERE log = ? AND tip", (number,)
            )
            return log, number, entry, seq + 1, digest, _split(frontier, 32)
        nonce = nonce or self._random(16)
        log = log_id(self.family or b"", author, nonce)
        self.store.run("INSERT OR REPLACE INTO own_logs VALUES (?, ?)", (author, log))
        return log, self._new_log(log, author), None, 0, nonce, None

    def _new_log(self, log: bytes, author: bytes) -> int:
        self.store.run("INSERT INTO logs (log, author) VALUES (?, ?)", (log, author))
        return self.store.last_rowid()

    # Taking in

    def ingest(self, wires: Sequence[bytes]) -> Ingested:
        """Store what a peer sent, in one transaction, up to the first that is refused.

        Durable when this returns: only then is it acknowledged. `refused` names why it stopped, if it did.
        """
        result = Ingested()
        tips: dict[tuple[bytes, bytes], Row] = {}
        with self.transaction():
            try:
                for arrived in self._arrivals(wires):
                    info = self._take(arrived)
                    if info is None:
                        result.duplicate += 1
                        continue
                    result.stored += 1
                    result.put_aside += bool(info.reason)
                    tips[(info.log, info.hash)] = Row(info.log, info.seq, info.hash[:16])
            except Refused as refusal:
                result.refused = refusal
        result.tips = list(tips.values())
        return result

    def _arrivals(self, wires: Sequence[bytes]) -> Iterator[_Arrived]:
        """Each entry read; of many at once, those chained whose place is known, and their signatures checked."""
        if self.family is None:
            raise Malformed("family", "this copy has none yet")
        read: list[_Arrived] = []
        ends: dict[bytes, Entry] = {}
        refusal: Refused | None = None
        for data in wires:
            try:
                wire = from_wire(data)
            except Refused as found:
                refusal = found
                break
            read.append(_Arrived(wire, self._ahead(wire, ends) if len(wires) >= WORTH_IT else None))
        good = sound([arrived.entry for arrived in read if arrived.entry])
        for arrived in read:
            arrived.sound = arrived.entry is not None and arrived.entry.hash in good
            yield arrived
        if refusal is not None:
            raise refusal

    def _ahead(self, wire: Wire, ends: dict[bytes, Entry]) -> Entry | None:
        """The entry as it is if it follows the one before it in this batch or the newest here. `ends`: log to the
        former."""
        if wire.seq == 0:
            assert wire.author is not None
            assert wire.nonce is not None
            place: tuple[bytes, bytes, tuple[bytes, ...]] = (wire.author, wire.nonce, ())
        elif wire.log in ends:
            header = ends[wire.log].header
            place = (header.author, ends[wire.log].hash, header.frontier)
        else:
            newest = self.store.row(
                "SELECT author, hash, frontier FROM entries JOIN logs ON number = entries.log "
                "WHERE logs.log = ? AND tip AND seq = ?",
                (wire.log, wire.seq - 1),
            )
            if newest is None:
                return None
            place = (newest[0], newest[1], _split(newest[2], 32))
        ends[wire.log] = wire.chain(self.family or b"", *place)
        return ends[wire.log]

    def _take(self, arrived: _Arrived) -> EntryInfo | None:
        wire = arrived.wire
        found = self.store.row("SELECT number, author FROM logs WHERE log = ?", (wire.log,))
        if wire.seq == 0:
            assert wire.author is not None
            assert wire.nonce is not None
            if log_id(self.family or b"", wire.author, wire.nonce) != wire.log:
                raise Malformed("log", "not that author's, or another family's")
            author = wire.author
            before: list[tuple[int | None, bytes, bytes]] = [(None, wire.nonce, b"")]
        else:
            if found is None:
                raise Missing(wire.log)
            author = found[1]
            before = self.store.rows(
                "SELECT id, hash, frontier FROM entries WHERE log = ? AND seq = ?", (found[0], wire.seq - 1)
            )
            if not before:
                raise Missing(wire.log)
        for previous, previous_hash, frontier in before:
            entry = arrived.entry
            if entry is None or entry.header.previous != previous_hash:
                entry = wire.chain(self.family or b"", author, previous_hash, _split(frontier, 32))
            if self.store.row("SELECT 1 FROM entries WHERE hash = ?", (entry.hash,)):
                return None
            try:
                if entry is not arrived.entry or not arrived.sound:
                    entry.verify()
            except InvalidSignature:
                if len(before) == 1:
                    raise
                continue  # a branch of a forked log: it follows one of the others
            if wire.frontier is not None:
                self._check_frontier(wire.seq, entry.header.frontier, _split(frontier, 32))
            number = found[0] if found else self._new_log(wire.log, author)
            return self._insert(entry, wire.head, number, previous)
        raise InvalidSignature

    def _check_frontier(self, seq: int, frontier: tuple[bytes, ...], before: tuple[bytes, ...]) -> None:
        if seq and frontier == before:
            raise Malformed("frontier", "written out though it is the same")  # one entry, one spelling
        for head in frontier:
            if head not in self._membership:
                raise Missing(head)
        # Nobody can un-hear a removal: what a log's author knew once, they know ever after.
        if not self._membership.includes(frontier, before):
            raise Malformed("frontier", "less than before")

    def _insert(self, entry: Entry, head: bytes, number: int, previous: int | None) -> EntryInfo:
        h = entry.header
        has_ops = h.kind == OPS
        reason = self._why_without_effect(h) if has_ops else ""
        cut = bool(has_ops and not reason and self._is_cut(h, entry.hash))
        body = encode(list(entry.statements)) if not has_ops else None
        self.store.run(
            "INSERT INTO entries (hash, log, seq, previous, tip, head, frontier, vault, body, reason, cut) "
            "VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?)",
            (
                entry.hash,
                number,
                h.seq,
                previous,
                head,
                b"".join(h.frontier),
                h.vault or None,
                body,
                reason or None,
                cut,
            ),
        )
        entry_id = self.store.last_rowid()
        self._extend_log(number, previous)
        if has_ops:
            self._insert_ops(entry_id, entry, valid=not reason, cut=cut)
            if not reason:
                self._lift_in(entry_id, entry)
            if not reason and self._has_cut_entries():
                # The quick way above does not know of writes beyond a cut.
                self._recount_targets({(h.vault, op.target) for op in entry.ops})
        else:
            self._insert_statements(entry_id, entry)
        if self._is_named_by_cut(h, entry.hash):
            self._recount()
        return EntryInfo(
            entry_id, entry.hash, h.author, h.log, h.seq, h.vault, h.epoch, h.suite, h.wall_time, h.salt,
            h.commitment, reason, h.kind, h.version,
        )  # fmt: skip

    def _extend_log(self, number: int, previous: int | None) -> None:
        if previous is not None:
            self.store.run("UPDATE entries SET tip = 0 WHERE id = ? AND tip", (previous,))
            forked = not self.store.changed()
        else:
            forked = self.store.row("SELECT count(*) FROM entries WHERE log = ? AND seq = 0", (number,))[0] > 1
        if forked:
            # Two branches: both count; their stores open new logs.
            self.store.run("UPDATE logs SET forked = 1 WHERE number = ?", (number,))

    def _why_without_effect(self, header: Header) -> str:
        """Authority is judged in the entry's own past, so the answer is the same everywhere, for ever; but for what
        an older program does not understand, which is judged anew after an update."""
        if unknown := self._unknown(header):
            return unknown
        state = self._membership.state_at(header.frontier)
        person = state.person_of(header.author)
        if person is None:
            return "author is no keyholder"
        if state.right(header.vault, person) < WRITES:
            return "no right to write"
        vault = state.vaults[header.vault]
        if header.epoch not in vault.epochs:
            return "unknown epoch"
        if header.suite not in vault.readable_suites:
            return "suite not allowed"
        if not state.is_clean(header.vault, header.epoch):
            return "under a key that a removed one has, though its author had heard of the removal"
        return ""

    def _unknown(self, header: Header) -> str:
        if header.version > self.understood:
            return "unknown version"
        if header.kind not in (OPS, STATEMENTS):
            return "unknown kind"
        return "unknown suite" if header.kind == OPS and header.suite not in SUITES else ""

    def _unknown_statements(self, header: Header, statements: list[Statement]) -> dict[bytes, str] | None:
        """Why none of them has effect, where the entry is not understood; else None: they are to be judged."""
        unknown = self._unknown(header)
        return {statement.hash: unknown for statement in statements} if unknown else None

    # Cuts

    def _is_cut(self, header: Header, digest: bytes) -> bool:
        """Whether a new entry lies beyond a cut: all before a head that is here are here, so only the head itself
        can be under one; for a head that is still to come the entry waits."""
        state = self._membership.state()
        if digest in state.taken_in.get(header.log, ()):
            return False
        cuts = [c for c in state.cuts.get(header.author, ()) if self._concerns(c, header.vault, header.frontier)]
        return any(digest not in cut.heads.get(header.log, ()) for cut in cuts) or self._membership.rests_on_undone(
            header.author, header.vault, header.frontier
        )

    def _has_cut_entries(self) -> bool:
        state = self._membership.state()
        return bool((state.cuts or state.undone) and self.store.row("SELECT 1 FROM entries WHERE cut LIMIT 1"))

    def _concerns(self, cut: Cut, vault: bytes, frontier: tuple[bytes, ...]) -> bool:
        return (cut.vaults is None or vault in cut.vaults) and not self._membership.lifts(cut, frontier)

    def _is_named_by_cut(self, header: Header, digest: bytes) -> bool:
        """Whether a cut that came before it was waiting for this head: what it follows counts too."""
        state = self._membership.state()
        named = [cut.heads.get(header.log, frozenset()) for cut in state.cuts.get(header.author, ())]
        return any(digest in heads for heads in [*named, state.taken_in.get(header.log, set())])

    def _under(self, heads: Iterable[bytes]) -> set[bytes]:
        """The hashes of the entries at and before some heads of a log, so far as they are here; and the heads."""
        found = set(heads)
        for head in list(found):
            found |= self.ancestors(Row(b"", 0, head[:16]))
        return found

    def _recount(self) -> None:
        """The cuts have changed: say anew which entries count, and what is live where any changed."""
        state = self._membership.state()
        touched: set[tuple[bytes, bytes]] = set()
        rows = self.store.rows(
            "SELECT number, log, author FROM logs WHERE number IN (SELECT log FROM entries WHERE cut)"
        )
        logs = {number: (log, author) for number, log, author in rows}
        rows = self.store.rows("SELECT number, log, author FROM logs")
        logs |= {number: (log, author) for number, log, author in rows if state.undone or author in state.cuts}
        undone = cache(self._membership.rests_on_undone)
        for number, (log, author) in logs.items():
            taken = self._under(state.taken_in.get(log, ()))
            cuts = [(cut, self._under(cut.heads.get(log, ()))) for cut in state.cuts.get(author, ())]
            for entry, digest, vault, before, frontier in self.store.rows(
                "SELECT id, hash, vault, cut, frontier FROM entries "
                "WHERE log = ? AND reason IS NULL AND vault IS NOT NULL",
                (number,),
            ):
                heard = _split(frontier, 32)
                cut = digest not in taken and (
                    any(digest not in under and self._concerns(one, vault, heard) for one, under in cuts)
                    or undone(author, vault, heard)
                )
                if cut != bool(before):
                    self.store.run("UPDATE entries SET cut = ? WHERE id = ?", (cut, entry))
                    touched |= {
                        (vault, target)
                        for (target,) in self.store.rows(
                            "SELECT target FROM ops WHERE id BETWEEN ? AND ?",
                            (entry * 1024, entry * 1024 + 1023),
                        )
                    }
        self._infos.clear()
        self._recount_targets(touched)
        self.store.run_many("INSERT INTO recounts (vault, target) VALUES (?, ?)", sorted(touched))

    def _recount_targets(self, targets: Iterable[tuple[bytes, bytes]]) -> None:
        for vault, target in sorted(targets):
            rows = self.store.rows(
                "SELECT ops.id, hash, replaces, reason IS NULL, "
                "cut AND ops.id NOT IN (SELECT op FROM lifted), live FROM ops "
                "JOIN entries ON entries.id = ops.id / 1024 WHERE target = ? AND vault = ? AND copies IS NULL",
                (target, vault),
            )
            writes = [
                Write(
                    make_dot(digest, op % MAX_COUNT),
                    _split(dots, 18),
                    bool(valid and not cut),
                    bool(valid and cut),
                )
                for op, digest, dots, valid, cut, _ in rows
            ]
            live = live_dots(writes)
            changes = [
                (write.dot in live, row[0])
                for write, row in zip(writes, rows, strict=True)
                if (write.dot in live) != bool(row[5])
            ]
            self.store.run_many("UPDATE ops SET live = ? WHERE id = ?", changes)

    def _floors(self) -> set[tuple[bytes, bytes]]:
        """What the purges in force lift; remembered, since each new entry is looked at."""
        purges = self._membership.state().purges
        if purges is not self._floors_of[0]:
            self._floors_of = (purges, _floors_in(purges))
        return self._floors_of[1]

    def _lift_in(self, entry_id: int, entry: Entry) -> None:
        """Of a new entry, the writes that a floor names: it may be cut later."""
        floors, vault = self._floors(), entry.header.vault
        found = [
            (entry_id * MAX_COUNT + index,)
            for index in range(len(entry.ops) if floors else 0)
            if (make_dot(entry.hash, index), vault) in floors
        ]
        self.store.run_many("INSERT INTO lifted VALUES (?)", found)

    def _lift(self, before: list[Purge]) -> set[tuple[bytes, bytes]]:
        """Bring what is lifted from the purges that were in force `before` to those that are. The (vault, target)
        pairs where that changed."""
        floors = self._floors()
        changed: set[tuple[bytes, bytes]] = set()
        for dot, vault in floors ^ _floors_in(before):
            found = self.store.row(
                "SELECT ops.id, target FROM ops JOIN entries ON entries.id = ops.id / 1024 "
                "WHERE ops.id = ? AND vault = ? AND reason IS NULL",
                (self.op_of(dot), vault),
            )
            if found and (dot, vault) in floors:
                self.store.run("INSERT OR IGNORE INTO lifted VALUES (?)", (found[0],))
            elif found:
                self.store.run("DELETE FROM lifted WHERE op = ?", (found[0],))
            changed |= {(vault, found[1])} if found else set()
        self.store.run_many("INSERT INTO recounts (vault, target) VALUES (?, ?)", sorted(changed))
        return changed

    def _insert_ops(self, entry_id: int, entry: Entry, *, valid: bool, cut: bool) -> None:
        counted = valid and not cut
        first, last = make_dot(entry.hash, 0), make_dot(entry.hash, 0xFFFF)
        already = self._replaced_between(first, last, entry.header.vault) if counted else set()
        rows, names, missing = [], [], []
        for index, (target, replaces, sealed, copies, digest) in enumerate(entry.ops):
            op_id = entry_id * MAX_COUNT + index
            live = counted and not copies and not (already and (make_dot(entry.hash, index), target) in already)
            value = b"" if digest else sealed
            rows.append((op_id, target, b"".join(replaces) or None, copies or None, value, live))
            if digest:
                missing.append((op_id, digest))
            if valid:  # of one beyond a cut, too: it may count later, and is counted anew until then
                names += [(dot, op_id, target) for dot in replaces]
        self.store.run_many("INSERT INTO ops VALUES (?, ?, ?, ?, ?, ?)", rows)
        self.store.run_many("INSERT INTO missing VALUES (?, ?)", missing)
        if names:
            self._replace(names, entry.header.vault)

    def _replaced_between(self, first: bytes, last: bytes, vault: bytes) -> set[tuple[bytes, bytes]]:
        return set(
            self.store.rows(
                "SELECT dot, target FROM replaced JOIN ops ON ops.id = replaced.op "
                "JOIN entries ON entries.id = ops.id / 1024 WHERE dot BETWEEN ? AND ? AND vault = ?",
                (first, last, vault),
            )
        )

    def _replace(self, names: list[tuple[bytes, int, bytes]], vault: bytes) -> None:
        """Writes are no longer live that (dot, op, target) name; those that are not here yet are remembered."""
        entries = {prefix: self._entry_named(prefix) for prefix in {dot[:16] for dot, _, _ in names}}
        gone, waiting = [], []
        for dot, op, target in names:
            found = entries[dot[:16]]
            index = int.from_bytes(dot[16:], "big")
            if found is None:
                waiting.append((dot, op))
            elif found[1] == vault and index < MAX_COUNT:
                # A name counts only against an op of the same vault and target: nobody can silence another's field.
                gone.append((found[0] * MAX_COUNT + index, target))
        self.store.run_many("UPDATE ops SET live = 0 WHERE id = ? AND target = ?", gone)
        self.store.run_many("INSERT INTO replaced VALUES (?, ?)", waiting)

    def _entry_named(self, prefix: bytes) -> tuple[int, bytes] | None:
        """(local id, vault) of the entry whose hash begins so."""
        found: tuple[int, bytes] | None = self.store.row(
            "SELECT id, vault FROM entries WHERE hash BETWEEN ? AND ?", (prefix + b"\0" * 16, prefix + b"\xff" * 16)
        )
        return found

    def op_of(self, dot: bytes) -> int | None:
        """The local id of the op that a dot may name; None where its entry is not here."""
        found = self._entry_named(dot[:16])
        index = int.from_bytes(dot[16:], "big")
        return found[0] * MAX_COUNT + index if found and index < MAX_COUNT else None

    def _insert_statements(self, entry_id: int, entry: Entry) -> None:
        statements = _statements(entry.header, list(entry.statements))
        before = self._membership.state()
        self._membership.add(statements, self._unknown_statements(entry.header, statements))
        self._loaded = entry_id
        self.store.run_many(
            "INSERT OR IGNORE INTO statements VALUES (?, ?, ?)",
            [(s.hash, entry_id, self._membership.reasons.get(s.hash, "")) for s in statements],
        )
        after = self._membership.state()
        if (before.cuts, before.taken_in, before.undone) != (after.cuts, after.taken_in, after.undone):
            self._recount()
        if [purge.hash for purge in before.purges] != [purge.hash for purge in after.purges]:
            self._recount_targets(self._lift(before.purges))

    def rebuild(self) -> None:
        """Judge and merge everything anew from the entries alone: after an update, what was not understood before
        comes into force without being fetched again. Otherwise it changes nothing."""
        with self.transaction():
            self._membership = Membership(self.family or b"")
            self._infos.clear()
            for (entry,) in self.store.rows("SELECT id FROM entries WHERE vault IS NULL ORDER BY id"):
                self._judge_statements(entry)
            self.store.run("DELETE FROM replaced")
            for (entry,) in self.store.rows("SELECT id FROM entries WHERE vault IS NOT NULL ORDER BY id"):
                self._judge_ops(entry)
            self._infos.clear()
            self._recount()
            self.store.run("DELETE FROM lifted")
            self._lift([])
            targets = self.store.rows(
                "SELECT DISTINCT vault, target FROM ops JOIN entries ON entries.id = ops.id / 1024"
            )
            self._recount_targets(targets)
            self.store.run_many("INSERT INTO recounts (vault, target) VALUES (?, ?)", targets)
            self.store.set_meta("understands", self._understands())

    def _judge_statements(self, entry: int) -> None:
        statements = self._statements_in(entry)
        self._membership.add(statements, self._unknown_statements(self._header_of(entry), statements))
        self._loaded = entry
        self.store.run_many(
            "UPDATE statements SET reason = ? WHERE hash = ?",
            [(self._membership.reasons.get(s.hash, ""), s.hash) for s in statements],
        )

    def _judge_ops(self, entry: int) -> None:
        reason = self._why_without_effect(self._header_of(entry))
        self.store.run(
            "UPDATE entries SET reason = ?, cut = cut AND ? WHERE id = ?", (reason or None, not reason, entry)
        )
        if not reason:
            rows = self.store.rows(
                "SELECT id, replaces FROM ops WHERE id BETWEEN ? AND ? AND replaces IS NOT NULL",
                (entry * MAX_COUNT, entry * MAX_COUNT + MAX_COUNT - 1),
            )
            names = [(dot, op) for op, dots in rows for dot in _split(dots, 18) if not self._entry_named(dot[:16])]
            self.store.run_many("INSERT INTO replaced VALUES (?, ?)", names)

    def _header_of(self, entry: int) -> Header:
        """As much of a stored entry's header as its authority is judged by."""
        info = self.info(entry)
        (frontier,) = self.store.one("SELECT frontier FROM entries WHERE id = ?", (entry,))
        return Header(
            self._membership.family, info.author, info.log, info.seq, b"", info.kind, info.vault, info.epoch,
            info.suite, _split(frontier, 32), info.wall_time, info.salt, info.commitment, 0, b"", info.version,
        )  # fmt: skip

    # Reading

    def info(self, entry: int) -> EntryInfo:
        """The header's fields of a stored entry, by its local id."""
        found = self._infos.get(entry)
        if found is None:
            digest, head, log, author, reason = self.store.one(
                "SELECT hash, head, logs.log, author, reason FROM entries JOIN logs ON number = entries.log "
                "WHERE id = ?",
                (entry,),
            )
            part = _stored(bytes([head[0] - 1]) + head[1:])  # the same array, one item shorter
            found = EntryInfo(
                entry,
                digest,
                author,
                log,
                part[2],
                part[5],
                part[6],
                part[7],
                part[9],
                part[10],
                part[11],
                reason or "",
                part[4],
                part[0],
            )
            if len(self._infos) > 65_536:
                self._infos.clear()
            self._infos[entry] = found
        return found

    def last_id(self) -> int:
        """The local id of the newest entry here."""
        return self.store.row("SELECT coalesce(max(id), 0) FROM entries")[0]  # type: ignore[no-any-return]

    def live_dots(self, vault: bytes, target: bytes) -> list[bytes]:
        """The dots that a write at `target` would replace, sorted."""
        rows = self.store.rows(
            "SELECT hash, ops.id FROM ops JOIN entries ON entries.id = ops.id / 1024 "
            "WHERE target = ? AND live AND vault = ?",
            (target, vault),
        )
        return sorted(make_dot(digest, op % MAX_COUNT) for digest, op in rows)

    def live_ops(self, vault: bytes, after: int = 0) -> Iterator[StoredOp]:
        """All live ops of a vault, from entries after the local id `after`, in order of arrival."""
        rows = self.store.each(
            "SELECT ops.id, target, replaces, sealed, live FROM entries JOIN ops "
            "ON ops.id BETWEEN entries.id * 1024 AND entries.id * 1024 + 1023 "
            "WHERE entries.id > ? AND vault = ? AND live",
            (after, vault),
        )
        return map(_stored_op, rows)

    def ops_at(self, vault: bytes, targets: Iterable[bytes], *, live: bool = True) -> list[StoredOp]:
        """The live ops at some targets (all of them where `live` is false), in order of arrival."""
        found: list[StoredOp] = []
        for target in targets:
            rows = self.store.rows(
                "SELECT ops.id, target, replaces, sealed, live FROM ops "
                "JOIN entries ON entries.id = ops.id / 1024 "
                "WHERE target = ? AND vault = ? AND (live OR (? AND copies IS NULL AND reason IS NULL "
                "AND (NOT cut OR ops.id IN (SELECT op FROM lifted))))",
                (target, vault, not live),
            )
            found += map(_stored_op, rows)
        return sorted(found, key=lambda op: (op.entry, op.index))

    def copies_of(self, dot: bytes) -> list[StoredOp]:
        """The other ciphertexts of a dot that have effect, in order of arrival; some may be missing, too."""
        op = self.op_of(dot)
        rows = self.store.rows(
            "SELECT c.id, c.target, c.replaces, c.sealed, o.live FROM ops o JOIN entries oe ON oe.id = o.id / 1024 "
            "JOIN ops c ON c.copies = ? AND c.target = o.target JOIN entries ce ON ce.id = c.id / 1024 "
            "WHERE o.id = ? AND ce.vault = oe.vault AND ce.reason IS NULL "
            "AND (NOT ce.cut OR c.id IN (SELECT op FROM lifted)) ORDER BY c.id",
            (dot, op),
        )
        return [_stored_op(row) for row in rows]

    def replaced_through(self, vault: bytes, dots: Iterable[bytes]) -> set[bytes]:
        """Some dots, and all that they replaced at their target, directly or through others; so far as it is here.

        Writes beyond a cut lead on, too: who deleted one had seen what it replaced go."""
        found: set[bytes] = set()
        waiting = list(dots)
        while waiting:
            dot = waiting.pop()
            if dot in found:
                continue
            found.add(dot)
            rows = self.store.rows(
                "SELECT o.target, o.replaces FROM ops o JOIN entries e ON e.id = o.id / 1024 "
                "WHERE o.id = ? AND vault = ? AND replaces IS NOT NULL",
                (self.op_of(dot), vault),
            )
            for target, replaces in rows:
                waiting += [d for d in _split(replaces, 18) if self._target_of(d) == target]
        return found

    def _target_of(self, dot: bytes) -> bytes | None:
        row = self.store.row("SELECT target FROM ops WHERE id = ?", (self.op_of(dot),))
        return row[0] if row else None

    def entry_of(self, statement: bytes) -> int:
        """The local id of the entry that holds a statement."""
        return int(self.store.one("SELECT entry FROM statements WHERE hash = ?", (statement,))[0])

    def is_forked(self, log: bytes) -> bool:
        row = self.store.row("SELECT forked FROM logs WHERE log = ?", (log,))
        return bool(row and row[0])

    def replace_statement(self, name: bytes, body: list[Any]) -> None:
        """The same statement with parts that were not here, or without parts that are forgotten."""
        entry = self.entry_of(name)
        bodies = _stored(self.store.one("SELECT body FROM entries WHERE id = ?", (entry,))[0])
        bodies[self.statements_of(entry).index(name)] = body
        self.store.run("UPDATE entries SET body = ? WHERE id = ?", (encode(bodies), entry))
        self._membership.replace_body(self._statements_in(entry))

    def count_at(self, vault: bytes, targets: Iterable[bytes]) -> int:
        """How many ops with effect were ever written at some targets."""
        return sum(
            self.store.row(
                "SELECT count(*) FROM ops JOIN entries ON entries.id = ops.id / 1024 "
                "WHERE target = ? AND vault = ? AND copies IS NULL AND reason IS NULL "
                "AND (NOT cut OR ops.id IN (SELECT op FROM lifted))",
                (found, vault),
            )[0]
            for found in targets
        )

    def rewritten(self, vault: bytes) -> dict[bytes, int]:
        """The targets of a vault at which more than one op with effect was ever written, and how many."""
        return dict(
            self.store.rows(
                "SELECT target, count(*) FROM ops JOIN entries ON entries.id = ops.id / 1024 "
                "WHERE vault = ? AND copies IS NULL AND reason IS NULL "
                "AND (NOT cut OR ops.id IN (SELECT op FROM lifted)) GROUP BY target HAVING count(*) > 1",
                (vault,),
            )
        )

    def change_mark(self) -> tuple[int, int]:
        """Grows whenever the merged state may have changed: for `changed_targets`."""
        row = self.store.row("SELECT coalesce(max(id), 0), (SELECT coalesce(max(id), 0) FROM recounts) FROM entries")
        return (row[0], row[1])

    def changed_targets(self, mark: tuple[int, int]) -> dict[bytes, set[bytes]]:
        """Vault to the targets written, or counted anew, since `mark`."""
        changed: dict[bytes, set[bytes]] = {}
        for vault, target in self.store.each(
            "SELECT vault, target FROM entries JOIN ops "
            "ON ops.id BETWEEN entries.id * 1024 AND entries.id * 1024 + 1023 "
            "WHERE entries.id > ? AND vault IS NOT NULL "
            "UNION SELECT vault, target FROM recounts WHERE id > ?",
            mark,
        ):
            changed.setdefault(vault, set()).add(target)
        return changed

    def epoch_of(self, dot: bytes) -> bytes | None:
        """The epoch under which the write that a dot names was sealed."""
        op = self.op_of(dot)
        return None if op is None else self.info(op // MAX_COUNT).epoch

    def statements_of(self, entry: int) -> list[bytes]:
        """The hashes of a stored entry's statements, in order."""
        return [statement.hash for statement in self._statements_in(entry)]

    def tips(self) -> list[tuple[bytes, bytes, bytes, int]]:
        """The newest entry of each branch: (log, author, hash, wall time); the logs heard of first come first."""
        rows = self.store.rows("SELECT id FROM entries WHERE tip ORDER BY log, id")
        infos = [self.info(entry) for (entry,) in rows]
        return [(info.log, info.author, info.hash, info.wall_time) for info in infos]

    def put_aside(self) -> list[tuple[bytes, str]]:
        """Entries and statements without effect: (hash, why)."""
        return self.store.rows(
            "SELECT hash, reason FROM entries WHERE reason IS NOT NULL "
            "UNION ALL SELECT hash, 'beyond the cut of a removal' FROM entries WHERE cut "
            "UNION ALL SELECT hash, reason FROM statements WHERE reason != ''"
        )

    def table(self) -> list[tuple[bytes, bytes, bytes, bytes | None]]:
        """The merged state, in one order on every device: (vault, target, dot, sealed) of what is live."""
        rows = self.store.rows(
            "SELECT vault, target, hash, ops.id, sealed FROM ops JOIN entries ON entries.id = ops.id / 1024 WHERE live"
        )
        return sorted((v, t, make_dot(h, op % MAX_COUNT), s) for v, t, h, op, s in rows)

    # Comparing and sending

    def frontier(self) -> list[Row]:
        """What this copy holds: a row for each branch of each log."""
        rows = self.store.rows("SELECT logs.log, seq, hash FROM entries JOIN logs ON number = entries.log WHERE tip")
        return sorted(Row(log, seq, digest[:16]) for log, seq, digest in rows)

    def frontier_sent(self) -> list[Row]:
        """The frontier, without its shortest branches where it has more than MAX_ROWS. Who is not told of one
        sends it again, which is nothing to a replica: so no number of logs keeps two copies apart."""
        rows = self.frontier()
        return sorted(sorted(rows, key=lambda row: row.seq, reverse=True)[:MAX_ROWS])

    def milestones(self, log: bytes) -> list[Row]:
        """A log's newest entries, those 1, 2, 4, ... before each, and its first: who is on another branch, or behind,
        finds by them where the two copies part."""
        found: set[Row] = set()
        for number, seq in self.store.rows(
            "SELECT DISTINCT number, seq FROM entries JOIN logs ON number = entries.log WHERE tip AND logs.log = ?",
            (log,),
        ):
            for at in (0, seq, *(seq - (1 << step) for step in range(seq.bit_length()))):
                rows = self.store.rows("SELECT hash FROM entries WHERE log = ? AND seq = ?", (number, at))
                found |= {Row(log, at, digest[:16]) for (digest,) in rows}
        return sorted(found)

    def holds(self, row: Row) -> bool:
        """Whether the entry at a frontier's row is here."""
        low, high = row.hash + b"\0" * 16, row.hash + b"\xff" * 16
        return bool(self.store.row("SELECT 1 FROM entries WHERE hash BETWEEN ? AND ?", (low, high)))

    def ancestors(self, row: Row) -> set[bytes]:
        """The hashes of an entry and of all before it in its log."""
        low, high = row.hash + b"\0" * 16, row.hash + b"\xff" * 16
        return {
            digest
            for (digest,) in self.store.rows(
                "WITH RECURSIVE up (id, hash, previous) AS ("
                "SELECT id, hash, previous FROM entries WHERE hash BETWEEN ? AND ? UNION "
                "SELECT e.id, e.hash, e.previous FROM entries e JOIN up ON e.id = up.previous) "
                "SELECT hash FROM up",
                (low, high),
            )
        }

    def entries_after(
        self, cursor: int, wanted: Callable[[int, bytes, int, bytes, bool], bool | None]
    ) -> tuple[list[Outgoing], int]:
        """Entries after the local id `cursor` for which `wanted(id, log, seq, hash, forked)`, up to about
        256 KiB and to the first for which it is None, and the id reached."""
        found: list[Outgoing] = []
        size = 0
        for entry, log, seq, digest, forked in self.store.each(
            "SELECT id, logs.log, seq, hash, forked FROM entries JOIN logs ON number = entries.log "
            "WHERE id > ? ORDER BY id",
            (cursor,),
        ):
            verdict = wanted(entry, log, seq, digest, bool(forked))
            if verdict is None:
                break
            if verdict:
                wire = self.wire(entry)
                if found and size + len(wire) > MAX_BATCH:
                    break
                found.append(Outgoing(entry, log, seq, digest, bool(forked), wire))
                size += len(wire)
            cursor = entry
        return found, cursor

    def wire(self, entry: int) -> bytes:
        """An entry as it travels."""
        head, body = self.store.one("SELECT head, body FROM entries WHERE id = ?", (entry,))
        if body is not None:
            return bytes(head + body)
        rows = self.store.rows(
            "SELECT target, replaces, sealed, coalesce(copies, x''), coalesce(digest, x'') "
            "FROM ops LEFT JOIN missing ON op = id WHERE id BETWEEN ? AND ? ORDER BY id",
            (entry * MAX_COUNT, entry * MAX_COUNT + MAX_COUNT - 1),
        )
        return bytes(head + encode([Op(t, _split(dots, 18), *rest).to_value() for t, dots, *rest in rows]))

    def weight(self, row: Row) -> tuple[bytes, int]:
        """Whose the entry at a row is, and about how many bytes it takes here."""
        low, high = row.hash + b"\0" * 16, row.hash + b"\xff" * 16
        author, entry, size = self.store.one(
            "SELECT author, id, length(head) + coalesce(length(body), 0) FROM entries "
            "JOIN logs ON number = entries.log WHERE hash BETWEEN ? AND ?",
            (low, high),
        )
        ops = self.store.one(
            "SELECT coalesce(sum(24 + coalesce(length(replaces), 0) + coalesce(length(sealed), 0)), 0) FROM ops "
            "WHERE id BETWEEN ? AND ?",
            (entry * MAX_COUNT, entry * MAX_COUNT + MAX_COUNT - 1),
        )
        return author, size + ops[0]

    def frontier_of(self, entry: int) -> tuple[bytes, ...]:
        """The newest statements that the author of a stored entry had heard of."""
        return _split(self.store.one("SELECT frontier FROM entries WHERE id = ?", (entry,))[0], 32)

    # Signed frontiers

    def sign_frontier(self, device: bytes, sign: Sign, now: int) -> SignedFrontier:
        """State, durably, what this device holds."""
        assert self.family is not None
        with self.store.write():
            count = self.frontier_versions().get(device, (0,))[0] + 1
            rows = self.frontier_sent()
            signed = sign_frontier(self.family, device, count, max(0, now), rows, sign, reads=self.understood)
            self._put_signed(signed)
        return signed

    def take_signed_frontier(self, data: bytes) -> bool:
        """Store a device's frontier if it is newer than the one held, and the device is not gone. Raises Refused."""
        signed = signed_from_wire(data)
        signed.verify(self.family or b"")
        if signed.device not in self.state().devices:
            # One that was let in once is gone here; the peer may not have heard of that yet, or keep an old one.
            if self._membership.ever_admitted(signed.device):
                return False
            raise Malformed("device", "not of this family")
        with self.store.write():
            if self.frontier_versions().get(signed.device, (0,))[0] >= signed.count:
                return False
            self._put_signed(signed)
        return True

    def _put_signed(self, signed: SignedFrontier) -> None:
        self.store.run(
            "INSERT OR REPLACE INTO signed_frontiers VALUES (?, ?, ?)",
            (signed.device, signed.count, signed.to_wire()),
        )

    def signed_frontiers(self) -> dict[bytes, SignedFrontier]:
        """The latest of each device."""
        rows = self.store.rows("SELECT device, frontier FROM signed_frontiers ORDER BY device")
        return {device: signed_from_wire(wire) for device, wire in rows}

    def signed_frontier(self, device: bytes) -> SignedFrontier | None:
        """The latest of one device."""
        row = self.store.row("SELECT frontier FROM signed_frontiers WHERE device = ?", (device,))
        return signed_from_wire(row[0]) if row else None

    def frontier_versions(self) -> dict[bytes, Version]:
        """Device to which one is its latest."""
        rows = self.store.rows("SELECT device, count, substr(frontier, -64, 8) FROM signed_frontiers ORDER BY device")
        return {device: (count, mark) for device, count, mark in rows}

    def everyone_reads(self) -> int:
        """The highest entry version that every present device understands; 0 while one has not said. What a writer
        has to look at before it writes a newer version."""
        signed = self.signed_frontiers()
        return min((signed[d].reads if d in signed else 0 for d in self.state().devices), default=0)

    # Alarms

    def alarms(self) -> list[Alarm]:
        """What a person must be told and has not ticked off, the newest first."""
        return alarms.standing(self.store)

    def raise_alarm(self, kind: str, subject: bytes, detail: str, evidence: bytes, now: int) -> bool:
        """Note what happened; whether it is news. `now`: milliseconds since 1970."""
        return alarms.raise_alarm(self.store, kind, subject, detail, evidence, now)

    def dismiss_alarm(self, kind: str, subject: bytes) -> None:
        """A person ticks it off. It comes back only if it happens anew."""
        alarms.dismiss(self.store, kind, subject)

    def behind(self, rows: Iterable[Row]) -> int:
        """How many of the entries here a frontier lacks."""
        held = {row.log: row.seq + 1 for row in rows}
        mine = self.store.rows(
            "SELECT logs.log, count(*) FROM entries JOIN logs ON number = entries.log GROUP BY number"
        )
        return sum(max(0, count - held.get(log, 0)) for log, count in mine)


def _floors_in(purges: list[Purge]) -> set[tuple[bytes, bytes]]:
    """(dot, vault) of what the floors of purges name: it counts whatever the cuts, or what was purged could be live
    again."""
    return {(dot, purge.vault) for purge in purges for floor in purge.items.values() for dot in floor}


def _stored_op(row: Any) -> StoredOp:
    op, target, replaces, sealed, live = row
    return StoredOp(op // MAX_COUNT, op % MAX_COUNT, target, _split(replaces, 18), sealed, bool(live))


def _statements(header: Header, bodies: list[list[Any]]) -> list[Statement]:
    hashes = statement_hashes(header, bodies)
    return [
        Statement(digest, header.author, header.log, header.seq, index, header.frontier, body)
        for index, (digest, body) in enumerate(zip(hashes, bodies, strict=True))
    ]

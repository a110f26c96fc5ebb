"""What a person reads and writes: every vault they were granted, opened. The only caller of seal and open.

A write seals, and appends one entry to the person's own log in one transaction; the screen on both sides
comes from the same merge. Reading one item opens that item's ops alone; lists and searches open each live
op once and are kept up to date from what arrived since.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any, Final

from node.errors import ExitCode, KinringError
from node.grants import epoch_keys, epoch_statement, grant_statement, missing_grants
from node.item import (
    BASE,
    FIELDS,
    FORM,
    KINDS,
    ROSTER,
    SECRET_FIELDS,
    STATE,
    TAGS,
    Candidate,
    Item,
    Opened,
    Through,
    Unread,
    Write,
    base_registers,
    base_without,
    clean_fields,
    fingerprint,
    matches,
    overrides,
    read_item,
    roster_members,
    writes_for_change,
    writes_for_new,
)
from node.keyholder import Unlocked
from node.purging import MAX_FLOOR, Items, replaced, wanted_in, without_purged
from node.purging import statements as purges
from node.sealing import Opener, Place, Sealer, Unopened, Value, VaultKeys, target
from replication.entry import MAX_COUNT, MAX_REPLACES, Op, make_dot
from replication.errors import Malformed
from replication.membership import ADMIN, READS, SHARED, SUITE, VAULT, WRITES, State
from replication.purge import WAITING_MS, lagging
from replication.replica import Draft, EntryInfo, Position, Replica, StoredOp

BATCH_ROWS: Final = 256
BATCH_BYTES: Final = 512 * 1024
"""An import writes entries of about this size: each is whole or not there at all."""
REBUILD_OVER: Final = 2000
"""More changed targets than this, and opening everything anew is quicker."""
VAULT_FIELDS: Final = ("title", "kind", "icon")
_NAMES: Final = (BASE, STATE, ROSTER, *FIELDS, "name", "title")
"""Every register of a record but its members."""
MAX_TITLE: Final = 256
EMPTY_AT_ONCE: Final = 64
"""Records that one transaction empties."""
EMPTY_DOTS: Final = 16_384
"""Dots that an entry names at most, so that it stays far under 1 MiB."""

Progress = Callable[[int, int], bool | None]
Ops = list[Op] | Callable[[VaultKeys, Sealer], list[Op]]
"""The ops of an entry, or how to seal them."""


@dataclass(frozen=True, slots=True)
class VaultView:
    vault_id: str
    title: str
    kind: str
    icon: str
    items: int
    created_at: int
    updated_at: int
    can_write: bool
    deleted: bool


@dataclass(frozen=True, slots=True)
class CandidateView:
    """One side of a conflict."""

    value: Any = attribute(repr=False)
    author: str
    device: str
    at: int
    dot: str


@dataclass(frozen=True, slots=True)
class ConflictView:
    item_id: str
    vault_id: str
    label: str
    field: str
    candidates: list[CandidateView]


@dataclass(frozen=True, slots=True)
class VersionView:
    """One value that a field has had. `at`: milliseconds since 1970, by the clock of who wrote it."""

    field: str
    value: Any = attribute(repr=False)
    author: str
    device: str
    at: int
    current: bool
    dot: str
    wanted: bool = False
    """Its value is not here, and asked of every peer."""
    purged_by: str = ""
    """Who destroyed it, where the value is gone for that; the field is `base` for what the item was made with."""


@dataclass(frozen=True, slots=True)
class ItemView:
    item_id: str
    vault_id: str
    version: int
    """How many writes this device knows of; the same on every device that holds the same entries."""
    deleted: bool
    revived: bool
    created_at: int
    updated_at: int
    fields: dict[str, Any] = attribute(repr=False)
    tags: list[str]
    form_fields: dict[str, str] = attribute(repr=False)
    conflicts: dict[str, list[CandidateView]] = attribute(repr=False)
    wanted: list[str]
    """Fields whose value is missing here and asked of every peer; `base`: what the item was made with."""
    stub: bool
    """It was emptied and came back by what someone else did apart; the rest is offered from its history."""

    @property
    def label(self) -> str:
        return str(self.fields.get("label") or self.fields.get("website_url") or self.item_id[:8])


@dataclass(frozen=True, slots=True)
class Page:
    total: int
    items: list[ItemView]


@dataclass(slots=True)
class ImportCount:
    """What became of the rows given: imported + duplicate + failed, and the rest if it was stopped."""

    imported: int = 0
    duplicate: int = 0
    failed: list[tuple[int, str]] = attribute(default_factory=list)
    """Index of the row, and why."""
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """The live ops of one record."""

    ops: list[Opened]
    unread: list[Unread]


@dataclass(slots=True)
class Destroyed:
    """What was given up for good. Until its purge has taken effect and `until` is past, it can be brought back."""

    accounts: list[str]
    vaults: list[str]
    values: int
    """Sealed values that the purge names."""
    left: list[str]
    """Vaults of which this person may destroy nothing (empty_bin); fields whose newer value is not everywhere yet,
    so that the older stays for now (purge_history)."""
    waiting: list[str]
    """Devices whose word is waited for, by name."""
    until: int
    """When the bytes go at the earliest, in milliseconds since 1970."""
    stopped: bool = False


class _Model:
    """The live ops of one vault, opened: by target, and by the record they belong to."""

    def __init__(self, target_key: bytes, through: Through) -> None:
        self._target_key = target_key
        self._through = through
        self.ops: dict[bytes, list[tuple[bytes, Opened]]] = {}
        self.unread: dict[bytes, list[tuple[bytes, bool]]] = {}
        """Target to the live dots there that cannot be read here, and whether each is wanted."""
        self.records: dict[bytes, set[bytes]] = {}
        self.items: dict[bytes, Item] = {}
        self.counts: dict[bytes, int] = {}
        """Target to how many ops were ever written there, where that is more than one."""

    def put(self, op_target: bytes, opened: list[tuple[bytes, Opened]], unread: list[tuple[bytes, bool]]) -> None:
        for record, _ in self.ops.pop(op_target, ()):
            self.records[record].discard(op_target)
            self.items.pop(record, None)
        if opened:
            self.ops[op_target] = opened
        for record, _ in opened:
            self.records.setdefault(record, set()).add(op_target)
            self.items.pop(record, None)
        if unread or op_target in self.unread:
            self.items.clear()  # whose it is can be said only by computing the targets of every record
            self.unread.pop(op_target, None)
            if unread:
                self.unread[op_target] = unread

    def item(self, record: bytes) -> Item:
        if record not in self.items:
            ops = [o for t in self.records.get(record, ()) for _, o in self.ops[t]]
            self.items[record] = read_item(record, ops, self._unread_of(record, ops), self._through)
        return self.items[record]

    def _unread_of(self, record: bytes, ops: list[Opened]) -> list[Unread]:
        if not self.unread:
            return []
        registers = {(name, "") for name in _NAMES} | _members(ops)
        return [
            Unread(dot, name, wanted)
            for name, member in sorted(registers)
            for dot, wanted in self.unread.get(target(self._target_key, record, name, member or None), ())
        ]


class Vaults:
    """Every vault that one signed-in person may read. Ids are hex strings; errors are KinringErrors."""

    def __init__(
        self,
        replica: Replica,
        unlocked: Unlocked,
        *,
        random_bytes: Callable[[int], bytes],
        clock: Callable[[], int],
    ) -> None:
        self._replica = replica
        self._unlocked = unlocked
        self._random = random_bytes
        self._clock = clock
        self._heads: tuple[bytes, ...] | None = None
        self._keys: dict[bytes, dict[bytes, VaultKeys]] = {}
        self._openers: dict[int, Opener | None] = {}
        self._models: dict[bytes, _Model] = {}
        self._seen: tuple[int, int] | None = None
        self.unopened: dict[str, str] = {}
        """Live ops that do not open: dot to the reason. Put aside, shown and counted."""

    @property
    def person_id(self) -> str:
        return self._unlocked.person.hex()

    @property
    def username(self) -> str:
        return self._unlocked.username

    # Keys

    def _state(self) -> State:
        """The family, and the vault keys it grants us, as they are now."""
        membership = self._replica.membership()
        state = membership.state()
        if (heads := membership.heads()) != self._heads:
            me, box = self._unlocked.keyholder, self._unlocked.box
            before = {vault: set(held) for vault, held in self._keys.items()}
            self._keys = {
                vault: epoch_keys(state, vault, me, box)
                for vault in state.vaults
                if state.right(vault, self._unlocked.person) >= READS
            }
            self._keys = {vault: held for vault, held in self._keys.items() if held}
            if self._heads is not None and {v: set(k) for v, k in self._keys.items()} != before:
                self._forget_models()
            self._heads = heads
        return state

    def _forget_models(self) -> None:
        self._models.clear()
        self._openers.clear()
        self._seen = None

    def epoch_keys(self, vault: bytes) -> dict[bytes, VaultKeys]:
        """The keys of a vault that were granted here, by epoch: to be sealed to a new keyholder of ours."""
        self._state()
        return dict(self._keys.get(vault, {}))

    def _opener(self, entry: int) -> Opener | None:
        if entry not in self._openers:
            info = self._replica.info(entry)
            keys = self._keys.get(info.vault, {}).get(info.epoch)
            place = Place(self._replica.family or b"", info.vault, info.epoch, info.suite, info.log, info.seq)
            try:
                found = Opener(keys, place, info.salt, info.commitment) if keys else None
            except Unopened as error:
                self.unopened[make_dot(info.hash, 0).hex()] = error.kind
                found = None
            if len(self._openers) > 4096:
                self._openers.clear()
            self._openers[entry] = found
        return self._openers[entry]

    def _open(self, op: StoredOp) -> tuple[bytes, Opened] | None:
        """(record, op), or None for what reads as nothing: no value, none that can be read here, or put aside."""
        if op.sealed is None:
            return None
        info = self._replica.info(op.entry)
        dot = make_dot(info.hash, op.index)
        opener = self._opener(op.entry)
        if op.missing or (opener is None and not self._has_key(op)):
            value = self._open_copy(dot)
        else:
            value = self._open_first(opener, op, dot)
        if value is None:
            return None
        return value.record, Opened(dot, info.author, info.wall_time, value.name, value.member, value.value)

    def _has_key(self, op: StoredOp) -> bool:
        info = self._replica.info(op.entry)
        return info.epoch in self._keys.get(info.vault, {})

    def _open_first(self, opener: Opener | None, op: StoredOp, name: bytes) -> Value | None:
        """A ciphertext itself. `name`: its dot, or what a copy is named by."""
        if opener is None or not op.sealed:
            return None
        try:
            return opener.open(op.index, op.target, op.sealed)
        except Unopened as error:
            self.unopened[name.hex()] = error.kind
            return None

    def _open_copy(self, dot: bytes) -> Value | None:
        """What a dot says by its copies: the fullest, of several the one with the greatest name."""
        best: tuple[int, bytes, Value] | None = None
        for name, value in self.copies_of(dot):
            size = len(base_registers(value.value)) if value.name == BASE else 0
            if best is None or (size, name) > best[:2]:
                best = (size, name, value)
        return best[2] if best else None

    def copies_of(self, dot: bytes) -> list[tuple[bytes, Value]]:
        """The copies of a dot that open here, each by its own name."""
        found = []
        for copy in self._replica.copies_of(dot):
            name = make_dot(self._replica.info(copy.entry).hash, copy.index)
            value = self._open_first(self._opener(copy.entry), copy, name)
            if value is not None:
                found.append((name, value))
        return found

    def first_of(self, op: StoredOp) -> Value | None:
        """What an op's own ciphertext says; None if it is not here or cannot be opened."""
        return self._open_first(self._opener(op.entry), op, make_dot(self._replica.info(op.entry).hash, op.index))

    def read_op(self, op: StoredOp) -> Value | None:
        """What an op says, by its own ciphertext or else its copies."""
        found = self._open(op)
        return Value(found[0], found[1].name, found[1].member, found[1].value) if found else None

    def _read_all(self, ops: Iterable[StoredOp]) -> tuple[list[tuple[bytes, Opened]], list[StoredOp]]:
        """What opens of some ops, and those that cannot be read here."""
        opened, unread = [], []
        for op in ops:
            if (found := self._open(op)) is not None:
                opened.append(found)
            elif self._is_unread(op):
                unread.append(op)
        return opened, unread

    def _hidden(self, op: StoredOp) -> tuple[bytes, bool]:
        """The dot of an op that cannot be read here, and whether it is wanted."""
        dot = make_dot(self._replica.info(op.entry).hash, op.index)
        return dot, op.missing and all(copy.missing for copy in self._replica.copies_of(dot))

    def _is_unread(self, op: StoredOp) -> bool:
        """Whether an op that did not open has a value that may be read one day."""
        return op.sealed is not None and (op.missing or not self._has_key(op))

    # Reading one record

    def _lookup(self, vault: bytes, record: bytes) -> _Found:
        """A record's live ops, found by their targets: nothing else of the vault is opened."""
        first = self._opened_at(vault, record, [(name, "") for name in (BASE, STATE, ROSTER)])
        names = VAULT_FIELDS if record == vault else (*FIELDS, "name")
        rest = self._opened_at(vault, record, [*((name, "") for name in names), *sorted(_members(first.ops))])
        return _Found(first.ops + rest.ops, first.unread + rest.unread)

    def _opened_at(self, vault: bytes, record: bytes, registers: Iterable[tuple[str, str]]) -> _Found:
        key = self._target_key(vault)
        names = {target(key, record, name, member or None): name for name, member in registers}
        opened, unread = self._read_all(self._replica.ops_at(vault, names))
        return _Found(
            [op for whose, op in opened if whose == record],
            [Unread(dot, names[op.target], wanted) for op in unread for dot, wanted in [self._hidden(op)]],
        )

    def _read(self, vault: bytes, record: bytes) -> Item:
        found = self._lookup(vault, record)
        return read_item(record, found.ops, found.unread, self._through(vault))

    def _through(self, vault: bytes) -> Through:
        return lambda dots: self._replica.replaced_through(vault, dots)

    def _target_key(self, vault: bytes) -> bytes:
        return next(iter(self._keys[vault].values())).target_key

    def _find(self, item_id: str) -> tuple[bytes, bytes, Item]:
        """(vault, record, item). Raises KinringError NOT_FOUND."""
        record = _id(item_id, "account")
        self._state()
        for vault in self._keys:
            if record == vault:
                continue
            if vault in self._models:
                self._refresh()
                if record in self._models[vault].records and self._models[vault].records[record]:
                    return vault, record, self._models[vault].item(record)
            elif (found := self._lookup(vault, record)).ops or found.unread:
                return vault, record, read_item(record, found.ops, found.unread, self._through(vault))
        raise KinringError("there is no such account", "list them with get-accounts", ExitCode.NOT_FOUND)

    # The read model

    def _model(self, vault: bytes) -> _Model:
        self._state()
        self._refresh()
        if vault not in self._models:
            if self._seen is None:
                self._seen = self._replica.change_mark()
            model = _Model(self._target_key(vault), self._through(vault))
            model.counts = self._replica.rewritten(vault)
            grouped: dict[bytes, list[tuple[bytes, Opened]]] = {}
            unread: dict[bytes, list[StoredOp]] = {}
            for op in self._replica.live_ops(vault):
                if (found := self._open(op)) is not None:
                    grouped.setdefault(op.target, []).append(found)
                elif self._is_unread(op):
                    unread.setdefault(op.target, []).append(op)
            for op_target in grouped.keys() | unread.keys():
                hidden = [self._hidden(op) for op in unread.get(op_target, ())]
                model.put(op_target, grouped.get(op_target, []), hidden)
            self._models[vault] = model
        return self._models[vault]

    def _refresh(self) -> bool:
        """Bring the read models up to what is stored now; whether anything was new."""
        newest = self._replica.change_mark()
        if self._seen is None or newest == self._seen:
            return False
        changed = self._replica.changed_targets(self._seen)
        self._seen = newest
        for vault, targets in changed.items():
            model = self._models.get(vault)
            if model is None:
                continue
            if len(targets) > REBUILD_OVER:
                del self._models[vault]
                continue
            for op_target in targets:
                opened, unread = self._read_all(self._replica.ops_at(vault, [op_target]))
                model.put(op_target, opened, [self._hidden(op) for op in unread])
                model.counts[op_target] = self._replica.count_at(vault, [op_target])
        return True

    def changed(self) -> bool:
        """Whether something was saved or arrived since this was last asked."""
        self._state()
        if self._seen is None:
            self._seen = self._replica.change_mark()
        return self._refresh()

    # Writing

    def _write(self, vault: bytes, writes: Sequence[tuple[bytes, Write]], *, fresh: bool = False) -> None:
        """Append one entry with `writes` (record, what). `fresh`: made just now, nothing to replace."""

        def make(keys: VaultKeys, sealer: Sealer) -> list[Op]:
            return [self._op(vault, keys, sealer, record, write, fresh=fresh) for record, write in writes]

        self._append(vault, make)

    def _op(self, vault: bytes, keys: VaultKeys, sealer: Sealer, record: bytes, write: Write, *, fresh: bool) -> Op:
        at = target(keys.target_key, record, write.name, write.member or None)
        replaces = () if fresh else self._replaceable(vault, at)
        return Op(at, replaces, sealer.seal(at, record, write.name, write.member, write.value))

    def write_copies(self, vault: bytes, copies: Sequence[tuple[bytes, Value]]) -> list[bytes]:
        """Append other ciphertexts of some dots (dot, what it says) in one entry; the copies' names, in order."""

        def make(keys: VaultKeys, sealer: Sealer) -> list[Op]:
            ops = []
            for dot, value in copies:
                at = target(keys.target_key, value.record, value.name, value.member or None)
                ops.append(Op(at, (), sealer.seal(at, value.record, value.name, value.member, value.value), dot))
            return ops

        with self._replica.transaction():
            info = self._append(vault, make)
        return [make_dot(info.hash, index) for index in range(len(copies))]

    def _append(self, vault: bytes, make: Ops) -> EntryInfo:
        state = self._state()
        if state.right(vault, self._unlocked.person) < WRITES:
            raise KinringError(
                "this vault may only be read", "ask its owner for the right to write", ExitCode.FORBIDDEN
            )
        self._ensure_epoch(state, vault)
        self._grant_missing(self._state(), vault)
        me = self._unlocked
        return self._replica.append(me.keyholder, me.sign, lambda p: self._draft(p, vault, make), self._clock())

    def _draft(self, position: Position, vault: bytes, make: Ops) -> Draft:
        held = position.state.vaults[vault]
        epoch = position.state.writable_epoch(vault)
        keys = self._keys.get(vault, {}).get(epoch or b"")
        if epoch is None or keys is None:
            raise _no_key()
        place = Place(position.family, vault, epoch, held.suite, position.log, position.seq)
        sealer = Sealer(keys, place, self._random)
        return Draft(
            ops=tuple(make(keys, sealer) if callable(make) else make),
            vault=vault,
            epoch=epoch,
            suite=held.suite,
            salt=sealer.salt,
            commitment=sealer.commitment,
        )

    def _replaceable(self, vault: bytes, op_target: bytes) -> tuple[bytes, ...]:
        """The live dots but for those that may be read one day: what nobody here has seen is not overwritten."""
        dots = (
            make_dot(self._replica.info(op.entry).hash, op.index)
            for op in self._replica.ops_at(vault, [op_target])
            if self._open(op) is not None or not self._is_unread(op)
        )
        return tuple(sorted(dots))

    def _ensure_epoch(self, state: State, vault: bytes) -> None:
        """Open an epoch where the newest one's key is known to someone who may read no more, or where two were
        opened apart: whoever writes next does so."""
        if state.writable_epoch(vault) is not None:
            return
        me = self._unlocked
        made = self.next_epoch(vault, state.recipients(vault))
        self._replica.append(me.keyholder, me.sign, lambda _: Draft(statements=(made,)), self._clock())
        self._state()

    def next_epoch(self, vault: bytes, recipients: Iterable[bytes]) -> list[Any]:
        """The statement of a new epoch for `recipients`, all who may read the vault when it is made."""
        state = self._state()
        held = self._keys.get(vault, {})
        if not held:
            raise _no_key()
        boxes = {key: box for key in recipients if (box := state.box_key(key)) is not None}
        keys = VaultKeys(self._random(32), self._target_key(vault))
        return epoch_statement(state.family, vault, keys, boxes, state.vaults[vault].heads(), held)

    def _grant_missing(self, state: State, vault: bytes) -> None:
        """Whoever writes next hands the key on to readers who lack it."""
        epoch = state.writable_epoch(vault)
        keys = self._keys.get(vault, {}).get(epoch or b"")
        if epoch is None or keys is None:
            return
        statements = []
        for person, recipients in missing_grants(state, vault, epoch).items():
            right = state.vaults[vault].rights.get(person, WRITES)
            statements.append(grant_statement(state.family, vault, epoch, keys, person, right, recipients))
        if statements:
            me = self._unlocked
            self._replica.append(
                me.keyholder, me.sign, lambda _: Draft(statements=tuple(statements)), self._clock()
            )

    def grant_missing(self) -> None:
        """Hand on every key that a reader lacks: called at unlock, so that nobody waits for a write."""
        with self._replica.transaction():
            state = self._state()
            for vault in list(self._keys):
                if state.right(vault, self._unlocked.person) >= READS:
                    self._grant_missing(state, vault)

    # Vaults

    def create_vault(self, title: str, kind: str = "Logins", icon: str = "") -> str:
        """A new vault of this person's own. Raises KinringError INVALID, CONFLICT for a title in use."""
        values = _vault_values(title, kind, icon)
        if any(view.title == title for view in self.vaults()):
            raise KinringError(
                f"there is a vault {title!r} already", "choose another title", ExitCode.CONFLICT
            )
        state = self._state()
        me = self._unlocked
        keys = VaultKeys(self._random(32), self._random(32))
        mine = {key: state.keyholders[key].box_key for key in state.keyholders_of(me.person)}
        if me.person in state.papers:
            mine[state.papers[me.person].sign_key] = state.papers[me.person].box_key
        made = [VAULT, SHARED, self._random(16)]
        vault = b""

        def make(position: Position) -> Draft:
            nonlocal vault
            vault = position.statement_hash([], made)[:16]
            first = epoch_statement(position.family, vault, keys, mine)
            return Draft(statements=(made, [SUITE, vault, 1, [1, 2], self._suite(state)], first))

        with self._replica.transaction():
            self._replica.append(me.keyholder, me.sign, make, self._clock())
            self._state()
            self._write(vault, [(vault, Write(BASE, "", values))], fresh=True)
        return vault.hex()

    def _suite(self, state: State) -> int:
        """A new vault writes as this person's others do."""
        own = [vault.suite for vault in state.vaults.values() if self._unlocked.person in vault.rights]
        return own[0] if own else 1

    def set_title(self, vault: bytes, title: str, kind: str) -> None:
        """The first writing of a vault that was made with its person."""
        self._write(vault, [(vault, Write(BASE, "", _vault_values(title, kind, "")))], fresh=True)

    def update_vault(
        self, vault_id: str, *, title: str | None = None, kind: str | None = None, icon: str | None = None
    ) -> None:
        view = self.vault(vault_id)
        values = _vault_values(title or view.title, kind or view.kind, view.icon if icon is None else icon)
        vault = _id(vault_id, "vault")
        old = {"title": view.title, "kind": view.kind, "icon": view.icon}
        writes = [(vault, Write(name, "", value)) for name, value in values.items() if value != old[name]]
        if writes:
            with self._replica.transaction():
                self._write(vault, writes)

    def delete_vault(self, vault_id: str) -> None:
        """Into the bin, with all that it holds; `restore_vault` brings it back."""
        vault = _id(self.vault(vault_id).vault_id, "vault")
        with self._replica.transaction():
            self._write_state(vault, vault)

    def restore_vault(self, vault_id: str) -> None:
        """Out of the bin. Of one that was emptied the title comes back, and each account by `restore_item`."""
        vault = _id(self.vault(vault_id).vault_id, "vault")
        with self._replica.transaction():
            self._bring_back(vault, vault, self._about(vault))

    def vaults(self, *, deleted: bool = False, count: bool = False) -> list[VaultView]:
        """The vaults that may be read, in the order they were made. `count`: also how many items each has."""
        state = self._state()
        found = ((vault, self._about(vault)) for vault in self._keys if vault != state.directory)
        return [
            self._vault_view(state, vault, about, count=count)
            for vault, about in found
            if about.deleted is deleted and not (about.deleted and about.emptied)
        ]

    def _about(self, vault: bytes) -> Item:
        """A vault's own record: its title, and whether it is in the bin."""
        return self._models[vault].item(vault) if vault in self._models else self._read(vault, vault)

    def vault(self, vault_id: str) -> VaultView:
        """Raises KinringError NOT_FOUND."""
        vault = _id(vault_id, "vault")
        state = self._state()
        if vault not in self._keys or vault == state.directory:
            raise KinringError("there is no such vault", "list them with get-vaults", ExitCode.NOT_FOUND)
        return self._vault_view(state, vault, self._about(vault), count=False)

    def _vault_view(self, state: State, vault: bytes, about: Item, *, count: bool) -> VaultView:
        items = 0
        if count:
            items = sum(not item.deleted for item in self._items_of(vault))
        return VaultView(
            vault.hex(),
            str(about.fields.get("title", vault.hex()[:8])),
            str(about.fields.get("kind", "Logins")),
            str(about.fields.get("icon") or ""),
            items,
            about.created_at,
            about.updated_at,
            state.right(vault, self._unlocked.person) >= WRITES,
            about.deleted,
        )

    # Items

    def create_item(self, vault_id: str, fields: dict[str, Any]) -> str:
        """A new item; its id. Raises KinringError INVALID naming the field, NOT_FOUND, FORBIDDEN."""
        view = self.vault(vault_id)
        vault, record = _id(vault_id, "vault"), self._random(16)
        with _Told():
            writes = writes_for_new(clean_fields({"kind": view.kind, **fields}))
        with self._replica.transaction():
            self._write(vault, [(record, write) for write in writes], fresh=True)
        return record.hex()

    def item(self, item_id: str) -> ItemView:
        vault, _, item = self._find(item_id)
        return self._view(vault, item)

    def items(
        self,
        vault_id: str | None = None,
        query: str = "",
        *,
        deleted: bool = False,
        offset: int = 0,
        limit: int | None = None,
    ) -> Page:
        """Items by label; of one vault or of all that are not in the bin. `deleted`: what is in the bin."""
        with _uncollected():
            wanted = [self.vault(vault_id)] if vault_id else self.vaults()
            found = [
                (vault, item)
                for view in wanted
                for vault in [_id(view.vault_id, "vault")]
                for item in self._items_of(vault)
                if item.deleted is deleted and (not query or matches(item, query))
            ]
            found.sort(key=lambda pair: (_label(pair[1]).casefold(), pair[1].record))
            end = None if limit is None else offset + limit
            return Page(len(found), [self._view(vault, item) for vault, item in found[offset:end]])

    def _items_of(self, vault: bytes) -> Iterable[Item]:
        model = self._model(vault)
        held = (model.item(record) for record, targets in model.records.items() if record != vault and targets)
        return [item for item in held if not item.emptied]

    def update_item(self, item_id: str, changes: dict[str, Any]) -> ItemView:
        """Change the fields named and no others; None or "" empties one. Writing a field that is in conflict
        settles it. Raises KinringError INVALID, NOT_FOUND, FORBIDDEN; CONFLICT where it is in the bin."""
        with _Told():
            cleaned = clean_fields(changes)
        with self._replica.transaction():
            vault, record, item = self._find(item_id)
            if item.deleted:
                # Else it would come back marked as if someone else had changed it apart.
                raise KinringError(
                    "this account is in the bin", "take it out first: restore-account", ExitCode.CONFLICT
                )
            writes = writes_for_change(item, cleaned)
            if writes:
                writes += self._roster(vault, record, writes)
                self._write(vault, [(record, write) for write in writes])
        return self.item(item_id)

    def _roster(self, vault: bytes, record: bytes, writes: list[Write]) -> list[Write]:
        """The roster's next value, where a member is new: it tells a reader of one record where to look."""
        ops = self._lookup(vault, record).ops
        held = roster_members(op.value for op in ops if op.name == ROSTER)
        base = {pair for op in ops if op.name == BASE for pair in base_registers(op.value)}
        new = {(w.name, w.member) for w in writes if w.member} - base - held
        return [Write(ROSTER, "", [list(pair) for pair in sorted(held | new)])] if new else []

    def delete_item(self, item_id: str) -> None:
        """Into the bin. What someone else changes apart meanwhile brings it back, marked."""
        with self._replica.transaction():
            vault, record, _ = self._find(item_id)
            self._write_state(vault, record)

    def _write_state(self, vault: bytes, record: bytes) -> None:
        seen = [op.dot for op in self._lookup(vault, record).ops if op.name not in (STATE, ROSTER)]
        self._write(vault, [(record, Write(STATE, "", ["deleted", sorted(seen)]))])

    def restore_item(self, item_id: str) -> None:
        """Out of the bin. What was emptied is written again from its history, until its purge has taken effect:
        after that, raises KinringError NOT_FOUND."""
        with self._replica.transaction():
            vault, record, item = self._find(item_id)
            self._bring_back(vault, record, item)

    def _bring_back(self, vault: bytes, record: bytes, item: Item) -> None:
        writes = [Write(STATE, "", ["alive"])]
        if item.stub:
            lost = self._emptied(vault, record)
            if item.emptied and lost.stub:
                raise KinringError(
                    "what it held is destroyed for good", "a backup may still have it", ExitCode.NOT_FOUND
                )
            values = {name: value for name, value in _values(lost).items() if name not in item.fields}
            if record == vault:
                writes.append(Write(BASE, "", values))
            else:
                with _Told():
                    writes += writes_for_new(clean_fields(values))
        self._write(vault, [(record, write) for write in writes])

    def _emptied(self, vault: bytes, record: bytes) -> Item:
        """A record as it was before it was emptied, as far as that is still here."""
        found = []
        for op_target in self._targets(vault, record):
            ops = self._replica.ops_at(vault, [op_target], live=False)
            named = {dot for op in ops if op.live and op.sealed is None for dot in op.replaces}
            found += [opened for _, opened in self._read_all(ops)[0] if opened.dot in named]
        return read_item(record, found)

    def _targets(self, vault: bytes, record: bytes) -> list[bytes]:
        """Every target of a record that there ever was."""
        key = self._target_key(vault)
        first = self._versions(vault, record, [target(key, record, name) for name in (BASE, ROSTER)])
        names = [(name, "") for name in (BASE, STATE, ROSTER, "name", *FIELDS)]
        names += [(name, "") for name in VAULT_FIELDS if record == vault and name not in FIELDS]
        registers = [*names, *sorted(_members(op for op, _ in first))]
        return [target(key, record, name, member or None) for name, member in registers]

    # Destroying

    def erase(self, item_id: str) -> Destroyed:
        """Destroy an item, in the bin or not, with its whole history. Raises KinringError NOT_FOUND, FORBIDDEN."""
        with self._replica.transaction():
            vault, record, _ = self._find(item_id)
            self._may_destroy(vault)
            done = self._nothing_yet()
            self._destroy(vault, [record], done)
            done.accounts.append(item_id)
        return done

    def empty_bin(
        self, vault_id: str | None = None, *, older_than: int | None = None, progress: Progress | None = None
    ) -> Destroyed:
        """Destroy what is in the bin: of one vault, or of all, and with the vaults that are in it all they hold.

        `older_than`: only what has been there so long, in milliseconds, by the clock of who put it there. `progress`
        (done, of) may return True to stop: what was counted by then is destroyed. Raises KinringError FORBIDDEN where
        one vault is named and this person may not.
        """
        before = None if older_than is None else self._clock() - older_than
        done = self._nothing_yet()
        views = [self.vault(vault_id)] if vault_id else [*self.vaults(), *self.vaults(deleted=True)]
        todo: list[tuple[bytes, list[bytes]]] = []
        for view in views:
            vault = _id(view.vault_id, "vault")
            records = self._in_bin(vault, view, before)
            if records and not vault_id and self._why_not_destroyed(vault):
                done.left.append(view.vault_id)
            elif records:
                self._may_destroy(vault)
                todo += [(vault, records[i : i + EMPTY_AT_ONCE]) for i in range(0, len(records), EMPTY_AT_ONCE)]
        of = sum(len(records) for _, records in todo)
        for vault, records in todo:
            with self._replica.transaction():
                self._destroy(vault, records, done)
            done.accounts += [record.hex() for record in records if record != vault]
            done.vaults += [record.hex() for record in records if record == vault]
            if progress and progress(len(done.accounts) + len(done.vaults), of):
                done.stopped = True
                break
        return done

    def _in_bin(self, vault: bytes, view: VaultView, before: int | None) -> list[bytes]:
        """The records of a vault that are in the bin, the vault's own the last."""
        if view.deleted and (before is None or view.updated_at <= before):
            return [*(item.record for item in self._items_of(vault)), vault]
        found = [item for item in self._items_of(vault) if item.deleted]
        return [item.record for item in found if before is None or item.updated_at <= before]

    def _why_not_destroyed(self, vault: bytes) -> str:
        state, me = self._state(), self._unlocked.person
        if state.right(vault, me) < WRITES:
            return "this vault may only be read"
        if not state.owns(vault, me) and state.people[me].role != ADMIN:
            return "only an owner of the vault, or an admin, destroys what it holds"
        return ""

    def _may_destroy(self, vault: bytes) -> None:
        if why := self._why_not_destroyed(vault):
            raise KinringError(why, "what is in the bin stays there; ask an owner of the vault", ExitCode.FORBIDDEN)

    def _nothing_yet(self) -> Destroyed:
        return Destroyed([], [], 0, [], [], self._clock() + WAITING_MS)

    def _destroy(self, vault: bytes, records: list[bytes], done: Destroyed) -> None:
        """Empty some records, and purge all that they ever held."""
        key = self._target_key(vault)
        targets = {record: self._targets(vault, record) for record in records}
        into_bin, ops = [], []
        for record, held in targets.items():
            state_at = target(key, record, STATE)
            emptied = [op for at in held if at != state_at and (op := self._emptying(vault, at))]
            if not self._read(vault, record).deleted:
                seen = sorted({dot for op in emptied for dot in op.replaces})
                into_bin.append((record, Write(STATE, "", ["deleted", seen])))
            ops += emptied
        if into_bin:
            self._write(vault, into_bin)
        for chunk in _chunks(ops):
            self._append(vault, chunk)
        items = replaced(self._replica, vault, [at for held in targets.values() for at in held])
        self._purge(vault, items, done)

    def _emptying(self, vault: bytes, op_target: bytes) -> Op | None:
        """An op without value for what is live at a target; None where nothing is. What is missing goes too: it
        is only what somebody may have written unseen that stays."""
        ops = self._replica.ops_at(vault, [op_target])
        known = [op for op in ops if op.missing or self._open(op) is not None or not self._is_unread(op)]
        if all(op.sealed is None for op in known):
            return None
        dots = sorted(make_dot(self._replica.info(op.entry).hash, op.index) for op in known)
        return Op(op_target, tuple(dots[:MAX_REPLACES]), None)

    def _purge(self, vault: bytes, items: Items, done: Destroyed) -> None:
        for statement in purges(vault, items):
            self._state_purge(statement)
        done.values += len(items)
        floors = {dot for floor in items.values() for dot in floor}
        done.waiting = sorted({*done.waiting, *self._lagging(floors)})

    def _state_purge(self, statement: list[Any]) -> None:
        me = self._unlocked
        info = self._replica.append(me.keyholder, me.sign, lambda _: Draft(statements=(statement,)), self._clock())
        (digest,) = self._replica.statements_of(info.id)
        if why := self._replica.membership().reasons.get(digest):
            raise KinringError(f"this may not be destroyed: {why}", "ask an admin", ExitCode.FORBIDDEN)

    def _lagging(self, dots: Iterable[bytes]) -> set[str]:
        """The devices, by name, of which it is not known that they have all of some writes."""
        ops = (self._replica.op_of(dot) for dot in dots)
        entries = {op // MAX_COUNT for op in ops if op is not None}
        names = self.names()
        late = {device for entry in entries for device in lagging(self._replica, entry)}
        return {names.get(device[:16], device.hex()[:8]) for device in late}

    def purge_history(self, item_id: str, *, older_than: int | None = None) -> Destroyed:
        """Destroy the earlier values of an item; what it shows now stays.

        `older_than`: only what was replaced so long ago, in milliseconds, by the clock of who replaced it. A value
        that the item was made with goes once the newer one is on every device. Raises KinringError NOT_FOUND,
        FORBIDDEN.
        """
        before = None if older_than is None else self._clock() - older_than
        done = self._nothing_yet()
        with self._replica.transaction():
            vault, record, _ = self._find(item_id)
            self._may_destroy(vault)
            items = self._take_away(vault, record, before, done)
            items |= replaced(self._replica, vault, self._targets(vault, record), before)
            self._purge(vault, items, done)
        done.accounts.append(item_id)
        return done

    def _take_away(self, vault: bytes, record: bytes, before: int | None, done: Destroyed) -> Items:
        """Copies of the bases without what stable writes override, and the older ciphertexts with their floors."""
        key = self._target_key(vault)
        items: Items = {}
        for op in self._replica.ops_at(vault, [target(key, record, BASE)]):
            found = self._open(op)
            if found is None or found[0] != record or type(found[1].value) is not dict:
                continue
            base = found[1]
            over = self._overridden(vault, record, base, before, done)
            if over:
                kept = base_without(base.value, over)
                items |= self._older(vault, record, base.dot, kept, over)
        return without_purged(self._replica, items)

    def _overridden(
        self, vault: bytes, record: bytes, base: Opened, before: int | None, done: Destroyed
    ) -> dict[tuple[str, str], bytes]:
        """(field, member) of a base to a stable write that overrides it; secrets first, as many as a floor names."""
        over: dict[tuple[str, str], bytes] = {}
        for name, member in sorted(base_registers(base.value), key=lambda pair: (pair[0] not in SECRET_FIELDS, pair)):
            own = [
                op
                for op in self._opened_at(vault, record, [(name, member)]).ops
                if overrides(op) and (before is None or op.wall_time <= before)
            ]
            stable = [op.dot for op in own if not self._lagging([op.dot])]
            if stable and len(over) < MAX_FLOOR - 1:
                over[(name, member)] = min(stable)
            elif own:
                done.left.append(f"{name}.{member}" if member else name)
                done.waiting = sorted({*done.waiting, *self._lagging(op.dot for op in own)})
        return over

    def _older(
        self, vault: bytes, record: bytes, dot: bytes, kept: dict[str, Any], over: dict[tuple[str, str], bytes]
    ) -> Items:
        """The ciphertexts of a base that say more than `kept`; a copy that says no more is made if there is none."""
        wanted = base_registers(kept).keys()
        held = {name: base_registers(value.value).keys() for name, value in self.copies_of(dot)}
        fitting = [name for name, registers in held.items() if registers == wanted]
        copy = max(fitting) if fitting else self.write_copies(vault, [(dot, Value(record, BASE, "", kept))])[0]
        floor = frozenset([copy, *over.values()])
        return dict.fromkeys([dot, *(name for name, registers in held.items() if not registers <= wanted)], floor)

    # History and conflicts

    def history(self, item_id: str, field_name: str | None = None) -> list[VersionView]:
        """Every value that a field (or each) has had, newest first. `form_fields.NAME` for a custom field."""
        vault, record, _ = self._find(item_id)
        if field_name is not None and not _is_field(field_name):
            raise KinringError(
                f"{field_name!r} is no field", f"one of {', '.join(FIELDS)}", ExitCode.NOT_FOUND
            )
        key = self._target_key(vault)
        base_at = target(key, record, BASE)
        bases = self._versions(vault, record, [base_at])
        names = [field_name] if field_name else [*FIELDS, *self._custom_fields(vault, record, bases)]
        state = self._state()
        names_of = self.names()
        versions = self._missing(vault, "base", base_at)
        for name in names:
            plain, _, member = name.partition(".")
            at = target(key, record, plain, member or None)
            own = self._versions(vault, record, [at])
            overridden = any(live for _, live in own)
            versions += self._missing(vault, name, at)
            for op, live in own:
                versions.append(_version(name, op.value, op, live, state, names_of))
            for op, live in bases:
                value = base_registers(op.value).get((plain, member))
                if value is not None:
                    versions.append(_version(name, value, op, live and not overridden, state, names_of))
        return sorted(versions, key=lambda version: (version.at, version.dot), reverse=True)

    def _missing(self, vault: bytes, name: str, at: bytes) -> list[VersionView]:
        """The values at a target that are not here and have no copy that opens."""
        found = []
        state, names = self._state(), self.names()
        purged = self._replica.membership().ever_purged()
        in_force = {dot for purge in state.purges for dot in purge.items}
        for op in self._replica.ops_at(vault, [at], live=False):
            if op.missing and self._open(op) is None:
                info = self._replica.info(op.entry)
                dot = make_dot(info.hash, op.index)
                by = self._replica.membership().statements[purged[dot]].author if dot in purged else b""
                author, device = _whose(info.author, state, names)
                found.append(
                    VersionView(
                        name, None, author, device, info.wall_time, op.live, dot.hex(),
                        wanted=dot not in in_force,
                        purged_by=_whose(by, state, names)[0] if by else "",
                    )
                )  # fmt: skip
        return found

    def _custom_fields(self, vault: bytes, record: bytes, bases: list[tuple[Opened, bool]]) -> list[str]:
        """All that the record ever had, those emptied since among them."""
        rosters = self._versions(vault, record, [target(self._target_key(vault), record, ROSTER)])
        members = roster_members(op.value for op, _ in rosters)
        members |= {register for op, _ in bases for register in base_registers(op.value)}
        return sorted(f"{FORM}.{member}" for name, member in members if name == FORM)

    def _versions(self, vault: bytes, record: bytes, targets: list[bytes]) -> list[tuple[Opened, bool]]:
        found = []
        for op in self._replica.ops_at(vault, targets, live=False):
            opened = self._open(op)
            if opened and opened[0] == record:
                found.append((opened[1], op.live))
        return found

    def restore_version(self, item_id: str, field_name: str, dot: str) -> ItemView:
        """Write an earlier value of a field again. Raises KinringError NOT_FOUND."""
        found = [v for v in self.history(item_id, field_name) if v.dot == dot]
        if not found:
            raise KinringError(
                "this field never had that value", "see the item's history", ExitCode.NOT_FOUND
            )
        if found[0].wanted or found[0].purged_by:
            raise KinringError("that value is not here", "choose another from the history", ExitCode.NOT_FOUND)
        plain, _, member = field_name.partition(".")
        change = {FORM: {member: found[0].value}} if member else {plain: found[0].value}
        return self.update_item(item_id, change)

    def conflicts(self) -> list[ConflictView]:
        """Fields that two people changed apart: both values are kept until the next write of the field."""
        found = []
        for view in self.vaults():
            vault = _id(view.vault_id, "vault")
            for item in self._items_of(vault):
                if item.conflicts and not item.deleted:
                    shown = self._view(vault, item)
                    found += [
                        ConflictView(shown.item_id, shown.vault_id, shown.label, name, candidates)
                        for name, candidates in shown.conflicts.items()
                    ]
        return sorted(found, key=lambda c: (c.label.casefold(), c.item_id, c.field))

    def written_under(
        self, vault_id: str, epochs: set[bytes], names: Iterable[str]
    ) -> list[tuple[str, str, str, int]]:
        """The filled fields, of those named, whose present value was sealed under one of `epochs`:
        (item id, label, field, wall time)."""
        vault = _id(vault_id, "vault")
        model, wanted, found = self._model(vault), set(names), []
        for item in self._items_of(vault):
            if item.deleted:
                continue
            shown: dict[str, Opened] = {}
            ops = [op for op_target in model.records[item.record] for _, op in model.ops[op_target]]
            for op in sorted(ops, key=lambda op: (op.name != BASE, op.order)):
                content = op.value if op.name == BASE and type(op.value) is dict else {op.name: op.value}
                shown |= {name: op for name in content if name in wanted}
            for name, op in sorted(shown.items()):
                filled = item.form_fields if name == FORM else item.fields.get(name)
                if filled and self._replica.epoch_of(op.dot) in epochs:
                    found.append((item.record.hex(), _label(item), name, op.wall_time))
        return found

    def wanted(self) -> dict[str, int]:
        """Vault to how many values of it are wanted. Vaults that may not be read are counted, too."""
        return {vault.hex(): count for vault, count in wanted_in(self._replica).items()}

    def categories(self) -> list[str]:
        found = {
            item.fields.get("category")
            for v in self.vaults()
            for item in self._items_of(_id(v.vault_id, "vault"))
        }
        return sorted(name for name in found if name)

    # Import

    def import_items(
        self, vault_id: str, rows: Sequence[dict[str, Any]], progress: Progress | None = None
    ) -> ImportCount:
        """Rows of fields as new items, some hundreds to an entry. A row that is there already, as it was
        imported or as it reads now, is a duplicate. `progress` (done, of) may return True to stop: what
        was counted by then is saved."""
        view = self.vault(vault_id)
        vault = _id(vault_id, "vault")
        known = self._fingerprints(vault)
        count = ImportCount()
        batch: list[tuple[bytes, Write]] = []
        size = pending = 0
        for index, row in enumerate(rows):
            try:
                cleaned = clean_fields({"kind": view.kind, **row})
                writes = writes_for_new(cleaned)
            except Malformed as error:
                count.failed.append((index, error.detail))
                continue
            mark = fingerprint(cleaned)
            if mark in known:
                count.duplicate += 1
                continue
            known.add(mark)
            record = self._random(16)
            batch += [(record, write) for write in writes]
            pending += 1
            size += len(mark)
            if pending >= BATCH_ROWS or size >= BATCH_BYTES or len(batch) > 3 * BATCH_ROWS:
                self._write_batch(vault, batch)
                count.imported += pending
                batch, size, pending = [], 0, 0
                if progress and progress(index + 1, len(rows)):
                    count.stopped = True
                    return count
        if batch:
            self._write_batch(vault, batch)
            count.imported += pending
        if progress:
            progress(len(rows), len(rows))
        return count

    def _write_batch(self, vault: bytes, batch: list[tuple[bytes, Write]]) -> None:
        with self._replica.transaction():
            self._write(vault, batch, fresh=True)

    def _fingerprints(self, vault: bytes) -> set[bytes]:
        marks = set()
        model = self._model(vault)
        for record, held in model.records.items():
            if record == vault or not held or model.item(record).deleted:
                continue
            marks.add(fingerprint(_values(model.item(record))))
            for op_target in held:
                for _, op in model.ops[op_target]:
                    if op.name == BASE and type(op.value) is dict:
                        marks.add(fingerprint(op.value))
        return marks

    # Names

    def names(self) -> dict[bytes, str]:
        """Names of people (by person id) and devices (by the first 16 bytes of their id)."""
        directory = self._state().directory
        if directory not in self._keys:
            return {self._unlocked.person: self._unlocked.username}
        model = self._model(directory)
        found = {
            record: model.item(record).fields.get("name") for record, held in model.records.items() if held
        }
        return {record: str(name) for record, name in found.items() if name}

    def name_of(self, key: bytes) -> str | None:
        """Of a device or keyholder (id of 32 bytes): the device's name, or the person's with it."""
        names = self.names()
        holder = self._state().keyholder(key)
        if holder is None:
            return names.get(key[:16])
        return " at ".join(one for one in _whose(key, self._state(), names) if one)

    def set_names(self, names: dict[bytes, str]) -> None:
        """Write names into the directory."""
        with self._replica.transaction():
            directory = self._state().directory
            self._write(directory, [(record, Write("name", "", name)) for record, name in names.items()])

    # Views

    def _view(self, vault: bytes, item: Item) -> ItemView:
        conflicts: dict[str, list[CandidateView]] = {}
        if item.conflicts:
            state = self._replica.state()
            names = self.names()
            conflicts = {
                name: [_candidate(found, state, names) for found in candidates]
                for name, candidates in item.conflicts.items()
            }
        return ItemView(
            item.record.hex(),
            vault.hex(),
            self._version(vault, item),
            item.deleted,
            item.revived,
            item.created_at,
            item.updated_at,
            item.fields,
            item.tags,
            item.form_fields,
            conflicts,
            item.wanted,
            item.stub and item.revived,
        )

    def _version(self, vault: bytes, item: Item) -> int:
        model = self._models.get(vault)
        if model is not None and item.record in model.records:
            return sum(model.counts.get(op_target, 1) for op_target in model.records[item.record])
        key = self._target_key(vault)
        targets = {
            target(key, item.record, op.name, op.member or None) for op in self._lookup(vault, item.record).ops
        }
        return self._replica.count_at(vault, targets)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Opening ten thousand records makes objects that all stay: looking through them for garbage, time and
    again as they grow, takes a tenth of the time and finds none."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _id(text: str, what: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except (ValueError, TypeError):
        value = b""
    if len(value) != 16:
        article = "an" if what[0] in "aeiou" else "a"
        raise KinringError(
            f"{article} {what} id is 32 hexadecimal digits", "copy it from the list", ExitCode.INVALID
        )
    return value


def _chunks(ops: list[Op]) -> Iterator[list[Op]]:
    """As many entries as they need."""
    chunk: list[Op] = []
    dots = 0
    for op in ops:
        if len(chunk) == MAX_COUNT or dots + len(op.replaces) > EMPTY_DOTS:
            yield chunk
            chunk, dots = [], 0
        chunk.append(op)
        dots += len(op.replaces)
    if chunk:
        yield chunk


def _members(ops: Iterable[Opened]) -> set[tuple[str, str]]:
    """The members that a record's rosters and bases name."""
    ops = list(ops)
    members = roster_members(op.value for op in ops if op.name == ROSTER)
    return members | {pair for op in ops if op.name == BASE for pair in base_registers(op.value) if pair[1]}


def _label(item: Item) -> str:
    return str(item.fields.get("label") or item.fields.get("website_url") or "")


def _is_field(name: str) -> bool:
    return name in FIELDS or (name.startswith(f"{FORM}.") and len(name) > len(FORM) + 1)


def _values(item: Item) -> dict[str, Any]:
    return {**item.fields, TAGS: item.tags, FORM: item.form_fields}


def _vault_values(title: str, kind: str, icon: str) -> dict[str, str]:
    if not 0 < len(title.strip().encode()) <= MAX_TITLE:
        raise KinringError("a vault's title has 1 to 256 bytes", "choose a shorter one", ExitCode.INVALID)
    if kind not in KINDS:
        raise KinringError(f"{kind!r} is no kind of vault", f"one of {', '.join(KINDS)}", ExitCode.INVALID)
    if len(icon.encode()) > MAX_TITLE:
        raise KinringError(
            "a vault's icon is a name of at most 256 bytes", "choose a shorter one", ExitCode.INVALID
        )
    return {"title": title, "kind": kind, "icon": icon}


def _no_key() -> KinringError:
    return KinringError(
        "this vault's newest key has not arrived here yet",
        "bring this device together with one that has it",
        ExitCode.LOCKED,
    )


def _whose(author: bytes, state: State, names: dict[bytes, str]) -> tuple[str, str]:
    holder = state.keyholder(author)
    if holder is None:
        return author.hex()[:8], ""
    person, device = holder.person, holder.device[:16]
    return names.get(person, person.hex()[:8]), names.get(device, device.hex()[:8])


def _candidate(found: Candidate, state: State, names: dict[bytes, str]) -> CandidateView:
    author, device = _whose(found.author, state, names)
    return CandidateView(found.value, author, device, found.wall_time, found.dot.hex())


def _version(
    name: str, value: Any, op: Opened, live: bool, state: State, names: dict[bytes, str]
) -> VersionView:
    author, device = _whose(op.author, state, names)
    return VersionView(name, value, author, device, op.wall_time, live, op.dot.hex())


class _Told:
    """A field that was refused, told to a person."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Malformed):
            raise KinringError(
                error.detail or error.kind, "correct it and try again", ExitCode.INVALID
            ) from None

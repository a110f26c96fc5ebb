"""A family's people and devices as the simulator has them: founding, admission, keys, reading and writing.

The statements are those that node/family.py makes; passwords and secret keys play no part, so unlock wraps
and paper codes are opaque bytes here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from nacl.public import Box, PrivateKey, PublicKey, SealedBox
from nacl.signing import SigningKey

from node import grants, sealing
from node.grants import epoch_keys, epoch_statement, grant_statement, missing_grants, seal_discovery_key
from node.item import (
    BASE,
    FORM,
    ROSTER,
    STATE,
    TAGS,
    Item,
    Opened,
    Write,
    clean_fields,
    read_item,
    roster_members,
    writes_for_change,
    writes_for_new,
)  # fmt: skip
from node.sealing import Opener, Place, Sealer, Unopened, Value, VaultKeys, target
from replication.encoding import encode
from replication.entry import OPS, Header, Op, body_root, make_dot, sign_entry, to_wire
from replication.membership import (
    A_PERSON,
    ADMIN,
    APPROVE,
    BLIND,
    DEVICE,
    DIRECTORY,
    DISCOVERY,
    FORGET,
    FOUND,
    FULL,
    GRANT,
    KEYHOLDER,
    PAPER,
    PERMIT,
    PERSON,
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
    WRITES,
    State,
    Vault,
    device_proof,
    family_id,
    keyholder_proof,
    self_admission,
)  # fmt: skip
from replication.replica import Draft, EntryInfo, Position, Replica, StoredOp

RandomBytes = Callable[[int], bytes]

CANARY: Final = "kanarienvogel"
"""Stands in every value that a person writes: it must be nowhere but inside seals."""
FIELDS: Final = ("label", "password", "notes", "website_url")
NEW_KIND: Final = 9
TAG_NAMES: Final = tuple(f"{CANARY} {name}" for name in ("home", "work", "school"))
FORM_NAMES: Final = tuple(f"{CANARY} {name}" for name in ("pin", "puk"))


_PLACES: Final = (
    (BASE, ""), (STATE, ""), (ROSTER, ""), *((name, "") for name in FIELDS),
    *((TAGS, tag) for tag in TAG_NAMES), *((FORM, name) for name in FORM_NAMES),
)  # fmt: skip
"""Every place in a record that anything is written at."""


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Another function in its place for as long as this lasts."""
    kept = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


@contextmanager
def seeded_boxes(random_bytes: RandomBytes) -> Iterator[None]:
    """libsodium draws a sealed box's one-time key by itself; a run that is to repeat draws it from the seed.

    The box is the same otherwise: one-time public key, then a box under the nonce BLAKE2b(both public keys).
    """

    class SeededBox(SealedBox[Any]):
        def encrypt(self, plaintext: bytes, encoder: Any = None) -> bytes:
            once = PrivateKey(random_bytes(32))
            sender, recipient = bytes(once.public_key), bytes(self._public_key)
            nonce = hashlib.blake2b(sender + recipient, digest_size=24).digest()
            return sender + Box(once, PublicKey(recipient)).encrypt(plaintext, nonce).ciphertext

    with replaced(grants, "SealedBox", SeededBox):
        yield


@dataclass(frozen=True, repr=False)
class Identity:
    """A device's own keys."""

    sign: SigningKey
    box: PrivateKey
    leaf: bytes

    @classmethod
    def make(cls, random_bytes: RandomBytes) -> Identity:
        return cls(SigningKey(random_bytes(32)), PrivateKey(random_bytes(32)), random_bytes(64))

    @property
    def id(self) -> bytes:
        return bytes(self.sign.verify_key)

    def signs(self, message: bytes) -> bytes:
        return self.sign.sign(message).signature


@dataclass(repr=False)
class Holder:
    """One person on one device, unlocked."""

    sign: SigningKey
    box: PrivateKey
    person: bytes = b""
    hostile: bool = False

    @classmethod
    def make(cls, random_bytes: RandomBytes) -> Holder:
        return cls(SigningKey(random_bytes(32)), PrivateKey(random_bytes(32)))

    @property
    def id(self) -> bytes:
        return bytes(self.sign.verify_key)

    @property
    def box_key(self) -> bytes:
        return bytes(self.box.public_key)

    def signs(self, message: bytes) -> bytes:
        return self.sign.sign(message).signature


@dataclass(repr=False)
class Safe:
    """What a family keeps on paper."""

    recovery: dict[bytes, SigningKey] = field(default_factory=dict)
    """Every family recovery key that ever was, by its id."""
    kits: dict[bytes, Holder] = field(default_factory=dict)
    """Every paper key that ever was."""


@dataclass(frozen=True, slots=True)
class Meant:
    """One op as its author meant it: the simulator's own record, which nothing of the product touches."""

    target: bytes
    replaces: tuple[bytes, ...]
    record: bytes
    name: str
    member: str
    value: Any
    copies: bytes = b""
    """The dot of which it is another ciphertext."""
    shown: bool = True
    """False: it lies about its place or key, and no reader may show it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An entry that was about to be appended. `counts`: its author had the right to write there."""

    vault: bytes
    ops: tuple[Meant, ...]
    counts: bool
    wall_time: int


Noted = Callable[[bytes, Attempt], None]


def _device_statement(
    family: bytes, device: Identity, role: int, owner: bytes, discovery: bytes
) -> list[Any]:
    box_key = bytes(device.box.public_key)
    proof = device.signs(device_proof(family, device.id, box_key, device.leaf, owner))
    sealed = seal_discovery_key(discovery, family=family, device=device.id, box_key=box_key)
    return [DEVICE, device.id, box_key, device.leaf, role, owner, sealed, proof]


def keyholder_statement(family: bytes, person: bytes, device: bytes, holder: Holder) -> list[Any]:
    proof = holder.signs(keyholder_proof(family, person, device, holder.id, holder.box_key))
    return [KEYHOLDER, person, device, holder.id, holder.box_key, proof]


def _paper(person: bytes, safe: Safe, random_bytes: RandomBytes) -> tuple[list[Any], dict[bytes, bytes]]:
    kit = Holder.make(random_bytes)
    kit.person = person
    safe.kits[kit.id] = kit
    return [PAPER, person, kit.id, kit.box_key, random_bytes(48)], {kit.id: kit.box_key}


def _vault_statements(
    position: Position, statements: list[list[Any]], kinds: Sequence[int], readers: dict[bytes, bytes],
    suite: int, random_bytes: RandomBytes,
) -> None:  # fmt: skip
    for kind in kinds:
        made = [VAULT, kind, random_bytes(16)]
        vault = position.statement_hash(statements, made)[:16]
        keys = VaultKeys(random_bytes(32), random_bytes(32))
        statements += [made, [SUITE, vault, 1, [1, 2], suite],
                       epoch_statement(position.family, vault, keys, readers)]  # fmt: skip


def found(
    replica: Replica, device: Identity, holder: Holder, discovery: bytes, safe: Safe, random_bytes: RandomBytes,
    now: int,
) -> None:  # fmt: skip
    """A family of one person and one device, with its directory and two vaults, in one entry."""
    recovery, nonce = _recovery_key(safe, random_bytes), random_bytes(32)
    family = family_id(holder.id, holder.box_key, recovery, nonce)

    def make(position: Position) -> Draft:
        admit = [PERSON, ADMIN, holder.id[:16]]
        start = [FOUND, holder.box_key, recovery, nonce]
        person = position.statement_hash([start], admit)[:16]
        paper, papers = _paper(person, safe, random_bytes)
        statements = [
            start,
            admit,
            _device_statement(family, device, FULL, person, discovery),
            keyholder_statement(family, person, device.id, holder),
            [PERMIT, device.id],
            paper,
            [UNLOCK, person, random_bytes(64), b""],
        ]
        readers = {holder.id: holder.box_key} | papers
        _vault_statements(position, statements, (DIRECTORY, SHARED, SHARED), readers, 1, random_bytes)
        return Draft(statements=tuple(statements))

    replica.found(holder.id, holder.signs, family, nonce, make, now)
    holder.person = replica.state().person_of(holder.id) or b""


def _recovery_key(safe: Safe, random_bytes: RandomBytes) -> bytes:
    key = SigningKey(random_bytes(32))
    safe.recovery[bytes(key.verify_key)] = key
    return bytes(key.verify_key)


def let_in(
    replica: Replica, device: Identity, holder: Holder, safe: Safe, random_bytes: RandomBytes, now: int
) -> None:
    """A newcomer admits themselves on the only device of the family, by the founder's permit."""

    def make(position: Position) -> Draft:
        signature = device.signs(self_admission(position.family, holder.id, holder.box_key))
        admit = [SELF, random_bytes(16), device.id, holder.box_key, signature]
        person = position.statement_hash([], admit)[:16]
        paper, papers = _paper(person, safe, random_bytes)
        statements = [admit, paper, [UNLOCK, person, random_bytes(64), b""]]
        readers = {holder.id: holder.box_key} | papers
        _vault_statements(position, statements, (SHARED,), readers, 2, random_bytes)
        return Draft(statements=tuple(statements))

    replica.append(holder.id, holder.signs, make, now)
    holder.person = replica.state().person_of(holder.id) or b""


def opened_by(holder: Holder, replica: Replica, statements: list[list[Any]]) -> set[bytes]:
    """The epochs that someone opens who has these statements, those without effect too, and their own key."""
    state, known = replica.state(), State(family=replica.family or b"")
    boxes: dict[bytes, dict[bytes, bytes]] = {}
    for body in statements:
        if body[0] == GRANT:
            boxes.setdefault(body[2], {}).update(map(tuple, body[5]))
    for vault, held in state.vaults.items():
        known.vaults[vault] = Vault(held.kind)
        for name, epoch in held.epochs.items():
            known.vaults[vault].epochs[name] = replace(epoch, sealed=boxes.get(name, {}) | epoch.sealed)
    return {name for vault in known.vaults for name in epoch_keys(known, vault, holder.id, holder.box)}


def keys_of(state: State, target: bytes) -> set[bytes]:
    """The keyholders, former ones too, of a person or a device."""
    devices = {target} | {d for d, device in state.devices.items() if device.owner == target}
    known = [*state.keyholders.items(), *state.former.items()]
    return {key for key, holder in known if holder.person == target or holder.device in devices}


def cuts_of(replica: Replica, keys: set[bytes]) -> list[Any]:
    """Up to what is here of some keyholders, as a removal says it."""
    heads: dict[bytes, list[bytes]] = {}
    for log, author, digest, _ in replica.tips():
        if author in keys:
            heads.setdefault(log, []).append(digest)
    return [[log, sorted(heads[log])] for log in sorted(heads)]


def comes_back(
    replica: Replica, kit: Holder, device: Identity, holder: Holder, discovery: bytes, now: int,
    more: Sequence[list[Any]] = (),
) -> list[EntryInfo]:  # fmt: skip
    """A person takes a new device in by their paper key, and hands it the keys that the paper key has."""
    family = replica.state().family
    holder.person = kit.person
    admits = [
        _device_statement(family, device, FULL, kit.person, discovery),
        keyholder_statement(family, kit.person, device.id, holder),
        *more,
    ]
    made = [replica.append(kit.id, kit.signs, lambda _: Draft(statements=tuple(admits)), now)]
    state = replica.state()
    grants = [
        grant_statement(family, vault, epoch, keys, kit.person, max(READS, held.rights.get(kit.person, WRITES)),
                        {holder.id: holder.box_key})
        for vault, held in state.vaults.items() if state.right(vault, kit.person) >= READS
        for epoch, keys in epoch_keys(state, vault, kit.id, kit.box).items()
    ]  # fmt: skip
    if grants:
        made.append(replica.append(holder.id, holder.signs, lambda _: Draft(statements=tuple(grants)), now))
    return made


def recover(
    replica: Replica, safe: Safe, device: Identity, holder: Holder, gone: Sequence[bytes], random_bytes: RandomBytes,
    now: int, sheet: bytes = b"",
) -> EntryInfo:  # fmt: skip
    """The family recovery key: some people go, a new admin comes with a device, another recovery key is in force.
    `sheet`: a recovery key that is not the one in force."""
    state = replica.state()
    family, author = state.family, sheet or state.recovery_key
    key, person = safe.recovery[author], holder.id[:16]
    named = [[A_PERSON, one, cuts_of(replica, keys_of(state, one))] for one in sorted(gone)]
    box_key = bytes(device.box.public_key)
    proof = device.signs(device_proof(family, device.id, box_key, device.leaf, person))
    proved = holder.signs(keyholder_proof(family, person, device.id, holder.id, holder.box_key))
    body = [RECOVER, named, device.id, box_key, device.leaf, random_bytes(48), proof, holder.id, holder.box_key, proved,
            _recovery_key(safe, random_bytes)]  # fmt: skip
    info = replica.append(
        author, lambda m: key.sign(m).signature, lambda _: Draft(statements=(body,)), now
    )
    holder.person = replica.state().person_of(holder.id) or b""
    return info


@dataclass(repr=False)
class Desk:
    """One unlocked person at one device: seals, opens, reads, writes. The simulator's own small Vaults."""

    replica: Replica
    holder: Holder
    random_bytes: RandomBytes
    clock: Callable[[], int]
    noted: Noted
    """Told, with the entry's salt and commitment, of what is about to be written."""
    _heads: tuple[bytes, ...] | None = None
    _keys: dict[bytes, dict[bytes, VaultKeys]] = field(default_factory=dict)
    _openers: dict[int, Opener | None] = field(default_factory=dict)
    _targets: dict[tuple[bytes, bytes, str, str], bytes] = field(default_factory=dict)

    def state(self) -> State:
        membership = self.replica.membership()
        state = membership.state()
        if membership.heads() != self._heads:
            self._heads = membership.heads()
            self._openers.clear()
            self._keys = {
                vault: found
                for vault in (state.vaults if self.holder.id in state.keyholders else ())
                if state.right(vault, self.holder.person) >= READS
                if (found := epoch_keys(state, vault, self.holder.id, self.holder.box))
            }
        return state

    def keys(self) -> dict[bytes, dict[bytes, VaultKeys]]:
        self.state()
        return self._keys

    def writable(self) -> list[bytes]:
        """Vaults where this person may write, under an epoch whose key they hold or one that they may open."""
        state = self.state()
        return [
            vault for vault, held in self._keys.items()
            if vault != state.directory and state.right(vault, self.holder.person) >= WRITES
            and state.writable_epoch(vault) in (None, *held)
        ]  # fmt: skip

    # Reading

    def _opener(self, entry: int) -> Opener | None:
        if entry not in self._openers:
            info = self.replica.info(entry)
            keys = self._keys.get(info.vault, {}).get(info.epoch)
            place = Place(self.replica.family or b"", info.vault, info.epoch, info.suite, info.log, info.seq)
            try:
                self._openers[entry] = Opener(keys, place, info.salt, info.commitment) if keys else None
            except Unopened:
                self._openers[entry] = None
        return self._openers[entry]

    def _open(self, op: StoredOp) -> tuple[bytes, Opened] | None:
        """What an op says: by its first ciphertext, or where that is not here by the fullest of its copies."""
        info = self.replica.info(op.entry)
        dot = make_dot(info.hash, op.index)
        value = self._open_copy(dot) if op.missing else self._open_first(op)
        if value is None:
            return None
        return value.record, Opened(dot, info.author, info.wall_time, value.name, value.member, value.value)

    def _open_first(self, op: StoredOp) -> Value | None:
        opener = self._opener(op.entry)
        if opener is None or not op.sealed:
            return None
        try:
            return opener.open(op.index, op.target, op.sealed)
        except Unopened:
            return None

    def _open_copy(self, dot: bytes) -> Value | None:
        opened = [
            (len(value.value) if value.name == BASE else 0, make_dot(self.replica.info(op.entry).hash, op.index), value)
            for op in self.replica.copies_of(dot) if (value := self._open_first(op))
        ]  # fmt: skip
        return max(opened, key=lambda one: one[:2])[2] if opened else None

    def opens(self, op: StoredOp, index: int | None = None, at: bytes = b"", further: int = 0) -> bool:
        """Whether a ciphertext is one of this index and target, in the entry so much further on in its log."""
        info = self.replica.info(op.entry)
        place = Place(self.replica.family or b"", info.vault, info.epoch, info.suite, info.log, info.seq + further)
        keys = self._keys[info.vault].get(info.epoch)
        nonce = (op.index if index is None else index).to_bytes(12, "big")
        try:
            # By the cipher alone: what the value says of itself would give it away, too.
            cipher = vars(sealing.Opener(keys, place, info.salt, info.commitment))["_cipher"] if keys else None
            return cipher is not None and bool(cipher.decrypt(nonce, op.sealed or b"", at or op.target))
        except (Unopened, InvalidTag):
            return False

    def opened(self, vault: bytes) -> list[tuple[bytes, Opened]]:
        """All that reads in a vault: (record, op)."""
        self.state()
        found = (self._open(op) for op in self.replica.live_ops(vault))
        return [one for one in found if one]

    def every_value(self, vault: bytes) -> dict[bytes, bytes]:
        """Dot to value, of all that was ever written with effect in a vault and opens."""
        self.state()
        targets = [at for (at,) in self.replica.store.rows("SELECT DISTINCT target FROM ops ORDER BY target")]
        opened = (self._open(op) for op in self.replica.ops_at(vault, targets, live=False))
        return {one[1].dot: encode(one[1].value) for one in opened if one}

    def target_of(self, vault: bytes, record: bytes, name: str, member: str = "") -> bytes:
        place = (next(iter(self._keys[vault].values())).target_key, record, name, member)
        if place not in self._targets:
            self._targets[place] = target(*place[:3], member or None)
        return self._targets[place]

    def lookup(self, vault: bytes, record: bytes) -> list[Opened]:
        """What reads in one record, found by its targets alone."""
        self.state()
        targets = [self.target_of(vault, record, *place) for place in _PLACES]
        found = (self._open(op) for op in self.replica.ops_at(vault, targets))
        return [one[1] for one in found if one and one[0] == record]

    def shows(self, vault: bytes, record: bytes) -> bool:
        """Whether anything of a record reads."""
        self.state()
        at = (self.target_of(vault, record, name) for name in (BASE, STATE, ROSTER, *FIELDS))
        opened = (self._open(op) for place in at for op in self.replica.ops_at(vault, [place]))
        return any(one and one[0] == record for one in opened)

    def item(self, vault: bytes, record: bytes) -> Item:
        return read_item(record, self.lookup(vault, record))

    # Writing

    def write(
        self, vault: bytes, writes: Sequence[tuple[bytes, Write]], *, fresh: bool = False, hostile: str = "",
        names: Sequence[bytes] = (), elsewhere: bytes = b"", stale: bytes | None = None, copies: Sequence[bytes] = (),
        empties: bool = False, newer: bool = False,
    ) -> EntryInfo:  # fmt: skip
        """Append one entry. `hostile`: `place` seals for the record `elsewhere`, `commitment` lies about the
        key, `right` does not ask for it, `stale` writes under the epoch `stale` though a removed one has its key.
        `names`: dots to name beside the live ones. `copies`: of each write the dot that it is another ciphertext of.
        `empties`: without values. `newer`: in the next version."""
        now = self.clock()

        def make(position: Position) -> Draft:
            held = position.state.vaults[vault]
            epoch = stale or position.state.writable_epoch(vault) or held.newest_epoch() or b""
            keys = self._keys[vault][epoch]
            place = Place(position.family, vault, epoch, held.suite, position.log, position.seq)
            sealer = Sealer(keys, place, self.random_bytes)
            ops, meant = [], []
            for number, (record, write) in enumerate(writes):
                copied = copies[number] if copies else b""
                said = elsewhere if hostile == "place" else record
                at = target(keys.target_key, record, write.name, write.member or None)
                replaces = tuple(sorted({*(() if fresh or copied else self._replaceable(vault, at)), *names}))
                sealed = None if empties else sealer.seal(at, said, write.name, write.member, write.value)
                ops.append(Op(at, replaces, sealed, copied))
                shown = hostile not in ("place", "commitment") and not empties
                meant.append(Meant(at, replaces, record, write.name, write.member, write.value, copied, shown))
            commitment = self.random_bytes(32) if hostile == "commitment" else sealer.commitment
            self.noted(
                sealer.salt + commitment, Attempt(vault, tuple(meant), hostile not in ("right", "stale"), max(0, now))
            )
            return Draft(ops=tuple(ops), vault=vault, epoch=epoch, suite=held.suite, salt=sealer.salt,
                         commitment=commitment)  # fmt: skip

        with self.replica.transaction():
            if hostile not in ("right", "stale") and self.state().writable_epoch(vault) is None:
                self.new_epoch(vault)
                self.state()
            if newer:
                return self._append_newer(make, now)
            return self.replica.append(self.holder.id, self.holder.signs, make, now)

    def _append_newer(self, make: Callable[[Position], Draft], now: int) -> EntryInfo:
        """What a newer program appends: the next version of an entry, with a part more in its header."""
        replica, me = self.replica, self.holder.id
        log, _, _, seq, previous, before = replica._own_log(me, b"")  # noqa: SLF001  as the newer program will
        membership = replica.membership()
        frontier = membership.frontier_for(me, before or ())
        state = membership.state_at(frontier)
        draft = make(Position(state.family, me, log, seq, frontier, state, replica.live_dots))
        header = Header(
            state.family, me, log, seq, previous, OPS if draft.ops else NEW_KIND, draft.vault, draft.epoch, draft.suite,
            frontier, max(0, now), draft.salt, draft.commitment, len(draft.ops or draft.statements),
            body_root(draft.ops, draft.statements), 2, ("something new",),
        )  # fmt: skip
        entry = sign_entry(header, draft.ops, draft.statements, self.holder.signs)
        refused = replica.ingest([to_wire(entry, before)]).refused
        if refused is not None:
            raise refused
        return replica.info(replica.last_id())

    def say_newer(self, statement: list[Any]) -> EntryInfo:
        """An entry of a kind that nobody understands yet."""
        with self.replica.transaction():
            return self._append_newer(lambda _: Draft(statements=(statement,)), self.clock())

    def _replaceable(self, vault: bytes, at: bytes) -> list[bytes]:
        return [
            make_dot(self.replica.info(op.entry).hash, op.index)
            for op in self.replica.ops_at(vault, [at])
            if op.sealed is None or self._opener(op.entry) is not None
        ]

    def create(self, vault: bytes, fields: Sequence[dict[str, Any]]) -> tuple[EntryInfo, list[bytes]]:
        """New items in one entry: one of them, or a batch of an import."""
        self.state()
        records = [self.random_bytes(16) for _ in fields]
        writes = [
            (record, write)
            for record, values in zip(records, fields, strict=True)
            for write in writes_for_new(clean_fields(values))
        ]
        return self.write(vault, writes, fresh=True), records

    def change(self, vault: bytes, record: bytes, changes: dict[str, Any]) -> EntryInfo | None:
        """Fields of one item; None if nothing differs from what shows."""
        ops = self.lookup(vault, record)
        writes = writes_for_change(read_item(record, ops), clean_fields(changes))
        if not writes:
            return None
        held = roster_members(op.value for op in ops if op.name == ROSTER)
        base = {m for op in ops if op.name == BASE for f in (TAGS, FORM) for m in op.value.get(f, ())}
        new = {(w.name, w.member) for w in writes if w.member and w.member not in base} - held
        if new:
            writes.append(Write(ROSTER, "", [list(pair) for pair in sorted(held | new)]))
        return self.write(vault, [(record, write) for write in writes])

    def delete(self, vault: bytes, record: bytes) -> EntryInfo:
        seen = sorted(op.dot for op in self.lookup(vault, record) if op.name not in (STATE, ROSTER))
        return self.write(vault, [(record, Write(STATE, "", ["deleted", seen]))])

    def empty(self, vault: bytes, record: bytes) -> EntryInfo | None:
        """Nothing is left of a record but that something was there."""
        ops = self.lookup(vault, record)
        places = sorted({(op.name, op.member) for op in ops})
        writes = [(record, Write(name, member, None)) for name, member in places]
        return self.write(vault, writes, empties=True) if writes else None

    def seal_again(self, vault: bytes, record: bytes) -> EntryInfo | None:
        """Copies of what shows in a record, under the key that is written under now."""
        ops = self.lookup(vault, record)
        writes = [(record, Write(op.name, op.member, op.value)) for op in ops]
        return self.write(vault, writes, copies=[op.dot for op in ops]) if ops else None

    def thin(self, vault: bytes, record: bytes) -> list[EntryInfo | None]:
        """Take away from a record's base what was written over since, and purge the whole base."""
        ops = self.lookup(vault, record)
        bases = [op for op in ops if op.name == BASE]
        over = {op.name: op.dot for op in ops if op.name in FIELDS}
        if len(bases) != 1 or not over.keys() & bases[0].value.keys():
            return []
        base = bases[0]
        over = {name: dot for name, dot in over.items() if name in base.value}
        kept = {name: value for name, value in base.value.items() if name not in over}
        copy = self.write(vault, [(record, Write(BASE, "", kept))], copies=[base.dot])
        floor = sorted([make_dot(copy.hash, 0), *over.values()])
        return [copy, self.say([[PURGE, vault, [[base.dot, floor]]]])]

    def purge(self, vault: bytes, record: bytes) -> EntryInfo | None:
        """Destroy for good what was replaced in a record."""
        self.state()
        targets = [self.target_of(vault, record, *place) for place in _PLACES]
        items: dict[bytes, bytes] = {}
        for op in self.replica.ops_at(vault, targets, live=False):
            for dot in op.replaces:
                if self.replica.op_of(dot) is not None:
                    items[dot] = make_dot(self.replica.info(op.entry).hash, op.index)
        pairs = [[dot, [items[dot]]] for dot in sorted(items)]
        return self.say([[PURGE, vault, pairs]] if pairs else [])

    def restore(self, vault: bytes, record: bytes) -> EntryInfo:
        self.state()
        return self.write(vault, [(record, Write(STATE, "", ["alive"]))])

    # Statements

    def say(self, statements: list[list[Any]]) -> EntryInfo | None:
        """Append statements, if there are any to make."""
        if not statements:
            return None
        draft = Draft(statements=tuple(statements))
        return self.replica.append(self.holder.id, self.holder.signs, lambda _: draft, self.clock())

    def admit(self, device: Identity, holder: Holder | None, discovery: bytes, role: int | None) -> EntryInfo:
        """A device of our own (`role` None), a new person's, or a blind one (`holder` None)."""
        self.state()

        def make(position: Position) -> Draft:
            family, statements = position.family, list[list[Any]]()
            person = self.holder.person
            if holder is not None and role is not None:
                statements.append([PERSON, role, holder.id[:16]])
                person = position.statement_hash([], statements[0])[:16]
            owner, kind = (person, FULL) if holder is not None else (b"", BLIND)
            statements.append(_device_statement(family, device, kind, owner, discovery))
            if holder is not None:
                holder.person = person
                statements.append(keyholder_statement(family, person, device.id, holder))
                vaults = [position.state.directory] if role is not None else list(self._keys)
                for vault in vaults:
                    right = position.state.vaults[vault].rights.get(person, WRITES)
                    statements += [
                        grant_statement(
                            family, vault, epoch, keys, person, right, {holder.id: holder.box_key}
                        )
                        for epoch, keys in self._keys.get(vault, {}).items()
                    ]
            return Draft(statements=tuple(statements))

        return self.replica.append(self.holder.id, self.holder.signs, make, self.clock())

    def give_right(self, vault: bytes, person: bytes, right: int) -> EntryInfo | None:
        """As the owner: let a person read or write a vault."""
        state = self.state()
        boxes = {key: state.keyholders[key].box_key for key in state.keyholders_of(person)}
        return self.say([grant_statement(state.family, vault, epoch, keys, person, right, boxes)
                         for epoch, keys in self._keys[vault].items()])  # fmt: skip

    def grant_missing(self) -> EntryInfo | None:
        """Hand on every epoch's key that a reader lacks and we hold."""
        state, statements = self.state(), list[list[Any]]()
        for vault, held in self._keys.items():
            for epoch, keys in held.items():
                for person, boxes in missing_grants(state, vault, epoch).items():
                    right = state.vaults[vault].rights.get(person, WRITES)
                    statements.append(grant_statement(state.family, vault, epoch, keys, person, right, boxes))
        return self.say(statements)

    def _epoch_for(self, vault: bytes, recipients: Iterable[bytes]) -> list[Any]:
        state, held = self.state(), self._keys[vault]
        keys = VaultKeys(self.random_bytes(32), next(iter(held.values())).target_key)
        readers = {key: state.box_key(key) or b"" for key in recipients}
        return epoch_statement(state.family, vault, keys, readers, state.vaults[vault].heads(), held)

    def new_epoch(self, vault: bytes) -> EntryInfo | None:
        """Another key for what is written from now on, to all who may read; it joins epochs opened apart."""
        return self.say([self._epoch_for(vault, self.state().recipients(vault))])

    def remove(self, what: int, target: bytes) -> EntryInfo | None:
        """A device or a person goes: up to what we have of theirs it counts, and there are new keys at once."""
        return self._take_out(what, target, lambda cuts: [REMOVE, what, target, cuts])

    def approve(self, proposal: bytes) -> EntryInfo | None:
        """As the second admin: who was proposed goes."""
        proposed = self.state().proposals[proposal]
        return self._take_out(proposed.what, proposed.target, lambda cuts: [APPROVE, proposal, cuts])

    def propose(self, what: int, target: bytes) -> EntryInfo | None:
        return self.say([[PROPOSE, self.random_bytes(16), what, target]])

    def _take_out(self, what: int, target: bytes, body: Callable[[list[Any]], list[Any]]) -> EntryInfo | None:
        with self.replica.transaction():
            state = self.state()
            gone = keys_of(state, target)
            statements = [body(cuts_of(self.replica, gone))]
            if what == A_PERSON and target in state.papers:
                gone.add(state.papers[target].sign_key)
            for vault in self._keys:
                statements += self._epoch_without(vault, gone)
            return self.say(statements)

    def _epoch_without(self, vault: bytes, gone: set[bytes]) -> list[list[Any]]:
        """A new key for those who stay, if we may make one and some could read."""
        state = self.state()
        readers = state.recipients(vault)
        may = vault in self._keys and state.right(vault, self.holder.person) >= WRITES and self.holder.id not in gone
        return [self._epoch_for(vault, readers - gone)] if may and readers & gone and readers - gone else []

    def set_role(self, person: bytes, role: int) -> EntryInfo | None:
        state = self.state()
        cuts = cuts_of(self.replica, keys_of(state, person)) if role == READER else []
        return self.say([[ROLE, person, role, cuts]])

    def revoke(self, vault: bytes, person: bytes, right: int) -> EntryInfo | None:
        """Leave somebody less than they had in a vault; without any right the key is a new one."""
        with self.replica.transaction():
            state = self.state()
            theirs = keys_of(state, person)
            statements = [[REVOKE, vault, person, right, cuts_of(self.replica, theirs) if right < WRITES else []]]
            if not right and person != self.holder.person:
                papers = {state.papers[person].sign_key} if person in state.papers else set()
                statements += self._epoch_without(vault, theirs | papers)
            return self.say(statements)

    def new_paper(self, safe: Safe) -> EntryInfo | None:
        """A new recovery kit: the one before it is good for nothing from then on."""
        return self.say([_paper(self.holder.person, safe, self.random_bytes)[0]])

    def new_discovery(self) -> EntryInfo | None:
        boxes = [[device, self.random_bytes(48)] for device in sorted(self.state().devices)]
        return self.say([[DISCOVERY, boxes]])

    def new_unlock(self) -> EntryInfo | None:
        """Another master password."""
        return self.say([[UNLOCK, self.holder.person, self.random_bytes(64), self.random_bytes(48)]])

    def forget_unlocks(self) -> EntryInfo | None:
        """The older passwords open nothing any more."""
        state, membership = self.state(), self.replica.membership()
        own = [wrap.hash for wrap in state.unlocks.get(self.holder.person, ())]
        for floor in own[::-1]:
            older = [w for w in own if w != floor and w not in state.forgotten and membership.includes([floor], [w])]
            if older:
                return self.say([[FORGET, sorted(older), floor]])
        return None

    def take_in(self, log: bytes, head: bytes) -> EntryInfo | None:
        """Let what lies beyond a cut count all the same, up to this entry."""
        return self.say([[TAKE_IN, log, head]])

    # What a hostile member states. None of it may have effect.

    def grab_right(self, vault: bytes) -> list[Any]:
        epoch = self.state().vaults[vault].newest_epoch() or b""
        box = [self.holder.id, self.random_bytes(80)]
        return [GRANT, vault, epoch, self.holder.person, WRITES + 1, [box]]

    def key_for_blind(self, device: bytes) -> list[Any]:
        return keyholder_statement(
            self.state().family, self.holder.person, device, Holder.make(self.random_bytes)
        )

    def unproved(self, device: bytes) -> list[Any]:
        """A keyholder of their own whose key nobody is shown to hold."""
        made = keyholder_statement(self.state().family, self.holder.person, device, Holder.make(self.random_bytes))
        return [*made[:-1], self.random_bytes(64)]

    def admit_again(self, device: Identity, discovery: bytes) -> list[Any]:
        """A device that was removed, under the same key."""
        return _device_statement(self.state().family, device, FULL, self.holder.person, discovery)

    def append_statement(self, statement: list[Any]) -> EntryInfo:
        return self.replica.append(
            self.holder.id, self.holder.signs, lambda _: Draft(statements=(statement,)), self.clock()
        )

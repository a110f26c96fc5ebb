"""A family's devices in virtual time: what people do, what goes wrong, and the calm afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final

from node.item import FORM, TAGS
from replication.entry import STATEMENTS, Header, body_root, make_dot, sign_entry, to_wire
from replication.purge import WAITING_MS, drop_purged
from replication.quota import Quota
from replication.replica import EntryInfo
from replication.store import StoreError
from simulations.disk import SectorDisk
from simulations.household import CANARY, FORM_NAMES, TAG_NAMES, Desk, Holder, Identity, Safe
from simulations.network import Connection, Timeline
from simulations.oracle import Oracle, check, check_durable, demand
from simulations.store import CountedReplica, Crash, Disk, NewerReplica, SimulatedStore, Violation

EPOCH_2026: Final = 1_767_225_600_000
YEAR: Final = 365 * 86_400_000
CALM_MS: Final = 60_000
"""Virtual time in which a family in calm must have become the same."""

MOST_EVENTS: Final = 100_000
MESHED: Final = 8
"""So many devices connect each with each."""


@dataclass(repr=False, eq=False)
class Device:
    """One machine: its disk outlives its processes. `node` syncs, `page` is another process on it."""

    name: str
    identity: Identity
    holders: list[Holder]
    disk: Disk
    mark: bytes
    clock_offset: int = 0
    up: bool = False
    drawer: bool = False
    """Not to be had before the calm."""
    updated: bool = False
    """Whether its program understands the next version."""
    admission: bytes = b""
    """The entry that admitted it."""
    promised: set[bytes] = field(default_factory=set)
    """Entries that this device acknowledged, to its people or to a peer."""
    returning: set[bytes] = field(default_factory=set)
    """Entries on its disk that were on none."""
    due: dict[bytes, int] = field(default_factory=dict)
    """Dot to the earliest time, by its clock, at which it was seen to hold the purge."""
    quota: Quota = field(default_factory=Quota)
    desks: list[Desk] = field(default_factory=list)
    node: CountedReplica = field(init=False)
    page: CountedReplica = field(init=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A backup, or a copied machine."""

    device: Device
    content: bytes

    def hashes(self) -> set[bytes]:
        disk = Disk(self.content)
        try:
            return disk.hashes()
        finally:
            disk.discard()


class World:
    """Everything of one run. All chance comes from the seed. Each deed has a stream of its own, and so has what happens
    between two: a deed that is left out (`without`) changes nothing in what chance has for the others."""

    def __init__(self, seed: int, *, verbose: bool = False, without: Collection[int] = ()) -> None:
        self.seed = seed
        self.random = Random(f"{seed}")
        self.deeds: dict[int, str] = {}
        """What was done, in words, by number."""
        self.most_devices = 6
        self.sectors = False
        """Whether disks lose, tear and fail: in a fifth of the storms."""
        self._without = without
        self._doing: list[str] | None = None
        self.time = Timeline()
        self.oracle = Oracle()
        self.devices: list[Device] = []
        self.connections: list[Connection] = []
        self.apart: set[frozenset[str]] = set()
        """Pairs that cannot reach each other while it storms."""
        self.split: frozenset[str] | None = None
        """While the network is in two parts: the names on one side."""
        self.clogged: set[tuple[str, str]] = set()
        """(from, to): what goes that way waits."""
        self.records: dict[bytes, list[bytes]] = {}
        self.snapshots: list[Snapshot] = []
        self.may_fork: set[bytes] = set()
        self.put_back: set[bytes] = set()
        """Who lost what they wrote last: if someone has it who was removed since, nobody gets it."""
        self.suspect: set[bytes] = set()
        """Devices that were put back, copied, or spoke through an attacker: an alarm about them is no mistake."""
        self.thieves: set[bytes] = set()
        """Authors who spoke on old copies of stores."""
        self.in_flight = 0
        self.leaked = False
        self.events = 0
        self.crashes = 0
        self.calm_ms = 0
        self.discovery = self.random.randbytes(32)
        self.safe = Safe()
        self._verbose = verbose
        self._trace = hashlib.sha256()
        self._written = 0

    # What is seen from outside

    def trace(self, kind: str, *parts: str | bytes) -> None:
        self.events += 1
        if self.events > MOST_EVENTS:
            raise Violation("alive", "the devices talk without end")
        said = (p.encode() if isinstance(p, str) else hashlib.sha256(p).digest() for p in parts)
        line = b"\0".join([str(self.time.now).encode(), kind.encode(), *said])
        self._trace.update(line + b"\n")
        shown = " ".join([kind, *(p if isinstance(p, str) else f"{len(p)} bytes" for p in parts)])
        if self._doing is not None:
            self._doing.append(shown)
        if self._verbose:
            print(f"  {self.time.now / 1000:9.3f} s  {shown}")

    def trace_hash(self) -> str:
        return self._trace.hexdigest()[:16]

    def randbytes(self, size: int) -> bytes:
        return self.random.randbytes(size)

    def do(self, number: int, choose: Callable[[], tuple[str, Callable[[], None]]]) -> None:
        """The deed with a number, after some time; unless it is left out."""
        self.random = Random(f"{self.seed} pause {number}")
        self.run_for(int(self.random.expovariate(1 / 2_000)))
        if number in self._without:
            return
        self.random = Random(f"{self.seed} deed {number}")
        name, deed = choose()
        self._doing = said = [name]
        try:
            deed()
        finally:
            self._doing = None
            self.deeds[number] = ": ".join([said[0], *([", ".join(said[1:])] if said[1:] else [])])

    def see(self, message: bytes) -> None:
        if CANARY.encode() in message:
            self.leaked = True

    # Devices

    def add(self, name: str, identity: Identity, holders: list[Holder], *, content: bytes | None = None,
            mark: bytes | None = None, family: bytes | None = None, updated: bool = False) -> Device:  # fmt: skip
        mark = self.random.randbytes(16) if mark is None else mark
        device = Device(name, identity, holders, self._disk(content), mark, self._offset())
        device.updated = updated
        self.devices.append(device)
        self._open(device)
        if family is not None:
            device.node.adopt(family)
        device.promised = device.disk.hashes()
        self._recover(device)
        return device

    def _disk(self, content: bytes | None) -> Disk:
        return SectorDisk(content) if self.sectors else Disk(content)

    def _offset(self) -> int:
        return self.random.choice(
            (0, 0, 0, 90_000, -7_200_000, YEAR, -3 * YEAR, -EPOCH_2026 - YEAR, 73 * YEAR)
        )

    def clock(self, device: Device) -> int:
        """What the device believes: milliseconds since 1970, far off or before it for some."""
        return EPOCH_2026 + self.time.now + device.clock_offset

    def _open(self, device: Device) -> None:
        program = NewerReplica if device.updated else CountedReplica
        device.node = device.disk.open(self.randbytes, device.mark, program)
        device.page = device.disk.open(self.randbytes, device.mark, program) if device.holders else device.node
        device.desks = [
            Desk(device.page, holder, self.randbytes, lambda: self.clock(device), self.oracle.note)
            for holder in device.holders
        ]
        device.up = True

    def _close(self, device: Device) -> None:
        device.disk.calm()
        for connection in list(self.connections):
            if device in connection.ends:
                connection.cut()
        device.node.close()
        if device.page is not device.node:
            device.page.close()
        device.desks = []
        device.up = False

    def reopen(self, device: Device) -> None:
        self._close(device)
        self._open(device)

    def shut(self, device: Device, *, drawer: bool = False) -> None:
        """Switch a device off; in a drawer it stays until the calm."""
        self.trace("shut", device.name)
        self._close(device)
        device.drawer = drawer

    def crash(self, device: Device) -> None:
        """Its processes end here; what was committed is there when they come back."""
        self.trace("crash", device.name)
        self.crashes += 1
        device.disk.die()
        device.disk.let_go()
        self._close(device)
        device.disk.revive(self.random, power_cut=self.random.random() < 0.7)
        self.time.at(self.time.now + self.random.randrange(500, 20_000), lambda: self.restart(device))

    def ended(self, device: Device, error: BaseException) -> None:
        """Its process died, or had to end because the disk failed. A full disk is no reason to end."""
        if isinstance(error, StoreError) and error.kind == "full":
            self.trace("full", device.name)
        elif isinstance(error, Crash) or (isinstance(error, StoreError) and error.kind == "io"):
            self.crash(device)
        else:
            raise error

    def restart(self, device: Device) -> None:
        if device.up or device.drawer:
            return
        self.trace("restart", device.name)
        self._open(device)
        self._recover(device)

    def _recover(self, device: Device) -> None:
        """Saved, and killed before anyone was told: it is durable all the same."""
        own = {*(holder.id for holder in device.holders), *self.safe.kits, *self.safe.recovery, *self.thieves}
        for entry, digest in device.node.store.rows("SELECT id, hash FROM entries ORDER BY id"):
            if digest not in self.oracle.entries:
                info = device.node.info(entry)
                if (info.author in own or digest in device.returning) and self.oracle.attempted(info):
                    reasons = device.node.store.row(
                        "SELECT count(*) FROM statements WHERE entry = ? AND reason != ''", (entry,)
                    )[0]
                    self.oracle.wrote(info, device.node, powerless=bool(reasons))
        check_durable(device)

    def held(self) -> set[bytes]:
        """What the founder's device holds, which nobody removes."""
        return self.devices[0].disk.hashes()

    def remaining(self) -> list[Device]:
        """The devices of the family as the founder's knows it; and what began empty at the end."""
        here = self.oracle.family(self.held()).devices
        return [device for device in self.devices if device.identity.id in here or device.name == "late"]

    def desks(self) -> Iterator[tuple[Device, Desk]]:
        for device in self.devices:
            for desk in device.desks:
                yield device, desk

    # Copies of a store

    def restore(self, snapshot: Snapshot, *, known: bool) -> None:
        """Put a backup in the place of a store. `known`: the store notices that it is another file."""
        device = snapshot.device
        if device.up:
            self._close(device)
        self.trace("restore", device.name, str(known))
        self.put_back |= {holder.id for holder in device.holders}
        self.suspect.add(device.identity.id)
        old = device.disk
        device.disk = self._disk(snapshot.content)
        device.promised = device.disk.hashes()
        # What had been lost everywhere else, and is on the disk that is put back.
        device.returning = device.promised - set(self.oracle.entries)
        self._lose(old.hashes())
        old.discard()
        if known:
            device.mark = self.random.randbytes(16)
        else:
            self.may_fork |= {*(holder.id for holder in device.holders), *self.safe.kits, *self.safe.recovery}
        self.restart(device)

    def _lose(self, gone: set[bytes]) -> None:
        """What stood on a disk that is gone and nowhere else is lost. A device whose admission was is
        nobody's: no other device would let it connect, so it leaves with what it alone holds."""
        elsewhere = set[bytes]().union(*(other.disk.hashes() for other in self.devices))
        lost = set(self.oracle.entries) & gone - elsewhere
        self.oracle.forget(sorted(lost))
        for orphan in [device for device in self.devices if device.admission in lost]:
            if orphan not in self.devices:
                continue
            self.trace("orphan", orphan.name)
            if orphan.up:
                self._close(orphan)
            orphan.drawer = True
            self.devices.remove(orphan)
            self.snapshots = [snapshot for snapshot in self.snapshots if snapshot.device is not orphan]
            self._lose(orphan.disk.hashes())
            orphan.disk.discard()

    def clone(self, snapshot: Snapshot, *, known: bool) -> Device:
        """A second machine with the same store, keys and people, both of them going on."""
        source = snapshot.device
        self.trace("clone", source.name, str(known))
        if not known:
            self.may_fork |= {*(holder.id for holder in source.holders), *self.safe.kits, *self.safe.recovery}
        mark = None if known else source.mark
        self.suspect.add(source.identity.id)
        twin = self.add(source.name + "'", source.identity, source.holders, content=snapshot.content, mark=mark,
                        updated=source.updated)  # fmt: skip
        twin.due = dict(source.due)
        twin.admission = source.admission
        return twin

    # The network

    def connect(self, a: Device, b: Device, *, slow: bool = False) -> Connection | None:
        """`slow`: as over a poor radio link, 2 to 50 KB/s and up to two seconds late."""
        if not (a.up and b.up) or self.refuses(a, b) or self.refuses(b, a):
            return None
        self.trace("connect", a.name, b.name)
        delay = self.random.randrange(1, 2_000 if slow else 50)
        speed = self.random.choice((2, 50)) if slow else 5_000
        try:
            connection = Connection(self, a, b, delay=delay, bytes_per_ms=speed)
        except Crash:
            for end in (a, b):
                if _is_dead(end):
                    self.crash(end)
            return None
        self.connections.append(connection)
        return connection

    def reach(self, a: Device, b: Device) -> bool:
        """Whether the network joins them."""
        parted = self.split is not None and (a.name in self.split) != (b.name in self.split)
        return not parted and frozenset((a.name, b.name)) not in self.apart

    def part(self, names: frozenset[str], ms: int) -> None:
        """For so long nothing goes between these and the others."""
        self.split = names
        for connection in list(self.connections):
            if not self.reach(*connection.ends):
                connection.cut()
        self.time.at(self.time.now + ms, partial(self._join, names))

    def _join(self, names: frozenset[str]) -> None:
        if self.split == names:
            self.split = None

    def clog(self, way: tuple[str, str]) -> None:
        self.clogged.add(way)

    def unclog(self, way: tuple[str, str]) -> None:
        """What had to wait arrives now, in its order."""
        self.clogged.discard(way)
        for connection in list(self.connections):
            connection.flow()

    def refuses(self, device: Device, other: Device) -> bool:
        """Whether a device knows that the other was let in and is here no more. The removed are told nothing."""
        known = device.node.store.row("SELECT 1 FROM entries WHERE hash = ?", (other.admission,))
        return bool(known) and other.identity.id not in device.node.state().devices

    def shun(self, device: Device) -> None:
        """End the connections with those of whose removal a device has heard."""
        for connection in list(self.connections):
            a, b = connection.ends
            if device in (a, b) and (self.refuses(a, b) or self.refuses(b, a)):
                connection.cut()

    def push(self, device: Device, *, beside: Connection | None = None) -> None:
        """Something was saved: every connection has it to send."""
        self.shun(device)
        for connection in list(self.connections):
            if device in connection.ends and connection is not beside and connection.open:
                connection.pump(connection.side_of(device))

    def cut_all(self) -> None:
        for connection in list(self.connections):
            connection.cut()

    # People

    def act(self, device: Device, kind: str, action: Callable[[], Sequence[EntryInfo | None]], *,
            powerless: bool = False) -> bool:  # fmt: skip
        """Let a person do something. What it returns was acknowledged. False: the machine died of it."""
        self.trace(kind, device.name)
        try:
            before = device.page.last_id()
            if any(info is not None for info in action()):
                # All of it: a write may have opened an epoch first.
                for (entry,) in device.page.store.rows("SELECT id FROM entries WHERE id > ? ORDER BY id", (before,)):
                    info = device.page.info(entry)
                    self.oracle.wrote(info, device.page, powerless=powerless)
                    device.promised.add(info.hash)
            self.push(device)
        except (Crash, StoreError) as error:
            self.ended(device, error)
            return False
        return True

    def backdated(self, snapshot: Snapshot, to: Device, say: Callable[[CountedReplica], Sequence[EntryInfo]], *,
                  powerless: bool = False) -> None:  # fmt: skip
        """Somebody says something on an old copy of a store, as if nothing had happened since, and a device is given
        it. Nothing is heard of it if that device lacks what the copy had."""
        if not (to.up and snapshot.hashes() <= to.disk.hashes()):
            return
        old = Disk(snapshot.content)
        replica = old.open(self.randbytes, self.randbytes(16))
        try:
            made = list(say(replica))
            wires = [replica.wire(info.id) for info in made]
            self.thieves |= {info.author for info in made}
            self.trace("backdated", to.name, str(len(made)))
            try:
                refused = to.node.ingest(wires).refused
            except (Crash, StoreError) as error:
                self.ended(to, error)
            else:
                demand("alive", refused is None, "an old copy's words are refused")
                self.push(to)
            here = to.disk.hashes()
            for info in made:
                if info.hash in here:
                    self.oracle.wrote(info, replica, powerless=powerless)
        finally:
            replica.close()
            old.discard()

    def text(self) -> str:
        """A new secret; now and then one that two people may both choose."""
        self._written += 1
        if self.random.random() < 0.1:
            return f"{CANARY} the same"
        return f"{CANARY} {self._written} " + "x" * self.random.choice((0, 0, 8, 40, 150))

    def fields(self) -> dict[str, Any]:
        tags = [tag for tag in TAG_NAMES if self.random.random() < 0.4]
        return {"label": self.text(), "password": self.text(), TAGS: tags, FORM: {FORM_NAMES[0]: self.text()}}

    def create(self, device: Device, desk: Desk, vault: bytes, count: int = 1) -> list[bytes]:
        made: list[bytes] = []

        def action() -> list[EntryInfo]:
            # An import of several entries is one transaction: all of it or nothing.
            with desk.replica.transaction():
                infos = []
                for _ in range(1 if count < 4 else 2):
                    info, records = desk.create(vault, [self.fields() for _ in range(count)])
                    infos.append(info)
                    made.extend(records)
            return infos

        self.act(device, "create", action)
        # Known even if the machine died: the entry may be there, and may not.
        self.records.setdefault(vault, []).extend(made)
        return made

    def change(
        self, device: Device, desk: Desk, vault: bytes, record: bytes, changes: dict[str, Any]
    ) -> bool:
        def action() -> list[EntryInfo | None]:
            info = desk.change(vault, record, changes)
            item = desk.item(vault, record)
            for name, value in changes.items():
                if name not in (TAGS, FORM):
                    demand("views", item.fields.get(name) == value, "a write does not read back")
            return [info]

        return self.act(device, "change", action)

    def sign(self, device: Device) -> None:
        if device.identity.id not in device.node.state().devices:
            return  # it has not heard of its own admission yet, or it has heard that it is gone

        def action() -> list[EntryInfo | None]:
            device.node.sign_frontier(device.identity.id, device.identity.signs, self.clock(device))
            return []

        self.act(device, "sign", action)

    def update(self, device: Device) -> None:
        """It gets a newer program."""
        if not device.updated:
            self.trace("update", device.name)
            device.updated = True
            if device.up:
                self.reopen(device)

    def housekeep(self, device: Device) -> None:
        """Drop what was purged and is due. Nothing goes that is live, that a device may still show, or too early."""
        now, held = self.clock(device), device.disk.hashes()
        family = self.oracle.family(held)
        for _, dot in family.purged:
            device.due[dot] = min(device.due.get(dot, now), now)
        before = _values(device.node)

        def action() -> list[EntryInfo | None]:
            drop_purged(device.node, now)
            return []

        self.act(device, "housekeep", action)
        gone = before - _values(device.node) if device.up else set()
        if not gone:
            return
        self.trace("dropped", device.name, str(len(gone)))
        live = self.oracle.live(held)
        for vault, dot in sorted(gone):
            demand("kept", (vault, dot) in family.purged, "a value was dropped that nobody purged")
            demand("kept", now - device.due[dot] >= WAITING_MS, "a value was dropped before its time")
            copied = any(not copy.missing for copy in device.node.copies_of(dot))
            demand("kept", dot not in live or copied, "a value was dropped that is live")
            floors = family.purged[vault, dot]
            stable = any(self._stable(device, floor) for floor in floors)
            demand("kept", stable, "a value was dropped that some may show")

    def _stable(self, device: Device, floor: list[bytes]) -> bool:
        """Whether everyone has what came in its place; of who was put back nobody can tell."""
        here = self.oracle.family(device.disk.hashes()).devices
        others = [other for other in self.devices if other.identity.id in here.keys() - self.suspect]
        return all({dot[:16] for dot in floor} <= {digest[:16] for digest in other.disk.hashes()} for other in others)

    # The calm

    def quiet(self) -> bool:
        return not self.in_flight and all(connection.level() for connection in self.connections)

    def run_until_quiet(self, mesh: Callable[[], None]) -> None:
        """All faults are over: the copies must become the same within a bounded time."""
        deadline = self.time.now + CALM_MS
        start = again = self.time.now
        wanted = 0
        while self.time.now < deadline:
            if self.time.now >= again:
                mesh()
                wanted = len(self.connections)
                again = self.time.now + 1_000
            if len(self.connections) >= wanted and self.quiet():
                self.calm_ms = max(self.calm_ms, self.time.now - start)
                return
            while self.time.step(again) and self.in_flight:
                pass
        raise Violation("alive", f"not quiet after {CALM_MS // 1000} s of calm")

    def run_for(self, ms: int) -> None:
        until = self.time.now + ms
        while self.time.step(until):
            pass

    def mesh(self) -> None:
        """Everyone with everyone; in a large family each with the founder's and with the next, which joins them too."""
        joined = {frozenset(connection.ends) for connection in self.connections}
        for at, a in enumerate(self.devices):
            others = self.devices[at + 1 :]
            for b in others if len(self.devices) <= MESHED or at == 0 else others[:1]:
                if frozenset((a, b)) not in joined:
                    self.connect(a, b)

    def calm(self, mesh: Callable[[], None] | None = None) -> None:
        """End every fault, let the copies meet, hand on keys that are lacking, then check everything."""
        mesh = mesh or self.mesh
        self.random = Random(f"{self.seed} calm")
        self.split = None
        self.clogged.clear()
        self.cut_all()
        for device in self.devices:
            device.drawer = False
            for store in (device.node.store, device.page.store) if device.up else ():
                assert isinstance(store, SimulatedStore)
                store.fuse = None
            device.disk.calm()
            self.restart(device)
        updated = any(device.updated for device in self.devices)
        for device in self.devices if updated else ():
            self.update(device)
        self.run_until_quiet(mesh)
        for device, desk in [*self.desks(), *self.desks()]:  # twice: who was handed a key may hand it on
            if desk.holder.id in desk.state().keyholders:
                self.act(device, "hand on", lambda desk=desk: [desk.grant_missing()])  # type: ignore[misc]
                self.run_until_quiet(mesh)
        self._values_come(mesh)
        self._month_passes(mesh)
        # A device that has nothing yet, from one peer alone: built anew, the same state.
        late = self.add("late", Identity.make(self.randbytes), [], family=self.devices[0].node.family,
                        updated=updated)  # fmt: skip
        self.connect(self.random.choice(self.remaining()[:-1]), late)
        self.run_until_quiet(lambda: None)
        check(self)

    def _values_come(self, mesh: Callable[[], None]) -> None:
        """Each peer is asked once in a connection: what it got later the next connection brings."""
        for _ in self.devices:
            purged = {dot[:16] for dot in self.oracle.purges()}
            rows = "SELECT hash FROM missing JOIN entries ON entries.id = op / 1024"
            lacking = {digest[:16] for device in self.devices for (digest,) in device.node.store.rows(rows)}
            if not lacking - purged:
                return
            self.cut_all()
            self.run_until_quiet(mesh)

    def _month_passes(self, mesh: Callable[[], None]) -> None:
        """All say what they hold, and what is due by then goes."""
        if not self.oracle.purges():
            return
        for device in self.devices:
            self.sign(device)
        self.run_until_quiet(mesh)
        for _ in range(2):
            for device in self.devices:
                self.housekeep(device)
                device.clock_offset += WAITING_MS + 1

    def close(self) -> None:
        for device in self.devices:
            if device.up:
                self._close(device)
            device.disk.discard()


def _values(replica: CountedReplica) -> set[tuple[bytes, bytes]]:
    """(Vault, dot) of the values that are here."""
    rows = replica.store.rows(
        "SELECT vault, hash, ops.id % 1024 FROM ops JOIN entries ON entries.id = ops.id / 1024 WHERE length(sealed) > 0"
    )
    return {(vault, make_dot(digest, index)) for vault, digest, index in rows}


def _is_dead(device: Device) -> bool:
    return any(isinstance(r.store, SimulatedStore) and r.store.dead for r in (device.node, device.page))


def unheard(world: World, device: Device, desk: Desk) -> tuple[bytes, bytes] | None:
    """(hash, wire) of an entry that follows the log's newest and claims to know less than that did."""
    replica = device.page
    own = replica.store.row(
        "SELECT entries.seq, entries.hash, logs.log FROM own_logs JOIN logs ON logs.log = own_logs.log "
        "JOIN entries ON entries.log = logs.number WHERE own_logs.author = ? AND tip", (desk.holder.id,),
    )  # fmt: skip
    if own is None:
        return None
    seq, digest, log = own
    statement = [99, world.random.randbytes(8)]
    header = Header(replica.family or b"", desk.holder.id, log, seq + 1, digest, STATEMENTS, b"", b"", 0, (),
                    0, b"", b"", 1, body_root((), [statement]))  # fmt: skip
    entry = sign_entry(header, (), (statement,), desk.holder.signs)
    return entry.hash, to_wire(entry, (b"",))

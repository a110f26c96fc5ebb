"""Connections that come and go: messages in order, late, and cut off anywhere; an attacker in the middle."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from replication.encoding import decode, encode
from replication.entry import OPS
from replication.errors import RemoteProtocolError
from replication.evidence import Flood, PeerShowsLess, TwoPlaces, tell
from replication.membership import UNLOCK
from replication.messages import ENTRIES, FRONTIERS, VALUES
from replication.session import PeerSaved, SessionState, SyncSession, Took
from replication.store import StoreError
from simulations.store import Crash

if TYPE_CHECKING:
    from simulations.world import Device, World

Tamper = Callable[[bytes], list[bytes]]
"""What the attacker makes of a message: these are delivered in its place."""


class Timeline:
    """Virtual time in milliseconds, and what is due when; ties go by order of asking."""

    def __init__(self) -> None:
        self.now = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._asked = 0

    def at(self, time: int, action: Callable[[], None]) -> None:
        self._asked += 1
        heapq.heappush(self._due, (max(time, self.now), self._asked, action))

    def step(self, until: int) -> bool:
        """Do the next thing that is due by `until`; False if there is none, and it is then `until`."""
        if not self._due or self._due[0][0] > until:
            self.now = max(self.now, until)
            return False
        self.now, _, action = heapq.heappop(self._due)
        action()
        return True


class Connection:
    """Two sessions and the stream between them. What is under way when it is cut is lost."""

    def __init__(self, world: World, a: Device, b: Device, *, delay: int, bytes_per_ms: int) -> None:
        self.world = world
        self.ends = (a, b)
        self.sessions = tuple(
            SyncSession(end.node, world.time.now, peer=other.identity.id, quota=end.quota)
            for end, other in ((a, b), (b, a))
        )
        self.delay = delay
        self.bytes_per_ms = bytes_per_ms
        self.open = True
        self.swallows: set[int] = set()
        """Sides from which nothing arrives any more, and nobody is told."""
        self.tamper: Tamper | None = None
        self.tampered = False
        self.under_way = 0
        self._arrives = [world.time.now, world.time.now]
        self._promised = [0, 0]
        self._deaf = [False, False]
        self._waiting: tuple[list[bytes], list[bytes]] = ([], [])
        """What has come as far as a clogged link, for each side."""
        for side in (0, 1):
            self.pump(side)
            self._watch(side)

    def side_of(self, device: Device) -> int:
        return self.ends.index(device)

    def cut(self) -> None:
        if self.open:
            self.open = False
            self.world.in_flight -= self.under_way
            self.world.connections.remove(self)
            self.world.trace("cut", self.ends[0].name, self.ends[1].name)

    def end(self, side: int) -> None:
        """One side closes, as after a refusal: it hears no more, what it has sent still arrives."""
        self._deaf[side] = True
        self.pump(side)
        self.world.time.at(self._arrives[side] + 1, self.cut)

    def pump(self, side: int) -> None:
        """Send all that the session at `side` has to say."""
        session = self.sessions[side]
        while self.open and (messages := session.messages_to_send(self.world.time.now)):
            for message in messages:
                self.send(side, message)
        if self.open and session.state is SessionState.ENDED:
            self.world.time.at(self._arrives[side] + 1, self.cut)

    def send(self, side: int, message: bytes) -> None:
        self.world.see(message)
        arrived = [message]
        if self.tamper is not None:
            arrived = self.tamper(message)
            if arrived != [message]:
                self.tampered = True
                self.world.suspect |= {end.identity.id for end in self.ends}
        for data in arrived:
            leaves = max(self._arrives[side], self.world.time.now + self.delay)
            self._arrives[side] = leaves + len(data) // self.bytes_per_ms
            if side not in self.swallows:
                self.under_way += 1
                self.world.in_flight += 1
                self.world.time.at(self._arrives[side], lambda data=data: self._arrive(1 - side, data))  # type: ignore[misc]

    def _arrive(self, side: int, data: bytes) -> None:
        if not self.open:
            return
        self._waiting[side].append(data)
        self.flow()

    def flow(self) -> None:
        """Deliver what waits on links that are not clogged."""
        for side in (0, 1):
            way = (self.ends[1 - side].name, self.ends[side].name)
            while self.open and self._waiting[side] and way not in self.world.clogged:
                self._deliver(side, self._waiting[side].pop(0))

    def _deliver(self, side: int, data: bytes) -> None:
        self.under_way -= 1
        self.world.in_flight -= 1
        if 1 - side in self.swallows or self._deaf[side]:
            return
        device = self.ends[side]
        self.world.trace("message", device.name, data)
        try:
            events = self.sessions[side].receive_message(data, self.world.time.now)
            for event in events:
                if isinstance(event, PeerShowsLess | TwoPlaces | Flood):
                    self.world.trace("finds", device.name, type(event).__name__)
                    tell(device.node, event, max(0, self.world.clock(device)))
            self.pump(side)
        except RemoteProtocolError as error:
            self.world.trace("refused", device.name, error.kind)
            self.end(side)
            return
        except (Crash, StoreError) as error:
            self.world.ended(device, error)
            self.cut()
            return
        for event in events:
            if isinstance(event, PeerSaved) and not self.tampered:
                self._promise(side, event.entry)
        if any(isinstance(event, Took) for event in events):
            self.world.push(device, beside=self)

    def _promise(self, side: int, entry: int) -> None:
        """The peer said that it has everything up to our entry `entry`, durably: it is held to that."""
        rows = self.ends[side].node.store.rows(
            "SELECT hash FROM entries WHERE id BETWEEN ? AND ?", (self._promised[side] + 1, entry)
        )
        self._promised[side] = max(self._promised[side], entry)
        self.ends[1 - side].promised.update(digest for (digest,) in rows)

    def _watch(self, side: int) -> None:
        due = self.sessions[side].next_timeout()
        if due is not None:
            self.world.time.at(due, lambda: self._time_out(side))

    def _time_out(self, side: int) -> None:
        if not self.open:
            return
        try:
            self.sessions[side].handle_timeout(self.world.time.now)
            self.pump(side)
        except RemoteProtocolError as error:
            self.world.trace("silent", self.ends[side].name, error.kind)
            self.end(side)
            return
        self._watch(side)

    def level(self) -> bool:
        return all(session.level() for session in self.sessions)


# Attackers in the middle, or peers that lie. Each is made from the seed.


def flips(random: Random) -> Tamper:
    """One bit of each fourth message."""

    def tamper(message: bytes) -> list[bytes]:
        if random.random() < 0.75:
            return [message]
        at = random.randrange(len(message))
        return [message[:at] + bytes([message[at] ^ 1 << random.randrange(8)]) + message[at + 1 :]]

    return tamper


def _wires(message: bytes) -> list[Any] | None:
    value = decode(message, limit=1 << 22)
    return value[1] if value[0] == ENTRIES else None


def flips_in_entries(random: Random) -> Tamper:
    """One bit inside one entry, in a message that is well formed otherwise."""

    def tamper(message: bytes) -> list[bytes]:
        wires = _wires(message)
        if wires is None or random.random() < 0.5:
            return [message]
        which = random.randrange(len(wires))
        wire = bytearray(wires[which])
        wire[random.randrange(len(wire))] ^= 1 << random.randrange(8)
        wires[which] = bytes(wire)
        return [encode([ENTRIES, wires])]

    return tamper


def withholds(random: Random) -> Tamper:
    """Some logs never arrive."""
    kept: dict[bytes, bool] = {}

    def passes(wire: bytes) -> bool:
        log = decode(wire, limit=1 << 21)[1]
        return kept.setdefault(log, random.random() < 0.6)

    def tamper(message: bytes) -> list[bytes]:
        wires = _wires(message)
        if wires is None:
            return [message]
        left = [wire for wire in wires if passes(wire)]
        return [encode([ENTRIES, left])] if left else []

    return tamper


def without_log(log: bytes) -> Tamper:
    """One log never arrives."""

    def tamper(message: bytes) -> list[bytes]:
        wires = _wires(message)
        if wires is None:
            return [message]
        left = [wire for wire in wires if decode(wire, limit=1 << 21)[1] != log]
        return [encode([ENTRIES, left])] if left else []

    return tamper


def strips(random: Random) -> Tamper:
    """A peer that hands on entries without their values."""

    def tamper(message: bytes) -> list[bytes]:
        wires = _wires(message)
        if wires is None:
            return [message]
        return [encode([ENTRIES, [without_values(wire) if random.random() < 0.7 else wire for wire in wires]])]

    return tamper


def swaps_values(random: Random) -> Tamper:
    """A peer that hands on entries without their values, and when it is asked for one says another."""
    strip = strips(random)

    def tamper(message: bytes) -> list[bytes]:
        value = decode(message, limit=1 << 22)
        if value[0] != VALUES:
            return strip(message)
        return [encode([VALUES, [[dot, random.randbytes(len(sealed))] for dot, sealed in value[1]]])]

    return tamper


def without_values(wire: bytes) -> bytes:
    """An entry with the hashes of its values, and of unlock wraps, in their place."""
    value = decode(wire, limit=1 << 22)
    for item in value[-1]:
        at = range(2, 3) if value[4] == OPS else range(2, len(item) if item[0] == UNLOCK else 0)
        for part in at:
            if type(item[part]) is bytes:
                item[part] = [hashlib.sha256(item[part]).digest()]
    return encode(value)


def disorders(random: Random) -> Tamper:
    """Entries in another order, and twice."""

    def tamper(message: bytes) -> list[bytes]:
        wires = _wires(message)
        if wires is None or random.random() < 0.5:
            return [message, message] if random.random() < 0.1 else [message]
        return [encode([ENTRIES, random.sample(wires + wires[:1], len(wires) + 1)])]

    return tamper


def repeats(random: Random) -> Tamper:
    """Some messages arrive twice, the second time after others."""
    kept: list[bytes] = []

    def tamper(message: bytes) -> list[bytes]:
        if random.random() < 0.2:
            kept.append(message)
        return [message, kept.pop()] if kept and random.random() < 0.2 else [message]

    return tamper


def swaps(random: Random) -> Tamper:
    """Some messages arrive after the one that follows them."""
    late: list[bytes] = []

    def tamper(message: bytes) -> list[bytes]:
        if late:
            return [message, late.pop()]
        if random.random() < 0.2:
            late.append(message)
            return []
        return [message]

    return tamper


def forges_frontiers(random: Random) -> Tamper:
    """Signed frontiers say that they are newer than they are."""

    def tamper(message: bytes) -> list[bytes]:
        value = decode(message, limit=1 << 22)
        if value[0] != FRONTIERS:
            return [message]
        wires = [decode(wire, limit=1 << 19) for wire in value[1]]
        for wire in wires:
            wire[1] += random.randrange(1, 1_000)
        return [encode([FRONTIERS, [encode(wire) for wire in wires]])]

    return tamper


def babbles(random: Random) -> Tamper:
    """Bytes that mean nothing, now and then."""

    def tamper(message: bytes) -> list[bytes]:
        return [random.randbytes(random.randrange(1, 64))] if random.random() < 0.1 else [message]

    return tamper


ATTACKERS = (
    flips, flips_in_entries, withholds, withholds, withholds, disorders, repeats, swaps, babbles, forges_frontiers,
    strips, strips, swaps_values,
)  # fmt: skip

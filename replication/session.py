"""One peer, one connection: say what you have, get what you lack, stay subscribed.

    state     what is known                          HELLO   others        then
    OPENED    nothing of the peer yet                LEVEL   refused       our hello is on its way
    LEVEL     what the peer held, and since got      refused taken         entries flow both ways
    ENDED     the connection is over                 refused refused       nothing is sent

No socket, no clock, no randomness: messages and the time go in, messages and events come out.
Memory is bounded on both sides: at most WINDOW bytes of entries are under way unacknowledged.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from replication.errors import Refused, RemoteProtocolError
from replication.log import Row
from replication.messages import (
    MAX_FRONTIERS,
    Ack,
    Entries,
    Frontiers,
    Hello,
    Message,
    Ping,
    RefusedEntry,
    read_message,
    write_message,
)  # fmt: skip
from replication.replica import MAX_BATCH, Replica

WINDOW: Final = 2 * 1024 * 1024
"""Bytes of entries sent and not yet acknowledged."""
PING_MS: Final = 60_000
"""A side that has sent nothing for so long says that it is still here."""
SILENCE_MS: Final = 150_000
"""A peer unheard of for so long is gone."""


class SessionState(Enum):
    OPENED = "opened"
    LEVEL = "level"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class PeerHolds:
    """The peer's hello came: `lacking` entries of what it holds are not here yet."""

    lacking: int


@dataclass(frozen=True, slots=True)
class Took:
    """Entries were stored, durably; `put_aside` of them have no effect. `total` since the start."""

    stored: int
    put_aside: int
    total: int


@dataclass(frozen=True, slots=True)
class PeerSaved:
    """The peer has stored, durably, all entries up to the local id `entry` that it lacked."""

    entry: int


@dataclass(frozen=True, slots=True)
class FrontierTaken:
    """Newer signed frontiers were stored."""

    count: int


Event = PeerHolds | Took | PeerSaved | FrontierTaken


class SyncSession:
    """Both sides run the same. Raises RemoteProtocolError for anything a peer must not send."""

    def __init__(self, replica: Replica, now: int) -> None:
        self._replica = replica
        self.state = SessionState.OPENED
        self._queue: deque[Message] = deque()
        self._said_hello = False
        self._peer_seq: dict[bytes, int] = {}
        """Log to the seq up to which the peer holds our branch."""
        self._peer_tip: dict[bytes, Row] = {}
        """The newest entry of each unforked log that the peer is known to hold."""
        self._forked = self._forked_logs()
        self._peer_holds: set[bytes] = set()
        """Header hashes in forked logs that the peer is known to hold."""
        self._cursor = 0
        self._in_flight: deque[tuple[int, int]] = deque()
        self._in_flight_bytes = 0
        self._acknowledged = 0
        self._received = 0
        self._sent_frontiers: dict[bytes, int] = {}
        self._last_heard = now
        self._last_sent = now

    # What came in

    def receive_message(self, data: bytes, now: int) -> list[Event]:
        """Take one message. What it stored is durable when this returns."""
        if self.state is SessionState.ENDED:
            raise RemoteProtocolError("ended")
        self._last_heard = now
        try:
            return self._receive(read_message(data))
        except Refused as refusal:
            self.state = SessionState.ENDED
            raise RemoteProtocolError(refusal.kind, refusal.detail) from None
        except RemoteProtocolError:
            self.state = SessionState.ENDED
            raise

    def _receive(self, message: Message) -> list[Event]:
        if isinstance(message, Hello) is (self.state is SessionState.LEVEL):
            raise RemoteProtocolError("order", "hello comes first, and once")
        match message:
            case Hello():
                return self._take_hello(message)
            case Entries(wires):
                return self._take_entries(wires)
            case Ack(count):
                return self._take_ack(count)
            case RefusedEntry(kind, _):
                raise RemoteProtocolError("refused", kind)
            case Frontiers(signed):
                taken = sum(self._replica.take_signed_frontier(wire) for wire in signed)
                return [FrontierTaken(taken)] if taken else []
            case Ping():
                return []

    def _take_hello(self, hello: Hello) -> list[Event]:
        if hello.family != self._replica.family:
            raise RemoteProtocolError("family", "another family's device")
        self.state = SessionState.LEVEL
        # Nothing is taken for granted beyond what both hold. A peer that is ahead in a log may be on another
        # branch of it: were ours kept back, it would refuse, for ever, whatever names an entry of ours.
        held = [row for row in hello.rows if self._replica.holds(row)]
        for row in held:
            self._know(row)
        shared = {row.log: row.seq for row in held}  # the newest, since rows come in order
        newest = {row.log: row.seq for row in hello.rows}
        return [PeerHolds(sum(seq - shared.get(log, -1) for log, seq in newest.items()))]

    def _know(self, row: Row) -> None:
        """The peer holds the entry at `row`, so all before it in its log."""
        if row.log in self._forked:
            self._peer_holds |= self._replica.ancestors(row)
        else:
            self._peer_seq[row.log] = max(self._peer_seq.get(row.log, -1), row.seq)
            self._peer_tip[row.log] = row

    def _take_entries(self, wires: tuple[bytes, ...]) -> list[Event]:
        result = self._replica.ingest(wires)
        if (forked := self._forked_logs()) != self._forked:
            self._take_forks(forked)
        for row in result.tips or ():
            self._know(row)
        self._received += result.stored + result.duplicate
        if result.refused is not None:
            missing = getattr(result.refused, "hash", b"")
            self._queue.append(RefusedEntry(result.refused.kind, missing))
            self.state = SessionState.ENDED
        elif self._received:
            self._queue.append(Ack(self._received))
        return [Took(result.stored, result.put_aside, self._received)] if result.stored else []

    def _forked_logs(self) -> set[bytes]:
        return {log for (log,) in self._replica.store.rows("SELECT log FROM logs WHERE forked")}

    def _take_forks(self, forked: set[bytes]) -> None:
        """A log turned out to have two branches: what the peer holds of it is known by hash from here on.

        Nothing before the cursor has to be looked at again. There it was one branch, and an entry of it was left
        out only because the peer held that very entry or one after it."""
        known = [self._peer_tip.pop(log) for log in forked - self._forked if log in self._peer_tip]
        self._forked = forked
        for row in known:
            self._know(row)

    def _take_ack(self, count: int) -> list[Event]:
        saved = 0
        while self._in_flight and self._acknowledged < count:
            entry, size = self._in_flight.popleft()
            self._in_flight_bytes -= size
            self._acknowledged += 1
            saved = max(saved, entry)
        if self._acknowledged != count:
            raise RemoteProtocolError("ack", "more than was sent")
        return [PeerSaved(saved)] if saved else []

    # What goes out

    def messages_to_send(self, now: int) -> list[bytes]:
        """The next bounded batch; call again until it is empty. What is appended later goes out too."""
        messages: list[Message] = []
        if not self._said_hello:
            self._said_hello = True
            messages.append(Hello(self._replica.family or b"", tuple(self._replica.milestones())))
        messages += self._queue
        self._queue.clear()
        if self.state is SessionState.LEVEL:
            messages += self._next_entries()
            messages += self._next_frontiers()
        if messages:
            self._last_sent = now
        return [write_message(message) for message in messages]

    def _next_entries(self) -> list[Message]:
        if self._in_flight_bytes >= WINDOW:
            return []
        batch, self._cursor = self._replica.entries_after(self._cursor, self._wanted)
        for entry in batch:
            self._in_flight.append((entry.id, len(entry.wire)))
            self._in_flight_bytes += len(entry.wire)
            if entry.forked:
                self._peer_holds.add(entry.hash)
            else:
                self._know(Row(entry.log, entry.seq, entry.hash[:16]))
        return [Entries(tuple(entry.wire for entry in batch))] if batch else []

    def _wanted(self, log: bytes, seq: int, digest: bytes, forked: bool) -> bool:
        """Whether the peer is not known to hold an entry of ours."""
        if forked:
            return digest not in self._peer_holds
        return seq > self._peer_seq.get(log, -1)

    def _next_frontiers(self) -> list[Message]:
        if self._cursor < self._replica.last_id():
            return []  # the peer may not know the devices yet: their admission is still to be sent
        wires: list[bytes] = []
        for device, signed in self._replica.signed_frontiers().items():
            if signed.count <= self._sent_frontiers.get(device, 0):
                continue
            wire = signed.to_wire()
            if wires and (len(wires) == MAX_FRONTIERS or sum(map(len, wires)) + len(wire) > MAX_BATCH):
                break  # the rest with the next message
            wires.append(wire)
            self._sent_frontiers[device] = signed.count
        return [Frontiers(tuple(wires))] if wires else []

    def level(self) -> bool:
        """Whether the peer holds, durably, all that is here."""
        return (
            self.state is SessionState.LEVEL
            and not self._in_flight
            and not self._queue
            and self._cursor >= self._replica.last_id()
        )

    # Time

    def next_timeout(self) -> int | None:
        """When handle_timeout is due, on the clock that `now` came from; None once it is over."""
        if self.state is SessionState.ENDED:
            return None
        return min(self._last_sent + PING_MS, self._last_heard + SILENCE_MS)

    def handle_timeout(self, now: int) -> None:
        """Raises RemoteProtocolError `silent` if the peer is gone."""
        if now - self._last_heard >= SILENCE_MS:
            self.state = SessionState.ENDED
            raise RemoteProtocolError("silent")
        if now - self._last_sent >= PING_MS:
            self._queue.append(Ping())
            self._last_sent = now  # it goes out next: not due again meanwhile

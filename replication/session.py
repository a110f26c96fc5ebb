"""One peer, one connection: say what you have, get what you lack, stay subscribed.

    state     what is known                          HELLO    SHARED   others    then
    OPENED    nothing of the peer yet                GREETED  refused  refused   LEVEL if both hellos are the same
    GREETED   what it holds, not yet on which branch refused  LEVEL    refused   our own `shared` is on its way
    LEVEL     what the peer held, and since got      refused  refused  taken     entries flow both ways
    ENDED     the connection is over                 refused  refused  refused   nothing is sent

No socket, no clock, no randomness: messages and the time go in, messages and events come out.
Memory is bounded on both sides: at most WINDOW bytes of entries are under way unacknowledged, of what the peer is to be
told only the newest is kept, and nothing is remembered of what the peer claims beyond what is here too.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

from replication.errors import Refused, RemoteProtocolError
from replication.evidence import Finding, Flood, PeerShowsLess, check_forked_growth, lost, take_frontier
from replication.log import MAX_ROWS, Row, SignedFrontier, Version, held_digest
from replication.messages import (
    MAX_DEVICES,
    MAX_FRONTIERS,
    MAX_WANTED,
    Ack,
    Entries,
    Frontiers,
    Hello,
    Message,
    Ping,
    RefusedEntry,
    Shared,
    Values,
    Want,
    read_message,
    write_message,
)  # fmt: skip
from replication.quota import Quota
from replication.replica import MAX_BATCH, Ingested, Outgoing, Replica
from replication.values import take_values, values, wanted

WINDOW: Final = 2 * 1024 * 1024
"""Bytes of entries sent and not yet acknowledged."""
PING_MS: Final = 60_000
"""A side that has sent nothing for so long says that it is still here."""
SILENCE_MS: Final = 150_000
"""A peer unheard of for so long is gone."""
SLOW_MS: Final = 2_000
"""Between two batches of what authors over their quota wrote: some 128 KB/s."""
MAX_ASKED: Final = 4096
"""Values asked of one peer in one connection."""
MAX_KNOWN: Final = 65_536
"""Hashes in forked logs that are remembered as the peer's; over that, all are forgotten, and some are sent again."""


class SessionState(Enum):
    OPENED = "opened"
    GREETED = "greeted"
    LEVEL = "level"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class PeerHolds:
    """It is known what the peer holds: `lacking` entries of that are not here yet."""

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


@dataclass(frozen=True, slots=True)
class ValuesTaken:
    """Values that were lacking were stored."""

    count: int


Event = PeerHolds | Took | PeerSaved | FrontierTaken | ValuesTaken | Finding


@dataclass(frozen=True, slots=True)
class _Greeting:
    """Our hello, and what was here when it was made."""

    hello: Hello
    held: dict[bytes, Version]
    stated: SignedFrontier | None
    """The peer's own signed frontier, as it had reached us."""
    stated_held: list[Row]
    """Those of its rows that are here."""


class SyncSession:
    """Both sides run the same. Raises RemoteProtocolError for anything a peer must not send.

    `peer`: the device at the other end, as it proved; without it nothing is held against it. `quota` is shared by all
    sessions of a node.
    """

    def __init__(self, replica: Replica, now: int, *, peer: bytes | None = None, quota: Quota | None = None) -> None:
        self._replica = replica
        self._peer = peer
        self.state = SessionState.OPENED
        self._queue: deque[Message] = deque()
        self._said_hello = False
        self._greeting: _Greeting | None = None
        self._peers_hello: Hello | None = None
        self._peer_seq: dict[bytes, int] = {}
        """Log to the seq up to which the peer holds our branch."""
        self._peer_tip: dict[bytes, Row] = {}
        """The newest entry of each unforked log that the peer is known to hold."""
        self._forked = self._forked_logs()
        self._peer_holds: set[bytes] = set()
        """Header hashes in forked logs that the peer is known to hold."""
        self._cursor = 0
        self._quota = quota or Quota()
        self._sent = self._quota.like()
        """What the peer will count, if we are the first that it hears."""
        self._buckets: dict[bytes, bytes] = {}
        self._slow: set[bytes] = set()
        """Authors whose entries up to the cursor are sent behind the others', from `_slow_cursor` on."""
        self._slow_cursor = 0
        self._slow_at: int | None = None
        """When the next of those may go; None: now."""
        self._needed = 0
        """Up to here those go at once: the entry at the cursor was made after them."""
        self._in_flight: deque[tuple[int, int]] = deque()
        self._in_flight_bytes = 0
        self._acknowledged = 0
        self._received = 0
        self._told = 0
        """How many of those received the peer was told of."""
        self._tell_at: int | None = None
        """When it may be told of the rest; None: now."""
        self._peer_frontiers: dict[bytes, Version] = {}
        """Which signed frontiers the peer holds, or was sent."""
        self._to_answer: tuple[bytes, ...] = ()
        self._asking: tuple[bytes, ...] = ()
        self._asked: set[bytes] = set()
        self._asked_at = -1
        """The newest entry when there was nothing to ask for."""
        self._ping_due = False
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
        expected = {SessionState.OPENED: Hello, SessionState.GREETED: Shared}.get(self.state)
        if expected is not None and not isinstance(message, expected):
            raise RemoteProtocolError("order", "hello comes first, then shared")
        match message:
            case Entries(wires):
                return self._take_entries(wires)
            case Ack(count):
                return self._take_ack(count)
            case Frontiers(signed):
                return self._take_frontiers(signed)
            case Want(dots):
                self._take_want(dots)
            case Values(given):
                return self._take_values(given)
            case RefusedEntry(kind, _):
                raise RemoteProtocolError("refused", kind)
            case Hello() | Shared():
                return self._take_greeting(message)
            case Ping():
                pass
        return []

    def _take_greeting(self, message: Hello | Shared) -> list[Event]:
        if self.state is SessionState.LEVEL:
            raise RemoteProtocolError("order", "a second greeting")
        return self._take_hello(message) if isinstance(message, Hello) else self._take_shared(message)

    def _take_hello(self, hello: Hello) -> list[Event]:
        if hello.family != self._replica.family:
            raise RemoteProtocolError("family", "another family's device")
        greeting = self._greet()
        self._peers_hello = hello
        # Nothing is taken for granted beyond what both hold. A peer that is ahead in a log may be on another
        # branch of it: were ours kept back, it would refuse, for ever, whatever names an entry of ours.
        for row in hello.rows:
            if self._replica.holds(row):
                self._know(row)
        if hello == greeting.hello:
            return self._become_level((), greeting.held)
        self.state = SessionState.GREETED
        self._queue.append(self._shared(greeting.hello, hello))
        return []

    def _greet(self) -> _Greeting:
        """Our hello, on its way from here on. It says the same however often it is asked for: both sides compare."""
        if self._greeting is None:
            versions = self._replica.frontier_versions()
            rows = tuple(self._replica.frontier_sent())
            stated = self._replica.signed_frontier(self._peer) if self._peer else None
            held = [row for row in stated.rows if self._replica.holds(row)] if stated else []
            hello = Hello(self._replica.family or b"", rows, held_digest(versions))
            self._greeting = _Greeting(hello, versions, stated, held)
            self._queue.append(hello)
            self._said_hello = True
        return self._greeting

    def _shared(self, mine: Hello, theirs: Hello) -> Shared:
        """Of each log in which the hellos differ, the peer's rows that are here; where one is not, we may have parted
        from its branch: then our milestones, by which it finds where."""
        own = set(mine.rows)
        differs = {row.log for row in theirs.rows if row not in own}
        # One row of ours that the peer has not named is enough: it holds another, or none, of that log.
        named, peers = {row.log for row in theirs.rows}, set(theirs.rows)
        differs |= {row.log for row in mine.rows if row not in peers and row.log in named}
        rows: set[Row] = set()
        parted: set[bytes] = set()
        for row in theirs.rows:
            if row.log in differs and self._replica.holds(row):
                rows.add(row)
            elif row.log in differs:
                parted.add(row.log)
        for log in sorted(parted):
            # Where not all fit, less is known, so more is sent again.
            rows.update(self._replica.milestones(log)[: MAX_ROWS - len(rows)])
        held = [(device, *version) for device, version in self._replica.frontier_versions().items()]
        return Shared(tuple(sorted(rows)), tuple(held[:MAX_DEVICES]))

    def _take_shared(self, shared: Shared) -> list[Event]:
        for row in shared.rows:
            if self._replica.holds(row):
                self._know(row)
        return self._become_level(shared.rows, {device: (count, mark) for device, count, mark in shared.held})

    def _become_level(self, shared: tuple[Row, ...], held: dict[bytes, Version]) -> list[Event]:
        assert self._peers_hello is not None
        assert self._greeting is not None
        hello, greeting = self._peers_hello, self._greeting
        self._peers_hello = self._greeting = None
        self.state = SessionState.LEVEL
        # Of devices that are not known here the peer's word is not kept.
        self._peer_frontiers = {d: held[d] for d in self._replica.frontier_versions() if d in held}
        found: list[Event] = list(self._compare(hello, greeting, shared, held))
        both = {row.log: row.seq for row in sorted({*hello.rows, *shared}) if self._replica.holds(row)}
        newest = {row.log: row.seq for row in hello.rows}
        return [PeerHolds(sum(max(0, seq - both.get(log, -1)) for log, seq in newest.items())), *found]

    def _compare(
        self, hello: Hello, greeting: _Greeting, shared: tuple[Row, ...], held: dict[bytes, Version]
    ) -> list[Finding]:
        """Whether the peer shows less than it signed for, as far as that had reached us before our hello.

        Its hello may be older than that frontier, and no lie; what it says after our hello is not. So where the two
        hellos differ, only rows of ours are asked after: of these it has said now whether it holds them."""
        stated = greeting.stated
        if stated is None:
            return []
        rows = stated.rows if hello == greeting.hello else greeting.stated_held
        whole = max(len(shared), len(greeting.hello.rows)) < MAX_ROWS
        missing = lost(self._replica, rows, sorted({*hello.rows, *shared})) if whole else 0
        behind = held.get(stated.device, (0,))[0] < stated.count and len(held) < MAX_DEVICES
        if missing or behind:
            return [PeerShowsLess(stated.device, stated.count, missing)]
        return []

    def _know(self, row: Row) -> None:
        """The peer holds the entry at `row`, so all before it in its log."""
        if row.log not in self._forked:
            self._peer_seq[row.log] = max(self._peer_seq.get(row.log, -1), row.seq)
            if row.seq == self._peer_seq[row.log]:
                self._peer_tip[row.log] = row
            return
        self._peer_holds |= self._replica.ancestors(row)
        if len(self._peer_holds) > MAX_KNOWN:
            self._peer_holds.clear()

    def _take_entries(self, wires: tuple[bytes, ...]) -> list[Event]:
        result = self._replica.ingest(wires)
        if (forked := self._forked_logs()) != self._forked:
            self._take_forks(forked)
        tips = result.tips or []
        for row in tips:
            self._know(row)
        self._received += result.stored + result.duplicate
        if result.refused is not None:
            missing = getattr(result.refused, "hash", b"")
            self._queue.append(RefusedEntry(result.refused.kind, missing))
            self.state = SessionState.ENDED
        took: list[Event] = [Took(result.stored, result.put_aside, self._received)] if result.stored else []
        grown = sorted({row.log for row in tips} & forked)
        return [*took, *self._charge(result), *(f for log in grown for f in check_forked_growth(self._replica, log))]

    def _charge(self, result: Ingested) -> list[Finding]:
        """Count what was stored against its authors. Of who is over the quota, the peer is told late: it stops when
        its window is full."""
        now, authors = self._last_heard, set()
        for row in result.tips or ():
            author, size = self._replica.weight(row)
            author = self._quota.bucket(author, self._replica.state().keyholders)
            self._quota.charge(author, size, now)
            authors.add(author)
        over = {author: self._quota.over(author, now) for author in sorted(authors)}
        hold = max((self._quota.hold_ms(author, now) for author in authors), default=0)
        if not hold or self._tell_at is not None:
            return []
        self._tell_at = now + hold
        return [Flood(author, size) for author, size in over.items() if size]

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
        return [PeerSaved(saved)] if saved and not self._slow else []

    def _take_frontiers(self, wires: tuple[bytes, ...]) -> list[Event]:
        taken, found = 0, list[Event]()
        for wire in wires:
            signed, newer, proved = take_frontier(self._replica, wire)
            taken += newer
            if signed.device in self._replica.state().devices:
                self._peer_frontiers.setdefault(signed.device, signed.version())
                self._peer_frontiers[signed.device] = max(self._peer_frontiers[signed.device], signed.version())
            found += proved
        return [FrontierTaken(taken), *found] if taken else found

    def _take_want(self, dots: tuple[bytes, ...]) -> None:
        if self._to_answer:
            raise RemoteProtocolError("order", "asked before the answer")
        self._to_answer = dots

    def _take_values(self, given: tuple[tuple[bytes, bytes], ...]) -> list[Event]:
        asking, self._asking = self._asking, ()
        dots, answered = [dot for dot, _ in given], {dot for dot, _ in given}
        if not asking or dots != [dot for dot in asking if dot in answered]:
            raise RemoteProtocolError("order", "not what was asked for")
        taken = take_values(self._replica, given)
        if dots:  # what comes after the last may just not have fitted
            self._asked.difference_update(asking[asking.index(dots[-1]) + 1 :])
        return [ValuesTaken(taken)] if taken else []

    # What goes out

    def messages_to_send(self, now: int) -> list[bytes]:
        """The next bounded batch; call again until it is empty. What is appended later goes out too."""
        messages: list[Message] = []
        if not self._said_hello:
            self._greet()
        if self._received > self._told and self._tell_at is None:
            messages.append(Ack(self._received))
            self._told = self._received
        messages += self._queue
        self._queue.clear()
        if self._ping_due:
            messages.append(Ping())
            self._ping_due = False
        if self.state is SessionState.LEVEL:
            messages += self._next_entries(now)
            messages += self._next_frontiers()
            messages += self._next_values()
        if messages:
            self._last_sent = now
        return [write_message(message) for message in messages]

    def _next_entries(self, now: int) -> list[Message]:
        if self._in_flight_bytes >= WINDOW:
            return []
        self._buckets.clear()
        batch = self._next_batch(now)
        for entry in batch:
            self._in_flight.append((entry.id, len(entry.wire)))
            self._in_flight_bytes += len(entry.wire)
            self._sent.charge(self._bucket(entry.log), len(entry.wire), now)
            if entry.forked:
                self._peer_holds.add(entry.hash)
            else:
                self._know(Row(entry.log, entry.seq, entry.hash[:16]))
        return [Entries(tuple(entry.wire for entry in batch))] if batch else []

    def _next_batch(self, now: int) -> list[Outgoing]:
        while True:
            if self._needed > self._slow_cursor:
                if batch := self._next_kept_back(self._needed):
                    return batch
                self._slow_cursor = self._needed
            batch, self._cursor = self._replica.entries_after(self._cursor, partial(self._pick, now))
            if batch:
                return batch
            if self._needed <= self._slow_cursor:
                return self._next_slow(now)

    def _pick(self, now: int, entry: int, log: bytes, seq: int, digest: bytes, forked: bool) -> bool | None:
        """Whether an entry goes now; None: it was made after one that is kept back, which goes first."""
        if not self._wanted(log, seq, digest, forked):
            return False
        author = self._bucket(log)
        if author not in self._slow and (self._sent.over(author, now) or self._quota.over(author, now)):
            if not self._slow:
                self._slow_cursor = entry - 1
            self._slow.add(author)
        if author in self._slow:
            return False
        if self._slow:
            self._needed = self._kept_back(entry)
            return None if self._needed > self._slow_cursor else True
        return True

    def _bucket(self, log: bytes) -> bytes:
        """Whom a log's entries are counted against. Kept for one batch."""
        if log not in self._buckets:
            author = self._replica.store.one("SELECT author FROM logs WHERE log = ?", (log,))[0]
            self._buckets[log] = self._quota.bucket(author, self._replica.state().keyholders)
        return self._buckets[log]

    def _kept_back(self, entry: int) -> int:
        """The newest entry kept back that `entry` names as heard of; 0 for none."""
        named = [self._replica.entry_of(statement) for statement in self._replica.frontier_of(entry)]
        return max((at for at in named if self._bucket(self._replica.info(at).log) in self._slow), default=0)

    def _next_slow(self, now: int) -> list[Outgoing]:
        """Nothing else is to be sent: a batch of what was kept back, if one is due."""
        if not self._slow or self._slow_at is not None:
            return []
        batch = self._next_kept_back(self._cursor)
        if batch:
            self._slow_at = now + SLOW_MS
        else:
            self._slow.clear()
        return batch

    def _next_kept_back(self, end: int) -> list[Outgoing]:
        """Of what was kept back, up to `end`, in its order: whatever it was made after lies before the cursor."""
        batch, self._slow_cursor = self._replica.entries_after(self._slow_cursor, partial(self._pick_slow, end))
        return batch

    def _pick_slow(self, end: int, entry: int, log: bytes, seq: int, digest: bytes, forked: bool) -> bool | None:
        return None if entry > end else self._wanted(log, seq, digest, forked)

    def _wanted(self, log: bytes, seq: int, digest: bytes, forked: bool) -> bool:
        """Whether the peer is not known to hold an entry of ours."""
        if forked:
            return digest not in self._peer_holds
        return seq > self._peer_seq.get(log, -1)

    def _all_sent(self) -> bool:
        return self._cursor >= self._replica.last_id() and not self._slow

    def _next_frontiers(self) -> list[Message]:
        if not self._all_sent():
            return []  # the peer may not know the devices yet: their admission is still to be sent
        wires: list[bytes] = []
        size = 0
        for device, version in self._replica.frontier_versions().items():
            peers = self._peer_frontiers.get(device, (0, b""))
            # Of one count, and not the same: one of the two proves something against the device.
            signed = self._replica.signed_frontier(device) if version[0] >= peers[0] and version != peers else None
            if signed is None:
                continue
            wire = signed.to_wire()
            size += len(wire)
            if wires and (len(wires) == MAX_FRONTIERS or size > MAX_BATCH):
                break  # the rest with the next message
            wires.append(wire)
            self._peer_frontiers[device] = version
        return [Frontiers(tuple(wires))] if wires else []

    def _next_values(self) -> list[Message]:
        """The answer to what the peer lacks, and what is lacking here: each value is asked for once."""
        messages: list[Message] = []
        if self._to_answer:
            messages.append(Values(tuple(values(self._replica, self._to_answer))))
            self._to_answer = ()
        if self._asking or not self.level() or self._asked_at == self._replica.last_id():
            return messages
        # From where the last question ended, to whichever peer: what nobody has must not hide what comes after it.
        found = wanted(self._replica, len(self._asked) + MAX_WANTED, self._replica.asked_up_to)
        lacking = [one for one in found if one[0] not in self._asked][: min(MAX_ASKED - len(self._asked), MAX_WANTED)]
        if not lacking:
            self._asked_at = self._replica.last_id()
            return messages
        self._asking = tuple(dot for dot, _ in lacking)
        self._replica.asked_up_to = lacking[-1][1]
        self._asked.update(self._asking)
        return [*messages, Want(self._asking)]

    def level(self) -> bool:
        """Whether the peer holds, durably, all that is here, and was told what we hold of its own."""
        return (
            self.state is SessionState.LEVEL
            and not self._in_flight
            and not self._queue
            and self._received == self._told
            and self._all_sent()
        )

    # Time

    def next_timeout(self) -> int | None:
        """When handle_timeout is due, on the clock that `now` came from; None once it is over."""
        if self.state is SessionState.ENDED:
            return None
        due = [self._last_sent + PING_MS, self._last_heard + SILENCE_MS, self._tell_at, self._slow_at]
        return min(at for at in due if at is not None)

    def handle_timeout(self, now: int) -> None:
        """Raises RemoteProtocolError `silent` if the peer is gone."""
        if now - self._last_heard >= SILENCE_MS:
            self.state = SessionState.ENDED
            raise RemoteProtocolError("silent")
        if self._tell_at is not None and now >= self._tell_at:
            self._tell_at = None
        if self._slow_at is not None and now >= self._slow_at:
            self._slow_at = None
        if now - self._last_sent >= PING_MS:
            self._ping_due = True
            self._last_sent = now  # it goes out next: not due again meanwhile

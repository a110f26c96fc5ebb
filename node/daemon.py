"""The node: one device's replication, discovery and pairing, in one trio nursery.

It holds the device key and no other, and never sees a value in the clear: what strangers can reach runs
here. Everything that decides lies elsewhere; this file puts it together.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from discovery.announcement import Heard, announcement
from discovery.mdns import Mdns, local_addresses
from discovery.rotating_id import SniGate, make, recognise, sni_make
from discovery.sightings import Address, Attempt, Sightings, Source
from node.control import MAX_FRAME, SOCKET_FILE, frame, peer_is_us, read_words
from node.discovery_keys import keys_in_use
from node.errors import ExitCode, KinringError
from node.identity import DeviceIdentity, load_or_create, throwaway_leaf
from node.opening import open_replica, store_errors
from node.pairing_desk import PairingDesk
from replication.encoding import decode, encode
from replication.errors import Refused, RemoteProtocolError
from replication.evidence import Flood, PeerShowsLess, TwoPlaces, tell
from replication.log import Version
from replication.membership import State
from replication.purge import drop_purged
from replication.quota import Quota
from replication.session import FrontierTaken, PeerHolds, PeerSaved, SyncSession, Took, ValuesTaken
from replication.store import StoreError
from replication.transport import (
    Connections,
    Contexts,
    FrameStream,
    Shown,
    Unreachable,
    Wakeup,
    dial,
    drive,
    serve,
    shown_to_members,
    shown_to_strangers,
)

log = logging.getLogger(__name__)

PEER_PORT: Final = 47470
"""Where peers are listened for, unless another is asked for or it is taken."""
FRONTIER_S: Final = 60.0
"""A device signs its frontier at most so often."""
SETTLE_S: Final = 2.0
"""Several changes in a row are stated as one."""
ROTATE_S: Final = 900.0
PURGE_S: Final = 3600.0
INTERFACES_S: Final = 5.0
CROSSING_S: Final = 5.0
"""Two connections of one pair that are younger than this were dialled at the same time."""
BOOTSTRAP: Final = "bootstrap"
ADDRESS: Final = "address"
SEEN: Final = "seen"


@dataclass(frozen=True)
class NodeOptions:
    """`listen`: literal addresses. `mdns`: lan, loopback (for trials on one machine) or off."""

    listen: tuple[str, ...] = ("0.0.0.0", "::")  # noqa: S104 - peers are to reach it; strangers reach pairing
    peer_port: int | None = None
    mdns: str = "lan"
    tied: bool = False
    """End when standard input does: whoever started this node is gone, however it went."""


@dataclass
class Link:
    """A connection to a peer, while it lasts."""

    device: bytes
    dialled: bool
    since: float
    wakeup: Wakeup
    scope: trio.CancelScope
    session: SyncSession
    address: str
    lacking: int | None = None
    """How many of the peer's entries were missing here when it said hello."""
    received: int = 0

    def to_come(self) -> int | None:
        """How many of those are still to come; None before the peer has said."""
        return None if self.lacking is None else max(0, self.lacking - self.received)


@dataclass
class Bootstrap:
    """What a device that has just joined knows of who invited it, until the family's log says it."""

    device: bytes
    leaf: bytes
    discovery_key: bytes = field(repr=False)


def now_ms() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


@contextmanager
def only_node(runtime: Path) -> Iterator[None]:
    """One node for each data folder. Raises KinringError BUSY."""
    path = runtime / "node.lock"
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise KinringError(
                "a node already runs on this data folder", "use it, or stop it first", ExitCode.BUSY
            ) from None
        yield
    finally:
        os.close(handle)


class Node:
    """The composition root."""

    def __init__(self, folder: Path, runtime: Path, options: NodeOptions) -> None:
        self.runtime = runtime
        self.options = options
        self.identity: DeviceIdentity = load_or_create(folder, secrets.token_bytes)
        self.replica = open_replica(folder)
        with store_errors():
            self.replica.store.check()
        self._connections = Connections()
        self._sightings = Sightings([], secrets.token_bytes)
        self._gate = SniGate([], self.identity.id)
        self._links: list[Link] = []
        self._quota = Quota()
        self._left: dict[bytes, tuple[int | None, int]] = {}
        """How far a peer's last connection came: entries still to come from it, and our newest that it held.
        Two commands that run their nodes for a moment would else end before each saw the other done."""
        self._subscribers: set[trio.MemorySendChannel[list[Any]]] = set()
        self._dial_now = Wakeup()
        self._frontier_due = Wakeup()
        self._members_shown: Shown | None = None
        self._strangers_shown: Shown | None = None
        self._seen: tuple[tuple[bytes, ...], dict[bytes, Version]] | None = None
        self._state = State()
        self._leaves: dict[bytes, bytes] = {}
        self._discovery_keys: list[bytes] = []
        self._next_key: dict[bytes, int] = {}
        """Device to which of the keys it is called by next: one who was away may know the older one alone."""
        self._version = -1
        self.port = 0
        self.desk = PairingDesk(self)
        self._nursery: trio.Nursery
        self._mdns: Mdns | None = None
        self._mdns_limiter = trio.CapacityLimiter(1)

    # Membership, as connections need it

    def refresh(self) -> None:
        """Take in what changed in the family: whom to trust, whom to look for, whom to drop."""
        membership = self.replica.membership()
        bootstrap = self._bootstrap()
        heads = (*membership.heads(), bootstrap.device if bootstrap else b"")
        # Whether all have said that they have the newest discovery key is news, too.
        said = self.replica.frontier_versions() if len(self._discovery_keys) > 1 else {}
        if (heads, said) == self._seen:
            return
        self._seen = (heads, said)
        self._state = membership.state()
        devices = {key: device.leaf for key, device in self._state.devices.items() if key != self.identity.id}
        if bootstrap and bootstrap.device not in devices:
            devices[bootstrap.device] = bootstrap.leaf
        self._leaves = devices
        for gone in self._connections.devices() - set(devices):
            self._connections.drop(gone)
        own = keys_in_use(self.replica, self.identity)
        self._discovery_keys = own or ([bootstrap.discovery_key] if bootstrap else [])
        self._gate.discovery_keys = self._discovery_keys
        self._members_shown = shown_to_members(self.identity.pem, devices.values())
        self._sightings.set_members(devices)
        self._load_addresses()
        self._dial_now.wake()

    def _bootstrap(self) -> Bootstrap | None:
        for value in self.replica.store.local(BOOTSTRAP).values():
            return Bootstrap(*decode(value))
        return None

    def _load_addresses(self) -> None:
        for value in self.replica.store.local(ADDRESS).values():
            device, host, port, source = decode(value)
            self._sightings.saw(device, [(host, port)], Source(source), self.now())

    def _keep_addresses(self) -> None:
        with self.replica.store.write():
            self.replica.store.run("DELETE FROM local WHERE kind = ?", (ADDRESS,))
            for number, (device, (host, port), source) in enumerate(self._sightings.worth_keeping()):
                self.replica.store.set_local(
                    ADDRESS, b"%d" % number, encode([device, host, port, int(source)])
                )

    def now(self) -> int:
        """Milliseconds of a clock that never goes back."""
        return int(trio.current_time() * 1000)

    def peers(self) -> list[bytes]:
        """The other devices of the family that are known here."""
        return sorted(self._leaves)

    # Running

    async def run(self, ready: Callable[[int], None] | None = None) -> None:
        """Until SIGINT or SIGTERM. `ready` is told the peers' port once everything listens."""
        try:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    await self._start(nursery)
                    if ready:
                        ready(self.port)
                    async for _ in signals:
                        nursery.cancel_scope.cancel()
        finally:
            (self.runtime / SOCKET_FILE).unlink(missing_ok=True)
            if self._mdns:
                with trio.CancelScope(deadline=trio.current_time() + 1.5, shield=True):
                    await trio.to_thread.run_sync(self._mdns.stop, abandon_on_cancel=True)
            self.replica.close()

    async def _start(self, nursery: trio.Nursery) -> None:
        listeners = await self._listen()
        with throwaway_leaf(self.runtime, secrets.token_bytes) as leaf:
            self._strangers_shown = shown_to_strangers(leaf.pem)
        self.refresh()
        await nursery.start(self._serve_control)
        nursery.start_soon(
            partial(
                serve,
                listeners,
                contexts=self._contexts,
                recognise=self._gate.admit,
                peer_of=self._peer_of,
                on_peer=self._on_peer,
                on_stranger=self.desk.on_stranger,
                connections=self._connections,
            )
        )
        nursery.start_soon(self._dial_loop)
        if self.options.tied:
            nursery.start_soon(self._end_with_stdin, nursery.cancel_scope)
        nursery.start_soon(self._watch_store)
        nursery.start_soon(self._sign_frontiers)
        nursery.start_soon(self._drop_purged)
        if self.options.mdns != "off":
            nursery.start_soon(self._run_mdns)

    async def _end_with_stdin(self, scope: trio.CancelScope) -> None:
        async with trio.lowlevel.FdStream(os.dup(0)) as stdin:
            while await stdin.receive_some(4096):
                pass
        scope.cancel()

    async def _listen(self) -> list[trio.SocketListener]:
        """The port asked for, else the usual one, else any: two people may share a machine."""
        wanted = self.options.peer_port
        for port in (wanted,) if wanted is not None else (PEER_PORT, 0):
            try:
                return await self._listen_at(port or 0)
            except OSError as error:
                if wanted is not None:
                    raise KinringError(
                        f"port {wanted} cannot be listened on: {error.strerror}",
                        "choose another with --peer-port",
                        ExitCode.BUSY,
                    ) from error
        raise KinringError("no port can be listened on", "check the network's settings", ExitCode.BUSY)

    async def _listen_at(self, port: int) -> list[trio.SocketListener]:
        listeners: list[trio.SocketListener] = []
        try:
            for host in self.options.listen:
                try:
                    found = await trio.open_tcp_listeners(port, host=host)
                except OSError:
                    if listeners and ":" in host:
                        continue  # a machine without IPv6
                    raise
                listeners += found
                port = int(found[0].socket.getsockname()[1])
        except OSError:
            for listener in listeners:
                await listener.aclose()
            raise
        self.port = port
        return listeners

    def _contexts(self) -> Contexts:
        self.refresh()
        assert self._members_shown is not None
        assert self._strangers_shown is not None
        return Contexts(self._members_shown, self.desk.shown() or self._strangers_shown)

    def _peer_of(self, leaf_sha256: bytes) -> bytes | None:
        return next(
            (d for d, leaf in self._leaves.items() if hashlib.sha256(leaf).digest() == leaf_sha256), None
        )

    # Peers

    async def _on_peer(self, frames: FrameStream) -> None:
        await self._sync(frames, dialled=False, address=None)

    async def _sync(self, frames: FrameStream, *, dialled: bool, address: Address | None) -> None:
        device = frames.peer
        if device is None or self.replica.family is None:
            await frames.aclose()
            return
        with trio.CancelScope() as scope:
            link = Link(
                device,
                dialled,
                trio.current_time(),
                Wakeup(),
                scope,
                SyncSession(self.replica, self.now(), peer=device, quota=self._quota),
                f"{address[0]}:{address[1]}" if address else "",
            )
            if not self._take_over(link):
                await frames.aclose()
                return
            self._sightings.reached(device, address, self.now())
            if address:
                self._keep_addresses()  # now, not at the end: a node may be killed
            self._links.append(link)
            self._saw(device)
            self.tell_subscribers("peers")
            try:
                await drive(
                    link.session,
                    frames,
                    wakeup=link.wakeup,
                    now=self.now,
                    on_event=partial(self._on_event, link),
                )
            except RemoteProtocolError as error:
                log.info("connection to %s ended: %s", device.hex()[:8], error.kind)
            except Exception as error:  # noqa: BLE001
                # A fault of ours that a peer found must not end the node. No texts: they may quote data.
                where = traceback.extract_tb(error.__traceback__)[-1]
                log.error("a session failed: %s at %s:%s", type(error).__name__, where.name, where.lineno)
            finally:
                self._links.remove(link)
                if link.lacking is not None:
                    self._left[device] = link.to_come(), self.replica.last_id() if link.session.level() else 0
                self._saw(device)
                if not any(other.device == device for other in self._links):
                    self._sightings.lost(device, self.now())
                self._dial_now.wake()
                self.tell_subscribers("peers")

    def _take_over(self, new: Link) -> bool:
        """One connection for each pair: the newest, for its peer may have slept and forgotten the other.

        Of two that were dialled at the same time both sides keep the one that the smaller id dialled.
        """
        for old in [link for link in self._links if link.device == new.device]:
            crossing = old.dialled is not new.dialled and new.since - old.since < CROSSING_S
            smaller_is_us = self.identity.id < new.device
            if crossing and old.dialled is smaller_is_us:
                return False
            old.scope.cancel()
        return True

    def _on_event(self, link: Link, event: object) -> None:
        match event:
            case PeerHolds(lacking):
                link.lacking = lacking
                self.tell_subscribers("progress", 0, lacking)
            case Took(_, _, total):
                link.received = total
                self.refresh()
                self.wake_peers(but=link)
                self.tell_subscribers("progress", total, link.lacking or 0)
                self.tell_subscribers("changed")
                self._frontier_due.wake()
            case PeerSaved():
                self.tell_subscribers("saved", link.device)
            case FrontierTaken():
                self.refresh()
            case ValuesTaken():
                self.wake_peers(but=link)
                self.tell_subscribers("changed")
            case PeerShowsLess() | TwoPlaces() | Flood():
                if tell(self.replica, event, now_ms()):
                    log.warning("a person is told: %s", type(event).__name__)
                    self.tell_subscribers("alarm")

    def wake_peers(self, but: Link | None = None) -> None:
        """Something new is in the store: each session sends what its peer lacks."""
        for link in self._links:
            if link is not but:
                link.wakeup.wake()

    def local_change(self) -> None:
        """Another process saved something."""
        self.wake_peers()
        self.refresh()
        self._frontier_due.wake()
        self.tell_subscribers("changed")

    def _saw(self, device: bytes) -> None:
        self.replica.store.set_local(SEEN, device, encode(now_ms()))

    async def _dial_loop(self) -> None:
        while True:
            for attempt in self._sightings.due(self.now()):
                self._nursery.start_soon(self._attempt, attempt)
            due = self._sightings.next_timeout()
            seconds = 3600.0 if due is None else max(0.01, (due - self.now()) / 1000)
            with trio.move_on_after(seconds):
                await self._dial_now.wait()

    async def _attempt(self, attempt: Attempt) -> None:
        leaf = self._leaves.get(attempt.device)
        if leaf is None or not self._discovery_keys:
            self._sightings.failed(attempt.device, attempt.address, self.now())
            return
        tried = self._next_key.get(attempt.device, 0)
        key = self._discovery_keys[tried % len(self._discovery_keys)]
        sni = sni_make(key, attempt.device, secrets.token_bytes(8))
        seconds = max(0.1, (attempt.give_up_at - self.now()) / 1000)
        host, port = attempt.address
        try:
            frames = await dial(
                host,
                port,
                pem=self.identity.pem,
                peer=attempt.device,
                peer_leaf=leaf,
                sni=sni,
                seconds=seconds,
            )
        except Unreachable as error:
            log.debug("no connection to %s: %s", attempt.device.hex()[:8], error.kind)
            self._next_key[attempt.device] = tried + 1
            self._sightings.failed(attempt.device, attempt.address, self.now())
            self._dial_now.wake()
            return
        with self._connections.hold(attempt.device):
            await self._sync(frames, dialled=True, address=attempt.address)

    def seen_at(self, device: bytes, address: Address, source: Source) -> None:
        """A person typed, or a pairing showed, where a device is."""
        self._sightings.saw(device, [address], source, self.now())
        self._keep_addresses()
        self._dial_now.wake()

    # Time

    async def _watch_store(self) -> None:
        """What another process saved without a word is noticed within a second."""
        while True:
            version = self.replica.store.data_version()
            if version != self._version:
                first, self._version = self._version < 0, version
                if not first:
                    self.local_change()
            await trio.sleep(1.0)

    async def _sign_frontiers(self) -> None:
        """State what is durable here, at most once a minute: it shows who is behind."""
        stated = None
        while True:
            if self.replica.family is not None and self.identity.id in self._state.devices:
                rows = self.replica.frontier()
                held = self.replica.signed_frontiers().get(self.identity.id)
                stated = list(held.rows) if held and stated is None else stated
                if rows and rows != stated:
                    self.replica.sign_frontier(
                        self.identity.id, lambda m: self.identity.sign.sign(m).signature, now_ms()
                    )
                    stated = rows
                    self.refresh()
                    self.wake_peers()
                    await trio.sleep(FRONTIER_S)
            await self._frontier_due.wait()
            await trio.sleep(SETTLE_S)

    async def _drop_purged(self) -> None:
        """Destroy what was purged and is due, at start and then hourly."""
        while True:
            if self.replica.family is not None:
                try:
                    drop_purged(self.replica, now_ms())
                except StoreError as error:
                    if error.kind != "busy":  # somebody imports just now: in an hour, then
                        raise
            await trio.sleep(PURGE_S)

    # mDNS

    async def _run_mdns(self) -> None:
        loopback = self.options.mdns == "loopback"
        token = trio.lowlevel.current_trio_token()

        def heard(device: bytes, what: Heard) -> None:
            token.run_sync_soon(self._heard, device, what)

        interfaces: Callable[[], list[str]] = (lambda: ["127.0.0.1"]) if loopback else local_addresses
        self._mdns = mdns = Mdns(self._recognise, heard, interfaces)

        async def run(act: Callable[[], object]) -> object:
            try:
                return await trio.to_thread.run_sync(act, abandon_on_cancel=True, limiter=self._mdns_limiter)
            except OSError as error:  # no interface lets us, now: the next round tries again
                log.info("mDNS does not work now: %s", type(error).__name__)
                return False

        await run(mdns.start)
        announced, rotated = None, -ROTATE_S
        while True:
            keys = tuple(self._discovery_keys)
            if keys and (keys != announced or trio.current_time() - rotated >= ROTATE_S):
                names = [make(key, self.identity.id, secrets.token_bytes(8)) for key in keys]
                ours = [
                    announcement(name, self.port, interfaces(), secrets.token_bytes, loopback=loopback)
                    for name in names
                ]
                await run(partial(mdns.announce, *ours))
                announced, rotated = keys, trio.current_time()
            await trio.sleep(INTERFACES_S)
            if await run(mdns.refresh_interfaces):
                announced = None

    def _recognise(self, instance: str) -> bytes | None:
        return recognise(instance, self._discovery_keys, [d for d in self._leaves if d != self.identity.id])

    def _heard(self, device: bytes, what: Heard) -> None:
        self._sightings.saw(device, [(a, what.port) for a in what.addresses], Source.MDNS, self.now())
        self._dial_now.wake()

    # Control

    async def _serve_control(self, task_status: trio.TaskStatus[None]) -> None:
        path = self.runtime / SOCKET_FILE
        path.unlink(missing_ok=True)  # a leftover: the lock says that no other node runs here
        listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        with listener:
            try:
                await listener.bind(str(path))
            except OSError as error:
                raise KinringError(
                    f"the node's socket cannot be made at {path}",
                    "a path of over 100 bytes is too long for one: set XDG_RUNTIME_DIR to a shorter folder",
                    ExitCode.DISK,
                ) from error
            path.chmod(0o600)
            listener.listen(64)
            task_status.started()
            async with trio.open_nursery() as nursery:
                while True:
                    connection, _ = await listener.accept()
                    nursery.start_soon(self._control, trio.SocketStream(connection))

    async def _control(self, stream: trio.SocketStream) -> None:
        """One connection of a page or a command, to its end. Whatever goes wrong ends this one alone."""
        if not peer_is_us(stream.socket):
            await stream.aclose()
            return
        line = ControlLine(stream)
        async with stream:
            try:
                while (words := await line.receive()) is not None:
                    await self._answer(line, words)
            except Exception as error:  # noqa: BLE001
                told = _told(error)
                if told is not None:
                    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                        await line.send("error", told.message, told.hint, int(told.code))

    async def _answer(self, line: ControlLine, words: list[Any]) -> None:
        match words:
            case ["ping"]:
                await line.send("pong")
            case ["changed"]:
                self.local_change()
            case ["status"]:
                await line.send("status", self.status())
            case ["subscribe"]:
                await self._subscribe(line)
            case ["typed", bytes(device), str(host), int(port)]:
                self.seen_at(device, (host, port), Source.TYPED)
                await line.send("ok")
            case ["invite"]:
                await self.desk.invite(line)
            case ["join", str(text), bytes(offer_key), str(name), bool(blind)]:
                await self.desk.join(line, text, offer_key, name, blind)
            case _:
                raise Refused("shape", "unknown command")

    async def _subscribe(self, line: ControlLine) -> None:
        send, receive = trio.open_memory_channel[list[Any]](256)
        self._subscribers.add(send)
        try:
            await line.send("subscribed")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_closed, line, nursery.cancel_scope)
                async for words in receive:
                    await line.send(*words)
        finally:
            self._subscribers.discard(send)

    async def _until_closed(self, line: ControlLine, scope: trio.CancelScope) -> None:
        while await line.receive() is not None:
            pass
        scope.cancel()

    def tell_subscribers(self, *words: Any) -> None:
        """Who listens hears that something happened; one that does not read misses some."""
        for channel in list(self._subscribers):
            try:
                channel.send_nowait(list(words))
            except trio.WouldBlock:
                continue

    def status(self) -> dict[str, Any]:
        """What the node knows that the store does not say."""
        return {
            "device": self.identity.id,
            "port": self.port,
            "mdns": self.options.mdns,
            "peers": [
                {
                    "device": device,
                    "connected": any(link.device == device for link in self._links),
                    "level": self._level(device),
                    "lacking": self._lacking(device),
                    "addresses": [f"{host}:{port}" for (host, port), _, _ in self._sightings.places(device)],
                }
                for device in sorted(self._leaves)
            ],
            "refused": dict(self._connections.refused),
        }

    def _level(self, device: bytes) -> bool:
        """Whether the peer holds all that is here, or did when it was last connected and nothing is newer."""
        links = [link for link in self._links if link.device == device]
        if links:
            return any(link.session.level() for link in links)
        return self._left.get(device, (None, 0))[1] == self.replica.last_id()

    def _lacking(self, device: bytes) -> int | None:
        """How many entries of the peer's are still to come; None before it has said."""
        links = [link.to_come() for link in self._links if link.device == device]
        known = [count for count in links if count is not None]
        return min(known) if known else self._left.get(device, (None, 0))[0]


class ControlLine:
    """The node's end of a control connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def send(self, *words: Any) -> None:
        await self._stream.send_all(frame(list(words)))

    async def receive(self) -> list[Any] | None:
        """None when the other end has closed."""
        while len(self._buffer) < 4 or len(self._buffer) < 4 + int.from_bytes(self._buffer[:4], "big"):
            if len(self._buffer) >= 4 and int.from_bytes(self._buffer[:4], "big") > MAX_FRAME:
                raise Refused("size")
            data = await self._stream.receive_some(65536)
            if not data:
                return None
            self._buffer += data
        end = 4 + int.from_bytes(self._buffer[:4], "big")
        data = bytes(self._buffer[4:end])
        del self._buffer[:end]
        return read_words(data)


def run_node(
    folder: Path, runtime: Path, options: NodeOptions, ready: Callable[[int], None] | None = None
) -> None:
    """Run a node until it is stopped. Raises KinringError."""
    with only_node(runtime):
        node = Node(folder, runtime, options)
        try:
            trio.run(node.run, ready)
        except BaseExceptionGroup as group:
            raise _first_told(group) from None


def _leaves(error: BaseException) -> list[BaseException]:
    """The exceptions in a nursery's group, or the one that it is."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _told(error: Exception) -> KinringError | None:
    """What the other end of a control connection is told; nothing if it has simply gone."""
    found = _leaves(error)
    for leaf in found:
        if isinstance(leaf, KinringError):
            return leaf
    if all(isinstance(leaf, (trio.BrokenResourceError, trio.ClosedResourceError)) for leaf in found):
        return None
    log.warning("a control connection failed: %s", ", ".join(type(leaf).__name__ for leaf in found))
    return KinringError("the node could not do that", "see what it has logged", ExitCode.FAILED)


def _first_told(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a person is told of a crashed nursery."""
    found = _leaves(group)
    return next((leaf for leaf in found if isinstance(leaf, (KinringError, StoreError))), found[0])

"""The node's part in a pairing: it carries the messages and decides nothing.

On the showing side an unlocked process is at the other end of the control connection, on the scanning side
the process of the person who joins. What they say to each other stands in docs/spec/control.md.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from discovery.announcement import is_near
from discovery.invitation import LIFETIME_MS, Invitation, OpenInvitation, decode, encode
from discovery.mdns import local_addresses, on_every_link
from discovery.pairing import (
    Answer,
    Complete,
    Digits,
    Keys,
    NewDevice,
    Offer,
    ScanningSession,
    ShowingSession,
)
from discovery.sightings import Address, Source
from node.errors import ExitCode, KinringError
from node.identity import throwaway_leaf
from replication.errors import Malformed, Refused, RemoteProtocolError
from replication.transport import (
    FrameStream,
    Shown,
    Unreachable,
    Wakeup,
    dial_stranger,
    drive,
    shown_to_strangers,
)

if TYPE_CHECKING:
    from node.daemon import ControlLine, Node

MAX_SHOWN_ADDRESSES: Final = 5
DIAL_S: Final = 5.0


class _Showing:
    """An invitation while it is open."""

    def __init__(self, invitation: Invitation, shown: Shown, now: int) -> None:
        self.open = OpenInvitation(invitation, now)
        self.shown = shown
        self.commit = b""
        self.session: ShowingSession | None = None
        self.wakeup = Wakeup()
        send, receive = trio.open_memory_channel[list[Any]](16)
        self.say, self.said = send, receive


class _Scanning:
    """A pairing on the side that scanned, while it lasts."""

    def __init__(self, session: ScanningSession, joined: Callable[[], None]) -> None:
        self.session = session
        self.wakeup = Wakeup()
        self._joined = joined
        send, receive = trio.open_memory_channel[list[Any]](16)
        self._say, self.said = send, receive

    async def run(self, frames: FrameStream, now: Callable[[], int]) -> None:
        try:
            await drive(self.session, frames, wakeup=self.wakeup, now=now, on_event=self._on_event)
        except RemoteProtocolError as error:
            self._over(error.kind)
        else:
            self._over(self.session.ended or "cut")

    def _over(self, kind: str) -> None:
        if self.session.ended != "done":
            self._say.send_nowait(["over", kind])

    def _on_event(self, event: object) -> None:
        match event:
            case Digits(digits, t):
                self._say.send_nowait(["digits", digits, t.commit, t.keys, t.reveal])
            case Offer(offer):
                self._say.send_nowait(["offer", offer])
            case Complete(result):
                self._joined()
                self._say.send_nowait(["complete", result])

    def told(self, words: list[Any], now: int) -> None:
        """What the person's process says."""
        match words:
            case ["ready", bytes(answer)]:
                if not self.session.over:
                    self.session.ready(answer, now)
            case ["refuse", str(reason)]:
                self.session.refuse(reason, now)
            case _:
                raise Refused("shape", "unknown word")
        self.wakeup.wake()


async def _relay(said: trio.MemoryReceiveChannel[list[Any]], line: ControlLine) -> None:
    async for words in said:
        await line.send(*words)


class PairingDesk:
    """One invitation at a time: a new one takes the place of the old."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._showing: _Showing | None = None

    def shown(self) -> Shown | None:
        """The throw-away leaf that the open invitation names."""
        return self._showing.shown if self._showing else None

    # The showing side

    async def invite(self, line: ControlLine) -> None:
        """Show an invitation until it has been used, or the other end of `line` is gone."""
        node = self._node
        if node.replica.family is None:
            raise KinringError(
                "this device belongs to no family yet",
                "found one with create-user, or join one",
                ExitCode.NOT_FOUND,
            )
        with throwaway_leaf(node.runtime, secrets.token_bytes) as leaf:
            shown = shown_to_strangers(leaf.pem)
        invitation = Invitation(self._addresses(), shown.leaf_sha256, secrets.token_bytes(16))
        showing = _Showing(invitation, shown, node.now())
        await line.send("invitation", encode(invitation), LIFETIME_MS)
        words = await line.receive()
        match words:
            case ["commit", bytes(commit)]:
                showing.commit = commit
            case _:
                return
        if self._showing:
            self._withdraw(self._showing)
        self._showing = showing
        await line.send("shown")  # from here on whoever has the invitation may knock
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_relay, showing.said, line)
                await self._follow(showing, line)
                nursery.cancel_scope.cancel()
        finally:
            self._withdraw(showing)
            if self._showing is showing:
                self._showing = None

    def _withdraw(self, showing: _Showing) -> None:
        showing.open.withdraw()
        if showing.session and not showing.session.over:
            showing.session.refuse("withdrawn", self._node.now())
            showing.wakeup.wake()

    async def _follow(self, showing: _Showing, line: ControlLine) -> None:
        """What the unlocked process says, until it says no more."""
        while (words := await line.receive()) is not None:
            session = showing.session
            if session is None:
                raise Refused("order")
            if session.over:
                continue  # it ended meanwhile; the process is about to read why
            now = self._node.now()
            match words:
                case ["reveal", bytes(message)]:
                    session.reveal(message, now)
                case ["confirm", bytes(offer)]:
                    session.confirm(offer, now)
                case ["complete", bytes(result)]:
                    self._node.refresh()  # it may dial as soon as it has read this
                    session.complete(result, now)
                case ["refuse", str(reason)]:
                    session.refuse(reason, now)
                case _:
                    raise Refused("shape", "unknown word")
            showing.wakeup.wake()

    async def on_stranger(self, frames: FrameStream) -> None:
        """Somebody without a certificate: pairing is all there is, and only while an invitation is open."""
        showing = self._showing
        if showing is None or frames.own_leaf_sha256 != showing.shown.leaf_sha256:
            await frames.aclose()
            return
        session = ShowingSession(showing.open, showing.commit, self._node.now())
        wakeup = Wakeup()

        def on_event(event: object) -> None:
            match event:
                case Keys(_, keys, _):
                    showing.session, showing.wakeup = session, wakeup
                    showing.say.send_nowait(["keys", keys])
                case Answer(answer):
                    showing.say.send_nowait(["answer", answer])

        try:
            await drive(session, frames, wakeup=wakeup, now=self._node.now, on_event=on_event)
        except RemoteProtocolError as error:
            if showing.session is session and session.ended != "done":
                showing.say.send_nowait(["over", error.kind])
            return
        if showing.session is session:
            showing.say.send_nowait(["over", session.ended or "cut"])

    def _addresses(self) -> tuple[str, ...]:
        listen = [host for host in self._node.options.listen if not ipaddress.ip_address(host).is_unspecified]
        found = listen or local_addresses()
        found.sort(key=lambda a: (not is_near(a), ipaddress.ip_address(a).is_link_local, ":" in a))
        return tuple(
            _address(host, self._node.port) for host in (found or ["127.0.0.1"])[:MAX_SHOWN_ADDRESSES]
        )

    # The scanning side

    async def join(self, line: ControlLine, text: str, offer_key: bytes, name: str, blind: bool) -> None:
        """Follow an invitation, with the process of the person who joins at the other end of `line`."""
        node = self._node
        if node.replica.last_id():  # a store without entries may have been left by a pairing that was cut
            raise KinringError(
                "this device belongs to a family already",
                "what is not here yet comes by itself (kinring up); another family needs another data folder",
                ExitCode.CONFLICT,
            )
        invitation = _read(text)
        frames, address = await self._dial(invitation)
        identity = node.identity
        device = NewDevice(identity.id, bytes(identity.box.public_key), offer_key, identity.leaf, name, blind)
        session = ScanningSession(
            invitation, device, lambda m: identity.sign.sign(m).signature, secrets.token_bytes(32), node.now()
        )
        scanning = _Scanning(session, partial(self._joined, address))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scanning.run, frames, node.now)
            nursery.start_soon(_relay, scanning.said, line)
            while (words := await line.receive()) is not None:
                scanning.told(words, node.now())
            if not session.over:
                session.refuse("withdrawn", node.now())
                scanning.wakeup.wake()
                await trio.sleep(0.2)  # so that the other side hears why
            nursery.cancel_scope.cancel()
        # The other side may have admitted this device and its last word been lost: look for it there.
        self._joined(address)

    def _joined(self, address: Address) -> None:
        """Who invited is looked for at the address where it was, once this device is ready for it."""
        self._node.refresh()
        for device in self._node.peers():
            self._node.seen_at(device, address, Source.LAST_KNOWN)

    async def _dial(self, invitation: Invitation) -> tuple[FrameStream, Address]:
        """All addresses at once; the first that has the invitation's leaf."""
        found: list[tuple[FrameStream, Address]] = []
        kinds: list[str] = []

        async def attempt(address: Address, scope: trio.CancelScope) -> None:
            try:
                frames = await dial_stranger(*address, leaf_sha256=invitation.leaf_sha256, seconds=DIAL_S)
            except Unreachable as error:
                kinds.append(error.kind)
                return
            if found:
                await frames.aclose()
                return
            found.append((frames, address))
            scope.cancel()

        async with trio.open_nursery() as nursery:
            for host, port in map(_parse_address, invitation.addresses):
                for reachable in on_every_link([host], local_addresses()):
                    nursery.start_soon(partial(attempt, (reachable, port), nursery.cancel_scope))
        if found:
            return found[0]
        if "pin" in kinds:
            raise KinringError(
                "another device answers at the invitation's address, or the invitation is over",
                "show a new invitation on the other device",
                ExitCode.PAIRING,
            )
        raise KinringError(
            "the other device did not answer",
            "are both on the same network? is its node running?",
            ExitCode.UNREACHABLE,
        )


def _read(text: str) -> Invitation:
    try:
        return decode(text)
    except Malformed as error:
        hint = {
            "typo": "a letter is wrong or missing: copy the whole text again",
            "version": "both devices need the same version of Kinring",
        }.get(error.kind, "it begins with KINRING: and is shown by `kinring invite` on the other device")
        raise KinringError("that is no invitation", hint, ExitCode.PAIRING) from None


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse_address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)

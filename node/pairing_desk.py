"""The node's part in a pairing: it carries the messages and decides nothing.

On the showing side an unlocked process is at the other end of the control connection, on the scanning side
the process of the person who joins. What they say to each other stands in docs/spec/control.md.
"""

from __future__ import annotations

import ipaddress
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from discovery.announcement import is_near
from discovery.invitation import LIFETIME_MS, Invitation, OpenInvitation, decode, encode
from discovery.mdns import local_addresses
from discovery.pairing import (
    Answer,
    Complete,
    Digits,
    Keys,
    NewDevice,
    Offer,
    Over,
    ScanningSession,
    ShowingSession,
)  # fmt: skip
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
            raise KinringError("this device belongs to no family yet", "found one with create-user, or join one",
                               ExitCode.NOT_FOUND)  # fmt: skip
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
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._relay, showing, line)
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

    async def _relay(self, showing: _Showing, line: ControlLine) -> None:
        async for words in showing.said:
            await line.send(*words)

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
                case Over(kind):
                    showing.say.send_nowait(["over", kind])

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
        found = listen or [a for a in local_addresses() if not ipaddress.ip_address(a).is_link_local]
        found.sort(key=lambda a: (not is_near(a), ":" in a))
        return tuple(
            _address(host, self._node.port) for host in (found or ["127.0.0.1"])[:MAX_SHOWN_ADDRESSES]
        )

    # The scanning side

    async def join(self, line: ControlLine, text: str, offer_key: bytes, name: str, blind: bool) -> None:
        """Follow an invitation, with the process of the person who joins at the other end of `line`."""
        node = self._node
        if node.replica.family is not None:
            raise KinringError("this device belongs to a family already", "use another data folder for another family",
                               ExitCode.CONFLICT)  # fmt: skip
        invitation = _read(text)
        frames, address = await self._dial(invitation)
        identity = node.identity
        device = NewDevice(identity.id, bytes(identity.box.public_key), offer_key, identity.leaf, name, blind)
        session = ScanningSession(
            invitation, device, lambda m: identity.sign.sign(m).signature, secrets.token_bytes(32), node.now()
        )
        wakeup = Wakeup()
        say, said = trio.open_memory_channel[list[Any]](16)

        def on_event(event: object) -> None:
            match event:
                case Digits(digits, t):
                    say.send_nowait(["digits", digits, t.commit, t.keys, t.reveal])
                case Offer(offer):
                    say.send_nowait(["offer", offer])
                case Complete(result):
                    self._joined(address)
                    say.send_nowait(["complete", result])
                case Over(kind):
                    say.send_nowait(["over", kind])

        async def run() -> None:
            try:
                await drive(session, frames, wakeup=wakeup, now=node.now, on_event=on_event)
            except RemoteProtocolError as error:
                if session.ended != "done":
                    say.send_nowait(["over", error.kind])
            else:
                if session.ended != "done":
                    say.send_nowait(["over", session.ended or "cut"])

        async def relay() -> None:
            async for words in said:
                await line.send(*words)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            nursery.start_soon(relay)
            while (words := await line.receive()) is not None:
                match words:
                    case ["ready", bytes(answer)] if not session.over:
                        session.ready(answer, node.now())
                    case ["refuse", str(reason)] if not session.over:
                        session.refuse(reason, node.now())
                    case ["ready" | "refuse", *_]:
                        continue
                    case _:
                        raise Refused("shape", "unknown word")
                wakeup.wake()
            if not session.over:
                session.refuse("withdrawn", node.now())
                wakeup.wake()
                await trio.sleep(0.2)  # so that the other side hears why
            nursery.cancel_scope.cancel()

    def _joined(self, address: Address) -> None:
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
            for text in invitation.addresses:
                nursery.start_soon(partial(attempt, _parse_address(text), nursery.cancel_scope))
        if found:
            return found[0]
        if "pin" in kinds:
            raise KinringError("another device answers at the invitation's address, or the invitation is over",
                               "show a new invitation on the other device", ExitCode.PAIRING)  # fmt: skip
        raise KinringError("the other device did not answer", "are both on the same network? is its node running?",
                           ExitCode.UNREACHABLE)  # fmt: skip


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

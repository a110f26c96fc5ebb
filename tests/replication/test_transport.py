"""Two and three devices on loopback with real TLS: who gets in, who does not, and what they see."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from discovery import rotating_id
from node.identity import DeviceIdentity, load_or_create, throwaway_leaf
from replication import transport
from replication.errors import LocalProtocolError, RemoteProtocolError
from replication.leaf import FIRST, LAST
from replication.transport import (
    MAX_FRAME,
    Connections,
    Contexts,
    FrameDecoder,
    FrameStream,
    Unreachable,
    Wakeup,
    dial,
    dial_stranger,
    drive,
    encode_frames,
    serve,
    shown_to_members,
    shown_to_strangers,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "transport.json").read_text())
GOOD_NAME = "kinring-test-name"


opened: list[trio.abc.AsyncResource | FrameStream] = []


def run(journey: Callable[[], Awaitable[None]], *, clock: trio.testing.MockClock | None = None) -> None:
    """Run one journey and close what it opened; a hang fails instead of standing still."""

    async def bounded() -> None:
        try:
            with trio.fail_after(60 if clock is None else 1e9):
                await journey()
        finally:
            while opened:
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await opened.pop().aclose()

    trio.run(bounded, clock=clock)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class Home:
    """A device that listens on loopback, answers every member's message with itself, and remembers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self.own: DeviceIdentity = load_or_create(folder, os.urandom)
        self.members: dict[bytes, bytes] = {}  # device id to leaf
        self.connections = Connections()
        self.met: list[FrameStream] = []
        self.strangers: list[FrameStream] = []
        self.port = 0
        with throwaway_leaf(folder, os.urandom) as shown:
            self.throwaway = shown.leaf
            self._strangers = shown_to_strangers(shown.pem)

    def admit(self, other: Home) -> None:
        self.members[other.own.id] = other.own.leaf

    def contexts(self) -> Contexts:
        return Contexts(shown_to_members(self.own.pem, self.members.values()), self._strangers)

    def peer_of(self, leaf_sha256: bytes) -> bytes | None:
        return {sha256(leaf): device for device, leaf in self.members.items()}.get(leaf_sha256)

    async def on_peer(self, frames: FrameStream) -> None:
        self.met.append(frames)
        await echo(frames)

    async def on_stranger(self, frames: FrameStream) -> None:
        self.strangers.append(frames)
        await echo(frames)

    @asynccontextmanager
    async def listening(self, *, host: str = "127.0.0.1", **changes: Any) -> AsyncIterator[None]:
        listeners = await trio.open_tcp_listeners(0, host=host)
        self.port = listeners[0].socket.getsockname()[1]
        wishes: dict[str, Any] = {
            "contexts": self.contexts,
            "recognise": lambda name: name == GOOD_NAME,
            "peer_of": self.peer_of,
            "on_peer": self.on_peer,
            "on_stranger": self.on_stranger,
            "connections": self.connections,
        }

        async def work() -> None:
            await serve(listeners, **(wishes | changes))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            yield
            nursery.cancel_scope.cancel()

    async def dial(
        self, other: Home, *, host: str = "127.0.0.1", sni: str = GOOD_NAME, leaf: bytes | None = None
    ) -> FrameStream:
        frames = await dial(
            host,
            other.port,
            pem=self.own.pem,
            peer=other.own.id,
            peer_leaf=leaf or other.own.leaf,
            sni=sni,
        )
        opened.append(frames)
        return frames


async def visit(port: int, leaf: bytes) -> FrameStream:
    """Dial as a stranger."""
    frames = await dial_stranger("127.0.0.1", port, leaf_sha256=sha256(leaf))
    opened.append(frames)
    return frames


async def echo(frames: FrameStream) -> None:
    while (message := await frames.receive()) is not None:
        await frames.send([message])


async def ask(frames: FrameStream, message: bytes = b"hello") -> bytes | None:
    with trio.fail_after(10):
        await frames.send([message])
        return await frames.receive()


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens on the other device
            await trio.sleep(0.005)


async def refused(frames: FrameStream) -> None:
    """The far side has ended it: at once, or with whatever was under way lost."""
    with trio.fail_after(10), suppress(RemoteProtocolError):
        while await frames.receive() is not None:
            pass


@pytest.fixture
def anna(tmp_path: Path) -> Home:
    return Home(tmp_path / "anna")


@pytest.fixture
def ben(tmp_path: Path) -> Home:
    return Home(tmp_path / "ben")


@pytest.fixture
def mallory(tmp_path: Path) -> Home:
    return Home(tmp_path / "mallory")


@pytest.fixture
def pair(anna: Home, ben: Home) -> tuple[Home, Home]:
    anna.admit(ben)
    ben.admit(anna)
    return anna, ben


# Members


def test_two_members_talk_and_know_each_other(pair: tuple[Home, Home]) -> None:
    anna, ben = pair

    async def journey() -> None:
        async with anna.listening():
            frames = await ben.dial(anna)
            assert await ask(frames, b"x" * MAX_FRAME) == b"x" * MAX_FRAME
            there = anna.met[0]
            assert (frames.peer, there.peer) == (anna.own.id, ben.own.id)
            assert frames.leaf_sha256 == there.own_leaf_sha256 == sha256(anna.own.leaf)
            assert there.leaf_sha256 == frames.own_leaf_sha256 == sha256(ben.own.leaf)
            assert frames.traffic.sent == frames.traffic.received == MAX_FRAME + 4
            await frames.aclose()
            await until(lambda: not anna.connections.devices())

    run(journey)


def test_both_sides_push_at_once_without_waiting_for_each_other(pair: tuple[Home, Home]) -> None:
    """More in each direction than all buffers between hold: neither may stop reading while it writes."""
    anna, ben = pair
    batch = [bytes([n]) * 200_000 for n in range(1, 60)]
    came: list[bytes | None] = []

    async def pour(frames: FrameStream) -> None:
        for message in batch:
            await frames.send([message])

    async def drink(frames: FrameStream) -> None:
        came.extend([await frames.receive() for _ in batch])

    async def on_peer(frames: FrameStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pour, frames)
            nursery.start_soon(drink, frames)

    async def journey() -> None:
        async with anna.listening(on_peer=on_peer):
            frames = await ben.dial(anna)
            await on_peer(frames)
            await until(lambda: len(came) == 2 * len(batch))
            assert sorted(came, key=lambda m: m or b"") == sorted(batch * 2)

    run(journey)


def test_small_messages_leave_in_one_packet(pair: tuple[Home, Home]) -> None:
    """Seen from outside: bytes between two TCP ends that a relay counts, TLS included."""
    anna, ben = pair
    packets: list[int] = []
    anna_port = 0

    async def relay(near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream("127.0.0.1", anna_port)
        opened.append(far)

        async def copy(source: trio.SocketStream, sink: trio.SocketStream, count: bool) -> None:
            async for data in source:
                if count:
                    packets.append(len(data))
                await sink.send_all(bytes(data))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy, near, far, True)
            nursery.start_soon(copy, far, near, False)

    async def journey() -> None:
        nonlocal anna_port
        async with anna.listening(), trio.open_nursery() as nursery:
            anna_port = anna.port
            listeners = await nursery.start(trio.serve_tcp, relay, 0)
            anna.port = listeners[0].socket.getsockname()[1]
            frames = await ben.dial(anna)
            assert await ask(frames) == b"hello"
            packets.clear()
            await frames.send([b"a" * 100, b"b" * 100, b"c" * 50])
            assert [await frames.receive() for _ in range(3)] == [b"a" * 100, b"b" * 100, b"c" * 50]
            # 250 bytes, three lengths, one record: 5 bytes of header, 1 of type, 16 of tag.
            assert packets == [250 + 12 + 22]
            nursery.cancel_scope.cancel()

    run(journey)


def test_who_is_admitted_later_gets_in_without_a_restart(pair: tuple[Home, Home], mallory: Home) -> None:
    anna, _ = pair

    async def journey() -> None:
        async with anna.listening():
            with pytest.raises(Unreachable, match="rejected"):
                await mallory.dial(anna)
            anna.admit(mallory)
            assert await ask(await mallory.dial(anna)) == b"hello"

    run(journey)


def test_members_whose_leaves_have_one_name_all_get_in(anna: Home, tmp_path: Path) -> None:
    """Of several anchors with one name, and no key identifiers, OpenSSL would try the first alone."""
    twins = []
    for n in range(3):
        (tmp_path / str(n)).mkdir()
        leaf, pem, _ = certificate(tmp_path / str(n), "ab" * 10)
        anna.members[bytes([n])] = leaf
        twins.append(pem)

    async def journey() -> None:
        async with anna.listening():
            for pem in twins:
                got = await answer(await tls_client(anna, pem, GOOD_NAME), REQUEST)
                assert got.startswith(b"HTTP/1.1 101")
            await until(lambda: [frames.peer for frames in anna.met] == [b"\0", b"\1", b"\2"])

    run(journey)


def test_a_name_that_counts_once_survives_a_second_hello(pair: tuple[Home, Home]) -> None:
    """The listener wants another curve, so the client says hello twice (RFC 8446 section 4.1.4)."""
    anna, ben = pair
    asked: list[str] = []

    def once(name: str) -> bool:
        asked.append(name)
        return asked.count(name) == 1

    async def journey() -> None:
        anna.contexts().strangers.context.set_ecdh_curve("secp384r1")
        async with anna.listening(recognise=once):
            assert await ask(await ben.dial(anna)) == b"hello"
            with pytest.raises(Unreachable, match="pin"):
                await ben.dial(anna)

    run(journey)


def test_a_removed_device_is_gone_at_once_and_stays_out(pair: tuple[Home, Home], mallory: Home) -> None:
    anna, ben = pair
    anna.admit(mallory)

    async def journey() -> None:
        async with anna.listening():
            removed, stays = await mallory.dial(anna), await ben.dial(anna)
            assert await ask(removed) == await ask(stays) == b"hello"
            del anna.members[mallory.own.id]
            with trio.fail_after(1):
                assert anna.connections.drop(mallory.own.id) == 1
                await refused(removed)
            with pytest.raises(Unreachable, match="rejected"):
                await mallory.dial(anna)
            assert await ask(stays) == b"hello"
            assert anna.connections.devices() == {ben.own.id}

    run(journey)


def test_removed_between_handshake_and_request(pair: tuple[Home, Home]) -> None:
    anna, ben = pair

    asked: list[bytes] = []

    def noting(leaf: bytes) -> bytes | None:
        asked.append(leaf)
        return anna.peer_of(leaf)

    async def journey() -> None:
        async with anna.listening(peer_of=noting):
            stream = await tls_client(anna, ben.own.pem, GOOD_NAME)
            await until(lambda: len(asked) == 1)
            del anna.members[ben.own.id]
            await stream.send_all(REQUEST)
            await until(lambda: anna.connections.refused["pin"] == 1)
            assert anna.met == []

    run(journey)


def test_a_third_connection_of_a_device_ends_its_oldest(pair: tuple[Home, Home]) -> None:
    anna, ben = pair

    async def journey() -> None:
        async with anna.listening():
            first, second, third = [await ben.dial(anna) for _ in range(3)]
            await refused(first)
            assert await ask(second) == await ask(third) == b"hello"

    run(journey)


def test_a_fault_in_a_handler_ends_that_connection_alone(pair: tuple[Home, Home], caplog: Any) -> None:
    anna, ben = pair

    async def on_peer(frames: FrameStream) -> None:
        if await frames.receive() == b"trip":
            raise KeyError("hunter2")
        await frames.send([b"fine"])

    async def journey() -> None:
        async with anna.listening(on_peer=on_peer):
            broken = await ben.dial(anna)
            await broken.send([b"trip"])
            await refused(broken)
            assert await ask(await ben.dial(anna)) == b"fine"

    run(journey)
    assert "KeyError" in caplog.text
    assert "hunter2" not in caplog.text


# Strangers and impostors


REQUEST = b"GET / HTTP/1.1\r\nHost: kinring\r\nConnection: Upgrade\r\nUpgrade: kinring/1\r\n\r\n"


async def tls_client(
    home: Home, pem: Path | None, sni: str | None, *, newest: ssl.TLSVersion | None = None
) -> trio.SSLStream[trio.SocketStream]:
    """A client that is not ours: trusts anything, and says what it likes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if newest is not None:
        context.maximum_version = newest
    if pem is not None:
        context.load_cert_chain(pem)
    tcp = await trio.open_tcp_stream("127.0.0.1", home.port)
    opened.append(tcp)
    stream = trio.SSLStream(tcp, context, server_hostname=sni, https_compatible=True)
    await stream.do_handshake()
    return stream


async def answer(stream: trio.SSLStream[trio.SocketStream], request: bytes) -> bytes:
    """All that comes back; empty if the connection is cut instead."""
    got = b""
    try:
        await stream.send_all(request)
        while data := await stream.receive_some():
            got += data
            if got.startswith(b"HTTP/1.1 101"):
                break
    except trio.BrokenResourceError:
        pass
    return got


@pytest.mark.parametrize("sni", [None, "some-other-name", "a" * 63])
def test_who_cannot_name_the_device_sees_a_throwaway_leaf(pair: tuple[Home, Home], sni: str | None) -> None:
    anna, _ = pair

    async def journey() -> None:
        async with anna.listening():
            stream = await tls_client(anna, None, sni)
            assert stream.getpeercert(True) == anna.throwaway != anna.own.leaf
            assert (await answer(stream, REQUEST)).startswith(b"HTTP/1.1 101")
            await until(lambda: len(anna.strangers) == 1)
            assert anna.strangers[0].peer is None
            assert anna.strangers[0].own_leaf_sha256 == sha256(anna.throwaway)
            assert anna.met == []

    run(journey)


def test_a_member_that_cannot_name_the_device_does_not_trust_what_it_sees(pair: tuple[Home, Home]) -> None:
    anna, ben = pair

    async def journey() -> None:
        async with anna.listening():
            with pytest.raises(Unreachable, match="pin"):
                await ben.dial(anna, sni="not-the-name")

    run(journey)


def test_who_names_the_device_but_shows_no_leaf_is_no_stranger_either(pair: tuple[Home, Home]) -> None:
    anna, _ = pair

    async def journey() -> None:
        async with anna.listening():
            stream = await tls_client(anna, None, GOOD_NAME)
            assert await answer(stream, REQUEST) == b""
            assert anna.strangers == anna.met == []
            assert anna.connections.refused["pin"] == 1

    run(journey)


def test_an_invited_newcomer_reaches_exactly_the_invitations_leaf(anna: Home) -> None:
    async def journey() -> None:
        async with anna.listening():
            port = anna.port
            frames = await visit(port, anna.throwaway)
            assert await ask(frames) == b"hello"
            assert anna.strangers[0].leaf_sha256 is None
            assert anna.strangers[0].own_leaf_sha256 == frames.leaf_sha256 == sha256(anna.throwaway)
            with pytest.raises(Unreachable, match="pin"):
                await visit(port, anna.own.leaf)

    run(journey)


def test_an_unknown_certificate_gets_nothing(pair: tuple[Home, Home], mallory: Home, caplog: Any) -> None:
    anna, _ = pair
    caplog.set_level("INFO", logger="replication.transport")

    async def journey() -> None:
        async with anna.listening():
            with pytest.raises(Unreachable, match="rejected"):
                await mallory.dial(anna)
            # With a library that does not wait for an answer, the handshake and the write look good.
            stream = await tls_client(anna, mallory.own.pem, GOOD_NAME)
            assert await answer(stream, REQUEST + encode_frames([b"op"])) == b""
            await until(lambda: anna.connections.refused["handshake"] == 2)
            assert anna.met == anna.strangers == []

    run(journey)
    lines = [record for record in caplog.records if record.name == "replication.transport"]
    assert len(lines) == 2


def certificate(
    folder: Path, name: str, *, issuer: tuple[str, Ed25519PrivateKey] | None = None, ca: bool = False
) -> tuple[bytes, Path, Ed25519PrivateKey]:
    """A certificate made by somebody who does not keep to the form."""
    key = Ed25519PrivateKey.generate()
    issuer_name, issuer_key = issuer or (name, key)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer_name)]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(FIRST)
        .not_valid_after(LAST)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(issuer_key, None)
    )
    pem = folder / f"{name}.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + made.public_bytes(Encoding.PEM))
    return made.public_bytes(Encoding.DER), pem, key


def test_a_certificate_minted_by_a_member_does_not_get_in(
    pair: tuple[Home, Home], mallory: Home, tmp_path: Path
) -> None:
    """OpenSSL accepts it once the CA:TRUE leaf is an anchor; two locks, each tried by itself."""
    anna, _ = pair
    ca_leaf, ca_pem, ca_key = certificate(tmp_path, "ca" * 10, ca=True)
    _, minted_pem, _ = certificate(tmp_path, "ab" * 10, issuer=("ca" * 10, ca_key))
    mallory_id = mallory.own.id
    anna.members[mallory_id] = ca_leaf

    def careless() -> Contexts:
        contexts = anna.contexts()
        contexts.members.context.load_verify_locations(cadata=ca_leaf)
        return contexts

    async def journey() -> None:
        async with anna.listening():
            for pem in (ca_pem, minted_pem):
                assert await answer(await tls_client(anna, pem, GOOD_NAME), REQUEST) == b""
            await until(lambda: anna.connections.refused["handshake"] == 2)
        async with anna.listening(contexts=careless):
            assert await answer(await tls_client(anna, minted_pem, GOOD_NAME), REQUEST) == b""
            await until(lambda: anna.connections.refused["pin"] == 1)
            # The careless context really does let it through: its own certificate is pinned.
            got = await answer(await tls_client(anna, ca_pem, GOOD_NAME), REQUEST)
            assert got.startswith(b"HTTP/1.1 101")
            await until(lambda: len(anna.met) == 1)
        assert [frames.peer for frames in anna.met] == [mallory_id]

    run(journey)


def test_an_impostor_at_a_known_address_gets_no_byte_of_ours(pair: tuple[Home, Home], mallory: Home) -> None:
    anna, ben = pair
    mallory.admit(ben)

    async def journey() -> None:
        async with mallory.listening(recognise=lambda name: True):
            with pytest.raises(Unreachable, match="pin"):
                await ben.dial(mallory, leaf=anna.own.leaf)
            await until(lambda: mallory.connections.refused["handshake"] == 1)
            assert mallory.met == mallory.strangers == []

    run(journey)


def test_an_impostor_whose_leaf_the_member_signed_is_caught_by_the_pin(
    pair: tuple[Home, Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dialler's second lock alone: the first, which refuses a leaf that may sign, is taken off."""
    _, ben = pair
    ca_leaf, ca_pem, ca_key = certificate(tmp_path, "ca" * 10, ca=True)
    _, minted_pem, _ = certificate(tmp_path, "ab" * 10, issuer=("ca" * 10, ca_key))
    monkeypatch.setattr(transport, "check_leaf", lambda _: None)
    kinds: list[str] = []

    async def journey() -> None:
        for pem in (minted_pem, ca_pem):
            with tls_server(pem, SWITCH) as (port, _, _):
                try:
                    frames = await dial(
                        "127.0.0.1", port, pem=ben.own.pem, peer=b"", peer_leaf=ca_leaf, sni=GOOD_NAME
                    )
                except Unreachable as error:
                    kinds.append(error.kind)
                else:
                    kinds.append("connected")
                    await frames.aclose()

    run(journey)
    assert kinds == ["pin", "connected"]


@pytest.mark.parametrize("sni", [None, GOOD_NAME])
def test_tls_1_2_is_refused(pair: tuple[Home, Home], sni: str | None) -> None:
    anna, ben = pair

    async def journey() -> None:
        async with anna.listening():
            with pytest.raises(trio.BrokenResourceError):
                await tls_client(anna, ben.own.pem, sni, newest=ssl.TLSVersion.TLSv1_2)

    run(journey)


def test_nothing_is_handed_out_with_which_a_session_could_be_resumed(pair: tuple[Home, Home]) -> None:
    anna, ben = pair

    async def journey() -> None:
        async with anna.listening():
            stream = await tls_client(anna, ben.own.pem, GOOD_NAME)
            assert (await answer(stream, REQUEST)).startswith(b"HTTP/1.1 101")
            await stream.send_all(encode_frames([b"hello"]))
            assert await stream.receive_some() == encode_frames([b"hello"])  # a ticket would have come before
            assert stream.session is None or not stream.session.has_ticket
            assert not stream.session_reused

    run(journey)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: k\r\n\r\n", b"426"),
        (b"GET /other HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: kinring/1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: kinring/1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: kinring/1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: kinring/2\r\n\r\n", b"426"),
        (b"GET / HTTP/1.1\r\nHost: k\r\nUpgrade: kinring/1\r\nContent-Length: 3\r\n\r\nabc", b"400"),
        (b"GET / HTTP/1.1\r\nHost: k\r\nX: " + b"y" * 16_400 + b"\r\n\r\n", b"431"),
        (b"\x00\x01\x02 rubbish \xff\r\n\r\n", b"400"),
    ],
)
def test_any_other_request_is_refused(anna: Home, request_bytes: bytes, status: bytes) -> None:
    async def journey() -> None:
        async with anna.listening():
            got = await answer(await tls_client(anna, None, None), request_bytes)
            assert got.startswith(b"HTTP/1.1 " + status)
            assert anna.strangers == []
            await until(lambda: anna.connections.refused["request"] == 1)

    run(journey)


def test_frames_right_behind_the_request_are_not_lost(pair: tuple[Home, Home]) -> None:
    anna, ben = pair

    async def journey() -> None:
        async with anna.listening():
            stream = await tls_client(anna, ben.own.pem, GOOD_NAME)
            got = await answer(stream, REQUEST + encode_frames([b"early"]))
            while not got.endswith(b"early"):
                got += await stream.receive_some()
            assert got.startswith(b"HTTP/1.1 101")

    run(journey)


# Crowds


def test_half_open_handshakes_and_dawdlers_keep_no_member_out(pair: tuple[Home, Home], mallory: Home) -> None:
    """All from the member's own address, which is the worst case: some say nothing, some half a hello, some
    finish the handshake and never their request."""
    anna, ben = pair

    async def journey() -> None:
        async with anna.listening():
            for n in range(60):
                tcp = await trio.open_tcp_stream("127.0.0.1", anna.port)
                opened.append(tcp)
                if n % 3 == 1:
                    await tcp.send_all(b"\x16\x03\x01\x02\x00\x01")
                if n % 3 == 2:
                    dawdler = await tls_client(anna, None, None)
                    await dawdler.send_all(b"GET / HT")
                if n % 10 == 9:
                    assert await ask(await ben.dial(anna)) == b"hello"
            # Nearly all are gone again without waiting for their ten seconds.
            assert anna.connections.refused["slow"] > 60

    run(journey)


def test_when_the_door_is_full_the_longest_waiting_goes_and_who_named_us_stays() -> None:
    """Who is shut out, in order, at the door itself: eight in all, two from one address."""
    door, gone = transport._Door(), list[str]()

    async def wait(guest: str, address: str, recognised: bool) -> None:
        try:
            with door.admit(address, lambda: recognised):
                await trio.sleep_forever()
        except transport._Refusal:
            gone.append(guest)

    async def journey() -> None:
        async with trio.open_nursery() as nursery:

            async def arrive(guest: str, address: str, *, recognised: bool = False) -> None:
                nursery.start_soon(wait, guest, address, recognised)
                await trio.testing.wait_all_tasks_blocked()

            await arrive("member", "a", recognised=True)
            for n in range(4):
                await arrive(f"a{n}", "a")
            assert gone == ["a0", "a1"]
            for n in range(8):
                await arrive(f"crowd {n}", f"address {n}")
            assert gone == ["a0", "a1", "a2", "a3"]
            for n in range(9):  # each is a stranger while it arrives, and sixteen is the most
                await arrive(f"member {n}", "a", recognised=True)
            assert gone[4:] == ["crowd 0", "member"]
            nursery.cancel_scope.cancel()

    run(journey)


def test_at_most_two_strangers_from_one_address(anna: Home) -> None:
    async def journey() -> None:
        async with anna.listening():
            first, _second = [await visit(anna.port, anna.throwaway) for _ in range(2)]
            with pytest.raises(Unreachable, match="rejected"):
                await visit(anna.port, anna.throwaway)
            assert anna.connections.refused["full"] == 1
            await first.aclose()
            third = None
            while third is None:  # until the listener has noticed
                try:
                    third = await visit(anna.port, anna.throwaway)
                except Unreachable:
                    await trio.sleep(0.01)
            assert await ask(third) == b"hello"

    run(journey)


def test_who_never_sends_its_request_is_closed_after_ten_seconds(
    anna: Home, autojump: trio.testing.MockClock
) -> None:
    """On a clock that jumps, at the door itself: sockets would not jump along."""
    door = transport._Door()

    async def journey() -> None:
        start = trio.current_time()
        with pytest.raises(transport._Refusal, match="slow"), door.admit("192.0.2.1", lambda: False):
            await trio.sleep_forever()
        assert trio.current_time() - start == pytest.approx(10)

    run(journey, clock=autojump)


@pytest.fixture
def autojump() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)


def test_a_reader_that_stops_is_dropped_and_a_slow_one_is_not(autojump: trio.testing.MockClock) -> None:
    async def read_slowly(stream: trio.abc.ReceiveStream) -> None:
        for _ in range(4):
            await trio.sleep(25)
            await stream.receive_some(1 << 16)

    async def journey() -> None:
        ours, theirs = trio.testing.lockstep_stream_pair()
        frames = FrameStream(ours)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_slowly, theirs)
            await frames.send([b"x" * 200_000])
        with pytest.raises(RemoteProtocolError, match="stalled"):
            await frames.send([b"y" * 200_000])
        with pytest.raises(RemoteProtocolError, match="cut"):
            await frames.send([b"z"])

    run(journey, clock=autojump)


# What a hostile listener can do to a dialler


@contextmanager
def tls_server(pem: Path, reply: bytes, *, pause: float = 0) -> Iterator[tuple[int, list[bytes], list[int]]]:
    """A plain threaded server with the device's real leaf: port, what it was sent, how much it could send.

    With a pause it sends its reply for ever.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))
    requests: list[bytes] = []
    sent: list[int] = [0]

    def work() -> None:
        connection, _ = listener.accept()
        connection.settimeout(20)
        try:
            with context.wrap_socket(connection, server_side=True) as tls:
                requests.append(tls.recv(65536))
                for start in range(0, len(reply), 16384):
                    sent[0] += tls.send(reply[start : start + 16384])
                while pause:
                    time.sleep(pause)
                    tls.send(reply)
                tls.recv(1)
        except OSError:
            pass

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield listener.getsockname()[1], requests, sent
    finally:
        listener.close()
        thread.join(20)


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: kinring/1\r\n\r\n"
HOSTILE_REPLIES = {
    "gzip bomb": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99999999\r\n\r\n"
    + b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" * 5_000_000,
    "encoded switch": SWITCH.removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "endless head": b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-Pad: 0123456789\r\n" * 500_000,
    "not HTTP": b"\x00\xff\x17 nonsense\r\n\r\n" * 10,
}


@pytest.mark.parametrize("name", sorted(HOSTILE_REPLIES))
def test_a_hostile_answer_is_refused_at_its_head(pair: tuple[Home, Home], name: str) -> None:
    anna, ben = pair

    async def journey() -> None:
        hostile = tls_server(anna.own.pem, HOSTILE_REPLIES[name])
        with hostile as (anna.port, requests, sent), pytest.raises(Unreachable, match="protocol"):
            await ben.dial(anna)
        assert requests[0] == REQUEST  # no compression offered, no library named
        # Most of it filled the kernel's buffers, unread; on loopback those hold some megabytes.
        assert sent[0] < 8_000_000

    run(journey)


def test_silence_and_endless_informational_answers_time_out(pair: tuple[Home, Home]) -> None:
    anna, ben = pair

    async def journey() -> None:
        for reply, pause in ((b"", 0), (b"HTTP/1.1 100 Continue\r\n\r\n", 0.05)):
            server = tls_server(anna.own.pem, reply, pause=pause)
            with server as (port, _, _), pytest.raises(Unreachable, match="timeout"):
                await dial(
                    "127.0.0.1",
                    port,
                    pem=ben.own.pem,
                    peer=anna.own.id,
                    peer_leaf=anna.own.leaf,
                    sni=GOOD_NAME,
                    seconds=0.3,
                )

    run(journey)


def test_why_a_device_could_not_be_reached(pair: tuple[Home, Home]) -> None:
    anna, ben = pair

    async def kind(host: str, port: int) -> str:
        with pytest.raises(Unreachable) as caught:
            await dial(host, port, pem=ben.own.pem, peer=anna.own.id, peer_leaf=anna.own.leaf, sni=GOOD_NAME)
        return caught.value.kind

    async def greet_in_the_clear(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 mail.example ESMTP\r\n")

    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    async def journey() -> None:
        closed = socket.create_server(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        closed.close()
        assert await kind("127.0.0.1", port) == "refused"
        for host in ("no such host", "fe80::zz", "", "a/b", "x" * 300):
            assert await kind(host, 1) == "address"
        assert await kind("127.0.0.1", (1 << 16) + port) == "address"
        async with trio.open_nursery() as nursery:
            for handler, expected in ((greet_in_the_clear, "protocol"), (hang_up, "rejected")):
                listeners = await nursery.start(trio.serve_tcp, handler, 0)
                assert await kind("127.0.0.1", listeners[0].socket.getsockname()[1]) == expected
            nursery.cancel_scope.cancel()

    run(journey)


def test_neither_key_log_nor_proxy(pair: tuple[Home, Home], tmp_path: Path) -> None:
    """In a process of its own, since OpenSSL and httpx read the environment."""
    anna, ben = pair
    key_log = tmp_path / "keys.log"
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        script = f"""
            import asyncio, sys, trio
            from pathlib import Path
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from test_transport import Home, ask
            anna, ben = Home(Path({str(anna.folder)!r})), Home(Path({str(ben.folder)!r}))
            anna.admit(ben)
            async def journey():
                async with anna.listening():
                    print(await ask(await ben.dial(anna)))
            trio.run(journey)
        """
        proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), address)
        environment = os.environ | proxies | {"SSLKEYLOGFILE": str(key_log), "NO_PROXY": "", "no_proxy": ""}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout == "b'hello'\n", done.stderr
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert not key_log.exists()


@pytest.mark.needs("netns")
def test_scoped_ipv6_addresses_can_be_dialled(pair: tuple[Home, Home]) -> None:
    """In a network of its own, where `lo` has a link-local address."""
    anna, ben = pair
    script = f"""
        import sys, trio
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_transport import Home, ask
        anna, ben = Home(Path({str(anna.folder)!r})), Home(Path({str(ben.folder)!r}))
        anna.admit(ben)
        async def journey():
            async with anna.listening(host="::"):
                for host in ("::1", "fe80::7%lo", "fe80::7%1"):
                    print(await ask(await ben.dial(anna, host=host)))
        trio.run(journey)
    """
    setup = 'ip link set lo up && ip addr add fe80::7/64 dev lo nodad && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", setup, sys.executable, textwrap.dedent(script)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "b'hello'\n" * 3, done.stderr


# Frames


async def frames_in_memory(data: bytes, *, piece: int = 1 << 20) -> list[bytes | str | None]:
    """What FrameStream makes of a stream with exactly these bytes: messages, then None or an error's kind."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(data)
    await theirs.send_eof()
    frames, came = FrameStream(ours), list[bytes | str | None]()
    try:
        while True:
            came.append(await frames.receive())
            if came[-1] is None:
                return came
    except RemoteProtocolError as error:
        return [*came, error.kind]


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_frame_vectors(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["stream"])
    expected = [bytes.fromhex(message) for message in vector["messages"]]
    assert trio.run(frames_in_memory, data) == [*expected, vector["ends"]]
    if vector["ends"] is None:
        assert encode_frames(expected) == data


def test_a_stream_cut_at_any_byte_ends_clean_between_frames_only() -> None:
    messages = [b"frontier" * 3, b"x", b"entry" * 40]
    data = encode_frames(messages)
    whole = [0]
    for message in messages:
        whole.append(whole[-1] + 4 + len(message))

    async def journey() -> None:
        for cut in range(len(data) + 1):
            came = await frames_in_memory(data[:cut])
            complete = sum(end <= cut for end in whole[1:])
            assert came == [*messages[:complete], None if cut in whole else "cut"]

    run(journey)


def test_a_connection_that_breaks_is_a_cut_even_between_frames(pair: tuple[Home, Home]) -> None:
    anna, ben = pair

    async def on_peer(frames: FrameStream) -> None:
        await frames.receive()  # and what came behind it stays unread: closing resets the connection

    async def journey() -> None:
        async with anna.listening(on_peer=on_peer):
            frames = await ben.dial(anna)
            await frames.send([b"one"])
            await refused(frames)

            async def push_on() -> None:
                while True:
                    await frames.send([b"two" * 1000])

            with pytest.raises(RemoteProtocolError, match="cut"):
                await push_on()

    run(journey)


@pytest.mark.parametrize("length", [0, MAX_FRAME + 1, 1 << 31, (1 << 32) - 1])
def test_a_length_out_of_bounds_is_refused_before_anything_is_kept(length: int) -> None:
    decoder = FrameDecoder()
    decoder.feed(length.to_bytes(4, "big"))
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="size"):
            decoder.next_message()


@pytest.mark.parametrize("message", [b"", b"x" * (MAX_FRAME + 1)])
def test_we_never_send_what_a_peer_would_refuse(message: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encode_frames([b"good", message])


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.data())
def test_messages_survive_any_cutting_into_pieces(messages: list[bytes], data: st.DataObject) -> None:
    stream, decoder, came = encode_frames(messages), FrameDecoder(), list[bytes]()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        decoder.feed(stream[:size])
        stream = stream[size:]
        while (message := decoder.next_message()) is not None:
            came.append(message)
    assert came == messages
    assert decoder.between_frames


@given(st.binary(max_size=200))
def test_rubbish_gives_messages_or_a_typed_error(stream: bytes) -> None:
    decoder = FrameDecoder()
    decoder.feed(stream)
    came = 0
    with suppress(RemoteProtocolError):
        while (message := decoder.next_message()) is not None:
            came += 4 + len(message)
            assert 0 < len(message) <= MAX_FRAME
    assert came <= len(stream)


# Driving a session


class CountingSession:
    """A session small enough to read: sends what was saved, in batches of two, and says when it is silent."""

    def __init__(self, *, silent_after: int | None = None) -> None:
        self.outgoing: list[bytes] = []
        self.timed_out_at: list[int] = []
        self.silent_at = silent_after

    def receive_message(self, message: bytes, now: int) -> Sequence[Any]:
        if message == b"illegal":
            raise RemoteProtocolError("order")
        if message.startswith(b"question"):
            self.outgoing.append(b"answer")
        return [message]

    def messages_to_send(self, now: int) -> list[bytes]:
        batch, self.outgoing = self.outgoing[:2], self.outgoing[2:]
        return batch

    def next_timeout(self) -> int | None:
        return self.silent_at

    def handle_timeout(self, now: int) -> None:
        self.timed_out_at.append(now)
        self.silent_at = None
        self.outgoing.append(b"are you there")


def milliseconds() -> int:
    return int(trio.current_time() * 1000)


def test_a_saved_change_is_pushed_and_answered_over_both_sorts_of_stream(pair: tuple[Home, Home]) -> None:
    anna, ben = pair
    here, there = CountingSession(), CountingSession()
    seen_here, seen_there = list[bytes](), list[bytes]()
    wake_here, wake_there = Wakeup(), Wakeup()

    async def on_peer(frames: FrameStream) -> None:
        await drive(there, frames, wakeup=wake_there, now=milliseconds, on_event=seen_there.append)

    async def journey() -> None:
        async with anna.listening(on_peer=on_peer):
            frames = await ben.dial(anna)

            async def work() -> None:
                await drive(here, frames, wakeup=wake_here, now=milliseconds, on_event=seen_here.append)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(work)
                here.outgoing += [b"question 1", b"change 2", b"change 3", b"change 4", b"change 5"]
                wake_here.wake()
                await until(lambda: len(seen_there) == 5 and seen_here == [b"answer"])
                there.outgoing.append(b"change 6")
                wake_there.wake()
                await until(lambda: seen_here == [b"answer", b"change 6"])
                anna.connections.drop(ben.own.id)  # drive() here ends by itself: a clean end

    run(journey)
    assert seen_there == [b"question 1", b"change 2", b"change 3", b"change 4", b"change 5"]


def test_breaking_the_protocol_closes_the_connection() -> None:
    async def journey() -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(encode_frames([b"fine", b"illegal", b"never seen"]))
        seen = list[bytes]()
        with pytest.raises(RemoteProtocolError, match="order"):
            await drive(
                CountingSession(),
                FrameStream(ours),
                wakeup=Wakeup(),
                now=milliseconds,
                on_event=seen.append,
            )
        assert seen == [b"fine"]
        assert await theirs.receive_some() == b""

    run(journey)


def test_a_timeout_comes_when_it_is_due_and_what_it_wants_sent_is_sent(
    autojump: trio.testing.MockClock,
) -> None:
    async def journey() -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        start = milliseconds()
        session = CountingSession(silent_after=start + 200_000)

        async def work() -> None:
            await drive(
                session, FrameStream(ours), wakeup=Wakeup(), now=milliseconds, on_event=lambda _: None
            )

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            assert await theirs.receive_some() == encode_frames([b"are you there"])
            assert 200_000 <= session.timed_out_at[0] - start < 200_100
            nursery.cancel_scope.cancel()

    run(journey, clock=autojump)


def test_a_session_that_leaves_a_timeout_standing_is_a_bug_and_not_a_busy_loop() -> None:
    class Careless(CountingSession):
        def handle_timeout(self, now: int) -> None:
            pass

    async def journey() -> None:
        ours, _theirs = trio.testing.memory_stream_pair()
        with pytest.raises(LocalProtocolError):
            await drive(
                Careless(silent_after=0),
                FrameStream(ours),
                wakeup=Wakeup(),
                now=milliseconds,
                on_event=lambda _: None,
            )

    run(journey)


def test_the_word_for_a_refusal_goes_out_before_the_connection_is_closed() -> None:
    class Refusing(CountingSession):
        def receive_message(self, message: bytes, now: int) -> list[bytes]:
            self.outgoing.append(b"no, because")
            raise RemoteProtocolError("form")

    async def journey() -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(encode_frames([b"hello", b"never seen"]))
        with pytest.raises(RemoteProtocolError, match="form"):
            await drive(
                Refusing(), FrameStream(ours), wakeup=Wakeup(), now=milliseconds, on_event=lambda _: None
            )
        assert await theirs.receive_some() == encode_frames([b"no, because"])
        assert await theirs.receive_some() == b""

    run(journey)


def test_a_peer_that_takes_in_no_last_word_is_not_waited_for(autojump: trio.testing.MockClock) -> None:
    class Refusing(CountingSession):
        def receive_message(self, message: bytes, now: int) -> list[bytes]:
            self.outgoing.append(b"no, because")
            raise RemoteProtocolError("form")

    async def journey() -> None:
        ours, theirs = trio.testing.lockstep_stream_pair()  # sending waits until the other side reads
        stream = FrameStream(ours)

        async def work() -> None:
            with pytest.raises(RemoteProtocolError, match="form"):
                await drive(Refusing(), stream, wakeup=Wakeup(), now=milliseconds, on_event=lambda _: None)

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(work)
                await theirs.send_all(encode_frames([b"hello"]))

    run(journey, clock=autojump)


def test_a_newcomers_server_name_has_the_form_of_a_members(pair: tuple[Home, Home]) -> None:
    anna, _ = pair
    names = list[str]()

    async def journey() -> None:
        async with anna.listening(recognise=lambda name: bool(names.append(name))):  # type: ignore[func-returns-value]
            for _ in range(8):
                frames = await visit(anna.port, anna.throwaway)
                await frames.aclose()

    run(journey)
    assert len(set(names)) == 8
    member = rotating_id.sni_make(os.urandom(32), os.urandom(32), os.urandom(8))
    for name in names:
        assert len(name) == len(member)
        assert rotating_id._bytes_of(name) is not None, "told from a member's name by its form"

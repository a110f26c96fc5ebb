"""Listen, dial, and carry frames between two devices (docs/spec/transport.md). Decides nothing.

TLS 1.3 with pinned leaves, `GET /` with `Upgrade: kinring/1`, then frames: four bytes of length, big
endian, and that many bytes. Who is a member comes in from outside and is asked again at each accept.

Never ssl.create_default_context and never httpx's own context here: both write the TLS secrets to the
file that SSLKEYLOGFILE names, and trust what the system trusts.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
import socket
import ssl
import struct
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import h11
import httpcore
import httpx
import trio

from replication.errors import LocalProtocolError, Malformed, RemoteProtocolError
from replication.leaf import check_leaf

log = logging.getLogger(__name__)

PROTOCOL: Final = "kinring/1"
MAX_FRAME: Final = (1 << 20) + (64 << 10)
"""Bytes of one message, at most: 1 MiB and 64 KiB."""

MAX_HEAD: Final = 16 << 10
"""Bytes of a request's head, at most: 16 KiB."""

ENTRY_SECONDS: Final = 10.0
"""From accept to a whole request head, handshake included."""

SEND_SECONDS: Final = 30.0
"""For each 64 KiB that the other side must take in: one that stops reading is dropped, a slow one is not."""

MAX_STRANGERS: Final = 8
"""Connections that have shown neither a pinned leaf nor a good SNI, in all; the same again with one."""

MAX_PER_ADDRESS: Final = 2
MAX_PER_DEVICE: Final = 2

_READ: Final = 4 << 10
_SLICE: Final = 64 << 10
_LONGEST_SLEEP: Final = 60.0
_LAST_WORD_SECONDS: Final = 1.0


class Unreachable(Exception):
    """No connection came about. `kind` tells why:

    `address` no such host; `refused` nothing listens there, or no way to it; `timeout`; `pin` another
    device answered, or this one does not take us for a member that may see its leaf; `rejected` the right
    device closed without an answer: it does not know us, or is full; `protocol` no Kinring peer.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


# Frames


def encode_frames(messages: Sequence[bytes]) -> bytes:
    """Messages as they go over the stream. Raises LocalProtocolError if one is empty or too long."""
    if any(not 0 < len(message) <= MAX_FRAME for message in messages):
        raise LocalProtocolError("message size")
    return b"".join(struct.pack(">I", len(message)) + message for message in messages)


class FrameDecoder:
    """Bytes in whatever pieces they come, messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def between_frames(self) -> bool:
        return not self._buffer

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_message(self) -> bytes | None:
        """The next whole message, if it has come. Raises RemoteProtocolError `size`, now and ever after."""
        if len(self._buffer) < 4:
            return None
        length = int.from_bytes(self._buffer[:4], "big")
        # Before anything is waited for: the buffer never holds more than one frame and one read.
        if not 0 < length <= MAX_FRAME:
            raise RemoteProtocolError("size", f"frame of {length} bytes")
        if len(self._buffer) < 4 + length:
            return None
        message = bytes(memoryview(self._buffer)[4 : 4 + length])
        del self._buffer[: 4 + length]
        return message


class ByteStream(Protocol):
    """What frames need of a stream; every trio stream has it."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray: ...

    async def send_all(self, data: bytes) -> None: ...

    async def aclose(self) -> None: ...


@dataclass
class Traffic:
    """Bytes of frames, lengths included; TLS, TCP and IP come on top."""

    received: int = 0
    sent: int = 0


class FrameStream:
    """A connection after its upgrade. One task may receive while another sends.

    `peer` is the device id of a member, None for a stranger; the two hashes are SHA-256 of the leaf that
    either side showed in this very connection (None: showed none).
    """

    def __init__(
        self,
        stream: ByteStream,
        *,
        peer: bytes | None = None,
        leaf_sha256: bytes | None = None,
        own_leaf_sha256: bytes | None = None,
        leading: bytes = b"",
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self.peer = peer
        self.leaf_sha256 = leaf_sha256
        self.own_leaf_sha256 = own_leaf_sha256
        self.traffic = Traffic(received=len(leading))
        self._stream = stream
        self._send_seconds = send_seconds
        self._decoder = FrameDecoder()
        self._decoder.feed(leading)

    async def receive(self) -> bytes | None:
        """The next message; None when the other side ended the stream between two of them.

        TCP's end is not authenticated: a None says nothing about what the peer still meant to say.
        Raises RemoteProtocolError `size` or `cut`.
        """
        await trio.lowlevel.checkpoint()  # a buffer full of messages must not keep other tasks waiting
        while (message := self._decoder.next_message()) is None:
            try:
                data = await self._stream.receive_some(_SLICE)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise RemoteProtocolError("cut") from None
            if not data and self._decoder.between_frames:
                return None
            if not data:
                raise RemoteProtocolError("cut")
            self.traffic.received += len(data)
            self._decoder.feed(bytes(data))
        return message

    async def send(self, messages: Sequence[bytes]) -> None:
        """Send all in one write: small ones share a TLS record and a packet.

        Delivered only once an answer has come: TLS 1.3 lets a client write before it can hear that it
        was refused. Raises RemoteProtocolError `cut`, or `stalled` if the other side stopped reading,
        and LocalProtocolError for a message of a wrong size.
        """
        data = encode_frames(messages)
        for start in range(0, len(data), _SLICE):
            piece = data[start : start + _SLICE]
            with trio.move_on_after(self._send_seconds) as limit:
                try:
                    await self._stream.send_all(piece)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    raise RemoteProtocolError("cut") from None
            if limit.cancelled_caught:
                await self.aclose()  # half a record may be out: nothing can follow it
                raise RemoteProtocolError("stalled")
            self.traffic.sent += len(piece)

    async def aclose(self) -> None:
        """Close now: nothing is flushed, nothing waited for."""
        with trio.CancelScope() as scope:
            scope.cancel()
            await self._stream.aclose()


# TLS


@dataclass(frozen=True)
class Shown:
    """What a listener shows to one sort of client."""

    context: ssl.SSLContext
    leaf_sha256: bytes


@dataclass(frozen=True)
class Contexts:
    """To those that can name this device, and to everyone else."""

    members: Shown
    strangers: Shown


def shown_to_members(pem: Path, leaves: Iterable[bytes]) -> Shown:
    """This device's own leaf, trusting exactly the members' leaves (DER).

    Made anew whenever the members change: an anchor can't be taken out of a context.
    """
    context = _server_context(pem)
    _trust(context, leaves)
    return Shown(context, _leaf_sha256(pem))


def shown_to_strangers(pem: Path) -> Shown:
    """A throw-away leaf, trusting nobody. Serves as the base of every handshake."""
    return Shown(_server_context(pem), _leaf_sha256(pem))


def _server_context(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    # A resumed session skips the certificates: one from before a removal would let the removed in.
    context.num_tickets = 0
    # Optional, since verify_mode does not follow the switch to the members' context, and strangers
    # have no certificate. One that is shown must verify in either mode.
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(pem)
    return context


def _client_context(pem: Path | None, peer_leaf: bytes | None) -> ssl.SSLContext:
    """Trusts the one leaf; without one, anything, and the caller must compare the leaf's hash."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.check_hostname = False  # the SNI is a nonce, the pin is the leaf
    if peer_leaf is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, [peer_leaf])
    if pem is not None:
        context.load_cert_chain(pem)
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # A leaf is its own anchor, and of several anchors with one name each is tried.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _trust(context: ssl.SSLContext, leaves: Iterable[bytes]) -> None:
    for leaf in leaves:
        try:
            # Again here: one bad leaf must neither stop the listener nor be able to sign others.
            check_leaf(leaf)
        except Malformed as error:
            log.warning("a member's certificate is not trusted: %s", error.kind)
        else:
            context.load_verify_locations(cadata=leaf)


def _leaf_sha256(pem: Path) -> bytes:
    text = pem.read_text("ascii")
    leaf = ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE-----") :])
    return hashlib.sha256(leaf).digest()


def _switch(
    members: ssl.SSLContext,
    recognise: Callable[[str], bool],
    connection: ssl.SSLObject,
    name: str | None,
    _base: ssl.SSLContext,
) -> None:
    """The SNI callback: called without a name too, and twice after a HelloRetryRequest."""
    if connection.context is not members and name is not None and recognise(name):
        connection.context = members


# Listening


class Connections:
    """Who is connected now, so that a removed device's connections end at once; and what was refused."""

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self._scopes: dict[bytes, list[trio.CancelScope]] = {}

    @contextmanager
    def hold(self, device: bytes) -> Iterator[None]:
        """Run the block as one of the device's connections; of more than two the oldest ends."""
        scopes = self._scopes.setdefault(device, [])
        running = [scope for scope in scopes if not scope.cancel_called]
        if len(running) >= MAX_PER_DEVICE:
            running[0].cancel()  # a laptop that slept dials again while its old connection looks alive
        with trio.CancelScope() as scope:
            scopes.append(scope)
            try:
                yield
            finally:
                scopes.remove(scope)
                if not scopes:
                    self._scopes.pop(device, None)

    def drop(self, device: bytes) -> int:
        """End all connections of a device, held by listener or dialler; says how many."""
        scopes = self._scopes.get(device, [])
        for scope in scopes:
            scope.cancel()
        return len(scopes)

    def devices(self) -> set[bytes]:
        """Those that are connected."""
        return set(self._scopes)


@dataclass(eq=False)
class _Guest:
    address: str
    scope: trio.CancelScope
    recognised: Callable[[], bool]


class _Door:
    """Those that are not through the handshake and the request head yet.

    When it is full the longest waiting goes, not the newest: an honest handshake takes milliseconds,
    and a crowd that holds its connections open can't keep anyone out.
    """

    def __init__(self) -> None:
        self._guests: list[_Guest] = []

    @contextmanager
    def admit(self, address: str, recognised: Callable[[], bool]) -> Iterator[None]:
        """The block is cut short, and raises _Refusal, after ten seconds or when its place is needed."""
        self._make_room(address)
        with trio.move_on_after(ENTRY_SECONDS) as scope:
            guest = _Guest(address, scope, recognised)
            self._guests.append(guest)
            try:
                yield
            finally:
                self._guests.remove(guest)
        if scope.cancelled_caught:
            raise _Refusal("slow")

    def _make_room(self, address: str) -> None:
        guests = [guest for guest in self._guests if not guest.scope.cancel_called]
        strangers = [guest for guest in guests if not guest.recognised()]
        neighbours = [guest for guest in strangers if guest.address == address]
        limits = ((neighbours, MAX_PER_ADDRESS), (strangers, MAX_STRANGERS), (guests, 2 * MAX_STRANGERS))
        for crowd, limit in limits:
            if len(crowd) >= limit:
                crowd[0].scope.cancel()
                return


class _Refusal(Exception):
    """This connection goes no further; the text is a word for the counter."""


class _Listener:
    def __init__(
        self,
        contexts: Callable[[], Contexts],
        recognise: Callable[[str], bool],
        peer_of: Callable[[bytes], bytes | None],
        on_peer: Callable[[FrameStream], Awaitable[None]],
        on_stranger: Callable[[FrameStream], Awaitable[None]],
        connections: Connections,
    ) -> None:
        self._contexts = contexts
        self._recognise = recognise
        self._peer_of = peer_of
        self._on_peer = on_peer
        self._on_stranger = on_stranger
        self._connections = connections
        self._door = _Door()
        self._strangers: Counter[str] = Counter()

    async def handle(self, tcp: trio.SocketStream) -> None:
        """One accepted connection, to its end. Whatever goes wrong ends this one alone."""
        try:
            await self._handle(tcp)
        except (_Refusal, RemoteProtocolError) as error:
            word = error.kind if isinstance(error, RemoteProtocolError) else str(error)
            self._connections.refused[word] += 1
            log.info("closed a connection: %s", word)
        except Exception as error:  # noqa: BLE001
            # A fault of ours that a peer found must not end the node. No texts: they may quote data.
            where = traceback.extract_tb(error.__traceback__)[-1]
            log.error("a connection failed: %s at %s:%s", type(error).__name__, where.filename, where.lineno)

    async def _handle(self, tcp: trio.SocketStream) -> None:
        contexts = self._contexts()
        members, strangers = contexts.members, contexts.strangers
        strangers.context.sni_callback = partial(_switch, members.context, self._recognise)
        try:
            address = str(tcp.socket.getpeername()[0])
        except OSError:
            raise _Refusal("handshake") from None  # gone already
        stream = trio.SSLStream(tcp, strangers.context, server_side=True, https_compatible=True)
        with self._door.admit(address, lambda: stream.context is members.context):
            leaf = await _handshake(stream)
            shown = members if stream.context is members.context else strangers
            peer = self._pinned(leaf)
            # That OpenSSL took a leaf is not enough: a member's certificate that may sign would vouch for
            # any other. And who can name us but shows none is no newcomer: pairing has its own leaf.
            if peer is None and (leaf is not None or shown is members):
                raise _Refusal("pin")
            leading = await _answer_upgrade(stream, full=peer is None and self._full(address))
            frames = FrameStream(
                stream, peer=peer, leaf_sha256=leaf, own_leaf_sha256=shown.leaf_sha256, leading=leading
            )
        # Asked again: it may have been removed while it sent its head. From here on drop() reaches it,
        # and there is no checkpoint in between.
        if self._pinned(leaf) != peer:
            raise _Refusal("pin")
        if peer is None:
            await self._welcome_stranger(frames, address)
        else:
            with self._connections.hold(peer):
                await self._on_peer(frames)

    def _pinned(self, leaf_sha256: bytes | None) -> bytes | None:
        return None if leaf_sha256 is None else self._peer_of(leaf_sha256)

    def _full(self, address: str) -> bool:
        return self._strangers.total() >= MAX_STRANGERS or self._strangers[address] >= MAX_PER_ADDRESS

    async def _welcome_stranger(self, frames: FrameStream, address: str) -> None:
        self._strangers[address] += 1
        try:
            await self._on_stranger(frames)
        finally:
            self._strangers[address] -= 1
            self._strangers += Counter()  # forgets addresses at zero


async def serve(
    listeners: Sequence[trio.SocketListener],
    *,
    contexts: Callable[[], Contexts],
    recognise: Callable[[str], bool],
    peer_of: Callable[[bytes], bytes | None],
    on_peer: Callable[[FrameStream], Awaitable[None]],
    on_stranger: Callable[[FrameStream], Awaitable[None]],
    connections: Connections,
) -> None:
    """Accept connections until cancelled; the listeners are closed then.

    `contexts` is asked at each accept. `recognise` is told the SNI and says whether the client can name
    this device (each nonce counts once: the caller's affair). `peer_of` gives the device whose leaf has
    that SHA-256. `on_peer` and `on_stranger` get the upgraded connection and own it until they return;
    `on_stranger` has to limit how long a stranger may stay (eight at once, two from one address).
    """
    listener = _Listener(contexts, recognise, peer_of, on_peer, on_stranger, connections)
    await trio.serve_listeners(listener.handle, list(listeners))


async def _handshake(stream: trio.SSLStream[trio.SocketStream]) -> bytes | None:
    """SHA-256 of the leaf that the client proved to have; None if it showed none."""
    try:
        await stream.do_handshake()
    except (trio.BrokenResourceError, ssl.SSLError):
        raise _Refusal("handshake") from None
    certificate: bytes | None = stream.getpeercert(True)
    return None if certificate is None else hashlib.sha256(certificate).digest()


async def _answer_upgrade(stream: trio.SSLStream[trio.SocketStream], *, full: bool) -> bytes:
    """Read the request's head and answer 101. Returns what came right behind the head."""
    # h11 looks at the size of what is incomplete: the last read comes on top.
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD - _READ)
    try:
        request = await _read_head(stream, http)
        status = 503 if full else _status(request)
        if status != 101:
            await stream.send_all(_refusal_bytes(http, status))
            raise _Refusal("full" if full else "request")
        await stream.send_all(http.send(h11.InformationalResponse(status_code=101, headers=_UPGRADE)) or b"")
    except h11.RemoteProtocolError as error:
        if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await stream.send_all(_refusal_bytes(http, error.error_status_hint))
        raise _Refusal("request") from None
    except trio.BrokenResourceError:
        raise _Refusal("request") from None
    return http.trailing_data[0]


async def _read_head(stream: trio.SSLStream[trio.SocketStream], http: h11.Connection) -> h11.Request:
    request: h11.Request | None = None
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            data = await stream.receive_some(_READ)
            if not data:
                raise _Refusal("request")
            http.receive_data(bytes(data))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return request
        else:  # a body
            raise h11.RemoteProtocolError("body", error_status_hint=400)


_UPGRADE: Final = [("Connection", "Upgrade"), ("Upgrade", PROTOCOL)]


def _status(request: h11.Request) -> int:
    if request.method != b"GET" or request.target != b"/" or request.http_version != b"1.1":
        return 400
    headers: dict[bytes, bytes] = dict(request.headers)
    wished = headers.get(b"connection", b"").lower(), headers.get(b"upgrade", b"")
    return 101 if wished == (b"upgrade", PROTOCOL.encode()) else 426


def _refusal_bytes(http: h11.Connection, status: int) -> bytes:
    headers = [("Connection", "close"), ("Content-Length", "0")]
    if status == 426:
        headers = [("Connection", "close, Upgrade"), ("Upgrade", PROTOCOL), ("Content-Length", "0")]
    head = http.send(h11.Response(status_code=status, headers=headers)) or b""
    return head + (http.send(h11.EndOfMessage()) or b"")


# Dialling


async def dial(
    host: str,
    port: int,
    *,
    pem: Path,
    peer: bytes,
    peer_leaf: bytes,
    sni: str,
    seconds: float = ENTRY_SECONDS,
) -> FrameStream:
    """Connect to a member as a member. `peer` is its device id, `peer_leaf` its pinned leaf (DER), `sni` the
    one-time name by which it knows that we may see that leaf. `host` may be a scoped IPv6 address.

    Raises Unreachable.
    """
    pin = hashlib.sha256(peer_leaf).digest()
    stream, shown = await _upgrade(_client_context(pem, peer_leaf), host, port, sni, seconds)
    if shown != pin:
        await stream.aclose()
        raise Unreachable("pin")
    return FrameStream(stream, peer=peer, leaf_sha256=pin, own_leaf_sha256=_leaf_sha256(pem))


async def dial_stranger(
    host: str, port: int, *, leaf_sha256: bytes, seconds: float = ENTRY_SECONDS
) -> FrameStream:
    """Connect, without showing who we are, to the leaf with that SHA-256 (an invitation's).

    Raises Unreachable.
    """
    # A name of the same form as a member's (docs/spec/rotating-id.md), made of noise: an onlooker cannot tell
    # a newcomer from a member.
    sni = base64.b32encode(secrets.token_bytes(16)).decode("ascii").rstrip("=").lower()
    stream, shown = await _upgrade(_client_context(None, None), host, port, sni, seconds)
    if shown != leaf_sha256:
        await stream.aclose()
        raise Unreachable("pin")
    return FrameStream(stream, leaf_sha256=shown)


async def _upgrade(
    context: ssl.SSLContext, host: str, port: int, sni: str, seconds: float
) -> tuple[_Dialled, bytes]:
    """The upgraded stream and SHA-256 of the leaf at its other end."""
    if not 0 < port < 1 << 16:  # the resolver would take it modulo 65,536
        raise Unreachable("address")
    # A request built by hand has no User-Agent and offers no compression.
    url = f"https://[{host}]:{port}/" if ":" in host else f"https://{host}:{port}/"
    headers = {"Host": "kinring", "Connection": "Upgrade", "Upgrade": PROTOCOL}
    # trust_env: no proxy, no netrc, no key log. httpx's timeout holds for each read alone: see below.
    client = httpx.AsyncClient(verify=context, trust_env=False, follow_redirects=False, timeout=seconds)
    async with _closed_on_failure(client):
        try:
            request = httpx.Request("GET", url, headers=headers, extensions={"sni_hostname": sni})
            with trio.fail_after(seconds):
                response = await client.send(request, stream=True)
        except (httpx.InvalidURL, UnicodeError):
            raise Unreachable("address") from None
        except trio.TooSlowError:
            raise Unreachable("timeout") from None
        except httpx.TransportError as error:
            raise Unreachable(_kind(error)) from None
        # The head alone has been read so far. No answer has a body, so none is ever read or unpacked.
        switched = response.status_code == 101 and response.headers.get("upgrade") == PROTOCOL
        if response.status_code == 503:
            raise Unreachable("rejected")
        if not switched or "content-encoding" in response.headers:
            raise Unreachable("protocol")
        stream = response.extensions["network_stream"]
        certificate = stream.get_extra_info("ssl_object").getpeercert(True)
        return _Dialled(stream, client), hashlib.sha256(certificate).digest()


@asynccontextmanager
async def _closed_on_failure(client: httpx.AsyncClient) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        with trio.CancelScope(shield=True):  # closing waits for nothing: see SSLStream, https_compatible
            await client.aclose()
        raise


class _Dialled:
    """httpx's upgraded stream, with a trio stream's verbs and errors. Keeps its client alive."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, client: httpx.AsyncClient) -> None:
        self._stream = stream
        self._client = client

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return await self._stream.read(max_bytes or _SLICE)
        except httpcore.NetworkError:
            raise trio.BrokenResourceError from None

    async def send_all(self, data: bytes) -> None:
        try:
            await self._stream.write(data)
        except httpcore.NetworkError:
            raise trio.BrokenResourceError from None

    async def aclose(self) -> None:
        with trio.CancelScope(shield=True):
            await self._stream.aclose()
            await self._client.aclose()


def _kind(error: httpx.TransportError) -> str:
    """What is behind httpx's error: its own text is often empty, the cause lies up to three levels down."""
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "pin"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "address"
    tls = [cause for cause in causes if isinstance(cause, ssl.SSLError)]
    if isinstance(error, httpx.ConnectError) and tls:
        return "rejected" if isinstance(tls[0], ssl.SSLEOFError) else "protocol"
    if isinstance(error, httpx.ConnectError) and any(isinstance(cause, OSError) for cause in causes):
        return "refused"
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return "protocol"
    if isinstance(error, httpx.RemoteProtocolError):
        # Closed without an answer, or an answer that is no HTTP.
        return "rejected" if "disconnected" in str(error) else "protocol"
    return "rejected"  # the handshake was good, so it was the right device


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


# Driving a session


class Session(Protocol):
    """What drive() runs: SyncSession and PairingSession. Times are milliseconds of one clock."""

    def receive_message(self, message: bytes, now: int) -> Iterable[Any]: ...

    def messages_to_send(self, now: int) -> Sequence[bytes]: ...

    def next_timeout(self) -> int | None: ...

    def handle_timeout(self, now: int) -> None: ...


class Wakeup:
    """Tells a running drive() that its session may have something to send. Not for other threads."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def wake(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event = trio.Event()


async def drive(
    session: Session,
    frames: FrameStream,
    *,
    wakeup: Wakeup,
    now: Callable[[], int],
    on_event: Callable[[Any], None],
) -> None:
    """Run a session over a stream until either ends, then close the stream.

    Returns when the peer ended it. Raises what the session or the stream raised, above all
    RemoteProtocolError; what the session still has to say of a message that it refused goes out before, as
    far as the peer takes it in within a second. Receiving never waits for sending (two peers that both did
    would wait for ever); what waits to be sent is bounded, since the session is asked for more only when all
    before is out.
    """
    failures: list[Exception] = []

    async def until_end(part: Callable[[], Awaitable[None]]) -> None:
        try:
            await part()
        except Exception as error:  # noqa: BLE001 - raised below, so that it comes without a group around it
            failures.append(error)
        nursery.cancel_scope.cancel()

    async def receive() -> None:
        while (message := await frames.receive()) is not None:
            try:
                events = session.receive_message(message, now())
            except RemoteProtocolError as error:
                failures.append(error)
                nursery.cancel_scope.deadline = trio.current_time() + _LAST_WORD_SECONDS
                wakeup.wake()
                await trio.sleep_forever()  # the sending half ends it: never a second frame inside a first
            for event in events:
                on_event(event)
            wakeup.wake()

    async def send() -> None:
        while True:
            while messages := session.messages_to_send(now()):
                await frames.send(messages)
            if failures:
                return
            await _wait(session, wakeup, now)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_end, receive)
            nursery.start_soon(until_end, send)
    finally:
        await frames.aclose()
    if failures:
        raise failures[0]


async def _wait(session: Session, wakeup: Wakeup, now: Callable[[], int]) -> None:
    """Until the session has something to do."""
    due = session.next_timeout()
    # Not longer at once: `now` may be a clock that goes on while the machine sleeps, or is set.
    seconds = _LONGEST_SLEEP if due is None else min(max(due - now(), 0) / 1000, _LONGEST_SLEEP)
    with trio.move_on_after(seconds):
        await wakeup.wait()
    due, time = session.next_timeout(), now()
    if due is None or due > time:
        return
    session.handle_timeout(time)
    if session.next_timeout() == due:
        raise LocalProtocolError("a timeout was not handled")  # or this would spin

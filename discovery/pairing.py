"""How a device joins: a commitment, keys under a one-time secret, six digits that a person types, an offer.

The showing side (E) is in the family, the scanning side (N) is not. The bytes, and why each is there:
docs/spec/pairing.md; the states: docs/machines/pairing.md. `PairingSession` runs in the node and only
carries; what decides runs in the unlocked process: `Inviter` on E, `open_offer` on N. Nothing of the
family crosses before the digits were typed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, Final

import nacl.bindings
import nacl.exceptions
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.signing import VerifyKey

from discovery.invitation import Invitation, OpenInvitation
from replication.encoding import decode, encode
from replication.errors import LocalProtocolError, Malformed, Refused, RemoteProtocolError
from replication.leaf import MAX_LEAF, check_leaf

LABEL_COMMITMENT: Final = b"kinring/1/pairing-commitment"
LABEL_PROOF: Final = b"kinring/1/pairing-proof"
LABEL_KEYS_MAC: Final = b"kinring/1/pairing-keys-mac"
LABEL_TRANSCRIPT: Final = b"kinring/1/pairing-transcript"
LABEL_DIGITS: Final = b"kinring/1/pairing-digits"
LABEL_OFFER_MAC: Final = b"kinring/1/pairing-offer-mac"

VERSION: Final = 1
NONCE_BYTES: Final = 32
MAX_NAME: Final = 64
"""Characters of a device's name."""
MAX_OPAQUE: Final = 64 * 1024
"""Bytes of an offer, an answer or a result."""
MAX_MESSAGE: Final = MAX_OPAQUE + 64
LINGER_MS: Final = 2_000
"""How long a session that is over waits for the last word to go out and the peer to close."""


class Side(Enum):
    SHOWING = "showing"
    SCANNING = "scanning"


class Message(IntEnum):
    ABORT = 0
    COMMIT = 1
    KEYS = 2
    REVEAL = 3
    OFFER = 4
    ANSWER = 5
    COMPLETE = 6


class State(Enum):
    """Named by what is known by then; the same on both sides."""

    SHOWN = "the invitation was scanned"
    COMMITTED = "the showing side is bound to its nonce"
    KNOWS_KEYS = "the showing side knows the new device's keys, the nonce is still hidden"
    DIGITS_SHOWN = "both know the digits, a person types them"
    CONFIRMED = "the digits were right, the new device has the offer, its person gives a master password"
    READY = "the new device has stored all it needs to open the family's data"
    DONE = "the family's log admits the new device"
    SCARED = "something was wrong: over, on both sides"


@dataclass(frozen=True)
class Step:
    """In `state` only `message` may come next, from `sender`; after it both are in `then`.

    The waits are how long each side stays in `state`, in milliseconds. The side that waits for the other's
    person waits a little longer than that person has, so that it is told the reason.
    """

    state: State
    sender: Side
    message: Message
    then: State
    showing_waits: int
    scanning_waits: int


TABLE: Final = (
    Step(State.SHOWN, Side.SHOWING, Message.COMMIT, State.COMMITTED, 30_000, 30_000),
    Step(State.COMMITTED, Side.SCANNING, Message.KEYS, State.KNOWS_KEYS, 30_000, 30_000),
    Step(State.KNOWS_KEYS, Side.SHOWING, Message.REVEAL, State.DIGITS_SHOWN, 30_000, 60_000),
    Step(State.DIGITS_SHOWN, Side.SHOWING, Message.OFFER, State.CONFIRMED, 120_000, 150_000),
    Step(State.CONFIRMED, Side.SCANNING, Message.ANSWER, State.READY, 630_000, 600_000),
    Step(State.READY, Side.SHOWING, Message.COMPLETE, State.DONE, 30_000, 60_000),
)
_STEPS: Final = {step.state: step for step in TABLE}


@dataclass(frozen=True)
class NewDevice:
    """What a device says of itself. `device` is its id and Ed25519 key, `box_key` its lasting X25519 key.

    `offer_key` is an X25519 key made for this pairing alone, whose private half stays in the process of the
    person who joins: to the lasting one the discovery key alone is ever sealed, since it lies unprotected.
    `leaf` is the DER of its TLS certificate.
    """

    device: bytes
    box_key: bytes
    offer_key: bytes
    leaf: bytes
    name: str
    blind: bool


@dataclass(frozen=True)
class Transcript:
    """The three messages that both sides have seen when the digits are drawn, as they were on the wire."""

    commit: bytes
    keys: bytes
    reveal: bytes

    def hash(self) -> bytes:
        return _hash(LABEL_TRANSCRIPT, encode([self.commit, self.keys, self.reveal]))


# What a session tells its node.


@dataclass(frozen=True)
class Keys:
    """Showing: a new device knocked and knows the secret. Its unlocked process answers by `reveal`."""

    commit: bytes
    keys: bytes
    device: NewDevice


@dataclass(frozen=True)
class Digits:
    """Scanning: show these; the person types them into the other device."""

    digits: str
    transcript: Transcript


@dataclass(frozen=True)
class Offer:
    """Scanning: for `open_offer`. The person's process answers by `ready`."""

    offer: bytes


@dataclass(frozen=True)
class Answer:
    """Showing: for the unlocked process, which admits the device and answers by `complete`."""

    answer: bytes


@dataclass(frozen=True)
class Complete:
    """Scanning: admitted."""

    result: bytes


@dataclass(frozen=True)
class Over:
    """The other side gave up; `kind` is its word for why."""

    kind: str


Event = Keys | Digits | Offer | Answer | Complete | Over


class PairingSession:
    """One connection's pairing, without any input or output of its own.

    `now` is in milliseconds of a clock that never goes back. `receive_message` raises RemoteProtocolError and
    it is over, and `messages_to_send` holds the word for the peer; what is called out of turn raises
    LocalProtocolError and changes nothing.
    """

    def __init__(self, side: Side, invitation: Invitation, now: int) -> None:
        self.state = State.SHOWN
        self.ended: str | None = None
        """Why it is over: `done`, the kind that was raised, `timeout`, or the word of who refused."""
        self._side = side
        self._invitation = invitation
        self._outbox: list[bytes] = []
        self._passed: list[bytes] = []
        self._until = now + self._wait(State.SHOWN)

    @property
    def over(self) -> bool:
        """Nothing is expected any more; what is in `messages_to_send` still goes out."""
        return self.state in (State.DONE, State.SCARED)

    def receive_message(self, message: bytes, now: int) -> list[Event]:
        """Takes the one message that may come now.

        Raises RemoteProtocolError with kind `order`, `version`, `form` or one of encoding.decode for what is
        no message now; `mac`, `proof`, `leaf`, `key`, `name`, `used`, `expired`, `commitment` for what does
        not hold.
        """
        if self.over:
            raise RemoteProtocolError("order")
        try:
            kind, fields = _parse(message)
            if kind is Message.ABORT:
                self._end(State.SCARED, fields[0], now)
                return [Over(fields[0])]
            step = _STEPS[self.state]
            if step.message is not kind or step.sender is self._side:
                raise RemoteProtocolError("order")
            self._pass(step, message, now)
            return self._received(kind, fields, now)
        except (Refused, RemoteProtocolError) as error:
            self._abort(error.kind, now)
            raise RemoteProtocolError(error.kind) from None

    def messages_to_send(self, now: int) -> list[bytes]:
        """What the peer must be sent, in order; each once."""
        messages, self._outbox = self._outbox, []
        return messages

    def next_timeout(self) -> int | None:
        """When `handle_timeout` is due."""
        return self._until

    def handle_timeout(self, now: int) -> None:
        """Ends the session if its time is up; the peer is told.

        Raises RemoteProtocolError with `ended` as its kind two seconds after the end, `done` or not, so that
        a driver closes what the peer keeps open.
        """
        if now < self._until:
            return
        if self.ended is not None:
            raise RemoteProtocolError(self.ended)
        self._abort("timeout", now)

    def refuse(self, reason: str, now: int) -> None:
        """The person, or the process that decides, says no. `reason` is a word for the peer: [a-z-]{1,32}."""
        if not _is_word(reason):
            raise LocalProtocolError("a reason is one word")
        if not self.over:
            self._abort(reason, now)

    def _received(self, kind: Message, fields: list[Any], now: int) -> list[Event]:
        raise NotImplementedError

    def _send(self, message: bytes, now: int) -> None:
        step = _STEPS.get(self.state)
        kind, _ = _parse(message)
        if step is None or step.sender is not self._side or step.message is not kind:
            raise LocalProtocolError(f"{kind.name} in state {self.state.name}")
        self._outbox.append(message)
        self._pass(step, message, now)

    def _pass(self, step: Step, message: bytes, now: int) -> None:
        self._passed.append(message)
        if step.then is State.DONE:
            self._end(State.DONE, "done", now)
        else:
            self.state = step.then
            self._until = now + self._wait(step.then)

    def _wait(self, state: State) -> int:
        step = _STEPS[state]
        return step.showing_waits if self._side is Side.SHOWING else step.scanning_waits

    def _abort(self, kind: str, now: int) -> None:
        self._outbox = [_encoded(Message.ABORT, kind)]
        self._end(State.SCARED, kind, now)

    def _end(self, state: State, why: str, now: int) -> None:
        self.state, self.ended = state, why
        self._until = now + LINGER_MS


class ShowingSession(PairingSession):
    """E's node, one for each connection: many may knock, one takes the invitation.

    `commit` is `Inviter.commit`.
    """

    def __init__(self, shown: OpenInvitation, commit: bytes, now: int) -> None:
        super().__init__(Side.SHOWING, shown.invitation, now)
        self._shown = shown
        self._send(commit, now)

    def reveal(self, message: bytes, now: int) -> None:
        """Sends what `Inviter.reveal` gave."""
        self._send(message, now)

    def confirm(self, offer: bytes, now: int) -> None:
        """The digits were right: sends what `Inviter.seal` gave."""
        self._send(_opaque(Message.OFFER, offer), now)

    def complete(self, result: bytes, now: int) -> None:
        """The new device is admitted; up to 64 KiB for it to read, such as the entry's hash."""
        self._send(_opaque(Message.COMPLETE, result), now)

    def _received(self, kind: Message, fields: list[Any], now: int) -> list[Event]:
        if kind is Message.ANSWER:
            return [Answer(fields[0])]
        commit, keys = self._passed
        device = check_keys(self._invitation, commit, keys)
        # Only after the MAC: a stranger who finds the port must not be able to use the invitation up.
        self._shown.take(now)
        return [Keys(commit, keys, device)]


class ScanningSession(PairingSession):
    """N's node. `sign` signs with the device's key; `nonce` is 32 fresh random bytes.

    Raises Refused `key`, `leaf` or `name` if `device` could not be admitted anyway.
    """

    def __init__(
        self,
        invitation: Invitation,
        device: NewDevice,
        sign: Callable[[bytes], bytes],
        nonce: bytes,
        now: int,
    ) -> None:
        super().__init__(Side.SCANNING, invitation, now)
        _check_device(device)
        self._device = device
        self._sign = sign
        self._nonce = nonce

    def ready(self, answer: bytes, now: int) -> None:
        """All is stored here: up to 64 KiB for the other side's unlocked process; empty from a blind peer."""
        self._send(_opaque(Message.ANSWER, answer), now)

    def _received(self, kind: Message, fields: list[Any], now: int) -> list[Event]:
        if kind is Message.OFFER:
            return [Offer(fields[0])]
        if kind is Message.COMPLETE:
            return [Complete(fields[0])]
        if kind is Message.REVEAL:
            commit, keys, reveal = self._passed
            transcript = Transcript(commit, keys, reveal)
            check_transcript(self._invitation, transcript)
            return [Digits(digits(transcript), transcript)]
        commit = self._passed[0]
        self._send(keys_message(self._invitation, commit, self._device, self._sign, self._nonce), now)
        return []


class Inviter:
    """E's unlocked process: it alone draws the nonce, sees the digits typed and seals. One pairing, one try.

    The nonce stays here until the new device's keys are here. Did the node hold it, a node taken over by a
    stranger could search in a second for keys of its own that give the digits the person reads.
    """

    def __init__(self, invitation: Invitation, nonce: bytes) -> None:
        if len(nonce) != NONCE_BYTES:
            raise ValueError("a nonce has 32 bytes")
        self._invitation = invitation
        self._nonce = nonce
        self.commit: Final = _encoded(Message.COMMIT, _commitment(invitation, nonce))
        self.device: NewDevice | None = None
        self._transcript: Transcript | None = None
        self._tried = False
        self._confirmed = False

    def reveal(self, keys: bytes) -> bytes:
        """Fixes the new device's keys for good and gives the message that may then be sent. Once.

        Raises Refused as `check_keys`; LocalProtocolError at the second call.
        """
        if self._transcript is not None:
            raise LocalProtocolError("revealed already")
        self.device = check_keys(self._invitation, self.commit, keys)
        self._transcript = Transcript(self.commit, keys, _encoded(Message.REVEAL, self._nonce))
        return self._transcript.reveal

    def confirm(self, typed: str) -> None:
        """Compares what the person typed (spaces and dashes are forgiven) with the digits. One try.

        Raises Refused `digits` when they differ, and whenever it is called again.
        """
        if self._transcript is None:
            raise LocalProtocolError("no keys yet")
        tried, self._tried = self._tried, True
        bare = typed.translate(dict.fromkeys(map(ord, " -\t\r\n\u00a0")))
        if tried or not hmac.compare_digest(
            bare.encode("utf-8", "replace"), digits(self._transcript).encode()
        ):
            self._confirmed = False
            raise Refused("digits")
        self._confirmed = True

    def seal(self, payload: bytes) -> bytes:
        """The offer that holds `payload`, for `ShowingSession.confirm`; only after the digits were right."""
        if not self._confirmed or self._transcript is None or self.device is None:
            raise LocalProtocolError("the digits come first")
        return seal_offer(payload, self._invitation, self._transcript, self.device.offer_key)


def keys_message(
    invitation: Invitation, commit: bytes, device: NewDevice, sign: Callable[[bytes], bytes], nonce: bytes
) -> bytes:
    """N's only message before the digits: its keys, proof that it has the first, and that it was invited."""
    fields: list[Any] = [
        device.device,
        device.box_key,
        device.offer_key,
        device.leaf,
        device.name,
        device.blind,
        nonce,
    ]
    fields.append(sign(_proven(LABEL_PROOF, invitation, commit, fields)))
    fields.append(_mac(invitation, LABEL_KEYS_MAC, _proven(LABEL_KEYS_MAC, invitation, commit, fields)))
    return _encoded(Message.KEYS, *fields)


def check_keys(invitation: Invitation, commit: bytes, keys: bytes) -> NewDevice:
    """The new device, if it knows the secret, has its signing key, and what it names can be used.

    Raises Refused `mac`, `proof`, `leaf`, `key`, `name`, or as `_parse` (`form`, ...). Nothing but the MAC is
    looked at before the MAC is right.
    """
    kind, fields = _parse(keys)
    if kind is not Message.KEYS:
        raise Malformed("form")
    *proven, mac = fields
    if not hmac.compare_digest(
        mac, _mac(invitation, LABEL_KEYS_MAC, _proven(LABEL_KEYS_MAC, invitation, commit, proven))
    ):
        raise Refused("mac")
    *said, signature = proven
    device = NewDevice(*said[:-1])
    try:
        VerifyKey(device.device).verify(_proven(LABEL_PROOF, invitation, commit, said), signature)
    except (nacl.exceptions.CryptoError, ValueError):
        raise Refused("proof") from None
    _check_device(device)
    return device


def check_transcript(invitation: Invitation, transcript: Transcript) -> NewDevice:
    """All that the three messages claim, recomputed. Raises Refused as `check_keys`, and `commitment`."""
    committed, revealed = _parse(transcript.commit), _parse(transcript.reveal)
    if committed[0] is not Message.COMMIT or revealed[0] is not Message.REVEAL:
        raise Malformed("form")
    device = check_keys(invitation, transcript.commit, transcript.keys)
    if not hmac.compare_digest(committed[1][0], _commitment(invitation, revealed[1][0])):
        raise Refused("commitment")
    return device


def digits(transcript: Transcript) -> str:
    """Six decimal digits. 64 bits modulo 10^6 favour none by more than 1 in 10^13: a guess gains nothing."""
    number = int.from_bytes(_hash(LABEL_DIGITS, transcript.hash())[:8], "big")
    return f"{number % 1_000_000:06d}"


def seal_offer(payload: bytes, invitation: Invitation, transcript: Transcript, offer_key: bytes) -> bytes:
    """`payload` (up to 60 KiB) for the holder of `offer_key`, for this transcript, from who knows the secret.

    A sealed box says nothing of its sender: hence the MAC. libsodium draws the box's one-time key by itself.
    """
    if len(payload) > MAX_OPAQUE - 4096:
        raise LocalProtocolError("the offer is too long")
    sealed = SealedBox(PublicKey(offer_key)).encrypt(encode([transcript.hash(), payload]))
    return encode([VERSION, sealed, _mac(invitation, LABEL_OFFER_MAC, transcript.hash() + sealed)])


def open_offer(offer: bytes, invitation: Invitation, transcript: Transcript, offer_key: PrivateKey) -> bytes:
    """The payload. Raises Refused `form` (or as encoding.decode), `mac`, `seal`, `transcript`."""
    sealed, mac = _fields(_decoded(offer), ((bytes, 1, MAX_OPAQUE), (bytes, 32, 32)), skip=1)
    if not hmac.compare_digest(mac, _mac(invitation, LABEL_OFFER_MAC, transcript.hash() + sealed)):
        raise Refused("mac")
    try:
        opened = SealedBox(offer_key).decrypt(sealed)
    except (nacl.exceptions.CryptoError, ValueError):
        raise Refused("seal") from None
    bound, payload = _fields(
        decode(opened, limit=MAX_OPAQUE), ((bytes, 32, 32), (bytes, 0, MAX_OPAQUE)), skip=0
    )
    if not hmac.compare_digest(bound, transcript.hash()):
        raise Refused("transcript")
    return bytes(payload)


def check_name(name: str) -> None:
    """1 to 64 characters that print as themselves: no control or direction marks. Raises Malformed `name`."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise Malformed("name")


def _commitment(invitation: Invitation, nonce: bytes) -> bytes:
    return _hash(LABEL_COMMITMENT, nonce + invitation.hash())


def _proven(label: bytes, invitation: Invitation, commit: bytes, fields: list[Any]) -> bytes:
    return label + b"\0" + encode([invitation.hash(), commit, fields])


def _mac(invitation: Invitation, label: bytes, data: bytes) -> bytes:
    # The invitation's hash covers the throw-away leaf: a MAC made for another certificate is another MAC.
    key = HKDF(algorithm=SHA256(), length=32, salt=invitation.hash(), info=label).derive(invitation.secret)
    return hmac.digest(key, data, "sha256")


def _hash(label: bytes, data: bytes) -> bytes:
    return hashlib.sha256(label + b"\0" + data).digest()


def _check_device(device: NewDevice) -> None:
    _check_box_key(device.box_key)
    _check_box_key(device.offer_key)
    check_name(device.name)
    try:
        check_leaf(device.leaf)
    except Malformed as error:
        raise Refused("leaf", error.kind) from None


def _check_box_key(key: bytes) -> None:
    """Refuses the few points under which every secret is the same (RFC 7748 §6.1)."""
    try:
        nacl.bindings.crypto_scalarmult(b"\x40" * 32, key)
    except (nacl.exceptions.CryptoError, RuntimeError):
        raise Refused("key") from None


_Field = tuple[type[bytes] | type[str] | type[bool], int, int]
"""Type, least and most length."""

_SHAPES: Final[dict[Message, tuple[_Field, ...]]] = {
    Message.ABORT: ((str, 1, 32),),
    Message.COMMIT: ((bytes, 32, 32),),
    Message.KEYS: (
        (bytes, 32, 32),
        (bytes, 32, 32),
        (bytes, 32, 32),
        (bytes, 1, MAX_LEAF),
        (str, 1, MAX_NAME),
        (bool, 0, 1),
        (bytes, NONCE_BYTES, NONCE_BYTES),
        (bytes, 64, 64),
        (bytes, 32, 32),
    ),
    Message.REVEAL: ((bytes, NONCE_BYTES, NONCE_BYTES),),
    Message.OFFER: ((bytes, 1, MAX_OPAQUE),),
    Message.ANSWER: ((bytes, 0, MAX_OPAQUE),),
    Message.COMPLETE: ((bytes, 0, MAX_OPAQUE),),
}


def _parse(message: bytes) -> tuple[Message, list[Any]]:
    """Raises Malformed: `version`, `form`, or as encoding.decode."""
    value = _decoded(message)
    if len(value) < 2 or type(value[1]) is not int or value[1] not in _SHAPES:
        raise Malformed("form")
    kind = Message(value[1])
    fields = _fields(value, _SHAPES[kind], skip=2)
    if kind is Message.ABORT and not _is_word(fields[0]):
        raise Malformed("form")
    return kind, fields


def _decoded(data: bytes) -> list[Any]:
    value = decode(data, limit=MAX_MESSAGE)
    if type(value) is not list or not value or type(value[0]) is not int:
        raise Malformed("form")
    if value[0] != VERSION:
        raise Malformed("version")
    return value


def _fields(value: Any, shape: tuple[_Field, ...], *, skip: int) -> list[Any]:
    if type(value) is not list or len(value) != skip + len(shape):
        raise Malformed("form")
    for field, (kind, least, most) in zip(value[skip:], shape, strict=True):
        if type(field) is not kind or not least <= _length(field) <= most:
            raise Malformed("form")
    return value[skip:]


def _length(field: bytes | str | bool) -> int:
    return 1 if isinstance(field, bool) else len(field)


def _opaque(kind: Message, data: bytes) -> bytes:
    if len(data) > MAX_OPAQUE:
        raise LocalProtocolError(f"{kind.name} is too long")
    return _encoded(kind, data)


def _encoded(kind: Message, *fields: Any) -> bytes:
    return encode([VERSION, int(kind), *fields])


def _is_word(text: str) -> bool:
    return 1 <= len(text) <= 32 and all(c in "abcdefghijklmnopqrstuvwxyz-" for c in text)

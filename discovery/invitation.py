"""The invitation that one device shows and another scans, or has typed or pasted into it.

It says where to knock, which throw-away certificate must answer there, and a secret that works once.
The bytes: docs/spec/invitation.md. Drawing it as a QR code is for whoever has a screen.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Any, Final

from replication.encoding import decode as decode_cbor
from replication.encoding import encode as encode_cbor
from replication.errors import Malformed, Refused

LABEL_CHECKSUM: Final = b"kinring/1/invitation-checksum"
LABEL_HASH: Final = b"kinring/1/invitation"

PREFIX: Final = "KINRING:"
VERSION: Final = "1"
LEAF_BYTES: Final = 32
SECRET_BYTES: Final = 16
CHECKSUM_BYTES: Final = 4
MAX_ADDRESSES: Final = 8
MAX_TEXT: Final = 2048
"""Characters that are looked at, white space and all: the longest invitation has under 400 without."""
LIFETIME_MS: Final = 120_000

# Crockford's base 32: digits and capitals only (so that a QR code can use its alphanumeric mode), and
# no letter that is read as a digit.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUE: Final = {character: value for value, character in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_SEPARATORS: Final = dict.fromkeys(map(ord, " \t\r\n-\u00a0"))


@dataclass(frozen=True)
class Invitation:
    """`addresses` are 'a.b.c.d:port' or '[v6]:port': 1 to 8, without a scope, which is each machine's own."""

    addresses: tuple[str, ...]
    leaf_sha256: bytes
    secret: bytes

    def __post_init__(self) -> None:
        if len(self.leaf_sha256) != LEAF_BYTES or len(self.secret) != SECRET_BYTES:
            raise ValueError("a leaf's hash has 32 bytes, the secret has 16")
        if not 1 <= len(self.addresses) <= MAX_ADDRESSES or len(set(self.addresses)) != len(self.addresses):
            raise ValueError("between one and eight addresses, each once")
        for address in self.addresses:
            if _unpack(_pack(address)) != address:
                raise ValueError("an address in another than its usual spelling")

    def __repr__(self) -> str:
        leaf = self.leaf_sha256.hex()
        return f"Invitation(addresses={self.addresses!r}, leaf_sha256={leaf}, secret=<secret>)"

    def body(self) -> bytes:
        """The canonical bytes of which the text is a spelling; they hold the secret."""
        return encode_cbor([self.leaf_sha256, self.secret, [_pack(address) for address in self.addresses]])

    def hash(self) -> bytes:
        """32 bytes that stand for the whole invitation; the secret cannot be had from them."""
        return hashlib.sha256(LABEL_HASH + b"\0" + self.body()).digest()


def encode(invitation: Invitation) -> str:
    """The text: under 300 characters with three IPv4 and two IPv6 addresses, all of QR's alphanumeric set."""
    body = invitation.body()
    return PREFIX + VERSION + _to_base32(body + _checksum(body))


def decode(text: str) -> Invitation:
    """The invitation in `text`; white space, dashes and small letters are forgiven, O, I, L read as digits.

    Raises Malformed: `size` too long; `prefix` not an invitation; `version` of another Kinring; `typo` a
    character is wrong, missing or added; `form` well copied, but nothing that Kinring ever showed.
    """
    if len(text) > MAX_TEXT:
        raise Malformed("size")
    bare = text.translate(_SEPARATORS)
    bare = bare.upper() if bare.isascii() else bare
    if not bare.startswith(PREFIX):
        raise Malformed("prefix")
    version, spelled = bare[len(PREFIX) : len(PREFIX) + 1], bare[len(PREFIX) + 1 :]
    if version != VERSION:
        raise Malformed("version")
    raw = _from_base32(spelled)
    body, checksum = raw[:-CHECKSUM_BYTES], raw[-CHECKSUM_BYTES:]
    if _checksum(body) != checksum:
        raise Malformed("typo")
    return _invitation(body)


class OpenInvitation:
    """An invitation while it is shown: two minutes, one use. Milliseconds of a clock that never goes back.

    Whoever knows the secret takes it, at the first message that proves so; from then on it is that
    pairing's own time-outs that count, and the end of the two minutes cuts nothing.
    """

    def __init__(self, invitation: Invitation, shown_at_ms: int, lifetime_ms: int = LIFETIME_MS) -> None:
        self.invitation = invitation
        self.expires_at_ms = shown_at_ms + lifetime_ms
        self._taken = False

    def take(self, now: int) -> None:
        """Uses it up. Raises Refused `used` or `expired`."""
        if self._taken:
            raise Refused("used")
        if now >= self.expires_at_ms:
            raise Refused("expired")
        self._taken = True

    def withdraw(self) -> None:
        """Not shown any more: nobody can take it from here on."""
        self._taken = True


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(LABEL_CHECKSUM + b"\0" + body).digest()[:CHECKSUM_BYTES]


def _pack(address: str) -> bytes:
    """4 or 16 bytes of address and 2 of port. Raises ValueError."""
    host, separator, port = address.rpartition(":")
    if not (separator and port.isascii() and port.isdigit() and 0 < int(port) < 65536) or "%" in host:
        raise ValueError("not an address and a port")
    parsed: ipaddress.IPv4Address | ipaddress.IPv6Address
    if host.startswith("[") and host.endswith("]"):
        parsed = ipaddress.IPv6Address(host[1:-1])
    else:
        parsed = ipaddress.IPv4Address(host)
    return parsed.packed + int(port).to_bytes(2, "big")


def _unpack(packed: bytes) -> str:
    port = int.from_bytes(packed[-2:], "big")
    if len(packed) == 6:
        return f"{ipaddress.IPv4Address(packed[:4])}:{port}"
    return f"[{ipaddress.IPv6Address(packed[:16])}]:{port}"


def _invitation(body: bytes) -> Invitation:
    try:
        value: Any = decode_cbor(body, limit=MAX_TEXT)
        leaf, secret, packed = value
        if type(leaf) is not bytes or type(secret) is not bytes or type(packed) is not list:
            raise Malformed("form")
        if any(type(item) is not bytes or len(item) not in (6, 18) for item in packed):
            raise Malformed("form")
        return Invitation(tuple(_unpack(item) for item in packed), leaf, secret)
    except (ValueError, TypeError):  # Malformed is a ValueError too; all say: nothing that we show
        raise Malformed("form") from None


def _to_base32(raw: bytes) -> str:
    count = -(-len(raw) * 8 // 5)
    number = int.from_bytes(raw, "big") << (count * 5 - len(raw) * 8)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range((count - 1) * 5, -1, -5))


def _from_base32(text: str) -> bytes:
    number = 0
    for character in text:
        value = _VALUE.get(character)
        if value is None:
            raise Malformed("typo")
        number = number << 5 | value
    size, spare = divmod(len(text) * 5, 8)
    # The spare bits are zero and too few to be a character more: each invitation has one spelling.
    if spare >= 5 or number & ((1 << spare) - 1) or size <= CHECKSUM_BYTES:
        raise Malformed("typo")
    return (number >> spare).to_bytes(size, "big")

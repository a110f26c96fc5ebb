"""Names without a name: tags that only who holds the discovery key can tell apart from noise.

One construction, used twice: as the mDNS instance name of a device, and as the TLS server name (SNI)
by which a caller shows that it knows whom it calls. The bytes: docs/spec/rotating-id.md. What a tag
must not give away to a network is set out in RFC 8882 §3.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

LABEL_MDNS: Final = b"kinring/1/mdns"
LABEL_SNI: Final = b"kinring/1/sni"

NONCE_BYTES: Final = 8
TAG_BYTES: Final = 8
KEY_BYTES: Final = 32
NAME_CHARACTERS: Final = 26

_NAME: Final = re.compile(r"[a-z2-7]{26}", re.ASCII)


def make(discovery_key: bytes, device: bytes, nonce: bytes) -> str:
    """The mDNS instance name of `device` (32 bytes) for one `nonce` (8 fresh random bytes): 26 characters."""
    return _make(LABEL_MDNS, discovery_key, device, nonce)


def recognise(name: str, keys: Iterable[bytes], devices: Sequence[bytes]) -> bytes | None:
    """Which of `devices` made the instance `name` under one of `keys`; None for a stranger's, or no name.

    At most len(keys) * len(devices) HMACs and no state: a flood of foreign names leaves nothing behind.
    """
    return _recognise(LABEL_MDNS, name, keys, devices)


def sni_make(discovery_key: bytes, device: bytes, nonce: bytes) -> str:
    """The server name with which to call `device`; another label, so that no mDNS name is ever one."""
    return _make(LABEL_SNI, discovery_key, device, nonce)


class SniGate:
    """Whether a caller may see this device's certificate: it names the device, and each name works once.

    Only names that were right are remembered, so that strangers cannot push one out. The oldest of
    `remembered` goes first: who recorded a call that long ago and repeats it sees a certificate, which is
    public, and learns that this device is here; nothing else hangs on it.
    """

    def __init__(self, discovery_keys: Sequence[bytes], device: bytes, *, remembered: int = 4096) -> None:
        self.discovery_keys = discovery_keys
        """The current one, and older ones while some member may not have heard; the node replaces them."""
        self._device = device
        self._remembered = remembered
        self._used: OrderedDict[str, None] = OrderedDict()

    def admit(self, name: str | None) -> bool:
        """True once for each right name; False for no name, a malformed, foreign or repeated one."""
        if name is None or name in self._used:
            return False
        if _recognise(LABEL_SNI, name, self.discovery_keys, [self._device]) is None:
            return False
        self._used[name] = None
        if len(self._used) > self._remembered:
            self._used.popitem(last=False)
        return True


def _make(label: bytes, key: bytes, device: bytes, nonce: bytes) -> str:
    if len(key) != KEY_BYTES or len(device) != KEY_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError("a key and a device have 32 bytes, a nonce has 8")
    return _base32(nonce + _tag(label, key, device, nonce))


def _recognise(label: bytes, name: str, keys: Iterable[bytes], devices: Sequence[bytes]) -> bytes | None:
    raw = _bytes_of(name)
    if raw is None:
        return None
    nonce, tag = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
    for key in keys:
        for device in devices:
            if hmac.compare_digest(_tag(label, key, device, nonce), tag):
                return device
    return None


def _tag(label: bytes, key: bytes, device: bytes, nonce: bytes) -> bytes:
    return hmac.digest(key, label + b"\0" + nonce + device, "sha256")[:TAG_BYTES]


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def _bytes_of(name: str) -> bytes | None:
    if not _NAME.fullmatch(name):
        return None
    raw = base64.b32decode(name.upper() + "======")
    # 26 characters hold two bits more than 16 bytes: only zeros are taken, or a name had four spellings.
    return raw if _base32(raw) == name else None

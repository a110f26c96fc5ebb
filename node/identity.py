"""This device's own keys: who it is to its peers, with or without anybody signed in.

They are needed unattended, so no password guards them: the data folder does (0700, files 0600).
`device.key` is the whole identity, written once and atomically. `device.pem` holds what is in it a
second time, because OpenSSL loads a TLS key from a path only; it is made again whenever it differs,
so a kill between the two leaves nothing half done.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from node.errors import ExitCode, KinringError
from node.folders import read_private, write_private
from replication.encoding import decode, encode
from replication.errors import Refused
from replication.leaf import FIRST, LAST

RandomBytes = Callable[[int], bytes]

LABEL_KEY_FILE: Final = b"kinring/1/device-key"
VERSION: Final = 1
KEY_FILE: Final = "device.key"
PEM_FILE: Final = "device.pem"
_LIMIT: Final = 4096


def host_name() -> str:
    """What this machine calls itself, at most 64 characters: a device's name unless a person says otherwise."""
    return platform.node().partition(".")[0][:64] or "this device"


@dataclass(frozen=True, repr=False)
class DeviceIdentity:
    """The keys of this device: `sign` (Ed25519) for its frontier, `box` (X25519) for the discovery key.

    `leaf` is its TLS certificate (DER, about 305 bytes) and `pem` the file with that and its key.
    """

    sign: SigningKey
    box: PrivateKey
    leaf: bytes
    pem: Path

    @property
    def id(self) -> bytes:
        """The device id: its Ed25519 public key, 32 bytes."""
        return bytes(self.sign.verify_key)

    def __repr__(self) -> str:
        return f"DeviceIdentity({self.id.hex()[:8]}, <secret>)"


@dataclass(frozen=True)
class ThrowawayLeaf:
    """A leaf that says nothing about its device; `pem` is gone when the block that made it ends."""

    leaf: bytes
    pem: Path


def load_or_create(folder: Path, random_bytes: RandomBytes) -> DeviceIdentity:
    """The identity kept in the data folder; a folder that has none gets one.

    Raises KinringError DAMAGED if what is there is not whole: another identity would be a stranger
    to the whole family, so it is never made in silence.
    """
    with _alone_in(folder):
        if not (folder / KEY_FILE).exists():
            if (folder / PEM_FILE).exists():
                raise _damaged("device.key is missing")
            write_private(folder / KEY_FILE, _new_key_file(random_bytes))
        return _load(folder)


@contextmanager
def throwaway_leaf(folder: Path, random_bytes: RandomBytes) -> Iterator[ThrowawayLeaf]:
    """A fresh leaf for strangers or for one invitation, as a 0600 file in `folder` to be loaded at once.

    The key has no other copy: once the block ends, only the TLS context that loaded it has it.
    """
    seed = random_bytes(32)
    leaf = _make_leaf(seed, random_bytes)
    pem = folder / f"throwaway-{random_bytes(8).hex()}.pem"
    try:
        write_private(pem, _pem(seed, leaf))
        yield ThrowawayLeaf(leaf, pem)
    finally:
        pem.unlink(missing_ok=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Node and command line may start at once on a new folder: one of them makes the identity."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _new_key_file(random_bytes: RandomBytes) -> bytes:
    tls = random_bytes(32)
    fields = {
        "version": VERSION,
        "sign": random_bytes(32),
        "box": random_bytes(32),
        "tls": tls,
        # Kept, not derived again: its bytes are pinned by every peer, and another version of the
        # library might spell them in another way.
        "leaf": _make_leaf(tls, random_bytes),
    }
    return encode(fields | {"check": _check(fields)})


def _check(fields: dict[str, Any]) -> bytes:
    """A damaged seed is a good seed of somebody else: nothing but a checksum tells."""
    return hashlib.sha256(LABEL_KEY_FILE + b"\0" + encode(fields)).digest()


def _load(folder: Path) -> DeviceIdentity:
    fields = _parse(read_private(folder / KEY_FILE, limit=_LIMIT))
    pem = _pem(fields["tls"], fields["leaf"])
    path = folder / PEM_FILE
    if not path.exists() or read_private(path, limit=_LIMIT) != pem:
        write_private(path, pem)
    return DeviceIdentity(SigningKey(fields["sign"]), PrivateKey(fields["box"]), fields["leaf"], path)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        fields = decode(data, limit=_LIMIT)
    except Refused:
        raise _damaged("device.key is damaged") from None
    if not isinstance(fields, dict) or fields.pop("check", None) != _check(fields):
        raise _damaged("device.key is damaged")
    if fields.get("version") != VERSION:
        raise _damaged("device.key was written by another version of Kinring")
    return fields


def _damaged(message: str) -> KinringError:
    hint = "bring the file back from a backup; or move it and device.pem away and pair this device anew"
    return KinringError(message, hint, ExitCode.DAMAGED)


def _make_leaf(seed: bytes, random_bytes: RandomBytes) -> bytes:
    """A self-signed Ed25519 certificate of the form that `replication.leaf` takes."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    # Unique: of several trust anchors with one name OpenSSL tries the first alone. Says nothing.
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, random_bytes(10).hex())])
    # RFC 7093 §2 shortens key identifiers; 8 bytes do, since nothing is looked up by them.
    key_id = hashlib.sha256(key.public_key().public_bytes_raw()).digest()[:8]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(b"\x01" + random_bytes(8), "big"))
        .not_valid_before(FIRST)
        .not_valid_after(LAST)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(key_id), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(key_id, None, None), critical=False)
    )
    return builder.sign(key, None).public_bytes(Encoding.DER)


def _pem(seed: bytes, leaf: bytes) -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + x509.load_der_x509_certificate(leaf).public_bytes(Encoding.PEM)

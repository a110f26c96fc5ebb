"""The one form of a device's TLS certificate (docs/spec/transport.md, "Leaf").

A leaf is pinned by its hash and names nobody. Anything that could make it more than that is refused
where a device is admitted: a member whose certificate may sign others could mint certificates that
OpenSSL accepts for another device.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from replication.errors import Malformed

MAX_LEAF: Final = 1024
"""Bytes of DER; ours have about 305."""

FIRST: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LAST: Final = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
"""A leaf is always valid: a Raspberry Pi without a clock battery must connect, and time removes nobody."""

_SIGNED_BY_ED25519: Final = bytes.fromhex("300506032b6570 034100")
"""The end of the certificate up to its signature: algorithm (RFC 8410 §3), bit string of 64 bytes."""

_NAME: Final = re.compile(r"[0-9a-f]{20,64}")
_ALLOWED: Final = {
    x509.BasicConstraints.oid,
    x509.SubjectKeyIdentifier.oid,
    x509.AuthorityKeyIdentifier.oid,
}


def check_leaf(der: bytes) -> None:
    """Refuse a certificate that is not of the one form.

    Raises Malformed: `size` (over 1 KiB), `leaf` (not X.509 v3), `key-type` (not Ed25519), `ca`,
    `extension`, `validity`, `name`, `self-signed`.
    """
    if len(der) > MAX_LEAF:
        raise Malformed("size", f"leaf of {len(der)} bytes")
    try:
        _check(der)
    except Malformed:
        raise
    except Exception as error:  # noqa: BLE001 - the library parses lazily and raises many kinds
        raise Malformed("leaf", type(error).__name__) from None  # their texts may quote the certificate


def _check(der: bytes) -> None:
    certificate = x509.load_der_x509_certificate(der)
    if certificate.version is not x509.Version.v3:
        raise Malformed("leaf", "version")
    if certificate.serial_number <= 0:
        raise Malformed("leaf", "serial")  # RFC 5280, 4.1.2.2; some versions of the library refuse it, others do not
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise Malformed("key-type")
    # What the signature does not cover, the library leaves open: another spelling, another pin.
    if not der.endswith(_SIGNED_BY_ED25519 + certificate.signature):
        raise Malformed("leaf", "signature")
    _check_extensions(certificate.extensions)
    if (certificate.not_valid_before_utc, certificate.not_valid_after_utc) != (FIRST, LAST):
        raise Malformed("validity")
    _check_name(certificate)
    try:
        # PyNaCl, not OpenSSL: only it refuses the small-order keys under which anything verifies.
        VerifyKey(key.public_bytes_raw()).verify(certificate.tbs_certificate_bytes, certificate.signature)
    except CryptoError:
        raise Malformed("self-signed") from None


def _check_extensions(extensions: x509.Extensions) -> None:
    if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        raise Malformed("ca")
    if {extension.oid for extension in extensions} - _ALLOWED:
        raise Malformed("extension")


def _check_name(certificate: x509.Certificate) -> None:
    if certificate.issuer != certificate.subject:
        raise Malformed("self-signed")
    attributes = list(certificate.subject)
    if len(attributes) != 1 or attributes[0].oid != x509.NameOID.COMMON_NAME:
        raise Malformed("name")
    value = attributes[0].value
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise Malformed("name")

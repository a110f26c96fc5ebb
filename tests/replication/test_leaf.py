"""Certificates that are not a device's leaf, each refused for its own reason."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import Malformed
from replication.leaf import FIRST, LAST, check_leaf

NAME = "0123456789abcdef0123"
NOT_CA = x509.BasicConstraints(ca=False, path_length=None)


def named(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name) for name in names])


def leaf(
    *,
    key: Any = None,
    signer: Any = None,
    subject: x509.Name | None = None,
    issuer: x509.Name | None = None,
    first: dt.datetime = FIRST,
    last: dt.datetime = LAST,
    extensions: tuple[x509.ExtensionType, ...] = (NOT_CA,),
) -> bytes:
    key = key or Ed25519PrivateKey.generate()
    subject = subject or named(NAME)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(first)
        .not_valid_after(last)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    signer = signer or key
    algorithm = SHA256() if isinstance(signer, ec.EllipticCurvePrivateKey) else None
    return builder.sign(signer, algorithm).public_bytes(Encoding.DER)


def test_the_plainest_form_passes() -> None:
    check_leaf(leaf())


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("ca", {"extensions": (x509.BasicConstraints(ca=True, path_length=None),)}),
        ("ca", {"extensions": (x509.BasicConstraints(ca=True, path_length=0),)}),
        ("leaf", {"extensions": ()}),
        ("extension", {"extensions": (NOT_CA, x509.SubjectAlternativeName([x509.DNSName("anna")]))}),
        ("extension", {"extensions": (NOT_CA, x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH]))}),
        ("key-type", {"key": ec.generate_private_key(ec.SECP256R1())}),
        ("key-type", {"key": ec.generate_private_key(ec.SECP256K1())}),
        ("key-type", {"key": ed448.Ed448PrivateKey.generate()}),
        ("self-signed", {"signer": Ed25519PrivateKey.generate()}),
        ("self-signed", {"issuer": named("f" * 20)}),
        ("validity", {"last": dt.datetime(2036, 1, 1, tzinfo=dt.UTC)}),
        ("validity", {"first": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}),
        ("name", {"subject": named("Anna's laptop, kitchen")}),
        ("name", {"subject": named("0123")}),
        ("name", {"subject": named(NAME + "\n")}),
        ("name", {"subject": named(NAME, NAME)}),
        ("size", {"extensions": (NOT_CA, x509.SubjectKeyIdentifier(b"x" * 1024))}),
    ],
)
def test_refused(kind: str, changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as caught:
        check_leaf(leaf(**changes))
    assert caught.value.kind == kind


def test_a_key_under_which_anything_verifies_is_refused() -> None:
    """The identity point: OpenSSL takes the signature (identity, 0) for any text, libsodium does not."""
    key = Ed25519PrivateKey.generate()
    identity = b"\x01" + bytes(31)
    good = leaf(key=key)
    forged = good.replace(key.public_key().public_bytes_raw(), identity)[:-64] + identity + bytes(32)
    certificate = x509.load_der_x509_certificate(forged)
    certificate.verify_directly_issued_by(certificate)  # the trap
    with pytest.raises(Malformed, match="self-signed"):
        check_leaf(forged)


@given(st.binary(max_size=1100))
def test_rubbish_is_refused_by_kind(data: bytes) -> None:
    with pytest.raises(Malformed):
        check_leaf(data)


GOOD = leaf(key=Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_leaf_with_any_byte_changed_is_refused_by_kind(at: int, change: int) -> None:
    with pytest.raises(Malformed):
        check_leaf(GOOD[:at] + bytes([GOOD[at] ^ change]) + GOOD[at + 1 :])

"""Sealed values: what opens, and that nothing else ever does (A25-A29)."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from node.sealing import (
    MAX_PLAIN,
    Opener,
    Place,
    Sealer,
    Unopened,
    VaultKeys,
    _pad,
    _unpad,
    entry_key,
    padded_size,
    target,
)
from replication.errors import Malformed

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "sealing.json").read_text())
KEYS = VaultKeys(b"k" * 32, b"t" * 32)
PLACE = Place(b"F" * 32, b"v" * 16, b"e" * 32, 1, b"l" * 16, 7)
RECORD = b"r" * 16
TARGET = target(KEYS.target_key, RECORD, "password")


def sealed(value="hunter2", place: Place = PLACE, keys: VaultKeys = KEYS) -> tuple[Sealer, bytes]:
    sealer = Sealer(keys, place, secrets.token_bytes)
    return sealer, sealer.seal(TARGET, RECORD, "password", "", value)


def opened(
    sealer: Sealer, data: bytes, *, place=PLACE, keys=KEYS, index=0, at=TARGET, salt=None, commitment=None
):
    return Opener(keys, place, salt or sealer.salt, commitment or sealer.commitment).open(index, at, data)


def from_vectors(vector) -> tuple[VaultKeys, Place]:
    about = VECTORS["place"]
    key = {
        name: bytes.fromhex(about[name])
        for name in ("vault_key", "target_key", "family", "vault", "epoch", "log")
    }
    place = Place(key["family"], key["vault"], key["epoch"], vector.get("suite", 1), key["log"], about["seq"])
    return VaultKeys(key["vault_key"], key["target_key"]), place


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda v: v["name"])
def test_a_valid_vector_opens(vector):
    keys, place = from_vectors(vector)
    assert keys.commitment().hex() == VECTORS["place"]["commitment"]
    record = bytes.fromhex(VECTORS["place"]["record"])
    at = target(keys.target_key, record, vector["field"], vector["member"] or None)
    assert at.hex() == vector["target"]
    opener = Opener(keys, place, bytes.fromhex(vector["salt"]), bytes.fromhex(vector["commitment"]))
    value = opener.open(vector["index"], at, bytes.fromhex(vector["sealed"]))
    assert (value.record, value.name, value.member) == (record, vector["field"], vector["member"])
    assert value.value == vector["value"]


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda v: v["name"])
def test_an_invalid_vector_is_put_aside_with_its_kind(vector):
    keys, place = from_vectors(vector)
    opener = Opener(keys, place, bytes.fromhex(vector["salt"]), bytes.fromhex(vector["commitment"]))
    with pytest.raises(Unopened) as refused:
        opener.open(0, bytes.fromhex(vector["target"]), bytes.fromhex(vector["sealed"]))
    assert refused.value.kind == vector["kind"]


@pytest.mark.parametrize("suite", [1, 2])
def test_any_bit_flipped_anywhere_is_noticed(suite):
    place = replace(PLACE, suite=suite)
    sealer, data = sealed(place=place)
    assert opened(sealer, data, place=place).value == "hunter2"
    parts = {"data": data, "salt": sealer.salt, "commitment": sealer.commitment, "at": TARGET}
    for name, whole in parts.items():
        for bit in range(len(whole) * 8):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(Unopened):
                opened(sealer, place=place, **{"data": data, name: bytes(flipped)})


@pytest.mark.parametrize(
    "change",
    [
        {"family": b"G" * 32},
        {"vault": b"w" * 16},
        {"epoch": b"f" * 32},
        {"suite": 2},
        {"log": b"m" * 16},
        {"seq": 8},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_value_moved_to_another_place_is_stopped_at_the_commitment(change):
    sealer, data = sealed()
    with pytest.raises(Unopened, match="commitment"):
        opened(sealer, data, place=replace(PLACE, **change))


def test_a_value_moved_to_another_op_target_or_record_does_not_open():
    sealer, data = sealed()
    second = sealer.seal(TARGET, RECORD, "password", "", "other")
    for where in (
        {"index": 1},
        {"at": target(KEYS.target_key, RECORD, "label")},
        {"at": target(KEYS.target_key, b"s" * 16, "password")},
    ):
        with pytest.raises(Unopened, match="tag"):
            opened(sealer, data, **where)
    assert opened(sealer, second, index=1).value == "other"
    with pytest.raises(Unopened, match="tag"):
        opened(sealer, second)


def test_a_field_sealed_into_the_target_of_another_is_put_aside():
    """Who holds the key can seal anything anywhere; who opens it looks what it says of itself."""
    sealer = Sealer(KEYS, PLACE, secrets.token_bytes)
    data = sealer.seal(TARGET, RECORD, "notes", "", "x")
    with pytest.raises(Unopened, match="target"):
        opened(sealer, data)


def test_another_key_is_stopped_before_anything_is_decrypted():
    sealer, data = sealed()
    for keys in (replace(KEYS, vault_key=b"x" * 32), VaultKeys(KEYS.target_key, KEYS.vault_key)):
        with pytest.raises(Unopened, match="commitment"):
            opened(sealer, data, keys=keys)
    with pytest.raises(Unopened, match="target"):
        opened(sealer, data, keys=replace(KEYS, target_key=b"x" * 32))


def multiply(x: int, y: int) -> int:
    """In GCM's field (NIST SP 800-38D, section 6.3)."""
    product = 0
    for bit in range(128):
        if x >> (127 - bit) & 1:
            product ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return product


def inverse(x: int) -> int:
    result, power = 1 << 127, 2**128 - 2
    while power:
        if power & 1:
            result = multiply(result, x)
        x, power = multiply(x, x), power >> 1
    return result


def salamander(one: bytes, two: bytes, nonce: bytes, aad: bytes) -> bytes:
    """64 bytes and a tag that AES-GCM opens under both keys: three free blocks, the fourth solved for."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    def block(key: bytes, data: bytes) -> int:
        return int.from_bytes(Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data), "big")  # noqa: S305

    lengths = (len(aad) * 8) << 64 | 64 * 8
    blocks = [int.from_bytes(bytes([number]) * 16, "big") for number in (1, 2, 3)]
    sums, weights = [], []
    for key in (one, two):
        h, total = block(key, bytes(16)), 0
        for piece in [int.from_bytes(aad.ljust(16, b"\0"), "big"), *blocks, 0]:
            total = multiply(total ^ piece, h)
        sums.append(multiply(total ^ lengths, h) ^ block(key, nonce + b"\0\0\0\x01"))
        weights.append(multiply(h, h))
    last = multiply(sums[0] ^ sums[1], inverse(weights[0] ^ weights[1]))
    tag = sums[0] ^ multiply(last, weights[0])
    return b"".join(piece.to_bytes(16, "big") for piece in (*blocks, last, tag))


def test_a29_one_ciphertext_under_two_keys_is_stopped_at_the_commitment():
    other = replace(KEYS, vault_key=b"x" * 32)
    salt = secrets.token_bytes(32)
    (first, mine), (second, theirs) = (entry_key(k.vault_key, salt, PLACE) for k in (KEYS, other))
    both = salamander(first, second, bytes(12), TARGET)
    for key in (first, second):
        AESGCM(key).decrypt(bytes(12), both, TARGET)  # the cipher alone opens it twice
    assert mine != theirs
    for keys, commitment in ((KEYS, theirs), (other, mine)):
        with pytest.raises(Unopened, match="commitment"):
            Opener(keys, PLACE, salt, commitment)


def test_a_nonce_never_comes_twice():
    sealers = [Sealer(KEYS, PLACE, secrets.token_bytes) for _ in range(50)]
    keys = {entry_key(KEYS.vault_key, sealer.salt, PLACE)[0] for sealer in sealers}
    assert len(keys) == 50
    sealer = sealers[0]
    assert len({sealer.seal(TARGET, RECORD, "password", "", "same") for _ in range(20)}) == 20


@given(st.binary(max_size=700))
def test_padding_tells_the_class_and_nothing_more(data):
    padded = _pad(data)
    assert _unpad(padded) == data
    assert len(padded) == padded_size(len(data) + 1)
    for wrong in (padded + b"\0", padded[:-1], padded + bytes(32), padded[:-1] + b"\x01"):
        if wrong.endswith(b"\x80") or len(wrong) == len(padded):
            continue
        with pytest.raises(Unopened):
            _unpad(wrong)


def test_sizes_step_by_halves():
    assert {str(n): padded_size(n) for n in map(int, VECTORS["padded"])} == VECTORS["padded"]
    for size in range(1, 5000):
        assert size <= padded_size(size) <= max(64, 3 * size // 2)


@given(st.binary(max_size=200), st.integers(0, 5))
@settings(max_examples=150)
def test_no_bytes_raise_anything_but_unopened(data, index):
    sealer, _ = sealed()
    with pytest.raises(Unopened):
        opened(sealer, data, index=index)
    raw = sealer._cipher.encrypt(bytes(12), data, TARGET)
    with pytest.raises(Unopened):
        opened(sealer, raw)
    with pytest.raises(Unopened):
        opened(sealer, sealer._cipher.encrypt(bytes(12), _pad(data), TARGET))


def test_a_value_has_a_largest_size():
    sealer = Sealer(KEYS, PLACE, secrets.token_bytes)
    with pytest.raises(Malformed, match="value-size"):
        sealer.seal(TARGET, RECORD, "password", "", "x" * MAX_PLAIN)
    assert opened(sealer, sealer.seal(TARGET, RECORD, "password", "", "x" * 48_000)).value == "x" * 48_000


def test_nothing_secret_shows():
    sealer, data = sealed()
    for thing in (KEYS, opened(sealer, data), sealer, Opener(KEYS, PLACE, sealer.salt, sealer.commitment)):
        assert "kkkk" not in repr(thing)
        assert "hunter2" not in repr(thing)


def test_targets_are_opaque_and_apart():
    names = [("password", None), ("passwor", "d"), ("password", ""), ("password", "x"), ("label", None)]
    found = {target(KEYS.target_key, RECORD, name, member) for name, member in names}
    assert len(found) == len(names)
    assert target(b"x" * 32, RECORD, "password") != TARGET

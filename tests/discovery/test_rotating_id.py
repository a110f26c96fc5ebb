"""Tags that the family recognises and nobody else can link."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from discovery import rotating_id
from discovery.rotating_id import SniGate

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rotating-id.json").read_text())
KEY, OLD_KEY = bytes(range(32)), bytes(range(1, 33))
ANNA, BEN = b"a" * 32, b"b" * 32


def test_vectors():
    for vector in VECTORS["valid"]:
        key, device, nonce = (bytes.fromhex(vector[name]) for name in ("key", "device", "nonce"))
        make = {"mdns": rotating_id.make, "sni": rotating_id.sni_make}[vector["label"]]
        assert make(key, device, nonce) == vector["name"]
    for vector in VECTORS["invalid"]:
        key, device = bytes.fromhex(vector["key"]), bytes.fromhex(vector["device"])
        assert rotating_id.recognise(vector["name"], [key], [device]) is None, vector["why"]
        assert not SniGate([key], device).admit(vector["name"]), vector["why"]


def test_the_formula_of_the_specification():
    nonce = b"12345678"
    tag = hmac.new(KEY, b"kinring/1/mdns\0" + nonce + ANNA, hashlib.sha256).digest()[:8]
    name = base64.b32encode(nonce + tag).decode().rstrip("=").lower()
    assert rotating_id.make(KEY, ANNA, nonce) == name


def test_the_family_recognises_its_own_also_under_the_key_before():
    name = rotating_id.make(OLD_KEY, BEN, b"8 bytes!")
    assert rotating_id.recognise(name, [KEY, OLD_KEY], [ANNA, BEN]) == BEN
    assert rotating_id.recognise(name, [KEY], [ANNA, BEN]) is None
    assert rotating_id.recognise(name, [KEY, OLD_KEY], [ANNA]) is None


def test_an_announced_name_opens_no_door():
    assert not SniGate([KEY], ANNA).admit(rotating_id.make(KEY, ANNA, b"8 bytes!"))


def test_a_name_works_once_and_for_one_device():
    gate = SniGate([KEY, OLD_KEY], ANNA)
    name = rotating_id.sni_make(OLD_KEY, ANNA, b"8 bytes!")
    assert not SniGate([KEY, OLD_KEY], BEN).admit(name)
    assert gate.admit(name)
    assert not gate.admit(name)
    assert not gate.admit(None)


def test_strangers_push_no_name_out_of_the_memory():
    gate, dice = SniGate([KEY], ANNA, remembered=4), random.Random(1)
    name = rotating_id.sni_make(KEY, ANNA, b"8 bytes!")
    assert gate.admit(name)
    for _ in range(1000):
        assert not gate.admit(rotating_id.sni_make(dice.randbytes(32), ANNA, dice.randbytes(8)))
    assert not gate.admit(name)


def test_the_memory_is_bounded():
    gate = SniGate([KEY], ANNA, remembered=4)
    names = [rotating_id.sni_make(KEY, ANNA, bytes([i] * 8)) for i in range(9)]
    assert all(gate.admit(name) for name in names)
    assert not any(gate.admit(name) for name in names[-4:])
    assert gate.admit(names[0]), "the oldest is forgotten"


@given(st.one_of(st.text(max_size=40), st.from_regex(r"[a-z2-7]{26}", fullmatch=True)))
def test_anything_else_is_nobody(name):
    assert rotating_id.recognise(name, [KEY], [ANNA]) is None
    assert not SniGate([KEY], ANNA).admit(name)


@given(
    st.binary(min_size=8, max_size=8), st.integers(0, 25), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567")
)
def test_one_changed_character_is_nobody(nonce, at, character):
    name = rotating_id.make(KEY, ANNA, nonce)
    changed = name[:at] + character + name[at + 1 :]
    assert rotating_id.recognise(changed, [KEY], [ANNA]) == (ANNA if changed == name else None)

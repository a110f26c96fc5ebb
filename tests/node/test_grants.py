"""Vault keys in sealed boxes: for one recipient, one vault, one key (A42, A43)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.public import PrivateKey, PublicKey, SealedBox

from node.grants import (
    epoch_keys,
    epoch_statement,
    grant_statement,
    missing_grants,
    open_discovery_key,
    open_keys,
    readable,
    seal_discovery_key,
    seal_keys,
)
from node.sealing import Unopened, VaultKeys
from replication.encoding import encode
from replication.membership import DIRECTORY, READS, SHARED, Epoch, Keyholder, Paper, Person, State, Vault
from tests.kin import Author

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "grant.json").read_text())
ANNA, BEN = Author("anna"), Author("ben")
KEYS = VaultKeys(b"k" * 32, b"t" * 32)
FAMILY, VAULT = b"F" * 32, b"v" * 16


def box(**change) -> bytes:
    where = {"family": FAMILY, "vault": VAULT, "recipient": ANNA.id, "box_key": ANNA.box_key}
    return seal_keys(KEYS, **(where | change))


def opened(data: bytes, **change) -> VaultKeys:
    where: dict[str, Any] = {
        "family": FAMILY,
        "vault": VAULT,
        "commitment": KEYS.commitment(),
        "recipient": ANNA.id,
        "private": ANNA.box,
    }
    return open_keys(data, **(where | change))


def vector_arguments() -> dict:
    given_ = {name: bytes.fromhex(VECTORS[name]) for name in ("family", "vault", "commitment", "recipient")}
    return {**given_, "private": PrivateKey(bytes.fromhex(VECTORS["private"]))}


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda v: v["name"])
def test_a_valid_vector_opens(vector):
    keys = open_keys(bytes.fromhex(vector["box"]), **vector_arguments())
    assert (keys.vault_key.hex(), keys.target_key.hex()) == (VECTORS["vault_key"], VECTORS["target_key"])


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda v: v["name"])
def test_an_invalid_vector_is_refused_with_its_kind(vector):
    with pytest.raises(Unopened) as refused:
        open_keys(bytes.fromhex(vector["box"]), **vector_arguments())
    assert refused.value.kind == vector["kind"]


def test_the_recipient_alone_opens_it():
    assert opened(box()) == KEYS
    with pytest.raises(Unopened, match="box"):
        opened(box(), private=BEN.box)


@pytest.mark.parametrize(
    "change",
    [
        {"family": b"G" * 32},
        {"vault": b"w" * 16},
        {"recipient": BEN.id},
        {"commitment": VaultKeys(b"x" * 32, b"t" * 32).commitment()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_box_fits_one_place(change):
    """Stripped of its signature and put into another grant, it is refused."""
    with pytest.raises(Unopened, match="context"):
        opened(box(), **change)


def test_a_key_that_does_not_match_the_epochs_commitment_is_refused():
    other = VaultKeys(b"x" * 32, b"t" * 32)
    whole = SealedBox(ANNA.box).decrypt(box())
    forged = SealedBox(PublicKey(ANNA.box_key)).encrypt(whole.replace(KEYS.vault_key, other.vault_key))
    with pytest.raises(Unopened, match="commitment"):
        opened(forged)


@given(st.binary(max_size=300), st.integers(0, 200), st.integers(1, 255))
@settings(max_examples=100)
def test_no_bytes_raise_anything_but_unopened(data, where, flip):
    for wrong in (data, SealedBox(PublicKey(ANNA.box_key)).encrypt(data)):
        with pytest.raises(Unopened):
            opened(wrong)
        with pytest.raises(Unopened):
            open_discovery_key(wrong, family=FAMILY, device=ANNA.id, private=ANNA.box)
    changed = bytearray(box())
    changed[where % len(changed)] ^= flip
    with pytest.raises(Unopened):
        opened(bytes(changed))


@pytest.mark.parametrize(
    "content", [None, [], [1, 2, 3], ["a", b"k" * 32, b"t" * 32], {"a": 1}, [b"", b"", b"", b""]]
)
def test_odd_content_is_refused(content):
    with pytest.raises(Unopened):
        opened(SealedBox(PublicKey(ANNA.box_key)).encrypt(encode(content)))


def test_the_discovery_key_goes_to_one_device():
    where: dict[str, Any] = {"family": FAMILY, "device": ANNA.id, "private": ANNA.box}
    sealed = seal_discovery_key(b"d" * 32, family=FAMILY, device=ANNA.id, box_key=ANNA.box_key)
    assert open_discovery_key(sealed, family=FAMILY, device=ANNA.id, private=ANNA.box) == b"d" * 32
    for change in ({"family": b"G" * 32}, {"device": BEN.id}, {"private": BEN.box}):
        with pytest.raises(Unopened):
            open_discovery_key(sealed, **(where | change))
    with pytest.raises(Unopened):
        opened(sealed)
    with pytest.raises(Unopened):
        open_discovery_key(box(), family=FAMILY, device=ANNA.id, private=ANNA.box)


@pytest.fixture
def state() -> State:
    """Anna has a keyholder and paper; Ben may read, and was given nothing yet."""
    state = State(family=FAMILY, directory=b"d" * 16)
    state.people = {b"a" * 16: Person(0, b""), b"b" * 16: Person(1, b"")}
    state.keyholders = {
        ANNA.id: Keyholder(b"a" * 16, b"D" * 32, ANNA.box_key),
        BEN.id: Keyholder(b"b" * 16, b"D" * 32, BEN.box_key),
    }
    paper = Author("annas paper")
    state.papers = {b"a" * 16: Paper(paper.id, paper.box_key, b"")}
    epoch = epoch_statement(FAMILY, VAULT, KEYS, {ANNA.id: ANNA.box_key})
    held = Epoch(KEYS.commitment(), (), dict(epoch[4]), {})
    state.vaults = {
        VAULT: Vault(SHARED, {b"a" * 16: 3, b"b" * 16: 1}, epochs={b"e" * 32: held}),
        b"d" * 16: Vault(DIRECTORY),
    }
    return state


def test_who_lacks_a_key_is_given_it(state: State):
    paper = state.papers[b"a" * 16].sign_key
    lacking = missing_grants(state, VAULT, b"e" * 32)
    assert lacking == {b"a" * 16: {paper: state.papers[b"a" * 16].box_key}, b"b" * 16: {BEN.id: BEN.box_key}}
    grant = grant_statement(FAMILY, VAULT, b"e" * 32, KEYS, b"b" * 16, READS, lacking[b"b" * 16])
    assert [key for key, _ in grant[5]] == [BEN.id]
    state.vaults[VAULT].epochs[b"e" * 32].sealed.update(dict(grant[5]))
    assert epoch_keys(state, VAULT, BEN.id, BEN.box) == {b"e" * 32: KEYS}
    assert b"b" * 16 not in missing_grants(state, VAULT, b"e" * 32)


def test_a_box_that_does_not_open_is_left_out(state: State):
    state.vaults[VAULT].epochs[b"e" * 32].sealed[BEN.id] = box(recipient=ANNA.id, box_key=BEN.box_key)
    assert epoch_keys(state, VAULT, BEN.id, BEN.box) == {}
    assert epoch_keys(state, VAULT, ANNA.id, ANNA.box) == {b"e" * 32: KEYS}
    assert epoch_keys(state, VAULT, b"?" * 32, ANNA.box) == {}


def test_all_people_read_the_directory(state: State):
    assert set(readable(state, b"b" * 16)) == {VAULT, b"d" * 16}
    state.vaults[VAULT].rights.pop(b"b" * 16)
    assert readable(state, b"b" * 16) == [b"d" * 16]
    assert readable(state, b"?" * 16) == []

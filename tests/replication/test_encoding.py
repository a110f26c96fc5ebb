"""Canonical CBOR: one spelling for each value, refusals by kind, no work for hostile bytes (A50, A51)."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.encoding import MAX_BYTES, MAX_DEPTH, decode, encode
from replication.errors import Malformed
from tests.make_vectors import MADE

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "encoding.json").read_text())

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.binary(max_size=300)
    | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=30), inner, max_size=5),
    max_leaves=20,
)


def kind_of(data: bytes, limit: int = MAX_BYTES) -> str:
    try:
        decode(data, limit=limit)
    except Malformed as refusal:
        return refusal.kind
    return ""


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda v: v["name"])
def test_a_valid_vector_reads_and_is_written_the_same(vector):
    data = bytes.fromhex(vector["hex"])
    assert encode(decode(data)) == data
    assert cbor2.loads(data) == decode(data)


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda v: v["name"])
def test_an_invalid_vector_is_refused_with_its_kind(vector):
    assert kind_of(bytes.fromhex(vector["hex"]), vector.get("limit", MAX_BYTES)) == vector["kind"]


@given(VALUES)
def test_every_value_comes_back(value):
    depth_left = MAX_DEPTH - depth(value)
    if depth_left > 0:
        assert decode(encode(value)) == value


def depth(value) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_are_the_one_spelling_of_what_they_mean(data):
    if kind_of(data) == "":
        assert encode(decode(data)) == data


@given(VALUES, st.integers(0, 10**6), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_means_another_value(value, where, byte):
    data = bytearray(encode(value))
    data[where % len(data)] = byte
    if kind_of(bytes(data)) == "":
        assert encode(decode(bytes(data))) == bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x81" * 1_000_000 + b"\x00",  # nested a million deep
        b"\x5b" + b"\xff" * 8,  # a string of 2^64 - 1 bytes
        b"\x9b\x00\x00\x01" + b"\x00" * 5,  # a list of 2^40
        b"\xbb\x00\x00\x01" + b"\x00" * 5,  # a map of 2^40
        b"\x7b\x00\x00\x01" + b"\x00" * 5,
        b"\x9f" + b"\x00" * 100_000,  # a list without an end
        b"\x84" + b"\x9a\x0f\xff\xff\xff" * 4,  # lists within lists, each of 2^28
    ],
    ids=["deep", "bytes", "list", "map", "text", "endless", "lists"],
)
def test_what_claims_to_be_huge_costs_nothing(data):
    tracemalloc.start()
    try:
        assert kind_of(data) in ("cbor", "size")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "tag", [*range(6), 24, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 55799, 10**6]
)
def test_no_tag_is_followed(tag):
    assert kind_of(cbor2.dumps(cbor2.CBORTag(tag, [1, 2]))) == "tag"
    assert kind_of(cbor2.dumps([cbor2.CBORTag(tag, "2013-03-21T20:04:00Z")])) == "tag"


def test_nothing_over_the_limit_is_parsed():
    assert kind_of(encode(b"x" * MAX_BYTES)) == "size"
    exact = encode(b"x" * (MAX_BYTES - 5))
    assert len(exact) == MAX_BYTES
    assert decode(exact) == b"x" * (MAX_BYTES - 5)
    with pytest.raises(Malformed, match="size"):
        decode(b"\x83\x01\x02\x03", limit=3)


def test_depth_ends_where_it_is_said_to():
    deepest = b"\x81" * (MAX_DEPTH - 1) + b"\x80"
    while kind_of(deepest) == "":
        deepest = b"\x81" + deepest
    assert kind_of(deepest) == "cbor"
    assert deepest.count(b"\x81") == MAX_DEPTH + 1


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_the_code_still_writes_the_vectors(make):
    kept = Path(__file__).parent.parent / "vectors" / f"{make.__name__}.json"
    assert json.loads(kept.read_text("utf-8")) == make()

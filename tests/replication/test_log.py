"""Frontiers and messages: rows of logs, what a device stands for, what a connection may carry."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.encoding import decode, encode
from replication.errors import InvalidSignature, Malformed, Refused
from replication.log import (
    MAX_ROWS,
    Row,
    rows_from_value,
    rows_to_value,
    sign_frontier,
    signed_from_wire,
)
from replication.messages import (
    Ack,
    Entries,
    Frontiers,
    Hello,
    Ping,
    RefusedEntry,
    Shared,
    Values,
    Want,
    read_message,
    write_message,
)
from tests.kin import Author

FOLDER = Path(__file__).parent.parent / "vectors"
FRONTIERS = json.loads((FOLDER / "frontier.json").read_text())
SYNC = json.loads((FOLDER / "sync.json").read_text())
LAPTOP = Author("annas laptop")
FAMILY = b"F" * 32
ROWS = st.lists(
    st.builds(
        Row,
        st.binary(min_size=16, max_size=16),
        st.integers(0, 2**48 - 1),
        st.binary(min_size=16, max_size=16),
    ),
    unique=True,
    max_size=6,
)
ODD = st.none() | st.booleans() | st.integers(-2, 2**60) | st.binary(max_size=40) | st.text(max_size=4)


def kind_of(read, data) -> str:
    try:
        read(data)
    except Malformed as refusal:
        return refusal.kind
    return ""


@pytest.mark.parametrize("vector", FRONTIERS["valid"], ids=lambda v: v["name"])
def test_a_valid_frontier_is_read_verified_and_written_the_same(vector):
    wire = bytes.fromhex(vector["wire"])
    signed = signed_from_wire(wire)
    signed.verify(bytes.fromhex(vector["family"]))
    assert signed.message(bytes.fromhex(vector["family"])).hex() == vector["message"]
    assert signed.to_wire() == wire


@pytest.mark.parametrize("vector", FRONTIERS["invalid"], ids=lambda v: v["name"])
def test_an_invalid_frontier_is_refused_with_its_kind(vector):
    with pytest.raises(Refused) as refused:
        signed_from_wire(bytes.fromhex(vector["wire"])).verify(bytes.fromhex(vector["family"]))
    assert refused.value.kind == vector["kind"]


@pytest.mark.parametrize("vector", SYNC["valid"], ids=lambda v: v["name"])
def test_a_valid_message_is_read_and_written_the_same(vector):
    data = bytes.fromhex(vector["hex"])
    assert write_message(read_message(data)) == data
    assert type(read_message(data)).__name__ == vector["message"]


@pytest.mark.parametrize("vector", SYNC["invalid"], ids=lambda v: v["name"])
def test_an_invalid_message_is_refused_with_its_kind(vector):
    assert kind_of(read_message, bytes.fromhex(vector["hex"])) == vector["kind"]


@given(ROWS, st.integers(1, 2**48 - 1), st.integers(0, 2**53))
def test_a_signed_frontier_comes_back_and_is_the_devices(rows, count, time):
    signed = sign_frontier(FAMILY, LAPTOP.id, count, time, rows, LAPTOP.sign)
    again = signed_from_wire(signed.to_wire())
    assert again == signed
    again.verify(FAMILY)
    for other in (
        replace(signed, count=count + 1),
        replace(signed, wall_time=time + 1),
        replace(signed, rows=()),
        replace(signed, reads=2),
        replace(signed, device=Author("ben").id),
    ):
        if other != signed:
            with pytest.raises(InvalidSignature):
                other.verify(FAMILY)
    with pytest.raises(InvalidSignature):
        signed.verify(b"G" * 32)


@given(ROWS)
def test_rows_have_one_order(rows):
    value = rows_to_value(rows)
    assert rows_from_value(value) == sorted(rows)
    if len(rows) > 1:
        assert kind_of(rows_from_value, value[::-1]) == "shape"
        assert kind_of(rows_from_value, [value[0], *value]) == "shape"


def test_a_frontier_has_a_row_for_each_branch():
    row = Row(b"l" * 16, 5, b"a" * 16)
    both = rows_to_value([row, replace(row, hash=b"b" * 16), replace(row, seq=9)])
    assert len(rows_from_value(both)) == 3


def test_no_more_rows_than_the_limit():
    rows = rows_to_value([Row(b"l" * 16, seq, b"h" * 16) for seq in range(MAX_ROWS + 1)])
    assert rows_from_value(rows[1:])
    assert kind_of(rows_from_value, rows) == "shape"


@given(st.lists(ODD | st.lists(ODD, max_size=4), max_size=4) | ODD)
def test_odd_rows_are_refused_by_kind(value):
    if value != []:
        assert kind_of(rows_from_value, value) == "shape"


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_by_kind(data):
    for read in (read_message, signed_from_wire):
        assert kind_of(read, data) in ("", "cbor", "canonical", "tag", "type", "shape", "version", "size")
        if kind_of(read_message, data) == "":
            assert write_message(read_message(data)) == data


MESSAGES = [
    Hello(FAMILY, (Row(b"l" * 16, 5, b"a" * 16),)),
    Entries((b"one", b"two")),
    Ack(7),
    RefusedEntry("missing", b"h" * 32),
    Ping(),
    Frontiers((b"signed",)),
    Want((b"d" * 18, b"e" * 18)),
    Values(((b"d" * 18, b"s" * 16),)),
    Shared((Row(b"l" * 16, 5, b"a" * 16),), ((b"d" * 32, 7, b"m" * 8),)),
]


@given(st.sampled_from(MESSAGES), st.integers(0, 2**32), st.integers(0, 255))
@settings(max_examples=400)
def test_a_changed_message_is_refused_or_is_another_message(message, where, byte):
    data = bytearray(write_message(message))
    data[where % len(data)] = byte
    if kind_of(read_message, bytes(data)) == "":
        assert write_message(read_message(bytes(data))) == bytes(data)


@given(st.integers(-1, 9), st.lists(ODD | st.lists(ODD, max_size=3), max_size=4))
def test_odd_messages_are_refused_by_kind(number, parts):
    data = encode([number, *parts])
    if kind_of(read_message, data) == "":
        assert decode(write_message(read_message(data))) == [number, *parts]

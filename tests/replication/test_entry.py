"""Entries: what is signed, what travels, what is refused (A25-A28, A47, A50, A51)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.encoding import decode, encode
from replication.entry import (
    MAX_COUNT,
    MAX_FRONTIER,
    MAX_REPLACES,
    MAX_SEALED,
    OPS,
    STATEMENTS,
    Entry,
    Header,
    Op,
    body_root,
    from_wire,
    log_id,
    make_dot,
    sign_entry,
    statement_hashes,
    to_wire,
)
from replication.errors import InvalidSignature, Malformed, Refused
from tests.kin import Author

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "entry.json").read_text())
ANNA = Author("anna")
FAMILY, NONCE = b"F" * 32, b"n" * 16
OP = Op(b"t" * 16, (b"d" * 18,), b"sealed".ljust(80, b"."))


def entry(*ops: Op, seq: int = 0, frontier: tuple[bytes, ...] = (b"f" * 32,), author: Author = ANNA) -> Entry:
    ops = ops or (OP,)
    header = Header(
        FAMILY,
        author.id,
        log_id(FAMILY, author.id, NONCE),
        seq,
        NONCE if seq == 0 else b"p" * 32,
        OPS,
        b"v" * 16,
        b"e" * 32,
        1,
        frontier,
        1_700_000_000_000,
        b"s" * 32,
        b"c" * 32,
        len(ops),
        body_root(ops, ()),
    )
    return sign_entry(header, ops, (), author.sign)


def statements(*bodies: list, seq: int = 3) -> Entry:
    log = log_id(FAMILY, ANNA.id, NONCE)
    header = Header(
        FAMILY,
        ANNA.id,
        log,
        seq,
        b"p" * 32,
        STATEMENTS,
        b"",
        b"",
        0,
        (b"f" * 32,),
        5,
        b"",
        b"",
        len(bodies),
        body_root((), bodies),
    )
    return sign_entry(header, (), bodies, ANNA.sign)


def arrived(wire: bytes, sent: Entry, before: tuple[bytes, ...] = ()) -> Entry:
    return from_wire(wire).chain(FAMILY, sent.header.author, sent.header.previous, before)


def kind_of(data: bytes) -> str:
    try:
        from_wire(data)
    except Malformed as refusal:
        return refusal.kind
    return ""


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda v: v["name"])
def test_a_valid_vector_is_read_verified_and_written_the_same(vector):
    family, previous = bytes.fromhex(vector["family"]), bytes.fromhex(vector["previous"])
    before = tuple(bytes.fromhex(h) for h in vector["previous_frontier"])
    wire = bytes.fromhex(vector["wire"])
    found = from_wire(wire).chain(family, bytes.fromhex(vector["author"]), previous, before)
    found.verify()
    assert found.hash.hex() == vector["hash"]
    assert found.header.encoded().hex() == vector["header"]
    assert [op.hash().hex() for op in found.ops] == vector.get("op_hashes", [])
    assert [h.hex() for h in statement_hashes(found.header, found.statements)] == vector.get(
        "statement_hashes", []
    )
    assert to_wire(found, before) == wire


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda v: v["name"])
def test_an_invalid_vector_is_refused_with_its_kind(vector):
    assert kind_of(bytes.fromhex(vector["wire"])) == vector["kind"]


def test_an_entry_arrives_as_it_was_signed():
    for sent in (entry(), entry(OP, OP._replace(sealed=None, replaces=())), statements([5, b"x"], [6])):
        found = arrived(to_wire(sent, None), sent)
        assert found == sent
        found.verify()


def test_an_unchanged_frontier_does_not_travel():
    sent = entry(seq=4)
    long, short = to_wire(sent, ()), to_wire(sent, sent.header.frontier)
    assert len(short) < len(long) - 32
    assert arrived(short, sent, sent.header.frontier) == sent


@pytest.mark.parametrize(
    "change",
    [
        {"family": b"G" * 32},
        {"author": Author("ben").id},
        {"log": b"l" * 16},
        {"seq": 1},
        {"previous": b"q" * 16},
        {"vault": b"w" * 16},
        {"epoch": b"f" * 32},
        {"suite": 2},
        {"frontier": ()},
        {"wall_time": 1},
        {"salt": b"t" * 32},
        {"commitment": b"d" * 32},
        {"count": 2},
        {"root": b"r" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_signature_covers_every_part_of_the_header(change):
    sent = entry()
    header = replace(sent.header, **change)
    with pytest.raises(InvalidSignature):
        replace(sent, header=header, hash=header.hash()).verify()


@pytest.mark.parametrize(
    "op",
    [
        OP._replace(target=b"u" * 16),
        OP._replace(replaces=()),
        OP._replace(sealed=None),
        OP._replace(sealed=b"y" * 80),
    ],
    ids=["target", "replaces", "none", "sealed"],
)
def test_the_signature_covers_the_body(op):
    sent = entry()
    value = decode(to_wire(sent, None))
    value[-1] = [[op.target, list(op.replaces), op.sealed]]
    with pytest.raises(InvalidSignature):
        arrived(encode(value), sent).verify()
    value[-1] = [[OP.target, list(OP.replaces), OP.sealed]] * 2
    with pytest.raises(InvalidSignature):
        arrived(encode(value), sent).verify()


@pytest.mark.parametrize(
    "author",
    [
        bytes(32),  # a point of small order
        b"\x01" + bytes(31),  # the identity
        b"\xec" + b"\xff" * 30 + b"\x7f",  # another point of small order
        b"\xee" + b"\xff" * 30 + b"\x7f",  # a second spelling of y = 1
        b"\xff" * 32,
    ],
    ids=["zero", "identity", "order two", "not canonical", "no point"],
)
def test_a_weak_or_oddly_spelt_key_signs_nothing(author):
    """Under the identity, one signature would hold for every message."""
    header = replace(entry().header, author=author)
    for signature in (b"\x01" + bytes(63), author + bytes(32), bytes(64)):
        with pytest.raises(InvalidSignature):
            Entry(header, header.hash(), signature, (OP,), ()).verify()


def test_a_signature_has_one_spelling():
    sent = entry()
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(sent.signature[32:], "little") + order
    with pytest.raises(InvalidSignature):
        replace(sent, signature=sent.signature[:32] + s.to_bytes(32, "little")).verify()


def test_limits_are_where_they_are_said_to_be():
    assert kind_of(to_wire(entry(*[OP._replace(sealed=None)] * MAX_COUNT), None)) == ""
    assert kind_of(to_wire(entry(*[OP._replace(sealed=None)] * (MAX_COUNT + 1)), None)) == "shape"
    assert kind_of(to_wire(entry(OP._replace(sealed=b"x" * MAX_SEALED)), None)) == ""
    assert kind_of(to_wire(entry(OP._replace(sealed=b"x" * (MAX_SEALED + 1))), None)) == "shape"
    assert kind_of(to_wire(entry(OP._replace(sealed=b"x" * 15)), None)) == "shape"
    dots = tuple(make_dot(b"h" * 32, i) for i in range(MAX_REPLACES + 1))
    assert kind_of(to_wire(entry(OP._replace(replaces=dots[1:])), None)) == ""
    assert kind_of(to_wire(entry(OP._replace(replaces=dots)), None)) == "shape"
    heads = tuple(bytes([0, i]) * 16 for i in range(MAX_FRONTIER + 1))
    assert kind_of(to_wire(entry(frontier=heads[1:]), None)) == ""
    assert kind_of(to_wire(entry(frontier=heads), None)) == "shape"
    assert kind_of(to_wire(entry(*[OP._replace(sealed=b"x" * MAX_SEALED)] * 16), None)) == "size"


def test_a_dot_names_one_op():
    assert make_dot(b"h" * 32, 258) == b"h" * 16 + b"\x01\x02"
    assert len({entry().hash, entry(OP, OP).hash, entry(seq=1).hash, entry(author=Author("ben")).hash}) == 4


def test_a_statements_name_commits_to_what_it_was_made_after():
    header = statements([5]).header
    first, second = statement_hashes(header, [[5], [6]])
    assert statement_hashes(header, [[7], [6]])[1] != second
    assert statement_hashes(replace(header, frontier=()), [[5], [6]]) != [first, second]
    assert statement_hashes(replace(header, seq=4), [[5]]) != [first]
    assert statement_hashes(replace(header, wall_time=9, previous=b"q" * 32), [[5]]) == [first]


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_by_kind(data):
    assert kind_of(data) in ("cbor", "canonical", "tag", "type", "shape", "version", "size")


@given(st.integers(0, 2**32), st.integers(0, 255), st.integers(0, 3))
@settings(max_examples=400)
def test_a_changed_byte_never_verifies(where, byte, which):
    sent = (entry(), entry(seq=9), statements([5, b"x"]), entry(OP, OP._replace(sealed=None)))[which]
    wire = bytearray(to_wire(sent, ()))
    if wire[where % len(wire)] == byte:
        return
    wire[where % len(wire)] = byte
    try:
        parsed = from_wire(bytes(wire))
        author, nonce = parsed.author or sent.header.author, parsed.nonce or sent.header.previous
        parsed.chain(FAMILY, author, nonce, ()).verify()
    except Refused:
        return
    pytest.fail("a changed entry verified")


@given(
    st.lists(
        st.none()
        | st.integers(-1, 2**64 - 1)
        | st.binary(max_size=70)
        | st.lists(st.binary(max_size=32), max_size=3)
        | st.booleans()
        | st.text(max_size=3),
        min_size=13,
        max_size=15,
    )
)
def test_odd_parts_are_refused_by_kind(parts):
    parts[0] = 1
    try:
        data = encode(parts)
    except OverflowError:
        return
    assert kind_of(data) in ("shape", "suite", "type", "version")


@given(
    st.integers(0, 13),
    st.none() | st.integers(0, 2**60) | st.binary(max_size=70) | st.booleans() | st.just([]),
)
def test_one_odd_part_is_refused_or_unsigned(which, part):
    sent = entry()
    value = decode(to_wire(sent, None))
    if encode(value[which]) == encode(part):
        return
    value[which] = part
    with pytest.raises(Refused):
        arrived(encode(value), sent).verify()

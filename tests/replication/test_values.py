"""Copies of a ciphertext, and values that are not here."""

from __future__ import annotations

from functools import partial
from hashlib import sha256

import pytest

from replication.encoding import decode, encode
from replication.entry import MAX_SEALED, Op, from_wire
from replication.errors import Malformed
from replication.membership import WRITER, WRITES
from replication.replica import MAX_BATCH, Position, Replica
from replication.values import take_values, values, wanted
from tests.kin import Author, Family, at, copy, new_replica, sealed, shown, sync, wires, write, write_copy, write_op


@pytest.fixture
def one() -> Replica:
    return new_replica("one")


@pytest.fixture
def family(one: Replica) -> Family:
    return Family.found(one)


def without_values(wire: bytes, *kept: bytes) -> bytes:
    """An entry as a peer would hand it on that keeps its values back."""
    ops = from_wire(wire).ops
    body = [(op if op.sealed in kept else without_value(op)).to_value() for op in ops]
    return encode([*decode(wire)[:-1], body]) if ops else wire


def without_value(op: Op) -> Op:
    return op._replace(sealed=None, digest=sha256(op.sealed).digest()) if op.sealed else op


def stripped(one: Replica, name: str, *kept: str) -> Replica:
    """A copy that was handed on by who keeps values back."""
    made = new_replica(name, one.family)
    result = made.ingest([without_values(wire, *map(sealed, kept)) for wire in wires(one)])
    assert result.refused is None
    return made


# Copies


def test_a_copy_is_no_write(one: Replica, family: Family):
    dot = write(one, family.anna, family.vault, "t", "value")
    write_copy(one, family.anna, family.vault, "t", dot, "value")
    assert one.live_dots(family.vault, at("t")) == [dot]
    assert shown(one) == {"t": {"value"}}
    assert one.count_at(family.vault, [at("t")]) == 1
    assert len(one.ops_at(family.vault, [at("t")], live=False)) == 1
    assert [op.sealed for op in one.copies_of(dot)] == [sealed("value")]


def test_a_copy_beside_an_edit_made_apart_makes_no_conflict(one: Replica, family: Family):
    ben = Author("ben")
    family.grant(one, family.vault, family.admit(one, ben, Author("bens phone"), WRITER), WRITES, ben)
    dot = write(one, family.anna, family.vault, "t", "old")
    two = copy(one, "two")
    write_copy(one, family.anna, family.vault, "t", dot, "old")
    write(two, ben, family.vault, "t", "new")
    sync(one, two)
    assert shown(one) == shown(two) == {"t": {"new"}}
    assert one.table() == two.table()


def test_a_copy_may_come_before_what_it_copies(one: Replica, family: Family):
    ben = Author("ben")
    family.grant(one, family.vault, family.admit(one, ben, Author("bens phone"), WRITER), WRITES, ben)
    dot = write(one, family.anna, family.vault, "t", "value")
    write_copy(one, ben, family.vault, "t", dot, "value")
    everything = wires(one)
    late = new_replica("late", family.family)
    assert late.ingest([*everything[:-2], everything[-1], everything[-2]]).refused is None
    assert late.table() == one.table()
    assert len(late.copies_of(dot)) == 1


def test_who_may_not_write_makes_no_copy_and_nobody_copies_elsewhere(one: Replica, family: Family):
    ben = Author("ben")
    family.admit(one, ben, Author("bens phone"), WRITER)
    dot = write(one, family.anna, family.vault, "t", "value")
    write_copy(one, ben, family.vault, "t", dot, "bens")
    write_copy(one, family.anna, family.vault, "u", dot, "at another target")
    write_copy(one, family.anna, family.directory, "t", dot, "in another vault")
    assert one.copies_of(dot) == []


# Values that are not here


def test_without_its_values_a_copy_of_the_family_still_chains_and_merges(one: Replica, family: Family):
    write(one, family.anna, family.vault, "t", "first")
    dot = write(one, family.anna, family.vault, "t", "second")
    two = stripped(one, "two")
    assert two.frontier() == one.frontier()
    assert two.live_dots(family.vault, at("t")) == [dot]
    (op,) = two.ops_at(family.vault, [at("t")])
    assert op.missing
    assert wanted(two, 10, wanted(two, 10)[0][1])[0][0] == dot, "from where one left off, and round"
    assert len(wanted(two, 10)) == 2
    assert wanted(one, 10) == []


def test_any_peer_that_has_a_value_gives_it_and_its_hash_decides(one: Replica, family: Family):
    dot = write(one, family.anna, family.vault, "t", "value")
    two = stripped(one, "two")
    mark = two.change_mark()
    with pytest.raises(Malformed, match="value"):
        take_values(two, [(dot, sealed("another"))])
    assert take_values(two, values(one, [dot, b"?" * 18])) == 1
    assert two.table() == one.table()
    assert wanted(two, 10) == []
    assert two.changed_targets(mark) == {family.vault: {at("t")}}, "readers look there again"
    assert take_values(two, values(one, [dot])) == 0, "it is here"


def test_a_value_is_wanted_though_a_copy_is_here_which_may_lie(one: Replica, family: Family):
    dot = write(one, family.anna, family.vault, "t", "value")
    write_copy(one, family.anna, family.vault, "t", dot, "a copy")
    two = stripped(one, "two", "a copy")
    assert [op.sealed for op in two.copies_of(dot)] == [sealed("a copy")]
    assert [found for found, _ in wanted(two, 10)] == [dot]


def test_what_is_not_here_is_handed_on_as_not_here(one: Replica, family: Family):
    write(one, family.anna, family.vault, "t", "value")
    two = stripped(one, "two")
    three = new_replica("three", family.family)
    sync(two, three)
    assert wanted(three, 10) == wanted(two, 10)
    assert three.table() == two.table()


def test_a_value_is_read_as_missing_until_it_comes_not_as_nothing(one: Replica, family: Family):
    write(one, family.anna, family.vault, "t", None)
    two = stripped(one, "two")
    (op,) = two.ops_at(family.vault, [at("t")])
    assert op.sealed is None
    assert not op.missing


def _given(op: Op, _: Position) -> Op:
    return op


def test_values_are_given_in_bounded_lots(one: Replica, family: Family):
    ops = [Op(at(str(number)), (), bytes([number]) * MAX_SEALED) for number in range(6)]
    dots = [write_op(one, family.anna, family.vault, partial(_given, op)) for op in ops]
    given = values(one, dots)
    assert 0 < sum(len(value) for _, value in given) <= MAX_BATCH
    assert len(given) < 6

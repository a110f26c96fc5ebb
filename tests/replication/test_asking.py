"""Values that are not here: asked of each peer once, answered as far as they are there, taken by their hash."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.entry import MAX_SEALED
from replication.errors import RemoteProtocolError
from replication.log import sign_frontier
from replication.membership import WRITER
from replication.messages import MAX_WANTED, Values, Want, read_message, write_message
from replication.replica import Replica
from replication.session import SyncSession, ValuesTaken
from replication.values import wanted
from tests.kin import Author, Family, copy, exchange, new_replica, sync, write
from tests.replication.test_values import stripped


@pytest.fixture
def one() -> Replica:
    return new_replica("one")


@pytest.fixture
def family(one: Replica) -> Family:
    return Family.found(one)


def test_what_one_peer_kept_back_another_gives(one: Replica, family: Family):
    for number in range(3):
        write(one, family.anna, family.vault, f"t{number}", f"value {number}")
    liar, two = stripped(one, "liar", "value 1"), stripped(one, "two")
    sync(two, liar)
    assert len(wanted(two, 9)) == 2
    sync(two, one)
    assert wanted(two, 9) == []
    assert two.table() == one.table()
    sync(liar, two)  # and it travels on
    assert liar.table() == one.table()


@given(st.lists(st.integers(80, MAX_SEALED), max_size=12), st.integers(0, 400))
@settings(max_examples=15, deadline=None)
def test_however_many_and_large_all_come_in_one_connection(sizes, small):
    one = new_replica("one")
    family = Family.found(one)
    with one.transaction():
        for at, size in enumerate(sizes):
            write(one, family.anna, family.vault, f"big{at}", "x" * size)
        for at in range(small):
            write(one, family.anna, family.vault, f"small{at}", "x")
    two = stripped(one, "two")
    sync(one, two)
    assert wanted(two, 1) == []
    assert two.table() == one.table()


def test_what_a_peer_has_not_is_asked_of_it_once_and_again_of_nobody_in_vain(one: Replica, family: Family):
    for number in range(MAX_WANTED + 5):
        write(one, family.anna, family.vault, f"t{number}", "x")
    two, three = stripped(one, "two"), stripped(one, "three")
    left, right = SyncSession(two, 0), SyncSession(three, 0)
    asked: list[bytes] = []
    while messages := [(right, m) for m in left.messages_to_send(0)] + [(left, m) for m in right.messages_to_send(0)]:
        for side, message in messages:
            said = read_message(message)
            asked += said.dots if isinstance(said, Want) and side is right else ()
            assert not any(isinstance(event, ValuesTaken) for event in side.receive_message(message, 0))
    assert len(asked) == len(set(asked)) == MAX_WANTED + 5
    write(two, family.anna, family.vault, "t", "more")
    exchange(left, right)
    assert left.level()


def asking(one: Replica, family: Family) -> tuple[SyncSession, list[bytes]]:
    """A session that has just asked its peer for three values."""
    for number in range(3):
        write(one, family.anna, family.vault, f"t{number}", f"value {number}")
    left, right = SyncSession(stripped(one, "two"), 0), SyncSession(one, 0)
    while True:
        for message in right.messages_to_send(0):
            left.receive_message(message, 0)
        for message in left.messages_to_send(0):
            said = read_message(message)
            if isinstance(said, Want):
                return left, list(said.dots)
            right.receive_message(message, 0)


def test_an_answer_that_was_not_asked_for_ends_the_connection(one: Replica, family: Family):
    session, dots = asking(one, family)
    with pytest.raises(RemoteProtocolError, match="order"):
        session.receive_message(write_message(Values(((b"d" * 18, b"s" * 80),))), 0)
    assert len(dots) == 3


def test_an_answer_in_another_order_or_twice_ends_the_connection(one: Replica, family: Family):
    session, dots = asking(one, family)
    with pytest.raises(RemoteProtocolError, match="order"):
        session.receive_message(write_message(Values(tuple((dot, b"s" * 80) for dot in dots[::-1]))), 0)


def test_a_value_that_was_not_signed_ends_the_connection(one: Replica, family: Family):
    session, dots = asking(one, family)
    with pytest.raises(RemoteProtocolError, match="value"):
        session.receive_message(write_message(Values(((dots[0], b"forged".ljust(80)),))), 0)


def test_what_everyone_reads_is_known_once_all_have_said_so(one: Replica, family: Family):
    phone = Author("bens phone")
    family.admit(one, Author("ben"), phone, WRITER)
    assert one.everyone_reads() == 0
    one.sign_frontier(family.laptop.id, family.laptop.sign, 0)
    assert one.everyone_reads() == 0
    newer = sign_frontier(family.family, phone.id, 1, 0, [], phone.sign, reads=3)
    one.take_signed_frontier(newer.to_wire())
    assert one.everyone_reads() == one.understood == 1
    two = copy(one, "two")
    sync(one, two)
    assert two.everyone_reads() == 1

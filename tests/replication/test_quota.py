"""Who writes without end is fetched and handed on slowly; what others write passes by; all of it arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.evidence import Flood
from replication.membership import UNLOCK, WRITER, WRITES
from replication.quota import BURST, DAY_MS, HOLD_MS, MAX_AUTHORS, Quota
from replication.replica import Replica
from replication.session import SLOW_MS, SyncSession
from tests.kin import Author, Family, copy, exchange, new_replica, state, wires, write

BEN = b"b" * 32
SMALL = 20_000
"""A burst that a test's flood is over."""


@pytest.fixture
def one() -> Replica:
    return new_replica("one")


@pytest.fixture
def family(one: Replica) -> Family:
    return Family.found(one)


# The bucket


def test_a_first_copy_of_a_hundred_thousand_records_is_not_slowed():
    quota = Quota()
    for _ in range(35):
        quota.charge(BEN, 1_000_000, 0)
    assert quota.over(BEN, 0) == quota.hold_ms(BEN, 0) == 0


def test_who_is_over_is_held_until_enough_has_refilled():
    quota = Quota()
    quota.charge(BEN, BURST + 10_000, 0)
    assert quota.over(BEN, 0) == 10_000
    assert quota.hold_ms(BEN, 0) == HOLD_MS
    due = 10_000 * DAY_MS // BURST + 1
    assert quota.over(BEN, due) == 0
    assert quota.over(b"c" * 32, 0) == 0
    quota.charge(BEN, 10 * BURST, due)
    assert quota.hold_ms(BEN, due + DAY_MS) == HOLD_MS
    assert quota.over(BEN, due + 11 * DAY_MS) == 0


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, DAY_MS // 4)), max_size=20))
def test_a_bucket_never_owes_more_than_was_taken_nor_less_than_what_refilled(charges):
    quota, now = Quota(5_000, 8_000), 0
    for size, pause in charges:
        quota.charge(BEN, size, now)
        now += pause
    taken = sum(size for size, _ in charges)
    assert taken - 5_000 - now * 8_000 / DAY_MS - 1 <= quota.over(BEN, now) <= max(0, taken - 5_000)
    assert 0 <= quota.hold_ms(BEN, now) <= HOLD_MS


def test_made_up_keys_share_one_bucket_and_fill_no_memory():
    quota = Quota(100)
    assert quota.bucket(BEN, {BEN}) == quota.bucket(BEN, set()) == BEN
    assert {quota.bucket(bytes([n]) * 32, set()) for n in range(9)} == {b""}
    quota.charge(BEN, 1_000, 0)
    for number in range(2 * MAX_AUTHORS):
        quota.charge(number.to_bytes(32, "big"), 1, 0)
    assert quota.over(BEN, 0) == 900


# A connection


def flooded(one: Replica, family: Family) -> tuple[Author, Replica]:
    """Ben may write, and does; between his entries Anna writes three."""
    ben = Author("ben")
    person = family.admit(one, ben, Author("bens phone"), WRITER)
    family.grant(one, family.vault, person, WRITES, ben)
    return ben, one


def drive(left: SyncSession, right: SyncSession, now: int = 0) -> tuple[int, list[object]]:
    """Both sides run until all is there; how long it took, and what the right one said."""
    events: list[object] = []
    while True:
        moved = True
        while moved:
            moved = False
            for sender, taker in ((left, right), (right, left)):
                for message in sender.messages_to_send(now):
                    found = taker.receive_message(message, now)
                    events += found if taker is right else []
                    moved = True
        if left.level() and right.level():
            return now, events
        due = min(at for at in (left.next_timeout(), right.next_timeout()) if at is not None)
        assert due > now, "it spins"
        now = due
        for side in (left, right):
            side.handle_timeout(now)


def test_a_flood_arrives_late_and_whole_and_a_person_is_told(one: Replica, family: Family):
    ben, one = flooded(one, family)
    for number in range(40):
        write(one, ben, family.vault, f"flood{number}", "x" * 60_000)
    two = new_replica("two", family.family)
    quota = Quota(SMALL, SMALL)
    took, events = drive(SyncSession(one, 0), SyncSession(two, 0, quota=quota))
    assert two.table() == one.table()
    assert took >= HOLD_MS  # more than the window, so it had to wait for an acknowledgement
    floods = [event for event in events if isinstance(event, Flood)]
    assert {flood.author for flood in floods} == {ben.id}
    assert floods[-1].over > SMALL


def test_what_others_write_passes_a_flood_by(one: Replica, family: Family):
    ben, one = flooded(one, family)
    two = copy(one, "two")
    for number in range(20):
        write(one, ben, family.vault, f"flood{number}", "x" * 60_000)
    write(one, family.anna, family.vault, "mine", "at once")
    quota = Quota(SMALL, SMALL)
    quota.bucket(ben.id, one.state().keyholders)
    quota.charge(ben.id, 50 * SMALL, 0)  # as when they came
    left, right = SyncSession(one, 0, quota=quota), SyncSession(two, 0)
    exchange(left, right)
    targets = {target.rstrip(b"_") for _, target, _, _ in two.table()}
    assert b"mine" in targets
    assert len(targets) < 10
    assert not left.level()
    write(one, family.anna, family.vault, "news", "pushed")
    exchange(left, right)
    assert b"news" in {target.rstrip(b"_") for _, target, _, _ in two.table()}
    took, _ = drive(left, right)
    assert took >= 3 * SLOW_MS
    assert two.table() == one.table()


def test_nothing_goes_before_what_it_names(one: Replica, family: Family):
    """Among Ben's flood stands a statement; what Anna writes after it names it."""
    ben, one = flooded(one, family)
    two = copy(one, "two")
    person = next(p for p, known in one.state().people.items() if p != family.person)
    for number in range(8):
        write(one, ben, family.vault, f"flood{number}", "x" * 60_000)
    assert state(one, ben, [UNLOCK, person, b"w" * 64, b""]) == ""
    for number in range(8, 16):
        write(one, ben, family.vault, f"flood{number}", "x" * 60_000)
    write(one, family.anna, family.vault, "mine", "after Ben's")
    quota = Quota(SMALL, SMALL)
    quota.bucket(ben.id, one.state().keyholders)
    quota.charge(ben.id, 50 * SMALL, 0)
    left, right = SyncSession(one, 0, quota=quota), SyncSession(two, 0)
    exchange(left, right)
    targets = {target.rstrip(b"_") for _, target, _, _ in two.table()}
    assert {b"mine", *(b"flood%d" % n for n in range(8))} <= targets
    assert b"flood15" not in targets
    drive(left, right)
    assert two.table() == one.table()
    assert two.frontier() == one.frontier()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=14), st.integers(100, 3_000))
def test_whatever_is_slow_every_entry_follows_what_it_was_made_after(deeds, burst):
    one = new_replica("one")
    family = Family.found(one)
    ben, one = flooded(one, family)
    person = next(p for p in one.state().people if p != family.person)
    two = new_replica("two", family.family)
    for at, deed in enumerate(deeds):
        if deed < 2:
            write(one, (ben, family.anna)[deed], family.vault, f"t{at}", "x" * 200)
        elif deed == 2:
            state(one, ben, [UNLOCK, person, bytes([at]) * 64, b""])
        else:
            state(one, family.anna, [UNLOCK, family.person, bytes([at]) * 64, b""])
    quota = Quota(burst, burst)
    drive(SyncSession(one, 0, quota=quota), SyncSession(two, 0, quota=quota))  # no entry was refused
    assert two.table() == one.table()
    assert sorted(wires(two)) == sorted(wires(one))

"""What a person is told, ticks off, and is told again only if it happens anew."""

from __future__ import annotations

import pytest

from replication.alarms import MAX_ALARMS, SHOWS_LESS, Alarm
from replication.evidence import Flood, PeerShowsLess, TwoPlaces, check_forked_growth, lost, take_frontier, tell
from replication.log import MAX_ROWS, Row, sign_frontier
from replication.membership import A_DEVICE, REMOVE, WRITER
from replication.replica import Replica
from tests.kin import Author, Family, copy, new_replica, state, sync, wires, write

PHONE = b"p" * 32


@pytest.fixture
def one() -> Replica:
    return new_replica("one")


@pytest.fixture
def family(one: Replica) -> Family:
    return Family.found(one)


# Telling


def test_what_happened_is_told_once_until_it_happens_anew(one: Replica):
    assert one.raise_alarm(SHOWS_LESS, PHONE, "3", b"first", 1_000)
    assert not one.raise_alarm(SHOWS_LESS, PHONE, "3", b"first", 2_000)
    assert one.alarms() == [Alarm(SHOWS_LESS, PHONE, "3", 1_000, 1)]
    assert one.raise_alarm(SHOWS_LESS, PHONE, "5", b"second", 3_000)
    assert one.alarms() == [Alarm(SHOWS_LESS, PHONE, "5", 3_000, 2)]


def test_what_was_ticked_off_comes_back_only_if_it_happens_anew(one: Replica):
    one.raise_alarm(SHOWS_LESS, PHONE, "3", b"first", 1_000)
    one.dismiss_alarm(SHOWS_LESS, PHONE)
    one.dismiss_alarm(SHOWS_LESS, b"never raised".ljust(32))
    assert one.alarms() == []
    assert not one.raise_alarm(SHOWS_LESS, PHONE, "3", b"first", 2_000)
    assert one.alarms() == []
    assert one.raise_alarm(SHOWS_LESS, PHONE, "4", b"second", 3_000)
    assert [alarm.count for alarm in one.alarms()] == [2]


def test_alarms_outlive_a_restart_and_stay_on_this_device(tmp_path):
    path = str(tmp_path / "kin.db")
    one = new_replica("one", path=path)
    family = Family.found(one)
    one.raise_alarm(SHOWS_LESS, PHONE, "3", b"first", 1_000)
    one.close()
    one = new_replica("one", path=path)
    two = new_replica("two", family.family)
    sync(one, two)
    assert len(one.alarms()) == 1
    assert two.alarms() == []


def test_invented_subjects_fill_no_disk(one: Replica):
    one.raise_alarm(SHOWS_LESS, b"real", "3", b"", 10)
    one.raise_alarm(SHOWS_LESS, b"done", "3", b"", 20)
    one.dismiss_alarm(SHOWS_LESS, b"done")
    for number in range(MAX_ALARMS - 1):
        one.raise_alarm(SHOWS_LESS, b"%d" % number, "1", b"", 1_000 + number)
    assert len(one.alarms()) == MAX_ALARMS
    assert one.alarms()[-1].subject == b"real"  # the one that was ticked off made room
    one.raise_alarm(SHOWS_LESS, b"one more", "1", b"", 9_000)
    assert len(one.alarms()) == MAX_ALARMS
    assert b"real" not in {alarm.subject for alarm in one.alarms()}


def test_every_finding_becomes_an_alarm(one: Replica):
    log = b"l" * 16
    assert tell(one, PeerShowsLess(PHONE, 7, 3), 5)
    assert tell(one, TwoPlaces(PHONE, log), 5)
    assert tell(one, Flood(PHONE, 123), 5)
    assert not tell(one, Flood(PHONE, 456), 6)
    assert tell(one, Flood(PHONE, 456), 24 * 3600 * 1000)
    told = {(alarm.kind, alarm.detail) for alarm in one.alarms()}
    assert told == {("shows-less", "3"), ("two-places", log.hex()), ("flood", "456")}


# Showing less


def test_who_only_gets_further_has_lost_nothing(one: Replica, family: Family):
    before: list[list[Row]] = []
    late = copy(one, "late")
    for number in range(4):
        before.append(one.frontier())
        write(one, family.anna, family.vault, f"t{number}", "x")
    for rows in before:
        assert lost(one, rows, one.frontier()) == lost(late, rows, one.frontier()) == 0
    assert lost(one, one.frontier(), before[1]) == lost(late, one.frontier(), before[1]) == 3
    assert lost(one, one.frontier(), []) == 5


def test_a_branch_that_is_gone_is_seen_though_another_is_longer(one: Replica, family: Family):
    twin = clone(one, "twin")
    write(one, family.anna, family.vault, "here", "x")
    shorter = next(row for row in one.frontier() if row.seq)
    write(twin, family.anna, family.vault, "there", "x")
    write(twin, family.anna, family.vault, "there", "y")
    longer = next(row for row in twin.frontier() if row.seq)
    # To who has the shorter branch alone, the longer may have grown out of it.
    assert lost(one, [shorter], [longer]) == 0
    sync(one, twin)
    assert lost(twin, [shorter, longer], [longer]) == 1
    assert lost(twin, [shorter, longer], [longer, shorter]) == 0


def test_a_frontier_that_was_cut_at_its_limit_accuses_nobody(one: Replica):
    many = [Row(number.to_bytes(16, "big"), 9, b"h" * 16) for number in range(MAX_ROWS)]
    short = Row(b"l" * 16, 9, b"h" * 16)
    assert lost(one, [short], many) == 0
    assert lost(one, [Row(b"l" * 16, 10, b"h" * 16)], many) == 11


def test_frontiers_of_one_device_that_contradict_each_other_are_found(one: Replica, family: Family):
    """A device that tells each what it likes is caught when the two meet, whatever it counts."""
    laptop = family.laptop
    empty = one.frontier()
    write(one, family.anna, family.vault, "t", "x")
    full = one.frontier()

    def signed(count: int, rows: list[Row], time: int = 0) -> bytes:
        return sign_frontier(family.family, laptop.id, count, time, rows, laptop.sign).to_wire()

    for first, second in ((signed(2, full), signed(2, empty)), (signed(2, full), signed(3, empty)),
                          (signed(3, empty), signed(2, full)), (signed(2, empty), signed(2, full))):  # fmt: skip
        device = copy(one, "device")
        assert take_frontier(device, first)[2] == []
        (found,) = take_frontier(device, second)[2]
        assert isinstance(found, PeerShowsLess)
        assert (found.device, found.entries) == (laptop.id, 1)
    for honest in ((signed(2, empty), signed(3, full)), (signed(3, full), signed(2, empty)),
                   (signed(2, full, 5), signed(2, full, 6))):  # fmt: skip
        device = copy(one, "device")
        assert [found for wire in honest for found in take_frontier(device, wire)[2]] == []


# Two places


def clone(one: Replica, name: str) -> Replica:
    """The same disk in another machine: it goes on with the same logs."""
    twin = copy(one, name)
    twin.store.run("INSERT INTO own_logs SELECT author, log FROM logs")
    return twin


def hears(replica: Replica, *others: Replica) -> None:
    for other in others:
        assert replica.ingest(wires(other)).refused is None


def sign(replica: Replica, family: Family) -> bytes:
    return replica.sign_frontier(family.laptop.id, family.laptop.sign, 0).to_wire()


@pytest.mark.parametrize("late", [False, True], ids=["in order", "its frontier last"])
def test_a_key_in_two_places_is_told_when_both_go_on(one: Replica, family: Family, late: bool):
    twin, third = clone(one, "twin"), clone(one, "third")
    write(one, family.anna, family.vault, "here", "x")
    write(twin, family.anna, family.vault, "there", "x")
    hears(third, twin)
    third.store.run("INSERT OR REPLACE INTO own_logs SELECT author, log FROM logs")
    hears(twin, one)  # it knows both, and begins another log
    log = next(row.log for row in twin.frontier() if row.seq)
    signed = sign(twin, family)
    write(twin, family.anna, family.vault, "after", "x")
    assert log not in {row.log for row in twin.frontier() if row.seq == 0}

    seen = copy(twin, "somebody")
    if not late:
        assert take_frontier(seen, signed)[2] == []
    write(one, family.anna, family.vault, "here", "y")  # not heard yet: one branch grows
    hears(seen, one)
    assert check_forked_growth(seen, log) == []
    later = sign(copy(seen, "twin, later"), family)  # the twin signs for what it has heard since
    if not late:
        take_frontier(seen, later)
        assert check_forked_growth(seen, log) == []
    write(third, family.anna, family.vault, "there", "y")  # now the other does, too
    hears(seen, third)
    if late:
        assert take_frontier(seen, signed)[2] == [TwoPlaces(family.laptop.id, log)]
    assert check_forked_growth(seen, log) == [TwoPlaces(family.laptop.id, log)]


def test_a_fork_that_stops_when_both_are_known_is_no_alarm(one: Replica, family: Family):
    twin = clone(one, "twin")
    log = one.frontier()[0].log
    for number in range(3):
        write(one, family.anna, family.vault, f"a{number}", "x")
        write(twin, family.anna, family.vault, f"b{number}", "x")
    hears(twin, one)
    signed = sign(twin, family)
    hears(one, twin)
    for replica in (one, twin):
        write(replica, family.anna, family.vault, "after", "x")
    for order in ((one, twin), (twin, one)):
        late = new_replica("late", family.family)
        hears(late, *order)
        assert take_frontier(late, signed)[2] == []
        assert check_forked_growth(late, log) == []


def test_another_devices_frontier_says_nothing_of_where_a_key_is(one: Replica, family: Family):
    family.admit(one, Author("ben"), phone := Author("bens phone"), WRITER)
    twin = clone(one, "twin")
    log = one.frontier()[0].log
    write(one, family.anna, family.vault, "here", "x")
    write(twin, family.anna, family.vault, "there", "x")
    seen = copy(one, "somebody")
    hears(seen, twin)
    take_frontier(seen, copy(seen, "phone").sign_frontier(phone.id, phone.sign, 0).to_wire())
    for replica in (one, twin):  # neither has heard of the other
        write(replica, family.anna, family.vault, "more", "x")
    hears(seen, one, twin)
    assert check_forked_growth(seen, log) == []


def test_who_is_gone_is_not_reported(one: Replica, family: Family):
    phone = Author("bens phone")
    family.admit(one, Author("ben"), phone, WRITER)
    short = one.frontier()
    write(one, family.anna, family.vault, "t", "x")
    full = sign_frontier(family.family, phone.id, 1, 0, one.frontier(), phone.sign).to_wire()
    take_frontier(one, full)
    state(one, family.anna, [REMOVE, A_DEVICE, phone.id, []])
    less = sign_frontier(family.family, phone.id, 2, 0, short, phone.sign).to_wire()
    assert take_frontier(one, less)[1:] == (False, [])
    assert check_forked_growth(one, b"no such log".ljust(16)) == []

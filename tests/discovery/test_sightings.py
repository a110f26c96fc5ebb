"""Where to knock next: a table of addresses, virtual time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.sightings import (
    GIVE_UP_MS,
    LONGEST_WAIT_MS,
    MAX_MDNS,
    MAX_PLACES,
    MAX_TYPED,
    STAGGER_MS,
    Sightings,
    Source,
)
from replication.errors import Refused

ANNA, BEN, STRANGER = b"a" * 32, b"b" * 32, b"s" * 32


def sightings(*members: bytes) -> Sightings:
    return Sightings(members or [ANNA, BEN], random.Random(1).randbytes)


def all_places(table: Sightings, *devices: bytes) -> int:
    return sum(len(table.places(device)) for device in devices or (ANNA, BEN))


def test_a_stale_address_holds_up_the_good_one_for_a_quarter_of_a_second():
    table = sightings()
    table.saw(ANNA, [("10.0.0.1", 1)], Source.LAST_KNOWN, 0)
    table.saw(ANNA, [("10.0.0.2", 1)], Source.MDNS, 0)
    (first,) = table.due(0)
    assert (first.address, first.give_up_at) == (("10.0.0.1", 1), GIVE_UP_MS)
    assert table.next_timeout() == STAGGER_MS
    (second,) = table.due(STAGGER_MS)
    assert second.address == ("10.0.0.2", 1)
    table.reached(ANNA, second.address, 300)
    table.failed(ANNA, first.address, GIVE_UP_MS)
    assert table.due(10_000) == [] and table.next_timeout() is None, "connected: nothing to dial"
    table.lost(ANNA, 10_000)
    assert [attempt.address for attempt in table.due(10_000)] == [("10.0.0.2", 1)], (
        "where it was reached last"
    )


def test_members_are_tried_side_by_side():
    table = sightings()
    for device in (ANNA, BEN):
        table.saw(device, [("10.0.0.1", 1), ("10.0.0.2", 1)], Source.MDNS, 0)
    assert [attempt.device for attempt in table.due(0)] == [ANNA, BEN]


def test_who_does_not_answer_is_asked_more_and_more_rarely_but_never_forgotten_when_typed():
    table, now, waits = sightings(), 0, []
    table.saw(ANNA, [("10.0.0.1", 1)], Source.TYPED, 0)
    for _ in range(30):
        (attempt,) = table.due(now)
        table.failed(ANNA, attempt.address, now)
        due = table.next_timeout()
        assert due is not None
        waits.append(due - now)
        now = due
    assert 500 <= waits[0] <= 1500
    assert all(LONGEST_WAIT_MS / 2 <= wait <= LONGEST_WAIT_MS * 1.5 for wait in waits[10:])
    assert len(set(waits[10:])) > 10, "spread"
    assert table.worth_keeping() == [(ANNA, ("10.0.0.1", 1), Source.TYPED)]


def test_a_new_sighting_is_tried_at_once_but_cannot_be_used_to_hammer():
    table = sightings()
    table.saw(ANNA, [("10.0.0.1", 1)], Source.MDNS, 0)
    for now in (0, 10_000, 20_000, 30_000):
        for attempt in table.due(now):
            table.failed(ANNA, attempt.address, now)
    tried = 0
    for now in range(100_000, 160_000, 100):
        table.saw(ANNA, [("10.0.0.1", 1)], Source.MDNS, now)
        for attempt in table.due(now):
            tried += 1
            table.failed(ANNA, attempt.address, now)
    assert 1 <= tried <= 25, "of 600 sightings"


def test_what_only_mdns_said_is_forgotten_in_the_end():
    table, now = sightings(), 0
    table.saw(ANNA, [("10.0.0.1", 1)], Source.MDNS, 0)
    while (due := table.next_timeout()) is not None:
        now = max(now, due)
        for attempt in table.due(now):
            table.failed(ANNA, attempt.address, now)
    assert table.places(ANNA) == []


def test_a_flood_in_a_member_s_name_pushes_out_that_member_s_rumours_alone():
    table = sightings()
    table.saw(ANNA, [("192.168.0.9", 1)], Source.TYPED, 0)
    table.saw(ANNA, [("192.168.0.8", 1)], Source.LAST_KNOWN, 0)
    table.saw(BEN, [("192.168.0.7", 1)], Source.MDNS, 0)
    for i in range(10_000):
        table.saw(ANNA, [(f"10.0.{i // 250}.{i % 250}", 1)], Source.MDNS, i)
        table.saw(STRANGER, [("10.9.9.9", 1)], Source.MDNS, i)
    assert len(table.places(ANNA)) == MAX_MDNS + 2
    assert {("192.168.0.9", 1), ("192.168.0.8", 1)} <= {address for address, _, _ in table.places(ANNA)}
    assert [address for address, _, _ in table.places(BEN)] == [("192.168.0.7", 1)]
    assert table.places(STRANGER) == []


def test_a_device_that_moved_nine_times_is_found_at_the_tenth_place():
    table = sightings()
    for i in range(10):
        address = (f"10.0.0.{i}", 1)
        table.saw(ANNA, [address], Source.MDNS, i)
        assert address in {place for place, _, _ in table.places(ANNA)}
        table.reached(ANNA, address, i)
        table.lost(ANNA, i)
    assert [address[0] for _, address, _ in table.worth_keeping()] == [
        "10.0.0.6",
        "10.0.0.7",
        "10.0.0.8",
        "10.0.0.9",
    ]


def test_who_is_no_member_any_more_is_forgotten():
    table = sightings()
    table.saw(ANNA, [("10.0.0.1", 1)], Source.TYPED, 0)
    table.set_members([BEN])
    assert table.places(ANNA) == []
    assert table.due(0) == []


def test_too_many_typed_addresses_are_refused_and_none_is_lost():
    table = sightings()
    for i in range(MAX_TYPED):
        table.saw(ANNA, [(f"10.0.0.{i}", 1)], Source.TYPED, 0)
    with pytest.raises(Refused, match="full"):
        table.saw(BEN, [("10.0.1.1", 1)], Source.TYPED, 0)
    assert len(table.places(ANNA)) == MAX_TYPED
    table.forget_typed(ANNA, ("10.0.0.0", 1))
    table.saw(BEN, [("10.0.1.1", 1)], Source.TYPED, 0)


MEMBERS = [bytes([i]) * 32 for i in range(20)]
STEP = st.tuples(
    st.sampled_from(["saw", "due", "failed", "reached", "lost"]),
    st.sampled_from(MEMBERS),
    st.integers(0, 30),
    st.sampled_from(Source),
    st.integers(0, 5_000),
)


@given(st.lists(STEP, max_size=300))
def test_whatever_happens_the_table_stays_bounded_and_typed_ones_stay(steps):
    table, now, typed = sightings(*MEMBERS), 0, set()
    for what, device, number, source, later in steps:
        now += later
        address = (f"10.0.0.{number}", 1)
        if what == "saw":
            try:
                table.saw(device, [address], source, now)
            except Refused:
                continue
            if source is Source.TYPED:
                typed.add((device, address))
        elif what == "due":
            attempts = table.due(now)
            assert len({attempt.device for attempt in attempts}) == len(attempts)
        elif what == "lost":
            table.lost(device, now)
        else:
            getattr(table, what)(device, address, now)
        assert all_places(table, *MEMBERS) <= MAX_PLACES
        assert typed <= {(who, where) for who, where, how in table.worth_keeping() if how is Source.TYPED}

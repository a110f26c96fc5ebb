"""Two devices, one connection: what they end up with, what ends it (A30, A50, A53, A56)."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.entry import MAX_SEALED
from replication.errors import RemoteProtocolError
from replication.log import MAX_ROWS, Row, sign_frontier
from replication.membership import A_DEVICE, REMOVE, WRITER, WRITES
from replication.messages import Ack, Entries, Frontiers, Hello, Ping, Shared, read_message, write_message
from replication.replica import MAX_BATCH, Replica
from replication.session import (
    PING_MS,
    SILENCE_MS,
    WINDOW,
    FrontierTaken,
    PeerHolds,
    PeerSaved,
    SessionState,
    SyncSession,
    Took,
)
from tests.kin import (
    Author,
    Family,
    admit_device,
    copy,
    exchange,
    new_replica,
    shown,
    state,
    sync,
    wires,
    write,
)


@pytest.fixture
def one() -> Replica:
    return new_replica("one")


@pytest.fixture
def family(one: Replica) -> Family:
    return Family.found(one)


def level(a: Replica, b: Replica) -> tuple[SyncSession, SyncSession]:
    left, right = SyncSession(a, 0), SyncSession(b, 0)
    exchange(left, right)
    return left, right


def said(session: SyncSession, *messages: bytes) -> list[object]:
    """What came of messages."""
    return [event for message in messages for event in session.receive_message(message, 0)]


def greeted(replica: Replica, **settings) -> SyncSession:
    """A session whose peer said that it holds nothing."""
    session = SyncSession(replica, 0, **settings)
    nothing = Hello(replica.family or b"", ())
    said(session, write_message(nothing))
    if session.state is SessionState.GREETED:
        said(session, write_message(Shared((), ())))
    return session


def two_authors(one: Replica, family: Family) -> tuple[Author, Replica]:
    ben = Author("ben")
    person = family.admit(one, ben, Author("bens phone"), WRITER)
    family.grant(one, family.vault, person, WRITES, ben)
    return ben, copy(one, "two")


def test_an_empty_copy_gets_everything(one: Replica, family: Family):
    for number in range(20):
        write(one, family.anna, family.vault, f"t{number}", "x")
    two = new_replica("two", family.family)
    left, right = level(one, two)
    assert one.table() == two.table()
    assert one.frontier() == two.frontier()
    assert left.level()
    assert right.level()


def test_what_is_saved_later_is_pushed_at_once(one: Replica, family: Family):
    two = copy(one, "two")
    left, right = level(one, two)
    write(one, family.anna, family.vault, "t", "news")
    messages = left.messages_to_send(1)
    assert [type(read_message(m)) for m in messages] == [Entries]
    assert right.receive_message(messages[0], 1) == [Took(1, 0, 1)]
    (ack,) = right.messages_to_send(1)
    assert left.receive_message(ack, 1) == [PeerSaved(one.last_id())]
    assert shown(two) == {"t": {"news"}}


def test_equal_copies_of_twenty_logs_need_one_round_trip_and_under_2_kib(one: Replica, family: Family):
    """However long the logs, and with a signed frontier from every device."""
    for number in range(19):
        one.store.run("DELETE FROM own_logs")
        for _ in range(5):
            write(one, family.anna, family.vault, f"t{number}", "x")
    phone = Author("bens phone")
    family.admit(one, Author("ben"), phone, WRITER)
    for device in (family.laptop, phone):
        one.sign_frontier(device.id, device.sign, 0)
    two = copy(one, "two")
    for signed in one.signed_frontiers().values():
        two.take_signed_frontier(signed.to_wire())
    assert len({row.log for row in one.frontier()}) == 20
    left, right = SyncSession(one, 0), SyncSession(two, 0)
    (first,), (second,) = left.messages_to_send(0), right.messages_to_send(0)
    assert said(right, first) == said(left, second) == [PeerHolds(0)]
    assert left.messages_to_send(0) == right.messages_to_send(0) == []
    assert left.level()
    assert right.level()
    assert len(first) + len(second) < 2048


def test_only_the_frontiers_that_a_peer_lacks_are_sent(one: Replica, family: Family):
    two = copy(one, "two")
    signed = one.sign_frontier(family.laptop.id, family.laptop.sign, 0)
    two.take_signed_frontier(signed.to_wire())
    write(one, family.anna, family.vault, "t", "x")
    left, right = SyncSession(one, 0), SyncSession(two, 0)
    sent = []
    while messages := [(right, m) for m in left.messages_to_send(0)] + [(left, m) for m in right.messages_to_send(0)]:
        for side, message in messages:
            sent.append(type(read_message(message)))
            side.receive_message(message, 0)
    assert Frontiers not in sent
    assert Entries in sent


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=14), st.integers(0, 10**6))
@settings(max_examples=40)
def test_two_copies_of_any_split_end_up_the_same(deeds, seed):
    one = new_replica("one")
    family = Family.found(one)
    ben, two = two_authors(one, family)
    for which, target in deeds:
        if which == 2:
            sync(one, two)
        else:
            write((one, two)[which], (family.anna, ben)[which], family.vault, f"t{target}", f"{seed}")
    sync(one, two)
    assert one.table() == two.table()
    assert one.frontier() == two.frontier()


def test_a_cut_at_any_message_leaves_what_was_taken_and_the_rest_follows(one: Replica, family: Family):
    ben, two = two_authors(one, family)
    for number in range(3):
        write(one, family.anna, family.vault, f"a{number}", "x")
        write(two, ben, family.vault, f"b{number}", "y")
    lefts, rights = wires(one), wires(two)
    carried = 1
    while True:
        a, b = new_replica(f"a{carried}", family.family), new_replica(f"b{carried}", family.family)
        assert a.ingest(lefts).refused is b.ingest(rights).refused is None
        done = exchange(SyncSession(a, 0), SyncSession(b, 0), most=carried)
        assert set(lefts) <= set(wires(a))
        assert set(rights) <= set(wires(b))
        sync(a, b)
        assert a.table() == b.table()
        if done < carried:
            break
        carried += 1
    assert carried > 4


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=6), st.booleans(), st.integers(0, 60))
@settings(max_examples=30)
def test_wherever_each_connection_is_cut_nothing_is_lost_and_what_came_stays(deeds, fork, most):
    one = new_replica("one")
    family = Family.found(one)
    ben, two = two_authors(one, family)
    if fork:
        two.store.run("INSERT INTO own_logs SELECT author, log FROM logs WHERE author = ?", (family.anna.id,))
    for at, (which, count) in enumerate(deeds):
        for number in range(count):
            if which < 2:
                author = (family.anna, family.anna if fork else ben)[which]
                write((one, two)[which], author, family.vault, f"t{at}{number}", "x" * 70)
    one.sign_frontier(family.laptop.id, family.laptop.sign, 0)
    cut = 0
    while True:  # one message further each time, from where the last connection left it
        before = set(wires(one)), set(wires(two))
        left, right = SyncSession(one, 0), SyncSession(two, 0)
        done = exchange(left, right, most=cut)
        assert before[0] <= set(wires(one))
        assert before[1] <= set(wires(two))
        if done < cut:
            break
        cut += 1 + most % 3
    assert left.level()
    assert right.level()
    assert one.table() == two.table()
    assert one.frontier() == two.frontier()


def test_no_more_than_the_window_is_under_way(one: Replica, family: Family):
    for number in range(60):
        write(one, family.anna, family.vault, f"t{number}", "x" * (MAX_SEALED - 100))
    two = new_replica("two", family.family)
    left, right = SyncSession(one, 0), SyncSession(two, 0)
    right.receive_message(left.messages_to_send(0)[0], 0)
    said(left, *right.messages_to_send(0))
    sent = []
    while batch := left.messages_to_send(0):
        assert sum(map(len, batch)) < MAX_BATCH + 20_000
        sent += batch
    assert WINDOW <= sum(map(len, sent)) < WINDOW + MAX_BATCH + 20_000
    for message in sent:
        right.receive_message(message, 0)
        assert len(right.messages_to_send(0)) <= 2
    exchange(left, right)
    assert not left.level()  # the acknowledgements above were lost with the connection
    sync(one, two)
    assert one.table() == two.table()


def test_another_familys_device_is_refused(one: Replica, family: Family):
    stranger = new_replica("stranger", b"S" * 32)
    session = SyncSession(one, 0)
    with pytest.raises(RemoteProtocolError) as refused:
        session.receive_message(SyncSession(stranger, 0).messages_to_send(0)[0], 0)
    assert refused.value.kind == "family"
    assert session.state is SessionState.ENDED
    assert [type(read_message(m)) for m in session.messages_to_send(0)] == [Hello]


def test_nothing_is_told_before_the_peers_hello(one: Replica, family: Family):
    session = SyncSession(one, 0)
    assert [type(read_message(m)) for m in session.messages_to_send(0)] == [Hello]
    assert session.messages_to_send(0) == []


@pytest.mark.parametrize(
    "message", [Entries((b"x",)), Ack(1), Ping(), Frontiers((b"x",))], ids=lambda m: type(m).__name__
)
def test_hello_comes_first(one: Replica, family: Family, message):
    session = SyncSession(one, 0)
    with pytest.raises(RemoteProtocolError) as refused:
        session.receive_message(write_message(message), 0)
    assert refused.value.kind == "order"
    with pytest.raises(RemoteProtocolError, match="ended"):
        session.receive_message(write_message(Hello(family.family, ())), 0)


def test_hello_comes_once(one: Replica, family: Family):
    session, _ = level(one, copy(one, "two"))
    with pytest.raises(RemoteProtocolError, match="order"):
        session.receive_message(write_message(Hello(family.family, ())), 0)
    assert session.state is SessionState.ENDED
    assert session.messages_to_send(0) == []
    assert session.next_timeout() is None


def test_nothing_is_acknowledged_that_was_not_sent(one: Replica, family: Family):
    left, _ = level(one, copy(one, "two"))
    for _ in range(3):
        write(one, family.anna, family.vault, "t", "x")
    left.messages_to_send(0)
    assert left.receive_message(write_message(Ack(2)), 0)
    with pytest.raises(RemoteProtocolError, match="ack"):
        left.receive_message(write_message(Ack(4)), 0)


def test_many_long_signed_frontiers_go_in_several_messages(one: Replica, family: Family):
    rows = [Row(number.to_bytes(16, "big"), 1, b"h" * 16) for number in range(MAX_ROWS)]
    devices = [Author(f"device {number}") for number in range(20)]
    state(one, family.anna, *(admit_device(family.family, device, family.person) for device in devices))
    for device in devices:
        one.take_signed_frontier(sign_frontier(family.family, device.id, 1, 0, rows, device.sign).to_wire())
    two = new_replica("two", family.family)
    level(one, two)
    assert set(two.signed_frontiers()) == {device.id for device in devices}


def test_more_logs_than_a_hello_names_keep_nobody_apart(one: Replica, family: Family, monkeypatch):
    monkeypatch.setattr("replication.replica.MAX_ROWS", 4)
    monkeypatch.setattr("replication.log.MAX_ROWS", 4)
    for number in range(9):
        one.store.run("DELETE FROM own_logs")
        write(one, family.anna, family.vault, f"t{number}", "x")
    two = copy(one, "two")
    assert len(one.frontier()) > 4
    write(one, family.anna, family.vault, "here", "x")
    write(two, family.anna, family.vault, "there", "x")
    left, right = level(one, two)
    assert one.table() == two.table()
    assert left.level()
    assert right.level()
    signed = one.sign_frontier(family.laptop.id, family.laptop.sign, 0)
    assert len(signed.rows) == 4
    assert two.take_signed_frontier(signed.to_wire())


def test_an_acknowledgement_never_goes_back(one: Replica, family: Family):
    left, _ = level(one, copy(one, "two"))
    for _ in range(3):
        write(one, family.anna, family.vault, "t", "x")
    left.messages_to_send(0)
    left.receive_message(write_message(Ack(3)), 0)
    with pytest.raises(RemoteProtocolError, match="ack"):
        left.receive_message(write_message(Ack(2)), 0)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.booleans())
@settings(max_examples=60)
def test_no_bytes_of_a_peer_raise_anything_else(messages, hello):
    one = new_replica("one")
    family = Family.found(one)
    session = SyncSession(one, 0)
    if hello:
        session.receive_message(write_message(Hello(family.family, (Row(b"l" * 16, 3, b"h" * 16),))), 0)
        session.receive_message(write_message(Shared((), ())), 0)
        messages = [write_message(Entries((m or b"x",))) for m in messages]
    before = one.frontier()
    for message in messages:
        try:
            session.receive_message(message, 0)
        except RemoteProtocolError:
            continue
    assert one.frontier() == before


def test_an_entry_without_its_past_is_named_and_the_connection_ends(one: Replica, family: Family):
    write(one, family.anna, family.vault, "t", "x")
    two = new_replica("two", family.family)
    session = greeted(two)
    session.messages_to_send(0)
    last = wires(one)[-1]
    session.receive_message(write_message(Entries((last,))), 0)
    assert session.state is SessionState.ENDED
    assert two.frontier() == []


def test_what_comes_before_a_refused_entry_is_kept(one: Replica, family: Family):
    for number in range(3):
        write(one, family.anna, family.vault, f"t{number}", "x")
    first, second, third, fourth = wires(one)
    two = new_replica("two", family.family)
    broken = fourth[:-5] + bytes(5)
    result = two.ingest([first, second, third, broken])
    assert (result.stored, result.refused and result.refused.kind) == (3, "signature")
    assert wires(two) == [first, second, third]


@pytest.mark.parametrize("seed", range(6))
def test_batches_reordered_repeated_and_cut_give_the_same_or_a_refusal(one: Replica, family: Family, seed):
    for number in range(6):
        write(one, family.anna, family.vault, f"t{number % 2}", f"{number}")
    rng, two = random.Random(seed), new_replica("two", family.family)
    whole = wires(one)
    for _ in range(12):
        start = rng.randrange(len(whole))
        batch = whole[start : start + rng.randrange(1, 4)] * rng.randrange(1, 3)
        result = two.ingest(batch)
        assert result.refused is None or result.refused.kind == "missing"
    two.ingest(whole)
    assert two.table() == one.table()


# Time


def test_a_quiet_side_pings_and_a_silent_one_is_gone(one: Replica, family: Family):
    left, right = level(one, copy(one, "two"))
    assert left.next_timeout() == PING_MS
    left.handle_timeout(PING_MS - 1)
    assert left.messages_to_send(PING_MS - 1) == []
    left.handle_timeout(PING_MS)
    messages = left.messages_to_send(PING_MS)
    assert [type(read_message(m)) for m in messages] == [Ping]
    assert right.receive_message(messages[0], PING_MS) == []
    assert right.next_timeout() == PING_MS
    right.handle_timeout(PING_MS + SILENCE_MS - 1)
    with pytest.raises(RemoteProtocolError, match="silent"):
        left.handle_timeout(SILENCE_MS)
    assert left.next_timeout() is None


# Signed frontiers


def test_signed_frontiers_are_handed_on_and_the_newest_stays(one: Replica, family: Family):
    two = copy(one, "two")
    one.sign_frontier(family.laptop.id, family.laptop.sign, 5)
    left, right = SyncSession(one, 0), SyncSession(two, 0)
    right.receive_message(left.messages_to_send(0)[0], 0)
    said(left, *right.messages_to_send(0))
    assert said(right, *left.messages_to_send(0)) == [PeerHolds(0), FrontierTaken(1)]
    old = two.signed_frontiers()[family.laptop.id]
    newer = one.sign_frontier(family.laptop.id, family.laptop.sign, 6)
    exchange(left, right)
    assert two.signed_frontiers()[family.laptop.id] == newer
    assert not two.take_signed_frontier(old.to_wire())
    assert two.signed_frontiers()[family.laptop.id].count == 2


def test_a_frontier_that_the_device_did_not_sign_ends_the_connection(one: Replica, family: Family):
    two = copy(one, "two")
    signed = one.sign_frontier(family.laptop.id, family.laptop.sign, 5)
    session, _ = level(two, copy(two, "three"))
    with pytest.raises(RemoteProtocolError, match="signature"):
        session.receive_message(write_message(Frontiers((replace(signed, count=9).to_wire(),))), 0)
    assert two.signed_frontiers() == {}


def test_a_frontier_of_a_device_admitted_late_waits_for_its_admission(one: Replica, family: Family):
    for number in range(12):
        write(one, family.anna, family.vault, f"t{number}", "x" * 60_000)
    phone = Author("bens phone")
    family.admit(one, Author("ben"), phone, WRITER)
    one.sign_frontier(phone.id, phone.sign, 5)
    sync(one, new_replica("two", family.family))


def test_a_strangers_frontier_ends_the_connection(one: Replica, family: Family):
    stranger = Author("stranger")
    two = copy(one, "two")
    signed = one.sign_frontier(stranger.id, stranger.sign, 5)
    session, _ = level(two, copy(two, "three"))
    with pytest.raises(RemoteProtocolError, match="device"):
        session.receive_message(write_message(Frontiers((signed.to_wire(),))), 0)


def test_a_removed_devices_frontier_keeps_nobody_apart(one: Replica, family: Family):
    """Those who have heard of the removal, and those who have not, may both still hold one."""
    phone = Author("bens phone")
    family.admit(one, Author("ben"), phone, WRITER)
    one.sign_frontier(phone.id, phone.sign, 5)
    unheard = copy(one, "unheard")
    unheard.sign_frontier(phone.id, phone.sign, 6)
    one.sign_frontier(phone.id, phone.sign, 7)
    assert state(one, family.anna, [REMOVE, A_DEVICE, phone.id, []]) == ""
    sync(one, unheard)
    sync(one, new_replica("new", family.family))
    assert phone.id not in unheard.state().devices


# Forks


def test_forked_logs_are_exchanged_whole(one: Replica, family: Family):
    """The same store ran in two places: each has a branch of its own."""
    twin = copy(one, "twin")
    twin.store.run("INSERT INTO own_logs SELECT author, log FROM logs")
    write(one, family.anna, family.vault, "t", "here")
    write(twin, family.anna, family.vault, "u", "there")
    write(twin, family.anna, family.vault, "v", "there too")
    sync(one, twin)
    assert one.table() == twin.table()
    assert shown(one) == {"t": {"here"}, "u": {"there"}, "v": {"there too"}}
    assert len(one.frontier()) == 2
    late = new_replica("late", family.family)
    sync(twin, late)
    assert late.table() == one.table()
    sync(late, one)
    write(one, family.anna, family.vault, "w", "after")
    assert len({row.log for row in one.frontier()}) == 2
    sync(one, late)
    assert late.table() == one.table()


def test_a_fork_that_shows_while_two_are_connected_reaches_both(one: Replica, family: Family):
    twin = copy(one, "twin")
    twin.store.run("INSERT INTO own_logs SELECT author, log FROM logs")
    left, right = level(one, twin)
    write(one, family.anna, family.vault, "a0", "here")
    for number in range(3):
        write(twin, family.anna, family.vault, f"b{number}", "there")
    for message in right.messages_to_send(0):  # the longer branch comes before ours is sent
        left.receive_message(message, 0)
    exchange(left, right)
    assert one.table() == twin.table()
    assert set(shown(twin)) == {"a0", "b0", "b1", "b2"}

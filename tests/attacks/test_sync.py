"""Peers that cut, withhold, roll back, flood and fall silent: A30 to A32, A50, A53 and A56."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from replication.alarms import SHOWS_LESS
from replication.entry import MAX_SEALED
from replication.errors import RemoteProtocolError
from replication.evidence import PeerShowsLess, tell
from replication.log import MAX_ROWS, Row, sign_frontier
from replication.membership import WRITER, WRITES
from replication.messages import (
    MAX_WANTED,
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
)  # fmt: skip
from replication.replica import MAX_BATCH, Replica
from replication.session import PING_MS, SILENCE_MS, WINDOW, SessionState, SyncSession
from tests.kin import Author, Family, copy, exchange, new_replica, shown, sync, wires, write


@pytest.fixture
def one() -> Replica:
    return new_replica("one")


@pytest.fixture
def family(one: Replica) -> Family:
    return Family.found(one)


def met(one: Replica, other: Replica, device: Author) -> list[PeerShowsLess]:
    """What `one` holds against a device after they met."""
    left, right = SyncSession(one, 0, peer=device.id), SyncSession(other, 0)
    found = []
    while messages := [(right, m) for m in left.messages_to_send(0)] + [(left, m) for m in right.messages_to_send(0)]:
        for side, message in messages:
            events = side.receive_message(message, 0)
            found += [event for event in events if side is left and isinstance(event, PeerShowsLess)]
    return found


def greeted(replica: Replica) -> SyncSession:
    """A session that has heard the peer's greeting, which says that it holds nothing."""
    session = SyncSession(replica, 0)
    session.receive_message(write_message(Hello(replica.family or b"", ())), 0)
    if session.state is SessionState.GREETED:  # or it holds nothing either
        session.receive_message(write_message(Shared((), ())), 0)
    return session


# A30: truncated, extended, duplicated, reordered batches


@pytest.mark.parametrize("seed", range(8))
def test_a30_batches_cut_lengthened_repeated_and_disordered(one: Replica, family: Family, seed: int):
    for number in range(8):
        write(one, family.anna, family.vault, f"t{number % 3}", f"{number}")
    chance, two = random.Random(seed), new_replica("two", family.family)
    whole = wires(one)
    for _ in range(40):
        batch = [chance.choice(whole) for _ in range(chance.randrange(1, 6))]
        message = bytearray(write_message(Entries(tuple(batch))))
        match chance.randrange(4):
            case 0:
                del message[chance.randrange(1, len(message)) :]
            case 1:
                message += chance.randbytes(3)
            case 2:
                message[chance.randrange(len(message))] ^= 1 << chance.randrange(8)
        session = greeted(two)
        try:
            session.receive_message(bytes(message), 0)
        except RemoteProtocolError:
            assert session.state is SessionState.ENDED
        held = wires(two)
        assert set(held) <= set(whole)
        assert held == whole[: len(held)]  # a prefix, never a hole
    sync(one, two)
    assert two.table() == one.table()


# A31: a peer shows less than it once signed


def grown(one: Replica, family: Family) -> tuple[Author, Replica, Replica]:
    """A blind peer's device, its copy of last month, and of today, for which it has signed."""
    box = Author("a box in the hall")
    family.admit(one, Author("ben"), box, WRITER)
    month = copy(one, "last month")
    for number in range(3):
        write(one, family.anna, family.vault, f"t{number}", "x")
    today = copy(one, "today")
    today.sign_frontier(box.id, box.sign, 0)
    assert met(one, today, box) == []
    return box, month, today


def test_a31_a_peer_put_back_to_last_month_is_reported(one: Replica, family: Family):
    box, month, _ = grown(one, family)
    table = one.table()
    (found,) = met(one, month, box)
    assert (found.device, found.entries) == (box.id, 3)
    assert one.table() == month.table() == table  # and it got back what it had lost
    assert tell(one, found, 5)
    assert [(alarm.kind, alarm.subject) for alarm in one.alarms()] == [(SHOWS_LESS, box.id)]
    assert met(one, month, box) == []
    month.sign_frontier(box.id, box.sign, 0)
    assert met(one, month, box) == []


def test_a31_a_liar_that_claims_its_old_count_is_reported_all_the_same(one: Replica, family: Family):
    box, month, today = grown(one, family)
    month.take_signed_frontier(today.signed_frontiers()[box.id].to_wire())
    (found,) = met(one, month, box)
    assert found.entries == 3


def test_a31_an_honest_peer_is_never_reported_whatever_comes_between(one: Replica, family: Family):
    """It signs after its hello; the frontier gets here by another way before the hello does."""
    box, _, today = grown(one, family)
    left, right = SyncSession(one, 0, peer=box.id), SyncSession(today, 0)
    (old_hello,) = right.messages_to_send(0)
    write(today, Author("ben"), family.vault, "later", "x")
    write(one, family.anna, family.vault, "meanwhile", "x")
    today.ingest(wires(one))
    today.sign_frontier(box.id, box.sign, 0)
    sync(copy(today, "third"), one)
    one.take_signed_frontier(today.signed_frontiers()[box.id].to_wire())
    events = left.receive_message(old_hello, 0)
    right.receive_message(left.messages_to_send(0)[0], 0)
    while messages := [(left, m) for m in right.messages_to_send(0)] + [(right, m) for m in left.messages_to_send(0)]:
        for side, message in messages:
            events += side.receive_message(message, 0) if side is left else side.receive_message(message, 0)[:0]
    assert [event for event in events if isinstance(event, PeerShowsLess)] == []
    assert left.level()


@pytest.mark.parametrize("seed", range(30))
def test_a31_no_order_of_meetings_accuses_an_honest_device(seed: int):
    """Three devices write, sign, meet, and break off anywhere."""
    chance = random.Random(seed)
    first = new_replica("first")
    family = Family.found(first)
    names = [Author(name) for name in ("ben", "cleo")]
    devices = [family.laptop, Author("bens phone"), Author("cleos phone")]
    for author, device in zip(names, devices[1:], strict=True):
        family.grant(first, family.vault, family.admit(first, author, device, WRITER), WRITES, author)
    copies = [first, copy(first, "second"), copy(first, "third")]
    authors = [family.anna, *names]
    open_: list[tuple[int, SyncSession, int, SyncSession]] = []
    for _ in range(60):
        at, other = chance.sample(range(3), 2)
        match chance.randrange(5):
            case 0:
                write(copies[at], authors[at], family.vault, f"t{chance.randrange(4)}", "x")
            case 1:
                copies[at].sign_frontier(devices[at].id, devices[at].sign, 0)
            case 2:
                left = SyncSession(copies[at], 0, peer=devices[other].id)
                open_.append((at, left, other, SyncSession(copies[other], 0, peer=devices[at].id)))
                if chance.random() < 0.5:  # one hello is made at once, the other much later
                    held = left.messages_to_send(0)
                    for message in held:
                        open_[-1][3].receive_message(message, 0)
            case _ if open_:
                _, left, _, right = chance.choice(open_)
                for taker, sender in ((left, right), (right, left)):
                    for message in sender.messages_to_send(0):
                        found = taker.receive_message(message, 0)
                        assert not any(isinstance(event, PeerShowsLess) for event in found)
    for at, other in ((0, 1), (1, 2), (0, 1)):
        assert met(copies[at], copies[other], devices[other]) == []
    assert copies[0].table() == copies[1].table() == copies[2].table()


# A32: a blind peer shows each member another half


@pytest.mark.parametrize("counts", [(5, 5), (5, 6), (6, 5)])
def test_a32_a_peer_that_shows_each_another_half_is_reported_when_they_meet(
    one: Replica, family: Family, counts: tuple[int, int]
):
    box, ben = Author("a box in the hall"), Author("ben")
    family.grant(one, family.vault, family.admit(one, ben, box, WRITER), WRITES, ben)
    two = copy(one, "two")
    write(one, family.anna, family.vault, "a", "anna's half")
    write(two, ben, family.vault, "b", "ben's half")
    for replica, count in zip((one, two), counts, strict=True):
        signed = sign_frontier(family.family, box.id, count, 0, replica.frontier(), box.sign)
        replica.take_signed_frontier(signed.to_wire())
    left, right = SyncSession(one, 0), SyncSession(two, 0)
    found = []
    while messages := [(right, m) for m in left.messages_to_send(0)] + [(left, m) for m in right.messages_to_send(0)]:
        for side, message in messages:
            found += [event for event in side.receive_message(message, 0) if isinstance(event, PeerShowsLess)]
    assert {event.device for event in found} == {box.id}
    assert one.table() == two.table()
    assert shown(one) == {"a": {"anna's half"}, "b": {"ben's half"}}


# A50: lengths and numbers that are claimed


@pytest.mark.parametrize("claim", [
    b"\x82\x01\x81\x5b\x00\x00\x00\x40\x00\x00\x00\x00",  # an entry of 256 GiB
    b"\x82\x01\x9b\x00\x00\x00\x00\x3b\x9a\xca\x00",  # 10^9 entries
    b"\x83\x08\x9b\x00\x00\x00\x00\x3b\x9a\xca\x00\x80",  # 10^9 rows
    b"\x82\x07\x81\x82\x52" + b"d" * 18 + b"\x5a\x40\x00\x00\x00",  # a value of 1 GiB
])  # fmt: skip
def test_a50_a_claimed_length_allocates_nothing(one: Replica, family: Family, claim: bytes):
    session = greeted(one)
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):
            session.receive_message(claim, 0)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a50_a_peer_that_claims_everything_makes_us_remember_nothing(one: Replica, family: Family):
    """4096 logs at the highest seq, then shared, frontiers of strangers, and a question that asks for all."""
    rows = tuple(Row(number.to_bytes(16, "big"), (1 << 48) - 1, b"h" * 16) for number in range(MAX_ROWS))
    held = tuple((number.to_bytes(32, "big"), (1 << 48) - 1, b"m" * 8) for number in range(1024))
    hello, shared = write_message(Hello(family.family, rows, b"c" * 16)), write_message(Shared(rows, held))
    session = SyncSession(one, 0)
    tracemalloc.start()
    try:
        session.receive_message(hello, 0)
        session.receive_message(shared, 0)
        del hello, shared, held
        session.messages_to_send(0)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert session.state is SessionState.LEVEL
    assert kept < 250_000  # the rows alone are far more
    session.receive_message(write_message(Want(tuple(n.to_bytes(18, "big") for n in range(MAX_WANTED)))), 0)
    assert write_message(Values(())) in session.messages_to_send(0)


def test_a50_frontiers_babbled_are_one_for_each_device(one: Replica, family: Family):
    session = greeted(one)
    session.messages_to_send(0)
    for count in range(1, 200):
        signed = sign_frontier(family.family, family.laptop.id, count, 0, [], family.laptop.sign).to_wire()
        session.receive_message(write_message(Frontiers((signed,) * 3)), 0)
    assert len(one.signed_frontiers()) == 1
    assert session.messages_to_send(0) == []  # and the peer is not told what it said


def test_a50_entries_one_at_a_time_are_answered_by_one_acknowledgement(one: Replica, family: Family):
    for number in range(50):
        write(one, family.anna, family.vault, f"t{number}", "x")
    session = greeted(new_replica("two", family.family))
    session.messages_to_send(0)
    for wire in wires(one):
        session.receive_message(write_message(Entries((wire,))), 0)
    for _ in range(50):
        session.receive_message(write_message(Ping()), 0)
    answers = [read_message(message) for message in session.messages_to_send(0)]
    assert answers[0] == Ack(len(wires(one)))
    assert len(answers) == 1 or not any(isinstance(answer, Ack) for answer in answers[1:])


def test_a50_a_question_before_the_answer_and_an_unasked_answer_end_it(one: Replica, family: Family):
    want = write_message(Want((b"d" * 18,)))
    for messages in ([want, want], [write_message(Values(()))], [write_message(Values(((b"d" * 18, b"s" * 16),)))]):
        session = greeted(one)
        with pytest.raises(RemoteProtocolError, match="order"):
            for message in messages:
                session.receive_message(message, 0)


# A53: a past that does not exist


def test_a53_an_entry_without_its_past_is_refused_and_nothing_is_kept_of_it(one: Replica, family: Family):
    for number in range(30):
        write(one, family.anna, family.vault, f"t{number}", "x")
    two = new_replica("two", family.family)
    for wire in wires(one)[1:][::-1]:
        session = greeted(two)
        session.messages_to_send(0)
        session.receive_message(write_message(Entries((wire,))), 0)
        (answer,) = [read_message(message) for message in session.messages_to_send(0)]
        assert answer == RefusedEntry("missing", one.frontier()[0].log)
    assert two.store.rows("SELECT count(*) FROM entries") == [(0,)]
    sync(one, two)
    assert two.table() == one.table()


def test_a53_a_long_chain_needs_no_recursion(one: Replica, family: Family):
    with one.transaction():
        for number in range(3_000):
            write(one, family.anna, family.vault, f"t{number % 7}", "x")
    two = new_replica("two", family.family)
    sync(one, two)
    assert two.table() == one.table()


# A56: slow, silent and never acknowledging peers


def test_a56_a_peer_that_never_acknowledges_stalls_itself_alone(one: Replica, family: Family):
    for number in range(60):
        write(one, family.anna, family.vault, f"t{number}", "x" * (MAX_SEALED - 100))
    silent, good = greeted(one), new_replica("two", family.family)
    sent = 0
    for now in range(0, 10 * PING_MS, PING_MS):
        silent.receive_message(write_message(Ping()), now)
        silent.handle_timeout(now)
        while messages := silent.messages_to_send(now):
            sent += sum(map(len, messages))
    assert WINDOW <= sent < WINDOW + MAX_BATCH + 50_000
    left, right = SyncSession(one, 0), SyncSession(good, 0)
    exchange(left, right)
    assert left.level()
    assert good.table() == one.table()


def test_a56_what_waits_for_a_peer_that_takes_nothing_does_not_grow(one: Replica, family: Family):
    """It sends, and never reads: nothing is asked of our session, and what it keeps to say stays the same."""
    session = greeted(one)
    wire = wires(one)[0]
    for number in range(2_000):
        session.receive_message(write_message(Entries((wire,))), number * 100)
        session.handle_timeout(number * 100)
    messages = [read_message(message) for message in session.messages_to_send(200_000)]
    assert len([message for message in messages if isinstance(message, Ack | Ping)]) == 2


def test_a56_a_silent_peer_is_gone_after_a_while(one: Replica, family: Family):
    session = greeted(one)
    while session.messages_to_send(0):
        pass
    with pytest.raises(RemoteProtocolError, match="silent"):
        session.handle_timeout(SILENCE_MS)
    assert session.messages_to_send(SILENCE_MS) == []

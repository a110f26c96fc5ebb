"""What a purge destroys, when, and what it cannot."""

from __future__ import annotations

from hashlib import sha256

import pytest

from replication.encoding import decode, encode
from replication.membership import (
    A_DEVICE,
    ADMIN,
    FORGET,
    OWNS,
    PURGE,
    REMOVE,
    UNLOCK,
    WRITER,
    WRITES,
)
from replication.purge import WAITING_MS, drop_purged, lagging, waiting_for
from replication.replica import Replica
from replication.values import wanted
from tests.kin import (
    Author,
    Family,
    add_keyholder,
    admit_device,
    at,
    copy,
    new_replica,
    sealed,
    shown,
    state,
    sync,
    wires,
    write,
    write_copy,
)

BEN, PHONE = Author("ben"), Author("bens phone")
NOW = 1_000_000_000_000


@pytest.fixture
def one() -> Replica:
    return new_replica("one")


@pytest.fixture
def family(one: Replica) -> Family:
    return Family.found(one)


def ben_in(one: Replica, family: Family, *, role: int = WRITER, right: int = WRITES) -> Replica:
    """Ben may write, too; his phone's copy."""
    family.grant(one, family.vault, family.admit(one, BEN, PHONE, role), right, BEN)
    return copy(one, "bens phone")


def purge(replica: Replica, author: Author, vault: bytes, dot: bytes, *floor: bytes) -> str:
    return state(replica, author, [PURGE, vault, [[dot, sorted(floor)]]])


def stand(*copies: tuple[Replica, Author]) -> None:
    """Each device says what it holds, and all hear of it."""
    for replica, device in copies:
        replica.sign_frontier(device.id, device.sign, NOW)
    for replica, _ in copies:
        for other, _ in copies:
            if other is not replica:
                sync(replica, other)


def has_value(replica: Replica, value: str) -> bool:
    return bool(replica.store.row("SELECT 1 FROM ops WHERE sealed = ?", (sealed(value),)))


def test_what_was_replaced_goes_after_the_waiting_time_and_chain_and_merge_stay(one: Replica, family: Family):
    old = write(one, family.anna, family.vault, "t", "old")
    new = write(one, family.anna, family.vault, "t", "new")
    assert purge(one, family.anna, family.vault, old, new) == ""
    stand((one, family.laptop))
    table, frontier = one.table(), one.frontier()
    assert drop_purged(one, NOW) == 0
    assert drop_purged(one, NOW + WAITING_MS - 1) == 0
    assert has_value(one, "old")
    assert drop_purged(one, NOW + WAITING_MS) == 1
    assert not has_value(one, "old")
    assert (one.table(), one.frontier()) == (table, frontier)
    assert copy(one, "fresh").table() == table
    assert wanted(one, 10) == []
    assert drop_purged(one, NOW + 2 * WAITING_MS) == 0


def test_it_waits_for_every_device_of_the_family(one: Replica, family: Family):
    phone = ben_in(one, family)
    old = write(one, family.anna, family.vault, "t", "old")
    new = write(one, family.anna, family.vault, "t", "new")
    purge(one, family.anna, family.vault, old, new)
    stand((one, family.laptop))
    (said,) = one.state().purges
    assert waiting_for(one, said) == {PHONE.id}
    assert drop_purged(one, NOW, 0) == 0
    sync(one, phone)
    stand((one, family.laptop), (phone, PHONE))
    assert waiting_for(one, said) == set()
    assert drop_purged(one, NOW, 0) == drop_purged(phone, NOW, 0) == 1
    assert one.table() == phone.table()


def test_a_frontier_counts_only_where_all_that_it_names_is_here(one: Replica, family: Family):
    phone = ben_in(one, family)
    old = write(one, family.anna, family.vault, "t", "old")
    new = write(one, family.anna, family.vault, "t", "new")
    purge(one, family.anna, family.vault, old, new)
    sync(one, phone)
    write(phone, BEN, family.vault, "u", "not known to anna's laptop yet")
    signed = phone.sign_frontier(PHONE.id, PHONE.sign, NOW)
    one.sign_frontier(family.laptop.id, family.laptop.sign, NOW)
    one.take_signed_frontier(signed.to_wire())
    assert drop_purged(one, NOW, 0) == 0
    sync(one, phone)
    assert drop_purged(one, NOW, 0) == 1


def test_what_is_shown_cannot_be_purged(one: Replica, family: Family):
    shown_dot = write(one, family.anna, family.vault, "t", "shown")
    other = write(one, family.anna, family.vault, "u", "elsewhere")
    apart = write(one, family.anna, family.vault, "t", "apart", replaces=[])
    purge(one, family.anna, family.vault, shown_dot, other)
    purge(one, family.anna, family.vault, shown_dot, apart)
    purge(one, family.anna, family.vault, shown_dot, shown_dot)
    purge(one, family.anna, family.vault, shown_dot, b"?" * 18)
    stand((one, family.laptop))
    assert drop_purged(one, NOW, 0) == 0
    assert has_value(one, "shown")


def test_nobody_but_an_owner_or_an_admin_purges(one: Replica, family: Family):
    phone = ben_in(one, family)
    old = write(one, family.anna, family.vault, "t", "old")
    new = write(one, family.anna, family.vault, "t", "new")
    sync(one, phone)
    assert purge(phone, BEN, family.vault, old, new) != ""
    assert phone.state().purges == []


def test_what_was_purged_is_never_live_again_whatever_is_cut(one: Replica, family: Family):
    phone = ben_in(one, family)
    old = write(one, family.anna, family.vault, "t", "old")
    sync(one, phone)
    new = write(phone, BEN, family.vault, "t", "bens")
    beside = write(phone, BEN, family.vault, "u", "bens other")
    bens = [wire for wire in wires(phone) if wire not in wires(one)]
    sync(one, phone)
    purge(one, family.anna, family.vault, old, new)
    stand((one, family.laptop), (phone, PHONE))
    assert drop_purged(one, NOW, 0) == 1
    state(one, family.anna, [REMOVE, A_DEVICE, PHONE.id, []])
    assert shown(one) == {"t": {"bens"}}, "the floor counts, and it alone"
    assert one.live_dots(family.vault, at("u")) == []
    assert beside not in {dot for _, _, dot, _ in one.table()}
    assert copy(one, "late").table() == one.table()
    others = [wire for wire in wires(one) if wire not in bens]
    removed_first = new_replica("heard of the removal first", family.family)
    assert removed_first.ingest([*others, *bens]).refused is None
    assert removed_first.table() == one.table()


def test_an_undone_purge_drops_nothing_and_what_it_dropped_is_wanted(one: Replica, family: Family):
    phone = ben_in(one, family, role=ADMIN, right=OWNS)
    old = write(one, family.anna, family.vault, "t", "old")
    new = write(one, family.anna, family.vault, "t", "new")
    sync(one, phone)
    apart = copy(one, "annas tablet")
    apart.store.run("INSERT INTO own_logs SELECT author, log FROM logs WHERE author = ?", (family.anna.id,))
    purge(phone, BEN, family.vault, old, new)
    stand((phone, PHONE))
    phone.sign_frontier(PHONE.id, PHONE.sign, NOW)
    one.sign_frontier(family.laptop.id, family.laptop.sign, NOW)
    phone.take_signed_frontier(one.signed_frontiers()[family.laptop.id].to_wire())
    assert drop_purged(phone, NOW, 0) == 1
    state(apart, family.anna, [REMOVE, A_DEVICE, PHONE.id, []])
    assert phone.ingest(wires(apart)).refused is None
    assert phone.state().purges == []
    assert [dot for dot, _ in wanted(phone, 10)] == [old]
    assert phone.membership().ever_purged()[old]
    sync(apart, phone)
    assert has_value(phone, "old"), "any copy that has it gives it"
    sync(apart, one)
    assert drop_purged(one, NOW, 0) == 0
    assert has_value(one, "old")


def test_a_removed_device_is_waited_for_until_all_have_heard(one: Replica, family: Family):
    ben_in(one, family)
    tablet, second = Author("annas tablet"), Author("anna on her tablet")
    state(one, family.anna, admit_device(family.family, tablet, family.person),
          add_keyholder(family.family, family.person, tablet, second))  # fmt: skip
    other = copy(one, "annas tablet")
    old = write(one, family.anna, family.vault, "t", "old")
    new = write(one, family.anna, family.vault, "t", "new")
    purge(one, family.anna, family.vault, old, new)
    sync(one, other)
    stand((one, family.laptop), (other, tablet))
    assert lagging(one, one.last_id()) != []
    state(one, family.anna, [REMOVE, A_DEVICE, PHONE.id, []])
    one.sign_frontier(family.laptop.id, family.laptop.sign, NOW)
    assert drop_purged(one, NOW, 0) == 0, "the tablet has not heard that the phone is gone"
    sync(one, other)
    stand((one, family.laptop), (other, tablet))
    assert drop_purged(one, NOW, 0) == 1


def test_a_ciphertext_goes_when_a_copy_stands_in_for_it(one: Replica, family: Family):
    dot = write(one, family.anna, family.vault, "t", "value")
    name = write_copy(one, family.anna, family.vault, "t", dot, "value again")
    purge(one, family.anna, family.vault, dot, name)
    stand((one, family.laptop))
    assert drop_purged(one, NOW, 0) == 1
    assert one.live_dots(family.vault, at("t")) == [dot]
    assert not has_value(one, "value")
    assert [op.sealed for op in one.copies_of(dot)] == [sealed("value again")]
    assert wanted(one, 10) == []


def test_a_copy_goes_as_its_dot_goes(one: Replica, family: Family):
    dot = write(one, family.anna, family.vault, "t", "value")
    name = write_copy(one, family.anna, family.vault, "t", dot, "value again")
    shown_too = write(one, family.anna, family.vault, "u", "another")
    kept = write_copy(one, family.anna, family.vault, "u", shown_too, "another again")
    new = write(one, family.anna, family.vault, "t", "new")
    for item, floor in ((dot, new), (name, new), (kept, new)):
        assert purge(one, family.anna, family.vault, item, floor) == ""
    stand((one, family.laptop))
    assert drop_purged(one, NOW, 0) == 2
    assert not has_value(one, "value again")
    assert has_value(one, "another again"), "its dot is live, and the floor is elsewhere"
    assert wanted(one, 10) == []


def test_an_older_copy_goes_for_a_newer_one_and_never_both_for_one_another(one: Replica, family: Family):
    dot = write(one, family.anna, family.vault, "t", "first")
    names = [write_copy(one, family.anna, family.vault, "t", dot, text) for text in ("second", "third")]
    for item, floor in ((dot, names[0]), (names[0], names[1]), (names[1], names[0]), (names[1], names[1])):
        assert purge(one, family.anna, family.vault, item, floor) == ""
    stand((one, family.laptop))
    assert drop_purged(one, NOW, 0) == 2
    assert drop_purged(one, NOW, 0) == 0
    assert sum(has_value(one, text) for text in ("first", "second", "third")) == 1
    assert wanted(one, 10) == []


def test_an_unlock_wrap_is_forgotten_as_soon_as_the_newer_one_is_everywhere(one: Replica, family: Family):
    phone = ben_in(one, family)
    for wrap in (b"first wrap".ljust(64, b"."), b"second wrap".ljust(64, b".")):
        assert state(one, family.anna, [UNLOCK, family.person, wrap, b""]) == ""
    old, new = (unlock.hash for unlock in one.state().unlocks[family.person])
    assert state(one, family.anna, [FORGET, [old], new]) == ""
    one.sign_frontier(family.laptop.id, family.laptop.sign, NOW)
    assert drop_purged(one, NOW) == 0
    sync(one, phone)
    stand((one, family.laptop), (phone, PHONE))
    assert drop_purged(one, NOW) == drop_purged(phone, NOW) == 1
    for replica in (one, phone, copy(one, "fresh")):
        assert b"first wrap" not in b"".join(wires(replica))
        first, second = replica.state().unlocks[family.person]
        assert first.wrap is None
        assert second.wrap is not None
        assert replica.put_aside() == []
    assert one.frontier() == copy(one, "another").frontier()


def test_a_floor_in_another_vault_destroys_nothing(one: Replica, family: Family):
    """An admin without any right there makes copies in a vault of their own."""
    shown_dot = write(one, family.anna, family.vault, "t", "shown")
    copied = write_copy(one, family.anna, family.directory, "t", shown_dot, "junk")
    named = write(one, family.anna, family.directory, "t", "junk", replaces=[shown_dot])
    purge(one, family.anna, family.vault, shown_dot, copied)
    purge(one, family.anna, family.vault, shown_dot, named)
    stand((one, family.laptop))
    assert drop_purged(one, NOW, 0) == 0
    assert has_value(one, "shown")


def test_a_purge_that_lies_keeps_no_value_from_being_asked_for(one: Replica, family: Family):
    dot = write(one, family.anna, family.vault, "t", "shown")
    purge(one, family.anna, family.vault, dot, b"?" * 18)
    behind = stripped(one, "behind who keeps values back")
    assert [found for found, _ in wanted(behind, 10)] == [dot]
    sync(behind, one)
    assert has_value(behind, "shown")


@pytest.mark.parametrize("order", ["floor first", "purge first"])
def test_the_floor_counts_whenever_it_came(one: Replica, family: Family, order: str):
    """Purge, floor, removal; or floor, purge, removal: what was purged is live nowhere."""
    phone = ben_in(one, family)
    old = write(one, family.anna, family.vault, "t", "old")
    sync(one, phone)
    new = write(phone, BEN, family.vault, "t", "bens")
    if order == "floor first":
        sync(one, phone)
    purge(one, family.anna, family.vault, old, new)
    sync(one, phone)
    state(one, family.anna, [REMOVE, A_DEVICE, PHONE.id, []])
    assert shown(one) == {"t": {"bens"}}
    table = one.table()
    one.rebuild()
    assert one.table() == table


def test_a_wrap_that_was_kept_back_is_asked_for_and_half_a_wrap_forgets_like_a_whole_one(one: Replica, family: Family):
    wrap = b"first wrap".ljust(64, b".")
    for said in (wrap, b"second wrap".ljust(64, b".")):
        assert state(one, family.anna, [UNLOCK, family.person, said, b"older".ljust(64, b".")]) == ""
    two = stripped(one, "behind who keeps wraps back")
    first, _ = two.state().unlocks[family.person]
    assert first.wrap is None
    sync(one, two)
    assert two.state().unlocks == one.state().unlocks
    assert wanted(two, 10) == []
    old, new = (unlock.hash for unlock in one.state().unlocks[family.person])
    assert state(one, family.anna, [FORGET, [old], new]) == ""
    half = stripped(one, "half", parts=1)
    one.sign_frontier(family.laptop.id, family.laptop.sign, NOW)
    half.take_signed_frontier(one.signed_frontiers()[family.laptop.id].to_wire())
    assert drop_purged(half, NOW) == drop_purged(one, NOW) == 1
    assert wires(half)[1] == wires(one)[1]


def stripped(source: Replica, name: str, parts: int = 2) -> Replica:
    """A copy behind a peer that keeps back every value, and the last `parts` of each unlock statement."""
    made = new_replica(name, source.family)
    handed = []
    for wire in wires(source):
        *before, body = decode(wire)
        for item in body:
            if type(item[0]) is bytes and type(item[2]) is bytes:
                item[2] = [sha256(item[2]).digest()]
            elif item[0] == UNLOCK:
                item[4 - parts :] = [[sha256(part).digest()] for part in item[4 - parts :]]
        handed.append(encode([*before, body]))
    assert made.ingest(handed).refused is None
    return made


def test_a_clock_that_was_ahead_makes_the_waiting_begin_anew(one: Replica, family: Family):
    old = write(one, family.anna, family.vault, "t", "old")
    new = write(one, family.anna, family.vault, "t", "new")
    purge(one, family.anna, family.vault, old, new)
    stand((one, family.laptop))
    assert drop_purged(one, NOW + 100 * WAITING_MS) == 0
    assert drop_purged(one, NOW) == 0
    assert drop_purged(one, NOW + WAITING_MS) == 1


def test_a_floor_that_names_no_op_of_an_entry_that_is_here_is_no_damage(one: Replica, family: Family):
    old = write(one, family.anna, family.vault, "t", "old")
    new = write(one, family.anna, family.vault, "t", "new")
    purge(one, family.anna, family.vault, old, new[:16] + b"\x03\xff")
    stand((one, family.laptop))
    assert drop_purged(one, NOW, 0) == 0
    assert has_value(one, "old")

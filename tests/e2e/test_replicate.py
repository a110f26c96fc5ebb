"""Real nodes on loopback: what is saved on one device is read on the other, whoever dials or sleeps."""

from __future__ import annotations

import pytest

from tests.e2e.family import Device, now_ms, same, until

Three = tuple[Device, Device, Device]
YEAR_MS = 365 * 24 * 3600 * 1000


@pytest.mark.parametrize("dialler", ["laptop", "desktop"])
def test_a_save_is_read_on_the_other_device_and_back_whoever_dialled(trio_of: Three, dialler: str):
    laptop, desktop, _ = trio_of
    laptop.up()
    desktop.up()
    caller, called = (laptop, desktop) if dialler == "laptop" else (desktop, laptop)
    caller.meets(called)
    until(lambda: caller.connected(called), "no connection")
    there = laptop.save(label="Library", password="first")
    assert until(lambda: desktop.reads(there, "password"), "nothing came") == "first"
    back = desktop.save(label="Baker", password="bread")
    desktop.change(there, password="second")
    assert until(lambda: laptop.reads(back, "password"), "nothing came back") == "bread"
    until(lambda: laptop.reads(there, "password") == "second", "the change did not come back")
    assert len(laptop.ask("status")[1]["peers"]) == 2
    assert caller.connected(called)
    assert called.connected(caller)
    assert laptop.conflicts() == desktop.conflicts() == []
    until(lambda: same(laptop, desktop), "the copies differ")


def test_locked_devices_go_on_replicating(trio_of: Three):
    laptop, desktop, pi = trio_of
    items = [laptop.save(label=f"Account {number}", password=str(number)) for number in range(20)]
    laptop.close()  # from here on nobody is signed in anywhere
    for device in trio_of:
        device.up()
    laptop.meets(pi)
    pi.meets(desktop)
    laptop_has = laptop.replica.frontier()
    until(lambda: desktop.replica.frontier() == pi.replica.frontier() == laptop_has, "they did not copy")
    assert [desktop.reads(item, "password") for item in items] == [str(number) for number in range(20)]


def test_two_laptops_that_are_never_up_together_agree_through_the_blind_peer(trio_of: Three):
    laptop, desktop, pi = trio_of
    pi.up()
    item = laptop.save(label="Bank", password="from the laptop")
    laptop.up()
    laptop.meets(pi)
    until(lambda: same(laptop, pi), "the Pi did not get it")
    laptop.down()
    mine = desktop.save(label="School", password="from the desktop")
    desktop.up()
    desktop.meets(pi)
    until(lambda: desktop.reads(item, "password") == "from the laptop", "the Pi did not hand it on")
    until(lambda: same(desktop, pi), "the Pi did not take it")
    desktop.down()
    laptop.up()
    until(lambda: laptop.reads(mine, "password") == "from the desktop", "the Pi did not hand it back")
    assert same(laptop, desktop, pi)


@pytest.mark.parametrize("years", [0, 2, -2])
def test_edits_made_apart_merge_and_one_field_changed_twice_is_settled_by_the_next_write(
    trio_of: Three, years: int
):
    """Two years off, either way: a wrong clock changes nothing of it."""
    laptop, desktop, pi = trio_of
    desktop.open(clock=lambda: now_ms() + years * YEAR_MS)
    for device in trio_of:
        device.up()
    laptop.meets(pi)
    desktop.meets(pi)
    item = laptop.save(label="Bank", username="anna", password="old")
    until(lambda: desktop.reads(item, "password") == "old", "it did not come")
    desktop.down()
    laptop.change(item, password="laptop's", notes="closes at four")
    desktop.change(item, password="desktop's", username="anna.b")
    until(lambda: same(laptop, pi), "the Pi did not get it")
    laptop.down()
    desktop.up()
    laptop.up()
    laptop.meets(pi)
    desktop.meets(pi)
    until(lambda: same(*trio_of), "they did not agree again")
    for device in (laptop, desktop):
        fields = device.open().item(item).fields
        assert (fields["username"], fields["notes"]) == ("anna.b", "closes at four")
        assert device.conflicts() == [("password", {"laptop's", "desktop's"})]
    laptop.change(item, password="settled")
    until(lambda: desktop.reads(item, "password") == "settled", "the last write did not come")
    assert laptop.conflicts() == desktop.conflicts() == []
    assert {v.value for v in desktop.open().history(item, "password")} == {
        "old", "laptop's", "desktop's", "settled"
    }  # fmt: skip

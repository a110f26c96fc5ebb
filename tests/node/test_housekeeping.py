"""After a removal what came late is sealed anew, and stays on the list; a copy that lies is told to a person."""

from __future__ import annotations

from pathlib import Path

from node.housekeeping import COPY_DIFFERS, Tidied, reseal, tidy
from node.item import BASE, TAGS
from node.people import exposure, remove_device
from replication.membership import READS
from replication.replica import Replica
from replication.values import take_values, values, wanted
from tests.kin import sync
from tests.node.house import House
from tests.node.laptops import Laptop, account, join
from tests.node.test_vault import share
from tests.node.test_wanted import ACCOUNT, copied, dot_of, handed_on, vault_of

NOW = 1_900_000_000_000
DONE = Tidied(0, 0, 0, 0)


def tidied(laptop: Laptop) -> Tidied:
    return tidy(laptop.replica, laptop.unlocked, laptop.vaults, NOW)


def epochs_of(replica: Replica, dot: bytes) -> list[bytes]:
    """The epochs of a dot's ciphertexts, its own first."""
    copies = [replica.info(op.entry).epoch for op in replica.copies_of(dot)]
    return [replica.epoch_of(dot) or b"", *copies]


def test_what_came_late_under_the_old_key_is_sealed_anew_once(laptop: Laptop, tmp_path: Path):
    phone, tablet = join(laptop, tmp_path / "phone"), join(laptop, tmp_path / "tablet")
    early = account(laptop, "from before")
    sync(laptop.replica, tablet.replica)
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    assert tidied(laptop) == DONE, "what was here before is not sealed anew"
    late = account(tablet, "on the train")
    tablet.vaults.update_item(early, {"password": "on the train, too"})
    sync(laptop.replica, tablet.replica)
    assert tidied(laptop).resealed == 2
    present = laptop.replica.state().writable_epoch(bytes.fromhex(vault_of(laptop.vaults)))
    for item, name in ((late, BASE), (early, "password")):
        old, new = epochs_of(laptop.replica, dot_of(laptop.vaults, item, name))
        assert (old != present, new == present) == (True, True)
    sync(laptop.replica, tablet.replica)
    assert tidied(tablet) == Tidied(0, 0, 2, 0), "the tablet compares, and does it no second time"
    assert tidied(laptop) == Tidied(0, 0, 2, 0)
    assert tidied(tablet) == tidied(laptop) == DONE
    for one in (laptop, tablet):
        assert [one.password(item) for item in (early, late)] == ["on the train, too", "on the train"]
        assert not one.vaults.conflicts()
        named = {(found.item_id, found.field) for found in exposure(one.replica, one.vaults)}
        assert named == {(early, "password"), (late, "password")}, "the phone could read it all the same"


def test_it_is_sealed_anew_a_part_at_a_time(laptop: Laptop, tmp_path: Path):
    phone, tablet = join(laptop, tmp_path / "phone"), join(laptop, tmp_path / "tablet")
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    late = tablet.vaults
    late.import_items(vault_of(late), [{"label": f"Site {n}", "notes": "x" * 9000} for n in range(100)])
    sync(laptop.replica, tablet.replica)
    assert reseal(laptop.replica, laptop.unlocked, laptop.vaults, 64) == (64, 36)
    assert reseal(laptop.replica, laptop.unlocked, laptop.vaults, 64) == (36, 0)
    assert reseal(laptop.replica, laptop.unlocked, laptop.vaults, 64) == (0, 0)


def test_after_a_second_removal_nothing_is_sealed_a_third_time(laptop: Laptop, tmp_path: Path):
    phone, tablet = join(laptop, tmp_path / "phone"), join(laptop, tmp_path / "tablet")
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    account(tablet, "on the train")
    sync(laptop.replica, tablet.replica)
    assert tidied(laptop).resealed == 1
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, tablet.device.id)
    assert tidied(laptop).resealed == 0


def test_who_may_only_read_seals_nothing(house: House):
    replica = house.open()
    anna, ben = house.vaults(replica), house.vaults(replica, house.ben)
    share(house, replica, anna, READS)
    anna.create_item(vault_of(anna), ACCOUNT)
    assert tidy(replica, house.sign_in(replica, house.ben), ben, NOW) == DONE


def test_a_copy_that_says_something_else_is_an_alarm_that_names_its_author(laptop: Laptop, tmp_path: Path):
    phone = join(laptop, tmp_path / "phone")
    item = account(laptop, "ours")
    sync(laptop.replica, phone.replica)
    assert tidied(laptop) == DONE
    copied(phone.vaults, item, BASE, {"label": "Bank", "password": "the phone's"})
    sync(laptop.replica, phone.replica)
    assert tidied(laptop) == Tidied(0, 0, 1, 1)
    (alarm,) = laptop.replica.alarms()
    assert (alarm.kind, alarm.subject) == (COPY_DIFFERS, phone.unlocked.keyholder)
    laptop.replica.dismiss_alarm(alarm.kind, alarm.subject)
    assert tidied(laptop) == DONE
    assert laptop.replica.alarms() == []
    assert laptop.password(item) == "ours"


def test_a_copy_may_leave_out_what_has_a_write_of_its_own_and_nothing_else(laptop: Laptop):
    vaults = laptop.vaults
    item = vaults.create_item(vault_of(vaults), ACCOUNT)
    vaults.update_item(item, {"password": "two", TAGS: []})
    rest = {"kind": "Logins", "label": "Bank", "form_fields": {"pin": "1"}}
    for content, differs in (
        (rest, False),
        ({**rest, "password": "one"}, False),
        ({**rest, TAGS: ["money"]}, False),
        ({**rest, "password": "two"}, True),
        ({**rest, TAGS: ["other"]}, True),
        ({**rest, "notes": "new"}, True),
        ({**rest, "form_fields": {}}, True),
        ({"kind": "Logins"}, True),
        ("Bank", True),
    ):
        copied(vaults, item, BASE, content)
        found = tidied(laptop)
        assert (found.compared, found.differing) == (1, differs), content


def test_a_copy_is_compared_when_the_first_value_comes_after_it(laptop: Laptop):
    vaults = laptop.vaults
    item = vaults.create_item(vault_of(vaults), ACCOUNT)
    first = dot_of(vaults, item, BASE)
    copied(vaults, item, BASE, {"label": "another"})
    replica = laptop.replica
    own = replica.store.one("SELECT sealed FROM ops WHERE id = ?", (replica.op_of(first),))[0]
    other = handed_on(vaults, lambda op: op.sealed == own)
    there = other._replica
    assert tidy(there, laptop.unlocked, other, NOW) == DONE
    assert other.item(item).label == "another"
    take_values(there, values(replica, [first]))
    assert not wanted(there, 1)
    assert tidy(there, laptop.unlocked, other, NOW).differing == 1
    assert other.item(item).label == "Bank"


def test_copies_are_compared_anew_only_where_a_new_key_may_open_them(laptop: Laptop):
    vaults = laptop.vaults
    item = vaults.create_item(vault_of(vaults), ACCOUNT)
    copied(vaults, item, BASE, {"kind": "Logins", **ACCOUNT})
    assert tidied(laptop) == Tidied(0, 0, 1, 0)
    assert tidied(laptop) == DONE
    vaults.update_item(item, {"label": "Savings"})
    assert tidied(laptop) == DONE
    vaults.create_vault("A new vault, a new key")
    assert tidied(laptop).compared == 1

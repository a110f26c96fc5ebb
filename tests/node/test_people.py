"""Taking a device out: what it can read no more, what it wrote, what to change, and keys changed apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.errors import ExitCode, KinringError
from node.people import exposure, remove_device, remove_person
from tests.kin import sync
from tests.node.house import House
from tests.node.laptops import Laptop, account, join


def test_a_removed_device_reads_nothing_that_is_written_afterwards(laptop: Laptop, tmp_path: Path):
    phone, tablet = join(laptop, tmp_path / "phone"), join(laptop, tmp_path / "tablet")
    item = account(laptop, "from before")
    for other in (phone, tablet):
        sync(laptop.replica, other.replica)
        assert other.password(item) == "from before"
    done = remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    assert done.new_keys == 6
    laptop.vaults.update_item(item, {"password": "from afterwards"})
    sync(laptop.replica, tablet.replica)
    assert tablet.password(item) == "from afterwards"
    # The thief has the whole copy and every key that the phone ever had.
    sync(laptop.replica, phone.replica)
    assert phone.replica.table() == laptop.replica.table()
    assert "from afterwards" not in str([phone.vaults.history(item), phone.vaults.item(item).fields])
    with pytest.raises(KinringError):
        phone.vaults.update_item(item, {"notes": "still here"})


def test_a_new_device_reads_what_was_written_under_every_key(laptop: Laptop, tmp_path: Path):
    phone = join(laptop, tmp_path / "phone")
    first = account(laptop, "under the first key")
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    second = account(laptop, "under the second key")
    tablet = join(laptop, tmp_path / "tablet")
    assert [tablet.password(first), tablet.password(second)] == [
        "under the first key",
        "under the second key",
    ]


def test_what_the_lost_laptop_saved_unseen_is_put_aside_and_counted(laptop: Laptop, tmp_path: Path):
    phone = join(laptop, tmp_path / "phone")
    item = account(laptop, "ours")
    sync(laptop.replica, phone.replica)
    phone.vaults.update_item(item, {"password": "the thief's"})
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    sync(laptop.replica, phone.replica)
    assert laptop.password(item) == "ours"
    assert [why for _, why in laptop.replica.put_aside()] == ["beyond the cut of a removal"]


def test_the_exposure_list_names_what_to_change_and_forgets_what_was(laptop: Laptop, tmp_path: Path):
    assert exposure(laptop.replica, laptop.vaults) == []
    phone = join(laptop, tmp_path / "phone")
    item, other = account(laptop, "known to the phone"), account(laptop, "known too")
    laptop.vaults.update_item(other, {"notes": "a long story"})
    assert exposure(laptop.replica, laptop.vaults) == []
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    named = {(e.item_id, e.field) for e in exposure(laptop.replica, laptop.vaults)}
    assert named == {(item, "password"), (other, "password"), (other, "notes")}
    laptop.vaults.update_item(item, {"password": "changed"})
    laptop.vaults.update_item(other, {"notes": ""})
    assert [(e.item_id, e.field) for e in exposure(laptop.replica, laptop.vaults)] == [(other, "password")]


def test_keys_that_were_changed_apart_are_joined_by_the_next_writer(laptop: Laptop, tmp_path: Path):
    tablet, phone, watch = (join(laptop, tmp_path / name) for name in ("tablet", "phone", "watch"))
    for other in (tablet, phone):
        sync(laptop.replica, other.replica)
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    remove_device(tablet.replica, tablet.unlocked, tablet.vaults, watch.device.id)
    here, there = account(laptop, "written here"), account(tablet, "written there")
    sync(laptop.replica, tablet.replica)
    vault = bytes.fromhex(laptop.vaults.vaults()[1].vault_id)
    assert len(laptop.replica.state().vaults[vault].heads()) == 2
    joined = account(laptop, "written together")
    assert len(laptop.replica.state().vaults[vault].heads()) == 1
    sync(laptop.replica, tablet.replica)
    for side in (laptop, tablet):
        assert [side.password(i) for i in (here, there, joined)] == [
            "written here",
            "written there",
            "written together",
        ]
        assert side.vaults.unopened == {}


def test_who_may_not_be_removed(laptop: Laptop, house: House):
    with pytest.raises(KinringError) as refused:
        remove_device(laptop.replica, laptop.unlocked, laptop.vaults, laptop.device.id)
    assert refused.value.code == ExitCode.FORBIDDEN
    assert laptop.device.id in laptop.replica.state().devices
    ben = Laptop(laptop.device, laptop.replica, house.sign_in(laptop.replica, house.ben))
    with pytest.raises(KinringError) as refused:
        remove_person(ben.replica, ben.unlocked, ben.vaults, house.anna)
    assert refused.value.code == ExitCode.FORBIDDEN
    with pytest.raises(KinringError) as refused:
        remove_person(laptop.replica, laptop.unlocked, laptop.vaults, b"nobody is here..")
    assert refused.value.code == ExitCode.NOT_FOUND


def test_a_removed_person_is_gone_and_their_name_still_stands_at_what_they_wrote(
    laptop: Laptop, house: House
):
    laptop.vaults.grant_missing()
    done = remove_person(laptop.replica, laptop.unlocked, laptop.vaults, house.ben)
    assert house.ben not in laptop.replica.state().people
    # His vaults are his alone: Anna cannot read them, so cannot make them new keys either.
    assert done.waiting == 0
    assert done.new_keys == 1
    with pytest.raises(KinringError):
        house.vaults(laptop.replica, house.ben).create_item(
            laptop.vaults.vaults()[0].vault_id, {"label": "mine"}
        )


def test_a_device_is_removed_at_the_command_line(home):
    device = home.run("--json", "status").json["devices"][0]["device_id"]
    assert home.run("--json", "remove-device", "--device-id", device).error["code"] == ExitCode.USAGE
    only = home.run("--json", "remove-device", "--device-id", device[:8], "--yes")
    assert only.error["code"] == ExitCode.FORBIDDEN
    assert (
        home.run("--json", "remove-device", "--device-id", "00000000", "--yes").error["code"]
        == ExitCode.NOT_FOUND
    )
    assert home.run("--json", "exposure").json == []


def test_a_thief_who_opens_logs_without_end_is_removed_all_the_same(
    laptop: Laptop, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("node.people.MAX_CUTS", 3)
    monkeypatch.setattr("replication.membership.MAX_CUTS", 3)
    phone = join(laptop, tmp_path / "phone")
    item = account(phone, "from before")
    for _ in range(6):
        phone.replica.store.run("DELETE FROM own_logs")
        account(phone, "of the thief")
    sync(laptop.replica, phone.replica)
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    assert phone.device.id not in laptop.replica.state().devices
    assert laptop.password(item) == "from before"


def test_what_was_written_on_a_lost_device_still_counts_once_its_person_is_removed_too(
    laptop: Laptop, house: House, tmp_path: Path
):
    laptop.vaults.grant_missing()
    ben = Laptop(laptop.device, laptop.replica, house.sign_in(laptop.replica, house.ben))
    vault = ben.vaults.create_vault("on the way")
    tablet = join(ben, tmp_path / "tablet")
    tablet.vaults.create_item(vault, {"label": "on the tablet"})
    sync(tablet.replica, laptop.replica)
    remove_device(ben.replica, ben.unlocked, ben.vaults, tablet.device.id)
    remove_person(laptop.replica, laptop.unlocked, laptop.vaults, house.ben)
    assert laptop.replica.put_aside() == []

"""After a removal the family's devices find one another by a new key, and the removed one knows them no more."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path

import pytest

from discovery.rotating_id import make, recognise
from node.discovery_keys import held_keys, keys_in_use, newest_key, renewal, without_newest
from node.people import remove_device, remove_person, set_role
from node.sealing import Unopened
from node.upkeep import at_unlock
from replication.membership import ADMIN
from tests.kin import sync
from tests.node.house import House
from tests.node.laptops import Laptop, join

NOW = 1_900_000_300_000


def _signature(laptop: Laptop, message: bytes) -> bytes:
    return laptop.device.sign.sign(message).signature


def hear(*laptops: Laptop) -> None:
    """All get what the others have, and say that they have it."""
    for _ in range(2):
        for one in laptops:
            one.replica.sign_frontier(one.device.id, partial(_signature, one), NOW)
            for other in laptops:
                if other is not one:
                    sync(one.replica, other.replica)


def keys(laptop: Laptop) -> list[bytes]:
    return keys_in_use(laptop.replica, laptop.device)


def tags(laptop: Laptop) -> list[str]:
    """What it announces now."""
    return [make(key, laptop.device.id, secrets.token_bytes(8)) for key in keys(laptop)]


def knows(laptop: Laptop, other: Laptop) -> bool:
    """Whether it finds the other by what that announces."""
    return any(recognise(tag, keys(laptop), [other.device.id]) == other.device.id for tag in tags(other))


def remove(laptop: Laptop, other: Laptop) -> None:
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, other.device.id)


def test_the_removed_device_recognises_no_tag_once_all_have_said_that_they_know(laptop: Laptop, tmp_path: Path):
    tablet, phone = join(laptop, tmp_path / "tablet"), join(laptop, tmp_path / "phone")
    hear(laptop, tablet, phone)
    (stolen,) = keys(phone)
    assert keys(laptop) == keys(tablet) == [stolen]
    remove(laptop, phone)
    # The tablet has not heard yet: the old key is in use beside the new one, or the two would not meet.
    assert keys(laptop)[1:] == keys(tablet) == [stolen]
    assert knows(laptop, tablet)
    assert knows(tablet, laptop)
    sync(laptop.replica, tablet.replica)
    assert len(keys(laptop)) == 2
    hear(laptop, tablet)
    sync(laptop.replica, phone.replica)
    assert keys(laptop) == keys(tablet) == [newest_key(laptop.replica.state(), laptop.device)]
    assert stolen not in keys(laptop)
    thief = [stolen, *held_keys(phone.replica.state(), phone.device)]
    for one in (laptop, tablet):
        assert knows(laptop, tablet)
        assert all(recognise(tag, thief, [one.device.id]) is None for tag in tags(one))


def test_a_device_that_comes_later_is_given_the_new_key(laptop: Laptop, tmp_path: Path):
    phone = join(laptop, tmp_path / "phone")
    remove(laptop, phone)
    tablet = join(laptop, tmp_path / "tablet")
    assert keys(tablet) == keys(laptop)[:1]
    hear(laptop, tablet)
    assert keys(tablet) == keys(laptop)
    assert without_newest(laptop.replica.membership()) == set()


def test_one_let_in_apart_from_the_removal_is_given_one_more_by_an_admin(laptop: Laptop, tmp_path: Path):
    tablet, phone = join(laptop, tmp_path / "tablet"), join(laptop, tmp_path / "phone")
    hear(laptop, tablet, phone)
    remove(laptop, phone)
    watch = join(tablet, tmp_path / "watch")
    hear(laptop, tablet, watch)
    assert without_newest(laptop.replica.membership()) == {watch.device.id}
    assert [len(keys(one)) for one in (laptop, tablet, watch)] == [2, 2, 1]
    assert knows(watch, laptop), "by the old key, which is kept for it"
    me = laptop.unlocked
    at_unlock(laptop.replica, me, laptop.vaults, "laptop", secrets.token_bytes)
    assert renewal(laptop.replica.membership(), me.person, secrets.token_bytes) == []
    hear(laptop, tablet, watch)
    assert keys(laptop) == keys(tablet) == keys(watch)
    assert len(keys(watch)) == 1


def test_whoever_was_removed_says_nothing_when_they_sign_in(laptop: Laptop, tmp_path: Path):
    phone = join(laptop, tmp_path / "phone")
    remove(laptop, phone)
    sync(laptop.replica, phone.replica)
    before = phone.replica.last_id()
    at_unlock(phone.replica, phone.unlocked, phone.vaults, "phone", secrets.token_bytes)
    assert phone.replica.last_id() == before


def test_removals_apart_end_with_one_key(laptop: Laptop, tmp_path: Path):
    tablet, phone, watch = (join(laptop, tmp_path / name) for name in ("tablet", "phone", "watch"))
    hear(laptop, tablet, phone, watch)
    remove(laptop, phone)
    remove(tablet, watch)
    hear(laptop, tablet)
    assert len(laptop.replica.state().discovery) == 2
    assert keys(laptop) == keys(tablet)
    assert len(keys(laptop)) == 1


def test_who_is_no_admin_makes_none_and_a_device_of_nobody_has_none(laptop: Laptop, house: House, tmp_path: Path):
    laptop.vaults.grant_missing()
    ben = Laptop(laptop.device, laptop.replica, house.sign_in(laptop.replica, house.ben))
    tablet = join(ben, tmp_path / "tablet")
    remove(ben, tablet)
    assert laptop.replica.state().discovery == []
    assert renewal(laptop.replica.membership(), house.ben, secrets.token_bytes) == []
    with pytest.raises(Unopened):
        newest_key(laptop.replica.state(), tablet.device)
    set_role(laptop.replica, laptop.unlocked, house.ben, ADMIN)
    remove_person(laptop.replica, laptop.unlocked, laptop.vaults, house.ben)
    assert laptop.replica.state().discovery == [], "he had no device of his own left"

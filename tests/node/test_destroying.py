"""Emptying the bin, erasing an account, and purging what an account held before: gone everywhere, and not before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from node.errors import ExitCode, KinringError
from node.item import BASE, TAGS
from node.vault import Vaults
from replication.entry import MAX_COUNT
from replication.membership import READS, WRITES
from replication.purge import WAITING_MS, drop_purged
from replication.replica import Replica
from tests.kin import copy, sync
from tests.node.house import House
from tests.node.laptops import Laptop, account, join
from tests.node.test_vault import share
from tests.node.test_wanted import ACCOUNT, at, copied, dot_of, reader, vault_of

DAY_MS = 24 * 3600 * 1000
NOW = 1_900_000_000_000


def an_evening_at_home(laptops: Sequence[Laptop], now: int = NOW) -> None:
    """All meet, say what they have, and hear what the others said."""
    for _ in range(2):
        for one in laptops:
            for other in laptops:
                if one is not other:
                    sync(one.replica, other.replica)
        for one in laptops:
            one.replica.sign_frontier(one.device.id, partial(signature, one), now)


def signature(laptop: Laptop, message: bytes) -> bytes:
    return laptop.device.sign.sign(message).signature


def thirty_days(laptops: Sequence[Laptop]) -> None:
    an_evening_at_home(laptops)
    for one in laptops:
        drop_purged(one.replica, NOW)
        drop_purged(one.replica, NOW + WAITING_MS)


def sealed_values(replica: Replica, vaults: Vaults, item_id: str) -> int:
    """How many sealed values of an account are in the store, but for where it stands in the bin."""
    vault = bytes.fromhex(vault_of(vaults))
    targets = set(vaults._targets(vault, bytes.fromhex(item_id))) - {at(vaults, item_id, ".state")}
    return sum(
        replica.store.one("SELECT count(*) FROM ops WHERE target = ? AND length(sealed) > 0", (one,))[0]
        for one in targets
    )


def code_of(action: Any, *arguments: Any, **named: Any) -> ExitCode:
    with pytest.raises(KinringError) as told:
        action(*arguments, **named)
    return told.value.code


def test_what_was_in_the_bin_is_gone_on_every_device_after_thirty_days(laptop: Laptop, tmp_path: Path):
    phone = join(laptop, tmp_path / "phone")
    gone, kept = account(laptop, "one"), account(laptop, "kept")
    laptop.vaults.update_item(gone, {"password": "two", "form_fields": {"pin": "1"}, TAGS: ["old"]})
    laptop.vaults.delete_item(gone)
    done = laptop.vaults.empty_bin()
    assert (done.accounts, done.vaults, done.left, done.stopped) == ([gone], [], [], False)
    assert done.until == NOW + WAITING_MS
    assert len(done.waiting) == 2
    for deleted in (True, False):
        assert gone not in [item.item_id for item in laptop.vaults.items(deleted=deleted).items]
    an_evening_at_home([laptop, phone])
    assert drop_purged(laptop.replica, NOW) == drop_purged(laptop.replica, NOW + WAITING_MS - 1) == 0
    thirty_days([laptop, phone])
    for one in (laptop, phone):
        assert sealed_values(one.replica, one.vaults, gone) == 0
        assert one.password(kept) == "kept"
        versions = one.vaults.history(gone)
        assert {version.purged_by for version in versions if version.value is None and version.dot} >= {"Anna"}
        assert not [version for version in versions if version.value is not None or version.wanted]
    assert laptop.replica.table() == phone.replica.table()


def test_what_was_emptied_comes_back_until_the_bytes_are_gone(laptop: Laptop):
    vaults = laptop.vaults
    item = vaults.create_item(vault_of(vaults), {**ACCOUNT, "notes": "long ago"})
    vaults.update_item(item, {"password": "two", "notes": "", "form_fields": {"pin": "2", "puk": "3"}, TAGS: ["a"]})
    before = vaults.item(item)
    vaults.erase(item)
    assert not vaults.items(vault_of(vaults)).items
    vaults.restore_item(item)
    for seen in (laptop.vaults.item(item), laptop.vaults.items(vault_of(vaults)).items[0]):
        assert (seen.fields, seen.tags, seen.form_fields) == (before.fields, before.tags, before.form_fields)
        assert (seen.deleted, seen.revived, seen.conflicts, seen.stub) == (False, False, {}, False)
    thirty_days([laptop])
    assert laptop.vaults.item(item).fields == before.fields
    assert {version.value for version in laptop.vaults.history(item, "password")} >= {"two"}
    vaults = laptop.vaults
    vaults.erase(item)
    thirty_days([laptop])
    assert code_of(laptop.vaults.restore_item, item) is ExitCode.NOT_FOUND


def test_an_edit_made_apart_comes_back_as_a_stub_with_the_rest_in_its_history(vaults: Vaults):
    item = vaults.create_item(vault_of(vaults), ACCOUNT)
    other = reader(copy(vaults._replica, "elsewhere"), vaults)
    other.update_item(item, {"password": "needed"})
    vaults.delete_item(item)
    assert vaults.empty_bin(vault_of(vaults)).accounts == [item]
    sync(vaults._replica, other._replica)
    for one in (vaults, other):
        (seen,) = one.items(vault_of(one)).items
        assert (seen.fields, seen.revived, seen.stub) == ({"password": "needed"}, True, True)
        assert [v.value for v in one.history(item, "label")] == ["Bank"]
    vaults.restore_item(item)
    assert vaults.item(item).fields == {"kind": "Logins", "label": "Bank", "password": "needed"}
    assert vaults.item(item).tags == ["money"]


def test_taken_out_of_the_bin_while_someone_else_emptied_it_it_is_shown(vaults: Vaults):
    item = vaults.create_item(vault_of(vaults), ACCOUNT)
    vaults.delete_item(item)
    other = reader(copy(vaults._replica, "elsewhere"), vaults)
    other.restore_item(item)
    vaults.empty_bin()
    sync(vaults._replica, other._replica)
    for one in (vaults, other):
        (seen,) = one.items(vault_of(one)).items
        assert (seen.item_id, seen.fields, seen.stub, seen.revived) == (item, {}, True, True)
    other.restore_item(item)
    assert other.item(item).fields == {"kind": "Logins", "label": "Bank", "password": "one"}


def test_a_full_bin_is_emptied_in_bounded_entries_and_may_be_stopped(vaults: Vaults):
    vault = vault_of(vaults)
    vaults.import_items(vault, [{"label": f"Site {n}", "password": "x"} for n in range(300)])
    for item in vaults.items(vault).items:
        vaults.delete_item(item.item_id)
    told: list[tuple[int, int]] = []

    def progress(done: int, of: int) -> bool:
        told.append((done, of))
        return len(told) == 2

    done = vaults.empty_bin(vault, progress=progress)
    assert done.stopped
    assert told == [(len(done.accounts) // 2, 300), (len(done.accounts), 300)]
    assert vaults.items(vault, deleted=True).total == 300 - len(done.accounts)
    assert vaults.empty_bin(vault).values == 300 - len(done.accounts)
    assert vaults.items(vault, deleted=True).total == 0
    assert not vaults.empty_bin(vault).accounts


def test_only_what_has_been_in_the_bin_for_long_goes(house: House):
    vaults = house.vaults()
    items = [vaults.create_item(vault_of(vaults), {"label": label}) for label in ("old", "new")]
    for item in items:
        vaults.delete_item(item)
        house.now += 10 * DAY_MS
    assert vaults.empty_bin(older_than=30 * DAY_MS).accounts == []
    assert vaults.empty_bin(older_than=15 * DAY_MS).accounts == items[:1]


def test_a_vault_in_the_bin_goes_with_all_it_holds(vaults: Vaults):
    boat = vaults.create_vault("Boat")
    item = vaults.create_item(boat, {"label": "Key"})
    vaults.delete_vault(boat)
    done = vaults.empty_bin()
    assert (done.accounts, done.vaults) == ([item], [boat])
    assert boat not in [view.vault_id for view in [*vaults.vaults(), *vaults.vaults(deleted=True)]]
    vaults.restore_vault(boat)
    vaults.restore_item(item)
    assert vaults.vault(boat).title == "Boat"
    assert [found.label for found in vaults.items(boat).items] == ["Key"]


def test_who_does_not_own_the_vault_destroys_nothing(house: House):
    replica = house.open()
    anna, ben = house.vaults(replica), house.vaults(replica, house.ben)
    item = anna.create_item(vault_of(anna), ACCOUNT)
    anna.delete_item(item)
    for right in (READS, WRITES):
        vault = share(house, replica, anna, right)
        for action in (ben.erase, ben.purge_history):
            assert code_of(action, item) is ExitCode.FORBIDDEN
        assert code_of(ben.empty_bin, vault) is ExitCode.FORBIDDEN
        assert ben.empty_bin().left == [vault]
    assert anna.items(deleted=True).total == 1


def test_earlier_passwords_are_destroyed_and_the_present_one_stays(laptop: Laptop, tmp_path: Path):
    phone = join(laptop, tmp_path / "phone")
    item = laptop.vaults.create_item(vault_of(laptop.vaults), ACCOUNT)
    for password in ("two", "three"):
        laptop.vaults.update_item(item, {"password": password})
    before = laptop.vaults.item(item)
    first = laptop.vaults.purge_history(item)
    assert (first.values, first.left) == (1, ["password"])
    assert len(first.waiting) == 2, "nobody has said yet that they have it"
    an_evening_at_home([laptop, phone])
    second = laptop.vaults.purge_history(item)
    assert (second.values, second.left) == (1, [])
    assert laptop.vaults.purge_history(item).values == 0
    thirty_days([laptop, phone])
    for one in (laptop, phone):
        now = one.vaults.item(item)
        assert (now.fields, now.tags, now.form_fields, now.conflicts) == (
            before.fields, before.tags, before.form_fields, {},
        )  # fmt: skip
        assert (now.wanted, now.version, now.created_at) == ([], before.version, before.created_at)
        history = {(v.field, v.value, v.purged_by) for v in one.vaults.history(item, "password")}
        assert history == {("password", "three", ""), ("password", None, "Anna")}
        assert [v.value for v in one.vaults.history(item, "label")] == ["Bank"]
        assert sealed_values(one.replica, one.vaults, item) == 2, "the password, and what the base says beside it"


def test_the_floor_of_a_base_names_its_copy_and_what_overrides_it(laptop: Laptop):
    item = laptop.vaults.create_item(vault_of(laptop.vaults), ACCOUNT)
    laptop.vaults.update_item(item, {"password": "two", TAGS: []})
    an_evening_at_home([laptop])
    base = dot_of(laptop.vaults, item, BASE)
    laptop.vaults.purge_history(item)
    (purge,) = laptop.replica.state().purges
    (copied,) = laptop.replica.copies_of(base)
    password = dot_of(laptop.vaults, item, "password")
    assert set(purge.items) == {base}
    assert password in purge.items[base]
    assert any(laptop.replica.op_of(dot) == copied.entry * MAX_COUNT + copied.index for dot in purge.items[base])
    assert len(purge.items[base]) == 3


def test_nothing_is_left_in_copies_of_what_was_erased(laptop: Laptop, tmp_path: Path):
    """Sealed anew, taken away from, then erased: every ciphertext goes."""
    phone = join(laptop, tmp_path / "phone")
    item = laptop.vaults.create_item(vault_of(laptop.vaults), ACCOUNT)
    copied(laptop.vaults, item, BASE, {"kind": "Logins", **ACCOUNT})
    laptop.vaults.update_item(item, {"password": "two"})
    an_evening_at_home([laptop, phone])
    assert laptop.vaults.purge_history(item).values == 2
    thirty_days([laptop, phone])
    assert sealed_values(phone.replica, phone.vaults, item) == 2, "the password, and what the base says beside it"
    assert phone.vaults.item(item).fields == {"kind": "Logins", "label": "Bank", "password": "two"}
    laptop.vaults.erase(item)
    thirty_days([laptop, phone])
    for one in (laptop, phone):
        assert sealed_values(one.replica, one.vaults, item) == 0


def test_only_what_was_replaced_long_ago_is_destroyed(house: House):
    vaults = house.vaults()
    item = vaults.create_item(vault_of(vaults), {"label": "Bank", "notes": "0"})
    for text in ("1", "2", "3"):
        vaults.update_item(item, {"notes": text})
        house.now += 10 * DAY_MS
    assert vaults.purge_history(item, older_than=15 * DAY_MS).values == 1
    assert vaults.purge_history(item).values == 1


def test_an_edit_made_apart_is_not_hidden_by_a_purge(laptop: Laptop, tmp_path: Path):
    """The phone set the label while the laptop purged; both stay."""
    phone = join(laptop, tmp_path / "phone")
    item = laptop.vaults.create_item(vault_of(laptop.vaults), ACCOUNT)
    laptop.vaults.update_item(item, {"password": "two"})
    an_evening_at_home([laptop, phone])
    phone.vaults.update_item(item, {"label": "Savings"})
    laptop.vaults.purge_history(item)
    thirty_days([laptop, phone])
    for one in (laptop, phone):
        assert one.vaults.item(item).fields == {"kind": "Logins", "label": "Savings", "password": "two"}

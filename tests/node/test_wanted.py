"""What is read where a value is missing, or its key has not come: its copies, or a word that it is wanted."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from node.item import BASE, STATE, TAGS
from node.people import remove_device
from node.sealing import Value, target
from node.vault import Vaults
from replication.encoding import decode, encode
from replication.entry import Op, from_wire
from replication.replica import Replica
from replication.values import take_values, values, wanted
from tests.kin import copy, new_replica, sync, wires
from tests.node.laptops import Laptop, account, join

ACCOUNT = {"label": "Bank", "password": "one", TAGS: ["money"], "form_fields": {"pin": "1"}}


def vault_of(vaults: Vaults) -> str:
    return vaults.vaults()[1].vault_id


def at(vaults: Vaults, item_id: str, name: str) -> bytes:
    """Where a field of an account lies."""
    keys = next(iter(vaults.epoch_keys(bytes.fromhex(vault_of(vaults))).values()))
    return target(keys.target_key, bytes.fromhex(item_id), name)


def dot_of(vaults: Vaults, item_id: str, name: str) -> bytes:
    (dot,) = vaults._replica.live_dots(bytes.fromhex(vault_of(vaults)), at(vaults, item_id, name))
    return dot


def handed_on(vaults: Vaults, without: Callable[[Op], bool]) -> Vaults:
    """The same person on a device whose peer kept some values back."""

    def stripped(wire: bytes) -> bytes:
        ops = from_wire(wire).ops
        body = [(emptied(op) if op.sealed and without(op) else op).to_value() for op in ops]
        return encode([*decode(wire)[:-1], body]) if ops else wire

    def emptied(op: Op) -> Op:
        return op._replace(sealed=None, digest=sha256(op.sealed or b"").digest())

    replica = new_replica("another", vaults._replica.family)
    assert replica.ingest([stripped(wire) for wire in wires(vaults._replica)]).refused is None
    return reader(replica, vaults)


def reader(replica: Replica, vaults: Vaults) -> Vaults:
    return Vaults(replica, vaults._unlocked, random_bytes=secrets.token_bytes, clock=lambda: 1_950_000_000_000)


def copied(vaults: Vaults, item_id: str, name: str, value: object) -> bytes:
    """A copy of a field's live dot; its name."""
    vault = bytes.fromhex(vault_of(vaults))
    (made,) = vaults.write_copies(
        vault, [(dot_of(vaults, item_id, name), Value(bytes.fromhex(item_id), name, "", value))]
    )
    return made


def test_a_field_whose_value_was_kept_back_is_named_until_it_comes(vaults: Vaults):
    item_id = vaults.create_item(vault_of(vaults), ACCOUNT)
    vaults.update_item(item_id, {"password": "two"})
    where = at(vaults, item_id, "password")
    other = handed_on(vaults, lambda op: op.target == where)
    for seen in (other.item(item_id), other.items(vault_of(vaults)).items[0]):
        assert seen.wanted == ["password"]
        assert seen.fields["password"] == "one", "the base's, as long as nothing better is known"
    assert other.wanted() == {vault_of(vaults): 1}
    assert [(v.value, v.wanted) for v in other.history(item_id, "password")] == [(None, True), ("one", False)]
    (asked,) = wanted(other._replica, 9)
    take_values(other._replica, values(vaults._replica, [asked[0]]))
    for seen in (other.item(item_id), other.items(vault_of(vaults)).items[0]):
        assert (seen.wanted, seen.fields["password"]) == ([], "two")
    assert other.wanted() == {}


def test_what_is_missing_is_not_overwritten_unseen(vaults: Vaults):
    item_id = vaults.create_item(vault_of(vaults), ACCOUNT)
    vaults.update_item(item_id, {"password": "two"})
    where = at(vaults, item_id, "password")
    other = handed_on(vaults, lambda op: op.target == where)
    other.update_item(item_id, {"password": "three"})
    sync(other._replica, vaults._replica)
    assert {c.value for c in vaults.item(item_id).conflicts["password"]} == {"two", "three"}


def test_an_account_whose_first_values_are_missing_is_a_line_in_the_list(vaults: Vaults):
    item_id = vaults.create_item(vault_of(vaults), ACCOUNT)
    vaults.update_item(item_id, {"password": "two"})
    where = at(vaults, item_id, BASE)
    other = handed_on(vaults, lambda op: op.target == where)
    (shown,) = other.items(vault_of(vaults)).items
    assert (shown.wanted, shown.fields) == (["base"], {"password": "two"})


def test_of_a_value_that_is_gone_the_fullest_copy_is_read_and_its_author_stays(vaults: Vaults):
    item_id = vaults.create_item(vault_of(vaults), ACCOUNT)
    before = vaults.item(item_id)
    base = {"kind": "Logins", **ACCOUNT}
    copied(vaults, item_id, BASE, {"label": "Bank"})
    fullest = copied(vaults, item_id, BASE, {name: base[name] for name in ("label", "password", TAGS)})
    copied(vaults, item_id, BASE, {"password": "one"})
    assert vaults.item(item_id) == before, "while the first is here, it is what is read"
    first = dot_of(vaults, item_id, BASE)
    entry = vaults._replica.op_of(first)
    digest = sha256(vaults._replica.store.one("SELECT sealed FROM ops WHERE id = ?", (entry,))[0]).digest()
    other = handed_on(vaults, lambda op: sha256(op.sealed or b"").digest() == digest)
    for seen in (other.item(item_id), other.items(vault_of(vaults)).items[0]):
        assert seen.fields == {"label": "Bank", "password": "one"}
        assert (seen.tags, seen.wanted) == (["money"], [])
        assert (seen.created_at, seen.version) == (before.created_at, 1)
    assert {version.dot for version in other.history(item_id)} == {first.hex()}
    assert fullest != first


def test_without_the_first_key_a_copy_under_a_newer_one_is_read(laptop: Laptop, tmp_path: Path):
    phone = join(laptop, tmp_path / "phone")
    item = account(laptop, "ours")
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    copied(laptop.vaults, item, BASE, {"label": "Bank", "password": "ours"})
    late = laptop.vaults
    vault = bytes.fromhex(vault_of(late))
    newest = laptop.replica.state().writable_epoch(vault)
    assert newest is not None
    late._keys[vault] = {newest: late._keys[vault][newest]}
    late._forget_models()
    assert late.item(item).fields["password"] == "ours"
    late.update_item(item, {"password": "mine"})
    assert laptop.vaults.item(item).conflicts == {}


def test_a_value_that_is_missing_and_on_no_list_keeps_the_account_out_of_the_bin(vaults: Vaults):
    item_id = vaults.create_item(vault_of(vaults), ACCOUNT)
    other = reader(copy(vaults._replica, "elsewhere"), vaults)
    vaults.delete_item(item_id)
    other.update_item(item_id, {"notes": "still needed"})
    sync(vaults._replica, other._replica)
    where = at(vaults, item_id, "notes")
    third = handed_on(vaults, lambda op: op.target == where)
    assert third.item(item_id).revived
    assert third.items(vault_of(vaults)).items[0].wanted == ["notes"]


def test_deleted_stays_deleted_when_a_write_over_an_earlier_value_is_cut(laptop: Laptop, tmp_path: Path):
    """The phone wrote over the password, the laptop deleted what it saw, and the phone's write falls with the phone."""
    phone = join(laptop, tmp_path / "phone")
    item = account(laptop, "one")
    laptop.vaults.update_item(item, {"password": "two"})
    sync(laptop.replica, phone.replica)
    early = copy(laptop.replica, "early")
    phone.vaults.update_item(item, {"password": "the phone's"})
    sync(laptop.replica, phone.replica)
    laptop.vaults.delete_item(item)
    # Anna removes the phone on a copy that has not seen its write.
    tablet = Laptop(laptop.device, early, laptop.unlocked)
    remove_device(tablet.replica, tablet.unlocked, tablet.vaults, phone.device.id)
    sync(tablet.replica, laptop.replica)
    for replica in (laptop.replica, tablet.replica):
        vaults = Laptop(laptop.device, replica, laptop.unlocked).vaults
        assert vaults.item(item).deleted
        assert not vaults.items(vault_of(vaults)).items
        assert laptop.replica.live_dots(bytes.fromhex(vault_of(vaults)), at(vaults, item, STATE))

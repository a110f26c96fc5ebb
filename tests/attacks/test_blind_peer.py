"""A blind peer that lies: it has every entry and no key, and may have a member's help (A25 to A28)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.grants import grant_statement
from node.keyholder import Unlocked
from node.sealing import Opener, Place, Unopened
from replication.entry import Op, from_wire
from replication.membership import WRITES
from replication.replica import Draft, Replica
from tests.attacks.forge import appended, changed, last_entry, refusal, under_own_name
from tests.kin import copy, new_replica, wires
from tests.node.house import House
from tests.node.laptops import Laptop, account


@pytest.fixture
def ben(laptop: Laptop, house: House) -> Unlocked:
    """A member in league with the blind peer: he may write in Anna's vault, and misuses it."""
    vault = bytes.fromhex(laptop.vaults.vaults()[1].vault_id)
    state = laptop.replica.state()
    epoch = state.vaults[vault].newest_epoch()
    assert epoch is not None
    boxes = {key: state.keyholders[key].box_key for key in state.keyholders_of(house.ben)}
    grant = grant_statement(
        state.family, vault, epoch, laptop.vaults.epoch_keys(vault)[epoch], house.ben, WRITES, boxes
    )
    laptop.replica.append(laptop.unlocked.keyholder, laptop.unlocked.sign, lambda _: Draft(statements=(grant,)), 1)
    return house.sign_in(laptop.replica, house.ben)


def two_accounts(laptop: Laptop) -> tuple[str, bytes, str, bytes]:
    """Two accounts and the entry of each."""
    one = account(laptop, "of the bank")
    first = last_entry(laptop.replica)
    return one, first, account(laptop, "of the forum"), last_entry(laptop.replica)


def victim(laptop: Laptop) -> Replica:
    """Another device, with all but the newest entry: the peer hands it what it likes."""
    made = new_replica("victim", laptop.replica.family)
    assert made.ingest(wires(laptop.replica)[:-1]).refused is None
    return made


def test_a25_ciphertext_of_one_record_served_as_another(laptop: Laptop, ben: Unlocked):
    one, first, two, second = two_accounts(laptop)
    stolen = from_wire(first).ops
    at_the_other = [Op(op.target, (), theirs.sealed) for op, theirs in zip(from_wire(second).ops, stolen, strict=True)]
    # By the peer alone: whoever signed the second entry did not sign this.
    assert refusal(victim(laptop), changed(second, body=[op.to_value() for op in at_the_other])) == "signature"
    # With a member's signature and the first entry's salt and commitment: the log and seq are in the key.
    under_own_name(laptop.replica, ben.keyholder, ben.sign, first, at_the_other)
    vaults = laptop.vaults
    assert [vaults.item(i).fields["password"] for i in (one, two)] == ["of the bank", "of the forum"]
    assert set(vaults.unopened.values()) == {"commitment"}


def test_a26_field_or_password_swapped_between_items(laptop: Laptop, ben: Unlocked):
    one, _, two, _ = two_accounts(laptop)
    laptop.vaults.update_item(one, {"username": "mallory"})
    username = last_entry(laptop.replica)
    laptop.vaults.update_item(one, {"password": "of the bank, changed"})
    password = last_entry(laptop.replica)
    # The username's ciphertext at the password's target and the reverse, by the peer and by a member.
    at = from_wire(password).ops[0].target
    value = from_wire(username).ops[0]
    assert refusal(victim(laptop), changed(password, body=[[at, [], value.sealed]])) == "signature"
    under_own_name(laptop.replica, ben.keyholder, ben.sign, username, [Op(at, (), value.sealed)])
    # Within the entry that it was sealed for, another target or index does not open: there is nothing to express it by.
    info = laptop.replica.info(laptop.replica.last_id() - 2)
    keys = laptop.vaults.epoch_keys(info.vault)[info.epoch]
    place = Place(laptop.replica.family or b"", info.vault, info.epoch, info.suite, info.log, info.seq)
    opener = Opener(keys, place, info.salt, info.commitment)
    assert opener.open(0, value.target, value.sealed or b"").value == "mallory"
    for index, where in ((0, at), (1, value.target)):
        with pytest.raises(Unopened, match="tag"):
            opener.open(index, where, value.sealed or b"")
    assert laptop.vaults.item(one).fields["password"] == "of the bank, changed"
    assert laptop.vaults.item(two).fields["username"] == "anna"


def test_a27_op_replayed_as_newer_counter(laptop: Laptop, ben: Unlocked):
    item = account(laptop, "old")
    laptop.vaults.update_item(item, {"password": "older"})
    old = last_entry(laptop.replica)
    laptop.vaults.update_item(item, {"password": "new"})
    device = copy(laptop.replica, "another device")
    before = device.table()
    seq = from_wire(last_entry(laptop.replica)).seq
    assert device.ingest([old]).duplicate == 1
    for number in (seq, seq + 1):
        assert refusal(device, changed(old, seq=number)) == "signature"
    assert refusal(device, changed(old, seq=seq + 2)) == "missing"
    assert device.table() == before
    # By a member, in a log of theirs: the ciphertext belongs to another log and seq.
    under_own_name(laptop.replica, ben.keyholder, ben.sign, old)
    assert laptop.password(item) == "new"
    assert {shown.value for shown in laptop.vaults.history(item, "password")} == {"new", "older", "old"}


def test_a28_suite_key_or_epoch_of_a_ciphertext_changed(laptop: Laptop, ben: Unlocked):
    item = account(laptop, "mine")
    wire, info = last_entry(laptop.replica), laptop.replica.info(laptop.replica.last_id())
    device = victim(laptop)
    other = next(v for v in laptop.replica.state().vaults.values() if info.epoch not in v.epochs)
    for parts in (
        {"suite": 2},
        {"epoch": other.newest_epoch()},
        {"vault": bytes.fromhex(laptop.vaults.vaults()[2].vault_id)},
        {"salt": bytes(32)},
        {"commitment": bytes(32)},
        {"kind": 1, "vault": b"", "epoch": b"", "suite": 0, "salt": b"", "commitment": b"", "body": [[99]]},
    ):
        assert refusal(device, changed(wire, **parts)) == "signature"
    # Signed anew by a member under the other suite, or with the key of an epoch that is not the vault's.
    stolen = from_wire(wire)
    for suite, epoch, told in ((2, info.epoch, ""), (1, other.newest_epoch() or b"", "unknown epoch")):
        draft = Draft(stolen.ops, vault=info.vault, epoch=epoch, suite=suite, salt=stolen.salt,
                      commitment=stolen.commitment)  # fmt: skip
        made = appended(laptop.replica, ben.keyholder, ben.sign, draft)
        assert made.reason == told
    keys = laptop.vaults.epoch_keys(info.vault)[info.epoch]
    place = Place(laptop.replica.family or b"", info.vault, info.epoch, info.suite, info.log, info.seq)
    for wrong in (replace(place, suite=2), replace(place, epoch=b"e" * 32), replace(place, seq=info.seq + 1)):
        with pytest.raises(Unopened, match="commitment"):
            Opener(keys, wrong, info.salt, info.commitment)
    assert laptop.password(item) == "mine"


def test_a28_an_unknown_suite_is_kept_aside_and_tried_with_no_other(laptop: Laptop, ben: Unlocked):
    item = account(laptop, "mine")
    stolen = from_wire(last_entry(laptop.replica))
    draft = Draft(stolen.ops, vault=stolen.vault, epoch=stolen.epoch, suite=3, salt=stolen.salt,
                  commitment=stolen.commitment)  # fmt: skip
    made = appended(laptop.replica, ben.keyholder, ben.sign, draft)
    device = copy(laptop.replica, "another device")
    for replica in (laptop.replica, device):
        assert (made.hash, "unknown suite") in replica.put_aside()
    assert laptop.password(item) == "mine"

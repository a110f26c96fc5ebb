"""What seldom happens, and must still end well: everybody leaves at once, a fork that nothing follows, a lost row."""

from __future__ import annotations

import pytest

from replication.errors import LocalProtocolError
from replication.leaf import check_leaf
from replication.membership import A_PERSON, ADMIN, DIRECTORY, EPOCH, PAPER, PERSON, REMOVE, VAULT
from replication.store import StoreError
from tests.kin import (
    BOX,
    Author,
    Family,
    Statements,
    add_keyholder,
    admit_device,
    copy,
    new_replica,
    state,
    wires,
    write,
)

BEN, PHONE = Author("ben"), Author("bens phone")


def test_two_admins_who_leave_apart_do_not_leave_a_family_without_one():
    one = new_replica("one")
    family = Family.found(one)
    ben = family.admit(one, BEN, PHONE, ADMIN)
    two = copy(one, "two")
    assert state(one, family.anna, [REMOVE, A_PERSON, family.person, []]) == ""
    assert state(two, BEN, [REMOVE, A_PERSON, ben, []]) == ""
    assert two.ingest(wires(one)).refused is None
    assert one.ingest(wires(two)).refused is None
    assert one.state() == two.state()
    (left,) = one.state().people.values()
    assert left.role == ADMIN
    assert len(one.state().keyholders) == 1


def test_an_entry_that_follows_no_branch_of_a_fork_is_refused():
    one = new_replica("one")
    family = Family.found(one)
    twin, third = copy(one, "twin"), copy(one, "third")
    for other in (twin, third):
        other.store.run("INSERT INTO own_logs SELECT author, log FROM logs")
    write(one, family.anna, family.vault, "t", "here")
    write(twin, family.anna, family.vault, "t", "there")
    write(third, family.anna, family.vault, "t", "nowhere")
    write(third, family.anna, family.vault, "t", "after it")
    assert one.ingest(wires(twin)).refused is None
    refused = one.ingest(wires(third)[-1:]).refused
    assert refused is not None
    assert refused.kind == "signature"
    assert one.ingest(wires(third)).refused is None
    assert len(one.frontier()) == 3


def test_a_store_is_founded_once():
    one = new_replica("one")
    Family.found(one)
    with pytest.raises(LocalProtocolError):
        Family.found(one)


def test_a_body_that_was_damaged_on_the_disk_is_told(tmp_path):
    path = str(tmp_path / "db")
    one = new_replica("one", path=path)
    Family.found(one)
    one.store.run("UPDATE entries SET body = x'9f'")
    one.close()
    with pytest.raises(StoreError) as told:
        new_replica("again", path=path)
    assert told.value.kind == "damaged"


def test_the_key_of_a_recipient_is_found_by_its_id():
    one = new_replica("one")
    family = Family.found(one)
    kit = Author("kit")
    assert state(one, family.anna, [PAPER, family.person, kit.id, kit.box_key, b"s" * 32]) == ""
    assert one.state().box_key(family.anna.id) == family.anna.box_key
    assert one.state().box_key(kit.id) == kit.box_key
    assert one.state().box_key(BEN.id) is None
    assert one.state().keyholder(BEN.id) is None


def test_of_two_directories_made_apart_one_comes_to_be():
    first = new_replica("first")
    family = Family.found(first)
    founding = first.membership().statements[next(iter(first.membership().statements))].body
    it = Statements(family.family)
    start = [founding, [PERSON, ADMIN, family.anna.id[:16]]]
    # Without a directory; the founder's log is named by the founding's nonce.
    person = it.make(family.anna, *start, log="N" * 16)[1].hash[:16]
    bodies = [*start, admit_device(family.family, family.laptop, person),
              add_keyholder(family.family, person, family.laptop, family.anna)]  # fmt: skip
    assert it.add(family.anna, *bodies, log="N" * 16) == [""] * 4
    heads = it.membership.heads()
    for log in ("one", "two"):
        made = [VAULT, DIRECTORY, log.encode().ljust(16, b"_")]
        vault = it.make(family.anna, made, frontier=heads, log=log)[0].hash[:16]
        epoch = [EPOCH, vault, [], b"C" * 32, [[family.anna.id, BOX]], []]
        assert it.add(family.anna, made, epoch, frontier=heads, log=log) == ["", ""]
    found = it.membership.state()
    assert list(found.vaults) == [found.directory]
    assert len(found.vaults[found.directory].epochs) == 1


@pytest.mark.parametrize("length", [0, 1, 63])
def test_a_leaf_of_a_few_bytes_is_none(length: int):
    with pytest.raises(ValueError, match="leaf"):
        check_leaf(bytes(length))

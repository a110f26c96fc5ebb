"""Rights in a vault: given, handed on, taken back; and what is purged. Each rule, and the attack it is there for."""

from __future__ import annotations

from typing import Any

import pytest

from replication.membership import (
    EPOCH,
    GRANT,
    MAX_PURGED,
    OWNS,
    PRIVATE,
    PURGE,
    READER,
    READS,
    REVOKE,
    ROLE,
    SHARED,
    SUITE,
    VAULT,
    WRITER,
    WRITES,
)
from tests.kin import Author, Family, copy, new_replica, shown, state, sync, wires, write
from tests.replication.household import PEOPLE, Home, boxes, remove

ANNA, BEN, CLEO, DORA = PEOPLE


class House(Home):
    """Anna owns a vault."""

    def __init__(self) -> None:
        super().__init__()
        self.vault, self.epoch = self.new_vault(ANNA)

    def grant(self, number: int, right: int, *keys: Author) -> list[Any]:
        return [GRANT, self.vault, self.epoch, self.people[number], right, boxes(*(key.id for key in keys))]

    def revoke(self, number: int, right: int, *cuts: list[Any]) -> list[Any]:
        return [REVOKE, self.vault, self.people[number], right, sorted(cuts)]

    def next_epoch(self) -> list[Any]:
        return [EPOCH, self.vault, [self.epoch], b"D" * 32, boxes(*self.state().recipients(self.vault)), []]

    def right(self, number: int) -> int:
        return self.everywhere().right(self.vault, self.people[number])


@pytest.fixture
def house() -> House:
    return House()


def test_an_owner_takes_a_right_back(house: House):
    assert house.add(ANNA, house.grant(3, WRITES, DORA)) == [""]
    assert house.add(ANNA, house.grant(3, READS)) == ["a right is taken away by a revocation"]
    assert house.add(ANNA, house.revoke(3, READS)) == [""]
    assert house.right(3) == READS
    assert house.add(ANNA, house.revoke(3, READS)) == ["that takes nothing away"]
    assert house.add(ANNA, house.revoke(3, 0)) == [""]
    assert house.right(3) == 0
    assert house.add(ANNA, house.grant(3, WRITES)) == [""]
    assert house.right(3) == WRITES


def test_who_may_not_take_a_right(house: House):
    house.add(ANNA, house.grant(1, OWNS, BEN), house.grant(3, WRITES, DORA))
    assert house.add(DORA, house.revoke(1, 0)) == ["not the owner"]
    assert house.add(CLEO, house.revoke(3, 0)) == ["not the owner"]
    assert house.add(BEN, house.revoke(0, 0)) == ["an owner falls to one who was it before"]
    directory = [REVOKE, b"?" * 16, house.people[3], 0, []]
    assert house.add(ANNA, directory) == ["unknown vault or person"]
    assert house.add(BEN, house.revoke(3, 0)) == [""]
    assert house.add(ANNA, house.revoke(1, WRITES)) == [""]
    assert house.add(BEN, house.revoke(1, READS)) == [""]
    assert house.right(1) == READS


@pytest.mark.parametrize("number", range(6))
def test_of_two_owners_who_revoke_each_other_the_earlier_stays(house: House, number: int):
    """And she stays an owner who was made one later than somebody whom the family has had for longer."""
    house.add(ANNA, house.grant(3, OWNS, DORA))
    house.add(ANNA, house.grant(1, OWNS, BEN))
    house.add(ANNA, house.grant(2, OWNS, CLEO))
    apart = house.membership.heads()
    assert house.add(BEN, house.revoke(3, 0), frontier=apart) == ["an owner falls to one who was it before"]
    assert house.add(BEN, house.revoke(2, 0, [bytes([number]) * 16, []]), frontier=apart) == [""]
    assert house.add(DORA, house.revoke(1, 0, [bytes([99 - number]) * 16, []]), frontier=apart) == [""]
    assert (house.right(1), house.right(2), house.right(3)) == (0, OWNS, OWNS)


def test_whom_a_revoked_owner_let_in_apart_is_out(house: House):
    """And whom those let in, in their turn; what they did before it was heard stays."""
    house.add(ANNA, house.grant(1, OWNS, BEN))
    house.add(BEN, house.grant(2, READS, CLEO))
    apart = house.membership.heads()
    eva = house.admit(ANNA, "eva", WRITER)
    known = house.membership.heads()
    assert house.add(BEN, house.grant(3, OWNS, DORA), frontier=apart) == [""]
    of_dora = house.last()
    body = [GRANT, house.vault, house.epoch, eva, WRITES, []]
    assert house.add(DORA, body, frontier=tuple(sorted({of_dora, *known}))) == [""]
    assert house.add(BEN, [SUITE, house.vault, 5, [2], 2], frontier=apart, log="other") == [""]
    assert house.add(ANNA, house.revoke(1, WRITES), frontier=apart) == [""]
    assert [house.right(number) for number in (1, 2, 3)] == [WRITES, READS, 0]
    assert house.state().right(house.vault, eva) == 0
    assert house.state().vaults[house.vault].suite_version == 1


def test_a_revocation_reaches_only_what_needed_the_right_that_was_lost(house: House):
    house.add(ANNA, house.grant(1, OWNS, BEN), house.grant(3, READS))
    apart = house.membership.heads()
    house.add(BEN, house.next_epoch(), frontier=apart)
    opened = house.last()
    house.add(BEN, house.grant(3, READS, DORA), frontier=(opened,))
    assert house.add(ANNA, house.revoke(1, WRITES), frontier=apart) == [""]
    vault = house.everywhere().vaults[house.vault]
    assert not vault.epochs[opened].closed
    assert DORA.id in vault.epochs[house.epoch].sealed
    other = House()
    other.add(ANNA, other.grant(1, WRITES, BEN))
    apart = other.membership.heads()
    other.add(BEN, other.next_epoch(), frontier=apart)
    opened = other.last()
    other.add(ANNA, other.revoke(1, READS), frontier=apart)
    assert other.everywhere().vaults[other.vault].epochs[opened].closed


def test_who_may_not_read_any_more_ends_the_epochs_from_before(house: House):
    house.add(ANNA, house.grant(3, WRITES))
    house.add(ANNA, house.revoke(3, READS))
    assert house.state().writable_epoch(house.vault) == house.epoch
    house.add(ANNA, house.revoke(3, 0))
    # Though Dora never had its key: somebody who has not heard may be handing it to her.
    assert house.everywhere().writable_epoch(house.vault) is None
    assert house.add(ANNA, house.next_epoch()) == [""]
    assert house.state().writable_epoch(house.vault) == house.last()


def test_handing_a_key_on_apart_from_a_revocation_gives_nothing_back(house: House):
    house.add(ANNA, house.grant(3, WRITES), house.grant(1, READS, BEN))
    apart = house.membership.heads()
    assert house.add(BEN, house.grant(3, WRITES, DORA), frontier=apart) == [""]
    assert house.add(ANNA, house.revoke(3, 0), frontier=apart) == [""]
    assert house.right(3) == 0


def test_a_key_handed_on_gives_no_right_that_was_killed(house: House):
    """Ben's grant falls; Cleo, who had heard of it, had handed the key on."""
    house.add(ANNA, house.grant(1, OWNS, BEN), house.grant(2, READS, CLEO))
    apart = house.membership.heads()
    house.add(BEN, house.grant(3, WRITES), frontier=apart)
    granted = (house.last(),)
    assert house.add(CLEO, house.grant(3, WRITES, DORA), frontier=granted) == [""]
    house.add(ANNA, house.revoke(1, 0), frontier=apart)
    assert house.right(3) == 0


def test_of_rights_given_apart_the_highest_counts_and_a_lower_one_takes_nothing_away(house: House):
    """Ben, an owner, cannot take ownership from his senior by a grant as of a time when she had none."""
    house.add(ANNA, house.grant(1, OWNS, BEN))
    before = house.membership.heads()
    house.add(ANNA, house.grant(3, OWNS), frontier=before)
    assert house.add(BEN, house.grant(3, READS), frontier=before) == [""]
    assert house.right(3) == OWNS


def test_a_revocation_holds_against_a_grant_made_apart(house: House):
    house.add(ANNA, house.grant(1, OWNS, BEN), house.grant(3, READS))
    apart = house.membership.heads()
    house.add(ANNA, house.revoke(3, 0), frontier=apart)
    house.add(BEN, house.grant(3, WRITES), frontier=apart)
    assert house.right(3) == 0


def test_of_two_revocations_apart_the_lower_counts_until_a_grant_that_heard_of_both(house: House):
    house.add(ANNA, house.grant(1, OWNS, BEN), house.grant(3, OWNS))
    apart = house.membership.heads()
    house.add(ANNA, house.revoke(3, WRITES), frontier=apart)
    house.add(BEN, house.revoke(3, READS), frontier=apart)
    assert house.right(3) == READS
    house.add(ANNA, house.grant(3, WRITES))
    assert house.right(3) == WRITES


def test_a_vault_whose_owners_are_gone_is_looked_after_by_an_admin_who_writes_it(house: House):
    vault, epoch = house.new_vault(BEN)
    give = [[GRANT, vault, epoch, house.people[number], WRITES, []] for number in (2, 3)]
    assert house.add(BEN, *give) == ["", ""]
    take = [REVOKE, vault, house.people[3], 0, []]
    assert house.add(CLEO, take) == ["not the owner"]
    house.add(ANNA, remove(house.people[1]))
    assert house.add(DORA, [REVOKE, vault, house.people[2], 0, []]) == ["not the owner"]
    assert house.add(CLEO, take) == [""]
    assert house.add(CLEO, [SUITE, vault, 2, [2], 2]) == [""]
    assert house.everywhere().right(vault, house.people[3]) == 0


def test_what_an_admin_did_for_a_vault_without_owner_falls_with_their_role(house: House):
    vault, epoch = house.new_vault(BEN)
    assert house.add(BEN, [GRANT, vault, epoch, house.people[2], WRITES, []]) == [""]
    house.add(ANNA, remove(house.people[1]))
    apart = house.membership.heads()
    assert house.add(CLEO, [GRANT, vault, epoch, house.people[3], READS, []], frontier=apart) == [""]
    assert house.add(ANNA, [ROLE, house.people[2], WRITER, []], frontier=apart) == [""]
    assert house.everywhere().right(vault, house.people[3]) == 0


def test_a_right_changes_only_so_often(house: House):
    turns = [house.grant(3, WRITES), house.revoke(3, 0)]
    said = [house.add(ANNA, turns[number % 2]) for number in range(257)]
    assert said.count([""]) == 256
    assert said[-1] == ["changed too often"]


# Readers


def test_a_reader_writes_what_is_private_to_them_and_nothing_shared(house: House):
    house.add(ANNA, house.grant(3, WRITES, DORA))
    own, epoch = house.new_vault(DORA, PRIVATE)
    assert house.add(ANNA, [ROLE, house.people[3], READER, []]) == [""]
    family = house.everywhere()
    assert family.right(own, house.people[3]) == OWNS
    assert family.right(house.vault, house.people[3]) == READS
    assert house.add(DORA, [VAULT, SHARED, b"x" * 16]) == ["readers make no vaults"]
    assert house.add(DORA, [VAULT, PRIVATE, b"x" * 16]) == [""]
    assert house.add(DORA, [EPOCH, own, [epoch], b"D" * 32, boxes(DORA.id), []]) == [""]


# What is purged


def dot(number: int) -> bytes:
    return bytes([number]) * 18


def test_an_owner_or_an_admin_purges(house: House):
    house.add(ANNA, house.grant(3, WRITES, DORA))
    body = [PURGE, house.vault, [[dot(1), [dot(2), dot(3)]]]]
    assert house.add(DORA, body) == ["not the owner"]
    assert house.add(CLEO, body) == [""]
    by_cleo = house.last()
    assert house.add(ANNA, body) == [""]
    [first, second] = house.everywhere().purges
    assert (first.hash, first.author, first.vault) == (by_cleo, CLEO.id, house.vault)
    assert second.items == {dot(1): frozenset([dot(2), dot(3)])}
    assert house.membership.ever_purged() == {dot(1): by_cleo}


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([], "shape"),
        ([[dot(1), []]], "shape"),
        ([[dot(1)[:17], [dot(2)]]], "shape"),
        ([[dot(1), [dot(2)[:17]]]], "shape"),
        ([[dot(1), [bytes([0, n]) * 9 for n in range(65)]]], "shape"),
        ([[dot(1), [dot(3), dot(2)]]], "dots out of order"),
        ([[dot(2), [dot(3)]], [dot(1), [dot(3)]]], "dots out of order"),
        ([[dot(1), [dot(3)]], [dot(1), [dot(3)]]], "dots out of order"),
        ([[n.to_bytes(18, "big"), [dot(3)]] for n in range(1025)], "shape"),
    ],
)
def test_a_purge_has_one_form(house: House, items: list[Any], why: str):
    assert house.add(ANNA, [PURGE, house.vault, items]) == [why]
    assert house.add(ANNA, [PURGE, b"?" * 16, [[dot(1), [dot(2)]]]]) == ["unknown vault"]
    assert house.membership.ever_purged() == {}


def test_a_purge_by_an_owner_revoked_apart_is_not_in_force(house: House):
    house.add(ANNA, house.grant(3, OWNS, DORA))
    apart = house.membership.heads()
    assert house.add(DORA, [PURGE, house.vault, [[dot(1), [dot(2)]]]], frontier=apart) == [""]
    purge = house.last()
    assert house.add(ANNA, house.revoke(3, READS), frontier=apart) == [""]
    assert house.everywhere().purges == []
    assert house.membership.ever_purged() == {dot(1): purge}


def test_a_purge_by_an_admin_lowered_apart_is_not_in_force(house: House):
    apart = house.membership.heads()
    assert house.add(CLEO, [PURGE, house.vault, [[dot(1), [dot(2)]]]], frontier=apart) == [""]
    assert house.add(ANNA, [ROLE, house.people[2], WRITER, []], frontier=apart) == [""]
    assert house.everywhere().purges == []


def test_nobody_purges_without_end(house: House):
    said = [house.add(ANNA, [PURGE, house.vault, [[dot(1), [dot(2)]]]]) for _ in range(2)]
    assert said == [[""], [""]]
    assert house.state().stated[PURGE, house.people[0]] == 4
    house.state().stated[PURGE, house.people[0]] = MAX_PURGED
    assert house.add(ANNA, [PURGE, house.vault, [[dot(1), [dot(2)]]]]) == ["too many purges"]


# What counts


@pytest.fixture
def two() -> tuple[Any, Family, Any, Author, bytes]:
    """Anna's and Ben's copies, level; Ben may write in Anna's vault."""
    ours = new_replica("anna")
    family = Family.found(ours)
    ben = Author("ben")
    person = family.admit(ours, ben, Author("bens phone"), WRITER)
    family.grant(ours, family.vault, person, WRITES, ben)
    return ours, family, copy(ours, "ben"), ben, person


def seen(replica: Any, author: Author) -> list[list[Any]]:
    return [[log, [digest]] for log, who, digest, _ in replica.tips() if who == author.id]


def test_a_revocation_cuts_that_vault_alone_and_a_grant_lifts_it(two: Any):
    ours, family, theirs, ben, person = two
    write(theirs, ben, family.vault, "seen", "1")
    sync(ours, theirs)
    write(theirs, ben, family.vault, "late", "2")
    write(theirs, ben, family.directory, "name", "Ben")
    assert state(ours, family.anna, [REVOKE, family.vault, person, READS, seen(ours, ben)]) == ""
    ours.ingest(wires(theirs))
    assert shown(ours, family.vault) == {"seen": {"1"}}
    assert shown(ours, family.directory) == {"name": {"Ben"}}
    family.grant(ours, family.vault, person, WRITES, ben)
    theirs.ingest(wires(ours))
    write(theirs, ben, family.vault, "again", "3")
    # One who never hears writes on, as of before: that stays out.
    sync(ours, theirs)
    for replica in (ours, theirs, copy(ours, "fresh")):
        assert shown(replica, family.vault) == {"seen": {"1"}, "again": {"3"}}


def test_who_is_lowered_to_reader_is_cut_in_shared_vaults(two: Any):
    ours, family, theirs, ben, person = two
    write(theirs, ben, family.vault, "late", "unseen")
    write(theirs, ben, family.directory, "name", "Ben")
    assert state(ours, family.anna, [ROLE, person, READER, []]) == ""
    ours.ingest(wires(theirs))
    assert shown(ours, family.vault) == {}
    assert shown(ours, family.directory) == {"name": {"Ben"}}
    assert state(ours, family.anna, [ROLE, person, WRITER, []]) == ""
    theirs.ingest(wires(ours))
    write(theirs, ben, family.vault, "again", "heard")
    sync(ours, theirs)
    assert shown(ours, family.vault) == {"again": {"heard"}}
    assert theirs.table() == ours.table() == copy(ours, "fresh").table()


def test_an_owner_who_becomes_a_writer_is_not_cut(two: Any):
    ours, family, theirs, ben, person = two
    family.grant(ours, family.vault, person, OWNS, ben)
    sync(ours, theirs)
    write(theirs, ben, family.vault, "late", "counts")
    assert state(ours, family.anna, [REVOKE, family.vault, person, WRITES, []]) == ""
    ours.ingest(wires(theirs))
    assert shown(ours, family.vault) == {"late": {"counts"}}
    assert ours.state().cuts == {}


def test_a_second_grant_lifts_the_first_revocation_though_it_was_revoked_again(two: Any):
    """Written between the two, and seen by the second: it counts."""
    ours, family, theirs, ben, person = two
    state(ours, family.anna, [REVOKE, family.vault, person, READS, []])
    family.grant(ours, family.vault, person, WRITES, ben)
    sync(ours, theirs)
    write(theirs, ben, family.vault, "between", "counts")
    sync(ours, theirs)
    state(ours, family.anna, [REVOKE, family.vault, person, READS, seen(ours, ben)])
    assert shown(ours, family.vault) == {"between": {"counts"}}

"""Roles, two admins together, the family recovery key, discovery keys: each rule, and each attack on it, apart."""

from __future__ import annotations

from typing import Any

import pytest

from replication.membership import (
    A_DEVICE,
    A_PERSON,
    ADMIN,
    APPROVE,
    DISCOVERY,
    PERSON,
    PROPOSE,
    READER,
    RECOVER,
    REMOVE,
    ROLE,
    WRITER,
    device_proof,
    keyholder_proof,
)
from tests.kin import BOX, LEAF, Author, add_keyholder, admit_device
from tests.replication.household import FAMILY, LAPTOPS, PEOPLE, Home, boxes, remove

ANNA, BEN, CLEO, DORA = PEOPLE
SENIOR = "a senior falls to two admins together, or to the recovery key"
RECOVERY = Author("recovery")


@pytest.fixture
def home() -> Home:
    return Home()


def role(person: bytes, wanted: int, *cuts: list[Any]) -> list[Any]:
    return [ROLE, person, wanted, sorted(cuts)]


def variant(number: int) -> list[Any]:
    """A cut that says nothing, and gives a statement another hash."""
    return [bytes([number]) * 16, []]


# Roles


def test_an_admin_raises_and_lowers_a_member(home: Home):
    dora = home.people[3]
    assert home.add(CLEO, role(dora, READER)) == [""]
    assert home.add(CLEO, role(dora, READER)) == ["that is their role"]
    assert home.add(CLEO, role(dora, WRITER)) == [""]
    assert home.add(CLEO, role(dora, ADMIN)) == [""]
    assert home.state().people[dora].role == ADMIN
    assert home.add(DORA, [PERSON, WRITER, b"x" * 16]) == [""]


def test_who_may_not_set_a_role(home: Home):
    _, ben, _, dora = home.people
    assert home.add(DORA, role(dora, ADMIN)) == ["not an admin"]
    assert home.add(DORA, role(ben, WRITER)) == ["not an admin"]
    assert home.add(CLEO, role(ben, WRITER)) == [SENIOR]
    assert home.add(CLEO, role(dora, 3)) == ["unknown role"]
    assert home.add(CLEO, role(b"?" * 16, ADMIN)) == ["unknown person"]
    assert home.add(CLEO, [ROLE, dora, READER, [[b"x" * 16, 1]]]) == ["shape"]


def test_the_last_admin_cannot_step_down(home: Home):
    anna, ben, cleo, _ = home.people
    assert home.add(BEN, role(ben, WRITER)) == [""]
    assert home.add(ANNA, role(cleo, WRITER)) == [""]
    assert home.add(ANNA, role(anna, WRITER)) == ["no admin would be left who can act"]


@pytest.mark.parametrize("number", range(6))
def test_of_two_admins_who_lower_each_other_the_senior_stays(home: Home, number: int):
    _, ben, cleo, dora = home.people
    # Dora, an old member, is made admin by Cleo: she is junior to Cleo, though she has been here for as long.
    home.add(CLEO, role(dora, ADMIN))
    apart = home.membership.heads()
    assert home.add(DORA, role(cleo, WRITER), frontier=apart) == [SENIOR]
    home.add(BEN, role(cleo, WRITER, variant(number)), frontier=apart)
    home.add(CLEO, role(dora, WRITER, variant(100 + number)), frontier=apart)
    people = home.everywhere().people
    assert people[ben].role == ADMIN
    # Ben's reached what Cleo had said unseen as an admin.
    assert (people[cleo].role, people[dora].role) == (WRITER, ADMIN)


def test_two_last_admins_who_step_down_apart_do_not_both(home: Home):
    anna, ben, cleo, _ = home.people
    home.add(ANNA, role(cleo, WRITER))
    apart = home.membership.heads()
    assert home.add(ANNA, role(anna, WRITER), frontier=apart) == [""]
    assert home.add(BEN, role(ben, WRITER), frontier=apart) == [""]
    people = home.everywhere().people
    assert (people[anna].role, people[ben].role) == (ADMIN, WRITER)


def test_whom_a_lowered_admin_admitted_unseen_goes_and_what_they_did_as_a_member_stays(home: Home):
    cleo = home.people[2]
    tablet = Author("cleos tablet")
    apart = home.membership.heads()
    eva = home.admit(CLEO, "eva", ADMIN, apart)
    assert home.add(CLEO, admit_device(FAMILY, tablet, cleo), frontier=apart) == [""]
    assert home.add(ANNA, role(cleo, WRITER), frontier=apart) == [""]
    family = home.everywhere()
    assert eva not in family.people
    assert tablet.id in family.devices
    assert cleo in family.people


def test_a_raise_told_as_of_an_earlier_time_lowers_nobody(home: Home):
    """Cleo, an admin, cannot take Dora down by making her a writer as of a time when she was a reader."""
    dora = home.people[3]
    home.add(ANNA, role(dora, READER))
    before = home.membership.heads()
    home.add(ANNA, role(dora, ADMIN), frontier=before)
    assert home.add(CLEO, role(dora, WRITER), frontier=before) == [""]
    assert home.everywhere().people[dora].role == ADMIN


def test_a_lowering_holds_against_a_raise_made_apart(home: Home):
    dora = home.people[3]
    apart = home.membership.heads()
    home.add(ANNA, role(dora, READER), frontier=apart)
    home.add(CLEO, role(dora, ADMIN), frontier=apart)
    raised = (home.last(),)
    assert home.add(DORA, [PERSON, WRITER, b"x" * 16], frontier=raised) == [""]
    family = home.everywhere()
    assert family.people[dora].role == READER
    assert len(family.people) == 4


def test_what_is_said_after_the_role_was_given_back_is_out_of_a_lowerings_reach(home: Home):
    """Anna, who lowered Cleo, has not heard what Cleo does once Ben has made her admin again."""
    cleo = home.people[2]
    assert home.add(ANNA, role(cleo, WRITER)) == [""]
    assert home.add(BEN, role(cleo, ADMIN)) == [""]
    eva = home.admit(CLEO, "eva", WRITER)
    assert eva in home.everywhere().people
    # It rests on Ben's word now: with that it falls, though she was an admin once before.
    assert home.add(ANNA, remove(home.people[1]), frontier=(home.batches[-3][-1].hash,)) == [""]
    family = home.everywhere()
    assert eva not in family.people
    assert family.people[cleo].role == WRITER


def test_who_was_made_admin_by_one_removed_unseen_admitted_nobody(home: Home):
    dora = home.people[3]
    apart = home.membership.heads()
    assert home.add(CLEO, role(dora, ADMIN), frontier=apart) == [""]
    eva = home.admit(DORA, "eva", ADMIN, (home.last(),))
    assert home.add(ANNA, remove(home.people[2]), frontier=apart) == [""]
    family = home.everywhere()
    assert family.people[dora].role == WRITER
    assert eva not in family.people


def test_an_admins_rank_counts_from_what_made_them_one(home: Home):
    """Dora has been here longer than Eva, but Eva was an admin first."""
    dora = home.people[3]
    eva = home.admit(ANNA, "eva", ADMIN)
    home.add(ANNA, role(dora, ADMIN))
    assert home.add(DORA, remove(eva)) == [SENIOR]
    assert home.add(Author("eva"), remove(dora)) == [""]


def test_stepping_down_and_up_again_makes_nobody_senior(home: Home):
    ben, cleo = home.people[1:3]
    assert home.add(BEN, role(ben, ADMIN)) == ["that is their role"]
    home.add(BEN, role(ben, WRITER))
    home.add(CLEO, role(ben, ADMIN))
    assert home.add(CLEO, role(ben, READER)) == [""]
    assert home.add(ANNA, role(ben, ADMIN)) == [""]
    assert home.add(BEN, remove(cleo)) == [SENIOR]


def test_a_role_changes_only_so_often(home: Home):
    dora, roles = home.people[3], [READER, WRITER]
    said = [home.add(CLEO, role(dora, roles[number % 2])) for number in range(256)]
    assert said.count([""]) == 255
    assert said[-1] == ["changed too often"]


# Two admins together


def propose(home: Home, author: Author, what: int, target: bytes, **where: Any) -> bytes:
    assert home.add(author, [PROPOSE, bytes([len(home.batches)]) * 16, what, target], **where) == [""]
    return home.last()


def test_two_admins_together_remove_a_senior(home: Home):
    anna = home.people[0]
    proposal = propose(home, CLEO, A_PERSON, anna)
    assert home.names() == {"anna", "ben", "cleo", "dora"}
    assert home.add(BEN, [APPROVE, proposal, []]) == [""]
    assert home.names() == {"ben", "cleo", "dora"}
    assert home.everywhere().removed_by[anna] == {home.last()}
    assert home.add(BEN, [APPROVE, proposal, []]) == ["unknown person"]


def test_two_admins_together_remove_a_seniors_laptop(home: Home):
    proposal = propose(home, CLEO, A_DEVICE, LAPTOPS[0].id)
    assert home.add(BEN, [APPROVE, proposal, []]) == [""]
    assert LAPTOPS[0].id not in home.everywhere().devices


def test_who_may_not_propose_or_approve(home: Home):
    anna, ben, _, dora = home.people
    nonce = b"n" * 16
    assert home.add(DORA, [PROPOSE, nonce, A_PERSON, anna]) == ["not an admin"]
    assert home.add(BEN, [PROPOSE, nonce, A_PERSON, ben]) == ["not oneself"]
    assert home.add(BEN, [PROPOSE, nonce, A_DEVICE, LAPTOPS[1].id]) == ["not oneself"]
    assert home.add(BEN, [PROPOSE, nonce, A_PERSON, b"?" * 16]) == ["unknown person"]
    proposal = propose(home, CLEO, A_PERSON, anna)
    assert home.add(DORA, [APPROVE, proposal, []]) == ["not an admin"]
    assert home.add(CLEO, [APPROVE, proposal, []]) == ["two admins are two people"]
    assert home.add(ANNA, [APPROVE, proposal, []]) == ["not oneself"]
    assert home.add(BEN, [APPROVE, b"?" * 32, []]) == ["unknown proposal"]
    about_dora = propose(home, CLEO, A_DEVICE, LAPTOPS[3].id)
    home.add(CLEO, remove(dora))
    assert home.add(BEN, [APPROVE, about_dora, []]) == ["unknown device"]


def test_a_second_laptop_of_the_proposer_is_no_second_admin(home: Home):
    second, key = Author("cleos tablet"), Author("cleos other key")
    home.add(CLEO, admit_device(FAMILY, second, home.people[2]))
    home.add(CLEO, add_keyholder(FAMILY, home.people[2], second, key))
    proposal = propose(home, CLEO, A_PERSON, home.people[0])
    assert home.add(key, [APPROVE, proposal, []]) == ["two admins are two people"]


@pytest.mark.parametrize("how", ["lowered", "removed", "lost"])
def test_the_proposal_of_who_is_no_admin_any_more_is_void(home: Home, how: str):
    cleo = home.people[2]
    second, key = Author("cleos tablet"), Author("cleos other key")
    home.add(CLEO, admit_device(FAMILY, second, cleo), add_keyholder(FAMILY, cleo, second, key))
    proposal = propose(home, CLEO, A_PERSON, home.people[3])
    taken = {"lowered": role(cleo, WRITER), "removed": remove(cleo), "lost": [REMOVE, A_DEVICE, LAPTOPS[2].id, []]}
    assert home.add(ANNA, taken[how]) == [""]
    assert home.add(BEN, [APPROVE, proposal, []]) == ["who proposed it is no admin any more"]


@pytest.mark.parametrize("how", ["lowered", "removed"])
def test_an_approval_falls_with_a_proposer_removed_apart(home: Home, how: str):
    """The removal had heard of the proposal, not of the approval."""
    cleo = home.people[2]
    proposal = propose(home, CLEO, A_PERSON, home.people[3])
    apart = home.membership.heads()
    assert home.add(BEN, [APPROVE, proposal, []], frontier=apart) == [""]
    assert home.add(ANNA, role(cleo, WRITER) if how == "lowered" else remove(cleo), frontier=apart) == [""]
    assert home.people[3] in home.everywhere().people


@pytest.mark.parametrize("number", range(6))
def test_two_admins_together_win_against_the_senior_apart(home: Home, number: int):
    anna = home.people[0]
    proposal = propose(home, CLEO, A_PERSON, anna)
    apart = home.membership.heads()
    home.add(BEN, [APPROVE, proposal, [variant(number)]], frontier=apart)
    home.add(ANNA, remove(home.people[1], variant(50 + number)), frontier=apart)
    assert set(home.everywhere().people) == set(home.people[1:])


def test_two_approvals_apart_are_one_removal(home: Home):
    proposal = propose(home, CLEO, A_PERSON, home.people[3])
    apart = home.membership.heads()
    for author in (ANNA, BEN):
        assert home.add(author, [APPROVE, proposal, [variant(1)]], frontier=apart) == [""]
    family = home.everywhere()
    assert len(family.removed_by[home.people[3]]) == 2
    assert len(family.cuts[DORA.id]) == 2


def test_an_admin_proposes_only_so_often(home: Home):
    said = [home.add(CLEO, [PROPOSE, number.to_bytes(16, "big"), A_PERSON, home.people[0]]) for number in range(257)]
    assert said.count([""]) == 256
    assert said[-1] == ["too many proposals"]


# The family recovery key


def recovery(named: list[list[Any]], name: str = "nina", following: str = "next recovery") -> list[Any]:
    device, key = Author(f"{name}s laptop"), Author(name)
    proof = device.sign(device_proof(FAMILY, device.id, device.box_key, LEAF, key.id[:16]))
    own = key.sign(keyholder_proof(FAMILY, key.id[:16], device.id, key.id, key.box_key))
    return [
        RECOVER, named, device.id, device.box_key, LEAF, BOX, proof, key.id, key.box_key, own, Author(following).id,
    ]  # fmt: skip


def test_the_recovery_key_removes_every_admin_and_brings_one(home: Home):
    anna, ben, cleo, dora = home.people
    assert home.add(RECOVERY, recovery([[A_PERSON, one, []] for one in (anna, ben, cleo)])) == [""]
    family = home.everywhere()
    nina = home.last()[:16]
    assert set(family.people) == {dora, nina}
    assert family.people[nina].role == ADMIN
    assert family.person_of(Author("nina").id) == nina
    assert family.recovery_key == Author("next recovery").id
    assert home.add(Author("nina"), [PERSON, WRITER, b"x" * 16]) == [""]


def test_the_recovery_key_is_used_once_and_the_next_is_in_force(home: Home):
    assert home.add(ANNA, recovery([])) == ["not the recovery key in force"]
    assert home.add(RECOVERY, recovery([])) == [""]
    again = recovery([], "otto", "third recovery")
    assert home.add(RECOVERY, again) == ["not the recovery key in force"]
    assert home.add(Author("next recovery"), again) == [""]
    assert home.everywhere().recovery_key == Author("third recovery").id


def test_what_a_recovery_may_not_say(home: Home):
    nina = Author("nina")
    own = Author("ninas laptop").id
    assert home.add(RECOVERY, recovery([[A_DEVICE, own, []]])) == ["unknown device"]
    assert home.add(RECOVERY, recovery([[A_PERSON, b"?" * 16, []]])) == ["unknown person"]
    assert home.add(RECOVERY, recovery([], following="recovery")) == ["key in use"]
    assert home.add(RECOVERY, recovery([], following="nina")) == ["key in use"]
    assert home.add(RECOVERY, recovery([], following="anna")) == ["key in use"]
    assert home.add(RECOVERY, recovery([], name="ben")) == ["admitted already"]
    for part in (6, 9):
        forged = recovery([])
        forged[part] = nina.sign(b"something else")
        assert home.add(RECOVERY, forged) == ["no proof of the key"]
    assert home.add(RECOVERY, recovery([[A_PERSON, home.people[0], []]])) == [""]


@pytest.mark.parametrize("number", range(6))
def test_a_recovery_wins_against_whom_it_removes(home: Home, number: int):
    anna, ben, *_ = home.people
    apart = home.membership.heads()
    home.add(RECOVERY, recovery([[A_PERSON, anna, [variant(number)]]]), frontier=apart)
    home.add(ANNA, remove(ben, variant(60 + number)), frontier=apart)
    people = home.everywhere().people
    assert ben in people
    assert anna not in people


@pytest.mark.parametrize("number", range(8))
def test_a_recovery_signed_twice_apart_is_one_recovery_whole(home: Home, number: int):
    """One of them alone, and the same everywhere: what it removes, whom it admits, and the next key."""
    anna, ben, cleo, _ = home.people
    apart = home.membership.heads()
    one = recovery([[A_PERSON, anna, [variant(number)]]])
    two = recovery([[A_PERSON, ben, []], [A_PERSON, cleo, []]], "otto", "other recovery")
    assert home.add(RECOVERY, one, frontier=apart) == [""]
    first = home.last()
    assert home.add(Author("nina"), [PERSON, WRITER, b"n" * 16], frontier=(first,)) == [""]
    of_nina = home.last()[:16]
    assert home.add(RECOVERY, two, frontier=apart, log="apart") == [""]
    second = home.last()
    assert home.add(Author("otto"), [PERSON, WRITER, b"o" * 16], frontier=(second,)) == [""]
    of_otto = home.last()[:16]
    family = home.everywhere()
    people = set(family.people)
    won = {*home.people[1:], first[:16], of_nina}, Author("next recovery").id
    lost = {anna, home.people[3], second[:16], of_otto}, Author("other recovery").id
    assert (people, family.recovery_key) == (won if first < second else lost)


def test_a_recovery_by_the_next_key_falls_with_the_recovery_that_gave_it(home: Home):
    apart = home.membership.heads()
    home.add(RECOVERY, recovery([]), frontier=apart)
    first = home.last()
    home.add(Author("next recovery"), recovery([], "otto", "third"), frontier=(first,))
    number = 0
    while True:  # until the other one wins
        home.add(RECOVERY, recovery([[A_PERSON, home.people[3], [variant(number)]]], "pia", "fourth"), frontier=apart)
        if home.last() < first:
            break
        number += 1
    family = home.everywhere()
    assert family.recovery_key == Author("fourth").id
    assert {Author("nina").id, Author("otto").id} & set(family.keyholders) == set()


# A new discovery key


def test_a_discovery_key_goes_to_exactly_the_devices(home: Home):
    devices = boxes(*(laptop.id for laptop in LAPTOPS))
    assert home.add(DORA, [DISCOVERY, devices]) == ["not an admin"]
    assert home.add(ANNA, [DISCOVERY, devices[1:]]) == ["recipients are not the devices"]
    assert home.add(ANNA, [DISCOVERY, devices[::-1]]) == ["recipients out of order"]
    assert home.add(ANNA, [DISCOVERY, [[one, b"short"] for one, _ in devices]]) == ["shape"]
    assert home.add(ANNA, [DISCOVERY, devices]) == [""]
    first = home.last()
    home.add(ANNA, remove(home.people[3]))
    assert home.add(BEN, [DISCOVERY, devices]) == ["recipients are not the devices"]
    remaining = boxes(*(laptop.id for laptop in LAPTOPS[:3]))
    assert home.add(BEN, [DISCOVERY, remaining]) == [""]
    assert home.everywhere().discovery == [
        (first, {laptop.id: BOX for laptop in LAPTOPS}),
        (home.last(), {laptop.id: BOX for laptop in LAPTOPS[:3]}),
    ]


def test_nobody_claims_anothers_device_as_theirs(home: Home):
    """Ben takes the proof from Anna's admission of her tablet and says, as of an earlier time, that it is his: its
    removal would then be his to state."""
    tablet = Author("annas tablet")
    anna, ben = home.people[:2]
    mine = admit_device(FAMILY, tablet, anna)
    before = home.membership.heads()
    assert home.add(ANNA, mine) == [""]
    assert home.add(BEN, [*mine[:5], ben, *mine[6:]], frontier=before) == ["no proof of the key"]
    assert home.state().devices[tablet.id].owner == anna

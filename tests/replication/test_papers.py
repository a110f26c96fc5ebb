"""Paper keys as authors, and a person's unlock wraps: what brings somebody back, and what keeps a thief out."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from replication.membership import A_DEVICE, FORGET, PAPER, PERSON, REMOVE, UNLOCK, WRITER, Unlock
from replication.state import can_act
from tests.kin import Author, add_keyholder, admit_device
from tests.replication.household import FAMILY, LAPTOPS, PEOPLE, Home, remove

ANNA, BEN, CLEO, DORA = PEOPLE
KIT, NEW_KIT = Author("annas kit"), Author("annas new kit")
TABLET, TABLET_KEY = Author("annas tablet"), Author("anna on the tablet")


@pytest.fixture
def home() -> Home:
    it = Home()
    assert it.add(ANNA, paper(it.people[0], KIT)) == [""]
    return it


def paper(person: bytes, kit: Author) -> list[Any]:
    return [PAPER, person, kit.id, kit.box_key, b"c" * 48]


def comes_back(person: bytes, device: Author = TABLET, key: Author = TABLET_KEY) -> list[list[Any]]:
    return [admit_device(FAMILY, device, person), add_keyholder(FAMILY, person, device, key)]


def lost(laptop: Author) -> list[Any]:
    return [REMOVE, A_DEVICE, laptop.id, []]


def test_who_has_only_the_kit_comes_back_and_locks_the_lost_laptop_out(home: Home):
    anna = home.people[0]
    wrap = [UNLOCK, anna, b"w" * 64, b""]
    said = [*comes_back(anna), lost(LAPTOPS[0]), wrap, paper(anna, NEW_KIT)]
    assert home.add(KIT, *said) == [""] * 5
    family = home.everywhere()
    assert family.keyholders_of(anna) == [TABLET_KEY.id]
    assert family.papers[anna].sign_key == NEW_KIT.id
    assert home.add(TABLET_KEY, [PERSON, WRITER, b"x" * 16]) == [""]


def test_a_paper_key_states_nothing_else(home: Home):
    anna, ben, *_ = home.people
    assert home.add(KIT, [PERSON, WRITER, b"x" * 16]) == ["a paper key may not state that"]
    assert home.add(KIT, admit_device(FAMILY, TABLET, ben)) == ["author is no keyholder"]
    assert home.add(KIT, admit_device(FAMILY, TABLET, b"", role=1)) == ["author is no keyholder"]
    assert home.add(KIT, [UNLOCK, ben, b"w" * 64, b""]) == ["author is no keyholder"]
    assert home.add(KIT, lost(LAPTOPS[1])) == ["author is no keyholder"]
    assert home.add(KIT, remove(anna)) == ["author is no keyholder"]
    # Not even the only laptop, before there is another: nobody could act.
    for junior in home.people[1:3]:
        home.add(ANNA, remove(junior))
    assert home.add(KIT, lost(LAPTOPS[0])) == ["no admin would be left who can act"]


def test_a_key_that_goes_by_another_name_is_no_paper_key(home: Home):
    anna, ben, *_ = home.people
    assert home.add(BEN, paper(ben, KIT)) == ["key in use"]
    assert home.add(BEN, paper(ben, ANNA)) == ["key in use"]
    assert home.add(BEN, paper(ben, Author("recovery"))) == ["key in use"]
    assert home.add(ANNA, *comes_back(anna, key=KIT)) == ["", "key in use"]
    assert home.add(ANNA, paper(anna, KIT)) == [""]


def test_who_calls_anothers_paper_key_theirs_apart_gets_none_of_its_boxes(home: Home):
    """Ben, as of a time before Anna had a kit: what is sealed to it would be sealed to a key of his."""
    anna, ben, *_ = home.people
    vault, _ = home.new_vault(ANNA)
    assert KIT.id in home.state().recipients(vault)
    stolen = [PAPER, ben, KIT.id, BEN.box_key, b"c" * 48]
    assert home.add(BEN, stolen, frontier=(home.batches[3][-1].hash,)) == [""]
    assert home.everywhere().recipients(vault) == {ANNA.id}
    # The kit is Anna's all the same.
    assert home.add(KIT, *comes_back(anna)) == ["", ""]
    home.add(ANNA, remove(ben))
    assert TABLET_KEY.id in home.everywhere().keyholders


def test_a_removed_persons_kit_opens_nothing(home: Home):
    ben = home.people[1]
    kit = Author("bens kit")
    home.add(BEN, paper(ben, kit))
    apart = home.membership.heads()
    home.add(ANNA, remove(ben))
    assert home.add(kit, *comes_back(ben)) == ["author is no keyholder"] * 2
    # Nor as of a time before they were removed.
    assert home.add(kit, *comes_back(ben), frontier=apart, log="apart") == ["", ""]
    family = home.everywhere()
    assert TABLET.id not in family.devices
    assert TABLET_KEY.id not in family.keyholders


def test_a_new_kit_ends_the_old_one_even_as_of_an_earlier_time(home: Home):
    """Or who finds the old kit in the bin could come back with it for ever."""
    anna = home.people[0]
    apart = home.membership.heads()
    assert home.add(ANNA, paper(anna, NEW_KIT)) == [""]
    assert home.add(KIT, *comes_back(anna), frontier=apart) == ["", ""]
    family = home.everywhere()
    assert TABLET_KEY.id not in family.keyholders
    assert family.cuts[TABLET_KEY.id][0].heads == {}
    # What it had done before the new one was made stays done.
    other = Home()
    other.add(ANNA, paper(other.people[0], KIT))
    other.add(KIT, *comes_back(other.people[0]))
    other.add(ANNA, paper(other.people[0], NEW_KIT))
    assert TABLET_KEY.id in other.everywhere().keyholders


@pytest.mark.parametrize("number", range(6))
def test_a_thief_who_makes_a_kit_on_the_laptop_loses_to_the_kit_on_paper(home: Home, number: int):
    """The laptop's key is older than the kit; a kit made anew gives way to a removal all the same."""
    anna, thiefs = home.people[0], Author("thiefs kit")
    apart = home.membership.heads()
    made = [PAPER, anna, thiefs.id, thiefs.box_key, bytes([number]) * 48]
    assert home.add(ANNA, made, frontier=apart) == [""]
    of_thief = (home.last(),)
    other, key = Author("thiefs tablet"), Author("thief")
    assert home.add(thiefs, *comes_back(anna, other, key), frontier=of_thief) == ["", ""]
    cut = [[bytes([50 + number]) * 16, []]]
    assert home.add(KIT, *comes_back(anna), [REMOVE, A_DEVICE, LAPTOPS[0].id, cut], frontier=apart) == [""] * 3
    family = home.everywhere()
    assert family.keyholders_of(anna) == [TABLET_KEY.id]
    assert family.papers[anna].sign_key == KIT.id
    assert other.id not in family.devices


# Unlock wraps


def wrap(person: bytes, text: bytes, older: bytes = b"") -> list[Any]:
    return [UNLOCK, person, text.ljust(64, b"."), older]


def test_a_person_forgets_wraps_that_a_newer_one_stands_for(home: Home):
    anna = home.people[0]
    home.add(ANNA, wrap(anna, b"first"))
    first = home.last()
    home.add(ANNA, wrap(anna, b"second"))
    second = home.last()
    assert home.add(ANNA, [FORGET, [second], first]) == ["the floor is not newer"]
    assert home.add(ANNA, [FORGET, [], second]) == ["shape"]
    assert home.add(ANNA, [FORGET, [second], second]) == ["the floor is not newer"]
    assert home.add(ANNA, [FORGET, [b"?" * 32], second]) == ["another person's"]
    assert home.add(ANNA, [FORGET, [first], b"?" * 32]) == ["unknown floor"]
    assert home.add(BEN, [FORGET, [first], second]) == ["unknown floor"]
    assert home.add(KIT, [FORGET, [first], second]) == [""]
    assert home.add(ANNA, [FORGET, [first], second]) == ["forgotten already"]
    assert home.everywhere().forgotten == {first: second}


def test_a_wrap_made_apart_is_not_forgotten(home: Home):
    """A device may have wrapped its keys under it alone."""
    anna = home.people[0]
    apart = home.membership.heads()
    home.add(ANNA, wrap(anna, b"here"), frontier=apart)
    here = home.last()
    home.add(KIT, wrap(anna, b"there"), frontier=apart)
    assert home.add(ANNA, [FORGET, [here], home.last()]) == ["the floor is not newer"]


def test_nothing_is_forgotten_for_a_wrap_that_a_thief_made(home: Home):
    """It falls with the thief's laptop; what it stood for is what the person still has."""
    anna = home.people[0]
    home.add(ANNA, *comes_back(anna))
    home.add(ANNA, wrap(anna, b"honest"))
    honest = home.last()
    apart = home.membership.heads()
    home.add(ANNA, wrap(anna, b"thiefs"), frontier=apart)
    thiefs = home.last()
    assert home.add(TABLET_KEY, [FORGET, [honest], thiefs], frontier=(thiefs,)) == [""]
    assert home.add(TABLET_KEY, lost(LAPTOPS[0]), frontier=apart, log="apart") == [""]
    family = home.everywhere()
    assert family.forgotten == {}
    assert [one.hash for one in family.unlocks[anna]] == [honest]


def test_a_wrap_counts_the_same_where_it_was_dropped(home: Home):
    anna = home.people[0]
    digest = [sha256(b"no matter what").digest()]
    good: list[list[Any]] = [[digest, digest], [b"w" * 64, digest], [digest, b""], [b"", b"long" * 2000]]
    for parts in good:
        assert home.add(ANNA, [UNLOCK, anna, *parts]) == [""]
    bad: list[list[Any]] = [[[b"short"], b""], [[b"x" * 32, b"y" * 32], b""], [7, b""]]
    for parts in bad:
        assert home.add(ANNA, [UNLOCK, anna, *parts]) == ["shape"]
    assert [(one.wrap, one.older) for one in home.everywhere().unlocks[anna]] == [
        (None, None), (b"w" * 64, None), (None, b""), (b"", b"long" * 2000),
    ]  # fmt: skip
    assert type(home.state().unlocks[anna][0]) is Unlock


def test_of_removals_that_nobody_undoes_the_earlier_is_asked_first_whether_an_admin_is_left(home: Home):
    """Ben removes Cleo, Anna removes Ben; then two copies of Anna's kit take one of her two laptops out each. Were her
    seniority to decide, Cleo would still seem to be there to act, and be left as the only admin."""
    anna, ben, cleo, dora = home.people
    assert home.add(ANNA, *comes_back(anna)) == ["", ""]
    assert home.add(BEN, remove(cleo)) == [""]
    assert home.add(ANNA, remove(ben)) == [""]
    heard = home.membership.heads()
    assert home.add(KIT, lost(LAPTOPS[0]), frontier=heard) == [""]
    assert home.add(KIT, lost(TABLET), frontier=heard, log="another copy") == [""]
    family = home.everywhere()
    assert set(family.people) == {anna, dora}
    assert can_act(family)

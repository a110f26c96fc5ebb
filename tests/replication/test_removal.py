"""Removing: who may, who stays when two remove each other, what counts afterwards, in every order of arrival."""

from __future__ import annotations

import random
from typing import Any

import pytest

from replication.membership import (
    A_DEVICE,
    A_PERSON,
    ADMIN,
    DEVICE,
    EPOCH,
    FOUND,
    GRANT,
    KEYHOLDER,
    PERSON,
    REMOVE,
    TAKE_IN,
    WRITER,
    WRITES,
    State,
)
from replication.registers import Write, live_dots
from tests.kin import (
    BOX,
    Author,
    Family,
    Statements,
    add_keyholder,
    admit_device,
    copy,
    new_replica,
    shown,
    state,
    sync,
    wires,
    write,
)
from tests.replication.household import FAMILY, FOUNDING, LAPTOPS, NAMES, PEOPLE, Home, in_any_order, remove


def test_a_junior_admin_is_removed_with_their_device_and_key():
    home = Home()
    assert home.add(PEOPLE[0], remove(home.people[1])) == [""]
    assert home.names() == {"anna", "cleo", "dora"}
    assert LAPTOPS[1].id not in home.state().devices
    assert home.add(PEOPLE[1], [PERSON, WRITER, b"x" * 16]) == ["author is no keyholder"]


@pytest.mark.parametrize(
    ("author", "target", "why"),
    [(1, 0, "a senior"), (2, 1, "a senior"), (3, 2, "not an admin"), (0, 0, "no admin")],
)
def test_who_may_not_remove_whom(author: int, target: int, why: str):
    home = Home()
    if why == "no admin":
        for junior in (1, 2):
            home.add(PEOPLE[0], remove(home.people[junior]))
    [reason] = home.add(PEOPLE[author], remove(home.people[target]))
    assert why in reason
    assert NAMES[target] in home.names()


def test_anyone_removes_their_own_device_and_themselves():
    home = Home()
    assert home.add(PEOPLE[3], [REMOVE, A_DEVICE, LAPTOPS[3].id, []]) == [""]
    assert home.add(PEOPLE[2], remove(home.people[2])) == [""]
    assert home.names() == {"anna", "ben", "dora"}


def test_a_removed_key_is_never_admitted_again():
    home = Home()
    home.add(PEOPLE[0], [REMOVE, A_DEVICE, LAPTOPS[3].id, []])
    device = admit_device(FAMILY, LAPTOPS[3], home.people[3])
    assert home.add(PEOPLE[0], device) == ["a removed key is never admitted again"]
    other = Author("doras tablet")
    home.add(PEOPLE[0], admit_device(FAMILY, other, home.people[3]))
    # Nor by its person, from a device that is still there.
    again = add_keyholder(FAMILY, home.people[3], other, PEOPLE[3])
    assert home.add(PEOPLE[0], again) == ["a removed key is never admitted again"]


@pytest.mark.parametrize("variant", range(8))
def test_of_two_who_remove_each_other_the_senior_stays_in_every_order(variant: int):
    """Variants differ in their hashes alone: it is seniority that decides."""
    home = Home()
    apart = home.membership.heads()
    home.add(PEOPLE[1], remove(home.people[2], [bytes([variant]) * 16, []]), frontier=apart)
    home.add(PEOPLE[2], [REMOVE, A_DEVICE, LAPTOPS[2].id, []], frontier=apart)
    home.add(PEOPLE[0], remove(home.people[1], [bytes([100 + variant]) * 16, []]), frontier=apart)
    for seed in range(20):
        it = in_any_order(home.batches, seed)
        # Anna's removal of Ben undoes his of Cleo, which she had not seen.
        assert set(it.state().people) == {home.people[0], home.people[2], home.people[3]}


def test_whom_the_removed_let_in_unseen_goes_too_and_whom_they_let_in_before_stays():
    home = Home()
    known, unseen = Author("eva"), Author("fred")
    tablet, phone = Author("evas tablet"), Author("freds phone")

    def admit(holder: Author, device: Author, frontier: tuple[bytes, ...]) -> bytes:
        admission = [PERSON, ADMIN, holder.id[:16]]
        person = home.make(PEOPLE[1], admission, frontier=frontier)[-1].hash[:16]
        bodies = [
            admission,
            admit_device(FAMILY, device, person),
            add_keyholder(FAMILY, person, device, holder),
        ]
        assert home.add(PEOPLE[1], *bodies, frontier=frontier) == ["", "", ""]
        return person

    eva = admit(known, tablet, home.membership.heads())
    apart = home.membership.heads()
    fred = admit(unseen, phone, apart)
    home.add(unseen, [PERSON, WRITER, b"z" * 16])
    home.add(PEOPLE[0], remove(home.people[1]), frontier=apart)
    people = home.state().people
    assert eva in people
    assert fred not in people
    assert len(people) == 4


def test_two_last_admins_who_leave_apart_do_not_both_go():
    home = Home()
    home.add(PEOPLE[0], remove(home.people[2]))
    apart = home.membership.heads()
    assert home.add(PEOPLE[0], remove(home.people[0]), frontier=apart) == [""]
    assert home.add(PEOPLE[1], remove(home.people[1]), frontier=apart) == [""]
    for seed in range(10):
        assert set(in_any_order(home.batches, seed).state().people) == {home.people[0], home.people[3]}


@pytest.mark.parametrize("variant", range(6))
def test_a_stolen_first_laptop_does_not_win_against_its_owners_second(variant: int):
    """The thief removes Dora; Anna's younger laptop, which has not heard, removes the stolen one."""
    home = Home()
    second, key = Author("annas second laptop"), Author("annas second key")
    home.add(PEOPLE[0], admit_device(FAMILY, second, home.people[0]))
    home.add(PEOPLE[0], add_keyholder(FAMILY, home.people[0], second, key))
    apart = home.membership.heads()
    assert home.add(PEOPLE[0], remove(home.people[3], [bytes([variant]) * 16, []]), frontier=apart) == [""]
    stolen = [REMOVE, A_DEVICE, LAPTOPS[0].id, [[bytes([variant + 50]) * 16, []]]]
    assert home.add(key, stolen, frontier=apart) == [""]
    for seed in range(6):
        it = in_any_order(home.batches, seed).state()
        assert home.people[3] in it.people
        assert LAPTOPS[0].id not in it.devices


@pytest.mark.parametrize("variant", range(6))
def test_of_two_laptops_of_one_person_that_remove_each_other_the_older_key_stays(variant: int):
    home = Home()
    second, key = Author("annas second laptop"), Author("annas second key")
    home.add(PEOPLE[0], admit_device(FAMILY, second, home.people[0]))
    home.add(PEOPLE[0], add_keyholder(FAMILY, home.people[0], second, key))
    apart = home.membership.heads()
    home.add(PEOPLE[0], [REMOVE, A_DEVICE, second.id, [[bytes([variant]) * 16, []]]], frontier=apart)
    home.add(key, [REMOVE, A_DEVICE, LAPTOPS[0].id, [[bytes([variant + 50]) * 16, []]]], frontier=apart)
    for seed in range(6):
        it = in_any_order(home.batches, seed).state()
        assert LAPTOPS[0].id in it.devices
        assert second.id not in it.devices


def test_removing_the_laptop_that_one_signs_on_is_leaving_and_comes_last():
    home = Home()
    home.add(PEOPLE[0], remove(home.people[2]))
    apart = home.membership.heads()
    assert home.add(PEOPLE[0], [REMOVE, A_DEVICE, LAPTOPS[0].id, []], frontier=apart) == [""]
    assert home.add(PEOPLE[1], [REMOVE, A_DEVICE, LAPTOPS[1].id, []], frontier=apart) == [""]
    for seed in range(10):
        assert set(in_any_order(home.batches, seed).state().keyholders) == {PEOPLE[0].id, PEOPLE[3].id}


def test_nothing_that_anyone_states_apart_wedges_the_family():
    """Random families: three admins and a member, each with a view of their own, remove, admit and meet."""
    removals = 0
    for seed in range(150):
        draw, home = random.Random(seed), Home()
        views = [home.membership.heads()] * 4
        newcomers = 0
        for _ in range(draw.randrange(3, 14)):
            who = draw.randrange(4)
            body: list[list[Any]] = []
            match draw.randrange(5):
                case 0:  # two meet
                    other = draw.randrange(4)
                    both = home.membership.mask(views[who]) | home.membership.mask(views[other])
                    views[who] = views[other] = heads_of(home, both)
                    continue
                case 1:
                    body = [[REMOVE, A_DEVICE, draw.choice(LAPTOPS).id, []]]
                case 2 | 3:
                    body = [remove(draw.choice(home.people))]
                case 4:
                    newcomers += 1
                    holder, device = Author(f"new {seed} {newcomers}"), Author(f"device {seed} {newcomers}")
                    admission = [PERSON, ADMIN, holder.id[:16]]
                    person = home.make(PEOPLE[who], admission, frontier=views[who])[-1].hash[:16]
                    body = [
                        admission,
                        admit_device(FAMILY, device, person),
                        add_keyholder(FAMILY, person, device, holder),
                    ]
            reasons = home.add(PEOPLE[who], *body, frontier=views[who])
            removals += body[0][0] == REMOVE and not reasons[0]
            views[who] = (home.batches[-1][-1].hash,)
            for view in views:
                assert can_act(home.membership.state_at(view)), seed
        final = home.membership.state()
        assert can_act(final), seed
        assert not set(final.devices) & final.removed
        assert not set(final.keyholders) & set(final.former)
        for order in range(3):
            assert in_any_order(home.batches, order).state() == final, seed
    assert removals > 300


def heads_of(home: Home, mask: int) -> tuple[bytes, ...]:
    it = home.membership
    known = [h for h in it.statements if it.mask([h]) & mask == it.mask([h])]
    return tuple(sorted(h for h in known if not any(o != h and it.includes([o], [h]) for o in known)))


def can_act(family: State) -> bool:
    acting = {holder.person for holder in family.keyholders.values()}
    return any(found.role == ADMIN and person in acting for person, found in family.people.items())


# What counts


@pytest.fixture
def two() -> tuple[Any, Family, Any, Author, bytes, Author]:
    """Anna's and Ben's copies, level; Ben may write in Anna's vault."""
    ours = new_replica("anna")
    family = Family.found(ours)
    ben, phone = Author("ben"), Author("bens phone")
    person = family.admit(ours, ben, phone, WRITER)
    family.grant(ours, family.vault, person, WRITES, ben)
    return ours, family, copy(ours, "ben"), ben, person, phone


def removal(replica: Any, what: int, target: bytes, *authors: Author) -> list[Any]:
    heads: dict[bytes, list[bytes]] = {}
    for log, author, digest, _ in replica.tips():
        if author in {one.id for one in authors}:
            heads.setdefault(log, []).append(digest)
    return [REMOVE, what, target, [[log, sorted(found)] for log, found in sorted(heads.items())]]


def new_epoch(replica: Any, family: Family, vault: bytes, *holders: Author) -> list[Any]:
    boxes = [[key, BOX] for key in sorted(holder.id for holder in holders)]
    return [EPOCH, vault, replica.state().vaults[vault].heads(), b"D" * 32, boxes, []]


def test_what_was_seen_counts_and_what_comes_later_does_not(two: Any):
    ours, family, theirs, ben, person, _ = two
    write(theirs, ben, family.vault, "seen", "by anna")
    sync(ours, theirs)
    late = write(theirs, ben, family.vault, "late", "unseen")
    write(theirs, ben, family.vault, "seen", "changed unseen")
    assert state(ours, family.anna, removal(ours, A_PERSON, person, ben)) == ""
    ours.ingest(wires(theirs))
    assert shown(ours, family.vault) == {"seen": {"by anna"}}
    assert [why for digest, why in ours.put_aside() if digest[:16] == late[:16]] == ["beyond the cut of a removal"]
    # On the removed one's own device too, once it hears, and on a third that hears in another order.
    theirs.ingest(wires(ours))
    third = new_replica("third", ours.family)
    third.ingest(wires(theirs))
    assert theirs.table() == ours.table() == third.table()


def test_an_admin_takes_in_what_lay_beyond_the_cut(two: Any):
    ours, family, theirs, ben, person, _ = two
    write(theirs, ben, family.vault, "train", "saved on the train")
    state(ours, family.anna, removal(ours, A_PERSON, person, ben))
    ours.ingest(wires(theirs))
    assert shown(ours, family.vault) == {}
    [(log, digest)] = [(log, digest) for log, author, digest, _ in ours.tips() if author == ben.id]
    assert state(ours, family.anna, [TAKE_IN, log, digest]) == ""
    assert shown(ours, family.vault) == {"train": {"saved on the train"}}
    assert copy(ours, "fresh").table() == ours.table()


def test_what_a_write_beyond_the_cut_had_replaced_stays_replaced_if_a_counted_write_followed(two: Any):
    ours, family, theirs, ben, person, _ = two
    write(ours, family.anna, family.vault, "password", "first")
    sync(ours, theirs)
    unseen = write(theirs, ben, family.vault, "password", "second")
    before = copy(ours, "before")
    sync(ours, theirs)
    # Anna's other copy knows only the first value when it removes Ben; this one has built on his write.
    write(ours, family.anna, family.vault, "password", "third", replaces=[unseen])
    cut = removal(before, A_PERSON, person, ben)
    assert state(before, family.anna, cut) == ""
    before.ingest(wires(ours))
    assert shown(before, family.vault) == {"password": {"third"}}
    assert state(ours, family.anna, cut) == ""
    assert shown(ours, family.vault) == {"password": {"third"}}
    assert copy(ours, "fresh").table() == ours.table()


def test_a_cut_waits_for_its_head(two: Any):
    """The removal may arrive before what its author had seen."""
    ours, family, theirs, ben, person, _ = two
    third = copy(ours, "third")
    write(theirs, ben, family.vault, "one", "1")
    write(theirs, ben, family.vault, "two", "2")
    sync(ours, theirs)
    state(ours, family.anna, removal(ours, A_PERSON, person, ben))
    annas = [wire for wire in wires(ours) if wire not in wires(theirs)]
    bens = [wire for wire in wires(theirs) if wire not in wires(third)]
    third.ingest(annas)
    third.ingest(bens[:1])
    assert shown(third, family.vault) == {}
    third.ingest(bens[1:])
    assert third.table() == ours.table()
    assert shown(third, family.vault) == {"one": {"1"}, "two": {"2"}}


def test_who_has_heard_of_a_removal_may_not_use_the_key_that_the_removed_one_has(two: Any):
    ours, family, _theirs, ben, person, _ = two
    old = ours.state().vaults[family.vault].newest_epoch()
    state(ours, family.anna, removal(ours, A_PERSON, person, ben))
    assert ours.state().writable_epoch(family.vault) is None
    write(ours, family.anna, family.vault, "secret", "under the old key", epoch=old)
    assert shown(ours, family.vault) == {}
    made = new_epoch(ours, family, family.vault, family.anna)
    assert state(ours, family.anna, made) == ""
    new = ours.state().writable_epoch(family.vault)
    write(ours, family.anna, family.vault, "secret", "under the new key", epoch=new)
    assert shown(ours, family.vault) == {"secret": {"under the new key"}}


def test_nothing_counts_of_a_keyholder_let_in_unseen_by_who_is_removed(two: Any):
    """Or a thief would go on writing with a key of their own making."""
    ours, family, theirs, ben, person, _ = two
    tablet, other = Author("bens tablet"), Author("ben on the tablet")
    admission = [admit_device(ours.family, tablet, person), add_keyholder(ours.family, person, tablet, other)]
    assert state(theirs, ben, *admission) == ""
    write(theirs, other, family.vault, "forged", "by a key nobody knew")
    assert state(ours, family.anna, removal(ours, A_PERSON, person, ben)) == ""
    ours.ingest(wires(theirs))
    assert other.id not in ours.state().keyholders
    assert shown(ours, family.vault) == {}
    theirs.ingest(wires(ours))
    assert theirs.table() == ours.table() == copy(ours, "fresh").table()


def test_a_grant_that_names_an_epoch_undone_hands_on_its_key(two: Any):
    """What was written under it counts, so who may read the vault has to get it."""
    ours, family, theirs, ben, person, _ = two
    cleo, laptop = Author("cleo"), Author("cleos laptop")
    reader = family.admit(ours, cleo, laptop, WRITER)
    assert state(theirs, ben, new_epoch(theirs, family, family.vault, family.anna, ben)) == ""
    undone = theirs.state().vaults[family.vault].newest_epoch()
    assert state(ours, family.anna, removal(ours, A_PERSON, person, ben)) == ""
    ours.ingest(wires(theirs))
    assert ours.state().vaults[family.vault].epochs[undone].closed
    assert state(ours, family.anna, [GRANT, family.vault, undone, reader, WRITES, [[cleo.id, BOX]]]) == ""
    assert cleo.id in ours.state().vaults[family.vault].epochs[undone].sealed
    assert ours.state().right(family.vault, reader) == WRITES


def test_an_epoch_for_who_was_removed_has_no_effect(two: Any):
    ours, family, _theirs, ben, person, _ = two
    state(ours, family.anna, removal(ours, A_PERSON, person, ben))
    assert state(ours, family.anna, new_epoch(ours, family, family.vault, family.anna, ben)) != ""


def test_who_has_heard_of_a_removal_opens_a_new_key_even_if_the_removed_never_had_the_old_one(two: Any):
    """Ben, who has not heard, hands the old key to whom Anna admitted and has removed again."""
    ours, family, theirs, _ben, _, _ = two
    nina, tablet = Author("nina"), Author("ninas tablet")
    person = family.admit(ours, nina, tablet, WRITER)
    sync(ours, theirs)
    assert state(ours, family.anna, removal(ours, A_PERSON, person, nina)) == ""
    family.grant(theirs, family.directory, person, WRITES, nina)
    assert ours.state().writable_epoch(family.directory) is None
    # A vault that she could never read, too: its owner may be letting her in just now.
    assert ours.state().writable_epoch(family.vault) is None


def test_a_device_taken_back_to_before_its_removal_gains_nothing(two: Any):
    """Back-dated entries, under the frontier from before: they have authority in their past and lie beyond the cut."""
    ours, family, theirs, ben, _person, phone = two
    state(ours, family.anna, removal(ours, A_DEVICE, phone.id, ben))
    for number in range(20):
        write(theirs, ben, family.vault, f"t{number}", "back-dated", now=1)
    ours.ingest(wires(theirs))
    assert shown(ours, family.vault) == {}
    assert len(ours.put_aside()) == 20


def test_live_dots_do_not_depend_on_the_order():
    draw = random.Random(5)
    for _ in range(300):
        dots = [bytes([number]) * 18 for number in range(7)]
        writes = [
            Write(
                dot,
                tuple(draw.sample(dots[:number], draw.randrange(min(number, 3) + 1))),
                *draw.choice([(True, False), (True, False), (False, True), (False, False)]),
            )
            for number, dot in enumerate(dots)
        ]
        expected = live_dots(writes)
        draw.shuffle(writes)
        assert live_dots(writes) == expected
        counted = {write.dot for write in writes if write.counts}
        assert expected <= counted
        assert bool(expected) == bool(counted)


def test_a_keyholder_statement_rests_on_its_persons_and_devices_admission():
    """Kinds that admit are known to the part that undoes: a new kind must be named there too."""
    home = Home()
    kinds = {body[0] for batch in home.batches for body in (statement.body for statement in batch)}
    assert kinds == {FOUND, PERSON, DEVICE, KEYHOLDER}


def test_a_device_can_be_removed_though_its_owners_admission_was_undone():
    home = Home()
    apart = home.membership.heads()
    device = Author("of nobody")
    admission = [PERSON, WRITER, b"x" * 16]
    person = home.make(PEOPLE[1], admission)[-1].hash[:16]
    home.add(PEOPLE[1], admission)
    assert home.add(PEOPLE[2], admit_device(FAMILY, device, person)) == [""]
    assert home.add(PEOPLE[0], remove(home.people[1]), frontier=apart) == [""]
    assert person not in home.state().people
    assert device.id in home.state().devices
    assert home.add(PEOPLE[0], [REMOVE, A_DEVICE, device.id, []]) == [""]
    assert device.id not in home.state().devices


def test_a_founding_that_removes_its_own_device_has_no_such_effect():
    it, admission = Statements(FAMILY), [PERSON, ADMIN, PEOPLE[0].id[:16]]
    person = it.make(PEOPLE[0], FOUNDING, admission)[-1].hash[:16]
    removal = [REMOVE, A_DEVICE, LAPTOPS[0].id, []]
    reasons = it.add(PEOPLE[0], FOUNDING, admission, admit_device(FAMILY, LAPTOPS[0], person), removal)
    assert reasons == ["", "", "", "no admin would be left who can act"]


def test_what_a_cut_write_named_stays_replaced_when_it_is_taken_in_before_that_comes(two: Any):
    """Ben wrote over Cleo's value; he is removed and his write taken in; Cleo's arrives after all that, or before."""
    ours, family, theirs, ben, person, _ = two
    cleo = Author("cleo")
    cleos = family.admit(ours, cleo, Author("cleos phone"), WRITER)
    family.grant(ours, family.vault, cleos, WRITES, cleo)
    sync(ours, theirs)
    apart = copy(ours, "cleos phone")
    write(apart, cleo, family.vault, "t", "cleos")
    sync(apart, theirs)
    write(theirs, ben, family.vault, "t", "bens")
    base = wires(ours)
    late, over = wires(theirs)[-2:]
    assert state(ours, family.anna, [REMOVE, A_PERSON, person, []]) == ""
    sync(ours, theirs)
    log, head = next((log, head) for log, author, head, _ in theirs.tips() if author == ben.id)
    assert state(ours, family.anna, [TAKE_IN, log, head]) == ""
    taken = [wire for wire in wires(ours) if wire not in [*base, late, over]]
    for order in ([late, over, *taken], [taken[0], over, taken[1], late]):
        found = new_replica("another", ours.family)
        assert found.ingest([*base, *order]).refused is None
        assert shown(found, family.vault) == {"t": {"bens"}}

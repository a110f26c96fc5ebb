"""Who was removed and does not go: back-dating, coming back, fighting, keys from before (A36 to A40)."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from node.people import exposure, remove_device
from node.sealing import Opener, Place, Unopened
from replication.entry import Op
from replication.membership import (
    A_DEVICE,
    A_PERSON,
    ADMIN,
    BLIND,
    PERSON,
    REMOVE,
    TAKE_IN,
    WRITER,
    WRITES,
)
from replication.replica import Draft, Replica
from tests.attacks.forge import appended
from tests.kin import (
    Author,
    Family,
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
from tests.node.laptops import Laptop, account, join

DAY = 24 * 3600 * 1000


@pytest.fixture
def ours() -> Replica:
    return new_replica("anna")


@pytest.fixture
def family(ours: Replica) -> Family:
    return Family.found(ours)


def admitted(ours: Replica, family: Family, name: str, role: int = WRITER) -> tuple[Author, Author, bytes]:
    """Keyholder, device and person id of someone who may write in Anna's vault."""
    holder, device = Author(name), Author(f"{name}s phone")
    person = family.admit(ours, holder, device, role)
    family.grant(ours, family.vault, person, WRITES, holder)
    return holder, device, person


def removal(replica: Replica, what: int, target: bytes, *authors: Author) -> list[Any]:
    """Of all that is here, what those authors wrote counts."""
    heads: dict[bytes, list[bytes]] = {}
    for log, author, digest, _ in replica.tips():
        if author in {one.id for one in authors}:
            heads.setdefault(log, []).append(digest)
    return [REMOVE, what, target, [[log, sorted(found)] for log, found in sorted(heads.items())]]


def test_a36_offline_for_thirty_days_and_back_with_a_hundred_back_dated_writes(ours: Replica, family: Family):
    state(ours, family.anna, admit_device(family.family, Author("pi"), b"", role=BLIND))
    ben, phone, _ = admitted(ours, family, "ben")
    away, pi = copy(ours, "bens phone"), copy(ours, "pi")
    write(away, ben, family.vault, "seen", "by all", now=30 * DAY)
    sync(away, ours)
    assert state(ours, family.anna, removal(ours, A_DEVICE, phone.id, ben), now=31 * DAY) == ""
    for number in range(100):
        write(away, ben, family.vault, f"t{number}", "back-dated", now=29 * DAY + number)
    write(away, ben, family.vault, "seen", "changed", now=1)
    for device in (ours, pi):
        sync(away, device)
    sync(ours, pi)
    for device in (ours, pi, away):
        assert shown(device, family.vault) == {"seen": {"by all"}}
        assert [why for _, why in device.put_aside()] == ["beyond the cut of a removal"] * 101
    # Nothing is dropped: an admin who wants it takes it in.
    [(log, head)] = [(log, digest) for log, author, digest, _ in ours.tips() if author == ben.id]
    assert state(ours, family.anna, [TAKE_IN, log, head]) == ""
    assert len(shown(ours, family.vault)) == 101


def test_a37_re_adds_itself_by_an_old_admission_replayed(ours: Replica, family: Family):
    ben, phone, person = admitted(ours, family, "ben", ADMIN)
    old = wires(ours)
    assert state(ours, family.anna, removal(ours, A_PERSON, person, ben)) == ""
    ours.ingest(old)
    away = new_replica("bens phone", family.family)
    away.ingest(old)
    assert person in away.state().people  # so it still sees itself
    admission: list[list[Any]] = [
        admit_device(family.family, phone, person), add_keyholder(family.family, person, phone, ben)
    ]  # fmt: skip
    # By itself, apart and back-dated; then by a crony whom it lets in apart; then by an admin who is fooled.
    state(away, ben, *admission, now=1)
    crony, tablet = Author("crony"), Author("cronys tablet")
    let_in = family_of(away, ben, crony, tablet, family)
    assert let_in in away.state().people
    state(away, crony, admit_device(family.family, Author("more"), let_in))
    sync(ours, away)
    for key, told in ((phone, "a removed key is never admitted again"), (Author("another"), "")):
        assert state(ours, family.anna, admit_device(family.family, key, family.person)) == told
    keyholder = add_keyholder(family.family, family.person, family.laptop, ben)
    assert state(ours, family.anna, keyholder) == "a removed key is never admitted again"
    cleo, _, cleos = admitted(ours, family, "cleo", ADMIN)
    again = [PERSON, ADMIN, ben.id[:16]]
    state(ours, cleo, again, admit_device(family.family, phone, cleos), add_keyholder(family.family, cleos, phone, ben))
    sync(ours, away)
    late = copy(ours, "a new device")
    for device in (ours, away, late):
        it = device.state()
        assert person not in it.people
        assert let_in not in it.people
        assert not {phone.id, tablet.id, Author("more").id} & set(it.devices)
        assert not {ben.id, crony.id} & set(it.keyholders)
    made = write(away, ben, family.vault, "t", "still here")
    sync(ours, away)
    assert shown(ours, family.vault) == {}
    assert made[:16] in {digest[:16] for digest, _ in ours.put_aside()}


def family_of(replica: Replica, admin: Author, holder: Author, device: Author, family: Family) -> bytes:
    """Another admin than Anna admits someone, as an admin; the person id."""
    acting = Family(admin, family.laptop, family.family)
    return acting.admit(replica, holder, device, ADMIN)


def test_a38_two_admins_remove_each_other_in_all_interleavings_of_four_nodes(ours: Replica, family: Family):
    ben, _, bens = admitted(ours, family, "ben", ADMIN)
    cleo, _, cleos = admitted(ours, family, "cleo", ADMIN)
    at_ben, at_cleo = copy(ours, "ben"), copy(ours, "cleo")
    common = wires(ours)
    assert state(at_ben, ben, removal(at_ben, A_PERSON, cleos, cleo)) == ""
    # The junior one cannot say it alone while she sees him: nor by two at once, nor by whom she lets in first.
    assert state(at_cleo, cleo, removal(at_cleo, A_PERSON, bens, ben)).startswith("a senior falls")
    dora, doras = Author("dora"), Author("doras phone")
    person = family_of(at_cleo, cleo, dora, doras, family)
    state(at_cleo, dora, removal(at_cleo, A_PERSON, bens, ben))
    state(at_cleo, cleo, removal(at_cleo, A_PERSON, cleos, cleo))
    batches = [wires(at_ben)[len(common) :], wires(at_cleo)[len(common) :]]
    pieces = [(side, wire) for side, batch in enumerate(batches) for wire in batch]
    seen = set()
    for order in permutations(range(len(pieces))):
        by_side = [[i for i in order if pieces[i][0] == side] for side in (0, 1)]
        if any(ids != sorted(ids) for ids in by_side):
            continue  # an entry comes after those of its own log
        node = new_replica("node", family.family)
        assert node.ingest(common + [pieces[i][1] for i in order]).refused is None
        it = node.state()
        seen.add((frozenset(it.people), frozenset(it.devices), frozenset(it.keyholders)))
    assert len(seen) == 1
    [(people, _, keyholders)] = seen
    assert people == {family.person, bens}
    assert not {cleo.id, dora.id} & keyholders
    assert person not in people


def test_a38_the_senior_of_two_who_remove_each_others_devices_stays(ours: Replica, family: Family):
    """Two laptops of one person may do so to each other: the older key stays, whoever hears first."""
    second, key = Author("annas second laptop"), Author("annas second key")
    admission = [admit_device(family.family, second, family.person)]
    admission += [add_keyholder(family.family, family.person, second, key)]
    assert state(ours, family.anna, *admission) == ""
    there = copy(ours, "there")
    assert state(ours, family.anna, [REMOVE, A_DEVICE, second.id, []]) == ""
    assert state(there, key, [REMOVE, A_DEVICE, family.laptop.id, []]) == ""
    one, two = copy(ours, "one"), copy(there, "two")
    one.ingest(wires(there))
    two.ingest(wires(ours))
    sync(ours, there)
    for node in (one, two, ours, there):
        assert set(node.state().devices) == {family.laptop.id}


def opens_nothing(thief: Laptop, replica: Replica, after: int) -> int:
    """The thief tries every key they ever had on every entry that came after the local id; how many were tried."""
    keys = [
        held
        for vault in replica.state().vaults
        for held in thief.vaults.epoch_keys(vault).values()
    ]  # fmt: skip
    epochs = {name for vault in replica.state().vaults.values() for name in vault.epochs}
    tried = 0
    for (entry,) in replica.store.rows("SELECT id FROM entries WHERE id > ? AND vault IS NOT NULL", (after,)):
        info = replica.info(entry)
        for held in keys:
            for epoch in epochs:
                place = Place(replica.family or b"", info.vault, epoch, info.suite, info.log, info.seq)
                with pytest.raises(Unopened, match="commitment"):
                    Opener(held, place, info.salt, info.commitment)
                tried += 1
    return tried


def test_a39_two_removals_made_apart_are_joined_and_neither_of_the_removed_reads_on(laptop: Laptop, tmp_path: Path):
    tablet, phone, watch = (join(laptop, tmp_path / name) for name in ("tablet", "phone", "watch"))
    item = account(laptop, "known to all")
    for other in (tablet, phone, watch):
        sync(laptop.replica, other.replica)
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    remove_device(tablet.replica, tablet.unlocked, tablet.vaults, watch.device.id)
    sync(laptop.replica, tablet.replica)
    vault = bytes.fromhex(laptop.vaults.vaults()[1].vault_id)
    assert len(laptop.replica.state().vaults[vault].heads()) == 2
    assert laptop.replica.state().writable_epoch(vault) is None  # each is known to one of the removed
    before = laptop.replica.last_id()
    laptop.vaults.update_item(item, {"password": "after both"})
    state_now = laptop.replica.state()
    assert state_now.writable_epoch(vault) == state_now.vaults[vault].heads()[0]
    for thief in (phone, watch):
        thief.replica.ingest(wires(laptop.replica))
        assert opens_nothing(thief, laptop.replica, before) > 0
        assert thief.password(item) == "known to all"
    sync(laptop.replica, tablet.replica)
    assert tablet.password(item) == "after both"


def test_a40_a_member_apart_during_the_removal_writes_under_the_old_key(laptop: Laptop, tmp_path: Path):
    """Kept, readable, named as known to the removed; and the next change of it is under a key they lack."""
    tablet, phone = join(laptop, tmp_path / "tablet"), join(laptop, tmp_path / "phone")
    sync(laptop.replica, tablet.replica)
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    item = account(tablet, "written apart")
    sync(laptop.replica, tablet.replica)
    assert [side.password(item) for side in (laptop, tablet)] == ["written apart"] * 2
    assert laptop.replica.put_aside() == []
    assert item in {found.item_id for found in exposure(laptop.replica, laptop.vaults)}
    phone.replica.ingest(wires(laptop.replica))
    assert phone.password(item) == "written apart"  # that is what the list says
    before = tablet.replica.last_id()
    tablet.vaults.update_item(item, {"password": "written since"})
    assert item not in {found.item_id for found in exposure(tablet.replica, tablet.vaults)}
    phone.replica.ingest(wires(tablet.replica))
    assert opens_nothing(phone, tablet.replica, before) > 0
    # Who has heard of the removal and uses the old key all the same has no effect.
    vault = bytes.fromhex(tablet.vaults.vaults()[1].vault_id)
    op = Op(b"t" * 16, (), b"sealed under the old key".ljust(80))
    for epoch in phone.vaults.epoch_keys(vault):
        draft = Draft((op,), vault=vault, epoch=epoch, suite=1, salt=b"s" * 32, commitment=b"c" * 32)
        made = appended(tablet.replica, tablet.unlocked.keyholder, tablet.unlocked.sign, draft)
        assert made.reason.startswith("under a key that a removed one has")

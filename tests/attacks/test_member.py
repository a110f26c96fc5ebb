"""A member who may be here and misbehaves: keys, rights, statements, forks, clocks (A42 to A49, A54)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from nacl.exceptions import CryptoError
from nacl.public import PublicKey, SealedBox

from node.grants import epoch_keys, epoch_statement, grant_statement, open_keys, seal_keys
from node.keyholder import Unlocked
from node.sealing import Unopened, VaultKeys
from node.vault import Vaults
from replication.entry import MAX_TIME, Op, from_wire, log_id, make_dot
from replication.errors import InvalidSignature
from replication.membership import (
    A_PERSON,
    ADMIN,
    BLIND,
    DIRECTORY,
    DISCOVERY,
    EPOCH,
    FORGET,
    GRANT,
    OWNS,
    PAPER,
    PERMIT,
    PERSON,
    PROPOSE,
    PURGE,
    READER,
    READS,
    RECOVER,
    REMOVE,
    REVOKE,
    ROLE,
    SHARED,
    SUITE,
    TAKE_IN,
    UNLOCK,
    VAULT,
    WRITER,
    WRITES,
)
from replication.replica import Draft, Replica
from tests.attacks.forge import changed, last_entry, refusal, under_own_name
from tests.kin import (
    BOX,
    Author,
    Family,
    add_keyholder,
    admit_device,
    at,
    copy,
    new_replica,
    reason_of,
    shown,
    state,
    sync,
    wires,
    write,
)
from tests.node.house import House
from tests.node.laptops import Laptop, account, join

ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the group that Ed25519 signs in (RFC 8032, section 5.1)."""
WEAK = {
    "zero": bytes(32),
    "identity": b"\x01" + bytes(31),
    "order two": b"\xec" + b"\xff" * 30 + b"\x7f",
    "order four, spelt twice": bytes(31) + b"\x80",
    "identity, not canonical": b"\xee" + b"\xff" * 30 + b"\x7f",
    "order eight": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    "no point": b"\xff" * 32,
}


@pytest.fixture
def one() -> Replica:
    return new_replica("one")


@pytest.fixture
def family(one: Replica) -> Family:
    return Family.found(one)


def member(one: Replica, family: Family, name: str, right: int, role: int = WRITER) -> tuple[Author, bytes]:
    holder = Author(name)
    person = family.admit(one, holder, Author(f"{name}s phone"), role)
    if right:
        family.grant(one, family.vault, person, right, holder)
    return holder, person


def personal(laptop: Laptop) -> bytes:
    return bytes.fromhex(laptop.vaults.vaults()[1].vault_id)


def says(laptop: Laptop, me: Unlocked, *statements: list[Any]) -> str:
    """State as someone signed in; why the first has no effect, or ''."""
    info = laptop.replica.append(me.keyholder, me.sign, lambda _: Draft(statements=statements), 1)
    return reason_of(laptop.replica, laptop.replica.statements_of(info.id)[0])


def share(laptop: Laptop, house: House, right: int) -> Unlocked:
    """Anna gives Ben a right in her vault; he is signed in."""
    vault, it = personal(laptop), laptop.replica.state()
    epoch = it.vaults[vault].newest_epoch()
    assert epoch is not None
    boxes = {key: it.keyholders[key].box_key for key in it.keyholders_of(house.ben)}
    keys = laptop.vaults.epoch_keys(vault)[epoch]
    assert says(laptop, laptop.unlocked, grant_statement(it.family, vault, epoch, keys, house.ben, right, boxes)) == ""
    return house.sign_in(laptop.replica, house.ben)


# Keys


def test_a42_every_way_to_bend_a_grant(laptop: Laptop, house: House, tmp_path: Path):
    ben = share(laptop, house, WRITES)
    vault, it = personal(laptop), laptop.replica.state()
    epoch = it.vaults[vault].newest_epoch()
    assert epoch is not None
    keys = laptop.vaults.epoch_keys(vault)[epoch]
    anna = laptop.unlocked
    theirs = {key: it.keyholders[key].box_key for key in it.keyholders_of(house.ben)}
    good = grant_statement(it.family, vault, epoch, keys, house.ben, WRITES, theirs)
    # Not signed, or by another than it says.
    says(laptop, anna, good)
    device = new_replica("device", laptop.replica.family)
    device.ingest(wires(laptop.replica)[:-1])
    for signature in (bytes(64), ben.sign(b"x" * 32)):
        assert refusal(device, changed(last_entry(laptop.replica), signature=signature)) == "signature"
    # By a writer who does not own the vault.
    assert says(laptop, ben, grant_statement(it.family, vault, epoch, keys, house.ben, OWNS, theirs)) == "not the owner"
    # Anna's box, its signature stripped and signed anew: as a grant of Ben's to himself, and for another vault.
    box = it.vaults[vault].epochs[epoch].sealed[anna.keyholder]
    assert says(laptop, ben, [GRANT, vault, epoch, house.ben, WRITES, [[anna.keyholder, box]]]) == (
        "not that person's keys"
    )
    where: dict[str, Any] = {"family": it.family, "vault": vault, "commitment": keys.commitment(),
                             "recipient": anna.keyholder, "private": anna.box}  # fmt: skip
    assert open_keys(box, **where) == keys
    for change in ({"vault": b"v" * 16}, {"recipient": ben.keyholder}, {"family": b"F" * 32}):
        with pytest.raises(Unopened, match="context"):
            open_keys(box, **(where | change))
    # Forwarded whole to whom it is not for: it does not open.
    with pytest.raises(Unopened, match="box"):
        open_keys(box, **(where | {"private": ben.box}))
    # Another key than the epoch's statement commits to, in a box that is right in all else.
    whole = SealedBox(anna.box).decrypt(box)
    forged = SealedBox(PublicKey(bytes(anna.box.public_key))).encrypt(whole.replace(keys.vault_key, b"x" * 32))
    with pytest.raises(Unopened, match="commitment"):
        open_keys(forged, **where)
    # Made after what nobody has heard of.
    says(laptop, anna, good)
    assert refusal(device, changed(last_entry(laptop.replica), frontier=[b"?" * 32])) != ""
    # To a blind peer, or to a key of small order.
    assert says(laptop, anna, [GRANT, vault, epoch, house.ben, WRITES, [[laptop.device.id, BOX]]]) == (
        "not that person's keys"
    )
    for weak in (bytes(32), b"\x01" + bytes(31)):
        with pytest.raises(CryptoError):
            seal_keys(keys, family=it.family, vault=vault, recipient=b"r" * 32, box_key=weak)


def test_a42_no_grant_reaches_a_blind_peer(one: Replica, family: Family):
    pi = Author("pi")
    assert state(one, family.anna, admit_device(family.family, pi, b"", role=BLIND)) == ""
    holder = Author("a keyholder on the pi")
    assert state(one, family.anna, add_keyholder(family.family, family.person, pi, holder)) == (
        "no device that may read"
    )
    heads = one.state().vaults[family.vault].heads()
    boxes = [[key, BOX] for key in sorted([family.anna.id, pi.id])]
    assert state(one, family.anna, [EPOCH, family.vault, heads, b"D" * 32, boxes, []]) == (
        "recipients are not the readers"
    )
    assert pi.id not in {key for v in one.state().vaults.values() for e in v.epochs.values() for key in e.sealed}


def test_a42_a_grant_said_to_be_from_before_ones_revocation(one: Replica, family: Family):
    """An owner whose right was taken lets a crony in, in an entry that has heard of nothing: it falls."""
    ben, bens = member(one, family, "ben", OWNS)
    crony, cronys = member(one, family, "crony", 0)
    apart = copy(one, "apart")
    assert state(one, family.anna, [REVOKE, family.vault, bens, READS, []]) == ""
    epoch = one.state().vaults[family.vault].newest_epoch()
    assert state(apart, ben, [GRANT, family.vault, epoch, cronys, OWNS, [[crony.id, BOX]]]) == ""
    write(apart, ben, family.vault, "t", "bens")
    sync(one, apart)
    for node in (one, apart, copy(one, "pi")):
        assert node.state().right(family.vault, cronys) == 0
        assert node.state().right(family.vault, bens) == READS
        assert shown(node, family.vault) == {}
    write(one, crony, family.vault, "t", "cronys")
    assert shown(one, family.vault) == {}
    # Nor does he give himself the right again.
    assert state(one, ben, [GRANT, family.vault, epoch, bens, OWNS, []]) == "not the owner"


def test_a43_a_second_key_for_one_epoch(laptop: Laptop, house: House, tmp_path: Path):
    """An epoch's name is the hash of a statement that has the key's commitment: a second key is a second epoch."""
    ben = share(laptop, house, WRITES)
    tablet = join(laptop, tmp_path / "tablet")
    item, vault, it = account(laptop, "under the first key"), personal(laptop), laptop.replica.state()
    epoch = it.vaults[vault].newest_epoch()
    assert epoch is not None
    other = VaultKeys(b"x" * 32, next(iter(laptop.vaults.epoch_keys(vault).values())).target_key)
    # Another key in a box for the same epoch: from Ben to Anna, who has hers, and to her tablet.
    for victim in (laptop, tablet):
        me = victim.unlocked
        hers = bytes(me.box.public_key)
        forged = seal_keys(other, family=it.family, vault=vault, recipient=me.keyholder, box_key=hers)
        says(laptop, ben, [GRANT, vault, epoch, house.anna, OWNS, [[me.keyholder, forged]]])
    sync(laptop.replica, tablet.replica)
    for victim in (laptop, tablet):
        me = victim.unlocked
        assert epoch_keys(victim.replica.state(), vault, me.keyholder, me.box)[epoch] != other
        assert victim.password(item) == "under the first key"
    # An epoch of his own, made apart from one of hers: both stay readable, and the next writer joins them.
    people = laptop.replica.state().recipients(vault)
    boxes = {key: box for key in people if (box := it.box_key(key) or laptop.replica.state().box_key(key))}
    apart = copy(laptop.replica, "ben")
    made = epoch_statement(it.family, vault, other, boxes, it.vaults[vault].heads())
    apart.append(ben.keyholder, ben.sign, lambda _: Draft(statements=(made,)), 1)
    assert says(laptop, laptop.unlocked, laptop.vaults.next_epoch(vault, people)) == ""
    sync(laptop.replica, apart)
    assert len(laptop.replica.state().vaults[vault].heads()) == 2
    joined = account(laptop, "under the joined key")
    assert len(laptop.replica.state().vaults[vault].heads()) == 1
    sync(laptop.replica, tablet.replica)
    assert [tablet.password(i) for i in (item, joined)] == ["under the first key", "under the joined key"]


# Rights


def test_a44_a_reader_who_writes(laptop: Laptop, house: House):
    """With the real key, and a value that is well sealed: no effect, at the blind peer and on the reader's own copy."""
    item = account(laptop, "annas")
    ben = share(laptop, house, READS)
    vaults = Vaults(laptop.replica, ben, random_bytes=lambda size: b"r" * size, clock=lambda: 1)
    assert vaults.item(item).fields["password"] == "annas"
    theirs, info = last_write(laptop.replica)
    dots = (make_dot(info.hash, 0),)
    stolen = Op(theirs.target, dots, theirs.sealed)
    under_own_name(laptop.replica, ben.keyholder, ben.sign, laptop.replica.wire(info.id), [stolen])
    delete = Op(theirs.target, dots, None)
    under_own_name(laptop.replica, ben.keyholder, ben.sign, laptop.replica.wire(info.id), [delete])
    pi, his = copy(laptop.replica, "pi"), copy(laptop.replica, "ben")
    for replica in (laptop.replica, pi, his):
        assert [why for _, why in replica.put_aside()] == ["no right to write"] * 2
        assert replica.table() == laptop.replica.table()
    assert laptop.password(item) == "annas"


def last_write(replica: Replica) -> tuple[Op, Any]:
    [(entry,)] = replica.store.rows("SELECT max(id) FROM entries WHERE vault IS NOT NULL")
    return from_wire(replica.wire(entry)).ops[0], replica.info(entry)


def test_a44_the_role_of_a_reader_is_stronger_than_any_right(one: Replica, family: Family):
    ben, _ = member(one, family, "ben", OWNS, role=READER)
    write(one, ben, family.vault, "t", "bens")
    assert state(one, ben, [VAULT, SHARED, b"n" * 16]) == "readers make no vaults"
    assert shown(one) == shown(copy(one, "pi")) == {}


def test_a45_a_writer_touches_members_manifests_and_other_vaults(one: Replica, family: Family):
    cleo, cleos = member(one, family, "cleo", 0)
    ben, bens = member(one, family, "ben", WRITES)
    write(one, family.anna, family.vault, "t", "annas")
    before, people = one.table(), dict(one.state().people)
    log = family.anna.id[:16]
    epoch = one.state().vaults[family.vault].newest_epoch()
    crony = Author("crony")
    recovery = [[[1, family.person, []]], crony.id, crony.box_key, b"L" * 64, BOX, b"p" * 64, crony.id, crony.box_key]
    for statement, told in (
        ([ROLE, bens, ADMIN, []], "not an admin"),
        ([ROLE, family.person, READER, []], "not an admin"),
        ([REVOKE, family.vault, family.person, 0, []], "not the owner"),
        ([PROPOSE, b"n" * 16, 1, family.person], "not an admin"),
        ([RECOVER, *recovery, b"p" * 64, crony.id], "not the recovery key in force"),
        ([PURGE, family.vault, [[b"d" * 18, [b"f" * 18]]]], "not the owner"),
        ([FORGET, [b"h" * 32], b"i" * 32], "unknown floor"),
        ([DISCOVERY, [[family.laptop.id, BOX]]], "not an admin"),
        ([PERSON, ADMIN, b"n" * 16], "not an admin"),
        ([PERMIT, family.laptop.id], "not an admin"),
        (admit_device(family.family, Author("a blind one"), b"", role=BLIND), "not an admin"),
        (admit_device(family.family, Author("cleos second"), cleos), "not an admin"),
        (add_keyholder(family.family, family.person, family.laptop, crony), "only the person adds their keyholders"),
        (add_keyholder(family.family, cleos, family.laptop, crony), "only the person adds their keyholders"),
        ([REMOVE, 1, family.person, []], "not an admin"),
        ([REMOVE, 0, Author("cleos phone").id, []], "not an admin"),
        ([TAKE_IN, log, b"h" * 32], "not an admin"),
        ([SUITE, family.vault, 2, [1], 1], "not the owner"),
        ([SUITE, family.directory, 2, [1], 1], "not the owner"),
        ([GRANT, family.vault, epoch, cleos, READS, []], "not the owner"),
        ([GRANT, family.vault, epoch, bens, OWNS, []], "not the owner"),
        ([GRANT, family.vault, epoch, family.person, READS, []], "not the owner"),
        ([EPOCH, family.vault, [epoch], b"D" * 32, [[ben.id, BOX]], []], "recipients are not the readers"),
        ([VAULT, DIRECTORY, b"d" * 16], "kind"),
        ([PAPER, family.person, crony.id, crony.box_key, b"s" * 16], "another person's"),
        ([UNLOCK, family.person, b"w" * 32, b""], "another person's"),
    ):
        assert state(one, ben, statement) == told, statement
    # Cleo's own vault, which he may not even read; a vault that is not there; the dots of others.
    assert state(one, cleo, [VAULT, SHARED, b"c" * 16]) == ""
    theirs = one.statements_of(one.last_id())[0][:16]
    write(one, ben, theirs, "t", "in cleos vault", epoch=b"E" * 32)
    write(one, ben, b"?" * 16, "t", "nowhere")
    dots = one.live_dots(family.vault, at("t"))
    write(one, ben, family.directory, "t", "elsewhere", replaces=dots)
    assert [row for row in one.table() if row[0] == family.vault] == before
    assert shown(one, theirs) == {}
    assert one.state().people == people
    assert copy(one, "pi").table() == one.table()


def test_a46_a_manifest_goes_down_in_no_way(tmp_path: Path):
    path = str(tmp_path / "db")
    one = new_replica("one", path=path)
    family = Family.found(one)
    ben, _ = member(one, family, "ben", OWNS)
    old = copy(one, "who missed it")
    assert state(one, family.anna, [SUITE, family.vault, 2, [2], 2]) == ""
    for body, told in (
        ([SUITE, family.vault, 1, [1, 2], 1], "suite version does not go up"),
        ([SUITE, family.vault, 2, [1, 2], 1], "suite version does not go up"),
        ([SUITE, family.vault, 3, [3], 3], "unknown suite"),
        ([SUITE, family.vault, 3, [], 1], "unknown suite"),
        ([SUITE, family.vault, 3, [1, 1], 1], "unknown suite"),
        ([SUITE, family.vault, 3, [2], 1], "unknown suite"),
        ([SUITE, family.vault, 3, [2], 2, b"a plugin"], "shape"),
        ([SUITE, family.vault, -1, [1], 1], "shape"),
    ):
        assert state(one, ben, body) == told, body
    one.close()
    again = new_replica("again", path=path)
    held = again.state().vaults[family.vault]
    assert (held.suite_version, held.readable_suites, held.suite) == (2, (2,), 2)
    write(again, family.anna, family.vault, "t", "weak", suite=1)
    assert shown(again) == {}
    # Replayed by who has not heard of it: a lower version does not come back in any order.
    assert state(old, ben, [SUITE, family.vault, 1 + 1, [1], 1]) == ""
    higher = copy(again, "higher")
    assert state(higher, family.anna, [SUITE, family.vault, 5, [2], 2]) == ""
    for first, second in ((higher, old), (old, higher)):
        node = new_replica("node", family.family)
        node.ingest(wires(first))
        node.ingest(wires(second))
        assert node.state().vaults[family.vault].suite_version == 5
        assert node.state().vaults[family.vault].readable_suites == (2,)


# Signatures


@pytest.mark.parametrize("key", WEAK.values(), ids=WEAK)
def test_a47_a_weak_key_is_admitted_nowhere_and_signs_nothing(one: Replica, family: Family, key: bytes):
    """Under the identity one trivial signature holds for every message, in some libraries."""
    trivial = [b"\x01" + bytes(63), key + bytes(32), bytes(64), b"\x01" + bytes(31) + bytes(32)]
    thief = Author("thief")
    for signature in trivial:
        device = admit_device(family.family, thief, family.person)
        device[1], device[-1] = key, signature
        keyholder = add_keyholder(family.family, family.person, family.laptop, thief)
        keyholder[3], keyholder[-1] = key, signature
        assert state(one, family.anna, device) == "no proof of the key"
        assert state(one, family.anna, keyholder) == "no proof of the key"
    there = copy(one, "there")
    stolen = wires(one)[0]
    for node in (one, there):
        assert key not in node.state().devices
        assert key not in node.state().keyholders
        for signature in trivial:
            # A log of the weak key's own: whatever it says would verify.
            nonce = b"n" * 16

            log = log_id(family.family, key, nonce)
            forged = changed(stolen, log=log, first=[key, nonce], signature=signature)
            assert refusal(node, forged) == "signature"
            entry = from_wire(forged).chain(family.family, key, nonce, ())
            with pytest.raises(InvalidSignature):
                entry.verify()


def test_a47_a_signature_has_one_spelling_on_all_nodes(one: Replica, family: Family):
    before = copy(one, "before")
    write(one, family.anna, family.vault, "t", "x")
    wire = last_entry(one)
    signature = from_wire(wire).signature
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    for wrong in (s + ORDER, s + 2 * ORDER, ORDER - s, 2**255 - 1):
        if wrong < 2**256:
            assert refusal(before, changed(wire, signature=r + wrong.to_bytes(32, "little"))) == "signature"
    for weak in WEAK.values():
        assert refusal(before, changed(wire, signature=weak + signature[32:])) == "signature"
    # And among many, where signatures are looked at together.
    for number in range(40):
        write(one, family.anna, family.vault, f"t{number}", "x")
    batch = [*wires(one)[1:]]
    batch[20] = changed(batch[20], signature=from_wire(batch[20]).signature[:32] + bytes(32))
    assert refusal(before, *batch) == "signature"
    assert wires(before) == wires(one)[:21]


# Forks


def test_a48_two_entries_with_one_counter(one: Replica, family: Family):
    """Both are kept as proof, both count, and the log is closed everywhere: no branch of it is written on."""
    ben, _ = member(one, family, "ben", WRITES)
    write(one, ben, family.vault, "t", "before")
    two = copy(one, "two")
    for replica in (one, two):  # his key in two places, on purpose
        replica.store.run("INSERT OR REPLACE INTO own_logs SELECT author, log FROM logs WHERE author = ?", (ben.id,))
    dots = one.live_dots(family.vault, at("t"))
    here = write(one, ben, family.vault, "t", "told to anna", replaces=dots)
    there = write(two, ben, family.vault, "t", "told to cleo", replaces=dots)
    sync(one, two)
    late, pi = new_replica("late", family.family), new_replica("pi", family.family)
    sync(one, late)
    sync(two, pi)
    for node in (one, two, late, pi):
        assert shown(node, family.vault) == {"t": {"told to anna", "told to cleo"}}
        assert {digest[:18] for digest in node.live_dots(family.vault, at("t"))} == {here, there}
        [(log,)] = node.store.rows("SELECT log FROM logs WHERE forked")
        assert [row.seq for row in node.frontier() if row.log == log] == [1, 1]
    for node in (one, two):
        write(node, ben, family.vault, "u", "after")
        assert {row.seq for row in node.frontier() if row.log == log} == {1}
    sync(one, two)
    assert one.table() == two.table()


def test_a48_a_statement_made_twice_gives_one_family(one: Replica, family: Family):
    """An admin who tells each half of the family of another newcomer, in entries with one counter."""
    two = copy(one, "two")
    two.store.run("INSERT OR REPLACE INTO own_logs SELECT author, log FROM logs")
    family.admit(one, Author("ben"), Author("bens phone"), ADMIN)
    family.admit(two, Author("cleo"), Author("cleos phone"), ADMIN)
    left, right = wires(one), wires(two)
    nodes = [new_replica(f"node {number}", family.family) for number in range(2)]
    nodes[0].ingest(left + right)
    nodes[1].ingest(right + left)
    sync(one, two)
    for node in (two, *nodes):
        assert node.state() == one.state()
    assert len(one.state().people) == 3


# Clocks


def test_a49_no_clock_is_believed(one: Replica, family: Family):
    """A clock decides nothing: so none is put right, none put aside, and who had a wrong one loses nothing."""
    ben, _ = member(one, family, "ben", WRITES)
    two = copy(one, "two")
    year_33658 = 1_000_000_000_000_000
    write(two, ben, family.vault, "a", "33658", now=year_33658)
    write(two, ben, family.vault, "b", "the last moment", now=MAX_TIME)
    write(two, ben, family.vault, "c", "before 1970", now=-(2**63))
    for wall in (MAX_TIME + 1, 2**63 - 1, -1):
        fresh = copy(one, "fresh")
        assert refusal(fresh, changed(last_entry(one), wall=wall)) != ""
    sync(one, two)
    write(one, family.anna, family.vault, "a", "today", now=1_800_000_000_000)
    write(one, family.anna, family.vault, "b", "today", now=0)
    assert one.info(one.last_id()).wall_time == 0  # nobody's clock was moved by another's
    sync(one, two)
    write(two, ben, family.vault, "d", "his clock is right again", now=1_800_000_000_000)
    sync(one, two)
    for node in (one, two, copy(one, "pi")):
        assert shown(node, family.vault) == {
            "a": {"today"}, "b": {"today"}, "c": {"before 1970"}, "d": {"his clock is right again"}
        }  # fmt: skip
        assert node.put_aside() == []
    # Nor does one help in a conflict: both sides are kept, whoever claims to be later.
    write(one, family.anna, family.vault, "e", "now", now=1)
    write(two, ben, family.vault, "e", "in 33658", now=year_33658)
    sync(one, two)
    assert shown(one, family.vault)["e"] == {"now", "in 33658"}


# Deleting and reviving


def test_a54_a_storm_of_deletes_and_revivals(laptop: Laptop, tmp_path: Path):
    """Two devices delete, restore and edit apart, in another order each time: one outcome, and all of the history."""
    outcomes = set()
    tablet = join(laptop, tmp_path / "tablet")
    items = [account(laptop, f"password {number}") for number in range(4)]
    sync(laptop.replica, tablet.replica)
    draw = random.Random(54)
    sides = [laptop.vaults, tablet.vaults]
    written = {item: {f"password {number}"} for number, item in enumerate(items)}
    for step in range(120):
        side, item = draw.choice(sides), draw.choice(items)
        held = side.item(item)
        if not held.deleted and draw.random() < 0.3:
            value = f"value {step}"
            side.update_item(item, {"password": value})
            written[item].add(value)
        elif held.deleted:
            side.restore_item(item)
        else:
            side.delete_item(item)
        if draw.random() < 0.05:
            sync(laptop.replica, tablet.replica)
    sync(laptop.replica, tablet.replica)
    late = Laptop(laptop.device, copy(laptop.replica, "late"), laptop.unlocked)
    for device in (laptop, tablet, late):
        assert device.replica.table() == laptop.replica.table()
        view = [device.vaults.item(item) for item in items]
        outcomes.add(repr([(v.deleted, v.revived, v.fields, v.conflicts) for v in view]))
        for item in items:
            assert {shown.value for shown in device.vaults.history(item, "password")} == written[item]
    assert len(outcomes) == 1
    for item in items:
        laptop.vaults.delete_item(item)
        laptop.vaults.restore_item(item)
        assert not laptop.vaults.item(item).deleted



@pytest.mark.parametrize("how", ["removed", "revoked", "lowered"])
def test_a45_writes_under_a_right_that_was_undone(one: Replica, family: Family, how: str):
    """Who lost their right has a member write on for them, under a grant said to be from before."""
    ben, bens = member(one, family, "ben", OWNS, ADMIN)
    role, right = (READER, WRITES) if how == "lowered" else (WRITER, 0)
    crony, cronys = member(one, family, "crony", right, role)
    apart = copy(one, "apart")
    epoch = one.state().vaults[family.vault].newest_epoch()
    loses: list[Any] = {
        "removed": [REMOVE, A_PERSON, bens, []],
        "revoked": [REVOKE, family.vault, bens, 0, []],
        "lowered": [ROLE, bens, WRITER, []],
    }[how]
    raises: list[Any] = [GRANT, family.vault, epoch, cronys, OWNS, [[crony.id, BOX]]]
    if how == "lowered":
        raises = [ROLE, cronys, WRITER, []]
    assert state(one, family.anna, loses) == ""
    assert state(apart, ben, raises) == ""
    for number in range(3):
        write(apart, crony, family.vault, f"t{number}", "cronys", epoch=epoch)
    sync(one, apart)
    for node in (one, apart, copy(one, "pi")):
        assert node.state().right(family.vault, cronys) < WRITES
        assert shown(node, family.vault) == {}
        assert len(node.put_aside()) >= 3
    log, head = next((log, digest) for log, author, digest, _ in one.tips() if author == crony.id)
    assert state(one, family.anna, [TAKE_IN, log, head]) == ""
    assert len(shown(one, family.vault)) == 3, "an admin may take them in all the same"

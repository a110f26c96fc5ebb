"""One device's copy: what counts, what is live, forks, copied stores (A27, A44, A45, A48, A49, A54)."""

from __future__ import annotations

import shutil
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.encoding import decode, encode
from replication.entry import MAX_TIME, Op, make_dot
from replication.errors import LocalProtocolError
from replication.membership import (
    BLIND,
    OWNS,
    PAPER,
    READER,
    READS,
    SHARED,
    SUITE,
    UNLOCK,
    VAULT,
    WRITER,
    WRITES,
)
from replication.replica import Draft, Replica
from tests.kin import (
    Author,
    Family,
    admit_device,
    at,
    copy,
    new_replica,
    recovery,
    shown,
    state,
    sync,
    wires,
    write,
)


@pytest.fixture
def one() -> Replica:
    return new_replica("one")


@pytest.fixture
def family(one: Replica) -> Family:
    return Family.found(one)


def ben_with(one: Replica, family: Family, right: int, role: int = WRITER) -> Author:
    ben = Author("ben")
    person = family.admit(one, ben, Author("bens phone"), role)
    if right:
        family.grant(one, family.vault, person, right, ben)
    return ben


def reasons(replica: Replica) -> list[str]:
    return [reason for _, reason in replica.put_aside()]


# The merge


def test_a_write_replaces_what_it_saw(one: Replica, family: Family):
    write(one, family.anna, family.vault, "t", "first")
    write(one, family.anna, family.vault, "t", "second")
    assert shown(one) == {"t": {"second"}}


def test_two_who_write_apart_are_both_kept_until_the_next_write(one: Replica, family: Family):
    ben = ben_with(one, family, WRITES)
    two = copy(one, "two")
    write(one, family.anna, family.vault, "t", "annas", now=1)
    write(two, ben, family.vault, "t", "bens", now=MAX_TIME)
    sync(one, two)
    assert shown(one) == shown(two) == {"t": {"annas", "bens"}}
    write(one, family.anna, family.vault, "t", "settled", now=0)
    sync(one, two)
    assert shown(one) == shown(two) == {"t": {"settled"}}


def test_an_op_without_a_value_is_live_and_reads_as_nothing(one: Replica, family: Family):
    write(one, family.anna, family.vault, "t", "x")
    write(one, family.anna, family.vault, "t", None)
    assert shown(one) == {"t": {""}}
    write(one, family.anna, family.vault, "t", "again")
    assert shown(one) == {"t": {"again"}}


def test_nobody_silences_another_target_or_vault_by_naming_its_dots(one: Replica, family: Family):
    ben = ben_with(one, family, WRITES)
    mine = write(one, family.anna, family.vault, "t", "mine")
    names = write(one, family.anna, family.directory, "t", "names")
    write(one, ben, family.vault, "u", "elsewhere", replaces=[mine, names])
    write(one, ben, family.vault, "t", "here", replaces=[names])
    write(
        one,
        ben,
        family.vault,
        "t",
        "no such",
        replaces=[b"?" * 18, mine[:16] + b"\x03\xff", mine[:16] + b"\xff\xff"],
    )
    assert shown(one, family.vault) == {"t": {"mine", "here", "no such"}, "u": {"elsewhere"}}
    assert shown(one, family.directory) == {"t": {"names"}}


def test_a_replacement_may_arrive_before_what_it_replaces(one: Replica, family: Family):
    ben = ben_with(one, family, WRITES)
    two = copy(one, "two")
    write(one, family.anna, family.vault, "t", "old")
    write(one, family.anna, family.vault, "u", "stays")
    sync(one, two)
    dots = two.live_dots(family.vault, at("t"))
    write(two, ben, family.vault, "t", "new", replaces=dots)
    write(two, ben, family.vault, "t", "odd", replaces=two.live_dots(family.vault, at("u")))
    everything = wires(two)
    bens = [w for w in everything if w not in wires(one)]
    rest = [w for w in everything if w not in bens]
    late = new_replica("late", family.family)
    assert late.ingest([*rest[:-2], *bens, *rest[-2:]]).refused is None
    assert shown(late) == shown(two) == {"t": {"new", "odd"}, "u": {"stays"}}
    assert late.table() == two.table()


DEED = st.tuples(
    st.integers(0, 2),
    st.integers(0, 1),
    st.integers(0, 2),
    st.integers(0, 3),
    st.integers(0, 4),
    st.booleans(),
)


@given(st.lists(DEED, min_size=1, max_size=16), st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_order_grouping_and_repetition_of_entries_do_not_matter(deeds, rng):
    one = new_replica("one")
    family = Family.found(one)
    ben, cleo = Author("ben"), Author("cleo")
    for holder in (ben, cleo):
        person = family.admit(one, holder, Author(f"{holder}s phone"), WRITER)
        family.grant(one, family.vault, person, WRITES if holder is ben else OWNS, holder)
    copies = [one, copy(one, "two"), copy(one, "three")]
    shared = len(wires(one))
    dots = [b"?" * 18]
    for who, where, target, how, other, cut in deeds:
        author, vault = (family.anna, ben, cleo)[who], (family.vault, family.directory)[where]
        if how == 3:
            sync(copies[who], copies[other % 3]) if other % 3 != who else None
            continue
        replaces = None if how == 0 else [] if how == 1 else sorted({rng.choice(dots), rng.choice(dots)})
        value = None if cut else f"{len(dots)}"
        dots.append(write(copies[who], author, vault, f"t{target}", value, replaces=replaces))
    for pair in ((0, 1), (1, 2), (0, 1), (0, 2)):
        sync(copies[pair[0]], copies[pair[1]])
    assert copies[0].table() == copies[1].table() == copies[2].table()

    start = wires(one)[:shared]
    logs: dict[bytes, list[bytes]] = {}
    for wire in wires(one)[shared:]:
        logs.setdefault(decode(wire)[1], []).append(wire)
    late = new_replica("late", family.family)
    assert late.ingest(start).refused is None
    while logs:
        log = rng.choice(sorted(logs))
        batch = [logs[log].pop(0) for _ in range(min(len(logs[log]), rng.randrange(1, 4)))]
        assert late.ingest(batch).refused is None
        assert late.ingest(rng.sample(start + batch, 2)).stored == 0
        if not logs[log]:
            del logs[log]
    assert late.table() == one.table()
    assert late.frontier() == one.frontier()
    assert late.put_aside() == one.put_aside()


# Authority


def test_a_readers_write_has_no_effect_anywhere(one: Replica, family: Family):
    ben = ben_with(one, family, READS)
    dot = write(one, family.anna, family.vault, "t", "annas")
    write(one, ben, family.vault, "t", "bens", replaces=[dot])
    blind = copy(one, "blind")
    for replica in (one, blind):
        assert shown(replica) == {"t": {"annas"}}
        assert reasons(replica) == ["no right to write"]


def test_a_person_with_the_role_of_a_reader_writes_nowhere(one: Replica, family: Family):
    ben = ben_with(one, family, OWNS, role=READER)
    write(one, ben, family.vault, "t", "bens")
    assert shown(one) == {}


def test_who_was_never_granted_the_vault_writes_nothing_there(one: Replica, family: Family):
    ben = ben_with(one, family, 0)
    write(one, ben, family.vault, "t", "bens")
    write(one, Author("stranger"), family.vault, "t", "strangers")
    write(one, ben, b"?" * 16, "t", "nowhere")
    assert shown(one) == {}
    assert sorted(reasons(one)) == ["author is no keyholder", "no right to write", "no right to write"]


def test_a_write_before_the_grant_stays_without_effect_and_the_log_goes_on(one: Replica, family: Family):
    ben = Author("ben")
    person = family.admit(one, ben, Author("bens phone"), WRITER)
    write(one, ben, family.vault, "t", "early")
    family.grant(one, family.vault, person, WRITES, ben)
    write(one, ben, family.vault, "u", "late")
    two = copy(one, "two")
    assert shown(one) == shown(two) == {"u": {"late"}}


def test_what_was_written_before_ones_admission_counts_for_nothing(one: Replica, family: Family):
    ben = Author("ben")
    two = copy(one, "two")
    write(two, ben, family.vault, "t", "before")
    ben_with(one, family, WRITES)
    sync(one, two)
    assert shown(one) == shown(two) == {}
    write(two, ben, family.vault, "t", "after")
    assert shown(two) == {"t": {"after"}}


def test_an_unknown_epoch_or_a_suite_that_is_not_allowed_has_no_effect(one: Replica, family: Family):
    write(one, family.anna, family.vault, "t", "x", epoch=b"?" * 32)
    state(one, family.anna, [SUITE, family.vault, 2, [2], 2])
    write(one, family.anna, family.vault, "t", "weak", suite=1)
    write(one, family.anna, family.vault, "t", "good", suite=2)
    assert shown(one) == {"t": {"good"}}
    assert reasons(one) == ["unknown epoch", "suite not allowed"]


def test_a_blind_peer_merges_without_a_key(one: Replica, family: Family):
    state(one, family.anna, admit_device(family.family, Author("pi"), b"", role=BLIND))
    write(one, family.anna, family.vault, "t", "x")
    write(one, family.anna, family.vault, "t", "y")
    assert copy(one, "pi").table() == one.table()


# Refusals


def changed(wire: bytes, part: int, value: object) -> bytes:
    parts = decode(wire)
    parts[part] = value
    return encode(parts)


def test_only_what_is_malformed_unsigned_or_unchained_is_refused(one: Replica, family: Family):
    write(one, family.anna, family.vault, "t", "x")
    first, second = wires(one)
    two = new_replica("two", family.family)
    for batch, kind in (
        ([b"\x00"], "shape"),
        ([second], "missing"),
        ([changed(first, 1, b"l" * 16)], "log"),
        ([changed(first, 9, 5)], "signature"),
        ([changed(first, 8, [b"?" * 32])], "signature"),
        ([first, changed(second, 2, 2)], "missing"),
        ([changed(second, 12, bytes(64))], "signature"),
        ([changed(second, 1, b"l" * 16)], "missing"),
    ):
        refused = two.ingest(batch).refused
        assert refused is not None
        assert refused.kind == kind
    assert wires(two) == [first]
    nobody = new_replica("nobody")
    refused = nobody.ingest([first]).refused
    assert refused is not None
    assert refused.kind == "family"


def test_an_entry_of_another_family_is_refused(one: Replica, family: Family):
    two = new_replica("two", b"G" * 32)
    refused = two.ingest(wires(one)).refused
    assert refused is not None
    assert refused.kind == "log"


def test_an_entry_that_names_statements_we_lack_names_them(one: Replica, family: Family):
    start = wires(one)
    ben_with(one, family, WRITES)
    ben = Author("ben")
    write(one, ben, family.vault, "t", "x")
    two = new_replica("two", family.family)
    two.ingest(start)
    refused = two.ingest([wires(one)[-1]]).refused
    assert refused is not None
    assert refused.kind == "missing"
    assert two.store.row("SELECT count(*) FROM logs") == (1,)


def test_nobody_unhears_what_they_knew(one: Replica, family: Family):
    """A log whose next entry knows less than the one before: signed, chained, and refused all the same."""
    early = one.membership().heads()
    ben_with(one, family, WRITES)
    write(one, family.anna, family.vault, "t", "x")
    two = copy(one, "two")
    liar = copy(one, "liar")
    liar.store.run("INSERT INTO own_logs SELECT author, log FROM logs")
    liar.membership().frontier_for = lambda *_: early  # type: ignore[method-assign]
    write(liar, family.anna, family.vault, "t", "y")
    refused = two.ingest(wires(liar)).refused
    assert refused is not None
    assert (refused.kind, refused.detail) == ("frontier", "less than before")


def test_any_clock_is_taken_and_decides_nothing(one: Replica, family: Family):
    write(one, family.anna, family.vault, "t", "future", now=MAX_TIME)
    write(one, family.anna, family.vault, "t", "past", now=-5)
    assert shown(one) == {"t": {"past"}}
    assert shown(copy(one, "two")) == {"t": {"past"}}


def test_what_could_not_be_read_back_is_never_appended(one: Replica, family: Family):
    before = wires(one)
    for draft in (
        Draft(),
        Draft(
            (Op(at("t"), (), b"short"),),
            vault=family.vault,
            epoch=b"e" * 32,
            suite=1,
            salt=b"s" * 32,
            commitment=b"c" * 32,
        ),
        Draft(
            (Op(at("t"), (make_dot(b"b" * 32, 0), make_dot(b"a" * 32, 0)), None),),
            vault=family.vault,
            epoch=b"e" * 32,
            suite=1,
            salt=b"s" * 32,
            commitment=b"c" * 32,
        ),
        Draft(statements=tuple([5] for _ in range(1025))),
    ):
        with pytest.raises((ValueError, LocalProtocolError)):
            one.append(family.anna.id, family.anna.sign, partial(lambda made, _: made, draft), 1)
    assert wires(one) == before


# Transactions


def test_a_transaction_that_fails_leaves_nothing_in_memory_either(one: Replica, family: Family):
    before, people = wires(one), dict(one.state().people)

    def half_done() -> None:
        with one.transaction():
            family.admit(one, Author("ben"), Author("bens phone"), WRITER)
            write(one, family.anna, family.vault, "t", "x")
            raise KeyError

    with pytest.raises(KeyError):
        half_done()
    assert wires(one) == before
    assert one.state().people == people
    write(one, family.anna, family.vault, "t", "y")
    assert shown(copy(one, "two")) == {"t": {"y"}}


def test_a_founding_that_fails_leaves_an_empty_store():
    one = new_replica("one")

    def fail(_: object) -> Draft:
        raise KeyError

    anna = Author("anna")
    with pytest.raises(KeyError):
        one.found(anna.id, anna.sign, b"F" * 32, bytes(32), fail, 1)
    assert one.family is None
    Family.found(one)
    with pytest.raises(LocalProtocolError):
        one.adopt(b"G" * 32)


def test_two_processes_see_what_the_other_wrote(tmp_path):
    node = new_replica("node", path=str(tmp_path / "db"))
    family = Family.found(node)
    page = new_replica("page", path=str(tmp_path / "db"))
    for number in range(4):
        writer = (node, page)[number % 2]
        write(writer, family.anna, family.vault, f"t{number}", "x")
    person = family.admit(page, Author("ben"), Author("bens phone"), WRITER)
    assert person in node.state().people
    assert len(node.frontier()) == len(page.frontier()) == 1
    assert node.table() == page.table()


# Forks and copied stores


def twin_of(one: Replica, name: str) -> Replica:
    """A copy of the whole store, with its logs: the same keyholder's key in two places."""
    twin = copy(one, name)
    twin.store.run("INSERT INTO own_logs SELECT author, log FROM logs")
    return twin


def test_both_branches_of_a_fork_count_and_the_log_is_closed(one: Replica, family: Family):
    old = write(one, family.anna, family.vault, "t", "old")
    twin = twin_of(one, "twin")
    write(one, family.anna, family.vault, "t", "here")
    write(twin, family.anna, family.vault, "t", "there")
    sync(one, twin)
    assert shown(one) == shown(twin) == {"t": {"here", "there"}}
    assert len(one.frontier()) == 2
    assert {row.seq for row in one.frontier()} == {2}
    write(one, family.anna, family.vault, "t", "settled")
    write(twin, family.anna, family.vault, "u", "more")
    sync(one, twin)
    assert shown(one) == shown(twin) == {"t": {"settled"}, "u": {"more"}}
    assert len({row.log for row in one.frontier()}) == 3
    assert one.table() == twin.table()
    assert old not in one.live_dots(family.vault, at("t"))


def test_branches_that_both_grow_are_told_apart(one: Replica, family: Family):
    twin = twin_of(one, "twin")
    for number in range(3):
        write(one, family.anna, family.vault, f"a{number}", "here")
        write(twin, family.anna, family.vault, f"b{number}", "there")
    lefts, rights = wires(one), wires(twin)
    late = new_replica("late", family.family)
    mixed = [lefts[0]]
    for pair in zip(rights[1:], lefts[1:], strict=True):
        mixed += pair
    assert late.ingest(mixed).refused is None
    sync(one, twin)
    assert late.table() == one.table() == twin.table()
    assert late.frontier() == one.frontier()


def test_a_fork_of_statements_gives_every_copy_the_same_family(one: Replica, family: Family):
    twin = twin_of(one, "twin")
    family.admit(one, Author("ben"), Author("bens phone"), WRITER)
    family.admit(twin, Author("cleo"), Author("cleos phone"), WRITER)
    sync(one, twin)
    assert one.state().people == twin.state().people
    assert len(one.state().people) == 3
    assert one.membership().reasons == twin.membership().reasons


def test_a_statement_that_both_branches_of_a_fork_open_with_is_one(one: Replica, family: Family, tmp_path):
    twin = twin_of(one, "twin")
    paper = [PAPER, family.person, b"p" * 32, b"b" * 32, b"s" * 16]
    wrong = [PAPER, b"?" * 16, b"p" * 32, b"b" * 32, b"s" * 16]
    assert state(one, family.anna, paper, wrong) == ""
    assert state(twin, family.anna, paper, [UNLOCK, family.person, b"w" * 32, b""], wrong) == ""
    state(twin, family.anna, [UNLOCK, family.person, b"v" * 32, b""])
    here, there = (wires(found)[1:] for found in (one, twin))
    path = str(tmp_path / "db")
    first = new_replica("first", family.family, path)
    other = Replica.open(path, random_bytes=bytes)  # another process
    assert first.ingest(wires(one)[:1] + here + there).refused is None
    second = new_replica("second", family.family)
    assert second.ingest(wires(one)[:1] + there + here).refused is None
    for found in (first, other, second, Replica.open(path, random_bytes=bytes)):
        membership = found.membership()
        assert [one.wrap for one in found.state().unlocks[family.person]] == [b"w" * 32, b"v" * 32]
        assert sorted(membership.reasons.values()) == ["another person's"] * 2
        assert membership.heads() == second.membership().heads()
        assert len(found.put_aside()) == 2
        named = {digest for entry in range(1, found.last_id() + 1) for digest in found.statements_of(entry)}
        assert named == set(membership.statements)


def test_a_store_that_finds_itself_elsewhere_starts_a_new_log(tmp_path):
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    one = new_replica("one", path=here, mark=b"laptop")
    family = Family.found(one)
    write(one, family.anna, family.vault, "t", "x")
    one.close()
    shutil.copy(here, there)
    one = new_replica("again", path=here, mark=b"laptop")
    write(one, family.anna, family.vault, "u", "same log")
    assert len(one.frontier()) == 1
    moved = new_replica("moved", path=there, mark=b"another laptop")
    write(moved, family.anna, family.vault, "v", "new log")
    assert len(moved.frontier()) == 2
    sync(one, moved)
    assert one.table() == moved.table()
    assert all(not forked for (forked,) in one.store.rows("SELECT forked FROM logs"))


def test_a_month_old_backup_put_back_loses_nothing(tmp_path):
    path = str(tmp_path / "db")
    one = new_replica("one", path=path, mark=b"file one")
    family = Family.found(one)
    peer = copy(one, "peer")
    one.close()
    shutil.copy(path, path + ".backup")
    one = new_replica("one again", path=path, mark=b"file one")
    write(one, family.anna, family.vault, "t", "of the month since")
    sync(one, peer)
    one.close()
    back = new_replica("back", path=path + ".backup", mark=b"file two")
    write(back, family.anna, family.vault, "u", "after the restore")
    sync(back, peer)
    assert shown(back) == shown(peer) == {"t": {"of the month since"}, "u": {"after the restore"}}


# Reading


def test_versions_and_changes_are_counted(one: Replica, family: Family):
    write(one, family.anna, family.vault, "t", "1")
    seen = one.change_mark()
    for value in "23":
        write(one, family.anna, family.vault, "t", value)
    write(one, family.anna, family.vault, "u", "1")
    assert one.rewritten(family.vault) == {at("t"): 3}
    assert one.rewritten(family.directory) == {}
    assert one.count_at(family.vault, [at("t"), at("u")]) == 4
    assert one.changed_targets(seen) == {family.vault: {at("t"), at("u")}}
    assert [op.live for op in one.ops_at(family.vault, [at("t")], live=False)] == [False, False, True]
    assert [op.sealed and op.sealed[:1] for op in one.live_ops(family.vault)] == [b"3", b"1"]


def test_a_peer_that_lags_is_seen(one: Replica, family: Family):
    rows = one.frontier()
    write(one, family.anna, family.vault, "t", "1")
    assert one.behind(rows) == 1
    assert one.behind(one.frontier()) == 0
    assert one.behind([]) == 2


def test_nobody_can_fill_the_frontiers_of_the_family():
    """Statements without effect are nobody's news, and of a member's hundred branches an entry names what fits."""
    mine = new_replica("mine")
    family = Family.found(mine)
    before = mine.membership().heads()
    stranger, theirs = Author("stranger"), new_replica("theirs", family.family)
    for number in range(70):
        theirs.store.run("DELETE FROM own_logs")
        state(theirs, stranger, [99, number])
    assert mine.ingest(wires(theirs)).stored == 70
    assert mine.membership().heads() == before
    write(mine, family.anna, family.vault, "a", "1")

    ben = Author("ben")
    family.admit(mine, ben, Author("bens laptop"), WRITER)
    apart = []
    for number in range(70):
        branch = copy(mine, f"branch {number}")
        assert state(branch, ben, [VAULT, SHARED, bytes([number]) * 16]) == ""
        apart += wires(branch)[-1:]
    assert mine.ingest(apart).stored == 70
    assert len(mine.membership().heads()) == 70
    write(mine, family.anna, family.vault, "a", "2")
    assert state(mine, family.anna, [VAULT, SHARED, b"v" * 16]) == ""
    assert len(mine.membership().heads()) == 7
    write(mine, family.anna, family.vault, "a", "3")
    assert shown(copy(mine, "another"), family.vault) == {"a": {"3"}}


def test_an_entry_has_one_spelling(one: Replica, family: Family):
    """Else two copies of one entry could differ, and lie on disk in different bytes."""
    write(one, family.anna, family.vault, "t", "first")
    write(one, family.anna, family.vault, "t", "second")
    *before, last = wires(one)
    parts = decode(last)
    assert parts[8] is None
    parts[8] = list(one.membership().heads())
    other = new_replica("two", family.family)
    assert other.ingest(before).refused is None
    refused = other.ingest([encode(parts)]).refused
    assert refused is not None
    assert refused.kind == "frontier"
    assert other.ingest([last]).refused is None


def test_the_word_of_a_device_whose_recovery_had_no_effect_ends_no_connection(one: Replica, family: Family):
    """Two copies of the recovery sheet are used apart: one of them counts. The other's device said what it held."""
    two = copy(one, "two")
    for replica, name in ((one, "dora"), (two, "nina")):
        laptop = Author(f"{name}s laptop")
        assert state(replica, Author("recovery"), recovery(family.family, name)) == ""
        replica.sign_frontier(laptop.id, laptop.sign, 1)
    sync(one, two)
    assert len(one.state().people) == len(two.state().people) == 2
    assert one.table() == two.table()


def test_who_adopts_their_own_family_again_forgets_nothing(one: Replica, family: Family):
    write(one, family.anna, family.vault, "t", "first")
    one.adopt(family.family)
    assert list(one.state().people) == [family.person]
    write(one, family.anna, family.vault, "t", "second")
    assert shown(one) == {"t": {"second"}}

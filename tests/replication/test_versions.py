"""What an older program does not understand: it is kept, named and handed on, and comes into force after an update."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from replication import statements
from replication.entry import OPS, STATEMENTS, Entry, Header, Op, body_root, sign_entry, statement_hashes, to_wire
from replication.membership import GRANT, VAULT, WRITER, WRITES
from replication.replica import Replica
from tests.kin import Author, Family, at, copy, new_replica, sealed, shown, source, state, sync, wires, write

VERSION_2 = 2


class Newer(Replica):
    """A program that understands version 2: the same as ours, with a part more in the header."""

    understood = VERSION_2


def newer(name: str, path: str = ":memory:") -> Replica:
    return Newer.open(path, random_bytes=source(name))


def entry_of_version_2(
    replica: Replica, author: Author, *, ops: tuple[Op, ...] = (), statements: tuple[list, ...] = (),
    vault: bytes = b"", kind: int = STATEMENTS, suite: int = 1,
) -> tuple[Entry, bytes]:  # fmt: skip
    """What a newer program would append to the author's log next, and how it travels."""
    log, _, _, seq, previous, before = replica._own_log(author.id, b"")
    epoch = replica.state().vaults[vault].newest_epoch() if vault else b""
    salts = (b"s" * 32, b"c" * 32) if ops else (b"", b"")
    header = Header(
        replica.family or b"", author.id, log, seq, previous, OPS if ops else kind, vault, epoch or b"",
        suite if ops else 0, replica.membership().heads(), 7_000, *salts, max(len(ops), len(statements)),
        body_root(ops, statements), VERSION_2, ("something new",),
    )  # fmt: skip
    entry = sign_entry(header, ops, statements, author.sign)
    return entry, to_wire(entry, before)


@pytest.fixture
def one() -> Replica:
    return new_replica("one")


@pytest.fixture
def family(one: Replica) -> Family:
    return Family.found(one)


def reasons(replica: Replica) -> list[str]:
    return [reason for _, reason in replica.put_aside()]


def test_an_entry_of_a_later_version_is_put_aside_and_handed_on(one: Replica, family: Family):
    _, wire = entry_of_version_2(one, family.anna, ops=(Op(at("t"), (), sealed("new")),), vault=family.vault)
    assert one.ingest([wire]).put_aside == 1
    assert reasons(one) == ["unknown version"]
    assert shown(one) == {}
    two = new_replica("two", family.family)
    sync(one, two)
    assert wires(two) == wires(one)
    assert two.put_aside() == one.put_aside()


def test_its_log_goes_on_and_is_still_checked(one: Replica, family: Family):
    _, wire = entry_of_version_2(one, family.anna, statements=([200, "new"],), kind=9)
    refused = one.ingest([wire.replace(b"something new", b"something odd")]).refused
    assert refused is not None
    assert refused.kind == "signature"
    one.ingest([wire])
    write(one, family.anna, family.vault, "t", "after it")
    assert shown(copy(one, "two")) == {"t": {"after it"}}


def test_an_update_brings_it_into_force_without_fetching_anything(tmp_path: Path, one: Replica, family: Family):
    op = Op(at("t"), (), sealed("new"))
    _, wire = entry_of_version_2(one, family.anna, ops=(op,), vault=family.vault)
    one.ingest([wire])
    path = str(tmp_path / "store")
    old = new_replica("two", family.family, path)
    old.ingest(wires(one))
    write(old, family.anna, family.vault, "u", "written by the old program")
    held = wires(old)
    old.close()
    updated = newer("two", path)
    assert wires(updated) == held
    assert shown(updated) == {"t": {"new"}, "u": {"written by the old program"}}
    assert updated.put_aside() == []
    fresh = newer("three")
    fresh.adopt(family.family)
    fresh.ingest(held)
    assert fresh.table() == updated.table()


def test_who_goes_back_to_the_older_program_puts_it_aside_again(tmp_path: Path, one: Replica, family: Family):
    path = str(tmp_path / "store")
    new = newer("two", path)
    new.adopt(family.family)
    new.ingest(wires(one))
    _, wire = entry_of_version_2(new, family.anna, ops=(Op(at("t"), (), sealed("new")),), vault=family.vault)
    new.ingest([wire])
    assert shown(new) == {"t": {"new"}}
    new.close()
    assert shown(new_replica("two", path=path)) == {}


def test_what_was_made_after_an_unknown_statement_is_taken(one: Replica, family: Family):
    new = newer("new")
    new.adopt(family.family)
    new.ingest(wires(one))
    made, wire = entry_of_version_2(new, family.anna, statements=([VAULT, 1, b"n" * 16],))
    new.ingest([wire])
    assert statement_hashes(made.header, made.statements)[0] in new.membership().heads()
    write(new, family.anna, family.vault, "t", "after")
    sync(new, one)
    assert shown(one) == {"t": {"after"}}
    assert reasons(one) == ["unknown version"]


def test_one_statement_in_two_versions_on_two_branches_is_two(one: Replica, family: Family):
    # Or whoever forks a log could have an old and a new program agree on the name and differ on the effect.
    made, _ = entry_of_version_2(one, family.anna, statements=([VAULT, 1, b"n" * 16],))
    plain = replace(made.header, version=1, extra=())
    assert statement_hashes(plain, made.statements) != statement_hashes(made.header, made.statements)


def test_an_unknown_statement_counts_after_an_update(
    tmp_path: Path, one: Replica, family: Family, monkeypatch: pytest.MonkeyPatch
):
    ben = Author("ben")
    person = family.admit(one, ben, Author("bens phone"), WRITER)
    family.grant(one, family.vault, person, WRITES, ben)
    write(one, ben, family.vault, "t", "bens")
    path = str(tmp_path / "store")
    with monkeypatch.context() as older:
        older.delitem(statements.SHAPES, GRANT)
        older.setattr("replication.replica.KNOWN", frozenset(statements.SHAPES))
        old = new_replica("two", family.family, path)
        old.ingest(wires(one))
        assert sorted(reasons(old)) == ["no right to write", "unknown statement"]
        assert shown(old) == {}
        old.close()
    updated = new_replica("two", path=path)
    assert updated.table() == one.table()
    assert updated.put_aside() == []


def test_an_unknown_suite_is_put_aside_and_counts_after_an_update(
    tmp_path: Path, one: Replica, family: Family, monkeypatch: pytest.MonkeyPatch
):
    write(one, family.anna, family.vault, "t", "sealed by ChaCha", suite=2)
    path = str(tmp_path / "store")
    with monkeypatch.context() as older:
        older.setattr("replication.replica.SUITES", (1,))
        old = new_replica("two", family.family, path)
        old.ingest(wires(one))
        assert reasons(old) == ["unknown suite"]
        old.close()
    assert new_replica("two", path=path).table() == one.table()


def test_judging_anew_changes_nothing(one: Replica, family: Family):
    ben = Author("ben")
    person = family.admit(one, ben, Author("bens phone"), WRITER)
    family.grant(one, family.vault, person, WRITES, ben)
    first = write(one, ben, family.vault, "t", "bens")
    write(one, family.anna, family.vault, "t", "annas", replaces=[])
    write(one, family.anna, family.vault, "t", "settled", replaces=[first])
    state(one, ben, [99, "unknown"])
    before = (one.table(), one.put_aside(), one.frontier(), one.state())
    one.rebuild()
    assert (one.table(), one.put_aside(), one.frontier(), one.state()) == before

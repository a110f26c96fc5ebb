"""The store: durable before acknowledged, killed, full, damaged, shared by processes (A68)."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.replica import Replica
from replication.store import Store, StoreError
from tests.kin import Family, new_replica, shown, sync, wires, write

ROOT = Path(__file__).parent.parent.parent


def run(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A real process with the replica of `arguments[0]` opened in it."""
    head = """
        import resource, sys
        from replication.store import StoreError
        from tests.kin import Author, at, new_replica, write
        path, vault = sys.argv[1], bytes.fromhex(sys.argv[2])
        anna, one = Author("anna"), new_replica(sys.argv[3], path=path)
    """
    program = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "db")


@pytest.fixture
def family(path: str) -> Family:
    one = new_replica("founder", path=path)
    family = Family.found(one)
    one.close()
    return family


def kind_of(path: str) -> str:
    try:
        store = Store(path, create=False)
    except StoreError as error:
        return error.kind
    store.close()
    return ""


# Transactions


def test_a_write_is_there_whole_or_not_at_all(path: str):
    store = Store(path)

    def fail() -> None:
        with store.write():
            store.set_local("k", b"a", b"1")
            with store.write():
                store.set_local("k", b"b", b"2")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert store.local("k") == {}
    with store.write():
        store.set_local("k", b"a", b"1")
    assert Store(path).local("k") == {b"a": b"1"}
    store.set_local("k", b"a", None)
    assert store.local("k") == {}


def test_several_reads_see_one_moment(path: str):
    reader, writer = Store(path), Store(path)
    with reader.read():
        assert reader.local("k") == {}
        writer.set_local("k", b"a", b"1")
        assert reader.local("k") == {}
    assert reader.local("k") == {b"a": b"1"}


def test_another_process_writing_is_noticed(path: str):
    reader, writer = Store(path), Store(path)
    before = reader.data_version()
    reader.set_local("k", b"a", b"1")
    assert reader.data_version() == before
    writer.set_local("k", b"a", b"2")
    assert reader.data_version() != before


# What is not ours, or damaged


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER t AFTER INSERT ON ops BEGIN DELETE FROM ops; END",
        "CREATE VIEW v AS SELECT * FROM ops",
        "CREATE TABLE more (x)",
        "CREATE VIRTUAL TABLE f USING fts5(x)",
        "DROP TABLE replaced",
        "ALTER TABLE logs RENAME TO diaries",
        "UPDATE meta SET value = x'00' WHERE key = 'format'",
        "DELETE FROM meta",
    ],
)
def test_another_schema_or_format_is_refused(path: str, family: Family, sql: str):
    with sqlite3.connect(path) as db:
        db.execute(sql)
    db.close()
    assert kind_of(path) in ("version", "damaged")


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "text").write_bytes(b"hello, this is not a database at all" * 100)
    assert kind_of(str(tmp_path / "text")) == "damaged"
    assert kind_of(str(tmp_path / "none")) == "missing"
    assert kind_of(str(tmp_path)) == "missing"
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE t (x)")
    other.close()
    assert kind_of(str(tmp_path / "other")) == "damaged"


def test_an_older_sqlite_is_refused(path: str, monkeypatch):
    monkeypatch.setattr(apsw, "SQLITE_VERSION_NUMBER", 3_051_002)
    assert kind_of(path) == "version"


def read_all(path: str) -> None:
    """Open a copy and look at all of it."""
    replica = Replica.open(path, random_bytes=bytes, create=False)
    try:
        replica.table()
        replica.frontier()
        wires(replica)
        replica.state()
        replica.store.check()
    finally:
        replica.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> bytes:
    path = str(tmp_path_factory.mktemp("filled") / "db")
    one = new_replica("one", path=path)
    family = Family.found(one)
    for number in range(60):
        write(one, family.anna, family.vault, f"t{number}", "x" * 500)
    one.store.run("PRAGMA wal_checkpoint(TRUNCATE)")
    one.close()
    return Path(path).read_bytes()


@pytest.mark.parametrize("part", range(8))
def test_a_truncated_file_is_told_apart(tmp_path, filled, part):
    path = tmp_path / "db"
    path.write_bytes(filled[: 700 + len(filled) * part // 8])
    with pytest.raises(StoreError) as told:
        read_all(str(path))
    assert told.value.kind in ("damaged", "version", "io")


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_is_told_by_kind_or_reads_well(tmp_path, filled, seed):
    rng, path = random.Random(seed), tmp_path / "db"
    data = bytearray(filled)
    start = rng.randrange(len(data) - 600)
    data[start : start + 512] = rng.randbytes(512)
    path.write_bytes(data)
    kinds = []
    with suppress(StoreError):
        try:
            read_all(str(path))
        except StoreError as told:
            kinds.append(told.kind)
            raise
    assert set(kinds) <= {"damaged", "version", "io"}


# Killed


WRITER = """
    for number in range(100_000):
        dot = write(one, anna, vault, f"t{number}", "x" * 3000)
        print(dot.hex(), flush=True)
"""


@pytest.mark.parametrize("round_", range(12))
def test_what_was_acknowledged_survives_a_kill_and_nothing_is_half_there(path: str, family: Family, round_):
    process = run(WRITER, path, family.vault.hex(), f"writer {round_}")
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(3 + 4 * round_)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read().split("\n")[:-1]
    process.stdout.close()
    process.wait()
    one = new_replica("after", path=path)
    one.store.check()
    held = {dot.hex() for _, _, dot, _ in one.table()}
    assert set(told) <= held
    assert len(held) <= len(told) + 1
    (row,) = one.frontier()
    assert len(wires(one)) == row.seq + 1
    assert new_replica("peer", family.family).ingest(wires(one)).refused is None


TAKER = """
    from tests.kin import wires
    whole = wires(new_replica("source", path=path + ".source"))
    for start in range(0, len(whole), 7):
        result = one.ingest(whole[start : start + 7])
        print(result.stored, flush=True)
"""


@pytest.mark.parametrize("round_", range(8))
def test_what_was_taken_in_survives_a_kill(path: str, family: Family, tmp_path, round_):
    source = path + ".source"
    shutil.copy(path, source)
    one = new_replica("source", path=source)
    for number in range(150):
        write(one, family.anna, family.vault, f"t{number}", "x" * 1000)
    whole = wires(one)
    empty = str(tmp_path / "empty")
    new_replica("empty", family.family, path=empty).close()
    Path(source).rename(empty + ".source")
    for end in ("-wal", "-shm"):
        if Path(source + end).exists():
            Path(source + end).rename(empty + ".source" + end)
    process = run(TAKER, empty, family.vault.hex(), "taker")
    assert process.stdout is not None
    stored = sum(int(process.stdout.readline()) for _ in range(1 + 2 * round_))
    process.send_signal(signal.SIGKILL)
    stored += sum(map(int, process.stdout.read().split("\n")[:-1]))
    process.stdout.close()
    process.wait()
    after = new_replica("after", path=empty)
    held = wires(after)
    assert held == whole[: len(held)]
    assert len(held) in (stored, min(stored + 7, len(whole)))
    assert after.ingest(whole).refused is None
    assert after.table() == one.table()


# A full disk


FILLER = """
    size = __import__("os").path.getsize(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    __import__("signal").signal(__import__("signal").SIGXFSZ, __import__("signal").SIG_IGN)
    for number in range(1000):
        try:
            dot = write(one, anna, vault, f"t{number}", "x" * 8000)
        except StoreError as error:
            print(error.kind, flush=True)
            break
        print(dot.hex(), flush=True)
    held = {dot for _, _, dot, _ in one.table()}
    print(len(held), flush=True)
"""


def test_a_full_disk_is_told_and_what_was_saved_stays(path: str, family: Family):
    process = run(FILLER, path, family.vault.hex(), "filler")
    told = process.communicate()[0].split()
    assert process.returncode == 0
    *dots, kind, count = told
    assert kind in ("full", "io")
    assert len(dots) > 5
    assert int(count) == len(dots)
    one = new_replica("after", path=path)
    assert {dot.hex() for _, _, dot, _ in one.table()} == set(dots)
    write(one, family.anna, family.vault, "t", "there is room again")


def test_after_the_disk_failed_nothing_more_is_written(path: str):
    store = Store(path)

    def fail() -> None:
        with store.write():
            raise apsw.IOError

    with pytest.raises(StoreError, match="io"):
        fail()
    with pytest.raises(StoreError, match="failed before"), store.write():
        pass
    assert Store(path).local("k") == {}


# Two processes


SHARED = """
    for number in range(60):
        write(one, anna, vault, sys.argv[3] + str(number), "x")
"""


def test_processes_that_share_a_log_never_fork_it(path: str, family: Family):
    one = new_replica("one", path=path)
    write(one, family.anna, family.vault, "t", "x")
    running = [run(SHARED, path, family.vault.hex(), name) for name in ("node", "page", "cli")]
    for process in running:
        process.communicate()
        assert process.returncode == 0
    (row,) = one.frontier()
    assert row.seq == 1 + 3 * 60
    assert one.store.row("SELECT max(forked) FROM logs") == (0,)
    assert len(shown(one)) == 1 + 3 * 60
    two = new_replica("two", family.family)
    sync(one, two)
    assert two.table() == one.table()


def test_who_waits_too_long_is_told(path: str, family: Family, monkeypatch):
    monkeypatch.setattr("replication.store.BUSY_MS", 10)
    one, two = Store(path), Store(path)
    with one.write(), pytest.raises(StoreError, match="busy"), two.write():
        pass
    two.set_local("k", b"a", b"1")


@given(st.binary(max_size=40), st.binary(max_size=40))
@settings(max_examples=30)
def test_what_this_device_keeps_for_itself_never_travels(key, value):
    one = new_replica("one")
    Family.found(one)
    one.store.set_local("sign-in", key, b"canary" + value)
    assert one.store.local("sign-in") == {key: b"canary" + value}
    assert not any(b"canary" in wire for wire in wires(one))

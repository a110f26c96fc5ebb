"""Opening the store: private, ours, told to a person when something is wrong (A68, A70, A76)."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from node.errors import ExitCode, KinringError
from node.opening import STORE_FILE, open_replica, store_errors, store_mark
from replication.store import StoreError
from tests.node.house import House


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    return made


def code_of(folder: Path, *, create: bool = False) -> ExitCode:
    with pytest.raises(KinringError) as told:
        open_replica(folder, create=create)
    assert told.value.hint
    assert str(folder) not in told.value.message
    return told.value.code


def test_a_store_is_made_private_whatever_the_umask(folder: Path):
    before = os.umask(0)
    try:
        replica = open_replica(folder)
        replica.store.set_local("k", b"a", b"1")
        modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    finally:
        os.umask(before)
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}
    replica.close()
    assert open_replica(folder, create=False).store.local("k") == {b"a": b"1"}


def test_a_folder_without_a_store_holds_no_family(folder: Path):
    assert code_of(folder) is ExitCode.NOT_FOUND
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_store_that_others_may_read_is_refused(folder: Path, mode):
    open_replica(folder).close()
    (folder / STORE_FILE).chmod(mode)
    assert code_of(folder) is ExitCode.DAMAGED
    assert code_of(folder, create=True) is ExitCode.DAMAGED


def test_what_is_no_plain_file_is_refused(folder: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.touch(mode=0o600)
    store = folder / STORE_FILE
    for make in (lambda: store.symlink_to(other), lambda: os.mkfifo(store, 0o600), store.mkdir):
        make()
        for create in (True, False):
            assert code_of(folder, create=create) is ExitCode.DAMAGED
        shutil.rmtree(store) if store.is_dir() and not store.is_symlink() else store.unlink()


def test_damage_and_foreign_schemas_are_told(folder: Path):
    open_replica(folder).close()
    with sqlite3.connect(folder / STORE_FILE) as db:
        db.execute("CREATE TRIGGER t AFTER INSERT ON ops BEGIN DELETE FROM ops; END")
    db.close()
    assert code_of(folder) is ExitCode.DAMAGED
    (folder / STORE_FILE).write_bytes(b"no database" * 1000)
    assert code_of(folder) is ExitCode.DAMAGED


@pytest.mark.parametrize("left", [0, 1, 511])
def test_a_store_cut_off_is_damaged_and_not_a_new_one(folder: Path, left: int):
    open_replica(folder).close()
    os.truncate(folder / STORE_FILE, left)
    assert code_of(folder) is ExitCode.DAMAGED
    assert (folder / STORE_FILE).stat().st_size == left
    if left:
        assert code_of(folder, create=True) is ExitCode.DAMAGED


def test_a_founding_broken_off_before_its_first_write_is_gone_on_with(folder: Path):
    (folder / STORE_FILE).touch(mode=0o600)
    open_replica(folder, create=True).close()
    open_replica(folder).close()


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("damaged", ExitCode.DAMAGED),
        ("version", ExitCode.DAMAGED),
        ("busy", ExitCode.BUSY),
        ("full", ExitCode.DISK),
        ("io", ExitCode.DISK),
        ("missing", ExitCode.DAMAGED),
    ],
)
def test_each_kind_has_words_and_a_code(kind, code):
    with pytest.raises(KinringError) as told, store_errors():
        raise StoreError(kind, "inner words")
    assert told.value.code is code
    assert told.value.hint
    assert "inner words" not in told.value.message + told.value.hint


def test_a_store_that_was_copied_starts_a_new_log(house: House, tmp_path: Path):
    vaults = house.vaults()
    vaults.create_item(vaults.vaults()[0].vault_id, {"label": "here"})
    before = {row.log for row in vaults._replica.frontier()}
    vaults.create_item(vaults.vaults()[0].vault_id, {"label": "here too"})
    assert {row.log for row in vaults._replica.frontier()} == before
    vaults._replica.close()
    moved = tmp_path / "moved"
    shutil.copytree(house.folder, moved)
    moved.chmod(0o700)
    house.folder = moved
    there = house.vaults()
    assert len(there._replica.frontier()) == len(before)
    there.create_item(there.vaults()[0].vault_id, {"label": "there"})
    assert len(there._replica.frontier()) == len(before) + 1
    assert there.items().total == 3


def test_the_mark_tells_files_apart(folder: Path):
    open_replica(folder).close()
    path = folder / STORE_FILE
    mark = store_mark(path)
    assert len(mark) == 16
    assert store_mark(path) == mark
    shutil.copy(path, folder / "copy")
    assert store_mark(folder / "copy") != mark

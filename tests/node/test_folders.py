"""The data folder, the runtime folder, and files nobody else may read (A70, A76)."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from node.control import SOCKET_FILE
from node.errors import ExitCode, KinringError
from node.folders import data_folder, read_private, runtime_folder, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.fixture(params=[0o000, 0o777], ids=["umask-000", "umask-777"])
def odd_umask(request: pytest.FixtureRequest):
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_a_new_data_folder_and_the_parents_it_lacked_are_closed_to_others(tmp_path, odd_umask):
    folder = data_folder(tmp_path / "share" / "kinring")
    assert folder == (tmp_path / "share" / "kinring").resolve()
    assert mode(folder) == mode(folder.parent) == 0o700


def test_a_private_file_is_0600_whatever_the_umask(tmp_path, odd_umask):
    write_private(tmp_path / "device.key", b"first")
    write_private(tmp_path / "device.key", b"second")
    assert mode(tmp_path / "device.key") == 0o600
    assert read_private(tmp_path / "device.key", limit=6) == b"second"
    assert os.listdir(tmp_path) == ["device.key"]


def test_which_data_folder_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    for name in ("KINRING_DATA_DIR", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert data_folder(None).is_relative_to(tmp_path / "home")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "b"))
    assert data_folder(None) == tmp_path / "b"
    monkeypatch.setenv("KINRING_DATA_DIR", str(tmp_path / "a"))
    assert data_folder(None) == tmp_path / "a"
    assert data_folder(tmp_path / "named") == tmp_path / "named"


def test_no_data_folder_is_made_where_that_was_not_asked_for(tmp_path):
    with pytest.raises(KinringError) as refusal:
        data_folder(tmp_path / "none", create=False)
    assert refusal.value.code is ExitCode.NOT_FOUND
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("bits", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
def test_a_data_folder_that_others_may_enter_is_refused_with_the_cure(tmp_path, bits):
    folder = data_folder(tmp_path / "my vault")
    os.chmod(folder, 0o700 | bits)
    with pytest.raises(KinringError) as refusal:
        data_folder(folder)
    assert refusal.value.code is ExitCode.DAMAGED
    assert refusal.value.hint == f"chmod 700 '{folder}'"
    subprocess.run(shlex.split(refusal.value.hint), check=True)
    assert data_folder(folder) == folder


def test_a_link_or_a_file_in_place_of_the_data_folder_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(data_folder(tmp_path / "real"))
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("link", "file", "dangling"):
        with pytest.raises(KinringError) as refusal:
            data_folder(tmp_path / name)
        assert refusal.value.code is ExitCode.DAMAGED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_or_file_of_another_user_is_refused(tmp_path):
    folder = data_folder(tmp_path / "theirs")
    write_private(tmp_path / "their.key", b"key")
    os.chown(folder, 12345, 12345)
    os.chown(tmp_path / "their.key", 12345, 12345)
    with pytest.raises(KinringError, match="belongs to another user"):
        data_folder(folder)
    with pytest.raises(KinringError, match="belongs to another user"):
        read_private(tmp_path / "their.key", limit=10)


@pytest.mark.parametrize("bits", [0o040, 0o020, 0o004, 0o002])
def test_a_private_file_that_others_may_touch_is_refused(tmp_path, bits):
    write_private(tmp_path / "device.key", b"key")
    os.chmod(tmp_path / "device.key", 0o600 | bits)
    with pytest.raises(KinringError) as refusal:
        read_private(tmp_path / "device.key", limit=10)
    assert (refusal.value.code, refusal.value.hint[:9]) == (ExitCode.DAMAGED, "chmod 600")


def test_link_hard_link_pipe_and_folder_in_a_files_place_are_refused(tmp_path):
    write_private(tmp_path / "target", b"key")
    (tmp_path / "symbolic").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(0o700)
    for name in ("symbolic", "pipe", "folder"):
        with pytest.raises(KinringError) as refusal:
            read_private(tmp_path / name, limit=10)
        assert refusal.value.code is ExitCode.DAMAGED
    os.link(tmp_path / "target", tmp_path / "hard")
    with pytest.raises(KinringError, match="not an ordinary file"):
        read_private(tmp_path / "hard", limit=10)


def test_a_missing_and_an_overlong_file_are_told_apart(tmp_path):
    write_private(tmp_path / "long", b"12345")
    for name, code in (("long", ExitCode.DAMAGED), ("missing", ExitCode.NOT_FOUND)):
        with pytest.raises(KinringError) as refusal:
            read_private(tmp_path / name, limit=4)
        assert refusal.value.code is code


def test_writing_over_a_link_leaves_what_it_points_to_alone(tmp_path):
    (tmp_path / "theirs").write_bytes(b"untouched")
    (tmp_path / "device.key").symlink_to(tmp_path / "theirs")
    write_private(tmp_path / "device.key", b"ours")
    assert (tmp_path / "theirs").read_bytes() == b"untouched"
    assert read_private(tmp_path / "device.key", limit=10) == b"ours"


def test_a_failed_write_leaves_nothing_behind_and_says_why(tmp_path):
    (tmp_path / "device.key").mkdir()
    with pytest.raises(KinringError) as refusal:
        write_private(tmp_path / "device.key", b"ours")
    assert refusal.value.code is ExitCode.DISK
    assert os.listdir(tmp_path) == ["device.key"]


@pytest.fixture
def short():
    """A folder with a name so short that sockets fit below it."""
    with tempfile.TemporaryDirectory(prefix="kin") as made:
        yield Path(made)


def test_the_runtime_folder_is_one_for_each_data_folder(short, monkeypatch):
    login = short / "login"
    login.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(login))
    one, two = (runtime_folder(data_folder(short / name)) for name in ("one", "two"))
    assert one != two
    assert one == runtime_folder(short / "one" / ".." / "one")
    assert one.parent == login / "kinring"
    assert mode(one) == mode(one.parent) == 0o700


def test_without_a_private_login_folder_the_temporary_one_serves(short, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    (short / "open").mkdir()
    os.chmod(short / "open", 0o744)
    for named in ("", str(short / "open"), str(short / "missing")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", named)
        folder = runtime_folder(data_folder(short / "data"))
        assert folder.parent == short / f"kinring-{os.geteuid()}"
        assert mode(folder) == 0o700


def test_where_a_socket_would_have_too_long_a_path_a_shorter_folder_serves(tmp_path, monkeypatch):
    long = tmp_path / ("l" * 90)
    long.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    for temporary in (str(tmp_path / "t"), str(long)):
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        folder = runtime_folder(data_folder(tmp_path / "data"))
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(folder / SOCKET_FILE))
        assert mode(folder) == mode(folder.parent) == 0o700
        shutil.rmtree(folder)


def test_a_name_taken_by_somebody_else_in_the_temporary_folder_is_refused(short, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    (short / "elsewhere").mkdir(0o700)
    (short / f"kinring-{os.geteuid()}").symlink_to(short / "elsewhere")
    with pytest.raises(KinringError, match="symbolic link"):
        runtime_folder(data_folder(short / "data"))

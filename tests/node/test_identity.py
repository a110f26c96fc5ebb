"""Who this device is: made once, kept, private, and never replaced in silence."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from node.errors import ExitCode, KinringError
from node.identity import DeviceIdentity, load_or_create, throwaway_leaf
from replication.errors import Malformed
from replication.leaf import MAX_LEAF, check_leaf


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    return made


def repeatable(start: int) -> Callable[[int], bytes]:
    """Random bytes that repeat: each call gives another run of equal bytes."""
    numbers = iter(range(start, 256))
    return lambda size: bytes([next(numbers)]) * size


def same(one: DeviceIdentity, other: DeviceIdentity) -> bool:
    return (one.id, bytes(one.sign), bytes(one.box), one.leaf) == (
        other.id,
        bytes(other.sign),
        bytes(other.box),
        other.leaf,
    )


def test_a_new_folder_gets_an_identity_and_keeps_it(folder: Path) -> None:
    first = load_or_create(folder, os.urandom)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(files) == ["device.key", "device.pem"]
    assert same(load_or_create(folder, os.urandom), first)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert first.id == bytes(first.sign.verify_key)
    assert len(first.id) == 32
    assert (
        ssl.PEM_cert_to_DER_cert(first.pem.read_text().split("-----END PRIVATE KEY-----\n")[1]) == first.leaf
    )


def test_the_same_randomness_makes_the_same_identity(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
        made.append(load_or_create(tmp_path / name, repeatable(1)))
    assert same(*made)


def test_files_are_private_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        load_or_create(folder, os.urandom)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_no_representation_shows_a_key(folder: Path) -> None:
    own = load_or_create(folder, os.urandom)
    assert repr(own) == f"DeviceIdentity({own.id.hex()[:8]}, <secret>)"
    assert str(own) == repr(own)


def test_the_leaf_is_small_nameless_and_never_expires(folder: Path) -> None:
    leaf = load_or_create(folder, os.urandom).leaf
    check_leaf(leaf)
    assert len(leaf) < 400
    certificate = x509.load_der_x509_certificate(leaf)
    name = certificate.subject.rfc4514_string().removeprefix("CN=")
    assert len(bytes.fromhex(name)) == 10
    assert certificate.not_valid_before_utc.year == 1970
    assert certificate.not_valid_after_utc.year == 9999


def test_python_3_13s_stricter_check_takes_the_leaf(folder: Path) -> None:
    own = load_or_create(folder, os.urandom)
    sides = []
    for purpose in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(purpose)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_cert_chain(own.pem)
        context.load_verify_locations(cadata=own.leaf)
        sides.append(context)
    one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = sides[0].wrap_bio(one, other, server_side=True)
    client = sides[1].wrap_bio(other, one)
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    server.do_handshake()
    assert client.getpeercert(True) == server.getpeercert(True) == own.leaf


# What can go wrong on the disk


def damaged(folder: Path) -> KinringError:
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(KinringError) as caught:
        load_or_create(folder, os.urandom)
    assert caught.value.code is ExitCode.DAMAGED
    assert caught.value.hint
    assert sorted(path.name for path in folder.iterdir()) == before
    return caught.value


def test_damage_anywhere_in_the_key_file_is_noticed(folder: Path) -> None:
    load_or_create(folder, os.urandom)
    good = (folder / "device.key").read_bytes()
    for at in range(len(good)):
        (folder / "device.key").write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        damaged(folder)
    for size in (0, 1, len(good) - 1):
        (folder / "device.key").write_bytes(good[:size])
        damaged(folder)
    (folder / "device.key").write_bytes(good + b"\0" * 5000)
    damaged(folder)
    (folder / "device.key").write_bytes(good)
    load_or_create(folder, os.urandom)


@given(st.binary(max_size=300))
def test_rubbish_for_a_key_file_is_damage_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, rubbish: bytes
) -> None:
    folder = tmp_path_factory.mktemp("data")
    folder.chmod(0o700)
    (folder / "device.key").touch(0o600)
    (folder / "device.key").write_bytes(rubbish)
    damaged(folder)


def test_a_lost_key_file_is_not_replaced(folder: Path) -> None:
    load_or_create(folder, os.urandom)
    (folder / "device.key").unlink()
    assert "missing" in damaged(folder).message


@pytest.mark.parametrize("left", [b"", b"half of it", None])
def test_a_lost_or_spoilt_pem_is_made_again(folder: Path, left: bytes | None) -> None:
    own = load_or_create(folder, os.urandom)
    before = own.pem.read_bytes()
    own.pem.unlink() if left is None else own.pem.write_bytes(left)
    assert same(load_or_create(folder, os.urandom), own)
    assert own.pem.read_bytes() == before


def test_a_key_file_that_others_may_read_is_refused(folder: Path) -> None:
    load_or_create(folder, os.urandom)
    (folder / "device.key").chmod(0o644)
    damaged(folder)


SCRIPT = """
import os, sys, time
from pathlib import Path
from node.identity import load_or_create
def slowly(size):  # so that all are at it together
    time.sleep(0.03)
    return os.urandom(size)
print("going", flush=True)
print(load_or_create(Path(sys.argv[1]), slowly).id.hex(), flush=True)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_processes_that_start_at_once_agree(folder: Path) -> None:
    processes = [start(folder) for _ in range(4)]
    answers = {process.communicate(timeout=60)[0].split()[1] for process in processes}
    assert answers == {load_or_create(folder, os.urandom).id.hex()}


def test_a_kill_at_any_moment_leaves_none_or_one_whole_identity(tmp_path: Path) -> None:
    """Killed just before each call to the system that changes the disk, as strictly as can be told apart."""
    script = SCRIPT.replace(
        'print("going"',
        """
count = int(sys.argv[2])
def hook(event, arguments):
    global count
    if event in ("open", "os.rename", "os.remove", "os.link", "os.chmod") and sys.argv[1] in str(arguments):
        count -= 1
        if count == 0:
            os.kill(os.getpid(), 9)
sys.addaudithook(hook)
print("going\"""",
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    killed = 0
    for moment in range(1, 40):
        folder = tmp_path / str(moment)
        folder.mkdir(mode=0o700)
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder), str(moment)],
            env=environment,
            capture_output=True,
            timeout=60,
            check=False,
        )
        kept = (folder / "device.key").read_bytes() if (folder / "device.key").exists() else None
        own = load_or_create(folder, os.urandom)
        assert same(load_or_create(folder, os.urandom), own)
        assert kept is None or (folder / "device.key").read_bytes() == kept
        if done.returncode == 0:
            assert done.stdout.decode().split()[1] == own.id.hex()
            break
        assert done.returncode == -signal.SIGKILL
        killed += 1
    assert 5 < killed < 39


# For strangers


def test_a_throwaway_leaf_looks_like_any_and_leaves_nothing(folder: Path) -> None:
    own = load_or_create(folder, os.urandom)
    before = sorted(folder.iterdir())
    seen = set()
    for _ in range(2):
        with throwaway_leaf(folder, os.urandom) as shown:
            check_leaf(shown.leaf)
            assert shown.pem.stat().st_mode & 0o777 == 0o600
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(shown.pem)
            seen.add(shown.leaf)
            assert len(shown.leaf) == len(own.leaf)
        assert sorted(folder.iterdir()) == before
    assert len(seen | {own.leaf}) == 3


def fail_to_load(folder: Path) -> None:
    with throwaway_leaf(folder, os.urandom):
        raise OSError("cannot load")


def test_a_throwaway_leaf_is_removed_when_loading_fails(folder: Path) -> None:
    with pytest.raises(OSError, match="cannot load"):
        fail_to_load(folder)
    assert list(folder.iterdir()) == []


def test_only_a_whole_leaf_passes(folder: Path) -> None:
    leaf = load_or_create(folder, os.urandom).leaf
    for at in range(len(leaf)):
        with pytest.raises(Malformed):
            check_leaf(leaf[:at] + bytes([leaf[at] ^ 4]) + leaf[at + 1 :])
    with pytest.raises(Malformed, match="size"):
        check_leaf(leaf + b"\0" * MAX_LEAF)
    with pytest.raises(Malformed, match="leaf"):
        check_leaf(leaf + b"\0")

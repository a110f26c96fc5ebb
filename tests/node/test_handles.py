"""Handles: the unlock key for some minutes, under a token, by two clocks."""

from __future__ import annotations

import json
import os
import secrets
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import handles
from node.errors import ExitCode, KinringError
from node.folders import write_private
from node.handles import (
    Boot,
    Expiry,
    Handle,
    boot_clock,
    create,
    decode_handle,
    handle_name,
    lock_all,
    open_handle,
    seal_handle,
    sweep,
    unseal_handle,
)
from replication.errors import Malformed, Refused

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "handle.json").read_text())
KEYS: dict[str, Any] = {"person": b"P" * 16, "keyholder": b"K" * 32, "unlock_key": b"U" * 32}
NOW = 1_800_000_000.0
YEAR = 365 * 86400.0


def files(runtime: Path) -> list[Path]:
    return sorted((runtime / "unlocked").iterdir())


def assert_locked(runtime: Path, token: str, now: float) -> None:
    with pytest.raises(KinringError) as refusal:
        open_handle(runtime, token, now=now)
    assert refusal.value.code is ExitCode.LOCKED
    assert not token or token not in refusal.value.message + refusal.value.hint


def test_a_handle_opens_for_ten_minutes(tmp_path):
    token = create(tmp_path, now=NOW, **KEYS)
    assert len(bytes.fromhex(token)) == 32
    assert open_handle(tmp_path, token, now=NOW) == Handle(**KEYS)
    assert open_handle(tmp_path, token, now=NOW + 599.9) == Handle(**KEYS)
    assert_locked(tmp_path, token, NOW + 600)
    assert files(tmp_path) == []
    assert_locked(tmp_path, token, NOW)


def test_a_clock_set_back_prolongs_nothing(tmp_path):
    """A21: the wall says it is last year; the clock since boot says the second is over."""
    token = create(tmp_path, now=NOW, lifetime=1, **KEYS)
    assert open_handle(tmp_path, token, now=NOW - YEAR) == Handle(**KEYS)
    time.sleep(1.05)
    assert_locked(tmp_path, token, NOW - YEAR)
    assert files(tmp_path) == []


def test_a_clock_set_forward_ends_it(tmp_path):
    token = create(tmp_path, now=NOW, **KEYS)
    assert_locked(tmp_path, token, NOW + YEAR)


def test_a_handle_of_an_earlier_boot_is_over(tmp_path):
    boot = boot_clock()
    later = Expiry(boot.id, boot.ms, boot.ms + 600_000, int(NOW * 1000) + 600_000)
    assert not later.over(int(NOW * 1000), boot)
    assert later.over(int(NOW * 1000), Boot(b"another boot", boot.ms))
    assert later.over(int(NOW * 1000), Boot(boot.id, boot.ms - 1))
    token = secrets.token_bytes(32)
    expiry = Expiry(b"another boot", boot.ms, boot.ms + 600_000, later.wall_ms)
    (tmp_path / "unlocked").mkdir(0o700)
    path = tmp_path / "unlocked" / handle_name(token)
    write_private(path, seal_handle(token, Handle(**KEYS), expiry))
    assert_locked(tmp_path, token.hex(), NOW)
    assert not path.exists()


def test_a_copy_with_a_later_expiry_does_not_open(tmp_path):
    token = create(tmp_path, now=NOW, **KEYS)
    path = files(tmp_path)[0]
    original = path.read_bytes()
    claimed = decode_handle(original).expiry
    soon, late = (value.to_bytes(8, "big") for value in (claimed.wall_ms, claimed.wall_ms + 10**9))
    assert original.count(soon) == 1
    path.write_bytes(original.replace(soon, late))
    assert decode_handle(path.read_bytes()).expiry.wall_ms == claimed.wall_ms + 10**9
    assert_locked(tmp_path, token, NOW)


def test_no_flipped_bit_of_a_handle_opens(tmp_path):
    token = bytes.fromhex(create(tmp_path, now=NOW, **KEYS))
    data = files(tmp_path)[0].read_bytes()
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(Refused):
            unseal_handle(token, decode_handle(bytes(damaged)))


@pytest.mark.parametrize(
    "token", ["", "0" * 64, "ab", "zz" * 32, "../../etc/passwd", "0" * 10_000, "\u0660" * 64]
)
def test_a_wrong_token_is_told_no_more_than_that(tmp_path, token):
    create(tmp_path, now=NOW, **KEYS)
    assert_locked(tmp_path, token, NOW)


def test_one_token_has_one_spelling(tmp_path):
    token = create(tmp_path, now=NOW, **KEYS)
    for spelled in (
        token.upper() if token.upper() != token else "",
        " " + token,
        token[:2] + " " + token[2:],
    ):
        assert_locked(tmp_path, spelled, NOW)


def test_the_file_alone_says_nothing_and_nobody_else_may_read_it(tmp_path):
    token = create(tmp_path, now=NOW, **KEYS)
    (path,) = files(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert b"U" * 32 not in path.read_bytes()
    assert bytes.fromhex(token) not in path.read_bytes()
    assert token[:8] not in path.name
    assert repr(Handle(**KEYS)).endswith("<secret>)")
    assert "UUUU" not in repr(Handle(**KEYS))


def test_lock_deletes_all_and_sweep_what_is_over(tmp_path):
    assert lock_all(tmp_path) == sweep(tmp_path, NOW) == 0
    short = create(tmp_path, now=NOW, lifetime=60, **KEYS)
    long = create(tmp_path, now=NOW, lifetime=600, **KEYS)
    assert sweep(tmp_path, NOW + 59) == 0
    assert sweep(tmp_path, NOW + 60) == 1
    assert_locked(tmp_path, short, NOW)
    assert open_handle(tmp_path, long, now=NOW) == Handle(**KEYS)
    assert lock_all(tmp_path) == 1
    assert_locked(tmp_path, long, NOW)
    assert lock_all(tmp_path) == 0


def test_every_call_sweeps(tmp_path):
    create(tmp_path, now=NOW, lifetime=60, **KEYS)
    kept = create(tmp_path, now=NOW + 100, **KEYS)
    assert len(files(tmp_path)) == 1
    assert_locked(tmp_path, "0" * 64, NOW + 100)
    assert_locked(tmp_path, kept, NOW + 800)
    assert files(tmp_path) == []


def test_what_is_no_handle_is_swept_and_links_lead_nowhere(tmp_path):
    token = create(tmp_path, now=NOW, **KEYS)
    folder = tmp_path / "unlocked"
    outside = tmp_path / "precious"
    outside.write_bytes(b"precious")
    (folder / "junk").write_bytes(b"junk")
    (folder / "link").symlink_to(outside)
    os.mkfifo(folder / "pipe", 0o600)
    assert open_handle(tmp_path, token, now=NOW) == Handle(**KEYS)
    assert [path.name for path in files(tmp_path)] == [handle_name(bytes.fromhex(token))]
    assert outside.read_bytes() == b"precious"


def test_a_write_under_way_is_left_alone_and_an_abandoned_one_is_not(tmp_path):
    create(tmp_path, now=NOW, **KEYS)
    half = tmp_path / "unlocked" / ".half.tmp"
    write_private(half, b"")
    assert sweep(tmp_path, NOW) == 0
    os.utime(half, (0, 0))
    assert sweep(tmp_path, NOW) == 1
    assert not half.exists()


def test_a_link_in_place_of_the_handle_or_the_folder_is_refused(tmp_path):
    token = create(tmp_path, now=NOW, **KEYS)
    (path,) = files(tmp_path)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert_locked(tmp_path, token, NOW)
    (tmp_path / "unlocked").rename(tmp_path / "elsewhere")
    (tmp_path / "unlocked").symlink_to(tmp_path / "elsewhere")
    for call in (
        lambda: open_handle(tmp_path, token, now=NOW),
        lambda: create(tmp_path, now=NOW, **KEYS),
        lambda: lock_all(tmp_path),
        lambda: sweep(tmp_path, NOW),
    ):
        with pytest.raises(KinringError) as refusal:
            call()
        assert refusal.value.code is ExitCode.DAMAGED


@pytest.mark.parametrize(("path", "mode"), [("unlocked", 0o750), ("unlocked/file", 0o640)])
def test_handles_that_others_could_read_do_not_open(tmp_path, path, mode):
    token = create(tmp_path, now=NOW, **KEYS)
    os.chmod(tmp_path / "unlocked" if path == "unlocked" else files(tmp_path)[0], mode)
    with pytest.raises(KinringError) as refusal:
        open_handle(tmp_path, token, now=NOW)
    assert refusal.value.code in (ExitCode.DAMAGED, ExitCode.LOCKED)


def test_the_clock_since_boot_goes_on():
    first = boot_clock()
    time.sleep(0.01)
    second = boot_clock()
    assert (second.id, second.ms > first.ms) == (first.id, True)


@given(st.binary(max_size=600))
def test_random_bytes_are_no_handle(data):
    with pytest.raises(Malformed):
        decode_handle(data)


@given(st.data())
def test_mutated_handles_are_refused(data):
    token = b"T" * 32
    good = seal_handle(token, Handle(**KEYS), Expiry(b"boot", 1, 2, 3))
    place = data.draw(st.integers(0, len(good) - 1))
    removed = data.draw(st.integers(0, 8))
    inserted = data.draw(st.binary(max_size=8))
    changed = good[:place] + inserted + good[place + removed :]
    if changed == good:
        return
    with pytest.raises(Refused):
        unseal_handle(token, decode_handle(changed))


@pytest.mark.parametrize("case", VECTORS["handle"], ids=lambda case: case["name"])
def test_handle_vectors(case):
    token = bytes.fromhex(case["token"])
    handle = Handle(*(bytes.fromhex(case[name]) for name in ("person", "keyholder", "unlock_key")))
    expiry = Expiry(bytes.fromhex(case["boot_id"]), case["made_ms"], case["boot_ms"], case["wall_ms"])
    assert handles.handle_name(token) == case["file_name"]
    assert seal_handle(token, handle, expiry).hex() == case["file"]
    file = decode_handle(bytes.fromhex(case["file"]))
    assert (unseal_handle(token, file), file.expiry) == (handle, expiry)


@pytest.mark.parametrize("case", VECTORS["malformed"] + VECTORS["refused"], ids=lambda case: case["name"])
def test_invalid_handle_vectors(case):
    with pytest.raises(Refused) as refusal:
        unseal_handle(bytes.fromhex(case.get("token", "00" * 32)), decode_handle(bytes.fromhex(case["file"])))
    assert refusal.value.kind == case["kind"]

"""The simulator itself: it repeats, finds nothing in the product, and finds every fault that is planted.

More seeds run by `make simulate`, and by `make planted` the faults are looked for with the storm's seeds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from replication.store import StoreError
from simulations.disk import File, SectorDisk
from simulations.planted import BUGS, hunt, planted
from simulations.power import CUTS, life
from simulations.run import run, world_of
from simulations.scenarios import SCENARIOS
from simulations.shrink import read, shrink, written
from simulations.store import Violation
from simulations.storm import storm

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("seed", range(12))
def test_a_family_survives_a_storm(seed):
    result = run(seed)
    assert (result.checker, result.detail) == ("", "")
    # Few where an old backup was put back late and those who had the rest were removed before.
    assert result.entries > 5


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_story_ends_well(name):
    result = run(0, story=SCENARIOS[name])
    assert (result.checker, result.detail) == ("", "")


@pytest.mark.parametrize("bug", [bug.name for bug in BUGS])
def test_a_planted_fault_is_found(bug):
    found = hunt(bug, 40, stories_first=True)
    assert found.result is not None, f"nobody noticed in {found.runs} runs"
    assert found.expected, f"found by {found.result.checker}: {found.result.detail}"


def test_a_planted_fault_is_gone_afterwards():
    hunt("signature", 1)
    assert run(0).checker == ""


def _told(*arguments: str, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "simulations", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_seed_is_one_story_whatever_the_hash_seed():
    first = _told("--seed", "7", hash_seed="1")
    assert first == _told("--seed", "7", hash_seed="2")
    assert first.splitlines()[0] == "python -m simulations --seed 7"
    assert "trace" in first.splitlines()[-1]


def test_another_seed_is_another_story():
    assert run(7).trace != run(8).trace


def _deeds(seed, without=()):
    with world_of(seed, without=without) as world:
        storm(world)
        world.close()
        return world.deeds


def test_a_deed_left_out_changes_nothing_before_it():
    whole = _deeds(7)
    number = next(number for number, said in whole.items() if number > 60 and ":" in said)
    less = _deeds(7, {number})
    assert number not in less
    assert {n: said for n, said in less.items() if n < number} == {n: said for n, said in whole.items() if n < number}


def test_chance_has_the_same_for_a_deed_whatever_was_left_out():
    whole = _deeds(7)
    less = _deeds(7, range(20, 40))
    kinds = [said.partition(":")[0] for number, said in whole.items() if number >= 40]
    assert kinds == [said.partition(":")[0] for number, said in less.items() if number >= 40]


def test_a_failure_shrinks_to_the_deeds_that_matter():
    with planted("reader-writes"):
        failed = next(result for seed in range(60) if (result := run(seed)).checker)
        shrunk = shrink(failed, 60)
        again = run(failed.seed, without=read(shrunk.command().rpartition(" ")[2]))
    assert len(shrunk.deeds) < len(failed.deeds) / 4
    assert shrunk.result.checker == again.checker == failed.checker
    assert any("no right" in line for line in shrunk.told())


def test_numbers_of_deeds_are_written_short_and_read_back():
    numbers = {1, 2, 3, 7, 9, 10}
    assert written(numbers) == "1-3,7,9-10"
    assert read(written(numbers)) == numbers


def test_a_large_family_is_among_the_seeds():
    sizes = [run(seed).devices for seed in range(8, 20)]
    assert min(sizes) <= 4
    assert max(sizes) >= 12


@pytest.mark.parametrize("number", range(6))
def test_what_was_acknowledged_outlives_a_power_cut(number):
    result = life(number)
    assert (result.checker, result.detail) == ("", "")
    assert result.crashes == CUTS


def test_power_cuts_repeat_from_the_seed():
    first, second = life(3), life(3)
    assert (first.events, first.entries) == (second.events, second.entries)


def test_a_disk_loses_what_was_not_synced_and_keeps_what_was():
    lost = set()
    for number in range(40):
        file = File(b"\0" * 2048)
        file.write(0, b"synced" * 100)
        file.sync()
        file.write(1024, b"a" * 512)
        file.write(1536, b"b" * 512)
        after = file.after_power_cut(Random(number))
        assert after.seen[:600] == b"synced" * 100
        lost.add((after.seen[1024:1536] == b"a" * 512, after.seen[1536:] == b"b" * 512))
    assert lost == {(False, False), (False, True), (True, False), (True, True)}


def test_a_full_disk_and_a_failed_sync_are_told_apart():
    disk = SectorDisk()
    replica = disk.open(Random(1).randbytes, b"")
    disk.free = 100
    with pytest.raises(StoreError) as full:
        replica.adopt(bytes(32))
    disk.calm()
    replica.adopt(bytes(32))
    disk.failing = ("sync", 0)
    with pytest.raises(StoreError) as failed:
        replica.store.set_local("test", b"key", b"value")
    with pytest.raises(StoreError):
        replica.store.set_local("test", b"key", b"value")
    replica.close()
    disk.discard()
    assert (full.value.kind, failed.value.kind) == ("full", "io")


def test_power_cuts_say_what_they_are_worth():
    told = _told("--disk", "50", hash_seed="0")
    assert told.splitlines()[0] == "python -m simulations --disk 50 --first 0"
    assert "none failed: at 95 % fewer than 3 in 50 such do" in told


def test_ctrl_c_ends_with_what_was_found_so_far():
    command = [sys.executable, "-u", "-m", "simulations", "--seeds", "5000", "--jobs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "a second" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        told = process.stdout.read()
    assert process.returncode == 130
    assert "none failed" in told


def test_many_seeds_say_what_they_are_worth():
    told = _told("--seeds", "4", "--first", "3", hash_seed="0")
    assert told.splitlines()[0] == "python -m simulations --seeds 4 --first 3"
    assert "none failed: at 95 % fewer than 3 in 4 such runs do" in told


def test_what_a_checker_finds_travels_between_processes():
    import pickle

    copy = pickle.loads(pickle.dumps(Violation("agree", "frontier")))  # noqa: S301  our own
    assert (copy.checker, copy.detail) == ("agree", "frontier")

"""The simulator itself: it repeats, finds nothing in the product, and finds every fault that is planted.

More seeds run by `make simulate`, and by `make planted` the faults are looked for with the storm's seeds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulations.planted import BUGS, hunt, planted
from simulations.run import run
from simulations.scenarios import SCENARIOS
from simulations.shrink import read, shrink, written
from simulations.store import Violation

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


def test_a_deed_left_out_changes_nothing_before_it():
    whole, less = run(7), run(7, without={60})
    assert less.checker == ""
    assert less.trace != whole.trace
    assert run(7, without=range(200)).entries < whole.entries


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
    sizes = [run(seed).devices for seed in range(100, 110)]
    assert min(sizes) <= 4
    assert max(sizes) >= 12


def test_many_seeds_say_what_they_are_worth():
    told = _told("--seeds", "4", "--first", "3", hash_seed="0")
    assert told.splitlines()[0] == "python -m simulations --seeds 4 --first 3"
    assert "none failed: at 95 % fewer than 3 in 4 such runs do" in told


def test_what_a_checker_finds_travels_between_processes():
    import pickle

    copy = pickle.loads(pickle.dumps(Violation("agree", "frontier")))  # noqa: S301  our own
    assert (copy.checker, copy.detail) == ("agree", "frontier")

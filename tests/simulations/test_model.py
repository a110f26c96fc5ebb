"""The model of the rules: nothing goes wrong with them, and something does without each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulations.model import histories, membership, membership_histories, records, stories
from simulations.model.__main__ import NEVER_MISSED, main, missed

ROOT = Path(__file__).resolve().parents[2]
RULES = [*records.RULES, *membership.RULES]


@pytest.mark.parametrize("first", range(0, 1200, 300))
def test_records_of_a_family_at_random(first):
    for seed in range(first, first + 300):
        histories.run(seed)


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_memberships_at_random(first):
    for seed in range(first, first + 100):
        membership_histories.run(seed)


def test_every_small_history(capsys):
    assert main(["--exhaustive", "2"]) == 0
    assert "records of 2: " in capsys.readouterr().out


@pytest.mark.parametrize("name", stories.STORIES)
def test_a_story_of_records_ends_well_with_all_rules(name):
    stories.tell(name)


@pytest.mark.parametrize("name", membership_histories.STORIES)
def test_a_story_of_a_membership_ends_well_with_all_rules(name):
    membership_histories.tell(name)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in NEVER_MISSED])
def test_a_rule_that_is_switched_off_is_missed(rule):
    assert missed(rule, 800), f"nothing goes wrong without {rule}"


def test_rules_have_different_names():
    assert len(RULES) == len(set(RULES))
    assert set(NEVER_MISSED) < set(RULES)


def test_the_page_of_the_rules_names_each():
    page = "".join((ROOT / f"docs/spec/{name}.md").read_text() for name in ("rules", "rules-membership"))
    assert [rule for rule in RULES if f"`{rule}`" not in page] == []


def test_a_run_repeats_under_any_hash_seed():
    told = set()
    for seed in ("0", "1"):
        code = (
            "from simulations.model import histories as h, membership_histories as m\n"
            "from simulations.model.checks import Violation\n"
            "for run, rules in ((h.run, h.ALL - {'list'}), (m.run, m.ALL - {'kill'})):\n"
            "    for seed in range(60):\n"
            "        try:\n"
            "            print(seed, run(seed, rules))\n"
            "        except Violation as violation:\n"
            "            print(seed, violation)\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        told.add(ran.stdout)
    assert len(told) == 1
    assert "deleted" in told.pop()


def test_a_record_is_back_while_what_its_deleter_could_not_open_is_on_its_way():
    histories.run(81164)

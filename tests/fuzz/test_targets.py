"""Every decoder takes or refuses whatever it is given: random bytes, and valid examples changed in many ways.

The same targets run under coverage for as long as one likes: `make fuzz`.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.mutation import mutate
from tests.fuzz.targets import TAKEN, TARGETS, Target

ALL = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@ALL
def test_a_valid_example_is_taken(target: Target):
    outcomes = [target.outcome(seed) for seed in target.seeds()]
    assert TAKEN in outcomes


@ALL
def test_any_bytes_are_taken_or_refused_by_kind(target: Target):
    @given(st.binary(max_size=200))
    @settings(max_examples=50)
    def try_bytes(data: bytes) -> None:
        target.outcome(data)

    try_bytes()


@ALL
def test_a_changed_example_is_taken_or_refused_by_kind(target: Target):
    seeds = target.seeds()

    @given(st.sampled_from(seeds), st.integers(0, 2**32))
    @settings(max_examples=200)
    def try_changed(seed: bytes, number: int) -> None:
        target.outcome(mutate(seed, seeds, Random(number)))

    try_changed()

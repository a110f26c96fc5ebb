"""New passwords keep their policy to the letter, all that keep it are equally likely, the rest is refused."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import product
from math import log2
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.analysis import analyse
from node.errors import ExitCode, KinringError
from node.generator import AMBIGUOUS, LIMIT, SPECIAL, Policy, below, generate
from node.strength import passphrase_words

PIN: dict[str, Any] = {"random": True, "min_uppercase": 0, "min_lowercase": 0, "min_special_chars": 0}
POLICIES = st.builds(
    Policy,
    random=st.booleans(),
    min_uppercase=st.integers(-1, 20),
    min_lowercase=st.integers(-1, 20),
    min_digits=st.integers(-1, 20),
    min_special_chars=st.integers(-1, 20),
    min_length=st.none() | st.integers(-1, LIMIT + 1),
    max_length=st.none() | st.integers(-1, LIMIT + 1),
    exclude_ambiguous=st.booleans(),
)


def source(seed: object = 0):
    return random.Random(str(seed)).randbytes


def counts(password: str) -> tuple[int, ...]:
    """Capitals, small letters, digits, others: counted without the generator's own alphabets."""
    found = [re.findall(kind, password) for kind in ("[A-Z]", "[a-z]", "[0-9]", "[^A-Za-z0-9]")]
    return tuple(map(len, found))


def refused(**policy) -> KinringError:
    with pytest.raises(KinringError) as refusal:
        generate(Policy(**policy), source())
    assert refusal.value.code is ExitCode.INVALID
    assert refusal.value.hint
    return refusal.value


@settings(max_examples=300)
@given(POLICIES, st.integers(0, 2**32))
def test_a_policy_is_kept_or_refused(policy, seed):
    try:
        made = generate(policy, source(seed))
    except KinringError as refusal:
        assert refusal.code is ExitCode.INVALID
        return
    password = made.password
    low, high = policy.lengths()
    assert low <= len(password) <= high
    least = policy.minimums().values()
    assert all(count >= wanted for count, wanted in zip(counts(password), least, strict=True))
    assert set(re.sub("[A-Za-z0-9]", "", password)) <= set(SPECIAL)
    assert not (policy.exclude_ambiguous and set(password) & AMBIGUOUS)
    assert policy.kept_by(password)
    assert made.bits >= 0


@settings(max_examples=100)
@given(POLICIES)
def test_what_random_characters_cannot_keep_is_what_is_impossible(policy):
    """Worked out by other means: refused if and only if no text keeps it."""
    least, (low, high) = list(policy.minimums().values()), policy.lengths()
    possible = (
        all(0 <= number <= LIMIT for number in (*least, low, high))
        and high > 0 and low <= high and 0 < sum(least) <= high
    )  # fmt: skip
    if not policy.random:
        return
    if possible:
        assert len(generate(policy, source()).password) == high
    else:
        with pytest.raises(KinringError):
            generate(policy, source())


def test_all_that_keep_a_policy_are_equally_likely():
    """Three characters, at least one digit and one capital, few enough that each can be met often."""
    policy = Policy(random=True, min_uppercase=1, min_lowercase=0, min_digits=1, min_special_chars=0,
                    min_length=2, max_length=2, exclude_ambiguous=True)  # fmt: skip
    digits, capitals = "3479", "ACEFHJKMNPRTUVWXY"
    every = {a + b for a, b in product(digits + capitals, repeat=2) if (a in digits) != (b in digits)}
    draw, rounds = source(), 200
    met = Counter(generate(policy, draw).password for _ in range(rounds * len(every)))
    assert set(met) == every
    assert generate(policy, draw).bits == log2(len(every))
    # Each is met 200 times, give or take 14: eight times that is beyond chance.
    assert all(abs(count - rounds) < 113 for count in met.values())


def test_kinds_of_characters_are_as_likely_as_all_texts_say():
    """Three characters, a digit and a capital at least: how often there are two digits follows from that."""
    policy = Policy(random=True, min_lowercase=0, min_digits=1, min_special_chars=0, max_length=3)
    draw = source()
    met = Counter(counts(generate(policy, draw).password)[2] for _ in range(10_000))
    one, two = 3 * 10 * 26**2, 3 * 10**2 * 26
    assert set(met) == {1, 2}
    assert abs(met[1] / 10_000 - one / (one + two)) < 0.03
    assert generate(policy, draw).bits == pytest.approx(log2(one + two))


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 27, 255, 256, 257, 10**30])
def test_no_number_is_drawn_over_its_limit_or_left_out(limit):
    draw = source()
    numbers = [below(limit, draw) for _ in range(3000)]
    assert all(0 <= number < limit for number in numbers)
    if limit < 300:
        assert set(numbers) == set(range(limit))


def test_a_number_that_is_too_large_is_drawn_again():
    given_out = [b"\xff", b"\xc0", b"\x30"]
    assert below(10, lambda _: given_out.pop(0)) == 3
    assert given_out == []


def test_words_are_of_the_list_and_can_be_told_apart():
    made = generate(Policy(), source())
    words = re.findall("[A-Za-z]+", made.password)
    assert len(words) == 4
    assert {word.lower() for word in words} <= set(passphrase_words())
    assert [word[0].isupper() for word in words] == [True, False, False, False]
    assert counts(made.password)[2:] == (1, 3)
    assert made.bits == pytest.approx(4 * 11 + 3 * log2(27) + log2(10))


def test_every_row_of_words_that_fits_is_as_likely():
    """Sixteen characters: three words of 12 or 13 letters, never more than one of them with five."""
    draw = source()
    met: Counter[tuple[int, ...]] = Counter()
    for _ in range(4000):
        password = generate(Policy(min_length=12, max_length=16), draw).password
        met[tuple(map(len, re.findall("[A-Za-z]+", password)))] += 1
    assert set(met) == {(4, 4, 4), (5, 4, 4), (4, 5, 4), (4, 4, 5)}
    lengths = Counter(map(len, passphrase_words()))
    share = lengths[4] / (lengths[4] + 3 * lengths[5])
    assert abs(met[4, 4, 4] / 4000 - share) < 0.04


@pytest.mark.parametrize(
    ("policy", "shape"),
    [
        ({"min_special_chars": 0}, r"[A-Z][a-z]+\d[a-z]+\d[a-z]+\d[a-z]+"),
        ({"min_special_chars": 0, "min_digits": 0}, "[A-Z][a-z]+"),
        ({"min_special_chars": 5, "min_digits": 2}, r"[A-Z][a-z]+((\W|_)[a-z]+){3}\d\d(\W|_){2}"),
        ({"min_uppercase": 3}, r"([A-Z][a-z]+(\W|_)){3}[a-z]+\d"),
        ({"min_uppercase": 5}, r"[A-Z]{2}[a-z]+(\W|_)([A-Z][a-z]+(\W|_)){2}[A-Z][a-z]+\d"),
        ({"min_uppercase": 0}, r"([a-z]+(\W|_)){3}[a-z]+\d"),
        ({"min_length": 100}, r"[A-Z]([A-Za-z]+(\W|_))+[a-z]+\d"),
    ],
)  # fmt: skip
def test_the_shape_of_words(policy, shape):
    assert re.fullmatch(shape, generate(Policy(**policy), source()).password)


def test_a_letter_whose_capital_is_ambiguous_stays_small():
    policy, draw = Policy(exclude_ambiguous=True), source()
    made = [generate(policy, draw).password for _ in range(300)]
    assert {password[0] for password in made} > set("bdsACE")
    assert all(counts(password)[0] == 1 for password in made)


def test_a_length_left_out_gives_way():
    assert len(generate(Policy(random=True), source()).password) == 16
    assert len(generate(Policy(random=True, min_length=30), source()).password) == 30
    assert generate(Policy(**PIN, max_length=4), source()).password.isdigit()
    assert len(generate(Policy(min_length=60), source()).password) == 60


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"min_length": 20, "max_length": 10}, "min_length is 20, but max_length is 10"),
        ({"min_digits": 5, "min_uppercase": 5, "max_length": 8}, "ask for 12 characters, but max_length"),
        ({"random": True, "min_digits": 14}, "ask for 17 characters, but max_length is 16"),
        ({"max_length": 0}, "max_length is 0"),
        ({"max_length": 129}, "max_length is 129"),
        ({"min_digits": -1}, "min_digits is -1"),
        ({"min_length": -5}, "min_length is -5"),
        ({**PIN, "min_digits": 0}, "no character"),
        ({"max_length": 9}, "no row of two or more words fits"),
        ({"min_uppercase": 60, "min_lowercase": 60, "max_length": 128, "min_digits": 5}, "no row of two"),
    ],
)  # fmt: skip
def test_what_is_impossible_is_told(policy, told):
    assert told in refused(**policy).message


def test_nothing_is_made_twice():
    for policy in (Policy(), Policy(random=True)):
        draw = source()
        assert len({generate(policy, draw).password for _ in range(500)}) == 500


def test_what_is_made_unless_told_otherwise_is_strong():
    draw = source()
    for policy in (Policy(), Policy(random=True), Policy(exclude_ambiguous=True)):
        made = generate(policy, draw)
        assert made.bits > 55
        assert analyse(made.password).score == 4


def test_a_password_is_not_shown_by_repr():
    assert repr(generate(Policy(), source())) == "<secret>"

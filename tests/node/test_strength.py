"""Weak master passwords are refused, with the reason and a better proposal."""

from __future__ import annotations

import pytest

from node.errors import ExitCode, KinringError
from node.strength import WeakPassword, check_master_password, passphrase_words, propose_passphrase


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "empty"),
        ("short", "5 characters"),
        ("Xq7#kT!v2Lp", "11 characters"),
        ("e\u0301" * 11, "11 characters"),
        ("password1234", "common"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "repeats"),
        (" " * 30, "repeats"),
        ("x" * 1000, "repeats"),
        ("qwertyuiop12", "easy|common|guess"),
        ("kinringkinring", "repeats"),
    ],
)
def test_weak_ones_are_refused_with_the_reason(password, reason):
    with pytest.raises(WeakPassword, match=reason) as refusal:
        check_master_password(password, own_words=[])
    assert refusal.value.code is ExitCode.INVALID
    assert not password or password not in refusal.value.message + refusal.value.hint


def test_the_proposal_is_shown_and_would_be_taken():
    with pytest.raises(KinringError) as refusal:
        check_master_password("password", own_words=[])
    proposal = refusal.value.hint.rsplit(" ", 1)[1]
    words = proposal.split("-")
    assert len(words) == 5
    assert set(words) <= set(passphrase_words())
    check_master_password(proposal, own_words=["Ada Lovelace"])


def test_names_of_the_person_make_it_weak():
    password = "Zbigniewawojtasz"
    check_master_password(password, own_words=[])
    with pytest.raises(WeakPassword):
        check_master_password(password, own_words=["Zbigniewa Wojtasz"])


def test_very_long_ones_are_weighed_by_their_beginning_and_taken():
    check_master_password("every one of these words is part of the password " * 30, own_words=[])


@pytest.mark.parametrize(
    "password",
    [
        "vexed owl trims barley",
        "\u79c1\u306e\u5bb6\u65cf\u306f\u6d77\u8fba\u306b\u4f4f\u3093\u3067\u3044\u307e\u3059",
    ],
)
def test_strong_ones_are_taken_in_any_script(password):
    check_master_password(password, own_words=["Ada"])


def test_every_proposal_is_another_one_and_strong():
    proposals = {propose_passphrase() for _ in range(100)}
    assert len(proposals) == 100
    for proposal in sorted(proposals)[:20]:
        check_master_password(proposal, own_words=[])


def test_the_word_list_is_what_its_entropy_rests_on():
    words = passphrase_words()
    assert len(words) == len(set(words)) == 2048
    assert list(words) == sorted(words)
    assert all(word.isascii() and word.isalpha() and word.islower() and 4 <= len(word) <= 7 for word in words)

"""What a password is worth, by the documents' figure and by zxcvbn, for any text."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.analysis import analyse

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_documents_example():
    info = asdict(analyse("mypassword"))
    del info["score"], info["warning"]
    assert info == {
        "strength": "MODERATE", "entropy": 42.303957463269825, "uppercase": 0, "lowercase": 10, "digits": 0,
        "special_chars": 0, "length": 10,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("password", "strength"),
    [
        ("", "WEAK"),
        ("a", "WEAK"),
        ("a" * 500, "WEAK"),
        ("abcdefgh", "WEAK"),  # 37.6
        ("abcdefghi", "MODERATE"),  # 42.3
        ("abcdefghijklmnopq", "MODERATE"),  # 79.9
        ("abcdefghijklmnopqr", "STRONG"),  # 84.6
        ("Password12345!", "STRONG"),  # that is why the score stands beside it
        ("0" * 9 + "12345678", "WEAK"),
    ],
)
def test_strength_by_the_figure(password, strength):
    assert analyse(password).strength == strength


def test_the_score_sees_what_the_figure_does_not():
    assert analyse("Password12345!").score <= 2
    assert analyse("mypassword").score <= 1
    assert analyse("mypassword").warning
    assert analyse("Enzyme)tail$swamp_smart9").score == 4
    assert (analyse("").score, analyse("").warning) == (0, "It is empty.")


@pytest.mark.parametrize(
    ("password", "counts"),
    [
        ("Aa1! ", (1, 1, 1, 2)),
        ("ÄßЖж", (2, 2, 0, 0)),
        ("٣四²", (0, 0, 1, 2)),
        ("密码🙂", (0, 0, 0, 3)),
    ],
)
def test_kinds_of_characters_in_any_script(password, counts):
    info = analyse(password)
    assert (info.uppercase, info.lowercase, info.digits, info.special_chars) == counts


def test_only_the_estimate_is_made_from_the_beginning():
    assert analyse("x" * 72 + "Tr0ub4dor&3").score == analyse("x" * 72).score
    assert analyse("x" * 72 + "Tr0ub4dor&3").length == 83
    assert analyse("x" * 72 + "Tr0ub4dor&3").entropy > analyse("x" * 72).entropy


@settings(max_examples=50)
@given(st.text(st.characters(), max_size=100))
def test_any_text_can_be_analysed(password):
    info = analyse(password)
    kinds = info.uppercase + info.lowercase + info.digits + info.special_chars
    assert kinds == info.length == len(password)
    assert 0 <= info.score <= 4
    assert math.isfinite(info.entropy)
    assert info.entropy >= 0
    assert info.strength == ("WEAK" if info.entropy < 40 else "MODERATE" if info.entropy < 80 else "STRONG")
    assert len(password) < 4 or password not in info.warning


def test_word_lists_are_loaded_only_when_a_password_is_analysed():
    program = "import sys, node.analysis; assert 'zxcvbn' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)

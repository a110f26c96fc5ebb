"""The product's membership in every small history: somebody can act, and the model says the same."""

from __future__ import annotations

import pytest

from simulations import search
from simulations.search import PROFILES, A, B, Step, describe, main


def test_every_history_of_one_statement_of_any_kind(capsys):
    assert main(["--statements", "1"]) == 0
    assert "all of them; 74 in another order" in capsys.readouterr().out


@pytest.mark.parametrize("kinds", ["quarrel", "leaving"])
def test_every_history_of_two_statements_of_admins_who_fall_out(kinds, capsys):
    assert main(["--statements", "2", "--kinds", kinds]) == 0
    assert "all of them" in capsys.readouterr().out


def test_a_search_that_is_cut_short_says_so(capsys):
    assert main(["--statements", "2", "--limit", "20"]) == 0
    assert "stopped before the end" in capsys.readouterr().out


def test_what_goes_wrong_is_told_with_its_history(capsys, monkeypatch):
    monkeypatch.setitem(search.ACTS, "lowers B", search.ACTS["removes the peer"])
    seen = search.compare

    def strict(told, state, model):
        seen(told, state, model)
        if search.device(search.PEER).id not in state.devices:
            raise search.Found("the peer is gone")

    monkeypatch.setattr(search, "compare", strict)
    assert main(["--statements", "1", "--kinds", "quarrel"]) == 1
    assert "1. A lowers B, having heard []: the peer is gone" in capsys.readouterr().out


def test_a_history_is_told_in_words():
    steps = (Step(A, "removes B", 0, 0, 1), Step(B, "lowers C", 1, 0, 2))
    assert describe(steps) == "1. A removes B, having heard []; 2. B lowers C, having heard [1]"


def test_kinds_of_statements_are_known():
    assert all(set(acts) <= search.ACTS.keys() for _, acts in PROFILES.values())

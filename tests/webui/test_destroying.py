"""Destroying for good at the page: asked for with a typed word, and until when it can be brought back."""

from __future__ import annotations

import re

import pytest

from tests.e2e.pages import CANARY, lose
from tests.webui.test_shown import text
from webui import destroying

YES = {"sure": "yes"}


def bank(vaults, personal, label="Bank") -> str:
    item = vaults.create_item(personal, {"label": label, "password": CANARY, "username": "one"})
    vaults.update_item(item, {"username": "two"})
    return item


@pytest.mark.parametrize("path", ["/bin/empty", "/items/{}/erase", "/items/{}/purge"])
def test_without_the_word_nothing_is_destroyed(anna, vaults, personal, path):
    item = bank(vaults, personal)
    vaults.delete_item(item)
    before = vaults._replica.last_id()
    for given in ({}, {"sure": "no"}, {"sure": ""}, {**YES, "days": "x"}):
        if given.get("days") and path.endswith("erase"):
            continue
        answer = anna.post(path.format(item), given)
        assert answer.status_code == 400
        assert "Nothing was destroyed" in answer.text
    assert vaults._replica.last_id() == before


def test_an_item_is_destroyed_and_brought_back(anna, vaults, personal):
    item = bank(vaults, personal)
    assert "Type yes to go on" in anna.get(f"/items/{item}").text
    told = anna.post(f"/items/{item}/erase", {"sure": " Yes "})
    assert told.status_code == 200
    assert CANARY not in told.text
    assert re.search(r"can be brought back until \d\d \w+ \d{4}, \d\d:\d\d at least", text(told))
    assert "Waits for: Anna’s laptop" in text(told)
    assert "Bank" not in anna.get("/").text + anna.get("/bin").text
    emptied = anna.get(f"/items/{item}").text
    assert "This item was destroyed" in emptied
    assert "/erase" not in emptied
    waits = text(anna.get("/health"))
    assert "2 values in Personal : waits for Anna’s laptop" in waits
    assert "destroying waits" in anna.get("/devices").text
    assert f'action="/items/{item}/restore"' in told.text
    anna.post(f"/items/{item}/restore")
    assert vaults.item(item).fields["password"] == CANARY


def test_the_bin_is_emptied_with_the_vaults_in_it(anna, vaults, personal):
    assert "/bin/empty" not in anna.get("/bin").text
    gone, kept = bank(vaults, personal), bank(vaults, personal, "Kept")
    boat = vaults.create_vault("Boat")
    key = vaults.create_item(boat, {"label": "Key"})
    vaults.delete_item(gone)
    vaults.delete_vault(boat)
    assert "with it the vault Boat and all it holds" in text(anna.get("/bin"))
    assert "There was nothing of the kind" in text(anna.post("/bin/empty", {**YES, "days": "30"}))
    told = anna.post("/bin/empty", YES)
    assert "2 items and 1 vault, with all they ever held" in text(told)
    assert f'action="/vaults/{boat}/restore"' in told.text
    assert [view.title for view in vaults.vaults(deleted=True)] == []
    assert vaults.items().total == 1
    assert vaults.item(kept).fields["password"] == CANARY
    assert "The bin is empty" in anna.get("/bin").text
    anna.post(f"/vaults/{boat}/restore")
    anna.post(f"/items/{key}/restore")
    assert vaults.item(key).label == "Key"


def test_a_full_bin_takes_several_goes(anna, vaults, personal, monkeypatch):
    monkeypatch.setattr(destroying, "AT_ONCE", 64)
    vaults.import_items(personal, [{"label": f"Site {n}"} for n in range(100)])
    for item in vaults.items(personal).items:
        vaults.delete_item(item.item_id)
    first = text(anna.post("/bin/empty", YES))
    assert "64 items" in first
    assert "There is more in the bin. Empty it once more." in first
    last = text(anna.post("/bin/empty", YES))
    assert "36 items" in last
    assert "more in the bin" not in last
    assert vaults.items(deleted=True).total == 0


def test_earlier_values_are_destroyed_and_who_did_it_stays(anna, vaults, personal):
    item = bank(vaults, personal)
    assert "/purge" in anna.get(f"/items/{item}/history").text
    vaults.update_item(item, {"username": "three"})
    recent = text(anna.post(f"/items/{item}/purge", {**YES, "days": "30"}))
    assert "Nothing was destroyed" in recent
    told = text(anna.post(f"/items/{item}/purge", YES))
    assert "1 earlier value of “ Bank ”. What it shows now stays." in told
    assert "Left for now: what it was made with for User name ." in told
    replica = vaults._replica
    (purge,) = replica.state().purges
    op = replica.op_of(next(iter(purge.items)))
    assert op is not None
    lose(replica, [op])  # thirty days on
    history = anna.get(f"/items/{item}/history?field=username")
    assert "User name destroyed by Anna" in text(history)
    assert history.text.count("Restore this value") == 1, "of the one that it was made with"
    assert vaults.item(item).fields["username"] == "three"

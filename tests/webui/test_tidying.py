"""Housekeeping beside what people ask for: it is done, when something came, and it comes to an end."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import Any

import pytest

from node.housekeeping import Tidied, tidy
from node.identity import load_or_create
from node.people import remove_device
from tests.kin import sync
from tests.node.laptops import Laptop, account, join
from webui.tidying import Tidying


@pytest.fixture
def late(folder, vaults, family, tmp_path: Path) -> str:
    """An account that Anna's tablet wrote after her phone was removed, which it had not heard of."""
    laptop = Laptop(load_or_create(folder, secrets.token_bytes), vaults._replica, family[1])
    phone, tablet = join(laptop, tmp_path / "phone"), join(laptop, tmp_path / "tablet")
    remove_device(laptop.replica, laptop.unlocked, laptop.vaults, phone.device.id)
    item = account(tablet, "on the train")
    sync(laptop.replica, tablet.replica)
    return item


def copies(vaults) -> int:
    return vaults._replica.store.one("SELECT count(*) FROM ops WHERE copies IS NOT NULL")[0]


def test_what_came_late_is_sealed_anew_and_then_nothing_is_left(folder, vaults, family, late):
    tidying = Tidying(folder)
    assert tidying.turn([]) is False, "nobody is signed in"
    assert copies(vaults) == 0
    assert tidying.turn([family[1]]) is True
    assert copies(vaults) == 1
    before = vaults._replica.change_mark()
    assert [tidying.turn([family[1]]) for _ in range(3)] == [False] * 3
    assert vaults._replica.change_mark() == before
    assert vaults.item(late).fields["password"] == "on the train"


class Watched:
    """Tidying as it is, with word of when it begins; it goes on when it may."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may = threading.Event()
        self.times = 0

    def __call__(self, *given: Any) -> Tidied:
        self.times += 1
        self.begun.release()
        assert self.may.wait(30)
        return tidy(*given)


@pytest.fixture
def watched(monkeypatch) -> Watched:
    watched = Watched()
    monkeypatch.setattr("webui.tidying.tidy", watched)
    return watched


def test_nothing_is_looked_at_again_until_something_comes(folder, vaults, family, personal, watched):
    watched.may.set()
    tidying = Tidying(folder)
    for _ in range(2):
        tidying.turn([family[1]])
    assert watched.times == 1
    vaults.create_item(personal, {"label": "Bank"})
    for _ in range(2):
        tidying.turn([family[1]])
    assert watched.times == 2


def test_no_request_waits_for_it(anna, desk, vaults, late, watched, monkeypatch):
    monkeypatch.setattr("webui.desk.PAUSE_S", 0.01)
    beside = threading.Thread(target=desk.housekeep)
    beside.start()
    try:
        assert watched.begun.acquire(timeout=30), "it does not begin"
        assert anna.get(f"/items/{late}").status_code == 200
        assert copies(vaults) == 0
        watched.may.set()
        assert watched.begun.acquire(timeout=30), "what it wrote itself is something that came"
        assert copies(vaults) == 1
    finally:
        watched.may.set()
        desk._stopping.set()
        beside.join(30)

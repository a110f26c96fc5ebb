"""Two halves, and how long they last."""

from __future__ import annotations

import logging
import secrets

import pytest

from node.errors import KinringError
from tests.e2e.pages import CANARY, PASSWORD, USERNAME
from tests.webui.conftest import PORT, Visitor
from webui.delays import delay
from webui.sessions import ABSOLUTE_S, MAX_SESSIONS, Sessions

PERSONAL = ("Netflix", "anna@example.org", CANARY, "Personal", "Anna")
PATHS = (
    "/",
    "/bin",
    "/items/new",
    "/vaults",
    "/import",
    "/devices",
    "/devices/invitation",
    "/health",
    "/live",
    "/join/state",
    "/?q=Netflix",
)


@pytest.fixture
def netflix(vaults, personal) -> str:
    return vaults.create_item(
        personal, {"label": "Netflix", "username": "anna@example.org", "password": CANARY}
    )


def pages_of(item_id: str) -> tuple[str, ...]:
    return (*PATHS, f"/items/{item_id}", f"/items/{item_id}/edit", f"/items/{item_id}/history")


def test_the_cookie_alone_opens_nothing(anna, netflix):
    anna.token = ""
    for path in pages_of(netflix):
        answer = anna.get(path)
        assert answer.status_code == 401, path
        assert not [word for word in PERSONAL if word in answer.text], path
    assert anna.post(f"/items/{netflix}/secret", {"field": "password"}).status_code == 401
    assert anna.post(f"/items/{netflix}/delete").status_code == 401
    assert anna.post("/lock").status_code == 401


def test_the_token_alone_opens_nothing(app, anna, netflix):
    other = Visitor(app)
    other.token = anna.token
    for path in pages_of(netflix):
        answer = other.get(path)
        assert answer.status_code == 401, path
        assert not [word for word in PERSONAL if word in answer.text], path
    assert other.post(f"/items/{netflix}/secret", {"field": "password"}).status_code == 401


def test_halves_of_different_sessions_do_not_fit(app, anna, desk, family, netflix):
    other = Visitor(app)
    _, other.token = desk.begin(family[1])
    anna.token = other.token
    assert anna.get("/").status_code == 401


def test_both_halves_open(anna, netflix):
    answer = anna.get(f"/items/{netflix}")
    assert answer.status_code == 200
    assert "Netflix" in answer.text


def test_every_frame_is_the_same_whatever_is_asked_for(anna, netflix):
    anna.token = "00" * 32
    frames = {anna.get(path).text for path in pages_of(netflix)}
    assert len(frames) == 1


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stranger):
    answer = stranger.post("/unlock", {"username": USERNAME, "password": PASSWORD})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"kinring-{PORT}=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Domain" not in cookie
    assert stranger.token not in cookie
    assert stranger.get("/").status_code == 200


def test_idle_for_ten_minutes_locks_and_nobody_can_set_that_clock_back(desk, anna, clock):
    clock.now += 599
    assert anna.get("/").status_code == 200
    clock.now += 599
    assert anna.get("/", **{"X-Kinring-Background": "1"}).status_code == 200  # nobody asked for that
    desk.look()
    assert not desk.locked.is_set()
    clock.now += 2
    assert anna.get("/").status_code == 401
    desk.look()
    assert desk.locked.is_set()
    with pytest.raises(KeyError):
        desk.vaults(secrets.token_bytes(16))
    assert not desk._people


def test_typing_alone_puts_off_locking(desk, anna, clock):
    for _ in range(5):
        clock.now += 500
        assert anna.post("/here").status_code == 204
    desk.look()
    assert not desk.locked.is_set()


def test_eight_hours_are_the_end_however_busy(clock):
    sessions = Sessions(clock, secrets.token_bytes)
    cookie, token = sessions.begin(b"p" * 16)
    for _ in range(ABSOLUTE_S // 300 - 1):
        clock.now += 300
        assert sessions.find(cookie, token, touch=True)
    clock.now += 300
    assert sessions.find(cookie, token, touch=True) is None
    assert sessions.any_over()


def test_the_table_of_sessions_does_not_grow_without_end(clock):
    sessions = Sessions(clock, secrets.token_bytes)
    first = sessions.begin(b"p" * 16)
    for _ in range(MAX_SESSIONS):
        clock.now += 1
        last = sessions.begin(b"p" * 16)
    assert sessions.find(*first, touch=True) is None
    assert sessions.find(*last, touch=True)


def test_the_idle_time_is_a_setting_that_stays(desk, anna, clock):
    assert anna.post("/settings", {"minutes": "2"}).status_code == 303
    assert anna.post("/settings", {"minutes": "0"}).status_code == 400
    assert anna.post("/settings", {"minutes": "61"}).status_code == 400
    assert anna.post("/settings", {"minutes": "x"}).status_code == 400
    clock.now += 121
    desk.look()
    assert desk.locked.is_set()
    desk._load_settings()
    assert desk.sessions.idle_s == 120


def test_locking_forgets_and_the_back_button_finds_nothing(desk, anna, netflix):
    answer = anna.post("/lock")
    assert answer.status_code == 303
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    answer.close()
    assert desk.locked.is_set()
    again = anna.get(f"/items/{netflix}")
    assert again.status_code == 401
    assert again.headers["Cache-Control"] == "no-store"


def test_wrong_passwords_wait_longer_each_time_and_a_restart_does_not_help(
    desk, stranger, clock, monkeypatch
):
    assert [delay(failures) for failures in (0, 1, 2, 3, 4, 5, 6, 12, 99, 10**6)] == [
        0,
        0,
        0,
        1,
        2,
        4,
        8,
        300,
        300,
        300,
    ]
    store = desk.replica.store
    for _ in range(6):
        desk.delays.failed(store, USERNAME)
    assert desk.delays.left(store, USERNAME) == 8
    refused = stranger.post("/unlock", {"username": USERNAME, "password": PASSWORD})
    assert refused.status_code == 429
    assert "wait 8 seconds" in refused.text
    clock.now += 7.5
    assert desk.delays.left(store, USERNAME) == 1
    clock.now += 1
    assert desk.delays.left(store, USERNAME) == 0
    from webui.delays import Delays

    restarted = Delays(clock)
    assert restarted.left(store, USERNAME) == 8
    restarted.succeeded(store, USERNAME)
    assert Delays(clock).left(store, USERNAME) == 0


def test_made_up_names_share_one_count(desk):
    store = desk.replica.store
    for number in range(5):
        desk.delays.failed(store, f"nobody{number}")
    assert len(store.local("page-failures")) == 1
    assert desk.delays.left(store, "somebody else") > 0
    assert desk.delays.left(store, USERNAME) == 0


def test_a_wrong_name_and_a_wrong_password_are_told_alike(stranger, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = [
        stranger.post("/unlock", {"username": name, "password": "not-the-password-17"})
        for name in (USERNAME, "nobody")
    ]
    assert [answer.status_code for answer in wrong] == [403, 403]
    assert wrong[0].text == wrong[1].text
    assert "not-the-password-17" not in caplog.text + wrong[0].text
    assert stranger.get("/").status_code == 401


def test_a_new_person_in_an_old_browser_does_not_get_the_last_one_s_session(stranger, desk):
    with pytest.raises(KinringError):
        desk.sign_in(USERNAME, "wrong password entirely")
    assert stranger.get("/").status_code == 401

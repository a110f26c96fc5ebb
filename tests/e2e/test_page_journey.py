"""A person's day with the page in a real browser; and what other pages in that browser may try meanwhile."""

from __future__ import annotations

import hashlib
import http.server
import re
import secrets
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from node.keyholder import Unlocked, unlock
from node.opening import open_replica
from node.secret_keys import SecretKeys
from node.vault import Vaults
from replication.alarms import TWO_PLACES
from tests.e2e.pages import (
    CANARY,
    PASSWORD,
    USERNAME,
    chromium,
    elsewhere,
    found_family,
    now,
    open_vaults,
    page_process,
    sign_in,
)

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINRING_KEYRING", "file")
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def annas(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Unlocked]:
    folder = tmp_path_factory.mktemp("page-family")
    folder.chmod(0o700)
    return folder, found_family(folder)


@pytest.fixture
def folder(annas: tuple[Path, Unlocked], tmp_path: Path) -> Path:
    copy = tmp_path / "data"
    shutil.copytree(annas[0], copy)
    copy.chmod(0o700)
    return copy


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def context(browser: Browser, complaints: list[str]) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    # What the browser itself objects to: a breach of the policy, a script that failed.
    context.on("console", lambda said: complaints.append(said.text) if "Policy" in said.text else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def test_a_day_with_the_page(page: Page, tmp_path: Path, complaints: list[str]):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with page_process(data, log=tmp_path / "page.log") as (port, _):
        base = f"http://localhost:{port}"
        _found(page, base)
        _first_item(page, base)
        _search_and_reveal(page)
        _nothing_is_kept_and_back_works(page)
        _edit_and_look_back(page)
        _conflict_shows_by_itself(page, data)
        _import(page, base, tmp_path)
        _lock_and_try_the_back_button(page, base)
    assert complaints == []
    assert CANARY not in (tmp_path / "page.log").read_text()


def _found(page: Page, base: str) -> None:
    page.goto(base)
    page.wait_for_url(f"{base}/welcome")
    page.get_by_label("Your name").fill("Anna")
    page.get_by_label("User name").fill(USERNAME)
    page.get_by_label("Name of this device").fill("Anna’s laptop")
    page.get_by_label("Master password").fill("password1234")
    page.get_by_label("The same again").fill("password1234")
    page.get_by_role("button", name="Found the family").click()
    expect(page.get_by_role("alert")).to_contain_text("too weak")
    expect(page.get_by_label("Your name")).to_have_value("Anna")
    page.get_by_label("Master password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Found the family").click()
    expect(page.get_by_role("heading", name="Your emergency kit")).to_be_visible()
    expect(page.locator("code")).to_have_count(2)
    page.get_by_role("link", name="I have it on paper").click()
    expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()


def _first_item(page: Page, base: str) -> None:
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="New item")).to_be_visible()  # the list has a "Vault" to choose, too
    page.get_by_label("Vault").select_option(label="Personal")
    page.get_by_label("Name", exact=True).fill("Netflix")
    page.get_by_label("User name").fill("anna@example.org")
    page.get_by_label("Password").fill(CANARY)
    page.get_by_label("Website").fill("javascript:alert(1)")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Netflix")).to_be_visible()
    expect(page.locator("#toast")).to_have_text("Created.")
    assert page.locator("a[href^='javascript']").count() == 0
    assert "said" not in page.url
    assert CANARY not in page.content()
    page.reload()
    expect(page.get_by_role("heading", name="Netflix")).to_be_visible()
    second = page.context.new_page()  # another tab: the other half comes from this one
    second.goto(base)
    expect(second.get_by_role("link", name="Netflix")).to_be_visible()
    second.close()


def _search_and_reveal(page: Page) -> None:
    page.get_by_role("link", name="Items").click()
    expect(page.get_by_role("heading", name="Items")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("nothing like it")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    page.get_by_label("Search").fill("netf")
    page.get_by_role("link", name="Netflix").click()
    expect(page.locator("output").first).to_have_text("••••••••")
    page.get_by_role("button", name="Show Password").click()
    expect(page.locator("output").first).to_have_text(CANARY)
    page.get_by_role("button", name="Show Password").click()
    expect(page.locator("output").first).to_have_text("••••••••")
    page.get_by_role("button", name="Copy Password").click()
    expect(page.locator("#toast")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == CANARY


TRY_SINKS = """() => {
  const refused = (act) => { try { act(); return false } catch (error) { return error instanceof TypeError } };
  return [
    () => { document.createElement("div").innerHTML = "<b>x</b>"; },
    () => { document.createElement("div").insertAdjacentHTML("beforeend", "<b>x</b>"); },
    () => { new DOMParser().parseFromString("<b>x</b>", "text/html"); },
    () => { document.createElement("script").textContent = "1"; },
    () => { document.createElement("script").src = "/static/app.js"; },
    () => { trustedTypes.createPolicy("default", {createHTML: (text) => text}); },
    () => { trustedTypes.createPolicy("another", {createHTML: (text) => text}); },
  ].map(refused);
}"""


def _nothing_is_kept_and_back_works(page: Page) -> None:
    assert page.evaluate("typeof htmx") == "undefined"
    assert page.evaluate("Object.keys(localStorage)") == []
    kept = page.evaluate("({...sessionStorage})")
    token = kept.pop("X-Kinring-Token")
    assert re.fullmatch("[0-9a-f]{64}", token)
    assert set(kept) <= {"htmx-current-path-for-history", "next"}
    assert CANARY not in str(kept)
    assert token not in page.url + page.content()
    item = page.url
    page.get_by_role("link", name="Vaults").click()
    expect(page.get_by_role("heading", name="Vaults")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Netflix")).to_be_visible()
    assert page.url == item
    assert "Work" not in page.locator("main").inner_text()


def test_only_an_answer_becomes_html(context: BrowserContext, folder: Path):
    page = context.new_page()
    with page_process(folder) as (port, _):
        sign_in(page, port)
        assert all(page.evaluate(TRY_SINKS))


def test_a_late_answer_to_a_page_that_is_gone_does_no_harm(page: Page, folder: Path, annas, complaints: list[str]):
    """The answer about a part is held back until another page is shown."""
    _item(folder, annas[1])
    with page_process(folder) as (port, _):
        sign_in(page, port)
        held: list[Route] = []
        page.route(f"http://localhost:{port}/", lambda route: held.append(route))  # noqa: PLW0108 - not a built-in
        page.evaluate("document.body.dispatchEvent(new Event('changed'))")
        page.get_by_role("link", name="Vaults").click()
        expect(page.get_by_role("heading", name="Vaults")).to_be_visible()
        assert len(held) == 1
        with page.expect_response(f"http://localhost:{port}/"):
            held[0].continue_()
        page.unroute_all()
        page.get_by_role("link", name="Health").click()
        expect(page.get_by_role("heading", name="Health")).to_be_visible()
        expect(page.locator("#results")).to_have_count(0)
        page.get_by_role("button", name="Save").click()  # the address stays, the message comes
        expect(page.locator("#toast")).to_have_text("The setting was saved.")
        assert page.url == f"http://localhost:{port}/health"
    assert complaints == []


def test_a_part_is_not_renewed_under_a_form_whose_answer_is_on_the_way(page: Page, folder: Path, annas):
    """Something changes elsewhere: the part would be renewed, and the button that was pressed stands in it."""
    item = _item(folder, annas[1])
    vaults = open_vaults(folder, annas[1])
    vaults.update_item(item, {"username": "second"})
    with page_process(folder) as (port, _):
        sign_in(page, port)
        history = f"http://localhost:{port}/items/{item}/history"
        page.goto(history)
        held: list[Route] = []
        page.route(history, lambda route: held.append(route) if route.request.method == "POST" else route.continue_())
        page.get_by_role("button", name="Restore this value of User name").first.click()
        expect(page.locator(".versions button:disabled")).to_have_count(1)
        with page.expect_response(lambda answer: answer.url == history and answer.request.method == "GET"):
            vaults.update_item(item, {"username": "third"})
        held[0].continue_()
        expect(page.get_by_role("heading", name="Netflix")).to_be_visible()
        assert page.url == f"http://localhost:{port}/items/{item}"
        vaults.update_item(item, {"username": "fourth"})
        expect(page.get_by_text("fourth")).to_be_visible()
        for once in ("#page", "#toast", "#here", "main"):
            expect(page.locator(once)).to_have_count(1)
    vaults._replica.close()


def test_an_item_is_destroyed_and_brought_back(page: Page, folder: Path, annas, complaints: list[str]):
    item = _item(folder, annas[1])
    with page_process(folder) as (port, _):
        sign_in(page, port)
        page.goto(f"http://localhost:{port}/items/{item}")
        page.get_by_text("Destroy for good…").click()
        page.get_by_label("Type yes to go on").fill("perhaps")
        page.get_by_role("button", name="Destroy it").click()
        expect(page.get_by_role("alert")).to_have_text("Nothing was destroyed. Type yes to go on.")
        page.get_by_label("Type yes to go on").fill("yes")
        page.get_by_role("button", name="Destroy it").click()
        expect(page.get_by_role("heading", name="Destroyed")).to_be_visible()
        expect(page.get_by_text("It can be brought back until")).to_be_visible()
        page.get_by_role("link", name="Items").click()
        expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
        page.go_back()
        expect(page.get_by_text("This item was destroyed")).to_be_visible()
        page.get_by_role("button", name="Restore it").click()
        expect(page.locator("#toast")).to_have_text("Restored.")
        page.get_by_role("button", name="Show Password").click()
        expect(page.locator("output").first).to_have_text(CANARY)
    assert complaints == []


def test_an_alarm_is_seen_and_dismissed(page: Page, folder: Path):
    replica = open_replica(folder)
    replica.raise_alarm(TWO_PLACES, next(iter(replica.state().devices)), "", b"1", now())
    replica.close()
    with page_process(folder) as (port, _):
        sign_in(page, port)
        page.get_by_role("link", name="Devices 1 to look at").click()
        expect(page.get_by_role("heading", name="Anna’s laptop is in two places")).to_be_visible()
        page.get_by_role("button", name="Dismiss").click()
        expect(page.get_by_role("button", name="Dismiss")).to_have_count(0)
        expect(page.get_by_role("link", name="Devices", exact=True)).to_be_visible()


def test_of_two_links_the_later_one_counts(page: Page, folder: Path, annas):
    _item(folder, annas[1])
    with page_process(folder) as (port, _):
        sign_in(page, port)
        held: list[Route] = []
        page.route("**/vaults", lambda route: held.append(route))  # noqa: PLW0108 - not a built-in
        with page.expect_request("**/vaults"):
            page.get_by_role("link", name="Vaults").click()
        page.get_by_role("link", name="Health").click()
        expect(page.get_by_role("heading", name="Health")).to_be_visible()
        held[0].continue_()
        page.get_by_role("link", name="Import").click()
        expect(page.get_by_role("heading", name="Import")).to_be_visible()
        assert page.url == f"http://localhost:{port}/import"
        page.go_back()
        expect(page.get_by_role("heading", name="Health")).to_be_visible()


def test_a_late_answer_to_a_search_does_not_replace_another_page(page: Page, folder: Path, annas):
    _item(folder, annas[1])
    with page_process(folder) as (port, _):
        sign_in(page, port)
        held: list[Route] = []
        page.route(re.compile(r"\?q=netf$"), lambda route: held.append(route))  # noqa: PLW0108 - not a built-in
        with page.expect_request(re.compile(r"\?q=netf$")):
            page.get_by_label("Search").fill("netf")
        page.get_by_role("link", name="Vaults").click()
        expect(page.get_by_role("heading", name="Vaults")).to_be_visible()
        with page.expect_response(re.compile(r"\?q=netf$")):
            held[0].continue_()
        page.get_by_role("link", name="Health").click()
        expect(page.get_by_role("heading", name="Health")).to_be_visible()
        assert page.url == f"http://localhost:{port}/health"


def test_a_change_elsewhere_closes_nothing_that_did_not_change(page: Page, folder: Path, annas):
    item = _item(folder, annas[1])
    with page_process(folder) as (port, _):
        sign_in(page, port)
        page.goto(f"http://localhost:{port}/items/{item}")
        page.get_by_role("button", name="Show Password").click()
        expect(page.locator("output").first).to_have_text(CANARY)
        with page.expect_response(f"http://localhost:{port}/items/{item}"):
            _item(folder, annas[1])  # another item
        expect(page.locator("output").first).to_have_text(CANARY)
        page.get_by_role("link", name="Items").click()
        expect(page.get_by_role("link", name="Netflix")).to_have_count(2)
        page.get_by_label("Search").fill("nothing")
        expect(page).to_have_url(f"http://localhost:{port}/?q=nothing")
        expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
        expect(page.get_by_label("Search")).to_be_focused()


def test_what_was_not_touched_is_not_sent_and_typing_puts_off_locking(page: Page, folder: Path, annas):
    item = _item(folder, annas[1])
    sent: list[tuple[str, str]] = []

    def note(asked: Any) -> None:
        if asked.method == "POST":
            sent.append((asked.url, asked.post_data or ""))

    page.on("request", note)
    with page_process(folder) as (port, _):
        base = f"http://localhost:{port}"
        sign_in(page, port)
        assert [url for url, _ in sent] == [f"{base}/unlock"]  # typing there keeps nobody's session
        page.goto(f"{base}/items/{item}/edit")
        with page.expect_response(f"{base}/here") as answer:
            page.get_by_label("Tags").press_sequentially("a, b")
        assert answer.value.status == 204
        page.get_by_label("Favourite").check()
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#toast")).to_have_text("Saved.")
        assert sent[-1] == (f"{base}/items/{item}", "tags=a%2C%20b&favorite=yes")
        assert [url for url, _ in sent].count(f"{base}/here") == 1
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="History").click(modifiers=["Shift"])
        expect(opened.value.get_by_role("heading", name="History")).to_be_visible()
        expect(page.get_by_role("heading", name="Netflix")).to_be_visible()


def _edit_and_look_back(page: Page) -> None:
    page.keyboard.press("e")
    password = page.get_by_label("Password", exact=True)
    expect(password).to_be_disabled()
    page.get_by_role("button", name="Change Password").click()
    expect(password).to_have_value(CANARY)
    password.fill(CANARY + "-2")
    page.get_by_label("Tags").fill("films, home")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".tag")).to_have_count(2)
    page.get_by_role("link", name="History").click()
    page.get_by_role("link", name="Password").click()
    expect(page.locator(".versions li")).to_have_count(2)
    page.get_by_role("button", name="Restore").click()
    expect(page.locator("#toast")).to_have_text("Restored.")
    page.get_by_role("button", name="Show Password").click()
    expect(page.locator("output").first).to_have_text(CANARY)


def _conflict_shows_by_itself(page: Page, data: Path) -> None:
    """Another process writes, with a second copy that had changed apart: the open page tells."""
    replica = open_replica(data)
    me = unlock(replica, SecretKeys(data), username=USERNAME, password=PASSWORD)
    vaults = Vaults(replica, me, random_bytes=secrets.token_bytes, clock=now)
    item = vaults.items(query="Netflix").items[0].item_id
    elsewhere(vaults, me, item, {"username": "there@example.org"}, {"username": "here@example.org"})
    expect(page.get_by_role("heading", name="User name: changed in two places")).to_be_visible()
    page.get_by_text("there@example.org").first.wait_for()
    side = page.locator(".side", has_text="there@example.org")
    side.get_by_role("button", name="Keep this one").click()
    expect(page.locator(".conflict")).to_have_count(0)
    assert vaults.item(item).fields["username"] == "there@example.org"
    assert not vaults.item(item).conflicts
    replica.close()


def _import(page: Page, base: str, tmp_path: Path) -> None:
    file = tmp_path / "accounts.csv"
    file.write_text(f"name,username,password\nBank,anna,{CANARY}\nLibrary,a-17,{CANARY}\n")
    page.goto(f"{base}/import")
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("Into the vault").select_option(label="Work")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="2 of 2 rows")).to_be_visible()
    page.get_by_role("link", name="See them").click()
    expect(page.locator(".rows li")).to_have_count(2)


def _lock_and_try_the_back_button(page: Page, base: str) -> None:
    page.get_by_role("link", name="Bank").click()
    expect(page.get_by_role("heading", name="Bank")).to_be_visible()
    page.get_by_role("button", name="Lock").click()
    expect(page.get_by_role("heading", name="Unlock")).to_be_visible()
    for _ in range(3):
        page.go_back()
        expect(page.get_by_role("heading", name="Unlock")).to_be_visible()
        assert "Bank" not in page.content()
    sign_in(page, int(base.rpartition(":")[2]))


# What others in the same browser may try


@contextmanager
def another_site(body: str = "") -> Iterator[tuple[int, list[str]]]:
    """A page on another port of localhost: (port, the Cookie headers it was sent)."""
    cookies: list[str] = []

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            cookies.append(self.headers.get("Cookie", ""))
            page = f"<!doctype html><title>other</title>{body}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, cookies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def contents(folder: Path) -> str:
    """What is stored, hashed."""
    replica = open_replica(folder)
    rows = replica.store.rows("SELECT hash FROM entries ORDER BY id")
    rows += replica.store.local("page-failures").items()
    replica.close()
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def test_another_port_gets_the_cookie_and_can_do_nothing_with_it(page: Page, folder: Path, annas):
    item = _item(folder, annas[1])
    with page_process(folder) as (port, _), another_site() as (other, cookies):
        sign_in(page, port)
        page.goto(f"http://localhost:{other}/")
        stolen = next(cookie for cookie in cookies if f"kinring-{port}=" in cookie)  # browsers give it away
        for path in ("/", f"/items/{item}", "/health", "/live"):
            status, text = _replay(port, path, stolen)
            assert status == 401
            assert "Netflix" not in text
        status, text = _replay(port, f"/items/{item}/secret", stolen, b"field=password")
        assert status == 401
        assert CANARY not in text


def _replay(port: int, path: str, cookie: str, body: bytes | None = None) -> tuple[int, str]:
    """A program that forges every header it likes."""
    headers = {"Cookie": cookie, "Origin": f"http://localhost:{port}", "Sec-Fetch-Site": "same-origin"}
    request = urllib.request.Request(f"http://localhost:{port}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - http, as built above
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _item(folder: Path, me: Unlocked) -> str:
    vaults = open_vaults(folder, me)
    vault = next(view.vault_id for view in vaults.vaults() if view.title == "Personal")
    item = vaults.create_item(vault, {"label": "Netflix", "username": "anna", "password": CANARY})
    vaults._replica.close()
    return item


TRICKS = """async ([base, item]) => {
  const seen = [];
  const form = new URLSearchParams({field: "password", username: "anna", password: "x"});
  const send = (path, options) => fetch(base + path, {credentials: "include", ...options}).then(
    (answer) => seen.push([path, answer.type]), () => seen.push([path, "failed"]));
  await send(`/items/${item}/delete`, {method: "POST", mode: "no-cors", body: "a=1"});
  await send("/unlock", {method: "POST", mode: "no-cors", body: form});
  await send("/lock", {method: "POST", mode: "no-cors"});
  await send(`/items/${item}/secret`, {method: "POST", body: form});
  await send("/", {headers: {"X-Kinring-Token": "00"}});
  await send("/", {});
  await send("/live", {});
  navigator.sendBeacon(base + "/lock", "x");
  const load = (tag, path) => new Promise((done) => {
    const element = document.createElement(tag);
    element.onerror = done;
    element.onload = () => { seen.push([path, "loaded"]); done(); };
    element.src = base + path;
    document.head.append(element);
  });
  await load("img", `/items/${item}/delete`);
  await load("img", "/static/icon.svg");
  await load("script", "/static/app.js");
  return seen;
}"""


def test_another_page_can_neither_act_nor_look(page: Page, context: BrowserContext, folder: Path, annas):
    item = _item(folder, annas[1])
    with page_process(folder) as (port, _), another_site() as (other, _):
        base = f"http://localhost:{port}"
        sign_in(page, port)
        before = contents(folder)
        stranger = context.new_page()
        stranger.goto(f"http://localhost:{other}/")
        seen = stranger.evaluate(TRICKS, [base, item])
        assert all(kind in ("opaque", "failed") for _, kind in seen), seen
        # A form sends the whole page away: to a refusal.
        stranger.goto(f"http://localhost:{other}/")
        stranger.set_content(
            f'<form method="post" action="{base}/items/{item}/delete"><button>go</button></form>'
        )
        with stranger.expect_response(f"{base}/items/{item}/delete") as answer:
            stranger.get_by_role("button").click()
        assert answer.value.status == 403
        assert contents(folder) == before
        page.reload()
        expect(page.get_by_role("link", name="Netflix")).to_be_visible()  # still signed in


FRAME = """async (base) => {
  const frame = document.createElement("iframe");
  document.body.append(frame);
  await new Promise((done) => {
    frame.onload = frame.onerror = done;
    frame.src = base + "/";
    setTimeout(done, 3000);
  });
  try { return frame.contentDocument?.body.innerText ?? "" } catch { return "" }
}"""
PEEK = "() => { try { return window.other.document.body.innerText } catch { return '' } }"


def test_a_page_that_frames_or_opens_us_learns_nothing(page: Page, context: BrowserContext, folder: Path):
    with page_process(folder) as (port, _), another_site() as (other, _):
        base = f"http://localhost:{port}"
        sign_in(page, port)
        stranger = context.new_page()
        stranger.goto(f"http://localhost:{other}/")
        framed = stranger.evaluate(FRAME, base)
        assert "Items" not in framed
        assert "Unlock" not in framed
        with context.expect_page() as opened:
            stranger.evaluate("(base) => { window.other = window.open(base + '/'); }", base)
        opened.value.wait_for_load_state()
        assert "Items" not in opened.value.content()
        assert stranger.evaluate(PEEK) == ""


def test_a_name_that_was_made_to_point_here_gets_no_page(page: Page, folder: Path):
    with page_process(folder) as (port, _):
        answer = page.goto(f"http://evil.example:{port}/unlock")
        assert answer
        assert answer.status == 421
        assert "Unlock" not in page.content()


def test_idle_tabs_are_locked_by_the_server(page: Page, folder: Path):
    """The stream ends with the process; the page notices and forgets what it showed."""
    with page_process(folder) as (port, _):
        sign_in(page, port)
        second = page.context.new_page()
        second.goto(f"http://localhost:{port}/health")
        expect(second.get_by_role("heading", name="Health")).to_be_visible()
        second.get_by_role("button", name="Lock").click()
        expect(page.get_by_role("heading", name="Unlock")).to_be_visible()

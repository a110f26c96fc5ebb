"""The page in a real browser: a family to show, the page's process, Chromium; and a picture of every page.

python -m tests.e2e.pages FOLDER        every page at three widths in two themes, as PNG files
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from node.family import NewPerson, found
from node.folders import runtime_folder
from node.housekeeping import COPY_DIFFERS
from node.identity import load_or_create
from node.keyholder import Unlocked
from node.opening import open_replica
from node.secret_keys import SecretKeys
from node.vault import Vaults
from replication.alarms import TWO_PLACES
from replication.replica import Replica
from replication.session import SyncSession

ROOT = Path(__file__).resolve().parent.parent.parent
USERNAME, PASSWORD = "anna", "velvet-harbour-nickel-owl"
CANARY = "cAnArY-7f3e-secret"
FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-domain-reliability",
    "--no-default-browser-check",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--host-resolver-rules=MAP evil.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = {"phone": (360, 740), "tablet": (768, 1024), "desk": (1280, 860)}


def now() -> int:
    return int(time.time() * 1000)


def found_family(folder: Path) -> Unlocked:
    """Anna's family of one device, with nothing in it. Pays one Argon2."""
    os.environ["KINRING_KEYRING"] = "file"
    replica = open_replica(folder)
    admitted = found(
        replica,
        load_or_create(folder, secrets.token_bytes),
        SecretKeys(folder),
        NewPerson(USERNAME, PASSWORD, "Anna"),
        device_name="Anna’s laptop",
        random_bytes=secrets.token_bytes,
        now=now(),
    )
    replica.close()
    return admitted.unlocked


def open_vaults(folder: Path, unlocked: Unlocked) -> Vaults:
    """A second process's view of the same folder."""
    return Vaults(open_replica(folder), unlocked, random_bytes=secrets.token_bytes, clock=now)


def sync(left: Replica, right: Replica) -> None:
    """Let two copies meet until neither has anything to say."""
    sessions = SyncSession(left, now()), SyncSession(right, now())
    while True:
        said = [session.messages_to_send(now()) for session in sessions]
        if not any(said):
            return
        for messages, hearer in zip(said, reversed(sessions), strict=True):
            for message in messages:
                hearer.receive_message(message, now())


@contextmanager
def page_process(folder: Path, *, port: int = 0, log: Path | None = None) -> Iterator[tuple[int, int]]:
    """(port, pid) of a running page of this folder. It is stopped when the block ends."""
    told = runtime_folder(folder) / "page.json"
    command = [sys.executable, "-m", "webui.start", "--data-dir", str(folder), "--http-port", str(port)]
    output = log.open("ab") if log else subprocess.DEVNULL
    child = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while not told.exists():
            assert child.poll() is None, "the page did not start"
            assert time.monotonic() < deadline, "the page does not start"
            time.sleep(0.02)
        yield json.loads(told.read_bytes())["port"], child.pid
    finally:
        child.terminate()
        child.wait(10)
        if not isinstance(output, int):
            output.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    path = next(
        found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: Page, port: int) -> None:
    page.goto(f"http://localhost:{port}/")
    page.get_by_label("Master password").fill(PASSWORD)
    page.get_by_role("button", name="Unlock").click()
    page.get_by_role("heading", name="Items").wait_for()


def furnish(folder: Path, unlocked: Unlocked) -> dict[str, str]:
    """Items as a family has them, one of them changed in two places; ids by name."""
    from node.samples import rows

    vaults = open_vaults(folder, unlocked)
    by_title = {view.title: view.vault_id for view in vaults.vaults()}
    ids = {}
    for label, site, user in (
        ("Netflix", "https://www.netflix.com", "anna@example.org"),
        ("Stadtbibliothek", "https://bib.example.org/login", "A-20117"),
        ("Water works", "https://portal.water.example", "4711-22"),
        ("Grandma’s alarm", "", "keypad at the door"),
    ):
        ids[label] = vaults.create_item(
            by_title["Personal"],
            {
                "label": label,
                "username": user,
                "website_url": site,
                "password": CANARY + label,
                "tags": ["home", "bills"],
                "notes": f"{CANARY} ask Ben",
                "favorite": label == "Netflix",
                "form_fields": {"Customer number": CANARY + "17"},
                "category": "Household",
                "email": "anna@example.org",
            },
        )
    vaults.import_items(by_title["Work"], rows(1, 130))
    vaults.update_item(ids["Netflix"], {"password": CANARY + "second", "username": "anna.k@example.org"})
    gone = vaults.create_item(by_title["Personal"], {"label": "Old forum", "username": "annak"})
    vaults.delete_item(gone)
    elsewhere(
        vaults,
        unlocked,
        ids["Water works"],
        {"username": "4711-23", "password": CANARY + "there"},
        {"username": "4711-99", "password": CANARY + "here"},
    )
    _odd_days(vaults, unlocked, by_title["Personal"], ids)
    vaults._replica.close()
    return ids


def _odd_days(vaults: Vaults, unlocked: Unlocked, vault: str, ids: dict[str, str]) -> None:
    """What a family sees seldom: a part of an emptied item, a value that is missing, one that is gone, alarms."""
    replica = vaults._replica
    for number in range(len(WIDTHS) * len(THEMES)):
        ids[f"Gone {number}"] = vaults.create_item(vault, {"label": "Old router", "password": CANARY})
    for label in ("Allotment", "Tax portal", "Chess club"):
        ids[label] = vaults.create_item(vault, {"label": label, "username": "anna", "password": CANARY, "notes": "x"})
    with apart(vaults, unlocked) as other:
        other.update_item(ids["Allotment"], {"password": CANARY + "new"})
        vaults.erase(ids["Allotment"])
    for user in ("anna.k", "anna.m"):
        vaults.update_item(ids["Chess club"], {"username": user})
    vaults.purge_history(ids["Chess club"])
    lose(replica, [op for purge in replica.state().purges[-1:] for dot in purge.items if (op := replica.op_of(dot))])
    vaults.update_item(ids["Tax portal"], {"username": "a.k.1977"})
    lose(replica, [replica.store.one("SELECT max(id) FROM ops")[0]])
    state = replica.state()
    replica.raise_alarm(TWO_PLACES, next(iter(state.devices)), "", b"1", now())
    replica.raise_alarm(COPY_DIFFERS, next(iter(state.keyholders)), f"in vault {vault}", b"2", now())
    vaults.delete_vault(vaults.create_vault("Old boat"))


def lose(replica: Replica, ops: list[int]) -> None:
    """Values that are not on this device: purged long ago, or kept back by who handed them on."""
    with replica.store.write():
        for op in ops:
            (sealed,) = replica.store.one("SELECT sealed FROM ops WHERE id = ?", (op,))
            replica.store.run("INSERT INTO missing VALUES (?, ?)", (op, hashlib.sha256(sealed).digest()))
            replica.store.run("UPDATE ops SET sealed = x'' WHERE id = ?", (op,))


def elsewhere(
    vaults: Vaults, unlocked: Unlocked, item_id: str, there: dict[str, str], here: dict[str, str]
) -> None:
    """Two copies change one item apart, and meet afterwards."""
    with apart(vaults, unlocked) as other:
        other.update_item(item_id, there)
        vaults.update_item(item_id, here)


@contextmanager
def apart(vaults: Vaults, unlocked: Unlocked) -> Iterator[Vaults]:
    """Another copy of the same person's, which meets `vaults` again when the block ends."""
    mine = vaults._replica
    with tempfile.TemporaryDirectory() as folder:
        other = Replica.open(f"{folder}/other.db", random_bytes=secrets.token_bytes)
        assert mine.family
        other.adopt(mine.family)
        sync(mine, other)
        yield Vaults(other, unlocked, random_bytes=secrets.token_bytes, clock=now)
        sync(mine, other)
        other.close()


def shoot(page: Page, port: int, ids: dict[str, str], folder: Path, name: str) -> None:
    """A picture of every page, in the browser's present width and theme."""
    base = f"http://localhost:{port}"

    def picture(title: str) -> None:
        page.mouse.move(0, 0)
        size = page.viewport_size
        assert size
        if title != "items":  # the whole page as if the screen were that tall: bars stay at its edges
            tall = page.evaluate("document.documentElement.scrollHeight")
            page.set_viewport_size({"width": size["width"], "height": max(size["height"], tall)})
        page.wait_for_timeout(80)
        page.screenshot(path=folder / f"{title}-{name}.png")
        page.set_viewport_size(size)

    page.goto(f"{base}/unlock")
    picture("unlock")
    sign_in(page, port)
    picture("items")
    for title, path in (
        ("search", "/?q=net"),
        ("conflicts", "/?only=conflicts"),
        ("item", f"/items/{ids['Netflix']}"),
        ("conflict", f"/items/{ids['Water works']}"),
        ("edit", f"/items/{ids['Netflix']}/edit"),
        ("new", "/items/new"),
        ("history", f"/items/{ids['Netflix']}/history"),
        ("stub", f"/items/{ids['Allotment']}"),
        ("wanted", f"/items/{ids['Tax portal']}"),
        ("purged", f"/items/{ids['Chess club']}/history"),
        ("bin", "/bin"),
        ("vaults", "/vaults"),
        ("import", "/import"),
        ("devices", "/devices"),
        ("health", "/health"),
        ("empty", "/?q=nothing+like+it"),
        ("error", "/nowhere"),
    ):
        page.goto(base + path)
        page.locator("#page:not([data-frame]) main").wait_for()
        for folded in page.locator("details.destroy summary").all():
            folded.click()
        picture(title)
    # What was destroyed, at the end: every width and theme finds one item less.
    page.goto(f"{base}/items/{ids.pop(next(label for label in ids if label.startswith('Gone')))}")
    page.get_by_text("Destroy for good…").click()
    page.get_by_label("Type yes").fill("yes")
    page.get_by_role("button", name="Destroy it").click()
    page.get_by_role("heading", name="Destroyed").wait_for()
    picture("destroyed")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, chromium() as browser:
        data, empty = Path(home) / "data", Path(home) / "empty"
        for made in (data, empty):
            made.mkdir(mode=0o700)
        ids = furnish(data, found_family(data))
        with page_process(data) as (port, _), page_process(empty) as (first, _):
            for size, (width, height) in WIDTHS.items():
                for theme in THEMES:
                    context = browser.new_context(
                        viewport={"width": width, "height": height}, color_scheme=theme
                    )
                    page = context.new_page()
                    for title in ("welcome", "join"):
                        page.goto(f"http://localhost:{first}/{title}")
                        page.screenshot(path=folder / f"{title}-{size}-{theme}.png", full_page=True)
                    shoot(page, port, ids, folder, f"{size}-{theme}")
                    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

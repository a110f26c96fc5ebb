"""A second device joins by the page on both sides: invitation, six digits, master password."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Template
from tests.e2e.family import NAME, PASSWORD, Device, Home
from tests.e2e.pages import chromium, page_process

pytestmark = pytest.mark.needs("chromium")
SOON = 20_000
"""Milliseconds; the pages ask once a second."""


def _unlock(page: Page, port: int) -> None:
    page.goto(f"http://localhost:{port}/unlock")
    page.get_by_label("User name").fill(NAME)
    page.get_by_label("Master password").fill(PASSWORD)
    page.get_by_role("button", name="Unlock").click()
    expect(page.get_by_role("heading", name="Items")).to_be_visible()


def _invitation(page: Page) -> str:
    page.get_by_role("link", name="Devices").click()
    page.get_by_role("button", name="Add a device").click()
    expect(page.get_by_alt_text("QR code")).to_be_visible(timeout=SOON)
    text = page.locator("code.invitation").text_content()
    assert text
    return text


def _join(page: Page, port: int, text: str) -> str:
    """The digits that the new device shows."""
    page.goto(f"http://localhost:{port}/")
    page.get_by_role("link", name="I have an invitation").click()
    page.get_by_label("Invitation").fill(text)
    page.get_by_label("Name of this device").fill("Anna's desktop")
    page.get_by_role("button", name="Join").click()
    expect(page.locator("p.digits")).to_be_visible(timeout=SOON)
    return (page.locator("p.digits").text_content() or "").replace(" ", "")


def test_two_pages_bring_a_device_into_the_family(home: Home, laptop: Device, founded: Template):
    item = laptop.save(label="Library", username="anna", password="shelf-3-canary")
    new = home.device("desktop", laptop.person)
    laptop.up()
    new.up()
    with (
        chromium() as browser,
        page_process(laptop.folder) as (old_port, _),
        page_process(new.folder) as (port, _),
    ):
        old_page, new_page = browser.new_page(), browser.new_context().new_page()
        _unlock(old_page, old_port)
        digits = _join(new_page, port, _invitation(old_page))
        expect(old_page.get_by_text("Anna's desktop")).to_be_visible(timeout=SOON)
        old_page.get_by_label("Six digits").fill(f"{digits[:3]} {digits[3:]}")
        old_page.get_by_role("button", name="Let it in").click()
        new_page.get_by_label("Master password").fill("not the right one", timeout=SOON)
        new_page.get_by_role("button", name="Go on").click()
        expect(new_page.get_by_text("That was not the master password")).to_be_visible(timeout=SOON)
        new_page.get_by_label("Master password").fill(PASSWORD)
        new_page.get_by_role("button", name="Go on").click()
        new_page.get_by_role("button", name="Open Kinring").click(timeout=SOON)
        expect(new_page.get_by_role("link", name="Library")).to_be_visible(timeout=SOON)
        new_page.get_by_role("link", name="Library").click()
        new_page.get_by_role("button", name="Show Password").click()
        expect(new_page.locator("output").first).to_have_text("shelf-3-canary")
        expect(old_page.get_by_text("belongs to the family now")).to_be_visible(timeout=SOON)
        old_page.get_by_role("link", name="Devices").first.click()
        expect(old_page.locator("#devices li")).to_have_count(2)
        laptop.open().update_item(
            item, {"username": "anna-2"}
        )  # another process saves: the other device's page tells
        expect(new_page.get_by_text("anna-2")).to_be_visible(timeout=SOON)


def test_wrong_digits_admit_nobody(home: Home, laptop: Device):
    new = home.device("desktop", laptop.person)
    laptop.up()
    new.up()
    with (
        chromium() as browser,
        page_process(laptop.folder) as (old_port, _),
        page_process(new.folder) as (port, _),
    ):
        old_page, new_page = browser.new_page(), browser.new_context().new_page()
        _unlock(old_page, old_port)
        digits = _join(new_page, port, _invitation(old_page))
        wrong = f"{(int(digits) + 1) % 1_000_000:06}"
        old_page.get_by_label("Six digits").fill(wrong, timeout=SOON)
        old_page.get_by_role("button", name="Let it in").click()
        expect(old_page.get_by_text("the digits were wrong")).to_be_visible(timeout=SOON)
        expect(new_page.get_by_text("The pairing failed")).to_be_visible(timeout=SOON)
        assert new.replica.family is None
        assert len(laptop.replica.state().devices) == 1

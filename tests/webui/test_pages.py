"""What the pages show and do: items, history, conflicts, the bin, import, devices, health."""

from __future__ import annotations

import logging
import re
import threading

import pytest

from node.daemon import SEEN
from replication.encoding import encode
from replication.membership import FULL
from tests.e2e.pages import CANARY, elsewhere
from tests.webui.conftest import ORIGIN
from webui import devices
from webui.live import MAX_STREAMS

HOSTILE = {
    "label": "<img src=x onerror=alert(1)>",
    "username": "a\u202eb<script>",
    "website_url": "javascript:alert(1)",
    "category": '"><svg onload=alert(1)>',
    "description": "{{ 7*7 }}",
    "tags": ["<b>", 'x" autofocus onfocus="1'],
    "form_fields": {"<i>pin</i>": CANARY},
    "email": "=cmd|' /C calc'!A0",
}


def one(vaults, personal, **fields) -> str:
    return vaults.create_item(personal, {"label": "Netflix", "password": CANARY, **fields})


def test_no_secret_is_in_any_page_or_log(anna, vaults, personal, caplog):
    caplog.set_level(logging.DEBUG)
    item = one(vaults, personal, notes=CANARY, otp=CANARY, form_fields={"pin": CANARY})
    vaults.update_item(item, {"password": CANARY + "2"})
    for path in (
        "/",
        "/?q=netflix",
        f"/items/{item}",
        f"/items/{item}/edit",
        f"/items/{item}/history",
        "/health",
        "/vaults",
    ):
        answer = anna.get(path)
        assert answer.status_code == 200, path
        assert CANARY not in answer.text, path
    assert anna.get(f"/?q={CANARY}").text.count("Netflix") == 0
    assert CANARY not in caplog.text


def test_a_secret_comes_by_post_and_is_kept_nowhere(anna, vaults, personal):
    item = one(vaults, personal, form_fields={"pin": CANARY + "17"})
    answer = anna.post(f"/items/{item}/secret", {"field": "password"})
    assert answer.json == {"value": CANARY}
    assert answer.headers["Cache-Control"] == "no-store"
    assert anna.post(f"/items/{item}/secret", {"field": "form_fields.pin"}).json == {"value": CANARY + "17"}
    assert anna.get(f"/items/{item}/secret").status_code == 405
    for field in ("otp", "form_fields.nothing", "form_fields", "", "__class__"):
        assert anna.post(f"/items/{item}/secret", {"field": field}).status_code == 404, field


def test_hostile_content_is_text_and_nothing_else(anna, vaults, personal):
    item = vaults.create_item(personal, HOSTILE)
    for path in ("/", f"/items/{item}", f"/items/{item}/edit", f"/items/{item}/history", "/vaults"):
        page = anna.get(path).text
        assert not re.search(r"<(img src=x|script>|svg onload|b>|i>pin)", page), path
        assert "javascript:alert" not in "".join(re.findall(r'(?:href|src|action)="[^"]*"', page)), path
        assert 'onfocus="1' not in page, path
        assert ">49<" not in page, path
        # Only where it is a value to copy or to edit does it stay as it is.
        page = re.sub(r'(data-copy-text|value)="[^"]*"', "", page)
        assert "\u202e" not in page, path
    assert "a[U+202E]b&lt;script&gt;" in anna.get(f"/items/{item}").text


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:text/html,x",
        "//evil.example",
        "ftp://x.example",
        "http://",
        " https://x.example",
        "https://x.example/\u202ecod",
        "vbscript:x",
        "HTTPS:alert",
        "https://[",
        "x",
        "",
    ],
)
def test_only_plain_web_addresses_are_links(anna, vaults, personal, address):
    item = one(vaults, personal, website_url=address)
    assert 'target="_blank"' not in anna.get(f"/items/{item}").text


def test_a_web_address_opens_without_telling_where_from(anna, vaults, personal):
    item = one(vaults, personal, website_url="https://www.netflix.com/login?x=1&y=2")
    link = (
        'href="https://www.netflix.com/login?x=1&amp;y=2" target="_blank" rel="noopener noreferrer nofollow"'
    )
    assert link in anna.get(f"/items/{item}").text


def test_a_new_item_and_a_change_of_one_field(anna, vaults, personal):
    made = anna.post(
        "/items",
        {
            "vault": personal,
            "label": "Bank",
            "password": " two words ",
            "tags": "a, b,,a",
            "favorite": "yes",
            "custom-name": ["PIN", "", "Old"],
            "custom-value": ["1", "2", ""],
        },
    )
    assert made.status_code == 303
    item = re.fullmatch(r"/items/([0-9a-f]{32})\?said=created", made.location)
    assert item
    shown = vaults.item(item[1])
    assert shown.fields["password"] == " two words "
    assert shown.fields["favorite"] is True
    assert shown.tags == ["a", "b"]
    assert shown.form_fields == {"PIN": "1"}
    before = shown.version
    assert (
        anna.post(
            f"/items/{item[1]}", {"username": "anna", "favorite": "no", "form_fields.PIN": ""}
        ).status_code
        == 303
    )
    shown = vaults.item(item[1])
    assert shown.version == before + 3
    assert (shown.fields["username"], shown.fields["password"], shown.form_fields) == (
        "anna",
        " two words ",
        {},
    )
    assert not shown.fields["favorite"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "x" * 300},
        {"renew_interval_days": "soon"},
        {"renew_interval_days": "99999"},
        {"kind": "Hostile"},
        {"vault": "zz"},
        {"vault": "00" * 16},
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_written(anna, vaults, personal, wrong):
    before = vaults._replica.last_id()
    answer = anna.post("/items", {"vault": personal, "label": "x", **wrong})
    assert answer.status_code in (400, 404)
    assert 'class="told"' in answer.text
    assert vaults._replica.last_id() == before


def test_nothing_changes_by_looking(anna, vaults, personal, desk):
    item = one(vaults, personal)
    before = vaults._replica.last_id()
    for rule in anna.client.application.url_map.iter_rules():
        if "GET" in rule.methods and rule.endpoint != "live":
            path = (
                rule.rule.replace("<item_id>", item)
                .replace("<path:name>", "app.css")
                .replace("<vault_id>", personal)
            )
            assert anna.get(path).status_code in (200, 303, 404), path
    assert vaults._replica.last_id() == before
    assert not desk.locked.is_set()


def test_the_bin_and_back(anna, vaults, personal):
    item = one(vaults, personal)
    assert anna.post(f"/items/{item}/delete").location == "/?said=deleted"
    assert "Netflix" not in anna.get("/").text
    assert "Netflix" in anna.get("/bin").text
    assert anna.post(f"/items/{item}/restore").status_code == 303
    assert "Netflix" in anna.get("/").text


def test_history_tells_who_and_restores(anna, vaults, personal):
    item = one(vaults, personal, username="first")
    vaults.update_item(item, {"username": "second"})
    page = anna.get(f"/items/{item}/history?field=username").text
    assert "Anna" in page
    assert "Anna’s laptop" in page
    old = next(version for version in vaults.history(item, "username") if not version.current)
    assert anna.post(f"/items/{item}/history", {"field": "username", "dot": old.dot}).status_code == 303
    assert vaults.item(item).fields["username"] == "first"
    secret = anna.post(f"/items/{item}/secret", {"field": "username", "dot": old.dot})
    assert secret.json == {"value": "first"}
    assert anna.post(f"/items/{item}/history", {"field": "username", "dot": "00" * 18}).status_code == 404


def test_a_conflict_is_shown_with_both_values_and_settled(anna, vaults, personal, family):
    item = one(vaults, personal, username="before")
    elsewhere(
        vaults,
        family[1],
        item,
        {"username": "there", "password": "p-there"},
        {"username": "here", "password": "p-here"},
    )
    page = anna.get(f"/items/{item}").text
    assert "User name: changed in two places" in page
    assert ">there<" in page
    assert ">here<" in page
    assert "p-there" not in page
    assert "two values" in anna.get("/?only=conflicts").text
    sides = {side.value: side.dot for side in vaults.item(item).conflicts["password"]}
    for value, dot in sides.items():
        assert anna.post(f"/items/{item}/secret", {"field": "password", "dot": dot}).json == {"value": value}
    assert (
        anna.post(f"/items/{item}/settle", {"field": "password", "dot": sides["p-there"]}).status_code == 303
    )
    assert vaults.item(item).fields["password"] == "p-there"
    assert list(vaults.item(item).conflicts) == ["username"]
    assert (
        anna.post(f"/items/{item}/settle", {"field": "password", "dot": sides["p-there"]}).status_code == 409
    )
    anna.post(f"/items/{item}", {"username": "a third"})
    assert vaults.item(item).conflicts == {}


def test_fifty_items_a_page(anna, vaults, personal):
    vaults.import_items(personal, [{"label": f"Item {number:03}"} for number in range(120)])
    first, last = anna.get("/").text, anna.get("/?page=3").text
    assert first.count('class="row"') == 50
    assert "Item 000" in first
    assert last.count('class="row"') == 20
    assert "120 items" in last
    assert anna.get("/?q=item+11").text.count('class="row"') == 10
    assert anna.get("/?page=99").status_code == 200
    assert anna.get("/?page=x").status_code == 200


def upload(vault: str, data: bytes) -> tuple[bytes, str]:
    """A form as a browser sends it; the test client would use a file of its own."""
    parts = (b'name="vault"\r\n\r\n' + vault.encode(), b'name="file"; filename="accounts.csv"\r\n\r\n' + data)
    body = (
        b"".join(b"--edge\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
        + b"--edge--\r\n"
    )
    return body, "multipart/form-data; boundary=edge"


def send(anna, vault: str, data: bytes):
    body, kind = upload(vault, data)
    headers = {"Origin": ORIGIN, "X-Kinring-Token": anna.token}
    return anna.client.post("/import", data=body, content_type=kind, headers=headers, base_url=ORIGIN)


def test_import_reports_what_it_left_out_and_leaves_no_file(anna, vaults, personal, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))  # a spooled upload would fail here
    rows = [f"Account {number},user{number},{CANARY}{number},{'x' * 600}" for number in range(2000)]
    long = f"Too long,user,{'p' * 40_000},"
    data = "\n".join(["name,username,password,note", *rows, long]).encode()
    assert len(data) > 1 << 20
    answer = send(anna, personal, data)
    assert answer.status_code == 200, answer.text
    assert "2000 of 2001 rows" in answer.text
    assert "Line 2002" in answer.text
    assert CANARY not in answer.text
    assert vaults.items(personal).total == 2000
    assert "2000 were there already" in send(anna, personal, data).text
    for bad in (b"\xff\xfe\x00", b""):
        assert send(anna, personal, bad).status_code == 400
    assert anna.post("/import", {"vault": personal}).status_code == 400


def test_a_form_larger_than_a_mebibyte_is_refused(anna, personal):
    answer = anna.post("/items", {"vault": personal, "label": "x", "notes": "n" * (1 << 20)})
    assert answer.status_code == 413
    assert "too large" in answer.text


def test_vaults_are_made_renamed_and_brought_back(anna, vaults):
    assert anna.post("/vaults", {"title": "School", "kind": "Notes"}).status_code == 303
    assert anna.post("/vaults", {"title": "School"}).status_code == 409
    school = next(view.vault_id for view in vaults.vaults() if view.title == "School")
    assert anna.post(f"/vaults/{school}", {"title": "College"}).status_code == 303
    assert "College" in anna.get("/vaults").text
    anna.post(f"/vaults/{school}/delete")
    assert school not in [view.vault_id for view in vaults.vaults()]
    anna.post(f"/vaults/{school}/restore")
    assert school in [view.vault_id for view in vaults.vaults()]


def test_devices_by_name_with_this_one_marked(anna, desk):
    page = anna.get("/devices").text
    assert "Anna’s laptop" in page
    assert "this one" in page
    assert devices.SEEN == SEEN
    device = next(iter(desk.replica.state().devices))
    desk.replica.store.set_local(SEEN, device, encode(1_700_000_000_000))
    assert desk.replica.state().devices[device].role == FULL
    assert anna.get("/devices").status_code == 200


def test_without_a_node_an_invitation_says_what_to_do(anna, desk):
    assert anna.get("/devices/invitation").status_code == 404
    assert anna.post("/devices/invite").location == "/devices/invitation"
    next(iter(desk.showing.values())).join(10)
    page = anna.get("/devices/invitation").text
    assert "The node is not running" in page
    assert "kinring up" in page


def test_health_counts(anna, vaults, personal):
    one(vaults, personal)
    page = anna.get("/health").text
    assert "<b>1</b><span>items</span>" in page
    assert "every entry here has effect" in page


def test_open_pages_hear_of_a_change_and_never_of_what(anna, desk, vaults, personal):
    answer = anna.get("/live")
    assert answer.content_type == "text/event-stream"
    parts = answer.response
    assert next(parts) == b": open\n\n"
    heard: list[bytes] = []
    listener = threading.Thread(target=lambda: heard.append(next(parts)))
    listener.start()
    desk.look()
    one(vaults, personal)
    desk.look()
    listener.join(10)
    assert heard == [b"event: changed\ndata: 1\n\n"]
    desk.live.close()
    answer.close()


def test_the_places_for_listeners_are_few_and_are_given_back(anna, desk):
    answers = [anna.get("/live") for _ in range(MAX_STREAMS)]
    assert anna.get("/live").status_code == 503
    desk.live.close()
    for answer in answers:
        answer.close()
    assert not desk.live.heard


def test_the_first_run_founds_a_family(empty, runtime):
    from tests.webui.conftest import Visitor
    from webui import create_app
    from webui.desk import Desk

    desk = Desk(empty, runtime)
    try:
        visitor = Visitor(create_app(desk, port=8080))
        assert visitor.get("/unlock").location == "/welcome"
        assert "Found a family" in visitor.get("/welcome").text
        weak = visitor.post(
            "/found", {"username": "ben", "password": "password1234", "again": "password1234"}
        )
        assert weak.status_code == 400
        assert "too weak" in weak.text
        differ = visitor.post("/found", {"username": "ben", "password": "a", "again": "b"})
        assert "differ" in differ.text
        secret = "orbit-lantern-walnut-quilt"
        kit = visitor.post("/found", {"username": "ben", "name": "Ben", "password": secret, "again": secret})
        assert kit.status_code == 200
        assert "Recovery code" in kit.text
        assert "Family recovery key" in kit.text
        assert visitor.get("/").status_code == 200
        assert visitor.get("/welcome").location == "/unlock"
        assert (
            visitor.post("/found", {"username": "eve", "password": secret, "again": secret}).status_code
            == 409
        )
    finally:
        desk.close()

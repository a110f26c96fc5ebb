"""The page's own documentation, and what it promises about size."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from flask import Flask

from webui.app import STATIC
from webui.unlock import OPEN

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = (ROOT / "docs" / "page.md").read_text()


def test_every_route_is_in_the_docs_and_no_other(app: Flask):
    rows = re.findall(r"^\| (GET|POST) \| `([^`]+)` \| (.*) \|$", DOCS, re.MULTILINE)
    routes = {
        (method, rule.rule): rule.endpoint
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST"}
    }
    assert sorted((method, path) for method, path, _ in rows) == sorted(routes)
    said_open = {(method, path) for method, path, text in rows if "*open*" in text}
    assert said_open == {place for place, endpoint in routes.items() if endpoint in (*OPEN, "static")}


def test_nothing_is_inline_and_the_script_stays_small():
    for template in (ROOT / "webui" / "templates").glob("*.html"):
        text = template.read_text()
        assert not re.search(
            r"<style|\sstyle=|\son\w+=\"|<script(?! type=\"module\" src=\"/static/)", text
        ), template.name
        assert "|safe" not in text.replace("| ", "|"), template.name
        assert "autoescape" not in text, template.name
    script = (ROOT / "webui" / "static" / "app.js").read_text()
    assert script.count("\n") <= 275
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)


def test_the_library_is_the_one_that_is_recorded():
    static = ROOT / "webui" / "static"
    rows = re.findall(
        r"^\| (\S+) \| .* \| (\S+) \| 0BSD \| ([0-9a-f]{64}) \|$", (static / "VENDORED.md").read_text(), re.MULTILINE
    )
    there = [f"vendor/{path.name}" for path in (static / "vendor").iterdir()]
    assert [name for name, _, _ in rows] == there
    for name, version, recorded in rows:
        assert hashlib.sha256((static / name).read_bytes()).hexdigest() == recorded
        assert version in name
        assert f"/static/{name}" in (ROOT / "webui" / "templates" / "base.html").read_text()
        assert name in STATIC
        for page in ("third-party.md", "dependencies.md", "page.md"):
            assert version in (ROOT / "docs" / page).read_text(), page


def test_the_library_is_told_to_evaluate_nothing_and_to_keep_nothing(stranger):
    found = re.search(r"<meta name=\"htmx-config\" content='([^']+)'>", stranger.get("/unlock").text)
    assert found
    told = json.loads(found[1])
    for name in ("allowEval", "allowScriptTags", "includeIndicatorStyles"):
        assert told[name] is False
    assert told["selfRequestsOnly"] is True
    assert told["historyCacheSize"] == 0
    for template in (ROOT / "webui" / "templates").glob("*.html"):
        assert not re.search(r"hx-(on|vals|vars|headers|ext|history-elt)|js:", template.read_text()), template.name


def test_every_form_can_tell_what_went_wrong():
    """A form that a person types into keeps what they typed, and has a place for the reason."""
    for template in (ROOT / "webui" / "templates").glob("*.html"):
        for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", template.read_text(), re.DOTALL):
            if re.search(r"\{\{ (input|masters)\(|<input(?! type=\"hidden\")|<textarea|<select", form):
                assert "{{ alert() }}" in form, (template.name, form[:80])


def test_every_input_has_a_label(anna, vaults, personal):
    item = vaults.create_item(personal, {"label": "x", "form_fields": {"pin": "1"}})
    for path in (
        "/",
        "/items/new",
        f"/items/{item}/edit",
        "/vaults",
        "/import",
        "/health",
        "/welcome",
        "/unlock",
        "/join",
    ):
        page = anna.get(path).text
        labelled = set(re.findall(r'<label[^>]* for="([^"]+)"', page))
        inside = "".join(re.findall(r"<label(?![^>]* for=).*?</label>", page, re.DOTALL))
        for control in re.findall(r"<(?:input|select|textarea)\b[^>]*>", page):
            if 'type="hidden"' in control or control in inside:
                continue
            name = re.search(r'id="([^"]+)"', control)
            assert name, (path, control)
            assert name[1] in labelled, (path, control)

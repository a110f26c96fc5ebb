"""Who may ask at all: names, origins, methods; and the headers of every answer."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.webui.conftest import ORIGIN, PORT, Visitor
from webui.guard import HEADERS, POLICY, check


def request(
    method: str = "GET", host: str = f"localhost:{PORT}", path: str = "/", **headers: str
) -> dict[str, str]:
    return {
        "REQUEST_METHOD": method,
        "HTTP_HOST": host,
        "PATH_INFO": path,
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }


OURS = {"origin": ORIGIN, "sec_fetch_site": "same-origin"}


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "localhost:8081",
        "localhost:8080.",
        "LOCALHOST:8080",
        "evil.example:8080",
        "localhost:1@evil",
        "localhost:8080, localhost:8080",
        "localhost.evil.example:8080",
        "[::1]:8081",
        "127.0.0.1",
        "0.0.0.0:8080",
        "127.0.0.2:8080",
        "localhost:8080@evil.example",
    ],
)
def test_another_name_is_misdirected(host):
    refusal = check(request(host=host), PORT)
    assert refusal
    assert refusal.status.startswith("421")


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"[::1]:{PORT}"])
def test_an_address_leads_to_the_one_name_and_never_elsewhere(host):
    refusal = check(request(host=host, path="/items/abc"), PORT)
    assert refusal
    assert refusal.location == f"{ORIGIN}/items/abc"
    for path in ("//evil.example", "/\\evil.example", "/a\r\nSet-Cookie: x=1", "/%2f"):
        away = check(request(host=host, path=path), PORT)
        assert away
        assert away.location in (f"{ORIGIN}/", f"{ORIGIN}/evil.example")
    posted = check(request("POST", host=host, **OURS), PORT)
    assert posted
    assert posted.status.startswith("421")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:8081"},
        {"origin": "https://localhost:8080"},
        {"origin": "http://localhost"},
        {"sec_fetch_site": "same-origin"},
        {"origin": ORIGIN, "sec_fetch_site": "same-site"},
        {"origin": ORIGIN, "sec_fetch_site": "cross-site"},
        {"origin": ORIGIN, "sec_fetch_site": "none"},
        {"origin": f"{ORIGIN}/"},
    ],
)
def test_a_post_from_another_page_is_refused(headers):
    refusal = check(request("POST", **headers), PORT)
    assert refusal
    assert refusal.status.startswith("403")
    assert check(request("POST", **OURS), PORT) is None


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_get_from_another_page_is_refused(site):
    assert check(request(sec_fetch_site=site), PORT)
    assert check(request(origin="http://localhost:8081"), PORT)
    assert check(request(sec_fetch_site="none"), PORT) is None
    assert check(request(), PORT) is None


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get"])
def test_other_methods_are_refused(method):
    refusal = check(request(method, **OURS), PORT)
    assert refusal
    assert refusal.status.startswith("405")


def test_two_ways_to_say_how_long_a_body_is_are_refused():
    refusal = check(request("POST", transfer_encoding="chunked", **OURS), PORT)
    assert refusal
    assert refusal.status.startswith("400")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 401),
        ("GET", "/unlock", 200),
        ("GET", "/static/app.js", 200),
        ("GET", "/static/none", 404),
        ("GET", "/nowhere", 404),
        ("POST", "/", 405),
        ("OPTIONS", "/", 405),
        ("POST", "/lock", 401),
        ("HEAD", "/", 401),
        ("GET", "/items/zz", 401),
        ("POST", "/unlock", 400),
    ],
)
def test_every_answer_has_every_header(stranger, method, path, status):
    headers = {"Origin": ORIGIN} if method == "POST" else {}
    answer = stranger._ask(method, path, {"username": "nobody"} if path == "/unlock" else None, headers)
    assert answer.status_code == status
    for name, value in HEADERS:
        assert answer.headers.getlist(name) == [value]
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


def test_a_crash_has_the_headers_too_and_tells_nothing(app: Flask, caplog):
    def crash() -> str:
        raise RuntimeError("hunter" + str(1 + 1))

    app.view_functions["unlock.form"] = crash
    answer = Visitor(app).get("/unlock")
    assert answer.status_code == 500
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert "hunter2" not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text


def test_the_policy_lets_nothing_inline_run_and_no_page_frame_us():
    assert "unsafe" not in POLICY
    for part in (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
    ):
        assert part in POLICY


def test_debug_is_off(app: Flask):
    assert app.debug is False
    assert app.testing is False
    assert app.config["MAX_CONTENT_LENGTH"] == 1 << 20
    assert app.secret_key is None

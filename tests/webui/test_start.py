"""The page as a process: ports, locking, stopping, and what a hostile client on loopback may send."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.errors import ExitCode, KinringError
from node.folders import runtime_folder
from tests.e2e.pages import CANARY, PASSWORD, ROOT, USERNAME, page_process
from webui.guard import HEADERS
from webui.start import run_page

POST = "POST /unlock HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
FORM = "application/x-www-form-urlencoded"


class Wire:
    """A browser's requests over a real socket."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = self.token = ""

    def ask(self, method: str, path: str, body: str = "", **more: str) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {
            "Host": f"localhost:{self.port}",
            "Origin": f"http://localhost:{self.port}",
            "Cookie": self.cookie,
            "X-Kinring-Token": self.token,
            "Content-Type": FORM,
            **more,
        }
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            found = dict(answer.getheaders())
            text = answer.read().decode()
        finally:
            connection.close()
        self.cookie = found.get("Set-Cookie", self.cookie).partition(";")[0]
        self.token = found.get("X-Kinring-Token", self.token)
        return answer.status, found, text

    def sign_in(self) -> None:
        assert self.ask("POST", "/unlock", f"username={USERNAME}&password={PASSWORD}")[0] == 200


def raw(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.fixture
def page(folder: Path, tmp_path: Path) -> Iterator[Wire]:
    with page_process(folder, log=tmp_path / "page.log") as (port, _):
        yield Wire(port)


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def test_locking_ends_the_process_and_the_next_one_answers_at_the_same_port(folder, tmp_path):
    with page_process(folder, log=tmp_path / "page.log") as (port, pid):
        wire = Wire(port)
        wire.sign_in()
        assert wire.ask("GET", "/")[0] == 200
        (before,) = children(pid)
        assert wire.ask("POST", "/lock")[0] == 303
        assert wire.ask("GET", "/")[0] == 401  # by one or by the other: waits, is never refused
        deadline = time.monotonic() + 20
        while children(pid) in ([], [before]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert wire.ask("GET", "/")[0] == 401
        wire.sign_in()
        assert wire.ask("GET", "/")[0] == 200
    assert PASSWORD not in (tmp_path / "page.log").read_text()


def test_it_stops_though_a_stream_is_open(folder):
    with page_process(folder) as (port, pid):
        wire = Wire(port)
        wire.sign_in()
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        stream.request(
            "GET",
            "/live",
            headers={"Host": f"localhost:{port}", "Cookie": wire.cookie, "X-Kinring-Token": wire.token},
        )
        answer = stream.getresponse()
        assert answer.read1(100).startswith(b": open")
        os.kill(pid, signal.SIGTERM)
        rest = answer.read()  # the stream ends: nothing keeps the process
        assert b"changed" not in rest
        stream.close()
    assert not (runtime_folder(folder) / "page.json").exists()


def test_the_child_does_not_outlive_its_keeper(folder):
    with page_process(folder) as (port, pid):
        assert Wire(port).ask("GET", "/unlock")[0] == 200
        (child,) = children(pid)
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while (
            Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_page_json_tells_the_port_to_its_owner_alone(folder):
    with page_process(folder) as (port, pid):
        path = runtime_folder(folder) / "page.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert json.loads(path.read_bytes()) == {"port": port, "pid": pid}


@pytest.mark.parametrize(("kind", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_taken_port_is_told_and_nothing_is_opened(folder, runtime, kind, address):
    try:
        squatter = socket.socket(kind, socket.SOCK_STREAM)
        squatter.bind((address, 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with squatter:
        squatter.listen()
        port = squatter.getsockname()[1]
        with pytest.raises(KinringError, match=f"port {port} is taken") as refused:
            run_page(folder, runtime, port=port)
    assert refused.value.code is ExitCode.BUSY
    assert "--http-port" in refused.value.hint
    assert not (runtime / "page.json").exists()


def test_a_damaged_store_is_told_by_the_command(folder, tmp_path):
    (folder / "kinring.db").write_bytes(b"no database at all" * 500)
    command = [sys.executable, "-m", "webui.start", "--data-dir", str(folder), "--http-port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert ended.returncode == ExitCode.DAMAGED
    assert "error: the store is damaged" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_listens_on_loopback_alone(page):
    listening = "".join(Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))
    at = re.findall(rf"^ *\d+: ([0-9A-F]+):{page.port:04X} .* 0A ", listening, re.MULTILINE)
    assert at
    assert set(at) <= {"0100007F", "00000000000000000000000001000000"}


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (
            POST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            (400,),
        ),
        ("GET / HTTP/1.1\nHost: {host}\n\n", (400,)),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n", (400, 421)),
        ("GET / HTTP/1.1\r\nHost: localhost:1@evil\r\n\r\n", (400, 421)),
        ("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n", (400,)),
        ("GET //evil.example/ HTTP/1.1\r\nHost: {host}\r\n\r\n", (400, 401, 404)),
        ("GET / HTTP/1.1\r\n\r\n", (400, 421)),
        ("GET / HTTP/1.0\r\n\r\n", (400, 421)),
        ("OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n", (400, 405)),
        ("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n", (400, 405)),
        ("GET /%00 HTTP/1.1\r\nHost: {host}\r\n\r\n", (400, 401, 404)),
        ("GET /static/../app.py HTTP/1.1\r\nHost: {host}\r\n\r\n", (400, 404)),
        ("GET /static/%2e%2e%2fapp.py HTTP/1.1\r\nHost: {host}\r\n\r\n", (400, 404)),
        (
            POST + "Content-Length: -1\r\n\r\n",
            (400,),
        ),
        (
            POST + "Content-Length: x\r\n\r\n",
            (400,),
        ),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nX: " + "a" * 20_000 + "\r\n\r\n", (400, 413, 414, 431)),
    ],
    ids=lambda value: repr(value)[:50] if isinstance(value, str) else "",
)
def test_smuggled_and_malformed_requests_are_refused(page, request_, allowed):
    answer = raw(page.port, request_.replace("{host}", f"localhost:{page.port}").encode())
    statuses = [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]
    assert len(statuses) == 1, answer[:300]
    assert statuses[0] in allowed, answer[:300]
    assert CANARY.encode() not in answer
    for name, value in HEADERS:
        assert f"{name}: {value}".encode() in answer, name


def test_a_slow_sender_keeps_nobody_waiting(page):
    page.sign_in()
    slow = socket.create_connection(("127.0.0.1", page.port), 10)
    with slow:
        head = f"POST /unlock HTTP/1.1\r\nHost: localhost:{page.port}\r\nOrigin: http://localhost:{page.port}\r\n"
        slow.sendall(f"{head}Content-Type: {FORM}\r\nContent-Length: 100\r\n\r\nuser".encode())
        assert page.ask("GET", "/")[0] == 200


def test_many_at_once_see_whole_pages(page):
    page.sign_in()
    results: list[int] = []

    def visit() -> None:
        for path in ("/", "/health", "/vaults", "/devices"):
            status, _, _ = page.ask("GET", path)
            results.append(status)

    visitors = [threading.Thread(target=visit) for _ in range(8)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(60)
    assert results == [200] * 32

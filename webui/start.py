"""The page's process, and the one that keeps it: `kinring page`.

The keeper binds the port, before anybody unlocks anything and once for all, and starts a child that serves
it. Locking ends the child, and with it all that it held in memory; the keeper, which never held anything
secret, starts the next one on the same sockets, so that nobody else can take the port in between.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from node.errors import ExitCode, KinringError
from node.folders import data_folder, runtime_folder, write_private
from webui.guard import HEADERS

if TYPE_CHECKING:
    from cheroot.wsgi import Server

PORT: Final = 8080
LOCKED_EXIT: Final = 75
"""The child's exit code after locking: start the next one."""
STOP_S: Final = 1.5
THREADS: Final = 12
PAGE_FILE: Final = "page.json"


def run_page(
    folder: Path, runtime: Path, *, port: int = PORT, on_ready: Callable[[int], None] = lambda _: None
) -> None:
    """Serve the page of a data folder until SIGINT or SIGTERM. `port` 0 takes a free one; `on_ready` gets it.

    Raises KinringError BUSY for a taken port, and what keeps the child from starting.
    """
    with _listening(port) as sockets:
        port = sockets[0].getsockname()[1]
        told = runtime / PAGE_FILE

        def ready() -> None:
            write_private(told, json.dumps({"port": port, "pid": os.getpid()}).encode())
            on_ready(port)

        try:
            _keep(folder, sockets, ready)
        finally:
            told.unlink(missing_ok=True)


def _keep(folder: Path, sockets: list[socket.socket], on_ready: Callable[[], None]) -> None:
    stopping = threading.Event()
    child: subprocess.Popen[bytes] | None = None

    def stop(_: int, __: FrameType | None) -> None:
        stopping.set()
        if child is not None:
            child.terminate()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not stopping.is_set():
            child = _start(folder, sockets)
            assert child.stdin is not None
            with child.stdin:  # it ends when we do, however that comes about: its standard input closes
                if stopping.is_set():
                    child.terminate()
                on_ready()
                code = _wait(child, stopping)
            if not stopping.is_set() and code != LOCKED_EXIT:
                known = ExitCode(code) if code in set(ExitCode) - {ExitCode.OK} else ExitCode.FAILED
                raise KinringError("the page ended by itself", "what it said stands above", known)
            on_ready = _nothing
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing() -> None:
    """The first child's start is told, the next ones' is not."""


def _start(folder: Path, sockets: list[socket.socket]) -> subprocess.Popen[bytes]:
    handles = [listener.fileno() for listener in sockets]
    command = [
        sys.executable,
        "-P",
        "-m",
        "webui.start",
        "--data-dir",
        str(folder),
        "--sockets",
        *map(str, handles),
    ]
    # A group of its own: Ctrl-C reaches it through us, once.
    return subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=handles, start_new_session=True)


def _wait(child: subprocess.Popen[bytes], stopping: threading.Event) -> int:
    while True:
        with suppress(subprocess.TimeoutExpired):
            return child.wait(STOP_S if stopping.is_set() else 0.2)
        if stopping.is_set():
            child.kill()


@contextmanager
def _listening(port: int) -> Iterator[list[socket.socket]]:
    """Sockets for 127.0.0.1 and, where there is one, ::1: both or the port is taken, for a browser may try
    either for `localhost`."""
    sockets: list[socket.socket] = []
    try:
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            listener = _bind(family, address, port)
            if listener is not None:
                sockets.append(listener)
                port = listener.getsockname()[1]
        yield sockets
    finally:
        for listener in sockets:
            listener.close()


def _bind(family: socket.AddressFamily, address: str, port: int) -> socket.socket | None:
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None  # a machine without IPv6
    try:
        if os.name == "posix" and port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        if family == socket.AF_INET6 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return None
        if error.errno == errno.EADDRINUSE:
            hint = "stop what listens there, or choose another with --http-port"
            raise KinringError(f"port {port} is taken", hint, ExitCode.BUSY) from None
        reason = os.strerror(error.errno or 0)
        raise KinringError(
            f"cannot listen on port {port}: {reason}", "choose another with --http-port"
        ) from None
    return listener


# The child


def serve(folder: Path, sockets: list[socket.socket]) -> int:
    """Serve until told to stop, or until locked: then every key is forgotten, and the exit code says so."""
    from webui import create_app
    from webui.desk import Desk

    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _, __: done.set())
    desk = Desk(folder, runtime_folder(folder), on_locked=done.set)
    app = create_app(desk, port=sockets[0].getsockname()[1])
    servers = [_server(listener, app) for listener in sockets]
    for act in (*(server.serve for server in servers), desk.watch, desk.housekeep):
        threading.Thread(target=act, daemon=True).start()
    threading.Thread(target=_until_orphaned, args=(done,), daemon=True).start()
    done.wait()
    desk.live.close()
    for server in servers:
        server.stop()
    desk.close()
    return LOCKED_EXIT if desk.locked.is_set() else 0


def _end_with_stdin() -> None:
    """Whoever started the keeper is gone, however it went."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _until_orphaned(done: threading.Event) -> None:
    while os.read(0, 1):
        pass
    done.set()


def _server(listener: socket.socket, app: object) -> Server:
    from cheroot.errors import socket_errors_to_ignore
    from cheroot.server import HTTPConnection, HTTPRequest
    from cheroot.wsgi import Server

    class OwnRequest(HTTPRequest):
        def simple_response(self, status: str, msg: str | bytes = "") -> None:
            """What is refused before the application is asked, with the same headers as every answer."""
            body = msg if isinstance(msg, bytes) else msg.encode("utf-8", "replace")
            headers = (("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))),
                       ("Connection", "close"), *HEADERS)  # fmt: skip
            lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
            self.close_connection = True
            try:
                self.conn.wfile.write("\r\n".join(lines).encode("latin-1") + body)
            except OSError as error:
                if error.errno not in socket_errors_to_ignore:
                    raise

        def send_headers(self) -> None:
            """After a refusal nothing more is read from this connection: what follows may be no request."""
            if (b"Connection", b"close") in self.outheaders:
                self.close_connection = True
            super().send_headers()

    class Connection(HTTPConnection):
        RequestHandlerClass = OwnRequest

    class Bound(Server):
        ConnectionClass = Connection

        def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:  # noqa: A002 - theirs
            self.socket = listener
            return listener

    server = Bound(listener.getsockname()[:2], app, numthreads=THREADS, max=THREADS, server_name="localhost",
                   request_queue_size=64, timeout=20, shutdown_timeout=1)  # fmt: skip
    server.max_request_header_size = 16 << 10
    server.max_request_body_size = 65 << 20
    server.prepare()
    return server


def main() -> None:
    """`python -m webui.start`: the keeper; with `--sockets`, the child that inherits them."""
    parser = argparse.ArgumentParser(prog="kinring page")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--http-port", type=int, default=PORT)
    parser.add_argument("--tied", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--sockets", type=int, nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    logging.basicConfig(
        level=os.environ.get("KINRING_LOG", "WARNING"), format="%(asctime)s %(levelname)s %(message)s"
    )
    code = 0
    try:
        folder = data_folder(given.data_dir)
        if given.sockets:
            code = serve(folder, [socket.socket(fileno=handle) for handle in given.sockets])
        else:
            if given.tied:
                threading.Thread(target=_end_with_stdin, daemon=True).start()
            run_page(folder, runtime_folder(folder), port=given.http_port, on_ready=_tell)
    except KinringError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        code = int(error.code)
    sys.stderr.flush()
    os._exit(code)  # whatever thread still runs: nothing that was locked may linger


def _tell(port: int) -> None:
    sys.stdout.write(f"the page: http://localhost:{port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

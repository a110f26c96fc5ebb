"""The socket in the runtime folder where node, page and command line meet. Mirrors docs/spec/control.md.

Frames of four bytes of length and canonical CBOR: an array that begins with a word. It carries "something
changed" and the few commands for the node; values of a vault never. Only the same user can open it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any, Final, Protocol, Self

from node.errors import ExitCode, KinringError
from replication.encoding import decode, encode
from replication.errors import Refused

SOCKET_FILE: Final = "node.sock"
MAX_FRAME: Final = 1 << 20
PATIENCE_S: Final = 10.0
"""How long a command waits for the node's answer where no person is asked."""


def frame(words: list[Any]) -> bytes:
    data = encode(words)
    return struct.pack(">I", len(data)) + data


def read_words(data: bytes) -> list[Any]:
    """Raises Refused unless it is an array that begins with a word."""
    value = decode(data, limit=MAX_FRAME)
    if type(value) is not list or not value or type(value[0]) is not str:
        raise Refused("shape", "control message")
    return value


class HasOptions(Protocol):
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


def peer_is_us(connection: HasOptions) -> bool:
    """Whether the other end is a process of this very user, where the system tells (Linux)."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True  # the folder (0700) guards the socket
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return bool(uid == os.getuid())


class Control:
    """A connection of the page or a command to the node, with blocking calls.

    Raises KinringError UNREACHABLE where no node runs.
    """

    def __init__(self, runtime: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = b""
        try:
            self._socket.settimeout(PATIENCE_S)
            self._socket.connect(str(runtime / SOCKET_FILE))
        except OSError as error:
            self._socket.close()
            raise KinringError(
                "the node is not running", "start it with `kinring up`", ExitCode.UNREACHABLE
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def hang_up(self) -> None:
        """From another thread: whoever waits in `receive` stops waiting."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, *words: Any) -> None:
        try:
            self._socket.sendall(frame(list(words)))
        except OSError as error:
            raise _gone() from error

    def receive(self, seconds: float | None = PATIENCE_S) -> list[Any]:
        """The node's next message. Raises the error it tells of; KinringError UNREACHABLE after `seconds`."""
        self._socket.settimeout(seconds)
        try:
            length = int.from_bytes(self._exactly(4), "big")
            if length > MAX_FRAME:
                raise _gone()
            words = read_words(self._exactly(length))
        except (OSError, Refused) as error:
            raise _gone() from error
        if words[0] == "error":
            _, message, hint, code = words
            raise KinringError(message, hint, ExitCode(code))
        return words

    def ask(self, *words: Any) -> list[Any]:
        """Send, and receive one answer."""
        self.send(*words)
        return self.receive()

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self._socket.recv(65536)
            if not data:
                raise OSError("closed")
            self._buffer += data
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


def _gone() -> KinringError:
    return KinringError(
        "the node stopped answering", "see whether it still runs: kinring status", ExitCode.UNREACHABLE
    )


def node_runs(runtime: Path) -> bool:
    """Whether a node answers on this data folder."""
    try:
        with Control(runtime) as control:
            return bool(control.ask("ping") == ["pong"])
    except KinringError:
        return False


def tell_changed(runtime: Path) -> None:
    """Tell the node, if one runs, that something was saved: it sends it on at once."""
    if sys.platform == "win32" or not (runtime / SOCKET_FILE).exists():
        return
    try:
        with Control(runtime) as control:
            control.send("changed")
    except KinringError:
        return  # no node: the next one that starts sends it

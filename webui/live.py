"""Telling open pages that something changed: never what, so that nothing of a vault is in the stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

MAX_STREAMS: Final = 6
"""Each holds a thread of the server."""
HEARTBEAT_S: Final = 15.0
"""A page that is gone is noticed when something is written to it."""


class Live:
    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._number = 0
        self._streams = 0
        self._closed = False

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return self._streams > 0

    def say(self) -> None:
        """Something changed."""
        with self._condition:
            self._number += 1
            self._condition.notify_all()

    def close(self) -> None:
        """End every stream: the page is about to stop."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def enter(self) -> bool:
        """Take one of the places; False where there is none left."""
        with self._condition:
            if self._closed or self._streams >= MAX_STREAMS:
                return False
            self._streams += 1
            return True

    def leave(self) -> None:
        with self._condition:
            self._streams -= 1

    def stream(self) -> Iterator[bytes]:
        """Server-sent events for one page that has entered."""
        seen = self._number
        yield b": open\n\n"
        while not self._closed:
            changed, seen = self._wait(seen)
            yield b"event: changed\ndata: 1\n\n" if changed else b": still here\n\n"

    def _wait(self, seen: int) -> tuple[bool, int]:
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._number != seen, HEARTBEAT_S)
            return self._number != seen, self._number

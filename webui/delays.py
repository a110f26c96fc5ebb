"""Waiting after wrong master passwords: 0, 0, 1, 2, 4 ... 300 seconds, for each person by themselves.

The count is kept in the store, so that a kill does not reset it; the waiting is measured by a clock that
nobody can set back, and begins anew when the page does. Nobody is locked out for good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.keyholder import SIGN_IN, sign_in_name
from replication.encoding import decode, encode
from replication.store import Store

KIND: Final = "page-failures"
LONGEST_S: Final = 300
UNKNOWN: Final = b""
"""All names that nobody here has share one count: made-up names must not fill the store."""


def delay(failures: int) -> int:
    """Seconds to wait before the next try after so many wrong ones."""
    return 0 if failures < 3 else int(min(LONGEST_S, 2 ** min(failures - 3, 20)))


class Delays:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._failed_at: dict[bytes, float] = {}

    def left(self, store: Store, username: str) -> int:
        """Whole seconds until `username` may be tried again; 0 is now."""
        key = _key(store, username)
        since = self._failed_at.get(key, self._began)
        left = since + delay(_count(store, key)) - self._clock()
        return max(0, -int(-left // 1))

    def failed(self, store: Store, username: str) -> None:
        key = _key(store, username)
        store.set_local(KIND, key, encode(min(_count(store, key) + 1, 1000)))
        self._failed_at[key] = self._clock()

    def succeeded(self, store: Store, username: str) -> None:
        key = _key(store, username)
        self._failed_at.pop(key, None)
        if _count(store, key):
            store.set_local(KIND, key, None)


def _key(store: Store, username: str) -> bytes:
    name = sign_in_name(username)
    return name if name in store.local(SIGN_IN) else UNKNOWN


def _count(store: Store, key: bytes) -> int:
    held = store.local(KIND).get(key)
    return int(decode(held)) if held else 0

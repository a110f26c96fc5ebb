"""How much an author may write before it is fetched and handed on slowly. Never what counts: all of it arrives.

The problem. A member, or who holds a member's laptop, can write without end, and every device keeps every entry.

What we do. Each author has a bucket of bytes that refills by the day. Who has emptied theirs is taken in as slowly as
the acknowledgements come, and handed on behind what others wrote. A first copy of 100,000 records of one author is some
35 MB and is not slowed.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

BURST: Final = 64 * 1024 * 1024
"""Bytes of one author that are taken at any speed."""
DAY_MS: Final = 24 * 3600 * 1000
HOLD_MS: Final = 10_000
"""The longest that an acknowledgement is held back: with a full window, some 200 KB/s."""
MAX_AUTHORS: Final = 1024


class Quota:
    """Token buckets by author, in memory. Not for threads. `now` is milliseconds of one clock that never goes back."""

    def __init__(self, burst: int = BURST, per_day: int = BURST) -> None:
        self._burst = burst
        self._per_day = per_day
        self._used: dict[bytes, tuple[float, int]] = {}
        """Author to (bytes owed, when)."""
        self._keyholders: set[bytes] = set()

    def like(self) -> Quota:
        """Another with the same limits, empty."""
        return Quota(self._burst, self._per_day)

    def bucket(self, author: bytes, keyholders: Container[bytes]) -> bytes:
        """Whom to charge: the author, or b"" for all those together who were never seen to be keyholders (a member
        can make as many keys as they like)."""
        if author in keyholders:
            self._keyholders.add(author)
        return author if author in self._keyholders else b""

    def charge(self, author: bytes, size: int, now: int) -> None:
        """`size` bytes of an author were taken."""
        self._used[author] = (self._owed(author, now) + size, now)
        if len(self._used) > MAX_AUTHORS:
            # Who owes least: keys are cheap, and a bucket of its own for each would be as good as none.
            del self._used[min(self._used, key=lambda key: (self._owed(key, now), key))]

    def _owed(self, author: bytes, now: int) -> float:
        owed, since = self._used.get(author, (0.0, now))
        return max(0.0, owed - (now - since) * self._per_day / DAY_MS)

    def over(self, author: bytes, now: int) -> int:
        """By how many bytes an author has emptied the bucket; 0 for not at all."""
        return max(0, int(self._owed(author, now)) - self._burst)

    def hold_ms(self, author: bytes, now: int) -> int:
        """For how long to hold back an acknowledgement of this author's entries."""
        over = self.over(author, now)
        return min(HOLD_MS, over * DAY_MS // self._per_day + 1) if over else 0

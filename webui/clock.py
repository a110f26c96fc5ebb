"""The two clocks of the page."""

from __future__ import annotations

import time

from node.handles import boot_clock


def now_ms() -> int:
    """Milliseconds since 1970, by the clock that people set."""
    return int(time.time() * 1000)


def awake_clock() -> float:
    """Seconds on the clock that counts from boot, through sleep, and that nobody can set back."""
    return boot_clock().ms / 1000

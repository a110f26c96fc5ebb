"""The live dots of one target: what counted writes leave standing. Pure; the store keeps the answer.

A dot is live if its write counts and no counted write names it. Where a counted write named one that lies
beyond a cut, what that one had named stays replaced: or the removal of a lost laptop would bring back, beside
the value that someone has set since, the one from before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Write:
    """A stored op at the target. `counts`: it has effect; `cut`: it has none because it lies beyond a cut."""

    dot: bytes
    replaces: tuple[bytes, ...]
    counts: bool
    cut: bool


def live_dots(writes: Sequence[Write]) -> set[bytes]:
    """The dots that are live, for any order of `writes`, which are all at one target of one vault."""
    by_dot = {write.dot: write for write in writes}
    named: set[bytes] = set()
    waiting = [dot for write in writes if write.counts for dot in write.replaces]
    while waiting:
        dot = waiting.pop()
        if dot in named:
            continue
        named.add(dot)
        found = by_dot.get(dot)
        if found is not None and found.cut:
            waiting += found.replaces
    return {write.dot for write in writes if write.counts and write.dot not in named}

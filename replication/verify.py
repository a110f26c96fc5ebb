"""Signatures of a batch of entries, checked on all cores: libsodium lets go of the interpreter while it computes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from replication.entry import Entry
from replication.errors import InvalidSignature

WORTH_IT: Final = 32
"""Fewer entries than this are quicker checked one after the other."""

WORKERS: Final = 4

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


@cache
def _workers() -> ThreadPoolExecutor:
    # Only where there is much to check: a command that reads one account does not wait for what this brings in.
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="verify")


def sound(entries: Sequence[Entry]) -> set[bytes]:
    """The hashes of those that their author signed."""
    share = -(-len(entries) // WORKERS) or 1
    parts = [entries[i : i + share] for i in range(0, len(entries), share)]
    return set().union(*_workers().map(_sound, parts)) if parts else set()


def _sound(entries: Sequence[Entry]) -> set[bytes]:
    found = set()
    for entry in entries:
        try:
            entry.verify()
        except InvalidSignature:
            continue
        found.add(entry.hash)
    return found

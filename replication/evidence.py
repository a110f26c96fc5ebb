"""What signed frontiers prove against the device that signed them. Pure questions to a replica; no clock.

A device signs what it holds after it is on the disk, so it can never rightly hold less: where it shows less, its
store was put back, or it keeps something back. And who has heard of both branches of their own log goes on with
neither: where two branches grow beyond what one frontier of that device shows, its key is in two places. Nothing that
is late, repeated or out of order looks like either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from replication.alarms import FLOOD, SHOWS_LESS, TWO_PLACES
from replication.encoding import decode, encode
from replication.log import MAX_ROWS, Row, SignedFrontier, rows_from_value, rows_to_value, signed_from_wire
from replication.replica import Replica

SHOWN: Final = "branches"
"""What the store keeps of it for itself: a forked log to the branches that its keyholder's device once signed."""
MAX_COMPARED: Final = 256
"""Rows of one frontier that are looked up: one that names more made-up ones proves nothing by them."""
_DAY_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class PeerShowsLess:
    """A device shows at least `entries` fewer than it signed for in its frontier `count`; 0: only that is gone."""

    device: bytes
    count: int
    entries: int


@dataclass(frozen=True, slots=True)
class TwoPlaces:
    """The log of a keyholder on this device grows on two branches, after both were known to it."""

    device: bytes
    log: bytes


@dataclass(frozen=True, slots=True)
class Flood:
    """An author is `over` bytes over the quota; b"" for all those together who are no keyholders."""

    author: bytes
    over: int


Finding = PeerShowsLess | TwoPlaces | Flood


def tell(replica: Replica, finding: Finding, now: int) -> bool:
    """Raise the alarm for what was found; whether it is news. `now`: milliseconds since 1970."""
    match finding:
        case PeerShowsLess(device, count, entries):
            return replica.raise_alarm(SHOWS_LESS, device, str(entries), count.to_bytes(8, "big"), now)
        case TwoPlaces(device, log):
            return replica.raise_alarm(TWO_PLACES, device, log.hex(), log, now)
        case Flood(author, over):
            return replica.raise_alarm(FLOOD, author, str(over), max(0, now // _DAY_MS).to_bytes(8, "big"), now)


def lost(replica: Replica, signed: Sequence[Row], shown: Sequence[Row]) -> int:
    """How many entries, at the least, `shown` lacks of those that `signed` stands for. Where that cannot be said from
    what is held here, none."""
    of_log: dict[bytes, list[Row]] = {}
    for row in shown:
        of_log.setdefault(row.log, []).append(row)
    # A frontier with as many rows as fit leaves out its shortest branches.
    floor = min(row.seq for row in shown) if len(shown) >= MAX_ROWS else -1
    same = set(shown)
    differing = [row for row in signed if row not in same and row.seq > floor]
    missing = 0
    for row in differing[:MAX_COMPARED]:
        beside = of_log.get(row.log, [])
        if not any(_may_follow(replica, row, other) for other in beside):
            # Where another branch is longer, it is not known where the two parted.
            missing += max(1, row.seq - max((other.seq for other in beside), default=-1))
    return missing


def _may_follow(replica: Replica, row: Row, other: Row) -> bool:
    """Whether the entry at `other` is that at `row` or after it, or is not known here."""
    if other.seq < row.seq:
        return False
    if not replica.holds(other):
        return True
    return row == other or _at_or_before(replica, row, other)


def _at_or_before(replica: Replica, row: Row, tip: Row) -> bool:
    if not replica.holds(row):
        return False  # all that is before an entry here is here
    if not replica.is_forked(row.log):
        return row.seq <= tip.seq
    return any(digest.startswith(row.hash) for digest in replica.ancestors(tip))


def take_frontier(replica: Replica, wire: bytes) -> tuple[SignedFrontier, bool, list[Finding]]:
    """Take a signed frontier: what it says, whether it was newer, and what it proves. Raises Refused."""
    signed = signed_from_wire(wire)
    held = replica.signed_frontier(signed.device)
    taken = replica.take_signed_frontier(wire)
    if signed.device not in replica.state().devices:
        return signed, taken, []
    found: list[Finding] = []
    if held is not None and held.rows != signed.rows:
        missing = _contradiction(replica, *sorted((held, signed), key=lambda one: one.count))
        if missing:
            found.append(PeerShowsLess(signed.device, max(held.count, signed.count), missing))
    if taken:
        repeated = {a.log for a, b in zip(signed.rows, signed.rows[1:], strict=False) if a.log == b.log}
        found += [finding for log in sorted(repeated) for finding in check_forked_growth(replica, log)]
    return signed, taken, found


def _contradiction(replica: Replica, earlier: SignedFrontier, later: SignedFrontier) -> int:
    missing = lost(replica, earlier.rows, later.rows)
    if earlier.count == later.count:  # one of the two was signed by a store that is no more, or to deceive
        missing = max(missing, lost(replica, later.rows, earlier.rows))
    return missing


def check_forked_growth(replica: Replica, log: bytes) -> list[Finding]:
    """Whether a log's key is in two places. To be asked when an entry came to a forked log, and when its keyholder's
    device signed for two branches."""
    found = replica.store.row("SELECT author FROM logs WHERE log = ? AND forked", (log,))
    holder = replica.state().keyholders.get(found[0]) if found else None
    if holder is None:
        return []
    branches = _branches_shown(replica, log, holder.device)
    return [TwoPlaces(holder.device, log)] if sum(_goes_on(replica, row) for row in branches) > 1 else []


def _branches_shown(replica: Replica, log: bytes, device: bytes) -> list[Row]:
    """The first frontier of a device that showed two branches of its log: the later ones are no use once both grew."""
    kept = replica.store.local(SHOWN).get(log)
    if kept is not None:
        return rows_from_value(decode(kept))
    signed = replica.signed_frontier(device)
    rows = [row for row in signed.rows if row.log == log and replica.holds(row)] if signed else []
    if len(rows) < 2:
        return []
    replica.store.set_local(SHOWN, log, encode(rows_to_value(rows)))
    return rows


def _goes_on(replica: Replica, row: Row) -> bool:
    """Whether an entry that follows the one at `row` is here."""
    low, high = row.hash + b"\0" * 16, row.hash + b"\xff" * 16
    return bool(
        replica.store.row(
            "SELECT 1 FROM entries AS at JOIN entries AS next ON next.log = at.log AND next.seq = at.seq + 1 "
            "AND next.previous = at.id WHERE at.hash BETWEEN ? AND ?",
            (low, high),
        )
    )

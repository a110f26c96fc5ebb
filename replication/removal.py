"""Which removals stand, and what they undo: the part of membership that is not simply added up.

The problem. Anna removes the stolen laptop of Ben while that laptop, in the thief's hands, removes Anna. Or
two admins fall out, each on a train. Whoever's laptop meets a third first must not win.

What we do. Everything that takes something away goes through here: removals, two admins together, the recovery key,
lowered roles, revoked rights, a replaced paper key. Of those that had authority in their own past one that no other
kills takes effect; it undoes what it reaches and had not seen, others of its kind among that, and with a killed
admission, promotion or grant, recursively, all that rests on it. Where all that are left kill one another in a circle,
the most senior takes effect (the recovery key, two admins together, then the rank of the person, the age of the key,
the hash; a paper key gives way to all), and what it kills falls as well as what kills it. How long ago somebody was
admitted decides, never a clock. One that would leave no admin who can act has no effect. So of two who remove each
other the senior stays, on every device and in every order of arrival; and a stolen first laptop does not win against
its owner's second.

Pure. Mirrors docs/spec/removal.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

Rank = tuple[int, bytes]
"""Depth and hash of a statement: smaller is senior."""
Seniority = tuple[Any, ...]
"""Smaller is senior: tier, rank, rank of the key, hash."""


@dataclass(frozen=True, slots=True)
class Said:
    """A statement as this file sees it: who made it, by what authority, and on what it rests."""

    hash: bytes
    authors: tuple[bytes, ...]
    """The key that signed it; of an approval also the proposer's."""
    needs: tuple[tuple[bytes, ...], ...]
    """For each thing it depends on, the statements that may have brought it about: one alive is enough."""
    as_admin: bool = False
    """Only an admin may state that."""
    paper: bytes = b""
    """The person whose paper key signed it."""
    vault: bytes = b""
    level: int = 0
    """The right in `vault` without which it may not be stated."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A statement that takes something away, and had authority in its own past."""

    hash: bytes
    leaves: bool
    """It takes away from whoever signed it."""
    reaches: Callable[[Said], bool]
    """Whether a statement, where this one was not made after it, is undone."""


def standing(
    removals: Sequence[Removal],
    statements: Sequence[Said],
    saw: Callable[[bytes, bytes], bool],
    can_act: Callable[[Sequence[Removal], set[bytes]], bool],
    seniority: Callable[[bytes], Seniority],
) -> tuple[list[Removal], set[bytes]]:
    """(removals that stand, hashes of statements undone, the other removals among them).

    `statements` are in an order in which each comes after all it depends on. `saw(a, b)`: whether statement `a`
    was made after `b`. `can_act(removals, dead)`: whether an admin is left who can act.
    """
    if not undone_by(removals, statements, saw) and can_act(removals, set()):
        return list(removals), set()  # none reaches another: the usual case, and quick however many they are
    kills = {r.hash: undone_by([r], statements, saw) for r in removals}
    place = {said.hash: at for at, said in enumerate(statements)}
    everyone = set(kills)
    waiting = {r.hash: r for r in removals if not r.leaves}
    later = everyone - set(waiting)
    stand: list[Removal] = []
    while waiting:
        free = [h for h in waiting if not any(h in kills[other] for other in waiting if other != h)]
        # In the order they were made: or one made after others would be asked first whether an admin is left, and
        # count somebody whom they removed long ago.
        chosen = waiting.pop(min(free, key=place.__getitem__) if free else min(waiting, key=seniority))
        tried = [*stand, chosen]
        if can_act(tried, _undone(tried, everyone, statements, saw)):
            stand = tried
            waiting = {h: r for h, r in waiting.items() if chosen.hash not in kills[h]}
        # What rests on one that has just fallen (a recovery admits) falls with it.
        lost = everyone - later - set(waiting) - {r.hash for r in stand}
        dead = undone_by(stand, statements, saw, lost)
        waiting = {h: r for h, r in waiting.items() if h not in dead}
    # Who leaves goes last, the junior first: so that two last admins who leave apart do not both go.
    for leaving in sorted((r for r in removals if r.leaves), key=lambda r: seniority(r.hash), reverse=True):
        tried = [*stand, leaving]
        undone = _undone(stand, everyone - {leaving.hash}, statements, saw)
        if leaving.hash not in undone and can_act(tried, _undone(tried, everyone, statements, saw)):
            stand = tried
    return stand, _undone(stand, everyone, statements, saw)


def _undone(
    stand: Sequence[Removal], everyone: set[bytes], statements: Sequence[Said], saw: Callable[[bytes, bytes], bool]
) -> set[bytes]:
    """What is undone if these stand and no other does. Who leaves takes nothing back that stands."""
    kept = {r.hash for r in stand}
    return undone_by(stand, statements, saw, everyone - kept) - kept


def undone_by(
    removals: Sequence[Removal],
    statements: Sequence[Said],
    saw: Callable[[bytes, bytes], bool],
    fallen: Collection[bytes] = (),
) -> set[bytes]:
    """What the removals undo: what they reach unseen, and what rests on that alone, or on one of the `fallen`."""
    dead: set[bytes] = set(fallen)
    for said in statements:
        unseen = any(not saw(r.hash, said.hash) and r.reaches(said) for r in removals)
        rootless = any(need and all(root in dead for root in need) for need in said.needs)
        if unseen or rootless:
            dead.add(said.hash)
    return dead

"""Which removals stand, and what they undo: the part of membership that is not simply added up.

The problem. Anna removes the stolen laptop of Ben while that laptop, in the thief's hands, removes Anna. Or
two admins fall out, each on a train. Whoever's laptop meets a third first must not win.

What we do. Of the removals that had authority in their own past one that no other kills takes effect; it undoes what
its target stated without the remover having seen it, removals among that, and with a killed admission, recursively,
all that those so admitted stated. Where all that are left kill one another in a circle, the one of the most senior
person takes effect (then of the oldest key, then by hash), and what it kills falls as well as what kills it. How long
ago somebody was admitted decides, never a clock. One that would leave no admin who can act has no effect. So of two
who remove each other the senior stays, on every device and in every order of arrival; and a stolen first laptop does
not win against its owner's second.

Pure. Mirrors docs/spec/removal.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Rank = tuple[int, bytes]
"""Depth and hash of the statement that admitted a person: smaller is senior."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A removal that had authority in its own past."""

    hash: bytes
    author: bytes
    rank: Rank
    key_rank: Rank
    """Of the key it was signed with: two laptops of one person may fall out, too."""
    leaves: bool
    """It removes the key that it is signed with."""
    removes: Callable[[bytes], bool]
    """Whether a keyholder's key is among those removed."""


@dataclass(frozen=True, slots=True)
class Said:
    """A statement as this file sees it: who made it, and on whose admission it depends."""

    hash: bytes
    author: bytes
    needs: tuple[tuple[bytes, ...], ...]
    """For each thing it depends on, the statements that may have brought it about: one alive is enough."""


def standing(
    removals: Sequence[Removal],
    statements: Sequence[Said],
    saw: Callable[[bytes, bytes], bool],
    can_act: Callable[[Sequence[Removal], set[bytes]], bool],
) -> tuple[list[Removal], set[bytes]]:
    """(removals that stand, hashes of statements undone).

    `statements` are in an order in which each comes after all it depends on. `saw(a, b)`: whether statement `a`
    was made after `b`. `can_act(removals, dead)`: whether an admin is left who can act.
    """
    undone = undone_by(removals, statements, saw)
    if not undone and can_act(removals, undone):
        return list(removals), undone  # none reaches another: the usual case, and quick however many they are
    kills = {r.hash: undone_by([r], statements, saw) for r in removals}
    waiting = {r.hash: r for r in removals if not r.leaves}
    stand: list[Removal] = []
    dead: set[bytes] = set()
    while waiting:
        free = [r for r in waiting.values() if not any(r.hash in kills[other] for other in waiting if other != r.hash)]
        chosen = min(free or waiting.values(), key=_seniority)
        del waiting[chosen.hash]
        undone = undone_by([*stand, chosen], statements, saw)
        if not can_act([*stand, chosen], undone):
            continue
        stand, dead = [*stand, chosen], undone
        waiting = {h: r for h, r in waiting.items() if h not in dead and chosen.hash not in kills[h]}
    # Who leaves goes last, the junior first: so that two last admins who leave apart do not both go.
    for leaving in sorted((r for r in removals if r.leaves), key=_seniority, reverse=True):
        undone = undone_by([*stand, leaving], statements, saw)
        if leaving.hash not in undone and can_act([*stand, leaving], undone):
            stand, dead = [*stand, leaving], undone
    return stand, dead


def _seniority(removal: Removal) -> tuple[Rank, Rank, bytes]:
    return (removal.rank, removal.key_rank, removal.hash)


def undone_by(
    removals: Sequence[Removal], statements: Sequence[Said], saw: Callable[[bytes, bytes], bool]
) -> set[bytes]:
    """What the removals undo: what their targets stated unseen, and what rests on that alone."""
    dead: set[bytes] = set()
    for said in statements:
        unseen = any(r.removes(said.author) and r.hash != said.hash and not saw(r.hash, said.hash) for r in removals)
        rootless = any(need and all(root in dead for root in need) for need in said.needs)
        if unseen or rootless:
            dead.add(said.hash)
    return dead

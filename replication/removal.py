"""Which removals stand, and what they undo: the part of membership that is not simply added up.

The problem. Anna removes the stolen laptop of Ben while that laptop, in the thief's hands, removes Anna. Or
two admins fall out, each on a train. Whoever's laptop meets a third first must not win.

What we do. A removal that had authority in its own past is looked at in order of its author's seniority (how
long ago they were admitted, never a clock), then of its hash. One that stands undoes what its target stated
without the remover having seen it, removals among that, before the next is looked at; and with a killed
admission goes, recursively, all that those so admitted stated. One that would leave no admin who can act has
no effect. So of two who remove each other the senior stays, on every device and in every order of arrival.

Pure. Mirrors docs/spec/removal.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Rank = tuple[int, bytes]
"""Depth and hash of the statement that admitted a person: smaller is senior."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A removal that had authority in its own past. `leaves`: people take themselves out."""

    hash: bytes
    author: bytes
    rank: Rank
    leaves: bool
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
    removals: Iterable[Removal],
    statements: Sequence[Said],
    saw: Callable[[bytes, bytes], bool],
    can_act: Callable[[Sequence[Removal], set[bytes]], bool],
) -> tuple[list[Removal], set[bytes]]:
    """(removals that stand, hashes of statements undone).

    `statements` are in an order in which each comes after all it depends on. `saw(a, b)`: whether statement `a`
    was made after `b`. `can_act(removals, dead)`: whether an admin is left who can act.
    """
    stand: list[Removal] = []
    dead: set[bytes] = set()
    # Who leaves goes last, the junior first: so that two last admins who leave apart do not both go.
    ordered = sorted((r for r in removals if not r.leaves), key=lambda r: (r.rank, r.hash))
    ordered += sorted((r for r in removals if r.leaves), key=lambda r: (r.rank, r.hash), reverse=True)
    for removal in ordered:
        tried = [*stand, removal]
        undone = undone_by(tried, statements, saw)
        if removal.hash in undone or not can_act(tried, undone):
            continue
        stand, dead = tried, undone
    return stand, dead


def undone_by(
    removals: Sequence[Removal], statements: Sequence[Said], saw: Callable[[bytes, bytes], bool]
) -> set[bytes]:
    """What the removals undo: what their targets stated unseen, and what rests on that alone."""
    dead: set[bytes] = set()
    for said in statements:
        unseen = any(
            r.removes(said.author) and r.hash != said.hash and not saw(r.hash, said.hash) for r in removals
        )
        rootless = any(need and all(root in dead for root in need) for need in said.needs)
        if unseen or rootless:
            dead.add(said.hash)
    return dead

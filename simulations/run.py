"""One run from one seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from replication import replica
from simulations.household import replaced, seeded_boxes
from simulations.remember import remembering
from simulations.store import SimulatedStore, Violation
from simulations.storm import storm
from simulations.world import World


@dataclass(frozen=True, slots=True)
class Result:
    """What one seed gave. `checker` is empty if nothing was found."""

    seed: int
    trace: str
    events: int
    entries: int
    devices: int
    crashes: int
    calm_ms: int
    seconds: float
    """Of a core's time."""
    checker: str = ""
    detail: str = ""
    deeds: dict[int, str] = field(default_factory=dict)
    """Of a run that failed: what was done, in words, by number."""


@contextmanager
def world_of(seed: int, *, verbose: bool = False, without: Collection[int] = ()) -> Iterator[World]:
    """A world whose stores are simulated and whose sealed boxes are seeded."""
    world = World(seed, verbose=verbose, without=without)
    with ExitStack() as stack:
        stack.enter_context(replaced(replica, "Store", SimulatedStore))
        stack.enter_context(seeded_boxes(world.randbytes))
        stack.enter_context(remembering())
        yield world


def run(
    seed: int, *, verbose: bool = False, story: Callable[[World], None] | None = None, without: Collection[int] = ()
) -> Result:
    """Storm, calm, checkers. Whatever goes wrong is in the result; an exception of the product too. `without`: the
    numbers of deeds of the storm that are left out."""
    began = time.process_time()
    checker = detail = ""
    with world_of(seed, verbose=verbose, without=without) as world:
        try:
            if story is not None:
                story(world)
            else:
                storm(world)
                world.calm()
        except Violation as found:
            checker, detail = found.checker, found.detail
        except Exception as error:
            if verbose:
                raise
            checker, detail = "alive", f"{type(error).__name__}: {error}"
        entries, devices = len(world.oracle.entries), len(world.devices)
        world.close()
    return Result(seed, world.trace_hash(), world.events, entries, devices, world.crashes, world.calm_ms,
                  time.process_time() - began, checker, detail, world.deeds if checker else {})  # fmt: skip

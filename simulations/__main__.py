"""`python -m simulations`: one seed, many seeds, a named scenario, or the planted faults."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterable

from simulations.planted import BUGS, Hunt, hunt
from simulations.run import Result, run
from simulations.scenarios import SCENARIOS


def main(arguments: list[str] | None = None) -> int:
    """0: nothing was found (with --planted: every fault was). 1: otherwise."""
    parser = argparse.ArgumentParser(prog="python -m simulations", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, metavar="N", help="run one seed and show what happens")
    what.add_argument("--seeds", type=int, metavar="COUNT", help="run COUNT seeds, from --first on")
    what.add_argument("--scenario", choices=["all", *SCENARIOS], help="a story with a name")
    what.add_argument("--planted", nargs="?", const="all", choices=["all", *(bug.name for bug in BUGS)],
                      help="plant faults, one at a time, and look whether they are found")  # fmt: skip
    parser.add_argument("--first", type=int, default=0, metavar="N", help="first seed (default 0)")
    parser.add_argument("--seconds", type=float, metavar="S", help="start no further seed after so long")
    parser.add_argument("--jobs", type=int, default=2, metavar="J", help="processes (default 2)")
    parser.add_argument("--quiet", action="store_true", help="with --seed: only the result")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        print(f"python -m simulations --seed {given.seed}", flush=True)
        return _tell([run(given.seed, verbose=not given.quiet)])
    if given.scenario:
        names = list(SCENARIOS) if given.scenario == "all" else [given.scenario]
        print(f"python -m simulations --scenario {given.scenario}", flush=True)
        return max(_story(name, given.first, verbose=not given.quiet) for name in names)
    if given.planted:
        return _planted([bug.name for bug in BUGS] if given.planted == "all" else [given.planted], given.jobs)
    limit = "" if given.seconds is None else f" --seconds {given.seconds:g}"
    print(f"python -m simulations --seeds {given.seeds} --first {given.first}{limit}", flush=True)
    seeds = range(given.first, given.first + given.seeds)
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        results = _until(pool.imap(run, seeds, chunksize=4), given.seconds)
        return _tell(results, seconds=lambda: time.monotonic() - began)


def _story(name: str, seed: int, *, verbose: bool) -> int:
    return _tell([run(seed, verbose=verbose, story=SCENARIOS[name])], name)


def _until(results: Iterable[Result], seconds: float | None) -> list[Result]:
    began, taken = time.monotonic(), []
    for result in results:
        taken.append(result)
        if result.checker:
            print(_line(result), flush=True)
        if seconds is not None and time.monotonic() - began > seconds:
            break
    return taken


def _line(result: Result) -> str:
    verdict = f"FAILED {result.checker}: {result.detail}" if result.checker else "ok"
    return (f"seed {result.seed} trace {result.trace} devices {result.devices} entries {result.entries} "
            f"events {result.events} crashes {result.crashes} calm {result.calm_ms / 1000:.1f} s: "
            f"{verdict}")  # fmt: skip


def _tell(results: list[Result], name: str = "", seconds: object = None) -> int:
    failed = [result for result in results if result.checker]
    if len(results) == 1:
        print(f"{name} {_line(results[0])}".strip())
        return bool(failed)
    count, spent = len(results), seconds() if callable(seconds) else 0.0
    print(f"{count} seeds in {spent:.1f} s: {sum(r.entries for r in results) / count:.0f} entries, "
          f"{sum(r.events for r in results) / count:.0f} events and "
          f"{sum(r.crashes for r in results) / count:.1f} crashes a seed; "
          f"longest way to agreement {max(r.calm_ms for r in results) / 1000:.1f} s")  # fmt: skip
    if failed:
        print(f"{len(failed)} failed; repeat one with: python -m simulations --seed {failed[0].seed}")
    else:
        print(f"none failed: at 95 % fewer than 3 in {count} such runs do")
    return bool(failed)


def _planted(names: list[str], jobs: int) -> int:
    print(f"python -m simulations --planted {'all' if len(names) > 1 else names[0]}", flush=True)
    says = {bug.name: bug.says for bug in BUGS}
    missed = 0
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(names))) as pool:
        for found in pool.imap(hunt, names):
            missed += found.result is None
            print(_hunt_line(found, says[found.bug]), flush=True)
    print(f"{len(names) - missed} of {len(names)} planted faults were found")
    return bool(missed)


def _hunt_line(hunt: Hunt, says: str) -> str:
    if hunt.result is None:
        return f"MISSED  {hunt.bug} ({says}): not found in {hunt.runs} runs"
    result = hunt.result
    verdict = "found  " if hunt.expected else "STRANGE"
    return f"{verdict} {hunt.bug} ({says}): by {result.checker} at {hunt.where}: {result.detail}"


if __name__ == "__main__":
    sys.exit(main())

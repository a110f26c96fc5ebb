"""`python -m simulations.model`: random histories, every small one, or each rule switched off in turn."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator

from simulations.model import histories, membership, membership_histories, records
from simulations.model.checks import Told, Violation
from simulations.model.stories import STORIES, tell

ALL = frozenset(records.RULES) | frozenset(membership.RULES)
NEVER_MISSED = {
    "take-away-stable": "the first ciphertext is read while it is there, and the floor names what overrides",
    "members-only": "opened-after asks for more",
    "recipients": "members-only and the grants before a write keep everybody whom it would keep out",
    "killed-epoch": "its author was a recipient and is no member",
    "join": "two clean epochs are equally safe to write under",
}
"""Rules that another one covers, and which."""


def found(rules: frozenset[str], count: int, seed: int) -> Iterator[tuple[str, Violation | None]]:
    """Random histories, one of records and one of membership for each seed."""
    for number in range(seed, seed + count):
        for name, run in (("records", _records), ("membership", membership_histories.run)):
            try:
                run(number, rules)
            except Violation as violation:
                yield f"{name}, seed {number}", violation
            else:
                yield name, None


def _records(seed: int, rules: frozenset[str]) -> Told:
    return histories.run(seed, rules)


def missed(rule: str, count: int, seed: int = 0) -> str:
    """Where a history goes wrong without this rule; empty: nowhere."""
    rules = ALL - {rule}
    for stories, teller in ((STORIES, tell), (membership_histories.STORIES, membership_histories.tell)):
        try:
            if rule in stories:
                teller(rule, rules)
        except Violation as violation:
            return f"story {rule!r}: {violation}"
    run = membership_histories.run if rule in membership.RULES else _records
    for number in range(seed, seed + count):
        try:
            run(number, rules)
        except Violation as violation:
            return f"seed {number}: {violation}"
    return ""


def rules_in_turn(count: int, seed: int) -> int:
    """0 if each rule is missed, but for those that are known to be covered by another."""
    wrong = 0
    for rule in (*records.RULES, *membership.RULES):
        where = missed(rule, count, seed)
        known = NEVER_MISSED.get(rule, "")
        print(f"{rule:17} {where[:150] or 'never missed' + (': ' + known if known else '')}")
        wrong += not where and not known
    return int(bool(wrong))


def at_random(count: int, seed: int, rules: frozenset[str]) -> int:
    start, told, first = time.perf_counter(), Counter[str](), ""
    for where, violation in found(rules, count, seed):
        told[where.split(",")[0]] += 1
        if violation:
            told[f"violations: {violation.check}"] += 1
            first = first or f"{where}: {violation}"
    return _report(told, first, time.perf_counter() - start)


def exhaustively(size: int, rules: frozenset[str]) -> int:
    """Every history of records of up to `size` events, and of membership of up to one less."""
    start, told, first = time.perf_counter(), Counter[str](), ""
    for events in range(1, size + 1):
        for steps, violation in histories.every(events, rules):
            told[f"records of {events}"] += 1
            if violation:
                told[f"violations: {violation.check}"] += 1
                first = first or f"{'; '.join(steps)}: {violation}"
    for statements in range(1, size):
        for tree, violation in membership_histories.every(statements, rules):
            told[f"membership of {statements}"] += 1
            if violation:
                told[f"violations: {violation.check}"] += 1
                first = first or f"{membership_histories.describe(tree, tree.everything())}: {violation}"
    return _report(told, first, time.perf_counter() - start)


def _report(told: Counter[str], first: str, seconds: float) -> int:
    for name, count in told.items():
        bound = f", failures less than {3 / count:.1e} of them (95 %)" if "violations" not in name and not first else ""
        print(f"{name}: {count}{bound}")
    print(f"{seconds:.1f} s")
    if first:
        print(f"the first: {first}")
    return int(bool(first))


def main(arguments: list[str] | None = None) -> int:
    """0: nothing was found (with --rules: each rule is missed where it is left out)."""
    parser = argparse.ArgumentParser(prog="python -m simulations.model", description=__doc__)
    parser.add_argument("--histories", type=int, default=1000, metavar="N", help="how many of each kind")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--exhaustive", type=int, metavar="EVENTS", help="every history of up to so many events")
    parser.add_argument("--without", choices=sorted(ALL), metavar="RULE", help="leave one rule out")
    parser.add_argument("--rules", action="store_true", help="leave out each rule in turn")
    asked = parser.parse_args(arguments)
    rules = ALL - {asked.without}
    if asked.rules:
        return rules_in_turn(asked.histories, asked.seed)
    if asked.exhaustive:
        return exhaustively(asked.exhaustive, rules)
    if asked.without and (where := missed(asked.without, asked.histories, asked.seed)):
        print(where)
        return 1
    return at_random(asked.histories, asked.seed, rules)


if __name__ == "__main__":
    sys.exit(main())

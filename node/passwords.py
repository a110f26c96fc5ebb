"""Changing a master password: a new unlock key, the earlier ones under it, and the old wrap forgotten in time.

A new password over the same unlock key would leave the old one good for whoever has an old copy. So the key is new,
too. Every device of the person goes on opening its keyholder by an earlier key, which lies under the new one, and wraps
it anew at its next unlock. The old wrap is forgotten as soon as all of the person's devices have the new one: until
then the old password opens, too. Passwords changed apart lock nobody out: neither leads to the other, so neither is
forgotten for the other, until a change is made on a device where both were used. Mirrors docs/spec/password.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.errors import ExitCode, KinringError
from node.keyholder import (
    EARLIER,
    Unlocked,
    earlier_keys,
    keep_newest,
    open_wrap,
    recovery_code,
    unlock_with_key,
    used_keys,
)
from node.people import say
from node.unlock import parse_recovery_code, parse_unlock_wrap, wrap_secret, wrap_unlock_key
from replication.encoding import encode
from replication.membership import FORGET, PAPER, UNLOCK, State
from replication.purge import lagging
from replication.replica import Replica

RandomBytes = Callable[[int], bytes]

KEPT: Final = 40
"""Earlier unlock keys that lie under a new one: some 2.9 KiB."""


@dataclass(frozen=True, repr=False)
class Changed:
    """`unlocked`: by the new key. `waiting`: the person's devices (ids) that have not heard; until then the old
    password opens, too."""

    unlocked: Unlocked
    waiting: list[bytes]

    def __repr__(self) -> str:
        return "<secret>"


def change_password(
    replica: Replica, unlocked: Unlocked, old: str, new: str, secret_key: bytes, random_bytes: RandomBytes
) -> Changed:
    """Put `new` in the place of `old`, which is tried first. Raises WrongPassword, KinringError INVALID."""
    person = unlocked.person
    if new == old:
        raise KinringError("that is the password you have", "choose another", ExitCode.INVALID)
    with replica.transaction():
        before, key = open_wrap(replica, person, old, secret_key)
        now = unlock_with_key(replica, person, key)
        unlock_key = random_bytes(32)
        earlier = [(before.hash, key), *used_keys(replica, now), *earlier_keys(replica.state(), person, key)[1]]
        kept = encode([list(pair) for pair in list(dict.fromkeys(earlier))[:KEPT]])
        older = wrap_secret(unlock_key, kept, purpose=EARLIER, context=person, random_bytes=random_bytes)
        wrap = wrap_unlock_key(
            new, secret_key, unlock_key, family=replica.family or b"", person=person,
            kdf=parse_unlock_wrap(before.wrap or b"").kdf, random_bytes=random_bytes,
        )  # fmt: skip
        code = parse_recovery_code(recovery_code(replica, now))
        sealed = wrap_secret(unlock_key, code, purpose="recovery-code", context=person, random_bytes=random_bytes)
        paper = replica.state().papers[person]
        statements = [[UNLOCK, person, wrap, older], [PAPER, person, paper.sign_key, paper.box_key, sealed]]
        brought = replica.statements_of(say(replica, now, statements).id)[0]
        changed = Unlocked(now.username, person, now.keyholder, unlock_key, now.signing_key, now.box)
        forget_old_wraps(replica, changed)
        waiting = _not_heard(replica, changed)
    return Changed(keep_newest(replica, changed, brought), waiting)


def forget_old_wraps(replica: Replica, unlocked: Unlocked) -> int:
    """Once all devices of the person have what brought their present unlock key: forget the wraps of those that lie
    under it. How many; the bytes go by `replication.purge.drop_purged`. To be called at unlock."""
    state = replica.state()
    brought, earlier = earlier_keys(state, unlocked.person, unlocked.unlock_key)
    own = {one.hash for one in state.unlocks.get(unlocked.person, ())}
    names = sorted(name for name, _ in earlier if name in own and name not in state.forgotten)
    if brought is None or not names or _not_heard(replica, unlocked):
        return 0
    say(replica, unlocked, [[FORGET, names, brought]])
    return len(names)


def _not_heard(replica: Replica, unlocked: Unlocked) -> list[bytes]:
    """The person's other devices of which it is not known that they have what brought the present unlock key."""
    state = replica.state()
    brought, _ = earlier_keys(state, unlocked.person, unlocked.unlock_key)
    if brought is None:
        return []
    here = state.keyholders[unlocked.keyholder].device
    return sorted(set(lagging(replica, replica.entry_of(brought))) & _devices(state, unlocked.person) - {here})


def _devices(state: State, person: bytes) -> set[bytes]:
    return {holder.device for holder in state.keyholders.values() if holder.person == person}

"""What whoever signs in owes the family: keys handed on, old wraps forgotten, a discovery key for all, names."""

from __future__ import annotations

from collections.abc import Callable

from node.discovery_keys import renewal
from node.keyholder import Unlocked
from node.passwords import forget_old_wraps
from node.people import introduce, say
from node.vault import Vaults
from replication.replica import Replica


def at_unlock(
    replica: Replica, unlocked: Unlocked, vaults: Vaults, name: str, random_bytes: Callable[[int], bytes]
) -> None:
    """To be called at each unlock, before node.housekeeping.tidy. `name`: what this device is called if the
    family has no name for it. Raises KinringError."""
    if unlocked.keyholder not in replica.state().keyholders:
        return  # whoever was removed owes nothing, and is not heard
    vaults.grant_missing()
    forget_old_wraps(replica, unlocked)
    if more := renewal(replica.membership(), unlocked.person, random_bytes):
        say(replica, unlocked, more)
    introduce(replica, unlocked, vaults, name)

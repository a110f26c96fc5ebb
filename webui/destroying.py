"""Destroying for good: what is in the bin, an item, an item's earlier values.

Each is asked for with a typed word, and the answer says until when it can be brought back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import Blueprint, g, render_template, request

from node.errors import ExitCode, KinringError
from node.purging import pending
from node.vault import Destroyed, Vaults
from replication.purge import waiting_for
from replication.replica import Replica

routes = Blueprint("destroying", __name__)

AT_ONCE: Final = 1024
"""Records of the bin, roughly, that one request destroys: everybody else waits for it."""
SHOWN: Final = 100
"""Items that the answer offers to bring back."""
DAY_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is to be destroyed in a vault and is still here."""

    vault: str
    values: int
    devices: list[str]
    """Names of those whose word is waited for; without any, only the 30 days are."""


def waited_for(replica: Replica) -> set[bytes]:
    """The devices whose word a purge still waits for."""
    return {device for purge, _ in pending(replica) for device in waiting_for(replica, purge)}


def waiting(replica: Replica, vaults: Vaults) -> list[Waiting]:
    """By vault, in order of their titles."""
    titles = {view.vault_id: view.title for view in [*vaults.vaults(), *vaults.vaults(deleted=True)]}
    names = vaults.names()
    values: dict[bytes, int] = {}
    devices: dict[bytes, set[str]] = {}
    for purge, count in pending(replica):
        values[purge.vault] = values.get(purge.vault, 0) + count
        late = {names.get(device[:16], device.hex()[:8]) for device in waiting_for(replica, purge)}
        devices.setdefault(purge.vault, set()).update(late)
    found = [
        Waiting(titles.get(vault.hex(), vault.hex()[:8]), values[vault], sorted(devices[vault])) for vault in values
    ]
    return sorted(found, key=lambda one: one.vault.casefold())


def _vaults() -> Vaults:
    found: Vaults = g.vaults
    return found


def _sure() -> None:
    if request.form.get("sure", "").strip().casefold() != "yes":
        raise KinringError("nothing was destroyed", "type yes to go on", ExitCode.INVALID)


def _older_than() -> int | None:
    """Milliseconds, of the days that were chosen; None for whatever its age."""
    days = request.form.get("days", "")
    if not days:
        return None
    if not (days.isascii() and days.isdigit() and len(days) <= 5):
        raise KinringError("nothing was destroyed", "choose a number of days of the list", ExitCode.INVALID)
    return int(days) * DAY_MS


@routes.post("/bin/empty")
def empty_bin() -> str:
    """Destroy what is in the bin, the vaults in it with all they hold."""
    _sure()
    vaults, older_than = _vaults(), _older_than()
    titles = {view.vault_id: view.title for view in [*vaults.vaults(), *vaults.vaults(deleted=True)]}
    labels = {item.item_id: item.label for item in vaults.items(deleted=True).items}
    done = vaults.empty_bin(older_than=older_than, progress=lambda count, of: AT_ONCE <= count < of)
    return _told(
        done,
        vaults=[(vault, titles[vault]) for vault in done.vaults],
        items=[(item, labels[item]) for item in done.accounts if item in labels],
        left=[titles[vault] for vault in done.left],
    )


@routes.post("/items/<item_id>/erase")
def erase(item_id: str) -> str:
    """Destroy an item with its whole history."""
    _sure()
    label = _vaults().item(item_id).label
    return _told(_vaults().erase(item_id), items=[(item_id, label)])


@routes.post("/items/<item_id>/purge")
def purge_history(item_id: str) -> str:
    """Destroy an item's earlier values; what it shows now stays."""
    _sure()
    item = _vaults().item(item_id)
    done = _vaults().purge_history(item_id, older_than=_older_than())
    return _told(done, history=item, fields=done.left)


def _told(done: Destroyed, **what: object) -> str:
    found = {"vaults": [], "items": [], "left": [], "history": None, "fields": [], **what}
    return render_template("destroyed.html", done=done, shown=SHOWN, **found)

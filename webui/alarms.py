"""What a person is told of an alarm: what happened, in plain words, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.housekeeping import COPY_DIFFERS
from node.vault import Vaults
from replication.alarms import FLOOD, SHOWS_LESS, TWO_PLACES, Alarm
from replication.replica import Replica

_REMOVE: Final = "take it out of the family: kinring remove-device."
TOLD: Final = {
    SHOWS_LESS: (
        "shows less than before",
        "Changes that it once had are missing there. It was put back from a backup, or keeps something back.",
        f"If somebody put it back, dismiss this: it gets the rest from the others. If nobody did, {_REMOVE}",
    ),
    TWO_PLACES: (
        "is in two places",
        "Its key writes in two places at once: a copy of its disk, or an old backup of it, runs beside it.",
        f"Stop one of the two. If you know of no second one, {_REMOVE} Then change what kinring exposure lists.",
    ),
    FLOOD: (
        "writes more than people do",
        "What comes from there is fetched and passed on slowly. Nothing is lost.",
        f"After a large import, dismiss this. If nobody imported anything, look at that device, or {_REMOVE}",
    ),
    COPY_DIFFERS: (
        "sealed something else than was written",
        "You see what was written. Whoever has only the newer key sees what that device made of it.",
        f"Save that vault’s important items anew. If it was no accident, {_REMOVE}",
    ),
}
"""Kind to what happened (after a name), what it means, and what to do."""
_UNKNOWN: Final = ("did something unusual", "This version has no words for it.", "Update Kinring.")


@dataclass(frozen=True, slots=True)
class AlarmView:
    kind: str
    subject: str
    name: str
    what: str
    meaning: str
    advice: str
    vault: str
    """Title of the vault that it is about; "" for none."""
    at: int
    count: int


def standing(replica: Replica, vaults: Vaults) -> list[AlarmView]:
    """Those not dismissed, the newest first."""
    return [_view(alarm, vaults) for alarm in replica.alarms()]


def _view(alarm: Alarm, vaults: Vaults) -> AlarmView:
    name = "Somebody outside the family"
    if alarm.subject:
        name = vaults.name_of(alarm.subject) or alarm.subject.hex()[:8]
    titles = [view.title for view in vaults.vaults() if view.vault_id in alarm.detail]
    return AlarmView(
        alarm.kind, alarm.subject.hex(), name, *TOLD.get(alarm.kind, _UNKNOWN), "".join(titles), alarm.at, alarm.count
    )

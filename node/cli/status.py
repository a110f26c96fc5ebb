"""status, dismiss-alarm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.call import Call, command
from node.cli.output import clean, instant, pairs, table
from node.errors import ExitCode, KinringError

if TYPE_CHECKING:
    from node.vault import Vaults
    from replication.alarms import Alarm
    from replication.membership import State
    from replication.replica import Replica

NOT_UNDERSTOOD: Final = ("unknown version", "unknown kind", "unknown suite", "unknown statement")
"""Put aside until this program is updated."""


@command("status")
def status(call: Call) -> None:
    """Show the state of this device's copy: family, devices, people, entries, who is signed in.

    Needs no password. Names are sealed: they are shown with a handle or a password given, ids without.
    """
    from node.control import node_runs
    from node.folders import runtime_folder
    from node.handles import sweep
    from node.keyholder import sign_ins

    replica = call.replica()
    runtime = runtime_folder(call.folder())
    sweep(runtime, time.time())
    vaults = call.vaults() if call.gave_sign_in() else None
    state = replica.state()
    result: dict[str, Any] = {
        "family_id": replica.family.hex() if replica.family else None,
        "data_dir": str(call.folder()),
        "node": node_runs(runtime),
        "devices": _devices(state, vaults),
        "people": _people(state, vaults),
        "entries": replica.store.row("SELECT count(*) FROM entries")[0],
        "put_aside": len(replica.put_aside()),
        "update_needed": sum(why in NOT_UNDERSTOOD for _, why in replica.put_aside()),
        "wanted": _wanted(replica, vaults),
        "purges": _purges(replica, vaults),
        "alarms": [_alarm_json(alarm, vaults) for alarm in replica.alarms()],
        "unopened": _unopened(vaults) if vaults else None,
        "may_sign_in": sorted(username for username, _, _ in sign_ins(replica)),
        "signed_in": vaults.username if vaults else None,
        "handles": sum(not path.name.startswith(".") for path in (runtime / "unlocked").glob("*")),
    }
    call.show(result, _lines(result))


def _devices(state: State, vaults: Vaults | None) -> list[dict[str, Any]]:
    names = vaults.names() if vaults else {}
    return [
        {"device_id": device.hex(), "name": names.get(device[:16]), "blind": not about.owner}
        for device, about in state.devices.items()
    ]


def _people(state: State, vaults: Vaults | None) -> list[dict[str, Any]]:
    from node.cli.people import role_name

    names = vaults.names() if vaults else {}
    return [
        {"user_id": person.hex(), "name": names.get(person), "role": role_name(about.role)}
        for person, about in state.people.items()
    ]


def _wanted(replica: Replica, vaults: Vaults | None) -> list[dict[str, Any]]:
    """Values that are missing and asked of every peer, by vault."""
    from node.purging import wanted_in

    titles = _titles(vaults)
    return [
        {"vault_id": vault.hex(), "title": titles.get(vault.hex()), "values": count}
        for vault, count in sorted(wanted_in(replica).items())
    ]


def _purges(replica: Replica, vaults: Vaults | None) -> list[dict[str, Any]]:
    """What is to be destroyed and is still here, by vault, and the devices whose word that waits for."""
    from node.purging import pending
    from replication.purge import waiting_for

    titles, names = _titles(vaults), vaults.names() if vaults else {}
    values: dict[bytes, int] = {}
    devices: dict[bytes, set[bytes]] = {}
    for purge, count in pending(replica):
        values[purge.vault] = values.get(purge.vault, 0) + count
        devices.setdefault(purge.vault, set()).update(waiting_for(replica, purge))
    return [
        {
            "vault_id": vault.hex(),
            "title": titles.get(vault.hex()),
            "values": values[vault],
            "waits_for": sorted(names.get(device[:16], device.hex()[:8]) for device in devices[vault]),
        }
        for vault in sorted(values)
    ]


def _titles(vaults: Vaults | None) -> dict[str, str]:
    return {view.vault_id: view.title for view in vaults.vaults()} if vaults else {}


def _alarm_name(alarm: Alarm) -> str:
    return f"{alarm.kind}:{alarm.subject.hex()[:8]}"


def _alarm_json(alarm: Alarm, vaults: Vaults | None) -> dict[str, Any]:
    return {
        "alarm": _alarm_name(alarm),
        "kind": alarm.kind,
        "subject": alarm.subject.hex(),
        "about": vaults.name_of(alarm.subject) if vaults else None,
        "detail": alarm.detail,
        "at": instant(alarm.at),
        "count": alarm.count,
    }


@command("dismiss-alarm")
@click.option("--alarm", required=True, metavar="NAME", help="The alarm, as status names it.")
def dismiss_alarm(call: Call, alarm: str) -> None:
    """Tick off an alarm that status shows. It comes back only if it happens anew. Needs no password.

    Example: kinring dismiss-alarm --alarm two-places:1c353707
    """
    found = [one for one in call.replica().alarms() if _alarm_name(one) == alarm]
    if not found:
        raise KinringError("there is no such alarm", "status lists them by name", ExitCode.NOT_FOUND)
    for one in found:
        call.replica().dismiss_alarm(one.kind, one.subject)
    call.show({"dismissed": len(found)}, ["dismissed"])


def _unopened(vaults: Vaults) -> int:
    """How many live values do not open; reading everything shows it."""
    vaults.items()
    return len(vaults.unopened)


def _vault_name(one: dict[str, Any]) -> str:
    return str(one["title"] or one["vault_id"][:8])


def _lines(result: dict[str, Any]) -> list[str]:
    shown = {
        "family": result["family_id"] or "none yet",
        "data folder": result["data_dir"],
        "node": "running" if result["node"] else "not running",
        "entries": result["entries"],
        "put aside": result["put_aside"],
        "unopened": "not known without signing in" if result["unopened"] is None else result["unopened"],
        "may sign in": ", ".join(result["may_sign_in"]) or "nobody",
        "signed in": result["signed_in"] or "nobody",
        "handles": result["handles"] or "none: locked",
    }
    if result["update_needed"]:
        shown["not understood"] = f"{result['update_needed']} things from a newer Kinring: update this one"
    for one in result["wanted"]:
        shown[f"wanted in {_vault_name(one)}"] = f"{one['values']} values that no peer has handed over yet"
    for one in result["purges"]:
        wait = f"waits for {', '.join(one['waits_for'])}" if one["waits_for"] else "30 days after all have heard of it"
        shown[f"to be destroyed in {_vault_name(one)}"] = f"{one['values']} values; {wait}"
    for one in result["alarms"]:
        who = one["about"] or one["subject"][:8]
        shown[f"alarm {one['alarm']}"] = f"{who}: {one['detail']} ({one['at']}); dismiss-alarm ticks it off"
    devices = table(["device", "name", ""], ([d["device_id"], d["name"], "blind" if d["blind"] else ""]
                                             for d in result["devices"]))  # fmt: skip
    people = table(
        ["person", "name", "role"], ([p["user_id"], p["name"], p["role"]] for p in result["people"])
    )
    return [*pairs((name, clean(str(value))) for name, value in shown.items()), "", *devices, "", *people]

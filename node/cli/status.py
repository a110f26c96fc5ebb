"""status."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from node.cli.call import Call, command
from node.cli.output import clean, pairs, table

if TYPE_CHECKING:
    from node.vault import Vaults
    from replication.membership import State


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


def _unopened(vaults: Vaults) -> int:
    """How many live values do not open; reading everything shows it."""
    vaults.items()
    return len(vaults.unopened)


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
    devices = table(["device", "name", ""], ([d["device_id"], d["name"], "blind" if d["blind"] else ""]
                                             for d in result["devices"]))  # fmt: skip
    people = table(
        ["person", "name", "role"], ([p["user_id"], p["name"], p["role"]] for p in result["people"])
    )
    return [*pairs((name, clean(str(value))) for name, value in shown.items()), "", *devices, "", *people]

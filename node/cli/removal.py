"""Commands that take someone out of the family, and that say what to change afterwards."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from node.cli.call import Call, command
from node.cli.output import instant, table
from node.errors import ExitCode, KinringError

if TYPE_CHECKING:
    from node.people import Removed


@command("remove-device")
@click.option(
    "--device-id", required=True, metavar="ID", help="As status and peers list it; its start is enough."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_device(call: Call, device_id: str, yes: bool) -> None:
    """Take a lost or given-away device out of the family. It can only come back by joining anew.

    Example: kinring remove-device --device-id 1c353707
    """
    from node.people import remove_device as remove

    unlocked = call.unlock()
    vaults = call.vaults_of(unlocked)
    device = _find(device_id, list(call.replica().state().devices), "device")
    name = vaults.names().get(device[:16], device.hex()[:8])
    _ask(f"remove {name} for good", yes)
    _told(call, name, remove(call.replica(), unlocked, vaults, device))


@command("remove-user")
@click.option("--user-id", required=True, metavar="ID", help="As status lists it; its start is enough.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_user(call: Call, user_id: str, yes: bool) -> None:
    """Take a person out of the family, with their devices. Their own vaults stay, sealed, where they are.

    Example: kinring remove-user --user-id 40cc6813
    """
    from node.people import remove_person

    unlocked = call.unlock()
    vaults = call.vaults_of(unlocked)
    person = _find(user_id, list(call.replica().state().people), "person")
    name = vaults.names().get(person, person.hex()[:8])
    _ask(f"remove {name} for good", yes)
    _told(call, name, remove_person(call.replica(), unlocked, vaults, person))


@command("exposure")
def show_exposure(call: Call) -> None:
    """List the secrets that someone removed could have read, until each has been changed.

    Example: kinring exposure
    """
    from node.people import exposure

    found = exposure(call.replica(), call.vaults())
    result = [
        {
            "account_id": e.item_id,
            "vault_id": e.vault_id,
            "label": e.label,
            "field": e.field,
            "since": instant(e.since),
        }
        for e in found
    ]
    lines = table(
        ["account", "label", "field", "written"],
        [[e.item_id, e.label, e.field, instant(e.since)] for e in found],
    )
    call.show(
        result,
        [*lines, f"{len(found)} to change"] if found else ["nothing that a removed one could have read"],
    )


def _find(text: str, ids: list[bytes], what: str) -> bytes:
    """The id that begins so. Raises KinringError NOT_FOUND, USAGE where several do."""
    start = text.strip().lower()
    found = [one for one in ids if len(start) >= 4 and one.hex().startswith(start)]
    if len(found) > 1:
        raise KinringError(f"several ids begin with {start}", "give more of it", ExitCode.USAGE)
    if not found:
        raise KinringError(
            f"there is no such {what}", "list them with status; give at least four digits", ExitCode.NOT_FOUND
        )
    return found[0]


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise KinringError(f"to {question}, say --yes", "it cannot be taken back", ExitCode.USAGE)
    print(f"This will {question}. Type yes to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise KinringError("nothing was removed", code=ExitCode.STOPPED)


def _told(call: Call, name: str, done: Removed) -> None:
    call.saved()
    until = instant(done.counts_until) if done.counts_until else None
    result = {
        "removed": True,
        "counts_until": until,
        "new_keys": done.new_keys,
        "vaults_waiting": done.waiting,
    }
    lines = [f"{name} is removed; {done.new_keys} vaults have a new key."]
    lines.append(f"What it wrote counts until {until}." if until else "It wrote nothing that is here.")
    if done.waiting:
        lines.append(f"{done.waiting} vaults get theirs from the next of their people who writes.")
    call.show(result, [*lines, "See what it could have read: kinring exposure"])

"""Commands that take someone out of the family, and that say what to change afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from node.cli.call import Call, command
from node.cli.naming import ask, find_id, name_of
from node.cli.output import instant, table

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
    device = find_id(device_id, call.replica().state().devices, "device")
    name = name_of(vaults, device)
    ask(f"remove {name} for good", yes)
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
    person = find_id(user_id, call.replica().state().people, "person")
    name = name_of(vaults, person)
    ask(f"remove {name} for good", yes)
    _told(call, name, remove_person(call.replica(), unlocked, vaults, person))


@command("propose-removal")
@click.option("--device-id", metavar="ID", help="A device, as status and peers list it; its start is enough.")
@click.option("--user-id", metavar="ID", help="A person, as status lists them; the start is enough.")
def propose_removal(call: Call, device_id: str | None, user_id: str | None) -> None:
    """Propose to take out a device or a person, an admin senior to you among them: another admin approves it.

    Example: kinring propose-removal --user-id 40cc6813
    """
    from node.people import propose_removal as propose
    from replication.membership import A_DEVICE, A_PERSON

    if (device_id is None) is (user_id is None):
        raise click.UsageError("name one: --device-id or --user-id")
    unlocked = call.unlock()
    state = call.replica().state()
    if device_id is not None:
        what, target = A_DEVICE, find_id(device_id, state.devices, "device")
    else:
        what, target = A_PERSON, find_id(user_id or "", state.people, "person")
    proposal = propose(call.replica(), unlocked, what, target).hex()
    call.saved()
    hint = f"another admin says: kinring approve-removal --proposal-id {proposal[:8]}"
    call.show({"proposed": True, "proposal_id": proposal}, [proposal, hint])


@command("proposals")
def show_proposals(call: Call) -> None:
    """List the removals that an admin proposed and another may approve.

    Example: kinring proposals
    """
    from node.people import proposals
    from replication.membership import A_DEVICE

    vaults = call.vaults()
    found = [
        {
            "proposal_id": proposal.hex(),
            "what": "device" if one.what == A_DEVICE else "person",
            "target_id": one.target.hex(),
            "name": name_of(vaults, one.target),
            "proposed_by": name_of(vaults, one.person),
        }
        for proposal, one in proposals(call.replica()).items()
    ]
    titles = ["proposal_id", "what", "name", "proposed_by"]
    lines = table(["proposal", "what", "name", "proposed by"], [[one[title] for title in titles] for one in found])
    call.show(found, lines if found else ["nothing is proposed"])


@command("approve-removal")
@click.option(
    "--proposal-id", required=True, metavar="ID", help="As proposals lists it; its start is enough."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def approve_removal(call: Call, proposal_id: str, yes: bool) -> None:
    """Take out what another admin proposed, whoever it is: two admins together stand above each one.

    Example: kinring approve-removal --proposal-id 5f3a9c01
    """
    from node.people import approve_removal as approve
    from node.people import proposals

    unlocked = call.unlock()
    vaults = call.vaults_of(unlocked)
    found = proposals(call.replica())
    proposal = find_id(proposal_id, found, "proposal", "proposals")
    name = name_of(vaults, found[proposal].target)
    ask(f"remove {name} for good", yes)
    _told(call, name, approve(call.replica(), unlocked, vaults, proposal))


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

"""share-vault, unshare-vault: who else may read and write a vault."""

from __future__ import annotations

import click

from node.cli.call import Call, command
from node.cli.naming import find_person, name_of
from node.cli.output import instant
from node.cli.vaults import vault_id_option

target_option = click.option(
    "--target-username", required=True, metavar="NAME", help="Their name in the family, or the start of their id."
)


@command("share-vault")
@vault_id_option
@target_option
@click.option(
    "--right", type=click.Choice(["reads", "writes", "owns"]), metavar="RIGHT",
    help="reads, writes (if left out) or owns: who owns it may share it, too.",
)  # fmt: skip
@click.option("--read-only", is_flag=True, help="The same as --right reads.")
def share_vault(call: Call, vault_id: str, target_username: str, right: str | None, read_only: bool) -> None:
    """Let another person of the family read a vault, and write it. They see all that it ever held.

    Example: kinring share-vault --vault-id 4f0c1a... --target-username Ben --right reads
    """
    from node.sharing import RIGHTS, share

    if read_only and right not in (None, "reads"):
        raise click.UsageError(f"--read-only and --right {right} are two things")
    given = "reads" if read_only else right or "writes"
    unlocked = call.unlock()
    vaults = call.vaults_of(unlocked)
    person = find_person(call, vaults, target_username)
    share(call.replica(), unlocked, vaults, vault_id, person, RIGHTS[given])
    call.saved()
    call.show({"shared": True, "user_id": person.hex(), "right": given}, [f"{name_of(vaults, person)} now {given} it"])


@command("unshare-vault")
@vault_id_option
@target_option
@click.option(
    "--right", type=click.Choice(["none", "reads", "writes"]), default="none", metavar="RIGHT",
    help="What stays: none (if left out), reads or writes.",
)  # fmt: skip
def unshare_vault(call: Call, vault_id: str, target_username: str, right: str) -> None:
    """Take a share back, whole or in part; your own, too. The vault gets a new key if they may read it no more.

    What they wrote that is here by now counts, later writing does not. What they have read they know: see exposure.

    Example: kinring unshare-vault --vault-id 4f0c1a... --target-username Ben
    """
    from node.sharing import RIGHTS, unshare

    unlocked = call.unlock()
    vaults = call.vaults_of(unlocked)
    person = find_person(call, vaults, target_username)
    name = name_of(vaults, person)
    done = unshare(call.replica(), unlocked, vaults, vault_id, person, RIGHTS[right])
    call.saved()
    until = instant(done.counts_until) if done.counts_until else None
    lines = [f"{name} reads this vault no more." if right == "none" else f"{name} now only {right} it."]
    if until:
        lines.append(f"What they wrote counts until {until}.")
    if done.new_key:
        lines.append("It has a new key. See what they could have read: kinring exposure")
    result = {"unshared": True, "user_id": person.hex(), "right": right, "counts_until": until}
    call.show({**result, "new_key": done.new_key}, lines)

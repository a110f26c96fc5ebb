"""empty-bin, erase-account, purge-history: what is destroyed for good, and how long it can be brought back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.accounts import account_id_option
from node.cli.call import Call, command
from node.cli.output import clean, instant
from node.cli.progress import shown, stopped_by_ctrl_c
from node.errors import ExitCode, KinringError

if TYPE_CHECKING:
    from node.vault import Destroyed

DAY_MS: Final = 24 * 3600 * 1000
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


DAYS: Final = click.IntRange(min=0)


@command("empty-bin")
@click.option("--vault-id", metavar="ID", help="Of this vault alone; a vault in the bin goes with all it holds.")
@click.option("--older-than", type=DAYS, metavar="DAYS", help="Only what has been in the bin for so many days.")
@yes_option
def empty_bin(call: Call, vault_id: str | None, older_than: int | None, yes: bool) -> None:
    """Destroy what is in the bin, on every device: accounts with their whole history, and vaults with all they hold.

    For at least 30 days restore-account and restore-vault bring it back: so long every device keeps the bytes from when
    all have heard of it. Ctrl-C stops after the batch at hand. Owners of a vault and admins may do this.

    Example: kinring empty-bin --older-than 30
    """
    vaults = call.vaults()
    _ask("destroy what is in the bin", yes)
    with stopped_by_ctrl_c() as stop, shown(stop, "destroying") as progress:
        done = vaults.empty_bin(vault_id, older_than=_ms(older_than), progress=progress)
    lines = [f"destroyed: {len(done.accounts)} accounts, {len(done.vaults)} vaults, {done.values} values"]
    if done.left:
        titles = {view.vault_id: view.title for view in vaults.vaults()}
        names = ", ".join(titles.get(vault, vault[:8]) for vault in done.left)
        lines.append(f"left alone, for their owners to decide: {names}")
    _told(call, done, lines, "restore-account --account-id ID, restore-vault --vault-id ID")
    if done.stopped:
        raise click.exceptions.Exit(ExitCode.STOPPED)


@command("erase-account")
@account_id_option
@yes_option
def erase_account(call: Call, account_id: str, yes: bool) -> None:
    """Destroy an account with its whole history, on every device, whether it is in the bin or not.

    For at least 30 days restore-account brings it back. Owners of its vault and admins may do this.

    Example: kinring erase-account --account-id 4f0c1a...
    """
    vaults = call.vaults()
    _ask(f"destroy {clean(vaults.item(account_id).label)} and all it ever held", yes)
    done = vaults.erase(account_id)
    _told(call, done, [f"destroyed: {done.values} values"], f"restore-account --account-id {account_id}")


@command("purge-history")
@account_id_option
@click.option("--older-than", type=DAYS, metavar="DAYS", help="Only what was replaced so many days ago.")
@yes_option
def purge_history(call: Call, account_id: str, older_than: int | None, yes: bool) -> None:
    """Destroy the earlier values of an account, on every device. What it shows now stays.

    A value that the account was made with can go once every device has said that it has the newer one: until then
    it is named as left, with the devices that are waited for. For at least 30 days history still shows the values, and
    restore writes one again. Owners of its vault and admins may do this.

    Example: kinring purge-history --account-id 4f0c1a... --older-than 90
    """
    vaults = call.vaults()
    _ask(f"destroy what {clean(vaults.item(account_id).label)} held before", yes)
    done = vaults.purge_history(account_id, older_than=_ms(older_than))
    lines = [f"destroyed: {done.values} values"]
    if done.left:
        lines.append(f"left for now: earlier values of {clean(', '.join(done.left))}; say it again when all have heard")
    _told(call, done, lines, f"restore --account-id {account_id} --field NAME --dot DOT, as history lists them")


def _ms(days: int | None) -> int | None:
    return None if days is None else days * DAY_MS


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise KinringError(f"to {question}, say --yes", "nothing was destroyed", ExitCode.USAGE)
    print(f"This will {question}. Type yes to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise KinringError("nothing was destroyed", code=ExitCode.STOPPED)


def _told(call: Call, done: Destroyed, lines: list[str], back: str) -> None:
    if done.values or done.accounts or done.vaults:
        call.saved()
    result: dict[str, Any] = {
        "accounts": done.accounts,
        "vaults": done.vaults,
        "values": done.values,
        "left": done.left,
        "waits_for": done.waiting,
        "until": instant(done.until) if done.values else None,
    }
    if done.stopped:
        result["stopped"] = True
    if done.waiting:
        lines.append(f"waits for: {clean(', '.join(done.waiting))}")
    if done.values:
        lines.append(f"until {instant(done.until)} at the earliest it can be brought back: {back}")
    call.show(result, lines)

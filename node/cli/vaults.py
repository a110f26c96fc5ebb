"""create-vault, get-vaults, get-vault, update-vault, delete-vault, restore-vault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from node.cli.accounts import KIND, account_table, summary
from node.cli.call import Call, command
from node.cli.output import instant, pairs, table

if TYPE_CHECKING:
    from node.vault import VaultView

vault_id_option = click.option("--vault-id", required=True, metavar="ID", help="The vault.")


def vault_json(view: VaultView) -> dict[str, Any]:
    """A vault by the documents' names."""
    return {
        "vault_id": view.vault_id,
        "title": view.title,
        "kind": view.kind,
        "icon": view.icon or None,
        "can_write": view.can_write,
        "deleted": view.deleted,
        "created_at": instant(view.created_at),
        "updated_at": instant(view.updated_at),
    }


def vault_table(views: list[VaultView]) -> list[str]:
    return table(
        ["vault", "title", "kind", "changed"],
        ([view.vault_id, view.title, view.kind, instant(view.updated_at)] for view in views),
    )


@command("create-vault")
@click.option("--title", required=True, help="Its title.")
@click.option(
    "--kind", type=KIND, default="Logins", show_default=True, help="Logins, Contacts, Notes or Custom."
)
@click.option("--icon", default="", help="The name of an icon.")
def create_vault(call: Call, title: str, kind: str, icon: str) -> None:
    """Make a vault of your own."""
    vault_id = call.vaults().create_vault(title, kind, icon)
    call.saved()
    call.show({"created": True, "vault_id": vault_id}, [vault_id])


@command("get-vaults")
def get_vaults(call: Call) -> None:
    """List the vaults you can read, in the order they were made."""
    views = call.vaults().vaults()
    call.show([vault_json(view) for view in views], vault_table(views))


@command("get-vault")
@vault_id_option
def get_vault(call: Call, vault_id: str) -> None:
    """Show a vault, who may read and write it, and the accounts in it, without their secrets."""
    from node.sharing import right_name, shares

    vaults = call.vaults()
    items = vaults.items(vault_id).items
    view = vaults.vault(vault_id)
    shown = vault_json(view)
    names = vaults.names()
    people = [
        {"user_id": person.hex(), "name": names.get(person), "right": right_name(right)}
        for person, right in shares(call.replica().state(), bytes.fromhex(vault_id)).items()
    ]
    lines = pairs(
        (name.replace("_", " "), value) for name, value in shown.items() if value not in (None, False)
    )
    who = table(["person", "name", "right"], [list(one.values()) for one in people])
    call.show(
        {**shown, "people": people, "entries": {item.item_id: summary(item) for item in items}},
        [*lines, "", *who, "", *account_table(items)],
    )


@command("update-vault")
@vault_id_option
@click.option("--title", help="Its new title.")
@click.option("--kind", type=KIND, help="Logins, Contacts, Notes or Custom.")
@click.option("--icon", help='The name of an icon; "" for none.')
def update_vault(call: Call, vault_id: str, title: str | None, kind: str | None, icon: str | None) -> None:
    """Change a vault's title, kind or icon; what is not named stays."""
    if title is kind is icon is None:
        raise click.UsageError("nothing to change: name --title, --kind or --icon")
    call.vaults().update_vault(vault_id, title=title, kind=kind, icon=icon)
    call.saved()
    call.show({"updated": True}, ["updated"])


@command("delete-vault")
@vault_id_option
def delete_vault(call: Call, vault_id: str) -> None:
    """Put a vault and all it holds into the bin."""
    call.vaults().delete_vault(vault_id)
    call.saved()
    call.show({"deleted": True}, ["deleted; restore-vault brings it back"])


@command("restore-vault")
@vault_id_option
def restore_vault(call: Call, vault_id: str) -> None:
    """Bring a vault back from the bin."""
    call.vaults().restore_vault(vault_id)
    call.saved()
    call.show({"restored": True}, ["restored"])

"""bin, history, restore, conflicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from node.cli.accounts import account_id_option, candidate_json, shown_value, summary
from node.cli.call import Call, command
from node.cli.output import instant, table
from node.cli.vaults import vault_json

if TYPE_CHECKING:
    from node.vault import VersionView


@command("bin")
def show_bin(call: Call) -> None:
    """List what is in the bin: vaults, and accounts of the vaults that are not."""
    vaults = call.vaults()
    items, views = vaults.items(deleted=True).items, vaults.vaults(deleted=True)
    rows: list[list[Any]] = [["vault", view.vault_id, view.title, instant(view.updated_at)] for view in views]
    rows += [["account", item.item_id, item.label, instant(item.updated_at)] for item in items]
    call.show(
        {"accounts": [summary(item) for item in items], "vaults": [vault_json(view) for view in views]},
        table(["what", "id", "name", "changed"], rows),
    )


@command("history")
@account_id_option
@click.option("--field", metavar="NAME", help="Of this field alone; form_fields.NAME for one of your own.")
@click.option("--reveal", is_flag=True, help="Show secrets on the screen.")
def history(call: Call, account_id: str, field: str | None, reveal: bool) -> None:
    """List every value that an account's fields have had, newest first.

    JSON shows secrets as they are. The dot of a line is what `restore` takes.
    """
    versions = call.vaults().history(account_id, _plain(field))
    call.show(
        [_version_json(version) for version in versions],
        table(
            ["at", "field", "value", "by", "device", "", "dot"],
            (
                [instant(v.at), v.field, _shown(v, reveal=reveal), v.author, v.device,
                 "now" if v.current else "", v.dot]
                for v in versions
            ),
        ),
    )  # fmt: skip


def _plain(field: str | None) -> str | None:
    return "website_url" if field == "url" else field


def _shown(version: VersionView, *, reveal: bool) -> str:
    if version.purged_by:
        return f"(destroyed by {version.purged_by})"
    return "(not here yet)" if version.wanted else shown_value(version.field, version.value, reveal=reveal)


def _version_json(version: VersionView) -> dict[str, Any]:
    return {
        "field": version.field,
        "value": version.value,
        "author": version.author,
        "device": version.device,
        "at": instant(version.at),
        "current": version.current,
        "dot": version.dot,
        "wanted": version.wanted,
        "purged_by": version.purged_by or None,
    }


@command("restore")
@account_id_option
@click.option("--field", required=True, metavar="NAME", help="The field.")
@click.option("--dot", required=True, help="Which value, as history names it.")
def restore(call: Call, account_id: str, field: str, dot: str) -> None:
    """Write an earlier value of a field again. What stands there now stays in the history."""
    call.vaults().restore_version(account_id, _plain(field) or "", dot)
    call.saved()
    call.show({"restored": True}, ["restored"])


@command("conflicts")
@click.option("--reveal", is_flag=True, help="Show secrets on the screen.")
def conflicts(call: Call, reveal: bool) -> None:
    """List fields that two people changed apart, with every value.

    Nothing is lost: writing the field with update-account settles it, and so does restore with a dot.
    """
    found = call.vaults().conflicts()
    call.show(
        [
            {
                "account_id": one.item_id,
                "vault_id": one.vault_id,
                "label": one.label,
                "field": one.field,
                "candidates": [candidate_json(candidate) for candidate in one.candidates],
            }
            for one in found
        ],
        table(
            ["account", "label", "field", "value", "by", "device", "at", "dot"],
            (
                [one.item_id, one.label, one.field, shown_value(one.field, side.value, reveal=reveal),
                 side.author, side.device, instant(side.at), side.dot]
                for one in found for side in one.candidates
            ),
        ),
    )  # fmt: skip

"""The commands about accounts, and how an account is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.call import Call, command, note, warn_of_argv
from node.cli.output import DOTS, clean, instant, pairs, table
from node.errors import ExitCode, KinringError

if TYPE_CHECKING:
    from node.vault import CandidateView, ItemView

ORDER: Final = (
    "kind", "label", "favorite", "description", "username", "password", "email", "phone", "address",
    "website_url", "category", "tags", "otp", "icon", "form_fields", "notes", "renew_interval_days",
    "expires_at", "due_at",
)  # fmt: skip
"""The fields of an account as they are listed."""
SECRET: Final = ("password", "otp", "notes", "form_fields")


class _Kind(click.ParamType[str]):
    """Any text: what it contains decides, as in the documents."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from node.item import read_kind

        return read_kind(str(value))


class _Date(click.ParamType[str]):
    """A day, in one of the documents' forms; "" empties the field."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from node.item import read_day

        found = read_day(str(value))
        if value and found is None:
            self.fail("a date is written YYYY-MM-DD, YYYY/MM/DD or MM/DD/YYYY", param, ctx)
        return found[0] if found else ""


KIND: Final = _Kind()
account_id_option = click.option("--account-id", required=True, metavar="ID", help="The account.")


def _account_options(function: Callable[..., Any]) -> Callable[..., Any]:
    date = _Date()
    options: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
        click.option(
            "--kind", type=KIND, help="Logins, Contacts, Notes or Custom; the vault's kind if left out."
        ),
        click.option("--label", help="What it is called."),
        click.option("--favorite", type=bool, metavar="true|false", help="Whether it is a favourite."),
        click.option("--description", help="A description."),
        click.option("--username", help="The user name there."),
        click.option("--password", help="The password; seen by other programs, better --password-stdin."),
        click.option("--password-stdin", is_flag=True, help="Read the account's password from stdin."),
        click.option(
            "--account-password-file", metavar="PATH|-", help="A file that holds the account's password."
        ),
        click.option("--email", help="An e-mail address."),
        click.option("--phone", help="A phone number."),
        click.option("--address", help="A postal address."),
        click.option("--website-url", "--url", "website_url", help="The address of the website."),
        click.option("--category", help="A category."),
        click.option("--tags", multiple=True, metavar="TAG,TAG", help="Tags: a list, or repeated."),
        click.option("--otp", help="The secret of its one-time passwords; seen by other programs."),
        click.option("--icon", help="The name of an icon."),
        click.option("--notes", help="Notes."),
        click.option(
            "--renew-interval-days", type=int, metavar="DAYS", help="When to change the password; 0: never."
        ),
        click.option("--expires-at", type=date, metavar="DATE", help="The day it expires."),
        click.option("--due-at", type=date, metavar="DATE", help="The day something is due."),
        click.option(
            "--form-field", multiple=True, metavar="NAME=VALUE", help="A field of your own; repeatable."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _fields(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """The options as fields: those that were given, and no others."""
    fields = {name: given[name] for name in ORDER if given.get(name) is not None and name != "tags"}
    for name in ("password", "otp"):
        if fields.get(name):
            warn_of_argv(f"--{name}")
    sources = [
        given["password"] is not None,
        given["password_stdin"],
        given["account_password_file"] is not None,
    ]
    if sum(sources) > 1:
        raise click.UsageError("the account's password comes from one place: --password, stdin or a file")
    if given["password_stdin"] or given["account_password_file"] is not None:
        fields["password"] = call.read_password(given["account_password_file"] or "-")
    if given["tags"]:
        fields["tags"] = [tag for text in given["tags"] for tag in text.split(",") if tag.strip()]
    if given["form_field"]:
        fields["form_fields"] = dict(_name_and_value(text) for text in given["form_field"])
    return fields


def _name_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.UsageError("--form-field is written NAME=VALUE")
    return name.strip(), value


# What is shown


def candidate_json(candidate: CandidateView) -> dict[str, Any]:
    """One side of a conflict."""
    return {
        "value": candidate.value,
        "author": candidate.author,
        "device": candidate.device,
        "at": instant(candidate.at),
        "dot": candidate.dot,
    }


def account_json(item: ItemView) -> dict[str, Any]:
    """An account by the documents' names, `url` and `website_url` both; nothing in a field is null."""
    shown: dict[str, Any] = {"account_id": item.item_id, "vault_id": item.vault_id, "version": item.version}
    for name in ORDER:
        shown[name] = item.fields.get(name)
    return {
        **shown,
        "favorite": bool(shown["favorite"]),
        "url": shown["website_url"],
        "tags": item.tags,
        "form_fields": item.form_fields,
        "deleted": item.deleted,
        "revived": item.revived,
        "stub": item.stub,
        "wanted": item.wanted,
        "created_at": instant(item.created_at),
        "updated_at": instant(item.updated_at),
        "conflicts": {name: [candidate_json(c) for c in found] for name, found in item.conflicts.items()},
    }


def summary(item: ItemView) -> dict[str, Any]:
    """An account without its secrets: those fields are left out; of a conflict only the field is named."""
    shown = {name: value for name, value in account_json(item).items() if name not in SECRET}
    return {**shown, "conflicts": sorted(item.conflicts)}


def account_table(items: list[ItemView]) -> list[str]:
    return table(
        ["account", "label", "username", "website", "changed"],
        (
            [i.item_id, _marked(i), i.fields.get("username"), i.fields.get("website_url"), instant(i.updated_at)]
            for i in items
        ),
    )


def _marked(item: ItemView) -> str:
    return f"{item.label} (not all of it is here yet)" if item.wanted else item.label


def shown_value(field: str, value: Any, *, reveal: bool) -> str:
    """A field's value for a person: dots for a secret unless it is to be revealed."""
    if value is None or value == "":
        return "(empty)"
    secret = field.partition(".")[0] in SECRET
    if isinstance(value, bool):
        return "yes" if value else "no"
    return DOTS if secret and not reveal else str(value)


def _lines(item: ItemView, *, reveal: bool) -> list[str]:
    values: list[tuple[str, Any]] = [("account", item.item_id), ("vault", item.vault_id)]
    for name in ORDER:
        if name == "tags":
            values += [("tags", ", ".join(item.tags))] if item.tags else []
        elif name == "form_fields":
            values += [
                (n, shown_value(name, text, reveal=reveal)) for n, text in sorted(item.form_fields.items())
            ]
        elif item.fields.get(name) not in (None, ""):
            values.append((name, shown_value(name, item.fields[name], reveal=reveal)))
    values += [("created", instant(item.created_at)), ("changed", instant(item.updated_at))]
    if item.deleted:
        values.append(("in the bin", "yes; restore-account brings it back"))
    if item.wanted:
        values.append(("not here yet", ", ".join(item.wanted)))
    if item.stub:
        values.append(("emptied", "while someone else changed it; restore-account brings the rest back"))
    elif item.revived:
        values.append(("brought back", "someone deleted it while someone else changed it"))
    values += [
        (f"conflict in {n}", f"{len(found)} values: see conflicts") for n, found in item.conflicts.items()
    ]
    return pairs((clean(name).replace("\n", " ").replace("_", " "), value) for name, value in values)


# The commands


@command("create-account")
@click.option("--vault-id", required=True, metavar="ID", help="The vault it goes into.")
@_account_options
def create_account(call: Call, vault_id: str, **given: Any) -> None:
    """Save an account in a vault."""
    fields = _fields(call, given)
    if not fields:
        raise click.UsageError("an empty account: name at least --label")
    account_id = call.vaults().create_item(vault_id, fields)
    call.saved()
    call.show({"created": True, "account_id": account_id}, [account_id])


@command("update-account")
@account_id_option
@click.option("--vault-id", metavar="ID", help="The vault it is in; only checked.")
@_account_options
def update_account(call: Call, account_id: str, vault_id: str | None, **given: Any) -> None:
    """Change the fields that are named, and no others.

    An empty text empties a field: --label "". So does --form-field NAME= with a field of your own. Writing a
    field that two people changed apart settles it.
    """
    fields = _fields(call, given)
    if not fields:
        raise click.UsageError("nothing to change: name a field")
    vaults = call.vaults()
    if vault_id is not None and vaults.item(account_id).vault_id != vault_id:
        raise KinringError("the account is not in that vault", "leave --vault-id out", ExitCode.NOT_FOUND)
    item = vaults.update_item(account_id, fields)
    call.saved()
    call.show({"updated": True, "version": item.version}, ["updated"])


@command("get-account")
@account_id_option
@click.option(
    "--field", metavar="NAME", help="Print the value of this field alone; form_fields.NAME for your own."
)
@click.option("--reveal", is_flag=True, help="Show secrets on the screen.")
def get_account(call: Call, account_id: str, field: str | None, reveal: bool) -> None:
    """Show an account, with dots in place of its secrets, or one field alone.

    With --field, the value goes to a pipe or file as it is; a secret goes to the screen only with --reveal.
    """
    item = call.vaults().item(account_id)
    if field is None:
        call.show(account_json(item), _lines(item, reveal=reveal))
        return
    value = _field(item, field)
    on_screen = sys.stdout is not None and sys.stdout.isatty() and not call.json
    if on_screen and field.partition(".")[0] in SECRET and not reveal:
        raise KinringError("this field is a secret", "--reveal shows it on the screen", ExitCode.USAGE)
    call.show(value, [clean(value) if on_screen else value])


def _field(item: ItemView, field: str) -> Any:
    name, _, member = field.partition(".")
    name = "website_url" if name == "url" else name
    if name == "form_fields" and member:
        value: Any = item.form_fields.get(member)
    elif name == "tags":
        value = ",".join(item.tags)
    elif name in ORDER and name != "form_fields" and not member:
        value = item.fields.get(name)
    else:
        raise KinringError("there is no such field", f"one of {', '.join(ORDER)}", ExitCode.NOT_FOUND)
    if value is None or value == "":
        raise KinringError("this field is empty", "get-account shows all that are filled", ExitCode.NOT_FOUND)
    return str(value).lower() if isinstance(value, bool) else str(value)


@command("get-accounts")
@click.option("--vault-id", metavar="ID", help="Only those of this vault.")
@click.option("--q", default="", metavar="TEXT", help="Only those that show this text, in any case.")
@click.option("--offset", type=click.IntRange(min=0), default=0, show_default=True, help="Leave out so many.")
@click.option("--limit", type=click.IntRange(min=0), help="List so many at most.")
def get_accounts(call: Call, vault_id: str | None, q: str, offset: int, limit: int | None) -> None:
    """List accounts by label.

    The search looks at label, user name, e-mail, website, description, category, phone, address and tags,
    never at a secret. JSON holds whole accounts, with their secrets.
    """
    vaults = call.vaults()
    if vault_id is not None:
        vaults.vault(vault_id)  # an empty one, as of a variable that was never set, is not "all"
    page = vaults.items(vault_id, q, offset=offset, limit=limit)
    call.show([account_json(item) for item in page.items], account_table(page.items))
    if len(page.items) < page.total and not call.json:
        note(f"{len(page.items)} of {page.total}")


@command("delete-account")
@account_id_option
def delete_account(call: Call, account_id: str) -> None:
    """Put an account into the bin."""
    call.vaults().delete_item(account_id)
    call.saved()
    call.show({"deleted": True}, ["deleted; restore-account brings it back"])


@command("restore-account")
@account_id_option
def restore_account(call: Call, account_id: str) -> None:
    """Bring an account back from the bin."""
    call.vaults().restore_item(account_id)
    call.saved()
    call.show({"restored": True}, ["restored"])


@command("get-categories")
def get_categories(call: Call) -> None:
    """List the categories that your accounts use."""
    names = call.vaults().categories()
    call.show(names, [clean(name) for name in names])

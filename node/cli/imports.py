"""import-accounts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from node.cli.call import Call, command
from node.cli.output import clean
from node.cli.progress import shown, stopped_by_ctrl_c
from node.errors import ExitCode, KinringError

if TYPE_CHECKING:
    from node.imports.documents_csv import Row, Skipped
    from node.vault import Vaults


@command("import-accounts")
@click.option(
    "--vault-id", metavar="ID", help="The vault they go into; the first of kind Logins if left out."
)
@click.option("--in-path", required=True, metavar="PATH|-", help="The CSV file, or - for stdin.")
def import_accounts(call: Call, vault_id: str | None, in_path: str) -> None:
    """Take accounts in from a CSV file with a header line.

    What is there already is left out and counted as a duplicate, so that an import can be repeated. Ctrl-C
    stops after the batch at hand; what was counted by then is saved.
    """
    from node.imports.documents_csv import Row, read

    found = list(read(_read_file(in_path)))
    rows = [one for one in found if isinstance(one, Row)]
    vaults = call.vaults()
    target = _first_logins_vault(vaults) if vault_id is None else vault_id
    with stopped_by_ctrl_c() as stop, shown(stop, "importing") as progress:
        count = vaults.import_items(target, [row.fields for row in rows], progress)
    if count.imported:
        call.saved()
    refused = {rows[index].line: reason for index, reason in count.failed}
    remarks = [text for one in found for text in _remarks(one, refused)]
    failed = len(found) - len(rows) + len(count.failed)
    result: dict[str, Any] = {
        "imported": count.imported, "failed": failed, "duplicate": count.duplicate, "remarks": remarks,
    }  # fmt: skip
    if count.stopped:
        result["stopped"] = True
    summary = f"imported {count.imported}, failed {failed}, duplicate {count.duplicate}"
    call.show(result, [*map(clean, remarks), summary + (", then stopped" if count.stopped else "")])
    if count.stopped:
        raise click.exceptions.Exit(ExitCode.STOPPED)


def _remarks(one: Row | Skipped, refused: dict[int, str]) -> Iterator[str]:
    """What a person should look at, by line; never a value."""
    from node.imports.documents_csv import Skipped

    if isinstance(one, Skipped):
        yield f"line {one.line}: not taken: {one.reason}"
        return
    if one.line in refused:
        yield f"line {one.line}: not taken: {refused[one.line]}"
    for remark in one.remarks:
        yield f"line {one.line}: {remark}"


def _read_file(path: str) -> bytes:
    from node.folders import disk_error
    from node.imports.documents_csv import MAX_FILE

    try:
        if path == "-":
            return sys.stdin.buffer.read(MAX_FILE + 1)
        with open(path, "rb") as file:
            return file.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise KinringError("there is no such file to import", "check --in-path", ExitCode.NOT_FOUND) from None
    except OSError as error:
        raise disk_error("cannot read the file to import", error) from None


def _first_logins_vault(vaults: Vaults) -> str:
    for view in vaults.vaults():
        if view.kind == "Logins" and view.can_write:
            return view.vault_id
    raise KinringError("there is no vault of kind Logins", "name one with --vault-id", ExitCode.NOT_FOUND)

"""Taking accounts in from a CSV file, and saying what was not taken and why."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, g, render_template, request

from node.errors import ExitCode, KinringError
from node.imports import documents_csv
from node.vault import Vaults

routes = Blueprint("imports", __name__)

MAX_UPLOAD: Final = documents_csv.MAX_FILE + (64 << 10)
"""The file, and what a form needs around it."""
SHOWN: Final = 200
"""Lines of the report."""


def _vaults() -> Vaults:
    found: Vaults = g.vaults
    return found


@routes.get("/import")
def form() -> str:
    vaults = [view for view in _vaults().vaults() if view.can_write]
    return render_template("import.html", vaults=vaults, report=None)


@routes.post("/import")
def take() -> str:
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        raise KinringError("no file was chosen", "choose a CSV file", ExitCode.INVALID)
    vault = _vaults().vault(request.form.get("vault", ""))
    rows, left_out, remarks = [], [], []
    for found in documents_csv.read(upload.stream.read()):
        if isinstance(found, documents_csv.Row):
            rows.append(found)
            remarks += [(found.line, remark) for remark in found.remarks]
        else:
            left_out.append((found.line, found.reason))
    count = _vaults().import_items(vault.vault_id, [row.fields for row in rows])
    left_out += [(rows[index].line, reason) for index, reason in count.failed]
    report = {
        "vault": vault,
        "imported": count.imported,
        "duplicate": count.duplicate,
        "rows": len(rows) + len(left_out) - len(count.failed),
        "left_out": sorted(left_out),
        "remarks": remarks,
        "shown": SHOWN,
    }
    vaults = [view for view in _vaults().vaults() if view.can_write]
    return render_template("import.html", vaults=vaults, report=report)

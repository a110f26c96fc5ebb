"""The vaults: which there are, a new one, another title."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, g, redirect, render_template, request

from node.item import KINDS
from node.vault import Vaults

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse

routes = Blueprint("vaults", __name__)


def _vaults() -> Vaults:
    found: Vaults = g.vaults
    return found


@routes.get("/vaults")
def index() -> str:
    return render_template(
        "vaults.html",
        vaults=_vaults().vaults(count=True),
        deleted=_vaults().vaults(deleted=True),
        kinds=KINDS,
    )


@routes.post("/vaults")
def create() -> BaseResponse:
    _vaults().create_vault(request.form.get("title", "").strip(), request.form.get("kind", "Logins"))
    return redirect("/vaults?said=vault", 303)


@routes.post("/vaults/<vault_id>")
def rename(vault_id: str) -> BaseResponse:
    _vaults().update_vault(vault_id, title=request.form.get("title", "").strip())
    return redirect("/vaults?said=saved", 303)


@routes.post("/vaults/<vault_id>/delete")
def delete(vault_id: str) -> BaseResponse:
    _vaults().delete_vault(vault_id)
    return redirect("/vaults?said=emptied", 303)


@routes.post("/vaults/<vault_id>/restore")
def restore(vault_id: str) -> BaseResponse:
    _vaults().restore_vault(vault_id)
    return redirect("/vaults?said=restored", 303)

"""The items: list and search, one item, its history and conflicts, the bin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, g, jsonify, redirect, render_template, request, url_for

from node.errors import ExitCode, KinringError
from node.item import FORM, KINDS, TAGS
from node.vault import ItemView, Vaults
from replication.membership import READS, WRITES
from webui.shown import LABELS, ROWS

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse

routes = Blueprint("items", __name__)

PAGE: Final = 50
TEXT_INPUTS: Final = (
    "label",
    "username",
    "email",
    "website_url",
    "phone",
    "address",
    "category",
    "expires_at",
    "due_at",
)
FILTERS: Final = {
    "": "All items",
    "favourites": "Favourites",
    "conflicts": "To settle",
    "revived": "Came back",
}


def _vaults() -> Vaults:
    found: Vaults = g.vaults
    return found


# The list


@routes.get("/")
def index() -> str:
    return _list(deleted=False)


@routes.get("/bin")
def bin() -> str:  # noqa: A001 - the page's name
    return _list(deleted=True)


def _list(*, deleted: bool) -> str:
    query = request.args.get("q", "").strip()[:200]
    vault_id = request.args.get("vault") or None
    only = request.args.get("only", "")
    number = max(1, request.args.get("page", 1, type=int))
    vaults = _vaults().vaults()
    if only in FILTERS and only:
        found = [item for item in _vaults().items(vault_id, query, deleted=deleted).items if _is(item, only)]
        total, shown = len(found), found[(number - 1) * PAGE : number * PAGE]
    else:
        page = _vaults().items(vault_id, query, deleted=deleted, offset=(number - 1) * PAGE, limit=PAGE)
        total, shown = page.total, page.items
    return render_template(
        "list.html", items=shown, total=total, number=number, pages=max(1, -(-total // PAGE)), query=query,
        vaults=vaults, vault_id=vault_id, titles={view.vault_id: view.title for view in vaults}, only=only,
        filters=FILTERS, deleted=deleted, conflicts=len({c.item_id for c in _vaults().conflicts()}),
        binned_vaults=[view.title for view in _vaults().vaults(deleted=True)] if deleted else [],
    )  # fmt: skip


def _is(item: ItemView, only: str) -> bool:
    match only:
        case "favourites":
            return bool(item.fields.get("favorite"))
        case "conflicts":
            return bool(item.conflicts)
        case _:
            return item.revived


# One item


@routes.get("/items/<item_id>")
def show(item_id: str) -> str:
    item = _vaults().item(item_id)
    filled = [name for name in ROWS if item.fields.get(name) not in (None, "")]
    return render_template(
        "item.html",
        item=item,
        vault=_vaults().vault(item.vault_id),
        filled=filled,
        only_wanted=[name for name in item.wanted if name not in filled],
        readers=_readers(item.vault_id),
    )


def _readers(vault_id: str) -> list[str]:
    """Who can see a vault's items, as the family's own rules have it."""
    state, names = g.desk.replica.state(), _vaults().names()
    vault, me = bytes.fromhex(vault_id), bytes.fromhex(_vaults().person_id)
    found = []
    for person in state.people:
        if (right := state.right(vault, person)) >= READS:
            name = "you" if person == me else names.get(person, person.hex()[:8])
            found.append(name if right >= WRITES else f"{name} (may only read)")
    return sorted(found, key=lambda name: (name != "you", name.casefold()))


@routes.post("/items/<item_id>/secret")
def secret(item_id: str) -> Response:
    """One value, for the eyes or the clipboard: `field`, and `dot` for an earlier or a conflicting one."""
    return jsonify(value=_one_value(item_id, request.form.get("field", ""), request.form.get("dot", "")))


def _one_value(item_id: str, field: str, dot: str) -> str:
    item = _vaults().item(item_id)
    plain, _, member = field.partition(".")
    if dot:
        # A conflict first: a base's values share their dot with those of other fields.
        sides = [side.value for side in item.conflicts.get(field, ()) if side.dot == dot]
        sides = sides or [
            version.value for version in _vaults().history(item_id, field) if version.dot == dot
        ]
        value: Any = sides[0] if sides else None
    else:
        value = item.form_fields.get(member) if plain == FORM else item.fields.get(field)
    if value is None:
        raise KinringError("there is no such value", "load the page again", ExitCode.NOT_FOUND)
    return str(value)


@routes.get("/items/new")
def new() -> str:
    writable = [view for view in _vaults().vaults() if view.can_write]
    if not writable:
        raise KinringError("no vault may be written to", "make one of your own", ExitCode.FORBIDDEN)
    wanted = request.args.get("vault", "")
    chosen = next((view for view in writable if view.vault_id == wanted), writable[0])
    return render_template("form.html", item=None, vaults=writable, chosen=chosen, **_choices())


@routes.get("/items/<item_id>/edit")
def edit(item_id: str) -> str:
    item = _vaults().item(item_id)
    return render_template(
        "form.html", item=item, vaults=[], chosen=_vaults().vault(item.vault_id), **_choices()
    )


def _choices() -> dict[str, Any]:
    return {"inputs": TEXT_INPUTS, "labels": LABELS, "kinds": KINDS, "categories": _vaults().categories()}


@routes.post("/items")
def create() -> BaseResponse:
    item_id = _vaults().create_item(request.form.get("vault", ""), _fields())
    return redirect(url_for("items.show", item_id=item_id, said="created"), 303)


@routes.post("/items/<item_id>")
def update(item_id: str) -> BaseResponse:
    """Change the fields that were sent, and no others: what the page left out may have changed meanwhile."""
    _vaults().update_item(item_id, _fields())
    return redirect(url_for("items.show", item_id=item_id, said="saved"), 303)


def _fields() -> dict[str, Any]:
    """The form as fields. A custom field is a pair of `custom-name` and `custom-value` in order, or
    `form_fields.NAME` for one that is there."""
    form = request.form
    fields: dict[str, Any] = {}
    for name in form:
        if name in LABELS and name not in ("favorite", "renew_interval_days"):
            fields[name] = form[name].replace("\r\n", "\n")
    if "favorite" in form:
        fields["favorite"] = form["favorite"] == "yes"
    if "renew_interval_days" in form:
        fields["renew_interval_days"] = _days(form["renew_interval_days"])
    if TAGS in form:
        fields[TAGS] = [tag.strip() for tag in form[TAGS].split(",") if tag.strip()]
    custom: dict[str, Any] = {
        name.partition(".")[2]: form[name] for name in form if name.startswith(f"{FORM}.")
    }
    names, values = form.getlist("custom-name"), form.getlist("custom-value")
    custom |= {
        name.strip(): value for name, value in zip(names, values, strict=False) if name.strip() and value
    }
    if custom:
        fields[FORM] = custom
    return fields


def _days(text: str) -> int | None:
    if not text.strip():
        return None
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise KinringError("“Renew every” is a number of days", "for example 90", ExitCode.INVALID)
    return int(text)


@routes.post("/items/<item_id>/delete")
def delete(item_id: str) -> BaseResponse:
    _vaults().delete_item(item_id)
    return redirect(url_for("items.index", said="deleted"), 303)


@routes.post("/items/<item_id>/restore")
def restore(item_id: str) -> BaseResponse:
    _vaults().restore_item(item_id)
    return redirect(url_for("items.show", item_id=item_id, said="restored"), 303)


# History and conflicts


@routes.get("/items/<item_id>/history")
def history(item_id: str) -> str:
    item = _vaults().item(item_id)
    field = request.args.get("field") or None
    versions = _vaults().history(item_id, field)
    everything = _vaults().history(item_id) if field else versions
    fields = sorted({version.field for version in everything} - {"base"})
    return render_template(
        "history.html",
        item=item,
        versions=versions,
        field=field,
        fields=fields,
        earlier=any(not (version.current or version.purged_by) for version in everything),
        vault=_vaults().vault(item.vault_id),
    )


@routes.post("/items/<item_id>/history")
def restore_version(item_id: str) -> BaseResponse:
    """Write an earlier value again."""
    _vaults().restore_version(item_id, request.form.get("field", ""), request.form.get("dot", ""))
    return redirect(url_for("items.show", item_id=item_id, said="restored"), 303)


@routes.post("/items/<item_id>/settle")
def settle(item_id: str) -> BaseResponse:
    """Keep one side of a conflict."""
    field, dot = request.form.get("field", ""), request.form.get("dot", "")
    sides = [side for side in _vaults().item(item_id).conflicts.get(field, ()) if side.dot == dot]
    if not sides:
        raise KinringError("this was settled meanwhile", "load the page again", ExitCode.CONFLICT)
    plain, _, member = field.partition(".")
    _vaults().update_item(item_id, {FORM: {member: sides[0].value}} if member else {plain: sides[0].value})
    return redirect(url_for("items.show", item_id=item_id, said="settled"), 303)

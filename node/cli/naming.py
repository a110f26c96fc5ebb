"""How a person names somebody or something on the command line: by a name, or by the start of an id."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from node.cli.output import clean
from node.errors import ExitCode, KinringError

if TYPE_CHECKING:
    from node.cli.call import Call
    from node.vault import Vaults


def find_id(text: str, ids: Iterable[bytes], what: str, where: str = "status") -> bytes:
    """The id that begins so. Raises KinringError NOT_FOUND, USAGE where several do."""
    start = text.strip().lower()
    found = [one for one in ids if len(start) >= 4 and one.hex().startswith(start)]
    if len(found) > 1:
        raise KinringError(f"several ids begin with {start}", "give more of it", ExitCode.USAGE)
    if not found:
        raise KinringError(
            f"there is no such {what}", f"list them with {where}; give at least four digits", ExitCode.NOT_FOUND
        )
    return found[0]


def find_person(call: Call, vaults: Vaults, text: str) -> bytes:
    """Somebody of the family: by the name that the family reads, by the user name of who may sign in here, or by the
    start of their id. Raises KinringError NOT_FOUND, USAGE where several fit."""
    from node.keyholder import sign_ins

    replica = call.replica()
    people = replica.state().people
    named = [(person, name) for person, name in vaults.names().items() if person in people]
    named += [(person, name) for name, person, _ in sign_ins(replica) if person in people]
    found = {person for person, name in named if _folded(name) == _folded(text)}
    if len(found) > 1:
        raise KinringError("several people have this name", "give the start of an id from status", ExitCode.USAGE)
    return found.pop() if found else find_id(text, people, "person")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()


def name_of(vaults: Vaults, one: bytes) -> str:
    """What the family calls a person or device; the start of the id where it has no name here."""
    return clean(vaults.names().get(one[:16], one.hex()[:8]))


def ask(question: str, yes: bool) -> None:
    """Nothing that cannot be taken back is done unasked. Raises KinringError USAGE without a terminal, STOPPED."""
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise KinringError(f"to {question}, say --yes", "it cannot be taken back", ExitCode.USAGE)
    print(f"This will {question}. Type yes to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise KinringError("nothing was done", code=ExitCode.STOPPED)

"""recover-me, recover-family: coming back on a new device, from paper and a copy of the entries."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.call import Call, command, note, now_ms
from node.cli.naming import ask, find_id
from node.cli.output import instant, pairs, table
from node.cli.people import role_name
from node.errors import ExitCode, KinringError

if TYPE_CHECKING:
    from node.recovery import Place
    from replication.replica import Replica

from_option = click.option(
    "--from", "source", required=True, type=click.Path(path_type=Path), metavar="DIR",
    help="The data folder of a device of the family, or a copy of it.",
)  # fmt: skip
device_name_option = click.option(
    "--device-name", default="", help="What the family calls this device; the host's name if left out."
)


def _file_option(name: str, what: str) -> Callable[[Any], Any]:
    return click.option(name, metavar="PATH|-", help=f"A file with the {what}; else it is asked for.")


@command("recover-me")
@from_option
@_file_option("--recovery-code-file", "recovery code")
@_file_option("--secret-key-file", "secret key")
@device_name_option
def recover_me(
    call: Call, source: Path, recovery_code_file: str | None, secret_key_file: str | None, device_name: str
) -> None:
    """Come back on a new device by your emergency kit, with a new master password: when no device of yours is left.

    Takes a copy of the family's entries out of the data folder of any device of the family, or a copy of such a folder:
    a blind peer's does, too. Each entry is checked, and what is said here is handed back to that folder, so that its
    device tells the others. The kit is as good afterwards as before. Then take out the device that is gone:
    remove-device.

    Example: kinring recover-me --from /media/pi/kinring --master-username anna
    """
    import secrets

    from node.identity import host_name
    from node.recovery import copy_entries
    from node.recovery import recover_me as recover
    from node.unlock import parse_recovery_code

    username = _username(call)
    with _place(call, source) as (place, theirs):
        code = parse_recovery_code(_read(call, recovery_code_file, "Recovery code"))
        secret = None if call.pepper() is not None else _secret_key(_read(call, secret_key_file, "Secret key"))
        who = _newcomer(call, username)
        unlocked = recover(
            place, who, code, secret, device_name=device_name or host_name(),
            random_bytes=secrets.token_bytes, now=now_ms(),
        )  # fmt: skip
        copy_entries(place.replica, theirs)
    call.saved()
    result = {
        "user_id": unlocked.person.hex(),
        "username": unlocked.username,
        "family_id": (call.replica().family or b"").hex(),
        "entries": call.replica().last_id(),
        "vaults": len(call.vaults_of(unlocked).vaults()),
    }
    note("note: now take out the devices that are gone: kinring remove-device")
    call.show(result, pairs((key.replace("_", " "), value) for key, value in result.items()))


@command("recover-family")
@from_option
@_file_option("--recovery-code-file", "family recovery code")
@click.option(
    "--remove", multiple=True, metavar="ID", help="A device or person to take out; its start is enough. Repeatable."
)
@click.option("--name", default="", help="The person's name as the family reads it.")
@device_name_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def recover_family(
    call: Call, source: Path, recovery_code_file: str | None, remove: tuple[str, ...], name: str, device_name: str,
    yes: bool,
) -> None:  # fmt: skip
    """Come back into a family that has no admin left who can act: as a new admin, by the family recovery code.

    First see who is there: kinring status --data-dir DIR. Name with --remove whom and what to take out, people and
    devices: stolen ones, above all. The code opens no vault: you read what those who are left share with you, and they
    hand you the names when they next sign in. A person who has their own kit comes back by recover-me and is better not
    removed: what only they could read is lost with them. Prints the next family recovery code; the old one is used up,
    so burn it.

    Example: kinring recover-family --from /media/pi/kinring --master-username anna --remove 1c353707
    """
    import secrets

    from node.identity import host_name
    from node.recovery import copy_entries
    from node.recovery import recover_family as recover
    from node.unlock import parse_recovery_code

    username = _username(call)
    with _place(call, source) as (place, theirs):
        code = parse_recovery_code(_read(call, recovery_code_file, "Family recovery code"))
        going = [*remove, *(() if remove or yes else _ask_whom(place.replica))]
        state = place.replica.state()
        ids = [find_id(one, [*state.devices, *state.people], "device or person") for one in going]
        ask(f"make you an admin and take out {len(ids)} of them for good", yes)
        who = _newcomer(call, username, name)
        admitted = recover(
            place, who, code, ids, device_name=device_name or host_name(),
            random_bytes=secrets.token_bytes, now=now_ms(),
        )  # fmt: skip
        copy_entries(place.replica, theirs)
    call.saved()
    note("note: write both codes down, on paper, and burn the family recovery code that you have used. "
         "The new one is shown only this once.")  # fmt: skip
    result = {
        "user_id": admitted.unlocked.person.hex(),
        "username": admitted.unlocked.username,
        "name": name or admitted.unlocked.username,
        "family_id": (call.replica().family or b"").hex(),
        "removed": [one.hex() for one in ids],
        "entries": call.replica().last_id(),
        "recovery_code": admitted.recovery_code,
        "family_recovery_key": admitted.family_recovery_key,
    }
    shown = {key: "\n".join(value) if isinstance(value, list) else value for key, value in result.items()}
    call.show(result, pairs((key.replace("_", " "), value) for key, value in shown.items()))


def _username(call: Call) -> str:
    if call.username is None:
        raise click.UsageError("--master-username is needed: the user name here")
    return call.username


@contextmanager
def _place(call: Call, source: Path) -> Iterator[tuple[Place, Replica]]:
    """This device with a copy of the family, and the store that it was copied from."""
    import secrets

    from node.folders import data_folder
    from node.identity import load_or_create
    from node.recovery import open_source, take_copy
    from node.secret_keys import SecretKeys

    there = data_folder(source, create=False)
    folder = call.folder(create=True)
    if there.resolve() == folder.resolve():
        raise KinringError(
            "that is this device's own data folder", "name another device's, and a new one with --data-dir",
            ExitCode.USAGE,
        )  # fmt: skip
    theirs = open_source(there)
    try:
        device = load_or_create(folder, secrets.token_bytes)
        yield take_copy(theirs, there, call.replica(create=True), device, SecretKeys(folder)), theirs
    finally:
        theirs.close()


def _newcomer(call: Call, username: str, name: str = "") -> Any:
    from node.family import NewPerson
    from node.strength import check_master_password

    password = call.password(new=True)
    check_master_password(password, own_words=[username, name])
    return NewPerson(username, password, name, call.pepper())


def _read(call: Call, path: str | None, what: str) -> str:
    """A code from a file, or typed where it can be seen: 35 letters are not typed blindly."""
    if path is not None:
        return call.read_password(path)
    if not (sys.stdin and sys.stdin.isatty()):
        raise KinringError(f"the {what.lower()} is needed", "type it in a terminal, or name a file", ExitCode.LOCKED)
    print(f"{what}: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def _secret_key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise KinringError(
            "a secret key has 64 digits and letters from a to f", "compare it with the emergency kit", ExitCode.INVALID
        )
    return key


def _ask_whom(replica: Replica) -> list[str]:
    """Show who is there and ask whom to take out. Raises KinringError USAGE without a terminal."""
    from node.recovery import who_is_there

    if not (sys.stdin and sys.stdin.isatty()):
        raise KinringError(
            "whom to take out?", "name them with --remove, or nobody with --yes; status lists them", ExitCode.USAGE
        )
    rows = [
        [one.person.hex()[:8], role_name(one.role), instant(one.wrote_at) if one.wrote_at else "", _short(one.devices)]
        for one in who_is_there(replica)
    ]
    print("\n".join(table(["person", "role", "last wrote", "devices"], rows)), file=sys.stderr)
    print("Whom to take out? Ids of people or devices, or nothing: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().split()


def _short(devices: list[bytes]) -> str:
    return " ".join(device.hex()[:8] for device in devices)

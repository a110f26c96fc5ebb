"""create-user, get-user, set-role, change-user-password, unlock, lock, kit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.call import Call, command, note, now_ms, warn_of_argv
from node.cli.output import clean, instant, pairs
from node.errors import ExitCode, KinringError

if TYPE_CHECKING:
    from node.family import Admitted

HANDLE_SECONDS: Final = 600


@command("create-user")
@click.option("--name", default="", help="The person's name as the family reads it.")
@click.option(
    "--device-name", default="", help="What the family calls this device; the host's name if left out."
)
def create_user(call: Call, name: str, device_name: str) -> None:
    """Found a family on this device, or let a further person in.

    In an empty data folder this founds a family: its first device, its first person, five vaults. Where a
    family lives on this one device, it admits one more person. Prints the recovery code and, for the
    founder, the family recovery key: write them down. kit prints the first again, nothing the second.
    """
    if call.username is None:
        raise click.UsageError("--master-username is needed: the new person's user name")
    from node.strength import check_master_password

    password = call.password(new=True)
    check_master_password(password, own_words=[call.username, name])
    admitted, founded = _admit(call, password, name, device_name)
    person = admitted.unlocked.person.hex()
    result = {
        "user_id": person,
        "username": admitted.unlocked.username,
        "name": name or admitted.unlocked.username,
        "family_id": (call.replica().family or b"").hex(),
        "founded": founded,
        "recovery_code": admitted.recovery_code,
    }
    if founded:
        result["family_recovery_key"] = admitted.family_recovery_key
        note("note: write both down, on paper: the recovery code and the family recovery key. "
             "The family recovery key is shown only this once.")  # fmt: skip
    else:
        note("note: write the recovery code down, on paper. `kinring kit` shows it again.")
    call.saved()
    call.show(
        result, pairs((key.replace("_", " "), value) for key, value in result.items() if key != "founded")
    )


def _admit(call: Call, password: str, name: str, device_name: str) -> tuple[Admitted, bool]:
    import secrets

    from node.family import SUITES, NewPerson, admit_person_here, found
    from node.identity import host_name, load_or_create
    from node.secret_keys import SecretKeys
    from node.unlock import ARGON2ID, PBKDF2

    folder = call.folder(create=True)
    device = load_or_create(folder, secrets.token_bytes)
    replica = call.replica(create=True)
    kdf = PBKDF2 if call.hash == PBKDF2.name else ARGON2ID
    who = NewPerson(
        call.username or "", password, name, call.pepper(), kdf, SUITES[call.crypto or "aes256-gcm"]
    )
    keys = SecretKeys(folder)
    if replica.family is not None:
        return admit_person_here(
            replica, device, keys, who, random_bytes=secrets.token_bytes, now=now_ms()
        ), False
    return found(replica, device, keys, who, device_name=device_name or host_name(),
                 random_bytes=secrets.token_bytes, now=now_ms()), True  # fmt: skip


def role_name(role: int) -> str:
    """A role as people call it."""
    from replication.membership import ADMIN, READER

    return {ADMIN: "admin", READER: "reader"}.get(role, "writer")


@command("get-user")
@click.option("--user-id", metavar="ID", help="Another person of the family; yourself if left out.")
def get_user(call: Call, user_id: str | None) -> None:
    """Show a person of the family: yourself, or the one with --user-id."""
    vaults = call.vaults()
    state = call.replica().state()
    try:
        person = bytes.fromhex(vaults.person_id if user_id is None else user_id)
    except ValueError:
        person = b""
    if person not in state.people:
        raise KinringError(
            "there is no such person in the family", "copy the id from get-user", ExitCode.NOT_FOUND
        )
    own = person.hex() == vaults.person_id
    result = {
        "user_id": person.hex(),
        "username": vaults.username if own else None,
        "name": vaults.names().get(person, vaults.username if own else None),
        "role": role_name(state.people[person].role),
        "family_id": state.family.hex(),
        "devices": sorted(
            {holder.device.hex() for holder in state.keyholders.values() if holder.person == person}
        ),
    }
    call.show(result, pairs((key.replace("_", " "), _words(value)) for key, value in result.items() if value))


def _words(value: Any) -> str:
    return "\n".join(value) if isinstance(value, list) else str(value)


@command("set-role")
@click.option("--user-id", required=True, metavar="ID", help="As status lists it; its start, or a name, does, too.")
@click.option(
    "--role", required=True, type=click.Choice(["admin", "writer", "reader"]), metavar="ROLE",
    help="admin, writer or reader.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
def set_role(call: Call, user_id: str, role: str, yes: bool) -> None:
    """Make a person an admin, a writer, or a reader, who only reads what is shared with them.

    An admin lets people and devices in, and takes those out who became admins after them or are none. An admin lowers
    such a one's role; anyone their own.

    Example: kinring set-role --user-id 40cc6813 --role admin
    """
    from node.cli.naming import ask, find_person, name_of
    from node.people import set_role as set_it
    from replication.membership import ADMIN, READER, WRITER

    unlocked = call.unlock()
    vaults = call.vaults_of(unlocked)
    person = find_person(call, vaults, user_id)
    name = name_of(vaults, person)
    if role == "admin":
        ask(f"let {name} take out other people and their devices", yes)
    until = set_it(call.replica(), unlocked, person, {"admin": ADMIN, "writer": WRITER, "reader": READER}[role])
    call.saved()
    shown = instant(until) if until else None
    lines = [f"{name} is now {role}"]
    if shown:
        lines.append(f"What they wrote in shared vaults counts until {shown}.")
    call.show({"updated": True, "user_id": person.hex(), "role": role, "counts_until": shown}, lines)


@command("change-user-password")
@click.option("--new-password", metavar="TEXT", help="Visible to other programs: a file is safer, or the prompt.")
@click.option("--confirm-new-password", metavar="TEXT", help="The same once more; refused if it differs.")
@click.option("--new-password-file", metavar="PATH|-", help="A file with the new password, or - for stdin.")
def change_user_password(
    call: Call, new_password: str | None, confirm_new_password: str | None, new_password_file: str | None
) -> None:
    """Change your master password: the present one is given as for every sign-in, a handle does not do.

    The old one opens nothing more at once where this is your only device; else as soon as all your devices have heard
    of the new one. On each of them the new one works from then on. Every handle ends. The emergency kit stays as it is.

    Example: kinring change-user-password --password-file old --new-password-file new
    """
    import secrets

    from node.handles import lock_all
    from node.passwords import change_password
    from node.secret_keys import SecretKeys
    from node.strength import check_master_password
    from node.unlock import secret_key_from_pepper

    old = call.password()
    unlocked = call.unlock_with(old)
    new = _new_password(call, new_password, confirm_new_password, new_password_file)
    check_master_password(new, own_words=[unlocked.username])
    pepper = call.pepper()
    key = SecretKeys(call.folder()).load(unlocked.person) if pepper is None else (
        secret_key_from_pepper(pepper, unlocked.person))  # fmt: skip
    done = change_password(call.replica(), unlocked, old, new, key, secrets.token_bytes)
    lock_all(call.runtime())
    call.saved()
    names = call.vaults_of(done.unlocked).names()
    waiting = [names.get(device[:16], device.hex()[:8]) for device in done.waiting]
    lines = ["The master password is changed."]
    if waiting:
        lines.append(clean(f"The old one still opens until these have heard of it: {', '.join(waiting)}"))
    call.show({"changed_password": True, "waits_for": waiting}, lines)


def _new_password(call: Call, given: str | None, confirmed: str | None, path: str | None) -> str:
    if given is not None and path is not None:
        raise click.UsageError("--new-password and --new-password-file are two")
    if given is None:
        return call.new_password(path)
    warn_of_argv("--new-password")
    if confirmed is not None and confirmed != given:
        raise KinringError("the two new passwords are not the same", "try again", ExitCode.INVALID)
    return given


@command("unlock")
def unlock(call: Call) -> None:
    """Stay signed in for ten minutes: takes the master password and prints a handle.

    Later calls take the handle from the environment variable KINRING_HANDLE, or from --handle-file, into
    which unlock writes it when that is given. `kinring lock` ends it at once.
    """
    import secrets

    from node.folders import write_private
    from node.handles import create
    from node.housekeeping import tidy
    from node.identity import host_name
    from node.upkeep import at_unlock

    unlocked = call.unlock_with_password()
    vaults = call.vaults_of(unlocked)
    at_unlock(call.replica(), unlocked, vaults, host_name(), secrets.token_bytes)
    tidy(call.replica(), unlocked, vaults, int(time.time() * 1000))
    now = time.time()
    token = create(call.runtime(), person=unlocked.person, keyholder=unlocked.keyholder,
                   unlock_key=unlocked.unlock_key, now=now, lifetime=HANDLE_SECONDS)  # fmt: skip
    result = {
        "user_id": unlocked.person.hex(),
        "username": unlocked.username,
        "expires_in": HANDLE_SECONDS,
        "expires_at": instant(int(now * 1000) + HANDLE_SECONDS * 1000),
    }
    if call.handle_file is not None:
        write_private(_absolute(call.handle_file), f"{token}\n".encode())
        call.show(result, [f"unlocked until {result['expires_at']}"])
        return
    call.show({"handle": token, **result}, [token])


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


@command("lock")
def lock(call: Call) -> None:
    """End every handle of this data folder at once. Needs no password."""
    from node.handles import lock_all

    count = lock_all(call.runtime())
    call.show({"locked": count}, [f"locked: {count} handles ended"])


@command("kit")
def kit(call: Call) -> None:
    """Print the emergency kit: what brings you back when this device is gone.

    Family, person, user name, secret key and recovery code. Keep it on paper, away from your devices: with
    it and a copy of the family's data anybody can read what you can read.
    """
    from node.keyholder import recovery_code
    from node.secret_keys import SecretKeys
    from node.unlock import secret_key_from_pepper

    unlocked = call.unlock()
    pepper = call.pepper()
    key = SecretKeys(call.folder()).load(unlocked.person) if pepper is None else (
        secret_key_from_pepper(pepper, unlocked.person))  # fmt: skip
    note(
        "note: this shows two secrets, the secret key and the recovery code. Print it, then clear the screen."
    )
    result = {
        "family_id": (call.replica().family or b"").hex(),
        "user_id": unlocked.person.hex(),
        "username": unlocked.username,
        "secret_key": key.hex(),
        "recovery_code": recovery_code(call.replica(), unlocked),
    }
    call.show(result, pairs((name.replace("_", " "), value) for name, value in result.items()))

"""One call of the command: its global options, and what they lead to, opened when it is needed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.errors import ExitCode, KinringError

if TYPE_CHECKING:
    from node.keyholder import Unlocked
    from node.vault import Vaults
    from replication.replica import Replica

MAX_PASSWORD_FILE: Final = 64 << 10
"""Bytes. One is read no further than this."""


def now_ms() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


class Call:
    """Holds the global options; every part of the store is opened on first use and closed at the end."""

    def __init__(self) -> None:
        self.json = False
        self.data_dir: Path | None = None
        self.username: str | None = None
        self.crypto: str | None = None
        self.hash: str | None = None
        self.handle_file: Path | None = None
        self._password: str | None = None
        self._password_file: str | None = None
        self._pepper: str | None = None
        self._folder: Path | None = None
        self._replica: Replica | None = None
        self._vaults: Vaults | None = None
        self._stdin_read = False

    def __repr__(self) -> str:
        return "<secret>"

    def close(self) -> None:
        if self._replica is not None:
            self._replica.close()
            self._replica = None

    # Where things lie

    def folder(self, *, create: bool = False) -> Path:
        """The data folder. Raises KinringError NOT_FOUND, DAMAGED, DISK."""
        if self._folder is None:
            from node.folders import data_folder

            self._folder = data_folder(self.data_dir, create=create)
        return self._folder

    def runtime(self) -> Path:
        """The folder of socket and handles."""
        from node.folders import runtime_folder

        return runtime_folder(self.folder())

    def replica(self, *, create: bool = False) -> Replica:
        """This device's copy. Raises KinringError NOT_FOUND unless `create`."""
        if self._replica is None:
            from node.opening import open_replica

            self._replica = open_replica(self.folder(create=create), create=create)
        return self._replica

    # Signing in

    def pepper(self) -> str | None:
        """The device pepper given by hand: the option, else $DEVICE_PEPPER_KEY. Without one the secret key
        comes from the keyring or its file."""
        return self._pepper or os.environ.get("DEVICE_PEPPER_KEY") or None

    def password(self, *, new: bool = False) -> str:
        """The master password: the option, a file, $KINRING_MASTER_PASSWORD, or typed without echo (a new
        one twice). Raises KinringError LOCKED where there is none to be had."""
        if self._password is not None:
            return self._password
        if self._password_file is not None:
            return self.read_password(self._password_file)
        if (given := os.environ.get("KINRING_MASTER_PASSWORD")) is not None:
            return given
        if sys.stdin is None or not sys.stdin.isatty():
            raise KinringError(
                "a master password is needed",
                "type it in a terminal, or use --password-file; unlock --help tells of handles",
                ExitCode.LOCKED,
            )
        return _typed(new=new)

    def read_password(self, path: str) -> str:
        """A password from a file, or from stdin for "-", without the line's end. Raises KinringError."""
        try:
            if path == "-":
                if self._stdin_read:
                    raise KinringError(
                        "stdin can hold one password only", "use a file for one", ExitCode.USAGE
                    )
                self._stdin_read = True
                data = sys.stdin.buffer.read(MAX_PASSWORD_FILE + 1)
            else:
                with open(path, "rb") as file:
                    data = file.read(MAX_PASSWORD_FILE + 1)
        except FileNotFoundError:
            raise KinringError(
                "there is no such password file", "check the path", ExitCode.NOT_FOUND
            ) from None
        except OSError as error:
            from node.folders import disk_error

            raise disk_error("cannot read the password file", error) from None
        if len(data) > MAX_PASSWORD_FILE:
            raise KinringError("the password file is over 64 KiB", "one line is enough", ExitCode.INVALID)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = ""
        if not text:
            raise KinringError(
                "the password file is empty, or not UTF-8", "save it as UTF-8", ExitCode.INVALID
            )
        return text.removesuffix("\n").removesuffix("\r")

    def name(self) -> str:
        """Who signs in: the option, or the only person who may. Raises KinringError USAGE, NOT_FOUND."""
        from node.keyholder import sign_ins

        if self.replica().family is None:
            raise no_family()
        if self.username is not None:
            return self.username
        names = sorted(username for username, _, _ in sign_ins(self.replica()))
        if len(names) != 1:
            who = f"one of {', '.join(names)}" if names else "nobody has been admitted on this device"
            raise KinringError("--master-username is needed", who, ExitCode.USAGE)
        return names[0]

    def unlock_with_password(self) -> Unlocked:
        """Sign in with the master password. Raises WrongPassword, KinringError."""
        self.name()  # who it is, before a password is asked for
        return self.unlock_with(self.password())

    def unlock_with(self, password: str) -> Unlocked:
        """Sign in with this master password. Raises WrongPassword, KinringError."""
        from node.keyholder import unlock
        from node.secret_keys import SecretKeys

        return unlock(self.replica(), SecretKeys(self.folder()), username=self.name(), password=password,
                      pepper=self.pepper())  # fmt: skip

    def new_password(self, path: str | None) -> str:
        """A password to put in the place of the present one: from a file, "-" for stdin, or typed twice."""
        if path is not None:
            return self.read_password(path)
        if sys.stdin is None or not sys.stdin.isatty():
            raise KinringError(
                "a new password is needed", "type it in a terminal, or use --new-password-file", ExitCode.LOCKED
            )
        return _typed(new=True, what="New master password: ")

    def token(self) -> str | None:
        """The handle of an earlier `unlock`: from --handle-file, else $KINRING_HANDLE."""
        if self.handle_file is not None:
            from node.folders import read_private

            return read_private(self.handle_file, limit=128).decode("ascii", "replace").strip()
        return os.environ.get("KINRING_HANDLE") or None

    def unlock(self) -> Unlocked:
        """Sign in: a password given as an option first, then a handle, then any other password."""
        token = None if self._password is not None or self._password_file is not None else self.token()
        if token is None:
            return self.unlock_with_password()
        from node.handles import open_handle
        from node.keyholder import sign_in_name, unlock_with_key

        replica = self.replica()
        if replica.family is None:
            raise no_family()
        handle = open_handle(self.runtime(), token, now=time.time())
        unlocked = unlock_with_key(replica, handle.person, handle.unlock_key)
        if self.username is not None and sign_in_name(self.username) != sign_in_name(unlocked.username):
            raise KinringError(
                "the handle is another person's", "unlock as the person named", ExitCode.LOCKED
            )
        return unlocked

    def gave_sign_in(self) -> bool:
        """Whether there is something to sign in with, so that nobody need be asked."""
        given = (self._password, self._password_file, self.token(), os.environ.get("KINRING_MASTER_PASSWORD"))
        return any(one is not None for one in given)

    def vaults(self) -> Vaults:
        """The vaults of who signs in."""
        if self._vaults is None:
            self._vaults = self.vaults_of(self.unlock())
        return self._vaults

    def vaults_of(self, unlocked: Unlocked) -> Vaults:
        import secrets

        from node.vault import Vaults

        return Vaults(self.replica(), unlocked, random_bytes=secrets.token_bytes, clock=now_ms)

    # What comes of it

    def saved(self) -> None:
        """Something was written: a running node is told, and sends it on at once."""
        from node.control import tell_changed

        tell_changed(self.runtime())

    def show(self, result: Any, lines: Iterable[str]) -> None:
        """Print `result` as one line of JSON if that was asked for, else the lines."""
        if self.json:
            from node.cli.output import one_line

            print(one_line(result))
            return
        for line in lines:
            print(line)


def no_family() -> KinringError:
    """A store without a family: a node has run here, and nobody has founded or joined one."""
    hint = "found one with create-user, or join one"
    return KinringError("there is no family in this data folder yet", hint, ExitCode.NOT_FOUND)


def note(text: str) -> None:
    """Something a person should know, beside the result."""
    print(text, file=sys.stderr)


def warn_of_argv(option: str) -> None:
    """A secret on the command line can be read by every process of this user, and lands in the history."""
    if sys.stderr is not None and sys.stderr.isatty():
        note(
            f"warning: {option} on the command line is visible to other programs; a file or a prompt is safer"
        )


def _typed(*, new: bool, what: str = "Master password: ") -> str:
    import getpass

    try:
        typed = getpass.getpass(what)
        if new and getpass.getpass("Once more: ") != typed:
            raise KinringError("the two are not the same", "try again", ExitCode.INVALID)
    except EOFError:
        raise KinringError("no master password was typed", "try again", ExitCode.LOCKED) from None
    return typed


# The global options, before the command or after it.

_SECRET: Final = ("master_password", "device_pepper_key")
_KEPT_AS: Final = {
    "json_output": "json", "data_dir": "data_dir", "master_username": "username",
    "master_password": "_password", "password_file": "_password_file", "device_pepper_key": "_pepper",
    "handle_file": "handle_file", "crypto_algorithm": "crypto", "hash_algorithm": "hash",
}  # fmt: skip


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    name = parameter.name or ""
    if context.get_parameter_source(name) is not click.core.ParameterSource.COMMANDLINE:
        return
    if name in _SECRET:
        warn_of_argv(parameter.opts[0])
    if name == "json":
        context.obj.json = True
    elif name in _KEPT_AS:
        setattr(context.obj, _KEPT_AS[name], value)


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"kinring {version('kinring')}")
        context.exit()


def _globals(*, hidden: bool) -> list[click.Parameter]:
    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=_keep, hidden=hidden, **settings)

    path = click.Path(path_type=Path)
    return [
        option("-j", "--json-output", type=bool, metavar="true|false", help="Print one line of JSON."),
        option("--json", is_flag=True, help="The same as -j true."),
        option("-d", "--data-dir", type=path, metavar="DIR", help="This device's data folder."),
        option("--master-username", metavar="NAME", help="Who signs in; not needed if only one person can."),
        option("--master-password", metavar="TEXT", help="Visible to other programs: a file is safer."),
        option("--password-file", metavar="PATH|-", help="A file with the master password, or - for stdin."),
        option("--handle-file", type=path, metavar="PATH", help="A file with the handle; unlock writes it."),
        option("--device-pepper-key", metavar="TEXT", help="The pepper that the secret key was made from."),
        option("--crypto-algorithm", type=click.Choice(["aes256-gcm", "cha-cha20-poly1305"]),
               metavar="NAME", help="create-user only: aes256-gcm (default) or cha-cha20-poly1305."),
        option("--hash-algorithm", type=click.Choice(["argon2id", "pbkdf2-hmac-sha256"]),
               metavar="NAME", help="create-user only: argon2id (default) or pbkdf2-hmac-sha256."),
        option("--debug", is_flag=True, help="After a fault, show where it came from."),
    ]  # fmt: skip


GROUP_OPTIONS: Final[list[click.Parameter]] = [
    *_globals(hidden=False),
    click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
                 help="Show the version and exit."),
]  # fmt: skip


class Command(click.Command):
    """A command that takes the global options too."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params += _globals(hidden=True)
        self.epilog = "The options of `kinring --help` may stand here too."

    def invoke(self, ctx: click.Context) -> Any:
        call: Call = ctx.obj
        if ctx.info_name != "create-user":
            for name, given in (("--crypto-algorithm", call.crypto), ("--hash-algorithm", call.hash)):
                if given is not None:
                    raise click.UsageError(f"{name} belongs to create-user: it is chosen once", ctx)
        return super().invoke(ctx)


def command(name: str) -> Callable[[Callable[..., Any]], Command]:
    """A command of the table; its function gets the Call first."""

    def make(function: Callable[..., Any]) -> Command:
        return click.command(name, cls=Command)(click.pass_obj(function))

    return make

"""The command `kinring`: the table of its commands, and what becomes of an error.

Commands are imported only when they run: listing them all costs no import.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from node.cli.call import GROUP_OPTIONS, Call
from node.errors import ExitCode, KinringError

COMMANDS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "People": {
        "create-user": ("node.cli.people:create_user", "Found a family here, or let a further person in."),
        "get-user": ("node.cli.people:get_user", "Show a person of the family."),
        "set-role": ("node.cli.people:set_role", "Make a person an admin, a writer or a reader."),
        "change-user-password": ("node.cli.people:change_user_password", "Change your master password."),
        "unlock": ("node.cli.people:unlock", "Stay signed in for ten minutes: prints a handle."),
        "lock": ("node.cli.people:lock", "End every handle at once."),
        "kit": ("node.cli.people:kit", "Print the emergency kit."),
        "recover-me": ("node.cli.recovering:recover_me", "Come back on a new device by your emergency kit."),
        "recover-family": ("node.cli.recovering:recover_family", "Come back as an admin by the family's code."),
        "status": ("node.cli.status:status", "Show the state of this device's copy."),
    },
    "Devices": {
        "up": ("node.cli.network:up", "Start node and page and look after both."),
        "node": ("node.cli.network:run_node", "Run the node alone: find, copy, merge."),
        "page": ("node.cli.network:run_page", "Serve the page alone."),
        "invite": ("node.cli.network:invite", "Show an invitation for a new device."),
        "join": ("node.cli.network:join", "Join a family by its invitation."),
        "peers": ("node.cli.network:peers", "List the other devices, or add an address."),
        "remove-device": ("node.cli.removal:remove_device", "Take a device out of the family."),
        "remove-user": ("node.cli.removal:remove_user", "Take a person out of the family."),
        "propose-removal": ("node.cli.removal:propose_removal", "Propose to take out a device or a person."),
        "proposals": ("node.cli.removal:show_proposals", "List the removals that are proposed."),
        "approve-removal": ("node.cli.removal:approve_removal", "Take out what another admin proposed."),
        "exposure": ("node.cli.removal:show_exposure", "List what a removed one could have read."),
        "dismiss-alarm": ("node.cli.status:dismiss_alarm", "Tick off an alarm that status shows."),
        "demo": ("node.cli.network:demo", "Play a family's day on this machine."),
    },
    "Vaults": {
        "create-vault": ("node.cli.vaults:create_vault", "Make a vault."),
        "get-vaults": ("node.cli.vaults:get_vaults", "List the vaults."),
        "get-vault": ("node.cli.vaults:get_vault", "Show a vault, its people and what is in it."),
        "update-vault": ("node.cli.vaults:update_vault", "Change a vault's title, kind or icon."),
        "delete-vault": ("node.cli.vaults:delete_vault", "Put a vault and all it holds into the bin."),
        "restore-vault": ("node.cli.vaults:restore_vault", "Bring a vault back from the bin."),
        "share-vault": ("node.cli.sharing:share_vault", "Let another person read a vault, and write it."),
        "unshare-vault": ("node.cli.sharing:unshare_vault", "Take a share back, whole or in part."),
    },
    "Accounts": {
        "create-account": ("node.cli.accounts:create_account", "Save an account."),
        "get-account": ("node.cli.accounts:get_account", "Show an account, or one field of it."),
        "get-accounts": ("node.cli.accounts:get_accounts", "List or search accounts."),
        "update-account": ("node.cli.accounts:update_account", "Change some fields of an account."),
        "delete-account": ("node.cli.accounts:delete_account", "Put an account into the bin."),
        "restore-account": ("node.cli.accounts:restore_account", "Bring an account back from the bin."),
        "get-categories": ("node.cli.accounts:get_categories", "List the categories in use."),
        "import-accounts": ("node.cli.imports:import_accounts", "Take accounts in from a CSV file."),
    },
    "Bin, history, conflicts": {
        "bin": ("node.cli.history:show_bin", "List what is in the bin."),
        "history": ("node.cli.history:history", "List every value that an account's fields have had."),
        "restore": ("node.cli.history:restore", "Write an earlier value of a field again."),
        "conflicts": ("node.cli.history:conflicts", "List fields that two people changed apart."),
        "empty-bin": ("node.cli.destroying:empty_bin", "Destroy what is in the bin."),
        "erase-account": ("node.cli.destroying:erase_account", "Destroy an account with all it ever held."),
        "purge-history": ("node.cli.destroying:purge_history", "Destroy the earlier values of an account."),
    },
    "Passwords and codes": {
        "generate-password": ("node.cli.tools:generate_password", "Make a password."),
        "password-strength": ("node.cli.tools:password_strength", "Show how strong a password is."),
        "generate-otp": ("node.cli.tools:generate_otp", "Show the code of a one-time secret."),
        "generate-account-otp": ("node.cli.tools:generate_account_otp", "Show an account's one-time code."),
    },
}
"""Section to command to (module:function, short help)."""

PIPE_CLOSED: Final = 141
"""The exit code when whoever reads our output has stopped reading: that of SIGPIPE, as usual in a shell."""


class Commands(click.Group):
    """The commands of the table, imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for section in COMMANDS.values():
            if cmd_name in section:
                module, _, function = section[cmd_name][0].partition(":")
                found: click.Command = getattr(import_module(module), function)
                return found
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None:
            raise _no_such_command(args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in section.items()])


def _no_such_command(word: str, names: list[str]) -> KinringError:
    """A word that is close to a command is repeated; any other may be half of a password with a space."""
    import difflib

    close = difflib.get_close_matches(word.replace("_", "-").lower(), names, n=3, cutoff=0.7)
    if close:
        return KinringError(
            f"there is no command {word!r}", f"did you mean {' or '.join(close)}?", ExitCode.USAGE
        )
    return KinringError(
        "there is no such command",
        "kinring --help lists them; a value with spaces needs quotes",
        ExitCode.USAGE,
    )


group = Commands(
    "kinring",
    help="A family's password vault that lives on the family's own devices and needs no server.",
    epilog="Every option above may also stand after the command.",
    params=GROUP_OPTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Never raises and never shows a traceback but with --debug."""
    for stream in (sys.stdout, sys.stderr):
        # The same bytes whatever the locale says: a password must come out as it is.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if "_KINRING_COMPLETE" in os.environ:
        group.main(words, prog_name="kinring", obj=Call())
    call = Call()
    try:
        code = _run(words, call)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        _leave_pipe()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return _tell(KinringError("stopped", code=ExitCode.STOPPED), words, call)
    except Exception as error:  # noqa: BLE001 - the last place where one can be told
        told = _as_told(error)
        if "--debug" in words:
            _show_traceback(error)
        return _tell(told, words, call)
    finally:
        call.close()


def _run(words: list[str], call: Call) -> int:
    try:
        with group.make_context("kinring", words, obj=call) as context:
            group.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return ExitCode.OK


def _as_told(error: Exception) -> KinringError:
    """Any exception as an error with advice. Text that may hold a value is never repeated."""
    if isinstance(error, KinringError):
        return error
    if isinstance(error, click.Abort):
        return KinringError("stopped", code=ExitCode.STOPPED)
    if isinstance(error, click.ClickException):
        return _usage(error)
    if "node.opening" in sys.modules:  # without it there was no store that could fail
        from node.opening import store_errors

        try:
            with store_errors():
                raise error
        except KinringError as told:
            return told
        except Exception:  # noqa: BLE001, S110 - not the store's
            pass
    if isinstance(error, OSError) and error.errno:
        return KinringError(
            f"the system refused: {os.strerror(error.errno)}", "check the disk", ExitCode.DISK
        )
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f" in {os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame else ""
    return KinringError(
        f"a fault of Kinring: {type(error).__name__}{where}",
        "please report it; --debug shows where it came from, without any value",
    )


def _usage(error: click.ClickException) -> KinringError:
    """click's own texts, less what may be a piece of somebody's password."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "kinring"
    message, hint = error.format_message().strip().rstrip("."), f"see {path} --help"
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter):
        message = _bad_value(error)
    elif isinstance(error, click.NoSuchOption):
        name = error.option_name
        known = name.startswith("--") and name[2:].replace("-", "").isalpha()
        message = f"there is no option {name}" if known else "there is no such option"
        if error.possibilities:
            hint = f"did you mean {' or '.join(sorted(error.possibilities))}?"
        elif path == "kinring":
            hint = "the options of a command stand after its name: kinring COMMAND OPTIONS"
    elif message.startswith("Got unexpected extra argument"):
        message, hint = "there are words too many", "a value with spaces needs quotes"
    return KinringError(message, hint, ExitCode.USAGE)


_TAKEN: Final = {
    "boolean": "true or false",
    "integer": "a whole number",
    "integer range": "a whole number, not below its least",
    "date": "a date: YYYY-MM-DD, YYYY/MM/DD or MM/DD/YYYY",
}


def _bad_value(error: click.BadParameter) -> str:
    if error.param is None:
        return error.message
    kind = error.param.type
    taken = f"one of {', '.join(kind.choices)}" if isinstance(kind, click.Choice) else _TAKEN.get(kind.name)
    return f"{error.param.opts[-1]} takes {taken or 'something else'}"


def _tell(error: KinringError, words: list[str], call: Call) -> int:
    """`error:` and `hint:` lines on stderr, or one line of JSON there. stdout is left alone."""
    from node.cli.output import clean, one_line

    if call.json or _wants_json(words):
        told: dict[str, Any] = {"error": error.message, "hint": error.hint, "code": int(error.code)}
        print(one_line(told), file=sys.stderr)
        return error.code
    print(f"error: {clean(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {clean(error.hint)}", file=sys.stderr)
    return error.code


def _wants_json(words: list[str]) -> bool:
    """For errors of the command line itself, which is then not taken apart."""
    pairs = zip(words, [*words[1:], ""], strict=False)
    return "--json" in words or any(
        word in ("-jtrue", "--json-output=true") or (word in ("-j", "--json-output") and value == "true")
        for word, value in pairs
    )


def _show_traceback(error: BaseException) -> None:
    """Files and lines alone: an exception's text may hold what it stumbled over."""
    import traceback

    one: BaseException | None = error
    while one is not None:
        print("".join(traceback.format_tb(one.__traceback__)) + type(one).__name__, file=sys.stderr)
        one = one.__cause__ or one.__context__


def _leave_pipe() -> None:
    """The interpreter flushes stdout once more at its end: into nothing."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)

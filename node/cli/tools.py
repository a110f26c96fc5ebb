"""generate-password, password-strength, generate-otp, generate-account-otp."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.call import MAX_PASSWORD_FILE, Call, command, note, now_ms, warn_of_argv
from node.cli.output import pairs
from node.errors import ExitCode, KinringError

if TYPE_CHECKING:
    from node.otp import Otp

FEW_BITS: Final = 60
"""Fewer than this can be guessed by who has stolen a site's list of hashed passwords."""
STDIN_HELP: Final = "; seen by other programs, better stdin or the prompt."


def _secret(given: str | None, option: str, what: str) -> str:
    """What is not to be shown: the option, stdin, or typed without echo. One line end is taken off."""
    if given is not None:
        warn_of_argv(option)
        return given
    if sys.stdin is None:
        raise KinringError(f"{option} is missing, and so is stdin", f"give the {what} there", ExitCode.USAGE)
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"{what.capitalize()}: ")
    data = sys.stdin.buffer.read(MAX_PASSWORD_FILE + 1)
    if len(data) > MAX_PASSWORD_FILE:
        raise KinringError(f"the {what} on stdin is over 64 KiB", "one line is enough", ExitCode.INVALID)
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise KinringError(
            f"the {what} on stdin is not UTF-8", "save it as UTF-8", ExitCode.INVALID
        ) from None


@command("generate-password")
@click.option("--random", type=bool, is_flag=False, flag_value=True, default=False, metavar="true|false",
              help="Random characters; otherwise words.")  # fmt: skip
@click.option("--min-uppercase", type=int, default=1, metavar="N", help="At least so many capitals; 1.")
@click.option("--min-lowercase", type=int, default=1, metavar="N", help="At least so many small letters; 1.")
@click.option("--min-digits", type=int, default=1, metavar="N", help="At least so many digits; 1.")
@click.option("--min-special-chars", type=int, default=1, metavar="N",
              help="At least so many special characters; 1.")  # fmt: skip
@click.option("--min-length", type=int, metavar="N", help="At least so many characters; 12.")
@click.option("--max-length", type=int, metavar="N", help="At most so many; 16 random ones, 40 with words.")
@click.option("--exclude-ambiguous", type=bool, is_flag=False, flag_value=True, default=False,
              metavar="true|false", help="Leave out what looks alike: O and 0, l and 1.")  # fmt: skip
def generate_password(call: Call, **given: Any) -> None:
    """Make a password of words, or of random characters.

    Needs no sign-in. A random one has the greatest length allowed; a kind of character of which none is
    asked for is left out of it. Words are as many as there is room for, up to four.
    """
    import secrets

    from node.generator import Policy, generate

    made = generate(Policy(**given), secrets.token_bytes)
    bits = round(made.bits, 1)
    call.show({"password": made.password, "bits": bits}, [made.password])
    if made.bits < FEW_BITS and not call.json:
        note(f"note: about {bits:.0f} bits, few for where hashed passwords get stolen; a longer one has more")


@command("password-strength")
@click.option("--password", help=f"The password{STDIN_HELP}")
def password_strength(call: Call, password: str | None) -> None:
    """Show how strong a password is: by the kinds of its characters, and by how it could be guessed.

    Needs no sign-in. Without --password it is read from stdin, or typed without echo.
    """
    from node.analysis import analyse

    info = asdict(analyse(_secret(password, "--password", "password")))
    lines = {
        "strength": f"{info['strength']} ({info['entropy']:.1f} bits, if its characters were random)",
        "guessing": f"{info['score']} of 4. {info['warning']}".rstrip(),
        "length": info["length"],
        "capitals": info["uppercase"],
        "small letters": info["lowercase"],
        "digits": info["digits"],
        "special": info["special_chars"],
    }
    call.show(info, pairs(lines.items()))


OTP_SECRET: Final = click.option(
    "--otp-secret", metavar="TEXT", help=f"Base 32, or an otpauth:// URL{STDIN_HELP}"
)


@command("generate-otp")
@OTP_SECRET
def generate_otp(call: Call, otp_secret: str | None) -> None:
    """Show the code that a one-time secret gives now.

    Needs no sign-in. Without --otp-secret it is read from stdin, or typed without echo. An otpauth://hotp
    URL gives the code of the counter that it names.
    """
    _show(call, _read(_secret(otp_secret, "--otp-secret", "one-time secret"))[0])


@command("generate-account-otp")
@click.option("--account-id", metavar="ID", help="The account.")
@click.option("--otp-secret", metavar="TEXT", help="In place of an account, as with generate-otp.")
def generate_account_otp(call: Call, account_id: str | None, otp_secret: str | None) -> None:
    """Show the code that an account's one-time secret gives now.

    A secret that counts (hotp) gives each code once: the account is saved with the next counter first.
    """
    if (account_id is None) == (otp_secret is None):
        raise click.UsageError("name either --account-id or --otp-secret")
    if otp_secret is not None:
        _show(call, _read(_secret(otp_secret, "--otp-secret", "one-time secret"))[0])
        return
    vaults = call.vaults()
    item = vaults.item(account_id or "")
    stored = item.fields.get("otp")
    if not stored:
        raise KinringError("this account has no one-time secret", "update-account --otp gives it one",
                           ExitCode.NOT_FOUND)  # fmt: skip
    otp, after = _read(stored)
    if after is not None:
        vaults.update_item(item.item_id, {"otp": after})
        call.saved()
    _show(call, otp)


def _read(text: str) -> tuple[Otp, str | None]:
    """The secret, and what is to be saved in its place once its code was shown."""
    from node.otp import after_use, read_otp, told, write_url
    from replication.errors import Malformed

    try:
        otp = read_otp(text)
        return otp, write_url(after_use(otp)) if otp.kind == "hotp" else None
    except Malformed as refusal:
        raise told(refusal) from None


def _show(call: Call, otp: Otp) -> None:
    """`otp_code` is the documents' number, which has no zeros in front; `code` is what to type."""
    now = now_ms()
    code = otp.code(now)
    number = None if otp.kind == "steam" else int(code)
    call.show({"otp_code": number, "code": code, "seconds_left": otp.seconds_left(now)}, [code])

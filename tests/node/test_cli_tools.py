"""Passwords, their strength and one-time codes at the command line, as the documents have them and better."""

from __future__ import annotations

import os
import pty
import re

import pytest

from node.cli import main
from node.otp import read_otp
from tests.node.cli_home import PASSWORD, Home

SECRET = "JBSWY3DPEHPK3PXP"
SIGNED_IN = ["-j", "true", "--master-username", "anna", "--master-password", PASSWORD]


@pytest.fixture
def nobody(tmp_path):
    """A machine without a family: these commands need none."""
    return Home(tmp_path)


def at(monkeypatch: pytest.MonkeyPatch, now: int) -> None:
    monkeypatch.setattr("node.cli.tools.now_ms", lambda: now)


# generate-password


def test_a_password_as_the_documents_ask_for_it(nobody):
    made = nobody.run(*SIGNED_IN, "generate-password").json
    assert re.fullmatch(r"[A-Z][a-z]+((\W|_)[a-z]+){3}\d", made["password"])
    assert made["bits"] == 61.6
    assert not nobody.data.exists(), "nothing was signed into, nothing was kept"


def test_a_password_alone_for_a_person_or_a_pipe(nobody):
    shown = nobody.run("generate-password", "--random")
    assert (shown.code, shown.err) == (0, "")
    assert re.fullmatch(r"\S{16}\n", shown.out)


@pytest.mark.parametrize("spelling", [["--random", "true"], ["--random=true"], ["--random"]])
def test_every_option_of_the_policy(nobody, spelling):
    made = nobody.run(
        "-j", "true", "generate-password", *spelling, "--min-uppercase", "3", "--min-lowercase", "4",
        "--min-digits", "5", "--min-special-chars", "6", "--min-length", "20", "--max-length", "21",
        "--exclude-ambiguous", "true",
    ).json["password"]  # fmt: skip
    assert len(made) == 21
    assert not set(made) & set("0ODQ1I!B8G6S5Z2")
    for kind, least in (("[A-Z]", 3), ("[a-z]", 4), ("[0-9]", 5), ("[^A-Za-z0-9]", 6)):
        assert len(re.findall(kind, made)) >= least


def test_words_unless_random_is_asked_for(nobody):
    options = ["--random", "false", "--exclude-ambiguous"]
    made = nobody.run("--json", "generate-password", *options).json["password"]
    assert re.fullmatch(r"[A-Z]?[A-Za-z]+((\W|_)[A-Za-z]+){3}\d", made)


def test_few_bits_are_remarked_on_beside_the_password(nobody):
    shown = nobody.run("generate-password", "--max-length", "16")
    assert "note: about 42 bits" in shown.err
    assert shown.out.count("\n") == 1
    assert nobody.run("--json", "generate-password", "--max-length", "16").err == ""


def test_an_impossible_policy_is_told(nobody):
    error = nobody.run("--json", "generate-password", "--min-length", "20", "--max-length", "10").error
    assert error == {
        "error": "no password can be made: min_length is 20, but max_length is 10",
        "hint": "raise max_length",
        "code": 6,
    }
    assert nobody.run("--json", "generate-password", "--min-digits", "many").error["code"] == 2


# password-strength


def test_strength_as_the_documents_show_it(nobody):
    shown = nobody.run(*SIGNED_IN, "password-strength", "--password", "mypassword").json
    assert (shown.pop("score"), shown.pop("warning")) == (1, "This is a very common password.")
    assert shown == {
        "strength": "MODERATE", "entropy": 42.303957463269825, "uppercase": 0, "lowercase": 10, "digits": 0,
        "special_chars": 0, "length": 10,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("stdin", "length"),
    [(b"p\xc3\xa4ss\n", 4), (b" two words \r\n", 11), (b"two\n\n", 4), (b"", 0), (b"\n", 0)],
)
def test_a_password_from_stdin(nobody, stdin, length):
    assert nobody.run("--json", "password-strength", stdin=stdin).json["length"] == length


def test_an_empty_password_is_weak(nobody):
    shown = nobody.run("--json", "password-strength", "--password", "").json
    assert (shown["strength"], shown["entropy"], shown["score"]) == ("WEAK", 0.0, 0)


def test_strength_for_a_person_never_shows_the_password(nobody):
    shown = nobody.run("password-strength", stdin="Zürich-Ямайка-字".encode())
    assert shown.code == 0
    assert "STRONG (" in shown.out
    assert "of 4." in shown.out
    assert "Zürich" not in shown.out + shown.err


@pytest.mark.parametrize("command", ["password-strength", "generate-otp"])
@pytest.mark.parametrize("stdin", [b"\xff\xfe", b"x" * (65 << 10)])
def test_what_stdin_cannot_be(nobody, command, stdin):
    error = nobody.run("--json", command, stdin=stdin).error
    assert error["code"] == 6
    assert "stdin" in error["error"]


def test_no_stdin_at_all(nobody, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)
    assert main(["generate-otp"]) == 2
    assert "--otp-secret is missing" in capsys.readouterr().err


def test_on_a_terminal_it_is_typed_without_echo_and_an_argument_is_warned_of(nobody):
    ours, theirs = pty.openpty()
    process = nobody.start("password-strength", stdin=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    asked = os.read(ours, 1000)
    assert asked == b"Password: "
    os.write(ours, "pässword\n".encode())
    assert b"WEAK" in process.communicate(timeout=60)[0]
    os.close(ours)

    ours, theirs = pty.openpty()
    process = nobody.start("generate-otp", "--otp-secret", SECRET, stderr=theirs)
    os.close(theirs)
    warned = os.read(ours, 1000)
    assert b"warning: --otp-secret on the command line" in warned
    assert SECRET.encode() not in warned
    assert re.fullmatch(rb"\d{6}\n", process.communicate(timeout=60)[0])
    os.close(ours)


# One-time codes


def test_a_code_as_the_documents_ask_for_it(nobody, monkeypatch):
    at(monkeypatch, 59_000)
    shown = nobody.run(*SIGNED_IN, "generate-otp", "--otp-secret", SECRET).json
    assert shown == {"otp_code": 996554, "code": "996554", "seconds_left": 1}


def test_a_code_keeps_its_zeros(nobody, monkeypatch):
    at(monkeypatch, 1_111_111_109_000)
    secret = b"otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=8\n"
    assert nobody.run("--json", "generate-otp", stdin=secret).json == {
        "otp_code": 7081804, "code": "07081804", "seconds_left": 1,
    }  # fmt: skip
    assert nobody.run("generate-otp", stdin=secret).out == "07081804\n"


def test_steam_has_letters_and_no_number(nobody, monkeypatch):
    at(monkeypatch, 1_511_200_518_000)
    shown = nobody.run("--json", "generate-otp", stdin=b"steam://63BEDWCQZKTQWPESARIERL5DTTQFCJTK").json
    assert shown == {"otp_code": None, "code": "FR8RV", "seconds_left": 12}


def test_a_secret_that_is_none_is_refused_without_being_repeated(nobody):
    error = nobody.run("--json", "generate-otp", "--otp-secret", "hello world 2018").error
    assert error["code"] == 6
    assert "base 32" in error["error"]
    assert "2018" not in error["error"] + error["hint"]


def test_an_account_s_code_and_its_secret_stays_as_it_is(home, monkeypatch):
    account = home.save("--label", "Bank", "--otp", "jbsw y3dp ehpk 3pxp")
    at(monkeypatch, 59_000)
    shown = home.run("-j", "true", "generate-account-otp", "--account-id", account)
    assert shown.json == {"otp_code": 996554, "code": "996554", "seconds_left": 1}
    assert home.run("generate-account-otp", "--account-id", account).out == "996554\n"
    assert home.account(account)["otp"] == "jbsw y3dp ehpk 3pxp"


def test_an_account_that_counts_gives_each_code_once(home):
    url = "otpauth://hotp/Bank:anna?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=0"
    account = home.save("--label", "Bank", "--otp", url)
    codes = [home.run("generate-account-otp", "--account-id", account).out for _ in range(3)]
    assert codes == ["755224\n", "287082\n", "359152\n"]
    stored = read_otp(home.account(account)["otp"])
    assert (stored.counter, stored.account, stored.issuer) == (3, "anna", "Bank")
    assert [home.run("generate-otp", stdin=url.encode()).out for _ in range(2)] == ["755224\n"] * 2


def test_accounts_without_a_code(home):
    account = home.save("--label", "Bank")
    error = home.run("--json", "generate-account-otp", "--account-id", account).error
    assert (error["code"], error["error"]) == (5, "this account has no one-time secret")
    assert home.run("--json", "generate-account-otp", "--account-id", "ab" * 16).error["code"] == 5
    wrong = home.save("--label", "Bank", "--otp", "no secret at all!")
    assert home.run("--json", "generate-account-otp", "--account-id", wrong).error["code"] == 6


def test_the_documents_slip_of_a_secret_in_place_of_an_account(nobody, monkeypatch):
    at(monkeypatch, 59_000)
    assert nobody.run("generate-account-otp", "--otp-secret", SECRET).out == "996554\n"
    for words in ([], ["--account-id", "ab", "--otp-secret", SECRET]):
        error = nobody.run("--json", "generate-account-otp", *words).error
        assert (error["code"], error["error"]) == (2, "name either --account-id or --otp-secret")

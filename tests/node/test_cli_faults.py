"""What goes wrong is told in two lines and a code, and never with a secret."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile

import pytest

import node.cli
from node.cli.call import Call
from node.errors import ExitCode, KinringError
from replication.store import StoreError
from tests.node.cli_home import PASSWORD, ROOT, Home
from tests.node.test_cli_docs import loaded_by

CANARY = "canary-8c2f41"


def told(home: Home, *words: str, **environment: str) -> tuple[int, str]:
    """Code and message of an error; that both forms say the same is checked on the way."""
    error = home.run(*words, "--json", stdin=b"", **environment).error
    plain = home.run(*words, stdin=b"", **environment)
    hint = f"hint: {error['hint']}\n" if error["hint"] else ""
    assert plain.err == f"error: {error['error']}\n{hint}"
    assert (plain.code, plain.out) == (error["code"], "")
    return error["code"], error["error"]


def test_a_wrong_password_and_an_unknown_user_are_told_alike(locked):
    wrong = told(locked, "get-vaults", KINRING_MASTER_PASSWORD="not this one at all")
    unknown = told(locked, "get-vaults", "--master-username", "bob", KINRING_MASTER_PASSWORD=PASSWORD)
    assert wrong == unknown
    assert wrong[0] == 4


def test_a_lost_secret_key(locked):
    for path in (locked.data / "secret-keys").iterdir():
        path.unlink()
    assert told(locked, "get-vaults", KINRING_MASTER_PASSWORD=PASSWORD)[0] == 5


@pytest.mark.parametrize(
    "words",
    [
        ["get-account", "--account-id"],
        ["update-account", "--label", "x", "--account-id"],
        ["delete-account", "--account-id"],
        ["restore-account", "--account-id"],
        ["history", "--account-id"],
        ["get-vault", "--vault-id"],
        ["update-vault", "--title", "x", "--vault-id"],
        ["delete-vault", "--vault-id"],
        ["restore-vault", "--vault-id"],
        ["get-accounts", "--vault-id"],
        ["create-account", "--label", "x", "--vault-id"],
    ],
)
def test_unknown_ids(home, words):
    assert told(home, *words, "0" * 32)[0] == 5
    assert told(home, *words, "not-an-id")[0] == 6
    assert told(home, *words, "")[0] == 6


def test_nothing_here_yet(tmp_path):
    tmp_path.chmod(0o700)
    empty = Home(tmp_path)
    for words in (["get-vaults"], ["status"], ["lock"], ["unlock"], ["kit"]):
        assert told(empty, *words, KINRING_MASTER_PASSWORD=PASSWORD)[0] == 5
    assert not empty.data.exists(), "asking makes nothing"


@pytest.mark.parametrize("size", [0, 100, 5000, 40000])
def test_a_truncated_store(home, size):
    os.truncate(home.data / "kinring.db", size)
    code, message = told(home, "get-vaults")
    assert code == 10
    assert "damaged" in message


def test_a_store_that_is_none(home):
    (home.data / "kinring.db").write_bytes(b"this is no database at all" * 1000)
    assert told(home, "get-vaults")[0] == 10


@pytest.mark.parametrize("offset", range(4096, 200_000, 24_000))
def test_a_damaged_page_is_told_or_does_not_matter(home, offset):
    path = home.data / "kinring.db"
    with path.open("r+b") as file:
        file.seek(offset % (path.stat().st_size - 2000))
        file.write(os.urandom(2000))
    ran = home.run("get-vaults")
    assert "Traceback" not in ran.err
    assert ran.code in (0, 1, 3, 5, 10), ran.err


def test_a_data_folder_that_others_may_read(home):
    home.data.chmod(0o755)
    code, message = told(home, "get-vaults")
    assert (code, "other users may read" in message) == (10, True)
    home.data.chmod(0o700)
    (home.data / "kinring.db").chmod(0o644)
    assert told(home, "get-vaults")[0] == 10


def test_a_data_folder_that_is_a_file(home, tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    assert told(home, "get-vaults", "--data-dir", str(path))[0] == 10


def full_disk() -> None:
    """No file may grow beyond this: the system's answer is that of a quota."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (48 * 1024, 48 * 1024))


def test_a_disk_that_takes_no_more(home, tmp_path):
    account = home.save("--label", "Bank", "--password", "first")
    big = tmp_path / "big"
    big.write_text("x" * 32000)
    words = ["update-account", "--account-id", account, "--account-password-file", str(big), "--json"]
    refused = home.process(*words, preexec_fn=full_disk)
    assert refused.error["code"] == 11
    assert home.account(account)["password"] == "first"
    assert home.process(*words).json["updated"] is True


def plain_user() -> None:
    """Root loses the right to ignore modes (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH) with the next exec."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="capabilities are Linux's")
def test_a_folder_that_may_not_be_written(home):
    home.data.chmod(0o500)
    try:
        ran = home.process("create-vault", "--title", "x", "--json", preexec_fn=plain_user)
    finally:
        home.data.chmod(0o700)
    assert ran.error["code"] in (10, 11)
    assert home.run("get-vaults", "--json").code == 0


def test_output_that_cannot_be_written(home):
    with open("/dev/full", "wb") as full:
        ran = home.process("get-vaults", stdout=full)
    assert (ran.code, ran.err.splitlines()[0]) == (11, "error: the system refused: No space left on device")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get-acount"], "there is no command 'get-acount'"),
        (["get_account"], "there is no command 'get_account'"),
        (["get-account"], "Missing option '--account-id'"),
        (["get-account", "--acount-id", "x"], "there is no option --acount-id"),
        (["--vault-id", "x"], "there is no option --vault-id"),
        (["-j", "perhaps", "get-vaults"], "takes true or false"),
        (["-d", "x"], "Missing command"),
        (["get-accounts", "--limit", "-1"], "--limit takes a whole number"),
    ],
)
def test_a_command_line_that_is_not_understood(home, words, said):
    code, message = told(home, *words)
    assert (code, said in message) == (2, True), message


def test_a_wrong_word_close_to_a_right_one_gets_a_hint(home):
    assert "get-account" in home.run("get-acount").err
    assert "--account-id" in home.run("get-account", "--acount-id", "x").err
    assert "COMMAND OPTIONS" in home.run("--vault-id", "x").err


def test_no_words_at_all_show_the_help(home):
    assert home.run().code == 0
    assert "create-user" in home.run().out


@pytest.mark.parametrize(
    "words",
    [
        ["--master-password", "two", CANARY, "get-vaults"],
        ["get-vaults", "--master-password", "two", CANARY],
        ["create-account", "--vault-id", "0" * 32, "--password", "two", CANARY],
        ["create-account", "--vault-id", "0" * 32, "--password", "two", f"-{CANARY}"],
        ["create-account", "--vault-id", "0" * 32, "--password", "two", f"--{CANARY}"],
        ["create-account", "--vault-id", "0" * 32, "--form-field", CANARY],
        [f"--{CANARY}"],
        ["get-vaults", "--master-password", CANARY],
        ["create-user", "--master-username", "ben", "--master-password", CANARY[:11]],
        ["get-vaults", "-j", CANARY],
        ["get-accounts", "--limit", CANARY],
        ["get-vaults", "--hash-algorithm", CANARY],
        ["create-account", "--vault-id", "0" * 32, "--favorite", CANARY],
        ["create-account", "--vault-id", "0" * 32, "--due-at", CANARY],
        [
            "create-user",
            "--master-username",
            "ben",
            "--device-pepper-key",
            CANARY,
            "--master-password",
            PASSWORD,
        ],
        [
            "update-account",
            "--account-id",
            "0" * 32,
            "--password",
            CANARY,
            "--notes",
            CANARY,
            "--otp",
            CANARY,
        ],
        ["create-account", "--vault-id", "0" * 32, "--notes", CANARY * 4000],
        ["update-account", "--account-id", "0" * 32, "--form-field", f"PIN={CANARY * 4000}"],
        ["--debug", "get-vaults", "--master-password", CANARY],
    ],
)
def test_no_error_repeats_a_secret(home, words):
    for form in (words, [*words, "--json"]):
        ran = home.run(*form)
        assert ran.code != 0
        assert CANARY[:11] not in ran.out + ran.err


def test_a_password_that_is_no_text(locked):
    """Bytes that are not UTF-8 reach Python as lone surrogates."""
    password = os.fsdecode(b"caf\xe9 violin marmot")
    for words in (["get-vaults"], ["create-user", "--master-username", "ben"]):
        assert told(locked, *words, "--master-password", password)[0] in (4, 6)


def raised(error: Exception, *words: str) -> tuple[int, str]:
    """What main makes of an exception that no command should let out."""
    home_of = pytest.MonkeyPatch()

    def fail(*_: object) -> int:
        secret = CANARY  # noqa: F841 - a local that a traceback must not show
        raise error

    with home_of.context() as patch:
        patch.setattr(node.cli, "_run", fail)
        return run_main(*words)


def run_main(*words: str) -> tuple[int, str]:
    import contextlib
    import io

    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        code = node.cli.main(list(words))
    return code, err.getvalue()


@pytest.mark.parametrize("words", [[], ["--debug"]])
def test_a_fault_of_ours_shows_no_value(words):
    code, said = raised(ValueError(f"invalid literal: {CANARY!r}"), *words, "get-vaults")
    assert code == 1
    assert "a fault of Kinring: ValueError" in said
    assert CANARY not in said
    assert ("in fail" in said) is bool(words)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("damaged", 10), ("version", 10), ("busy", 9), ("full", 11), ("io", 11), ("missing", 10)],
)
def test_errors_of_the_store_have_their_codes(kind, code):
    assert raised(StoreError(kind), "get-vaults")[0] == code


def test_ctrl_c_anywhere(monkeypatch):
    monkeypatch.setattr(node.cli, "_run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run_main("get-vaults") == (130, "error: stopped\n")


def test_every_code_can_be_told():
    for code in ExitCode:
        if code:
            assert raised(KinringError("x", "y", code), "get-vaults") == (code, "error: x\nhint: y\n")


def test_reading_an_account_with_a_handle_loads_little(home):
    """What takes long to load is loaded by who needs it: the command is to answer in a tenth of a second."""
    account = home.save("--label", "Bank", "--password", "s3cret")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.environment.items():
            patch.setenv(name, value)
        loaded = loaded_by(
            "from node.cli import main\n"
            f"assert main(['get-account', '--account-id', '{account}', '--reveal']) == 0"
        )
    assert "node.vault" in loaded
    slow = {"argon2", "asyncio", "cheroot", "cryptography.x509", "email", "flask", "h11", "httpx", "keyring",
            "logging", "rich", "socket", "ssl", "trio", "zeroconf", "zxcvbn", "node.daemon", "node.family",
            "node.strength", "replication.transport"}  # fmt: skip
    assert not loaded & slow


def test_secrets_reach_neither_the_disk_in_the_clear_nor_another_process_s_eyes(home):
    """The store, its journal, the handles and whatever else lies in the folders hold nothing readable."""
    account = home.save("--label", f"label {CANARY}", "--password", CANARY, "--notes", CANARY, "--form-field",
                        f"{CANARY}={CANARY}")  # fmt: skip
    home.run("update-account", "--account-id", account, "--password", CANARY + "2")
    home.run("get-account", "--account-id", account, "--reveal")
    handle = bytes.fromhex(home.environment["KINRING_HANDLE"])
    for path in home.place.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for secret in (CANARY.encode(), PASSWORD.encode(), handle, handle.hex().encode()):
                assert secret not in data, path.name


LISTENER = """
import os, pathlib, socket
from node.control import SOCKET_FILE
from node.folders import runtime_folder
server = socket.socket(socket.AF_UNIX)
server.bind(str(runtime_folder(pathlib.Path(os.environ["KINRING_DATA_DIR"])) / SOCKET_FILE))
server.listen(8)
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    print(connection.recv(99).hex(), flush=True)
    connection.close()
"""


@pytest.fixture
def short():
    """A runtime folder whose name is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def test_a_running_node_is_told_of_what_was_saved(locked, short):
    """Whoever listens on the node's socket hears of a saving, and of no reading."""
    locked.environment["XDG_RUNTIME_DIR"] = short
    home = locked.unlock()
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER], cwd=ROOT, env=home.env(), stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        home.run("get-vaults")
        home.run("create-vault", "--title", "New")
        home.run("status")
        home.run("status")
        said = [bytes.fromhex(process.stdout.readline().decode()) for _ in range(2)]
        assert [b"changed" in words for words in said] == [True, False]
        assert b"ping" in said[1], "status asks whether a node runs"
    finally:
        process.kill()
        process.communicate()


def test_json_errors_are_one_line():
    code, said = raised(KinringError("two\nlines", "", ExitCode.FAILED), "--json")
    assert (code, said.count("\n")) == (1, 1)
    assert json.loads(said) == {"error": "two\nlines", "hint": "", "code": 1}


def test_the_store_is_closed_whatever_happens(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINRING_DATA_DIR", str(home.data))
        call = Call()
        replica = call.replica()
        call.close()
        call.close()
    with pytest.raises(Exception, match="closed"):
        replica.store.rows("SELECT 1")

"""Founding, letting people in, signing in and out, at the command line."""

from __future__ import annotations

import os
import pty
import re
import select
import stat
import time

import pytest

from node.cli.call import Call
from node.folders import runtime_folder
from node.handles import create, open_handle
from node.keyholder import sign_ins, unlock_with_key
from node.opening import open_replica
from node.unlock import parse_unlock_wrap
from tests.node.cli_home import PASSWORD, Home

PEPPER = "0123456789abcdef0123456789abcdef"
CODE = re.compile(r"([0-9A-Z]{5}-){6}[0-9A-Z]{5}")
OTHER = "lantern gravel oboe sixpence"


@pytest.fixture
def empty(tmp_path):
    place = tmp_path / "new"
    place.mkdir(mode=0o700)
    return Home(place)


def test_the_first_person_founds_a_family(empty):
    made = empty.run("create-user", "--master-username", "Anna", "--json", KINRING_MASTER_PASSWORD=PASSWORD)
    told = made.json
    assert (told["username"], told["name"], told["founded"]) == ("Anna", "Anna", True)
    assert CODE.fullmatch(told["recovery_code"])
    assert CODE.fullmatch(told["family_recovery_key"])
    assert "only this once" in made.err
    shown = empty.run("get-user", "--json", KINRING_MASTER_PASSWORD=PASSWORD).json
    assert shown["user_id"] == told["user_id"]
    assert (shown["role"], shown["family_id"], len(shown["devices"])) == ("admin", told["family_id"], 1)
    assert empty.run("get-user", "--user-id", told["user_id"], KINRING_MASTER_PASSWORD=PASSWORD).code == 0
    files = [path for path in empty.data.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_second_person_is_let_in_and_has_vaults_of_their_own(locked):
    made = locked.run("create-user", "--master-username", "ben", "--name", "Ben", "--json",
                      KINRING_MASTER_PASSWORD=OTHER)  # fmt: skip
    assert made.json["founded"] is False
    assert "family_recovery_key" not in made.json
    bens = locked.run("get-vaults", "--master-username", "ben", "--json", KINRING_MASTER_PASSWORD=OTHER).json
    annas = locked.run(
        "get-vaults", "--master-username", "anna", "--json", KINRING_MASTER_PASSWORD=PASSWORD
    ).json
    assert len(bens) == len(annas) == 5
    assert not {view["vault_id"] for view in bens} & {view["vault_id"] for view in annas}
    nameless = locked.run("get-vaults", "--json", KINRING_MASTER_PASSWORD=OTHER).error
    assert (nameless["code"], nameless["hint"]) == (2, "one of anna, ben")
    # Anna's next unlock hands the directory's key on.
    locked.run("unlock", "--master-username", "anna", KINRING_MASTER_PASSWORD=PASSWORD)
    shown = locked.run("get-user", "--master-username", "ben", "--json", KINRING_MASTER_PASSWORD=OTHER).json
    assert (shown["username"], shown["role"]) == ("ben", "writer")


def test_a_user_name_is_taken_once(locked):
    again = locked.run("create-user", "--master-username", "ANNA", "--json", KINRING_MASTER_PASSWORD=OTHER)
    assert again.error["code"] == 7


def test_a_new_person_needs_a_name(empty):
    assert empty.run("create-user", "--json", KINRING_MASTER_PASSWORD=PASSWORD).error["code"] == 2
    assert not empty.data.exists()


@pytest.mark.parametrize("password", ["", "short", "aaaaaaaaaaaaaaaa", "anna-anna-anna"])
def test_a_weak_password_is_refused_before_anything_is_made(empty, password):
    refused = empty.run(
        "create-user", "--master-username", "anna", "--json", KINRING_MASTER_PASSWORD=password
    )
    assert refused.error["code"] == 6
    assert "weak" in refused.error["error"]
    assert not empty.data.exists()


@pytest.mark.parametrize("crypto", ["aes256-gcm", "cha-cha20-poly1305"])
@pytest.mark.parametrize("kdf", ["argon2id", "pbkdf2-hmac-sha256"])
def test_ciphers_are_chosen_when_the_person_is_made(empty, crypto, kdf):
    chosen = ["--crypto-algorithm", crypto, "--hash-algorithm", kdf]
    made = empty.run(*chosen, "create-user", "--master-username", "anna", KINRING_MASTER_PASSWORD=PASSWORD)
    assert made.code == 0, made.err
    replica = open_replica(empty.data)
    state = replica.state()
    replica.close()
    assert {vault.suite for vault in state.vaults.values()} == {1 if crypto == "aes256-gcm" else 2}
    (wraps,) = state.unlocks.values()
    assert wraps[0].wrap is not None
    assert parse_unlock_wrap(wraps[0].wrap).kdf.name == kdf
    assert empty.run("get-vaults", KINRING_MASTER_PASSWORD=PASSWORD).code == 0


@pytest.mark.parametrize("option", [["--crypto-algorithm", "aes256-gcm"], ["--hash-algorithm", "argon2id"]])
def test_ciphers_are_chosen_nowhere_else(home, option):
    for words in ([*option, "get-vaults"], ["get-vaults", *option]):
        assert home.run(*words, "--json").error["code"] == 2


def test_a_pepper_given_by_hand_goes_before_the_environment(empty):
    words = ["--master-username", "anna", "--json"]
    known = {"KINRING_MASTER_PASSWORD": PASSWORD}
    assert empty.run("create-user", *words, "--device-pepper-key", PEPPER, **known).code == 0
    assert not (empty.data / "secret-keys").exists()
    assert empty.run("get-vaults", *words, DEVICE_PEPPER_KEY=PEPPER, **known).code == 0
    wrong = "f" * 32
    assert (
        empty.run("get-vaults", *words, "--device-pepper-key", PEPPER, DEVICE_PEPPER_KEY=wrong, **known).code
        == 0
    )
    refused = empty.run("get-vaults", *words, "--device-pepper-key", wrong, DEVICE_PEPPER_KEY=PEPPER, **known)
    assert refused.error["code"] == 4
    assert empty.run("get-vaults", *words, DEVICE_PEPPER_KEY=wrong, **known).error["code"] == 4
    assert empty.run("get-vaults", *words, **known).error["code"] == 5
    assert empty.run("kit", *words, DEVICE_PEPPER_KEY=PEPPER, **known).json["secret_key"]


def test_a_pepper_too_short_leaves_no_family_behind(empty):
    refused = empty.run("create-user", "--master-username", "anna", "--device-pepper-key", "short", "--json",
                        KINRING_MASTER_PASSWORD=PASSWORD)  # fmt: skip
    assert refused.error["code"] == 6
    assert empty.run("create-user", "--master-username", "anna", KINRING_MASTER_PASSWORD=PASSWORD).code == 0


def test_the_password_comes_from_the_first_place_that_has_one(locked, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(PASSWORD + "\n")
    bad.write_text("not this one at all\n")
    for words, environment in (
        (["--master-password", PASSWORD, "--password-file", str(bad)], "not this"),
        (["--password-file", str(good)], "not this"),
        ([], PASSWORD),
    ):
        assert locked.run("get-vaults", *words, KINRING_MASTER_PASSWORD=environment).code == 0
    assert locked.run("get-vaults", "--password-file", "-", stdin=PASSWORD.encode() + b"\r\n").code == 0
    assert locked.run("get-vaults", "--password-file", str(bad), KINRING_MASTER_PASSWORD=PASSWORD).code == 4


@pytest.mark.parametrize(("content", "code"), [(b"", 6), (b"\xff\xfe", 6), (b"x" * 70000, 6), (None, 5)])
def test_a_password_file_that_is_none(locked, tmp_path, content, code):
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    assert locked.run("get-vaults", "--password-file", str(path), "--json").error["code"] == code


def test_a_password_with_a_final_space_is_not_trimmed(locked):
    assert locked.run("get-vaults", "--password-file", "-", stdin=PASSWORD.encode() + b" \n").code == 4


def test_nobody_is_asked_where_there_is_no_terminal(locked):
    assert locked.run("get-vaults", "--json").error["code"] == 3


def test_a_handle_serves_until_it_is_locked(locked):
    told = locked.run("unlock", "--json", KINRING_MASTER_PASSWORD=PASSWORD).json
    assert (told["username"], told["expires_in"]) == ("anna", 600)
    assert locked.run("get-vaults", KINRING_HANDLE=told["handle"]).code == 0
    assert locked.run("status", "--json", KINRING_HANDLE=told["handle"]).json["handles"] == 1
    assert locked.run("lock", "--json").json == {"locked": 1}
    assert locked.run("get-vaults", "--json", KINRING_HANDLE=told["handle"]).error["code"] == 3
    assert locked.run("lock", "--json").json == {"locked": 0}


def test_a_handle_may_lie_in_a_file(locked, tmp_path):
    path = tmp_path / "handle"
    unlocked = locked.run("unlock", "--handle-file", str(path), "--json", KINRING_MASTER_PASSWORD=PASSWORD)
    assert "handle" not in unlocked.json
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() not in unlocked.out + unlocked.err
    assert locked.run("get-vaults", "--handle-file", str(path)).code == 0
    path.chmod(0o644)
    assert locked.run("get-vaults", "--handle-file", str(path), "--json").error["code"] == 10


def test_a_password_given_goes_before_a_handle(home):
    assert home.run("get-vaults", "--master-password", "not this one at all", "--json").error["code"] == 4


def test_a_handle_is_one_person_s(home):
    assert home.run("get-vaults", "--master-username", "ANNA").code == 0
    assert home.run("get-vaults", "--master-username", "ben", "--json").error["code"] == 3


def test_a_handle_whose_time_is_over(home):
    replica = open_replica(home.data)
    ((_, person, keyholder),) = sign_ins(replica)
    runtime = runtime_folder_of(home)
    handle = open_handle(runtime, home.environment["KINRING_HANDLE"], now=time.time())
    assert unlock_with_key(replica, person, handle.unlock_key).person == person
    replica.close()
    over = create(runtime, person=person, keyholder=keyholder, unlock_key=handle.unlock_key,
                  now=time.time(), lifetime=0)  # fmt: skip
    told = home.run("get-vaults", "--json", KINRING_HANDLE=over).error
    assert told["code"] == 3
    assert "expired" in told["error"]
    assert "kinring unlock" in told["hint"]


def runtime_folder_of(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", home.environment["XDG_RUNTIME_DIR"])
        return runtime_folder(home.data)


@pytest.mark.parametrize("token", ["x", "00" * 32, "é", "00" * 31])
def test_a_handle_that_is_none(locked, token):
    assert locked.run("get-vaults", "--json", KINRING_HANDLE=token).error["code"] == 3


def test_the_kit_names_its_secrets_once(home):
    shown = home.run("kit", "--json")
    kit = shown.json
    assert set(kit) == {"family_id", "user_id", "username", "secret_key", "recovery_code"}
    assert (home.data / "secret-keys" / kit["user_id"]).read_text() == f"file {kit['secret_key']}\n"
    assert CODE.fullmatch(kit["recovery_code"])
    assert "two secrets" in shown.err
    assert kit["recovery_code"] in home.run("kit").out


def test_status_needs_no_password_and_shows_no_names_then(locked):
    told = locked.run("status", "--json").json
    assert (told["may_sign_in"], told["signed_in"], told["unopened"], told["node"]) == (
        ["anna"],
        None,
        None,
        False,
    )
    assert [person["name"] for person in told["people"]] == [None]
    assert (told["entries"] > 0, told["put_aside"], told["handles"]) == (True, 0, 0)
    locked.unlock()
    told = locked.run("status", "--json").json
    assert (told["signed_in"], told["unopened"], told["handles"]) == ("anna", 0, 1)
    assert [(person["name"], person["role"]) for person in told["people"]] == [("Anna", "admin")]
    assert [device["name"] for device in told["devices"]] == ["annas laptop"]
    assert "annas laptop" in locked.run("status").out


def test_a_person_of_another_family_is_not_found(home):
    for wrong in ("00" * 16, "x"):
        assert home.run("get-user", "--user-id", wrong, "--json").error["code"] == 5


def test_a_call_does_not_show_what_it_holds():
    call = Call()
    call._password = "canary"
    assert "canary" not in repr(call)


class Terminal:
    """A terminal with the command in it."""

    def __init__(self, home, *words):
        self.ours, theirs = pty.openpty()
        self.seen = ""
        self.process = home.start(*words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)

    def until(self, text):
        while text not in self.seen:
            assert select.select([self.ours], [], [], 60)[0], f"still waiting for {text!r}: {self.seen!r}"
            try:
                self.seen += os.read(self.ours, 4096).decode(errors="replace")
            except OSError:  # Linux: the other end is closed
                assert text in self.seen, self.seen
        return self

    def type(self, text):
        os.write(self.ours, text.encode() + b"\n")
        return self

    def end(self):
        """Everything it still says, and its exit code."""
        while select.select([self.ours], [], [], 60)[0]:
            try:
                piece = os.read(self.ours, 4096)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            self.seen += piece.decode(errors="replace")
        os.close(self.ours)
        return self.process.wait(timeout=60)


def test_a_password_is_typed_without_echo(locked):
    terminal = Terminal(locked, "get-vaults").until("Master password: ").type(PASSWORD)
    assert terminal.end() == 0
    assert "Personal" in terminal.seen
    assert PASSWORD not in terminal.seen


def test_a_new_password_is_typed_twice(empty):
    words = ["create-user", "--master-username", "anna"]
    terminal = (
        Terminal(empty, *words).until("Master password: ").type(PASSWORD).until("Once more: ").type(OTHER)
    )
    assert terminal.end() == 6
    assert not empty.data.exists()
    terminal = (
        Terminal(empty, *words).until("Master password: ").type(PASSWORD).until("Once more: ").type(PASSWORD)
    )
    assert terminal.end() == 0
    assert "family recovery key" in terminal.seen


def test_ctrl_c_at_the_prompt(locked):
    terminal = Terminal(locked, "get-vaults").until("Master password: ")
    terminal.process.send_signal(2)
    assert terminal.end() == 130
    assert "error: stopped" in terminal.seen
    assert "Traceback" not in terminal.seen


def test_a_terminal_is_warned_of_secrets_on_the_command_line(home):
    terminal = Terminal(home, "get-vaults", "--master-password", PASSWORD)
    assert terminal.end() == 0
    assert "warning: --master-password" in terminal.seen
    assert home.run("get-vaults", "--master-password", PASSWORD).err == ""


def test_a_secret_field_goes_to_the_screen_only_when_asked(home):
    account = home.save("--label", "Bank", "--password", "s3cret")
    words = ["get-account", "--account-id", account, "--field"]
    hidden = Terminal(home, *words, "password")
    assert hidden.end() == 2
    assert "s3cret" not in hidden.seen
    shown = Terminal(home, *words, "password", "--reveal")
    assert (shown.end(), shown.seen) == (0, "s3cret\r\n")
    label = Terminal(home, *words, "label")
    assert (label.end(), label.seen) == (0, "Bank\r\n")

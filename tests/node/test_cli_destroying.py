"""At the command line: what is destroyed, how long it can be brought back, and what status says of it."""

from __future__ import annotations

import os
import pty
import re
from hashlib import sha256
from pathlib import Path

from nacl.signing import SigningKey

from node.errors import ExitCode
from node.housekeeping import COPY_DIFFERS
from node.opening import open_replica
from replication.alarms import TWO_PLACES
from replication.membership import DEVICE
from replication.replica import Draft
from tests.node.cli_home import Home, exchange


def test_the_bin_is_emptied_and_until_then_it_can_be_brought_back(home: Home):
    gone, kept = home.save("--label", "Bank", "--password", "s3cret"), home.save("--label", "Shop")
    home.run("delete-account", "--account-id", gone)
    told = home.run("empty-bin", "--yes", "--json").json
    assert (told["accounts"], told["vaults"], told["values"], told["left"]) == ([gone], [], 1, [])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", told["until"])
    assert told["waits_for"] == ["annas laptop"]
    assert home.run("bin", "--json").json == {"accounts": [], "vaults": []}
    assert [one["account_id"] for one in home.run("get-accounts", "--json").json] == [kept]
    assert home.run("restore-account", "--account-id", gone, "--json").json == {"restored": True}
    assert home.account(gone)["password"] == "s3cret"
    again = home.run("empty-bin", "--yes", "--json").json
    assert (again["accounts"], again["until"]) == ([], None)


def test_an_account_is_erased_and_the_command_says_until_when_and_how(home: Home):
    account = home.save("--label", "Bank", "--password", "s3cret")
    home.run("update-account", "--account-id", account, "--password", "n3w")
    told = home.run("erase-account", "--account-id", account, "--yes").out
    assert "destroyed: 2 values" in told
    assert f"restore-account --account-id {account}" in told
    assert home.run("get-accounts", "--json").json == []
    assert {line["value"] for line in home.run("history", "--account-id", account, "--json").json} >= {"s3cret", "n3w"}


def test_earlier_values_are_purged_and_what_waits_is_named(home: Home):
    account = home.save("--label", "Bank", "--password", "one")
    for password in ("two", "three"):
        home.run("update-account", "--account-id", account, "--password", password)
    told = home.run("purge-history", "--account-id", account, "--yes", "--json").json
    assert (told["accounts"], told["values"], told["left"]) == ([account], 1, ["password"])
    assert home.account(account)["password"] == "three"
    recent = home.run("purge-history", "--account-id", account, "--older-than", "30", "--yes", "--json").json
    assert recent["values"] == 0
    (waits,) = home.run("status", "--json").json["purges"]
    assert (waits["vault_id"], waits["title"], waits["values"]) == (home.vault(), "Personal", 1)
    assert waits["waits_for"] == ["annas laptop"]
    assert "to be destroyed in Personal" in home.run("status").out


def test_nothing_is_destroyed_unasked(home: Home):
    account = home.save("--label", "Bank")
    of = ["--account-id", account]
    for words in (["empty-bin"], ["erase-account", *of], ["purge-history", *of]):
        told = home.run(*words, "--json").error
        assert told["code"] == ExitCode.USAGE
        assert "--yes" in told["error"]
    assert home.account(account)["label"] == "Bank"


def test_the_question_names_the_account_and_wants_a_yes(home: Home):
    account = home.save("--label", "Bank")
    for answer, code in ((b"no\n", ExitCode.STOPPED), (b"yes\n", ExitCode.OK)):
        ours, theirs = pty.openpty()
        try:
            process = home.start("erase-account", "--account-id", account, stdin=theirs)
            os.write(ours, answer)
            out, err = process.communicate(timeout=60)
        finally:
            os.close(ours)
            os.close(theirs)
        assert b"destroy Bank and all it ever held" in err
        assert process.returncode == code, (out, err)
    assert home.run("get-accounts", "--json").json == []


def test_a_vault_of_someone_else_is_left_to_its_owner(home: Home):
    assert home.run("empty-bin", "--vault-id", "00" * 16, "--yes", "--json").error["code"] == ExitCode.NOT_FOUND
    assert home.run("erase-account", "--account-id", "00" * 16, "--yes", "--json").error["code"] == ExitCode.NOT_FOUND
    assert home.run("purge-history", "--account-id", "zz", "--yes", "--json").error["code"] == ExitCode.INVALID


def test_an_alarm_is_shown_with_its_name_and_ticked_off(home: Home):
    replica = open_replica(home.data, create=False)
    state = replica.state()
    device, holder = next(iter(state.devices)), next(iter(state.keyholders))
    replica.raise_alarm(TWO_PLACES, device, "its log grows in two places", b"1", 1_900_000_000_000)
    replica.raise_alarm(COPY_DIFFERS, holder, "a copy is not what it stands in for", b"2", 1_900_000_000_001)
    replica.close()
    first, second = home.run("status", "--json").json["alarms"]
    assert (first["kind"], first["about"]) == (COPY_DIFFERS, "Anna at annas laptop")
    assert first["at"] == "2030-03-17T17:46:40.001Z"
    assert (second["alarm"], second["about"]) == (f"two-places:{device.hex()[:8]}", "annas laptop")
    assert f"alarm {second['alarm']}" in home.run("status").out
    assert home.run("dismiss-alarm", "--alarm", second["alarm"], "--json", KINRING_HANDLE="").json == {"dismissed": 1}
    assert [one["kind"] for one in home.run("status", "--json").json["alarms"]] == [COPY_DIFFERS]
    assert home.run("dismiss-alarm", "--alarm", second["alarm"], "--json").error["code"] == ExitCode.NOT_FOUND


def test_what_a_newer_program_wrote_asks_for_an_update(home: Home):
    """A statement of a kind that this program does not know, put aside until it does."""
    assert home.run("status", "--json").json["update_needed"] == 0
    replica = open_replica(home.data, create=False)
    key = SigningKey.generate()
    unknown = [DEVICE + 200, b"something new"]
    author = bytes(key.verify_key)
    replica.append(author, lambda m: key.sign(m).signature, lambda _: Draft(statements=(unknown,)), 1_900_000_000_000)
    replica.close()
    told = home.run("status", "--json").json
    assert (told["update_needed"], told["put_aside"]) == (1, 1)
    assert "update this one" in home.run("status").out


def test_a_value_that_no_peer_hands_over_is_counted_and_marked(home: Home, tmp_path: Path):
    account = home.save("--label", "Bank", "--password", "one")
    home.run("update-account", "--account-id", account, "--password", "two")
    other = home.copy(tmp_path / "other").unlock()
    replica = open_replica(other.data, create=False)
    newest, sealed = replica.store.one("SELECT id, sealed FROM ops ORDER BY id DESC LIMIT 1")
    with replica.store.write():
        replica.store.run("INSERT INTO missing VALUES (?, ?)", (newest, sha256(sealed).digest()))
        replica.store.run("UPDATE ops SET sealed = x'' WHERE id = ?", (newest,))
    replica.close()
    (counted,) = other.run("status", "--json").json["wanted"]
    assert (counted["title"], counted["values"]) == ("Personal", 1)
    assert "no peer has handed over yet" in other.run("status").out
    assert other.account(account)["wanted"] == ["password"]
    assert "not all of it is here yet" in other.run("get-accounts").out
    assert "password" in next(
        line for line in other.run("get-account", "--account-id", account).out.splitlines() if "not here yet" in line
    )
    assert "(not here yet)" in other.run("history", "--account-id", account).out
    exchange(home, other)
    assert (other.account(account)["wanted"], other.account(account)["password"]) == ([], "two")
    assert other.run("status", "--json").json["wanted"] == []

"""What a person does with vaults and accounts at the command line."""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.node.cli_home import PASSWORD, exchange

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ALL_FIELDS = {
    "--kind": "login", "--label": "Library", "--favorite": "true", "--description": "town library",
    "--username": "anna", "--password": " s3cret pässword ", "--email": "anna@mail.example",
    "--phone": "+1 555", "--address": "1 Road\nTown", "--url": "https://library.example",
    "--category": "Books", "--tags": "tv, fun", "--otp": "JBSWY3DPEHPK3PXP", "--icon": "book",
    "--notes": "first line\nsecond", "--renew-interval-days": "90", "--expires-at": "12/31/2027",
    "--due-at": "2027-06-01 10:00:00",
}  # fmt: skip


def options(given: dict[str, str]) -> list[str]:
    return [word for pair in given.items() for word in pair]


def test_what_is_saved_is_shown_field_by_field(home):
    account = home.save(*options(ALL_FIELDS), "--tags", "kids", "--form-field", "PIN=12=34")
    shown = home.account(account)
    assert ISO.fullmatch(shown.pop("created_at"))
    assert ISO.fullmatch(shown.pop("updated_at"))
    assert shown == {
        "account_id": account, "vault_id": home.vault(), "version": shown["version"], "kind": "Logins",
        "label": "Library", "favorite": True, "description": "town library", "username": "anna",
        "password": " s3cret pässword ", "email": "anna@mail.example", "phone": "+1 555",
        "address": "1 Road\nTown", "website_url": "https://library.example", "url": "https://library.example",
        "category": "Books", "tags": ["fun", "kids", "tv"], "otp": "JBSWY3DPEHPK3PXP", "icon": "book",
        "form_fields": {"PIN": "12=34"}, "notes": "first line\nsecond", "renew_interval_days": 90,
        "expires_at": "2027-12-31", "due_at": "2027-06-01", "deleted": False, "revived": False,
        "stub": False, "wanted": [],
        "conflicts": {},
    }  # fmt: skip


def test_the_documents_order_of_words_works_too(locked):
    """Global options before the command, and the password among them."""
    signed_in = ["-j", "true", "--master-username", "anna", "--master-password", PASSWORD]
    vault = locked.run(*signed_in, "get-vaults").json[1]["vault_id"]
    made = locked.run(*signed_in, "create-account", "--vault-id", vault, "--label", "Bank", "--url", "u").json
    assert made == {"created": True, "account_id": made["account_id"]}
    listed = locked.run(*signed_in, "get-accounts", "--vault-id", vault, "--q", "bank").json
    assert [account["website_url"] for account in listed] == ["u"]
    changed = locked.run(
        *signed_in, "update-account", "--vault-id", vault, "--account-id", made["account_id"], "--notes", "n"
    )
    assert changed.json["updated"] is True
    assert locked.run(*signed_in, "delete-account", "--account-id", made["account_id"]).json == {
        "deleted": True
    }


def test_global_options_after_the_command_win(home):
    assert home.run("-j", "true", "get-vaults", "-j", "false").out.startswith("vault ")
    assert home.run("-j", "false", "get-vaults", "-j", "true").json
    elsewhere = str(home.place / "nowhere")
    assert home.run("-d", elsewhere, "get-vaults").code == 5
    assert home.run("-d", elsewhere, "get-vaults", "-d", str(home.data)).code == 0


def test_an_update_changes_what_it_names_and_nothing_else(home):
    account = home.save(*options(ALL_FIELDS), "--form-field", "PIN=1", "--form-field", "PUK=2")
    before = home.account(account)
    changed = home.run(
        "update-account", "--account-id", account, "--username", "anna2", "--form-field", "PIN=3", "--json"
    )
    after = home.account(account)
    assert changed.json == {"updated": True, "version": after["version"]}
    assert after["version"] > before["version"]
    different = {name for name in after if after[name] != before[name]}
    assert different == {"username", "form_fields", "version", "updated_at"}
    assert after["form_fields"] == {"PIN": "3", "PUK": "2"}


def test_an_empty_text_empties_a_field(home):
    account = home.save(*options(ALL_FIELDS), "--form-field", "PIN=1")
    emptied = ["--label", "", "--password", "", "--tags", "", "--expires-at", "", "--form-field", "PIN="]
    assert home.run("update-account", "--account-id", account, *emptied).code == 0
    shown = home.account(account)
    assert [shown[name] for name in ("label", "password", "tags", "expires_at", "form_fields")] == (
        [None, None, [], None, {}]
    )  # fmt: skip
    assert shown["username"] == "anna"


def test_an_update_in_another_vault_is_refused(home):
    account = home.save("--label", "Bank")
    other = home.vault("Work")
    refused = home.run(
        "update-account", "--account-id", account, "--vault-id", other, "--label", "x", "--json"
    )
    assert refused.error["code"] == 5
    assert home.account(account)["label"] == "Bank"


def test_a_person_sees_dots_until_they_ask(home):
    account = home.save(*options(ALL_FIELDS), "--form-field", "PIN=4711")
    secrets = ["s3cret", "JBSWY3DPEHPK3PXP", "first line", "4711"]
    shown = home.run("get-account", "--account-id", account).out
    assert "Library" in shown
    assert not [secret for secret in secrets if secret in shown]
    revealed = home.run("get-account", "--account-id", account, "--reveal").out
    assert not [secret for secret in secrets if secret not in revealed]
    for listing in (
        ["get-accounts"],
        ["get-vault", "--vault-id", home.vault()],
        ["history", "--account-id", account],
    ):
        assert not [secret for secret in secrets if secret in home.run(*listing).out], listing
    assert "s3cret" in home.run("history", "--account-id", account, "--reveal").out
    assert "s3cret" not in home.run("get-vault", "--vault-id", home.vault(), "--json").out


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("password", " s3cret pässword \n"),
        ("username", "anna\n"),
        ("url", "https://library.example\n"),
        ("notes", "first line\nsecond\n"),
        ("favorite", "true\n"),
        ("renew_interval_days", "90\n"),
        ("tags", "fun,tv\n"),
        ("form_fields.PIN", "4711\n"),
    ],
)
def test_one_field_goes_to_a_pipe_as_it_is(home, field, value):
    account = home.save(*options(ALL_FIELDS), "--form-field", "PIN=4711")
    assert home.run("get-account", "--account-id", account, "--field", field).out == value
    assert home.run("get-account", "--account-id", account, "--field", field, "--json").json == value[:-1]


def test_a_field_that_is_empty_or_none_is_an_error(home):
    account = home.save("--label", "Bank")
    for field in ("password", "pasword", "form_fields.PIN", "form_fields", "label.x"):
        refused = home.run("get-account", "--account-id", account, "--field", field, "--json")
        assert refused.error["code"] == 5


def test_a_label_cannot_steer_the_terminal(home):
    home.save("--label", "x\x1b]0;owned\x07\u202eevil", "--username", "a\nb")
    shown = home.run("get-accounts").out
    assert "x\\x1b]0;owned\\x07\\u202eevil" in shown
    assert len(shown.splitlines()) == 2
    assert "\x1b" not in shown


def test_the_account_s_password_comes_from_a_file_or_stdin(home, tmp_path):
    path = tmp_path / "password"
    path.write_bytes("from a file ü \r\n".encode())
    account = home.save("--label", "Bank", "--account-password-file", str(path))
    assert home.account(account)["password"] == "from a file ü "
    for words in (["--password-stdin"], ["--account-password-file", "-"]):
        ran = home.run(
            "update-account", "--account-id", account, *words, stdin=b"from " + words[0].encode() + b"\n"
        )
        assert ran.code == 0
        assert home.account(account)["password"] == "from " + words[0]
    twice = home.run(
        "update-account", "--account-id", account, "--password", "x", "--password-stdin", "--json"
    )
    assert twice.error["code"] == 2
    both = home.run(
        "update-account",
        "--account-id",
        account,
        "--password-stdin",
        "--password-file",
        "-",
        "--json",
        stdin=b"x\n",
    )
    assert both.error["error"] == "stdin can hold one password only"


@pytest.mark.parametrize(
    ("text", "kind"),
    [("Login", "Logins"), ("Secure Note", "Notes"), ("Custom", "Custom"), ("form", "Custom"),
     ("database", "Custom"),
     ("CONTACTS", "Contacts"), ("anything", "Logins")],
)  # fmt: skip
def test_a_kind_is_found_in_the_text(home, text, kind):
    made = home.run("create-vault", "--title", "New", "--kind", text, "--json").json
    assert home.run("get-vault", "--vault-id", made["vault_id"], "--json").json["kind"] == kind
    account = home.save("--label", "x", "--kind", text)
    assert home.account(account)["kind"] == kind


@pytest.mark.parametrize(
    "day", ["2027-02-01", "2027-02-01 23:59:59", "2027/02/01", "02/01/2027", " 2027-02-01 "]
)
def test_a_date_is_taken_in_the_documents_forms(home, day):
    assert home.account(home.save("--label", "x", "--expires-at", day))["expires_at"] == "2027-02-01"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--expires-at", "31.12.2027"],
        ["--due-at", "2027-02-30"],
        ["--renew-interval-days", "soon"],
        ["--favorite", "perhaps"],
        ["--form-field", "PIN"],
        ["--form-field", "=1"],
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_saved(home, wrong):
    assert home.run("create-account", "--vault-id", home.vault(), *wrong, "--json").error["code"] == 2
    assert home.run("get-accounts", "--json").json == []


@pytest.mark.parametrize(
    "wrong",
    [
        ["--renew-interval-days", "-1"],
        ["--label", "x" * 257],
        ["--notes", "x" * 33000],
        ["--tags", "," + "t" * 257],
    ],
)
def test_what_is_too_long_is_refused_by_its_field(home, wrong):
    refused = home.run("create-account", "--vault-id", home.vault(), *wrong, "--json").error
    assert refused["code"] == 6
    assert "at most" in refused["error"]


def test_nothing_to_save_or_change_is_said_before_signing_in(locked):
    for words in (["create-account", "--vault-id", "x"], ["update-account", "--account-id", "x"],
                  ["update-vault", "--vault-id", "x"]):  # fmt: skip
        assert locked.run(*words, "--json").error["code"] == 2


def test_lists_are_searched_and_paged(home):
    for label in ("Bank", "Bakery", "Cinema"):
        home.save("--label", label, "--password", "bank-secret", "--tags", "town")
    work = home.vault("Work")
    home.run("create-account", "--vault-id", work, "--label", "Bank at work")

    def labels(*words: str) -> list[str]:
        return [account["label"] for account in home.run("get-accounts", *words, "--json").json]

    assert labels() == ["Bakery", "Bank", "Bank at work", "Cinema"]
    assert labels("--q", "BANK") == ["Bank", "Bank at work"]
    assert labels("--q", "town", "--vault-id", home.vault()) == ["Bakery", "Bank", "Cinema"]
    assert labels("--vault-id", work) == ["Bank at work"]
    assert labels("--offset", "1", "--limit", "2") == ["Bank", "Bank at work"]
    assert labels("--offset", "9") == []
    assert labels("--limit", "0") == []
    assert labels("--q", "bank-secret") == []
    assert home.run("get-accounts", "--limit", "2").err == "2 of 4\n"


def test_the_bin_gives_back_accounts_and_vaults(home):
    account, vault = home.save("--label", "Bank", "--password", "s3cret"), home.vault()
    assert home.run("delete-account", "--account-id", account, "--json").json == {"deleted": True}
    assert home.run("get-accounts", "--json").json == []
    binned = home.run("bin", "--json")
    assert [one["account_id"] for one in binned.json["accounts"]] == [account]
    assert "s3cret" not in binned.out
    assert account in home.run("bin").out
    assert home.run("restore-account", "--account-id", account, "--json").json == {"restored": True}
    assert home.account(account)["deleted"] is False
    assert home.run("delete-vault", "--vault-id", vault, "--json").json == {"deleted": True}
    assert vault not in home.run("get-vaults").out
    assert [one["vault_id"] for one in home.run("bin", "--json").json["vaults"]] == [vault]
    assert home.run("restore-vault", "--vault-id", vault, "--json").json == {"restored": True}
    assert [one["label"] for one in home.run("get-accounts", "--json").json] == ["Bank"]


def test_vaults_are_listed_in_the_order_they_were_made(home):
    made = home.run("create-vault", "--title", "Boat", "--kind", "Custom", "--icon", "boat", "--json").json
    assert made["created"] is True
    views = home.run("get-vaults", "--json").json
    assert [view["title"] for view in views] == [
        "Identity",
        "Personal",
        "Work",
        "Contacts",
        "Secure Notes",
        "Boat",
    ]
    assert home.run("update-vault", "--vault-id", made["vault_id"], "--title", "Ship", "--json").json == {
        "updated": True
    }
    shown = home.run("get-vault", "--vault-id", made["vault_id"], "--json").json
    assert (shown["title"], shown["kind"], shown["icon"], shown["entries"]) == ("Ship", "Custom", "boat", {})
    assert home.run("create-vault", "--title", "Ship", "--json").error["code"] == 7


def test_a_vault_shows_its_accounts(home):
    account = home.save("--label", "Bank", "--password", "s3cret")
    entries = home.run("get-vault", "--vault-id", home.vault(), "--json").json["entries"]
    assert entries[account]["label"] == "Bank"
    assert "password" not in entries[account]
    assert "Bank" in home.run("get-vault", "--vault-id", home.vault()).out


def test_an_earlier_value_comes_back(home):
    account = home.save("--label", "Bank", "--password", "first", "--form-field", "PIN=1")
    for password in ("second", "third"):
        home.run(
            "update-account",
            "--account-id",
            account,
            "--password",
            password,
            "--form-field",
            f"PIN={password}",
        )
    versions = home.run("history", "--account-id", account, "--field", "password", "--json").json
    assert [version["value"] for version in versions] == ["third", "second", "first"]
    assert [version["current"] for version in versions] == [True, False, False]
    assert {(v["field"], v["author"], v["device"]) for v in versions} == {
        ("password", "Anna", "annas laptop")
    }
    restored = home.run(
        "restore", "--account-id", account, "--field", "password", "--dot", versions[2]["dot"], "--json"
    )
    assert restored.json == {"restored": True}
    assert home.account(account)["password"] == "first"
    pins = home.run("history", "--account-id", account, "--field", "form_fields.PIN", "--json").json
    assert [pin["value"] for pin in pins] == ["third", "second", "1"]
    whole = home.run("history", "--account-id", account, "--json").json
    assert {version["field"] for version in whole} == {"kind", "label", "password", "form_fields.PIN"}


def test_a_value_that_never_was_cannot_be_restored(home):
    account = home.save("--label", "Bank")
    wrong = home.run("restore", "--account-id", account, "--field", "label", "--dot", "00" * 18, "--json")
    assert wrong.error["code"] == 5


def test_two_who_change_a_field_apart_find_both_values(home, tmp_path):
    account = home.save("--label", "Bank", "--password", "old")
    other = home.copy(tmp_path / "other").unlock()
    home.run("update-account", "--account-id", account, "--password", "from-here")
    other.run("update-account", "--account-id", account, "--password", "from-there")
    exchange(home, other)
    found = home.run("conflicts", "--json").json
    assert found == other.run("conflicts", "--json").json
    assert [(one["label"], one["field"]) for one in found] == [("Bank", "password")]
    assert {side["value"] for side in found[0]["candidates"]} == {"from-here", "from-there"}
    assert "password" in home.account(account)["conflicts"]
    shown = home.run("conflicts").out
    assert "from-here" not in shown
    assert "from-here" in home.run("conflicts", "--reveal").out
    chosen = next(side["dot"] for side in found[0]["candidates"] if side["value"] == "from-there")
    assert home.run("restore", "--account-id", account, "--field", "password", "--dot", chosen).code == 0
    exchange(home, other)
    assert other.run("conflicts", "--json").json == []
    assert other.account(account)["password"] == "from-there"


def test_categories_are_those_in_use(home):
    home.save("--label", "Bank", "--category", "Money")
    home.save("--label", "Shop", "--category", "Food")
    assert home.run("get-categories", "--json").json == ["Food", "Money"]
    assert home.run("get-categories").out == "Food\nMoney\n"


def test_a_day_of_whole_processes(locked):
    """The installed command, as a shell script runs it: every step a process of its own."""
    locked.environment["KINRING_MASTER_PASSWORD"] = PASSWORD
    token = locked.process("unlock").out.strip()
    del locked.environment["KINRING_MASTER_PASSWORD"]
    locked.environment["KINRING_HANDLE"] = token
    vaults = json.loads(locked.process("-j", "true", "get-vaults").out)
    personal = vaults[1]["vault_id"]
    made = json.loads(locked.process("create-account", "--vault-id", personal, "--label", "Bücher",
                                     "--password", "päss 字", "--json").out)  # fmt: skip
    latin = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    locked.environment |= latin
    shown = locked.process("get-account", "--account-id", made["account_id"], "--field", "password")
    assert shown.out == "päss 字\n"
    assert locked.process("lock").out == "locked: 1 handles ended\n"
    assert locked.process("get-vaults").code == 3


def test_a_reader_that_stops_reading_is_no_fault(home):
    for number in range(3):
        home.save("--label", f"Account {number}", "--notes", "x" * 30000)
    read, write = os.pipe()
    os.close(read)
    process = home.start("get-accounts", "--json", stdout=write)
    os.close(write)
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 141

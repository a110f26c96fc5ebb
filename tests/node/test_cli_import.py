"""import-accounts: what a person sees of it, and what becomes of an import that is stopped."""

from __future__ import annotations

import io
import os
import signal

import pytest

from node import samples
from node.cli.progress import shown, stopped_by_ctrl_c
from tests.node.cli_home import ROOT
from tests.node.test_cli_people import Terminal

DOCUMENTS = ROOT / "tests" / "data" / "accounts.csv"


@pytest.fixture
def many(tmp_path):
    """6000 accounts."""
    text = io.StringIO(newline="")
    samples.write_csv(samples.rows(5, 6000), text)
    path = tmp_path / "many.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    return path


def count(home):
    return len(home.run("get-accounts", "--json").json)


def test_the_documents_example_comes_in_whole_and_twice_is_once(home):
    told = home.run("import-accounts", "--in-path", str(DOCUMENTS), "--json").json
    assert (told["imported"], told["failed"], told["duplicate"]) == (6, 0, 0)
    assert [remark.split(":")[0] for remark in told["remarks"]] == ["line 3", "line 4"]
    again = home.run("import-accounts", "--in-path", str(DOCUMENTS), "--json").json
    assert (again["imported"], again["failed"], again["duplicate"]) == (0, 0, 6)
    assert count(home) == 6
    first = home.run("get-vault", "--vault-id", home.vault("Identity"), "--json").json
    assert len(first["entries"]) == 6, "the first vault of kind Logins"


def test_a_vault_may_be_named(home):
    work = home.vault("Work")
    assert home.run("import-accounts", "--vault-id", work, "--in-path", str(DOCUMENTS)).code == 0
    assert len(home.run("get-accounts", "--vault-id", work, "--json").json) == 6
    wrong = home.run("import-accounts", "--vault-id", "0" * 32, "--in-path", str(DOCUMENTS), "--json")
    assert wrong.error["code"] == 5


def test_a_file_may_come_on_stdin(home):
    told = home.run("import-accounts", "--in-path", "-", "--json", stdin=DOCUMENTS.read_bytes()).json
    assert told["imported"] == 6


def test_rows_that_are_not_taken_are_named_by_line_and_without_a_value(home):
    canary = "canary-5d1"
    rows = ["name,username,password,renew_interval_days,pin", f"Bank,anna,{canary},soon,{canary}", ",,,,",
            f"{canary * 40},anna,{canary},90,", f"Shop,anna,{'x' * 40000},90,"]  # fmt: skip
    ran = home.run("import-accounts", "--in-path", "-", "--json", stdin="\n".join(rows).encode())
    told = ran.json
    assert (told["imported"], told["failed"], told["duplicate"]) == (1, 3, 0)
    assert [remark.split(":")[0] for remark in told["remarks"]] == [
        "line 2",
        "line 2",
        "line 3",
        "line 4",
        "line 5",
    ]
    assert sum("not taken" in remark for remark in told["remarks"]) == 3
    assert canary not in ran.out + ran.err
    shown = home.run("import-accounts", "--in-path", "-", stdin="\n".join(rows).encode())
    assert shown.out.splitlines()[-1] == "imported 0, failed 3, duplicate 1"
    assert canary not in shown.out + shown.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name,password\nBank,\xff\xfe\n", "not UTF-8"),
        (b"Bank,anna,canary-5d1\n", "no column of the header line is known"),
        (b"", "no header line"),
        (b'name,password\nBank,"canary-5d1\n', "quotes"),
    ],
)
def test_a_file_that_is_none_is_refused_whole(home, content, told):
    refused = home.run("import-accounts", "--in-path", "-", "--json", stdin=content)
    assert refused.error["code"] == 6
    assert told in refused.error["error"]
    assert "canary" not in refused.err
    assert count(home) == 0


def test_a_file_that_is_not_there(home, tmp_path):
    assert home.run("import-accounts", "--in-path", str(tmp_path / "x"), "--json").error["code"] == 5
    assert home.run("import-accounts", "--in-path", str(tmp_path), "--json").error["code"] == 11


def test_ctrl_c_keeps_what_was_counted(home, many):
    """On a terminal, at any moment: what the command says is saved, is; the rest comes with a second run."""
    terminal = Terminal(home, "import-accounts", "--in-path", str(many)).until("importing")
    terminal.process.send_signal(signal.SIGINT)
    code = terminal.end()
    summary = terminal.seen.splitlines()[-1]
    assert (code, "then stopped" in summary) in ((130, True), (0, False))
    saved = count(home)
    assert f"imported {saved}," in summary
    rest = home.run("import-accounts", "--in-path", str(many), "--json").json
    assert (rest["imported"], rest["duplicate"], rest["failed"]) == (6000 - saved, saved, 0)


def test_the_first_ctrl_c_asks_and_the_second_insists():
    before = signal.getsignal(signal.SIGINT)
    with stopped_by_ctrl_c() as stop, shown(stop, "importing") as progress:
        assert progress(256, 1000) is False
        signal.raise_signal(signal.SIGINT)
        assert progress(512, 1000) is True
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_kill_keeps_whole_batches(home, many):
    process = home.start("import-accounts", "--in-path", str(many))
    store = home.data / "kinring.db-wal"
    while process.poll() is None and not (store.exists() and os.stat(store).st_size > 400_000):
        pass
    process.kill()
    process.communicate(timeout=60)
    saved = count(home)
    assert saved % 256 == 0 or saved == 6000
    rest = home.run("import-accounts", "--in-path", str(many), "--json").json
    assert (rest["imported"], rest["duplicate"]) == (6000 - saved, saved)


def test_a_pipe_gets_no_progress_bar(home):
    ran = home.process("import-accounts", "--in-path", str(DOCUMENTS))
    assert ran.err == ""
    assert ran.out.splitlines()[-1] == "imported 6, failed 0, duplicate 0"

"""The command's table, its help and docs/cli.md say the same, and a command loads only what it needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from node.cli import COMMANDS, PIPE_CLOSED, group
from node.cli.call import Command
from node.errors import ExitCode

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
NAMES = [name for section in COMMANDS.values() for name in section]


def row(option: click.Parameter) -> str:
    """An option's line in the documentation."""
    assert isinstance(option, click.Option)
    names = ", ".join(sorted([*option.opts, *option.secondary_opts], key=len))
    metavar = "" if option.is_flag else " " + option.make_metavar(click.Context(group)).replace("|", "\\|")
    needed = " Required." if option.required else ""
    return f"| `{names}{metavar}` | {option.help or ''}{needed} |"


def rows(command: click.Command) -> list[str]:
    return [
        row(option) for option in command.params if isinstance(option, click.Option) and not option.hidden
    ]


def section(heading: str) -> str:
    match = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert match, f"docs/cli.md has no {heading!r}"
    return match[1]


def table_in(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return lines[2:]


def command_named(name: str) -> click.Command:
    found = group.get_command(click.Context(group), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_documented_with_its_options(name):
    assert table_in(section(f"### {name}")) == rows(command_named(name))


def test_no_command_is_documented_that_does_not_exist():
    assert re.findall(r"^### (.+)$", PAGE, re.MULTILINE) == NAMES
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert titles[-len(COMMANDS) :] == list(COMMANDS)


def test_the_global_options_are_documented():
    assert table_in(section("## Global options")) == rows(group)


def test_the_exit_codes_are_documented():
    documented = [int(line.split("|")[1]) for line in table_in(section("## Exit codes"))]
    assert documented == sorted([*ExitCode, PIPE_CLOSED])


@pytest.mark.parametrize("name", NAMES)
def test_the_table_says_what_the_command_is(name):
    command = command_named(name)
    assert isinstance(command, Command)
    assert command.name == name
    assert command.help


@pytest.mark.parametrize("name", NAMES)
def test_global_options_do_not_clash_with_a_command_s_own(name):
    spellings = [spelling for option in command_named(name).params for spelling in option.opts]
    assert len(spellings) == len(set(spellings))


def loaded_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules, sep='\\n')"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(ran.stdout.splitlines())


def test_help_lists_all_commands_without_importing_any():
    loaded = loaded_by("from node.cli import main; import contextlib, io\n"
                       "with contextlib.redirect_stdout(io.StringIO()) as out: assert main(['--help']) == 0\n"
                       f"for name in {NAMES!r}: assert f'  {{name}} ' in out.getvalue(), name")  # fmt: skip
    for name in ("accounts", "people", "vaults", "history", "imports", "status", "network"):
        assert f"node.cli.{name}" not in loaded
    assert not loaded & {"node.vault", "replication", "apsw", "cryptography"}


def test_help_of_a_command_tells_where_the_global_options_are():
    ran = subprocess.run(
        [sys.executable, "-m", "node.cli", "get-account", "-h"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--account-id" in ran.stdout
    assert "kinring --help" in ran.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_the_shells_that_the_page_names(shell):
    assert f"_KINRING_COMPLETE={shell}_source kinring" in PAGE
    environment = {**os.environ, "_KINRING_COMPLETE": f"{shell}_source"}
    if not shutil.which(shell) and shell == "bash":
        pytest.skip("click asks bash for its version, and there is none")
    ran = subprocess.run(
        [sys.executable, "-c", "import sys; from node.cli import main; sys.exit(main())"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "_KINRING_COMPLETE" in ran.stdout


def test_completion_completes_commands_and_options():
    def completed(words: str) -> list[str]:
        asked = {
            "_KINRING_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        program = [sys.executable, "-c", "from node.cli import main; main()"]
        environment = {**os.environ, **asked}
        ran = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return ran.stdout.split()

    assert completed("kinring get-acc") == ["plain,get-account", "plain,get-accounts"]
    assert completed("kinring get-account --acc") == ["plain,--account-id"]

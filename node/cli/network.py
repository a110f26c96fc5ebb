"""The commands that need the node: it is started for as long as one takes where none runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.call import Call, command, note, now_ms
from node.errors import ExitCode, KinringError

if TYPE_CHECKING:
    from discovery.pairing import NewDevice

COPY_S: Final = 60.0
"""How long a new device waits for its first copy to begin or go on."""
RESTART_S: Final = 1.0
PAGE_PORT: Final = 8080

_PAGE: Final = ("-P", "-m", "webui.start")


def _node_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--mdns",
            type=click.Choice(["lan", "loopback", "off"]),
            default="lan",
            show_default=True,
            help="Where this device looks for others by mDNS.",
        ),
        click.option(
            "--peer-port",
            type=click.IntRange(0, 65535),
            default=None,
            help="Where other devices connect (47470; 0: any).",
        ),
        click.option(
            "--listen", multiple=True, metavar="ADDRESS", help="Listen there only; may be repeated."
        ),
    ):
        function = option(function)
    return function


_tied = click.option("--tied", is_flag=True, hidden=True, help="End when standard input does.")


@command("node")
@_node_options
@_tied
def run_node(call: Call, listen: tuple[str, ...], peer_port: int | None, mdns: str, tied: bool) -> None:
    """Run the node: it finds the family's other devices and copies, locked or not.

    Example: kinring node --peer-port 47470
    """
    import logging
    from dataclasses import replace

    from node.daemon import NodeOptions
    from node.daemon import run_node as run

    logging.basicConfig(
        level=os.environ.get("KINRING_LOG", "WARNING"), format="%(asctime)s %(levelname)s %(message)s"
    )
    options = NodeOptions(peer_port=peer_port, mdns=mdns, tied=tied)
    if listen:
        options = replace(options, listen=listen)
    folder, runtime = call.folder(create=True), call.runtime()
    run(
        folder,
        runtime,
        options,
        lambda port: call.show({"peer_port": port}, [f"listening for peers on port {port}"]),
    )


@command("page")
@click.option("--http-port", type=click.IntRange(0, 65535), default=PAGE_PORT, show_default=True)
@_tied
def run_page(call: Call, http_port: int, tied: bool) -> None:
    """Serve the page at http://localhost on this device alone.

    Example: kinring page --http-port 8081
    """
    words = [*_page_words(call.folder(create=True), http_port), *(["--tied"] if tied else [])]
    sys.stdout.flush()
    os.execv(words[0], words)  # noqa: S606 - this very process becomes the page: one to stop


def _page_words(folder: Path, port: int) -> list[str]:
    return [sys.executable, *_PAGE, "--data-dir", str(folder), "--http-port", str(port)]


@command("up")
@click.option("--http-port", type=click.IntRange(0, 65535), default=PAGE_PORT, show_default=True)
@_node_options
def up(call: Call, http_port: int, listen: tuple[str, ...], peer_port: int | None, mdns: str) -> None:
    """Start node and page and look after both, until Ctrl-C.

    Example: kinring up --http-port 8081
    """
    from node import processes
    from node.control import node_runs

    folder, runtime = call.folder(create=True), call.runtime()
    if node_runs(runtime):
        raise KinringError(
            "a node already runs on this data folder", "use it, or stop it first", ExitCode.BUSY
        )
    options = ["--mdns", mdns, *(word for host in listen for word in ("--listen", host))]
    options += ["--peer-port", str(peer_port)] if peer_port is not None else []
    wanted = [processes.kinring(folder, "node", *options), _page_words(folder, http_port)]
    _look_after(wanted, lambda child: processes.wait_for_node(runtime, child))


def _look_after(wanted: list[list[str]], wait_for_first: Callable[[subprocess.Popen[bytes]], None]) -> None:
    """Run the children until a signal; one that dies later is started again, one that never started told."""
    from node.processes import spawn, stop

    stopping = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopping.set())
    children: list[subprocess.Popen[bytes]] = []
    began = time.monotonic()
    try:
        for words in wanted:
            children.append(spawn(words))
            if len(children) == 1:
                wait_for_first(children[0])
        while not stopping.wait(0.1):
            for number, child in enumerate(children):
                if child.poll() is None:
                    continue
                if time.monotonic() - began < 5 * RESTART_S:
                    raise KinringError(
                        "a part of Kinring did not start", "what it said stands above", ExitCode.FAILED
                    )
                note(f"a part of Kinring ended ({child.returncode}); it is started again")
                stopping.wait(RESTART_S)
                children[number] = spawn(wanted[number])
    finally:
        stoppers = [threading.Thread(target=stop, args=(child,)) for child in children]
        for thread in stoppers:
            thread.start()
        for thread in stoppers:
            thread.join()


@command("invite")
def invite(call: Call) -> None:
    """Show an invitation: the new device scans or types it, and shows six digits to type here (or on stdin).

    Example: kinring invite
    """
    from node.control import node_runs
    from node.identity import load_or_create
    from node.joining import Host, show_invitation
    from node.processes import a_node
    from node.secret_keys import SecretKeys
    from node.unlock import secret_key_from_pepper

    unlocked = call.unlock()
    folder, pepper = call.folder(), call.pepper()
    secret_key = (
        SecretKeys(folder).load(unlocked.person)
        if pepper is None
        else secret_key_from_pepper(pepper, unlocked.person)
    )
    device = load_or_create(folder, _random())
    host = Host(call.replica(), device, unlocked, call.vaults_of(unlocked), secret_key)
    alone = not node_runs(call.runtime())
    with a_node(folder, call.runtime()) as control:
        admitted = show_invitation(
            control,
            host,
            on_invitation=lambda text, ms: _show_invitation(call, text, ms),
            ask_digits=_ask_digits,
            on_waiting=lambda: note("waiting for the master password on the new device ..."),
        )
        call.saved()
        result = {
            "admitted": True,
            "device_id": admitted.device.hex(),
            "name": admitted.name,
            "blind": admitted.blind,
        }
        call.show(result, [f"{admitted.name} has joined{' as a blind peer' if admitted.blind else ''}."])
        if alone:
            _until_copied(call.runtime(), admitted.device)


def _random() -> Callable[[int], bytes]:
    import secrets

    return secrets.token_bytes


def _show_invitation(call: Call, text: str, lifetime_ms: int) -> None:
    import segno

    if call.json:
        call.show({"invitation": text, "expires_at": now_ms() + lifetime_ms}, [])
        sys.stdout.flush()
        return
    segno.make(text, error="m", micro=False).terminal(compact=True, border=2)
    print(f"Scan this on the new device, or run there:\n\n  kinring join {text}\n")
    print(f"It works once, for {lifetime_ms // 60_000} minutes. Ctrl-C takes it back.", flush=True)


def _ask_digits(device: NewDevice) -> str | None:
    from node.cli.output import clean

    kind = "a blind peer, which will read nothing" if device.blind else "a device of your own"
    note(f"{clean(device.name)!r} wants to join as {kind}.")
    try:
        end = "" if sys.stdin.isatty() else "\n"  # what comes next must not stand behind the question
        print("Type the six digits that it shows (nothing: refuse): ", end=end, file=sys.stderr, flush=True)
        typed = sys.stdin.readline().strip()
    except UnicodeDecodeError:
        typed = ""
    return typed or None


def _until_copied(runtime: Path, device: bytes) -> None:
    """A node that runs for this command alone stays until the new device has its copy."""
    from node.control import Control

    deadline = time.monotonic() + COPY_S
    with Control(runtime) as control:
        while time.monotonic() < deadline:
            peers = control.ask("status")[1]["peers"]
            if any(peer["device"] == device and peer["level"] for peer in peers):
                return
            time.sleep(0.05)
    note("the new device has not been seen again yet; it gets its copy when both are up")


@command("join")
@click.argument("invitation", metavar="TEXT|-")
@click.option("--blind", is_flag=True, help="Hold a copy and read nothing: for a device that runs all day.")
@click.option("--device-name", metavar="NAME", default=None, help="What the family calls this device.")
@_node_options
def join(
    call: Call,
    invitation: str,
    blind: bool,
    device_name: str | None,
    listen: tuple[str, ...],
    peer_port: int | None,
    mdns: str,
) -> None:
    """Join a family with the text that `kinring invite` shows on one of its devices.

    Example: kinring join KINRING:1...
    """
    from node.identity import host_name, load_or_create
    from node.joining import Newcomer, follow_invitation
    from node.processes import a_node
    from node.secret_keys import SecretKeys

    text = sys.stdin.readline() if invitation == "-" else invitation
    folder, runtime = call.folder(create=True), call.runtime()
    replica = call.replica(create=True)
    name = (device_name or host_name())[:64]
    newcomer = Newcomer(replica, load_or_create(folder, _random()), SecretKeys(folder), name, blind)
    options: Sequence[str] = ["--mdns", mdns, *(word for host in listen for word in ("--listen", host))]
    options = [*options, *(["--peer-port", str(peer_port)] if peer_port is not None else [])]
    with a_node(folder, runtime, options) as control:
        unlocked = follow_invitation(
            control,
            newcomer,
            text,
            show_digits=lambda six: _show_digits(call, six),
            ask_password=lambda who, n: _ask_password(call, who, n),
        )
        call.saved()
        entries = _first_copy(call, runtime)
    result: dict[str, Any] = {"joined": True, "blind": unlocked is None, "entries": entries}
    if unlocked:
        result["username"] = unlocked.username
    call.show(result, [f"Joined. {entries} entries are here."])


def _show_digits(call: Call, six: str) -> None:
    if call.json:
        call.show({"digits": six}, [])
        sys.stdout.flush()
    else:
        print(f"Type these digits into the other device:  {six[:3]} {six[3:]}", flush=True)


def _ask_password(call: Call, username: str, wrong: int) -> str:
    if wrong == 0:
        note(f"Now the master password of {username}.")
        return call.password()
    if not (sys.stdin and sys.stdin.isatty()):
        raise KinringError(
            "the master password is wrong", "show a new invitation and try again", ExitCode.WRONG_PASSWORD
        )
    import getpass

    return getpass.getpass("That is not it. Master password: ")


def _first_copy(call: Call, runtime: Path) -> int:
    """Show how the first copy goes on, until all that the other device holds is here."""
    from node.control import Control

    replica = call.replica()
    told, moved = -1, time.monotonic()
    with Control(runtime) as control:
        while time.monotonic() - moved < COPY_S:
            peers = control.ask("status")[1]["peers"]
            known = [peer["lacking"] for peer in peers if peer["lacking"] is not None]
            held = replica.last_id()
            if known and min(known) <= 0 and held:
                return held
            if held != told and known and sys.stderr.isatty():
                note(f"  {held} of {held + min(known)} entries")
            if held != told:
                told, moved = held, time.monotonic()
            time.sleep(0.05)
    raise KinringError(
        "the first copy did not come",
        "it goes on by itself: run `kinring up` here and there",
        ExitCode.UNREACHABLE,
    )


@command("peers")
@click.argument("action", type=click.Choice(["list", "add"]), default="list")
@click.argument("address", required=False, metavar="HOST[:PORT]")
def peers(call: Call, action: str, address: str | None) -> None:
    """List the other devices, or add an address at which to look for them.

    Example: kinring peers add 192.168.1.20
    """
    from node.daemon import PEER_PORT
    from node.processes import a_node

    with a_node(call.folder(), call.runtime()) as control:
        if action == "list":
            _list_peers(call, control.ask("status")[1]["peers"])
            return
        host, port = _parse_address(address or "", PEER_PORT)
        known = control.ask("status")[1]["peers"]
        for peer in known:
            control.ask("typed", peer["device"], host, port)
    if not known:
        raise KinringError(
            "this device knows no others yet", "join a family, or invite a device", ExitCode.NOT_FOUND
        )
    call.show({"added": True, "devices": len(known)}, [f"{host} port {port} is tried from now on."])


def _list_peers(call: Call, known: list[dict[str, Any]]) -> None:
    from node.cli.output import instant, table
    from replication.encoding import decode

    replica = call.replica()
    seen = {device: decode(value) for device, value in replica.store.local("seen").items()}
    signed = replica.signed_frontiers()
    state = replica.state()
    shown = []
    for peer in known:
        device = peer["device"]
        stated = signed.get(device)
        shown.append(
            {
                "device_id": device.hex(),
                "role": "blind" if device in state.devices and state.devices[device].role else "full",
                "connected": peer["connected"],
                "last_seen": instant(seen[device]) if device in seen else None,
                "changes_behind": 0 if peer["level"] else replica.behind(stated.rows if stated else ()),
                "addresses": peer["addresses"],
            }
        )
    lines = table(
        ["DEVICE", "ROLE", "CONNECTED", "LAST SEEN", "BEHIND", "ADDRESSES"],
        [
            [
                p["device_id"][:16],
                p["role"],
                "yes" if p["connected"] else "no",
                p["last_seen"] or "never",
                p["changes_behind"],
                " ".join(p["addresses"]),
            ]
            for p in shown
        ],
    )
    call.show(shown, lines)


def _parse_address(text: str, usual: int) -> tuple[str, int]:
    import ipaddress

    host, separator, port = text.rpartition(":")
    if not separator or (":" in host.strip("[]") and not host.startswith("[")):
        host, port = text, str(usual)
    host = host.strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        host = host if host.replace("-", "").replace(".", "").isalnum() else ""
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise KinringError(
            "that is no address", "an example: 192.168.1.20 or 192.168.1.20:47470", ExitCode.USAGE
        )
    return host, int(port)


@command("demo")
@click.option("--keep", is_flag=True, help="Leave everything running, with its addresses, until Ctrl-C.")
def demo(call: Call, keep: bool) -> None:
    """Play a family's day on this machine: two laptops and a blind peer, in a temporary folder.

    Example: kinring demo
    """
    from node.demo import run

    lines: list[str] = []

    def say(text: str) -> None:
        lines.append(text)
        if not call.json:
            print(text, flush=True)

    run(say, keep=keep)
    if call.json:
        call.show({"agreed": True, "story": lines}, [])

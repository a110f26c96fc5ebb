"""How a device joins, as the two people's own processes see it: what is checked, sealed, signed and stored.

The showing side runs where the person is unlocked, the scanning side where they type their master password.
The order is such that a kill at any point leaves either nothing or a device that can open: the new device
stores all it needs before it says ready, and the admission is appended last.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from discovery.invitation import decode as decode_invitation
from discovery.pairing import Inviter, NewDevice, Transcript, check_transcript, digits, open_offer
from node.control import Control
from node.daemon import BOOTSTRAP
from node.discovery_keys import newest_key
from node.errors import ExitCode, KinringError
from node.grants import grant_statement, readable, seal_discovery_key
from node.identity import DeviceIdentity
from node.keyholder import SIGN_IN, TRIED_WRAPS, Unlocked, keep_keyholder, tried_wraps, unlock_with_key
from node.secret_keys import SecretKeys
from node.unlock import WrongPassword, unwrap_unlock_key
from node.vault import Vaults
from replication.encoding import decode, encode
from replication.errors import Malformed, Refused
from replication.membership import (
    BLIND,
    DEVICE,
    FULL,
    KEYHOLDER,
    READS,
    WRITES,
    device_proof,
    keyholder_proof,
)
from replication.replica import Draft, Position, Replica

T = TypeVar("T")

TYPING_S: Final = 130.0
PASSWORD_S: Final = 640.0
MACHINE_S: Final = 60.0
TRIES: Final = 5
"""Master passwords that may be tried before the pairing is given up."""

_OVER: Final = {
    "digits": "the digits were wrong",
    "used": "the invitation was used already",
    "expired": "the invitation is older than two minutes",
    "timeout": "it took too long",
    "withdrawn": "the other side gave up",
    "refused": "the other side said no",
    "password": "the master password was wrong",
    "cut": "the connection was cut",
    "known": "that device is in the family already, as another person's or in another role",
}


def pairing_failed(kind: str) -> KinringError:
    """Why a pairing is over, told to a person. Nothing was admitted."""
    return KinringError(
        f"the pairing failed: {_OVER.get(kind, kind)}",
        "show a new invitation and try again",
        ExitCode.PAIRING,
    )


# The showing side


@dataclass(frozen=True, repr=False)
class Host:
    """What the showing side's process holds: an unlocked person on a device of the family."""

    replica: Replica
    device: DeviceIdentity
    unlocked: Unlocked
    vaults: Vaults
    secret_key: bytes = field(repr=False)


def show_invitation(
    control: Control,
    host: Host,
    *,
    on_invitation: Callable[[str, int], None],
    ask_digits: Callable[[NewDevice], str | None],
    on_waiting: Callable[[], None] = lambda: None,
) -> NewDevice:
    """Show an invitation and see one pairing through. Returns the device that was admitted.

    `on_invitation` gets the text and its life in milliseconds; `ask_digits` what the person typed beside
    the new device's name, or None to refuse. Raises KinringError PAIRING.
    """
    kind, text, lifetime = control.ask("invite")
    if kind != "invitation":
        raise pairing_failed(str(kind))
    inviter = Inviter(decode_invitation(text), secrets.token_bytes(32))
    control.ask("commit", inviter.commit)
    on_invitation(text, lifetime)
    keys = _next(control, "keys", lifetime / 1000 + 5)
    control.send("reveal", _checked(control, lambda: inviter.reveal(keys)))
    assert inviter.device is not None
    device = inviter.device
    typed = ask_digits(device)
    if typed is None:
        control.send("refuse", "refused")
        raise pairing_failed("refused")
    _checked(control, lambda: inviter.confirm(typed))
    control.send("confirm", inviter.seal(_offer(host, device)))
    on_waiting()
    answer = _next(control, "answer", PASSWORD_S)
    entry = _checked(control, lambda: admit_device(host, device, answer))
    control.send("complete", entry)
    return device


def _checked(control: Control, act: Callable[[], T]) -> T:
    """What a check gave; a refusal is told to the other side by its kind, and to the person."""
    try:
        return act()
    except Refused as refusal:
        control.send("refuse", refusal.kind if refusal.kind.isalpha() else "refused")
        raise pairing_failed(refusal.kind) from None


def _next(control: Control, wanted: str, seconds: float) -> Any:
    words = control.receive(seconds)
    if words[0] == wanted:
        return words[1]
    raise pairing_failed(str(words[1]) if words[0] == "over" else "order")


def _offer(host: Host, device: NewDevice) -> bytes:
    """What the new device gets once the digits were right. A blind one gets no person's anything."""
    state = host.replica.state()
    discovery_key = newest_key(state, host.device)
    me = host.unlocked.person
    person: list[Any] = []
    if not device.blind:
        wraps = [[one.wrap, one.older or b""] for one in tried_wraps(state, me)]
        person = [me, host.unlocked.username, host.secret_key, wraps]
    return encode([1, state.family, host.device.id, host.device.leaf, discovery_key, person])


def admit_device(host: Host, device: NewDevice, answer: bytes) -> bytes:
    """Append the admission: device, keyholder and every grant in one entry. Returns its hash, 32 bytes.

    What stands there already, since the last word of an earlier pairing was lost, is not said again; b"" if
    that is all. Raises Refused for an answer that does not hold, `known` for a device in another role.
    """
    state = host.replica.state()
    me, family = host.unlocked, state.family
    proof, keyholder = _read_answer(answer, blind=device.blind)
    role, owner = (BLIND, b"") if device.blind else (FULL, me.person)
    held = state.devices.get(device.device)
    if held and (held.role, held.owner, held.leaf) != (role, owner, device.leaf):
        raise Refused("known")
    if held and (keyholder is None or keyholder[0] in state.keyholders):
        return b""
    discovery_key = newest_key(state, host.device)
    granted = seal_discovery_key(discovery_key, family=family, device=device.device, box_key=device.box_key)
    statements: list[list[Any]] = []
    if not held:
        statements.append(
            [DEVICE, device.device, device.box_key, device.leaf, role, owner, granted, proof],
        )
    if keyholder:
        key, box_key, owned = keyholder
        statements.append([KEYHOLDER, me.person, device.device, key, box_key, owned])
        statements += _grants(host, key, box_key)

    def make(_: Position) -> Draft:
        return Draft(statements=tuple(statements))

    with host.replica.transaction():
        info = host.replica.append(me.keyholder, me.sign, make, int(time.time() * 1000))
        reasons = host.replica.membership().reasons
        if any(found in reasons for found in host.replica.statements_of(info.id)):
            raise Malformed("admission", "it would have no effect")
        host.vaults.set_names({device.device[:16]: device.name})
    return info.hash


def _grants(host: Host, key: bytes, box_key: bytes) -> list[list[Any]]:
    """Every key of every vault that the person may read, for their new keyholder."""
    state = host.replica.state()
    me = host.unlocked.person
    found = []
    for vault in readable(state, me):
        right = WRITES if vault == state.directory else state.vaults[vault].rights.get(me, READS)
        for epoch, keys in host.vaults.epoch_keys(vault).items():
            found.append(grant_statement(state.family, vault, epoch, keys, me, right, {key: box_key}))
    return found


def _read_answer(answer: bytes, *, blind: bool) -> tuple[bytes, tuple[bytes, bytes, bytes] | None]:
    """(the device's proof, (keyholder, its box key, its proof) or None)."""
    match decode(answer, limit=1024), blind:
        case [bytes(proof)], True:
            return proof, None
        case [bytes(proof), bytes(key), bytes(box_key), bytes(owned)], False:
            return proof, (key, box_key, owned)
    raise Malformed("answer")


# The scanning side


@dataclass(frozen=True, repr=False)
class Newcomer:
    """What the scanning side's process holds: a store without a family, and this device's keys."""

    replica: Replica
    device: DeviceIdentity
    secrets: SecretKeys
    name: str
    blind: bool


def follow_invitation(
    control: Control,
    newcomer: Newcomer,
    text: str,
    *,
    show_digits: Callable[[str], None],
    ask_password: Callable[[str, int], str],
) -> Unlocked | None:
    """Join the family that an invitation comes from. The person is unlocked when it returns; None if blind.

    `show_digits` gets the six digits to show; `ask_password` the user name and how many tries were wrong so
    far. Raises KinringError PAIRING.
    """
    offer_key = PrivateKey.generate()
    control.send("join", text, bytes(offer_key.public_key), newcomer.name, newcomer.blind)
    words = control.receive(MACHINE_S)
    if words[0] != "digits":
        raise pairing_failed(str(words[1]) if words[0] == "over" else "order")
    invitation = decode_invitation(text)
    transcript = Transcript(*words[2:5])
    _checked(control, lambda: check_transcript(invitation, transcript))
    show_digits(digits(transcript))
    offer = _next(control, "offer", TYPING_S + 30)
    payload = _checked(control, lambda: _read_offer(open_offer(offer, invitation, transcript, offer_key)))
    answer, unlocked = _settle(control, newcomer, payload, ask_password)
    control.send("ready", answer)
    try:
        _next(control, "complete", MACHINE_S)
    except KinringError as error:
        # It may have been the last word that was lost, after the admission.
        hint = "show a new invitation and join again: what was done is not done twice"
        raise KinringError(error.message, hint, error.code) from None
    return unlocked


@dataclass(frozen=True, repr=False)
class _Offered:
    family: bytes
    device: bytes
    leaf: bytes
    discovery_key: bytes
    person: bytes
    username: str
    secret_key: bytes
    wraps: list[Any]


def _read_offer(payload: bytes) -> _Offered:
    match decode(payload, limit=64 * 1024):
        case [1, bytes(family), bytes(device), bytes(leaf), bytes(discovery), list(person)]:
            pass
        case _:
            raise Malformed("offer")
    if [len(family), len(device), len(discovery)] != [32, 32, 32]:
        raise Malformed("offer")
    match person:
        case []:
            return _Offered(family, device, leaf, discovery, b"", "", b"", [])
        case [bytes(me), str(username), bytes(secret_key), list(wraps)] if (
            len(me) == 16 and len(secret_key) == 32
        ):
            return _Offered(family, device, leaf, discovery, me, username, secret_key, wraps)
    raise Malformed("offer")


def _settle(
    control: Control, newcomer: Newcomer, offered: _Offered, ask_password: Callable[[str, int], str]
) -> tuple[bytes, Unlocked | None]:
    """Store all that this device needs, then the answer: what was said ready can be opened after any kill."""
    own = newcomer.device
    box_key = bytes(own.box.public_key)
    proof = own.sign.sign(device_proof(offered.family, own.id, box_key, own.leaf, offered.person)).signature
    bootstrap = encode([offered.device, offered.leaf, offered.discovery_key])
    if newcomer.blind or not offered.person:
        if bool(offered.person) is newcomer.blind:
            raise pairing_failed("offer")
        with newcomer.replica.transaction():
            _adopt(newcomer.replica, offered.family, bootstrap)
        return encode([proof]), None
    unlock_key = _ask_until_right(control, offered, ask_password)
    unlocked = _keyholder(newcomer.replica, offered, unlock_key)
    newcomer.secrets.save(offered.person, offered.secret_key)
    with newcomer.replica.transaction():
        _adopt(newcomer.replica, offered.family, bootstrap)
        keep_keyholder(
            newcomer.replica,
            offered.username,
            offered.person,
            unlocked.keyholder,
            unlock_key,
            bytes(unlocked.signing_key) + bytes(unlocked.box),
            secrets.token_bytes,
        )
    box_key = bytes(unlocked.box.public_key)
    owned = unlocked.sign(
        keyholder_proof(offered.family, offered.person, own.id, unlocked.keyholder, box_key)
    )
    return encode([proof, unlocked.keyholder, box_key, owned]), unlocked


def _adopt(replica: Replica, family: bytes, bootstrap: bytes) -> None:
    """The store is the family's from here on; what an earlier pairing, cut short, left in it goes."""
    replica.adopt(family)
    replica.store.set_local(BOOTSTRAP, b"", bootstrap)
    for name in replica.store.local(SIGN_IN):
        replica.store.set_local(SIGN_IN, name, None)


def _keyholder(replica: Replica, offered: _Offered, unlock_key: bytes) -> Unlocked:
    """The person's keyholder on this device: the one that an earlier pairing, cut short, left here, for it
    may have been admitted; else a new one."""
    if replica.family == offered.family:
        try:
            return unlock_with_key(replica, offered.person, unlock_key)
        except KinringError:
            pass
    signing_key, box = SigningKey.generate(), PrivateKey.generate()
    keyholder = bytes(signing_key.verify_key)
    return Unlocked(offered.username, offered.person, keyholder, unlock_key, signing_key, box)


def _ask_until_right(control: Control, offered: _Offered, ask_password: Callable[[str, int], str]) -> bytes:
    for wrong in range(TRIES):
        password = ask_password(offered.username, wrong)
        for pair in reversed(offered.wraps[-TRIED_WRAPS:]):
            match pair:
                case [bytes(wrap), bytes()]:
                    pass
                case _:
                    continue
            try:
                return unwrap_unlock_key(
                    wrap, password, offered.secret_key, family=offered.family, person=offered.person
                )
            except (Refused, WrongPassword):
                continue
    control.send("refuse", "password")
    raise pairing_failed("password")

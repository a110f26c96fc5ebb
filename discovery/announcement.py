"""What an mDNS record of ours may contain, and nothing else; and what is taken from others' records.

RFC 6762 and RFC 6763 allow far more. Ours holds: the service type, a nameless instance (rotating_id), a
random host label, a port, addresses, and a TXT record that is empty. No host name of the machine, no
person, no count, no version.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from replication.errors import Malformed

SERVICE_TYPE: Final = "_kinring._tcp.local."
MAX_ADDRESSES: Final = 8
MAX_RECEIVED_ADDRESSES: Final = 64
HOST_BYTES: Final = 10

_INSTANCE: Final = re.compile(r"([a-z2-7]{26})\._kinring\._tcp\.local\.", re.ASCII)
_SCOPE: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}", re.ASCII)
_EMPTY_TXT: Final = (b"", b"\0")

_NEAR: Final = tuple(
    map(
        ipaddress.ip_network,
        "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 100.64.0.0/10 fe80::/10 fc00::/7".split(),
    )
)
"""Private, link-local and carrier-shared space (RFC 1918, 3927, 6598, 4291, 4193): home networks."""


@dataclass(frozen=True)
class Announcement:
    """Our own record, complete. `addresses` are literals without a scope; `host` ends in `.local.`"""

    instance: str
    host: str
    port: int
    addresses: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.instance}.{SERVICE_TYPE}"


@dataclass(frozen=True)
class Heard:
    """What somebody's record said, checked for form alone: a hint where to try, never who is there."""

    instance: str
    port: int
    addresses: tuple[str, ...]


def announcement(
    instance: str,
    port: int,
    addresses: Iterable[str],
    random_bytes: Callable[[int], bytes],
    *,
    loopback: bool = False,
) -> Announcement:
    """Our record under a fresh host label. Addresses that are not of a home network are left out.

    Raises ValueError for an instance, port or address that is none.
    """
    if instance_of(f"{instance}.{SERVICE_TYPE}") is None or not 0 < port < 65536:
        raise ValueError("not an instance name, or not a port")
    host = base64.b32encode(random_bytes(HOST_BYTES)).decode("ascii").lower() + ".local."
    plain = (str(ipaddress.ip_address(text.partition("%")[0])) for text in addresses)
    near = dict.fromkeys(text for text in plain if is_near(text, loopback=loopback))
    return Announcement(instance, host, port, tuple(near)[:MAX_ADDRESSES])


def instance_of(name: str) -> str | None:
    """The 26 characters of a full service name of ours; None for every other name, whatever it holds."""
    match = _INSTANCE.fullmatch(name)
    return match[1] if match else None


def is_near(text: str, *, loopback: bool = False) -> bool:
    """Whether an address literal is of a home network (or, for tests, of this machine).

    A record that names an address elsewhere would make a device call out to the Internet on a
    stranger's word. Link-local addresses are there on every link, so that nothing is lost by it.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    scope = getattr(address, "scope_id", None)
    if scope is not None and not (address.is_link_local and _SCOPE.fullmatch(scope)):
        return False
    if address.is_loopback:
        return loopback and scope is None
    return any(address in net for net in _NEAR if net.version == address.version)


def check(
    name: str, port: int | None, addresses: Sequence[str], txt: bytes, *, loopback: bool = False
) -> Heard:
    """What is usable of a received record: the first 8 home addresses.

    Raises Malformed with kind `name`, `port`, `txt` or `addresses`; no part of a record is quoted.
    """
    instance = instance_of(name)
    if instance is None:
        raise Malformed("name")
    if port is None or not 0 < port < 65536:
        raise Malformed("port")
    if txt not in _EMPTY_TXT:
        raise Malformed("txt")
    looked_at = addresses[:MAX_RECEIVED_ADDRESSES]
    near = dict.fromkeys(text for text in looked_at if is_near(text, loopback=loopback))
    if not near:
        raise Malformed("addresses")
    return Heard(instance, port, tuple(near)[:MAX_ADDRESSES])

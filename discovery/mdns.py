"""mDNS beside trio: zeroconf runs in threads of its own. This file touches the network; it decides nothing.

All methods block for up to two seconds: call them from a worker thread, one at a time. `start` and
`refresh_interfaces` raise OSError when the network does not let them; a later refresh tries again. What is
heard comes from zeroconf's thread: the caller carries it over (`token.run_sync_soon`).
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import ifaddr
from zeroconf import (
    BadTypeInNameException,
    EventLoopBlocked,
    IPVersion,
    ServiceBrowser,
    ServiceInfo,
    ServiceStateChange,
    Zeroconf,
)

from discovery.announcement import MAX_ADDRESSES, SERVICE_TYPE, Announcement, Heard, check, instance_of
from replication.errors import Malformed

RESOLVE_MS: Final = 1_000
WINDOW_S: Final = 10.0
MAX_PER_WINDOW: Final = 16
"""So many sightings of one member are handed on in ten seconds; the rest is somebody repeating its name."""


def local_addresses() -> list[str]:
    """Every address of this machine that is not loopback, as literals; IPv6 without a scope."""
    found = []
    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            text = address.ip if isinstance(address.ip, str) else address.ip[0]
            if not ipaddress.ip_address(text).is_loopback:
                found.append(text)
    return sorted(set(found))


def on_every_link(addresses: Sequence[str], interfaces: Sequence[str]) -> list[str]:
    """Each IPv6 link-local address without a scope once for every interface that has one of `interfaces`.

    Heard over IPv4, or read from an invitation, such an address does not say on which link it is, and
    without that nobody can connect to it. Other addresses are left as they are.
    """
    links = [
        adapter.index
        for adapter in ifaddr.get_adapters()
        if any((ip.ip if isinstance(ip.ip, str) else ip.ip[0]) in interfaces for ip in adapter.ips)
    ]
    found: dict[str, None] = {}
    for text in addresses:
        address = ipaddress.ip_address(text)
        if address.version == 6 and address.is_link_local and "%" not in text:
            found.update(dict.fromkeys(f"{text}%{link}" for link in links))
        else:
            found[text] = None
    return list(found)


class Mdns:
    """Announces this device and listens for others, on the interfaces that have the addresses named.

    `recognise(instance)` says whose instance it is, or None: a stranger's costs that call and nothing more,
    nothing is asked of the network about it. `heard(device, what)` is called from zeroconf's thread.
    `interfaces()` names addresses of the interfaces to use: those of networks that the person calls home.
    """

    def __init__(
        self,
        recognise: Callable[[str], bytes | None],
        heard: Callable[[bytes, Heard], None],
        interfaces: Callable[[], Sequence[str]] = local_addresses,
    ) -> None:
        self._recognise = recognise
        self._heard = heard
        self._interfaces = interfaces
        self._used: list[str] = []
        self._loopback = False
        self._zeroconf: Zeroconf | None = None
        self._browser: ServiceBrowser | None = None
        self._announced: tuple[Announcement, ...] = ()
        self._infos: list[ServiceInfo] = []
        self._counts: dict[bytes, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Listens, and announces what was last announced. Without any interface it waits for one."""
        with self._lock:
            self._start()

    def stop(self) -> None:
        """Says goodbye and closes every socket; what was announced is kept for the next start."""
        with self._lock:
            self._stop()

    def announce(self, *announcements: Announcement) -> None:
        """Announces these, one for each discovery key in use, and withdraws what was announced before, in that order;
        none: falls silent."""
        with self._lock:
            self._announced = announcements
            before, self._infos = self._infos, []
            if self._zeroconf is None:
                return
            for announcement in announcements:
                self._register(announcement)
            for info in before:
                self._zeroconf.unregister_service(info)

    def refresh_interfaces(self) -> bool:
        """Whether the interfaces had changed; if so all is set up anew, since zeroconf joins no later one."""
        with self._lock:
            if sorted(set(self._interfaces())) == self._used:
                return False
            self._stop()
            self._start()
            return True

    def _start(self) -> None:
        wanted = sorted(set(self._interfaces()))
        if not wanted:
            return
        parsed = [ipaddress.ip_address(text) for text in wanted]
        try:
            self._zeroconf = Zeroconf(interfaces=list(wanted), ip_version=_versions(parsed))
        except RuntimeError:  # an address was gone before zeroconf looked for it
            raise OSError("the interfaces changed meanwhile") from None
        self._loopback = all(address.is_loopback for address in parsed)
        self._used = wanted
        self._browser = ServiceBrowser(self._zeroconf, SERVICE_TYPE, handlers=[self._changed])
        for announcement in self._announced:
            self._register(announcement)

    def _stop(self) -> None:
        zeroconf, self._zeroconf = self._zeroconf, None
        if self._browser is not None:
            self._browser.cancel()
        if zeroconf is not None:
            zeroconf.close()
        self._browser = None
        self._infos = []
        self._used = []

    def _register(self, announcement: Announcement) -> None:
        assert self._zeroconf is not None
        info = ServiceInfo(
            SERVICE_TYPE,
            announcement.name,
            port=announcement.port,
            properties={},
            server=announcement.host,
            parsed_addresses=list(announcement.addresses),
        )
        # Without probing: 64 random bits in the name meet no other, and the second it takes is saved.
        self._zeroconf.register_service(info, cooperating_responders=True)
        self._infos.append(info)

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Removed:
            return  # anybody can say goodbye in another's name: what does not answer is given up soon enough
        instance = instance_of(name)
        device = self._recognise(instance) if instance is not None else None
        if device is None or not self._within_limit(device):
            return
        try:
            info = zeroconf.get_service_info(service_type, name, timeout=RESOLVE_MS)
        except (BadTypeInNameException, EventLoopBlocked, OSError):
            return
        if info is None:
            return
        try:
            addresses = info.parsed_scoped_addresses()
            heard = check(name, info.port, addresses, info.text or b"", loopback=self._loopback)
        except Malformed:
            return
        reachable = on_every_link(heard.addresses, self._used)[:MAX_ADDRESSES]
        self._heard(device, replace(heard, addresses=tuple(reachable)))

    def _within_limit(self, device: bytes) -> bool:
        now = time.monotonic()
        since, count = self._counts.get(device, (now, 0))
        if now - since > WINDOW_S:
            since, count = now, 0
        self._counts[device] = (since, count + 1)
        return count < MAX_PER_WINDOW


def _versions(addresses: Sequence[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> IPVersion:
    versions = {address.version for address in addresses}
    if versions == {4}:
        return IPVersion.V4Only
    return IPVersion.V6Only if versions == {6} else IPVersion.All

"""Fair shares of what strangers use: groups of addresses, and who of them is next."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv4Address, ip_address

import attrs

from .contract import Address, Link, Path

_OCTETS = {str(number): number for number in range(256)}


def address_bytes(host: str) -> bytes:
    """4 or 16 bytes; IPv4 within IPv6 is IPv4. What no adapter reports, a host that is no address, is one for all."""
    octets = [*map(_OCTETS.get, host.split("."))]
    if len(octets) == 4 and None not in octets:  # most are: a flood brings a new one with each packet
        return bytes(octets)  # type: ignore[arg-type]
    try:
        address = ip_address(host)
    except ValueError:
        return bytes(16)
    mapped = None if isinstance(address, IPv4Address) else address.ipv4_mapped
    return (mapped or address).packed


def numeric_host(host: str) -> str:
    """The text that adapters report for an address; IPv4 within IPv6 is IPv4. ValueError for a name, or a zone."""
    address = ip_address(host)
    if not isinstance(address, IPv4Address):
        if address.scope_id is not None:
            raise ValueError("a zone is no part of the address")
        return str(address.ipv4_mapped or address)
    return host


def host_of(address: str) -> bytes:
    """What one owner has of the network, whose limits are its own: an address of IPv4, a /64 of IPv6."""
    return address_bytes(address)[:8]


def group_of(where: Path | Address) -> bytes:
    """The network that an address belongs to: /24 of IPv4, /48 of IPv6."""
    return group_of_address(address_bytes(where.host))


def group_of_address(address: bytes) -> bytes:
    """The same, of an address as bytes."""
    return b"\x04" + address[:3] if len(address) == 4 else b"\x06" + address[:6]


@attrs.define(eq=False)
class FairQueue:
    """Links that wait, in which groups of addresses take turns: who has many links waits for them, and nobody else."""

    groups: OrderedDict[bytes, OrderedDict[Link, None]] = attrs.field(factory=OrderedDict)
    size: int = 0

    def add(self, group: bytes, link: Link) -> None:
        """Behind the other links of its group; it waits once at most."""
        links = self.groups.setdefault(group, OrderedDict())
        if link not in links:
            links[link] = None
            self.size += 1

    def discard(self, group: bytes, link: Link) -> None:
        """It waits no longer, if it did."""
        links = self.groups.get(group)
        if links is not None and link in links:
            del links[link]
            self.size -= 1
            if not links:
                del self.groups[group]

    def pop(self) -> Link:
        """Who is next. Its group then waits for the others."""
        group, links = next(iter(self.groups.items()))
        link, _ = links.popitem(last=False)
        self.size -= 1
        if links:
            self.groups.move_to_end(group)
        else:
            del self.groups[group]
        return link

    def pop_crowded(self) -> Link:
        """The link that has waited longest in the group that has most of them. Looks at each group."""
        group, links = max(self.groups.items(), key=lambda item: len(item[1]))
        link = next(iter(links))
        self.discard(group, link)
        return link


@attrs.define(eq=False)
class Places:
    """Links that hold a place until they have shown who they are. Who makes room for another one has most of them: of
    the groups first, and then of the addresses in it (/64 of IPv6)."""

    groups: OrderedDict[bytes, FairQueue] = attrs.field(factory=OrderedDict)
    size: int = 0

    def add(self, address: bytes, link: Link) -> None:
        """A link holds one place at most."""
        queue = self.groups.setdefault(group_of_address(address), FairQueue())
        before = queue.size
        queue.add(address[:8], link)
        self.size += queue.size - before

    def discard(self, address: bytes, link: Link) -> None:
        """It holds none any more, if it did."""
        group = group_of_address(address)
        queue = self.groups.get(group)
        if queue is not None:
            before = queue.size
            queue.discard(address[:8], link)
            self._shrink(group, before)

    def pop_crowded(self) -> Link:
        """The link that makes room: of those of its address it has waited longest. Looks at each group, and at each
        address of one."""
        group, queue = max(self.groups.items(), key=lambda item: item[1].size)
        before = queue.size
        link = queue.pop_crowded()
        self._shrink(group, before)
        return link

    def _shrink(self, group: bytes, before: int) -> None:
        left = self.groups[group].size
        self.size -= before - left
        if not left:
            del self.groups[group]

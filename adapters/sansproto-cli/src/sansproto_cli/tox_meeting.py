"""A node that runs, and the relays at which it meets friends: what pipes and echoes have in common."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import partial

from sansproto.contract import Address, Path
from sansproto.events import CloseCause
from sansproto.tox import (
    NodeDelays,
    Proxy,
    ProxyKind,
    Relay,
    RelayConnected,
    RelayLost,
    RelayViolation,
    ToxEvent,
    ToxNode,
)
from sansproto_sockets import system_entropy, wall_epoch
from sansproto_threads import Runner, run

from . import addresses
from .exits import CommandFailed, Exit
from .line import on_sockets
from .mistakes import Mistakes
from .report import Reporter
from .tox_keys import RELAY_KEYS, Friend, Keys

SOCKET = "udp"
_PROXIES = {kind.value: kind for kind in ProxyKind}


WORTH_TELLING = (
    (
        "a cookie request that does not open",
        "other_dht_key",
        "A caller expects another DHT key here than ours: check the keys that the other end was given.",
    ),
    (
        "a handshake that does not open",
        "other_real_key",
        "A caller expects another real key here than ours: check the keys that the other end was given.",
    ),
    (
        "a handshake of a stranger",
        "other_caller",
        "A caller has another real key than those that this command was given: check these keys.",
    ),
)
"""What the node drops, and what a person may have done wrong: each is told once."""


def parse_proxy(text: str) -> Proxy:
    """``http://HOST:PORT`` or ``socks5://HOST:PORT``. What was given is not repeated: it may hold a password."""
    scheme, _, where = text.partition("://")
    if scheme not in _PROXIES:
        raise CommandFailed(Exit.USAGE, "That does not name a proxy: give http://HOST:PORT or socks5://HOST:PORT.")
    if "@" in where:
        raise CommandFailed(Exit.USAGE, "Proxies with passwords are not supported: name one without a password.")
    return Proxy(_PROXIES[scheme], Address(*addresses.parse_bound(where, "proxy", "127.0.0.1:9050")))


class Meeting:
    """Where friends find us: a node with its keys, a socket, and relays; or a proxy instead of the socket."""

    def __init__(
        self,
        keys: Keys,
        bind: str,
        relays: Sequence[str],
        reporter: Reporter,
        delays: NodeDelays | None = None,
        *,
        proxy: Proxy | None = None,
    ) -> None:
        self.reporter, self._keys, self._proxy = reporter, keys, proxy
        self.node = ToxNode(
            real_key=keys.real.secret,
            dht_key=keys.dht.secret,
            entropy=system_entropy,
            wall_epoch=wall_epoch(),
            proxy=proxy,
            delays=delays,
        )
        self._place = addresses.parse_bind(bind, 0)
        find = proxy is None  # else it is the proxy that looks up names
        self._relays = [Relay(*RELAY_KEYS.parse_server(one, "relay", "192.0.2.1:33445", find=find)) for one in relays]
        self._names = {one.key: text.partition("@")[2] for one, text in zip(self._relays, relays, strict=True)}
        self._were_up: set[bytes] = set()
        self._mistakes = Mistakes(self.node.stats, WORTH_TELLING, reporter)

    @contextmanager
    def begin(self) -> Iterator[Runner[ToxEvent]]:
        """Run it, and say so."""
        sockets = {SOCKET: self._place} if self._proxy is None else {}
        runner: Runner[ToxEvent] = run(self.node, sockets=sockets, linger=2 * self.node.delays.farewell)
        with on_sockets(runner):
            self._tell_place(runner)
            for relay in self._relays:
                if not runner.call(partial(self.node.add_relay, relay)):
                    raise CommandFailed(Exit.USAGE, "Those are too many relays: give fewer.")
            yield runner

    def add_friend(self, runner: Runner[ToxEvent], friend: Friend, to: tuple[str, int] | None = None) -> None:
        """Meet it there, and at the relays. Raises CommandFailed if the name of the place is not known."""
        path = None
        if to is not None:
            path = Path(SOCKET, *addresses.find(*to, socket.SOCK_DGRAM))
        if not runner.call(lambda now: self.node.add_friend(friend.real, friend.dht, now, path=path)):
            raise CommandFailed(Exit.USAGE, "Those are too many friends: give fewer.")

    def look(self, runner: Runner[ToxEvent]) -> None:
        """For what goes wrong without an event. Call it often."""
        self._mistakes.look(runner)

    def _tell_place(self, runner: Runner[ToxEvent]) -> None:
        facts: dict[str, str | None] = {
            "real_key": self._keys.real.public.hex(),
            "dht_key": self._keys.dht.public.hex(),
        }
        if self._proxy is None:
            facts["address"], text = addresses.we_are_at(runner.addresses[SOCKET])
        else:
            proxy = addresses.format_address(self._proxy.address.host, self._proxy.address.port)
            facts |= {"address": None, "proxy": f"{self._proxy.kind.value}://{proxy}"}
            text = f"We use the proxy at {proxy}"
        self.reporter.tell("started", f"{text}, as {self._keys.name}.", **facts)

    def tell_relay(self, event: RelayConnected | RelayLost) -> None:
        key, name = event.relay.hex(), self._names[event.relay]
        if isinstance(event, RelayConnected):
            self._were_up.add(event.relay)
            self.reporter.tell("relay_connected", f"The relay at {name} answers.", relay=key, address=name)
            return
        detail = f" ({event.detail})" if event.detail else ""
        if event.proxy is not None:
            text = f"The proxy does not lead to the relay at {name}{detail}: trying again."
            reason = f"proxy_{event.proxy.name.lower()}"
            self.reporter.tell("relay_lost", text, relay=key, address=name, reason=reason)
            return
        why: Enum = event.cause if event.violation is None else event.violation
        if why is CloseCause.LOST and event.relay not in self._were_up:
            why = RelayViolation.BAD_HELLO  # it closes without a word
        is_other = why is RelayViolation.BAD_HELLO
        what = "does not have the key that --relay names, or is not a relay" if is_other else "does not answer"
        text = f"The relay at {name} {what}{detail}: trying again."
        self.reporter.tell("relay_lost", text, relay=key, address=name, reason=why.name.lower())

"""Hours of a client's life in virtual time: a network that loses every fifth datagram does not end a connection.

How often it would, follows from the rules alone. A check-in is answered unless it or its answer is lost. The one that
is sent in the n-th second since the last answer has 1, 1, 2, 4, 8 copies, and only the sixth second of silence, when
all 16 were in vain, is a reset: less than once in two hundred days. SANSPROTO_SOAK=1 lives a whole day.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import Any

import pytest
from soaking import SOAKING

from sansproto.contract import Phase
from sansproto.overte import (
    Connected,
    DomainClient,
    DomainServer,
    NodeActivated,
    NodeAdded,
    NodeJoined,
    NodeMeasured,
    NodeType,
    PacketReceived,
    PacketType,
    SettingsReceived,
)
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.laws import weight
from sansproto.testing.network import Conditions, Node, VirtualNetwork

HOUR, DAY = 3600, 86_400
LIFE = DAY if SOAKING else 2 * HOUR
NEAR = 0.01 if LIFE == DAY else 0.03
LOSS = 0.2
BAD = Conditions(latency=0.04, jitter=0.03, loss=LOSS, reorder=0.1)
ASSIGNMENT = bytes(range(16))

IN_VAIN = 1 - (1 - LOSS) ** 2  # the check-in or its answer is lost
COPIES = (1, 1, 2, 4, 8)
SHARES = tuple(IN_VAIN**before for before in accumulate((0, *COPIES)))  # of seconds with that silence before them
RESETS = SHARES[-1] / sum(SHARES)  # per second
CHECK_INS = sum(count * share for count, share in zip(COPIES, SHARES, strict=False)) / sum(SHARES)  # likewise


def test_a_reset_under_this_loss_would_be_news() -> None:
    """What is asserted below is no luck of the seed: 16 datagrams in a row, 1 in 12.6 million."""
    assert 1 / 220 < RESETS * DAY < 1 / 215
    assert 1.12 < CHECK_INS < 1.13


class Village:
    """A domain and clients of it, each on a host of its own."""

    def __init__(self) -> None:
        self.net = VirtualNetwork(seed=20261121, default=BAD)
        self.net.name("domain.example", "198.51.100.1")
        self.server = DomainServer(entropy=ScriptedEntropy(seed=b"domain"), wall_epoch=1.7e9, domain_id=b"d" * 16)
        self.domain = self.net.host("198.51.100.1").run(self.server, sockets={"udp": 40102})

    def arrive(self, host: str, **options: Any) -> Node[Any]:
        client = DomainClient(
            host="domain.example", entropy=ScriptedEntropy(seed=host.encode()), wall_epoch=1.7e9, **options
        )
        node = self.net.host(host).run(client, sockets={"udp": 0})
        node.call(client.connect)
        return node

    def arrive_mixer(self) -> Node[Any]:
        self.domain.call(lambda now: self.server.assign(ASSIGNMENT, NodeType.AUDIO_MIXER, now))
        return self.arrive("198.51.100.10", node_type=NodeType.AUDIO_MIXER, interest=b"I", assignment=ASSIGNMENT)


def weights(*nodes: Node[Any]) -> list[int]:
    return [weight(node.endpoint.snapshot()) for node in nodes]


def kinds(node: Node[Any]) -> dict[type, int]:
    """How many events of each kind there were, but for what is told every second."""
    found = Counter(map(type, node.events))
    found.pop(NodeMeasured, None)
    return found


@pytest.mark.unmeasured
def test_a_client_stays_connected_all_along() -> None:
    village = Village()
    guest = village.arrive("203.0.113.7")
    client = guest.endpoint
    village.net.run(HOUR)
    begin = weights(guest, village.domain)
    village.net.run(LIFE - HOUR)

    assert kinds(guest) == {Connected: 1, SettingsReceived: 1}  # no Disconnected, no Renumbered
    assert kinds(village.domain) == {NodeJoined: 1}
    assert client.phase is Phase.OPEN
    (joined,) = village.domain.events
    assert (client.session_id, client.local_id) == (joined.node_id, joined.local_id)
    assert client.stats.packets_sent == pytest.approx(LIFE * CHECK_INS, rel=NEAR)
    assert village.server.stats.packets_received == pytest.approx(LIFE * CHECK_INS * (1 - LOSS), rel=NEAR)
    assert client.stats.packets_received == pytest.approx(LIFE * CHECK_INS * (1 - LOSS) ** 2, rel=NEAR)
    assert weights(guest, village.domain) == begin


@pytest.mark.unmeasured
def test_so_does_one_with_a_mixer_and_they_reach_each_other() -> None:
    village = Village()
    mixer = village.arrive_mixer()
    guest = village.arrive("203.0.113.7")
    village.net.run(HOUR)
    begin = weights(guest, mixer, village.domain)
    village.net.run(LIFE - HOUR)

    for one in (guest, mixer):
        told = kinds(one)
        assert told.pop(NodeActivated) <= 2  # over the public socket, and over the local one
        assert told == {Connected: 1, SettingsReceived: 1, NodeAdded: 1}
    assert kinds(village.domain) == {NodeJoined: 2}
    for before, after in zip(begin, weights(guest, mixer, village.domain), strict=True):
        assert after == pytest.approx(before, abs=64)  # the clocks of a few pings
    for one, other in ((guest, mixer), (mixer, guest)):
        ((node_id, info),) = one.endpoint.nodes.items()
        assert (node_id, info.local_id) == (other.endpoint.session_id, other.endpoint.local_id)
        assert info.active is not None
        assert info.skew_us is not None
        pings = Counter(map(type, one.events))[NodeMeasured]
        assert pings == pytest.approx(LIFE * (1 - LOSS) ** 2, rel=0.04)
        assert sum(one.endpoint.stats.dropped.values()) < 64  # in its first seconds

    # The secret is still the same at both ends: what is signed with it arrives.
    client, mixer_id = guest.endpoint, mixer.endpoint.session_id
    assert guest.call(
        lambda now: client.send_to_node(mixer_id, PacketType.AVATAR_DATA, b"good night", now, reliable=True)
    )
    heard = PacketReceived(client.session_id, PacketType.AVATAR_DATA, payload=b"good night")
    village.net.run(10.0)
    assert heard in mixer.events

"""The laws, kept by a node, from openings that lead through handshakes, sessions, relays and the end of friends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import strategies as st
from law_data import changed, prefixes
from scripted_relay import SERVER, SOCKS_GRANTED, SOCKS_YES, ClientPeer
from scripted_tox import (
    AT_B,
    AT_C,
    DHT,
    ELSEWHERE,
    KILL,
    ONLINE,
    REAL,
    REQUEST,
    Friend,
    NodePeer,
)

from sansproto.contract import Address, Link, Path
from sansproto.recovery import RecoveryLimits
from sansproto.testing._internal.subject import STARTS
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.laws import Laws, Subject
from sansproto.testing.operations import Call, Close, Data, Datagram, Failed, Moved, Op, Opened, Tick, Wait
from sansproto.tox import NodeDelays, NodeLimits, Proxy, ProxyKind, Relay, ToxNode
from sansproto.tox import packets as p
from sansproto.tox.limits import RECOVERY

pytestmark = pytest.mark.unmeasured

TEXT = "what nobody but the two ends may read"
RELAY = Relay(SERVER.public, Address("192.0.2.1", 443))
LIMITS = NodeLimits(
    links=3,
    link_queue=2000,
    link_packets=6,
    unsent=1500,
    routes=3,
    events=16,
    outbox=24,
    friends=3,
    relays=2,
    friend_relays=2,
    queue=6,
    window=8,
    paths=2,
    sharers=2,
    cookies=4,
    friend_cookies=4,
    seen=4,
    keys=4,
)
DELAYS = NodeDelays(cookie=1e12, stalled=90.0, unread=90.0)
"""A cookie that was given at time 0 is good whenever a run begins."""
CORE = attrs.evolve(
    RECOVERY,
    limits=RecoveryLimits(
        peers=3, candidates=6, candidates_per_peer=2, candidates_per_group=4, tombstones=6, said=2, notices=4
    ),
)


class Node(ToxNode):
    """Verbs of the laws have no keywords."""

    def meet(self, real_key: bytes, dht_key: bytes, path: Path | None, relays: tuple[Relay, ...], now: float) -> bool:
        return self.add_friend(real_key, dht_key, now, path=path, relays=relays)


def arguments(entropy: Any, trace: Any) -> dict[str, Any]:
    return {
        "real_key": REAL.secret,
        "dht_key": DHT.secret,
        "entropy": entropy,
        "recovery": CORE,
        "limits": LIMITS,
        "delays": DELAYS,
        "trace": trace,
    }


class Noted(NodePeer, ClientPeer):
    """A node that runs as the laws let it, and its friends: what happens to it is kept.

    A run of the laws draws the same as this one as long as it does the same, so that what friends say opens there.
    """

    def __init__(self, **more: Any) -> None:
        self.ops: list[Op] = []
        super().__init__(Node(**arguments(ScriptedEntropy(seed=b"laws"), None), **more))

    def do(self, verb: str, *args: Any) -> None:
        self.ops.append(Call(verb, args))
        getattr(self.endpoint, verb)(*args, self.now)
        self.drain()

    def add_friend(
        self, real: bytes, dht: bytes, _: float, *, path: Path | None = None, relays: tuple[Relay, ...] = ()
    ) -> None:
        self.do("meet", real, dht, path, relays)

    def receive_datagram(self, data: bytes, path: Path, now: float) -> None:
        self.ops.append(Datagram(data, path))
        self.endpoint.receive_datagram(data, path, now)

    def stream_opened(self, link: Link, now: float) -> None:
        self.ops.append(Opened(0))
        self.endpoint.stream_opened(link, now)

    def receive_data(self, link: Link, data: bytes, now: float) -> None:
        self.ops.append(Data(0, (data,)))
        self.endpoint.receive_data(link, data, now)

    def wait(self, seconds: float) -> None:
        self.ops.append(Wait(seconds))
        super().wait(seconds)


def noted(script: Callable[[Noted], object], **more: Any) -> tuple[Op, ...]:
    peer = Noted(**more)
    script(peer)
    return tuple(peer.ops)


# -- openings


def is_called(peer: Noted) -> None:
    """The node calls, and both talk."""
    friend = peer.befriend(at=AT_B)
    key = friend.real.public
    friend.be_called()
    peer.do("send_message", key, TEXT)
    friend.say(friend.lossless(b"\x40" + TEXT.encode()), friend.data(b"\xc8lossy", number=friend.number + 1))
    friend.say(friend.data(b"\x01\x01"))
    peer.do("send_many", key, [b"\xa0%d" % number for number in range(8)])
    friend.say(friend.data(REQUEST, start=friend.start + 2))
    peer.do("send", key, b"\xc8lossy")
    peer.do("set_typing", key, True)
    peer.do("remove_friend", key)


def calls(peer: Noted) -> None:
    """A friend calls, restarts and ends."""
    friend = peer.befriend()
    friend.call()
    peer.do("send_message", friend.real.public, TEXT)
    friend.begin("restarted")
    friend.call()
    friend.say(friend.ping(b"a number"), path=ELSEWHERE)
    friend.say(friend.data(KILL))


def crosses(peer: Noted) -> None:
    friend = peer.befriend(at=AT_B)
    friend.shake()
    friend.come_online()


def restarts(peer: Noted) -> None:
    friend = peer.befriend()
    friend.call()
    friend.begin("restarted")
    friend.shake()


def moves(peer: Noted) -> None:
    friend = peer.befriend()
    friend.call()
    friend.move(ELSEWHERE)
    friend.say(friend.ping(b"a number"))
    number = next(one.number for one in friend.take() if isinstance(one, p.DhtPingBody))
    friend.say(friend.pong(number), friend.lossless(b"\x40from elsewhere"))


def is_lost(peer: Noted) -> None:
    friend = peer.befriend(at=AT_B)
    friend.be_called()
    peer.do("send_message", friend.real.public, TEXT)
    peer.wait(33.0)


def is_relayed(peer: Noted, *proxied: bytes) -> None:
    """The node and a friend meet at a relay."""
    peer.do("add_relay", RELAY)
    friend = peer.befriend(path=ELSEWHERE)
    peer.come_up(*proxied)
    peer.say(p.OobReceived(friend.dht.public, friend.request()))
    peer.say(p.RoutingResponse(16, friend.dht.public), p.ConnectNotification(16))
    asked = heard_through(peer, friend)
    peer.say(p.Relayed(16, friend.response(asked.number)))
    body = heard_through(peer, friend)
    friend.adopt(body)
    peer.say(p.Relayed(16, friend.handshake(body.other_cookie)))
    peer.say(p.Relayed(16, friend.lossless(ONLINE)), p.Relayed(16, friend.lossless(b"\x40hello")))
    peer.do("send_message", friend.real.public, TEXT)
    peer.say(p.DisconnectNotification(16))


def heard_through(peer: Noted, friend: Friend) -> Any:
    """What a friend got through the relay at last."""
    friend.inbox += [one.data for one in peer.speaker.take() if isinstance(one, p.Relayed)]
    return friend.take()[-1]


IS_CALLED, CALLS, CROSSES, RESTARTS, MOVES, IS_LOST, IS_RELAYED = map(
    noted, (is_called, calls, crosses, restarts, moves, is_lost, is_relayed)
)
ALL = (IS_CALLED, CALLS, CROSSES, RESTARTS, MOVES, IS_LOST, IS_RELAYED)
SAID = [op.data for opening in ALL for op in opening if isinstance(op, Datagram)]
FRAMES = [op.pieces[0] for op in IS_RELAYED if isinstance(op, Data)]
PROXY = Proxy(ProxyKind.SOCKS5, Address("proxy.example", 1080))
BEHIND = noted(lambda peer: is_relayed(peer, SOCKS_YES, SOCKS_GRANTED), proxy=PROXY)


def strangers() -> Sequence[bytes]:
    """What somebody says who is no friend: all that can be said without a session, and some that is no packet."""
    peer = NodePeer.live()
    one = Friend(peer, 7, AT_C)
    peer.endpoint.keyring.cookie_key = drawn("tox.cookie_key")
    return [
        one.request(),
        one.ping(b"a number"),
        one.pong(b"a number"),
        one.response(b"a number"),
        one.handshake(one.ask_cookie()),
        one.handshake(one.cookie()),
        b"",
        b"\x1b" + bytes(40),
        b"\x77",
        p.DATAGRAM.encode(p.CookieRequest(bytes(32), bytes(24), bytes(88))),
    ]


def drawn(purpose: str, size: int = 32) -> bytes:
    """What a run of the laws draws first for this purpose."""
    return ScriptedEntropy(seed=b"laws")(size, purpose=purpose)


def near(said: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """What is valid at one time or another, damaged, cut off."""
    one = st.sampled_from(said)
    damaged = st.builds(changed, one, st.integers(0, 300), st.integers(1, 255))
    cut = st.builds(lambda data, end: data[: end % len(data)], one, st.integers(0, 300))
    return st.one_of(one, one, one, damaged, cut)


B, C = (Friend(NodePeer.live(), number) for number in (2, 3))
KEYS = st.sampled_from([B.real.public, B.real.public, C.real.public, REAL.public])


class TestNode(Laws):
    subject = Subject(
        cls=Node,
        arguments=arguments,
        data=near(FRAMES) | st.binary(max_size=30),
        datagrams=near(SAID),
        strangers=st.sampled_from(strangers()) | st.binary(max_size=30),
        paths=st.sampled_from([AT_B, AT_B, AT_C, ELSEWHERE, Path("wifi", "2001:db8::7", 9)]),
        verbs={
            "meet": st.tuples(
                KEYS,
                st.sampled_from([B.dht.public, C.dht.public, bytes(32)]),
                st.sampled_from([None, AT_B, AT_C]),
                st.sampled_from([(), (RELAY,)]),
            ),
            "remove_friend": st.tuples(KEYS),
            "send_message": st.tuples(KEYS, st.sampled_from(["", TEXT, "x" * 1400])),
            "send": st.tuples(KEYS, st.sampled_from([b"\xa0lossless", b"\xc8lossy", b"\x40"])),
            "send_many": st.tuples(KEYS, st.just([b"\xa0%d" % number for number in range(4)])),
            "set_typing": st.tuples(KEYS, st.booleans()),
            "set_profile": st.just(()),
            "add_relay": st.tuples(st.sampled_from([RELAY, Relay(DHT.public, RELAY.address)])),
            "remove_relay": st.tuples(st.sampled_from([RELAY.key, DHT.public])),
        },
        openings=(
            (),
            *prefixes(IS_CALLED, 1),
            *prefixes(CALLS, 1),
            CROSSES,
            RESTARTS,
            (*RESTARTS, Wait(17.0)),
            *prefixes(MOVES, 3),
            IS_LOST,
            (*IS_LOST, Wait(30.0)),
            *prefixes(IS_RELAYED, 1),
            (*IS_CALLED[:4], Close()),
            (*IS_CALLED[:4], Close(), Wait(2.0)),
            (*IS_CALLED[:4], Failed(AT_B), Tick()),
            (*CALLS[:4], Moved(), Wait(4.0)),
            (*CALLS[:4], Moved(60.0)),
        ),
        secrets=(REAL.secret, DHT.secret, TEXT.encode(), drawn("tox.cookie_key")),
        max_state=120_000,
        max_write=3000,
    )


class TestNodeBehindAProxy(Laws):
    """All that is said to it by UDP is dropped."""

    subject = attrs.evolve(
        TestNode.subject,
        arguments=lambda entropy, trace: {**arguments(entropy, trace), "proxy": PROXY},
        data=near([op.pieces[0] for op in BEHIND if isinstance(op, Data)]) | st.binary(max_size=30),
        openings=((), *prefixes(BEHIND, 1), (*BEHIND, Close()), (*BEHIND, Moved()), (*BEHIND[:3], Wait(11.0))),
    )


def test_the_openings_lead_where_they_should() -> None:
    """If a packet did not open any more, all would be as silent as without it; and it does whenever a run begins."""
    for start in STARTS:
        told = {}
        direct, behind = TestNode.subject, TestNodeBehindAProxy.subject
        for name, subject, opening in (
            ("called", direct, IS_CALLED),
            ("calls", direct, CALLS),
            ("relayed", direct, IS_RELAYED),
            ("behind", behind, BEHIND),
        ):
            run = subject.beginning(start).run().play(opening)
            told[name] = [type(event).__name__ for event in run.events]
            assert run.endpoint.stats.dropped == {}
        assert told == {
            "called": [
                *("FriendOnline", "MessageReceived", "CustomReceived"),
                *("MessageDelivered", "Undelivered", "FriendOffline"),
            ],
            "calls": ["FriendOnline", "Undelivered", "FriendOffline", "FriendOnline", "FriendOffline"],
            "relayed": ["RelayConnected", "FriendOnline", "MessageReceived"],
            "behind": ["RelayConnected", "FriendOnline", "MessageReceived"],
        }

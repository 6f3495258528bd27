"""The laws, kept by client, domain server and ice-server, from openings that lead into each state of their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from enum import Enum
from functools import cache
from itertools import chain
from pathlib import Path as File
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from law_data import changed, drawn, prefixes
from scripted_overte import (
    DOMAIN,
    DOMAIN_ID,
    EPOCH,
    LOCAL,
    MIXER,
    MIXER_LOCAL,
    SECRET,
    US,
    Party,
    ServerPeer,
    control,
    datagram,
    domain_list,
    record,
)

from sansproto.component import Declared, components_of
from sansproto.contract import Address, Path
from sansproto.errors import WireError
from sansproto.overte import crypto
from sansproto.overte import packets as p
from sansproto.overte.client import DomainClient
from sansproto.overte.header import (
    MAX_SEQUENCE,
    ControlType,
    Header,
    Part,
    Position,
    decode_datagram,
)
from sansproto.overte.ice import ICE_PORT, IceServer
from sansproto.overte.limits import ClientDelays, ClientLimits, IceLimits, ServerDelays, ServerLimits
from sansproto.overte.policy import Login, Policy
from sansproto.overte.qt import NULL_SOCK_ADDR, SockAddr, SocketType
from sansproto.overte.registration import IceRegistration
from sansproto.overte.remote import SOCKET
from sansproto.overte.rendezvous import IceTarget
from sansproto.overte.server import DomainServer
from sansproto.overte.stun import COOKIE, BindingResponse
from sansproto.overte.versions import PacketType
from sansproto.testing import laws
from sansproto.testing._internal.meter import measured
from sansproto.testing.laws import Laws, Subject, check
from sansproto.testing.operations import Bound, Call, Close, Datagram, Drain, LookedUp, Op, Run, Wait, same
from sansproto.testing.strategies import packets
from sansproto.testing.vectors import load
from sansproto.timers import TimerTable

# Loading a private key takes 40 ms, which is what a run of the laws takes otherwise; other processes import this, too.
pytest.MonkeyPatch().setattr(crypto, "load_private_key", cache(crypto.load_private_key))

pytestmark = pytest.mark.unmeasured

K = PacketType
ACK, HANDSHAKE, HANDSHAKE_ACK, HANDSHAKE_REQUEST = ControlType
STRANGER = Path(SOCKET, "203.0.113.66", 666)  # a known node may be there as well, but not by an opening
ICE = Path(SOCKET, "198.51.100.2", ICE_PORT)
TYPES = tuple(PacketType)
(SIGNED,) = (
    test
    for test in load(File(__file__).parents[2] / "vectors" / "overte" / "crypto.json")
    if test.type == "overte.username_signature" and test.group.provenance == "reference-library"
)
PRIVATE, PUBLIC = SIGNED.octets("inputs", "private_key"), SIGNED.octets("inputs", "public_key")
ACCOUNT, ACCOUNT_TOKENS = "someone", "access-of-someone:refresh-of-someone"


def first(path: Path) -> int:
    """The number with which the reliable channel to an address begins."""
    return int.from_bytes(drawn(f"channel.{path.host}:{path.port}.start", 4), "big") & MAX_SEQUENCE


def in_parts(kind: PacketType, payload: bytes, number: int, *, source: int = 0, message: int = 5) -> list[bytes]:
    """A reliable message in three parts."""
    size = len(payload) // 3 + 1
    positions = (Position.FIRST, Position.MIDDLE, Position.LAST)
    return [
        datagram(
            (kind, payload[at * size : (at + 1) * size]),
            sequence=number + at,
            source=source,
            reliable=True,
            part=Part(position, message, at),
        )
        for at, position in enumerate(positions)
    ]


def at(path: Path, *data: bytes) -> list[Op]:
    """These datagrams come from there."""
    return [Datagram(one, path) for one in data]


def near(valid: Iterable[bytes]) -> st.SearchStrategy[bytes]:
    """What is valid at one time or another, damaged, cut off, too long."""
    one = st.sampled_from(list(valid))
    places = st.integers(0, 40) | st.integers(0, 400)
    damaged = st.builds(changed, one, places, st.integers(1, 255))
    cut = st.builds(lambda data, end: data[: end % len(data)], one, places)
    long = st.builds(bytes.__add__, one, st.binary(min_size=1, max_size=3))
    return st.one_of(one, one, one, one, damaged, cut, long)


def any_packet(*sources: int) -> st.SearchStrategy[bytes]:
    """Well-formed packets of all types, single or reliable."""
    content = st.sampled_from(list(p.PACKETS.values())).flatmap(packets)
    secrets = st.sampled_from([b"", SECRET])
    number, source = st.integers(1, 5), st.sampled_from([0, *sources])
    return st.builds(
        lambda content, number, source, secret, reliable: datagram(
            content, sequence=number, source=source, secret=secret, reliable=reliable
        ),
        content,
        number,
        source,
        secrets,
        st.booleans(),
    )


NOISE = st.one_of(
    st.binary(max_size=3),
    st.binary(max_size=2).map(lambda rest: b"\1\0\0\0\xff" + rest),  # of no type
    st.sampled_from([b"\0\0\5\x80" + bytes(4), b"\1\0\0\x80" + bytes(4), control(ACK, 5)[:7]]),  # no control packets
)
"""Datagrams that are none, wherever they come from."""


class ClientThatRepeats(DomainClient):
    """With verbs for what a keyword asks for: operations have none."""

    def send_reliably(self, node_id: bytes, type: PacketType, payload: bytes, now: float) -> bool:
        return self.send_to_node(node_id, type, payload, now, reliable=True)

    def send_in_parts(self, node_id: bytes, type: PacketType, payload: bytes, now: float) -> bool:
        return self.send_to_node(node_id, type, payload, now, message=True)


# -- the client --------------------------------------------------------------------------------------------------------

CLIENT_LIMITS = ClientLimits(
    events=40,
    outbox=200,
    addresses=6,
    window=3,
    reliable_queue=6,
    ahead=4,
    messages=2,
    message_size=4000,
    nodes=5,
    connection_ids=3,
    queries=3,
    stun_tries=3,
    copies=8,
)
CLIENT_DELAYS = ClientDelays(handshake=0.125)
STUN = Path(SOCKET, "198.51.100.3", 3478)
ROAMING = Path(SOCKET, "203.0.113.5", 7)  # the mixer is there as well
MIXER_ID, MIXER_KEY = bytes([1]) * 16, 4661
OTHER = Path(SOCKET, "198.51.100.10", 40111)
UPSTREAM = Path(SOCKET, "198.51.100.10", 40112)
RECORDS = (record(), record("I", number=2, secret=bytes(range(16, 32))), record("B", number=3, secret=bytes(16)))
NODES_HERE = domain_list(*RECORDS)
BY_WEBRTC = SockAddr(MIXER.host, MIXER.port, kind=SocketType.WEBRTC)
PARTS = in_parts(K.DOMAIN_SETTINGS, b'{"audio": "' + bytes(range(32, 127)) * 30 + b'"}', 700)
BEGAN = int((EPOCH + 1000.0) * 1e6)  # the client's clock when a run begins
ICE_TARGET = IceTarget(host="ice.example", domain_id=DOMAIN_ID, client_id=b"c" * 16)


def ping(clock: int = 1, connection_id: int = 0, kind: int = 2, secret: bytes = SECRET) -> bytes:
    return datagram(p.Ping(kind, clock, connection_id), source=MIXER_KEY, secret=secret)


def reply(kind: int, clock: int = BEGAN, secret: bytes = SECRET) -> bytes:
    return datagram(p.PingReply(kind, clock, BEGAN + 70_000), source=MIXER_KEY, secret=secret)


def unverified() -> list[bytes]:
    """What a client hears without knowing from whom, but for their address."""
    domain = [
        NODES_HERE,
        domain_list(record(public_socket=SockAddr("", 40110)), permissions=7),
        domain_list(record(local_id=9), record("W", number=4), record("M", number=5)),
        domain_list(*RECORDS, session_id=b"t" * 16, local_id=7),
        domain_list(domain_id=b"e" * 16),
        p.AddedNode(**{name: getattr(record("o", number=6), name) for name in p.NodeRecord.__annotations__}),
        p.ConnectionToken(b"a token to sign."),
        p.DomainConnectionDenied(3, "no", ""),
        p.DomainConnectionDenied(200, "never", "elsewhere"),
        p.RequireDTLS(40103),
        p.ICEPingReply(DOMAIN_ID, 2),
        p.ICEServerPeerInformation(DOMAIN_ID, SockAddr(DOMAIN.host, DOMAIN.port), LOCAL),
        p.ICEServerPeerInformation(b"e" * 16, LOCAL, LOCAL),
    ]
    reliably = [p.RemovedNode(MIXER_ID), p.PathResponse("/", "/0,0,0/0,0,0,1"), p.DomainSettings(b"{}")]
    numbered = [datagram(one, sequence=number, reliable=True) for one in reliably for number in (700, 701, 703, 800)]
    own = [first(path) + step & MAX_SEQUENCE for path in (DOMAIN, MIXER) for step in (-1, 0, 1)]
    controls = [control(kind, number) for kind in (ACK, HANDSHAKE_ACK) for number in own]
    controls += [control(HANDSHAKE, 700), control(HANDSHAKE, 5), control(HANDSHAKE_REQUEST)]
    other = [
        datagram((K.ASSET_GET, b"which"), source=4242),
        datagram((K.REPLICATED_KILL_AVATAR, b"whom"), sequence=9),
        datagram((K.REPLICATED_KILL_AVATAR, b"whom"), sequence=1 << 26, reliable=True),
    ]
    return [*map(datagram, domain), *numbered, *PARTS, *controls, *other]


VERIFIED = [
    *(ping(clock, number) for clock in (0, 1, BEGAN) for number in (0, 1)),
    *(reply(kind) for kind in range(4)),
    reply(2, BEGAN + 250_000),
    datagram((K.BULK_AVATAR_DATA, b"here"), source=MIXER_KEY, secret=SECRET),
    *in_parts(K.BULK_AVATAR_DATA, bytes(600), 3, source=MIXER_KEY),
]
FORGED = [
    ping(5, 3, secret=b"x" * 16),
    reply(2, secret=b"x" * 16),
    ping(5, 3, secret=b""),
    changed(ping(5, 3), -1, 1),
    changed(ping(5, 3), 9, 128),
    datagram((K.BULK_AVATAR_DATA, b"hi"), source=MIXER_KEY, secret=b"x" * 16, reliable=True, sequence=700),
    datagram((K.BULK_AVATAR_DATA, b"hi"), source=RECORDS[2].local_id),  # who has no secret
]
LOST = [
    datagram(p.Ping(2, 5, 0), source=1, secret=SECRET),
    datagram(p.DisconnectRequest(), source=1),
    datagram(NODES_HERE, version=24),
    datagram(NODES_HERE, part=Part(Position.ONLY, 1, 0)),
    datagram(NODES_HERE)[:60],
    datagram((K.DOMAIN_SERVER_ADDED_NODE, bytes(9))),
    datagram((K.WEBRTC_SIGNALING, b"")),
]


def from_lookup(*paths: Path) -> list[Op]:
    return [LookedUp(0, (Address(path.host, path.port),)) for path in paths]


def connected() -> list[Op]:
    """The life of a client from the first list on, with somebody half-way through everything."""
    send = (MIXER_ID, K.MICROPHONE_AUDIO_NO_ECHO, b"la")
    return [
        *at(DOMAIN, datagram(NODES_HERE)),
        *at(DOMAIN, control(HANDSHAKE_ACK, first(DOMAIN))),  # the question for settings
        *at(DOMAIN, control(ACK, first(DOMAIN)), control(HANDSHAKE, 700), *PARTS[:2]),
        *at(MIXER, reply(p.PingType.PUBLIC), ping()),
        Wait(0.25),
        Call("send_to_node", send),
        Call("send_in_parts", (MIXER_ID, K.MICROPHONE_AUDIO_NO_ECHO, bytes(3000))),
        *at(MIXER, control(HANDSHAKE_ACK, first(MIXER)), control(ACK, first(MIXER))),
        *at(ROAMING, ping(2, kind=1)),
        Call("ask_path", ("/",)),
        *at(DOMAIN, PARTS[2]),
        Wait(3.5),
        Call("send_to_node", send),
        *at(DOMAIN, datagram(domain_list(record(), session_id=b"t" * 16, local_id=7))),
        Wait(7.5),
    ]


def client(
    before: Sequence[Op], *, near_by: Sequence[bytes] = (), where: Sequence[Path] = (), most: int = 6, **arguments: Any
) -> Subject:
    """``before`` leads to where connect requests are sent; so many operations follow it."""
    steps = [*before, *connected()[:most]]
    asking = (*steps[: len(before) + 1], *(Call("ask_path", (path,)) for path in ("/a", "/b", "/c")))
    begun = steps[: len(before) + 1]
    waiting = (*begun, Call("request_settings", (p.AssignmentType.AUDIO_MIXER,)))
    webrtc = record("W", number=9, public_socket=BY_WEBRTC, local_socket=BY_WEBRTC)
    foreign = (*begun, *at(DOMAIN, datagram(domain_list(webrtc))))
    some = st.sampled_from([b"", b"word", bytes(1300), bytes(3900), bytes(4001)])
    nodes = st.sampled_from([MIXER_ID, RECORDS[1].id, b"nobody"])
    kinds = st.sampled_from([K.MICROPHONE_AUDIO_NO_ECHO, K.ENTITY_EDIT_NACK, K.REPLICATED_KILL_AVATAR])
    return Subject(
        cls=ClientThatRepeats,
        arguments=lambda entropy, trace: {
            "host": "domain.example",
            "entropy": entropy,
            "wall_epoch": EPOCH,
            "limits": CLIENT_LIMITS,
            "delays": CLIENT_DELAYS,
            "trace": trace,
            **arguments,
        },
        datagrams=near([*unverified(), *near_by]) | near(VERIFIED) | any_packet(MIXER_KEY),
        strangers=st.sampled_from([*FORGED, *LOST]) | NOISE,
        paths=st.sampled_from([DOMAIN, DOMAIN, DOMAIN, MIXER, MIXER, MIXER_LOCAL, OTHER, UPSTREAM, STRANGER, *where]),
        answers=st.sampled_from(
            [(), (Address(DOMAIN.host, DOMAIN.port),), (Address("2001:db8::1", 1), Address("::1", 2))]
        ),
        verbs={
            "connect": st.just(()),
            "refresh": st.just(()),
            "ask_path": st.tuples(st.sampled_from(["/", "\ud800", "/there", "x" * 1025])),
            "request_settings": st.tuples(st.sampled_from(p.AssignmentType)),
            "send_to_domain": st.tuples(kinds, some),
            "ask_username": st.tuples(nodes),
            "kick": st.tuples(nodes),
            **dict.fromkeys(("send_to_node", "send_reliably", "send_in_parts"), st.tuples(nodes, kinds, some)),
        },
        openings=(
            *prefixes(steps),
            asking,
            waiting,
            (*waiting, Wait(5.5)),
            foreign,
            (*steps, Wait(90.0)),
            (*steps, Close()),
        ),
        secrets=(SECRET, RECORDS[1].secret, PRIVATE, ACCOUNT_TOKENS.encode(), b"a token to sign."),
        max_state=60_000,
    )


HERE = Bound(SOCKET, US)
TO_DOMAIN = [HERE, Call("connect"), *from_lookup(DOMAIN)]


class TestClient(Laws):
    subject = client(TO_DOMAIN, most=100)


def with_stun() -> Subject:
    def answer(nth: int) -> bytes:
        transaction = drawn("stun.transaction", 12, nth)
        return BindingResponse(
            12,
            transaction,
            bytes.fromhex("002000080001") + xor(b"\xbb\x81", b"\x21\x12") + xor(b"\xcb\0\x71\7", COOKIE),
        ).encode()

    def xor(data: bytes, key: bytes) -> bytes:
        return bytes(one ^ other for one, other in zip(data, key, strict=True))

    answers = [answer(nth) for nth in range(3)]
    open_house = domain_list(*RECORDS, authenticated=False)
    before = [HERE, Call("connect"), *from_lookup(DOMAIN, STUN), *at(STUN, answers[0])]
    found = client(before, near_by=[*answers, datagram(open_house), *FORGED], where=[STUN], stun=("stun.example", 3478))
    unasked = answer(9)
    moved = (*before, *connected()[:6], Wait(10.5), *at(STUN, answers[1]), Bound(SOCKET, Address("192.168.1.24", 9)))
    silent = (*before[:-1], Wait(12.0))
    return attrs.evolve(
        found,
        strangers=st.sampled_from([*LOST, unasked]) | NOISE,  # what is forged is taken where nobody asks for MACs
        openings=(*found.openings, moved, silent),
    )


class TestClientWithStun(Laws):
    subject = with_stun()


class TestClientWithIce(Laws):
    subject = client(
        [
            HERE,
            Call("connect"),
            *from_lookup(ICE),
            *at(ICE, datagram(p.ICEServerPeerInformation(DOMAIN_ID, SockAddr(DOMAIN.host, DOMAIN.port), LOCAL))),
            *at(DOMAIN, datagram(p.ICEPing(DOMAIN_ID, 2)), datagram(p.ICEPingReply(DOMAIN_ID, 2))),
        ],
        near_by=[datagram(p.ICEPing(one, 1)) for one in (DOMAIN_ID, b"e" * 16)],
        where=[ICE, ICE],
        ice=ICE_TARGET,
    )


class TestClientWithAName(Laws):
    subject = client(
        [
            *TO_DOMAIN,
            *at(DOMAIN, datagram(p.DomainConnectionDenied(2, "sign", ""))),
            *at(DOMAIN, datagram(p.ConnectionToken(b"a token to sign."))),
        ],
        username="Alice",
        private_key=PRIVATE,
        domain_account=(ACCOUNT, ACCOUNT_TOKENS),
    )


# -- the server --------------------------------------------------------------------------------------------------------

SERVER_LIMITS = ServerLimits(
    events=40,
    outbox=200,
    addresses=6,
    window=2,
    reliable_queue=5,
    ahead=4,
    messages=2,
    message_size=4000,
    nodes=4,
    wanted=2,
    keys=2,
    signatures=2,
    applicants=3,
    connects=6,
    announcements=3,
    punches=2,
    beats=2,
    denials=1,
)
SERVER_DELAYS = ServerDelays(handshake=0.125)
SETTINGS = '{"audio": "' + "x" * 3000 + '"}'
POLICY = Policy(
    anonymous=p.Permissions.CONNECT | p.Permissions.KICK,
    users={"alice": 1 | 2048, "mallory": 0},
    redirect="hifi://elsewhere",
    login=Login("https://domain.example/login", "client"),
    accounts={ACCOUNT: ACCOUNT_TOKENS},
    settings=SETTINGS,
)
POLICIES = [
    POLICY,
    attrs.evolve(POLICY, anonymous=0, login=None),
    attrs.evolve(POLICY, capacity=1, anonymous=7),
    attrs.evolve(POLICY, logged_in=0, settings="x" * 5000),
]
_START, _STEP = (int.from_bytes(drawn(f"local_id.{what}", 2), "big") for what in ("start", "step"))
LOCAL_IDS = [
    _START + (_STEP | 1) * count & 0xFFFF for count in range(2, 8)
]  # of those who come in; the first is its own
NODE_IDS = [drawn(f"node.{local_id}.id", 16) for local_id in LOCAL_IDS]
HALL = ServerPeer.live()  # somewhere to be a party of, and never asked
ALICE, BOB, CAROL = (
    Party(HALL, f"203.0.113.{number}", machine_fingerprint=bytes([number]) * 16) for number in (7, 8, 9)
)
NEIGHBOUR = Party(HALL, "10.0.0.5", 48005)
MIXERS = [
    Party(HALL, MIXER.host, 40110 + one, node_type=p.NodeType.AUDIO_MIXER, interests=b"I", connect_id=bytes([one]) * 16)
    for one in (1, 2)
]
INTERESTED = b"MWI"


def request(party: Party, **changes: Any) -> bytes:
    return datagram(party.request(**changes))


def knock(party: Party, **changes: Any) -> Op:
    return Datagram(request(party, **changes), party.path)


TOKEN = HALL.admission.tokens.token("alice", ALICE.path)
"""What a server with the same entropy gives her."""


def signed(token: bytes = TOKEN) -> dict[str, Any]:
    return {"username": "Alice", "username_signature": crypto.sign_username(PRIVATE, "Alice", token)}


def list_request(party: Party, local_id: int, **changes: Any) -> bytes:
    fields = {name: getattr(party.request().check_in, name) for name in p.CheckIn.__annotations__}
    return datagram(p.DomainListRequest(**{**fields, **changes}), source=local_id)


def asked(*changes: Mapping[str, Any]) -> list[bytes]:
    return [request(ALICE, **change) for change in changes]


REQUESTS = [
    *(request(party) for party in (ALICE, BOB, NEIGHBOUR, *MIXERS)),
    *asked(
        {"username": "Alice"},
        signed(),
        signed(bytes(16)),
        {"username": "mallory"},
        {"domain_username": ACCOUNT, "domain_tokens": ACCOUNT_TOKENS},
        {"domain_username": ACCOUNT, "domain_tokens": "x:y"},
        {"protocol_signature": bytes(16)},
        {"public_socket": SockAddr("", 48001), "place_name": "there"},
    ),
    datagram(BOB.request(), version=26),
    datagram((K.DOMAIN_CONNECT_REQUEST_PENDING, BOB.request().encode())),
]
NOT_WELCOME = [
    *asked(
        {"node_type": 1},
        {"node_type": p.NodeType.AVATAR_MIXER},
        {"public_socket": NULL_SOCK_ADDR, "local_socket": NULL_SOCK_ADDR},
    ),
    *(datagram((K.DOMAIN_CONNECT_REQUEST, ALICE.request().encode()[:size])) for size in (0, 36, 60, 100)),
]
"""Connect requests that are not answered."""

STATS = in_parts(K.NODE_JSON_STATS, b"{" + b"s" * 700, 201, source=LOCAL_IDS[0])
MEMBERS = [
    *(list_request(party, local_id) for party, local_id in zip((ALICE, MIXERS[0], BOB), LOCAL_IDS, strict=False)),
    list_request(ALICE, LOCAL_IDS[0], interests=b"", place_name="x", local_socket=SockAddr("192.168.1.9", 1)),
    *(
        datagram(content, source=local_id, sequence=number, reliable=number >= 200)
        for local_id in LOCAL_IDS[:2]
        for number in (1, 200, 202)
        for content in (
            p.DisconnectRequest(),
            p.NodeKickRequest(NODE_IDS[1], 3),
            p.UsernameFromIDRequest(NODE_IDS[0]),
            (K.NODE_JSON_STATS, b"{}"),
            (K.ASSET_GET_REPLY, b"unverified"),
        )
    ),
    *STATS,
]
QUESTIONS = [
    datagram(content, sequence=number, reliable=number >= 200)
    for number in (1, 200, 201)
    for content in (p.DomainSettingsRequest(2), p.PathQuery("/"), p.PathQuery("/nowhere"))
]
CONTROLS = [
    *(control(kind, first(ALICE.path) + step & MAX_SEQUENCE) for kind in (ACK, HANDSHAKE_ACK) for step in range(-1, 3)),
    *(control(HANDSHAKE, number) for number in (200, 7)),
    control(HANDSHAKE_REQUEST),
]
FROM_ICE = [
    datagram(p.ICEServerPeerInformation(b"c" * 16, SockAddr(ALICE.path.host, ALICE.path.port), LOCAL)),
    datagram(p.ICEServerPeerInformation(b"b" * 16, SockAddr(BOB.path.host, BOB.path.port), LOCAL)),
    datagram(p.ICEServerHeartbeatACK()),
    datagram(p.ICEServerHeartbeatDenied()),
    datagram(p.ICEPingReply(b"c" * 16, 2)),
]
FOREIGN = [
    datagram((K.BULK_AVATAR_DATA, b"no secret"), source=LOCAL_IDS[0]),
    changed(datagram(p.Ping(2, 5, 0), source=LOCAL_IDS[0], secret=SECRET), -1, 1),
    list_request(ALICE, 0xFFFE),
    list_request(ALICE, LOCAL_IDS[0])[:7],
    datagram((K.ICE_PING, b"short")),
    datagram((K.DOMAIN_LIST_REQUEST, b""), source=LOCAL_IDS[0], version=22),
    datagram((K.WEBRTC_SIGNALING, b"")),
    datagram(p.PathQuery("/"), part=Part(Position.ONLY, 1, 0)),
    *NOT_WELCOME,
]


def life() -> list[Op]:
    """A party comes in and asks; a mixer joins, and is thrown out."""
    number = first(ALICE.path)
    return [
        HERE,
        knock(ALICE, interests=INTERESTED),
        *at(ALICE.path, control(HANDSHAKE, 200), QUESTIONS[3]),  # the settings, in three parts
        *at(ALICE.path, control(HANDSHAKE_ACK, number), control(ACK, number)),
        *at(ALICE.path, control(ACK, number + 2 & MAX_SEQUENCE)),
        *at(ALICE.path, list_request(ALICE, LOCAL_IDS[0], interests=INTERESTED), *STATS[:2]),
        Call("assign", (MIXERS[0].says["connect_id"], p.NodeType.AUDIO_MIXER)),
        knock(MIXERS[0]),
        *at(MIXERS[0].path, list_request(MIXERS[0], LOCAL_IDS[1], interests=b"I")),
        Call("kick", (NODE_IDS[1],)),
        *at(ALICE.path, control(ACK, number + 3 & MAX_SEQUENCE)),
        Wait(12.0),
    ]


def names() -> list[Op]:
    return [
        knock(CAROL, domain_username=ACCOUNT, domain_tokens=ACCOUNT_TOKENS),
        knock(ALICE, username="Alice"),
        Call("provide_key", ("alice", PUBLIC)),
        knock(ALICE, **signed()),
    ]


SERVER = Subject(
    cls=DomainServer,
    arguments=lambda entropy, trace: {
        "entropy": entropy,
        "wall_epoch": EPOCH,
        "domain_id": DOMAIN_ID,
        "policy": POLICY,
        "limits": SERVER_LIMITS,
        "delays": SERVER_DELAYS,
        "trace": trace,
    },
    datagrams=near(REQUESTS) | near([*MEMBERS, *QUESTIONS, *CONTROLS]) | near(FROM_ICE) | any_packet(*LOCAL_IDS[:2]),
    strangers=st.sampled_from(FOREIGN) | NOISE,
    paths=st.sampled_from([one.path for one in (ALICE, ALICE, BOB, CAROL, NEIGHBOUR, *MIXERS)] + [STRANGER, ICE]),
    verbs={
        "kick": st.tuples(st.sampled_from([*NODE_IDS[:3], b"nobody"])),
        "answer_username": st.tuples(st.sampled_from([*NODE_IDS[:2], b"nobody"]), st.sampled_from(NODE_IDS[:3])),
        "provide_key": st.tuples(
            st.sampled_from(["alice", "Mallory", "x"]), st.sampled_from([PUBLIC, None, b"no key", "bm8ga2V5"])
        ),
        "assign": st.tuples(
            st.sampled_from([b"\1" * 16, b"\2" * 16, b"\3" * 16, bytes(16), b"short"]),
            st.sampled_from([p.NodeType.AUDIO_MIXER, p.NodeType.AVATAR_MIXER, p.NodeType.AGENT]),
        ),
    },
    openings=(
        *prefixes(life()),
        *prefixes(names(), 1),
        (*life()[:-1], *names(), knock(BOB), Wait(6.0)),
        (*life()[:7], *at(ALICE.path, control(HANDSHAKE_REQUEST))),
        (*life()[:7], *at(ALICE.path, MEMBERS[0], request(BOB)), Wait(6.0), knock(ALICE)),
        (HERE, Close()),
    ),
    secrets=(
        drawn("master", 32),
        TOKEN,
        ACCOUNT_TOKENS.encode(),
        PRIVATE,
    ),
    max_state=60_000,
)
REGISTRATION = IceRegistration(servers=(("ice.example", ICE_PORT), ("ice2.example", ICE_PORT)), private_key=PRIVATE)


def registered() -> list[Op]:
    return [
        HERE,
        *from_lookup(ICE),
        *at(ICE, FROM_ICE[2], FROM_ICE[0], FROM_ICE[1]),
        *at(ALICE.path, FROM_ICE[4]),
        *at(ICE, FROM_ICE[3], FROM_ICE[3]),
        Wait(4.5),
        LookedUp(0, ()),
    ]


class TestServer(Laws):
    subject = attrs.evolve(
        SERVER,
        verbs={**SERVER.verbs, "change_policy": st.tuples(st.sampled_from(POLICIES))},
        openings=(*SERVER.openings, *((*names(), Call("change_policy", (policy,))) for policy in POLICIES)),
    )

    def test_law_14_restored(self) -> None:
        """A snapshot does not hold the policy, so it stays as it is."""
        check(laws.law_14, SERVER)


class TestServerWithIce(Laws):
    subject = attrs.evolve(
        SERVER,
        arguments=lambda entropy, trace: {**SERVER.arguments(entropy, trace), "ice": REGISTRATION},
        openings=(*prefixes(registered()), (*registered()[:-2], *life()[1:5])),
        datagrams=SERVER.datagrams | st.sampled_from(FROM_ICE),
        answers=st.sampled_from([(), (Address(ICE.host, ICE.port),), (Address("::1", 1),)]),
    )


# -- the ice-server ----------------------------------------------------------------------------------------------------


def beat(key: bytes = PRIVATE, *, name: bytes = DOMAIN_ID) -> bytes:
    told = name, SockAddr(DOMAIN.host, DOMAIN.port), LOCAL
    return datagram(p.ICEServerHeartbeat(*told, crypto.sign(key, p.ICEServerHeartbeat(*told, None).signed)))


def query(name: bytes = b"c" * 16, wanted: bytes = DOMAIN_ID) -> bytes:
    return datagram(p.ICEServerQuery(name, SockAddr("", 48001), LOCAL, wanted))


PEERS = [Path(SOCKET, f"203.0.113.{number}", 48001) for number in range(1, 5)]
BEATS = [beat(), beat(name=b"e" * 16), changed(beat(), -1, 1)]
ASKED = [query(), query(b"b" * 16), query(b"a" * 16, b"c" * 16), query(b"c" * 16, b"c" * 16), query(DOMAIN_ID)]


class TestIceServer(Laws):
    subject = Subject(
        cls=IceServer,
        arguments=lambda entropy, trace: {
            "entropy": entropy,
            "wall_epoch": EPOCH,
            "keys": {DOMAIN_ID: PUBLIC},
            "limits": IceLimits(peers=4, events=40, outbox=100, addresses=3),
            "trace": trace,
        },
        datagrams=near([*BEATS, *ASKED]) | any_packet(),
        strangers=st.sampled_from([*LOST, beat()[:-3], query()[:-3], datagram((K.ICE_PING, bytes(17)))]) | NOISE,
        paths=st.sampled_from(PEERS),
        verbs={
            "provide_key": st.tuples(
                st.sampled_from([DOMAIN_ID, b"e" * 16, b"f" * 16]),
                st.sampled_from([PUBLIC, None, b"no key", "bm8ga2V5"]),
            )
        },
        openings=(
            *prefixes([*at(PEERS[0], beat()), *at(PEERS[1], query()), *at(PEERS[2], ASKED[1], ASKED[2]), Wait(6.0)]),
            (Call("provide_key", (b"e" * 16, PUBLIC)), *at(PEERS[3], BEATS[1]), Close()),
        ),
        secrets=(PRIVATE,),
        max_state=20_000,
    )


# -- law 11, for what would mean something from another address --------------------------------------------------------

UNKNOWN = [STRANGER, Path(SOCKET, "203.0.113.99", 48001), Path(SOCKET, "2001:db8::66", 666)]
ANSWERED = (K.ICE_PING, K.DOMAIN_CONNECT_REQUEST, K.DOMAIN_CONNECT_REQUEST_PENDING)


def is_answered(data: bytes) -> bool:
    """May this have an answer, wherever it comes from?"""
    try:
        head, _ = decode_datagram(data)
    except WireError:
        return False
    return isinstance(head, Header) and head.type in ANSWERED


def from_elsewhere(subject: Subject, *valid: bytes) -> Subject:
    """Nobody gets to know those who are unknown."""
    unanswered = near(valid).filter(lambda data: not is_answered(data))
    return attrs.evolve(subject, datagrams=unanswered, strangers=unanswered, paths=st.sampled_from(UNKNOWN))


CLIENTS, SERVERS = (TestClient, TestClientWithIce), (TestServer, TestServerWithIce)
FOREIGNERS = [
    *(from_elsewhere(one.subject, *unverified(), *FORGED) for one in CLIENTS),
    *(from_elsewhere(one.subject, *MEMBERS, *QUESTIONS, *CONTROLS, *FROM_ICE) for one in SERVERS),
    attrs.evolve(TestClient.subject, strangers=st.sampled_from(FORGED), paths=st.sampled_from([MIXER, UPSTREAM])),
]


@pytest.mark.parametrize(
    "subject", FOREIGNERS, ids=["client", "client with ICE", "server", "server with ICE", "client, forged"]
)
def test_what_is_true_from_one_address_is_nothing_from_another_or_forged(subject: Subject) -> None:
    later = tuple((*opening, Wait(0.5)) for opening in subject.openings)  # what notes the time has one to note
    check(laws.law_11, attrs.evolve(subject, openings=later))


@given(data=st.data(), opening=st.sampled_from(SERVER.openings), path=st.sampled_from([*UNKNOWN, ALICE.path]))
def test_a_connect_request_is_answered_by_a_list_or_by_no_more_bytes(
    data: st.DataObject, opening: tuple[Op, ...], path: Path
) -> None:
    request = data.draw(
        near([*REQUESTS, *NOT_WELCOME]) | st.binary(max_size=40).map(lambda rest: REQUESTS[0][:6] + rest)
    )
    run = SERVER.run().play(opening)
    before = len(run.outputs.get(path, ()))
    run.play([Datagram(request, path)])
    answers = run.outputs.get(path, [])[before:]
    if not any(answer[4] == K.DOMAIN_LIST.value for answer in answers):
        assert sum(map(len, answers)) <= len(request)


# -- law 9, for many different things ----------------------------------------------------------------------------------

MANY = 300
NAMES = [number.to_bytes(16, "big") for number in range(1, MANY + 1)]
PLACES = [Path(SOCKET, f"198.18.{number >> 8}.{number & 255}", 4000 + number) for number in range(MANY)]
SOCKETS = [SockAddr(path.host, path.port) for path in PLACES]


def sizes(value: object, name: str) -> Iterator[tuple[str, int]]:
    """How much each container holds, wherever it is."""
    if attrs.has(type(value)):
        for field in attrs.fields(cast(Any, type(value))):
            yield from sizes(getattr(value, field.name), f"{type(value).__name__}.{field.name}")
    elif isinstance(value, TimerTable):  # its keys are parts, which are looked at where they stand
        yield from ((name, len(held)) for held in vars(value).values() if isinstance(held, Sized))
    elif isinstance(value, Declared):
        yield from sizes(value.freeze(0.0), name)
    elif not isinstance(value, str | bytes) and isinstance(value, Sized):
        yield name, len(value)
        items = (value, value.values()) if isinstance(value, Mapping) else (value,)
        for item in chain.from_iterable(items):  # type: ignore[arg-type]  # all containers of the state can be iterated
            yield from sizes(item, name)


def overfull(run: Run) -> dict[str, int]:
    """Containers of the state that hold more than a hundred."""
    state = [(name, value) for name, value in vars(run.session).items() if name not in CONSTANT]
    found = chain.from_iterable(sizes(value, name) for name, value in state)
    return {name: size for name, size in found if size > 100}


LARGE = {"_outbox": 200, "connection": 256}  # a denial's code is a byte
CONSTANT = (
    *("_limits", "limits", "_datagram_limits", "_bounds", "versions", "_versions"),
    *("policy", "ice", "_ice", "_interest", "_entropy", "trace"),
)


def client_flood() -> list[Op]:
    send = (MIXER_ID, K.MICROPHONE_AUDIO_NO_ECHO, b"la")
    moving = [record("I", number=0, id=name, local_id=at + 9) for at, name in enumerate(NAMES)]  # in each other's place
    node = [attrs.evolve(one, public_socket=at, local_socket=at) for one, at in zip(moving, SOCKETS, strict=True)]
    ahead = [datagram(p.PathResponse("/", ""), sequence=700 + number * 2, reliable=True) for number in range(MANY)]
    begun = [in_parts(K.DOMAIN_SETTINGS, bytes(900), number, message=number)[0] for number in range(MANY)]
    denials = [datagram(p.DomainConnectionDenied(number & 255, str(number), "")) for number in range(MANY)]
    texts = [
        *ahead,
        control(HANDSHAKE, 0),
        *begun,
        *(datagram(domain_list(one)) for one in (*moving, *node)),
        datagram(domain_list(*node[:20])),
    ]
    return [
        *TO_DOMAIN,
        *at(DOMAIN, *denials),
        *connected()[:8],
        *at(MIXER, reply(p.PingType.PUBLIC)),
        *at(DOMAIN, *texts),
        *(Datagram(ping(number + 9), path) for number, path in enumerate(PLACES)),
        *(Call(verb, send) for verb in ("send_reliably", "send_in_parts") for _ in NAMES),
        *(Call("ask_path", (str(number),)) for number in range(MANY)),
        *(op for _ in range(60) for op in [Wait(2.0), *at(MIXER, ping()), *at(DOMAIN, datagram(NODES_HERE))]),
    ]


def stats(number: int) -> bytes:
    return in_parts(K.NODE_JSON_STATS, bytes(700), number, source=LOCAL_IDS[0], message=number)[0]


def server_flood() -> list[Op]:
    neighbour = Party(HALL, "127.0.0.1")  # whose requests are not counted: each is another one in its place
    parties = [
        Party(HALL, path.host, path.port, machine_fingerprint=name, interests=INTERESTED)
        for name, path in zip(NAMES, PLACES, strict=True)
    ]
    return [
        *registered()[:3],
        *(knock(neighbour, local_socket=SockAddr(LOCAL.host, number + 1)) for number in range(MANY)),
        *life()[1:7],
        *at(ICE, *(datagram(p.ICEServerPeerInformation(name, LOCAL, LOCAL)) for name in NAMES)),
        *(Call(verb, args) for number, name in enumerate(NAMES) for verb, args in _calls(name, str(number))),
        *(knock(party, username=str(number)) for number, party in enumerate(parties)),
        *(Datagram(datagram(p.ICEPing(bytes(16), 1)), path) for path in PLACES),
        *map(knock, parties),
        *at(ALICE.path, *(datagram(p.PathQuery("/"), sequence=210 + number, reliable=True) for number in range(MANY))),
        *at(ALICE.path, control(HANDSHAKE, 0), *map(stats, range(MANY))),
    ]


def _calls(name: bytes, text: str) -> list[tuple[str, tuple[object, ...]]]:
    return [("assign", (name, p.NodeType.AUDIO_MIXER)), ("provide_key", (text, PUBLIC))]


def ice_flood() -> list[Op]:
    beats = [beat(name=name) for name in NAMES]
    asked = [query(name, DOMAIN_ID) for name in NAMES]
    spoken = [Datagram(data, path) for some in (beats, asked) for data, path in zip(some, PLACES, strict=True)]
    return [*spoken, *(Call("provide_key", (name, PUBLIC)) for name in NAMES), *spoken]


@pytest.mark.parametrize("drain", [Drain.EACH, Drain.LATE])
@pytest.mark.parametrize(
    ("subject", "flood"),
    [(TestClient.subject, client_flood), (TestServerWithIce.subject, server_flood), (TestIceServer.subject, ice_flood)],
    ids=["client", "server", "ice-server"],
)
def test_no_table_or_queue_grows_with_what_it_is_told(
    subject: Subject, flood: Callable[[], list[Op]], drain: Drain
) -> None:
    run = subject.run(drain=drain)
    for number, op in enumerate(flood()):
        run.apply(op)
        if drain is Drain.LATE:  # the application reads; it is the socket that takes nothing
            while run.endpoint.next_event() is not None:
                pass
        if not number % 16:
            assert {name: size for name, size in overfull(run).items() if size > LARGE.get(name, 0)} == {}, op


# -- law 13, where there are many already ------------------------------------------------------------------------------


def costs(subject: Subject, before: Sequence[Op], then: Sequence[Op]) -> list[int]:
    """How many lines each of these operations takes."""
    run, lines = subject.run().play(before), []
    for op in then:
        run.barrier()
        lines.append(measured(lambda op=op: run._do(op))[1])  # type: ignore[misc]  # a default argument
    return lines


def client_crowd(count: int) -> list[Op]:
    known = [record("I", id=name, local_id=number + 9, number=number) for number, name in enumerate(NAMES[:count], 5)]
    lists = [datagram(domain_list(*known[at : at + 20])) for at in range(0, count, 20)]
    return [*TO_DOMAIN, *connected()[:4], *at(DOMAIN, *lists)]


def server_crowd(count: int) -> list[Op]:
    """Agents who want to know of mixers, each from a host of its own: more than one call tells anybody of."""
    agents = [Party(HALL, f"198.18.{number >> 8}.{number & 255}", interests=b"M") for number in range(4 * count)]
    return [*life()[:9], *map(knock, agents)]


def ice_crowd(count: int) -> list[Op]:
    return [
        *at(PEERS[0], beat()),
        *(Datagram(query(name), path) for name, path in zip(NAMES[:count], PLACES, strict=False)),
    ]


@pytest.mark.parametrize(
    ("subject", "crowd", "then"),
    [
        (TestClient.subject, client_crowd, [op for op in connected()[4:13] if not isinstance(op, Wait)]),
        (SERVER, server_crowd, [*life()[9:-1], *names(), *at(ALICE.path, *MEMBERS, *QUESTIONS, *CONTROLS)]),
        (TestIceServer.subject, ice_crowd, [*at(PEERS[0], *BEATS), *at(PEERS[1], *ASKED)]),
    ],
    ids=["client", "server", "ice-server"],
)
def test_a_crowd_costs_nothing_by_itself(
    subject: Subject, crowd: Callable[[int], list[Op]], then: Sequence[Op]
) -> None:
    def roomy(entropy: Any, trace: Any) -> Mapping[str, Any]:
        arguments = subject.arguments(entropy, trace)
        return {**arguments, "limits": type(arguments["limits"])(events=5000, outbox=5000, addresses=5000)}

    large = attrs.evolve(subject, arguments=roomy)
    for op, few, many in zip(then, *(costs(large, crowd(count), then) for count in (100, 200)), strict=True):
        assert many <= few + few // 10 + 50, op


# -- law 14, everywhere ------------------------------------------------------------------------------------------------

SUBJECTS = [
    kind.subject
    for kind in (
        TestClient,
        TestClientWithStun,
        TestClientWithIce,
        TestClientWithAName,
        TestServerWithIce,
        TestIceServer,
    )
] + [SERVER]


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.cls.__name__)
def test_restored_at_any_step_of_the_openings(subject: Subject) -> None:
    begun = [opening[:end] for opening in subject.openings for end in range(len(opening))]
    for opening in [opening for opening in subject.openings if opening not in begun]:
        for end in range(len(opening) + 1):
            run = subject.run().play(opening[:end])
            twin = run.fork()
            same(run.play(opening[end:]), twin.play(opening[end:]), f"restored behind {opening[:end][-1:]}")
            assert run.endpoint.snapshot() == twin.endpoint.snapshot()


# -- the openings lead to where they should ----------------------------------------------------------------------------


def unreached(*subjects: Subject) -> dict[type[Enum], set[str]]:
    """The states that no opening ends in, of all kinds of objects that one of them makes."""
    found: dict[type[Enum], set[str]] = {}
    for subject in subjects:
        for opening in subject.openings:
            for part in components_of(subject.run().play(opening).session):
                found.setdefault(type(part.state), set()).add(part.state.name)
    return {kind: {state.name for state in kind} - names for kind, names in found.items()}


def test_openings_reach_every_state_of_every_object_that_lasts() -> None:
    missing = unreached(*SUBJECTS)
    assert len(missing) == 15
    assert set().union(*missing.values()) <= {"NEW", "UNKNOWN", "GONE", "ENDED"}, missing

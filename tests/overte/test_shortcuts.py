"""What hot paths leave out makes no difference."""

from __future__ import annotations

import hmac
from ipaddress import IPv4Address
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scripted_overte import CLOCK, LOCAL_ID, SECRET, SESSION, ClientPeer, Party, ServerPeer, record

from sansproto.contract import Address, Path
from sansproto.overte import crypto
from sansproto.overte import packets as p
from sansproto.overte.events import NodeInfo
from sansproto.overte.header import MAX_DATAGRAM
from sansproto.overte.limits import ClientLimits
from sansproto.overte.node import Listing
from sansproto.overte.qt import NULL_UUID, TYPED_SOCK_ADDR, SockAddr
from sansproto.overte.remote import SOCKET, address_of, path_to, ways_to
from sansproto.overte.versions import PacketType

U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
MOVED = SockAddr("203.0.113.9", 40111)
IDS = st.binary(min_size=16, max_size=16)

RECORDS = st.builds(
    record,
    st.sampled_from("MI"),
    number=st.integers(1, 3),
    id=st.sampled_from([bytes([number]) * 16 for number in (1, 1, 1, 2, 2, 3)] + [SESSION, NULL_UUID]),
    public_socket=st.sampled_from([SockAddr("198.51.100.10", 40110), MOVED]),
    permissions=st.sampled_from([1, 1, 1, 2]),
    secret=st.sampled_from([SECRET, SECRET, SECRET, NULL_UUID]),
)
LISTS = st.lists(st.lists(RECORDS, max_size=3).map(tuple), min_size=1, max_size=3)
PLACES = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("list"), PLACES),
    st.tuples(st.just("list"), PLACES),
    st.tuples(st.just("renumbered"), PLACES),
    st.tuples(st.just("foreign"), PLACES),
    st.tuples(st.just("permitted"), PLACES),
    st.tuples(st.just("trusted"), PLACES),
    st.tuples(st.just("added"), RECORDS),
    st.tuples(st.just("removed"), st.integers(1, 3)),
    st.tuples(st.just("pinged"), st.integers(1, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.25, 4.0, 11.0])),
)


def act(peer: ClientPeer, lists: list[tuple[p.NodeRecord, ...]], what: str, arg: Any) -> object:
    """One step, and all that can be seen of it."""
    match what:
        case "list":
            peer.list(*lists[arg % len(lists)], client_clock=int(peer.now * 1e6), server_clock=arg, processing_time=arg)
        case "renumbered":
            peer.list(*lists[arg % len(lists)], local_id=LOCAL_ID + 1)
        case "foreign":
            peer.list(*lists[arg % len(lists)], domain_id=b"f" * 16)
        case "permitted":
            peer.list(*lists[arg % len(lists)], permissions=arg)
        case "trusted":
            peer.list(*lists[arg % len(lists)], authenticated=False, new_connection=False)
        case "added":
            peer.say(p.AddedNode(*[getattr(arg, field.name) for field in p.NodeRecord.__wire__.fields]))
        case "removed":
            peer.say(p.RemovedNode(bytes([arg]) * 16))
        case "pinged":
            ping = p.Ping(p.PingType.PUBLIC, 1 + int(peer.now * 1e6), 0)
            peer.say(ping, Path(SOCKET, "203.0.113.7", 7000 + arg), source=4660 + arg, secret=SECRET)
        case "wait":
            peer.at(peer.now + arg)
    return peer.take(peer.transmits), peer.take(), dict(peer.stats.dropped), peer.snapshot()


@pytest.mark.unmeasured
@given(LISTS, st.lists(STEPS, max_size=12))
@example([(record(),)], [("list", 0), ("list", 0), ("removed", 1), ("list", 0)])
@example([(record(),)], [("list", 0), ("list", 0), ("renumbered", 0), ("renumbered", 0), ("list", 0)])
@example([(record(),)], [("list", 0), ("list", 0), ("wait", 11.0), ("list", 0)])
@example([(record(),), (record(permissions=1),)], [("list", 0), ("list", 0), ("list", 1), ("list", 0)])
@example([(record(id=SESSION),)], [("list", 0), ("list", 0), ("list", 0)])
@example([(record(),)], [("list", 0), ("permitted", 0), ("list", 0), ("permitted", 0)])
@example([(record(),)], [("trusted", 0), ("trusted", 0), ("pinged", 1), ("list", 0), ("pinged", 1)])
@example([(record(),), (record(public_socket=MOVED),)], [("list", 0), ("list", 0), ("list", 1), ("list", 0)])
@example([tuple(record("I", number=number) for number in (1, 2, 3))], [("list", 0), ("list", 0), ("list", 0)])
def test_records_that_are_not_read_again_would_have_changed_nothing(
    lists: list[tuple[p.NodeRecord, ...]], steps: list[tuple[str, Any]]
) -> None:
    peer, reader = (ClientPeer.live(limits=ClientLimits(nodes=2)) for _ in range(2))
    for what, arg in steps:
        reader.node_table.lists.clear()
        assert act(peer, lists, what, arg) == act(reader, lists, what, arg)


def test_only_so_many_lists_are_remembered() -> None:
    peer = ClientPeer.live()
    for number in range(100):
        peer.list(*[record("I", number=other) for other in range(1, 11) if number >> other - 1 & 1])
    for number in range(100):
        peer.list(*[record("I", number=other) for other in range(1, 11) if number >> other - 1 & 1])
        assert len(peer.node_table.lists._known) <= 64


@given(st.tuples(IDS, U16, IDS, U16, U32, st.booleans(), U64, U64, U64, st.booleans()))
def test_the_prefix_of_a_list_is_that_of_the_declared_packet(values: Any) -> None:
    assert p.pack_list_head(*values) == p.DomainList(*values, ()).encode()


@given(st.integers(0, 255), U64, st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_ping_is_that_of_the_declared_packet(kind: int, clock: int, connection_id: int) -> None:
    assert bytes([kind]) + p.pack_clocks(clock, connection_id) == p.Ping(kind, clock, connection_id).encode()


@given(IDS, st.binary(max_size=200))
def test_a_mac_is_that_of_the_standard_library(secret: bytes, payload: bytes) -> None:
    expected = hmac.digest(secret, payload, "md5")
    assert crypto.mac(secret, payload) == expected
    assert crypto.mac_matches(secret, payload, expected)


@given(U32, U16, st.sampled_from([0, 1]))
def test_an_address_that_is_filled_is_the_one_that_is_constructed(number: int, port: int, kind: int) -> None:
    host = str(IPv4Address(number))
    decoded = TYPED_SOCK_ADDR.decode(bytes((kind, 0)) + number.to_bytes(4, "big") + port.to_bytes(2, "big"))
    assert decoded == SockAddr(host, port, None, kind)
    path = path_to(decoded)
    if path is None:
        assert not (number and port)
    else:
        assert (path, hash(path)) == (Path(SOCKET, host, port), hash(Path(SOCKET, host, port)))
        assert address_of(path) == Address(host, port)


@given(RECORDS, st.booleans())
def test_what_is_known_of_a_node_is_what_is_constructed(said: p.NodeRecord, is_active: bool) -> None:
    peer = ClientPeer.live()
    peer.list(said)
    for node in peer.node_table.nodes.values():
        node.ping_ms, node.skew_us, node.symmetric = 7, -5, Path(SOCKET, "192.0.2.77", 7)
        node.active = p.PingType.SYMMETRIC.value if is_active else 0
        symmetric, public, local = Address("192.0.2.77", 7), said.public_socket, said.local_socket
        assert node.info == NodeInfo(
            node_id=said.id,
            local_id=said.local_id,
            type=said.type,
            permissions=said.permissions,
            replicated=said.replicated,
            public=Address(public.host, public.port),
            local=Address(local.host, local.port),
            symmetric=symmetric,
            active=symmetric if is_active else None,
            webrtc=False,
            ping_ms=7,
            skew_us=-5,
        )
        secret = b"" if said.secret == NULL_UUID else said.secret
        ways = ways_to(said.local_socket, said.public_socket)
        listing = Listing(said.type, said.local_id, ways, False, said.permissions, said.replicated, secret)
        assert node.listing == listing


PLACED = st.integers(0, 3)
SEEN = st.sampled_from([SockAddr("", 48001), MOVED])
CHECK_INS = st.one_of(
    st.tuples(st.just("check in"), PLACED),
    st.tuples(st.just("check in"), PLACED),
    st.tuples(st.just("roam"), PLACED),
    st.tuples(st.just("move"), PLACED, SEEN),
    st.tuples(st.just("want"), PLACED, st.sampled_from([b"", b"M", b"IMW"])),
    st.tuples(st.just("cut"), PLACED, st.integers(0, 40)),
    st.tuples(st.just("wait"), st.sampled_from([0.25, 1.0, 17.0])),
)


class Neighbourhood:
    """A domain with two mixers and two agents, whose addresses are private: they may send from anywhere there."""

    def __init__(self) -> None:
        self.domain = ServerPeer.live()
        kinds = p.NodeType.AUDIO_MIXER, p.NodeType.AVATAR_MIXER
        self.parties = [self.domain.mixer(at, kind, host="10.0.0.1") for at, kind in enumerate(kinds, 1)]
        self.parties += [Party(self.domain, "10.0.0.2", 48001 + number) for number in range(2)]
        for party in self.parties[2:]:
            party.connect()
        self.says: list[dict[str, Any]] = [{"client_clock": CLOCK} for _ in self.parties]

    def act(self, what: str, arg: Any, more: Any = None) -> object:
        """One step, and all that can be seen of it."""
        if what == "wait":
            self.domain.wait(arg)
        else:
            self.speak(what, self.parties[arg], self.says[arg], more)
        self.domain.drain()
        datagrams, self.domain.transmits = self.domain.transmits, []
        server = self.domain.endpoint
        return datagrams, self.domain.take(), dict(server.stats.dropped), server.next_timeout(), server.snapshot()

    def speak(self, what: str, party: Party, says: dict[str, Any], more: Any) -> None:
        says["client_clock"] += 1_000_000
        if what == "move":
            says["public_socket"] = more
        elif what == "want":
            says["interests"] = more
        path = Path(SOCKET, "10.0.0.3", 48001) if what == "roam" else party.path
        inner = party.request().check_in
        fields = {name: says.get(name, getattr(inner, name)) for name in p.CheckIn.__annotations__}
        payload = p.DomainListRequest(**fields).encode()
        party.say(PacketType.DOMAIN_LIST_REQUEST, payload[:more] if what == "cut" else payload, path=path)


@pytest.mark.unmeasured
@given(st.lists(CHECK_INS, max_size=12))
@example([("check in", 2), ("check in", 2), ("roam", 2), ("check in", 2), ("roam", 2)])
@example([("move", 2, SockAddr("", 48001)), ("roam", 2), ("check in", 2), ("roam", 2)])
@example([("move", 2, MOVED), ("check in", 2), ("check in", 0), ("want", 0, b""), ("check in", 0)])
@example([("check in", 2), ("cut", 2, 7), ("cut", 2, 8), ("check in", 2)])
def test_reports_that_are_not_read_again_would_have_changed_nothing(steps: list[tuple[Any, ...]]) -> None:
    street, readers = Neighbourhood(), Neighbourhood()
    for step in steps:
        for member in readers.domain.members.by_local_id.values():
            member.report = None
        assert street.act(*step) == readers.act(*step)


COUNTS = st.sampled_from([0, 1, 2, 27, 28, 29, 30, 300])


@pytest.mark.unmeasured
@given(COUNTS, COUNTS, st.booleans(), st.booleans())
@example(0, 0, False, False)
@example(300, 2, True, False)
@example(300, 2, True, True)
def test_a_list_names_each_node_once_made_at_once_or_when_it_is_taken(
    audio: int, avatar: int, is_mixer: bool, is_late: bool
) -> None:
    domain, numbers = ServerPeer.live(), iter(range(1, 1000))
    for kind, count in ((p.NodeType.AVATAR_MIXER, avatar), (p.NodeType.AUDIO_MIXER, audio)):
        for number in islice(numbers, count):
            join_mixer(domain, kind, number, b"")
    receiver = join_mixer(domain, p.NodeType.AUDIO_MIXER, 1000, b"WM") if is_mixer else Party(domain, interests=b"WM")
    assert is_mixer or receiver.connect() is not None
    if is_late:
        fan_out = domain.members.fan_out
        vars(fan_out)["start"] = fan_out.under_way.append
    domain.transmits.clear()
    receiver.heard.clear()
    receiver.check_in()
    members = domain.members.by_local_id.values()
    others = [member for member in members if member.node_id != receiver.node_id]
    expected = [(int(member.entry.node_type), member.local_id) for member in others]
    named = [(node.type, node.local_id) for found in receiver.packets(p.DomainList) for node in found.nodes]
    assert named == sorted(expected)
    assert all(len(datagram.data) > MAX_DATAGRAM - 80 for datagram in domain.transmits[:-1])
    assert len(domain.transmits[-1].data) <= MAX_DATAGRAM


def join_mixer(domain: ServerPeer, kind: p.NodeType, number: int, interests: bytes) -> Party:
    """A node with an assignment, let in; whatever is said to it."""
    connect_id = number.to_bytes(16, "big")
    domain.assign(connect_id, kind, domain.now)
    party = Party(domain, port=1000 + number, node_type=kind, interests=interests, connect_id=connect_id)
    party.say(PacketType.DOMAIN_CONNECT_REQUEST, party.request().encode())
    party.local_id, party.node_id = domain.events[-1].local_id, domain.events[-1].node_id
    return party

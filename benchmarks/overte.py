"""Overte's machines by themselves: a check-in at the server, a list at the client, and a domain of 20,000 nodes.

The floor is a bare loop around the ``struct`` calls of a reader who goes through the fields in their order: the tag of
each address says what follows it, so a piece ends there. A request is read in five pieces: header; up to the tag of the
first address; up to that of the second; up to the number of interests; the length of the place name. A record of a list
is read in three, behind one piece each for header and prefix. (Somebody could bet on IPv4, read a record at once, and
look at the tags afterwards: that floor is lower.) The answer is packed with one call each for header, prefix and every
record, and one ``hmac.digest`` for each record, since each pair of nodes has a secret. The floor looks at no value but
the tags, keeps nothing, and its addresses stay numbers. Ours is one datagram received, and all events and transmits
taken, in a steady state: of the nodes and of the list only the clocks are new. Where all nodes of a list are new, each
is pinged at both of its sockets: for each ping the floor packs header and payload, and calls ``hmac.digest`` once. No
secret in these lists comes twice.
"""

from __future__ import annotations

import gc
import hmac
import tracemalloc
from collections.abc import Callable, Iterator
from os import urandom
from statistics import median
from struct import Struct
from time import perf_counter, process_time
from typing import TypeVar

from benchmarks.measure import Line, ratio
from sansproto.contract import Address, Path, SendDatagram
from sansproto.overte import DomainClient, DomainServer, crypto
from sansproto.overte import packets as p
from sansproto.overte.header import Control, ControlType, Header, decode_datagram, encode_datagram
from sansproto.overte.qt import SockAddr
from sansproto.overte.server_events import NodeJoined
from sansproto.overte.versions import DEFAULT, PacketType

T = TypeVar("T")

MANY, FEW = 20_000, 200
TIMES = 500
DOMAIN_ID = urandom(16)
DOMAIN = Path("udp", "198.51.100.1", 40102)
MIXERS = tuple(map(p.NodeType, b"MWoAmS"))
CLOCK = 1_700_000_000_000_000

SOURCED, UNSOURCED = Struct("<IBBH"), Struct("<IBB")
VERIFIED, PING = Struct("<IBBH16s"), Struct("<BQq")
REQUEST, LAST_SOCKET, STRING = Struct(">QBBB"), Struct(">IHI"), Struct(">I")
PREFIX, RECORD = Struct(">16sH16sHI?QQQ?"), Struct(">B16sBBIHBBIHI?H16s")
NODE, FIRST_SOCKET, NODE_END = Struct(">B16sBB"), Struct(">IHBB"), Struct(">IHI?H16s")  # a record in its pieces


def entropy(n: int, *, purpose: str) -> bytes:
    return urandom(n)


def datagram(
    packet: p.OvertePacket, source: int | None = None, mac: bytes | None = None, *, reliable: bool = False
) -> bytes:
    kind = tuple(PacketType)[packet.__wire__.id or 0]
    return encode_datagram(Header(kind, 1, DEFAULT[kind], source, mac, reliable=reliable), packet.encode())


def check_in(node_type: int, place: int, clock: int = CLOCK) -> p.DomainListRequest:
    """What the node at :func:`path_of` the same place says."""
    public = SockAddr(host_of(place), 48001)
    return p.DomainListRequest(clock, node_type, public, SockAddr(host_of(place + (1 << 20)), 48001), b"IMWoAmS", None)


def host_of(place: int) -> str:
    return f"11.{place >> 16 & 255}.{place >> 8 & 255}.{place & 255}"


def path_of(place: int) -> Path:
    """A new object each time, as from a socket."""
    return Path("udp", host_of(place), 48001)


def connect_request(node_type: int, place: int, assignment: bytes = bytes(16)) -> bytes:
    says = check_in(node_type, place)
    inner = p.CheckIn(*[getattr(says, field.name) for field in p.CheckIn.__wire__.fields])
    fingerprint = place.to_bytes(16, "big")
    request = p.DomainConnectRequest(assignment, DEFAULT.signature, None, fingerprint, None, 0, 0, inner, None, b"")
    return datagram(request)


def taken(machine: DomainClient | DomainServer) -> list[SendDatagram]:
    """All events and transmits; the datagrams among them."""
    found = []
    while True:
        event, transmit = machine.next_event(), machine.next_transmit()
        if isinstance(transmit, SendDatagram):
            found.append(transmit)
        elif event is None and transmit is None:
            return found


class Domain:
    """A server, the local ids of the nodes that connected to it by their places, and its time."""

    def __init__(self, *, mixers: int = 0) -> None:
        self.server = DomainServer(entropy=entropy, wall_epoch=1.7e9, domain_id=DOMAIN_ID)
        self.now = 0.0
        self.ids: dict[int, int] = {}
        for place, node_type in enumerate(MIXERS[:mixers], 1 << 18):
            self.join_mixer(place, node_type)

    def join_mixer(self, place: int, node_type: p.NodeType) -> None:
        assignment = urandom(16)
        self.server.assign(assignment, node_type, self.now)
        self.join(place, node_type, assignment)

    def join(self, place: int, node_type: p.NodeType = p.NodeType.AGENT, assignment: bytes = bytes(16)) -> None:
        self.server.receive_datagram(connect_request(node_type, place, assignment), path_of(place), self.now)
        answers = [decode_datagram(sent.data)[1] for sent in taken(self.server) if sent.path == path_of(place)]
        self.ids[place] = p.DomainList.decode(answers[0]).local_id

    def request(self, place: int, clock: int, node_type: int = p.NodeType.AGENT) -> bytes:
        return datagram(check_in(node_type, place, clock), self.ids[place])


# -- against the floor


def answering(mixers: int) -> tuple[Callable[[], float], Callable[[], float]]:
    """Seconds for an agent's check-ins that so many mixers are the answer to: the floor, and ours."""
    domain = Domain(mixers=mixers)
    domain.join(1)
    requests = [domain.request(1, CLOCK + number * 1_000_000) for number in range(TIMES)]
    path, server, master = path_of(1), domain.server, urandom(32)
    us, records = urandom(16), []
    for place, node_type in enumerate(MIXERS[:mixers], 1 << 18):
        records.append((node_type.value, urandom(16), 1, 0, place, 48001, 1, 0, place, 48001, 1, False, 7))

    def floor() -> float:
        unpack_header, unpack, unpack_length = SOURCED.unpack_from, REQUEST.unpack_from, STRING.unpack_from
        unpack_first, unpack_last = FIRST_SOCKET.unpack_from, LAST_SOCKET.unpack_from
        pack_header, pack_prefix, pack, digest = UNSOURCED.pack, PREFIX.pack, RECORD.pack, hmac.digest
        start = perf_counter()
        for data in requests:
            header = unpack_header(data)
            fields = unpack(data, 8)
            if fields[3]:
                raise NotImplementedError
            first = unpack_first(data, 19)
            if first[3]:
                raise NotImplementedError
            last = unpack_last(data, 27)
            end = 37 + last[2]
            interest, length = data[37:end], unpack_length(data, end)
            parts = [
                pack_header(header[0], 2, 26),
                pack_prefix(DOMAIN_ID, 1, us, header[3], 7, True, fields[0], CLOCK, 0, False),
            ]
            parts += [pack(*record, digest(master, us + record[1], "sha256")[:16]) for record in records]
            answer = b"".join(parts)
        elapsed = perf_counter() - start
        assert len(answer) == UNSOURCED.size + PREFIX.size + mixers * RECORD.size
        assert (interest, length) == (b"IMWoAmS", (0xFFFFFFFF,))
        return elapsed

    def ours() -> float:
        lists = []
        start = perf_counter()
        for data in requests:
            domain.now += 1.0
            server.receive_datagram(data, path, domain.now)
            while (transmit := server.next_transmit()) is not None:
                lists.append(transmit)
            while server.next_event() is not None:
                pass
        elapsed = perf_counter() - start
        assert len(lists) == TIMES
        return elapsed

    return floor, ours


def listing(nodes: int, *, known: bool) -> tuple[Callable[[], float], Callable[[], float]]:
    """Seconds for lists of so many nodes: the floor, and ours, for known nodes that are reached, or for new ones."""
    lists = [datagram(domain_list(nodes, number, 0 if known else number)) for number in range(TIMES)]

    def floor() -> float:
        pack_header, pack, digest = VERIFIED.pack, PING.pack, hmac.digest
        unpack_header, unpack_prefix, unpack = UNSOURCED.unpack_from, PREFIX.unpack_from, NODE.unpack_from
        unpack_first, unpack_end = FIRST_SOCKET.unpack_from, NODE_END.unpack_from
        begin, size = UNSOURCED.size + PREFIX.size, RECORD.size
        start = perf_counter()
        for data in lists:
            header, prefix = unpack_header(data), unpack_prefix(data, 6)
            records = []
            for at in range(begin, len(data), size):
                record = unpack(data, at)
                if record[3]:
                    raise NotImplementedError
                first = unpack_first(data, at + 19)
                if first[3]:
                    raise NotImplementedError
                records.append((record, first, unpack_end(data, at + 27)))
            pings = []
            for record in () if known else records:
                secret = record[2][-1]
                for kind in (1, 2):
                    payload = pack(kind, CLOCK, 0)
                    pings.append(pack_header(1, 3, 18, 99, digest(secret, payload, "md5")) + payload)
        elapsed = perf_counter() - start
        assert (len(header), len(prefix), len(records), len(pings)) == (3, 10, nodes, 0 if known else 2 * nodes)
        return elapsed

    client = connected_client()
    if known:
        reach_nodes(client, lists[0])

    def ours() -> float:
        clients = [client] * TIMES if known else [connected_client() for _ in lists]
        gc.collect()
        gc.disable()  # it looks at all clients
        start = perf_counter()
        for data, machine in zip(lists, clients, strict=True):
            machine.receive_datagram(data, DOMAIN, 1.0)
            while machine.next_transmit() is not None:
                pass
            while machine.next_event() is not None:
                pass
        elapsed = perf_counter() - start
        gc.enable()
        assert len(machine.nodes) == nodes
        return elapsed

    return floor, ours


def domain_list(nodes: int, number: int, secrets: int = 0) -> p.DomainList:
    """A list of so many nodes. Its number makes the clocks, and another one the secrets."""
    types = (*MIXERS, *[p.NodeType.AGENT] * nodes)
    records = [
        p.NodeRecord(
            types[place],
            place.to_bytes(16, "big"),
            SockAddr(host_of(place), 48001),
            SockAddr(host_of(place + (1 << 20)), 48001),
            1,
            False,
            100 + place,
            secret_of(place, secrets),
        )
        for place in range(1, nodes + 1)
    ]
    clock = CLOCK + number * 1_000_000
    return p.DomainList(DOMAIN_ID, 1, SESSION, 99, 7, True, clock, clock + 40_000, 0, False, tuple(records))


SESSION, SEED = urandom(16), urandom(16)


def secret_of(place: int, number: int = 0) -> bytes:
    return hmac.digest(SEED, b"%d %d" % (place, number), "md5")


def connected_client() -> DomainClient:
    """A client on a domain without nodes."""
    client = DomainClient(host="domain.example", entropy=entropy, wall_epoch=1.7e9)
    client.socket_bound("udp", Address("192.168.1.23", 48001), 0.0)
    client.connect(0.0)
    client.looked_up(1, (Address(DOMAIN.host, DOMAIN.port),), 0.0)
    client.receive_datagram(datagram(domain_list(0, 0)), DOMAIN, 0.0)
    taken(client)
    return client


def reach_nodes(client: DomainClient, data: bytes) -> None:
    """Let a list arrive, and let its nodes answer the pings to their public sockets."""
    client.receive_datagram(data, DOMAIN, 1.0)
    places = {path_of(place): place for place in range(1, 100)}
    for sent in taken(client):
        head, payload = decode_datagram(sent.data)
        if isinstance(head, Header) and head.type is PacketType.PING and sent.path in places:
            ping = p.Ping.decode(payload)
            reply = p.PingReply(ping.type, ping.clock, ping.clock)
            mac = crypto.mac(secret_of(places[sent.path]), reply.encode())
            client.receive_datagram(datagram(reply, 100 + places[sent.path], mac), sent.path, 1.0)
    taken(client)
    assert all(node.active for node in client.nodes.values())


# -- a large domain


def crowd(size: int) -> Domain:
    """A domain with so many agents that have not checked in."""
    domain = Domain()
    for place in range(1, size + 1):
        domain.join(place)
    return domain


def checking_in(domain: Domain) -> float:
    """Seconds for a check-in, one of each agent within a second, with what a driver does after each."""
    server, now, size = domain.server, domain.now, len(domain.ids)
    clock = CLOCK + int(now * 1e6)
    requests = [(domain.request(place, clock), path_of(place), now + place / size) for place in domain.ids]
    start = process_time()
    for data, path, at in requests:
        server.receive_datagram(data, path, at)
        while server.next_transmit() is not None:
            pass
        while server.next_event() is not None:
            pass
        due = server.next_timeout()
        if due is not None and due <= at:
            server.handle_timeout(at)
    elapsed = process_time() - start
    domain.now += 1.0
    return elapsed / size


def ask_settings(domain: Domain, place: int) -> None:
    """A settings request over the reliable channel, and all that follows it."""
    server = domain.server
    server.receive_datagram(encode_datagram(Control(ControlType.HANDSHAKE, 1)), path_of(place), domain.now)
    request = datagram(p.DomainSettingsRequest(p.AssignmentType.AGENT), reliable=True)
    server.receive_datagram(request, path_of(place), domain.now)
    answer(domain, Longest())


class Longest:
    """The longest of some calls, in seconds of the processor: others that use it do not count."""

    def __init__(self) -> None:
        self.value = 0.0

    def call(self, function: Callable[..., T], *args: object) -> T:
        start = process_time()
        result = function(*args)
        self.value = max(self.value, process_time() - start)
        return result


def answer(domain: Domain, longest: Longest) -> None:
    """Take all that the server says, and answer what it says over reliable channels, as every node would."""
    server = domain.server
    while True:
        answers = []
        while (transmit := longest.call(server.next_transmit)) is not None:
            assert isinstance(transmit, SendDatagram)
            head = decode_datagram(transmit.data)[0]
            path = Path("udp", "".join(transmit.path.host), transmit.path.port)
            if isinstance(head, Control) and head.type is ControlType.HANDSHAKE:
                answers.append((Control(ControlType.HANDSHAKE_ACK, head.sequence), path))
            elif isinstance(head, Header) and head.reliable:
                answers.append((Control(ControlType.ACK, head.sequence), path))
        for control, path in answers:
            longest.call(server.receive_datagram, encode_datagram(control), path, domain.now)
        if not answers:
            break
    while server.next_event() is not None:
        pass


def a_mixer_comes_and_goes(domain: Domain) -> float:
    """Seconds of the longest call while an audio mixer joins, hears of all agents as they do of it, and is kicked."""
    server, longest, place, assignment = domain.server, Longest(), 1 << 18, urandom(16)
    domain.now += 6.0
    server.assign(assignment, p.NodeType.AUDIO_MIXER, domain.now)
    request = connect_request(p.NodeType.AUDIO_MIXER, place, assignment)
    longest.call(server.receive_datagram, request, path_of(place), domain.now)
    joined = server.next_event()
    assert isinstance(joined, NodeJoined)
    answer(domain, longest)
    longest.call(server.kick, joined.node_id, domain.now)
    answer(domain, longest)
    return longest.value


def run() -> Iterator[Line]:
    alone = ratio(*answering(0), rounds=15)[0]
    yield against_floor("request, answered with 1 node", 0.2, *answering(1), note=f"{alone:.3f} with none")
    yield against_floor("request, answered with 6 nodes", 0.2, *answering(6))
    for nodes, target in ((1, 0.2), (20, 0.12)):
        yield against_floor(f"list of {nodes} known nodes", target, *listing(nodes, known=True))
    yield against_floor("list of 20 new nodes", 0.3, *listing(20, known=False))
    yield from of_a_crowd()


def against_floor(
    name: str, target: float, floor: Callable[[], float], ours: Callable[[], float], note: str = ""
) -> Line:
    value, bare, time = ratio(floor, ours, rounds=15)
    note = f"bare {bare / TIMES * 1e6:.2f} us, ours {time / TIMES * 1e6:.2f} us; {note}".rstrip("; ")
    return Line(f"overte: {name}, bare / ours", value, target, True, note=note)


def of_a_crowd() -> Iterator[Line]:
    few, many = [crowd(FEW) for _ in range(9)], crowd(MANY)
    first = checking_in(many) / median(map(checking_in, few))
    yield Line("overte: the first check-in among 20,000 nodes / among 200", first, 1.3, False)
    pairs = [(median(map(checking_in, few)), checking_in(many)) for _ in range(9)]
    value = median(b / a for a, b in pairs)
    note = f"{median(b for _, b in pairs) * 1e6:.2f} us"
    yield Line("overte: a later check-in among 20,000 nodes / among 200", value, 1.3, False, note=note)
    del few, many
    tracemalloc.start()
    domain = crowd(MANY)
    joined = tracemalloc.get_traced_memory()[0]
    for place in domain.ids:
        ask_settings(domain, place)
    checking_in(domain)
    a_mixer_comes_and_goes(domain)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    note = f"{joined / MANY / 1e3:.2f} kB before the first check-in and without a reliable channel"
    yield Line("overte: memory of each of 20,000 nodes", size / MANY / 1e3, 4, False, " kB", note=note)
    gc.disable()  # it looks at every object there is, whoever made them
    longest = median(a_mixer_comes_and_goes(domain) for _ in range(3))
    gc.enable()
    yield Line("overte: the longest call while a mixer joins and leaves 20,000", longest * 1e3, 5, False, " ms")

"""The virtual network does to endpoints what networks do, and the same again for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from echo import GuestLeft, GuestSaid
from hypothesis import given
from hypothesis import strategies as st
from toys import Beat, Echo, Heard, Line, Lines, ToyLimits

from sansproto.contract import (
    AbortTransport,
    Address,
    CloseWrite,
    Link,
    Lookup,
    OpenStream,
    OwnAddress,
    Path,
    PauseAccepting,
    PauseReading,
    Phase,
    Rebind,
    ResumeAccepting,
    ResumeReading,
    SendBytes,
    SendDatagram,
    Transmit,
)
from sansproto.errors import UnboundSocket
from sansproto.events import CloseCause, Closed
from sansproto.testing import network
from sansproto.testing._internal import driver
from sansproto.testing.entropy import Draw, ScriptedEntropy
from sansproto.testing.network import BrokenContract, Conditions, Host, VirtualNetwork
from sansproto.wrap import WrappedStream

PORT = 9000
SERVER = Address("10.0.0.1", PORT)
BIG = ToyLimits(link_queue=1 << 20, events=10_000)


class Tape:
    """An endpoint without a protocol: it writes down what is reported, and does what it is told."""

    def __init__(self, *orders: Transmit) -> None:
        self.orders = list(orders)
        self.heard: list[tuple[object, ...]] = []
        self.wakes: list[float] = []
        self.data = bytearray()
        self._links = 100

    def next_event(self) -> None:
        return None

    def next_transmit(self) -> Transmit | None:
        return self.orders.pop(0) if self.orders else None

    def next_timeout(self) -> float | None:
        return self.wakes[0] if self.wakes else None

    def handle_timeout(self, now: float) -> None:
        self.heard.append(("woken", now - self.wakes.pop(0)))

    def timers(self) -> dict[str, float]:
        return dict.fromkeys(("alarm",), self.wakes[0]) if self.wakes else {}

    def stream_accepted(self, listener: str, peer: Address, now: float) -> Link:
        self._links += 1
        self.heard.append(("accepted", listener, peer.host))
        return Link(self._links)

    def receive_data(self, link: Link, data: bytes, now: float) -> None:
        self.heard.append(("data", link, len(data)))
        self.data += data

    def __getattr__(self, name: str) -> Callable[..., None]:
        def report(*args: object, **_: object) -> None:
            self.heard.append((name, *args[:-1]))

        return report

    def times(self, name: str) -> int:
        return sum(said[0] == name for said in self.heard)


def tape(*orders: Transmit) -> Any:
    return Tape(*orders)


def echo(**limits: int) -> Echo:
    return Echo(entropy=ScriptedEntropy(seed=b"net"), limits=attrs.evolve(BIG, **limits))


def pair(conditions: Conditions | None = None, seed: int = 1) -> tuple[VirtualNetwork, Any, Any]:
    """Two tapes with an open stream: link 1 of the first, link 101 of the second."""
    net = VirtualNetwork(seed=seed, default=conditions)
    server = net.host("10.0.0.1").run(tape(), listen={"tape": PORT}, sockets={"udp": 4000})
    client: Any = net.host("10.0.0.2").run(tape(OpenStream(Link(1), SERVER)), sockets={"udp": 0})
    net.run(1.0)
    assert client.endpoint.heard[-1] == ("stream_opened", 1)
    return net, client, server


def tell(node: Any, *orders: Transmit) -> None:
    node.call(lambda _: node.endpoint.orders.extend(orders))


def send(node: Any, data: bytes, link: int = 1) -> None:
    tell(node, SendBytes(Link(link), data))


def test_two_endpoints_talk() -> None:
    net = VirtualNetwork(seed=1)
    server = net.host("10.0.0.1").run(echo(), listen={"echo": PORT})
    core = echo()
    client = net.host("10.0.0.2", clock=5000.0).run(core)
    client.call(lambda now: core.dial(SERVER, now))
    net.run_until(lambda: any(isinstance(event, GuestSaid) for event in client.events))
    assert 0.03 < net.now < 0.08
    client.call(core.close)
    net.run_until(lambda: Closed(CloseCause.LOCAL) in client.events)
    net.run(1.0)
    assert [type(event) for event in server.events][-1] is GuestLeft
    assert not server.links
    assert not client.host.ends


def test_a_wrapped_stream_session_is_driven_like_any_endpoint() -> None:
    net = VirtualNetwork()
    here, there = Lines(), Lines()
    server = net.host("10.0.0.1").run(WrappedStream(here), listen={"lines": PORT})
    endpoint = WrappedStream(there)
    client = net.host("10.0.0.2").run(endpoint)
    client.call(lambda now: endpoint.connect(SERVER, now))
    client.call(lambda now: there.write(b"one", now))
    client.call(lambda now: there.write(b"bye", now))
    net.run(5.0)
    assert server.events == [Line(b"hello"), Line(b"one"), Closed(CloseCause.REMOTE)]
    assert client.events[0] == Line(b"hello")
    assert client.events[-1] == Closed(CloseCause.REMOTE)
    assert endpoint.phase is Phase.CLOSED


@pytest.mark.unmeasured
@given(st.data())
def test_bytes_arrive_whole_and_in_order_in_any_chunks(data: st.DataObject) -> None:
    conditions = Conditions(
        jitter=data.draw(st.sampled_from([0.0, 0.5])),
        rate=data.draw(st.sampled_from([1e9, 20_000.0])),
        buffer=data.draw(st.sampled_from([100, 65536])),
        read=data.draw(st.sampled_from([10, 65536])),
        split=data.draw(st.booleans()),
        coalesce=data.draw(st.sampled_from([0.0, 0.2])),
    )
    net, client, server = pair(conditions, seed=data.draw(st.integers(0, 99)))
    sent = b""
    for size in data.draw(st.lists(st.integers(1, 3000), max_size=8)):
        piece = bytes([size % 251]) * size
        net.run_until(lambda: client.endpoint.times("stream_blocked") == client.endpoint.times("stream_unblocked"))
        send(client, piece)
        sent += piece
    tell(client, CloseWrite(Link(1))) if not client.links[Link(1)].blocked else None
    net.run(200.0)
    assert bytes(server.endpoint.data) == sent


def test_reads_are_split_and_coalesced() -> None:
    net, client, server = pair(Conditions(split=True))
    send(client, bytes(1000))
    net.run(1.0)
    assert server.endpoint.times("data") > 3
    net, client, server = pair(Conditions(coalesce=0.5))
    for _ in range(10):
        send(client, b"x")
    net.run(1.0)
    assert server.endpoint.times("data") == 1


def test_a_slow_way_takes_its_time_and_blocks_the_sender() -> None:
    net, client, server = pair(Conditions(rate=10_000, buffer=5000))
    send(client, bytes(20_000))
    assert client.endpoint.heard[-1] == ("stream_blocked", 1)
    with pytest.raises(BrokenContract, match="blocked"):
        send(client, b"more")
    net.run(1.0)
    assert 4000 < len(server.endpoint.data) < 11_000
    net.run(1.5)
    assert len(server.endpoint.data) == 20_000
    assert client.endpoint.heard[-1] == ("stream_unblocked", 1)


def test_what_an_endpoint_may_not_ask_for() -> None:
    net, client, _ = pair()
    for wrong in (SendBytes(Link(9), b""), OpenStream(Link(1), SERVER)):
        with pytest.raises(BrokenContract):
            tell(client, wrong)
    for unbound in (SendDatagram(b"", Path("no such socket", "10.0.0.1", 1)), Rebind("no such socket")):
        with pytest.raises(UnboundSocket, match="'no such socket'"):
            tell(client, unbound)
    tell(client, CloseWrite(Link(1)))
    with pytest.raises(BrokenContract):
        send(client, b"after FIN")
    tell(client, OpenStream(Link(2), SERVER))
    with pytest.raises(BrokenContract, match="not open yet"):
        send(client, b"early", 2)
    with pytest.raises(ValueError, match="already"):
        net.host("10.0.0.1")


def test_half_close_keeps_the_other_half() -> None:
    net, client, server = pair()
    send(client, b"last words")
    tell(client, CloseWrite(Link(1)))
    net.run(1.0)
    assert server.endpoint.heard[-2:] == [("data", 101, 10), ("receive_eof", 101)]
    send(server, b"answer", 101)
    net.run(1.0)
    assert client.endpoint.data == b"answer"
    tell(server, AbortTransport(Link(101)))
    net.run(1.0)
    assert client.endpoint.heard[-1] == ("stream_lost", 1)
    assert server.endpoint.heard[-1] == ("stream_lost", 101)


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_a_paused_link_is_blind_until_it_is_read_again(late: float) -> None:
    net, client, server = pair(Conditions(late_read=late, read=10, coalesce=2.0))
    send(client, bytes(100))
    net.run(0.02)
    tell(server, PauseReading(Link(101)))
    net.run(9.0)
    assert len(server.endpoint.data) == 10 * late
    net.cut("10.0.0.1", "10.0.0.2")
    net.run(1.0)
    assert client.endpoint.heard[-1] == ("stream_lost", 1)
    assert server.endpoint.times("stream_lost") == 0
    tell(server, ResumeReading(Link(101)))
    net.run(1.0)
    assert server.endpoint.heard[-1] == ("stream_lost", 101)


def test_a_partition_holds_streams_and_loses_datagrams() -> None:
    net, client, server = pair()
    net.partition("10.0.0.1", "10.0.0.2")
    send(client, b"one ")
    tell(client, SendDatagram(b"ping", Path("udp", "10.0.0.1", 4000)))
    net.run(60.0)
    send(client, b"two")
    net.run(60.0)
    assert not server.endpoint.data
    net.partition("10.0.0.1", "10.0.0.3")
    net.heal("10.0.0.1", "10.0.0.2")
    net.run(1.0)
    assert server.endpoint.data == b"one two"
    assert server.endpoint.times("receive_datagram") == 0


def test_a_reset_is_lost_in_a_partition_and_answered_later() -> None:
    net, client, server = pair()
    net.partition("10.0.0.1", "10.0.0.2")
    tell(server, AbortTransport(Link(101)))
    send(client, b"half open")
    net.run(10.0)
    net.partition("10.0.0.1", "10.0.0.9")
    assert client.endpoint.times("stream_lost") == 0
    net.heal("10.0.0.1", "10.0.0.9")
    net.heal("10.0.0.1", "10.0.0.2")
    net.run(1.0)
    assert client.endpoint.heard[-1] == ("stream_lost", 1)


def test_nobody_there() -> None:
    net, client, server = pair()
    net.host("10.0.0.7").black_hole = True
    tell(client, OpenStream(Link(2), Address("10.0.0.1", 1)))
    net.run(1.0)
    assert client.endpoint.heard[-1] == ("stream_lost", 2)
    for link, host in ((3, "10.0.0.7"), (4, "10.9.9.9")):
        tell(client, OpenStream(Link(link), Address(host, PORT)))
        tell(client, SendDatagram(b"?", Path("udp", host, 5)))
    net.run(100.0)
    assert client.endpoint.heard[-1] == ("stream_lost", 2)
    tell(client, AbortTransport(Link(3)))
    net.run(1.0)
    assert client.endpoint.heard[-1] == ("stream_lost", 3)
    tell(client, SendDatagram(b"?", Path("udp", "10.0.0.1", 5)))
    net.run(1.0)
    assert client.endpoint.heard[-1][0] == "datagram_failed"
    assert server.endpoint.times("accepted") == 1


@pytest.mark.parametrize("silent", [False, True])
def test_a_restarted_peer_has_no_streams(silent: bool) -> None:
    net, client, server = pair()
    old = server.endpoint
    server.restart(tape(), silent=silent)
    net.run(1.0)
    assert client.endpoint.times("stream_lost") == (not silent)
    if silent:
        send(client, b"are you there?")
        net.run(1.0)
    assert client.endpoint.heard[-1] == ("stream_lost", 1)
    tell(client, OpenStream(Link(2), SERVER))
    net.run(1.0)
    assert client.endpoint.heard[-1] == ("stream_opened", 2)
    assert server.endpoint.times("accepted") == 1
    assert old.times("stream_lost") == 0


def test_a_stopped_machine_answers_nothing() -> None:
    net, client, server = pair()
    server.stop(silent=True)
    send(client, b"hello?")
    net.run(100.0)
    assert client.endpoint.heard[-1] == ("stream_opened", 1)


def test_a_connection_given_up_while_it_opens() -> None:
    net, client, server = pair()
    tell(client, OpenStream(Link(2), SERVER), AbortTransport(Link(2)))
    net.run(0.011)
    tell(client, OpenStream(Link(3), SERVER))
    net.run(0.011)
    assert server.endpoint.times("accepted") == 2
    tell(client, AbortTransport(Link(3)))
    net.run(1.0)
    assert server.endpoint.heard[-1] == ("stream_lost", 102)
    assert client.endpoint.times("stream_opened") == 1
    assert client.endpoint.times("stream_lost") == 2


def test_a_cut_concerns_two_hosts() -> None:
    net, client, server = pair()
    net.host("10.0.0.3")
    net.cut("10.0.0.2", "10.0.0.3")
    net.run(1.0)
    send(client, b"still here")
    net.run(1.0)
    assert server.endpoint.data == b"still here"


def test_datagrams_on_their_way_are_lost_in_a_partition() -> None:
    net, client, server = pair()
    tell(client, SendDatagram(b"ping", Path("udp", "10.0.0.1", 4000)))
    net.partition("10.0.0.1", "10.0.0.2")
    net.run(1.0)
    assert server.endpoint.times("receive_datagram") == 0


def test_a_machine_that_sleeps() -> None:
    """Its clock stands still, datagrams are lost, streams wait, no timer rings; then it is told how long it was."""
    net, client, server = pair()
    client.endpoint.wakes = [client.now + 5.0]
    tell(client)
    net.partition("10.0.0.1", "10.0.0.9")
    tell(server, SendDatagram(b"lost", Path("udp", "10.0.0.2", client.sockets["udp"])))
    tell(server, SendBytes(Link(101), b"waits"))
    before = client.now
    client.sleep(60.0)
    assert client.now == before
    assert client.endpoint.times("woken") == 0
    assert client.endpoint.times("resumed") == 1
    net.run(1.0)
    assert client.endpoint.data == b"waits"
    assert client.endpoint.times("receive_datagram") == 0
    net.run(5.0)
    assert client.endpoint.times("woken") == 1
    assert net.is_parted("10.0.0.1", "10.0.0.9")


def test_listeners_pause() -> None:
    net, client, server = pair()
    tell(server, PauseAccepting("tape"))
    for link in range(2, 200):
        tell(client, OpenStream(Link(link), SERVER))
    net.run(1.0)
    assert server.endpoint.times("accepted") == 1
    assert client.endpoint.times("stream_lost") == 198 - 128  # the backlog is full
    tell(client, AbortTransport(Link(2)))
    net.run(1.0)
    tell(server, ResumeAccepting("tape"))
    net.run(1.0)
    assert server.endpoint.times("accepted") == 129
    tell(server, PauseAccepting("tape"))
    tell(client, OpenStream(Link(200), SERVER))
    net.run(1.0)
    server.stop()
    net.run(1.0)
    assert client.endpoint.heard[-1] == ("stream_lost", 200)


def test_lookups() -> None:
    net, client, _ = pair()
    net.name("relay.example", "10.0.0.1", "10.0.0.3")
    tell(client, Lookup(1, "relay.example", 80), Lookup(2, "nowhere.example", 80), Lookup(3, "10.0.0.1", 80))
    net.run(1.0)
    assert client.endpoint.heard[-3:] == [
        ("looked_up", 1, (Address("10.0.0.1", 80), Address("10.0.0.3", 80))),
        ("looked_up", 2, ()),
        ("looked_up", 3, (Address("10.0.0.1", 80),)),
    ]


def test_own_addresses_are_of_the_family_that_is_asked_for() -> None:
    _, client, _ = pair()
    client.host.add_address("2001:db8::2")
    tell(client, OwnAddress(1, Address("10.0.0.1", 80)), OwnAddress(2, Address("2001:db8::1", 80)))
    client.net.run(1.0)
    assert client.endpoint.heard[-2:] == [
        ("looked_up", 1, (Address("10.0.0.2", 0),)),
        ("looked_up", 2, (Address("2001:db8::2", 0),)),
    ]


def datagrams(conditions: Conditions, number: int = 400) -> list[tuple[Any, ...]]:
    net, client, server = pair(conditions)
    for count in range(number):
        tell(client, SendDatagram(count.to_bytes(2, "big"), Path("udp", "10.0.0.1", 4000)))
    net.run(10.0)
    return [said for said in server.endpoint.heard if said[0] == "receive_datagram"]


def test_datagrams_have_bad_luck() -> None:
    plain = datagrams(Conditions())
    assert [said[1] for said in plain] == [count.to_bytes(2, "big") for count in range(400)]
    assert 250 < len(datagrams(Conditions(loss=0.25))) < 350
    assert 450 < len(datagrams(Conditions(duplicate=0.25))) < 550
    mixed = [said[1] for said in datagrams(Conditions(reorder=0.25))]
    assert sorted(mixed) != mixed
    assert len(mixed) == 400
    assert 50 < len({said[1] for said in plain} ^ {said[1] for said in datagrams(Conditions(corrupt=0.25))}) < 250
    assert len(datagrams(Conditions(rate=100, buffer=100))) < 60
    assert datagrams(Conditions(loss=0.3, jitter=0.1)) == datagrams(Conditions(loss=0.3, jitter=0.1))
    assert datagrams(Conditions(corrupt=1.0), 0) == []


def test_what_a_full_way_drops_does_not_keep_it_busy() -> None:
    net, client, server = pair(Conditions(rate=1000, buffer=1000))
    there = Path("udp", "10.0.0.1", 4000)
    tell(client, *(SendDatagram(bytes(1000), there) for _ in range(100)))
    net.run(2.0)
    tell(client, SendDatagram(b"later", there))
    send(client, b"stream")
    net.run(1.0)
    assert [said[1] for said in server.endpoint.heard if said[0] == "receive_datagram"] == [bytes(1000), b"later"]
    assert server.endpoint.data == b"stream"


def test_empty_datagrams_cannot_be_corrupted() -> None:
    net, client, server = pair(Conditions(corrupt=1.0))
    tell(client, SendDatagram(b"", Path("udp", "10.0.0.1", 4000)))
    net.run(1.0)
    assert server.endpoint.heard[-1][:2] == ("receive_datagram", b"")


def natted(**options: Any) -> tuple[VirtualNetwork, Any, Any, Host]:
    net = VirtualNetwork()
    server = net.host("10.0.0.1").run(tape(), listen={"tape": PORT}, sockets={"udp": 4000, "other": 4001})
    router = net.nat("203.0.113.5", **options)
    client = net.host("192.168.0.2", nat=router).run(tape(), sockets={"udp": 7000})
    return net, client, server, net.hosts["203.0.113.5"]


def hello(net: VirtualNetwork, client: Any, server: Any, port: int = 4000) -> Path:
    """The path on which a datagram of the client arrives."""
    tell(client, SendDatagram(b"hello", Path("udp", "10.0.0.1", port)))
    net.run(1.0)
    path = server.endpoint.heard[-1][2]
    assert isinstance(path, Path)
    return path


def answered(net: VirtualNetwork, client: Any, server: Any, path: Path) -> bool:
    before = client.endpoint.times("receive_datagram")
    tell(server, SendDatagram(b"answer", path))
    net.run(1.0)
    return bool(client.endpoint.times("receive_datagram") > before)


def test_a_router_maps_forgets_and_rebinds() -> None:
    net, client, server, router = natted(expiry=30.0)
    path = hello(net, client, server)
    assert path.host == "203.0.113.5"
    assert answered(net, client, server, path)
    assert not answered(net, client, server, attrs.evolve(path, socket="other"))  # a stranger to the router
    assert hello(net, client, server, 4001).port == path.port
    assert answered(net, client, server, attrs.evolve(path, socket="other"))
    net.run(60.0)
    assert not answered(net, client, server, path)
    again = hello(net, client, server)
    assert again.port != path.port
    assert router.router is not None
    router.router.rebind()
    assert not answered(net, client, server, again)
    assert hello(net, client, server).port != again.port
    tell(client, OpenStream(Link(1), SERVER))
    net.run(1.0)
    assert server.endpoint.heard[-1] == ("accepted", "tape", "203.0.113.5")


def test_a_symmetric_router_maps_each_destination() -> None:
    net, client, server, _ = natted(symmetric=True)
    assert hello(net, client, server).port != hello(net, client, server, 4001).port
    net, client, server, _ = natted(open=True)
    assert answered(net, client, server, attrs.evolve(hello(net, client, server), socket="other"))


def test_a_router_hides_its_hosts_from_others_but_not_from_each_other() -> None:
    net, client, server, router = natted(open=True)
    neighbour: Any = net.host("192.168.0.3", nat=router.router).run(tape(), listen={"tape": PORT}, sockets={"udp": 7})
    tell(
        server, SendDatagram(b"in", Path("udp", "192.168.0.2", 7000)), OpenStream(Link(1), Address("192.168.0.3", PORT))
    )
    tell(client, SendDatagram(b"hi", Path("udp", "192.168.0.3", 7)))
    net.run(100.0)
    assert client.endpoint.times("receive_datagram") == server.endpoint.times("stream_opened") == 0
    assert neighbour.endpoint.heard[1:] == [("receive_datagram", b"hi", Path("udp", "192.168.0.2", 7000))]


def test_packets_leave_by_the_address_of_their_targets_version() -> None:
    net, client, server = pair()
    client.host.add_address("fd00::2")
    server.host.add_address("fd00::1")
    tell(
        client,
        *(SendDatagram(b"hi", Path("udp", host, 4000)) for host in ("10.0.0.1", "fd00::1")),
        OpenStream(Link(2), Address("fd00::1", PORT)),
    )
    net.run(1.0)
    assert sorted(path.host for name, *_, path in server.endpoint.heard if name == "receive_datagram") == [
        "10.0.0.2",
        "fd00::2",
    ]
    assert server.endpoint.heard[-1] == ("accepted", "tape", "fd00::2")
    net.partition("fd00::1", "fd00::2")
    for path in (Path("udp", "10.0.0.1", 4000), Path("udp", "fd00::1", 4000)):
        tell(client, SendDatagram(b"again", path))
    net.run(1.0)
    assert server.endpoint.times("receive_datagram") == 3
    only = net.host("10.0.0.3").run(tape(SendDatagram(b"hi", Path("udp", "fd00::1", 4000))), sockets={"udp": 1})
    net.run(1.0)
    assert server.endpoint.heard[-1] == ("receive_datagram", b"hi", Path("udp", "10.0.0.3", only.sockets["udp"]))
    with pytest.raises(ValueError, match="fd00::1 is there already"):
        client.host.add_address("fd00::1")


def test_a_machine_that_moves_leaves_its_streams_behind_and_nobody_is_told() -> None:
    net, client, server = pair()
    send(client, b"on its way")
    tell(server, SendDatagram(b"to the old address", Path("udp", "10.0.0.2", client.sockets["udp"])))
    client.host.move("10.0.0.9")
    send(client, b"into the void")
    send(server, b"as well", 101)
    net.run(100.0)
    assert (client.host.address, client.host.addresses) == ("10.0.0.9", ["10.0.0.9"])
    assert not server.endpoint.data
    assert not client.endpoint.data
    assert client.endpoint.times("stream_lost") == server.endpoint.times("stream_lost") == 0
    assert client.endpoint.times("receive_datagram") == 0
    tell(client, OpenStream(Link(2), SERVER))
    tell(server, SendDatagram(b"to the new one", Path("udp", "10.0.0.9", client.sockets["udp"])))
    net.run(1.0)
    assert server.endpoint.times("accepted") == 2
    assert client.endpoint.times("receive_datagram") == 1
    client.host.add_address("fd00::2")
    client.host.move("10.0.0.2")
    assert client.host.addresses == ["10.0.0.2", "fd00::2"]


def test_a_machine_that_sleeps_is_reached_at_none_of_its_addresses() -> None:
    net, client, server = pair()
    server.host.add_address("fd00::1")
    net.after(1.0, lambda: tell(client, SendDatagram(b"hi", Path("udp", "fd00::1", 4000))))
    server.sleep(10.0)
    net.run(1.0)
    assert server.endpoint.times("receive_datagram") == 0
    tell(client, SendDatagram(b"hi", Path("udp", "fd00::1", 4000)))
    net.run(1.0)
    assert server.endpoint.times("receive_datagram") == 1


def test_who_was_stopped_hears_of_no_failure() -> None:
    net, client, _ = pair()
    tell(client, SendDatagram(b"?", Path("udp", "10.0.0.1", 5)))
    client.stop()
    net.run(1.0)
    assert client.endpoint.times("datagram_failed") == 0


@pytest.mark.parametrize("endless", ["transmits", "timers"])
def test_what_never_stops_breaks_the_contract(endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (driver, network):
        monkeypatch.setattr(module, "ENDLESS", 1000)
    core = tape()
    net = VirtualNetwork()
    node = net.host("10.0.0.1").run(core, sockets={"udp": 4000})
    if endless == "transmits":
        core.next_transmit = lambda: SendDatagram(b"again", Path("udp", "10.0.0.1", 9))
        with pytest.raises(BrokenContract, match="never stops giving out events or transmits, at last None and Send"):
            node.call(lambda _: None)
        return
    core.wakes.append(1.0)
    core.handle_timeout = lambda _: None
    with pytest.raises(BrokenContract, match=r"time stands still at 1\.0; pending: 10\.0\.0\.1: {'alarm': 1\.0}"):
        net.run(2.0)


def test_sockets_are_bound_and_bound_again() -> None:
    net, client, _ = pair()
    bound = client.endpoint.heard[0]
    assert bound[:2] == ("socket_bound", "udp")
    tell(client, Rebind("udp"))
    net.run(1.0)
    assert client.endpoint.heard[-1][:2] == bound[:2]
    assert client.endpoint.heard[-1][2] != bound[2]


def test_timers_wake_on_the_clock_of_their_host() -> None:
    net = VirtualNetwork()
    core = tape()
    node = net.host("10.0.0.1", clock=1000.1).run(core)
    node.call(lambda now: core.wakes.extend([now + 0.7, now + 2.0]))
    node.call(lambda now: core.wakes.insert(0, now + 0.1))
    net.run_until(10.0)
    assert [said[1] for said in core.heard] == [0.0, 0.0, 0.0]
    assert net.now == 10.0
    node.call(lambda now: core.wakes.append(now + 1.0))
    core.wakes[0] += 49.0  # put off: the alarm finds nothing to do
    with pytest.raises(TimeoutError, match="alarm"):
        net.run_until(lambda: False, within=20.0)
    assert net.now == 30.0


def test_events_can_stay_in_the_core() -> None:
    net = VirtualNetwork()
    slow = echo(events=4)
    server = net.host("10.0.0.1").run(slow, listen={"echo": PORT}, auto_drain=False)
    client = net.host("10.0.0.2").run(tape(OpenStream(Link(1), SERVER)))
    net.run(1.0)
    send(client, b"\x02hi" + b"\x05hello" * 20)
    net.run(1.0)
    assert len(slow._events) == 4
    assert server.links[Link(1)].paused
    assert server.take() == [GuestSaid(Link(1), "hello")]
    while server.take(100):
        net.run(1.0)
    assert server.events == [GuestSaid(Link(1), "hello")] * 20
    assert not server.links[Link(1)].paused


def test_beats_stop_when_the_way_is_cut() -> None:
    net = VirtualNetwork()
    here, there = Beat(entropy=ScriptedEntropy()), Beat(entropy=ScriptedEntropy())
    a = net.host("10.0.0.1").run(here, sockets={"udp": 4000})
    b = net.host("10.0.0.2").run(there, sockets={"udp": 4000})
    a.call(lambda now: here.start(now, Path("udp", "10.0.0.2", 4000)))
    b.call(lambda now: there.start(now, Path("udp", "10.0.0.1", 4000)))
    net.run(100.0)
    assert sum(isinstance(event, Heard) for event in a.events) > 10
    net.partition("10.0.0.1", "10.0.0.2")
    net.run(100.0)
    assert a.events[-1] == b.events[-1] == Closed(CloseCause.TIMEOUT)


def test_ways_differ_by_direction() -> None:
    net, client, server = pair()
    net.way("10.0.0.1", "10.0.0.2", Conditions(latency=1.0), back=Conditions(latency=3.0))
    send(server, b"slow", 101)
    send(client, b"slower")
    net.run(2.0)
    assert client.endpoint.data == b"slow"
    assert not server.endpoint.data


def test_scripted_entropy() -> None:
    entropy = ScriptedEntropy({"key": [b"abcd"]}, seed=b"s")
    assert entropy.undrawn == {"key": (b"abcd",)}
    assert entropy(4, purpose="key") == b"abcd"
    other, again = entropy(4, purpose="key"), entropy(4, purpose="key")
    assert len({other, again, entropy(4, purpose="nonce")}) == 3
    assert entropy.undrawn == {}
    assert entropy.draws[1] == Draw("key", other)
    fresh = ScriptedEntropy(seed=b"s")
    fresh(4, purpose="nonce")
    fresh(4, purpose="key")
    assert fresh(4, purpose="key") == other  # purposes do not disturb each other
    with pytest.raises(ValueError, match="3 bytes"):
        ScriptedEntropy({"key": [b"abc"]})(4, purpose="key")
    stateless = ScriptedEntropy({"key": [b"ab"]}, seed=b"s", stateless=True)
    assert stateless(2, purpose="key") == stateless(2, purpose="key") == b"ab"
    assert stateless(9, purpose="x") == stateless(9, purpose="x")
    assert not stateless.draws

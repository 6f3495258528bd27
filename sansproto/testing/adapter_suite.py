"""The test suite that every adapter passes, whatever it is built on: subclass :class:`AdapterSuite` in a test module.

::

    class TestMyAdapter(AdapterSuite):
        harness = MyHarness()

An :class:`AdapterHarness` shows the suite how a runner of the adapter is started; what it gives is a :class:`Running`,
which can be called and left. The suite drives a :class:`ScriptedEndpoint`; real TCP and UDP sockets of this machine are
at the other end. One test runs in a process of its own, which imports the module of your class.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

import pytest

from ..contract import (
    AbortTransport,
    Address,
    CloseTransport,
    CloseWrite,
    Link,
    Lookup,
    OwnAddress,
    Path,
    PauseAccepting,
    PauseReading,
    Rebind,
    ResumeAccepting,
    ResumeReading,
    SendBytes,
    SendDatagram,
    SendError,
)
from ._internal.adapter_application import ApplicationTests
from ._internal.adapter_harness import (
    LOCAL,
    PATIENCE,
    AdapterHarness,
    Running,
    World,
    await_reset,
    count_descriptors,
    read,
    reset,
    until,
)
from ._internal.scripted_endpoint import CHUNK, Report, ScriptedEndpoint

HOSTS = ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])]

__all__ = ["LOCAL", "PATIENCE", "AdapterHarness", "AdapterSuite", "Report", "Running", "ScriptedEndpoint"]


@contextmanager
def clean_world(harness: AdapterHarness) -> Iterator[World]:
    """A world in which runners are started, and which checks at its end that they have left nothing behind."""
    threads, files = set(threading.enumerate()), count_descriptors()
    world = World(harness)
    try:
        yield world
    finally:
        world.end()
    assert harness.leftovers() == []
    for thread in set(threading.enumerate()) - threads:
        thread.join(PATIENCE)  # one that ends by itself, such as a look-up's, is no leak
        assert not thread.is_alive(), f"left behind: {thread}"
    assert count_descriptors() == files, "descriptors were left open"


class AdapterSuite(ApplicationTests):
    """Every test starts its own runner, and ends with no descriptor, thread or task left, no mistake noted by the
    endpoint, and ``stream_lost`` reported exactly once for each of its links."""

    harness: ClassVar[AdapterHarness]

    @pytest.fixture
    def world(self) -> Iterator[World]:
        with clean_world(self.harness) as world:
            yield world

    # -- streams

    def test_accepts_and_echoes(self, world: World) -> None:
        running = world.start(ScriptedEndpoint(echo=True))
        peer = world.dial(running)
        accepted = until(running, "accepted")
        assert accepted.value == ("in", Address(*peer.getsockname()))
        peer.sendall(b"hello")
        assert read(peer, 5) == b"hello"

    def test_connects_and_reads(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, listen={})
        server = world.own(socket.create_server(LOCAL))
        link = running.call(lambda _: endpoint.open(Address(*server.getsockname())))
        peer = world.own(server.accept()[0])
        assert until(running, "opened").link == link
        running.call(lambda _: endpoint.do(SendBytes(link, b"ping")))
        assert read(peer, 4) == b"ping"
        peer.sendall(b"pong")
        assert until(running, "data", link).value == b"pong"

    def test_reports_a_refused_connection_as_lost(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, listen={})
        bound = world.own(socket.socket())
        bound.bind(LOCAL)  # and does not listen
        link = running.call(lambda _: endpoint.open(Address(*bound.getsockname())))
        lost = until(running, "lost")
        assert lost.link == link
        assert lost.value, "the detail says why"

    def test_reports_an_address_that_no_socket_takes_as_lost(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, listen={})
        link = running.call(lambda _: endpoint.open(Address("255.255.255.255", 9)))
        assert until(running, "lost").link == link

    def test_aborts_a_connection_that_is_not_there_yet(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, listen={})
        full = world.own(socket.create_server(LOCAL, backlog=0))
        for _ in range(2):  # its queue: further connections hang
            waiting = world.own(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        link = running.call(lambda _: endpoint.open(Address(*full.getsockname())))
        running.call(lambda _: endpoint.do(AbortTransport(link)))
        assert until(running, "lost").link == link

    def test_carries_a_thousand_links(self, world: World) -> None:
        running = world.start(ScriptedEndpoint(echo=True))
        peers = [world.dial(running) for _ in range(1000)]
        for number, peer in enumerate(peers):
            peer.sendall(number.to_bytes(2))
        for number, peer in enumerate(peers):
            assert read(peer, 2) == number.to_bytes(2)

    def test_a_slow_reader_gets_everything(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running, receive_buffer=32768)
        size = 128 << 20  # more than any kernel buffers
        running.call(lambda _: endpoint.send_much(link, size))
        until(running, "blocked", link)
        assert endpoint.given[link] < size // 2, "the adapter takes more than it can send"
        for _ in range(size // len(CHUNK)):
            assert read(peer, len(CHUNK)) == CHUNK
        until(running, "unblocked", link)

    def test_a_peer_that_never_reads_holds_up_no_other(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        deaf, link = world.linked(running, receive_buffer=32768)
        other, other_link = world.linked(running)
        running.call(lambda _: endpoint.send_much(link, 1 << 30))
        until(running, "blocked", link)
        other.sendall(b"still there?")
        until(running, "data", other_link)
        running.call(lambda _: endpoint.do(SendBytes(other_link, b"yes")))
        assert read(other, 3) == b"yes"
        running.call(lambda _: endpoint.do(AbortTransport(link)))
        until(running, "lost", link)
        await_reset(deaf)

    def test_back_pressure_reaches_a_peer_that_sends_and_does_not_read(self, world: World) -> None:
        running = world.start(ScriptedEndpoint(echo=True))
        peer, link = world.linked(running, receive_buffer=32768)
        sender = threading.Thread(target=peer.sendall, args=(CHUNK * 512,))
        sender.start()
        until(running, "blocked", link)
        for _ in range(512):
            assert read(peer, len(CHUNK)) == CHUNK
        sender.join()

    def test_an_endless_supply_of_transmits_starves_no_socket(self, world: World) -> None:
        endpoint = ScriptedEndpoint(echo=True)
        running = world.start(endpoint)
        peer = world.dial(running)
        endpoint.endless = ResumeReading(Link(999))
        running.call(lambda _: None)
        peer.sendall(b"hello")
        assert read(peer, 5) == b"hello"
        endpoint.endless = None

    # -- how links end

    def test_half_closes_both_ways(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)
        running.call(lambda _: endpoint.do(SendBytes(link, b"all"), CloseWrite(link)))
        assert read(peer, 3) == b"all"
        assert peer.recv(1) == b""
        peer.sendall(b"not yet")
        assert until(running, "data", link).value == b"not yet"
        peer.shutdown(socket.SHUT_WR)
        until(running, "eof", link)
        running.call(lambda _: endpoint.do(CloseTransport(link)))
        until(running, "lost", link)

    def test_answers_after_the_end_of_what_it_reads(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)
        peer.sendall(b"question")
        peer.shutdown(socket.SHUT_WR)
        until(running, "eof", link)
        running.call(lambda _: endpoint.do(SendBytes(link, b"answer"), CloseTransport(link)))
        assert read(peer, 6) == b"answer"
        assert peer.recv(1) == b""
        until(running, "lost", link)

    def test_closing_delivers_what_was_sent_though_something_is_unread(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)
        running.call(lambda _: endpoint.do(PauseReading(link)))
        peer.sendall(b"nobody reads this")
        last_words = CHUNK * 256  # many times what the kernel takes at once
        running.call(lambda _: endpoint.do(SendBytes(link, last_words), CloseTransport(link)))
        assert read(peer, len(last_words)) == last_words
        assert peer.recv(1) == b""
        peer.close()
        until(running, "lost", link)

    def test_late_data_after_closing_is_harmless(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)
        running.call(lambda _: endpoint.do(CloseTransport(link)))
        assert peer.recv(1) == b""
        with suppress(ConnectionError):
            for _ in range(16):
                peer.sendall(CHUNK)
        peer.close()
        until(running, "lost", link)
        running.call(lambda _: endpoint.do(AbortTransport(link), PauseReading(link), ResumeReading(link)))

    def test_reports_a_reset(self, world: World) -> None:
        running = world.start(ScriptedEndpoint())
        peer, link = world.linked(running)
        reset(peer)
        assert until(running, "lost", link).value, "the detail says why"

    @pytest.mark.parametrize("noticed_by", ["reading", "writing"])
    def test_reports_a_reset_of_a_paused_link(self, world: World, noticed_by: str) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)
        running.call(lambda _: endpoint.do(PauseReading(link)))
        peer.sendall(b"unread")
        reset(peer)
        running.call(lambda _: endpoint.do(SendBytes(link, b"x") if noticed_by == "writing" else ResumeReading(link)))
        until(running, "lost", link)

    def test_reports_the_end_of_a_paused_link_when_it_is_resumed(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)
        running.call(lambda _: endpoint.do(PauseReading(link)))
        peer.sendall(b"bye")
        peer.close()
        running.call(lambda _: endpoint.do(ResumeReading(link)))
        assert until(running, "data", link).value == b"bye"
        until(running, "eof", link)
        running.call(lambda _: endpoint.do(CloseTransport(link)))
        until(running, "lost", link)

    def test_reports_a_reset_of_a_blocked_link(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running, receive_buffer=32768)
        running.call(lambda _: endpoint.do(PauseReading(link)))
        running.call(lambda _: endpoint.send_much(link, 1 << 30))
        until(running, "blocked", link)
        reset(peer)
        until(running, "lost", link)

    def test_a_link_that_can_no_longer_be_written_takes_nothing_more(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)

        def reset_and_send(_: float) -> None:
            """Both before the adapter looks at its sockets again."""
            reset(peer)
            endpoint.send_much(link, 1 << 30)

        running.call(reset_and_send)
        until(running, "lost", link)
        assert endpoint.given[link] <= len(CHUNK), "what cannot be sent was taken all the same"

    # -- listeners, names, timers, datagrams

    def test_pauses_and_resumes_accepting(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, listen={"in": LOCAL, "other": LOCAL})
        running.call(lambda _: endpoint.do(PauseAccepting("in")))
        while running.call(lambda _: endpoint.has_output):  # an adapter may carry it out later
            time.sleep(0.001)
        world.dial(running, "in")
        world.dial(running, "other")
        assert until(running, "accepted").value[0] == "other"
        running.call(lambda _: endpoint.do(ResumeAccepting("in")))
        assert until(running, "accepted").value[0] == "in"

    def test_listens_on_several_addresses(self, world: World) -> None:
        running = world.start(ScriptedEndpoint(), listen={"in": [LOCAL, ("127.0.0.2", 0)], "any": ("", 0)})
        port = running.addresses["in"].port
        world.own(socket.create_connection(("127.0.0.2", port)))
        assert until(running, "accepted").value[0] == "in"
        peer = world.own(socket.create_connection(("127.0.0.1", running.addresses["any"].port)))
        assert until(running, "accepted").value == ("any", Address(*peer.getsockname())), "v4-in-v6 is unmapped"

    def test_says_that_an_address_is_taken(self, world: World) -> None:
        taken = world.own(socket.create_server(LOCAL))
        endpoint = ScriptedEndpoint()
        untouched = endpoint.snapshot()
        with pytest.raises(OSError, match="in use"):
            world.start(endpoint, listen={"free": LOCAL, "taken": taken.getsockname()})
        assert endpoint.snapshot() == untouched, "it can be run elsewhere"
        world.start(endpoint)

    def test_looks_names_up(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        running.call(lambda _: endpoint.do(Lookup(7, "localhost", 80)))
        query, addresses = until(running, "looked up").value
        assert query == 7
        assert set(addresses) & {Address("127.0.0.1", 80), Address("::1", 80)}

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_finds_out_its_own_address_on_a_way(self, world: World, host: str) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        running.call(lambda _: endpoint.do(OwnAddress(7, Address(host, 80))))
        query, addresses = until(running, "looked up").value
        assert query == 7
        assert [address.host for address in addresses] in ([host], [] if ":" in host else [host])

    def test_has_no_own_address_where_no_way_leads(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        running.call(lambda _: endpoint.do(OwnAddress(8, Address("fe80::1", 80, 1 << 20))))
        assert until(running, "looked up").value == (8, ())

    @pytest.mark.parametrize("name", ["x" * 64, "::1%no such zone", ""])
    def test_a_failed_lookup_has_no_addresses(self, world: World, name: str) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        running.call(lambda _: endpoint.do(Lookup(8, name or "a..b", 80)))
        assert until(running, "looked up").value == (8, ())

    def test_timers_fire_and_not_early(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)

        def arm(delay: float) -> float:
            def verb(now: float) -> float:
                endpoint.arm(now + delay)
                return now + delay

            return running.call(verb)

        arm(1e10)  # longer than any system call waits
        running.call(lambda _: endpoint.do(Lookup(9, "localhost", 80)))
        until(running, "looked up")
        arm(1000.0)
        for delay in (0.03, 0.0, 0.0123):  # each sooner than what it replaces
            at = arm(delay)
            assert until(running, "timer").value >= at
            assert running.call(lambda now: now) >= at, "the time that it was woken with had not come"

    def test_carries_datagrams_both_ways(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, sockets={"udp": LOCAL})
        bound = until(running, "bound")
        assert bound.value == ("udp", running.addresses["udp"])
        peer = world.own(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        peer.bind(LOCAL)
        path = Path("udp", *peer.getsockname())
        running.call(lambda _: endpoint.do(SendDatagram(b"", path)))
        data, sender = peer.recvfrom(100)
        assert (data, Address(*sender)) == (b"", running.addresses["udp"])
        peer.sendto(b"pong", sender)
        assert until(running, "datagram").value == (b"pong", path)

    @pytest.mark.parametrize("host", HOSTS)
    def test_addresses_of_datagrams_are_those_of_their_family(self, world: World, host: str) -> None:
        """A socket for both families has mapped addresses; the endpoint has none."""
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, sockets={"udp": ("", 0)})
        family = socket.AF_INET6 if host == "::1" else socket.AF_INET
        peer = world.own(socket.socket(family, socket.SOCK_DGRAM))
        peer.bind((host, 0))
        path = Path("udp", host, peer.getsockname()[1])
        peer.sendto(b"ping", (host, running.addresses["udp"].port))
        assert until(running, "datagram").value == (b"ping", path), "v4-in-v6 is unmapped"
        running.call(lambda _: endpoint.do(SendDatagram(b"pong", path)))
        assert peer.recvfrom(100)[0] == b"pong"

    def test_rebinds_to_another_port(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, sockets={"udp": LOCAL})
        before = until(running, "bound").value[1]
        running.call(lambda _: endpoint.do(Rebind("udp")))
        after = until(running, "bound").value[1]
        assert after.port != before.port
        assert running.addresses["udp"] == after
        peer = world.own(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        peer.sendto(b"hello", (after.host, after.port))
        assert until(running, "datagram").value[0] == b"hello"

    def test_reports_a_datagram_that_cannot_be_sent(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, sockets={"udp": LOCAL})
        path = Path("udp", "::1", 9)  # by an IPv4 socket
        running.call(lambda _: endpoint.do(SendDatagram(b"x", path)))
        assert until(running, "datagram failed").value == (path, SendError.OTHER)

    def test_tells_a_datagram_that_is_too_long_from_others(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, sockets={"udp": LOCAL})
        path = Path("udp", "127.0.0.1", 9)
        running.call(lambda _: endpoint.do(SendDatagram(bytes(70_000), path)))
        assert until(running, "datagram failed").value == (path, SendError.TOO_BIG)

    def test_tells_of_a_sleep_when_a_timer_is_called_late(self, world: World) -> None:
        """Seconds late: the program was stopped, or the machine slept and its monotonic clock went on."""
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        running.call(lambda now: endpoint.arm(now - 10))
        assert until(running, "resumed").value == 0
        running.call(lambda now: endpoint.arm(now - 1))
        running.call(lambda now: endpoint.network_changed(now))
        assert until(running, "network changed").name == "network changed"

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of descriptors to reach")
    def test_without_descriptors_it_neither_spins_nor_breaks(self) -> None:
        child = multiprocessing.get_context("spawn").Process(target=_run_short_of_descriptors, args=(type(self),))
        child.start()
        child.join(3 * PATIENCE)  # threads that are left in it keep it alive
        child.kill()
        child.join()
        assert child.exitcode == 0, "see its standard error"


def _run_short_of_descriptors(suite: type[AdapterSuite]) -> None:
    """Connections come when there is no descriptor left; then there are some again, but fewer than connections."""
    import resource

    world = World(suite.harness)
    endpoint = ScriptedEndpoint(echo=True)
    running = world.start(endpoint)
    address = running.addresses["in"]
    peers = [world.own(socket.socket()) for _ in range(30)]
    highest = max(int(name) for name in os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 9, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    taken = []
    with suppress(OSError):
        while True:
            taken.append(os.dup(0))
    for peer in peers:
        peer.connect((address.host, address.port))
    until(running, "lost", running.call(lambda _: endpoint.open(address)))

    cpu, wall = time.process_time(), time.monotonic()
    time.sleep(2.0)
    used = (time.process_time() - cpu) / (time.monotonic() - wall)
    assert used < 0.05, f"{used:.0%} of a CPU while there is nothing to do"
    assert not endpoint.live, "descriptors were not short"

    for descriptor in taken[:5]:
        os.close(descriptor)
    for peer in peers:  # each makes room for one more
        peer.sendall(b"at last")
        assert read(peer, 7) == b"at last"
        peer.close()
    world.end()

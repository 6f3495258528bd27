"""The part of the suite for adapters that is about the application: its calls, its waiting, its leaving."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from ...contract import Path, Phase, Rebind, SendDatagram
from ...errors import NotOpen, UnboundSocket
from ...events import CloseCause, Closed
from .adapter_harness import LOCAL, PATIENCE, Running, World, await_reset, begin_to_wait, read, read_to_the_end, until
from .scripted_endpoint import CHUNK, ScriptedEndpoint


class ApplicationTests:
    """The tests of what an adapter promises to the application."""

    def test_takes_no_event_that_nobody_asked_for(self, world: World) -> None:
        endpoint = ScriptedEndpoint(echo=True)
        running = world.start(endpoint)
        peer = world.dial(running)
        peer.sendall(b"x")
        assert read(peer, 1) == b"x"
        assert endpoint.polled == 0

    def test_taking_an_event_resumes_reading(self, world: World) -> None:
        running = world.start(ScriptedEndpoint())
        peer, link = world.linked(running)
        sender = threading.Thread(target=peer.sendall, args=(CHUNK * 64,))
        sender.start()
        size = 0
        while size < len(CHUNK) * 64:
            size += len(until(running, "data", link).value)
        sender.join()

    def test_a_cancelled_wait_loses_no_event(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, sockets={"udp": LOCAL})
        until(running, "bound")
        peer = world.own(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        address = running.addresses["udp"]
        found: list[bytes] = []
        with pytest.raises(TimeoutError):
            running.next_event(timeout=0.001)
        for number in range(50):
            peer.sendto(bytes([number]), (address.host, address.port))
            with suppress(TimeoutError):
                found.append(running.next_event(timeout=number / 100000).value[0])
            while len(found) <= number:
                found.append(running.next_event(PATIENCE).value[0])
        assert found == [bytes([number]) for number in range(50)]

    def test_closing_twice_is_closing_once(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, _ = world.linked(running)
        running.call(endpoint.close)
        running.call(endpoint.close)
        assert read(peer, 8) == b"farewell"
        assert peer.recv(1) == b""
        peer.close()
        until(running, "lost")
        assert running.next_event(PATIENCE) == Closed(CloseCause.LOCAL)
        for _ in range(2):
            with pytest.raises(NotOpen):
                running.next_event(PATIENCE)

    def test_leaving_closes_politely(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, _ = world.linked(running)
        said = read_to_the_end(peer, 8)
        world.leave(running)
        assert said() == [b"farewell", b""], "an orderly end"
        assert endpoint.phase is Phase.CLOSED
        assert endpoint.next_event() is None, "what nobody took is discarded"
        with pytest.raises(NotOpen):
            running.call(lambda _: None)

    @pytest.mark.parametrize("leave", [World.leave, World.cancel], ids=["as usual", "by an exception"])
    def test_leaving_does_not_wait_for_ever(self, world: World, leave: Callable[[World, Running], None]) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, linger=0.1)
        deaf, link = world.linked(running, receive_buffer=32768)
        running.call(lambda _: endpoint.send_much(link, 1 << 30))
        until(running, "blocked")
        leave(world, running)
        assert endpoint.lost[link] == 1
        await_reset(deaf)

    def test_an_exception_in_the_body_says_goodbye_too(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)
        said = read_to_the_end(peer, 8)
        world.cancel(running)
        assert said() == [b"farewell", b""]
        assert endpoint.phase is Phase.CLOSED
        assert endpoint.lost[link] == 1

    def test_who_waits_while_the_runner_is_left_learns_of_it(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        waiting = begin_to_wait(running, endpoint)
        world.leave(running)
        with pytest.raises(NotOpen):
            waiting.result(PATIENCE)

    def test_of_two_who_wait_none_is_forgotten(self, world: World) -> None:
        """Each gets an event, or the second one RuntimeError."""
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        waiting = [begin_to_wait(running, endpoint) for _ in range(2)]

        def make_two_events(now: float) -> None:
            endpoint.network_changed(now)
            endpoint.resumed(now, asleep=9.0)

        running.call(make_two_events)
        found = {waiting[0].result(PATIENCE).name}
        try:
            found.add(waiting[1].result(PATIENCE).name)
        except RuntimeError:
            found.add(running.next_event(PATIENCE).name)
        assert found == {"network changed", "resumed"}

    def test_a_bug_of_the_endpoint_reaches_who_waits(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)
        waiting = begin_to_wait(running, endpoint)
        endpoint.bug = ZeroDivisionError("of the endpoint")
        peer.sendall(b"x")
        with pytest.raises(ZeroDivisionError):
            waiting.result(PATIENCE)
        with pytest.raises(ZeroDivisionError):
            world.leave(running)
        endpoint.live.discard(link)  # one that raises is told no more

    def test_a_bug_of_the_endpoint_surfaces(self, world: World) -> None:
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint)
        peer, link = world.linked(running)
        endpoint.bug = ZeroDivisionError("of the endpoint")
        peer.sendall(b"x")
        with pytest.raises(ZeroDivisionError):
            running.next_event(PATIENCE)
        await_reset(peer)
        with pytest.raises(ZeroDivisionError):
            running.call(lambda _: None)
        with pytest.raises(ZeroDivisionError):
            world.leave(running)
        endpoint.live.discard(link)  # one that raises is told no more

    @pytest.mark.parametrize(
        "transmit", [SendDatagram(b"x", Path("upd", "127.0.0.1", 9)), Rebind("upd")], ids=["send", "rebind"]
    )
    def test_a_socket_that_is_not_there_is_told(self, world: World, transmit: SendDatagram | Rebind) -> None:
        """Otherwise a wrong label would never be noticed."""
        endpoint = ScriptedEndpoint()
        running = world.start(endpoint, sockets={"udp": LOCAL})
        until(running, "bound")

        def call_and_wait() -> None:
            running.call(lambda _: endpoint.do(transmit))
            running.next_event(PATIENCE)

        with pytest.raises(UnboundSocket, match=r"'upd' \(there are: 'udp'\)"):
            call_and_wait()
        with pytest.raises(UnboundSocket):
            world.leave(running)

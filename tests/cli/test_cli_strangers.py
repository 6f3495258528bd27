"""A receiver among strangers, of whom none has the password: over real sockets, with servers of our own and by hand."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from secrets import token_bytes

import pytest
from cli_commands import PASSWORD, PATIENCE, Command, Place

from sansproto.bob import Client, PeerAgreed, PeerEvent, PeerFailed, Registered, Relay, RelayLimits, Server
from sansproto.bob import packets as p
from sansproto.errors import Fault, WireError
from sansproto_cli import relaying
from sansproto_sockets import system_entropy
from sansproto_threads import Runner, run

TOLD = 8
_POINT = b"\x58" + b"\x66" * 31


def _wait_for(runner: Runner[PeerEvent], kind: type[PeerEvent]) -> None:
    while not isinstance(runner.next_event(timeout=PATIENCE), kind):
        pass


@contextmanager
def _stranger(place: Place) -> Iterator[Runner[PeerEvent]]:
    """A sender that has another password, and is at the relay."""
    server = Server(
        relay=("127.0.0.1", place.port),
        secure_port=place.secure_port,
        password=b"another",
        entropy=system_entropy,
    )
    with run(server, linger=1.0) as runner:
        runner.call(server.connect)
        _wait_for(runner, Registered)
        yield runner
        runner.call(server.close)


def _public(count: int) -> bytes:
    return p.PublicParameters(1, count, p.Cipher.AES_256_GCM, p.Cipher.AES_256_GCM, token_bytes(16)).encode()


class _Hand:
    """Writes and reads packets by hand."""

    def __init__(self, stream: socket.socket) -> None:
        self.socket = stream
        self.socket.settimeout(PATIENCE)
        self._read = b""

    def put(self, uid: int, packet: p.BobPacket) -> None:
        self.socket.sendall(p.encode(uid, packet))

    def get(self, kind: type[p.BobPacket]) -> int:
        """The next packet of this kind: from whom?"""
        while True:
            try:
                header, packet, end = p.FRAME.decode_prefix(self._read, 0)
            except WireError as error:
                if error.fault is not Fault.TRUNCATED:
                    raise
                data = self.socket.recv(65536)
                assert data, "the other end closed the connection"
                self._read += data
                continue
            self._read = self._read[end:]
            if isinstance(packet, kind):
                return header.uid


def test_strangers_do_not_end_a_receiver_while_the_right_sender_is_there(place: Place) -> None:
    """One has another password, and two keep it computing for longer than it used to wait then."""
    path = place.folder / "a"
    path.write_bytes(b"1")
    with ExitStack() as there:
        there.enter_context(_stranger(place))
        for _ in range(2):
            hand = _Hand(there.enter_context(socket.create_connection(("127.0.0.1", place.port))))
            hand.put(p.RELAY, p.HelloAsServer(_public(1_000_000)))
            hand.get(p.ServerIdentity)
        sender = place.send(path)
        sender.wait_for("type")
        receiver = place.receive("-y").wait()
        assert receiver.code == 0, receiver.err
        assert "has another password" in receiver.out
        assert sender.wait().code == 0
    assert place.received == ["a"]


@contextmanager
def _knowing(place: Place) -> Iterator[Runner[PeerEvent]]:
    """A receiver that knows the password, and thinks."""
    client = Client(
        relay=("127.0.0.1", place.port),
        secure_port=place.secure_port,
        password=PASSWORD.encode(),
        entropy=system_entropy,
    )
    with run(client, linger=1.0) as runner:
        runner.call(client.connect)
        _wait_for(runner, PeerAgreed)
        yield runner


def test_a_sender_says_who_else_knows_the_password(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    sender = place.send(path)
    with _knowing(place):
        assert place.receive("-y").wait().code == 0
        result = sender.wait()
    assert result.code == 0
    assert result.out.count("knows the password, too, and gets nothing: start again to send it there.") == 1


_EVENTS = 8


def _keep_few_events() -> None:
    """As many as make a relay deaf if nobody takes them."""
    relaying.Relay = partial(Relay, limits=RelayLimits(events=_EVENTS))  # type: ignore[misc, assignment]


def test_a_relay_of_our_own_hears_its_receiver_after_many_visits(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    ports = "--bind", "127.0.0.1", "--port", 0, "--secure-port", 0
    sender = place.start("send", path, *ports, "-p", PASSWORD, "--json", before=_keep_few_events)
    sender.wait_for('"waiting"')
    where = next(event for line in sender.wait_for("}\n").splitlines() if (event := json.loads(line)).get("port"))
    with ExitStack() as there:
        for number in range(2 * _EVENTS):
            hand = _Hand(there.enter_context(socket.create_connection(("127.0.0.1", where["port"]))))
            hand.put(p.RELAY, p.HelloAsClient())
            hand.get(p.ClientIdentity)
            if number:  # one of them stays
                hand.socket.close()
        at = "--relay", f"127.0.0.1:{where['port']}", "--secure-port", where["secure_port"]
        assert place.start("receive", PASSWORD, *at, "-y", "-o", place.inbox).wait().code == 0
        result = sender.wait()
    assert (result.code, place.received) == (0, ["a"])
    assert result.event("warning") == {"event": "warning", "reason": "second", "count": 1}


def test_a_sender_with_another_password_is_told_at_once_and_decides_how_the_wait_ends(place: Place) -> None:
    with _stranger(place):
        receiver = place.receive("-y", "--timeout", 3)
        assert "Still waiting" in receiver.wait_for("has another password")
        result = receiver.wait()
        assert (result.code, result.err.count("\n")) == (4, 1)
        assert "The password is wrong" in result.err


def test_one_that_left_does_not(place: Place) -> None:
    with _stranger(place):
        receiver = place.receive("-y", "--timeout", 6)
        receiver.wait_for("has another password")
    result = receiver.wait()
    assert (result.code, result.err.count("\n")) == (3, 1)
    assert "No sender came" in result.err


def test_many_strangers_are_not_told_one_by_one(place: Place) -> None:
    with ExitStack() as there:
        strangers = [there.enter_context(_stranger(place)) for _ in range(TOLD + 4)]
        receiver = place.receive("-y")
        for runner in strangers:
            _wait_for(runner, PeerFailed)
        receiver.signal(signal.SIGINT)
        result = receiver.wait()
    assert result.code == 130
    told = [line for line in result.out.splitlines() if "has another password" in line]
    assert len(told) == len(set(told)) == TOLD
    assert ["not shown" in line for line in told] == [False] * (TOLD - 1) + [True]


@contextmanager
def _relay_by_hand(place: Place) -> Iterator[tuple[Command, _Hand]]:
    """A receiver that has said hello to a relay of ours, by hand."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = f"127.0.0.1:{listener.getsockname()[1]}"
        receiver = place.start("receive", PASSWORD, "--relay", relay, "-o", place.inbox, "-y", "--json")
        hand = _Hand(listener.accept()[0])
        with hand.socket:
            hand.get(p.HelloAsClient)
            hand.put(p.RELAY, p.ClientIdentity("127.0.0.1:1"))
            yield receiver, hand


def _fail(hand: _Hand) -> None:
    """A server with another password comes."""
    hand.put(p.RELAY, p.NewServer(1, _public(1), "127.0.0.1:2"))
    hand.get(p.XAndClientIdentity)
    hand.put(1, p.YAndServerValidator(_POINT, bytes(64)))
    hand.get(p.SpokeFailure)


def test_a_stranger_that_fails_again_is_told_once(place: Place) -> None:
    """Which a relay of ours does not let it do."""
    with _relay_by_hand(place) as (receiver, hand):
        for _ in range(2):
            _fail(hand)
        receiver.signal(signal.SIGINT)
        result = receiver.wait()
    assert [event["identity"] for event in result.events if event["event"] == "warning"] == ["127.0.0.1:2"]


@pytest.mark.parametrize("stays", [True, False])
def test_a_stranger_who_stays_decides_also_how_it_ends_when_the_relay_ends_it(place: Place, stays: bool) -> None:
    with _relay_by_hand(place) as (receiver, hand):
        _fail(hand)
        if not stays:
            hand.put(p.RELAY, p.PeerClosed(1))
        hand.put(p.RELAY, p.Timeout())
        result = receiver.wait()
    assert result.code == (4 if stays else 3)

"""What no conversation reaches: arguments that are refused, and the rarest turns of the machines."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
import pytest
from scripted_bob import RelayPeer

from sansproto.bob import (
    RELAY_PORT,
    SECURE_PORT,
    Channel,
    Client,
    Departure,
    PeerDelays,
    PeerLeft,
    PeerLimits,
    Relay,
    RelayLimits,
    RoomClosed,
    RoomOpened,
    Server,
)
from sansproto.bob import packets as p
from sansproto.bob.announcements import AnnouncementLog
from sansproto.bob.crypto import RecordCipher, RecordKey
from sansproto.contract import AbortTransport, Address, Link, SendBytes
from sansproto.errors import Fault, WireError
from sansproto.events import CloseCause, Closed, DataReceived, Writable
from sansproto.testing._internal.meter import measured
from sansproto.testing.operations import Data, Opened

ARGUMENTS: dict[str, Any] = {
    "relay": ("192.0.2.1", 9000),
    "secure_port": 9001,
    "password": b"password",
    "entropy": lambda n, *, purpose: bytes(n),
}


def test_arguments_that_make_no_sense_are_refused() -> None:
    for count in (0, 10**6 + 1):
        with pytest.raises(ValueError, match="count"):
            Server(**ARGUMENTS, count=count)
    with pytest.raises(ValueError, match="linger"):
        PeerDelays(linger=0.0)
    for kind in (PeerLimits, RelayLimits):
        for limit in attrs.fields(kind):
            for nothing in (-1, -limit.default) if limit.name == "free_guesses" else (0, -1):
                with pytest.raises(ValueError, match=limit.name):
                    kind(**{limit.name: nothing})


def test_a_record_is_at_most_32767_bytes_long() -> None:
    with pytest.raises(WireError) as caught:
        p.Record.decode(b"\x80\x00" + bytes(40000))
    assert caught.value.fault is Fault.BAD_LENGTH


def test_a_record_says_how_long_its_plaintext_is() -> None:
    record = p.Record(bytes(3 + p.TAG_SIZE))
    assert record.encode() == b"\0\3" + record.sealed
    assert p.Record.decode(record.encode()) == record


def test_there_is_no_room_for_data_before_the_channel_and_some_in_it() -> None:
    assert Client(**ARGUMENTS).capacity == 0
    channel = Channel(send_key=RecordKey(bytes(32), bytes(12)), receive_key=None)
    before = channel.capacity
    channel.send(bytes(1000), 0.0)
    assert channel.capacity == before - 1018
    assert channel.take_trailing_data() == b""


def unread(records: int, **limits: int) -> Channel:
    """A channel with which nobody has talked yet, and so many records of one byte that have arrived."""
    key = RecordKey(bytes(32), bytes(12))
    channel = Channel(send_key=key, receive_key=key, limits=PeerLimits(**limits))
    seal = RecordCipher(key).seal
    channel.receive_data(b"".join(seal(number, b"x") for number in range(records)), 0.0)
    return channel


def test_small_records_take_no_more_memory_than_others() -> None:
    channel = unread(1000, receive_buffer=6400)
    assert len(channel.channel.received) == 100
    assert not channel.wants_data
    events = drain(channel)
    assert events == [DataReceived(b"x")] * 1000
    assert channel.wants_data


def test_there_is_room_to_send_again_at_no_cost_whatever_is_unread() -> None:
    channel = unread(1000, send_buffer=100)
    for size in (1000, 1):
        channel.send(bytes(size), 0.0)
    _, cost = measured(channel.next_transmit)
    assert drain(channel)[-1] == Writable()
    assert cost < 100


def test_a_channel_that_is_over_ends_once() -> None:
    channel = Channel(send_key=None, receive_key=None)
    channel.abort()
    channel.transport_lost(1.0, detail="unplugged")
    assert drain(channel) == [Closed(CloseCause.ABORTED)]
    assert channel.stats.dropped == {"closed": 1}


def test_an_end_that_came_before_is_the_end() -> None:
    channel = Channel(send_key=None, receive_key=None)
    channel.abort()
    channel.abort()
    assert drain(channel) == [Closed(CloseCause.ABORTED)]
    client = Client(**ARGUMENTS)
    client.abort()
    client.looked_up(1, (), 1.0)
    assert client.stats.dropped == {"closed": 1}


@pytest.mark.parametrize("cut", range(57))
def test_an_empty_record_is_no_event_and_a_channel_that_is_full_wants_no_data(cut: int) -> None:
    """However much of what is there comes with one more read."""
    key = RecordKey(bytes(32), bytes(12))
    channel = Channel(send_key=None, receive_key=key, limits=PeerLimits(receive_buffer=1))
    cipher = RecordCipher(key)
    assert channel.wants_data
    records = b"".join(cipher.seal(number, said) for number, said in enumerate((b"", b"a", b"b")))
    for read in (records[:cut], records[cut:]):
        channel.receive_data(read, 0.0)
    assert not channel.wants_data
    assert channel.stats.packets_received == 2
    assert drain(channel) == [DataReceived(b"a"), DataReceived(b"b")]
    assert channel.stats.packets_received == 3


def test_a_relay_that_closes_says_goodbye_to_those_who_have_joined_alone() -> None:
    at = RelayPeer(Relay())
    lines = at.unite()
    joined = [at.come(SECURE_PORT, line) for line in lines]
    early = at.come(SECURE_PORT)
    at.endpoint.close(at.now)
    at.drain()
    assert [at.written[link] for link in (*joined, early)] == [b"00" + p.CLOSE, b"00" + p.CLOSE, b""]


def drain(session: Any) -> list[Any]:
    said = []
    while (one := session.next_transmit() or session.next_event()) is not None:
        said.append(one)
    return said


def test_a_client_too_slow_to_be_told_who_left_is_cut() -> None:
    relay = Relay(limits=RelayLimits(departures=2))
    slow = relay.stream_accepted(RELAY_PORT, Address("192.0.2.7", 1), 0.0)
    relay.receive_data(slow, p.encode(p.RELAY, p.HelloAsClient()), 0.0)
    drain(relay)
    relay.stream_blocked(slow, 0.0)
    for number in range(4):
        server = relay.stream_accepted(RELAY_PORT, Address("192.0.2.8", number), float(number))
        relay.receive_data(server, p.encode(p.RELAY, p.HelloAsServer(bytes(34))), float(number))
        relay.stream_lost(server, number + 0.5)
    assert not [one for one in drain(relay) if isinstance(one, SendBytes) and one.link == slow]
    relay.stream_unblocked(slow, 4.0)
    said = drain(relay)
    assert PeerLeft(1, "192.0.2.7:1", Departure.SLOW) in said


def test_no_client_is_cut_for_departures_that_it_has_read_or_that_came_before_it() -> None:
    log = AnnouncementLog(2)

    def two_leave() -> None:
        for _ in range(2):
            log.withdraw([log.announce(b"here")], b"gone")

    log.subscribe(1, log.last)
    for _ in range(3):
        two_leave()
        assert [log.pull(1, log.last) for _ in range(3)] == [b"gone", b"gone", None]
    log.subscribe(2, log.last)
    assert log.pull(2, log.last) is None
    two_leave()
    log.withdraw([log.announce(b"here")], b"gone")
    with pytest.raises(LookupError):
        log.pull(2, log.last)


def test_announcements_are_read_in_their_order_whoever_has_left() -> None:
    """Thousands stand in the log; a whole stretch of them, every other one of the rest, and the last ones leave."""
    log = AnnouncementLog(10_000)
    numbers = [log.announce(b"%d" % place) for place in range(3000)]
    assert max(map(len, log.arrivals.blocks)) <= 512  # of which each is moved as a whole
    gone = {*range(500, 1700), *range(0, 3000, 2), *range(2990, 3000)}
    log.subscribe(1, log.last)
    heard = [log.pull(1, log.last) for _ in range(100)]
    for place in sorted(gone, key=lambda place: place * 7919 % 3001):
        log.withdraw([numbers[place]], b"gone")
    log.subscribe(2, log.last)
    left = [b"%d" % place for place in range(3000) if place not in gone]
    assert [log.pull(2, log.last) for _ in range(len(left) + 1)] == [*left, None]
    heard += [data for data in iter(lambda: log.pull(1, log.last), None) if data != b"gone"]
    assert heard == [*(b"%d" % place for place in range(100)), *(data for data in left if int(data) >= 100)]
    for place in sorted({*range(3000)} - gone):
        log.withdraw([numbers[place]], b"gone")
    assert not log.arrivals


def test_a_client_that_says_hello_twice_and_leaves_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told what was announced before it left, whatever is announced afterwards, and whenever its time is over."""
    asked = itertools.count()
    next_reader = AnnouncementLog.next_reader
    monkeypatch.setattr(AnnouncementLog, "next_reader", lambda log: next_reader(log) if next(asked) < 1000 else None)
    first = p.encode(p.RELAY, p.NewServer(1, bytes(34), "192.0.2.7:1"))
    told = 2 * (p.encode(p.RELAY, p.ClientIdentity("192.0.2.7:2")) + first) + p.encode(p.RELAY, p.PeerClosed(p.RELAY))
    for taken in range(9):
        relay = Relay()

        def join(port: int, data: bytes, relay: Relay = relay) -> Link:
            link = relay.stream_accepted(RELAY_PORT, Address("192.0.2.7", port), 0.0)
            relay.receive_data(link, data, 0.0)
            return link

        join(1, p.encode(p.RELAY, p.HelloAsServer(bytes(34))))
        leaving = join(2, 2 * p.encode(p.RELAY, p.HelloAsClient()) + b"garbage")
        join(3, p.encode(p.RELAY, p.HelloAsServer(bytes(34))))
        said = [one for _ in range(taken) if (one := relay.next_transmit()) is not None]
        relay.handle_timeout(3600.0)
        said += drain(relay)
        heard = b"".join(one.data for one in said if isinstance(one, SendBytes) and one.link == leaving)
        assert next(asked) < 1000
        assert told.startswith(heard)
        assert told == heard or taken < 8


def test_a_client_that_was_not_blocked_and_is_unblocked_reads_everything_once() -> None:
    relay = Relay()
    clients = []
    for number in range(2):
        clients.append(relay.stream_accepted(RELAY_PORT, Address("192.0.2.7", number), 0.0))
        relay.receive_data(clients[number], p.encode(p.RELAY, p.HelloAsClient()), 0.0)
    drain(relay)
    behind, current = clients
    announcements = []
    for number in range(2):
        server = relay.stream_accepted(RELAY_PORT, Address("192.0.2.8", number), 0.0)
        relay.receive_data(server, p.encode(p.RELAY, p.HelloAsServer(bytes(34))), 0.0)
        announcements.append(p.encode(p.RELAY, p.NewServer(3 + number, bytes(34), f"192.0.2.8:{number}")))
        if not number:
            relay.stream_blocked(behind, 0.0)
            heard = drain(relay)
            relay.stream_unblocked(behind, 0.0)
    relay.stream_unblocked(current, 0.0)
    heard += drain(relay)
    for client in clients:
        assert [one.data for one in heard if isinstance(one, SendBytes) and one.link == client] == announcements


def test_a_relay_that_closes_cuts_who_has_no_room_for_its_farewell() -> None:
    hello, answer = p.encode(p.RELAY, p.HelloAsClient()), p.encode(p.RELAY, p.ClientIdentity("192.0.2.7:1"))
    relay = Relay(limits=RelayLimits(link_queue=3 * len(answer)))
    slow = relay.stream_accepted(RELAY_PORT, Address("192.0.2.7", 1), 0.0)
    relay.stream_blocked(slow, 0.0)
    relay.receive_data(slow, 3 * hello, 0.0)
    relay.close(0.0)
    assert AbortTransport(slow) in drain(relay)
    relay.stream_lost(slow, 0.0)
    assert drain(relay) == [Closed(CloseCause.LOCAL)]


def test_a_port_that_is_used_again_gets_a_room_of_its_own() -> None:
    relay = Relay()
    client, servers = Address("192.0.2.7", 1), [Address("192.0.2.8", 1), Address("192.0.2.8", 2)]
    for server in servers:
        links = {peer: relay.stream_accepted(RELAY_PORT, peer, 0.0) for peer in (server, client)}
        relay.receive_data(links[server], p.encode(p.RELAY, p.HelloAsServer(bytes(34))), 0.0)
        relay.receive_data(links[client], p.encode(p.RELAY, p.HelloAsClient()), 0.0)
        to_server, to_client = relay.registry.members[links[server]].uid, relay.registry.members[links[client]].uid
        for link, uid, packet in (
            (links[client], to_server, p.XAndClientIdentity(bytes(32), str(client))),
            (links[server], to_client, p.YAndServerValidator(bytes(32), bytes(64))),
            (links[client], to_server, p.ClientValidator(bytes(64))),
            (links[server], to_client, p.Agreement()),
            (links[client], to_server, p.Accepted()),
        ):
            relay.receive_data(link, p.encode(uid, packet), 0.0)
        for link in links.values():
            relay.stream_lost(link, 0.0)
    rooms = [event for event in drain(relay) if isinstance(event, RoomOpened | RoomClosed)]
    first, second = ((str(client), str(server)) for server in servers)
    assert rooms == [RoomOpened(*first), RoomClosed(*first, size=0), RoomOpened(*second)]
    answers = []
    for line in (*second, first[1]):
        visitor = relay.stream_accepted(SECURE_PORT, client, 0.0)
        relay.receive_data(visitor, line.encode() + b"\n", 0.0)
        answers.append([one.data for one in drain(relay) if isinstance(one, SendBytes)])
    joined, unknown = p.RoomAnswer(p.RoomCode.JOINED).encode(), p.RoomAnswer(p.RoomCode.UNKNOWN).encode()
    assert answers == [[], [joined, joined], [unknown]]


def test_runs_of_the_laws_count_adjacent_data_as_one() -> None:
    """However a stream is cut, the laws see the same."""
    from test_laws_bob import HERE, THERE, channel

    sender = Channel(send_key=THERE, receive_key=HERE)
    sender.send(b"one", 0.0)
    sender.send(b"two", 0.0)
    records = b"".join(transmit.data for transmit in iter(sender.next_transmit, None))
    run = channel(send_key=HERE, receive_key=THERE).run().play([Opened(0), Data(0, (records,))])
    assert [event.data for event in run.events] == [b"one", b"two"]
    assert [said.data for said in run.outputs["events", None]] == [b"onetwo"]

"""The laws, kept by every session class of Bob, from openings that lead into each of its states."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from law_data import changed, drawn
from soaking import SOAKING

from sansproto.bob import (
    RELAY_PORT,
    SECURE_PORT,
    Channel,
    Client,
    PeerDelays,
    PeerLimits,
    Relay,
    RelayDelays,
    RelayLimits,
    Server,
    crypto,
)
from sansproto.bob import packets as p
from sansproto.bob.way import PeerState
from sansproto.contract import Address
from sansproto.events import DataReceived
from sansproto.testing import laws
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.laws import Laws, Subject, check
from sansproto.testing.operations import Accept, Blocked, Call, Close, Data, LookedUp, Op, Opened, Wait
from sansproto.testing.strategies import packets

pytestmark = pytest.mark.unmeasured

PASSWORD = b"soarfly-bril"
HOST = "192.0.2.1"
ME, OTHER, THIRD = "198.51.100.7:40001", "198.51.100.8:40002", "198.51.100.9:40003"
SCALAR = bytes(range(8, 40))  # of whoever stands in for the other end
FAILURES = [p.SpokeFailure(fault) for fault in p.SpokeFault]
TEXT = b"what nobody but the two ends may read"

PEER_LIMITS = PeerLimits(
    link_queue=2000,
    events=6,
    send_buffer=300,
    receive_buffer=300,
    exchanges=3,
    guesses_of_one=2,
    guesses=3,
    free_guesses=1,
)
PEER_DELAYS = PeerDelays(waiting=400.0, silence=200.0, stalled=90.0, unread=90.0)


def prefixes(steps: Sequence[Op], *ends: int) -> tuple[tuple[Op, ...], ...]:
    return tuple(tuple(steps[:end]) for end in ends)


def got(data: bytes, link: int = 0) -> Data:
    return Data(link, (data,))


def near(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """What is valid at one time or another, several at once, damaged, cut off, and anything else."""
    one = st.sampled_from(valid)
    several = st.lists(one, min_size=2, max_size=4).map(b"".join)
    damaged = st.builds(changed, one, st.integers(0, 300), st.integers(1, 255))
    cut = st.builds(lambda data, end: data[: end % len(data)], one, st.integers(0, 300))
    return st.one_of(one, one, several, damaged, cut, st.binary(max_size=40))


UIDS = st.sampled_from([0, 1, 2, 3, 65534])
ANY_PACKET = st.builds(p.encode, UIDS, st.one_of([packets(kind) for kind in p.PACKETS.values()]))


def every_packet(uid: int) -> list[bytes]:
    """One of each type and, where a field has a closed set of values, of each of them."""
    sealed = p.YAndServerValidator(bytes(32), bytes(64))
    asked = (p.NewServer(uid, bytes(34), OTHER), p.XAndClientIdentity(bytes(32), OTHER), p.ClientValidator(bytes(64)))
    alone = (p.HelloAsServer(bytes(34)), p.ServerIdentity(ME), p.ClientIdentity(ME), sealed, *asked, p.PeerClosed(uid))
    named = [kind() for kind in p.PACKETS.values() if not kind.__annotations__]
    missing = [p.RelayFailure(one, 0 if one is p.Missing.AGREEMENT else uid) for one in p.Missing]
    return [p.encode(uid, packet) for packet in (*alone, *named, *FAILURES, *missing)]


# -- the channel -------------------------------------------------------------------------------------------------------

HERE, THERE = (crypto.RecordKey(bytes(range(at, at + 32)), bytes(range(at + 32, at + 44))) for at in (20, 120))


def records(key: crypto.RecordKey) -> list[bytes]:
    seal = crypto.RecordCipher(key).seal
    return [seal(number, TEXT * size) for number, size in enumerate([1, 3, 0, 1, 3, 2])]


def streams(key: crypto.RecordKey) -> list[bytes]:
    """Records in order, and what may come after them."""
    one, *more = records(key)
    return [one, *more, b"".join((one, *more)), one + more[0], more[1] + more[2], p.CLOSE, one + p.CLOSE + b"tail"]


def channel(**keys: crypto.RecordKey | None) -> Subject:
    stream = streams(THERE)
    return Subject(
        cls=Channel,
        arguments=lambda _, trace: {**keys, "limits": PEER_LIMITS, "delays": PEER_DELAYS, "trace": trace},
        data=near([*stream, b"\x80\x00", b"\x7f\xff"]),
        verbs={"send": st.tuples(st.sampled_from([b"", TEXT, TEXT * 10, bytes(70_000)]))},
        openings=(
            (Opened(0),),
            (),
            (Opened(0), got(stream[0])),
            (Opened(0), got(b"".join(records(THERE))), Call("send", (TEXT,))),
            (Opened(0), Blocked(0), got(p.CLOSE)),
        ),
        secrets=(TEXT, HERE.key, HERE.base_nonce, THERE.key, THERE.base_nonce),
        max_state=45_000,
    )


class TestChannel(Laws):
    subject = channel(send_key=HERE, receive_key=THERE)


class OneWay(Laws):
    """A channel without a cipher in one direction: only soak tries the laws that have nothing to do with that."""

    tried = (
        "01_nothing_raises",
        "02_any_chunking",
        "05_raising_changes_nothing",
        "10_closed_once_and_last",
        "14_restored",
    )

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for law in () if SOAKING else [name for name in vars(Laws) if name.startswith("test_law_")]:
            if law.removeprefix("test_law_") not in cls.tried:
                setattr(cls, law, None)


class TestChannelThatReceives(OneWay):
    subject = channel(send_key=None, receive_key=THERE)


class TestChannelThatSends(OneWay):
    subject = channel(send_key=HERE, receive_key=None)


# -- the client --------------------------------------------------------------------------------------------------------

SALT = bytes(range(16))
BOTH_WAYS = p.PublicParameters(1, 2, p.Cipher.AES_256_GCM, p.Cipher.AES_256_GCM, SALT)
ONE_WAY = p.PublicParameters(1, 600, p.Cipher.AES_256_GCM, p.Cipher.CHACHA20_POLY1305, SALT)


def reply_to(uid: int, public: p.PublicParameters, identity: str) -> tuple[bytes, crypto.SharedKeys]:
    """A server's answer to the X that a client draws for it, and what both then share."""
    material = crypto.derive(PASSWORD, public.salt, public.count)
    x = crypto.scalar(drawn(f"offer.{uid:04x}.x"))
    x_point = crypto.client_hello(crypto.ClientSecret.from_derived(material), x)
    secret = crypto.ServerSecret.from_derived(material)
    reply = crypto.server_reply(secret, crypto.scalar(SCALAR), x_point, ME.encode(), identity.encode())
    return p.encode(uid, p.YAndServerValidator(reply.y_point, reply.validator)), reply.keys


def client() -> Subject:
    reply, keys = reply_to(1, BOTH_WAYS, OTHER)
    reply_2, keys_2 = reply_to(2, ONE_WAY, THIRD)
    sent = streams(crypto.RecordKey.from_shared(keys.client))
    identity = p.encode(0, p.ClientIdentity(ME))
    server_1 = p.encode(0, p.NewServer(1, BOTH_WAYS.encode(), OTHER))
    server_2 = p.encode(0, p.NewServer(2, ONE_WAY.encode(), THIRD))
    steps: list[Op] = [
        Call("connect"),
        LookedUp(0, (Address(HOST, 9000), Address("2001:db8::1", 9000))),
        Opened(0),
        got(identity),
        got(server_1 + server_2),
        Wait(0.01),  # the derivations; X goes out
        got(reply),
        got(p.encode(1, p.Agreement())),
        Call("accept", (1,)),
        got(p.encode(0, p.Done())),
        Opened(0),  # the secure port
        got(b"00"),
        got(sent[0]),
        Call("send", (TEXT,)),
    ]
    closed = [p.encode(0, p.PeerClosed(uid)) for uid in (0, 1, 2)]
    from_servers = [
        p.encode(uid, packet)
        for uid in (1, 2)
        for packet in (p.Agreement(), *FAILURES, p.YAndServerValidator(bytes(32), bytes(64)))
    ]
    material = crypto.derive(PASSWORD, SALT, 2)
    return Subject(
        cls=Client,
        arguments=lambda entropy, trace: {
            "relay": ("relay.example", 9000),
            "secure_port": 9001,
            "password": PASSWORD,
            "entropy": entropy,
            "limits": PEER_LIMITS,
            "delays": PEER_DELAYS,
            "trace": trace,
        },
        data=near([server_1, server_2, reply, reply_2, changed(reply, 90, 1), *closed, *from_servers, *sent])
        | near([identity, p.encode(0, p.Done()), p.encode(0, p.Timeout()), b"00", b"01", b"02"])
        | ANY_PACKET,
        verbs={
            "connect": st.just(()),
            "accept": st.tuples(st.sampled_from([1, 2, 9])),
            "refuse": st.tuples(st.sampled_from([1, 2, 9])),
            "send": st.tuples(st.sampled_from([b"", TEXT, TEXT * 10])),
        },
        openings=(*prefixes(steps, *range(len(steps))), (*steps, Close()), tuple(steps)),
        secrets=(TEXT, PASSWORD, material, *secrets_of(keys, keys_2), crypto.scalar(drawn("offer.0001.x"))),
        max_state=45_000,
    )


def secrets_of(*keys: crypto.SharedKeys) -> tuple[bytes, ...]:
    return tuple(key for pair in keys for key in (pair.client, pair.server))


class TestClient(Laws):
    subject = client()


# -- the server --------------------------------------------------------------------------------------------------------


def exchange_with(uid: int, identity: str, salt: bytes) -> tuple[bytes, bytes, crypto.SharedKeys]:
    """A client's X, its answer to the Y that a server draws for it, and what both then share."""
    material = crypto.derive(PASSWORD, salt, 2)
    x = crypto.scalar(SCALAR)
    secret = crypto.ClientSecret.from_derived(material)
    x_point = crypto.client_hello(secret, x)
    names = identity.encode(), ME.encode()
    y = crypto.scalar(drawn(f"offer.{uid:04x}.y"))
    reply = crypto.server_reply(crypto.ServerSecret.from_derived(material), y, x_point, *names)
    finish = crypto.client_finish(secret, x, x_point, reply.y_point, reply.validator, *names)
    proof = p.encode(uid, p.ClientValidator(finish.validator))
    return p.encode(uid, p.XAndClientIdentity(x_point, identity)), proof, finish.keys


def server() -> Subject:
    salt = drawn("salt", 16)
    x, proof, keys = exchange_with(1, OTHER, salt)
    x_2, proof_2, keys_2 = exchange_with(2, THIRD, salt)
    x_3, _, _ = exchange_with(3, THIRD, salt)
    sent = streams(crypto.RecordKey.from_shared(keys.server))
    identity = p.encode(0, p.ServerIdentity(ME))
    accepted, accepted_2 = (p.encode(uid, p.Accepted()) for uid in (1, 2))
    steps: list[Op] = [
        Call("connect"),
        Wait(0.01),  # its own derivation
        Opened(0),
        got(identity),
        got(x + x_2),
        got(proof),
        got(accepted),
        Opened(0),
        got(b"00"),
        got(sent[0]),
        Call("send", (TEXT,)),
    ]
    closed = [p.encode(0, p.PeerClosed(uid)) for uid in (0, 1, 2)]
    from_clients = [
        p.encode(uid, packet)
        for uid in (1, 2)
        for packet in (p.Refused(), *FAILURES, p.XAndClientIdentity(b"\xff" * 32, OTHER))
    ]
    return Subject(
        cls=Server,
        arguments=lambda entropy, trace: {
            "relay": (HOST, 9000),
            "secure_port": 9001,
            "password": PASSWORD,
            "entropy": entropy,
            "count": 2,
            "client_cipher": p.Cipher.AES_256_GCM,
            "limits": PEER_LIMITS,
            "delays": PEER_DELAYS,
            "trace": trace,
        },
        data=near([x, x_2, x_3, proof, proof_2, changed(proof, 40, 1), *closed, *from_clients, *sent])
        | near([identity, accepted, accepted_2, p.encode(0, p.Timeout()), b"00", b"01", b"02"])
        | ANY_PACKET,
        verbs={"connect": st.just(()), "send": st.tuples(st.sampled_from([b"", TEXT, TEXT * 10]))},
        openings=(*prefixes(steps, *range(len(steps))), (*steps, Close()), tuple(steps)),
        secrets=(
            TEXT,
            PASSWORD,
            crypto.derive(PASSWORD, salt, 2),
            *secrets_of(keys, keys_2),
            crypto.scalar(drawn("offer.0001.y")),
        ),
        max_state=45_000,
    )


class TestServer(Laws):
    subject = server()


# -- the relay ---------------------------------------------------------------------------------------------------------

CALLERS = [Address("192.0.2.7", port) for port in (1001, 1002, 1003, 1004)]
A, B, C, D = map(str, CALLERS)
RELAY_LIMITS = RelayLimits(
    links=6,
    link_queue=1500,
    link_packets=3,
    events=8,
    peers=4,
    pairs=2,
    pairs_of_one=1,
    hellos=2,
    departures=2,
    dropped_burst=3,
    dropped_rate=1,
    cuts=1,
    early=30,
)
RELAY_DELAYS = RelayDelays(idle=400.0, silence=200.0, stalled=90.0, unread=90.0)
HELLO_CLIENT = p.encode(0, p.HelloAsClient())
HELLO_SERVER = p.encode(0, p.HelloAsServer(BOTH_WAYS.encode()))


def flood(nth: int) -> list[Op]:
    """One packet too many, to somebody whom nobody knows."""
    return [got(p.encode(9, p.Accepted()), nth)] * (RELAY_LIMITS.dropped_burst + 1)


def exchange(client: int, server: int, identity: str) -> list[bytes]:
    """What a client and a server say to each other, in turns."""
    return [
        p.encode(server, p.XAndClientIdentity(bytes(32), identity)),
        p.encode(client, p.YAndServerValidator(bytes(32), bytes(64))),
        p.encode(server, p.ClientValidator(bytes(64))),
        p.encode(client, p.Agreement()),
        p.encode(server, p.Accepted()),
    ]


def relay_openings() -> list[tuple[Op, ...]]:
    here = Wait(0.0)
    a, b, c, d = (Accept(RELAY_PORT, caller) for caller in CALLERS)
    turns = [got(packet, number % 2) for number, packet in enumerate(exchange(1, 2, A))]
    two: list[Op] = [a, got(HELLO_CLIENT), b, got(HELLO_SERVER, 1), here, *turns, here]
    first: list[Op] = [Accept(SECURE_PORT, CALLERS[0]), got(f"{B}\n".encode())]
    second: list[Op] = [Accept(SECURE_PORT, CALLERS[1]), got(f"{A}\n".encode(), 1)]
    paired = [*two, *first, *second, here, got(TEXT), got(TEXT, 1)]
    four: list[Op] = [a, b, c, d, got(HELLO_CLIENT), got(HELLO_SERVER, 1), got(HELLO_CLIENT, 2), got(HELLO_SERVER, 3)]
    return [
        (),
        (a,),
        (a, got(HELLO_CLIENT)),
        *prefixes(two, *range(4, len(two) + 1)),
        *prefixes(paired, *range(len(two) + 1, len(paired) + 1)),
        tuple(four),
        (*four, *turns[:2]),
        (*four, *turns[:4]),
        (*four, *turns[:3], got(p.encode(2, p.SpokeFailure(p.SpokeFault.POINT)))),
        (*four, *turns[:4], got(p.encode(2, p.Refused()))),
        (*paired, *four[:2], c, got(HELLO_CLIENT, 2), got(HELLO_SERVER, 3)),
        (*four, *flood(1), *flood(3)),
        (a, got(HELLO_CLIENT), b, *flood(0), *flood(1)),
    ]


def relay_packets() -> list[bytes]:
    said = [p.encode(uid, p.SpokeFailure(p.SpokeFault.POINT)) for uid in (1, 2)]
    said += [p.encode(2, p.Refused()), p.encode(0, p.RelayFailure(p.Missing.SERVER, 2))]
    return [*said, *exchange(1, 2, A), *exchange(3, 2, C), *exchange(1, 4, A), *exchange(3, 4, C)]


RELAY = Subject(
    cls=Relay,
    arguments=lambda _, trace: {"limits": RELAY_LIMITS, "delays": RELAY_DELAYS, "trace": trace},
    listeners=(RELAY_PORT, SECURE_PORT),
    data=near([HELLO_CLIENT, HELLO_SERVER, *(f"{line}\n".encode() for line in (A, B, C, D)), TEXT, TEXT * 20])
    | near(relay_packets())
    | ANY_PACKET,
    peers=st.sampled_from(CALLERS),
    openings=tuple(relay_openings()),
    secrets=(TEXT,),
    max_state=30_000,
)


class TestRelay(Laws):
    subject = RELAY


TURNS = [got(packet, number % 2) for number, packet in enumerate(exchange(1, 2, "192.0.2.77:2000"))]
CROWD = attrs.evolve(
    RELAY,
    arguments=lambda _, trace: {"limits": RelayLimits(pairs_of_one=4), "trace": trace},
    crowd=(
        *(Accept(RELAY_PORT, Address("192.0.2.77", port)) for port in range(2000, 2150)),
        *(got(HELLO_SERVER if number % 3 == 1 else HELLO_CLIENT, number) for number in range(120)),
        *(Accept(SECURE_PORT, Address("192.0.2.77", port)) for port in range(2000, 2050)),
    ),
    openings=prefixes(TURNS, *range(len(TURNS) + 1)),
    work=1000,
)


def test_a_crowd_at_the_relay_costs_nothing_by_itself() -> None:
    CROWD.run().play([*CROWD.crowd, *TURNS])  # what is worked out once for each class of parts is no cost of a call
    check(laws.law_13, CROWD, settings(max_examples=10))


# -- the openings lead to where they should ----------------------------------------------------------------------------


@pytest.mark.parametrize("subject", [TestClient.subject, TestServer.subject], ids=["client", "server"])
def test_openings_of_a_peer_reach_every_state_of_its_way(subject: Subject) -> None:
    reached = {subject.run().play(opening).session.state for opening in subject.openings}
    assert {state.name for state in set(PeerState) - reached} <= {"PREPARING", "RESOLVING", "PAIRED", "ENDED"}
    run = subject.run().play(subject.openings[-1])
    assert [DataReceived(TEXT)] == run.events[-1:]
    assert run.session.channel.part.outgoing.sequence == 1


def test_openings_of_the_relay_reach_every_state_of_its_objects() -> None:
    reached = set()
    for opening in RELAY.openings:
        session: Any = RELAY.run().play(opening).session
        registry, secure = session.registry, session.secure
        for table in (registry.members, secure.visitors, secure.rooms):
            reached |= {one.state for one in table.values()}
        reached |= {pair.state for one in registry.members.values() for pair in one.pairs.values()}
    missing = {state for kind in map(type, reached) for state in kind} - reached
    assert {state.name for state in missing} <= {"NEW", "ENDED"}, missing


@pytest.mark.parametrize("subject", [TestClient.subject, TestServer.subject, RELAY], ids=["client", "server", "relay"])
def test_every_packet_is_taken_or_dropped_in_every_state(subject: Subject) -> None:
    """Rare values of rare packets: random courses of events seldom meet them where they mean something."""
    types = {packet[4:6] for packet in every_packet(1)}
    assert len(types) == len(p.PACKETS)
    for opening in subject.openings:
        run = subject.run().play(opening)
        snapshot = run.endpoint.snapshot()
        for packet in chain.from_iterable(map(every_packet, (0, 1, 2))):
            endpoint = subject.restore(snapshot, ScriptedEntropy(seed=b"laws"), None)
            for link in tuple(endpoint.links):
                endpoint.receive_data(link, packet, run.now)

"""A whole handshake, both ends, against its calls of libsodium: X25519, and the boxes that are sealed and opened.

The calls are those of docs/protocols/tox.rst, written down one after the other as PyNaCl has them: a cookie is asked
for and given, each end sends its Handshake, and then a packet that says no more than that it has the key. Random bytes
are not among them: they are there already. Ours is what two keyrings and two sessions make of keys and packets. In the
note is what two nodes do, from ``add_friend`` until each knows that the other one listens: that is a dozen packets
more, and limits, tables, times, events.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha512
from os import urandom
from time import process_time

from nacl import bindings as sodium

from benchmarks.measure import Line, ratio
from benchmarks.nodes import AT_A, AT_B
from benchmarks.tox.nodes import Pair
from sansproto.recovery import Call
from sansproto.tox import packets as p
from sansproto.tox.paths import Direct, friend_route
from sansproto.tox.session import Arrived, Session

TIMES = 50
COOKIE, HANDSHAKE, DATA = 72, 232, 16  # bytes of clear text
ASKED, GIVEN = 72, 120


class Keys:
    """What one end has for one handshake."""

    def __init__(self) -> None:
        self.real, self.dht, self.session, self.cookie = (urandom(32) for _ in range(4))
        self.real_public, self.dht_public = map(sodium.crypto_scalarmult_base, (self.real, self.dht))
        self.nonces = [urandom(24) for _ in range(6)]


def calls(a: Keys, b: Keys) -> None:
    """All calls that one handshake cannot do without, at both ends."""
    agree, base = sodium.crypto_box_beforenm, sodium.crypto_scalarmult_base
    seal, unseal = sodium.crypto_box_afternm, sodium.crypto_box_open_afternm
    # the cookie is asked for
    at_a = agree(b.dht_public, a.dht)
    asked = seal(bytes(ASKED), a.nonces[0], at_a)
    at_b = agree(a.dht_public, b.dht)
    unseal(asked, a.nonces[0], at_b)
    # and given
    given = seal(bytes(COOKIE), b.nonces[0], b.cookie)
    answer = seal(bytes(GIVEN), b.nonces[1], at_b)
    unseal(answer, b.nonces[1], at_a)
    # a Handshake, with a cookie for the other end
    session_a = base(a.session)
    at_a, for_b = agree(b.real_public, a.real), seal(bytes(COOKIE), a.nonces[1], a.cookie)
    sha512(given).digest()
    first = seal(bytes(HANDSHAKE), a.nonces[2], at_a)
    # it is read
    unseal(given, b.nonces[0], b.cookie)
    at_b = agree(a.real_public, b.real)
    unseal(first, a.nonces[2], at_b)
    sha512(given).digest()
    # it is answered
    session_b, for_a = base(b.session), seal(bytes(COOKIE), b.nonces[2], b.cookie)
    sha512(for_b).digest()
    second = seal(bytes(HANDSHAKE), b.nonces[3], at_b)
    key_b = agree(session_a, b.session)
    # that is read
    unseal(for_b, a.nonces[1], a.cookie)
    unseal(second, b.nonces[3], at_a)
    sha512(for_b).digest()
    key_a = agree(session_b, a.session)
    # each shows that it has the key
    unseal(seal(bytes(DATA), a.nonces[3], key_a), a.nonces[3], key_b)
    unseal(seal(bytes(DATA), b.nonces[4], key_b), b.nonces[4], key_a)
    assert len(for_a) == len(given)


def raw() -> float:
    drawn = [(Keys(), Keys()) for _ in range(TIMES)]
    start = process_time()
    for a, b in drawn:
        calls(a, b)
    return process_time() - start


class Ours:
    """Two nodes that know each other, and whose sessions are made by hand."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.pair.meet()

    def handshakes(self) -> float:
        return sum(self.once(number) for number in range(TIMES))

    def once(self, number: int) -> float:
        node_a, node_b = self.pair.a, self.pair.b
        a, b, sid = node_a.keyring, node_b.keyring, number.to_bytes(8, "big")
        session_a, session_b = Session(node_a, sid), Session(node_b, sid)
        call = Call(b.real.public, sid, number, bytes(8), b"", friend_route(b.real.public))
        for keyring in (a, b):
            keyring.shared.clear()
            keyring.drafts.clear()
        start = process_time()
        request = node_b.decode(a.make_init(call).data, AT_A)
        assert isinstance(request, p.CookieRequest)
        response = node_a.decode(b.answer(request.dht_key, b.read_request(request)), AT_B)
        assert isinstance(response, p.CookieResponse)
        cookie = a.read_response(b.dht.public, response).cookie
        with_cookie = Call(call.peer, sid, number, call.instance, cookie, call.route)
        first = node_b.decode(a.make_init(with_cookie).data, AT_A)
        assert isinstance(first, p.Handshake)
        opened = b.open_cookie(first)
        assert b.is_fresh(opened)
        made = b.make_reply(b.open_handshake(first, opened), sid)
        second = node_a.decode(made.data, AT_B)
        assert isinstance(second, p.Handshake)
        reply = a.open_reply(sid, a.open_handshake(second, a.open_cookie(second)))
        session_a.begin(reply.secret)
        session_b.begin(made.secret)
        for sender, receiver, path in ((session_a, session_b, AT_A), (session_b, session_a, AT_B)):
            assert not receiver.is_foreign(Arrived(sender.seal_confirm(), Direct(path)))
        elapsed = process_time() - start
        a.erase(sid)
        return elapsed


def run() -> Iterator[Line]:
    value, floor, time = ratio(raw, Ours().handshakes, rounds=15)
    pair = Pair()
    whole = ratio(raw, lambda: sum(pair.meet_and_part() for _ in range(TIMES)), rounds=9)[0]
    times = f"raw {floor / TIMES * 1e6:.0f} us, ours {time / TIMES * 1e6:.0f} us"
    note = f"{times}; {whole:.3f} by two nodes, with their greetings"
    yield Line("tox: handshake of keyrings and sessions, raw X25519 and box calls / ours", value, 0.6, True, note=note)

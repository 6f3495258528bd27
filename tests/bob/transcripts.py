"""Replay one party's view of the golden conversations: what the real peers sent goes in, what they got has to come out.

A replayed party is stricter than the reference where a step has a mark for it (``strict``); everything else is compared
byte by byte, for each connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sansproto.bob import (
    RELAY_PORT,
    SECURE_PORT,
    Client,
    Connected,
    FileVerified,
    PackReader,
    PeerAgreed,
    Relay,
    Server,
    crypto,
)
from sansproto.bob import packets as p
from sansproto.contract import AbortTransport, Address, CloseTransport, Link, OpenStream, Phase, SendBytes
from sansproto.errors import NotOpen
from sansproto.events import CloseCause, Closed, DataReceived
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.vectors import VectorTest, load
from sansproto.trace import Trace

TRANSCRIPTS = load(Path(__file__).parents[2] / "vectors" / "bob" / "transcripts.json")
UNMET = {"transcript-identities", "other-ciphers"}  # what our peers cannot do; a relay does not see any of it
VIEWS = [(test, view) for test in TRANSCRIPTS for view in test["views"]]
SKIPPED = [(test, view) for test, view in VIEWS if view != "relay" and UNMET & set(test.group.requires)]
PLAYED = [(test, view) for test, view in VIEWS if (test, view) not in SKIPPED]
RELAY_AT, SECURE_AT = ("192.0.2.1", 9000), 9001

Step = dict[str, Any]
Conn = tuple[str, str]  # the peer's name, and the port


def packets_in(data: bytes) -> Iterator[tuple[int, p.BobPacket]]:
    """Each packet with the uid in its header."""
    while data:
        header, packet, size = p.FRAME.decode_prefix(data)
        yield header.uid, packet
        data = data[size:]


def conn_of(step: Step) -> Conn:
    return step["peer"], step.get("port", "handshake")


def marks(step: Step, view: str) -> list[Step]:
    return [mark for mark in step.get("strict", ()) if mark["party"] == view]


class Replay:
    """What came out of the replayed party and is not yet accounted for."""

    def __init__(self, test: VectorTest, view: str, chunk: int | None, coalesced: bool) -> None:
        self.test, self.view, self.chunk = test, view, chunk
        self.now = 0.0
        self.written: dict[Conn, bytearray] = {}
        self.closed: set[Conn] = set()
        self.links: dict[Conn, Link] = {}
        self.events: list[Any] = []
        self.strict = False
        self.steps = list(self._coalesced(test["steps"]) if coalesced else test["steps"])

    # what a kind of party says

    session: Any
    input_op: str  # the op whose bytes go in; the other one's come out
    output_op: str

    def give(self, step: Step) -> None:
        raise NotImplementedError

    def mine(self, step: Step) -> bool:
        return True

    # the replay

    def run(self) -> None:
        for step in filter(self.mine, self.steps):
            found = marks(step, self.view)
            self.strict = self.strict or bool(found)
            expects = {mark["expect"]: mark for mark in found}
            if step["op"] == self.output_op:
                if "absent" not in expects:
                    self._take(conn_of(step), bytes.fromhex(step["hex"]))
                assert expects.keys() <= {"absent"}
                continue
            if "absent" in expects:  # the end of a connection
                assert conn_of(step) not in self.closed
                continue
            if "refuse" in expects:
                self._refuse(step)
            else:
                self.give(step)
            self.pump()
            for mark in found:
                self._settle_mark(step, mark)
        assert not any(self.written.values()), {conn: bytes(data) for conn, data in self.written.items() if data}

    def pump(self) -> None:
        """Take what comes out, and let the computations that wait on a timer run."""
        while True:
            self._drain()
            at = self.session.next_timeout()
            if at is None or at > self.now + 0.01:
                return
            self.now = at
            self.session.handle_timeout(at)

    def feed(self, link: Link, data: bytes) -> None:
        size = self.chunk or len(data)
        for start in range(0, len(data), size):
            self.session.receive_data(link, data[start : start + size], self.now)
            self.pump()

    def _drain(self) -> None:
        while True:
            event, transmit = self.session.next_event(), self.session.next_transmit()
            if event is None and transmit is None:
                return
            if event is not None:
                self.events.append(event)
            if isinstance(transmit, SendBytes):
                self.written.setdefault(self._conn(transmit.link), bytearray()).extend(transmit.data)
            elif isinstance(transmit, CloseTransport | AbortTransport):
                self.closed.add(self._conn(transmit.link))
                self.session.stream_lost(transmit.link, self.now)
            elif isinstance(transmit, OpenStream):
                self.opening(transmit)
            else:
                assert transmit is None

    def opening(self, transmit: OpenStream) -> None:
        raise AssertionError(transmit)

    def _conn(self, link: Link) -> Conn:
        return next(conn for conn, known in self.links.items() if known == link)

    def _take(self, conn: Conn, data: bytes) -> None:
        """These bytes have come out next on this connection."""
        there = self.written.setdefault(conn, bytearray())
        if "UnorderedServers" in self.test.flags and data[4:6] == b"04":
            there = self.written[conn] = self._first(there, data)
        assert there[: len(data)] == data, (conn, bytes(there), data)
        del there[: len(data)]

    @staticmethod
    def _first(there: bytearray, data: bytes) -> bytearray:
        """Announcements that follow each other, with this one at the front."""
        at = there.find(data)
        assert at >= 0
        assert all(isinstance(packet, p.NewServer) for _, packet in packets_in(bytes(there[:at])))
        return bytearray(data + there[:at] + there[at + len(data) :])

    def _settle_mark(self, step: Step, mark: Step) -> None:
        conn = (mark["to"], "handshake") if "to" in mark else conn_of(step)
        match mark["expect"]:
            case "emit" | "may_emit":
                found = [type(packet).__name__ for _, packet in packets_in(bytes(self.written.pop(conn, b"")))]
                assert found == mark["packets"] or (mark["expect"] == "may_emit" and not found)
            case "close":
                assert conn in self.closed
                assert bytes(self.written.pop(conn, b"")) in (b"", p.encode(0, p.PeerClosed(0)))
            case "done":
                self.check_done(mark)
            case expect:
                assert expect == "refuse"  # seen to before

    def check_done(self, said: Step) -> None:
        raise AssertionError("a relay has no keys")

    def _refuse(self, step: Step) -> None:
        raise AssertionError("a relay is asked nothing")

    def _coalesced(self, steps: list[Step]) -> Iterator[Step]:
        """Reads of one connection that nothing of this party stands between are one read."""
        last: Step | None = None
        for step in filter(self.mine, steps):
            plain = step["op"] == self.input_op and not step.get("strict")
            if plain and last is not None and conn_of(step) == conn_of(last):
                last["hex"] += step["hex"]
                continue
            if last is not None:
                yield last
            last = dict(step) if plain else None
            if last is None:
                yield step
        if last is not None:
            yield last


class PeerReplay(Replay):
    """A client or a server: the reference's application is the one that says yes, no, and what is in the file."""

    input_op, output_op = "receive", "send"

    def __init__(
        self, test: VectorTest, view: str, chunk: int | None = None, coalesced: bool = False, trace: Trace | None = None
    ) -> None:
        self.me = test["peers"][view]
        super().__init__(test, view, chunk, coalesced)
        script = {name: list(map(bytes.fromhex, draws)) for name, draws in self.me["entropy"].items()}
        arguments: dict[str, Any] = {}
        if self.me["role"] == "server":
            script["salt"] = [bytes.fromhex(self.me["salt"])]
            arguments = {"count": self.me["count"], "client_cipher": p.Cipher[self.me["client_cipher"]]}
            assert self.me["server_cipher"] == "AES_256_GCM"
        self.entropy = ScriptedEntropy(script)
        self.session = {"client": Client, "server": Server}[self.me["role"]](
            relay=RELAY_AT,
            secure_port=SECURE_AT,
            password=bytes.fromhex(self.me["password"]),
            entropy=self.entropy,
            trace=trace,
            **arguments,
        )
        self.asked: list[OpenStream] = []
        self.pack, self.taken = PackReader(max_size=1 << 20), 0
        self.sequence = 0

    def mine(self, step: Step) -> bool:
        return bool(step["peer"] == self.view and step["op"] != "expire")

    def opening(self, transmit: OpenStream) -> None:
        self.asked.append(transmit)
        self.agreed = self.session.way.partners.get(transmit.link)

    def give(self, step: Step) -> None:
        conn, now = conn_of(step), self.now
        match step["op"]:
            case "connect":
                if conn[1] == "handshake":
                    self.session.connect(now)
                    self.pump()
                asked = self.asked.pop()
                assert asked.address == Address(RELAY_AT[0], RELAY_AT[1] if conn[1] == "handshake" else SECURE_AT)
                self.links[conn] = asked.link
                self.session.stream_opened(asked.link, now)
            case "receive":
                self.feed(self.links[conn], bytes.fromhex(step["hex"]))
            case "relay_eof":
                self.session.receive_eof(self.links[conn], now)
            case "answer":
                agreed = [event for event in self.events if isinstance(event, PeerAgreed)]
                (self.session.accept if step["accept"] else self.session.refuse)(agreed[-1].uid, now)
            case op:
                assert op == "peer_eof"
                self._leave(conn)

    def _leave(self, conn: Conn) -> None:
        """The reference's program exits once it has the file; ours has closed by itself otherwise."""
        if conn not in self.closed:
            assert any(isinstance(event, FileVerified) for event in self._received())
            self.session.abort()
            self.pump()
        assert conn in self.closed

    def _received(self) -> list[Any]:
        data = [event.data for event in self.events if isinstance(event, DataReceived)]
        return list(self.pack.feed(b"".join(data)))

    def _take(self, conn: Conn, data: bytes) -> None:
        if conn[1] == "room" and data != p.CLOSE and self.me["role"] == "server" and not self.written.get(conn):
            self._send_plaintext_of(data)
        super()._take(conn, data)

    def _send_plaintext_of(self, records: bytes) -> None:
        """Send what the reference sent in these records, with the same borders."""
        cipher = crypto.RecordCipher(crypto.RecordKey.from_shared(bytes.fromhex(self.me["final"]["client_shared_key"])))
        offset = 0
        while offset < len(records):
            record, end = p.Record.decode_prefix(records, offset)
            plaintext = cipher.open(self.sequence, len(record.sealed) - p.TAG_SIZE, record.sealed)
            assert self.session.send(plaintext, self.now) == len(plaintext)
            self.sequence, offset = self.sequence + 1, end
        self.pump()

    def _refuse(self, step: Step) -> None:
        agreed = [event for event in self.events if isinstance(event, PeerAgreed)]
        try:
            self.session.accept(agreed[-1].uid, self.now)
        except NotOpen:
            return
        raise AssertionError("an offer that is gone was accepted")

    def check_done(self, said: Step) -> None:
        agreed = self.agreed
        assert agreed is not None
        assert {
            "peer_identity": agreed.identity,
            "server_cipher": agreed.public.server_cipher.name,
            "client_cipher": agreed.public.client_cipher.name,
            "client_shared_key": agreed.keys.client.hex(),
            "server_shared_key": agreed.keys.server.hex(),
        } == {name: value for name, value in said.items() if name not in ("party", "expect", "comment", "outcome")}

    def run(self) -> None:
        super().run()
        assert not self.entropy.undrawn
        closed = [event for event in self.events if isinstance(event, Closed)]
        if self.strict:
            return
        final = self.me["final"]
        match final["outcome"]:
            case "done":
                self.check_done(final)
                in_room = any(isinstance(event, Connected) for event in self.events)
                assert in_room == any(step.get("port") == "room" for step in self.steps)
            case "closed":
                assert [event.cause in (CloseCause.REMOTE, CloseCause.TIMEOUT) for event in closed] == [True]
            case outcome:
                assert outcome == "waiting"
                cut = any(step["op"] == "relay_eof" for step in filter(self.mine, self.steps))
                assert [event.cause for event in closed] == [CloseCause.LOST] * cut
                assert self.session.phase is (Phase.CLOSED if cut else Phase.OPENING)


class RelayReplay(Replay):
    """The relay, which sees the connections of all peers."""

    input_op, output_op = "send", "receive"

    def __init__(
        self,
        test: VectorTest,
        view: str = "relay",
        chunk: int | None = None,
        coalesced: bool = False,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(test, view, chunk, coalesced)
        self.session = Relay(trace=trace)

    def mine(self, step: Step) -> bool:
        return bool(step["op"] != "answer")

    def give(self, step: Step) -> None:
        conn = conn_of(step)
        match step["op"]:
            case "connect":
                host, _, port = step["identity"].rpartition(":")
                listener = RELAY_PORT if conn[1] == "handshake" else SECURE_PORT
                self.links[conn] = self.session.stream_accepted(listener, Address(host, int(port)), self.now)
            case "send":
                self.feed(self.links[conn], bytes.fromhex(step["hex"]))
            case "peer_eof":
                self.session.receive_eof(self.links[conn], self.now)
            case "relay_eof":
                assert conn in self.closed
            case op:
                assert op == "expire"
                self._expire(conn)

    def _expire(self, conn: Conn) -> None:
        """The time of one peer runs out, while the others have just said something that changes nothing."""
        at = self.session.timers()[f"registry.members.{self.links[conn]}.SILENCE"]
        for other, link in self.links.items():
            if other != conn:
                self.session.receive_data(link, p.encode(0, p.RelayFailure(p.Missing.SERVER, 0xFFFF)), at - 1)
        self.now = at
        self.session.handle_timeout(at)

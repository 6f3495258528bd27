"""What this library makes of the vectors of EGTP: see :mod:`sansproto.testing.conformance` and vectors/README.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..contract import AbortTransport, Address, CloseTransport, Entropy, Path, SendBytes
from ..egtp import crypto
from ..egtp import packets as p
from ..egtp.channel import Channel, Direction, read_hello, read_welcome, write_hello
from ..egtp.limits import (
    MailboxClientDelays,
    MailboxClientLimits,
    MailboxServerDelays,
    MailboxServerLimits,
    NodeDelays,
    NodeLimits,
)
from ..egtp.mailbox_client import MailboxClient
from ..egtp.mailbox_events import StoreWanted
from ..egtp.mailbox_server import MAILBOX_PORT, MailboxServer
from ..egtp.node import EgtpNode
from ..egtp.node_events import Relay
from ..egtp.paths import path_bytes, relay_path_bytes
from ..errors import Fault, WireError
from ..recovery.window import Window
from ..trace import Trace
from ..wire import Nested, OneOf
from ._internal.egtp_faults import error_of, open_data
from ._internal.egtp_states import HOME, Judgement, StatedNode
from ._internal.layouts import Layout
from ._internal.packet_answers import packet_answer
from ._internal.protocols import tables_of
from .conformance import Answer, Config, Make, settings
from .record import plain
from .vectors import VectorTest

TABLES = tables_of("egtp")
CANNOT: frozenset[str] = frozenset()


# -- packets


def _one_of(codec: OneOf[Any]) -> Callable[[VectorTest], Answer]:
    def answer(test: VectorTest) -> Answer:
        value = codec.decode(test.octets("wire"))
        return packet_answer(value, codec.encode(value))

    return answer


_PAYLOADS: Final = {kind.__name__: kind for kind in (p.InitPayload, p.ReplyPayload, p.Token, p.Terms)}


def _payload(test: VectorTest) -> Answer:
    value = _PAYLOADS[test["packet"]].decode(test.octets("wire"))
    return packet_answer(value, value.encode())


_NOT_ZERO: Final = [{"of": ["sid"], "not": "zero", "error": "bad_value"}]
LAYOUT: Final = Layout(
    modules=(p,),
    types={
        "egtp.datagram": p.DATAGRAM,
        "egtp.clear": p.CLEAR,
        "egtp.request": p.REQUEST,
        "egtp.response": p.RESPONSE,
        "egtp.payload": {name: Nested(kind) for name, kind in _PAYLOADS.items()},
    },
    rules={
        p.InitPayload: _NOT_ZERO,
        p.ReplyPayload: _NOT_ZERO,
        p.CH: [{"of": ["token", "proof"], "not": "zero", "error": "bad_value"}],
    },
)


# -- functions


def _mac_key(test: VectorTest) -> Answer:
    return {"out": crypto.mac_key(test.octets("inputs", "public")).hex()}


def _reset_token(test: VectorTest) -> Answer:
    key = crypto.reset_key(test.octets("inputs", "private"))
    return {"out": crypto.reset_token(key, test.octets("inputs", "sid")).hex()}


def _hkdf2(test: VectorTest) -> Answer:
    return {"out": plain(crypto.hkdf(test.octets("inputs", "ck"), test.octets("inputs", "ikm")))}


def _path(test: VectorTest) -> Answer:
    path = test["inputs"]["path"]
    if "server" in path:
        server = bytes.fromhex(path["server"])
        mailbox = path.get("mailbox") or crypto.mailbox_id(server, bytes.fromhex(path["owner"])).hex()
        return {"out": relay_path_bytes(server, bytes.fromhex(mailbox)).hex()}
    found = Path(path.get("label", ""), path["host"], path["port"], path.get("scope", 0))
    return {"out": path_bytes(found).hex()}


def _token(test: VectorTest) -> Answer:
    secret, path, time = test.octets("inputs", "secret"), test.octets("inputs", "path"), test["inputs"]["time_ms"]
    token = crypto.make_token(secret, time, path)
    assert crypto.token_time(secret, token, path) == time
    assert crypto.token_time(secret, token, path + b"\0") is None
    return {"out": token.hex()}


def _path_value(test: VectorTest) -> Answer:
    secret, peer, path = (test.octets("inputs", name) for name in ("secret", "peer", "path"))
    return {"out": crypto.path_value(secret, peer, test["inputs"]["epoch"], path).hex()}


def _mailbox_id(test: VectorTest) -> Answer:
    return {"out": crypto.mailbox_id(test.octets("inputs", "server"), test.octets("inputs", "owner")).hex()}


# -- handshakes


def seal_data(key: bytes, sid: bytes, counter: int, clear: p.Clear) -> bytes:
    """A sealed Data packet."""
    header = p.data_header(0x0B, sid, counter)
    return header + crypto.Cipher(key).seal(counter, p.CLEAR.encode(clear), header)


_KINDS: Final[Mapping[str, type[p.Clear]]] = {
    "app": p.App,
    "keepalive": p.Keepalive,
    "ping": p.Ping,
    "pong": p.Pong,
    "confirm": p.Confirm,
    "path_challenge": p.PathChallenge,
    "path_response": p.PathResponse,
    "close": p.Close,
}


def clear_of(kind: str, body: bytes) -> p.Clear:
    """The plaintext of a Data packet, by the name of its kind."""
    return p.CLEAR.decode(bytes([_KINDS[kind].__wire__.id or 0]) + body)


def first_message(
    static: crypto.KeyPair, ephemeral: bytes, responder: bytes, token: bytes, payload: p.InitPayload
) -> tuple[bytes, crypto.Initiation]:
    """An H1, and the state that its sender keeps for the answer."""
    begun = crypto.begin_datagram(responder, token)
    public, sealed_static, sealed, initiation = crypto.write_first(
        begun, static, ephemeral, responder, payload.encode()
    )
    h1 = p.DATAGRAM.encode(p.H1(public, sealed_static, sealed, token, bytes(16)))[:-16]
    return h1 + crypto.h1_mac(crypto.mac_key(responder), h1), initiation


def read_first(static: crypto.KeyPair, h1: bytes) -> tuple[bytes, p.InitPayload, crypto.Transcript, bytes]:
    """The sender of an H1, its payload, the transcript after it, and its ephemeral key. Raises WireError."""
    packet = p.DATAGRAM.decode(h1)
    assert isinstance(packet, p.H1)
    begun = crypto.begin_datagram(static.public, packet.token)
    initiator, read = crypto.read_ephemeral(begun, static, packet.ephemeral).open(packet.static)
    clear, read = crypto.read_static(read, static, initiator).open(packet.payload)
    return initiator, p.InitPayload.decode(clear), read, packet.ephemeral


def _handshake(test: VectorTest) -> Answer:
    """A handshake of two ends, each of which reads what the other one wrote."""
    inputs = test["inputs"]

    def given(name: str) -> bytes:
        return test.octets("inputs", name)

    static_i, static_r = crypto.KeyPair.of(given("initiator_static")), crypto.KeyPair.of(given("responder_static"))
    init = p.InitPayload(int(inputs["stamp"]), given("instance_i"), given("sid_i"))
    h1, initiation = first_message(static_i, given("initiator_ephemeral"), static_r.public, given("token"), init)
    who, payload, read, ephemeral = read_first(static_r, h1)
    assert (who, payload, read) == (static_i.public, init, initiation.transcript)
    reset_r = crypto.reset_token(crypto.reset_key(static_r.private), given("sid_r"))
    reply = p.ReplyPayload(given("sid_r"), given("instance_r"), reset_r)
    public, sealed, keys = crypto.write_second(read, given("responder_ephemeral"), who, ephemeral, reply.encode())
    clear, transcript = crypto.read_agreement(initiation, static_i, public).open(sealed)
    assert (p.ReplyPayload.decode(clear), transcript.split()) == (reply, keys)
    reset_i = crypto.reset_token(crypto.reset_key(static_i.private), given("sid_i"))
    return {
        "prologue": crypto.datagram_prologue(given("token")).hex(),
        "h1": h1.hex(),
        "hs_id": crypto.handshake_id(h1).hex(),
        "h2": p.DATAGRAM.encode(p.H2(given("sid_i"), public, sealed)).hex(),
        "reset_token_r": reset_r.hex(),
        "reset_token_i": reset_i.hex(),
        "key_i2r": keys.from_initiator.hex(),
        "key_r2i": keys.from_responder.hex(),
        "handshake_hash": keys.hash.hex(),
        "transcript": _transcript(static_r, h1, given("responder_ephemeral"), public, sealed),
        "packets": [_data_packet(one, keys, given("sid_i"), given("sid_r")) for one in inputs["packets"]],
    }


def _data_packet(packet: Mapping[str, Any], keys: crypto.Keys, sid_i: bytes, sid_r: bytes) -> str:
    is_initiators = packet["sender"] == "i"
    key, sid = (keys.from_initiator, sid_r) if is_initiators else (keys.from_responder, sid_i)
    clear = clear_of(packet["kind"], bytes.fromhex(packet["body"]))
    data = seal_data(key, sid, int(packet["counter"]), clear)
    assert open_data(key, data) == clear
    return data.hex()


def _transcript(static: crypto.KeyPair, h1: bytes, ephemeral: bytes, public: bytes, sealed: bytes) -> list[Any]:
    """All values of the symmetric state, step by step, as the responder computes them."""
    packet, found = p.DATAGRAM.decode(h1), [crypto.Transcript.initial()]
    assert isinstance(packet, p.H1)
    initiator = read_first(static, h1)[0]
    steps: list[tuple[str, bytes]] = [
        ("mix_hash", crypto.datagram_prologue(packet.token)),
        ("mix_hash", static.public),
        ("mix_hash", packet.ephemeral),
        ("mix_key", crypto.agree(static.private, packet.ephemeral)),
        ("mix_hash", packet.static),
        ("mix_key", crypto.agree(static.private, initiator)),
        ("mix_hash", packet.payload),
        ("mix_hash", public),
        ("mix_key", crypto.agree(ephemeral, packet.ephemeral)),
        ("mix_key", crypto.agree(ephemeral, initiator)),
        ("mix_hash", sealed),
    ]
    for step, data in steps:
        found.append(found[-1].mix(data) if step == "mix_hash" else found[-1].mix_key(data).transcript)
    names = ["init", *(step for step, _ in steps)]
    return [
        {"step": name, "h": one.hash.hex(), "ck": one.chaining_key.hex()}
        for name, one in zip(names, found, strict=True)
    ]


def _challenged(test: VectorTest) -> Answer:
    """A handshake whose first H1 was challenged: the responder makes the token, and the initiator sends it back."""
    answer = dict(_handshake(test))

    def given(name: str) -> bytes:
        return test.octets("inputs", name)

    initiator, responder = crypto.KeyPair.of(given("initiator_static")), crypto.KeyPair.of(given("responder_static"))
    if "first_h1" in test["inputs"]:
        init = p.InitPayload(int(test["inputs"]["stamp"]), given("instance_i"), given("first_sid"))
        h1, initiation = first_message(initiator, given("first_ephemeral"), responder.public, p.NO_TOKEN, init)
        read = read_first(responder, given("first_h1"))[2]
        assert (h1, read) == (given("first_h1"), initiation.transcript)
        assert crypto.handshake_id(h1) == given("first_hs_id")
        answer["ck_after_msg1"] = read.chaining_key.hex()
    token = crypto.make_token(given("token_secret"), test["inputs"]["time_ms"], given("path"))
    before = p.DATAGRAM.encode(p.CH(given("hs_id_of_ch"), token, bytes(8)))[:-8]
    proof = crypto.challenge_proof(given("chaining_key"), before)
    answer["ch"] = (before + proof).hex()
    assert token + proof == given("token")
    return answer


def _data(test: VectorTest) -> Answer:
    inputs = test["inputs"]
    clear, key = clear_of(inputs["kind"], test.octets("inputs", "body")), test.octets("inputs", "key")
    data = seal_data(key, test.octets("inputs", "sid"), int(inputs["counter"]), clear)
    assert open_data(key, data) == clear
    return {"bytes": data.hex()}


# -- a node in a state


def _replay_window(test: VectorTest) -> Answer:
    window = Window(8192)
    accepted = []
    for counter in map(int, test["inputs"]["counters"]):
        accepted.append(window.is_new(counter))
        if accepted[-1]:
            window.mark(counter)
    return {"accepted": accepted}


def _judged(inputs: Mapping[str, Any]) -> tuple[StatedNode, Judgement]:
    node = StatedNode(inputs["state"], inputs)
    data, path = bytes.fromhex(inputs["input"]), bytes.fromhex(inputs["path"])
    return node, node.judge(data, path, inputs["now_ms"] / 1000, reply=inputs["reply"])


def _refused(fault: str | None, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"fault": fault, "error": None if fault is None else error_of(fault, inputs).value}


_FOLLOWED: Final = ("Init", "Reply", "Challenge", "Data", "Hint", "ResetToken")
"""Verdicts that change the state of a node. A classification does not list the answers to these."""


def _classified(test: VectorTest) -> Answer:
    _, found = _judged(test["inputs"])
    answers = [] if found.verdict in _FOLLOWED else found.answers
    proof = {"proof": any(test.octets("inputs", "input")[33:])} if found.verdict == "Challenge" else {}
    return {"verdict": found.verdict, "answers": plain(answers), **proof, **_refused(found.fault, test["inputs"])}


def _farewell(test: VectorTest) -> Answer:
    node, found = _judged(test["inputs"])
    decision = {"decision": node.decision} if found.verdict == "Init" else {}
    said = {"answers": plain(found.answers), "answer_paths": plain(found.paths)}
    assert not [name for name, _ in node.draws.left if name not in ("process", "entry")]
    return {"verdict": found.verdict, **said, **decision, **_refused(found.fault, test["inputs"])}


def _refusal(test: VectorTest) -> Answer:
    """A handshake that is refused. The initiator is simulated: its packets have to be those of the vector."""
    inputs = test["inputs"]
    node = StatedNode(inputs["state"], {**inputs, "now_ms": inputs["steps"][0]["now_ms"]})
    steps = []
    for step in inputs["steps"]:
        found = node.judge(bytes.fromhex(step["input"]), HOME.name, step["now_ms"] / 1000)
        decision = {"decision": node.decision} if found.verdict == "Init" else {}
        error = {} if found.fault is None else {"error": found.fault}
        steps.append({"verdict": found.verdict, **decision, **error, "answers": plain(found.answers)})
    own = node.node.keyring.own
    initiator = crypto.KeyPair.of(test.octets("inputs", "initiator_static"))
    h1, h2 = (bytes.fromhex(one) for one in (inputs["steps"][0]["input"], steps[0]["answers"][0]))
    who, payload, _, _ = read_first(own, h1)
    assert who == initiator.public
    again, kept = first_message(
        initiator, test.octets("inputs", "initiator_ephemeral"), own.public, p.NO_TOKEN, payload
    )
    reply = p.DATAGRAM.decode(h2)
    assert isinstance(reply, p.H2)
    clear, read = crypto.read_agreement(kept, initiator, reply.ephemeral).open(reply.payload)
    keys, sid = read.split(), p.ReplyPayload.decode(clear).sid
    confirms = [one["input"] for one in inputs["steps"] if one["input"].startswith("0b")]
    assert all(isinstance(open_data(keys.from_initiator, bytes.fromhex(one)), p.Confirm) for one in confirms)
    assert all(p.Data.decode(bytes.fromhex(one)[1:]).sid == sid for one in confirms)
    close = bytes.fromhex(steps[1]["answers"][0])
    goodbye = open_data(keys.from_responder, close)
    return {
        "h1": again.hex(),
        "h2": h2.hex(),
        "key_i2r": keys.from_initiator.hex(),
        "key_r2i": keys.from_responder.hex(),
        "confirms": confirms,
        "close": close.hex(),
        "close_counter": p.Data.decode(close[1:]).counter,
        "close_reason": goodbye.reason if isinstance(goodbye, p.Close) else None,
        "steps": steps,
    }


# -- mailboxes


class _Draws:
    """The entropy of a server: the draws of the vector, in their order and with their names."""

    def __init__(self, draws: list[list[str]]) -> None:
        self.left = [(name, bytes.fromhex(drawn)) for name, drawn in draws]

    def __call__(self, n: int, *, purpose: str) -> bytes:
        name, drawn = self.left.pop(0)
        assert (purpose.rpartition(".")[2], n) == (name, len(drawn))
        return drawn


class _Stored:
    """A server whose store never fails. Collects what it writes on each connection."""

    def __init__(self, test: VectorTest) -> None:
        self.draws = _Draws(test["inputs"]["server_draws"])
        private = test.octets("inputs", "server_static_private")
        self.server = MailboxServer(private_key=private, entropy=self.draws, wall_epoch=1.7e9)
        self.links: dict[Any, int] = {}
        self.now = 0.0

    def receive(self, connection: Any, data: bytes) -> list[dict[str, Any]]:
        """Give the server bytes from a connection; what it writes and closes then."""
        if connection not in self.links:
            peer = Address("192.0.2.7", 40000 + len(self.links))
            self.links[connection] = self.server.stream_accepted(MAILBOX_PORT, peer, self.now)
        self.server.receive_data(self.server.links[self._link(connection)].key, data, self.now)
        return self._drain()

    def _link(self, connection: Any) -> Any:
        return self.links[connection]

    def _drain(self) -> list[dict[str, Any]]:
        names = {link: connection for connection, link in self.links.items()}
        found: list[dict[str, Any]] = []
        while True:
            event, transmit = self.server.next_event(), self.server.next_transmit()
            match event:
                case StoreWanted(number):
                    self.server.stored(number, self.now)
            match transmit:
                case SendBytes(link, data):
                    found += [{"conn": names[link], "bytes": frame.hex()} for frame in _frames(data)]
                case CloseTransport(link) | AbortTransport(link):
                    found.append({"conn": names[link], "close": True})
            if event is None and transmit is None:
                return found


def _frames(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        _, end = p.FrameOfStream.decode_prefix(data, at)
        found.append(data[at:end])
        at = end
    return found


class _Caller:
    """A client that sends whatever a vector says: it has a channel, and does not check the order of requests."""

    def __init__(self, server: bytes, client: Mapping[str, str]) -> None:
        self.server, self.static = server, crypto.KeyPair.of(bytes.fromhex(client["static_private"]))
        self.ephemeral = bytes.fromhex(client["ephemeral_private"])
        self.initiation: crypto.Initiation | None = None
        self.channel: Channel | None = None

    def say(self, clear: bytes) -> bytes:
        if self.channel is not None:
            return self.channel.outgoing.seal(clear)
        frame, self.initiation = write_hello(self.static, self.ephemeral, self.server)
        return frame

    def hear(self, frame: bytes) -> list[Any]:
        message = p.FrameOfStream.decode(frame).message
        if self.channel is not None:
            return _told(p.RESPONSE.decode(self.channel.incoming.open(message)))
        assert self.initiation is not None
        terms, self.channel = read_welcome(self.initiation, self.static, message)
        return ["ready", [terms.max_blob, terms.max_stored, terms.retention]]


def _told(response: p.Response) -> list[Any]:
    """A response as an event of a client: its name and its fields."""
    values = [getattr(response, one.name) for one in response.__wire__.fields]
    return [
        type(response).__name__.lower(),
        *(one.value if isinstance(one, p.ErrorCode) else plain(one) for one in values),
    ]


def _mailbox(test: VectorTest) -> Answer:
    """A server with its clients: what it writes, and what each client receives."""
    inputs, stored = test["inputs"], _Stored(test)
    callers = {one["conn"]: _Caller(stored.server.keys.public, one) for one in inputs["clients"]}
    steps, fault = [], None
    for step in inputs["steps"]:
        connection = step["conn"]
        if step["plaintext"] is not None:
            data = callers[connection].say(bytes.fromhex(step["plaintext"]))
        else:
            data = bytes.fromhex(step["raw"])
        written = stored.receive(connection, data)
        stands = connection in callers and callers[connection].channel is not None
        heard = [
            [one["conn"], *callers[one["conn"]].hear(bytes.fromhex(one["bytes"]))]
            for one in written
            if "bytes" in one and one["conn"] in callers
        ]
        if any("close" in one for one in written):
            fault = _fault(heard, data, None if stands else stored.server.keys)
        steps.append({"client": data.hex(), "server": written, "client_events": heard})
    assert not stored.draws.left
    return {"steps": steps, **_refused(fault, inputs)}


def _fault(heard: list[Any], data: bytes, keys: crypto.KeyPair | None) -> str:
    """Why the server closed a connection: its Error, or the fault of the frame (a first one is also opened)."""
    told = [values[0] for _, name, *values in heard if name == "error"]
    if told:
        return p.ErrorCode(told[0]).name.lower()
    if _error_of(lambda: p.FrameOfStream.decode(data)) is not None:
        return "frame"
    message = p.FrameOfStream.decode(data).message
    error = _error_of(lambda: Direction(bytes(32)).open(message) if keys is None else read_hello(keys, message))
    assert error is not None  # the server closed the connection, so there is a reason
    return {Fault.BAD_MAC: "seal", Fault.BAD_POINT: "point"}.get(error.fault, "length")


def _error_of(read: Callable[[], object]) -> WireError | None:
    try:
        read()
    except WireError as error:
        return error
    return None


ANSWERS: Mapping[str, Callable[[VectorTest], Answer]] = {
    "egtp.datagram": _one_of(p.DATAGRAM),
    "egtp.clear": _one_of(p.CLEAR),
    "egtp.request": _one_of(p.REQUEST),
    "egtp.response": _one_of(p.RESPONSE),
    "egtp.payload": _payload,
    "egtp.h1_mac_key": _mac_key,
    "egtp.reset_token": _reset_token,
    "egtp.hkdf2": _hkdf2,
    "egtp.path": _path,
    "egtp.token": _token,
    "egtp.mailbox_id": _mailbox_id,
    "egtp.path_challenge_value": _path_value,
    "egtp.handshake": _handshake,
    "egtp.challenged_handshake": _challenged,
    "egtp.data": _data,
    "egtp.replay_window": _replay_window,
    "egtp.classification": _classified,
    "egtp.farewell": _farewell,
    "egtp.refusal": _refusal,
    "egtp.mailbox": _mailbox,
}


# -- sessions


def _server(config: Config, entropy: Entropy, trace: Trace | None = None) -> MailboxServer:
    return MailboxServer(
        private_key=bytes.fromhex(config["private_key"]),
        entropy=entropy,
        wall_epoch=config["wall_epoch"] / 1000,
        delays=settings(MailboxServerDelays, config["delays"]),
        limits=settings(MailboxServerLimits, config["limits"]),
        trace=trace,
    )


def _client(config: Config, entropy: Entropy, trace: Trace | None = None) -> MailboxClient:
    return MailboxClient(
        server=Address(config["host"], config["port"]),
        server_key=bytes.fromhex(config["server_key"]),
        private_key=bytes.fromhex(config.get("private_key", "")),
        entropy=entropy,
        delays=settings(MailboxClientDelays, config["delays"]),
        limits=settings(MailboxClientLimits, config["limits"]),
        trace=trace,
    )


def _node(config: Config, entropy: Entropy, trace: Trace | None = None) -> EgtpNode:
    return EgtpNode(
        private_key=bytes.fromhex(config["private_key"]),
        entropy=entropy,
        wall_epoch=config["wall_epoch"] / 1000,
        relays=tuple(
            Relay(bytes.fromhex(one["key"]), Address(one["host"], one["port"])) for one in config.get("relays", ())
        ),
        only=tuple(map(bytes.fromhex, config["only"])) if "only" in config else None,
        delays=settings(NodeDelays, config["delays"]),
        limits=settings(NodeLimits, config["limits"]),
        trace=trace,
    )


MACHINES: Mapping[str, Make] = {
    "egtp.node": _node,
    "egtp.mailbox_server": _server,
    "egtp.mailbox_client": _client,
}

"""Every packet of EGTP, and each size beside the right ones, comes to a node in each of its phases.

Nothing raises, and ``EXPECTED`` says what is counted, or what answers. A node is put into each phase once; each packet
gets a copy of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
import pytest
from scripted_egtp import AT_B, AT_C, EPOCH, A, B, C, KeyPair, node
from sweeping import Sweep

from sansproto.contract import Path, SendDatagram
from sansproto.egtp import NodeLimits, crypto
from sansproto.egtp import packets as p
from sansproto.testing.conformance_egtp import first_message, read_first, seal_data

NOBODY: Final = b"nobody.."
"""A session id that the node does not know."""
INSTANCE: Final = b"instance"
RESET: Final = b"B's reset token."


@attrs.define
class Talk:
    """A session with the node as B knows it: the node's id of it, and the key for what B sends."""

    sid: bytes
    key: bytes
    own: bytes
    """B's id of it."""
    counter: int = 0


class Stage:
    """The node, and B and C, of whom each packet is made by hand."""

    def __init__(self, **more: Any) -> None:
        self.now, self.number = 0.0, 0
        self.arguments: dict[str, Any] = {"private_key": A.private, "wall_epoch": float(EPOCH), **more}
        self.endpoint = node(A, **more)
        self.h1 = self.call = b""
        self.talks: list[Talk] = []

    def hear(self) -> list[bytes]:
        """What the node sends."""
        while self.endpoint.next_event() is not None:
            pass
        sent = iter(self.endpoint.next_transmit, None)
        return [transmit.data for transmit in sent if isinstance(transmit, SendDatagram)]

    def say(self, data: bytes) -> list[bytes]:
        self.endpoint.receive_datagram(data, AT_B, self.now)
        return self.hear()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.endpoint.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.endpoint.handle_timeout(self.now)
            self.hear()
        self.now = end

    def init(self, who: KeyPair = B, sid: bytes = b"", instance: bytes = INSTANCE) -> tuple[bytes, crypto.Initiation]:
        """Another H1 for the node."""
        self.number += 1
        sid = sid or b"theirs%02d" % self.number
        payload = p.InitPayload(int((EPOCH + self.now) * 1e6) + self.number, instance, sid)
        return first_message(who, b"ephemera" * 3 + b"%08d" % self.number, A.public, p.NO_TOKEN, payload)

    def begin(self) -> None:
        """B calls, and is answered."""
        self.h1, kept = self.init()
        (answer,) = self.say(self.h1)
        packet = p.DATAGRAM.decode(answer)
        assert isinstance(packet, p.H2)
        clear, read = crypto.read_agreement(kept, B, packet.ephemeral).open(packet.payload)
        payload = p.ReplyPayload.decode(clear)
        self.talks.append(Talk(payload.sid, read.split().from_initiator, packet.sid))

    def answer(self) -> bytes:
        """An H2 for the H1 of the node."""
        who, payload, transcript, ephemeral = read_first(B, self.call)
        reply = p.ReplyPayload(b"answered", INSTANCE, RESET)
        public, sealed, keys = crypto.write_second(transcript, b"responds" * 4, who, ephemeral, reply.encode())
        self.talks.append(Talk(payload.sid, keys.from_responder, b"answered"))
        return p.DATAGRAM.encode(p.H2(payload.sid, public, sealed))

    def seal(self, clear: bytes, counter: int | None = None) -> bytes:
        """A packet of the newest session."""
        talk = self.talks[-1]
        if counter is None:
            counter, talk.counter = talk.counter, talk.counter + 1
        header = p.data_header(0x0B, talk.sid, counter)
        sealed = crypto.ChaCha20Poly1305(talk.key).encrypt(bytes(4) + counter.to_bytes(8, "little"), clear, header)
        return header + sealed

    def confirm(self) -> None:
        self.say(self.seal(b"\4" + bytes(8) + RESET))


# -- phases

SWEEP: Final = Sweep["Stage"](lambda stage: packets_for(stage))


@SWEEP.phase
def new() -> Stage:
    return Stage()


@SWEEP.phase
def calling() -> Stage:
    stage = Stage()
    stage.endpoint.connect(B.public, AT_B, 0.0)
    (stage.call,) = stage.hear()
    return stage


@SWEEP.phase
def answered() -> Stage:
    stage = calling()
    stage.say(stage.answer())
    return stage


@SWEEP.phase
def called() -> Stage:
    stage = answered()
    stage.say(stage.seal(b"\1" + bytes(8)))
    return stage


@SWEEP.phase
def offered() -> Stage:
    stage = Stage()
    stage.begin()
    return stage


@SWEEP.phase
def in_use() -> Stage:
    stage = offered()
    stage.confirm()
    return stage


@SWEEP.phase
def replaced() -> Stage:
    stage = in_use()
    stage.begin()
    stage.confirm()
    stage.talks.reverse()  # packets are of the session that was in use before
    return stage


@SWEEP.phase
def left() -> Stage:
    stage = in_use()
    stage.say(stage.seal(b"\7\0"))
    return stage


@SWEEP.phase
def said() -> Stage:
    stage = in_use()
    stage.endpoint.disconnect(B.public, 0.0)
    stage.hear()
    stage.wait(1.5)
    return stage


@SWEEP.phase
def refused() -> Stage:
    stage = said()
    stage.begin()
    return stage


@SWEEP.phase
def lapsed() -> Stage:
    stage = in_use()
    stage.wait(200.0)
    return stage


@SWEEP.phase
def unreachable() -> Stage:
    stage = calling()
    stage.wait(100.0)
    return stage


@SWEEP.phase
def closing() -> Stage:
    stage = in_use()
    stage.endpoint.close(0.0)
    stage.hear()
    return stage


@SWEEP.phase
def closed() -> Stage:
    stage = closing()
    stage.wait(5.0)
    return stage


@SWEEP.phase
def busy() -> Stage:
    stage = Stage(limits=NodeLimits(outbox=1))
    stage.endpoint.connect(B.public, AT_B, 0.0)
    return stage


# -- packets


def sizes(data: bytes, *others: int) -> dict[str, bytes]:
    """One byte less, one more, and other sizes of a packet."""
    return {f"{size} bytes": (data + bytes(size))[:size] for size in (len(data) - 1, len(data) + 1, *others)}


def packets_for(stage: Stage) -> Mapping[str, tuple[bytes, Path]]:
    """All that is tried, by name. What there is nothing of in a phase is made up."""
    stage.talks = stage.talks or [Talk(NOBODY, bytes(32), b"unheard.")]
    talk, h1 = stage.talks[-1], stage.init(C)[0]
    call = stage.call or stage.init(C)[0]
    name = crypto.handshake_id(call)[:8]
    unknown = p.data_header(0x0B, NOBODY, 0)
    h2 = stage.answer() if stage.call else b"\x09" + NOBODY + bytes(80)
    stage.talks[-1] = talk
    found = {"nothing": b"", "another type": b"\x0d" + bytes(175)}
    found |= {f"type {first} alone": bytes([first]) for first in range(8, 13)}
    found |= {
        "H1 of C": h1,
        "H1 of B": stage.init(B, instance=b"restarts")[0],
        "H1 of B, said goodbye to": stage.init(B)[0],
        "H1 once more": stage.h1 or h1,
        "H1 of ourselves": stage.init(A)[0],
        "H1 with a session id of zero": zero_sid(),
        "H1 for somebody else": h1[:-1] + bytes([h1[-1] ^ 1]),
        "H1 that does not open": changed(h1, 60),
        "H1 with reserved bytes": h1[:1] + b"\1" + h1[2:],
        **{f"H1 of {size}": data for size, data in sizes(h1).items()},
        "H2": h2,
        "H2 that does not open": h2[:-1] + bytes([h2[-1] ^ 1]),
        "H2 to nobody": b"\x09" + NOBODY + h2[9:],
        **{f"H2 of {size}": data for size, data in sizes(h2).items()},
        "CH": b"\x0a" + name + b"t" * 24 + bytes(8),
        "CH with a wrong proof": b"\x0a" + name + b"t" * 24 + b"wrong...",
        "CH to nobody": b"\x0a" + NOBODY + b"t" * 32,
        "CH without a token": b"\x0a" + name + bytes(32),
        **{f"CH of {size}": data for size, data in sizes(b"\x0a" + name + b"t" * 32).items()},
        "Data of nobody": unknown + bytes(17),
        "Data of nobody, larger": unknown + bytes(40),
        "Data of the largest size": unknown[:1] + talk.sid + unknown[9:] + bytes(65_535 - 17),
        **{f"Data of {size}": data for size, data in sizes(unknown + bytes(17), 65_536).items() if size != "35 bytes"},
        "Hint": b"\x0c" + talk.own,
        "Hint about nobody": b"\x0c" + NOBODY,
        "Hint with a token": b"\x0c" + talk.own + RESET,
        "Hint with a wrong token": b"\x0c" + talk.own + bytes(16),
        **{f"Hint of {size}": data for size, data in sizes(b"\x0c" + talk.own, 24, 26).items()},
    }
    clear = {"App": (0, 0), "Keepalive": (1, 8), "Ping": (2, 8), "Pong": (3, 8), "Confirm": (4, 24)}
    clear |= {"PathChallenge": (5, 8), "PathResponse": (6, 8), "Close": (7, 1)}
    for kind, (number, size) in clear.items():
        found[kind] = stage.seal(bytes([number]) + bytes(size))
        for other in (size - 1, size + 1) if number else (1198, 65_501):
            found[f"{kind} of {other}"] = stage.seal(bytes([number]) + bytes(other))
    found |= {
        "kind 8": stage.seal(b"\x08" + bytes(8)),
        "App again": stage.seal(b"\0", 0),
        "App with the last counter": stage.seal(b"\0", p.LAST_COUNTER),
        "App beyond the last counter": stage.seal(b"\0", p.LAST_COUNTER + 1),
        "App with the wrong key": seal_data(b"wrong..." * 4, talk.sid, 50, p.App(b"")),
    }
    return {name: (data, AT_C if name == "H1 of C" else AT_B) for name, data in found.items()}


def zero_sid() -> bytes:
    parts = crypto.write_first(crypto.begin_datagram(A.public), C, b"ephemera" * 4, A.public, bytes(24))[:3]
    return again(b"\x08" + bytes(7) + b"".join(parts) + bytes(48))


def changed(h1: bytes, at: int) -> bytes:
    return again(h1[:at] + bytes([h1[at] ^ 1]) + h1[at + 1 :])


def again(h1: bytes) -> bytes:
    """With the mac made anew."""
    return h1[:160] + crypto.h1_mac(crypto.mac_key(A.public), h1[:160])


# -- what comes of it


def outcome(name: str, packet: str) -> str:
    """Why it was dropped; if it was not, what answers it."""
    found = SWEEP[name].outcome(packet)
    (reason,) = found.dropped or [""]
    return reason or ", ".join(type(p.DATAGRAM.decode(answer)).__name__ for answer in found.sent) or "-"


# -- what is expected

_MALFORMED, _CLOSED, _SOON = "malformed datagram", "data of a closed session", "data of a closed session, too soon"
_FORGED, _UNREADABLE = "data that does not open", "data that cannot be read"
_NO_INIT, _NO_HINT = "an init that does not open", "a hint about no session"
_COPY, _TOKEN = "a late copy of an init", "a wrong reset token"
_CALLERS: Final = {"offered": "CH", "refused": "CH", "closing": "closing"}

EXPECTED: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "H1 of C": ("H2", {"closing": "closing"}),
    "H1 of B": ("H2", _CALLERS),
    "H1 of B, said goodbye to": ("H2", _CALLERS),
    "H1 once more": ("H2", {"in_use": _COPY, "replaced": _COPY, "lapsed": "CH", "closing": "closing"}),
    "H1 of ourselves": ("an init under our own key", {"closing": "closing"}),
    "H1 with a session id of zero": (_NO_INIT, {"closing": "closing"}),
    "H1 for somebody else": ("an H1 for somebody else", {}),
    "H1 that does not open": (_NO_INIT, {"closing": "closing"}),
    "H2": ("unknown handshake", {"calling": "Data"}),
    "H2 that does not open": ("unknown handshake", {"calling": "a reply that does not open"}),
    "H2 to nobody": ("unknown handshake", {}),
    "CH": ("unknown handshake", {"calling": "H1"}),
    "CH with a wrong proof": ("unknown handshake", {"calling": "a challenge that does not open"}),
    "CH to nobody": ("unknown handshake", {}),
    "Data of nobody": ("Hint", {}),
    "Data of nobody, larger": ("Hint", {}),
    "Hint": (_NO_HINT, {"answered": "-", "called": "Data", "in_use": "Data", "replaced": "-"}),
    "Hint about nobody": (_NO_HINT, {}),
    "Hint with a token": (
        _NO_HINT,  # the handshake that it leads to waits a moment
        dict.fromkeys(("answered", "called", "in_use", "replaced"), "-")
        | dict.fromkeys(("offered", "refused"), _TOKEN),
    ),
    "Hint with a wrong token": (
        _NO_HINT,
        dict.fromkeys(("answered", "called", "offered", "in_use", "replaced", "refused"), _TOKEN),
    ),
}
"""What comes of a packet in most phases, and in the others. What is malformed, is that in all of them."""

LIVE: Final = ("answered", "called", "offered", "in_use", "replaced", "refused")
"""There is a session that the Data packets are of."""

_SIGN, _ASKS = ("-", "-", "Data", "-", "-", "Data"), ("Data", "Data", "Data, Data", "Data", "Data", "Data")

OPENED: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("App", "App of 1198", "App of 65501", "App with the last counter"), _SIGN),
    "App again": ("-", "-", "Data", "-", "replay", "Data"),
    **dict.fromkeys(("Keepalive", "Pong", "PathResponse"), _SIGN),
    **dict.fromkeys(("Ping", "PathChallenge"), _ASKS),
    "Confirm": (_UNREADABLE, _UNREADABLE, "Data, Data", "Data", "Data", "Data"),
    "Close": ("-",) * 6,
    "App beyond the last counter": ("a counter out of range",) * 6,
    **dict.fromkeys(("App with the wrong key", "Data of the largest size"), (_FORGED,) * 6),
}
"""What comes of Data packets in these phases; all others are genuine, and of a kind or size that cannot be."""


def expected(name: str, packet: str, size: int) -> str:
    if name in ("closed", "busy"):
        return name
    if packet in EXPECTED:
        usual, exceptions = EXPECTED[packet]
        return exceptions.get(name, usual)
    if packet not in OPENED and packet.partition(" ")[0] in ("nothing", "another", "type", "H1", "H2", "CH", "Hint"):
        return _MALFORMED
    if not 34 <= size <= 65_535:
        return _MALFORMED
    if name in LIVE:
        return OPENED.get(packet, (_UNREADABLE,) * 6)[LIVE.index(name)]
    if name == "left" or (name in ("said", "closing") and size <= p.CLOSE_SIZE):
        return _CLOSED
    return {"said": "Data", "closing": _SOON}.get(name, "Hint")


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", SWEEP.stages)
def test_every_packet_in_every_phase_comes_to_what_is_expected(name: str) -> None:
    packets = SWEEP[name].datagrams
    found = {packet: outcome(name, packet) for packet in packets}
    assert found == {packet: expected(name, packet, len(data)) for packet, (data, _) in packets.items()}


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", SWEEP.stages)
def test_nobody_grows_by_what_comes_again_and_again(name: str) -> None:
    assert not SWEEP[name].grows()


def test_the_sweep_has_every_kind_of_packet_in_every_phase() -> None:
    for name in SWEEP.stages:
        packets = [data for data, _ in SWEEP[name].datagrams.values()]
        first = {data[0] for data in packets if data}
        assert first == {*p.DATAGRAM.packets, 0x0D}
        assert len({len(data) for data in packets}) >= 28

"""``sansproto freenet``: gateways and joiners, by processes over real sockets on the loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path as File
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest
from cli_commands import PATIENCE, Command, failed
from rich.console import Console

from sansproto.contract import Path as Place
from sansproto.contract import Stats
from sansproto.freenet import (
    Connected,
    FreenetEvent,
    FreenetGateway,
    FreenetPeer,
    KeyPair,
    MessageReceived,
    PeerLost,
    Refused,
    Unreachable,
    Version,
)
from sansproto.freenet.generation import Generation
from sansproto.freenet.versions import OURS
from sansproto.testing._internal import reasons
from sansproto_cli import demo_freenet
from sansproto_cli.demo_freenet import show_freenet
from sansproto_cli.exits import CommandFailed
from sansproto_cli.freenet_joining import Joining, Target
from sansproto_cli.freenet_serving import WORTH_TELLING, Serving
from sansproto_cli.report import JsonReporter
from sansproto_cli.standard_streams import Input, RawOutput
from sansproto_sockets import system_entropy
from sansproto_threads import run

HERE = "127.0.0.1"
NEW_KEY = KeyPair.of(b"\7" * 32)


@attrs.define
class Ends:
    """Where a test runs its commands."""

    folder: File
    commands: list[Command] = attrs.field(factory=list)

    def start(self, *arguments: object, stdin: bytes | None = b"") -> Command:
        command = Command(self.folder, "freenet", *arguments, stdin=stdin)
        self.commands.append(command)
        return command

    def key(self, name: str) -> str:
        """The public key in a file, which is made."""
        file = self.folder / name
        if not file.exists():
            file.write_text(os.urandom(32).hex())
            file.chmod(0o600)
        return KeyPair.of(bytes.fromhex(file.read_text())).public.hex()

    def gateway(self, port: int = 0, *more: str) -> tuple[Command, int]:
        command = self.start("gateway", "--key", self.folder / "gate", "--bind", f"{HERE}:{port}", "--json", *more)
        return command, int(told(command, "gateway_started")["port"])

    def join(self, port: int, *more: str, name: str = "joiner", stdin: bytes | None = None) -> Command:
        at = self.key("gate"), f"{HERE}:{port}"
        return self.start("join", *at, "--key", self.folder / name, "--json", *more, stdin=stdin)


def told(command: Command, event: str, count: int = 1) -> Any:
    """The event of this name with this number, when it was told."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        lines = [json.loads(line) for line in command.wait_for("").splitlines(keepends=True) if line.endswith("\n")]
        found = [line for line in lines if line["event"] == event]
        if len(found) >= count:
            return found[count - 1]
        time.sleep(0.02)
    raise AssertionError(f"no {event}: {command.wait_for('')}")


@pytest.fixture
def ends(tmp_path: File) -> Iterator[Ends]:
    there = Ends(tmp_path)
    yield there
    for command in there.commands:
        command.stop()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind((HERE, 0))
        return int(held.getsockname()[1])


def test_a_key_is_made_once_for_its_owner_alone(ends: Ends) -> None:
    file = ends.folder / "new"
    first, again = ends.start("key", file).wait(), ends.start("key", file, "--json").wait()
    assert first.code == again.code == 0
    assert first.out == f"{ends.key('new')}\n"
    assert (again.events[0]["public_key"], again.events[0]["made"]) == (ends.key("new"), False)
    assert file.stat().st_mode & 0o777 == 0o600


def test_lines_go_there_and_come_back(ends: Ends) -> None:
    gateway, port = ends.gateway(0, "--echo")
    result = ends.join(port, stdin=b"hello\n" + b"x" * 70_000 + b"\nlast").wait()
    assert result.code == 0, result.out + result.err
    assert result.events[-1]["event"] == "finished"
    lines = [event["line"] for event in result.events if event["event"] == "message"]
    assert sorted(lines, key=len) == ["last", "hello\n", "x" * (70_000 - 65_536) + "\n", "x" * 65_536]
    assert told(gateway, "connected")["version"] == "0.2.129"
    assert {told(gateway, "message", number)["session"] for number in (1, 2, 3, 4)} == {1}


def test_messages_are_written_as_they_are(ends: Ends) -> None:
    _, port = ends.gateway(0, "--echo")
    at = ends.key("gate"), f"{HERE}:{port}"
    result = ends.start("join", *at, "--key", ends.folder / "me", stdin=b"one\n\xff\xfe").wait()
    assert result.code == 0, result.err
    assert result.out in ("one\n\udcff\udcfe", "\udcff\udcfeone\n")  # messages may overtake each other


def test_a_joiner_restarts_with_another_key_from_the_same_address(ends: Ends) -> None:
    gateway, port = ends.gateway(0, "--echo")
    mine = free_port()
    first = ends.join(port, "--bind", f"{HERE}:{mine}", name="one")
    first.type("before")
    told(first, "message")
    first.signal(signal.SIGKILL)
    second = ends.join(port, "--bind", f"{HERE}:{mine}", name="other")
    second.type("after")
    assert told(second, "message")["line"] == "after\n"
    assert told(gateway, "connected", 2)["session"] == 2
    lost = told(gateway, "lost")
    assert (lost["session"], lost["replaced"]) == (1, True)


def test_a_gateway_restarts(ends: Ends) -> None:
    gateway, port = ends.gateway(0, "--echo")
    joiner = ends.join(port)
    joiner.type("before")
    told(joiner, "message")
    gateway.signal(signal.SIGKILL)
    ends.gateway(port, "--echo")
    assert told(joiner, "connected", 2)["session"] == 2
    joiner.type("after")
    assert told(joiner, "message", 2)["line"] == "after\n"


def test_nobody_is_there(ends: Ends) -> None:
    ends.key("gate")
    result = ends.join(free_port(), stdin=b"hello\n").wait()
    assert (result.code, result.events[-1]["reason"]) == (3, "nobody")


def told_in_order(*events: FreenetEvent) -> list[str]:
    """What a joiner tells of these events while a line waits."""
    out = StringIO()
    core = FreenetPeer(private_key=bytes(31) + b"\1", entropy=system_entropy)
    joining = Joining(core, NEW_KEY.public, Target(HERE, 9), JsonReporter(out), RawOutput())
    joining._lines = cast("Input", SimpleNamespace(is_over=False, held=1))
    for event in events:
        joining._tell(event)
    return [json.loads(line)["event"] for line in out.getvalue().splitlines()]


def test_a_line_waits_for_a_gateway_that_was_there_before() -> None:
    there = Place("udp", HERE, 9)
    with pytest.raises(CommandFailed, match="does not answer"):
        told_in_order(Unreachable(there))
    assert told_in_order(Connected(there, 1), PeerLost(there, 1), Unreachable(there))[-1] == "unreachable"


def test_what_waits_to_be_sent_back_is_bounded_in_bytes() -> None:
    gateway = FreenetGateway(private_key=NEW_KEY.secret, entropy=system_entropy)
    serving = Serving(gateway, JsonReporter(StringIO()), echo=True)
    for session in range(1, 6):
        serving._tell(MessageReceived(Place("udp", HERE, 9), bytes(15 << 20), generation=session))
    assert [*serving._waiting] == [2, 3, 4, 5]
    serving._tell(MessageReceived(Place("udp", HERE, 9), b"small", generation=6))
    serving._tell(MessageReceived(Place("udp", HERE, 9), bytes(15 << 20), generation=2))
    assert {session: len(echo.messages) for session, echo in serving._waiting.items()} == {2: 1, 3: 1, 4: 1, 5: 1, 6: 1}
    serving._send_back(0.0)  # nobody of them is there
    assert (serving._waiting, serving._held) == ({}, 0)


def test_what_is_sent_back_stays_in_order_and_who_takes_nothing_keeps_nobody_waiting() -> None:
    """A message may fit where one before it did not."""

    def send(session: int, data: bytes, now: float) -> bool:
        """In session 1 there is never room, and in 2 just now for what is short."""
        fits = session == 3 or (session == 2 and (len(data) == 1 or now > 0.0))
        if fits:
            taken[session].append(data)
        return fits

    taken: dict[int, list[bytes]] = {2: [], 3: []}
    gateway = cast("FreenetGateway", SimpleNamespace(stats=Stats(), sessions=(1, 2, 3), send=send))
    serving = Serving(gateway, JsonReporter(StringIO()), echo=True)
    messages = [b"long", b"1", b"longer", b"2"]
    for data in messages:
        for session in (1, 2, 3):
            serving._tell(MessageReceived(Place("udp", HERE, 9), data, generation=session))
    serving._send_back(0.0)
    assert taken == {2: [], 3: messages}
    serving._send_back(1.0)
    assert taken == {2: messages, 3: messages}
    assert [*serving._waiting] == [1]


def test_a_gateway_of_another_version(ends: Ends) -> None:
    core = FreenetGateway(private_key=NEW_KEY.secret, entropy=system_entropy, version=Version((0, 3, 0), (0, 3, 0)))
    with run(core, sockets={"udp": (HERE, 0)}) as running:
        at = f"{HERE}:{running.addresses['udp'].port}"
        found = ends.start("join", NEW_KEY.public.hex(), at, "--key", ends.folder / "me").wait()
    assert found.code == 5
    assert "0.3.0" in found.err


def test_a_gateway_warns_once_of_a_wrong_key_and_of_a_version_that_does_not_fit(ends: Ends) -> None:
    gateway, port = ends.gateway()
    gate = bytes.fromhex(ends.key("gate"))
    old = Version((0, 1, 0), (0, 1, 0))
    here, wrong, refused = Place("udp", HERE, port), NEW_KEY.public, list[bool]()
    for key, version, reason in (
        (wrong, OURS, "other_key"),
        (gate, old, "other_version"),
        (gate, old, "other_version"),
    ):
        core = FreenetPeer(private_key=os.urandom(32), entropy=system_entropy, version=version)
        with run(core, sockets={"udp": (HERE, 0)}) as running:
            running.call(lambda now, core=core, key=key: core.connect(key, here, now, gateway=True))
            assert told(gateway, "warning", 1 if reason == "other_key" else 2)["reason"] == reason
            refused += [isinstance(running.next_event(timeout=PATIENCE), Refused)] if key == gate else []
    assert refused == [True, True]
    gateway.signal(signal.SIGINT)
    assert [event["event"] for event in gateway.wait().events] == ["gateway_started", "warning", "warning", "stopped"]


def test_what_a_person_is_warned_of_is_what_a_gateway_counts() -> None:
    counted = reasons.dropped("freenet").keys() | reasons.noted("freenet").keys()
    assert {what for what, _, _ in WORTH_TELLING} <= counted


def test_what_is_wrong_is_said(ends: Ends) -> None:
    gate, key = ends.key("gate"), ("--key", ends.folder / "me")
    failed(ends.start("join", "00" * 32, f"{HERE}:1", *key).wait(), 2, "public key")
    failed(ends.start("join", gate, HERE, *key).wait(), 2, "HOST:PORT")
    failed(ends.start("join", gate, f"{HERE}:1", "--key", ends.folder / "gate").wait(), 2, "our own key")
    failed(ends.start("join", gate, "nobody.invalid:1", *key).wait(), 3, "nobody.invalid")
    _, port = ends.gateway()
    for words in (
        ("gateway", "--key", ends.folder / "gate", "--bind", f"{HERE}:{port}"),
        ("join", gate, f"{HERE}:1", *key, "--bind", f"{HERE}:{port}"),
    ):
        found = ends.start(*words).wait()
        assert found.code == 6
        assert "choose another --bind" in found.err


STORY = (
    *("The joiner knows", " Intro ", " AckConnectionV2 ", " AckConnection ", " Ping ", " ShortMessage "),
    *("A liar asks", "liar → gateway", " AckConnectionV2 ", "gateway → joiner    Ping", "joiner → gateway   Pong"),
    *("is killed", "newcomer → gateway   Intro", "gateway → newcomer  AckConnectionV2", " ShortMessage ", " Ping "),
    *("The newcomer was in after", "the gateway has session 2"),
)


def test_the_demo_tells_of_a_joiner_that_restarts_as_somebody_else() -> None:
    shown, at = StringIO(), 0
    show_freenet(Console(file=shown, width=200))
    for said in STORY:
        assert said in shown.getvalue()[at:], shown.getvalue()
        at = shown.getvalue().index(said, at) + len(said)


def test_the_demo_fails_if_the_old_session_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked whether it is still there."""
    monkeypatch.setattr(demo_freenet, "_PATIENCE", 2.5)
    monkeypatch.setattr(Generation, "ask", lambda *_: None)
    with pytest.raises(CommandFailed, match="waited in vain"):
        show_freenet(Console(file=StringIO()))


def test_ctrl_c_ends_both(ends: Ends) -> None:
    gateway, port = ends.gateway()
    joiner = ends.join(port)
    told(joiner, "connected")
    joiner.signal(signal.SIGINT)
    gateway.signal(signal.SIGINT)
    assert (joiner.wait().code, gateway.wait().code) == (130, 0)
    assert gateway.wait().events[-1]["event"] == "stopped"

"""The two programs of the how-to, as processes, in a domain with a messages mixer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGINT
from threading import Thread, Timer
from types import SimpleNamespace
from typing import Any

import pytest
from standing_in import MessagesMixer

from sansproto.contract import Address
from sansproto.overte import SOCKET, DomainClient, DomainServer, NodeActivated, NodeType, PacketReceived
from sansproto.overte.payloads import MessagesData, MessagesSubscribe
from sansproto_threads import Runner, run, system_entropy, wall_epoch

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
PATIENCE = 60.0
ASSIGNMENT = b"a messages mixer"
ANYWHERE = {SOCKET: ("127.0.0.1", 0)}

pytestmark = pytest.mark.unmeasured


def client(address: Address, **how: Any) -> DomainClient:
    return DomainClient(host=address.host, port=address.port, entropy=system_entropy, wall_epoch=wall_epoch(), **how)


def serve(mixer: DomainClient, runner: Runner[Any]) -> None:
    standing_in = MessagesMixer(SimpleNamespace(endpoint=mixer, call=runner.call, events=[]))  # type: ignore[arg-type]
    for event in runner:
        if isinstance(event, PacketReceived):
            standing_in.take(event)


@pytest.fixture
def domain() -> Iterator[Address]:
    """Where a domain is that has a messages mixer."""
    server = DomainServer(domain_id=bytes(15) + b"\1", entropy=system_entropy, wall_epoch=wall_epoch())
    with ExitStack() as stack:
        serving = stack.enter_context(run(server, sockets=ANYWHERE))
        serving.call(server.assign, ASSIGNMENT, NodeType.MESSAGES_MIXER)
        address = serving.addresses[SOCKET]
        mixer = client(address, node_type=NodeType.MESSAGES_MIXER, interest=b"I", assignment=ASSIGNMENT)
        mixing = stack.enter_context(run(mixer, sockets=ANYWHERE))
        mixing.call(mixer.connect)
        Thread(target=serve, args=(mixer, mixing), daemon=True).start()
        yield address


@pytest.fixture
def program(request: pytest.FixtureRequest, domain: Address) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(HOWTO / request.param), domain.host, str(domain.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        killer = Timer(PATIENCE, process.kill)
        killer.start()
        yield process
        process.send_signal(SIGINT)
        assert process.stdout is not None
        assert process.stdout.read().endswith("bye\n")
        assert process.wait() == 0
        killer.cancel()


def until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"it ended, and did not say {text!r}")


@pytest.mark.parametrize("program", ["chat_bot.py"], indirect=True)
def test_the_chat_bot_answers(program: subprocess.Popen[str], domain: Address) -> None:
    until(program, "in the chat")
    guest, heard = client(domain, interest=b"m"), ""
    with run(guest, sockets=ANYWHERE) as runner:
        runner.call(guest.connect)
        while not isinstance(event := runner.next_event(timeout=PATIENCE), NodeActivated):
            pass
        mixer = event.node_id
        assert runner.call(guest.send, mixer, MessagesSubscribe("chat"))
        while heard != "pong":
            assert runner.call(guest.send, mixer, MessagesData.of_text("chat", "ping", guest.session_id))
            with suppress(TimeoutError):  # a subscription may arrive later than what is said: say it again
                while heard != "pong":
                    event = runner.next_event(timeout=1)
                    packet = guest.read(event) if isinstance(event, PacketReceived) else None
                    heard = packet.text if isinstance(packet, MessagesData) else ""
    until(program, "asked")


@pytest.mark.parametrize("program", ["node_monitor.py"], indirect=True)
def test_the_node_monitor_tells_who_is_there_and_who_goes(program: subprocess.Popen[str], domain: Address) -> None:
    assert until(program, "is a ").endswith("is a MESSAGES_MIXER\n")
    assert domain.host in until(program, "answers at")
    assert " ms away" in until(program, "away")

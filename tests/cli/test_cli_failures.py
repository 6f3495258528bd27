"""Every failure is one line that says what happened and what to do, a code of its own, and leaves nothing behind."""

from __future__ import annotations

import os
import queue
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha1
from secrets import token_bytes
from unittest.mock import ANY

import pytest
from cli_commands import (
    PASSWORD,
    PATIENCE,
    Command,
    Place,
    Result,
    wait_long_for_a_greeting,
    write_no_large_files,
)
from cli_commands import failed as _failed

from sansproto.bob import (
    RELAY_PORT,
    SECURE_PORT,
    Client,
    Connected,
    FileVerified,
    PackReader,
    PeerAgreed,
    PeerEvent,
    Relay,
    Server,
)
from sansproto.bob import packets as p
from sansproto.contract import Link
from sansproto.errors import NotOpen
from sansproto.events import CloseCause, Closed, DataReceived, Writable
from sansproto_cli.app import run_command
from sansproto_sockets import system_entropy
from sansproto_threads import Runner, run

_SIZE = 40_000_000


# -- nobody, or nobody with that password ------------------------------------------------------------------------------


def test_a_wrong_password_is_told_on_both_sides(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    sender = place.send(path)
    _failed(place.receive("-y", "--timeout", 2, password="marble").wait(), 4, "password is wrong", "compare it")
    assert "has another password. Still waiting." in sender.wait_for("another")
    assert place.receive("-y").wait().code == 0  # the sender still waits, for the right one
    assert sender.wait().code == 0


def test_nobody_comes(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    sender = place.start("send", path, *place.at, "-p", "one", "--timeout", 0.3)
    receiver = place.start("receive", "two", *place.at, "--yes", "--timeout", 0.3)
    _failed(sender.wait(), 3, "Nobody came")
    assert receiver.wait().code in (3, 4)  # 4 if it met the sender with the other password
    _failed(place.receive("--yes", "--timeout", 0.2).wait(), 3, "No sender came")


def test_there_is_no_relay(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    nowhere = ("--relay", "127.0.0.1:1")
    _failed(place.start("receive", PASSWORD, *nowhere, "-y", "-o", place.inbox).wait(), 6, "127.0.0.1:1", "refused")
    _failed(place.start("send", path, *nowhere).wait(), 6, "check the address")
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = place.start("send", path, "--relay", f"127.0.0.1:{server.getsockname()[1]}")
        with server.accept()[0] as other:
            other.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            _failed(sender.wait(), 6, "is not a relay", "check address and ports")


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["send"], 2, "Nothing to send"),
        (["send", "nowhere"], 9, "No such file"),
        (["send", ""], 9, "Cannot read '' (No such file"),
        (["receive", "x", "-r", "h", "-o", ""], 2, "--output is empty"),
        (["send", "--nonsense"], 2, "neither an option nor a file"),
        (["send", "-", "nowhere"], 2, "send it alone"),
        (["receive", "x"], 2, "--relay"),
        (["receive", "--nonsense"], 2, "Word 2"),
        (["receive", "x", "-r", "h:x"], 2, "HOST:PORT"),
        (["receive", "x", "-r", "h", "-o", "nowhere/"], 9, "not a folder"),
        (["receive", "x", "-r", "h", "-o", "nowhere/a"], 9, "not a folder"),
        (["receive", "x", "-r", "h", "--max-size", "1 apple"], 2, "not a size"),
        (["receive", "-r", "h"], 2, "There is no password"),
        (["relay", "--bind", "192.0.2.77", "--port", "0"], 6, "Cannot listen"),
        (["relay", "--bind", "a" * 64, "--port", "0"], 6, "no host name"),
        (["relay", "--port", "99999"], 2, "65535"),
        (["send", "nowhere", "--secure-port", "-1"], 2, ">= 0"),
        (["send", "nowhere", "-p", "tab\t"], 2, "cannot be shown"),
        (["send", "nowhere", "-p", "\udcff"], 2, "cannot be shown"),
        (["receive", "x", "-r", "h", "--secure-port", "70000"], 2, "65535"),
        (["receive", "x", "-r", "h:" + "9" * 5000], 2, "HOST:PORT"),
        (["receive", "x", "-r", "192.0.2.1:9000:9001"], 2, "HOST:PORT"),
        (["receive", "x", "-r", "h", "--max-size", "9" * 5000], 2, "not a size"),
        (["receive", "x", "-r", "h", "--timeout", "nan"], 2, ">= 0"),
        (["receive", "x", "-r", "h", "-o", "o" * 300], 9, "too long"),
        (["receive", "x", "-r", "h", "-o", "/proc"], 9, "Cannot write to /proc"),
        (["nonsense"], 2, "not a command"),
        (
            ["egtp", "mailbox", "--bind", "h:1"],
            2,
            "--key is missing, or has no value: give it. See sansproto egtp mailbox -",
        ),
        (["tox", "pipe", "--key", "k"], 2, "FRIEND is missing"),
        (["domain", "serve", "--colour"], 2, "not an option of this command. See sansproto domain serve --help."),
        (["egtp", "pipe", "00" * 32, "--key", "k"], 2, "These 64 digits are not a public key of a peer"),
    ],
)
def test_wrong_usage(
    arguments: list[str], code: int, word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sansproto_cli.app.read_line", lambda: None)
    found = run_command(arguments)
    _failed(Result(found, *capsys.readouterr()), code, word)


def test_a_wrong_secure_port_is_not_taken_for_a_missing_relay(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    at = ("--relay", f"127.0.0.1:{place.port}", "--secure-port", 1)
    sender = place.start("send", path, *at, "-p", PASSWORD)
    _failed(place.start("receive", PASSWORD, *at, "-y", "-o", place.inbox).wait(), 6, "check --secure-port")
    _failed(sender.wait(), 6, "check --secure-port")


def test_a_sender_does_not_wait_for_ever_for_a_yes(place: Place) -> None:
    """A receiver that says no, or nothing, is not told of by every relay."""
    path = place.folder / "a"
    path.write_bytes(b"1")
    client = _client(place)
    sender = place.send(path, "--timeout", 2)
    with run(client, linger=1.0) as runner:
        runner.call(client.connect)
        _failed(sender.wait(), 3, "Nobody said yes")
    assert "knows the password" in sender.wait().out


def test_a_sender_tells_of_who_leaves_without_a_yes(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    sender, client = place.send(path), _client(place)
    with run(client, linger=1.0) as runner:
        runner.call(client.connect)
        while not isinstance(event := runner.next_event(timeout=PATIENCE), PeerAgreed):
            pass
        runner.call(partial(client.refuse, event.uid))
        runner.call(client.close)
    sender.wait_for("said no, or left before the transfer began. Still waiting.")
    assert place.receive("-y").wait().code == 0
    assert sender.wait().code == 0


class Fickle(Server):
    """Agrees and leaves, before anybody can accept."""

    def receive_data(self, link: Link, data: bytes, now: float) -> None:
        super().receive_data(link, data, now)
        if any(isinstance(event, PeerAgreed) for event in self._events):
            self.close(now)


def test_a_receiver_tells_of_a_sender_who_goes_with_another(place: Place) -> None:
    server = Fickle(
        relay=("127.0.0.1", place.port),
        secure_port=place.secure_port,
        password=PASSWORD.encode(),
        entropy=system_entropy,
    )
    receiver = place.receive("-y", "--timeout", 3)
    with run(server, linger=1.0) as runner:
        runner.call(server.connect)
        assert any(isinstance(event, PeerAgreed) for event in runner)
    _failed(receiver.wait(), 3, "left, or chose another receiver")


class Hesitant(Relay):
    """The one that a client accepts first leaves before this relay hears that, and another one agrees before."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[tuple[Link, bytes]] = []
        self.waits = True
        self.agreed = 0

    def receive_data(self, link: Link, data: bytes, now: float) -> None:
        if self.links[link].listener == SECURE_PORT:
            super().receive_data(link, data, now)
            return
        while data:
            header, packet, size = p.FRAME.decode_prefix(data, 0)
            piece, data = data[:size], data[size:]
            if isinstance(packet, p.Accepted) and self.waits:
                self.held.append((link, piece))
                self.chosen = self.registry.uids[header.uid]
            else:
                super().receive_data(link, piece, now)
            self.agreed += isinstance(packet, p.Agreement)
            if self.held and self.agreed == 2:
                self.waits = False
                super().receive_eof(self.chosen, now)
                super().receive_data(*self.held.pop(), now)


def test_a_receiver_goes_on_with_another_that_agreed_if_the_first_one_leaves(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    with run(Hesitant(), listen={RELAY_PORT: ("127.0.0.1", 0), SECURE_PORT: ("127.0.0.1", 0)}) as runner:
        ports = runner.addresses[RELAY_PORT].port, runner.addresses[SECURE_PORT].port
        at = "--relay", f"127.0.0.1:{ports[0]}", "--secure-port", ports[1]
        senders = [place.start("send", path, *at, "-p", PASSWORD) for _ in range(2)]
        for sender in senders:
            sender.wait_for("type")
        receiver = place.start("receive", PASSWORD, *at, "-o", place.inbox, "-y", "--timeout", 5).wait()
        assert receiver.code == 0, receiver.err
        assert " left." in receiver.out
        assert sorted(sender.wait().code for sender in senders) == [0, 6]


# -- one failed attempt ------------------------------------------------------------------------------------------------


def _agree_and_stay_away(place: Place) -> None:
    """A receiver that agrees, and to which the secure port is closed."""
    client = _client(place, secure_port=1)
    with run(client, linger=1.0) as runner:
        runner.call(client.connect)
        while not isinstance(event := runner.next_event(timeout=PATIENCE), Closed):
            if isinstance(event, PeerAgreed):
                runner.call(partial(client.accept, event.uid))
    assert event.cause is CloseCause.UNREACHABLE


def _wait_a_second_at_the_secure_port() -> None:
    from sansproto_cli import app

    assert app._LOBBY == 15.0
    app._LOBBY = 1.0


def test_a_receiver_that_never_comes_to_the_secure_port_does_not_cost_the_sender_its_session(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    sender = place.send(path, before=_wait_a_second_at_the_secure_port)
    sender.wait_for("sansproto receive")
    for _ in range(2):
        _agree_and_stay_away(place)
        shown = sender.wait_for("Waiting again")
    assert f"did not come to the secure port {place.secure_port} of 127.0.0.1" in shown
    assert place.receive("-y").wait().code == 0
    sent = sender.wait()
    assert (sent.code, sent.out.count("sansproto receive")) == (0, 1)


def test_the_time_of_a_sender_covers_what_comes_before_the_transfer(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    sender = place.send(path, "--timeout", 2)
    sender.wait_for("sansproto receive")
    _agree_and_stay_away(place)
    _failed(sender.wait(), 3, "said yes in 2 s")


@pytest.mark.parametrize("command", ["send", "receive"])
def test_a_relay_that_says_nothing_is_waited_for_as_long_as_was_said(place: Place, command: str) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = [path] if command == "send" else [PASSWORD]
        at = "--relay", f"127.0.0.1:{server.getsockname()[1]}"
        _failed(place.start(command, *words, *at, "--timeout", 0.5).wait(), 6, "did not answer in time")


def test_a_relay_that_is_stopped_ends_those_who_wait_there(own_place: Place) -> None:
    path = own_place.folder / "a"
    path.write_bytes(b"1")
    sender, receiver = own_place.send(path), own_place.receive(password="another")
    sender.wait_for("another password")
    receiver.wait_for("another password")
    own_place.relay.signal(signal.SIGINT)
    _failed(sender.wait(), 6, "has stopped")
    _failed(receiver.wait(), 6, "has stopped")


def _client(place: Place, secure_port: int | None = None) -> Client:
    return Client(
        relay=("127.0.0.1", place.port),
        secure_port=secure_port or place.secure_port,
        password=PASSWORD.encode(),
        entropy=system_entropy,
    )


def test_the_standard_input_is_closed() -> None:
    arguments = [sys.executable, "-m", "sansproto_cli", "send", "-"]
    found = subprocess.run(arguments, preexec_fn=lambda: os.close(0), capture_output=True, text=True, timeout=PATIENCE)
    _failed(Result(found.returncode, found.stdout, found.stderr), 9, "standard input is closed")


@pytest.mark.parametrize("command", [("relay", "--bind", "127.0.0.1"), ("domain", "serve", "--bind", "127.0.0.1")])
def test_output_that_cannot_be_written_is_told_as_that(command: tuple[str, ...]) -> None:
    ports = ("--port", "0", *(("--secure-port", "0") if command[0] == "relay" else ()))
    for json in ((), ("--json",)):
        arguments = [sys.executable, "-m", "sansproto_cli", *command, *ports, *json]
        ours, theirs = os.pipe()
        os.close(ours)
        with os.fdopen(theirs, "wb") as out:
            found = subprocess.run(arguments, stdout=out, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
        _failed(Result(found.returncode, "", found.stderr), 9, "Cannot write the output (Broken pipe)")


# -- in the middle of it -----------------------------------------------------------------------------------------------


def _under_way(place: Place) -> tuple[Command, Command]:
    """A sender, and a receiver that is being asked: surely in the middle."""
    path = place.folder / "big"
    path.write_bytes(token_bytes(_SIZE))
    sender = place.send(path, "--no-compress")
    receiver = place.receive(stdin=None)
    receiver.wait_for("[Y/n]")
    return sender, receiver


def test_the_relay_is_killed_midway(own_place: Place) -> None:
    sender, receiver = _under_way(own_place)
    own_place.relay.signal(signal.SIGKILL)
    receiver.type("y")
    _failed(sender.wait(), 7, "before the file was complete")
    _failed(receiver.wait(), 7, "before the file was complete")
    assert own_place.received == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_receiver_that_is_interrupted_leaves_nothing(place: Place, number: signal.Signals, code: int) -> None:
    sender, receiver = _under_way(place)
    receiver.signal(number)
    assert receiver.wait().code == code
    _failed(sender.wait(), 7, "The other side was stopped")
    assert place.received == []


def test_a_receiver_that_is_killed_is_noticed(place: Place) -> None:
    sender, receiver = _under_way(place)
    receiver.signal(signal.SIGKILL)
    _failed(sender.wait(), 7, "before the file was complete")


def test_success_is_not_claimed_for_others(own_place: Place) -> None:
    """Of a small file nothing is with the relay, or at the other side, before somebody says yes to it."""
    path = own_place.folder / "small"
    path.write_bytes(b"1")

    def asked() -> tuple[Command, Command]:
        sender, receiver = own_place.send(path), own_place.receive(stdin=None)
        receiver.wait_for("[Y/n]")
        return sender, receiver

    sender, receiver = asked()
    receiver.signal(signal.SIGKILL)  # for which a relay writes a closing packet
    _failed(sender.wait(), 7, "before the file was complete")
    sender = own_place.send(path, "--json")
    _take_and_leave(own_place)
    finished = sender.wait()
    assert (finished.code, finished.event("finished")["confirmed"]) == (0, False)
    sender = own_place.send(path)
    _take_and_leave(own_place)
    assert "did not say whether it has the whole file" in sender.wait().out
    sender, receiver = asked()
    own_place.relay.signal(signal.SIGKILL)
    _failed(sender.wait(), 7, "before the file was complete")
    _failed(receiver.wait(), 7, "before the file was complete")
    assert own_place.received == []


def _take_and_leave(place: Place) -> None:
    """Receive as others do: what they think of it they do not say."""
    client, pack, found = _client(place), PackReader(max_size=1), list[object]()
    with run(client, linger=1.0) as runner:
        runner.call(client.connect)
        while not any(isinstance(event, FileVerified) for event in found):
            match runner.next_event(timeout=PATIENCE):
                case PeerAgreed(uid):
                    runner.call(partial(client.accept, uid))
                case DataReceived(data):
                    found += pack.feed(data)
        runner.call(client.close)


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        (signal.SIGINT, 130, (10, "The sender gave up (it was stopped)")),
        (signal.SIGTERM, 143, (10, "The sender gave up (it was stopped)")),
        (signal.SIGKILL, -9, (7, "start both sides again")),
    ],
)
def test_a_sender_that_is_interrupted_leaves_nothing(
    place: Place, number: signal.Signals, code: int, told: tuple[int, str]
) -> None:
    sender, receiver = _under_way(place)
    sender.signal(number)
    assert sender.wait().code == code
    _failed(receiver.wait(), *told)
    assert place.received == []


def test_a_sender_that_is_interrupted_between_contents_says_so(place: Place) -> None:
    """A pipe whose end does not come: the transfer is surely in the middle."""
    sender = place.send("-", stdin=None)
    receiver = place.start("receive", PASSWORD, *place.at, "-y", "-o", "-")
    sender.type("a line")
    receiver.wait_for("a line")
    sender.signal(signal.SIGINT)
    assert sender.wait().code == 130
    result = receiver.wait()
    assert result.code == 10
    assert "The sender gave up (it was stopped)" in result.err


def test_a_receiver_whose_sender_ends_with_its_relay_is_told_so(own_place: Place) -> None:
    receiver = own_place.receive("-y")
    receiver.wait_for("Waiting for the sender")
    own_place.relay.signal(signal.SIGINT)
    _failed(receiver.wait(), 6, "has stopped", "the sender has sent to somebody else, or was stopped")


def allow_descriptors(more: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (more + max(map(int, os.listdir("/proc/self/fd"))), 4096))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not tell its descriptors")
def test_too_many_open_files_are_no_bug(place: Place) -> None:
    senders = [
        place.send(__file__, "--timeout", 0.5, before=partial(allow_descriptors, more)) for more in (-2, 0, 1, 2, 3, 5)
    ]
    results = [sender.wait() for sender in senders]
    assert {result.code for result in results} <= {3, 6, 9}
    assert any("Too many open files" in result.err for result in results)


@pytest.mark.parametrize("command", [("send", __file__), ("receive", PASSWORD, "-y")])
def test_a_relay_whose_name_is_not_known_has_the_code_of_a_name(place: Place, command: tuple[str, ...]) -> None:
    _failed(
        place.start(*command, "--relay", "nohost.invalid").wait(), 3, "Cannot find nohost.invalid", "check the name"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
@pytest.mark.parametrize(
    ("words", "begun"),
    [
        (("send", __file__), "type"),
        (("receive", PASSWORD), "Waiting"),
        (("domain", "connect", "127.0.0.1:1", "--timeout", "60"), "Asking"),
    ],
    ids=["send", "receive", "domain connect"],
)
def test_an_interrupted_command_says_so_in_one_line(
    place: Place, words: tuple[str, ...], begun: str, number: signal.Signals, code: int
) -> None:
    command = place.start(*words, *(place.at if words[0] in ("send", "receive") else ()))
    command.wait_for(begun)
    command.signal(number)
    result = command.wait()
    assert (result.code, result.err) == (code, "sansproto: Interrupted: start again.\n")


def test_an_interrupted_wait_is_told_to_scripts(place: Place) -> None:
    path = place.folder / "a"
    path.write_bytes(b"1")
    sender = place.send(path, "--json")
    sender.wait_for("waiting")
    sender.signal(signal.SIGTERM)
    result = sender.wait()
    assert (result.code, result.err) == (143, "")
    assert result.events[-1] == {"event": "failed", "code": 143, "reason": "terminated", "message": ANY}


def test_an_interrupted_import_ends_quietly() -> None:
    script = """if True:
    import os, signal, sys
    class Finder:
        def find_spec(self, name, path, target=None):
            if name == "sansproto_cli.line":
                os.kill(os.getpid(), signal.SIGINT)
    sys.meta_path.insert(0, Finder())
    from sansproto_cli.__main__ import main
    main()
    """
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")


# -- the disk ----------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_nothing_is_left(place: Place) -> None:
    """A limit of the system on the size of files stands for the disk."""
    path = place.folder / "big"
    path.write_bytes(token_bytes(4_000_000))
    sender = place.send(path)
    _failed(place.receive("--yes", before=write_no_large_files).wait(), 9, "full", "--output")
    _failed(sender.wait(), 7, "The other side has no room for the file")
    assert place.received == []


def test_a_size_that_cannot_fit_is_refused_before_the_question(place: Place) -> None:
    with _hostile_sender(place, _pack(b"huge", b"", claimed=1 << 55)):
        _failed(place.receive("--max-size", str(1 << 60)).wait(), 9, "has room for")


def test_too_much_for_the_policy_is_refused(place: Place) -> None:
    with _hostile_sender(place, _pack(b"large", bytes(1001))):
        _failed(place.receive("--yes", "--max-size", "1K").wait(), 8, "--max-size")
    assert place.received == []


def test_a_sender_hears_that_its_file_is_too_large(place: Place) -> None:
    path = place.folder / "large"
    path.write_bytes(bytes(1001))
    sender = place.send(path)
    _failed(place.receive("--yes", "--max-size", "1000").wait(), 8, "--max-size")
    _failed(sender.wait(), 7, "The other side takes no file of this size", "--max-size")


# -- a hostile sender --------------------------------------------------------------------------------------------------


def _pack(name: bytes, contents: bytes, *, claimed: int | None = None) -> list[bytes]:
    """What PackWriter would refuse to write."""

    def header(kind: int, size: int) -> bytes:
        head = [kind << 4 | size & 15]
        size >>= 4
        while size:
            head[-1] |= 0x80
            head.append(size & 0x7F)
            size >>= 7
        return bytes(head)

    size = len(contents) if claimed is None else claimed
    parts = [b"PACK" + struct.pack(">II", 2, 2), header(4, len(name)), zlib.compress(name), header(3, size)]
    parts.append(zlib.compress(contents))
    return [*parts, sha1(b"".join(parts)).digest()]


@contextmanager
def _hostile_sender(place: Place, records: list[bytes], *, then_cut: bool = False) -> Iterator[queue.Queue[bytes]]:
    """Knows the password, and sends these records; what it hears."""
    server = Server(
        relay=("127.0.0.1", place.port),
        secure_port=place.secure_port,
        password=PASSWORD.encode(),
        entropy=system_entropy,
        client_cipher=p.Cipher.AES_256_GCM,
    )
    runner: Runner[PeerEvent] = run(server, linger=1.0)
    is_over, heard = threading.Event(), queue.Queue[bytes]()

    def serve() -> None:
        pending = [record[at : at + 32_767] for record in records for at in range(0, len(record), 32_767)]
        with runner:
            runner.call(server.connect)
            while not is_over.is_set():
                try:
                    event = runner.next_event(timeout=0.1)
                except TimeoutError:
                    continue
                if isinstance(event, Closed):
                    return
                if isinstance(event, DataReceived):
                    heard.put(event.data)
                try:
                    while isinstance(event, Connected | Writable) and pending:
                        if not runner.call(lambda now: server.send(pending[0], now)):
                            break
                        pending.pop(0)
                except NotOpen:  # the receiver may end it at any moment: what it said is still to be taken
                    pending.clear()
                if isinstance(event, Connected | Writable) and then_cut and not pending:
                    runner.call(server.close)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        is_over.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        (b"../../escaped", "escaped"),
        (b"/etc/cron.d/escaped", "escaped"),
        (b"..\\..\\escaped", "_.\\..\\escaped"),
        (b".bashrc", "_bashrc"),
        (b"[red]markup", "[red]markup"),
        (b"n" * 255, "n" * 255),
    ],
)
def test_a_name_is_a_last_component_in_the_chosen_folder(place: Place, name: bytes, kept: str) -> None:
    with _hostile_sender(place, _pack(name, b"data")):
        result = place.receive("--yes").wait()
    assert result.code == 0, result.err
    assert place.received == [kept]
    assert sorted(path.name for path in place.folder.iterdir() if path.suffix != ".err")[0] == "inbox"


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/", b"a/..", b"\x1b[2J", b"a\0b", b"\xff", b"n" * 1025])
def test_a_name_that_no_file_may_have_is_refused(place: Place, name: bytes) -> None:
    with _hostile_sender(place, _pack(name, b"data")) as heard:
        _failed(place.receive("--yes").wait(), 8, "rename")
        assert [heard.get(timeout=PATIENCE) for _ in range(2)] == [b"receiving", b'failed {"reason": "name"}']
    assert place.received == []


def test_a_zip_bomb_stops_at_the_announced_size(place: Place) -> None:
    with _hostile_sender(place, _pack(b"bomb", bytes(50_000_000), claimed=1000)):
        _failed(place.receive("--yes").wait(), 8, "not the file that was announced")
    assert place.received == []


def test_a_name_that_is_too_long_is_cut_and_told(place: Place) -> None:
    with _hostile_sender(place, _pack(b"n" * 300 + b".txt", b"data")):
        result = place.receive("--yes").wait()
    assert result.code == 0, result.err
    assert "is too long a name here: it will be nnn" in result.out
    assert place.received == ["n" * 251 + ".txt"]


def test_contents_that_inflate_to_nothing_end_soon(place: Place) -> None:
    """However long they go on: these would for a gigabyte."""
    head = [*_pack(b"a", b"data")[:4], b"\x78\x01"]
    with _hostile_sender(place, [*head, *[b"\0\0\0\xff\xff" * 6000] * 40_000]):
        _failed(place.receive("--yes").wait(), 8, "nothing was kept")
    assert place.received == []


@pytest.mark.parametrize("glued", [True, False])
def test_bytes_behind_the_checksum_are_an_error(place: Place, glued: bool) -> None:
    records = _pack(b"a", b"data")
    records = [*records[:-1], records[-1] + b"more"] if glued else [*records, b"more"]
    with _hostile_sender(place, records):
        _failed(place.receive("--yes").wait(), 8, "not the file that was announced")
    assert place.received == []


@pytest.mark.parametrize("damage", ["checksum", "contents"])
def test_a_damaged_file_never_gets_its_name(place: Place, damage: str) -> None:
    records = _pack(b"a", b"data" * 1000)
    which = -1 if damage == "checksum" else -2
    records[which] = records[which][:-1] + bytes([records[which][-1] ^ 1])
    with _hostile_sender(place, records):
        _failed(place.receive("--yes").wait(), 8, "nothing was kept")
    assert place.received == []


def test_a_truncated_file_is_an_error(place: Place) -> None:
    with _hostile_sender(place, _pack(b"a", b"data" * 1000)[:-1], then_cut=True):
        _failed(place.receive("--yes").wait(), 7, "before the file was complete")
    assert place.received == []


def _typed(records: list[bytes]) -> list[bytes]:
    return [b"\0" + record for record in records]


_WHOLE = _typed(_pack(b"a", b"data"))


def test_a_sender_that_gives_up_says_why_in_one_line_and_without_control_characters(place: Place) -> None:
    with _hostile_sender(place, [*_WHOLE[:-1], b"\2no\x1b[2J\nand: " + b"x" * 1012]):
        result = place.receive("--yes").wait()
    _failed(result, 10, "The sender gave up (no\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}and: xxx")
    assert place.received == []


@pytest.mark.parametrize(
    "records",
    [
        [*_WHOLE, b"\4"],
        [b"\xff" + _WHOLE[0]],
        [*_WHOLE[:-1], b"\3"],
        [*_WHOLE, b"\3\0"],
        [*_WHOLE, b"\0more", b"\3"],
        [_WHOLE[0], b"\0", *_WHOLE[1:], b"\3"],
        [_WHOLE[0], b"\1[]", *_WHOLE[1:], b"\3"],
        [*_WHOLE, b"\2" + b"x" * 1025],
    ],
)
def test_typed_records_that_are_none_are_refused(place: Place, records: list[bytes]) -> None:
    with _hostile_sender(place, records):
        _failed(place.receive("--yes").wait(), 8, "nothing was kept")
    assert place.received == []


def test_what_is_typed_is_complete_only_with_its_end(place: Place) -> None:
    with _hostile_sender(place, [b'\1{"use": null}', *_WHOLE, b"\3"]):
        assert place.receive("--yes").wait().code == 0
    assert (place.inbox / "a").read_bytes() == b"data"
    with _hostile_sender(place, _WHOLE, then_cut=True):
        _failed(place.receive("--yes").wait(), 7, "before the file was complete")
    assert place.received == ["a"]


def test_a_name_that_no_receiver_takes_is_not_sent(place: Place) -> None:
    path = place.folder / "10\t30"
    path.write_bytes(b"")
    _failed(place.start("send", path).wait(), 8, "'10\\x0930'", "rename it", "--name")


def test_a_folder_of_the_reference_is_not_read(place: Place) -> None:
    records = _pack(b"a", b"tree")
    records[1] = bytes([records[1][0] & 0x8F | 1 << 4]) + records[1][1:]
    with _hostile_sender(place, records):
        _failed(place.receive("--yes").wait(), 8, "a folder in this form")


def test_a_sender_whose_file_shrinks_says_so(place: Place) -> None:
    path = place.folder / "log"
    path.write_bytes(_SIZE * b"1")
    sender = place.send(path, "--no-compress", before=wait_long_for_a_greeting)
    receiver = place.receive(stdin=None)
    receiver.wait_for("[Y/n]")
    path.write_bytes(b"")
    receiver.type("y")
    _failed(sender.wait(), 9, "changed while it was sent")
    _failed(receiver.wait(), 10, "The sender gave up")
    assert place.received == []

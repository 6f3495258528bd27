"""``sansproto egtp``: pipes and mailboxes, by processes over real sockets on the loopback."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import attrs
import pytest
from cli_commands import PATIENCE, Command, failed
from rich.console import Console

from sansproto.egtp import KeyPair
from sansproto.recovery import Recovery
from sansproto.testing._internal import reasons
from sansproto_cli import demo_recovery
from sansproto_cli.addresses import parse_bind
from sansproto_cli.demo_recovery import show_recovery
from sansproto_cli.egtp_piping import MESSAGE, WORTH_TELLING, unsent
from sansproto_cli.exits import CommandFailed, Exit
from sansproto_cli.standard_streams import pieces
from sansproto_sockets import run

FAST = "--poll", 1
PROGRAM = sys.executable, "-m", "sansproto_cli", "egtp"
FREE = ("127.0.0.1", 0)


@attrs.define
class Ends:
    """Where a test runs its commands: each end has a key, and a port that stays its own."""

    folder: Path
    commands: list[Command] = attrs.field(factory=list)

    def start(self, *arguments: object, stdin: bytes | None = b"") -> Command:
        command = Command(self.folder, "egtp", *arguments, stdin=stdin)
        self.commands.append(command)
        return command

    def key(self, name: str) -> str:
        """The public key of an end."""
        file = self.folder / name
        if not file.exists():
            file.write_bytes(os.urandom(32).hex().encode())
            file.chmod(0o600)
        return KeyPair.of(bytes.fromhex(file.read_text())).public.hex()

    def pipe(self, name: str, peer: str, *arguments: object, stdin: bytes | None = None) -> Command:
        self.key(name)
        return self.start("pipe", self.key(peer), "--key", self.folder / name, "--json", *arguments, stdin=stdin)

    def mailbox(self, port: int = 0) -> tuple[Command, int, str]:
        """A mailbox server, its port, and what its users give."""
        files = "--key", self.folder / "server", "--store", self.folder / "store"
        command = self.start("mailbox", "--bind", f"127.0.0.1:{port}", *files, "--json")
        started = json.loads(command.wait_for("\n").splitlines()[0])
        return command, started["port"], f"{started['public_key']}@127.0.0.1:{started['port']}"


def place(command: Command) -> str:
    return str(json.loads(command.wait_for('"started"').splitlines()[0])["address"])


def free_place() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{held.getsockname()[1]}"


def talk(command: Command, other: Command, line: str) -> None:
    """Say a line until the other end has it: one that a restart swallowed is lost, as each pipe says."""
    deadline = time.monotonic() + PATIENCE
    for count in range(1000):
        command.type(f"{line} {count}")
        for _ in range(25):
            if f'"{line} ' in other.wait_for(""):
                return
            time.sleep(0.02)
        assert time.monotonic() < deadline, other.wait_for("")


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    there = Ends(tmp_path)
    yield there
    for command in there.commands:
        command.stop()


class TestKey:
    def test_made_once_for_its_owner_alone(self, ends: Ends) -> None:
        file = ends.folder / "new"
        first, again = ends.start("key", file).wait(), ends.start("key", file, "--json").wait()
        assert first.code == again.code == 0
        assert first.out == f"{ends.key('new')}\n"
        assert again.events[0]["public_key"] == ends.key("new")
        assert not again.events[0]["made"]
        assert file.stat().st_mode & 0o777 == 0o600

    def test_one_that_others_can_read_is_used_with_a_warning(self, ends: Ends) -> None:
        ends.key("open")
        (ends.folder / "open").chmod(0o644)
        result = ends.start("key", ends.folder / "open").wait()
        assert result.code == 0
        assert "chmod 600" in result.err

    @pytest.mark.parametrize("data", [b"", b"00" * 31, b"zz" * 32, b"\xff" * 64, b"00" * 33, b"00" * 200])
    def test_a_file_that_holds_none_is_left_alone(self, ends: Ends, data: bytes) -> None:
        file = ends.folder / "other"
        file.write_bytes(data)
        failed(ends.start("key", file).wait(), 9, "does not hold a key")
        assert file.read_bytes() == data

    def test_a_folder_that_is_not_there(self, ends: Ends) -> None:
        failed(ends.start("key", ends.folder / "none" / "key").wait(), 9, "There is no folder")

    def test_a_link_to_nowhere(self, ends: Ends) -> None:
        (ends.folder / "link").symlink_to(ends.folder / "nowhere")
        failed(ends.start("key", ends.folder / "link").wait(), 9, "link")
        assert not (ends.folder / "nowhere").exists()

    def test_a_disk_that_is_full_leaves_nothing_behind(self, ends: Ends) -> None:
        """A part of a key would be no key, and for ever in the way of one."""

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

        program = [*PROGRAM, "key", str(ends.folder / "new")]
        found = subprocess.run(program, capture_output=True, preexec_fn=limit, timeout=PATIENCE, check=False)
        assert found.returncode == 9
        assert b"Cannot use" in found.stderr
        assert not list(ends.folder.iterdir())

    def test_two_that_make_it_at_once_have_one(self, ends: Ends) -> None:
        both = [ends.start("key", ends.folder / "new") for _ in range(2)]
        first, second = (command.wait() for command in both)
        assert first.out == second.out == f"{ends.key('new')}\n"
        assert not [path for path in ends.folder.iterdir() if path.name.endswith(".part")]


class TestDirect:
    def test_lines_pass_both_ways_and_the_end_of_one_input_ends_both(self, ends: Ends) -> None:
        called = ends.pipe("a", "b", "--bind", "127.0.0.1:0")
        caller = ends.pipe("b", "a", "--to", place(called))
        talk(caller, called, "there")
        talk(called, caller, "back")
        caller.end_input()
        first, second = caller.wait(), called.wait()
        assert first.code == second.code == 0
        assert second.event("finished")["reason"]

    def test_all_of_the_input_arrives(self, ends: Ends) -> None:
        data = b"one\n\n" + bytes(range(14, 128)) * 80 + b"\nno end"
        at = free_place()
        ends.key("a")
        called = ends.start("pipe", ends.key("b"), "--key", ends.folder / "a", "--bind", at, stdin=None)
        sent = ends.pipe("b", "a", "--to", at, stdin=data).wait()
        got = called.wait()
        assert sent.code == got.code == 0
        assert got.out.encode("latin-1") == data

    def test_nothing_is_heard_from_others(self, ends: Ends) -> None:
        called = ends.pipe("a", "b", "--bind", "127.0.0.1:0")
        stranger = ends.pipe("c", "a", "--to", place(called))
        stranger.type("let me in")
        talk(ends.pipe("b", "a", "--to", place(called)), called, "friend")
        time.sleep(1.0)  # the stranger has called at least twice by now
        assert "let me in" not in called.wait_for("")
        assert "connected" not in stranger.wait_for("")

    @pytest.mark.parametrize("killed", ["called", "caller"])
    def test_either_end_is_killed_and_comes_back(self, ends: Ends, killed: str) -> None:
        called = ends.pipe("a", "b", "--bind", "127.0.0.1:0")
        at = place(called)
        caller = ends.pipe("b", "a", "--to", at)
        talk(caller, called, "before")
        if killed == "called":
            called.stop()
            called = ends.pipe("a", "b", "--bind", at)
        else:
            caller.stop()
            caller = ends.pipe("b", "a", "--to", at)
        talk(called, caller, "to the caller")
        talk(caller, called, "to the called")

    def test_the_end_that_calls_is_on_another_port(self, ends: Ends) -> None:
        """Its first port is gone with its first process, and the one that is called knows no other."""
        called = ends.pipe("a", "b", "--bind", "127.0.0.1:0")
        at = place(called)
        first = ends.pipe("b", "a", "--bind", "127.0.0.1:0", "--to", at)
        talk(first, called, "before")
        first.stop()
        talk(ends.pipe("b", "a", "--bind", "127.0.0.2:0", "--to", at), called, "after")

    def test_messages_wait_for_an_end_that_is_not_there_yet(self, ends: Ends) -> None:
        at = free_place()
        early = ends.pipe("b", "a", "--to", at)
        early.type("early")
        place(early)
        called = ends.pipe("a", "b", "--bind", at)
        called.wait_for('"early\\n"')

    def test_an_input_that_ends_while_the_other_end_is_dead_waits_for_it(self, ends: Ends) -> None:
        """What was said to it is lost, but nobody says that all is well."""
        called = ends.pipe("a", "b", "--bind", "127.0.0.1:0")
        at = place(called)
        caller = ends.pipe("b", "a", "--to", at)
        talk(caller, called, "before")
        called.stop()
        caller.type("to nobody")
        caller.wait_for('"silent"')
        caller.end_input()
        time.sleep(1.0)
        assert caller.is_running
        called = ends.pipe("a", "b", "--bind", at)
        assert caller.wait().code == called.wait().code == 0
        assert called.wait().event("finished")["reason"] == "normal"

    def test_an_end_that_is_called_by_a_wrong_key_says_so(self, ends: Ends) -> None:
        called = ends.pipe("a", "b", "--bind", "127.0.0.1:0")
        ends.pipe("b", "c", "--to", place(called))
        assert '"other_key"' in called.wait_for('"warning"')

    def test_an_end_that_is_called_by_somebody_else_says_so(self, ends: Ends) -> None:
        called = ends.pipe("a", "c", "--bind", "127.0.0.1:0")
        ends.pipe("b", "a", "--to", place(called))
        assert '"other_caller"' in called.wait_for('"warning"')

    @pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
    def test_nobody_calls_itself(self, ends: Ends, bound: str) -> None:
        ends.key("a")
        at = free_place().rpartition(":")[2]
        arguments = "--key", ends.folder / "a", "--bind", f"{bound}:{at}", "--to", f"127.0.0.1:{at}"
        result = ends.start("pipe", ends.key("b"), *arguments).wait()
        assert result.code == 2
        assert "our own address" in result.err


class TestByMailbox:
    def test_two_ends_that_never_meet(self, ends: Ends) -> None:
        _, _, server = ends.mailbox()
        one = ends.pipe("a", "b", "--mailbox", server, *FAST)
        other = ends.pipe("b", "a", "--mailbox", server, *FAST)
        talk(one, other, "there")
        talk(other, one, "back")
        one.end_input()
        assert one.wait().code == other.wait().code == 0

    def test_an_end_and_then_the_server_is_killed(self, ends: Ends) -> None:
        command, port, server = ends.mailbox()
        one = ends.pipe("a", "b", "--mailbox", server, *FAST)
        other = ends.pipe("b", "a", "--mailbox", server, *FAST)
        talk(one, other, "before")
        other.stop()
        other = ends.pipe("b", "a", "--mailbox", server, *FAST)
        talk(one, other, "after the end")
        command.stop()
        command, _, _ = ends.mailbox(port)
        assert json.loads(command.wait_for("\n").splitlines()[0])["mailboxes"] == 2
        talk(other, one, "after the server")

    def test_what_is_wrong_with_a_server_is_told_from_the_beginning(self, ends: Ends) -> None:
        _, port, server = ends.mailbox()
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))  # and nobody listens
            nobody = f"{server.partition('@')[0]}@127.0.0.1:{held.getsockname()[1]}"
            away = ends.pipe("a", "b", "--mailbox", nobody, *FAST)
            assert '"reason": "unreachable"' in away.wait_for('"mailbox_lost"')
        other = ends.pipe("a", "b", "--mailbox", f"{ends.key('c')}@127.0.0.1:{port}", *FAST)
        assert '"reason": "bad_handshake"' in other.wait_for('"mailbox_lost"')

    def test_two_processes_with_one_key_are_told(self, ends: Ends) -> None:
        _, _, server = ends.mailbox()
        first = ends.pipe("a", "b", "--mailbox", server, *FAST)
        first.wait_for('"mailbox_reached"')
        ends.pipe("a", "b", "--mailbox", server, *FAST)
        assert '"reason": "superseded"' in first.wait_for('"mailbox_lost"')

    def test_who_calls_an_end_that_has_no_mailbox_is_told(self, ends: Ends) -> None:
        _, _, server = ends.mailbox()
        caller = ends.pipe("a", "b", "--mailbox", server, *FAST)
        assert '"not_taken"' in caller.wait_for('"warning"')

    def test_a_store_is_open_once(self, ends: Ends) -> None:
        ends.mailbox()
        files = "--key", ends.folder / "server", "--store", ends.folder / "store"
        failed(ends.start("mailbox", "--bind", "127.0.0.1:0", *files).wait(), 9, "another process")

    def test_a_port_that_is_taken(self, ends: Ends) -> None:
        _, port, _ = ends.mailbox()
        files = "--key", ends.folder / "server", "--store", ends.folder / "store2"
        failed(ends.start("mailbox", "--bind", f"127.0.0.1:{port}", *files).wait(), 6, "--bind")

    def test_ctrl_c_ends_it_well(self, ends: Ends) -> None:
        command, _, _ = ends.mailbox()
        command.signal(signal.SIGINT)
        result = command.wait()
        assert result.code == 0
        assert result.events[-1]["event"] == "stopped"

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_ends_at_once_whoever_is_connected(self, ends: Ends, number: int) -> None:
        command, port, server = ends.mailbox()
        with socket.create_connection(("127.0.0.1", port)) as silent, socket.create_connection(("127.0.0.1", port)):
            ends.pipe("a", "b", "--mailbox", server, *FAST).wait_for('"mailbox_reached"')
            begun = time.monotonic()
            command.signal(number)
            result = command.wait()
            assert time.monotonic() - begun < 2.0
            silent.settimeout(PATIENCE)
            assert silent.recv(1) == b""
        assert result.code == 0
        assert result.events[-1]["event"] == "stopped"


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((), "No meeting place is named"),
            (("--to", "127.0.0.1"), "HOST:PORT"),
            (("--to", "127.0.0.1:0"), "HOST:PORT"),
            (("--bind", "127.0.0.1:65536"), "HOST:PORT"),
            (("--mailbox", "127.0.0.1:7000"), "PUBLICKEY@HOST:PORT"),
            (("--mailbox", "00@127.0.0.1:7000"), "64 digits"),
            (("--poll", "0", "--bind", ":0"), ""),
            (("--mailbox", f"{'00' * 32}@127.0.0.1:7000"), "64 digits"),
        ],
    )
    def test_wrong(self, ends: Ends, arguments: tuple[str, ...], words: str) -> None:
        ends.key("a")
        result = ends.start("pipe", ends.key("b"), "--key", ends.folder / "a", *arguments).wait()
        assert result.code == 2
        assert words in result.err

    @pytest.mark.parametrize("key", ["00" * 32, "ff" * 32, "01" + "00" * 31, "zz" * 32, "00"])
    def test_what_is_no_key_of_a_node(self, ends: Ends, key: str) -> None:
        ends.key("a")
        failed(ends.start("pipe", key, "--key", ends.folder / "a", "--to", "127.0.0.1:9").wait(), 2, "not a public key")

    def test_our_own_key(self, ends: Ends) -> None:
        failed(ends.start("pipe", ends.key("a"), "--key", ends.folder / "a", "--bind", ":0").wait(), 2, "our own key")

    @pytest.mark.parametrize("key", ["00" * 32, "01" + "00" * 31, "ff" * 32])
    def test_a_key_that_no_node_has(self, ends: Ends, key: str) -> None:
        ends.key("a")
        for arguments in ((key, "--bind", ":0"), (ends.key("b"), "--mailbox", f"{key}@127.0.0.1:7000")):
            failed(ends.start("pipe", *arguments, "--key", ends.folder / "a").wait(), 2, "64 digits")

    def test_no_key(self, ends: Ends) -> None:
        result = ends.start("pipe", ends.key("b"), "--key", ends.folder / "none", "--bind", ":0").wait()
        failed(result, 9, "sansproto egtp key")

    def test_an_address_that_is_not_ours(self, ends: Ends) -> None:
        ends.key("a")
        arguments = "--key", ends.folder / "a", "--bind", "192.0.2.1:0"
        failed(ends.start("pipe", ends.key("b"), *arguments).wait(), 6, "--bind")

    @pytest.mark.parametrize(("closed", "code"), [(0, 0), (1, 9)])
    def test_a_standard_stream_that_is_closed(self, ends: Ends, closed: int, code: int) -> None:
        """None of its own files gets the number: messages would be read from there, or written into it."""
        at, errors = free_place(), ends.folder / "errors"
        program = [*PROGRAM, "pipe", ends.key("b"), "--key", str(ends.folder / "a"), "--bind", at]
        ends.key("a")
        with (
            errors.open("wb") as err,
            subprocess.Popen(
                program,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=err,
                preexec_fn=lambda: os.close(closed),
            ) as called,
        ):
            try:
                caller = ends.start("pipe", ends.key("a"), "--key", ends.folder / "b", "--to", at, stdin=None)
                caller.type("into nothing")
                assert called.wait(PATIENCE) == code
            finally:
                called.kill()
        assert ("Cannot write the output" in errors.read_text()) is (closed == 1)

    @pytest.mark.parametrize("options", [(), ("--json",)])
    def test_a_reader_that_stops_does_not_keep_it_from_its_end(self, ends: Ends, options: tuple[str, ...]) -> None:
        at = free_place()
        program = [*PROGRAM, "pipe", ends.key("b"), "--key", str(ends.folder / "a"), "--bind", at, *options]
        ends.key("a")
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as called:
            try:
                ends.start("pipe", ends.key("a"), "--key", ends.folder / "b", "--to", at, stdin=b"x" * 10**6)
                assert called.stdout is not None
                deadline = time.monotonic() + PATIENCE
                while int.from_bytes(fcntl.ioctl(called.stdout, termios.FIONREAD, bytes(4)), sys.byteorder) < 50_000:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                time.sleep(0.5)
                called.terminate()
                assert called.wait(PATIENCE) == 143
            finally:
                called.kill()

    def test_ctrl_c(self, ends: Ends) -> None:
        waiting = ends.pipe("a", "b", "--bind", "127.0.0.1:0")
        place(waiting)
        waiting.signal(signal.SIGINT)
        assert waiting.wait().code == 130


class TestDemo:
    def test_an_end_is_killed_and_found_again(self) -> None:
        shown = StringIO()
        show_recovery(Console(file=shown, width=200))
        story = [
            *("The survivor calls", " H1 ", " H2 ", '"line 1"', '"I have heard line 1"'),
            *("is killed", " nobody ", '"line ', " nobody ", '"line '),
            *("starts again", '"line ', "a token", " HINT ", " H1 ", " H2 "),
            *("both ways", '"I have heard line', " close", "The survivor knew"),
        ]
        at = 0
        for told in story:
            assert told in shown.getvalue()[at:], shown.getvalue()
            at = shown.getvalue().index(told, at) + len(told)

    def test_it_fails_if_they_do_not_find_each_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The survivor is deaf to hints, and waits for less time than its silence would take."""
        begin = demo_recovery._Timeline.begin

        def lose_patience(timeline: demo_recovery._Timeline, chapter: str) -> None:
            begin(timeline, chapter)
            if chapter == demo_recovery._BACK:
                monkeypatch.setattr(demo_recovery, "_PATIENCE", 0.5)

        monkeypatch.setattr(Recovery, "hear_hint", lambda core, hint: None)
        monkeypatch.setattr(demo_recovery._Timeline, "begin", lose_patience)
        with pytest.raises(CommandFailed, match="to notice the restart") as failure:
            show_recovery(Console(file=StringIO()))
        assert failure.value.code is Exit.BUG

    def test_it_tells_why_the_other_end_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(demo_recovery, "LOOPBACK", "192.0.2.1")
        monkeypatch.setattr(demo_recovery.sansproto_sockets, "run", lambda node, **_: run(node, sockets={"udp": FREE}))
        with pytest.raises(CommandFailed, match="No socket"):
            show_recovery(Console(file=StringIO()))


def test_what_a_person_is_told_of_is_what_a_node_counts() -> None:
    counted = reasons.dropped("egtp").keys() | reasons.refused("egtp").keys()
    assert {what for what, _, _ in WORTH_TELLING} <= counted


def test_one_message_is_one() -> None:
    assert unsent(1) == "1 message was not sent"
    assert unsent(2) == "2 messages were not sent"


def test_pieces_are_lines_none_longer_than_a_message() -> None:
    line = bytes(2 * MESSAGE + 5)
    assert pieces(b"a\rb\n\n" + line + b"\nrest", MESSAGE) == [
        b"a\rb\n",
        b"\n",
        line[:MESSAGE],
        line[:MESSAGE],
        bytes(5) + b"\n",
        b"rest",
    ]
    assert pieces(bytes(MESSAGE), MESSAGE) == [bytes(MESSAGE), b""]
    assert pieces(b"", MESSAGE) == [b""]


class TestBind:
    """HOST:PORT, of all commands that listen."""

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("", ("", 9)),
            ("127.0.0.1", ("127.0.0.1", 9)),
            ("127.0.0.1:7000", ("127.0.0.1", 7000)),
            ("127.0.0.1:0", ("127.0.0.1", 0)),
            (":7000", ("", 7000)),
            ("[::1]:7000", ("::1", 7000)),
            ("[::1]", ("::1", 9)),
            ("::1", ("::1", 9)),
            ("::", ("::", 9)),
            ("localhost:7000", ("localhost", 7000)),
        ],
    )
    def test_taken_apart(self, text: str, place: tuple[str, int]) -> None:
        assert parse_bind(text, 9) == place

    @pytest.mark.parametrize(
        "text", [":", ":x", "a:65536", "[::1", "[::1]7000", "[::1]:", "a:b:c", "127.0.0.1:-1", " :1"]
    )
    def test_wrong(self, text: str) -> None:
        with pytest.raises(CommandFailed) as failure:
            parse_bind(text, 9)
        assert failure.value.code is Exit.USAGE

    @pytest.mark.parametrize("command", [("relay", "--secure-port", "0"), ("domain", "serve"), ("domain", "ice")])
    def test_its_port_goes_before_port(self, ends: Ends, command: tuple[str, ...]) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
        started = Command(ends.folder, *command, "--bind", f"127.0.0.1:{port}", "--port", 1, "--json")
        ends.commands.append(started)
        assert json.loads(started.wait_for("\n").splitlines()[0])["port"] == port

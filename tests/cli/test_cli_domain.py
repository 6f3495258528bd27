"""``sansproto domain``: served and visited by processes over real sockets on the loopback."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs
import pytest
from cli_commands import PATIENCE, Command, Result
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from rich.console import Console

from sansproto.contract import Phase
from sansproto.overte import (
    SOCKET,
    Connected,
    DomainClient,
    DomainServer,
    KeyWanted,
    Permissions,
    UsernameAnswered,
)
from sansproto_cli.addresses import own_address
from sansproto_cli.app import run_command
from sansproto_cli.demo_domain import show_domain
from sansproto_cli.domain_app import FoundBy
from sansproto_sockets import run, system_entropy

MIXER = str(uuid.UUID(int=7))
DOMAIN = str(uuid.UUID(int=9))
HOSTILE = "\x1b[2J\u202e[red]\r\nforged line"


@attrs.frozen
class Domains:
    """Where a test runs its commands; a domain has a free port."""

    folder: Path
    commands: list[Command] = attrs.field(factory=list)

    def start(self, *arguments: object) -> Command:
        command = Command(self.folder, "domain", *arguments)
        self.commands.append(command)
        return command

    def serve(self, *arguments: object, port: int = 0) -> tuple[Command, int]:
        command = self.start("serve", "--bind", "127.0.0.1", "--port", port, "--json", *arguments)
        return command, json.loads(command.wait_for("\n").splitlines()[0])["port"]

    def connect(self, port: int, *arguments: object) -> Command:
        return self.start("connect", f"127.0.0.1:{port}", *arguments)

    def mixer(self, port: int, *arguments: object) -> Command:
        return self.connect(port, "--type", "audio-mixer", "--assignment", MIXER, "--interest", "I", *arguments)


@pytest.fixture
def domains(tmp_path: Path) -> Iterator[Domains]:
    there = Domains(tmp_path)
    yield there
    for command in there.commands:
        command.stop()


def _failed(result: Result, code: int, *words: str) -> None:
    assert result.code == code, result.out + result.err
    assert result.err.startswith("sansproto: ")
    assert result.err.count("\n") == 1
    for word in words:
        assert word in result.err


def _event(command: Command, name: str) -> dict[str, Any]:
    """The first event of this name, once it was told."""
    told = command.wait_for(f'"event": "{name}"')
    return next(event for event in map(json.loads, told.splitlines()) if event["event"] == name)


# -- a visit -----------------------------------------------------------------------------------------------------------


def test_nodes_come_are_measured_and_go(domains: Domains) -> None:
    server, port = domains.serve("--assign", f"audio-mixer={MIXER}", "--id", DOMAIN)
    client = domains.connect(port, "--json", "--place", "/somewhere")
    connected = _event(client, "connected")
    assert connected["domain_id"] == DOMAIN
    assert connected["permissions"] == ["connect", "rez avatar entities"]
    mixer = domains.mixer(port, "--json")
    added = _event(client, "node_added")
    assert added["type"] == "audio mixer"
    assert _event(mixer, "node_added")["node"] == connected["session"]
    assert _event(client, "node_reached")["node"] == added["node"]
    measured = _event(client, "node_measured")
    assert 0 <= measured["ping_ms"] < 1000
    assert abs(measured["skew_us"]) < 1_000_000
    mixer.signal(signal.SIGINT)
    assert mixer.wait().code == 0
    assert _event(client, "node_removed")["reason"] == "removed"
    client.signal(signal.SIGINT)
    assert client.wait().event("left")
    server.wait_for(connected["session"] + '", "reason": "left"')
    server.signal(signal.SIGINT)
    told = server.wait()
    assert told.code == 0
    assert [event["event"] for event in told.events].count("left") == 2
    assert (told.event("joined")["place"], told.event("joined")["type"]) == ("/somewhere", "agent")


def test_a_name_with_several_addresses_leads_to_the_one_that_answers(domains: Domains) -> None:
    """``localhost`` is ::1, too, where nobody serves anything."""
    server, port = domains.serve()
    client = domains.start("connect", f"localhost:{port}", "--for", 0.1)
    assert client.wait().code == 0
    assert _event(server, "joined")["address"].startswith("127.0.0.1:")


def test_lines_tell_the_same_to_people(domains: Domains) -> None:
    server = domains.start("serve", "--bind", "127.0.0.1", "--port", 0, "--assign", f"audio-mixer={MIXER}")
    command = next(line for line in server.wait_for("connect").splitlines() if "sansproto domain" in line)
    port = int(command.rpartition(":")[2])
    client = domains.connect(port)
    client.wait_for("In the domain")
    mixer = domains.mixer(port)
    shown = client.wait_for("its clock is")
    client.signal(signal.SIGTERM)
    left = client.wait()
    assert (left.code, left.err) == (0, "")
    mixer.wait_for("left.")
    told = server.wait_for("left.")
    for text in (shown, told):
        assert all(char == "\n" or char.isprintable() for char in text)
    assert "audio mixer" in shown
    assert "answers at" in shown
    assert "came in from 127.0.0.1:" in told


def test_a_terminal_gets_a_table_and_its_cursor_back(domains: Domains) -> None:
    _server, port = domains.serve("--assign", f"audio-mixer={MIXER}")
    domains.mixer(port)
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "sansproto_cli", "domain", "connect", f"127.0.0.1:{port}"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as client:
        os.close(theirs)
        shown = b""
        while b"reached" not in shown:
            shown += os.read(ours, 10_000)
        client.send_signal(signal.SIGINT)
        while b"Left the domain" not in shown:
            shown += os.read(ours, 10_000)
        assert client.wait(PATIENCE) == 0
    os.close(ours)
    assert b"clock" in shown
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")


def test_a_domain_that_was_away_is_entered_again(domains: Domains) -> None:
    first, port = domains.serve("--id", DOMAIN)
    client = domains.connect(port, "--json", "--timeout", 5)  # which is for the first time only
    _event(client, "connected")
    first.signal(signal.SIGKILL)
    first.stop()
    assert _event(client, "disconnected")["reason"] == "silent"
    second, _port = domains.serve("--id", DOMAIN, port=port)
    client.wait_for(_event(second, "joined")["node"])
    client.signal(signal.SIGINT)
    told = client.wait()
    assert told.code == 0
    names = [event["event"] for event in told.events]
    assert names == ["connecting", "connected", "disconnected", "connected", "left"]
    assert _event(second, "left")["reason"] == "left"


def test_what_others_say_does_not_reach_the_terminal(domains: Domains) -> None:
    server = domains.start("serve", "--bind", "127.0.0.1", "--port", 0)
    port = int(server.wait_for("connect 127.0.0.1:").rstrip().rpartition(":")[2])
    domains.connect(port, "--place", HOSTILE, "--for", 0.1).wait()
    told = server.wait_for("left.")
    assert all(char == "\n" or char.isprintable() for char in told)
    assert not any(line.startswith("forged") for line in told.splitlines())
    _server, port = domains.serve("--capacity", 0, "--redirect", HOSTILE)
    refused = domains.connect(port).wait()
    _failed(refused, 5, "forged line")
    assert all(char == "\n" or char.isprintable() for char in refused.err)


# -- who does not get in -----------------------------------------------------------------------------------------------


def test_a_denial_is_told_in_words(domains: Domains) -> None:
    server, port = domains.serve("--capacity", 0, "--redirect", "hifi://elsewhere")
    other = domains.connect(port, "--protocol", "2026-newest-known")
    full = domains.connect(port)
    patient = domains.connect(port, "--timeout", 1.5, "--json")
    _failed(other.wait(), 5, "Domain version: 2025.05.1", "another release", "--protocol")
    _failed(full.wait(), 5, "Too many connected users", "hifi://elsewhere", "try again later")
    assert _event(server, "refused")["reason"] in ("protocol_mismatch", "too_many_users")
    told = patient.wait()
    assert told.code == 5
    assert (told.event("denied")["code"], told.event("failed")["reason"]) == (4, "refused")


def test_a_name_is_proved_or_refused(domains: Domains) -> None:
    key, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    ours, theirs, public = (domains.folder / name for name in ("ours.pem", "theirs.der", "ours.pub"))
    ours.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    theirs.write_bytes(other.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    server, port = domains.serve("--allow", f"Ada={public}")
    ada = domains.connect(port, "--username", "ADA", "--key", ours, "--for", 0.1)
    forger = domains.connect(port, "--username", "ada", "--key", theirs, "--timeout", 3)
    eve = domains.connect(port, "--username", "eve", "--key", theirs, "--timeout", 3)
    nobody = domains.connect(port)
    assert ada.wait().code == 0
    assert _event(server, "joined")["username"] == "ada"
    _failed(nobody.wait(), 5, "permissions", "ask the owner", "--username")
    _failed(forger.wait(), 5, "username", "--key")
    _failed(eve.wait(), 5, "username", "--key")
    assert _event(server, "unknown_user")["username"] == "eve"


def _key_pair(folder: Path, name: str) -> tuple[Path, Path, bytes]:
    """Files of a private and a public key, and the private one."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    ours, public = folder / f"{name}.der", folder / f"{name}.pub"
    ours.write_bytes(private)
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return ours, public, private


def test_an_admin_throws_somebody_out_for_good_and_asks_who_it_is(domains: Domains) -> None:
    ben_key, ben_public, _ = _key_pair(domains.folder, "ben")
    _, ada_public, ada_private = _key_pair(domains.folder, "ada")
    server, port = domains.serve("--allow", f"ben={ben_public}", "--admin", f"Ada={ada_public}")
    ben = domains.connect(port, "--username", "ben", "--key", ben_key, "--json")
    session = uuid.UUID(_event(ben, "connected")["session"]).bytes
    admin = DomainClient(
        host="127.0.0.1",
        port=port,
        entropy=system_entropy,
        wall_epoch=0.0,
        username="ada",
        private_key=ada_private,
    )
    with run(admin, sockets={SOCKET: ("127.0.0.1", 0)}) as runner:
        runner.call(admin.connect)
        while not isinstance(event := runner.next_event(timeout=PATIENCE), Connected):
            pass
        assert event.permissions & Permissions.KICK
        runner.call(lambda now: admin.ask_username(session, now))
        while not isinstance(event := runner.next_event(timeout=PATIENCE), UsernameAnswered):
            pass
        assert (event.username, event.may_kick) == ("ben", False)
        runner.call(lambda now: admin.kick(admin.session_id, now))  # nobody throws out oneself
        runner.call(lambda now: admin.kick(session, now))
        while _event(server, "banned")["ban"] != "name:ben":
            pass
        assert _event(server, "kick")["node"] == str(uuid.UUID(bytes=session))
        assert admin.phase is Phase.OPEN
    _failed(domains.connect(port, "--username", "ben", "--key", ben_key).wait(), 5, "permissions")
    _failed(domains.start("serve", "--admin", "eve").wait(), 2, "--admin eve=FILE")


def test_who_is_banned_stays_outside(domains: Domains) -> None:
    key, public, _ = _key_pair(domains.folder, "ben")
    _server, port = domains.serve("--admin", f"ben={public}", "--ban", "name:Ben", "--ban", "host:192.0.2.7")
    assert domains.connect(port, "--for", 0.1).wait().code == 0  # a guest
    _failed(domains.connect(port, "--username", "ben", "--key", key).wait(), 5, "permissions")


def test_the_address_of_a_place_leads_to_a_path_in_a_domain(domains: Domains) -> None:
    _server, port = domains.serve("--path", "/lobby=/1,2,3/0,0,0,1")
    there = domains.start("connect", f"hifi://127.0.0.1:{port}/lobby", "--json")
    assert _event(there, "path")["viewpoint"] == "/1,2,3/0,0,0,1"
    lost = domains.start("connect", f"HIFI://127.0.0.1:{port}/nowhere")
    lost.wait_for("The domain does not know the path /nowhere.")
    found = domains.start("connect", f"hifi://127.0.0.1:{port}", "--for", 0.1).wait()
    assert found.code == 0
    assert "leads to" not in found.out


def test_our_own_socket_and_public_address_are_told(domains: Domains) -> None:
    server, port = domains.serve()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    visit = domains.connect(port, "--bind", "127.0.0.1", "--port", own, "--public", "203.0.113.7:40105", "--for", 0.1)
    assert visit.wait().code == 0
    assert _event(server, "joined")["address"] == f"127.0.0.1:{own}"


def test_another_table_of_versions_is_another_protocol(domains: Domains) -> None:
    table = domains.folder / "ours.json"
    table.write_text('{"57": 19}')
    _server, port = domains.serve("--table", table)
    assert domains.connect(port, "--table", table, "--for", 0.1).wait().code == 0
    _failed(domains.connect(port).wait(), 5, "Domain version: ours", "--protocol")
    _failed(domains.connect(port, "--protocol", "vircadia").wait(), 5, "Domain version: ours")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[1]", "not an object of numbers"),
        ('{"57": "18"}', "not an object of numbers"),
        ('{"57": true}', "not an object of numbers"),
        ('{"106": 1}', "106"),
        ('{"57": 256}', "256"),
        ('{"x": 1}', "x"),
        ("{", "Expecting"),
        (" " * 70_000, "too large"),
    ],
)
def test_a_table_that_is_none_is_not_taken(
    content: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.json"
    table.write_text(content)
    assert run_command(["domain", "serve", "--table", str(table)]) == 9
    told = capsys.readouterr().err
    assert why in told
    assert '{"57": 18}' in told


def test_nobody_is_there(domains: Domains) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        taken = domains.start("serve", "--bind", "127.0.0.1", "--port", port)
        waiting = domains.connect(port)
        result = domains.connect(port, "--timeout", 0.5).wait()
        _failed(result, 3, f"127.0.0.1:{port}", "0.5 s", "check the address")
        _failed(taken.wait(), 6, "Cannot open the socket", "another address or port")
        waiting.wait_for("Asking")
        waiting.signal(signal.SIGINT)
        stopped = waiting.wait()
        assert stopped.code == 130
    _failed(domains.start("connect", "a" * 64).wait(), 3, "Cannot find", "check the name")


def test_who_is_not_expected_hears_nothing_and_is_told_what_to_check(domains: Domains) -> None:
    _server, port = domains.serve("--assign", f"avatar-mixer={MIXER}")
    _failed(domains.mixer(port, "--timeout", 1).wait(), 3, "No domain answered", "this --assignment as audio-mixer")
    ice = domains.start("ice", "--bind", "127.0.0.1", "--port", 0, "--json")
    where = f"127.0.0.1:{_event(ice, 'ice_started')['port']}"
    lost = domains.start("connect", "--ice", where, "--domain-id", DOMAIN, "--timeout", 1).wait()
    _failed(lost, 3, "No domain answered", "--ice and --domain-id")


def test_a_domain_that_does_not_find_out_the_key_of_a_name_answers_all_the_same(domains: Domains) -> None:
    key = domains.folder / "key.pem"
    private = rsa.generate_private_key(65537, 2048)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    arguments = {"entropy": system_entropy, "wall_epoch": 0.0, "domain_id": b"domain".ljust(16)}
    with run(DomainServer(**arguments), sockets={SOCKET: ("127.0.0.1", 0)}) as domain:
        port = domain.addresses[SOCKET].port
        client = domains.connect(port, "--username", "ada", "--key", key, "--timeout", 1)
        assert domain.next_event(timeout=PATIENCE) == KeyWanted("ada")
        while client.is_running:
            with suppress(TimeoutError):
                domain.next_event(timeout=0.1)
    _failed(client.wait(), 5, "answers, but did not let us in for 1 s", "the key of ada")


def test_an_address_that_is_every_address_is_told_as_one_that_others_can_type(domains: Domains) -> None:
    for command in (["serve"], ["ice"]):
        told = domains.start(*command, "--bind", "0.0.0.0", "--port", 0, "--json").wait_for("\n")
        assert json.loads(told.splitlines()[0])["host"] == own_address()


def test_a_domain_at_one_address_tells_the_ice_server_of_no_other() -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    with patch("sansproto_cli.domain_app.read_private_key", return_value=key):
        found_by = FoundBy(ice="h", ice_key=Path("key"))
        told = {bind: found_by.registration(bind) for bind in ("", "0.0.0.0", "::", "127.0.0.1", "localhost")}
    hosts = {bind: registration and registration.local_host for bind, registration in told.items()}
    everywhere = dict.fromkeys(("", "0.0.0.0", "::"), own_address())
    assert hosts == {**everywhere, "127.0.0.1": None, "localhost": None}


def test_an_ice_server_leads_to_a_domain(domains: Domains) -> None:
    key = domains.folder / "domain.pem"
    private = rsa.generate_private_key(65537, 2048)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    ice = domains.start("ice", "--bind", "127.0.0.1", "--port", 0, "--json")
    where = f"127.0.0.1:{_event(ice, 'ice_started')['port']}"
    server, _port = domains.serve("--ice", where, "--ice-key", key, "--id", DOMAIN)
    assert _event(ice, "peer_added")["type"] == "domain"
    client = domains.start("connect", "--ice", where, "--domain-id", DOMAIN, "--for", 0.1)
    assert client.wait().code == 0
    assert _event(server, "joined")["type"] == "agent"


# -- wrong usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["connect"], 2, "Which domain"),
        (["connect", "h", "--ice", "h", "--domain-id", DOMAIN], 2, "Which domain"),
        (["connect", "--ice", "h"], 2, "--domain-id"),
        (["connect", "--ice", "h", "--domain-id", "x"], 2, "give a UUID"),
        (["connect", "h:x"], 2, "HOST:PORT"),
        (["connect", "h", "--protocol", "1"], 2, "2025.05.1 or"),
        (["connect", "h", "--type", "cow"], 2, "audio-mixer"),
        (["connect", "h", "--interest", "MX"], 2, "M (audio-mixer)"),
        (["connect", "h", "--type", "audio-mixer"], 2, "give --assignment"),
        (["connect", "h", "--local-host", "here"], 2, "--local-host is not an address"),
        (["connect", "h", "--username", "ada"], 2, "--key"),
        (["connect", "h", "--username", "", "--key", "nowhere"], 2, "--username and --key"),
        (["connect", "h", "--username", "ada", "--key", "nowhere"], 9, "Cannot read nowhere"),
        (["connect", "h", "--account", "ada"], 2, "SANSPROTO_TOKENS"),
        (["connect", "h", "--place", "x" * 2000], 2, "place_name"),
        (["connect", "hifi://welcome"], 2, "welcome is the name of a place"),
        (["connect", "hifi://welcome/0,0,0"], 2, "give its address"),
        (["connect", "hifi://"], 2, "There is no address in hifi://"),
        (["connect", f"hifi://h:1/{'x' * 1024}"], 2, "at most 1,024 bytes"),
        (["connect", "h", "--public", "h"], 2, "HOST:PORT"),
        (["connect", "h", "--public", "here:1"], 2, "cannot be sent"),
        (["connect", "h", "--public", "192.0.2.7:1", "--stun", "h"], 2, "stun and public"),
        (["connect", "h", "--port", "x"], 2, "--port"),
        (["connect", "h", "--table", "nowhere"], 9, "Cannot read nowhere"),
        (["serve", "--ban", "ada"], 2, "name:NAME"),
        (["serve", "--ban", "host:example.org"], 2, "host:ADDRESS"),
        (["serve", "--ice", "h"], 2, "--ice-key"),
        (["serve", "--capacity", "-1"], 2, "--capacity"),
        (["serve", "--redirect", "\udcff"], 2, "redirect has no UTF-8"),
        (["serve", "--settings", "/dev/zero"], 9, "name a smaller file"),
        (["serve", "--allow", "ada"], 2, "NAME=FILE"),
        (["serve", "--assign", f"agent={MIXER}"], 2, "no type that is assigned"),
        (["serve", "--settings", "nowhere"], 9, "Cannot read nowhere"),
        (["serve", "--settings", __file__], 9, "is not JSON"),
        (["nonsense"], 2, "not a command"),
    ],
)
def test_wrong_usage(
    arguments: list[str], code: int, word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SANSPROTO_TOKENS", raising=False)
    _failed(Result(run_command(["domain", *arguments]), *capsys.readouterr()), code, word)


@pytest.mark.parametrize("data", ['{"a": 1}'.encode("utf-16"), b"[" * 100_000, b"\xff"], ids=["utf-16", "deep", "ff"])
def test_settings_that_are_no_json_are_not_taken(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(data)
    code = run_command(["domain", "serve", "--settings", str(path)])
    _failed(Result(code, *capsys.readouterr()), 9, "is not JSON")


def test_a_key_that_is_none_is_not_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key"
    curve, small = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 1024)
    for data in (
        b"nonsense",
        curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        small.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
    ):
        path.write_bytes(data)
        code = run_command(["domain", "connect", "h", "--username", "ada", "--key", str(path)])
        _failed(Result(code, *capsys.readouterr()), 9, "no RSA private key without a passphrase")
        code = run_command(["domain", "serve", "--allow", f"ada={path}"])
        _failed(Result(code, *capsys.readouterr()), 9, "no RSA public key")


# -- the demo ----------------------------------------------------------------------------------------------------------


def test_the_demo_shows_the_datagrams_of_a_domain() -> None:
    shown = StringIO()
    show_domain(Console(file=shown, width=200))
    names = ("DomainConnectRequest", "DomainList", "AddedNode", "DomainListRequest", "Ping", "PingReply", "RemovedNode")
    for name in (*names, "MIXED_AUDIO", "SILENT_AUDIO_FRAME", "HANDSHAKE", "ACK", "Both stayed in"):
        assert f" {name} " in shown.getvalue() or f"\n{name}" in shown.getvalue(), name

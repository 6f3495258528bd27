"""``sansproto tox`` through proxies that are not ours, HTTP and SOCKS5, over real sockets on the loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path as File
from typing import Any

import pytest
from test_cli_tox import HERE, Ends, Running, run_relay

from sansproto.contract import Address
from sansproto.tox import Proxy, ProxyKind
from sansproto_cli.app import run_command
from sansproto_cli.exits import CommandFailed
from sansproto_cli.tox_keys import Friend
from sansproto_cli.tox_listening import Listening
from sansproto_cli.tox_meeting import parse_proxy

REAL_PROXY = File(__file__).with_name("real_proxy.py")
KINDS = pytest.mark.parametrize("kind", ProxyKind, ids=lambda kind: kind.value)


@pytest.fixture
def ends(tmp_path: File) -> Iterator[Ends]:
    with ExitStack() as stack:
        yield Ends(tmp_path, stack)


@contextmanager
def real_proxy(kind: ProxyKind, *password: str) -> Iterator[Proxy]:
    command = [sys.executable, str(REAL_PROXY), kind.value, *password]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Proxy(kind, Address(HERE, int(process.stdout.readline())))
        process.stdin.close()


def name_of(proxy: Proxy) -> str:
    return f"{proxy.kind.value}://{proxy.address.host}:{proxy.address.port}"


def listen(ends: Ends, relay: str, proxy: Proxy) -> Running:
    """An echo for 'b' behind a proxy."""
    friends = [Friend(ends.keys("b").real.public, ends.keys("b").dht.public)]
    echo = Running(ends, "a", (relay,), proxy)
    echo.begin(lambda meeting, runner, check: Listening(meeting, runner, friends).run(check))
    return echo


# -- what goes through one


class Watch:
    """What this process asks of its host's network, from entering to leaving."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._is_on = False
        sys.addaudithook(self._note)  # for ever: there is no way to take one back

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._is_on and event.startswith("socket."):
            self.seen.append((event, arguments))

    def __enter__(self) -> Watch:
        self._is_on = True
        return self

    def __exit__(self, *_: object) -> None:
        self._is_on = False

    def of(self, event: str) -> list[Any]:
        return [arguments for one, arguments in self.seen if one == event]

    def addresses(self, event: str) -> set[tuple[Any, ...]]:
        """But those of Unix sockets, by which processes of the tests are started."""
        return {address for _, address in self.of(event) if isinstance(address, tuple)}

    @property
    def kinds(self) -> set[int]:
        internet = (-1, socket.AF_INET, socket.AF_INET6)
        return {kind & 0xF for _, family, kind, _ in self.of("socket.__new__") if family in internet and kind != -1}


@KINDS
def test_two_friends_meet_through_it_and_nothing_goes_past_it(ends: Ends, kind: ProxyKind) -> None:
    """The relay is known by a name, which only the proxy looks up."""
    keys, data = ends.keys("relay"), os.urandom(100_000)
    with run_relay(keys, 0) as port, real_proxy(kind) as proxy, Watch() as watch:
        relay = f"{keys.dht.public.hex()}@localhost:{port}"
        echo = listen(ends, relay, proxy)
        key, through = ("--key", ends.folder / "b"), ("--relay", relay, "--proxy", name_of(proxy))
        ends.keys("b")
        pipe = ends.start("pipe", ends.keys("a").name, *key, *through, "--json", stdin=data)
        result = pipe.wait()
        assert result.code == 0, result.err
        echo.stop()
    started = echo.told.event("started")
    assert (started["address"], started["proxy"]) == (None, name_of(proxy))
    told = [json.loads(line) for line in result.err.splitlines() or result.out.splitlines()]
    assert next(one for one in told if one["event"] == "started")["proxy"] == name_of(proxy)
    assert echo.told.event("stream")["size"] == len(data)
    assert watch.addresses("socket.connect") == {(HERE, proxy.address.port)}
    assert {arguments[0] for arguments in watch.of("socket.getaddrinfo")} <= {HERE}
    assert watch.addresses("socket.bind") == set()
    assert watch.kinds == {socket.SOCK_STREAM}


def test_what_would_go_past_a_proxy_is_seen(ends: Ends) -> None:
    """If the same is done without one."""
    with run_relay(ends.keys("relay"), 0) as port, Watch() as watch:
        echo = Running(ends, "a", (f"{ends.keys('relay').dht.public.hex()}@localhost:{port}",))
        echo.begin(lambda meeting, runner, check: Listening(meeting, runner, []).run(check))
        echo.told.event("relay_connected")
        echo.stop()
    assert "localhost" in {arguments[0] for arguments in watch.of("socket.getaddrinfo")}
    assert watch.addresses("socket.bind") != set()
    assert socket.SOCK_DGRAM in watch.kinds
    assert (HERE, port) in {address[:2] for address in watch.addresses("socket.connect")}


# -- what goes wrong


def reason(ends: Ends, proxy: Proxy, relay: str = "localhost:1") -> str:
    """What is told of a relay that is not reached."""
    event = listen(ends, f"{ends.keys('relay').dht.public.hex()}@{relay}", proxy).told.event("relay_lost")
    assert event["address"] == relay
    assert event["text"].startswith(f"The proxy does not lead to the relay at {relay} (")
    return str(event["reason"])


@contextmanager
def a_port(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Where somebody does something to the first who comes, and is gone."""

    def accept() -> None:
        with listener.accept()[0] as connection:
            serve(connection)

    with socket.create_server((HERE, 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("kind", "told"),
    [(ProxyKind.SOCKS5, "proxy_connection_refused"), (ProxyKind.HTTP, "proxy_refused")],
    ids=lambda one: str(getattr(one, "value", "")),
)
def test_a_relay_that_the_proxy_cannot_reach(ends: Ends, kind: ProxyKind, told: str) -> None:
    with real_proxy(kind) as proxy:
        assert reason(ends, proxy) == told


@KINDS
def test_a_proxy_that_wants_a_password(ends: Ends, kind: ProxyKind) -> None:
    with real_proxy(kind, "password") as proxy:
        assert reason(ends, proxy) == "proxy_needs_password"


@KINDS
def test_a_port_where_nobody_listens(ends: Ends, kind: ProxyKind) -> None:
    with socket.socket() as held:
        held.bind((HERE, 0))
        assert reason(ends, Proxy(kind, Address(HERE, held.getsockname()[1]))) == "proxy_unreachable"


@KINDS
def test_a_port_that_speaks_something_else(ends: Ends, kind: ProxyKind) -> None:
    with a_port(lambda connection: connection.sendall(b"220 mail.example ESMTP ready\r\n")) as port:
        assert reason(ends, Proxy(kind, Address(HERE, port))) == "proxy_bad_reply"


@KINDS
def test_a_port_that_is_closed_again(ends: Ends, kind: ProxyKind) -> None:
    with a_port(lambda connection: connection.shutdown(socket.SHUT_WR)) as port:
        assert reason(ends, Proxy(kind, Address(HERE, port))) == "proxy_closed"


# -- the option

SECRET = "marble-acoustic"


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:9050",
        "socks4://127.0.0.1:9050",
        "socks5:/127.0.0.1:9050",
        "SOCKS5://127.0.0.1:9050",
        "socks5://",
        "socks5://127.0.0.1",
        "socks5://127.0.0.1:0",
        "socks5://127.0.0.1:65536",
        "http://:8080",
        "http://127.0.0.1:8080/",
        "http://::1:8080",
        f"http://user:{SECRET}@127.0.0.1:8080",
        f"socks5://{SECRET}@127.0.0.1:8080",
        SECRET,
    ],
)
@pytest.mark.parametrize("command", ["pipe", "listen"])
def test_what_is_no_proxy(ends: Ends, capfd: pytest.CaptureFixture[str], command: str, text: str) -> None:
    name = ends.keys("b").name
    friend = [name] if command == "pipe" else ["--friend", name]
    relay = ["--relay", f"{ends.keys('relay').dht.public.hex()}@{HERE}:1"]
    ends.keys("a")
    assert run_command(["tox", command, *friend, "--key", str(ends.folder / "a"), *relay, "--proxy", text]) == 2
    said = capfd.readouterr().err
    assert "prox" in said.lower()
    assert SECRET not in said
    with pytest.raises(CommandFailed):
        parse_proxy(text)


@pytest.mark.parametrize(
    ("text", "kind", "address"),
    [
        ("http://proxy.example:8080", ProxyKind.HTTP, Address("proxy.example", 8080)),
        ("socks5://127.0.0.1:9050", ProxyKind.SOCKS5, Address("127.0.0.1", 9050)),
        ("socks5://[::1]:9050", ProxyKind.SOCKS5, Address("::1", 9050)),
    ],
)
def test_what_is_one(text: str, kind: ProxyKind, address: Address) -> None:
    assert parse_proxy(text) == Proxy(kind, address)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("pipe", ["--relay", "RELAY", "--bind", f"{HERE}:0"]),
        ("pipe", ["--relay", "RELAY", "--to", f"{HERE}:33445"]),
        ("pipe", []),
        ("listen", ["--relay", "RELAY", "--bind", f"{HERE}:0"]),
        ("listen", []),
    ],
)
def test_what_does_not_go_with_a_proxy(
    ends: Ends, capfd: pytest.CaptureFixture[str], command: str, options: list[str]
) -> None:
    name, relay = ends.keys("b").name, f"{ends.keys('relay').dht.public.hex()}@{HERE}:1"
    friend = [name] if command == "pipe" else ["--friend", name]
    given = [relay if one == "RELAY" else one for one in options]
    ends.keys("a")
    words = ["tox", command, *friend, "--key", str(ends.folder / "a"), *given, "--proxy", "socks5://127.0.0.1:9050"]
    assert run_command(words) == 2
    assert "With --proxy there is no UDP" in capfd.readouterr().err

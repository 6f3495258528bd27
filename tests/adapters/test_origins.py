"""From which address a socket that has all of this computer answers: mostly the one that was called (test_sockets)."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sansproto.testing._internal.adapter_harness import LOCAL, PATIENCE
from sansproto_sockets import origins
from sansproto_sockets.origins import Origins

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on its loopback")

NEAREST, CALLED = "127.0.0.1", "127.0.0.2"
"""What the kernel answers 127.0.0.1 from, and another address of ours."""
_SO_TIMESTAMP = 29


class Gone(socket.socket):
    """A socket that can no longer send from where it was called."""

    error = errno.EINVAL

    def sendmsg(self, *_: Any) -> int:
        raise OSError(self.error, "no such address")


@pytest.fixture
def caller() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(LOCAL)
        sock.settimeout(PATIENCE)
        yield sock


@pytest.fixture(params=["0.0.0.0", "::"])
def called(request: pytest.FixtureRequest) -> Iterator[Gone]:
    family = socket.AF_INET6 if request.param == "::" else socket.AF_INET
    with Gone(family, socket.SOCK_DGRAM) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((request.param, 0))
        yield sock


def call(caller: socket.socket, ways: Origins, sock: socket.socket) -> Any:
    """The caller says something to an address that is not the nearest; who that seems to be."""
    caller.sendto(b"ping", (CALLED, sock.getsockname()[1]))
    data, who = ways.recvfrom(100)
    assert data == b"ping"
    return who


def heard_from(caller: socket.socket) -> str:
    host: str = caller.recvfrom(100)[1][0]
    return host


def test_only_where_there_are_many_addresses() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(LOCAL)
        assert not Origins.are_many(sock)


def test_to_whom_we_called_first_the_kernel_chooses(caller: socket.socket, called: socket.socket) -> None:
    ways = Origins(called)
    v4 = caller.getsockname()
    who = v4 if called.family == socket.AF_INET else (f"::ffff:{v4[0]}", v4[1], 0, 0)
    ways.sendto(b"we call", who)
    assert heard_from(caller) == NEAREST
    assert call(caller, ways, called) == who
    ways.sendto(b"again", who)
    assert heard_from(caller) == NEAREST


def test_who_was_not_heard_lately_is_sent_to_as_the_kernel_likes(
    caller: socket.socket, called: Gone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origins, "LATELY", 0.0)
    ways = Origins(called)
    who = call(caller, ways, called)
    for _ in range(2):
        ways.sendto(b"late", who)
        assert heard_from(caller) == NEAREST
    monkeypatch.undo()
    called.error = errno.EMSGSIZE
    assert call(caller, ways, called) == who
    with pytest.raises(OSError, match="no such address"):  # it is answered from the one that it called again
        ways.sendto(b"pong", who)


def test_an_address_that_is_ours_no_longer_is_let_go(caller: socket.socket, called: Gone) -> None:
    ways = Origins(called)
    who = call(caller, ways, called)
    ways.sendto(b"we moved", who)
    assert heard_from(caller) == NEAREST
    called.error = errno.EMSGSIZE
    who = call(caller, ways, called)
    with pytest.raises(OSError, match="no such address"):
        ways.sendto(b"too much", who)


def test_what_else_the_kernel_says_of_a_datagram_is_nothing_here(caller: socket.socket, called: socket.socket) -> None:
    ways = Origins(called)
    called.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMP, 1)
    assert call(caller, ways, called)[1] == caller.getsockname()[1]


def test_those_who_called_are_forgotten_beyond_a_bound(
    caller: socket.socket, called: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origins, "MOST", 1)
    ways = Origins(called)
    who = call(caller, ways, called)
    ways.sendto(b"to somebody else", (who[0], caller.getsockname()[1] ^ 1, *who[2:]))
    ways.sendto(b"pong", who)
    assert heard_from(caller) == NEAREST

"""The first words on a link through a proxy: bytes, the table, and what comes of each answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import PartHost

from sansproto.contract import Address
from sansproto.errors import Fault, WireError
from sansproto.events import CloseCause
from sansproto.proxies import (
    MAX_REPLY,
    SOCKS_FAILURES,
    HttpConnect,
    HttpReply,
    Proxy,
    ProxyCall,
    ProxyFailure,
    ProxyKind,
    SocksBound,
    SocksChoice,
    SocksReply,
    SocksRequest,
    socks_host,
)
from sansproto.wire import Packet

HERE = Address("127.0.0.1", 1080)
NAMED = Address("relay.example", 33445)
SOCKS_HEAD, HTTP_HEAD = b"\5\0" + b"\5\0", b"HTTP/1.1 200"
BOUND = b"\0\1\x7f\0\0\1\x04\x38"
GRANTED = {ProxyKind.SOCKS5: SOCKS_HEAD + BOUND, ProxyKind.HTTP: HTTP_HEAD + b" OK\r\nVia: me\r\n\r\n"}


class Owner(PartHost):
    """Whoever has the link."""

    def __init__(self, kind: ProxyKind, target: Address = NAMED) -> None:
        super().__init__()
        self.call = ProxyCall(self, self, Proxy(kind, HERE))
        self.said, self.outcome = b"", list[Any]()
        self.inbox, self.is_over = b"", False
        self.call.begin(target)
        self.run()

    def write_to_proxy(self, packet: Packet) -> None:
        self.said += packet.encode()

    def proxy_granted(self) -> None:
        self.outcome.append("granted")

    def proxy_failed(self, cause: CloseCause, failure: ProxyFailure, detail: str) -> None:
        self.outcome.append((cause, failure, detail))

    def give(self, data: bytes) -> None:
        """As an endpoint does it: packet by packet, until it is told, or what comes is no packet."""
        self.inbox += data
        while self.inbox and not self.outcome and not self.is_over:
            try:
                packet, end = self.call.decode(self.inbox, 0)
            except WireError as error:
                self.is_over = error.fault is not Fault.TRUNCATED
                return
            self.inbox = self.inbox[end:]
            self.call.hear(packet)
            self.run()


# -- what is asked


def test_a_socks5_proxy_is_asked_for_a_name_and_looks_it_up() -> None:
    owner = Owner(ProxyKind.SOCKS5)
    assert owner.said == b"\5\1\0"
    owner.give(b"\5\0")
    assert owner.said == b"\5\1\0" + b"\5\1\0\3\x0drelay.example\x82\xa5"


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("192.0.2.1", b"\1\xc0\0\2\1"),
        ("2001:db8::1", b"\4\x20\1\x0d\xb8" + bytes(11) + b"\1"),
        ("fe80::1%eth0", b"\4\xfe\x80" + bytes(13) + b"\1"),
        ("a" * 255, b"\3\xff" + b"a" * 255),
        ("under_score-1.example.", b"\3\x16under_score-1.example."),
    ],
)
def test_a_socks5_proxy_is_told_addresses_as_addresses(host: str, told: bytes) -> None:
    owner = Owner(ProxyKind.SOCKS5, Address(host, 443))
    owner.give(b"\5\0")
    assert owner.said[3:] == b"\5\1\0" + told + b"\1\xbb"
    assert SocksRequest.decode(owner.said[3:]).encode() == owner.said[3:]


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("relay.example", b"relay.example:443"),
        ("192.0.2.1", b"192.0.2.1:443"),
        ("2001:db8::1", b"[2001:db8::1]:443"),
        ("fe80::1%eth0", b"[fe80::1]:443"),
        ("a" * 255, b"a" * 255 + b":443"),
    ],
)
def test_an_http_proxy_is_asked_to_connect(host: str, target: bytes) -> None:
    said = Owner(ProxyKind.HTTP, Address(host, 443)).said
    assert said == b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n"
    assert HttpConnect.decode(said).encode() == said


@pytest.mark.parametrize("kind", ProxyKind)
@pytest.mark.parametrize("host", ["", "a" * 256, "b\xfccher.example", "a b", "a\r\nHost: b", "a:80", "a/b", "1::2::3"])
def test_a_name_that_no_proxy_can_be_told_is_told_to_none(kind: ProxyKind, host: str) -> None:
    owner = Owner(kind, Address(host, 443))
    assert owner.said == b""
    assert owner.outcome == [(CloseCause.UNREACHABLE, ProxyFailure.BAD_NAME, "no proxy can be told this name")]


@given(st.text())
def test_whatever_a_name_is_a_request_has_one_line_end_where_it_should(host: str) -> None:
    said = Owner(ProxyKind.HTTP, Address(host, 1)).said
    assert said == b"" if socks_host(host) is None else said.count(b"\r\n") == said.count(b"\n") == 3


# -- what it answers


@pytest.mark.parametrize("kind", ProxyKind)
@pytest.mark.parametrize("pieces", ["at once", "byte by byte"])
def test_a_yes_gives_the_link_to_its_owner_with_what_comes_behind(kind: ProxyKind, pieces: str) -> None:
    owner = Owner(kind)
    reply = GRANTED[kind] + b"first words"
    for piece in [reply] if pieces == "at once" else [reply[at : at + 1] for at in range(len(reply))]:
        owner.give(piece)
    assert owner.outcome == ["granted"]
    assert owner.inbox == b"first words"


@pytest.mark.parametrize("kind", ProxyKind)
def test_a_reply_is_cut_at_every_byte(kind: ProxyKind) -> None:
    reply = GRANTED[kind]
    for at in range(len(reply)):
        owner = Owner(kind)
        owner.give(reply[:at])
        assert owner.outcome == []
        assert not owner.is_over
        owner.give(reply[at:])
        assert owner.outcome == ["granted"], at


@pytest.mark.parametrize("bound", [b"\1\x7f\0\0\1", b"\4" + bytes(16), b"\3\4here", b"\3\1\xff", b"\3\0"])
@pytest.mark.parametrize("reserved", [0, 255])
def test_any_address_is_accepted_in_the_reply(bound: bytes, reserved: int) -> None:
    owner = Owner(ProxyKind.SOCKS5)
    owner.give(SOCKS_HEAD + bytes([reserved]) + bound + b"\0\0")
    assert owner.outcome == ["granted"]


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200\r\n\r\n", b"HTTP/1.1 200 \r\n\r\n", b"HTTP/1.1 200 Gr\xfc\xdf\r\nA: \0\n\r\n\r\n"]
)
def test_an_http_proxy_may_say_yes_in_any_words(head: bytes) -> None:
    owner = Owner(ProxyKind.HTTP)
    owner.give(head)
    assert owner.outcome == ["granted"]


@pytest.mark.parametrize("code", range(1, 256))
def test_each_code_of_socks5_has_its_name_and_is_told_at_once(code: int) -> None:
    """Without the address, which many do not send then."""
    owner = Owner(ProxyKind.SOCKS5)
    owner.give(b"\5\0\5" + bytes([code]))
    ((cause, failure, detail),) = owner.outcome
    assert (cause, failure) == (CloseCause.REFUSED, SOCKS_FAILURES.get(code, ProxyFailure.UNKNOWN_CODE))
    assert detail.startswith(f"the proxy answers with code {code}, ")
    assert len(set(SOCKS_FAILURES.values())) == 8


@pytest.mark.parametrize("method", [1, 2, 255])
def test_a_socks5_proxy_that_wants_a_password_is_asked_for_nothing(method: int) -> None:
    owner = Owner(ProxyKind.SOCKS5)
    owner.give(b"\5" + bytes([method]))
    assert owner.said == b"\5\1\0"
    assert owner.outcome == [(CloseCause.REFUSED, ProxyFailure.NEEDS_PASSWORD, "the proxy wants a password")]


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (b"407", ProxyFailure.NEEDS_PASSWORD),
        (b"401 who?", ProxyFailure.NEEDS_PASSWORD),
        (b"403 no", ProxyFailure.REFUSED),
        (b"502 200 OK", ProxyFailure.REFUSED),
        (b"100 Continue", ProxyFailure.REFUSED),
        (b"201 Created", ProxyFailure.REFUSED),
        (b"2000", ProxyFailure.REFUSED),
    ],
)
def test_any_other_status_than_200_is_a_no(status: bytes, failure: ProxyFailure) -> None:
    owner = Owner(ProxyKind.HTTP)
    owner.give(b"HTTP/1.1 " + status + b"\r\n\r\n")
    detail = f"the proxy answers with status {status[:3].decode()}"
    assert owner.outcome == [(CloseCause.REFUSED, failure, detail)]


NO_STATUS = (b"\r\n\r\n", b" \r\n\r\n", b" 2\r\n", b" 20 OK", b" 20\r\n\r\n", b" \x1b[2", b" \xb2\xb3\xb9", b" OK")
"""It would be too short, or is no number: nothing is awaited behind it."""


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (ProxyKind.SOCKS5, b"\4\x5a"),
        (ProxyKind.SOCKS5, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (ProxyKind.SOCKS5, b"\5\0\4\0"),
        (ProxyKind.SOCKS5, SOCKS_HEAD + b"\0\2"),
        (ProxyKind.HTTP, b"SSH-2.0-OpenSSH_9.6\r\n"),
        (ProxyKind.HTTP, b"HTTP/2.0 200 OK\r\n\r\n"),
        (ProxyKind.HTTP, HTTP_HEAD.replace(b"1 ", b"1\t") + b"\r\n\r\n"),
        *((ProxyKind.HTTP, b"HTTP/1.1" + status) for status in NO_STATUS),
    ],
)
def test_what_speaks_something_else_is_no_proxy(kind: ProxyKind, data: bytes) -> None:
    owner = Owner(kind)
    owner.give(data)
    assert owner.is_over
    assert owner.outcome == []


def test_an_http_reply_has_at_most_8_kib_up_to_its_empty_line() -> None:
    longest = HTTP_HEAD + b"x" * (MAX_REPLY - len(HTTP_HEAD) - 4) + b"\r\n\r\n"
    assert len(longest) == MAX_REPLY
    assert HttpReply.decode(longest).encode() == longest
    for longer in (longest[:-4] + b"x\r\n\r\n", HTTP_HEAD + b"x" * MAX_REPLY):
        owner = Owner(ProxyKind.HTTP)
        owner.give(longer[: MAX_REPLY - 1])
        assert not owner.is_over
        owner.give(longer[MAX_REPLY - 1 :])
        assert owner.is_over
        assert owner.outcome == []


@pytest.mark.parametrize("status", [b"20", b"2000", b"20x", b"\xb2\xb3\xb9"])
def test_a_status_that_is_none_has_no_encoding(status: bytes) -> None:
    with pytest.raises(WireError):
        HttpReply(b"1", status, b"").encode()


@pytest.mark.parametrize("rest", [b"x" * MAX_REPLY, b"\r\n\r\nmore", b"\r\n"])
def test_a_reply_with_an_empty_line_in_it_has_no_encoding(rest: bytes) -> None:
    with pytest.raises(WireError):
        HttpReply(b"1", b"200", rest).encode()


@pytest.mark.parametrize("kind", ProxyKind)
@given(data=st.binary(max_size=40))
def test_whatever_comes_nothing_is_told_twice_and_nothing_is_asked_twice(kind: ProxyKind, data: bytes) -> None:
    owner = Owner(kind)
    owner.give(data)
    owner.give(GRANTED[kind])
    assert len(owner.outcome) + owner.is_over <= 1
    assert len(owner.said) <= 100


@pytest.mark.parametrize("packet", [SocksChoice(0), SocksReply(0), HttpReply(b"1", b"200", b"")])
def test_an_answer_that_is_not_the_next_one_is_dropped(packet: Any) -> None:
    owner = Owner(ProxyKind.SOCKS5)
    owner.give(GRANTED[ProxyKind.SOCKS5])
    owner.call.hear(packet)
    owner.run()
    assert owner.outcome == ["granted"]
    assert owner.stats.dropped == {"late": 1}


def test_the_rest_of_an_answer_to_no_question_is_dropped() -> None:
    owner = Owner(ProxyKind.HTTP)
    owner.call.hear(SocksBound.decode(BOUND))
    owner.run()
    assert owner.stats.dropped == {"late": 1}
    assert owner.outcome == []

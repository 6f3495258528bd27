"""The client's connection: finding the domain, check-ins, silence, ids, denials, names, STUN and ICE."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from scripted_overte import (
    DOMAIN,
    DOMAIN_ID,
    EPOCH,
    LOCAL_ID,
    MIXER,
    SECRET,
    SESSION,
    STRANGER,
    US,
    ClientPeer,
    control,
    record,
)

from sansproto.contract import Address, Lookup, OwnAddress, Path, Phase, SendDatagram
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.events import CloseCause, Closed
from sansproto.overte import crypto
from sansproto.overte import packets as p
from sansproto.overte.client import DomainClient
from sansproto.overte.connection import CONNECTION
from sansproto.overte.events import (
    Connected,
    Denied,
    Disconnected,
    Loss,
    NodeAdded,
    NotAnswered,
    PathAnswered,
    PermissionsChanged,
    Renumbered,
    SettingsReceived,
    Undelivered,
)
from sansproto.overte.header import ControlType
from sansproto.overte.limits import ClientDelays, ClientLimits
from sansproto.overte.node import NODE
from sansproto.overte.qt import NULL_UUID, SockAddr
from sansproto.overte.queries import QUERY
from sansproto.overte.remote import SOCKET
from sansproto.overte.rendezvous import ICE_CLIENT, IceTarget
from sansproto.overte.stun import COOKIE, STUN, BindingRequest
from sansproto.overte.versions import VERSIONS, PacketType
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.tables import check

STUN_SERVER = Path(SOCKET, "192.0.2.33", 3478)
ICE_SERVER = Path(SOCKET, "192.0.2.77", 7337)
ICE = IceTarget(host="ice.example", domain_id=DOMAIN_ID, client_id=b"i" * 16)
GOLDEN = (  # what a real client's code makes of these values, once STUN has failed
    "010000001f1b0000000000000000000000000000000000000010eb1600e798dc5e03c755a968dc16b7fcfffffffff0e1d2c3b4a546879a0b1c"
    "2d3e4f5061000000040000000000000000000000000000000000064323d2412a244901ffbb810100c0a80117bb81000000064d576f416d53ff"
    "ffffffffffffff00000000"
)


@pytest.fixture(scope="module")
def key() -> bytes:
    private = rsa.generate_private_key(65537, 2048)
    return private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def kinds(peer: ClientPeer) -> list[str]:
    return [type(packet).__name__ for _, packet, _ in peer.sent()]


def datagrams(peer: ClientPeer) -> list[SendDatagram]:
    return [transmit for transmit in peer.take(peer.transmits) if isinstance(transmit, SendDatagram)]


def check_ins(peer: ClientPeer, until: int) -> dict[int, list[str]]:
    """What is sent at each second."""
    found = {}
    for second in range(int(peer.now), until + 1):
        peer.at(float(second))
        found[second] = [kind for kind in kinds(peer) if kind in ("DomainConnectRequest", "DomainListRequest")]
    return found


# -- connecting --------------------------------------------------------------------------------------------------------


def test_the_domain_lets_us_in() -> None:
    peer = ClientPeer.live(connected=False)
    peer.connect(0.0)
    assert peer.take(peer.transmits) == [Lookup(1, "domain.example", 40102)]
    peer.looked_up(1, (Address("2001:db8::1", 40102), Address(DOMAIN.host, 40102)), 0.25)
    ((header, request, path),) = peer.sent()
    assert path == DOMAIN  # of the family of our socket
    assert (header.sequence, header.reliable) == (1, False)
    assert request.protocol_signature.hex() == "eb1600e798dc5e03c755a968dc16b7fc"
    assert (request.reason, request.previous_uptime) == (p.ConnectReason.CONNECT, 0)
    assert request.check_in.client_clock == int((EPOCH + 0.25) * 1e6)
    assert request.check_in.public_socket == SockAddr("", US.port)
    assert request.check_in.local_socket == SockAddr(US.host, US.port)
    peer.list(permissions=2049)
    assert peer.take() == [Connected(SESSION, LOCAL_ID, domain_id=DOMAIN_ID, permissions=2049)]
    assert peer.phase is Phase.OPEN
    assert (peer.session_id, peer.local_id, peer.domain_id) == (SESSION, LOCAL_ID, DOMAIN_ID)


@pytest.mark.parametrize("letter", "IM")
def test_the_first_list_is_followed_by_a_request_for_our_kind_of_settings(letter: str) -> None:
    kind = p.AssignmentType.AGENT if letter == "I" else p.AssignmentType.AUDIO_MIXER
    peer = ClientPeer.live(connected=False, node_type=p.NodeType(ord(letter)))
    peer.go()
    peer.list()
    peer.shake()
    ((header, request, _),) = peer.sent()
    assert header.reliable
    assert request == p.DomainSettingsRequest(kind)


def test_nothing_is_sent_before_the_socket_is_bound() -> None:
    peer = ClientPeer.live(connected=False, bound=False)
    peer.go()
    peer.at(3.5)
    assert not peer.sent()
    peer.socket_bound(SOCKET, US, peer.now)
    assert kinds(peer) == ["DomainConnectRequest"]
    peer.socket_bound("other", US, peer.now)
    assert peer.stats.dropped["unexpected report"] == 1


def test_the_golden_connect_request_comes_out_of_its_arguments() -> None:
    peer = ClientPeer.live(
        connected=False,
        fingerprint=bytes.fromhex("f0e1d2c3b4a546879a0b1c2d3e4f5061"),
        wall_epoch=1762670990.666276,
    )
    peer.go()
    lookup, datagram = peer.take(peer.transmits)
    assert (type(lookup), datagram.data.hex()) == (Lookup, GOLDEN)


@pytest.mark.parametrize("found", [(), None])
def test_a_name_that_leads_nowhere_ends_it(found: tuple[Address, ...] | None) -> None:
    peer = ClientPeer.live(connected=False)
    peer.connect(0.0)
    if found is None:
        peer.at(ClientDelays().lookup)
    else:
        peer.looked_up(1, found, 1.0)
    assert peer.take() == [Closed(CloseCause.UNREACHABLE, detail="domain.example: no address was found")]
    peer.looked_up(1, (US,), 2.0)
    assert peer.stats.dropped["closed"] == 1


def test_a_domain_that_never_answers_ends_it() -> None:
    peer = ClientPeer.live(connected=False)
    peer.go()
    peer.at(ClientDelays().give_up + 1)
    assert peer.take() == [Closed(CloseCause.TIMEOUT, detail="no domain server answered")]


def test_verbs_have_their_time() -> None:
    peer = ClientPeer.live(connected=False)
    for verb in (
        lambda: peer.refresh(0.0),
        lambda: peer.ask_path("/", 0.0),
        lambda: peer.request_settings(p.AssignmentType.ALL, 0.0),
        lambda: peer.send_to_node(b"", PacketType.AVATAR_DATA, b"", 0.0),
    ):
        with pytest.raises(NotOpen):
            verb()
    peer.go()
    with pytest.raises(LocalProtocolError):
        peer.connect(0.0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"username": "alice"},
        {"username": "alice", "private_key": b"no key"},
        {"fingerprint": b"short"},
        {"domain_account": ("bob", "x" * 1000)},
        {"local_host": "a name"},
        {"ice": IceTarget(host="ice", domain_id=b"", client_id=NULL_UUID)},
        {"place_name": "\ud800\udc00"},
        {"ice": ICE, "assignment": b"a" * 16},
        {"domain_account": ("b" * 300, "x" * 500)},
    ],
)
def test_arguments_that_cannot_be_sent_are_refused(arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot be sent|do not go together|go together|private key|more than fits"):
        DomainClient(host="domain.example", entropy=ScriptedEntropy(), wall_epoch=EPOCH, **arguments)


@pytest.mark.parametrize("interest", ["m", b"?"])
def test_an_interest_that_names_no_type_of_nodes_is_refused(interest: Any) -> None:
    with pytest.raises(ValueError, match="interest has letters of NodeType"):
        DomainClient(host="domain.example", entropy=ScriptedEntropy(), wall_epoch=EPOCH, interest=interest)


def test_a_table_of_versions_is_shown_without_its_bytes() -> None:
    assert repr(VERSIONS["2025.05.1"]) == "VersionTable(name='2025.05.1', versions=<106 bytes>)"


def test_a_key_needs_a_name(key: bytes) -> None:
    with pytest.raises(ValueError, match="together"):
        DomainClient(host="domain.example", entropy=ScriptedEntropy(), wall_epoch=EPOCH, private_key=key)


# -- check-ins ---------------------------------------------------------------------------------------------------------


def test_the_connection_is_kept_alive_for_a_minute() -> None:
    peer = ClientPeer.live()
    for second in range(1, 61):
        peer.at(float(second))
        ((header, request, path),) = peer.sent(p.DomainListRequest)
        assert path == DOMAIN
        assert header.source == LOCAL_ID
        assert request.client_clock == int((EPOCH + second) * 1e6)
        peer.list(new_connection=False)
    assert not [event for event in peer.take() if not isinstance(event, NotAnswered | Undelivered)]
    assert peer.phase is Phase.OPEN


def test_silence_takes_its_course() -> None:
    """Check-ins at 0 to 4, counted from the last list, with copies; reset at 5; a connect request at 6."""
    peer = ClientPeer.live()
    peer.list(record())  # the timer fires at 1: this is the last that is heard
    peer.now = 0.0
    peer.take()
    found = check_ins(peer, 8)
    assert {second: len(requests) for second, requests in found.items()} == {
        0: 0, 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 0, 7: 1, 8: 1,
    }  # fmt: skip
    assert {kind for requests in list(found.values())[:7] for kind in requests} == {"DomainListRequest"}
    assert found[7] == ["DomainConnectRequest"]
    lost = [event for event in peer.take() if isinstance(event, Disconnected)]
    assert lost == [Disconnected(Loss.SILENT)]
    assert not peer.nodes
    assert peer.session_id == NULL_UUID
    peer.at(9.0)
    ((_, request, _),) = peer.sent(p.DomainConnectRequest)
    assert request.reason is p.ConnectReason.SILENT_DOMAIN_DISCONNECT
    assert request.previous_uptime == 6_000_000
    peer.list()
    assert isinstance(peer.take()[-1], Connected)
    assert peer.phase is Phase.OPEN


def test_connect_requests_have_no_copies_and_pause_at_the_limit() -> None:
    peer = ClientPeer.live(connected=False)
    peer.go()
    assert {second: len(requests) for second, requests in check_ins(peer, 6).items()} == {
        0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 0, 6: 1,
    }  # fmt: skip


def test_copies_have_their_own_numbers_and_one_clock() -> None:
    peer = ClientPeer.live()
    peer.at(3.5)
    peer.sent()
    peer.at(4.5)
    found = peer.sent(p.DomainListRequest)
    assert len(found) == 4
    assert len({header.sequence for header, _, _ in found}) == 4
    assert {request.client_clock for _, request, _ in found} == {int((EPOCH + 4) * 1e6)}


def test_copies_are_capped() -> None:
    peer = ClientPeer.live(limits=ClientLimits(silent_check_ins=9, copies=20))
    assert [len(requests) for requests in check_ins(peer, 9).values()] == [0, 1, 1, 2, 4, 8, 16, 20, 20, 20]


def test_an_extra_check_in_does_not_move_the_timer_and_counts_no_silence() -> None:
    peer = ClientPeer.live()
    peer.at(0.5)
    for _ in range(9):
        peer.refresh(0.5)
        assert kinds(peer)[-1:] == ["DomainListRequest"]
    peer.at(1.0)
    assert len(peer.sent(p.DomainListRequest)) == 1
    assert peer.phase is Phase.OPEN


def test_only_the_domain_may_say_what_a_domain_says(key: bytes) -> None:
    """Another port of the same host, a node, anybody: nothing changes, and no silence ends."""
    peer = ClientPeer.live(username="alice", private_key=key)
    peer.list(record())
    peer.take()
    peer.at(4.5)
    peer.sent()
    peer.take()
    before = peer.freeze(peer.now, leave_out=frozenset({"stats"}))
    strange = (Path(SOCKET, DOMAIN.host, 40103), STRANGER, Path(SOCKET, "198.51.100.10", 40110))
    for path in strange:
        peer.list(record("W", number=2), session_id=b"x" * 16, path=path)
        peer.say(p.AddedNode.decode(record("W", number=2).encode()), path)
        peer.say(p.RemovedNode(bytes([1]) * 16), path)
        peer.say(p.ConnectionToken(b"t" * 16), path)
        peer.say(p.DomainConnectionDenied(p.DenialReason.UNKNOWN, "go", ""), path)
        peer.say(p.PathResponse("/", "/0,0,0/0,0,0,1"), path)
    assert peer.stats.dropped["not from the domain"] == 18
    assert not peer.take()
    assert peer.freeze(peer.now, leave_out=frozenset({"stats"})) == before


def test_a_list_that_nobody_asked_for_and_one_of_another_domain_are_ignored() -> None:
    peer = ClientPeer.live()
    peer.list(domain_id=b"f" * 16, session_id=b"x" * 16)
    assert peer.stats.dropped["a list of another domain"] == 1
    assert peer.session_id == SESSION
    peer = ClientPeer.live(connected=False, ice=ICE)
    peer.go()
    peer.list()
    assert peer.stats.dropped["not from the domain"] == 1


def test_a_malformed_packet_of_the_domain_is_counted() -> None:
    peer = ClientPeer.live()
    peer.say((PacketType.DOMAIN_LIST, b"short"))
    assert peer.stats.dropped["malformed DomainList"] == 1


def test_changed_ids_are_a_new_session() -> None:
    peer = ClientPeer.live()
    peer.list(record())
    peer.ask_path("/hill", 0.0)
    peer.take()
    peer.at(0.5)
    peer.list(record(), session_id=b"n" * 16, local_id=7, permissions=3)
    assert peer.take() == [NotAnswered("/hill"), NotAnswered(kind=2)]
    assert (peer.session_id, peer.local_id, peer.nodes) == (b"n" * 16, 7, {})
    peer.at(1.0)
    assert peer.take() == [Renumbered(b"n" * 16, 7, permissions=3)]
    assert {header.source for header, _, _ in peer.sent(p.DomainListRequest)} == {7}
    peer.list(record(), session_id=b"n" * 16, local_id=7, permissions=3)
    (added,) = peer.take()
    assert isinstance(added, NodeAdded)
    assert "late" not in peer.stats.dropped
    peer.shake()
    assert [packet for header, packet, _ in peer.sent() if header.reliable] == [p.DomainSettingsRequest(2)]
    assert peer.phase is Phase.OPEN


def test_a_burst_of_changed_ids_is_told_once_when_it_is_over() -> None:
    """As after a pause of the server, which then answers each request that waited with another session."""
    peer = ClientPeer.live()
    peer.list(record())
    peer.take()
    for number in range(1, 21):
        peer.at(number * 0.02)
        peer.list(record(), session_id=bytes([number]) * 16, local_id=number, permissions=number)
        peer.list(session_id=bytes([number]) * 16, local_id=number, permissions=99)
        peer.say(p.AddedNode.decode(record("W", number=2).encode()))
        assert peer.session_id == bytes([number]) * 16
    assert peer.take() == [NotAnswered(kind=2)]
    assert peer.phase is Phase.OPEN
    peer.at(0.899)
    assert peer.take() == []
    peer.at(0.9)
    assert peer.take() == [Renumbered(bytes([20]) * 16, 20, permissions=20)]
    peer.list(record(), session_id=bytes([20]) * 16, local_id=20, permissions=20)
    assert [type(event) for event in peer.take()] == [NodeAdded]


@pytest.mark.parametrize("what", ["silence", "another socket", "close"])
def test_a_session_may_end_before_its_ids_are_told(what: str) -> None:
    peer = ClientPeer.live(delays=ClientDelays(settle=30.0))
    peer.list(session_id=b"n" * 16, local_id=7)
    peer.take()
    if what == "silence":
        peer.at(7.0)
    elif what == "close":
        peer.close(0.0)
    else:
        peer.bind(Address(US.host, 5))
    events = peer.take()
    assert not [event for event in events if isinstance(event, Renumbered)]
    assert [type(event) for event in events if not isinstance(event, NotAnswered)] == [
        Closed if what == "close" else Disconnected
    ]
    assert what == "close" or peer.phase is Phase.OPENING
    peer.at(40.0)
    assert not [event for event in peer.take() if isinstance(event, Renumbered)]


def test_permissions_change_with_a_list() -> None:
    peer = ClientPeer.live()
    peer.list(permissions=1)
    peer.list(permissions=1)
    assert peer.take() == [PermissionsChanged(1)]
    assert peer.permissions == 1


def test_leaving_says_so() -> None:
    peer = ClientPeer.live()
    peer.close(1.0)
    assert peer.take() == [Closed(CloseCause.LOCAL)]
    (datagram,) = peer.take(peer.transmits)
    assert datagram.data[4:].hex() == "3716d4c6"
    assert peer.next_timeout() is None
    peer.close(2.0)
    peer.socket_bound(SOCKET, US, 2.0)
    assert not peer.take(peer.transmits)


@pytest.mark.parametrize("connected", [False, True])
def test_nothing_begins_after_the_end(connected: bool) -> None:
    peer = ClientPeer.live(connected=connected)
    peer.abort()
    with pytest.raises(NotOpen):
        peer.connect(1.0)
    with pytest.raises(NotOpen):
        peer.refresh(1.0)
    assert peer.take() == [Closed(CloseCause.ABORTED)]
    assert not peer.take(peer.transmits)


# -- denials and names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", list(p.DenialReason))
def test_a_denial_says_what_may_help(code: p.DenialReason) -> None:
    peer = ClientPeer.live(connected=False)
    peer.go()
    peer.say(p.DomainConnectionDenied(code, "no", "extra"))
    peer.say(p.DomainConnectionDenied(code, "no", "extra"))
    (denied,) = peer.take()  # told once
    assert (denied.code, denied.reason, denied.extra) == (code, "no", "extra")
    assert bool(denied.hint) is (code is not p.DenialReason.UNKNOWN)
    assert ("directory" in denied.hint) is code.name.endswith("_DIRECTORY")
    assert ("domain's own" in denied.hint or "its own" in denied.hint) is code.name.endswith("_DOMAIN")
    for second in range(1, 70):
        peer.at(float(second))
        peer.say(p.DomainConnectionDenied(code, "no", "extra"))
    (closed,) = peer.take()
    assert closed == Closed(CloseCause.REFUSED, code, detail="no")


def test_a_list_before_anything_was_asked_connects_nobody() -> None:
    peer = ClientPeer.live(connected=False, stun=("stun.example", 3478))
    peer.go()
    peer.list()
    assert (peer.take(), peer.stats.dropped["a list that was not asked for"]) == ([], 1)
    peer.looked_up(2, (), peer.now)
    peer.list()
    assert [type(event) for event in peer.take()] == [Connected]


def test_the_end_is_told_with_the_denial_that_came_last() -> None:
    peer = ClientPeer.live(connected=False)
    peer.go()
    full, stranger = p.DenialReason.TOO_MANY_USERS, p.DenialReason.NOT_AUTHORIZED_DIRECTORY
    for code in (stranger, full, stranger):
        peer.say(p.DomainConnectionDenied(code, code.name, ""))
    assert [denied.code for denied in peer.take()] == [stranger, full]
    peer.at(61.0)
    assert peer.take() == [Closed(CloseCause.REFUSED, stranger, detail=stranger.name)]


def test_a_denial_with_an_unknown_code_is_told_as_it_is() -> None:
    peer = ClientPeer.live(connected=False)
    peer.go()
    peer.say(p.DomainConnectionDenied(99, "", ""))
    assert peer.take() == [Denied(99, "")]
    peer.at(61.0)
    assert peer.take() == [Closed(CloseCause.REFUSED, p.DenialReason.UNKNOWN)]


def test_a_denial_ends_the_count_of_silence() -> None:
    peer = ClientPeer.live(connected=False)
    peer.go()
    peer.at(4.0)
    peer.say(p.DomainConnectionDenied(p.DenialReason.TOO_MANY_USERS, "full", ""))
    assert all(check_ins(peer, 8).values())


def test_late_answers_to_one_who_is_in_do_nothing(key: bytes) -> None:
    peer = ClientPeer.live(username="Alice", private_key=key)
    peer.say(p.DomainConnectionDenied(p.DenialReason.TOO_MANY_USERS, "full", ""))
    peer.say(p.ConnectionToken(b"t" * 16))
    assert peer.stats.dropped["late answer"] == 2
    assert not peer.take()
    assert not peer.sent(p.DomainConnectRequest)


def test_a_token_is_answered_with_a_signature(key: bytes) -> None:
    peer = ClientPeer.live(connected=False, username="Alice.Example", private_key=key)
    peer.go()
    ((_, request, _),) = peer.sent()
    assert (request.username, request.username_signature) == ("alice.example", b"")
    peer.at(0.25)
    peer.say(p.ConnectionToken(b"t" * 16))
    ((_, request, _),) = peer.sent()
    public = crypto.public_key_der(key)
    assert crypto.verify_username(public, request.username_signature, "alice.example", b"t" * 16)
    peer.at(1.0)
    ((_, again, _),) = peer.sent()
    assert again.username_signature == request.username_signature
    peer.at(61.0)  # the domain got no key for the name: it answered, but not to this
    detail = "the domain asked for a signature of the username, and did not answer to it"
    assert peer.take() == [Closed(CloseCause.TIMEOUT, detail=detail)]


def test_a_token_ends_the_count_of_silence_and_a_reset_forgets_it(key: bytes) -> None:
    peer = ClientPeer.live(connected=False, username="alice", private_key=key)
    peer.go()
    peer.at(4.0)
    peer.say(p.ConnectionToken(b"t" * 16))
    peer.sent()
    peer.at(5.0)
    ((_, request, _),) = peer.sent(p.DomainConnectRequest)
    assert request.username_signature
    peer.list()
    peer.at(12.0)
    *_, (_, request, _) = peer.sent(p.DomainConnectRequest)
    assert not request.username_signature


def test_a_connection_ends_what_was_denied_before() -> None:
    peer = ClientPeer.live(connected=False)
    peer.go()
    peer.say(p.DomainConnectionDenied(p.DenialReason.TOO_MANY_USERS, "full", ""))
    peer.list()
    peer.at(80.0)
    assert peer.take()[-1] == Closed(CloseCause.TIMEOUT, detail="no domain server answered")


def test_a_domain_account_goes_along() -> None:
    peer = ClientPeer.live(connected=False, domain_account=("domuser", "ACCESS:REFRESH"), place_name="hub")
    peer.go()
    ((_, request, _),) = peer.sent()
    assert (request.domain_username, request.domain_tokens) == ("domuser", "ACCESS:REFRESH")
    assert request.check_in.place_name == "hub"
    assert "ACCESS" not in repr(request)


# -- addresses ---------------------------------------------------------------------------------------------------------

SIX, FOUR, LAST = (Address(host, 40102) for host in ("2001:db8::1", DOMAIN.host, "198.51.100.3"))


def asked(peer: ClientPeer) -> list[str]:
    """Whom the client sent a connect request since the last time."""
    return [path.host for _, _, path in peer.sent(p.DomainConnectRequest)]


def test_every_address_of_a_name_gets_its_turn_and_the_one_that_answers_stays() -> None:
    peer = ClientPeer.live(connected=False, bound=False)
    peer.bind(Address("::", 48001))
    peer.looked_up(3, (Address("10.0.0.6", 0),), 0.0)
    peer.connect(0.0)
    peer.looked_up(1, (SIX, FOUR, LAST), 0.0)
    assert asked(peer) == [FOUR.host]
    for second, host in ((1.0, LAST.host), (2.0, SIX.host), (3.0, FOUR.host), (4.0, LAST.host)):
        peer.at(second)
        assert asked(peer) == [host]
    peer.list(path=STRANGER)
    assert peer.take() == []
    peer.list(path=Path(SOCKET, SIX.host, SIX.port))  # late: meanwhile another one was asked
    assert [type(event) for event in peer.take()] == [Connected]
    assert peer.domain == Path(SOCKET, SIX.host, SIX.port)
    peer.list(session_id=b"n" * 16, path=DOMAIN)
    assert peer.stats.dropped["not from the domain"] == 2
    peer.at(5.0)
    assert {path.host for _, _, path in peer.sent(p.DomainListRequest)} == {SIX.host}


@pytest.mark.parametrize(
    ("bound", "addresses", "told"),
    [
        ("192.168.1.23", (SIX, FOUR), [FOUR.host] * 3),
        ("2001:db8::7", (FOUR, SIX), [SIX.host] * 3),
        ("192.168.1.23", (SIX,), [SIX.host] * 3),  # which will fail, and be told as that
        ("192.168.1.23", (LAST, FOUR), [LAST.host, FOUR.host, LAST.host]),
    ],
)
def test_what_the_socket_cannot_reach_is_left_out(bound: str, addresses: tuple[Address, ...], told: list[str]) -> None:
    peer = ClientPeer.live(connected=False, bound=False)
    peer.bind(Address(bound, 48001))
    peer.connect(0.0)
    peer.looked_up(1, addresses, 0.0)
    peer.at(2.0)
    assert asked(peer) == told


def test_who_spoke_stays_although_it_let_nobody_in() -> None:
    for answer in (p.ConnectionToken(b"t" * 16), p.DomainConnectionDenied(4, "full", "")):
        peer = ClientPeer.live(connected=False)
        peer.connect(0.0)
        peer.looked_up(1, (LAST, FOUR), 0.0)
        peer.say(answer, Path(SOCKET, LAST.host, LAST.port))
        peer.at(3.0)
        assert set(asked(peer)) == {LAST.host}


def test_a_name_is_looked_up_again_after_silence() -> None:
    peer = ClientPeer.live()
    for second in (1.0, 2.0):
        peer.at(second)
        peer.list()
    peer.take(peer.transmits)
    peer.at(8.0)
    assert Lookup(1, "domain.example", 40102) in peer.take(peer.transmits)
    peer.looked_up(1, (LAST,), 8.0)
    peer.at(9.0)
    assert asked(peer) == [LAST.host]
    peer.at(14.9)  # nor is it there
    assert peer.take(peer.transmits).count(Lookup(1, "domain.example", 40102)) == 1
    peer.looked_up(1, (), 14.9)  # a name that fails for once is where it was
    peer.looked_up(1, (SIX, FOUR), 14.9)
    peer.at(16.0)
    assert set(asked(peer)) == {FOUR.host}
    peer.list(path=Path(SOCKET, FOUR.host, FOUR.port))
    peer.looked_up(1, (LAST,), 16.0)  # an answer that is late
    assert peer.domain == Path(SOCKET, FOUR.host, FOUR.port)


def test_an_ice_server_is_asked_at_each_of_its_addresses_and_again_after_silence() -> None:
    peer = iced(Address("192.0.2.76", 7337))
    peer.at(2.0)
    queries = [path.host for _, _, path in peer.sent(p.ICEServerQuery)]
    assert queries == ["192.0.2.76", ICE_SERVER.host, "192.0.2.76"]
    peer.say(peer_information(), ICE_SERVER)
    peer.say(p.ICEPingReply(DOMAIN_ID, p.PingType.PUBLIC), DOMAIN)
    peer.list()
    peer.at(9.0)
    assert Disconnected(Loss.SILENT) in peer.take()
    transmits = peer.take(peer.transmits)
    assert Lookup(1, "ice.example", 7337) in transmits
    assert peer.domain is None
    peer.looked_up(1, (Address("192.0.2.78", 7337),), 9.0)
    assert [path.host for _, _, path in peer.sent(p.ICEServerQuery)] == ["192.0.2.78"]
    moved = Path(SOCKET, "198.51.100.9", 40102)
    peer.say(peer_information(public_socket=SockAddr(moved.host, moved.port)), Path(SOCKET, "192.0.2.78", 7337))
    peer.say(p.ICEPingReply(DOMAIN_ID, p.PingType.PUBLIC), moved)
    assert asked(peer) == [moved.host]
    peer.at(16.0)  # nor does it let us in
    assert peer.domain is None


def test_a_stun_server_is_asked_at_each_of_its_addresses() -> None:
    peer = stunned()
    peer.looked_up(2, (Address("192.0.2.32", 3478), Address(STUN_SERVER.host, 3478)), 0.0)
    peer.at(0.25)
    first, second = datagrams(peer)
    assert (first.path.host, second.path) == ("192.0.2.32", STUN_SERVER)
    transaction = BindingRequest.decode(first.data).transaction
    peer.receive_datagram(stun_answer(transaction), first.path, 0.25)
    ((_, request, _),) = peer.sent()
    assert request.check_in.public_socket == SockAddr("203.0.113.7", 48001)


# -- patience ----------------------------------------------------------------------------------------------------------


def test_without_a_time_to_give_up_at_it_is_tried_for_ever() -> None:
    patient = ClientDelays(give_up=None)
    peer = ClientPeer.live(connected=False, delays=patient)
    peer.connect(0.0)
    peer.take(peer.transmits)
    peer.looked_up(1, (), 0.0)
    assert not peer.take(peer.transmits)
    peer.at(1.0)
    assert peer.take(peer.transmits) == [Lookup(1, "domain.example", 40102)]
    peer.at(12.0)  # which is not even answered
    assert Lookup(1, "domain.example", 40102) in peer.take(peer.transmits)
    peer.find()
    peer.at(600.0)
    assert peer.phase is Phase.OPENING
    assert peer.take() == []
    peer.list()
    peer.at(900.0)
    assert [type(event) for event in peer.take()] == [Connected, NotAnswered, Disconnected]
    assert peer.phase is Phase.OPENING
    peer.close(peer.now)
    assert peer.take() == [Closed(CloseCause.LOCAL)]


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_time_to_give_up_at_is_one_or_none(value: float) -> None:
    with pytest.raises(ValueError, match="give_up"):
        ClientDelays(give_up=value)


# -- paths and settings ------------------------------------------------------------------------------------------------


def test_the_domain_answers_questions() -> None:
    peer = ClientPeer.live()
    peer.looked_up(7, (US,), 0.0)
    assert peer.stats.dropped["unexpected report"] == 1
    peer.ask_path("/hill", 0.0)
    peer.ask_path("/lake", 0.0)
    peer.request_settings(p.AssignmentType.AUDIO_MIXER, 0.0)
    peer.shake()
    peer.shake()
    peer.say(p.PathResponse("/lake", "/1,2,3/0,0,0,1"))
    peer.say(p.DomainSettings(b"{}"))
    peer.say(p.DomainSettings(b"[]"))
    peer.say(p.DomainSettings(b"[]"))
    assert peer.take() == [
        PathAnswered("/lake", "/1,2,3/0,0,0,1"),
        SettingsReceived(2, b"{}"),  # what was asked for by itself
        SettingsReceived(0, b"[]"),
    ]
    assert peer.stats.dropped["an answer to no question"] == 1
    for second in range(1, 6):
        peer.at(float(second))
        peer.list()
    assert NotAnswered("/hill") in peer.take()


def ask_settings(peer: ClientPeer) -> list[int]:
    """The kinds of settings that the client asked for since the last time; all of it is acknowledged."""
    found = peer.sent()
    for header, _, path in found:
        if header.reliable:
            peer.say(control(ControlType.ACK, header.sequence), path)
    return [packet.type for _, packet, _ in found if isinstance(packet, p.DomainSettingsRequest)]


def test_settings_are_asked_for_one_after_the_other() -> None:
    """Answers do not say what they answer, and the reference sends one with several parts after later short ones."""
    peer = ClientPeer.live()
    for kind in (p.AssignmentType.AUDIO_MIXER, p.AssignmentType.AVATAR_MIXER):
        peer.request_settings(kind, 0.0)
    peer.ask_path("/", 0.0)
    peer.shake()
    assert ask_settings(peer) == [2]
    for kind in (0, 1, None):
        peer.say(p.DomainSettings(b"{}"))
        assert ask_settings(peer) == ([] if kind is None else [kind])
    assert [event.kind for event in peer.take() if isinstance(event, SettingsReceived)] == [2, 0, 1]


def test_an_answer_that_is_overdue_is_not_taken_for_that_to_the_next_question() -> None:
    peer = ClientPeer.live()
    peer.request_settings(p.AssignmentType.AUDIO_MIXER, 0.0)
    peer.shake()
    assert ask_settings(peer) == [2]
    for second in range(1, 9):
        peer.at(float(second))
        peer.list()
        assert ask_settings(peer) == []
    assert peer.take() == [NotAnswered(kind=2)]
    peer.say(p.DomainSettings(b'"of agents"'))
    assert (peer.take(), peer.stats.noted["late answer"]) == ([], 1)
    assert ask_settings(peer) == [0]
    peer.say(p.DomainSettings(b'"of audio mixers"'))
    assert peer.take() == [SettingsReceived(0, b'"of audio mixers"')]


def test_the_next_settings_are_asked_for_if_an_answer_never_comes() -> None:
    peer = ClientPeer.live()
    for kind in (p.AssignmentType.AUDIO_MIXER, p.AssignmentType.AVATAR_MIXER):
        peer.request_settings(kind, 0.0)
    peer.shake()
    asked = {}
    for second in range(1, 25):
        asked[second] = ask_settings(peer)
        peer.at(float(second))
        peer.list()
    assert {second: kinds for second, kinds in asked.items() if kinds} == {1: [2], 11: [0], 21: [1]}
    assert peer.take() == [NotAnswered(kind=2), NotAnswered(kind=0)]
    peer.list(session_id=b"n" * 16)  # while one is open, and one of before is overdue
    assert peer.take() == [NotAnswered(kind=1)]
    assert "removed" not in peer.stats.dropped


def test_all_questions_are_over_when_the_connection_is() -> None:
    peer = ClientPeer.live()
    for second in range(6):
        peer.at(float(second))
        peer.list()
    for kind in (p.AssignmentType.AUDIO_MIXER, p.AssignmentType.AVATAR_MIXER):
        peer.request_settings(kind, peer.now)
    peer.list(session_id=b"n" * 16)
    assert peer.take() == [NotAnswered(kind=2), NotAnswered(kind=1), NotAnswered(kind=0)]
    assert "removed" not in peer.stats.dropped
    assert not peer.queries.open


def test_questions_have_bounds() -> None:
    peer = ClientPeer.live(limits=ClientLimits(queries=3))
    with pytest.raises(LocalProtocolError):
        peer.ask_path("x" * 1025, 0.0)
    with pytest.raises(LocalProtocolError):
        peer.ask_path("\ud800", 0.0)
    peer.ask_path("/", 0.0)
    peer.ask_path("/", 0.0)
    with pytest.raises(LocalProtocolError):
        peer.ask_path("/", 0.0)


def test_what_the_domain_never_acknowledges_is_told() -> None:
    peer = ClientPeer.live()
    peer.ask_path("/", 0.0)
    for second in range(1, 20):
        peer.at(float(second))
        peer.list()
        peer.take(peer.transmits)
    assert [event for event in peer.take() if isinstance(event, Undelivered)] == [Undelivered(b"", 2)]


# -- our own sockets ---------------------------------------------------------------------------------------------------


def stun_answer(transaction: bytes, host: bytes = bytes((203, 0, 113, 7)), port: int = 48001) -> bytes:
    key = COOKIE + transaction
    hidden = bytes(one ^ other for one, other in zip(host, key, strict=False))
    value = bytes((0, 1 if len(host) == 4 else 2)) + (port ^ 0x2112).to_bytes(2, "big") + hidden
    software = b"\x80\x22\x00\x03abc\x00"
    attributes = software + b"\x00\x20" + len(value).to_bytes(2, "big") + value
    return b"\x01\x01" + len(attributes).to_bytes(2, "big") + key + attributes


def stunned(**arguments: Any) -> ClientPeer:
    peer = ClientPeer.live(connected=False, stun=("stun.example", 3478), **arguments)
    peer.connect(0.0)
    assert {type(transmit) for transmit in peer.take(peer.transmits)} == {Lookup}
    peer.looked_up(1, (Address(DOMAIN.host, DOMAIN.port),), 0.0)
    assert not peer.take(peer.transmits)  # our public address is not known
    return peer


@pytest.mark.parametrize(
    ("host", "text"),
    [(bytes((203, 0, 113, 7)), "203.0.113.7"), (bytes.fromhex("20010db8000000000000000000000007"), "2001:db8::7")],
)
def test_stun_tells_our_public_address(host: bytes, text: str) -> None:
    peer = stunned()
    peer.looked_up(2, (Address(STUN_SERVER.host, STUN_SERVER.port),), 0.0)
    (request,) = peer.take(peer.transmits)
    transaction = BindingRequest.decode(request.data).transaction
    assert request.path == STUN_SERVER
    for answer, path in (
        (stun_answer(transaction), STRANGER),
        (stun_answer(b"x" * 12), STUN_SERVER),
        (stun_answer(transaction)[:-1], STUN_SERVER),
        (stun_answer(transaction)[:20], STUN_SERVER),
        (b"\x01\x01\x00\x00" + COOKIE + transaction, STUN_SERVER),
        (b"\x01\x01\x00\x08" + COOKIE + transaction + b"\x00\x20\x00\x04\x00\x01\x00\x00", STUN_SERVER),
        (b"\x01\x01\x00\x0c" + COOKIE + transaction + b"\x00\x20\x00\x08\x00\x02" + bytes(6), STUN_SERVER),
    ):
        peer.receive_datagram(answer, path, peer.now)
        assert not peer.take(peer.transmits)
    peer.receive_datagram(stun_answer(transaction, host), STUN_SERVER, 0.1)
    ((_, connect, _),) = peer.sent()
    assert connect.check_in.public_socket == SockAddr(text, 48001)
    peer.receive_datagram(stun_answer(transaction, b"\x01\x02\x03\x04"), STUN_SERVER, 0.1)
    assert peer.stats.dropped["late answer"] == 1


def test_without_an_answer_of_stun_the_public_address_is_null() -> None:
    peer = stunned()
    peer.looked_up(2, (Address(STUN_SERVER.host, STUN_SERVER.port),), 0.0)
    peer.at(2.4)
    assert len(peer.take(peer.transmits)) == 10
    peer.at(2.5)
    ((_, connect, _),) = peer.sent()
    assert connect.check_in.public_socket == SockAddr("", US.port)
    peer.at(15.5)
    assert [datagram.path for datagram in datagrams(peer)].count(STUN_SERVER) == 10


def test_a_stun_server_without_an_address_is_looked_up_again() -> None:
    peer = stunned()
    peer.looked_up(2, (), 0.0)
    assert kinds(peer) == ["DomainConnectRequest"]
    peer.list()
    for second in range(1, 11):
        peer.at(float(second))
        peer.list()
    assert Lookup(2, "stun.example", 3478) in peer.take(peer.transmits)


def test_a_public_address_that_changes_is_a_new_connection() -> None:
    peer = stunned()
    peer.looked_up(2, (Address(STUN_SERVER.host, STUN_SERVER.port),), 0.0)
    transaction = BindingRequest.decode(peer.take(peer.transmits)[0].data).transaction
    peer.receive_datagram(stun_answer(transaction), STUN_SERVER, 0.0)
    peer.list(record())
    peer.take()
    for second in range(1, 11):
        peer.sent() if second < 10 else None
        peer.at(float(second))
        peer.list()
    again = [datagram for datagram in datagrams(peer) if datagram.path == STUN_SERVER]
    transaction = BindingRequest.decode(again[0].data).transaction
    peer.receive_datagram(stun_answer(transaction), STUN_SERVER, peer.now)
    assert peer.phase is Phase.OPEN  # nothing has changed
    for second in range(11, 34):  # nor has it when there is no answer
        peer.at(float(second))
        peer.list()
    assert peer.phase is Phase.OPEN
    again = [datagram for datagram in datagrams(peer) if datagram.path == STUN_SERVER]
    transaction = BindingRequest.decode(again[-1].data).transaction
    peer.receive_datagram(stun_answer(transaction, port=5), STUN_SERVER, peer.now)
    assert [event for event in peer.take() if isinstance(event, Disconnected)] == [Disconnected(Loss.MOVED)]
    (leaving, (_, connect, _)) = peer.sent()
    assert isinstance(leaving[1], p.DisconnectRequest)
    assert connect.check_in.public_socket == SockAddr("203.0.113.7", 5)
    assert connect.reason is p.ConnectReason.CONNECT


def test_a_socket_that_is_bound_anew_is_a_new_connection() -> None:
    peer = ClientPeer.live()
    peer.socket_bound(SOCKET, US, 0.5)
    assert not peer.take()
    peer.socket_bound(SOCKET, Address(US.host, 5), 0.5)
    assert Disconnected(Loss.MOVED) in peer.take()
    assert kinds(peer) == ["DisconnectRequest", "DomainConnectRequest"]
    peer.at(8.0)  # silence, and then a connection and another port: that is a reason of its own
    peer.list()
    peer.sent()
    peer.socket_bound(SOCKET, Address(US.host, 7), peer.now)
    ((_, request, _),) = peer.sent(p.DomainConnectRequest)
    assert request.reason is p.ConnectReason.CONNECT


def test_with_stun_a_socket_that_is_bound_anew_asks_again() -> None:
    peer = stunned()
    peer.looked_up(2, (Address(STUN_SERVER.host, STUN_SERVER.port),), 0.0)
    transaction = BindingRequest.decode(peer.take(peer.transmits)[0].data).transaction
    peer.receive_datagram(stun_answer(transaction), STUN_SERVER, 0.0)
    peer.list()
    peer.sent()
    peer.socket_bound(SOCKET, Address(US.host, 5), 0.5)
    assert {datagram.path for datagram in peer.take(peer.transmits)} == {STUN_SERVER}
    peer.refresh(0.5)  # and is not done: what would it say?
    peer.socket_bound(SOCKET, Address(US.host, 6), 0.5)
    assert not peer.take(peer.transmits)


@pytest.mark.parametrize(
    ("bound", "given", "told"),
    [
        ("0.0.0.0", None, "10.0.0.6"),
        ("0.0.0.0", "10.0.0.5", "10.0.0.5"),
        ("eth0", None, "10.0.0.6"),
        ("::1", None, "::1"),
    ],
)
def test_any_address_is_not_told(bound: str, given: str | None, told: str) -> None:
    """It is the one from which we send to the domain, or one that this machine has, but never none."""
    peer = ClientPeer.live(connected=False, bound=False, local_host=given)
    peer.socket_bound(SOCKET, Address(bound, 48001), 0.0)
    peer.go()
    if told == "10.0.0.6":
        assert peer.take(peer.transmits)[1:] == [OwnAddress(3, Address(DOMAIN.host, DOMAIN.port))]
        peer.looked_up(3, (Address("10.0.0.6", 0),), 0.0)
    ((_, request, _),) = peer.sent()
    assert request.check_in.local_socket == SockAddr(told, 48001)


@pytest.mark.parametrize("answer", [(), None], ids=["no way", "no answer"])
def test_where_no_address_of_our_own_is_found_there_is_that_of_this_machine(answer: tuple[Address, ...] | None) -> None:
    peer = ClientPeer.live(connected=False, bound=False)
    peer.bind(Address("::", 48001))
    peer.go()
    if answer is None:
        assert not peer.sent()
        peer.at(1.0)
    else:
        peer.looked_up(3, answer, 0.0)
    ((_, request, _),) = peer.sent()
    assert request.check_in.local_socket == SockAddr("127.0.0.1", 48001)


def test_our_own_address_is_asked_for_when_the_socket_is_bound_late_and_again_after_silence() -> None:
    peer = ClientPeer.live(connected=False, bound=False)
    peer.go()
    peer.bind(Address("0.0.0.0", 48001))
    peer.looked_up(3, (Address("10.0.0.6", 0),), 0.0)
    peer.list()
    peer.at(6.0)
    peer.find()
    asked = [transmit for transmit in peer.take(peer.transmits) if isinstance(transmit, OwnAddress)]
    assert asked == [OwnAddress(3, Address(DOMAIN.host, DOMAIN.port))] * 2
    peer.looked_up(3, (Address("10.0.0.7", 0),), 6.0)
    assert peer.sent(p.DomainConnectRequest)[-1][1].check_in.local_socket == SockAddr("10.0.0.7", 48001)


# -- ICE ---------------------------------------------------------------------------------------------------------------


def iced(*before: Address) -> ClientPeer:
    peer = ClientPeer.live(connected=False, ice=ICE)
    peer.connect(0.0)
    assert peer.take(peer.transmits) == [Lookup(1, "ice.example", 7337)]
    peer.looked_up(1, (*before, Address(ICE_SERVER.host, ICE_SERVER.port)), 0.0)
    return peer


def peer_information(**changes: Any) -> p.ICEServerPeerInformation:
    fields: dict[str, Any] = {
        "id": DOMAIN_ID,
        "public_socket": SockAddr("198.51.100.1", 40102),
        "local_socket": SockAddr("10.0.0.1", 40102),
    }
    return p.ICEServerPeerInformation(**{**fields, **changes})


def test_an_ice_server_leads_to_the_domain() -> None:
    peer = iced()
    ((_, query, path),) = peer.sent()
    assert path == ICE_SERVER
    assert query == p.ICEServerQuery(ICE.client_id, SockAddr("", US.port), SockAddr(US.host, US.port), DOMAIN_ID)
    peer.say(peer_information(), STRANGER)
    peer.say(peer_information(id=b"?" * 16), ICE_SERVER)
    peer.say((PacketType.ICE_SERVER_PEER_INFORMATION, b""), ICE_SERVER)
    assert not peer.sent()
    peer.say(peer_information(), ICE_SERVER)
    assert {(packet.ice_id, packet.type, path.host) for _, packet, path in peer.sent()} == {
        (ICE.client_id, p.PingType.LOCAL, "10.0.0.1"),
        (ICE.client_id, p.PingType.PUBLIC, "198.51.100.1"),
    }
    peer.at(0.25)
    assert len(peer.sent(p.ICEPing)) == 2
    peer.say(p.ICEPingReply(b"?" * 16, p.PingType.PUBLIC), DOMAIN)
    peer.say(p.ICEPingReply(DOMAIN_ID, p.PingType.PUBLIC), STRANGER)
    peer.say((PacketType.ICE_PING_REPLY, b""), DOMAIN)
    assert not peer.sent()
    peer.say(p.ICEPingReply(DOMAIN_ID, p.PingType.PUBLIC), DOMAIN)
    ((_, request, path),) = peer.sent()
    assert path == DOMAIN
    assert request.connect_id == ICE.client_id
    peer.list()
    assert isinstance(peer.take()[0], Connected)


def test_an_ice_server_is_asked_again() -> None:
    peer = iced()
    peer.sent()
    peer.at(3.0)
    assert len(peer.sent(p.ICEServerQuery)) == 3
    peer.say(peer_information(), ICE_SERVER)
    peer.at(5.0)
    found = [type(packet) for _, packet, _ in peer.sent()]
    assert found.count(p.ICEPing) == 16
    assert found[-1] is p.ICEServerQuery
    peer.at(70.0)
    assert peer.take() == [Closed(CloseCause.TIMEOUT, detail="no domain server answered")]


def test_ice_pings_of_the_domain_are_answered_and_no_others() -> None:
    peer = iced()
    peer.sent()
    peer.say(p.ICEPing(b"?" * 16, p.PingType.PUBLIC), STRANGER)
    peer.say((PacketType.ICE_PING, b""), STRANGER)
    assert not peer.sent()
    peer.say(p.ICEPing(DOMAIN_ID, p.PingType.PUBLIC), STRANGER)
    ((_, reply, path),) = peer.sent()
    assert (reply, path) == (p.ICEPingReply(ICE.client_id, p.PingType.PUBLIC), STRANGER)
    peer = ClientPeer.live()
    peer.say(p.ICEPing(DOMAIN_ID, p.PingType.PUBLIC), DOMAIN)
    assert not peer.sent(p.ICEPingReply)
    peer = ClientPeer.live(connected=False, ice=ICE)
    peer.say(p.ICEPing(DOMAIN_ID, p.PingType.PUBLIC), DOMAIN)
    assert not peer.sent(p.ICEPingReply)


# -- as a whole --------------------------------------------------------------------------------------------------------


def test_a_client_goes_on_from_its_snapshot() -> None:
    peer = ClientPeer.live()
    peer.list(record(), record("W", number=2))
    peer.ask_path("/", 0.0)
    peer.take(peer.transmits)
    snapshot = peer.snapshot()
    twin = DomainClient.restore(snapshot, host="domain.example", entropy=ScriptedEntropy(), wall_epoch=EPOCH)
    assert twin.snapshot() == snapshot
    assert twin.nodes == peer.nodes
    other = ClientPeer.live(connected=False, bound=False)
    other.endpoint = twin
    for one in (peer, other):
        one.at(3.0)
        one.say(p.Ping(p.PingType.PUBLIC, 77, 0), STRANGER, source=4661, secret=b"k" * 16)
    assert peer.take(peer.transmits) == other.take(other.transmits)
    assert peer.snapshot() == twin.snapshot()


@pytest.mark.parametrize("table", [CONNECTION, ICE_CLIENT, STUN, QUERY, NODE])
def test_the_tables_are_whole(table: Any) -> None:
    assert [finding for finding in check(table, "docs/protocols") if "there is no page" not in finding] == []


def test_a_list_is_only_so_long() -> None:
    peer = ClientPeer.live(limits=ClientLimits(nodes=2))
    peer.list(*(record("I", number=number) for number in range(1, 5)))
    assert len(peer.nodes) == 2
    assert peer.stats.noted["too many nodes"] == 2


def test_only_so_many_lists_are_remembered() -> None:
    peer = ClientPeer.live()
    for permissions in range(200):
        peer.list(record(), permissions=permissions)
    assert peer.permissions == 199
    assert len(peer.nodes) == 1


def test_bytes_behind_a_packet_are_noted() -> None:
    peer = ClientPeer.live()
    peer.say((PacketType.DOMAIN_SERVER_ADDED_NODE, record().encode() + b"more"))
    assert (peer.stats.noted["trailing bytes"], list(peer.nodes)) == (1, [record().id])


def test_who_may_send_with_a_local_id() -> None:
    peer = ClientPeer.live()
    peer.list(record())
    at_home, elsewhere = (peer.source_of(4661, path) for path in (MIXER, STRANGER))
    assert at_home is peer.node_table.nodes[record().id]
    assert elsewhere is not None
    assert elsewhere.secret == SECRET


def test_a_socket_that_is_bound_again_as_before_tells_the_ice_server_nothing() -> None:
    peer = ClientPeer.live(connected=False, ice=ICE)
    peer.connect(0.0)
    peer.looked_up(1, (Address(ICE_SERVER.host, ICE_SERVER.port),), 0.0)
    assert kinds(peer) == ["ICEServerQuery"]
    for address in (US, Address(US.host, 5)):
        peer.socket_bound(SOCKET, address, 0.0)
    assert kinds(peer) == ["ICEServerQuery"]
    peer.sockets_changed()
    peer.run()
    assert kinds(peer) == []

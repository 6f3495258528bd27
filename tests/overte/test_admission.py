"""Who is let into a domain: every guard of a connect request, and what a stranger can get out of asking."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path as File
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from scripted_overte import CLOCK, Party, ServerPeer

from sansproto.contract import Address, Path
from sansproto.errors import LocalProtocolError, NotOpen
from sansproto.overte import crypto
from sansproto.overte import packets as p
from sansproto.overte.admission import CONNECT
from sansproto.overte.limits import ServerLimits
from sansproto.overte.policy import ASSIGNED, Banned, Login, Policy, Visitor
from sansproto.overte.qt import NULL_SOCK_ADDR, SockAddr
from sansproto.overte.server_events import ConnectRefused, Departure, KeyWanted, NodeJoined, NodeLeft
from sansproto.overte.versions import DEFAULT, VERSIONS, PacketType
from sansproto.testing.vectors import VectorTest, load
from sansproto.trace import Classified

VECTORS = File(__file__).parents[2] / "vectors" / "overte"
GUEST = p.Permissions.CONNECT | p.Permissions.REZ_AVATAR_ENTITIES
HERE = Login("https://example.org/login", "client")


@pytest.fixture(scope="module")
def key() -> bytes:
    made = rsa.generate_private_key(65537, 2048)
    return made.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def golden(file: str, name: str) -> VectorTest:
    """The first vector of this name."""
    return next(test for test in load(VECTORS / file) if test.comment.split(":")[0] == name)


@pytest.fixture
def classified() -> list[int]:
    return []


@pytest.fixture
def domain(classified: list[int]) -> ServerPeer:
    """A domain of which ``classified`` are the guards that decided."""

    def note(record: Any) -> None:
        if isinstance(record, Classified) and record.guards == CONNECT.name:
            classified.append(record.step)

    return ServerPeer.live(trace=note, policy=Policy(users={"somebody": GUEST}))


def guard(classified: list[int]) -> str:
    """The name of the guard that decided last."""
    return CONNECT.steps[classified[-1]].name


def with_policy(domain: ServerPeer, **policy: Any) -> None:
    domain.change_policy(Policy(**policy), domain.now)


def signed(party: Party, key: bytes, name: str = "alice", **changes: Any) -> Any:
    """Connect under a name: ask for a token and sign it."""
    token = party.connect(username=name, **changes)
    assert isinstance(token, p.ConnectionToken)
    signature = crypto.sign_username(key, name, token.token)
    return party.connect(username=name, username_signature=signature, **changes)


# -- guard by guard ----------------------------------------------------------------------------------------------------


def test_admitted(domain: ServerPeer, classified: list[int]) -> None:
    party = Party(domain)
    answer = party.connect(place_name="hub")
    assert isinstance(answer, p.DomainList)
    assert guard(classified) == "otherwise"
    assert (answer.permissions, answer.new_connection, answer.client_clock) == (GUEST, True, CLOCK)
    assert domain.take() == [
        NodeJoined(
            answer.session_id,
            p.NodeType.AGENT,
            local_id=answer.local_id,
            path=party.path,
            permissions=GUEST,
            place="hub",
        )
    ]


def test_empty(domain: ServerPeer, classified: list[int]) -> None:
    assert Party(domain).say(PacketType.DOMAIN_CONNECT_REQUEST, b"") is None
    assert guard(classified) == "is_something"
    assert domain.stats.dropped["empty connect request"] == 1


@pytest.mark.parametrize("name", sorted(VERSIONS)[1:])
def test_other_signature(domain: ServerPeer, classified: list[int], name: str) -> None:
    """The reader of the first 36 bytes does not mind what another protocol has behind them."""
    payload = Party(domain).request(protocol_signature=VERSIONS[name].signature).encode()
    for end in (len(payload), 40, 36):
        answer = Party(domain).say(PacketType.DOMAIN_CONNECT_REQUEST, payload[:end])
        assert isinstance(answer, p.DomainConnectionDenied)
        assert guard(classified) == "is_of_other_protocol"
        assert (answer.reason, answer.extra) == (p.DenialReason.PROTOCOL_MISMATCH, "")
    assert domain.take() == [ConnectRefused(Party(domain).path, p.DenialReason.PROTOCOL_MISMATCH)] * 3


def test_other_version_byte(domain: ServerPeer, classified: list[int]) -> None:
    party = Party(domain)
    answer = party.say(PacketType.DOMAIN_CONNECT_REQUEST, party.request().encode(), version=26)
    assert isinstance(answer, p.DomainConnectionDenied)
    assert guard(classified) == "is_of_other_protocol"
    assert answer.text == "Protocol version mismatch - Domain version: 2025.05.1"
    assert domain.stats.noted["other version"] == 1
    other = ServerPeer.live(versions=VERSIONS["2026-newest-known"])
    answer = Party(other).connect()
    assert isinstance(answer, p.DomainConnectionDenied)
    assert answer.text == "Protocol version mismatch - Domain version: 2026-newest-known"


@pytest.mark.parametrize("version", [17, 27])
def test_pending_requests_are_of_another_protocol(domain: ServerPeer, classified: list[int], version: int) -> None:
    party = Party(domain)
    party.say(PacketType.DOMAIN_CONNECT_REQUEST_PENDING, party.request().encode(), version=version)
    assert guard(classified) == "is_of_other_protocol"
    assert [packet.reason for packet in party.packets(p.DomainConnectionDenied)] == [p.DenialReason.PROTOCOL_MISMATCH]
    assert [type(event) for event in domain.events] == [ConnectRefused]


def test_malformed(domain: ServerPeer, classified: list[int]) -> None:
    payload = Party(domain).request().encode()
    for end in range(36, len(payload)):
        if Party(domain).say(PacketType.DOMAIN_CONNECT_REQUEST, payload[:end]) is not None:
            pytest.fail(f"{end} of {len(payload)} bytes were answered")
        assert guard(classified) == "read"
    assert domain.stats.dropped["malformed connect request"] == len(payload) - 36
    assert domain.events == []


def test_trailing_bytes_are_counted_only(domain: ServerPeer) -> None:
    party = Party(domain)
    fields = {"username": None, "username_signature": b"", "domain_username": None, "domain_tokens": None}
    assert party.say(PacketType.DOMAIN_CONNECT_REQUEST, party.request(**fields).encode() + b"more") is not None
    assert domain.stats.noted == {"trailing bytes": 1}


@pytest.mark.parametrize("local", [True, False])
def test_null_sockets(domain: ServerPeer, classified: list[int], local: bool) -> None:
    host = "127.0.0.1" if not local else "203.0.113.7"
    assert Party(domain, host).connect(**{"local_socket" if local else "public_socket": NULL_SOCK_ADDR}) is None
    assert guard(classified) == "has_sockets"


def test_null_public_address_is_the_senders(domain: ServerPeer) -> None:
    party = Party(domain)
    assert party.connect(public_socket=SockAddr("", 7000)) is not None
    audio = domain.mixer()
    assert audio.packets(p.DomainList)[0].nodes[0].public_socket == SockAddr("203.0.113.7", 7000)


def test_null_public_address_on_loopback_stays(domain: ServerPeer) -> None:
    party = Party(domain, "127.0.0.1")
    assert party.connect(public_socket=SockAddr("", 7000)) is not None
    audio = domain.mixer()
    assert audio.packets(p.DomainList)[0].nodes[0].public_socket == SockAddr("", 7000)


@pytest.mark.parametrize("kind", [0, 1, ord("D"), ord("B"), 255])
def test_types_that_no_node_has(domain: ServerPeer, classified: list[int], kind: int) -> None:
    assert Party(domain).connect(node_type=kind) is None
    assert guard(classified) == "has_node_type"


@pytest.mark.parametrize("kind", [p.NodeType.AUDIO_MIXER, p.NodeType.ENTITY_SCRIPT_SERVER])
def test_mixers_need_an_assignment(domain: ServerPeer, classified: list[int], kind: p.NodeType) -> None:
    assert Party(domain, node_type=kind).connect() is None
    assert guard(classified) == "is_expected"
    domain.assign(bytes(15) + b"\1", kind, domain.now)
    party = Party(domain, node_type=kind)
    assert party.connect(connect_id=bytes(15) + b"\2") is None
    assert party.connect(connect_id=bytes(15) + b"\1", node_type=p.NodeType.AVATAR_MIXER) is None
    answer = party.connect(connect_id=bytes(15) + b"\1")
    assert guard(classified) == "is_assigned"
    assert isinstance(answer, p.DomainList)
    assert answer.permissions == ASSIGNED


def test_an_assignment_is_one_nodes(domain: ServerPeer, classified: list[int]) -> None:
    """Another one is let in when the first is gone; the same one at any time, in place of itself."""
    first = domain.mixer()
    second = Party(domain, "198.51.100.99", **first.says)
    assert second.connect() is None
    assert guard(classified) == "is_expected"
    domain.wait(6.0)
    lost, node_id = Party(domain, first.path.host, first.path.port, **first.says), first.node_id
    assert lost.connect() is not None
    assert lost.node_id != node_id
    assert NodeLeft(node_id, Departure.REPLACED) in domain.take()
    lost.say(PacketType.DOMAIN_DISCONNECT_REQUEST)
    assert second.connect() is not None


def test_an_assigned_node_may_come_back_from_another_port(domain: ServerPeer) -> None:
    first = domain.mixer()
    moved = Party(domain, first.path.host, 50000, **first.says)
    assert moved.connect(public_socket=SockAddr(first.path.host, first.path.port)) is not None
    assert NodeLeft(first.node_id, Departure.REPLACED) in domain.take()
    assert first.check_in() is None


@pytest.mark.parametrize(
    ("port", "other"), [(50000, {}), (None, {"node_type": p.NodeType.AGENT, "connect_id": bytes(16)})]
)
def test_who_goes_leaves_its_id_in_a_full_domain_to_who_comes_in_its_place(
    port: int | None, other: dict[str, Any]
) -> None:
    """Whether that one has its assignment, at another port, or its address."""
    domain = ServerPeer.live(limits=ServerLimits(nodes=1))
    first = domain.mixer()
    domain.wait(6.0)
    at = first.path
    comer = Party(domain, at.host, port or at.port, **{**first.says, **other})
    answer = comer.connect(public_socket=SockAddr(at.host, at.port))
    assert isinstance(answer, p.DomainList)
    assert NodeLeft(first.node_id, Departure.REPLACED) in domain.take()


@pytest.mark.parametrize(
    ("connect_id", "kind"),
    [
        (bytes(16), p.NodeType.AUDIO_MIXER),
        (b"short", p.NodeType.AUDIO_MIXER),
        (b"\1" * 16, p.NodeType.AGENT),
        (b"\2" * 16, p.NodeType.AUDIO_MIXER),
        (b"\3" * 16, p.NodeType.AUDIO_MIXER),
    ],
)
def test_what_cannot_be_assigned(connect_id: bytes, kind: p.NodeType) -> None:
    domain = ServerPeer.live(limits=ServerLimits(nodes=1))
    domain.assign(b"\2" * 16, p.NodeType.AVATAR_MIXER, 0.0)
    domain.assign(b"\2" * 16, p.NodeType.AVATAR_MIXER, 0.0)
    with pytest.raises(LocalProtocolError):
        domain.assign(connect_id, kind, 0.0)


def test_repeated_requests_are_one_node(domain: ServerPeer, classified: list[int]) -> None:
    party = Party(domain)
    party.connect()
    before = party.node_id, party.local_id
    domain.wait(4.9)
    answer = party.connect(client_clock=CLOCK + 5)
    assert guard(classified) == "is_repeated"
    assert isinstance(answer, p.DomainList)
    assert ((party.node_id, party.local_id), answer.new_connection) == (before, True)
    assert answer.client_clock == CLOCK + 5
    assert [type(event) for event in domain.take()] == [NodeJoined]


@pytest.mark.parametrize(
    "change",
    [
        {"machine_fingerprint": bytes(16)},
        {"public_socket": SockAddr("203.0.113.7", 1)},
        {"local_socket": SockAddr("192.168.1.23", 1)},
    ],
)
def test_other_requests_from_the_same_address_replace_the_node(domain: ServerPeer, change: dict[str, Any]) -> None:
    party = Party(domain)
    party.connect()
    before = party.node_id
    party.connect(**change)
    assert party.node_id != before
    assert [type(event) for event in domain.take()] == [NodeJoined, NodeLeft, NodeJoined]
    assert len(domain.members.by_id) == 1


@pytest.mark.parametrize("interested", [False, True])
def test_a_late_repetition_is_a_new_node(domain: ServerPeer, interested: bool) -> None:
    """Who was there is told to have left before who comes is told to have joined, whoever has to hear of it."""
    party = Party(domain)
    party.connect()
    before = party.node_id
    if interested:
        domain.mixer()
    domain.wait(5.0)
    domain.take()
    party.connect()
    assert party.node_id != before
    left, joined = domain.take()
    assert left == NodeLeft(before, Departure.REPLACED)
    assert joined.node_id == party.node_id


def test_nobody_on_another_machine_takes_the_place_of_a_node_that_was_heard(
    domain: ServerPeer, classified: list[int]
) -> None:
    party = Party(domain)
    party.connect()
    party.check_in()
    forged = Party(domain, machine_fingerprint=bytes(16))
    assert forged.connect() is None
    assert guard(classified) == "is_no_intruder"
    assert party.check_in() is not None
    domain.wait(10.0)  # a router gave the port to somebody else, perhaps
    assert forged.connect() is not None


def test_more_nodes_than_ids(classified: list[int]) -> None:
    domain = ServerPeer.live(limits=ServerLimits(nodes=2, connects=99))
    assert all(Party(domain, port=port).connect() for port in (1, 2))
    answer = Party(domain, port=3).connect()
    assert isinstance(answer, p.DomainConnectionDenied)
    assert answer.reason == p.DenialReason.TOO_MANY_USERS
    with pytest.raises(ValueError, match="nodes"):
        ServerLimits(nodes=65_535)


@pytest.mark.parametrize(
    "arguments",
    [{"redirect": "\udcff"}, {"settings": "\udcff"}, {"paths": {"/": "\udcff"}}, {"accounts": {"ada": "\udcff"}}],
    ids=lambda arguments: next(iter(arguments)),
)
def test_what_cannot_be_sent_is_not_taken_into_a_policy(arguments: Any) -> None:
    """Else the first stranger whom it is told raises an exception in the server."""
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Policy(**arguments)


def test_nor_is_the_name_of_a_login_or_version() -> None:
    for arguments in (("\udcff",), ("https://example.org", "\udcff")):
        with pytest.raises(ValueError, match="UTF-8"):
            Login(*arguments)
    with pytest.raises(ValueError, match="version_name"):
        ServerPeer.live(version_name="\udcff")


def test_who_takes_its_own_place_in_a_full_domain_gets_its_own_local_id(domain: ServerPeer) -> None:
    party = Party(domain)
    party.connect()
    members, before = domain.members, (party.node_id, party.local_id)
    members.taken = (1 << (1 << 16)) - 1
    domain.now = 5.0
    assert party.connect() is not None
    assert (party.node_id != before[0], party.local_id) == (True, before[1])


# -- usernames ---------------------------------------------------------------------------------------------------------


def test_a_name_needs_a_token_and_a_key(domain: ServerPeer, classified: list[int], key: bytes) -> None:
    party = Party(domain)
    token = party.connect(username="Alice")
    assert guard(classified) == "is_without_token"
    assert isinstance(token, p.ConnectionToken)
    assert domain.take() == [KeyWanted("alice")]
    assert party.connect(username="ALICE") == token  # the same until it is used, and nobody is asked again
    signature = crypto.sign_username(key, "Alice", token.token)
    assert party.connect(username="alice", username_signature=signature) is None
    assert guard(classified) == "is_of_unknown_key"
    assert domain.take() == []
    domain.provide_key("ALICE", b64encode(crypto.public_key_der(key)).decode(), domain.now)
    assert isinstance(party.connect(username="Alice", username_signature=signature), p.DomainList)
    assert [event.username for event in domain.take()] == ["alice"]
    domain.now = 119.0
    assert isinstance(party.connect(username="alice", username_signature=signature), p.DomainList)
    domain.now = 130.0
    fresh = party.connect(username="alice", username_signature=signature)  # the token is too old
    assert isinstance(fresh, p.ConnectionToken)
    assert fresh != token
    assert guard(classified) == "is_without_token"
    domain.now = 1000.0
    assert isinstance(party.connect(username="alice", username_signature=signature), p.DomainConnectionDenied)


@pytest.mark.parametrize(
    "other",
    [{"host": "203.0.113.8"}, {"port": 48002}, {"username": "bob"}],
    ids=["host", "port", "name"],
)
def test_a_token_is_for_one_name_at_one_address(domain: ServerPeer, key: bytes, other: dict[str, Any]) -> None:
    for name in ("alice", "bob"):
        domain.provide_key(name, crypto.public_key_der(key), 0.0)
    token = Party(domain).connect(username="alice")
    name = other.pop("username", "alice")
    party = Party(domain, **other)
    assert party.connect(username=name) != token
    signature = crypto.sign_username(key, name, token.token)
    assert isinstance(party.connect(username=name, username_signature=signature), p.DomainConnectionDenied)


@pytest.mark.unmeasured
def test_forged_names_keep_no_user_out(domain: ServerPeer, key: bytes) -> None:
    """6,000 in each second, from anywhere, of whom the application says that they have no key, or does not say it."""
    ada = Party(domain, "203.0.113.77")

    def flood(number: int) -> None:
        for one in range(number):
            forged = Party(domain, f"198.18.{one >> 8 & 255}.{one & 255}", 1 + number)
            name = f"user{one}"
            forged.connect(username=name, username_signature=b"x" * (one % 2))
            if one % 3:
                domain.provide_key(name, None, domain.now)
        for event in domain.take():
            if event == KeyWanted("ada"):
                domain.provide_key("ada", crypto.public_key_der(key), domain.now)

    token = ada.connect(username="ada")
    flood(1500)
    signature = crypto.sign_username(key, "ada", token.token)
    domain.now += 0.25
    ada.connect(username="ada", username_signature=signature)
    flood(1500)
    assert isinstance(ada.connect(username="ada", username_signature=signature), p.DomainList)
    assert [member.entry.username for member in domain.members.by_id.values()] == ["ada"]
    admission, limits = domain.admission, domain.limits
    assert (len(admission.wanted), len(admission.keyless)) == (500, 1000)
    assert len(admission.answers) <= limits.applicants


def test_bad_signatures_of_a_host_are_looked_at_so_often(monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    looked: list[bytes] = []

    def signed_digest(key: bytes | str, signature: bytes) -> bytes | None:
        looked.append(signature)
        return crypto.signed_digest(key, signature)

    monkeypatch.setattr("sansproto.overte.admission.signed_digest", signed_digest)
    domain = ServerPeer.live(limits=ServerLimits(signatures=3, applicants=2))
    domain.provide_key("ada", crypto.public_key_der(key), 0.0)
    for number in range(10):
        Party(domain, f"2001:db8::{1 + number:x}").connect(username="ada", username_signature=bytes(256))
    assert len(looked) == 3
    assert domain.stats.dropped["bad signatures too often"] == 7
    ada = Party(domain, "2001:db8:0:1::1")
    assert isinstance(signed(ada, key, "ada"), p.DomainList)
    domain.wait(5.0)
    Party(domain, "2001:db8::1").connect(username="ada", username_signature=bytes(256))
    for number in range(4):
        Party(domain, f"203.0.113.{number}").connect(username="ada", username_signature=bytes(256))
    assert len(looked) == 3 + 1 + 1 + 4
    assert len(domain.admission.failures) == 2


def test_bad_signatures_are_counted_even_if_they_get_no_answer(key: bytes) -> None:
    domain = ServerPeer.live(limits=ServerLimits(signatures=5, connects=2))
    domain.provide_key("ada", crypto.public_key_der(key), 0.0)
    answers = [
        Party(domain, port=number).connect(username="ada", username_signature=bytes(256)) for number in range(1, 9)
    ]
    assert [answer is not None for answer in answers] == [True] * 2 + [False] * 6
    assert domain.stats.dropped["bad signatures too often"] == 3


def test_a_good_signature_is_held_up_by_no_limit_for_strangers(key: bytes) -> None:
    """Thirty people behind one router come at once, beside strangers who have used up what their host gets."""
    domain = ServerPeer.live(limits=ServerLimits(connects=30), policy=Policy(users={"user0": GUEST}))
    people = [Party(domain, port=1000 + number) for number in range(30)]
    tokens = []
    for number, person in enumerate(people):
        domain.provide_key(f"user{number}", crypto.public_key_der(key), 0.0)
        tokens.append(person.connect(username=f"user{number}"))
    assert Party(domain, port=1).connect() is None
    for number, (person, token) in enumerate(zip(people, tokens, strict=True)):
        signature = crypto.sign_username(key, f"user{number}", token.token)
        assert isinstance(person.connect(username=f"user{number}", username_signature=signature), p.DomainList)
    assert Party(domain, port=1).connect() is None


def test_thirty_guests_behind_one_router_come_in_at_once() -> None:
    domain = ServerPeer.live(limits=ServerLimits())
    for number in range(30):
        assert isinstance(Party(domain, port=1000 + number).connect(), p.DomainList)


@pytest.mark.parametrize("answer", ["no key", "nothing", "nothing, and other names push it out"])
def test_without_a_list_of_users_a_name_is_a_guests(key: bytes, answer: str) -> None:
    domain = ServerPeer.live(limits=ServerLimits(wanted=1))
    party = Party(domain)
    token = party.connect(username="ada")
    signature = crypto.sign_username(key, "ada", token.token)
    if answer == "no key":
        domain.provide_key("ada", None, domain.now)
    else:
        assert party.connect(username="ada", username_signature=signature) is None
    if answer.endswith("out"):
        Party(domain, port=2).connect(username="eve")
    elif answer == "nothing":
        domain.now += 2.0
    assert isinstance(party.connect(username="ada", username_signature=signature), p.DomainList)
    assert [event.username for event in domain.take() if isinstance(event, NodeJoined)] == [""]


def test_a_name_that_is_banned_is_no_guests(key: bytes) -> None:
    domain = ServerPeer.live(policy=Policy(bans=frozenset({Banned(p.Ban.NAME, "ada")})))
    party = Party(domain)
    token = party.connect(username="ada")
    domain.provide_key("ada", None, domain.now)
    signature = crypto.sign_username(key, "ada", token.token)
    assert isinstance(party.connect(username="ada", username_signature=signature), p.DomainConnectionDenied)


class Judge(Policy):
    def permissions(self, visitor: Visitor) -> int:
        return GUEST if visitor.username else 0


@pytest.mark.parametrize(
    ("policy", "asks"),
    [(Policy(), False), (Policy(users={"ada": 1}), True), (Policy(logged_in=5), True), (Judge(), True)],
)
def test_a_policy_asks_for_names_if_anything_depends_on_them(policy: Policy, asks: bool) -> None:
    assert policy.asks_names() is asks


def test_a_copy_of_a_signed_request_needs_no_second_token(
    domain: ServerPeer, classified: list[int], key: bytes
) -> None:
    party = Party(domain)
    domain.provide_key("alice", crypto.public_key_der(key), 0.0)
    token = party.connect(username="alice")
    assert isinstance(token, p.ConnectionToken)
    signature = crypto.sign_username(key, "alice", token.token)
    lists = [party.connect(username="alice", username_signature=signature) for _ in range(3)]
    assert len({packet.session_id for packet in lists if isinstance(packet, p.DomainList)}) == 1
    assert guard(classified) == "is_repeated"
    assert isinstance(party.connect(username="bob", username_signature=signature), p.ConnectionToken)


def test_a_name_signed_as_it_was_written(domain: ServerPeer, key: bytes) -> None:
    party = Party(domain)
    domain.provide_key("alice", crypto.public_key_der(key), 0.0)
    token = party.connect(username="Alice")
    assert isinstance(token, p.ConnectionToken)
    signature = crypto.sign(key, b"Alice" + token.token)
    assert isinstance(party.connect(username="Alice", username_signature=signature), p.DomainList)


@pytest.mark.parametrize("public", [None, b"no key"])
def test_bad_signatures_and_unusable_keys(
    domain: ServerPeer, classified: list[int], key: bytes, public: bytes | None
) -> None:
    party = Party(domain)
    domain.provide_key("alice", public or crypto.public_key_der(key), 0.0)
    party.connect(username="alice")
    answer = party.connect(username="alice", username_signature=crypto.sign_username(key, "alice", bytes(16)))
    assert guard(classified) == "is_badly_signed"
    assert isinstance(answer, p.DomainConnectionDenied)
    assert answer.reason == p.DenialReason.LOGIN_ERROR_DIRECTORY


def test_a_key_is_asked_for_again_after_an_answer(domain: ServerPeer) -> None:
    party = Party(domain)
    party.connect(username="alice")
    domain.provide_key("alice", None, domain.now)
    party.connect(username="alice")
    party.connect(username="alice")
    assert domain.take() == [KeyWanted("alice")] * 2


def test_the_golden_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    vector = golden("crypto.json", "username_signature")
    token = vector.octets("inputs", "token")
    domain = ServerPeer.live()
    monkeypatch.setattr(domain.admission.tokens, "token", lambda *_: token)
    domain.provide_key(vector["inputs"]["username"], crypto.public_key_der(vector.octets("inputs", "private_key")), 0.0)
    party = Party(domain)
    assert party.connect(username="alice.example") == p.ConnectionToken(token)
    signature = vector.octets("outputs", "signature")
    assert isinstance(party.connect(username="alice.example", username_signature=signature), p.DomainList)


# -- the domain's own accounts, permissions, capacity ------------------------------------------------------------------


def test_domain_accounts(domain: ServerPeer, classified: list[int]) -> None:
    with_policy(domain, login=HERE, accounts={"ann": "a:b"}, anonymous=0)
    party = Party(domain)
    answer = party.connect(domain_username="ann", domain_tokens="a:c")
    assert guard(classified) == "is_not_logged_in"
    assert isinstance(answer, p.DomainConnectionDenied)
    assert answer.reason == p.DenialReason.LOGIN_ERROR_DOMAIN
    assert isinstance(party.connect(domain_username="ann", domain_tokens="a:b", username="alice"), p.DomainList)
    joined = domain.take()[-1]
    assert (joined.username, joined.account) == ("", "ann")


def test_accounts_mean_nothing_where_the_domain_has_none(domain: ServerPeer) -> None:
    party = Party(domain)
    assert isinstance(party.connect(domain_username="ann", domain_tokens=None), p.DomainList)
    assert domain.take()[-1].account == ""


@pytest.mark.parametrize("login", [None, HERE])
def test_no_permission(domain: ServerPeer, classified: list[int], login: Login | None) -> None:
    with_policy(domain, anonymous=0, login=login)
    answer = Party(domain).connect()
    assert isinstance(answer, p.DomainConnectionDenied)
    if login is None:
        assert guard(classified) == "is_forbidden"
        assert (answer.reason, answer.extra) == (p.DenialReason.NOT_AUTHORIZED_DIRECTORY, "")
    else:
        assert guard(classified) == "is_forbidden"
        assert answer.reason == p.DenialReason.NOT_AUTHORIZED_DOMAIN
        assert answer.extra == "https://example.org/login|client"
    assert isinstance(Party(domain, "127.0.0.1").connect(), p.DomainList)  # localhost may do everything


def test_our_own_address_is_local(domain: ServerPeer) -> None:
    with_policy(domain, anonymous=0)
    domain.socket_bound("udp", Address("203.0.113.7", 40102), 0.0)
    assert isinstance(Party(domain).connect(), p.DomainList)


def test_permissions_by_name(domain: ServerPeer, key: bytes) -> None:
    with_policy(domain, users={"alice": p.Permissions.CONNECT, "bob": 0}, logged_in=GUEST)
    for name in ("alice", "bob", "carol"):
        domain.provide_key(name, crypto.public_key_der(key), 0.0)
    answers = [signed(Party(domain, port=port), key, name) for port, name in enumerate(("alice", "bob", "carol"), 1)]
    assert [getattr(answer, "permissions", None) for answer in answers] == [p.Permissions.CONNECT, None, GUEST]


def test_full(domain: ServerPeer, classified: list[int], key: bytes) -> None:
    with_policy(domain, capacity=1, redirect="hifi://overflow", users={"alice": GUEST | p.Permissions.PAST_CAPACITY})
    domain.provide_key("alice", crypto.public_key_der(key), 0.0)
    domain.mixer()  # does not count
    assert isinstance(Party(domain, port=1).connect(), p.DomainList)
    answer = Party(domain, port=2).connect()
    assert guard(classified) == "is_one_too_many"
    assert isinstance(answer, p.DomainConnectionDenied)
    assert (answer.reason, answer.extra) == (p.DenialReason.TOO_MANY_USERS, "hifi://overflow")
    assert isinstance(signed(Party(domain, port=3), key), p.DomainList)


def test_who_comes_back_finds_its_place_free() -> None:
    domain = ServerPeer.live(policy=Policy(capacity=1), limits=ServerLimits(nodes=1))
    party = Party(domain)
    party.connect()
    before = party.node_id
    domain.wait(6.0)
    assert isinstance(party.connect(), p.DomainList)
    assert party.node_id != before
    assert isinstance(Party(domain, port=9).connect(), p.DomainConnectionDenied)


def test_a_policy_of_the_applications_own() -> None:
    asked: list[Visitor] = []

    class Mine(Policy):
        def permissions(self, visitor: Visitor) -> int:
            asked.append(visitor)
            return -1 if visitor.host == "203.0.113.7" else 0

    domain = ServerPeer.live(policy=Mine())
    answer = Party(domain).connect()
    assert isinstance(answer, p.DomainList)
    assert answer.permissions == 0xFFFFFFFF
    assert Party(domain, "203.0.113.8").connect() == p.DomainConnectionDenied(
        3, "You lack the required Directory Services permissions to connect to this domain.", ""
    )
    assert {visitor.fingerprint for visitor in asked} == {Party(domain).request().machine_fingerprint}


# -- strangers ---------------------------------------------------------------------------------------------------------


def is_answered_by_no_more(size: int, redirect: str, other: bool) -> None:
    domain = ServerPeer.live(policy=Policy(capacity=0, redirect=redirect))
    party = Party(domain)
    payload = party.request().encode()
    if other:
        payload = payload.replace(DEFAULT.signature, bytes(16))[:size]
    party.say(PacketType.DOMAIN_CONNECT_REQUEST, payload)
    assert sum(len(datagram.data) for datagram in domain.transmits) <= 6 + len(payload)
    if payload and not domain.transmits:
        assert domain.stats.refused == {"request too short for an answer": 1}
    for denial in party.packets(p.DomainConnectionDenied):
        assert other or denial.extra.encode() == redirect.encode()[: len(denial.extra.encode())]


@pytest.mark.parametrize(("size", "redirect", "other"), [(4, "", True), (0, "\u00e9" * 200, False)])
def test_no_refusal_is_longer_than_a_short_request_or_one_with_a_long_redirect(
    size: int, redirect: str, other: bool
) -> None:
    is_answered_by_no_more(size, redirect, other)


@pytest.mark.unmeasured
@given(st.integers(0, 200), st.text(max_size=100), st.booleans())
def test_no_refusal_is_longer_than_the_request(size: int, redirect: str, other: bool) -> None:
    is_answered_by_no_more(size, redirect, other)


def test_a_host_gets_so_many_answers(classified: list[int]) -> None:
    domain = ServerPeer.live(limits=ServerLimits(connects=3))
    answers = [Party(domain, port=port).connect() for port in range(1, 6)]
    assert [answer is not None for answer in answers] == [True] * 3 + [False] * 2
    assert domain.stats.dropped["connect requests too often"] == 2
    assert Party(domain, "203.0.113.8").connect() is not None
    assert all(Party(domain, "127.0.0.1", port).connect() for port in range(1, 6))
    domain.wait(5.0)
    assert Party(domain, port=6).connect() is not None


def test_a_network_of_ipv6_that_one_owner_has_is_one_host() -> None:
    domain = ServerPeer.live(limits=ServerLimits(connects=3))
    answers = [Party(domain, f"2001:db8::{number}").connect() for number in range(1, 6)]
    assert [answer is not None for answer in answers] == [True] * 3 + [False] * 2
    assert Party(domain, "2001:db8:0:1::1").connect() is not None


def test_loopback_has_limits_and_no_privileges_if_it_is_not_trusted() -> None:
    domain = ServerPeer.live(limits=ServerLimits(connects=3), trust_loopback=False)
    answers = [Party(domain, "127.0.0.1", port).connect() for port in range(1, 6)]
    assert [answer and answer.permissions for answer in answers] == [GUEST] * 3 + [None] * 2


def test_a_machine_that_began_anew_is_in_within_seconds(domain: ServerPeer) -> None:
    """On the port that it had, with another fingerprint; as long as the one before it is heard, nobody is."""
    first, second = Party(domain), Party(domain, machine_fingerprint=b"another machine.")
    first.connect()
    for now in (1.0, 2.0):
        domain.now = now
        first.check_in()
        assert second.connect() is None
    domain.take()
    domain.now = 4.9
    assert second.connect() is None
    domain.now = 5.0
    assert isinstance(second.connect(), p.DomainList)
    assert [type(event) for event in domain.take()] == [NodeLeft, NodeJoined]


def test_nothing_is_kept_of_those_who_are_gone() -> None:
    domain = ServerPeer.live(limits=ServerLimits(applicants=50))
    for number in range(3):
        for one in range(100):
            Party(domain, f"198.18.{number}.{one}").connect()
        assert len(domain._sequences) <= 100
        domain.wait(11.0)
        assert not domain.members.by_id
        assert not domain._sequences
    assert len(domain.admission.answers) == 50


def test_tables_of_strangers_are_bounded() -> None:
    domain = ServerPeer.live(limits=ServerLimits(applicants=4, wanted=3, keys=4))
    names = [f"user{number}" for number in range(10)]
    for number, name in enumerate(names):
        Party(domain, f"203.0.113.{number}").connect(username=name)
    admission = domain.admission
    assert [*admission.answers] == [bytes((203, 0, 113, number)) for number in range(6, 10)]
    assert [*admission.wanted] == names[7:]
    for name in names:
        domain.provide_key(name, b"key", 0.0)
        domain.provide_key(name.replace("user", "guest"), None, 0.0)
    assert not admission.wanted
    assert [*admission.keys] == names[6:]
    assert [*admission.keyless] == [f"guest{number}" for number in range(6, 10)]


def test_sequence_numbers_are_remembered_for_so_many_addresses() -> None:
    domain = ServerPeer.live(limits=ServerLimits(addresses=5, connects=1000))
    for port in range(1, 20):
        Party(domain, port=port).connect()
    assert len(domain._sequences) == 5


def test_after_the_end_nothing_can_be_provided(domain: ServerPeer) -> None:
    domain.close(0.0)
    with pytest.raises(NotOpen):
        domain.provide_key("alice", None, 0.0)
    with pytest.raises(NotOpen):
        domain.assign(b"\1" * 16, p.NodeType.AUDIO_MIXER, 0.0)


# -- golden bytes ------------------------------------------------------------------------------------------------------


SENDER = Path("udp", "203.0.113.7", 48001)


@pytest.mark.parametrize("name", ["anonymous_ipv4", "empty_not_null_strings", "null_public_address"])
def test_golden_requests_are_admitted(domain: ServerPeer, name: str) -> None:
    domain.say(golden("codec.json", f"connect_request_{name}").octets("wire"), SENDER)
    assert [type(event) for event in domain.events] == [NodeJoined]
    (member,) = domain.members.by_local_id.values()
    assert (member.public, member.local) == (SockAddr("203.0.113.7", 48001), SockAddr("192.168.1.23", 48001))
    assert bytes(sorted(b"MWoAmS")) == member.interest


@pytest.mark.parametrize("name", ["signed_with_domain_account", "username_no_signature"])
def test_golden_requests_with_a_name_get_a_token(domain: ServerPeer, name: str) -> None:
    domain.say(golden("codec.json", f"connect_request_{name}").octets("wire"), SENDER)
    assert domain.take() == [KeyWanted("alice.example")]
    assert [type(packet) for _, packet in domain.heard[SENDER]] == [p.ConnectionToken]


def test_the_investigations_request_is_malformed(domain: ServerPeer, classified: list[int]) -> None:
    """It has an address of a kind that it does not have the bytes for; the reference reads on regardless."""
    payload = golden("codec.json", "investigation_connect_payload_replay").octets("wire")
    assert Party(domain).say(PacketType.DOMAIN_CONNECT_REQUEST, payload) is None
    assert guard(classified) == "read"
    assert domain.stats.dropped["malformed connect request"] == 1

"""What a node looks at before a session does: handshakes, pings, data of nobody. docs/protocols/tox.rst, the node."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final, NamedTuple, Protocol

import attrs

from ..component import Component, Host
from ..errors import WireError
from ..machine import Default, Guards, Input, Outcome, Row, Table, Timer
from ..rates import Level, Rate
from ..recovery import Knock, Recovery
from ..snapshot import CACHED
from . import packets as p
from .crypto import is_key
from .friend import Friend
from .friends import Friends
from .keyring import Keyring, Shaken
from .limits import NodeDelays, NodeLimits
from .paths import Direct, Relayed, Way, friend_route, way_route
from .session import OPENED, Arrived, Session
from .sessions import Sessions

_LOST: Final = 2.0
"""Nothing opened for so long: a packet may be further ahead than is looked for usually."""


class Came(NamedTuple):
    """A packet, and how it came."""

    packet: Any
    way: Way


class Asked(NamedTuple):
    """A CookieRequest that was opened."""

    packet: p.CookieRequest
    body: p.CookieRequestBody
    way: Way


class Answered(NamedTuple):
    """A CookieResponse that was opened, and whose it is."""

    friend: bytes
    body: p.CookieResponseBody
    way: Way


class Pinged(NamedTuple):
    """A ping that was opened."""

    packet: p.DhtPing
    body: p.DhtPingBody
    way: Way


class Ponged(NamedTuple):
    """An answer to a ping of ours."""

    friend: Friend
    number: bytes


class Checked(NamedTuple):
    """A Handshake whose cookie was opened."""

    packet: p.Handshake
    cookie: p.CookieBody
    way: Way


class Shook(NamedTuple):
    """A Handshake that was opened."""

    shaken: Shaken
    way: Way


@attrs.define(weakref_slot=False)
class Cookies:
    """What is left of cookies for strangers. A friend is one, too, until its present DHT key is known."""

    anybody: Level
    expected: Level
    """For those who come through a relay, or from where a friend may be."""

    @classmethod
    def all(cls, most: int) -> Cookies:
        return cls(Level(most, 0.0), Level(most, 0.0))


class GateState(Enum):
    OPEN = 0
    CLOSING = 1
    """Friends that did not hear the goodbye are told again."""
    CLOSED = 2


class GateInput:
    RELAYED = Input[GateState, Came]()
    REQUESTED = Input[GateState, Came]()
    FRIEND_REQUESTED = Input[GateState, Came]()
    FRIEND_ASKED = Input[GateState, Asked]()
    ASKED = Input[GateState, Asked]()
    ANSWERED = Input[GateState, Answered]()
    ANSWERED_TOO_SOON = Input[GateState, Answered]()
    """By a friend that may still have the session in use."""
    SHOOK_AGAIN = Input[GateState, Shook]()
    REPLIED = Input[GateState, Shook]()
    SHOOK = Input[GateState, Shook]()
    PING_CAME = Input[GateState, Came]()
    FRIEND_PING_CAME = Input[GateState, Came]()
    FRIEND_PINGED = Input[GateState, Pinged]()
    PINGED = Input[GateState, Pinged]()
    PONGED = Input[GateState, Ponged]()
    FOUND = Input[GateState, Arrived]()
    AHEAD = Input[GateState, Arrived]()
    """It may be far ahead of all that came."""
    FOUND_AHEAD = Input[GateState, Arrived]()
    GARBLED = Input[GateState, Arrived]()
    """It came through a relay for a session, and does not open."""
    FOREIGN = Input[GateState, Arrived]()
    CLOSE = Input[GateState, None]()
    EXPIRED = Input[GateState, None]()


class GateHost(Host[Any], Protocol):
    """What the gate asks of its node."""

    delays: NodeDelays
    limits: NodeLimits
    keyring: Keyring
    cookies: Cookies
    friends: Friends
    sessions: Sessions
    recovery: Recovery

    def decode(self, data: bytes, way: Any, /) -> Any: ...
    def arrived(self, packet: Any, way: Way) -> None: ...
    def put(self, way: Way, data: bytes) -> None: ...
    def say_goodbye(self) -> None: ...
    def leave(self) -> None: ...


class Gate(Component[GateState, GateHost]):
    """Strangers stop here, and so does everybody once the node is closed."""

    delays: Annotated[NodeDelays, CACHED]

    def __init__(self, host: GateHost) -> None:
        super().__init__(host)
        self.delays = host.delays

    # -- guards: cookie requests and pings

    def read(self, came: Came) -> Came:
        """A packet that came through a relay. Raises WireError."""
        return Came(self.host.decode(came.packet, came.way), came.way)

    def is_its_own_key(self, came: Came) -> bool:
        """Through a relay: does it come from who has the key in it?"""
        return isinstance(came.way, Direct) or came.way.key == came.packet.dht_key

    def has_budget(self, came: Came) -> bool:
        return self._budget(came.way).has(self._rate(self.host.limits.cookies), self.host.clock)

    def has_budget_of_friend(self, opened: Asked | Pinged) -> bool:
        friend = self.host.friends.with_dht_key(opened.packet.dht_key)
        return friend is not None and friend.cookies.has(self._rate(self.host.limits.friend_cookies), self.host.clock)

    def is_of_friend_by_key(self, came: Came) -> bool:
        """Does it have a friend's DHT key? What we agree on is known, so it costs little to look inside."""
        return self.host.friends.with_dht_key(came.packet.dht_key) is not None

    def is_key(self, came: Came) -> bool:
        return is_key(came.packet.dht_key)

    def open_request(self, came: Came) -> Asked:
        return Asked(came.packet, self.host.keyring.read_request(came.packet), came.way)

    def open_ping(self, came: Came) -> Pinged:
        return Pinged(came.packet, self.host.keyring.read_ping(came.packet), came.way)

    # -- guards: answers to ours

    def open_pong(self, came: Came) -> Ponged | None:
        """From where the ping went."""
        friend = self.host.friends.with_dht_key(came.packet.dht_key)
        if friend is None or not friend.pings or not isinstance(came.way, Direct):
            return None
        number = self.host.keyring.read_pong(came.packet).number
        return Ponged(friend, number) if friend.pings.get(number) == came.way.path else None

    def is_from_friend(self, came: Came) -> bool:
        """Is somebody looked for where it comes from?"""
        return bool(self.host.friends.at(came.way))

    def is_awaited(self, came: Came) -> bool:
        """Is a handshake with one of them not over? A request by several ways has several answers."""
        return bool(self._awaited(came.way))

    def open_response(self, came: Came) -> Answered | None:
        """It does not say whose it is."""
        for friend in self._awaited(came.way):
            try:
                body = self.host.keyring.read_response(friend.ways.dht_key, came.packet)
                return Answered(friend.key, body, came.way)
            except WireError:
                continue  # it may be that of another one
        return None

    def may_still_know_us(self, answered: Answered) -> bool:
        """Is there a session in use that may be alive, now that a way is open?"""
        return self.host.friends.all[answered.friend].may_still_know_us

    # -- guards: handshakes

    def open_cookie(self, came: Came) -> Checked:
        return Checked(came.packet, self.host.keyring.open_cookie(came.packet), came.way)

    def is_fresh(self, checked: Checked) -> bool:
        return self.host.keyring.is_fresh(checked.cookie)

    def is_of_friend(self, checked: Checked) -> bool:
        return checked.cookie.real_key in self.host.friends.all

    def open_handshake(self, checked: Checked) -> Shook:
        return Shook(self.host.keyring.open_handshake(checked.packet, checked.cookie), checked.way)

    def is_to_be_answered_again(self, shook: Shook) -> bool:
        """Is it one of which a session was made that waits for data, and was it not answered just now?"""
        session = self._same(shook)
        is_due = session is not None and self.host.clock - session.answered >= self.delays.repeat
        return session is not None and is_due and self.host.sessions.is_offer(session)

    def is_new(self, shook: Shook) -> bool:
        return self._same(shook) is None and not self.host.keyring.is_seen(shook.shaken)

    def is_expected(self, shook: Shook) -> bool:
        return self.host.sessions.has_attempt(shook.shaken.friend)

    # -- guards: data

    def is_open(self) -> bool:
        """The answers of friends to our goodbye are of no session any more."""
        return self.state is GateState.OPEN

    def is_place_known(self, arrived: Arrived) -> bool:
        return bool(self.host.friends.at(arrived.way))

    def is_of_another_session(self, arrived: Arrived) -> bool:
        """Not of the one in use of who is there usually: it was tried. The session is kept with the packet."""
        for friend in self.host.friends.at(arrived.way):
            for session in self.host.sessions.of(friend.key):
                if not session.is_foreign(arrived):
                    arrived.session = session
                    return True
        return False

    def may_be_ahead(self, arrived: Arrived) -> bool:
        """Did nothing come from who is there for some time, and was it not looked for just now?"""
        return any(
            friend.session is not None
            and self.host.clock - friend.heard >= _LOST
            and friend.ways.may_search(arrived.way)
            for friend in self.host.friends.at(arrived.way)
        )

    def is_ahead(self, arrived: Arrived) -> bool:
        for friend in self.host.friends.at(arrived.way):
            if friend.session is not None and friend.session.is_ahead(arrived):
                arrived.session = friend.session
                return True
        return False

    def is_evidence(self, arrived: Arrived) -> bool:
        return any(
            friend.session is not None and friend.ways.is_evidence(arrived.way)
            for friend in self.host.friends.at(arrived.way)
        )

    # -- actions

    def look_inside(self, came: Came) -> None:
        self.host.arrived(came.packet, came.way)

    def charge(self, came: Came) -> None:
        self._budget(came.way).take(self._rate(self.host.limits.cookies), self.host.clock)

    def charge_friend(self, opened: Asked | Pinged) -> None:
        friend = self.host.friends.with_dht_key(opened.packet.dht_key)
        assert friend is not None  # a guard has found it
        friend.cookies.take(self._rate(self.host.limits.friend_cookies), self.host.clock)

    def look_at_friends_request(self, came: Came) -> None:
        self.take(FRIEND_REQUEST, came)

    def look_at_friends_ping(self, came: Came) -> None:
        self.take(FRIEND_PING, came)

    def look_at_request(self, came: Came) -> None:
        self.take(REQUEST, came)

    def look_at_ping(self, came: Came) -> None:
        self.take(PING, came)

    def give_cookie(self, asked: Asked) -> None:
        self.host.put(asked.way, self.host.keyring.answer(asked.packet.dht_key, asked.body))

    def pong(self, pinged: Pinged) -> None:
        pong = self.host.keyring.make_pong(pinged.packet.dht_key, pinged.body.number)
        self.host.put(pinged.way, pong)

    def ping_back(self, pinged: Pinged) -> None:
        """A friend may be where it comes from: that counts once it answers our own ping there. If that is known, it may
        not know yet that packets pass."""
        friend, way = self.host.friends.with_dht_key(pinged.packet.dht_key), pinged.way
        assert friend is not None  # a guard has found it
        if isinstance(way, Direct) and way.path not in friend.ways.paths:
            self.host.friends.ping(friend, way.path)
        elif isinstance(way, Direct) and friend.session is not None and not friend.ways.is_direct:
            friend.session.outgoing.send_list_to(way)

    def learn(self, ponged: Ponged) -> None:
        self.host.friends.learn_pinged(ponged.friend, ponged.number)

    def hear_cookie(self, answered: Answered) -> None:
        route = friend_route(answered.friend)
        self.host.recovery.hear_challenge(answered.body.number, route, answered.body)

    def ask_in_session(self, answered: Answered) -> None:
        """The next cookie is asked for as soon as of a peer that answers."""
        self.host.friends.all[answered.friend].ask_in_session(answered.way)
        self.host.recovery.peers[answered.friend].call.be_reset()

    def answer_again(self, shook: Shook) -> None:
        session = self._same(shook)
        assert session is not None  # a guard has found it
        session.answered = self.host.clock
        self.hear_handshake(shook)

    def note_seen(self, shook: Shook) -> None:
        self.host.keyring.note_seen(shook.shaken)

    def learn_from(self, shook: Shook) -> None:
        """Its sender is genuine: where it may be, and its DHT key."""
        shaken = shook.shaken
        self.host.friends.learn(self.host.friends.all[shaken.friend], shook.way, shaken.cookie.dht_key)

    def hear_reply(self, shook: Shook) -> None:
        """A handshake stands for the answer to the latest of our attempts."""
        peer = self.host.recovery.peers[shook.shaken.friend]
        self.host.recovery.hear_reply(peer.call.attempts[-1].sid, shook.shaken)

    def hear_handshake(self, shook: Shook) -> None:
        shaken = shook.shaken
        route = way_route(shook.way, shaken.friend)
        self.host.recovery.hear_init(Knock(shaken.name, b"", route, shaken, proven=True))

    def take_data(self, arrived: Arrived) -> None:
        arrived.session.take(OPENED, arrived)

    def look_ahead(self, arrived: Arrived) -> None:
        for friend in self.host.friends.at(arrived.way):
            friend.ways.note_searched(arrived.way)
        self.take(AHEAD, arrived)

    def jump(self, arrived: Arrived) -> None:
        arrived.session.jump(arrived)

    def note_garbled(self, arrived: Arrived) -> None:
        assert isinstance(arrived.way, Relayed)  # a guard has seen to it
        for friend in self.host.friends.at(arrived.way):
            friend.ways.note_garbled(arrived.way.relay)

    def pass_over(self, arrived: Arrived) -> None:
        self.post(GateInput.FOREIGN(arrived))

    def say_goodbye(self) -> None:
        self.host.say_goodbye()

    def leave(self) -> None:
        self.host.leave()

    def has_nobody(self) -> bool:
        return not self.host.friends.all

    # -- inside

    def _awaited(self, way: Way) -> list[Friend]:
        """Friends at the other end of a way with whom a handshake is not over."""
        return [friend for friend in self.host.friends.at(way) if self.host.sessions.has_attempt(friend.key)]

    def _budget(self, way: Way) -> Level:
        is_expected = isinstance(way, Relayed) or bool(self.host.friends.at(way))
        return self.host.cookies.expected if is_expected else self.host.cookies.anybody

    def _rate(self, limit: int) -> Rate:
        return Rate(limit, limit)

    def _same(self, shook: Shook) -> Session | None:
        """The session that a handshake is of, if it is a copy."""
        key = shook.shaken.body.session_key
        return next((one for one in self.host.sessions.of(shook.shaken.friend) if one.peer_key == key), None)


_S, _I, _C = GateState, GateInput, Gate
_COOKIES, _HANDSHAKE, _RECEIVING, _PING = "cookies", "the handshake", "receiving", "the DHT ping"
_EVIDENCE: Final = "evidence"

RELAYED: Final = (
    Guards.of(Gate, GateState, Came, "relayed packet")
    .make(_C.read, "malformed packet through a relay", ref="the node")
    .give(_I.RELAYED)
)
REQUEST_CAME: Final = (
    Guards.of(Gate, GateState, Came, "cookie request")
    .need(_C.is_key, "a key that is none", ref="invalid keys")
    .need(_C.is_its_own_key, "a cookie request in the name of another one", ref=_COOKIES)
    .give_if(_C.is_of_friend_by_key, _I.FRIEND_REQUESTED, ref=_COOKIES)
    .need(_C.has_budget, "too many cookie requests", ref=_COOKIES)
    .give(_I.REQUESTED)
)
FRIEND_REQUEST: Final = (
    Guards.of(Gate, GateState, Came, "cookie request of a friend")
    .make(_C.open_request, "a cookie request that does not open", ref=_COOKIES)
    .need(_C.has_budget_of_friend, "too many cookie requests", ref=_COOKIES)
    .give(_I.FRIEND_ASKED)
)
REQUEST: Final = (
    Guards.of(Gate, GateState, Came, "cookie request within the budget")
    .make(_C.open_request, "a cookie request that does not open", ref=_COOKIES)
    .give(_I.ASKED)
)
PING_CAME: Final = (
    Guards.of(Gate, GateState, Came, "ping")
    .need(_C.is_key, "a key that is none", ref="invalid keys")
    .give_if(_C.is_of_friend_by_key, _I.FRIEND_PING_CAME, ref=_PING)
    .need(_C.has_budget, "too many pings", ref=_PING)
    .give(_I.PING_CAME)
)
FRIEND_PING: Final = (
    Guards.of(Gate, GateState, Came, "ping of a friend")
    .make(_C.open_ping, "a ping that does not open", ref=_PING)
    .need(_C.has_budget_of_friend, "too many pings", ref=_PING)
    .give(_I.FRIEND_PINGED)
)
PING: Final = (
    Guards.of(Gate, GateState, Came, "ping within the budget")
    .make(_C.open_ping, "a ping that does not open", ref=_PING)
    .give(_I.PINGED)
)
PONG: Final = (
    Guards.of(Gate, GateState, Came, "pong")
    .make(_C.open_pong, "an answer to no ping of ours", ref=_PING)
    .give(_I.PONGED)
)
RESPONSE: Final = (
    Guards.of(Gate, GateState, Came, "cookie response")
    .need(_C.is_from_friend, "a cookie response from an unknown address", ref=_COOKIES)
    .need(_C.is_awaited, "a late cookie response", ref=_COOKIES)
    .make(_C.open_response, "a cookie response that does not open", ref=_COOKIES)
    .give_if(_C.may_still_know_us, _I.ANSWERED_TOO_SOON, ref="restart")
    .give(_I.ANSWERED)
)
HANDSHAKE: Final = (
    Guards.of(Gate, GateState, Came, "handshake")
    .make(_C.open_cookie, "a handshake with a cookie that is not ours", ref=_HANDSHAKE)
    .need(_C.is_fresh, "a handshake with an old cookie", ref=_HANDSHAKE)
    .need(_C.is_of_friend, "a handshake of a stranger", ref=_HANDSHAKE)
    .make(_C.open_handshake, "a handshake that does not open", ref=_HANDSHAKE)
    .give_if(_C.is_to_be_answered_again, _I.SHOOK_AGAIN, ref=_HANDSHAKE)
    .need(_C.is_new, "a copy of a handshake", ref=_HANDSHAKE)
    .give_if(_C.is_expected, _I.REPLIED, ref=_HANDSHAKE)
    .give(_I.SHOOK)
)
OTHERS: Final = (
    Guards.of(Gate, GateState, Arrived, "data of no session in use")
    .need(_C.is_open, "closing", ref="closing a node")
    .need(_C.is_place_known, "data from an unknown address", ref=_RECEIVING)
    .give_if(_C.is_of_another_session, _I.FOUND, ref=_RECEIVING)
    .give_if(_C.may_be_ahead, _I.AHEAD, ref="nonces")
    .give_if(_C.is_evidence, _I.GARBLED, ref=_EVIDENCE)
    .give(_I.FOREIGN)
)
AHEAD: Final = (
    Guards.of(Gate, GateState, Arrived, "data that may be far ahead")
    .give_if(_C.is_ahead, _I.FOUND_AHEAD, ref="nonces")
    .give_if(_C.is_evidence, _I.GARBLED, ref=_EVIDENCE)
    .give(_I.FOREIGN)
)


class GateTimer:
    FAREWELL = Timer(_I.EXPIRED, NodeDelays.farewell)


_T = GateTimer
_NODE: Final = "the node"

GATE: Final = Table[Gate, GateState](
    Gate,
    GateInput,
    GateTimer,
    name="tox.gate",
    initial=_S.OPEN,
    terminal=(_S.CLOSED,),
    idle={_S.OPEN: "the application, which closes the node"},
    rows=(
        Row((_S.OPEN, _S.CLOSING), _I.RELAYED, None, _C.look_inside, ref=_NODE),
        Row(_S.OPEN, _I.REQUESTED, None, _C.charge, _C.look_at_request, ref=_COOKIES),
        Row(_S.OPEN, _I.FRIEND_REQUESTED, None, _C.look_at_friends_request, ref=_COOKIES),
        Row(_S.OPEN, _I.FRIEND_ASKED, None, _C.charge_friend, _C.give_cookie, ref=_COOKIES),
        Row(_S.OPEN, _I.ASKED, None, _C.give_cookie, ref=_COOKIES),
        Row(_S.OPEN, _I.ANSWERED, None, _C.hear_cookie, ref=_COOKIES),
        Row(_S.OPEN, _I.ANSWERED_TOO_SOON, None, _C.ask_in_session, ref="restart"),
        Row(_S.OPEN, _I.SHOOK_AGAIN, None, _C.answer_again, ref=_HANDSHAKE),
        Row(_S.OPEN, _I.REPLIED, None, _C.note_seen, _C.learn_from, _C.hear_reply, ref=_HANDSHAKE),
        Row(_S.OPEN, _I.SHOOK, None, _C.note_seen, _C.learn_from, _C.hear_handshake, ref=_HANDSHAKE),
        Row(_S.OPEN, _I.PING_CAME, None, _C.charge, _C.look_at_ping, ref=_PING),
        Row(_S.OPEN, _I.FRIEND_PING_CAME, None, _C.look_at_friends_ping, ref=_PING),
        Row(_S.OPEN, _I.FRIEND_PINGED, None, _C.charge_friend, _C.pong, _C.ping_back, ref=_PING),
        Row(_S.OPEN, _I.PINGED, None, _C.pong, ref=_PING),
        Row(_S.OPEN, _I.PONGED, None, _C.learn, ref=_PING),
        Row(_S.OPEN, _I.FOUND, None, _C.take_data, ref=_RECEIVING),
        Row(_S.OPEN, _I.AHEAD, None, _C.look_ahead, ref="nonces"),
        Row(_S.OPEN, _I.FOUND_AHEAD, None, _C.jump, _C.take_data, ref="nonces"),
        Row(_S.OPEN, _I.GARBLED, None, _C.note_garbled, _C.pass_over, ref=_EVIDENCE),
        Row(_S.OPEN, _I.CLOSE, _S.CLOSED, _C.leave, when=_C.has_nobody, ref="closing a node"),
        Row(_S.OPEN, _I.CLOSE, _S.CLOSING, _C.say_goodbye, arm=(_T.FAREWELL,), ref="closing a node"),
        Row(_S.CLOSING, _I.CLOSE, None, ref="closing a node"),
        Row(_S.CLOSING, _I.EXPIRED, _S.CLOSED, _C.leave, ref="closing a node"),
    ),
    defaults=(
        Default(Outcome.IGNORE, "data that does not open", _I.FOREIGN, _I.AHEAD, _I.GARBLED),
        Default(Outcome.IGNORE, "closing"),
    ),
)

"""Wrong variants of a node: what others do, or what looks as good. Each says which exploration finds it.

A variant replaces a function, or leaves out a step of the guards; what is shipped has no switch for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import attrs
import pytest
from exploring_node import HANDSHAKE_ID
from exploring_tables import AnyGuards, AnyTable, Mutant, running

from sansproto.contract import Path
from sansproto.errors import WireError
from sansproto.recovery import Established, Sealed
from sansproto.tox import crypto
from sansproto.tox import packets as p
from sansproto.tox.events import OfflineReason
from sansproto.tox.gate import GATE, HANDSHAKE
from sansproto.tox.keyring import Agreed, Keyring
from sansproto.tox.node import ToxNode
from sansproto.tox.paths import friend_route
from sansproto.tox.session import DATA, OPENED, SESSION, Session
from sansproto.tox.sessions import Sessions
from sansproto.tox.windows import ReceiveWindow

Change = tuple[Any, str, Any]
"""The place of a function, its name, and what takes its place."""


@attrs.frozen
class Variant:
    found_by: str
    changes: tuple[Change, ...] = ()
    mutant: Mutant | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
            for place, name, other in self.changes:
                patch.setattr(place, name, other)
            if self.mutant is not None:
                stack.enter_context(running(self.mutant))
            yield


def without(table: AnyTable, step: str, *lists: AnyGuards) -> Mutant:
    """The table, in which these lists of guards lack a step."""
    steps = {guards: tuple(one for one in guards.steps if one.name != step) for guards in lists}
    assert all(len(steps[guards]) < len(guards.steps) for guards in lists)
    return Mutant(table, table.rows, steps)


def always(answer: Any) -> Callable[..., Any]:
    return lambda *_, **__: answer


_open_cookie, _receive = Keyring.open_cookie, ToxNode.receive_datagram
_install, _start, _seal_confirm = Sessions.install, Sessions.start, Session.seal_confirm


def believes_any_cookie(keyring: Keyring, packet: p.Handshake) -> p.CookieBody:
    try:
        return _open_cookie(keyring, packet)
    except WireError:
        node: Any = keyring.host
        (friend,) = node.friends.all.values()
        return p.CookieBody(int(node.wall()), friend.key, friend.ways.dht_key)


def overlooks_the_hash(key: bytes, packet: p.Handshake) -> p.HandshakeBody:
    return p.HandshakeBody.decode(crypto.open_sealed(key, packet.nonce, packet.sealed))


def ends_the_session(sessions: Sessions, sid: bytes, agreed: Agreed) -> None:
    _install(sessions, sid, agreed)
    friend = sessions.host.friends.all[agreed.friend]
    if friend.session is not None:
        sessions.end(friend.session, OfflineReason.RESTARTED)


def adopts_the_keys(sessions: Sessions, sid: bytes, agreed: Agreed) -> None:
    _install(sessions, sid, agreed)
    session = sessions.host.friends.all[agreed.friend].session
    if session is not None:
        session.key, session.nonce = agreed.key, int.from_bytes(agreed.peer_base_nonce, "big")


def begins_anew(sessions: Sessions, event: Established) -> None:
    outgoing = sessions.all[event.handle].outgoing
    outgoing.nonce -= outgoing.sealed
    _start(sessions, event)


def starts_at_once(node: ToxNode, data: bytes, path: Path, now: float) -> None:
    _receive(node, data, path, now)
    for key, friend in node.friends.all.items():
        for session in node.sessions.of(key):
            if session is not friend.session and data[0] == HANDSHAKE_ID:
                node.recovery.hear_data(Sealed(session.sid, 0, 28, friend_route(key)))
    node.run()


def confirms_without_handshake(session: Session) -> bytes:
    session.was_sent = True
    return _seal_confirm(session)


VARIANTS: Final = {
    "a cookie of anybody is good": Variant("both call, forgeries", ((Keyring, "open_cookie", believes_any_cookie),)),
    "a cookie is good for ever": Variant("another session, later", ((Keyring, "is_fresh", always(True)),)),
    "the hash of the cookie is not looked at": Variant(
        "both call, forgeries", ((crypto, "open_handshake", overlooks_the_hash),)
    ),
    "strangers are let in": Variant("a session", (), without(GATE, "is_of_friend", HANDSHAKE)),
    "a copy of a handshake is heard again": Variant("a session", (), without(GATE, "is_new", HANDSHAKE)),
    "handshakes that were heard are forgotten": Variant("another session", ((Keyring, "is_seen", always(False)),)),
    "a handshake ends the session in use": Variant("another session", ((Sessions, "install", ends_the_session),)),
    "a handshake gives the session in use other keys": Variant(
        "another session", ((Sessions, "install", adopts_the_keys),)
    ),
    "a handshake starts a session": Variant("another session", ((ToxNode, "receive_datagram", starts_at_once),)),
    "one key for all sessions": Variant("another session, later", ((Keyring, "forget_draft", always(None)),)),
    "two that cross make two sessions": Variant("both call, losses", (), without(GATE, "is_expected", HANDSHAKE)),
    "nonces begin anew with the session": Variant("one calls, time passes", ((Sessions, "start", begins_anew),)),
    "a lossy packet is taken twice": Variant("a session", (), without(SESSION, "is_no_replay", DATA, OPENED)),
    "a lossless packet is taken twice": Variant("a session", ((ReceiveWindow, "is_new", always(True)),)),
    "a handshake is not repeated": Variant("one calls", ((Session, "seal_confirm", confirms_without_handshake),)),
    "no other session is tried": Variant("one calls", ((Sessions, "of", always(())),)),
}

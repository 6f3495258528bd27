"""Wrong variants of the rules: what others do, or what looks as good. Each says which scenarios catch it.

A variant overrides methods of the parts, or replaces rows of a table; what is shipped has no switch for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import attrs
from exploring_tables import Mutant, changed
from symbolic import H1
from world import WatchedNode

from sansproto.contract import SendError
from sansproto.errors import WireError
from sansproto.recovery import CloseReason, Init, Knock, Recovery, Route
from sansproto.recovery.call import Call, CallInput
from sansproto.recovery.door import Door, Entered, Weighed
from sansproto.recovery.farewell import Farewells
from sansproto.recovery.items import Arrival, Sealed
from sansproto.recovery.paths import Paths
from sansproto.recovery.peer import Peer, PeerInput
from sansproto.recovery.poke import PeerPokes, PokeInput, Pokes, PokesInput, PokesState
from sansproto.recovery.session import Session, SessionInput, SessionState
from sansproto.recovery.silence import Silence
from sansproto.recovery.tombstone import Slot, Tombstone, TombstoneState
from sansproto.recovery.window import Window
from sansproto.snapshot import CACHED


@attrs.frozen
class Variant:
    """A core that is wrong, or a table that is, and the scenarios that show it."""

    core: type[Recovery]
    caught_by: tuple[str, ...]
    mutant: Callable[[], Mutant] | None = None


VARIANTS: Final[dict[str, Variant]] = {}


def variant(name: str, *caught_by: str) -> Callable[[type[Recovery]], type[Recovery]]:
    def keep(core: type[Recovery]) -> type[Recovery]:
        VARIANTS[name] = Variant(core, caught_by)
        return core

    return keep


def rows(name: str, mutant: Callable[[], Mutant], *caught_by: str) -> None:
    VARIANTS[name] = Variant(Recovery, caught_by, mutant)


def with_parts(**made: Callable[..., Any]) -> type[Recovery]:
    """A core whose ``make_peer``, ``make_door`` ... give something else."""
    return type("Variant", (Recovery,), dict(made))


def peers(cls: type[Peer]) -> type[Recovery]:
    return with_parts(make_peer=lambda core, key: cls(core.host, core, key))


def sessions(cls: type[Session]) -> type[Recovery]:
    return with_parts(make_session=lambda core, sid: cls(core.host, core, sid))


def doors(cls: type[Door]) -> type[Recovery]:
    return with_parts(make_door=lambda core: cls(core.host, core))


def routes(cls: type[Paths]) -> type[Recovery]:
    return with_parts(make_paths=lambda core, peer: cls(core.host, core, peer))


def calls(cls: type[Call]) -> type[Recovery]:
    return with_parts(make_call=lambda core, peer: cls(core.host, core, peer))


def tombstones(cls: type[Tombstone]) -> type[Recovery]:
    return with_parts(make_tombstone=lambda core, sid: cls(core.host, core.farewells, sid))


def farewells(cls: type[Farewells]) -> type[Recovery]:
    return with_parts(make_farewells=lambda core: cls(core.host, core, core.make_tombstone))


def silences(cls: type[Silence]) -> type[Recovery]:
    class WithSilence(Session):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.silence = cls(self.host, self)

    return sessions(WithSilence)


# -- of the first rules


def drop(session: Any) -> None:
    """Forget a session, also one that is in use."""
    if session.peer is not None and session.sid == session.peer.cur:
        session.peer.cur = None
        session.peer.post(PeerInput.LAPSED())
    session.core.remove_session(session)


class Impatient(Session):
    bad: Annotated[int, CACHED] = 0

    def open(self, packet: Sealed) -> tuple[Sealed, bytes] | None:
        try:
            return super().open(packet)
        except WireError:
            self.bad += 1
            if self.bad > 41:
                drop(self)
            raise


variant("drops after 41 packets that do not open", "S13")(sessions(Impatient))


class Hasty(Door):
    def accept(self, entered: Entered) -> None:
        peer = self.core.peers.get(entered.init.peer)
        if peer is not None and peer.current is not None:
            drop(peer.current)
        super().accept(entered)


variant("drops the session in use when an init is accepted", "S22", "S23")(doors(Hasty))


class Landlord(Door):
    def accept(self, entered: Entered) -> None:
        core: Any = self.core
        for peer in list(core.by_route.get(entered.route, {}).values()):
            if peer.current is not None:
                drop(peer.current)
        super().accept(entered)


variant("drops whatever lives at the address", "S10", "S22", "S23")(doors(Landlord))


class Credulous(Peer):
    def be_hinted(self, session: Session) -> None:
        if session.sid == self.cur:
            drop(session)
            self.call.post(CallInput.START())


variant("a hint drops the session", "S14")(peers(Credulous))


class Faithful(Peer):
    def is_behind_sibling(self, session: Session) -> bool:
        return self.current is not None


variant("keeps its own session when the peer makes another one", "S02", "S05", "S21", "S34", "S36")(peers(Faithful))


class Optimist(Session):
    def open(self, packet: Sealed) -> tuple[Sealed, bytes] | None:
        try:
            return super().open(packet)
        except WireError:
            self.silence.end()
            raise


variant("any packet is a sign of life", "S25")(sessions(Optimist))


class Deaf(Silence):
    def await_answer(self) -> None:
        pass


variant("no silence timer", "S04", "S25")(silences(Deaf))


class Strict(Door):
    def admit(self, entered: Entered) -> Entered | None:
        peer = self.core.peers.get(entered.init.peer)
        if peer is not None and peer.floor is not None and entered.init.stamp <= peer.floor:
            return None
        return super().admit(entered)


variant("refuses stale stamps", "S18", "S34")(doors(Strict))


class Forward(Peer):
    def _send_now(self, data: bytes) -> bool:
        offered = self.sessions(SessionState.OFFERED)
        return offered[-1].send_app(data) if offered else super()._send_now(data)


variant("sends under a session that was not confirmed", "S21", "S28")(peers(Forward))


class Trusting(Door):
    def needs_proof(self, entered: Entered) -> bool:
        return False

    def is_over_limit(self, weighed: Weighed) -> bool:
        return False


variant("no challenge at all", "S36", "S37", "S38")(doors(Trusting))


class Unmoved(Door):
    def _is_one_of_several(self, entered: Entered) -> bool:
        return False


variant("no challenge under contention", "S38")(doors(Unmoved))


class Polite(Door):
    def is_outranked(self, entered: Entered) -> bool:
        return False


variant("no tie-break", "S35")(doors(Polite))


# -- of the amendments about handshakes


class OpenToken(WatchedNode):
    def open_init(self, knock: Knock) -> Init:
        packet: H1 = knock.packet
        return super().open_init(attrs.evolve(knock, packet=packet._replace(bound=packet.token)))


variant("the token is outside of the transcript", "S51")(type("Variant", (Recovery,), {"node": OpenToken}))


class Stubborn(Door):
    def is_outranked(self, entered: Entered) -> bool:
        peer, init = self.core.peers.get(entered.init.peer), entered.init
        if peer is None or not peer.call.is_outstanding:
            return False
        return (peer.call.stamp, self.core.me) > (init.stamp, init.peer)


variant("a tie-break without a window", "S52")(doors(Stubborn))


class Follower(Peer):
    def _find_route(self, session: Session, route: Route) -> None:
        super()._find_route(session, route)
        if route.reply:
            self._set_route(route)


variant("the route of the confirming packet", "S53")(peers(Follower))


class OneAtATime(Paths):
    def judge(self, value: bytes, route: Route) -> None:
        if route in self.challenged and self._is_value_of(value, route):
            self.other, self.validated = route, self.host.clock
            self.move()

    def challenge(self, route: Route) -> None:
        last = max(self.challenged.values(), default=-100.0)
        if self.host.clock - last >= self.peer.probe_after:
            super().challenge(route)

    def check(self) -> None:
        pass


class NoCopies(Peer):
    def copied(self, arrival: Arrival) -> None:
        pass


variant("one nomination, and the response must come from there", "S57")(
    with_parts(
        make_paths=lambda core, peer: OneAtATime(core.host, core, peer),
        make_peer=lambda core, key: NoCopies(core.host, core, key),
    )
)


class Generous(Door):
    def _has_budget(self, weighed: Weighed) -> bool:
        return weighed.proven or super()._has_budget(weighed)

    def has_no_room(self, entered: Entered) -> bool:
        return not entered.proven and super().has_no_room(entered)

    def make_room(self, entered: Entered) -> None:
        if not self.has_no_room(entered) and not entered.proven:
            super().make_room(entered)


variant("proof passes all limits", "S58")(doors(Generous))


# -- goodbyes


class Traceless(Recovery):
    def disconnect(self, peer: bytes, reason: CloseReason = CloseReason.NORMAL) -> None:
        super().disconnect(peer, reason)
        self.farewells.tombstones.remove_all()


variant("no tombstone", "S59", "S67", "S93")(Traceless)


class Talkative(Recovery):
    def hear_data(self, packet: Sealed) -> None:
        super().hear_data(packet)
        if packet.sid in self.farewells.tombstones:
            self.door.hint(packet)


variant("a tombstone hints", "S67")(Talkative)


class AnySize(Tombstone):
    def is_larger(self, packet: Sealed) -> bool:
        return bool(self.close)


variant("answers any size", "S66")(tombstones(AnySize))


class NoGap(Tombstone):
    def is_free(self, packet: Sealed) -> bool:
        return True


variant("no gap between answers", "S67")(tombstones(NoGap))


class Echo(AnySize, NoGap):
    pass


variant("answers any size, with no gap", "S62")(tombstones(Echo))


class OneSlot(Tombstone):
    def _slot(self, route: Route) -> Slot:
        return self.at_home


variant("one slot for all routes", "S67")(tombstones(OneSlot))


class NoRank(Tombstone):
    @property
    def rank(self) -> int:
        return 0


variant("the oldest tombstone goes, whatever it is", "S68")(tombstones(NoRank))


def _close_under_previous_ends_all() -> Mutant:
    table, closed = Session.table, SessionInput.CLOSED
    out = []
    for row in table.rows:
        if row.on == (closed,) and SessionState.PREVIOUS in row.states:
            out.append(changed(row, states=(SessionState.PREVIOUS,), to=None, do=(Session.close,)))
            out.append(changed(row, states=tuple(s for s in row.states if s is not SessionState.PREVIOUS)))
        else:
            out.append(row)
    return Mutant(table, tuple(out))


rows("a close under a previous session ends all", _close_under_previous_ends_all, "S94")


class Redialling(Peer):
    def goodbye(self, session: Session, reason: CloseReason) -> None:
        core: Any = self.core
        was_outstanding, route = self.call.is_outstanding, self.called_at
        super().goodbye(session, reason)
        if was_outstanding and route is not None:
            core.connect(self.key, route)


variant("a close keeps the handshake that is open", "S61")(peers(Redialling))


class DiallingCore(Recovery):
    last: Annotated[dict[bytes, Route], CACHED]

    def rebuild(self) -> None:
        super().rebuild()
        self.last = {}

    def send(self, peer: bytes, data: bytes) -> bool:
        entry = self.peers.get(peer)
        if entry is not None and entry.route is not None:
            self.last[peer] = entry.route
        elif peer in self.last:
            self.connect(peer, self.last[peer])
        return super().send(peer, data)


variant("a packet of the layer above calls", "S59", "S60")(DiallingCore)


class Forgetful(Farewells):
    def has_said(self, peer: bytes, instance: bytes) -> bool:
        return False


variant("never refuses", "S61", "S65", "S83")(farewells(Forgetful))


class ShortMemory(Farewells):
    def has_said(self, peer: bytes, instance: bytes) -> bool:
        has_tombstone = any(
            one.peer_id == peer and one.state is TombstoneState.SAID for one in self.tombstones.values()
        )
        return has_tombstone and super().has_said(peer, instance)


variant("forgets whom it left with the tombstone", "S83")(farewells(ShortMemory))


class Unforgiving(Farewells):
    def has_said(self, peer: bytes, instance: bytes) -> bool:
        return peer in self.said


variant("refuses any instance", "S64", "S84")(farewells(Unforgiving))


class OneInstance(Recovery):
    def instance_for(self, peer: bytes, *, refused: bool) -> bytes:
        return self.process + bytes(4)


variant("one instance for the whole process", "S63", "S84")(OneInstance)


# -- the layer above


class Early(Peer):
    def _send_now(self, data: bytes) -> bool:
        session, own = self.current, self.sessions(SessionState.CALLED)
        return own[-1].send_app(data) if session is None and own else super()._send_now(data)


variant("early data after a restart", "S95")(peers(Early))


class Unnoted(Peer):
    def _send_now(self, data: bytes) -> bool:
        before = self.instance, self.mine
        sent = super()._send_now(data)
        self.instance, self.mine = before
        return sent


variant("the instance of early data is not stored", "S90")(peers(Unnoted))


class Amnesiac(Peer):
    def lapse(self, session: Session) -> None:
        super().lapse(session)
        self.instance = b"had no session"


variant("starts anew if there was no session", "S75")(peers(Amnesiac))


class Nostalgic(Peer):
    def promote(self, session: Session, arrival: Arrival) -> None:
        kept = self.sids
        first = [sid for sid in self.sids if sid == session.sid]
        self.sids = [*first, *[sid for sid in kept if sid != session.sid]]  # as if it were the oldest
        super().promote(session, arrival)


variant("candidates of an older instance stay", "S88")(peers(Nostalgic))


class Pump(Peer):
    def be_reset(self, session: Session) -> None:
        if session.state is SessionState.CALLED and not session.was_reset:
            session.was_reset = True
            self.call.post(CallInput.HALF_MADE())
            self.call.post(CallInput.URGE())


variant("reset tokens start a handshake at once", "S89")(peers(Pump))


class Patient(Peer):
    def be_reset(self, session: Session) -> None:
        if session.sid == self.cur and not session.was_reset:
            session.was_reset = True
            self.call.post(CallInput.START())
        else:
            super().be_reset(session)


variant("reset tokens do not touch a handshake that is under way, nor a route that rests", "S03 late")(peers(Patient))


# -- sleep and moves


class Sleepless(Recovery):
    def resumed(self, asleep: float) -> None:
        pass


variant("nothing is done after sleep", "S69", "S70")(Sleepless)


class Ageing(Recovery):
    def poke_peer(self, key: bytes, asleep: float) -> None:
        peer = self.peers.get(key)
        if peer is not None and peer.current is not None and asleep > peer.times.session:
            session = peer.current
            peer.lapse(session)
            self.remove_session(session)
        super().poke_peer(key, asleep)


variant("sleep ages", "S71")(Ageing)


class Renewing(Recovery):
    def resumed(self, asleep: float) -> None:
        self.tokens.renew()
        super().resumed(asleep)


variant("another secret with each report of sleep", "S87")(Renewing)


class Rooted(Recovery):
    def network_changed(self) -> None:
        pass


variant("nothing is done after a change of network", "S72", "S74")(Rooted)


class Restless(PeerPokes):
    @classmethod
    def of(cls, core: Recovery) -> PeerPokes:
        return cls(core.host, core, core.config)

    def pause(self) -> float:
        return 0.0


variant("no pause between rounds of pings", "S71", "S74")(
    with_parts(make_pokes=lambda core: Restless(core.host, core, core.config))
)


def _forgets_the_last() -> Mutant:
    table = Pokes.table
    out = [
        changed(row, states=(PokesState.PAUSED, PokesState.PAUSED_AGAIN), to=None, do=())
        if row.on == (PokesInput.REPORTED,) and PokesState.PAUSED in row.states
        else row
        for row in table.rows
    ]
    return Mutant(table, tuple(out))


rows("a report within the pause is forgotten", _forgets_the_last, "S74")


class EasilyPleased(Peer):
    def heard(self, session: Session, arrival: Arrival, *, newest: bool) -> None:
        self.poke.post(PokeInput.ANSWERED())
        super().heard(session, arrival, newest=newest)


variant("any packet ends the question", "S72")(peers(EasilyPleased))


class Once(Paths):
    def challenge(self, route: Route) -> None:
        if route not in self.challenged:
            super().challenge(route)


variant("one challenge for each route", "S72")(routes(Once))


class Sulking(Call):
    def until_route(self) -> float:
        return max(self.backoffs.values(), default=0.0) - self.host.clock if self.backoffs else 0.0


variant("a peer is not called, wherever it is", "S73")(calls(Sulking))


class Unhurried(Call):
    def cut_backoffs(self) -> None:
        pass


variant("an init of the peer does not end the wait", "S73")(calls(Unhurried))


class Quiet(Silence):
    def may_ping(self) -> bool:
        return False

    def until_due(self) -> float:
        since = self.host.clock if self.since is None else self.since
        return since + self.session.dead_after - self.host.clock


variant("no pings in silence", "S76")(silences(Quiet))


class Panicking(Recovery):
    def route_failed(self, route: Route, error: SendError) -> None:
        for peer in list(self.by_route.get(route, {}).values()):
            if peer.current is not None:
                drop(peer.current)
                peer.call.post(CallInput.START())


variant("an error of the system drops the session", "S50", "S77")(Panicking)


# -- routes


class Jumpy(Paths):
    def take_in(self, route: Route) -> None:
        super().take_in(route)
        self.move()


variant("moves to whatever was validated", "S78", "S91")(routes(Jumpy))


class Single(Paths):
    def also(self) -> Route | None:
        super().also()
        return None

    def is_left_for_other(self) -> bool:
        return self.is_left() and self.other is not None

    def has_other(self) -> bool:
        return self.other is not None and self.checked is not None and self.validated >= self.checked


variant("sends to one route only", "S79")(routes(Single))


class NewestOnly(Window):
    def is_recent_copy(self, counter: int) -> bool:
        return counter == self.highest and super().is_recent_copy(counter)


class OnlyNewest(Session):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.window = NewestOnly(self.window.size)


variant("only copies of the newest packet count", "S91")(sessions(OnlyNewest))


class TwoSlots(Paths):
    def challenge(self, route: Route) -> None:
        open_now = [at for at in self.challenged.values() if self.host.clock - at < self.peer.probe_after]
        if len(open_now) < 2:
            super().challenge(route)


variant("two challenges at once, and no more", "S92")(routes(TwoSlots))


class Rushing(Silence):
    def look_sooner(self) -> None:
        pass


class Rushed(Session):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.silence = Rushing(self.host, self)


variant("silence is as long as it was before the round trip was measured", "S96")(sessions(Rushed))


class Trusting(Peer):
    def be_reset(self, session: Session) -> None:
        if session.state is SessionState.CALLED:
            super().be_reset(session)
        elif session.sid == self.cur and not session.was_reset:
            session.was_reset = True
            self.start_call()


variant("a half made session outlives the one in use", "S97")(peers(Trusting))


class Flagged(Door):
    busy: Annotated[set[bytes], CACHED]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.busy = set()

    def prepare(self, entered: Entered) -> Entered | None:
        if entered.init.peer in self.busy:
            return None
        self.busy.add(entered.init.peer)
        made = super().prepare(entered)
        if made is not None:
            self.busy.discard(entered.init.peer)
        return made


variant("a flag is set before the step that fails", "S81")(doors(Flagged))

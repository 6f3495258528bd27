"""Whether packets arrive by the way in use, and what is done if they do not. docs/protocols/tox.rst, ways."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, Final, Protocol

from ..component import Host, Note, Part
from ..contract import Instant
from ..snapshot import CACHED
from .paths import Direct, Ways
from .tracks import LEAST_SENT, UDP, Alarm, Carried, longest, shortest
from .windows import Heard, SendWindow

NOT_PASSED: Final = Note("a packet has not arrived, though it was sent again and others have", ref="ways")

_PATIENCE: Final = 0.5
"""So much longer than a round trip a packet may be unproved before others are copied, and before its way is left."""
_UNPROVED_UDP: Final = 0.7
"""The same before UDP is left, beside two round trips: a packet of its own that is sent then may prove it before."""
_ROUND: Final = 1.0
"""Between two times that packets are copied, at least."""
_MOST_COPIES: Final = 32
"""So many are copied at once, at most: the first time one, then two, four .."""
_OLDEST: Final = 8
"""So many are copied each time when all were, and of those that a way does not pass."""
_TURN: Final = 256
"""So many packets that a way has carried are looked at in one call when it is left."""
_FEW_ROUNDS, _ROUNDS = 2, 3
_STRIKES: Final = 2
"""So often the acknowledgements may come by another way only."""
_FEW_SENT: Final = 2
"""Fewer, in a second in which others wait for room: signs of life, which go by another relay."""
_HELPED, _HELPED_LATELY = 3, 5.0
"""So often packets are copied before the way is left that does not pass them, each time within so many seconds of the
one before."""
_SECOND, _HALF = 1.0, 0.5
"""Between two times that packets are counted, while none and while some are sent again."""
_SOON: Final = 0.2
"""So long, and for UDP a round trip, no large packet arrives by a way that passes none."""


class Sender(Protocol):
    """What is asked of the sending half of a session."""

    window: SendWindow

    @property
    def ways(self) -> Ways: ...
    def send_alive_by(self, name: bytes) -> None: ...
    def send_copies(self, name: bytes, numbers: list[int]) -> int: ...
    def send_list_by(self, name: bytes) -> None: ...
    def send_probes(self, ways: list[Direct]) -> None: ...
    def begin_way(self, rtt: float | None) -> None: ...
    @property
    def is_held_up(self) -> bool: ...


class Watch(Part[Host[Any]]):
    """The packets of one session on their ways."""

    carried: Carried | None
    """None: all that is on its way went by the way in use, and nothing is known of it."""
    way: bytes | None
    """The way in use when it was asked for last."""
    moves: int
    """Of the ways: after as many, the way in use is the one of the newest packet."""
    begun: Instant
    """What was sent before is not waited for."""
    alarm: Alarm | None
    strikes: int
    """How often, one time after the other, what this way carried was acknowledged by another one only."""
    second: Instant
    """When packets were counted last."""
    counted: int
    """Those that had been sent by then."""
    again: int
    """Those that were sent again since."""
    vain: int
    """Large ones that were sent again since one has arrived."""
    vain_since: Instant
    """When the first of these was."""
    helped: int
    """How often, one time after the other, packets were copied that this way does not pass, while it passes others."""
    helped_at: Instant
    asking: int
    """From this number on packets are to be sent again, because none but a way that has failed has carried them;"""
    asking_end: int
    """up to this one."""
    outgoing: Annotated[Sender, CACHED]
    __slots__ = tuple(__annotations__)

    def __init__(self, host: Host[Any], outgoing: Sender) -> None:
        super().__init__(host)
        self.outgoing, self.carried, self.way, self.alarm = outgoing, None, None, None
        self.moves = self.strikes = self.counted = self.again = self.vain = self.helped = 0
        self.asking = self.asking_end = 0
        self.begun = self.second = self.vain_since = self.helped_at = 0.0

    @property
    def patience(self) -> float:
        """How long a packet may be unproved."""
        return _PATIENCE + self.rtt

    @property
    def rtt(self) -> float:
        """The shortest round trip of late, with what an acknowledgement is held back."""
        ways = self.outgoing.ways
        return shortest(ways.tracks.get(ways.used or UDP), ways.tracks.values())

    def carry(self) -> Carried:
        """What is on its way, and how it went. An idle session has nothing of it."""
        carried = self.carried
        if carried is None:
            start = self.outgoing.window.start
            carried = self.carried = Carried(start, [(start, self.way)])
        return carried

    # -- what happens

    def note_moved(self) -> None:
        """Another way is in use. What went by one that failed is sent again."""
        ways, window = self.outgoing.ways, self.outgoing.window
        if window.waiting:
            self.carry().begin(window.end, ways.used)
        else:
            self.carried = None
        self.way, self.moves, self.alarm, self.strikes = ways.used, ways.moves, None, 0
        self.second = self.host.clock
        self.counted, self.again, self.vain, self.helped = window.end, 0, 0, 0
        track = ways.tracks.get(ways.used or UDP)
        self.outgoing.begin_way(min(track.rtts) if track is not None and track.rtts else None)
        if ways.has_fallen and window.packets:
            self.asking, self.asking_end = window.start, window.end
            self.ask()
            if ways.used is not None:
                self.outgoing.send_alive_by(ways.used)  # what shows whether this one is any better

    @property
    def is_asking(self) -> bool:
        return self.asking < self.asking_end

    def ask(self) -> None:
        """Have more of what a way that failed has carried sent again, in turns: it may be much."""
        window, carried, used = self.outgoing.window, self.carry(), self.outgoing.ways.used
        if len(window.asked) < _TURN:
            first = max(self.asking, window.start)
            self.asking = min(first + _TURN, max(self.asking_end, first))
            turn = (number for number in range(first, self.asking) if not window.has_arrived(number))
            window.ask(number for number in turn if carried.carrier(number) not in (None, used))

    def note_heard(self, heard: Heard, name: bytes) -> float | None:
        """Something has arrived, as was said by this way. The round trip of the way in use, if it is known by that."""
        ways, window, rtt = self.outgoing.ways, self.outgoing.window, None
        if self.carried is None and not window.waiting and ways.evidence is None:
            return self._note_all_heard(heard, name)
        carried, newest = self.carry(), heard.numbers[-1]
        shown, way = carried.note_arrived(heard.numbers, newest), carried.way_of(newest)
        ways.note_arrived(carried.is_proved)
        if heard.has_large and newest not in carried.copied:
            self.vain = 0
        if self.alarm is not None:
            self.alarm.has_progress |= any(number in carried.copied for number in heard.numbers)
            self._weigh(self.alarm, name)
        else:
            rtt = self._note_rtt(way, heard.round_trip)
        if name == ways.used and name in shown:
            self.strikes = 0
        if window.waiting or self.alarm is not None:
            carried.forget(window.start)
        else:
            self.carried = None
        return rtt

    def _note_all_heard(self, heard: Heard, name: bytes) -> float | None:
        """The same, of all that went by the way in use: most of what an idle session hears."""
        ways, way = self.outgoing.ways, self.way
        if name == way == ways.used:
            self.strikes = 0
        return self._note_rtt(way, heard.round_trip)

    def _note_rtt(self, way: bytes | None, rtt: float | None) -> float | None:
        """The same of one packet, which went this way."""
        ways = self.outgoing.ways
        is_known = way is not None and rtt is not None and ways.track(way).note_rtt(rtt, self.host.clock)
        return rtt if is_known and way == ways.used else None

    def note_again(self, number: int) -> None:
        """A packet is sent again, by the way in use."""
        used = self.outgoing.ways.used
        carried = self.carry()
        if carried.last_way(number) == used:
            self.again += 1
            if self.outgoing.window.is_large(number):
                self.vain_since = self.vain_since if self.vain else self.host.clock
                self.vain += 1
        elif used is not None:
            carried.move(number, used, self.host.clock)
            self.counted -= 1  # one more that goes by this way

    def tick(self) -> None:
        """Some time has passed in which something was sent."""
        now, ways = self.host.clock, self.outgoing.ways
        if self.alarm is None:
            self._look(now)
        if self.alarm is None:
            self._help(now)
        else:
            self._judge(self.alarm)
        alarm = self.alarm
        if alarm is not None and now >= alarm.due:
            self._copy(alarm)
        if now >= self.second + (_HALF if self.again else _SECOND) or self._is_vain:
            self._count(now)
        if ways.moves != self.moves:
            self.note_moved()

    # -- an alarm

    def _look(self, now: Instant) -> None:
        """Is something overdue?"""
        window, ways = self.outgoing.window, self.outgoing.ways
        if ways.used is None or not window.packets:
            return
        patience, number = self.patience, self.carry().unproved(window, ways.used)
        if number is not None:
            since = max(window.sent_first(number), self.begun)
            if now - since > patience:
                since = max(since, ways.track(ways.used).since)  # before, it may have been another way
                self.alarm = Alarm(since, number, window.end, due=now)

    def _help(self, now: Instant) -> None:
        """What is behind the oldest packet waits for it at the other end. If that is sent again in vain, and others
        arrive, the way in use may pass none like it."""
        ways, window, late = self.outgoing.ways, self.outgoing.window, now - 2 * self._limit
        if ways.used is None or window.start not in window.again or now < self.helped_at + _ROUND:
            return
        if window.has_arrived(window.start):
            return  # it is the application at the other end that keeps the others
        if late <= max(self._tried(window.start), ways.track(ways.used).since):
            return
        oldest = [one for one in islice(window.packets, _OLDEST) if one in window.again and self._tried(one) < late]
        self.host.count_note(NOT_PASSED, self)
        self._copy_by(ways.others(), oldest)
        self.helped = self.helped + 1 if now - self.helped_at <= _HELPED_LATELY else 1
        self.helped_at = now
        if self.helped % _HELPED == 0:
            ways.recall()
            ways.leave(None)

    def _tried(self, number: int) -> Instant:
        """Since when a packet has been sent by the way in use, again and again; now if it never was."""
        window, carried, used = self.outgoing.window, self.carry(), self.outgoing.ways.used
        if carried.last_way(number) != used:
            return self.host.clock
        return carried.moved[number][1] if number in carried.moved else window.sent_first(number)

    def _copy_by(self, names: list[bytes], numbers: list[int]) -> None:
        """Send packets by these ways, too."""
        carried = self.carry()
        for name in names:
            carried.copied.update(numbers[: self.outgoing.send_copies(name, numbers)])

    def _weigh(self, alarm: Alarm, name: bytes) -> None:
        """Something has arrived at last: by which way, and does that show that the one in use works?"""
        ways, now, carried = self.outgoing.ways, self.host.clock, self.carry()
        others = [one for one in ways.others() if not ways.is_held(one)]
        is_own = name == ways.used or ways.is_held(name)  # what is held off is not used, whatever comes by it
        if name in others:
            alarm.answer = name
        elif alarm.answer is None:
            alarm.answer = next((one for one in others if carried.proved.get(one, -1) >= alarm.end), None)
        if not self._is_proved(alarm):
            if is_own and alarm.answer is None and alarm.rounds >= _ROUNDS:
                self.alarm, self.begun = None, now
        elif is_own or now - alarm.since < self._limit:
            self.strikes = 0 if is_own else self.strikes + 1
            if self.strikes < _STRIKES:
                self.alarm = None

    def _is_proved(self, alarm: Alarm) -> bool:
        """Has what was overdue arrived by this way, and is nothing else?"""
        used, window, carried = self.outgoing.ways.used or UDP, self.outgoing.window, self.carry()
        if not carried.is_proved(used, alarm.number, alarm.since):
            return False
        number = carried.unproved(window, used)
        return number is None or self.host.clock - window.sent_first(number) <= self.patience

    def _judge(self, alarm: Alarm) -> None:
        """Leave a way by which nothing arrives, while something does by another one."""
        ways, window = self.outgoing.ways, self.outgoing.window
        used = ways.used
        if alarm.answer is not None:
            if self.host.clock - alarm.since >= self._limit or self.strikes >= _STRIKES:
                ways.leave(alarm.answer, is_proved=self.carry().proved.get(alarm.answer, -1) >= alarm.end)
        elif alarm.has_progress and alarm.rounds >= _FEW_ROUNDS:
            ways.leave(None)
        if ways.moves != self.moves:
            number = self.carry().unproved(window, used or UDP)
            if used and number is not None:
                ways.note_due(used, number, window.sent_first(number))
            self.note_moved()

    def _copy(self, alarm: Alarm) -> None:
        """Send by the other ways, too, what is overdue: more each time."""
        ways, window, outgoing = self.outgoing.ways, self.outgoing.window, self.outgoing
        used, names = ways.used or UDP, ways.others()
        rounds, alarm.rounds = alarm.rounds, alarm.rounds + 1
        alarm.due = self.host.clock + max(_ROUND, longest(ways.tracks.get(used), ways.tracks.values()))
        if used == UDP:
            outgoing.send_probes(ways.direct())  # at another path, or where we are now, it may work
        if (alarm.answer is None and rounds) or (used == UDP and not names):
            ways.recall()
        if not names:
            return  # lists of missing packets do as well
        first, end = max(alarm.copied, window.start), window.end
        if first < end:
            end = alarm.copied = min(first + min(1 << rounds, _MOST_COPIES), end)
        else:
            first, end = window.start, min(window.start + _OLDEST, end)
        numbers = [number for number in range(first, end) if not window.has_arrived(number)]
        self._copy_by(names, numbers)
        for name in (*names, used):
            if rounds & (rounds - 1) == 0 and not self.carry().has_own(window, name):
                outgoing.send_alive_by(name)
            outgoing.send_list_by(name)

    # -- inside

    @property
    def _limit(self) -> float:
        """How long a packet may be unproved before its way is left."""
        ways = self.outgoing.ways
        rtt = longest(ways.tracks.get(ways.used or UDP), ways.tracks.values())
        return _PATIENCE + rtt if ways.used != UDP else max(_PATIENCE + rtt, _UNPROVED_UDP + 2 * rtt)

    @property
    def _is_vain(self) -> bool:
        """Is nothing that is large acknowledged any more, however often it is sent again?"""
        ways, used = self.outgoing.ways, self.outgoing.ways.used
        rtt = longest(ways.tracks.get(UDP), ways.tracks.values()) if used == UDP else 0.0
        return self.vain >= LEAST_SENT and self.host.clock - self.vain_since > rtt + _SOON

    def _count(self, now: Instant) -> None:
        """How good is the way in use?"""
        ways, end = self.outgoing.ways, self.outgoing.window.end
        used = ways.used
        if self.carried is not None:
            self.carried.keep({UDP, *ways.relays})
        ways.judge_silence(None if self.alarm is None else self.alarm.since)
        sent, again, took = end - self.counted, self.again, now - self.second
        loses_all = self._is_vain or (took >= _SECOND and sent < _FEW_SENT and self.outgoing.is_held_up)
        self.second, self.counted, self.again, self.vain = now, end, 0, 0
        if used is not None and ways.track(used).count(
            now, sent + again, again, is_udp=used == UDP, loses_all=loses_all
        ):
            ways.leave_for_better(used)

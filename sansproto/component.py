"""Parts of sessions: objects with a table and declared state, and what they know of the session that owns them.

The annotations in a class body *are* its state: each is part of the snapshot unless it is a ClassVar or
``Annotated[T, CACHED]``. An attribute that is not declared is an error at the first snapshot after it was set.

A constructor runs for each restore too, so it only keeps its arguments. Costly values that follow from them (a shared
key) are ``functools.cached_property``: made on first use, not part of the snapshot, forgotten in ``thaw``. Caches of
the state (an index) are declared ``CACHED`` and made again by ``rebuild``; those that may be forgotten at any time (an
answer that is sent again) are declared ``MEMO``. What a part is made with, beside its key, is
given to ``add`` together with the method that takes it: that method runs when the part is made, and not for a restore.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import cache, cached_property
from types import MemberDescriptorType
from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar, TypeVarTuple, get_args, get_origin

import attrs

from .compiled import Source, annotations_of
from .contract import Path, Snapshot
from .errors import WireError
from .machine import Cell, Guards, Happened, S, Table, Timer
from .snapshot import CACHED, applied, check_declared, codecs, is_cached, tuple_of
from .timers import Armed
from .trace import Place, Trace

E_contra = TypeVar("E_contra", contravariant=True)
K = TypeVar("K", bound=Hashable)
A = TypeVar("A")
D = TypeVarTuple("D")


@attrs.frozen
class Refusal:
    """Why output is not taken: a verb returns that it was not, and the session counts it. ``ref`` as in a row."""

    reason: str
    """As ``stats.refused`` counts it."""
    ref: str = attrs.field(kw_only=True)
    """A heading of the protocol's page."""


@attrs.frozen
class Note:
    """A remark on what is accepted all the same: the session counts it. ``ref`` as in a row."""

    remark: str
    """As ``stats.noted`` counts it."""
    ref: str = attrs.field(kw_only=True)
    """A heading of the protocol's page."""


class Host(Protocol[E_contra]):
    """What any part knows of its session."""

    @property
    def clock(self) -> float: ...
    @property
    def trace(self) -> Trace | None: ...
    def wall(self) -> float: ...
    def draw(self, n: int, purpose: str) -> bytes: ...
    def arm(self, part: Component[Any, Any], timer: Timer[Any, Any], delay: float) -> None: ...
    def cancel(self, part: Component[Any, Any], timer: Timer[Any, Any]) -> None: ...
    def enqueue(self, part: Component[S, Any], happened: Happened[S]) -> None: ...
    def emit(self, event: E_contra) -> None: ...
    def drop(
        self, reason: str, part: Part[Any] | None = None, guard: str = "", error: WireError | None = None
    ) -> None: ...
    def count_refusal(self, refusal: Refusal, part: Part[Any] | None = None) -> None: ...
    def count_note(self, note: Note, part: Part[Any] | None = None) -> None: ...


class DatagramHost(Host[E_contra], Protocol[E_contra]):
    """What a part that sends datagrams knows."""

    def send_datagram(self, data: bytes, path: Path, name: str = "") -> bool: ...


H = TypeVar("H", bound=Host[Any])


class Declared:
    """State by annotation."""

    __slots__ = ("place",)
    place: Annotated[Place | None, CACHED]
    """Where it is in its session: attribute names, and keys of :class:`Parts`. None: nobody needed it yet."""

    def rebuild(self) -> None:
        """Make what is declared ``CACHED`` again, out of the state: called at the end of ``thaw``, parts first."""

    def freeze(self, base: float, *, leave_out: frozenset[str] = frozenset()) -> Snapshot:
        """The state as plain values, points in time relative to ``base``; without some attributes, for comparisons."""
        layout = layout_of(type(self))
        check_declared(self, layout.names)
        return _freezer(layout, leave_out)(self, base)

    def thaw(self, frozen: Snapshot, base: float) -> None:
        """Take over the state in a snapshot. The parts were made by the constructor; they take over theirs."""
        _thawer(layout_of(type(self)))(self, frozen, base)
        self.rebuild()

    def parts(self) -> Iterator[tuple[str, Any]]:
        """Its parts (components, and :class:`Parts` of them) by the names of their attributes."""
        for name in layout_of(type(self)).parts:
            yield name, getattr(self, name)

    def name_parts(self, place: Place) -> None:
        """Tell each part where it is."""
        self.place = place
        for name in layout_of(type(self)).parts:
            getattr(self, name).name_parts((*place, name))


class Part(Declared, Generic[H]):
    """A part of a session without a table of its own: it keeps others, or what several of them share."""

    __slots__ = ("forgotten", "host")
    host: Annotated[H, CACHED]
    forgotten: Annotated[bool, CACHED]
    """It was removed: it acts and arms no more."""

    def __init__(self, host: H) -> None:
        self.place, self.host, self.forgotten = None, host, False

    def forget(self) -> None:
        """Disarm the timers of its parts; it acts no more."""
        self.forgotten = True
        for _, part in self.parts():
            part.forget()


class Component(Part[H], Generic[S, H]):
    """A part of a session: an object with a table and the host ``H``. Its actions and guards are its methods.

    A subclass has the same table; where it overrides a method that the table or a guard names, the override runs.
    """

    __slots__ = ("armed", "state")
    table: ClassVar[Table[Any, Any]]
    guards_made: ClassVar[tuple[Guards[Any, Any, Any, Any], ...]]
    compiled: ClassVar[dict[Any, list[Cell]]]
    """The table: by value of the state, by index of the input or guards."""
    armed: Annotated[Armed | None, CACHED]
    """Its timers that run."""
    state: S

    def __init__(self, host: H) -> None:
        self.place, self.host, self.forgotten = None, host, False  # as Part does: there are thousands
        self.state, self.armed = self.table.initial, None

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if hasattr(cls, "table"):
            cls.table.add_class(cls)

    def forget(self) -> None:
        """Disarm its timers and those of its parts; it acts no more."""
        for timer in self.table.timers:
            self.host.cancel(self, timer)
        super().forget()

    def post(self, happened: Happened[S]) -> None:
        """Queue an input for this part; it acts before the public call returns."""
        self.host.enqueue(self, happened)

    def take(self, guards: Guards[Any, S, A, None], given: A) -> None:
        """Queue something for guards, which decide what it is when its turn comes. ValueError if they have no end."""
        if not guards.is_finished:
            raise ValueError(f"guards {guards.name!r} of {type(self).__name__} have no end: what do they give?")
        self.host.enqueue(self, Happened(guards, given))

    def asked(self, happened: Happened[S]) -> Asked:
        """An input that a verb has for this part: see ``Session.verb``."""
        return Asked(self, happened)


@attrs.define(eq=False, weakref_slot=False)
class Asked:
    """What a verb wants of a part: refused before anything changes, or done."""

    part: Component[Any, Any]
    happened: Happened[Any]


C = TypeVar("C", bound=Part[Any])


class Parts(dict[K, C]):
    """Parts of one kind by key, each made by one function of its key. Read as a dict; only ``add`` and ``remove``."""

    __slots__ = ("forgotten", "make", "place")

    def __init__(self, make: Callable[[K], C]) -> None:
        self.make = make
        self.place: Place | None = None
        self.forgotten = False

    def add(self, key: K, begin: Callable[[C, *D], None] | None = None, /, *data: *D) -> C:
        """A new part; ``begin`` is its method that takes what it is made with. One that is there under this key is
        removed first."""
        if key in self:
            self.remove(key)
        part = self.make(key)
        if begin is not None:
            begin(part, *data)
        self[key] = part  # as keep does
        if self.forgotten:
            part.forget()
        elif self.place is not None:
            part.name_parts((*self.place, key))
        return part

    def keep(self, key: K, part: C) -> None:
        """Take over a part that :attr:`make` made for this key on trial: its first input was one that it begins with.

        Until then it may arm no timer.
        """
        self[key] = part
        if self.forgotten:
            part.forget()
        elif self.place is not None:
            part.name_parts((*self.place, key))

    def remove(self, key: K) -> None:
        """Disarm the part and forget it; nothing happens if there is none."""
        if key in self:
            self.pop(key).forget()

    def remove_all(self) -> None:
        """Disarm all of them and forget them."""
        for key in tuple(self):
            self.remove(key)

    def forget(self) -> None:
        self.forgotten = True
        for part in self.values():
            part.forget()

    def freeze(self, base: float) -> Snapshot:
        return tuple([(key, part.freeze(base)) for key, part in self.items()])

    def thaw(self, frozen: Any, base: float) -> None:
        self.clear()
        for key, state in frozen:
            self.add(key).thaw(state, base)

    def name_parts(self, place: Place) -> None:
        self.place = place
        for key, part in self.items():
            part.name_parts((*place, key))


class OptionalPart(Parts[None, C]):
    """A part that comes and goes, made by one function; ``part`` is it, or None.

    Declared instead of ``Call | None``, of which nobody knows who makes it in ``thaw`` and who disarms it at its end.
    """

    __slots__ = ()

    def __init__(self, make: Callable[[], C]) -> None:
        super().__init__(lambda _: make())

    @property
    def part(self) -> C | None:
        return self.get(None)

    def start(self, begin: Callable[[C, *D], None] | None = None, /, *data: *D) -> C:
        """A new one, as :meth:`Parts.add` makes it."""
        return self.add(None, begin, *data)

    def end(self) -> None:
        """Disarm and forget it; nothing happens if there is none."""
        self.remove(None)


def components_of(owner: Declared) -> list[Component[Any, Any]]:
    """The components below an owner, those that come first in its declaration first."""
    found: list[Component[Any, Any]] = []
    for name in layout_of(type(owner)).parts:
        part = getattr(owner, name)
        for one in part.values() if isinstance(part, Parts) else (part,):
            if isinstance(one, Component):
                found.append(one)
            found += components_of(one)
    return found


class Layout:
    """The attributes that a class and its bases declare."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        kinds = annotations_of(cls)
        self.kinds = {name: kind for name, kind in kinds.items() if ClassVar not in (kind, get_origin(kind))}
        """Their types."""
        members = {name: member for base in cls.__mro__ for name, member in vars(base).items()}
        self.lazy = tuple(name for name, member in members.items() if isinstance(member, cached_property))
        """The names of values that are made when they are used."""
        self.names = {*self.kinds, *self.lazy}
        for name, member in members.items():
            if isinstance(member, MemberDescriptorType) and name not in self.names:
                raise TypeError(f"{cls.__name__}.{name} is not declared")
        state = {name: kind for name, kind in self.kinds.items() if not is_cached(kind)}
        self.parts = tuple(name for name, kind in state.items() if _is_part(kind))
        for name in self.parts:
            del state[name]
        for name, kind in state.items():
            if any(map(_is_part, get_args(kind))):
                raise TypeError(f"{cls.__name__}.{name}: declare parts that come and go as OptionalPart or Parts")
        self.values = codecs(cls, state)
        """The other state: names, and functions to freeze and thaw it."""


layout_of: Callable[[type], Layout] = cache(Layout)
"""What a class declares."""


@cache
def _freezer(layout: Layout, leave_out: frozenset[str]) -> Callable[[Declared, float], Snapshot]:
    """The function that gives the state of a class, without some attributes."""
    source = Source(layout.cls, layout.cls)
    values = [applied(source, freeze, f"one.{name}") for name, freeze, _ in layout.values if name not in leave_out]
    parts = [f"one.{name}.freeze(base)" for name in layout.parts if name not in leave_out]
    source.lines += ["def freeze(one, base):", f"    return {tuple_of([*values, *parts])}"]
    freeze: Callable[[Declared, float], Snapshot] = source.compile(f"state of {layout.cls.__qualname__}")["freeze"]
    return freeze


@cache
def _thawer(layout: Layout) -> Callable[[Declared, Snapshot, float], None]:
    """The function that takes over the state of a class, and forgets what followed from another one."""
    source = Source(layout.cls, layout.cls)
    names = [*(name for name, *_ in layout.values), *layout.parts]
    source.lines += ["def thaw(one, frozen, base):", f"    {tuple_of(f'{name}_' for name in names)} = frozen"]
    source.lines += [f"    one.{name} = {applied(source, thaw, f'{name}_')}" for name, _, thaw in layout.values]
    source.lines += [f"    one.{name}.thaw({name}_, base)" for name in layout.parts]
    source.lines += [f"    one.__dict__.pop({name!r}, None)" for name in layout.lazy]
    thaw: Callable[[Declared, Snapshot, float], None] = source.compile(f"state of {layout.cls.__qualname__}")["thaw"]
    return thaw


def _is_part(kind: Any) -> bool:
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, Part | Parts)

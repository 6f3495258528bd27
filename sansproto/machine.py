"""State machines as data: inputs with payloads, rows with direct references, guards, one total table for each kind of
object.

A :class:`Table` says what happens for every pair of state and input. :class:`Guards` say which input something *is*,
step by step, and why it is dropped otherwise. Nothing is bound by name: a row names its actions, a timer its delay, so
that an editor finds them and a type checker refuses what does not fit. In what follows ``C`` is the class of the object
that moves (a :class:`~sansproto.component.Component`), ``S`` the enum of its states, which also tells the inputs of one
machine from those of another, and ``P`` what an input carries.

Tables and guards are compiled to functions when they are made, and once more for each subclass of the component, so
that an overridden method runs. docs/howto/protocol.rst shows a small protocol that is written with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeAlias, TypeVar, get_type_hints, overload

from .compiled import Source, call, type_arguments
from .errors import LocalProtocolError, NotOpen, WireError
from .trace import Classified, Stepped, place_name

if TYPE_CHECKING:
    from .component import Component

S = TypeVar("S", bound=Enum)
S2 = TypeVar("S2", bound=Enum)
P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)
A = TypeVar("A")
V = TypeVar("V")
C = TypeVar("C", bound="Component[Any, Any]")
C2 = TypeVar("C2", bound="Component[Any, Any]")
C_contra = TypeVar("C_contra", bound="Component[Any, Any]", contravariant=True)

Action: TypeAlias = Callable[[C, P], None] | Callable[[C], None]
"""What a row does: a method of the component, with the payload of the input or without."""

Condition: TypeAlias = Callable[[C, P], bool] | Callable[[C], bool]
"""What a guard or a ``when`` asks."""

Cell: TypeAlias = Callable[[Any, Any, Any], None]  # part, input, payload

MALFORMED: Final = "malformed"
"""The reason when the condition of a ``give_if`` raises WireError."""


class Happened(Generic[S]):
    """An input together with its payload, or guards together with what they are to classify."""

    __slots__ = ("on", "payload")

    def __init__(self, on: Input[S, Any] | Guards[Any, S, Any, None], payload: Any) -> None:
        self.on = on
        self.payload = payload

    def act(self, part: Component[S, Any]) -> None:
        """Let it act on an object now."""
        on = self.on
        part.compiled[part.state._value_][on.index](part, on, self.payload)


class Inputs(Generic[S, P_co]):
    """The inputs of a row: one, or several as in ``I.LOST | I.FAILED``, which carry what any of them carries."""

    def __init__(self, *members: Input[S, Any]) -> None:
        self.members = members

    def __or__(self, other: Inputs[S, P]) -> Inputs[S, P_co | P]:
        return Inputs(*self.members, *other.members)


class Input(Inputs[S, P]):
    """What can happen to an object with the states S, and what comes with it. Call it with that to post it."""

    def __init__(self) -> None:
        super().__init__(self)
        self.name = ""
        self.index = -1
        self._bare = Happened[S](self, None)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __call__(self: Input[S, None]) -> Happened[S]: ...
    @overload
    def __call__(self, payload: P) -> Happened[S]: ...
    def __call__(self, payload: Any = None) -> Happened[S]:
        return self._bare if payload is None else Happened(self, payload)


class Timer(Generic[C_contra, S]):
    """Posts ``on`` when it is due. ``after`` names a constant (``Delays.resend``, on the class) or a method."""

    name = ""
    index = -1

    @overload
    def __init__(self: Timer[Component[S2, Any], S2], on: Input[S2, None], after: float) -> None: ...
    @overload
    def __init__(self, on: Input[S, None], after: Callable[[C_contra], float]) -> None: ...
    def __init__(self, on: Any, after: Any) -> None:
        self.on: Input[S, None] = on
        self.after = after

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name


class Row(Generic[C_contra, S]):
    """In these states, on these inputs, if ``when`` holds: the next state (None stays), actions in order, timers.

    An action or condition gets the payload if it has a second parameter without a default. The state is set first, then
    the timers, then the actions run: so an action can end the session. ``ref`` is a heading of the protocol's page.
    """

    def __init__(
        self,
        state: S | tuple[S, ...],
        on: Inputs[S, P],
        to: S | None = None,
        *do: Action[C_contra, P],
        when: Condition[C_contra, P] | None = None,
        arm: tuple[Timer[C_contra, S], ...] = (),
        cancel: tuple[Timer[C_contra, S], ...] = (),
        ref: str,
    ) -> None:
        self.states = state if isinstance(state, tuple) else (state,)
        self.on: tuple[Input[S, Any], ...] = on.members
        self.to, self.do, self.when, self.arm, self.cancel, self.ref = to, do, when, arm, cancel, ref

    def __repr__(self) -> str:
        condition = "" if self.when is None else f" when {self.when.__name__}"
        return f"row {'|'.join(s.name for s in self.states)} x {'|'.join(on.name for on in self.on)}{condition}"


class Outcome(Enum):
    """What a pair of state and input without a row means."""

    IGNORE = 0
    """It is counted under the reason."""
    VIOLATION = 1
    """The other end broke the protocol: the table's ``violated`` input follows, with the reason."""
    REJECT = 2
    """The caller's bug: LocalProtocolError."""
    NOT_OPEN = 3
    """A race with the end: NotOpen."""


class Default(Generic[S]):
    """The outcome of pairs without a row; no states or no inputs means all. The first that applies decides."""

    def __init__(self, outcome: Outcome, reason: str = "", *on: Input[S, Any], states: tuple[S, ...] = ()) -> None:
        self.outcome, self.reason, self.on, self.states = outcome, reason, on, states


class _Kind(Enum):
    """Kinds of steps: when one decides, by what its call found."""

    MAKE = " if {} is None:"
    NEED = " if not {}:"
    GIVE = " if {}:"
    END = " if True:"


class Step(NamedTuple):
    """One step of guards: makes a value, needs a condition, or gives an input."""

    kind: _Kind
    call: Callable[..., Any] | None
    reason: str  # of the drop
    on: Input[Any, Any] | None  # what it gives; None: it drops
    ref: str

    @property
    def name(self) -> str:
        """As docs and vectors name it."""
        return "otherwise" if self.call is None else self.call.__name__


class Guards(Generic[C, S, A, V]):
    """Decides, step by step, which input something is: ``A`` is what it is given, ``V`` what the steps made of it.

    A step has one outcome, named beside it: a drop reason, or an input that carries the value made so far. A step that
    raises WireError drops; the drop keeps fault, offset and field. Finished guards are listed by the component's table.
    """

    def __init__(self, part: type[C], states: type[S], name: str, *steps: Step) -> None:
        self.part, self.states, self.name, self.steps = part, states, name, steps
        self.index = -1
        self.is_finished = bool(steps) and steps[-1].kind is _Kind.END
        if self.is_finished:
            made: tuple[Guards[Any, Any, Any, Any], ...] = vars(part).get("guards_made", ())
            if "table" in vars(part) or name in [guards.name for guards in made]:
                raise ValueError(f"{part.__name__}: guards {name!r} behind the table, or with the name of others")
            part.guards_made = (*made, self)

    @classmethod
    def of(cls, part: type[C2], states: type[S2], given: type[P], name: str) -> Guards[C2, S2, P, P]:
        """Guards that classify what is ``given`` to a part: a packet, for one. ``name`` is how docs list them."""
        return Guards[C2, S2, P, P](part, states, name)

    def make(self, make: Callable[[C, V], P | None], otherwise: str, *, ref: str) -> Guards[C, S, A, P]:
        """Go on with what ``make`` gives; None drops."""
        return self._then(Step(_Kind.MAKE, make, otherwise, None, ref))

    def need(self, check: Condition[C, V], otherwise: str, *, ref: str) -> Guards[C, S, A, V]:
        """Go on if this holds, or drop."""
        return self._then(Step(_Kind.NEED, check, otherwise, None, ref))

    def give_if(self, check: Condition[C, V], on: Input[S, V], *, ref: str) -> Guards[C, S, A, V]:
        """If this holds, it is this input."""
        return self._then(Step(_Kind.GIVE, check, MALFORMED, on, ref))

    def give(self, on: Input[S, V]) -> Guards[C, S, A, None]:
        """What came so far is this input: the end. ``None`` for ``V`` tells finished guards from unfinished ones."""
        return self._then(Step(_Kind.END, None, "", on, ""))

    def act(self, part: Component[S, Any], given: A) -> None:
        """Decide now which input this is and let it act, or drop it."""
        part.compiled[part.state._value_][self.index](part, self, given)

    def _then(self, step: Step) -> Guards[C, S, A, Any]:
        if self.is_finished:
            raise ValueError(f"guards of {self.part.__name__}: a step behind the end")
        return Guards(self.part, self.states, self.name, *self.steps, step)

    def emit(self, source: Source, name: str) -> None:
        """The source of the function that decides."""
        add, value = source.lines.append, "given"
        source.lines += [f"def {name}(part, _, given):", " host = part.host", " trace = host.trace"]
        for number, step in enumerate(self.steps):
            found, on = f"found{number}", step.on
            about = f"host.clock, {self.part.table.name!r}, place_name(part.place), {self.name!r}, {number}"
            traced = f"  if trace is not None: trace(Classified({about}))"
            acts = f"  return host.drop({step.reason!r}, part, {f'{self.name}.{step.name}'!r}"
            if step.call is not None:
                add(f" try: {found} = {source.call(step.call, value)}")
                source.lines += [" except WireError as error:", traced, f"{acts}, error)"]
            if on is not None:
                cell = f"part.compiled[part.state._value_][{on.index}]"
                acts = f"  return {cell}(part, {source.name(on, on.name)}, {value}"
            source.lines += [step.kind.value.format(found), traced, f"{acts})"]
            if step.kind is _Kind.MAKE:
                value = found


class Table(Generic[C, S]):
    """All that can happen to one kind of object; made after its class, and then ``part.table``.

    Written ``Table[Connection, S](Connection, ...)``: given both parameters, a type checker names the row that is
    wrong, and why. ``inputs`` and ``timers`` are the classes in whose bodies they stand. ``name`` is the protocol's,
    which names the page that every ``ref`` is a heading of, and the object's: ``echo.guest``. ``idle`` maps states in
    which the object may rest without a timer to what ends them. Objects in a ``terminal`` state have no timers.
    """

    def __init__(
        self,
        part: type[C],
        inputs: type,
        timers: type = object,
        *,
        name: str,
        initial: S,
        terminal: tuple[S, ...] = (),
        idle: Mapping[S, str],
        rows: tuple[Row[C, S], ...],
        defaults: tuple[Default[S], ...],
        violated: Input[S, str] | None = None,
    ) -> None:
        self.part, self.states, self.name, self.page = part, type(initial), name, name.partition(".")[0]
        self.initial, self.terminal, self.idle = initial, terminal, idle
        self.rows, self.defaults, self.violated = rows, defaults, violated
        self.inputs: tuple[Input[S, Any], ...] = tuple(one for one in vars(inputs).values() if isinstance(one, Input))
        self.timers: tuple[Timer[C, S], ...] = tuple(one for one in vars(timers).values() if isinstance(one, Timer))
        self.guards: tuple[Guards[C, S, Any, None], ...] = vars(part).get("guards_made", ())
        """In the order in which they stand."""
        self.classes: list[type[C]] = [part]
        self._check()
        part.table = self
        self.make()

    def ask(self, part: C, happened: Happened[S], verb: str) -> None:
        """Raise LocalProtocolError or NotOpen, for this verb, if this input is not allowed now; change nothing."""
        on = happened.on
        assert isinstance(on, Input), "guards are not asked"
        rows, default = self.columns[part.state._value_][on.index]
        if rows and rows[-1].when is None:
            return  # one of them holds in any case
        if not any(row.when is None or call(row.when, self.part, part, happened.payload) for row in rows):
            self._refuse(part, verb, default)

    def make(self) -> None:
        """Find the rows of all pairs and make the functions of all classes: again if rows or steps were replaced.

        ValueError if it is not total.
        """
        self.pairs = {(state, on): self._pair(state, on) for state in self.states for on in self.inputs}
        """The rows of each pair in order, and the default behind them."""
        self.columns = {state._value_: [self.pairs[state, on] for on in self.inputs] for state in self.states}
        """The same by value of the state, by index of the input: found faster."""
        for cls in self.classes:
            self._compile(cls)

    def add_class(self, cls: type[C]) -> None:
        """A subclass of the component runs what it overrides."""
        self.classes.append(cls)
        self._compile(cls)

    def _compile(self, cls: type[C]) -> None:
        """One function for each list of rows, which pairs of state and input share, and one for each list of guards,
        whose indices follow those of the inputs."""
        records = {"Stepped": Stepped, "Classified": Classified, "place_name": place_name}
        source = Source(self.part, cls, **records, refuse=self._refuse, WireError=WireError)
        names = {pair: f"cell{number}" for number, pair in enumerate(dict.fromkeys(self.pairs.values()))}
        for pair, name in names.items():
            self._emit(source, name, *pair)
        for guards in self.guards:
            guards.emit(source, f"decide{guards.index}")
        functions = source.compile(f"{self.name} of {cls.__qualname__}")
        decide = [functions[f"decide{guards.index}"] for guards in self.guards]
        cls.compiled = {
            state._value_: [functions[names[self.pairs[state, on]]] for on in self.inputs] + decide
            for state in self.states
        }

    def _emit(self, source: Source, name: str, rows: tuple[Row[C, S], ...], default: Default[S]) -> None:
        source.lines += [f"def {name}(part, on, payload):", " host = part.host", " trace = host.trace"]
        about = f"host.clock, {self.name!r}, place_name(part.place), part.state.name, on.name"
        for row in rows:
            to = "part.state.name" if row.to is None else repr(row.to.name)
            do = [f"if trace is not None: trace(Stepped({about}, {to}, row={self.rows.index(row)}))"]
            do += [] if row.to is None else [f"part.state = {source.name(row.to, row.to.name)}"]
            cancelled = self.timers if row.to in self.terminal else row.cancel
            for one in cancelled:
                timer = source.name(one, one.name)
                do += ["one = part.armed", f"while one is not None and one.timer is not {timer}: one = one.before"]
                do.append(f"if one is not None: host.cancel(part, {timer})")  # most are not armed
            do += [f"host.arm(part, {source.name(one, one.name)}, {source.delay(one.after)})" for one in row.arm]
            do += [source.call(action, "payload") for action in row.do]
            if row.when is None:
                source.lines += [f" {line}" for line in do]
                return
            source.lines += [f" if {source.call(row.when, 'payload')}:", *[f"  {line}" for line in (*do, "return")]]
        source.lines.append(f" if trace is not None: trace(Stepped({about}, None))")
        if default.outcome is Outcome.IGNORE:
            source.lines.append(f" host.drop({default.reason!r}, part)")
        elif default.outcome is Outcome.VIOLATION and self.violated is not None:
            source.lines.append(f" {source.name(self.violated(default.reason), 'violated')}.act(part)")
        else:
            source.lines.append(f" refuse(part, on.name.lower(), {source.name(default, 'outcome')})")

    def _refuse(self, part: C, verb: str, default: Default[S]) -> None:
        if default.outcome is Outcome.REJECT:
            raise LocalProtocolError(verb, part.state.name, default.reason)
        if default.outcome is Outcome.NOT_OPEN:
            raise NotOpen(verb, part.state.name)

    def _check(self) -> None:
        """Raise ValueError for mistakes that a type checker cannot find."""
        given = type_arguments(self.part)
        if self.states not in given.values():
            raise ValueError(f"{self.name}: {self.part.__name__} does not have the states {self.states.__name__}")
        columns: tuple[Input[S, Any] | Guards[C, S, Any, None], ...] = (*self.inputs, *self.guards)
        for named in (columns, self.timers):
            for index, one in enumerate(named):
                one.index = index
        kind = get_type_hints(self.part).get("delays")
        kind = given.get(kind, getattr(kind, "__bound__", None)) if isinstance(kind, TypeVar) else kind
        for timer in self.timers:
            owner = getattr(timer.after, "__objclass__", None)  # the slot of a base class is in its subclasses too
            inherits = isinstance(kind, type) and isinstance(owner, type) and issubclass(kind, owner)
            if not callable(timer.after) and not inherits:
                raise ValueError(f"{self.name}: {timer.name} is after {timer.after!r}, not a constant of {kind}")
        used: list[tuple[str, Any]] = [("violated", self.violated)]
        used += [(repr(row), one) for row in self.rows for one in (*row.on, *row.arm, *row.cancel)]
        used += [(f"guards {guards.name!r}", step.on) for guards in self.guards for step in guards.steps]
        known: set[Any] = {None, *self.inputs, *self.timers}
        for where, one in used:
            if one not in known:
                raise ValueError(f"{self.name}: {where}: {one.name or 'a timer'} stands in another class")

    def _pair(self, state: S, on: Input[S, Any]) -> tuple[tuple[Row[C, S], ...], Default[S]]:
        rows = tuple(row for row in self.rows if state in row.states and on in row.on)
        if any(row.when is None for row in rows[:-1]):
            raise ValueError(f"{self.name}: two rows for {state}, {on.name}")
        for default in self.defaults:
            if state in (default.states or (state,)) and on in (default.on or (on,)):
                return rows, default
        if rows and rows[-1].when is None:
            return rows, _NEVER
        raise ValueError(f"{self.name}: neither row nor default for {state}, {on.name}")


_NEVER: Final = Default[Any](Outcome.IGNORE)

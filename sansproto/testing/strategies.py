"""Hypothesis strategies that follow from packet declarations."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

from hypothesis import strategies as st

from .. import wire
from ..errors import WireError
from ..wire import ABSENT, Codec, Const, Packet, Trailing

P = TypeVar("P", bound=Packet)
C = TypeVar("C", bound=Codec[Any])

_ROOT = __name__.rpartition(".testing.")[0]
_registered: dict[type[Codec[Any]], Callable[[Any], st.SearchStrategy[Any]]] = {}


def packets(cls: type[P]) -> st.SearchStrategy[P]:
    """Packets of a class, all of which encode."""
    kind: Any = cls
    return _packets(kind)


@cache
def _packets(cls: Any) -> st.SearchStrategy[Any]:
    fields = [field for field in cls.__wire__.fields if not isinstance(field.codec, Const)]
    required = {field.name: values(field.codec) for field in fields if not isinstance(field.codec, Trailing)}
    trailing = {field.name: values(field.codec.inner) for field in fields if isinstance(field.codec, Trailing)}
    # What follows an absent field is absent too.
    names = [list(trailing)[:count] for count in range(len(trailing) + 1)]
    present = st.one_of([st.fixed_dictionaries({name: trailing[name] for name in some}) for some in names])

    def build(given: dict[str, Any], rest: dict[str, Any]) -> Any:
        return cls(**given, **{**dict.fromkeys(trailing, ABSENT), **rest})

    whole = st.builds(build, st.fixed_dictionaries(required), present)
    return whole if cls.validate is Packet.validate else whole.filter(_valid)


def register(kind: type[C], strategy: Callable[[C], st.SearchStrategy[Any]]) -> None:
    """Say how :func:`values` makes values for codecs of your own."""
    _registered[kind] = strategy


def values(codec: Codec[Any]) -> st.SearchStrategy[Any]:
    """Values that a codec can encode. Raises ``KeyError`` for a codec that the library does not know."""
    match codec:
        case wire.Int() | wire.HexInt() | wire.InRange():
            return st.integers(codec.low, codec.high)
        case wire.Float():
            return st.floats(width=32 if codec.size == 4 else 64, allow_nan=False)
        case wire.Bool():
            return st.booleans()
        case wire.Fixed():
            return st.binary(min_size=codec.size, max_size=codec.size)
        case wire.EnumOf():
            return st.sampled_from(codec.enum)
        case wire.Bytes() | wire.Rest():
            return st.binary(min_size=codec.min, max_size=codec.max)
        case wire.Text():
            return _texts(codec)
        case wire.Terminated():
            return st.text(codec.allowed.decode(), min_size=codec.min, max_size=codec.max)
        case wire.ListOf():
            return st.lists(values(codec.item), max_size=codec.max).map(tuple)
        case wire.Optional():
            return st.none() | values(codec.inner)
        case wire.Nested():
            return packets(codec.packet)
        case wire.OneOf():
            return st.one_of([packets(kind) for kind in codec.packets.values()])
    if type(codec) not in _registered:
        _load(type(codec).__module__)
    return _registered[type(codec)](codec)


@cache
def _load(module: str) -> None:
    """Learn the codecs of the protocol that has this module: a copy of the library need not have all protocols."""
    protocol = module.removeprefix(f"{_ROOT}.").partition(".")[0]
    name = f"{_ROOT}.testing._internal.strategies_{protocol}"
    if find_spec(name) is not None:
        import_module(name)


def _texts(codec: wire.Text) -> st.SearchStrategy[str]:
    def shorten(text: str) -> str:
        while len(text.encode(codec.encoding)) > codec.max:
            text = text[:-1]
        return text

    # Hypothesis takes a second to find out what a codec that it does not know can encode.
    alphabet = st.characters(codec="utf-8" if codec.encoding.lower().startswith("utf") else codec.encoding)
    texts = st.text(alphabet, max_size=codec.max).map(shorten)
    return texts.filter(lambda text: len(text.encode(codec.encoding)) >= codec.min)


def _valid(packet: Packet) -> bool:
    try:
        packet.validate()
    except WireError:
        return False
    return True


register(wire.TextToEnd, lambda codec: st.text(st.characters(codec="utf-8"), max_size=codec.max // 4))

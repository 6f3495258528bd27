"""Hypothesis strategies that follow from packet declarations."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

from .. import wire
from ..bob import packets as bob
from ..errors import WireError
from ..overte import audio, avatars, qt
from ..wire import ABSENT, Codec, Const, Packet, Trailing

P = TypeVar("P", bound=Packet)
C = TypeVar("C", bound=Codec[Any])

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
    return _registered[type(codec)](codec)


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


# -- the codecs of protocols


def _qstrings(codec: qt.QString) -> st.SearchStrategy[str | None]:
    """Any UTF-16 units: also lone surrogates, but no pair of them as two characters."""
    units = st.lists(st.integers(0, 0xFFFF), max_size=codec.max // 2)
    raw = st.one_of(
        st.text(max_size=codec.max // 4), units.map(lambda some: b"".join(one.to_bytes(2, "big") for one in some))
    )
    texts = raw.map(lambda one: one if isinstance(one, str) else one.decode("utf-16-be", "surrogatepass"))
    return st.none() | texts


def _sock_addrs(codec: qt.SockAddrCodec) -> st.SearchStrategy[qt.SockAddr]:
    v4 = st.ip_addresses(v=4).map(str)
    v6 = st.binary(min_size=16, max_size=16).map(lambda raw: qt.SOCK_ADDR.decode(b"\1" + raw + b"\xff" * 6).host)
    ports, kinds = st.integers(0, 0xFFFF), st.integers(0, 0xFF) if codec.typed else st.just(qt.SocketType.UDP)
    return st.one_of(
        st.builds(qt.SockAddr, v4 | st.sampled_from(["", "*"]), ports, kind=kinds),
        st.builds(qt.SockAddr, v6, ports, values(qt.QSTRING), kinds),
    )


def _joints(_: avatars.JointsCodec) -> st.SearchStrategy[avatars.Joints]:
    """With as many rotations and translations as bits say."""

    def build(count: int, pool: bytes, reach: float) -> avatars.Joints:
        size = (count + 7) // 8
        turned, moved = pool[:size].ljust(size, b"\5"), pool[size : 2 * size].ljust(size, b"\xa0")
        rotations, translations = (bytes(6 * avatars.marked(bits, count)) for bits in (turned, moved))
        return avatars.Joints(
            count=count, turned=turned, rotations=rotations, moved=moved, reach=reach, translations=translations
        )

    return st.builds(build, st.integers(0, 255), st.binary(max_size=64), st.floats(width=32, allow_nan=False))


def _poses(_: avatars.DefaultPoseCodec) -> st.SearchStrategy[avatars.DefaultPose]:
    counts = st.integers(0, 255)
    return counts.flatmap(
        lambda count: st.builds(
            avatars.DefaultPose,
            count=st.just(count),
            turned=st.just(b"\1" * ((count + 7) // 8)),
            moved=st.binary(min_size=(count + 7) // 8, max_size=(count + 7) // 8),
        )
    )


def _avatar_states(_: avatars.AvatarStateCodec) -> st.SearchStrategy[avatars.AvatarState]:
    some = {name: values(section.codec) for name, section in avatars.SECTIONS.items()}
    states = st.fixed_dictionaries({}, optional=some).map(lambda given: avatars.AvatarState(**given))
    return states.filter(lambda state: state.grab is None or state.joints is not None)


def _traits(codec: avatars.TraitsCodec) -> st.SearchStrategy[tuple[avatars.Trait, ...]]:
    def build(kind: int, version: int, instance: bytes, data: bytes | None) -> avatars.Trait:
        return avatars.Trait(
            type=kind,
            version=version if codec.versioned else None,
            instance=instance if kind >= avatars.TraitType.AVATAR_ENTITY else None,
            data=data,
        )

    kinds = st.integers(-128, 127).filter(lambda kind: kind != -1)
    data = st.none() | st.binary(max_size=40)
    one = st.builds(build, kinds, values(wire.I32LE), values(qt.UUID), data)
    return st.lists(one, max_size=8).map(tuple)


def _json_objects(codec: bob.FieldsToEnd) -> st.SearchStrategy[str]:
    """Some have the field that a receipt must have."""
    plain = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
    anything = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner))
    digest = st.fixed_dictionaries({}, optional={"sha256": st.binary(min_size=32, max_size=32).map(bytes.hex)})
    objects = st.builds(lambda some, one: some | one, st.dictionaries(st.text(max_size=9), anything), digest)
    return objects.map(json.dumps).filter(lambda text: len(text) <= codec.max)


register(wire.TextToEnd, lambda codec: st.text(st.characters(codec="utf-8"), max_size=codec.max // 4))
register(bob.FieldsToEnd, _json_objects)
register(bob.ReceiptWord, lambda _: st.sampled_from(bob.Receipt))
register(qt.QString, _qstrings)
register(qt.QByteArray, lambda codec: st.none() | st.binary(max_size=codec.max))
register(qt.SockAddrCodec, _sock_addrs)
register(qt.OpenEnum, lambda codec: st.sampled_from(codec.enum) | values(codec.inner))
register(avatars.JointsCodec, _joints)
register(avatars.DefaultPoseCodec, _poses)
register(avatars.AvatarStateCodec, _avatar_states)
register(avatars.TraitsCodec, _traits)
register(audio.PlacingOrNone, lambda _: st.none() | packets(audio.Placing))
register(qt.ToEnd, lambda codec: st.lists(values(codec.item), max_size=codec.max).map(tuple))

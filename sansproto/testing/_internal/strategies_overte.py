"""Hypothesis strategies for the codecs of Overte."""

from __future__ import annotations

from hypothesis import strategies as st

from ... import wire
from ...overte import audio, avatars, qt
from ..strategies import packets, register, values


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
    """Joints with as many rotations and translations as their bits say."""

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

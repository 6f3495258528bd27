"""How the codecs that only Overte has are described: see :mod:`.layouts` and vectors/README.md."""

from __future__ import annotations

from typing import Any

from ...overte import audio, avatars, header, packets, payloads, qt, versions
from ...overte.qt import SocketType
from ...wire import F32LE, I8, I16LE, I32LE, U8, U16LE, U32BE, Codec
from .layouts import Data, described, packet_name

MODULES = (qt, versions, header, packets, avatars, audio, payloads)
"""Those with packets, enumerations and constants."""


@described.register
def _(codec: qt.OpenEnum) -> Data:
    return {"kind": "enum", "of": codec.enum.__name__, "as": described(codec.inner), "open": True}


@described.register(qt.ToEnd)
def _(codec: qt.ToEnd[Any]) -> Data:
    return {"kind": "list", "of": described(codec.item), "max": codec.max}


@described.register(qt.Nullable)
def _(codec: qt.Nullable[Any]) -> Data:
    text = {"text": "utf-16-be"} if isinstance(codec, qt.QString) else {}
    null = qt.NULL_LENGTH.to_bytes(4, "big").hex()
    return {"kind": "counted", "count": described(U32BE), "min": 0, "max": codec.max, "null": null, **text}


@described.register
def _(codec: qt.SockAddrCodec) -> Data:
    kind = {"socket_type": described(qt.OpenEnum(U8, SocketType))} if codec.typed else {}
    return {"kind": "socket_address", **kind, "address": described(qt.ADDRESS)}


@described.register
def _(codec: audio.PlacingOrNone) -> Data:
    return {"kind": "packet", "name": packet_name(audio.Placing), "null": "0000"}


@described.register
def _(codec: avatars.AvatarStateCodec) -> Data:
    names = {section.flag: name for name, section in avatars.SECTIONS.items()}
    needed = {grab: names[joints] for grab, joints in avatars.ONLY_WITH.items()}
    sections = [
        {"name": name, "flag": section.flag, "type": described(section.codec)}
        | ({"with": needed[section.flag]} if section.flag in needed else {})
        for name, section in avatars.SECTIONS.items()
    ]
    return {"kind": "sections", "flags": described(U16LE), "sections": sections}


def _field(name: str, codec: Codec[Any]) -> Data:
    return {"name": name, "type": described(codec)}


_COUNT: Data = _field("count", U8)


def _bits(name: str) -> Data:
    return {"name": name, "type": {"kind": "bits", "count": "count"}}


def _marked(name: str, bits: str) -> Data:
    return {"name": name, "type": {"kind": "marked", "bits": bits, "count": "count", "size": 6}}


@described.register
def _(codec: avatars.JointsCodec) -> Data:
    turned = _bits("turned"), _marked("rotations", "turned")
    moved = _bits("moved"), _field("reach", F32LE), _marked("translations", "moved")
    return {"kind": "struct", "fields": [_COUNT, *turned, *moved]}


@described.register
def _(codec: avatars.DefaultPoseCodec) -> Data:
    return {"kind": "struct", "fields": [_COUNT, _bits("turned"), _bits("moved")]}


@described.register
def _(codec: avatars.TraitsCodec) -> Data:
    return {
        "kind": "traits",
        "type": described(I8),
        **({"version": described(I32LE)} if codec.versioned else {}),
        "instance": {"from": avatars.TraitType.AVATAR_ENTITY.value, "type": described(qt.UUID)},
        "size": described(I16LE),
        "max_size": avatars.MAX_TRAIT,
        "max": avatars.MAX_TRAITS,
        "end": -1,
        "gone": -1,
    }

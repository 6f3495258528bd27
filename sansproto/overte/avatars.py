"""What bots and the avatar mixer say of avatars: docs/protocols/overte.rst, avatars.

Metres, y up; an avatar looks along -z. Numbers stay as they are packed, so that what is passed on does not change;
:mod:`.packing` reads and writes them.
"""

from __future__ import annotations

from enum import IntEnum
from math import isfinite
from typing import Any, Final

import attrs

from ..errors import Fault, WireError
from ..wire import (
    F32LE,
    I16LE,
    I32LE,
    I64LE,
    U8,
    U16LE,
    Buffer,
    Bytes,
    Codec,
    Fixed,
    ListOf,
    Nested,
    Node,
    Opener,
    Packet,
    const,
    field,
    packet,
)
from ..wire.base import Shape, total
from ..wire.source import inside
from .header import MAX_DATAGRAM
from .packing import Rotation, pack_rotation, unpack_rotation
from .qt import UUID, OpenEnum, ToEnd
from .versions import PacketType

MAX_TRAIT: Final = 32767
"""Bytes of the largest trait."""

MAX_TRAITS: Final = 256
"""The most traits of one avatar in a packet."""

MAX_AVATARS: Final = 1024
"""The most avatars in one message about traits."""

MAX_VIEWS: Final = 16
"""The most views of one agent."""

_UUID_AND_FLAGS: Final = 18
_BULK_RECORDS: Final = MAX_DATAGRAM // _UUID_AND_FLAGS


@packet
class Vec3(Packet):
    """A place, or a size, in metres. Senders may say anything: see :attr:`is_finite`."""

    x: float = field(F32LE)
    y: float = field(F32LE)
    z: float = field(F32LE)

    @property
    def is_finite(self) -> bool:
        """Neither infinite nor a NaN. The mixer does not look at that."""
        return isfinite(self.x) and isfinite(self.y) and isfinite(self.z)


_VEC3: Final = Nested(Vec3)
_ROTATION: Final = Fixed(6)


@packet
class BoundingBox(Packet):
    """The corner of the box is at position + offset - dimensions."""

    dimensions: Vec3 = field(_VEC3)
    offset: Vec3 = field(_VEC3)


@packet
class SensorToWorld(Packet):
    """How the user's room lies in the world."""

    rotation: bytes = field(_ROTATION, "packed")
    scale: int = field(I16LE, "times 1024")
    translation: Vec3 = field(_VEC3)


@packet
class Parent(Packet):
    """On what an avatar stands or sits."""

    id: bytes = field(UUID, "null: nothing")
    joint: int = field(U16LE, "65535: none")


@packet
class Hand(Packet):
    """A hand controller, from the avatar."""

    rotation: bytes = field(_ROTATION, "packed")
    x: int = field(I16LE, "times 4096, as the next two")
    y: int = field(I16LE)
    z: int = field(I16LE)


@packet
class Hands(Packet):
    left: Hand = field(Nested(Hand))
    right: Hand = field(Nested(Hand))


@packet
class Face(Packet):
    unused: bytes = field(Fixed(16), "four f32 that nobody reads")
    shapes: tuple[float, ...] = field(ListOf(F32LE, U8, max=255), "coefficients of blend shapes")


@packet
class GrabJoint(Packet):
    position: Vec3 = field(_VEC3)
    w: float = field(F32LE, "of the rotation, as the next three")
    x: float = field(F32LE)
    y: float = field(F32LE)
    z: float = field(F32LE)


@packet
class GrabJoints(Packet):
    left: GrabJoint = field(Nested(GrabJoint))
    right: GrabJoint = field(Nested(GrabJoint))
    mouse: GrabJoint = field(Nested(GrabJoint))


@attrs.frozen(kw_only=True)
class Joints:
    """Those of the ``count`` joints that changed. Bit ``i % 8`` of byte ``i // 8`` is that of joint ``i``."""

    count: int
    """At most 255."""
    turned: bytes
    """A bit for each joint: there is a rotation of it."""
    rotations: bytes
    """6 bytes for each of those, packed."""
    moved: bytes
    """A bit for each joint: there is a translation of it."""
    reach: float
    """The largest coordinate: 16384 in ``translations`` stands for it."""
    translations: bytes
    """6 bytes for each of those: three i16."""


@attrs.frozen(kw_only=True)
class DefaultPose:
    """Which of the ``count`` joints are as the model has them, a bit for each."""

    count: int
    """At most 255."""
    turned: bytes
    """Of the rotations."""
    moved: bytes
    """Of the translations."""


class _Bits:
    """Reads a buffer with bit vectors."""

    def __init__(self, data: Buffer, offset: int, end: int) -> None:
        self.data, self.offset, self.end = data, offset, end
        self.count = self.take(1)[0]
        self.size = (self.count + 7) // 8

    def take(self, size: int) -> bytes:
        start, self.offset = self.offset, self.offset + size
        if self.offset > self.end:
            raise WireError(Fault.TRUNCATED, start, need=self.offset - self.end)
        return bytes(self.data[start : self.offset])


def marked(bits: bytes, count: int) -> int:
    """How many of the first so many bits are set."""
    return (int.from_bytes(bits, "little") & (1 << count) - 1).bit_count()


@attrs.frozen(eq=False)
class JointsCodec(Codec[Joints]):
    def shape(self) -> Shape:
        name = "u8 joints n, n bits, 6 bytes for each that is set, n bits, f32le, 6 bytes for each that is set"
        return Shape(name, 5, 5 + 2 * (32 + 255 * 6))

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[Joints, int]:
        bits = _Bits(data, offset, end)
        turned = bits.take(bits.size)
        rotations = bits.take(6 * marked(turned, bits.count))
        moved = bits.take(bits.size)
        reach = F32LE.decode(bits.take(4))
        joints = Joints(
            count=bits.count,
            turned=turned,
            rotations=rotations,
            moved=moved,
            reach=reach,
            translations=bits.take(6 * marked(moved, bits.count)),
        )
        return joints, bits.offset

    def encode(self, value: Joints) -> bytes:
        size = (value.count + 7) // 8
        wanted = (size, 6 * marked(value.turned, value.count), size, 6 * marked(value.moved, value.count))
        if tuple(map(len, (value.turned, value.rotations, value.moved, value.translations))) != wanted:
            raise WireError(Fault.BAD_LENGTH)
        reach = F32LE.encode(value.reach)
        head = U8.encode(value.count) + value.turned + value.rotations
        return head + value.moved + reach + value.translations


@attrs.frozen(eq=False)
class DefaultPoseCodec(Codec[DefaultPose]):
    def shape(self) -> Shape:
        return Shape("u8 joints n, n bits, n bits", 1, 65)

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[DefaultPose, int]:
        bits = _Bits(data, offset, end)
        pose = DefaultPose(count=bits.count, turned=bits.take(bits.size), moved=bits.take(bits.size))
        return pose, bits.offset

    def encode(self, value: DefaultPose) -> bytes:
        if not len(value.turned) == len(value.moved) == (value.count + 7) // 8:
            raise WireError(Fault.BAD_LENGTH)
        return U8.encode(value.count) + value.turned + value.moved


# -- the sections of an avatar -----------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class AvatarState:
    """What is said of an avatar; None: nothing is, so it is as before."""

    position: Vec3 | None = None
    """In the world. Check that it is finite."""
    box: BoundingBox | None = None
    """Around it: bubbles are reckoned from it."""
    orientation: bytes | None = None
    """6 bytes, packed; from the parent, if there is one."""
    scale: int | None = None
    """A packed ratio."""
    look_at: Vec3 | None = None
    """Where it looks, in the world."""
    loudness: int | None = None
    """A packed gain, of loudness / 1024."""
    sensor: SensorToWorld | None = None
    """The user's room."""
    additional: int | None = None
    """Flags, of which 16 says that it collides with avatars."""
    parent: Parent | None = None
    """On what it stands or sits."""
    local_position: Vec3 | None = None
    """From the parent."""
    hands: Hands | None = None
    """Hand controllers. If they are not there, there are none now."""
    face: Face | None = None
    """Blend shapes."""
    joints: Joints | None = None
    """Of the skeleton."""
    grab: GrabJoints | None = None
    """What it grabs with; only together with joints."""
    pose: DefaultPose | None = None
    """Joints that are as the model has them."""

    @classmethod
    def at(cls, x: float, y: float, z: float, rotation: Rotation | None = None, **more: Any) -> AvatarState:
        """A place and, as a unit quaternion, which way it looks; ``more`` are other sections."""
        turned = None if rotation is None else pack_rotation(rotation)
        return cls(position=Vec3(x, y, z), orientation=turned, **more)

    @property
    def place(self) -> Vec3 | None:
        """The position, if it is finite: the mixer passes on anything."""
        return self.position if self.position is not None and self.position.is_finite else None

    @property
    def rotation(self) -> Rotation | None:
        """Which way it looks, as a unit quaternion."""
        return None if self.orientation is None else unpack_rotation(self.orientation)


@attrs.frozen
class Section:
    """Where an attribute of :class:`AvatarState` is on the wire: there, if the flag is set."""

    flag: int
    codec: Codec[Any]


SECTIONS: Final[dict[str, Section]] = {
    "position": Section(0x0001, _VEC3),
    "box": Section(0x0002, Nested(BoundingBox)),
    "orientation": Section(0x0004, _ROTATION),
    "scale": Section(0x0008, I16LE),
    "look_at": Section(0x0010, _VEC3),
    "loudness": Section(0x0020, U8),
    "sensor": Section(0x0040, Nested(SensorToWorld)),
    "additional": Section(0x0080, U16LE),
    "parent": Section(0x0100, Nested(Parent)),
    "local_position": Section(0x0200, _VEC3),
    "hands": Section(0x0400, Nested(Hands)),
    "face": Section(0x0800, Nested(Face)),
    "joints": Section(0x1000, JointsCodec()),
    "grab": Section(0x4000, Nested(GrabJoints)),
    "pose": Section(0x2000, DefaultPoseCodec()),
}
"""The sections by the names of their attributes, in the order in which they stand."""

_JOINTS: Final = SECTIONS["joints"].flag
_GRAB: Final = SECTIONS["grab"].flag
ONLY_WITH: Final = {_GRAB: _JOINTS}
"""The flag of a section that is there only beside another one: that one's flag."""
_UNUSED: Final = 0x8000


@attrs.frozen(eq=False)
class AvatarStateCodec(Codec[AvatarState]):
    """16 bits of flags, then the sections whose flags are set."""

    def shape(self) -> Shape:
        sizes = [section.codec.shape().max_size for section in SECTIONS.values()]
        name = "u16le flags, the sections that they name"
        return Shape(name, 2, total([2, *sizes]), accepts="the flag of grab joints without joints, for nothing")

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[AvatarState, int]:
        flags, at = U16LE.decode_from(data, offset, end)
        if flags & _UNUSED:
            raise WireError(Fault.BAD_VALUE, offset)
        found: dict[str, Any] = {}
        for name, section in _named_by(flags):
            try:
                found[name], at = section.codec.decode_from(data, at, end)
            except WireError as error:
                raise inside(error, name) from None
        return AvatarState(**found), at

    def encode(self, value: AvatarState) -> bytes:
        flags, parts = 0, []
        for name, section in SECTIONS.items():
            content = getattr(value, name)
            if content is None:
                continue
            flags |= section.flag
            try:
                parts.append(section.codec.encode(content))
            except WireError as error:
                raise inside(error, name) from None
        if flags & _GRAB and not flags & _JOINTS:
            raise WireError(Fault.BAD_VALUE, 0, "grab")
        return U16LE.encode(flags) + b"".join(parts)

    def parts(self, data: Buffer, offset: int, end: int, opener: Opener | None, error: WireError | None) -> list[Node]:
        nodes = [U16LE.dissect_from(data, offset, end, "flags", opener)]
        flags = nodes[0].value
        for name, section in _named_by(flags if isinstance(flags, int) and not flags & _UNUSED else 0):
            nodes.append(section.codec.dissect_from(data, nodes[-1].end, end, name, opener))
            if nodes[-1].fault:
                break
        return nodes


def _named_by(flags: int) -> list[tuple[str, Section]]:
    if not flags & _JOINTS:
        flags &= ~_GRAB  # they are read only behind joints
    return [(name, section) for name, section in SECTIONS.items() if flags & section.flag]


_STATE: Final = AvatarStateCodec()


# -- packets -----------------------------------------------------------------------------------------------------------


@packet(id=PacketType.AVATAR_DATA.value)
class AvatarData(Packet):
    """What an agent says of itself. The mixer answers another version of it with an empty payload."""

    sequence: int = field(U16LE, "1 to 65535, then 1 again; with 0 nobody sees it, unchanged it is not passed on")
    state: AvatarState = field(_STATE)


@packet
class AvatarRecord(Packet):
    id: bytes = field(UUID, "the session UUID of its node")
    state: AvatarState = field(_STATE)


@packet(id=PacketType.BULK_AVATAR_DATA.value)
class BulkAvatarData(Packet):
    """Other avatars, of which one may come twice: the later record lacks what the earlier one says."""

    avatars: tuple[AvatarRecord, ...] = field(ToEnd(Nested(AvatarRecord), max=_BULK_RECORDS))


class KillReason(IntEnum):
    """Why an avatar is to be forgotten."""

    NONE = 0
    """Not said."""
    DISCONNECTED = 1
    """Its node is gone, it does not want to be seen, or the receiver ignores it."""
    IGNORED = 2
    """The receiver closed its list of users, and one of both ignores the other."""
    THEIR_AVATAR_ENTERED_YOUR_BUBBLE = 3
    """It came too near."""
    YOUR_AVATAR_ENTERED_THEIR_BUBBLE = 4
    """The receiver came too near."""


@packet(id=PacketType.KILL_AVATAR.value)
class KillAvatar(Packet):
    """Forget an avatar; from the reasons 2 to 4 on it may come back. An agent sends it of itself to both mixers."""

    id: bytes = field(UUID)
    reason: int = field(OpenEnum(U8, KillReason))


@packet
class View(Packet):
    """What an agent sees."""

    position: Vec3 = field(_VEC3)
    direction: Vec3 = field(_VEC3, "a unit vector")
    half_angle: int = field(U16LE, "radians, packed as an angle in degrees")
    far_clip: int = field(I16LE, "a packed distance")
    radius: float = field(F32LE, "of what is seen all around")


VIEWS: Final = ListOf(Nested(View), U8, max=MAX_VIEWS)


@packet(id=PacketType.AVATAR_QUERY.value)
class AvatarQuery(Packet):
    views: tuple[View, ...] = field(VIEWS, "none: all avatars are equal")


# -- traits ------------------------------------------------------------------------------------------------------------


class TraitType(IntEnum):
    """What a trait is."""

    SKELETON_MODEL_URL = 0
    """The percent-encoded address of the model; empty: the usual one."""
    SKELETON_DATA = 1
    """The joints of the skeleton."""
    AVATAR_ENTITY = 2
    """An entity that the avatar wears; the first type of which there are several."""
    GRAB = 3
    """Something that it holds."""


@attrs.frozen(kw_only=True)
class Trait:
    """A property of an avatar that seldom changes."""

    type: int
    """A :class:`TraitType`, if it is one that is known; -128 to 127, but -1."""
    version: int | None = None
    """It grows with each change; None where the packet has one for all."""
    instance: bytes | None = None
    """Which one, 16 bytes; None for types of which there is one."""
    data: bytes | None = None
    """Its content; None: there is none any more."""


_LAST: Final = -1
_SIZED: Final = Bytes(I16LE, max=MAX_TRAIT)
_GONE: Final = b"\xff\xff"


@attrs.frozen(eq=False)
class TraitsCodec(Codec[tuple[Trait, ...]]):
    """Traits: up to the end, or with a version each, up to a type that is -1."""

    versioned: bool

    def shape(self) -> Shape:
        version = "i32le version, " if self.versioned else ""
        name = f"i8 type, {version}16 bytes if the type is over 1, i16le size (-1: deleted), bytes"
        if self.versioned:
            return Shape(f"0 to {MAX_TRAITS} times ({name}), i8 -1", 1, 1 + MAX_TRAITS * (23 + MAX_TRAIT))
        return Shape(f"up to the end, 0 to {MAX_TRAITS} times ({name})", 0, MAX_TRAITS * (19 + MAX_TRAIT), greedy=True)

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[tuple[Trait, ...], int]:
        traits: list[Trait] = []
        while self.versioned or offset < end:
            kind, at = U8.decode_from(data, offset, end)
            kind -= (kind & 0x80) << 1
            if kind == _LAST:
                if not self.versioned:
                    raise WireError(Fault.BAD_TYPE, offset)
                return tuple(traits), at
            if len(traits) == MAX_TRAITS:
                raise WireError(Fault.BAD_LENGTH, offset)
            trait, offset = self._one(kind, data, at, end)
            traits.append(trait)
        return tuple(traits), offset

    def _one(self, kind: int, data: Buffer, at: int, end: int) -> tuple[Trait, int]:
        version = instance = content = None
        if self.versioned:
            version, at = I32LE.decode_from(data, at, end)
        if kind >= TraitType.AVATAR_ENTITY:
            instance, at = UUID.decode_from(data, at, end)
        if bytes(data[at : min(at + 2, end)]) == _GONE:
            at += 2
        else:
            content, at = _SIZED.decode_from(data, at, end)
        return Trait(type=kind, version=version, instance=instance, data=content), at

    def encode(self, value: tuple[Trait, ...]) -> bytes:
        if len(value) > MAX_TRAITS:
            raise WireError(Fault.BAD_LENGTH)
        return b"".join(map(self._encoded, value)) + (b"\xff" if self.versioned else b"")

    def _encoded(self, trait: Trait) -> bytes:
        is_instanced = trait.type >= TraitType.AVATAR_ENTITY
        if (
            trait.type == _LAST
            or not -128 <= trait.type <= 127
            or (trait.version is not None) is not self.versioned
            or (trait.instance is not None) is not is_instanced
        ):
            raise WireError(Fault.BAD_VALUE)
        version = b"" if trait.version is None else I32LE.encode(trait.version)
        instance = b"" if trait.instance is None else UUID.encode(trait.instance)
        content = _GONE if trait.data is None else _SIZED.encode(trait.data)
        return bytes((trait.type & 0xFF,)) + version + instance + content


@packet(id=PacketType.SET_AVATAR_TRAITS.value)
class SetAvatarTraits(Packet):
    """What an agent tells the avatar mixer. The mixer's answer is a :class:`TraitOverride`."""

    version: int = field(I32LE, "of all traits in it: 1, 2, ...; one that does not grow is ignored")
    traits: tuple[Trait, ...] = field(TraitsCodec(versioned=False))


@packet(id=PacketType.SET_AVATAR_TRAITS.value)
class TraitOverride(Packet):
    """What :class:`SetAvatarTraits` is from the avatar mixer to an agent: the mixer does not allow the agent's model,
    and shows this one instead."""

    type: bytes = const(b"\0", "SKELETON_MODEL_URL", fault=Fault.UNSUPPORTED)
    version: int = field(I32LE, "that of the trait that it replaces")
    url: bytes = field(_SIZED, "percent-encoded")


@packet
class AvatarTraits(Packet):
    id: bytes = field(UUID, "the session UUID of its node")
    traits: tuple[Trait, ...] = field(TraitsCodec(versioned=True))


@packet(id=PacketType.BULK_AVATAR_TRAITS.value)
class BulkAvatarTraits(Packet):
    sequence: int = field(I64LE, "from 1 on: without its acknowledgement newer versions of the same never come")
    avatars: tuple[AvatarTraits, ...] = field(ToEnd(Nested(AvatarTraits), max=MAX_AVATARS))


@packet(id=PacketType.BULK_AVATAR_TRAITS_ACK.value)
class BulkAvatarTraitsAck(Packet):
    sequence: int = field(I64LE)

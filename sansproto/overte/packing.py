"""Numbers in few bytes, as avatars, gains and views have them: docs/protocols/overte.rst, packed numbers.

The reference computes with 32 bits, and so does what packs a rotation here, step by step. Nothing here takes a NaN:
ValueError.
"""

from __future__ import annotations

from math import floor, log2, sqrt
from struct import Struct
from typing import Final

from ..errors import Fault, WireError

_F32: Final = Struct("<f")
_WORDS: Final = Struct(">3H")
_HALF_ROOT: Final = _F32.unpack(_F32.pack(1 / sqrt(2)))[0]
_ROOT: Final = _F32.unpack(_F32.pack(sqrt(2)))[0]
_STEPS: Final = 32767
_FLAG: Final = 0x8000

_RATIO: Final = 3276.7
_LARGE_RATIO: Final = 32.768
_LARGEST: Final = 1000.0
_GAIN: Final = 12.0412
_UNITY: Final = 195
_DEGREES: Final = 65535 / 360

Rotation = tuple[float, float, float, float]
"""A unit quaternion: x, y, z, w."""

IDENTITY: Final[Rotation] = (0.0, 0.0, 0.0, 1.0)
"""No rotation."""


def _f32(value: float) -> float:
    found: float = _F32.unpack(_F32.pack(value))[0]
    return found


def pack_rotation(rotation: Rotation) -> bytes:
    """A unit quaternion in 6 bytes: the largest of the four is left out, and says which one it was."""
    largest = max(range(4), key=lambda index: abs(rotation[index]))
    sign = -1.0 if rotation[largest] > 0 else 1.0  # so that the one that is left out is negative when it is read
    words = [
        int(_f32(_f32(_f32(sign * rotation[index] + _HALF_ROOT) / _ROOT) * _STEPS)) & ~_FLAG
        for index in range(4)
        if index != largest
    ]
    words[0] |= (largest & 1) * _FLAG
    words[1] |= (largest >> 1) * _FLAG
    return _WORDS.pack(*words)


def unpack_rotation(packed: bytes) -> Rotation:
    """The rotation that 6 bytes are, up to 0.00003. Raises WireError for another number of bytes."""
    if len(packed) != 6:
        raise WireError(Fault.BAD_LENGTH)
    words = _WORDS.unpack(packed)
    largest = words[0] >> 15 | words[1] >> 15 << 1
    others = [_f32(_f32(_f32((word & ~_FLAG) / _STEPS) * _ROOT) - _HALF_ROOT) for word in words]
    left = 1.0
    for one in others:
        left = _f32(left - _f32(one * one))
    others.insert(largest, -_f32(sqrt(max(0.0, left))))
    return others[0], others[1], others[2], others[3]


def pack_ratio(ratio: float) -> int:
    """A scale, up to 1000, as 16 bits. Below 0.0004 nothing can be sent: 0 reads as 10."""
    return floor(_RATIO * ratio) if ratio < 10 else floor(-_LARGE_RATIO * (min(ratio, _LARGEST) - 10))


def unpack_ratio(packed: int) -> float:
    return packed / _RATIO if packed > 0 else 10 - packed / _LARGE_RATIO


def pack_gain(gain: float) -> int:
    """A factor of loudness as 8 bits: twice the decibels, and 195. 0 is silence."""
    return 0 if gain <= 0 else min(max(int(_GAIN * log2(gain) + _UNITY + 0.5), 0), 255)


def unpack_gain(packed: int) -> float:
    found: float = 2 ** ((packed - _UNITY) / _GAIN) if packed else 0.0
    return found


def pack_angle(degrees: float) -> int:
    """An angle from -180 to 180 as 16 bits. Views put radians through it all the same."""
    return floor((degrees + 180) * _DEGREES)


def unpack_angle(packed: int) -> float:
    return packed / _DEGREES - 180


def pack_clip(distance: float) -> int:
    """A distance, up to 32,767, as 16 bits."""
    return floor(distance * _RATIO) if distance < 10 else -floor(distance)


def unpack_clip(packed: int) -> float:
    return packed / _RATIO if packed > 0 else float(-packed)

"""What agents and the audio mixer say to each other: docs/protocols/overte.rst, audio.

24,000 samples a second, i16 little-endian, in frames of 10 ms: 480 bytes, or 960 of left and right in turns.
"""

from __future__ import annotations

from typing import Final

import attrs

from ..errors import Fault, WireError
from ..wire import (
    BOOL,
    F32LE,
    I32LE,
    U8,
    U16LE,
    U32LE,
    U64LE,
    Buffer,
    Codec,
    Fixed,
    ListOf,
    Nested,
    OneOf,
    Packet,
    Rest,
    Text,
    field,
    packet,
)
from ..wire.base import Shape
from .avatars import Vec3
from .header import MAX_DATAGRAM
from .qt import UUID
from .versions import PacketType

PCM: Final = "pcm"
"""The codec that always works, as does an empty name: samples as they are."""

MAX_CODECS: Final = 32
"""The most codecs that are offered at once."""

MAX_STREAMS: Final = 8
"""The most streams whose statistics fit into a datagram."""

MAX_CODEC: Final = 64
"""Bytes of the longest name of a codec."""

CODEC: Final = Text(U32LE, max=MAX_CODEC)
_VEC3: Final = Nested(Vec3)
_AUDIO: Final = Rest(MAX_DATAGRAM)


@packet
class Quaternion(Packet):
    """A rotation."""

    x: float = field(F32LE)
    y: float = field(F32LE)
    z: float = field(F32LE)
    w: float = field(F32LE)


@packet
class Placing(Packet):
    """Where one speaks and listens, and where one's body is."""

    position: Vec3 = field(_VEC3)
    orientation: Quaternion = field(Nested(Quaternion))
    corner: Vec3 = field(_VEC3, "of the body's box; a size of 0: no bubble applies")
    size: Vec3 = field(_VEC3)


@packet(id=PacketType.NEGOTIATE_AUDIO_FORMAT.value)
class NegotiateAudioFormat(Packet):
    codecs: tuple[str, ...] = field(ListOf(CODEC, U8, max=MAX_CODECS), "that the agent has, in any order")


@packet(id=PacketType.SELECTED_AUDIO_FORMAT.value)
class SelectedAudioFormat(Packet):
    codec: str = field(CODEC, "empty: raw samples")


@packet(id=PacketType.MICROPHONE_AUDIO_NO_ECHO.value)
class MicrophoneAudioNoEcho(Packet):
    """For others to hear."""

    sequence: int = field(U16LE, "grows by 1 with each packet to this mixer, of any kind of audio")
    codec: str = field(CODEC)
    is_stereo: bool = field(BOOL)
    placing: Placing = field(Nested(Placing))
    audio: bytes = field(_AUDIO, "a frame, as the codec has it")


@packet(id=PacketType.MICROPHONE_AUDIO_WITH_ECHO.value)
class MicrophoneAudioWithEcho(MicrophoneAudioNoEcho):
    """For others and oneself to hear."""


@attrs.frozen(eq=False)
class PlacingOrNone(Codec[Placing | None]):
    """A placing, as agents send it; None are the two zero bytes that the mixer sends instead."""

    def shape(self) -> Shape:
        return Shape("from agents Placing, from the mixer 2 zero bytes", 2, Placing.__wire__.max_size, greedy=True)

    def decode_from(self, data: Buffer, offset: int, end: int) -> tuple[Placing | None, int]:
        if end - offset > 2:
            return Placing.__wire__.decode_from(data, offset, end)
        if end - offset < 2:
            raise WireError(Fault.TRUNCATED, offset, need=2 - (end - offset))
        if any(data[offset:end]):
            raise WireError(Fault.BAD_VALUE, offset)
        return None, end

    def encode(self, value: Placing | None) -> bytes:
        return b"\0\0" if value is None else value.encode()


@packet(id=PacketType.SILENT_AUDIO_FRAME.value)
class SilentAudioFrame(Packet):
    """Nothing is said, or nothing is to be heard. One of it with a placing is enough to hear the others."""

    sequence: int = field(U16LE)
    codec: str = field(CODEC)
    samples: int = field(U16LE, "240; 480 if it is stereo")
    placing: Placing | None = field(PlacingOrNone())


@packet(id=PacketType.MIXED_AUDIO.value)
class MixedAudio(Packet):
    """What an agent hears: always stereo."""

    sequence: int = field(U16LE)
    codec: str = field(CODEC)
    audio: bytes = field(_AUDIO)


@packet
class NoReverb(Packet):
    pass


@packet
class Reverb(Packet):
    seconds: float = field(F32LE)
    wet_level: float = field(F32LE, "percent")


@packet(id=PacketType.AUDIO_ENVIRONMENT.value)
class AudioEnvironment(Packet):
    reverb: Reverb | NoReverb = field(OneOf[Reverb | NoReverb](U8, {0x80: Reverb, 0x00: NoReverb}))


@packet(id=PacketType.NOISY_MUTE.value)
class NoisyMute(Packet):
    """The receiver is to mute its microphone; the mixer does not make sure of it."""


@packet(id=PacketType.MUTE_ENVIRONMENT.value)
class MuteEnvironment(Packet):
    """Everybody within the radius is to mute."""

    position: Vec3 = field(_VEC3)
    radius: float = field(F32LE)


@packet(id=PacketType.PER_AVATAR_GAIN_SET.value)
class PerAvatarGainSet(Packet):
    id: bytes = field(UUID, "whom; null: all")
    gain: int = field(U8, "packed: 195 is normal, 0 silence")


@packet(id=PacketType.INJECTOR_GAIN_SET.value)
class InjectorGainSet(Packet):
    gain: int = field(U8, "of sounds, packed")


@packet
class StreamCounts(Packet):
    """Packets of a stream."""

    received: int = field(U32LE)
    unreasonable: int = field(U32LE)
    early: int = field(U32LE)
    late: int = field(U32LE)
    lost: int = field(U32LE)
    recovered: int = field(U32LE)
    expected: int = field(U32LE)


@packet
class StreamStats(Packet):
    """How a stream of audio goes. There are gaps, whose bytes mean nothing."""

    type: int = field(I32LE, "0 microphone, 1 injector, -1 what was mixed")
    id: bytes = field(Fixed(16), "of the injector, in the order of the sender's memory")
    gap_1: bytes = field(Fixed(4))
    least_gap: int = field(U64LE, "microseconds between two packets, as the next two")
    greatest_gap: int = field(U64LE)
    mean_gap: float = field(F32LE)
    gap_2: bytes = field(Fixed(4))
    least_gap_lately: int = field(U64LE, "in the last 30 seconds, as the next two")
    greatest_gap_lately: int = field(U64LE)
    mean_gap_lately: float = field(F32LE)
    available: int = field(U32LE, "frames")
    mean_available: int = field(U16LE, "frames")
    unplayed_ms: int = field(U16LE)
    desired: int = field(U16LE, "frames in the jitter buffer")
    gap_3: bytes = field(Fixed(2))
    starved: int = field(U32LE)
    not_mixed: int = field(U32LE)
    overflows: int = field(U32LE)
    dropped: int = field(U32LE, "frames")
    counts: StreamCounts = field(Nested(StreamCounts))
    counts_lately: StreamCounts = field(Nested(StreamCounts), "in the last 30 seconds")


@packet(id=PacketType.AUDIO_STREAM_STATS.value)
class AudioStreamStats(Packet):
    place: int = field(U8, "1 the first packet, 2 the last one, 3 both")
    streams: tuple[StreamStats, ...] = field(ListOf(Nested(StreamStats), U16LE, max=MAX_STREAMS))

"""Payloads of Overte's real programs as ours: :mod:`convert_vectors`.

Fields have names and forms of their own there. They are compared with what ours reads here, one by one, so that the
fields of a test are those that the real program had; a field that nobody compares is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from math import isclose
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import converting
from convert_overte_captures import SOURCE
from converting import Test

from sansproto.overte import audio, avatars
from sansproto.overte import packets as p
from sansproto.overte import payloads as pl
from sansproto.overte.header import decode_datagram
from sansproto.overte.packing import unpack_angle, unpack_clip, unpack_gain, unpack_ratio, unpack_rotation
from sansproto.overte.qt import NULL_UUID
from sansproto.testing.conformance_overte import fields_of
from sansproto.testing.record import plain
from sansproto.wire import ABSENT, Absent

KINDS: Final = {kind.__name__: kind for kind in (*pl.PAYLOADS.values(), *p.PACKETS.values())}

OF_THE_DATAGRAM: Final = {"ordered_message", "reliable", "secret", "sourceID", "version"}
FOR_PEOPLE: Final = {
    "note",
    "packet_payload_sizes",
    "packets",
    "read_back_equal",
    "sent_hex",
    "asked",
    "input",
    "length",
}
"""What is not in the bytes of a payload."""

IN_WORDS: Final = {
    "samples",
    "audio_bytes",
    "skeletonData",
    "dB",
    "decoded_farClip",
    "decoded_halfAngle",
    "packet_length",
}
"""What is told in words, or twice."""

Seen = Mapping[str, Any]


def _vector(value: avatars.Vec3) -> list[float]:
    return [value.x, value.y, value.z]


def _quaternion(value: audio.Quaternion) -> list[float]:
    return [value.x, value.y, value.z, value.w]


def _id(value: Any) -> str:
    return str(UUID(bytes=NULL_UUID if value is ABSENT else value))


def _messages_data(value: pl.MessagesData) -> Seen:
    seen = {"channel": value.channel, "isText": value.is_text, "senderID": _id(value.sender)}
    return {**seen, **({"message": value.text} if value.is_text else {"data_hex": value.data.hex()})}


def _identities(value: pl.AvatarIdentity) -> Seen:
    if len(value.avatars) > 1:
        return {}  # its records are tests of their own
    (one,) = value.avatars
    names = {"displayName": one.name, "sessionDisplayName": one.session_name}
    return {"flags": one.flags, "identitySequence": one.sequence, "sessionUUID": _id(one.id), **names}


def _state(state: avatars.AvatarState) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    flags = sum(section.flag for name, section in avatars.SECTIONS.items() if getattr(state, name) is not None)
    seen["flags"] = f"0x{flags:04x}"
    seen["consumed"] = len(avatars.AvatarStateCodec().encode(state))
    if state.position is not None:
        seen["globalPosition"] = _vector(state.position)
    if state.box is not None:
        seen |= {"boxDimensions": _vector(state.box.dimensions), "boxOffset": _vector(state.box.offset)}
    if state.orientation is not None:
        seen["orientation_xyzw"] = [*unpack_rotation(state.orientation)]
    if state.scale is not None:
        seen["scale"] = unpack_ratio(state.scale)
    if state.look_at is not None:
        seen["lookAt"] = _vector(state.look_at)
    if state.loudness is not None:
        seen["audioLoudness"] = 1024 * unpack_gain(state.loudness)
    if state.sensor is not None:
        seen["sensorRotation_xyzw"] = [*unpack_rotation(state.sensor.rotation)]
        seen["sensorScale"] = state.sensor.scale / 1024
        seen["sensorTranslation"] = _vector(state.sensor.translation)
    if state.hands is not None:
        for name, hand in (("left", state.hands.left), ("right", state.hands.right)):
            seen[f"{name}HandRotation_xyzw"] = [*unpack_rotation(hand.rotation)]
            seen[f"{name}HandTranslation"] = [hand.x / 4096, hand.y / 4096, hand.z / 4096]
    if state.joints is not None:
        seen["joints"] = _joints(state.joints, state.pose)
    return seen


def _joints(joints: avatars.Joints, pose: avatars.DefaultPose | None) -> list[Seen]:
    rotations, translations = list(_sixes(joints.rotations)), list(_sixes(joints.translations))
    found: list[Seen] = []
    for index in range(joints.count):
        byte, bit = divmod(index, 8)
        seen: dict[str, Any] = {}
        if pose is not None:
            seen = {
                "rotationIsDefault": bool(pose.turned[byte] >> bit & 1),
                "translationIsDefault": bool(pose.moved[byte] >> bit & 1),
            }
        if joints.turned[byte] >> bit & 1:
            seen["rotation_xyzw"] = [*unpack_rotation(rotations.pop(0))]
        if joints.moved[byte] >> bit & 1:
            six = translations.pop(0)
            numbers = [int.from_bytes(six[at : at + 2], "little", signed=True) for at in (0, 2, 4)]
            seen["translation"] = [number / 16384 * joints.reach for number in numbers]
        found.append(seen)
    return found


def _sixes(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), 6):
        yield data[at : at + 6]


def _avatar(value: avatars.AvatarData) -> Seen:
    seen = _state(value.state)
    return {"sequence": value.sequence, "decoded": seen, **seen}


def _avatars(value: avatars.BulkAvatarData) -> Seen:
    records = [{"sessionUUID": _id(one.id), "decoded": _state(one.state), **_state(one.state)} for one in value.avatars]
    return {"records": records}


def _trait(trait: avatars.Trait) -> Seen:
    seen: dict[str, Any] = {"type": trait.type, "version": trait.version}
    if trait.instance is not None:
        seen["instance"] = _id(trait.instance)
    if trait.data is None:
        return {**seen, "deleted": True}
    is_url = trait.type == avatars.TraitType.SKELETON_MODEL_URL
    return {**seen, "value_hex": trait.data.hex(), **({"value": trait.data.decode()} if is_url else {})}


def _own_traits(value: avatars.SetAvatarTraits) -> Seen:
    seen: dict[str, Any] = {"traitVersion": value.version}
    for trait in value.traits:
        if trait.type == avatars.TraitType.SKELETON_MODEL_URL:
            seen["skeletonModelURL"] = (trait.data or b"").decode()
        if trait.data is None and trait.instance is not None:
            seen["deletedAvatarEntity"] = _id(trait.instance)
    return seen


def _all_traits(value: avatars.BulkAvatarTraits) -> Seen:
    found = [{"avatar": _id(one.id), "traits": [*map(_trait, one.traits)]} for one in value.avatars]
    return {"sequence": value.sequence, "avatars": found}


def _views(value: avatars.AvatarQuery) -> Seen:
    return {
        "frustums": [
            {
                "position": _vector(one.position),
                "direction": _vector(one.direction),
                "halfAngle_rad": unpack_angle(one.half_angle),
                "farClip": unpack_clip(one.far_clip),
                "radius": one.radius,
            }
            for one in value.views
        ]
    }


def _placing(value: audio.Placing | None) -> Seen:
    if value is None:
        return {}
    return {
        "position": _vector(value.position),
        "orientation_xyzw": _quaternion(value.orientation),
        "boxCorner": _vector(value.corner),
        "boxScale": _vector(value.size),
    }


def _microphone(value: audio.MicrophoneAudioNoEcho) -> Seen:
    seen = {"sequence": value.sequence, "codec": value.codec, "stereo": value.is_stereo}
    return {**seen, **_placing(value.placing)}


def _silence(value: audio.SilentAudioFrame) -> Seen:
    seen = {"sequence": value.sequence, "codec": value.codec, "silentSamples": value.samples}
    return {**seen, "count_field": value.samples, **_placing(value.placing)}


def _mixed(value: audio.MixedAudio) -> Seen:
    samples = [int.from_bytes(value.audio[at : at + 2], "little", signed=True) for at in range(0, 16, 2)]
    seen = {"sequence": value.sequence, "codec": value.codec, "stereoSamples": len(value.audio) // 4}
    return {**seen, "first_left_right": samples}


def _counts(value: audio.StreamCounts) -> list[int]:
    return [getattr(value, one.name) for one in value.__wire__.fields]


def _stats(value: audio.AudioStreamStats) -> Seen:
    (one,) = value.streams
    stream = {
        "streamType": one.type,
        "timeGapMin": one.least_gap,
        "timeGapMax": one.greatest_gap,
        "timeGapAverage": one.mean_gap,
        "framesAvailable": one.available,
        "framesAvailableAverage": one.mean_available,
        "unplayedMs": one.unplayed_ms,
        "desiredJitterBufferFrames": one.desired,
        "starveCount": one.starved,
        "consecutiveNotMixed": one.not_mixed,
        "overflows": one.overflows,
        "framesDropped": one.dropped,
        "packets_received_unreasonable_early_late_lost_recovered_expected": _counts(one.counts),
        "window": _counts(one.counts_lately),
    }
    return {"count": len(value.streams), "flags": value.place, "stream": stream}


def _reverb(value: audio.AudioEnvironment) -> Seen:
    if isinstance(value.reverb, audio.NoReverb):
        return {"reverb": False}
    return {"reverb": True, "reverbTime": value.reverb.seconds, "wetLevel": value.reverb.wet_level}


def _entity_query(value: pl.EntityQuery) -> Seen:
    return {
        "connectionID": value.connection_id,
        "frustums": len(value.views),
        "maxPPS": value.packets_per_second,
        "sizeScale": value.size_scale,
        "boundaryAdjust": value.level_adjust,
        "jsonBytes": len(value.filter),
        "flags": value.flags,
    }


def _username(value: p.UsernameFromIDReply) -> Seen:
    ids = {"node": _id(value.id), "fingerprint": _id(value.fingerprint)}
    return {**ids, "username": value.username, "isAdmin": value.may_kick}


def _kick(value: p.NodeKickRequest) -> Seen:
    return {"node": _id(value.id), "banFlags": None if isinstance(value.ban_flags, Absent) else value.ban_flags}


SEEN: Final[Mapping[str, Callable[[Any], Seen]]] = {
    "MessagesData": _messages_data,
    "MessagesSubscribe": lambda value: {"channel": value.channel},
    "MessagesUnsubscribe": lambda value: {"channel": value.channel},
    "AvatarIdentity": _identities,
    "AvatarData": _avatar,
    "BulkAvatarData": _avatars,
    "SetAvatarTraits": _own_traits,
    "BulkAvatarTraits": _all_traits,
    "BulkAvatarTraitsAck": lambda value: {"sequence": value.sequence},
    "AvatarQuery": _views,
    "KillAvatar": lambda value: {"sessionUUID": _id(value.id), "reason": int(value.reason)},
    "MicrophoneAudioNoEcho": _microphone,
    "MicrophoneAudioWithEcho": _microphone,
    "SilentAudioFrame": _silence,
    "MixedAudio": _mixed,
    "AudioStreamStats": _stats,
    "AudioEnvironment": _reverb,
    "MuteEnvironment": lambda value: {"position": _vector(value.position), "radius": value.radius},
    "NoisyMute": lambda _: {},
    "NegotiateAudioFormat": lambda value: {"codecs": [*value.codecs]},
    "SelectedAudioFormat": lambda value: {"codec": value.codec},
    "PerAvatarGainSet": lambda value: {"node": _id(value.id), "byte": value.gain},
    "InjectorGainSet": lambda value: {"byte": value.gain},
    "NodeMuteRequest": lambda value: {"node": _id(value.id)},
    "NodeIgnoreRequest": lambda value: {"enabled": value.is_on, "nodes": [*map(_id, value.ids)]},
    "RadiusIgnoreRequest": lambda value: {"enabled": value.is_on},
    "RequestsDomainListData": lambda value: {"requesting": value.is_on},
    "EntityQuery": _entity_query,
    "UsernameFromIDRequest": lambda value: {"node": _id(value.id)},
    "UsernameFromIDReply": _username,
    "NodeKickRequest": _kick,
}
"""What ours reads in a packet, as the files call it."""


def _differs(told: Any, seen: Any) -> bool:
    """Is what the real program had something else? Numbers were packed: they are close."""
    if isinstance(told, Mapping) and isinstance(seen, Mapping):
        names = told.keys() - FOR_PEOPLE - OF_THE_DATAGRAM - IN_WORDS
        return any(name not in seen or _differs_in(name, told[name], seen[name]) for name in names)
    if isinstance(told, list) and isinstance(seen, (list, tuple)):
        return len(told) != len(seen) or any(map(_differs, told, seen))
    if isinstance(told, float) or isinstance(seen, float):
        return not isclose(told, seen, rel_tol=0.06, abs_tol=0.005)
    if isinstance(told, str) and told.startswith("'x' * "):
        return bool(seen != "x" * int(told.partition("* ")[2]))
    return bool(told != seen)


def _differs_in(name: str, told: Any, seen: Any) -> bool:
    """A rotation is the same with all signs changed."""
    is_turned = name.endswith("_xyzw") and not _differs(told, [-one for one in seen])
    return not is_turned and _differs(told, seen)


OTHERWISE: Final = {
    "avatar_identity_three_records",  # its records are tests of their own
    "bulk_avatar_traits_two_avatars",  # skeletons are told in words
    "mixer_bulk_traits",
    "avatar_data_grab_joints",  # as _state has no grab joints
    "bulk_avatar_data_no_data",
}


def _test(one: Mapping[str, Any]) -> tuple[str, Test]:
    kind = KINDS[one["packet"]]
    payload = bytes.fromhex(one["payload_hex"])
    value = kind.decode(payload)
    if one["name"] not in OTHERWISE and _differs(one["fields"], SEEN[one["packet"]](value)):
        raise SystemExit(f"{one['name']}: {one['fields']} is read as {SEEN[one['packet']](value)}")
    head: Test = {"tcId": 0, "comment": one["name"], "flags": [], "result": "valid"}
    what = {"packet": one["packet"], "fields": fields_of(value)}
    if "datagram_hex" in one:
        header = plain(decode_datagram(bytes.fromhex(one["datagram_hex"]))[0])
        return "datagram", {**head, "wire": one["datagram_hex"], "header": header, **what}
    return "payload", {**head, "wire": one["payload_hex"], **what}


def _documents(source: Path) -> list[Mapping[str, Any]]:
    found = json.loads(source.read_text("utf-8"))
    if not isinstance(found, list) or not all({"packet", "payload_hex", "how_made"} <= one.keys() for one in found):
        raise SystemExit(f"{source}: not a file of Overte's payloads")
    return found


def _library(how_made: str) -> tuple[str, str, str]:
    """Who made the bytes: functions of the library, its programs on the wire, or another implementation."""
    if "TypeScript SDK" in how_made and how_made.startswith("written by"):
        return "vircadia-web-sdk", "6213989", "reference-library"
    is_caught = how_made.startswith(("sent by", "datagram and payload caught"))
    return (*SOURCE, "reference-capture" if is_caught else "reference-library")


def overte_payloads(source: Path) -> dict[str, Any]:
    tests: dict[tuple[tuple[str, str, str], str], list[Test]] = {}
    for one in _documents(source):
        if one["packet"] != HELPER:
            kind, test = _test(one)
            tests.setdefault((_library(one["how_made"]), kind), []).append(test)
    groups = [converting.group("overte", kind, some, library) for (library, kind), some in tests.items()]
    return converting.file("overte", "codec", groups)


# -- packed numbers

HELPER: Final = "(helper)"


def _number(value: Any) -> Any:
    return [repr(float(one)) for one in value] if isinstance(value, list) else repr(float(value))


def _rows(one: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any, Any]]:
    """What it is packed as, the value (None: only reading is told), how it is packed, and what is read."""
    kind = HELPERS[one["name"]]
    for packed, value in enumerate(one["fields"].get("values", ())):
        yield kind, None, packed, value
    for row in one["fields"].get("rows", ()):
        given = next(row[name] for name in ("xyzw", "angle", "clip", "gain", "ratio", "value") if name in row)
        read = row["decoded_xyzw"] if "decoded_xyzw" in row else row["decoded"]
        yield kind, given, _packed(kind, row), read


def _packed(kind: str, row: Mapping[str, Any]) -> Any:
    if "byte" in row:
        return row["byte"]
    is_signed = kind in ("clip", "ratio")
    if kind == "rotation":
        return row["hex"]
    return int.from_bytes(bytes.fromhex(row["hex"]), "little", signed=is_signed)


HELPERS: Final = {
    "helper_quat_six_bytes": "rotation",
    "helper_angle_two_bytes": "angle",
    "helper_clip_two_bytes": "clip",
    "helper_ratio_two_bytes": "ratio",
    "helper_gain_byte": "gain",
    "helper_gain_unpack": "gain",
}


def overte_packed(source: Path) -> dict[str, Any]:
    tests: dict[str, list[Test]] = {"packed": [], "unpacked": []}
    for one in _documents(source):
        if one["packet"] != HELPER:
            continue
        for kind, given, packed, read in _rows(one):
            head: Test = {"tcId": 0, "comment": f"{one['name']}: {packed}", "flags": [], "result": "valid"}
            if given is not None:
                inputs = {"as": kind, "value": _number(given)}
                tests["packed"].append({**head, "inputs": inputs, "outputs": {"packed": packed}})
            inputs = {"as": kind, "packed": packed}
            tests["unpacked"].append({**head, "inputs": inputs, "outputs": {"value": _number(read)}})
    library = (*SOURCE, "reference-library")
    return converting.file("overte", "crypto", [converting.group("overte", *pair, library) for pair in tests.items()])

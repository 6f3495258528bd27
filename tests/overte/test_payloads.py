"""What nodes say to each other: layouts, what is refused, how it is sent; and bots that talk through a mixer."""

from __future__ import annotations

from struct import pack
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_overte import DOMAIN_ID, EPOCH, MIXER, SECRET, ClientPeer, record
from standing_in import MessagesMixer, live

from sansproto.errors import Fault, LocalProtocolError, NotOpen, WireError
from sansproto.overte import DEFAULT, DomainClient, DomainServer, NodeType, PacketReceived, PacketType
from sansproto.overte import packets as p
from sansproto.overte import payloads as pl
from sansproto.overte.audio import AudioEnvironment, MixedAudio, NegotiateAudioFormat, Reverb, SilentAudioFrame
from sansproto.overte.avatars import (
    MAX_TRAITS,
    SECTIONS,
    AvatarData,
    AvatarRecord,
    AvatarState,
    BulkAvatarData,
    BulkAvatarTraits,
    BulkAvatarTraitsAck,
    GrabJoint,
    GrabJoints,
    Joints,
    KillAvatar,
    SetAvatarTraits,
    Trait,
    TraitOverride,
    TraitsCodec,
    Vec3,
)
from sansproto.overte.header import Header, encode_datagram
from sansproto.overte.packing import pack_gain, pack_ratio, unpack_ratio, unpack_rotation
from sansproto.overte.payloads import (
    AvatarIdentity,
    AvatarIdentityBefore55,
    Delivery,
    EntityQuery,
    Identity,
    MessagesData,
    MessagesSubscribe,
    MessagesUnsubscribe,
    NodeIgnoreRequest,
    RadiusIgnoreRequest,
    delivery_of,
    next_identity,
)
from sansproto.overte.remote import SOCKET
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, VirtualNetwork
from sansproto.testing.strategies import packets

M = record().id
ID, OTHER = bytes(range(16)), bytes(range(16, 32))
K = PacketType


def activated(**arguments: Any) -> ClientPeer:
    """A client that knows how to reach a mixer."""
    peer = ClientPeer.live(connected=False, **arguments)
    peer.come_in(record())
    pings = [packet for _, packet, path in peer.sent(p.Ping) if path == MIXER]
    reply = p.PingReply(p.PingType.PUBLIC, pings[0].clock, pings[0].clock)
    peer.say(reply, MIXER, source=record().local_id, secret=SECRET)
    peer.take()
    peer.sent()
    return peer


# -- layouts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        AvatarData,
        pytest.param(BulkAvatarData, marks=pytest.mark.unmeasured),  # many of the first
        SetAvatarTraits,
        BulkAvatarTraits,
        SilentAudioFrame,
    ],
)
@given(st.data())
def test_what_has_a_codec_of_its_own_comes_back_as_it_was(kind: Any, data: st.DataObject) -> None:
    value = data.draw(packets(kind))
    wire = value.encode()
    assert kind.decode(wire) == value
    tree = kind.dissect(wire)
    assert (tree.value, tree.raw, tree.fault) == (value, wire, None)
    for size in range(0, len(wire), max(len(wire) // 7, 1)):
        assert kind.dissect(wire[:size]).raw == wire[:size]


def test_the_sections_of_an_avatar_are_its_attributes_in_order() -> None:
    assert [*SECTIONS] == [one.name for one in attrs.fields(AvatarState)]
    flags = [section.flag for section in SECTIONS.values()]
    assert sum(flags) == 0x7FFF
    assert [*flags[:13], flags[14], flags[13]] == sorted(flags)  # the last two stand the other way round


def test_the_smallest_bot_is_seen_with_22_bytes() -> None:
    data = AvatarData(1, AvatarState.at(0, 0, 0, (0, 0, 0, 1)))
    assert data.encode().hex() == "01000500" + "00" * 12 + "bfffbfff3fff"
    assert AvatarState.at(1, 2, 3).orientation is None
    assert AvatarState.at(1, 2, 3).rotation is None


def test_position_and_orientation_go_both_ways() -> None:
    half = 0.5**0.5
    said = AvatarData(7, AvatarState.at(1.5, -2, 1000, (0, half, 0, half), scale=pack_ratio(2), additional=0x10))
    heard = AvatarData.decode(said.encode()).state
    assert heard.place == Vec3(1.5, -2, 1000)
    assert heard.rotation == pytest.approx((0, -half, 0, -half), abs=1e-4)  # the same rotation
    assert unpack_ratio(heard.scale or 0) == pytest.approx(2, abs=1e-3)
    assert BulkAvatarData.decode(BulkAvatarData((AvatarRecord(ID, heard),)).encode()).avatars[0].state == heard


def test_a_place_that_is_no_place_hides_nobody_else() -> None:
    """The mixer does not look at positions: one avatar that lies must not cost the others."""
    nowhere = AvatarRecord(ID, AvatarState(position=Vec3(float("nan"), 0, float("inf"))))
    somewhere = AvatarRecord(OTHER, AvatarState.at(1, 2, 3))
    found = BulkAvatarData.decode(BulkAvatarData((nowhere, somewhere)).encode())
    assert [one.state.place for one in found.avatars] == [None, Vec3(1, 2, 3)]
    assert AvatarState().place is None


def test_grab_joints_stand_only_behind_joints() -> None:
    hand = GrabJoint(Vec3(0, 0, 0), 1, 0, 0, 0)
    grab = GrabJoints(hand, hand, hand)
    with pytest.raises(WireError) as error:
        AvatarData(1, AvatarState(grab=grab)).encode()
    assert (error.value.fault, error.value.field) == (Fault.BAD_VALUE, "state.grab")
    assert AvatarData.decode(bytes.fromhex("01000040")).state == AvatarState()
    joints = Joints(count=9, turned=b"\1\1", rotations=bytes(12), moved=b"\0\0", reach=0.0, translations=b"")
    both = AvatarData(1, AvatarState(joints=joints, grab=grab))
    assert AvatarData.decode(both.encode()) == both


def test_identities_have_no_attachments_since_55() -> None:
    identity = AvatarIdentity((Identity(ID, 1, "bot", "", 2),))
    assert pl.encode(identity, DEFAULT) == identity.encode()
    older = DEFAULT.evolve({K.AVATAR_IDENTITY: 54})
    wire = pl.encode(identity, older)
    assert wire == identity.encode()[:20] + bytes(4) + identity.encode()[20:]
    assert pl.decode(K.AVATAR_IDENTITY, wire, older) == (identity, len(wire))
    assert pl.decode(K.AVATAR_IDENTITY, identity.encode(), DEFAULT) == (identity, len(identity.encode()))
    with pytest.raises(WireError) as error:
        pl.decode(K.AVATAR_IDENTITY, wire[:23] + b"\1" + wire[24:], older)
    assert error.value.fault is Fault.UNSUPPORTED
    assert pl.decode(K.AVATAR_DATA, AvatarData(1, AvatarState()).encode(), older)[0] == AvatarData(1, AvatarState())


def test_the_sequence_of_an_identity_is_newer_than_all_that_the_mixer_told() -> None:
    assert next_identity(1) == 2
    assert next_identity(1, 2, 1) == 3
    assert next_identity(7, 0x07FFFFFF) == 8  # which is older: they go round
    assert next_identity(0x07FFFFFF) == 0


def test_texts_and_other_messages() -> None:
    said = MessagesData.of_text("chat", "Grüße", ID)
    assert (said.is_text, said.text, MessagesData.decode(said.encode())) == (True, "Grüße", said)
    assert MessagesData("chat", True, b"\xff!", ID).text == "\ufffd!"
    assert MessagesSubscribe("Kanal").encode() == b"Kanal"


def test_a_datagram_of_a_mixer_dissects_down_to_the_place_of_an_avatar() -> None:
    payload = BulkAvatarData((AvatarRecord(ID, AvatarState.at(1, 2, 3)),)).encode()
    header = Header(K.BULK_AVATAR_DATA, 1, 55, 900, bytes(16))
    tree = pl.DATAGRAM.dissect(encode_datagram(header, payload))
    assert [node.name for node in tree.walk() if not node.children][-4:] == ["flags", "x", "y", "z"]
    broken = pl.DATAGRAM.dissect(encode_datagram(header, payload[:-5]))
    assert {node.fault for node in broken.walk() if node.name == "y"} == {Fault.TRUNCATED}
    unused = pl.DATAGRAM.dissect(encode_datagram(header, ID + b"\0\x80"))
    assert unused.fault is Fault.BAD_VALUE


# -- what is refused ---------------------------------------------------------------------------------------------------

NO_JOINTS = Joints(count=0, turned=b"", rotations=b"", moved=b"", reach=0.0, translations=b"")
LYING = pack("<I", 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("type", "payload", "fault"),
    [
        (K.MESSAGES_DATA, b"\xff\xffchat", Fault.TRUNCATED),
        (K.MESSAGES_DATA, b"\4\0chat\1" + LYING, Fault.BAD_LENGTH),
        (K.MESSAGES_DATA, b"\4\0chat\1" + pack("<I", 1000) + bytes(99), Fault.TRUNCATED),
        (K.MESSAGES_DATA, b"\1\0\xff\1" + bytes(20), Fault.BAD_ENCODING),
        (K.MESSAGES_DATA, b"\0\0\2" + bytes(20), Fault.BAD_VALUE),
        (K.MESSAGES_SUBSCRIBE, b"\xff", Fault.BAD_ENCODING),
        (K.MESSAGES_SUBSCRIBE, bytes(70_000), Fault.BAD_LENGTH),
        (K.AVATAR_IDENTITY, ID + bytes(4) + pack(">I", 0xFFFFFFFE), Fault.BAD_LENGTH),
        (K.AVATAR_IDENTITY, ID + bytes(4) + pack(">I", 3) + bytes(9), Fault.BAD_ENCODING),
        (K.AVATAR_DATA, b"\1\0\0\x80", Fault.BAD_VALUE),
        (K.AVATAR_DATA, b"\1\0\1\0" + bytes(11), Fault.TRUNCATED),
        (K.AVATAR_DATA, b"\1\0\0\x10\xff" + b"\xff" * 32, Fault.TRUNCATED),
        (K.AVATAR_DATA, b"\1\0\0\x20\xff" + bytes(63), Fault.TRUNCATED),
        (K.AVATAR_DATA, b"\1\0\0\x08" + bytes(16) + b"\xff", Fault.TRUNCATED),
        (K.BULK_AVATAR_DATA, ID, Fault.TRUNCATED),
        (K.BULK_AVATAR_DATA, (ID + b"\0\0") * 78, Fault.BAD_LENGTH),
        (K.SET_AVATAR_TRAITS, bytes(4) + b"\0\xfe\xff", Fault.BAD_LENGTH),
        (K.SET_AVATAR_TRAITS, bytes(4) + b"\0\xff\x7f", Fault.TRUNCATED),
        (K.SET_AVATAR_TRAITS, bytes(4) + b"\xff", Fault.BAD_TYPE),
        (K.SET_AVATAR_TRAITS, bytes(4) + b"\0\0\0" * 257, Fault.BAD_LENGTH),
        (K.SET_AVATAR_TRAITS, bytes(4) + b"\2" + ID[:9], Fault.TRUNCATED),
        (K.BULK_AVATAR_TRAITS, bytes(8) + ID, Fault.TRUNCATED),
        (K.BULK_AVATAR_TRAITS, bytes(8) + ID + b"\0" * 7 * 257, Fault.BAD_LENGTH),
        (K.AVATAR_QUERY, b"\xff", Fault.BAD_LENGTH),
        (K.AVATAR_QUERY, b"\1" + bytes(31), Fault.TRUNCATED),
        (K.NEGOTIATE_AUDIO_FORMAT, b"\xff", Fault.BAD_LENGTH),
        (K.NEGOTIATE_AUDIO_FORMAT, b"\2\3\0\0\0pcm", Fault.TRUNCATED),
        (K.SELECTED_AUDIO_FORMAT, LYING, Fault.BAD_LENGTH),
        (K.MIXED_AUDIO, bytes(6 + 1393), Fault.BAD_LENGTH),
        (K.SILENT_AUDIO_FRAME, bytes(8), Fault.TRUNCATED),
        (K.SILENT_AUDIO_FRAME, bytes(9), Fault.TRUNCATED),
        (K.SILENT_AUDIO_FRAME, bytes(8) + b"\0\1", Fault.BAD_VALUE),
        (K.SILENT_AUDIO_FRAME, bytes(20), Fault.TRUNCATED),
        (K.AUDIO_ENVIRONMENT, b"\x7f", Fault.BAD_TYPE),
        (K.AUDIO_STREAM_STATS, b"\3\xff\xff", Fault.BAD_LENGTH),
        (K.NODE_IGNORE_REQUEST, b"\1" + bytes(17), Fault.TRUNCATED),
        (K.ENTITY_QUERY, b"\0\0\0" + bytes(12) + b"\xff\xff", Fault.TRUNCATED),
        (K.KILL_AVATAR, ID, Fault.TRUNCATED),
    ],
    ids=lambda value: value.name if isinstance(value, (PacketType, Fault)) else str(len(value)),
)
def test_sizes_and_counts_that_lie_are_typed_errors(type: PacketType, payload: bytes, fault: Fault) -> None:
    with pytest.raises(WireError) as error:
        pl.decode(type, payload, DEFAULT)
    assert error.value.fault is fault
    peer = activated(node_type=p.NodeType.AVATAR_MIXER) if type is K.SET_AVATAR_TRAITS else activated()
    assert peer.read(PacketReceived(M, type, payload=payload)) is None
    assert peer.stats.noted["malformed payload"] == 1


@pytest.mark.parametrize(
    ("packet", "fault"),
    [
        (AvatarData(0, AvatarState(orientation=b"short")), Fault.BAD_LENGTH),
        (
            AvatarData(
                0, AvatarState(joints=Joints(count=8, turned=b"", rotations=b"", moved=b"", reach=0, translations=b""))
            ),
            Fault.BAD_LENGTH,
        ),
        (AvatarData.decode(b"\0\0\0\x20\0"), None),
        (SetAvatarTraits(1, (Trait(type=0, data=b""),) * (MAX_TRAITS + 1)), Fault.BAD_LENGTH),
        (SetAvatarTraits(1, (Trait(type=-1, data=b""),)), Fault.BAD_VALUE),
        (SetAvatarTraits(1, (Trait(type=128, instance=ID, data=b""),)), Fault.BAD_VALUE),
        (SetAvatarTraits(1, (Trait(type=2, data=b""),)), Fault.BAD_VALUE),
        (SetAvatarTraits(1, (Trait(type=0, version=1, data=b""),)), Fault.BAD_VALUE),
        (SetAvatarTraits(1, (Trait(type=0, data=bytes(32_768)),)), Fault.BAD_LENGTH),
    ],
)
def test_values_that_cannot_be_sent(packet: Any, fault: Fault | None) -> None:
    if fault is None:
        pose = attrs.evolve(packet.state.pose, turned=b"\0")
        packet, fault = AvatarData(0, AvatarState(pose=pose)), Fault.BAD_LENGTH
    with pytest.raises(WireError) as error:
        packet.encode()
    assert error.value.fault is fault


def test_rotations_have_six_bytes_and_gains_an_end() -> None:
    with pytest.raises(WireError):
        unpack_rotation(b"12345")
    assert (pack_gain(0.0), pack_gain(1e9), pack_gain(1.0)) == (0, 255, 195)
    assert pack_ratio(1e9) == pack_ratio(1000)
    assert unpack_ratio(pack_ratio(500)) == pytest.approx(500, rel=1e-3)


def test_traits_with_versions_end_with_a_type() -> None:
    codec = TraitsCodec(versioned=True)
    traits = (Trait(type=0, version=3, data=b"url"), Trait(type=3, version=4, instance=ID, data=None))
    assert codec.decode(codec.encode(traits)) == traits
    assert codec.encode(()) == b"\xff"


def test_a_mixer_answers_traits_with_another_model_in_a_format_of_its_own() -> None:
    """Both packets have one type. Who receives it knows which one it is: agents get the mixer's."""
    url = b"https://example.org/allowed.fst"
    override = TraitOverride(3, url)
    wire = override.encode()
    assert wire == b"\0" + pack("<ih", 3, len(url)) + url
    asked = SetAvatarTraits(1, (Trait(type=0, data=url),))
    agent, mixer = activated(), activated(node_type=p.NodeType.AVATAR_MIXER)
    assert agent.read(PacketReceived(M, K.SET_AVATAR_TRAITS, payload=wire)) == override
    assert mixer.read(PacketReceived(M, K.SET_AVATAR_TRAITS, payload=asked.encode())) == asked
    for bad in (b"\1" + wire[1:], wire[:-1], b"\0" + pack("<ih", 3, -1)):
        assert agent.read(PacketReceived(M, K.SET_AVATAR_TRAITS, payload=bad)) is None
    assert agent.stats.noted["malformed payload"] == 3


# -- how they are sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "how"),
    [
        (MessagesSubscribe("chat"), Delivery.MESSAGE),
        (MessagesUnsubscribe("chat"), Delivery.MESSAGE),
        (MessagesData.of_text("chat", "hi", ID), Delivery.MESSAGE),
        (AvatarIdentity((Identity(ID, 1, "bot", "", 2),)), Delivery.MESSAGE),
        (SetAvatarTraits(1, ()), Delivery.MESSAGE),
        (TraitOverride(1, b""), Delivery.MESSAGE),
        (AvatarData(1, AvatarState()), Delivery.ONCE),
        (NegotiateAudioFormat(("pcm",)), Delivery.ONCE),
        (EntityQuery(1, (), 600, 1.0, 0, b"", 0), Delivery.ONCE),
        (KillAvatar(ID, 0), Delivery.RELIABLE),
        (RadiusIgnoreRequest(True), Delivery.RELIABLE),
        (BulkAvatarTraitsAck(1), Delivery.RELIABLE),
        (NodeIgnoreRequest(True, (ID,)), Delivery.RELIABLE),
        (NodeIgnoreRequest(True, (ID, OTHER)), Delivery.MESSAGE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_payload_goes_as_the_reference_sends_it(packet: Any, how: Delivery) -> None:
    assert delivery_of(packet) is how
    peer = activated()
    assert peer.send(M, packet, peer.now)
    if how is not Delivery.ONCE:
        peer.shake(MIXER)
    ((header, payload, path),) = peer.sent()
    assert (header.type, payload, path) == (pl.TYPES[type(packet)], packet.encode(), MIXER)
    assert header.reliable is (how is not Delivery.ONCE)
    assert (header.part is not None) is (how is Delivery.MESSAGE)


def test_a_payload_is_laid_out_as_in_our_table_of_versions() -> None:
    older = DEFAULT.evolve({K.AVATAR_IDENTITY: 54})
    peer = activated(versions=older)
    identity = AvatarIdentity((Identity(ID, 1, "bot", "", 2),))
    assert peer.send(M, identity, peer.now)
    peer.shake(MIXER)
    ((header, payload, _),) = peer.sent()
    assert (header.version, AvatarIdentityBefore55.decode(payload).avatars[0].name) == (54, "bot")
    assert peer.read(PacketReceived(M, K.AVATAR_IDENTITY, payload=payload)) == identity


def test_what_cannot_be_sent_is_said() -> None:
    peer = activated()
    assert not peer.send(OTHER, KillAvatar(ID, 0), peer.now)
    assert peer.stats.refused["node not reached"] == 1
    with pytest.raises(WireError):
        peer.send(M, KillAvatar(b"short", 0), peer.now)
    with pytest.raises(LocalProtocolError):
        peer.send(M, MixedAudio(1, "pcm", bytes(1390)), peer.now)
    with pytest.raises(NotOpen):
        ClientPeer.live(connected=False).send(M, KillAvatar(ID, 0), 0.0)


def test_what_is_read_of_an_event() -> None:
    peer = activated()
    reverb = AudioEnvironment(Reverb(1.5, 50.0))
    peer.say((K.AUDIO_ENVIRONMENT, reverb.encode() + b"!"), MIXER, source=record().local_id, secret=SECRET)
    (event,) = peer.take()
    assert peer.read(event) == reverb
    assert peer.stats.noted == {"trailing bytes": 1}
    assert peer.read(PacketReceived(M, K.ENTITY_DATA, payload=b"?")) is None
    assert "malformed payload" not in peer.stats.noted


# -- with a mixer ------------------------------------------------------------------------------------------------------


def test_two_bots_chat_through_a_messages_mixer() -> None:
    net = VirtualNetwork(seed=3, default=Conditions(latency=0.02, jitter=0.01, loss=0.1))
    server = DomainServer(entropy=ScriptedEntropy(seed=b"d"), wall_epoch=EPOCH, domain_id=DOMAIN_ID)
    net.host("10.0.0.1").run(server, sockets={SOCKET: 40102})
    server.assign(b"m" * 16, NodeType.MESSAGES_MIXER, 0.0)

    def arrive(host: str, **options: Any) -> Any:
        entropy = ScriptedEntropy(seed=host.encode())
        node = net.host(host).run(
            DomainClient(host="10.0.0.1", entropy=entropy, wall_epoch=EPOCH, **options), sockets={SOCKET: 0}
        )
        node.call(node.endpoint.connect)
        return node

    mixer_node = arrive("10.0.0.2", node_type=NodeType.MESSAGES_MIXER, interest=b"I", assignment=b"m" * 16)
    mixer = MessagesMixer(mixer_node)
    ada, ben = arrive("10.0.0.3", interest=b"m"), arrive("10.0.0.4", interest=b"m")
    live(net, mixer, 10.0)
    mixer_id = mixer_node.endpoint.session_id

    def say(node: Any, packet: Any) -> None:
        assert node.call(lambda now: node.endpoint.send(mixer_id, packet, now))

    def heard(node: Any) -> list[Any]:
        found = [node.endpoint.read(event) for event in node.events if isinstance(event, PacketReceived)]
        return [(one.channel, one.text, one.sender) for one in found if isinstance(one, MessagesData)]

    say(ben, MessagesSubscribe("chat"))
    live(net, mixer, 3.0)
    me = ada.endpoint.session_id
    long = "x" * 3000
    for text in ("hello", "Grüße, 世界", long):
        say(ada, MessagesData.of_text("chat", text, me))
    say(ada, MessagesData.of_text("Chat", "case counts", me))
    live(net, mixer, 5.0)
    assert sorted(heard(ben)) == sorted([("chat", "hello", me), ("chat", "Grüße, 世界", me), ("chat", long, me)])
    assert heard(ada) == []  # who is not subscribed hears nothing, not even oneself
    say(ada, MessagesSubscribe("chat"))
    live(net, mixer, 3.0)
    say(ben, MessagesData.of_text("chat", "hi", ben.endpoint.session_id))
    live(net, mixer, 3.0)
    assert heard(ada) == [("chat", "hi", ben.endpoint.session_id)]
    say(ben, MessagesUnsubscribe("chat"))
    live(net, mixer, 3.0)
    before = len(heard(ben))
    say(ada, MessagesData.of_text("chat", "anybody?", me))
    live(net, mixer, 3.0)
    assert len(heard(ben)) == before
    assert heard(ada)[-1] == ("chat", "anybody?", me)
    ben.call(ben.endpoint.close)
    live(net, mixer, 1.0)
    assert all(ben.endpoint.session_id not in some for some in mixer.channels.values())

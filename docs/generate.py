"""Write what the docs and vectors take from the code: byte tables, layouts, state tables, diagrams, times and limits.

Run it after a change of packets, tables or limits (``make docs`` does); ``tests/test_docs.py`` compares. The parts are
files of ``docs/protocols/generated``, which the protocol pages include.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from sansproto import proxies
from sansproto.bob import PeerDelays, PeerLimits, RelayDelays, RelayLimits
from sansproto.bob import packets as bob
from sansproto.egtp import (
    MailboxClientDelays,
    MailboxClientLimits,
    MailboxServerDelays,
    MailboxServerLimits,
    NodeDelays,
    NodeLimits,
)
from sansproto.egtp import packets as egtp
from sansproto.events import Closed
from sansproto.freenet import FreenetDelays, FreenetLimits
from sansproto.freenet import packets as freenet
from sansproto.overte import (
    VERSIONS,
    ClientDelays,
    ClientLimits,
    IceDelays,
    IceLimits,
    PacketType,
    ServerDelays,
    ServerLimits,
    audio,
    avatars,
)
from sansproto.overte import header as overte_header
from sansproto.overte import packets as overte
from sansproto.overte import payloads as overte_payloads
from sansproto.overte import stun as overte_stun
from sansproto.recovery import DIRECT, RELAY, RecoveryDelays, RecoveryEvent, RecoveryLimits
from sansproto.recovery.limits import DELAY_RULES, LIMIT_RULES
from sansproto.session import Answers, Session
from sansproto.testing._internal import layouts, reasons
from sansproto.testing._internal import verbs as verbs_of
from sansproto.testing._internal.charts import document, guards_rst, list_table, mermaid, rst_table
from sansproto.testing._internal.protocols import protocols, sessions_of, tables_of
from sansproto.testing.vectors import dumps
from sansproto.tox import NodeDelays as ToxNodeDelays
from sansproto.tox import NodeLimits as ToxNodeLimits
from sansproto.tox import RelayClientDelays, RelayClientLimits, RelayServerDelays, RelayServerLimits
from sansproto.tox import packets as tox
from sansproto.wire import Packet, layout_rst

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ROOT / "docs" / "protocols" / "generated"
ADVICE = ROOT / "docs" / "protocols" / "advice"
MACHINES = ROOT / "vectors" / "machines"
LAYOUTS = ROOT / "vectors" / "layouts"


TABLES: dict[str, tuple[Any, ...]] = {page: tables_of(page) for page in (*protocols(), "links")}
"""The tables of each protocol page, of those that have any."""


def machine(table: Any) -> str:
    """A state diagram (in the language of Mermaid), the rows and the guards."""
    diagram = "".join(f"   {line}\n" for line in mermaid(table).splitlines())
    idle = "".join(f"- {state.name}: {ends}\n" for state, ends in table.idle.items())
    parts = [
        f"The states of {table.name}, in the language of Mermaid::\n\n{diagram}",
        rst_table(table),
        *([text] if (text := guards_rst(table)) else []),
        f"States without a timer, and what ends them:\n\n{idle}",
    ]
    return "\n".join(parts)


def packets(kinds: Mapping[int, type[Packet]], digits: str) -> str:
    """All packets, by their number, which is written in this format."""
    parts = []
    for number, kind in sorted(kinds.items()):
        if kind.__wire__.fields:
            parts.append(layout_rst(kind).replace(f":: {kind.__name__}", f":: {number:{digits}} {kind.__name__}", 1))
        else:
            parts.append(f"{number:{digits}} {kind.__name__}: no payload\n")
    return "\n".join(parts).replace("|", "\\|")  # else it would begin a substitution


def payloads(*kinds: type[Packet]) -> str:
    """Packets one by one, those that have a type with its number."""
    layouts = (
        layout_rst(kind) if (number := kind.__wire__.id) is None else packets({number: kind}, "d") for kind in kinds
    )
    return "\n".join(layouts)


def avatar_sections() -> str:
    """The sections of an avatar, with what the docstrings below them say."""
    source = inspect.getsource(avatars.AvatarState)
    meanings = dict(re.findall(r'^    (\w+): .* = None\n    """([^"]*)"""$', source, re.M))
    rows = []
    for name, section in avatars.SECTIONS.items():
        shape = section.codec.shape()
        size = str(shape.min_size) if shape.min_size == shape.max_size else f"{shape.min_size}..{shape.max_size}"
        rows.append((f"{section.flag:04x}", size, f"``{name}``", shape.type_name, " ".join(meanings[name].split())))
    return list_table(("flag", "size", "section", "type", "meaning"), rows)


def deliveries() -> str:
    """How each payload is sent."""
    rows = [
        (str(number), kind.__name__, PacketType[overte_payloads.TYPES[kind].name].form.name, DELIVERED[delivery])
        for number, kind in sorted(overte_payloads.PAYLOADS.items())
        for delivery in [overte_payloads.delivery_of(object.__new__(kind)) if kind is not LISTED else None]
    ]
    return list_table(("number", "packet", "header", "how it is sent"), rows)


LISTED = overte_payloads.NodeIgnoreRequest
DELIVERED = {
    overte_payloads.Delivery.ONCE: "once",
    overte_payloads.Delivery.RELIABLE: "reliably",
    overte_payloads.Delivery.MESSAGE: "as a message",
    None: "one id: reliably; else as a message",
}


def one_of(codec: Any) -> str:
    """The packets of a union, by the number that stands before each of them."""
    return packets(codec.packets, "02x")


def types() -> str:
    """The types of Overte, with the versions in each table and the form of the header."""
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - number", "     - type"]
    lines += [*(f"     - {name}" for name in VERSIONS), "     - header"]
    for kind in PacketType:
        lines += [f"   * - {kind.value}", f"     - {kind.name}"]
        lines += [*(f"     - {table[kind]}" for table in VERSIONS.values()), f"     - {kind.form.name}"]
    return "\n".join(lines) + "\n"


def signatures() -> str:
    return "::\n\n" + "".join(f"    {table.signature.hex()}  {name}\n" for name, table in VERSIONS.items())


def headers() -> str:
    """Datagrams as they are on the wire: a settings packet with the payload 01020304 in every form, and others."""
    position, part = overte_header.Position, overte_header.Part
    settings_type, number = PacketType.DOMAIN_SETTINGS, 0x1234567

    def settings_packet(number: int = number, *, level: int = 0, part: overte_header.Part | None = None) -> bytes:
        reliable = level > 0 or part is not None
        head = overte_header.Header(settings_type, number, 18, reliable=reliable, part=part, obfuscation=level)
        return overte_header.encode_datagram(head, bytes.fromhex("01020304"))

    ping = overte.Ping(overte.PingType.LOCAL, 0x64323D2412A24, 0)
    sourced = overte_header.Header(PacketType.DOMAIN_DISCONNECT_REQUEST, 8, 22, 50900)
    verified = overte_header.Header(PacketType.PING, 9, 18, 50900, overte_header.NO_MAC)
    acknowledgement = overte_header.Control(overte_header.ControlType.ACK, number)
    shown = {
        "type 48, version 18, number 0x1234567": settings_packet(),
        "first part (0) of message 42, reliable": settings_packet(part=part(position.FIRST, 42, 0)),
        "middle part (1), next number": settings_packet(number + 1, part=part(position.MIDDLE, 42, 1)),
        "last part (2)": settings_packet(number + 2, part=part(position.LAST, 42, 2)),
        "reliable, at obfuscation level 1": settings_packet(level=1),
        "sourced: disconnect request of local id 50900": overte_header.encode_datagram(sourced),
        "verified: ping of 50900, without a key": overte_header.encode_datagram(verified, ping.encode()),
        "control: ACK of 0x1234567": overte_header.encode_datagram(acknowledgement),
    }
    return "::\n\n" + "".join(f"    # {what}\n    {data.hex(' ', -4)}\n" for what, data in shown.items())


def settings(*kinds: type) -> str:
    """The fields of delays or limits with their defaults, and the docstrings below them."""
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - name", "     - default", "     - meaning"]
    for kind in kinds:
        seen: dict[str, str] = {}
        for owner in reversed(kind.__mro__[:-1]):
            source = inspect.getsource(owner)
            found = re.findall(r'^    (\w+): (?:float|int) = .*\n    """([^"]*)"""$', source, re.M)
            seen.update((name, " ".join(meaning.split())) for name, meaning in found)
        for name, meaning in seen.items():
            default = figure(name, getattr(kind(), name))
            lines += [f"   * - ``{name}``", f"     - {default}", f"     - {meaning}".rstrip()]
    return "\n".join(lines) + "\n"


def figure(name: str, value: float) -> str:
    """A default with its unit: a number of things, a rate, or seconds."""
    if not isinstance(value, float):
        return f"{value:,}"
    return f"{value:,.12g} a second" if name.endswith("_rate") else f"{value:,.12g} s"


def answers(most: Answers) -> str:
    """What a session declares that it answers to strangers."""
    if not most.per_datagram:
        return "none"
    longer = f"at most {most.grows} bytes longer than" if most.grows else "none longer than"
    budget = f", while ``{most.budget}`` lasts" if most.budget else ""
    return f"at most {most.per_datagram} of at most {most.bytes} bytes, {longer} what it answers{budget}"


def profiles() -> str:
    """The times of both profiles of recovery."""
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - name",
        "     - direct",
        "     - relay",
        "     - meaning",
    ]
    found = re.findall(r'^    (\w+): (?:float|int) = .*\n    """([^"]*)"""$', inspect.getsource(RecoveryDelays), re.M)
    for name, meaning in found:
        lines.append(f"   * - ``{name}``")
        lines += [f"     - {figure(name, getattr(profile, name))}" for profile in (DIRECT, RELAY)]
        lines.append(f"     - {' '.join(meaning.split())}")
    return "\n".join(lines) + "\n"


def rules(of: Mapping[str, object]) -> str:
    return "".join(f"- {rule}\n" for rule in of)


def first_paragraph(of: type) -> str:
    """What a docstring begins with, with links for its roles of Sphinx."""
    return " ".join((inspect.getdoc(of) or "").partition("\n\n")[0].split())


def link(to: type) -> str:
    """A class, with a link to its place in the reference."""
    package = ".".join(to.__module__.split(".")[:2])
    return f":class:`~{package}.{to.__name__}`"


def roles(sessions: Sequence[type[Session[Any]]]) -> str:
    """The machines of a protocol, with what their docstrings say, and their verbs and queries."""
    parts = [list_table(("role", "what it does"), [(link(role), first_paragraph(role)) for role in sessions])]
    for role in sessions:
        verbs, queries = verbs_of.said_of(role)
        kinds = "verbs and queries" if queries else "verbs"
        parts.append(f"The {kinds} of {link(role)}; ``call`` of an adapter adds ``now``:\n")
        parts.append(list_table(("call", "what it does"), [member(role, name) for name in (*verbs, *queries)]))
    return "\n".join(parts)


def member(of: type, name: str) -> tuple[str, str]:
    """How a verb or query is written, and what it does."""
    text = re.sub(r":\w+:`~?[.\w]*?(\w+)`", r"``\1``", first_paragraph(getattr(of, name)))
    return f"``{verbs_of.call_of(of, name)}``", text


def events_of(session: type[Session[Any]]) -> tuple[type, ...]:
    """The events that a session declares, ``Closed`` among them."""
    bases = (base for kind in session.__mro__ for base in vars(kind).get("__orig_bases__", ()))
    for argument in (argument for base in bases for argument in get_args(base)):
        found = tuple(get_origin(event) or event for event in get_args(argument))
        if Closed in found:
            return found
    raise LookupError(f"{session.__name__} declares no events")


def events(of: Iterable[type]) -> str:
    """Events, with what their docstrings say."""
    return list_table(("event", "meaning"), [(link(event), first_paragraph(event)) for event in of])


def events_by_role(sessions: Iterable[type[Session[Any]]]) -> str:
    """The events of each role; roles that have the same ones share a table."""
    by_events: dict[tuple[type, ...], list[str]] = {}
    for session in sessions:
        by_events.setdefault(events_of(session), []).append(link(session))
    return "\n".join(f"Of {' and '.join(names)}:\n\n{events(found)}" for found, names in by_events.items())


def strangers(sessions: Iterable[type[Session[Any]]]) -> str:
    """How sessions answer who is not authenticated; nothing if none of them answers."""
    found = [(session.__name__, session.strangers) for session in sessions]
    if not any(most.per_datagram for _, most in found):
        return ""
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - session",
        "     - answers to a datagram of a stranger",
    ]
    for name, most in found:
        lines += [f"   * - ``{name}``", f"     - {answers(most)}"]
    return "\n".join(lines) + "\n"


TOX_BODIES: tuple[type[Packet], ...] = (
    tox.CookieRequestBody,
    tox.CookieResponseBody,
    tox.Cookie,
    tox.CookieBody,
    tox.HandshakeBody,
    tox.DataBody,
    tox.DhtPingBody,
    tox.DhtPongBody,
)
SECTION_PACKETS: tuple[type[Packet], ...] = (
    avatars.Vec3,
    avatars.BoundingBox,
    avatars.SensorToWorld,
    avatars.Parent,
    avatars.Hand,
    avatars.Face,
    avatars.GrabJoint,
)
AUDIO_PACKETS: tuple[type[Packet], ...] = (
    audio.NegotiateAudioFormat,
    audio.SelectedAudioFormat,
    audio.MicrophoneAudioNoEcho,
    audio.Placing,
    audio.Quaternion,
    audio.SilentAudioFrame,
    audio.MixedAudio,
    audio.AudioEnvironment,
    audio.Reverb,
    audio.AudioStreamStats,
    audio.StreamStats,
    audio.StreamCounts,
    audio.MuteEnvironment,
    audio.PerAvatarGainSet,
    audio.InjectorGainSet,
)
WISHES: tuple[type[Packet], ...] = (
    overte_payloads.NodeMuteRequest,
    overte_payloads.NodeIgnoreRequest,
    overte_payloads.RadiusIgnoreRequest,
    overte_payloads.RequestsDomainListData,
)
PROXY_PACKETS: tuple[type[Packet], ...] = (
    proxies.SocksGreeting,
    proxies.SocksChoice,
    proxies.SocksRequest,
    proxies.SocksReply,
    proxies.SocksBound,
    proxies.HttpConnect,
    proxies.HttpReply,
)
PARTS: dict[str, Callable[[], str]] = {
    "bob.packets": lambda: layout_rst(bob.Header) + "\n" + packets(bob.PACKETS, "02x"),
    "bob.public": lambda: layout_rst(bob.PublicParameters),
    "bob.secret": lambda: layout_rst(bob.SecretPacket),
    "bob.room_packets": lambda: layout_rst(bob.RoomLine) + "\n" + layout_rst(bob.RoomAnswer),
    "bob.record": lambda: layout_rst(bob.Record),
    "bob.sent_records": lambda: layout_rst(bob.SentHeader) + "\n" + packets(bob.SENT_RECORDS, "d"),
    "bob.receipt": lambda: layout_rst(bob.ReceiptRecord),
    "bob.peer_delays": lambda: settings(PeerDelays),
    "bob.peer_limits": lambda: settings(PeerLimits),
    "bob.relay_delays": lambda: settings(RelayDelays),
    "bob.relay_limits": lambda: settings(RelayLimits),
    "egtp.datagrams": lambda: one_of(egtp.DATAGRAM),
    "egtp.payloads": lambda: layout_rst(egtp.InitPayload) + "\n" + layout_rst(egtp.ReplyPayload),
    "egtp.clear": lambda: one_of(egtp.CLEAR),
    "egtp.paths": lambda: one_of(egtp.PATH),
    "egtp.channel": lambda: "\n".join(map(layout_rst, (egtp.FirstMessage, egtp.SecondMessage, egtp.Terms))),
    "egtp.requests": lambda: one_of(egtp.REQUEST),
    "egtp.responses": lambda: one_of(egtp.RESPONSE),
    "egtp.node_delays": lambda: settings(NodeDelays),
    "egtp.node_limits": lambda: settings(NodeLimits),
    "egtp.mailbox_server_delays": lambda: settings(MailboxServerDelays),
    "egtp.mailbox_server_limits": lambda: settings(MailboxServerLimits),
    "egtp.mailbox_client_delays": lambda: settings(MailboxClientDelays),
    "egtp.mailbox_client_limits": lambda: settings(MailboxClientLimits),
    "freenet.datagrams": lambda: one_of(freenet.DATAGRAM),
    "freenet.intro": lambda: "\n".join(
        map(layout_rst, (freenet.IntroBody, freenet.VersionField, freenet.OldVersionField))
    ),
    "freenet.clear": lambda: layout_rst(freenet.Clear),
    "freenet.bodies": lambda: packets(freenet.BODY.packets, "d"),
    "freenet.results": lambda: packets(freenet.RESULT.packets, "d"),
    "freenet.addresses": lambda: packets(freenet.SEEN.packets, "d"),
    "freenet.message": lambda: layout_rst(freenet.Message),
    "freenet.delays": lambda: settings(FreenetDelays),
    "freenet.limits": lambda: settings(FreenetLimits),
    "links.proxy_packets": lambda: "\n".join(map(layout_rst, PROXY_PACKETS)),
    "overte.types": types,
    "overte.signatures": signatures,
    "overte.headers": headers,
    "overte.check_in": lambda: layout_rst(overte.CheckIn),
    "overte.record": lambda: layout_rst(overte.NodeRecord),
    "overte.packets": lambda: packets(overte.PACKETS, "d"),
    "overte.messages": lambda: payloads(overte_payloads.MessagesData, overte_payloads.MessagesSubscribe),
    "overte.identities": lambda: payloads(
        overte_payloads.AvatarIdentity, overte_payloads.Identity, overte_payloads.IdentityBefore55
    ),
    "overte.avatars": lambda: payloads(
        avatars.AvatarData, avatars.BulkAvatarData, avatars.AvatarRecord, avatars.KillAvatar
    ),
    "overte.sections": avatar_sections,
    "overte.section_parts": lambda: payloads(*SECTION_PACKETS),
    "overte.views": lambda: payloads(avatars.AvatarQuery, avatars.View, overte_payloads.EntityQuery),
    "overte.traits": lambda: payloads(
        avatars.SetAvatarTraits,
        avatars.TraitOverride,
        avatars.BulkAvatarTraits,
        avatars.AvatarTraits,
        avatars.BulkAvatarTraitsAck,
    ),
    "overte.audio": lambda: payloads(*AUDIO_PACKETS),
    "overte.wishes": lambda: payloads(*WISHES),
    "overte.delivery": deliveries,
    "overte.binding": lambda: layout_rst(overte_stun.BindingRequest) + "\n" + layout_rst(overte_stun.BindingResponse),
    "overte.client_delays": lambda: settings(ClientDelays),
    "overte.client_limits": lambda: settings(ClientLimits),
    "overte.server_delays": lambda: settings(ServerDelays),
    "overte.server_limits": lambda: settings(ServerLimits),
    "overte.ice_delays": lambda: settings(IceDelays),
    "overte.ice_limits": lambda: settings(IceLimits),
    "recovery.events": lambda: events(get_args(RecoveryEvent)),
    "recovery.times": profiles,
    "recovery.time_rules": lambda: rules(DELAY_RULES),
    "recovery.limits": lambda: settings(RecoveryLimits),
    "recovery.limit_rules": lambda: rules(LIMIT_RULES),
    "tox.datagrams": lambda: one_of(tox.DATAGRAM),
    "tox.bodies": lambda: "\n".join(map(layout_rst, TOX_BODIES)),
    "tox.friends": lambda: packets(tox.FRIEND.packets, "d"),
    "tox.nodes": lambda: one_of(tox.NODE),
    "tox.relay_stream": lambda: "\n".join(
        map(layout_rst, (tox.RelayHello, tox.RelayAnswer, tox.RelayKeys, tox.RelayFrame))
    ),
    "tox.relay_frames": lambda: packets(tox.CONTROL.packets, "d"),
    "tox.relayed": lambda: layout_rst(tox.Relayed),
    "tox.node_delays": lambda: settings(ToxNodeDelays),
    "tox.node_limits": lambda: settings(ToxNodeLimits),
    "tox.relay_client_delays": lambda: settings(RelayClientDelays),
    "tox.relay_client_limits": lambda: settings(RelayClientLimits),
    "tox.relay_server_delays": lambda: settings(RelayServerDelays),
    "tox.relay_server_limits": lambda: settings(RelayServerLimits),
}


def advice_on(page: str) -> dict[str, str]:
    """What the reasons mean that a page gives for a drop, and what to do: a list of definitions, if it has one."""
    path = ADVICE / f"{page}.inc"
    text = path.read_text("utf-8") if path.exists() else ""
    found = re.findall(r"^``(.+)``\n((?:    .+\n)+)", text, re.M)
    return {reason: " ".join(meaning.split()) for reason, meaning in found}


def advice_for(protocol: str) -> dict[str, str]:
    """The same for a protocol: its own advice goes before that on the pages of the parts that it shares."""
    pages = ("endpoints", "links", *reasons.shared_parts(protocol), protocol)
    return {reason: meaning for page in pages for reason, meaning in advice_on(page).items()}


def dropped(protocol: str) -> str:
    return reasons.rst(reasons.dropped(protocol), advice_for(protocol))


def files() -> dict[Path, str]:
    """Everything that is generated, by where it belongs."""
    found = {GENERATED / f"{name}.inc": part() for name, part in PARTS.items()}
    for protocol in protocols():
        if layout := layouts.layout_of(protocol):
            found[LAYOUTS / f"{protocol}.json"] = dumps(layouts.document(protocol, layout))
        if sessions := sessions_of(protocol):
            found[GENERATED / f"{protocol}.roles.inc"] = roles(sessions)
            found[GENERATED / f"{protocol}.events.inc"] = events_by_role(sessions)
        if text := strangers(sessions):
            found[GENERATED / f"{protocol}.strangers.inc"] = text
        if reasons.dropped(protocol):
            found[GENERATED / f"{protocol}.dropped.inc"] = dropped(protocol)
        for name, why in (("refused", reasons.refused), ("noted", reasons.noted)):
            if given := why(protocol):
                found[GENERATED / f"{protocol}.{name}.inc"] = reasons.rst(given)
    for protocol, tables in TABLES.items():
        if not tables:
            continue
        found.update({GENERATED / f"{table.name}.inc": machine(table) for table in tables})
        found[MACHINES / f"{protocol}.json"] = dumps(document(protocol, tables))
    return found


def main() -> None:
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    sys.stdout.write(f"{len(files())} files generated\n")


if __name__ == "__main__":
    main()

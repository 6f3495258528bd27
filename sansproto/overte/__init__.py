"""Overte: connect to a domain and stay there, or serve one.

:class:`DomainClient` goes to a domain, keeps the connection, and reaches the nodes that it names; :class:`DomainServer`
lets nodes in and tells them of each other; :class:`IceServer` helps the two find each other. If a server
drops your packet, see what ``packets.DATAGRAM.dissect(data)`` makes of it. docs/protocols/overte.rst has the rest.
"""

from .client import DomainClient
from .events import (
    ClientEvent,
    Connected,
    Denied,
    Disconnected,
    Loss,
    NodeActivated,
    NodeAdded,
    NodeInfo,
    NodeMeasured,
    NodeRemoved,
    NotAnswered,
    PacketReceived,
    PathAnswered,
    PermissionsChanged,
    Removal,
    Renumbered,
    SettingsReceived,
    Undelivered,
    UsernameAnswered,
)
from .ice import ICE_PORT, IceServer
from .ice_events import DomainKeyWanted, IcePeerAdded, IcePeerRemoved, IceServerEvent, KeyRefused
from .limits import ClientDelays, ClientLimits, IceDelays, IceLimits, ServerDelays, ServerLimits
from .packets import AssignmentType, Ban, DenialReason, NodeType, Permissions
from .policy import Banned, Login, Policy, Visitor
from .qt import SockAddr, uuid_text
from .registration import IceRegistration
from .remote import SOCKET
from .rendezvous import IceTarget
from .server import DomainServer
from .server_events import (
    BanAdded,
    ConnectRefused,
    Departure,
    KeyWanted,
    KickAsked,
    NodeChanged,
    NodeJoined,
    NodeLeft,
    ServerEvent,
    StatsReceived,
    UsernameAsked,
)
from .versions import DEFAULT, VERSIONS, PacketType, VersionTable

DOMAIN_PORT = 40102
"""Where domain servers listen."""

__all__ = [
    "DEFAULT",
    "DOMAIN_PORT",
    "ICE_PORT",
    "SOCKET",
    "VERSIONS",
    "AssignmentType",
    "Ban",
    "BanAdded",
    "Banned",
    "ClientDelays",
    "ClientEvent",
    "ClientLimits",
    "ConnectRefused",
    "Connected",
    "DenialReason",
    "Denied",
    "Departure",
    "Disconnected",
    "DomainClient",
    "DomainKeyWanted",
    "DomainServer",
    "IceDelays",
    "IceLimits",
    "IcePeerAdded",
    "IcePeerRemoved",
    "IceRegistration",
    "IceServer",
    "IceServerEvent",
    "IceTarget",
    "KeyRefused",
    "KeyWanted",
    "KickAsked",
    "Login",
    "Loss",
    "NodeActivated",
    "NodeAdded",
    "NodeChanged",
    "NodeInfo",
    "NodeJoined",
    "NodeLeft",
    "NodeMeasured",
    "NodeRemoved",
    "NodeType",
    "NotAnswered",
    "PacketReceived",
    "PacketType",
    "PathAnswered",
    "Permissions",
    "PermissionsChanged",
    "Policy",
    "Removal",
    "Renumbered",
    "ServerDelays",
    "ServerEvent",
    "ServerLimits",
    "SettingsReceived",
    "SockAddr",
    "StatsReceived",
    "Undelivered",
    "UsernameAnswered",
    "UsernameAsked",
    "VersionTable",
    "Visitor",
    "uuid_text",
]

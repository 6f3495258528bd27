"""A small protocol, complete: docs/howto/protocol.rst explains it, file by file.

A guest connects, greets with ``hi`` within ten seconds, and hears everything that it says once more; ``bye`` ends it. A
prober asks by datagram how many guests there are.
"""

from .desk import CarefulServer
from .events import EchoEvent, GuestLeft, GuestSaid, ProberEvent, ServerAnswered
from .limits import EchoDelays, EchoLimits, ProberDelays, ProberLimits
from .packets import Count, Message, Probe
from .prober import Prober
from .server import GUESTS, PROBES, EchoServer

__all__ = [
    "GUESTS",
    "PROBES",
    "CarefulServer",
    "Count",
    "EchoDelays",
    "EchoEvent",
    "EchoLimits",
    "EchoServer",
    "GuestLeft",
    "GuestSaid",
    "Message",
    "Probe",
    "Prober",
    "ProberDelays",
    "ProberEvent",
    "ProberLimits",
    "ServerAnswered",
]

"""A small protocol, complete: docs/howto/protocol.rst explains it file by file.

A guest connects, greets with ``hi`` within ten seconds, and hears everything that it says once more; ``bye`` ends it.
"""

from .events import EchoEvent, GuestLeft, GuestSaid
from .guest import EchoDelays
from .packets import Message
from .server import EchoLimits, EchoServer

__all__ = ["EchoDelays", "EchoEvent", "EchoLimits", "EchoServer", "GuestLeft", "GuestSaid", "Message"]

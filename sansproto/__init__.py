"""Sans-IO protocol state machines: bytes in, events out.

The package holds no socket, clock, thread, file or random source. Start with :mod:`sansproto.contract` for how a
machine is driven, and with the package of the protocol you speak (:mod:`sansproto.bob`) for its machines.
"""

__version__ = "0.1.0"

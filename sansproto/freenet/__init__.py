"""Freenet's transport: sessions over datagrams with peers that are known by their address.

docs/protocols/freenet.rst has its bytes and rules.
"""

from .crypto import KeyPair
from .versions import Version

__all__ = ["KeyPair", "Version"]

WITHOUT = {
    "tables": "its roles are not there yet",
    "laws": "its roles are not there yet",
}

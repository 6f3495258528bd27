"""The names that the specification of EGTP gives to faults, and what vectors of all protocols call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...egtp import crypto
from ...egtp import packets as p
from ...errors import Fault, WireError

_FAULTS: Final[Mapping[str, Fault]] = {
    "empty": Fault.TRUNCATED,
    "type": Fault.BAD_TYPE,
    "length": Fault.BAD_LENGTH,
    "reserved": Fault.BAD_VALUE,
    "mac": Fault.BAD_MAC,
    "point": Fault.BAD_POINT,
    "seal": Fault.BAD_MAC,
    "field": Fault.BAD_VALUE,
    "unknown_handshake": Fault.BAD_VALUE,
    "unknown_session": Fault.BAD_VALUE,
    "counter": Fault.BAD_VALUE,
    "replay": Fault.BAD_VALUE,
    "kind": Fault.BAD_TYPE,
    "body": Fault.BAD_LENGTH,
    "token": Fault.BAD_MAC,
    "frame": Fault.BAD_LENGTH,
    "order": Fault.BAD_TYPE,
    "not_registered": Fault.BAD_TYPE,
    "superseded": Fault.BAD_TYPE,
    "limit": Fault.BAD_VALUE,
}


def error_of(fault: str, inputs: Mapping[str, Any]) -> Fault:
    """The vectors' name of a fault. For a fault of size the decoder decides: bytes are missing, or left over."""
    if fault in ("length", "body"):
        try:
            _decode(inputs)
        except WireError as error:
            return error.fault
    return _FAULTS[fault]


def _decode(inputs: Mapping[str, Any]) -> None:
    """Decode the bytes at fault: the last ones of a client, or a datagram and its plaintext."""
    if "steps" in inputs:
        last = inputs["steps"][-1]
        if last["plaintext"] is not None:
            p.REQUEST.decode(bytes.fromhex(last["plaintext"]))
        elif len(inputs["steps"]) == 1:
            p.FirstMessage.decode(p.FrameOfStream.decode(bytes.fromhex(last["raw"])).message)
        return
    data = bytes.fromhex(inputs["input"])
    packet = p.DATAGRAM.decode(data)
    assert isinstance(packet, p.Data)  # what else has a wrong size does not decode
    keys = {one["local_sid"]: bytes.fromhex(one["rx"]) for one in inputs["state"]["sessions"]}
    open_data(keys[packet.sid.hex()], data)


def open_data(key: bytes, data: bytes) -> p.Clear:
    """The plaintext of a Data packet. Raises WireError."""
    packet = p.DATAGRAM.decode(data)
    assert isinstance(packet, p.Data)
    return p.CLEAR.decode(crypto.Cipher(key).open(packet.counter, packet.sealed, data[: p.HEADER_SIZE]))

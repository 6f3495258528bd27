"""libtoxcore, unmodified, through its public API: on loopback, without bootstrap and without local discovery.

It is Debian's libtoxcore2, or the library that the environment variable TOXCORE names.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from nacl.bindings import crypto_scalarmult_base

PATH: Final = os.environ.get("TOXCORE") or ctypes.util.find_library("toxcore") or ""
"""Empty: there is none."""
MISSING: Final = "libtoxcore is not installed (Debian: libtoxcore2), and TOXCORE names none"

_POLL = 0.005
_FRIEND_NONE = 2**32 - 1


class Toxcore:
    """One instance, which a thread of its own keeps going."""

    def __init__(self, *, udp: bool = False, tcp_port: int = 0) -> None:
        self._library = library()
        call = self._library
        options = call.tox_options_new(None)
        call.tox_options_set_udp_enabled(options, udp)
        call.tox_options_set_tcp_port(options, tcp_port)
        for name in ("local_discovery", "ipv6", "hole_punching"):
            getattr(call, f"tox_options_set_{name}_enabled")(options, False)
        self._error = ctypes.c_int(0)
        self._tox = call.tox_new(options, ctypes.byref(self._error))
        call.tox_options_free(options)
        if not self._tox:
            raise OSError(f"tox_new: {self._error.value}")
        self._lock = threading.Lock()
        self._is_over = False
        self.messages: list[bytes] = []
        self._heard = _MESSAGE(lambda _, __, ___, text, size, ____: self.messages.append(ctypes.string_at(text, size)))
        call.tox_callback_friend_message(self._tox, self._heard)
        self.dht_key, self.real_key = self._key("tox_self_get_dht_id"), self._key("tox_self_get_public_key")
        self.real_secret = self._key("tox_self_get_secret_key")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()
        self._library.tox_kill(self._tox)

    def add_relay(self, port: int, key: bytes) -> None:
        if not self._call("tox_add_tcp_relay", b"127.0.0.1", port, key):
            raise OSError(f"tox_add_tcp_relay: {self._error.value}")

    def add_friend(self, real_key: bytes) -> int:
        """Its number."""
        number: int = self._call("tox_friend_add_norequest", real_key)
        if number == _FRIEND_NONE:
            raise OSError(f"tox_friend_add_norequest: {self._error.value}")
        return number

    def status(self, friend: int) -> int:
        """0: offline, 1: by TCP, 2: by UDP."""
        status: int = self._call("tox_friend_get_connection_status", friend)
        return status

    def send(self, friend: int, text: bytes) -> None:
        if not self._call("tox_friend_send_message", friend, 0, text, len(text)):
            raise OSError(f"tox_friend_send_message: {self._error.value}")

    def dht_secret(self) -> bytes:
        """The secret of its DHT key, which no function tells: in our own memory it stands behind the public one."""
        public = self.dht_key
        for line in Path("/proc/self/maps").read_text().splitlines():
            where, rights, *rest = line.split()
            if rights.startswith("rw") and not rest[-1].startswith(("/", "[v", "[stack")):
                begin, end = (int(one, 16) for one in where.split("-"))
                for secret in _behind(public, _memory(begin, end - begin)):
                    if crypto_scalarmult_base(secret) == public:
                        return secret
        raise OSError("no secret DHT key was found")

    def _key(self, function: str) -> bytes:
        room = ctypes.create_string_buffer(32)
        getattr(self._library, function)(self._tox, room)
        return room.raw

    def _call(self, function: str, *arguments: Any) -> Any:
        with self._lock:
            return getattr(self._library, function)(self._tox, *arguments, ctypes.byref(self._error))

    def _run(self) -> None:
        while not self._is_over:
            with self._lock:
                self._library.tox_iterate(self._tox, None)
            time.sleep(_POLL)


_POINTER, _TEXT, _BOOL, _U16, _U32 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_bool, ctypes.c_uint16, ctypes.c_uint32
_ERROR = ctypes.POINTER(ctypes.c_int)
_MESSAGE = ctypes.CFUNCTYPE(None, _POINTER, _U32, ctypes.c_int, _POINTER, ctypes.c_size_t, _POINTER)
_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "tox_options_new": (_POINTER, _ERROR),
    "tox_options_free": (None, _POINTER),
    "tox_options_set_udp_enabled": (None, _POINTER, _BOOL),
    "tox_options_set_local_discovery_enabled": (None, _POINTER, _BOOL),
    "tox_options_set_ipv6_enabled": (None, _POINTER, _BOOL),
    "tox_options_set_hole_punching_enabled": (None, _POINTER, _BOOL),
    "tox_options_set_tcp_port": (None, _POINTER, _U16),
    "tox_new": (_POINTER, _POINTER, _ERROR),
    "tox_kill": (None, _POINTER),
    "tox_iterate": (None, _POINTER, _POINTER),
    "tox_callback_friend_message": (None, _POINTER, _MESSAGE),
    "tox_self_get_dht_id": (None, _POINTER, _TEXT),
    "tox_self_get_public_key": (None, _POINTER, _TEXT),
    "tox_self_get_secret_key": (None, _POINTER, _TEXT),
    "tox_add_tcp_relay": (_BOOL, _POINTER, _TEXT, _U16, _TEXT, _ERROR),
    "tox_friend_add_norequest": (_U32, _POINTER, _TEXT, _ERROR),
    "tox_friend_get_connection_status": (ctypes.c_int, _POINTER, _U32, _ERROR),
    "tox_friend_send_message": (_U32, _POINTER, _U32, ctypes.c_int, _TEXT, ctypes.c_size_t, _ERROR),
}


def library() -> Any:
    loaded = ctypes.CDLL(PATH)
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def _memory(begin: int, size: int) -> bytes:
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        memory.seek(begin)
        try:
            return memory.read(size) or b""
        except OSError:
            return b""


def _behind(needle: bytes, hay: bytes) -> list[bytes]:
    found, at = [], hay.find(needle)
    while at >= 0:
        found.append(hay[at + 32 : at + 64])
        at = hay.find(needle, at + 1)
    return [one for one in found if len(one) == 32]


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.01)

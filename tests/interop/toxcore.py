"""The real toxcore through its public C API: what tests of interoperation need of it.

Every instance keeps to this machine by what it is told: it knows no other node, and looks for none on the network.
"""

from __future__ import annotations

import ctypes as c
import os
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from sansproto.contract import Path

HERE: Final = "127.0.0.1"
HERE_V6: Final = "::1"
DEBIAN: Final = "libtoxcore.so.2"
GIVEN: Final = os.environ.get("TOXCORE", "")
KEY: Final = 32

_SECRET_KEY: Final = 2  # of the kinds of saved data
_PROXIES: Final = {"http": 1, "socks5": 2}
_POINTER, _BYTES, _SIZE, _NUMBER, _BOOL, _ERROR = c.c_void_p, c.c_char_p, c.c_size_t, c.c_uint32, c.c_bool, c.c_void_p
_PORT: Final = c.c_uint16
_DATA: Final = c.POINTER(c.c_uint8)

_FUNCTIONS: Final[dict[str, tuple[Any, ...]]] = {
    # name: what it gives, what it takes
    "version_major": (_NUMBER,),
    "version_minor": (_NUMBER,),
    "version_patch": (_NUMBER,),
    "options_new": (_POINTER, _ERROR),
    "options_free": (None, _POINTER),
    "options_set_udp_enabled": (None, _POINTER, _BOOL),
    "options_set_ipv6_enabled": (None, _POINTER, _BOOL),
    "options_set_local_discovery_enabled": (None, _POINTER, _BOOL),
    "options_set_hole_punching_enabled": (None, _POINTER, _BOOL),
    "options_set_start_port": (None, _POINTER, _PORT),
    "options_set_end_port": (None, _POINTER, _PORT),
    "options_set_tcp_port": (None, _POINTER, _PORT),
    "options_set_proxy_type": (None, _POINTER, c.c_int),
    "options_set_proxy_host": (None, _POINTER, _BYTES),
    "options_set_proxy_port": (None, _POINTER, _PORT),
    "options_set_savedata_type": (None, _POINTER, c.c_int),
    "options_set_savedata_data": (None, _POINTER, _BYTES, _SIZE),
    "new": (_POINTER, _POINTER, _ERROR),
    "kill": (None, _POINTER),
    "iterate": (None, _POINTER, _POINTER),
    "self_get_public_key": (None, _POINTER, _BYTES),
    "self_get_secret_key": (None, _POINTER, _BYTES),
    "self_get_dht_id": (None, _POINTER, _BYTES),
    "self_get_udp_port": (_PORT, _POINTER, _ERROR),
    "self_set_name": (_BOOL, _POINTER, _BYTES, _SIZE, _ERROR),
    "add_tcp_relay": (_BOOL, _POINTER, _BYTES, _PORT, _BYTES, _ERROR),
    "bootstrap": (_BOOL, _POINTER, _BYTES, _PORT, _BYTES, _ERROR),
    "friend_add_norequest": (_NUMBER, _POINTER, _BYTES, _ERROR),
    "friend_delete": (_BOOL, _POINTER, _NUMBER, _ERROR),
    "friend_send_message": (_NUMBER, _POINTER, _NUMBER, c.c_int, _BYTES, _SIZE, c.POINTER(c.c_int)),
    "friend_send_lossless_packet": (_BOOL, _POINTER, _NUMBER, _BYTES, _SIZE, _ERROR),
    "friend_send_lossy_packet": (_BOOL, _POINTER, _NUMBER, _BYTES, _SIZE, _ERROR),
}
_OPTIONAL: Final[dict[str, tuple[Any, ...]]] = {"options_set_operating_system": (None, _POINTER, _POINTER)}
_CALLBACKS: Final[dict[str, tuple[Any, ...]]] = {
    # name: what it is told of a friend
    "friend_connection_status": (c.c_int,),
    "friend_name": (_DATA, _SIZE),
    "friend_status": (c.c_int,),
    "friend_message": (c.c_int, _DATA, _SIZE),
    "friend_read_receipt": (_NUMBER,),
    "friend_lossless_packet": (_DATA, _SIZE),
    "friend_lossy_packet": (_DATA, _SIZE),
}


class Library:
    """A shared library. Raises OSError if it cannot be loaded."""

    def __init__(self, path: str) -> None:
        self.path, self._library = path, c.CDLL(path)
        there = {name: types for name, types in _OPTIONAL.items() if hasattr(self._library, f"tox_{name}")}
        for name, (gives, *takes) in (_FUNCTIONS | there).items():
            function = getattr(self._library, f"tox_{name}")
            function.restype, function.argtypes = gives, takes
            setattr(self, name, function)
        self.version = ".".join(str(getattr(self, f"version_{part}")()) for part in ("major", "minor", "patch"))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(name)  # the functions are attributes: this is for who reads types

    def call_back(self, tox: int, name: str, told: Callable[..., None]) -> object:
        """Have ``told`` called with what toxcore tells; the result has to be kept as long as the instance."""

        def adapted(_tox: int, _friend: int, *arguments: Any) -> None:
            *values, _ = arguments
            if len(values) > 1:  # bytes, as a pointer and a size
                values[-2:] = [c.string_at(values[-2], values[-1]) if values[-1] else b""]
            told(values[-1])

        function = c.CFUNCTYPE(None, _POINTER, _NUMBER, *_CALLBACKS[name], _POINTER)(adapted)
        register = getattr(self._library, f"tox_callback_{name}")
        register.restype, register.argtypes = None, [_POINTER, _POINTER]
        register(tox, c.cast(function, _POINTER))
        return function


def _load(path: str) -> Library | None:
    with suppress(OSError):
        return Library(path)
    return None


# In this order: a library that is asked for by its name is the one with that name which is loaded already.
debian: Final = _load(DEBIAN)
given: Final = _load(GIVEN) if GIVEN else None


class Toxcore:
    """An instance of toxcore with one friend at most, and what it told of it."""

    def __init__(
        self,
        library: Library,
        *,
        is_udp: bool = True,
        is_ipv6: bool = False,
        port: int = 0,
        relay_port: int = 0,
        secret_key: bytes = b"",
        proxy: tuple[str, int] | None = None,
        system: int = 0,
    ) -> None:
        self._library = library
        options = library.options_new(None)
        library.options_set_udp_enabled(options, is_udp)
        library.options_set_ipv6_enabled(options, is_ipv6)
        library.options_set_local_discovery_enabled(options, False)
        library.options_set_hole_punching_enabled(options, False)
        library.options_set_start_port(options, port)
        library.options_set_end_port(options, port)
        library.options_set_tcp_port(options, relay_port)
        if proxy is not None:
            kind, at = proxy
            library.options_set_proxy_type(options, _PROXIES[kind])
            library.options_set_proxy_host(options, HERE.encode())
            library.options_set_proxy_port(options, at)
        if secret_key:
            library.options_set_savedata_type(options, _SECRET_KEY)
            library.options_set_savedata_data(options, secret_key, len(secret_key))
        if system:
            library.options_set_operating_system(options, system)
        self._tox = library.new(options, None)
        library.options_free(options)
        assert self._tox, f"toxcore {library.version} does not start"
        self.real_key, self.dht_key = self._key("public_key"), self._key("dht_id")
        self.secret_key = self._key("secret_key")
        self.port: int = library.self_get_udp_port(self._tox, None) if is_udp else 0
        self.path = Path("udp", HERE_V6 if is_ipv6 else HERE, self.port)
        self.relay_port = relay_port
        self.friend = 0
        self.statuses: list[int] = []
        """0: offline, 1: through relays, 2: by UDP."""
        self.names: list[bytes] = []
        self.presences: list[int] = []
        self.texts: list[bytes] = []
        self.receipts: list[int] = []
        self.lossless: list[bytes] = []
        self.lossy: list[bytes] = []
        told = (self.statuses, self.names, self.presences, self.texts, self.receipts, self.lossless, self.lossy)
        self._kept = [
            library.call_back(self._tox, name, one.append) for name, one in zip(_CALLBACKS, told, strict=True)
        ]

    def turn(self) -> None:
        if self._tox:
            self._library.iterate(self._tox, None)

    def stop(self) -> None:
        if self._tox:
            self._library.kill(self._tox)
            self._tox = 0

    @property
    def status(self) -> int:
        return self.statuses[-1] if self.statuses else 0

    # -- what it is asked

    def befriend(self, real_key: bytes) -> None:
        self.friend = self._library.friend_add_norequest(self._tox, real_key, None)

    def unfriend(self) -> None:
        assert self._library.friend_delete(self._tox, self.friend, None)

    def rename(self, name: bytes) -> None:
        assert self._library.self_set_name(self._tox, name, len(name), None)

    def use_relay(self, port: int, key: bytes) -> None:
        assert self._library.add_tcp_relay(self._tox, b"127.0.0.1", port, key, None)

    def meet(self, port: int, key: bytes) -> None:
        """Know a node of this machine."""
        assert self._library.bootstrap(self._tox, b"127.0.0.1", port, key, None)

    def send_text(self, text: bytes) -> int:
        """The message's number, 0 if it was not taken."""
        error = c.c_int()
        number = self._library.friend_send_message(self._tox, self.friend, 0, text, len(text), c.byref(error))
        return int(number) if error.value == 0 else 0

    def send_lossless(self, data: bytes) -> bool:
        return bool(self._library.friend_send_lossless_packet(self._tox, self.friend, data, len(data), None))

    def send_lossy(self, data: bytes) -> bool:
        return bool(self._library.friend_send_lossy_packet(self._tox, self.friend, data, len(data), None))

    # -- inside

    def _key(self, name: str) -> bytes:
        buffer = c.create_string_buffer(KEY)
        getattr(self._library, f"self_get_{name}")(self._tox, buffer)
        return buffer.raw


class RelayProcess:
    """A relay of toxcore in a process of its own: one that is only stopped keeps its connections open."""

    def __init__(self, library: Library, port: int) -> None:
        command = [sys.executable, __file__, library.path, str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        key, udp_port = self._process.stdout.readline().split()
        self.relay_port, self.dht_key, self.port = port, bytes.fromhex(key), int(udp_port)

    def turn(self) -> None:
        pass

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    relay = Toxcore(Library(sys.argv[1]), relay_port=int(sys.argv[2]))
    print(relay.dht_key.hex(), relay.port, flush=True)
    while not select.select([sys.stdin], [], [], 0.002)[0]:  # until whoever started it has ended, however it did
        relay.turn()

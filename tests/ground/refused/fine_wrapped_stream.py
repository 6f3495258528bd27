from typing import Literal, TypeAlias, assert_type

from sansproto.session import StreamSession
from sansproto.wrap import WrappedStream

Event: TypeAlias = Literal["came"] | bytes | int


class Lines(StreamSession[Event]):
    @property
    def wants_data(self) -> bool:
        return True

    def receive_data(self, data: bytes, now: float) -> None: ...
    def receive_eof(self, now: float) -> None: ...
    def take_trailing_data(self) -> bytes:
        return b""

    def next_transmit(self) -> None: ...
    def close(self, now: float) -> None: ...
    def abort(self) -> None: ...
    def transport_lost(self, now: float, *, detail: str = "") -> None: ...


core = WrappedStream(Lines(entropy=None))
assert_type(core.next_event(), Event | None)

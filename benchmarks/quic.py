"""20 MB from one end to the other in one process, against aioquic in its fastest setting.

aioquic gets all bytes in one write, sends datagrams of 1280 bytes, loses none, has windows that never close, and a
clock that makes steps of 1 ms. Neither handshake is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from os import urandom
from time import process_time
from typing import Any

from benchmarks.measure import Line, ratio

SIZE = 20_000_000
DATAGRAM = 1280
STEP = 0.001
CLIENT, SERVER = ("192.0.2.1", 4000), ("198.51.100.1", 4000)
DATA = urandom(SIZE)


class Quic:
    """Two connections of aioquic with each other."""

    def __init__(self, suite: str) -> None:
        from aioquic.quic.configuration import QuicConfiguration
        from aioquic.quic.connection import QuicConnection
        from aioquic.tls import CipherSuite

        certificate, key = self_signed()
        windows = {"max_data": 8 * SIZE, "max_stream_data": 8 * SIZE, "max_datagram_size": DATAGRAM}
        suites = [CipherSuite[suite]]
        at_client = QuicConfiguration(is_client=True, verify_mode=0, cipher_suites=suites, **windows)
        at_server = QuicConfiguration(is_client=False, cipher_suites=suites, **windows)
        at_server.certificate, at_server.private_key = certificate, key
        self.now = 1.0
        self.client = QuicConnection(configuration=at_client)
        self.client.connect(SERVER, now=self.now)
        self.server = QuicConnection(
            configuration=at_server,
            original_destination_connection_id=self.client.original_destination_connection_id,
        )
        for _ in range(10):
            self.step()

    def step(self) -> int:
        """A millisecond: what both send arrives. How many bytes of streams the server has received."""
        self.now = now = self.now + STEP
        client, server, received = self.client, self.server, 0
        for one in (client, server):
            due = one.get_timer()
            if due is not None and due <= now:
                one.handle_timer(now)
        for data, _ in client.datagrams_to_send(now):
            server.receive_datagram(data, CLIENT, now)
        while (event := server.next_event()) is not None:
            received += len(getattr(event, "data", b""))
        for data, _ in server.datagrams_to_send(now):
            client.receive_datagram(data, SERVER, now)
        while client.next_event() is not None:
            pass
        return received


def self_signed() -> tuple[Any, Any]:
    """A certificate and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(today).not_valid_after(today + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()), key


def aioquic(suite: str) -> Callable[[], float]:
    def measure() -> float:
        quic = Quic(suite)
        start = process_time()
        quic.client.send_stream_data(quic.client.get_next_available_stream_id(), DATA, end_stream=True)
        received = 0
        while received < SIZE:
            received += quic.step()
        elapsed = process_time() - start
        assert received == SIZE
        return elapsed

    return measure


def fastest() -> tuple[str, Callable[[], float]]:
    """The suite with which it is fastest here, and its measurement."""
    suites = ("AES_128_GCM_SHA256", "CHACHA20_POLY1305_SHA256")
    times = {suite: min(aioquic(suite)() for _ in range(2)) for suite in suites}
    suite = min(times, key=times.__getitem__)
    return suite, aioquic(suite)


def beside(protocol: str, ours: Callable[[], float], target: float, *, note: str = "") -> Iterator[Line]:
    """The speed of a protocol of ours, which measures itself, against that of aioquic."""
    if find_spec("aioquic") is None:
        print(f"NOT RUN: {protocol} beside aioquic, which is not here (pip install 'sansproto[bench]')")
        return
    suite, theirs = fastest()
    value, other, time = ratio(theirs, ours, rounds=5)
    note = f"aioquic {SIZE / other / 1e6:.1f} MB/s with {suite}, ours {SIZE / time / 1e6:.1f} MB/s{note}"
    yield Line(f"{protocol}: 20 MB in process, speed of ours / of aioquic", value, target, True, note=note)

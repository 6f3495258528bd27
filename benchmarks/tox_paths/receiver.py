"""A real toxcore that counts the lossless packets of one friend: the process of a receiver."""

from __future__ import annotations

import sys
from pathlib import Path as File
from time import monotonic, sleep

sys.path.insert(0, str(File(__file__).parents[2] / "tests" / "interop"))

from tox_parts import free_port
from toxcore import Toxcore, debian


def receive(seconds: int) -> None:
    assert debian is not None
    toxcore = Toxcore(debian, port=free_port())
    print(toxcore.real_key.hex(), toxcore.dht_key.hex(), toxcore.port, flush=True)
    toxcore.befriend(bytes.fromhex(sys.stdin.readline()))
    counts: list[int] = []
    begun = 0.0
    while len(counts) <= seconds:
        toxcore.turn()
        if toxcore.lossless:
            begun = begun or monotonic()
            second = int(monotonic() - begun)
            counts += [0] * (second + 1 - len(counts))
            counts[second] += len(toxcore.lossless)
            toxcore.lossless.clear()
        sleep(0.001)
    print(*counts[:seconds], sep="\n")
    toxcore.stop()


if __name__ == "__main__":
    receive(int(sys.argv[1]))

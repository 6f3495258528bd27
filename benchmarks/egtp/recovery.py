"""How long a pair takes to find each other again after one end restarted: virtual time, real nodes and packets.

Both use one session, with a round trip of 20 to 300 ms; then one end is replaced by a new process that knows nothing
but its key. It is over when a message that was sent since has arrived, and so has one that answers it. The figures
beside ours are those of the model that the rules were tried in. ``SEEDS=20`` tries fewer pairs than 150.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import environ
from random import Random
from statistics import median
from typing import Any

import attrs

from benchmarks.measure import Line
from sansproto.contract import Path
from sansproto.egtp import EgtpNode, MessageReceived, RecoveryConfig, RecoveryDelays
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.network import Conditions, Node, VirtualNetwork

SEEDS = int(environ.get("SEEDS") or 150)
EVERY = 0.1
"""Seconds between two messages of who speaks."""
TALK = 10.0
"""Seconds that both talk, or one does, before the restart."""


@attrs.frozen
class Case:
    """What the restarted end does, and what is known about the times, at a loss of 0, 10 and 30 %.

    ``most`` is what is promised, where something is; else the longest time of the model. Without loss it holds for all
    seeds, else for 19 of 20: a series of losses has no longest one.
    """

    name: str
    speaks: bool
    has_hints: bool
    most: tuple[float, float, float]
    model: tuple[str, str, str]
    """Median and longest time."""


CASES = (
    Case("it speaks", True, True, (0.7, 4.1, 12.9), ("0.4/0.6", "0.5/4.1", "1.5/12.9")),
    Case("it is silent", False, True, (2.0, 9.0, 24.3), ("0.9/1.6", "1.3/8.9", "3.6/24.3")),
    Case("it is silent, without hints", False, False, (4.5, 6.0, 61.5), ("3.0/4.4", "-/17", "16.0/61.5")),
)
LOSSES = (0.0, 0.1, 0.3)


class World:
    """A and B on a network; B talks all the time, and so does A, if it speaks."""

    def __init__(self, case: Case, loss: float, seed: int) -> None:
        self.case, self.seed, self.lives = case, seed, 0
        self.rtt = Random(seed).uniform(0.02, 0.3)
        self.net = VirtualNetwork(seed=seed, default=Conditions(latency=self.rtt / 2))
        self.config = RecoveryConfig(direct=RecoveryDelays(has_hints=case.has_hints))
        self.a, self.b = (
            self.net.host(f"10.0.0.{number}").run(self.process(number), sockets={"udp": 4000}) for number in (1, 2)
        )
        self.said, self.arrived = b"before", {self.a: False, self.b: False}
        self.connect(self.a, self.b)
        self.talk(self.b, self.a)
        if case.speaks:
            self.talk(self.a, self.b)
        self.net.run(TALK / 2)
        self.net.default = attrs.evolve(self.net.default, loss=loss)
        self.net.run(TALK / 2 + Random(seed).random())

    def process(self, number: int) -> EgtpNode:
        self.lives += 1
        entropy = ScriptedEntropy(seed=f"{self.seed} {self.lives}".encode())
        return EgtpNode(private_key=bytes([number]) * 32, entropy=entropy, wall_epoch=1.7e9, recovery=self.config)

    def restart(self) -> float:
        """Seconds until what is said since arrives: of both, or of the one that speaks."""
        self.said, before = b"since", self.net.now
        self.a.restart(self.process(1), silent=True)
        if self.case.speaks:
            self.connect(self.a, self.b)
        self.net.run_until(self.is_over, within=600.0)
        return self.net.now - before

    def is_over(self) -> bool:
        for one in (self.a, self.b):
            for event in one.events:
                self.arrived[one] |= isinstance(event, MessageReceived) and event.data == b"since"
            one.events.clear()
        return self.arrived[self.a] and (self.arrived[self.b] or not self.case.speaks)

    def connect(self, one: Node[Any], other: Node[Any]) -> None:
        path = Path("udp", other.host.address, 4000)
        one.call(lambda now: one.endpoint.connect(other.endpoint.public_key, path, now))

    def talk(self, one: Node[Any], other: Node[Any]) -> None:
        """Say something, and again and again."""
        one.call(lambda now: one.endpoint.send(other.endpoint.public_key, self.said, now))
        self.net.after(EVERY, lambda: self.talk(one, other))


def run() -> Iterator[Line]:
    for case in CASES:
        for loss, most, model in zip(LOSSES, case.most, case.model, strict=True):
            times = sorted(World(case, loss, seed).restart() for seed in range(SEEDS))
            share = 0.95 if loss else 1.0
            name = f"egtp: one end restarts, {case.name}, {loss:.0%} loss: {share:.0%} of {SEEDS} within"
            note = f"median/longest {median(times):.1f}/{times[-1]:.1f} s, of the model {model} s"
            yield Line(name, times[round(share * SEEDS) - 1], most, False, " s", note=note)

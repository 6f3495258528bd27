"""A relay of Tox."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from sansproto.tox import RELAY_PORT, RelayClientJoined, RelayClientLeft, RelayServer, RelayServerEvent
from sansproto_sockets import Runner, run, system_entropy

from . import addresses
from .exits import CommandFailed, Exit
from .line import SERVER_LINGER, attend
from .mistakes import Mistakes, tell_stopped
from .relaying import raise_descriptor_limit
from .report import Reporter
from .tox_keys import Keys

WORTH_TELLING = (
    (
        "bad hello",
        "other_key",
        "A client expects another key here than ours, and was cut off: check the key in the --relay that it was given.",
    ),
)
"""What a relay keeps to itself."""


def serve(keys: Keys, place: tuple[str, int], reporter: Reporter, check: Callable[[], None]) -> None:
    """Run a relay until it is interrupted."""
    raise_descriptor_limit()
    server = RelayServer(private_key=keys.dht.secret, entropy=system_entropy)
    running: Runner[RelayServerEvent] = run(server, listen={RELAY_PORT: place}, linger=SERVER_LINGER)
    with ExitStack() as stack:
        try:
            runner = stack.enter_context(running)
        except OSError as error:
            raise CommandFailed(Exit.RELAY, f"Cannot listen ({error.strerror}): choose another --bind.") from error
        bound, key = runner.addresses[RELAY_PORT], server.public_key.hex()
        shown = addresses.shown(bound.host)
        where = addresses.format_address(shown, bound.port)
        reporter.command(
            "relay_started",
            f"Relay at {where}. Ctrl-C stops it. Friends who meet here take:",
            f"--relay {key}@{where}",
            host=shown,
            port=bound.port,
            public_key=key,
        )
        mistakes = Mistakes(server.stats, WORTH_TELLING, reporter)

        def look() -> None:
            mistakes.look(runner)
            check()

        attend(runner, look, lambda event: _tell(event, reporter))
        tell_stopped(reporter, "The relay", server.stats)


def _tell(event: RelayServerEvent, reporter: Reporter) -> None:
    match event:
        case RelayClientJoined(key, address=address):
            where = addresses.format_address(address.host, address.port)
            reporter.tell("joined", f"{key.hex()[:8]} is here, from {where}.", dht_key=key.hex(), address=where)
        case RelayClientLeft(key):
            reporter.tell("left", f"{key.hex()[:8]} left.", dht_key=key.hex())
        case _:
            pass

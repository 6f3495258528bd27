"""What the parts of the demo have in common."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TypeVar

from rich.console import Console
from rich.text import Text

from sansproto.contract import Address
from sansproto_asyncio import Runner

from .exits import CommandFailed, Exit

E = TypeVar("E")


@contextmanager
def on_asyncio(running: Runner[E], tell: Callable[[E], object] = lambda _: None) -> Iterator[Mapping[str, Address]]:
    """Run it on asyncio, in a thread that calls ``tell`` with the events; the addresses that it has."""
    bound: Future[Mapping[str, Address]] = Future()
    stopped = asyncio.Event()

    async def serve() -> None:
        try:
            async with running as runner:
                loops.append(asyncio.get_running_loop())
                bound.set_result(runner.addresses)
                listening = asyncio.create_task(listen(runner))
                await stopped.wait()
                listening.cancel()
                with suppress(asyncio.CancelledError):
                    await listening
        except OSError as error:
            bound.set_exception(CommandFailed(Exit.RELAY, f"Cannot listen on the loopback ({error.strerror})."))

    async def listen(runner: Runner[E]) -> None:
        async for event in runner:
            tell(event)

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="asyncio")
    thread.start()
    try:
        yield bound.result()
    finally:
        with suppress(RuntimeError, IndexError):  # it ended by itself, or never began
            loops[0].call_soon_threadsafe(stopped.set)
        thread.join()


def print_packet(
    console: Console, seconds: float, ends: tuple[str, str], name: str, fields: str, styles: Mapping[str, str]
) -> None:
    """One line for one packet, from one end to the other."""
    line = Text(f"{seconds * 1000:7.1f} ms  ", style="dim")
    line.append(f"{ends[0]:>8}", styles.get(ends[0], ""))
    line.append(" \N{RIGHTWARDS ARROW} ", "dim")
    line.append(f"{ends[1]:<8}  ", styles.get(ends[1], ""))
    line.append(f"{name:<21}  ", "bold")
    line.append(fields, "dim")
    console.print(line, soft_wrap=True, highlight=False)


def say(console: Console, text: str, style: str = "") -> None:
    """A line of the story."""
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def require(what: str, happened: bool) -> None:
    """CommandFailed unless it has."""
    if not happened:
        raise CommandFailed(Exit.BUG, f"The demo waited in vain for {what}: this is a bug, please report it.")

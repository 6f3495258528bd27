"""Runs sansproto machines on asyncio: on its own loops, on uvloop, on any that has ``add_reader``."""

from sansproto_sockets import Bind

from .runner import Runner, run

__all__ = ["Bind", "Runner", "run"]

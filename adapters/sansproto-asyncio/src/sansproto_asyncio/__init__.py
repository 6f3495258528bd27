"""Runs sansproto machines on asyncio: on its own loops, on uvloop, on any that has ``add_reader``."""

from sansproto_sockets import Bind, system_entropy

from .runner import Runner, run, wall_epoch

__all__ = ["Bind", "Runner", "run", "system_entropy", "wall_epoch"]

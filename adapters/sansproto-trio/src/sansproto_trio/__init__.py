"""Runs sansproto machines on trio."""

from sansproto_sockets import Bind, system_entropy

from .runner import Runner, run, wall_epoch

__all__ = ["Bind", "Runner", "run", "system_entropy", "wall_epoch"]

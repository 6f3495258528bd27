"""Runs sansproto machines for blocking, threaded programs: one I/O thread for each endpoint."""

from sansproto_sockets import Bind, system_entropy, wall_epoch

from .runner import Runner, run

__all__ = ["Bind", "Runner", "run", "system_entropy", "wall_epoch"]

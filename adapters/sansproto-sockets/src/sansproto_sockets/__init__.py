"""Runs sansproto machines on plain sockets, with a loop of its own or inside yours."""

from .addresses import Bind
from .asynchronous import AsyncRunnerBase
from .base import RunnerBase
from .driver import Driver, Ready
from .runner import Runner, run
from .system import system_entropy, wall_epoch

__all__ = ["AsyncRunnerBase", "Bind", "Driver", "Ready", "Runner", "RunnerBase", "run", "system_entropy", "wall_epoch"]

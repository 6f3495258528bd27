"""A real domain server beside ours: a program that the environment variable OVERTE_DOMAIN_SERVER names.

docs/protocols/overte.rst, a real domain server, says how it is started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path as File
from typing import Any, Final, TypeVar

import pytest
from tox_parts import Running, free_port
from toxcore import HERE

from sansproto.overte import SOCKET, ClientDelays, Connected, DomainClient
from sansproto_sockets import run, system_entropy, wall_epoch

DOMAIN_SERVER: Final = os.environ.get("OVERTE_DOMAIN_SERVER", "")
ASSIGNMENT_CLIENT: Final = os.environ.get("OVERTE_ASSIGNMENT_CLIENT", "")
NEEDS: Final = pytest.mark.skipif(
    not os.access(DOMAIN_SERVER, os.X_OK), reason="OVERTE_DOMAIN_SERVER does not name a domain server"
)
NEEDS_MIXER: Final = pytest.mark.skipif(
    not os.access(ASSIGNMENT_CLIENT, os.X_OK), reason="OVERTE_ASSIGNMENT_CLIENT does not name an assignment client"
)
PATIENCE: Final = 60.0
_EPOCH: Final = wall_epoch()
_MESSAGES_MIXER: Final = 4

T = TypeVar("T")


class Program:
    """A real program with a folder of its own."""

    def __init__(self, folder: File, *command: str, environment: Mapping[str, str]) -> None:
        self._folder, self._command = folder, command
        self._environment = {
            **os.environ,
            **environment,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_DATA_HOME": str(folder / "data"),
            "HIFI_METAVERSE_URL": f"http://{HERE}:9",  # there is no directory
        }
        folder.mkdir()
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder, env=self._environment
            )

    def turn(self) -> None:
        assert self._process.poll() is None, "the real program has ended"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


class RealDomain(Program):
    """A domain server. Who sends from 127.0.0.1 is its owner; who sends from another address is a guest."""

    def __init__(self, folder: File, **security: Any) -> None:
        self.port = free_port()
        others = {f"HIFI_DOMAIN_SERVER_{name}_PORT": str(free_port()) for name in ("HTTP", "HTTPS", "DTLS")}
        permissions = [
            {"permissions_id": "localhost", "id_can_connect": True, "id_can_kick": True},
            {"permissions_id": "anonymous", "id_can_connect": True},
        ]
        config = {
            "version": 2.4,
            "metaverse": {"id": str(uuid.uuid4()), "local_port": str(self.port), "automatic_networking": "disabled"},
            "paths": {"/": {"viewpoint": "/1,2,3/0,0,0,1"}, "/hall": {"viewpoint": "/5,6,7/0,0,0,1"}},
            "security": {"standard_permissions": permissions, **security},
        }
        folder.mkdir()
        file = folder / "config.json"
        file.write_text(json.dumps(config))
        environment = {"HIFI_DOMAIN_SERVER_PORT": str(self.port), **others}
        super().__init__(folder / "home", DOMAIN_SERVER, "--user-config", str(file), environment=environment)


class RealMixer(Program):
    """A messages mixer, which gets its assignment from a real domain server."""

    def __init__(self, folder: File, domain: RealDomain) -> None:
        where = ("-t", str(_MESSAGES_MIXER), "-a", HERE, "--server-port", str(domain.port))
        super().__init__(folder, ASSIGNMENT_CLIENT, *where, environment={})


class Ours(Running):
    """A client of ours, on a real socket."""

    def __init__(self, port: int, *, bound: str = HERE, **more: Any) -> None:
        self.client = DomainClient(
            host=HERE,
            port=port,
            entropy=system_entropy,
            wall_epoch=_EPOCH,
            fingerprint=uuid.uuid4().bytes,
            delays=ClientDelays(give_up=None),
            **more,
        )
        super().__init__(run(self.client, sockets={SOCKET: (bound, 0)}))
        self.call(self.client.connect)

    def call(self, verb: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """A verb of the client, now."""
        result: T = self.runner.call(lambda now: verb(*arguments, now, **more))
        return result

    @property
    def id(self) -> bytes:
        return self.client.session_id

    @property
    def is_in(self) -> bool:
        return bool(self.of(Connected))

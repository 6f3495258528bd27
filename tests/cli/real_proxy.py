"""A proxy from the package index, as a process of its own: ``python real_proxy.py socks5`` prints its port.

It ends with its standard input. With a third word it wants that as a password.
"""

from __future__ import annotations

import sys
from typing import Any

import anyio
from tiny_proxy import HttpProxyHandler, Socks5ProxyHandler

KINDS: dict[str, Any] = {"http": HttpProxyHandler, "socks5": Socks5ProxyHandler}


async def serve(kind: str, password: str | None = None) -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    print(listener.extra(anyio.abc.SocketAttribute.local_port), flush=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, KINDS[kind](password and "user", password).handle)
        await anyio.to_thread.run_sync(sys.stdin.read)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(serve, *sys.argv[1:])

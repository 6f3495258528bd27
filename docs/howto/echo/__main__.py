"""``python -m echo 7000``: an echo server on asyncio, at one port of this host, for streams and for datagrams."""

import asyncio
import sys

from sansproto_asyncio import run, system_entropy

from . import GUESTS, PROBES, EchoServer


async def main(port: int) -> None:
    server = EchoServer(entropy=system_entropy)
    here = ("127.0.0.1", port)
    async with run(server, listen={GUESTS: here}, sockets={PROBES: here}) as runner:
        print("listening:", runner.addresses, flush=True)
        async for event in runner:
            print(event, flush=True)


try:
    asyncio.run(main(int(sys.argv[1])))
except KeyboardInterrupt:
    print("bye")

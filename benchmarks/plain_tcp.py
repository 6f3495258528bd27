"""The peer to measure against: the same bytes through a plain asyncio TCP proxy, in processes of their own.

``python -m benchmarks.plain_tcp proxy PORT TARGET | sink PORT | source PORT FILE``
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from pathlib import Path
from time import perf_counter

HOST = "127.0.0.1"
READ = 65536


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await reader.read(READ):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def proxy(port: int, target: int) -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection(HOST, target)
        await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))
        writer.close()
        other_writer.close()

    await _serve(serve, port)


async def sink(port: int) -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        with Path("/dev/null").open("wb", buffering=0) as out:
            while data := await reader.read(READ):
                out.write(data)
        writer.write(b"done")
        writer.close()

    await _serve(serve, port)


async def source(port: int, name: str) -> None:
    """Prints the seconds from the connection to the sink's answer."""
    start = perf_counter()
    reader, writer = await asyncio.open_connection(HOST, port)
    with Path(name).open("rb") as file:
        while data := file.read(READ):
            writer.write(data)
            await writer.drain()
    writer.write_eof()
    await reader.read()
    print(perf_counter() - start)
    writer.close()


async def _serve(serve: object, port: int) -> None:
    server = await asyncio.start_server(serve, HOST, port)  # type: ignore[arg-type]
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    role, port, *rest = sys.argv[1:]
    runs = {"proxy": lambda: proxy(int(port), int(rest[0])), "sink": lambda: sink(int(port))}
    asyncio.run(runs.get(role, lambda: source(int(port), rest[0]))())

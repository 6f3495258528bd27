"""``python chat_bot.py HOST PORT``: a bot in the chat of a domain, which answers every "ping" with "pong"."""

import asyncio
import sys

from sansproto.overte import SOCKET, ClientDelays, Denied, Disconnected, DomainClient, NodeActivated, PacketReceived
from sansproto.overte.payloads import MessagesData, MessagesSubscribe
from sansproto_asyncio import run, system_entropy, wall_epoch

CHANNEL = "chat"


async def main(host: str, port: int) -> None:
    bot = DomainClient(
        host=host,
        port=port,
        interest=b"m",  # the messages mixer alone
        entropy=system_entropy,
        wall_epoch=wall_epoch(),
        delays=ClientDelays(give_up=None),  # it waits for as long as the domain is away
    )
    async with run(bot, sockets={SOCKET: ("", 0)}) as runner:
        runner.call(bot.connect)
        async for event in runner:
            match event:
                case NodeActivated(mixer):  # again after each restart of the mixer or of the domain
                    runner.call(bot.send, mixer, MessagesSubscribe(CHANNEL))
                    print("in the chat", flush=True)
                case PacketReceived(mixer):
                    packet = bot.read(event)
                    if isinstance(packet, MessagesData) and packet.text == "ping":
                        print("asked", flush=True)
                        runner.call(bot.send, mixer, MessagesData.of_text(CHANNEL, "pong", bot.session_id))
                case Denied() | Disconnected():
                    print(event, flush=True)


try:
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
except KeyboardInterrupt:
    print("bye")

"""A messages mixer of our own: it passes messages on as the real one does."""

from __future__ import annotations

from typing import Any

from sansproto.overte import DomainClient, NodeRemoved, PacketReceived
from sansproto.overte.payloads import MessagesData, MessagesSubscribe, MessagesUnsubscribe
from sansproto.overte.qt import NULL_UUID
from sansproto.testing.network import Node, VirtualNetwork
from sansproto.wire import ABSENT

TICK = 0.05


class MessagesMixer:
    """Who subscribed to a channel gets each message of it, also one's own; nobody is asked who the sender is."""

    def __init__(self, node: Node[Any]) -> None:
        self.node = node
        self.client: DomainClient = node.endpoint
        self.seen = 0
        self.channels: dict[str, set[bytes]] = {}

    def work(self) -> None:
        for event in self.node.events[self.seen :]:
            self.seen += 1
            if isinstance(event, PacketReceived):
                self.take(event)
            elif isinstance(event, NodeRemoved):
                for subscribers in self.channels.values():
                    subscribers.discard(event.node_id)

    def take(self, event: PacketReceived) -> None:
        match self.client.read(event):
            case MessagesUnsubscribe(channel):
                self.channels.get(channel, set()).discard(event.node_id)
            case MessagesSubscribe(channel):
                self.channels.setdefault(channel, set()).add(event.node_id)
            case MessagesData(channel, is_text, data, sender):
                told = MessagesData(channel, is_text, data, NULL_UUID if sender is ABSENT else sender)
                for node_id in sorted(self.channels.get(channel, ())):
                    self.node.call(lambda now, node_id=node_id: self.client.send(node_id, told, now))  # type: ignore[misc]
            case _:
                pass


def live(net: VirtualNetwork, mixer: MessagesMixer, seconds: float) -> None:
    """Let time pass, with the mixer at work every 50 ms."""
    for _ in range(round(seconds / TICK)):
        net.run(TICK)
        mixer.work()

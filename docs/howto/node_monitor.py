"""``python node_monitor.py HOST PORT``: who comes to a domain and goes, and how far away each node is."""

import sys

from sansproto.overte import (
    SOCKET,
    ClientDelays,
    Denied,
    Disconnected,
    DomainClient,
    NodeActivated,
    NodeAdded,
    NodeMeasured,
    NodeRemoved,
    NodeType,
)
from sansproto_sockets import run, system_entropy, wall_epoch

EVERYBODY = b"".join(bytes([kind]) for kind in NodeType)


def monitor(host: str, port: int) -> None:
    client = DomainClient(
        host=host,
        port=port,
        interest=EVERYBODY,
        entropy=system_entropy,
        wall_epoch=wall_epoch(),
        delays=ClientDelays(give_up=None),  # it waits for as long as the domain is away
    )
    with run(client, sockets={SOCKET: ("", 0)}) as runner:
        runner.call(client.connect)
        for event in runner:
            match event:
                case NodeAdded(node):
                    print(node.node_id.hex()[:8], "is a", getattr(node.type, "name", node.type), flush=True)
                case NodeActivated(node_id, address):
                    print(node_id.hex()[:8], f"answers at {address.host}:{address.port}", flush=True)
                case NodeMeasured(node_id, ping_ms=ping):
                    print(node_id.hex()[:8], f"is {ping} ms away", flush=True)
                case NodeRemoved(node_id, why):
                    print(node_id.hex()[:8], "has gone:", why.name, flush=True)
                case Denied() | Disconnected():
                    print(event, flush=True)


try:
    monitor(sys.argv[1], int(sys.argv[2]))
except KeyboardInterrupt:
    print("bye")

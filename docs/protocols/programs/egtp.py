"""A peer is killed and starts again: the session comes back, and the other end is told."""

from sansproto.contract import Path
from sansproto.egtp import EgtpNode, Established, MessageReceived
from sansproto_threads import run, system_entropy, wall_epoch


def node(key: bytes) -> EgtpNode:
    return EgtpNode(private_key=key, entropy=system_entropy, wall_epoch=wall_epoch())


key, peer_key = (system_entropy(32, purpose="a private key") for _ in range(2))  # keep yours in a file
one, port = node(key), 0
with run(one, sockets={"udp": ("127.0.0.1", 0)}) as runner:
    for _ in range(2):
        peer = node(peer_key)  # the second time it remembers nothing but its key
        with run(peer, sockets={"udp": ("127.0.0.1", port)}) as running:
            port = running.addresses["udp"].port
            runner.call(one.connect, peer.public_key, Path("udp", "127.0.0.1", port))
            runner.call(one.send, peer.public_key, b"hello")  # the second time it is lost, and shows the restart
            print("session:", next(event.reason.name for event in runner if isinstance(event, Established)))
            runner.call(one.send, peer.public_key, b"hello")
            print("heard:", next(event.data for event in running if isinstance(event, MessageReceived)))
            running.abort()  # as a killed process, it says no goodbye

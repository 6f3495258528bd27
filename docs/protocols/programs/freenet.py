"""A peer joins a gateway and sends it a message; the gateway sends it back."""

from sansproto.contract import Path
from sansproto.freenet import Connected, FreenetGateway, FreenetPeer, MessageReceived
from sansproto_threads import run, system_entropy

key, gateway_key = (system_entropy(32, purpose="a private key") for _ in range(2))  # a gateway keeps its key in a file
gateway = FreenetGateway(private_key=gateway_key, entropy=system_entropy)
peer = FreenetPeer(private_key=key, entropy=system_entropy)
here = {"udp": ("127.0.0.1", 0)}  # any free port
with run(gateway, sockets=here) as serving, run(peer, sockets=here) as joining:
    path = Path("udp", "127.0.0.1", serving.addresses["udp"].port)
    joining.call(lambda now: peer.connect(gateway.public_key, path, now, gateway=True))
    generation = next(event.generation for event in joining if isinstance(event, Connected))
    joining.call(peer.send, generation, b"hello")
    asked = next(event for event in serving if isinstance(event, MessageReceived))
    serving.call(gateway.send, asked.generation, asked.data)
    print("heard:", next(event.data for event in joining if isinstance(event, MessageReceived)))

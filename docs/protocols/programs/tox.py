"""Two friends, and a message from one to the other, by UDP."""

from sansproto.contract import Path
from sansproto.tox import FriendOnline, MessageDelivered, MessageReceived, ToxNode
from sansproto_threads import run, system_entropy, wall_epoch


def node() -> ToxNode:
    real_key, dht_key = (system_entropy(32, purpose="a private key") for _ in range(2))  # keep both in a file
    return ToxNode(real_key=real_key, dht_key=dht_key, entropy=system_entropy, wall_epoch=wall_epoch())


one, other, here = node(), node(), {"udp": ("127.0.0.1", 0)}  # any free port
with run(one, sockets=here) as calling, run(other, sockets=here) as called:
    called.call(other.add_friend, one.real_key, one.dht_key)
    path = Path("udp", "127.0.0.1", called.addresses["udp"].port)
    calling.call(lambda now: one.add_friend(other.real_key, other.dht_key, now, path=path))
    friend = next(event.friend for event in calling if isinstance(event, FriendOnline))
    number = calling.call(one.send_message, friend, "hello")
    print("heard:", next(event.text for event in called if isinstance(event, MessageReceived)))
    print("delivered:", number == next(event.number for event in calling if isinstance(event, MessageDelivered)))

"""A sender and a receiver who share a password meet at a relay, and one file goes through it, encrypted."""

from sansproto.bob import RELAY_PORT, SECURE_PORT, Client, Connected, PackReader, PackWriter, PeerAgreed, Relay, Server
from sansproto.events import DataReceived
from sansproto_threads import run, system_entropy

contents, password, reader = b"hello", b"soarfly-bril", PackReader(max_size=1_000_000)
with run(Relay(), listen={RELAY_PORT: ("127.0.0.1", 0), SECURE_PORT: ("127.0.0.1", 0)}) as meeting:
    port, secure_port = (meeting.addresses[name].port for name in (RELAY_PORT, SECURE_PORT))
    at = ("127.0.0.1", port)
    server = Server(relay=at, secure_port=secure_port, password=password, entropy=system_entropy)
    client = Client(relay=at, secure_port=secure_port, password=password, entropy=system_entropy)
    with run(server) as sending, run(client) as receiving:
        sending.call(server.connect)
        receiving.call(client.connect)
        uid = next(event.uid for event in receiving if isinstance(event, PeerAgreed))  # this one knows the password
        receiving.call(client.accept, uid)
        next(event for event in sending if isinstance(event, Connected))
        pack = PackWriter("a.txt", len(contents))
        for record in (*pack.start(), *pack.write(contents), *pack.finish()):
            sending.call(server.send, record)
        sending.call(server.close)
        for event in receiving:  # the last event is Closed
            for part in reader.feed(event.data) if isinstance(event, DataReceived) else ():
                print(type(part).__name__)  # nothing is known to be complete before FileVerified

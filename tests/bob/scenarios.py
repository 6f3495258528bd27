"""The conversations of ``vectors/bob/sessions.json``: one party, one script each, recorded from our own machines.

They hit the rows and steps that no golden transcript does. ``make vectors`` writes the file again; the
same code gives the same file, byte by byte. All delays and limits stand in each ``config``: times in milliseconds.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from recording import Scenarios
from scripted_bob import (
    BASE_POINT,
    BOTH_WAYS,
    CLIENT,
    HOST,
    ME,
    OTHER,
    SCALAR,
    SERVER,
    THIRD,
    BobPeer,
    ClientPeer,
    RelayPeer,
    ServerPeer,
)

from sansproto.bob import SECURE_PORT, Channel, crypto
from sansproto.bob import packets as p
from sansproto.contract import Address, Link
from sansproto.testing.record import plain

scenario = Scenarios("bob/sessions.json")

# -- the scenarios of a client -----------------------------------------------------------------------------------------


def expire(peer: BobPeer, name: str) -> None:
    """Wait until the timer of this name has fired."""
    while any(timer.endswith(name) for timer in peer.timers()):
        peer.tick()


@scenario
def the_relay_has_two_addresses_of_which_the_second_answers() -> BobPeer:
    peer = ClientPeer.recorded(relay={"host": "relay.example", "port": 9000})
    peer.connect(0.0)
    peer.looked_up(1, (Address(HOST, 9000), Address("192.0.2.2", 9000)), 0.25)
    peer.drain()
    peer.stream_lost(peer.link, 0.5, detail="refused")
    peer.now += 0.5
    peer.open()
    peer.get(0, p.ClientIdentity(ME))
    peer.close(1.0)
    return peer


@scenario
def the_name_of_the_relay_is_unknown() -> BobPeer:
    peer = ClientPeer.recorded(relay={"host": "relay.example", "port": 9000})
    peer.connect(0.0)
    peer.looked_up(1, (), 0.25)
    return peer


@scenario
def the_name_of_the_relay_is_never_answered() -> BobPeer:
    peer = ClientPeer.recorded(relay={"host": "relay.example", "port": 9000})
    peer.connect(0.0)
    peer.tick()
    return peer


@scenario
def the_relay_refuses_the_connection() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.connect(0.0)
    peer.drain()
    peer.stream_lost(peer.link, 0.25, detail="refused")
    return peer


@scenario
def the_relay_takes_no_connection_in_time() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.connect(0.0)
    peer.tick()
    peer.stream_lost(Link(1), peer.now)
    return peer


@scenario
def a_client_changes_its_mind_before_the_relay_answers() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.fails(lambda: peer.accept(1, 0.0))
    peer.fails(lambda: peer.send(b"too early", 0.0))
    peer.connect(0.0)
    peer.fails(lambda: peer.connect(0.0))
    peer.close(0.25)
    peer.stream_lost(Link(1), 0.25)
    return peer


@scenario
def the_relay_does_not_answer_hello() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.connect(0.0)
    peer.open()
    peer.tick()
    return peer


@scenario
def the_relay_sends_what_is_no_packet() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.connect(0.0)
    peer.open()
    peer.receive_data(peer.link, b"HTTP/1.1 400 Bad Request\r\n", peer.now)
    return peer


@scenario
def nobody_ever_comes() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.tick()
    return peer


@scenario
def a_client_agrees_talks_both_ways_and_closes() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.talk()
    peer.fails(lambda: peer.accept(1, peer.now))
    peer.receive_data(peer.link, peer.other_sends.seal(0, b"from the server"), peer.now)
    peer.send(b"from the client", peer.now)
    peer.close(peer.now)
    peer.receive_data(peer.link, peer.other_sends.seal(1, b"crossing"), peer.now)
    peer.receive_data(peer.link, p.CLOSE, peer.now)
    peer.receive_eof(peer.link, peer.now)
    peer.stream_lost(peer.link, peer.now)
    peer.fails(lambda: peer.send(b"too late", peer.now))
    return peer


@scenario
def a_client_may_not_send_with_a_cipher_that_does_not_work() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.talk(client_cipher=p.Cipher.CHACHA20_POLY1305)
    peer.fails(lambda: peer.send(b"with ChaCha20", peer.now))
    peer.abort()
    return peer


@scenario
def nothing_moves_in_the_channel() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.talk()
    peer.tick()
    return peer


@scenario
def the_room_ends_in_the_middle_of_a_record() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.talk()
    peer.receive_data(peer.link, peer.other_sends.seal(0, b"from the server")[:-1], peer.now)
    peer.receive_eof(peer.link, peer.now)
    peer.stream_lost(peer.link, peer.now)
    return peer


@scenario
def a_refusal_leaves_the_client_at_the_relay() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.fails(lambda: peer.accept(1, peer.now))
    peer.announce()
    peer.tick()
    peer.fails(lambda: peer.refuse(1, peer.now))
    peer.reply()
    peer.get(1, p.Agreement())
    peer.refuse(1, peer.now)
    peer.agree(3)
    peer.accept(3, peer.now)
    return peer


def in_the_lobby() -> ClientPeer:
    peer = ClientPeer.recorded()
    peer.talk(answer=b"")
    return peer


def answered_in_the_lobby(answer: bytes) -> BobPeer:
    peer = in_the_lobby()
    peer.receive_data(peer.link, answer, peer.now)
    return peer


@scenario
def the_room_is_unknown() -> BobPeer:
    return answered_in_the_lobby(b"02")


@scenario
def the_room_has_expired() -> BobPeer:
    return answered_in_the_lobby(b"01")


@scenario
def the_answer_of_the_room_is_none() -> BobPeer:
    return answered_in_the_lobby(b"no")


@scenario
def the_room_closes_without_an_answer() -> BobPeer:
    peer = in_the_lobby()
    peer.receive_eof(peer.link, peer.now)
    return peer


@scenario
def the_other_peer_does_not_come_to_the_room() -> BobPeer:
    peer = in_the_lobby()
    peer.tick()
    return peer


@scenario
def the_secure_port_cannot_be_reached() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.meet()
    peer.drain()
    peer.stream_lost(peer.link, peer.now, detail="refused")
    return peer


@scenario
def the_relay_does_not_confirm_the_agreement() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.agree()
    peer.accept(1, peer.now)
    peer.tick()
    return peer


@scenario
def the_server_leaves_after_it_was_accepted() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.agree()
    peer.accept(1, peer.now)
    peer.get(0, p.PeerClosed(1))
    peer.agree(3)
    peer.accept(3, peer.now)
    return peer


@scenario
def servers_leave_at_every_stage() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.get(0, p.NewServer(1, BOTH_WAYS.encode(), OTHER))
    peer.get(0, p.PeerClosed(1))
    peer.tick()
    peer.announce(2)
    peer.tick()
    peer.get(0, p.PeerClosed(2))
    peer.agree(3)
    peer.get(0, p.PeerClosed(3))
    peer.fails(lambda: peer.accept(3, peer.now))
    return peer


@scenario
def parameters_that_nobody_can_use() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    encoded = bytearray(BOTH_WAYS.encode())
    encoded[12:14] = b"\x00\x02"  # ChaCha20 from server to client
    peer.get(0, p.NewServer(1, bytes(encoded), OTHER))
    peer.get(0, p.NewServer(2, b"\xff" * 34, OTHER))
    return peer


@scenario
def a_server_is_announced_again_and_then_anew() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.announce()
    peer.tick()
    peer.get(0, p.NewServer(1, BOTH_WAYS.encode(), OTHER))
    peer.announce(count=3)
    peer.tick()
    return peer


@scenario
def a_long_derivation_goes_in_slices() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.announce(count=1500)
    peer.tick()
    for _ in range(2):
        peer.tick()
    return peer


@scenario
def a_server_sends_no_point() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.announce()
    peer.tick()
    peer.get(1, p.YAndServerValidator(b"\x02" + bytes(31), bytes(64)))
    return peer


@scenario
def one_server_guesses_until_it_is_not_answered_any_more() -> BobPeer:
    peer = ClientPeer.recorded(limits={"guesses_of_one": 1})
    peer.register()
    peer.announce()
    peer.tick()
    peer.reply(password=b"wrong")
    peer.get(0, p.NewServer(1, BOTH_WAYS.encode(), OTHER))
    return peer


@scenario
def servers_guess_until_the_client_gives_up() -> BobPeer:
    peer = ClientPeer.recorded(limits={"guesses": 2})
    peer.register()
    for uid in (1, 2):
        peer.announce(uid)
        peer.tick()
        peer.reply(uid, password=b"wrong")
    return peer


@scenario
def a_client_spaces_its_answers_after_too_many_guesses() -> BobPeer:
    peer = ClientPeer.recorded(limits={"free_guesses": 0})
    peer.register()
    peer.get(0, p.NewServer(1, BOTH_WAYS.encode(), OTHER))
    peer.get(0, p.NewServer(2, BOTH_WAYS.encode(), THIRD))
    peer.tick()
    peer.tick()
    return peer


@scenario
def servers_speak_out_of_order_to_a_client() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.get(7, p.YAndServerValidator(bytes(32), bytes(64)))
    peer.get(7, p.Agreement())
    peer.get(7, p.SpokeFailure(p.SpokeFault.POINT))
    peer.announce()
    peer.tick()
    peer.get(1, p.Agreement())
    peer.reply()
    peer.get(1, p.YAndServerValidator(bytes(32), bytes(64)))
    peer.get(1, p.Refused())
    peer.get(0, p.Done())
    return peer


@scenario
def a_server_never_answers_x() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.announce()
    peer.tick()
    peer.tick()
    return peer


@scenario
def a_server_says_that_the_clients_proof_is_wrong() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.announce()
    peer.tick()
    peer.reply()
    peer.get(1, p.SpokeFailure(p.SpokeFault.CLIENT_VALIDATOR))
    return peer


# -- of a server -------------------------------------------------------------------------------------------------------


@scenario
def a_server_agrees_sends_and_is_closed() -> BobPeer:
    peer = ServerPeer.recorded()
    peer.talk()
    peer.send(b"from the server", peer.now)
    peer.receive_data(peer.link, peer.other_sends.seal(0, b"from the client"), peer.now)
    peer.receive_data(peer.link, p.CLOSE, peer.now)
    peer.stream_lost(peer.link, peer.now)
    return peer


@scenario
def the_room_closes_while_the_server_still_has_output() -> BobPeer:
    peer = ServerPeer.recorded()
    peer.talk()
    peer.stream_blocked(peer.link, peer.now)
    peer.send(b"never read", peer.now)
    peer.receive_data(peer.link, p.CLOSE, peer.now)
    peer.tick()
    return peer


@scenario
def a_client_sends_no_point() -> BobPeer:
    peer = ServerPeer.recorded()
    peer.register()
    peer.get(2, p.XAndClientIdentity(b"\x02" + bytes(31), OTHER))
    return peer


@scenario
def a_client_proves_nothing() -> BobPeer:
    peer = ServerPeer.recorded()
    peer.register()
    peer.ask()
    peer.get(2, p.ClientValidator(bytes(64)))
    return peer


@scenario
def clients_speak_out_of_order_to_a_server() -> BobPeer:
    peer = ServerPeer.recorded()
    peer.register()
    peer.get(7, p.ClientValidator(bytes(64)))
    peer.get(7, p.Accepted())
    peer.get(7, p.Refused())
    peer.ask()
    peer.ask()
    peer.get(2, p.Accepted())
    peer.prove()
    peer.get(2, p.ClientValidator(bytes(64)))
    peer.get(2, p.Refused())
    return peer


@scenario
def clients_leave_or_never_answer() -> BobPeer:
    peer = ServerPeer.recorded()
    peer.register()
    peer.ask(2)
    peer.get(0, p.PeerClosed(2))
    peer.get(0, p.PeerClosed(2))
    peer.ask(3)
    peer.tick()
    return peer


@scenario
def one_client_guesses_until_it_is_not_answered_any_more() -> BobPeer:
    peer = ServerPeer.recorded(limits={"guesses_of_one": 1})
    peer.register()
    peer.ask()
    peer.get(2, p.SpokeFailure(p.SpokeFault.SERVER_VALIDATOR))
    peer.ask()
    return peer


@scenario
def clients_guess_until_the_server_gives_up() -> BobPeer:
    peer = ServerPeer.recorded(limits={"guesses": 1})
    peer.register()
    peer.ask(2)
    peer.get(2, p.SpokeFailure(p.SpokeFault.SERVER_VALIDATOR))
    peer.ask(3)
    return peer


@scenario
def a_server_spaces_its_answers_after_too_many_guesses() -> BobPeer:
    peer = ServerPeer.recorded(limits={"free_guesses": 0})
    peer.register()
    peer.ask(2)
    peer.ask(3)
    peer.get(3, p.Accepted())
    peer.tick()
    return peer


@scenario
def a_server_is_closed_while_it_derives() -> BobPeer:
    peer = ServerPeer.recorded(count=1500)
    peer.connect(0.0)
    peer.tick()
    peer.close(peer.now)
    return peer


# -- of a relay --------------------------------------------------------------------------------------------------------


@scenario
def a_stranger_says_nothing() -> BobPeer:
    peer = RelayPeer.recorded()
    peer.come()
    peer.tick()
    return peer


@scenario
def a_stranger_says_nonsense_and_another_one_leaves() -> BobPeer:
    peer = RelayPeer.recorded()
    link, other = peer.come(), peer.come()
    peer.receive_data(link, b"GET / HTTP/1.1\r\n", peer.now)
    peer.receive_eof(other, peer.now)
    return peer


@scenario
def the_relay_has_no_uid_left() -> BobPeer:
    peer = RelayPeer.recorded(limits={"peers": 1})
    peer.join(CLIENT)
    peer.join(CLIENT)
    peer.join(SERVER)
    return peer


@scenario
def a_client_leaves_in_the_middle_of_an_exchange() -> BobPeer:
    peer = RelayPeer.recorded()
    peer.join(SERVER)
    client = peer.join(CLIENT)
    peer.ask(client, 1)
    peer.receive_eof(client, peer.now)
    peer.stream_lost(client, peer.now)
    peer.join(CLIENT)
    return peer


@scenario
def a_server_leaves_in_the_middle_of_an_exchange() -> BobPeer:
    peer = RelayPeer.recorded()
    server, client = peer.join(SERVER), peer.join(CLIENT)
    peer.ask(client, 1)
    peer.now += 1.0
    peer.stream_lost(server, peer.now, detail="reset")
    return peer


@scenario
def a_server_comes_and_goes_in_one_instant() -> BobPeer:
    peer = RelayPeer.recorded()
    peer.join(CLIENT)
    server = peer.join(SERVER)
    peer.stream_lost(server, peer.now, detail="reset")
    peer.now += 1.0
    peer.join(CLIENT)
    return peer


@scenario
def a_client_says_hello_again_and_asks_again() -> BobPeer:
    peer = RelayPeer.recorded()
    server, client = peer.join(SERVER), peer.join(CLIENT)
    peer.ask(client, 1)
    peer.put(client, 0, p.HelloAsClient())
    peer.put(server, 2, p.YAndServerValidator(SCALAR, bytes(64)))
    peer.ask(client, 1)
    peer.put(client, 0, p.HelloAsServer(BOTH_WAYS.encode()))
    return peer


@scenario
def peers_say_hello_too_often() -> BobPeer:
    peer = RelayPeer.recorded(limits={"hellos": 2})
    server, client = peer.join(SERVER), peer.join(CLIENT)
    for _ in range(2):
        peer.put(server, 0, p.HelloAsServer(BOTH_WAYS.encode()))
        peer.put(client, 0, p.HelloAsClient())
    return peer


@scenario
def packets_that_the_relay_does_not_pass_on() -> BobPeer:
    peer = RelayPeer.recorded()
    server, client, other_server, other_client = (
        peer.join(SERVER),
        peer.join(CLIENT),
        peer.join(SERVER),
        peer.join(CLIENT),
    )
    y, proof, agreement = p.YAndServerValidator(SCALAR, bytes(64)), p.ClientValidator(bytes(64)), p.Agreement()
    failure = p.SpokeFailure(p.SpokeFault.POINT)
    peer.ask(client, 99)
    peer.ask(client, 4)
    peer.put(client, 1, p.XAndClientIdentity(SCALAR, OTHER))
    peer.ask(server, 3)
    peer.put(server, 3, proof)
    peer.put(client, 99, proof)
    peer.put(client, 4, proof)
    peer.put(client, 1, proof)
    peer.put(client, 1, agreement)
    peer.put(server, 99, agreement)
    peer.put(server, 3, agreement)
    peer.put(server, 2, y)
    peer.put(other_client, 99, failure)
    peer.put(other_client, 2, failure)
    peer.put(other_server, 0, p.Done())
    peer.put(peer.come(), 1, failure)
    return peer


@scenario
def one_client_asks_more_servers_than_it_may() -> BobPeer:
    peer = RelayPeer.recorded(limits={"pairs_of_one": 1})
    servers = [peer.join(SERVER) for _ in range(3)]
    client = peer.join(CLIENT)
    peer.ask(client, 1)
    peer.ask(client, 2)
    peer.put(client, 3, p.SpokeFailure(p.SpokeFault.PUBLIC_PACKET))
    peer.now += 1.0
    peer.stream_lost(servers[0], peer.now, detail="reset")
    peer.ask(client, 2)
    return peer


@scenario
def a_server_that_reads_too_slowly_is_cut() -> BobPeer:
    peer = RelayPeer.recorded(limits={"link_queue": 100})
    server = peer.join(SERVER)
    clients = [peer.join(CLIENT) for _ in range(2)]
    peer.stream_blocked(server, peer.now)
    for client in clients:
        peer.ask(client, 1)
    peer.stream_lost(server, peer.now)
    return peer


@scenario
def a_peer_is_silent_for_too_long() -> BobPeer:
    peer = RelayPeer.recorded()
    client = peer.join(CLIENT)
    peer.now += 3000.0
    peer.put(client, 0, p.RelayFailure(p.Missing.AGREEMENT, 0))
    peer.tick()
    peer.stream_lost(client, peer.now)
    return peer


@scenario
def a_registered_peer_says_nonsense() -> BobPeer:
    peer = RelayPeer.recorded()
    server = peer.join(SERVER)
    peer.join(CLIENT)
    peer.now += 1.0
    peer.receive_data(server, b"\x00" * 6, peer.now)
    peer.receive_data(server, b"late", peer.now)
    return peer


@scenario
def two_peers_talk_in_a_room() -> BobPeer:
    peer = RelayPeer.recorded()
    client, server = peer.unite()
    peer.come(SECURE_PORT, server)
    early = Link(3)
    peer.receive_data(early, b"lost", peer.now)
    other = peer.come(SECURE_PORT, client)
    peer.receive_data(other, b"over", peer.now)
    peer.receive_data(early, b"and back", peer.now)
    peer.receive_eof(early, peer.now)
    peer.stream_lost(early, peer.now)
    peer.stream_lost(other, peer.now)
    return peer


@scenario
def strangers_at_the_secure_port() -> BobPeer:
    peer = RelayPeer.recorded()
    client, _ = peer.unite()
    peer.come(SECURE_PORT, "203.0.113.1:1")
    peer.receive_data(peer.come(SECURE_PORT), b"x" * 101, peer.now)
    peer.receive_eof(peer.come(SECURE_PORT), peer.now)
    peer.come(SECURE_PORT, client)
    peer.come(SECURE_PORT, client)
    peer.come(SECURE_PORT)
    expire(peer, "LINE")
    expire(peer, "ROOM")
    return peer


@scenario
def the_first_visitor_leaves_the_room() -> BobPeer:
    peer = RelayPeer.recorded()
    client, server = peer.unite()
    link = peer.come(SECURE_PORT, client)
    peer.receive_eof(link, peer.now)
    peer.come(SECURE_PORT, server)
    return peer


@scenario
def nothing_moves_in_a_room() -> BobPeer:
    peer = RelayPeer.recorded()
    for line in peer.unite():
        peer.come(SECURE_PORT, line)
    expire(peer, "SILENCE")
    return peer


@scenario
def a_relay_closes_and_tells_everybody() -> BobPeer:
    peer = RelayPeer.recorded()
    for line in peer.unite():
        peer.come(SECURE_PORT, line)
    peer.join(SERVER)
    peer.join(CLIENT)
    peer.come()
    peer.close(peer.now)
    for link in range(3, 8):
        peer.stream_lost(Link(link), peer.now)
    return peer


@scenario
def a_slow_reader_pauses_the_other_end_of_its_room() -> BobPeer:
    peer = RelayPeer.recorded(limits={"link_queue": 400})
    one, other = (peer.come(SECURE_PORT, line) for line in peer.unite())
    peer.stream_blocked(other, peer.now)
    peer.receive_data(one, bytes(300), peer.now)
    peer.stream_unblocked(other, peer.now)
    peer.stream_blocked(other, peer.now)
    peer.tick()
    return peer


@scenario
def a_relay_closes_while_a_client_reads_slowly() -> BobPeer:
    peer = RelayPeer.recorded()
    client = peer.join(CLIENT)
    peer.stream_blocked(client, peer.now)
    peer.close(peer.now)
    peer.stream_unblocked(client, peer.now)
    peer.stream_blocked(client, peer.now)
    peer.tick()
    return peer


# -- of a channel alone ------------------------------------------------------------------------------------------------

HERE, THERE = (crypto.RecordKey(bytes([n]) * 32, bytes([n]) * 12) for n in (1, 2))
sealed = crypto.RecordCipher(THERE).seal


class ChannelPeer(BobPeer):
    kind, role = "bob.channel", Channel
    usual: ClassVar[Any] = {"send_key": plain(HERE), "receive_key": plain(THERE)}


@scenario
def a_channel_takes_no_more_than_its_buffer() -> BobPeer:
    peer = ChannelPeer.recorded(limits={"send_buffer": 1000})
    peer.send(bytes(33_000), 0.0)
    peer.send(b"more", 0.25)
    return peer


@scenario
def a_channel_that_cannot_send() -> BobPeer:
    peer = ChannelPeer.recorded(send_key=None)
    peer.fails(lambda: peer.send(b"nothing", 0.0))
    peer.receive_data(sealed(0, b"it receives"), 0.25)
    peer.abort()
    return peer


@scenario
def both_ends_close_a_channel() -> BobPeer:
    peer = ChannelPeer.recorded()
    peer.close(0.0)
    peer.fails(lambda: peer.send(b"too late", 0.125))
    peer.receive_data(sealed(0, b"crossing") + p.CLOSE + b"behind", 0.25)
    peer.take_trailing_data()
    peer.receive_data(b"late", 0.5)
    return peer


@scenario
def the_other_end_closes_a_channel() -> BobPeer:
    peer = ChannelPeer.recorded()
    peer.receive_data(p.CLOSE, 0.25)
    return peer


@scenario
def the_other_end_does_not_answer_our_close() -> BobPeer:
    peer = ChannelPeer.recorded()
    peer.close(0.0)
    peer.tick()
    return peer


@scenario
def a_record_was_changed() -> BobPeer:
    peer = ChannelPeer.recorded()
    peer.receive_data(sealed(0, b"good") + sealed(7, b"replayed"), 0.25)
    return peer


@scenario
def a_record_is_too_long() -> BobPeer:
    peer = ChannelPeer.recorded()
    peer.receive_data(b"\x80\x00", 0.25)
    return peer


@scenario
def a_channel_is_cut() -> BobPeer:
    peer = ChannelPeer.recorded()
    peer.receive_data(sealed(0, b"good")[:-1], 0.25)
    peer.transport_lost(0.5, detail="reset")
    return peer


# -- of a relay that is flooded: behind the others, whose numbers stay -------------------------------------------------


@scenario
def floods_are_cut_and_many_of_them_one_after_another() -> BobPeer:
    peer = RelayPeer.recorded(limits={"dropped_burst": 2, "cuts": 1}, delays={"mute": 2.5})
    peer.join(SERVER)
    flooder, other, third, stranger, newcomer = (
        peer.join(CLIENT),
        peer.join(CLIENT),
        peer.join(SERVER),
        peer.come(),
        peer.come(),
    )
    wasted = p.encode(99, p.Accepted())
    peer.receive_data(flooder, wasted * 2, peer.now)
    peer.now += 0.5
    peer.receive_data(flooder, wasted * 3, peer.now)
    peer.receive_data(flooder, wasted, peer.now)
    for link in (stranger, newcomer, other, third):
        peer.receive_data(link, wasted * 4, peer.now)
    peer.stream_lost(flooder, peer.now)
    peer.stream_lost(third, peer.now)
    for _ in range(3):
        peer.tick()
    late = peer.come()
    peer.now += 5.0
    peer.receive_data(late, wasted * 3, peer.now)
    return peer


@scenario
def who_answers_those_that_leave_is_excused() -> BobPeer:
    peer = RelayPeer.recorded(limits={"dropped_burst": 1})
    server, client = peer.join(SERVER), peer.join(CLIENT)
    peer.ask(client, 1)
    peer.stream_lost(client, peer.now)
    for _ in range(4):
        peer.put(server, 2, p.YAndServerValidator(SCALAR, bytes(64)))
    return peer


@scenario
def reports_to_the_relay_are_no_way_to_flood_it() -> BobPeer:
    peer = RelayPeer.recorded(limits={"dropped_burst": 1})
    peer.join(SERVER)
    client = peer.join(CLIENT)
    for _ in range(5):
        peer.put(client, 0, p.RelayFailure(p.Missing.AGREEMENT, 0))
    return peer


@scenario
def a_link_gives_some_packets_a_call_and_the_rest_later() -> BobPeer:
    peer = RelayPeer.recorded(limits={"link_packets": 2})
    peer.join(SERVER)
    client = peer.come()
    peer.receive_data(client, p.encode(0, p.HelloAsClient()) * 3, peer.now)
    peer.tick()
    return peer


@scenario
def a_visitor_talks_for_too_long_before_its_partner_comes() -> BobPeer:
    peer = RelayPeer.recorded(limits={"early": 8})
    client, server = peer.unite()
    early = peer.come(SECURE_PORT, client)
    peer.receive_data(early, b"12345678", peer.now)
    peer.receive_data(early, b"9", peer.now)
    peer.come(SECURE_PORT, server)
    return peer


# -- of clients and servers again: whose turn it is --------------------------------------------------------------------

HOSTS = (OTHER, "198.51.100.8:2", "198.51.100.8:3", THIRD, "2001:db8::1:1", "2001:db8::2:1", "2001:db8:0:1::1:1")
NO_ADDRESSES = ("a name:1", "another", "::ffff:198.51.100.8:4")


@scenario
def hosts_take_turns_at_a_server() -> BobPeer:
    peer = ServerPeer.recorded(limits={"free_guesses": 0})
    peer.register()
    for uid, identity in enumerate((*HOSTS, *NO_ADDRESSES), 2):
        peer.get(uid, p.XAndClientIdentity(BASE_POINT, identity))
    for _ in range(len(HOSTS) + len(NO_ADDRESSES) - 1):
        peer.tick()
    return peer


@scenario
def who_waits_for_its_turn_at_a_server_leaves() -> BobPeer:
    peer = ServerPeer.recorded(limits={"free_guesses": 0})
    peer.register()
    for uid in (2, 3, 4):
        peer.ask(uid)
    peer.get(0, p.PeerClosed(3))
    peer.get(0, p.PeerClosed(4))
    peer.ask(5)
    peer.tick()
    return peer


@scenario
def one_host_has_no_more_than_its_share_of_a_servers_places() -> BobPeer:
    peer = ServerPeer.recorded(limits={"free_guesses": 0, "guesses": 13})
    peer.register()
    for uid in range(2, 7):
        peer.ask(uid)
    peer.get(7, p.XAndClientIdentity(BASE_POINT, THIRD))
    for _ in range(3):
        peer.tick()
    return peer


@scenario
def hosts_take_turns_at_a_client() -> BobPeer:
    peer = ClientPeer.recorded(limits={"free_guesses": 0})
    peer.register()
    for uid, identity in enumerate((*HOSTS, *NO_ADDRESSES), 1):
        peer.get(0, p.NewServer(uid, BOTH_WAYS.encode(), identity))
    peer.get(0, p.PeerClosed(5))
    for _ in range(len(HOSTS) + len(NO_ADDRESSES) + 1):
        peer.tick()
    return peer


@scenario
def a_client_derives_what_is_short_first_and_every_fourth_slice_what_is_old() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    for uid, count in enumerate((2000, 3000, 1000, 2, 1000), 1):
        peer.get(0, p.NewServer(uid, attrs.evolve(BOTH_WAYS, count=count).encode(), OTHER))
    expire(peer, "WORK")
    return peer


# -- of packets that nobody expects: each is dropped, and what follows is understood ----------------------------------


@scenario
def what_is_for_the_relay_is_sent_to_a_peer() -> BobPeer:
    peer = RelayPeer.recorded()
    peer.join(SERVER)
    client = peer.join(CLIENT)
    peer.now += 1.0
    peer.put(client, 1, p.HelloAsClient())
    peer.put(client, 1, p.RelayFailure(p.Missing.AGREEMENT, 0))
    peer.ask(client, 1)
    return peer


@scenario
def somebody_speaks_in_the_relays_name_to_a_client() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    for packet in (
        p.ClientIdentity(OTHER),
        p.NewServer(1, BOTH_WAYS.encode(), OTHER),
        p.PeerClosed(p.RELAY),
        p.Timeout(),
        p.Done(),
        p.HelloAsClient(),
    ):
        peer.get(7, packet)
    peer.announce()
    peer.tick()
    return peer


@scenario
def a_server_is_announced_anew_after_it_agreed() -> BobPeer:
    peer = ClientPeer.recorded()
    peer.register()
    peer.agree()
    peer.announce(count=3)
    peer.tick()
    peer.fails(lambda: peer.accept(1, peer.now))
    return peer


@scenario
def the_relay_asks_a_server_as_if_it_were_a_client() -> BobPeer:
    peer = ServerPeer.recorded()
    peer.connect(0.0)
    peer.tick()
    peer.open()
    peer.get(2, p.XAndClientIdentity(BASE_POINT, OTHER))
    peer.get(0, p.ServerIdentity(ME))
    peer.get(0, p.XAndClientIdentity(BASE_POINT, OTHER))
    peer.get(2, p.XAndClientIdentity(BASE_POINT, OTHER))
    return peer


# -- a server comes back -----------------------------------------------------------------------------------------------


def back_at_the_relay(peer: ServerPeer) -> None:
    """It goes to the relay again, whoever it was that did not come."""
    peer.open()
    peer.get(p.RELAY, p.ServerIdentity(THIRD))
    peer.said()


@scenario
def the_partner_of_a_server_does_not_come_and_the_next_one_does() -> BobPeer:
    peer = ServerPeer.recorded(comes_back=True, limits={"guesses_of_one": 1, "guesses": 2})
    peer.register()
    peer.ask(9)
    peer.get(9, p.SpokeFailure(p.SpokeFault.SERVER_VALIDATOR))
    peer.meet()
    peer.open()
    expire(peer, "LOBBY")
    back_at_the_relay(peer)
    peer.ask(9)  # it was not forgotten how often it guessed
    peer.ask(4)
    return peer


@scenario
def the_room_of_a_server_is_taken() -> BobPeer:
    peer = ServerPeer.recorded(comes_back=True)
    peer.talk(answer=b"")
    peer.receive_data(peer.link, b"02", peer.now)
    back_at_the_relay(peer)
    return peer


@scenario
def the_room_of_a_server_is_lost() -> BobPeer:
    peer = ServerPeer.recorded(comes_back=True)
    peer.talk(answer=b"")
    peer.stream_lost(peer.link, peer.now)
    peer.stream_lost(peer.link, peer.now, detail="refused")
    return peer


if __name__ == "__main__":
    scenario.write()

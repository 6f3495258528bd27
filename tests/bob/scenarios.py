"""The conversations of ``vectors/bob/sessions.json``: one party, one script each, recorded from our own machines.

They hit the rows and steps that no golden transcript does. ``python tests/bob/scenarios.py`` writes the file again; the
same code gives the same file, byte by byte. All delays and limits stand in each ``config``: times in milliseconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import attrs
from stages import (
    BASE_POINT,
    BOTH_WAYS,
    HOST,
    ME,
    OTHER,
    SALT,
    SCALAR,
    THIRD,
    ChannelStage,
    ClientStage,
    RelayStage,
    ServerStage,
    Stage,
)

from sansproto import __version__
from sansproto.bob import crypto
from sansproto.bob import packets as p
from sansproto.contract import Address, Link
from sansproto.testing import staging
from sansproto.testing.charts import write_json
from sansproto.testing.staging import Config

PATH = Path(__file__).parents[2] / "vectors" / "bob" / "sessions.json"

# -- the scenarios of a client -----------------------------------------------------------------------------------------

SCENARIOS: list[Callable[[], Stage]] = []


def scenario(function: Callable[[], Stage]) -> Callable[[], Stage]:
    SCENARIOS.append(function)
    return function


@scenario
def the_relay_has_two_addresses_of_which_the_second_answers() -> Stage:
    stage = ClientStage(host="relay.example")
    stage.connect(0.0)
    stage.looked_up(1, (Address(HOST, 9000), Address("192.0.2.2", 9000)), 0.25)
    stage.flush()
    stage.stream_lost(stage.asked[-1].link, 0.5, detail="refused")
    stage.wait(0.5)
    stage.open()
    stage.get(0, p.ClientIdentity(ME))
    stage.close(1.0)
    return stage


@scenario
def the_name_of_the_relay_is_unknown() -> Stage:
    stage = ClientStage(host="relay.example")
    stage.connect(0.0)
    stage.looked_up(1, (), 0.25)
    return stage


@scenario
def the_name_of_the_relay_is_never_answered() -> Stage:
    stage = ClientStage(host="relay.example")
    stage.connect(0.0)
    stage.tick()
    return stage


@scenario
def the_relay_refuses_the_connection() -> Stage:
    stage = ClientStage()
    stage.connect(0.0)
    stage.flush()
    stage.stream_lost(stage.asked[-1].link, 0.25, detail="refused")
    return stage


@scenario
def the_relay_takes_no_connection_in_time() -> Stage:
    stage = ClientStage()
    stage.connect(0.0)
    stage.tick()
    stage.stream_lost(Link(1), stage.now)
    return stage


@scenario
def a_client_changes_its_mind_before_the_relay_answers() -> Stage:
    stage = ClientStage()
    stage.fails(lambda: stage.accept(1, 0.0))
    stage.fails(lambda: stage.send(b"too early", 0.0))
    stage.connect(0.0)
    stage.fails(lambda: stage.connect(0.0))
    stage.close(0.25)
    stage.stream_lost(Link(1), 0.25)
    return stage


@scenario
def the_relay_does_not_answer_hello() -> Stage:
    stage = ClientStage()
    stage.connect(0.0)
    stage.open()
    stage.tick()
    return stage


@scenario
def the_relay_sends_what_is_no_packet() -> Stage:
    stage = ClientStage()
    stage.connect(0.0)
    stage.open()
    stage.receive_data(stage.link, b"HTTP/1.1 400 Bad Request\r\n", stage.now)
    return stage


@scenario
def nobody_ever_comes() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.tick()
    return stage


@scenario
def a_client_agrees_talks_both_ways_and_closes() -> Stage:
    stage = ClientStage()
    stage.talk()
    stage.fails(lambda: stage.accept(1, stage.now))
    stage.receive_data(stage.link, stage.other_sends.seal(0, b"from the server"), stage.now)
    stage.send(b"from the client", stage.now)
    stage.close(stage.now)
    stage.receive_data(stage.link, stage.other_sends.seal(1, b"crossing"), stage.now)
    stage.receive_data(stage.link, p.CLOSE, stage.now)
    stage.receive_eof(stage.link, stage.now)
    stage.stream_lost(stage.link, stage.now)
    stage.fails(lambda: stage.send(b"too late", stage.now))
    return stage


@scenario
def a_client_may_not_send_with_a_cipher_that_does_not_work() -> Stage:
    stage = ClientStage()
    stage.talk(attrs.evolve(BOTH_WAYS, client_cipher=p.Cipher.CHACHA20_POLY1305))
    stage.fails(lambda: stage.send(b"with ChaCha20", stage.now))
    stage.abort()
    return stage


@scenario
def nothing_moves_in_the_channel() -> Stage:
    stage = ClientStage()
    stage.talk()
    stage.tick()
    return stage


@scenario
def the_room_ends_in_the_middle_of_a_record() -> Stage:
    stage = ClientStage()
    stage.talk()
    stage.receive_data(stage.link, stage.other_sends.seal(0, b"from the server")[:-1], stage.now)
    stage.receive_eof(stage.link, stage.now)
    stage.stream_lost(stage.link, stage.now)
    return stage


@scenario
def a_refusal_leaves_the_client_at_the_relay() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.fails(lambda: stage.accept(1, stage.now))
    stage.meet()
    stage.fails(lambda: stage.refuse(1, stage.now))
    stage.reply()
    stage.get(1, p.Agreement())
    stage.refuse(1, stage.now)
    stage.agree(3)
    stage.accept(3, stage.now)
    return stage


def in_the_lobby() -> ClientStage:
    stage = ClientStage()
    stage.register()
    stage.agree()
    stage.accept(1, stage.now)
    stage.get(0, p.Done())
    stage.approach()
    return stage


def answered_in_the_lobby(answer: bytes) -> Stage:
    stage = in_the_lobby()
    stage.receive_data(stage.link, answer, stage.now)
    return stage


@scenario
def the_room_is_unknown() -> Stage:
    return answered_in_the_lobby(b"02")


@scenario
def the_room_has_expired() -> Stage:
    return answered_in_the_lobby(b"01")


@scenario
def the_answer_of_the_room_is_none() -> Stage:
    return answered_in_the_lobby(b"no")


@scenario
def the_room_closes_without_an_answer() -> Stage:
    stage = in_the_lobby()
    stage.receive_eof(stage.link, stage.now)
    return stage


@scenario
def the_other_peer_does_not_come_to_the_room() -> Stage:
    stage = in_the_lobby()
    stage.tick()
    return stage


@scenario
def the_secure_port_cannot_be_reached() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.agree()
    stage.accept(1, stage.now)
    stage.get(0, p.Done())
    stage.flush()
    stage.stream_lost(stage.asked[-1].link, stage.now, detail="refused")
    return stage


@scenario
def the_relay_does_not_confirm_the_agreement() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.agree()
    stage.accept(1, stage.now)
    stage.tick()
    return stage


@scenario
def the_server_leaves_after_it_was_accepted() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.agree()
    stage.accept(1, stage.now)
    stage.get(0, p.PeerClosed(1))
    stage.agree(3)
    stage.accept(3, stage.now)
    return stage


@scenario
def servers_leave_at_every_stage() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.get(0, p.NewServer(1, BOTH_WAYS.encode(), OTHER))
    stage.get(0, p.PeerClosed(1))
    stage.tick()
    stage.meet(2)
    stage.get(0, p.PeerClosed(2))
    stage.agree(3)
    stage.get(0, p.PeerClosed(3))
    stage.fails(lambda: stage.accept(3, stage.now))
    return stage


@scenario
def parameters_that_nobody_can_use() -> Stage:
    stage = ClientStage()
    stage.register()
    encoded = bytearray(BOTH_WAYS.encode())
    encoded[12:14] = b"\x00\x02"  # ChaCha20 from server to client
    stage.get(0, p.NewServer(1, bytes(encoded), OTHER))
    stage.get(0, p.NewServer(2, b"\xff" * 34, OTHER))
    return stage


@scenario
def a_server_is_announced_again_and_then_anew() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.meet()
    stage.get(0, p.NewServer(1, BOTH_WAYS.encode(), OTHER))
    stage.meet(1, attrs.evolve(BOTH_WAYS, count=3))
    return stage


@scenario
def a_long_derivation_goes_in_slices() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.meet(public=attrs.evolve(BOTH_WAYS, count=1500))
    for _ in range(2):
        stage.tick()
    return stage


@scenario
def a_server_sends_no_point() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.meet()
    stage.get(1, p.YAndServerValidator(b"\x02" + bytes(31), bytes(64)))
    return stage


@scenario
def one_server_guesses_until_it_is_not_answered_any_more() -> Stage:
    stage = ClientStage(limits={"guesses_of_one": 1})
    stage.register()
    stage.meet()
    stage.reply(secret=crypto.ServerSecret.from_derived(crypto.derive(b"wrong", SALT, 2)))
    stage.get(0, p.NewServer(1, BOTH_WAYS.encode(), OTHER))
    return stage


@scenario
def servers_guess_until_the_client_gives_up() -> Stage:
    stage = ClientStage(limits={"guesses": 2})
    stage.register()
    wrong = crypto.ServerSecret.from_derived(crypto.derive(b"wrong", SALT, 2))
    for uid in (1, 2):
        stage.meet(uid)
        stage.reply(uid, wrong)
    return stage


@scenario
def a_client_spaces_its_answers_after_too_many_guesses() -> Stage:
    stage = ClientStage(limits={"free_guesses": 0})
    stage.register()
    stage.get(0, p.NewServer(1, BOTH_WAYS.encode(), OTHER))
    stage.get(0, p.NewServer(2, BOTH_WAYS.encode(), THIRD))
    stage.tick()
    stage.tick()
    return stage


@scenario
def servers_speak_out_of_order_to_a_client() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.get(7, p.YAndServerValidator(bytes(32), bytes(64)))
    stage.get(7, p.Agreement())
    stage.get(7, p.SpokeFailure(p.SpokeFault.POINT))
    stage.meet()
    stage.get(1, p.Agreement())
    stage.reply()
    stage.get(1, p.YAndServerValidator(bytes(32), bytes(64)))
    stage.get(1, p.Refused())
    stage.get(0, p.Done())
    return stage


@scenario
def a_server_never_answers_x() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.meet()
    stage.tick()
    return stage


@scenario
def a_server_says_that_the_clients_proof_is_wrong() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.meet()
    stage.reply()
    stage.get(1, p.SpokeFailure(p.SpokeFault.CLIENT_VALIDATOR))
    return stage


# -- of a server -------------------------------------------------------------------------------------------------------


@scenario
def a_server_agrees_sends_and_is_closed() -> Stage:
    stage = ServerStage()
    stage.talk()
    stage.send(b"from the server", stage.now)
    other_sends = crypto.RecordCipher(crypto.RecordKey.from_shared(stage.half.keys.server))
    stage.receive_data(stage.link, other_sends.seal(0, b"from the client"), stage.now)
    stage.receive_data(stage.link, p.CLOSE, stage.now)
    stage.stream_lost(stage.link, stage.now)
    return stage


@scenario
def the_room_closes_while_the_server_still_has_output() -> Stage:
    stage = ServerStage()
    stage.talk()
    stage.stream_blocked(stage.link, stage.now)
    stage.send(b"never read", stage.now)
    stage.receive_data(stage.link, p.CLOSE, stage.now)
    stage.tick()
    return stage


@scenario
def a_client_sends_no_point() -> Stage:
    stage = ServerStage()
    stage.register()
    stage.get(2, p.XAndClientIdentity(b"\x02" + bytes(31), OTHER))
    return stage


@scenario
def a_client_proves_nothing() -> Stage:
    stage = ServerStage()
    stage.register()
    stage.ask()
    stage.get(2, p.ClientValidator(bytes(64)))
    return stage


@scenario
def clients_speak_out_of_order_to_a_server() -> Stage:
    stage = ServerStage()
    stage.register()
    stage.get(7, p.ClientValidator(bytes(64)))
    stage.get(7, p.Accepted())
    stage.get(7, p.Refused())
    stage.ask()
    stage.ask()
    stage.get(2, p.Accepted())
    stage.prove()
    stage.get(2, p.ClientValidator(bytes(64)))
    stage.get(2, p.Refused())
    return stage


@scenario
def clients_leave_or_never_answer() -> Stage:
    stage = ServerStage()
    stage.register()
    stage.ask(2)
    stage.get(0, p.PeerClosed(2))
    stage.get(0, p.PeerClosed(2))
    stage.ask(3)
    stage.tick()
    return stage


@scenario
def one_client_guesses_until_it_is_not_answered_any_more() -> Stage:
    stage = ServerStage(limits={"guesses_of_one": 1})
    stage.register()
    stage.ask()
    stage.get(2, p.SpokeFailure(p.SpokeFault.SERVER_VALIDATOR))
    stage.ask()
    return stage


@scenario
def clients_guess_until_the_server_gives_up() -> Stage:
    stage = ServerStage(limits={"guesses": 1})
    stage.register()
    stage.ask(2)
    stage.get(2, p.SpokeFailure(p.SpokeFault.SERVER_VALIDATOR))
    stage.ask(3)
    return stage


@scenario
def a_server_spaces_its_answers_after_too_many_guesses() -> Stage:
    stage = ServerStage(limits={"free_guesses": 0})
    stage.register()
    stage.ask(2)
    stage.ask(3)
    stage.get(3, p.Accepted())
    stage.tick()
    return stage


@scenario
def a_server_is_closed_while_it_derives() -> Stage:
    stage = ServerStage(count=1500)
    stage.connect(0.0)
    stage.tick()
    stage.close(stage.now)
    return stage


# -- of a relay --------------------------------------------------------------------------------------------------------


@scenario
def a_stranger_says_nothing() -> Stage:
    stage = RelayStage()
    stage.join()
    stage.tick()
    return stage


@scenario
def a_stranger_says_nonsense_and_another_one_leaves() -> Stage:
    stage = RelayStage()
    link, other = stage.join(), stage.join()
    stage.receive_data(link, b"GET / HTTP/1.1\r\n", stage.now)
    stage.receive_eof(other, stage.now)
    return stage


@scenario
def the_relay_has_no_uid_left() -> Stage:
    stage = RelayStage(limits={"peers": 1})
    stage.new_client()
    stage.new_client()
    stage.new_server()
    return stage


@scenario
def a_client_leaves_in_the_middle_of_an_exchange() -> Stage:
    stage = RelayStage()
    stage.new_server()
    client = stage.new_client()
    stage.ask(client, 1)
    stage.receive_eof(client, stage.now)
    stage.stream_lost(client, stage.now)
    stage.new_client()
    return stage


@scenario
def a_server_leaves_in_the_middle_of_an_exchange() -> Stage:
    stage = RelayStage()
    server, client = stage.new_server(), stage.new_client()
    stage.ask(client, 1)
    stage.wait(1.0)
    stage.stream_lost(server, stage.now, detail="reset")
    return stage


@scenario
def a_server_comes_and_goes_in_one_instant() -> Stage:
    stage = RelayStage()
    stage.new_client()
    server = stage.new_server()
    stage.stream_lost(server, stage.now, detail="reset")
    stage.wait(1.0)
    stage.new_client()
    return stage


@scenario
def a_client_says_hello_again_and_asks_again() -> Stage:
    stage = RelayStage()
    server, client = stage.new_server(), stage.new_client()
    stage.ask(client, 1)
    stage.put(client, 0, p.HelloAsClient())
    stage.put(server, 2, p.YAndServerValidator(SCALAR, bytes(64)))
    stage.ask(client, 1)
    stage.put(client, 0, p.HelloAsServer(BOTH_WAYS.encode()))
    return stage


@scenario
def peers_say_hello_too_often() -> Stage:
    stage = RelayStage(limits={"hellos": 2})
    server, client = stage.new_server(), stage.new_client()
    for _ in range(2):
        stage.put(server, 0, p.HelloAsServer(BOTH_WAYS.encode()))
        stage.put(client, 0, p.HelloAsClient())
    return stage


@scenario
def packets_that_the_relay_does_not_pass_on() -> Stage:
    stage = RelayStage()
    server, client, other_server, other_client = (
        stage.new_server(),
        stage.new_client(),
        stage.new_server(),
        stage.new_client(),
    )
    y, proof, agreement = p.YAndServerValidator(SCALAR, bytes(64)), p.ClientValidator(bytes(64)), p.Agreement()
    failure = p.SpokeFailure(p.SpokeFault.POINT)
    stage.ask(client, 99)
    stage.ask(client, 4)
    stage.put(client, 1, p.XAndClientIdentity(SCALAR, OTHER))
    stage.ask(server, 3)
    stage.put(server, 3, proof)
    stage.put(client, 99, proof)
    stage.put(client, 4, proof)
    stage.put(client, 1, proof)
    stage.put(client, 1, agreement)
    stage.put(server, 99, agreement)
    stage.put(server, 3, agreement)
    stage.put(server, 2, y)
    stage.put(other_client, 99, failure)
    stage.put(other_client, 2, failure)
    stage.put(other_server, 0, p.Done())
    stage.put(stage.join(), 1, failure)
    return stage


@scenario
def one_client_asks_more_servers_than_it_may() -> Stage:
    stage = RelayStage(limits={"pairs_of_one": 1})
    servers = [stage.new_server() for _ in range(3)]
    client = stage.new_client()
    stage.ask(client, 1)
    stage.ask(client, 2)
    stage.put(client, 3, p.SpokeFailure(p.SpokeFault.PUBLIC_PACKET))
    stage.wait(1.0)
    stage.stream_lost(servers[0], stage.now, detail="reset")
    stage.ask(client, 2)
    return stage


@scenario
def a_server_that_reads_too_slowly_is_cut() -> Stage:
    stage = RelayStage(limits={"link_queue": 100})
    server = stage.new_server()
    clients = [stage.new_client() for _ in range(2)]
    stage.stream_blocked(server, stage.now)
    for client in clients:
        stage.ask(client, 1)
    stage.stream_lost(server, stage.now)
    return stage


@scenario
def a_peer_is_silent_for_too_long() -> Stage:
    stage = RelayStage()
    client = stage.new_client()
    stage.wait(3000.0)
    stage.put(client, 0, p.RelayFailure(p.Missing.AGREEMENT, 0))
    stage.tick()
    stage.stream_lost(client, stage.now)
    return stage


@scenario
def a_registered_peer_says_nonsense() -> Stage:
    stage = RelayStage()
    server = stage.new_server()
    stage.new_client()
    stage.wait(1.0)
    stage.receive_data(server, b"\x00" * 6, stage.now)
    stage.receive_data(server, b"late", stage.now)
    return stage


@scenario
def two_peers_talk_in_a_room() -> Stage:
    stage = RelayStage()
    client, server = stage.unite()
    stage.visit(server)
    early = Link(3)
    stage.receive_data(early, b"lost", stage.now)
    other = stage.visit(client)
    stage.receive_data(other, b"over", stage.now)
    stage.receive_data(early, b"and back", stage.now)
    stage.receive_eof(early, stage.now)
    stage.stream_lost(early, stage.now)
    stage.stream_lost(other, stage.now)
    return stage


@scenario
def strangers_at_the_secure_port() -> Stage:
    stage = RelayStage()
    client, _ = stage.unite()
    stage.visit("203.0.113.1:1")
    stage.receive_data(stage.visit(), b"x" * 101, stage.now)
    stage.receive_eof(stage.visit(), stage.now)
    stage.visit(client)
    stage.visit(client)
    stage.visit()
    stage.expire("LINE")
    stage.expire("ROOM")
    return stage


@scenario
def the_first_visitor_leaves_the_room() -> Stage:
    stage = RelayStage()
    client, server = stage.unite()
    link = stage.visit(client)
    stage.receive_eof(link, stage.now)
    stage.visit(server)
    return stage


@scenario
def nothing_moves_in_a_room() -> Stage:
    stage = RelayStage()
    for line in stage.unite():
        stage.visit(line)
    stage.expire("SILENCE")
    return stage


@scenario
def a_relay_closes_and_tells_everybody() -> Stage:
    stage = RelayStage()
    for line in stage.unite():
        stage.visit(line)
    stage.new_server()
    stage.new_client()
    stage.join()
    stage.close(stage.now)
    for link in range(3, 8):
        stage.stream_lost(Link(link), stage.now)
    return stage


@scenario
def a_slow_reader_pauses_the_other_end_of_its_room() -> Stage:
    stage = RelayStage(limits={"link_queue": 400})
    one, other = (stage.visit(line) for line in stage.unite())
    stage.stream_blocked(other, stage.now)
    stage.receive_data(one, bytes(300), stage.now)
    stage.stream_unblocked(other, stage.now)
    stage.stream_blocked(other, stage.now)
    stage.tick()
    return stage


@scenario
def a_relay_closes_while_a_client_reads_slowly() -> Stage:
    stage = RelayStage()
    client = stage.new_client()
    stage.stream_blocked(client, stage.now)
    stage.close(stage.now)
    stage.stream_unblocked(client, stage.now)
    stage.stream_blocked(client, stage.now)
    stage.tick()
    return stage


# -- of a channel alone ------------------------------------------------------------------------------------------------


@scenario
def a_channel_takes_no_more_than_its_buffer() -> Stage:
    stage = ChannelStage(limits={"send_buffer": 1000})
    stage.send(bytes(33_000), 0.0)
    stage.send(b"more", 0.25)
    return stage


@scenario
def a_channel_that_cannot_send() -> Stage:
    stage = ChannelStage(one_way=True)
    stage.fails(lambda: stage.send(b"nothing", 0.0))
    stage.receive_data(stage.other_sends.seal(0, b"it receives"), 0.25)
    stage.abort()
    return stage


@scenario
def both_ends_close_a_channel() -> Stage:
    stage = ChannelStage()
    stage.close(0.0)
    stage.fails(lambda: stage.send(b"too late", 0.125))
    stage.receive_data(stage.other_sends.seal(0, b"crossing") + p.CLOSE + b"behind", 0.25)
    stage.take_trailing_data()
    stage.receive_data(b"late", 0.5)
    return stage


@scenario
def the_other_end_closes_a_channel() -> Stage:
    stage = ChannelStage()
    stage.receive_data(p.CLOSE, 0.25)
    return stage


@scenario
def the_other_end_does_not_answer_our_close() -> Stage:
    stage = ChannelStage()
    stage.close(0.0)
    stage.tick()
    return stage


@scenario
def a_record_was_changed() -> Stage:
    stage = ChannelStage()
    stage.receive_data(stage.other_sends.seal(0, b"good") + stage.other_sends.seal(7, b"replayed"), 0.25)
    return stage


@scenario
def a_record_is_too_long() -> Stage:
    stage = ChannelStage()
    stage.receive_data(b"\x80\x00", 0.25)
    return stage


@scenario
def a_channel_is_cut() -> Stage:
    stage = ChannelStage()
    stage.receive_data(stage.other_sends.seal(0, b"good")[:-1], 0.25)
    stage.transport_lost(0.5, detail="reset")
    return stage


# -- of a relay that is flooded: behind the others, whose numbers stay -------------------------------------------------


@scenario
def floods_are_cut_and_many_of_them_one_after_another() -> Stage:
    stage = RelayStage(limits={"dropped_burst": 2, "cuts": 1}, delays={"mute": 2.5})
    stage.new_server()
    flooder, other, third, stranger, newcomer = (
        stage.new_client(),
        stage.new_client(),
        stage.new_server(),
        stage.join(),
        stage.join(),
    )
    wasted = p.encode(99, p.Accepted())
    stage.receive_data(flooder, wasted * 2, stage.now)
    stage.wait(0.5)
    stage.receive_data(flooder, wasted * 3, stage.now)
    stage.receive_data(flooder, wasted, stage.now)
    for link in (stranger, newcomer, other, third):
        stage.receive_data(link, wasted * 4, stage.now)
    stage.stream_lost(flooder, stage.now)
    stage.stream_lost(third, stage.now)
    for _ in range(3):
        stage.tick()
    late = stage.join()
    stage.wait(5.0)
    stage.receive_data(late, wasted * 3, stage.now)
    return stage


@scenario
def who_answers_those_that_leave_is_excused() -> Stage:
    stage = RelayStage(limits={"dropped_burst": 1})
    server, client = stage.new_server(), stage.new_client()
    stage.ask(client, 1)
    stage.stream_lost(client, stage.now)
    for _ in range(4):
        stage.put(server, 2, p.YAndServerValidator(SCALAR, bytes(64)))
    return stage


@scenario
def reports_to_the_relay_are_no_way_to_flood_it() -> Stage:
    stage = RelayStage(limits={"dropped_burst": 1})
    stage.new_server()
    client = stage.new_client()
    for _ in range(5):
        stage.put(client, 0, p.RelayFailure(p.Missing.AGREEMENT, 0))
    return stage


@scenario
def a_link_gives_some_packets_a_call_and_the_rest_later() -> Stage:
    stage = RelayStage(limits={"link_packets": 2})
    stage.new_server()
    client = stage.join()
    stage.receive_data(client, p.encode(0, p.HelloAsClient()) * 3, stage.now)
    stage.tick()
    return stage


@scenario
def a_visitor_talks_for_too_long_before_its_partner_comes() -> Stage:
    stage = RelayStage(limits={"early": 8})
    client, server = stage.unite()
    early = stage.visit(client)
    stage.receive_data(early, b"12345678", stage.now)
    stage.receive_data(early, b"9", stage.now)
    stage.visit(server)
    return stage


# -- of clients and servers again: whose turn it is --------------------------------------------------------------------

HOSTS = (OTHER, "198.51.100.8:2", "198.51.100.8:3", THIRD, "2001:db8::1:1", "2001:db8::2:1", "2001:db8:0:1::1:1")
NO_ADDRESSES = ("a name:1", "another", "::ffff:198.51.100.8:4")


@scenario
def hosts_take_turns_at_a_server() -> Stage:
    stage = ServerStage(limits={"free_guesses": 0})
    stage.register()
    for uid, identity in enumerate((*HOSTS, *NO_ADDRESSES), 2):
        stage.get(uid, p.XAndClientIdentity(BASE_POINT, identity))
    for _ in range(len(HOSTS) + len(NO_ADDRESSES) - 1):
        stage.tick()
    return stage


@scenario
def who_waits_for_its_turn_at_a_server_leaves() -> Stage:
    stage = ServerStage(limits={"free_guesses": 0})
    stage.register()
    for uid in (2, 3, 4):
        stage.ask(uid)
    stage.get(0, p.PeerClosed(3))
    stage.get(0, p.PeerClosed(4))
    stage.ask(5)
    stage.tick()
    return stage


@scenario
def one_host_has_no_more_than_its_share_of_a_servers_places() -> Stage:
    stage = ServerStage(limits={"free_guesses": 0, "guesses": 13})
    stage.register()
    for uid in range(2, 7):
        stage.ask(uid)
    stage.get(7, p.XAndClientIdentity(BASE_POINT, THIRD))
    for _ in range(3):
        stage.tick()
    return stage


@scenario
def hosts_take_turns_at_a_client() -> Stage:
    stage = ClientStage(limits={"free_guesses": 0})
    stage.register()
    for uid, identity in enumerate((*HOSTS, *NO_ADDRESSES), 1):
        stage.get(0, p.NewServer(uid, BOTH_WAYS.encode(), identity))
    stage.get(0, p.PeerClosed(5))
    for _ in range(len(HOSTS) + len(NO_ADDRESSES) + 1):
        stage.tick()
    return stage


@scenario
def a_client_derives_what_is_short_first_and_every_fourth_slice_what_is_old() -> Stage:
    stage = ClientStage()
    stage.register()
    for uid, count in enumerate((2000, 3000, 1000, 2, 1000), 1):
        stage.get(0, p.NewServer(uid, attrs.evolve(BOTH_WAYS, count=count).encode(), OTHER))
    while any(timer.endswith("WORK") for timer in stage.timers()):
        stage.tick()
    return stage


# -- of packets that nobody expects: each is dropped, and what follows is understood ----------------------------------


@scenario
def what_is_for_the_relay_is_sent_to_a_peer() -> Stage:
    stage = RelayStage()
    stage.new_server()
    client = stage.new_client()
    stage.wait(1.0)
    stage.put(client, 1, p.HelloAsClient())
    stage.put(client, 1, p.RelayFailure(p.Missing.AGREEMENT, 0))
    stage.ask(client, 1)
    return stage


@scenario
def somebody_speaks_in_the_relays_name_to_a_client() -> Stage:
    stage = ClientStage()
    stage.register()
    for packet in (
        p.ClientIdentity(OTHER),
        p.NewServer(1, BOTH_WAYS.encode(), OTHER),
        p.PeerClosed(p.RELAY),
        p.Timeout(),
        p.Done(),
        p.HelloAsClient(),
    ):
        stage.get(7, packet)
    stage.meet()
    return stage


@scenario
def a_server_is_announced_anew_after_it_agreed() -> Stage:
    stage = ClientStage()
    stage.register()
    stage.agree()
    stage.meet(1, attrs.evolve(BOTH_WAYS, count=3))
    stage.fails(lambda: stage.accept(1, stage.now))
    return stage


@scenario
def the_relay_asks_a_server_as_if_it_were_a_client() -> Stage:
    stage = ServerStage()
    stage.connect(0.0)
    stage.tick()
    stage.open()
    stage.get(2, p.XAndClientIdentity(BASE_POINT, OTHER))
    stage.get(0, p.ServerIdentity(ME))
    stage.get(0, p.XAndClientIdentity(BASE_POINT, OTHER))
    stage.get(2, p.XAndClientIdentity(BASE_POINT, OTHER))
    return stage


# -- the file ----------------------------------------------------------------------------------------------------------


def document() -> Config:
    """The vector file."""
    return staging.document("bob", __version__, SCENARIOS)


if __name__ == "__main__":
    write_json(PATH, document())
    sys.stdout.write(f"{PATH.name}: {len(SCENARIOS)} scenarios\n")

"""Groups of addresses, and queues in which they take turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansproto.contract import Address, Link, Path
from sansproto.fair import FairQueue, Places, address_bytes, group_of, host_of
from sansproto.snapshot import codec

A, B, C = b"a", b"b", b"c"


def queue_of(*waiting: tuple[bytes, int]) -> FairQueue:
    queue = FairQueue()
    for group, link in waiting:
        queue.add(group, Link(link))
    return queue


def popped(queue: FairQueue) -> list[int]:
    return [queue.pop() for _ in range(queue.size)]


def test_groups_take_turns_and_the_links_of_a_group_keep_their_order() -> None:
    assert popped(queue_of((A, 1), (A, 2), (A, 3), (B, 4), (B, 5), (C, 6))) == [1, 4, 6, 2, 5, 3]


def test_who_comes_again_is_behind_the_others_of_its_group_only() -> None:
    queue = queue_of((A, 1), (A, 2), (A, 3), (B, 4))
    order = []
    for _ in range(6):
        link = queue.pop()
        order.append(link)
        queue.add(B if link == 4 else A, link)
    assert order == [1, 4, 2, 4, 3, 4]


def test_a_link_waits_once_and_may_leave() -> None:
    queue = queue_of((A, 1), (A, 1), (A, 2), (B, 3))
    queue.discard(A, Link(1))
    queue.discard(A, Link(1))
    queue.discard(C, Link(1))
    assert queue.size == 2
    assert popped(queue) == [2, 3]
    assert (queue.size, queue.groups) == (0, {})


def test_the_largest_group_gives_way_with_its_oldest_link() -> None:
    queue = queue_of((A, 1), (B, 2), (B, 3), (C, 4), (B, 5), (C, 6))
    assert [queue.pop_crowded() for _ in range(6)] == [2, 3, 4, 1, 5, 6]
    assert queue.groups == {}


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(1, 9)), max_size=20), st.integers(0, 9))
def test_the_size_is_that_of_the_groups_and_a_copy_goes_on_in_the_same_way(
    waiting: list[tuple[bytes, int]], gone: int
) -> None:
    queue = queue_of(*waiting)
    for group, link in waiting[:gone]:
        queue.discard(group, Link(link))
    assert queue.size == sum(map(len, queue.groups.values()))
    freeze, thaw = codec(FairQueue)
    again = thaw(freeze(queue, 1.0), 2.0)
    assert popped(again) == popped(queue)


HOSTS = ("192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")


def places_of(*holders: tuple[str, int]) -> Places:
    places = Places()
    for host, link in holders:
        places.add(address_bytes(host), Link(link))
    return places


def test_who_has_most_places_makes_room_in_the_group_that_has_most() -> None:
    here, neighbour, _, elsewhere, *_ = HOSTS
    places = places_of((elsewhere, 1), (elsewhere, 2), (neighbour, 3), (here, 4), (here, 5), (here, 5), (elsewhere, 6))
    assert places.size == 6
    places.add(address_bytes(here), Link(7))
    assert [places.pop_crowded() for _ in range(7)] == [4, 1, 5, 2, 3, 6, 7]
    assert (places.size, places.groups) == (0, {})


def test_addresses_of_ipv6_that_belong_to_one_host_are_one() -> None:
    *_, one, same, other = HOSTS
    places = places_of((one, 1), (other, 2), (same, 3))
    assert [places.pop_crowded() for _ in range(3)] == [1, 3, 2]


@given(st.lists(st.tuples(st.sampled_from(HOSTS), st.integers(1, 9)), max_size=20), st.integers(0, 9))
def test_the_number_of_places_is_that_of_their_holders(holders: list[tuple[str, int]], gone: int) -> None:
    places = places_of(*holders)
    for host, link in holders[:gone]:
        places.discard(address_bytes(host), Link(link))
        places.discard(address_bytes(host), Link(link))
    left = {(address_bytes(host)[:8], link) for host, link in holders}
    left -= {(address_bytes(host)[:8], link) for host, link in holders[:gone]}
    assert places.size == len(left)
    freeze, thaw = codec(Places)
    again = thaw(freeze(places, 1.0), 2.0)
    order = [places.pop_crowded() for _ in range(places.size)]
    assert [again.pop_crowded() for _ in range(again.size)] == order
    assert sorted(order) == sorted(link for _, link in left)


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("192.0.2.7", "04c00002"),
        ("::ffff:192.0.2.8", "04c00002"),
        ("2001:db8:1:2::3", "0620010db80001"),
        ("no address", "06000000000000"),
    ],
)
def test_the_group_of_an_address_is_its_network(host: str, group: str) -> None:
    assert group_of(Address(host, 1)).hex() == group
    assert group_of(Path("udp", host, 1)).hex() == group


def test_a_host_is_an_address_of_ipv4_or_a_network_of_ipv6() -> None:
    assert host_of("203.0.113.7") == host_of("::ffff:203.0.113.7") == bytes((203, 0, 113, 7))
    assert host_of("2001:db8::1") == host_of("2001:db8::2:3:4:5") != host_of("2001:db8:0:1::1")

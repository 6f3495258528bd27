"""Groups of addresses, and queues in which they take turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansproto.contract import Address, Link, Path
from sansproto.fair import FairQueue, group_of
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

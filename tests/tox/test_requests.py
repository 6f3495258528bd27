"""Request lists against the rule as it is written, number by number."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sansproto.tox.packets import MAX_PAYLOAD
from sansproto.tox.requests import Walked, encode, walk

WINDOW = 32768
SETS = st.integers(0, 3000).flatmap(
    lambda span: st.tuples(
        st.one_of([st.sets(st.integers(0, max(0, span - 1)), max_size=40), st.just(set(range(span)))]).map(
            lambda missing: sorted(missing) if span else []
        ),
        st.just(span),
    )
)


def encoded_by_the_rule(missing: list[int], span: int, most: int) -> bytes:
    """A count of the numbers since the last byte: it is written at a missing one, 0 at the 255th that is there."""
    asked, found, count = set(missing), bytearray(b"\1"), 1
    for number in range(span):
        if len(found) == most:
            break
        if number in asked:
            found.append(count)
            count = 0
        elif count == 255:
            found.append(0)
            count = 0
        count += 1
    return bytes(found)


def walked_by_the_rule(listed: bytes, span: int) -> tuple[list[int], set[int]]:
    """What is asked for, and what has arrived."""
    left, count = [*listed], 1
    asked: list[int] = []
    arrived: set[int] = set()
    for number in range(span):
        if not left:
            break
        if count == left[0]:
            asked.append(number)
            del left[0]
            count = 0
        else:
            arrived.add(number)
        if count == 255:
            assert left[0] == 0  # a byte that is not 0 was reached before
            del left[0]
            count = 0
        count += 1
    return asked, arrived


@given(SETS, st.integers(1, 60) | st.just(MAX_PAYLOAD))
@example(([], WINDOW), MAX_PAYLOAD)
@example(([*range(WINDOW)], WINDOW), MAX_PAYLOAD)
@example(([254, 255, 509, 510], 3000), MAX_PAYLOAD)
@example(([255], 600), 2)
@example(([2999], 3000), 5)
def test_a_list_is_written_by_the_rule(given_: tuple[list[int], int], most: int) -> None:
    missing, span = given_
    found = encode(missing, span, most)
    assert found == encoded_by_the_rule(missing, span, most)
    assert len(found) <= most


@given(
    st.binary(max_size=40) | st.lists(st.sampled_from([0, 1, 254, 255]), max_size=40).map(bytes), st.integers(0, 4000)
)
@example(bytes([5, 0, 0, 0, 254]), 2000)
@example(b"\0", 255)
@example(b"\0", 254)
@example(b"\xff", 255)
@example(b"\xff", 254)
@example(b"\1" * 1372, 10)
def test_a_list_is_read_by_the_rule(listed: bytes, span: int) -> None:
    asked, passed = walk(listed, span)
    by_the_rule, arrived = walked_by_the_rule(listed, span)
    assert asked == by_the_rule
    assert {*range(passed)} - {*asked} == arrived


@given(SETS)
def test_both_ends_mean_the_same(given_: tuple[list[int], int]) -> None:
    """What is asked for is missing, and what is not missing alone counts as arrived."""
    missing, span = given_
    listed = encode(missing, span)
    asked, passed = walk(listed[1:], span)
    assert asked == missing[: len(asked)]
    assert {*range(passed)} - {*asked} <= {*range(span)} - {*missing}
    if len(listed) < MAX_PAYLOAD:
        assert asked == missing
        assert span - passed < 255


def test_the_example_of_the_page() -> None:
    assert walk(bytes([1, 5, 0, 0, 0, 254]), 2000) == Walked([0, 5, 1024], 1025)


def test_the_longest_lists_end_with_the_window() -> None:
    assert walk(bytes(MAX_PAYLOAD - 1), WINDOW) == Walked([], WINDOW)
    assert walk(b"\1" * (MAX_PAYLOAD - 1), WINDOW) == Walked([*range(MAX_PAYLOAD - 1)], MAX_PAYLOAD - 1)
    assert walk(b"\1" * (MAX_PAYLOAD - 1), 0) == Walked([], 0)


def test_no_more_is_asked_of_the_window_than_fits() -> None:
    """It may be costly to look for what is missing."""
    looked_at = iter(range(WINDOW))
    assert len(encode(looked_at, WINDOW)) == MAX_PAYLOAD
    assert next(looked_at) <= MAX_PAYLOAD

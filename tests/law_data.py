"""What the laws of several protocols make their data of."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from sansproto.testing.entropy import ScriptedEntropy
from sansproto.testing.operations import Op


def drawn(purpose: str, size: int = 32, nth: int = 0) -> bytes:
    """What a run of the laws draws for this purpose."""
    entropy = ScriptedEntropy(seed=b"laws")
    return [entropy(size, purpose=purpose) for _ in range(nth + 1)][-1]


def prefixes(steps: Sequence[Op], begin: int = 0) -> tuple[tuple[Op, ...], ...]:
    """All beginnings of a course, from the one with so many steps on."""
    return tuple(tuple(steps[:end]) for end in range(begin, len(steps) + 1))


def changed(data: bytes, place: int, change: int) -> bytes:
    """With another byte at one place."""
    place %= len(data)
    return data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]


def near(frames: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """What one stream holds in its order, from any place on; damaged, cut off, and anything else."""
    slices = st.builds(
        lambda begin, size: b"".join(frames[begin : begin + size]), st.integers(0, len(frames) - 1), st.integers(1, 4)
    )
    damaged = st.builds(changed, slices, st.integers(0, 60), st.integers(1, 255))
    cut = st.builds(lambda data, end: data[: end % len(data)], slices, st.integers(0, 90))
    return st.one_of(slices, slices, slices, damaged, cut, st.binary(max_size=40))

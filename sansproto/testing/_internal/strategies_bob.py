"""Hypothesis strategies for the codecs of Bob."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from ...bob import packets as bob
from ..strategies import register


def _json_objects(codec: bob.FieldsToEnd) -> st.SearchStrategy[str]:
    """JSON objects; some have the member that a receipt must have."""
    plain = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
    anything = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner))
    digest = st.fixed_dictionaries({}, optional={"sha256": st.binary(min_size=32, max_size=32).map(bytes.hex)})
    objects = st.builds(lambda some, one: some | one, st.dictionaries(st.text(max_size=9), anything), digest)
    return objects.map(json.dumps).filter(lambda text: len(text) <= codec.max)


register(bob.FieldsToEnd, _json_objects)
register(bob.ReceiptWord, lambda _: st.sampled_from(bob.Receipt))

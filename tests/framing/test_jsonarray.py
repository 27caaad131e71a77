"""The elements of a JSON array that comes in chunks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import BadUpstreamReply
from portico.framing.jsonarray import Splitter

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(['"', "\\", '\\"', "]}", "[{"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
elements = st.lists(st.dictionaries(st.text(max_size=4), values, max_size=3), max_size=4)


@given(elements, st.sampled_from([1, 2, 3, 7, 10**6]), st.sampled_from([None, 2]))
def test_elements_are_the_same_however_the_array_is_cut(
    wanted: list[dict[str, object]], size: int, indent: int | None
) -> None:
    body = json.dumps(wanted, indent=indent).encode()
    splitter = Splitter()
    found = [element for at in range(0, len(body), size) for element in splitter.feed(body[at : at + size])]
    assert [json.loads(element) for element in found] == wanted
    assert splitter.closed


def test_an_array_that_has_not_closed_says_so() -> None:
    splitter = Splitter()
    assert splitter.feed(b'[{"a": 1}\n,') == [b'{"a": 1}']
    assert not splitter.closed


def test_an_element_over_the_limit_is_refused() -> None:
    with pytest.raises(BadUpstreamReply, match="8 bytes"):
        Splitter(limit=8).feed(b'[{"a": "0123456789')

"""Values of any shape for generated requests and replies, and recorded ones with one of them put somewhere."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from portico.ir import Image, Part, Source, Text

few = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
names = st.from_regex(r"[a-z_][a-z0-9_]{0,12}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(words, values, max_size=3)
pictures = st.builds(
    Image, source=st.builds(Source, data=st.just("iVBORw0K"), media_type=st.sampled_from(["image/png", "image/gif"]))
)
shown: st.SearchStrategy[Part] = st.builds(Text, text=words) | pictures


def wild(fields: Sequence[str], kinds: Sequence[str]) -> st.SearchStrategy[Any]:
    """Return JSON that may mean something: objects have these fields, and some texts are of these kinds."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | words | st.sampled_from(kinds),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(fields), inner, max_size=4),
        max_leaves=15,
    )


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place of a JSON value, as its container and its key."""
    found: list[tuple[Any, Any]] = []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        found.append((value, key))
        found.extend(places(each))
    return found


def changed(data: st.DataObject, whole: Any, shapes: st.SearchStrategy[Any]) -> bytes:
    """Return a JSON document with a drawn value in a drawn place."""
    copied = copy.deepcopy(whole)
    found = places(copied)
    if found:
        container, key = data.draw(st.sampled_from(found))
        container[key] = data.draw(shapes)
    return json.dumps(copied).encode()

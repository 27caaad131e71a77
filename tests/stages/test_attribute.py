"""Tags that LiteLLM's callers write into a body: read, and taken out of it."""

import json
from typing import Any

import msgspec
import pytest

from portico.dialects.operations import OPERATIONS
from portico.dialects.request import peek
from portico.errors import InvalidRequest
from portico.stages.attribute import tags_of, tags_written

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}

READ: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {}, []),
    ({"metadata": {"tags": ["prod", "job:7"]}}, {}, ["job:7", "tag:prod"]),
    ({"metadata": {"tags": ["a"], "trace": "t"}}, {"metadata": {"trace": "t"}}, ["tag:a"]),
    ({"litellm_metadata": {"tags": ["a"], "trace": "t"}}, {}, ["tag:a"]),
    ({"litellm_metadata": {"trace": "t"}}, {}, []),
    ({"litellm_metadata": None}, {}, []),
    ({"metadata": {"tags": ["a"]}, "litellm_metadata": {"tags": ["b", "a"]}}, {}, ["tag:a", "tag:b"]),
    ({"metadata": {"tags": []}}, {}, []),
    # what may be the provider's own stays
    ({"metadata": {"tags": "prod"}}, {"metadata": {"tags": "prod"}}, []),
    ({"metadata": {"trace": '"tags"'}}, {"metadata": {"trace": '"tags"'}}, []),
    ({"metadata": {"more": {"tags": ["a"]}}}, {"metadata": {"more": {"tags": ["a"]}}}, []),
    ({"metadata": [{"tags": ["a"]}]}, {"metadata": [{"tags": ["a"]}]}, []),
    ({"metadata": None}, {"metadata": None}, []),
]


@pytest.mark.parametrize(("said", "left", "tags"), READ, ids=str)
def test_tags_are_read_and_the_rest_goes_on(said: dict[str, Any], left: dict[str, Any], tags: list[str]) -> None:
    body = json.dumps({**CHAT, **said}).encode()
    operation = OPERATIONS["chat"]
    asked = peek(operation, body, b"application/json")
    out, seen, found = tags_written(operation, body, asked)
    assert json.loads(out) == {**CHAT, **left}
    assert seen.members is not None
    assert {name: json.loads(bytes(raw)) for name, raw in seen.members.items()} == {**CHAT, **left}
    assert list(tags_of(found, ())) == tags
    if said.keys() == left.keys() and said == left:
        assert out is body


def test_what_a_key_says_of_its_calls_counts_before_what_they_say() -> None:
    body = msgspec.json.encode({**CHAT, "metadata": {"tags": ["team:mine", "env:eu"]}})
    _, _, found = tags_written(OPERATIONS["chat"], body, peek(OPERATIONS["chat"], body, b""))
    assert tags_of(found, ("team:own",)) == ("env:eu", "team:own")


def test_tags_without_a_name_add_up_to_those_of_the_key() -> None:
    body = msgspec.json.encode({**CHAT, "metadata": {"tags": ["prod", "own"]}})
    _, _, found = tags_written(OPERATIONS["chat"], body, peek(OPERATIONS["chat"], body, b""))
    assert tags_of(found, ("tag:own",)) == ("tag:own", "tag:prod")


BAD: list[Any] = [[1], [None], [{}], [""], ["a|b"], ["x" * 257], ["\n"], ["a:"], [":a"], [f"t{n}" for n in range(17)]]


@pytest.mark.parametrize("member", ["metadata", "litellm_metadata"])
@pytest.mark.parametrize("tags", BAD, ids=lambda tags: str(tags)[:20])
def test_what_is_no_tag_is_refused(member: str, tags: Any) -> None:
    body = msgspec.json.encode({**CHAT, member: {"tags": tags}})
    with pytest.raises(InvalidRequest):
        tags_written(OPERATIONS["chat"], body, peek(OPERATIONS["chat"], body, b""))

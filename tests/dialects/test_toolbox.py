"""Tools that come again are read and told once, and all that is said of them stays the same."""

import copy
import json
from typing import Any

import msgspec
import pytest
from tests.dialects.crossing import pairs
from tests.dialects.crossing.pairs import DIALECTS, PAIRS

from portico.dialects import toolbox
from portico.dialects.crossing import Notes
from portico.dialects.toolbox import Shelf, Toolbox
from portico.dialects.translate import LANGUAGES
from portico.errors import InvalidRequest
from portico.ir import Request, Tool
from portico.types import Dialect

SCHEMA = {"type": "object", "properties": {"query": {"type": "string", "description": "words " * 100}}}
TOOLS: dict[Dialect, dict[str, Any]] = {
    "chat": {"tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]},
    "responses": {"tools": [{"type": "function", "name": "look", "parameters": SCHEMA, "strict": True}]},
    "messages": {"tools": [{"name": "look", "input_schema": SCHEMA}]},
    "gemini": {"tools": [{"functionDeclarations": [{"name": "look", "parametersJsonSchema": SCHEMA}]}]},
    "converse": {"toolConfig": {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": SCHEMA}}}]}},
    "cohere": {"tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]},
}


def asked(dialect: Dialect, **more: Any) -> Request:
    body = json.dumps(pairs.PLAIN[dialect] | TOOLS[dialect] | more).encode()
    return LANGUAGES[dialect].parse_request(body, model="m", stream=False)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_same_bytes_are_the_same_tools(dialect: Dialect) -> None:
    first = asked(dialect)
    assert type(first.tools) is Toolbox
    assert asked(dialect).tools is first.tools
    assert [tool.name for tool in first.tools] == ["look"]


@pytest.mark.parametrize(("caller", "provider"), PAIRS)
def test_tools_are_told_the_same_the_second_time_and_stay_as_they_were(caller: Dialect, provider: Dialect) -> None:
    request = asked(caller)
    before = copy.deepcopy(tuple(request.tools))
    target = pairs.Target(model=pairs.MODELS[provider], dialect=provider)
    alone = msgspec.structs.replace(request, tools=tuple(request.tools))
    said = []
    for each in (alone, request, request, asked(caller)):
        notes = Notes(provider)
        body = LANGUAGES[provider].render_request(each, target, notes)
        said.append((json.loads(body), notes.dropped))
    assert said[0] == said[1] == said[2] == said[3]
    assert tuple(request.tools) == before


def test_what_is_lost_with_tools_is_named_each_time_and_refused_by_the_strict() -> None:
    marked = {"name": "look", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}
    request = asked("messages", tools=[marked])
    target = pairs.Target(model="m", dialect="responses")
    for _ in range(2):
        notes = Notes("responses")
        LANGUAGES["responses"].render_request(request, target, notes)
        assert notes.dropped == ["cache_mark"]
    with pytest.raises(InvalidRequest, match="look"):
        LANGUAGES["responses"].render_request(request, target, Notes("responses", strict=True))


def test_a_choice_of_some_tools_is_not_told_as_one_of_all() -> None:
    other = {"type": "function", "function": {"name": "other", "parameters": SCHEMA}}
    both = [*TOOLS["chat"]["tools"], other]
    named = [{"type": "function", "function": {"name": "other"}}]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": named}}
    for provider in ("messages", "converse", "cohere"):
        target = pairs.Target(model=pairs.MODELS[provider], dialect=provider)
        for request in (asked("chat", tools=both), asked("chat", tools=both, tool_choice=choice)):
            body = LANGUAGES[provider].render_request(request, target, Notes(provider))
            assert (b'"look"' in body) is (request.tool_choice is None)
            assert b'"other"' in body


def test_small_tools_are_not_kept() -> None:
    assert type(asked("messages", tools=[{"name": "look", "input_schema": {}}]).tools) is tuple


def test_a_shelf_keeps_what_was_used_last_within_its_bound() -> None:
    shelf = Shelf(limit=1000)
    boxes = [Toolbox([Tool(name=str(at))]) for at in range(4)]
    keys = [("chat", b"%d" % at * 300) for at in range(4)]
    for key, box in zip(keys[:3], boxes, strict=False):
        shelf.keep(key, box)
    assert shelf.find(keys[0]) is boxes[0]
    shelf.keep(keys[3], boxes[3])
    assert shelf.find(keys[1]) is None
    assert shelf.find(keys[0]) is boxes[0]
    assert len(shelf) == 3


def test_what_a_provider_was_told_is_bounded_too() -> None:
    box = Toolbox([Tool(name="look")])
    for whom in range(100):
        toolbox.told(box, whom, Notes("chat"), lambda _: {"tools": []})
    assert len(box.told) <= 8

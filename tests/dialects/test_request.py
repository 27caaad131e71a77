"""What routing reads of a request's body, and the model's name put into it; all else stays as it was."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.dialects.operations import OPERATIONS, route
from portico.dialects.request import peek, rewrite
from portico.errors import InvalidRequest

CHAT = OPERATIONS["chat"]
JSON = b"application/json"
BOM = b"\xef\xbb\xbf"


def changed(body: bytes, model: str = "new", *, ask_usage: bool = False, operation: str = "chat") -> bytes:
    asked = OPERATIONS[operation]
    return rewrite(asked, body, peek(asked, body, JSON), model=model, ask_usage=ask_usage)


MODELS = {
    "plain": b'{"model":"a"}',
    "spaces and lines around": b' \r\n\t{ "model" :\n "a" }\n',
    "a byte order mark": BOM + b'{"model":"a"}',
    "an escaped key": b'{"m\\u006fdel":"a"}',
    "an escaped value": b'{"model":"\\u0061"}',
    "given twice, the last counts": b'{"model":"x","n":1,"model":"a"}',
    "inside a string before": b'{"s":"\\"model\\":\\"b\\"","model":"a"}',
    "inside a string after": b'{"model":"a","s":", \\"model\\": \\"b\\""}',
    "nested before": b'{"tools":[{"model":"b","x":{"model":"c"}}],"model":"a"}',
    "nested after": b'{"model": "a", "tools": [{"model": "b"}]}',
    "as a value": b'{"x":"model","model":"a"}',
    "numbers beyond any machine's": b'{"n":1e999,"m":' + b"9" * 5000 + b',"model":"a"}',
    "text that is not UTF-8 elsewhere": b'{"x":"\xff","model":"a"}',
    "other escapes in keys": b'{"a\\"b":1,"\\\\":2,"model":"a"}',
}


def padded(body: bytes, size: int) -> bytes:
    """Return an object with a member more, which makes it long."""
    return re.sub(rb"\}(\s*)$", b',"padding":"%b"}\\1' % (b"x" * size), body) if size else body


@pytest.mark.parametrize("size", [0, 5000], ids=["short", "long"])
@pytest.mark.parametrize("name", MODELS)
def test_the_top_level_model_is_found_and_replaced(name: str, size: int) -> None:
    body = padded(MODELS[name], size)
    assert peek(CHAT, body, JSON).model == "a"
    out = changed(body)
    assert peek(CHAT, out, JSON).model == "new"
    assert out.replace(b'"new"', b"") in (body.replace(b'"a"', b""), body.replace(b'"\\u0061"', b""), _both(body))


def _both(body: bytes) -> bytes:
    """Return what is left of a body with two models when both are gone."""
    return body.replace(b'"a"', b"").replace(b'"x"', b"")


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"b","mod\\u0065l":"b"}',
        b'{"mod\\u0065l":"b","model":"b"}',
        b'{"\\u006dodel":"a","model":"b"}',
        b'{"model":"a","model":"new"}',
        b'{"mod\\u0065l":"a","model":"new"}',
    ],
)
@pytest.mark.parametrize("size", [0, 5000], ids=["short", "long"])
def test_no_model_is_left_that_is_written_twice_however_its_key_is_written(body: bytes, size: int) -> None:
    body = padded(body, size)
    operation = OPERATIONS["chat"]
    told = rewrite(operation, body, peek(operation, body, b"application/json"), model="new", ask_usage=False)
    assert told.count(b':"new"') == 2


def test_every_model_of_several_is_replaced_so_that_no_reader_sees_the_old_one() -> None:
    body = b'{"model":"x", "a":{"model":"y"},"mod\\u0065l" : [1,{"q":"]"}],"n":"}","model": "a" }'
    assert changed(body) == b'{"model":"new", "a":{"model":"y"},"mod\\u0065l" : "new","n":"}","model": "new" }'


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":null}', "model"),
        (b'{"model":3}', "model"),
        (b'{"model":["a"]}', "model"),
        (b'{"model":""}', "model"),
        (b'{"model":"\xff"}', "model"),
        (b'{"model":"a","stream":"yes"}', "stream"),
        (b'{"model":"a","stream":1}', "stream"),
        (b'{"model":"a","stream":true,"stream_options":3}', "stream_options"),
        (b"[]", None),
        (b'"model"', None),
        (b"null", None),
        (b"", None),
        (b"{", None),
        (b'{"model":"a"', None),
        (b'{"model":"a"} {}', None),
        (b'{"x":NaN,"model":"a"}', None),
        (b'{"x":Infinity}', None),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
        (b'{"\xff\xfe":1}', None),
        ("{}".encode("utf-16"), None),
        (b"model=a&stream=true", None),
    ],
)
def test_a_body_that_cannot_be_understood_is_refused_naming_the_field(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        peek(CHAT, body, JSON)
    assert caught.value.param == param


def test_what_routing_needs_is_seen() -> None:
    seen = peek(CHAT, b'{"model":"m","stream":true,"stream_options":{"include_usage":true},"user":"u-1"}', JSON)
    assert (seen.model, seen.stream, seen.include_usage, seen.user) == ("m", True, True, "u-1")
    for absent in (b'{"model":"m"}', b'{"model":"m","stream":null,"stream_options":null,"user":null}'):
        seen = peek(CHAT, absent, JSON)
        assert (seen.stream, seen.include_usage, seen.user) == (False, False, None)
    seen = peek(OPERATIONS["messages"], b'{"model":"m","metadata":{"user_id":"u-2"}}', JSON)
    assert seen.user == "u-2"
    assert peek(OPERATIONS["messages"], b'{"model":"m","metadata":7}', JSON).user is None


def test_speech_is_measured_in_characters_and_streams_when_asked_for_events() -> None:
    speech = OPERATIONS["audio_speech"]
    seen = peek(speech, '{"model":"tts-1","input":"hé 🎺","voice":"v"}'.encode(), JSON)
    assert (seen.characters, seen.stream) == (4, False)
    assert peek(speech, b'{"model":"m","input":"x","stream_format":"sse"}', JSON).stream


def test_operations_that_always_stream_say_so() -> None:
    assert peek(OPERATIONS["converse_stream"], b"{}", JSON).stream
    assert not peek(OPERATIONS["converse"], b"{}", JSON).stream
    assert not peek(OPERATIONS["embeddings"], b'{"model":"m","stream":7}', JSON).stream


def test_nothing_to_change_is_the_same_object() -> None:
    for name, body in MODELS.items():
        for size in (0, 5000):
            longer = padded(body, size)
            assert (changed(longer, "a") is longer) is ("twice" not in name)
    asked = b'{"model":"a","stream":true,"stream_options":{"include_usage":true}}'
    assert changed(asked, "a", ask_usage=True) is asked


@pytest.mark.parametrize("name", ["generate_content", "converse", "invoke", "stream_generate_content"])
def test_a_body_whose_model_is_in_the_path_gets_none(name: str) -> None:
    body = b'{"contents":[]}'
    assert changed(body, operation=name) is body


def test_a_deployment_s_body_gets_the_model_that_its_target_reads() -> None:
    found = route("POST", "/openai/deployments/gpt-4o/chat/completions", ())
    assert found is not None
    for body, out in (
        (b'{"messages":[]}', b'{"model":"x","messages":[]}'),
        (b'{"messages": []}', b'{"model":"x", "messages": []}'),
        (b' { "messages": [] }', b' {"model":"x", "messages": [] }'),
        (b"{}", b'{"model":"x"}'),
        (b'{"model":"gpt-4o","messages":[]}', b'{"model":"x","messages":[]}'),
    ):
        seen = peek(found.operation, body, JSON)
        assert rewrite(found.operation, body, seen, model="x", ask_usage=False) == out


@pytest.mark.parametrize(
    ("body", "out"),
    [
        (b'{"model":"a","stream":true}', b'{"stream_options":{"include_usage":true},"model":"a","stream":true}'),
        (b'{"model": "a"}', b'{"stream_options":{"include_usage":true}, "model": "a"}'),
        (b'{"model":"a","stream_options":null}', b'{"model":"a","stream_options":{"include_usage":true}}'),
        (
            b'{"model":"a","stream_options": {"x":[1, 2],"include_usage" : false}}',
            b'{"model":"a","stream_options": {"x":[1, 2],"include_usage":true}}',
        ),
    ],
)
def test_a_stream_is_asked_for_its_usage(body: bytes, out: bytes) -> None:
    assert changed(body, "a", ask_usage=True) == out


EMBED = [
    ("embed_content", {"model": "models/a", "content": {}}, {"model": "models/b", "content": {}}),
    ("embed_content", {"model": "models/b", "content": {}}, None),
    ("embed_content", {"content": {}}, None),
    (
        "batch_embed_contents",
        {"requests": [{"model": "models/a", "content": {"model": "x"}}, {"model": "models/b"}, {"content": 1}]},
        {"requests": [{"model": "models/b", "content": {"model": "x"}}, {"model": "models/b"}, {"content": 1}]},
    ),
    ("batch_embed_contents", {"requests": [{"model": "b"}]}, None),
    ("generate_content", {"model": "a", "contents": []}, {"model": "b", "contents": []}),
    (
        "gemini_count_tokens",
        {"generateContentRequest": {"model": "models/a", "contents": []}},
        {"generateContentRequest": {"model": "models/b", "contents": []}},
    ),
]


@pytest.mark.parametrize(("operation", "body", "out"), EMBED)
def test_gemini_bodies_that_repeat_the_path_s_model_follow_it(operation: str, body: Any, out: Any) -> None:
    raw = json.dumps(body).encode()
    found = changed(raw, "b", operation=operation)
    if out is None:
        assert found is raw
    else:
        assert json.loads(found) == out


def test_a_batch_that_is_no_list_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        changed(b'{"requests":3}', operation="batch_embed_contents")
    assert caught.value.param == "requests"


keys = st.sampled_from(["model", "stream", "messages", 'mo"del', "mödel", "tools", "a\\", "{", ",", "n"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(['"model":"x"', ',"model":', "}", '\\"', "model"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)
bodies = st.dictionaries(keys, values, max_size=6).flatmap(
    lambda rest: st.permutations([*((k, v) for k, v in rest.items() if k not in ("model", "stream")), ("model", "old")])
)
styles = st.sampled_from([(", ", ": ", None), (",", ":", None), (" ,\t", " :  ", None), (", ", ": ", 2)])
asks = st.booleans()


@given(bodies, styles, st.booleans(), st.text(min_size=1, max_size=8), asks)
def test_a_rewritten_body_is_equal_but_for_the_model_and_stream_options(
    members: list[tuple[str, Any]], style: tuple[str, str, int | None], ascii_only: bool, model: str, ask: bool
) -> None:
    table = dict(members)
    item, key, indent = style
    body = json.dumps(table, separators=(item, key), indent=indent, ensure_ascii=ascii_only).encode()
    out = changed(body, model, ask_usage=ask)
    expected = table | {"model": model} | ({"stream_options": {"include_usage": True}} if ask else {})
    assert json.loads(out) == expected


@given(st.lists(st.tuples(keys, values), min_size=1, max_size=5), styles, st.integers(0, 4))
def test_doubled_keys_never_leave_an_old_model(
    members: list[tuple[str, Any]], style: tuple[str, str, int | None], at: int
) -> None:
    pairs: list[tuple[str, Any]] = [(k, "old" if k == "model" else v) for k, v in members if k != "stream"]
    pairs.insert(at, ("model", "old"))
    item, key, _ = style
    body = ("{" + item.join(f"{json.dumps(k)}{key}{json.dumps(v)}" for k, v in pairs) + "}").encode()
    out = json.loads(changed(body), object_pairs_hook=list)
    wanted = json.loads(body, object_pairs_hook=list)
    assert out == [(k, "new" if k == "model" else v) for k, v in wanted]

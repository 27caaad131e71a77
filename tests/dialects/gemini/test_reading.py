"""What Gemini's callers and Gemini itself say, in our words."""

import json
from typing import Any

import pytest
from tests.dialects.gemini.given import chunks, decoded, foreign, given, stream

from portico.dialects.gemini import parse_error, parse_reply, parse_request, render_reply
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.ir import (
    ArgumentsDelta,
    Audio,
    Choice,
    Citation,
    CitationDelta,
    Ended,
    Failed,
    File,
    Finished,
    Image,
    PartEnded,
    PartStarted,
    Reasoning,
    Reply,
    Source,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolChoice,
    ToolResult,
    Used,
    Video,
)
from portico.types import Usage


def read(body: Any) -> Any:
    return parse_request(json.dumps(body).encode(), model="m", stream=False)


def test_settings_are_read_in_either_spelling():
    for config in (
        {"maxOutputTokens": 5, "topK": 40.0, "thinkingConfig": {"thinkingBudget": 0}, "responseModalities": ["IMAGE"]},
        {
            "max_output_tokens": "5",
            "top_k": 40,
            "thinking_config": {"thinking_budget": 0},
            "response_modalities": ["IMAGE"],
        },
    ):
        request = read({"contents": [], "generation_config": config})
        assert (request.max_tokens, request.top_k, request.modalities) == (5, 40, ("image",))
        assert request.reasoning is not None
        assert (request.reasoning.enabled, request.reasoning.budget) == (False, 0)


def test_a_level_of_thinking_is_an_effort():
    request = read({"contents": [], "generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}})
    assert request.reasoning == Reasoning(effort="high")


def test_a_schema_of_the_subset_is_json_schema_to_others():
    written = {
        "type": "OBJECT",
        "properties": {
            "a": {"type": "STRING", "nullable": True, "enum": ["x"], "format": "enum"},
            "b": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "1"},
            "c": {"anyOf": [{"type": "NUMBER"}], "nullable": True},
        },
        "propertyOrdering": ["b", "a"],
    }
    read_as = {
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"], "enum": ["x", None]},
            "b": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
            "c": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        },
    }
    request = read(
        {
            "contents": [],
            "tools": [{"functionDeclarations": [{"name": "f", "parameters": written}]}],
            "generationConfig": {"responseMimeType": "application/json", "responseSchema": written},
        }
    )
    assert request.tools[0].parameters == read_as
    assert request.output is not None
    assert (request.output.kind, request.output.schema) == ("json_schema", read_as)


def test_answers_without_ids_find_their_calls_by_name_and_order():
    call = {"functionCall": {"name": "f", "args": {}}}
    other = {"functionCall": {"name": "g", "args": {"x": 1}}}

    def answer(name: str, text: str) -> Any:
        return {"functionResponse": {"name": name, "response": {"result": text}}}

    request = read(
        {
            "contents": [
                {"role": "model", "parts": [call, other, call]},
                {"role": "user", "parts": [answer("g", "1"), answer("f", "2"), answer("f", "3")]},
            ]
        }
    )
    first, second, third = (part for part in request.messages[0].parts if isinstance(part, ToolCall))
    answers = [part for part in request.messages[1].parts if isinstance(part, ToolResult)]
    assert [part.id for part in answers] == [second.id, first.id, third.id]
    assert len({first.id, second.id, third.id}) == 3
    assert second.arguments == '{"x":1}'
    assert answers[0].parts == (Text(text="1"),)


MEDIA = [
    ({"inlineData": {"mimeType": "image/png", "data": "a"}}, Image),
    ({"inlineData": {"mimeType": "audio/wav", "data": "a"}}, Audio),
    ({"inlineData": {"mimeType": "video/mp4", "data": "a"}}, Video),
    ({"inlineData": {"mimeType": "application/pdf", "data": "a"}}, File),
    ({"fileData": {"fileUri": "https://a/b.jpg"}}, Image),
    ({"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}}, Video),
    ({"fileData": {"fileUri": "https://[a/b"}}, File),
]


@pytest.mark.parametrize(("part", "kind"), MEDIA, ids=range(len(MEDIA)))
def test_media_are_told_by_their_type(part, kind):
    found = read({"contents": [{"parts": [part]}]}).messages[0].parts[0]
    assert type(found) is kind


def test_googles_own_files_are_ids_and_the_rest_addresses():
    uris = ("https://generativelanguage.googleapis.com/v1beta/files/1", "gs://a/b", "https://a/b.png")
    parts = [{"fileData": {"fileUri": uri, "mimeType": "image/png"}} for uri in uris]
    sources = [part.source for part in read({"contents": [{"parts": parts}]}).messages[0].parts]  # type: ignore[union-attr]
    assert sources == [
        Source(file_id=uris[0], media_type="image/png"),
        Source(file_id=uris[1], media_type="image/png"),
        Source(url=uris[2], media_type="image/png"),
    ]


CHOICES = [
    ({"mode": "ANY"}, ToolChoice(mode="required")),
    ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice(mode="tool", name="f")),
    ({"mode": "NONE"}, ToolChoice(mode="none")),
]


@pytest.mark.parametrize(("written", "choice"), CHOICES, ids=range(len(CHOICES)))
def test_a_tool_choice_is_read(written, choice):
    assert read({"contents": [], "toolConfig": {"functionCallingConfig": written}}).tool_choice == choice


def test_the_numbers_of_words_are_read_as_the_words():
    """As google-generativeai and Vertex AI's older clients write them over REST (`$alt=json;enum-encoding=int`)."""
    schema = {
        "type": 6,
        "properties": {
            "type": {"type": 1},
            "b": {"type": 5, "items": {"type": 3}},
            "c": {"type": 0, "description": "any"},
            "d": {"type": 2, "nullable": True},
            "e": {"type": 4},
        },
    }
    read_as = {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "b": {"type": "array", "items": {"type": "integer"}},
            "c": {"description": "any"},
            "d": {"type": ["number", "null"]},
            "e": {"type": "boolean"},
        },
    }
    request = read(
        {
            "contents": [],
            "tools": [{"functionDeclarations": [{"name": "f", "parameters": schema}]}],
            "toolConfig": {"functionCallingConfig": {"mode": 2, "allowedFunctionNames": ["f"]}},
            "generationConfig": {"responseModalities": [1, 3], "responseSchema": schema},
        }
    )
    assert request.tools[0].parameters == read_as
    assert request.output.schema == read_as
    assert (request.tool_choice.mode, request.tool_choice.name) == ("tool", "f")
    assert request.modalities == ("text", "audio")


@pytest.mark.parametrize(("mode", "choice"), [(1, "auto"), (2, "required"), (3, "none"), (0, "auto")])
def test_a_numbered_tool_choice_is_read(mode, choice):
    asked = {"contents": [], "toolConfig": {"functionCallingConfig": {"mode": mode}}}
    assert read(asked).tool_choice.mode == choice


FAULTS = [
    ({"contents": 5}, "contents[0]"),
    ({"contents": [{"parts": 5}]}, "contents[0].parts"),
    ({"contents": [{"parts": [5]}]}, "contents[0].parts[0]"),
    ({"contents": [{"parts": [{"functionCall": {"args": {}}}]}]}, "contents[0].parts[0].functionCall.name"),
    (
        {"contents": [{"parts": [{"functionCall": {"name": "f", "args": []}}]}]},
        "contents[0].parts[0].functionCall.args",
    ),
    ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
    ({"generationConfig": {"maxOutputTokens": 1.5}}, "generationConfig.maxOutputTokens"),
    ({"generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences"),
    ({"generationConfig": []}, "generationConfig"),
    ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
    ({"toolConfig": {"functionCallingConfig": 1}}, "toolConfig.functionCallingConfig"),
    ({"systemInstruction": {"parts": [1]}}, "systemInstruction.parts[0]"),
]


@pytest.mark.parametrize(("body", "param"), FAULTS, ids=[param for _, param in FAULTS])
def test_a_fault_is_named(body, param):
    with pytest.raises(InvalidRequest) as raised:
        read(body)
    assert raised.value.param == param


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"contents":[1e999]}', b'{"a":"\\ud800"}'])
def test_what_is_no_request_is_refused(body):
    with pytest.raises(InvalidRequest):
        parse_request(body, model="m", stream=False)
    with pytest.raises(BadUpstreamReply):
        parse_reply(body)


# Replies


def reply(**candidate: Any) -> Any:
    return parse_reply(json.dumps({"candidates": [candidate], "responseId": "r/1"}).encode())


FINISHES = [
    ("STOP", "stop"),
    ("MAX_TOKENS", "length"),
    ("SAFETY", "content_filter"),
    ("RECITATION", "content_filter"),
    ("MALFORMED_FUNCTION_CALL", "error"),
    ("BRAND_NEW", "other"),
    (3, "content_filter"),
]


@pytest.mark.parametrize(("reason", "finish"), FINISHES)
def test_a_finish_reason_is_read(reason, finish):
    assert reply(content={"parts": []}, finishReason=reason).choices[0].finish == finish


def test_an_answer_that_calls_tools_ends_in_calls_with_ids_of_the_reply():
    parts = [{"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "f", "args": {}, "id": "x"}}]
    choice = reply(content={"parts": parts}, finishReason="STOP").choices[0]
    assert (choice.finish, choice.finish_raw) == ("tool_calls", "STOP")
    assert [part.id for part in choice.parts] == ["call_r1_1", "x"]


def test_a_refused_prompt_is_a_filtered_answer():
    found = parse_reply(b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}')
    assert (found.choices[0].finish, found.choices[0].finish_raw) == ("content_filter", "PROHIBITED_CONTENT")


def test_grounding_is_citations_counted_in_characters():
    grounding = {
        "groundingChunks": [{"web": {"uri": "http://a", "title": "A"}}],
        "groundingSupports": [{"segment": {"startIndex": 3, "endIndex": 6}, "groundingChunkIndices": [0, 9]}],
        "webSearchQueries": ["q", "r"],
    }
    found = reply(content={"parts": [{"text": "äh so"}]}, groundingMetadata=grounding)
    assert found.choices[0].parts[0].citations == (Citation(kind="url", url="http://a", title="A", start=2, end=5),)


def test_log_probabilities_are_read_as_openai_writes_them():
    result = {
        "chosenCandidates": [{"token": "hé", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "hé", "logProbability": -0.5}]}],
    }
    found = reply(content={"parts": [{"text": "hé"}]}, logprobsResult=result).choices[0].logprobs
    token = {"token": "hé", "logprob": -0.5, "bytes": [104, 195, 169]}
    assert found == {"content": [{**token, "top_logprobs": [token]}]}


def test_an_error_with_a_good_status_is_no_reply():
    with pytest.raises(BadUpstreamReply, match="busy"):
        parse_reply(b'{"error":{"message":"busy"}}')


def test_what_another_maker_sealed_comes_back_as_it_was():
    thought = Thinking(text="hm", opaque="sig+/=", maker="messages", redacted=False)
    body = json.loads(render_reply(Reply(dialect="messages", choices=(Choice(parts=(thought,)),)), foreign(), given()))
    part = body["candidates"][0]["content"]["parts"][0]
    assert part["thought"] is True
    back = read({"contents": [{"role": "model", "parts": [part]}]}).messages[0].parts[0]
    assert back == thought
    standard = {**part, "thoughtSignature": part["thoughtSignature"].replace("-", "+").replace("_", "/")}
    assert read({"contents": [{"role": "model", "parts": [standard]}]}).messages[0].parts[0] == thought


# Streams


def element(*parts: Any, **more: Any) -> Any:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, **more}], "responseId": "r"}


@pytest.mark.parametrize("size", [None, 1, 7])
def test_a_stream_is_told_part_by_part(size):
    frames = stream(
        element({"text": "h", "thought": True}),
        element({"text": "m", "thought": True}),
        element({"text": "So "}),
        element({"text": "it is"}, {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "s"}),
        {**element({"text": ""}, finishReason="STOP"), "usageMetadata": {"promptTokenCount": 2, "totalTokenCount": 5}},
        size=size,
    )
    events = [event for frame in frames for event in frame.events]
    assert events[1:] == [
        PartStarted(index=0, part=Thinking(summary=True)),
        ThinkingDelta(index=0, text="h"),
        ThinkingDelta(index=0, text="m"),
        PartEnded(index=0),
        PartStarted(index=1, part=Text(text="")),
        TextDelta(index=1, text="So "),
        TextDelta(index=1, text="it is"),
        PartEnded(index=1),
        PartStarted(
            index=2,
            part=ToolCall(id="call_r_1", name="f", signature="s", extra={"functionCall": {"$no_id": True}}),
        ),
        ArgumentsDelta(index=2, text='{"x":1}'),
        PartEnded(index=2),
        Finished(finish="tool_calls", finish_raw="STOP"),
        Used(usage=Usage(input=2, output=0, reasoning=3)),
        Ended(),
    ]


def test_a_signature_at_the_end_seals_a_thought_of_its_own():
    events = [
        event
        for frame in stream(element({"text": "a"}), element({"text": "", "thoughtSignature": "s"}))
        for event in frame.events
    ]
    assert ThinkingDelta(index=1, opaque="s") in events
    assert PartStarted(index=1, part=Thinking(maker="gemini")) in events


def test_a_call_in_pieces_is_put_together():
    frames = stream(
        element({"functionCall": {"name": "f", "id": "1", "willContinue": True}}),
        element(
            {
                "functionCall": {
                    "partialArgs": [{"jsonPath": "$.a.b[1]", "stringValue": "x", "willContinue": True}],
                    "willContinue": True,
                }
            }
        ),
        element(
            {
                "functionCall": {
                    "partialArgs": [
                        {"jsonPath": "$.a.b[1]", "stringValue": "y"},
                        {"jsonPath": "$['n']", "numberValue": 2},
                    ],
                    "willContinue": True,
                }
            }
        ),
        element({"functionCall": {}}, finishReason="STOP"),
    )
    events = [event for frame in frames for event in frame.events]
    assert ArgumentsDelta(index=0, text='{"a":{"b":[null,"xy"]},"n":2}') in events
    assert Finished(finish="tool_calls", finish_raw="STOP") in events


@pytest.mark.parametrize("path", ["", "a", "$", "$[0]", "$.a[99999999]", "$..a", "$" + ".a" * 200])
def test_a_piece_for_no_place_breaks_the_stream_off(path):
    with pytest.raises(BadUpstreamReply):
        stream(
            element({"functionCall": {"name": "f", "willContinue": True}}),
            element({"functionCall": {"partialArgs": [{"jsonPath": path, "stringValue": "x"}]}}),
        )


def test_citations_are_told_once():
    grounding = {
        "groundingChunks": [{"web": {"uri": "http://a"}}],
        "groundingSupports": [{"segment": {"endIndex": 2}, "groundingChunkIndices": [0]}],
    }
    frames = stream(
        element({"text": "so"}),
        element({"text": "!"}, groundingMetadata=grounding),
        element({"text": "?"}, groundingMetadata=grounding),
    )
    found = [event for frame in frames for event in frame.events if isinstance(event, CitationDelta)]
    assert found == [CitationDelta(index=0, citation=Citation(kind="url", url="http://a", start=0, end=2))]


CUT = [
    b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\n\n',
    b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"',
    b'[{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}',
    b"",
]


@pytest.mark.parametrize("body", CUT, ids=range(len(CUT)))
@pytest.mark.parametrize("size", [None, 1, 7])
def test_a_stream_cut_short_has_not_ended(body, size):
    assert not any(isinstance(event, Ended) for frame in decoded(chunks(body, size)) for event in frame.events)


@pytest.mark.parametrize("size", [None, 1, 7])
def test_an_error_in_the_stream_fails_it(size):
    body = b'data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}\n\n'
    events = [event for frame in decoded(chunks(body, size)) for event in frame.events]
    assert len(events) == 1
    assert isinstance(events[0], Failed)
    assert "overloaded" in events[0].error.message


def test_an_error_is_read_with_its_wait_and_its_field():
    body = json.dumps(
        {
            "error": {
                "code": 429,
                "message": "slow down",
                "status": "RESOURCE_EXHAUSTED",
                "details": [
                    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17.5s"},
                    {"fieldViolations": [{"field": "contents", "description": "x"}]},
                    {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "r1"},
                ],
            }
        }
    ).encode()
    for written in (body, b"[" + body + b"\n]"):
        found = parse_error(429, [], written)
        assert (found.status, found.message, found.code) == (429, "slow down", "RESOURCE_EXHAUSTED")
        assert (found.retry_after, found.param, found.request_id) == (17.5, "contents", "r1")
    assert parse_error(502, [(b"retry-after", b"3")], b"<html>").message == "<html>"
    assert parse_error(502, [(b"retry-after", b"3")], b"").retry_after == 3

"""Every recorded call, read and written in its own dialect, is what it was."""

import json
from collections import Counter

import pytest
from tests.dialects.gemini.given import again, decoded, elements, encoded, foreign, given, recorded
from tests.framing.recordings import SIZES, body_of, chunks, recorded_chunks

from portico.dialects.gemini import parse_reply, read_usage, render_reply
from portico.ir import Ended

# A stream whose blank lines were taken out when it was kept: no event ends.
NOT_EVENTS = "33801f76831c55573178"
# Streams beyond this many bytes are not cut into single bytes: there are enough below it.
LONG = 10_000


def test_every_recorded_request_is_written_as_it_came():
    seen = 0
    for api in ("generateContent", "streamGenerateContent"):
        for record in recorded(api):
            body = record["request"].get("body")
            if body is None:
                continue
            model = record["request"]["path"].rpartition("/")[2].partition(":")[0]
            assert again(body, model) == body, record["id"]
            seen += 1
    assert seen > 800


def test_every_recorded_reply_is_written_as_it_came():
    seen = 0
    for record in recorded("generateContent"):
        if record["response"]["status"] != 200:
            continue
        body = body_of(record)
        reply = parse_reply(body)
        assert json.loads(render_reply(reply, foreign(), given())) == json.loads(body), record["id"]
        assert reply.usage == read_usage(body), record["id"]
        seen += 1
    assert seen > 600


@pytest.mark.parametrize("size", [*SIZES, "recorded"])
def test_every_recorded_stream_is_written_as_it_came(size):
    seen = 0
    for record in recorded("streamGenerateContent"):
        body = body_of(record)
        if record["response"]["status"] != 200 or record["id"].startswith(NOT_EVENTS):
            continue
        if size == 1 and len(body) > LONG:
            continue
        frames = decoded(recorded_chunks(record) if size == "recorded" else chunks(body, size))
        array = body.lstrip()[:1] == b"["
        assert elements(encoded(frames, array)) == elements(body), record["id"]
        seen += 1
    assert seen > 200


def test_a_recorded_stream_that_gave_a_finish_reason_has_ended():
    ends: Counter[bool] = Counter()
    for record in recorded("streamGenerateContent"):
        body = body_of(record)
        if record["response"]["status"] != 200 or record["id"].startswith(NOT_EVENTS):
            continue
        frames = decoded(chunks(body, None))
        ended = any(isinstance(event, Ended) for frame in frames for event in frame.events)
        told = b'"finishReason"' in body or b'"blockReason"' in body
        assert ended == told, record["id"]
        ends[told] += 1
    assert ends[True] > 200
    assert ends[False]


SPELLINGS = [
    {"contents": "hello"},
    {"contents": {"parts": {"text": "hello"}}},
    {"contents": ["hello", {"parts": "hello", "role": "user"}]},
    {"contents": [{"role": "user", "parts": [{"text": ""}]}, {"role": None, "parts": None}, {}]},
    {"contents": None, "tools": None, "toolConfig": None, "generationConfig": None, "systemInstruction": None},
    {"contents": [], "tools": [], "safetySettings": [], "generationConfig": {}, "toolConfig": {}},
    {"contents": [], "system_instruction": "be brief", "generation_config": {"max_output_tokens": 4, "topP": 0.5}},
    {"contents": [], "systemInstruction": {"parts": [{"text": "be brief"}], "role": "user"}},
    {"contents": [], "systemInstruction": {"parts": {"text": "be brief"}}},
    {"contents": [], "unknown": {"x": 1}, "generationConfig": {"unknown": [1], "thinking_config": {"odd": 1}}},
    {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"inline_data": {"mime_type": "image/png", "data": "aaaa", "display_name": "cat"}},
                    {"fileData": {"mime_type": "video/mp4", "fileUri": "gs://a/b"}, "video_metadata": {"fps": 2}},
                    {"inlineData": {"mimeType": "application/pdf", "data": "aaaa"}, "mediaResolution": {"level": "X"}},
                    {"fileData": {"fileUri": "https://youtu.be/x"}},
                    {"brandNew": {"x": 1}},
                ],
            }
        ]
    },
    {
        "contents": [
            {"role": "model", "parts": [{"functionCall": {"name": "f"}}, {"function_call": {"name": "f", "args": {}}}]},
            {
                "role": "function",
                "parts": [
                    {"functionResponse": {"name": "f", "response": {"result": "1"}}},
                    {"function_response": {"name": "f", "response": {"error": {"code": 1}}, "id": "7"}},
                    {"functionResponse": {"name": "f"}},
                    {"functionResponse": {"name": "f", "response": {}, "parts": [], "willContinue": True}},
                ],
            },
        ]
    },
    {
        "contents": [
            {
                "role": "model",
                "parts": [
                    {"thought": True, "text": "hm", "thoughtSignature": "c2ln"},
                    {"thought": True, "text": "hm"},
                    {"thought": True, "text": "", "thoughtSignature": "c2ln"},
                    {"thought": False, "text": "so"},
                    {"text": "", "thoughtSignature": "c2ln"},
                    {"thoughtSignature": "c2ln"},
                    {"text": "so", "thought_signature": "c2ln"},
                    {"executableCode": {"language": "PYTHON", "code": "1"}},
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
                    {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "1", "args": {"queries": ["a"]}}},
                    {"toolResponse": {"tool_type": "GOOGLE_SEARCH_WEB", "id": "1"}},
                ],
            }
        ]
    },
    {
        "contents": [],
        "tools": [
            {"googleSearch": {}, "codeExecution": None},
            {
                "functionDeclarations": [
                    {
                        "name": "f",
                        "description": None,
                        "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
                    },
                    {"name": "g", "parameters_json_schema": {"type": "object"}, "behavior": "BLOCKING"},
                ],
                "urlContext": {"x": 1},
            },
            {"functionDeclarations": []},
        ],
        "toolConfig": {
            "functionCallingConfig": {"mode": "any", "allowed_function_names": ["f"]},
            "retrievalConfig": {"languageCode": "de"},
        },
    },
    {"contents": [], "tools": {"functionDeclarations": [{"name": "f"}]}},
    {"contents": [], "toolConfig": {"functionCallingConfig": {}}},
    *(
        {"contents": [], "toolConfig": {"functionCallingConfig": {"mode": mode, "allowedFunctionNames": names}}}
        for mode in ("AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED")
        for names in ([], ["f"], ["f", "g"])
    ),
    {
        "contents": [],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": 6, "properties": {}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": 2}},
        "generationConfig": {"responseModalities": [1, 2], "responseSchema": {"type": 5, "items": {"type": 1}}},
    },
    {
        "contents": [],
        "generationConfig": {
            "responseMimeType": "text/x.enum",
            "responseSchema": {"type": "STRING", "enum": ["a", "b"], "format": "enum"},
            "stopSequences": [],
            "responseModalities": ["TEXT", "image"],
            "thinkingConfig": {"thinkingBudget": -1, "thinkingLevel": "low", "includeThoughts": False},
            "speechConfig": {"languageCode": "de"},
            "logprobs": 3,
            "responseLogprobs": True,
            "seed": None,
        },
        "safetySettings": [{"category": "X", "threshold": "OFF"}],
        "cachedContent": "cachedContents/1",
        "labels": {"a": "b"},
    },
    {"contents": [], "generationConfig": {"responseSchema": {"type": "OBJECT", "properties": {}}}},
    {"contents": [], "generationConfig": {"responseMimeType": "text/plain"}},
]


@pytest.mark.parametrize("body", SPELLINGS, ids=range(len(SPELLINGS)))
def test_a_request_is_written_as_it_was_spelled(body):
    assert again(body) == body


REPLIES = [
    {"candidates": []},
    {"usageMetadata": {"promptTokenCount": 1}},
    {"promptFeedback": {"blockReason": "SAFETY"}},
    {"candidates": [{"finishReason": "SAFETY", "index": 0}]},
    {"candidates": [{"content": None, "finishReason": "RECITATION"}]},
    {"candidates": [{"content": {}, "finishReason": 2}, {"content": {"role": "model"}, "finishReason": "BRAND_NEW"}]},
    {"candidates": [{"content": {"parts": None, "role": "model"}}]},
    {"candidates": [{"content": {"parts": [], "role": "model"}, "finishReason": None}], "odd": 1},
    {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "MALFORMED_FUNCTION_CALL"}]},
]


@pytest.mark.parametrize("body", REPLIES, ids=range(len(REPLIES)))
def test_a_reply_is_written_as_it_was_spelled(body):
    assert json.loads(render_reply(parse_reply(json.dumps(body).encode()), foreign(), given())) == body

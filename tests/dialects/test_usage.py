"""Usage of whole replies: each dialect's rules for disjoint buckets, on bodies written by hand."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.dialects.operations import OPERATIONS
from portico.dialects.usage import read_usage
from portico.types import Usage

OPENAI = {
    "plain": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        Usage(input=10, output=5),
    ),
    "cached, written, heard and thought are parts": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20, "audio_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 15, "audio_tokens": 5, "image_tokens": 1},
        },
        Usage(
            input=40,
            cache_read=30,
            cache_write_5m=20,
            input_audio=10,
            output=29,
            reasoning=15,
            output_audio=5,
            output_image=1,
        ),
    ),
    "xAI: reasoning is beside the completion": (
        {
            "prompt_tokens": 173,
            "completion_tokens": 13,
            "total_tokens": 264,
            "completion_tokens_details": {"reasoning_tokens": 78},
            "cost_in_usd_ticks": 37756004,
        },
        Usage(input=173, output=13, reasoning=78, reported_cost=3775600),
    ),
    "no ticks are not a cost of nothing": (
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost_in_usd_ticks": 0},
        Usage(input=1, output=1),
    ),
    "Mistral: audio is beside the prompt": (
        {
            "prompt_tokens": 11,
            "completion_tokens": 15,
            "total_tokens": 401,
            "prompt_audio_seconds": 5,
            "prompt_tokens_details": {"audio_tokens": 375, "cached_tokens": 9},
        },
        Usage(input=2, cache_read=9, input_audio=375, output=15, seconds=5.0),
    ),
    "Gemini's thoughts are in its total only": (
        {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109},
        Usage(input=35, output=12, reasoning=62),
    ),
    "Voyage: a total and nothing else": ({"total_tokens": 57}, Usage(input=57)),
    "OpenRouter: dollars, exactly": (
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost": 0.0000000125, "is_byok": False},
        Usage(input=1, output=1, reported_cost=13),
    ),
    "OpenRouter with a key of one's own: the fee, and what the key's owner pays": (
        {
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "cost": 0.00001,
            "is_byok": True,
            "cost_details": {"upstream_inference_cost": 0.0002},
        },
        Usage(input=1, output=1, reported_cost=210_000),
    ),
    "a free model says so": (
        {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0},
        Usage(input=1, output=1, reported_cost=0),
    ),
    "Perplexity: an object of costs": (
        {"prompt_tokens": 1, "completion_tokens": 1, "cost": {"total_cost": 0.006}, "num_search_queries": 2},
        Usage(input=1, output=1, reported_cost=6_000_000, searches=2),
    ),
    "DeepSeek's name for what was cached": (
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 2},
        Usage(input=2, cache_read=8, output=1),
    ),
    "Moonshot's name for it": (
        {"prompt_tokens": 10, "completion_tokens": 1, "cached_tokens": 4},
        Usage(input=6, cache_read=4, output=1),
    ),
    "Anthropic's names for it, inside the prompt": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 1,
            "cache_read_input_tokens": 4,
            "cache_creation_input_tokens": 3,
            "cache_creation": {"ephemeral_1h_input_tokens": 1},
        },
        Usage(input=3, cache_read=4, cache_write_5m=2, cache_write_1h=1, output=1),
    ),
    "more cached than there was": (
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 99}},
        Usage(cache_read=10, output=1),
    ),
    "written and read overlap: the dearer counts": (
        {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 8}},
        Usage(cache_write_5m=8, cache_read=2),
    ),
    "more reasoning than completion": (
        {"prompt_tokens": 1, "completion_tokens": 16, "completion_tokens_details": {"reasoning_tokens": 19}},
        Usage(input=1, reasoning=16),
    ),
    "nulls and odd values are nothing": (
        {
            "prompt_tokens": 7,
            "completion_tokens": None,
            "total_tokens": "nine",
            "prompt_tokens_details": None,
            "completion_tokens_details": [],
            "cost": "much",
            "cached_tokens": -3,
            "reasoning_tokens": True,
        },
        Usage(input=7),
    ),
    "counts with a fraction of nothing": (
        {"prompt_tokens": 188.0, "completion_tokens": 2.0},
        Usage(input=188, output=2),
    ),
    "noughts are counts": ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Usage()),
    "no counts": ({"queue_time": 0.1}, None),
}


@pytest.mark.parametrize("operation", ["chat", "completions", "embeddings"])
@pytest.mark.parametrize("name", OPENAI)
def test_openai_s_usage_and_that_of_its_followers(name: str, operation: str) -> None:
    usage, expected = OPENAI[name]
    body = json.dumps({"id": "x", "choices": [{"message": {"usage": 3}}], "usage": usage}).encode()
    assert read_usage(OPERATIONS[operation], body) == expected


def read(operation: str, body: Any, headers: Any = ()) -> Usage | None:
    return read_usage(OPERATIONS[operation], json.dumps(body).encode(), headers)


@pytest.mark.parametrize(
    ("said", "tier"),
    [("default", None), ("auto", None), ("on_demand", None), ("flex", "flex"), ("priority", "priority"), (None, None)],
)
def test_only_a_special_tier_is_noted(said: str | None, tier: str | None) -> None:
    body = {"usage": {"prompt_tokens": 1, "completion_tokens": 1}, "service_tier": said}
    assert read("chat", body) == Usage(input=1, output=1, tier=tier)


def test_groq_s_second_place_for_usage_is_read() -> None:
    assert read("chat", {"x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}}) == Usage(input=3, output=1)


RESPONSE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 29,
}


def test_responses_count_the_calls_of_built_in_tools() -> None:
    output = [
        {"type": "web_search_call", "action": {"type": "search", "query": "x"}},
        {"type": "web_search_call", "action": {"type": "open_page", "url": "x"}},
        {"type": "web_search_call"},
        {"type": "file_search_call"},
        {"type": "code_interpreter_call", "container_id": "cntr_1"},
        {"type": "code_interpreter_call", "container_id": "cntr_1"},
        {"type": "function_call", "name": "web_search_call"},
        {"type": "message", "content": []},
    ]
    parts = Usage(input=12, cache_read=5, cache_write_5m=3, output=5, reasoning=4, searches=2, tool_uses=3)
    parts = msgspec.structs.replace(parts, file_searches=1, code_sessions=1)
    assert read("responses", {"usage": RESPONSE, "output": output}) == parts


def test_anthropic_says_where_it_served_from() -> None:
    usage = {"input_tokens": 3, "output_tokens": 4}
    found = [
        read("messages", {"usage": usage | {"inference_geo": geo}}) for geo in ("us", "global", "not_available", None)
    ]
    assert [one and one.geo for one in found] == ["us", None, None, None]


def test_xai_s_responses_say_themselves_what_tools_they_used() -> None:
    usage = RESPONSE | {
        "cost_in_usd_ticks": 50,
        "num_server_side_tools_used": 4,
        "server_side_tool_usage_details": {"web_search_calls": 2, "x_search_calls": 1, "mcp_calls": 1},
    }
    found = read("responses", {"usage": usage, "output": [{"type": "web_search_call"}]})
    assert found is not None
    assert (found.searches, found.tool_uses, found.reported_cost) == (3, 1, 5)


ANTHROPIC = {
    "input and cache are disjoint": (
        {
            "input_tokens": 10,
            "cache_read_input_tokens": 20,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 18, "ephemeral_1h_input_tokens": 12},
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 3},
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
            "service_tier": "priority",
        },
        Usage(
            input=10,
            cache_read=20,
            cache_write_5m=18,
            cache_write_1h=12,
            output=4,
            reasoning=3,
            searches=2,
            tool_uses=1,
            tier="priority",
        ),
    ),
    "what compaction sampled is beside the message": (
        {
            "input_tokens": 612,
            "output_tokens": 28,
            "iterations": [
                {"type": "compaction", "input_tokens": 60385, "output_tokens": 522, "cache_read_input_tokens": 5},
                {"type": "message", "input_tokens": 612, "output_tokens": 28},
            ],
        },
        Usage(input=60997, cache_read=5, output=550),
    ),
    "fast mode is a tier": (
        {"input_tokens": 1, "output_tokens": 1, "speed": "fast", "service_tier": "standard"},
        Usage(input=1, output=1, tier="fast"),
    ),
    "odd values are nothing": ({"input_tokens": 1, "iterations": 4, "server_tool_use": 1}, Usage(input=1)),
}


@pytest.mark.parametrize("name", ANTHROPIC)
def test_anthropic_s_usage(name: str) -> None:
    usage, expected = ANTHROPIC[name]
    assert read("messages", {"usage": usage}) == expected


GOOGLE = {
    "thoughts and tools are beside prompt and candidates": (
        {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 40,
            "toolUsePromptTokenCount": 7,
            "candidatesTokenCount": 20,
            "thoughtsTokenCount": 30,
            "totalTokenCount": 157,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 50},
                {"modality": "AUDIO", "tokenCount": 30},
                {"modality": "IMAGE", "tokenCount": 20},
            ],
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 25}, {"modality": "TEXT", "tokenCount": 15}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 12}],
            "serviceTier": "flex",
        },
        Usage(
            input=42, cache_read=40, input_audio=5, input_image=20, output=8, reasoning=30, output_image=12, tier="flex"
        ),
    ),
    "modalities by number": (
        {"promptTokenCount": 9, "promptTokensDetails": [{"modality": 4, "tokenCount": 9}], "trafficType": 1},
        Usage(input_audio=9),
    ),
    "Vertex AI's names of tiers": (
        {"promptTokenCount": 1, "trafficType": "ON_DEMAND_PRIORITY"},
        Usage(input=1, tier="priority"),
    ),
    "an ordinary one": ({"promptTokenCount": 1, "trafficType": "ON_DEMAND"}, Usage(input=1)),
    "a total alone": ({"totalTokenCount": 9}, Usage(input=9)),
    "no counts": ({"trafficType": "ON_DEMAND"}, None),
}


@pytest.mark.parametrize("name", GOOGLE)
def test_gemini_s_usage(name: str) -> None:
    usage, expected = GOOGLE[name]
    assert read("generate_content", {"candidates": [], "usageMetadata": usage}) == expected


def test_gemini_s_searches_are_its_queries() -> None:
    candidates = [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}, {"content": {}}]
    found = read("generate_content", {"candidates": candidates, "usageMetadata": {"promptTokenCount": 1}})
    assert found == Usage(input=1, searches=2)


def test_converse_s_usage() -> None:
    usage = {
        "inputTokens": 3,
        "outputTokens": 121,
        "totalTokens": 2072,
        "cacheReadInputTokens": 1712,
        "cacheWriteInputTokens": 236,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 200}, {"ttl": "5m", "inputTokens": 36}],
    }
    expected = Usage(input=3, cache_read=1712, cache_write_5m=36, cache_write_1h=200, output=121, tier="flex")
    assert read("converse", {"usage": usage, "serviceTier": {"type": "flex"}}) == expected


BEDROCK = [
    (b"x-amzn-bedrock-input-token-count", b"5"),
    (b"x-amzn-bedrock-output-token-count", b"7"),
    (b"x-amzn-bedrock-cache-read-input-token-count", b"11"),
    (b"content-type", b"application/json"),
]
INVOKED: dict[str, tuple[Any, Any, Usage | None]] = {
    "Anthropic": (
        {"usage": {"input_tokens": 4, "output_tokens": 2, "cache_read_input_tokens": 1}},
        (),
        Usage(input=4, cache_read=1, output=2),
    ),
    "Nova": (
        {"usage": {"inputTokens": 4, "outputTokens": 2, "cacheReadInputTokenCount": 3}},
        (),
        Usage(input=4, cache_read=3, output=2),
    ),
    "open weights of OpenAI": ({"usage": {"prompt_tokens": 4, "completion_tokens": 2}}, (), Usage(input=4, output=2)),
    "Titan": (
        {"inputTextTokenCount": 4, "results": [{"tokenCount": 2}, {"tokenCount": 3}]},
        (),
        Usage(input=4, output=5),
    ),
    "Titan's embeddings": ({"inputTextTokenCount": 4, "embedding": [0.1]}, (), Usage(input=4)),
    "Llama": ({"prompt_token_count": 4, "generation_token_count": 2}, (), Usage(input=4, output=2)),
    "Cohere": (
        {"meta": {"billed_units": {"input_tokens": 4, "output_tokens": 2}}},
        (),
        Usage(input=4, output=2),
    ),
    "Mistral, by the headers": ({"outputs": []}, BEDROCK, Usage(input=5, cache_read=11, output=7)),
    "what the body knows goes before the headers": (
        {"usage": {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 11}},
        BEDROCK,
        Usage(input=5, cache_read=11, output=7),
    ),
    "nothing said": ({"completions": []}, [(b"x-amzn-bedrock-input-token-count", b"many")], None),
}


@pytest.mark.parametrize("name", INVOKED)
def test_invoked_models_report_in_their_makers_way(name: str) -> None:
    body, headers, expected = INVOKED[name]
    assert read("invoke", body, headers) == expected


OTHERS: list[tuple[str, Any, Usage | None]] = [
    (
        "cohere_chat",
        {
            "usage": {
                "billed_units": {"input_tokens": 84, "output_tokens": 314},
                "tokens": {"input_tokens": 1501, "output_tokens": 346, "reasoning_tokens": 304},
                "cached_tokens": 1008,
            }
        },
        Usage(input=84, output=10, reasoning=304),
    ),
    ("cohere_embed", {"meta": {"billed_units": {"input_tokens": 4, "image_tokens": 3}}}, Usage(input=4, input_image=3)),
    ("cohere_embed", {"meta": {"billed_units": {"images": 2}}}, Usage(images=2)),
    ("cohere_rerank", {"results": [], "meta": {"billed_units": {"search_units": 1}}}, Usage(searches=1)),
    ("rerank", {"meta": {"billed_units": {"search_units": 2}}}, Usage(searches=2)),
    ("rerank", {"usage": {"total_tokens": 17, "cost": 3.4e-07}}, Usage(input=17, reported_cost=340)),
    (
        "images_generations",
        {
            "data": [{"b64_json": "eA=="}, {"b64_json": "eA=="}],
            "usage": {
                "input_tokens": 221,
                "input_tokens_details": {"image_tokens": 194, "text_tokens": 27},
                "output_tokens": 415,
                "output_tokens_details": {"image_tokens": 272, "text_tokens": 143},
                "total_tokens": 636,
            },
        },
        Usage(input=27, input_image=194, output=143, output_image=272, images=2),
    ),
    (
        "images_generations",
        {"data": [{}], "usage": {"input_tokens": 5, "output_tokens": 1056, "total_tokens": 1061}},
        Usage(input=5, output_image=1056, images=1),
    ),
    ("images_variations", {"data": [{"url": "x"}]}, Usage(images=1)),
    (
        "images_edits",
        {"data": [{}], "usage": {"cost_in_usd_ticks": 200000000}},
        Usage(images=1, reported_cost=20000000),
    ),
    (
        "audio_transcriptions",
        {
            "text": "x",
            "usage": {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 2, "audio_tokens": 12},
                "output_tokens": 5,
                "total_tokens": 19,
            },
        },
        Usage(input=2, input_audio=12, output=5),
    ),
    ("audio_transcriptions", {"text": "x", "usage": {"type": "duration", "seconds": 3}}, Usage(seconds=3.0)),
    ("audio_translations", {"text": "x", "duration": "2.95"}, Usage(seconds=2.95)),
    ("audio_transcriptions", {"text": "x", "duration": 8.5}, Usage(seconds=8.5)),
    ("audio_transcriptions", {"text": "x"}, None),
    ("moderations", {"results": []}, None),
    ("messages_count_tokens", {"input_tokens": 9}, None),
    ("gemini_count_tokens", {"totalTokens": 9}, None),
    ("responses_input_tokens", {"input_tokens": 9}, None),
    (
        "responses_compact",
        {"object": "response.compaction", "usage": {"input_tokens": 139, "output_tokens": 438, "total_tokens": 577}},
        Usage(input=139, output=438),
    ),
    ("batch_embed_contents", {"embeddings": [], "usageMetadata": {"promptTokenCount": 3}}, Usage(input=3)),
    ("passthrough", {"usage": {"prompt_tokens": 1}}, None),
]


@pytest.mark.parametrize(("operation", "body", "expected"), OTHERS)
def test_other_operations_report_what_they_bill(operation: str, body: Any, expected: Usage | None) -> None:
    assert read(operation, body) == expected


def test_a_whole_array_from_a_streaming_operation_is_read_as_its_stream() -> None:
    body = [
        {"usageMetadata": {"promptTokenCount": 1}},
        {"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 4}},
    ]
    assert read("stream_generate_content", body) == Usage(input=1, output=4)


BROKEN = [
    b"",
    b"null",
    b"[]",
    b'"usage"',
    b"{",
    b"\xff\xfe",
    b'{"usage":[1]}',
    b'{"usage":{"prompt_tokens":' + b"9" * 400 + b"}}",
]
BROKEN += [
    b'{"usage":{"cost":1e99999999999999999999}}',
    b'{"usage":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"usage":{"cost":NaN}}',
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("body", BROKEN)
def test_no_bytes_make_reading_fail(operation: str, body: bytes) -> None:
    found = read_usage(OPERATIONS[operation], body)
    assert found is None or found.total == 0


numbers = st.none() | st.integers(-5, 10**6) | st.floats(0, 10**6) | st.text(max_size=2)
names = st.sampled_from(
    [
        *("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "inputTokens"),
        *("cache_read_input_tokens", "cache_creation_input_tokens", "cached_tokens", "cacheReadInputTokens"),
        *("promptTokenCount", "candidatesTokenCount", "totalTokenCount", "thoughtsTokenCount", "cost", "seconds"),
    ]
)
details = st.dictionaries(
    st.sampled_from(["cached_tokens", "audio_tokens", "image_tokens", "reasoning_tokens"]), numbers
)
usages = st.dictionaries(names, numbers).flatmap(
    lambda flat: st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens_details": details,
            "completion_tokens_details": details,
            "output_tokens_details": details,
        },
    ).map(lambda nested: flat | nested)
)


@given(st.sampled_from(["chat", "responses", "messages", "generate_content", "converse", "invoke", "rerank"]), usages)
def test_no_bucket_is_ever_negative(operation: str, usage: Any) -> None:
    found = read(operation, {"usage": usage, "usageMetadata": usage})
    if found is not None:
        counts = [
            getattr(found, name) for name in Usage.__struct_fields__ if name not in ("reported_cost", "tier", "geo")
        ]
        assert all(value >= 0 for value in counts)

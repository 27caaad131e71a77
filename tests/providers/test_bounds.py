"""A bound is what the table and the price say of the most that a call can use."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.dialects.asked import glance
from portico.dialects.operations import OPERATIONS
from portico.dialects.request import peek
from portico.errors import InvalidRequest
from portico.providers.bounds import Ceiling, ceiling
from portico.providers.bounds_table import table
from portico.providers.prices import cost
from portico.providers.prices_schedule import TOKEN_RATES, Price, price
from portico.rules import Bound
from portico.types import Usage

WORDS = tuple(
    re.findall(
        r"\w+",
        """model messages content role type text tools n max_tokens max_output_tokens image_url input contents parts
        inlineData generationConfig maxOutputTokens prompt documents query system reasoning mode service_tier
        functions tool_calls""",
    )
)
FLAT = price({"input": 1_000_000, "output": 2_000_000}, max_output=4_000)
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1_000}


def bound(
    body: dict[str, Any], operation: str = "chat", of: Ceiling | Price | None = FLAT, **more: Any
) -> Bound | None:
    encoded = json.dumps(body).encode()
    roof = of if isinstance(of, Ceiling) else ceiling("nobody", "m", of)
    return roof.bound(OPERATIONS[operation], peek(OPERATIONS[operation], encoded, b"application/json"), encoded, **more)


def test_a_text_has_no_more_tokens_than_bytes_and_what_its_provider_adds() -> None:
    row = table().default
    found = bound(CHAT)
    assert found is not None
    assert found.input_tokens == len(json.dumps(CHAT)) + (row.call or 0)
    assert found.output_tokens == 1_000 + (row.over or 0)
    assert found.cost == found.input_tokens * 1_000 + found.output_tokens * 2_000
    assert found.finite


def test_every_choice_may_be_as_long_as_the_limit() -> None:
    one, three = bound(CHAT), bound(CHAT | {"n": 3})
    assert one is not None
    assert three is not None
    assert three.output_tokens == 3 * one.output_tokens


@pytest.mark.parametrize(
    ("default", "of", "limit"),
    [(None, FLAT, 4_000), (50, FLAT, 50), (None, price({"input": 1}, context_window=9_000), 9_000)],
)
def test_a_call_without_a_limit_has_the_gateways_or_the_models(default: int | None, of: Price, limit: int) -> None:
    body = {name: value for name, value in CHAT.items() if name != "max_tokens"}
    found = bound(body, of=of, default_limit=default)
    assert found is not None
    assert found.output_tokens == limit + (table().default.over or 0)


CONTENTS = {"contents": [{"parts": [{"text": "hello"}]}]}


@pytest.mark.parametrize(
    "more",
    [
        {"generationConfig": {"maxOutputTokens": 10, "max_output_tokens": 900}},
        {"generationConfig": {"maxOutputTokens": "900", "max_output_tokens": 10}},
        {"generationConfig": {"maxOutputTokens": 900}, "generation_config": {"maxOutputTokens": 10}},
        {"generation_config": {"maxOutputTokens": 10}, "generationConfig": {"max_output_tokens": 900}},
        {"generationConfig": {"maxOutputTokens": 300, "candidateCount": 1, "candidate_count": 3}},
        {"generationConfig": {"maxOutputTokens": 300, "candidateCount": "3"}},
    ],
)
def test_of_what_is_said_in_two_ways_the_most_counts(more: dict[str, Any]) -> None:
    encoded = json.dumps(CONTENTS | more).encode()
    operation = OPERATIONS["generate_content"]
    seen = peek(operation, encoded, b"application/json")
    roof = ceiling("nobody", "m", FLAT)
    found = roof.bound(operation, seen, encoded) or roof.closely(operation, seen, encoded)
    assert found.output_tokens >= 900
    assert roof.closely(operation, seen, encoded).output_tokens >= 900


@pytest.mark.parametrize("three", [3, 3.0, "3", "3.0", 2.5])
def test_a_number_counts_however_it_is_written(three: object) -> None:
    operation = OPERATIONS["chat"]
    encoded = json.dumps(CHAT | {"n": three}).encode()
    found = ceiling("nobody", "m", FLAT).closely(operation, peek(operation, encoded, b"application/json"), encoded)
    assert found.output_tokens >= 3 * 1_000


def test_without_any_limit_there_is_no_bound() -> None:
    body = {name: value for name, value in CHAT.items() if name != "max_tokens"}
    found = bound(body, of=price({"input": 1}))
    assert found is not None
    assert (found.cost, found.why, found.finite) == (None, "no_output_limit", False)


def test_a_model_without_a_price_has_bounded_tokens_and_no_cost() -> None:
    found = bound(CHAT, of=None)
    assert found is not None
    assert (found.cost, found.why, found.finite) == (None, "unpriced", True)


def test_reasoning_beside_the_limit_is_bounded_by_the_model_alone() -> None:
    found = bound(CHAT, of=ceiling("xai", "grok-9", FLAT))
    assert found is not None
    assert found.output_tokens >= 4_000


def test_a_model_that_searches_by_itself_has_no_bound() -> None:
    found = bound(CHAT, of=ceiling("perplexity", "sonar", FLAT))
    assert found is not None
    assert found.why == "searching_model"


@pytest.mark.parametrize(
    ("tier", "output"), [(None, 2_000), ("flex", 2_000), ("priority", 8_000), ("auto", 8_000), ("default", 2_000)]
)
def test_the_dearest_of_the_tiers_that_may_be_served_counts(tier: str | None, output: int) -> None:
    rates = {"input": 0, "output": 2_000_000, "priority.output": 8_000_000, "flex.output": 1_000_000}
    found = bound(CHAT | ({"service_tier": tier} if tier else {}), of=price(rates, max_output=4_000))
    assert found is not None
    assert found.cost == found.output_tokens * output


def test_a_larger_context_counts_once_the_input_may_reach_it() -> None:
    of = price({"input": 1_000, "input>100000": 2_000, "output": 0}, max_output=4_000)
    short, long = bound(CHAT, of=of), bound(CHAT | {"user": "u" * 100_000}, of=of)
    assert short is not None
    assert long is not None
    assert short.cost == short.input_tokens
    assert long.cost == 2 * long.input_tokens


@pytest.mark.parametrize(
    ("mark", "rate"),
    [({}, 100), ({"cache_control": {"type": "ephemeral"}}, 125), ({"cache_control": {"type": "e", "ttl": "1h"}}, 200)],
)
def test_writing_to_a_cache_that_must_be_marked_counts_where_it_is(mark: dict[str, Any], rate: int) -> None:
    rates = {"input": 100_000, "cache_write_5m": 125_000, "cache_write_1h": 200_000, "output": 0}
    of = ceiling("anthropic", "claude-x", price(rates, max_output=4_000))
    found = bound(CHAT | mark, "messages", of)
    assert found is not None
    assert found.cost == found.input_tokens * rate


def test_writing_to_a_cache_always_counts_where_it_is_done_unasked() -> None:
    rates = {"input": 100_000, "cache_write_5m": 125_000, "output": 0}
    found = bound(CHAT, of=ceiling("openai", "gpt-x", price(rates, max_output=4_000)))
    assert found is not None
    assert found.cost == found.input_tokens * 125


@pytest.mark.parametrize(
    "more",
    [
        {"web_search_options": {}},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]},
        {"tools": [{"type": "web_search"}]},
        {"something_new": 1},
        {"messages": [{"role": "user", "content": "x", "images": ["…"]}]},
        {"n": "three"},
        {"reasoning": {"mode": "pro"}},
    ],
)
def test_what_is_not_plain_text_needs_a_closer_look(more: dict[str, Any]) -> None:
    assert bound(CHAT | more) is None


def closely(body: dict[str, Any], operation: str = "chat", of: Ceiling | Price | None = FLAT) -> Bound:
    encoded = json.dumps(body).encode()
    roof = of if isinstance(of, Ceiling) else ceiling("nobody", "m", of)
    return roof.closely(OPERATIONS[operation], peek(OPERATIONS[operation], encoded, b"application/json"), encoded)


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return CHAT | {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (CHAT | {"web_search_options": {}}, "web_search"),
        (CHAT | {"tools": [{"type": "web_search"}]}, "web_search"),
        (CHAT | {"tools": [{"type": "openrouter:advisor"}]}, "server_tool"),
        (CHAT | {"tools": [{"type": "something_new"}]}, "unknown_tool"),
        (CHAT | {"something_new": 1}, "unknown_member"),
        (CHAT | {"models": ["a", "b"]}, "any_model"),
        (CHAT | {"prediction": {"content": "x"}}, "prediction"),
        (CHAT | {"reasoning": {"mode": "pro"}}, "pro_mode"),
        (user({"type": "something_new"}), "unknown_part"),
        (user({"type": "text", "text": "x", "something_new": 1}), "unknown_field"),
        (user({"type": "file", "file": {"file_id": "f"}}), "file"),
        (user({"type": "image_url", "image_url": {"url": "https://x"}}), "image"),
    ],
)
def test_what_has_no_bound_is_named(body: dict[str, Any], why: str) -> None:
    assert closely(body).why == why


@pytest.mark.parametrize(
    ("operation", "body", "why"),
    [
        ("responses", {"input": "x", "previous_response_id": "r"}, "stored_context"),
        ("responses", {"input": "x", "prompt": {"id": "p"}}, "stored_prompt"),
        ("responses", {"input": [{"type": "item_reference", "id": "i"}]}, "stored_context"),
        ("responses", {"input": "x", "tools": [{"type": "code_interpreter"}]}, "code_execution"),
        ("messages", {"max_tokens": 9, "messages": [], "mcp_servers": [{"url": "https://x"}]}, "mcp"),
        ("messages", {"max_tokens": 9, "messages": [], "tools": [{"type": "web_search_20250305"}]}, "web_search"),
        ("messages", {"max_tokens": 9, "messages": [], "context_management": {"edits": [1]}}, "compaction"),
        ("generate_content", {"contents": [], "tools": [{"googleSearch": {}}]}, "web_search"),
        ("generate_content", {"contents": [], "cachedContent": "cachedContents/1"}, "stored_context"),
        ("generate_content", {"contents": [{"parts": [{"fileData": {"mimeType": "video/mp4"}}]}]}, "video"),
        ("converse", {"messages": [{"content": [{"document": {"name": "x"}}]}]}, "file"),
        ("converse", {"messages": [], "guardrailConfig": {"guardrailIdentifier": "g"}}, "guardrail"),
        ("audio_speech", {"input": "x"}, "speech"),
        ("images_generations", {"prompt": "x"}, "made_image"),
    ],
)
def test_what_has_no_bound_is_named_in_every_dialect(operation: str, body: dict[str, Any], why: str) -> None:
    assert closely(body | {"model": "m"}, operation).why == why


def test_a_picture_has_the_most_tokens_that_its_provider_makes_of_one() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 4_000}}
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": [picture, picture]}], "model": "m"}
    of = ceiling("anthropic", "claude-x", FLAT)
    assert closely(body, "messages", of).input_tokens < 2 * 5_000 + 500
    assert closely(body, "messages", of).input_tokens > 2 * 5_000


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBERi0="}}, "file"),
        ({"type": "image_url", "image_url": "data:video/mp4;base64,AAAA"}, "video"),
        ({"type": "image_url", "image_url": {"url": "https://x.com/a/film.mp4?size=1"}}, "video"),
        ({"type": "image_url", "image_url": {"url": "gs://x/y.pdf", "format": "image/png", "detail": "low"}}, "file"),
        ({"type": "image_url", "image_url": {"url": "gs://x/y", "format": "application/pdf"}}, "file"),
        ({"type": "image", "source": {"type": "base64", "media_type": "Audio/mp3", "data": "AAAA"}}, "audio"),
        ({"type": "image", "data": "JVBERi0xLjQ="}, "file"),
        ({"type": "input_image", "image_url": "https://x.com/y.PDF#page=1"}, "file"),
    ],
)
def test_what_is_called_a_picture_and_is_none_is_bounded_as_what_it_is(part: dict[str, Any], why: str) -> None:
    of = ceiling("gemini", "gemini-x", price({"input": 1_000_000, "output": 0}, max_output=10))
    assert closely(user(part), of=of).why == why


@pytest.mark.parametrize(
    "url",
    ["https://x.com", "https://x.com/a", "https://x.com/v1.2/a?b=c.pdf", "https://x.com/a.php", "data:;base64,AA"],
)
def test_what_may_be_a_picture_is_one(url: str) -> None:
    of = ceiling("gemini", "gemini-x", price({"input": 1_000_000, "output": 0}, max_output=10))
    assert closely(user({"type": "image_url", "image_url": {"url": url, "format": "png"}}), of=of).finite


def test_a_file_may_fill_the_whole_context_and_no_more() -> None:
    of = price({"input": 1_000_000, "output": 0}, max_output=10, context_window=50_000)
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}
    one, two = closely(user(file), of=of), closely(user(file, file), of=of)
    assert one.finite
    assert 50_000 <= one.input_tokens <= two.input_tokens < 60_000


def test_what_is_escaped_counts_as_what_it_is() -> None:
    body = CHAT | {"messages": [{"role": "user", "content": '\n\t"' * 1_000}]}
    first = bound(body)
    assert first is not None
    assert closely(body).input_tokens < first.input_tokens - 2_500


@pytest.mark.parametrize("operation", ["messages_count_tokens", "gemini_count_tokens", "responses_input_tokens"])
def test_counting_tokens_is_free(operation: str) -> None:
    assert closely({"model": "m"}, operation) == Bound(0, 0, 0)


def test_an_embedding_has_no_output() -> None:
    found = bound({"model": "m", "input": ["a", "b"]}, "embeddings")
    assert found is not None
    assert found.output_tokens == 0
    assert found.cost == found.input_tokens * 1_000


def test_a_question_is_read_once_with_each_document() -> None:
    of = price({"input": 1_000_000, "search": 2_000_000_000})
    body = {"model": "m", "query": "q" * 100, "documents": ["d" * 50] * 150}
    found = closely(body, "rerank", of)
    assert found.input_tokens >= 150 * 150
    assert found.cost == found.input_tokens * 1_000 + 2 * 2_000_000


def test_every_prompt_of_a_list_has_its_answers() -> None:
    found = closely({"model": "m", "prompt": ["a", "b", "c"], "n": 2, "max_tokens": 100}, "completions")
    assert found.output_tokens == 6 * (100 + (table().default.over or 0))


def test_an_upload_has_no_bound() -> None:
    body = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b--\r\n'
    operation = OPERATIONS["audio_transcriptions"]
    seen = peek(operation, body, b"multipart/form-data; boundary=b")
    assert ceiling("nobody", "whisper", FLAT).closely(operation, seen, body).why == "upload"


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(("", "a", "…", "text", "image", "pro", *WORDS)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(WORDS), nested, max_size=6), st.sampled_from(sorted(OPERATIONS)))
def test_no_body_breaks_it(body: dict[str, Any], operation: str) -> None:
    encoded = json.dumps(body).encode()
    try:
        seen = peek(OPERATIONS[operation], encoded, b"application/json")
    except InvalidRequest:
        return
    roof = ceiling("openai", "m", FLAT)
    found, first = (look(OPERATIONS[operation], seen, encoded) for look in (roof.closely, roof.bound))
    assert isinstance(found, Bound)
    assert first is None or first.input_tokens >= found.input_tokens


@given(st.text(), st.text())
def test_a_text_is_never_less_than_its_bytes(one: str, other: str) -> None:
    body = CHAT | {"messages": [{"role": "system", "content": one}, {"role": "user", "content": other}]}
    assert closely(body).input_tokens >= len(one.encode("utf-8", "surrogatepass")) + len(other.encode())


rates = st.integers(min_value=0, max_value=10**9)
SHEETS = st.dictionaries(
    st.sampled_from(
        [
            f"{tier}{rate}{above}"
            for tier in ("", "priority.", "flex.")
            for rate in TOKEN_RATES
            for above in ("", ">1000", ">100000")
        ]
    ),
    rates,
)


@given(
    SHEETS,
    st.sampled_from(("openai", "anthropic", "nobody")),
    st.sampled_from((None, "priority", "flex", "auto", "default")),
    st.booleans(),
    st.sampled_from(("us", None)),
    st.lists(st.integers(min_value=0, max_value=10_000), min_size=7, max_size=7),
    st.integers(min_value=0, max_value=3),
)
def test_nothing_within_the_bound_of_tokens_costs_more_than_the_bound(
    sheet: dict[str, int],
    provider: str,
    tier: str | None,
    marked: bool,
    geo: str | None,
    shares: list[int],
    size: int,
) -> None:
    """However the tokens are spread over the buckets of text, and whichever of the tiers asked for is served."""
    of = msgspec.structs.replace(price(sheet, max_output=2_000), uplifts={"us": 1_100})
    body: dict[str, Any] = CHAT | {"user": "u" * (10**size - 1)} | ({"service_tier": tier} if tier else {})
    if marked:
        body["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
    found = bound(body, "messages" if provider == "anthropic" else "chat", ceiling(provider, "claude-x", of))
    if found is None:
        return  # what is not text there is for a closer look
    assert found.cost is not None
    asked, given_ = shares[:4], shares[4:]
    writes = marked or provider != "anthropic"
    into = [share * found.input_tokens // max(sum(asked), 1) for share in asked]
    out = [share * found.output_tokens // max(sum(given_), 1) for share in given_]
    usage = Usage(
        input=into[0] + (0 if writes else into[2] + into[3]),
        cache_read=into[1],
        cache_write_5m=into[2] if writes else 0,
        cache_write_1h=into[3] if writes else 0,
        output=out[0],
        reasoning=out[1],
        output_audio=out[2],
        tier=tier if tier in ("priority", "flex") else None,
        geo=geo,
    )
    assert cost(of, usage) <= found.cost


@given(
    st.dictionaries(st.sampled_from([*TOKEN_RATES, "input>1000", "call"]), rates),
    st.sampled_from(("openai/gpt-4o", "anthropic/claude-x", "nobody/m", "openrouter/m", "perplexity/sonar")),
    st.sampled_from((None, 4_000)),
    st.fixed_dictionaries(
        {},
        optional={
            "max_tokens": st.sampled_from((None, -1, 0, 1, 900, 9_000, 10**15)),
            "n": st.integers(0, 3),
            "service_tier": st.just("priority"),
            "tools": st.just([{"type": "function", "function": {"name": "cache"}}]),
            "user": st.text(),
        },
    ),
    st.sampled_from((None, 50)),
)
def test_the_first_look_says_of_most_calls_at_once_what_it_says_of_all(
    sheet: dict[str, int], name: str, most: int | None, more: dict[str, Any], default: int | None
) -> None:
    roof = Ceiling(name, price(sheet, max_output=most))
    body = CHAT | more
    encoded = json.dumps(body).encode()
    operation = OPERATIONS["chat"]
    asked = glance(operation, peek(operation, encoded, b"application/json"), len(encoded))
    assert asked is not None
    assert bound(body, of=roof, default_limit=default) == roof.of(asked, encoded, default)


def test_a_host_that_may_take_more_for_a_model_is_reserved_more() -> None:
    plain = bound(CHAT, of=price({"input": 1_000_000}, max_output=4_000))
    there = bound(CHAT, of=ceiling("openrouter", "m", price({"input": 1_000_000}, max_output=4_000)))
    assert plain is not None
    assert there is not None
    assert plain.cost == plain.input_tokens * 1_000
    assert 3 * there.input_tokens * 1_000 <= (there.cost or 0) <= 3 * there.input_tokens * 1_000 + 1


def test_what_nobody_can_read_has_no_bound() -> None:
    assert (ceiling("nobody", "m", FLAT).opaque(10).cost, ceiling("nobody", "m", FLAT).opaque(10).finite) == (
        None,
        False,
    )


def test_a_price_that_is_to_come_counts_already() -> None:
    now = price({"input": 1_000_000}, max_output=4_000)
    later = price({"input": 9_000_000}, max_output=4_000, starts=4_000_000_000)
    found = bound(CHAT, of=msgspec.structs.replace(now, later=(later,)))
    assert found is not None
    assert found.cost == found.input_tokens * 9_000


def test_a_body_of_nothing_but_members_is_not_walked() -> None:
    body = CHAT | {"messages": [{"role": "user", "content": [{"type": "image_url"}] * 60_000}]}
    assert closely(body).why == "crowded"


NOTHING_IS_CHARGED = price({"input": 0, "output": 0})
TO_COME = price({"input": 0, "output": 1}, starts=4_000_000_000)


@pytest.mark.parametrize(
    ("of", "body", "why", "cost"),
    [
        (NOTHING_IS_CHARGED, {}, "no_output_limit", 0),
        (NOTHING_IS_CHARGED, {"max_tokens": 5}, None, 0),
        (NOTHING_IS_CHARGED, {"max_tokens": 5, "what_is_this": 1}, "unknown_member", 0),
        (NOTHING_IS_CHARGED, {"max_tokens": 5, "models": ["other"]}, "any_model", None),
        (price({"input": 0}), {}, "no_output_limit", None),
        (price({}), {}, "no_output_limit", None),
        (price({"input": 0, "output": 0, "search": 1}), {}, "no_output_limit", None),
        (price({"input": 0, "output": 0, "batch.output": 1}), {}, "no_output_limit", None),
        (price({"input": 0, "output": 0, "input>200000": 1}), {}, "no_output_limit", None),
        (msgspec.structs.replace(NOTHING_IS_CHARGED, later=(TO_COME,)), {}, "no_output_limit", None),
    ],
)
def test_a_model_that_costs_nothing_is_bounded_in_money_whatever_is_asked_of_it(
    of: Price, body: dict[str, Any], why: str | None, cost: int | None
) -> None:
    said = {name: value for name, value in CHAT.items() if name != "max_tokens"} | body
    found = closely(said, of=of)
    assert (found.why, found.cost) == (why, cost)
    assert found.finite == (why is None), "tokens are bounded by what is asked for alone"


@pytest.mark.parametrize(
    ("body", "why", "cost"),
    [({}, "no_output_limit", 0), ({"plugins": [{"id": "web"}]}, None, None)],
)
def test_a_reseller_may_charge_for_what_it_does_besides_a_model_that_costs_nothing(
    body: dict[str, Any], why: str | None, cost: int | None
) -> None:
    said = {name: value for name, value in CHAT.items() if name != "max_tokens"} | body
    found = closely(said, of=ceiling("openrouter", "some/model:free", NOTHING_IS_CHARGED))
    assert found.cost == cost
    assert why is None or found.why == why

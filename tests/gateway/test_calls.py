"""What becomes of a call: who serves it, what the caller gets, what is recorded."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import MASTER, chat, provider
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]


def both(mock: MockProvider, other: MockProvider, **more: Any) -> dict[str, Any]:
    """Two providers, and an alias that goes to one after the other."""
    return {
        "providers": {"one": provider(mock), "two": provider(other)},
        "models": {"smart": {"targets": ["one/gpt-4o-mini", "two/gpt-4o-mini"]}},
        **more,
    }


async def test_a_call_is_served_priced_signed_and_recorded(portico: Portico, mock: MockProvider) -> None:
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        status, headers, body = await gateway.call("/v1/chat/completions", chat())
        (record,) = gateway.records()
    assert status == 200
    usage = json.loads(body)["usage"]
    assert record["usage"]["input"] == usage["prompt_tokens"]
    assert record["usage"]["output"] == usage["completion_tokens"]
    # gpt-4o-mini: $0.15 and $0.60 for a million tokens (openai.com/api/pricing, read 2026-11)
    cost = 150 * usage["prompt_tokens"] + 600 * usage["completion_tokens"]
    assert record["cost_nano_usd"] == cost
    assert record["basis"] == "reported"
    assert headers["x-portico-cost-usd"] == f"0.{cost:09d}"
    assert headers["x-portico-target"] == record["target"] == "openai/gpt-4o-mini"
    assert headers["x-portico-attempts"] == "1"
    assert headers["x-request-id"] == record["id"]
    assert int(headers["x-portico-overhead-us"]) > 0
    assert record["key"] == "master"
    assert mock.ledger.last.key == "sk-upstream-0123456789"
    assert mock.ledger.last.json["model"] == "gpt-4o-mini"


async def test_unknown_fields_reach_the_provider_byte_for_byte(portico: Portico, mock: MockProvider) -> None:
    user = b'{"role":"user","content":"\\u00e9"}'
    body = b'{ "future" : {"a":[1.0, 1e2]},  "model":"openai/gpt-4o-mini","messages":[%b] }' % user
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        assert (await gateway.call("/v1/chat/completions", body))[0] == 200
    assert mock.ledger.last.body == body.replace(b"openai/gpt-4o-mini", b"gpt-4o-mini")


async def test_a_stream_without_usage_asked_for_is_counted_all_the_same(portico: Portico, mock: MockProvider) -> None:
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        _, _, silent = await gateway.call("/v1/chat/completions", chat(stream=True))
        asked = chat(stream=True, stream_options={"include_usage": True})
        _, _, told = await gateway.call("/v1/chat/completions", asked)
        first, second = gateway.records()
    assert b'"usage"' not in silent
    assert b'"usage"' in told
    assert silent.endswith(b"data: [DONE]\n\n")
    assert first["usage"] == second["usage"]
    assert first["cost_nano_usd"] > 0
    assert mock.ledger.entries[0].json["stream_options"] == {"include_usage": True}


FAILS_OVER = {
    "status 500": "status=500",
    "status 503": "status=503",
    "status 529": "status=529",
    "status 429": "status=429&retry_after=7",
    "cut before the head": "fault=cut-before-head",
    "reset before the head": "fault=cut-before-head&reset=true",
    "cut after the head": "fault=cut-after-head",
    "stall before the head": "latency=30",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAILS_OVER)
async def test_the_next_target_serves_when_one_fails_before_its_first_piece(
    portico: Portico, mock: MockProvider, other: MockProvider, fault: str, stream: bool
) -> None:
    mock.script.always(FAILS_OVER[fault])
    timeouts = {"first_byte": "200ms"}
    async with portico(both(mock, other, timeouts=timeouts)) as gateway:
        status, headers, body = await gateway.call("/v1/chat/completions", chat("smart", stream=stream))
        (record,) = gateway.records()
    assert status == 200
    assert headers["x-portico-target"] == "two/gpt-4o-mini"
    assert headers["x-portico-attempts"] == "2"
    assert [attempt["target"] for attempt in record["attempts"]] == ["one/gpt-4o-mini", "two/gpt-4o-mini"]
    assert record["usage"]["output"] == other.ledger.last.usage.output
    if stream:
        assert body.endswith(b"data: [DONE]\n\n")


async def test_a_target_that_is_down_is_passed_over(portico: Portico, mock: MockProvider) -> None:
    down = {"like": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "sk-upstream-0123456789"}
    config = {
        "providers": {"down": down, "up": provider(mock)},
        "models": {"smart": {"targets": ["down/gpt-4o-mini", "up/gpt-4o-mini"]}},
    }
    async with portico(config) as gateway:
        status, headers, _ = await gateway.call("/v1/chat/completions", chat("smart"))
        alone, _, body = await gateway.call("/v1/chat/completions", chat("down/gpt-4o-mini"))
        records = gateway.records()
    assert (status, headers["x-portico-target"]) == (200, "up/gpt-4o-mini")
    assert records[0]["attempts"][0]["error"] == "upstream_unreachable"
    assert alone == 502
    assert json.loads(body)["error"]["code"] == "upstream_unreachable"
    assert records[1]["error"] == "upstream_unreachable"


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_fault_of_the_caller_is_answered_by_the_first_target(
    portico: Portico, mock: MockProvider, other: MockProvider, status: int
) -> None:
    mock.script(f"status={status}")
    async with portico(both(mock, other)) as gateway:
        answered, _, _ = await gateway.call("/v1/chat/completions", chat("smart"))
        (record,) = gateway.records()
    assert answered == status
    assert len(other.ledger) == 0
    assert record["status"] == status
    assert "cost_nano_usd" not in record or record["cost_nano_usd"] is None


async def test_the_last_failure_comes_back_with_its_status_and_retry_after(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always("status=500")
    other.script.always("status=429&retry_after=7")
    async with portico(both(mock, other)) as gateway:
        status, headers, body = await gateway.call("/v1/chat/completions", chat("smart"))
    assert status == 429
    assert headers["retry-after"] == "7"
    assert json.loads(body)["error"]["message"]


async def test_a_kept_connection_that_went_stale_is_replaced_by_a_counted_attempt(
    portico: Portico, mock: MockProvider
) -> None:
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        await gateway.call("/v1/chat/completions", chat())
        mock.script("fault=cut-before-head")
        status, headers, _ = await gateway.call("/v1/chat/completions", chat())
        mock.script("fault=cut-before-head", "fault=cut-before-head")
        failed, _, body = await gateway.call("/v1/chat/completions", chat())
        records = gateway.records()
    assert (status, headers["x-portico-attempts"]) == (200, "2")
    assert [attempt.get("error") for attempt in records[1]["attempts"]] == ["upstream_connection_lost", None]
    assert failed == 502
    assert json.loads(body)["error"]["code"] == "upstream_connection_lost"


async def test_a_target_is_tried_as_often_as_configured(portico: Portico, mock: MockProvider) -> None:
    mock.script("status=500", "status=500")
    async with portico({"providers": {"openai": provider(mock)}, "retries": {"attempts": 3}}) as gateway:
        status, headers, _ = await gateway.call("/v1/chat/completions", chat())
    assert (status, headers["x-portico-attempts"]) == (200, "3")
    assert len(mock.ledger) == 3


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_key_that_is_refused_rests_while_another_serves(
    portico: Portico, mock: MockProvider, status: int
) -> None:
    keys = ["sk-first-0123456789", "sk-second-0123456789"]
    config = {"providers": {"openai": {"base_url": f"{mock.url}/v1", "api_keys": keys}}}
    mock.script(f"status={status}")
    async with portico(config) as gateway:
        answers = [await gateway.call("/v1/chat/completions", chat()) for _ in range(4)]
    assert [status for status, _, _ in answers] == [200] * 4
    assert [entry.key for entry in mock.ledger.entries] == [keys[0]] + [keys[1]] * 4


async def test_keys_of_one_provider_are_used_in_turn(portico: Portico, mock: MockProvider) -> None:
    keys = ["sk-first-0123456789", "sk-second-0123456789"]
    async with portico({"providers": {"openai": {"base_url": f"{mock.url}/v1", "api_keys": keys}}}) as gateway:
        for _ in range(4):
            await gateway.call("/v1/chat/completions", chat())
    assert [entry.key for entry in mock.ledger.entries] == keys * 2


async def test_weights_decide_who_is_asked_first(portico: Portico, mock: MockProvider, other: MockProvider) -> None:
    targets = [{"model": "one/gpt-4o-mini", "weight": 3}, {"model": "two/gpt-4o-mini", "weight": 1}]
    config = both(mock, other)
    config["models"] = {"smart": {"strategy": "weighted", "targets": targets}}
    async with portico(config) as gateway:
        for point in (0.0, 0.74, 0.76, 0.99):
            gateway.gateway.desk.draw = lambda point=point: point
            await gateway.call("/v1/chat/completions", chat("smart"))
        mock.script("status=500")
        gateway.gateway.desk.draw = lambda: 0.0
        assert (await gateway.call("/v1/chat/completions", chat("smart")))[0] == 200
    assert len(mock.ledger) == 3
    assert len(other.ledger) == 3


BROKEN_STREAMS = ["fault=cut-mid-stream", "fault=cut-mid-chunk", "fault=end-early", "fault=stall&hold=30"]


@pytest.mark.parametrize("fault", BROKEN_STREAMS)
async def test_a_stream_that_breaks_ends_in_an_error_event(portico: Portico, mock: MockProvider, fault: str) -> None:
    mock.script(fault)
    timeouts = {"between_chunks": "200ms"}
    async with portico({"providers": {"openai": provider(mock)}, "timeouts": timeouts}) as gateway:
        status, _, body = await gateway.call("/v1/chat/completions", chat(stream=True), cut=True)
        (record,) = gateway.records()
    assert status == 200
    assert b"[DONE]" not in body
    last = json.loads(body.rstrip().rpartition(b"data: ")[2])
    assert last["error"]["code"] == record["error"]
    assert record["error"] in ("upstream_connection_lost", "upstream_timeout")


async def test_an_error_of_the_provider_in_mid_stream_is_passed_on_and_recorded(
    portico: Portico, mock: MockProvider
) -> None:
    mock.script("fault=error-mid-stream")
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        _, _, body = await gateway.call("/v1/chat/completions", chat(stream=True))
        (record,) = gateway.records()
    assert body.count(b'"error"') == 1
    assert record["error"] == "upstream_failed"


async def test_a_caller_who_leaves_ends_the_call_at_the_provider(portico: Portico, mock: MockProvider) -> None:
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        data = json.dumps(chat(stream=True, messages=[{"role": "user", "content": "[mock tokens=500 pace=0.01]"}]))
        head = f"host: g\r\nauthorization: Bearer {MASTER}\r\ncontent-length: {len(data)}\r\n\r\n"
        writer.write(f"POST /v1/chat/completions HTTP/1.1\r\n{head}{data}".encode())
        await reader.readuntil(b"data: ")
        writer.close()
        await mock.ledger.idle()
        while not (records := gateway.records()):
            await asyncio.sleep(0.01)
    assert mock.ledger.last.outcome == "gone"
    assert records[0]["status"] == 499
    assert records[0]["error"] == "caller_gone"


REFUSED: dict[str, tuple[dict[str, Any], int, str | None]] = {
    "no key": ({"key": None}, 401, None),
    "a wrong key": ({"key": "sk-wrong"}, 401, None),
    "no model": ({"body": {"messages": []}}, 400, "model"),
    "a model that is a number": ({"body": {"model": 7}}, 400, "model"),
    "an empty model": ({"body": {"model": ""}}, 400, "model"),
    "an unknown provider": ({"body": {"model": "nobody/gpt-4o"}}, 404, "model"),
    "a stream that is a word": ({"body": {"model": "openai/x", "stream": "yes"}}, 400, "stream"),
    "no JSON": ({"body": b"model=x"}, 400, None),
    "a list": ({"body": b"[]"}, 400, None),
    "no UTF-8": ({"body": b'{"model":"openai/\xff"}'}, 400, "model"),
    "deep nesting": ({"body": b'{"model":"openai/x","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"}, 400, None),
    "nothing": ({"body": b""}, 400, None),
    "a compressed body": ({"body": b"x", "headers": {"content-encoding": "gzip"}}, 415, None),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_served_is_refused_and_recorded_and_reaches_no_provider(
    portico: Portico, mock: MockProvider, case: str
) -> None:
    said, status, param = REFUSED[case]
    providers = {"openai": provider(mock), "anthropic": provider(mock, "anthropic")}
    async with portico({"providers": providers}) as gateway:
        answered, headers, body = await gateway.call("/v1/chat/completions", **{"body": chat(), **said})
        (record,) = gateway.records()
    error = json.loads(body)["error"]
    assert answered == status == record["status"]
    assert error["param"] == param
    assert error["message"]
    assert record["error"] == error["code"]
    assert headers["x-request-id"] == record["id"]
    assert len(mock.ledger) == 0


async def test_a_key_with_models_may_call_those_only(portico: Portico, mock: MockProvider) -> None:
    keys = {"web": {"key": "sk-web-0123456789012", "models": ["smart", "openai/*-mini"]}}
    config = {
        "providers": {"openai": provider(mock)},
        "models": {"smart": {"targets": ["openai/gpt-4o"]}},
        "keys": keys,
    }
    async with portico(config) as gateway:
        web = {"key": "sk-web-0123456789012"}
        assert (await gateway.call("/v1/chat/completions", chat("smart"), **web))[0] == 200
        assert (await gateway.call("/v1/chat/completions", chat("openai/gpt-4o-mini"), **web))[0] == 200
        refused, _, body = await gateway.call("/v1/chat/completions", chat("openai/gpt-4o"), **web)
        _, _, listed = await gateway.call("/v1/models", method="GET", **web)
        names = [row["id"] for row in json.loads(listed)["data"]]
    assert refused == 403
    assert json.loads(body)["error"]["param"] == "model"
    assert "smart" in names
    assert "openai/gpt-4o" not in names


async def test_pass_through_goes_to_its_provider_with_its_key_and_is_accounted(
    portico: Portico, mock: MockProvider
) -> None:
    keys = {"app": {"key": "sk-app-0123456789012", "passthrough": ["openai"]}}
    config = {"providers": {"openai": provider(mock), "anthropic": provider(mock, "anthropic")}, "keys": keys}
    async with portico(config) as gateway:
        app = {"key": "sk-app-0123456789012"}
        status, headers, _ = await gateway.call("/openai/v1/chat/completions", chat("gpt-4o-mini"), **app)
        listed, _, _ = await gateway.call("/openai/v1/models?after=1", method="GET", **app)
        denied, _, _ = await gateway.call("/anthropic/v1/messages", {"model": "x", "messages": []}, **app)
        outside, _, _ = await gateway.call("/openai/v1/../../etc/passwd", method="GET", **app)
        records = gateway.records()
    assert status == 200
    assert headers["x-portico-target"] == "openai/gpt-4o-mini"
    assert records[0]["cost_nano_usd"] > 0
    assert listed == 200
    assert mock.ledger.last.query == "after=1"
    assert {entry.key for entry in mock.ledger.entries} == {"sk-upstream-0123456789"}
    assert denied == 403
    assert outside == 400
    assert len(mock.ledger) == 2


async def test_a_new_configuration_serves_the_next_call(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    from portico.config.load import load_plain

    def config(serving: MockProvider) -> dict[str, Any]:
        return {"server": {"master_key": MASTER}, "providers": {"openai": provider(serving)}}

    async with portico(config(mock)) as gateway:
        await gateway.call("/v1/chat/completions", chat())
        await gateway.gateway.swap(load_plain(config(other), {}).config)
        await gateway.call("/v1/chat/completions", chat())
        _, _, body = await gateway.call("/readyz", method="GET", key=None)
    assert (len(mock.ledger), len(other.ledger)) == (1, 1)
    assert json.loads(body)["configuration"] == 2


async def test_health_needs_no_key_and_anything_else_is_not_there(portico: Portico) -> None:
    async with portico({}) as gateway:
        for path, expected in (("/livez", 200), ("/readyz", 200), ("/", 404), ("/admin", 404)):
            status, _, _ = await gateway.call(path, method="GET", key=None)
            assert status == expected, path


async def test_a_whole_reply_that_is_cut_is_never_passed_off_as_complete(portico: Portico, mock: MockProvider) -> None:
    mock.script("fault=cut-mid-chunk")
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        status, _, body = await gateway.call("/v1/chat/completions", chat())
    assert status == 502
    assert json.loads(body)["error"]["code"] == "upstream_connection_lost"


async def test_a_bare_name_that_several_have_is_the_one_whose_makers_names_the_configuration_gives(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    declared: dict[str, Any] = {"providers": {"ours": provider(mock), "paid": {**provider(other), "like": "openai"}}}
    for models, status in (({}, 404), ({"openai/*": ["paid/*"]}, 200), ({"*": ["ours/*"]}, 200)):
        async with portico({**declared, "models": models}) as gateway:
            told, headers, body = await gateway.call("/v1/chat/completions", chat("gpt-4o-mini"))
        assert told == status, models
        if told == 200:
            assert headers["x-portico-target"] == ("paid" if "openai/*" in models else "ours") + "/gpt-4o-mini"
        else:
            assert "name one of ours/gpt-4o-mini, paid/gpt-4o-mini" in json.loads(body)["error"]["message"]


async def test_a_bare_name_has_the_fallbacks_of_the_entry_that_it_leads_to(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    other.script.always({"status": 503})
    declared: dict[str, Any] = {"providers": {"ours": provider(mock), "paid": {**provider(other), "like": "openai"}}}
    entry = {"targets": ["paid/*"], "fallbacks": {"outage": ["ours/gpt-4o"]}}
    async with portico({**declared, "models": {"openai/*": entry}, "retries": {"attempts": 1}}) as gateway:
        served = [
            await gateway.call("/v1/chat/completions", chat(name)) for name in ("gpt-4o-mini", "openai/gpt-4o-mini")
        ]
    assert [(status, headers["x-portico-target"]) for status, headers, _ in served] == [(200, "ours/gpt-4o")] * 2


async def test_a_model_with_a_name_of_its_own_costs_what_it_is(portico: Portico, mock: MockProvider) -> None:
    declared = provider(mock, base_models={"mine": "gpt-4o-mini"})
    async with portico({"providers": {"openai": declared}}) as gateway:
        for model in ("openai/mine", "openai/gpt-4o-mini", "openai/unknown"):
            status, _, _ = await gateway.call("/v1/chat/completions", chat(model, max_tokens=3))
            assert status == 200
        mine, known, unknown = gateway.records()
    assert mine["cost_nano_usd"] == known["cost_nano_usd"] > 0
    assert mine["target"] == "openai/mine"
    assert unknown.get("cost_nano_usd") is None


async def test_a_model_with_a_name_of_its_own_is_bounded_as_what_it_is(portico: Portico, mock: MockProvider) -> None:
    declared = provider(mock, base_models={"my-11-chars": "gpt-4o-mini"})
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    async with portico({"providers": {"openai": declared}, "budgets": [{"usd": 100}]}) as gateway:
        for model in ("openai/my-11-chars", "openai/gpt-4o-mini"):
            body = chat(model, max_tokens=3, messages=[{"role": "user", "content": [picture]}])
            status, _, said = await gateway.call("/v1/chat/completions", body)
            assert status == 200, said
        bounds = [record["bound_nano_usd"] for record in gateway.records()]
    assert bounds[0] == bounds[1] > 0


@pytest.mark.parametrize("path", ["/v1/messages", "/claude/v1/messages"])
async def test_what_litellms_callers_say_of_a_call_goes_on_to_nobody(
    portico: Portico, mock: MockProvider, path: str
) -> None:
    body = {"model": "claude-sonnet-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    said = {"tags": ["one", "two"], "user": "customer-1", "more": {"a": 1}}
    async with portico({"providers": {"claude": provider(mock, "anthropic")}}) as gateway:
        status, _, _ = await gateway.call(path, {**body, "litellm_metadata": said})
        (record,) = gateway.records()
    assert status == 200
    assert mock.ledger.last.json == body
    assert (record["tags"], record["customer"]) == (["tag:one", "tag:two"], "customer-1")


@pytest.mark.parametrize("split", [0, 1, 7])
async def test_every_dialect_streams_through_in_any_pieces(portico: Portico, mock: MockProvider, split: int) -> None:
    mock.script.always({"split": split, "tokens": 12})
    providers = {name: provider(mock, name) for name in ("openai", "anthropic", "gemini", "cohere")}
    providers["bedrock"] = provider(mock, "bedrock", options={"region": "us-east-1"})
    user = [{"role": "user", "content": "Hello"}]
    gemini = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    converse = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    calls = [
        ("/v1/chat/completions", {"model": "openai/gpt-4o-mini", "messages": user, "stream": True}),
        ("/v1/responses", {"model": "openai/gpt-4o-mini", "input": "Hello", "stream": True}),
        ("/v1/messages", {"model": "anthropic/claude-sonnet-4-5", "messages": user, "max_tokens": 50, "stream": True}),
        ("/v1beta/models/gemini%2Fgemini-2.5-flash:streamGenerateContent?alt=sse", gemini),
        ("/v1beta/models/gemini/gemini-2.5-flash:streamGenerateContent", gemini),
        ("/model/bedrock%2Fanthropic.claude-sonnet-4-5-20250929-v1:0/converse-stream", converse),
        ("/v2/chat", {"model": "cohere/command-a-03-2025", "messages": user, "stream": True}),
    ]
    async with portico({"providers": providers}) as gateway:
        for path, body in calls:
            status, _, reply = await gateway.call(path, body)
            assert status == 200, (path, reply)
        records = gateway.records()
    for (path, _), record, entry in zip(calls, records, mock.ledger.entries, strict=True):
        assert record.get("error") is None, path
        assert record["stream"], path
        assert record["usage"]["output"] == entry.usage.output == 12, path
        assert record["cost_nano_usd"] > 0, path


async def test_speech_is_charged_by_the_characters_of_its_text(portico: Portico, mock: MockProvider) -> None:
    body = {"model": "openai/tts-1", "input": "Hello, world", "voice": "alloy"}
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        status, headers, _ = await gateway.call("/v1/audio/speech", body)
        (record,) = gateway.records()
    assert status == 200
    assert headers["content-type"].startswith("audio/")
    assert record["usage"]["characters"] == 12
    # tts-1: $15 for a million characters (openai.com/api/pricing, read 2026-11)
    assert record["cost_nano_usd"] == 12 * 15_000


async def test_an_operation_that_a_provider_has_in_no_dialect_is_refused(portico: Portico, mock: MockProvider) -> None:
    body = {"model": "anthropic/claude-sonnet-4-5", "input": "Hello"}
    async with portico({"providers": {"anthropic": provider(mock, "anthropic")}}) as gateway:
        status, _, reply = await gateway.call("/v1/embeddings", body)
    assert status == 400
    assert "embeddings" in json.loads(reply)["error"]["message"]
    assert len(mock.ledger) == 0

"""Replies with a good status and no answer: they are failures, so the next target is asked."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import chat, provider
from portico.testing import Canned
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

WHOLE = ["fault=wrong-type", "fault=empty", "fault=end-early"]
STREAMED = ["fault=wrong-type", "fault=empty"]
CASES = [*((False, fault) for fault in WHOLE), *((True, fault) for fault in STREAMED)]


@pytest.mark.parametrize(("stream", "fault"), CASES)
async def test_the_next_target_is_asked(
    portico: Portico, mock: MockProvider, other: MockProvider, stream: bool, fault: str
) -> None:
    mock.script(fault)
    config = {
        "providers": {"first": provider(mock), "second": provider(other)},
        "models": {"smart": ["first/gpt-4o-mini", "second/gpt-4o-mini"]},
    }
    async with portico(config) as gateway:
        status, headers, body = await gateway.call("/v1/chat/completions", chat("smart", stream=stream))
        (record,) = gateway.records()
    assert status == 200
    assert b"Gateway" not in body
    assert headers["x-portico-target"] == "second/gpt-4o-mini"
    assert [attempt.get("error") for attempt in record["attempts"]] == ["upstream_bad_reply", None]


@pytest.mark.parametrize(("stream", "fault"), CASES)
async def test_a_caller_is_told_when_there_is_no_other(
    portico: Portico, mock: MockProvider, stream: bool, fault: str
) -> None:
    mock.script(fault)
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        status, _, body = await gateway.call("/v1/chat/completions", chat(stream=stream))
        (record,) = gateway.records()
    assert status == 502
    assert b"upstream_bad_reply" in body
    assert (record["status"], record["error"], record["cost_nano_usd"]) == (502, "upstream_bad_reply", None)


async def test_white_space_around_a_document_and_a_list_are_as_good(portico: Portico, mock: MockProvider) -> None:
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        for chunks in ([b" \r\n", b'{"a":1}', b"\n \n"], [b'[{"index":0}]\n']):
            mock.script(Canned(chunks=chunks))
            status, _, body = await gateway.call("/v1/chat/completions", chat())
            assert (status, body) == (200, b"".join(chunks))


async def test_what_is_not_meant_to_be_a_document_need_not_be_one(portico: Portico, mock: MockProvider) -> None:
    async with portico({"providers": {"openai": provider(mock)}}) as gateway:
        mock.script(Canned(headers=[(b"content-type", b"audio/mpeg")], chunks=[b"<not json>"]))
        body = {"model": "openai/tts-1", "input": "a", "voice": "alloy"}
        assert (await gateway.call("/v1/audio/speech", body))[2] == b"<not json>"

"""Replies that their provider stores: gone on from by their owner alone, where they are, and paid for when they end."""

import asyncio
import json
from typing import Any

import openai
import pytest
from tests.gateway.owners import ALICE, BOB, UPSTREAM, Portico, client, config, two_keys

from gateway_in_loop import provider
from portico import jobs
from portico.state.clock import moment
from portico.testing.mock import MockProvider


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_goes_on_where_its_reply_is_stored(
    portico: Portico, mock: MockProvider, stream: bool
) -> None:
    async with portico(config(openai=two_keys(mock))) as gateway, client(gateway) as alice, client(gateway, BOB) as bob:
        for n in range(3):
            if stream:
                async with alice.responses.stream(model="gpt-4o-mini", input=f"Hi {n}") as events:
                    first = await events.get_final_response()
            else:
                first = await alice.responses.create(model="gpt-4o-mini", input=f"Hi {n}")
            key = mock.ledger.last.key
            again = await alice.responses.create(model="gpt-4o-mini", input="And?", previous_response_id=first.id)
            assert mock.ledger.last.key == key
            assert (await alice.responses.retrieve(first.id)).id == first.id
            assert mock.ledger.last.key == key
            events = [event.type async for event in await alice.responses.retrieve(first.id, stream=True)]
            assert events == ["response.created", "response.completed"]
            assert mock.ledger.last.key == key
            await alice.responses.input_items.list(first.id)
            for attempt in (bob.responses.retrieve, bob.responses.delete, bob.responses.cancel):
                with pytest.raises(openai.NotFoundError):
                    await attempt(first.id)
            with pytest.raises(openai.NotFoundError):
                await bob.responses.create(model="gpt-4o-mini", input="And?", previous_response_id=first.id)
            shorter = await alice.responses.compact(model="gpt-4o-mini", input="And?", previous_response_id=first.id)
            assert mock.ledger.last.key == key
            assert mock.ledger.last.path == "/v1/responses/compact"
            assert shorter.object == "response.compaction"
            assert [item.type for item in shorter.output] == ["compaction"]
            with pytest.raises(openai.NotFoundError):
                await bob.responses.compact(model="gpt-4o-mini", previous_response_id=first.id)
            await alice.responses.delete(again.id)
            with pytest.raises(openai.NotFoundError):
                await alice.responses.retrieve(again.id)


async def test_a_reply_that_is_not_stored_is_not_remembered(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(openai=two_keys(mock))) as gateway, client(gateway) as alice:
        told = await alice.responses.create(model="gpt-4o-mini", input="Hi", store=False)
        with pytest.raises(openai.NotFoundError):
            await alice.responses.retrieve(told.id)
        assert gateway.gateway.state.owned_by("team:core", "response") == []


async def test_conversations_continue_where_they_are(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(openai=two_keys(mock))) as gateway, client(gateway) as alice, client(gateway, BOB) as bob:
        for _ in range(3):
            begun = await alice.conversations.create(metadata={"topic": "rain"})
            key = next(key for key in UPSTREAM if begun.id in mock.objects.of(key, "conversations"))
            await alice.responses.create(model="gpt-4o-mini", input="Hi", conversation=begun.id)
            assert mock.ledger.last.key == key
            await alice.responses.create(model="gpt-4o-mini", input="Hi", conversation={"id": begun.id})
            assert mock.ledger.last.key == key
            with pytest.raises(openai.NotFoundError):
                await bob.responses.create(model="gpt-4o-mini", input="Hi", conversation=begun.id)
            await alice.conversations.items.list(begun.id)


@pytest.mark.source
@pytest.mark.parametrize("piece", [None, 1, 7])
async def test_nobody_hears_of_a_stored_reply_before_it_is_remembered(
    portico: Portico, mock: MockProvider, piece: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if piece is not None:
        mock.defaults = {"split": str(piece)}
    async with portico(config(openai=two_keys(mock))) as gateway:
        state = gateway.gateway.state
        gate, asked = asyncio.Event(), asyncio.Event()
        own = state.own

        async def late(thing: Any) -> None:
            asked.set()
            await gate.wait()
            await own(thing)

        monkeypatch.setattr(state, "own", late)
        body = json.dumps({"model": "gpt-4o-mini", "input": "Hi", "stream": True}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        head = f"POST /v1/responses HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {ALICE}\r\n"
        writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await asyncio.wait_for(asked.wait(), 20)
        await asyncio.wait_for(mock.ledger.idle(), 20)
        while mock.ledger.last.outcome == "open":
            await asyncio.sleep(0)
        told = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in told
        assert not reader._buffer, "the id is on its way before it is remembered"  # type: ignore[attr-defined]
        gate.set()
        rest = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 20)
        writer.close()
        name = state.owned_by("team:core", "response")[0].id.rpartition("\n")[2]
    assert name.encode() in rest.replace(b"\r\n", b"") or piece is not None


async def test_a_response_in_the_background_keeps_what_it_has_reserved(portico: Portico, mock: MockProvider) -> None:
    declared = config(openai=provider(mock))
    declared["keys"]["alice"]["budgets"] = [{"usd": 1}]
    mock.defaults = {"job": "1000"}
    async with portico(declared) as gateway, client(gateway) as alice:
        state = gateway.gateway.state
        made = await alice.responses.create(model="gpt-4o-mini", input="Hi", background=True, max_output_tokens=1000)
        (usd,) = state.counters(["key:alice"], moment())
        assert (usd.used, usd.reserved) == (0, gateway.records()[0]["bound_nano_usd"])
        (thing,) = state.owned_by("", "job")
        assert jobs.read(thing).name == made.id
        assert state.owned_by("", "due") == []
        mock.objects.end(made.id)
        assert (await alice.responses.retrieve(made.id)).status == "completed"
        assert len(state.owned_by("", "due")) == 1
        await alice.responses.create(model="gpt-4o-mini", input="Hi", background=False)
        mock.defaults = {}
        ended = await alice.responses.create(model="gpt-4o-mini", input="Hi", background=True)
        assert ended.status == "completed"
        assert len(state.owned_by("", "job")) == 1, "what has ended with its call is its call's"
        assert gateway.records()[-1]["basis"] == "reported"


async def test_a_stream_of_the_background_that_is_left_goes_on_as_a_job(portico: Portico, mock: MockProvider) -> None:
    declared = config(openai=provider(mock))
    declared["keys"]["alice"]["budgets"] = [{"usd": 1}]
    async with portico(declared) as gateway, client(gateway) as alice:
        state = gateway.gateway.state
        asked: Any = {"model": "gpt-4o-mini", "input": "Hi", "background": True, "stream": True}
        events = [event.type async for event in await alice.responses.create(**asked)]
        assert events[-1] == "response.completed"
        assert state.owned_by("", "job") == []
        mock.defaults = {"pace": "0.01", "tokens": "2000"}
        stream = await alice.responses.create(**asked)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        while len(gateway.records()) < 2:
            await asyncio.sleep(0)
        whole, left = gateway.records()
        assert (whole["basis"], whole.get("end", "served")) == ("reported", "served")
        assert (left["basis"], left["end"]) == ("none", "cut")
        assert left.get("cost_nano_usd") is None
        (usd,) = state.counters(["key:alice"], moment())
        assert (usd.used, usd.reserved) == (whole["cost_nano_usd"], left["bound_nano_usd"])
        assert [jobs.read(one).call_id for one in state.owned_by("", "job")] == [left["id"]]

"""What lives at providers: each asked for with the key that made it, by nobody but its owner, through the real SDKs."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import openai
import pytest
from anthropic import (
    AsyncAnthropic,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from google import genai
from google.genai import errors, types
from google.genai.client import AsyncClient
from openai import AsyncOpenAI

from gateway_in_loop import MASTER, Running, provider
from portico import jobs
from portico.state.clock import moment
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

ALICE, BOB, CAROL = "sk-alice-0123456789", "sk-bob-0123456789", "sk-carol-0123456789"
UPSTREAM = ("sk-upstream-1", "sk-upstream-2")
LINES = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o-mini"}}\n'


NAMELESS = b'{"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": {"input": "Hi"}}\n'


def two_keys(mock: MockProvider, like: str = "openai") -> dict[str, Any]:
    """Return a provider whose accounts are two, so that every other call would go wrong by balance alone."""
    declared = provider(mock, like)
    del declared["api_key"]
    return {**declared, "api_keys": list(UPSTREAM)}


def config(**providers: Any) -> dict[str, Any]:
    """Return a configuration with two teams of keys: Alice and Carol are of one, Bob is alone."""
    return {
        "providers": providers,
        "teams": {"core": {}},
        "keys": {
            "alice": {"key": ALICE, "team": "core"},
            "carol": {"key": CAROL, "team": "core"},
            "bob": {"key": BOB},
        },
    }


def client(gateway: Running, key: str = ALICE, **more: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, **more)


def claude(gateway: Running, key: str = ALICE) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=gateway.url, api_key=key, max_retries=0)


@asynccontextmanager
async def gemini(gateway: Running, key: str = ALICE) -> AsyncIterator[AsyncClient]:
    made = genai.Client(api_key=key, vertexai=False, http_options=types.HttpOptions(base_url=gateway.url))
    try:
        yield made.aio
    finally:
        await made.aio.aclose()
        made.close()


async def test_files_come_back_from_the_key_that_made_them(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(openai=two_keys(mock))) as gateway:
        async with client(gateway) as alice, client(gateway, CAROL) as carol:
            made = [await alice.files.create(file=(f"{n}.jsonl", LINES * (n + 1)), purpose="batch") for n in range(4)]
            for number, file in enumerate(made):
                for who in (alice, carol):
                    assert (await who.files.retrieve(file.id)).bytes == len(LINES) * (number + 1)
                    assert (await who.files.content(file.id)).content == LINES * (number + 1)
            listed = await carol.files.list()
            assert [file.id for file in listed.data] == [file.id for file in reversed(made)]
            assert (await alice.files.delete(made[0].id)).deleted
            with pytest.raises(openai.NotFoundError):
                await carol.files.retrieve(made[0].id)
        records = gateway.records()
    assert {len(mock.objects.of(key, "files")) for key in UPSTREAM} == {1, 2}
    assert [record["operation"] for record in records[:4]] == ["files_create"] * 4
    assert {record["operation"] for record in records} == {
        "files_create", "files_get", "files_content", "files_list", "files_delete",
    }  # fmt: skip
    assert all(record["status"] == 200 for record in records[:-1])
    assert all(record.get("cost_nano_usd") is None for record in records)


async def test_nobody_sees_what_is_not_theirs(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(openai=two_keys(mock))) as gateway, client(gateway) as alice, client(gateway, BOB) as bob:
        file = await alice.files.create(file=("a.jsonl", LINES), purpose="batch")
        calls = len(mock.ledger)
        for attempt in (bob.files.retrieve, bob.files.content, bob.files.delete):
            with pytest.raises(openai.NotFoundError) as raised:
                await attempt(file.id)
            assert file.id in raised.value.message
        with pytest.raises(openai.NotFoundError):
            await bob.files.retrieve("file-never-was")
        with pytest.raises(openai.NotFoundError):
            await bob.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        assert (await bob.files.list()).data == []
        assert len(mock.ledger) == calls


async def test_a_batch_is_made_where_its_file_is_and_its_output_is_its_owners(
    portico: Portico, mock: MockProvider
) -> None:
    async with portico(config(openai=two_keys(mock))) as gateway, client(gateway) as alice, client(gateway, BOB) as bob:
        batches = []
        for _ in range(3):
            file = await alice.files.create(file=("a.jsonl", LINES), purpose="batch")
            batches.append(
                await alice.batches.create(
                    input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
                )
            )
        for batch in batches:
            key = next(key for key in UPSTREAM if batch.id in mock.objects.of(key, "batches"))
            mock.objects.of(key, "files")[f"file-out-{batch.id}"] = {"id": f"file-out-{batch.id}", "object": "file"}
            mock.objects.keep(key, "files", f"file-out-{batch.id}", b'{"custom_id": "1"}\n')
            mock.objects.of(key, "batches")[batch.id] |= {
                "status": "completed",
                "output_file_id": f"file-out-{batch.id}",
            }
            done = await alice.batches.retrieve(batch.id)
            assert done.output_file_id is not None
            assert (await alice.files.content(done.output_file_id)).content == b'{"custom_id": "1"}\n'
            with pytest.raises(openai.NotFoundError):
                await bob.files.content(done.output_file_id)
        assert [one.id async for one in alice.batches.list(limit=2)] == [one.id for one in reversed(batches)]
        assert (await alice.batches.cancel(batches[0].id)).status == "canceling"
        assert [one.id async for one in bob.batches.list()] == []


async def test_fine_tuning_is_where_its_file_is(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(openai=two_keys(mock))) as gateway, client(gateway) as alice:
        for _ in range(2):
            file = await alice.files.create(file=("a.jsonl", LINES), purpose="fine-tune")
            job = await alice.fine_tuning.jobs.create(model="openai/gpt-4o-mini", training_file=file.id)
            assert job.model == "gpt-4o-mini"
            assert (await alice.fine_tuning.jobs.retrieve(job.id)).training_file == file.id
            assert (await alice.fine_tuning.jobs.list_events(job.id)).data == []
            assert (await alice.fine_tuning.jobs.checkpoints.list(job.id)).data == []
            assert (await alice.fine_tuning.jobs.cancel(job.id)).status == "canceling"
        assert len((await alice.fine_tuning.jobs.list()).data) == 2


async def test_claudes_batches_and_files(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(anthropic=two_keys(mock, "anthropic"))) as gateway:
        async with claude(gateway) as alice, claude(gateway, BOB) as bob:
            for _ in range(2):
                batch = await alice.messages.batches.create(
                    requests=[
                        {
                            "custom_id": "1",
                            "params": {
                                "model": "claude-sonnet-4-5",
                                "max_tokens": 10,
                                "messages": [{"role": "user", "content": "Hi"}],
                            },
                        }
                    ]
                )
                key = next(key for key in UPSTREAM if batch.id in mock.objects.of(key, "message_batches"))
                result = {"custom_id": "1", "result": {"type": "canceled"}}
                mock.objects.keep(key, "message_batches", batch.id, json.dumps(result).encode() + b"\n")
                mock.objects.of(key, "message_batches")[batch.id]["results_url"] = (
                    f"https://api.anthropic.com/v1/messages/batches/{batch.id}/results"
                )
                assert (await alice.messages.batches.retrieve(batch.id)).processing_status == "in_progress"
                with pytest.raises(NotFoundError):
                    await bob.messages.batches.retrieve(batch.id)
                results = [one async for one in await alice.messages.batches.results(batch.id)]
                assert [one.custom_id for one in results] == ["1"]
                await alice.messages.batches.cancel(batch.id)
            assert len([one async for one in alice.messages.batches.list(limit=1)]) == 2
            with pytest.raises(ConflictError, match="is being counted"):
                await alice.messages.batches.delete(batch.id)
            await gateway.gateway.state.disown(jobs.place_of("team:core", "message_batches", batch.id))
            await alice.messages.batches.delete(batch.id)
            assert len([one async for one in alice.messages.batches.list()]) == 1

            files = [await alice.beta.files.upload(file=("a.txt", b"text")) for _ in range(3)]
            for file in files:
                assert (await alice.beta.files.retrieve_metadata(file.id)).size_bytes == 4
                assert await (await alice.beta.files.download(file.id)).read() == b"text"
                with pytest.raises(NotFoundError):
                    await bob.beta.files.delete(file.id)
            assert [one.id async for one in alice.beta.files.list(limit=2)] == [one.id for one in reversed(files)]
            await alice.beta.files.delete(files[0].id)
        names = {record["operation"] for record in gateway.records()}
    assert {"message_batches_create", "message_batches_results", "message_files_create"} <= names


async def test_geminis_files_are_uploaded_in_steps_that_need_no_key(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(gemini=two_keys(mock, "gemini"))) as gateway:
        async with gemini(gateway) as alice, gemini(gateway, BOB) as bob:
            made = []
            for n in range(3):
                upload = types.UploadFileConfig(mime_type="text/plain", display_name=f"number {n}")
                made.append(
                    await alice.files.upload(file=io.BytesIO(b"x" * (9_000_000 if n == 2 else n)), config=upload)
                )
            for n, file in enumerate(made):
                assert file.name is not None
                assert (await alice.files.get(name=file.name)).display_name == f"number {n}"
                with pytest.raises(errors.ClientError, match="404"):
                    await bob.files.get(name=file.name)
            assert [file.name async for file in await alice.files.list(config={"page_size": 2})] == [
                file.name for file in reversed(made)
            ]
            assert [file.name async for file in await bob.files.list()] == []
            await alice.files.delete(name=str(made[0].name))
        records = gateway.records()
    assert {record["operation"] for record in records} == {
        "gemini_files_create", "gemini_files_get", "gemini_files_list", "gemini_files_delete",
    }  # fmt: skip
    assert {record["key"] for record in records if record["operation"] == "gemini_files_create"} == {"alice"}
    assert {len(mock.objects.of(key, "gemini_files")) for key in UPSTREAM} == {1}


async def test_cached_contents_are_used_where_they_are(portico: Portico, mock: MockProvider) -> None:
    running = portico(config(gemini=two_keys(mock, "gemini")))
    async with running as gateway, gemini(gateway) as alice, gemini(gateway, BOB) as bob:
        for _ in range(3):
            cache = await alice.caches.create(
                model="gemini-2.5-flash", config=types.CreateCachedContentConfig(contents="long", ttl="60s")
            )
            assert cache.name is not None
            key = next(key for key in UPSTREAM if cache.name[15:] in mock.objects.of(key, "cached_contents"))
            use = types.GenerateContentConfig(cached_content=cache.name)
            await alice.models.generate_content(model="gemini-2.5-flash", contents="Hi", config=use)
            assert mock.ledger.last.key == key
            with pytest.raises(errors.ClientError, match="404"):
                await bob.models.generate_content(model="gemini-2.5-flash", contents="Hi", config=use)
            await alice.caches.update(name=cache.name, config=types.UpdateCachedContentConfig(ttl="120s"))
            with pytest.raises(errors.ClientError, match="404"):
                await bob.caches.delete(name=cache.name)
        assert len([one async for one in await alice.caches.list()]) == 3
        await alice.caches.delete(name=cache.name)
        assert len([one async for one in await alice.caches.list()]) == 2


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


async def test_a_file_in_a_conversation_is_read_where_it_is(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(openai=two_keys(mock))) as gateway, client(gateway) as alice, client(gateway, BOB) as bob:
        for _ in range(3):
            file = await alice.files.create(file=("a.pdf", b"%PDF"), purpose="user_data")
            key = next(key for key in UPSTREAM if file.id in mock.objects.of(key, "files"))
            content: Any = [{"role": "user", "content": [{"type": "file", "file": {"file_id": file.id}}]}]
            await alice.chat.completions.create(model="gpt-4o-mini", messages=content)
            assert mock.ledger.last.key == key
            parts: Any = [{"role": "user", "content": [{"type": "input_file", "file_id": file.id}]}]
            await alice.responses.create(model="gpt-4o-mini", input=parts)
            assert mock.ledger.last.key == key
            with pytest.raises(openai.NotFoundError):
                await bob.responses.create(model="gpt-4o-mini", input=parts)
            escaped = json.dumps({"model": "gpt-4o-mini", "input": parts}).replace("file_id", "file\\u005fid")
            status, _, _ = await gateway.call("/v1/responses", escaped.encode(), key=BOB)
            assert status == 404


async def test_without_a_model_the_provider_is_named_or_the_only_one(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    declared = config(one=provider(mock), two=provider(other), claude=provider(mock, "anthropic"))
    async with portico(declared) as gateway, client(gateway) as alice:
        with pytest.raises(openai.BadRequestError, match="one, two in the header x-portico-provider"):
            await alice.files.create(file=("a.txt", b"a"), purpose="user_data")
        with pytest.raises(openai.BadRequestError, match="keeps no files"):
            await alice.with_options(default_headers={"x-portico-provider": "claude"}).files.list()
        two = alice.with_options(default_headers={"x-portico-provider": "two"})
        file = await two.files.create(file=("a.jsonl", LINES), purpose="batch")
        assert other.ledger.last.path == "/v1/files"
        assert (await alice.files.retrieve(file.id)).id == file.id
        one = alice.with_options(default_headers={"x-portico-provider": "one"})
        with pytest.raises(openai.NotFoundError):
            await one.files.retrieve(file.id)
        assert [each.id for each in (await alice.files.list()).data] == [file.id]
        assert (await one.files.list()).data == []
        job = await alice.fine_tuning.jobs.create(model="two/gpt-4o", training_file=file.id)
        assert job.model == "gpt-4o"
        async with claude(gateway) as theirs:
            assert (await theirs.beta.files.upload(file=("a.txt", b"text"))).size_bytes == 4


async def test_the_path_of_a_provider_leads_to_its_objects_too(portico: Portico, mock: MockProvider) -> None:
    declared = config(openai=two_keys(mock))
    for key in declared["keys"].values():
        key["passthrough"] = ["openai"]
    async with portico(declared) as gateway:
        through = AsyncOpenAI(base_url=f"{gateway.url}/openai/v1", api_key=ALICE, max_retries=0)
        async with through, client(gateway, BOB) as bob:
            for _ in range(2):
                file = await through.files.create(file=("a.txt", b"a"), purpose="user_data")
                assert (await through.files.content(file.id)).content == b"a"
                told = await through.responses.create(model="gpt-4o-mini", input="Hi")
                assert (await through.responses.retrieve(told.id)).id == told.id
            with pytest.raises(openai.NotFoundError):
                await bob.files.retrieve(file.id)
            async with through.with_options(api_key=BOB) as bobs:
                assert (await bobs.files.list()).data == []


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


async def test_a_job_without_a_bound_needs_an_allowance_under_a_hard_budget(
    portico: Portico, mock: MockProvider
) -> None:
    declared = config(openai=provider(mock))
    declared["keys"]["alice"]["budgets"] = [{"usd": 5}]
    declared["keys"]["carol"] |= {"budgets": [{"usd": 5}], "allowance_usd": 2}
    async with portico(declared) as gateway, client(gateway) as alice, client(gateway, CAROL) as carol:
        else_ = LINES.replace(b"chat/completions", b"something/else")
        file = await alice.files.create(file=("a.jsonl", else_), purpose="batch")
        asked: Any = {"input_file_id": file.id, "endpoint": "/v1/something/else", "completion_window": "24h"}
        with pytest.raises(openai.BadRequestError, match="nobody can say"):
            await alice.batches.create(**asked)
        assert await carol.batches.create(**asked)
        assert await carol.batches.create(**asked)
        with pytest.raises(openai.RateLimitError):
            await carol.batches.create(**asked)
        assert (await carol.files.retrieve(file.id)).id == file.id
        records = gateway.records()
        (usd,) = gateway.gateway.state.counters(["key:carol"], moment())
    assert [record.get("bound_nano_usd") for record in records if record["operation"] == "batches_create"] == [
        None, 2_000_000_000, 2_000_000_000, 2_000_000_000,
    ]  # fmt: skip
    assert (usd.used, usd.reserved) == (0, 4_000_000_000)


async def test_a_batch_file_is_bounded_line_by_line_as_it_comes(portico: Portico, mock: MockProvider) -> None:
    declared = config(openai=provider(mock))
    declared["keys"]["alice"]["budgets"] = [{"usd": 0.10}]
    many = b"".join(LINES.replace(b'"gpt-4o-mini"', b'"gpt-4o-mini", "max_tokens": 1000') for _ in range(100))
    async with portico(declared) as gateway, client(gateway) as alice:
        file = await alice.files.create(file=("a.jsonl", many), purpose="batch")
        asked: Any = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        # 30 cents for a million tokens of output in a batch: a hundred times 1,000 of them are 3 cents.
        made = [await alice.batches.create(**asked) for _ in range(2)]
        with pytest.raises(openai.RateLimitError):
            await alice.batches.create(**asked)
        state = gateway.gateway.state
        (usd,) = state.counters(["key:alice"], moment())
        assert usd.used == 0
        assert 60_000_000 < usd.reserved < 75_000_000
        assert [jobs.read(one).name for one in state.owned_by("", "job")] == [one.id for one in reversed(made)]
        assert jobs.read(state.owned_by("", "job")[0]).models == ("gpt-4o-mini",)
        assert [one.id for one in (await alice.files.list(purpose="batch")).data] == [file.id]


async def test_a_line_of_a_batch_names_nothing_of_others(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(openai=provider(mock))) as gateway, client(gateway) as alice, client(gateway, BOB) as bob:
        first = await alice.responses.create(model="gpt-4o-mini", input="Hi")
        body = {"model": "gpt-4o-mini", "input": "And?", "previous_response_id": first.id}
        line = {"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": body}
        content = json.dumps(line).encode() + b"\n"
        assert (await alice.files.create(file=("a.jsonl", content), purpose="batch")).id
        calls = len(mock.ledger)
        with pytest.raises(openai.NotFoundError):
            await bob.files.create(file=("a.jsonl", content), purpose="batch")
        assert len(mock.ledger) == calls


async def test_a_batch_file_that_nobody_can_read_is_its_providers_to_refuse(
    portico: Portico, mock: MockProvider
) -> None:
    declared = config(openai=provider(mock))
    declared["keys"]["alice"]["models"] = ["gpt-4o-mini"]
    async with portico(declared) as gateway, client(gateway) as alice, client(gateway, BOB) as bob:
        for content in (b"{}", b"[1]\n", b"no JSON\n", b'{"url": "/v1/embeddings", "body": 7}\n', b"\xff\n", NAMELESS):
            file = await alice.files.create(file=("a.jsonl", LINES + content), purpose="batch")
            asked: Any = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
            with pytest.raises(openai.PermissionDeniedError):
                await alice.batches.create(**asked)
            theirs = await bob.files.create(file=("a.jsonl", LINES + content), purpose="batch")
            assert (await bob.batches.create(**asked | {"input_file_id": theirs.id})).id


async def test_a_key_that_is_limited_to_models_starts_no_job_of_others(portico: Portico, mock: MockProvider) -> None:
    declared = config(openai=provider(mock))
    declared["keys"]["alice"]["models"] = ["gpt-4o-mini"]
    async with portico(declared) as gateway, client(gateway) as alice:
        file = await alice.files.create(file=("a.jsonl", LINES), purpose="batch")
        asked: Any = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        assert (await alice.batches.create(**asked)).id
        other = LINES + LINES.replace(b"gpt-4o-mini", b"gpt-4o")
        others = await alice.files.create(file=("a.jsonl", other), purpose="batch")
        with pytest.raises(openai.PermissionDeniedError, match="'gpt-4o'"):
            await alice.batches.create(**asked | {"input_file_id": others.id})
        with pytest.raises(openai.PermissionDeniedError):
            await alice.fine_tuning.jobs.create(model="gpt-4o", training_file=file.id)
        assert (await alice.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=file.id)).id


async def test_what_is_gone_at_its_provider_is_in_no_list(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(openai=two_keys(mock))) as gateway, client(gateway) as alice:
        files = [await alice.files.create(file=("a.txt", b"a"), purpose="user_data") for _ in range(3)]
        for key in UPSTREAM:
            mock.objects.of(key, "files").pop(files[1].id, None)
        assert [file.id for file in (await alice.files.list()).data] == [files[2].id, files[0].id]
        with pytest.raises(openai.NotFoundError):
            await alice.files.retrieve(files[1].id)
        mock.script("status=500", times=1)
        with pytest.raises(openai.InternalServerError):
            await alice.files.list()
        assert [file.id for file in (await alice.files.list(order="asc")).data] == [files[0].id, files[2].id]


async def test_what_its_provider_has_no_more_is_forgotten_but_not_what_was_just_made(
    portico: Portico, mock: MockProvider
) -> None:
    async with portico(config(openai=provider(mock))) as gateway, client(gateway) as alice:
        state = gateway.gateway.state
        file = await alice.files.create(file=("a.txt", b"a"), purpose="user_data")
        (key,) = {entry.key for entry in mock.ledger.entries}
        mock.objects.of(key, "files").clear()
        (known,) = state.owned_by("team:core", "file")
        for hours, left in ((0, [known.id]), (2, [])):
            await state.own(msgspec.structs.replace(known, created=known.created - hours * 3600))
            with pytest.raises(openai.NotFoundError):
                await alice.files.retrieve(file.id)
            assert [one.id for one in state.owned_by("team:core", "file")] == left


async def test_an_upload_that_nobody_began_is_not_there(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(gemini=provider(mock, "gemini"))) as gateway:
        status, _, body = await gateway.call("/upload/v1beta/files?upload_id=guess", b"x", key=None)
        assert (status, json.loads(body)["error"]["status"]) == (404, "NOT_FOUND")
        status, _, _ = await gateway.call("/upload/v1beta/files", b"{}", key=None)
        assert status == 401


def asks(*models: str, limit: int = 10) -> Any:
    """Return the requests of a batch, one for each model."""
    return [
        {
            "custom_id": str(place),
            "params": {"model": model, "max_tokens": limit, "messages": [{"role": "user", "content": "Hi"}]},
        }
        for place, model in enumerate(models)
    ]


async def test_the_models_of_a_batch_are_told_by_their_providers_names(portico: Portico, mock: MockProvider) -> None:
    declared = config(anthropic=provider(mock, "anthropic"), openai=provider(mock))
    declared["models"] = {"smart": ["anthropic/claude-sonnet-4-5"], "other": ["openai/gpt-4o"]}
    async with portico(declared) as gateway, claude(gateway) as alice:
        await alice.messages.batches.create(
            requests=asks("smart", "claude-haiku-4-5", "claude-haiku-4-5", "anthropic/claude-sonnet-4-5", "claude-next")
        )
        sent = mock.ledger.last.json["requests"]
        assert [one["params"]["model"] for one in sent] == [
            "claude-sonnet-4-5",
            "claude-haiku-4-5",
            "claude-haiku-4-5",
            "claude-sonnet-4-5",
            "claude-next",
        ]
        assert [one["custom_id"] for one in sent] == ["0", "1", "2", "3", "4"]
        with pytest.raises(BadRequestError, match="not served by 'anthropic'"):
            await alice.messages.batches.create(requests=asks("smart", "other"))
        with pytest.raises(BadRequestError, match="request 1 names no"):
            await alice.messages.batches.create(requests=[*asks("smart"), {"custom_id": "1", "params": {}}])


async def test_a_batch_that_is_bounded_fits_a_hard_budget_or_does_not(portico: Portico, mock: MockProvider) -> None:
    declared = config(anthropic=provider(mock, "anthropic"))
    declared["keys"]["alice"]["budgets"] = [{"usd": 0.10}]
    async with portico(declared) as gateway, claude(gateway) as alice:
        # 7.50 dollars for a million tokens of output in a batch: 4,000 of them are 3 cents, and a little for the input.
        assert await alice.messages.batches.create(requests=asks(*["claude-sonnet-4-5"] * 2, limit=2000))
        assert await alice.messages.batches.create(requests=asks(*["claude-sonnet-4-5"] * 2, limit=2000))
        with pytest.raises(RateLimitError):
            await alice.messages.batches.create(requests=asks(*["claude-sonnet-4-5"] * 4, limit=2000))
        with pytest.raises(BadRequestError):
            await alice.messages.batches.create(requests=asks("claude-sonnet-4-5", "claude-unpriced"))
        records = gateway.records()
    assert [record.get("end", "served") for record in records] == ["served", "served", "refused", "refused"]
    assert 30_000_000 <= records[0]["bound_nano_usd"] < 35_000_000
    assert [record["basis"] for record in records[:2]] == ["none", "none"]


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


async def test_a_key_that_is_limited_to_models_may_batch_those(portico: Portico, mock: MockProvider) -> None:
    declared = config(anthropic=provider(mock, "anthropic"))
    declared["keys"]["alice"]["models"] = ["claude-sonnet-4-5"]
    async with portico(declared) as gateway, claude(gateway) as alice:
        assert await alice.messages.batches.create(requests=asks("claude-sonnet-4-5"))
        with pytest.raises(PermissionDeniedError):
            await alice.messages.batches.create(requests=asks("claude-sonnet-4-5", "claude-haiku-4-5"))


async def test_a_batch_is_made_where_the_files_in_it_are(portico: Portico, mock: MockProvider) -> None:
    running = portico(config(anthropic=two_keys(mock, "anthropic")))
    async with running as gateway, claude(gateway) as alice, claude(gateway, BOB) as bob:
        for _ in range(3):
            file = await alice.beta.files.upload(file=("a.txt", b"text"))
            requests = asks("claude-sonnet-4-5")
            source = {"type": "file", "file_id": file.id}
            requests[0]["params"]["messages"][0]["content"] = [{"type": "document", "source": source}]
            batch = await alice.messages.batches.create(requests=requests)
            key = next(key for key in UPSTREAM if file.id in mock.objects.of(key, "message_files"))
            assert batch.id in mock.objects.of(key, "message_batches")
            with pytest.raises(NotFoundError):
                await bob.messages.batches.create(requests=requests)


def questions(*texts: str) -> list[Any]:
    return [
        types.InlinedRequest(contents=[types.Content(role="user", parts=[types.Part(text=text)])]) for text in texts
    ]


async def test_geminis_batches_are_their_owners(portico: Portico, mock: MockProvider) -> None:
    settings = config(gemini=two_keys(mock, "gemini")) | {"models": {"smart": ["gemini/gemini-2.5-flash"]}}
    running = portico(settings)
    async with running as gateway, gemini(gateway) as alice, gemini(gateway, BOB) as bob:
        for _ in range(3):
            made = await alice.batches.create(model="smart", src=questions("Hi", "Ho"))
            name = made.name or ""
            key = next(key for key in UPSTREAM if name[8:] in mock.objects.of(key, "gemini_batches"))
            assert mock.ledger.last.path == "/v1beta/models/gemini-2.5-flash:batchGenerateContent"
            assert (await alice.batches.get(name=name)).name == name
            assert mock.ledger.last.key == key
            before = len(mock.ledger)
            for asked in (bob.batches.get, bob.batches.cancel, bob.batches.delete):
                with pytest.raises(errors.ClientError, match="404"):
                    await asked(name=name)
            assert len(mock.ledger) == before
        async with gemini(gateway, CAROL) as carol:
            assert len([one async for one in await carol.batches.list()]) == 3
            await carol.batches.cancel(name=name)
        assert [one async for one in await bob.batches.list()] == []
        with pytest.raises(errors.ClientError, match="409"):  # it goes on
            await alice.batches.delete(name=name)
        await gateway.gateway.state.disown(jobs.place_of("team:core", "gemini_batches", name[8:]))
        await alice.batches.delete(name=name)
        assert len([one async for one in await alice.batches.list()]) == 2
        for method, path in (
            ("GET", f"batches/{name[8:]}"),
            ("GET", "b%61tches/x"),
            ("POST", "batches/x%3Acancel"),
            ("PATCH", "batches/x:updateGenerateContentBatch"),
        ):
            status, _, _ = await gateway.call(f"/gemini/v1beta/{path}", {}, key=MASTER, method=method)
            assert status == 404, path


async def test_a_batch_of_geminis_names_nothing_of_others_and_no_other_model(
    portico: Portico, mock: MockProvider
) -> None:
    settings = config(gemini=two_keys(mock, "gemini"))
    settings["keys"]["bob"] |= {"models": ["gemini-2.5-flash"]}
    one: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    theirs = {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/of-alice"}}
    bad: list[tuple[dict[str, Any], int]] = [
        ({"requests": {"requests": [{"request": {**one, "cachedContent": "cachedContents/of-alice"}}]}}, 404),
        ({"requests": {"requests": [{"request": {"contents": [{"role": "user", "parts": [theirs]}]}}]}}, 404),
        ({"fileName": "files/of-alice"}, 404),
        ({"file_name": "files/of-alice"}, 404),
        ({"requests": {"requests": [{"request": {**one, "model": "models/gemini-2.5-pro"}}]}}, 400),
        ({"requests": {"requests": "all"}}, 400),
        ({"fileName": "files/a", "file_name": "files/b"}, 400),
        ({}, 403),  # nobody can tell what it runs
    ]
    async with portico(settings) as gateway:
        path = "/v1beta/models/gemini-2.5-flash:batchGenerateContent"
        for said, expected in bad:
            status, _, reply = await gateway.call(path, {"batch": {"inputConfig": said}}, key=BOB)
            assert status == expected, (said, reply)
        other = path.replace("flash", "pro")
        good = {"batch": {"inputConfig": {"requests": {"requests": [{"request": one}]}}}}
        assert (await gateway.call(other, good, key=BOB))[0] == 403
        assert len(mock.ledger) == 0
        good["batch"]["inputConfig"]["requests"]["requests"][0]["request"]["model"] = "models/gemini-2.5-flash"
        assert (await gateway.call(path, good, key=BOB))[0] == 200


async def test_a_batch_of_geminis_fits_a_hard_budget_or_does_not(portico: Portico, mock: MockProvider) -> None:
    settings = config(gemini=two_keys(mock, "gemini"))
    settings["keys"]["bob"] |= {"budgets": [{"usd": 0.01, "per": "day"}]}
    settings["prices"] = {"gemini/gemini-2.5-flash": {"input": 10, "output": 10}}
    most = types.GenerateContentConfig(max_output_tokens=100)
    async with portico(settings) as gateway, gemini(gateway, BOB) as bob:
        few, many = questions("Hi"), questions(*["Hi"] * 50)
        for one in (*few, *many):
            one.config = most
        made = await bob.batches.create(model="gemini-2.5-flash", src=few)
        assert made.name is not None
        (record,) = gateway.records()
        assert (record["operation"], record["cost_nano_usd"], record["basis"]) == (
            "gemini_batches_create",
            None,
            "none",
        )
        with pytest.raises(errors.ClientError, match="429"):
            await bob.batches.create(model="gemini-2.5-flash", src=many)

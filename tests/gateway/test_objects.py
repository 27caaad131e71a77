"""What lives at providers: each asked for with the key that made it, by nobody but its owner, through the real SDKs."""

import io
import json
from typing import Any

import msgspec
import openai
import pytest
from google.genai import errors, types
from openai import AsyncOpenAI
from tests.gateway.owners import ALICE, BOB, CAROL, LINES, UPSTREAM, Portico, claude, client, config, gemini, two_keys

from gateway_in_loop import provider
from portico.testing.mock import MockProvider


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


NAMED: dict[str, dict[str, Any]] = {
    "a header": {"extra_headers": {"custom-llm-provider": "azure"}},
    "a field": {"extra_body": {"custom_llm_provider": "azure"}},
    "fields": {"extra_body": {"custom_llm_provider": "azure", "target_model_names": "its-model"}},
    "a field of its model": {"extra_body": {"target_model_names": "its-model"}},
    "the query": {"extra_query": {"custom_llm_provider": "azure"}},
    "the query in short": {"extra_query": {"provider": "azure"}},
}


@pytest.mark.parametrize("size", [1, 3_000_000], ids=["in memory", "spooled"])
@pytest.mark.parametrize("how", NAMED)
async def test_what_litellms_callers_say_of_where_a_file_goes_is_done_and_not_passed_on(
    portico: Portico, mock: MockProvider, other: MockProvider, how: str, size: int
) -> None:
    declared = config(openai=provider(mock), azure=provider(other)) | {"models": {"its-model": ["azure/gpt-4o"]}}
    content = b"x" * size
    async with portico(declared) as gateway, client(gateway) as alice:
        file = await alice.files.create(file=("a.txt", content), purpose="user_data", **NAMED[how])
        sent = other.ledger.last
        assert (await alice.files.content(file.id)).content == content
        assert [each.id for each in (await alice.files.list(extra_query={"provider": "azure"})).data] == [file.id]
        assert (await alice.files.list(extra_query={"provider": "openai"})).data == []
    assert (file.purpose, file.filename, len(mock.ledger), sent.query) == ("user_data", "a.txt", 0, "")
    assert b"custom_llm" not in sent.body
    assert b"target_model" not in sent.body


async def test_a_job_is_made_where_litellms_callers_say(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    async with portico(config(openai=provider(mock), azure=provider(other))) as gateway, client(gateway) as alice:
        said: dict[str, Any] = {"extra_body": {"custom_llm_provider": "azure"}}
        file = await alice.files.create(file=("a.jsonl", LINES), purpose="batch", **said)
        # Where its file is, whatever is said.
        said = {"extra_body": {"custom_llm_provider": "openai"}}
        await alice.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **said
        )
        assert other.ledger.last.path == "/v1/batches"
        assert b"custom_llm" not in other.ledger.last.body
        said = {"extra_body": {"target_model_names": "one,two"}}
        with pytest.raises(openai.BadRequestError, match="is one name"):
            await alice.files.create(file=("a.jsonl", LINES), purpose="batch", **said)
        with pytest.raises(openai.BadRequestError, match="keeps no files"):
            await alice.files.list(extra_query={"provider": "vertex_ai"})
    assert len(mock.ledger) == 0

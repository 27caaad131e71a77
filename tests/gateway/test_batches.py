"""Batches and fine-tuning: made where their files are, by whom they are allowed to, within budgets, for their owner."""

import json
from typing import Any

import openai
import pytest
from anthropic import BadRequestError, ConflictError, NotFoundError, PermissionDeniedError, RateLimitError
from google.genai import errors, types
from tests.gateway.owners import BOB, CAROL, LINES, UPSTREAM, Portico, claude, client, config, gemini, two_keys

from gateway_in_loop import MASTER, provider
from portico import jobs
from portico.state.clock import moment
from portico.testing.mock import MockProvider

NAMELESS = b'{"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": {"input": "Hi"}}\n'


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
        cancelled = await alice.batches.cancel(batches[0].id)
        assert (cancelled.status, cancelled.cancelling_at) == ("cancelling", cancelled.created_at)
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
            assert (await alice.fine_tuning.jobs.cancel(job.id)).status == "cancelled"
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

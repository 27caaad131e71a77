"""Batches, tuning and background responses through the real SDKs: paid for when they end, once, whoever is killed."""

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from money.house import House, house, until
from money.test_crash import ingested
from portico.record import Record
from portico.state.ledger import Ledger
from portico.types import Usage

KEY = "sk-caller-of-jobs-1"
INPUT, OUTPUT = 20.0, 80.0
HALF = {"batch.input": INPUT / 2, "batch.output": OUTPUT / 2}
DECLARED: dict[str, Any] = {
    "keys": {"jobs": {"key": KEY, "team": "red", "budgets": [{"usd": 1000}, {"tokens": 10**9}], "allowance_usd": 7}},
    "teams": {"red": {"budgets": [{"usd": 5000, "per": "month"}]}},
    "prices": {
        name: {"input": INPUT, "output": OUTPUT, "rates": HALF}
        for name in ("first/plain", "first/flaky", "second/other", "second/another")
    },
}
BUDGET = "key:jobs/budget/cost/forever"


@asynccontextmanager
async def home_of(directory: Path, workers: int = 1) -> AsyncIterator[House]:
    async with house(directory, workers=workers, **DECLARED) as home:
        yield home


def gpt(home: House) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{home.portico.url}/v1", api_key=KEY, max_retries=4)


def claude(home: House) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=home.portico.url, api_key=KEY, max_retries=4)


def lines(*models: str, most: int = 50) -> bytes:
    """Return a batch file, one request for each model."""
    found = []
    for number, model in enumerate(models):
        body = {"model": model, "max_tokens": most, "messages": [{"role": "user", "content": f"n={number}. Hi"}]}
        one = {"custom_id": f"{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        found.append(json.dumps(one).encode() + b"\n")
    return b"".join(found)


def asks(*models: str, most: int = 50) -> Any:
    """Return the requests of a batch of Anthropic's."""
    return [
        {
            "custom_id": f"{number}",
            "params": {
                "model": model,
                "max_tokens": most,
                "messages": [{"role": "user", "content": f"n={number}. Hi"}],
            },
        }
        for number, model in enumerate(models)
    ]


async def batch(gpt: AsyncOpenAI, *models: str, **more: Any) -> Any:
    file = await gpt.files.create(
        file=("a.jsonl", lines(*models, **more)), purpose="batch", extra_headers={"x-portico-provider": "first"}
    )
    return await gpt.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


def jobs_of(home: House) -> list[Record]:
    return [record for record in home.records() if record.job is not None]


def open_jobs(home: House) -> list[str]:
    ledger = Ledger.visit(home.data_dir / "state" / "money")
    assert ledger is not None
    try:
        return ledger.jobs()
    finally:
        ledger.close()


def budget(home: House) -> tuple[int, int]:
    """Return what the key's budget has counted and reserved, in nano-dollars."""
    counter = home.counters(["key:jobs"]).get(BUDGET)
    if counter is None:
        return 0, 0  # a row with nothing in it is cleared away
    return counter.used, counter.reserved


def price(usage: Usage, times: float = 0.5) -> int:
    """Return what one request costs, by hand: 20 and 80 dollars for a million tokens, half of that in a batch."""
    return round((usage.input * 20_000 + usage.output_total * 80_000) * times)


async def ended(home: House, count: int = 1) -> list[Record]:
    """Wait until so many jobs have a record and nothing is reserved for any; return the records."""
    await until(
        lambda: len(jobs_of(home)) >= count and not open_jobs(home), lambda: f"{jobs_of(home)}, {open_jobs(home)}"
    )
    return jobs_of(home)


async def listed(home: House) -> list[dict[str, Any]]:
    """Return the jobs that the admin API lists, once control has looked for the first time."""
    status, body = 503, b""
    while status == 503:
        asking = asyncio.to_thread(home.portico.request, "GET", "/api/v1/jobs", key="sk-master-of-the-house")
        status, _, body = await asking
    assert status == 200, body
    found: list[dict[str, Any]] = json.loads(body)["items"]
    return found


async def test_a_batch_is_paid_for_when_it_ends_at_the_rate_of_batches(tmp_path: Path) -> None:
    async with home_of(tmp_path) as home, gpt(home) as sdk:
        home.mock.defaults = {"job": "1000"}
        made = await batch(sdk, "plain", "plain", "plain")
        used, reserved = budget(home)
        assert used == 0
        assert reserved > 3 * 50 * 40_000  # fifty tokens each, at least, at the rate of batches
        [going] = await listed(home)
        assert (going["name"], going["state"], going["reserved_nano_usd"]) == (made.id, "going", reserved)
        home.mock.objects.end(made.id)
        done = await sdk.batches.retrieve(made.id)
        assert done.status == "completed"
        (record,) = await ended(home)
        told = (await sdk.files.content(done.output_file_id)).text.splitlines()
        usages = [json.loads(line)["response"]["body"]["usage"] for line in told]
        expected = sum(price(Usage(input=one["prompt_tokens"], output=one["completion_tokens"])) for one in usages)
        assert record.cost_nano_usd == expected > 0
        assert (record.basis, record.pricing, record.end, record.status) == ("reported", "table", "served", 200)
        assert (record.operation, record.model, record.target) == ("batches_job", "plain", "first/plain")
        assert record.job == made.id
        assert budget(home) == (expected, 0)
        created = next(one for one in home.records() if one.operation == "batches_create")
        assert record.id == f"{created.id}-job"
        assert record.time_ms == created.time_ms
        assert (created.basis, created.cost_nano_usd) == ("none", None)
        while not (found := await listed(home)) or found[0]["state"] == "going":
            await asyncio.sleep(0.02)  # until it is in the store
        assert (found[0]["id"], found[0]["state"], found[0]["cost_nano_usd"]) == (created.id, "completed", expected)
        await sdk.files.delete(done.output_file_id)
        assert budget(home) == (expected, 0)


async def test_claudes_batch_of_several_models_is_counted_from_its_results_and_deleted_after(tmp_path: Path) -> None:
    async with home_of(tmp_path) as home, claude(home) as sdk:
        home.mock.defaults = {"job": "0"}
        made = await sdk.messages.batches.create(requests=asks("second/other", "second/another", "second/other"))
        assert (await sdk.messages.batches.retrieve(made.id)).processing_status == "ended"
        results = [one async for one in await sdk.messages.batches.results(made.id)]
        assert len(results) == 3
        await sdk.messages.batches.delete(made.id)  # refused until it is counted, and then not: the SDK tries again
        (record,) = await ended(home)
        usages = [one.result.message.usage for one in results if one.result.type == "succeeded"]
        expected = sum(price(Usage(input=one.input_tokens, output=one.output_tokens)) for one in usages)
        assert record.cost_nano_usd == expected > 0
        assert record.target == "second"
        assert budget(home) == (expected, 0)


async def test_a_background_response_is_paid_for_when_it_ends(tmp_path: Path) -> None:
    async with home_of(tmp_path) as home, gpt(home) as sdk:
        home.mock.defaults = {"job": "1000"}
        made = await sdk.responses.create(model="first/plain", input="Hi", background=True, max_output_tokens=60)
        assert made.status == "queued"
        used, reserved = budget(home)
        assert used == 0
        assert reserved >= 60 * 80_000
        with pytest.raises(openai.ConflictError):
            await sdk.with_options(max_retries=0).responses.delete(made.id)
        home.mock.objects.end(made.id)
        done = await sdk.responses.retrieve(made.id)
        assert done.usage is not None
        (record,) = await ended(home)
        expected = price(Usage(input=done.usage.input_tokens, output=done.usage.output_tokens), 1)
        assert record.cost_nano_usd == expected > 0
        assert record.operation == "responses_job"
        assert budget(home) == (expected, 0)
        await sdk.responses.delete(made.id)
        answered = await sdk.responses.create(model="first/plain", input="Hi", max_output_tokens=60)
        assert answered.status == "completed"
        assert len(jobs_of(home)) == 1


@pytest.mark.parametrize(
    ("ends", "error"), [("failed", "job_failed"), ("cancelled", "job_cancelled"), ("expired", "job_expired")]
)
async def test_a_batch_that_does_not_complete_costs_what_was_done(tmp_path: Path, ends: Any, error: str) -> None:
    async with home_of(tmp_path) as home, gpt(home) as sdk:
        home.mock.defaults = {"job": "1000"}
        made = await batch(sdk, *["plain"] * 4)
        home.mock.objects.end(made.id, ends)
        done = await sdk.batches.retrieve(made.id)
        assert done.status == ends
        (record,) = await ended(home)
        assert record.error == f"job_{ends}"
        if ends == "failed":
            assert record.cost_nano_usd == 0
        else:
            told = (await sdk.files.content(done.output_file_id)).text.splitlines()
            assert len(told) == 2
            usages = [json.loads(line)["response"]["body"]["usage"] for line in told]
            expected = sum(price(Usage(input=one["prompt_tokens"], output=one["completion_tokens"])) for one in usages)
            assert record.cost_nano_usd == expected > 0
        assert budget(home) == (record.cost_nano_usd, 0)


async def test_a_tuning_job_holds_its_allowance_and_nobody_knows_what_training_costs(tmp_path: Path) -> None:
    async with home_of(tmp_path) as home, gpt(home) as sdk:
        home.mock.defaults = {"job": "0"}
        file = await sdk.files.create(
            file=("a.jsonl", lines("plain")), purpose="fine-tune", extra_headers={"x-portico-provider": "first"}
        )
        made = await sdk.fine_tuning.jobs.create(model="first/plain", training_file=file.id)
        assert budget(home) == (0, 7_000_000_000)
        assert (await sdk.fine_tuning.jobs.retrieve(made.id)).status == "succeeded"
        (record,) = await ended(home)
        assert (record.pricing, record.cost_nano_usd) == ("unpriced", None)
        assert record.usage is not None
        assert record.usage.input == len(lines("plain")) // 4
        assert budget(home) == (7_000_000_000, 0)


async def test_jobs_outlive_everybody_who_knows_of_them(tmp_path: Path) -> None:
    async with home_of(tmp_path) as home:
        home.mock.defaults = {"job": "1000"}
        async with gpt(home) as sdk, claude(home) as theirs:
            made = await batch(sdk, "plain", "plain")
            other = await theirs.messages.batches.create(requests=asks("second/other"))
            response = await sdk.responses.create(model="first/plain", input="Hi", background=True)
            await home.settled()
        before = budget(home)
        assert len(open_jobs(home)) == 3
        await home.kill_all()
        await home.start()
        assert budget(home) == before
        assert len(open_jobs(home)) == 3
        for name in (made.id, other.id, response.id):
            home.mock.objects.end(name)
        records = await ended(home, 3)
        assert {record.job for record in records} == {made.id, other.id, response.id}
        assert budget(home) == (sum(record.cost_nano_usd or 0 for record in records), 0)


async def test_a_lost_machine_still_reserves_for_its_jobs(tmp_path: Path) -> None:
    async with home_of(tmp_path) as home:
        home.mock.defaults = {"job": "1000"}
        async with gpt(home) as sdk:
            made = await batch(sdk, "plain", "plain")
            await home.settled()
        before = budget(home)
        await home.stop()
        origin = home.data_dir / "state" / "money" / "origin"
        origin.write_text(json.dumps({**json.loads(origin.read_bytes()), "boot_id": "another boot"}))
        await home.start()
        await until(lambda: home.portico.request("GET", "/readyz")[0] == 200, "it is ready")
        assert budget(home) == before
        home.mock.objects.end(made.id)
        (record,) = await ended(home)
        assert budget(home) == (record.cost_nano_usd, 0)


async def rounds(directory: Path, count: int, seed: int) -> None:
    """Start and end jobs while processes are killed; then each has one record, and the books have its cost once."""
    chance = random.Random(seed)
    async with home_of(directory, workers=2) as home:
        home.mock.defaults = {"job": "0.2"}
        started: set[str] = set()

        async def start(number: int) -> None:
            await asyncio.sleep(chance.uniform(0, 1))
            try:
                async with gpt(home) as sdk, claude(home) as theirs:
                    if number % 3 == 0:
                        started.add((await batch(sdk, "plain", "plain")).id)
                    elif number % 3 == 1:
                        found = await theirs.messages.batches.create(requests=asks("second/other", "second/another"))
                        started.add(found.id)
                    else:
                        found = await sdk.responses.create(model="first/plain", input=f"Hi {number}", background=True)
                        started.add(found.id)
            except (openai.APIConnectionError, anthropic.APIConnectionError):
                pass  # whoever is killed answers nothing
            except (openai.InternalServerError, anthropic.InternalServerError):
                pass  # nor does who waits for what was lost to be put together

        for turn in range(count):
            callers = [asyncio.create_task(start(turn * 6 + number)) for number in range(6)]
            await asyncio.sleep(chance.uniform(0.1, 1.2))
            way = chance.choice(("worker", "control", "all"))
            if way == "all":
                await home.kill_all()
                await home.start()
            else:
                pid = home.portico.control() if way == "control" else chance.choice(home.portico.workers())
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
            await asyncio.gather(*callers)
        await until(lambda: home.permits() == 0, "no call is under way")
        await until(lambda: not open_jobs(home), lambda: f"open: {open_jobs(home)}", patience=90)
        records = {record.id: record for record in home.records()}
        by_job = Counter(record.job for record in records.values() if record.job is not None)
        assert set(by_job) >= started
        assert set(by_job.values()) == {1}
        assert not [record for record in records.values() if record.job and record.basis != "reported"]
        charged = sum(
            (record.cost_nano_usd or 0)
            + (record.bound_nano_usd or 0) * (record.basis == "unknown")
            + sum(attempt.assumed_nano_usd or 0 for attempt in record.attempts)
            for record in records.values()
        )
        assert budget(home) == (charged, 0)
        await home.stop()


async def test_killed_at_any_moment_each_job_is_settled_once(tmp_path: Path) -> None:
    await rounds(tmp_path, count=3, seed=7)


@pytest.mark.prove
@pytest.mark.timeout(3600)
async def test_killed_many_times_each_job_is_settled_once(tmp_path: Path) -> None:
    await rounds(tmp_path, count=40, seed=11)


async def test_the_store_has_a_job_once(tmp_path: Path) -> None:
    async with home_of(tmp_path) as home, gpt(home) as sdk:
        home.mock.defaults = {"job": "0"}
        made = await batch(sdk, "plain")
        await sdk.batches.retrieve(made.id)
        await ended(home)
        await home.stop()
        ingested(home)

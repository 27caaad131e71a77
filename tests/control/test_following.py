"""Jobs followed to their end: how often a provider is asked, what is done when it cannot tell, and each closed once."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from control.conftest import MASTER
from portico import jobs
from portico.config.load import load_plain
from portico.control import counting
from portico.control.counting import Asking
from portico.control.following import A_TURN, LIFETIMES, MISSES, Following
from portico.control.keeping import Keeping
from portico.control.pruning import SLICE, prune
from portico.control.starting import open_admin
from portico.control.state import OnState
from portico.dialects.objects import Found
from portico.errors import StateUnavailable
from portico.jobs import Job
from portico.journal.entries import Kind, decode_event, decode_record
from portico.journal.reader import read
from portico.journal.segments import segments
from portico.record import Record
from portico.rules import Bound, Rule
from portico.state.clock import moment
from portico.state.contract import Owned, Scope
from portico.state.ledger import Ledger
from portico.state.objects import Objects
from portico.testing.mock import MockProvider

KEY = "sk-upstream-of-jobs-01"
START = 1_800_000_000.0
BOUND = Bound(1_000, 1_000, 5_000_000)
TIGHT = Rule("tight", "budget", "cost", 6_000_000, alerts=(50,))
SCOPE = Scope("team:red", (Rule("usd", "budget", "cost", 10**12), TIGHT))


class Office:
    """Control, as far as it follows jobs, a provider, and a clock that the test moves."""

    def __init__(self, directory: Path, mock: MockProvider) -> None:
        self.directory = directory
        self.mock = mock
        self.now = 0.0
        ledger = Ledger(directory / "state" / "money", "b" * 16, 16 << 20)
        ledger.mark_rebuilt()
        ledger.close()  # one process opens it once; workers are others
        self.config = load_plain(
            {
                "server": {"master_key": MASTER},
                "providers": {
                    "first": {"like": "openai", "base_url": f"{mock.url}/v1", "api_key": KEY},
                    "second": {"like": "anthropic", "base_url": f"{mock.url}/v1", "api_key": KEY},
                    "third": {"like": "gemini", "base_url": mock.url, "api_key": KEY},
                },
                "prices": {
                    "first/plain": {"input": 20, "output": 80, "rates": {"batch.input": 10, "batch.output": 40}},
                    "third/plain": {"input": 20, "output": 80, "rates": {"batch.input": 10, "batch.output": 40}},
                    "first/tuned": {
                        "input": 1,
                        "output": 1,
                        "rates": {"training": 5},
                        "changes": [{"from": "2027-01-16", "rates": {"training": 8}}],
                    },
                    "first/sized": {"input": 20, "output": 80, "rates": {"input>8": 40, "batch.input": 10}},
                },
            },
            {},
        ).config
        self.admin = open_admin(directory, self.config, {})
        assert isinstance(self.admin.snapshot, OnState)
        self.state = self.admin.snapshot
        self.objects = Objects(directory / "state" / "objects")
        self.following = self.again()

    def again(self) -> Following:
        """Return control after a restart."""

        async def opened() -> Any:
            return self.admin

        self.following = Following(
            self.directory,
            self.objects,
            opened,
            clock=lambda: self.now,
            wall=lambda: START + self.now,
            draw=lambda: 0.5,
        )
        return self.following

    async def begin(self, name: str = "batch_1", family: str = "batches", **more: Any) -> Job:
        """Let there be a job, which has reserved its bound."""
        told: dict[str, Any] = {"models": ("plain",), "endpoint": "/v1/chat/completions", "bound": BOUND, **more}
        provider = {"message_batches": "second", "gemini_batches": "third"}.get(family, "first")
        target = "second/other" if provider == "second" else f"{provider}/{told['models'][0]}"
        credential = f"{provider}#1"
        began = int((START + self.now) * 1000)
        job = Job(f"call-of-{name}", family, name, "team:red", began, target, credential, team="red", **told)
        await self.objects.own(jobs.remembered(job))
        self.reserve(job)
        await self.following.turn()
        return job

    def reserve(self, job: Job) -> None:
        with self.state.money() as ledger:
            assert ledger is not None
            ledger.carry(job.call_id, (SCOPE,), job.bound, moment().wall_ns, moment())

    def counted(self) -> tuple[int, int]:
        with self.state.money() as ledger:
            assert ledger is not None
            usd = next(one for one in ledger.counters(["team:red"], moment()) if one.rule_id == "usd")
        return usd.used, usd.reserved

    def there(self, name: str = "batch_1", **told: Any) -> None:
        """Let the provider say so of a batch."""
        made = {"id": name, "object": "batch", "status": "in_progress", **told}
        self.mock.objects.of(KEY, "batches")[name] = made

    def asked(self) -> int:
        return len(self.mock.ledger)

    async def later(self, seconds: float) -> int:
        self.now += seconds
        return await self.following.turn()

    def entries(self, kind: Kind) -> list[bytes]:
        found = []
        for segment in segments(str(self.directory / "journal")):
            found += [bytes(entry.payload) for _, entry in read(segment.path, 0) if entry.kind == kind]
        return found

    def records(self) -> list[Record]:
        return [decode_record(payload) for payload in self.entries(Kind.RECORD)]

    async def close(self) -> None:
        await self.following.close()
        self.objects.close()
        self.state.close()
        self.admin.engine.dispose()


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with MockProvider() as mock:
        found = Office(tmp_path, mock)
        yield found
        await found.close()


USED = {"status": "completed", "model": "plain", "output_file_id": "out", "request_counts": {"completed": 1}}


def usage(into: int, out: int) -> dict[str, Any]:
    return {"input_tokens": into, "output_tokens": out, "total_tokens": into + out}


async def test_a_provider_is_asked_less_and_less_often(office: Office) -> None:
    await office.begin()
    office.there()
    when = []
    for _ in range(2000):
        before = office.asked()
        await office.later(1)
        if office.asked() > before:
            when.append(office.now)
    pauses = [round(later - earlier) for earlier, later in pairwise(when)]
    assert when[0] == 6
    assert pauses[:6] == [5, 8, 12, 17, 26, 38]
    assert pauses[-1] == 300
    assert pauses == sorted(pauses)


async def test_what_a_caller_saw_the_end_of_is_asked_about_at_once(office: Office) -> None:
    job = await office.begin()
    office.there()
    await office.later(10)
    office.there(**USED, usage=usage(10, 10))
    assert await office.later(1) == 0
    await office.objects.own(jobs.wish_of(jobs.place_of(job.tenant, job.family, job.name)))
    assert await office.later(0) == 1
    assert office.objects.owned_by("", "job") == office.objects.owned_by("", "due") == []
    assert office.counted() == (10 * 10_000 + 10 * 40_000, 0)


async def test_a_job_that_its_provider_does_not_know_is_charged_at_its_bound(office: Office) -> None:
    await office.begin()
    for _ in range(MISSES):
        assert office.records() == []
        await office.later(400)
    (record,) = office.records()
    assert (record.error, record.end, record.basis, record.cost_nano_usd) == (
        "job_lost", "aborted", "assumed", 5_000_000,
    )  # fmt: skip
    assert office.counted() == (5_000_000, 0)


def inlined(*used: tuple[int, int]) -> dict[str, Any]:
    """Return what Gemini says of the requests of a batch: one of them failed."""
    told: list[dict[str, Any]] = [
        {"response": {"modelVersion": "plain", "usageMetadata": {"promptTokenCount": i, "candidatesTokenCount": o}}}
        for i, o in used
    ]
    told.append({"error": {"code": 3, "message": "no"}})
    return {"inlinedResponses": {"inlinedResponses": told}}


UNSAID: dict[str, Any] = {"inlinedResponses": {"inlinedResponses": [{"response": {}}]}}
ENDS: list[tuple[str, dict[str, Any], str | None, int, str]] = [
    ("SUCCEEDED", {"output": inlined((10, 10), (5, 2))}, None, 15 * 10_000 + 12 * 40_000, "reported"),
    ("CANCELLED", {"output": inlined((10, 10))}, "job_cancelled", 10 * 10_000 + 10 * 40_000, "reported"),
    ("CANCELLED", {"batchStats": {"successfulRequestCount": "3"}}, "job_cancelled", 5_000_000, "assumed"),
    ("SUCCEEDED", {"output": {"responsesFile": "files/out"}}, None, 5_000_000, "assumed"),
    ("SUCCEEDED", {"output": UNSAID}, None, 5_000_000, "assumed"),
    ("FAILED", {}, "job_failed", 0, "reported"),
    ("EXPIRED", {"batchStats": {"requestCount": "3"}}, "job_expired", 0, "reported"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "said", "error", "cost", "basis"), ENDS)
async def test_a_batch_of_geminis_costs_what_its_responses_say(
    office: Office, state: str, said: dict[str, Any], error: str | None, cost: int, basis: str
) -> None:
    await office.begin(family="gemini_batches", endpoint="")
    batch = {"name": "batches/batch_1", "metadata": {"state": "BATCH_STATE_RUNNING", "model": "models/plain"}}
    office.mock.objects.of(KEY, "gemini_batches")["batch_1"] = batch
    await office.later(10)
    assert office.records() == []
    batch["metadata"] |= {"state": f"BATCH_STATE_{state}", **said}  # type: ignore[operator]
    assert await office.later(20) == 1
    (record,) = office.records()
    assert (record.error, record.cost_nano_usd, record.basis, record.operation) == (
        error, cost, basis, "gemini_batches_job",
    )  # fmt: skip
    assert office.counted() == (cost, 0)


TUNED: list[tuple[str, dict[str, Any], int, int | None, str, str | None]] = [
    ("tuned", {"trained_tokens": 1001}, 0, 1001 * 5_000, "reported", "table"),
    ("tuned", {"trained_tokens": 1001}, 2, 1001 * 8_000, "reported", "table"),
    ("tuned", {"trained_tokens": None, "status": "failed"}, 0, 0, "reported", "table"),
    ("tuned", {"trained_tokens": 1001, "method": {"type": "reinforcement"}}, 0, 5_000_000, "assumed", "table"),
    ("plain", {"trained_tokens": 1001}, 0, None, "reported", "unpriced"),
]


@pytest.mark.parametrize(("model", "said", "days", "cost", "basis", "pricing"), TUNED)
async def test_tuning_costs_what_its_model_says_of_training(
    office: Office, model: str, said: dict[str, Any], days: int, cost: int | None, basis: str, pricing: str | None
) -> None:
    office.now = days * 86_400.0
    await office.begin("job_1", "fine_tuning", models=(model,), endpoint="")
    made = {"id": "job_1", "object": "fine_tuning.job", "status": "succeeded", "model": model, **said}
    office.mock.objects.of(KEY, "fine_tuning")["job_1"] = made
    assert await office.later(60) == 1
    (record,) = office.records()
    assert (record.cost_nano_usd, record.basis, record.pricing) == (cost, basis, pricing)
    assert office.counted() == (cost if cost is not None else 5_000_000, 0)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_a_provider_that_fails_is_asked_again_until_the_jobs_time_is_up(office: Office, status: int) -> None:
    await office.begin()
    office.there(**USED, usage=usage(10, 10))
    office.mock.script.always(f"status={status}")
    for _ in range(10):
        await office.later(400)
    assert office.records() == []
    assert office.counted() == (0, 5_000_000)
    await office.later(LIFETIMES["batches"])
    assert [record.error for record in office.records()] == ["job_lost"]
    assert office.counted() == (5_000_000, 0)


async def test_a_provider_that_does_not_answer_keeps_nobody_waiting(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.begin("batch_1")
    await office.begin("batch_2")
    for name in ("batch_1", "batch_2"):
        office.there(name, **USED, usage=usage(10, 10))
    ask = Asking._ask

    async def silent(self: Asking, target: Any, found: Found) -> Any:
        if found.ids == ("batch_1",):
            await asyncio.Event().wait()
        return await ask(self, target, found)

    with monkeypatch.context() as patch:
        patch.setattr(Asking, "_ask", silent)
        patch.setattr(counting, "ANSWERS_WITHIN", 0.5)
        assert await office.later(10) == 1
    assert [record.job for record in office.records()] == ["batch_2"]
    assert await office.later(400) == 1


async def test_a_provider_that_recovers_is_believed(office: Office) -> None:
    await office.begin()
    office.there(**USED, usage=usage(10, 10))
    office.mock.script("status=404", "status=503", "status=404", "status=404")
    for _ in range(4):
        assert await office.later(400) == 0
    assert await office.later(400) == 1
    assert [record.error for record in office.records()] == [None]


async def test_a_job_whose_key_is_gone_waits_for_it_and_then_for_its_time(office: Office) -> None:
    job = await office.begin()
    office.there(**USED, usage=usage(10, 10))
    await office.objects.own(msgspec.structs.replace(jobs.remembered(job), credential="first#7"))
    await office.later(10)
    assert office.asked() == 0
    assert office.counted() == (0, 5_000_000)


async def test_results_that_nobody_understands_are_not_taken_for_nothing(office: Office) -> None:
    await office.begin()
    office.there(**USED)
    office.mock.objects.keep(KEY, "files", "out", b'{"response": {"status_code": 200, "body": {"no": "usage"}}}\n')
    office.mock.objects.of(KEY, "files")["out"] = {"id": "out"}
    await office.later(10)
    assert office.records() == []
    await office.later(LIFETIMES["batches"] + 1)
    assert [record.basis for record in office.records()] == ["assumed"]


def result(model: str, into: int, out: int) -> bytes:
    body = {"model": model, "usage": {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}}
    line = {"custom_id": "1", "response": {"status_code": 200, "body": body}, "error": None}
    return json.dumps(line).encode() + b"\n"


async def test_requests_whose_price_goes_by_their_size_are_priced_one_by_one(office: Office) -> None:
    await office.begin(models=("sized",), bound=Bound(0, 0, None, "stored"))
    office.there(**{**USED, "model": "sized-2026-01-01"}, usage=usage(30, 3))
    lines = result("sized-2026-01-01", 10, 1) * 2 + result("sized-2026-01-01", 5, 1) * 2
    failed = b'{"custom_id": "2", "response": {"status_code": 400, "body": {}}, "error": null}\n'
    office.mock.objects.keep(KEY, "files", "out", lines + failed)
    office.mock.objects.of(KEY, "files")["out"] = {"id": "out"}
    await office.later(10)
    (record,) = office.records()
    # up to eight tokens 10 dollars for a million of them in a batch, beyond that 20; 80 for those that come out
    assert record.cost_nano_usd == 2 * (10 * 20_000 + 80_000) + 2 * (5 * 10_000 + 80_000)
    assert record.usage is not None
    assert (record.usage.input, record.usage.output, record.usage.tier) == (30, 4, "batch")


@pytest.mark.parametrize("piece", [None, 1, 7])
async def test_results_are_read_in_whatever_pieces_they_come(office: Office, piece: int | None) -> None:
    await office.begin(family="message_batches", name="msgbatch_1", models=("other", "third"))
    if piece is not None:
        office.mock.defaults = {"split": str(piece)}
    answers = [
        {"custom_id": "1", "result": {"type": "succeeded", "message": {"model": "other", "usage": usage(7, 2)}}},
        {"custom_id": "2", "result": {"type": "errored", "error": {}}},
        {"custom_id": "3", "result": {"type": "succeeded", "message": {"model": "third", "usage": usage(5, 1)}}},
    ]
    office.mock.objects.of(KEY, "message_batches")["msgbatch_1"] = {
        "id": "msgbatch_1", "processing_status": "ended", "request_counts": {"succeeded": 2, "errored": 1},
    }  # fmt: skip
    content = "\n".join(map(json.dumps, answers)).encode()  # the last line has no end
    office.mock.objects.keep(KEY, "message_batches", "msgbatch_1", content)
    await office.later(10)
    (record,) = office.records()
    assert record.usage is not None
    assert (record.usage.input, record.usage.output) == (12, 3)
    assert (record.pricing, record.cost_nano_usd) == ("unpriced", None)
    assert office.counted() == (5_000_000, 0), "what nobody can price is charged at its bound"


@pytest.mark.parametrize("endpoint", ["/v1/images/generations", "/v1/responses"])
async def test_the_sum_that_a_provider_tells_stands_where_its_lines_cannot_be_read(
    office: Office, endpoint: str
) -> None:
    await office.begin(endpoint=endpoint)
    office.there(**USED, usage=usage(10, 10))
    body = {
        "model": "plain",
        "usage": usage(5, 5),
        "output": [{"type": "web_search_call", "action": {"type": "search"}}],
    }
    line = {"custom_id": "1", "response": {"status_code": 200, "body": body}}
    office.mock.objects.keep(KEY, "files", "out", json.dumps(line).encode())
    office.mock.objects.of(KEY, "files")["out"] = {"id": "out"}
    await office.later(10)
    (record,) = office.records()
    assert record.usage is not None
    lines = endpoint == "/v1/responses"
    assert (record.usage.input, record.usage.searches) == ((5, 1) if lines else (10, 0))


async def test_who_uses_more_than_the_bound_closes_the_budget_and_says_so(office: Office) -> None:
    await office.begin()
    office.there(**USED, usage=usage(10, 150))
    await office.later(10)
    (record,) = office.records()
    assert record.over_bound
    assert record.cost_nano_usd == 10 * 10_000 + 150 * 40_000
    events = [decode_event(payload).name for payload in office.entries(Kind.EVENT)]
    assert "budget.closed" in events
    assert "budget.passed" in events


class Killed(BaseException):
    """Nothing that comes after this is done."""


STOPS = ("_flush", "_finish", "disown")


@pytest.mark.source
@pytest.mark.parametrize("where", STOPS)
async def test_who_is_killed_while_a_job_is_closed_goes_on_with_what_was_known(
    office: Office, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.begin()
    office.there(**USED, usage=usage(10, 10))

    def killed(*_: object) -> Any:
        raise Killed

    async def killed_later(*_: object) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        if where == "disown":
            patch.setattr(office.objects, "disown", killed)
        else:
            patch.setattr(office.following, where, killed_later if where == "_flush" else killed)
        with pytest.raises(BaseExceptionGroup):
            await office.later(10)
    office.mock.objects.of(KEY, "batches").clear()  # and its provider forgets it meanwhile
    asked = office.asked()
    office.following._rest()
    office.again()
    assert await office.later(10) == 1
    assert office.asked() == asked, "what is known is not asked again"
    records = office.records()
    assert {record.id for record in records} == {"call-of-batch_1-job"}
    assert {(record.basis, record.cost_nano_usd) for record in records} == {("reported", 500_000)}
    assert office.counted() == (500_000, 0)
    assert office.objects.owned_by("", "job") == []


async def test_nothing_is_settled_while_what_was_counted_is_put_back(office: Office) -> None:
    await office.begin()
    office.there(**USED, usage=usage(10, 10))
    with office.state.money() as ledger:
        assert ledger is not None
        with ledger._env.begin(ledger._others, write=True) as tx:
            tx.delete(b"rebuilt")
    assert await office.later(10) == 0
    assert office.asked() == 0
    with office.state.money() as ledger:
        assert ledger is not None
        ledger.mark_rebuilt()
    assert await office.later(10) == 1


async def test_what_was_not_handed_over_is_left_to_its_call(office: Office) -> None:
    job = await office.begin()
    with office.state.money() as ledger:
        assert ledger is not None
        ledger.finish(job.call_id, jobs.Used(0, 0, 0, 0), moment())
    office.there(**USED, usage=usage(10, 10))
    for _ in range(5):
        assert await office.later(400) == 0
    assert office.asked() == 0
    await office.later(LIFETIMES["batches"])
    assert office.objects.owned_by("", "job") == []
    assert office.records() == []


async def test_many_jobs_are_asked_about_a_few_at_a_time(office: Office) -> None:
    for number in range(A_TURN + 10):
        await office.begin(f"batch_{number}")
        office.there(f"batch_{number}", **USED, usage=usage(1, 1))
    assert await office.later(400) == A_TURN
    assert await office.later(0) == 10
    assert len({record.id for record in office.records()}) == A_TURN + 10
    assert office.counted() == ((A_TURN + 10) * 50_000, 0)


async def test_without_jobs_nothing_is_opened(tmp_path: Path) -> None:
    async def opened() -> Any:
        raise AssertionError("there is nothing to open it for")

    now = 0.0
    keeping = Keeping(tmp_path, opened, clock=lambda: now, wall=lambda: START)
    await keeping.turn()
    assert keeping.jobs() == ()
    workers = Objects(tmp_path / "state" / "objects")
    await keeping.turn()
    assert keeping._objects is None, "nothing was ever kept in it"
    assert keeping.jobs() == ()
    await workers.own(Owned("file\nteam:red\nf", "file", "team:red", "first", "first#1", START))
    workers.close()  # one process opens it once
    with pytest.raises(StateUnavailable):
        keeping.jobs()
    for _ in range(3):
        now += 10_000
        await keeping.turn()
    assert keeping._following is None
    assert keeping._objects is not None
    assert keeping.jobs() == []
    assert keeping._trouble is None
    await keeping.close()


DAY = 86_400.0
AGES: dict[str, tuple[float, bool]] = {
    "response": (30.9 * DAY, True),
    "old response": (31.1 * DAY, False),
    "upload": (7 * DAY, True),
    "old upload": (9 * DAY, False),
    "old gemini_file": (4 * DAY, False),
    "old file": (4000 * DAY, True),
    "old batch": (4000 * DAY, True),
    "old conversation": (4000 * DAY, True),
}


async def test_objects_are_forgotten_when_their_provider_has_them_no_more(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    for name, (age, _) in AGES.items():
        kind = name.rpartition(" ")[2]
        await objects.own(Owned(f"{kind}\nteam:red\n{name}", kind, "team:red", "first", "first#1", START - age))
    assert await prune(objects, "", START) == ""
    kept = {one.id.rpartition("\n")[2] for one in objects.some("", 100)}
    assert kept == {name for name, (_, stays) in AGES.items() if stays}
    objects.close()


async def test_many_objects_are_looked_at_a_slice_at_a_time(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    ids = [f"response\nteam:red\n{number:06d}{'x' * 300 * (number % 2)}" for number in range(2 * SLICE + 7)]
    old = [Owned(one, "response", "team:red", "first", "first#1", START - 40 * DAY) for one in ids]
    await asyncio.gather(*map(objects.own, old))
    after, left = "", []
    for _ in range(3):
        after = await prune(objects, after, START)
        left.append(len(objects.some("", 10_000)))
    assert left == [SLICE + 7, 7, 0]
    assert after == ""
    objects.close()

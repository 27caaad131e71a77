"""Work that outlives its calls, in the admin API: what goes on and what has ended, a page at a time, each job once."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from control.conftest import NOW, Api, Grant
from portico.control.admin import Admin
from portico.jobs import Cost, Job, record_of
from portico.journal.entries import encode
from portico.record import Record
from portico.rules import Bound
from portico.store import calls
from portico.store.dimensions import Names
from portico.store.engine import writing
from portico.store.ingest import apply
from portico.types import Usage
from store.filled import piece

HOUR = 3_600_000


def job(number: int, family: str = "batches", *, ago: int | None = None, **more: Any) -> Job:
    told: dict[str, Any] = {"key": "key-1", "team": "red", "model": "plain", "org": "acme", **more}
    began = NOW - (number * HOUR if ago is None else ago)
    bound = Bound(10, 20, 5_000)
    return Job(f"call-{number}", family, f"name-{number}", "team:red", began, "one/plain", "one#1", bound, **told)


def ended(each: Job, outcome: str = "completed", cost: int = 700) -> Record:
    return record_of(each, outcome, Cost(Usage(input=3, output=4), cost, "reported", "table"), each.time_ms + HOUR)


def fill(engine: Engine, records: Sequence[Record]) -> None:
    with writing(engine).begin() as db:
        apply(db, Names(), [piece(list(records), "jobs-000001.seg")])


def names(reply: Any) -> list[str]:
    assert reply.status_code == 200, reply.text
    return [each["id"] for each in reply.json()["items"]]


def test_a_job_that_goes_on_says_what_it_holds_and_one_that_has_ended_what_it_cost(
    api: Api, admin: Admin, engine: Engine
) -> None:
    going, done = job(1), job(2, "responses", tags=("a:b",), customer="ann")
    admin.jobs = lambda: [going]
    fill(engine, [ended(done)])
    common = {"target": "one/plain", "key": "key-1", "team": "red", "model": "plain", "org": "acme"}
    assert api("GET", "jobs").json() == {
        "items": [
            {
                "id": "call-1", "state": "going", "family": "batches", "name": "name-1",
                "started_at": "2027-01-15T07:00:00Z", "reserved_nano_usd": 5_000, **common,
            },
            {
                "id": "call-2", "state": "completed", "family": "responses", "name": "name-2",
                "started_at": "2027-01-15T06:00:00Z", "ended_at": "2027-01-15T07:00:00Z", "cost_nano_usd": 700,
                "usage": {"input": 3, "output": 4}, "basis": "reported", "record": "call-2-job", "tags": ["a:b"],
                "customer": "ann", **common,
            },
        ],
        "next": None,
    }  # fmt: skip
    assert api("GET", "records/call-2-job").json()["job"] == "name-2"


@pytest.mark.parametrize("outcome", ["completed", "failed", "cancelled", "expired", "lost"])
def test_a_job_is_found_by_how_it_stands(api: Api, admin: Admin, engine: Engine, outcome: str) -> None:
    outcomes = ["completed", "failed", "cancelled", "expired", "lost"]
    admin.jobs = lambda: [job(9)]
    fill(engine, [ended(job(number), each) for number, each in enumerate(outcomes)])
    [found] = api("GET", f"jobs?state={outcome}").json()["items"]
    assert (found["id"], found["state"]) == (f"call-{outcomes.index(outcome)}", outcome)
    assert names(api("GET", "jobs?state=going")) == ["call-9"]
    assert len(names(api("GET", "jobs"))) == 6


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_go_through_all_jobs_the_latest_first_each_once(
    api: Api, admin: Admin, engine: Engine, limit: int
) -> None:
    families = ["batches", "message_batches", "fine_tuning", "responses"]
    made = [job(number, families[number % 4], ago=number // 3 * HOUR) for number in range(14)]
    admin.jobs = lambda: made[::2]
    plain = ended(made[0])
    others = [msgspec.structs.replace(plain, id=f"plain-{number}", operation="chat", job=None) for number in range(9)]
    odd = msgspec.structs.replace(plain, id="call-of-somebody-with-a-job", operation="batches_job", job=None)
    fill(engine, [*(ended(each) for each in made[1::2]), *others, odd])
    seen: list[str] = []
    after = ""
    while True:
        reply = api("GET", f"jobs?limit={limit}&after={after}")
        found = names(reply)
        assert len(found) <= limit
        seen += found
        after = reply.json()["next"]
        if after is None:
            break
    assert sorted(seen) == sorted(each.call_id for each in made)
    ages = [int(name.rpartition("-")[2]) // 3 for name in seen]
    assert ages == sorted(ages)


def test_a_job_whose_record_is_written_is_told_once_and_as_it_ended(api: Api, admin: Admin, engine: Engine) -> None:
    one, two = (msgspec.structs.replace(each, ended=encode(ended(each))) for each in (job(1), job(2)))
    admin.jobs = lambda: [one, two, job(3)]
    fill(engine, [ended(one), ended(job(3))])
    found = api("GET", "jobs").json()["items"]
    assert [(each["id"], each["state"]) for each in found] == [
        ("call-1", "completed"), ("call-2", "completed"), ("call-3", "completed"),
    ]  # fmt: skip
    assert names(api("GET", "jobs?state=going")) == ["call-3"]
    assert names(api("GET", "jobs?state=completed")) == ["call-1", "call-2", "call-3"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("team=red", ["call-1", "call-2"]),
        ("team=blue", ["call-3", "call-4"]),
        ("team=nobody", []),
        ("key=key-1&family=batches", ["call-1"]),
        ("family=responses", ["call-2", "call-4"]),
        ("model=other", ["call-4"]),
        ("provider=one", ["call-1", "call-2", "call-3", "call-4"]),
        ("provider=two", []),
        ("customer=ann&org=acme", ["call-3"]),
        ("session=s", ["call-3"]),
        ("user=u", ["call-4"]),
    ],
)
def test_jobs_are_found_by_whose_they_are(api: Api, admin: Admin, engine: Engine, query: str, found: list[str]) -> None:
    made = [
        job(1), job(2, "responses"), job(3, team="blue", key="key-2", customer="ann", session="s"),
        job(4, "responses", team="blue", key="key-2", model="other", user="u"),
    ]  # fmt: skip
    admin.jobs = lambda: made[::2]
    fill(engine, [ended(each) for each in made[1::2]])
    assert names(api("GET", f"jobs?{query}")) == found


@pytest.mark.parametrize("state", ["", "state=going", "state=completed"])
def test_who_does_not_reach_all_sees_the_jobs_of_its_own(
    api: Api, admin: Admin, engine: Engine, with_role: Grant, state: str
) -> None:
    api.make("organizations", id="acme")
    api.make("organizations", id="inc")
    api.make("teams", id="blue", org="inc")
    of_blue = [job(3, team="blue", org="inc"), job(4, team="blue", org="inc")]
    admin.jobs = lambda: [job(1), of_blue[0]]
    fill(engine, [ended(job(2)), ended(of_blue[1])])
    mine = [name for name, one in (("call-3", "going"), ("call-4", "completed")) if one in state or not state]
    blue = with_role("team_admin", team="blue")
    assert names(blue("GET", f"jobs?{state}")) == mine
    assert names(blue("GET", "jobs?team=red")) == []
    assert names(with_role("viewer", org="inc")("GET", f"jobs?{state}")) == mine
    assert len(names(with_role("viewer")("GET", f"jobs?{state}"))) == 2 * len(mine)


def test_jobs_are_found_at_once_among_many_calls(
    api: Api, admin: Admin, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "LOOK_AT", 5)
    done = ended(job(1))
    newer = [
        msgspec.structs.replace(done, id=f"c-{number}", time_ms=NOW - number, job=None, operation="batches_job")
        for number in range(40)
    ]
    fill(engine, [*newer, done])
    assert names(api("GET", "jobs?team=red&state=completed")) == ["call-1"]


def test_a_place_that_is_none_is_refused(api: Api) -> None:
    for after in ("x", "12", ".a", "1" * 30 + ".a", "٣.a"):
        reply = api("GET", f"jobs?after={after}")
        assert (reply.status_code, reply.json()["field"]) == (422, "after"), after

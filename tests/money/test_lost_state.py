"""Counters that were lost, with the machine's boot or with their directory, stand where they stood before.

Until then nobody spends from a budget, and calls under none go on.
"""

import asyncio
import functools
import json
import shutil
from pathlib import Path
from typing import Any

from money.callers import call, question
from money.house import House, charged, house, until

KEYS = {
    "daily": "sk-caller-of-the-day-1",
    "rolls": "sk-caller-that-rolls-1",
    "free": "sk-caller-without-any1",
}
DECLARED: dict[str, Any] = {
    "keys": {
        "daily": {"key": KEYS["daily"], "team": "red", "budgets": [{"usd": 1, "per": "day"}, {"tokens": 10**6}]},
        "rolls": {"key": KEYS["rolls"], "team": "red", "budgets": [{"usd": 1, "per": "day", "rolling": True}]},
        "free": {"key": KEYS["free"], "limits": [{"in_flight": 100}]},
    },
    "teams": {"red": {"budgets": [{"usd": 5}, {"requests": 1000, "per": "month"}]}},
    "budgets": [{"usd": 3, "each": ["customer"]}],
}
OF_TARGETS: dict[str, Any] = {
    "keys": {name: {"key": key, "team": "red"} for name, key in KEYS.items()},
    "teams": {"red": {"budgets": [{"usd": 5}]}},
    "budgets": [{"usd": 5, "requests": 1000, "each": ["provider"]}, {"requests": 1000, "for": {"model": ["flaky"]}}],
}
"""Budgets of targets. None counts tokens: what a try that was lost had reserved of them is on no record."""
ROWS = ("key:daily", "key:rolls", "team:red", "customer:ann", "customer:bob")


async def spend(home: House, first: int, count: int = 12) -> None:
    """Make calls of all kinds: whole, streamed, and cut by their caller."""
    for number in range(first, first + count):
        key = KEYS[("daily", "rolls")[number % 2]]
        stream = number % 3 > 0
        body = question(number, "smart", most=50, stream=stream, said="tokens=40 pace=0.002")
        body["user"] = ("ann", "bob")[number % 2]
        said = await call(home.address, key, number, body, leave_after=400 if number % 3 == 2 else None)
        assert said.status in (200, 0), said
    await home.settled()


def counted(home: House) -> dict[str, int]:
    """Return what each rule has counted."""
    found = home.counters(ROWS)
    assert all(counter.reserved == 0 for counter in found.values())
    return {rule: counter.used for rule, counter in found.items()}


def lose_by_boot(home: House) -> None:
    """Let the state be of another boot of the machine."""
    origin = home.data_dir / "state" / "money" / "origin"
    told = json.loads(origin.read_bytes())
    origin.write_text(json.dumps({**told, "boot_id": "another boot"}))


def ready(home: House) -> tuple[int, str]:
    status, _, body = home.portico.request("GET", "/readyz")
    return status, json.loads(body)["status"]


async def test_after_another_boot_budgets_stand_where_they_stood(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2, **DECLARED) as home:
        assert ready(home) == (200, "ok"), "nothing was ever counted here"
        await spend(home, 0)
        before = counted(home)
        await home.stop()
        lose_by_boot(home)
        await home.start()
        await until(lambda: ready(home) == (200, "ok"), lambda: f"readiness: {ready(home)}")
        assert counted(home) == before
        assert before["team:red/budget/cost/forever"] == sum(map(charged, home.records())) > 0
        await spend(home, 100)
        assert counted(home)["team:red/budget/cost/forever"] == sum(map(charged, home.records()))


async def test_after_another_boot_budgets_of_targets_stand_at_what_was_used_there(tmp_path: Path) -> None:
    rows = ("team:red", "provider:first", "provider:second", "model:flaky")

    async with house(tmp_path, workers=2, **OF_TARGETS) as home:

        def used() -> dict[tuple[str, str], tuple[int, int]]:
            found = [counter for row in rows for counter in home.counters([row]).values()]
            return {(counter.row, counter.rule_id): (counter.used, counter.reserved) for counter in found}

        home.mock.script.sometimes("status=503", 3, "flaky")
        home.mock.script.sometimes("fault=cut-before-head", 4, "flaky")
        await spend(home, 0, 24)
        before = used()
        costs = [amount for (row, rule), (amount, _) in before.items() if "/cost/" in rule and row != "team:red"]
        assert len(costs) == 2
        assert min(costs) > 0
        assert (sum(costs), 0) == before["team:red", "team:red/budget/cost/forever"], "each counts what is its own"
        await home.stop()
        lose_by_boot(home)
        await home.start()
        await until(lambda: ready(home) == (200, "ok"), lambda: f"readiness: {ready(home)}")
        assert used() == before


async def test_until_then_calls_under_a_budget_wait_and_others_go_on(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2, **DECLARED) as home:
        await spend(home, 0)
        before = counted(home)
        await home.stop()
        lose_by_boot(home)
        home.environ["PORTICO_STORE_URL"] = "sqlite:////dev/null/portico.db"
        await home.start()
        await asyncio.to_thread(home.portico.errors.wait_for, "cannot be filled from the store yet")
        assert ready(home) == (503, "rebuilding")
        body = {"model": "first/plain", "messages": [{"role": "user", "content": "n=50."}], "max_tokens": 9}
        ask = functools.partial(asyncio.to_thread, home.portico.request, "POST", "/v1/chat/completions", body)
        status, headers, told = await ask(key=KEYS["daily"])
        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(told)["error"]["code"] == "state_unavailable"
        assert (await ask(key=KEYS["free"]))[0] == 200
        await home.stop()
        del home.environ["PORTICO_STORE_URL"]
        await home.start()
        await until(lambda: ready(home) == (200, "ok"), lambda: f"readiness: {ready(home)}")
        assert counted(home) == before


async def test_when_the_state_is_deleted_workers_leave_it_and_calls_under_way_are_counted(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2, **DECLARED) as home:
        await spend(home, 0)
        workers = set(home.portico.workers())
        slow = question(70, "smart", most=50, stream=True, said="tokens=40 pace=0.1")
        under_way = asyncio.create_task(call(home.address, KEYS["daily"], 70, slow))
        await until(lambda: home.permits() == 1, "a call is under way")
        shutil.rmtree(home.data_dir / "state" / "money")
        await until(
            lambda: not workers & set(home.portico.workers()) and len(home.portico.workers()) == 2,
            "both workers are others",
        )
        await until(lambda: ready(home) == (200, "ok"), lambda: f"readiness: {ready(home)}")
        assert (await under_way).whole
        await spend(home, 100)
        assert counted(home)["team:red/budget/cost/forever"] == sum(map(charged, home.records()))
        assert 70 in home.served()

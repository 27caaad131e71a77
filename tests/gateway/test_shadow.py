"""Copies of calls for another target: what they cost whom, what is recorded, and that no caller notices."""

import asyncio
import json
from typing import Any

import pytest

from gateway_in_loop import chat, provider
from portico.call import Call
from portico.calls.shadow import payer
from portico.dialects.operations import route
from portico.journal.entries import Event
from portico.state.supplies import StoredKey, Supplies, render_keys
from portico.testing.faults import Canned
from portico.testing.mock import MockProvider

pytestmark = pytest.mark.source

PRICES = {"one/m": {"input": 1.0, "output": 1.0}, "two/m": {"input": 10.0, "output": 10.0}}


def config(mock: MockProvider, other: MockProvider, **more: Any) -> dict[str, Any]:
    shadow = {"to": "two/m", "share": 1, **more.pop("shadow", {})}
    second = more.pop("second", {})
    return {
        "providers": {"one": provider(mock), "two": provider(other, **second)},
        "prices": PRICES,
        "models": {"smart": {"targets": ["one/m"], "shadow": shadow}},
        **more,
    }


async def over(running: Any) -> None:
    """Wait until no copy is under way."""
    shadows = running.gateway._shadows
    while shadows is not None and shadows._tasks:
        await asyncio.wait(list(shadows._tasks))


def noted(running: Any, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    events: list[Event] = []
    monkeypatch.setattr(running.gateway.settling, "note", events.append)
    return events


async def both(running: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    await over(running)
    records = running.records()
    assert len(records) == 2, records
    return records[0], records[1]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_copy_has_a_record_of_its_own_beside_its_callers(portico, mock, other, stream):
    async with portico(config(mock, other)) as running:
        body = chat("smart", stream=stream)
        status, headers, _ = await running.call("/v1/chat/completions", body)
        assert status == 200
        assert headers["x-portico-target"] == "one/m"
        first, copy = await both(running)
    assert (copy["shadow_of"], copy["id"]) == (first["id"], f"{first['id']}-shadow")
    assert (copy["key"], copy["model"], copy["target"], copy.get("end")) == ("shadow", "two/m", "two/m", None)
    assert "shadow_of" not in first
    assert (first["key"], first["target"]) == ("master", "one/m")
    assert copy["stream"] is stream
    compared = copy["compared"]
    assert compared["model"] == "smart"
    assert (compared["same_finish"], compared["same_calls"]) == (True, True)
    assert compared["caller"]["cost_nano_usd"] == first["cost_nano_usd"]
    assert compared["shadow"]["cost_nano_usd"] == copy["cost_nano_usd"] == 10 * first["cost_nano_usd"]
    assert compared["caller"]["target"] == "one/m"
    assert compared["caller"]["characters"] == compared["shadow"]["characters"] > 0
    assert compared["shadow"]["total_us"] > 0
    assert mock.ledger.totals.calls == other.ledger.totals.calls == 1


@pytest.mark.parametrize("like", ["anthropic", "gemini"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_copy_may_speak_another_dialect(portico, mock, other, like, stream):
    second = provider(other, like)
    plain = config(mock, other)
    plain["providers"]["two"] = second
    async with portico(plain) as running:
        tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
        message = [{"role": "user", "content": "[mock calls=1] Hello"}]
        await running.call("/v1/chat/completions", chat("smart", stream=stream, messages=message, tools=tools))
        _, copy = await both(running)
    compared = copy["compared"]
    assert "end" not in copy
    assert compared["caller"]["calls"] == compared["shadow"]["calls"] == ["look"]
    assert compared["same_finish"] is True


@pytest.mark.parametrize("stream", [False, True])
async def test_the_callers_answer_may_come_from_another_dialect(portico, mock, other, stream):
    plain = config(mock, other)
    plain["providers"]["one"] = provider(mock, "anthropic")
    async with portico(plain) as running:
        await running.call("/v1/chat/completions", chat("smart", stream=stream))
        _, copy = await both(running)
    assert copy["compared"]["same_finish"] is True
    assert copy["compared"]["caller"]["characters"] > 0


async def test_an_answer_that_differs_is_told_apart(portico, mock, other):
    other.script("tokens=40&calls=1")
    async with portico(config(mock, other)) as running:
        tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
        await running.call("/v1/chat/completions", chat("smart", tools=tools))
        _, copy = await both(running)
    assert (copy["compared"]["same_finish"], copy["compared"]["same_calls"]) == (False, False)


@pytest.mark.parametrize("step", ["status=500", "status=401", "fault=cut-before-head", "fault=broken-json"])
async def test_a_copy_that_fails_is_recorded_and_tried_once(portico, mock, other, step):
    other.script(step, times=5)
    async with portico(config(mock, other)) as running:
        assert (await running.call("/v1/chat/completions", chat("smart")))[0] == 200
        _, copy = await both(running)
        assert other.ledger.totals.calls == 1
    assert copy["end"] == "failed"
    assert copy["compared"]["model"] == "smart"
    assert "shadow" not in copy["compared"]


@pytest.mark.parametrize("step", ["status=400", "status=500"])
async def test_a_call_that_was_not_served_has_no_copy(portico, mock, other, step):
    mock.script(step, times=5)
    async with portico(config(mock, other)) as running:
        assert (await running.call("/v1/chat/completions", chat("smart")))[0] >= 400
        await over(running)
        assert len(running.records()) == 1
        assert not sum(running.gateway._shadows._under_way.values())
    assert other.ledger.totals.calls == 0


async def test_the_caller_has_its_answer_while_the_copy_still_waits(portico, mock, other):
    other.script("fault=stall&at=0")
    async with portico(config(mock, other)) as running:
        assert (await running.call("/v1/chat/completions", chat("smart")))[0] == 200
        assert len(running.gateway._shadows._tasks) == 1
        records = running.records()
        assert [record.get("end", "served") for record in records] == ["served"]
    # The gateway has closed: what was under way is recorded, too.
    assert [record.get("end", "served") for record in running.records()] == ["served", "cut"]


async def test_copies_beyond_what_may_be_under_way_are_left_out_and_counted(portico, mock, other, monkeypatch):
    other.script("fault=stall&at=0", times=9)
    async with portico(config(mock, other, shadow={"at_once": 2})) as running:
        events = noted(running, monkeypatch)
        for _ in range(5):
            assert (await running.call("/v1/chat/completions", chat("smart")))[0] == 200
        assert len(running.gateway._shadows._tasks) == 2
    assert [event.name for event in events] == ["shadow.left_out"] * 2
    assert sum(int(event.about["crowded"]) for event in events) == 3
    assert other.ledger.totals.calls <= 2


BUDGETS = [
    {"budgets": [{"for": {"key": ["shadow"]}, "usd": 0.0000001}]},
    {"teams": {"trials": {"budgets": [{"usd": 0.0000001}]}}, "shadow": {"team": "trials"}},
]


@pytest.mark.parametrize("bounds", BUDGETS, ids=["of the key shadow", "of its team"])
async def test_a_copy_that_its_budget_has_no_room_for_is_not_sent(portico, mock, other, bounds, monkeypatch):
    async with portico(config(mock, other, **bounds)) as running:
        events = noted(running, monkeypatch)
        assert (await running.call("/v1/chat/completions", chat("smart", max_tokens=50)))[0] == 200
        await over(running)
        assert len(running.records()) == 1
    assert [event.about for event in events] == [{"model": "smart", "budget": 1}]
    assert other.ledger.totals.calls == 0


async def test_no_budget_of_the_caller_is_charged_for_a_copy(portico, mock, other):
    key = {"key": "sk-web-0123456789", "team": "web", "budgets": [{"requests": 1}]}
    more = {"keys": {"web": key}, "teams": {"web": {"budgets": [{"usd": 1}]}, "trials": {}}}
    async with portico(config(mock, other, shadow={"team": "trials"}, **more)) as running:
        await running.call("/v1/chat/completions", chat("smart", user="someone"), key=key["key"])
        first, copy = await both(running)
        assert (first["team"], first["key"], copy["team"], copy["key"]) == ("web", "web", "trials", "shadow")
        assert "customer" not in copy
        state = running.gateway.state
        used = {counter.row: counter.used for counter in state.counters(["key:web", "team:web"], _now(running))}
    assert used == {"key:web": 1, "team:web": first["cost_nano_usd"]}


def _now(running: Any) -> Any:
    return running.gateway._now()


async def test_what_a_rule_requires_of_every_target_holds_for_copies(portico, mock, other, monkeypatch):
    rules = {"rules": [{"when": 'tags.tenant == "eu"', "require": {"regions": ["eu"]}}]}
    plain = config(mock, other, routing=rules)
    plain["providers"]["one"]["region"] = "eu"
    plain["providers"]["two"]["region"] = "us"
    async with portico(plain) as running:
        events = noted(running, monkeypatch)
        headers = {"x-portico-tags": "tenant:eu"}
        assert (await running.call("/v1/chat/completions", chat("smart"), headers=headers))[0] == 200
        await over(running)
    assert [event.about for event in events] == [{"model": "smart", "no_target": 1}]
    assert other.ledger.totals.calls == 0


async def test_only_the_share_of_calls_is_copied(portico, mock, other):
    async with portico(config(mock, other, shadow={"share": 0.25})) as running:
        draws = iter([0.0, 0.24, 0.25, 0.9])
        running.gateway.desk.draw = lambda: next(draws)
        for _ in range(4):
            await running.call("/v1/chat/completions", chat("smart"))
            await over(running)
        assert [bool(record.get("shadow_of")) for record in running.records()] == [False, True] * 2 + [False] * 2


async def test_a_copy_asks_its_provider_to_keep_nothing(portico, mock, other):
    async with portico(config(mock, other)) as running:
        assert (await running.call("/v1/responses", {"model": "smart", "input": "Hello"}))[0] == 200
        await over(running)
    [entry] = other.ledger.entries
    assert json.loads(entry.body)["store"] is False


async def test_bodies_of_a_copy_are_kept_as_its_callers_are(portico, mock, other):
    key = {"key": "sk-web-0123456789", "bodies": "none"}
    async with portico(config(mock, other, keys={"web": key}, logs={"bodies": "all"})) as running:
        kept: list[tuple[bool, bool]] = []
        end = running.gateway.settling.end

        def ended(call: Any, done: Any = None) -> None:
            if not call.ended:
                kept.append((call.request_body is not None, call.reply_body is not None))
            end(call, done)

        running.gateway.settling.end = ended
        for name in ("sk-web-0123456789", "sk-master-0123456789"):
            await running.call("/v1/chat/completions", chat("smart"), key=name)
            await over(running)
    assert kept == [(False, False)] * 2 + [(True, True)] * 2


async def test_embeddings_and_what_names_stored_answers_are_not_copied(portico, mock, other):
    async with portico(config(mock, other)) as running:
        await running.call("/v1/embeddings", {"model": "smart", "input": "Hello"})
        await over(running)
    assert other.ledger.totals.calls == 0


async def test_copies_take_at_most_half_of_what_bounds_their_target(portico, mock, other, monkeypatch):
    other.script("fault=stall&at=0", times=9)
    async with portico(config(mock, other, second={"max_concurrency": 5})) as running:
        events = noted(running, monkeypatch)
        gate = running.gateway.snapshot.upstreams["two"].target("m", running.gateway.snapshot.config.timeouts).gate
        for _ in range(5):
            assert (await running.call("/v1/chat/completions", chat("smart")))[0] == 200
            while len(running.gateway._shadows._tasks) > gate.under_way:
                await asyncio.sleep(0)  # a copy comes to its place, or is left out
        assert gate.under_way == 2
    assert sum(int(event.about["full"]) for event in events) == 3


async def test_a_call_with_an_answer_that_is_too_long_is_not_copied(portico, mock, other, monkeypatch):
    monkeypatch.setattr("portico.calls.shadow.LARGEST", 1000)
    async with portico(config(mock, other)) as running:
        events = noted(running, monkeypatch)
        for tokens in (1, 500):
            message = [{"role": "user", "content": f"[mock tokens={tokens}]"}]
            await running.call("/v1/chat/completions", chat("smart", messages=message))
            await over(running)
        assert not sum(running.gateway._shadows._under_way.values())
    assert [event.about for event in events] == [{"model": "smart", "large": 1}]
    assert other.ledger.totals.calls == 1


async def test_a_team_that_is_blocked_pays_for_no_copies(portico, mock, other, monkeypatch):
    plain = config(mock, other, shadow={"team": "trials"}, teams={"trials": {"blocked": True}})
    async with portico(plain) as running:
        events = noted(running, monkeypatch)
        assert (await running.call("/v1/chat/completions", chat("smart")))[0] == 200
        await over(running)
    assert [event.about for event in events] == [{"model": "smart", "blocked": 1}]
    assert other.ledger.totals.calls == 0


async def test_a_copy_has_the_tags_of_the_team_that_pays_and_none_of_its_callers(portico, mock, other):
    plain = config(mock, other, shadow={"team": "trials"}, teams={"trials": {"tags": ["for:trials"]}})
    async with portico(plain) as running:
        headers = {"x-portico-tags": "tenant:eu"}
        await running.call("/v1/chat/completions", chat("smart"), headers=headers)
        first, copy = await both(running)
    assert (first["tags"], copy["tags"]) == (["tenant:eu"], ["for:trials"])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_copy_that_cannot_be_read_in_the_callers_dialect_is_charged_all_the_same(portico, mock, other, stream):
    plain = config(mock, other)
    plain["providers"]["two"] = provider(other, "anthropic")
    body = b'{"type":"message","usage":{"input_tokens":1000,"output_tokens":100},"content":7}'
    other.script(Canned(chunks=(body,), length=len(body)))
    async with portico(plain) as running:
        await running.call("/v1/chat/completions", chat("smart", stream=stream))
        _, copy = await both(running)
    assert (copy["end"], copy["cost_nano_usd"]) == ("failed", 11_000_000)


@pytest.mark.parametrize(
    ("caller", "payer", "key"),
    [
        ("web", "web", "sk-upstream-of-the-web-team-1"),
        ("web", "trials", None),
        ("web", None, None),
        ("plain", "web", "sk-upstream-of-the-web-team-1"),
        ("plain", "trials", "sk-upstream-0123456789"),
        ("plain", None, "sk-upstream-0123456789"),
    ],
)
async def test_a_teams_own_key_for_a_provider_pays_for_no_others_copy_and_no_other_key_sends_its_calls(
    portico, mock, other, monkeypatch, caller, payer, key
):
    teams = {"web": {}, "trials": {}, "plain": {}}
    plain = config(mock, other, shadow={"team": payer} if payer else {}, teams=teams)
    plain["keys"] = {caller: {"key": "sk-caller-0123456789", "team": caller}}
    async with portico(plain) as running:
        sealed = render_keys(
            [StoredKey("two", "cred-web", "sk-upstream-of-the-web-team-1", "web")], running.gateway._secret
        )
        running.gateway.state.put_supplies(Supplies(b"", sealed))
        events = noted(running, monkeypatch)
        await running.call("/v1/chat/completions", chat("smart"), key="sk-caller-0123456789")
        await over(running)
    assert [entry.key for entry in other.ledger.entries] == ([key] if key else [])
    assert [event.about for event in events] == ([] if key else [{"model": "smart", "own_key": 1}])


async def test_copies_at_once_never_spend_more_than_their_budget(portico, mock, other):
    budget = 0.005
    more = {"budgets": [{"for": {"key": ["shadow"]}, "usd": budget}], "shadow": {"at_once": 100}}
    async with portico(config(mock, other, **more)) as running:
        calls = [running.call("/v1/chat/completions", chat("smart", max_tokens=40)) for _ in range(60)]
        assert {status for status, _, _ in await asyncio.gather(*calls)} == {200}
        await over(running)
        spent = sum(record["cost_nano_usd"] for record in running.records() if record.get("shadow_of"))
        assert 0 < spent <= budget * 1e9
        assert 0 < other.ledger.totals.calls < 60
        [row] = {scope.row for scope in running.gateway.snapshot.bounds.scopes(_copy(running), _two(running))}
        [counter] = running.gateway.state.counters([row], _now(running))
        assert (counter.used, counter.reserved) == (spent, 0)


def _two(running: Any) -> Any:
    return running.gateway.snapshot.upstreams["two"].target("m", running.gateway.snapshot.config.timeouts)


def _copy(running: Any) -> Any:
    call = Call(route("POST", "/v1/chat/completions", {}))
    call.caller, call.model = payer(None, running.gateway.snapshot.config, None), "two/m"
    return call

"""A team's calls go out with the team's own key for a provider, and nobody else's do; nothing of it touches others."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncOpenAI

from gateway_in_loop import Running, chat, provider
from portico import team_keys
from portico.state.memory import MemoryState
from portico.state.supplies import NOTHING, StoredKey, Supplies, render_keys
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

SHARED = "sk-upstream-0123456789"
RED, BLUE = "sk-upstream-of-the-red-team-01", "sk-upstream-of-the-blue-team-1"
CALLERS = {"red": "sk-caller-red-0123456789", "blue": "sk-caller-blue-0123456789", "grey": "sk-caller-grey-012345678"}
LONE = "sk-caller-without-a-team-01"
LINES = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o-mini"}}\n'


def config(mock: MockProvider, **more: Any) -> dict[str, Any]:
    """Return a configuration with three teams of a key each, and a key without one."""
    return {
        "providers": {"openai": provider(mock, **more)},
        "teams": {team: {} for team in CALLERS},
        "keys": {"lone": {"key": LONE}} | {team: {"key": key, "team": team} for team, key in CALLERS.items()},
        "retries": {"attempts": 1},
    }


def supply(gateway: Running, *keys: StoredKey) -> None:
    """Put keys of the store into state, as control does."""
    state = gateway.gateway.state
    assert isinstance(state, MemoryState)
    sealed = render_keys(keys, gateway.gateway._secret)
    state.put_supplies(Supplies(b"", sealed) if keys else NOTHING)


def of(team: str | None, secret: str, name: str = "openai") -> StoredKey:
    return StoredKey(name, f"cred-{team}", secret, team)


async def used(gateway: Running, mock: MockProvider, caller: str, path: str = "/v1/chat/completions") -> str | None:
    """Make a call; return the key that it went out with, None where it was refused."""
    before = len(mock.ledger)
    body = chat() if path.startswith("/v1") else chat("gpt-4o-mini")
    status, _, told = await gateway.call(path, body, key=caller)
    assert (status == 200) == (len(mock.ledger) > before), told
    return mock.ledger.last.key if status == 200 else None


async def test_each_team_has_its_own_key_and_all_others_the_shared_one(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(mock)) as gateway:
        supply(gateway, of("red", RED), of("blue", BLUE))
        for _ in range(2):
            assert await used(gateway, mock, CALLERS["red"]) == RED
            assert await used(gateway, mock, CALLERS["grey"]) == SHARED
            assert await used(gateway, mock, CALLERS["blue"]) == BLUE
            assert await used(gateway, mock, LONE) == SHARED
        records = gateway.records()
    assert [record["attempts"][0]["credential"] for record in records[:4]] == [
        "openai#cred-red", "openai#1", "openai#cred-blue", "openai#1",
    ]  # fmt: skip


async def test_what_passes_through_goes_out_with_the_teams_key(portico: Portico, mock: MockProvider) -> None:
    settings = config(mock)
    for key in settings["keys"].values():
        key["passthrough"] = ["openai"]
    async with portico(settings) as gateway:
        supply(gateway, of("red", RED))
        assert await used(gateway, mock, CALLERS["red"], "/openai/v1/chat/completions") == RED
        assert await used(gateway, mock, CALLERS["blue"], "/openai/v1/chat/completions") == SHARED


async def test_a_key_is_renewed_and_removed_without_a_restart(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(mock)) as gateway:
        supply(gateway, of("red", RED))
        assert await used(gateway, mock, CALLERS["red"]) == RED
        supply(gateway, of("red", "sk-upstream-of-the-red-team-02"))
        assert await used(gateway, mock, CALLERS["red"]) == "sk-upstream-of-the-red-team-02"
        supply(gateway)
        assert await used(gateway, mock, CALLERS["red"]) == SHARED
        assert gateway.gateway.snapshot.teams is None


async def test_where_a_teams_own_key_is_required_the_shared_one_serves_nobody(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    settings = config(mock, team_keys="required")
    settings["providers"]["second"] = provider(other)
    settings["models"] = {"either": {"targets": ["openai/gpt-4o-mini", "second/gpt-4o-mini"]}}
    async with portico(settings) as gateway:
        supply(gateway, of("red", RED), of(None, "sk-upstream-shared-of-the-store"))
        assert await used(gateway, mock, CALLERS["red"]) == RED
        for caller in (CALLERS["blue"], LONE):
            status, _, body = await gateway.call("/v1/chat/completions", chat(), key=caller)
            assert (status, b"calls to 'openai' need a key" in body) == (403, True)
            status, _, body = await gateway.call("/v1/files", None, method="GET", key=caller)
            assert status == 200, "of two providers the other one is asked"
            status, headers, _ = await gateway.call("/v1/chat/completions", chat("either"), key=caller)
            assert (status, headers["x-portico-target"]) == (200, "second/gpt-4o-mini")
        status, headers, _ = await gateway.call("/v1/chat/completions", chat("either"), key=CALLERS["red"])
        assert (status, headers["x-portico-target"]) == (200, "openai/gpt-4o-mini")
    assert {entry.key for entry in mock.ledger.entries} == {RED}


async def test_a_provider_for_teams_alone_needs_no_shared_key(portico: Portico, mock: MockProvider) -> None:
    settings = config(mock, team_keys="required")
    del settings["providers"]["openai"]["api_key"]
    async with portico(settings) as gateway:
        assert await used(gateway, mock, CALLERS["red"]) is None
        supply(gateway, of("red", RED))
        assert await used(gateway, mock, CALLERS["red"]) == RED


async def test_a_key_that_cannot_be_used_closes_the_provider_to_its_team_alone(
    portico: Portico, mock: MockProvider
) -> None:
    async with portico(config(mock)) as gateway:
        supply(gateway, of("red", ""), of("blue", BLUE))
        status, _, body = await gateway.call("/v1/chat/completions", chat(), key=CALLERS["red"])
        assert (status, b"the key of the team 'red' for 'openai' cannot be used" in body) == (403, True)
        assert await used(gateway, mock, CALLERS["blue"]) == BLUE
        assert await used(gateway, mock, LONE) == SHARED


async def test_a_key_that_is_none_keeps_no_other_from_being_used(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(mock)) as gateway:
        supply(gateway, of(None, "no key\nat all"), of("red", "nor this"), of("blue", BLUE))
        assert await used(gateway, mock, CALLERS["blue"]) == BLUE
        assert await used(gateway, mock, LONE) == SHARED
        assert await used(gateway, mock, CALLERS["red"]) is None


async def test_a_teams_trouble_is_its_own(portico: Portico, mock: MockProvider) -> None:
    settings = config(mock) | {"breaker": {"failures": 1, "rest": 60}}
    async with portico(settings) as gateway:
        supply(gateway, of("red", RED), of("blue", BLUE))
        mock.script("status=500")
        assert (await gateway.call("/v1/chat/completions", chat(), key=CALLERS["red"]))[0] == 500
        everybody = gateway.gateway.snapshot
        name = "openai/gpt-4o-mini"
        views = {team: everybody.of(team).upstreams["openai"].healths(name) for team in CALLERS}
        assert views["red"].resting
        assert not views["blue"].resting
        assert not views["grey"].resting
        assert views["grey"] is everybody.upstreams["openai"].healths(name)


async def test_a_key_that_rests_goes_on_resting_when_other_keys_change(portico: Portico, mock: MockProvider) -> None:
    second = StoredKey("openai", "cred-second", "sk-upstream-of-the-red-team-09", "red")
    async with portico(config(mock)) as gateway:
        supply(gateway, of("red", RED), second)
        mock.script("status=401")
        assert await used(gateway, mock, CALLERS["red"]) == second.secret
        supply(gateway, of("red", RED), second, of("blue", BLUE))
        assert [await used(gateway, mock, CALLERS["red"]) for _ in range(3)] == [second.secret] * 3


async def test_what_a_key_made_goes_back_to_it(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(mock)) as gateway:
        client = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=CALLERS["red"], max_retries=0)
        async with client:
            before = await client.files.create(file=("a.jsonl", LINES), purpose="batch")
            supply(gateway, of("red", RED))
            after = await client.files.create(file=("b.jsonl", LINES), purpose="batch")
            for file, key in ((before, SHARED), (after, RED)):
                assert (await client.files.retrieve(file.id)).id == file.id
                assert mock.ledger.last.key == key
            assert {one.id for one in (await client.files.list()).data} == {before.id, after.id}
            supply(gateway)
            assert (await gateway.call(f"/v1/files/{after.id}", method="GET", key=CALLERS["red"]))[0] == 404
            assert (await client.files.retrieve(before.id)).id == before.id


@pytest.mark.source
async def test_the_snapshot_of_many_teams_is_bounded(
    portico: Portico, mock: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portico.snapshot.TEAMS", 8)
    monkeypatch.setattr(team_keys, "TEAMS", 8)
    async with portico(config(mock)) as gateway:
        supply(gateway, *(of(f"team-{number}", f"sk-upstream-of-team-{number:04}") for number in range(100)))
        gateway.gateway._look_again()
        everybody = gateway.gateway.snapshot
        for number in range(100):
            own = everybody.of(f"team-{number}")
            for model in range(300):
                (target,) = own.routes.targets(f"openai/model-{model}", "chat", lambda: 0.0)
                assert target.upstream.keyring.credentials[0].id == f"openai#cred-team-{number}"
            assert len(own.routes._known) <= team_keys.NAMES
            assert len(own.upstreams["openai"]._targets) <= team_keys.NAMES
        assert len(everybody._of_teams) == 8
        assert len(gateway.gateway.healths.parts) == 8


async def test_a_team_takes_a_few_kilobytes(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(mock)) as gateway:
        supply(gateway, *(of(f"team-{number}", f"sk-upstream-of-team-{number:04}") for number in range(101)))
        gateway.gateway._look_again()
        everybody = gateway.gateway.snapshot
        everybody.of("team-0").routes.targets("openai/gpt-4o-mini", "chat", lambda: 0.0)
        tracemalloc.start()
        for number in range(1, 101):
            everybody.of(f"team-{number}").routes.targets("openai/gpt-4o-mini", "chat", lambda: 0.0)
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert taken / 100 < 16_384

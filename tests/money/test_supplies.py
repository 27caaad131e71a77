"""Prices and keys of providers that are set over the API are in force for the next call of every worker."""

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from money.callers import call, question
from money.house import UPSTREAM, House, house, until
from portico.testing.running import PATIENCE

MASTER = "sk-master-of-the-house"
FIRST, SECOND = "sk-stored-upstream-0000001", "sk-stored-upstream-0000002"


async def api(home: House, method: str, path: str, body: Any = None) -> Any:
    """Use the admin API; return what it answers."""
    status, _, told = await asyncio.to_thread(home.portico.request, method, f"/api/v1/{path}", body, key=MASTER)
    assert status < 300, told
    return json.loads(told) if told else None


async def costs(home: House, first: int, count: int = 6, key: str = MASTER) -> set[int | None]:
    """Make calls, on as many connections, and return what they cost."""
    for number in range(first, first + count):
        said = await call(home.address, key, number, question(number, "first/plain", most=9, stream=False))
        assert said.status == 200, said
    await home.settled()
    found = [record for record in home.records() if any(f"n:{n}" in record.tags for n in range(first, first + count))]
    assert len(found) == count
    return {None if one.usage is None else one.cost_nano_usd for one in found}


def keys_used(home: House, first: int) -> set[str | None]:
    """Return the keys that the provider was called with from this call on."""
    return {entry.key for number, entries in home.served().items() if number >= first for entry in entries}


async def test_a_price_set_over_the_api_counts_from_the_next_call_on_by_its_date(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2, prices={}) as home:
        assert await costs(home, 0) == {None}, "nobody has said what this model costs"
        price = {"model": "first/plain", "since": "2020-01-01T00:00:00Z", "input": 20, "output": 80}
        await api(home, "POST", "prices", price)
        (known,) = await costs(home, 100)
        assert known is not None
        dearer = {**price, "since": "2021-01-01T00:00:00Z", "input": 2000, "output": 8000}
        made = await api(home, "POST", "prices", dearer)
        assert await costs(home, 200) == {100 * known}
        await api(home, "POST", "prices", {**price, "since": "2999-01-01T00:00:00Z", "input": 1, "output": 1})
        assert await costs(home, 300) == {100 * known}
        await api(home, "DELETE", f"prices/{made['id']}")
        assert await costs(home, 400) == {known}


async def test_a_key_of_a_provider_is_used_renewed_and_left_without_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2) as home:
        workers = home.portico.workers()
        await costs(home, 0)
        assert keys_used(home, 0) == {UPSTREAM}
        made = await api(home, "POST", "credentials", {"provider": "first", "secret": FIRST})
        await costs(home, 100, 12)
        assert keys_used(home, 100) == {UPSTREAM, FIRST}
        await api(home, "PUT", f"credentials/{made['id']}/secret", {"secret": SECOND})
        await costs(home, 200, 12)
        assert keys_used(home, 200) == {UPSTREAM, SECOND}
        await api(home, "PATCH", f"credentials/{made['id']}", {"blocked": True})
        await costs(home, 300, 12)
        assert keys_used(home, 300) == {UPSTREAM}
        assert home.portico.workers() == workers
        for path in home.data_dir.rglob("*"):
            if path.is_file() and path.stat().st_size < 64 << 20:
                content = path.read_bytes()
                assert not any(secret.encode() in content for secret in (FIRST, SECOND)), path


async def test_a_teams_own_key_serves_its_calls_in_every_worker_and_no_others(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2) as home:
        workers = home.portico.workers()
        await api(home, "POST", "teams", {"id": "core"})
        mine = (await api(home, "POST", "keys", {"team": "core"}))["key"]
        await costs(home, 0, key=mine)
        assert keys_used(home, 0) == {UPSTREAM}
        made = await api(home, "POST", "credentials", {"provider": "first", "team": "core", "secret": FIRST})
        await costs(home, 100, 12, mine)
        assert keys_used(home, 100) == {FIRST}
        await costs(home, 200, 12)
        assert keys_used(home, 200) == {UPSTREAM}
        await api(home, "PUT", f"credentials/{made['id']}/secret", {"secret": SECOND})
        await costs(home, 300, 12, mine)
        assert keys_used(home, 300) == {SECOND}
        await api(home, "DELETE", f"credentials/{made['id']}")
        await costs(home, 400, 12, mine)
        assert keys_used(home, 400) == {UPSTREAM}
        assert home.portico.workers() == workers


async def test_a_budget_that_is_passed_is_an_event_that_the_api_lists(tmp_path: Path) -> None:
    keys = {"bob": {"key": "sk-caller-bob-00000001", "budgets": [{"requests": 4, "per": "day", "alerts": [50, 100]}]}}
    told = asyncio.Queue[Any]()

    async def hook(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        told.put_nowait(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(hook, "127.0.0.1", 0)
    webhook = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server, house(tmp_path, workers=1, keys=keys, alerts={"webhook": webhook}) as home:
        await api(home, "GET", "events")
        await until(lambda: marked(home), "what is sent on is noted")
        for number in range(4):
            body = question(number, "first/plain", most=9, stream=False)
            assert (await call(home.address, keys["bob"]["key"], number, body)).status == 200
        refused = await call(home.address, keys["bob"]["key"], 4, question(4, "first/plain", most=9, stream=False))
        message = json.loads(refused.body)["error"]["message"]
        assert "of key 'bob' is used up" in message
        assert "its window ends at" in message
        found: list[Any] = []
        for _ in range(400):
            found = (await api(home, "GET", "events"))["items"]
            if len(found) == 2:
                break
            await asyncio.sleep(0.05)
        assert [(one["name"], one["about"]["percent"], one["about"]["row"]) for one in found] == [
            ("budget.passed", 100, "key:bob"),
            ("budget.passed", 50, "key:bob"),
        ]
        async with asyncio.timeout(PATIENCE):
            assert [(await told.get())["about"]["percent"] for _ in range(2)] == [50, 100]


def marked(home: House) -> bool:
    """Say whether control knows from where on events are to be sent."""
    with contextlib.closing(sqlite3.connect(home.data_dir / "portico.db")) as store:
        return bool(store.execute("select count(*) from marks where name = 'alerts sent'").fetchone()[0])

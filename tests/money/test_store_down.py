"""The store stopped under load: no call notices, no record is lost or doubled, and it catches up when it is back.

docs/explanation/what-can-break.md has a line for this.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from money.house import House, charged, house, until
from money.test_crash import DECLARED, Load, hold
from portico.store import rollups
from portico.store.engine import make_engine
from postgresql import Cluster
from postgresql import postgres as postgres  # the fixture


@pytest.fixture
def own_cluster(postgres: Cluster) -> Iterator[Cluster]:
    """The cluster, for a test that stops it."""
    yield postgres
    if postgres.stopped:
        postgres.start()


def in_store(url: str) -> list[str]:
    """Return the ids of all calls in the store, as often as they are there."""
    with psycopg.connect(url) as store:
        return [row[0] for row in store.execute("SELECT id FROM calls")]


def begun(url: str) -> bool:
    """Whether the store has some calls."""
    with psycopg.connect(url) as store:
        found = store.execute("SELECT to_regclass('calls')").fetchone()
        if found == (None,):
            return False
        counted = store.execute("SELECT count(*) > 20 FROM calls").fetchone()
    return counted == (True,)


def adds_up(home: House, url: str) -> None:
    """Check that the store has every record once, and that its sums are those of the records."""
    records = home.records()
    assert Counter(in_store(url)) == Counter(record.id for record in records)
    engine = make_engine(url)
    with engine.connect() as connection:
        total = rollups.total(connection, 0, int(time.time()) + 3_600)
        keys = rollups.by(connection, "key", 0, int(time.time()) + 3_600)
    engine.dispose()
    assert total["requests"] == len(records)
    assert total["cost_nano_usd"] == sum(record.cost_nano_usd or 0 for record in records)
    assert {share.value: share.amounts["requests"] for share in keys} == Counter(record.key for record in records)


async def outage(
    directory: Path, cluster: Cluster, seconds: float, killing: tuple[str, ...], seed: int, callers: int = 12
) -> None:
    """Stop the store for so many seconds under load, kill somebody at each of equal parts of them; then look."""
    chance = random.Random(seed)
    url = cluster.database()
    async with house(directory, workers=2, seed=seed, environ={"PORTICO_STORE_URL": url}, **DECLARED) as home:
        home.mock.script.sometimes("status=503", 7, "flaky")
        # A new machine asks the store first what budgets have counted; calls under them wait for that.
        await until(lambda: home.portico.request("GET", "/readyz")[0] == 200, "the store has been asked")
        load = Load(home, callers, seed)
        load.start()
        await until(lambda: begun(url), "the store takes calls")
        await asyncio.to_thread(cluster.stop)
        down = time.monotonic()
        before = len(load.said)
        for who in killing:
            await asyncio.sleep(seconds / (len(killing) + 1))
            pid = home.portico.control() if who == "control" else chance.choice(home.portico.workers())
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(max(0.0, down + seconds - time.monotonic()))
        during = load.said[before:]
        assert {said.error for said in during if said.status >= 400 and said.whole} <= {"upstream_error"}, (
            "a call noticed"
        )
        await until(lambda: sum(said.status == 200 for said in load.said[before:]) > callers, "calls are served")
        await asyncio.to_thread(home.portico.errors.wait_for, "the journal waits, the store cannot be written to")
        waited = len(home.records())
        await asyncio.to_thread(cluster.start)
        up = time.monotonic()
        await load.stop()
        await home.settled()
        hold(home, load)
        ids = {record.id for record in home.records()}
        await until(lambda: len(in_store(url)) >= len(ids), "the store catches up", patience=90)
        print(
            f"\n{up - down:.1f} s without a store, {len(during)} calls in them, {waited} records waited or were in;"
            f" caught up {time.monotonic() - up:.1f} s after"
        )
        adds_up(home, url)
        assert sum(charged(record) for record in home.records()) > 0
        await home.stop()
        adds_up(home, url)


async def test_with_the_store_down_calls_go_on_and_their_records_wait_for_it(
    tmp_path: Path, own_cluster: Cluster
) -> None:
    await outage(tmp_path, own_cluster, 1.5, ("a worker",), seed=1)


@pytest.mark.prove
@pytest.mark.timeout(600)
async def test_with_the_store_down_for_a_minute_nothing_is_lost_or_doubled(
    tmp_path: Path, own_cluster: Cluster
) -> None:
    await outage(tmp_path, own_cluster, 60.0, ("a worker", "control", "a worker", "control"), seed=2)

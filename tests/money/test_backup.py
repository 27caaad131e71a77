"""A backup made under load and restored elsewhere: each call that had ended has one record there, and budgets stand.

docs/how-to/back-up-and-upgrade.md tells how.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from money.callers import call, question
from money.house import House, charged, house, until
from money.test_crash import DECLARED, FREE, KEYS, ROWS, Load, ingested
from money.test_store_down import begun, in_store
from postgresql import Cluster, programs
from postgresql import postgres as postgres  # the fixture

MASTER = {"authorization": "Bearer sk-master-of-the-house"}


def portico(*words: object, **environ: str) -> str:
    """Run the command line, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "portico", *map(str, words)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_key(home: House) -> str:
    """Make a key in the store; return its secret."""
    body = json.dumps({"team": "red", "name": "made here"}).encode()
    headers = {**MASTER, "content-type": "application/json"}
    status, _, answer = home.portico.request("POST", "/api/v1/keys", body, headers)
    assert status == 201, answer
    found: str = json.loads(answer)["key"]
    return found


async def restored(
    directory: Path, home: House, environ: dict[str, str], before: set[str], secret: str, url: str | None
) -> None:
    """Start what was restored, and check what is in it."""
    again = House(directory, home.mock, home.config, 2)
    again.environ.update(environ)
    await again.start()
    try:
        await until(lambda: again.portico.request("GET", "/readyz")[0] == 200, "budgets are counted again")
        records = again.records()
        ids = Counter(record.id for record in records)
        assert before <= ids.keys()
        assert set(ids.values()) == {1}
        booked = Counter[str]()
        for record in records:
            booked[f"key:{record.key}"] += charged(record)
            booked["team:red"] += charged(record) if record.key != FREE else 0
        used = [counter for counter in again.counters(ROWS).values() if not counter.rule_id.endswith("in_flight")]
        assert len(used) == len(ROWS)
        for counter in used:
            assert (counter.used, counter.reserved) == (booked[counter.row], 0)
        body = question(900_000, "first/plain", most=16, stream=False)
        for key in (secret, KEYS["key-1"]):
            said = await call(again.address, key, 900_000, body)
            assert said.status == 200, said
        if url is not None:
            await until(lambda: len(in_store(url)) == len(records) + 2, "the store has caught up")
            assert set(Counter(in_store(url)).values()) == {1}
    finally:
        await again.stop()
    if url is None:
        ingested(again)


async def test_a_backup_under_load_has_every_call_that_had_ended_once(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    async with house(tmp_path / "first", workers=2, seed=3, **DECLARED) as home:
        secret = make_key(home)
        load = Load(home, 12, seed=3)
        load.start()
        await until(lambda: len(load.said) > 150, "calls are made")
        before = {record.id for record in home.records()}
        began = len(load.said)
        said = await asyncio.to_thread(portico, "backup", tmp_path / "copy", "--data-dir", home.data_dir)
        assert "the store, " in said
        await until(lambda: len(load.said) > began + 20, "calls go on")
        await load.stop()
        assert len(before) > 100
        assert {said.status for said in load.said} <= {200, 502, 503, 0}
        (tmp_path / "second").mkdir()
        data_dir = tmp_path / "second" / "data"
        assert "and the store" in portico("restore", tmp_path / "copy", "--data-dir", data_dir)
        await restored(tmp_path / "second", home, {}, before, secret, None)


async def test_a_store_on_postgresql_is_backed_up_while_the_journal_is_held(tmp_path: Path, postgres: Cluster) -> None:
    bin_ = programs()
    assert bin_ is not None
    if not (bin_ / "pg_dump").exists():
        pytest.skip("pg_dump is not installed: a backup of PostgreSQL is not tested")
    url, second = postgres.database(), postgres.database()
    environ = {"PORTICO_STORE_URL": url}
    (tmp_path / "first").mkdir()
    async with house(tmp_path / "first", workers=2, seed=4, environ=environ, **DECLARED) as home:
        await until(lambda: home.portico.request("GET", "/readyz")[0] == 200, "the store has been asked")
        secret = make_key(home)
        load = Load(home, 12, seed=4)
        load.start()
        await until(lambda: begun(url), "the store has calls")
        before = {record.id for record in home.records()}
        dump = f'{bin_}/pg_dump --format=custom --file=portico.dump "$PORTICO_STORE_URL"'
        backup = ("backup", tmp_path / "copy", "--data-dir", home.data_dir, "--store-with", dump)
        await asyncio.to_thread(portico, *backup, **environ)
        await load.stop()
        command = [bin_ / "pg_restore", "--dbname", second, tmp_path / "copy" / "portico.dump"]
        await asyncio.to_thread(subprocess.run, command, check=True)
        (tmp_path / "second").mkdir()
        portico("restore", tmp_path / "copy", "--data-dir", tmp_path / "second" / "data")
        await restored(tmp_path / "second", home, {"PORTICO_STORE_URL": second}, before, secret, second)
        with psycopg.connect(second) as store:
            assert store.execute("SELECT count(*) FROM keys").fetchone() == (1,)

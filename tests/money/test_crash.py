"""Processes killed at any moment under load: each call that reached its provider has one record, and no money is lost.

Where a record says that its usage was reported, it has what the provider's own ledger has; otherwise budgets hold at
least what was served.
"""

import asyncio
import os
import random
import signal
import sqlite3
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from money.callers import Said, call, question
from money.house import House, billed, charged, house, number_of
from portico.control.ingest import Ingest

KEYS = {f"key-{number}": f"sk-caller-{number:04d}" for number in range(4)}
PLENTY = {"budgets": [{"usd": 1000}], "limits": [{"in_flight": 500}]}
FREE = "free"
"""A key of which no rule counts anything: its calls are in no books, and on record all the same."""
SECRETS = {**KEYS, FREE: "sk-caller-free"}
DECLARED: dict[str, Any] = {
    "keys": {FREE: {"key": SECRETS[FREE]}, **{name: {"key": KEYS[name], "team": "red", **PLENTY} for name in KEYS}},
    "teams": {"red": PLENTY},
}
ROWS = (*(f"key:{name}" for name in KEYS), "team:red")
WAYS = ("a worker", "a worker", "two workers", "control", "the supervisor", "all at once")


class Load:
    """Callers that go on calling until they are told to stop, whatever becomes of their calls."""

    def __init__(self, home: House, callers: int, seed: int) -> None:
        self.home = home
        self.said: list[Said] = []
        self.keys: dict[int, str] = {}
        self._number = 0
        self._stopped = True
        self._callers = [random.Random(f"{seed} {number}") for number in range(callers)]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._stopped = False
        self._tasks = [asyncio.create_task(self._go_on(own)) for own in self._callers]

    async def stop(self) -> None:
        self._stopped = True
        for task in self._tasks:
            await task

    async def _go_on(self, own: random.Random) -> None:
        while not self._stopped:
            number = self._number = self._number + 1
            key = self.keys[number] = own.choice(tuple(SECRETS))
            stream = own.random() < 0.6
            told = f"tokens={own.randrange(1, 60)} pace={own.choice((0, 0.001, 0.01))} latency={own.choice((0, 0.03))}"
            model = own.choice(("smart", "first/plain", "second/other"))
            body = question(number, model, most=50, stream=stream, said=told)
            leave = own.randrange(300, 3000) if stream and own.random() < 0.1 else None
            said = await call(self.home.address, SECRETS[key], number, body, leave_after=leave)
            self.said.append(said)
            if said.status == 0:
                await asyncio.sleep(0.02)  # nobody listens: a caller of any patience


async def kill(home: House, way: str, chance: random.Random) -> None:
    """Kill somebody, and start again what does not start itself."""
    await asyncio.sleep(chance.uniform(0.02, 0.5))
    workers, control = home.portico.workers(), home.portico.control()
    if way == "all at once":
        await home.kill_all()
        await home.start()
    elif way == "the supervisor":
        await home.kill()
        await home.start()
    else:
        chosen = {"a worker": workers[:1], "two workers": workers[:2], "control": [control]}[way]
        for pid in chosen:
            if pid is not None:
                os.kill(pid, signal.SIGKILL)


def hold(home: House, load: Load) -> Counter[str]:
    """Check what must be so whenever nothing is under way; return how calls ended."""
    records = home.records()
    doubled = [id_ for id_, times in Counter(record.id for record in records).items() if times > 1]
    assert not doubled, f"recorded more than once: {doubled}"
    by_number = {number_of(record): record for record in records}
    assert len(by_number) == len(records)
    spent: dict[str, int] = defaultdict(int)
    for number, entries in home.served().items():
        assert number in by_number, f"call {number} has no record, and reached the provider: {entries}"
        record = by_number[number]
        if record.key != FREE:  # nothing is reserved for that one, and what it cost may be unknown
            spent[f"key:{record.key}"] += billed(entries)
            spent["team:red"] += billed(entries)
            assert billed(entries) <= charged(record), (record, entries)
        if record.basis == "reported" and len(entries) == 1:
            assert record.cost_nano_usd == billed(entries), (record, entries)
    booked: dict[str, int] = defaultdict(int)
    for record in records:
        if record.key != FREE:
            booked[f"key:{record.key}"] += charged(record)
            booked["team:red"] += charged(record)
    for rule, counter in home.counters(ROWS).items():
        assert counter.reserved == 0, counter
        if rule.endswith("in_flight"):
            assert counter.used == 0, counter
        else:
            assert counter.used == booked[counter.row], f"{counter}: the records say {booked[counter.row]}"
            assert counter.used >= spent[counter.row]
    for said in load.said:
        if said.status == 200 and said.whole:
            assert by_number[said.number].end in ("served", "failed", "cut"), by_number[said.number]
    return Counter(f"{record.end}, {record.basis}" for record in records)


def ingested(home: House) -> None:
    """Check that the store has every record of the journal, once."""
    reading = Ingest(home.data_dir)
    while reading.turn():
        pass
    reading.turn()
    reading.stop()
    with sqlite3.connect(home.data_dir / "portico.db") as store:
        rows = [row[0] for row in store.execute("select id from calls")]
    store.close()
    assert Counter(rows) == Counter(record.id for record in home.records())


async def rounds(directory: Path, count: int, seed: int, callers: int = 24) -> None:
    chance = random.Random(seed)
    async with house(directory, workers=2, seed=seed, **DECLARED) as home:
        home.mock.script.sometimes("status=503", 7, "flaky")
        home.mock.script.sometimes("fault=cut-before-head", 11, "flaky")
        home.mock.script.sometimes("fault=cut-mid-stream&at=4", 15)
        load = Load(home, callers, seed)
        ends: Counter[str] = Counter()
        for turn in range(count):
            way = WAYS[turn % len(WAYS)] if turn < len(WAYS) else chance.choice(WAYS)
            load.start()
            await kill(home, way, chance)
            await asyncio.sleep(chance.uniform(0.0, 0.3))
            await load.stop()
            await home.settled()
            try:
                ends = hold(home, load)
            except AssertionError as error:
                error.add_note(f"after round {turn}, which killed {way}")
                raise
        print(f"\n{count} rounds, {len(load.said)} calls: {dict(ends)}")
        assert ends["aborted, assumed"], "nobody was killed with a call under way"
        await home.stop()
        ingested(home)


async def test_each_call_has_one_record_whoever_is_killed(tmp_path: Path) -> None:
    await rounds(tmp_path, 6, seed=1)


@pytest.mark.prove
@pytest.mark.timeout(3600)
async def test_each_call_has_one_record_after_two_hundred_kills(tmp_path: Path) -> None:
    await rounds(tmp_path, int(os.environ.get("ROUNDS", "200")), seed=2)

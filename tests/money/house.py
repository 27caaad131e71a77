"""A whole Portico and its provider, and what both have in their books: records, counters, permits, the ledger."""

import asyncio
import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from portico.config.schema import Price
from portico.journal.entries import Kind, decode_record
from portico.journal.reader import Tally, read
from portico.journal.segments import segments
from portico.record import Record
from portico.state.contract import Counter
from portico.state.flights import left_behind
from portico.state.ledger import Ledger
from portico.state.owner import ID_BYTES
from portico.testing.ledger import Entry, cost
from portico.testing.mock import MockProvider
from portico.testing.running import PATIENCE, RunningPortico, alive, start_portico

PRICE = Price(input=20.0, output=80.0)
"""Dollars per million tokens: a call of some sizes costs a tenth of a cent to a cent, and reserves two."""
UPSTREAM = "sk-upstream-of-the-house"
_NUMBER = re.compile(rb"n=(\d+)\.")


def configuration(mock: MockProvider, **more: Any) -> dict[str, Any]:
    """Return the configuration of a Portico before the mock, at the mock's own price, `smart` with a fall-back."""
    url = f"{mock.url}/v1"
    prices = {f"{provider}/{model}": {"input": PRICE.input, "output": PRICE.output} for provider, model in TARGETS}
    return {
        "providers": {
            "first": {"like": "openai", "base_url": url, "api_key": UPSTREAM, "models": ["plain", "flaky"]},
            "second": {"like": "anthropic", "base_url": url, "api_key": UPSTREAM, "models": ["other"]},
        },
        "models": {"smart": {"targets": ["first/flaky", "second/other", "first/plain"]}},
        "prices": prices,
        "retries": {"attempts": 2},
        "logs": {"calls": "none"},
        **more,
        "server": {"state_size": "16MB", "master_key": "sk-master-of-the-house", **more.get("server", {})},
    }


TARGETS = (("first", "plain"), ("first", "flaky"), ("second", "other"))


class House:
    """A Portico in a directory of its own, which may die and be started again there, and its provider."""

    def __init__(self, directory: Path, mock: MockProvider, config: Mapping[str, Any], workers: int) -> None:
        self.directory = directory
        self.mock = mock
        self.config = config
        self.workers = workers
        self.data_dir = directory / "data"
        self.portico: RunningPortico
        self.address = ("127.0.0.1", 0)
        """Where it listens, or did while it lived."""
        self.environ: dict[str, str] = {}

    async def start(self) -> None:
        """Start the processes, and wait until all workers serve."""
        arguments = ("--workers", str(self.workers))
        self.portico = start_portico(self.directory, self.config, arguments, self.environ)
        banner = await asyncio.to_thread(self.portico.errors.wait_for, "serves at")
        self.portico.url = banner.rpartition(" ")[2]
        self.address = self.portico.address

    async def kill(self) -> None:
        """Kill the supervisor alone, and wait until all of its processes are gone."""
        children = [*self.portico.workers(), *filter(None, [self.portico.control()])]
        self.portico.process.kill()
        await asyncio.to_thread(self.portico.wait)
        await until(lambda: not any(alive(pid) for pid in children), "the processes of a dead supervisor leave")

    async def kill_all(self) -> None:
        """Kill every process at once."""
        for pid in [*self.portico.workers(), *filter(None, [self.portico.control()]), self.portico.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        await self.kill()

    async def stop(self) -> None:
        """End in an orderly way."""
        await asyncio.to_thread(self.portico.end)

    async def settled(self) -> None:
        """Wait until no call is under way in the books, and no dead owner is left to be cleared up after."""
        await until(
            # In this order: what a dead owner's permits came to is written before its file goes.
            lambda: self.permits() == 0 and len(self.owners()) == len(self.portico.workers()) == self.workers,
            lambda: f"{self.permits()} permits are open, {self.owners()} are alive or not buried",
        )

    def owners(self) -> list[str]:
        """Return the owners that have a file."""
        return [path.name for path in (self.data_dir / "state" / "owners").iterdir() if len(path.name) == 2 * ID_BYTES]

    def _ledger(self) -> Ledger:
        found = Ledger.visit(self.data_dir / "state" / "money")
        assert found is not None
        return found

    def permits(self) -> int:
        """Return how many calls are under way: those that rules count, and the others."""
        ledger = self._ledger()
        flights = self.data_dir / "state" / "flights"
        try:
            others = sum(
                len(list(left_behind(path, ledger.tag))) for path in (flights.iterdir() if flights.is_dir() else ())
            )
            return ledger.permits() + others
        finally:
            ledger.close()

    def counters(self, rows: Iterable[str]) -> dict[str, Counter]:
        """Return the counters of these rows, by the rule's id."""
        from portico.state.clock import moment

        ledger = self._ledger()
        try:
            return {counter.rule_id: counter for counter in ledger.counters(list(rows), moment())}
        finally:
            ledger.close()

    def records(self) -> list[Record]:
        """Return every record that stands in the journal, as often as it stands there."""
        return list(records_in(self.data_dir / "journal"))

    def served(self) -> dict[int, list[Entry]]:
        """Return what the mock was asked, by the number of the call."""
        found: dict[int, list[Entry]] = defaultdict(list)
        for entry in self.mock.ledger.entries:
            match = _NUMBER.search(entry.body)
            assert match is not None, entry.body
            found[int(match[1])].append(entry)
        return found


def records_in(journal: Path, tally: Tally | None = None) -> Iterable[Record]:
    """Yield all records of a journal."""
    for segment in segments(str(journal)):
        if Path(segment.path).stat().st_size:
            for _, entry in read(segment.path, 0, tally):
                if entry.kind == Kind.RECORD:
                    yield decode_record(entry.payload)


def number_of(record: Record) -> int:
    """Return the number that a call's caller gave it."""
    return next(int(tag[2:]) for tag in record.tags if tag.startswith("n:"))


def billed(entries: Iterable[Entry]) -> int:
    """Return what the mock has served for these, in nano-dollars; of what is still open, what has gone out."""
    return sum(entry.cost if entry.cost is not None else cost(PRICE, entry.usage) for entry in entries)


def charged(record: Record) -> int:
    """Return what a call was charged in its budgets, by its record alone."""
    assumed = sum(attempt.assumed_nano_usd or 0 for attempt in record.attempts)
    if record.cost_nano_usd is not None:
        return record.cost_nano_usd + assumed
    return assumed + (record.bound_nano_usd or 0 if record.basis == "unknown" else 0)


async def until(condition: Callable[[], Any], what: str | Callable[[], str], patience: float = PATIENCE) -> None:
    """Wait for what must come to be."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"still not so: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(0.02)


@asynccontextmanager
async def house(
    directory: Path, *, workers: int = 4, seed: int = 0, environ: Mapping[str, str] | None = None, **config: Any
) -> AsyncIterator[House]:
    """Run a Portico and its provider until the block ends."""
    async with MockProvider(price=PRICE, seed=seed, keep=200_000) as mock:
        found = House(directory, mock, configuration(mock, **config), workers)
        found.environ.update(environ or {})
        try:
            await found.start()
            yield found
        finally:
            await found.stop()

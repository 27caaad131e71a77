"""What workers measure is told to who asks, and put together; a worker that is not there is left out."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portico.measures import FOLDER, Seen, seen, tell
from portico.upstream.health import Healths


def measured(first: float, whole: float, in_flight: int = 0) -> Healths:
    healths = Healths()
    health = healths("p/m")
    health.answered(1.0, first, 1, streamed=True)
    health.answered(1.0, whole, 1, streamed=False)
    health.spoke(1.0, first / 10, 1)
    health.in_flight = in_flight
    return healths


@contextlib.asynccontextmanager
async def telling(folder: Path, *workers: Healths) -> AsyncIterator[None]:
    servers = [await tell(folder, slot, healths) for slot, healths in enumerate(workers)]
    try:
        yield
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


async def test_what_all_workers_measure_is_put_together(tmp_path: Path) -> None:
    silent = Healths()
    silent("p/m").in_flight = 1
    async with telling(tmp_path, measured(0.2, 2.0, 3), measured(0.4, 4.0), silent):
        found = await asyncio.to_thread(seen, tmp_path)
    told = found.of(None, None)("p/m")
    assert (found.workers, told.workers, told.in_flight) == (3, 3, 4)
    assert told.first_token == pytest.approx([0, 0.3, 0, 0])
    assert told.whole == pytest.approx([0, 3.0, 0, 0])
    assert told.per_token == pytest.approx([0, 0.03, 0, 0])
    assert found.of(None, None)("p/another").workers == 0


async def test_what_rests_for_one_rests_and_failures_are_the_mean(tmp_path: Path) -> None:
    down, up = Healths(), measured(0.2, 2.0)
    for _ in range(5):
        down("p/m").failed(down.clock())
    async with telling(tmp_path, down, up):
        told = (await asyncio.to_thread(seen, tmp_path)).of(None, None)("p/m")
    assert told.resting
    assert told.failure_rate == 0.5


async def test_a_team_with_keys_of_its_own_has_measures_of_its_own(tmp_path: Path) -> None:
    healths = measured(0.2, 2.0)
    healths.part("core", 8, 8)("p/m").answered(1.0, 0.9, 0, streamed=True)
    async with telling(tmp_path, healths):
        found = await asyncio.to_thread(seen, tmp_path)
    assert found.of("core", {"p"})("p/m").first_token[0] == 0.9
    assert found.of("core", {"another"})("p/m").first_token[1] == 0.2
    assert found.of(None, None)("p/m").first_token[1] == 0.2


async def test_workers_that_died_and_what_is_no_worker_are_left_out(tmp_path: Path) -> None:
    async with telling(tmp_path, measured(0.2, 2.0)):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / FOLDER / "7.sock"))
        (tmp_path / FOLDER / "8.sock").write_text("no socket at all")
        assert (await asyncio.to_thread(seen, tmp_path)).workers == 1
    assert (await asyncio.to_thread(seen, tmp_path)).workers == 0
    assert seen(tmp_path / "nothing").workers == 0
    assert Seen().of("t", {"p"})("p/m").workers == 0


async def test_a_worker_takes_the_place_of_one_that_died_in_a_folder_of_any_length(tmp_path: Path) -> None:
    deep = tmp_path / ("a-long-name-" * 10)
    deep.mkdir()
    for first in (0.2, 0.3):
        async with telling(deep, measured(first, 2.0)):
            told = (await asyncio.to_thread(seen, deep)).of(None, None)("p/m")
            assert told.first_token[1] == first

"""Objects at providers: whose they are, durably, for their own tenant only."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.state.desk import Desk

from portico.state.contract import Owned
from portico.state.objects import Objects

FILE = Owned("file-1", "file", "team:core", "openai/*", "OPENAI_API_KEY", 1_750_000_000.25, b"about")


async def test_an_object_is_found_by_its_id_at_once_and_once_it_is_on_disk(desk: Desk) -> None:
    written = desk.state.own(FILE)
    assert desk.state.owned("file-1") == FILE
    await written
    assert desk.state.owned("file-1") == FILE
    assert desk.state.owned("file-2") is None


async def test_an_object_may_change_and_be_forgotten(desk: Desk) -> None:
    await desk.state.own(FILE)
    moved = msgspec.structs.replace(FILE, created=FILE.created + 5, tenant="team:other")
    await desk.state.own(moved)
    assert desk.state.owned_by("team:core", "file") == []
    assert desk.state.owned_by("team:other", "file") == [moved]
    gone = desk.state.disown("file-1")
    assert desk.state.owned("file-1") is None
    await gone
    assert desk.state.owned("file-1") is None
    assert desk.state.owned_by("team:other", "file") == []
    await desk.state.disown("file-1")


async def test_a_tenant_sees_its_own_newest_first_and_page_by_page(desk: Desk) -> None:
    mine = [msgspec.structs.replace(FILE, id=f"file-{n:03}", created=float(n // 2)) for n in range(50)]
    others = [msgspec.structs.replace(FILE, id=f"batch-{n}", kind="batch", created=float(n)) for n in range(20)] + [
        msgspec.structs.replace(FILE, id=f"theirs-{n}", tenant="team:cor", created=float(n)) for n in range(20)
    ]
    await asyncio.gather(*(desk.state.own(thing) for thing in mine + others))
    pages: list[Owned] = []
    while page := desk.state.owned_by("team:core", "file", pages[-1].id if pages else "", 7):
        assert len(page) <= 7
        pages += page
    assert pages == mine[::-1]
    assert desk.state.owned_by("team:core", "file", "nobody's") == []


@pytest.mark.parametrize("name", ["", "x" * 5_000, "ü/\x00\ud800"])
async def test_ids_may_be_odd(desk: Desk, name: str) -> None:
    await desk.state.own(msgspec.structs.replace(FILE, id=name.replace("\ud800", "?")))
    found = desk.state.owned(name.replace("\ud800", "?"))
    assert found is not None
    assert desk.state.owned(name + "!") is None


async def test_objects_outlive_the_state_and_the_boot(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    await asyncio.gather(*(objects.own(msgspec.structs.replace(FILE, id=f"file-{n}")) for n in range(100)))
    objects.close()
    objects = Objects(tmp_path)
    assert objects.owned("file-99") is not None
    assert len(objects.owned_by("team:core", "file", limit=1_000)) == 100
    objects.close()

"""Whose objects are, and streams that wait until that is on disk."""

import asyncio
from collections.abc import Sequence

import pytest

from portico.dialects.objects import THINGS, Page
from portico.errors import NotFound, StateFull
from portico.rules import Holder
from portico.stages.own import Announced, held, id_of, listed, remember, tenant_of
from portico.state.memory import MemoryState

OPENING = (
    b'event: response.created\ndata: {"type":"response.created","response":{"object":"response","id":"resp_1"}}\n\n'
)
REST = b'event: response.completed\ndata: {"type":"response.completed"}\n\n'
ALICE, BOB = Holder("a", "alice", team="core"), Holder("b", "bob")


def cut(stream: bytes, size: int) -> list[bytes]:
    return [stream[at : at + size] for at in range(0, len(stream), size)] if size else [stream]


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
async def test_a_stream_waits_for_its_id_to_be_remembered_and_loses_nothing(size: int, ends: bytes) -> None:
    stream = (OPENING + REST).replace(b"\n", ends)
    told: list[bytes] = []
    names: list[str] = []
    gate = asyncio.Event()

    async def own(name: str) -> None:
        names.append(name)
        await gate.wait()

    announced = Announced(told.append, own)
    for piece in cut(stream, size):
        announced(piece)
        await asyncio.sleep(0)
    assert names == ["resp_1"]
    assert told == []
    gate.set()
    await announced.over()
    announced(b"more")
    assert b"".join(told) == stream + b"more"


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize(
    "stream", [b"", b"data: {}\n\n", b'data: {"response":{"id":5}}\n\n', b'data: {"response":{"id":"r"}}']
)
async def test_a_stream_without_an_id_is_let_go_at_its_end(stream: bytes, size: int) -> None:
    told: list[bytes] = []
    announced = Announced(told.append, lambda name: pytest.fail(name))
    for piece in cut(stream, size):
        announced(piece)
    assert told == []
    await announced.over()
    assert b"".join(told) == stream


async def test_a_stream_whose_id_cannot_be_remembered_says_nothing() -> None:
    told: list[bytes] = []

    async def own(name: str) -> None:
        raise StateFull(f"no room for {name}")

    announced = Announced(told.append, own)
    announced(OPENING)
    with pytest.raises(StateFull):
        await announced.over()
    assert told == []


PAGES: Sequence[tuple[Page, Sequence[str], bool]] = (
    (Page(2), "ed", True),
    (Page(2, "d"), "cb", True),
    (Page(2, "b"), "a", False),
    (Page(9), "edcba", False),
    (Page(2, ascending=True), "ab", True),
    (Page(2, "d", ascending=True), "e", False),
    (Page(2, before="b"), "dc", True),
    (Page(2, before="d"), "e", False),
    (Page(9, purpose="odd"), "eca", False),
    (Page(1, purpose="odd"), "e", True),
    (Page(9, only=frozenset("ax")), "a", False),
    (Page(9, "never"), "", False),
    (Page(9, before="never"), "", False),
)


@pytest.mark.parametrize("case", PAGES)
async def test_a_list_is_its_owners_in_the_order_that_was_asked_for(case: tuple[Page, Sequence[str], bool]) -> None:
    page, ids, more = case
    state = MemoryState()
    for place, name in enumerate("abcde"):
        await remember(state, ALICE, "file", name, "openai", "openai#1", b"even" if place % 2 else b"odd")
        await remember(state, BOB, "file", f"b{name}", "openai", "openai#2")
    found, further = listed(state, ALICE, THINGS["files_list"], page, None)
    assert ([id_of(one) for one in found], further) == (list(ids), more)
    assert listed(state, ALICE, THINGS["files_list"], Page(9), "azure") == ([], False)


async def test_the_same_id_may_be_two_owners_and_each_has_their_own() -> None:
    state = MemoryState()
    await remember(state, ALICE, "gemini_file", "mine", "gemini", "gemini#1")
    with pytest.raises(NotFound):
        held(state, BOB, "gemini_file", "mine")
    await remember(state, BOB, "gemini_file", "mine", "gemini", "gemini#2")
    assert held(state, ALICE, "gemini_file", "mine").credential == "gemini#1"
    assert held(state, BOB, "gemini_file", "mine").credential == "gemini#2"
    with pytest.raises(NotFound):
        held(state, ALICE, "file", "mine")
    assert tenant_of(ALICE) == tenant_of(Holder("c", "carol", team="core")) != tenant_of(BOB)

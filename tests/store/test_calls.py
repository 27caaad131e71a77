"""Pages of calls hold all that match, once and in order, and know where to go on."""

import pytest
from sqlalchemy import Engine

from portico.record import Record
from portico.store import calls as module
from portico.store.calls import Filter, Found, Page, each, find, page
from portico.store.rows import seq_of
from store.filled import START_MS, fill, piece, some

RECORDS = some(400, seed=5)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    fill(engine, piece(RECORDS, body=10))
    return engine


def pages(engine: Engine, asked: Filter, limit: int) -> list[Page]:
    found: list[Page] = []
    before = None
    while True:
        with engine.connect() as connection:
            found.append(page(connection, asked, before, limit))
        before = found[-1].next
        if before is None:
            return found


def newest_first(records: list[Record]) -> list[str]:
    return [each.id for each in sorted(records, key=lambda each: -seq_of(each.time_ms, each.id))]


CASES = {
    "all": (Filter(), lambda each: True),
    "a key": (Filter(key="key-3"), lambda each: each.key == "key-3"),
    "a team and a model": (
        Filter(team="team-1", model="fast"),
        lambda each: each.team == "team-1" and each.model == "fast",
    ),
    "a provider": (
        Filter(provider="openai"),
        lambda each: each.target is not None and each.target.startswith("openai/"),
    ),
    "an arm": (Filter(arm="the new prompt"), lambda each: each.arm == "the new prompt"),
    "an arm and a key": (
        Filter(arm="the new prompt", key="key-3"),
        lambda each: each.arm == "the new prompt" and each.key == "key-3",
    ),
    "a tag": (Filter(tag="env:prod"), lambda each: "env:prod" in each.tags),
    "a tag and a key": (
        Filter(tag="env:prod", key="key-2"),
        lambda each: "env:prod" in each.tags and each.key == "key-2",
    ),
    "a session": (Filter(session="session-3"), lambda each: each.session == "session-3"),
    "what went well": (Filter(status_class=2), lambda each: each.status == 200),
    "what went wrong": (Filter(status_class=5), lambda each: each.status >= 500),
    "one status": (Filter(status=429), lambda each: each.status == 429),
    "streams that were dear": (
        Filter(stream=True, least_cost=5_000_000),
        lambda each: each.stream and (each.cost_nano_usd or 0) >= 5_000_000,
    ),
    "an end and a basis": (Filter(end="failed", basis="none"), lambda each: each.end == "failed"),
    "slow ones": (Filter(least_us=60_000_000), lambda each: each.total_us >= 60_000_000),
    "a time": (
        Filter(since_ms=START_MS + 1_000_000, until_ms=START_MS + 3_000_000, org="acme"),
        lambda each: START_MS + 1_000_000 <= each.time_ms < START_MS + 3_000_000 and each.org == "acme",
    ),
    "nobody": (Filter(customer="nobody"), lambda each: False),
    "no such tag": (Filter(tag="no"), lambda each: False),
    "bodies": (Filter(bodies=True, error="overloaded"), lambda each: each.error == "overloaded"),
}  # fmt: skip


@pytest.mark.parametrize(("limit", "look_at"), [(7, 10_000), (50, 13), (1_000, 10_000)])
def test_pages_hold_what_matches(filled: Engine, limit: int, look_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AT", look_at)
    for case, (asked, matches) in CASES.items():
        wanted = newest_first(list(filter(matches, RECORDS)))
        found = pages(filled, asked, limit)
        assert [call.record.id for each in found for call in each.calls] == wanted, case
        assert all(len(each.calls) <= limit for each in found), case
        oldest_first: list[Found] = [call for chunk in each(filled, asked, chunk=limit) for call in chunk]
        assert [call.record.id for call in oldest_first] == wanted[::-1], case


def test_a_page_says_down_to_when_it_has_looked(filled: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AT", 100)
    with filled.connect() as connection:
        empty = page(connection, Filter(end="no such end"))
    assert empty.calls == ()
    assert empty.next is not None
    assert empty.looked_to_ms == sorted(each.time_ms for each in RECORDS)[-100]


def test_what_comes_meanwhile_moves_no_page(filled: Engine) -> None:
    with filled.connect() as connection:
        first = page(connection, Filter(), limit=10)
    fill(filled, piece(some(50, seed=9), "b-000001.seg"))
    with filled.connect() as connection:
        second = page(connection, Filter(until_ms=first.looked_to_ms), first.next, limit=500)
    known = {each.id for each in RECORDS}
    both = [call.record.id for call in (*first.calls, *second.calls)]
    assert [each for each in both if each in known] == newest_first(RECORDS)


def test_a_call_is_found_by_its_id(filled: Engine) -> None:
    with filled.connect() as connection:
        found = find(connection, RECORDS[17].id)
        assert find(connection, "nothing") is None
    assert found is not None
    assert found.record == RECORDS[17]
    assert found.segment == "a-000001.seg"

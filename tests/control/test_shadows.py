"""Copies of calls beside the calls that they are of, in the admin API."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine

from control.conftest import NOW, Api, Grant
from portico.control import shadows
from portico.journal.entries import Event
from portico.record import AttemptRecord, Compared, Record, Side
from portico.store.dimensions import Names
from portico.store.engine import writing
from portico.store.ingest import apply
from store.filled import piece

HOUR = 3_600_000


def copy(number: int, *, model: str = "smart", ago: int = HOUR, **more: Any) -> Record:
    """Return the record of a copy, as workers write it."""
    same = more.pop("same", True)
    served = more.get("end", "served") == "served"
    caller = Side("one/m", 1000, 100_000, 1_000_000 + number, "stop", 30)
    shadow = Side("two/m", 500, 50_000, 2_000_000, "stop" if same else "length", 40) if served else None
    return Record(
        f"call{number}-shadow", NOW - ago - number, "shadow", "chat", "two/m", "two/m", 200, False,
        [AttemptRecord("two/m", status=200)], None, 500, "reported", 50_000, 2_000_000, 100,
        shadow_of=f"call{number}",
        compared=Compared(model, caller, shadow, same if served else None, same if served else None),
        **more,
    )  # fmt: skip


def fill(engine: Engine, entries: Sequence[Record | Event]) -> None:
    with writing(engine).begin() as db:
        apply(db, Names(), [piece(entries, "shadows-000001.seg")])


def test_copies_are_summed_up_beside_their_calls(api: Api, engine: Engine) -> None:
    fill(engine, [copy(1), copy(2), copy(3, same=False), copy(4, end="failed", error="upstream_status")])
    found = api("GET", "shadows").json()
    assert found["items"] == [
        {
            "model": "smart", "target": "one/m", "shadow": "two/m", "copies": 4, "served": 3,
            "failed": {"upstream_status": 1}, "compared": 3, "same_finish": 2, "same_calls": 2,
            "caller": {
                "cost_nano_usd": 3000, "unpriced": 0, "characters": 90, "first_byte_us": 100_000,
                "first_byte_us_p95": 100_000, "total_us": 1_000_002, "total_us_p95": 1_000_003,
            },
            "copy": {
                "cost_nano_usd": 1500, "unpriced": 0, "characters": 120, "first_byte_us": 50_000,
                "first_byte_us_p95": 50_000, "total_us": 2_000_000, "total_us_p95": 2_000_000,
            },
        }
    ]  # fmt: skip


def test_copies_of_one_model_and_of_a_time_are_found(api: Api, engine: Engine) -> None:
    fill(engine, [copy(1), copy(2, model="fast"), copy(3, ago=30 * 24 * HOUR)])
    assert [each["model"] for each in api("GET", "shadows").json()["items"]] == ["fast", "smart"]
    [found] = api("GET", "shadows?model=smart").json()["items"]
    assert found["copies"] == 1
    [found] = api("GET", "shadows?model=smart&since=2020-01-01T00:00:00Z").json()["items"]
    assert found["copies"] == 2


def test_copies_that_were_not_made_are_counted_by_reason(api: Api, engine: Engine) -> None:
    told: list[dict[str, str | int | float | bool | None]] = [
        {"model": "smart", "crowded": 2},
        {"model": "smart", "crowded": 1, "budget": 4},
        {"model": "fast", "large": 1},
    ]
    fill(engine, [Event("shadow.left_out", NOW - HOUR, about) for about in told])
    assert api("GET", "shadows").json()["left_out"] == {"fast": {"large": 1}, "smart": {"crowded": 3, "budget": 4}}
    assert api("GET", "shadows?model=fast").json()["left_out"] == {"fast": {"large": 1}}


def test_a_report_says_from_when_on_it_read(api: Api, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadows, "PAGE", 2)
    monkeypatch.setattr(shadows, "MOST", 4)
    fill(engine, [copy(number) for number in range(1, 8)])
    found = api("GET", "shadows").json()
    assert found["items"][0]["copies"] == 4
    assert found["since"] > "2027-01-15T06:59"


def test_an_organization_does_not_see_the_copies_of_all(api: Api, with_role: Grant) -> None:
    api.make("organizations", id="acme")
    assert with_role("viewer", org="acme")("GET", "shadows").status_code == 403
    assert with_role("viewer")("GET", "shadows").status_code == 200


def test_a_time_that_ends_before_it_begins_is_refused(api: Api) -> None:
    reply = api("GET", "shadows?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z")
    assert (reply.status_code, reply.json()["field"]) == (422, "since")

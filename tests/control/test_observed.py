"""What happened, in the admin API: pages of calls by what they are told apart by, and sums by value and over time."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from control.conftest import Api
from portico.record import Record
from portico.store.calls import Filter
from store.filled import fill, piece, some

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)

RECORDS = some(300, seed=21, over_ms=100 * 86_400_000)
RANGE = "since=2026-01-01T00:00:00Z&until=2026-12-01T00:00:00Z"

FILTERS = {
    "key=key-3": lambda each: each.key == "key-3",
    "arm=the%20new%20prompt": lambda each: each.arm == "the new prompt",
    "arm=the%20new%20prompt&model=smart&key=key-3": lambda each: each.arm == "the new prompt" and each.key == "key-3",
    "arm=no%20such%20arm": lambda each: False,
    "team=team-1&tag=env:prod": lambda each: each.team == "team-1" and "env:prod" in each.tags,
    "status_class=5&least_us=10000000": lambda each: each.status >= 500 and each.total_us >= 10_000_000,
    "since=2026-03-01T00:00:00Z&until=2026-04-01T00:00:00Z": lambda each: (
        datetime.fromtimestamp(each.time_ms / 1000, UTC).month == 3
    ),
}


@pytest.fixture(autouse=True)
def calls(engine: Engine) -> None:
    fill(engine, piece(RECORDS))


def all_pages(api: Api, query: str) -> list[str]:
    found, after = [], ""
    while True:
        page = api("GET", f"records?limit=7&{query}" + (f"&after={after}" if after else "")).json()
        found += [item["id"] for item in page["items"]]
        after = page.get("next")
        if not after:
            return found


@pytest.mark.parametrize("query", FILTERS)
def test_pages_of_calls_have_what_matches_newest_first(api: Api, query: str) -> None:
    wanted = [each.id for each in sorted(RECORDS, key=lambda each: -each.time_ms) if FILTERS[query](each)]
    assert all_pages(api, query) == wanted
    assert wanted or "no%20such" in query


@pytest.mark.parametrize(("after", "status"), [("9" * 19, 200), ("0", 200), ("9" * 20, 422), ("-1", 422), ("x", 422)])
def test_a_place_that_no_page_named_breaks_nothing(api: Api, after: str, status: int) -> None:
    assert api("GET", f"records?after={after}").status_code == status


def test_a_call_shows_its_arm(api: Api) -> None:
    one = next(each for each in RECORDS if each.arm is not None)
    assert api("GET", f"records/{one.id}").json()["arm"] == one.arm


def spent(*chosen: Record) -> int:
    return sum(each.cost_nano_usd or 0 for each in chosen)


def test_spend_is_told_by_the_month_of_the_calendar(api: Api) -> None:
    points = api("GET", f"spend?per=month&{RANGE}").json()["per"]
    months: dict[str, int] = {}
    for each in RECORDS:
        month = datetime.fromtimestamp(each.time_ms / 1000, UTC).strftime("%Y-%m-01T00:00:00Z")
        months[month] = months.get(month, 0) + spent(each)
    assert {point["start"]: point["cost_nano_usd"] for point in points} == months
    assert len(months) == 4


def test_the_sides_of_a_split_are_compared(api: Api) -> None:
    shares = api("GET", f"spend?of=model&value=smart&by=arm&{RANGE}").json()["by"]
    assert {share["value"]: (share["requests"], share["cost_nano_usd"]) for share in shares} == {
        arm: (len(chosen := [each for each in RECORDS if each.arm == arm]), spent(*chosen))
        for arm in ("the old prompt", "the new prompt")
    }


def test_more_points_than_a_chart_shows_are_refused(api: Api) -> None:
    refused = api("GET", f"spend?per=minute&{RANGE}")
    assert refused.status_code == 422
    assert "2000 of a minute" in refused.json()["detail"]


def test_every_filter_of_the_store_that_tells_who_is_offered(api: Api) -> None:
    offered = api("GET", "/api/v1/openapi.json").json()["paths"]["/api/v1/records"]["get"]["parameters"]
    named = {parameter["name"] for parameter in offered}
    hidden = {"since_ms", "until_ms", "least_cost", "stream", "basis", "pricing", "bodies", "jobs_of"}
    assert set(Filter.__struct_fields__) - hidden <= named

"""Events of the journal in the admin API, and who sees them."""

import json

from sqlalchemy import Engine, insert

from control.conftest import NOW, Api, Grant
from portico.store.engine import writing
from portico.store.tables import events


def put(engine: Engine, count: int) -> None:
    with writing(engine).begin() as db:
        for number in range(count):
            name = ("budget.passed", "budget.closed")[number % 2]
            about = json.dumps({"row": "team:red", "percent": number})
            db.execute(insert(events).values(time_ms=NOW + number * 1000, name=name, about=about))


def test_events_are_paged_newest_first(api: Api, engine: Engine) -> None:
    put(engine, 5)
    first = api("GET", "events?limit=3").json()
    second = api("GET", f"events?limit=3&after={first['next']}").json()
    assert [each["about"]["percent"] for each in (*first["items"], *second["items"])] == [4, 3, 2, 1, 0]
    assert second["next"] is None


def test_events_are_found_by_name_and_time(api: Api, engine: Engine) -> None:
    put(engine, 6)
    since = api("GET", "events?limit=3").json()["items"][-1]["at"]
    found = api("GET", f"events?name=budget.closed&since={since}").json()["items"]
    assert [each["about"]["percent"] for each in found] == [5, 3]


def test_an_organization_does_not_see_the_events_of_all(api: Api, with_role: Grant) -> None:
    api.make("organizations", id="acme")
    assert with_role("viewer", org="acme")("GET", "events").status_code == 403
    assert with_role("viewer")("GET", "events").status_code == 200

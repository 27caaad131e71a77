"""Markups and discounts of customers in the admin API: put into state with every change, and shown beside the cost."""

from sqlalchemy import Engine

from control.conftest import Api
from portico.control.publish import NoSnapshot
from portico.record import Record
from portico.store.ingest import Piece
from portico.types import Usage
from store.filled import fill, piece

TIME_MS = 1_799_990_000_000


def test_a_customers_markup_is_in_state_with_the_change(api: Api, snapshot: NoSnapshot) -> None:
    made = api.make("customers", id="ann", markup=1.15)
    assert made["markup"] == 1.15
    api.make("customers", id="bob")
    assert snapshot.markups == {"ann": 1_150_000}
    api("PATCH", "customers/bob", {"markup": 0.5})
    assert snapshot.markups == {"ann": 1_150_000, "bob": 500_000}
    api("PATCH", "customers/ann", {"markup": None})
    api("DELETE", "customers/bob")
    assert snapshot.markups == {}


def test_a_markup_is_no_negative_number(api: Api) -> None:
    assert api("POST", "customers", {"id": "ann", "markup": -1}).status_code == 422


def test_spend_shows_what_is_billed_beside_what_it_cost(api: Api, engine: Engine) -> None:
    record = Record(
        "one",
        TIME_MS,
        "k",
        "chat",
        "m",
        "openai/m",
        200,
        False,
        [],
        Usage(input=1),
        0,
        "reported",
        1,
        1,
        1,
        team="core",
    )
    record.costing(2_000_000_000, 1_500_000)
    told: Piece = piece([record])
    fill(engine, told)
    total = api("GET", "spend").json()["total"]
    assert (total["cost_usd"], total["billed_usd"]) == (2.0, 3.0)
    (share,) = api("GET", "spend?by=team").json()["by"]
    assert (share["cost_nano_usd"], share["billed_nano_usd"]) == (2_000_000_000, 3_000_000_000)
    (shown,) = api("GET", "records").json()["items"]
    assert (shown["billed_nano_usd"], shown["markup"]) == (3_000_000_000, 1_500_000)

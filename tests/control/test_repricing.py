"""A price that was wrong is put right: calls from a date on are priced anew, and who asked for it is written down."""

import threading
from typing import Any

import msgspec
import pytest

from control.conftest import NOW, Api, Grant
from portico.config.schema import Price
from portico.control.admin import Admin
from portico.control.repricing import go_on, prices_of
from portico.record import AttemptRecord, Record
from portico.types import Usage

RECORD = Record(
    id="c1",
    time_ms=NOW,
    key="k",
    operation="chat",
    model="m",
    target="openai/of-nobody",
    status=200,
    stream=False,
    attempts=[AttemptRecord("openai/of-nobody")],
    usage=Usage(input=1_000_000, output=1_000_000),
    cost_nano_usd=None,
    basis="reported",
    first_byte_us=1,
    total_us=1,
    overhead_us=1,
)
OLD = {"model": "openai/of-nobody", "since": "2026-01-01T00:00:00Z", "input": 1, "output": 2}
NEW = {**OLD, "since": "2027-01-15T00:00:00Z", "input": 3, "output": 4}


def test_the_price_of_the_day_counts(api: Api, admin: Admin) -> None:
    api.make("prices", **NEW)
    api.make("prices", **OLD)
    price = prices_of(admin)
    found = [price(msgspec.structs.replace(RECORD, time_ms=at)) for at in (NOW, NOW - 86_400_000, 0)]
    assert [(one.cost, one.pricing) for one in found if one is not None] == [
        (7_000_000_000, "table"),
        (3_000_000_000, "table"),
        (None, "unpriced"),
    ]
    assert price(msgspec.structs.replace(RECORD, usage=None)) is None


PRICES = {"openai/one": (1, 2), "openai/other": (10, 20)}


def parted(*targets: str) -> Record:
    """Return the record of an answer of which each of these targets said a part, each by a million tokens."""
    usage = Usage(input=1_000_000, output=1_000_000)
    return msgspec.structs.replace(
        RECORD,
        target=targets[0],
        attempts=[AttemptRecord(target, usage=usage, cost_nano_usd=1) for target in targets],
        usage=Usage(input=len(targets) * 1_000_000, output=len(targets) * 1_000_000),
        cost_nano_usd=len(targets),
        pricing="table",
    )


@pytest.mark.parametrize(
    ("targets", "cost", "parts"),
    [
        (("openai/one", "openai/other"), 33_000_000_000, (3_000_000_000, 30_000_000_000)),
        (("openai/other", "openai/one"), 33_000_000_000, (30_000_000_000, 3_000_000_000)),
        (("openai/one", "openai/one"), 6_000_000_000, (3_000_000_000, 3_000_000_000)),
    ],
)
def test_each_part_of_an_answer_is_priced_as_that_of_who_said_it(
    api: Api, admin: Admin, targets: tuple[str, ...], cost: int, parts: tuple[int, ...]
) -> None:
    for model, (into, out) in PRICES.items():
        api.make("prices", model=model, since="2026-01-01T00:00:00Z", input=into, output=out)
    found = prices_of(admin)(parted(*targets))
    assert found is not None
    assert (found.cost, found.pricing, found.parts) == (cost, "table", parts)


@pytest.mark.parametrize(("training", "cost"), [(25, 25_000_000_000), (None, None)])
def test_the_tokens_that_a_model_was_tuned_on_have_a_price_of_their_own(
    admin: Admin, training: float | None, cost: int | None
) -> None:
    rates = {} if training is None else {"training": training}
    admin.config = msgspec.structs.replace(admin.config, prices={"openai/tuned": Price(input=1, output=2, rates=rates)})
    usage = Usage(input=1_000_000)
    job = {"operation": "fine_tuning_job", "job": "ftjob-1", "target": "openai/tuned", "usage": usage}
    found = prices_of(admin)(msgspec.structs.replace(RECORD, **job))
    assert found is not None
    assert found.cost == cost


@pytest.mark.parametrize("target", ["openai", "openai/of-nobody"])
def test_a_known_cost_stands_where_nobody_knows_a_price_any_more(admin: Admin, target: str) -> None:
    job = {"job": "batch-1", "operation": "batches_job"} if target == "openai" else {}
    record = msgspec.structs.replace(RECORD, target=target, cost_nano_usd=7, pricing="table", **job)
    assert prices_of(admin)(record) is None


def test_a_correction_is_in_the_audit_and_carried_out(api: Api, admin: Admin) -> None:
    said = {"since": "2027-01-01T00:00:00Z", "target": "openai/of-nobody", "reason": "the invoice says otherwise"}
    reply = api("POST", "corrections", said)
    assert reply.status_code == 202
    for thread in threading.enumerate():
        if thread.name == "after a change":
            thread.join(10)
    (done,) = api("GET", "corrections").json()["items"]
    assert (done["actor"], done["reason"], done["finished"]) == ("master", said["reason"], True)
    assert api("GET", "audit?kind=price").json()["items"][0]["action"] == "correct"
    go_on(admin)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"since": "2027-01-01T00:00:00Z"}, "reason"),
        ({"since": "2027-01-02T00:00:00Z", "until": "2027-01-01T00:00:00Z", "reason": "x"}, "since"),
        ({"since": "1900-01-01T00:00:00Z", "reason": "x"}, "since"),
    ],
)
def test_a_correction_of_nothing_is_refused(api: Api, said: Any, field: str) -> None:
    reply = api("POST", "corrections", said)
    assert (reply.status_code, reply.json()["field"]) == (422, field)


def test_an_organization_corrects_no_prices(api: Api, with_role: Grant) -> None:
    api.make("organizations", id="red")
    mine = with_role("billing", org="red")
    assert mine("POST", "corrections", {"since": "2027-01-01T00:00:00Z", "reason": "x"}).status_code == 403

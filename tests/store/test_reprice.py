"""A price that was wrong is put right: calls, sums, and a note of who did it; nothing else moves."""

from collections.abc import Callable

import msgspec
import pytest
from sqlalchemy import Engine

from portico.record import AttemptRecord, Record
from portico.store import reprice
from portico.store.reprice import Repriced, Repricing, begin, find, run
from portico.types import Usage
from store.filled import START_MS, expected, fill, kept, piece, some, sums_of

RECORDS = some(300, seed=4)
FROM_MS, TO_MS = START_MS + 2_000_000, START_MS + 6_000_000


def doubled(record: Record) -> Repriced | None:
    if record.cost_nano_usd is None or record.price == "v2":
        return None
    return Repriced(record.cost_nano_usd * 2, "table", "v2")


def repriced(record: Record, target: str | None = None) -> Record:
    """Return a record as it should be afterwards."""
    if record.usage is None or not FROM_MS <= record.time_ms < TO_MS or target not in (None, record.target):
        return record
    assert record.cost_nano_usd is not None
    return msgspec.structs.replace(record, cost_nano_usd=record.cost_nano_usd * 2, price="v2")


def asked(engine: Engine, target: str | None = None) -> int:
    return begin(
        engine, actor="ann", reason="the table was wrong", from_ms=FROM_MS, to_ms=TO_MS, now_ms=TO_MS, target=target
    )


@pytest.mark.parametrize("target", [None, "openai/fast"])
def test_calls_and_sums_are_put_right_and_noted(
    engine: Engine, target: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reprice, "CHUNK", 23)
    fill(engine, piece(RECORDS))
    after = [repriced(each, target) for each in RECORDS]
    done = run(engine, asked(engine, target), doubled)
    assert kept(engine) == {each.id: each for each in after}
    assert sums_of(engine) == expected(after)
    changed = [new for new, old in zip(after, RECORDS, strict=True) if new != old]
    assert changed
    assert (done.changed, done.finished) == (len(changed), True)
    assert done.difference_nano_usd == sum((each.cost_nano_usd or 0) // 2 for each in changed)
    assert (done.actor, done.reason, done.target) == ("ann", "the table was wrong", target)
    assert find(engine, done.id) == done
    again = run(engine, done.id, doubled)
    assert again == done
    assert sums_of(engine) == expected(after)


def test_one_that_was_cut_off_goes_on_where_it_stopped(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reprice, "CHUNK", 20)
    fill(engine, piece(RECORDS))
    id_ = asked(engine)
    calls = iter(range(60))

    def failing(record: Record) -> Repriced | None:
        next(calls)
        return Repriced((record.cost_nano_usd or 0) * 2, "table", "v2")

    with pytest.raises(StopIteration):
        run(engine, id_, failing)
    partly = find(engine, id_)
    assert 0 < partly.changed < len(RECORDS)
    assert not partly.finished
    run(engine, id_, lambda record: Repriced((record.cost_nano_usd or 0) * 2, "table", "v2"))
    after = [repriced(each) for each in RECORDS]
    assert kept(engine) == {each.id: each for each in after}
    assert sums_of(engine) == expected(after)


def test_each_try_that_said_a_part_has_its_new_cost(engine: Engine) -> None:
    tries = [
        AttemptRecord("openai/lost", error="cut"),
        AttemptRecord("openai/fast", usage=Usage(input=1), cost_nano_usd=1),
        AttemptRecord("openai/slow", usage=Usage(input=2), cost_nano_usd=2),
    ]
    record = msgspec.structs.replace(
        next(each for each in RECORDS if each.usage and each.time_ms >= FROM_MS), attempts=tries
    )
    fill(engine, piece([record]))
    run(engine, asked(engine), lambda _: Repriced(70, "table", "v2", (30, 40)))
    found = kept(engine)[record.id]
    assert [each.cost_nano_usd for each in found.attempts] == [None, 30, 40]
    assert found.cost_nano_usd == 70


LEFT_ALONE: dict[str, Callable[[Record], Record]] = {
    "what a provider said": lambda record: msgspec.structs.replace(record, pricing="provider"),
    "what was assumed": lambda record: msgspec.structs.replace(record, basis="assumed"),
    "what used nothing": lambda record: msgspec.structs.replace(record, usage=None),
}


@pytest.mark.parametrize("case", LEFT_ALONE)
def test_some_costs_stand(engine: Engine, case: str) -> None:
    records = [LEFT_ALONE[case](each) for each in RECORDS]
    fill(engine, piece(records))
    done: Repricing = run(engine, asked(engine), lambda record: Repriced(7, "table"))
    assert done.changed == 0
    assert done.seen > 0
    assert kept(engine) == {each.id: each for each in records}


def test_what_was_unpriced_gets_a_price(engine: Engine) -> None:
    records = [
        msgspec.structs.replace(each, cost_nano_usd=None, pricing="unpriced") if each.usage else each
        for each in RECORDS
    ]  # fmt: skip
    fill(engine, piece(records))
    done = run(engine, asked(engine), lambda record: Repriced(11, "table", "v1"))
    assert done.difference_nano_usd == 11 * done.changed
    assert done.changed > 0
    assert sums_of(engine) == expected(list(kept(engine).values()))

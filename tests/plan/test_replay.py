"""Recorded calls, planned anew: where they would go, what they would cost, and which would not have failed."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from portico.analysis.replay import Report, cost_at, replay
from portico.cli import portico
from portico.config.load import load_plain
from portico.config.schema import Config
from portico.errors import ConfigError
from portico.journal.journal import Journal
from portico.plan.evidence import NEAR, Evidence, failed
from portico.plan.traits import NAMES
from portico.record import AttemptRecord, Record
from portico.types import Usage

START_MS = 1_780_000_000_000
PRICES = {f"{name}/m": {"input": rate, "output": rate} for name, rate in (("one", 1), ("two", 10), ("three", 2))}
USED = Usage(input=1000, output=100)
COST = 1_100_000
"""What that costs at `one`, in nano-dollars."""


def plain(models: dict[str, Any], **more: Any) -> dict[str, Any]:
    providers = {
        name: {"like": "openai", "base_url": f"http://{name}.invalid/v1", "api_key": "sk-0123456789"}
        for name in ("one", "two", "three", "four")
    }
    server = {"master_key": "sk-master-0123456789"}
    return {"server": server, "providers": providers, "prices": PRICES, "models": models, **more}


def config(models: dict[str, Any], **more: Any) -> Config:
    return load_plain(plain(models, **more), {}).config


def record(number: int, *attempts: tuple[str, int], at: float | None = None, **more: Any) -> Record:
    """Return the record of a call with these attempts, a second after the one before; it ends as the last of them."""
    status = attempts[-1][1] if attempts else 429
    served = status < 400
    usage = more.pop("usage", USED if served else None)
    fields: dict[str, Any] = {
        "model": "smart",
        "cost_nano_usd": COST if usage is not None else None,
        "end": "served" if served else "failed" if attempts else "refused",
        "first_byte_us": 100_000,
        **more,
    }
    return Record(
        id=f"call{number}", time_ms=round(START_MS + (number if at is None else at) * 1000),
        key="web", operation="chat",
        target=attempts[-1][0] if attempts else None, status=status, stream=False,
        attempts=[AttemptRecord(target, status=code, first_byte_us=100_000) for target, code in attempts],
        usage=usage, basis="reported" if usage is not None else "none", total_us=200_000, overhead_us=100, **fields,
    )  # fmt: skip


def test_calls_that_would_go_elsewhere_are_counted_with_what_they_would_cost() -> None:
    calls = [record(number, ("one/m", 200)) for number in range(10)]
    found = replay(calls, config({"smart": ["two/m", "one/m"]}), environ={})
    assert (found.calls, found.moved, found.compared_with) == (10, 10, "records")
    [move] = found.moves
    assert (move.model, move.source, move.target, move.calls) == ("smart", "one/m", "two/m", 10)
    assert (move.cost_before_nano_usd, move.cost_nano_usd) == (10 * COST, 100 * COST)
    assert (found.cost.before_nano_usd, found.cost.after_nano_usd, found.cost.unpriced) == (10 * COST, 100 * COST, 0)
    assert found.unknown_targets == ["two/m"]


def test_the_same_configuration_moves_nothing_and_costs_the_same() -> None:
    calls = [record(number, ("one/m", 200)) for number in range(10)]
    found = replay(calls, config({"smart": ["one/m", "two/m"]}), environ={})
    assert (found.moved, found.moves) == (0, [])
    assert found.cost.before_nano_usd == found.cost.after_nano_usd == 10 * COST
    assert found.unknown_targets == ["two/m"]


def test_failures_are_avoided_where_a_target_did_well_at_the_time() -> None:
    outage = [record(number, ("one/m", 503)) for number in range(20)]
    beside = [record(100 + number, ("two/m", 200), at=number, model="fast") for number in range(20)]
    models = {"smart": ["one/m", "two/m"], "fast": ["two/m"]}
    found = replay([*outage, *beside], config(models), environ={})
    assert msgspec_plain(found)["failures"] == {"before": 20, "avoided": 20, "perhaps": 0, "left": 0, "caused": 0}


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["one/m", "three/m"], {"perhaps": 20}),
        (["one/m"], {"left": 20}),
        (["one/m", "two/m"], {"left": 20}),
        (["two/m", "three/m"], {"perhaps": 20}),
    ],
)
def test_what_nobody_knows_is_told_apart_from_what_would_have_failed(
    targets: list[str], expected: dict[str, int]
) -> None:
    outage = [record(number, ("one/m", 503)) for number in range(20)]
    beside = [record(100 + number, ("two/m", 500), at=number, model="fast") for number in range(20)]
    found = replay([*outage, *beside], config({"smart": targets, "fast": ["one/m"]}), environ={})
    plain_failures = {"avoided": 0, "perhaps": 0, "left": 0, **expected}
    # The calls of the other model fail at its one target all the same.
    plain_failures["left"] += 20
    assert {name: getattr(found.failures, name) for name in plain_failures} == plain_failures


def test_a_target_that_failed_at_the_time_would_cause_failures() -> None:
    served = [record(number, ("one/m", 200)) for number in range(10)]
    beside = [record(100 + number, ("two/m", 500), at=number, model="fast") for number in range(10)]
    found = replay([*served, *beside], config({"smart": ["two/m"], "fast": ["two/m"]}), environ={})
    assert (found.failures.before, found.failures.left, found.failures.caused) == (10, 10, 10)
    assert found.moved == 0


def test_what_callers_did_wrong_is_no_failure_and_speaks_against_nobody() -> None:
    calls = [record(number, ("one/m", 400)) for number in range(9)]
    assert [failed(call) for call in calls] == [False] * 9
    assert Evidence(calls).state("one/m", START_MS / 1000) == "unknown"


def test_evidence_is_what_most_attempts_say_near_a_moment() -> None:
    calls = [record(1, ("one/m", 503), ("two/m", 200), at=0), record(2, ("one/m", 200), at=200)]
    known = Evidence(calls)
    start = START_MS / 1000
    assert [known.state("one/m", start + at) for at in (0, NEAR, NEAR + 1, 200, 200 + NEAR + 1)] == [
        "down", "down", "unknown", "up", "unknown",
    ]  # fmt: skip
    assert known.state("two/m", start) == "up"
    assert known.state("four/m", start) == "unknown"


def test_an_answer_that_broke_off_speaks_against_the_last_target() -> None:
    cut = record(1, ("two/m", 503), ("one/m", 200), end="cut", error="upstream_disconnected")
    left = record(2, ("one/m", 200), end="cut", error="caller_gone", at=500)
    known = Evidence([cut, left])
    assert known.state("one/m", START_MS / 1000 + 1) == "down"
    assert (failed(cut), failed(left)) == (True, False)


def test_a_strategy_goes_by_what_the_calls_before_had_measured() -> None:
    calls = []
    for number in range(200):
        slow = number >= 100
        calls.append(record(2 * number, ("one/m", 200)))
        calls[-1].attempts[0].first_byte_us = 5_000_000 if slow else 100_000
        calls.append(record(2 * number + 1, ("two/m", 200), model="fast"))
        calls[-1].attempts[0].first_byte_us = 400_000
    models = {"smart": {"strategy": "lowest_latency", "targets": ["one/m", "two/m"]}, "fast": ["two/m"]}
    found = replay(calls, config(models), environ={})
    moves = {(move.source, move.target): move.calls for move in found.moves}
    # Nearly all of those after it became slow, hardly any of those before.
    assert 80 < moves["one/m", "two/m"] < 120


def test_a_target_that_nobody_asked_is_taken_to_be_like_those_that_served() -> None:
    calls = [record(number, ("one/m", 200)) for number in range(400)]
    models = {"smart": {"strategy": "lowest_latency", "targets": ["one/m", "two/m"]}}
    found = replay(calls, config(models), environ={})
    # It is asked, as any new target is, and then now and then: it is no faster.
    assert 0 < found.moved < 40
    assert found.unknown_targets == ["two/m"]


def test_a_breaker_that_was_open_keeps_calls_away() -> None:
    outage = [record(number, ("one/m", 503), ("two/m", 200), at=number / 10) for number in range(100)]
    found = replay(outage, config({"smart": ["one/m", "two/m"]}), environ={})
    assert (found.moved, found.failures.before) == (0, 0)


def test_two_configurations_get_the_same_draws() -> None:
    chance = random.Random(3)
    calls = [record(number, (chance.choice(["one/m", "two/m"]), 200)) for number in range(2000)]
    for call in calls:
        call.cost_nano_usd = None

    def split(weight: float) -> Config:
        targets = [{"model": "one/m", "weight": weight}, {"model": "two/m", "weight": 100 - weight}]
        return config({"smart": {"strategy": "weighted", "targets": targets}})

    same = replay(calls, split(50), split(50), environ={})
    assert (same.moved, same.compared_with) == (0, "configuration")
    more = replay(calls, split(60), split(50), environ={})
    assert {(move.source, move.target) for move in more.moves} == {("two/m", "one/m")}
    assert 150 < more.moved < 250
    assert more.cost.after_nano_usd < more.cost.before_nano_usd
    beside = replay(calls, split(50), environ={})
    assert 900 < beside.moved < 1100


def test_what_a_context_does_not_hold_goes_to_one_that_does() -> None:
    calls = [record(1, ("one/m", 200), usage=Usage(input=50_000, output=10)), record(2, ("one/m", 200))]
    targets = [{"model": "three/m", "context_window": 8000}, {"model": "two/m", "context_window": 200_000}]
    found = replay(calls, config({"smart": {"targets": targets}}), environ={})
    assert {move.target for move in found.moves} == {"two/m", "three/m"}


def test_rules_go_by_what_a_record_tells_and_what_it_does_not_is_said() -> None:
    models = {
        "smart": {
            "targets": ["one/m"],
            "rules": [
                {"when": "input_tokens > 10000", "use": "two/m"},
                {"when": 'team == "red"', "use": "three/m"},
                {"when": "has_tools || budget_left < 0.5", "use": "four/m"},
            ],
        }
    }
    calls = [
        record(1, ("one/m", 200), usage=Usage(input=20_000)),
        record(2, ("one/m", 200), team="red"),
        record(3, ("one/m", 200)),
    ]
    found = replay(calls, config(models), environ={})
    assert {(move.target, move.calls) for move in found.moves} == {("two/m", 1), ("three/m", 1)}
    assert found.unseen == ["budget_left", "has_tools"]


def test_a_scorer_is_asked_of_the_traits_that_a_record_has() -> None:
    models = {"smart": {"strategy": "complexity", "targets": ["one/m", "two/m"]}}
    told = [record(number, ("two/m", 200), traits=(0,) * len(NAMES)) for number in range(3)]
    assert replay(told, config(models), environ={}).unseen == []
    for others in (None, (0,) * (len(NAMES) + 1)):
        with_others = [*told, record(9, ("two/m", 200), traits=others)]
        assert replay(with_others, config(models), environ={}).unseen == ["traits"]


def test_calls_that_cannot_be_planned_are_counted_by_the_reason() -> None:
    calls = [
        record(1, ("one/m", 200)),
        record(2),
        record(3, ("one/m", 200), model="gone"),
        record(4, ("one/m", 200), model=None),
        record(5, ("one/m", 200), shadow_of="call1"),
    ]
    found = replay(calls, config({"smart": ["one/m"]}), environ={})
    assert found.calls == 1
    assert found.left_out == {"refused": 1, "model_not_found": 1, "no model": 1}


def test_a_target_without_a_price_makes_no_cost() -> None:
    calls = [record(number, ("one/m", 200)) for number in range(3)]
    found = replay(calls, config({"smart": ["four/m"]}), environ={})
    assert (found.cost.calls, found.cost.unpriced, found.cost.after_nano_usd) == (0, 3, 0)


def test_what_a_provider_said_a_call_cost_holds_nowhere_else() -> None:
    said = Usage(input=1000, output=100, reported_cost=7)
    calls = [record(1, ("one/m", 200), usage=said)]
    stays = replay(calls, config({"smart": ["one/m"]}), environ={})
    moves = replay(calls, config({"smart": ["three/m"]}), environ={})
    assert stays.cost.after_nano_usd == 7
    assert moves.cost.after_nano_usd == 2 * COST
    assert cost_at(record(2, ("one/m", 503)), None) is None  # type: ignore[arg-type]  # nothing is looked at


def test_a_provider_that_cannot_be_used_is_told() -> None:
    broken = config({"smart": ["one/m"]}, providers={"one": {"like": "azure"}})
    with pytest.raises(ConfigError):
        replay([], broken, environ={})


def msgspec_plain(report: Report) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return plain


# the command


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(records: Sequence[Record], models: dict[str, Any]) -> tuple[str, str]:
        (tmp_path / "new.yaml").write_text(json.dumps(plain(models)))
        lines = b"\n".join(msgspec.json.encode(each) for each in records)
        (tmp_path / "records.jsonl").write_bytes(lines + b"\n")
        return str(tmp_path / "new.yaml"), str(tmp_path / "records.jsonl")

    return write


CALLS = [record(number, ("one/m", 200)) for number in range(4)] + [record(9, ("one/m", 503))]


def test_the_command_says_what_would_move_cost_and_fail(written: Any) -> None:
    file, records = written(CALLS, {"smart": ["three/m", "one/m"]})
    found = CliRunner().invoke(portico, ["replay", "--config", file, "--from", records])
    assert found.exit_code == 0, found.output
    assert "5 calls planned anew, beside what happened" in found.output
    assert "5 would be served elsewhere (100.0%)" in found.output
    assert "cost: $0.0044 before, $0.0088 then (+100.0%), of 4 calls" in found.output
    assert "failures: 1 before; 0 avoided, 1 perhaps, 0 not; 0 new ones" in found.output
    assert "no recorded call was at three/m" in found.output


def test_the_command_answers_in_json_and_picks_calls(written: Any) -> None:
    other = record(20, ("one/m", 200), model="fast")
    file, records = written([*CALLS, other], {"smart": ["three/m"], "fast": ["one/m"]})
    found = CliRunner().invoke(portico, ["replay", "--config", file, "--from", records, "--model", "fast", "--json"])
    report = json.loads(found.output)
    assert (report["calls"], report["moved"]) == (1, 0)
    found = CliRunner().invoke(portico, ["replay", "--config", file, "--from", records, "--limit", "2", "--json"])
    assert json.loads(found.output)["calls"] == 2


def test_records_may_be_a_list_on_standard_input(written: Any) -> None:
    file, _ = written([], {"smart": ["one/m"]})
    said = ["replay", "--config", file, "--from", "-", "--base", file, "--json"]
    found = CliRunner().invoke(portico, said, input=msgspec.json.encode(CALLS))
    report = json.loads(found.output)
    assert (report["calls"], report["compared_with"]) == (5, "configuration")


def test_a_journal_is_read_and_what_is_known_stands_for_what_was_assumed(written: Any, tmp_path: Path) -> None:
    file, _ = written([], {"smart": ["three/m"]})
    journal = Journal(str(tmp_path / "journal"), "0123456789abcdef")
    for call in CALLS:
        journal.append(call)
    lost = record(0, end="aborted")
    lost.basis = "assumed"
    journal.append(lost)
    journal.close()
    found = CliRunner().invoke(portico, ["replay", "--config", file, "--from", str(tmp_path / "journal"), "--json"])
    assert json.loads(found.output)["calls"] == 5


@pytest.mark.parametrize(
    ("data", "said"),
    [(b'{"id": "x"}\n', "line 1: this is no record"), (b"[1]", "this is no record"), (b"\n\nnothing\n", "line 3")],
)
def test_what_is_no_record_is_told_with_its_line(written: Any, tmp_path: Path, data: bytes, said: str) -> None:
    file, records = written([], {"smart": ["three/m"]})
    Path(records).write_bytes(data)
    found = CliRunner().invoke(portico, ["replay", "--config", file, "--from", records])
    assert found.exit_code == 1
    assert said in found.output


def test_a_configuration_that_is_wrong_ends_the_command(written: Any) -> None:
    file, records = written(CALLS, {"smart": ["five/m"]})
    found = CliRunner().invoke(portico, ["replay", "--config", file, "--from", records])
    assert found.exit_code == 1
    assert "no provider is called 'five'" in found.output

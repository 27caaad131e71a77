"""How many calls a target may have: hard caps, and the window and pace that follow what a provider bears."""

from typing import Any

import pytest

from portico.config.load import load_plain
from portico.upstream.gate import Gate, Gates, Gating
from portico.upstream.slots import ROWS, Slots


@pytest.fixture
def gates() -> Gates:
    return Gates(Slots())


def gate(gates: Gates, name: str = "one/model", *, cap: int = 0, adaptive: bool = False, outer: int = 0) -> Gate:
    provider = gates.gate("one")
    assert provider is not None
    provider.bind(outer, False, 1)
    found = gates.gate(name, provider)
    assert found is not None
    found.bind(cap, adaptive, 1)
    return found


def taken(gate: Gate, now: float = 1.0, most: int = 1000) -> int:
    count = 0
    while count < most and gate.take(now) is None:
        count += 1
    return count


def test_a_cap_holds_until_something_is_given_back(gates: Gates) -> None:
    here = gate(gates, cap=3)
    assert taken(here) == 3
    refused = here.take(1.0)
    assert refused is not None
    assert refused[0] == "one/model"
    assert refused[1] > 1.0
    here.give_back()
    assert taken(here) == 1
    assert here.under_way == 3


def test_the_cap_of_a_provider_holds_over_its_targets(gates: Gates) -> None:
    one, two = gate(gates, "one/a", cap=4, outer=5), gate(gates, "one/b", outer=5)
    assert taken(one) == 4
    assert taken(two) == 1
    refused = two.take(1.0)
    assert refused is not None
    assert refused[0] == "one"
    one.give_back()
    assert taken(two) == 1


def test_nothing_bounds_a_target_whose_provider_never_had_too_much(gates: Gates) -> None:
    here = gate(gates, adaptive=True)
    assert here.limit is None
    assert taken(here) == 1000


def test_after_too_much_seven_tenths_go_and_one_more_with_each_window_that_was_served(gates: Gates) -> None:
    here = gate(gates, adaptive=True)
    taken(here, most=20)
    here.give_back()
    here.refused(2.0, 1.0, None)
    assert here.limit == pytest.approx(13.3)
    for _ in range(19):
        here.give_back()
    assert taken(here, 2.0) == 13
    for _ in range(13):
        here.served(3.0)
    assert here.limit == pytest.approx(14.3, abs=0.1)


def test_what_was_sent_before_a_cut_cuts_no_more(gates: Gates) -> None:
    here = gate(gates, adaptive=True)
    taken(here, most=20)
    here.refused(2.0, 1.0, None)
    before = here.limit
    here.refused(2.1, 1.9, None)
    assert here.limit == before
    here.refused(3.0, 2.5, None)
    assert here.limit is not None
    assert before is not None
    assert here.limit < before


def test_a_retry_after_closes_the_target_and_then_it_begins_with_one_and_doubles(gates: Gates) -> None:
    here = gate(gates, adaptive=True)
    taken(here, most=20)
    for _ in range(20):
        here.give_back()
    here.refused(2.0, 1.0, 5.0)
    closed = here.take(3.0)
    assert closed is not None
    assert closed[0] == "one/model"
    assert closed[1] == pytest.approx(7.0)
    assert here.take(closed[1]) is None
    assert here.limit == 1.0
    assert here.take(8.0) is not None
    here.give_back()
    here.served(8.0)
    assert here.limit == 2.0


def test_a_provider_that_takes_no_call_and_says_no_more_is_left_alone_longer_each_time(gates: Gates) -> None:
    here = gate(gates, adaptive=True)
    now = 2.0
    for pause in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0):
        assert here.take(now) is None
        here.give_back()
        here.refused(now + 0.01, now, None)
        closed = here.take(now + 0.02)
        assert closed is not None
        assert closed[1] == pytest.approx(now + 0.01 + pause)
        now = closed[1]
    assert here.take(now) is None
    here.give_back()
    here.served(now)
    assert here.take(now) is None


def test_a_retry_after_of_hours_is_not_believed(gates: Gates) -> None:
    here = gate(gates, adaptive=True)
    here.refused(2.0, 1.0, 7200.0)
    closed = here.take(3.0)
    assert closed is not None
    assert closed[1] == pytest.approx(62.0)


def test_the_pace_after_a_refusal_is_that_of_what_was_served(gates: Gates) -> None:
    here = gate(gates, adaptive=True)
    here.refused(90.0, 89.0, 0.5)
    now = 100.0
    for _ in range(100):  # ten a second
        now += 0.1
        assert here.take(now) is None
        here.give_back()
        here.served(now)
    here.refused(now, now - 0.01, 0.5)
    now += 0.6
    sent = 0
    for step in range(200):  # two seconds, and tried each hundredth
        if here.take(now + step / 100) is None:
            here.give_back()
            here.served(now + step / 100)
            sent += 1
    assert sent == pytest.approx(20, abs=4)


def test_a_provider_that_took_all_for_long_is_not_bounded_any_more(gates: Gates) -> None:
    here = gate(gates, adaptive=True)
    here.refused(2.0, 1.0, None)
    here.served(500.0)
    assert here.limit is not None
    here.served(603.0)
    assert here.limit is None


def test_an_earlier_configuration_changes_nothing_any_more(gates: Gates) -> None:
    here = gate(gates, cap=3)
    here.bind(7, False, 3)
    here.bind(5, False, 2)
    assert here.cap == 7


def test_names_that_callers_make_up_leave_room_for_those_of_the_configuration(gates: Gates) -> None:
    found = [gates.gate(f"one/{number}", bounded=False) for number in range(ROWS)]
    assert found[-1] is None
    assert all(gates.gate(f"two/{number}") is not None for number in range(ROWS // 4))


def test_a_configuration_is_in_force_at_gates_that_calls_wait_at(gates: Gates) -> None:
    def gating(edition: int, cap: int | None, **provider: Any) -> Gating:
        plain = {
            "providers": {"one": {"like": "openai", "base_url": "http://one.invalid/v1", **provider}},
            "models": {"m": {"targets": [{"model": "one/model", **({"max_concurrency": cap} if cap else {})}]}},
        }
        return Gating(gates, load_plain(plain, {}).config, edition, waits=True)

    first = gating(1, 3, max_concurrency=9)
    here, teams = first.gate("one", "model", ""), first.gate("one", "model", "core")
    assert here is not None
    assert here.outer is not None
    assert teams is not None
    assert (here.cap, here.adaptive, here.outer.cap, teams.cap) == (3, True, 9, 3)
    gating(2, None, adaptive=False).adopt()
    assert (here.cap, here.adaptive, here.outer.cap, teams.cap) == (0, False, 0, 0)
    gating(1, 3).adopt()
    assert here.cap == 0

"""Which rules a call is under."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from tests.state.desk import budget

from portico.bounds import Bounds
from portico.call import Call
from portico.rules import Applied, Holder
from portico.state.memory import MemoryState
from portico.upstream.target import Target
from portico.who import Who


def budgeted(amount: int) -> Holder:
    return Holder("key", "web", rules=(Applied(budget(amount), {"key": ("key",)}),))


def amounts(bounds: Bounds, holder: Holder, customer: str | None) -> list[int]:
    call: Any = SimpleNamespace(who=Who(holder), customer=customer, tags=holder.tags, model="smart")
    target: Any = SimpleNamespace(name="openai/gpt", model="gpt", upstream=SimpleNamespace(name="openai"))
    scopes = bounds.scopes(cast("Call", call), cast("Target", target))
    return [rule.amount for scope in scopes for rule in scope.rules]


@pytest.mark.source
def test_a_call_that_began_before_its_key_was_changed_leaves_no_old_rule_to_those_after_it() -> None:
    state = MemoryState()
    bounds = Bounds((), state)
    old, new = budgeted(100), budgeted(5)
    for customer in (None, "acme"):
        assert amounts(bounds, old, customer) == [100]
        state.put_holders({b"digest": new})
        assert amounts(bounds, old, customer) == [100]  # it goes on, to another target
        assert amounts(bounds, new, customer) == [5]
        assert amounts(bounds, old, customer) == [100]


@pytest.mark.source
def test_what_a_key_is_under_is_found_once_however_often_the_key_is_read() -> None:
    bounds = Bounds((), MemoryState())
    target: Any = SimpleNamespace(name="openai/gpt", model="gpt", upstream=SimpleNamespace(name="openai"))
    found = set()
    for _ in range(2):
        holder = msgspec.structs.replace(budgeted(5))
        call: Any = SimpleNamespace(who=Who(holder), customer=None, tags=holder.tags, model="smart")
        found.add(bounds.under(call, target))
    assert len(found) == 1

"""The reply headers of LiteLLM's proxy, for callers that read them. They are made only where they are asked for.

Names and meanings are those of docs.litellm.ai/docs/proxy/response_headers, read 2026-11-20; what is not known is left
out, as there.
"""

import itertools
from collections.abc import Callable
from typing import Final

from portico import __version__
from portico.call import Call
from portico.errors import StateUnavailable
from portico.snapshot import Snapshot
from portico.stages.settle import dollars
from portico.state.contract import Moment, State

VERSION: Final = f"portico {__version__}"
"""What stands where LiteLLM has its version."""


class LiteLLMHeaders:
    """What LiteLLM's headers say of the calls that go by one snapshot. `state` has what budgets have counted."""

    def __init__(self, snapshot: Snapshot, state: State, now: Callable[[], Moment]) -> None:
        self._snapshot = snapshot
        self._state = state
        self._now = now

    def __repr__(self) -> str:
        return "<LiteLLMHeaders>"

    def lines(self, call: Call, overhead_us: int) -> str:
        """Return the header lines of a call, each with its line end. `overhead_us` is what was spent here."""
        told = {
            "call-id": call.id,
            "version": VERSION,
            "model-group": call.alias or call.model,
            "response-duration-ms": f"{(overhead_us + call.waited_ns // 1000) / 1000:.3f}",
            "overhead-duration-ms": f"{overhead_us / 1000:.3f}",
        }
        if call.target is not None:
            told |= self._of_target(call, call.target)
        if call.cost is not None:
            told["response-cost"] = dollars(call.cost)
        if call.attempts:
            again = sum(a.target == b.target for a, b in itertools.pairwise(call.attempts))
            told["attempted-retries"] = str(again)
            told["attempted-fallbacks"] = str(len(call.attempts) - 1 - again)
        told |= self._of_key(call)
        return "".join(f"x-litellm-{name}: {value}\r\n" for name, value in told.items() if value is not None)

    def _of_target(self, call: Call, target: str) -> dict[str, str | None]:
        name, _, model = target.partition("/")
        upstream = self._snapshot.upstreams.get(name)
        if upstream is None:
            return {}
        provider = upstream.provider
        region = provider.declared.region or provider.declared.options.get("region")
        base = provider.base
        return {
            "model-id": self._snapshot.routes.deployment(call.model or "", target) if model else None,
            "model-name": target if model else None,
            "model-api-base": f"{base.scheme}://{base.authority}{base.path}",
            "model-region": str(region) if region else None,
        }

    def _of_key(self, call: Call) -> dict[str, str | None]:
        """Return the limits of a call's key, and what its budget of money has counted: that of the smallest amount."""
        if call.caller is None or call.permit is None:
            return {}
        row = f"key:{call.caller.id}"
        rules = [rule for scope in call.permit.scopes if scope.row == row for rule in scope.rules]
        told: dict[str, str | None] = {}
        for rule in rules:
            for counts, name in (("requests", "key-rpm-limit"), ("tokens", "key-tpm-limit")):
                if rule.kind == "limit" and rule.counts == counts and rule.window.every == "minute":
                    told[name] = str(rule.amount)
        budgets = [rule for rule in rules if rule.kind == "budget" and rule.counts == "cost" and rule.mode != "soft"]
        if budgets:
            budget = min(budgets, key=lambda rule: rule.amount)
            told["key-max-budget"] = dollars(budget.amount)
            try:
                counters = self._state.counters([row], self._now())
            except StateUnavailable:
                return told  # a header is no reason to fail a call
            used = next((one.used for one in counters if one.rule_id == budget.id), 0)
            told["key-spend"] = dollars(used)
        return told

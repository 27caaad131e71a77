"""How much an Anthropic model is asked to think, and what of sampling it still takes then.

docs.anthropic.com/en/build-with-claude/{extended-thinking, adaptive-thinking, effort} (read 2026-11-20): a budget is
at least 1,024 tokens and under `max_tokens`; newer models weigh it themselves by an effort. Thought excludes a forced
tool, a temperature other than 1, top_k, and top_p under 0.95; with a budget, a round of tools must have begun with it.
"""

from typing import Any

import msgspec

from portico.dialects.claude.models import Abilities
from portico.dialects.crossing import Notes
from portico.ir import Reasoning, Request

_LEAST = 1024
_DYNAMIC = 8192
_ANSWER = 4096
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 24576}
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "max": "max"}


class Thought(msgspec.Struct, frozen=True):
    """`thinking`, `output_config.effort` and `max_tokens` of a request."""

    block: dict[str, Any] | None
    effort: str | None
    max_tokens: int


def wanted(reasoning: Reasoning | None) -> bool:
    """Return whether thought is asked for."""
    if reasoning is None or reasoning.enabled is False or reasoning.effort == "none" or reasoning.budget == 0:
        return False
    return bool(reasoning.enabled or reasoning.effort or reasoning.budget)


def think(request: Request, model: Abilities, notes: Notes, *, forced: bool, loop: bool) -> Thought:
    """Decide. `forced` says that a tool must be called, `loop` that the last answer called tools without a thought."""
    reasoning = request.reasoning
    limit = request.max_tokens or model.max_tokens
    nothing = Thought(None, None, limit)
    if reasoning is None or not wanted(reasoning):
        return nothing
    if model.thinking == "none":
        notes.lost("thinking")
        return nothing
    if forced:
        notes.lost("forced_tool_with_thinking")
        return nothing
    if model.thinking != "budget":
        block: dict[str, Any] = {"type": "adaptive"}
        if model.thinking == "effort" or reasoning.show is False:
            block["display"] = "omitted" if reasoning.show is False else "summarized"
        return Thought(block, effort(reasoning, model), limit)
    budget = budget_of(reasoning)
    if loop or (request.max_tokens is not None and limit <= _LEAST):
        notes.lost("thinking")
        return nothing
    if request.max_tokens is None:
        limit = max(limit, budget + _ANSWER) if (reasoning.budget or 0) > 0 else limit
        budget = min(budget, limit - _ANSWER)
    elif (reasoning.budget or 0) > 0:
        budget = min(budget, limit - 1)
    else:
        budget = min(budget, max(_LEAST, limit // 2))
    return Thought({"type": "enabled", "budget_tokens": max(budget, _LEAST)}, None, limit)


def budget_of(reasoning: Reasoning) -> int:
    """Return the tokens to think with; a budget below 0 leaves them open."""
    if reasoning.budget is not None and reasoning.budget > 0:
        return max(reasoning.budget, _LEAST)
    return _BUDGETS.get(reasoning.effort or "", _DYNAMIC)


def effort(reasoning: Reasoning, model: Abilities) -> str | None:
    """Return the effort in Anthropic's words, None where it is left to the model."""
    if reasoning.effort is not None:
        if reasoning.effort == "xhigh":
            return "xhigh" if model.thinking == "effort" else "high"
        return _EFFORTS.get(reasoning.effort)
    if reasoning.budget is None or reasoning.budget < 0:
        return None
    return "low" if reasoning.budget <= 2048 else "medium" if reasoning.budget <= 8192 else "high"


def sampling(request: Request, model: Abilities, notes: Notes, *, thinking: bool) -> dict[str, Any]:
    """Return what the model takes of temperature, top_p and top_k; notes the rest."""
    temperature, top_p, top_k = request.temperature, request.top_p, request.top_k
    kept: dict[str, Any] = {}
    if temperature is not None and temperature > 1:
        notes.lost("temperature_above_1")
        temperature = 1.0
    bare = model.sampling == "none"
    if temperature is not None:
        if bare or (thinking and temperature != 1):
            notes.lost("sampling", "temperature")
        else:
            kept["temperature"] = temperature
    if top_p is not None:
        if bare or (thinking and top_p < 0.95) or (model.sampling == "one" and "temperature" in kept):
            notes.lost("sampling", "top_p")
        else:
            kept["top_p"] = top_p
    if top_k is not None:
        if bare or thinking:
            notes.lost("sampling", "top_k")
        else:
            kept["top_k"] = top_k
    return kept

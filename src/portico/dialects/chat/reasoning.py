"""How much to think, read and written: six ways in which providers of this dialect are asked.

- `reasoning_effort`: OpenAI (platform.openai.com/docs/guides/reasoning) and most others;
- `reasoning: {effort, max_tokens, enabled, exclude}`: OpenRouter (openrouter.ai/docs/use-cases/reasoning-tokens);
- `thinking: {type, budget_tokens}`: DeepSeek, Z.ai, Moonshot (docs.z.ai/guides/capabilities/thinking-mode);
- `enable_thinking`, `thinking_budget`: Qwen (alibabacloud.com/help/en/model-studio/deep-thinking);
- `google: {thinking_config}`, in `extra_body` or not: Gemini's own, read alone (ai.google.dev/gemini-api/docs/openai);
all read 2026-11-20.
"""

from typing import TypeVar

from portico.dialects.chat.hints import HINTS, Table
from portico.dialects.crossing import Notes, Target
from portico.ir import Reasoning

T = TypeVar("T")

_NONE = frozenset(("none", "disable"))
"""Words for no thought at all: OpenAI's and LiteLLM's."""
_TYPES = frozenset(("enabled", "disabled", "adaptive"))
_LOW = 2048
_MEDIUM = 8192
# OpenAI's own words; a stronger one of another maker is the strongest that all its reasoning models take.
_WORDS = {"max": "high"}


def parse_reasoning(fields: Table) -> Reasoning | None:
    """Take the wish for reasoning out of a request; what is not understood of it stays there."""
    forms: list[str] = []
    rest: Table = {}
    enabled: bool | None = None
    effort: str | None = None
    budget: int | None = None
    show: bool | None = None
    if type(fields.get("reasoning_effort")) is str:
        effort = fields.pop("reasoning_effort")
        forms.append("reasoning_effort")
        enabled = False if effort in _NONE else None
    inner = fields.get("reasoning")
    if type(inner) is dict and not forms:
        del fields["reasoning"]
        forms.append("reasoning")
        effort = _taken(inner, "effort", str)
        budget = _taken(inner, "max_tokens", int)
        enabled = _taken(inner, "enabled", bool)
        exclude = _taken(inner, "exclude", bool)
        if enabled is not None:
            rest["$enabled"] = True
        if effort == "none" and enabled is None:
            enabled = False
        show = None if exclude is None else not exclude
        rest |= inner
    inner = fields.get("thinking")
    if type(inner) is dict and inner.get("type") in _TYPES and enabled is None and budget is None:
        del fields["thinking"]
        forms.append("thinking")
        kind = inner.pop("type")
        enabled = kind != "disabled"
        if kind == "adaptive":
            rest["type"] = kind
        budget = _taken(inner, "budget_tokens", int)
        rest |= inner
    if type(fields.get("enable_thinking")) is bool and enabled is None and budget is None:
        enabled = fields.pop("enable_thinking")
        forms.append("enable_thinking")
        budget = _taken(fields, "thinking_budget", int)
    hints: Table = {"as": forms}
    if not forms and (google := _google(fields)) is not None:
        name, config = google
        hints["written"] = fields.pop(name)
        forms.append(name)
        budget = _seen(config, int, "thinking_budget", "thinkingBudget")
        enabled = None if budget is None else budget != 0
        if budget is not None and budget < 0:
            budget = None
        level = _seen(config, str, "thinking_level", "thinkingLevel")
        effort = level.lower() if level is not None else None
        show = _seen(config, bool, "include_thoughts", "includeThoughts")
    if not forms:
        return None
    if rest:
        hints["rest"] = rest
    return Reasoning(enabled=enabled, effort=effort, budget=budget, show=show, extra={HINTS: hints})


def _google(fields: Table) -> tuple[str, Table] | None:
    """Return the field that holds Gemini's own configuration of thought and nothing else, and that."""
    for name in ("google", "extra_body"):
        found = fields.get(name)
        if name == "extra_body" and type(found) is dict and len(found) == 1:
            found = found.get("google")
        if type(found) is dict and len(found) == 1:
            config = found.get("thinking_config", found.get("thinkingConfig"))
            if type(config) is dict:
                return name, config
    return None


def _seen(config: Table, kind: type[T], *names: str) -> T | None:
    return next((found for name in names if type(found := config.get(name)) is kind), None)


def _taken(fields: Table, name: str, kind: type[T]) -> T | None:
    return fields.pop(name) if type(fields.get(name)) is kind else None


def render_reasoning(fields: Table, wish: Reasoning, own: bool, target: Target, notes: Notes) -> None:
    """Write the wish for reasoning into a request, in the way that the target is asked."""
    hints = wish.extra.get(HINTS) if own else None
    if hints is not None:
        _as_written(fields, wish, hints)
    elif "no_reasoning" in target.quirks:
        if _wanted(wish):
            notes.lost("thinking")
    elif "reasoning_object" in target.quirks:
        fields["reasoning"] = _openrouter(wish)
    elif "thinking_type" in target.quirks:
        if wish.enabled is not None or wish.effort is not None or wish.budget is not None:
            fields["thinking"] = {"type": "enabled" if _wanted(wish) else "disabled"}
    elif "enable_thinking" in target.quirks:
        fields["enable_thinking"] = _wanted(wish)
        if wish.budget is not None and wish.budget > 0:
            fields["thinking_budget"] = wish.budget
    elif not _wanted(wish):
        if "effort_none" in target.quirks or wish.effort in _NONE:
            fields["reasoning_effort"] = "none"
        else:
            notes.lost("reasoning_off")
    else:
        effort = _effort(wish)
        if effort == "minimal" and "no_effort_minimal" in target.quirks:
            effort = "low"
        if effort is not None:
            fields["reasoning_effort"] = effort


def _wanted(wish: Reasoning) -> bool:
    if wish.enabled is not None:
        return wish.enabled
    return wish.budget != 0 and wish.effort != "none"


def _effort(wish: Reasoning) -> str | None:
    if wish.effort is not None:
        return _WORDS.get(wish.effort, wish.effort)
    budget = wish.budget
    if budget is None or budget < 0:
        return None
    return "low" if budget <= _LOW else "medium" if budget <= _MEDIUM else "high"


def _openrouter(wish: Reasoning) -> Table:
    asked: Table = {}
    if not _wanted(wish):
        asked["enabled"] = False
    elif wish.budget is not None and wish.budget > 0:
        asked["max_tokens"] = wish.budget
    elif wish.effort is not None:
        asked["effort"] = _WORDS.get(wish.effort, wish.effort)
    else:
        asked["enabled"] = True
    if wish.show is False:
        asked["exclude"] = True
    return asked


def _as_written(fields: Table, wish: Reasoning, hints: Table) -> None:
    rest = dict(hints.get("rest", {}))
    said = rest.pop("$enabled", False)
    for form in hints["as"]:
        if form == "reasoning_effort":
            fields[form] = wish.effort
        elif form == "reasoning":
            asked = {"effort": wish.effort, "max_tokens": wish.budget}
            asked["enabled"] = wish.enabled if said else None
            asked["exclude"] = None if wish.show is None else not wish.show
            fields[form] = {name: value for name, value in asked.items() if value is not None} | rest
        elif form == "thinking":
            asked = {"type": "enabled" if wish.enabled else "disabled", "budget_tokens": wish.budget}
            fields[form] = {name: value for name, value in asked.items() if value is not None} | rest
        elif form != "enable_thinking":
            fields[form] = hints["written"]
        else:
            fields[form] = wish.enabled
            if wish.budget is not None:
                fields["thinking_budget"] = wish.budget

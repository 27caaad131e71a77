"""LiteLLM's `/spend/calculate`: what a prompt would cost, or what an answer did, by the prices in force."""

import msgspec

from portico.control.admin import Look
from portico.control.litellm.fields import Plain
from portico.control.problems import BadRequest
from portico.plan.asked import Question
from portico.types import NANO, Usage


def calculate(look: Look, said: Plain) -> Plain:
    """Return the cost in dollars: of the prompt alone for a `model` and `messages`, else of a `completion_response`.

    It is what the target costs that would be tried first. A model that has no price is an error, not free.
    """
    answer = said.get("completion_response")
    if said.get("model") is not None:
        messages = said.get("messages")
        if not isinstance(messages, list):
            raise BadRequest("`messages` are needed beside `model`", param="messages")
        target, tokens = _planned(look, said["model"], messages)
        return {"cost": _cost(look, target, Usage(input=tokens))}
    if not isinstance(answer, dict):
        raise BadRequest("one of `model` and `completion_response` is needed", param="model")
    # What a reply says is read as workers read it; control has no use for that at rest.
    from portico.dialects.operations import OPERATIONS
    from portico.dialects.usage import read_usage

    usage = read_usage(OPERATIONS["chat"], msgspec.json.encode(answer))
    if usage is None:
        raise BadRequest("`completion_response` does not say what was used", param="completion_response")
    target, _ = _planned(look, answer.get("model"), [])
    return {"cost": _cost(look, target, usage)}


def _planned(look: Look, model: object, messages: list[object]) -> tuple[str, int]:
    """Return the target that a conversation would go to first, and the tokens of its prompt."""
    from portico.analysis.explain import explain

    if not isinstance(model, str) or not model:
        raise BadRequest("`model` is the name of a model", param="model")
    found = explain(look.admin.config, Question(body={"model": model, "messages": messages}), secret=look.admin.secret)
    placed = sorted((one for one in found.targets if one.place is not None), key=lambda one: one.place or 0)
    if not placed:
        raise BadRequest(found.refused or f"nothing serves the model {model[:256]!r}", param="model")
    return placed[0].target, found.input_tokens


def _cost(look: Look, target: str, usage: Usage) -> float:
    from portico.control.tariff import Tariff
    from portico.providers.prices import charge

    provider, _, model = target.partition("/")
    found = charge(Tariff(look.admin.config, look.db).price_of(provider, model), usage, look.admin.now_ms() / 1000)
    if found.cost is None:
        raise BadRequest(f"nobody knows what {target!r} costs; `prices` of the configuration can say so", param="model")
    return found.cost / NANO

"""`generationConfig`, both ways: sampling, the form of the answer, how much to think.

https://ai.google.dev/api/generate-content#generationconfig and https://ai.google.dev/gemini-api/docs/thinking
(read 2026-11-20). Gemini 3 is told a level of thinking, Gemini 2.5 a budget: 0 forbids it, -1 leaves it to the model.
"""

from operator import attrgetter
from typing import Any

from portico.dialects.crossing import Notes, Target
from portico.dialects.gemini.numbered import MODALITIES, word
from portico.dialects.gemini.schema import to_json_schema, to_subset
from portico.dialects.gemini.spelling import Fields, Object, closed, opened
from portico.dialects.malformed import Malformed, a_list, an_object
from portico.ir import Output, Reasoning, Request

_CONFIG = Fields(
    (
        "maxOutputTokens",
        "temperature",
        "topP",
        "topK",
        "candidateCount",
        "stopSequences",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseLogprobs",
        "logprobs",
        "thinkingConfig",
        "responseModalities",
        "speechConfig",
        "mediaResolution",
        "imageConfig",
        "audioTimestamp",
        "enableAffectiveDialog",
        "routingConfig",
        "modelSelectionConfig",
        "enableEnhancedCivicAnswers",
    )
)
_THINKING = Fields(("thinkingBudget", "thinkingLevel", "includeThoughts"))
_COUNTS = (("maxOutputTokens", "max_tokens"), ("topK", "top_k"), ("candidateCount", "n"), ("seed", "seed"))
_NUMBERS = (
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("presencePenalty", "presence_penalty"),
    ("frequencyPenalty", "frequency_penalty"),
)
_PLAIN = (*_COUNTS, *_NUMBERS, ("responseLogprobs", "logprobs"), ("logprobs", "top_logprobs"))
_NAMES, _VALUES = tuple(name for name, _ in _PLAIN), attrgetter(*[ours for _, ours in _PLAIN])
_JSON = "application/json"
_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}
# What Google's own OpenAI-compatible API makes of an effort (ai.google.dev/gemini-api/docs/openai, read 2026-11-20).
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
# These dialects ask for thoughts and mean to see them.
_SHOWING = frozenset(("messages", "converse", "cohere"))
_BUDGETED = ("gemini-2", "gemini-1")


def parse_settings(found: Any) -> tuple[Object, Object]:
    """Read `generationConfig`: what a Request is made with, and what is left. Raises Malformed."""
    rest = opened(an_object(found, "generationConfig"), _CONFIG)
    settings: Object = {}
    for name, ours in _COUNTS:
        if rest.get(name) is not None:
            settings[ours] = _whole(rest.pop(name), name)
    for name, ours in _NUMBERS:
        if rest.get(name) is not None:
            settings[ours] = _number(rest.pop(name), name)
    if rest.get("logprobs") is not None:
        settings["top_logprobs"] = _whole(rest.pop("logprobs"), "logprobs")
    if type(rest.get("responseLogprobs")) is bool:
        settings["logprobs"] = rest.pop("responseLogprobs")
    if rest.get("stopSequences"):
        settings["stop"] = _words(rest.pop("stopSequences"), "stopSequences")
    if rest.get("responseModalities"):
        written = a_list(rest.pop("responseModalities"), "generationConfig.responseModalities")
        said = _words([word(each, MODALITIES) for each in written], "responseModalities")
        settings["modalities"] = tuple(each.lower() for each in said)
        if any(each != known.upper() for each, known in zip(written, said, strict=True)):
            rest["$modalities"] = written
    output = _output(rest)
    if output is not None:
        settings["output"] = output
    if rest.get("thinkingConfig") is not None:
        settings["reasoning"] = _reasoning(rest.pop("thinkingConfig"))
    return settings, rest


def _whole(value: Any, name: str) -> int:
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is str and value.isascii() and value.removeprefix("-").isdecimal() and len(value) < 20:
        return int(value)
    if type(value) is not int:
        raise Malformed(f"generationConfig.{name}", "a whole number")
    return value


def _number(value: Any, name: str) -> float:
    if type(value) is not float and type(value) is not int:
        raise Malformed(f"generationConfig.{name}", "a number")
    return value


def _words(value: Any, name: str) -> tuple[str, ...]:
    words = a_list(value, f"generationConfig.{name}")
    if not all(type(word) is str for word in words):
        raise Malformed(f"generationConfig.{name}", "a list of strings")
    return tuple(words)


def _output(rest: Object) -> Output | None:
    schema = rest.get("responseJsonSchema")
    extra: Object = {}
    if type(schema) is dict:
        del rest["responseJsonSchema"]
    elif type(rest.get("responseSchema")) is dict:
        written = rest.pop("responseSchema")
        schema = to_json_schema(written)
        extra = {"$written": written, "$read": schema}
    else:
        schema = None
    media_type = rest.get("responseMimeType")
    if media_type is None:
        if schema is None:
            return None
        extra["$no_type"] = True
    elif type(media_type) is not str:
        raise Malformed("generationConfig.responseMimeType", "a MIME type")
    else:
        del rest["responseMimeType"]
        if media_type != (_JSON if schema is not None else "text/plain"):
            extra["$type"] = media_type
    if schema is not None:
        return Output(kind="json_schema", schema=schema, extra=extra)
    return Output(kind="json" if media_type == _JSON else "text", extra=extra)


def _reasoning(found: Any) -> Reasoning:
    rest = opened(an_object(found, "generationConfig.thinkingConfig"), _THINKING)
    enabled: bool | None = None
    budget = None
    if rest.get("thinkingBudget") is not None:
        budget = _whole(rest.pop("thinkingBudget"), "thinkingConfig.thinkingBudget")
        enabled = budget != 0
        if budget < 0:
            rest["thinkingBudget"] = budget
            budget = None
    effort = None
    if type(rest.get("thinkingLevel")) is str:
        level = rest.pop("thinkingLevel")
        effort = level.lower()
        if effort.upper() != level:
            rest["$level"] = level
    show = rest.pop("includeThoughts") if type(rest.get("includeThoughts")) is bool else None
    return Reasoning(enabled=enabled, effort=effort, budget=budget, show=show, extra=rest)


def render_settings(request: Request, own: bool, target: Target, notes: Notes) -> Object | None:
    """Write `generationConfig`; None where it would say nothing."""
    kept = request.extra.get("generationConfig", request.extra.get("$generationConfig")) if own else None
    out: Object = dict(kept) if isinstance(kept, dict) else {}
    for name, value in zip(_NAMES, _VALUES(request), strict=True):
        if value is not None:
            out[name] = value
    if not own:
        _foreign(out)
    if request.stop:
        out["stopSequences"] = list(request.stop)
    if request.modalities:
        _modalities(request, own, out)
    if request.output is not None:
        _write_output(request.output, own, out, target, notes)
    if request.reasoning is not None:
        thinking = _thinking(request, request.reasoning, own, target)
        if thinking or own:
            out["thinkingConfig"] = thinking
    return closed(out) if out or isinstance(kept, dict) else None


def _foreign(out: Object) -> None:
    if out.get("candidateCount") == 1:
        del out["candidateCount"]
    if out.get("responseLogprobs") is False:
        del out["responseLogprobs"]
    if "logprobs" in out:
        if out.get("responseLogprobs") and out["logprobs"] > 0:
            return
        del out["logprobs"]


def _modalities(request: Request, own: bool, out: Object) -> None:
    written = out.get("$modalities")
    if own:
        same = written and tuple(word(each, MODALITIES).lower() for each in written) == request.modalities
        out["responseModalities"] = written if same else [each.upper() for each in request.modalities]
    elif "audio" in request.modalities:
        out["responseModalities"] = ["AUDIO"]  # a model that speaks does not write as well
    elif request.modalities != ("text",):
        out["responseModalities"] = [each.upper() for each in request.modalities]


def _write_output(output: Output, own: bool, out: Object, target: Target, notes: Notes) -> None:
    extra = output.extra if own else {}
    if output.kind == "json_schema":
        if extra and "$written" in extra and output.schema == extra["$read"]:
            out["responseSchema"] = extra["$written"]
        elif "schema_subset" in target.quirks and not own:
            out["responseSchema"] = to_subset(output.schema, lambda detail: notes.lost("schema_keywords", detail))
        else:
            out["responseJsonSchema"] = output.schema
    media_type = "text/plain" if output.kind == "text" else _JSON
    if own or output.kind != "text":
        media_type = extra.get("$type", media_type)
        if "$no_type" not in extra:
            out["responseMimeType"] = media_type


def _thinking(request: Request, reasoning: Reasoning, own: bool, target: Target) -> Object:
    out: Object = dict(reasoning.extra) if own else {}
    if own:
        if reasoning.budget is not None:
            out["thinkingBudget"] = reasoning.budget
        if reasoning.effort is not None:
            out["thinkingLevel"] = out.get("$level", reasoning.effort.upper())
        if reasoning.show is not None:
            out["includeThoughts"] = reasoning.show
        return closed(out)
    budgeted = "thinking_budget" in target.quirks or target.model.rpartition("/")[2].startswith(_BUDGETED)
    effort, budget = reasoning.effort, reasoning.budget
    if reasoning.enabled is False or effort == "none" or budget == 0:
        # Neither Pro model can be kept from thinking: the least that it takes.
        small = "pro" in target.model
        return {"thinkingBudget": 128 if small else 0} if budgeted else {"thinkingLevel": "LOW" if small else "MINIMAL"}
    if budgeted and effort is not None and budget is None:
        budget = _BUDGETS.get(effort, -1)
    if budget is not None and (budgeted or effort is None):
        out["thinkingBudget"] = budget
    elif effort is not None:
        level = _LEVELS.get(effort, "HIGH")
        # The Pro models have no level below LOW.
        out["thinkingLevel"] = "LOW" if level == "MINIMAL" and "pro" in target.model else level
    elif reasoning.enabled and budgeted:
        out["thinkingBudget"] = -1
    show = reasoning.show
    if show is None and (request.dialect in _SHOWING or (reasoning.summary or "none") != "none"):
        show = True
    if show is not None:
        out["includeThoughts"] = show
    return out

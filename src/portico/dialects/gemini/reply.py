"""A generateContent reply, both ways (ai.google.dev/api/generate-content, read 2026-11-20).

What Google says beside the parts (grounding, log probabilities, counts by modality) is read into our fields, and stays
as it was in `extra`, from where it goes out again.
"""

import re
from datetime import datetime
from typing import Any

import msgspec

from portico.dialects.crossing import Given
from portico.dialects.gemini import watch
from portico.dialects.gemini.grounding import citations, grounding, logprobs, render_logprobs
from portico.dialects.gemini.part import Calls, parse_parts
from portico.dialects.gemini.spelling import Fields, Object, closed, opened
from portico.dialects.gemini.writing import render_part
from portico.dialects.malformed import Malformed, a_list
from portico.dialects.observer import failure
from portico.dialects.tokens import UNREADABLE, table
from portico.errors import BadUpstreamReply
from portico.hashing import blake2b
from portico.ir import Audio, Choice, Extra, Finish, Part, Reply, Request, Text, ToolCall
from portico.types import Usage

REPLY = Fields(("candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId", "createTime"))
"""The fields of a reply."""

CANDIDATE = Fields(
    (
        "content",
        "finishReason",
        "finishMessage",
        "index",
        "safetyRatings",
        "citationMetadata",
        "groundingMetadata",
        "urlContextMetadata",
        "avgLogprobs",
        "logprobsResult",
        "tokenCount",
    )
)
"""The fields of a candidate."""
CONTENT = Fields(("parts", "role"))
"""The fields of a candidate's content."""

_FINISHES: dict[str, Finish] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "MALFORMED_RESPONSE": "error",
    "CONTINUATION": "pause",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "MODEL_ARMOR",
            "JAILBREAK",
        ),
        "content_filter",
    ),
}
# Client libraries of some languages write the reason's number.
_NUMBERS = {
    1: "STOP",
    2: "MAX_TOKENS",
    3: "SAFETY",
    4: "RECITATION",
    5: "OTHER",
    6: "BLOCKLIST",
    7: "PROHIBITED_CONTENT",
    8: "SPII",
    9: "MALFORMED_FUNCTION_CALL",
}
_REASONS: dict[Finish, str] = {
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "error": "OTHER",
    "other": "OTHER",
}
_decode = msgspec.json.decode
_encode = msgspec.json.encode
_ODD = re.compile(r"[^a-zA-Z0-9_-]")


def parse_reply(body: bytes) -> Reply:
    """Read a whole reply. Raises BadUpstreamReply for what is none."""
    try:
        found = _decode(body)
    except UNREADABLE as error:
        raise BadUpstreamReply(f"The provider's reply is not JSON that can be read: {error}") from error
    if type(found) is not dict:
        raise BadUpstreamReply("The provider's reply is not an object")
    if found.get("error"):
        raise BadUpstreamReply(failure(_encode(found["error"])) or "The provider reported an error")
    try:
        return _reply(found, body)
    except Malformed as problem:
        raise BadUpstreamReply(f"The provider's reply cannot be read: {problem}") from None
    except RecursionError as error:
        raise BadUpstreamReply("The provider's reply is nested too deeply") from error


def _reply(found: Object, body: bytes) -> Reply:
    rest = opened(found, REPLY)
    calls = Calls(prefix(rest, body))
    choices: tuple[Choice, ...] = ()
    if rest.get("candidates"):
        candidates = a_list(rest.pop("candidates"), "candidates")
        choices = tuple(_choice(each, at, calls) for at, each in enumerate(candidates))
    reason = blocked(rest)
    if not choices and reason is not None:
        choices = (Choice(finish="content_filter", finish_raw=reason, extra={"$blocked": True}),)
    return Reply(
        dialect="gemini",
        id=_string(rest, "responseId"),
        model=_string(rest, "modelVersion"),
        created=created(rest.get("createTime")),
        choices=choices,
        usage=usage_of(rest, found.get("candidates")),
        extra=rest,
    )


def prefix(rest: Object, body: bytes) -> str:
    """Return how the ids begin that a reply's calls get where Google gives them none: the same for the same reply."""
    name = rest.get("responseId")
    if type(name) is not str or not name:
        name = blake2b(body, digest_size=12).hexdigest()
    return f"call_{_ODD.sub('', name)[:40]}_"


def blocked(rest: Object) -> str | None:
    """Return why the prompt was refused, None where it was not."""
    feedback = rest.get("promptFeedback")
    reason = feedback.get("blockReason") if type(feedback) is dict else None
    return str(reason) if reason else None


def _string(rest: Object, name: str) -> str:
    return rest.pop(name) if type(rest.get(name)) is str else ""


def created(value: Any) -> int | None:
    """Return an RFC 3339 time in epoch seconds, None for anything else."""
    if type(value) is not str:
        return None
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return None
    return int(moment.timestamp()) if moment.tzinfo is not None else None


def usage_of(rest: Object, candidates: Any) -> Usage | None:
    """Read the counts of a reply, and of its candidates how often they searched."""
    counts = rest.get("usageMetadata")
    if type(counts) is not dict:
        return None
    if any(type(value) is float for value in counts.values()):
        counts = table(_encode(counts))
    found = watch.usage(counts)
    if found is not None and (searches := _searches(candidates)):
        found = msgspec.structs.replace(found, searches=searches)
    return found


def _searches(candidates: Any) -> int:
    total = 0
    for each in candidates if type(candidates) is list else ():
        grounded = each.get("groundingMetadata") if type(each) is dict else None
        queries = grounded.get("webSearchQueries") if type(grounded) is dict else None
        total += len(queries) if type(queries) is list else 0
    return total


def finish_of(reason: Any, called: bool) -> tuple[Finish | None, str | None]:
    """Return a finish reason in our word and in Google's."""
    raw = _NUMBERS.get(reason, str(reason)) if type(reason) is int else reason
    if type(raw) is not str:
        return None, None
    finish = _FINISHES.get(raw, "other")
    return ("tool_calls" if called and finish == "stop" else finish), raw


def _choice(found: Any, at: int, calls: Calls) -> Choice:
    if type(found) is not dict:
        raise Malformed(f"candidates[{at}]", "an object")
    rest = opened(found, CANDIDATE)
    try:
        parts = _content(rest, calls)
    except Malformed as problem:
        raise problem.within(f"candidates[{at}].content") from None
    called = any(isinstance(part, ToolCall) and part.kind == "function" for part in parts)
    finish, raw = finish_of(rest.get("finishReason"), called)
    if type(rest.get("finishReason")) is str:
        del rest["finishReason"]
    if "groundingMetadata" in rest or "citationMetadata" in rest:
        parts = _cited(rest, parts)
    index = rest.get("index")
    return Choice(
        index=index if type(index) is int else at,
        parts=parts,
        finish=finish,
        finish_raw=raw,
        logprobs=logprobs(rest.get("logprobsResult")),
        extra=rest,
    )


def _content(rest: Object, calls: Calls) -> tuple[Part, ...]:
    found = rest.get("content")
    if type(found) is not dict:
        rest["$content"] = "null" if "content" in rest else "absent"
        if found is not None:
            raise Malformed("", "an object")
        return ()
    del rest["content"]
    kept = opened(found, CONTENT)
    parts: tuple[Part, ...] = ()
    if type(kept.get("parts")) is list:
        parts = parse_parts(kept.pop("parts"), calls)
    else:
        kept["$form"] = "none"
    if kept != {"role": "model"}:
        rest["$content"] = kept
    return parts


def _cited(rest: Object, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    found = citations(rest, {at: part.text for at, part in enumerate(parts) if isinstance(part, Text)})
    if not found:
        return parts
    return tuple(
        msgspec.structs.replace(part, citations=tuple(found[at])) if at in found else part
        for at, part in enumerate(parts)
    )


# Ours to theirs


def render_reply(reply: Reply, request: Request, given: Given) -> bytes:
    """Write a whole reply for a caller who speaks Gemini."""
    try:
        return _encode(_written(reply, request, given))
    except RecursionError as error:
        raise BadUpstreamReply("The provider's reply is nested too deeply") from error


def _written(reply: Reply, request: Request, given: Given) -> Object:
    own = reply.dialect == "gemini"
    out: Object = dict(reply.extra) if own else {}
    choices = [choice for choice in reply.choices if "$blocked" not in choice.extra or not own]
    if choices or not own:
        out["candidates"] = [_candidate(choice, own) for choice in choices]
    if reply.usage is not None and "usageMetadata" not in out:
        out["usageMetadata"] = render_usage(reply.usage)
    model = reply.model or ("" if own else request.model)
    if model:
        out["modelVersion"] = model
    name = reply.id if own else given.new_id("")
    if name:
        out["responseId"] = name
    return closed(out)


def reason_of(finish: Finish | None, raw: str | None, own: bool) -> str | None:
    """Return a finish reason in Google's word; its own where that is still what it came to."""
    if own and raw is not None and finish in (*finish_of(raw, True), finish_of(raw, False)[0]):
        return raw
    return None if finish is None else _REASONS.get(finish, "STOP")


def _candidate(choice: Choice, own: bool) -> Object:
    extra: Extra = choice.extra if own else {}
    pairs = [(part, render_part(part, own, True, nothing_lost)) for part in choice.parts]
    parts: list[Any] = []
    for part, written in pairs:
        spoken = isinstance(part, Audio) and not own
        if written is not None and (not spoken or part.source.data):  # type: ignore[union-attr]  # Audio has one
            parts.append(written)
        if spoken and part.transcript:  # type: ignore[union-attr]
            parts.append({"text": part.transcript})  # type: ignore[union-attr]
    out: Object = dict(extra)
    kept = extra.get("$content", {"role": "model"})
    if kept == "null" and not parts:
        out["content"] = None
    elif kept != "absent" or parts:
        # Google's own client takes an answer without parts for an invalid one.
        said = parts if parts or own else [{"text": ""}]
        content: Object = {"parts": said, **(kept if isinstance(kept, dict) else {"role": "model"})}
        if content.get("$form") and not parts and "parts" not in kept:
            del content["parts"]
        out["content"] = closed(content)
    reason = reason_of(choice.finish, choice.finish_raw, own)
    if reason is not None and "finishReason" not in out:
        out["finishReason"] = reason
    if own:
        return closed(out)
    out["index"] = choice.index
    grounded = grounding([part for part, written in pairs if written is not None])
    if grounded is not None:
        out["groundingMetadata"] = grounded
    probabilities = render_logprobs(choice.logprobs)
    if probabilities is not None:
        chosen = probabilities["chosenCandidates"]
        out["logprobsResult"] = probabilities
        out["avgLogprobs"] = sum(each["logProbability"] for each in chosen) / len(chosen)
    return out


def nothing_lost(feature: str, detail: str) -> None:
    """Say nothing of what a reply cannot say: the table is of requests."""


def render_usage(usage: Usage) -> Object:
    """Write counts as `usageMetadata`, whose prompt holds what was cached and whose candidates hold no thoughts."""
    shown = usage.output + usage.output_audio + usage.output_image
    out: Object = {
        "promptTokenCount": usage.input_total,
        "candidatesTokenCount": shown,
        "totalTokenCount": usage.total,
    }
    if usage.reasoning:
        out["thoughtsTokenCount"] = usage.reasoning
    if usage.cache_read:
        out["cachedContentTokenCount"] = usage.cache_read
    asked = usage.input_total - usage.input_audio - usage.input_image
    out["promptTokensDetails"] = _by_modality(asked, usage.input_audio, usage.input_image)
    if shown:
        out["candidatesTokensDetails"] = _by_modality(usage.output, usage.output_audio, usage.output_image)
    if usage.tier:
        out["serviceTier"] = usage.tier
    return out


def _by_modality(text: int, audio: int, image: int) -> list[Object]:
    counts = (("TEXT", text), ("AUDIO", audio), ("IMAGE", image))
    return [{"modality": name, "tokenCount": count} for name, count in counts if count]

"""A generateContent request, both ways (ai.google.dev/api/generate-content, read 2026-11-20).

What is null, and what we have no field for, stays in `extra` under its own name and goes out again from there.
"""

from typing import Any

import msgspec

from portico.dialects import hosted, toolbox
from portico.dialects.crossing import Notes, Target, Unsaid
from portico.dialects.gemini.compose import Contents
from portico.dialects.gemini.part import Calls, parse_parts
from portico.dialects.gemini.settings import parse_settings, render_settings
from portico.dialects.gemini.spelling import Fields, Object, closed, opened
from portico.dialects.gemini.tool import hosts, parse_choice, parse_tools, render_choice, render_tools
from portico.dialects.gemini.writing import render_part
from portico.dialects.malformed import Malformed, an_object
from portico.dialects.tokens import UNREADABLE
from portico.errors import InvalidRequest
from portico.ir import Extra, Message, Part, Request, Role, Text

_REQUEST = Fields(
    (
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "safetySettings",
        "cachedContent",
        "labels",
        "serviceTier",
        "model",
    )
)
_CONTENT = Fields(("parts", "role"))
_ROLES: dict[str, Role] = {"user": "user", "model": "assistant", "function": "tool", "system": "system"}
_OWN_ROLES = {"user": "user", "assistant": "model", "tool": "function", "system": "system", "developer": "user"}
_TIERS = {"flex": "flex", "priority": "priority", "default": "standard", "standard": "standard"}
_UNSAID = Unsaid(("min_p", "repetition_penalty", "logit_bias", "verbosity", "user", "prompt_cache_key"))

_encode = msgspec.json.encode


def parse_request(body: bytes, *, model: str, stream: bool, members: toolbox.Members | None = None) -> Request:
    """Read a request for `model`. Raises InvalidRequest, naming the field at fault."""
    try:
        found = toolbox.opened(body, members)
    except UNREADABLE as error:
        raise InvalidRequest(f"The body is not JSON that can be read: {error}") from error
    try:
        return _request(an_object(found, "The body"), model, stream)
    except Malformed as problem:
        raise InvalidRequest(str(problem), param=problem.where) from None
    except RecursionError as error:
        raise InvalidRequest("The request is nested too deeply") from error


def _request(found: Object, model: str, stream: bool) -> Request:
    rest = opened(found, _REQUEST)
    fields: Object = {}
    if rest.get("generationConfig") is not None:
        fields, left = parse_settings(rest.pop("generationConfig"))
        _keep(rest, "generationConfig", left)
    if rest.get("systemInstruction") is not None:
        fields["system"] = _system(rest)
    tools = rest.get("tools")
    if tools:
        del rest["tools"]
        known = toolbox.box("gemini", tools, parse_tools) if type(tools) is msgspec.Raw else parse_tools(tools)
        fields["tools"] = known
        if known.beside is not None:
            rest["$tools"] = known.beside
    if rest.get("toolConfig") is not None:
        fields["tool_choice"], left = parse_choice(rest.pop("toolConfig"))
        if left or fields["tool_choice"] is None:
            _keep(rest, "toolConfig", left)
    if rest.get("safetySettings"):
        fields["safety"] = rest.pop("safetySettings")
    if type(rest.get("labels")) is dict:
        fields["metadata"] = rest.pop("labels")
    if type(rest.get("serviceTier")) is str:
        fields["service_tier"] = rest.pop("serviceTier")
    if "contents" in rest:
        fields["messages"] = _messages(rest)
    if "model" in rest:
        rest["$model"] = rest.pop("model")
    for name in ("tools", "safetySettings"):
        if rest.get(name) == []:
            rest.setdefault("$empty", []).append(name)
            del rest[name]
    return Request(dialect="gemini", model=model, stream=stream, extra=rest, **fields)


def _keep(rest: Object, name: str, left: Object) -> None:
    """Keep what is left of an object: under its name where it says something, else as a hint that it was there."""
    rest[name if any(key[:1] != "$" and value is not None for key, value in left.items()) else "$" + name] = left


def _system(rest: Object) -> tuple[Part, ...]:
    found = rest.pop("systemInstruction")
    calls = Calls("call_")
    if type(found) is str:
        rest["$system"] = {"$string": True}
        return (Text(text=found),)
    kept = opened(an_object(found, "systemInstruction"), _CONTENT)
    if "parts" in kept:
        form = type(kept["parts"])
        try:
            parts = parse_parts(kept.pop("parts"), calls)
        except Malformed as problem:
            raise problem.within("systemInstruction") from None
        if form is not list:
            kept["$form"] = form.__name__
    else:
        kept["$form"] = "none"
        parts = ()
    rest["$system"] = kept
    return parts


def _messages(rest: Object) -> tuple[Message, ...]:
    found = rest.pop("contents")
    if found is None:
        rest["contents"] = None
        return ()
    if type(found) is not list:
        rest["$contents"] = type(found).__name__
        if type(found) is str:
            return (Message(role="user", parts=(Text(text=found),)),)
        found = [found]
    calls = Calls("call_")
    messages = []
    for at, content in enumerate(found):
        try:
            try:
                role, listed = _ROLES[content["role"]], content["parts"]
            except (KeyError, TypeError):
                messages.append(_message(content, calls))
                continue
            if len(content) == 2 and type(listed) is list:
                # The way of nearly every content: a role that we know, and a list of parts.
                messages.append(Message(role=role, parts=parse_parts(listed, calls)))
            else:
                messages.append(_message(content, calls))
        except Malformed as problem:
            raise problem.within(f"contents[{at}]") from None
    return tuple(messages)


def _message(content: Any, calls: Calls) -> Message:
    if type(content) is str:
        return Message(role="user", parts=(Text(text=content),), extra={"$string": True})
    if type(content) is not dict:
        raise Malformed("", "an object")
    rest = opened(content, _CONTENT)
    written = rest.pop("role", None)
    role = _ROLES.get(written) if type(written) is str else None
    if role is None:
        rest["$role"] = written
        if written is None and "role" in content:
            rest["role"] = None
        role = "user"
    if "parts" not in rest:
        return Message(role=role, extra={**rest, "$form": "none"})
    found = rest.pop("parts")
    if found is None:
        return Message(role=role, extra={**rest, "parts": None, "$form": "none"})
    if type(found) is not list:
        rest["$form"] = type(found).__name__
    return Message(role=role, parts=parse_parts(found, calls), extra=rest)


# Ours to theirs


def render_request(request: Request, target: Target, notes: Notes) -> bytes:
    """Write the body of a request. Raises InvalidRequest for what may not be left out and cannot be said."""
    try:
        return _encode(_body(request, target, notes))
    except RecursionError as error:
        raise InvalidRequest("The request is nested too deeply") from error


def _body(request: Request, target: Target, notes: Notes) -> Object:
    own = request.dialect == "gemini"
    if request.tools and not own:
        request = hosted.kept(request, notes, hosts(request))
    out: Object = {}
    if own:
        out = dict(request.extra)
        if "$model" in out:
            out["model"] = _model(out["$model"], target)
        for name in out.get("$empty", ()):
            out[name] = []
        if "contents" not in out or request.messages:
            out["contents"] = _own_contents(request, notes)
        if request.system or "$system" in out:
            out["systemInstruction"] = _own_system(request, notes)
        if request.metadata is not None:
            out["labels"] = request.metadata
        if request.safety is not None:
            out["safetySettings"] = request.safety
        if request.service_tier is not None:
            out["serviceTier"] = request.service_tier
    else:
        system, out["contents"] = Contents(request, target, notes).written()
        if system:
            out["systemInstruction"] = {"parts": system}
        _told(request, out, target, notes)
    tools = render_tools(request, own, target, notes)
    if tools is not None:
        out["tools"] = tools
    config = render_choice(request, own) if tools is not None or own else None
    if config is not None:
        out["toolConfig"] = config
    settings = render_settings(request, own, target, notes)
    if settings is not None:
        out["generationConfig"] = settings
    return closed(out)


def _model(written: Any, target: Target) -> Any:
    if type(written) is not str:
        return written
    prefix = "models/" if written.startswith("models/") else ""
    return prefix + target.model.removeprefix("models/")


def _told(request: Request, out: Object, target: Target, notes: Notes) -> None:
    """Write, or note as lost, what stands beside the conversation."""
    _UNSAID.note(request, notes)
    unknown = [name for name, value in request.extra.items() if value is not None and name[:1] != "$"]
    if unknown:
        notes.lost("field", ", ".join(unknown))
    if request.parallel_tools is False and request.tools:
        notes.lost("parallel_tools")
    if type(request.safety) is list and request.dialect == "chat":
        out["safetySettings"] = request.safety  # in Google's own words
    elif request.safety is not None:
        notes.lost("safety")
    if request.metadata:
        if "labels" in target.quirks:
            out["labels"] = request.metadata
        else:
            notes.lost("metadata")
    if request.service_tier is not None and request.service_tier != "auto":
        tier = _TIERS.get(request.service_tier)
        if tier is None:
            notes.lost("service_tier", request.service_tier)
        elif tier != "standard":
            out["serviceTier"] = tier


def _own_contents(request: Request, notes: Notes) -> Any:
    form = request.extra.get("$contents")
    contents = [_own_content(message, notes) for message in request.messages]
    if len(contents) == 1 and form == "dict":
        return contents[0]
    if len(contents) == 1 and form == "str" and isinstance(part := _only(request.messages[0].parts), Text):
        return part.text
    return contents


def _only(parts: tuple[Part, ...]) -> Part | None:
    return parts[0] if len(parts) == 1 else None


def _own_content(message: Message, notes: Notes) -> Any:
    extra = message.extra
    lost = notes.lost
    role = _OWN_ROLES[message.role]
    parts = []
    for part in message.parts:
        written = render_part(part, True, False, lost)
        if written is not None:
            parts.append(written)
    if not extra:
        return {"role": role, "parts": parts}
    if extra.get("$string") and isinstance(said := _only(message.parts), Text):
        return said.text
    out: Object = {"role": role, "parts": parts, **extra}
    if "$role" in extra:
        if extra["$role"] is not None:
            out["role"] = extra["$role"]
        elif "role" not in extra:
            del out["role"]
    _form(out, extra, message.parts)
    return closed(out)


def _form(out: Object, extra: Extra, parts: tuple[Part, ...]) -> None:
    """Write `parts` as it was: a list, one part, a string, or not at all."""
    form = extra.get("$form")
    if form is None:
        return
    if form == "none" and not parts:
        if "parts" not in extra:
            del out["parts"]
    elif form == "dict" and len(parts) == 1:
        out["parts"] = out["parts"][0]
    elif form == "str" and isinstance(part := _only(parts), Text):
        out["parts"] = part.text


def _own_system(request: Request, notes: Notes) -> Any:
    extra = request.extra.get("$system", {})
    part = _only(request.system)
    if extra.get("$string") and isinstance(part, Text):
        return part.text
    written = [render_part(each, True, False, notes.lost) for each in request.system]
    out: Object = {"parts": [each for each in written if each is not None], **extra}
    _form(out, extra, request.system)
    return closed(out)

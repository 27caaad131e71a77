"""One part of a content: text, thought, media, a call and its response, both ways.

https://ai.google.dev/api/caching#Part (read 2026-11-20). A part's fields that only Gemini knows stay in the `extra` of
what it is read as, those of an inner object under that object's name. An empty text that is signed is read as a
thought without words: its signature is all that it carries, and thoughts are what foreign clients give back.
"""

import binascii
from base64 import urlsafe_b64decode
from typing import Any

import msgspec

from portico.dialects.gemini import media
from portico.dialects.gemini.spelling import Fields, Object, opened
from portico.dialects.malformed import Malformed, an_object
from portico.dialects.seal import unseal
from portico.ir import (
    Opaque,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

_PART = Fields(
    (
        "text",
        "thought",
        "thoughtSignature",
        "inlineData",
        "fileData",
        "functionCall",
        "functionResponse",
        "executableCode",
        "codeExecutionResult",
        "toolCall",
        "toolResponse",
        "videoMetadata",
        "mediaResolution",
    )
)
_CALL = Fields(("id", "name", "args", "partialArgs", "willContinue"))
_RESPONSE = Fields(("id", "name", "response", "parts", "willContinue", "scheduling"))
_CODE = Fields(("id", "language", "code"))
_OUTCOME = Fields(("id", "outcome", "output"))
_SERVER_CALL = Fields(("id", "toolType", "args"))
_SERVER_RESPONSE = Fields(("id", "toolType", "response"))

# The keys under which clients put a tool's answer where it is text.
_WRAPS = frozenset(("output", "result", "content", "error"))
# "portico" in base64: what a sealed thought begins with, once more encoded, for signatures are bytes here.
_SEALED = "cG9ydGljbz"

SERVER_NAMES = {
    "GOOGLE_SEARCH_WEB": "web_search",
    "GOOGLE_SEARCH_IMAGE": "image_search",
    "URL_CONTEXT": "url_context",
    "GOOGLE_MAPS": "google_maps",
    "FILE_SEARCH": "file_search",
}
"""Our words for the tools whose calls Gemini shows."""

_encode = msgspec.json.encode


class Calls:
    """The calls of a conversation: gives an id to each that has none, and finds the call that a response answers."""

    __slots__ = ("_count", "_prefix", "_server", "_waiting")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0
        self._waiting: list[tuple[str, str]] = []
        self._server = ""

    def called(self, found: object, name: str) -> str:
        """Note a call and return its id."""
        call = found if type(found) is str and found else self._next()
        self._waiting.append((call, name))
        return call

    def answered(self, found: object, name: str) -> str:
        """Return the id of the call that is answered: the one named, else the first of this name, else the first."""
        waiting = self._waiting
        if type(found) is str and found:
            for at, (call, _) in enumerate(waiting):
                if call == found:
                    del waiting[at]
                    break
            return found
        for at, (_, called) in enumerate(waiting):
            if called == name:
                return waiting.pop(at)[0]
        return waiting.pop(0)[0] if waiting else self._next()

    def ran(self, found: object) -> str:
        """Note a call that the provider itself answers, and return its id."""
        self._server = found if type(found) is str and found else self._next()
        return self._server

    def ended(self, found: object) -> str:
        """Return the id of the provider's own call whose result this is."""
        return found if type(found) is str and found else self._server or self._next()

    def _next(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"


def parse_part(found: Any, calls: Calls) -> Part:
    """Read one part. Raises Malformed for what cannot be one; a part of an unknown kind is kept as it is."""
    if type(found) is not dict:
        raise Malformed("", "an object")
    # The way of nearly every part that is no text.
    brief: Part | None = None
    if "functionCall" in found:
        brief = _brief_call(found, calls)
    elif "functionResponse" in found and len(found) == 1:
        brief = _brief_response(found["functionResponse"], calls)
    if brief is not None:
        return brief
    rest = opened(found, _PART)
    if "functionCall" in rest:
        return _call(rest, calls)
    if "functionResponse" in rest:
        return _response(rest, calls)
    if type(rest.get("text")) is str:
        return _text(rest)
    if "inlineData" in rest or "fileData" in rest:
        return media.parse(rest) or Opaque(value=found)
    if type(rest.get("executableCode")) is dict:
        return _code(rest, calls)
    if type(rest.get("codeExecutionResult")) is dict:
        return _outcome(rest, calls)
    if type(rest.get("toolCall")) is dict:
        return _server_call(rest, calls)
    if type(rest.get("toolResponse")) is dict:
        return _server_response(rest, calls)
    if type(rest.get("thoughtSignature")) is str and len(rest) == 1:
        return _text({"text": "", "$bare": True, **rest})
    return Opaque(value=found)


def _text(rest: Object) -> Part:
    text: str = rest.pop("text")
    signature = _signature(rest)
    if signature is not None:
        if signature.startswith(_SEALED) and (thought := _unsealed(signature, text)) is not None:
            return thought
        if not text:
            return Thinking(opaque=signature, maker="gemini", extra=rest)
    if rest.get("thought") is True:
        del rest["thought"]
        maker = None if signature is None else "gemini"
        return Thinking(text=text, opaque=signature, maker=maker, summary=True, extra=rest)  # type: ignore[arg-type]
    return Text(text=text, signature=signature, extra=rest)


def _signature(rest: Object) -> str | None:
    return rest.pop("thoughtSignature") if type(rest.get("thoughtSignature")) is str else None


def _unsealed(signature: str, text: str) -> Thinking | None:
    try:
        sealed = urlsafe_b64decode(signature.replace("+", "-").replace("/", "_")).decode()
    except (binascii.Error, ValueError):
        return None
    return unseal(sealed, text)


def _brief_call(found: Object, calls: Calls) -> ToolCall | None:
    """Read a call of the usual shape, one that has an id, and may be signed; None for another."""
    written, signature = found["functionCall"], found.get("thoughtSignature")
    if len(found) != (1 if signature is None else 2) or type(written) is not dict or len(written) != 3:
        return None
    try:
        call, name, args = written["id"], written["name"], written["args"]
    except KeyError:
        return None
    if signature is not None and type(signature) is not str:
        return None
    if type(call) is str and type(name) is str and type(args) is dict and call and name:
        arguments = _encode(args).decode()
        return ToolCall(id=calls.called(call, name), name=name, arguments=arguments, signature=signature)
    return None


def _call(rest: Object, calls: Calls) -> ToolCall:
    call = opened(an_object(rest.pop("functionCall"), "functionCall"), _CALL)
    name = call.pop("name", None)
    if type(name) is not str or not name:
        raise Malformed("functionCall.name", "a tool's name")
    args = call.pop("args", None)
    if type(args) is dict:
        arguments = _encode(args).decode() if args else "{}"
    elif args is None:
        arguments = "{}"
        call["$no_args"] = True
    else:
        raise Malformed("functionCall.args", "an object")
    found = call.pop("id", None)
    if not found:
        call["$no_id"] = True
    signature = _signature(rest) if rest else None
    if call:
        rest["functionCall"] = call
    return ToolCall(id=calls.called(found, name), name=name, arguments=arguments, signature=signature, extra=rest)


def _brief_response(written: Any, calls: Calls) -> ToolResult | None:
    """Read an answer of the usual shape, some words to a call that has an id; None for another."""
    if type(written) is not dict or len(written) != 3:
        return None
    try:
        found, name, response = written["id"], written["name"], written["response"]
        value = response["output"]
    except (KeyError, TypeError):
        return None
    if type(found) is str and type(name) is str and type(value) is str and found and len(response) == 1:
        return ToolResult(id=calls.answered(found, name), name=name, parts=(Text(text=value),))
    return None


def _response(rest: Object, calls: Calls) -> ToolResult:
    answer = opened(an_object(rest.pop("functionResponse"), "functionResponse"), _RESPONSE)
    name = answer.pop("name", None)
    if type(name) is not str:
        raise Malformed("functionResponse.name", "a tool's name")
    found = answer.pop("id", None)
    if not found:
        answer["$no_id"] = True
    response = answer.pop("response", None)
    parts: list[Part] = []
    data = None
    error: bool | None = None
    if type(response) is dict:
        data = response
        if len(response) == 1:
            (key,) = response
            if key in _WRAPS:
                value = response[key]
                error = True if key == "error" else None
                if type(value) is str:
                    parts.append(Text(text=value))
                    data = None
                    if key != "output" and key != "error":
                        answer["$key"] = key
    elif response is None:
        answer["$no_response"] = True
    else:
        raise Malformed("functionResponse.response", "an object")
    if type(answer.get("parts")) is list:
        parts.extend(parse_part(part, calls) for part in answer.pop("parts"))
        answer["$parts"] = True
    if answer:
        rest["functionResponse"] = answer
    return ToolResult(id=calls.answered(found, name), name=name, parts=tuple(parts), data=data, error=error, extra=rest)


def _code(rest: Object, calls: Calls) -> ToolCall:
    code = opened(rest.pop("executableCode"), _CODE)
    arguments = {name: code.pop(name) for name in ("language", "code") if name in code}
    found = code.pop("id", None)
    if not found:
        code["$no_id"] = True
    rest["executableCode"] = code
    signature = _signature(rest)
    return ToolCall(
        id=calls.ran(found),
        name="code_execution",
        arguments=_encode(arguments).decode(),
        kind="server",
        server_type="code_execution",
        signature=signature,
        extra=rest,
    )


def _outcome(rest: Object, calls: Calls) -> ToolResult:
    outcome = opened(rest.pop("codeExecutionResult"), _OUTCOME)
    found = outcome.pop("id", None)
    if not found:
        outcome["$no_id"] = True
    output = outcome.pop("output") if type(outcome.get("output")) is str else None
    failed = outcome.get("outcome") not in ("OUTCOME_OK", None, 1)
    rest["codeExecutionResult"] = outcome
    return ToolResult(
        id=calls.ended(found),
        name="code_execution",
        parts=() if output is None else (Text(text=output),),
        error=True if failed else None,
        server=True,
        extra=rest,
    )


def _server_call(rest: Object, calls: Calls) -> ToolCall:
    call = opened(rest.pop("toolCall"), _SERVER_CALL)
    found = call.pop("id", None)
    if not found:
        call["$no_id"] = True
    kind = str(call.get("toolType") or "")
    args = call.pop("args", None)
    if args is None:
        call["$no_args"] = True
    rest["toolCall"] = call
    signature = _signature(rest)
    name = SERVER_NAMES.get(kind, kind.lower() or "tool")
    return ToolCall(
        id=calls.ran(found),
        name=name,
        arguments="{}" if args is None else _encode(args).decode(),
        kind="server",
        server_type=name,
        signature=signature,
        extra=rest,
    )


def _server_response(rest: Object, calls: Calls) -> ToolResult:
    answer = opened(rest.pop("toolResponse"), _SERVER_RESPONSE)
    found = answer.pop("id", None)
    if not found:
        answer["$no_id"] = True
    kind = str(answer.get("toolType") or "")
    data = answer.pop("response", None)
    if data is None:
        answer["$no_response"] = True
    rest["toolResponse"] = answer
    return ToolResult(
        id=calls.ended(found), name=SERVER_NAMES.get(kind, kind.lower() or "tool"), data=data, server=True, extra=rest
    )


def parse_parts(found: Any, calls: Calls) -> tuple[Part, ...]:
    """Read a content's parts, which may be a list, one part, or a string. Raises Malformed, saying where."""
    if type(found) is not list:
        if type(found) is str:
            return (Text(text=found),)
        if type(found) is not dict:
            raise Malformed("parts", "a list")
        found = [found]
    parts: list[Part] = []
    try:
        for each in found:
            if type(each) is dict and len(each) == 1 and type(text := each.get("text")) is str:
                parts.append(Text(text=text))
            else:
                parts.append(parse_part(each, calls))
    except Malformed as problem:
        raise problem.within(f"parts[{len(parts)}]") from None
    return tuple(parts)

"""Messages, read: one turn each, the order of turns and of parts kept.

A plain string and a list of one text are the same content; which it was is kept as a hint.
"""

from typing import Any

from portico.dialects.chat.beside import parse_beside
from portico.dialects.chat.calls import brief_call, parse_calls
from portico.dialects.chat.hints import HINTS, NONE, Table, keep
from portico.dialects.chat.marks import parse_mark
from portico.dialects.chat.parts import parse_part
from portico.dialects.chat.thoughts import parse_thoughts
from portico.dialects.seal import PREFIX, unseal_call
from portico.errors import InvalidRequest
from portico.ir import Message, Part, Text, ToolResult

_ROLES = frozenset(("system", "developer", "user", "assistant", "tool", "function"))
_PLAIN = frozenset(("system", "developer", "user", "assistant"))
_ABSENT: Any = object()


def parse_messages(listed: list[Any]) -> list[Message]:
    """Read `messages`; raises InvalidRequest naming the message and the field."""
    messages = []
    legacy = ""
    for at, fields in enumerate(listed):
        if type(fields) is not dict:
            raise InvalidRequest(f"`messages[{at}]` must be an object", param=f"messages[{at}]")
        role = fields.pop("role", None)
        if type(role) is not str or role not in _ROLES:
            raise InvalidRequest(
                f"`messages[{at}].role` must be one of system, developer, user, assistant, tool",
                param=f"messages[{at}].role",
            )
        content = fields.get("content")
        if type(content) is str and content:
            if len(fields) == 1 and role in _PLAIN:
                messages.append(Message(role=role, parts=(Text(text=content),)))  # type: ignore[arg-type]  # looked up
                continue
            call_id = fields.get("tool_call_id")
            if len(fields) == 2 and role == "tool" and type(call_id) is str and not call_id.startswith(PREFIX):
                result = ToolResult(id=call_id, parts=(Text(text=content),))
                messages.append(Message(role="tool", parts=(result,)))
                continue
        if role == "assistant":
            message = _brief(fields) or _parse_assistant(fields, f"messages[{at}]", f"call_{at}")
            if "function_call" in message.extra.get(HINTS, NONE):
                legacy = f"call_{at}"
        elif role == "tool":
            message = _parse_result(fields, f"messages[{at}]", None)
        elif role == "function":
            message = _parse_result(fields, f"messages[{at}]", legacy)
        else:
            hints: Table = {}
            parts = _parse_content(fields, f"messages[{at}]", hints)
            name = fields.pop("name") if type(fields.get("name")) is str else None
            message = Message(
                role=role,  # type: ignore[arg-type]  # looked up above
                parts=tuple(parts),
                name=name,
                extra=keep(fields, hints) if fields or hints else fields,
            )
        messages.append(message)
    return messages


def _parse_content(fields: Table, where: str, hints: Table) -> list[Part]:
    content = fields.pop("content", _ABSENT)
    if type(content) is str:
        if not content:
            hints["empty"] = ""
            return []
        if "cache_control" in fields and (cache := parse_mark(fields, hints)) is not None:
            hints["marked"] = True
            return [Text(text=content, cache=cache)]
        return [Text(text=content)]
    if type(content) is list:
        hints["list"] = True
        return [parse_part(item) for item in content]
    if content is _ABSENT:
        hints["absent"] = True
    elif content is not None:
        raise InvalidRequest(f"`{where}.content` must be a string or a list", param=f"{where}.content")
    return []


def _brief(fields: Table) -> Message | None:
    """Read an answer that is nothing but calls of the usual shape; None for another."""
    if len(fields) != 2 or fields.get("content", "") is not None:
        return None
    calls = fields.get("tool_calls")
    if type(calls) is not list or not calls:
        return None
    parts = tuple([call for call in map(brief_call, calls) if call is not None])
    return Message(role="assistant", parts=parts) if len(parts) == len(calls) else None


def _parse_assistant(fields: Table, where: str, legacy_id: str) -> Message:
    hints: Table = {}
    parts = _parse_content(fields, where, hints)
    name = None
    if fields:
        if len(fields) > 1 or "tool_calls" not in fields:
            parts = parse_thoughts(fields) + parts
            parse_beside(fields, parts, hints, legacy_id, where)
            name = fields.pop("name") if type(fields.get("name")) is str else None
        calls = fields.get("tool_calls")
        if type(calls) is list and calls:
            del fields["tool_calls"]
            parts += parse_calls(calls, f"{where}.tool_calls")
        elif calls is not None and type(calls) is not list:
            raise InvalidRequest(f"`{where}.tool_calls` must be a list", param=f"{where}.tool_calls")
    return Message(
        role="assistant",
        parts=tuple(parts),
        name=name,
        extra=keep(fields, hints) if fields or hints else fields,
    )


def _parse_result(fields: Table, where: str, legacy: str | None) -> Message:
    hints: Table = {}
    parts = _parse_content(fields, where, hints)
    call_id = legacy
    if legacy is None:
        call_id = fields.pop("tool_call_id") if type(fields.get("tool_call_id")) is str else ""
        if call_id.startswith(PREFIX) and (opened := unseal_call(call_id)) is not None:
            call_id = opened[0]
    else:
        hints["function"] = True
    name = fields.pop("name") if type(fields.get("name")) is str else None
    result = ToolResult(id=call_id or "", name=name, parts=tuple(parts))
    return Message(role="tool", parts=(result,), extra=keep(fields, hints) if fields or hints else fields)
